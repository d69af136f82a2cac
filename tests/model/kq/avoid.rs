//! What is not tried, since here the library cannot answer as FreeBSD's kernel does, or Linux is different.
//!
//! * EV_CLEAR on pipes, and on WRITE: the kernel signals both ends' knotes at each read and write (section 14, 2;
//!   K-087b, K-090), which nobody tells user space.
//! * Data that is read while a one-shot waits to be retrieved: the kernel delivers what was (section 14, 3).
//! * The last reader of a pipe goes while a WRITE knote is there: delivered once by a quirk (section 14, 4).
//! * READ on the end of a pipe that writes, and the reverse: FreeBSD's pipes go both ways (K-171).
//! * Data left behind by close in a stream socket: ECONNRESET on Linux. WRITE on a datagram socket whose peer is gone:
//!   not ready on FreeBSD, ready on Linux.
//! * Channels that are nearly full: where WRITE ends to be ready differs. Full and drained ones are tried.
//! * Timers that are running. EV_KEEPUDATA for what is wrong in another way, too: which error is told is not said.
//! * Knotes of two numbers of one file: which of them is told first, after one was deleted and added again.
//! * A low-water mark that is given or taken later: the place in the kernel's list is that of the first arrival.
//! * EV_FORCEONESHOT of a user event: the kernel delivers it even if it was un-triggered since.
//! * A queue in a queue in a queue; one-shots on queues; and stale entries in a queue that is watched, which the kernel
//!   counts (section 14, 10; K-133): `run` scans them away.

use super::machine::{Machine, What};
use super::rules::*;

/// Are queues put into queues? Programs that do so still find differences, in the order and the amount of what only the
/// kernel knows of a queue below; `docs/design.md` has them. The traces of the kernel play them without one.
const NESTS: bool = false;

/// Unread parts of a channel, and their bytes: writing is possible after them on both systems.
const MOST_PARTS: usize = 24;
const MOST_BYTES: usize = 1200;
/// Messages: the queue of a UNIX socket is short.
const MOST_MESSAGES: usize = 4;

impl Machine {
    pub fn may_close(&self, name: usize) -> bool {
        let Some(what) = self.what(name).filter(|_| self.is_last(name)) else { return true };
        match what {
            What::PipeRead(channel) => {
                !self.notes.iter().any(|note| note.filter == WRITE && note.on_pipe(channel))
            }
            What::Socket { inbox, messages: false, .. } => self.channels[inbox].parts.is_empty(),
            What::Socket { inbox, .. } => !self.notes.iter().any(|note| note.writes_to(inbox)),
            _ => true,
        }
    }

    fn source(&self, name: usize) -> Option<usize> {
        match self.what(name) {
            Some(What::PipeRead(channel)) => Some(channel),
            Some(What::Socket { inbox, .. }) => Some(inbox),
            _ => None,
        }
    }

    pub fn may_read(&self, name: usize, all: bool) -> bool {
        let Some(channel) = self.source(name) else { return false };
        let waits =
            |note: &Note| note.once && note.active && (note.on_pipe(channel) || note.reads_from(channel));
        (all || !self.channels[channel].full) && !self.notes.iter().any(waits)
    }

    pub fn may_write(&self, name: usize, count: usize) -> bool {
        let (channel, most) = match self.what(name) {
            Some(What::PipeWrite(channel)) => (channel, MOST_PARTS),
            Some(What::Socket { outbox, messages, .. }) => {
                (outbox, if messages { MOST_MESSAGES } else { MOST_PARTS })
            }
            _ => return false,
        };
        let channel = &self.channels[channel];
        !(channel.full || channel.deaf && most == MOST_MESSAGES)
            && channel.parts.len() < most
            && channel.bytes() + count <= MOST_BYTES
    }

    /// The channel to fill.
    pub fn may_fill(&self, name: usize) -> Option<usize> {
        let (What::PipeWrite(channel) | What::Socket { outbox: channel, messages: false, .. }) =
            self.what(name)?
        else {
            return None;
        };
        let waits = |note: &Note| {
            note.filter == WRITE
                && note.once
                && note.active
                && (note.on_pipe(channel) || note.writes_to(channel))
        };
        let at = &self.channels[channel];
        (!at.full && !at.ended && !at.deaf && !self.notes.iter().any(waits)).then_some(channel)
    }

    /// A change, behind others of the same list.
    pub fn may_change(&self, queue: usize, before: &[Kevent], change: &Kevent) -> bool {
        let added = self.notes.iter().find(|note| note.is(change, queue));
        let file = Machine::name_of(change.ident).and_then(|name| self.what(name));
        let once = change.flags & (ONESHOT | FORCEONESHOT) != 0;
        if change.flags & KEEPUDATA != 0 && added.is_none() && change.filter != USER {
            return false;
        }
        if change.filter == READ && added.is_some_and(|note| (note.wish.0 ^ change.fflags) & LOWAT != 0) {
            return false;
        }
        if change.flags & FORCEONESHOT != 0 && (change.filter == USER || change.flags & DISABLE != 0) {
            return false;
        }
        match (change.filter, file) {
            (READ, Some(What::PipeRead(_))) => change.flags & CLEAR == 0,
            (WRITE, Some(What::PipeWrite(_))) => change.flags & (CLEAR | FORCEONESHOT) == 0,
            (READ | WRITE, Some(What::PipeRead(_) | What::PipeWrite(_))) => false,
            (WRITE, Some(What::Socket { outbox, messages, .. })) => {
                change.flags & (CLEAR | FORCEONESHOT) == 0 && !(messages && self.channels[outbox].deaf)
            }
            (READ, Some(What::Queue(other))) => {
                let nests = self.notes.iter().any(|note| note.queue == other && note.watches_any());
                other == queue || (NESTS && !nests && !self.is_watched(queue) && !once)
            }
            (TIMER, _) if change.flags & ADD != 0 => {
                let stays = added.map_or(change.flags & ONESHOT != 0, |note| note.once);
                let first = before.iter().all(|other| (other.filter, other.ident) != (TIMER, change.ident));
                first && (stays || change.data != 0 || change.fflags & (ABSOLUTE | ABSTIME) != 0)
            }
            (TIMER, _) => before.iter().all(|other| other.filter != TIMER),
            _ => true,
        }
    }
}
