//! The wall: the exported C symbols.
//!
//! Each function checks its pointers in the guest's order, calls the front end and converts the one error type to
//! −1 and `errno`. On success `errno` is what it was before.

// C callers hand over raw pointers here.
#![allow(unsafe_code)]

pub mod kevent;
pub mod kqueue;
pub mod pointer;
pub mod port;
#[cfg(target_pointer_width = "64")] // 32-bit systems have several layouts of struct stat behind one name
pub mod stat;

use crate::errno::Result;
use crate::host::below;

/// Runs the body of an exported function: the only place where an error becomes −1 and `errno`.
fn boundary(body: impl FnOnce() -> Result<i32>) -> i32 {
    let before = below::errno();
    match body() {
        Ok(value) => {
            below::set_errno(before);
            value
        }
        Err(error) => {
            below::set_errno(error.0);
            -1
        }
    }
}
