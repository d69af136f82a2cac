//! Changes of files that epoll does not take: an inotify instance that hangs in a set.

use super::super::RawFd;
use super::below::{self, check};
use super::proc;
use crate::errno::{Errno, Result};
use core::mem::MaybeUninit;

/// An instance by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notices(RawFd);

impl Notices {
    /// A new instance at a helper's number. EMFILE (also for the user's limit of instances), ENFILE, ENOMEM.
    pub fn make() -> Result<Notices> {
        let flags = libc::IN_CLOEXEC | libc::IN_NONBLOCK;
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::syscall(libc::SYS_inotify_init1, flags) })?;
        Ok(Notices(below::move_up(fd as RawFd)))
    }

    /// One that was made earlier.
    pub fn at(fd: RawFd) -> Notices {
        Notices(fd)
    }

    /// Its number.
    pub fn fd(self) -> RawFd {
        self.0
    }

    /// Asks to be told when the file of a descriptor is written to or changes its size: the name of the request, which is the
    /// same for each descriptor of the file. EACCES: the program may not read it; ENOSPC: the user has too many; ENOENT:
    /// there is no /proc.
    pub fn watch(self, fd: RawFd) -> Result<i32> {
        let mut path = [0; 32];
        if !proc::path_of(fd, &mut path) {
            return Err(Errno::EBADF);
        }
        // SAFETY: a C string that outlives the call.
        let watched =
            unsafe { libc::syscall(libc::SYS_inotify_add_watch, self.0, path.as_ptr(), libc::IN_MODIFY) };
        check(watched).map(|name| name as i32)
    }

    /// Ends that.
    pub fn unwatch(self, name: i32) {
        // SAFETY: no pointers.
        unsafe { libc::syscall(libc::SYS_inotify_rm_watch, self.0, name) };
    }

    /// What it has been told since it was asked last: shows the name of each request.
    pub fn each(self, mut show: impl FnMut(i32)) {
        /// Events have no names here, so all are of this size.
        const EVENT: usize = size_of::<libc::inotify_event>();
        let mut events = [const { MaybeUninit::<libc::inotify_event>::uninit() }; 32];
        loop {
            let (at, size) = (events.as_mut_ptr(), size_of_val(&events));
            // SAFETY: the kernel writes no more than there is room for.
            let got = unsafe { libc::syscall(libc::SYS_read, self.0, at, size) };
            let filled = usize::try_from(got).unwrap_or(0) / EVENT;
            for event in events.iter().take(filled) {
                // SAFETY: the kernel has written it.
                show(unsafe { event.assume_init_ref() }.wd);
            }
            if filled < events.len() {
                return; // events of one file that follow each other are one, so this is soon
            }
        }
    }
}
