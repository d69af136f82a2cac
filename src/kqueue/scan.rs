//! The scan (section 6): one pass over the queue, in the order in which knotes became active.
//!
//! The caller's memory is touched only with no lock held, so events travel through a chunk on the stack. A pass ends at
//! what was linked when it began: nothing is delivered twice in one call (K-101), and what is put back goes to the end.

use super::{Kevent, descriptor, filter, flag, hold, register, set_error};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, Until, Wakes, below};
use crate::registry::nest::NEWS_BELOW;
use crate::registry::note::{DISABLED, FILE, FORCED, TRIGGERED};
use crate::registry::wait::Woken;
use crate::registry::{Held, Registry};
use core::cell::Cell;

/// Events that are taken under one lock. On the stack, and cleared for each call.
pub const CHUNK: usize = 16;

/// What a call knows of its queue.
#[derive(Clone, Copy, Default, Debug)]
pub struct Glance {
    /// It has looked at everything that tells nobody.
    pub made: bool,
    /// Which look that was, if it has named everything that is ready.
    pub look: Option<u32>,
    /// The number was proved to be the queue.
    pub proved: bool,
}

impl Glance {
    /// Nothing.
    pub const NONE: Glance = Glance { made: false, look: None, proved: false };
}

/// Makes sure that the call has looked.
pub fn glance(held: &Held<'_>, glance: &Cell<Glance>) -> Result<()> {
    if !glance.get().made {
        let idle = held.object.sources.get() == 0 && held.object.nests.get() == 0;
        let look = if idle { None } else { look(held, false)? };
        glance.set(Glance { made: true, look, proved: held.proved.get() });
    }
    Ok(())
}

/// Before changes: looks at the queues below, for which no lock may be held.
pub fn begin(kq: RawFd) -> Result<()> {
    let registry = super::registry_of(kq)?;
    if registry.has_below(kq) {
        registry.look_below(kq, &Masked::new());
    }
    if registry.sees_closes { Ok(()) } else { hold(kq, &Masked::new())?.prove().map_err(set_error) }
}

/// A call on the queue ends: those above hear of what it has linked.
pub fn tell_above(kq: RawFd) {
    if let Ok(registry) = super::registry_of(kq)
        && registry.is_nested(kq)
    {
        tell(registry, kq, &Masked::new());
    }
}

fn tell(registry: &'static Registry, kq: RawFd, mask: &Masked) {
    let _ = registry.connect_source(kq, mask);
    registry.tell_above(kq, mask);
}

/// Looks. Which look has named everything that is ready, if one has.
pub fn look(held: &Held<'_>, sleepy: bool) -> Result<Option<u32>> {
    let all = held.gather(sleepy).map_err(set_error)?;
    let which = all.then(|| held.object.looks.get());
    held.expire_all();
    descriptor::look_at_files(held);
    Ok(which)
}

/// One wait of a caller.
#[derive(Clone, Copy)]
pub struct Wait {
    kq: RawFd,
    room: usize,
    until: Until,
    taken: usize,
    /// What was linked when the pass began.
    end: Option<u64>,
    slept: bool,
    /// The program's mask, while the caller has blocked all signals for a sleep.
    program: Option<u64>,
    /// Handlers that had run when it began.
    handlers: u32,
    /// The look that was made by the changes of the same call.
    looked: Option<u32>,
    /// They have proved the number.
    proved: bool,
    /// The last step has looked and found nothing: what came since will end the sleep.
    calm: bool,
}

/// What one step of a wait came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It is over, with so many events.
    Done(usize),
    /// It has to sleep: the caller blocks all signals and goes on.
    Sleep,
    /// Something may have happened in a queue below.
    Again,
}

impl Wait {
    /// For up to `room` events. `handlers`: [`Masked::interruptions`] when the call began.
    pub fn new(kq: RawFd, room: usize, until: Until, handlers: u32) -> Wait {
        Wait {
            kq,
            room,
            until,
            taken: 0,
            end: None,
            slept: false,
            program: None,
            handlers,
            looked: None,
            proved: false,
            calm: false,
        }
    }

    /// The queue was looked at in this call already.
    pub fn after_look(mut self, glance: Glance) -> Wait {
        self.looked = glance.look;
        self.proved = glance.proved;
        self
    }

    /// The short way has looked, and nothing was there.
    pub fn after_silence(mut self, silent: bool) -> Wait {
        self.calm = silent;
        self
    }

    /// A chunk was taken already, of what had been linked until the link `end`. `look`: which look has named everything.
    pub fn after_chunk(mut self, look: Option<u32>, end: u64) -> Wait {
        (self.taken, self.end, self.looked) = (CHUNK, Some(end), look);
        self
    }

    /// All signals are blocked; this was the mask before.
    pub fn may_sleep(&mut self, program: u64) {
        self.program = Some(program);
    }

    /// Delivers events to `deliver` (with the index of the first), or says that it has to sleep for one.
    #[inline]
    pub fn step(&mut self, mut deliver: impl FnMut(usize, &[Kevent])) -> Result<Step> {
        loop {
            let mut chunk = [Kevent::default(); CHUNK];
            let most = (self.room - self.taken).min(CHUNK);
            let step = self.fill(chunk.get_mut(..most).unwrap_or_default())?;
            let filled = match step {
                Step::Done(filled) => filled,
                Step::Sleep => return Ok(Step::Sleep),
                Step::Again => continue,
            };
            deliver(self.taken, chunk.get(..filled).unwrap_or_default());
            self.taken += filled;
            if filled < CHUNK || self.taken == self.room {
                return Ok(Step::Done(self.taken));
            }
        }
    }

    /// Fills a chunk, under one section.
    fn fill(&mut self, chunk: &mut [Kevent]) -> Result<Step> {
        let mask = self.program.map_or_else(Masked::new, Masked::hardened);
        let mut held = hold(self.kq, &mask)?;
        let (registry, object) = (held.registry, held.object);
        if let Some(end) = self.end {
            // The rest, after a full chunk. Another thread may have looked since.
            let all = self.looked.filter(|&looked| looked == object.looks.get());
            let filled = take(&held, chunk.len(), end, all, write_to(chunk));
            held.settle().map_err(set_error)?;
            return Ok(Step::Done(filled));
        }
        if object.nests.get() != 0 && self.looked.is_none() {
            drop(held);
            registry.look_below(self.kq, &mask);
            held = hold(self.kq, &mask)?;
        }
        let step = self.collect(held, chunk);
        if object.nested.get() != 0 {
            tell(registry, self.kq, &mask);
        }
        self.program = None;
        if step == Ok(Step::Again) {
            self.end = None;
        }
        step
    }

    /// Takes what is there, or sleeps for it.
    fn collect(&mut self, mut held: Held<'_>, chunk: &mut [Kevent]) -> Result<Step> {
        let mut woken_with_news = false;
        loop {
            // A sleeper brings the news home itself.
            let known = self.looked.take().filter(|&looked| looked == held.object.looks.get());
            let was_empty = held.object.linked.get() == 0;
            let all = match known {
                Some(_) => {
                    held.proved.set(self.proved); // in the same call
                    known
                }
                None if woken_with_news || self.calm => None,
                None => look(&held, self.until != Until::Now)?,
            };
            self.calm = false;
            let (filled, end) = pass(&held, chunk.len(), all, was_empty, write_to(chunk));
            self.end = Some(end);
            self.looked = if filled == CHUNK { all } else { None };
            let over = match self.until {
                Until::Now => true,
                Until::At(end) => self.slept && below::now() >= end,
                Until::Forever => false,
            };
            if filled > 0 || over {
                held.settle().map_err(set_error)?;
                return Ok(Step::Done(filled));
            }
            woken_with_news = false;
            if known.is_some() && self.until != Until::Now {
                continue; // now for a sleep
            }
            if held.object.linked.get() != 0 {
                continue; // linked while the others were tested
            }
            if held.object.nested.get() != 0 && held.object.untold.get() != 0 {
                return Ok(Step::Again); // before it sleeps
            }
            if held.object.nests.get() == NEWS_BELOW {
                return Ok(Step::Again);
            }
            let interrupted = Masked::interruptions() != self.handlers; // of this call, before it sleeps
            if self.program.is_none() || interrupted && !self.slept {
                self.end = None;
                self.calm = true;
                held.settle().map_err(set_error)?;
                return if interrupted { Err(Errno::EINTR) } else { Ok(Step::Sleep) };
            }
            self.slept = true;
            let (woken, again) = held.sleep(self.kq, 1, chunk.len().min(Wakes::ROOM), self.until);
            held = match (woken, again) {
                (Woken::Look | Woken::TimedOut | Woken::Told(..), Some(again)) => again,
                (woken, again) => {
                    if let Some(again) = again {
                        let _ = again.settle();
                    }
                    return Err(match woken {
                        Woken::Interrupted => Errno::EINTR, // K-045
                        Woken::Failed(error) => set_error(error),
                        _ => Errno::EBADF, // K-125
                    });
                }
            };
            if held.object.nests.get() != 0 {
                return Ok(Step::Again);
            }
            woken_with_news = held.object.linked.get() != 0;
        }
    }
}

fn write_to(chunk: &mut [Kevent]) -> impl FnMut(usize, &Kevent) {
    |at, event| {
        if let Some(place) = chunk.get_mut(at) {
            *place = *event;
        }
    }
}

/// A pass: takes up to `most` events of what is linked by now, and says where that ended. `was_empty`: nothing was linked before
/// the last look.
#[inline]
pub fn pass(
    held: &Held<'_>,
    most: usize,
    all: Option<u32>,
    was_empty: bool,
    sink: impl FnMut(usize, &Kevent),
) -> (usize, u64) {
    let end = held.object.links.get();
    let filled = take(held, most, end, all, sink);
    if filled > 0 && (was_empty || held.object.linked.get() == 1) {
        held.unlink_levels(end);
    }
    (filled, end)
}

/// Takes up to `most` events out of the queue that were linked before the link `end`. `all`: which look has named everything
/// that is ready, if one has.
#[inline]
fn take(
    held: &Held<'_>,
    most: usize,
    end: u64,
    all: Option<u32>,
    mut sink: impl FnMut(usize, &Kevent),
) -> usize {
    let mut filled = 0;
    while filled < most
        && let Some(note) = held.oldest_note(end)
    {
        let (enabled, word) = (!held.is(note, DISABLED), &held.slot(note).word);
        let stamp = word.stamp();
        let tested = all.is_some_and(|look| held.slot(note).since.replace(0) == look);
        let ready = enabled && (tested || register::test(held, note, all) || is_stale_oneshot(held, note));
        if word.stamp() != stamp {
            continue; // the test has found out that its number was closed unseen
        }
        held.unlink_note(note);
        if ready {
            sink(filled, &event(held, note));
            filled += 1;
            delivered(held, note);
        } else if held.note(note).watch.get() != 0 {
            if enabled {
                descriptor::wait_for_it(held, note);
            }
            held.fit_less(held.note(note).watch.get()); // from now on the kernel must tell of it
        }
    }
    filled
}

/// What the program is told. Flags are those of the knote without the actions (K-071), fflags what happened (K-072).
pub fn event(held: &Held<'_>, note: u32) -> Kevent {
    let (slot, record) = (held.slot(note), held.note(note));
    let filter = record.filter.get() as i16;
    let silent = filter == filter::USER && record.flags.get() & u32::from(flag::ONESHOT) != 0;
    Kevent {
        ident: slot.ident.get(),
        filter,
        flags: record.flags.get() as u16,
        // Section 14.8: nothing of a one-shot user event is told (K-284).
        fflags: if filter == filter::TIMER || silent { 0 } else { record.bits.get() },
        data: if silent { 0 } else { record.data.get() as i64 },
        udata: slot.user.get() as u64,
        ext: record.extra.each_ref().map(|cell| cell.get()),
    }
}

/// A one-shot is not tested again at retrieval: data that the kernel told of may be gone (K-085).
fn is_stale_oneshot(held: &Held<'_>, note: u32) -> bool {
    let record = held.note(note);
    let once = record.flags.get() & u32::from(flag::ONESHOT) != 0;
    let was_active = match record.filter.get() as i16 {
        filter::USER => true,
        filter::READ => descriptor::was_readable(held, note),
        _ => false,
    };
    held.is(note, FORCED) || once && was_active
}

/// An event of the note was delivered: it ends, is disabled, forgets, or goes to the end of the queue.
pub fn delivered(held: &Held<'_>, note: u32) {
    let record = held.note(note);
    let flags = record.flags.get() as u16;
    if flags & flag::ONESHOT != 0 {
        let watch = record.watch.get();
        held.drop_note(note); // K-085
        held.fit_less(watch);
        return;
    }
    if flags & flag::CLEAR != 0 {
        if record.watch.get() != 0 && held.is(record.watch.get(), FILE) {
            record.period.set(record.data.get().wrapping_add(1)); // a file that stays as it is, is no news
        }
        record.data.set(0);
        record.bits.set(0);
        let empties = record.filter.get() as i16 == filter::EMPTY;
        held.put(note, TRIGGERED, empties);
        if empties {
            descriptor::waited(held, note);
            descriptor::wait_for_it(held, note);
        }
    }
    if flags & flag::DISPATCH != 0 {
        held.put(note, DISABLED, true);
        held.park_deadline(note);
    }
    if flags & (flag::CLEAR | flag::DISPATCH) == 0 {
        held.link_again(note); // at the end, for the next call
    }
    if record.watch.get() != 0 && (flags & flag::DISPATCH != 0 || filter::WRITE == record.filter.get() as i16)
    {
        held.fit_less(record.watch.get());
    }
}
