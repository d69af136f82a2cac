//! Things that the program does to its own descriptor and that look like arrivals to the kernel: `shutdown`.
//!
//! The edge that they make belongs to the socket, whatever number it is watched under. So every watch of it is looked at
//! before, and again after, and what comes then without there being more to read is no news.

use super::Registry;
use super::held::Held;
use super::note::ECHO;
use super::record::KQUEUE;
use crate::host::{Masked, RawFd, ReadySet, Set, below};

impl Registry {
    /// Runs `work`, which does something to the socket `fd`.
    pub fn without_echo<T>(&'static self, fd: RawFd, work: impl FnOnce() -> T) -> T {
        let Ok(file) = below::identity(fd) else { return work() };
        self.each_watch_of(file, |held, watch| held.before_echo(watch));
        let result = work();
        self.each_watch_of(file, |held, watch| held.after_echo(watch));
        self.each_watch_of(file, |held, watch| held.put(watch, ECHO, false));
        result
    }

    /// Is any number watched by a kqueue?
    pub fn has_notes(&self) -> bool {
        self.arena.has_notes()
    }

    fn each_watch_of(&'static self, file: below::Identity, act: impl Fn(&Held<'_>, u32)) {
        for fd in self.table.involved(0, u32::MAX) {
            let Some(entry) = self.table.get(fd).filter(|entry| entry.watches.get() != 0) else { continue };
            if below::identity(fd) != Ok(file) {
                continue;
            }
            let mask = Masked::new();
            let Ok(number) = self.hold_number(fd, &mask) else { continue };
            let mut watch = entry.watches.get();
            while watch != 0 {
                let slot = self.arena.slot(watch);
                let held = self.hold_index(slot.home.get(), Set::at(-1), &mask).through_a_number();
                if held.object.kind.get() == KQUEUE {
                    act(&held, watch);
                    let _ = held.settle();
                }
                watch = slot.beside.get();
            }
            drop(number);
        }
    }
}
