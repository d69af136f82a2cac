//! port_alert: not an event in the queue but a mode (R2.1).

use super::hold_proved;
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd};
use crate::registry::Held;

const UPDATE: i32 = 2;
const SET_AND_UPDATE: i32 = 3;

/// The alert of a port, if it is in alert mode: events and user value.
pub fn pending(held: &Held<'_>) -> Option<(i32, usize)> {
    let guest = &held.object.guest;
    (guest.mode.get() != 0).then(|| (guest.mode_events.get(), guest.mode_user.get()))
}

/// port_alert. Zero events leave alert mode, whoever set it and whatever the flags (R8.1).
pub fn alert(port: RawFd, flags: i32, events: i32, user: usize) -> Result<()> {
    let mask = Masked::new();
    let held = hold_proved(port, &mask)?;
    let guest = &held.object.guest;
    if events == 0 {
        guest.mode.set(0);
        return Ok(());
    }
    // R8.2: only exactly UPDATE minds that the mode is on; foreign bits make it a SET.
    if flags & SET_AND_UPDATE == SET_AND_UPDATE {
        return Err(Errno::EINVAL);
    }
    if flags == UPDATE && pending(&held).is_some() {
        return Err(Errno::EBUSY);
    }
    guest.mode_events.set(events);
    guest.mode_user.set(user);
    guest.mode.set(1);
    // R8.3 and R8.4: everyone who is blocked now returns with this alert, even if it is cleared meanwhile.
    held.tell_all(events, user);
    if let Some(held) = held.send_home(true) {
        let _ = held.settle();
    }
    Ok(())
}
