//! What one call of kevent must answer (sections 3.1 and 6).
//!
//! The answer is given and judged, not made: where two answers are right, the model takes the one that it sees.

use super::machine::{Like, Machine, What};
use super::rules::{CLEAR, DISPATCH, ERROR, Kevent, READ, RECEIPT, USER, WRITE};
use std::collections::VecDeque;

/// A place in a queue's FIFO.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub key: (i16, usize),
    /// When it came, ...
    from: u64,
    /// ... or at most so late. The kernel keeps the place of a descriptor whose readiness goes and comes again before a
    /// scan; whether it went is not to be known afterwards (6, K-103), so the place may also be that of the coming.
    to: u64,
    stale: bool,
    /// The host told of it: it is not known from a change or from a delivery.
    signalled: bool,
}

impl Entry {
    pub fn new(key: (i16, usize), moment: u64, signalled: bool) -> Entry {
        Entry { key, from: moment, to: moment, stale: false, signalled }
    }

    /// READ and WRITE of one number are one to the host: the second to come may have the place of the first. A WRITE
    /// knote that is known to be ready is not the host's affair.
    pub fn share(&mut self, queue: &VecDeque<Entry>) {
        let (filter, ident) = self.key;
        let twin = |entry: &&Entry| match entry.key {
            (READ, other) => filter == WRITE && other == ident,
            (WRITE, other) => filter == READ && other == ident && entry.signalled,
            _ => false,
        };
        self.from = queue.iter().find(twin).map_or(self.from, |entry| entry.from);
    }
}

/// What kevent returned.
pub type Answer = Result<Vec<Kevent>, i32>;

impl Machine {
    fn index_of(&self, queue: usize, key: (i16, usize)) -> usize {
        let note = self.notes.iter().position(|note| note.queue == queue && (note.filter, note.ident) == key);
        note.expect("an entry has a knote")
    }

    /// Would a scan deliver the knote?
    fn delivers(&mut self, index: usize) -> bool {
        let once = self.notes[index].once;
        !self.notes[index].disabled && (once || self.holds(index))
    }

    /// What made an EV_CLEAR knote of a queue active has come and gone: the kernel saw it, the library perhaps did not.
    fn is_open(&self, index: usize) -> bool {
        let note = &self.notes[index];
        let Some(below) = note.file.and_then(What::queue) else { return false };
        let there = |key: &(i16, usize)| self.queues[below].iter().any(|entry| entry.key == *key);
        self.like == Like::Library && note.flags & CLEAR != 0 && !note.news.iter().any(there)
    }

    /// As `test`, and leaves nothing behind.
    fn holds(&mut self, index: usize) -> bool {
        let before = (self.notes[index].eof, self.notes[index].data);
        let holds = self.test(index);
        (self.notes[index].eof, self.notes[index].data) = before;
        holds
    }

    /// Entries, and those of them that would be delivered.
    pub fn waiting(&mut self, queue: usize) -> (usize, usize) {
        let entries = self.queues[queue].clone();
        let fresh = entries.iter().filter(|entry| {
            let index = self.index_of(queue, entry.key);
            self.delivers(index) && !self.is_open(index)
        });
        (entries.len(), fresh.count())
    }

    /// Is a queue watched by another?
    pub fn is_watched(&self, queue: usize) -> bool {
        self.notes.iter().any(|note| note.watches(queue))
    }

    /// Does a queue watch another?
    pub fn watches_queues(&self, queue: usize) -> bool {
        self.notes.iter().any(|note| note.queue == queue && note.watches_any())
    }

    /// An operation is over: which places have become open?
    pub fn note_freshness(&mut self) {
        if self.like == Like::Kernel {
            return;
        }
        for queue in 0..self.queues.len() {
            for at in 0..self.queues[queue].len() {
                let entry = self.queues[queue][at];
                let index = self.index_of(queue, entry.key);
                let stale = matches!(entry.key.0, READ | WRITE) && !self.holds(index);
                if entry.stale && !stale {
                    self.made += 1;
                    self.queues[queue][at].to = self.made;
                }
                self.queues[queue][at].stale = stale;
            }
        }
    }

    /// Judges an answer of kevent(name, changes, room, no time).
    pub fn kevent(
        &mut self,
        name: usize,
        changes: &[Kevent],
        room: usize,
        answer: &Answer,
    ) -> Result<(), String> {
        let Some(queue) = self.queue_of(name) else { return same(answer, &Err(libc::EBADF)) };
        let mut told = vec![];
        for change in changes {
            let change = Kevent { flags: change.flags & 0x0fff, ..*change }; // K-040
            let result = self.register(queue, &change);
            if change.filter == 0 || (result.is_ok() && change.flags & RECEIPT == 0) {
                continue;
            }
            if told.len() == room {
                return same(answer, &result.map(|()| vec![])); // step 5: K-033, K-037
            }
            let data = result.err().unwrap_or(0).into();
            told.push(Kevent { flags: ERROR, fflags: 0, data, ..change });
        }
        if !told.is_empty() || room == 0 {
            let unseen = |event: &Kevent| Kevent { fflags: 0, ..*event };
            return same(&answer.clone().map(|list| list.iter().map(unseen).collect()), &Ok(told));
        }
        if self.like == Like::Library {
            self.tell(); // the kernel has a task for it, which runs when it will
        }
        match answer {
            Ok(events) => self.scan(queue, room, events),
            Err(_) => same(answer, &Ok(vec![])),
        }
    }

    fn scan(&mut self, queue: usize, room: usize, events: &[Kevent]) -> Result<(), String> {
        let mut reached = 0;
        let mut delivered = vec![];
        for event in events {
            let key = (event.filter, event.ident);
            let entry = self.queues[queue].iter().find(|entry| entry.key == key).copied();
            let entry = entry.filter(|_| !delivered.contains(&key));
            let entry = entry.ok_or_else(|| format!("{event} is not there"))?;
            let index = self.index_of(queue, key);
            if !self.delivers(index) {
                return Err(format!("{event}: its condition does not hold, or it is disabled"));
            }
            if !self.notes[index].once {
                self.test(index); // K-104: what comes once is not tested again
            }
            let expected = self.notes[index].shown();
            if *event != expected {
                return Err(format!("{event}, expected {expected}"));
            }
            reached = reached.max(entry.from);
            if reached > entry.to && self.order_is_known(queue) {
                return Err(format!("{event} is out of order"));
            }
            delivered.push(key);
        }
        self.pass(queue, (reached, events.len() == room), &delivered)?;
        for key in delivered {
            self.deliver(queue, key);
        }
        Ok(())
    }

    /// Does the kernel tell the order in which the queue's descriptors become ready? A socket has one place in its list for
    /// both directions, and keeps the place of what is not asked for any more. Nor is there one among numbers of one queue.
    fn order_is_known(&self, queue: usize) -> bool {
        let notes = || self.notes.iter().filter(move |note| note.queue == queue);
        let reads_a_socket =
            |note: &super::rules::Note| note.filter == READ && matches!(note.file, Some(What::Socket { .. }));
        !notes().any(reads_a_socket) && notes().filter(|note| note.watches_any()).count() < 2
    }

    /// What else was in the queue: none that should have been delivered, and what is stale is dropped.
    fn pass(
        &mut self,
        queue: usize,
        (reached, full): (u64, bool),
        delivered: &[(i16, usize)],
    ) -> Result<(), String> {
        for entry in self.queues[queue].clone() {
            if delivered.contains(&entry.key) {
                continue;
            }
            let index = self.index_of(queue, entry.key);
            if self.delivers(index) && !self.is_open(index) {
                let missing = self.notes[index].clone();
                if !full {
                    return Err(format!("{} is missing", missing.shown()));
                }
                if entry.to < reached && self.order_is_known(queue) {
                    return Err(format!("{} should have come before", missing.shown()));
                }
            } else if !full || entry.from < reached {
                let note = &mut self.notes[index];
                // As for a change with EV_CLEAR: what is not triggered is not active.
                let idle = self.like == Like::Library && note.filter == USER && !note.triggered;
                note.active &= note.disabled && !idle;
                if !note.disabled {
                    self.test(index);
                }
                self.queues[queue].retain(|other| other.key != entry.key);
            }
        }
        Ok(())
    }

    fn deliver(&mut self, queue: usize, key: (i16, usize)) {
        let index = self.index_of(queue, key);
        self.queues[queue].retain(|entry| entry.key != key);
        let note = &mut self.notes[index];
        if note.once {
            self.drop_notes_at(index); // K-085
            return;
        }
        if note.flags & CLEAR != 0 {
            (note.data, note.triggered) = (0, false);
            note.news.clear();
        }
        note.disabled |= note.flags & DISPATCH != 0;
        if note.flags & (CLEAR | DISPATCH) != 0 {
            note.active = false;
        } else {
            self.made += 1;
            self.queues[queue].push_back(Entry::new(key, self.made, false)); // at the end, for the next call
        }
    }
}

fn show(answer: &Answer) -> String {
    match answer {
        Err(errno) => format!("errno {errno}"),
        Ok(list) => {
            format!("{} [{}]", list.len(), list.iter().map(Kevent::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

fn same(found: &Answer, expected: &Answer) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{}; expected {}", show(found), show(expected))) }
}
