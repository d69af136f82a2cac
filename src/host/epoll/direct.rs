//! System calls of the hot path, made without the C library: nothing has to be kept of its `errno`.

use crate::errno::{Errno, Result};

/// A system call with up to five arguments.
///
/// # Safety
/// As the call's.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
pub unsafe fn call(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> Result<usize> {
    let result: isize;
    // SAFETY: the kernel's convention: these registers and nothing else; what it does to memory is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    if result < 0 { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// The same where the C library has to do.
///
/// # Safety
/// As above.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
#[inline]
pub unsafe fn call(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> Result<usize> {
    // SAFETY: passed on.
    super::below::check(unsafe { libc::syscall(number, a, b, c, d, e) }).map(|n| n as usize)
}
