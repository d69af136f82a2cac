//! What a call on a socket does about an error that the library keeps for it ([`crate::registry::kept`]): it fails with the
//! error where it would have failed without the library. What it then finds in the kernel tells that: an end for a read,
//! a refusal for a write. All other calls pay one load.

use super::refuse;
use crate::errno::Errno;
use crate::host::below::{self, unchanged_errno};
use crate::host::{Masked, RawFd, measure};
pub(super) use crate::registry::kept::any;
use crate::registry::kept::{Kept, may_be_for};
use crate::registry::{Registry, current, fork};
use core::ffi::c_long;

fn keeper(fd: RawFd) -> Option<&'static Registry> {
    current().filter(|_| may_be_for(fd))
}

/// What is kept for a number is the program's from now on, if it is due.
#[cold]
pub(super) fn hand_out(fd: RawFd, is_due: impl FnOnce(Kept) -> bool) -> Option<Errno> {
    unchanged_errno(|| {
        let registry = keeper(fd)?;
        let mask = Masked::new();
        let kept = registry.kept_error(fd, &mask)?;
        let due = is_due(kept) && fork::is_process();
        if due { registry.hand_out_error(fd, &mask) } else { None }
    })
}

/// Is one kept?
pub(super) fn is_kept(fd: RawFd) -> bool {
    unchanged_errno(|| keeper(fd).is_some_and(|registry| registry.kept_error(fd, &Masked::new()).is_some()))
}

/// The number is about to be closed.
#[cold]
pub(super) fn forget(fd: RawFd) {
    unchanged_errno(|| {
        if let Some(registry) = keeper(fd)
            && fork::is_process()
        {
            registry.forget_error(fd, &Masked::new());
        }
    });
}

/// A read got nothing, or failed. Is that because the error was taken? The bytes before it are read first. A socket that has
/// been disconnected tells of it before that.
#[cold]
#[inline(never)]
pub(super) fn end_of_read(fd: RawFd, got: isize) -> isize {
    let due = |kept: Kept| got != 0 || kept.fails_reads && measure::readable(fd) == Ok(0);
    if got != 0 && below::errno() != Errno::ENOTCONN.0 {
        return got;
    }
    hand_out(fd, due).map_or(got, |error| refuse(error) as isize)
}

/// Must a write fail with an error that is kept? Of EPIPE the kernel tells itself, with its signal.
#[cold]
#[inline(never)]
pub(super) fn refuses(fd: RawFd) -> bool {
    let error = hand_out(fd, |_| measure::try_to_send(fd) == Err(Errno::EPIPE));
    error.filter(|&error| error != Errno::EPIPE).map(refuse).is_some()
}

#[cfg(not(test))]
unsafe extern "C" {
    fn pthread_setcanceltype(new: core::ffi::c_int, old: *mut core::ffi::c_int) -> core::ffi::c_int;
}

/// Makes a system call of one that is a cancellation point, where there is no next definition.
#[cfg(not(test))]
#[cold]
#[inline(never)]
pub(super) fn cancellable(call: impl FnOnce() -> c_long) -> isize {
    const ASYNCHRONOUS: core::ffi::c_int = 1;
    let mut before = 0;
    // SAFETY: `before` outlives the calls. A thread that ends in between leaves nothing behind.
    unsafe { pthread_setcanceltype(ASYNCHRONOUS, &raw mut before) };
    let result = call();
    // SAFETY: as above.
    unsafe { pthread_setcanceltype(before, core::ptr::null_mut()) };
    result as isize
}

/// Tests have no threads that are cancelled.
#[cfg(test)]
pub(super) fn cancellable(call: impl FnOnce() -> c_long) -> isize {
    call() as isize
}
