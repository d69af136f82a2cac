//! The short way of a call without changes: see [`crate::registry::direct`].

use super::scan::{CHUNK, delivered, event, look, pass};
use super::{Kevent, descriptor, flag, hold};
use crate::host::{Masked, RawFd, Wake, Wakes};
use crate::registry::Held;

/// How the short way ended.
pub enum Short {
    /// With so many events.
    Done(usize),
    /// With [`CHUNK`] events, and there may be more: which look has named everything, and where the pass ended.
    More(Option<u32>, u64),
    /// The long way has to be gone. Was nothing there?
    Long(bool),
}

/// The short way, for calls without changes that need not sleep: one look, under one lock, and what the kernel names goes past
/// the queue if nothing else is in it. `now`: the call does not wait. `sink` gets up to [`CHUNK`] events with their places,
/// while the lock is held.
#[inline]
pub fn at_once(kq: RawFd, room: usize, now: bool, sink: impl FnMut(usize, &Kevent)) -> Short {
    let mask = Masked::new();
    let Ok(held) = hold(kq, &mask) else { return Short::Long(false) };
    let object = held.object;
    if object.nests.get() | object.nested.get() != 0 {
        return Short::Long(false);
    }
    let (mut wakes, mut notes) = (Wakes::new(), [0; CHUNK]);
    let most = room.min(CHUNK);
    let was_empty = object.linked.get() == 0;
    let gleaned = held.glean(&mut wakes, notes.get_mut(..most).unwrap_or_default(), room);
    let all = match gleaned {
        Ok(Some(_)) => Some(object.looks.get()),
        Ok(None) => match look(&held, !now) {
            Ok(all) => all,
            Err(_) => return Short::Long(false),
        },
        Err(_) => return Short::Long(false),
    };
    let (filled, end) = match gleaned {
        Ok(Some(true)) => (take_directly(&held, wakes.iter().zip(notes), sink), None),
        _ => {
            let (filled, end) = pass(&held, most, all, was_empty, sink);
            (filled, Some(end))
        }
    };
    let _ = held.settle();
    match end {
        Some(end) if filled == CHUNK && room > CHUNK => Short::More(all, end),
        _ if filled > 0 || now => Short::Done(filled),
        _ => Short::Long(object.linked.get() == 0),
    }
}

/// Hands on what the kernel has named, past the queue.
fn take_directly(
    held: &Held<'_>,
    wakes: impl Iterator<Item = (Wake, u32)>,
    mut sink: impl FnMut(usize, &Kevent),
) -> usize {
    let mut filled = 0;
    for (wake, note) in wakes {
        held.take_direct(wake, note);
        if !descriptor::judge(held, note, true, true, true) {
            continue;
        }
        sink(filled, &event(held, note));
        filled += 1;
        let flags = held.note(note).flags.get() as u16;
        if flags & (flag::ONESHOT | flag::DISPATCH) != 0 {
            delivered(held, note);
        }
    }
    filled
}
