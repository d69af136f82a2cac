//! # evshim: event interfaces that the host lacks
//!
//! Programs written for illumos **event ports** and for BSD **kqueue** run on Linux over epoll. (signalfd will join on
//! the same registry, and kqueue will be the second host.)
//!
//! ```text
//! C caller ─► ffi ─┬► port ──► source ─┬► host (epoll)
//!                  │    │         │    │   ▲
//!                  └► kqueue ─────┼────┘   │
//!                       └───► registry ────┘
//! the program's close, dup, fork, ... ─► interpose ─► registry, then the next definition
//! ```
//!
//! | room | what lives there | may call |
//! |---|---|---|
//! | [`ffi`] | the exported C symbols, pointer checks, the one conversion to `errno` | front ends |
//! | [`port`] | the event-port front end: guest rules in guest words | source, registry |
//! | [`kqueue`] | the kqueue front end: filters, flags, the order of a call | registry, host (measures of descriptors) |
//! | [`source`] | what can wake somebody: descriptors, the user | registry, host |
//! | [`registry`] | descriptor number → object, event queues, waiters, the fork word | host |
//! | [`host`] | traits, one implementation a folder, every raw system call | – |
//! | [`interpose`] | the C library's functions that the registry must hear of: closes, handlers, polls, calls on sockets | registry, host |
//!
//! Arrows go one way. `unsafe` is denied in the crate and allowed in `ffi`, `host`, `interpose` and in
//! `registry::memory`, which hands out references into the mapped memory.
//!
//! **Locks**, outermost first: a table entry's (descriptor number), an object's (port, kqueue), the bell's; inside of all of
//! them that of the errors that are kept for sockets ([`registry::kept`]). Every lock is taken inside a section in
//! which no handler runs ([`host::Masked`]), so a handler never finds its own thread holding one: `port_send` works
//! in handlers, and `siglongjmp` out of one abandons nothing. In a section a signal is postponed by our catcher
//! ([`host::handlers`]), without a system call; all signals are really blocked where `sigaction` does not resolve to
//! us, and always for a sleep. No lock is held across a wait or across the real `close`.
//!
//! **Unseen closes**: a number may be closed by a raw system call at any time. So a port's number is proved to be its
//! set before anything is changed behind it, and registrations that are used again without asking the kernel are
//! confirmed before a sleep ([`registry::look`]).
//!
//! **fork**: the registry is found through one word in a page that the kernel wipes in the child
//! ([`registry::fork`]). A child therefore starts with an empty registry: inherited ports answer EBADFD, nothing of
//! the parent's memory or epoll sets is touched (T-290 to T-292, T-302). A kqueue is gone there (K-015).

#![deny(unsafe_code)]

pub mod errno;
pub mod ffi;
pub mod host;
pub mod interpose;
pub mod kqueue;
pub mod port;
pub mod registry;
pub mod source;
