//! The model's descriptors: names, what they are open to, and what reads and writes do.
//!
//! A name is a descriptor number, counted from [`FIRST`]. Several names may have one open file. A pipe is a channel,
//! a socket pair two. Whatever happens to a channel signals the knotes that hang on it, as FreeBSD does: then they are
//! tested, and become active.

use super::rules::Note;
use super::scan::Entry;
use std::collections::VecDeque;

pub use super::super::files::FIRST;

/// What an open file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Of a pipe: its channel.
    PipeRead(usize),
    /// As above.
    PipeWrite(usize),
    /// Of a socket pair: a channel to read from, one to write to, messages or not.
    Socket {
        inbox: usize,
        outbox: usize,
        messages: bool,
    },
    Queue(usize),
}

impl What {
    pub fn queue(self) -> Option<usize> {
        if let What::Queue(queue) = self { Some(queue) } else { None }
    }
}

/// Bytes on their way, in one direction.
#[derive(Default, Debug)]
pub struct Channel {
    /// Messages; in a stream their borders mean nothing.
    pub parts: VecDeque<usize>,
    /// No room is left.
    pub full: bool,
    /// Nothing more will come: the writer is gone, or has shut down.
    pub ended: bool,
    /// Nobody is left to read.
    pub deaf: bool,
}

impl Channel {
    pub fn bytes(&self) -> usize {
        self.parts.iter().sum()
    }
}

/// Whose answers the model gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Like {
    /// FreeBSD 13's kernel.
    Kernel,
    /// The library's personality (section 12), on Linux.
    Library,
}

/// A process with its descriptors and queues.
pub struct Machine {
    pub like: Like,
    names: Vec<Option<usize>>,
    files: Vec<What>,
    pub channels: Vec<Channel>,
    /// The FIFO of each queue.
    pub queues: Vec<VecDeque<Entry>>,
    /// In the order in which they were made.
    pub notes: Vec<Note>,
    /// Queues that got an entry while other queues watch them.
    pub pending: Vec<usize>,
    /// Moments.
    pub now: u64,
    pub made: u64,
    /// Something happened that the model does not know.
    pub beyond: bool,
}

type Answer = Result<usize, i32>;

impl Machine {
    pub fn new(like: Like, names: usize) -> Machine {
        Machine {
            like,
            names: vec![None; names],
            files: vec![],
            channels: vec![],
            queues: vec![],
            notes: vec![],
            pending: vec![],
            now: 0,
            made: 0,
            beyond: false,
        }
    }

    // ------------------------------------------------------------ names

    pub fn what(&self, name: usize) -> Option<What> {
        self.names.get(name).copied().flatten().map(|file| self.files[file])
    }

    fn file(&self, name: usize) -> Result<What, i32> {
        self.what(name).ok_or(libc::EBADF)
    }

    /// The name that an ident of a change is a number of.
    pub fn name_of(ident: usize) -> Option<usize> {
        ident.checked_sub(FIRST as usize)
    }

    pub fn queue_of(&self, name: usize) -> Option<usize> {
        self.what(name).and_then(What::queue)
    }

    /// Is it the only name of its file?
    pub fn is_last(&self, name: usize) -> bool {
        self.names.iter().filter(|&&other| other.is_some() && other == self.names[name]).count() == 1
    }

    /// A name that was free becomes one of a new file.
    fn take(&mut self, name: usize, what: What) {
        assert!(self.what(name).is_none(), "name {name} is free");
        if name >= self.names.len() {
            self.names.resize(name + 1, None);
        }
        self.files.push(what);
        self.names[name] = Some(self.files.len() - 1);
    }

    fn channel(&mut self) -> usize {
        self.channels.push(Channel::default());
        self.channels.len() - 1
    }

    pub fn open_pipe(&mut self, reader: usize, writer: usize) {
        let channel = self.channel();
        self.take(reader, What::PipeRead(channel));
        self.take(writer, What::PipeWrite(channel));
    }

    pub fn open_pair(&mut self, one: usize, other: usize, messages: bool) {
        let (there, back) = (self.channel(), self.channel());
        self.take(one, What::Socket { inbox: back, outbox: there, messages });
        self.take(other, What::Socket { inbox: there, outbox: back, messages });
    }

    pub fn open_queue(&mut self, name: usize) {
        self.queues.push(VecDeque::new());
        self.take(name, What::Queue(self.queues.len() - 1));
    }

    pub fn dup2(&mut self, from: usize, to: usize) -> Answer {
        self.file(from)?;
        if from != to {
            if to >= self.names.len() {
                self.names.resize(to + 1, None);
            }
            let _ = self.close(to);
            self.names[to] = self.names[from];
        }
        Ok(to)
    }

    /// Section 6.2: the knotes of this number go in every queue, then the file with its last name.
    pub fn close(&mut self, name: usize) -> Answer {
        let what = self.file(name)?;
        self.drop_notes(|note| note.file.is_some() && Machine::name_of(note.ident) == Some(name));
        let last = self.is_last(name);
        self.names[name] = None;
        if !last {
            return Ok(0);
        }
        match what {
            What::Queue(queue) => self.drop_notes(|note| note.queue == queue),
            What::PipeWrite(channel) => {
                self.channels[channel].ended = true;
                self.signal(|note| note.on_pipe(channel));
            }
            What::PipeRead(channel) => {
                self.signal(|note| note.on_pipe(channel));
                self.channels[channel].deaf = true;
                // The quirk of pipes (section 14, 4): delivered once, and signalled no more.
                for note in self.notes.iter_mut().filter(|note| note.on_pipe(channel)) {
                    (note.eof, note.once, note.adrift) = (true, true, true);
                }
            }
            What::Socket { inbox, outbox, messages } => {
                self.channels[inbox].deaf = true;
                self.channels[outbox].ended = !messages;
                if !messages {
                    self.signal(|note| note.reads_from(outbox));
                    self.signal(|note| note.writes_to(inbox));
                }
            }
        }
        Ok(0)
    }

    // ------------------------------------------------------------ bytes

    /// write(2). There is room.
    pub fn write(&mut self, name: usize, count: usize) -> Answer {
        match self.file(name)? {
            What::PipeWrite(channel) => {
                if self.channels[channel].deaf {
                    return Err(libc::EPIPE);
                }
                self.channels[channel].parts.push_back(count);
                self.signal(|note| note.on_pipe(channel));
            }
            What::Socket { outbox, messages, .. } => {
                let channel = &mut self.channels[outbox];
                if channel.ended || channel.deaf {
                    return Err(if messages { libc::ECONNREFUSED } else { libc::EPIPE });
                }
                channel.parts.push_back(count);
                self.signal(|note| note.reads_from(outbox));
            }
            _ => return Err(libc::EBADF),
        }
        Ok(count)
    }

    /// read(2).
    pub fn read(&mut self, name: usize, count: usize) -> Answer {
        let what = self.file(name)?;
        let (channel, messages) = match what {
            What::PipeRead(channel) => (channel, false),
            What::Socket { inbox, messages, .. } => (inbox, messages),
            _ => return Err(libc::EBADF),
        };
        let source = &mut self.channels[channel];
        if source.parts.is_empty() {
            return if source.ended { Ok(0) } else { Err(libc::EAGAIN) };
        }
        source.full = false;
        if messages {
            return Ok(source.parts.pop_front().unwrap_or(0).min(count));
        }
        let mut got = 0;
        while let Some(part) = source.parts.pop_front() {
            let taken = part.min(count - got);
            got += taken;
            if taken < part {
                source.parts.push_front(part - taken);
                break;
            }
        }
        if matches!(what, What::PipeRead(_)) {
            self.signal(|note| note.on_pipe(channel)); // section 14, 2
        } else {
            self.signal(|note| note.writes_to(channel));
        }
        Ok(got)
    }

    /// Reads until there is nothing. `Ok(0)`: the end was met.
    pub fn drain(&mut self, name: usize) -> Answer {
        loop {
            match self.read(name, usize::MAX) {
                Ok(count) if count > 0 => {}
                end => return end,
            }
        }
    }

    /// shutdown(2) for writing.
    pub fn shut(&mut self, name: usize) -> Answer {
        let What::Socket { outbox, messages: false, .. } = self.file(name)? else {
            return Err(libc::ENOTSOCK);
        };
        self.channels[outbox].ended = true;
        self.signal(|note| note.writes_to(outbox));
        self.signal(|note| note.reads_from(outbox));
        Ok(0)
    }

    /// Everything that hangs together is told, the newest first (section 14, 9).
    pub fn signal(&mut self, which: impl Fn(&Note) -> bool) {
        for index in (0..self.notes.len()).rev() {
            if which(&self.notes[index]) && !self.notes[index].adrift && self.test(index) {
                self.activate(index, true);
            }
        }
    }

    /// Queues that watch others are told.
    pub fn tell(&mut self) {
        while !self.pending.is_empty() {
            let queue = self.pending.remove(0);
            self.signal(|note| note.watches(queue));
        }
    }

    /// An operation is over.
    pub fn settle(&mut self) {
        self.tell();
        self.note_freshness();
        self.now += 1;
    }
}
