//! The short way of a call without changes: see [`crate::registry::direct`].

use super::scan::{CHUNK, Glance, delivered, event, look, take};
use super::{Kevent, descriptor, flag, hold};
use crate::host::{Masked, RawFd, Wake, Wakes};
use crate::registry::Held;

/// How the short way ended.
pub enum Short {
    /// With so many events.
    Done(usize),
    /// With [`CHUNK`] events, and there may be more: what is known of the rest.
    More(Glance, u64),
    /// The long way has to be gone, with what is known by now.
    Long(Glance),
}

/// The short way, for calls without changes that need not sleep: one look, under one lock, and what the kernel names goes past
/// the queue if nothing else is in it. `now`: the call does not wait. `sink` gets up to [`CHUNK`] events with their places,
/// while the lock is held.
#[inline]
pub fn at_once(kq: RawFd, room: usize, now: bool, sink: impl FnMut(usize, &Kevent)) -> Short {
    let unknown = Short::Long(Glance::default());
    let mask = Masked::new();
    let Ok(held) = hold(kq, &mask) else { return unknown };
    let object = held.object;
    if object.nests.get() | object.nested.get() != 0 {
        return unknown;
    }
    let (mut wakes, mut notes) = (Wakes::new(), [0; CHUNK]);
    let most = room.min(CHUNK);
    let was_empty = object.linked.get() == 0;
    let filled = match held.glean(&mut wakes, notes.get_mut(..most).unwrap_or_default(), room) {
        Ok(Some(true)) => take_directly(&held, wakes.iter().zip(notes), sink),
        Ok(gleaned) => {
            let all = match gleaned {
                Some(_) => Some(object.looks.get()),
                None => match look(&held, !now) {
                    Ok(all) => all,
                    Err(_) => return unknown,
                },
            };
            let end = object.links.get();
            let filled = take(&held, most, end, all, sink);
            if filled == CHUNK && room > CHUNK {
                let _ = held.settle();
                return Short::More(Glance { made: true, look: all, proved: held.proved.get() }, end);
            }
            if filled > 0 && (was_empty || object.linked.get() == 1) {
                held.unlink_levels(end);
            }
            filled
        }
        Err(_) => return unknown,
    };
    let _ = held.settle();
    if filled > 0 || now {
        return Short::Done(filled);
    }
    Short::Long(Glance { made: object.linked.get() == 0, look: None, proved: held.proved.get() })
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
