//! The records in the arena: objects (a port, later a kqueue) and slots (events, watches, waiters).
//!
//! All zero is a valid, free record of either kind; both are addressed by index, so that they mean the same in every
//! process that maps the arena.

use super::cell::{Cell32, Cell64, CellInt, CellSize};
use super::lock::Lock;
use super::names::Names;
use super::pin::Pins;
pub use super::word::State;
use super::word::Word;
use crate::host::{ReadySet, Set};

/// A kernel object of the guest system: an event queue with a ready set. Fields are guarded by `lock`.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Object {
    /// Guards this record, its queue, and the slots that belong to it.
    pub lock: Lock,
    /// Counts the objects that lived in this record; a sleeper notices by it that its object is gone.
    pub life: Cell32,
    /// First descriptor number of the object in this process, plus one; the table links the others.
    pub numbers: Cell32,
    /// The queue: oldest and newest slot.
    pub oldest: Cell32,
    /// See `oldest`.
    pub newest: Cell32,
    /// Events in the queue.
    pub queued: Cell32,
    /// Slots in use: queued user events and all watches (R2.2).
    pub used: Cell32,
    /// How many may be; read when the object was made (R3.3).
    pub limit: Cell32,
    /// First watch.
    pub watches: Cell32,
    /// Watches that are armed in the kernel.
    pub armed: Cell32,
    /// First waiter.
    pub waiters: Cell32,
    /// State of the bell: see [`super::held`].
    pub bell: Cell32,
    /// Its set has a sign.
    pub signed: Cell32,
    /// Which of the process's bells was hung here last.
    pub bell_serial: Cell32,
    /// How many threads keep the bell loud.
    pub loud: Cell32,
    /// Counts the times that a watch was set: who knows a time knows what was set after it.
    pub clock: Cell32,
    /// Watches whose registration stays enabled.
    pub levels: Cell32,
    /// Such a registration was lost: it may be a ghost, which makes the set readable for nothing.
    pub haunted: Cell32,
    /// First watch whose registration was used again without asking the kernel.
    pub unsure: Cell32,
    /// Counts the looks at the ready set.
    pub looks: Cell32,
    /// The clock's tick when a look asked about the unsure last.
    pub tick: Cell32,
    /// Looks to go until lazy re-arming is tried again after several threads waited at once.
    pub crowd: Cell32,
    /// It is polled from outside, or sits in another set: it must show no more than its queue.
    pub exposed: Cell32,
    /// The oldest event was posted without a look at the set: the bell's place there tells what came before it.
    pub unordered: Cell32,
    /// Control calls that are made without the lock.
    pub pins: Pins,
    /// Which guest interface it belongs to: [`PORT`] or [`KQUEUE`].
    pub kind: Cell32,
    /// Entries of the queue that are linked: `queued`, and notes that the kernel shows by itself.
    pub linked: Cell32,
    /// Counts the entries that were linked as notes.
    pub links: Cell64,
    /// The notes that have a name of their own.
    pub names: Names,
    /// The watches of files that the kernel has nothing to wait for.
    pub files: Cell32,
    /// What tells of their changes (number plus one): see [`super::files`].
    pub notices: CellInt,
    /// It watches other queues, or is registered for one below those.
    pub nests: Cell32,
    /// It waits for the kernel: queues above must be woken by it.
    pub sources: Cell32,
    /// It is watched by another queue, ...
    pub nested: Cell32,
    /// ... which was not told yet that notes were linked here.
    pub untold: Cell32,
    /// The set for the other direction (number plus one): see [`super::side`].
    pub side: CellInt,
    /// Deadlines, a tree for each clock, ...
    pub deadlines: [Cell32; 2],
    /// ... the alarm that tells of the first one (number plus one), ...
    pub alarms: [CellInt; 2],
    /// ... and what that is set to.
    pub alarm_times: [Cell64; 2],
    /// Words of the front end.
    pub guest: Guest,
    /// Changes that the host has not told the kernel.
    pub batch: <Set as ReadySet>::Batch,
}

/// `Object::kind`: an event port.
pub const PORT: u32 = 0;
/// A kqueue.
pub const KQUEUE: u32 = 1;

/// What the front end keeps in an object.
#[repr(C)]
#[derive(Default)]
pub struct Guest {
    /// Small facts, one bit each.
    pub flags: Cell32,
    /// An event that is a mode rather than an entry of the queue (the alert): whether it is on, ...
    pub mode: Cell32,
    /// ... its bits, ...
    pub mode_events: CellInt,
    /// ... and user value.
    pub mode_user: CellSize,
    /// Creator, user in the upper half and group in the lower.
    pub owner: Cell64,
    /// Creation time: seconds ...
    pub seconds: Cell64,
    /// ... and nanoseconds.
    pub nanoseconds: Cell32,
}

/// One slot: an event, a watch with its event, or a waiter. Guarded by its object's lock but for `word`.
#[repr(C)]
#[derive(Default)]
pub struct Slot {
    /// What it is, and which one.
    pub word: Word,
    /// Next in the queue, among the waiters, or on the free list.
    pub next: Cell32,
    /// Previous in the queue.
    pub previous: Cell32,
    /// Event bits to deliver. Waiter: events wanted.
    pub events: CellInt,
    /// The descriptor or other name of what happened. Waiter: its thread.
    pub ident: CellSize,
    /// The user's value.
    pub user: CellSize,
    /// The object it belongs to.
    pub home: Cell32,
    /// Waiter: the number it entered through. Watch: the descriptor number.
    pub fd: CellInt,
    /// Watch: the bits asked for. Waiter: the set it sleeps on, if that is its own.
    pub want: CellInt,
    /// The guest's word for the source (PORT_SOURCE_...). Waiter: what it was told.
    pub tag: Cell32,
    /// Watch: next watch of the same descriptor number (guarded by the table entry's lock).
    pub beside: Cell32,
    /// Watch: next and previous of the same object.
    pub next_watch: Cell32,
    /// See `next_watch`.
    pub previous_watch: Cell32,
    /// Watch: what the kernel has of it ([`super::watch::NOTHING`], ...). Waiter: nobody waits for its return any more.
    pub mark: Cell32,
    /// Watch: the arming in the cookie that the kernel has.
    pub cookie: Cell32,
    /// Watch: the object's clock when it was set; of notes: the last look before it was registered as it is. Note: the look
    /// after which its condition was tested.
    pub since: Cell32,
    /// Watch: next and previous of those unsure; itself as previous if it is the first, 0 if it is not among them.
    pub next_unsure: Cell32,
    /// See `next_unsure`.
    pub previous_unsure: Cell32,
    /// Watch: how many armings stay one-shot, because lazy ones had to be undone.
    pub strict: Cell32,
    /// Watch: how many it will be the next time.
    pub penalty: Cell32,
    /// Watch: how often it fired without being confirmed by the kernel in between.
    pub fires: Cell32,
    /// Watch: a clock's tick has found it unsure.
    pub doubted: Cell32,
}

/// More about a slot that is a note (a knote of the guest's), and about the watch that notes belong to. It has the slot's
/// index. Guarded by the object's lock.
#[repr(C)]
#[derive(Default)]
pub struct Note {
    /// [`super::note::QUEUED`] and its like.
    pub status: Cell32,
    /// The guest's word for what it waits for.
    pub filter: CellInt,
    /// The guest's flags, as registered, and those that the filter has added.
    pub flags: Cell32,
    /// What the guest wishes to hear of.
    pub wish: Cell32,
    /// The number that goes with that. Watch: what had arrived when that was asked last.
    pub amount: Cell64,
    /// What happened: bits ... Watch of a file: which notice tells of it, plus one.
    pub bits: Cell32,
    /// Watch: first note. Note: the next one of the same watch.
    pub beside: Cell32,
    /// ... and a number.
    pub data: Cell64,
    /// Note of a descriptor: its watch.
    pub watch: Cell32,
    /// Which look at the set saw it ready last.
    pub seen: Cell32,
    /// `Object::links` when it was linked.
    pub place: Cell64,
    /// The next one in its chain of names.
    pub next_name: Cell32,
    /// In the tree of deadlines: earlier ...
    pub earlier: Cell32,
    /// ... and later.
    pub later: Cell32,
    /// The next deadline, in nanoseconds of its clock.
    pub deadline: Cell64,
    /// Nanoseconds from one to the next; 0: there is no other.
    pub period: Cell64,
    /// Values of the user's beside `Slot::user`.
    pub extra: [Cell64; 2],
}

const _: () = assert!(core::mem::size_of::<Slot>() <= 96 && core::mem::size_of::<Object>() <= 256);
const _: () = assert!(core::mem::size_of::<Note>() <= 104);
