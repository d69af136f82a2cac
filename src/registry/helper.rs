//! Helpers: descriptors of the library's own that hang in the set of an object.
//!
//! Their numbers may be closed unseen, and be the program's by then. So one is never touched before the set has confirmed that it
//! is the one that hangs there with its cookie.

use super::cell::CellInt;
use super::held::Held;
use super::table::Entry;
use crate::errno::Result;
use crate::host::{Alarm, Cookie, RawFd, ReadySet, Set, below};

impl Held<'_> {
    /// The helper whose number, plus one, a cell has, if it is there and ours.
    pub fn known_helper(&self, cell: &CellInt, cookie: Cookie) -> Option<RawFd> {
        let fd = cell.get() - 1;
        (fd >= 0 && Alarm::at(fd).hangs_in(self.set, cookie)).then_some(fd)
    }

    /// That helper, or a new one, which hangs in the set then. EAGAIN, ENOMEM, or what `make` answers.
    pub fn helper(
        &self,
        cell: &CellInt,
        cookie: Cookie,
        make: impl FnOnce() -> Result<RawFd>,
    ) -> Result<RawFd> {
        if let Some(fd) = self.known_helper(cell, cookie) {
            return Ok(fd);
        }
        let fd = make()?;
        let hung = self.registry.table.entry(fd).and_then(|entry| {
            Alarm::at(fd).hang_in(self.set, cookie)?;
            Set::at(fd).sign();
            entry.set_helper();
            Ok(())
        });
        match hung {
            Ok(()) => cell.set(fd + 1),
            Err(_) => below::close(fd),
        }
        hung.map(|()| fd)
    }

    /// Closes a helper. If the set is gone, because the object's number was closed unseen, the helper's sign tells that it is ours.
    fn drop_helper(&self, cell: &CellInt, cookie: Cookie) {
        let number = cell.get();
        if number == 0 {
            return;
        }
        let entry = self.registry.table.get(number - 1);
        let still = entry.is_some_and(Entry::helper);
        let known = if self.set_is_ours() {
            self.known_helper(cell, cookie)
        } else {
            Some(number - 1).filter(|&fd| still && Set::at(fd).is_signed())
        };
        if let Some(entry) = entry {
            entry.clear_helper();
        }
        if let Some(fd) = known {
            below::close(fd);
        }
        cell.set(0);
    }

    /// Closes the helpers of an object, with it.
    pub fn drop_helpers(&self) {
        for (at, number) in self.object.alarms.iter().enumerate() {
            self.drop_helper(number, Cookie { slot: 0, arming: at as u32 + 1 });
        }
        self.drop_helper(&self.object.side, Cookie::SIDE_SET);
        self.drop_helper(&self.object.notices, Cookie::NOTICES);
    }
}
