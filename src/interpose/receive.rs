//! Calls that read. One that finds the end of a connection fails with the error that the library keeps for it.

use super::kept::{any, cancellable, end_of_read, hand_out};
use super::no_such_device;
use super::refuse;
use crate::errno::Errno;
use crate::host::next::Next;
use core::ffi::{c_int, c_uint, c_void};
use libc::{iovec, mmsghdr, msghdr, sockaddr, socklen_t, ssize_t, timespec};

type Read = unsafe extern "C" fn(c_int, *mut c_void, usize) -> ssize_t;
type ReadChecked = unsafe extern "C" fn(c_int, *mut c_void, usize, usize) -> ssize_t;
type Readv = unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t;
type Recv = unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> ssize_t;
type RecvChecked = unsafe extern "C" fn(c_int, *mut c_void, usize, usize, c_int) -> ssize_t;
type RecvFrom =
    unsafe extern "C" fn(c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
type RecvFromChecked =
    unsafe extern "C" fn(c_int, *mut c_void, usize, usize, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
type RecvMsg = unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t;
type RecvMmsg = unsafe extern "C" fn(c_int, *mut mmsghdr, c_uint, c_int, *mut timespec) -> c_int;

// SAFETY: the C library's signature.
static READ: Next<Read> = unsafe { Next::new(c"read") };
// SAFETY: as above.
static READ_CHECKED: Next<ReadChecked> = unsafe { Next::new(c"__read_chk") };
// SAFETY: as above.
static READV: Next<Readv> = unsafe { Next::new(c"readv") };
// SAFETY: as above.
static RECV: Next<Recv> = unsafe { Next::new(c"recv") };
// SAFETY: as above.
static RECV_CHECKED: Next<RecvChecked> = unsafe { Next::new(c"__recv_chk") };
// SAFETY: as above.
static RECVFROM: Next<RecvFrom> = unsafe { Next::new(c"recvfrom") };
// SAFETY: as above.
static RECVFROM_CHECKED: Next<RecvFromChecked> = unsafe { Next::new(c"__recvfrom_chk") };
// SAFETY: as above.
static RECVMSG: Next<RecvMsg> = unsafe { Next::new(c"recvmsg") };
// SAFETY: as above.
static RECVMMSG: Next<RecvMmsg> = unsafe { Next::new(c"recvmmsg") };

#[cfg(not(test))]
pub(super) fn look_up() {
    READ.get();
    #[cfg(target_pointer_width = "64")]
    LSEEK.get();
    READ_CHECKED.get();
    READV.get();
    RECV.get();
    RECV_CHECKED.get();
    RECVFROM.get();
    RECVFROM_CHECKED.get();
    RECVMSG.get();
    RECVMMSG.get();
}

/// What a read answers that got `got`. One that asked for nothing does not reach the socket.
#[inline]
fn answer(fd: c_int, got: ssize_t, asked: bool) -> ssize_t {
    if got <= 0 && asked && any() { end_of_read(fd, got) } else { got }
}

/// The same for the calls of sockets. They fail even if they ask for nothing, but urgent bytes and the queue of errors
/// are another matter.
#[inline]
fn answer_of_socket(fd: c_int, got: ssize_t, flags: c_int) -> ssize_t {
    answer(fd, got, flags & (libc::MSG_OOB | libc::MSG_ERRQUEUE) == 0)
}

/// A fortified call that there is no next definition of.
fn check_room(length: usize, room: usize) {
    if length > room {
        std::process::abort();
    }
}

/// read(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, length: usize) -> ssize_t {
    let got = match READ.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, bytes, length) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_read, fd, bytes, length) }),
    };
    if got == -1 {
        no_such_device(fd);
    }
    answer(fd, got, length != 0)
}

/// read(2) of fortified programs.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(export_name = "__read_chk"))]
pub unsafe extern "C" fn read_checked(fd: c_int, bytes: *mut c_void, length: usize, room: usize) -> ssize_t {
    let Some(next) = READ_CHECKED.get() else {
        check_room(length, room);
        // SAFETY: the program's own arguments.
        return unsafe { read(fd, bytes, length) };
    };
    // SAFETY: as above.
    answer(fd, unsafe { next(fd, bytes, length, room) }, length != 0)
}

/// readv(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let got = match READV.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, parts, count) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_readv, fd, parts, count) }),
    };
    // SAFETY: the kernel has read them, where it has come to the socket.
    let asked = || (0..count as usize).any(|index| unsafe { (*parts.add(index)).iov_len } != 0);
    if got <= 0 && any() && (got < 0 || asked()) { end_of_read(fd, got) } else { got }
}

/// recv(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recv(fd: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> ssize_t {
    let Some(next) = RECV.get() else {
        // SAFETY: the program's own arguments.
        return unsafe { recvfrom(fd, bytes, length, flags, core::ptr::null_mut(), core::ptr::null_mut()) };
    };
    // SAFETY: as above.
    answer_of_socket(fd, unsafe { next(fd, bytes, length, flags) }, flags)
}

/// recv(2) of fortified programs.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(export_name = "__recv_chk"))]
pub unsafe extern "C" fn recv_checked(
    fd: c_int,
    bytes: *mut c_void,
    length: usize,
    room: usize,
    flags: c_int,
) -> ssize_t {
    let Some(next) = RECV_CHECKED.get() else {
        check_room(length, room);
        // SAFETY: the program's own arguments.
        return unsafe { recv(fd, bytes, length, flags) };
    };
    // SAFETY: as above.
    answer_of_socket(fd, unsafe { next(fd, bytes, length, room, flags) }, flags)
}

/// recvfrom(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    bytes: *mut c_void,
    length: usize,
    flags: c_int,
    from: *mut sockaddr,
    size: *mut socklen_t,
) -> ssize_t {
    let got = match RECVFROM.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, bytes, length, flags, from, size) },
        None => {
            // SAFETY: as above.
            cancellable(|| unsafe { libc::syscall(libc::SYS_recvfrom, fd, bytes, length, flags, from, size) })
        }
    };
    answer_of_socket(fd, got, flags)
}

/// recvfrom(2) of fortified programs.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(export_name = "__recvfrom_chk"))]
pub unsafe extern "C" fn recvfrom_checked(
    fd: c_int,
    bytes: *mut c_void,
    length: usize,
    room: usize,
    flags: c_int,
    from: *mut sockaddr,
    size: *mut socklen_t,
) -> ssize_t {
    let Some(next) = RECVFROM_CHECKED.get() else {
        check_room(length, room);
        // SAFETY: the program's own arguments.
        return unsafe { recvfrom(fd, bytes, length, flags, from, size) };
    };
    // SAFETY: as above.
    answer_of_socket(fd, unsafe { next(fd, bytes, length, room, flags, from, size) }, flags)
}

/// recvmsg(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let got = match RECVMSG.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, message, flags) },
        // SAFETY: as above.
        None => cancellable(|| unsafe { libc::syscall(libc::SYS_recvmsg, fd, message, flags) }),
    };
    answer_of_socket(fd, got, flags)
}

/// recvmmsg(2). It asks for the error first, whatever there is to read.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    time: *mut timespec,
) -> c_int {
    if any()
        && flags & libc::MSG_ERRQUEUE == 0
        && let Some(error) = hand_out(fd, |_| true)
    {
        return refuse(error);
    }
    match RECVMMSG.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, messages, count, flags, time) },
        None => {
            // SAFETY: as above.
            cancellable(|| unsafe { libc::syscall(libc::SYS_recvmmsg, fd, messages, count, flags, time) })
                as c_int
        }
    }
}

#[cfg(target_pointer_width = "64")]
type Seek = unsafe extern "C" fn(c_int, i64, c_int) -> i64;
// SAFETY: the C library's signature; an offset has 64 bits on the systems where this is exported.
#[cfg(target_pointer_width = "64")]
static LSEEK: Next<Seek> = unsafe { Next::new(c"lseek") };

/// lseek(2): a kqueue has no offset (K-013), whatever the kernel says.
///
/// # Safety
/// As the C library's.
#[cfg(target_pointer_width = "64")]
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64 {
    if super::is_queue(fd) {
        return i64::from(super::refuse(Errno(libc::ENXIO)));
    }
    match LSEEK.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, offset, whence) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_lseek, fd, offset, whence) },
    }
}

/// lseek(2) as programs with large-file support reference it.
///
/// # Safety
/// As the C library's.
#[cfg(target_pointer_width = "64")]
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn lseek64(fd: c_int, offset: i64, whence: c_int) -> i64 {
    // SAFETY: passed on.
    unsafe { lseek(fd, offset, whence) }
}
