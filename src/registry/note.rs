//! Notes: the standing registrations of a queue that keeps them (a kqueue's knotes).
//!
//! A note is a slot with a [`record::Note`](super::record::Note) beside it. One of a descriptor hangs on the watch of its
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

use super::held::{BELL_DOWN, BELL_UP, Held};
use super::nest::NEWS_BELOW;
use super::record::{KQUEUE, State};
use super::tree::{Nodes, Tree};
use super::watch::{HeldNumber, LEVEL, NOTHING, ONCE, reportable};
use super::{Registry, alarm};
use crate::errno::{Errno, Result};
use crate::host::{Class, Cookie, How, ReadySet, Until, Wake, Wakes, measure};

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
/// Of a watch: a file that the kernel has nothing to wait for.
pub const FILE: u32 = 256;

/// Of a watch: the program does something with the socket that is no news.
pub const ECHO: u32 = 128;

/// Of a watch: room to write is watched for in the side set.
pub const SIDE: u32 = 1024;
/// It is ready only if at least `amount` can be read.
pub const LEAST: u32 = 2048;
/// It is delivered once, whatever its condition.
pub const FORCED: u32 = 4096;

/// `Slot::mark`: the kernel has an edge-triggered registration.
pub const EDGE: u32 = 4;

/// Of a watch: it is of another queue, which tells of each of its events itself.
pub const NEST: u32 = 512;

const OUT: u32 = libc::POLLOUT as u32;
const HUP: u32 = libc::POLLHUP as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;

/// Poll bits that tell of an end.
pub const ENDS: u32 = (libc::POLLHUP | libc::POLLERR) as u32 | libc::EPOLLRDHUP as u32;

/// What a wake was good for.
#[derive(PartialEq, Eq)]
enum Good {
    /// A note was linked.
    News,
    /// Every note that it concerns is linked already.
    Waiting,
    /// It concerns none.
    Unasked,
    /// A late one of a registration that is no more.
    Nothing,
}

/// The names of an object's notes.
struct Names(&'static Registry);

impl Nodes for Names {
    type Key = (i32, usize);
    fn key(&self, node: u32) -> (i32, usize) {
        (self.0.arena.note(node).filter.get(), self.0.arena.slot(node).ident.get())
    }
    fn links(&self, node: u32) -> (&'static super::cell::Cell32, &'static super::cell::Cell32) {
        let note = self.0.arena.note(node);
        (&note.smaller, &note.greater)
    }
}

impl Held<'_> {
    /// The note of an index.
    pub fn note(&self, index: u32) -> &'static super::record::Note {
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
        for cell in [&note.smaller, &note.greater, &note.earlier, &note.later] {
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

    /// Gives a note a name, by which it is found again.
    pub fn enter_name(&self, note: u32) {
        self.names(&Names(self.registry)).insert(note);
    }

    /// The note of a name.
    pub fn by_name(&self, filter: i32, ident: usize) -> Option<u32> {
        self.names(&Names(self.registry)).find(&(filter, ident))
    }

    fn names<'a>(&self, nodes: &'a Names) -> Tree<'a, Names> {
        Tree { root: &self.object.names, nodes }
    }

    /// Ends a note.
    pub fn drop_note(&self, index: u32) {
        let note = self.note(index);
        self.unlink_note(index);
        if self.is(index, TIMED) {
            self.take_deadline(index);
        }
        match note.watch.get() {
            0 => self.names(&Names(self.registry)).remove(index),
            watch => self.unhang(watch, index),
        }
        self.registry.arena.free_slot(index);
    }

    /// Ends a note that neither hangs on a watch nor has a name.
    pub fn drop_loose_note(&self, index: u32) {
        self.unlink_note(index);
        self.registry.arena.free_slot(index);
    }

    /// Ends all notes that have names, with the object.
    pub fn drop_named(&self) {
        while self.object.names.get() != 0 {
            self.drop_note(self.object.names.get());
        }
    }

    // ---- the queue ----

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
        let links = self.object.links.get() + 1;
        self.object.links.set(links);
        self.note(index).place.set(links);
        self.put(index, QUEUED, true);
        let watch = self.note(index).watch.get();
        self.be_loud(index, watch == 0 || self.slot(watch).mark.get() != LEVEL);
    }

    /// Takes a note out of the queue, if it is there.
    pub fn unlink_note(&self, index: u32) {
        if self.is(index, QUEUED) {
            self.be_loud(index, false);
            self.put(index, QUEUED, false);
            self.unlink(index);
        }
    }

    /// Has the bell to show it, or does the kernel?
    fn be_loud(&self, note: u32, loud: bool) {
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

    // ---- watches ----

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
    }

    /// Ends the notes of a watch: its number does not name the file any more.
    pub fn drop_notes(&self, watch: u32) {
        if !self.is_kqueue() {
            return;
        }
        while self.note(watch).beside.get() != 0 {
            self.drop_note(self.note(watch).beside.get());
        }
        if self.is(watch, FILE) {
            self.put(watch, FILE, false);
            self.object.files.decrement();
        }
    }

    /// What the notes of a watch ask for: poll bits, and whether edges.
    fn asked(&self, watch: u32) -> (u32, bool) {
        let enabled = || self.notes_of(watch).filter(|&note| !self.is(note, DISABLED));
        let edges = enabled().any(|note| self.is(note, EDGES));
        let asks = |note: u32| match self.slot(note).want.get() as u32 {
            // Room to write that is known to be there needs no edge, and edges of one direction look like the other's.
            OUT if edges && self.is(note, QUEUED) && !self.is(note, EDGES) => 0,
            want => want,
        };
        (enabled().fold(0, |want, note| want | asks(note)), edges)
    }

    /// Makes the registration of a watch serve its notes. Bits that nobody asks for are left in it, if nobody sees them.
    /// ENOENT: the number was closed unseen, and the notes are gone. Else what the host says of the descriptor.
    pub fn fit(&self, watch: u32) -> Result<()> {
        let slot = self.slot(watch);
        let (want, edges) = self.asked(watch);
        let has = slot.want.get() as u32 | if self.is(watch, SIDE) { OUT } else { 0 };
        let serves = match (slot.mark.get(), edges) {
            (LEVEL, false) => has & want == want,
            (EDGE, true) => has == want,
            _ => want == 0,
        };
        if self.is(watch, FILE | NEST) || serves && (has == want || self.may_keep()) {
            return Ok(());
        }
        self.fit_exactly(watch)
    }

    /// The same, with no bit left that is not asked for.
    fn fit_exactly(&self, watch: u32) -> Result<()> {
        self.prove()?;
        let slot = self.slot(watch);
        let (want, edges) = self.asked(watch);
        let before = slot.mark.get();
        if want == 0 && before == NOTHING {
            return Ok(());
        }
        // The kernel refuses circles, and it tells of hang-ups whatever is asked for.
        if want == 0 && (self.registry.object_kind(slot.fd.get()).is_some() || !self.may_keep()) {
            slot.want.set(0);
            self.disarm_at_side(watch);
            self.unregister(watch);
            return self.gather(false).map(drop);
        }
        self.has_source();
        let echo = edges && before != NOTHING;
        if echo {
            self.gather(false)?; // edges from before
            self.remember_amounts(watch);
        }
        let stamp = slot.word.renew(State::Armed);
        let (cookie, mark) = match (want, edges) {
            (0, _) => (Cookie { slot: watch, arming: stamp }, ONCE),
            (_, true) => (Cookie::edge(watch, stamp), EDGE),
            _ => (Cookie::level(watch, stamp), LEVEL),
        };
        let how = if before == NOTHING { How::New } else { How::Again };
        let both = edges && want & OUT != 0 && want != OUT;
        let want = if both && self.arm_at_side(watch, cookie).is_ok() { want & !OUT } else { want };
        if want & OUT != 0 || !both {
            self.disarm_at_side(watch);
        }
        match self.set.arm(&self.object.batch, slot.fd.get(), cookie, want, how) {
            Ok(Class::Pollable) => {}
            Ok(Class::AlwaysReady) => {
                self.put(watch, FILE, true);
                self.object.files.increment();
                return Ok(());
            }
            Err(error) => {
                let old = Cookie { slot: watch, arming: slot.cookie.get() };
                self.lose(watch, old);
                return Err(error);
            }
        }
        self.mark(watch, mark);
        slot.cookie.set(cookie.arming);
        slot.want.set(want as i32);
        slot.fires.set(0);
        for note in self.notes_of(watch).filter(|&note| self.is(note, QUEUED)) {
            self.be_loud(note, mark != LEVEL);
        }
        if mark == LEVEL {
            self.notes_of(watch).for_each(|note| self.note(note).seen.set(0)); // no look has named it so far
        }
        // A change unlinks nothing, and is an edge itself if the descriptor is ready.
        let shows = mark == EDGE; // else it is taken for news later
        match echo {
            true => self.gather_echo(watch),
            false if before == LEVEL || shows => self.gather(false).map(drop),
            false => Ok(()),
        }
    }

    /// Registers the queue of a watch for edges, if it is not.
    pub fn register_nest(&self, watch: u32) {
        let slot = self.slot(watch);
        if slot.mark.get() != NOTHING || self.prove().is_err() {
            return;
        }
        let cookie = Cookie::edge(watch, slot.word.renew(State::Armed));
        let want = libc::POLLIN as u32;
        if self.set.arm(&self.object.batch, slot.fd.get(), cookie, want, How::New).is_ok() {
            self.mark(watch, EDGE);
            slot.cookie.set(cookie.arming);
            slot.want.set(want as i32);
        }
    }

    /// The kernel has no registration for the number of a watch: it was closed unseen.
    fn lose(&self, watch: u32, old: Cookie) {
        let before = self.slot(watch).mark.get();
        self.disarm_at_side(watch);
        self.mark(watch, NOTHING);
        self.slot(watch).want.set(0);
        self.drop_notes(watch);
        if before == LEVEL {
            self.object.haunted.set(1);
            let _ = self.cut(old);
        }
    }

    /// Is the registration of a watch that of its number's file? If not, its notes are gone. EBADF if the number is closed.
    pub fn confirm_watch(&self, watch: u32) -> Result<()> {
        let slot = self.slot(watch);
        let cookie = Cookie { slot: watch, arming: slot.cookie.get() };
        if slot.mark.get() == NOTHING {
            return Ok(());
        }
        self.prove()?;
        match self.set.arm(&self.object.batch, slot.fd.get(), cookie, slot.want.get() as u32, How::Unless) {
            Err(Errno::EEXIST) => return Ok(()),
            Ok(Class::Pollable) => self.drop_notes(watch),
            Err(Errno::EBADF) => {
                self.lose(watch, cookie);
                return Err(Errno::EBADF);
            }
            _ => self.lose(watch, cookie),
        }
        Ok(())
    }

    // ---- looks ----

    /// Looks at the set: links what is ready. `sleepy`: a sleep may follow, so that nothing may be ready that nobody asks
    /// for. True if every registration that is ready was named.
    pub fn gather(&self, sleepy: bool) -> Result<bool> {
        self.prove()?;
        self.object.looks.increment();
        let mut wakes = Wakes::new();
        let mut first = true;
        loop {
            self.set.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
            let (waiting, unasked) = self.absorb_notes(&wakes, 0);
            let full = wakes.len() == Wakes::ROOM;
            let mut again = full && !waiting;
            if unasked && (full || sleepy && self.object.linked.get() == 0) {
                again |= self.fit_idlers(&wakes);
            }
            if !again {
                return Ok(first && !full);
            }
            first = false;
        }
    }

    /// Takes in what a turn brought: is there one that is linked already, is there one that nobody asks for?
    pub fn absorb_notes(&self, wakes: &Wakes, echo: u32) -> (bool, bool) {
        let (mut waiting, mut unasked) = (false, false);
        for wake in wakes.iter() {
            match wake.cookie {
                Cookie::BELL if self.object.bell.get() == BELL_UP => self.object.bell.set(BELL_DOWN),
                Cookie::BELL => {}
                Cookie::SIDE_SET => drop(self.absorb_side()),
                Cookie { slot: 0, arming } => self.expire(alarm::clock_of(arming)),
                cookie => match self.receive(wake, cookie.slot == echo || self.is(cookie.slot, ECHO)) {
                    Good::Waiting => waiting = true,
                    Good::Unasked => unasked = true,
                    Good::News | Good::Nothing => {}
                },
            }
        }
        (waiting, unasked)
    }

    /// The same from the side set.
    pub fn receive_at_side(&self, wake: Wake) {
        let Some(cookie) = wake.cookie.from_side() else { return };
        let watch = cookie.slot;
        let slot = self.slot(watch);
        let known = slot.home.get() == self.index && slot.word.state() == State::Armed;
        if !known || !self.is(watch, SIDE) || slot.cookie.get() != cookie.arming || self.is(watch, ECHO) {
            return;
        }
        for index in self.notes_of(watch) {
            if self.slot(index).want.get() as u32 == OUT && !self.is(index, DISABLED) {
                self.link_note(index);
            }
        }
    }

    fn receive(&self, wake: Wake, echo: bool) -> Good {
        let watch = wake.cookie.slot;
        let slot = self.slot(watch);
        let known = slot.home.get() == self.index && slot.word.state() == State::Armed;
        if !known || slot.mark.get() == NOTHING || slot.cookie.get() != wake.cookie.arming {
            return if wake.cookie.is_level() { Good::Unasked } else { Good::Nothing };
        }
        if self.is_due(watch) && self.confirm_watch(watch).is_err() {
            return Good::Nothing;
        }
        if self.is(watch, NEST) {
            self.object.nests.set(NEWS_BELOW); // for who looks there
            return Good::Nothing;
        }
        let bits = wake.exact.unwrap_or(!0);
        let mut good = Good::Unasked;
        for index in self.notes_of(watch) {
            let (about, note) = (self.slot(index), self.note(index));
            let before = about.events.get() as u32;
            let ended = bits & !before & if before & RDHUP != 0 { ENDS & !HUP } else { ENDS } != 0;
            if wake.cookie.is_edge() {
                about.events.set(bits as i32); // not to be had again
            }
            let elsewhere = self.is(watch, SIDE) && about.want.get() as u32 == OUT;
            if elsewhere || self.is(index, DISABLED) || bits & reportable(about.want.get() as u32) == 0 {
                continue;
            }
            if self.is(index, LEAST) && bits & ENDS == 0 && self.amount_of(watch) < note.amount.get() {
                good = Good::Nothing;
                continue;
            }
            if echo && self.is(index, EDGES) && !ended && !self.has_changed(watch, index) {
                good = Good::Nothing;
                continue;
            }
            about.events.set(bits as i32);
            note.seen.set(self.object.looks.get());
            if self.is(index, QUEUED) {
                good = if good == Good::News { Good::News } else { Good::Waiting };
            } else {
                self.link_note(index);
                good = Good::News;
            }
        }
        good
    }

    /// Every so often the kernel is asked whether a registration that fires is that of its number's file.
    fn is_due(&self, watch: u32) -> bool {
        let fires = &self.slot(watch).fires;
        fires.increment();
        fires.get().is_power_of_two() && fires.get() < 64 || fires.get().is_multiple_of(64)
    }

    /// Fits registrations that fire for nobody; true if there was one.
    fn fit_idlers(&self, wakes: &Wakes) -> bool {
        let mut some = false;
        for wake in wakes.iter().filter(|wake| wake.cookie.is_level()) {
            let (watch, slot) = (wake.cookie.slot, self.slot(wake.cookie.slot));
            let known = slot.home.get() == self.index && slot.word.state() == State::Armed;
            if !known || slot.mark.get() == NOTHING || slot.cookie.get() != wake.cookie.arming {
                some |= self.prove().is_ok() && self.cut(wake.cookie);
            } else if slot.want.get() as u32 != self.asked(watch).0 {
                let _ = self.fit_exactly(watch);
                some = true;
            }
        }
        some
    }

    // ---- edges that a change makes itself ----

    /// Notes how much there is to read now: more than that after a change is news.
    fn remember_amounts(&self, watch: u32) {
        let amount = self.amount_of(watch);
        self.notes_of(watch).for_each(|note| self.note(note).period.set(amount));
    }

    fn has_changed(&self, watch: u32, note: u32) -> bool {
        self.amount_of(watch) != self.note(note).period.get()
    }

    fn amount_of(&self, watch: u32) -> u64 {
        measure::readable(self.slot(watch).fd.get()).unwrap_or(0) as u64
    }

    fn gather_echo(&self, watch: u32) -> Result<()> {
        let mut wakes = Wakes::new();
        self.set.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
        self.absorb_notes(&wakes, watch);
        Ok(())
    }

    /// Before something that makes an edge for a descriptor of our own doing, ...
    pub fn before_echo(&self, watch: u32) {
        let _ = self.gather(false);
        self.remember_amounts(watch);
        self.put(watch, ECHO, true);
    }

    /// ... and after it. What has ended sends no more: a note that waits for room is active.
    pub fn after_echo(&self, watch: u32) {
        let waits = |note: u32| self.slot(note).want.get() as u32 == OUT && !self.is(note, DISABLED);
        for note in self.notes_of(watch).filter(|&note| waits(note)) {
            self.put(note, EDGES, true); // the kernel may show nothing of it
            self.link_note(note);
        }
        let _ = self.gather_echo(watch); // the peer comes later
        let _ = self.fit(watch);
    }
}
