//! What the library asks of the system it runs on.
//!
//! A host has a *ready set*: a descriptor of its own that becomes readable when something happened. The traits are
//! cut for two hosts, epoll and kqueue, so four things that epoll alone would suggest are absent:
//!
//! * a wake is a *hint* about an arming; its bits may be exact (epoll) or missing (kqueue, then the source samples);
//! * changes go into a `Batch` that the host may apply later, in its next `turn`;
//! * the bell that makes a set readable for events of user space is the host's (epoll: a registration of one
//!   always-ready descriptor, kqueue: `EVFILT_USER`), never a descriptor that somebody reads;
//! * what a forked child has of a set is named by [`AfterFork`].
//!
//! An [`Alarm`] is one deadline of a set.

use crate::errno::Result;

pub mod next;

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(target_os = "linux")]
pub use epoll::{Alarm, Bell, EpollSet as Set, Masked, Notices, Wakes, below, handlers, measure, proc};
#[cfg(not(target_os = "linux"))]
compile_error!("evshim has one host so far, Linux's epoll; BSD and macOS (kqueue) are to come");

/// A descriptor number.
pub type RawFd = i32;

/// Names one arming of one registration. `slot` and `arming` live in our table; a host that has less room may
/// shorten `arming`, because a cookie is a hint that is checked against the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie {
    /// Index of the slot in the arena; 0 is the bell's.
    pub slot: u32,
    /// Which arming of that slot.
    pub arming: u32,
}

impl Cookie {
    /// The bell's own cookie.
    pub const BELL: Cookie = Cookie { slot: 0, arming: 0 };
    /// Stamps have 28 bits; this one tells an arming that stays enabled.
    const LEVEL: u32 = 1 << 31;
    /// And this one an arming for edges.
    const EDGE: u32 = 1 << 30;
    /// One of the side set's.
    const SIDE: u32 = 1 << 29;
    /// The side set itself.
    pub const SIDE_SET: Cookie = Cookie { slot: 0, arming: 3 };
    /// What tells of changes of files.
    pub const NOTICES: Cookie = Cookie { slot: 0, arming: 4 };

    /// The cookie of an arming that stays enabled.
    pub fn level(slot: u32, stamp: u32) -> Cookie {
        Cookie { slot, arming: stamp | Cookie::LEVEL }
    }

    /// The cookie of an arming for edges.
    pub fn edge(slot: u32, stamp: u32) -> Cookie {
        Cookie { slot, arming: stamp | Cookie::EDGE }
    }

    /// The same arming in the side set.
    pub fn at_side(self) -> Cookie {
        Cookie { arming: self.arming | Cookie::SIDE, ..self }
    }

    /// The reverse; `None` if it is none of the side set's.
    pub fn from_side(self) -> Option<Cookie> {
        let arming = self.arming & !Cookie::SIDE;
        (arming != self.arming).then_some(Cookie { arming, ..self })
    }

    /// Is the arming for edges?
    pub fn is_edge(self) -> bool {
        self.arming & Cookie::EDGE != 0
    }

    /// Does the arming stay enabled?
    pub fn is_level(self) -> bool {
        self.arming & Cookie::LEVEL != 0
    }
}

/// How a descriptor is armed. [`Cookie::is_level`] says whether for one wake, or until it is calmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// There is no registration, as far as we know.
    New,
    /// There is one, as far as we know.
    Again,
    /// Only if there is none: EEXIST.
    Unless,
}

/// Something happened to an armed descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Wake {
    /// Which arming.
    pub cookie: Cookie,
    /// The poll bits that are up, where the host tells.
    pub exact: Option<u32>,
}

/// How long a turn may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Not at all.
    Now,
    /// Until this monotonic time in nanoseconds.
    At(u64),
    /// For ever.
    Forever,
}

/// A clock of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Counts from some time in the past, and is never set.
    Monotonic,
    /// The time of day.
    Wall,
}

/// How the bell of a set is rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// One turn eats it and wakes one sleeper.
    Once,
    /// Stays up until hushed and wakes every sleeper.
    Loud,
}

/// Whether a descriptor can be armed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Armed in the kernel.
    Pollable,
    /// The kernel has nothing to wait for: regular files and directories, always ready (R4.8).
    AlwaysReady,
}

/// What a forked child finds at the number of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterFork {
    /// The parent's set: the child must not touch it.
    Shared,
    /// Nothing.
    Gone,
}

/// A set of armed descriptors behind one pollable descriptor.
pub trait ReadySet: Copy {
    /// Changes that the kernel does not know yet.
    type Batch: Default;
    /// What makes the set readable without a descriptor of the program's.
    type Bell;
    /// What a child has of it.
    const AFTER_FORK: AfterFork;

    /// A new set at the lowest free number.
    fn create(closed_on_exec: bool) -> Result<Self>;
    /// The set behind a number that is known to be one.
    fn at(fd: RawFd) -> Self;
    /// The number.
    fn fd(self) -> RawFd;
    /// Arms `fd` for the poll bits `want` (hang-up and error always). Errors: the host's, with "too many watches" as
    /// EAGAIN.
    fn arm(self, batch: &Self::Batch, fd: RawFd, cookie: Cookie, want: u32, how: How) -> Result<Class>;
    /// Disables the registration of `fd`; a turn must follow before the set counts as quiet. ENOENT, EBADF: there is
    /// none.
    fn calm(self, batch: &Self::Batch, fd: RawFd, cookie: Cookie) -> Result<()>;
    /// Removes a registration whose number does not name its file any more; false if that cannot be done. All signals
    /// are really blocked.
    fn cut(self, ghost: Cookie, bell: &Self::Bell) -> bool;
    /// Drops the registration of `fd`. ENOENT, EBADF: there is none.
    fn disarm(self, batch: &Self::Batch, fd: RawFd) -> Result<()>;
    /// Makes the bell part of the set, silent. Succeeds if it is already.
    fn hang_bell(self, bell: &Self::Bell) -> Result<()>;
    /// Rings. Async-signal-safe.
    fn ring(self, bell: &Self::Bell, how: Ring) -> Result<()>;
    /// Lowers the bell; a turn must follow before the set counts as quiet.
    fn hush(self, bell: &Self::Bell) -> Result<()>;
    /// Applies the batch and waits. May repeat or invent wakes, never lose one. EINTR: nothing was taken.
    /// Signals are delivered while it waits, as if the library were not there, and at no other time.
    fn turn(
        self,
        batch: &Self::Batch,
        wakes: &mut Wakes,
        most: usize,
        until: Until,
        mask: &Masked,
    ) -> Result<()>;
    /// Watches another set for edges, for a sleeper that has a set of its own.
    fn watch_edges(self, inner: Self) -> Result<()>;
    /// Is the number still the set that this bell hangs in?
    fn is_ours(self, bell: &Self::Bell) -> bool;
    /// Leaves a sign in a new set, which costs less than to hang a bell there. False if it cannot.
    fn sign(self) -> bool;
    /// Is the number a set of ours that has the sign?
    fn is_signed(self) -> bool;
}
