//! Values, messages and connections of AMQP.

use amqp::performative::{Role, Terminus};
use amqp::{
    Attach, CHALLENGE_BYTES_MAX, Connection, Event, Message, Outcome, Value, decode, encode,
};
use bytes::{Bytes, BytesMut};

/// Most bytes of a message, small enough that a fuzzer gets past it.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// The bytes are what a peer sends: a value, a message, or a whole connection. Reading them does not panic;
/// what was read is written and read again as the same; a connection says the same, and is answered the same, in
/// whatever pieces the bytes come, and takes no more room than a few times of what came.
pub fn amqp(bytes: &[u8]) {
    let whole = Bytes::copy_from_slice(bytes);
    if let Ok(value) = decode(&mut whole.clone()) {
        let mut written = BytesMut::new();
        encode(&value, &mut written);
        let mut written = written.freeze();
        assert_eq!(decode(&mut written), Ok(value));
        assert!(written.is_empty());
    }
    if let Ok(message) = Message::read(whole) {
        assert_eq!(Message::read(message.write()), Ok(message));
    }
    let piece = bytes.first().map_or(1, |it| usize::from(it % 7) + 1);
    for make in [server, caller] {
        let (events, answered) = drive(make(), bytes, bytes.len());
        assert_eq!(drive(make(), bytes, piece), (events, answered.clone()));
        let count = answered.len();
        assert!(count <= 1_024 + 32 * bytes.len(), "{count} bytes are answered");
    }
}

fn server() -> Connection {
    let mechanisms = &["MSSBCBS", "PLAIN", "ANONYMOUS"];
    Connection::new("fuzz".into(), mechanisms, MESSAGE_BYTES_MAX)
}

/// One that we began, and that has got as far as its links: bytes alone would seldom lead there.
fn caller() -> Connection {
    let mut connection = Connection::to("fuzz".into(), "host".into(), MESSAGE_BYTES_MAX);
    let mut peer = server();
    loop {
        let (there, back) = (connection.take_outgoing(), peer.take_outgoing());
        if there.is_empty() && back.is_empty() {
            return connection;
        }
        peer.feed(&there);
        while let Some(event) = peer.next_event() {
            match event {
                Event::Sasl { .. } => peer.sasl(true),
                Event::Attached { link, .. } => peer.accept(link, 3),
                Event::SaslResponse(_)
                | Event::Opened(_)
                | Event::Credit { .. }
                | Event::Delivery { .. }
                | Event::Settled { .. }
                | Event::Detached { .. }
                | Event::Closed(_)
                | Event::Failed(_) => {}
            }
        }
        connection.feed(&back);
        while let Some(event) = connection.next_event() {
            if let Event::Opened(_) = event {
                for role in [Role::Sender, Role::Receiver] {
                    connection.attach(attach(role));
                }
            }
        }
    }
}

fn attach(role: Role) -> Attach {
    Attach {
        name: "link".to_owned(),
        handle: 0,
        role,
        sender_settles: 0,
        receiver_settles: 0,
        source: Terminus::default(),
        target: Terminus::default(),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        max_message_size: None,
        desired_capabilities: Value::Null,
        properties: Value::Null,
    }
}

/// What a connection says of bytes that come in pieces, and the answers to it, where everything is let be.
fn drive(mut connection: Connection, bytes: &[u8], piece: usize) -> (Vec<Event>, BytesMut) {
    let (mut events, mut answered) = (Vec::new(), BytesMut::new());
    for piece in bytes.chunks(piece.max(1)) {
        connection.feed(piece);
        while let Some(event) = connection.next_event() {
            match &event {
                Event::Sasl { mechanism, .. } if mechanism == "PLAIN" => {
                    connection.challenge(Bytes::from_static(&[7; CHALLENGE_BYTES_MAX]));
                }
                Event::Sasl { .. } | Event::SaslResponse(_) => connection.sasl(true),
                Event::Attached { link, .. } => connection.accept(*link, 3),
                Event::Credit { link, drain } => {
                    let payload = Bytes::from_static(&[7; 700]);
                    if connection.can_send(*link) {
                        let sent = connection.send(*link, Bytes::new(), &payload, 0, false);
                        assert!(sent.is_some());
                    }
                    if *drain {
                        connection.drained(*link);
                    }
                }
                Event::Delivery { link, delivery } => {
                    assert!(delivery.payload.len() <= MESSAGE_BYTES_MAX);
                    connection.settle(*link, delivery.id, Outcome::Accepted);
                }
                Event::Failed(condition) => assert!(!condition.condition.is_empty()),
                Event::Opened(_)
                | Event::Settled { .. }
                | Event::Detached { .. }
                | Event::Closed(_) => {}
            }
            events.push(event);
        }
        answered.extend_from_slice(&connection.take_outgoing());
        connection.keep_alive();
        connection.take_outgoing();
    }
    (events, answered)
}
