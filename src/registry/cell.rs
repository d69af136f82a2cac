//! Plain fields of records in mapped memory.
//!
//! A lock guards them, which the field's comment names. They are relaxed atomics, which cost what plain loads and
//! stores cost: so shared references suffice, and a look at the wrong time is a wrong number, never undefined.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

macro_rules! cells {
    ($($name:ident $atomic:ident $plain:ty;)*) => {
        $(
            #[doc = concat!("A guarded `", stringify!($plain), "`; zeroed memory is 0.")]
            #[derive(Default)]
            #[repr(transparent)]
            pub struct $name($atomic);

            impl $name {
                /// The value.
                pub fn get(&self) -> $plain {
                    self.0.load(Relaxed)
                }

                /// Changes it.
                pub fn set(&self, value: $plain) {
                    self.0.store(value, Relaxed);
                }

                /// Changes it, and says what it was.
                pub fn replace(&self, value: $plain) -> $plain {
                    let before = self.get();
                    self.set(value);
                    before
                }
            }
        )*
    };
}

cells! {
    Cell32 AtomicU32 u32;
    CellInt AtomicI32 i32;
    Cell64 AtomicU64 u64;
    CellSize AtomicUsize usize;
}

impl Cell32 {
    /// Counts up.
    pub fn increment(&self) {
        self.set(self.get().wrapping_add(1));
    }

    /// Counts down.
    pub fn decrement(&self) {
        self.set(self.get().wrapping_sub(1));
    }

    /// The atomic itself, for links of the free list.
    pub fn atomic(&self) -> &AtomicU32 {
        &self.0
    }
}
