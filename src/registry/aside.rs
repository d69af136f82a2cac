//! Work on the set without the object's lock, for an object that several threads wait for: nobody waits for anybody's system
//! calls. The object is pinned meanwhile ([`super::pin`]).
//!
//! **Registrations are one-shot there**: with one that stays enabled the threads asleep would be woken by what nobody asks for.
//!
//! **Each call proves the number**: it may have been closed by a raw system call, and be an epoll set of the program's own. The sign
//! of the set tells ([`crate::host::ReadySet::sign`]), for the price of the cheapest system call. Only a look of a queue needs none
//! where closes are seen (`gather`).

use super::Registry;
use super::held::Held;
use super::record::{KQUEUE, Object, State};
use super::watch::ONCE;
use crate::errno::Result;
use crate::host::{Class, Cookie, How, Masked, RawFd, ReadySet, Set, Until, Wakes};

/// A registration that is to be enabled again, for one wake.
#[derive(Clone, Copy)]
pub struct Arming {
    fd: RawFd,
    cookie: Cookie,
    want: u32,
}

/// What came of the work.
pub struct Aside<T> {
    /// Was the registration enabled?
    pub armed: bool,
    /// Did the look fail?
    pub looked: Result<()>,
    /// Has nobody else looked meanwhile?
    pub fresh: bool,
    /// What `peek` has seen.
    pub peeked: T,
    /// The object's clock when it began.
    start: u32,
}

/// An object that is pinned.
struct Unlocked<'m> {
    registry: &'static Registry,
    object: &'static Object,
    index: u32,
    set: Set,
    mask: &'m Masked,
}

impl<'m> Unlocked<'m> {
    /// Is the number ours?
    fn is_ours(&self) -> bool {
        if self.object.signed.get() != 0 {
            return self.set.is_signed();
        }
        self.registry.bell.known().is_some_and(|bell| self.set.is_ours(&bell))
    }

    fn arm(&self, Arming { fd, cookie, want }: Arming) -> bool {
        self.set.arm(&self.object.batch, fd, cookie, want, How::Again) == Ok(Class::Pollable)
    }

    /// The lock again, instead of the pin.
    fn lock(self) -> Held<'m> {
        let held = self.registry.hold_index(self.index, self.set, self.mask);
        self.object.pins.unpin();
        held
    }
}

impl<'m> Held<'m> {
    fn unlock(self) -> Unlocked<'m> {
        let (registry, object, index, set, mask) =
            (self.registry, self.object, self.index, self.set, self.mask);
        object.pins.pin();
        Unlocked { registry, object, index, set, mask }
    }

    /// Prepares the registration of a watch for one wake more: it has another cookie from now on, and has to be enabled at once.
    /// Only where the number's lock is held, so that it stays the same file's.
    pub fn begin_arming(&self, index: u32, want: u32) -> Arming {
        let slot = self.slot(index);
        let cookie = Cookie { slot: index, arming: slot.word.renew(State::Armed) };
        self.mark(index, ONCE);
        slot.cookie.set(cookie.arming);
        slot.want.set(want as i32);
        Arming { fd: slot.fd.get(), cookie, want }
    }

    /// Enables a registration, and looks for at most `most` wakes (0: does not). `peek` may have a look at what they name.
    pub fn aside<T>(
        self,
        arming: Option<Arming>,
        (wakes, most): (&mut Wakes, usize),
        peek: impl FnOnce(&Wakes) -> T,
    ) -> (Aside<T>, Held<'m>) {
        let object = self.object;
        object.looks.increment();
        let (start, looks) = (object.clock.get(), object.looks.get());
        let free = self.unlock();
        // If not, whoever does it again, or sleeps, finds out why.
        let trusted = arming.is_none() && object.kind.get() == KQUEUE && free.registry.sees_closes;
        let armed = (trusted || free.is_ours()) && arming.is_none_or(|arming| free.arm(arming));
        let looked = match armed && most > 0 {
            true => free.set.turn(&object.batch, wakes, most, Until::Now, free.mask),
            false => Ok(()),
        };
        let peeked = peek(wakes);
        let held = free.lock();
        if let Some(Arming { cookie, .. }) = arming
            && held.slot(cookie.slot).cookie.get() != cookie.arming
        {
            let _ = held.fit_exactly(cookie.slot); // somebody has changed it meanwhile, before us or after
        }
        let fresh = object.looks.get() == looks;
        (Aside { armed, looked, fresh, start, peeked }, held)
    }

    /// A look of a port for at most `most` wakes.
    pub fn look_aside(self, most: usize) -> Result<Held<'m>> {
        let mut wakes = Wakes::new();
        let (aside, held) = self.aside(None, (&mut wakes, most), |_| ());
        aside.looked?;
        let idlers = held.absorb(&wakes, aside.start);
        if !wakes.is_empty() || !aside.armed {
            held.prove()?; // one of ours among them has done so
        }
        if idlers.is_any() || held.object.unsure.get() != 0 {
            held.harvest(1)?; // which calms them, and asks about those that are unsure for long
        }
        Ok(held)
    }

    /// [`Held::arm`] for a port, where the number's lock is held. `Err`: it failed, and nothing is armed.
    pub fn arm_aside(self, index: u32) -> core::result::Result<(), Held<'m>> {
        let arming = self.begin_arming(index, self.slot(index).want.get() as u32);
        // Armed before the kernel knows: who brings the wake home must find it so.
        self.set_armed(index);
        let free = self.unlock();
        if free.is_ours() && free.arm(arming) {
            free.object.pins.unpin();
            return Ok(());
        }
        let held = free.lock();
        held.quiet(index);
        Err(held)
    }
}
