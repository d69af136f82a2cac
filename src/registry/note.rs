//! Notes: the standing registrations of a queue that keeps them (a kqueue's knotes).
//!
//! A note is a slot with a [`Note`] beside it. One of a descriptor hangs on the watch of its
//! number, which has the one registration that the kernel allows; others are found by name. What is ready is linked in
//! the object's queue, in the order in which that happened, and stays there until a look at it says that it is ready no
//! more: so a queue holds hints, and whoever takes a note out of it tests it.
//!
//! **Two kinds of registration.** While all notes of a watch are level-triggered so is the registration: each look at
//! the set names those that still are ready, and the set shows them to pollers and sleepers by itself. They are
//! linked without being counted in `queued`. If a note wants edges, or its test does not agree with the kernel (a
//! low-water mark), the registration is edge-triggered, and its notes are *loud*: counted, so that the bell shows them.
//!
//! **Disabling costs nothing**: a registration that nobody asks for is left enabled until it fires, and is then made to
//! fit before a sleep. Only where the object is polled from outside it is done at once.
//!
//! **Identity.** A watch whose registration the kernel does not have any more belongs to a number that was closed
//! unseen: its notes are gone, as they would be on the guest system.

use super::held::Held;
use super::record::{KQUEUE, Note, State};
use super::watch::{HeldNumber, LEVEL};
use crate::errno::{Errno, Result};

/// `Note::status`: it is linked in the queue.
pub const QUEUED: u32 = 1;
/// It is counted in `Object::queued`.
pub const LOUD: u32 = 2;
/// It reports nothing.
pub const DISABLED: u32 = 4;
/// Only changes count: its registration must be edge-triggered.
pub const EDGES: u32 = 8;
/// It was triggered by the program.
pub const TRIGGERED: u32 = 16;
/// Its deadline is one of the wall clock.
pub const WALL: u32 = 32;
/// It has a deadline.
pub const TIMED: u32 = 64;
/// It is ready only if at least `amount` can be read.
pub const LEAST: u32 = 128;
/// It is delivered once, whatever its condition.
pub const FORCED: u32 = 256;
/// Of a watch: a file that the kernel has nothing to wait for.
pub const FILE: u32 = 512;
/// Of a watch: it is of another queue, which tells of each of its events itself.
pub const NEST: u32 = 1024;
/// Of a watch: the program does something with the socket that is no news.
pub const ECHO: u32 = 2048;
/// Of a watch: room to write is watched for in the side set.
pub const SIDE: u32 = 4096;
/// Of a watch: the program has ended its side of the connection, whose peer has yet to say that it knows.
pub const HALF: u32 = 8192;
/// It was made, or made again, while it was not known whether the registration is that of the number's file.
pub const FRESH: u32 = 16384;
/// It has a deadline that nobody has to hear of: it reports nothing.
pub const PARKED: u32 = 32768;
/// Of a watch: a change of the call that looks concerns it.
pub const CHANGED: u32 = 65536;

/// `Slot::mark`: the kernel has an edge-triggered registration.
pub const EDGE: u32 = 4;

/// Poll bits that tell of an end.
pub const ENDS: u32 = (libc::POLLHUP | libc::POLLERR) as u32 | libc::EPOLLRDHUP as u32;

impl Held<'_> {
    /// The note of an index.
    #[inline(always)]
    pub fn note(&self, index: u32) -> &'static Note {
        match self.view.note(index) {
            Some(note) => note,
            None => self.new_note_at(index),
        }
    }

    #[cold]
    fn new_note_at(&self, index: u32) -> &'static Note {
        self.registry.arena.note(index)
    }

    /// Does a note (or watch) have one of these bits of status?
    pub fn is(&self, note: u32, bits: u32) -> bool {
        self.note(note).status.get() & bits != 0
    }

    /// Sets or clears bits of status.
    pub fn put(&self, note: u32, bits: u32, on: bool) {
        let status = &self.note(note).status;
        status.set(if on { status.get() | bits } else { status.get() & !bits });
    }

    fn is_kqueue(&self) -> bool {
        self.object.kind.get() == KQUEUE
    }

    /// A blank note. ENOMEM.
    fn blank(&self, index: u32) -> Result<u32> {
        if !self.registry.arena.open_note(index) {
            return Err(Errno::ENOMEM);
        }
        let note = self.note(index);
        for cell in [&note.status, &note.flags, &note.wish, &note.bits, &note.beside, &note.watch, &note.seen]
        {
            cell.set(0);
        }
        for cell in [&note.amount, &note.data, &note.deadline, &note.period] {
            cell.set(0);
        }
        for cell in [&note.next_name, &note.earlier, &note.later] {
            cell.set(0);
        }
        Ok(index)
    }

    /// A new note. ENOMEM.
    pub fn new_note(&self, filter: i32, ident: usize) -> Result<u32> {
        let index = self.registry.arena.new_slot(State::Note).ok_or(Errno::ENOMEM)?;
        if let Err(error) = self.blank(index) {
            self.registry.arena.free_slot(index);
            return Err(error);
        }
        let slot = self.slot(index);
        slot.home.set(self.index);
        slot.ident.set(ident);
        slot.events.set(0);
        slot.want.set(0);
        self.note(index).filter.set(filter);
        Ok(index)
    }

    /// Ends a note.
    pub fn drop_note(&self, index: u32) {
        let note = self.note(index);
        self.unlink_note(index);
        if self.is(index, TIMED) {
            self.take_deadline(index);
            self.wind_for_others(index);
        }
        match note.watch.get() {
            0 => self.leave_name(index),
            watch => self.unhang(watch, index),
        }
        self.registry.arena.free_slot(index);
    }

    /// Ends a note that neither hangs on a watch nor has a name.
    pub fn drop_loose_note(&self, index: u32) {
        self.unlink_note(index);
        self.registry.arena.free_slot(index);
    }

    /// Links a note that has become active at the end of the queue, if it is not linked.
    pub fn link_note(&self, index: u32) {
        if !self.is(index, QUEUED) {
            self.object.untold.set(1);
            self.link_again(index);
        }
    }

    /// Puts a note back at the end of the queue that was taken out and stays active.
    pub fn link_again(&self, index: u32) {
        self.link(index);
        let (note, links) = (self.note(index), self.object.links.get() + 1);
        self.object.links.set(links);
        note.place.set(links);
        let status = note.status.get() | QUEUED;
        note.status.set(status);
        let watch = note.watch.get();
        let loud = watch == 0 || self.slot(watch).mark.get() != LEVEL;
        if loud != (status & LOUD != 0) {
            self.be_loud(index, loud);
        }
    }

    /// Takes a note out of the queue, if it is there.
    pub fn unlink_note(&self, index: u32) {
        let status = self.note(index).status.get();
        if status & QUEUED != 0 {
            if status & LOUD != 0 {
                self.be_loud(index, false);
            }
            self.put(index, QUEUED, false);
            self.unlink(index);
        }
    }

    /// Has the bell to show it, or does the kernel?
    pub fn be_loud(&self, note: u32, loud: bool) {
        match (self.is(note, LOUD), loud) {
            (false, true) => self.object.queued.increment(),
            (true, false) => self.object.queued.decrement(),
            _ => {}
        }
        self.put(note, LOUD, loud);
    }

    /// The oldest note of the queue that was linked before a certain link.
    pub fn oldest_note(&self, until: u64) -> Option<u32> {
        let index = self.object.oldest.get();
        (index != 0 && self.note(index).place.get() <= until).then_some(index)
    }

    /// The notes of a watch, newest first.
    pub fn notes_of(&self, watch: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |index: u32| (index != 0).then_some(index);
        core::iter::successors(some(self.note(watch).beside.get()), move |&n| some(self.note(n).beside.get()))
    }

    /// The watch of a number, made if there is none; it has no registration yet. ENOMEM.
    pub fn watch_for_notes(&self, number: &HeldNumber) -> Result<u32> {
        if let Some(watch) = self.find(number) {
            return Ok(watch);
        }
        let watch = self.watch(number).map_err(|_| Errno::ENOMEM)?;
        if let Err(error) = self.blank(watch) {
            self.remove(number, watch);
            return Err(error);
        }
        self.slot(watch).want.set(0);
        self.set_armed(watch);
        Ok(watch)
    }

    /// Hangs a note on a watch, as the newest (the order in which one event reaches them).
    pub fn hang(&self, note: u32, watch: u32) {
        self.note(note).watch.set(watch);
        self.note(note).beside.set(self.note(watch).beside.get());
        self.note(watch).beside.set(note);
    }

    fn unhang(&self, watch: u32, note: u32) {
        let after = self.note(note).beside.get();
        let before = self.notes_of(watch).find(|&n| self.note(n).beside.get() == note);
        self.note(before.unwrap_or(watch)).beside.set(after);
        if self.is(watch, FILE) && self.note(watch).beside.get() == 0 {
            self.leave_file(watch);
        }
    }

    /// Ends the notes of a watch: its number does not name the file any more.
    pub fn drop_notes(&self, watch: u32) {
        if !self.is_kqueue() {
            return;
        }
        while self.note(watch).beside.get() != 0 {
            self.drop_note(self.note(watch).beside.get());
        }
    }
}
