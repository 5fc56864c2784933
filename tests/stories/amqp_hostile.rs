//! What no client sends: the connection is closed with the condition that says so, and nothing else is harmed.

use amqp::performative::{Begin, Flow, Open, Performative, Transfer};
use amqp::{Body, Message, Outcome};
use bytes::Bytes;
use testkit::{Amqp, World};

struct Plant {
    world: World,
    host: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let origin = world.hub_origin(&world.hub());
        let host = origin.trim_start_matches("https://").split(':').next().unwrap().to_owned();
        Self { world, host }
    }

    fn opens(&self) -> Amqp {
        Amqp::open(self.world.wire(), &self.host, self.world.amqp_port()).unwrap()
    }

    fn begins(&self) -> Amqp {
        Amqp::begin(self.world.wire(), &self.host, self.world.amqp_port())
    }

    /// The condition of the close that some bytes lead to, behind a begin.
    fn closes(&self, bytes: &[u8]) -> Option<String> {
        let mut amqp = self.begins();
        amqp.send_bytes(bytes).unwrap();
        amqp.until_closed().map(|it| it.condition)
    }
}

/// Behind a frame's head: eight bytes that say its size, where its body begins, its kind and its channel.
fn frame(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], &[2, 0, 0, 0], body].concat()
}

/// Threat 43: each for its own reason, and none of them takes the room that it says it needs.
#[test]
fn bytes_that_are_no_amqp_close_their_own_connection_and_no_other() {
    let plant = Plant::new();
    let mut stays = plant.begins();
    let framing = Some("amqp:connection:framing-error".to_owned());
    // A frame of 256 MiB is refused from its head alone.
    assert_eq!(plant.closes(&[0x10, 0, 0, 0, 2, 0, 0, 0]), framing);
    assert_eq!(plant.closes(&[0, 0, 0, 4, 2, 0, 0, 0]), framing);
    assert_eq!(plant.closes(&[0, 0, 0, 8, 1, 0, 0, 0]), framing);
    // A frame of SASL where none is awaited.
    assert_eq!(plant.closes(&[0, 0, 0, 9, 2, 1, 0, 0, 0]), framing);
    let undecodable = Some("amqp:decode-error".to_owned());
    assert_eq!(plant.closes(&frame(&[0xff])), undecodable);
    // Described values that lie ten thousand deep in each other.
    assert_eq!(plant.closes(&frame(&[0; 10_000])), undecodable);
    // An array that says it holds four thousand million nothings.
    let many = [&[0, 0x53, 0x10, 0xf0, 0, 0, 0, 5][..], &[0xff; 4], &[0x40]].concat();
    assert_eq!(plant.closes(&frame(&many)), undecodable);
    for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x10, 200, 0, 4, b'M', b'Q', b'T', b'T']] {
        let mut amqp = plant.opens();
        amqp.send_bytes(first).unwrap();
        assert_eq!(amqp.until_closed(), None);
    }
    assert!(stays.is_quiet());
}

/// Threat 43: sessions, links and timers are bounded by us, whatever the client asks for.
#[test]
fn a_client_that_wants_too_much_is_closed() {
    let plant = Plant::new();
    let mut amqp = plant.begins();
    amqp.says(256, &Performative::Begin(Begin::default()));
    assert_eq!(amqp.until_closed().unwrap().condition, "amqp:connection:framing-error");
    let mut amqp = plant.begins();
    amqp.says(0, &Performative::Begin(Begin::default()));
    assert_eq!(amqp.until_closed().unwrap().condition, "amqp:illegal-state");
    // An idle time out that nobody can keep to.
    let mut amqp = plant.opens();
    amqp.send_bytes(b"AMQP\0\x01\0\0").unwrap();
    amqp.says(0, &Performative::Open(Open { idle_time_out: Some(1), ..Open::default() }));
    assert_eq!(amqp.until_closed().unwrap().condition, "amqp:not-allowed");
    // A message over a link that is not there; credit for one that is not.
    let mut amqp = plant.begins();
    amqp.transfers(7, Bytes::from_static(b"x"), 0, false);
    assert_eq!(amqp.until_closed().unwrap().condition, "amqp:session:unattached-handle");
    let mut amqp = plant.begins();
    amqp.says(0, &Performative::Flow(Flow { handle: Some(7), ..Flow::default() }));
    assert_eq!(amqp.until_closed().unwrap().condition, "amqp:session:unattached-handle");
}

#[test]
fn whoever_guesses_tokens_is_closed() {
    let plant = Plant::new();
    let mut amqp = plant.begins();
    for _ in 0..15 {
        assert_eq!(amqp.puts_token(&plant.host, "SharedAccessSignature sr=h&sig=AAAA&se=9").0, 401);
    }
    // One that is right in time is taken, and from then on none too many.
    let mut stays = plant.begins();
    let good = plant.world.sas(&plant.world.hub(), "service", &plant.host);
    assert_eq!(stays.puts_token(&plant.host, &good).0, 200);
    for _ in 0..20 {
        assert_eq!(stays.puts_token(&plant.host, "x").0, 401);
    }
    assert_eq!(stays.puts_token(&plant.host, &good).0, 200);
    let guess = Message { body: Body::Value(amqp::Value::string("x")), ..Message::default() };
    let named = |name: &str, it: &str| (amqp::Value::string(name), amqp::Value::string(it));
    let guess = Message {
        application: vec![named("operation", "put-token"), named("name", &plant.host)],
        ..guess
    };
    let cbs = amqp.sends_to("$cbs").unwrap();
    amqp.transfers(cbs, guess.write(), 0, false);
    assert_eq!(amqp.until_closed().unwrap().condition, "amqp:unauthorized-access");
}

/// Threat 43: a transfer that never ends.
#[test]
fn a_message_without_end_and_one_without_credit_end_their_link_alone() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.world.hub(), "pump-1");
    let mut amqp = plant.begins();
    let token = pump.signature(plant.world.now().plus_seconds(600));
    assert_eq!(amqp.puts_token(&format!("{}/devices/pump-1", pump.host), &token).0, 200);
    let link = amqp.sends_to("/devices/pump-1/messages/events").unwrap();
    amqp.transfers(link, Bytes::from(vec![0; 60_000]), 0, true);
    let part = || Transfer {
        handle: link,
        more: true,
        payload: Bytes::from(vec![0; 60_000]),
        ..Transfer::default()
    };
    for _ in 0..5 {
        amqp.says(0, &Performative::Transfer(part()));
    }
    assert_eq!(amqp.loses(link).condition, "amqp:link:message-size-exceeded");
    // Nothing of it is kept, and the connection goes on.
    let link = amqp.sends_to("/devices/pump-1/messages/events").unwrap();
    let text =
        Message { body: Body::Data(vec![Bytes::from_static(b"fine")]), ..Message::default() };
    assert_eq!(amqp.sends(link, &text), Outcome::Accepted);
    assert_eq!(plant.world.messages(&plant.world.hub()).len(), 1);
}

#[test]
fn sasl_takes_a_signature_and_no_other_password() {
    let plant = Plant::new();
    let hub = plant.world.hub();
    let tries = |mechanism: &str, response: String| {
        let mut amqp = plant.opens();
        amqp.send_bytes(b"AMQP\x03\x01\0\0").unwrap();
        let init = Performative::Init {
            mechanism: mechanism.to_owned(),
            response: Some(Bytes::from(response)),
            hostname: None,
        };
        amqp.says(0, &init);
        let Performative::Outcome(code) = amqp.awaits(|it| matches!(it, Performative::Outcome(_)))
        else {
            panic!()
        };
        (code, amqp)
    };
    let plain = |name: &str, password: &str| format!("\0{name}\0{password}");
    let good = plant.world.sas(&hub, "service", &plant.host);
    let (code, mut amqp) = tries("PLAIN", plain("service@sas.root.hub", &good));
    assert_eq!(code, 0);
    amqp.says_hello();
    amqp.receives("/messages/serviceBound/feedback").unwrap();
    let pump = plant.world.device(&hub, "pump-1");
    let token = pump.signature(plant.world.now().plus_seconds(600));
    let (code, mut amqp) = tries("PLAIN", plain("pump-1@sas.hub", &token));
    assert_eq!(code, 0);
    amqp.says_hello();
    amqp.sends_to("/devices/pump-1/messages/events").unwrap();
    assert!(amqp.receives("/messages/serviceBound/feedback").is_err());
    for (name, password) in [
        ("service@sas.root.hub", "secret"),
        ("service@sas.root.hub", &token),
        ("pump-2@sas.hub", &token),
        ("pump-1", &token),
    ] {
        let (code, mut amqp) = tries("PLAIN", plain(name, password));
        assert_eq!(code, 1, "{name}");
        assert_eq!(amqp.until_closed(), None);
    }
    assert_eq!(tries("GSSAPI", String::new()).0, 1);
    // It has shown no certificate.
    assert_eq!(tries("EXTERNAL", String::new()).0, 1);
    assert_eq!(tries("PLAIN", "no parts".to_owned()).0, 1);
    // Whoever is let in without proof has nothing yet.
    let (code, mut amqp) = tries("ANONYMOUS", String::new());
    assert_eq!(code, 0);
    amqp.says_hello();
    assert!(amqp.receives("/messages/serviceBound/feedback").is_err());
}
