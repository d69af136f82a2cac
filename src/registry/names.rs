//! Names: the notes of an object that are not of descriptors are found by filter and name.
//!
//! A hash table, chained through the notes. Up to a few names it is one chain in the object itself; then it gets memory of its
//! own, which grows eightfold whenever the chains have become long and goes with the object. If the system has none the
//! chains grow longer. Guarded by the object's lock.

use super::cell::{Cell32, CellSize};
use super::held::Held;
use super::memory;

/// Names of one object. Zeroed memory is "none".
#[repr(C)]
#[derive(Default)]
pub struct Names {
    /// The chain of all, while there is no table.
    few: Cell32,
    count: Cell32,
    /// Where the table is; 0: nowhere.
    table: CellSize,
    /// The size of the table, as a power of 2.
    bits: Cell32,
}

/// The first table is a page.
const FIRST_BITS: u32 = 10;
const MOST_BITS: u32 = 25;
/// Names that go without a table.
const FEW: u32 = 16;

/// Fibonacci hashing: neighbours fall apart.
fn hash(filter: i32, ident: usize) -> u64 {
    (ident as u64 ^ (filter as u32 as u64) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Names {
    /// The chain of a hash.
    fn chain(&self, hash: u64) -> &Cell32 {
        let bits = self.bits.get();
        if bits == 0 {
            return &self.few;
        }
        let table = memory::buckets_at(self.table.get(), 1 << bits);
        table.get((hash >> (64 - bits)) as usize).unwrap_or(&self.few)
    }

    fn chains(&self) -> impl Iterator<Item = &Cell32> {
        let bits = self.bits.get();
        let table = if bits == 0 { &[] } else { memory::buckets_at(self.table.get(), 1 << bits) };
        core::iter::once(&self.few).chain(table)
    }

    /// A table that is full is followed by one of eight times its size.
    fn wanted_bits(&self) -> Option<u32> {
        let (bits, count) = (self.bits.get(), self.count.get());
        let full = if bits == 0 { FEW } else { 1 << bits };
        let wanted = if bits == 0 { FIRST_BITS } else { bits + 3 };
        (count > full && wanted <= MOST_BITS).then_some(wanted)
    }
}

impl Held<'_> {
    fn hash_of(&self, note: u32) -> u64 {
        hash(self.note(note).filter.get(), self.slot(note).ident.get())
    }

    /// Gives a note a name, by which it is found again.
    pub fn enter_name(&self, note: u32) {
        let names = &self.object.names;
        names.count.increment();
        if let Some(bits) = names.wanted_bits() {
            self.grow(bits);
        }
        let chain = names.chain(self.hash_of(note));
        self.note(note).next_name.set(chain.replace(note));
    }

    #[cold]
    fn grow(&self, bits: u32) {
        let names = &self.object.names;
        let table = memory::new_buckets(1 << bits);
        if table == 0 {
            return;
        }
        let old = Names::default();
        old.table.set(names.table.get());
        old.bits.set(names.bits.get());
        old.few.set(names.few.replace(0));
        names.table.set(table);
        names.bits.set(bits);
        for chain in old.chains() {
            let mut note = chain.get();
            while note != 0 {
                let (next, chain) = (self.note(note).next_name.get(), names.chain(self.hash_of(note)));
                self.note(note).next_name.set(chain.replace(note));
                note = next;
            }
        }
        memory::drop_buckets(old.table.get(), 1 << old.bits.get());
    }

    /// The note of a name.
    pub fn by_name(&self, filter: i32, ident: usize) -> Option<u32> {
        let mut note = self.object.names.chain(hash(filter, ident)).get();
        while note != 0 && (self.slot(note).ident.get() != ident || self.note(note).filter.get() != filter) {
            note = self.note(note).next_name.get();
        }
        (note != 0).then_some(note)
    }

    /// Takes the name from a note, if it has one.
    pub fn leave_name(&self, note: u32) {
        let names = &self.object.names;
        let mut link = names.chain(self.hash_of(note));
        while link.get() != note {
            if link.get() == 0 {
                return;
            }
            link = &self.note(link.get()).next_name;
        }
        link.set(self.note(note).next_name.get());
        names.count.decrement();
    }

    /// Ends all notes that have names, with the object.
    pub fn drop_named(&self) {
        let names = &self.object.names;
        for chain in names.chains() {
            while chain.get() != 0 {
                self.drop_note(chain.get());
            }
        }
        memory::drop_buckets(names.table.replace(0), 1 << names.bits.replace(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Masked, ReadySet, Set};
    use crate::registry::{Registry, memory};

    #[test]
    fn names_are_found_in_tables_of_every_size() {
        let registry = memory::keep(Registry::new().unwrap()).unwrap();
        let mask = Masked::new();
        let index = registry.arena.new_object(1).unwrap();
        let held = registry.hold_index(index, Set::at(-1), &mask);
        let ident = |n: usize| n.wrapping_mul(0x1_0001) ^ (usize::MAX / 3);
        let most = 20_000;
        let notes: Vec<u32> = (0..most)
            .map(|n| {
                let note = held.new_note(-7 - (n % 2) as i32, ident(n)).unwrap();
                held.enter_name(note);
                note
            })
            .collect();
        assert!(held.object.names.bits.get() > FIRST_BITS, "it has grown");
        let find = |n: usize, filter: i32| held.by_name(filter, ident(n));
        for (n, &note) in notes.iter().enumerate() {
            assert_eq!(find(n, -7 - (n % 2) as i32), Some(note));
            assert_eq!(find(n, -8 + (n % 2) as i32), None, "of another filter");
        }
        for &note in notes.iter().step_by(3) {
            held.drop_note(note);
        }
        for (n, &note) in notes.iter().enumerate() {
            assert_eq!(find(n, -7 - (n % 2) as i32), (n % 3 != 0).then_some(note));
        }
        held.drop_named();
        assert_eq!((held.object.names.count.get(), held.object.names.bits.get()), (0, 0));
        assert_eq!(find(1, -8), None);
    }
}
