//! The atomics and the two futex calls that the lock-free parts stand on, named in one place so that the loom
//! models can put theirs there.

pub use crate::host::Masked;
pub use crate::host::below::{futex_wait, futex_wake};
pub use crate::host::next::is_alone;
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
