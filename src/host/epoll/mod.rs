//! Linux: a ready set is an epoll set, and its number is what the guest program holds.
//!
//! * An arming is `EPOLLONESHOT` or level-triggered. Every control call gives it a cookie of its own, so a late wake of
//!   an earlier arming is recognised and dropped.
//! * The bell is one process-wide descriptor that is always ready: a pipe that is open for both directions, which is
//!   always writable. It is rung and lowered in each set by `EPOLL_CTL_MOD`; nothing is ever written to it or read from
//!   it, and on a number that the program reuses the call fails instead of changing something. (An eventfd would do as
//!   well, but all eventfds share one inode: a pipe can be told from any other file by `fstat`.)
//! * `EPOLL_CTL_MOD` neither unlinks an item that is ready nor signals an outer set for one that still is. Hence a
//!   turn after each `hush`.

// The room of the host's system calls.
#![allow(unsafe_code)]

mod alarm;
mod bell;
pub mod below;
mod direct;
mod ghost;
pub mod handlers;
mod masked;
pub mod measure;
mod notice;
mod owed;
pub mod proc;
mod restorer;
mod wait;

pub use alarm::Alarm;
pub use bell::Bell;
pub use masked::Masked;
pub use notice::Notices;
pub use wait::Wakes;

use super::{AfterFork, Class, Cookie, How, RawFd, ReadySet, Ring, Until};
use crate::errno::{Errno, Result};
use below::check;

/// The poll bits that epoll takes: all but POLLNVAL, and none of epoll's own flags.
const ASKABLE: u32 = 0x25DF;

/// An epoll set, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpollSet(RawFd);

fn pack(cookie: Cookie) -> u64 {
    u64::from(cookie.slot) | u64::from(cookie.arming) << 32
}

fn unpack(data: u64) -> Cookie {
    Cookie { slot: data as u32, arming: (data >> 32) as u32 }
}

impl EpollSet {
    fn control(self, op: i32, fd: RawFd, events: u32, data: u64) -> Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        let at = (&raw mut event).expose_provenance();
        // SAFETY: `event` lives across the call; the kernel only reads it.
        unsafe { direct::call(libc::SYS_epoll_ctl, [self.0 as usize, op as usize, fd as usize, at, 0]) }
            .map(drop)
    }

    /// `ADD`, or `MOD` where the item is there already (a registration that the kernel kept).
    fn put(self, fd: RawFd, events: u32, data: u64) -> Result<()> {
        match self.control(libc::EPOLL_CTL_ADD, fd, events, data) {
            Err(Errno::EEXIST) => self.control(libc::EPOLL_CTL_MOD, fd, events, data),
            other => other,
        }
    }

    fn bell_events(how: Ring) -> u32 {
        match how {
            Ring::Once => (libc::EPOLLOUT | libc::EPOLLONESHOT) as u32,
            Ring::Loud => libc::EPOLLOUT as u32,
        }
    }
}

impl ReadySet for EpollSet {
    type Batch = (); // control calls take effect at once
    type Bell = Bell;
    const AFTER_FORK: AfterFork = AfterFork::Shared;

    fn create(closed_on_exec: bool) -> Result<Self> {
        let flags = if closed_on_exec { libc::EPOLL_CLOEXEC } else { 0 };
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_epoll_create1, flags) }).map(|fd| EpollSet(fd as RawFd))
    }

    fn at(fd: RawFd) -> Self {
        EpollSet(fd)
    }

    fn fd(self) -> RawFd {
        self.0
    }

    fn arm(self, _: &(), fd: RawFd, cookie: Cookie, want: u32, how: How) -> Result<Class> {
        let once = match (cookie.is_level(), cookie.is_edge()) {
            (true, _) => 0,
            (_, true) => libc::EPOLLET as u32,
            _ => libc::EPOLLONESHOT as u32,
        };
        let (events, data) = (want & ASKABLE | once, pack(cookie));
        let armed = match how {
            How::New => self.put(fd, events, data),
            How::Unless => self.control(libc::EPOLL_CTL_ADD, fd, events, data),
            How::Again => self.control(libc::EPOLL_CTL_MOD, fd, events, data),
        };
        match armed {
            Ok(()) => Ok(Class::Pollable),
            Err(Errno::EPERM) => Ok(Class::AlwaysReady), // epoll_ctl(2): "does not support epoll"
            Err(Errno::ENOSPC) => Err(Errno::EAGAIN),    // max_user_watches
            Err(other) => Err(other),
        }
    }

    fn calm(self, _: &(), fd: RawFd, cookie: Cookie) -> Result<()> {
        // Hang-up and error cannot be masked, but one-shot they come once: the turn that follows takes them.
        self.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLONESHOT as u32, pack(cookie))
    }

    fn cut(self, ghost: Cookie, bell: &Bell) -> bool {
        ghost::cut(self.0, pack(ghost), bell.fd())
    }

    fn disarm(self, _: &(), fd: RawFd) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn hang_bell(self, bell: &Bell) -> Result<()> {
        match self.control(libc::EPOLL_CTL_ADD, bell.fd(), libc::EPOLLONESHOT as u32, pack(Cookie::BELL)) {
            Err(Errno::EEXIST) => Ok(()),
            Err(Errno::ENOSPC) => Err(Errno::EAGAIN),
            other => other,
        }
    }

    fn ring(self, bell: &Bell, how: Ring) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, bell.fd(), Self::bell_events(how), pack(Cookie::BELL))
    }

    fn hush(self, bell: &Bell) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, bell.fd(), libc::EPOLLONESHOT as u32, pack(Cookie::BELL))
    }

    fn turn(self, _: &(), wakes: &mut Wakes, most: usize, until: Until, mask: &Masked) -> Result<()> {
        wakes.fill(self.0, most, until, mask)
    }

    fn watch_edges(self, inner: Self) -> Result<()> {
        let data = pack(Cookie { slot: u32::MAX, arming: 0 });
        self.put(inner.0, (libc::EPOLLIN | libc::EPOLLET) as u32, data)
    }

    fn is_ours(self, bell: &Bell) -> bool {
        let added =
            self.control(libc::EPOLL_CTL_ADD, bell.fd(), libc::EPOLLONESHOT as u32, pack(Cookie::BELL));
        if added.is_ok() {
            // It did not hang there: somebody else's set (or ours with an older bell); leave it as it was.
            let _ = self.disarm(&(), bell.fd());
        }
        added == Err(Errno::EEXIST)
    }

    fn sign(self) -> bool {
        // SAFETY: no pointers.
        unsafe { direct::call(libc::SYS_fcntl, [self.0 as usize, F_SETSIG, SIGN, 0, 0]) }.is_ok()
    }

    fn is_signed(self) -> bool {
        // SAFETY: no pointers.
        unsafe { direct::call(libc::SYS_fcntl, [self.0 as usize, F_GETSIG, 0, 0, 0]) == Ok(SIGN) }
    }
}

/// `fcntl`: which signal tells the owner of a file of input (fcntl(2)). It is a property of the open file and not of its number.
/// A set never sends one, so nobody gives it any; ours have this one, by which they are told from the program's.
const SIGN: usize = 64;
const F_SETSIG: usize = 10;
const F_GETSIG: usize = 11;
