//! A message of a device as it lies in the hub's log: who sent it, its properties, its body.
//!
//! Written once, read by whoever delivers it. The form is in `docs/reference/log-format.md`; enqueued time,
//! partition and sequence are the log's own. Of a hub that routes, a record also says to where, see [`routed`].

pub mod amqp;
pub mod routed;

use bytes::Bytes;
use model::PrincipalKind;
use model::principal::AuthType;
use model::trace::Caller;
use routed::{Routed, Source};
use std::fmt;

/// Most bytes of body and properties together: what a hub takes from a device.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Most properties of a message.
pub const PROPERTIES_MAX: usize = 100;
/// Longest name of a property, in bytes. A value may be as long as the message.
pub const NAME_BYTES_MAX: usize = 1_024;

const VERSION: u8 = 1;

/// What clients say of a message besides its own properties. The number is the one in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum SystemProperty {
    MessageId = 1,
    CorrelationId = 2,
    UserId = 3,
    ContentType = 4,
    ContentEncoding = 5,
    To = 6,
    AbsoluteExpiry = 7,
    CreationTime = 8,
    OutputName = 9,
    InterfaceId = 10,
    /// The component of a digital twin: `dt-subject`.
    Subject = 11,
}

impl SystemProperty {
    const ALL: [Self; 11] = [
        Self::MessageId,
        Self::CorrelationId,
        Self::UserId,
        Self::ContentType,
        Self::ContentEncoding,
        Self::To,
        Self::AbsoluteExpiry,
        Self::CreationTime,
        Self::OutputName,
        Self::InterfaceId,
        Self::Subject,
    ];
}

/// Names that only the hub itself may set, as all that start with `$.`: a device that could would speak for
/// another.
const RESERVED: &[&str] = &[
    "iothub-connection-device-id",
    "iothub-connection-module-id",
    "iothub-connection-auth-method",
    "iothub-connection-auth-generation-id",
    "iothub-enqueuedtime",
    "iothub-message-source",
    "x-opt-sequence-number",
    "x-opt-offset",
    "x-opt-enqueued-time",
    "x-opt-partition-key",
];

/// True for a name that only the hub itself may set.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with("$.") || RESERVED.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// How a sender had proven itself. The number is the one in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthMethod {
    /// A device, with its own key.
    DeviceKey = 1,
    /// A device, with a certificate.
    DeviceCertificate = 2,
    /// Somebody for a device, with the key of a hub's policy.
    HubKey = 3,
    /// Nobody: the hub itself tells what happened to a device.
    Hub = 4,
}

impl AuthMethod {
    const ALL: [Self; 4] = [Self::DeviceKey, Self::DeviceCertificate, Self::HubKey, Self::Hub];

    /// What is said of a message by how its sender has proven itself.
    pub const fn of(caller: &Caller) -> Self {
        match (caller.kind, caller.auth) {
            (PrincipalKind::SasKey, _) => Self::HubKey,
            (_, AuthType::X509) => Self::DeviceCertificate,
            (_, AuthType::Sas | AuthType::Entra | AuthType::None) => Self::DeviceKey,
        }
    }

    /// The annotation `iothub-connection-auth-method` of the message, as whoever reads it gets it. What the hub
    /// itself tells has none.
    ///
    /// Source: IoT Hub developer guide, "Anti-spoofing properties".
    pub const fn annotation(self) -> Option<&'static str> {
        Some(match self {
            Self::DeviceKey => {
                r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
            }
            Self::DeviceCertificate => {
                r#"{"scope":"device","type":"x509","issuer":"external","acceptingIpFilterRule":null}"#
            }
            Self::HubKey => {
                r#"{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#
            }
            Self::Hub => return None,
        })
    }
}

/// Why a message cannot be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotAMessage {
    TooLong,
    TooManyProperties,
    /// The name is empty or longer than [`NAME_BYTES_MAX`].
    Name,
    /// A system property stands twice.
    Twice(SystemProperty),
    Reserved(String),
}

impl fmt::Display for NotAMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => {
                write!(f, "a message takes at most {MESSAGE_BYTES_MAX} bytes with its properties")
            }
            Self::TooManyProperties => {
                write!(f, "a message takes at most {PROPERTIES_MAX} properties")
            }
            Self::Name => {
                write!(f, "the name of a property has 1 to {NAME_BYTES_MAX} bytes")
            }
            Self::Twice(which) => write!(f, "the system property {which:?} stands twice"),
            Self::Reserved(name) => {
                write!(f, "the property `{}` is the hub's own to set", name.escape_debug())
            }
        }
    }
}

impl std::error::Error for NotAMessage {}

/// The part of a record that is the same for every message of a session.
#[derive(Clone, Debug)]
pub struct Sender(Vec<u8>);

impl Sender {
    /// `module` is empty where the device itself sends. Ids are at most 255 bytes long, see [`model::DeviceId`].
    pub fn new(device: &str, module: &str, generation: &str, auth: AuthMethod) -> Self {
        let mut bytes = vec![VERSION, auth as u8];
        for text in [device, module, generation] {
            let text = text.as_bytes();
            let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
            bytes.push(length);
            bytes.extend(text.iter().take(usize::from(length)));
        }
        Self(bytes)
    }

    /// What each of its records begins with takes so many bytes.
    pub const fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Begins a message with a body of `body_bytes`.
    pub fn message(&self, body_bytes: usize) -> Draft {
        let room = self.0.len() + body_bytes.min(MESSAGE_BYTES_MAX) + 64;
        let mut bytes = Vec::with_capacity(room);
        bytes.extend(&self.0);
        Draft { bytes, sender_bytes: self.0.len(), count: 0, seen: 0 }
    }
}

/// A message in the making: properties in any order, then the body.
pub struct Draft {
    bytes: Vec<u8>,
    sender_bytes: usize,
    count: usize,
    /// A bit for each system property that is there.
    seen: u32,
}

impl Draft {
    /// # Errors
    /// [`NotAMessage::Twice`], [`NotAMessage::TooManyProperties`], [`NotAMessage::TooLong`].
    pub fn system(&mut self, which: SystemProperty, value: &str) -> Result<(), NotAMessage> {
        let bit = 1 << which as u32;
        if self.seen & bit != 0 {
            return Err(NotAMessage::Twice(which));
        }
        self.seen |= bit;
        self.begin(SYSTEM + which as u8)?;
        self.long(value)
    }

    /// A property without a value is `None`.
    ///
    /// # Errors
    /// [`NotAMessage::Reserved`], [`NotAMessage::Name`], [`NotAMessage::TooManyProperties`],
    /// [`NotAMessage::TooLong`].
    pub fn application(&mut self, name: &str, value: Option<&str>) -> Result<(), NotAMessage> {
        if is_reserved(name) {
            return Err(NotAMessage::Reserved(name.to_owned()));
        }
        let length = match u16::try_from(name.len()) {
            Ok(it) if (1..=NAME_BYTES_MAX).contains(&name.len()) => it,
            Ok(_) | Err(_) => return Err(NotAMessage::Name),
        };
        self.begin(if value.is_some() { WITH_VALUE } else { WITHOUT_VALUE })?;
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(name.as_bytes());
        match value {
            Some(value) => self.long(value),
            None => self.fits(0),
        }
    }

    /// The record of the whole message.
    ///
    /// # Errors
    /// [`NotAMessage::TooLong`].
    pub fn finish(mut self, body: &[u8]) -> Result<Bytes, NotAMessage> {
        self.fits(body.len())?;
        self.bytes.push(END);
        self.bytes.extend(body);
        Ok(self.bytes.into())
    }

    fn begin(&mut self, tag: u8) -> Result<(), NotAMessage> {
        self.count += 1;
        if self.count > PROPERTIES_MAX {
            return Err(NotAMessage::TooManyProperties);
        }
        self.bytes.push(tag);
        Ok(())
    }

    fn long(&mut self, value: &str) -> Result<(), NotAMessage> {
        self.fits(value.len())?;
        let length = u32::try_from(value.len()).map_err(|_| NotAMessage::TooLong)?;
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(value.as_bytes());
        Ok(())
    }

    /// Whether so many bytes more still make a message.
    fn fits(&self, more: usize) -> Result<(), NotAMessage> {
        match self.bytes.len() - self.sender_bytes + more <= MESSAGE_BYTES_MAX {
            true => Ok(()),
            false => Err(NotAMessage::TooLong),
        }
    }
}

/// A record, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub device: String,
    /// Empty where the device itself sent it.
    pub module: String,
    pub generation: String,
    pub auth: AuthMethod,
    pub system: Vec<(SystemProperty, String)>,
    pub application: Vec<(String, Option<String>)>,
    pub body: Bytes,
    pub source: Source,
    /// What a hub that routes has made of it; `None` where it is for the built-in endpoint alone, as it is.
    pub routed: Option<Routed>,
}

impl Message {
    /// Reads what [`Draft::finish`] or [`Routed::record`] made; `None` where the bytes are something else.
    pub fn parse(record: &Bytes) -> Option<Self> {
        let mut rest = &record[..];
        let (source, routed) = match take_array(&mut rest)? {
            [VERSION] => (Source::DeviceMessages, None),
            [routed::VERSION] => routed::take(&mut rest).map(|(it, routed)| (it, Some(routed)))?,
            _ => return None,
        };
        let [auth] = take_array(&mut rest)?;
        let auth = *AuthMethod::ALL.iter().find(|it| **it as u8 == auth)?;
        let mut short = || {
            let [length] = take_array(&mut rest)?;
            take_text(&mut rest, usize::from(length))
        };
        let (device, module, generation) = (short()?, short()?, short()?);
        let (mut system, mut application) = (Vec::new(), Vec::new());
        loop {
            let [tag] = take_array(&mut rest)?;
            match tag {
                END => break,
                WITH_VALUE | WITHOUT_VALUE => {
                    let length = u16::from_le_bytes(take_array(&mut rest)?);
                    let name = take_text(&mut rest, usize::from(length))?;
                    let value = match tag == WITH_VALUE {
                        true => Some(take_long(&mut rest)?),
                        false => None,
                    };
                    application.push((name, value));
                }
                _ => {
                    let known = SystemProperty::ALL.iter().find(|it| SYSTEM + **it as u8 == tag)?;
                    system.push((*known, take_long(&mut rest)?));
                }
            }
        }
        let body = record.slice_ref(rest);
        Some(Self { device, module, generation, auth, system, application, body, source, routed })
    }

    /// The value of a system property, where it is there.
    pub fn system(&self, which: SystemProperty) -> Option<&str> {
        self.system.iter().find(|(it, _)| *it == which).map(|(_, value)| value.as_str())
    }
}

/// What stands before each property, and behind the last.
const END: u8 = 0;
const WITH_VALUE: u8 = 1;
const WITHOUT_VALUE: u8 = 2;
/// Plus the number of the system property.
const SYSTEM: u8 = 16;

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

fn take_text(rest: &mut &[u8], length: usize) -> Option<String> {
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    String::from_utf8(taken.to_vec()).ok()
}

fn take_long(rest: &mut &[u8]) -> Option<String> {
    let length = u32::from_le_bytes(take_array(rest)?);
    take_text(rest, usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender::new("pump-1", "", "638000000000000000", AuthMethod::DeviceKey)
    }

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let mut draft = sender().message(3);
        draft.application("level", Some("3,2 ä")).unwrap();
        draft.system(SystemProperty::ContentType, "application/json").unwrap();
        draft.application("alarm", None).unwrap();
        draft.application("empty", Some("")).unwrap();
        let record = draft.finish(b"{ }").unwrap();
        let expected = Message {
            device: "pump-1".into(),
            module: String::new(),
            generation: "638000000000000000".into(),
            auth: AuthMethod::DeviceKey,
            system: vec![(SystemProperty::ContentType, "application/json".into())],
            application: vec![
                ("level".into(), Some("3,2 ä".into())),
                ("alarm".into(), None),
                ("empty".into(), Some(String::new())),
            ],
            body: Bytes::from_static(b"{ }"),
            source: Source::DeviceMessages,
            routed: None,
        };
        assert_eq!(Message::parse(&record), Some(expected));
    }

    #[test]
    fn every_cut_of_a_record_is_no_record_or_a_shorter_body_and_breaks_nothing() {
        let mut draft = sender().message(0);
        draft.application("a", Some("b")).unwrap();
        draft.system(SystemProperty::MessageId, "m").unwrap();
        let record = draft.finish(b"").unwrap();
        for length in 0..record.len() {
            assert_eq!(Message::parse(&record.slice(..length)), None, "{length}");
        }
        let mut other = record.to_vec();
        other[0] = routed::VERSION + 1;
        assert_eq!(Message::parse(&other.into()), None);
    }

    #[test]
    fn every_system_property_has_a_number_of_its_own() {
        let mut draft = sender().message(0);
        for it in SystemProperty::ALL {
            draft.system(it, "x").unwrap();
        }
        let read = Message::parse(&draft.finish(b"").unwrap()).unwrap();
        assert_eq!(read.system.iter().map(|it| it.0).collect::<Vec<_>>(), SystemProperty::ALL);
    }

    #[test]
    fn what_a_message_may_hold_has_limits() {
        let body = vec![0; MESSAGE_BYTES_MAX];
        assert!(sender().message(0).finish(&body).is_ok());
        let mut draft = sender().message(0);
        draft.application("a", None).unwrap();
        assert_eq!(draft.finish(&body), Err(NotAMessage::TooLong));

        let mut draft = sender().message(0);
        for _ in 0..PROPERTIES_MAX {
            draft.application("a", None).unwrap();
        }
        assert_eq!(draft.application("a", None), Err(NotAMessage::TooManyProperties));

        let mut draft = sender().message(0);
        let long = "n".repeat(NAME_BYTES_MAX);
        assert_eq!(draft.application("", Some("v")), Err(NotAMessage::Name));
        assert_eq!(draft.application(&format!("{long}n"), None), Err(NotAMessage::Name));
        draft.application(&long, None).unwrap();
        draft.system(SystemProperty::To, "x").unwrap();
        let twice = Err(NotAMessage::Twice(SystemProperty::To));
        assert_eq!(draft.system(SystemProperty::To, "y"), twice);
    }

    #[test]
    fn a_device_cannot_set_what_the_hub_says_of_it() {
        let mut draft = sender().message(0);
        for name in RESERVED {
            let upper = name.to_uppercase();
            let refused = Err(NotAMessage::Reserved(upper.clone()));
            assert_eq!(draft.application(&upper, Some("device10")), refused, "{name}");
        }
        let system = Err(NotAMessage::Reserved("$.cdid".to_owned()));
        assert_eq!(draft.application("$.cdid", Some("device10")), system);
        draft.application("iothub-connection-device", Some("fine")).unwrap();
    }
}
