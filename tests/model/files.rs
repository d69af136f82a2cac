//! The numbers under attack.

use super::op::{How, Kind};
use super::{SLOTS, sys};
use libc::c_int;
use std::rc::Rc;

/// Far above what the process opens otherwise.
pub const FIRST: c_int = 300;

/// One open file.
struct File {
    kind: Kind,
    /// The other end of a pipe or pair.
    peer: core::cell::Cell<Option<c_int>>,
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(peer) = self.peer.get() {
            sys::close(peer);
        }
    }
}

/// Eight numbers, each open to something or not.
#[derive(Default)]
pub struct Files {
    open: [Option<Rc<File>>; SLOTS],
    /// Duplicates that survive the close of a number. They go with the program.
    kept: Vec<(c_int, Rc<File>)>,
}

/// The descriptor number of a slot.
pub fn number(slot: usize) -> c_int {
    FIRST + slot as c_int
}

/// The slot of a descriptor number.
pub fn slot_of(number: usize) -> Option<usize> {
    number.checked_sub(FIRST as usize).filter(|&slot| slot < SLOTS)
}

impl Files {
    pub fn is_open(&self, slot: usize) -> bool {
        self.open[slot].is_some()
    }

    /// Do two slots name one open file?
    pub fn same(&self, a: usize, b: usize) -> bool {
        matches!((&self.open[a], &self.open[b]), (Some(a), Some(b)) if Rc::ptr_eq(a, b))
    }

    /// The bits that are up at an open slot, of `events`, POLLERR and POLLHUP.
    pub fn up(&self, slot: usize, events: i32) -> i32 {
        if self.is_open(slot) { sys::up(number(slot), events) } else { 0 }
    }

    /// A new file takes the number, whatever it was.
    pub fn open(&mut self, slot: usize, kind: Kind) {
        let (fd, peer) = match kind {
            Kind::PipeRead => {
                let [read, write] = sys::pipe();
                (read, Some(write))
            }
            Kind::PipeWrite => {
                let [read, write] = sys::pipe();
                (write, Some(read))
            }
            Kind::Socket => {
                let [one, other] = sys::socketpair();
                (one, Some(other))
            }
            Kind::Counter => (sys::eventfd(), None),
            Kind::Plain => (sys::memory_file(), None),
        };
        let result = sys::dup2(fd, number(slot));
        assert_eq!(result, Ok(number(slot)), "dup2");
        sys::close(fd);
        self.open[slot] = Some(Rc::new(File { kind, peer: peer.into() }));
    }

    pub fn close(&mut self, slot: usize, how: How) {
        match how {
            How::Close => sys::close(number(slot)),
            How::Range => sys::close_range(number(slot)),
        }
        self.open[slot] = None;
    }

    /// dup2; the caller knows what it expects.
    pub fn dup2(&mut self, from: usize, to: usize) -> Result<c_int, c_int> {
        let result = sys::dup2(number(from), number(to));
        if result.is_ok() {
            self.open[to] = self.open[from].clone();
        }
        result
    }

    /// The lowest free slot becomes a duplicate: which?
    pub fn dup(&mut self, from: usize) -> usize {
        let fd = sys::dup_from(number(from), FIRST);
        let to = slot_of(fd as usize).expect("there is a free slot");
        assert!(self.open[to].is_none(), "number {to} is free");
        self.open[to] = self.open[from].clone();
        to
    }

    pub fn keep(&mut self, slot: usize) {
        let Some(file) = &self.open[slot] else { return };
        match self.kept.iter().position(|(_, kept)| Rc::ptr_eq(file, kept)) {
            Some(index) => {
                let (fd, ..) = self.kept.swap_remove(index);
                sys::close(fd);
            }
            None => {
                let copy = sys::dup_from(number(slot), 2 * FIRST);
                self.kept.push((copy, file.clone()));
            }
        }
    }

    /// A byte comes for who reads, or room for who writes.
    pub fn write(&self, slot: usize) {
        let Some(file) = &self.open[slot] else { return };
        match (file.kind, file.peer.get()) {
            (Kind::Counter, _) => drop(sys::write(number(slot), &1u64.to_ne_bytes())),
            (Kind::PipeRead, Some(peer)) => drop(sys::write(peer, b"x")),
            (Kind::PipeWrite, Some(peer)) => drain(peer),
            (Kind::Socket, Some(peer)) => {
                drain(peer);
                sys::write(peer, b"x");
            }
            _ => {}
        }
    }

    pub fn drain(&self, slot: usize, all: bool) {
        match self.open[slot].as_deref() {
            Some(File { kind: Kind::PipeWrite, .. }) | None => {}
            Some(_) if all => drain(number(slot)),
            Some(_) => drop(sys::read(number(slot), &mut [0; 8][..])),
        }
    }

    pub fn stuff(&self, slot: usize) {
        match self.open[slot].as_deref() {
            Some(File { kind: Kind::PipeRead | Kind::Plain, .. }) | None => {}
            Some(File { kind: Kind::Counter, .. }) => {
                drain(number(slot));
                sys::write(number(slot), &(u64::MAX - 1).to_ne_bytes());
            }
            Some(_) => while sys::write(number(slot), &[0; 1024]) > 0 {},
        }
    }

    pub fn hang_up(&self, slot: usize) {
        if let Some(peer) = self.open[slot].as_ref().and_then(|file| file.peer.take()) {
            sys::close(peer);
        }
    }
}

fn drain(fd: c_int) {
    while sys::read(fd, &mut [0; 4096]) > 0 {}
}

impl Drop for Files {
    fn drop(&mut self) {
        for slot in 0..SLOTS {
            if self.is_open(slot) {
                self.close(slot, How::Close);
            }
        }
        for (fd, ..) in self.kept.drain(..) {
            sys::close(fd);
        }
    }
}
