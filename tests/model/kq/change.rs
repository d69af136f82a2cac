//! Entries of lists: printed, and changes made from bytes.

use super::machine::FIRST;
use super::rules::*;
use super::{NAMES, QUEUE};
use core::fmt;

const FILTERS: [(i16, &str); 4] = [(READ, "READ"), (WRITE, "WRITE"), (TIMER, "TIMER"), (USER, "USER")];

const FLAGS: [(u16, &str); 12] = [
    (ADD, "ADD"),
    (DELETE, "DELETE"),
    (ENABLE, "ENABLE"),
    (DISABLE, "DISABLE"),
    (ONESHOT, "ONESHOT"),
    (CLEAR, "CLEAR"),
    (RECEIPT, "RECEIPT"),
    (DISPATCH, "DISPATCH"),
    (FORCEONESHOT, "FORCEONESHOT"),
    (KEEPUDATA, "KEEPUDATA"),
    (ERROR, "ERROR"),
    (EOF, "EOF"),
];

/// How a name is printed.
pub fn name(name: usize) -> String {
    if name < QUEUE { format!("number {name}") } else { format!("queue {}", name - QUEUE) }
}

impl fmt::Display for Kevent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = FILTERS.iter().find(|(number, _)| *number == self.filter);
        let filter = filter.map_or_else(|| format!("filter {}", self.filter), |(_, name)| (*name).into());
        let descriptor =
            matches!(self.filter, READ | WRITE).then_some(self.ident.wrapping_sub(FIRST as usize));
        match descriptor {
            Some(slot) if slot < NAMES => write!(f, "{} {filter}", name(slot))?,
            _ => write!(f, "{} {filter}", self.ident)?,
        }
        let named: Vec<&str> =
            FLAGS.iter().filter(|(bit, _)| self.flags & bit != 0).map(|&(_, name)| name).collect();
        write!(f, " {}", if named.is_empty() { "0".into() } else { named.join("|") })?;
        if self.fflags != 0 {
            write!(f, " fflags {:#x}", self.fflags)?;
        }
        if self.data != 0 {
            write!(f, " data {}", self.data)?;
        }
        if self.user != 0 { write!(f, " udata {}", self.user) } else { Ok(()) }
    }
}

const ACTIONS: [u16; 16] = [
    ADD,
    ADD,
    ADD,
    ADD,
    ADD,
    ADD,
    ADD | DISABLE,
    ADD | ENABLE,
    DELETE,
    DELETE,
    ENABLE,
    ENABLE,
    ENABLE,
    DISABLE,
    DISABLE,
    0,
];

const EXTRAS: [u16; 16] = [
    0,
    0,
    0,
    0,
    CLEAR,
    CLEAR,
    CLEAR,
    ONESHOT,
    ONESHOT,
    DISPATCH,
    DISPATCH,
    CLEAR | DISPATCH,
    RECEIPT,
    DISPATCH | RECEIPT,
    ONESHOT | RECEIPT,
    0xffff, // see `odd`
];

/// Rare ones.
fn odd(action: u16, c: u8) -> u16 {
    match c % 8 {
        0 => ENABLE | DISABLE,
        1 => ADD | DELETE,
        2 | 3 => action | FORCEONESHOT,
        4 => action | KEEPUDATA,
        5 => action | ERROR | EOF, // left over from an event (K-040)
        6 => action | CLEAR | ONESHOT,
        _ => action | EOF | RECEIPT,
    }
}

/// A change from three bytes, without its udata.
pub fn change(a: u8, b: u8, c: u8) -> Kevent {
    let slot = usize::from(a % 8);
    let number = |name: usize| name + FIRST as usize;
    let action = ACTIONS[usize::from(b % 16)];
    let flags = match EXTRAS[usize::from(b / 16)] {
        0xffff => odd(action, c),
        extra if action & ADD != 0 || extra == RECEIPT || slot % 4 == 0 => action | extra,
        _ => action,
    };
    let change = |filter, ident, fflags, data| Kevent { ident, filter, flags, fflags, data, user: 0 };
    let least = [1, 2, 5, 10, 20, 50][usize::from(c / 4 % 6)];
    match a / 8 {
        0..=11 if c.is_multiple_of(4) => change(READ, number(slot), LOWAT, least),
        0..=11 => change(READ, number(slot), 0, 0),
        12..=17 => change(WRITE, number(slot), 0, 0),
        18..=24 => user(change, slot % 4, c),
        25..=27 => timer(change, slot % 2, c),
        28..=30 => change(READ, number(QUEUE + slot % 2), 0, 0),
        _ => match slot {
            0 => change(WRITE, number(QUEUE), 0, 0),
            1 => change(READ, 999_999, 0, 0),
            2 => change(READ, (1 << 32) + number(slot), 0, 0), // K-049
            3 => change(0, number(slot), 0, 0),
            4 => change(-100, 5, 0, 0),
            5 => change(1, 5, 0, 0),
            _ => change(USER, 77, TRIGGER, 0),
        },
    }
}

type Maker<'a> = &'a dyn Fn(i16, usize, u32, i64) -> Kevent;

fn user(change: impl Fn(i16, usize, u32, i64) -> Kevent, ident: usize, c: u8) -> Kevent {
    let change: Maker<'_> = &change;
    let bits = [0, 1, 2, 0xff, 0xf0f0, 0xff_ffff, 0x80_0001, 4][usize::from(c / 32)];
    let fflags = match c % 16 {
        0..=8 => TRIGGER,
        9 => TRIGGER | CONTROL | bits,
        10 => OR | bits,
        11 => AND | bits,
        12 => CONTROL | bits,
        13 => TRIGGER | OR | bits,
        14 => bits,
        _ => 0,
    };
    change(USER, ident, fflags, i64::from(c) - 3)
}

/// Only such timers of which it is known whether they have expired: they have at once, or never will.
fn timer(change: impl Fn(i16, usize, u32, i64) -> Kevent, ident: usize, c: u8) -> Kevent {
    let change: Maker<'_> = &change;
    match c % 8 {
        0..=2 => change(TIMER, ident, 0, 0),
        3 => change(TIMER, ident, 0, 1_000_000_000_000),
        4 => change(TIMER, ident, 1, 1_000_000_000),
        5 => change(TIMER, ident, ABSTIME | 1, 1),
        6 => change(TIMER, ident, ABSOLUTE | 1, 1),
        _ => change(TIMER, ident, 0, -1),
    }
}

/// Simpler ones, the simplest first.
pub fn simpler(change: Kevent) -> Vec<Kevent> {
    let mut list = vec![];
    for flags in [ADD, change.flags & !0xfff0] {
        for extra in [0, CLEAR, ONESHOT, DISPATCH] {
            if (flags | extra).count_ones() < change.flags.count_ones()
                && (flags | extra) & !change.flags == 0
            {
                list.push(Kevent { flags: flags | extra, ..change });
            }
        }
    }
    if change.filter != TIMER {
        list.push(Kevent { fflags: change.fflags & TRIGGER, data: 0, ..change });
    }
    list.retain(|other| *other != change);
    list
}
