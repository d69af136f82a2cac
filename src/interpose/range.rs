//! Ranges of numbers. The library's helpers stay open: the program never opened them.

use super::{Fate, closing};
use crate::host::RawFd;
use crate::host::below::{self, unchanged_errno};
use crate::host::next::Next;
use crate::registry::{Registry, current, fork};
use core::ffi::{c_int, c_uint};

const UNSHARE: c_uint = 2;

// SAFETY: the C library's signature.
static CLOSE_RANGE: Next<unsafe extern "C" fn(c_uint, c_uint, c_int) -> c_int> =
    unsafe { Next::new(c"close_range") };
// SAFETY: as above.
static CLOSEFROM: Next<unsafe extern "C" fn(c_int)> = unsafe { Next::new(c"closefrom") };

#[cfg(not(test))]
pub(super) fn look_up() {
    CLOSE_RANGE.get();
    CLOSEFROM.get();
}

fn next_close_range(first: c_uint, last: c_uint, flags: c_uint) -> c_int {
    match CLOSE_RANGE.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(first, last, flags as c_int) },
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) as c_int },
    }
}

/// The registry, if the range holds something of ours.
fn involved_range(first: c_uint, last: c_uint) -> Option<&'static Registry> {
    let registry = current()?;
    registry.table.involved(first, last).next()?;
    unchanged_errno(fork::is_process).then_some(registry)
}

/// close_range(2). With CLOSE_RANGE_CLOEXEC it closes nothing.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let flags = flags as c_uint;
    let closes = first <= last && flags & !UNSHARE == 0;
    match involved_range(first, last) {
        Some(registry) if closes && unchanged_errno(works) => {
            close_around(registry, first, last, |a, b| next_close_range(a, b, flags))
        }
        _ => next_close_range(first, last, flags),
    }
}

/// Is there such a system call (Linux 5.9), and is it allowed? Asked with a range that holds no descriptor.
fn works() -> bool {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_close_range, c_uint::MAX, c_uint::MAX, 0) == 0 }
}

/// Retires what the range holds and closes it, all but the helpers.
fn close_around(
    registry: &'static Registry,
    first: c_uint,
    last: c_uint,
    close: impl Fn(c_uint, c_uint) -> c_int,
) -> c_int {
    let mut from = first;
    for fd in registry.table.involved(first, last) {
        if closing(fd) == Fate::NotOpen {
            let helper = fd as c_uint;
            if from < helper && close(from, helper - 1) != 0 {
                return -1;
            }
            from = helper + 1;
        }
    }
    if from <= last { close(from, last) } else { 0 }
}

/// closefrom(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn closefrom(low: c_int) {
    let first = low.max(0) as c_uint;
    if unchanged_errno(works) {
        unchanged_errno(|| close_range(first, c_uint::MAX, 0));
        return;
    }
    if let Some(registry) = involved_range(first, c_uint::MAX) {
        // One by one, around the helpers.
        close_around(registry, first, below::descriptor_limit().min(1 << 30) as c_uint, |a, b| {
            (a..=b).for_each(|fd| below::close(fd as RawFd));
            0
        });
        return;
    }
    match CLOSEFROM.get() {
        // SAFETY: the program's own argument.
        Some(next) => unsafe { next(low) },
        None => (first..below::descriptor_limit() as c_uint).for_each(|fd| below::close(fd as RawFd)),
    }
}
