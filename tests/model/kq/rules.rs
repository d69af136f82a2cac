//! The model's knotes (sections 4, 5, 7 and 8).

use super::machine::{Like, Machine, What};
use super::scan::Entry;

pub const READ: i16 = -1;
pub const WRITE: i16 = -2;
pub const TIMER: i16 = -7;
pub const USER: i16 = -11;

pub const ADD: u16 = 0x1;
pub const DELETE: u16 = 0x2;
pub const ENABLE: u16 = 0x4;
pub const DISABLE: u16 = 0x8;
pub const ONESHOT: u16 = 0x10;
pub const CLEAR: u16 = 0x20;
pub const RECEIPT: u16 = 0x40;
pub const DISPATCH: u16 = 0x80;
pub const FORCEONESHOT: u16 = 0x100;
pub const KEEPUDATA: u16 = 0x200;
pub const ERROR: u16 = 0x4000;
pub const EOF: u16 = 0x8000;

pub const LOWAT: u32 = 1;
pub const TRIGGER: u32 = 0x0100_0000;
pub const CONTROL: u32 = 0xC000_0000;
pub const AND: u32 = 0x4000_0000;
pub const OR: u32 = 0x8000_0000;
pub const ABSOLUTE: u32 = 0x8;
pub const ABSTIME: u32 = 0x2000;
const BITS: u32 = 0x00FF_FFFF;

/// One entry of a changelist or of an eventlist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kevent {
    pub ident: usize,
    pub filter: i16,
    pub flags: u16,
    pub fflags: u32,
    pub data: i64,
    pub user: usize,
}

/// A registration.
#[derive(Clone, Debug)]
pub struct Note {
    pub queue: usize,
    pub ident: usize,
    pub filter: i16,
    /// What the descriptor is open to.
    pub file: Option<What>,
    /// EV_CLEAR, EV_RECEIPT, EV_DISPATCH, of the first EV_ADD.
    pub flags: u16,
    /// EV_ONESHOT.
    pub once: bool,
    /// EV_EOF.
    pub eof: bool,
    /// EV_ERROR of a timer.
    pub failed: bool,
    pub disabled: bool,
    pub active: bool,
    /// The wish: fflags and data of the last change. Of USER, what an event shows.
    pub wish: (u32, i64),
    /// NOTE_TRIGGER.
    pub triggered: bool,
    /// What the last test found, or how often the timer expired.
    pub data: i64,
    pub user: usize,
    /// Of EV_CLEAR on a queue: what came into that since the last delivery.
    pub news: Vec<(i16, usize)>,
    /// Nothing signals it any more.
    pub adrift: bool,
}

impl Note {
    pub fn on_pipe(&self, channel: usize) -> bool {
        matches!(self.file, Some(What::PipeRead(c) | What::PipeWrite(c)) if c == channel)
    }

    pub fn reads_from(&self, channel: usize) -> bool {
        self.filter == READ && matches!(self.file, Some(What::Socket { inbox, .. }) if inbox == channel)
    }

    pub fn writes_to(&self, channel: usize) -> bool {
        self.filter == WRITE && matches!(self.file, Some(What::Socket { outbox, .. }) if outbox == channel)
    }

    pub fn watches(&self, queue: usize) -> bool {
        self.file == Some(What::Queue(queue))
    }

    pub fn watches_any(&self) -> bool {
        self.file.and_then(What::queue).is_some()
    }

    pub fn is(&self, change: &Kevent, queue: usize) -> bool {
        (self.queue, self.ident, self.filter) == (queue, change.ident, change.filter)
    }

    /// As an event shows it: the actions are taken away (K-071), fflags are what happened (K-072).
    pub fn shown(&self) -> Kevent {
        let mut flags = self.flags;
        for (flag, set) in [(ONESHOT, self.once), (EOF, self.eof), (ERROR, self.failed)] {
            flags |= if set { flag } else { 0 };
        }
        let (fflags, data) = match self.filter {
            USER if self.once => (0, 0), // K-284
            USER => self.wish,
            // How much is the system's affair, and at an end whether there is any.
            WRITE => (0, i64::from(self.eof || self.data > 0)),
            _ => (0, self.data),
        };
        Kevent { ident: self.ident, filter: self.filter, flags, fflags, data, user: self.user }
    }
}

fn combined(old: u32, fflags: u32) -> u32 {
    let bits = fflags & BITS; // K-281
    match fflags & CONTROL {
        AND => old & bits,
        OR => old | bits,
        CONTROL => bits,
        _ => old,
    }
}

impl Machine {
    /// One change (section 3.1, step 4, and section 4).
    pub fn register(&mut self, queue: usize, change: &Kevent) -> Result<(), i32> {
        if change.filter == 0 {
            return Ok(());
        }
        if change.flags & (ENABLE | DISABLE) == ENABLE | DISABLE {
            return Err(libc::EINVAL); // K-052
        }
        let file = match change.filter {
            READ | WRITE => {
                Some(Machine::name_of(change.ident).and_then(|name| self.what(name)).ok_or(libc::EBADF)?)
            }
            USER | TIMER => None,
            _ => return Err(libc::EINVAL), // K-048
        };
        if let Some(What::Queue(other)) = file
            && (other == queue || change.filter == WRITE)
        {
            return Err(libc::EINVAL); // K-132, K-135
        }
        let index = match self.notes.iter().position(|note| note.is(change, queue)) {
            Some(index) if change.flags & DELETE != 0 => {
                self.drop_notes_at(index); // K-067, and K-068: known, so it is deleted
                return Ok(());
            }
            Some(index) => {
                self.touch(index, change);
                index
            }
            None if change.flags & ADD == 0 => return Err(libc::ENOENT), // K-051
            None => self.make(queue, file, change)?,
        };
        if !self.notes[index].disabled {
            if self.test(index) {
                self.notes[index].active = true;
                let all = |queue: usize| self.queues[queue].iter().map(|entry| entry.key).collect();
                self.notes[index].news = file.and_then(What::queue).map(all).unwrap_or_default();
            }
            if self.notes[index].active {
                self.enqueue(index, false);
            }
        }
        Ok(())
    }

    fn make(&mut self, queue: usize, file: Option<What>, change: &Kevent) -> Result<usize, i32> {
        let library = self.like == Like::Library;
        if library && change.flags & KEEPUDATA != 0 {
            return Err(libc::EINVAL); // K-066
        }
        match file {
            Some(What::PipeWrite(channel)) if change.filter == WRITE && self.channels[channel].deaf => {
                return Err(libc::EPIPE); // K-163
            }
            Some(What::PipeRead(_)) if change.filter == WRITE => self.beyond = true,
            Some(What::PipeWrite(_)) if change.filter == READ => self.beyond = true,
            _ => {}
        }
        let mut note = Note {
            queue,
            ident: change.ident,
            filter: change.filter,
            file,
            flags: change.flags & (CLEAR | RECEIPT | DISPATCH),
            once: change.flags & ONESHOT != 0,
            eof: false,
            failed: false,
            disabled: change.flags & DISABLE != 0,
            active: false,
            wish: (change.fflags, change.data),
            triggered: false,
            data: 0,
            user: change.user,
            news: vec![],
            adrift: false,
        };
        match change.filter {
            USER if library => {
                note.triggered = change.fflags & TRIGGER != 0; // K-285
                note.wish.0 &= BITS;
            }
            // The kernel does not trigger it; control bits stay, and show (section 14, 8).
            USER => {}
            TIMER => {
                note.once |= change.fflags & ABSOLUTE != 0; // as libkqueue has it
                note.flags |= if change.fflags & (ABSOLUTE | ABSTIME) == 0 { CLEAR } else { 0 };
                note.data = expirations(change)?;
                note.active = note.data > 0;
            }
            _ => {}
        }
        self.notes.push(note);
        Ok(self.notes.len() - 1)
    }

    /// A change to what exists: flags stay as they are (K-062), wishes and udata do not (K-061, K-065).
    fn touch(&mut self, index: usize, change: &Kevent) {
        let queued = self.is_queued(index);
        if change.flags & FORCEONESHOT != 0 {
            self.notes[index].once = true;
            self.activate(index, false); // K-093
        }
        let library = self.like == Like::Library;
        let note = &mut self.notes[index];
        if change.flags & (ENABLE | DISABLE) != 0 {
            note.disabled = change.flags & DISABLE != 0;
        }
        if !(library && change.flags & KEEPUDATA != 0) {
            note.user = change.user;
        }
        match note.filter {
            USER => {
                note.triggered |= change.fflags & TRIGGER != 0;
                // Control bits of the first EV_ADD go where bits are taken away.
                let kept = if change.fflags & CONTROL == OR { note.wish.0 & !BITS } else { 0 };
                if change.fflags & CONTROL != 0 {
                    note.wish.0 = combined(note.wish.0 & BITS, change.fflags) | kept;
                }
                note.wish.1 = change.data;
                if change.flags & CLEAR != 0 {
                    note.triggered = false; // K-286
                    // The kernel remembers that it was active, and queues it in vain when it is enabled.
                    note.active &= queued || !library;
                }
            }
            TIMER if change.flags & ADD != 0 => {
                // Starts afresh, and what was pending is lost (K-266).
                let found = expirations(change);
                note.failed |= found.is_err();
                note.data = found.unwrap_or_else(i64::from);
                note.active = note.data > 0;
                self.unqueue(index);
            }
            TIMER => {}
            _ => note.wish = (change.fflags, change.data),
        }
    }

    /// Does the condition hold? What it found is left in the knote.
    pub fn test(&mut self, index: usize) -> bool {
        let note = &self.notes[index];
        let (ready, eof, data) = match (note.filter, note.file) {
            (USER, _) => (note.triggered, false, 0),
            (_, Some(What::Queue(queue))) => {
                (!self.queues[queue].is_empty(), false, self.queues[queue].len() as i64)
            }
            (READ, Some(What::PipeRead(channel))) => {
                let channel = &self.channels[channel];
                let bytes = channel.bytes() as i64;
                (bytes > 0 || channel.ended, channel.ended, bytes) // NOTE_LOWAT is ignored (section 14, 1)
            }
            (READ, Some(What::Socket { inbox, messages, .. })) => self.test_socket(note, inbox, messages),
            (WRITE, Some(What::PipeWrite(channel))) => {
                let channel = &self.channels[channel];
                let data = if channel.deaf { note.data } else { i64::from(!channel.full) };
                (channel.deaf || !channel.full, channel.deaf || note.eof, data)
            }
            (WRITE, Some(What::Socket { outbox, messages, .. })) => {
                let channel = &self.channels[outbox];
                let eof = !messages && (channel.ended || channel.deaf);
                self.beyond |= messages && channel.deaf;
                (eof || !channel.full, eof, i64::from(eof || !channel.full))
            }
            _ => (note.data > 0, note.eof, note.data),
        };
        let note = &mut self.notes[index];
        (note.eof, note.data) = (eof, data);
        ready
    }

    fn test_socket(&self, note: &Note, inbox: usize, messages: bool) -> (bool, bool, i64) {
        let channel = &self.channels[inbox];
        let bytes = match (messages, self.like) {
            // FIONREAD tells of the first message only (K-152).
            (true, Like::Library) => channel.parts.front().copied().unwrap_or(0),
            _ => channel.bytes(),
        } as i64;
        let (fflags, amount) = note.wish;
        let least = if fflags & LOWAT != 0 && !messages { amount } else { 1 };
        let there = bytes >= least || messages && !channel.parts.is_empty();
        (channel.ended || there, channel.ended, bytes)
    }

    pub fn activate(&mut self, index: usize, signalled: bool) {
        self.notes[index].active = true;
        if !self.notes[index].disabled {
            self.enqueue(index, signalled);
        }
    }

    /// To the end of the FIFO, unless it is in it.
    fn enqueue(&mut self, index: usize, signalled: bool) {
        let Note { queue, ident, filter, .. } = self.notes[index];
        if self.is_queued(index) {
            return;
        }
        self.made += 1;
        let mut entry = Entry::new((filter, ident), self.made, signalled);
        if self.like == Like::Library {
            entry.share(&self.queues[queue]);
        }
        self.queues[queue].push_back(entry);
        for note in self.notes.iter_mut().filter(|note| note.watches(queue)) {
            note.news.push((filter, ident));
        }
        if self.is_watched(queue) && !self.pending.contains(&queue) {
            self.pending.push(queue);
        }
    }

    fn is_queued(&self, index: usize) -> bool {
        let Note { queue, ident, filter, .. } = self.notes[index];
        self.queues[queue].iter().any(|entry| entry.key == (filter, ident))
    }

    fn unqueue(&mut self, index: usize) {
        let Note { queue, ident, filter, .. } = self.notes[index];
        self.queues[queue].retain(|entry| entry.key != (filter, ident));
    }

    pub fn drop_notes_at(&mut self, index: usize) {
        self.unqueue(index);
        self.notes.remove(index);
    }

    pub fn drop_notes(&mut self, which: impl Fn(&Note) -> bool) {
        while let Some(index) = self.notes.iter().position(&which) {
            self.drop_notes_at(index);
        }
    }
}

/// How often a timer has expired as soon as it is set: the program takes only those of which that is known.
fn expirations(change: &Kevent) -> Result<i64, i32> {
    if change.data < 0 {
        return Err(libc::EINVAL); // K-267
    }
    let past = change.fflags & (ABSOLUTE | ABSTIME) != 0 && change.data < 1_000_000_000;
    Ok(i64::from(past || change.data == 0)) // K-265, K-267
}
