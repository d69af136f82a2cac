//! Errors of sockets that the library took from the kernel, and owes the program.
//!
//! There is no way to look at the error of a socket that leaves it there. One that an event has told of (K-095) is kept
//! until a call of the program's asks for it, or fails with it, as it would have without the library; then it is gone.
//!
//! It belongs to the socket, so it is kept under the identity of that: a duplicate has it too, and a number that names
//! another file by now does not. Two sets of bits keep other numbers away from the shelf: those that an error was taken
//! through, and those that the program has duplicated. As the table's, they are no part of a registry.
//!
//! The shelf's lock is the innermost of all. Number and bit are set before an error is taken from the kernel: so a
//! thread that was told of an end because another one has just taken the error finds it here.

use super::Registry;
use super::cell::{Cell32, Cell64, CellInt};
use super::lock::{Guard, Lock};
use super::sync::Ordering::*;
use crate::errno::Errno;
use crate::host::below::{self, Identity};
use crate::host::{Masked, RawFd, measure};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// How many errors are kept: exact in the process that keeps them, too many in its children.
static KEPT: AtomicU32 = AtomicU32::new(0);

/// Numbers that have a bit; the others may be any socket's.
const LOW: usize = 4096;

struct Bits([AtomicU64; LOW / 64]);

/// The numbers that errors were taken through.
static TAKEN: Bits = Bits::new(0);
/// The numbers that were duplicated or are duplicates. The first three may have been made so before the program began.
static DUPLICATED: Bits = Bits::new(7);

impl Bits {
    const fn new(first: u64) -> Bits {
        let mut bits = [const { AtomicU64::new(0) }; LOW / 64];
        bits[0] = AtomicU64::new(first);
        Bits(bits)
    }

    fn has(&self, fd: RawFd) -> bool {
        let number = fd as u32 as usize; // negative ones are high
        self.0.get(number / 64).is_none_or(|bits| bits.load(Relaxed) >> (number % 64) & 1 != 0)
    }

    fn put(&self, fd: RawFd, on: bool) {
        let number = fd as u32 as usize;
        let Some(bits) = self.0.get(number / 64).filter(|_| self.has(fd) != on) else { return };
        let bit = 1 << (number % 64);
        if on {
            bits.fetch_or(bit, Relaxed)
        } else {
            bits.fetch_and(!bit, Relaxed)
        };
    }
}

/// Is any error kept? The one load that this costs all other descriptors.
#[inline]
pub fn any() -> bool {
    KEPT.load(Acquire) != 0
}

/// May one be kept for this number? False is certain, but for duplicates that were made unseen.
pub fn may_be_for(fd: RawFd) -> bool {
    TAKEN.has(fd) || DUPLICATED.has(fd)
}

/// Two numbers name one file from now on.
pub fn duplicated(old: RawFd, new: RawFd) {
    DUPLICATED.put(old, true);
    DUPLICATED.put(new, true);
}

/// What is kept of one socket. All zero is a free place. Guarded by the shelf's lock.
#[repr(C)]
#[derive(Default)]
struct Place {
    device: Cell64,
    inode: Cell64,
    /// The number that it was taken through, plus one; 0 once that is closed and there may be duplicates.
    number: CellInt,
    /// The error, 0 if the place is free; [`SPARES_READS`].
    error: Cell32,
}

/// `Place::error`: the end of what was sent comes before the error, so reads do not fail with it.
const SPARES_READS: u32 = 1 << 31;

const GROUPS: usize = 512;
const PLACES: usize = 8;

/// Zeroed memory is an empty shelf. Sockets have consecutive inode numbers, so that the groups fill evenly.
#[repr(C)]
pub struct Shelf {
    lock: Lock,
    count: Cell32,
    groups: [[Place; PLACES]; GROUPS],
}

/// An error that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The error.
    pub error: Errno,
    /// Do reads fail with it?
    pub fails_reads: bool,
}

impl Place {
    fn is_of(&self, identity: Identity) -> bool {
        let found = Identity { device: self.device.get(), inode: self.inode.get() };
        self.error.get() != 0 && found == identity
    }

    fn kept(&self) -> Kept {
        let error = self.error.get();
        Kept { error: Errno((error & !SPARES_READS) as i32), fails_reads: error & SPARES_READS == 0 }
    }

    /// Is it of no use to anybody that is known?
    fn is_stale(&self) -> bool {
        let fd = self.number.get() - 1;
        fd < 0 || !below::identity(fd).is_ok_and(|identity| self.is_of(identity))
    }
}

impl Shelf {
    fn lock(&self, mask: &Masked) -> Guard<'_> {
        self.lock.lock(mask)
    }

    fn group(&self, identity: Identity) -> &[Place] {
        self.groups.get(identity.inode as usize % GROUPS).map_or(&[], |group| group)
    }

    fn find(&self, identity: Identity) -> Option<&Place> {
        self.group(identity).iter().find(|place| place.is_of(identity))
    }

    fn count(&self, count: u32) {
        self.count.set(count);
        KEPT.store(count, Release);
    }

    fn empty(&self, place: &Place) {
        TAKEN.put(place.number.get() - 1, false);
        place.error.set(0);
        self.count(self.count.get() - 1);
    }

    /// A place for one more error of this group.
    fn room(&self, identity: Identity) -> Option<&Place> {
        let group = self.group(identity);
        if let Some(free) = group.iter().find(|place| place.error.get() == 0) {
            return Some(free);
        }
        let stale = group.iter().find(|place| place.is_stale())?;
        self.empty(stale);
        Some(stale)
    }

    /// Fills a place. A later error of a socket replaces the one before, as it does in the kernel.
    fn put(&self, place: &Place, identity: Identity, fd: RawFd, kept: Kept) {
        let more = u32::from(place.error.get() == 0);
        place.device.set(identity.device);
        place.inode.set(identity.inode);
        place.number.set(fd + 1);
        place.error.set(kept.error.0 as u32 | if kept.fails_reads { 0 } else { SPARES_READS });
        TAKEN.put(fd, true);
        self.count(self.count.get() + more);
    }
}

impl Registry {
    /// The error of a TCP connection that has ended: the one that is kept, or that pends in the kernel (`pends`), which is
    /// taken. 0 if there is none, or it cannot be kept.
    pub fn socket_error(&self, fd: RawFd, pends: bool, mask: &Masked) -> u32 {
        if !self.keeps_errors || !pends && !any() {
            return 0;
        }
        let Ok(identity) = below::identity(fd) else { return 0 };
        let shelf = self.shelf;
        let _guard = shelf.lock(mask);
        if pends && let Some(place) = shelf.find(identity).or_else(|| shelf.room(identity)) {
            TAKEN.put(fd, true);
            KEPT.store(shelf.count.get() + 1, Release);
            match measure::take_error(fd) {
                Some((error, fails_reads)) => shelf.put(place, identity, fd, Kept { error, fails_reads }),
                None => {
                    TAKEN.put(fd, place.error.get() != 0);
                    shelf.count(shelf.count.get());
                }
            }
        }
        shelf.find(identity).map_or(0, |place| place.kept().error.0 as u32)
    }

    /// Has a connection been shut down for sending? An error that the question happens upon is kept.
    pub fn sends_no_more(&self, fd: RawFd, mask: &Masked) -> bool {
        if !self.keeps_errors
            && let Some(over) = measure::tcp_sends_no_more(fd)
        {
            return over; // dearer, but it never takes an error
        }
        match measure::try_to_send(fd) {
            Ok(()) | Err(Errno::EAGAIN | Errno::ENOTCONN | Errno::EBADF) => false,
            Err(Errno::EPIPE) => true,
            Err(error) => measure::is_tcp(fd) && self.keep_late(fd, error, mask),
        }
    }

    #[cold]
    fn keep_late(&self, fd: RawFd, error: Errno, mask: &Masked) -> bool {
        let Ok(identity) = below::identity(fd) else { return false };
        let _guard = self.shelf.lock(mask);
        if self.shelf.find(identity).is_none()
            && let Some(place) = self.shelf.room(identity)
        {
            self.shelf.put(place, identity, fd, Kept { error, fails_reads: true });
        }
        true
    }

    /// The error that is kept for the socket of a number.
    pub fn kept_error(&self, fd: RawFd, mask: &Masked) -> Option<Kept> {
        let identity = below::identity(fd).ok()?;
        let _guard = self.shelf.lock(mask);
        let found = self.shelf.find(identity).map(Place::kept);
        if found.is_none() {
            TAKEN.put(fd, false); // the number was closed unseen
        }
        found
    }

    /// The same, which is the program's from now on.
    pub fn hand_out_error(&self, fd: RawFd, mask: &Masked) -> Option<Errno> {
        let identity = below::identity(fd).ok()?;
        let _guard = self.shelf.lock(mask);
        let place = self.shelf.find(identity)?;
        let error = place.kept().error;
        self.shelf.empty(place);
        Some(error)
    }

    /// A number is about to be closed: nobody will ask for what is kept, if it is the only one of its socket.
    pub fn forget_error(&self, fd: RawFd, mask: &Masked) {
        let Ok(identity) = below::identity(fd) else { return };
        let _guard = self.shelf.lock(mask);
        match self.shelf.find(identity) {
            Some(place) if !DUPLICATED.has(fd) => self.shelf.empty(place),
            Some(place) if place.number.get() == fd + 1 => place.number.set(0),
            _ => {}
        }
        TAKEN.put(fd, false);
    }
}
