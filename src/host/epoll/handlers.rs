//! The program's signal handlers, behind a catcher of ours.
//!
//! The interposed `sigaction` family installs a catcher in the place of each handler and gives the program's own back
//! on query. The catcher calls the handler at once, with the mask, flags, siginfo and stack that the kernel arranged;
//! only inside a section of the library ([`super::masked`]) the signal is postponed to its end.
//!
//! **Two places a signal**, each with a catcher of its own: a new handler is written to the place that is not
//! installed, so the kernel's exchange of catchers is the exchange of handlers, and is as atomic as it was.
//!
//! Handlers that were installed behind our back before the first registry are taken over when it is made. Where the
//! process does not resolve `sigaction` to us, handlers are not known, and sections block signals instead.

use super::below::{self, check};
use super::masked;
use crate::errno::Result;
use crate::host::next::{self, Next};
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::*};

/// `struct sigaction` of the C library.
pub type Action = libc::sigaction;

type Catcher = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

// SAFETY: the C library's signature.
static SIGACTION: Next<unsafe extern "C" fn(c_int, *const Action, *mut Action) -> c_int> =
    unsafe { Next::new(c"sigaction") };

/// A handler of the program's.
struct Place {
    handler: AtomicUsize,
    /// As the program gave them.
    flags: AtomicI32,
    /// The rest of what SA_RESETHAND forgets.
    mask: AtomicU64,
}

impl Place {
    /// With SA_RESETHAND the kernel forgot the catcher when it called it.
    #[cold]
    fn install_again(&self, signal: c_int, catcher: Catcher) {
        // SAFETY: all-zero is a valid action.
        let mut action: Action = unsafe { core::mem::zeroed() };
        action.sa_sigaction = catcher as usize;
        action.sa_flags = self.flags.load(Acquire) | libc::SA_SIGINFO;
        // SAFETY: as in `first_word`.
        unsafe { (&raw mut action.sa_mask).cast::<u64>().write_unaligned(self.mask.load(Acquire)) };
        let _ = below::unchanged_errno(|| install(signal, Some(&action), &mut MaybeUninit::uninit()));
    }
}

const SIGNALS: usize = 65;

static PLACES: [[Place; 2]; SIGNALS] = [const {
    [const { Place { handler: AtomicUsize::new(0), flags: AtomicI32::new(0), mask: AtomicU64::new(0) } }; 2]
}; SIGNALS];

static CATCHERS: [Catcher; 2] = [catch::<0>, catch::<1>];

static ALL_ARE_OURS: AtomicBool = AtomicBool::new(false);

/// Does every handler of the process run behind our catcher?
#[inline]
pub(super) fn all_are_ours() -> bool {
    ALL_ARE_OURS.load(Relaxed)
}

extern "C" fn catch<const PLACE: usize>(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's frame: the first 64 bits of the context's mask are the kernel's sigset.
    let postponed = unsafe {
        let mask = &raw mut (*context.cast::<libc::ucontext_t>()).uc_sigmask;
        !is_fault(&*info) && masked::postpone(info, mask.cast())
    };
    let place = PLACES.get(signal as usize).and_then(|places| places.get(PLACE));
    let handler = place.map_or(0, |place| place.handler.load(Acquire));
    if postponed {
        if let Some(place) = place.filter(|place| place.flags.load(Acquire) & libc::SA_RESETHAND != 0) {
            place.install_again(signal, catch::<PLACE>);
        }
        return;
    }
    if handler <= libc::SIG_IGN {
        return;
    }
    // SAFETY: the program installed this address as a handler; one that takes the number alone ignores the rest.
    let handler: Catcher = unsafe { core::mem::transmute(handler) };
    handler(signal, info, context);
}

/// Raised by the instruction that runs: returning to it would only raise it again.
fn is_fault(info: &libc::siginfo_t) -> bool {
    let kinds = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    info.si_code > 0 && kinds.contains(&info.si_signo)
}

fn place_of(signal: c_int, installed: usize) -> Option<&'static Place> {
    let which = CATCHERS.iter().position(|&catcher| catcher as usize == installed)?;
    PLACES.get(signal as usize)?.get(which)
}

/// The next `sigaction`.
fn install(signal: c_int, new: Option<&Action>, old: &mut MaybeUninit<Action>) -> Result<()> {
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    match SIGACTION.get() {
        // SAFETY: pointers to actions that outlive the call, or null.
        Some(next) => check(unsafe { next(signal, new, old.as_mut_ptr()) }.into()).map(drop),
        // SAFETY: as above.
        None => unsafe { super::restorer::sigaction(signal, new, old.as_mut_ptr()) },
    }
}

/// The disposition that the kernel has. EINVAL.
fn installed(signal: c_int) -> Result<Action> {
    let mut now = MaybeUninit::uninit();
    install(signal, None, &mut now)?;
    // SAFETY: written by the successful call.
    Ok(unsafe { now.assume_init() })
}

/// `sigaction` as the program sees it: its own handlers go in and come out. EINVAL.
pub fn exchange(signal: c_int, new: Option<&Action>) -> Result<Action> {
    let wrapped = match new {
        Some(new) if new.sa_sigaction > libc::SIG_IGN => Some(wrap(signal, new)?),
        other => other.copied(),
    };
    let mut old = MaybeUninit::uninit();
    install(signal, wrapped.as_ref(), &mut old)?;
    // SAFETY: written by the successful call.
    let mut old = unsafe { old.assume_init() };
    if let Some(place) = place_of(signal, old.sa_sigaction) {
        let with_info = place.flags.load(Acquire) & libc::SA_SIGINFO;
        old.sa_flags = old.sa_flags & !libc::SA_SIGINFO | with_info;
        old.sa_sigaction = place.handler.load(Acquire);
    }
    Ok(old)
}

/// Puts a handler where it is not installed now, and makes the action that installs it.
fn wrap(signal: c_int, action: &Action) -> Result<Action> {
    let now = installed(signal)?.sa_sigaction;
    let which = usize::from(now == CATCHERS[0] as usize);
    let mut wrapped = *action;
    if let Some(place) = PLACES.get(signal as usize).and_then(|places| places.get(which)) {
        place.handler.store(action.sa_sigaction, Release);
        place.flags.store(action.sa_flags, Release);
        place.mask.store(first_word(&action.sa_mask), Release);
        wrapped.sa_sigaction = if which == 0 { CATCHERS[0] } else { CATCHERS[1] } as usize;
        wrapped.sa_flags |= libc::SA_SIGINFO;
    }
    Ok(wrapped)
}

fn first_word(set: &libc::sigset_t) -> u64 {
    // SAFETY: a signal set is at least the kernel's 64 bits, which come first.
    unsafe { core::ptr::from_ref(set).cast::<u64>().read_unaligned() }
}

/// Takes over handlers that were installed behind our back, if from now on none can be: the process resolves
/// `sigaction` and `signal` to us.
pub fn take_over() {
    if all_are_ours() || !next::is_ours(c"sigaction") || !next::is_ours(c"signal") {
        return;
    }
    for signal in (1..32).chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        let Ok(now) = installed(signal) else { continue };
        if now.sa_sigaction > libc::SIG_IGN && place_of(signal, now.sa_sigaction).is_none() {
            let wrapped = wrap(signal, &now);
            let _ = wrapped.and_then(|action| install(signal, Some(&action), &mut MaybeUninit::uninit()));
        }
    }
    ALL_ARE_OURS.store(true, Relaxed);
}

/// Sends a signal to the calling thread, which blocks it: what arrived in a section waits in the kernel for the
/// section's end.
pub(super) fn send_again(info: &libc::siginfo_t) {
    let signal = info.si_signo;
    // A real-time signal goes before those of its number that came later.
    let mut later = [const { MaybeUninit::<libc::siginfo_t>::uninit() }; 4];
    let mut count = 0;
    if signal >= libc::SIGRTMIN() {
        while let Some(place) = later.get_mut(count)
            && take_pending(signal, place)
        {
            count += 1;
        }
    }
    queue(info);
    for later in later.iter().take(count) {
        // SAFETY: written by `take_pending`.
        queue(unsafe { later.assume_init_ref() });
    }
}

fn queue(info: &libc::siginfo_t) {
    let info: *const libc::siginfo_t = info;
    let (process, thread) = (below::process(), below::thread());
    // SAFETY: the siginfo outlives the call.
    unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, (*info).si_signo, info) };
}

fn take_pending(signal: c_int, place: &mut MaybeUninit<libc::siginfo_t>) -> bool {
    let (set, zero) = (1u64 << (signal - 1), libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: all three outlive the call.
    let got = unsafe {
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, place.as_mut_ptr(), &raw const zero, 8)
    };
    got == libc::c_long::from(signal)
}

/// Looks the next definition up, before a handler can need it.
pub fn look_up() {
    SIGACTION.get();
}
