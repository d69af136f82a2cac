//! Calls that poll descriptors. A port that is looked at from outside must show exactly its queue (R13.1); one that
//! nobody looks at may keep registrations that spare system calls. So a port is told when it is polled.

use super::looked_at;
use crate::host::RawFd;
use crate::host::next::Next;
use crate::registry::{Registry, current};
use core::ffi::{c_int, c_long, c_ulong, c_void};

type Poll = unsafe extern "C" fn(*mut libc::pollfd, c_ulong, c_int) -> c_int;
type PollChecked = unsafe extern "C" fn(*mut libc::pollfd, c_ulong, c_int, usize) -> c_int;
type Ppoll = unsafe extern "C" fn(*mut libc::pollfd, c_ulong, *const c_void, *const c_void) -> c_int;
type PpollChecked =
    unsafe extern "C" fn(*mut libc::pollfd, c_ulong, *const c_void, *const c_void, usize) -> c_int;
type Select = unsafe extern "C" fn(c_int, *mut c_void, *mut c_void, *mut c_void, *mut c_void) -> c_int;
type Pselect =
    unsafe extern "C" fn(c_int, *mut c_void, *mut c_void, *mut c_void, *const c_void, *const c_void) -> c_int;

// SAFETY: the C library's signature.
static POLL: Next<Poll> = unsafe { Next::new(c"poll") };
// SAFETY: as above.
static POLL_CHECKED: Next<PollChecked> = unsafe { Next::new(c"__poll_chk") };
// SAFETY: as above.
static PPOLL: Next<Ppoll> = unsafe { Next::new(c"ppoll") };
// SAFETY: as above.
static PPOLL_CHECKED: Next<PpollChecked> = unsafe { Next::new(c"__ppoll_chk") };
// SAFETY: as above.
static SELECT: Next<Select> = unsafe { Next::new(c"select") };
// SAFETY: as above.
static PSELECT: Next<Pselect> = unsafe { Next::new(c"pselect") };

#[cfg(not(test))]
pub(super) fn look_up() {
    POLL.get();
    POLL_CHECKED.get();
    PPOLL.get();
    PPOLL_CHECKED.get();
    SELECT.get();
    PSELECT.get();
}

/// The registry, if there are objects that somebody could poll.
#[inline]
fn with_objects() -> Option<&'static Registry> {
    current().filter(|registry| registry.arena.has_objects())
}

/// # Safety
/// `list` has `count` entries.
#[inline]
unsafe fn polled(list: *const libc::pollfd, count: c_ulong) {
    let Some(registry) = with_objects() else { return };
    if !list.is_null() {
        for index in 0..count as usize {
            // SAFETY: the caller's promise.
            looked_at(registry, unsafe { (&raw const (*list.add(index)).fd).read_unaligned() });
        }
    }
}

/// # Safety
/// Each set is null or has `count` bits.
#[inline]
unsafe fn selected(count: c_int, sets: [*const c_void; 3]) {
    const BITS: usize = c_long::BITS as usize;
    let Some(registry) = with_objects() else { return };
    for set in sets.into_iter().filter(|set| !set.is_null()) {
        for word in 0..usize::try_from(count).unwrap_or(0).div_ceil(BITS) {
            // SAFETY: the caller's promise; a set is an array of words.
            let mut bits = unsafe { set.cast::<c_ulong>().add(word).read_unaligned() };
            while bits != 0 {
                looked_at(registry, (word * BITS) as RawFd + bits.trailing_zeros() as RawFd);
                bits &= bits - 1;
            }
        }
    }
}

/// poll(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn poll(list: *mut libc::pollfd, count: c_ulong, timeout: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        polled(list, count);
        match POLL.get() {
            Some(next) => next(list, count, timeout),
            None => {
                let (seconds, rest) = (timeout / 1000, timeout % 1000 * 1_000_000);
                let time = libc::timespec { tv_sec: seconds.into(), tv_nsec: rest.into() };
                let time = if timeout < 0 { core::ptr::null() } else { &raw const time };
                libc::syscall(libc::SYS_ppoll, list, count, time, core::ptr::null::<u64>(), 8usize) as c_int
            }
        }
    }
}

/// poll(2) of fortified programs.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(export_name = "__poll_chk"))]
pub unsafe extern "C" fn poll_checked(
    list: *mut libc::pollfd,
    count: c_ulong,
    timeout: c_int,
    room: usize,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        match POLL_CHECKED.get() {
            Some(next) => {
                polled(list, count);
                next(list, count, timeout, room)
            }
            None => poll(list, count, timeout),
        }
    }
}

/// ppoll(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ppoll(
    list: *mut libc::pollfd,
    count: c_ulong,
    timeout: *const c_void,
    mask: *const c_void,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        polled(list, count);
        match PPOLL.get() {
            Some(next) => next(list, count, timeout, mask),
            None => libc::syscall(libc::SYS_ppoll, list, count, timeout, mask, 8usize) as c_int,
        }
    }
}

/// ppoll(2) of fortified programs.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(export_name = "__ppoll_chk"))]
pub unsafe extern "C" fn ppoll_checked(
    list: *mut libc::pollfd,
    count: c_ulong,
    timeout: *const c_void,
    mask: *const c_void,
    room: usize,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        match PPOLL_CHECKED.get() {
            Some(next) => {
                polled(list, count);
                next(list, count, timeout, mask, room)
            }
            None => ppoll(list, count, timeout, mask),
        }
    }
}

/// select(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn select(
    count: c_int,
    read: *mut c_void,
    write: *mut c_void,
    except: *mut c_void,
    timeout: *mut c_void,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        selected(count, [read, write, except]);
        match SELECT.get() {
            Some(next) => next(count, read, write, except, timeout),
            None => super::refuse(crate::errno::Errno::ENOSYS),
        }
    }
}

/// pselect(2).
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pselect(
    count: c_int,
    read: *mut c_void,
    write: *mut c_void,
    except: *mut c_void,
    timeout: *const c_void,
    mask: *const c_void,
) -> c_int {
    // SAFETY: the program's own arguments.
    unsafe {
        selected(count, [read, write, except]);
        match PSELECT.get() {
            Some(next) => next(count, read, write, except, timeout, mask),
            None => super::refuse(crate::errno::Errno::ENOSYS),
        }
    }
}
