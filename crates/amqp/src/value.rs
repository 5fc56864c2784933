//! The values of AMQP: what frames and messages are made of.

use bytes::Bytes;

/// One value, with the type that it came with: an answer to a request must have the type of its id.
///
/// Numbers with a point are kept as their bits, so that values compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Ubyte(u8),
    Ushort(u16),
    Uint(u32),
    Ulong(u64),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Float(u32),
    Double(u64),
    Decimal32([u8; 4]),
    Decimal64([u8; 8]),
    Decimal128([u8; 16]),
    Char(char),
    /// Milliseconds since 1970.
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(Bytes),
    String(String),
    Symbol(String),
    List(Vec<Self>),
    /// In the order of the wire. Keys may repeat: the first counts.
    Map(Vec<(Self, Self)>),
    /// Values of one type.
    Array(Vec<Self>),
    Described(Box<(Self, Self)>),
}

impl Value {
    pub fn symbol(text: impl Into<String>) -> Self {
        Self::Symbol(text.into())
    }

    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A list with a descriptor: every performative and section is one.
    pub fn described(descriptor: u64, value: Self) -> Self {
        Self::Described(Box::new((Self::Ulong(descriptor), value)))
    }

    /// The text of a string or a symbol.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// A number of any width that is not negative.
    pub fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Ubyte(it) => Some((*it).into()),
            Self::Ushort(it) => Some((*it).into()),
            Self::Uint(it) => Some((*it).into()),
            Self::Ulong(it) => Some(*it),
            _ => self.signed().and_then(|it| u64::try_from(it).ok()),
        }
    }

    /// A number of any width that fits.
    pub fn signed(&self) -> Option<i64> {
        match self {
            Self::Byte(it) => Some((*it).into()),
            Self::Short(it) => Some((*it).into()),
            Self::Int(it) => Some((*it).into()),
            Self::Long(it) | Self::Timestamp(it) => Some(*it),
            Self::Ubyte(it) => Some((*it).into()),
            Self::Ushort(it) => Some((*it).into()),
            Self::Uint(it) => Some((*it).into()),
            Self::Ulong(it) => i64::try_from(*it).ok(),
            _ => None,
        }
    }

    /// What a map has under a text, whether its keys are strings or symbols.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, it)| it)
    }

    /// What it describes, and as what; a value without a descriptor stands for itself.
    pub fn undescribed(&self) -> &Self {
        match self {
            Self::Described(both) => &both.1,
            plain => plain,
        }
    }
}
