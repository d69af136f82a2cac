//! Deadlines: an object has a tree of them for each clock, and one alarm of the host's that tells of the first.
//!
//! The alarm is a helper descriptor ([`super::helper`]), made when the first deadline is set, and sits in the object's set:
//! pollers and sleepers hear of it there. It is set only when the first deadline changes.

use super::Registry;
use super::cell::{Cell32, Cell64};
use super::held::Held;
use super::note::{DISABLED, PARKED, TIMED, WALL};
use super::tree::{Nodes, Tree};
use crate::errno::Result;
use crate::host::{Alarm, Clock, Cookie, below};

/// Which clock the alarm with this cookie is of.
pub fn clock_of(arming: u32) -> Clock {
    if arming == 2 { Clock::Wall } else { Clock::Monotonic }
}

fn index(clock: Clock) -> usize {
    usize::from(clock == Clock::Wall)
}

struct Deadlines(&'static Registry);

impl Nodes for Deadlines {
    type Key = (u64, u32);
    fn key(&self, node: u32) -> (u64, u32) {
        (self.0.arena.note(node).deadline.get(), node)
    }
    fn links(&self, node: u32) -> (&'static Cell32, &'static Cell32) {
        let note = self.0.arena.note(node);
        (&note.earlier, &note.later)
    }
}

impl Held<'_> {
    fn clock_of_note(&self, note: u32) -> Clock {
        if self.is(note, WALL) { Clock::Wall } else { Clock::Monotonic }
    }

    fn deadlines<'a>(&self, clock: Clock, nodes: &'a Deadlines) -> Option<Tree<'a, Deadlines>> {
        Some(Tree { root: self.object.deadlines.get(index(clock))?, nodes })
    }

    /// Sets the deadline of a note: [`Held::wind`] has to follow.
    pub fn give_deadline(&self, note: u32, at: u64, period: u64) {
        self.take_deadline(note);
        self.note(note).deadline.set(at);
        self.note(note).period.set(period);
        self.put(note, TIMED, true);
        if let Some(tree) = self.deadlines(self.clock_of_note(note), &Deadlines(self.registry)) {
            tree.insert(note);
        }
    }

    /// A note that reports nothing has a deadline all the same, but nobody has to hear of it. If somebody looks at the
    /// object from outside the alarm is set anew at once.
    pub fn park_deadline(&self, note: u32) {
        if self.is(note, TIMED) {
            self.take_deadline(note);
            self.put(note, PARKED, true);
            self.wind_for_others(note);
        }
    }

    /// It reports again: what has passed since is counted.
    pub fn unpark_deadline(&self, note: u32) -> Result<()> {
        if !self.is(note, PARKED) {
            return Ok(());
        }
        self.give_deadline(note, self.note(note).deadline.get(), self.note(note).period.get());
        let clock = self.clock_of_note(note);
        self.expire(clock);
        self.wind(clock)
    }

    /// A deadline of a note went: who polls the object from outside must not hear of it.
    pub fn wind_for_others(&self, note: u32) {
        if self.object.exposed.get() != 0 {
            let _ = self.wind(self.clock_of_note(note));
        }
    }

    /// Forgets the deadline of a note.
    pub fn take_deadline(&self, note: u32) {
        self.put(note, PARKED, false);
        if self.is(note, TIMED) {
            self.put(note, TIMED, false);
            if let Some(tree) = self.deadlines(self.clock_of_note(note), &Deadlines(self.registry)) {
                tree.remove(note);
            }
        }
    }

    /// Counts the deadlines that have passed, and links their notes.
    pub fn expire(&self, clock: Clock) {
        let nodes = Deadlines(self.registry);
        let Some(tree) = self.deadlines(clock, &nodes) else { return };
        let now = below::clock(clock);
        while let Some(index) = tree.first() {
            let note = self.note(index);
            let (deadline, period) = (note.deadline.get(), note.period.get());
            if deadline > now {
                break;
            }
            let passed = (now - deadline).checked_div(period).unwrap_or(0) + 1;
            note.data.set(note.data.get().saturating_add(passed));
            self.take_deadline(index);
            if let Some(next) = passed.checked_mul(period).and_then(|by| deadline.checked_add(by))
                && period != 0
            {
                self.give_deadline(index, next, period);
            }
            if !self.is(index, DISABLED) {
                self.link_note(index);
            }
        }
        let _ = self.wind(clock);
    }

    /// Would a new deadline be the first one of its clock, or be due already? If not the alarm stays as it is.
    pub fn would_be_first(&self, clock: Clock, at: u64) -> bool {
        let set = self.object.alarm_times.get(index(clock)).map_or(0, Cell64::get);
        let has_alarm = self.object.alarms.get(index(clock)).is_some_and(|alarm| alarm.get() != 0);
        !has_alarm || set == 0 || at < set || set <= below::clock(clock)
    }

    /// Expires what is due on any clock.
    pub fn expire_all(&self) {
        for clock in [Clock::Monotonic, Clock::Wall] {
            if self.object.deadlines.get(index(clock)).is_some_and(|root| root.get() != 0) {
                self.expire(clock);
            }
        }
    }

    /// Sets the alarms to what is to be heard of.
    pub fn wind_all(&self) {
        for clock in [Clock::Monotonic, Clock::Wall] {
            if self.object.alarms.get(index(clock)).is_some_and(|alarm| alarm.get() != 0) {
                let _ = self.wind(clock);
            }
        }
    }

    /// Sets the alarm of a clock to the first deadline. EMFILE, ENFILE, ENOMEM.
    pub fn wind(&self, clock: Clock) -> Result<()> {
        let at = index(clock);
        let (Some(number), Some(time)) = (self.object.alarms.get(at), self.object.alarm_times.get(at)) else {
            return Ok(());
        };
        let nodes = Deadlines(self.registry);
        let first = self.deadlines(clock, &nodes).and_then(|tree| tree.first());
        // 0 is "not set".
        let wanted = first.map_or(0, |note| self.note(note).deadline.get().max(1));
        if wanted == 0 && number.get() == 0 || wanted == time.get() && time.get() > below::clock(clock) {
            return Ok(());
        }
        self.prove()?;
        let cookie = Cookie { slot: 0, arming: at as u32 + 1 };
        let fd = self.helper(number, cookie, || Alarm::make(clock).map(Alarm::fd))?;
        self.has_source();
        Alarm::at(fd).set(wanted);
        time.set(wanted);
        Ok(())
    }
}
