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
//!
//! Looks at the set are in [`super::look`], the queue in [`super::queue`].

use super::Registry;
use super::lock::Guard;
use super::memory::View;
use super::record::{Object, Slot};
use crate::errno::{Errno, Result};
use crate::host::{Bell, Masked, RawFd, ReadySet, Ring, Set, below};
use core::cell::Cell;

/// `Object::bell`: it does not hang in the set yet.
pub const BELL_ABSENT: u32 = 0;
/// It hangs there, silent.
pub const BELL_DOWN: u32 = 1;
/// It was rung once, and nobody is known to have eaten it.
pub const BELL_UP: u32 = 2;
/// It stays up until it is hushed: there are sleepers who want several events, many are posted in a row, or another queue
/// watches this one. A ring that
/// is eaten must be repeated, which costs, and each repetition would be an edge that wakes those sleepers for nothing.
pub const BELL_STEADY: u32 = 3;

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
    /// No handler runs.
    pub mask: &'m Masked,
    /// The number was proved to be the set since the lock was taken.
    pub proved: Cell<bool>,
    /// The last look has found something ready that nobody asks for: see [`super::gather`].
    pub idlers: Cell<bool>,
    /// Registrations that fire for nobody are being changed: see [`super::gather`].
    pub fitting: Cell<bool>,
    /// The bell should stay up if it is rung: more events are about to be posted.
    pub steady: Cell<bool>,
    /// Where slots and notes are.
    pub(super) view: View,
    _guard: Guard<'static>,
}

impl Registry {
    /// Takes the lock of the object that a number names. `None`: it names none.
    #[inline(always)]
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
    #[inline(always)]
    pub fn hold_index<'m>(&'static self, index: u32, set: Set, mask: &'m Masked) -> Held<'m> {
        let object = self.arena.object(index);
        Held {
            registry: self,
            object,
            index,
            set,
            mask,
            proved: Cell::new(false),
            idlers: Cell::new(true),
            fitting: Cell::new(false),
            steady: Cell::new(false),
            view: self.arena.view(),
            _guard: object.lock.lock(mask),
        }
    }
}

impl Held<'_> {
    /// The slot of an index.
    #[inline(always)]
    pub fn slot(&self, index: u32) -> &'static Slot {
        match self.view.slot(index) {
            Some(slot) => slot,
            None => self.new_slot_at(index),
        }
    }

    #[cold]
    fn new_slot_at(&self, index: u32) -> &'static Slot {
        self.registry.arena.slot(index)
    }

    /// Is the number still the set that it was? The bell that hangs in it tells, for the price of one control call.
    /// EBADF: it was closed by a raw system call. EBADFD (of the host: EINVAL, EPERM): it names another file by now,
    /// perhaps an epoll set of the program's own, which must not be touched.
    pub fn prove(&self) -> Result<()> {
        if self.proved.get() {
            return Ok(());
        }
        if self.object.bell.get() == BELL_ABSENT {
            return self.hang_first_bell();
        }
        if let Some(bell) = self.registry.bell.known() {
            if self.set.is_ours(&bell) {
                self.proved.set(true);
                return Ok(());
            }
            if self.object.bell_serial.get() == self.registry.bell.serial() && bell.is_ours() {
                return self.not_ours();
            }
        }
        // The bell that hung here was lost: the present one is hung, if the number is a set at all.
        self.hang_any_bell(&|_, _| Ok(()))?;
        self.object.bell.set(BELL_DOWN);
        self.settle()
    }

    fn not_ours(&self) -> Result<()> {
        if below::is_open(self.set.fd()) { Err(Errno::EINVAL) } else { Err(Errno::EBADF) }
    }

    /// Proves the number if the bell is up without an event, which nobody is there to have eaten: it could not be
    /// lowered.
    pub fn prove_if_odd(&self) -> Result<()> {
        let odd = self.queued() == 0 && self.object.bell.get() > BELL_DOWN && self.object.waiters.get() == 0;
        if odd { self.prove() } else { Ok(()) }
    }

    /// Is the number through which the set is reached proved to be the set?
    pub fn set_is_ours(&self) -> bool {
        self.registry.bell.known().is_some_and(|bell| self.set.is_ours(&bell))
    }

    /// The first use of an object: the bell is hung in its set, and tells from now on.
    #[cold]
    fn hang_first_bell(&self) -> Result<()> {
        if self.object.signed.get() != 0 && !self.set.is_signed() {
            return self.not_ours();
        }
        match self.hang_bell() {
            Err(Errno::EAGAIN) => Ok(()), // the process has no descriptor to spare for a bell: nothing to tell by
            hung => {
                self.proved.set(hung.is_ok());
                hung
            }
        }
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
        if let Some(bell) = self.registry.bell.known()
            && self.object.bell.get() != BELL_ABSENT
            && act(self.set, &bell).is_ok()
        {
            self.proved.set(true); // in another set there is no bell of ours to be changed
            return Ok(());
        }
        self.proved.set(false);
        self.prove()?;
        self.hang_any_bell(&act)
    }

    #[cold]
    fn hang_any_bell(&self, act: &dyn Fn(Set, &Bell) -> Result<()>) -> Result<()> {
        let bell = self.registry.bell(self.mask)?;
        self.set.hang_bell(&bell)?;
        self.object.bell_serial.set(self.registry.bell.serial());
        self.proved.set(true);
        act(self.set, &bell)
    }

    /// Makes bell and sleepers agree with the queue. Every operation ends with it.
    #[inline]
    pub fn settle(&self) -> Result<()> {
        let object = self.object;
        let agreed = object.queued.get() | object.waiters.get() == 0 && object.bell.get() <= BELL_DOWN;
        if agreed { Ok(()) } else { self.make_agree() }
    }

    #[inline(never)]
    fn make_agree(&self) -> Result<()> {
        if self.object.loud.get() == 0 {
            match self.object.bell.get() {
                BELL_UP if self.queued() == 0 => self.scan(0)?,
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

    /// Rings, if it is not rung.
    pub fn raise(&self) -> Result<()> {
        let (how, state) = if self.steady.get() || self.object.nested.get() != 0 || self.has_patient() {
            (Ring::Loud, BELL_STEADY)
        } else {
            (Ring::Once, BELL_UP)
        };
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
        self.scan(0)
    }
}
