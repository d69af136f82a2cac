//! Looks at the ready set of an object: what the kernel has ready moves into the queue.
//!
//! **Order.** A look comes before everything that appends, so a single-threaded program sees one order over all
//! sources (R2.1, T-011). One case needs none: the first event that is posted to an empty queue rings the bell, and
//! the bell's place among the descriptors in the ready set tells later what came before it (`Object::unordered`).
//!
//! **Lazy re-arming.** A descriptor that is associated again and again keeps an enabled, level-triggered registration
//! between its events; only our word says whether it is associated. Therefore
//! * a wake is accepted if the watch is armed, and was armed before the wait began that returned the wake (a sleeper
//!   may bring it home late, when the event was long handled and the watch armed again);
//! * a wake of a watch that is *not* armed means that the descriptor is still ready: it would keep every sleep from
//!   being one. It is disabled in the kernel before a sleep, and the set is scanned once more, because the change
//!   does not unlink what is linked already;
//! * a registration that was used again without asking the kernel is *unsure*: the number may have been closed and
//!   used again by raw system calls, and the kernel has dropped it. It is sure once it fires. Before a long sleep, and
//!   by the looks of a busy object when they are unsure for some milliseconds, the others are confirmed, by adding them
//!   again: the kernel answers that they exist.
//!
//! A cookie that nobody knows, of a level-triggered registration, is a *ghost*: its number was closed unseen while a
//! duplicate lives on. The host cuts it out of the set ([`crate::host::ReadySet::cut`]).

use super::held::{BELL_DOWN, BELL_STEADY, BELL_UP, Held};
use super::record::{KQUEUE, State};
use super::watch::{FILE_READY, KEPT, LEVEL, NOTHING, ONCE, reportable};
use crate::errno::{Errno, Result};
use crate::host::{Class, Cookie, How, ReadySet, Until, Wake, Wakes, below};

/// A registration that fires all the time is confirmed that often.
const CONFIRM_EVERY: u32 = 64;
/// What is unsure for longer than two of these (milliseconds) is confirmed by the next look.
const TICK: u32 = 4;
/// While events are posted in a row the set is proved that often.
const PROVE_EVERY: u32 = 16;
/// Most armings that stay one-shot after a lazy one had to be undone.
const MOST_STRICT: u32 = 64;

/// What a wake means.
enum Meaning {
    /// The event of a watch, with its poll bits.
    Event(u32),
    /// Still ready, and its event is in the queue.
    Waiting,
    /// Still ready, and not armed.
    Unasked,
    /// A ghost, or a late wake of a registration that is no more.
    Stray,
    /// A kept one-shot registration that nobody asks for has fired: it is disabled now.
    Over,
    /// Late.
    Nothing,
}

/// Wakes of descriptors that are ready without being asked for.
#[derive(Default)]
pub struct Idlers {
    waiting: usize,
    unasked: usize,
}

impl Idlers {
    /// Is there one?
    pub fn is_any(&self) -> bool {
        self.waiting + self.unasked > 0
    }
}

impl Held<'_> {
    /// Looks, if there may be something to see. `want`: how many events the caller will sleep for otherwise; 0 if it
    /// will not sleep.
    pub fn harvest(&self, want: u32) -> Result<()> {
        let object = self.object;
        let quiet = object.armed.get() == 0 && object.levels.get() == 0 && object.haunted.get() == 0;
        if quiet && object.bell.get() != BELL_UP {
            return Ok(());
        }
        self.scan(want)
    }

    /// Before an event is posted: what is ready already goes first.
    pub fn order(&self) -> Result<()> {
        let object = self.object;
        if object.exposed.get() != 0 {
            self.prove()?;
        }
        if object.armed.get() == 0 {
            return Ok(());
        }
        let alone = object.waiters.get() == 0 && object.loud.get() == 0;
        match object.bell.get() {
            BELL_DOWN if self.queued() == 0 && alone => {
                object.unordered.set(1);
                return Ok(());
            }
            // The bell was rung through this number, and many posts come in a row: proved often enough.
            BELL_STEADY if self.registry.sees_closes && !object.looks.get().is_multiple_of(PROVE_EVERY) => {
                self.proved.set(true);
            }
            _ => {}
        }
        self.steady.set(alone && self.queued() != 0);
        self.scan(0)
    }

    /// Looks.
    #[inline(never)]
    pub fn scan(&self, want: u32) -> Result<()> {
        if self.object.kind.get() == KQUEUE {
            return self.gather(false).map(drop);
        }
        self.prove()?;
        self.object.looks.increment();
        if self.object.unsure.get() != 0 {
            self.confirm_old();
        }
        let mut wakes = Wakes::new();
        loop {
            let start = self.object.clock.get();
            self.set.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
            let idlers = self.absorb(&wakes, start);
            // Level-triggered ones come round again: who sees a waiting one has seen all.
            let full = wakes.len() == Wakes::ROOM;
            let mut again = full && idlers.waiting == 0;
            let unsatisfied = self.queued() < want;
            if unsatisfied && idlers.waiting + idlers.unasked > 0 || full && idlers.unasked > 0 {
                again |= self.calm_idlers(&wakes, unsatisfied);
            }
            if !again {
                self.object.unordered.set(0);
                return Ok(());
            }
        }
    }

    /// Takes in what a turn brought. `start`: the object's clock when it began; a sleeper may bring it home late.
    pub fn absorb(&self, wakes: &Wakes, start: u32) -> Idlers {
        let mut idlers = Idlers::default();
        // What lies before the bell was ready before the oldest event was posted.
        let mut before = if self.object.unordered.get() != 0 { self.object.oldest.get() } else { 0 };
        for wake in wakes.iter() {
            if wake.cookie == Cookie::BELL {
                before = 0;
                self.object.unordered.set(0);
                if self.object.bell.get() == BELL_UP {
                    self.object.bell.set(BELL_DOWN);
                }
                continue;
            }
            match self.meaning(wake, start) {
                Meaning::Event(_) if wake.cookie.is_level() && !self.is_sound(wake.cookie.slot) => {}
                Meaning::Event(bits) => {
                    self.proved.set(true); // nobody else's set has this cookie
                    self.take_in(wake.cookie.slot, bits, before);
                }
                Meaning::Waiting => idlers.waiting += 1,
                Meaning::Unasked | Meaning::Stray => idlers.unasked += 1,
                Meaning::Over => self.mark(wake.cookie.slot, ONCE),
                Meaning::Nothing => {}
            }
        }
        idlers
    }

    fn meaning(&self, wake: Wake, start: u32) -> Meaning {
        let (slot, level) = (self.slot(wake.cookie.slot), wake.cookie.is_level());
        let known = slot.home.get() == self.index
            && slot.mark.get() != NOTHING
            && slot.cookie.get() == wake.cookie.arming;
        match slot.word.state() {
            State::Armed if known => {
                let newer = (slot.since.get().wrapping_sub(start) as i32) > 0;
                let want = slot.want.get() as u32;
                let up = match wake.exact {
                    Some(bits) => bits,
                    None => below::sample(slot.fd.get(), want).unwrap_or(0),
                };
                if level && newer { Meaning::Nothing } else { Meaning::Event(up & reportable(want)) }
            }
            State::Queued if known && level => Meaning::Waiting,
            State::Spent | State::Idle if known && level => Meaning::Unasked,
            State::Idle if known => Meaning::Over,
            _ if level => Meaning::Stray,
            _ => Meaning::Nothing,
        }
    }

    fn take_in(&self, index: u32, bits: u32, before: u32) {
        let slot = self.slot(index);
        self.be_sure(index);
        self.object.armed.decrement();
        slot.events.set(bits as i32);
        slot.word.turn_into(State::Queued);
        if before == 0 { self.append(index) } else { self.insert_before(index, before) }
    }

    /// Disables what is ready without being asked for, of the last turn; true if there was something.
    fn calm_idlers(&self, wakes: &Wakes, waiting_too: bool) -> bool {
        let mut some = false;
        for wake in wakes.iter().filter(|wake| wake.cookie.is_level()) {
            match self.meaning(wake, self.object.clock.get()) {
                Meaning::Waiting if !waiting_too => continue,
                Meaning::Waiting | Meaning::Unasked => self.be_strict(wake.cookie.slot),
                Meaning::Stray if !self.cut(wake.cookie) => continue,
                Meaning::Stray => {}
                Meaning::Event(_) | Meaning::Over | Meaning::Nothing => continue,
            }
            some = true;
        }
        some
    }

    /// A lazy registration cost more than it saved: the next ones are one-shot.
    fn be_strict(&self, index: u32) {
        let slot = self.slot(index);
        let penalty = (slot.penalty.get() * 2).clamp(1, MOST_STRICT);
        slot.penalty.set(penalty);
        slot.strict.set(penalty);
        self.calm(index);
    }

    /// Disables the registration of a watch. The set has to be scanned afterwards.
    pub fn calm(&self, index: u32) {
        let slot = self.slot(index);
        let old = Cookie { slot: index, arming: slot.cookie.get() };
        let new = Cookie { slot: index, arming: slot.word.renew(slot.word.state()) };
        match self.set.calm(&self.object.batch, slot.fd.get(), new) {
            Ok(()) => {
                self.mark(index, ONCE);
                slot.cookie.set(new.arming);
            }
            Err(_) => {
                // The number was closed unseen: nothing can be done through it.
                self.mark(index, NOTHING);
                if old.is_level() {
                    self.object.haunted.set(1);
                    let _ = self.cut(old);
                }
            }
        }
    }

    /// Removes a ghost; false if that cannot be done for want of descriptors. What looks like one may be a registration that is just
    /// being changed, without the lock.
    #[cold]
    pub fn cut(&self, ghost: Cookie) -> bool {
        if self.object.pins.any() || self.prove().is_err() {
            return false;
        }
        self.mask.harden();
        self.registry.bell.known().is_some_and(|bell| self.set.cut(ghost, &bell)) || self.replace_set()
    }

    /// Uses the enabled registration of a spent watch again, for the same bits and user: no system call. False if there is
    /// none, or this is no time to be lazy.
    pub fn rearm(&self, index: u32, want: u32, user: usize) -> bool {
        let slot = self.slot(index);
        let usable = match slot.mark.get() {
            LEVEL => self.may_be_lazy(),
            KEPT => self.may_keep(),
            _ => false,
        };
        // Another user value is likely to mean another file under the same number.
        if !usable || slot.want.get() as u32 != want || slot.user.get() != user {
            return false;
        }
        if slot.mark.get() == KEPT {
            self.mark(index, ONCE);
        }
        slot.penalty.set(slot.penalty.get() / 2);
        self.doubt(index);
        self.set_armed(index);
        true
    }

    /// A cookie for a watch.
    pub fn cookie(&self, slot: u32, stamp: u32, level: bool) -> Cookie {
        if level { Cookie::level(slot, stamp) } else { Cookie { slot, arming: stamp } }
    }

    /// The watch waits for the kernel from now on.
    pub fn set_armed(&self, index: u32) {
        let slot = self.slot(index);
        self.object.clock.increment();
        slot.since.set(self.object.clock.get());
        slot.word.turn_into(State::Armed);
        self.object.armed.increment();
    }

    /// Level-triggered registrations are for an object that one thread waits for: others would be woken by what is not
    /// asked for.
    pub fn may_be_lazy(&self) -> bool {
        self.may_keep() && self.object.crowd.get() == 0 && self.object.waiters.get() == 0
    }

    /// Registrations may stay enabled when nobody asks for them: who polls the object from outside would see them.
    pub fn may_keep(&self) -> bool {
        self.registry.sees_closes && self.object.exposed.get() == 0
    }

    /// The object is polled from outside from now on: nothing stays enabled that is not asked for.
    #[cold]
    pub fn expose(&self) -> Result<()> {
        self.object.exposed.set(1);
        self.prove()?;
        self.wind_all();
        for index in self.watches() {
            let slot = self.slot(index);
            if self.object.kind.get() == KQUEUE {
                let _ = self.fit(index);
                continue;
            }
            match (slot.word.state(), slot.mark.get()) {
                (_, NOTHING) => {}
                (State::Idle, _) => self.unregister(index),
                (State::Armed, LEVEL) => self.arm_over(index),
                (_, LEVEL) => self.calm(index),
                _ => {}
            }
        }
        self.scan(0)?;
        self.settle()
    }

    /// A registration is used without asking the kernel whether it is there.
    pub fn doubt(&self, index: u32) {
        let (slot, first) = (self.slot(index), self.object.unsure.get());
        if slot.previous_unsure.get() != 0 {
            return;
        }
        slot.doubted.set(0);
        slot.previous_unsure.set(index);
        slot.next_unsure.set(first);
        if first != 0 {
            self.slot(first).previous_unsure.set(index);
        }
        self.object.unsure.set(index);
    }

    /// The registration of a watch is known to be there, or of no interest any more.
    pub fn be_sure(&self, index: u32) {
        let slot = self.slot(index);
        let (previous, next) = (slot.previous_unsure.replace(0), slot.next_unsure.get());
        if previous == 0 {
            return;
        }
        if previous == index {
            self.object.unsure.set(next);
        } else {
            self.slot(previous).next_unsure.set(next);
        }
        if next != 0 {
            self.slot(next).previous_unsure.set(if previous == index { next } else { previous });
        }
    }

    /// What the kernel has of a watch.
    pub fn mark(&self, index: u32, what: u32) {
        let before = self.slot(index).mark.replace(what);
        let levels = &self.object.levels;
        levels.set(
            levels.get().wrapping_add(u32::from(what == LEVEL)).wrapping_sub(u32::from(before == LEVEL)),
        );
    }

    /// Asks the kernel about all registrations that are unsure, and makes anew those that are gone.
    #[inline(never)]
    pub fn confirm(&self) {
        while self.object.unsure.get() != 0 {
            self.confirm_one(self.object.unsure.get());
        }
    }

    fn confirm_one(&self, index: u32) {
        self.be_sure(index);
        match self.slot(index).word.state() {
            State::Armed if self.object.kind.get() == KQUEUE => drop(self.confirm_watch(index)),
            State::Armed => drop(self.is_there(index)),
            _ => {}
        }
    }

    /// The same for those that are unsure for a while: an object that is never idle must not be late for them.
    pub fn confirm_old(&self) {
        let tick = below::coarse_ms() / TICK;
        if self.object.tick.replace(tick) == tick {
            return;
        }
        let mut index = self.object.unsure.get();
        while index != 0 {
            let slot = self.slot(index);
            let next = slot.next_unsure.get();
            if slot.doubted.replace(1) != 0 {
                self.confirm_one(index);
            }
            index = next;
        }
    }

    /// A registration that fires may be a ghost's, whose number has another file that is used in its stead. So the
    /// kernel is asked now and then: at once, and more and more seldom while the answer is good.
    fn is_sound(&self, index: u32) -> bool {
        let fires = &self.slot(index).fires;
        fires.increment();
        let fires = fires.get();
        if fires.is_power_of_two() && fires < CONFIRM_EVERY || fires.is_multiple_of(CONFIRM_EVERY) {
            self.is_there(index)
        } else {
            true
        }
    }

    /// Is the enabled registration of an armed watch that of its number? If the kernel has none, it has from now on.
    #[inline(never)]
    fn is_there(&self, index: u32) -> bool {
        let slot = self.slot(index);
        if self.prove().is_err() {
            return true;
        }
        let cookie = self.cookie(index, slot.word.renew(State::Armed), slot.mark.get() == LEVEL);
        let (fd, want) = (slot.fd.get(), slot.want.get() as u32);
        match self.set.arm(&self.object.batch, fd, cookie, want, How::Unless) {
            Err(Errno::EEXIST) => return true,
            Ok(Class::Pollable) => slot.cookie.set(cookie.arming),
            // Another file has the number, of a kind that is always ready.
            Ok(Class::AlwaysReady) => {
                self.mark(index, NOTHING);
                self.take_in(index, want & FILE_READY, 0);
            }
            // It is not open: the watch is of nothing, until somebody associates or closes the number.
            Err(_) => self.mark(index, NOTHING),
        }
        slot.fires.set(0);
        self.object.haunted.set(1);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Masked, Set};
    use crate::registry::{Registry, memory};

    fn spent_watch(mask: &Masked) -> (Held<'_>, u32) {
        let registry = memory::keep(Registry::new().unwrap()).unwrap();
        let index = registry.arena.new_object(1).unwrap();
        let held = registry.hold_index(index, Set::at(-1), mask);
        held.object.limit.set(1);
        let slot = held.reserve(State::Spent).unwrap();
        held.slot(slot).want.set(1);
        (held, slot)
    }

    #[test]
    fn late_wakes_are_dropped() {
        let mask = Masked::new();
        let (held, slot) = spent_watch(&mask);
        let stamp = |word: &crate::registry::word::Word| word.renew(State::Spent);
        let word = &held.slot(slot).word;
        let (old, new) = (Cookie { slot, arming: stamp(word) }, Cookie { slot, arming: stamp(word) });
        held.mark(slot, ONCE);
        held.slot(slot).cookie.set(new.arming);
        held.set_armed(slot);
        let is_event = |cookie, start| {
            matches!(held.meaning(Wake { cookie, exact: Some(0x11) }, start), Meaning::Event(0x11))
        };
        assert!(!is_event(old, 9), "of an earlier arming");
        assert!(is_event(new, 9));
        held.take_in(slot, 0x11, 0);
        assert!(!is_event(new, 9), "one-shot");
        assert_eq!((held.queued(), held.object.armed.get()), (1, 0));
        assert_eq!(held.take().map(|event| event.events), Some(0x11));
    }

    #[test]
    fn a_wake_from_before_the_arming_is_late() {
        let mask = Masked::new();
        let (held, slot) = spent_watch(&mask);
        let cookie = held.cookie(slot, held.slot(slot).word.renew(State::Spent), true);
        held.mark(slot, LEVEL);
        held.slot(slot).cookie.set(cookie.arming);
        held.set_armed(slot);
        let start = held.object.clock.get();
        let wake = Wake { cookie, exact: Some(1) };
        assert!(matches!(held.meaning(wake, start), Meaning::Event(1)));
        held.take_in(slot, 1, 0);
        assert!(matches!(held.meaning(wake, start), Meaning::Waiting));
        held.take();
        assert!(matches!(held.meaning(wake, start), Meaning::Unasked));
        held.set_armed(slot);
        assert!(matches!(held.meaning(wake, start), Meaning::Nothing), "the wait began before");
        held.object.clock.set(u32::MAX);
        held.set_armed(slot);
        assert!(matches!(held.meaning(wake, u32::MAX), Meaning::Nothing), "the clock wraps");
        assert!(matches!(held.meaning(wake, 0), Meaning::Event(1)));
        held.slot(slot).word.renew(State::Free);
        assert!(matches!(held.meaning(wake, 0), Meaning::Stray), "a ghost");
    }
}
