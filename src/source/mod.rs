//! What can wake somebody. A source knows how its events come about and posts them to an object; what they mean to
//! the guest program is the front end's.

pub mod descriptor;
pub mod user;
