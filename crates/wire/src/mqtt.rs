//! MQTT 3.1.1 packets: bytes to values and back, for both sides.
//!
//! A packet is a type and four flags in one byte, its *remaining length* in one to four bytes, and as many
//! bytes of body. Reading is as strict as the standard asks: where it says that a receiver must close the
//! connection, [`decode()`] fails, and whoever reads closes. Sessions, topics of hubs and who may connect are
//! not known here, nor is QoS 2 taken apart: a hub has none.
//! Source: OASIS, "MQTT Version 3.1.1", of 29 October 2014.

mod decode;
mod encode;

pub use bytestring::ByteString;
pub use decode::decode;
pub use encode::{encode, encode_puback};

use bytes::Bytes;
use model::Secret;
use std::fmt;

/// Most bytes of a body that the format can announce: four digits of seven bits.
pub const REMAINING_BYTES_MAX: usize = (1 << 28) - 1;
/// Most filters that one SUBSCRIBE or UNSUBSCRIBE may hold. A device has about ten topics.
pub const FILTERS_MAX: usize = 256;

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    Connect(Connect),
    ConnAck {
        session_present: bool,
        code: ConnectCode,
    },
    Publish(Publish),
    PubAck(u16),
    Subscribe {
        id: u16,
        filters: Vec<(String, Qos)>,
    },
    /// One answer for each filter, in their order; `None` where it was refused.
    SubAck {
        id: u16,
        granted: Vec<Option<Qos>>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    UnsubAck(u16),
    PingReq,
    PingResp,
    Disconnect,
    /// PUBREC, PUBREL or PUBCOMP (5, 6, 7), which only QoS 2 has: well formed, and kept as its type alone.
    Unsupported(u8),
}

/// How often a message may arrive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Qos {
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

/// The server's answer to a CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectCode {
    Accepted = 0,
    UnacceptableProtocol = 1,
    IdentifierRejected = 2,
    ServerUnavailable = 3,
    BadUserNameOrPassword = 4,
    NotAuthorized = 5,
}

/// The first packet of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connect {
    /// 4 is MQTT 3.1.1. 3 is MQTT 3.1, which has the same fields. Others are [`NotMqtt::ProtocolLevel`].
    pub protocol_level: u8,
    pub clean_session: bool,
    /// The longest pause between two packets of the client; 0 means that it may be silent for ever.
    pub keep_alive_s: u16,
    /// May be empty: whether a server then makes one up is the server's to say.
    pub client_id: String,
    pub will: Option<Will>,
    pub user_name: Option<String>,
    pub password: Option<Secret<Vec<u8>>>,
}

/// What the server publishes in the client's name once the client is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
    pub retain: bool,
}

/// A message. Its topic and payload are parts of the buffer that it was read from, and keep it in memory:
/// whoever keeps a message for longer than a moment copies them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// It may have been sent before. Never with [`Qos::AtMostOnce`].
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    /// Not empty, without wildcards and without U+0000.
    pub topic: ByteString,
    /// Never 0; there unless `qos` is [`Qos::AtMostOnce`].
    pub id: Option<u16>,
    pub payload: Bytes,
}

/// The bytes are no packet of MQTT 3.1.1, or of no size that is taken. Repeats nothing that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotMqtt {
    /// Known from the header alone, before the body is there.
    TooLong {
        bytes: usize,
        limit: usize,
    },
    /// A CONNECT of another version, 5 for MQTT 5, of which nothing else was read: answer it with
    /// [`ConnectCode::UnacceptableProtocol`] and close.
    ProtocolLevel(u8),
    /// There is no packet of this type.
    Type(u8),
    Malformed {
        packet: &'static str,
        field: &'static str,
        fault: &'static str,
    },
}

impl fmt::Display for NotMqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => {
                write!(f, "the packet is {bytes} bytes long, and at most {limit} are taken")
            }
            Self::ProtocolLevel(level) => write!(
                f,
                "the client speaks MQTT at protocol level {level}, and only 4, MQTT 3.1.1, is served"
            ),
            Self::Type(number) => write!(f, "MQTT has no packet of type {number}"),
            Self::Malformed { packet, field, fault } => write!(f, "{packet}: its {field} {fault}"),
        }
    }
}

impl std::error::Error for NotMqtt {}

/// A value has more bytes than the format can announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong {
    pub field: &'static str,
    pub bytes: usize,
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, bytes, limit } = self;
        write!(f, "the {field} is {bytes} bytes long, and MQTT can carry {limit}")
    }
}

impl std::error::Error for TooLong {}

/// The types of packets, as the high half of the first byte.
mod kind {
    pub(super) const CONNECT: u8 = 1;
    pub(super) const CONNACK: u8 = 2;
    pub(super) const PUBLISH: u8 = 3;
    pub(super) const PUBACK: u8 = 4;
    pub(super) const PUBREC: u8 = 5;
    pub(super) const PUBREL: u8 = 6;
    pub(super) const PUBCOMP: u8 = 7;
    pub(super) const SUBSCRIBE: u8 = 8;
    pub(super) const SUBACK: u8 = 9;
    pub(super) const UNSUBSCRIBE: u8 = 10;
    pub(super) const UNSUBACK: u8 = 11;
    pub(super) const PINGREQ: u8 = 12;
    pub(super) const PINGRESP: u8 = 13;
    pub(super) const DISCONNECT: u8 = 14;
}

/// What SUBSCRIBE, UNSUBSCRIBE and PUBREL must say in their flags; all others but PUBLISH say 0.
const FLAGS_OF_REQUESTS: u8 = 0b0010;
/// The answer to a filter that is refused.
const REFUSED: u8 = 0x80;

/// Bits of PUBLISH's flags.
mod publish_flags {
    pub(super) const RETAIN: u8 = 1;
    pub(super) const QOS_SHIFT: u8 = 1;
    pub(super) const DUP: u8 = 1 << 3;
}

/// Bits of CONNECT's flags.
mod connect_flags {
    pub(super) const RESERVED: u8 = 1;
    pub(super) const CLEAN_SESSION: u8 = 1 << 1;
    pub(super) const WILL: u8 = 1 << 2;
    pub(super) const WILL_QOS_SHIFT: u8 = 3;
    pub(super) const WILL_RETAIN: u8 = 1 << 5;
    pub(super) const PASSWORD: u8 = 1 << 6;
    pub(super) const USER_NAME: u8 = 1 << 7;
}

#[cfg(test)]
mod tests;
