//! What fstat tells of a port (R13.3).

use crate::host::{Masked, RawFd, below};
use crate::registry::record::PORT;
use crate::registry::{self, Held};

/// The facts behind `struct stat`.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Events in the queue: st_size.
    pub queued: u32,
    /// Creator.
    pub user: u32,
    /// Creator's group.
    pub group: u32,
    /// Creation time, for all three stamps: seconds, ...
    pub seconds: i64,
    /// ... nanoseconds.
    pub nanoseconds: u32,
}

/// R3.4: who made the port, and when.
pub fn record_creation(held: &Held<'_>) {
    let (user, group) = below::credentials();
    let (seconds, nanoseconds) = below::wall_clock();
    let guest = &held.object.guest;
    guest.owner.set(u64::from(user) << 32 | u64::from(group));
    guest.seconds.set(seconds as u64);
    guest.nanoseconds.set(nanoseconds as u32);
}

/// The status of a port; `None` if the number names none.
pub fn of(port: RawFd) -> Option<Status> {
    let registry = registry::current()?;
    registry.object_kind(port).filter(|&kind| kind == PORT)?;
    let mask = Masked::new();
    let held = registry.hold(port, &mask)?;
    let _ = held.harvest(0).and_then(|()| held.settle());
    let guest = &held.object.guest;
    Some(Status {
        queued: held.queued(),
        user: (guest.owner.get() >> 32) as u32,
        group: guest.owner.get() as u32,
        seconds: guest.seconds.get() as i64,
        nanoseconds: guest.nanoseconds.get(),
    })
}
