//! The same for kqueue: sections 3 to 6 of its specification, with READ, WRITE, USER and TIMER.
//!
//! | file | what is in it |
//! |---|---|
//! | `op` | the operations |
//! | `change` | entries of a changelist: made from bytes, printed |
//! | `machine` | the model's descriptors, pipes, sockets, queues |
//! | `rules` | its knotes: what a change does, when a condition holds |
//! | `scan` | what one call of kevent must answer |
//! | `run` | makes each operation on the library and on the model, and compares |
//! | `avoid` | what is not tried, since the library cannot know what FreeBSD's kernel knows |
//! | `sys` | the library's functions |

pub mod avoid;
pub mod change;
pub mod machine;
pub mod op;
pub mod rearm;
pub mod rules;
pub mod run;
pub mod scan;
pub mod sys;

/// Names of the two queues; those below are the numbers under attack.
pub const QUEUE: usize = super::SLOTS;
/// All names.
pub const NAMES: usize = QUEUE + super::PORTS;
