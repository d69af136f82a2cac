//! Readiness of descriptors.
//!
//! A watch is armed in the kernel, which looks at the descriptor then; a look at the ready set brings the sample home.
//! How armings are spared is told in [`crate::registry::look`].

use crate::errno::{Errno, Result};
use crate::host::{Class, RawFd, below};
use crate::registry::Held;
use crate::registry::record::{Slot, State};
use crate::registry::watch::{FILE_READY, HeldNumber, ONCE};

/// What to report, and how.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// Poll bits asked for.
    pub want: u32,
    /// The guest's word for this source.
    pub tag: u32,
    /// The user's value.
    pub user: usize,
}

/// Sets or replaces (R4.3) the watch of a number. Errors leave no watch behind: EBADF if the number is not open,
/// EAGAIN for want of a slot, or what the host says of the descriptor. The caller settles after them.
pub fn watch(held: &Held<'_>, number: &HeldNumber, fd: RawFd, interest: Interest) -> Result<()> {
    let found = held.find(number);
    let unless_closed = |error| if below::is_open(fd) { error } else { Errno::EBADF };
    match found.map(|index| (index, held.slot(index).word.state())) {
        Some((index, State::Spent)) => again(held, number, index, interest),
        Some((index, State::Idle)) => {
            held.harvest(0)?; // as below; and what was kept may have fired
            held.revive(index).map_err(unless_closed)?;
            let kept = held.rearm(index, interest.want, interest.user);
            describe(held.slot(index), interest);
            if !kept {
                return anew(held, number, index, interest);
            }
            held.confirm(); // a new association is sampled at once: its number must be that of old
            look_at(held)
        }
        Some((index, _)) => {
            held.harvest(0)?; // the kernel would keep the place of what is ready already
            held.quiet(index);
            anew(held, number, index, interest)
        }
        None => {
            let index = held.watch(number).map_err(unless_closed)?;
            anew(held, number, index, interest)
        }
    }
}

/// What [`watch`] does of its work without the object's lock: arms again what was retrieved, among several threads.
/// `Err`: it did not, here is the lock.
pub fn watch_aside<'m>(
    held: Held<'m>,
    number: &HeldNumber,
    interest: Interest,
) -> core::result::Result<(), Held<'m>> {
    let Some(index) = held.find(number).filter(|_| held.in_company()) else { return Err(held) };
    let slot = held.slot(index);
    if slot.word.state() != State::Spent || slot.mark.get() != ONCE || held.object.unordered.get() != 0 {
        return Err(held);
    }
    describe(slot, interest);
    held.arm_aside(index)
}

fn describe(slot: &Slot, interest: Interest) {
    slot.want.set(interest.want as i32);
    slot.tag.set(interest.tag);
    slot.ident.set(slot.fd.get() as usize);
    slot.user.set(interest.user);
}

/// The event was retrieved: this re-arms (R4.5). The sample of R4.4 may wait for the next look at the queue, where the
/// kernel takes it.
fn again(held: &Held<'_>, number: &HeldNumber, index: u32, interest: Interest) -> Result<()> {
    let ordered = held.object.unordered.get() == 0;
    if !ordered {
        held.scan(0)?; // else the bell's place would put it before what was posted earlier
    }
    let lazy = held.rearm(index, interest.want, interest.user);
    describe(held.slot(index), interest);
    if !lazy {
        arm(held, number, index, true)?;
    }
    if lazy && ordered { Ok(()) } else { held.settle() }
}

/// A new association, or one in the place of another: sampled at once (R4.4). Armed first, then looked at, so what was
/// ready before comes before it.
fn anew(held: &Held<'_>, number: &HeldNumber, index: u32, interest: Interest) -> Result<()> {
    describe(held.slot(index), interest);
    match arm(held, number, index, false)? {
        Class::Pollable => look_at(held),
        Class::AlwaysReady => held.settle(),
    }
}

/// Samples what was just armed. Without a descriptor to spare for the bell an event cannot be shown to pollers from the
/// queue: armed in the kernel, it shows there.
fn look_at(held: &Held<'_>) -> Result<()> {
    if held.hang_bell().is_ok() {
        held.harvest(0)?;
    }
    held.settle()
}

/// The caller settles, also after an error.
fn arm(held: &Held<'_>, number: &HeldNumber, index: u32, again: bool) -> Result<Class> {
    let class = held.arm(index, again).inspect_err(|_| held.remove(number, index))?;
    if class == Class::AlwaysReady {
        held.harvest(0)?; // what is ready already goes first (R2.1)
        match held.slot(index).want.get() as u32 & FILE_READY {
            0 => held.arm_for_nothing(index),
            bits => held.report(index, bits),
        }
    }
    Ok(class)
}

/// Ends a watch. `Ok(true)`: it was armed or its event was still queued; `Ok(false)`: its event was retrieved
/// already. ENOENT: there is none.
pub fn unwatch(held: &Held<'_>, number: &HeldNumber) -> Result<bool> {
    let index = held.find(number).ok_or(Errno::ENOENT)?;
    let pending = match held.slot(index).word.state() {
        State::Idle => return Err(Errno::ENOENT),
        state => state != State::Spent,
    };
    if held.may_keep() {
        held.shelve(index);
    } else {
        held.remove(number, index);
    }
    held.settle()?;
    Ok(pending)
}
