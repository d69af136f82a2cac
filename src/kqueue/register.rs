//! One change of a changelist (sections 3.1 and 4).

use super::scan::{self, Glance};
use super::{Kevent, check_open, descriptor, filter, flag, hold, registry_of, set_error, timer, user};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd};
use crate::registry::Held;
use crate::registry::note::{DISABLED, EDGES, FORCED, FRESH, QUEUED};
use crate::registry::watch::HeldNumber;
use core::cell::Cell;

/// What a change finds.
pub struct Found<'a, 'm> {
    /// What the call knows of the queue.
    pub glance: &'a Cell<Glance>,
    /// The queue.
    pub held: &'a Held<'m>,
    /// Of a descriptor: its number, ...
    pub number: Option<&'a HeldNumber>,
    /// ... and watch.
    pub watch: u32,
}

/// Makes one change. What is wrong with it is its error; the others go on (K-032).
pub fn change(kq: RawFd, change: &Kevent, glance: &Cell<Glance>) -> Result<()> {
    let change = checked(change)?;
    match change.filter {
        filter::READ | filter::WRITE | filter::EMPTY => of_descriptor(kq, &change, glance),
        filter::TIMER | filter::USER => {
            let mask = Masked::new();
            of_name(&hold(kq, &mask).map_err(gone)?, &change, glance)
        }
        _ => Err(Errno::EINVAL), // K-048
    }
}

#[inline]
fn checked(change: &Kevent) -> Result<Kevent> {
    if change.flags & (flag::ENABLE | flag::DISABLE) == flag::ENABLE | flag::DISABLE {
        return Err(Errno::EINVAL); // K-052
    }
    Ok(Kevent { flags: change.flags & !flag::SYSTEM, ..*change }) // K-040
}

/// The only change of a call that does nothing else, if it is of a knote with a name, in a queue that stands alone.
#[inline]
pub fn single(kq: RawFd, change: &Kevent) -> Option<Result<()>> {
    let named = matches!(change.filter, filter::TIMER | filter::USER) && change.flags & flag::RECEIPT == 0;
    if !named {
        return None;
    }
    let mask = Masked::new();
    let held = hold(kq, &mask).ok()?;
    let alone = held.object.nests.get() | held.object.nested.get() == 0 && held.registry.sees_closes;
    let made = || checked(change).and_then(|change| of_name(&held, &change, &Cell::default()));
    alone.then(made)
}

/// What a change answers if the queue is none any more: that ends the call.
pub const GONE: Errno = Errno::EBADFD;

fn gone(_: Errno) -> Errno {
    GONE
}

fn of_descriptor(kq: RawFd, change: &Kevent, glance: &Cell<Glance>) -> Result<()> {
    let registry = registry_of(kq).map_err(gone)?;
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
    let held = hold(kq, &mask).map_err(gone)?;
    held.proved.set(glance.get().proved);
    scan::glance(&held, glance)?;
    let done = match held.find(&number) {
        Some(watch) => trust(&held, watch, change).and_then(|()| {
            apply(
                Found { glance, held: &held, number: Some(&number), watch },
                note_of(&held, watch, change),
                change,
            )
        }),
        None => apply(Found { glance, held: &held, number: Some(&number), watch: 0 }, None, change),
    };
    glance.set(Glance { proved: held.proved.get(), ..glance.get() });
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

fn note_of(held: &Held<'_>, watch: u32, change: &Kevent) -> Option<u32> {
    held.notes_of(watch).find(|&note| held.note(note).filter.get() == change.filter.into())
}

/// Does the registration of a watch serve the file that its number names now? EBADF.
fn trust(held: &Held<'_>, watch: u32, change: &Kevent) -> Result<()> {
    let Some(note) = note_of(held, watch, change).filter(|_| change.flags & flag::ADD != 0) else {
        return held.trust_watch(watch);
    };
    // Other wishes are likely to be another file's, whose knote would be a new one.
    let record = held.note(note);
    let same = record.flags.get() & u32::from(flag::KEPT) == u32::from(change.flags & flag::KEPT)
        && record.wish.get() == change.fflags
        && held.slot(note).user.get() as u64 == change.udata;
    if same { held.trust_watch(watch) } else { held.confirm_watch(watch) }
}

fn of_name(held: &Held<'_>, change: &Kevent, glance: &Cell<Glance>) -> Result<()> {
    let registry = held.registry;
    held.proved.set(glance.get().proved);
    let note = held.by_name(change.filter.into(), change.ident);
    if note.is_some() && change.filter == filter::TIMER {
        scan::glance(held, glance)?; // it may have expired
    }
    let done = apply(Found { glance, held, number: None, watch: 0 }, note, change);
    glance.set(Glance { proved: held.proved.get(), ..glance.get() });
    let settled = held.settle().and_then(|()| if registry.sees_closes { Ok(()) } else { held.prove() });
    let settled = settled.map_err(set_error);
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
        held.fit_less(found.watch);
        return Ok(());
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
    if change.flags & flag::ADD != 0 && held.in_doubt(found.watch) {
        held.put(note, FRESH, true);
    }
    match change.filter {
        filter::USER => user::touch(held, note, change),
        filter::TIMER => timer::touch(held, note, change, found.glance)?,
        _ => descriptor::touch_again(held, note, change),
    }
    refit(&found, note)?;
    if found.watch != 0 && note_of(held, found.watch, change) != Some(note) {
        return Err(Errno::ENOENT); // the kernel has just told that its number was closed unseen
    }
    look(&found, note)?;
    refit(&found, note)
}

/// A knote with what the change says, but for its filter's part. ENOMEM.
pub fn new_note(held: &Held<'_>, change: &Kevent) -> Result<u32> {
    let note = held.new_note(change.filter.into(), change.ident)?;
    keep_user(held, note, change);
    held.note(note).flags.set((change.flags & flag::KEPT).into());
    Ok(note)
}

/// What the program wants to have back with each event.
pub fn keep_user(held: &Held<'_>, note: u32, change: &Kevent) {
    held.slot(note).user.set(change.udata as usize);
    for (cell, value) in held.note(note).extra.iter().zip(change.ext) {
        cell.set(value);
    }
}

fn refit(found: &Found<'_, '_>, note: u32) -> Result<()> {
    if found.watch == 0 || found.held.is_served(found.watch, note) {
        return Ok(());
    }
    found.held.fit(found.watch).map_err(set_error)
}

/// An enabled knote is tested at once: it is active if its condition holds now.
fn look(found: &Found<'_, '_>, note: u32) -> Result<()> {
    let held = found.held;
    if held.is(note, DISABLED) {
        return Ok(());
    }
    let active = test(held, note, found.glance.get().look) || held.is(note, FORCED);
    held.slot(note).since.set(0);
    if active {
        if found.number.is_none() {
            scan::glance(held, found.glance)?; // what was there before comes first
        } else {
            held.slot(note).since.set(held.object.looks.get());
        }
        held.note(note).seen.set(0); // no look at the set has named it
        held.link_note(note);
    } else if found.watch != 0 {
        descriptor::wait_for_it(held, note);
    }
    Ok(())
}

fn add(found: &Found<'_, '_>, change: &Kevent) -> Result<()> {
    let held = found.held;
    if change.flags & flag::KEEPUDATA != 0 {
        return Err(Errno::EINVAL); // K-066
    }
    let note = new_note(held, change)?;
    held.put(note, DISABLED, change.flags & flag::DISABLE != 0);
    held.put(note, EDGES, change.flags & flag::CLEAR != 0);
    held.put(note, FRESH, held.in_doubt(found.watch));
    let mut watch = 0;
    let made = match (change.filter, found.number) {
        (filter::USER, _) => {
            held.enter_name(note);
            user::make(held, note, change)
        }
        (filter::TIMER, _) => {
            held.enter_name(note);
            timer::make(held, note, change, found.glance)
        }
        (_, Some(number)) => descriptor::make(held, number, note, change).map(|at| watch = at),
        _ => Err(Errno::EINVAL),
    };
    match made {
        Ok(()) if watch != 0 => descriptor::begin(held, note, watch)?,
        Ok(()) => {}
        Err(error) => {
            if found.number.is_none() {
                held.drop_note(note);
            } else {
                held.drop_loose_note(note);
            }
            return Err(error);
        }
    }
    let found = Found { watch, ..*found };
    look(&found, note)?;
    // To be registered may have linked it by something that does not count.
    if held.is(note, QUEUED)
        && found.watch != 0
        && held.slot(note).since.get() == 0
        && !test(held, note, None)
    {
        held.unlink_note(note);
    }
    refit(&found, note) // room to write that is there needs no telling
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
