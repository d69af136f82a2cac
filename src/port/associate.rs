//! port_associate and port_dissociate.

use super::{FLAG_HAD_FD, SOURCE_FD, SOURCE_FILE, hold, hold_proved, not_a_port, registry_of};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, below};
use crate::source::descriptor::{self, Interest};

/// Check 3 of 4.1: only descriptors and files can be associated. Files have no source yet: ENOTSUP.
fn check_source(source: i32) -> Result<()> {
    match u32::try_from(source) {
        Ok(SOURCE_FD) => Ok(()),
        Ok(SOURCE_FILE) => Err(Errno::ENOTSUP),
        _ => Err(Errno::EINVAL),
    }
}

/// Check 4: an object beyond INT_MAX is no descriptor. EBADFD.
fn descriptor_of(object: usize) -> Result<RawFd> {
    RawFd::try_from(object).map_err(|_| Errno::EBADFD)
}

/// port_associate. `events` is not validated (R4.1).
pub fn associate(port: RawFd, source: i32, object: usize, events: i32, user: usize) -> Result<()> {
    let registry = registry_of(port)?;
    check_source(source)?;
    let fd = descriptor_of(object)?;
    let want = events as u32;
    registry.polled_from_outside(fd); // by this port, if it is one itself
    let mask = Masked::new();
    if registry.table.get(fd).is_some_and(|entry| entry.helper()) {
        return Err(Errno::EBADFD); // check 5
    }
    let number = registry
        .hold_number(fd, &mask)
        .map_err(|error| if below::is_open(fd) { error } else { Errno::EBADFD })?;
    let held = hold(port, &mask)?;
    let interest = Interest { want, tag: SOURCE_FD, user };
    let Err(held) = descriptor::watch_aside(held, &number, interest) else { return Ok(()) };
    let watched = descriptor::watch(&held, &number, fd, interest);
    watched.inspect_err(|_| held.settle().unwrap_or_default()).map_err(|error| match error {
        _ if !held.set_is_ours() => not_a_port(port),
        Errno::EBADF => Errno::EBADFD, // the descriptor's
        other => other,
    })?;
    let flags = &held.object.guest.flags;
    flags.set(flags.get() | FLAG_HAD_FD);
    Ok(())
}

/// port_dissociate: ENOENT also when the event was retrieved already (4.4, step 9).
pub fn dissociate(port: RawFd, source: i32, object: usize) -> Result<()> {
    let registry = registry_of(port)?;
    check_source(source)?;
    let fd = descriptor_of(object)?;
    let mask = Masked::new();
    if registry.table.get(fd).is_none_or(|entry| entry.watches.get() == 0) {
        return Err(not_associated(port, fd, &mask));
    }
    let number = registry.hold_number(fd, &mask)?;
    let held = hold(port, &mask)?;
    match descriptor::unwatch(&held, &number) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Errno::ENOENT),
        Err(Errno::ENOENT) => {
            drop(held);
            Err(not_associated(port, fd, &mask))
        }
        Err(other) => Err(other),
    }
}

/// Why a number that is not associated with the port cannot be dissociated.
#[cold]
fn not_associated(port: RawFd, fd: RawFd, mask: &Masked) -> Errno {
    match hold_proved(port, mask) {
        Err(error) => error,
        // Before the descriptor is looked at: 4.4, check 5.
        Ok(held) if held.object.guest.flags.get() & FLAG_HAD_FD == 0 => Errno::ENOENT,
        Ok(_) if !below::is_open(fd) => Errno::EBADFD,
        Ok(_) => Errno::ENOENT,
    }
}
