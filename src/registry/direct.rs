//! The short way: level-triggered notes that the kernel names need no place in the queue.
//!
//! The kernel names what is ready in the order in which it became ready, and what it has named comes last the next time:
//! that is the order of the guest's queue, as long as nothing else is in it. So a look at an object that has only such
//! notes, one for each registration, hands them on as they come, and puts none back. It takes one that is none of them,
//! a timer, a registration of two notes, something that is ready and not asked for, and everything goes through the queue
//! until that is empty again.
//!
//! Changes go along ([`Plain`]) if they only let a note report again that is delivered once, or make such a one: it leaves the queue
//! with its event. What they concern comes after everything else that is ready, as it would in the queue.

use super::gather::is_due;
use super::held::Held;
use super::note::{CHANGED, DISABLED, QUEUED};
use super::record::State;
use super::watch::{LEVEL, ONCE, reportable};
use crate::errno::Result;
use crate::host::{RawFd, ReadySet, Until, Wake, Wakes};

/// A change that the short way can make.
#[derive(Clone, Copy, Default)]
pub struct Plain {
    /// The watch of its number, whose registration stays as it is.
    pub watch: u32,
    /// Its note; 0: it is to be made.
    pub note: u32,
    /// Which wake of the look has named it, plus one.
    pub named: u32,
}

/// What came of a look of the short way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gleaned {
    /// All can be handed on as it is.
    All,
    /// It was taken into the queue, and there is no more.
    Queued,
    /// Another look is needed.
    Nothing,
}

impl Held<'_> {
    /// May a look hand on what it brings? Only if nothing waits in the queue, and nothing but descriptors can have an event.
    #[inline]
    pub fn only_levels(&self) -> bool {
        let object = self.object;
        let empty = object.linked.get() | object.files.get() | object.side.get() as u32 == 0
            && object.deadlines.iter().all(|root| root.get() == 0);
        if empty && object.unsure.get() != 0 {
            self.confirm_old();
        }
        empty && object.linked.get() == 0 && self.registry.sees_closes
    }

    /// The watch of a number, if its registration is level-triggered, serves `want`, and may stay as it is; or, where they are
    /// armed `again`, if it is one-shot. It is found without the number's lock: a watch of this object ends under the object's.
    #[inline]
    pub fn standing_watch(&self, fd: RawFd, want: u32, again: bool) -> Option<u32> {
        let entry = self.registry.table.get(fd)?;
        let watch = entry.watches.get();
        let (slot, record) = (self.slot(watch), self.note(watch));
        let stands = watch != 0
            && entry.is_plain()
            && slot.home.get() == self.index
            && slot.fd.get() == fd
            && slot.word.state() == State::Armed
            && (slot.mark.get() == LEVEL && slot.want.get() as u32 & want == want
                || again && slot.mark.get() == ONCE)
            && record.status.get() == 0
            && self.may_keep();
        stands.then_some(watch)
    }

    /// A look for at most `most` descriptors, at an object of [`Held::only_levels`] that neither watches others nor is watched.
    /// [`Gleaned::All`]: these `notes` have an event (0: one of the `changes` names it), to be taken by
    /// [`Held::take_direct`].
    #[inline]
    pub fn glean(
        &self,
        wakes: &mut Wakes,
        notes: &mut [u32],
        most: usize,
        changes: &mut [Plain],
    ) -> Result<Gleaned> {
        // One more than there is room for tells whether what the changes concern is all that is ready.
        let most = if changes.is_empty() { most } else { most + 1 }.min(Wakes::ROOM);
        self.idlers.set(false);
        self.object.looks.increment();
        let looked = self.set.turn(&self.object.batch, wakes, most, Until::Now, self.mask);
        let full = wakes.len() == most;
        let mut places = notes.iter_mut();
        let all_direct = wakes.iter().enumerate().all(|(at, wake)| {
            let note = self.direct(wake).or_else(|| self.changed(wake, at, full, changes));
            match (places.next(), note) {
                (Some(place), Some(note)) => {
                    *place = note;
                    true
                }
                _ => false,
            }
        });
        for change in changes.iter() {
            self.put(change.watch, CHANGED, false);
        }
        looked?;
        if all_direct {
            return Ok(Gleaned::All);
        }
        let (_, unasked) = self.absorb_notes(wakes, 0, true)?;
        Ok(if unasked || full { Gleaned::Nothing } else { Gleaned::Queued })
    }

    /// The one note of a level-triggered registration that is ready for it. Such notes need no place in the queue: the kernel
    /// names them in the order in which they became ready, and those that it has named come last the next time.
    #[inline(always)]
    pub fn direct(&self, wake: Wake) -> Option<u32> {
        let watch = wake.cookie.slot;
        let (slot, record) = (self.slot(watch), self.note(watch));
        if !self.is_of_watch(wake.cookie) || !matches!(slot.mark.get(), LEVEL | ONCE) {
            return None;
        }
        let index = record.beside.get();
        let (note, bits) = (self.note(index), wake.exact?);
        let plain = note.beside.get() == 0
            && index != 0
            && note.status.get() & (DISABLED | QUEUED) == 0
            && bits & reportable(self.slot(index).want.get() as u32) != 0
            && (slot.mark.get() == ONCE || !is_due(slot.fires.get() + 1));
        plain.then_some(index)
    }

    /// A wake of what one of the changes concerns: it has no note yet, or one that reports nothing so far. If there may be more
    /// than the look could name, all that has to come first.
    #[inline]
    fn changed(&self, wake: Wake, at: usize, full: bool, changes: &mut [Plain]) -> Option<u32> {
        let watch = wake.cookie.slot;
        let plain = !full
            && self.is(watch, CHANGED)
            && self.is_of_watch(wake.cookie)
            && wake.exact.is_some()
            && !is_due(self.slot(watch).fires.get() + 1);
        let change = changes.iter_mut().find(|change| plain && change.watch == watch)?;
        change.named = at as u32 + 1;
        Some(0)
    }

    /// All that is in the queue was put back there after the link `end`, in the order in which the kernel has named it: if it
    /// is such notes alone they need no place, and the next look can hand them on directly. What is ready and not asked for
    /// has a place in the kernel's order that it has not earned, so there must be nothing of that kind.
    pub fn unlink_levels(&self, end: u64) {
        if self.idlers.get() {
            return;
        }
        let next = |index: u32| Some(self.slot(index).next.get()).filter(|&index| index != 0);
        let oldest = Some(self.object.oldest.get()).filter(|&index| index != 0);
        let is_plain = |index: u32| {
            let note = self.note(index);
            let watch = note.watch.get();
            note.place.get() > end
                && watch != 0
                && note.beside.get() == 0
                && self.note(watch).beside.get() == index
                && self.slot(watch).mark.get() == LEVEL
        };
        if core::iter::successors(oldest, |&index| next(index)).all(is_plain) {
            while self.object.oldest.get() != 0 {
                self.unlink_note(self.object.oldest.get());
            }
        }
    }

    /// Takes a wake in that [`Held::glean`] has found a note for.
    #[inline]
    pub fn take_direct(&self, wake: Wake, note: u32) {
        let (slot, bits) = (self.slot(wake.cookie.slot), wake.exact.unwrap_or_default());
        self.proved.set(true); // nobody else's set has this cookie
        slot.fires.increment();
        slot.events.set(bits as i32);
        if self.in_doubt(wake.cookie.slot) {
            self.be_sure_of_notes(wake.cookie.slot);
        }
        self.note(wake.cookie.slot).seen.set(self.object.looks.get());
        self.slot(note).events.set(bits as i32);
    }
}
