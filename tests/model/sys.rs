//! The library's functions, by their Rust paths, and system calls.
//!
//! In an executable that links the rlib, whose `close` the name resolves to is the linker's business. Here the
//! library's functions are called by name wherever it must see what happens.

use evshim::ffi::port;
use evshim::interpose;
use libc::{c_int, c_short, c_uint, c_void};

pub const RDHUP: i32 = libc::POLLRDHUP as i32;

/// A time-out.
pub type Time = Option<(i64, i64)>;

/// `port_event_t`, with fields that can be read.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub events: c_int,
    pub source: u16,
    pub pad: u16,
    pub object: usize,
    pub user: usize,
}

/// What no event looks like.
pub const UNTOUCHED: Event = Event { events: 0x5a5a, source: 0x5a, pad: 0, object: 0x5a5a, user: 0x5a5a };

fn errno() -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() }
}

pub fn result(value: c_int) -> Result<c_int, c_int> {
    if value == -1 { Err(errno()) } else { Ok(value) }
}

/// Aborts what cannot fail unless the test's own surroundings are broken.
#[track_caller]
pub fn must(value: c_int, what: &str) -> c_int {
    assert!(value != -1, "{what}: errno {}", errno());
    value
}

/// To be called before the first port is made: the library reads its limits once.
pub fn prepare() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let limit = format!("{}\0", super::LIMIT);
        // SAFETY: no thread of this process reads the environment meanwhile; SIGPIPE is ignored.
        unsafe {
            libc::setenv(c"EVSHIM_MAX_EVENTS".as_ptr(), limit.as_ptr().cast(), 1);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
    });
}

// ---------------------------------------------------------------- ports

pub fn port_create() -> c_int {
    must(port::port_create(), "port_create")
}

pub fn port_associate(p: c_int, object: c_int, events: i32, user: usize) -> Result<c_int, c_int> {
    result(port::port_associate(p, 4, object as usize, events, user as *mut c_void))
}

pub fn port_dissociate(p: c_int, object: c_int) -> Result<c_int, c_int> {
    result(port::port_dissociate(p, 4, object as usize))
}

pub fn port_send(p: c_int, events: i32, user: usize) -> Result<c_int, c_int> {
    result(port::port_send(p, events, user as *mut c_void))
}

pub fn port_alert(p: c_int, flags: i32, events: i32, user: usize) -> Result<c_int, c_int> {
    result(port::port_alert(p, flags, events, user as *mut c_void))
}

fn timespec(time: Time) -> Option<libc::timespec> {
    time.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec })
}

pub fn port_get(p: c_int, event: &mut Event, time: Time) -> Result<c_int, c_int> {
    let time = timespec(time);
    let time = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: one event fits; the time is alive.
    result(unsafe { port::port_get(p, core::ptr::from_mut(event).cast(), time) })
}

/// With the number that the call left in *nget.
pub fn port_getn(
    p: c_int,
    list: &mut [Event],
    max: u32,
    want: u32,
    time: Time,
) -> (Result<c_int, c_int>, u32) {
    assert!(max as usize <= list.len());
    let (time, mut nget) = (timespec(time), want);
    let time = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: `max` events fit; the time is alive.
    let value = unsafe { port::port_getn(p, list.as_mut_ptr().cast(), max, &raw mut nget, time) };
    (result(value), nget)
}

// ---------------------------------------------------------------- what the library must see

pub fn close(fd: c_int) {
    must(interpose::close::close(fd), "close");
}

pub fn close_range(fd: c_int) {
    if interpose::range::close_range(fd as c_uint, fd as c_uint, 0) == -1 {
        close(fd); // an old kernel
    }
}

pub fn dup(fd: c_int) -> c_int {
    must(interpose::dup::dup(fd), "dup")
}

pub fn dup2(old: c_int, new: c_int) -> Result<c_int, c_int> {
    result(interpose::dup::dup2(old, new))
}

/// The lowest free number from `least`.
pub fn dup_from(fd: c_int, least: c_int) -> c_int {
    must(interpose::dup::fcntl(fd, libc::F_DUPFD, least.into()), "F_DUPFD")
}

// ---------------------------------------------------------------- files

pub fn pipe() -> [c_int; 2] {
    let mut fds = [-1; 2];
    // SAFETY: two numbers fit.
    must(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK) }, "pipe2");
    // SAFETY: no pointers. One page: it is soon full.
    unsafe { libc::fcntl(fds[1], libc::F_SETPIPE_SZ, 4096) };
    fds
}

pub fn socketpair() -> [c_int; 2] {
    let mut fds = [-1; 2];
    // SAFETY: two numbers fit.
    let made = unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr())
    };
    must(made, "socketpair");
    for fd in fds {
        let size: c_int = 4096;
        // SAFETY: the number is alive.
        unsafe {
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, (&raw const size).cast(), 4);
        }
    }
    fds
}

pub fn eventfd() -> c_int {
    // SAFETY: no pointers.
    must(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) }, "eventfd")
}

pub fn memory_file() -> c_int {
    // SAFETY: a string.
    must(unsafe { libc::memfd_create(c"model".as_ptr(), 0) }, "memfd_create")
}

/// The number of bytes; 0 if nothing is possible now.
pub fn read(fd: c_int, bytes: &mut [u8]) -> usize {
    // SAFETY: the buffer's own length.
    unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) }.max(0) as usize
}

/// As [`read`].
pub fn write(fd: c_int, bytes: &[u8]) -> usize {
    // SAFETY: the buffer's own length.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }.max(0) as usize
}

pub fn poll(fds: &mut [libc::pollfd]) -> c_int {
    // SAFETY: the slice's own length.
    must(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, 0) }, "poll")
}

/// The bits that are up, of those asked for, POLLERR and POLLHUP.
pub fn up(fd: c_int, events: i32) -> i32 {
    let mut one = [libc::pollfd { fd, events: events as c_short, revents: 0 }];
    poll(&mut one);
    i32::from(one[0].revents)
}

/// A set that watches for edges.
pub fn epoll_create() -> c_int {
    // SAFETY: no pointers.
    must(unsafe { libc::epoll_create1(0) }, "epoll_create1")
}

pub fn epoll_add_edges(set: c_int, fd: c_int, name: usize) {
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: name as u64 };
    // SAFETY: the event is alive.
    must(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &raw mut event) }, "epoll_ctl");
}

/// The names of what had an edge since the last look.
pub fn epoll_names(set: c_int) -> Vec<usize> {
    let mut list = [libc::epoll_event { events: 0, u64: 0 }; 8];
    // SAFETY: eight events fit.
    let got = must(unsafe { libc::epoll_wait(set, list.as_mut_ptr(), 8, 0) }, "epoll_wait");
    list[..got as usize].iter().map(|event| event.u64 as usize).collect()
}
