//! Descriptor number → what the registry knows of it.
//!
//! Two levels, grown on demand, never shrunk: a look-up is two loads and takes no lock. A number is *involved* when
//! it names an object, is watched, or is a helper of the library's. An uninvolved number costs its `close` these
//! loads and nothing else.

use super::Registry;
use super::cell::Cell32;
use super::lock::Lock;
use super::memory;
use super::record::Object;
use super::sync::Ordering::*;
use crate::errno::{Errno, Result};
use crate::host::RawFd;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

const LEAF_BITS: u32 = 12;
const LEAF: usize = 1 << LEAF_BITS;
/// Numbers go up to nr_open, 2^30 at most.
const ROOT: usize = 1 << (30 - LEAF_BITS);

/// Which of the low numbers were ever involved, a bit each: a look that needs no pointer, for the `close` of the others.
/// Not part of a registry: a child finds the bits of its parent, and then no registry.
static EVER: [AtomicU64; LOW / 64] = [const { AtomicU64::new(0) }; LOW / 64];

/// Numbers that have a bit.
const LOW: usize = 4096;

/// May a number be involved? False is certain.
#[inline]
pub fn may_be_involved(fd: RawFd) -> bool {
    let number = fd as u32 as usize; // negative ones are high
    EVER.get(number / 64).is_none_or(|bits| bits.load(Acquire) >> (number % 64) & 1 != 0)
}

fn will_be_involved(number: usize) {
    if let Some(bits) = EVER.get(number / 64)
        && bits.load(Relaxed) >> (number % 64) & 1 == 0
    {
        bits.fetch_or(1 << (number % 64), AcqRel);
    }
}

/// What is known of one number.
#[repr(C)]
#[derive(Default)]
pub struct Entry {
    /// Guards `watches` and the list behind it.
    pub lock: Lock,
    /// The object that the number names (index), 0, or [`HELPER`]. Changes under the object's lock.
    object: AtomicU32,
    /// First watch of the number, in any object.
    pub watches: Cell32,
    /// Next number of the same object, plus one. Guarded by the object's lock.
    pub next_number: Cell32,
}

/// `object` of a helper descriptor.
const HELPER: u32 = u32::MAX;

/// A run of entries.
pub type Leaf = [Entry; LEAF];

/// The first level.
pub type Root = [AtomicPtr<Leaf>; ROOT];

/// The table.
pub struct Table {
    root: &'static Root,
    /// One above the highest number that was ever involved: where a range ends for us.
    end: AtomicU32,
}

impl Entry {
    /// Must a close of this number tell the registry?
    #[inline]
    pub fn involved(&self) -> bool {
        self.object.load(Acquire) != 0 || self.watches.get() != 0
    }

    /// The index of the object that the number names.
    #[inline]
    pub fn object(&self) -> Option<u32> {
        match self.object.load(Acquire) {
            0 | HELPER => None,
            index => Some(index),
        }
    }

    /// Does it name neither?
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.object.load(Acquire) == 0
    }

    /// Names an object, or nothing (0).
    pub fn set_object(&self, index: u32) {
        self.object.store(index, Release);
    }

    /// Is it a helper of ours, as far as we know?
    pub fn helper(&self) -> bool {
        self.object.load(Acquire) == HELPER
    }

    /// Marks a helper's number.
    pub fn set_helper(&self) {
        self.object.store(HELPER, Release);
    }

    /// Forgets a helper's number.
    pub fn clear_helper(&self) {
        let _ = self.object.compare_exchange(HELPER, 0, AcqRel, Relaxed);
    }
}

impl Registry {
    /// The object that a number names.
    #[inline]
    pub fn object_of(&self, fd: RawFd) -> Option<&'static Object> {
        Some(self.arena.object(self.table.get(fd)?.object()?))
    }

    /// What kind of object that is.
    #[inline]
    pub fn object_kind(&self, fd: RawFd) -> Option<u32> {
        Some(self.object_of(fd)?.kind.get())
    }
}

impl Table {
    /// An empty table. ENOMEM.
    pub fn new() -> Result<Table> {
        let root = memory::new_root().ok_or(Errno::ENOMEM)?;
        Ok(Table { root, end: AtomicU32::new(0) })
    }

    /// The entry of a number that was involved once.
    #[inline]
    pub fn get(&self, fd: RawFd) -> Option<&'static Entry> {
        let fd = usize::try_from(fd).ok()?;
        let leaf = memory::leaf_at(self.root.get(fd >> LEAF_BITS)?.load(Acquire))?;
        leaf.get(fd & (LEAF - 1))
    }

    /// The entry of an open number. ENOMEM.
    pub fn entry(&self, fd: RawFd) -> Result<&'static Entry> {
        let number = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let place = self.root.get(number >> LEAF_BITS).ok_or(Errno::ENOMEM)?;
        if place.load(Acquire).is_null() {
            let leaf = memory::new_leaf();
            if leaf.is_null() {
                return Err(Errno::ENOMEM);
            }
            if place.compare_exchange(core::ptr::null_mut(), leaf, AcqRel, Acquire).is_err() {
                memory::drop_leaf(leaf);
            }
        }
        will_be_involved(number);
        if self.end.load(Relaxed) <= fd as u32 {
            self.end.fetch_max(fd as u32 + 1, Relaxed);
        }
        self.get(fd).ok_or(Errno::ENOMEM)
    }

    /// The involved numbers of a range, inclusive.
    pub fn involved(&self, first: u32, last: u32) -> impl Iterator<Item = RawFd> + '_ {
        let end = self.end.load(Acquire).min(last.saturating_add(1));
        (first..end).map(|n| n as RawFd).filter(|&fd| self.get(fd).is_some_and(Entry::involved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_involved_one_by_one() {
        let table = Table::new().unwrap();
        assert!(table.get(0).is_none() && table.get(-1).is_none() && table.get(i32::MAX).is_none());
        assert!(table.entry(-1).is_err());
        for fd in [3, 5000, 1_000_000] {
            table.entry(fd).unwrap().set_object(7);
        }
        table.entry(4).unwrap().watches.set(1);
        table.entry(6).unwrap();
        table.entry(9).unwrap().set_helper();
        assert_eq!(table.involved(0, u32::MAX).collect::<Vec<_>>(), [3, 4, 9, 5000, 1_000_000]);
        assert_eq!(table.involved(4, 4999).collect::<Vec<_>>(), [4, 9]);
        assert_eq!(table.get(9).unwrap().object(), None, "a helper is no object");
        table.get(9).unwrap().clear_helper();
        table.get(3).unwrap().clear_helper();
        assert!(!table.get(9).unwrap().involved() && table.get(3).unwrap().involved());
    }
}
