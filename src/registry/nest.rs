//! Queues that watch queues.
//!
//! The kernel tells a queue when another one that it watches becomes readable. That is not enough: to a note that wants
//! edges each event that is linked below is one, and the amount is how many there are. So whoever has worked on a queue
//! that is watched tells those above, with no lock held: they link their notes, and tell those above them. A note that is
//! linked already is told nothing, which ends the way through a circle.
//!
//! Sleepers and pollers above must wake when the kernel has something for a queue below, however deep that is, and the
//! kernel nests its sets but a few levels. So a queue that waits for the kernel is registered, for edges, directly in
//! every queue above it; one that does not is registered nowhere. What such a wake means is found out by looking below.

use super::Registry;
use super::held::Held;
use super::note::{DISABLED, NEST, QUEUED};
use super::record::KQUEUE;
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, ReadySet, Set};

/// Queues that are remembered at a time: the way up needs no allocation.
const ROOM: usize = 16;
/// `Object::nests`: it has queues below it.
const NO_NEWS: u32 = 1;
/// And the kernel has told that something happened to one of them.
pub const NEWS_BELOW: u32 = 2;

/// How often it is looked below a queue in a row, if there is news all the time.
const TURNS: u32 = 4;

/// Queues that one can be registered in, and the most that lie between top and bottom.
const MOST: usize = 512;

/// A few numbers.
struct Few<T> {
    entries: [T; ROOM],
    length: usize,
}

impl<T: Copy + Default> Few<T> {
    fn new() -> Few<T> {
        Few { entries: [T::default(); ROOM], length: 0 }
    }

    fn push(&mut self, value: T) {
        if let Some(place) = self.entries.get_mut(self.length) {
            *place = value;
            self.length += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.entries.iter().take(self.length).copied()
    }
}

impl Registry {
    /// How many events wait in the queue that a number names; `None` if it names none.
    pub fn queue_length(&self, fd: RawFd) -> Option<u32> {
        let object = self.object_of(fd)?;
        Some(if object.kind.get() == KQUEUE { object.linked.get() } else { object.queued.get() })
    }

    /// A queue is watched by another one from now on.
    pub fn be_nested(&self, fd: RawFd) {
        if let Some(object) = self.object_of(fd)
            && object.nested.replace(1) == 0
        {
            object.untold.set(0);
        }
    }

    /// Is a queue watched by another one?
    #[inline]
    pub fn is_nested(&self, fd: RawFd) -> bool {
        self.object_of(fd).is_some_and(|object| object.nested.get() != 0)
    }

    /// Does it watch others?
    #[inline]
    pub fn has_below(&self, fd: RawFd) -> bool {
        self.object_of(fd).is_some_and(|object| object.nests.get() != 0)
    }

    /// Tells the queues above what was linked in a queue. No lock is held.
    pub fn tell_above(&'static self, fd: RawFd, mask: &Masked) {
        let index = self.table.get(fd).and_then(|entry| entry.object());
        if let Some(index) = index.filter(|&index| self.arena.object(index).nested.get() != 0) {
            self.tell_above_object(index, mask);
        }
    }

    #[cold]
    fn tell_above_object(&'static self, index: u32, mask: &Masked) {
        let mut below = Few::new();
        let untold = {
            let held = self.hold_index(index, Set::at(-1), mask);
            held.numbers().for_each(|fd| below.push(fd));
            held.object.untold.replace(0) != 0
        };
        let (mut above, mut told) = (Few::new(), Few::new());
        for fd in below.iter() {
            let Ok(number) = self.hold_number(fd, mask) else { continue };
            let mut watch = number.entry.watches.get();
            while watch != 0 {
                let slot = self.arena.slot(watch);
                let home = slot.home.get();
                let polled = self.arena.object(home).exposed.get() != 0;
                if (untold || polled) && self.link_notes_of(watch, home, untold, mask) {
                    above.push(home);
                }
                if self.arena.object(home).nests.get() == NEWS_BELOW {
                    told.push(home);
                }
                watch = slot.beside.get();
            }
        }
        // The look above took in what another queue had told.
        for object in
            told.iter().filter(|&object| self.arena.object(object).nests.replace(NO_NEWS) == NEWS_BELOW)
        {
            if let Some(fd) = self.numbers_of(object, mask).iter().next() {
                self.look_below(fd, mask);
            }
        }
        for object in above.iter().filter(|&object| self.arena.object(object).nested.get() != 0) {
            self.tell_above_object(object, mask);
        }
    }

    /// Takes the edges in that work on the queue has made above, and links the notes if there is news. True if one was
    /// linked that was not.
    fn link_notes_of(&'static self, watch: u32, home: u32, news: bool, mask: &Masked) -> bool {
        let held = self.hold_index(home, Set::at(-1), mask).through_a_number();
        if held.object.kind.get() != KQUEUE {
            return false;
        }
        let _ = held.gather(false); // what came before it
        let mut linked = false;
        if news && self.queue_length(held.slot(watch).fd.get()) != Some(0) {
            for note in held.notes_of(watch).filter(|&note| !held.is(note, DISABLED | QUEUED)) {
                held.link_note(note);
                linked = true;
            }
        }
        let _ = held.settle();
        linked
    }

    /// Looks at the queues that a queue watches, so that it finds their amounts right. No lock is held.
    pub fn look_below(&'static self, fd: RawFd, mask: &Masked) {
        if !self.has_below(fd) {
            return; // nearly always
        }
        let Some(held) = self.hold(fd, mask) else { return };
        let mut inner = Few::new();
        held.object.nests.set(NO_NEWS);
        for watch in held.watches().filter(|&watch| held.is(watch, NEST)) {
            inner.push(held.slot(watch).fd.get());
        }
        drop(held);
        inner.iter().for_each(|number| self.look_at(number, mask));
    }

    /// Looks at a queue that is watched, or about to be.
    pub fn look_at(&'static self, fd: RawFd, mask: &Masked) {
        if let Some(held) = self.hold(fd, mask).filter(|held| held.object.kind.get() == KQUEUE) {
            let _ = held.gather(false).and_then(|_| held.settle());
        }
        self.tell_above(fd, mask);
    }

    /// The number is polled: the queue shows what it has, and what those below it have.
    pub fn look_all_over(&'static self, fd: RawFd, mask: &Masked) {
        let object = self.object_of(fd);
        for _ in 0..TURNS {
            self.look_below(fd, mask);
            self.look_at(fd, mask);
            if object.is_none_or(|object| object.nests.get() != NEWS_BELOW) {
                return;
            }
        }
    }
}

/// A set of objects, in the order in which they were found.
struct Found {
    objects: [u32; MOST],
    length: usize,
}

impl Found {
    fn from(first: u32) -> Found {
        let mut found = Found { objects: [0; MOST], length: 0 };
        let _ = found.add(first);
        found
    }

    /// ENOMEM: there are too many.
    fn add(&mut self, object: u32) -> Result<()> {
        if self.all().contains(&object) {
            return Ok(());
        }
        *self.objects.get_mut(self.length).ok_or(Errno::ENOMEM)? = object;
        self.length += 1;
        Ok(())
    }

    fn all(&self) -> &[u32] {
        self.objects.get(..self.length).unwrap_or_default()
    }
}

impl Registry {
    /// `kq` watches `inner` from now on: what waits for the kernel down there is registered up here. ENOMEM.
    pub fn connect(&'static self, kq: RawFd, inner: RawFd, mask: &Masked) -> Result<()> {
        let object = |fd: RawFd| self.table.get(fd).and_then(|entry| entry.object());
        let (Some(top), Some(bottom)) = (object(kq), object(inner)) else { return Ok(()) };
        if self.arena.object(bottom).kind.get() != KQUEUE {
            return Ok(());
        }
        let (mut above, mut below) = (Found::from(top), Found::from(bottom));
        self.climb(&mut above, mask)?;
        self.descend(&mut below, mask)?;
        for &source in below.all().iter().filter(|&&object| self.arena.object(object).sources.get() != 0) {
            for &home in above.all() {
                self.register_in(home, source, mask)?;
            }
        }
        for &home in above.all() {
            self.arena.object(home).nests.set(NO_NEWS);
        }
        Ok(())
    }

    /// A queue does not watch another one any more: what is not below it by another way either is registered in it no
    /// longer.
    pub fn disconnect(&'static self, kq: RawFd, mask: &Masked) -> Result<()> {
        let Some(held) = self.hold(kq, mask).filter(|held| held.object.nests.get() != 0) else {
            return Ok(());
        };
        let mut inner = Few::new();
        for watch in held.watches().filter(|&watch| held.is(watch, NEST)) {
            held.slot(watch).want.set(0);
            held.unregister(watch);
            if self.has_note(watch) {
                inner.push(held.slot(watch).fd.get());
            }
        }
        let _ = held.gather(false).and_then(|_| held.settle());
        drop(held);
        inner.iter().try_for_each(|fd| self.connect(kq, fd, mask))
    }

    /// A queue waits for the kernel from now on: those above it have to hear. ENOMEM.
    pub fn connect_source(&'static self, kq: RawFd, mask: &Masked) -> Result<()> {
        let Some(source) = self.table.get(kq).and_then(|entry| entry.object()) else { return Ok(()) };
        let object = self.arena.object(source);
        if object.nested.get() == 0 || object.sources.get() != NEW_SOURCE {
            return Ok(());
        }
        object.sources.set(OLD_SOURCE);
        let mut above = Found::from(source);
        self.climb(&mut above, mask)?;
        above.all().iter().skip(1).try_for_each(|&home| self.register_in(home, source, mask))
    }

    /// Adds the queues that watch those that were found.
    fn climb(&'static self, found: &mut Found, mask: &Masked) -> Result<()> {
        let mut at = 0;
        while let Some(&object) = found.all().get(at) {
            at += 1;
            for fd in self.numbers_of(object, mask).iter() {
                let Ok(number) = self.hold_number(fd, mask) else { continue };
                let mut watch = number.entry.watches.get();
                while watch != 0 {
                    let slot = self.arena.slot(watch);
                    if self.arena.object(slot.home.get()).kind.get() == KQUEUE && self.has_note(watch) {
                        found.add(slot.home.get())?;
                    }
                    watch = slot.beside.get();
                }
            }
        }
        Ok(())
    }

    fn has_note(&self, watch: u32) -> bool {
        self.arena.note(watch).beside.get() != 0
    }

    /// Adds the queues that those that were found watch.
    fn descend(&'static self, found: &mut Found, mask: &Masked) -> Result<()> {
        let mut at = 0;
        while let Some(&object) = found.all().get(at) {
            at += 1;
            let held = self.hold_index(object, Set::at(-1), mask);
            for watch in held.watches().filter(|&watch| held.is(watch, NEST) && self.has_note(watch)) {
                let inner = self.table.get(held.slot(watch).fd.get()).and_then(|entry| entry.object());
                inner.map_or(Ok(()), |inner| found.add(inner))?;
            }
        }
        Ok(())
    }

    fn numbers_of(&'static self, object: u32, mask: &Masked) -> Few<RawFd> {
        let mut numbers = Few::new();
        self.hold_index(object, Set::at(-1), mask).numbers().for_each(|fd| numbers.push(fd));
        numbers
    }

    /// Registers a queue in another one's set, for edges. What the kernel refuses, a circle, is left out.
    fn register_in(&'static self, home: u32, source: u32, mask: &Masked) -> Result<()> {
        let Some(fd) = self.numbers_of(source, mask).iter().next() else { return Ok(()) };
        let number = self.hold_number(fd, mask)?;
        let held = self.hold_index(home, Set::at(-1), mask).through_a_number();
        let watch = held.watch_for_notes(&number)?;
        held.put(watch, NEST, true);
        held.object.nests.set(NO_NEWS);
        held.register_nest(watch);
        held.gather(false)?; // to be registered is an edge, and no news
        held.settle()
    }
}

impl Held<'_> {
    /// The queue waits for the kernel. Those above are told when the lock is given up ([`Registry::connect_source`]).
    pub fn has_source(&self) {
        if self.object.sources.get() == 0 {
            self.object.sources.set(NEW_SOURCE);
        }
    }
}

/// `Object::sources`: nobody above knows of it; they do.
const NEW_SOURCE: u32 = 1;
const OLD_SOURCE: u32 = 2;
