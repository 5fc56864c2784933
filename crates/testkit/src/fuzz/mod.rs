//! What must hold of every decoder, whatever bytes it gets: one function each.
//!
//! A function panics where it does not hold. The fuzzer in `fuzz/`, of which this file is the library, calls
//! them with bytes of its making; the tests here call them with the committed bytes and changed copies.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is called here is a test, and stops at the first thing that does not hold"
)]

mod amqp;
mod condition;
mod log;
mod message;
mod mqtt;
mod policy;
mod query;
mod sas;
mod template;

pub use amqp::amqp;
pub use condition::condition;
pub use log::log_reader;
pub use message::message;
pub use mqtt::mqtt;
pub use policy::policy;
pub use query::query;
pub use sas::sas;
pub use template::template;

/// Checks what must hold of a decoder that gets these bytes.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora in `fuzz/corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("amqp", amqp),
    ("condition", condition),
    ("log_reader", log_reader),
    ("message", message),
    ("mqtt", mqtt),
    ("policy", policy),
    ("query", query),
    ("sas", sas),
    ("template", template),
];

#[cfg(test)]
mod tests;
