//! Files that the kernel has nothing to wait for: their notes are tested by each look.
//!
//! Nobody tells when such a file changes, but inotify does of regular ones. The object has an instance, a helper that is made
//! with the first note of a regular file and hangs in the set, so sleepers and pollers hear of it. The next look empties it and
//! links the notes of what has changed. Where it cannot be had (the user has too many, the file may not be read, no /proc,
//! a file system of another machine) a change is found by the next call. An own instance and not one for the process:
//! who empties a common one would have to tell all the others.

use super::held::Held;
use super::note::{DISABLED, FILE};
use crate::errno::Result;
use crate::host::measure::Kind;
use crate::host::{Cookie, Notices};

impl Held<'_> {
    /// A watch is of such a file.
    pub fn enter_file(&self, watch: u32) {
        self.put(watch, FILE, true);
        self.object.files.increment();
        self.note(watch).bits.set(0);
        if self.slot(watch).tag.get() == Kind::File as u32 {
            let asked = self.notices().and_then(|notices| notices.watch(self.slot(watch).fd.get()));
            self.note(watch).bits.set(asked.map_or(0, |notice| notice as u32 + 1));
        }
    }

    /// It is no more.
    pub fn leave_file(&self, watch: u32) {
        self.put(watch, FILE, false);
        self.object.files.decrement();
        let notice = self.note(watch).bits.replace(0);
        let is_others = |&other: &u32| self.is(other, FILE) && self.note(other).bits.get() == notice;
        if notice != 0
            && self.watches().find(is_others).is_none()
            && let Some(notices) = self.known_notices()
        {
            notices.unwatch(notice as i32 - 1);
        }
    }

    fn known_notices(&self) -> Option<Notices> {
        self.known_helper(&self.object.notices, Cookie::NOTICES).map(Notices::at)
    }

    fn notices(&self) -> Result<Notices> {
        let make = || Notices::make().map(Notices::fd);
        let fd = self.helper(&self.object.notices, Cookie::NOTICES, make)?;
        self.has_source();
        Ok(Notices::at(fd))
    }

    /// Files have changed: their notes may be ready, which is tested when they are taken out of the queue.
    pub fn take_notice(&self) {
        let Some(notices) = self.known_notices() else { return };
        notices.each(|name| {
            // A name below 0: there were too many to tell.
            let is_of = |&watch: &u32| {
                self.is(watch, FILE) && (name < 0 || self.note(watch).bits.get() == name as u32 + 1)
            };
            for watch in self.watches().filter(is_of) {
                for note in self.notes_of(watch).filter(|&note| !self.is(note, DISABLED)) {
                    self.link_note(note);
                }
            }
        });
    }
}
