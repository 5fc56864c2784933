//! Bytes to values, within limits: a peer may send anything.

use crate::value::Value;
use bytes::{Buf, Bytes};
use std::fmt;

/// How deep values may lie in each other.
pub(crate) const DEPTH_MAX: usize = 16;
/// Longest descriptor of the elements of an array.
const DESCRIPTOR_BYTES_MAX: usize = 64;

/// The bytes are no value. Repeats nothing that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAValue {
    /// They end in the middle of a value.
    Short,
    /// No type has this code.
    Code(u8),
    /// Values lie deeper in each other than [`DEPTH_MAX`].
    Deep,
    /// There are more values than bytes: an array of nothings.
    Many,
    Malformed(&'static str),
}

impl fmt::Display for NotAValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("a value ends before its last byte"),
            Self::Code(code) => write!(f, "no type has the code {code:#04x}"),
            Self::Deep => write!(f, "values lie more than {DEPTH_MAX} deep in each other"),
            Self::Many => f.write_str("there are more values than bytes"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for NotAValue {}

/// Takes one value off the front. Bytes and texts of any length come from the buffer: whoever keeps a value for
/// longer than a moment keeps the buffer.
///
/// # Errors
/// [`NotAValue`]; then something of the buffer may be taken.
pub fn decode(bytes: &mut Bytes) -> Result<Value, NotAValue> {
    // Every value but an element of an array takes a byte at least.
    let mut reader = Reader { budget: bytes.len(), bytes };
    reader.value(DEPTH_MAX)
}

/// What stands before a value, or before all elements of an array.
enum Constructor {
    Code(u8),
    Described(Box<(Value, Self)>),
}

impl Constructor {
    /// Every element of an array has a copy of its descriptors.
    fn is_small(&self) -> bool {
        match self {
            Self::Code(_) => true,
            Self::Described(both) => {
                let is_small = match &both.0 {
                    Value::Ulong(_) => true,
                    Value::Symbol(text) => text.len() <= DESCRIPTOR_BYTES_MAX,
                    _ => false,
                };
                is_small && both.1.is_small()
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a mut Bytes,
    /// How many values may still come.
    budget: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, NotAValue> {
        let constructor = self.constructor(depth)?;
        self.of(&constructor, depth)
    }

    fn constructor(&mut self, depth: usize) -> Result<Constructor, NotAValue> {
        match self.u8()? {
            0 => {
                let below = depth.checked_sub(1).ok_or(NotAValue::Deep)?;
                let descriptor = self.value(below)?;
                let inner = self.constructor(below)?;
                Ok(Constructor::Described(Box::new((descriptor, inner))))
            }
            code => Ok(Constructor::Code(code)),
        }
    }

    fn of(&mut self, constructor: &Constructor, depth: usize) -> Result<Value, NotAValue> {
        match constructor {
            Constructor::Code(code) => self.plain(*code, depth),
            Constructor::Described(both) => {
                let below = depth.checked_sub(1).ok_or(NotAValue::Deep)?;
                let value = self.of(&both.1, below)?;
                Ok(Value::Described(Box::new((both.0.clone(), value))))
            }
        }
    }

    fn plain(&mut self, code: u8, depth: usize) -> Result<Value, NotAValue> {
        self.budget = self.budget.checked_sub(1).ok_or(NotAValue::Many)?;
        Ok(match code {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x43 => Value::Uint(0),
            0x44 => Value::Ulong(0),
            0x45 => Value::List(Vec::new()),
            0x50 => Value::Ubyte(self.u8()?),
            0x51 => Value::Byte(self.u8()?.cast_signed()),
            0x52 => Value::Uint(self.u8()?.into()),
            0x53 => Value::Ulong(self.u8()?.into()),
            0x54 => Value::Int(self.u8()?.cast_signed().into()),
            0x55 => Value::Long(self.u8()?.cast_signed().into()),
            0x56 => match self.u8()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(NotAValue::Malformed("a boolean is neither 0 nor 1")),
            },
            0x60 => Value::Ushort(u16::from_be_bytes(self.array()?)),
            0x61 => Value::Short(i16::from_be_bytes(self.array()?)),
            0x70 => Value::Uint(u32::from_be_bytes(self.array()?)),
            0x71 => Value::Int(i32::from_be_bytes(self.array()?)),
            0x72 => Value::Float(u32::from_be_bytes(self.array()?)),
            0x73 => {
                let code = u32::from_be_bytes(self.array()?);
                Value::Char(char::from_u32(code).ok_or(NotAValue::Malformed("no character"))?)
            }
            0x74 => Value::Decimal32(self.array()?),
            0x80 => Value::Ulong(u64::from_be_bytes(self.array()?)),
            0x81 => Value::Long(i64::from_be_bytes(self.array()?)),
            0x82 => Value::Double(u64::from_be_bytes(self.array()?)),
            0x83 => Value::Timestamp(i64::from_be_bytes(self.array()?)),
            0x84 => Value::Decimal64(self.array()?),
            0x94 => Value::Decimal128(self.array()?),
            0x98 => Value::Uuid(self.array()?),
            0xa0 => {
                let length = self.u8()?;
                Value::Binary(self.take(length.into())?)
            }
            0xb0 => {
                let length = self.long()?;
                Value::Binary(self.take(length)?)
            }
            0xa1 => {
                let length = self.u8()?;
                Value::String(self.text(length.into())?)
            }
            0xb1 => {
                let length = self.long()?;
                Value::String(self.text(length)?)
            }
            0xa3 => {
                let length = self.u8()?;
                Value::Symbol(self.ascii(length.into())?)
            }
            0xb3 => {
                let length = self.long()?;
                Value::Symbol(self.ascii(length)?)
            }
            0xc0 | 0xd0 => self.compound(code == 0xd0, |it, count| it.list(count, depth))?,
            0xc1 | 0xd1 => self.compound(code == 0xd1, |it, count| it.map(count, depth))?,
            0xe0 | 0xf0 => self.compound(code == 0xf0, |it, count| it.elements(count, depth))?,
            other => return Err(NotAValue::Code(other)),
        })
    }

    /// Reads size and count, and then what is inside, which must fill the size.
    fn compound(
        &mut self,
        is_long: bool,
        read: impl FnOnce(&mut Reader<'_>, usize) -> Result<Value, NotAValue>,
    ) -> Result<Value, NotAValue> {
        let size = if is_long { self.long()? } else { self.u8()?.into() };
        let mut inside = self.take(size)?;
        let mut reader = Reader { bytes: &mut inside, budget: self.budget };
        let count = if is_long { reader.long()? } else { reader.u8()?.into() };
        let value = read(&mut reader, count)?;
        self.budget = reader.budget;
        match inside.is_empty() {
            true => Ok(value),
            false => {
                Err(NotAValue::Malformed("a compound value has bytes behind its last element"))
            }
        }
    }

    fn list(&mut self, count: usize, depth: usize) -> Result<Value, NotAValue> {
        let below = depth.checked_sub(1).ok_or(NotAValue::Deep)?;
        let mut values = Vec::with_capacity(count.min(self.bytes.len()));
        for _ in 0..count {
            values.push(self.value(below)?);
        }
        Ok(Value::List(values))
    }

    fn map(&mut self, count: usize, depth: usize) -> Result<Value, NotAValue> {
        let below = depth.checked_sub(1).ok_or(NotAValue::Deep)?;
        if !count.is_multiple_of(2) {
            return Err(NotAValue::Malformed("a map has a key without a value"));
        }
        let mut pairs = Vec::with_capacity((count / 2).min(self.bytes.len()));
        for _ in 0..count / 2 {
            pairs.push((self.value(below)?, self.value(below)?));
        }
        Ok(Value::Map(pairs))
    }

    fn elements(&mut self, count: usize, depth: usize) -> Result<Value, NotAValue> {
        let below = depth.checked_sub(1).ok_or(NotAValue::Deep)?;
        let constructor = self.constructor(below)?;
        if !constructor.is_small() {
            return Err(NotAValue::Malformed(
                "the descriptor of an array is no number or short symbol",
            ));
        }
        let mut values = Vec::with_capacity(count.min(self.bytes.len()));
        for _ in 0..count {
            values.push(self.of(&constructor, below)?);
        }
        Ok(Value::Array(values))
    }

    fn u8(&mut self) -> Result<u8, NotAValue> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn long(&mut self) -> Result<usize, NotAValue> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| NotAValue::Short)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotAValue> {
        let array = self.bytes.first_chunk().copied().ok_or(NotAValue::Short)?;
        self.bytes.advance(N);
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, NotAValue> {
        match length <= self.bytes.len() {
            true => Ok(self.bytes.split_to(length)),
            false => Err(NotAValue::Short),
        }
    }

    fn text(&mut self, length: usize) -> Result<String, NotAValue> {
        let bytes = self.take(length)?;
        String::from_utf8(bytes.into()).map_err(|_| NotAValue::Malformed("a string is not UTF-8"))
    }

    fn ascii(&mut self, length: usize) -> Result<String, NotAValue> {
        let text = self.text(length)?;
        match text.is_ascii() {
            true => Ok(text),
            false => Err(NotAValue::Malformed("a symbol is not ASCII")),
        }
    }
}
