//! Mapped memory: the arena of objects and slots, and the leaves of the descriptor table.
//!
//! The arena is MAP_SHARED from its first page, with its whole address range reserved at once. It grows by opening
//! more of the range, without malloc (a `port_send` in a handler may need a slot), and records never move or vanish.
//! Whoever holds an index may look at it for ever; stamps and lives say whether it still is what it was. What is not
//! open yet is inaccessible, so it costs nothing to `mlockall`, to a core file, or to a leak checker that reads all
//! memory.

// The one place outside ffi, host and interpose that turns mapped addresses into references.
#![allow(unsafe_code)]

use super::Registry;
use super::cell::Cell32;
use super::fork::ForkPage;
use super::free::FreeList;
use super::kept::Shelf;
use super::record::{Note, Object, Slot, State};
use super::sync::{AtomicU32, Ordering::*};
use super::table::{Leaf, Root};
use crate::errno::{Errno, Result};
use crate::host::below;

/// Most objects of a process: the hard limit of project.max-port-ids.
pub const MOST_OBJECTS: u32 = 65_536;

/// Address ranges to try: as much as a 64-bit process has to spare, less under RLIMIT_AS.
const SIZES: [usize; 4] = if cfg!(target_pointer_width = "64") {
    [4 << 30, 1 << 30, 256 << 20, 64 << 20]
} else {
    [128 << 20, 64 << 20, 32 << 20, 24 << 20]
};

#[repr(C)]
struct Header {
    objects: Stock,
    slots: Stock,
    /// Of the notes, which have the indices of slots, only the opened part counts.
    notes: Stock,
}

/// Indices of one kind: freed ones first, then fresh ones.
#[repr(C)]
struct Stock {
    freed: FreeList,
    /// The highest index that was ever given out.
    fresh: AtomicU32,
    /// The highest index whose memory is open.
    opened: AtomicU32,
    in_use: AtomicU32,
}

/// Where the records of one kind lie.
#[derive(Clone, Copy)]
struct Layout {
    at: usize,
    size: usize,
    last: u32,
}

/// Memory is opened in steps of this many bytes.
const STEP: usize = 256 << 10;

/// A mapped arena. Copying it copies the address.
#[derive(Clone, Copy)]
pub struct Arena {
    base: *mut u8,
    /// Where the notes begin, behind the slots.
    notes_at: usize,
    last_slot: u32,
}

// SAFETY: everything in the arena is atomic or guarded by locks that live there.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// The opened part of an arena, as it was at some time: what was opened later is to be had from the arena.
#[derive(Clone, Copy)]
pub struct View {
    slots: *const Slot,
    notes: *const Note,
    opened: (u32, u32),
}

impl View {
    /// The slot of an index.
    #[inline(always)]
    pub fn slot(&self, index: u32) -> Option<&'static Slot> {
        // SAFETY: open, aligned by the layout, valid when zeroed, never unmapped.
        (index <= self.opened.0).then(|| unsafe { &*self.slots.add(index as usize) })
    }

    /// The note of a slot's index.
    #[inline(always)]
    pub fn note(&self, index: u32) -> Option<&'static Note> {
        // SAFETY: as above.
        (index <= self.opened.1).then(|| unsafe { &*self.notes.add(index as usize) })
    }
}

/// A page of the largest size that systems have.
const OBJECTS_AT: usize = 64 << 10;
const SLOTS_AT: usize =
    (OBJECTS_AT + (MOST_OBJECTS as usize + 1) * size_of::<Object>()).next_multiple_of(STEP);

impl Arena {
    /// Reserves an arena. ENOMEM.
    pub fn map() -> Result<Arena> {
        for size in SIZES {
            let base = below::reserve(size);
            if base.is_null() {
                continue;
            }
            below::not_for_children(base, size);
            let last_slot = ((size - SLOTS_AT - STEP) / (size_of::<Slot>() + size_of::<Note>()) - 1) as u32;
            let notes_at = (SLOTS_AT + (last_slot as usize + 1) * size_of::<Slot>()).next_multiple_of(STEP);
            let arena = Arena { base, notes_at, last_slot };
            // SAFETY: the first page of the range, which nobody else knows of.
            let header = unsafe { below::open(base, OBJECTS_AT) };
            let furnished = header
                && arena.open(&arena.header().objects, arena.objects(), 0)
                && arena.open(&arena.header().slots, arena.slots(), 0)
                && arena.open(&arena.header().notes, arena.notes(), 0);
            return if furnished { Ok(arena) } else { Err(Errno::ENOMEM) };
        }
        Err(Errno::ENOMEM)
    }

    fn header(&self) -> &'static Header {
        // SAFETY: the mapping starts with the header, zeroed memory is a valid one, and it is never unmapped.
        unsafe { &*self.base.cast() }
    }

    fn objects(&self) -> Layout {
        Layout { at: OBJECTS_AT, size: size_of::<Object>(), last: MOST_OBJECTS }
    }

    fn slots(&self) -> Layout {
        Layout { at: SLOTS_AT, size: size_of::<Slot>(), last: self.last_slot }
    }

    fn notes(&self) -> Layout {
        Layout { at: self.notes_at, size: size_of::<Note>(), last: self.last_slot }
    }

    /// Opens the memory up to a record, if it is not; false if the system has none. Several threads may do the same.
    fn open(&self, stock: &Stock, layout: Layout, index: u32) -> bool {
        if index > 0 && index <= stock.opened.load(Acquire) {
            return true;
        }
        let needed = (index as usize + 1) * layout.size;
        let length = needed.next_multiple_of(STEP).min((layout.last as usize + 1) * layout.size);
        // SAFETY: within the range, by the layout.
        let opened = unsafe { below::open(self.base.add(layout.at), length) };
        if opened {
            stock.opened.fetch_max((length / layout.size) as u32 - 1, AcqRel);
        }
        opened
    }

    /// The object of an index (index 0 is a record that nobody uses, and stands for those that are not open).
    #[inline]
    pub fn object(&self, index: u32) -> &'static Object {
        let index = if index > self.header().objects.opened.load(Acquire) { 0 } else { index };
        // SAFETY: open by the line above, aligned by the layout, valid when zeroed, never unmapped.
        unsafe { &*self.base.add(OBJECTS_AT).cast::<Object>().add(index as usize) }
    }

    /// The slot of an index.
    #[inline]
    pub fn slot(&self, index: u32) -> &'static Slot {
        let index = if index > self.header().slots.opened.load(Acquire) { 0 } else { index };
        // SAFETY: as in `object`.
        unsafe { &*self.base.add(SLOTS_AT).cast::<Slot>().add(index as usize) }
    }

    /// The note of a slot's index, if it was opened for one.
    #[inline]
    pub fn note(&self, index: u32) -> &'static Note {
        let index = if index > self.header().notes.opened.load(Acquire) { 0 } else { index };
        // SAFETY: as in `object`.
        unsafe { &*self.base.add(self.notes_at).cast::<Note>().add(index as usize) }
    }

    /// What lies where, for a caller that looks at many records.
    #[inline(always)]
    pub fn view(&self) -> View {
        let header = self.header();
        // SAFETY: the ranges of the layout.
        let (slots, notes) = unsafe { (self.base.add(SLOTS_AT).cast(), self.base.add(self.notes_at).cast()) };
        let opened = (header.slots.opened.load(Acquire), header.notes.opened.load(Acquire));
        View { slots, notes, opened }
    }

    fn take<'a>(&self, stock: &Stock, layout: Layout, link: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        if let Some(freed) = stock.freed.pop(&link) {
            return Some(freed);
        }
        let next = |fresh| (fresh < layout.last).then_some(fresh + 1);
        let index = stock.fresh.fetch_update(Relaxed, Relaxed, next).ok()? + 1;
        // An index whose memory cannot be had is lost; the next one will fail alike.
        self.open(stock, layout, index).then_some(index)
    }

    /// Is there any object?
    pub fn has_objects(&self) -> bool {
        self.header().objects.in_use.load(Relaxed) != 0
    }

    /// A free object record, unless `most` are in use.
    pub fn new_object(&self, most: u32) -> Option<u32> {
        let stock = &self.header().objects;
        let most = most.min(MOST_OBJECTS);
        let room = |used| (used < most).then_some(used + 1);
        stock.in_use.fetch_update(Relaxed, Relaxed, room).ok()?;
        let taken = self.take(stock, self.objects(), |i| self.object(i).oldest.atomic());
        if taken.is_none() {
            stock.in_use.fetch_sub(1, Relaxed);
        }
        taken
    }

    /// Gives an object record back.
    pub fn free_object(&self, index: u32) {
        let stock = &self.header().objects;
        stock.freed.push(index, |i| self.object(i).oldest.atomic());
        stock.in_use.fetch_sub(1, Relaxed);
    }

    /// A slot that will be a `state`.
    pub fn new_slot(&self, state: State) -> Option<u32> {
        let index = self.take(&self.header().slots, self.slots(), |i| self.slot(i).next.atomic())?;
        self.slot(index).word.renew(state);
        Some(index)
    }

    /// Was there ever a note?
    pub fn has_notes(&self) -> bool {
        self.header().notes.fresh.load(Relaxed) != 0
    }

    /// Opens the note of a slot; false if the system has no memory.
    pub fn open_note(&self, index: u32) -> bool {
        self.header().notes.fresh.store(1, Relaxed);
        self.open(&self.header().notes, self.notes(), index)
    }

    /// Gives a slot back; its stamp is void from now on.
    pub fn free_slot(&self, index: u32) {
        self.slot(index).word.renew(State::Free);
        self.header().slots.freed.push(index, |i| self.slot(i).next.atomic());
    }
}

/// Zeroed memory for one `T`. A child starts with no registry and needs none of it.
fn map_for_us<T>() -> *mut T {
    let base = below::map(size_of::<T>());
    if !base.is_null() {
        below::not_for_children(base, size_of::<T>().next_multiple_of(4096));
    }
    base.cast()
}

/// A new, empty leaf of the descriptor table.
pub(super) fn new_leaf() -> *mut Leaf {
    map_for_us::<Leaf>()
}

/// Gives back a leaf that lost the race to be installed.
pub(super) fn drop_leaf(leaf: *mut Leaf) {
    // SAFETY: it comes from `new_leaf` and was never shown to anybody.
    unsafe { below::unmap(leaf.cast(), size_of::<Leaf>()) };
}

/// The leaf behind an installed pointer.
pub(super) fn leaf_at(leaf: *mut Leaf) -> Option<&'static Leaf> {
    // SAFETY: installed leaves come from `new_leaf`, are valid when zeroed and are never unmapped.
    unsafe { leaf.as_ref() }
}

/// The root of a new, empty descriptor table.
pub(super) fn new_root() -> Option<&'static Root> {
    // SAFETY: a fresh mapping of that size, valid when zeroed, never unmapped. Null becomes None.
    unsafe { map_for_us::<Root>().as_ref() }
}

/// A table of so many chains, which are empty: where it is, or 0.
pub(super) fn new_buckets(count: usize) -> usize {
    let length = count * size_of::<Cell32>();
    let base = below::map(length);
    if !base.is_null() {
        below::not_for_children(base, length);
    }
    base.expose_provenance()
}

/// That table, while nobody drops it.
#[inline]
pub(super) fn buckets_at<'a>(table: usize, count: usize) -> &'a [Cell32] {
    // SAFETY: it comes from `new_buckets` with this count; zeroed memory is valid. Who drops it holds the object's lock, and so
    // does the caller.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(table), count) }
}

/// Gives it back, if it is one.
pub(super) fn drop_buckets(table: usize, count: usize) {
    if table != 0 {
        // SAFETY: it comes from `new_buckets` with this count, and the caller has forgotten it.
        unsafe { below::unmap(core::ptr::with_exposed_provenance_mut(table), count * size_of::<Cell32>()) };
    }
}

/// A new, empty shelf.
pub(super) fn new_shelf() -> Option<&'static Shelf> {
    // SAFETY: as in `new_root`.
    unsafe { map_for_us::<Shelf>().as_ref() }
}

/// Moves a registry to memory of its own, where it stays.
pub(super) fn keep(registry: Registry) -> Option<&'static Registry> {
    let place = map_for_us::<Registry>();
    if place.is_null() {
        return None;
    }
    // SAFETY: a fresh mapping of that size, page-aligned, never unmapped.
    unsafe {
        place.write(registry);
        Some(&*place)
    }
}

/// The registry behind a published pointer.
pub(super) fn registry_at(registry: *mut Registry) -> Option<&'static Registry> {
    // SAFETY: published pointers come from `keep`.
    unsafe { registry.as_ref() }
}

/// The word of the fork page.
pub(super) fn fork_page_at(page: *mut ForkPage) -> Option<&'static ForkPage> {
    // SAFETY: installed pages come from `below::map`, are valid when zeroed and are never unmapped.
    unsafe { page.as_ref() }
}
