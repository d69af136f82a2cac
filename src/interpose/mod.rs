//! The host C library's functions through which a program gives up, copies or reuses a descriptor number.
//!
//! Each tells the registry what is about to happen and calls the next definition. For an uninvolved number that is
//! two loads and a jump: no lock, no allocation. What cannot be seen: closes inside the C library (they go by its
//! internal names) and raw system calls.
//!
//! A child of vfork shares this memory but not the descriptors: its closes are no business of the parent's. Only for
//! an involved number is that asked, by process number.
//!
//! `vfork` itself returns twice and cannot be wrapped; `posix_spawn` does its file actions inside the C library.

// The C library's names are exported and called here.
#![allow(unsafe_code)]

pub mod close;
pub mod dup;
mod kept;
pub mod poll;
pub mod process;
pub mod range;
pub mod receive;
pub mod set;
pub mod signal;
pub mod socket;
pub mod stdio;
pub mod transmit;

use crate::errno::Errno;
use crate::host::below::{self, unchanged_errno};
use crate::host::{Masked, RawFd};
use crate::registry::lifetime::Seen;
use crate::registry::record::KQUEUE;
use crate::registry::{Registry, current, fork};
use core::ffi::c_int;

/// What to do about a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Call the next definition.
    Forward,
    /// The number is a helper of the library's: for the program it is not open. EBADF.
    NotOpen,
}

/// The registry, if it has something to do with the number and the caller is the process that it is of.
#[inline]
fn involved(fd: RawFd) -> Option<&'static Registry> {
    let registry = current()?;
    registry.table.get(fd).filter(|entry| entry.involved())?;
    of_this_process(registry)
}

#[cold]
fn of_this_process(registry: &'static Registry) -> Option<&'static Registry> {
    unchanged_errno(fork::is_process).then_some(registry)
}

/// The program is about to give up a number.
#[inline]
fn closing(fd: RawFd) -> Fate {
    if kept::any() {
        kept::forget(fd);
    }
    match involved(fd) {
        None => Fate::Forward,
        Some(registry) => closing_involved(registry, fd),
    }
}

#[cold]
fn closing_involved(registry: &'static Registry, fd: RawFd) -> Fate {
    unchanged_errno(|| {
        let mask = Masked::new();
        let helper = registry.table.get(fd).is_some_and(|entry| entry.helper());
        if helper && registry.helper_is_ours(fd) {
            return Fate::NotOpen;
        }
        registry.retire(fd, Seen::Before, &mask);
        Fate::Forward
    })
}

/// The number was given up. An association by another thread may have come in between: if the number is not open
/// again, that was for the file that is gone.
fn closed(fd: RawFd) {
    if let Some(registry) = involved(fd) {
        unchanged_errno(|| registry.retire_closed(fd as u32, fd as u32, &Masked::new()));
    }
}

/// A number is taken by another file: whatever it was, helper or not, it is no more.
fn replacing(fd: RawFd, seen: Seen) {
    if seen == Seen::Before && kept::any() {
        kept::forget(fd);
    }
    if let Some(registry) = involved(fd) {
        unchanged_errno(|| registry.retire(fd, seen, &Masked::new()));
    }
}

/// A number is looked at from outside the library: an object behind it must show no more than its queue.
#[inline]
fn looked_at(registry: &'static Registry, fd: RawFd) {
    if registry.is_unexposed(fd) && of_this_process(registry).is_some() {
        unchanged_errno(|| registry.polled_from_outside(fd));
    }
    // What the kernel has for a kqueue may be less than a knote wants: that is known after a look.
    if registry.object_kind(fd) == Some(KQUEUE) && of_this_process(registry).is_some() {
        unchanged_errno(|| registry.look_all_over(fd, &Masked::new()));
    }
}

/// A read or write has failed: on a kqueue that is ENXIO (K-013), not the kernel's EINVAL.
#[cold]
fn no_such_device(fd: RawFd) {
    if below::errno() == libc::EINVAL && is_queue(fd) {
        below::set_errno(libc::ENXIO);
    }
}

/// Is the number a kqueue's?
fn is_queue(fd: RawFd) -> bool {
    current().and_then(|registry| registry.object_kind(fd)) == Some(KQUEUE)
}

/// `old` was duplicated to `new`.
fn duplicated(old: RawFd, new: RawFd) {
    crate::registry::kept::duplicated(old, new);
    if let Some(registry) = involved(old) {
        unchanged_errno(|| registry.adopt(old, new, &Masked::new()));
    }
}

fn refuse(error: Errno) -> c_int {
    below::set_errno(error.0);
    -1
}

/// Looks all next definitions up before `main`, and before a handler can need one.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_UP: extern "C" fn() = {
    extern "C" fn look_up() {
        unchanged_errno(|| {
            close::look_up();
            dup::look_up();
            range::look_up();
            stdio::look_up();
            process::look_up();
            poll::look_up();
            set::look_up();
            signal::look_up();
            socket::look_up();
            receive::look_up();
            transmit::look_up();
        });
    }
    look_up
};
