//! What /proc tells of this process: rare questions, asked without the C library and without allocating.

use super::super::RawFd;
use super::below::{self, check};

/// Where a thread is that went to sleep in [`super::Wakes`] and has not reported back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    /// It blocks every signal: on its way into the wait or out of it.
    HandlersBlocked,
    /// It sleeps in the wait on that set.
    InWait,
    /// It runs: on its way out of the wait inside the kernel, or in code of the program's.
    Running,
    /// It is in another system call, or there is no such thread, or the host does not tell.
    Elsewhere,
}

/// Looks where a thread of this process is that went to sleep on `set`.
#[inline(never)] // its buffer must not grow the stack of those who call it on a rare path only
pub fn whereabouts(thread: i32, set: RawFd) -> Whereabouts {
    const ALL: u64 = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
    let mut text = [0u8; 2048];
    match blocked_signals(read_of_thread(thread, b"/status\0", &mut text)) {
        Some(ALL) => return Whereabouts::HandlersBlocked,
        Some(_) => {}
        None => return Whereabouts::Elsewhere,
    }
    // "running", or the number of the system call and its arguments, or -1 in other kernel code.
    let call = core::str::from_utf8(read_of_thread(thread, b"/syscall\0", &mut text)).unwrap_or_default();
    let mut words = call.split_ascii_whitespace();
    let number = words.next().map(str::parse::<libc::c_long>);
    let argument = words.next().and_then(|word| RawFd::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    match number {
        Some(Ok(libc::SYS_epoll_pwait2 | libc::SYS_epoll_pwait)) if argument == Some(set) => {
            Whereabouts::InWait
        }
        Some(Ok(_)) => Whereabouts::Elsewhere,
        _ => Whereabouts::Running,
    }
}

fn blocked_signals(status: &[u8]) -> Option<u64> {
    let label = b"\nSigBlk:\t";
    let at = status.windows(label.len()).position(|w| w == label)? + label.len();
    u64::from_str_radix(core::str::from_utf8(status.get(at..at + 16)?).ok()?, 16).ok()
}

/// Reads a file of /proc/self/task/THREAD; empty if there is none.
fn read_of_thread<'t>(thread: i32, file: &[u8], text: &'t mut [u8; 2048]) -> &'t [u8] {
    let Some(fd) = open(b"/proc/self/task/", thread, file) else { return &[] };
    let got = read(fd, text);
    below::close(fd);
    text.get(..got).unwrap_or_default()
}

/// Opens the file behind a descriptor once more, for reading and writing.
pub(super) fn open_again(fd: RawFd) -> Option<RawFd> {
    open_for(b"/proc/self/fd/", fd, b"\0", libc::O_RDWR | libc::O_NONBLOCK)
}

/// The name of a descriptor of this process, a C string.
pub(super) fn path_of(fd: RawFd, path: &mut [u8]) -> bool {
    concatenate([b"/proc/self/fd/", decimal(fd, &mut [0; 12]), b"\0"], path)
}

fn open(prefix: &[u8], number: i32, suffix: &[u8]) -> Option<RawFd> {
    open_for(prefix, number, suffix, libc::O_RDONLY)
}

/// Opens PREFIX NUMBER SUFFIX; the suffix ends the C string.
fn open_for(prefix: &[u8], number: i32, suffix: &[u8], access: i32) -> Option<RawFd> {
    let mut path = [0u8; 48];
    if !concatenate([prefix, decimal(number, &mut [0; 12]), suffix], &mut path) {
        return None;
    }
    let flags = access | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    check(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0) })
        .ok()
        .map(|fd| fd as RawFd)
}

fn read(fd: RawFd, text: &mut [u8]) -> usize {
    // SAFETY: `text` outlives the call and has that room.
    let got = unsafe { libc::syscall(libc::SYS_read, fd, text.as_mut_ptr(), text.len()) };
    usize::try_from(got).unwrap_or(0)
}

/// Shows each line of /proc/self/fdinfo/FD; false if it cannot be read.
#[inline(never)]
pub fn each_line_of_fdinfo(fd: RawFd, mut show: impl FnMut(&str)) -> bool {
    let Some(file) = open(b"/proc/self/fdinfo/", fd, b"\0") else { return false };
    let mut text = [0u8; 4096];
    let mut kept = 0;
    loop {
        let got = read(file, text.get_mut(kept..).unwrap_or_default());
        let filled = kept + got;
        let whole = text.get(..filled).unwrap_or_default();
        let end = whole.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for line in whole.get(..end).unwrap_or_default().split(|&byte| byte == b'\n') {
            show(core::str::from_utf8(line).unwrap_or_default());
        }
        if got == 0 {
            break;
        }
        text.copy_within(end..filled, 0);
        kept = filled - end;
    }
    below::close(file);
    true
}

/// Shows each open descriptor of the process, by /proc/self/fd.
#[inline(never)]
pub fn each_descriptor(mut show: impl FnMut(RawFd)) {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    let opened =
        unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"/proc/self/fd".as_ptr(), flags, 0) };
    let Ok(directory) = RawFd::try_from(opened) else { return };
    if directory < 0 {
        return;
    }
    let mut entries = [0u64; 512];
    loop {
        let size = size_of_val(&entries);
        // SAFETY: `entries` outlives the call and has that room.
        let got = unsafe { libc::syscall(libc::SYS_getdents64, directory, entries.as_mut_ptr(), size) };
        if got <= 0 {
            break;
        }
        // SAFETY: the kernel filled that many bytes.
        let bytes = unsafe { core::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), got as usize) };
        each_name(bytes, |name| {
            if let Some(fd) = core::str::from_utf8(name).ok().and_then(|name| name.parse().ok())
                && fd != directory
            {
                show(fd);
            }
        });
    }
    below::close(directory);
}

/// The names in a buffer of `struct linux_dirent64`: inode 8, offset 8, length 2, type 1, name.
fn each_name(mut bytes: &[u8], mut show: impl FnMut(&[u8])) {
    const NAME: usize = 19;
    while let (Some(&low), Some(&high)) = (bytes.get(16), bytes.get(17)) {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let name = bytes.get(NAME..length).unwrap_or_default();
        show(name.split(|&byte| byte == 0).next().unwrap_or_default());
        bytes = bytes.get(length.max(1)..).unwrap_or_default();
    }
}

/// Writes the parts one after the other; false if there is no room.
fn concatenate(parts: [&[u8]; 3], room: &mut [u8]) -> bool {
    let mut at = 0;
    for part in parts {
        let Some(place) = room.get_mut(at..at + part.len()) else { return false };
        place.copy_from_slice(part);
        at += part.len();
    }
    true
}

fn decimal(number: i32, room: &mut [u8; 12]) -> &[u8] {
    let (mut rest, mut at) = (number.unsigned_abs(), room.len());
    for (index, digit) in room.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        at = index;
        if rest == 0 {
            break;
        }
    }
    room.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paths() {
        assert_eq!(decimal(0, &mut [0; 12]), b"0");
        assert_eq!(decimal(i32::MAX, &mut [0; 12]), b"2147483647");
        assert!(!concatenate([b"abc", b"", b"d"], &mut [0; 3]));
    }

    #[test]
    fn open_descriptors_are_found() {
        let mut some = Vec::new();
        each_descriptor(|fd| some.push(fd));
        assert!(some.contains(&2) && some.iter().all(|&fd| fd >= 0));
        let mut lines = 0;
        each_line_of_fdinfo(2, |line| lines += usize::from(line.starts_with("flags:")));
        assert_eq!(lines, 1);
    }
}
