//! The process-wide descriptor that is always ready. See the room's comment for what it is and why.

use super::super::RawFd;
use super::below;
use crate::errno::Result;

/// The bell: a number and the identity of the file that was put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bell {
    fd: RawFd,
    file: below::Identity,
}

impl Bell {
    /// Makes a bell at a helper's number.
    pub fn make() -> Result<Bell> {
        let fd = below::move_up(below::always_ready()?);
        match below::identity(fd) {
            Ok(file) => Ok(Bell { fd, file }),
            Err(error) => {
                below::close(fd);
                Err(error)
            }
        }
    }

    /// A bell that was made earlier, from what [`Bell::fd`] and [`Bell::file`] said.
    pub fn known(fd: RawFd, file: below::Identity) -> Bell {
        Bell { fd, file }
    }

    /// Its number.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Its file.
    pub fn file(&self) -> below::Identity {
        self.file
    }

    /// Does the number still name our file? The program may have closed it by a raw system call and have a
    /// descriptor of its own there.
    pub fn is_ours(&self) -> bool {
        below::identity(self.fd) == Ok(self.file)
    }
}
