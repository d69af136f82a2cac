//! Epoll sets of the program's own. One that appears at a number of ours means that the number was closed unseen, and
//! must never be taken for the port that it was. One that a port is added to polls the port from outside.

use super::{looked_at, refuse, replacing};
use crate::errno::Errno;
use crate::host::next::Next;
use crate::registry::current;
use crate::registry::lifetime::Seen;
use core::ffi::{c_int, c_void};

// SAFETY: the C library's signature.
static EPOLL_CREATE: Next<unsafe extern "C" fn(c_int) -> c_int> = unsafe { Next::new(c"epoll_create") };
// SAFETY: as above.
static EPOLL_CREATE1: Next<unsafe extern "C" fn(c_int) -> c_int> = unsafe { Next::new(c"epoll_create1") };

type Control = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void) -> c_int;
// SAFETY: as above.
static EPOLL_CTL: Next<Control> = unsafe { Next::new(c"epoll_ctl") };

#[cfg(not(test))]
pub(super) fn look_up() {
    EPOLL_CTL.get();
    EPOLL_CREATE.get();
    EPOLL_CREATE1.get();
}

fn made(fd: c_int) -> c_int {
    if fd >= 0 {
        replacing(fd, Seen::After);
    }
    fd
}

/// epoll_create(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn epoll_create(size: c_int) -> c_int {
    made(match EPOLL_CREATE.get() {
        // SAFETY: the program's own argument.
        Some(next) => unsafe { next(size) },
        None if size <= 0 => refuse(Errno::EINVAL),
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_epoll_create1, 0) as c_int },
    })
}

/// epoll_create1(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn epoll_create1(flags: c_int) -> c_int {
    made(match EPOLL_CREATE1.get() {
        // SAFETY: the program's own argument.
        Some(next) => unsafe { next(flags) },
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_epoll_create1, flags) as c_int },
    })
}

/// epoll_ctl(2).
///
/// # Safety
/// `event` is null or points to an event.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_ctl(set: c_int, operation: c_int, fd: c_int, event: *mut c_void) -> c_int {
    if let Some(registry) = current() {
        looked_at(registry, fd);
    }
    match EPOLL_CTL.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(set, operation, fd, event) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_epoll_ctl, set, operation, fd, event) as c_int },
    }
}
