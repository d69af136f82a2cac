//! Raw system calls: what the library does below its own interposers.
//!
//! A library that exports `close` and `dup` would enter itself through the C library's names. Every call here goes
//! to the kernel by number instead. The functions are async-signal-safe and allocate nothing. They may change
//! `errno`; the wall puts it back.

use super::super::{Clock, RawFd};
use crate::errno::{Errno, Result};
use core::sync::atomic::AtomicU32;

/// −1 and `errno` become an error.
pub(super) fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result == -1 { Err(Errno(errno())) } else { Ok(result) }
}

/// The calling thread's `errno`.
pub fn errno() -> i32 {
    // SAFETY: the location is the calling thread's own and always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's `errno`.
pub fn set_errno(value: i32) {
    // SAFETY: as in `errno`.
    unsafe { *libc::__errno_location() = value }
}

/// Runs work beside the program's own call, whose `errno` it must see.
pub fn unchanged_errno<T>(work: impl FnOnce() -> T) -> T {
    let before = errno();
    let result = work();
    set_errno(before);
    result
}

/// Closes a descriptor of the library's own.
pub fn close(fd: RawFd) {
    // SAFETY: no pointers; the callers pass helpers that they made or proved to be theirs.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Is the number an open descriptor?
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFD) != -1 }
}

/// Are both numbers open, and name one open file?
pub fn is_same_file(one: RawFd, other: RawFd) -> bool {
    const KCMP_FILE: i32 = 0;
    let me = process();
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_kcmp, me, me, KCMP_FILE, one, other) == 0 }
}

/// The soft limit of descriptor numbers.
pub fn descriptor_limit() -> u64 {
    let mut limit = [0u64; 2];
    let none: *const u64 = core::ptr::null();
    // SAFETY: `limit` has the layout of rlimit64 and outlives the call.
    let got = unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, none, limit.as_mut_ptr()) };
    if got == 0 { limit[0] } else { 1024 }
}

/// An unconnected datagram socket, close-on-exec.
fn datagram_socket() -> Result<RawFd> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })
        .map(|fd| fd as RawFd)
}

/// A file that is always writable and never anything else, with an inode of its own, close-on-exec: a pipe opened for
/// both directions. The kernel asks it faster than a socket, which serves where there is no /proc.
pub(super) fn always_ready() -> Result<RawFd> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` outlives the call.
    check(unsafe { libc::syscall(libc::SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    let both = super::proc::open_again(ends[1]);
    ends.into_iter().for_each(close);
    both.map_or_else(datagram_socket, Ok)
}

/// A close-on-exec epoll set for one sleeper, at a helper's number.
pub fn sleepers_set() -> Result<RawFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_epoll_create1, libc::EPOLL_CLOEXEC) })? as RawFd;
    Ok(move_up(fd))
}

/// Puts a file at a number that is in use; whether it is closed on exec stays as it was.
pub fn put_at(file: RawFd, number: RawFd) {
    // SAFETY: no pointers.
    unsafe {
        let flags = libc::syscall(libc::SYS_fcntl, number, libc::F_GETFD);
        let flags = if flags & libc::c_long::from(libc::FD_CLOEXEC) != 0 { libc::O_CLOEXEC } else { 0 };
        libc::syscall(libc::SYS_dup3, file, number, flags);
    }
}

/// Moves a new helper out of the program's way: to the first free number from min(1024, soft limit − 16). (A very
/// high number would double the price of every fork.) It stays where it is if nothing is free there.
pub fn move_up(fd: RawFd) -> RawFd {
    let floor = descriptor_limit().saturating_sub(16).min(1024);
    // SAFETY: no pointers.
    match check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, floor) }) {
        Ok(high) => {
            close(fd);
            high as RawFd
        }
        Err(_) => fd,
    }
}

/// Which file a descriptor names. Sockets have inodes of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// Device of the file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// The identity of an open file; EBADF.
pub fn identity(fd: RawFd) -> Result<Identity> {
    let stat = stat(fd, libc::STATX_INO)?;
    let device = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
    Ok(Identity { device, inode: stat.stx_ino })
}

/// The wanted fields (`STATX_…`) of what the kernel knows of an open file; EBADF.
pub(super) fn stat(fd: RawFd, want: libc::c_uint) -> Result<libc::statx> {
    // SAFETY: all-zero is a valid statx.
    let mut stat: libc::statx = unsafe { core::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: the path is a C string, `stat` outlives the call.
    check(unsafe { libc::syscall(libc::SYS_statx, fd, c"".as_ptr(), flags, want, &raw mut stat) })?;
    Ok(stat)
}

/// The poll bits of `want` that are up now, and hang-up and error. EBADF if the number is not open.
pub fn sample(fd: RawFd, want: u32) -> Result<u32> {
    let mut entry = libc::pollfd { fd, events: want as i16, revents: 0 };
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let none: *const u64 = core::ptr::null();
    // SAFETY: `entry` and `zero` outlive the call.
    check(unsafe { libc::syscall(libc::SYS_ppoll, &raw mut entry, 1, &raw const zero, none, 8) })?;
    let up = entry.revents as u16 as u32;
    if up & libc::POLLNVAL as u32 != 0 { Err(Errno::EBADF) } else { Ok(up) }
}

/// The monotonic clock in nanoseconds (R7.11, Q16: not the wall clock).
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call; the C library reads the clock without a lock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A clock in nanoseconds.
pub fn clock(clock: Clock) -> u64 {
    match clock {
        Clock::Monotonic => now(),
        Clock::Wall => {
            let (seconds, nanoseconds) = wall_clock();
            seconds as u64 * 1_000_000_000 + nanoseconds as u64
        }
    }
}

/// The monotonic clock in milliseconds, wrapping, as of the system's last tick: for next to nothing.
pub fn coarse_ms() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as in `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    (time.tv_sec as u32).wrapping_mul(1_000).wrapping_add(time.tv_nsec as u32 / 1_000_000)
}

/// The wall clock: seconds and nanoseconds.
pub fn wall_clock() -> (i64, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as in `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    (time.tv_sec as i64, time.tv_nsec as i64)
}

/// The process. Not the C library's: a child of vfork must see its own.
pub fn process() -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// The calling thread.
pub fn thread() -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// The same, remembered: `key` is something that no two processes with this memory have in common.
pub fn thread_of(key: u32) -> i32 {
    thread_local! {
        static KNOWN: core::cell::Cell<(u32, i32)> = const { core::cell::Cell::new((0, 0)) };
    }
    KNOWN.with(|known| {
        if known.get().0 != key {
            known.set((key, thread()));
        }
        known.get().1
    })
}

/// Effective user and group.
pub fn credentials() -> (u32, u32) {
    // SAFETY: no pointers.
    unsafe { (libc::syscall(libc::SYS_geteuid) as u32, libc::syscall(libc::SYS_getegid) as u32) }
}

/// Sleeps while `word` is `value`, for `ns` at most. Not for waits that a signal must end.
pub fn futex_wait(word: &AtomicU32, value: u32, ns: Option<u64>) {
    let time =
        ns.map(|ns| libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ });
    let time = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word and the time outlive the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, time) };
}

/// Wakes `count` sleepers of `word`.
pub fn futex_wake(word: &AtomicU32, count: i32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is only an address here.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, count) };
}

/// Zeroed memory of the process. Pages come when they are touched. Null if there is none.
pub fn map(length: usize) -> *mut u8 {
    new_mapping(length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE)
}

/// A range of addresses for memory that survives a fork as one memory. Nothing of it is accessible until it is
/// opened. Null if there is no room.
pub fn reserve(length: usize) -> *mut u8 {
    new_mapping(length, libc::PROT_NONE, libc::MAP_SHARED)
}

fn new_mapping(length: usize, access: i32, sharing: i32) -> *mut u8 {
    let flags = sharing | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let base = unsafe { libc::mmap(core::ptr::null_mut(), length, access, flags, -1, 0) };
    if base == libc::MAP_FAILED { core::ptr::null_mut() } else { base.cast() }
}

/// Opens a part of a reserved range from one of its pages on; false if the system refuses. Async-signal-safe.
///
/// # Safety
/// The range was given by [`reserve`].
pub unsafe fn open(base: *mut u8, length: usize) -> bool {
    // SAFETY: the caller's promise; access is only added.
    unsafe { libc::mprotect(base.cast(), length, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Gives a mapping back.
///
/// # Safety
/// `base` and `length` are those of a mapping from [`map`] that nothing refers to.
pub unsafe fn unmap(base: *mut u8, length: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(base.cast(), length) };
}

/// Spares forked children a mapping that they have no use for, and the fork the time to copy it.
pub fn not_for_children(base: *mut u8, length: usize) {
    // SAFETY: advice on a mapping of ours; only children lack it.
    unsafe { libc::madvise(base.cast(), length, libc::MADV_DONTFORK) };
}

/// Makes the kernel hand zeroes to every forked child in place of this mapping. False where it cannot.
pub fn wipe_on_fork(base: *mut u8, length: usize) -> bool {
    // SAFETY: advice on a mapping of ours; the contents change in children only.
    unsafe { libc::madvise(base.cast(), length, libc::MADV_WIPEONFORK) == 0 }
}

/// A whole number from the environment.
pub fn environment_number(name: &core::ffi::CStr) -> Option<u32> {
    environment(name)?.to_str().ok()?.trim().parse().ok()
}

/// A value from the environment.
pub fn environment(name: &core::ffi::CStr) -> Option<&'static core::ffi::CStr> {
    // SAFETY: the name is a C string. The value may be changed by a later setenv; it is read at once by callers.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv gives a C string.
    Some(unsafe { core::ffi::CStr::from_ptr(value) })
}
