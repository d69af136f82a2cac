//! The side set: where room to write is watched for, if the same descriptor is watched for reading by edges.
//!
//! One registration reports both directions at each edge of either, and a note that wants edges would take the peer's
//! reading for an arrival. Programs that watch both directions of every connection by EV_CLEAR are common. So for them
//! the object has a second set, a helper, which hangs in the first one. It is made when the first such pair is watched.

use super::held::Held;
use super::note::SIDE;
use crate::errno::{Errno, Result};
use crate::host::{Cookie, How, ReadySet, Set, Until, Wakes, below};

impl Held<'_> {
    /// The side set, if it is there and ours.
    fn known_side(&self) -> Option<Set> {
        self.known_helper(&self.object.side, Cookie::SIDE_SET).map(Set::at)
    }

    fn side(&self) -> Result<Set> {
        self.helper(&self.object.side, Cookie::SIDE_SET, below::sleepers_set).map(Set::at)
    }

    /// Watches for room to write in the side set; `Err`: it has to be done in the other one.
    pub fn arm_at_side(&self, watch: u32, cookie: Cookie) -> Result<()> {
        let side = self.side()?;
        let fd = self.slot(watch).fd.get();
        side.arm(&self.object.batch, fd, cookie.at_side(), libc::POLLOUT as u32, How::New)?;
        self.put(watch, SIDE, true);
        Ok(())
    }

    /// Ends that.
    pub fn disarm_at_side(&self, watch: u32) {
        if self.is(watch, SIDE) {
            self.put(watch, SIDE, false);
            if let Some(side) = self.known_side() {
                let _ = side.disarm(&self.object.batch, self.slot(watch).fd.get());
            }
        }
    }

    /// Takes in what the side set has, but for one watch, whose edge is of our own doing (0: none).
    pub fn absorb_side(&self, echo: u32) -> Result<()> {
        let Some(side) = self.known_side() else { return Err(Errno::EBADF) };
        let mut wakes = Wakes::new();
        loop {
            side.turn(&self.object.batch, &mut wakes, Wakes::ROOM, Until::Now, self.mask)?;
            for wake in wakes.iter().filter(|wake| echo == 0 || wake.cookie.slot != echo) {
                self.receive_at_side(wake);
            }
            if wakes.len() < Wakes::ROOM {
                return Ok(());
            }
        }
    }
}
