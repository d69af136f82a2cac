//! An object under its lock: the queue, the harvest, and the bell.
//!
//! **The bell** makes the object's descriptor readable exactly while its queue is not empty (R13.1), and wakes
//! sleepers. It is rung once per empty→non-empty transition; one sleeper eats it. Whoever leaves the object calls
//! [`Held::settle`], which makes bell and sleepers agree with the queue again:
//! * events, bell down: ring. A sleeper that took its event and leaves others rings for the next one;
//! * no events, bell up: a harvest eats it, so that `poll` says empty at once;
//! * sleepers that want several events have sets of their own and are rung there; while there are any, the bell is
//!   steady, that is not eaten but hushed when the queue is empty.
//!
//! **The harvest** moves what the kernel has ready into the queue. It comes before everything that appends, so a
//! single-threaded program sees one order over all sources (R2.1, T-011).

use super::Registry;
use super::lock::Guard;
use super::record::{Object, Slot, State};
use crate::errno::{Errno, Result};
use crate::host::{Bell, Cookie, Masked, RawFd, ReadySet, Ring, Set, Until, Wake, Wakes, below};

/// `Object::bell`: it does not hang in the set yet.
pub const BELL_ABSENT: u32 = 0;
/// It hangs there, silent.
pub const BELL_DOWN: u32 = 1;
/// It was rung once, and nobody is known to have eaten it.
pub const BELL_UP: u32 = 2;
/// It stays up until it is hushed: there are sleepers who want several events. A ring that is eaten must be repeated,
/// and each repetition would be an edge that wakes them for nothing.
pub const BELL_STEADY: u32 = 3;

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

/// See the module.
pub struct Held<'m> {
    /// The registry it is in.
    pub registry: &'static Registry,
    /// The record.
    pub object: &'static Object,
    /// Its index.
    pub index: u32,
    /// Its ready set, through the number that the caller used.
    pub set: Set,
    /// Signals are blocked.
    pub mask: &'m Masked,
    _guard: Guard<'static>,
}

impl Registry {
    /// Takes the lock of the object that a number names. `None`: it names none.
    pub fn hold<'m>(&'static self, fd: RawFd, mask: &'m Masked) -> Option<Held<'m>> {
        loop {
            let index = self.table.get(fd)?.object()?;
            let held = self.hold_index(index, Set::at(fd), mask);
            // A number changes its object under the object's lock only: what it names now, it names until we leave.
            if self.table.get(fd)?.object() == Some(index) {
                return Some(held);
            }
        }
    }

    /// Takes the lock of an object record, whoever lives in it.
    pub fn hold_index<'m>(&'static self, index: u32, set: Set, mask: &'m Masked) -> Held<'m> {
        let object = self.arena.object(index);
        Held { registry: self, object, index, set, mask, _guard: object.lock.lock(mask) }
    }
}

impl Held<'_> {
    /// The slot of an index.
    pub fn slot(&self, index: u32) -> &'static Slot {
        self.registry.arena.slot(index)
    }

    /// How many events are queued.
    pub fn queued(&self) -> u32 {
        self.object.queued.get()
    }

    /// Takes a slot that counts against the object's limit (R2.2). EAGAIN.
    pub fn reserve(&self, state: State) -> Result<u32> {
        if self.object.used.get() >= self.object.limit.get() {
            return Err(Errno::EAGAIN);
        }
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
        self.object.queued.increment();
    }

    /// Takes a slot out of the queue, wherever it stands.
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
        self.object.queued.decrement();
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
        self.unlink(index);
        if slot.word.state() == State::Queued {
            slot.word.turn_into(State::Spent); // R4.5: it keeps its slot and stays silent
        } else {
            self.release(index);
        }
        Some(event)
    }

    /// Moves everything that the kernel has ready into the queue, and eats the bell.
    pub fn harvest(&self) -> Result<()> {
        if self.object.armed.get() == 0 && self.object.bell.get() != BELL_UP {
            return Ok(());
        }
        self.scan()
    }

    #[inline(never)]
    fn scan(&self) -> Result<()> {
        let mut wakes = Wakes::new();
        loop {
            self.set.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
            self.absorb(&wakes);
            if wakes.len() < Wakes::ROOM {
                return Ok(());
            }
        }
    }

    /// Takes in what a turn brought.
    pub fn absorb(&self, wakes: &Wakes) {
        for wake in wakes.iter() {
            if wake.cookie != Cookie::BELL {
                self.absorb_watch(wake);
            } else if self.object.bell.get() == BELL_UP {
                self.object.bell.set(BELL_DOWN);
            }
        }
    }

    fn absorb_watch(&self, wake: Wake) {
        let slot = self.slot(wake.cookie.slot);
        // A late wake of an earlier arming, or of a registration whose number was closed: nobody's any more.
        if slot.word.stamp() != wake.cookie.arming
            || slot.word.state() != State::Armed
            || slot.home.get() != self.index
        {
            return;
        }
        let up = match wake.exact {
            Some(bits) => bits,
            None => below::sample(slot.fd.get(), slot.want.get() as u32).unwrap_or(0),
        };
        self.object.armed.decrement();
        slot.events.set((up & super::watch::reportable(slot.want.get() as u32)) as i32);
        slot.word.turn_into(State::Queued);
        self.append(wake.cookie.slot);
    }

    /// Is the number still the set that it was? The bell that hangs in it tells, for the price of one control call.
    /// EBADF: it was closed by a raw system call. EBADFD (of the host: EINVAL, EPERM): it names another file by now,
    /// perhaps an epoll set of the program's own, which must not be touched.
    pub fn verify(&self) -> Result<()> {
        if self.object.bell.get() == BELL_ABSENT {
            return Ok(()); // the process has no descriptor to spare for a bell: nothing to tell by
        }
        if let Some(bell) = self.registry.bell.known(self.mask) {
            if self.set.is_ours(&bell) {
                return Ok(());
            }
            if self.object.bell_serial.get() == self.registry.bell.serial() && bell.is_ours() {
                return if below::is_open(self.set.fd()) { Err(Errno::EINVAL) } else { Err(Errno::EBADF) };
            }
        }
        // The bell that hung here was lost: the present one is hung, if the number is a set at all.
        self.hang_any_bell(&|_, _| Ok(()))?;
        self.object.bell.set(BELL_DOWN);
        self.settle()
    }

    /// Makes sure that the bell hangs in the set, before anything is posted that will need it. The errors are those
    /// of a full process or system: EAGAIN.
    pub fn hang_bell(&self) -> Result<()> {
        if self.object.bell.get() == BELL_ABSENT {
            let bell = self.registry.bell(self.mask).map_err(|_| Errno::EAGAIN)?;
            self.set.hang_bell(&bell)?;
            self.object.bell_serial.set(self.registry.bell.serial());
            self.object.bell.set(BELL_DOWN);
        }
        Ok(())
    }

    /// Rings. If the bell was lost (closed by a raw system call), a new one is hung.
    pub fn ring(&self, how: Ring) -> Result<()> {
        self.with_bell(|set, bell| set.ring(bell, how))
    }

    fn with_bell(&self, act: impl Fn(Set, &Bell) -> Result<()>) -> Result<()> {
        if let Some(bell) = self.registry.bell.known(self.mask)
            && self.object.bell.get() != BELL_ABSENT
            && act(self.set, &bell).is_ok()
        {
            return Ok(());
        }
        self.hang_any_bell(&act)
    }

    #[cold]
    fn hang_any_bell(&self, act: &dyn Fn(Set, &Bell) -> Result<()>) -> Result<()> {
        let bell = self.registry.bell(self.mask)?;
        self.set.hang_bell(&bell)?;
        self.object.bell_serial.set(self.registry.bell.serial());
        act(self.set, &bell)
    }

    /// Makes bell and sleepers agree with the queue. Every operation ends with it.
    pub fn settle(&self) -> Result<()> {
        if self.object.loud.get() == 0 {
            match self.object.bell.get() {
                BELL_UP if self.queued() == 0 => self.harvest()?,
                BELL_STEADY if self.queued() == 0 => self.fall_silent()?,
                _ => {}
            }
            if self.queued() > 0 {
                self.raise()?;
            }
        }
        self.wake_the_patient();
        Ok(())
    }

    fn raise(&self) -> Result<()> {
        let (how, state) = if self.has_patient() { (Ring::Loud, BELL_STEADY) } else { (Ring::Once, BELL_UP) };
        let now = self.object.bell.get();
        if now != BELL_STEADY && now != state {
            self.ring(how)?;
            self.object.bell.set(state);
        }
        Ok(())
    }

    /// Lowers a bell that stays up by itself, and scans once, because lowering does not unlink it.
    pub fn fall_silent(&self) -> Result<()> {
        self.with_bell(|set, bell| set.hush(bell))?;
        self.object.bell.set(BELL_DOWN);
        self.scan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            held.unlink(gone);
        }
        held.append(slots[3]);
        assert_eq!((held.queued(), held.object.used.get()), (2, 4));
        assert_eq!(queue_of(&held), [2, 3]);
        assert_eq!((held.queued(), held.object.used.get()), (0, 2), "an event gives its slot back");
    }

    #[test]
    fn late_wakes_are_dropped() {
        let registry = memory::keep(Registry::new().unwrap()).unwrap();
        let mask = Masked::new();
        let index = registry.arena.new_object(1).unwrap();
        let held = registry.hold_index(index, Set::at(-1), &mask);
        held.object.limit.set(1);
        let slot = held.reserve(State::Armed).unwrap();
        let old = Cookie { slot, arming: held.slot(slot).word.stamp() };
        let new = Cookie { slot, arming: held.slot(slot).word.renew(State::Armed) };
        held.object.armed.set(1);
        held.absorb_watch(Wake { cookie: old, exact: Some(1) });
        assert_eq!(held.queued(), 0);
        held.slot(slot).want.set(1);
        held.absorb_watch(Wake { cookie: new, exact: Some(0x11) });
        held.absorb_watch(Wake { cookie: new, exact: Some(0x11) });
        assert_eq!((held.queued(), held.object.armed.get()), (1, 0), "one-shot");
        assert_eq!(held.take().map(|event| event.events), Some(0x11));
    }
}
