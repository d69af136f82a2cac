//! Handlers: the `sigaction` family, so that a section of the library can postpone a signal instead of blocking it.
//!
//! What the program installs and reads back is its own; see [`crate::host::handlers`].
//!
//! In a library that ThreadSanitizer instruments they are not exported (`--cfg evshim_tsan`): its runtime calls the next
//! `sigaction` before instrumented code can run. Sections block signals there.

use super::refuse;
use crate::errno::Errno;
#[cfg(not(test))]
use crate::host::handlers;
use crate::host::handlers::{Action, action, exchange};
use crate::host::next::Next;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

// SAFETY: the C library's signature.
static SIGINTERRUPT: Next<unsafe extern "C" fn(c_int, c_int) -> c_int> =
    unsafe { Next::new(c"siginterrupt") };

/// Signals whose handlers interrupt system calls although `signal` installed them (siginterrupt(3)).
static INTERRUPTING: AtomicU64 = AtomicU64::new(0);

/// `SIG_HOLD`.
const HOLD: usize = 2;

#[cfg(not(test))]
pub(super) fn look_up() {
    handlers::look_up();
    SIGINTERRUPT.get();
}

/// sigaction(2).
///
/// # Safety
/// `new` is null or points to an action; `old` is null or has room for one.
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    // Read here, where a bad address is a fault like any other.
    // SAFETY: the caller's promise.
    let new = unsafe { new.as_ref() }.copied();
    match exchange(signal, new.as_ref()) {
        Ok(before) => {
            if !old.is_null() {
                // SAFETY: the caller's promise.
                unsafe { old.write(before) };
            }
            0
        }
        Err(error) => refuse(error),
    }
}

fn bit(signal: c_int) -> u64 {
    if (1..=64).contains(&signal) { 1 << (signal - 1) } else { 0 }
}

/// Installs a handler in the manner of one of the old functions: the handler before, or SIG_ERR.
fn install(signal: c_int, handler: usize, flags: c_int, mask: u64) -> usize {
    let action = action(handler, flags, mask);
    let done = if handler == libc::SIG_ERR || bit(signal) == 0 {
        Err(Errno::EINVAL)
    } else {
        exchange(signal, Some(&action))
    };
    done.map_or_else(|error| refuse(error) as usize, |before| before.sa_sigaction)
}

/// signal(2) with BSD's meaning: the handler stays, and system calls are restarted.
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    let interrupting = INTERRUPTING.load(Relaxed) & bit(signal) != 0;
    install(signal, handler, if interrupting { 0 } else { libc::SA_RESTART }, bit(signal))
}

/// bsd_signal(3).
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub extern "C" fn bsd_signal(number: c_int, handler: usize) -> usize {
    signal(number, handler)
}

/// ssignal(3).
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub extern "C" fn ssignal(number: c_int, handler: usize) -> usize {
    signal(number, handler)
}

/// sysv_signal(3): the handler is forgotten when it is called, and nothing is blocked meanwhile.
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub extern "C" fn sysv_signal(number: c_int, handler: usize) -> usize {
    if cfg!(target_env = "musl") {
        return signal(number, handler); // there it is signal by another name
    }
    install(number, handler, libc::SA_RESETHAND | libc::SA_NODEFER, 0)
}

/// What `signal` becomes in programs of strict X/Open.
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(export_name = "__sysv_signal"))]
pub extern "C" fn sysv_signal_by_another_name(number: c_int, handler: usize) -> usize {
    sysv_signal(number, handler)
}

/// sigset(3): installs and unblocks; SIG_HOLD blocks.
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub extern "C" fn sigset(signal: c_int, handler: usize) -> usize {
    let how = if handler == HOLD { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    let before = if handler == HOLD {
        exchange(signal, None).map_or_else(|error| refuse(error) as usize, |now| now.sa_sigaction)
    } else {
        install(signal, handler, 0, 0)
    };
    if before == libc::SIG_ERR {
        return before;
    }
    // SAFETY: both sets are plain data that outlive the calls.
    let was_blocked = unsafe {
        let (mut set, mut old) = (core::mem::zeroed(), core::mem::zeroed());
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(how, &raw const set, &raw mut old);
        libc::sigismember(&raw const old, signal) == 1
    };
    if was_blocked { HOLD } else { before }
}

/// siginterrupt(3): changes the installed action inside the C library, and what `signal` will do.
#[cfg_attr(not(any(test, evshim_tsan)), unsafe(no_mangle))]
pub extern "C" fn siginterrupt(signal: c_int, on: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    let result = SIGINTERRUPT.get().map_or_else(|| refuse(Errno::ENOSYS), |next| unsafe { next(signal, on) });
    if result == 0 && on != 0 {
        INTERRUPTING.fetch_or(bit(signal), Relaxed);
    } else if result == 0 {
        INTERRUPTING.fetch_and(!bit(signal), Relaxed);
    }
    result
}
