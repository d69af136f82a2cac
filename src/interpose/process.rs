//! Calls that make a process or give it a terminal.

use super::{refuse, replacing};
use crate::errno::Errno;
use crate::host::next::Next;
use crate::registry::fork as fork_word;
use crate::registry::lifetime::Seen;
use core::ffi::c_int;

// SAFETY: the C library's signature.
static FORK: Next<unsafe extern "C" fn() -> c_int> = unsafe { Next::new(c"fork") };
// SAFETY: as above.
static BARE_FORK: Next<unsafe extern "C" fn() -> c_int> = unsafe { Next::new(c"_Fork") };
// SAFETY: as above.
static DAEMON: Next<unsafe extern "C" fn(c_int, c_int) -> c_int> = unsafe { Next::new(c"daemon") };
// SAFETY: as above.
static LOGIN_TTY: Next<unsafe extern "C" fn(c_int) -> c_int> = unsafe { Next::new(c"login_tty") };

#[cfg(not(test))]
pub(super) fn look_up() {
    FORK.get();
    BARE_FORK.get();
    DAEMON.get();
    LOGIN_TTY.get();
}

fn any_fork(next: &Next<unsafe extern "C" fn() -> c_int>) -> c_int {
    // SAFETY: no arguments.
    let child = next.get().map_or_else(|| refuse(Errno::ENOSYS), |next| unsafe { next() });
    if child == 0 {
        fork_word::in_child();
    }
    child
}

/// fork(2). The child starts without a registry; the page that says so is wiped by the kernel, and here where the
/// kernel cannot.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn fork() -> c_int {
    any_fork(&FORK)
}

/// _Fork(3), fork without handlers.
#[cfg_attr(not(test), unsafe(export_name = "_Fork"))]
pub extern "C" fn bare_fork() -> c_int {
    any_fork(if BARE_FORK.get().is_some() { &BARE_FORK } else { &FORK })
}

/// daemon(3). It returns in a child, whose descriptors 0 to 2 nobody has associated yet.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn daemon(nochdir: c_int, noclose: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    let result = DAEMON.get().map_or_else(|| refuse(Errno::ENOSYS), |next| unsafe { next(nochdir, noclose) });
    if result == 0 {
        fork_word::in_child();
    }
    result
}

/// login_tty(3): the terminal becomes descriptors 0 to 2, and its own number is closed. Whether it will succeed is
/// known only afterwards.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn login_tty(fd: c_int) -> c_int {
    // SAFETY: the program's own argument.
    let result = LOGIN_TTY.get().map_or_else(|| refuse(Errno::ENOSYS), |next| unsafe { next(fd) });
    if result == 0 {
        for number in [0, 1, 2, fd].into_iter().filter(|&n| n != fd || n > 2) {
            replacing(number, Seen::After);
        }
    }
    result
}
