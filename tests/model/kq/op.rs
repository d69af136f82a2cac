//! Operations.

use super::super::program::{Difference, Step};
use super::super::{PORTS, SLOTS};
use super::change::{change, name, simpler};
use super::machine::{FIRST, Machine};
use super::rules::{ADD, Kevent, READ, WRITE};
use super::{NAMES, QUEUE};
use core::fmt;

/// What two numbers are opened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The first reads, the second writes.
    Pipe,
    Stream,
    Messages,
}

/// One step of a program. Names are those of numbers and queues.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Op {
    /// Two new files for two numbers, open or not.
    Pair(Kind, usize, usize),
    Close(usize),
    /// The lowest free number becomes a duplicate.
    Dup(usize),
    /// dup2 from the first to the second.
    Dup2(usize, usize),
    Write(usize, usize),
    Read(usize, usize),
    /// Reads until there is nothing.
    Drain(usize),
    /// Writes until there is no room.
    Fill(usize),
    /// shutdown(2) for writing.
    Shut(usize),
    /// To the list of the next kevent.
    Change(Kevent),
    /// kevent of a queue, with the list, and room for so many events.
    Kevent(usize, usize),
    Poll(usize),
    /// The queue's own number is closed, and opened to a new queue.
    Renew(usize),
    Restart,
}

const SIZES: [usize; 8] = [1, 2, 3, 5, 7, 10, 20, 60];

/// Mostly one of the queues; sometimes a number, which is one of a queue's own or of something else.
fn queue(c: u8) -> usize {
    if c.is_multiple_of(8) { usize::from(c / 8) % SLOTS } else { QUEUE + usize::from(c / 128) }
}

fn kind(c: u8) -> Kind {
    match c % 8 {
        0..=2 => Kind::Pipe,
        3..=6 => Kind::Stream,
        _ => Kind::Messages,
    }
}

impl Step for Op {
    type Maker = fn(usize, u8, u8) -> Op;

    const TABLE: &'static [(u8, Self::Maker)] = &[
        (10, |slot, other, c| Op::Pair(kind(c), slot, usize::from(other) % SLOTS)),
        (5, |slot, _, c| Op::Close(if c % 16 == 0 { QUEUE + slot % PORTS } else { slot })),
        (3, |slot, _, c| Op::Dup(if c % 8 == 0 { QUEUE + slot % PORTS } else { slot })),
        (3, |slot, other, _| Op::Dup2(usize::from(other) % NAMES, slot)),
        (20, |slot, _, c| Op::Write(slot, SIZES[usize::from(c) % 8])),
        (10, |slot, _, c| Op::Read(slot, SIZES[usize::from(c) % 8])),
        (4, |slot, _, _| Op::Drain(slot)),
        (2, |slot, _, _| Op::Fill(slot)),
        (2, |slot, _, _| Op::Shut(slot)),
        (38, |a, b, c| Op::Change(change(a as u8, b, c))),
        (26, |a, b, _| Op::Kevent(queue(a as u8), [0, 1, 1, 2, 3, 8, 8, 32][usize::from(b) % 8])),
        (3, |slot, _, _| Op::Poll(QUEUE + slot % PORTS)),
        (2, |slot, _, _| Op::Renew(slot % PORTS)),
    ];
    const NEEDED: u64 = 1 | 1 << 9 | 1 << 10;
    const RESTART: Op = Op::Restart;

    fn make(maker: Self::Maker, [a, b, c]: [u8; 3]) -> Op {
        match maker(a.into(), b, c) {
            Op::Change(change) => Op::Change(change),
            Op::Kevent(name, room) => Op::Kevent(name, room),
            _ => maker(usize::from(a) % SLOTS, b, c),
        }
    }

    fn simpler(self) -> Vec<Op> {
        match self {
            Op::Pair(kind, a, b) => {
                let kinds = [Kind::Pipe, Kind::Stream].into_iter().take_while(|simple| *simple != kind);
                kinds.map(|kind| Op::Pair(kind, a, b)).collect()
            }
            Op::Write(slot, count) if count > 1 => vec![Op::Write(slot, 1)],
            Op::Read(slot, count) if count > 1 => vec![Op::Drain(slot), Op::Read(slot, 1)],
            Op::Drain(slot) => vec![Op::Read(slot, 1)],
            Op::Fill(slot) => vec![Op::Write(slot, 1)],
            Op::Dup2(from, to) if from != to => vec![Op::Dup(from), Op::Close(to)],
            Op::Change(change) => simpler(change).into_iter().map(Op::Change).collect(),
            Op::Kevent(name, room) => {
                [0, 8, 1, 2].into_iter().take_while(|&r| r != room).map(|r| Op::Kevent(name, r)).collect()
            }
            Op::Renew(queue) => vec![Op::Close(QUEUE + queue)],
            _ => vec![],
        }
    }

    fn renamed(self, slot: &dyn Fn(usize) -> usize, queue: &dyn Fn(usize) -> usize) -> Op {
        let name = |name: usize| match name.checked_sub(QUEUE) {
            Some(q) if q < PORTS => QUEUE + queue(q),
            Some(_) => name,
            None => slot(name),
        };
        match self {
            Op::Pair(kind, a, b) => Op::Pair(kind, slot(a), slot(b)),
            Op::Close(n) => Op::Close(name(n)),
            Op::Dup(n) => Op::Dup(name(n)),
            Op::Dup2(from, to) => Op::Dup2(name(from), name(to)),
            Op::Write(s, count) => Op::Write(slot(s), count),
            Op::Read(s, count) => Op::Read(slot(s), count),
            Op::Drain(s) => Op::Drain(slot(s)),
            Op::Fill(s) => Op::Fill(slot(s)),
            Op::Shut(s) => Op::Shut(slot(s)),
            Op::Change(change) if matches!(change.filter, READ | WRITE) => {
                let renamed = Machine::name_of(change.ident).map(|n| name(n) + FIRST as usize);
                Op::Change(Kevent { ident: renamed.unwrap_or(change.ident), ..change })
            }
            Op::Change(change) => Op::Change(change),
            Op::Kevent(n, room) => Op::Kevent(name(n), room),
            Op::Poll(n) => Op::Poll(name(n)),
            Op::Renew(q) => Op::Renew(queue(q)),
            Op::Restart => Op::Restart,
        }
    }

    fn run(program: &[Op], progress: &mut dyn FnMut(usize)) -> Result<(), Difference> {
        super::run::run(program, progress)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Op::Pair(Kind::Pipe, r, w) => write!(f, "pipe: number {r} reads, number {w} writes"),
            Op::Pair(kind, a, b) => write!(f, "socket pair ({kind:?}): numbers {a} and {b}"),
            Op::Close(n) => write!(f, "close {}", name(n)),
            Op::Dup(n) => write!(f, "dup {} to the lowest free number", name(n)),
            Op::Dup2(from, to) => write!(f, "dup2 {} to {}", name(from), name(to)),
            Op::Write(s, count) => write!(f, "write {count} to number {s}"),
            Op::Read(s, count) => write!(f, "read {count} from number {s}"),
            Op::Drain(s) => write!(f, "read all from number {s}"),
            Op::Fill(s) => write!(f, "write to number {s} until it is full"),
            Op::Shut(s) => write!(f, "shutdown number {s} for writing"),
            Op::Change(change) if change.flags & ADD != 0 => write!(f, "+ change: {change}"),
            Op::Change(change) => write!(f, "+ change of what is there: {change}"),
            Op::Kevent(n, room) => write!(f, "kevent({}, the changes, room {room})", name(n)),
            Op::Poll(n) => write!(f, "poll {}", name(n)),
            Op::Renew(q) => write!(f, "close queue {q} and make it again"),
            Op::Restart => write!(f, "close everything, and begin anew"),
        }
    }
}
