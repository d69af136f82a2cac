//! Registrations that serve the notes of a watch: see [`super::note`] for the two kinds.

use super::held::Held;
use super::note::{DISABLED, EDGE, EDGES, FILE, FRESH, HALF, NEST, QUEUED, SIDE};
use super::record::State;
use super::watch::{LEVEL, NOTHING, ONCE};
use crate::errno::{Errno, Result};
use crate::host::{Class, Cookie, How, ReadySet, below, measure};

const OUT: u32 = libc::POLLOUT as u32;

impl Held<'_> {
    /// What the notes of a watch ask for: poll bits, and whether edges.
    pub fn asked(&self, watch: u32) -> (u32, bool) {
        let enabled = || self.notes_of(watch).filter(|&note| !self.is(note, DISABLED));
        let edges = enabled().any(|note| self.is(note, EDGES));
        let asks = |note: u32| match self.slot(note).want.get() as u32 {
            // Room to write that is known to be there needs no edge, and edges of one direction look like the other's.
            OUT if edges && self.is(note, QUEUED) && !self.is(note, EDGES) => 0,
            want => want,
        };
        (enabled().fold(0, |want, note| want | asks(note)), edges)
    }

    /// Is a note served by a level-triggered registration that is there, and may stay as it is? The common case of
    /// [`Held::fit`].
    pub fn is_served(&self, watch: u32, note: u32) -> bool {
        let (slot, want) = (self.slot(watch), self.slot(note).want.get() as u32);
        slot.mark.get() == LEVEL
            && slot.want.get() as u32 & want == want
            && !self.is(note, EDGES)
            && self.may_keep()
    }

    /// A note of a watch (0: of none) asks for less than before, or was linked and is not. A registration that stays as it is
    /// for all of them needs no change then, unless somebody sees it.
    pub fn fit_less(&self, watch: u32) {
        if watch != 0 && (self.slot(watch).mark.get() != LEVEL || !self.may_keep()) {
            let _ = self.fit(watch);
        }
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
    pub fn fit_exactly(&self, watch: u32) -> Result<()> {
        self.fit_and_look(watch, true)
    }

    /// `look`: the change unlinks nothing, so a look must follow, if the caller does not make one.
    pub fn fit_and_look(&self, watch: u32, look: bool) -> Result<()> {
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
            return if look { self.gather(false).map(drop) } else { Ok(()) };
        }
        self.has_source();
        let echo = edges && before != NOTHING;
        if echo {
            self.gather_before_echo(watch, self.is(watch, HALF))?;
        }
        let Some(mark) = self.put_registration(watch, want, edges)? else { return Ok(()) };
        for note in self.notes_of(watch).filter(|&note| self.is(note, QUEUED)) {
            self.be_loud(note, mark != LEVEL);
        }
        // A change unlinks nothing, and is an edge itself if the descriptor is ready.
        let shows = mark == EDGE; // else it is taken for news later
        match echo {
            true => self.gather_echo(watch),
            false if look && (before == LEVEL || shows) => self.gather(false).map(drop),
            false => Ok(()),
        }
    }

    /// Makes or changes the registration: the mark that it has then. `None`: the kernel has nothing to wait for.
    fn put_registration(&self, watch: u32, want: u32, edges: bool) -> Result<Option<u32>> {
        let slot = self.slot(watch);
        let before = slot.mark.get();
        let stamp = slot.word.renew(State::Armed);
        let (cookie, mark) = match (want, edges) {
            (0, _) => (Cookie { slot: watch, arming: stamp }, ONCE),
            (_, true) => (Cookie::edge(watch, stamp), EDGE),
            _ => (Cookie::level(watch, stamp), LEVEL),
        };
        let how = if before == NOTHING { How::New } else { How::Again };
        let both = edges && want & OUT != 0 && want != OUT;
        // Room that was there all the time is no news, although the change makes an edge.
        let watched = self.is(watch, SIDE) || before != NOTHING && slot.want.get() as u32 & OUT != 0;
        let echo = both && watched && below::sample(slot.fd.get(), OUT).is_ok_and(|bits| bits & OUT != 0);
        let want = if both && self.arm_at_side(watch, cookie).is_ok() { want & !OUT } else { want };
        if echo {
            let _ = self.absorb_side(watch);
        }
        if want & OUT != 0 || !both {
            self.disarm_at_side(watch);
        }
        match self.set.arm(&self.object.batch, slot.fd.get(), cookie, want, how) {
            Ok(Class::Pollable) => {}
            Ok(Class::AlwaysReady) => {
                self.enter_file(watch);
                return Ok(None);
            }
            Err(error) => {
                let old = Cookie { slot: watch, arming: slot.cookie.get() };
                if error == Errno::ENOENT && how == How::Again {
                    return self.renew_watch(watch).map(|()| None);
                }
                if how == How::Again {
                    self.lose(watch, old);
                }
                return Err(error);
            }
        }
        self.mark(watch, mark);
        slot.cookie.set(cookie.arming);
        slot.want.set(want as i32);
        slot.fires.set(0);
        slot.since.set(self.object.looks.get()); // no look has seen it so far
        Ok(Some(mark))
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

    /// A change concerns a watch: is its registration that of its number's file? Where closes are seen that is asked later,
    /// for many changes at once. EBADF if the number is closed.
    pub fn trust_watch(&self, watch: u32) -> Result<()> {
        if self.slot(watch).mark.get() == NOTHING || !self.may_keep() {
            return self.confirm_watch(watch);
        }
        self.doubt(watch);
        Ok(())
    }

    /// Is the registration of a watch that of its number's file? If not, its notes are gone, but those that were made, or
    /// made again, since that was known last: they are the new file's. EBADF if the number is closed.
    pub fn confirm_watch(&self, watch: u32) -> Result<()> {
        let slot = self.slot(watch);
        let old = Cookie { slot: watch, arming: slot.cookie.get() };
        if slot.mark.get() == NOTHING {
            return Ok(());
        }
        self.prove()?;
        match self.set.arm(&self.object.batch, slot.fd.get(), old, slot.want.get() as u32, How::Unless) {
            Err(Errno::EEXIST) => self.be_sure_of_notes(watch),
            Err(Errno::EBADF) => {
                self.lose(watch, old);
                return Err(Errno::EBADF);
            }
            Ok(Class::Pollable) => {
                let _ = self.set.disarm(&self.object.batch, slot.fd.get());
                let _ = self.renew_watch(watch);
            }
            _ => drop(self.renew_watch(watch)),
        }
        Ok(())
    }

    /// The number of a watch was closed unseen and names another file, which only its newest notes are of. ENOENT: there are
    /// none.
    #[cold]
    fn renew_watch(&self, watch: u32) -> Result<()> {
        let slot = self.slot(watch);
        let before = slot.mark.get();
        self.disarm_at_side(watch);
        self.mark(watch, NOTHING);
        self.put(watch, HALF, false);
        slot.want.set(0);
        while let Some(note) = self.notes_of(watch).find(|&note| !self.is(note, FRESH)) {
            self.drop_note(note);
        }
        if before == LEVEL {
            self.object.haunted.set(1); // if a duplicate keeps the old file, what fires with its cookie is cut then
        }
        if self.notes_of(watch).next().is_none() {
            return Err(Errno::ENOENT);
        }
        slot.tag.set(measure::kind(slot.fd.get())? as u32);
        self.be_sure_of_notes(watch);
        self.fit(watch)
    }

    /// The registration of a watch is known to be that of its notes' file.
    pub fn be_sure_of_notes(&self, watch: u32) {
        self.be_sure(watch);
        self.notes_of(watch).for_each(|note| self.put(note, FRESH, false));
    }

    /// Is that not known?
    pub fn in_doubt(&self, watch: u32) -> bool {
        watch != 0 && self.slot(watch).previous_unsure.get() != 0
    }
}
