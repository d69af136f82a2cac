//! One change of a changelist (sections 3.1 and 4).

use super::{Kevent, check_open, descriptor, filter, flag, hold, registry_of, set_error, timer, user};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd};
use crate::registry::Held;
use crate::registry::note::{DISABLED, EDGES, FORCED};
use crate::registry::watch::HeldNumber;

/// What a change finds.
pub struct Found<'a, 'm> {
    /// The queue.
    pub held: &'a Held<'m>,
    /// Of a descriptor: its number, ...
    pub number: Option<&'a HeldNumber>,
    /// ... and watch.
    pub watch: u32,
}

/// Makes one change. What is wrong with it is its error; the others go on (K-032).
pub fn change(kq: RawFd, change: &Kevent) -> Result<()> {
    let mut change = *change;
    change.flags &= !flag::SYSTEM; // K-040
    if change.flags & (flag::ENABLE | flag::DISABLE) == flag::ENABLE | flag::DISABLE {
        return Err(Errno::EINVAL); // K-052
    }
    match change.filter {
        filter::READ | filter::WRITE | filter::EMPTY => of_descriptor(kq, &change),
        filter::TIMER | filter::USER => of_name(kq, &change),
        _ => Err(Errno::EINVAL), // K-048
    }
}

fn of_descriptor(kq: RawFd, change: &Kevent) -> Result<()> {
    let registry = registry_of(kq)?;
    let fd = RawFd::try_from(change.ident).map_err(|_| Errno::EBADF)?; // K-049, K-050
    let object = registry.table.get(fd).and_then(|entry| entry.object());
    if object.is_some() {
        if object == registry.table.get(kq).and_then(|entry| entry.object()) || change.filter != filter::READ
        {
            return Err(Errno::EINVAL); // K-132, K-135
        }
        registry.polled_from_outside(fd);
        registry.look_at(fd, &Masked::new());
        registry.be_nested(fd);
    }
    let mask = Masked::new();
    if registry.table.get(fd).is_some_and(|entry| entry.helper()) {
        return Err(Errno::EBADF);
    }
    if registry.table.get(fd).is_none() {
        check_open(fd)?;
    }
    let number = registry.hold_number(fd, &mask)?;
    let held = hold(kq, &mask)?;
    held.proved.set(true); // by the look at the beginning of the call
    let done = match held.find(&number) {
        Some(watch) => held.confirm_watch(watch).and_then(|()| {
            let note = held.notes_of(watch).find(|&n| held.note(n).filter.get() == change.filter.into());
            apply(Found { held: &held, number: Some(&number), watch }, note, change)
        }),
        None => apply(Found { held: &held, number: Some(&number), watch: 0 }, None, change),
    };
    let settled = held.settle().map_err(set_error);
    done?;
    settled?;
    drop(held);
    drop(number);
    match object {
        Some(_) if change.flags & flag::DELETE != 0 => registry.disconnect(kq, &mask),
        Some(_) => registry.connect(kq, fd, &mask),
        None => Ok(()),
    }
}

fn of_name(kq: RawFd, change: &Kevent) -> Result<()> {
    let mask = Masked::new();
    let held = hold(kq, &mask)?;
    held.proved.set(true); // as above
    let note = held.by_name(change.filter.into(), change.ident);
    let done = apply(Found { held: &held, number: None, watch: 0 }, note, change);
    let settled = held.settle().map_err(set_error);
    done?;
    settled
}

/// The change to a knote that exists, or the making of one.
fn apply(found: Found<'_, '_>, note: Option<u32>, change: &Kevent) -> Result<()> {
    let Some(note) = note else {
        return match change.flags {
            flags if flags & flag::ADD == 0 => {
                found.number.map_or(Ok(()), |_| check_open(change.ident as RawFd))?;
                Err(Errno::ENOENT) // K-051
            }
            _ => add(&found, change),
        };
    };
    let held = found.held;
    if change.flags & flag::DELETE != 0 {
        held.drop_note(note); // K-067
        return refit(&found);
    }
    if change.flags & flag::FORCEONESHOT != 0 {
        let flags = &held.note(note).flags;
        flags.set(flags.get() | u32::from(flag::ONESHOT));
        held.put(note, FORCED | EDGES, true); // K-093; the kernel may have nothing to show
    }
    if change.flags & (flag::ENABLE | flag::DISABLE) != 0 {
        held.put(note, DISABLED, change.flags & flag::DISABLE != 0);
    }
    if change.flags & flag::KEEPUDATA == 0 {
        keep_user(held, note, change); // K-061, K-065, K-066
    }
    match change.filter {
        filter::USER => user::touch(held, note, change),
        filter::TIMER => timer::touch(held, note, change)?,
        _ => descriptor::touch_again(held, note, change),
    }
    refit(&found)?;
    look(&found, note);
    refit(&found)
}

fn keep_user(held: &Held<'_>, note: u32, change: &Kevent) {
    held.slot(note).user.set(change.udata as usize);
    for (cell, value) in held.note(note).extra.iter().zip(change.ext) {
        cell.set(value);
    }
}

fn refit(found: &Found<'_, '_>) -> Result<()> {
    if found.watch != 0 { found.held.fit(found.watch).map_err(set_error) } else { Ok(()) }
}

/// An enabled knote is tested at once: it is active if its condition holds now.
fn look(found: &Found<'_, '_>, note: u32) {
    let held = found.held;
    if held.is(note, DISABLED) {
        return;
    }
    if test(held, note, None) || held.is(note, FORCED) {
        held.note(note).seen.set(0); // no look at the set has named it
        held.link_note(note);
    } else if found.watch != 0 {
        descriptor::wait_for_it(held, note);
    }
}

fn add(found: &Found<'_, '_>, change: &Kevent) -> Result<()> {
    let held = found.held;
    if change.flags & flag::KEEPUDATA != 0 {
        return Err(Errno::EINVAL); // K-066
    }
    let note = held.new_note(change.filter.into(), change.ident)?;
    keep_user(held, note, change);
    held.note(note).flags.set((change.flags & flag::KEPT).into());
    held.put(note, DISABLED, change.flags & flag::DISABLE != 0);
    held.put(note, EDGES, change.flags & flag::CLEAR != 0);
    let mut watch = 0;
    let made = match (change.filter, found.number) {
        (filter::USER, _) => {
            held.enter_name(note);
            user::make(held, note, change)
        }
        (filter::TIMER, _) => {
            held.enter_name(note);
            timer::make(held, note, change)
        }
        (_, Some(number)) => descriptor::make(held, number, note, change).map(|at| watch = at),
        _ => Err(Errno::EINVAL),
    };
    if let Err(error) = made {
        if held.note(note).watch.get() != 0 || found.number.is_none() {
            held.drop_note(note);
        } else {
            held.drop_loose_note(note);
        }
        return Err(error);
    }
    let found = Found { watch, ..*found };
    look(&found, note);
    refit(&found) // room to write that is there needs no telling
}

/// Does the condition of a knote hold? `fresh`: which look at the set has named everything
/// that is ready.
pub fn test(held: &Held<'_>, note: u32, fresh: Option<u32>) -> bool {
    match held.note(note).filter.get() as i16 {
        filter::USER => user::test(held, note),
        filter::TIMER => held.note(note).data.get() > 0,
        _ => descriptor::test(held, note, fresh),
    }
}
