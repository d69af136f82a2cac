//! The short way of a call that may wait: see [`crate::registry::direct`].

use super::scan::{CHUNK, Glance, delivered, event, look, pass};
use super::{Kevent, descriptor, filter, flag, hold, register};
use crate::host::next::is_alone;
use crate::host::{Masked, RawFd, Wake, Wakes};
use crate::registry::Held;
use crate::registry::direct::{Gleaned, Plain};
use crate::registry::note::{CHANGED, DISABLED, FRESH};
use crate::registry::watch::ONCE;

/// How the short way ended.
pub enum Short {
    /// With so many events.
    Done(usize),
    /// With [`CHUNK`] events, and there may be more: which look has named everything, and where the pass ended.
    More(Option<u32>, u64),
    /// The long way has to be gone.
    Long(Rest),
}

/// What is left for the long way.
#[derive(Clone, Copy, Default)]
pub struct Rest {
    /// So many changes were made.
    pub made: usize,
    /// A look was made after them, and nothing was there.
    pub silent: bool,
    /// A look was made before the others.
    pub glance: Glance,
}

/// What is left if nothing was done.
pub const ALL: Short = Short::Long(Rest { made: 0, silent: false, glance: Glance::NONE });

/// The short way, for calls that need not sleep: `changes` ([`CHUNK`] at most) and one look, under one lock, and what the
/// kernel names goes past the queue if nothing else is in it. `now`: the call does not wait. `sink` gets up to [`CHUNK`]
/// events with their places, while the lock is held.
#[inline]
pub fn at_once(
    kq: RawFd,
    changes: &[Kevent],
    room: usize,
    now: bool,
    sink: impl FnMut(usize, &Kevent),
) -> Short {
    let mask = Masked::new();
    let Ok(held) = hold(kq, &mask) else { return ALL };
    let object = held.object;
    if object.nests.get() | object.nested.get() != 0 {
        return ALL;
    }
    if !is_alone() {
        held.note_company();
    }
    let was_empty = object.linked.get() == 0;
    let only_levels = held.only_levels();
    let ended = if !changes.is_empty() {
        if only_levels { with_changes(&held, changes, room, sink) } else { ALL }
    } else if only_levels {
        let (mut wakes, mut notes) = (Wakes::new(), [0; CHUNK]);
        match held.glean(&mut wakes, notes.get_mut(..room.min(CHUNK)).unwrap_or_default(), room, &mut []) {
            Ok(Gleaned::All) => Short::Done(take_directly(&held, &wakes, &notes, &[], sink)),
            Ok(Gleaned::Queued) => walk(&held, room, Some(object.looks.get()), was_empty, sink),
            Ok(Gleaned::Nothing) => look_and_walk(&held, room, now, was_empty, sink),
            Err(_) => return ALL,
        }
    } else {
        look_and_walk(&held, room, now, was_empty, sink)
    };
    let _ = held.settle();
    match ended {
        Short::Done(0) if !now => {
            let silent = object.linked.get() == 0;
            Short::Long(Rest { made: changes.len(), silent, glance: Glance::NONE })
        }
        ended => ended,
    }
}

#[inline(never)]
fn look_and_walk(
    held: &Held<'_>,
    room: usize,
    now: bool,
    was_empty: bool,
    sink: impl FnMut(usize, &Kevent),
) -> Short {
    look(held, !now).map_or(ALL, |all| walk(held, room, all, was_empty, sink))
}

/// Through the queue. `all`: which look has named everything that is ready, if one has.
fn walk(
    held: &Held<'_>,
    room: usize,
    all: Option<u32>,
    was_empty: bool,
    sink: impl FnMut(usize, &Kevent),
) -> Short {
    let (filled, end) = pass(held, room.min(CHUNK), all, was_empty, sink);
    if filled == CHUNK && room > CHUNK { Short::More(all, end) } else { Short::Done(filled) }
}

#[inline]
fn with_changes(held: &Held<'_>, changes: &[Kevent], room: usize, sink: impl FnMut(usize, &Kevent)) -> Short {
    let mut plain = [Plain::default(); CHUNK];
    let plain = plain.get_mut(..changes.len()).unwrap_or_default();
    if !are_plain(held, changes, plain, false) {
        return ALL;
    }
    let (mut wakes, mut notes) = (Wakes::new(), [0; CHUNK]);
    match held.glean(&mut wakes, notes.get_mut(..room.min(CHUNK)).unwrap_or_default(), room, plain) {
        Ok(Gleaned::All) => {}
        Ok(Gleaned::Queued) => {
            let (look, proved) = (Some(held.object.looks.get()), held.proved.get());
            let glance = Glance { made: true, look, proved };
            return Short::Long(Rest { glance, ..Rest::default() });
        }
        Ok(Gleaned::Nothing) | Err(_) => return ALL,
    }
    let made = make(held, changes, plain);
    if made < changes.len() {
        let _ = held.absorb_notes(&wakes, 0, true);
        return Short::Long(Rest { made, ..Rest::default() });
    }
    Short::Done(take_directly(held, &wakes, &notes, plain, sink))
}

/// Can all changes go along? Each lets a knote of EVFILT_READ report again that is delivered once, or makes such a one, and no
/// two concern the same number. What they concern is marked then. `again`: the registrations will be armed again.
#[inline]
fn are_plain(held: &Held<'_>, changes: &[Kevent], plain: &mut [Plain], again: bool) -> bool {
    let mut all = true;
    for (change, plain) in changes.iter().zip(plain.iter_mut()) {
        match is_plain(held, change, again) {
            Some(found) if all => {
                held.put(found.watch, CHANGED, true);
                *plain = found;
            }
            _ => all = false,
        }
    }
    if !all {
        plain.iter().filter(|plain| plain.watch != 0).for_each(|plain| held.put(plain.watch, CHANGED, false));
    }
    all
}

/// A single one.
#[inline]
pub fn is_plain(held: &Held<'_>, change: &Kevent, again: bool) -> Option<Plain> {
    const ONCE: u16 = flag::ONESHOT | flag::DISPATCH;
    if change.filter != filter::READ || change.fflags != 0 {
        return None;
    }
    let watch = held.standing_watch(RawFd::try_from(change.ident).ok()?, descriptor::WANT_READ, again)?;
    let note = held.note(watch).beside.get();
    let record = held.note(note);
    let flags = change.flags & !flag::SYSTEM;
    let fits = if note == 0 {
        flags & flag::ADD != 0 && flags & ONCE != 0 && flags & !(flag::ADD | flag::ENABLE | ONCE) == 0
    } else {
        flags == flag::ENABLE
            && record.beside.get() == 0
            && record.filter.get() as i16 == filter::READ
            && record.status.get() & !FRESH == DISABLED
            && record.flags.get() & u32::from(ONCE) != 0
            && record.flags.get() & u32::from(flag::CLEAR) == 0
    };
    fits.then_some(Plain { watch, note, named: 0 })
}

/// Makes the changes; how many could be made.
#[inline]
fn make(held: &Held<'_>, changes: &[Kevent], plain: &mut [Plain]) -> usize {
    for (at, (change, plain)) in changes.iter().zip(plain).enumerate() {
        held.doubt(plain.watch);
        if plain.note != 0 {
            held.put(plain.note, DISABLED, false);
            register::keep_user(held, plain.note, change);
            descriptor::touch(held, plain.note, change);
            continue;
        }
        match register::new_note(held, change) {
            Ok(note) => plain.note = note,
            Err(_) => return at,
        }
        held.put(plain.note, FRESH, true);
        descriptor::make_standing(held, plain.note, plain.watch, change);
    }
    changes.len()
}

/// Hands on what the kernel has named, past the queue: first what no change concerns.
#[inline(always)]
fn take_directly(
    held: &Held<'_>,
    wakes: &Wakes,
    notes: &[u32; CHUNK],
    changes: &[Plain],
    mut sink: impl FnMut(usize, &Kevent),
) -> usize {
    let mut filled = 0;
    let mut take = |wake: Wake, note: u32| {
        if hand_on(held, wake, note, (true, None)) {
            sink(filled, &event(held, note));
            filled += 1;
            deliver(held, note);
        }
    };
    for (wake, &note) in wakes.iter().zip(notes) {
        if note != 0 {
            take(wake, note);
        }
    }
    for change in changes {
        if let Some(wake) = change.named.checked_sub(1).and_then(|at| wakes.get(at as usize)) {
            take(wake, change.note);
        }
    }
    filled
}

/// Takes in what the kernel has named: is it ready? `fresh`: it was named just now, and nobody has looked since. A registration
/// that is one-shot has told this thread alone, and tells nobody else until it is enabled again. `amount`: so much can be read,
/// if that was asked already.
#[inline(always)]
pub fn hand_on(held: &Held<'_>, wake: Wake, note: u32, (fresh, amount): (bool, Option<i64>)) -> bool {
    let watch = wake.cookie.slot;
    let once = held.slot(watch).mark.get() == ONCE;
    held.take_direct(wake, note);
    if once && amount.is_some() && descriptor::is_plainly_ready(held, note, || amount) {
        return true;
    }
    let ready = descriptor::judge(held, note, fresh || once, !once, fresh || once);
    if !ready && once {
        let _ = held.fit(watch);
    }
    ready
}

/// What the delivery of such an event does to its knote.
#[inline(always)]
pub fn deliver(held: &Held<'_>, note: u32) {
    let flags = held.note(note).flags.get() as u16;
    if flags & (flag::ONESHOT | flag::DISPATCH) != 0 {
        delivered(held, note);
    }
}
