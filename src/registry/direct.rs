//! The short way: level-triggered notes that the kernel names need no place in the queue.
//!
//! The kernel names what is ready in the order in which it became ready, and what it has named comes last the next time:
//! that is the order of the guest's queue, as long as nothing else is in it. So a look at an object that has only such
//! notes, one for each registration, hands them on as they come, and puts none back. It takes one that is none of them,
//! a timer, a registration of two notes, something that is ready and not asked for, and everything goes through the queue
//! until that is empty again.

use super::gather::is_due;
use super::held::Held;
use super::note::{DISABLED, QUEUED};
use super::watch::{LEVEL, reportable};
use crate::errno::Result;
use crate::host::{ReadySet, Until, Wake, Wakes};

impl Held<'_> {
    /// A look for at most `most` descriptors, at an object that neither watches others nor is watched. True: all that it brought can be handed on as it is, to these `notes`
    /// ([`Held::direct`]). False: it was taken in, and there is no more. `None`: another look is needed.
    #[inline]
    pub fn glean(&self, wakes: &mut Wakes, notes: &mut [u32], most: usize) -> Result<Option<bool>> {
        let object = self.object;
        // Nothing waits in the queue, and nothing else can have an event.
        let only_levels = object.linked.get() | object.unsure.get() == 0
            && object.files.get() | object.side.get() as u32 == 0
            && object.deadlines.iter().all(|root| root.get() == 0)
            && self.registry.sees_closes;
        if !only_levels {
            return Ok(None);
        }
        let most = most.min(Wakes::ROOM);
        self.idlers.set(false);
        object.looks.increment();
        self.set.turn(&object.batch, wakes, most, Until::Now, self.mask)?;
        let mut places = notes.iter_mut();
        let all_direct = wakes.iter().all(|wake| match (places.next(), self.direct(wake)) {
            (Some(place), Some(note)) => {
                *place = note;
                true
            }
            _ => false,
        });
        if all_direct {
            return Ok(Some(true));
        }
        let (_, unasked) = self.absorb_notes(wakes, 0, true)?;
        Ok(if unasked || wakes.len() == most { None } else { Some(false) })
    }

    /// The one note of a level-triggered registration that is ready for it. Such notes need no place in the queue: the kernel
    /// names them in the order in which they became ready, and those that it has named come last the next time.
    #[inline]
    fn direct(&self, wake: Wake) -> Option<u32> {
        let watch = wake.cookie.slot;
        let (slot, record) = (self.slot(watch), self.note(watch));
        if !self.is_of_watch(wake.cookie) || slot.mark.get() != LEVEL {
            return None;
        }
        let index = record.beside.get();
        let (note, bits) = (self.note(index), wake.exact?);
        let plain = note.beside.get() == 0
            && index != 0
            && note.status.get() & (DISABLED | QUEUED) == 0
            && bits & reportable(self.slot(index).want.get() as u32) != 0
            && !is_due(slot.fires.get() + 1);
        plain.then_some(index)
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
        self.note(wake.cookie.slot).seen.set(self.object.looks.get());
        self.slot(note).events.set(bits as i32);
    }
}
