//! The one place where a thread sleeps on an epoll set.

use super::super::{RawFd, Until, Wake};
use super::below::{self, check};
use super::direct;
use super::masked::Masked;
use super::unpack;
use crate::errno::{Errno, Result};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Room for the wakes of one turn. On the stack: no allocation per event.
pub struct Wakes {
    events: [MaybeUninit<libc::epoll_event>; Wakes::ROOM],
    filled: usize,
}

/// Set once `epoll_pwait2` (Linux 5.11) was refused: by an older kernel (ENOSYS) or by a seccomp filter (EPERM).
static NO_PWAIT2: AtomicBool = AtomicBool::new(false);

/// The time-out of `epoll_pwait2` has 64-bit members on every architecture.
#[repr(C)]
struct Timespec64 {
    seconds: i64,
    nanoseconds: i64,
}

impl Wakes {
    /// How many wakes one turn brings at most.
    pub const ROOM: usize = 128;

    /// An empty batch.
    pub fn new() -> Self {
        Wakes { events: [const { MaybeUninit::uninit() }; Wakes::ROOM], filled: 0 }
    }

    /// What the last turn brought.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Wake> + '_ {
        (0..self.filled).filter_map(|at| self.get(at))
    }

    /// One of them.
    #[inline]
    pub fn get(&self, at: usize) -> Option<Wake> {
        let event = self.events.get(at).filter(|_| at < self.filled)?;
        // SAFETY: the kernel filled that many.
        let event = unsafe { event.assume_init_ref() };
        Some(Wake { cookie: unpack(event.u64), exact: Some(event.events) })
    }

    /// How many that was.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether it was none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Waits on the set `fd` for at most `most` wakes. While it waits the program's own signal mask is in force, so
    /// a handler runs only when the call ends with EINTR and took nothing: `epoll_pwait` "atomically" swaps masks,
    /// and the kernel delivers nothing on the way out of a call that returns events.
    pub(super) fn fill(&mut self, fd: RawFd, most: usize, until: Until, mask: &Masked) -> Result<()> {
        self.filled = 0;
        let most = most.clamp(1, Wakes::ROOM) as i32;
        let deadline = match until {
            Until::Now => {
                self.filled = self.look(fd, most)?;
                return Ok(());
            }
            Until::At(deadline) => Some(deadline),
            Until::Forever => None,
        };
        loop {
            let left = deadline.map(|deadline| deadline.saturating_sub(below::now()));
            let got = if NO_PWAIT2.load(Relaxed) {
                self.wait_ms(fd, most, ms_up(left), mask)
            } else {
                match self.wait_ns(fd, most, left, mask) {
                    Err(Errno::ENOSYS | Errno::EPERM) => {
                        NO_PWAIT2.store(true, Relaxed);
                        continue;
                    }
                    other => other,
                }
            };
            self.filled = got?;
            // A wait may be shorter than asked (the fall-back cuts a huge time-out): go on until the deadline.
            if self.filled > 0 || deadline.is_some_and(|deadline| below::now() >= deadline) {
                return Ok(());
            }
        }
    }

    fn wait_ns(&mut self, fd: RawFd, most: i32, left: Option<u64>, mask: &Masked) -> Result<usize> {
        let time = left.map(|ns| Timespec64 {
            seconds: (ns / 1_000_000_000) as i64,
            nanoseconds: (ns % 1_000_000_000) as i64,
        });
        let time = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
        let program = mask.program();
        let (signals, size) = (&raw const program, 8usize);
        // SAFETY: `events` has room for `most` entries, `time` and `signals` outlive the call.
        let wait = || unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, fd, self.events.as_mut_ptr(), most, time, signals, size)
        };
        check(cancellable(mask.cancellable(), wait)).map(|n| n as usize)
    }

    /// Does not wait: no mask has to be swapped. Where there is `epoll_wait` it is the cheaper call for that.
    #[inline]
    fn look(&mut self, fd: RawFd, most: i32) -> Result<usize> {
        let list = self.events.as_mut_ptr().expose_provenance();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `events` has room for `most` entries.
        let looked = unsafe { direct::call(libc::SYS_epoll_wait, [fd as usize, list, most as usize, 0, 0]) };
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: as above, and no mask.
        let looked = unsafe { direct::call(libc::SYS_epoll_pwait, [fd as usize, list, most as usize, 0, 0]) };
        looked
    }

    fn wait_ms(&mut self, fd: RawFd, most: i32, ms: i32, mask: &Masked) -> Result<usize> {
        let program = mask.program();
        let (signals, size) = (&raw const program, 8usize);
        // SAFETY: `events` has room for `most` entries, `signals` outlives the call.
        let wait = || unsafe {
            libc::syscall(libc::SYS_epoll_pwait, fd, self.events.as_mut_ptr(), most, ms, signals, size)
        };
        check(cancellable(mask.cancellable(), wait)).map(|n| n as usize)
    }
}

impl Default for Wakes {
    fn default() -> Self {
        Self::new()
    }
}

unsafe extern "C" {
    fn pthread_setcanceltype(new: i32, old: *mut i32) -> i32;
}

/// Sleeps. All signals are blocked around it, the C library's own for cancelling too: so the thread can end only where
/// the kernel has put the program's mask in force.
fn cancellable(may_end: bool, sleep: impl FnOnce() -> libc::c_long) -> libc::c_long {
    const ASYNCHRONOUS: i32 = 1;
    if !may_end {
        return sleep();
    }
    let mut before = 0;
    // SAFETY: `before` outlives the calls. No lock is held here, and who looks for the thread's traces copes with its end.
    unsafe { pthread_setcanceltype(ASYNCHRONOUS, &raw mut before) };
    let result = sleep();
    let errno = below::errno();
    // SAFETY: as above.
    unsafe { pthread_setcanceltype(before, &raw mut before) };
    below::set_errno(errno);
    result
}

/// Milliseconds, rounded up: R7.11 "waits at least that long".
fn ms_up(left: Option<u64>) -> i32 {
    left.map_or(-1, |ns| i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        assert_eq!(ms_up(None), -1);
        assert_eq!(ms_up(Some(0)), 0);
        assert_eq!(ms_up(Some(1)), 1);
        assert_eq!(ms_up(Some(1_000_001)), 2);
        assert_eq!(ms_up(Some(u64::MAX)), i32::MAX);
    }
}
