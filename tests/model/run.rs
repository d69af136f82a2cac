//! One program: each operation on the library and on the model, and their answers compared.

use super::files::{Files, number, slot_of};
use super::op::{Op, Timeout, bits};
use super::program::Difference;
use super::rules::{Port, Up};
use super::sys::{self, Event, UNTOUCHED};
use super::{PORTS, SLOTS};
use core::fmt;
use libc::c_int;

type Outcome = Result<(), String>;

struct World {
    files: Files,
    ports: [Port; PORTS],
    fds: [c_int; PORTS],
    aliases: [Option<c_int>; PORTS],
    /// Watches both ports for edges.
    outer: c_int,
    /// The port became non-empty since the last look at `outer`.
    edge: [bool; PORTS],
    step: usize,
    /// Each association and each user event has a value of its own.
    values: usize,
}

/// Runs a program. `progress` is told of each step before it is made.
pub fn run(program: &[Op], progress: &mut dyn FnMut(usize)) -> Result<(), Difference> {
    sys::prepare();
    let mut world = World::new();
    for (step, &op) in program.iter().enumerate() {
        progress(step);
        world.step = step;
        if op == Op::Restart {
            drop(world);
            world = World::new();
            continue;
        }
        world.apply(op).map_err(|text| Difference { step, text })?;
    }
    Ok(())
}

fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
}

/// An answer of the library: 0 or an errno.
fn same_answer(what: &str, found: Result<c_int, c_int>, expected: Result<(), c_int>) -> Outcome {
    same(what, found, expected.map(|()| 0))
}

fn show(event: &Event) -> String {
    let name =
        slot_of(event.object).map_or_else(|| event.object.to_string(), |slot| format!("number {slot}"));
    match event.source {
        3 => format!("user event (events {}, user {})", event.events, event.user),
        4 => format!("{name} ({}, user {})", bits(event.events), event.user),
        _ => format!("{event:?}"),
    }
}

impl World {
    fn new() -> World {
        let outer = sys::epoll_create();
        let mut world = World {
            files: Files::default(),
            ports: Default::default(),
            fds: [-1; PORTS],
            aliases: [None; PORTS],
            outer,
            edge: [false; PORTS],
            step: 0,
            values: 0,
        };
        for p in 0..PORTS {
            world.make_port(p);
        }
        world
    }

    fn make_port(&mut self, p: usize) {
        self.fds[p] = sys::port_create();
        self.ports[p] = Port::default();
        self.edge[p] = false;
        sys::epoll_add_edges(self.outer, self.fds[p], p);
    }

    fn close_port(&mut self, p: usize) {
        if let Some(alias) = self.aliases[p].take() {
            sys::close(alias);
        }
        sys::close(self.fds[p]);
    }

    /// One of the port's numbers: they are all the same (R13.5).
    fn port(&self, p: usize) -> c_int {
        self.aliases[p].filter(|_| self.step % 2 == 1).unwrap_or(self.fds[p])
    }

    fn value(&mut self) -> usize {
        self.values += 1;
        self.values
    }

    /// Calls a function of the model with what the numbers are ready for.
    fn model<T>(&mut self, p: usize, call: impl FnOnce(&mut Port, Up<'_>) -> T) -> T {
        let World { files, ports, .. } = self;
        call(&mut ports[p], &|slot, events| files.up(slot, events))
    }

    fn available(&mut self, p: usize) -> usize {
        self.model(p, |port, up| port.available(up))
    }

    fn apply(&mut self, op: Op) -> Outcome {
        let before = [0, 1].map(|p| self.available(p));
        let swallowed = self.reassociates_fresh(op);
        match op {
            Op::Open(..) | Op::Close(..) | Op::Dup2(..) | Op::Dup(..) | Op::Keep(..) => {
                self.change_number(op)?
            }
            Op::Write(slot) => self.files.write(slot),
            Op::HangUp(slot) => self.files.hang_up(slot),
            Op::Drain(slot, all) => {
                self.decide(slot)?;
                self.files.drain(slot, all);
            }
            Op::Stuff(slot) => {
                self.decide(slot)?;
                self.files.stuff(slot);
            }
            Op::Associate(p, slot, events) => self.associate(p, slot, events)?,
            Op::Dissociate(p, slot) => self.dissociate(p, slot)?,
            Op::Send(p) => self.send(p)?,
            Op::Get(p, time) => drop(self.get(p, None, time)?),
            Op::Getn(p, want, max, time) => drop(self.get(p, Some((want, max)), time)?),
            Op::Cycle(p, time, read) => self.cycle(p, time, read)?,
            Op::Restart => {}
            Op::Count(p) => self.count(p)?,
            Op::Poll(p) => self.poll(p)?,
            Op::Edges => self.edges()?,
            Op::Alert(p, flags, events) => self.alert(p, flags, events)?,
            Op::Renew(p) => {
                self.close_port(p);
                self.make_port(p);
            }
            Op::Alias(p) => match self.aliases[p].take() {
                Some(alias) => sys::close(alias),
                None => self.aliases[p] = Some(sys::dup(self.fds[p])),
            },
        }
        for (p, &had) in before.iter().enumerate() {
            let has = self.available(p);
            if has == 0 {
                self.edge[p] = false; // the outer set looks again before it reports
            } else if had == 0 && !swallowed {
                self.edge[p] = true;
            }
        }
        Ok(())
    }

    /// The port is readable before and after, for the one descriptor: no edge is due.
    fn reassociates_fresh(&self, op: Op) -> bool {
        match op {
            Op::Associate(p, slot, _) => self.ports[p].is_fresh(slot),
            Op::Cycle(..) => true,
            _ => false,
        }
    }

    // ------------------------------------------------------------ numbers

    fn change_number(&mut self, op: Op) -> Outcome {
        match op {
            Op::Open(slot, kind) => {
                self.files.open(slot, kind);
                self.gone(slot);
            }
            Op::Close(slot, how) if self.files.is_open(slot) => {
                self.files.close(slot, how);
                self.gone(slot);
            }
            Op::Dup2(from, to) => {
                let (result, open) = (self.files.dup2(from, to), self.files.is_open(from));
                same("dup2", result, if open { Ok(number(to)) } else { Err(libc::EBADF) })?;
                if open && from != to {
                    self.gone(to); // R4.20; and nothing was closed otherwise
                }
            }
            Op::Dup(slot) if self.files.is_open(slot) && (0..SLOTS).any(|s| !self.files.is_open(s)) => {
                self.files.dup(slot);
            }
            Op::Keep(slot) => self.files.keep(slot),
            _ => {}
        }
        Ok(())
    }

    /// R4.20: every association of the number ends, and the ports may have looked.
    fn gone(&mut self, slot: usize) {
        for p in 0..PORTS {
            self.ports[p].forget(slot);
            self.model(p, |port, up| port.glimpse(up));
        }
    }

    /// Readiness is about to be taken away: where it may have been seen or not, the port is made to look.
    fn decide(&mut self, slot: usize) -> Outcome {
        for p in 0..PORTS {
            let open = (0..SLOTS).any(|s| self.files.same(s, slot) && self.ports[p].is_undecided(s));
            if open {
                self.count(p)?;
            }
            for other in (0..SLOTS).filter(|&s| self.files.same(s, slot)) {
                self.ports[p].takes_away(other);
            }
        }
        Ok(())
    }

    // ------------------------------------------------------------ ports

    fn associate(&mut self, p: usize, slot: usize, events: i32) -> Outcome {
        let (user, open) = (self.value(), self.files.is_open(slot));
        let expected = self.model(p, |port, up| port.associate(slot, events, user, open, up));
        same_answer("port_associate", sys::port_associate(self.port(p), number(slot), events, user), expected)
    }

    fn dissociate(&mut self, p: usize, slot: usize) -> Outcome {
        let open = self.files.is_open(slot);
        let expected = self.model(p, |port, up| port.dissociate(slot, open, up));
        same_answer("port_dissociate", sys::port_dissociate(self.port(p), number(slot)), expected)
    }

    fn send(&mut self, p: usize) -> Outcome {
        if self.ports[p].is_order_open() {
            self.count(p)?;
        }
        let user = self.value();
        let events = [0, -1, i32::MIN, 5][user % 4];
        let expected = self.model(p, |port, up| port.send(events, user, up));
        same_answer("port_send", sys::port_send(self.port(p), events, user), expected)
    }

    fn alert(&mut self, p: usize, flags: i32, events: i32) -> Outcome {
        let user = self.value();
        let expected = self.model(p, |port, up| port.set_alert(flags, events, user, up));
        same_answer("port_alert", sys::port_alert(self.port(p), flags, events, user), expected)
    }

    fn count(&mut self, p: usize) -> Outcome {
        let expected = self.model(p, |port, up| port.count(up));
        let (result, count) = sys::port_getn(self.port(p), &mut [], 0, 77, Some((-1, 0)));
        same_answer("port_getn with max 0", result, Ok(()))?;
        same("events in the queue", count as usize, expected)
    }

    /// R13.1: readable if and only if the queue is not empty; the alert does not count (R8.8).
    fn poll(&mut self, p: usize) -> Outcome {
        let readable = sys::up(self.port(p), libc::POLLIN.into()) & i32::from(libc::POLLIN) != 0;
        let available = self.available(p);
        if !readable && available > 0 {
            return Err(format!("poll says empty, and {available} events are there"));
        }
        if readable && available == 0 && !self.model(p, |port, up| port.may_linger(up)) {
            return Err("poll says readable, and the port is empty".into());
        }
        Ok(())
    }

    /// Every transition from empty to non-empty makes an edge.
    fn edges(&mut self) -> Outcome {
        let names = sys::epoll_names(self.outer);
        for p in 0..PORTS {
            if self.edge[p] && !names.contains(&p) {
                return Err(format!("port {p} became readable, and the outer set saw no edge"));
            }
            self.edge[p] = false;
        }
        Ok(())
    }

    /// port_get, or port_getn if `sizes` (want, max) is given. What was retrieved.
    fn get(&mut self, p: usize, sizes: Option<(u32, u32)>, time: Timeout) -> Result<Vec<Event>, String> {
        let (want, max) = sizes.unwrap_or((1, 1));
        let mut list = [UNTOUCHED; 12];
        let alert = self.ports[p].alerted();
        let available = self.available(p);
        let enough = available >= want as usize || alert.is_some();
        let timeout = match time {
            Timeout::Zero => Some((0, 0)),
            Timeout::Bad => Some((-1, 0)),
            Timeout::Never if enough => None,
            Timeout::Short | Timeout::Never => Some((0, 20_000)),
        };
        let mut interrupted = 0;
        let (result, got) = loop {
            let (result, got) = match sizes {
                None => {
                    let result = sys::port_get(self.port(p), &mut list[0], timeout);
                    (result, u32::from(result.is_ok()))
                }
                Some(_) => sys::port_getn(self.port(p), &mut list, max, want, timeout),
            };
            // A fuzzer's alarm: nothing was taken, and nothing was written (R7.6), or what follows will differ.
            if result != Err(libc::EINTR) || time == Timeout::Zero || interrupted > 2 {
                break (result, got);
            }
            interrupted += 1;
        };

        let late = if sizes.is_none() { 0 } else { available.min(max as usize) };
        let (answer, taken) = if want > max || (!enough && time == Timeout::Bad) {
            (Err(libc::EINVAL), None)
        } else if want == 0 {
            (Ok(0), Some(0))
        } else if alert.is_some() {
            (Ok(0), Some(1))
        } else if enough {
            (Ok(0), Some(available.min(max as usize)))
        } else if time == Timeout::Zero && sizes.is_some() {
            (Ok(0), Some(late)) // R7.3
        } else {
            (Err(libc::ETIME), Some(late)) // R7.2; Q1 for port_get
        };
        let seen = || list.iter().take(got as usize).map(show).collect::<Vec<_>>().join(", ");
        if result != answer || (sizes.is_some() && got as usize != taken.unwrap_or(want as usize)) {
            let expected = taken.map_or_else(|| "nget untouched".into(), |n| format!("{n} events"));
            return Err(format!(
                "get: {result:?}, {got} events [{}]; expected {answer:?}, {expected}",
                seen()
            ));
        }
        let filled = taken.unwrap_or(0);
        if list[filled..].iter().any(|event| *event != UNTOUCHED) {
            return Err("get: wrote beyond what it says".into());
        }
        self.compare_events(
            p,
            &list[..filled],
            max,
            alert.filter(|_| filled > 0),
            want == 0 || taken.is_none(),
        )
        .map_err(|text| format!("get: [{}]: {text}", seen()))?;
        Ok(list[..filled].to_vec())
    }

    fn compare_events(
        &mut self,
        p: usize,
        list: &[Event],
        max: u32,
        alert: Option<(i32, usize)>,
        refused: bool,
    ) -> Outcome {
        if refused || alert.is_some() {
            self.model(p, |port, up| port.glimpse(up));
            let Some((events, user)) = alert else { return Ok(()) };
            let event = Event { pad: UNTOUCHED.pad, events, source: 5, object: 0, user };
            return same("alert", list.first(), Some(&event));
        }
        let found = self.model(p, |port, up| port.begin_get(up));
        for (index, event) in list.iter().enumerate() {
            self.ports[p].take(event).map_err(|text| format!("event {index}: {text}"))?;
        }
        self.ports[p].finish_get(&found, list.len() == max as usize);
        Ok(())
    }

    /// The loop that the library is made for: get, handle, associate.
    fn cycle(&mut self, p: usize, time: Timeout, read: bool) -> Outcome {
        for event in self.get(p, None, time)? {
            let Some(slot) = slot_of(event.object).filter(|_| event.source == 4) else { continue };
            if read {
                self.decide(slot)?;
                self.files.drain(slot, true);
            }
            let events = self.ports[p].events_of(slot).unwrap_or(0);
            self.associate(p, slot, events)?;
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for p in 0..PORTS {
            self.close_port(p);
        }
        sys::close(self.outer);
    }
}
