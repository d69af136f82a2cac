//! Event ports: the guest's rules, each in one function with its number in the specification.
//!
//! A port is a registry object whose number the program holds. Queue, watches and waiters are the registry's; this
//! room knows sources and their numbers, the order of checks, the alert, and what each call answers. Every function
//! takes the caller's values, with pointers already checked by the wall, and returns a value or an [`Errno`].

pub mod alert;
pub mod associate;
pub mod retrieve;
pub mod send;
pub mod status;

use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, below};
use crate::registry::lifetime::Kind;
use crate::registry::record::PORT;
use crate::registry::{self, Held, Registry};

/// `portev_source` of user events.
pub const SOURCE_USER: u32 = 3;
/// `portev_source` of descriptors.
pub const SOURCE_FD: u32 = 4;
/// `portev_source` of the alert.
pub const SOURCE_ALERT: u32 = 5;
/// `portev_source` of files, for which there is no source yet.
pub const SOURCE_FILE: u32 = 7;

/// Bit of `Guest::flags`: a descriptor was associated with the port once (4.4, check 5).
const FLAG_HAD_FD: u32 = 1;

/// Most entries that one pass of `port_sendn` takes (R6.7).
pub const MAX_LIST: usize = 8_192;

/// port_create: the lowest free descriptor, without close-on-exec (R3.1). EAGAIN, EMFILE, ENFILE, ENOMEM.
pub fn create() -> Result<RawFd> {
    let registry = registry::current_or_new()?;
    let mask = Masked::new();
    let (most, slots) = (registry.settings.most_objects, registry.settings.most_slots);
    let kind = Kind { kind: PORT, most, slots, closed_on_exec: false };
    let (fd, held) = registry.new_object(kind, &mask)?;
    status::record_creation(&held);
    Ok(fd)
}

/// Checks 1 and 2 of every call: EBADF if the number is not open, EBADFD if it is not a port. A port whose number was
/// closed by a raw system call is found out when its set is used next.
fn hold<'m>(port: RawFd, mask: &'m Masked) -> Result<Held<'m>> {
    let held = registry_of(port)?.hold(port, mask);
    held.filter(|held| held.object.kind.get() == PORT).ok_or_else(|| not_a_port(port))
}

/// The same for rare calls: a number closed by a raw system call is found out here.
fn hold_proved<'m>(port: RawFd, mask: &'m Masked) -> Result<Held<'m>> {
    let held = hold(port, mask)?;
    held.prove().map_err(|_| not_a_port(port))?;
    Ok(held)
}

/// A call found that the port's number is closed, or names something else: its close was unseen. From now on the number
/// is no port, so that nothing is posted to it any more.
pub fn seen_off<T>(port: RawFd, result: Result<T>) -> Result<T> {
    if let Err(Errno::EBADF | Errno::EBADFD) = result {
        let _ = registry_of(port).map(|registry| registry.retire_unproved(port, &Masked::new()));
    }
    result
}

/// The same without taking the lock, for calls that need another lock first.
fn registry_of(port: RawFd) -> Result<&'static Registry> {
    let known = registry::current().filter(|r| r.object_kind(port) == Some(PORT));
    known.ok_or_else(|| not_a_port(port))
}

fn not_a_port(port: RawFd) -> Errno {
    if below::is_open(port) { Errno::EBADFD } else { Errno::EBADF }
}

/// The host refused to work on the port's set: its number was closed by a raw system call (EBADF), or names
/// something else by now (EBADFD).
fn set_error(error: Errno) -> Errno {
    match error {
        Errno::EINVAL | Errno::EPERM | Errno::ENOENT => Errno::EBADFD,
        other => other,
    }
}
