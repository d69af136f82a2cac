//! Calls on sockets that change what a queue watches, or ask for the error that the library keeps for one.

use super::kept::{any, cancellable, hand_out, is_kept};
use super::refuse;
use crate::errno::Errno;
use crate::host::below::{self, unchanged_errno};
use crate::host::measure;
use crate::host::next::Next;
use crate::registry::current;
use core::ffi::{c_int, c_void};
use libc::{sockaddr, socklen_t};

// SAFETY: the C library's signature.
static SHUTDOWN: Next<unsafe extern "C" fn(c_int, c_int) -> c_int> = unsafe { Next::new(c"shutdown") };

// SAFETY: as above.
static SETSOCKOPT: Next<unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int> =
    unsafe { Next::new(c"setsockopt") };

/// setsockopt(2).
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    if level == libc::SOL_SOCKET && name == libc::SO_RCVLOWAT {
        measure::mark_was_set();
    }
    match SETSOCKOPT.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, level, name, value, length) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_setsockopt, fd, level, name, value, length) as c_int },
    }
}
type Connect = unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int;
type GetOption = unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
type Accept = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
type Accept4 = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;
// SAFETY: as above.
static ACCEPT: Next<Accept> = unsafe { Next::new(c"accept") };
// SAFETY: as above.
static ACCEPT4: Next<Accept4> = unsafe { Next::new(c"accept4") };
// SAFETY: as above.
static CONNECT: Next<Connect> = unsafe { Next::new(c"connect") };
// SAFETY: as above.
static GETSOCKOPT: Next<GetOption> = unsafe { Next::new(c"getsockopt") };

/// Looks the next definitions up before they are needed.
#[cfg(not(test))]
pub(super) fn look_up() {
    SHUTDOWN.get();
    SETSOCKOPT.get();
    ACCEPT.get();
    ACCEPT4.get();
    CONNECT.get();
    GETSOCKOPT.get();
}

fn next_shutdown(fd: c_int, how: c_int) -> c_int {
    match SHUTDOWN.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, how) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_shutdown, fd, how) as c_int },
    }
}

/// shutdown(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    if how != libc::SHUT_RD {
        measure::side_was_ended();
    }
    match current().filter(|registry| registry.has_notes()).and_then(super::of_this_process) {
        None => next_shutdown(fd, how),
        Some(registry) => {
            let mut errno = 0;
            let result = unchanged_errno(|| {
                registry.without_echo(fd, || {
                    let result = next_shutdown(fd, how);
                    errno = below::errno();
                    result
                })
            });
            if result != 0 {
                below::set_errno(errno);
            }
            result
        }
    }
}

fn accepted(fd: c_int, connection: c_int) -> c_int {
    if connection >= 0
        && let Some(registry) = current()
    {
        unchanged_errno(|| registry.accepted(fd));
    }
    connection
}

/// accept(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, size: *mut socklen_t) -> c_int {
    let connection = match ACCEPT.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, address, size) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_accept4, fd, address, size, 0) }) as c_int,
    };
    accepted(fd, connection)
}

/// accept4(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    size: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let connection = match ACCEPT4.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, address, size, flags) },
        // SAFETY: as above.
        None => {
            // SAFETY: as above.
            cancellable(|| unsafe { libc::syscall(libc::SYS_accept4, fd, address, size, flags) }) as c_int
        }
    };
    accepted(fd, connection)
}

/// connect(2). Where one has failed before and nobody has asked for the error, the next one fails with it, and with
/// ECONNABORTED if there is none.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, size: socklen_t) -> c_int {
    let result = match CONNECT.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, address, size) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_connect, fd, address, size) }) as c_int,
    };
    if result == -1
        && any()
        && below::errno() == Errno::ECONNABORTED.0
        && let Some(error) = hand_out(fd, |_| true)
    {
        return refuse(error);
    }
    result
}

unsafe fn next_option(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    size: *mut socklen_t,
) -> c_int {
    match GETSOCKOPT.get() {
        // SAFETY: the caller's promise.
        Some(next) => unsafe { next(fd, level, name, value, size) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, size) as c_int },
    }
}

/// getsockopt(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    size: *mut socklen_t,
) -> c_int {
    let of_error = level == libc::SOL_SOCKET && name == libc::SO_ERROR;
    if !of_error || !any() || !is_kept(fd) {
        // SAFETY: the program's own arguments.
        return unsafe { next_option(fd, level, name, value, size) };
    }
    // An option of the same shape, which has no memory: so the arguments are judged by the kernel.
    // SAFETY: as above.
    let result = unsafe { next_option(fd, level, libc::SO_TYPE, value, size) };
    if result == 0 {
        let error = hand_out(fd, |_| true).map_or(0, |error| error.0);
        // SAFETY: the kernel has just written as many bytes there.
        unsafe {
            let length = (*size as usize).min(size_of::<c_int>());
            core::ptr::copy_nonoverlapping((&raw const error).cast(), value.cast::<u8>(), length);
        }
    }
    result
}
