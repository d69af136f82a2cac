//! One deadline of a set: a timerfd that hangs in it. Nothing ever reads it; setting it anew clears it.

use super::super::{Clock, Cookie, RawFd, ReadySet};
use super::below::{self, check};
use super::{EpollSet, pack};
use crate::errno::{Errno, Result};

/// An alarm by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alarm(RawFd);

impl Alarm {
    /// A new alarm at a helper's number. EMFILE, ENFILE, ENOMEM.
    pub fn make(clock: Clock) -> Result<Alarm> {
        let clock = match clock {
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::Wall => libc::CLOCK_REALTIME,
        };
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::syscall(libc::SYS_timerfd_create, clock, flags) })?;
        Ok(Alarm(below::move_up(fd as RawFd)))
    }

    /// An alarm that was made earlier.
    pub fn at(fd: RawFd) -> Alarm {
        Alarm(fd)
    }

    /// Its number.
    pub fn fd(self) -> RawFd {
        self.0
    }

    /// Makes it part of a set.
    pub fn hang_in(self, set: EpollSet, cookie: Cookie) -> Result<()> {
        match set.control(libc::EPOLL_CTL_ADD, self.0, libc::EPOLLIN as u32, pack(cookie)) {
            Err(Errno::ENOSPC) => Err(Errno::EAGAIN),
            other => other,
        }
    }

    /// Does the number name the alarm that hangs in the set?
    pub fn hangs_in(self, set: EpollSet, cookie: Cookie) -> bool {
        let added = set.control(libc::EPOLL_CTL_ADD, self.0, 0, pack(cookie));
        if added.is_ok() {
            let _ = set.disarm(&(), self.0); // somebody else's file
        }
        added == Err(Errno::EEXIST)
    }

    /// Sets it to a time of its clock, in nanoseconds; 0 for never.
    pub fn set(self, at: u64) {
        const BILLION: u64 = 1_000_000_000;
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let time = libc::timespec {
            tv_sec: (at / BILLION).min(libc::time_t::MAX as u64) as libc::time_t,
            tv_nsec: (at % BILLION) as libc::c_long,
        };
        let spec = libc::itimerspec { it_interval: zero, it_value: time };
        let none: *mut libc::itimerspec = core::ptr::null_mut();
        // SAFETY: `spec` outlives the call; the number was just shown to be ours.
        unsafe {
            libc::syscall(libc::SYS_timerfd_settime, self.0, libc::TFD_TIMER_ABSTIME, &raw const spec, none)
        };
    }
}
