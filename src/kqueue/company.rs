//! A call among several threads that wait for the same queue: see [`crate::registry::aside`].
//!
//! It takes one event, or a few, of knotes that are delivered once, and arms one of them again, as a pool of workers does. Control
//! call, look and the question how much there is to read are made without the queue's lock as far as they can be.

use super::direct::{ALL, Rest, Short, deliver, hand_on, is_plain};
use super::scan::{CHUNK, event};
use super::{Kevent, descriptor, hold, register};
use crate::host::next::is_alone;
use crate::host::{Masked, RawFd, Wakes};
use crate::registry::aside::Arming;
use crate::registry::direct::Plain;
use crate::registry::note::DISABLED;
use crate::registry::record::KQUEUE;
use crate::registry::watch::HeldNumber;
use crate::registry::{self, Held};

/// Is a queue one that several threads wait for? A hint.
#[inline]
pub fn is_likely(kq: RawFd) -> bool {
    !is_alone() && is_noted(kq)
}

fn is_noted(kq: RawFd) -> bool {
    registry::current()
        .and_then(|registry| registry.object_of(kq))
        .is_some_and(|object| object.crowd.get() != 0 && object.kind.get() == KQUEUE)
}

/// The call, with one change at most, if it is of that kind; else everything is left to do. `room` 0: nothing is taken.
/// `now`: the call does not wait.
#[inline(never)]
pub fn among_threads(
    kq: RawFd,
    change: Option<&Kevent>,
    room: usize,
    now: bool,
    mut sink: impl FnMut(usize, &Kevent),
) -> Short {
    let mask = Masked::new();
    let number = match change.map(|change| number_of(change, &mask)) {
        Some(None) => return ALL,
        number => number.flatten(),
    };
    let Ok(held) = hold(kq, &mask) else { return ALL };
    let object = held.object;
    if !held.note_company()
        || object.nests.get() | object.nested.get() != 0
        || !held.only_levels()
        || !held.may_keep()
    {
        return ALL;
    }
    let plain = change.map(|change| is_plain(&held, change, true));
    let arming = match (change, plain) {
        (Some(_), Some(None)) => return ALL,
        (Some(change), Some(Some(plain))) => match make(&held, change, plain) {
            Some(arming) => Some(arming),
            None => return ALL,
        },
        _ => None,
    };
    let mut wakes = Wakes::new();
    let registry = held.registry;
    // Of the first one: mostly it is the only one.
    let peek =
        |wakes: &Wakes| wakes.get(0).and_then(|w| descriptor::peek(registry.arena.slot(w.cookie.slot)));
    let (aside, held) = held.aside(arming, (&mut wakes, room.min(CHUNK)), peek);
    drop(number);
    if !aside.armed || aside.looked.is_err() {
        return ALL; // the change is made once more, which tells what is wrong
    }
    let made = usize::from(change.is_some());
    let filled = take(&held, &wakes, (aside.fresh, aside.peeked), &mut sink);
    let _ = held.settle();
    match filled {
        Some(0) if !now => Short::Long(Rest { made, silent: object.linked.get() == 0, ..Rest::default() }),
        Some(filled) => Short::Done(filled),
        None => Short::Long(Rest { made, ..Rest::default() }),
    }
}

/// The number of a change, held so that it stays the file that it is. `None`: the change is of another kind.
fn number_of(change: &Kevent, mask: &Masked) -> Option<Option<HeldNumber>> {
    let registry = registry::current()?;
    let fd = RawFd::try_from(change.ident).ok()?;
    registry.table.get(fd).filter(|entry| entry.watches.get() != 0)?;
    registry.hold_number(fd, mask).ok().map(Some)
}

/// Makes a change but for the control call. `None`: no memory.
fn make(held: &Held<'_>, change: &Kevent, plain: Plain) -> Option<Arming> {
    if plain.note != 0 {
        held.put(plain.note, DISABLED, false);
        register::keep_user(held, plain.note, change);
        descriptor::touch(held, plain.note, change);
    } else {
        let note = register::new_note(held, change).ok()?;
        descriptor::make_standing(held, note, plain.watch, change);
    }
    Some(held.begin_arming(plain.watch, descriptor::WANT_READ))
}

/// Hands on what was named. `peeked`: how much there is to be read of the first one. `None`: that has to go through the queue,
/// where it is now.
fn take(
    held: &Held<'_>,
    wakes: &Wakes,
    (fresh, mut peeked): (bool, Option<i64>),
    sink: &mut impl FnMut(usize, &Kevent),
) -> Option<usize> {
    let mut notes = [0; CHUNK];
    for (place, wake) in notes.iter_mut().zip(wakes.iter()) {
        *place = held.direct(wake).unwrap_or_default();
    }
    if notes.iter().take(wakes.len()).any(|&note| note == 0) {
        let _ = held.absorb_notes(wakes, 0, fresh);
        return None;
    }
    let mut filled = 0;
    for (wake, &note) in wakes.iter().zip(&notes) {
        if hand_on(held, wake, note, (fresh, peeked.take())) {
            sink(filled, &event(held, note));
            filled += 1;
            deliver(held, note);
        }
    }
    Some(filled)
}
