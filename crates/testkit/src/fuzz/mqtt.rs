//! Packets of MQTT.

use bytes::BytesMut;
use wire::mqtt::{NotMqtt, Packet, decode, encode};

const LIMIT: usize = 1 << 16;

/// The bytes are what a peer sends. Reading them does not panic, takes whole packets and nothing else off
/// the front, finds the same packets in whatever pieces the bytes come, and what was read is written as it
/// came and read again.
pub fn mqtt(bytes: &[u8]) {
    let (packets, end) = read(bytes, bytes.len());
    let mut rest = bytes;
    for packet in &packets {
        let (came, behind) = rest.split_at(whole_bytes(rest));
        rest = behind;
        let mut written = BytesMut::new();
        encode(packet, &mut written).unwrap();
        if matches!(packet, Packet::Unsupported(_)) {
            assert!(written.is_empty());
            continue;
        }
        // All but its length, which may have come with more digits than it needs.
        assert_eq!(written[0], came[0], "{packet:?}");
        assert_eq!(written[body_from(&written)..], came[body_from(came)..], "{packet:?}");
        let again = decode(&mut written, LIMIT).unwrap();
        assert_eq!(again.as_ref(), Some(packet));
        assert!(written.is_empty(), "{packet:?} was written with {written:?} behind it");
    }
    let piece = bytes.first().map_or(1, |it| usize::from(it % 7) + 1);
    assert_eq!(read(bytes, piece), (packets, end));
}

/// How many bytes the packet at the front takes. It was read, so it is whole.
fn whole_bytes(bytes: &[u8]) -> usize {
    let from = body_from(bytes);
    let digits = bytes[1..from].iter().rev();
    from + digits.fold(0, |length, digit| length << 7 | usize::from(digit & 0x7f))
}

/// Where its body starts.
fn body_from(bytes: &[u8]) -> usize {
    2 + bytes[1..].iter().take_while(|it| **it & 0x80 != 0).count()
}

/// The packets in bytes that come in pieces, and the error behind them if there is one.
fn read(bytes: &[u8], piece: usize) -> (Vec<Packet>, Option<NotMqtt>) {
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.clone();
            match decode(&mut buffer, LIMIT) {
                Ok(Some(packet)) => {
                    assert!(buffer.len() < before.len() && before.ends_with(&buffer));
                    packets.push(packet);
                }
                Ok(None) => {
                    assert_eq!(buffer, before, "part of a packet was taken");
                    break;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    return (packets, Some(error));
                }
            }
        }
    }
    (packets, None)
}
