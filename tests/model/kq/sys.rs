//! The library's functions of kqueue, by their Rust paths.

use super::super::sys::{must, result};
use super::rules::{Kevent, WRITE};
use evshim::ffi::kqueue as library;
use libc::{c_int, c_void};

/// `struct kevent`, with fields that can be read.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    user: *mut c_void,
}

impl Entry {
    fn new(event: &Kevent) -> Entry {
        let &Kevent { ident, filter, flags, fflags, data, user } = event;
        Entry { ident, filter, flags, fflags, data: data as isize, user: user as *mut c_void }
    }

    /// How much can be written is the system's affair.
    fn event(self) -> Kevent {
        let Entry { ident, filter, flags, fflags, data, user } = self;
        let sign = filter == WRITE && flags & super::rules::ERROR == 0;
        let ends = flags & super::rules::EOF != 0;
        let data = if sign { i64::from(ends || data > 0) } else { data as i64 };
        Kevent { ident, filter, flags, fflags, data, user: user as usize }
    }
}

/// What no event looks like.
const UNTOUCHED: Entry = Entry {
    ident: 0x5a5a,
    filter: 0x5a5a,
    flags: 0x5a5a,
    fflags: 0x5a5a,
    data: 0x5a5a,
    user: core::ptr::null_mut(),
};

pub fn kqueue() -> c_int {
    must(library::kqueue(), "kqueue")
}

/// kevent with a time-out of {0, 0}. The eventlist is the changelist's array where that is long enough: K-039.
pub fn kevent(kq: c_int, changes: &[Kevent], room: usize) -> Result<Vec<Kevent>, c_int> {
    let mut list: Vec<Entry> = changes.iter().map(Entry::new).collect();
    list.resize(changes.len().max(room) + 1, UNTOUCHED);
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let at = list.as_mut_ptr();
    // SAFETY: the counts are those of the list, or less; the time is alive.
    let value = unsafe {
        library::kevent(kq, at.cast(), changes.len() as c_int, at.cast(), room as c_int, &raw const zero)
    };
    let got = result(value)?;
    assert_eq!(list.last().map(|entry| entry.flags), Some(UNTOUCHED.flags), "kevent wrote behind the list");
    Ok(list.iter().take(got as usize).map(|entry| entry.event()).collect())
}

/// shutdown(2) for writing.
pub fn shut(fd: c_int) -> Result<c_int, c_int> {
    result(evshim::interpose::socket::shutdown(fd, libc::SHUT_WR))
}

pub fn pipe() -> [c_int; 2] {
    let mut fds = [-1; 2];
    // SAFETY: two numbers fit.
    must(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK) }, "pipe2");
    fds
}

/// Two sockets, each with the other.
pub fn pair(kind: c_int) -> [c_int; 2] {
    let mut fds = [-1; 2];
    // SAFETY: two numbers fit.
    must(
        unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()) },
        "socketpair",
    );
    fds
}

/// One read or write of up to 64 KiB.
pub fn read(fd: c_int, count: usize) -> Result<usize, c_int> {
    let mut bytes = vec![0u8; count.min(1 << 16)];
    // SAFETY: the buffer's own length.
    let got = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    result(got as c_int).map(|got| got as usize)
}

/// As above.
pub fn write(fd: c_int, count: usize) -> Result<usize, c_int> {
    let bytes = vec![0u8; count];
    // SAFETY: the buffer's own length.
    let put = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    result(put as c_int).map(|put| put as usize)
}
