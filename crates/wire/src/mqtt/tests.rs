//! Tests of packets: each form of the standard byte by byte, what it forbids, and the way there and back.

use super::*;
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const LIMIT: usize = 1 << 18;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|it| !it.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decoded(bytes: &[u8]) -> Result<Option<Packet>, NotMqtt> {
    decode(&mut BytesMut::from(bytes), LIMIT)
}

/// The one packet in `bytes`, which end with it.
fn whole(bytes: &[u8]) -> Packet {
    let mut buffer = BytesMut::from(bytes);
    let packet = decode(&mut buffer, LIMIT).unwrap().unwrap();
    assert!(buffer.is_empty(), "{packet:?} leaves {buffer:?}");
    packet
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    encode(packet, &mut buffer).unwrap();
    buffer.to_vec()
}

fn connect() -> Connect {
    Connect {
        protocol_level: 4,
        clean_session: false,
        keep_alive_s: 60,
        client_id: "d1".into(),
        will: None,
        user_name: None,
        password: None,
    }
}

fn publish(qos: Qos, id: Option<u16>) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: "a/b".into(),
        id,
        payload: Bytes::from_static(b"hi"),
    }
}

/// Packets and their bytes, written by hand from the standard.
fn vectors() -> Vec<(&'static str, Packet)> {
    let will = Will {
        topic: "w".into(),
        payload: Bytes::from_static(b"x"),
        qos: Qos::AtLeastOnce,
        retain: true,
    };
    let full = Connect {
        clean_session: true,
        keep_alive_s: 240,
        will: Some(will),
        user_name: Some("u".into()),
        password: Some(Secret::new(b"p\0".to_vec())),
        ..connect()
    };
    let third = Connect { protocol_level: 3, clean_session: true, ..connect() };
    let nameless = Connect { client_id: String::new(), ..connect() };
    let again = Publish { dup: true, retain: true, ..publish(Qos::ExactlyOnce, Some(0x1234)) };
    let empty = Publish { payload: Bytes::new(), ..publish(Qos::AtLeastOnce, Some(1)) };
    let filters = vec![("a/+/b/#".to_owned(), Qos::AtMostOnce), ("#".into(), Qos::ExactlyOnce)];
    let granted = vec![Some(Qos::AtMostOnce), Some(Qos::AtLeastOnce), Some(Qos::ExactlyOnce), None];
    let accepted = Packet::ConnAck { session_present: true, code: ConnectCode::Accepted };
    let refused = Packet::ConnAck { session_present: false, code: ConnectCode::NotAuthorized };
    vec![
        ("10 0e 0004 4d515454 04 00 003c 0002 6431", Packet::Connect(connect())),
        ("10 0c 0004 4d515454 04 00 003c 0000", Packet::Connect(nameless)),
        ("10 10 0006 4d5149736470 03 02 003c 0002 6431", Packet::Connect(third)),
        (
            "10 1b 0004 4d515454 04 ee 00f0 0002 6431 0001 77 0001 78 0001 75 0002 7000",
            Packet::Connect(full),
        ),
        ("20 02 01 00", accepted),
        ("20 02 00 05", refused),
        ("30 07 0003 612f62 6869", Packet::Publish(publish(Qos::AtMostOnce, None))),
        ("32 09 0003 612f62 000a 6869", Packet::Publish(publish(Qos::AtLeastOnce, Some(10)))),
        ("3d 09 0003 612f62 1234 6869", Packet::Publish(again)),
        ("32 07 0003 612f62 0001", Packet::Publish(empty)),
        ("40 02 ffff", Packet::PubAck(65_535)),
        ("82 10 0007 0007 612f2b2f622f23 00 0001 23 02", Packet::Subscribe { id: 7, filters }),
        ("90 06 0007 00 01 02 80", Packet::SubAck { id: 7, granted }),
        (
            "a2 09 0100 0001 2b 0002 2f2b",
            Packet::Unsubscribe { id: 256, filters: vec!["+".into(), "/+".into()] },
        ),
        ("b0 02 0001", Packet::UnsubAck(1)),
        ("c0 00", Packet::PingReq),
        ("d0 00", Packet::PingResp),
        ("e0 00", Packet::Disconnect),
    ]
}

#[test]
fn packets_and_bytes_are_as_the_standard_has_them() {
    for (text, packet) in vectors() {
        assert_eq!(whole(&hex(text)), packet, "{text}");
        assert_eq!(encoded(&packet), hex(text), "{text}");
    }
}

#[test]
fn what_only_qos_2_has_is_read_as_its_type() {
    for (text, kind) in [("50 02 0001", 5), ("62 02 0001", 6), ("70 02 0001", 7)] {
        assert_eq!(whole(&hex(text)), Packet::Unsupported(kind), "{text}");
    }
    assert!(encoded(&Packet::Unsupported(5)).is_empty());
}

#[test]
fn what_the_standard_forbids_is_refused_with_a_sentence() {
    let cases = [
        ("00", "MQTT has no packet of type 0"),
        ("f0 00", "MQTT has no packet of type 15"),
        // The start of an HTTP request, of a TLS handshake, and of AMQP.
        ("47 4554", "PUBACK: its flags are not the ones that it must have"),
        ("16 030100", "CONNECT: its flags are not the ones that it must have"),
        ("41", "PUBACK: its flags are not the ones that it must have"),
        ("60", "PUBREL: its flags are not the ones that it must have"),
        ("80", "SUBSCRIBE: its flags are not the ones that it must have"),
        ("83", "SUBSCRIBE: its flags are not the ones that it must have"),
        ("a0", "UNSUBSCRIBE: its flags are not the ones that it must have"),
        ("c1", "PINGREQ: its flags are not the ones that it must have"),
        ("36", "PUBLISH: its flags ask for QoS 3"),
        ("38", "PUBLISH: its flags say DUP at QoS 0"),
        ("30 ff ff ff ff", "PUBLISH: its remaining length takes more than four bytes"),
        ("30 80 80 80 80 00", "PUBLISH: its remaining length takes more than four bytes"),
        ("30 00", "PUBLISH: its topic is cut off"),
        ("30 03 0002 61", "PUBLISH: its topic is cut off"),
        ("30 02 0000", "PUBLISH: its topic is empty"),
        ("30 03 0001 2b", "PUBLISH: its topic holds a wildcard"),
        ("30 05 0003 612f23", "PUBLISH: its topic holds a wildcard"),
        ("30 04 0002 6100", "PUBLISH: its topic holds the character U+0000"),
        ("30 04 0002 c328", "PUBLISH: its topic is not UTF-8"),
        // A surrogate, which UTF-8 does not have.
        ("30 05 0003 eda080", "PUBLISH: its topic is not UTF-8"),
        ("32 03 0001 61", "PUBLISH: its packet id is cut off"),
        ("32 05 0001 61 0000", "PUBLISH: its packet id is 0"),
        ("40 02 0000", "PUBACK: its packet id is 0"),
        ("40 01 00", "PUBACK: its packet id is cut off"),
        ("40 03 0001 00", "PUBACK: its body goes on behind its last field"),
        ("62 02 0000", "PUBREL: its packet id is 0"),
        ("c0 01 00", "PINGREQ: its body goes on behind its last field"),
        ("e0 01 00", "DISCONNECT: its body goes on behind its last field"),
        ("82 02 0001", "SUBSCRIBE: its list of filters is empty"),
        ("82 06 0000 0001 61 00", "SUBSCRIBE: its packet id is 0"),
        ("82 05 0001 0001 61", "SUBSCRIBE: its QoS is cut off"),
        ("82 06 0001 0001 61 03", "SUBSCRIBE: its QoS is none of 0, 1 and 2"),
        ("82 06 0001 0001 61 04", "SUBSCRIBE: its QoS is none of 0, 1 and 2"),
        ("82 05 0001 0000 00", "SUBSCRIBE: its filter is empty"),
        ("82 06 0001 0001 00 00", "SUBSCRIBE: its filter holds the character U+0000"),
        ("82 06 0001 0001 ff 00", "SUBSCRIBE: its filter is not UTF-8"),
        (
            "82 08 0001 0003 232f61 00",
            "SUBSCRIBE: its filter holds a `#` that is not its last level",
        ),
        (
            "82 07 0001 0002 6123 00",
            "SUBSCRIBE: its filter holds a wildcard that is not a whole level",
        ),
        (
            "82 07 0001 0002 612b 00",
            "SUBSCRIBE: its filter holds a wildcard that is not a whole level",
        ),
        (
            "a2 08 0001 0004 2b2b2f61",
            "UNSUBSCRIBE: its filter holds a wildcard that is not a whole level",
        ),
        ("a2 02 0001", "UNSUBSCRIBE: its list of filters is empty"),
        ("a2 04 0001 0000", "UNSUBSCRIBE: its filter is empty"),
        ("90 02 0001", "SUBACK: its list of codes is empty"),
        ("90 03 0001 03", "SUBACK: its code is none of MQTT 3.1.1"),
        ("20 02 00 06", "CONNACK: its code is none of MQTT 3.1.1"),
        ("20 02 02 00", "CONNACK: its flags set a reserved bit"),
        ("20 02 01 05", "CONNACK: its flags tell of a session although it refuses"),
        ("20 01 00", "CONNACK: its code is cut off"),
    ];
    for (text, sentence) in cases {
        assert_eq!(decoded(&hex(text)).unwrap_err().to_string(), sentence, "{text}");
    }
}

#[test]
fn a_connect_that_contradicts_itself_is_refused() {
    let cases = [
        ("0004 4d515454 04 01 003c 0000", "flags set the reserved bit"),
        ("0004 4d515454 04 1c 003c 0000 0001 77 0000", "flags ask for a will at QoS 3"),
        ("0004 4d515454 04 08 003c 0000", "flags describe a will that is not there"),
        ("0004 4d515454 04 20 003c 0000", "flags describe a will that is not there"),
        ("0004 4d515454 04 40 003c 0000 0000", "flags announce a password without a user name"),
        ("0004 4d515454 04 00 003c", "client id is cut off"),
        ("0004 4d515454 04 00 003c 0001", "client id is cut off"),
        ("0004 4d515454 04 00 003c 0001 00", "client id holds the character U+0000"),
        ("0004 4d515454 04 00 003c 0001 ff", "client id is not UTF-8"),
        ("0004 4d515454 04 04 003c 0000 0001 2b 0000", "will topic holds a wildcard"),
        ("0004 4d515454 04 04 003c 0000 0000 0000", "will topic is empty"),
        ("0004 4d515454 04 04 003c 0000 0001 61", "will message is cut off"),
        ("0004 4d515454 04 80 003c 0000", "user name is cut off"),
        ("0004 4d515454 04 80 003c 0000 0001 ff", "user name is not UTF-8"),
        ("0004 4d515454 04 c0 003c 0000 0000", "password is cut off"),
        ("0004 4d515454 04 00 003c 0000 00", "body goes on behind its last field"),
        ("0004 6d717474 04 00 003c 0000", "protocol name is not `MQTT`"),
        ("0006 4d5149736471 03 00 003c 0000", "protocol name is not `MQTT`"),
        ("0003 4d5154 04 00 003c 0000", "protocol name is not `MQTT`"),
        ("0004 4d515454", "protocol level is cut off"),
    ];
    for (text, fault) in cases {
        let body = hex(text);
        let mut bytes = vec![0x10, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        let sentence = format!("CONNECT: its {fault}");
        assert_eq!(decoded(&bytes).unwrap_err().to_string(), sentence, "{text}");
    }
}

#[test]
fn a_connect_of_another_version_is_known_by_its_level() {
    // As a client of MQTT 5 sends it, with a property that 3.1.1 does not have.
    let fifth = hex("10 14 0004 4d515454 05 02 003c 05 11 00000e10 0002 6431");
    assert_eq!(decoded(&fifth), Err(NotMqtt::ProtocolLevel(5)));
    for (name, level) in [("0004 4d515454", 3), ("0004 4d515454", 132), ("0006 4d5149736470", 4)] {
        let body = hex(&format!("{name} {level:02x} 02 003c 0000"));
        let bytes = [vec![0x10, u8::try_from(body.len()).unwrap()], body].concat();
        assert_eq!(decoded(&bytes), Err(NotMqtt::ProtocolLevel(level)));
    }
}

#[test]
fn a_packet_over_the_limit_is_refused_by_its_header() {
    let mut header = BytesMut::from(&hex("30 80 80 10")[..]);
    assert_eq!(decode(&mut header.clone(), LIMIT), Ok(None), "the limit itself is taken");
    let limit = LIMIT - 1;
    assert_eq!(decode(&mut header, limit), Err(NotMqtt::TooLong { bytes: LIMIT, limit }));
    let largest = hex("10 ff ff ff 7f");
    let bytes = REMAINING_BYTES_MAX;
    assert_eq!(decoded(&largest), Err(NotMqtt::TooLong { bytes, limit: LIMIT }));
    let sentence = "the packet is 268435455 bytes long, and at most 262144 are taken";
    assert_eq!(NotMqtt::TooLong { bytes, limit: LIMIT }.to_string(), sentence);
}

#[test]
fn a_header_alone_reserves_nothing() {
    let mut buffer = BytesMut::from(&hex("30 ff ff ff 7f")[..]);
    let before = buffer.capacity();
    assert_eq!(decode(&mut buffer, usize::MAX), Ok(None));
    assert_eq!(buffer.capacity(), before);
}

#[test]
fn filters_are_bounded() {
    let packet = |count| Packet::Unsubscribe { id: 1, filters: vec!["a".into(); count] };
    assert_eq!(whole(&encoded(&packet(FILTERS_MAX))), packet(FILTERS_MAX));
    let refusal = decoded(&encoded(&packet(FILTERS_MAX + 1))).unwrap_err().to_string();
    assert_eq!(refusal, format!("UNSUBSCRIBE: its list of filters is longer than {FILTERS_MAX}"));
}

#[test]
fn filters_with_whole_levels_are_taken() {
    for filter in ["+", "#", "/", "/+", "+/+", "a/#", "a//b", "+/a/#", "$iothub/twin/res/#", "é"] {
        let packet = Packet::Subscribe { id: 1, filters: vec![(filter.into(), Qos::AtLeastOnce)] };
        assert_eq!(whole(&encoded(&packet)), packet, "{filter}");
    }
}

#[test]
fn a_length_may_have_more_digits_than_it_needs() {
    assert_eq!(whole(&hex("c0 80 80 80 00")), Packet::PingReq);
}

#[test]
fn a_publish_shares_the_bytes_that_it_was_read_from() {
    let packet = Packet::Publish(publish(Qos::AtLeastOnce, Some(10)));
    let mut buffer = BytesMut::from(&encoded(&packet).repeat(2)[..]);
    let bytes = buffer.as_ptr_range();
    for _ in 0..2 {
        let Some(Packet::Publish(read)) = decode(&mut buffer, LIMIT).unwrap() else { panic!() };
        assert!(bytes.contains(&read.payload.as_ptr()), "the payload was copied");
        assert!(bytes.contains(&read.topic.as_ptr()), "the topic was copied");
    }
}

#[test]
fn a_password_prints_as_stars() {
    let connect = Connect {
        user_name: Some("u".into()),
        password: Some(Secret::new(b"sesame".to_vec())),
        ..connect()
    };
    let printed = format!("{:?}", whole(&encoded(&Packet::Connect(connect))));
    assert!(printed.contains("***") && !printed.contains("115, 101"), "{printed}");
}

#[test]
fn what_cannot_be_announced_is_not_written() {
    let mut buffer = BytesMut::from(&b"before"[..]);
    let topic = "t".repeat(65_536);
    let publish = Publish { topic: topic.clone().into(), ..publish(Qos::AtMostOnce, None) };
    let too_long = encode(&Packet::Publish(publish), &mut buffer).unwrap_err();
    assert_eq!(too_long, TooLong { field: "topic", bytes: 65_536, limit: 65_535 });
    assert_eq!(too_long.to_string(), "the topic is 65536 bytes long, and MQTT can carry 65535");
    let connect = Connect { user_name: Some(topic), ..connect() };
    assert_eq!(encode(&Packet::Connect(connect), &mut buffer).unwrap_err().field, "user name");
    // Zeros that nobody reads take no memory.
    let payload = vec![0; REMAINING_BYTES_MAX - 4].into();
    let publish = Publish { topic: "abc".into(), payload, ..self::publish(Qos::AtMostOnce, None) };
    let too_long = encode(&Packet::Publish(publish), &mut buffer).unwrap_err();
    assert_eq!((too_long.field, too_long.bytes), ("body", REMAINING_BYTES_MAX + 1));
    assert_eq!(buffer, b"before"[..]);
}

#[test]
fn a_publish_without_an_id_goes_out_at_qos_0() {
    let odd = Publish { dup: true, ..publish(Qos::AtLeastOnce, None) };
    let plain = Packet::Publish(publish(Qos::AtMostOnce, None));
    assert_eq!(whole(&encoded(&Packet::Publish(odd))), plain);
    let odd = publish(Qos::AtMostOnce, Some(3));
    assert_eq!(whole(&encoded(&Packet::Publish(odd))), plain);
}

fn any_qos() -> impl Strategy<Value = Qos> + Clone {
    prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)]
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn any_filter() -> impl Strategy<Value = String> {
    "(\\+|[ -~&&[^+#/]]{0,9}é)(/(\\+|[a-z$]{0,5})){0,3}(/#)?"
}

fn any_connect() -> impl Strategy<Value = Packet> {
    let will = ("[a-z/é]{1,20}", any_bytes(), any_qos(), any::<bool>())
        .prop_map(|(topic, payload, qos, retain)| Will { topic, payload, qos, retain });
    let access = option::of(("[ -~é]{0,40}", option::of(any_bytes())));
    (3..=4_u8, any::<bool>(), any::<u16>(), "[ -~é√]{0,40}", option::of(will), access).prop_map(
        |(protocol_level, clean_session, keep_alive_s, client_id, will, access)| {
            let (user_name, password) = access.unzip();
            let password = password.flatten().map(|it| Secret::new(it.to_vec()));
            Packet::Connect(Connect {
                protocol_level,
                clean_session,
                keep_alive_s,
                client_id,
                will,
                user_name,
                password,
            })
        },
    )
}

fn any_publish() -> impl Strategy<Value = Packet> {
    let fields = (any::<bool>(), any_qos(), any::<bool>(), "[ -~é√&&[^+#]]{1,60}", 1..=u16::MAX);
    (fields, any_bytes()).prop_map(|((dup, qos, retain, topic, id), payload)| {
        let has_id = qos != Qos::AtMostOnce;
        Packet::Publish(Publish {
            dup: dup && has_id,
            qos,
            retain,
            topic: topic.into(),
            id: has_id.then_some(id),
            payload,
        })
    })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let id = 1..=u16::MAX;
    prop_oneof![
        any_connect(),
        any_publish(),
        id.clone().prop_map(Packet::PubAck),
        id.clone().prop_map(Packet::UnsubAck),
        (id.clone(), vec((any_filter(), any_qos()), 1..9))
            .prop_map(|(id, filters)| Packet::Subscribe { id, filters }),
        (id.clone(), vec(any_filter(), 1..9))
            .prop_map(|(id, filters)| Packet::Unsubscribe { id, filters }),
        (id, vec(option::of(any_qos()), 1..200))
            .prop_map(|(id, granted)| Packet::SubAck { id, granted }),
        Just(Packet::PingReq),
        Just(Packet::Disconnect),
    ]
}

proptest! {
    #[test]
    fn what_was_written_reads_back(packets in vec(any_packet(), 1..5)) {
        let bytes: Vec<u8> = packets.iter().flat_map(encoded).collect();
        let mut buffer = BytesMut::from(&bytes[..]);
        for packet in &packets {
            let read = decode(&mut buffer, LIMIT).unwrap();
            prop_assert_eq!(read.as_ref(), Some(packet));
        }
        prop_assert_eq!(decode(&mut buffer, LIMIT), Ok(None));
        // Fed byte by byte, the same packets come out, each with its last byte.
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            let before = buffer.len();
            match decode(&mut buffer, LIMIT).unwrap() {
                Some(packet) => read.push(packet),
                None => prop_assert_eq!(buffer.len(), before, "nothing is taken in part"),
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(read, packets);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        first in any::<u8>(),
        rest in vec(any::<u8>(), 0..80),
        is_framed in any::<bool>(),
        limit in 0..100_usize,
    ) {
        let length = u8::try_from(rest.len()).unwrap();
        let bytes = match is_framed {
            true => [vec![first, length], rest].concat(),
            false => [vec![first], rest].concat(),
        };
        let mut buffer = BytesMut::from(&bytes[..]);
        match decode(&mut buffer, limit) {
            Ok(Some(packet)) => {
                let read = bytes.len() - buffer.len();
                prop_assert_eq!(&buffer, &bytes[read..], "only the front is taken");
                if !matches!(packet, Packet::Unsupported(_)) {
                    prop_assert_eq!(whole(&encoded(&packet)), packet);
                }
            }
            Ok(None) => prop_assert_eq!(&buffer, &bytes),
            Err(NotMqtt::TooLong { bytes, .. }) => prop_assert!(bytes > limit),
            Err(_) => {}
        }
    }

    /// One changed byte makes another packet, an error or a longer packet, never a panic.
    #[test]
    fn a_changed_byte_is_read_or_refused(packet in any_packet(), place: usize, byte: u8) {
        let mut bytes = encoded(&packet);
        let place = place % bytes.len();
        bytes[place] = byte;
        let _ = decoded(&bytes);
    }
}
