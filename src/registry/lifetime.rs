//! How objects and numbers come and go.
//!
//! An object lives as long as one of its numbers does (Q2: "treated as closed only when its last descriptor goes
//! away"). A number is retired before the program's close reaches the kernel and with nothing held across that: a
//! close may block for seconds (SO_LINGER) while the number is already somebody else's.

use super::Registry;
use super::held::{BELL_ABSENT, Held};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, ReadySet, Set, below};

/// Did the library see how the number was given up? If not, it may name another file by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The close is about to happen: the number still names the old file.
    Before,
    /// It happened already.
    After,
}

/// What a new object is to be.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `Object::kind`.
    pub kind: u32,
    /// How many objects the process may have then.
    pub most: u32,
    /// How many slots it may have.
    pub slots: u32,
    /// Is its number closed on exec?
    pub closed_on_exec: bool,
}

impl Registry {
    /// A new object at the lowest free number. EAGAIN before EMFILE (R3.2).
    pub fn new_object<'m>(&'static self, kind: Kind, mask: &'m Masked) -> Result<(RawFd, Held<'m>)> {
        let index = self.arena.new_object(kind.most).ok_or(Errno::EAGAIN)?;
        let made = Set::create(kind.closed_on_exec).and_then(|set| Ok((set, self.table.entry(set.fd())?)));
        let (set, entry) = match made {
            Ok(made) => made,
            Err(error) => {
                self.arena.free_object(index);
                return Err(error);
            }
        };
        if entry.involved() {
            self.retire(set.fd(), Seen::After, mask);
        }
        let held = self.hold_index(index, set, mask);
        let object = held.object;
        for cell in [
            &object.oldest,
            &object.newest,
            &object.queued,
            &object.used,
            &object.watches,
            &object.armed,
            &object.waiters,
            &object.loud,
            &object.unsure,
            &object.levels,
            &object.haunted,
            &object.crowd,
            &object.exposed,
            &object.unordered,
            &object.linked,
            &object.files,
            &object.nests,
            &object.nested,
            &object.sources,
            &object.untold,
            &object.guest.flags,
            &object.guest.mode,
            &entry.next_number,
        ] {
            cell.set(0);
        }
        object.deadlines.iter().for_each(|root| root.set(0));
        object.alarms.iter().for_each(|number| number.set(0));
        object.links.set(0);
        object.side.set(0);
        object.notices.set(0);
        object.kind.set(kind.kind);
        object.bell.set(BELL_ABSENT);
        object.limit.set(kind.slots);
        object.numbers.set(set.fd() as u32 + 1);
        entry.set_object(index);
        // To hang the bell and to drop it costs as much as the rest of an object's life: the first call that needs it does so. Until
        // then a sign tells that the number is ours. The bell is made early, while there are descriptors to spare.
        object.signed.set(set.sign().into());
        if object.signed.get() == 0 {
            let _ = held.hang_bell();
        } else if self.bell.known().is_none() {
            let _ = self.bell(mask);
        }
        Ok((set.fd(), held))
    }

    /// `new` was made a duplicate of `old`: the same object through a second number (R13.5).
    pub fn adopt(&'static self, old: RawFd, new: RawFd, mask: &Masked) {
        let Some(held) = self.hold(old, mask) else { return };
        if let Ok(entry) = self.table.entry(new) {
            entry.next_number.set(held.object.numbers.get());
            held.object.numbers.set(new as u32 + 1);
            entry.set_object(held.index);
        }
    }

    /// The number is given up: its watches end everywhere (R4.20), and it names no object any more.
    pub fn retire(&'static self, fd: RawFd, seen: Seen, mask: &Masked) {
        self.retire_if(fd, seen, mask, &|_| true);
    }

    /// The same, of what `gone` is true for. It is asked under the lock of the watches' number, then under that of the
    /// object: the number may have gone and come since its close was suspected, and what is there now must stay.
    fn retire_if(
        &'static self,
        fd: RawFd,
        seen: Seen,
        mask: &Masked,
        gone: &dyn Fn(Option<&Held<'_>>) -> bool,
    ) {
        let Some(entry) = self.table.get(fd) else { return };
        if entry.helper() && gone(None) {
            entry.clear_helper();
        }
        if entry.watches.get() != 0 {
            self.drop_watches(fd, mask, gone);
        }
        while let Some(held) = self.hold(fd, mask) {
            if !gone(Some(&held)) {
                return;
            }
            if !held.object.pins.any() {
                self.retire_number(held, fd, seen);
                return;
            }
            let pins = &held.object.pins;
            drop(held);
            pins.await_none();
        }
    }

    /// A call found that the number is not the object that it names: its close was unseen.
    #[cold]
    pub fn retire_unproved(&'static self, fd: RawFd, mask: &Masked) {
        let unproved = |held: &Held<'_>| held.prove().is_err();
        self.retire_if(fd, Seen::After, mask, &|held| match held {
            Some(held) => unproved(held),
            None => self.hold(fd, mask).is_some_and(|held| unproved(&held)),
        });
    }

    fn retire_number(&'static self, mut held: Held<'_>, fd: RawFd, seen: Seen) {
        self.unchain_number(&held, fd);
        let (index, mask, last) = (held.index, held.mask, held.object.numbers.get() == 0);
        held.tell_gone(if last { None } else { Some(fd) });
        if !last {
            held = held.through_a_number();
        } else if seen == Seen::After || held.object.waiters.get() != 0 && !held.set_is_ours() {
            held.set = Set::at(-1); // no way to the set is left, and nobody else's may be rung
        }
        if last {
            held.drop_helpers();
        }
        if let Some(held) = held.send_home(!last) {
            if !last {
                let _ = held.settle();
            }
            drop(held);
            if last {
                self.dissolve(index, mask);
            } else if self.settings.quirk("strict_close") {
                // Q2: what the guest system does when any one of the numbers goes (R13.6, R8.7).
                self.hold_index(index, Set::at(-1), mask).object.guest.mode.set(0);
                self.end_watches(index, mask);
            }
        }
    }

    fn unchain_number(&self, held: &Held<'_>, fd: RawFd) {
        let Some(entry) = self.table.get(fd) else { return };
        let (number, after) = (fd as u32 + 1, entry.next_number.get());
        let mut link = &held.object.numbers;
        while link.get() != number && link.get() != 0 {
            match self.table.get(link.get() as RawFd - 1) {
                Some(next) => link = &next.next_number,
                None => break,
            }
        }
        if link.get() == number {
            link.set(after);
        }
        entry.next_number.set(0);
        entry.set_object(0);
    }

    /// The last number went: watches, events and records of waiters go, then the object (R13.7).
    fn dissolve(&'static self, index: u32, mask: &Masked) {
        self.end_watches(index, mask);
        let held = self.hold_index(index, Set::at(-1), mask);
        held.drop_named();
        while held.take().is_some() {}
        while held.object.waiters.get() != 0 {
            held.delist(held.object.waiters.get());
        }
        held.object.life.increment();
        drop(held);
        self.arena.free_object(index);
    }

    /// Ends all watches of an object. The lock of a watch's number comes before the object's: so one at a time.
    fn end_watches(&'static self, index: u32, mask: &Masked) {
        loop {
            let held = self.hold_index(index, Set::at(-1), mask);
            let first = held.object.watches.get();
            let fd = held.slot(first).fd.get();
            drop(held);
            if first == 0 {
                return;
            }
            let Ok(number) = self.hold_number(fd, mask) else { return };
            let held = self.hold_index(index, Set::at(-1), mask).through_a_number();
            let slot = held.slot(first);
            let still = slot.word.state().is_watch();
            if held.object.watches.get() == first && still && slot.fd.get() == fd {
                held.remove(&number, first);
            }
        }
    }

    /// Involved numbers of a range that are open no more, after a call whose closes could not be foreseen.
    pub fn retire_closed(&'static self, first: u32, last: u32, mask: &Masked) {
        for fd in self.table.involved(first, last) {
            self.retire_if(fd, Seen::After, mask, &|_| !below::is_open(fd));
        }
    }
}
