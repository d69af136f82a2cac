//! `close` and what is `close` by another name.

use super::{Fate, closed, closing, refuse};
use crate::errno::Errno;
use crate::host::next::Next;
use crate::registry::table::may_be_involved;
use core::ffi::c_int;

type OfDescriptor = unsafe extern "C" fn(c_int) -> c_int;

// SAFETY: the C library's signatures.
static CLOSE: Next<OfDescriptor> = unsafe { Next::new(c"close") };
// SAFETY: as above; a message queue descriptor is a number on Linux.
static MQ_CLOSE: Next<OfDescriptor> = unsafe { Next::new(c"mq_close") };

#[cfg(not(test))]
pub(super) fn look_up() {
    CLOSE.get();
    MQ_CLOSE.get();
}

fn next_close(fd: c_int) -> c_int {
    match CLOSE.get() {
        // SAFETY: the program's own argument.
        Some(next) => unsafe { next(fd) },
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_close, fd) as c_int },
    }
}

/// close(2). EBADF for a helper of the library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn close(fd: c_int) -> c_int {
    match CLOSE.known() {
        // SAFETY: the program's own argument.
        Some(next) if !may_be_involved(fd) => unsafe { next(fd) },
        _ => close_with_care(fd),
    }
}

#[cold]
#[inline(never)]
fn close_with_care(fd: c_int) -> c_int {
    if closing(fd) == Fate::NotOpen {
        return refuse(Errno::EBADF);
    }
    let result = next_close(fd);
    closed(fd);
    result
}

/// mq_close(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn mq_close(queue: c_int) -> c_int {
    match closing(queue) {
        Fate::NotOpen => refuse(Errno::EBADF),
        // SAFETY: the program's own argument.
        Fate::Forward => MQ_CLOSE.get().map_or_else(|| next_close(queue), |next| unsafe { next(queue) }),
    }
}
