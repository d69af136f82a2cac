//! EVFILT_USER (section 8.5): triggered by a change and nothing else.

use super::{Kevent, flag};
use crate::errno::Result;
use crate::registry::Held;
use crate::registry::note::TRIGGERED;

const TRIGGER: u32 = 0x0100_0000;
const CONTROL: u32 = 0xC000_0000;
const FLAGS: u32 = 0x00FF_FFFF;

/// A new one. With NOTE_TRIGGER it is active at once (K-285), and control bits are not kept.
pub fn make(held: &Held<'_>, note: u32, change: &Kevent) -> Result<()> {
    held.note(note).wish.set(change.fflags & FLAGS);
    held.note(note).amount.set(change.data as u64);
    held.put(note, TRIGGERED, change.fflags & TRIGGER != 0);
    Ok(())
}

/// A change to one.
pub fn touch(held: &Held<'_>, note: u32, change: &Kevent) {
    if change.fflags & TRIGGER != 0 {
        held.put(note, TRIGGERED, true);
    }
    let wish = &held.note(note).wish;
    let bits = change.fflags & FLAGS; // K-281
    wish.set(match change.fflags & CONTROL {
        0x4000_0000 => wish.get() & bits,
        0x8000_0000 => wish.get() | bits,
        CONTROL => bits,
        _ => wish.get(),
    });
    held.note(note).amount.set(change.data as u64);
    if change.flags & flag::CLEAR != 0 {
        held.put(note, TRIGGERED, false); // K-286
    }
}

/// Is it triggered?
pub fn test(held: &Held<'_>, note: u32) -> bool {
    held.note(note).data.set(held.note(note).amount.get());
    held.note(note).bits.set(held.note(note).wish.get());
    held.is(note, TRIGGERED)
}
