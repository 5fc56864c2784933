//! A connection from the first byte on, with a peer that says what it likes.

use crate::connection::{CHANNEL_MAX, FRAME_BYTES_MAX, LINKS_MAX, PARTIAL_BYTES_MAX};
use crate::performative::{
    Attach, Begin, Condition, Disposition, Flow, Open, Outcome, Performative, Role, Terminus,
    Transfer, read, write,
};
use crate::{Connection, Event, LinkId, Value};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const MESSAGE_BYTES_MAX: usize = 300_000;
const LINK: LinkId = LinkId { channel: 0, handle: 0 };

struct Peer(Connection);

impl Peer {
    fn new() -> Self {
        let mechanisms = &["MSSBCBS", "PLAIN", "ANONYMOUS"];
        Self(Connection::new("server".into(), mechanisms, MESSAGE_BYTES_MAX))
    }

    /// A connection that is open, with a session on channel 0.
    fn open() -> Self {
        let mut peer = Self::new();
        peer.0.feed(b"AMQP\0\x01\0\0");
        let open =
            Open { container_id: "c".into(), max_frame_size: Some(1_024), ..Open::default() };
        assert!(matches!(peer.says(0, &Performative::Open(open))[..], [Event::Opened(_)]));
        peer.begins(0);
        peer.0.take_outgoing();
        peer
    }

    fn begins(&mut self, channel: u16) -> Vec<Event> {
        let begin = Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() };
        self.says(channel, &Performative::Begin(begin))
    }

    fn attaches(&mut self, handle: u32, role: Role) -> Vec<Event> {
        let at = |it: &str| Terminus { address: Some(it.to_owned()), ..Terminus::default() };
        let attach = Attach {
            name: format!("link-{handle}"),
            handle,
            role,
            sender_settles: 2,
            receiver_settles: 0,
            source: at("source"),
            target: at("target"),
            initial_delivery_count: (role == Role::Sender).then_some(0),
            max_message_size: None,
            desired_capabilities: Value::Null,
            properties: Value::Null,
        };
        self.says(0, &Performative::Attach(Box::new(attach)))
    }

    fn sends(&mut self, id: u32, payload: &[u8], more: bool) -> Vec<Event> {
        let transfer = Transfer {
            delivery_id: Some(id),
            delivery_tag: Some(Bytes::from_static(b"t")),
            more,
            payload: Bytes::copy_from_slice(payload),
            ..Transfer::default()
        };
        self.says(0, &Performative::Transfer(transfer))
    }

    fn says(&mut self, channel: u16, performative: &Performative) -> Vec<Event> {
        let mut frame = BytesMut::from(&[0, 0, 0, 0, 2, 0][..]);
        let is_sasl = matches!(performative, Performative::Init { .. } | Performative::Response(_));
        frame[5] = is_sasl.into();
        frame.put_u16(channel);
        write(performative, &mut frame);
        let size = u32::try_from(frame.len()).unwrap();
        frame[..4].copy_from_slice(&size.to_be_bytes());
        self.0.feed(&frame);
        self.events()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.0.next_event()).collect()
    }

    /// The frames that we are answered with.
    fn hears(&mut self) -> Vec<Performative> {
        let mut bytes = self.0.take_outgoing().freeze();
        let mut all = Vec::new();
        while !bytes.is_empty() {
            if bytes.starts_with(b"AMQP") {
                bytes.advance(8);
                continue;
            }
            let size = bytes.clone().get_u32();
            let mut frame = bytes.split_to(usize::try_from(size).unwrap());
            frame.advance(8);
            if !frame.is_empty() {
                all.push(read(&mut frame).unwrap());
            }
        }
        all
    }

    /// The condition with which it all ends.
    #[track_caller]
    fn is_closed_for(&mut self, events: &[Event]) -> String {
        let Some(Event::Failed(condition)) = events.last() else { panic!("{events:?}") };
        let heard = self.hears();
        assert_eq!(heard.last(), Some(&Performative::Close(Some(condition.clone()))));
        assert!(self.0.is_over());
        condition.condition.clone()
    }
}

#[test]
fn a_peer_comes_in_with_sasl_or_without() {
    let mut peer = Peer::new();
    peer.0.feed(b"AMQP\x03\x01\0\0");
    assert_eq!(peer.events(), []);
    let offered = ["MSSBCBS", "PLAIN", "ANONYMOUS"].map(str::to_owned).to_vec();
    assert_eq!(peer.hears(), [Performative::Mechanisms(offered)]);
    let response = Some(Bytes::from_static(b"x"));
    let init = |mechanism: &str| Performative::Init {
        mechanism: mechanism.to_owned(),
        response: response.clone(),
        hostname: None,
    };
    let told = Event::Sasl { mechanism: "PLAIN".into(), response: response.clone() };
    assert_eq!(peer.says(0, &init("PLAIN")), [told]);
    peer.0.sasl(true);
    assert_eq!(peer.hears(), [Performative::Outcome(0)]);
    peer.0.feed(b"AMQP\0\x01\0\0");
    let open = Open { container_id: "c".into(), ..Open::default() };
    assert_eq!(peer.says(0, &Performative::Open(open.clone())), [Event::Opened(open)]);
    assert!(matches!(peer.hears()[..], [Performative::Open(_)]));

    // What was not offered is refused here.
    let mut peer = Peer::new();
    peer.0.feed(b"AMQP\x03\x01\0\0");
    assert_eq!(peer.events(), []);
    assert_eq!(peer.says(0, &init("GSSAPI")), []);
    assert!(peer.hears().contains(&Performative::Outcome(1)) && peer.0.is_over());

    // Challenges fit the smallest frame, and are answered one by one.
    let mut peer = Peer::new();
    peer.0.feed(b"AMQP\x03\x01\0\0");
    assert_eq!(peer.events(), []);
    peer.says(0, &init("PLAIN"));
    peer.hears();
    let challenge = Bytes::from(vec![7; super::CHALLENGE_BYTES_MAX]);
    for _ in 0..2 {
        peer.0.challenge(challenge.clone());
        let outgoing = peer.0.outgoing_bytes();
        assert!((500..=512).contains(&outgoing), "{outgoing}");
        assert_eq!(peer.hears(), [Performative::Challenge(challenge.clone())]);
        let response = Bytes::from_static(b"\0y");
        let told = peer.says(0, &Performative::Response(response.clone()));
        assert_eq!(told, [Event::SaslResponse(response)]);
    }
    assert!(matches!(peer.says(0, &init("PLAIN"))[..], [Event::Failed(_)]) && peer.0.is_over());

    // A response to nothing.
    let mut peer = Peer::new();
    peer.0.feed(b"AMQP\x03\x01\0\0");
    assert_eq!(peer.events(), []);
    let response = Performative::Response(Bytes::new());
    assert!(matches!(peer.says(0, &response)[..], [Event::Failed(_)]) && peer.0.is_over());

    // Other protocols learn which one this is.
    for first in [&b"GET / HT"[..], b"AMQP\0\0\x09\x01", b"\x10\x0c\0\x04MQTT"] {
        let mut peer = Peer::new();
        peer.0.feed(first);
        assert!(matches!(peer.events()[..], [Event::Failed(_)]) && peer.0.is_over());
        assert_eq!(&peer.0.take_outgoing()[..], b"AMQP\0\x01\0\0");
    }
}

#[test]
fn messages_come_whole_in_whatever_parts() {
    let mut peer = Peer::open();
    assert!(matches!(peer.attaches(0, Role::Sender)[..], [Event::Attached { link: LINK, .. }]));
    peer.0.accept(LINK, 2);
    let heard = peer.hears();
    let [Performative::Attach(answer), Performative::Flow(flow)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!((answer.role, answer.handle), (Role::Receiver, 0));
    assert_eq!((flow.link_credit, flow.handle), (Some(2), Some(0)));
    assert_eq!(peer.sends(5, b"first ", true), []);
    let events = peer.sends(5, b"second", false);
    let [Event::Delivery { link: LINK, delivery }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((delivery.id, &delivery.payload[..]), (5, &b"first second"[..]));
    peer.0.settle(LINK, 5, Outcome::Accepted);
    let accepted = Disposition {
        role: Role::Receiver,
        first: 5,
        last: Some(5),
        settled: true,
        outcome: Some(Outcome::Accepted),
    };
    assert_eq!(peer.hears(), [Performative::Disposition(accepted)]);
    assert_eq!(peer.0.credit(LINK), 1);
    assert_eq!(peer.sends(6, b"x", false).len(), 1);
    // One past the credit: the link goes, the connection stays.
    assert_eq!(peer.sends(7, b"x", false), [Event::Detached { link: LINK, error: None }]);
    let heard = peer.hears();
    let [Performative::Detach { error: Some(error), .. }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(error.condition, "amqp:link:transfer-limit-exceeded");
    // What was under way when it went is nothing.
    assert_eq!(peer.sends(8, b"x", false), []);
    assert_eq!(peer.says(0, &Performative::Detach { handle: 0, closed: true, error: None }), []);
    assert_eq!(peer.hears(), []);
    assert!(peer.attaches(0, Role::Sender).len() == 1);
}

/// Threat 43.
#[test]
fn a_message_that_never_ends_takes_no_room_for_ever() {
    let mut peer = Peer::open();
    peer.attaches(0, Role::Sender);
    peer.0.accept(LINK, 9);
    peer.0.take_outgoing();
    let part = vec![0; 50_000];
    for _ in 0..MESSAGE_BYTES_MAX / part.len() {
        assert_eq!(peer.sends(1, &part, true), []);
    }
    assert_eq!(peer.sends(1, &part, true), [Event::Detached { link: LINK, error: None }]);
    let heard = peer.hears();
    let [Performative::Detach { error: Some(error), .. }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(error.condition, "amqp:link:message-size-exceeded");

    // Nor do many of them together.
    let mut peer = Peer::open();
    let mut sent = 0;
    for handle in 0..100 {
        peer.attaches(handle, Role::Sender);
        peer.0.accept(LinkId { channel: 0, handle }, 9);
        for _ in 0..5 {
            let transfer = Transfer {
                handle,
                delivery_id: Some(handle),
                delivery_tag: Some(Bytes::new()),
                more: true,
                payload: part.clone().into(),
                ..Transfer::default()
            };
            sent += part.len();
            let events = peer.says(0, &Performative::Transfer(transfer));
            if !events.is_empty() {
                assert!(sent > PARTIAL_BYTES_MAX && sent <= PARTIAL_BYTES_MAX + part.len());
                assert_eq!(peer.is_closed_for(&events), "amqp:resource-limit-exceeded");
                return;
            }
        }
    }
    panic!("{sent} bytes were taken");
}

#[test]
fn messages_go_within_credit_and_window() {
    let mut peer = Peer::open();
    peer.attaches(0, Role::Receiver);
    peer.0.accept(LINK, 0);
    let heard = peer.hears();
    assert!(
        matches!(&heard[..], [Performative::Attach(it)] if it.role == Role::Sender),
        "{heard:?}"
    );
    assert!(!peer.0.can_send(LINK));
    let flow = Flow {
        next_incoming_id: Some(0),
        incoming_window: 2,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(2),
        ..Flow::default()
    };
    let credit = Event::Credit { link: LINK, drain: false };
    assert_eq!(peer.says(0, &Performative::Flow(flow.clone())), std::slice::from_ref(&credit));
    // Frames of the peer hold 1,024 bytes: this takes three, and the window has room for two.
    let long = Bytes::from(vec![7; 2_000]);
    assert_eq!(peer.0.send(LINK, Bytes::from_static(b"t"), &long, 0, false), Some(0));
    assert!(peer.0.outgoing_bytes() <= 2 * 1_024);
    assert_eq!(peer.hears().len(), 2);
    assert!(!peer.0.can_send(LINK));
    let wider = Flow { next_incoming_id: Some(2), incoming_window: 2, ..flow };
    let events = peer.says(0, &Performative::Flow(wider));
    assert!(events.contains(&credit), "{events:?}");
    let heard = peer.hears();
    assert!(matches!(&heard[..], [Performative::Transfer(it)] if !it.more), "{heard:?}");
    assert_eq!(peer.0.send(LINK, Bytes::from_static(b"u"), &Bytes::new(), 0, true), Some(1));
    assert!(!peer.0.can_send(LINK), "the credit is used up");
    peer.hears();

    let settled = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(1_000_000),
        settled: false,
        outcome: Some(Outcome::Released),
    };
    let told =
        Event::Settled { link: LINK, id: 0, outcome: Some(Outcome::Released), is_awaited: false };
    assert_eq!(peer.says(0, &Performative::Disposition(settled)), [told]);
    let heard = peer.hears();
    assert!(matches!(&heard[..], [Performative::Disposition(it)] if it.settled), "{heard:?}");
}

#[test]
fn what_the_driver_concludes_is_not_let_go_before() {
    let mut peer = Peer::open();
    peer.attaches(0, Role::Receiver);
    peer.0.concludes(LINK);
    peer.0.accept(LINK, 0);
    let flow =
        Flow { handle: Some(0), incoming_window: 9, link_credit: Some(2), ..Flow::default() };
    peer.says(0, &Performative::Flow(flow));
    for tag in [b"a", b"b"] {
        peer.0.send(LINK, Bytes::from_static(tag), &Bytes::new(), 0, false).unwrap();
    }
    peer.hears();
    let decided = |id, settled| Disposition {
        role: Role::Receiver,
        first: id,
        last: None,
        settled,
        outcome: Some(Outcome::Accepted),
    };
    let told = |id, is_awaited| {
        let outcome = Some(Outcome::Accepted);
        Event::Settled { link: LINK, id, outcome, is_awaited }
    };
    assert_eq!(peer.says(0, &Performative::Disposition(decided(0, false))), [told(0, true)]);
    assert_eq!(peer.hears(), []);
    peer.0.conclude(LINK, 0, Outcome::Released);
    let heard = peer.hears();
    let [Performative::Disposition(it)] = &heard[..] else { panic!("{heard:?}") };
    assert!(it.settled && it.role == Role::Sender && it.outcome == Some(Outcome::Released));
    // Who waits for nothing is told nothing.
    assert_eq!(peer.says(0, &Performative::Disposition(decided(1, true))), [told(1, false)]);
    assert_eq!(peer.hears(), []);
}

#[test]
fn drained_credit_is_gone() {
    let mut peer = Peer::open();
    peer.attaches(0, Role::Receiver);
    peer.0.accept(LINK, 0);
    let flow = Flow {
        next_incoming_id: Some(0),
        incoming_window: 9,
        handle: Some(0),
        delivery_count: Some(0),
        link_credit: Some(5),
        drain: true,
        ..Flow::default()
    };
    assert_eq!(
        peer.says(0, &Performative::Flow(flow)),
        [Event::Credit { link: LINK, drain: true }]
    );
    peer.hears();
    peer.0.drained(LINK);
    let heard = peer.hears();
    let [Performative::Flow(flow)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((flow.delivery_count, flow.link_credit, flow.drain), (Some(5), Some(0), true));
    assert!(!peer.0.can_send(LINK));
}

#[test]
fn a_refused_link_is_there_for_a_moment_and_says_why() {
    let mut peer = Peer::open();
    peer.attaches(0, Role::Receiver);
    let error = Condition::new("amqp:link:redirect", "elsewhere").with("port", Value::Int(5671));
    peer.0.refuse(LINK, error.clone());
    let heard = peer.hears();
    let [Performative::Attach(answer), Performative::Detach { error: told, closed: true, .. }] =
        &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(answer.source.address.as_deref(), Some("source"));
    assert_eq!(told.as_ref(), Some(&error));
}

/// Threat 43: so many sessions and links, and no more.
#[test]
fn a_peer_that_wants_too_much_is_told_so() {
    // Sessions.
    let mut peer = Peer::open();
    for channel in 1..=CHANNEL_MAX {
        assert_eq!(peer.begins(channel), []);
    }
    let events = peer.begins(CHANNEL_MAX + 1);
    assert_eq!(peer.is_closed_for(&events), "amqp:connection:framing-error");

    // Links.
    let mut peer = Peer::open();
    for handle in 0..1_024 {
        assert_eq!(peer.attaches(handle, Role::Sender).len(), 1);
        peer.0.accept(LinkId { channel: 0, handle }, 1);
    }
    assert_eq!(LINKS_MAX, 1_024);
    peer.hears();
    peer.begins(1);
    let attach = |handle: u32| {
        Performative::Attach(Box::new(Attach {
            name: "one more".into(),
            handle,
            role: Role::Sender,
            sender_settles: 2,
            receiver_settles: 0,
            source: Terminus::default(),
            target: Terminus::default(),
            initial_delivery_count: None,
            max_message_size: None,
            desired_capabilities: Value::Null,
            properties: Value::Null,
        }))
    };
    assert_eq!(peer.says(1, &attach(0)), []);
    let heard = peer.hears();
    let Some(Performative::Detach { error: Some(error), .. }) = heard.last() else {
        panic!("{heard:?}")
    };
    assert_eq!(error.condition, "amqp:resource-limit-exceeded");
    let events = peer.says(1, &attach(1));
    assert_eq!(peer.is_closed_for(&events), "amqp:resource-limit-exceeded");

    // A frame, known by its first bytes.
    let mut peer = Peer::open();
    let size = FRAME_BYTES_MAX + 1;
    peer.0.feed(&[&size.to_be_bytes()[..], &[2, 0, 0, 0]].concat());
    let events = peer.events();
    assert_eq!(peer.is_closed_for(&events), "amqp:connection:framing-error");

    // An impatient peer.
    let mut peer = Peer::new();
    peer.0.feed(b"AMQP\0\x01\0\0");
    let open = Open { container_id: "c".into(), idle_time_out: Some(999), ..Open::default() };
    let events = peer.says(0, &Performative::Open(open));
    assert_eq!(peer.is_closed_for(&events), "amqp:not-allowed");
}

#[test]
fn what_nobody_says_now_ends_the_connection() {
    let check = |says: &[Performative], expected: &str| {
        let mut peer = Peer::open();
        let mut events = Vec::new();
        for it in says {
            events = peer.says(0, it);
        }
        assert_eq!(peer.is_closed_for(&events), expected, "{says:?}");
    };
    let open = Performative::Open(Open { container_id: "c".into(), ..Open::default() });
    check(&[open], "amqp:illegal-state");
    check(&[Performative::Begin(Begin::default())], "amqp:illegal-state");
    check(&[Performative::End(None), Performative::Flow(Flow::default())], "amqp:illegal-state");
    check(&[Performative::Transfer(Transfer::default())], "amqp:session:unattached-handle");
    let detach = Performative::Detach { handle: 4, closed: true, error: None };
    check(&[detach], "amqp:session:unattached-handle");
    let init = Performative::Init { mechanism: "PLAIN".into(), response: None, hostname: None };
    check(&[init], "amqp:connection:framing-error");
    let mut peer = Peer::open();
    peer.0.feed(&[0, 0, 0, 9, 2, 0, 0, 0, 0x3f]);
    let events = peer.events();
    assert_eq!(peer.is_closed_for(&events), "amqp:decode-error");
    assert_eq!(peer.begins(1), [], "nothing is read any more");
}

#[test]
fn a_session_that_ends_takes_its_links_along() {
    let mut peer = Peer::open();
    peer.attaches(0, Role::Sender);
    peer.0.accept(LINK, 1);
    peer.hears();
    assert_eq!(
        peer.says(0, &Performative::End(None)),
        [Event::Detached { link: LINK, error: None }]
    );
    assert_eq!(peer.hears(), [Performative::End(None)]);
    peer.0.settle(LINK, 0, Outcome::Accepted);
    peer.0.grant(LINK, 5);
    peer.0.detach(LINK, None);
    assert_eq!(peer.hears(), []);
    assert_eq!(peer.says(0, &Performative::Close(None)), [Event::Closed(None)]);
    assert_eq!(peer.hears(), [Performative::Close(None)]);
}
