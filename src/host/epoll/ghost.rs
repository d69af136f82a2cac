//! Registrations whose number does not name their file any more.
//!
//! epoll knows a registration by file *and* number, and a file closed by a raw system call lives on in a duplicate: the
//! registration fires, and no control call reaches it. But a process with a descriptor table of its own can name that
//! file once more under the old number. So a child is made that shares the memory and copies the table, as vfork
//! would; it puts a surviving duplicate at the old number and deletes the registration. Nobody sees anything of it: it
//! has no exit signal, and no descriptor of the program's changes. The child does all that needs a free number, too: it
//! makes one by closing its copy of the bell.

use super::super::RawFd;
use super::below::{self, check};
use super::proc;
use core::ffi::{c_int, c_void};

/// What /proc/self/fdinfo tells of a registration.
#[derive(Clone, Copy, Default)]
struct Registration {
    number: RawFd,
    inode: u64,
    /// Registrations under that number.
    of_number: u32,
}

/// Survivors that are tried: duplicates of one file, and what shares its inode.
const MOST: usize = 64;

/// What the child does.
struct Errand {
    set: RawFd,
    data: u64,
    /// A number that the child can do without.
    spare: RawFd,
}

/// Descriptors that may be of a ghost's file.
struct Survivors {
    numbers: [RawFd; MOST],
    count: usize,
}

/// Cuts the registration with this cookie out of a living set. False if it is still there: no descriptor of its file is
/// left in this process. All signals are blocked.
pub(super) fn cut(set: RawFd, data: u64, spare: RawFd) -> bool {
    send_out(&Errand { set, data, spare }).unwrap_or_else(|| matches!(find(set, data), Some(None)))
}

/// In the child.
fn cut_here(set: RawFd, data: u64) -> bool {
    let ghost = match find(set, data) {
        Some(Some(ghost)) => ghost,
        Some(None) => return true, // gone by itself
        None => return false,
    };
    let registrations = super::EpollSet(set);
    let delete = |set: super::EpollSet| set.control(libc::EPOLL_CTL_DEL, ghost.number, 0, 0).is_ok();
    if ghost.of_number == 1 && delete(registrations) {
        return true; // the number names that file again
    }
    let survivors = survivors_of(&ghost);
    // The old number may be the set's own by now.
    // SAFETY: no pointers.
    let moved = unsafe { libc::syscall(libc::SYS_fcntl, set, libc::F_DUPFD, ghost.number + 1) };
    let registrations = if moved < 0 { registrations } else { super::EpollSet(moved as RawFd) };
    for &survivor in survivors.numbers.iter().take(survivors.count) {
        // SAFETY: plain numbers in a table of our own.
        let put = check(unsafe { libc::syscall(libc::SYS_dup3, survivor, ghost.number, 0) });
        if put.is_ok() && delete(registrations) {
            break;
        }
    }
    matches!(find(registrations.0, data), Some(None))
}

fn survivors_of(ghost: &Registration) -> Survivors {
    let mut survivors = Survivors { numbers: [0; MOST], count: 0 };
    proc::each_descriptor(|fd| {
        let same_inode = below::identity(fd).is_ok_and(|file| file.inode == ghost.inode);
        // Another file with that inode may be at the old number rightly, and be registered itself.
        if same_inode
            && fd != ghost.number
            && !below::is_same_file(fd, ghost.number)
            && let Some(place) = survivors.numbers.get_mut(survivors.count)
        {
            *place = fd;
            survivors.count += 1;
        }
    });
    survivors
}

/// Finds a registration by its cookie: lines `tfd: N events: X data: X pos:N ino:X sdev:X`. `None`: /proc does not tell.
fn find(set: RawFd, data: u64) -> Option<Option<Registration>> {
    let mut found = None;
    let told = proc::each_line_of_fdinfo(set, |line| {
        if let Some((number, cookie, inode)) = parse(line)
            && cookie == data
        {
            found = Some(Registration { number, inode, of_number: 0 });
        }
    });
    let Some(mut found) = found else { return told.then_some(None) };
    proc::each_line_of_fdinfo(set, |line| {
        found.of_number += u32::from(parse(line).is_some_and(|(number, ..)| number == found.number));
    });
    Some(Some(found))
}

fn parse(line: &str) -> Option<(RawFd, u64, u64)> {
    let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let cookie = u64::from_str_radix(words.nth(3)?, 16).ok()?;
    let inode = words.find_map(|word| u64::from_str_radix(word.strip_prefix("ino:")?, 16).ok())?;
    Some((number, cookie, inode))
}

/// Does the child say that it is done? By its status, for under emulators it may have a memory of its own. `None`: somebody
/// else has waited for it.
fn send_out(errand: &Errand) -> Option<bool> {
    const STACK: usize = 32 << 10;
    let stack = below::map(STACK);
    if stack.is_null() {
        return Some(false);
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    let argument = core::ptr::from_ref(errand).cast_mut().cast::<c_void>();
    // SAFETY: the stack is fresh and grows down from its end; the errand outlives the child, for which the kernel
    // makes this thread wait (CLONE_VFORK). All signals are blocked here and so there.
    let child = unsafe { libc::clone(run, stack.add(STACK).cast(), flags, argument) };
    let mut status: c_int = -1;
    let none: *mut c_int = core::ptr::null_mut();
    // SAFETY: the status outlives the call. Without an exit signal only __WALL finds the child.
    let mut wait = || unsafe { libc::syscall(libc::SYS_wait4, child, &raw mut status, libc::__WALL, none) };
    let told = if child > 0 { check(wait()).is_ok() } else { true };
    // SAFETY: mapped above, and the child is gone.
    unsafe { below::unmap(stack, STACK) };
    told.then(|| libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
}

/// In the child, whose descriptor table is a copy.
extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: the errand of `send_out`.
    let errand = unsafe { &*argument.cast::<Errand>() };
    below::close(errand.spare);
    let status = if cut_here(errand.set, errand.data) { 0 } else { 1 };
    // SAFETY: ends this process without running anything of the program's.
    unsafe { libc::syscall(libc::SYS_exit, status) };
    0
}
