//! The server's own client of AMQP sends to event hubs that the server serves, and they are read there.

use egress::amqp::{
    Body, Credential, Endpoint, Message, PARTITION_KEY, Sender, Value as Amqp, Verdicts, Why,
};
use model::Secret;
use serde_json::{Value, json};
use std::sync::Arc;
use testkit::{Amqp as Client, World};
use tokio::runtime::Runtime;

struct Plant {
    world: World,
    namespace: String,
    host: String,
    runtime: Runtime,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let namespace = world.target("Microsoft.EventHub/namespaces", "plant-events");
        let hub = format!("{namespace}/eventhubs/telemetry");
        let body = json!({ "properties": { "partitionCount": 2 } });
        world.arm("PUT", &hub, &body).expect(200);
        let host = world.namespace_host(&namespace);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { world, namespace, host, runtime }
    }

    /// The key of a rule of the namespace.
    fn credential(&self, name: &str) -> Credential {
        let rule = format!("{}/authorizationRules/{name}", self.namespace);
        let keys = self.world.arm("POST", &format!("{rule}/listKeys"), &Value::Null).expect(200);
        let key = keys.body["primaryKey"].as_str().unwrap().to_owned();
        Credential::Key { name: name.to_owned(), key: Secret::new(key) }
    }

    fn rule(&self, name: &str, right: &str) -> Credential {
        let rule = format!("{}/authorizationRules/{name}", self.namespace);
        let body = json!({ "properties": { "rights": [right] } });
        self.world.arm("PUT", &rule, &body).expect(200);
        self.credential(name)
    }

    fn sender(&self, entity: &str, credential: Credential) -> Sender {
        let endpoint = Endpoint {
            host: self.host.clone(),
            port: self.world.amqp_port(),
            entity: entity.to_owned(),
        };
        let env = self.world.env();
        Sender::new(env.egress.clone(), endpoint, credential, Arc::clone(&env.clock.now))
    }

    fn sends(&self, sender: &mut Sender, messages: &[Message]) -> Verdicts {
        self.runtime.block_on(sender.send(messages))
    }

    /// What lies in a partition, from its beginning to the body `end`.
    fn reads(&self, partition: &str) -> Vec<String> {
        let mut client = Client::begin(self.world.wire(), &self.host, self.world.amqp_port());
        let Credential::Key { name, key } = self.credential("RootManageSharedAccessKey") else {
            unreachable!("it is a key")
        };
        let resource = format!("sb://{}/telemetry", self.host);
        let until = self.world.now().plus_seconds(600);
        let text = wire::sas::resource_text(&resource);
        let token = wire::sas::sign(&text, key.reveal().as_bytes(), until, Some(&name));
        assert_eq!(client.puts_token(&resource, &token).0, 200);
        let address = format!("telemetry/ConsumerGroups/$Default/Partitions/{partition}");
        let filter = "amqp.annotation.x-opt-offset > '-1'";
        client.receives_with(&address, Some(filter), Amqp::Null).unwrap();
        let body = |it: Message| String::from_utf8(it.data().unwrap().to_vec()).unwrap();
        let all = std::iter::from_fn(|| Some(body(client.hears().message)));
        all.take_while(|it| it != "end").collect()
    }
}

fn message(key: Option<&str>, body: impl Into<Vec<u8>>) -> Message {
    let annotation = |key: &str| (Amqp::symbol(PARTITION_KEY), Amqp::string(key));
    Message {
        annotations: key.into_iter().map(annotation).collect(),
        body: Body::Data(vec![body.into().into()]),
        ..Message::default()
    }
}

#[test]
fn batches_lie_in_an_event_hub_by_their_keys_and_in_order() {
    let plant = Plant::new();
    let sends = plant.rule("egress", "Send");
    let mut sender = plant.sender("telemetry", sends.clone());
    let keyed: Vec<Message> = (0..30).map(|it| message(Some("pump-1"), format!("{it}"))).collect();
    assert!(plant.sends(&mut sender, &keyed).iter().all(Result::is_ok));
    // One partition, and more than a transfer may hold.
    let long: Vec<Message> = (0..5).map(|_| message(None, vec![b'x'; 400_000])).collect();
    let to_one = |partition: u8, all: &[Message]| {
        let mut sender = plant.sender(&format!("telemetry/Partitions/{partition}"), sends.clone());
        let refused = plant.sends(&mut sender, all).into_iter().find_map(Result::err);
        assert_eq!(refused, None);
    };
    to_one(1, &long);
    to_one(0, &[message(None, "end")]);
    to_one(1, &[message(None, "end")]);
    let (zero, mut one) = (plant.reads("0"), plant.reads("1"));
    let is_long = |it: &String| it.len() == 400_000;
    assert_eq!(one.iter().filter(|it| is_long(it)).count(), 5);
    one.retain(|it| !is_long(it));
    // All of a key lies in one, in its order.
    let keyed: Vec<String> = (0..30).map(|it| it.to_string()).collect();
    assert!(zero.is_empty() || one.is_empty());
    assert_eq!([zero, one].concat(), keyed);
}

#[test]
fn an_event_hub_refuses_by_right_by_name_and_by_length() {
    let plant = Plant::new();
    let one = [message(None, "a"), message(Some("k"), "b")];
    let why = |entity: &str, credential: Credential, all: &[Message]| {
        let verdicts = plant.sends(&mut plant.sender(entity, credential), all);
        verdicts.into_iter().map(|it| it.err().map(|it| it.why)).collect::<Vec<_>>()
    };
    let (sends, listens) = (plant.rule("egress", "Send"), plant.rule("reader", "Listen"));
    let no = Some(Why::Unauthorized);
    assert_eq!(why("telemetry", listens, &one), [no, no]);
    let wrong = Credential::Key { name: "egress".into(), key: Secret::new("d3Jvbmc=".into()) };
    assert_eq!(why("telemetry", wrong, &one), [no, no]);
    let nowhere = Some(Why::NotFound);
    assert_eq!(why("telemetry2", sends.clone(), &one), [nowhere, nowhere]);
    let long = [message(None, vec![7; 1 << 20]), message(None, "fits")];
    assert_eq!(why("telemetry", sends, &long), [Some(Why::Refused), None]);
}
