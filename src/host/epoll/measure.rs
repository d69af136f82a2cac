//! How much there is to read or room to write: what the kernel tells of a descriptor beyond its poll bits.

use super::super::RawFd;
use super::below::{check, stat};
use super::direct;
use crate::errno::{Errno, Result};
use core::mem::{MaybeUninit, size_of};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What a descriptor is, as far as its measures are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Anything else that can be polled.
    Other = 0,
    /// A pipe or FIFO.
    Pipe = 1,
    /// A connection of bytes.
    Stream = 2,
    /// A socket of messages.
    Datagram = 3,
    /// A listening TCP socket.
    Listener = 4,
    /// Another listening socket.
    LocalListener = 5,
    /// A regular file.
    File = 6,
    /// A directory.
    Directory = 7,
    /// A character or block device.
    Device = 8,
}

impl Kind {
    /// The kind of a number, from [`Kind`] `as u32`.
    pub fn from_number(number: u32) -> Kind {
        use Kind::*;
        let all = [Other, Pipe, Stream, Datagram, Listener, LocalListener, File, Directory, Device];
        all.get(number as usize).copied().unwrap_or(Other)
    }

    /// Is it a socket that carries data?
    pub fn is_socket(self) -> bool {
        matches!(self, Kind::Stream | Kind::Datagram)
    }
}

fn option(fd: RawFd, name: i32) -> Result<i32> {
    let (mut value, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: both outlive the call.
    check(unsafe {
        libc::syscall(libc::SYS_getsockopt, fd, libc::SOL_SOCKET, name, &raw mut value, &raw mut length)
    })?;
    Ok(value)
}

fn number(fd: RawFd, request: libc::c_ulong) -> Result<i32> {
    let mut value = 0i32;
    // SAFETY: the requests used here write one int, which outlives the call.
    unsafe {
        direct::call(
            libc::SYS_ioctl,
            [fd as usize, request as usize, (&raw mut value).expose_provenance(), 0, 0],
        )
    }?;
    Ok(value)
}

/// The kind of an open descriptor. EBADF.
pub fn kind(fd: RawFd) -> Result<Kind> {
    Ok(match u32::from(stat(fd, libc::STATX_TYPE)?.stx_mode) & libc::S_IFMT {
        libc::S_IFIFO => Kind::Pipe,
        libc::S_IFREG => Kind::File,
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFCHR | libc::S_IFBLK => Kind::Device,
        libc::S_IFSOCK => socket_kind(fd),
        _ => Kind::Other,
    })
}

fn socket_kind(fd: RawFd) -> Kind {
    let listens = option(fd, libc::SO_ACCEPTCONN).unwrap_or(0) != 0;
    match (listens, option(fd, libc::SO_TYPE)) {
        (true, _) if option(fd, libc::SO_PROTOCOL) == Ok(libc::IPPROTO_TCP) => Kind::Listener,
        (true, _) => Kind::LocalListener,
        (_, Ok(libc::SOCK_STREAM)) => Kind::Stream,
        _ => Kind::Datagram,
    }
}

/// Bytes that can be read. Of a datagram socket: of the first message.
pub fn readable(fd: RawFd) -> Result<i64> {
    number(fd, libc::FIONREAD as libc::c_ulong).map(i64::from)
}

/// Has the program given any socket a low-water mark of its own? Polls of UNIX sockets do not mind it.
static MARKS: AtomicBool = AtomicBool::new(false);

/// The program gives a socket a low-water mark.
pub fn mark_was_set() {
    MARKS.store(true, Relaxed);
}

/// Has it?
pub fn has_marks() -> bool {
    MARKS.load(Relaxed)
}

/// The low-water mark of a socket.
pub fn own_mark(fd: RawFd) -> i64 {
    if has_marks() { option(fd, libc::SO_RCVLOWAT).map_or(1, i64::from) } else { 1 }
}

/// Connections that wait to be accepted.
pub fn backlog(fd: RawFd) -> Result<i64> {
    tcp_info(fd).map(|info| info.tcpi_unacked.into())
}

/// Has a TCP connection been shut down for sending, or has it ended? `None`: it is another socket.
pub fn tcp_sends_no_more(fd: RawFd) -> Option<bool> {
    // FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, LAST_ACK, CLOSING: the kernel's numbers have no names in the headers.
    Some(matches!(tcp_info(fd).ok()?.tcpi_state, 4..=7 | 9 | 11))
}

/// Bytes that a TCP connection has received since it began, its end included. `None`: it is another socket.
pub fn tcp_received(fd: RawFd) -> Option<u64> {
    tcp_info(fd).ok().map(|info| info.tcpi_bytes_received) // since Linux 4.1
}

fn tcp_info(fd: RawFd) -> Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: both outlive the call.
    check(unsafe {
        libc::syscall(libc::SYS_getsockopt, fd, level, name, info.as_mut_ptr(), &raw mut length)
    })?;
    // SAFETY: all-zero is a valid tcp_info, and the kernel filled a part of it.
    Ok(unsafe { info.assume_init() })
}

/// Has the program ended its side of any connection?
static ENDED: AtomicBool = AtomicBool::new(false);

/// The program ends its side of a connection.
pub fn side_was_ended() {
    ENDED.store(true, Relaxed);
}

/// May a connection have been shut down for sending before it was looked at first?
pub fn may_be_half() -> bool {
    ENDED.load(Relaxed)
}

/// The same of a UNIX socket, which only the kernel's socket diagnosis tells.
pub fn local_backlog(fd: RawFd) -> Result<i64> {
    const DIAG_BY_FAMILY: u16 = 20;
    const SHOW_QUEUES: u32 = 0x10;
    const QUEUES: u16 = 4;
    #[repr(C)]
    struct Question {
        length: u32,
        kind: u16,
        flags: u16,
        sequence: u32,
        port: u32,
        family: u8,
        protocol: u8,
        pad: u16,
        states: u32,
        inode: u32,
        show: u32,
        cookie: [u32; 2],
    }
    let question = Question {
        length: size_of::<Question>() as u32,
        kind: DIAG_BY_FAMILY,
        flags: libc::NLM_F_REQUEST as u16,
        sequence: 1,
        port: 0,
        family: libc::AF_UNIX as u8,
        protocol: 0,
        pad: 0,
        states: !0,
        inode: super::below::identity(fd)?.inode as u32,
        show: SHOW_QUEUES,
        cookie: [!0; 2],
    };
    let mut answer = [0u32; 64];
    // SAFETY: no pointers.
    let diag = check(unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        libc::syscall(libc::SYS_socket, libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG)
    })? as RawFd;
    let none: *const u8 = core::ptr::null();
    // SAFETY: question and answer outlive the calls, the lengths are theirs.
    let got = unsafe {
        let asked =
            libc::syscall(libc::SYS_sendto, diag, &raw const question, size_of::<Question>(), 0, none, 0);
        check(asked).and_then(|_| {
            let room = size_of_val(&answer);
            check(libc::syscall(libc::SYS_recvfrom, diag, answer.as_mut_ptr(), room, 0, none, none))
        })
    };
    super::below::close(diag);
    // A header of 16 bytes, what was asked for in 16, then attributes: length and kind, and their words.
    let words = answer.get(8..(got? as usize / 4).min(answer.len())).unwrap_or_default();
    let mut at = 0;
    while let Some(&head) = words.get(at) {
        let (length, kind) = ((head & 0xffff) as usize, (head >> 16) as u16);
        if kind == QUEUES {
            return words.get(at + 1).map(|&waiting| waiting.into()).ok_or(Errno::ENOENT);
        }
        at += length.div_ceil(4).max(1);
    }
    Err(Errno::ENOENT)
}

/// Bytes for which a socket has room.
pub fn socket_room(fd: RawFd) -> Result<i64> {
    let (size, used) = (option(fd, libc::SO_SNDBUF)?, number(fd, libc::TIOCOUTQ as libc::c_ulong)?);
    Ok(i64::from(size) - i64::from(used))
}

/// Sends nothing: that does nothing, and is refused (EPIPE) by a connection that has been shut down for sending, by us or
/// because its peer takes no more. An error that pends is taken, and is what it answers.
pub fn try_to_send(fd: RawFd) -> Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let nothing: *const u8 = core::ptr::null();
    // SAFETY: no bytes are read.
    check(unsafe { libc::syscall(libc::SYS_sendto, fd, nothing, 0usize, flags, nothing, 0) }).map(drop)
}

/// Looks at no byte of what was received. If there is none: `Ok` if the end comes next, else the error that pends, which
/// is taken by that.
fn try_to_peek(fd: RawFd) -> Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    let nothing: *mut u8 = core::ptr::null_mut();
    // SAFETY: no bytes are written.
    check(unsafe { libc::syscall(libc::SYS_recvfrom, fd, nothing, 0usize, flags, nothing, nothing) })
        .map(drop)
}

/// Is it a TCP socket?
pub fn is_tcp(fd: RawFd) -> bool {
    option(fd, libc::SO_PROTOCOL) == Ok(libc::IPPROTO_TCP)
}

/// Takes the error of a TCP connection that has ended, and tells whether reads would have failed with it, after what there
/// is to read. They do not if the peer ended the connection properly first. Where bytes lie before that end it is known by
/// the error, which is EPIPE then as a rule. A socket of another protocol keeps its error.
pub fn take_error(fd: RawFd) -> Option<(Errno, bool)> {
    if !is_tcp(fd) {
        return None;
    }
    let drained = readable(fd).ok()? == 0;
    if drained
        && let Err(error) = try_to_peek(fd)
        && !matches!(error, Errno::EAGAIN | Errno::ENOTCONN | Errno::EBADF)
    {
        return Some((error, true));
    }
    let error = option(fd, libc::SO_ERROR).ok().filter(|&error| error != 0).map(Errno)?;
    Some((error, !drained && error != Errno::EPIPE))
}

/// Bytes that were written to a socket and are still on their way.
pub fn unsent(fd: RawFd) -> Result<i64> {
    number(fd, libc::TIOCOUTQ as libc::c_ulong).map(i64::from)
}

/// Bytes for which a pipe has room, at most.
pub fn pipe_room(fd: RawFd) -> Result<i64> {
    // SAFETY: no pointers.
    let size = check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETPIPE_SZ) })?;
    Ok(size as i64 - readable(fd)?)
}

/// Bytes from the offset of a file to its end; negative beyond that.
pub fn to_the_end(fd: RawFd) -> Result<i64> {
    Ok(stat(fd, libc::STATX_SIZE)?.stx_size as i64 - offset(fd)?)
}

/// Does a file have bytes at an offset, or at its own? Of what has no offsets: can any be read?
pub fn has_bytes(fd: RawFd, at: Option<i64>) -> bool {
    match at.map_or_else(|| offset(fd), Ok) {
        Ok(at) => to_the_end(fd).and_then(|left| Ok(left + offset(fd)? > at)).unwrap_or(false),
        Err(_) => readable(fd).is_ok_and(|bytes| bytes > 0),
    }
}

#[cfg(target_pointer_width = "64")]
fn offset(fd: RawFd) -> Result<i64> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) }).map(|at| at as i64)
}

#[cfg(target_pointer_width = "32")]
fn offset(fd: RawFd) -> Result<i64> {
    let mut at = 0i64;
    // SAFETY: the offset outlives the call.
    check(unsafe { libc::syscall(libc::SYS__llseek, fd, 0, 0, &raw mut at, libc::SEEK_CUR) })?;
    Ok(at)
}
