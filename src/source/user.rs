//! Events that the program posts itself.

use crate::errno::Result;
use crate::registry::Held;
use crate::registry::record::State;

/// Posts an event at the end of the queue. Async-signal-safe (R6.3): no allocation but of a slot, no lock that the
/// interrupted code could hold. EAGAIN: no slot is free. Nothing is posted if it fails.
pub fn post(held: &Held<'_>, tag: u32, events: i32, user: usize) -> Result<()> {
    held.hang_bell()?;
    let index = held.reserve(State::Event)?;
    let posted = held.order().and_then(|()| held.prove_if_odd()).and_then(|()| {
        let slot = held.slot(index);
        slot.events.set(events);
        slot.tag.set(tag);
        slot.ident.set(0);
        slot.user.set(user);
        held.append(index);
        held.settle().inspect_err(|_| held.unlink(index))
    });
    posted.inspect_err(|_| held.release(index))
}
