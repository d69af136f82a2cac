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
use crate::errno::{Errno, Result};
use crate::host::{Class, How, Masked, RawFd, ReadySet, Set};

/// `Slot::mark`: the kernel has no registration.
pub const NOTHING: u32 = 0;
/// It has one that fires once, and is enabled only while the watch is armed.
pub const ONCE: u32 = 1;
/// It has one that stays enabled.
pub const LEVEL: u32 = 2;
/// It has one that fires once and is enabled although the watch was ended.
pub const KEPT: u32 = 3;

/// What a file without poll routine is always ready for (R4.8).
pub const FILE_READY: u32 = (libc::POLLIN
    | libc::POLLRDNORM
    | libc::POLLRDBAND
    | libc::POLLOUT
    | libc::POLLWRNORM
    | libc::POLLWRBAND) as u32;

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

    /// Does the number name an object that nobody polled from outside so far?
    #[inline]
    pub fn is_unexposed(&self, fd: RawFd) -> bool {
        self.object_of(fd).is_some_and(|object| object.exposed.get() == 0)
    }

    /// The number is in a set: if it is an object's, that must show no more than its queue from now on.
    pub fn polled_from_outside(&'static self, fd: RawFd) {
        if self.is_unexposed(fd) {
            let mask = Masked::new();
            let _ = self.hold(fd, &mask).map(|held| held.expose());
        }
    }

    /// Ends every watch of a number, in every object (R4.20), and withdraws their queued events, if the file is `gone`.
    pub fn drop_watches(&'static self, fd: RawFd, mask: &Masked, gone: &dyn Fn(Option<&Held<'_>>) -> bool) {
        let Ok(number) = self.hold_number(fd, mask) else { return };
        if !gone(None) {
            return;
        }
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
        for cell in [
            &slot.mark,
            &slot.previous_unsure,
            &slot.strict,
            &slot.penalty,
            &slot.fires,
            &slot.previous_watch,
        ] {
            cell.set(0);
        }
        slot.beside.set(number.entry.watches.get());
        number.entry.watches.set(index);
        let first = self.object.watches.get();
        slot.next_watch.set(first);
        if first != 0 {
            self.slot(first).previous_watch.set(index);
        }
        self.object.watches.set(index);
        Ok(index)
    }

    /// The object's watches.
    pub fn watches(&self) -> impl Iterator<Item = u32> + '_ {
        let some = |index: u32| (index != 0).then_some(index);
        core::iter::successors(some(self.object.watches.get()), move |&w| some(self.slot(w).next_watch.get()))
    }

    /// A watch that was ended begins again, spent; its registration may still be enabled. EAGAIN.
    pub fn revive(&self, index: u32) -> Result<()> {
        self.room()?;
        self.object.used.increment();
        self.slot(index).word.turn_into(State::Spent);
        Ok(())
    }

    /// Ends a watch but keeps what the kernel has of it, enabled as it is: associating again then costs none of the two
    /// dear control calls. Only where nobody sees it ([`Held::may_keep`]).
    pub fn shelve(&self, index: u32) {
        let kept = self.quiet(index) && self.slot(index).mark.get() == ONCE;
        if kept {
            self.mark(index, KEPT);
        }
        self.slot(index).word.turn_into(State::Idle);
        self.object.used.decrement();
    }

    /// Drops the kernel's registration of a watch.
    pub fn unregister(&self, index: u32) {
        let before = self.slot(index).mark.get();
        if self.object.side.get() != 0 {
            self.disarm_at_side(index);
        }
        self.mark(index, NOTHING);
        if before != NOTHING && self.prove().is_ok() {
            let dropped = self.set.disarm(&self.object.batch, self.slot(index).fd.get());
            if dropped.is_err() && before == LEVEL {
                self.object.haunted.set(1);
            }
        }
    }

    /// Withdraws what a watch has queued or armed, so that it reports nothing until it is armed again (R4.3). True
    /// if the kernel holds an enabled registration.
    pub fn quiet(&self, index: u32) -> bool {
        let slot = self.slot(index);
        let before = slot.word.state();
        match before {
            State::Queued => self.remove_queued(index),
            State::Armed => self.object.armed.decrement(),
            _ => {}
        }
        self.be_sure(index);
        slot.word.renew(State::Spent);
        slot.mark.get() == LEVEL || slot.mark.get() == ONCE && before == State::Armed
    }

    /// Arms a spent watch in the kernel for `Slot::want`. `again`: it was retrieved, so it may soon be again, and an
    /// arming that stays enabled may pay.
    pub fn arm(&self, index: u32, again: bool) -> Result<Class> {
        self.prove()?;
        let slot = self.slot(index);
        let stamp = slot.word.renew(State::Spent);
        let level = again && slot.strict.get() == 0 && self.may_be_lazy();
        if again && slot.strict.get() != 0 {
            slot.strict.decrement();
        }
        let cookie = self.cookie(index, stamp, level);
        let (before, want) = (slot.mark.get(), slot.want.get() as u32);
        let arm = |how| self.set.arm(&self.object.batch, slot.fd.get(), cookie, want, how);
        let mut armed = arm(if before == NOTHING { How::New } else { How::Again });
        if before != NOTHING && armed == Err(Errno::ENOENT) {
            // The number was closed unseen, and the kernel dropped the registration; or a duplicate keeps it.
            self.mark(index, NOTHING);
            self.object.haunted.set(1);
            armed = arm(How::New);
        }
        let class = armed?;
        if class == Class::AlwaysReady {
            self.mark(index, NOTHING);
            return Ok(class);
        }
        let was_linked = before == LEVEL && slot.mark.get() == LEVEL;
        self.mark(index, if level { LEVEL } else { ONCE });
        slot.fires.set(0);
        slot.cookie.set(cookie.arming);
        self.set_armed(index);
        // A change makes no edge for outer sets and sleepers if the item was linked already.
        if was_linked { self.scan(0).map(|()| class) } else { Ok(class) }
    }

    /// Arms an armed watch once more, one-shot. If that fails (the number was closed unseen) it waits for nothing, until
    /// it is set again.
    pub fn arm_over(&self, index: u32) {
        self.quiet(index);
        if self.arm(index, false).is_err() {
            self.set_armed(index);
        }
    }

    /// A watch of something that never becomes ready for what it asks: pending until it is ended or replaced.
    pub fn arm_for_nothing(&self, index: u32) {
        self.set_armed(index);
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
        let counted = slot.word.state() != State::Idle;
        self.drop_notes(index);
        self.quiet(index);
        self.unregister(index);
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
        if counted {
            self.object.used.decrement();
        }
        self.registry.arena.free_slot(index);
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
