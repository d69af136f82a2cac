//! Programs of what goes past the queue: knotes of EVFILT_READ, most of them delivered once, that are armed again along with
//! the wait. Among everything else ([`Op`]) that way is hardly ever open.

use super::super::program::{Difference, Step};
use super::op::{Kind, Op};
use super::rules::*;
use super::{QUEUE, machine::FIRST};
use core::fmt;

/// An operation of such a program.
#[derive(Clone, Copy, PartialEq)]
pub struct Rearm(pub Op);

/// Numbers that are in play.
const FEW: usize = 4;

const CHANGES: [u16; 16] = [
    ADD | ONESHOT,
    ADD | ONESHOT,
    ADD | ONESHOT,
    ADD | ONESHOT | ENABLE,
    ADD | DISPATCH,
    ADD | DISPATCH,
    ADD | DISPATCH | ENABLE,
    ADD | DISPATCH | ONESHOT,
    ENABLE,
    ENABLE,
    ENABLE,
    ENABLE,
    ENABLE,
    ENABLE,
    ADD,
    DELETE,
];

fn change(slot: usize, b: u8) -> Op {
    let flags = CHANGES[usize::from(b) % 16];
    Op::Change(Kevent { ident: slot + FIRST as usize, filter: READ, flags, fflags: 0, data: 0, user: 0 })
}

impl Step for Rearm {
    type Maker = fn(usize, u8, u8) -> Op;

    const TABLE: &'static [(u8, Self::Maker)] = &[
        (2, |slot, other, c| {
            let kind = [Kind::Stream, Kind::Stream, Kind::Messages, Kind::Pipe][usize::from(c) % 4];
            Op::Pair(kind, slot, usize::from(other) % FEW)
        }),
        (1, |slot, _, _| Op::Close(slot)),
        (40, |slot, _, c| Op::Write(slot, [1, 2, 5, 20][usize::from(c) % 4])),
        (6, |slot, _, c| Op::Read(slot, [1, 2, 5, 20][usize::from(c) % 4])),
        (9, |slot, _, _| Op::Drain(slot)),
        (30, |slot, b, _| change(slot, b)),
        (39, |_, b, c| {
            Op::Kevent(QUEUE + usize::from(c / 255), [1, 1, 2, 3, 4, 8, 8, 32][usize::from(b) % 8])
        }),
        (1, |_, _, c| Op::Renew(usize::from(c / 255))),
    ];
    const NEEDED: u64 = 1 | 1 << 2 | 1 << 5 | 1 << 6;
    const RESTART: Rearm = Rearm(Op::RESTART);

    fn make(maker: Self::Maker, [a, b, c]: [u8; 3]) -> Rearm {
        Rearm(maker(usize::from(a) % FEW, b, c))
    }

    fn simpler(self) -> Vec<Rearm> {
        self.0.simpler().into_iter().map(Rearm).collect()
    }

    fn renamed(self, slot: &dyn Fn(usize) -> usize, queue: &dyn Fn(usize) -> usize) -> Rearm {
        Rearm(self.0.renamed(slot, queue))
    }

    fn run(program: &[Rearm], progress: &mut dyn FnMut(usize)) -> Result<(), Difference> {
        let ops: Vec<Op> = program.iter().map(|step| step.0).collect();
        Op::run(&ops, progress)
    }
}

impl fmt::Display for Rearm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
