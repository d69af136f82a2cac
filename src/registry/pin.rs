//! Control calls on a set outside its object's lock.
//!
//! Who gives the lock up for a control call pins the object before; who retires one of its numbers waits until nobody
//! has it pinned, so that no control call reaches a number that is somebody else's by then. The pin is taken under the
//! object's lock and held for a bounded time, with no handler running.

use super::sync::{AtomicU32, Ordering::*, futex_wait, futex_wake};

/// Somebody waits.
const WAITED: u32 = 1 << 31;

/// How many threads have an object pinned. Zeroed memory is "none".
#[derive(Default)]
#[repr(transparent)]
pub struct Pins(AtomicU32);

impl Pins {
    /// One more. Under the object's lock.
    pub fn pin(&self) {
        self.0.fetch_add(1, Acquire);
    }

    /// One less. Without the lock.
    pub fn unpin(&self) {
        #[cfg(evshim_planted)]
        // a mistake that the model must find: who begins to wait in between is not woken
        let last_and_waited = {
            let before = self.0.load(Acquire);
            self.0.fetch_sub(1, Release);
            before == WAITED | 1
        };
        #[cfg(not(evshim_planted))]
        let last_and_waited = self.0.fetch_sub(1, Release) == WAITED | 1;
        if last_and_waited {
            futex_wake(&self.0, i32::MAX);
        }
    }

    /// Is it pinned?
    pub fn any(&self) -> bool {
        self.0.load(Acquire) & !WAITED != 0
    }

    /// Waits until nobody has it pinned. Without the lock.
    pub fn await_none(&self) {
        loop {
            let now = self.0.load(Acquire);
            if now & !WAITED == 0 {
                let _ = self.0.compare_exchange(WAITED, 0, Relaxed, Relaxed);
                return;
            }
            if now & WAITED != 0 || self.0.compare_exchange(now, now | WAITED, Acquire, Relaxed).is_ok() {
                futex_wait(&self.0, now | WAITED, None);
            }
        }
    }
}
