//! The server's own client of AMQP, over real sockets, against what the server serves.

use egress::amqp::{
    Body, Credential, Endpoint, Message, PARTITION_KEY, Sender, Value, Verdicts, Why,
};
use egress::{Client, Own, Rule, Token, TokenSource};
use model::{Secret, Timestamp};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Device, World};
use tokio::runtime::Runtime;

/// Tokens of a device, and how many were asked for.
struct Signing {
    device: Device,
    now: Arc<AtomicI64>,
    lifetime_s: i64,
    asked: AtomicUsize,
}

impl TokenSource for Signing {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = Timestamp::from_seconds(self.now.load(Ordering::SeqCst));
        let expiry = now.plus_seconds(self.lifetime_s);
        let text = Secret::new(self.device.signature(expiry));
        Box::pin(std::future::ready(Ok(Token { text, expiry })))
    }
}

struct Plant {
    world: World,
    hub: String,
    runtime: Runtime,
    now: Arc<AtomicI64>,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let now = Arc::new(AtomicI64::new(world.now().seconds()));
        Self { hub: world.hub(), world, runtime, now }
    }

    fn client(&self, own: Option<&str>) -> Client {
        let from: IpAddr = self.world.env().settings.own_address().parse().unwrap();
        let own = own.map(|it| (it.to_owned(), Own { at: it.parse().unwrap(), from }));
        let own = move |host: &str| own.as_ref().filter(|it| it.0 == host).map(|it| it.1);
        let bundle = self.world.env().settings.data_dir.join("ca-bundle.pem");
        Client::new(Rule::default().with_own(Arc::new(own)), bundle)
    }

    fn source(&self, device: &Device, lifetime_s: i64) -> Arc<Signing> {
        let (device, now) = (device.clone(), Arc::clone(&self.now));
        Arc::new(Signing { device, now, lifetime_s, asked: AtomicUsize::new(0) })
    }

    fn sender_of(&self, client: Client, device: &Device, source: Arc<Signing>) -> Sender {
        let endpoint = Endpoint {
            host: device.host.clone(),
            port: self.world.amqp_port(),
            entity: format!("/devices/{}/messages/events", device.id),
        };
        let now = Arc::clone(&self.now);
        let now = Arc::new(move || Timestamp::from_seconds(now.load(Ordering::SeqCst)));
        Sender::new(client, endpoint, Credential::Token(source), now)
    }

    fn sender(&self, device: &Device, source: &Arc<Signing>) -> Sender {
        self.sender_of(self.client(Some(&device.host)), device, Arc::clone(source))
    }

    fn sends(&self, sender: &mut Sender, messages: &[Message]) -> Verdicts {
        self.runtime.block_on(sender.send(messages))
    }

    fn pass_seconds(&self, seconds: i64) {
        self.world.pass_seconds(seconds);
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn message(key: &str, body: impl Into<Vec<u8>>) -> Message {
    Message {
        annotations: vec![(Value::symbol(PARTITION_KEY), Value::string(key))],
        body: Body::Data(vec![body.into().into()]),
        ..Message::default()
    }
}

#[track_caller]
fn why(verdicts: Verdicts) -> (Why, String) {
    let error = verdicts.into_iter().find_map(Result::err).expect("something is refused");
    (error.why, error.to_string())
}

#[test]
fn batches_arrive_over_one_connection_that_is_kept() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let source = plant.source(&pump, 3_600);
    let mut sender = plant.sender(&pump, &source);
    let all: Vec<Message> =
        (0..50).map(|it| message(&format!("k{}", it % 3), format!("{it}"))).collect();
    assert!(plant.sends(&mut sender, &all).iter().all(Result::is_ok));
    assert_eq!(plant.world.bodies(&plant.hub).len(), 50);
    assert_eq!(plant.sends(&mut sender, &[message("k", "last")]), [Ok(())]);
    assert_eq!(source.asked.load(Ordering::SeqCst), 1, "the connection was kept");
    // While it rests it is kept, and its token renewed.
    plant.pass_seconds(3_310);
    let renewed = async {
        while source.asked.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let rested = async {
        tokio::select! {
            never = sender.rest() => match never {},
            () = renewed => {}
        }
    };
    plant.runtime.block_on(rested);
    assert_eq!(source.asked.load(Ordering::SeqCst), 2, "the token was renewed");
    plant.pass_seconds(3_000);
    assert_eq!(plant.sends(&mut sender, &[message("k", "later")]), [Ok(())]);
    assert_eq!(plant.world.bodies(&plant.hub).len(), 52);
}

#[test]
fn what_is_refused_for_good_holds_nothing_up() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let mut sender = plant.sender(&pump, &plant.source(&pump, 3_600));
    let forged = Message {
        application: vec![(Value::string("iothub-connection-device-id"), Value::string("pump-2"))],
        ..message("k", "forged")
    };
    let long = message("k", vec![7; 2 << 20]);
    let all = [message("k", "a"), forged, message("k", "b"), long, message("k", "c")];
    let verdicts = plant.sends(&mut sender, &all);
    let refused: Vec<Option<Why>> =
        verdicts.iter().map(|it| it.as_ref().err().map(|it| it.why)).collect();
    assert_eq!(refused, [None, Some(Why::Refused), None, Some(Why::Refused), None]);
    assert_eq!(plant.world.bodies(&plant.hub), ["a", "b", "c"]);
}

#[test]
fn a_connection_that_was_lost_is_opened_again() {
    let mut plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let source = plant.source(&pump, 3_600);
    let mut sender = plant.sender(&pump, &source);
    assert_eq!(plant.sends(&mut sender, &[message("k", "a")]), [Ok(())]);
    plant.world.restart();
    assert_eq!(plant.sends(&mut sender, &[message("k", "b")]), [Ok(())]);
    // So is one whose token has ended meanwhile.
    plant.pass_seconds(4_000);
    assert_eq!(plant.sends(&mut sender, &[message("k", "c")]), [Ok(())]);
    assert_eq!(plant.world.bodies(&plant.hub), ["a", "b", "c"]);
}

/// Threat 58: where the server's own host is not known as such, nobody is called at its address.
#[test]
fn who_may_not_is_told_in_the_words_of_the_target() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let one = [message("k", "a"), message("l", "b")];
    // Another device's token, and one that has ended.
    let others = plant.world.device(&plant.hub, "pump-10");
    let mut sender = plant.sender(&pump, &plant.source(&others, 3_600));
    assert_eq!(why(plant.sends(&mut sender, &one)).0, Why::Unauthorized);
    let mut sender = plant.sender(&pump, &plant.source(&pump, -60));
    let (because, said) = why(plant.sends(&mut sender, &one));
    assert_eq!(because, Why::Unauthorized, "{said}");
    // Nothing of the name.
    let nobody = pump.called("pump-2");
    let mut sender = plant.sender(&nobody, &plant.source(&pump, 3_600));
    assert!(plant.sends(&mut sender, &one).iter().all(Result::is_err));
    for own in [None, Some("127.0.0.1")] {
        let source = plant.source(&pump, 3_600);
        let mut sender = plant.sender_of(plant.client(own), &pump, source);
        let (because, said) = why(plant.sends(&mut sender, &one));
        assert_eq!(because, Why::Unreachable);
        assert!(said.contains("the server itself"), "{said}");
    }
    assert_eq!(plant.world.bodies(&plant.hub).len(), 0);
}
