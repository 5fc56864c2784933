//! Outgoing connections: whom the server calls of itself, and whom it never does.
//!
//! Addresses from outside are hostile: whoever writes one into an enrollment could have the server call what only the
//! server reaches. So a connection goes to an address that was looked at after its name was resolved, and to no other.
//! Knows no hub.

mod address;
mod http;
mod target;

pub use address::{Allowed, NotAllowed, Rule};
pub use http::{ANSWER_BYTES_MAX, Answer, Client, EgressError};
pub use target::{NotATarget, Target};
