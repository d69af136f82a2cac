//! Edges of our own doing, which are no news: a change of an edge-triggered registration is one, and so is what the program
//! does to its own socket by `shutdown`. There is news after them only if there is more than before.
//!
//! The edge of a `shutdown` belongs to the socket, whatever number it is watched under. So every watch of it is looked at
//! before, and again after, and what comes then without there being more to read is no news. A TCP connection makes another
//! edge when its peer has acknowledged the end, which may be much later: from then on only what it has received counts.

use super::Registry;
use super::held::Held;
use super::note::{DISABLED, ECHO, EDGE, EDGES, HALF};
use super::record::KQUEUE;
use crate::errno::Result;
use crate::host::{Masked, RawFd, ReadySet, Set, Until, Wakes, below, measure};

const OUT: u32 = libc::POLLOUT as u32;

impl Registry {
    /// Runs `work`, which does something to the socket `fd`.
    pub fn without_echo<T>(&'static self, fd: RawFd, work: impl FnOnce() -> T) -> T {
        let Ok(file) = below::identity(fd) else { return work() };
        self.each_watch_of(file, |held, watch| held.before_echo(watch));
        let result = work();
        self.each_watch_of(file, |held, watch| held.after_echo(watch));
        self.each_watch_of(file, |held, watch| held.put(watch, ECHO, false));
        result
    }

    /// Is any number watched by a kqueue?
    pub fn has_notes(&self) -> bool {
        self.arena.has_notes()
    }

    /// A connection was accepted: to notes that want edges that is one, if there are more (section 14.11).
    pub fn accepted(&'static self, fd: RawFd) {
        if self.has_notes() {
            self.each_watch_at(fd, |held, watch| held.accepted(watch));
        }
    }

    fn each_watch_of(&'static self, file: below::Identity, act: impl Fn(&Held<'_>, u32)) {
        for fd in self.table.involved(0, u32::MAX) {
            let watched = self.table.get(fd).is_some_and(|entry| entry.watches.get() != 0);
            if watched && below::identity(fd) == Ok(file) {
                self.each_watch_at(fd, &act);
            }
        }
    }

    /// The watches of a number in kqueues.
    fn each_watch_at(&'static self, fd: RawFd, act: impl Fn(&Held<'_>, u32)) {
        if self.table.get(fd).is_none_or(|entry| entry.watches.get() == 0) {
            return;
        }
        let mask = Masked::new();
        let Ok(number) = self.hold_number(fd, &mask) else { return };
        let mut watch = number.entry.watches.get();
        while watch != 0 {
            let slot = self.arena.slot(watch);
            let held = self.hold_index(slot.home.get(), Set::at(-1), &mask).through_a_number();
            if held.object.kind.get() == KQUEUE {
                act(&held, watch);
                let _ = held.settle();
            }
            watch = slot.beside.get();
        }
    }
}

impl Held<'_> {
    /// Takes in the edges from before a change: more than has arrived until now is news after it. `half`: see [`HALF`].
    pub fn gather_before_echo(&self, watch: u32, half: bool) -> Result<()> {
        // Measured before the look: what arrives in between makes an edge that the look may miss.
        let amount = self.arrived(watch, half);
        let looked = self.gather(false);
        self.put(watch, HALF, half);
        self.note(watch).amount.set(amount.unwrap_or(u64::MAX));
        looked.map(drop)
    }

    /// Has more arrived than when that was asked last?
    pub fn has_changed(&self, watch: u32) -> bool {
        let amount = self.arrived(watch, self.is(watch, HALF));
        let before = self.note(watch).amount.get();
        self.note(watch).amount.set(amount.unwrap_or(u64::MAX));
        amount.is_none_or(|amount| amount != before)
    }

    /// A measure of what has arrived; `None`: there is none.
    fn arrived(&self, watch: u32, half: bool) -> Option<u64> {
        if half { measure::tcp_received(self.slot(watch).fd.get()) } else { Some(self.amount_of(watch)) }
    }

    /// Bytes that can be read from a watch's descriptor.
    pub fn amount_of(&self, watch: u32) -> u64 {
        measure::readable(self.slot(watch).fd.get()).unwrap_or(0) as u64
    }

    /// A look after such a change.
    pub fn gather_echo(&self, watch: u32) -> Result<()> {
        let mut wakes = Wakes::new();
        self.set.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
        self.absorb_notes(&wakes, watch, true).map(drop)
    }

    /// Before something that makes an edge for a descriptor of our own doing, ...
    pub fn before_echo(&self, watch: u32) {
        let half = measure::tcp_received(self.slot(watch).fd.get()).is_some();
        let _ = self.gather_before_echo(watch, half);
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
        self.find_half(watch);
    }

    fn accepted(&self, watch: u32) {
        if self.slot(watch).mark.get() != EDGE {
            return;
        }
        let _ = self.gather(false); // what came before it
        for note in self.notes_of(watch).filter(|&note| !self.is(note, DISABLED)) {
            self.link_note(note);
        }
    }

    /// Does the socket of a watch have more edges to come that are no news?
    pub fn find_half(&self, watch: u32) {
        let over = measure::tcp_sends_no_more(self.slot(watch).fd.get());
        self.put(watch, HALF, over == Some(true));
    }
}
