//! AMQP 1.0, for a server and for whoever calls one: bytes to events, and answers back to bytes.
//!
//! Nothing here reads a socket or a clock, and nothing knows a hub: [`Connection`] takes the bytes that came,
//! tells what they mean, and holds the bytes that are to be written. Whoever drives it says whom it lets in,
//! what a link leads to, and what becomes of a message. Start at [`connection`]; values are in [`value`], frames
//! and their fields in [`performative`], messages in [`message`].
//!
//! Fields are written whole, also where the last ones are null: some clients of Azure read them by position and
//! break on a list that ends early. Everything that a peer can make grow has a limit, by name.
//! Source: OASIS, "Advanced Message Queuing Protocol (AMQP) Version 1.0", of 29 October 2012.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a value is of one of two dozen types: whoever reads one names those that it takes"
)]

pub mod connection;
mod decode;
mod encode;
pub mod message;
pub mod performative;
pub mod value;

pub use connection::{CHALLENGE_BYTES_MAX, Connection, Delivery, Event, LinkId};
pub use decode::{NotAValue, decode};
pub use encode::encode;
pub use message::{Body, Header, Message, Properties};
pub use performative::{Attach, Condition, Outcome};
pub use value::Value;

#[cfg(test)]
mod caller_tests;
#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod tests;
