//! Duplicates. A number that a duplicate lands on is given up; a duplicate of a port is the port (R13.5).
//!
//! Calls that close nothing purge nothing: `dup2(fd, fd)`, `dup2(-1, fd)`, `dup3(fd, fd)`. So before an involved
//! number is retired it is made sure that the call will succeed.

use super::{duplicated, involved, replacing};
use crate::host::below::{self, unchanged_errno};
use crate::host::next::Next;
use crate::registry::lifetime::Seen;
use core::ffi::{c_int, c_long};

// SAFETY: the C library's signature.
static DUP: Next<unsafe extern "C" fn(c_int) -> c_int> = unsafe { Next::new(c"dup") };
// SAFETY: as above.
static DUP2: Next<unsafe extern "C" fn(c_int, c_int) -> c_int> = unsafe { Next::new(c"dup2") };
// SAFETY: as above.
static DUP3: Next<unsafe extern "C" fn(c_int, c_int, c_int) -> c_int> = unsafe { Next::new(c"dup3") };
type Fcntl = unsafe extern "C" fn(c_int, c_int, ...) -> c_int;
// SAFETY: as above.
static FCNTL: Next<Fcntl> = unsafe { Next::new(c"fcntl") };
// SAFETY: as above.
static FCNTL64: Next<Fcntl> = unsafe { Next::new(c"fcntl64") };

#[cfg(not(test))]
pub(super) fn look_up() {
    DUP.get();
    DUP2.get();
    DUP3.get();
    FCNTL.get();
    FCNTL64.get();
}

/// A new number was made for the file of `old`. If the registry knew that number, its close went unseen.
fn made(old: c_int, new: c_int) -> c_int {
    if new >= 0 {
        replacing(new, Seen::After);
        duplicated(old, new);
    }
    new
}

/// Will a dup2 from `old` to `new` close `new`?
fn will_replace(old: c_int, new: c_int) -> bool {
    old != new && unchanged_errno(|| below::is_open(old) && (new as u64) < below::descriptor_limit())
}

/// dup(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn dup(old: c_int) -> c_int {
    let new = match DUP.get() {
        // SAFETY: the program's own argument.
        Some(next) => unsafe { next(old) },
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_dup, old) as c_int },
    };
    made(old, new)
}

/// dup2(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    if involved(new).is_some() && will_replace(old, new) {
        replacing(new, Seen::Before);
    }
    let result = match DUP2.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(old, new) },
        None if old == new => fcntl(old, libc::F_GETFD, 0).min(0).wrapping_add(new).max(-1),
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_dup3, old, new, 0) as c_int },
    };
    if result >= 0 && old != new {
        duplicated(old, new);
    }
    result
}

/// dup3(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    if involved(new).is_some() && flags & !libc::O_CLOEXEC == 0 && will_replace(old, new) {
        replacing(new, Seen::Before);
    }
    let result = match DUP3.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(old, new, flags) },
        // SAFETY: no pointers.
        None => unsafe { libc::syscall(libc::SYS_dup3, old, new, flags) as c_int },
    };
    if result >= 0 {
        duplicated(old, new);
    }
    result
}

/// One argument of whatever type is passed on as a word: on the systems of this host, variadic and named integer
/// and pointer arguments travel the same way.
fn any_fcntl(next: &Next<Fcntl>, fd: c_int, command: c_int, argument: c_long) -> c_int {
    let result = match next.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, command, argument) },
        // SAFETY: as above.
        None => unsafe { libc::syscall(libc::SYS_fcntl, fd, command, argument) as c_int },
    };
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => made(fd, result),
        _ => result,
    }
}

/// fcntl(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int {
    any_fcntl(&FCNTL, fd, command, argument)
}

/// fcntl(2) as programs with large-file support reference it.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn fcntl64(fd: c_int, command: c_int, argument: c_long) -> c_int {
    any_fcntl(if FCNTL64.get().is_some() { &FCNTL64 } else { &FCNTL }, fd, command, argument)
}
