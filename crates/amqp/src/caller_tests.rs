//! A connection that we begin, to one of ours and to a peer that says what it likes.

use crate::connection::FRAME_BYTES_MAX;
use crate::performative::{
    Attach, Begin, Condition, Open, Outcome, Performative, Role, Terminus, write,
};
use crate::{Connection, Event, LinkId, Value};
use bytes::{BufMut as _, Bytes, BytesMut};

const MESSAGE_BYTES_MAX: usize = 300_000;

/// Both ends, and what each was told.
struct Both {
    caller: Connection,
    server: Connection,
}

impl Both {
    fn new(mechanisms: &'static [&'static str]) -> Self {
        let caller = Connection::to("c".into(), "host".into(), MESSAGE_BYTES_MAX);
        Self { caller, server: Connection::new("s".into(), mechanisms, MESSAGE_BYTES_MAX) }
    }

    fn open() -> Self {
        let mut both = Self::new(&["MSSBCBS", "ANONYMOUS"]);
        let (told, asked) = both.exchange();
        assert!(matches!(told[..], [Event::Opened(_)]), "{told:?}");
        let [Event::Sasl { mechanism, .. }, Event::Opened(open)] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!((mechanism.as_str(), open.hostname.as_deref()), ("ANONYMOUS", Some("host")));
        both
    }

    /// Carries bytes to and fro until nobody has any: what the caller was told, and the server.
    fn exchange(&mut self) -> (Vec<Event>, Vec<Event>) {
        let (mut told, mut asked) = (Vec::new(), Vec::new());
        loop {
            let (there, back) = (self.caller.take_outgoing(), self.server.take_outgoing());
            if there.is_empty() && back.is_empty() {
                return (told, asked);
            }
            self.server.feed(&there);
            while let Some(event) = self.server.next_event() {
                if matches!(event, Event::Sasl { .. }) {
                    self.server.sasl(true);
                }
                asked.push(event);
            }
            self.caller.feed(&back);
            told.extend(std::iter::from_fn(|| self.caller.next_event()));
        }
    }

    fn attaches(&mut self, name: &str, role: Role) -> (LinkId, LinkId) {
        let ours = self.caller.attach(attach(name, role)).unwrap();
        let (_, asked) = self.exchange();
        let [Event::Attached { link, .. }] = asked[..] else { panic!("{asked:?}") };
        (ours, link)
    }
}

fn attach(name: &str, role: Role) -> Attach {
    let at = |it: &str| Terminus { address: Some(it.to_owned()), ..Terminus::default() };
    Attach {
        name: name.to_owned(),
        handle: 0,
        role,
        sender_settles: 0,
        receiver_settles: 0,
        source: at("source"),
        target: at("target"),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        max_message_size: None,
        desired_capabilities: Value::Null,
        properties: Value::Null,
    }
}

#[test]
fn messages_go_both_ways() {
    let mut both = Both::open();
    let (ours, its) = both.attaches("out", Role::Sender);
    assert!(!both.caller.can_send(ours), "nobody has given credit");
    both.server.accept(its, 2);
    let (told, _) = both.exchange();
    let [Event::Attached { link, attach }, Event::Credit { .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*link, attach.max_message_size), (ours, Some(MESSAGE_BYTES_MAX as u64)));
    // In one frame, and in many.
    for bytes in [10, 250_000] {
        let payload = Bytes::from(vec![7; bytes]);
        let tag = Bytes::from_static(b"t");
        let id = both.caller.send(ours, tag, &payload, 5, false).unwrap();
        let (_, asked) = both.exchange();
        let [Event::Delivery { delivery, .. }] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!((&delivery.payload, delivery.format), (&payload, 5));
        both.server.settle(its, delivery.id, Outcome::Accepted);
        let (told, _) = both.exchange();
        assert_eq!(
            told,
            [Event::Settled {
                link: ours,
                id,
                outcome: Some(Outcome::Accepted),
                is_awaited: false
            }]
        );
    }
    assert!(!both.caller.can_send(ours), "its credit is used");

    let (ours, its) = both.attaches("in", Role::Receiver);
    both.server.accept(its, 0);
    both.exchange();
    both.caller.grant(ours, 1);
    both.exchange();
    let payload = Bytes::from_static(b"hello");
    both.server.send(its, Bytes::from_static(b"t"), &payload, 0, true).unwrap();
    let (told, _) = both.exchange();
    let [Event::Delivery { link, delivery }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*link, &delivery.payload), (ours, &payload));
    both.caller.close(None);
    assert_eq!(both.exchange().1, [Event::Closed(None)]);
}

#[test]
fn who_is_refused_hears_why() {
    let mut both = Both::open();
    let (ours, its) = both.attaches("out", Role::Sender);
    let why = Condition::new("amqp:not-found", "nothing is there");
    both.server.refuse(its, why.clone());
    let (told, _) = both.exchange();
    let [Event::Attached { .. }, Event::Detached { link, error }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*link, error), (ours, &Some(why.clone())));
    // The number of a link that is gone is free again.
    assert_eq!(both.attaches("again", Role::Sender).0, ours);
    both.server.close(Some(why.clone()));
    assert_eq!(both.exchange().0, [Event::Closed(Some(why))]);

    let mut both = Both::new(&["PLAIN"]);
    let (told, _) = both.exchange();
    let [Event::Failed(condition)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(condition.condition, "amqp:not-implemented");
}

fn frame(kind: u8, channel: u16, performative: &Performative) -> BytesMut {
    let mut frame = BytesMut::from(&[0, 0, 0, 0, 2, kind][..]);
    frame.put_u16(channel);
    write(performative, &mut frame);
    let size = u32::try_from(frame.len()).unwrap();
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}

/// A caller whose peer has let it in and has said these.
fn heard(all: &[(u16, Performative)]) -> (Connection, Vec<Event>) {
    let mut caller = Connection::to("c".into(), "host".into(), MESSAGE_BYTES_MAX);
    caller.feed(b"AMQP\x03\x01\0\0");
    caller.feed(&frame(1, 0, &Performative::Mechanisms(vec!["ANONYMOUS".into()])));
    caller.feed(&frame(1, 0, &Performative::Outcome(0)));
    caller.feed(b"AMQP\0\x01\0\0");
    let mut events: Vec<Event> = std::iter::from_fn(|| caller.next_event()).collect();
    for (channel, performative) in all {
        caller.feed(&frame(0, *channel, performative));
        events.extend(std::iter::from_fn(|| caller.next_event()));
        if caller.is_open() {
            caller.attach(attach("out", Role::Sender));
        }
    }
    (caller, events)
}

fn begun() -> [(u16, Performative); 2] {
    let open = Open { container_id: "s".into(), ..Open::default() };
    let begin = Begin { remote_channel: Some(0), incoming_window: 9, ..Begin::default() };
    [(0, Performative::Open(open)), (7, Performative::Begin(begin))]
}

/// A peer has its own numbers; with those of nobody it breaks the protocol.
#[test]
fn a_peer_has_its_own_numbers_and_no_others() {
    let attached = |name: &str, role| {
        (7, Performative::Attach(Box::new(Attach { handle: 90, ..attach(name, role) })))
    };
    let well = [&begun()[..], &[attached("out", Role::Receiver)]].concat();
    let (_, events) = heard(&well);
    let [Event::Opened(_), Event::Attached { link, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*link, LinkId { channel: 0, handle: 0 });

    let detach = |handle| Performative::Detach { handle, closed: true, error: None };
    let open = Open { max_frame_size: Some(FRAME_BYTES_MAX), ..Open::default() };
    let broken = [
        // Of a session that is not there, of one that nobody asked for, and of a second one.
        (0, detach(90)),
        (7, Performative::Begin(Begin::default())),
        (8, begun()[1].1.clone()),
        // Of a link that nobody asked for, in name or direction, and of none.
        attached("other", Role::Receiver),
        attached("out", Role::Sender),
        attached("out", Role::Receiver),
        (7, detach(0)),
        // Out of its turn.
        (0, Performative::Open(open)),
        (0, Performative::Outcome(0)),
    ];
    for wrong in broken {
        let said = [&well[..], std::slice::from_ref(&wrong)].concat();
        let (caller, events) = heard(&said);
        assert!(matches!(events.last(), Some(Event::Failed(_))), "{wrong:?}: {events:?}");
        assert!(caller.is_over());
    }
}
