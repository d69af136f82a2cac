//! One program: each operation on the library and on the model, and their answers compared.

use super::super::files::number;
use super::super::program::Difference;
use super::super::{PORTS, SLOTS, sys as common};
use super::machine::{Like, Machine, What};
use super::op::{Kind, Op};
use super::rules::{ADD, Kevent, READ};
use super::{NAMES, QUEUE, sys};
use core::fmt;

type Outcome = Result<(), String>;

struct World {
    model: Machine,
    /// For the next kevent.
    list: Vec<Kevent>,
    /// Each change has a udata of its own.
    values: usize,
}

/// Most entries of a changelist: more than are read at once.
const LONGEST: usize = 12;
/// Room for every event.
const ROOM: usize = 64;

/// Runs a program. `progress` is told of each step before it is made.
pub fn run(program: &[Op], progress: &mut dyn FnMut(usize)) -> Result<(), Difference> {
    common::prepare();
    let mut world = World::new();
    for (step, &op) in program.iter().enumerate() {
        progress(step);
        if op == Op::Restart {
            drop(world);
            world = World::new();
            continue;
        }
        let applied = world.apply(op).and_then(|()| world.settle());
        applied.map_err(|text| Difference { step, text })?;
    }
    Ok(())
}

fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
}

impl World {
    fn new() -> World {
        let mut world = World { model: Machine::new(Like::Library, NAMES), list: vec![], values: 0 };
        for q in 0..PORTS {
            world.open_queue(QUEUE + q);
        }
        world
    }

    fn is_open(&self, name: usize) -> bool {
        self.model.what(name).is_some()
    }

    fn open_queue(&mut self, name: usize) {
        self.move_to(sys::kqueue(), name);
        self.model.open_queue(name);
    }

    fn move_to(&self, fd: i32, name: usize) {
        assert_eq!(common::dup2(fd, number(name)), Ok(number(name)), "dup2");
        common::close(fd);
    }

    /// Is the number free now?
    fn close(&mut self, name: usize) -> bool {
        if self.is_open(name) && self.model.may_close(name) {
            common::close(number(name));
            let _ = self.model.close(name);
        }
        !self.is_open(name)
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Pair(kind, a, b) => self.open(kind, a, b),
            Op::Close(name) => drop(self.close(name)),
            Op::Dup(name) => self.dup(name)?,
            Op::Dup2(from, to) => self.dup2(from, to)?,
            Op::Write(name, count) if self.model.may_write(name, count) => {
                let expected = self.model.write(name, count);
                same("write", sys::write(number(name), count), expected)?;
            }
            Op::Read(name, count) if self.model.may_read(name, false) => {
                let expected = self.model.read(name, count);
                same("read", sys::read(number(name), count), expected)?;
            }
            Op::Drain(name) if self.model.may_read(name, true) => self.drain(name)?,
            Op::Fill(name) => self.fill(name),
            Op::Shut(name) => {
                if let Some(What::Socket { messages: false, .. }) = self.model.what(name) {
                    same("shutdown", sys::shut(number(name)).map(|_| 0), self.model.shut(name))?;
                }
            }
            Op::Change(change) => {
                self.list.truncate(LONGEST - 1);
                self.list.push(change);
            }
            Op::Kevent(name, room) => {
                let list = std::mem::take(&mut self.list);
                self.kevent(name, &list, room)?;
            }
            Op::Poll(name) => self.poll(name)?,
            Op::Renew(queue) => {
                self.close(QUEUE + queue);
                self.open_queue(QUEUE + queue);
            }
            Op::Write(..) | Op::Read(..) | Op::Drain(..) | Op::Restart => {}
        }
        Ok(())
    }

    // ------------------------------------------------------------ numbers

    fn open(&mut self, kind: Kind, a: usize, b: usize) {
        if a == b || !self.close(a) || !self.close(b) {
            return;
        }
        let [one, other] = match kind {
            Kind::Pipe => sys::pipe(),
            Kind::Stream => sys::pair(libc::SOCK_STREAM),
            Kind::Messages => sys::pair(libc::SOCK_DGRAM),
        };
        self.move_to(one, a);
        self.move_to(other, b);
        match kind {
            Kind::Pipe => self.model.open_pipe(a, b),
            _ => self.model.open_pair(a, b, kind == Kind::Messages),
        }
    }

    fn dup(&mut self, from: usize) -> Outcome {
        let Some(free) = (0..SLOTS).find(|&slot| !self.is_open(slot)) else { return Ok(()) };
        if self.is_open(from) {
            let fd = common::dup_from(number(from), number(0));
            same("dup", fd, number(free))?;
            let _ = self.model.dup2(from, free);
        }
        Ok(())
    }

    fn dup2(&mut self, from: usize, to: usize) -> Outcome {
        if self.is_open(from) && from != to && self.is_open(to) && !self.model.may_close(to) {
            return Ok(());
        }
        let expected = self.model.dup2(from, to).map(number);
        same("dup2", common::dup2(number(from), number(to)), expected)
    }

    // ------------------------------------------------------------ bytes

    fn drain(&mut self, name: usize) -> Outcome {
        let found = loop {
            match sys::read(number(name), usize::MAX) {
                Ok(count) if count > 0 => {}
                end => break end,
            }
        };
        same("reading all", found, self.model.drain(name))
    }

    fn fill(&mut self, name: usize) {
        let Some(channel) = self.model.may_fill(name) else { return };
        let mut all = 0;
        while let Ok(count) = sys::write(number(name), 4096) {
            all += count;
        }
        while let Ok(count) = sys::write(number(name), 1) {
            all += count;
        }
        self.model.channels[channel].full = true;
        let _ = self.model.write(name, all);
    }

    // ------------------------------------------------------------ queues

    fn kevent(&mut self, name: usize, changes: &[Kevent], room: usize) -> Outcome {
        let mut list: Vec<Kevent> = vec![];
        let adds = changes.iter().filter(|change| change.filter == READ && change.flags & ADD != 0);
        for watched in adds.filter_map(|change| Machine::name_of(change.ident)) {
            if watched != name {
                self.scan_if_stale(watched)?; // it may be watched now
            }
        }
        for change in changes {
            self.values += 1;
            let change = Kevent { user: self.values, ..*change };
            let queue = self.model.queue_of(name);
            if queue.is_none_or(|queue| self.model.may_change(queue, &list, &change)) {
                list.push(change);
            }
        }
        let answer = sys::kevent(number(name), &list, room);
        self.model.kevent(name, &list, room, &answer)
    }

    /// Readable if something waits (K-130). What is stale may count or not (section 14, 10).
    fn poll(&mut self, name: usize) -> Outcome {
        let Some(queue) = self.model.queue_of(name) else { return Ok(()) };
        let readable = common::up(number(name), libc::POLLIN.into()) != 0;
        match self.model.waiting(queue) {
            (_, 1..) if !readable => Err("poll says empty, and events are waiting".into()),
            // In a queue that watches others, the kernel tells of them before it is known whether a knote wants it.
            (0, _) if readable && !self.model.watches_queues(queue) => {
                Err("poll says readable, and no event is waiting".into())
            }
            _ => Ok(()),
        }
    }

    /// What is stale in a queue that is watched is scanned away.
    fn settle(&mut self) -> Outcome {
        self.model.settle();
        for name in 0..NAMES {
            if self.model.queue_of(name).is_some_and(|queue| self.model.is_watched(queue)) {
                self.scan_if_stale(name)?;
            }
        }
        Ok(())
    }

    fn scan_if_stale(&mut self, name: usize) -> Outcome {
        let Some(queue) = self.model.queue_of(name) else { return Ok(()) };
        let (all, fresh) = self.model.waiting(queue);
        if all != fresh {
            let scanned = self.kevent(name, &[], ROOM);
            scanned.map_err(|text| {
                format!("kevent({}), since it is watched: {text}", super::change::name(name))
            })?;
            self.model.settle();
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in 0..NAMES {
            if self.is_open(name) {
                common::close(number(name));
            }
        }
    }
}
