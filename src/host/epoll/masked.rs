//! Sections in which no handler of the program's runs.
//!
//! They are the key to every lock of the library: a handler can neither find its own thread inside a critical
//! section nor leave one by `siglongjmp`. Blocking all signals does that, for two system calls a section. Where
//! every handler of the process was installed through our `sigaction` ([`super::handlers`]) none is needed: a signal
//! that arrives inside a section is *postponed*. Our catcher keeps its siginfo, makes the kernel return with all
//! signals blocked, and the end of the section sends it to the thread again and restores the mask. To the program
//! that is a thread which did not have the processor in the meantime.
//!
//! A sleep needs the real mask ([`Masked::harden`]): the kernel must swap it atomically.

use super::below;
use super::handlers;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering::*, compiler_fence};

/// Signals whose frames can lie on top of each other before the first one is postponed: those that were pending
/// together when the thread came back from the kernel. Those beyond go back to the kernel at once.
const ROOM: usize = 4;

/// A thread's section. Only the thread itself and its handlers touch it.
struct Section {
    depth: Cell<u32>,
    /// Signals that were postponed. Atomic: a catcher may be interrupted by another one.
    caught: AtomicUsize,
    /// The program's mask, once a signal was postponed; before, all bits.
    program: Cell<u64>,
    /// Counts the handlers of the program's that have run.
    happened: Cell<u32>,
    signals: UnsafeCell<[MaybeUninit<libc::siginfo_t>; ROOM]>,
}

thread_local! {
    // Constant and without a destructor: its use is plain thread-local memory, also in a handler.
    static SECTION: Section = const {
        Section {
            depth: Cell::new(0),
            caught: AtomicUsize::new(0),
            program: Cell::new(!0),
            happened: Cell::new(0),
            signals: UnsafeCell::new([const { MaybeUninit::uninit() }; ROOM]),
        }
    };
}

/// No handler of the program's runs in this thread while this lives.
pub struct Masked {
    /// The program's mask, while all signals are really blocked.
    program: Cell<Option<u64>>,
    /// The thread may be cancelled in a sleep.
    cancellable: bool,
    of_this_thread: PhantomData<*mut ()>,
}

impl Masked {
    /// Begins a section.
    #[inline]
    pub fn new() -> Masked {
        if handlers::all_are_ours() {
            SECTION.with(|section| section.depth.set(section.depth.get() + 1));
            compiler_fence(SeqCst);
            Masked { program: Cell::new(None), cancellable: false, of_this_thread: PhantomData }
        } else {
            let program = Cell::new(Some(block_all()));
            Masked { program, cancellable: false, of_this_thread: PhantomData }
        }
    }

    /// A section in which all signals are blocked already; `program` is the mask to restore at its end. The thread may be
    /// cancelled while it sleeps in it, and is then gone as after a jump out of a handler: nothing is dropped.
    pub fn hardened(program: u64) -> Masked {
        Masked { program: Cell::new(Some(program)), cancellable: true, of_this_thread: PhantomData }
    }

    /// May the thread be cancelled in a sleep?
    pub(super) fn cancellable(&self) -> bool {
        self.cancellable
    }

    /// Blocks all signals for a section to come, and says what the mask was.
    pub fn block() -> u64 {
        block_all()
    }

    /// Really blocks all signals, also those that the C library keeps to itself, from now to the end of the section.
    /// For a wait, which swaps the program's mask in: handlers that run there are outside the section. True if a signal
    /// was postponed already: then it is no time to sleep, its handler runs at the end of the section.
    pub fn harden(&self) -> bool {
        if self.program.get().is_none() {
            self.program.set(Some(block_all()));
            SECTION.with(|section| {
                debug_assert!(section.depth.get() == 1, "within another section");
                section.depth.set(0);
                if section.caught.load(Relaxed) != 0 {
                    self.program.set(Some(section.program.get()));
                }
            });
        }
        SECTION.with(|section| section.caught.load(Relaxed) != 0)
    }

    /// Counts the handlers that have run in this thread: a call that is about to wait was interrupted if that has changed
    /// since it began. (The kernel knows it only of those that run while it waits.)
    pub fn interruptions() -> u32 {
        SECTION.with(|section| section.happened.get())
    }

    /// The program's own mask, for a wait in a hardened section.
    pub(super) fn program(&self) -> u64 {
        self.program.get().unwrap_or_default()
    }
}

impl Default for Masked {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Masked {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        SECTION.with(|section| {
            let hard = self.program.get();
            if hard.is_none() {
                section.depth.set(section.depth.get() - 1);
                compiler_fence(SeqCst);
            }
            if section.caught.load(Relaxed) != 0 && section.depth.get() == 0 {
                section.deliver();
            } else if let Some(program) = hard {
                set_mask(program);
            }
        });
    }
}

impl Section {
    /// Lets the postponed signals happen. All signals are blocked. Handlers run here, and may jump away.
    #[cold]
    #[inline(never)]
    fn deliver(&self) {
        let program = self.program.replace(!0);
        let mut signals = [const { MaybeUninit::uninit() }; ROOM];
        let count = self.caught.swap(0, Relaxed);
        // SAFETY: only this thread is here, no handler runs, and `caught` entries were written.
        unsafe { signals.copy_from_slice(&*self.signals.get()) };
        below::unchanged_errno(|| {
            for info in signals.iter().take(count) {
                // SAFETY: as above.
                handlers::happen(unsafe { info.assume_init_ref() }, program);
            }
            set_mask(program);
        });
    }
}

/// Called by the catcher: a handler of the program's is about to run.
pub(super) fn count_handler() {
    SECTION.with(|section| section.happened.set(section.happened.get().wrapping_add(1)));
}

/// Called by the catcher: true if the thread is inside a section, and the signal was postponed to its end.
///
/// # Safety
/// `info` and `program` (the mask that the kernel restores after the handler) are those of the catcher's frame.
pub(super) unsafe fn postpone(info: *const libc::siginfo_t, program: *mut u64) -> bool {
    SECTION.with(|section| {
        if section.depth.get() == 0 {
            return false;
        }
        below::unchanged_errno(|| {
            // Frames may lie on top of each other, and one catcher interrupt another at any place: the mask of the lowest
            // frame is the program's, and all others have more bits.
            // SAFETY: the caller's promise.
            let mask = unsafe { program.replace(!0) };
            section.program.set(section.program.get() & mask);
            let caught = section.caught.fetch_add(1, Relaxed);
            // SAFETY: only this thread is here, and each catcher has a place of its own.
            match unsafe { (*section.signals.get()).get_mut(caught) } {
                Some(place) => {
                    // SAFETY: the kernel's siginfo, as the caller promised.
                    place.write(unsafe { *info });
                }
                None => {
                    section.caught.fetch_sub(1, Relaxed);
                    block_all();
                    // SAFETY: as above.
                    let _ = handlers::queue(unsafe { &*info });
                }
            }
        });
        true
    })
}

pub(super) fn block_all() -> u64 {
    let (all, mut before) = (!0u64, 0u64);
    // SAFETY: both words outlive the call, their size is the kernel's sigset size.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut before, 8) };
    before
}

pub(super) fn set_mask(mask: u64) {
    let none: *mut u64 = core::ptr::null_mut();
    // SAFETY: the word outlives the call.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, none, 8) };
}
