//! What frames say: the nine performatives, those of SASL, and what lies in them.
//!
//! Reading takes fields as they come, and those that are left out at the end as null. Writing leaves nothing
//! out.

mod read;
mod write;

use crate::decode::NotAValue;
use crate::value::Value;
use bytes::Bytes;
use std::fmt;

pub use read::read;
pub use write::write;

/// Most bytes of the name of a link, which comes back in the answer.
pub const NAME_BYTES_MAX: usize = 1_024;

/// The body of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Performative {
    Open(Open),
    Begin(Begin),
    Attach(Box<Attach>),
    Flow(Flow),
    Transfer(Transfer),
    Disposition(Disposition),
    Detach { handle: u32, closed: bool, error: Option<Condition> },
    End(Option<Condition>),
    Close(Option<Condition>),
    Mechanisms(Vec<String>),
    Init { mechanism: String, response: Option<Bytes>, hostname: Option<String> },
    Challenge(Bytes),
    Response(Bytes),
    Outcome(u8),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    pub container_id: String,
    pub hostname: Option<String>,
    pub max_frame_size: Option<u32>,
    pub channel_max: Option<u16>,
    /// In milliseconds: whoever hears nothing for so long may hang up.
    pub idle_time_out: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Begin {
    pub remote_channel: Option<u16>,
    pub next_outgoing_id: u32,
    pub incoming_window: u32,
    pub outgoing_window: u32,
    pub handle_max: Option<u32>,
}

/// Which end of a link speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Sender,
    Receiver,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attach {
    pub name: String,
    pub handle: u32,
    /// Of whoever says it.
    pub role: Role,
    /// 0 unsettled, 1 settled, 2 mixed.
    pub sender_settles: u8,
    /// 0 first, 1 second.
    pub receiver_settles: u8,
    pub source: Terminus,
    pub target: Terminus,
    pub initial_delivery_count: Option<u32>,
    pub max_message_size: Option<u64>,
    pub desired_capabilities: Value,
    pub properties: Value,
}

/// A source or a target: where messages come from, or go to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terminus {
    pub address: Option<String>,
    /// The peer wants a node made for it, at an address of our choice.
    pub is_dynamic: bool,
    /// Which of a source's messages are wanted: a map, or null.
    pub filter: Option<Value>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    pub next_incoming_id: Option<u32>,
    pub incoming_window: u32,
    pub next_outgoing_id: u32,
    pub outgoing_window: u32,
    pub handle: Option<u32>,
    pub delivery_count: Option<u32>,
    pub link_credit: Option<u32>,
    pub drain: bool,
    pub echo: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transfer {
    pub handle: u32,
    pub delivery_id: Option<u32>,
    pub delivery_tag: Option<Bytes>,
    pub message_format: Option<u32>,
    pub settled: Option<bool>,
    pub more: bool,
    pub aborted: bool,
    /// What stands behind the fields: the message, or a part of it.
    pub payload: Bytes,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disposition {
    pub role: Role,
    pub first: u32,
    pub last: Option<u32>,
    pub settled: bool,
    pub outcome: Option<Outcome>,
}

/// What became of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Accepted,
    Rejected(Option<Condition>),
    Released,
    Modified {
        is_failed: bool,
        is_undeliverable: bool,
    },
    /// A state on the way, or one of transactions.
    Other,
}

/// Why something ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    pub condition: String,
    pub description: Option<String>,
    /// Pairs with symbols as keys.
    pub info: Vec<(String, Value)>,
}

impl Condition {
    pub fn new(condition: &str, description: impl Into<String>) -> Self {
        Self {
            condition: condition.to_owned(),
            description: Some(description.into()),
            info: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.info.push((key.to_owned(), value));
        self
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition, self.description.as_deref().unwrap_or(""))
    }
}

/// The frame's body is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAFrame {
    Value(NotAValue),
    /// It is no performative, or none that this kind of frame carries.
    Descriptor,
    /// A field is missing or of another type.
    Field(&'static str),
}

impl fmt::Display for NotAFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(because) => write!(f, "{because}"),
            Self::Descriptor => f.write_str("a frame holds no performative of its kind"),
            Self::Field(name) => write!(f, "the field `{name}` is missing or of another type"),
        }
    }
}

impl std::error::Error for NotAFrame {}

mod code {
    pub(super) const OPEN: u64 = 0x10;
    pub(super) const BEGIN: u64 = 0x11;
    pub(super) const ATTACH: u64 = 0x12;
    pub(super) const FLOW: u64 = 0x13;
    pub(super) const TRANSFER: u64 = 0x14;
    pub(super) const DISPOSITION: u64 = 0x15;
    pub(super) const DETACH: u64 = 0x16;
    pub(super) const END: u64 = 0x17;
    pub(super) const CLOSE: u64 = 0x18;
    pub(super) const ERROR: u64 = 0x1d;
    pub(super) const ACCEPTED: u64 = 0x24;
    pub(super) const REJECTED: u64 = 0x25;
    pub(super) const RELEASED: u64 = 0x26;
    pub(super) const MODIFIED: u64 = 0x27;
    pub(super) const SOURCE: u64 = 0x28;
    pub(super) const TARGET: u64 = 0x29;
    pub(super) const MECHANISMS: u64 = 0x40;
    pub(super) const INIT: u64 = 0x41;
    pub(super) const CHALLENGE: u64 = 0x42;
    pub(super) const RESPONSE: u64 = 0x43;
    pub(super) const OUTCOME: u64 = 0x44;
}
