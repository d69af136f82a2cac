//! port_associate and port_dissociate.

use super::{FLAG_HAD_FD, SOURCE_FD, SOURCE_FILE, hold, registry_of};
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
    let mask = Masked::new();
    let helper = registry.table.get(fd).is_some_and(|entry| entry.helper());
    if helper || !below::is_open(fd) {
        return Err(Errno::EBADFD); // check 5, before a slot is looked for
    }
    let number = registry.hold_number(fd, &mask)?;
    let held = hold(port, &mask)?;
    let interest = Interest { want, tag: SOURCE_FD, user };
    descriptor::watch(&held, &number, fd, interest).map_err(|error| match error {
        Errno::EBADF => Errno::EBADFD, // the descriptor's: the port was verified
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
    if hold(port, &mask)?.object.guest.flags.get() & FLAG_HAD_FD == 0 {
        return Err(Errno::ENOENT); // before the descriptor is looked at: 4.4, check 5
    }
    if !below::is_open(fd) {
        return Err(Errno::EBADFD);
    }
    let number = registry.hold_number(fd, &mask)?;
    let held = hold(port, &mask)?;
    if descriptor::unwatch(&held, &number)? { Ok(()) } else { Err(Errno::ENOENT) }
}
