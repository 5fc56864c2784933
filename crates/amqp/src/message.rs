//! A message: sections in a fixed order, most of which may be missing.

use crate::decode::{NotAValue, decode};
use crate::encode::encode;
use crate::value::Value;
use bytes::{Bytes, BytesMut};

/// The message format of a batch: each of its data sections holds one whole message.
/// Source: Event Hubs and IoT Hub clients.
pub const BATCH: u32 = 0x8001_3700;
/// Most sections of a message, and so most messages of a batch.
pub const SECTIONS_MAX: usize = 1_024;

const HEADER: u64 = 0x70;
const DELIVERY_ANNOTATIONS: u64 = 0x71;
const MESSAGE_ANNOTATIONS: u64 = 0x72;
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;
const FOOTER: u64 = 0x78;

const NAMES: &[(&str, u64)] = &[
    ("amqp:header:list", HEADER),
    ("amqp:delivery-annotations:map", DELIVERY_ANNOTATIONS),
    ("amqp:message-annotations:map", MESSAGE_ANNOTATIONS),
    ("amqp:properties:list", PROPERTIES),
    ("amqp:application-properties:map", APPLICATION_PROPERTIES),
    ("amqp:data:binary", DATA),
    ("amqp:amqp-sequence:list", SEQUENCE),
    ("amqp:amqp-value:*", VALUE),
    ("amqp:footer:map", FOOTER),
];

type Pairs = Vec<(Value, Value)>;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    pub header: Option<Header>,
    pub delivery_annotations: Pairs,
    pub annotations: Pairs,
    pub properties: Properties,
    pub application: Pairs,
    pub body: Body,
}

/// How a message is to be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    pub durable: bool,
    pub priority: Option<u8>,
    /// Milliseconds.
    pub ttl: Option<u32>,
    /// How often it was delivered before, and not settled.
    pub delivery_count: u32,
}

impl Header {
    fn of(fields: Vec<Value>) -> Self {
        let mut fields = fields.into_iter();
        let mut next = || fields.next().unwrap_or(Value::Null);
        let durable = next() == Value::Bool(true);
        let mut number = || next().unsigned();
        let (priority, ttl) = (number(), number());
        // Who acquired it first is nobody's business here.
        let (_, count) = (number(), number());
        let fits = |it: Option<u64>| it.and_then(|it| u32::try_from(it).ok());
        Self {
            durable,
            priority: priority.and_then(|it| u8::try_from(it).ok()),
            ttl: fits(ttl),
            delivery_count: fits(count).unwrap_or(0),
        }
    }

    fn fields(self) -> Vec<Value> {
        vec![
            Value::Bool(self.durable),
            self.priority.map_or(Value::Null, Value::Ubyte),
            self.ttl.map_or(Value::Null, Value::Uint),
            Value::Bool(self.delivery_count == 0),
            Value::Uint(self.delivery_count),
        ]
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    /// One or more sections of bytes.
    Data(Vec<Bytes>),
    Sequence(Vec<Value>),
    Value(Value),
}

/// What every message can say of itself. Ids are of any of four types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Properties {
    pub message_id: Value,
    pub user_id: Option<Bytes>,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub reply_to: Option<String>,
    pub correlation_id: Value,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// Milliseconds since 1970.
    pub absolute_expiry_time: Option<i64>,
    /// Milliseconds since 1970.
    pub creation_time: Option<i64>,
    /// What belongs together: a session, where messages have such.
    pub group_id: Option<String>,
    pub group_sequence: Option<u32>,
    pub reply_to_group_id: Option<String>,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            message_id: Value::Null,
            user_id: None,
            to: None,
            subject: None,
            reply_to: None,
            correlation_id: Value::Null,
            content_type: None,
            content_encoding: None,
            absolute_expiry_time: None,
            creation_time: None,
            group_id: None,
            group_sequence: None,
            reply_to_group_id: None,
        }
    }
}

impl Message {
    /// Reads a message from all of its bytes. What comes more than once counts as it came last, but for data.
    ///
    /// # Errors
    /// [`NotAValue`].
    pub fn read(mut bytes: Bytes) -> Result<Self, NotAValue> {
        let mut message = Self::default();
        let mut count = 0;
        while !bytes.is_empty() {
            count += 1;
            if count > SECTIONS_MAX {
                return Err(NotAValue::Many);
            }
            let Value::Described(both) = decode(&mut bytes)? else {
                return Err(NotAValue::Malformed("a section has no descriptor"));
            };
            message.section(*both)?;
        }
        Ok(message)
    }

    fn section(&mut self, (descriptor, value): (Value, Value)) -> Result<(), NotAValue> {
        let number = match &descriptor {
            Value::Ulong(number) => Some(*number),
            name => NAMES.iter().find(|(it, _)| name.text() == Some(it)).map(|(_, it)| *it),
        };
        match (number, value) {
            (Some(HEADER), Value::List(fields)) => self.header = Some(Header::of(fields)),
            (Some(FOOTER), Value::Map(_)) => {}
            (Some(DELIVERY_ANNOTATIONS), Value::Map(pairs)) => self.delivery_annotations = pairs,
            (Some(MESSAGE_ANNOTATIONS), Value::Map(pairs)) => self.annotations = pairs,
            (Some(PROPERTIES), Value::List(fields)) => self.properties = Properties::of(fields)?,
            (Some(APPLICATION_PROPERTIES), Value::Map(pairs)) => self.application = pairs,
            (Some(DATA), Value::Binary(bytes)) => match &mut self.body {
                Body::Data(all) => all.push(bytes),
                Body::Empty | Body::Sequence(_) | Body::Value(_) => {
                    self.body = Body::Data(vec![bytes]);
                }
            },
            (Some(SEQUENCE), Value::List(mut more)) => match &mut self.body {
                Body::Sequence(all) => all.append(&mut more),
                Body::Empty | Body::Data(_) | Body::Value(_) => self.body = Body::Sequence(more),
            },
            (Some(VALUE), value) => self.body = Body::Value(value),
            (_, _) => return Err(NotAValue::Malformed("a section is none that messages have")),
        }
        Ok(())
    }

    /// The message as bytes. Sections that hold nothing are left out.
    pub fn write(&self) -> Bytes {
        let mut buffer = BytesMut::new();
        if let Some(header) = self.header {
            let fields = Value::List(header.fields());
            encode(&Value::described(HEADER, fields), &mut buffer);
        }
        let mut map = |number, pairs: &Pairs| {
            if !pairs.is_empty() {
                encode(&Value::described(number, Value::Map(pairs.clone())), &mut buffer);
            }
        };
        map(DELIVERY_ANNOTATIONS, &self.delivery_annotations);
        map(MESSAGE_ANNOTATIONS, &self.annotations);
        if self.properties != Properties::default() {
            let fields = Value::List(self.properties.fields());
            encode(&Value::described(PROPERTIES, fields), &mut buffer);
        }
        if !self.application.is_empty() {
            let pairs = Value::Map(self.application.clone());
            encode(&Value::described(APPLICATION_PROPERTIES, pairs), &mut buffer);
        }
        let mut section = |number, value| encode(&Value::described(number, value), &mut buffer);
        match &self.body {
            Body::Empty => {}
            Body::Data(all) => all.iter().for_each(|it| section(DATA, Value::Binary(it.clone()))),
            Body::Sequence(all) => section(SEQUENCE, Value::List(all.clone())),
            Body::Value(value) => section(VALUE, value.clone()),
        }
        buffer.freeze()
    }

    /// An application property's value.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.application.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, it)| it)
    }

    /// The bytes of the body, where it is of bytes or of text.
    pub fn data(&self) -> Option<Bytes> {
        match &self.body {
            Body::Empty => Some(Bytes::new()),
            Body::Data(all) => match all.as_slice() {
                [one] => Some(one.clone()),
                many => Some(many.concat().into()),
            },
            Body::Value(Value::Binary(bytes)) => Some(bytes.clone()),
            Body::Value(Value::String(text)) => Some(Bytes::from(text.clone())),
            Body::Value(_) | Body::Sequence(_) => None,
        }
    }
}

impl Properties {
    fn of(fields: Vec<Value>) -> Result<Self, NotAValue> {
        let mut fields = fields.into_iter();
        let mut next = || fields.next().unwrap_or(Value::Null);
        let wrong = || NotAValue::Malformed("a property of a message is of another type");
        let text = |value: Value| match value {
            Value::Null => Ok(None),
            Value::String(text) | Value::Symbol(text) => Ok(Some(text)),
            _ => Err(wrong()),
        };
        let time = |value: Value| match value {
            Value::Null => Ok(None),
            Value::Timestamp(ms) => Ok(Some(ms)),
            _ => Err(wrong()),
        };
        let id = |value: Value| match value {
            Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => Err(wrong()),
            value => Ok(value),
        };
        Ok(Self {
            message_id: id(next())?,
            user_id: match next() {
                Value::Null => None,
                Value::Binary(bytes) => Some(bytes),
                // Some clients have a text for it.
                Value::String(text) => Some(text.into()),
                _ => return Err(wrong()),
            },
            to: text(next())?,
            subject: text(next())?,
            reply_to: text(next())?,
            correlation_id: id(next())?,
            content_type: text(next())?,
            content_encoding: text(next())?,
            absolute_expiry_time: time(next())?,
            creation_time: time(next())?,
            group_id: text(next())?,
            group_sequence: next().unsigned().and_then(|it| u32::try_from(it).ok()),
            reply_to_group_id: text(next())?,
        })
    }

    fn fields(&self) -> Vec<Value> {
        let string = |it: &Option<String>| it.clone().map_or(Value::Null, Value::String);
        let symbol = |it: &Option<String>| it.clone().map_or(Value::Null, Value::Symbol);
        let time = |it: Option<i64>| it.map_or(Value::Null, Value::Timestamp);
        vec![
            self.message_id.clone(),
            self.user_id.clone().map_or(Value::Null, Value::Binary),
            string(&self.to),
            string(&self.subject),
            string(&self.reply_to),
            self.correlation_id.clone(),
            symbol(&self.content_type),
            symbol(&self.content_encoding),
            time(self.absolute_expiry_time),
            time(self.creation_time),
            string(&self.group_id),
            self.group_sequence.map_or(Value::Null, Value::Uint),
            string(&self.reply_to_group_id),
        ]
    }
}
