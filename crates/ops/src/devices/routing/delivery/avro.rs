//! Messages as Avro's object container files.
//!
//! Each message is a block of its own, so that files are cut between any two. Source: Apache Avro 1.11, "Specification",
//! "Binary Encoding" and "Object Container Files".

use serde_json::json;
use std::collections::BTreeMap;

/// What stands behind each block of a file.
pub(super) type Mark = [u8; 16];

/// What a file begins with: what its messages look like.
pub(super) fn head(mark: Mark) -> Vec<u8> {
    let texts = json!({ "type": "map", "values": "string" });
    let schema = json!({
        "type": "record",
        "name": "Message",
        "fields": [
            { "name": "EnqueuedTimeUtc", "type": "string" },
            { "name": "Properties", "type": texts },
            { "name": "SystemProperties", "type": texts },
            { "name": "Body", "type": "bytes" },
        ],
    });
    let mut head = b"Obj\x01".to_vec();
    let about = [("avro.codec", "null".to_owned()), ("avro.schema", schema.to_string())];
    map(&mut head, &about.into());
    head.extend(mark);
    head
}

/// A block of one message.
pub(super) fn message(
    enqueued: &str,
    own: &BTreeMap<&str, String>,
    system: &BTreeMap<&str, String>,
    body: &[u8],
    mark: Mark,
) -> Vec<u8> {
    let mut record = Vec::with_capacity(body.len() + 1_024);
    bytes(&mut record, enqueued.as_bytes());
    map(&mut record, own);
    map(&mut record, system);
    bytes(&mut record, body);
    let mut block = Vec::with_capacity(record.len() + 32);
    long(&mut block, 1);
    bytes(&mut block, &record);
    block.extend(mark);
    block
}

/// A block of all entries, unless there are none, and the end.
fn map(to: &mut Vec<u8>, entries: &BTreeMap<&str, String>) {
    if !entries.is_empty() {
        long(to, entries.len());
    }
    for (name, value) in entries {
        bytes(to, name.as_bytes());
        bytes(to, value.as_bytes());
    }
    long(to, 0);
}

fn bytes(to: &mut Vec<u8>, it: &[u8]) {
    long(to, it.len());
    to.extend(it);
}

/// A number that is not negative: doubled, seven bits in each byte from the lowest on, and a bit where more follow.
fn long(to: &mut Vec<u8>, it: usize) {
    let mut rest = (it as u64) << 1;
    while rest > 0x7f {
        let [low, ..] = rest.to_le_bytes();
        to.push(low | 0x80);
        rest >>= 7;
    }
    let [last, ..] = rest.to_le_bytes();
    to.push(last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_written_as_the_specification_has_them() {
        let of = |it: usize| {
            let mut to = Vec::new();
            long(&mut to, it);
            to
        };
        let expected: [(usize, &[u8]); 6] = [
            (0, &[0]),
            (1, &[2]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
            (8_191, &[0xfe, 0x7f]),
            (8_192, &[0x80, 0x80, 1]),
        ];
        for (number, bytes) in expected {
            assert_eq!(of(number), bytes, "{number}");
        }
        let own = [("a", "foo".to_owned())].into();
        let block = message("t", &own, &BTreeMap::new(), b"xy", [7; 16]);
        let record = b"\x02t\x02\x02a\x06foo\x00\x00\x04xy";
        let expected = [&[2, 28][..], record, &[7; 16]].concat();
        assert_eq!(block, expected);
        assert!(head([7; 16]).starts_with(b"Obj\x01\x04\x14avro.codec\x08null\x16avro.schema"));
    }
}
