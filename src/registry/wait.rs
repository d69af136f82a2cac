//! Waiters: threads that sleep until an object has events for them.
//!
//! **Where they sleep.** One that wants a single event sleeps on the object's own set: the kernel wakes one such
//! thread per event, and nobody has to hand anything over. One that wants more sleeps on a set of its own, in which
//! the object's set is watched for edges and the bell hangs: with two events queued and three wanted, the object is
//! readable for the whole world, yet this sleeper must not spin. It is rung there when its number is reached. Who
//! wants fewest is served first (R7.20): the ring of the object's own bell goes to those who want one.
//!
//! **Their records** are slots on the object's list, not on the stack: `siglongjmp` out of a handler, the end of the
//! thread or a handler that never returns leave nothing behind that others look at. Between the check and the
//! kernel all signals are blocked; so is everything after the kernel's return. A handler therefore only ever runs
//! when the sleep ended with EINTR, and a record whose thread comes again (in that handler or after a jump) is
//! finished: it is swept. The interrupted call, should it return after all, answers EINTR and needs no record.
//!
//! **Sending them home** ([`Held::send_home`]): the record is told, the sets are rung until everybody is back. The
//! sender waits for a thread only while that is between its check and the kernel or on its way out, never for one
//! that runs a handler: a thread's blocked signals, as the system shows them, tell which.

use super::held::{BELL_STEADY, Held};
use super::record::{KQUEUE, Slot, State};
use super::{Registry, fork};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, ReadySet, Ring, Set, Until, Wakes, below, proc};

/// What ended a sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Something may have happened: look again.
    Look,
    /// A signal was caught (R7.6).
    Interrupted,
    /// The time is over.
    TimedOut,
    /// Somebody told every waiter something: bits and user value.
    Told(i32, usize),
    /// The number was closed (R7.30).
    Gone,
    /// The host refused to wait.
    Failed(Errno),
}

/// What a waiter is told in `Slot::tag`.
const TOLD: u32 = 1;
const GONE: u32 = 2;

/// `Slot::mark` of a waiter: whoever waited for its return gave up.
const EXCUSED: u32 = 1;

/// So many calls that look at the queue are taken to be among several threads after two waited at once.
const COMPANY_LASTS: u32 = 64;

/// A sleep with unsure registrations is not longer, in nanoseconds: what they would have reported comes that late.
const UNSURE: u64 = 10_000_000;

/// A part of a sleep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nap {
    /// Until this time, then the unsure registrations are confirmed.
    Short(u64),
    /// As long as the caller wants.
    Whole,
}

impl Nap {
    fn until(self, whole: Until) -> Until {
        match self {
            Nap::Short(end) => Until::At(end),
            Nap::Whole => whole,
        }
    }
}

struct Waiter {
    index: u32,
    stamp: u32,
    own_set: Option<Set>,
}

impl<'m> Held<'m> {
    /// Sleeps until there may be `want` events, at most until `until`. The lock is given up meanwhile; afterwards it
    /// is held again unless the object is gone.
    pub fn sleep(self, number: RawFd, want: u32, most: usize, until: Until) -> (Woken, Option<Held<'m>>) {
        let waiter = match self.enlist(number, want) {
            Ok(waiter) => waiter,
            Err(error) => return (Woken::Failed(error), Some(self)),
        };
        let mut wakes = Wakes::new();
        let mut held = self;
        let mut nap = held.nap(until);
        loop {
            if let Some(own) = waiter.own_set {
                let _ = held.settle(); // the world may look at the object meanwhile
                if !held.registry.helper_is_ours(own.fd()) {
                    held.delist(waiter.index); // it was closed unseen: another one
                    return (Woken::Look, Some(held));
                }
            }
            if waiter.own_set.is_none()
                && let Err(error) = held.prove()
            {
                held.delist(waiter.index);
                return (Woken::Failed(error), Some(held));
            }
            if held.mask.harden() {
                held.delist(waiter.index);
                return (Woken::Interrupted, Some(held));
            }
            let (slept, again) = held.doze(&waiter, &mut wakes, most, nap.until(until));
            held = match again {
                Ok(again) => again,
                Err(woken) => return (woken, None),
            };
            let slot = held.slot(waiter.index);
            let untold = slept.is_ok() && slot.tag.get() == 0;
            let unsatisfied = untold
                && if wakes.is_empty() {
                    nap != Nap::Whole
                } else {
                    waiter.own_set.is_some() && held.harvest(want).is_ok() && held.queued() < want
                };
            if unsatisfied {
                if wakes.is_empty() {
                    held.confirm();
                    if held.object.linked.get() >= want {
                        held.delist(waiter.index); // a registration was made anew, of something that was ready
                        return (Woken::Look, Some(held));
                    }
                }
                nap = held.nap(until);
                slot.word.turn_into(State::Going); // in the same set: a new one would wake at once
                continue;
            }
            let told = (slot.tag.get(), Woken::Told(slot.beside.get() as i32, slot.user.get()));
            held.delist(waiter.index);
            let woken = match (slept, told) {
                (Err(Errno::EINTR), _) => Woken::Interrupted,
                (_, (GONE, _)) => Woken::Gone,
                (_, (TOLD, message)) => message,
                (Err(Errno::EBADF | Errno::EINVAL), _) if waiter.own_set.is_some() => Woken::Look,
                (Err(error), _) => Woken::Failed(error),
                (Ok(()), _) if wakes.is_empty() => Woken::TimedOut,
                _ => Woken::Look,
            };
            return (woken, Some(held));
        }
    }

    /// How long to sleep at once: while registrations are unsure not longer than a moment.
    fn nap(&self, until: Until) -> Nap {
        if self.object.unsure.get() == 0 {
            return Nap::Whole;
        }
        let end = below::now().saturating_add(UNSURE);
        match until {
            Until::At(deadline) if deadline <= end => Nap::Whole,
            _ => Nap::Short(end),
        }
    }

    /// Notes how many threads wait for this object, or look at it aside: true if the caller is not alone, or was not lately.
    pub fn note_company(&self) -> bool {
        let crowd = &self.object.crowd;
        if self.object.waiters.get() != 0 || self.object.pins.any() {
            crowd.set(COMPANY_LASTS);
        } else if crowd.get() != 0 {
            crowd.decrement();
        }
        crowd.get() != 0
    }

    /// What was noted.
    pub fn in_company(&self) -> bool {
        self.object.crowd.get() != 0
    }

    /// One turn without the lock. `Err`: the record is not the caller's any more, nor is the lock.
    fn doze(
        self,
        waiter: &Waiter,
        wakes: &mut Wakes,
        most: usize,
        until: Until,
    ) -> (Result<()>, core::result::Result<Held<'m>, Woken>) {
        let (registry, object, index, set, mask) =
            (self.registry, self.object, self.index, self.set, self.mask);
        let (start, looks, serial) = (object.clock.get(), object.looks.get(), registry.serial);
        drop(self);
        let slept = waiter.own_set.unwrap_or(set).turn(&object.batch, wakes, most, until, mask);
        if fork::current().is_none_or(|current| current.serial != serial) {
            return (slept, Err(Woken::Interrupted)); // a handler forked, and this is the child
        }
        let slot = registry.arena.slot(waiter.index);
        slot.word.come_back(waiter.stamp);
        let held = registry.hold_index(index, set, mask);
        if slot.word.stamp() != waiter.stamp {
            let woken = if slept == Err(Errno::EINTR) { Woken::Interrupted } else { Woken::Gone };
            return (slept, Err(woken));
        }
        if waiter.own_set.is_none() && slept.is_ok() {
            if object.kind.get() == KQUEUE {
                let fresh = object.looks.get() == looks; // nobody has worked on the queue meanwhile
                let _ = held.absorb_notes(wakes, 0, fresh); // the number was proved before
            } else {
                held.absorb(wakes, start);
            }
        }
        (slept, Ok(held))
    }

    fn enlist(&self, number: RawFd, want: u32) -> Result<Waiter> {
        let thread = self.me();
        self.sweep(thread);
        let index = self.registry.arena.new_slot(State::Going).ok_or(Errno::EAGAIN)?;
        // Without a descriptor to spare it sleeps with the others: then the world does not see the events that
        // are too few for it.
        let own_set = if want > 1 { self.registry.new_sleepers_set(self.set, self.mask).ok() } else { None };
        let slot = self.slot(index);
        slot.events.set(want as i32);
        slot.ident.set(thread as usize);
        slot.fd.set(number);
        slot.want.set(own_set.map_or(0, |set| set.fd() + 1));
        slot.tag.set(0);
        slot.mark.set(0);
        slot.home.set(self.index);
        slot.next.set(self.object.waiters.get());
        self.object.waiters.set(index);
        Ok(Waiter { index, stamp: slot.word.stamp(), own_set })
    }

    /// Records of the calling thread on this object are finished: see the module.
    fn sweep(&self, thread: i32) {
        while let Some(index) = self.waiters().find(|&w| self.slot(w).ident.get() == thread as usize) {
            self.delist(index);
        }
    }

    /// The calling thread. Remembered for this registry: a child has another one, and its thread another number.
    fn me(&self) -> i32 {
        below::thread_of(self.registry.serial)
    }

    fn waiters(&self) -> impl Iterator<Item = u32> + '_ {
        let some = |index: u32| (index != 0).then_some(index);
        core::iter::successors(some(self.object.waiters.get()), move |&w| some(self.slot(w).next.get()))
    }

    /// Ends a waiter's record. Whoever does it closes the set that it slept on.
    pub fn delist(&self, index: u32) {
        let (before, after) = (self.waiters().find(|&w| self.slot(w).next.get() == index), self.slot(index));
        match before {
            Some(before) => self.slot(before).next.set(after.next.get()),
            None => self.object.waiters.set(after.next.get()),
        }
        if after.want.get() != 0 {
            self.registry.drop_sleepers_set(Set::at(after.want.get() - 1));
        }
        self.registry.arena.free_slot(index);
    }

    /// Is there a sleeper who wants several events?
    pub fn has_patient(&self) -> bool {
        self.waiters().any(|w| self.slot(w).want.get() != 0)
    }

    /// Rings those who want several events and can have them.
    pub fn wake_the_patient(&self) {
        let mut unreachable = false;
        for slot in self.waiters().map(|w| self.slot(w)) {
            if slot.want.get() != 0 && slot.events.get() as u32 <= self.queued() {
                unreachable |= !self.ring_sleeper(slot);
            }
        }
        // A set of a sleeper's own was closed unseen: an edge of the object's wakes it there.
        if unreachable && self.object.loud.get() == 0 && self.fall_silent().is_ok() {
            let _ = self.raise();
        }
    }

    fn ring_sleeper(&self, slot: &Slot) -> bool {
        let bell = self.registry.bell.known();
        bell.is_some_and(|bell| Set::at(slot.want.get() - 1).ring(&bell, Ring::Once).is_ok())
    }

    /// The object has another set, at the same number: who sleeps beside it must watch that one.
    pub fn move_sleepers(&self, set: Set) {
        for slot in self.waiters().map(|w| self.slot(w)).filter(|slot| slot.want.get() != 0) {
            let _ = Set::at(slot.want.get() - 1).watch_edges(set);
            self.ring_sleeper(slot);
        }
    }

    /// Tells every waiter something, which it returns with.
    pub fn tell_all(&self, events: i32, user: usize) {
        for slot in self.waiters().map(|w| self.slot(w)).filter(|slot| slot.tag.get() == 0) {
            slot.beside.set(events as u32);
            slot.user.set(user);
            slot.tag.set(TOLD);
        }
    }

    /// Tells the waiters that entered through a number (or all) that it is closed.
    pub fn tell_gone(&self, number: Option<RawFd>) {
        for slot in self.waiters().map(|w| self.slot(w)) {
            if number.is_none_or(|fd| fd == slot.fd.get()) {
                slot.tag.set(GONE);
            }
        }
    }

    /// Wakes everybody who was told something, and waits until they are out of the kernel. `stays`: the object goes
    /// on living. `None`: it was gone when the lock was taken again.
    pub fn send_home(self, stays: bool) -> Option<Held<'m>> {
        let me = self.me() as usize;
        let mut pending_on_set = false;
        for slot in self.waiters().map(|w| self.slot(w)).filter(|slot| is_pending(slot, me)) {
            if slot.want.get() != 0 {
                self.ring_sleeper(slot);
            } else {
                pending_on_set = true;
            }
        }
        if pending_on_set {
            if self.ring(Ring::Loud).is_err() {
                return Some(self); // they are told, and will notice whenever they wake
            }
            self.object.loud.increment();
            self.object.bell.set(BELL_STEADY);
        }
        let (life, mut held) = (self.object.life.get(), self);
        loop {
            let next = held.waiters().find(|&w| is_pending(held.slot(w), me));
            let Some(index) = next else { break };
            held = held.await_return(index, stays, life)?;
        }
        if pending_on_set {
            held.object.loud.decrement();
            if stays && held.object.loud.get() == 0 {
                let _ = held.fall_silent();
            }
        }
        Some(held)
    }

    fn await_return(self, index: u32, stays: bool, life: u32) -> Option<Held<'m>> {
        let slot = self.slot(index);
        let (registry, own_index, set, mask) = (self.registry, self.index, self.set, self.mask);
        let stamp = slot.word.stamp();
        drop(self);
        let returned = await_thread(slot, stamp, stays);
        let held = registry.hold_index(own_index, set, mask);
        if held.object.life.get() != life {
            return None;
        }
        if !returned && slot.word.stamp() == stamp {
            slot.mark.set(EXCUSED);
        }
        Some(held)
    }
}

/// A waiter of another thread that was told something and is not back.
fn is_pending(slot: &Slot, me: usize) -> bool {
    let gone = matches!(slot.word.state(), State::Going | State::Awaited);
    gone && slot.tag.get() != 0 && slot.ident.get() != me && slot.mark.get() != EXCUSED
}

/// Waits until the thread has left its sleep; false if it runs other code (a handler, or code after a jump out of
/// one) or is no more. The wake-up is the futex; the looks at the thread are for those who will never give it.
fn await_thread(slot: &Slot, stamp: u32, stays: bool) -> bool {
    const LOOK_EVERY: u64 = 1_000_000;
    /// Looks at a running thread: it may be inside the kernel, where the program's mask is in force before the
    /// number is looked up and after the sleep, or in a handler that takes its time.
    const PATIENCE: u32 = 200;
    /// Looks in all. A thread that cannot be woken (its set was closed unseen, or two threads that jumped away wait
    /// for each other here) must not stop us for good.
    const LOOKS: u32 = 5_000;
    let thread = slot.ident.get() as i32;
    let set = if slot.want.get() != 0 { slot.want.get() - 1 } else { slot.fd.get() };
    let mut running = 0;
    for _ in 0..LOOKS {
        if slot.word.await_return(stamp, Some(LOOK_EVERY)) {
            return true;
        }
        match proc::whereabouts(thread, set) {
            proc::Whereabouts::HandlersBlocked => {}
            // It sleeps and holds the file, so the number may be closed. If the set lives on it must be seen off.
            proc::Whereabouts::InWait if stays => {}
            proc::Whereabouts::Running if running < PATIENCE => running += 1,
            _ => return false,
        }
    }
    false
}

impl Registry {
    fn new_sleepers_set(&self, object: Set, mask: &Masked) -> Result<Set> {
        let bell = self.bell(mask)?;
        let fd = below::sleepers_set()?;
        let set = Set::at(fd);
        let furnished = set.hang_bell(&bell).and_then(|()| set.watch_edges(object));
        match furnished.and_then(|()| self.table.entry(fd)) {
            Ok(entry) => {
                entry.set_helper();
                Ok(set)
            }
            Err(error) => {
                below::close(fd);
                Err(error)
            }
        }
    }

    fn drop_sleepers_set(&self, set: Set) {
        let ours = self.helper_is_ours(set.fd());
        if let Some(entry) = self.table.get(set.fd()) {
            entry.clear_helper();
        }
        if ours {
            below::close(set.fd());
        }
    }

    /// Is a helper's number still the helper? (The program may have closed it by a raw system call.)
    pub fn helper_is_ours(&self, fd: RawFd) -> bool {
        let Some(bell) = self.bell.known().filter(|bell| bell.is_ours()) else { return false };
        bell.fd() == fd || Set::at(fd).is_ours(&bell)
    }
}
