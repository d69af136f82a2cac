//! Readiness of descriptors.
//!
//! The poll bits are sampled when a watch is set (R4.4), and if one that counts is up the event is queued at once.
//! Otherwise the watch is armed in the kernel, one-shot; the kernel looks again when it is armed, so nothing falls
//! between the sample and the arming.

use crate::errno::{Errno, Result};
use crate::host::{Class, RawFd, below};
use crate::registry::Held;
use crate::registry::record::State;
use crate::registry::watch::{HeldNumber, reportable};

/// What a file without poll routine is always ready for (R4.8).
const FILE_READY: u32 = (libc::POLLIN
    | libc::POLLRDNORM
    | libc::POLLRDBAND
    | libc::POLLOUT
    | libc::POLLWRNORM
    | libc::POLLWRBAND) as u32;
const BANDS: u32 = (libc::POLLRDBAND | libc::POLLWRBAND) as u32;

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

/// The bits that are up and count. EBADF: not an open descriptor.
pub fn sample(fd: RawFd, want: u32) -> Result<u32> {
    let up = below::sample(fd, want)? & reportable(want);
    // poll(2) tells IN and OUT of a regular file but not the bands, which the guest system includes.
    if want & BANDS != 0 && below::is_plain_file(fd) { Ok(up | want & FILE_READY) } else { Ok(up) }
}

/// Sets or replaces (R4.3) the watch of a number. Errors leave no watch behind: EBADF if the number is not open,
/// EAGAIN for want of a slot, or what the host says of the descriptor.
pub fn watch(held: &Held<'_>, number: &HeldNumber, fd: RawFd, interest: Interest) -> Result<()> {
    held.harvest()?; // what is ready already goes first (R2.1)
    let (index, enabled) = match held.find(number) {
        Some(index) => (index, held.quiet(index)),
        None => (held.watch(number)?, false),
    };
    let slot = held.slot(index);
    slot.want.set(interest.want as i32);
    slot.tag.set(interest.tag);
    slot.ident.set(fd as usize);
    slot.user.set(interest.user);
    // Sampled when the number is marked as watched: a close by another thread either sees the mark, or was first
    // and shows here.
    let up = sample(fd, interest.want).inspect_err(|_| held.remove(number, index))?;
    // Without a descriptor to spare for the bell an event cannot be shown to pollers from the queue: armed in the
    // kernel, it shows there.
    if up != 0 && held.hang_bell().is_ok() {
        if enabled {
            held.unregister(index); // it would make the set readable for bits that nobody asks for now
        }
        held.report(index, up);
        return held.settle();
    }
    match held.arm(index) {
        Ok(Class::Pollable) => held.settle(),
        Ok(Class::AlwaysReady) => {
            match interest.want & FILE_READY {
                0 => held.arm_for_nothing(index),
                bits => held.report(index, bits),
            }
            held.settle()
        }
        Err(error) => {
            held.remove(number, index);
            let _ = held.settle();
            Err(error)
        }
    }
}

/// Ends a watch. `Ok(true)`: it was armed or its event was still queued; `Ok(false)`: its event was retrieved
/// already. ENOENT: there is none.
pub fn unwatch(held: &Held<'_>, number: &HeldNumber) -> Result<bool> {
    let index = held.find(number).ok_or(Errno::ENOENT)?;
    let pending = held.slot(index).word.state() != State::Spent;
    held.remove(number, index);
    held.settle()?;
    Ok(pending)
}
