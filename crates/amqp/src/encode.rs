//! Values to bytes: each in its shortest form, and nothing left out.

use crate::value::Value;
use bytes::{BufMut, BytesMut};

/// Appends a value. An array takes its type from its first element: whoever makes one sees to it that all are
/// of that type.
pub fn encode(value: &Value, buffer: &mut BytesMut) {
    match value {
        Value::Null => buffer.put_u8(0x40),
        Value::Bool(it) => buffer.put_u8(if *it { 0x41 } else { 0x42 }),
        Value::Uint(0) => buffer.put_u8(0x43),
        Value::Ulong(0) => buffer.put_u8(0x44),
        Value::List(all) if all.is_empty() => buffer.put_u8(0x45),
        Value::Uint(it) => match u8::try_from(*it) {
            Ok(small) => buffer.put_slice(&[0x52, small]),
            Err(_) => whole(value, buffer),
        },
        Value::Ulong(it) => match u8::try_from(*it) {
            Ok(small) => buffer.put_slice(&[0x53, small]),
            Err(_) => whole(value, buffer),
        },
        Value::Int(it) => match i8::try_from(*it) {
            Ok(small) => buffer.put_slice(&[0x54, small.cast_unsigned()]),
            Err(_) => whole(value, buffer),
        },
        Value::Long(it) => match i8::try_from(*it) {
            Ok(small) => buffer.put_slice(&[0x55, small.cast_unsigned()]),
            Err(_) => whole(value, buffer),
        },
        Value::Binary(it) => short(0xa0, it, buffer),
        Value::String(it) => short(0xa1, it.as_bytes(), buffer),
        Value::Symbol(it) => short(0xa3, it.as_bytes(), buffer),
        Value::List(all) => compound(0xc0, all.len(), buffer, |inside| {
            all.iter().for_each(|it| encode(it, inside));
        }),
        Value::Map(pairs) => compound(0xc1, pairs.len() * 2, buffer, |inside| {
            for (key, value) in pairs {
                encode(key, inside);
                encode(value, inside);
            }
        }),
        Value::Array(all) => compound(0xe0, all.len(), buffer, |inside| elements(all, inside)),
        Value::Described(both) => {
            buffer.put_u8(0);
            encode(&both.0, buffer);
            encode(&both.1, buffer);
        }
        _ => whole(value, buffer),
    }
}

/// A constructor, and behind it every element's bytes.
fn elements(all: &[Value], inside: &mut BytesMut) {
    let Some(first) = all.first() else { return inside.put_u8(0x40) };
    constructor(first, inside);
    for it in all {
        payload(it, inside);
    }
}

fn whole(value: &Value, buffer: &mut BytesMut) {
    constructor(value, buffer);
    payload(value, buffer);
}

/// The code of the form of a type that takes every value of it.
fn constructor(value: &Value, buffer: &mut BytesMut) {
    let code = match value {
        Value::Null => 0x40,
        Value::Bool(_) => 0x56,
        Value::Ubyte(_) => 0x50,
        Value::Ushort(_) => 0x60,
        Value::Uint(_) => 0x70,
        Value::Ulong(_) => 0x80,
        Value::Byte(_) => 0x51,
        Value::Short(_) => 0x61,
        Value::Int(_) => 0x71,
        Value::Long(_) => 0x81,
        Value::Float(_) => 0x72,
        Value::Double(_) => 0x82,
        Value::Decimal32(_) => 0x74,
        Value::Decimal64(_) => 0x84,
        Value::Decimal128(_) => 0x94,
        Value::Char(_) => 0x73,
        Value::Timestamp(_) => 0x83,
        Value::Uuid(_) => 0x98,
        Value::Binary(_) => 0xb0,
        Value::String(_) => 0xb1,
        Value::Symbol(_) => 0xb3,
        Value::List(_) => 0xd0,
        Value::Map(_) => 0xd1,
        Value::Array(_) => 0xf0,
        Value::Described(both) => {
            buffer.put_u8(0);
            encode(&both.0, buffer);
            return constructor(&both.1, buffer);
        }
    };
    buffer.put_u8(code);
}

/// The bytes behind what [`constructor`] puts.
fn payload(value: &Value, buffer: &mut BytesMut) {
    match value {
        Value::Null => {}
        Value::Bool(it) => buffer.put_u8((*it).into()),
        Value::Ubyte(it) => buffer.put_u8(*it),
        Value::Ushort(it) => buffer.put_u16(*it),
        Value::Uint(it) | Value::Float(it) => buffer.put_u32(*it),
        Value::Ulong(it) | Value::Double(it) => buffer.put_u64(*it),
        Value::Byte(it) => buffer.put_i8(*it),
        Value::Short(it) => buffer.put_i16(*it),
        Value::Int(it) => buffer.put_i32(*it),
        Value::Long(it) | Value::Timestamp(it) => buffer.put_i64(*it),
        Value::Decimal32(it) => buffer.put_slice(it),
        Value::Decimal64(it) => buffer.put_slice(it),
        Value::Decimal128(it) | Value::Uuid(it) => buffer.put_slice(it),
        Value::Char(it) => buffer.put_u32((*it).into()),
        Value::Binary(it) => long(it, buffer),
        Value::String(it) | Value::Symbol(it) => long(it.as_bytes(), buffer),
        Value::List(all) => sized(all.len(), buffer, |inside| {
            all.iter().for_each(|it| encode(it, inside));
        }),
        Value::Map(pairs) => sized(pairs.len() * 2, buffer, |inside| {
            for (key, value) in pairs {
                encode(key, inside);
                encode(value, inside);
            }
        }),
        Value::Array(all) => sized(all.len(), buffer, |inside| elements(all, inside)),
        Value::Described(both) => payload(&both.1, buffer),
    }
}

/// Bytes behind a length of one byte where that is enough, else of four.
fn short(code: u8, bytes: &[u8], buffer: &mut BytesMut) {
    match u8::try_from(bytes.len()) {
        Ok(length) => {
            buffer.put_slice(&[code, length]);
            buffer.put_slice(bytes);
        }
        Err(_) => {
            buffer.put_u8(code + 0x10);
            long(bytes, buffer);
        }
    }
}

/// Nothing that we send is 4 GiB long.
fn long(bytes: &[u8], buffer: &mut BytesMut) {
    buffer.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    buffer.put_slice(bytes);
}

fn compound(code: u8, count: usize, buffer: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let mut inside = BytesMut::new();
    fill(&mut inside);
    match (u8::try_from(inside.len() + 1), u8::try_from(count)) {
        (Ok(size), Ok(count)) => buffer.put_slice(&[code, size, count]),
        (_, _) => {
            buffer.put_u8(code + 0x10);
            sizes(inside.len(), count, buffer);
        }
    }
    buffer.put_slice(&inside);
}

fn sized(count: usize, buffer: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let mut inside = BytesMut::new();
    fill(&mut inside);
    sizes(inside.len(), count, buffer);
    buffer.put_slice(&inside);
}

fn sizes(inside: usize, count: usize, buffer: &mut BytesMut) {
    buffer.put_u32(u32::try_from(inside + 4).unwrap_or(u32::MAX));
    buffer.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}
