//! A lock for short, handler-free sections over mapped memory.
//!
//! The standard mutex would do but for two things: this one lives in zeroed shared memory, where nothing is
//! constructed, and it can be taken only where no handler runs ([`Masked`]). As long as the process has one thread, which can
//! begin no other one in a section, plain loads and stores do.

use super::sync::{AtomicU32, Masked, Ordering::*, futex_wait, futex_wake, is_alone};

const FREE: u32 = 0;
const HELD: u32 = 1;
const HELD_AND_WANTED: u32 = 2;

/// Zeroed memory is an unlocked lock.
#[derive(Default)]
pub struct Lock(AtomicU32);

/// The lock is held while this lives.
pub struct Guard<'a>(&'a Lock);

impl Lock {
    /// Takes the lock. A holder runs a bounded piece of code with signals blocked, so the wait is short.
    #[inline(always)]
    pub fn lock(&self, _: &Masked) -> Guard<'_> {
        if is_alone() && self.0.load(Relaxed) == FREE {
            self.0.store(HELD, Relaxed);
            return Guard(self);
        }
        if self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.wait();
        }
        Guard(self)
    }

    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS {
            core::hint::spin_loop();
            if self.0.load(Relaxed) == FREE && self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok() {
                return;
            }
        }
        while self.0.swap(HELD_AND_WANTED, Acquire) != FREE {
            futex_wait(&self.0, HELD_AND_WANTED, None);
        }
    }
}

/// A section is about as long as a system call; spinning longer than that loses to sleeping.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if is_alone() {
            self.0.0.store(FREE, Release);
        } else if self.0.0.swap(FREE, Release) == HELD_AND_WANTED {
            futex_wake(&self.0.0, 1);
        }
    }
}
