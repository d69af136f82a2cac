//! kqueue: the guest's rules, each in one function with its number in the specification.
//!
//! A kqueue is a registry object whose number the program holds; a knote is a note of the registry's. This room knows
//! filters and flags, the order of checks, and what an event tells. The control flow is FreeBSD's, the values of the
//! constants are libkqueue's (section 12).
//!
//! * [`register`]: one change of a changelist;
//! * [`scan`]: the queue is walked once, each knote is tested again and delivered; [`direct`]: the short way, [`company`]: that among several threads;
//! * [`descriptor`], [`timer`], [`user`]: what each filter means.

pub mod company;
pub mod descriptor;
pub mod direct;
pub mod register;
pub mod scan;
pub mod timer;
pub mod user;

use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, below};
use crate::registry::lifetime::Kind;
use crate::registry::memory::MOST_OBJECTS;
use crate::registry::record::KQUEUE;
use crate::registry::{self, Held, Registry};

/// `struct kevent` in the form of the widest interface.
#[derive(Clone, Copy, Default, Debug)]
pub struct Kevent {
    /// What is watched.
    pub ident: usize,
    /// By which filter.
    pub filter: i16,
    /// EV_...
    pub flags: u16,
    /// NOTE_...
    pub fflags: u32,
    /// A number that goes with the filter.
    pub data: i64,
    /// The user's value (K-073).
    pub udata: u64,
    /// More values of the user's, in the wider structures.
    pub ext: [u64; 2],
}

/// FreeBSD's unit of milliseconds, and its absolute time, with values that libkqueue's do not have.
pub const NOTE_MSECONDS: u32 = 0x1000;
/// As above.
pub const NOTE_ABSTIME: u32 = 0x2000;
/// A regular file is ready at its end, too.
pub const NOTE_FILE_POLL: u32 = 2;

/// The filters that exist here.
pub mod filter {
    /// Descriptors that can be read.
    pub const READ: i16 = -1;
    /// Descriptors that can be written.
    pub const WRITE: i16 = -2;
    /// Timers.
    pub const TIMER: i16 = -7;
    /// The program itself.
    pub const USER: i16 = -11;
    /// Sockets that have sent everything.
    pub const EMPTY: i16 = -13;
}

/// `Kevent::flags`.
pub mod flag {
    /// Make a knote, or change it.
    pub const ADD: u16 = 0x1;
    /// End it.
    pub const DELETE: u16 = 0x2;
    /// It delivers from now on.
    pub const ENABLE: u16 = 0x4;
    /// It does not.
    pub const DISABLE: u16 = 0x8;
    /// It ends when it was delivered.
    pub const ONESHOT: u16 = 0x10;
    /// Delivery takes its state back.
    pub const CLEAR: u16 = 0x20;
    /// Tell how the change went.
    pub const RECEIPT: u16 = 0x40;
    /// It is disabled when it was delivered.
    pub const DISPATCH: u16 = 0x80;
    /// FreeBSD: deliver it once now, whatever its state.
    pub const FORCEONESHOT: u16 = 0x100;
    /// FreeBSD: leave the user's value.
    pub const KEEPUDATA: u16 = 0x200;
    /// Reserved: dropped from changes (3.1, step 4).
    pub const SYSTEM: u16 = 0xF000;
    /// An entry that tells of an error or a receipt.
    pub const ERROR: u16 = 0x4000;
    /// No more will come.
    pub const EOF: u16 = 0x8000;
    /// What a knote remembers of the change that made it.
    pub const KEPT: u16 = ONESHOT | CLEAR | RECEIPT | DISPATCH;
}

/// kqueue and its relatives: the lowest free descriptor (K-010). EMFILE, ENFILE, ENOMEM.
pub fn create(closed_on_exec: bool) -> Result<RawFd> {
    let registry = registry::current_or_new()?;
    let mask = Masked::new();
    let kind = Kind { kind: KQUEUE, most: MOST_OBJECTS, slots: u32::MAX, closed_on_exec };
    let made = registry.new_object(kind, &mask);
    made.map(|(fd, _)| fd).map_err(no_room)
}

/// EAGAIN is the ports' word for it.
fn no_room(error: Errno) -> Errno {
    if error == Errno::EAGAIN { Errno::ENOMEM } else { error }
}

/// EBADF unless the number is a kqueue of this process (K-015, K-030).
fn registry_of(kq: RawFd) -> Result<&'static Registry> {
    registry::current().filter(|registry| registry.object_kind(kq) == Some(KQUEUE)).ok_or(Errno::EBADF)
}

#[inline(always)]
fn hold<'m>(kq: RawFd, mask: &'m Masked) -> Result<Held<'m>> {
    let held = registry::current().and_then(|registry| registry.hold(kq, mask));
    held.filter(|held| held.object.kind.get() == KQUEUE).ok_or(Errno::EBADF)
}

/// Is the number a kqueue?
pub fn check(kq: RawFd) -> Result<()> {
    registry_of(kq).map(drop)
}

/// The host refused to work on the queue's set: its number is closed, or names something else (K-021).
fn set_error(error: Errno) -> Errno {
    match error {
        Errno::EINVAL | Errno::EPERM | Errno::ENOENT => Errno::EBADF,
        other => no_room(other),
    }
}

/// A call found that the number is no kqueue any more: its close was unseen.
pub fn seen_off<T>(kq: RawFd, result: Result<T>) -> Result<T> {
    if let Err(Errno::EBADF) = result {
        let _ = registry_of(kq).map(|registry| registry.retire_unproved(kq, &Masked::new()));
    }
    result
}

/// A change has failed: EBADF if that is because the queue is none any more.
pub fn check_again(kq: RawFd, error: Errno) -> Result<()> {
    if error != Errno::EBADF {
        return Ok(());
    }
    hold(kq, &Masked::new())?.prove().map_err(set_error)
}

/// Is the number open?
fn check_open(fd: RawFd) -> Result<()> {
    if below::is_open(fd) { Ok(()) } else { Err(Errno::EBADF) }
}
