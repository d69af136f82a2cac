//! `fstat` of a port (R13.3). For every other descriptor it is the next definition's.

use crate::host::below;
use crate::host::next::Next;
use crate::kqueue;
use crate::port::status;
use core::ffi::c_int;
use libc::stat;

type Fstat = unsafe extern "C" fn(c_int, *mut stat) -> c_int;

// SAFETY: the C library's signature.
static FSTAT: Next<Fstat> = unsafe { Next::new(c"fstat") };
// SAFETY: as above; the 64-bit form has the same layout on 64-bit systems.
static FSTAT64: Next<Fstat> = unsafe { Next::new(c"fstat64") };

/// The type of a port in st_mode; no permission bits.
const S_IFPORT: u32 = 0xE000;

/// # Safety
/// As fstat.
unsafe fn any_fstat(next: &Next<Fstat>, fd: c_int, buffer: *mut stat) -> c_int {
    let result = match next.get() {
        // SAFETY: the program's own arguments.
        Some(next) => unsafe { next(fd, buffer) },
        // SAFETY: as above: the C library before 2.33 has no such symbol, and its layout is the kernel's.
        None => unsafe {
            libc::syscall(libc::SYS_newfstatat, fd, c"".as_ptr(), buffer, libc::AT_EMPTY_PATH) as c_int
        },
    };
    if result == 0 && below::unchanged_errno(|| kqueue::check(fd)).is_ok() {
        // SAFETY: the call above filled it.
        unsafe { (*buffer).st_mode = libc::S_IFIFO }; // K-014
    }
    if result == 0
        && let Some(status) = below::unchanged_errno(|| status::of(fd))
    {
        // SAFETY: the call above filled it.
        let stat = unsafe { &mut *buffer };
        stat.st_mode = S_IFPORT;
        stat.st_size = status.queued.into();
        (stat.st_uid, stat.st_gid) = (status.user, status.group);
        (stat.st_atime, stat.st_mtime, stat.st_ctime) = (status.seconds, status.seconds, status.seconds);
        let nanoseconds = status.nanoseconds.into();
        (stat.st_atime_nsec, stat.st_mtime_nsec, stat.st_ctime_nsec) =
            (nanoseconds, nanoseconds, nanoseconds);
        (stat.st_ino, stat.st_blksize, stat.st_blocks) = (0, 0, 0);
    }
    result
}

/// fstat(2).
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fstat(fd: c_int, buffer: *mut stat) -> c_int {
    // SAFETY: passed on.
    unsafe { any_fstat(&FSTAT, fd, buffer) }
}

/// fstat(2) as programs with large-file support reference it.
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fstat64(fd: c_int, buffer: *mut stat) -> c_int {
    // SAFETY: passed on.
    unsafe { any_fstat(if FSTAT64.get().is_some() { &FSTAT64 } else { &FSTAT }, fd, buffer) }
}
