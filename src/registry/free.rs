//! A lock-free stack of free indices.
//!
//! The head carries a tag that every change counts up, so a pop that slept while its index was taken and given back
//! fails its compare-and-swap (the ABA problem). Indices start at 1; 0 ends the stack. The links live in the freed
//! elements themselves.

use super::sync::{AtomicU32, AtomicU64, Ordering::*, is_alone};

/// Zeroed memory is an empty stack.
#[derive(Default)]
pub struct FreeList {
    head: AtomicU64,
}

fn split(head: u64) -> (u32, u32) {
    (head as u32, (head >> 32) as u32)
}

fn join(index: u32, tag: u32) -> u64 {
    u64::from(index) | u64::from(tag) << 32
}

impl FreeList {
    /// Puts `index` on the stack; `link` finds an element's link.
    pub fn push<'a>(&self, index: u32, link: impl Fn(u32) -> &'a AtomicU32) {
        let mut head = self.head.load(Relaxed);
        loop {
            let (first, tag) = split(head);
            link(index).store(first, Relaxed);
            match self.replace(head, join(index, tag.wrapping_add(1))) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// A compare-and-swap. A thread that is alone in its process has nobody to race with, and no handler runs here.
    #[inline]
    fn replace(&self, head: u64, new: u64) -> Result<u64, u64> {
        if is_alone() {
            self.head.store(new, Release);
            return Ok(head);
        }
        self.head.compare_exchange(head, new, AcqRel, Acquire)
    }

    /// Takes an index off the stack.
    pub fn pop<'a>(&self, link: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        let mut head = self.head.load(Acquire);
        loop {
            let (first, tag) = split(head);
            if first == 0 {
                return None;
            }
            // Another thread may own the element by now and write its link; the tag then makes the swap fail.
            let next = link(first).load(Relaxed);
            match self.replace(head, join(next, tag.wrapping_add(1))) {
                Ok(_) => return Some(first),
                Err(now) => head = now,
            }
        }
    }
}
