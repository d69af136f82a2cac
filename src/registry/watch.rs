//! Watches: what an object wants to know of a descriptor number.
//!
//! A watch is in two lists: those of its number (guarded by the table entry's lock, which is taken first) and those
//! of its object. The identity is number and open file (R4.2): closing the number ends the watch, a number that is
//! used again starts with none.

use super::Registry;
use super::held::Held;
use super::lock::Guard;
use super::record::State;
use super::table::Entry;
use crate::errno::Result;
use crate::host::{Class, Cookie, Masked, RawFd, ReadySet, Set};

/// Hang-up and error are always reported (R4.6).
pub fn reportable(want: u32) -> u32 {
    want | (libc::POLLHUP | libc::POLLERR) as u32
}

/// A number's entry under its lock.
pub struct HeldNumber {
    /// The entry.
    pub entry: &'static Entry,
    fd: RawFd,
    _guard: Guard<'static>,
}

impl Registry {
    /// Takes the lock of a number. ENOMEM.
    pub fn hold_number(&'static self, fd: RawFd, mask: &Masked) -> Result<HeldNumber> {
        let entry = self.table.entry(fd)?;
        Ok(HeldNumber { entry, fd, _guard: entry.lock.lock(mask) })
    }

    /// Ends every watch of a number, in every object (R4.20), and withdraws their queued events.
    pub fn drop_watches(&'static self, fd: RawFd, mask: &Masked) {
        let Ok(number) = self.hold_number(fd, mask) else { return };
        loop {
            let index = number.entry.watches.get();
            if index == 0 {
                return;
            }
            let home = self.arena.slot(index).home.get();
            // Any number of the object will do to reach its set; there is one, or the object would have ended the
            // watch, for which it needs the lock that we hold.
            let object = self.hold_index(home, Set::at(-1), mask).through_a_number();
            object.remove(&number, index);
            let _ = object.settle();
        }
    }
}

impl<'m> Held<'m> {
    /// The same, with the set reached through the object's first number.
    pub fn through_a_number(mut self) -> Held<'m> {
        self.set = Set::at(self.object.numbers.get() as RawFd - 1);
        self
    }

    /// Is the number through which the set is reached proved to be the set?
    pub fn set_is_ours(&self) -> bool {
        self.registry.bell.known(self.mask).is_some_and(|bell| self.set.is_ours(&bell))
    }

    /// The watch of a number in this object.
    pub fn find(&self, number: &HeldNumber) -> Option<u32> {
        let mut index = number.entry.watches.get();
        while index != 0 && self.slot(index).home.get() != self.index {
            index = self.slot(index).beside.get();
        }
        (index != 0).then_some(index)
    }

    /// A new, spent watch. EAGAIN.
    pub fn watch(&self, number: &HeldNumber) -> Result<u32> {
        let index = self.reserve(State::Spent)?;
        let slot = self.slot(index);
        slot.fd.set(number.fd);
        slot.mark.set(0);
        slot.beside.set(number.entry.watches.get());
        number.entry.watches.set(index);
        let first = self.object.watches.get();
        slot.previous_watch.set(0);
        slot.next_watch.set(first);
        if first != 0 {
            self.slot(first).previous_watch.set(index);
        }
        self.object.watches.set(index);
        Ok(index)
    }

    /// Withdraws what a watch has queued or armed, so that it reports nothing until it is armed again (R4.3). True
    /// if the kernel holds an enabled registration, whose stamp is void now: arm anew or [`Held::unregister`].
    pub fn quiet(&self, index: u32) -> bool {
        let slot = self.slot(index);
        let before = slot.word.state();
        match before {
            State::Queued => self.unlink(index),
            State::Armed => self.object.armed.decrement(),
            _ => {}
        }
        slot.word.renew(State::Spent);
        before == State::Armed
    }

    /// Drops the kernel's registration of a watch.
    pub fn unregister(&self, index: u32) {
        let slot = self.slot(index);
        if slot.mark.get() != 0 {
            slot.mark.set(0);
            self.set.disarm(&self.object.batch, slot.fd.get());
        }
    }

    /// Arms a spent watch in the kernel for `Slot::want`.
    pub fn arm(&self, index: u32) -> Result<Class> {
        let slot = self.slot(index);
        let cookie = Cookie { slot: index, arming: slot.word.renew(State::Spent) };
        let held = slot.mark.get() != 0;
        let class = self.set.arm(&self.object.batch, slot.fd.get(), cookie, slot.want.get() as u32, held)?;
        if class == Class::Pollable {
            slot.mark.set(1);
            slot.word.turn_into(State::Armed);
            self.object.armed.increment();
        }
        Ok(class)
    }

    /// A watch of something that never becomes ready for what it asks: pending until it is ended or replaced.
    pub fn arm_for_nothing(&self, index: u32) {
        self.slot(index).word.turn_into(State::Armed);
        self.object.armed.increment();
    }

    /// Queues the event of a spent watch.
    pub fn report(&self, index: u32, bits: u32) {
        let slot = self.slot(index);
        slot.events.set(bits as i32);
        slot.word.turn_into(State::Queued);
        self.append(index);
    }

    /// Ends a watch. The kernel's registration is dropped only where the set is proved to be ours: the number of a
    /// port may have been closed unseen, and name an epoll set of the program's by now.
    pub fn remove(&self, number: &HeldNumber, index: u32) {
        let slot = self.slot(index);
        self.quiet(index);
        if slot.mark.get() != 0 && self.set_is_ours() {
            self.unregister(index);
        }
        self.unchain_beside(number, index);
        let (previous, next) = (slot.previous_watch.get(), slot.next_watch.get());
        if previous == 0 {
            self.object.watches.set(next);
        } else {
            self.slot(previous).next_watch.set(next);
        }
        if next != 0 {
            self.slot(next).previous_watch.set(previous);
        }
        self.release(index);
    }

    fn unchain_beside(&self, number: &HeldNumber, index: u32) {
        let after = self.slot(index).beside.get();
        let mut at = number.entry.watches.get();
        if at == index {
            number.entry.watches.set(after);
            return;
        }
        while at != 0 {
            let slot = self.slot(at);
            if slot.beside.get() == index {
                slot.beside.set(after);
                return;
            }
            at = slot.beside.get();
        }
    }
}
