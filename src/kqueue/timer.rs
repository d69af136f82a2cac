//! EVFILT_TIMER (section 8.4): deadlines in a tree, expirations counted in the knote.

use super::scan::{self, Glance};
use super::{Kevent, flag, set_error};
use crate::errno::{Errno, Result};
use crate::host::{Clock, below};
use crate::registry::Held;
use crate::registry::note::{DISABLED, EDGES, FORCED, WALL};
use core::cell::Cell;

const SECONDS: u32 = 0x1;
const MICROSECONDS: u32 = 0x2;
const NANOSECONDS: u32 = 0x4;
const ABSOLUTE: u32 = 0x8;
const MILLISECONDS: u32 = super::NOTE_MSECONDS;
const ABSTIME: u32 = super::NOTE_ABSTIME;

/// NOTE_LEEWAY, NOTE_CRITICAL, NOTE_BACKGROUND: accepted, and of no effect.
const HINTS: u32 = 0x70;

/// When a timer expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    wall: bool,
    at: u64,
    period: u64,
}

/// Reads unit and time of a change (K-262, K-263, K-267). EINVAL.
fn plan(change: &Kevent, once: bool) -> Result<Plan> {
    let absolute = change.fflags & (ABSOLUTE | ABSTIME);
    let unit = match change.fflags & !(ABSOLUTE | ABSTIME | HINTS) {
        0 | MILLISECONDS => 1_000_000u64,
        SECONDS => 1_000_000_000,
        MICROSECONDS => 1_000,
        NANOSECONDS => 1,
        _ => return Err(Errno::EINVAL),
    };
    let count = u64::try_from(change.data).map_err(|_| Errno::EINVAL)?;
    // K-274: beyond what the clock can count is "never".
    let length = count.saturating_mul(unit).min(i64::MAX as u64);
    if absolute != 0 {
        return Ok(Plan { wall: true, at: length, period: 0 });
    }
    let period = if once { 0 } else { length.max(unit) };
    Ok(Plan { wall: false, at: below::now().saturating_add(length.max(period)), period })
}

/// A new timer. EINVAL; EMFILE, ENFILE, ENOMEM for want of an alarm.
pub fn make(held: &Held<'_>, note: u32, change: &Kevent, first: &Cell<Glance>) -> Result<()> {
    let flags = &held.note(note).flags;
    if change.fflags & ABSOLUTE != 0 {
        flags.set(flags.get() | u32::from(flag::ONESHOT)); // as libkqueue has it
    } else if change.fflags & ABSTIME == 0 {
        flags.set(flags.get() | u32::from(flag::CLEAR)); // forced on relative ones
        held.put(note, EDGES, true);
    }
    let plan = plan(change, flags.get() & u32::from(flag::ONESHOT) != 0)?;
    held.put(note, WALL, plan.wall);
    let is_first = held.would_be_first(clock_of(plan), plan.at);
    if is_first || held.is(note, DISABLED) {
        return start(held, note, plan, first);
    }
    held.give_deadline(note, plan.at, plan.period); // the alarm stays as it is
    Ok(())
}

fn clock_of(plan: Plan) -> Clock {
    if plan.wall { Clock::Wall } else { Clock::Monotonic }
}

/// It may have been disabled or enabled.
fn park(held: &Held<'_>, note: u32) -> Result<()> {
    if held.is(note, DISABLED) {
        held.park_deadline(note);
        return Ok(());
    }
    held.unpark_deadline(note).map_err(set_error)
}

fn start(held: &Held<'_>, note: u32, plan: Plan, first: &Cell<Glance>) -> Result<()> {
    held.take_deadline(note);
    held.put(note, WALL, plan.wall);
    held.give_deadline(note, plan.at, plan.period);
    let clock = clock_of(plan);
    if plan.at <= below::clock(clock) {
        scan::glance(held, first)?; // what was there comes first
        held.expire(clock);
    } else if !held.is(note, DISABLED) {
        return held.wind(clock).map_err(set_error);
    }
    park(held, note)
}

/// EV_ADD starts it afresh, and what was pending is lost (K-266); other changes leave it as it is. Bad values end it, and
/// the next event tells why.
pub fn touch(held: &Held<'_>, note: u32, change: &Kevent, first: &Cell<Glance>) -> Result<()> {
    if change.flags & flag::ADD == 0 {
        return park(held, note);
    }
    let record = held.note(note);
    record.data.set(0);
    held.put(note, FORCED, false);
    held.unlink_note(note);
    held.take_deadline(note);
    match plan(change, record.flags.get() & u32::from(flag::ONESHOT) != 0) {
        Ok(plan) => start(held, note, plan, first),
        Err(error) => {
            record.flags.set(record.flags.get() | u32::from(flag::ERROR));
            record.data.set(error.0 as u64);
            Ok(())
        }
    }
}
