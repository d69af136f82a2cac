//! Operations.

use super::program::{Difference, Step};
use super::sys;
use super::{PORTS, SLOTS};
use core::fmt;

/// What a number is opened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The read end of a pipe.
    PipeRead,
    /// The write end of a pipe.
    PipeWrite,
    /// One end of a stream socket pair.
    Socket,
    /// An eventfd.
    Counter,
    /// A file in memory: always ready (R4.8).
    Plain,
}

const KINDS: [Kind; 8] = [
    Kind::Socket,
    Kind::PipeRead,
    Kind::Socket,
    Kind::PipeRead,
    Kind::Counter,
    Kind::PipeWrite,
    Kind::Counter,
    Kind::Plain,
];

/// A call's time-out. What cannot be given without the risk of sleeping for ever becomes `Short` when it is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// {0, 0}.
    Zero,
    /// A few microseconds.
    Short,
    /// None, if the model knows of enough events; else `Short`.
    Never,
    /// {-1, 0}: not looked at when enough events are queued, otherwise EINVAL (7.1 h, 7.1 i).
    Bad,
}

/// How a number is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// close(2).
    Close,
    /// close_range(2).
    Range,
}

/// One step of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// A new file for a number, open or not.
    Open(usize, Kind),
    /// Gives a number up.
    Close(usize, How),
    /// dup2 from the first to the second.
    Dup2(usize, usize),
    /// F_DUPFD: the lowest free number gets the file.
    Dup(usize),
    /// An invisible duplicate of a number's file, which survives the number's close; or the end of it.
    Keep(usize),
    /// From the other end: a byte comes, or room.
    Write(usize),
    /// At the number: one byte is read, or all.
    Drain(usize, bool),
    /// At the number: writes until there is no room.
    Stuff(usize),
    /// The other end is closed.
    HangUp(usize),
    /// port_associate: port, number, events.
    Associate(usize, usize, i32),
    /// port_dissociate.
    Dissociate(usize, usize),
    /// port_send.
    Send(usize),
    /// port_get.
    Get(usize, Timeout),
    /// port_getn: port, wanted, max, time-out.
    Getn(usize, u32, u32, Timeout),
    /// port_get, and what a program does then: read (or not) and associate again.
    Cycle(usize, Timeout, bool),
    /// port_getn with max 0.
    Count(usize),
    /// poll(2) of the port.
    Poll(usize),
    /// An outer epoll set that watches the ports for edges.
    Edges,
    /// port_alert: port, flags, events.
    Alert(usize, i32, i32),
    /// The port is closed, all its numbers, and a new one takes its place.
    Renew(usize),
    /// Another number for the port, or its end.
    Alias(usize),
    /// Everything is closed and begins anew. No bytes make it: it joins programs that fail together only.
    Restart,
}

const EVENTS: [(i32, &str); 9] = [
    (libc::POLLIN as i32, "IN"),
    (libc::POLLOUT as i32, "OUT"),
    (libc::POLLPRI as i32, "PRI"),
    (libc::POLLERR as i32, "ERR"),
    (libc::POLLHUP as i32, "HUP"),
    (libc::POLLNVAL as i32, "NVAL"),
    (libc::POLLRDNORM as i32, "RDNORM"),
    (libc::POLLWRNORM as i32, "WRNORM"),
    (sys::RDHUP, "RDHUP"),
];

const IN: i32 = libc::POLLIN as i32;
const OUT: i32 = libc::POLLOUT as i32;
const MASKS: [i32; 16] = [
    IN,
    IN,
    IN,
    IN,
    IN,
    IN,
    OUT,
    IN | OUT,
    IN | OUT,
    0,
    IN | libc::POLLRDNORM as i32,
    OUT | libc::POLLWRNORM as i32,
    IN | libc::POLLHUP as i32 | libc::POLLERR as i32 | libc::POLLNVAL as i32,
    libc::POLLPRI as i32,
    IN | sys::RDHUP,
    IN | OUT | libc::POLLRDNORM as i32,
];

/// Poll bits by name.
pub fn bits(events: i32) -> String {
    let named: Vec<&str> =
        EVENTS.iter().filter(|(bit, _)| events & bit != 0).map(|&(_, name)| name).collect();
    let rest = events & !EVENTS.iter().fold(0, |all, (bit, _)| all | bit);
    match (named.is_empty(), rest) {
        (true, rest) => format!("{rest:#x}"),
        (false, 0) => named.join("|"),
        (false, rest) => format!("{}|{rest:#x}", named.join("|")),
    }
}

type Maker = fn(usize, usize, u8) -> Op;
const WEIGHTS: [(u8, Maker); 21] = [
    (10, |_, slot, c| Op::Open(slot, KINDS[c as usize % KINDS.len()])),
    (5, |_, slot, c| Op::Close(slot, if c % 4 == 0 { How::Range } else { How::Close })),
    (2, |_, slot, c| Op::Dup2(c as usize % SLOTS, slot)),
    (2, |_, slot, _| Op::Dup(slot)),
    (2, |_, slot, _| Op::Keep(slot)),
    (16, |_, slot, _| Op::Write(slot)),
    (8, |_, slot, c| Op::Drain(slot, c % 2 == 0)),
    (2, |_, slot, _| Op::Stuff(slot)),
    (2, |_, slot, _| Op::HangUp(slot)),
    (21, |port, slot, c| Op::Associate(port, slot, MASKS[c as usize % MASKS.len()])),
    (4, |port, slot, _| Op::Dissociate(port, slot)),
    (8, |port, _, _| Op::Send(port)),
    (9, |port, _, c| Op::Get(port, timeout(c))),
    (11, |port, slot, c| getn(port, slot, c)),
    (10, |port, slot, c| Op::Cycle(port, timeout(c), slot % 2 == 0)),
    (4, |port, _, _| Op::Count(port)),
    (5, |port, _, _| Op::Poll(port)),
    (2, |_, _, _| Op::Edges),
    (3, alert),
    (1, |port, _, c| if c % 4 == 0 { Op::Renew(port) } else { Op::Poll(port) }),
    (1, |port, _, _| Op::Alias(port)),
];

fn timeout(c: u8) -> Timeout {
    match c >> 4 {
        0..=5 => Timeout::Zero,
        6..=7 => Timeout::Short,
        8..=14 => Timeout::Never,
        _ => Timeout::Bad,
    }
}

fn getn(port: usize, wants: usize, c: u8) -> Op {
    let max = 1 + u32::from(c % 8);
    let want = match wants {
        0..=3 => 1,
        4..=6 => 1 + u32::from(c / 2) % max,
        _ => u32::from(c) % (max + 2), // now and then nothing, or more than fits
    };
    Op::Getn(port, want, max, timeout(c.rotate_left(3)))
}

fn alert(port: usize, slot: usize, c: u8) -> Op {
    match c % 8 {
        0 => Op::Alert(port, 1, 1 + i32::from(c)),
        1 => Op::Alert(port, slot as i32, 1 + i32::from(c)),
        _ => Op::Alert(port, slot as i32 % 4, 0),
    }
}

impl Step for Op {
    type Maker = Maker;
    const TABLE: &'static [(u8, Maker)] = &WEIGHTS;
    const NEEDED: u64 = 0;
    const RESTART: Op = Op::Restart;

    fn make(maker: Maker, [port, slot, c]: [u8; 3]) -> Op {
        maker(port as usize % PORTS, slot as usize % SLOTS, c)
    }

    fn run(program: &[Op], progress: &mut dyn FnMut(usize)) -> Result<(), Difference> {
        super::run::run(program, progress)
    }

    fn simpler(self) -> Vec<Op> {
        let events = |e: i32| [IN, OUT].into_iter().take_while(move |&s| s != e);
        let times = |t: Timeout| {
            [Timeout::Zero, Timeout::Short, Timeout::Never].into_iter().take_while(move |&s| s != t)
        };
        match self {
            Op::Open(slot, kind) if kind != Kind::PipeRead => vec![Op::Open(slot, Kind::PipeRead)],
            Op::Close(slot, How::Range) => vec![Op::Close(slot, How::Close)],
            Op::Drain(slot, false) => vec![Op::Drain(slot, true)],
            Op::Associate(port, slot, e) => events(e).map(|s| Op::Associate(port, slot, s)).collect(),
            Op::Get(port, t) => times(t).map(|s| Op::Get(port, s)).collect(),
            Op::Cycle(port, t, read) => {
                let cycles = times(t).map(|s| Op::Cycle(port, s, read));
                core::iter::once(Op::Get(port, t)).chain(cycles).collect()
            }
            Op::Getn(port, want, max, t) => {
                let sizes = [(1, 1), (1, 2), (want, want), (1, max)].into_iter();
                let sizes =
                    sizes.take_while(|&size| size != (want, max)).map(|(w, m)| Op::Getn(port, w, m, t));
                let calls =
                    core::iter::once(Op::Get(port, t)).chain(times(t).map(|s| Op::Getn(port, want, max, s)));
                calls.chain(sizes).collect()
            }
            Op::Alert(port, flags, e) if (flags, e) != (1, 1) => vec![Op::Alert(port, 1, 1)],
            Op::Renew(port) => vec![Op::Poll(port)],
            _ => vec![],
        }
    }

    fn renamed(self, slot: &dyn Fn(usize) -> usize, port: &dyn Fn(usize) -> usize) -> Op {
        match self {
            Op::Open(s, kind) => Op::Open(slot(s), kind),
            Op::Close(s, how) => Op::Close(slot(s), how),
            Op::Dup2(from, to) => Op::Dup2(slot(from), slot(to)),
            Op::Dup(s) => Op::Dup(slot(s)),
            Op::Keep(s) => Op::Keep(slot(s)),
            Op::Write(s) => Op::Write(slot(s)),
            Op::Drain(s, all) => Op::Drain(slot(s), all),
            Op::Stuff(s) => Op::Stuff(slot(s)),
            Op::HangUp(s) => Op::HangUp(slot(s)),
            Op::Associate(p, s, events) => Op::Associate(port(p), slot(s), events),
            Op::Dissociate(p, s) => Op::Dissociate(port(p), slot(s)),
            Op::Send(p) => Op::Send(port(p)),
            Op::Get(p, t) => Op::Get(port(p), t),
            Op::Getn(p, want, max, t) => Op::Getn(port(p), want, max, t),
            Op::Cycle(p, t, read) => Op::Cycle(port(p), t, read),
            Op::Count(p) => Op::Count(port(p)),
            Op::Poll(p) => Op::Poll(port(p)),
            Op::Edges => Op::Edges,
            Op::Alert(p, flags, events) => Op::Alert(port(p), flags, events),
            Op::Renew(p) => Op::Renew(port(p)),
            Op::Alias(p) => Op::Alias(port(p)),
            Op::Restart => Op::Restart,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Op::Open(s, kind) => write!(f, "open number {s}: {kind:?}"),
            Op::Close(s, How::Close) => write!(f, "close number {s}"),
            Op::Close(s, How::Range) => write!(f, "close_range number {s}"),
            Op::Dup2(from, to) => write!(f, "dup2 number {from} to {to}"),
            Op::Dup(s) => write!(f, "dup number {s} to the lowest free one"),
            Op::Keep(s) => write!(f, "keep (or end) an unseen duplicate of number {s}"),
            Op::Write(s) => write!(f, "write at the other end of number {s}"),
            Op::Drain(s, all) => write!(f, "read {} from number {s}", if all { "all" } else { "one byte" }),
            Op::Stuff(s) => write!(f, "write to number {s} until it is full"),
            Op::HangUp(s) => write!(f, "close the other end of number {s}"),
            Op::Associate(p, s, e) => write!(f, "associate(port {p}, number {s}, {})", bits(e)),
            Op::Dissociate(p, s) => write!(f, "dissociate(port {p}, number {s})"),
            Op::Send(p) => write!(f, "send(port {p})"),
            Op::Get(p, t) => write!(f, "get(port {p}, time-out {t:?})"),
            Op::Getn(p, want, max, t) => write!(f, "getn(port {p}, want {want}, max {max}, time-out {t:?})"),
            Op::Cycle(p, t, read) => {
                let what = if read { "read and associate" } else { "associate" };
                write!(f, "get(port {p}, time-out {t:?}), then {what} what came again")
            }
            Op::Count(p) => write!(f, "getn(port {p}, max 0)"),
            Op::Poll(p) => write!(f, "poll(port {p})"),
            Op::Edges => write!(f, "look for edges at both ports"),
            Op::Alert(p, flags, e) => write!(f, "alert(port {p}, flags {flags}, events {e})"),
            Op::Renew(p) => write!(f, "close port {p} and make it again"),
            Op::Restart => write!(f, "close everything, and begin anew"),
            Op::Alias(p) => write!(f, "another number for port {p} (or its end)"),
        }
    }
}
