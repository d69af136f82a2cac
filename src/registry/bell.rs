//! The process's bell: one for all objects, made when the first one needs it, made again when it was lost.

use super::Registry;
use super::cell::{Cell32, Cell64, CellInt};
use super::lock::Lock;
use crate::errno::Result;
use crate::host::{Bell, Masked, below};

/// Where the bell is kept. Guarded by its lock.
#[derive(Default)]
pub struct House {
    lock: Lock,
    /// The number, plus one.
    fd: CellInt,
    device: Cell64,
    inode: Cell64,
    /// Counts the bells that were made.
    made: Cell32,
}

impl House {
    /// The bell as it was last known; its number may have been closed unseen since. Without the lock: the number of a
    /// bell that is being made again serves for nothing but calls that fail.
    pub fn known(&self) -> Option<Bell> {
        self.look()
    }

    /// Which bell that is.
    pub fn serial(&self) -> u32 {
        self.made.get()
    }

    fn look(&self) -> Option<Bell> {
        let file = below::Identity { device: self.device.get(), inode: self.inode.get() };
        (self.fd.get() != 0).then(|| Bell::known(self.fd.get() - 1, file))
    }
}

impl Registry {
    /// The bell, proved to be ours or made now. EMFILE, ENFILE, ENOMEM.
    pub fn bell(&self, mask: &Masked) -> Result<Bell> {
        let _guard = self.bell.lock.lock(mask);
        if let Some(bell) = self.bell.look() {
            if bell.is_ours() {
                return Ok(bell);
            }
            if let Some(entry) = self.table.get(bell.fd()) {
                entry.clear_helper();
            }
            self.bell.fd.set(0);
        }
        let bell = Bell::make()?;
        match self.table.entry(bell.fd()) {
            Ok(entry) => entry.set_helper(),
            Err(error) => {
                below::close(bell.fd());
                return Err(error);
            }
        }
        self.bell.device.set(bell.file().device);
        self.bell.inode.set(bell.file().inode);
        self.bell.made.increment();
        self.bell.fd.set(bell.fd() + 1);
        Ok(bell)
    }
}
