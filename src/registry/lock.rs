//! A lock for short, handler-free sections over mapped memory.
//!
//! The standard mutex would do but for two things: this one lives in zeroed shared memory, where nothing is
//! constructed, and it can be taken only where no handler runs ([`Masked`]).

use super::sync::{AtomicU32, Masked, Ordering::*, futex_wait, futex_wake};

const FREE: u32 = 0;
const HELD: u32 = 1;
const HELD_AND_WANTED: u32 = 2;

/// Zeroed memory is an unlocked lock.
#[derive(Default)]
pub struct Lock(AtomicU32);

/// The lock is held while this lives.
pub struct Guard<'a>(&'a Lock);

impl Lock {
    #[inline]
    /// Takes the lock. A holder runs a bounded piece of code with signals blocked, so the wait is short.
    pub fn lock(&self, _: &Masked) -> Guard<'_> {
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
    fn drop(&mut self) {
        if self.0.0.swap(FREE, Release) == HELD_AND_WANTED {
            futex_wake(&self.0.0, 1);
        }
    }
}
