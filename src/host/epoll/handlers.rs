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
use super::{masked, owed};
use crate::errno::Result;
use crate::host::next::{self, Answer, Next};
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};

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
        let flags = self.flags.load(Acquire) | libc::SA_SIGINFO;
        let action = action(catcher as usize, flags, self.mask.load(Acquire));
        let _ = below::unchanged_errno(|| install(signal, Some(&action), &mut MaybeUninit::uninit()));
    }
}

const SIGNALS: usize = 65;

static PLACES: [[Place; 2]; SIGNALS] = [const {
    [const { Place { handler: AtomicUsize::new(0), flags: AtomicI32::new(0), mask: AtomicU64::new(0) } }; 2]
}; SIGNALS];

static CATCHERS: [Catcher; 2] = [catch::<0>, catch::<1>];

/// The flags of each signal's last action, as the program gave them.
static FLAGS: [AtomicI32; SIGNALS] = [const { AtomicI32::new(0) }; SIGNALS];

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
    masked::count_handler();
    if !owed::any() {
        return handler(signal, info, context);
    }
    // SAFETY: the kernel's siginfo.
    let mut owed = owed::exchange(unsafe { &*info });
    handler(signal, &raw mut owed, context);
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

/// Exchanges exclude each other, and are made with all signals blocked: a handler may install handlers.
static EXCHANGE: AtomicU32 = AtomicU32::new(0);

fn exclusively<T>(work: impl FnOnce() -> T) -> T {
    let program = masked::block_all();
    while EXCHANGE.swap(1, Acquire) != 0 {
        below::unchanged_errno(|| below::futex_wait(&EXCHANGE, 1, None));
    }
    let result = work();
    EXCHANGE.store(0, Release);
    below::unchanged_errno(|| below::futex_wake(&EXCHANGE, 1));
    masked::set_mask(program);
    result
}

/// In a forked child: whoever was exchanging is not here.
pub fn in_child() {
    EXCHANGE.store(0, Release);
}

/// `sigaction` as the program sees it: its own handlers go in and come out. EINVAL.
pub fn exchange(signal: c_int, new: Option<&Action>) -> Result<Action> {
    exclusively(|| exchange_alone(signal, new))
}

fn exchange_alone(signal: c_int, new: Option<&Action>) -> Result<Action> {
    let wrapped = match new {
        Some(new) if new.sa_sigaction > libc::SIG_IGN => Some(wrap(signal, new)?),
        other => other.copied(),
    };
    let mut old = MaybeUninit::uninit();
    install(signal, wrapped.as_ref(), &mut old)?;
    if new.is_some_and(|new| new.sa_sigaction <= libc::SIG_IGN) {
        owed::forget(signal);
    }
    // SAFETY: written by the successful call.
    let mut old = unsafe { old.assume_init() };
    // The kernel keeps the flags, ours among them, when SA_RESETHAND takes the handler away.
    let flags = FLAGS.get(signal as usize);
    let given =
        flags.map_or(0, |flags| new.map_or(flags.load(Acquire), |new| flags.swap(new.sa_flags, AcqRel)));
    let is_handler = old.sa_sigaction > libc::SIG_IGN;
    let mut with_info = old.sa_flags & libc::SA_SIGINFO & if is_handler { !0 } else { given };
    if let Some(place) = place_of(signal, old.sa_sigaction) {
        with_info = place.flags.load(Acquire) & libc::SA_SIGINFO;
        old.sa_sigaction = place.handler.load(Acquire);
    }
    old.sa_flags = old.sa_flags & !libc::SA_SIGINFO | with_info;
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

/// An action; `mask` has the kernel's form.
pub fn action(handler: usize, flags: c_int, mask: u64) -> Action {
    // SAFETY: all-zero is a valid action.
    let mut action: Action = unsafe { core::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: as in `first_word`.
    unsafe { (&raw mut action.sa_mask).cast::<u64>().write_unaligned(mask) };
    action
}

pub(super) fn first_word(set: &libc::sigset_t) -> u64 {
    // SAFETY: a signal set is at least the kernel's 64 bits, which come first.
    unsafe { core::ptr::from_ref(set).cast::<u64>().read_unaligned() }
}

/// Valgrind restores the mask that it remembers, not the one that a handler wrote into its frame: nothing can be
/// postponed there. Every program that runs in it has this function, from a library that it preloads.
fn under_valgrind() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| next::exists(c"_vgnU_freeres"))
}

/// Takes over handlers that were installed behind our back, if from now on none can be: the process resolves
/// `sigaction` and `signal` to us.
pub fn take_over() {
    if all_are_ours() || !next::is_ours(c"sigaction") || !next::is_ours(c"signal") || under_valgrind() {
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

/// Lets a postponed signal happen. It is sent to the calling thread once more, which blocks it until the end of the
/// section; the kernel then does what it always does. Real-time signals are kept in order ([`owed`]).
pub(super) fn happen(info: &libc::siginfo_t, program: u64) {
    if info.si_signo < libc::SIGRTMIN() {
        let _ = queue(info);
        return;
    }
    let ordered = owed::add(info);
    if !ordered || queue(info).is_err() {
        if ordered {
            owed::take_back(info);
        }
        call(info, program);
    }
}

/// Calls the handler that is installed, with its mask in force: where the kernel takes no more signals for the user.
fn call(info: &libc::siginfo_t, program: u64) {
    let signal = info.si_signo;
    let Ok(action) = installed(signal) else { return };
    if action.sa_sigaction <= libc::SIG_IGN {
        let _ = queue(info);
        return;
    }
    let own = if action.sa_flags & libc::SA_NODEFER == 0 { 1u64 << (signal - 1) } else { 0 };
    let mut context = MaybeUninit::<libc::ucontext_t>::zeroed();
    // SAFETY: fills the context of this place in; the handler is the program's own (or our catcher before it), and gets
    // what the kernel would give it.
    unsafe {
        #[cfg(target_env = "gnu")] // elsewhere the mask is all that the context tells
        libc::getcontext(context.as_mut_ptr());
        (&raw mut (*context.as_mut_ptr()).uc_sigmask).cast::<u64>().write_unaligned(program);
        let handler: Catcher = core::mem::transmute(action.sa_sigaction);
        let info = core::ptr::from_ref(info).cast_mut();
        masked::set_mask(program | own | first_word(&action.sa_mask));
        handler(signal, info, context.as_mut_ptr().cast());
    }
    masked::block_all();
}

/// Sends a signal to the calling thread, with the siginfo that it came with. EAGAIN: too many are pending.
pub(super) fn queue(info: &libc::siginfo_t) -> Result<()> {
    let info: *const libc::siginfo_t = info;
    let (process, thread) = (below::process(), below::thread());
    // SAFETY: the siginfo outlives the call.
    check(unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, (*info).si_signo, info) })
        .map(drop)
}

/// Looks the next definition up, before a handler can need it.
pub fn look_up() {
    SIGACTION.get();
}
