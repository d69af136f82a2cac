//! `sigaction` without a C library behind us: static executables have no next definition.

use super::below::check;
use super::handlers::{Action, action, first_word};
use crate::errno::Result;
use core::ffi::{c_int, c_ulong};

/// The kernel's structure.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: c_ulong,
    restorer: usize,
    mask: u64,
}

const SA_RESTORER: c_ulong = 0x0400_0000;

// x86-64 has no default: the code that a handler returns to, in the form that debuggers and unwinders recognise.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".hidden evshim_restore_rt",
    ".globl evshim_restore_rt",
    ".type evshim_restore_rt, @function",
    "evshim_restore_rt:",
    "mov rax, 15",
    "syscall",
    ".size evshim_restore_rt, . - evshim_restore_rt",
);

#[cfg(target_arch = "x86_64")]
fn restorer() -> usize {
    unsafe extern "C" {
        fn evshim_restore_rt();
    }
    evshim_restore_rt as *const () as usize
}

#[cfg(not(target_arch = "x86_64"))]
fn restorer() -> usize {
    0 // the kernel has one
}

/// The system call.
///
/// # Safety
/// `new` is null or an action, `old` has room for one.
pub(super) unsafe fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> Result<()> {
    // SAFETY: the caller's promise.
    let new = unsafe { new.as_ref() };
    let wanted = new.map(|new| {
        let restorer = restorer();
        let flag = if restorer == 0 { 0 } else { SA_RESTORER };
        let mask = first_word(&new.sa_mask);
        KernelAction { handler: new.sa_sigaction, flags: new.sa_flags as c_ulong | flag, restorer, mask }
    });
    let given = wanted.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let mut before = KernelAction::default();
    // SAFETY: both structures are the kernel's and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, given, &raw mut before, 8) })?;
    // SAFETY: the caller's promise.
    unsafe { old.write(action(before.handler, (before.flags & !SA_RESTORER) as c_int, before.mask)) };
    Ok(())
}
