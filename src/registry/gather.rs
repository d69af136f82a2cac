//! Looks at the set of an object with notes: what is ready is linked in the queue.

use super::alarm;
use super::held::{BELL_DOWN, BELL_UP, Held};
use super::nest::NEWS_BELOW;
use super::note::{DISABLED, ECHO, EDGES, ENDS, HALF, LEAST, NEST, QUEUED, SIDE};
use super::record::{Note, State};
use super::watch::{NOTHING, reportable};
use crate::errno::Result;
use crate::host::{Cookie, ReadySet, Until, Wake, Wakes};

const IN: u32 = libc::POLLIN as u32;
const OUT: u32 = libc::POLLOUT as u32;
const HUP: u32 = libc::POLLHUP as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;

/// Every so often the kernel is asked whether a registration that fires is that of its number's file.
pub fn is_due(fires: u32) -> bool {
    fires.is_multiple_of(64) || fires < 64 && fires.is_power_of_two()
}

/// What a wake was good for.
#[derive(PartialEq, Eq)]
enum Good {
    /// A note was linked.
    News,
    /// Every note that it concerns is linked already.
    Waiting,
    /// It concerns none.
    Unasked,
    /// Not now.
    Nothing,
    /// A late one of a registration that is no more, or one of somebody else's set.
    Strange,
}

impl Held<'_> {
    /// Looks at the set: links what is ready. `sleepy`: a sleep may follow, so that nothing may be ready that nobody asks
    /// for. True if every registration that is ready was named.
    ///
    /// Where closes are seen the number is not proved before (only calls that would change something do that), but after a
    /// wake that is none of ours: then it is no queue any more.
    pub fn gather(&self, sleepy: bool) -> Result<bool> {
        if !self.registry.sees_closes {
            self.prove()?;
        }
        if self.object.unsure.get() != 0 {
            self.confirm_old();
        }
        self.object.looks.increment();
        self.idlers.set(false);
        let mut wakes = Wakes::new();
        let mut first = true;
        loop {
            self.set.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
            let (waiting, unasked) = self.absorb_notes(&wakes, 0, true)?;
            let full = wakes.len() == Wakes::ROOM;
            let mut again = full && !waiting;
            // A look within such a change does not go on with it: it would do so within itself, without an end.
            let wanted = full || sleepy && self.object.linked.get() == 0;
            if unasked && wanted && !self.fitting.replace(true) {
                again |= self.fit_idlers(&wakes);
                self.fitting.set(false);
            }
            if !again {
                return Ok(first && !full);
            }
            first = false;
        }
    }

    /// Takes in what a turn brought: is there one that is linked already, is there one that nobody asks for? `fresh`: it came
    /// just now; a sleeper may bring home late what others have read since, and asked for again. The number may prove to be
    /// no queue.
    pub fn absorb_notes(&self, wakes: &Wakes, echo: u32, fresh: bool) -> Result<(bool, bool)> {
        let (mut waiting, mut unasked) = (false, false);
        for wake in wakes.iter() {
            match wake.cookie {
                Cookie::BELL if self.object.bell.get() == BELL_UP => self.object.bell.set(BELL_DOWN),
                Cookie::BELL => {}
                Cookie::SIDE_SET => drop(self.absorb_side(0)),
                Cookie::NOTICES => self.take_notice(),
                Cookie { slot: 0, arming } => self.expire(alarm::clock_of(arming)),
                cookie => {
                    match self.receive(wake, cookie.slot == echo || self.is(cookie.slot, ECHO), fresh) {
                        Good::Waiting => waiting = true,
                        Good::Unasked => unasked = true,
                        Good::News | Good::Nothing => {}
                        Good::Strange => {
                            self.prove()?;
                            unasked |= cookie.is_level();
                        }
                    }
                }
            }
        }
        self.idlers.set(self.idlers.get() || unasked);
        Ok((waiting, unasked))
    }

    /// The same from the side set.
    pub fn receive_at_side(&self, wake: Wake) {
        let Some(cookie) = wake.cookie.from_side() else { return };
        let watch = cookie.slot;
        if !self.is_of_watch(cookie) || !self.is(watch, SIDE) || self.is(watch, ECHO) {
            return;
        }
        for index in self.notes_of(watch) {
            if self.slot(index).want.get() as u32 == OUT && !self.is(index, DISABLED) {
                self.link_note(index);
            }
        }
    }

    /// Is a cookie that of a watch as it is registered now?
    #[inline]
    pub fn is_of_watch(&self, cookie: Cookie) -> bool {
        let slot = self.slot(cookie.slot);
        slot.home.get() == self.index
            && slot.word.state() == State::Armed
            && slot.cookie.get() == cookie.arming
    }

    fn receive(&self, wake: Wake, echo: bool, fresh: bool) -> Good {
        let watch = wake.cookie.slot;
        let (slot, record) = (self.slot(watch), self.note(watch));
        if !self.is_of_watch(wake.cookie) || slot.mark.get() == NOTHING {
            return Good::Strange;
        }
        self.proved.set(true); // nobody else's set has this cookie
        slot.fires.increment();
        if is_due(slot.fires.get()) && self.confirm_watch(watch).is_err() {
            return Good::Nothing;
        }
        if self.in_doubt(watch) {
            self.be_sure_of_notes(watch);
        }
        if record.status.get() & NEST != 0 {
            self.object.nests.set(NEWS_BELOW); // for who looks there
            return Good::Nothing;
        }
        let bits = wake.exact.unwrap_or(!0);
        record.seen.set(if fresh { self.object.looks.get() } else { 0 });
        slot.events.set(bits as i32);
        // What a late wake says is tested again: it may have been the condition of another note.
        let told = if fresh { bits } else { bits & !IN };
        if wake.cookie.is_edge() {
            self.receive_edge(watch, echo, (bits, told))
        } else {
            self.receive_level(record, (bits, told))
        }
    }

    /// Of a level-triggered registration: it tells of what is there, and again as long as it is.
    fn receive_level(&self, watch: &Note, (bits, told): (u32, u32)) -> Good {
        let mut good = Good::Unasked;
        let mut index = watch.beside.get();
        while index != 0 {
            let (note, slot) = (self.note(index), self.slot(index));
            let status = note.status.get();
            if status & DISABLED == 0 && bits & reportable(slot.want.get() as u32) != 0 {
                if status & QUEUED == 0 {
                    slot.events.set(told as i32);
                    self.link_note(index);
                    good = Good::News;
                } else if good != Good::News {
                    good = Good::Waiting;
                }
            }
            index = note.beside.get();
        }
        good
    }

    /// Of an edge-triggered one: it tells of what has happened, once.
    fn receive_edge(&self, watch: u32, echo: bool, (bits, told): (u32, u32)) -> Good {
        let (mut good, mut changed) = (Good::Unasked, None);
        for index in self.notes_of(watch) {
            let (about, note) = (self.slot(index), self.note(index));
            let before = about.events.get() as u32;
            let ended = bits & !before & if before & RDHUP != 0 { ENDS & !HUP } else { ENDS } != 0;
            about.events.set(told as i32); // not to be had again
            let elsewhere = self.is(watch, SIDE) && about.want.get() as u32 == OUT;
            if elsewhere || self.is(index, DISABLED) || bits & reportable(about.want.get() as u32) == 0 {
                continue;
            }
            if self.is(index, LEAST) && bits & ENDS == 0 && self.amount_of(watch) < note.amount.get() {
                good = Good::Nothing;
                continue;
            }
            let echo = echo || self.is(watch, HALF) && about.want.get() as u32 != OUT;
            if echo
                && self.is(index, EDGES)
                && !ended
                && !*changed.get_or_insert_with(|| self.has_changed(watch))
            {
                good = Good::Nothing;
                continue;
            }
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

    /// Fits registrations that fire for nobody; true if there was one.
    fn fit_idlers(&self, wakes: &Wakes) -> bool {
        let mut some = false;
        for wake in wakes.iter().filter(|wake| wake.cookie.is_level()) {
            let (watch, slot) = (wake.cookie.slot, self.slot(wake.cookie.slot));
            if !self.is_of_watch(wake.cookie) || slot.mark.get() == NOTHING {
                some |= self.prove().is_ok() && self.cut(wake.cookie);
            } else if slot.want.get() as u32 != self.asked(watch).0 {
                let _ = self.fit_and_look(watch, false);
                some = true;
            }
        }
        some
    }
}
