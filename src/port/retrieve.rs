//! port_get and port_getn.
//!
//! The caller's memory is touched only with its signals unblocked and no lock held: a bad address is then a fault
//! like in any C function. So events travel through a chunk on the stack, and the time-out is read only once it is
//! clear that the call has to wait (7.1 h: "the timeout is not looked at").

use super::{SOURCE_ALERT, alert, hold, hold_proved, set_error};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd, Until, Wakes, below};
use crate::registry::queue::Event;
use crate::registry::wait::Woken;
use crate::registry::{self, Held};

/// Room for the events of port_getn that are taken under one lock. Small: handlers on small stacks retrieve events too.
pub const CHUNK: usize = 32;

/// What a call asks for.
pub struct Request<'a> {
    /// The port.
    pub port: RawFd,
    /// Events to wait for, at least 1.
    pub want: u32,
    /// Events to take at most.
    pub max: u32,
    /// The time-out is known to be endless without looking at it.
    pub endless: bool,
    /// Reads and checks the time-out; called when the call must wait.
    pub timeout: &'a dyn Fn() -> Result<Until>,
}

/// How a call ended that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With enough events, or with the alert.
    Enough(u32),
    /// The zero time-out: with what was there (R7.3).
    AtOnce(u32),
    /// The time was over: ETIME, with what was there (R7.2).
    Late(u32),
}

struct Chunk<const ROOM: usize> {
    events: [Event; ROOM],
    filled: usize,
}

enum Step {
    Ended(Ended),
    /// The time-out has to be read.
    MustWait,
    /// The port's set was replaced: other sets of ours have to be told, without a lock.
    MustMend,
}

/// Waits and retrieves. `deliver` gets the events in order, with the index of the first. `ROOM`: events that are taken
/// under one lock.
pub fn retrieve<const ROOM: usize>(
    request: &Request<'_>,
    deliver: &mut dyn FnMut(usize, &[Event]),
) -> Result<Ended> {
    let mut chunk = Chunk::<ROOM>::new();
    let mut until = request.endless.then_some(Until::Forever);
    let before = Masked::interruptions();
    let ended = loop {
        let mask = Masked::new();
        let held = hold(request.port, &mask)?;
        let registry = held.registry;
        match attempt(held, request, until, &mut chunk)? {
            Step::Ended(ended) => break ended,
            Step::MustMend => {
                registry.mend(&mask);
                continue;
            }
            Step::MustWait => {}
        }
        drop(mask);
        let limit = (request.timeout)()?;
        if limit != Until::Now && Masked::interruptions() != before {
            return Err(Errno::EINTR); // R7.6: it arrived in this call, and was handled just now
        }
        until = Some(limit);
    };
    deliver(0, chunk.all());
    let more = if chunk.filled == ROOM { retrieve_more(request, ROOM, deliver) } else { 0 };
    Ok(match ended {
        Ended::Enough(n) => Ended::Enough(n + more),
        Ended::AtOnce(n) => Ended::AtOnce(n + more),
        Ended::Late(n) => Ended::Late(n + more),
    })
}

/// "Takes up to max" (R7.1): the rest after a full chunk.
#[inline(never)]
fn retrieve_more(request: &Request<'_>, first: usize, deliver: &mut dyn FnMut(usize, &[Event])) -> u32 {
    let mut total = first;
    let mut full = true;
    while full && total < request.max as usize {
        let mut chunk = Chunk::<CHUNK>::new();
        {
            let mask = Masked::new();
            let Ok(held) = hold(request.port, &mask) else { break };
            chunk.fill(&held, request.max - total as u32);
            let _ = held.settle();
        }
        deliver(total, chunk.all());
        total += chunk.filled;
        full = chunk.filled == CHUNK;
    }
    (total - first) as u32
}

/// Takes what is there, or sleeps for it once the time-out is known.
fn attempt<const ROOM: usize>(
    mut held: Held<'_>,
    request: &Request<'_>,
    until: Option<Until>,
    chunk: &mut Chunk<ROOM>,
) -> Result<Step> {
    let mut slept = false;
    let most = (request.max as usize).min(Wakes::ROOM);
    loop {
        if let Some(alert) = alert::pending(&held) {
            return Ok(leave_with_alert(&held, alert, chunk));
        }
        // Among several threads a call that wants one event looks without the lock.
        let aside = held.note_company() && request.want == 1 && held.queued() == 0;
        if aside {
            held = held.look_aside(most).map_err(set_error)?;
            if let Some(alert) = alert::pending(&held) {
                return Ok(leave_with_alert(&held, alert, chunk)); // it was set while nobody had the lock
            }
        } else if held.queued() < request.max || held.object.unordered.get() != 0 {
            held.harvest(request.want).map_err(set_error)?;
        }
        if held.registry.moved.get() != 0 {
            held.settle().map_err(set_error)?;
            return Ok(Step::MustMend);
        }
        if held.queued() >= request.want {
            return leave(&held, request, chunk, Ended::Enough);
        }
        let until = match until {
            None => {
                held.settle().map_err(set_error)?;
                return Ok(Step::MustWait);
            }
            Some(Until::Now) => return leave(&held, request, chunk, Ended::AtOnce),
            // What wakes it again and again must not make it wait for ever.
            Some(Until::At(end)) if slept && below::now() >= end => {
                return leave(&held, request, chunk, Ended::Late);
            }
            Some(until) => until,
        };
        slept = true;
        let (woken, again) = held.sleep(request.port, request.want, most, until);
        match (woken, again) {
            (Woken::Look, Some(again)) => held = again,
            (Woken::Told(events, user), Some(again)) => {
                return Ok(leave_with_alert(&again, (events, user), chunk));
            }
            (Woken::TimedOut, Some(again)) => {
                again.harvest(0).map_err(set_error)?;
                let enough = again.queued() >= request.want;
                let how = if enough { Ended::Enough } else { Ended::Late };
                return leave(&again, request, chunk, how);
            }
            (woken, again) => {
                if let Some(again) = again {
                    let _ = again.settle();
                }
                return Err(match woken {
                    Woken::Interrupted => Errno::EINTR, // R7.6: nothing was taken
                    Woken::Failed(error) => set_error(error),
                    _ => Errno::EBADF, // R7.30
                });
            }
        }
    }
}

fn leave<const ROOM: usize>(
    held: &Held<'_>,
    request: &Request<'_>,
    chunk: &mut Chunk<ROOM>,
    how: fn(u32) -> Ended,
) -> Result<Step> {
    held.prove().map_err(set_error)?; // a number that was closed unseen hands out nothing
    chunk.fill(held, request.max);
    let _ = held.settle();
    Ok(Step::Ended(how(chunk.filled as u32)))
}

/// R8.3: one event, "regardless of nget>1 or queued events".
fn leave_with_alert<const ROOM: usize>(
    held: &Held<'_>,
    (events, user): (i32, usize),
    chunk: &mut Chunk<ROOM>,
) -> Step {
    chunk.put(Event { events, tag: SOURCE_ALERT, ident: 0, user });
    let _ = held.settle();
    Step::Ended(Ended::Enough(1))
}

/// port_getn with max 0: how many events are queued (7.1 d).
pub fn count(port: RawFd) -> Result<u32> {
    let mask = Masked::new();
    let held = hold_proved(port, &mask)?;
    held.harvest(0).and_then(|()| held.settle()).map_err(set_error)?;
    Ok(held.queued())
}

/// The checks of the port alone, for calls that have nothing else to do.
pub fn check(port: RawFd) -> Result<()> {
    super::registry_of(port).map(drop)
}

/// Q1: does port_get with a zero time-out answer 0 on an empty port, as illumos does against its manual?
pub fn zero_timeout_succeeds() -> bool {
    registry::current().is_some_and(|registry| registry.settings.quirk("port_get_zero"))
}

impl<const ROOM: usize> Chunk<ROOM> {
    fn new() -> Self {
        Chunk { events: [Event { events: 0, tag: 0, ident: 0, user: 0 }; ROOM], filled: 0 }
    }

    fn put(&mut self, event: Event) {
        if let Some(place) = self.events.get_mut(self.filled) {
            *place = event;
            self.filled += 1;
        }
    }

    fn fill(&mut self, held: &Held<'_>, max: u32) {
        while self.filled < ROOM.min(max as usize)
            && let Some(event) = held.take()
        {
            self.put(event);
        }
    }

    fn all(&self) -> &[Event] {
        self.events.get(..self.filled).unwrap_or_default()
    }
}
