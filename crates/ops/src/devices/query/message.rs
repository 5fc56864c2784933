//! Conditions about a message, as routes have them.
//!
//! The language is that of queries; what differs are the names. A bare name is a property of the application, whatever
//! its casing, and always a text. One that begins with `$` is a system property, and where the message has none of the
//! name, a property of the application. `$body` leads into a body of JSON, and `$twin` into the twin of the sender.
//! What a condition asks for is known when it was read, so that nobody reads a body or a twin in vain. Source: IoT Hub
//! developer guide, "IoT Hub message routing query syntax".

use super::names::{INNER, OWN, canonical, is_named};
use super::token::Wrong;
use super::{Expression, NotAQuery, Path, Step, evaluate, parse};
use crate::devices::message::{Message, SystemProperty};
use model::Timestamp;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A compiled condition.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageCondition {
    pub(super) test: Expression,
    pub(super) asks: Asks,
}

impl MessageCondition {
    /// # Errors
    /// [`NotAQuery`] with the first place that cannot be read, or that is past one of the limits.
    pub fn parse(text: &str) -> Result<Self, NotAQuery> {
        parse::message_condition(text)
    }

    /// What it needs of a message.
    pub const fn asks(&self) -> &Asks {
        &self.asks
    }

    /// True where a message of which it was [`seen`] fulfils the condition; `None` where it is neither true nor
    /// false, which counts as false.
    pub fn truth(&self, seen: &Value) -> Option<bool> {
        evaluate::truth(&self.test, seen)
    }
}

/// What conditions need of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asks {
    /// Of the application, in lower case.
    properties: BTreeSet<Box<str>>,
    system: BTreeSet<System>,
    body: bool,
    twin: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum System {
    Said(SystemProperty),
    Device,
    Module,
    Generation,
    Auth,
    Enqueued,
}

/// By which names conditions know what a message says besides its own properties.
const SYSTEM: &[(&str, System)] = &[
    ("$contentType", System::Said(SystemProperty::ContentType)),
    ("$contentEncoding", System::Said(SystemProperty::ContentEncoding)),
    ("$messageId", System::Said(SystemProperty::MessageId)),
    ("$correlationId", System::Said(SystemProperty::CorrelationId)),
    ("$userId", System::Said(SystemProperty::UserId)),
    ("$dt-dataschema", System::Said(SystemProperty::InterfaceId)),
    ("$dt-subject", System::Said(SystemProperty::Subject)),
    // What components were called before they were called so.
    ("$iothub-interface-name", System::Said(SystemProperty::Subject)),
    ("$connectionDeviceId", System::Device),
    ("$connectionModuleId", System::Module),
    ("$connectionDeviceGenerationId", System::Generation),
    ("$connectionAuthMethod", System::Auth),
    ("$enqueuedTime", System::Enqueued),
];

impl Asks {
    pub(in crate::devices) const NOTHING: Self =
        Self { properties: BTreeSet::new(), system: BTreeSet::new(), body: false, twin: false };

    /// Where a name that begins at `at` leads in what is [`seen`] of a message.
    pub(super) fn place(&mut self, at: usize, text: &str, steps: &[Step]) -> Result<Path, Wrong> {
        let below = |root: &str, rest: &[Step]| {
            let root = Step::Name(root.into());
            Path(std::iter::once(root).chain(rest.iter().cloned()).collect())
        };
        match steps {
            [first, rest @ ..] if is_named(first, "$body") => {
                self.body = true;
                Ok(below("body", rest))
            }
            [first, rest @ ..] if is_named(first, "$twin") => {
                self.twin = true;
                let mut rest = rest.to_vec();
                if let Some(own) = canonical(&mut rest, 0, OWN)
                    && let Some((_, inner)) = INNER.iter().find(|(name, _)| *name == own)
                {
                    canonical(&mut rest, 1, inner);
                }
                Ok(below("twin", &rest))
            }
            steps => {
                let names = steps.iter().map(|it| match it {
                    Step::Name(name) => Ok(&**name),
                    Step::Index(_) => Err(Wrong::new(
                        at,
                        format!("`{text}`: a property is a text and has no elements"),
                    )),
                });
                let name = names.collect::<Result<Vec<_>, _>>()?.join(".").to_lowercase();
                let system = SYSTEM.iter().find(|(it, _)| it.eq_ignore_ascii_case(&name));
                self.system.extend(system.map(|(_, it)| *it));
                self.properties.insert(name.as_str().into());
                Ok(below("property", &[Step::Name(name.into())]))
            }
        }
    }

    /// Needs what `other` needs, too.
    pub fn add(&mut self, other: &Self) {
        self.properties.extend(other.properties.iter().cloned());
        self.system.extend(&other.system);
        self.body |= other.body;
        self.twin |= other.twin;
    }

    /// True where the twin of the sender is looked at.
    pub const fn twin(&self) -> bool {
        self.twin
    }

    fn is_nothing(&self) -> bool {
        self.properties.is_empty() && !self.body && !self.twin
    }
}

/// What conditions see of a message that was enqueued then: no more than they ask for. `twin` is its sender's, as far
/// as one was read.
pub fn seen(asks: &Asks, message: &Message, enqueued: Timestamp, twin: Option<&Value>) -> Value {
    if asks.is_nothing() {
        return Value::Null;
    }
    let mut properties = Map::new();
    // Of two properties of one name the first counts.
    for (name, value) in message.application.iter().rev() {
        let name = name.to_lowercase();
        if asks.properties.contains(name.as_str()) {
            properties.insert(name, json!(value));
        }
    }
    for (name, which) in SYSTEM.iter().filter(|(_, it)| asks.system.contains(it)) {
        if let Some(value) = which.of(message, enqueued) {
            properties.insert(name.to_lowercase(), Value::String(value));
        }
    }
    let mut seen = Map::new();
    seen.insert("property".to_owned(), Value::Object(properties));
    if asks.body
        && let Some(body) = body(message)
    {
        seen.insert("body".to_owned(), body);
    }
    if asks.twin
        && let Some(twin) = twin
    {
        seen.insert("twin".to_owned(), twin.clone());
    }
    Value::Object(seen)
}

impl System {
    fn of(self, message: &Message, enqueued: Timestamp) -> Option<String> {
        let there = |it: &str| Some(it).filter(|it| !it.is_empty()).map(str::to_owned);
        match self {
            Self::Said(which) => message.system(which).map(str::to_owned),
            Self::Device => there(&message.device),
            Self::Module => there(&message.module),
            Self::Generation => there(&message.generation),
            Self::Auth => message.auth.annotation().map(str::to_owned),
            Self::Enqueued => Some(enqueued.rfc3339()),
        }
    }
}

/// A body that conditions may look into: it says that it is JSON and in which encoding, and it is an object.
fn body(message: &Message) -> Option<Value> {
    let kind = message.system(SystemProperty::ContentType)?.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return None;
    }
    let encoding = message.system(SystemProperty::ContentEncoding)?.trim().to_ascii_lowercase();
    let text = match encoding.as_str() {
        "utf-8" => Cow::Borrowed(std::str::from_utf8(&message.body).ok()?),
        "utf-16" => Cow::Owned(utf_16(&message.body)?),
        "utf-32" => Cow::Owned(utf_32(&message.body)?),
        _ => return None,
    };
    let body: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    // What stands in a list at the top has no name to be asked for by.
    body.is_object().then_some(body)
}

/// Little-endian, unless a byte order mark says otherwise.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let is_big = bytes.starts_with(&[0xfe, 0xff]);
    let unit =
        |it: &[u8; 2]| if is_big { u16::from_be_bytes(*it) } else { u16::from_le_bytes(*it) };
    let text: Result<String, _> = char::decode_utf16(units.iter().map(unit)).collect();
    text.ok().filter(|_| rest.is_empty())
}

/// Little-endian, unless a byte order mark says otherwise.
fn utf_32(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<4>();
    let is_big = bytes.starts_with(&[0, 0, 0xfe, 0xff]);
    let unit =
        |it: &[u8; 4]| if is_big { u32::from_be_bytes(*it) } else { u32::from_le_bytes(*it) };
    let text: Option<String> = units.iter().map(|it| char::from_u32(unit(it))).collect();
    text.filter(|_| rest.is_empty())
}

/// What stands at a place of a twin, as `$twin.tags.site` names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TwinPath(Path);

impl TwinPath {
    /// `None` where the text is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        let Expression::Path(path) = MessageCondition::parse(text).ok()?.test else { return None };
        let (root, below) = path.0.split_first()?;
        (is_named(root, "twin") && !below.is_empty()).then(|| Self(Path(below.into())))
    }

    pub fn of<'a>(&self, twin: &'a Value) -> Option<&'a Value> {
        self.0.of(twin)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
