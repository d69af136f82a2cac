//! The model: one port, as the specification has it.
//!
//! A queue in the order of posting (R2.1), one association a number (R4.2), one event an association (R4.5).
//!
//! **What is left open**, and nothing else is:
//! * The order of descriptors that became ready between two calls that look at the port (R4.4, T-015): such a batch
//!   is a set. What was posted before it comes before it, what is posted after it comes after it.
//! * An association made again after its event was retrieved is sampled in that call or in the next one that looks
//!   (R4.4): it belongs to the batch of that next call.
//! * Which of the bits that were up between two such moments an event carries (R4.6).
//! * Readiness that comes and goes with no call in between leaves nothing ("given up" of R4.7). Where a call in
//!   between may have seen it or not, the program is made to look before it takes the readiness away; and where it
//!   may still have its place in the order, before it sends.
//! * After a get, a descriptor that it reported and that is ready may show the port readable until the next get.

use super::{LIMIT, SLOTS, sys};
use std::collections::VecDeque;

/// Bits that are always reported (R4.6).
pub const ALWAYS: i32 = (libc::POLLHUP | libc::POLLERR) as i32;

/// The bits of an event: it must carry `must`, it may carry `may`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bits {
    must: i32,
    may: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Waiting. `seen`: it was ready when a call may have looked.
    Armed { seen: Option<Bits> },
    /// Its event is in the queue.
    Queued,
    /// Its event was retrieved. `fresh`: by the last get.
    Taken { fresh: bool },
}

#[derive(Clone, Copy, Debug)]
struct Association {
    state: State,
    events: i32,
    user: usize,
}

#[derive(Debug)]
enum Item {
    User { events: i32, user: usize },
    Batch(Vec<(usize, Bits)>),
}

/// Which bits of those asked for are up at a number.
pub type Up<'a> = &'a dyn Fn(usize, i32) -> i32;

/// See the module.
#[derive(Default, Debug)]
pub struct Port {
    associations: [Option<Association>; SLOTS],
    queue: VecDeque<Item>,
    alert: Option<(i32, usize)>,
    had_descriptor: bool,
    /// Numbers that were ready when an event was sent to the empty port: before it in the queue, but perhaps in the
    /// kernel until the next call that looks.
    unseen: Vec<usize>,
    /// The readiness of an armed descriptor came and went unseen. Should it come again after an event was sent, it may
    /// be reported before that: as if it had never gone.
    gone: bool,
}

/// What a get may have found in the kernel only: see [`Port::finish_get`].
pub struct Found(Vec<usize>);

impl Port {
    fn ready(&self, up: Up<'_>) -> Vec<(usize, Bits)> {
        let armed = |slot: usize| match self.associations[slot] {
            Some(Association { state: State::Armed { seen }, events, .. }) => Some((events, seen)),
            _ => None,
        };
        let bits = |slot| {
            let (events, seen) = armed(slot)?;
            let now = up(slot, events) & (events | ALWAYS);
            let seen = seen.unwrap_or(Bits { must: now, may: now });
            (now != 0).then_some((slot, Bits { must: now & seen.must, may: now | seen.may }))
        };
        (0..SLOTS).filter_map(bits).collect()
    }

    fn queued(&self) -> usize {
        let length = |item: &Item| if let Item::Batch(set) = item { set.len() } else { 1 };
        self.queue.iter().map(length).sum()
    }

    /// Events that a call must find now (R13.1).
    pub fn available(&self, up: Up<'_>) -> usize {
        self.queued() + self.ready(up).len()
    }

    /// Slots in use (R2.2): a descriptor keeps its own also after its event was retrieved.
    fn used(&self) -> usize {
        let users = self.queue.iter().filter(|item| matches!(item, Item::User { .. })).count();
        users + self.associations.iter().flatten().count()
    }

    fn set_state(&mut self, slot: usize, state: State) {
        if let Some(association) = &mut self.associations[slot] {
            association.state = state;
        }
    }

    /// A call looks at the port: what is ready is queued.
    fn look(&mut self, up: Up<'_>) -> Found {
        self.see(up);
        self.gone = false;
        let ready = self.ready(up);
        let found = Found(ready.iter().map(|&(slot, _)| slot).collect());
        for &slot in &found.0 {
            self.set_state(slot, State::Queued);
        }
        if !ready.is_empty() {
            self.queue.push_back(Item::Batch(ready));
        }
        found
    }

    /// What a send left to the kernel is taken in: with the bits that are up now, or were then.
    fn see(&mut self, up: Up<'_>) {
        for slot in std::mem::take(&mut self.unseen) {
            let events = self.events_of(slot).unwrap_or(0);
            let now = up(slot, events) & (events | ALWAYS);
            let batches = self.queue.iter_mut().filter_map(|item| match item {
                Item::Batch(set) => Some(set),
                Item::User { .. } => None,
            });
            for (_, bits) in batches.flatten().filter(|(member, _)| *member == slot) {
                *bits = Bits { must: bits.must & now, may: bits.may | now };
            }
        }
    }

    /// A call may have looked.
    pub fn glimpse(&mut self, up: Up<'_>) {
        for (slot, bits) in self.ready(up) {
            self.set_state(slot, State::Armed { seen: Some(bits) });
        }
    }

    /// Is it open whether the readiness of a number was seen?
    pub fn is_undecided(&self, slot: usize) -> bool {
        self.unseen.contains(&slot)
            || matches!(
                self.associations[slot],
                Some(Association { state: State::Armed { seen: Some(_) }, .. })
            )
    }

    /// The readiness of a number is taken away.
    pub fn takes_away(&mut self, slot: usize) {
        self.gone |= matches!(self.associations[slot], Some(Association { state: State::Armed { .. }, .. }));
    }

    /// Is the place of the next event that is sent open?
    pub fn is_order_open(&self) -> bool {
        self.gone && self.queue.is_empty()
    }

    fn unqueue(&mut self, slot: usize) {
        self.unseen.retain(|&other| other != slot);
        for item in &mut self.queue {
            if let Item::Batch(set) = item {
                set.retain(|&(other, _)| other != slot);
            }
        }
        self.queue.retain(|item| !matches!(item, Item::Batch(set) if set.is_empty()));
    }

    /// The number was given up (R4.20), or dissociated.
    pub fn forget(&mut self, slot: usize) {
        self.unqueue(slot);
        self.associations[slot] = None;
    }

    /// 4.2.
    pub fn associate(
        &mut self,
        slot: usize,
        events: i32,
        user: usize,
        open: bool,
        up: Up<'_>,
    ) -> Result<(), i32> {
        self.glimpse(up);
        if !open {
            return Err(libc::EBADFD);
        }
        let before = self.associations[slot].map(|association| association.state);
        if before.is_none() && self.used() >= LIMIT {
            return Err(libc::EAGAIN);
        }
        self.had_descriptor = true;
        let now = up(slot, events) & (events | ALWAYS);
        let bits = Bits { must: now, may: now };
        let seen = (now != 0).then_some(bits);
        if now != 0 && !matches!(before, Some(State::Taken { .. })) {
            self.look(up); // what was ready before goes first (R2.1)
            self.unqueue(slot); // R4.3
            self.queue.push_back(Item::Batch(vec![(slot, bits)]));
            self.associations[slot] = Some(Association { state: State::Queued, events, user });
        } else {
            self.unqueue(slot);
            self.associations[slot] = Some(Association { state: State::Armed { seen }, events, user });
        }
        Ok(())
    }

    /// 4.4.
    pub fn dissociate(&mut self, slot: usize, open: bool, up: Up<'_>) -> Result<(), i32> {
        self.glimpse(up);
        if !self.had_descriptor {
            return Err(libc::ENOENT); // check 5: even if the number is not open
        }
        if !open {
            return Err(libc::EBADFD);
        }
        let state = self.associations[slot].ok_or(libc::ENOENT)?.state;
        self.forget(slot);
        if matches!(state, State::Taken { .. }) { Err(libc::ENOENT) } else { Ok(()) }
    }

    /// R6.1.
    pub fn send(&mut self, events: i32, user: usize, up: Up<'_>) -> Result<(), i32> {
        if self.used() >= LIMIT {
            self.glimpse(up);
            return Err(libc::EAGAIN);
        }
        let was_empty = self.queue.is_empty();
        let Found(ready) = self.look(up); // T-011: what is ready was posted before
        if was_empty {
            self.unseen = ready;
        }
        self.queue.push_back(Item::User { events, user });
        Ok(())
    }

    /// R8.1, R8.2.
    pub fn set_alert(&mut self, flags: i32, events: i32, user: usize, up: Up<'_>) -> Result<(), i32> {
        self.glimpse(up);
        if events == 0 {
            self.alert = None;
        } else if flags & 3 == 3 {
            return Err(libc::EINVAL);
        } else if flags == 2 && self.alert.is_some() {
            return Err(libc::EBUSY);
        } else {
            self.alert = Some((events, user));
        }
        Ok(())
    }

    /// The alert that every get returns now (R8.5).
    pub fn alerted(&self) -> Option<(i32, usize)> {
        self.alert
    }

    /// port_getn with max 0 (7.1 d): it looks, and the number is exact.
    pub fn count(&mut self, up: Up<'_>) -> usize {
        self.look(up);
        self.queued()
    }

    /// A get that may take events begins.
    pub fn begin_get(&mut self, up: Up<'_>) -> Found {
        for association in self.associations.iter_mut().flatten() {
            if let State::Taken { fresh } = &mut association.state {
                *fresh = false;
            }
        }
        self.look(up)
    }

    /// A get returned this event as its next.
    pub fn take(&mut self, event: &sys::Event) -> Result<(), String> {
        let front = self.queue.front_mut().ok_or("an event, and none is there")?;
        let set = match front {
            Item::User { events, user } => {
                if (event.source, event.object, event.events, event.user) != (3, 0, *events, *user) {
                    return Err(format!("expected a user event, events {events}, user {user}"));
                }
                self.queue.pop_front();
                return Ok(());
            }
            Item::Batch(set) => set,
        };
        let slot = super::files::slot_of(event.object);
        let place = set.iter().position(|&(member, _)| Some(member) == slot && event.source == 4);
        let place = place.ok_or_else(|| format!("expected one of the numbers {:?}", set_names(set)))?;
        let (slot, bits) = set.remove(place);
        if set.is_empty() {
            self.queue.pop_front();
        }
        let user = self.associations[slot].map(|association| association.user);
        if user != Some(event.user) {
            return Err(format!("expected user {user:?}"));
        }
        if event.events & bits.must != bits.must || event.events & !bits.may != 0 || event.events == 0 {
            let (must, may) = (super::op::bits(bits.must), super::op::bits(bits.may));
            return Err(format!("expected at least {must}, at most {may}"));
        }
        self.set_state(slot, State::Taken { fresh: true });
        Ok(())
    }

    /// It returned. If it took all that it may, what else was ready may not have been looked at.
    pub fn finish_get(&mut self, found: &Found, full: bool) {
        if !full || self.queued() == 0 {
            return;
        }
        let Some(Item::Batch(set)) = self.queue.back() else { return };
        let left: Vec<(usize, Bits)> =
            set.iter().filter(|(slot, _)| found.0.contains(slot)).copied().collect();
        for (slot, bits) in left {
            self.unqueue(slot);
            self.set_state(slot, State::Armed { seen: Some(bits) });
        }
    }

    /// May poll(2) find the empty port readable? Only for a descriptor that the last get reported and that is ready:
    /// still, or again, which nobody but the kernel can tell apart.
    pub fn may_linger(&self, up: Up<'_>) -> bool {
        let lingers = |slot: usize| match self.associations[slot] {
            Some(Association { state: State::Taken { fresh: true }, events, .. }) => {
                up(slot, events) & (events | ALWAYS) != 0
            }
            _ => false,
        };
        (0..SLOTS).any(lingers)
    }

    /// Was the number's event retrieved by the last get, and nothing happened to the association since?
    pub fn is_fresh(&self, slot: usize) -> bool {
        matches!(self.associations[slot], Some(Association { state: State::Taken { fresh: true }, .. }))
    }

    /// The events that an association asks for.
    pub fn events_of(&self, slot: usize) -> Option<i32> {
        self.associations[slot].map(|association| association.events)
    }
}

fn set_names(set: &[(usize, Bits)]) -> Vec<usize> {
    set.iter().map(|&(slot, _)| slot).collect()
}
