//! The records in the arena: objects (a port, later a kqueue) and slots (events, watches, waiters).
//!
//! All zero is a valid, free record of either kind; both are addressed by index, so that they mean the same in every
//! process that maps the arena.

use super::cell::{Cell32, Cell64, CellInt, CellSize};
use super::lock::Lock;
use super::pin::Pins;
pub use super::word::State;
use super::word::Word;
use crate::host::{ReadySet, Set};

/// A kernel object of the guest system: an event queue with a ready set. Fields are guarded by `lock`.
#[repr(C)]
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
    /// Words of the front end.
    pub guest: Guest,
    /// Changes that the host has not told the kernel.
    pub batch: <Set as ReadySet>::Batch,
}

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
    /// Watch: the object's clock when it was set.
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

const _: () = assert!(core::mem::size_of::<Slot>() <= 96 && core::mem::size_of::<Object>() <= 192);
