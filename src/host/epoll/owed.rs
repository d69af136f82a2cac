//! Real-time signals that were postponed, in their order.
//!
//! A postponed signal is sent to its thread again, and so comes after those of its number that have arrived meanwhile:
//! for real-time signals that is the wrong order. But the frames that the kernel makes for one number are all alike, but
//! for the siginfo. So the frame of whichever comes first gets the siginfo that is *owed* longest, and leaves its own
//! behind for the next one; the frame of the signal that was sent again (known by its siginfo) leaves none.

use super::masked::Masked;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering::*};

type Info = libc::siginfo_t;

/// More postponed real-time signals than this are not kept in order at a time.
const ROOM: usize = 4;

/// A short list of siginfos, with the epoch of the disposition that they were sent under.
struct List {
    length: Cell<usize>,
    entries: UnsafeCell<[MaybeUninit<(Info, u32)>; ROOM]>,
}

impl List {
    const fn empty() -> List {
        List { length: Cell::new(0), entries: UnsafeCell::new([const { MaybeUninit::uninit() }; ROOM]) }
    }

    fn push(&self, info: &Info) -> bool {
        let length = self.length.get();
        // SAFETY: only this thread is here, and in a section.
        let place = unsafe { (*self.entries.get()).get_mut(length) };
        let Some(place) = place else { return false };
        place.write((*info, epoch(info.si_signo)));
        self.length.set(length + 1);
        true
    }

    /// Takes the first entry that fits.
    fn take(&self, fits: impl Fn(&Info) -> bool) -> Option<Info> {
        // SAFETY: as in `push`; the first `length` entries were written.
        let entries = unsafe { &mut *self.entries.get() };
        let mut found = None;
        let mut kept = 0;
        for index in 0..self.length.get() {
            let Some(&entry) = entries.get(index) else { break };
            // SAFETY: as above.
            let (info, sent) = unsafe { entry.assume_init() };
            if sent != epoch(info.si_signo) {
                continue; // the kernel has thrown it away
            }
            if found.is_none() && fits(&info) {
                found = Some(info);
            } else if let Some(place) = entries.get_mut(kept) {
                *place = entry;
                kept += 1;
            }
        }
        self.length.set(kept);
        found
    }
}

/// What a thread is owed, and which signals were sent again for that.
struct Owed {
    infos: List,
    sent: List,
}

thread_local! {
    // Constant and without a destructor: plain thread-local memory, also in a handler.
    static OWED: Owed = const { Owed { infos: List::empty(), sent: List::empty() } };
}

/// Counts how often a signal's pending instances were thrown away by a change of its disposition.
static EPOCHS: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

fn epoch(signal: i32) -> u32 {
    EPOCHS.get(signal as usize).map_or(0, |epoch| epoch.load(Relaxed))
}

/// A signal is ignored or has its default action from now on: what was pending is gone.
pub(super) fn forget(signal: i32) {
    if let Some(epoch) = EPOCHS.get(signal as usize) {
        epoch.fetch_add(1, Relaxed);
    }
}

/// A postponed signal is about to be sent again; false if there is no room to remember it. All signals are blocked.
pub(super) fn add(info: &Info) -> bool {
    OWED.with(|owed| owed.sent.push(info) && owed.infos.push(info))
}

/// It could not be sent.
pub(super) fn take_back(info: &Info) {
    OWED.with(|owed| {
        owed.sent.take(|sent| same(sent, info));
        owed.infos.take(|owed| same(owed, info));
    });
}

/// Is the thread owed anything?
#[inline]
pub(super) fn any() -> bool {
    OWED.with(|owed| owed.infos.length.get() != 0)
}

/// The siginfo that a handler is to see, in a frame that came with this one.
#[cold]
pub(super) fn exchange(came: &Info) -> Info {
    let _section = Masked::new();
    OWED.with(|owed| {
        let again = owed.sent.take(|sent| same(sent, came)).is_some();
        let first = owed.infos.take(|owed| owed.si_signo == came.si_signo);
        match first {
            Some(first) if again || owed.infos.push(came) => first,
            _ => *came,
        }
    })
}

/// Number, code, and what came with them.
fn same(one: &Info, other: &Info) -> bool {
    const BYTES: usize = 32;
    let bytes = |info: &Info| {
        let info: *const Info = info;
        // SAFETY: a siginfo is 128 bytes, and the kernel writes all of them.
        unsafe { info.cast::<[u8; BYTES]>().read_unaligned() }
    };
    bytes(one) == bytes(other)
}
