//! Another set for a living object.
//!
//! A ghost whose file has no descriptor left in this process (a child keeps it) cannot be cut out of the set. Then the
//! set is replaced: everybody who sleeps on it is rung, each number of the object gets the new set, the watches are
//! armed in it, and our own sets that watched the object register it again. A set of the program's that held the
//! object's number forgets it: the price of a file that was closed behind everybody's back and lives elsewhere.

use super::Registry;
use super::held::{BELL_DOWN, Held};
use super::record::State;
use super::watch::NOTHING;
use crate::host::{Masked, RawFd, ReadySet, Ring, Set, below};

/// Numbers of one object that are seen to.
const MOST: usize = 64;

impl Held<'_> {
    /// Gives the object a set without ghosts; false if the process has no descriptor to spare.
    #[cold]
    pub fn replace_set(&self) -> bool {
        let (Some(bell), Ok(fresh)) = (self.registry.bell.known(), below::sleepers_set()) else {
            return false;
        };
        let furnished = Set::at(fresh).hang_bell(&bell).is_ok();
        self.object.signed.set(Set::at(fresh).sign().into());
        if furnished {
            // Never lowered again: it sends everybody home who sleeps there, or is about to.
            let _ = self.set.ring(&bell, Ring::Loud);
            for number in self.numbers() {
                // One that was closed unseen is somebody else's by now.
                if Set::at(number).is_ours(&bell) {
                    below::put_at(fresh, number);
                }
            }
            self.object.bell.set(BELL_DOWN);
            // The kernel has nothing of any watch any more.
            self.watches().for_each(|watch| self.arm_anew(watch));
            self.move_sleepers(self.set);
            self.registry.moved.set(self.index);
        }
        below::close(fresh);
        furnished
    }

    /// The object's numbers.
    pub fn numbers(&self) -> impl Iterator<Item = RawFd> + '_ {
        let some = |number: u32| number.checked_sub(1).map(|fd| fd as RawFd);
        let next = move |&fd: &RawFd| some(self.registry.table.get(fd)?.next_number.get());
        core::iter::successors(some(self.object.numbers.get()), next)
    }

    fn arm_anew(&self, index: u32) {
        self.mark(index, NOTHING);
        if self.slot(index).word.state() == State::Armed {
            self.arm_over(index);
        }
    }
}

impl Registry {
    /// Objects whose number got another set are armed again in the sets that watched it. No lock is held.
    #[cold]
    pub fn mend(&'static self, mask: &Masked) {
        let index = self.moved.replace(0);
        let mut numbers = [-1; MOST];
        let held = self.hold_index(index, Set::at(-1), mask);
        for (place, number) in numbers.iter_mut().zip(held.numbers()) {
            *place = number;
        }
        drop(held);
        for fd in numbers.into_iter().take_while(|&fd| fd >= 0) {
            let Ok(number) = self.hold_number(fd, mask) else { continue };
            let mut watch = number.entry.watches.get();
            while watch != 0 {
                let slot = self.arena.slot(watch);
                let outer = self.hold_index(slot.home.get(), Set::at(-1), mask).through_a_number();
                outer.arm_anew(watch);
                let _ = outer.settle();
                watch = slot.beside.get();
            }
        }
    }
}
