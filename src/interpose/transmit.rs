//! Calls that write. One into a connection that has broken fails with the error that the library keeps for it; without
//! asking the kernel, which knows of the end only and would send SIGPIPE.

use super::kept::{any, cancellable, end_of_read, refuses};
use super::no_such_device;
use crate::host::below::unchanged_errno;
use crate::host::measure::{self, Kind};
use crate::host::next::Next;
use core::ffi::{c_int, c_uint, c_void};
use libc::{iovec, mmsghdr, msghdr, off_t, off64_t, sockaddr, socklen_t, ssize_t};

type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> ssize_t;
type Writev = unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t;
type Send = unsafe extern "C" fn(c_int, *const c_void, usize, c_int) -> ssize_t;
type SendTo = unsafe extern "C" fn(c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> ssize_t;
type SendMsg = unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t;
type SendMmsg = unsafe extern "C" fn(c_int, *mut mmsghdr, c_uint, c_int) -> c_int;
type SendFile = unsafe extern "C" fn(c_int, c_int, *mut off_t, usize) -> ssize_t;
type SendFile64 = unsafe extern "C" fn(c_int, c_int, *mut off64_t, usize) -> ssize_t;
type Splice = unsafe extern "C" fn(c_int, *mut off64_t, c_int, *mut off64_t, usize, c_uint) -> ssize_t;

// SAFETY: the C library's signature.
static WRITE: Next<Write> = unsafe { Next::new(c"write") };
// SAFETY: as above.
static WRITEV: Next<Writev> = unsafe { Next::new(c"writev") };
// SAFETY: as above.
static SEND: Next<Send> = unsafe { Next::new(c"send") };
// SAFETY: as above.
static SENDTO: Next<SendTo> = unsafe { Next::new(c"sendto") };
// SAFETY: as above.
static SENDMSG: Next<SendMsg> = unsafe { Next::new(c"sendmsg") };
// SAFETY: as above.
static SENDMMSG: Next<SendMmsg> = unsafe { Next::new(c"sendmmsg") };
// SAFETY: as above.
static SENDFILE: Next<SendFile> = unsafe { Next::new(c"sendfile") };
// SAFETY: as above.
static SENDFILE64: Next<SendFile64> = unsafe { Next::new(c"sendfile64") };
// SAFETY: as above.
static SPLICE: Next<Splice> = unsafe { Next::new(c"splice") };

#[cfg(not(test))]
pub(super) fn look_up() {
    WRITE.get();
    WRITEV.get();
    SEND.get();
    SENDTO.get();
    SENDMSG.get();
    SENDMMSG.get();
    SENDFILE.get();
    SENDFILE64.get();
    SPLICE.get();
}

/// write(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: usize) -> ssize_t {
    if any() && refuses(fd) {
        return -1;
    }
    let sent = match WRITE.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, bytes, length) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_write, fd, bytes, length) }),
    };
    if sent == -1 {
        no_such_device(fd);
    }
    sent
}

/// writev(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if any() && refuses(fd) {
        return -1;
    }
    match WRITEV.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, parts, count) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_writev, fd, parts, count) }),
    }
}

/// send(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, length: usize, flags: c_int) -> ssize_t {
    if any() && refuses(fd) {
        return -1;
    }
    match SEND.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, bytes, length, flags) },
        // SAFETY: as above.
        None => unsafe { sendto(fd, bytes, length, flags, core::ptr::null(), 0) },
    }
}

/// sendto(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    bytes: *const c_void,
    length: usize,
    flags: c_int,
    to: *const sockaddr,
    size: socklen_t,
) -> ssize_t {
    if any() && refuses(fd) {
        return -1;
    }
    match SENDTO.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, bytes, length, flags, to, size) },
        None => {
            // SAFETY: as above.
            cancellable(|| unsafe { libc::syscall(libc::SYS_sendto, fd, bytes, length, flags, to, size) })
        }
    }
}

/// sendmsg(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if any() && refuses(fd) {
        return -1;
    }
    match SENDMSG.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, message, flags) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_sendmsg, fd, message, flags) }),
    }
}

/// sendmmsg(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
    if any() && count != 0 && refuses(fd) {
        return -1;
    }
    match SENDMMSG.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, messages, count, flags) },
        None => {
            // SAFETY: as above.
            cancellable(|| unsafe { libc::syscall(libc::SYS_sendmmsg, fd, messages, count, flags) }) as c_int
        }
    }
}

/// Would sendfile come to the socket, having something to send?
#[cold]
fn file_is_refused(to: c_int, from: c_int, offset: Option<i64>, length: usize) -> bool {
    length != 0 && unchanged_errno(|| measure::has_bytes(from, offset)) && refuses(to)
}

/// sendfile(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut off_t, length: usize) -> ssize_t {
    // SAFETY: the program's own arguments.
    unsafe {
        if any() && file_is_refused(to, from, offset.as_ref().map(|&offset| offset as i64), length) {
            return -1;
        }
        match SENDFILE.get() {
            Some(next) => next(to, from, offset, length),
            None => libc::syscall(libc::SYS_sendfile, to, from, offset, length) as ssize_t,
        }
    }
}

#[cfg(target_pointer_width = "64")]
const SYS_SENDFILE64: libc::c_long = libc::SYS_sendfile;
#[cfg(target_pointer_width = "32")]
const SYS_SENDFILE64: libc::c_long = libc::SYS_sendfile64;

/// sendfile(2) as programs with large-file support reference it.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut off64_t, length: usize) -> ssize_t {
    // SAFETY: the program's own arguments.
    unsafe {
        if any() && file_is_refused(to, from, offset.as_ref().copied(), length) {
            return -1;
        }
        match SENDFILE64.get() {
            Some(next) => next(to, from, offset, length),
            None => libc::syscall(SYS_SENDFILE64, to, from, offset, length) as ssize_t,
        }
    }
}

/// Would splice come to the socket, with something from the pipe?
#[cold]
fn pipe_is_refused(from: c_int, to: c_int, length: usize) -> bool {
    let full =
        || measure::kind(from) == Ok(Kind::Pipe) && measure::readable(from).is_ok_and(|bytes| bytes > 0);
    length != 0 && unchanged_errno(full) && refuses(to)
}

/// splice(2): it may read from a socket or write to one.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut off64_t,
    to: c_int,
    to_offset: *mut off64_t,
    length: usize,
    flags: c_uint,
) -> ssize_t {
    if any() && from_offset.is_null() && to_offset.is_null() && pipe_is_refused(from, to, length) {
        return -1;
    }
    let got = match SPLICE.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(from, from_offset, to, to_offset, length, flags) },
        // SAFETY: as above.
        None => cancellable(|| unsafe {
            libc::syscall(libc::SYS_splice, from, from_offset, to, to_offset, length, flags)
        }),
    };
    if got <= 0 && length != 0 && any() { end_of_read(from, got) } else { got }
}
