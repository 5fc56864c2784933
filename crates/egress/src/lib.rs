//! Outgoing connections: whom the server calls of itself, and whom it never does.
//!
//! Addresses from outside are hostile: whoever writes one into an enrollment could have the server call what only the
//! server reaches. So a connection goes to an address that was looked at after its name was resolved, and to no other.
//! Knows no hub.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a peer says a dozen things: whoever waits for some names those"
)]

mod address;
pub mod amqp;
pub mod blob;
mod client;
mod credential;
mod http;
mod target;

pub use address::{Allowed, FindOwn, NotAllowed, Own, Rule};
pub use client::{ANSWER_BYTES_MAX, Client, EgressError};
pub use credential::{Now, Token, TokenSource};
pub use http::Answer;
pub use target::{NotATarget, Target};
