//! The queue of an object: events in the order in which they were posted (R2.1).

use super::held::Held;
use super::record::State;
use crate::errno::{Errno, Result};

/// An event that left the queue.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What happened.
    pub events: i32,
    /// The guest's word for its source.
    pub tag: u32,
    /// The descriptor or other name.
    pub ident: usize,
    /// The user's value.
    pub user: usize,
}

impl Held<'_> {
    /// How many events are queued.
    pub fn queued(&self) -> u32 {
        self.object.queued.get()
    }

    /// May one more slot count against the object's limit? EAGAIN.
    pub fn room(&self) -> Result<()> {
        if self.object.used.get() < self.object.limit.get() { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// Takes a slot that counts against the object's limit (R2.2). EAGAIN.
    pub fn reserve(&self, state: State) -> Result<u32> {
        self.room()?;
        let index = self.registry.arena.new_slot(state).ok_or(Errno::EAGAIN)?;
        self.object.used.increment();
        self.slot(index).home.set(self.index);
        Ok(index)
    }

    /// Gives such a slot back.
    pub fn release(&self, index: u32) {
        self.object.used.decrement();
        self.registry.arena.free_slot(index);
    }

    /// Puts a slot at the end of the queue.
    pub fn append(&self, index: u32) {
        self.link(index);
        self.object.queued.increment();
    }

    /// The same for an entry that does not count as queued.
    pub fn link(&self, index: u32) {
        let slot = self.slot(index);
        let newest = self.object.newest.get();
        slot.previous.set(newest);
        slot.next.set(0);
        if newest == 0 {
            self.object.oldest.set(index);
        } else {
            self.slot(newest).next.set(index);
        }
        self.object.newest.set(index);
        self.object.linked.increment();
    }

    /// Takes a slot that counts out of the queue, wherever it stands.
    pub fn remove_queued(&self, index: u32) {
        self.unlink(index);
        self.object.queued.decrement();
    }

    /// The reverse of [`Held::link`].
    pub fn unlink(&self, index: u32) {
        let slot = self.slot(index);
        let (previous, next) = (slot.previous.get(), slot.next.get());
        if previous == 0 {
            self.object.oldest.set(next);
        } else {
            self.slot(previous).next.set(next);
        }
        if next == 0 {
            self.object.newest.set(previous);
        } else {
            self.slot(next).previous.set(previous);
        }
        self.object.linked.decrement();
    }

    /// Retrieves the oldest event. Readiness is not looked at again (R2.4).
    pub fn take(&self) -> Option<Event> {
        let index = self.object.oldest.get();
        if index == 0 {
            return None;
        }
        let slot = self.slot(index);
        let event = Event {
            events: slot.events.get(),
            tag: slot.tag.get(),
            ident: slot.ident.get(),
            user: slot.user.get(),
        };
        self.remove_queued(index);
        if slot.word.state() == State::Queued {
            slot.word.turn_into(State::Spent); // R4.5: it keeps its slot and stays silent
        } else {
            self.release(index);
        }
        Some(event)
    }

    /// Puts a slot before another one of the queue.
    pub fn insert_before(&self, index: u32, later: u32) {
        let (slot, after) = (self.slot(index), self.slot(later));
        let previous = after.previous.get();
        slot.previous.set(previous);
        slot.next.set(later);
        after.previous.set(index);
        if previous == 0 {
            self.object.oldest.set(index);
        } else {
            self.slot(previous).next.set(index);
        }
        self.object.linked.increment();
        self.object.queued.increment();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Masked, ReadySet, Set};
    use crate::registry::Registry;
    use crate::registry::memory;

    fn queue_of(held: &Held<'_>) -> Vec<usize> {
        core::iter::from_fn(|| held.take()).map(|event| event.ident).collect()
    }

    #[test]
    fn the_queue_keeps_its_order_and_counts_slots() {
        let registry = memory::keep(Registry::new().unwrap()).unwrap();
        let mask = Masked::new();
        let index = registry.arena.new_object(1).unwrap();
        assert!(registry.arena.new_object(1).is_none(), "one object at most");
        let held = registry.hold_index(index, Set::at(-1), &mask);
        held.object.limit.set(4);
        let slots: Vec<u32> = (0..4).map(|_| held.reserve(State::Event).unwrap()).collect();
        assert_eq!(held.reserve(State::Event), Err(Errno::EAGAIN));
        for (ident, &slot) in slots.iter().enumerate() {
            held.slot(slot).ident.set(ident);
            held.append(slot);
        }
        for gone in [slots[1], slots[3], slots[0]] {
            held.remove_queued(gone);
        }
        held.append(slots[3]);
        assert_eq!((held.queued(), held.object.used.get()), (2, 4));
        assert_eq!(queue_of(&held), [2, 3]);
        assert_eq!((held.queued(), held.object.used.get()), (0, 2), "an event gives its slot back");
    }
}
