//! port_send and port_sendn.

use super::{SOURCE_USER, hold, seen_off, set_error};
use crate::errno::{Errno, Result};
use crate::host::{Masked, RawFd};
use crate::source::user;

/// port_send: events and user verbatim (R6.1), also in alert mode (R6.2). Async-signal-safe (R6.3).
pub fn send(port: RawFd, events: i32, user: usize) -> Result<()> {
    seen_off(port, post(port, events, user))
}

fn post(port: RawFd, events: i32, user: usize) -> Result<()> {
    let mask = Masked::new();
    let held = hold(port, &mask)?;
    user::post(&held, SOURCE_USER, events, user).map_err(|error| match error {
        Errno::EAGAIN | Errno::ENOMEM => error,
        other => set_error(other),
    })
}

/// One pass of port_sendn over at most [`super::MAX_LIST`] ports: how many succeeded. What failed is told to
/// `failed` with its index; the others' entries are the wall's business (R6.6).
pub fn send_each(
    ports: impl Iterator<Item = RawFd>,
    events: i32,
    user: usize,
    mut failed: impl FnMut(usize, Errno),
) -> usize {
    let mut succeeded = 0;
    for (index, port) in ports.enumerate() {
        match send(port, events, user) {
            Ok(()) => succeeded += 1,
            Err(error) => failed(index, error),
        }
    }
    succeeded
}
