//! Streams and directories: the number inside is given up with them.

use super::{Fate, closing, refuse};
use crate::errno::Errno;
use crate::host::Masked;
use crate::host::below::unchanged_errno;
use crate::host::next::Next;
use crate::registry::{current, fork};
use core::ffi::{c_char, c_int};
use libc::{DIR, FILE};

// SAFETY: the C library's signature.
static FCLOSE: Next<unsafe extern "C" fn(*mut FILE) -> c_int> = unsafe { Next::new(c"fclose") };
// SAFETY: as above.
static FCLOSEALL: Next<unsafe extern "C" fn() -> c_int> = unsafe { Next::new(c"fcloseall") };
// SAFETY: as above.
static PCLOSE: Next<unsafe extern "C" fn(*mut FILE) -> c_int> = unsafe { Next::new(c"pclose") };
// SAFETY: as above.
static CLOSEDIR: Next<unsafe extern "C" fn(*mut DIR) -> c_int> = unsafe { Next::new(c"closedir") };
type Reopen = unsafe extern "C" fn(*const c_char, *const c_char, *mut FILE) -> *mut FILE;
// SAFETY: as above.
static FREOPEN: Next<Reopen> = unsafe { Next::new(c"freopen") };
// SAFETY: as above.
static FREOPEN64: Next<Reopen> = unsafe { Next::new(c"freopen64") };

#[cfg(not(test))]
pub(super) fn look_up() {
    FCLOSE.get();
    FCLOSEALL.get();
    PCLOSE.get();
    CLOSEDIR.get();
    FREOPEN.get();
    FREOPEN64.get();
}

/// The stream is about to give up its number. Nothing is asked of the stream while there is no registry.
///
/// # Safety
/// `stream` is an open stream.
unsafe fn closing_stream(stream: *mut FILE) {
    if current().is_some() && !stream.is_null() {
        // SAFETY: the caller's promise. A stream without number answers -1 and sets errno.
        let fd = unchanged_errno(|| unsafe { libc::fileno(stream) });
        closing(fd);
    }
}

/// fclose(3).
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    // SAFETY: the program's own argument.
    unsafe {
        closing_stream(stream);
        FCLOSE.get().map_or_else(|| refuse(Errno::ENOSYS), |next| next(stream))
    }
}

/// pclose(3).
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pclose(stream: *mut FILE) -> c_int {
    // SAFETY: the program's own argument.
    unsafe {
        closing_stream(stream);
        PCLOSE.get().map_or_else(|| refuse(Errno::ENOSYS), |next| next(stream))
    }
}

/// fcloseall(3). Which numbers it gives up is the C library's secret (glibc only flushes): those that are closed
/// afterwards are retired.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn fcloseall() -> c_int {
    // SAFETY: no arguments.
    let result = FCLOSEALL.get().map_or_else(|| refuse(Errno::ENOSYS), |next| unsafe { next() });
    if let Some(registry) = current() {
        unchanged_errno(|| {
            if fork::is_process() {
                registry.retire_closed(0, u32::MAX, &Masked::new());
            }
        });
    }
    result
}

/// closedir(3).
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn closedir(directory: *mut DIR) -> c_int {
    if current().is_some() && !directory.is_null() {
        // SAFETY: the program's own argument.
        let fd = unchanged_errno(|| unsafe { libc::dirfd(directory) });
        if closing(fd) == Fate::NotOpen {
            return refuse(Errno::EBADF);
        }
    }
    // SAFETY: as above.
    CLOSEDIR.get().map_or_else(|| refuse(Errno::ENOSYS), |next| unsafe { next(directory) })
}

/// # Safety
/// As freopen.
unsafe fn any_freopen(
    next: &Next<Reopen>,
    path: *const c_char,
    mode: *const c_char,
    stream: *mut FILE,
) -> *mut FILE {
    // SAFETY: the program's own arguments. "the original stream is closed" whether the new file opens or not.
    unsafe {
        closing_stream(stream);
        match next.get() {
            Some(next) => next(path, mode, stream),
            None => {
                refuse(Errno::ENOSYS);
                core::ptr::null_mut()
            }
        }
    }
}

/// freopen(3).
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn freopen(path: *const c_char, mode: *const c_char, stream: *mut FILE) -> *mut FILE {
    // SAFETY: passed on.
    unsafe { any_freopen(&FREOPEN, path, mode, stream) }
}

/// freopen(3) as programs with large-file support reference it.
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn freopen64(path: *const c_char, mode: *const c_char, stream: *mut FILE) -> *mut FILE {
    let next = if FREOPEN64.get().is_some() { &FREOPEN64 } else { &FREOPEN };
    // SAFETY: passed on.
    unsafe { any_freopen(next, path, mode, stream) }
}
