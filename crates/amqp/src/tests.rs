//! Values, frames and messages: there and back, and what is none.

use crate::message::{Body, Header, Message, Properties};
use crate::performative::{
    Attach, Begin, Condition, Disposition, Flow, NotAFrame, Open, Outcome, Performative, Role,
    Terminus, Transfer, read, write,
};
use crate::{NotAValue, Value, decode, encode};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

fn bytes_of(value: &Value) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    encode(value, &mut buffer);
    buffer.to_vec()
}

fn value_of(bytes: &[u8]) -> Result<Value, NotAValue> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let value = decode(&mut bytes)?;
    assert!(bytes.is_empty(), "{bytes:?} is left of {value:?}");
    Ok(value)
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        any::<u32>().prop_map(Value::Uint),
        (0_u32..300).prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Ulong),
        (0_u64..300).prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Int),
        (-200_i32..200).prop_map(Value::Int),
        any::<i64>().prop_map(Value::Long),
        (-200_i64..200).prop_map(Value::Long),
        any::<u32>().prop_map(Value::Float),
        any::<u64>().prop_map(Value::Double),
        any::<char>().prop_map(Value::Char),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|it| Value::Binary(it.into())),
        "\\PC{0,300}".prop_map(Value::String),
        "[ -~]{0,300}".prop_map(Value::Symbol),
        prop::collection::vec("[a-z]{0,9}".prop_map(Value::Symbol), 0..40).prop_map(Value::Array),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
            (any::<u64>(), inner).prop_map(|(number, it)| Value::described(number, it)),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_reads_back_as_it_was_written(value in values()) {
        prop_assert_eq!(value_of(&bytes_of(&value)), Ok(value));
    }

    #[test]
    fn a_cut_value_is_none(value in values(), cut in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&value);
        prop_assert!(value_of(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

#[test]
fn values_have_the_bytes_of_the_standard() {
    let check = |value: Value, bytes: &[u8]| {
        assert_eq!(bytes_of(&value), bytes, "{value:?}");
        assert_eq!(value_of(bytes), Ok(value));
    };
    check(Value::Ulong(0), &[0x44]);
    check(Value::Uint(255), &[0x52, 255]);
    check(Value::Uint(256), &[0x70, 0, 0, 1, 0]);
    check(Value::Long(-1), &[0x55, 0xff]);
    check(Value::symbol("ab"), &[0xa3, 2, b'a', b'b']);
    // One element is an array all the same, and has the wide form of its type.
    let one = Value::Array(vec![Value::symbol("ab")]);
    check(one, &[0xe0, 8, 1, 0xb3, 0, 0, 0, 2, b'a', b'b']);
    check(Value::List(vec![Value::Null, Value::Null]), &[0xc0, 3, 2, 0x40, 0x40]);
    check(Value::described(0x24, Value::List(Vec::new())), &[0, 0x53, 0x24, 0x45]);
}

#[test]
fn what_is_no_value_is_refused_before_it_takes_room() {
    let check = |bytes: &[u8], expected: NotAValue| assert_eq!(value_of(bytes), Err(expected));
    check(&[], NotAValue::Short);
    check(&[0x3f], NotAValue::Code(0x3f));
    check(&[0xb1, 0xff, 0xff, 0xff, 0xff, b'a'], NotAValue::Short);
    // Four billion nothings.
    check(&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40], NotAValue::Many);
    check(&[0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], NotAValue::Short);
    check(&[0xc1, 2, 1, 0x40], NotAValue::Malformed("a map has a key without a value"));
    check(&[0x56, 2], NotAValue::Malformed("a boolean is neither 0 nor 1"));
    check(&[0xa1, 1, 0xff], NotAValue::Malformed("a string is not UTF-8"));
    check(&[0xa3, 2, 0xc3, 0xa4], NotAValue::Malformed("a symbol is not ASCII"));
    let behind = "a compound value has bytes behind its last element";
    check(&[0xc0, 3, 1, 0x40, 0x40], NotAValue::Malformed(behind));
    // A descriptor that every element would copy.
    let mut forged = vec![0xf0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0xa3, 100];
    forged.extend([b'x'; 100]);
    forged.push(0x40);
    let inside = u8::try_from(forged.len() - 5).unwrap();
    forged[4] = inside;
    let what = "the descriptor of an array is no number or short symbol";
    check(&forged, NotAValue::Malformed(what));
}

#[test]
fn values_lie_in_each_other_only_so_deep() {
    for (open, lists) in [(&[0_u8, 0x53, 1][..], false), (&[0xd0, 0, 0, 0, 0, 0, 0, 0, 1], true)] {
        let mut deep = open.repeat(10_000);
        if lists {
            // Sizes fit, so that only the depth is at fault.
            for at in 0..10_000 {
                let size = u32::try_from((10_000 - at) * 9 - 4).unwrap();
                deep[at * 9 + 1..at * 9 + 5].copy_from_slice(&size.to_be_bytes());
            }
        }
        deep.push(0x40);
        assert_eq!(value_of(&deep), Err(NotAValue::Deep));
    }
}

fn frames() -> Vec<Performative> {
    let error = Condition::new("amqp:not-found", "nothing there").with("port", Value::Int(5671));
    let filter = Value::Map(vec![(Value::symbol("f"), Value::string("x > '1'"))]);
    vec![
        Performative::Open(Open {
            container_id: "c".into(),
            hostname: Some("127.0.0.1".into()),
            max_frame_size: Some(65_536),
            channel_max: Some(255),
            idle_time_out: Some(240_000),
        }),
        Performative::Begin(Begin { remote_channel: Some(0), ..Begin::default() }),
        Performative::Attach(Box::new(Attach {
            name: "l".into(),
            handle: 3,
            role: Role::Receiver,
            sender_settles: 1,
            receiver_settles: 0,
            source: Terminus { address: Some("a".into()), is_dynamic: false, filter: Some(filter) },
            target: Terminus { address: None, is_dynamic: true, filter: None },
            initial_delivery_count: Some(0),
            max_message_size: Some(1),
            desired_capabilities: Value::symbol("c"),
            properties: Value::Map(Vec::new()),
        })),
        Performative::Flow(Flow { link_credit: Some(300), drain: true, ..Flow::default() }),
        Performative::Transfer(Transfer {
            handle: 1,
            delivery_id: Some(7),
            delivery_tag: Some(Bytes::from_static(b"t")),
            message_format: Some(0),
            settled: Some(true),
            more: true,
            aborted: false,
            payload: Bytes::from_static(b"body"),
        }),
        Performative::Disposition(Disposition {
            role: Role::Receiver,
            first: 1,
            last: Some(2),
            settled: true,
            outcome: Some(Outcome::Rejected(Some(error.clone()))),
        }),
        Performative::Disposition(Disposition {
            role: Role::Sender,
            first: 1,
            last: None,
            settled: false,
            outcome: Some(Outcome::Modified { is_failed: true, is_undeliverable: false }),
        }),
        Performative::Detach { handle: 9, closed: true, error: Some(error.clone()) },
        Performative::End(None),
        Performative::Close(Some(error)),
        Performative::Mechanisms(vec!["ANONYMOUS".into()]),
        Performative::Init {
            mechanism: "PLAIN".into(),
            response: Some(Bytes::from_static(b"\0a\0b")),
            hostname: None,
        },
        Performative::Outcome(1),
    ]
}

/// How many fields of a performative its readers look at by position.
const COUNTS: &[(u64, usize)] = &[
    (0x10, 10),
    (0x11, 8),
    (0x12, 14),
    (0x13, 11),
    (0x14, 11),
    (0x15, 6),
    (0x16, 3),
    (0x17, 1),
    (0x18, 1),
    (0x40, 1),
    (0x41, 3),
    (0x44, 2),
];

#[test]
fn frames_read_back_as_they_were_written_and_leave_no_field_out() {
    for frame in frames() {
        let mut buffer = BytesMut::new();
        write(&frame, &mut buffer);
        let mut bytes = buffer.freeze();
        let Ok(Value::Described(both)) = decode(&mut bytes.clone()) else { panic!("{frame:?}") };
        let (Value::Ulong(number), Value::List(fields)) = *both else { panic!("{frame:?}") };
        let count = COUNTS.iter().find(|(it, _)| *it == number).unwrap().1;
        assert_eq!(fields.len(), count, "{frame:?}");
        assert_eq!(read(&mut bytes), Ok(frame));
    }
}

#[test]
fn a_frame_may_end_early_but_not_before_what_it_must_have() {
    let check = |bytes: &[u8]| read(&mut Bytes::copy_from_slice(bytes));
    let open = Open { container_id: "c".into(), ..Open::default() };
    assert_eq!(check(&[0, 0x53, 0x10, 0xc0, 4, 1, 0xa1, 1, b'c']), Ok(Performative::Open(open)));
    assert_eq!(check(&[0, 0x53, 0x10, 0x45]), Err(NotAFrame::Field("container-id")));
    assert_eq!(check(&[0, 0x53, 0x15, 0xc0, 2, 1, 0x43]), Err(NotAFrame::Field("role")));
    assert_eq!(check(&[0, 0x53, 0x99, 0x45]), Err(NotAFrame::Descriptor));
    assert_eq!(check(&[0x45]), Err(NotAFrame::Descriptor));
    // A negative time out, and one that is no number.
    for wrong in [&[0x54, 0xff][..], &[0x82, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]] {
        let mut bytes = vec![0, 0x53, 0x10, 0xc0, 0, 5, 0xa1, 1, b'c', 0x40, 0x40, 0x40];
        bytes.extend(wrong);
        bytes[4] = u8::try_from(bytes.len() - 5).unwrap();
        assert_eq!(check(&bytes), Err(NotAFrame::Field("idle-time-out")));
    }
}

#[test]
fn a_message_reads_back_as_it_was_written() {
    let message = Message {
        header: Some(Header {
            durable: true,
            priority: Some(4),
            ttl: Some(60_000),
            delivery_count: 2,
        }),
        delivery_annotations: vec![(Value::symbol("d"), Value::Long(1))],
        annotations: vec![(Value::symbol("x-opt-offset"), Value::string("12"))],
        properties: Properties {
            message_id: Value::Ulong(0),
            user_id: Some(Bytes::from_static(b"u")),
            to: Some("/devices/d".into()),
            correlation_id: Value::Uuid([7; 16]),
            content_type: Some("application/json".into()),
            absolute_expiry_time: Some(1_700_000_000_000),
            group_id: Some("s".into()),
            group_sequence: Some(3),
            ..Properties::default()
        },
        application: vec![(Value::string("level"), Value::Int(3))],
        body: Body::Data(vec![Bytes::from_static(b"{}"), Bytes::from_static(b"x")]),
    };
    let bytes = message.write();
    assert_eq!(Message::read(bytes.clone()), Ok(message.clone()));
    assert_eq!(message.data(), Some(Bytes::from_static(b"{}x")));
    assert_eq!(message.property("level"), Some(&Value::Int(3)));
    for length in 1..bytes.len() {
        // A cut between two sections is a shorter message; no other cut is one.
        drop(Message::read(bytes.slice(..length)));
    }
    assert_eq!(Message::read(Message::default().write()), Ok(Message::default()));
    let sections = [0, 0x53, 0x75, 0xa0, 0].repeat(1_025);
    assert_eq!(Message::read(sections.into()), Err(NotAValue::Many));
}
