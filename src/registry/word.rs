//! The word of a slot: what it is, and which one.
//!
//! The lower four bits are the state, the bits above them a stamp that changes with every arming and every reuse. So
//! who remembers the stamp knows whether the slot still is what it was, and one atomic operation asks and changes.
//!
//! A waiter's return is a hand-shake on this word. It comes back without any lock; somebody who waits for that marks
//! the word first, and sleeps on it. As both change the same word, one of them sees the other.

use super::sync::{AtomicU32, Ordering::*, futex_wait, futex_wake, is_alone};

/// What a slot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum State {
    /// On the free list.
    Free = 0,
    /// An event of its own, queued or about to be.
    Event = 1,
    /// A watch that waits for the kernel.
    Armed = 2,
    /// A watch whose event is in the queue.
    Queued = 3,
    /// A watch whose event was retrieved: it keeps its slot and reports nothing (R4.5).
    Spent = 4,
    /// A waiter between its check and its return from the kernel.
    Going = 5,
    /// The same, and somebody waits for the return.
    Awaited = 6,
    /// A waiter that returned.
    Back = 7,
    /// A watch that was ended: it counts no more, but may keep what the kernel has of it for the next time.
    Idle = 8,
    /// A note: see [`super::note`].
    Note = 9,
}

impl State {
    /// Is it a watch, whatever it waits for?
    pub fn is_watch(self) -> bool {
        matches!(self, State::Armed | State::Queued | State::Spent | State::Idle)
    }
}

const STATE: u32 = 15;

/// Zeroed memory is the word of a free slot.
#[derive(Default)]
#[repr(transparent)]
pub struct Word(AtomicU32);

impl Word {
    /// What the slot is now.
    pub fn state(&self) -> State {
        match self.0.load(Acquire) & STATE {
            1 => State::Event,
            2 => State::Armed,
            3 => State::Queued,
            4 => State::Spent,
            5 => State::Going,
            6 => State::Awaited,
            7 => State::Back,
            8 => State::Idle,
            9 => State::Note,
            _ => State::Free,
        }
    }

    /// The stamp.
    pub fn stamp(&self) -> u32 {
        self.0.load(Acquire) >> 4
    }

    /// The same thing in another state.
    pub fn turn_into(&self, state: State) {
        self.0.store(self.0.load(Relaxed) & !STATE | state as u32, Release);
    }

    /// Another thing: the stamp changes, and what remembered the old one is void.
    pub fn renew(&self, state: State) -> u32 {
        let stamp = (self.0.load(Relaxed) >> 4).wrapping_add(1) & (u32::MAX >> 4);
        if is_alone() {
            self.0.store(stamp << 4 | state as u32, Release); // no waiter comes back at the same time
        } else {
            self.0.swap(stamp << 4 | state as u32, AcqRel);
        }
        stamp
    }

    /// A waiter returned from the kernel. Nothing happens if the slot is not its own any more.
    pub fn come_back(&self, stamp: u32) {
        let is = |state: State| stamp << 4 | state as u32;
        if self.0.compare_exchange(is(State::Going), is(State::Back), AcqRel, Acquire).is_ok() {
            return;
        }
        if self.0.compare_exchange(is(State::Awaited), is(State::Back), AcqRel, Acquire).is_ok() {
            futex_wake(&self.0, i32::MAX);
        }
    }

    /// Waits for that return, for `ns` at most: true if the waiter is back.
    pub fn await_return(&self, stamp: u32, ns: Option<u64>) -> bool {
        let is = |state: State| stamp << 4 | state as u32;
        let _ = self.0.compare_exchange(is(State::Going), is(State::Awaited), AcqRel, Acquire);
        if self.0.load(Acquire) == is(State::Awaited) {
            futex_wait(&self.0, is(State::Awaited), ns);
        }
        self.0.load(Acquire) != is(State::Awaited)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_the_old_from_the_new() {
        let word = Word::default();
        assert_eq!((word.state(), word.stamp()), (State::Free, 0));
        let old = word.renew(State::Going);
        word.renew(State::Free);
        word.renew(State::Going);
        word.come_back(old);
        assert_eq!(word.state(), State::Going);
        word.come_back(word.stamp());
        assert_eq!(word.state(), State::Back);
        word.turn_into(State::Going);
        assert!(!word.await_return(word.stamp(), Some(1)), "nobody came back");
    }

    #[test]
    fn stamps_wrap() {
        let word = Word(AtomicU32::new(u32::MAX));
        assert_eq!(word.renew(State::Armed), 0);
        assert_eq!((word.state(), word.stamp()), (State::Armed, 0));
    }
}
