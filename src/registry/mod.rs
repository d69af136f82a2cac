//! The wake registry: one per process, shared by all front ends.
//!
//! **Data.** A [`table`] leads from a descriptor number to an object (a port or a kqueue) and to the watches of that
//! number in every object. An [`record::Object`] has one queue of events in the order in which they were posted, and a ready
//! set of the host, whose number the program holds. A [`record::Slot`] is an event, a watch, or a waiter; slots and
//! objects live in an arena ([`memory`]) and are addressed by index.
//!
//! **What is true whenever no lock is held** (and an operation in [`held`] restores):
//! * the bell of an object is up exactly if its queue is not empty, unless a thread that is on its way back from the
//!   kernel has eaten it (that thread settles) or somebody keeps it loud;
//! * an armed watch has an enabled registration in the kernel, or had one and is among the unsure ([`look`]); a watch
//!   that is not armed has an enabled one only in an object that is not polled from outside;
//! * `queued` never satisfies a sleeper that nobody has woken.
//!
//! **Locks**, outermost first: a table entry's, an object's, the bell's, the shelf's ([`kept`]). Never two of one
//! kind. All are taken inside a section, in which no handler runs ([`crate::host::Masked`]). Control calls that are
//! made without the object's lock pin the object ([`pin`], [`aside`]).
//!
//! **Notes** ([`note`]): an object whose registrations stand (a kqueue) keeps them as notes, several of which may hang on
//! one watch. [`fit`] makes the kernel's registration serve them, [`gather`] and [`direct`] look, [`nest`] tells queues above.
//!
//! **Close** ([`lifetime`]): a number is retired under the locks and before the real close; nothing is held across
//! that. Sleepers of a port are sent home, and the close waits only for those between their check and the kernel.
//!
//! **fork** ([`fork`]): a child starts with no registry.

pub mod alarm;
pub mod aside;
pub mod bell;
pub mod cell;
pub mod direct;
pub mod echo;
pub mod files;
pub mod fit;
pub mod fork;
pub mod free;
pub mod gather;
pub mod held;
pub mod helper;
pub mod kept;
pub mod lifetime;
pub mod lock;
pub mod look;
pub mod memory;
pub mod names;
pub mod nest;
pub mod note;
pub mod pin;
pub mod queue;
pub mod record;
pub mod renew;
pub mod side;
mod sync;
pub mod table;
pub mod tree;
pub mod wait;
pub mod watch;
pub mod word;

use crate::errno::{Errno, Result};
use crate::host::{below, next};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub use fork::{current, current_or_new};
pub use held::Held;

/// See the module.
pub struct Registry {
    /// Objects and slots.
    pub arena: memory::Arena,
    /// Descriptor numbers.
    pub table: table::Table,
    /// What the sets of the process are rung with.
    pub bell: bell::House,
    /// Limits and switches from the environment.
    pub settings: Settings,
    /// Does the process resolve `close` to us? If not, every close may be unseen.
    pub sees_closes: bool,
    /// Errors of sockets that the program has not had yet.
    pub shelf: &'static kept::Shelf,
    /// May errors be taken? Only if the calls that hand them out are ours, and the program has not forbidden it.
    pub keeps_errors: bool,
    /// An object that got another set: see [`renew`].
    pub moved: cell::Cell32,
    /// Which registry of the processes that descend from each other: a child's may lie where its parent's lay.
    pub serial: u32,
}

/// Read once, when the registry is made.
pub struct Settings {
    /// Objects of this process: project.max-port-ids, `EVSHIM_MAX_PORTS`.
    pub most_objects: u32,
    /// Slots of an object: process.max-port-events, `EVSHIM_MAX_EVENTS`.
    pub most_slots: u32,
    /// A copy: a later setenv may move the environment.
    quirks: [u8; 128],
}

impl Settings {
    fn read() -> Settings {
        let mut quirks = [0; 128];
        let asked = below::environment(c"EVSHIM_QUIRKS").map_or(&[][..], core::ffi::CStr::to_bytes);
        for (to, from) in quirks.iter_mut().zip(asked) {
            *to = *from;
        }
        Settings {
            most_objects: below::environment_number(c"EVSHIM_MAX_PORTS").unwrap_or(8_192),
            most_slots: below::environment_number(c"EVSHIM_MAX_EVENTS").unwrap_or(65_536),
            quirks,
        }
    }

    /// Is this quirk of the guest system asked for in `EVSHIM_QUIRKS`, a list with commas?
    pub fn quirk(&self, name: &str) -> bool {
        self.quirks.split(|&b| b == b',' || b == 0).any(|quirk| quirk == name.as_bytes())
    }
}

/// See `Registry::keeps_errors`. The other calls stand in the same library as these. A sanitizer's runtime stands before it
/// with definitions of its own for some of them, which call ours; of `splice` none has one.
fn may_keep_errors() -> bool {
    let calls = [c"read", c"recv", c"write", c"send", c"getsockopt", c"connect"];
    let sanitizers = [c"__asan_init", c"__tsan_init", c"__msan_init"];
    let are_ours = || {
        next::is_ours(c"splice")
            && (calls.into_iter().all(next::is_ours) || sanitizers.into_iter().any(next::exists))
    };
    static ANSWER: next::Answer = next::Answer::new();
    below::environment_number(c"EVSHIM_KEEP_ERRORS") != Some(0) && ANSWER.get(are_ours)
}

/// See `Registry::sees_closes`.
fn sees_closes() -> bool {
    static ANSWER: next::Answer = next::Answer::new();
    ANSWER.get(|| next::is_ours(c"close") && next::is_ours(c"epoll_create1"))
}

/// Counts registries. A child goes on from its parent's number.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Registry {
    fn new() -> Result<Registry> {
        Ok(Registry {
            arena: memory::Arena::map()?,
            table: table::Table::new()?,
            bell: bell::House::default(),
            shelf: memory::new_shelf().ok_or(Errno::ENOMEM)?,
            keeps_errors: may_keep_errors(),
            settings: Settings::read(),
            moved: cell::Cell32::default(),
            serial: MADE.fetch_add(1, Relaxed) + 1,
            sees_closes: sees_closes(),
        })
    }
}
