//! Random programs against a plain model of the rules.
//!
//! | file | what is in it |
//! |---|---|
//! | `op` | the operations, decoded from bytes, printed, simplified |
//! | `rules` | the model: what a port must hold and answer |
//! | `files` | the numbers under attack and what they are open to |
//! | `run` | makes each operation on the library and on the model, and compares |
//! | `program` | what this model and that of kqueue have in common |
//! | `kq` | kqueue: the same files for it |
//! | `search` | many programs, and the shortest one that fails (not used by the fuzz target) |
//! | `sys` | system calls and the library's functions |
//!
//! What a descriptor is ready for the kernel says (poll of the number itself); what a port makes of it the model says.
//! A program is a pure function of its bytes; nothing here depends on time, or on the library's inside.

pub mod files;
pub mod kq;
pub mod op;
pub mod program;
pub mod rules;
pub mod run;
pub mod sys;

/// Numbers under attack.
pub const SLOTS: usize = 8;
/// Ports.
pub const PORTS: usize = 2;
/// Slots of a port (R2.2), small enough to be reached: `EVSHIM_MAX_EVENTS`.
pub const LIMIT: usize = 24;
