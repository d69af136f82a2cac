//! EVFILT_READ and EVFILT_WRITE (sections 7.1 and 7.2).

use super::{Kevent, filter, flag, set_error};
use crate::errno::{Errno, Result};
use crate::host::measure::{self, Kind};
use crate::host::{Clock, RawFd, below};
use crate::registry::Held;
use crate::registry::note::{DISABLED, EDGES, ENDS, FILE, LEAST, NEST, TRIGGERED};
use crate::registry::record::{KQUEUE, Slot};
use crate::registry::watch::{HeldNumber, LEVEL, NOTHING, reportable};

const LOWAT: u32 = 0x1;
const FILE_POLL: u32 = super::NOTE_FILE_POLL;

const IN: u32 = libc::POLLIN as u32;
const OUT: u32 = libc::POLLOUT as u32;
const HUP: u32 = libc::POLLHUP as u32;
const ERR: u32 = libc::POLLERR as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;

/// What the kernel is asked for EVFILT_READ.
pub const WANT_READ: u32 = IN | RDHUP;

/// A new knote of a descriptor, which [`begin`] completes: its watch. EBADF, EPIPE, ENOMEM.
pub fn make(held: &Held<'_>, number: &HeldNumber, note: u32, change: &Kevent) -> Result<u32> {
    let fd = change.ident as RawFd;
    let reads = change.filter == filter::READ;
    // What is registered was just confirmed to be the file that it was.
    let known = held.find(number).filter(|&watch| held.slot(watch).mark.get() != NOTHING);
    let kind = match known {
        Some(watch) => Kind::from_number(held.slot(watch).tag.get()),
        None => measure::kind(fd)?,
    };
    if change.filter == filter::WRITE && kind == Kind::Pipe && below::sample(fd, OUT)? & ERR != 0 {
        return Err(Errno::EPIPE); // K-163
    }
    let empties = change.filter == filter::EMPTY;
    if empties && !matches!(kind, Kind::Stream | Kind::Datagram | Kind::Listener | Kind::LocalListener) {
        return Err(Errno::EINVAL);
    }
    let watch = held.watch_for_notes(number)?;
    if held.registry.object_kind(fd) == Some(KQUEUE) {
        held.put(watch, NEST, true);
    }
    held.slot(watch).tag.set(kind as u32);
    let want = if reads { WANT_READ } else { OUT };
    held.slot(note).want.set(if empties { 0 } else { want as i32 }); // the kernel tells nobody of that
    held.slot(note).fd.set(fd);
    touch(held, note, change);
    choose_edges(held, note, kind);
    if kind == Kind::Stream && held.is(note, EDGES) && measure::may_be_half() {
        held.find_half(watch);
    }
    if held.is(watch, NEST) {
        held.put(note, EDGES, true);
    }
    Ok(watch)
}

/// The same for EVFILT_READ without edges at a watch whose registration serves it already.
pub fn make_standing(held: &Held<'_>, note: u32, watch: u32, change: &Kevent) {
    let slot = held.slot(note);
    slot.want.set(WANT_READ as i32);
    slot.fd.set(change.ident as RawFd);
    slot.since.set(0);
    touch(held, note, change);
    held.hang(note, watch);
}

/// The new knote hangs on its watch from now on; if the kernel refuses to watch the descriptor it ends. EBADF, EINVAL, ELOOP,
/// ENOMEM.
pub fn begin(held: &Held<'_>, note: u32, watch: u32) -> Result<()> {
    let word = &held.slot(note).word;
    let stamp = word.stamp();
    held.hang(note, watch);
    if held.is_served(watch, note) {
        return Ok(());
    }
    let fitted = held.fit(watch).map_err(set_error_of_descriptor);
    if fitted.is_err() && word.stamp() == stamp {
        held.drop_note(note); // it did not end with the others of an unseen close
    }
    fitted
}

fn set_error_of_descriptor(error: Errno) -> Errno {
    match error {
        Errno::EBADF => Errno::EBADF,
        Errno::EPERM => Errno::EINVAL,
        other => set_error(other),
    }
}

/// Takes over the wishes of a change.
pub fn touch(held: &Held<'_>, note: u32, change: &Kevent) {
    held.note(note).wish.set(change.fflags);
    held.note(note).amount.set(change.data as u64);
    waited(held, note);
    if change.flags & flag::ADD != 0 {
        held.put(note, TRIGGERED, false); // tested at once, and told if it holds
    }
    let watch = held.note(note).watch.get();
    if watch != 0 && held.is(watch, FILE) {
        held.note(note).period.set(0); // as well
    }
}

/// The same for a knote that hangs on a watch already.
pub fn touch_again(held: &Held<'_>, note: u32, change: &Kevent) {
    touch(held, note, change);
    let watch = held.note(note).watch.get();
    if held.note(note).wish.get() & LOWAT != 0 && !held.is(watch, NEST) {
        choose_edges(held, note, Kind::from_number(held.slot(watch).tag.get()));
    }
}

/// Only changes count for a knote that is reset by delivery, or that has a low-water mark, of which the kernel does not
/// know.
fn choose_edges(held: &Held<'_>, note: u32, kind: Kind) {
    let record = held.note(note);
    let marked = record.wish.get() & LOWAT != 0 && kind.is_socket();
    held.put(note, EDGES, marked || record.flags.get() & u32::from(flag::CLEAR) != 0);
    held.put(note, LEAST, marked && kind == Kind::Stream && record.filter.get() as i16 == filter::READ);
}

/// Bytes at which a knote of a socket is ready; NOTE_LOWAT is ignored elsewhere (section 14.1).
fn low_water(held: &Held<'_>, note: u32) -> i64 {
    let record = held.note(note);
    if record.wish.get() & LOWAT != 0 {
        record.amount.get() as i64
    } else {
        measure::own_mark(held.slot(note).fd.get()) // K-144
    }
}

/// Is it ready? Data and EV_EOF are left in the knote.
pub fn test(held: &Held<'_>, note: u32, fresh: Option<u32>) -> bool {
    let record = held.note(note);
    let watch = record.watch.get();
    let (looks, want) = (held.object.looks.get(), held.slot(note).want.get() as u32);
    let level = held.slot(watch).mark.get() == LEVEL;
    // The last look has seen the registration as it is, ...
    let covered = level && held.slot(watch).since.get() != looks;
    let bits = held.slot(watch).events.get() as u32;
    // ... and has found it ready.
    let named = covered && held.note(watch).seen.get() == looks && bits & reportable(want) != 0;
    // It does not name a socket without room whose own side has ended.
    let hidden = want == OUT && measure::may_be_half();
    if covered && fresh == Some(looks) && !named && want != 0 && !hidden {
        return false; // the kernel has just named all that are ready
    }
    if named {
        held.slot(note).events.set(bits as i32);
    }
    // What the kernel said of it last, if that can be relied on: an edge is not repeated.
    let said = if level { named } else { record.seen.get() != 0 };
    judge(held, note, said, level, named)
}

/// The same of a note that the kernel has just named: what it `said` is in the slot.
pub fn judge(held: &Held<'_>, note: u32, said: bool, level: bool, named: bool) -> bool {
    let (slot, record) = (held.slot(note), held.note(note));
    let (fd, watch, want) = (slot.fd.get(), record.watch.get(), slot.want.get() as u32);
    if named && is_plainly_ready(held, note, || measure::readable(fd).ok()) {
        return true;
    }
    let said = said.then(|| slot.events.get() as u32);
    let kind = Kind::from_number(held.slot(watch).tag.get());
    let found = match record.filter.get() as i16 {
        _ if held.is(watch, FILE) => file(held, note, fd, kind),
        filter::READ => read(held, note, fd, kind, said),
        filter::EMPTY => empty(held, note, fd, kind),
        _ => write(held, note, fd, kind, if level { said } else { None }),
    };
    match found {
        Ok(Found { ready, eof, data, broken, shows }) => {
            let error = if eof && kind == Kind::Stream {
                held.registry.socket_error(fd, broken, held.mask)
            } else {
                0
            };
            record.bits.set(error); // K-095
            record.data.set(data as u64);
            let flags = record.flags.get() & !u32::from(flag::EOF);
            record.flags.set(if eof { flags | u32::from(flag::EOF) } else { flags });
            let only_ended = level && shows & (IN | OUT) == 0 && shows & reportable(want) != 0;
            if !ready && want != 0 && (named && level || only_ended) {
                // The filter does not agree with the kernel: from now on only changes count.
                held.put(note, EDGES, true);
                let _ = held.fit(watch);
            }
            ready
        }
        Err(_) => false,
    }
}

/// The common case: bytes of a connection or a pipe, and no end of it. `amount`: how many.
#[inline]
pub fn is_plainly_ready(held: &Held<'_>, note: u32, amount: impl FnOnce() -> Option<i64>) -> bool {
    let (slot, record) = (held.slot(note), held.note(note));
    let plain = slot.events.get() as u32 & (IN | ENDS) == IN
        && record.filter.get() as i16 == filter::READ
        && has_bytes(held.slot(record.watch.get()));
    let Some(data) = plain.then(amount).flatten().filter(|&data| data > 0) else { return false };
    record.bits.set(0);
    record.data.set(data as u64);
    record.flags.set(record.flags.get() & !u32::from(flag::EOF));
    true
}

/// Is all that can be read of a descriptor so many bytes, and is it ready with any?
fn has_bytes(watch: &Slot) -> bool {
    let kind = watch.tag.get();
    (kind == Kind::Stream as u32 || kind == Kind::Pipe as u32) && !measure::has_marks()
}

/// How much can be read of what a watch is of, asked without a lock. It counts only if the watch turns out to be what it was.
pub fn peek(watch: &Slot) -> Option<i64> {
    has_bytes(watch).then(|| measure::readable(watch.fd.get()).ok()).flatten()
}

#[derive(Default)]
struct Found {
    ready: bool,
    eof: bool,
    data: i64,
    /// The end came with an error that pends.
    broken: bool,
    /// The poll bits, where they count.
    shows: u32,
}

/// Has a connection ended with an error? One that pends on a connection that goes on is the program's alone.
fn is_broken(bits: u32) -> bool {
    bits & (HUP | ERR) == HUP | ERR
}

fn read(held: &Held<'_>, note: u32, fd: RawFd, kind: Kind, said: Option<u32>) -> Result<Found> {
    if held.is(held.note(note).watch.get(), NEST) {
        let count = held.registry.queue_length(fd).unwrap_or(0);
        return Ok(Found { ready: count > 0, data: count.into(), ..Found::default() });
    }
    // What can be read tells by itself that it can be; an end has to be asked for anew.
    let level = held.slot(held.note(note).watch.get()).mark.get() == LEVEL;
    let can =
        |bits| level && bits & IN != 0 || kind == Kind::Pipe && measure::readable(fd).is_ok_and(|n| n > 0);
    let bits = match said {
        Some(bits) if bits & ENDS == 0 && can(bits) => IN,
        _ => {
            let bits = below::sample(fd, IN | RDHUP)?;
            held.slot(note).events.set(bits as i32);
            bits
        }
    };
    if bits & (IN | ENDS) == 0 {
        return Ok(Found::default());
    }
    let listens = matches!(kind, Kind::Listener | Kind::LocalListener);
    let amount = if listens { Ok(0) } else { measure::readable(fd) };
    // A connection has bytes, however few: this one has become a listener since it was added.
    let kind = match amount {
        Err(Errno::EINVAL) if kind == Kind::Stream => look_again(held, note, fd)?,
        _ => kind,
    };
    let data = amount.unwrap_or(0);
    let silent = bits & (HUP | RDHUP | ERR) == HUP && kind.is_socket(); // K-155: never connected
    let eof = match kind {
        Kind::Stream => bits & (HUP | RDHUP | ERR) != 0 && !silent,
        Kind::Datagram => bits & (HUP | RDHUP) != 0 && !silent,
        Kind::Listener | Kind::LocalListener => bits & ENDS != 0,
        _ => bits & HUP != 0,
    };
    let some = |ready| Found { ready, eof, data, broken: is_broken(bits), shows: bits };
    Ok(match kind {
        Kind::Listener | Kind::LocalListener if eof => some(true),
        Kind::Listener if bits & IN != 0 => {
            Found { data: measure::backlog(fd).unwrap_or(1).max(1), ..some(true) }
        }
        Kind::LocalListener if bits & IN != 0 => {
            Found { data: measure::local_backlog(fd).unwrap_or(1).max(1), ..some(true) }
        }
        Kind::Listener | Kind::LocalListener => Found::default(),
        Kind::Stream => some(eof || data >= low_water(held, note) && bits & IN != 0),
        // An empty message counts (K-153), and so does an error, which is left to the program (K-154).
        Kind::Datagram => some(eof || bits & (IN | ERR) != 0),
        Kind::Pipe => some(bits & IN != 0 || eof),
        // What has no amount has at least something (K-157).
        _ => Found { data: if eof { data } else { data.max(1) }, ..some(bits & (IN | ERR) != 0 || eof) },
    })
}

fn look_again(held: &Held<'_>, note: u32, fd: RawFd) -> Result<Kind> {
    let kind = measure::kind(fd)?;
    held.slot(held.note(note).watch.get()).tag.set(kind as u32);
    Ok(kind)
}

fn write(held: &Held<'_>, note: u32, fd: RawFd, kind: Kind, said: Option<u32>) -> Result<Found> {
    let bits = match said {
        Some(bits) if bits & ENDS == 0 && bits & OUT != 0 => bits,
        _ => below::sample(fd, OUT | RDHUP)?,
    };
    let silent = bits & (HUP | RDHUP | ERR) == HUP && kind.is_socket();
    let eof = match kind {
        Kind::Listener | Kind::LocalListener => return Ok(Found::default()), // K-168
        Kind::Stream => !silent && (bits & (HUP | ERR) != 0 || held.registry.sends_no_more(fd, held.mask)),
        Kind::Datagram => bits & HUP != 0 && !silent,
        Kind::Pipe => bits & ERR != 0,
        _ => bits & HUP != 0,
    };
    if eof && bits & (OUT | HUP | ERR) == 0 {
        held.put(note, EDGES, true); // the kernel shows nothing of it
    }
    if kind == Kind::Pipe && eof {
        // Section 14.4: the knotes of a pipe whose last reader goes tell so once, and are gone.
        let flags = &held.note(note).flags;
        flags.set(flags.get() | u32::from(flag::ONESHOT));
    }
    let data = match kind {
        Kind::Stream | Kind::Datagram => measure::socket_room(fd).unwrap_or(1).max(0),
        Kind::Pipe if !eof => measure::pipe_room(fd).unwrap_or(1),
        _ => 0,
    };
    let enough =
        held.note(note).wish.get() & LOWAT == 0 || !kind.is_socket() || data >= low_water(held, note);
    let ready = eof || bits & OUT != 0 && !silent && enough;
    Ok(Found { ready, eof, data, broken: is_broken(bits), shows: bits })
}

/// First and longest pause between two looks at what a socket has not sent, in milliseconds.
const PAUSES: (u32, u32) = (1, 64);

/// Has everything left (7.3)? To a knote with EV_CLEAR it is news only after something had not.
fn empty(held: &Held<'_>, note: u32, fd: RawFd, kind: Kind) -> Result<Found> {
    let unsent = if kind.is_socket() { measure::unsent(fd)? } else { 0 };
    let was_told = held.note(note).flags.get() & u32::from(flag::CLEAR) != 0 && held.is(note, TRIGGERED);
    if unsent != 0 {
        held.put(note, TRIGGERED, false);
    }
    Ok(Found { ready: unsent == 0 && !was_told, data: unsent, ..Found::default() })
}

/// The condition of a knote does not hold: of EVFILT_EMPTY, and of room that reaches a low-water mark, nobody will tell,
/// so it is looked at again, less and less often.
pub fn wait_for_it(held: &Held<'_>, note: u32) {
    let record = held.note(note);
    let marked = record.filter.get() as i16 == filter::WRITE && record.wish.get() & LOWAT != 0;
    if record.filter.get() as i16 == filter::EMPTY || marked {
        let penalty = &held.slot(note).penalty;
        penalty.set((penalty.get() * 2).clamp(PAUSES.0, PAUSES.1));
        held.give_deadline(note, below::now() + u64::from(penalty.get()) * 1_000_000, 0);
        let _ = held.wind(Clock::Monotonic);
    }
}

/// It was ready: the next pause is a short one again.
pub fn waited(held: &Held<'_>, note: u32) {
    held.slot(note).penalty.set(0);
}

/// Did the kernel say that there was something to read?
pub fn was_readable(held: &Held<'_>, note: u32) -> bool {
    held.slot(note).events.get() as u32 & IN != 0
}

/// A file that the kernel has nothing to wait for (K-147, K-149, K-167).
fn file(held: &Held<'_>, note: u32, fd: RawFd, kind: Kind) -> Result<Found> {
    let record = held.note(note);
    let always = kind == Kind::Device || record.filter.get() as i16 == filter::WRITE;
    let data = if always { 0 } else { measure::to_the_end(fd)? };
    let clear = record.flags.get() & u32::from(flag::CLEAR) != 0;
    if clear && record.period.get() == (data as u64).wrapping_add(1) {
        return Ok(Found { data, ..Found::default() }); // as it was when it was delivered
    }
    if always {
        return Ok(Found { ready: below::is_open(fd), ..Found::default() });
    }
    Ok(Found { ready: data != 0 || held.note(note).wish.get() & FILE_POLL != 0, data, ..Found::default() })
}

/// Files tell nobody when they change: they are looked at when the queue is.
pub fn look_at_files(held: &Held<'_>) {
    if held.object.files.get() == 0 {
        return;
    }
    for watch in held.watches().filter(|&watch| held.is(watch, FILE)) {
        for note in held.notes_of(watch) {
            if super::register::test(held, note, None) && !held.is(note, DISABLED) {
                held.link_note(note);
            }
        }
    }
}
