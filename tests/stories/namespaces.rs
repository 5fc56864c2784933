//! What holds of namespaces of Event Hubs and of Service Bus alike: keys, roles and network rules are asked for as long
//! as a client stays.

use amqp::{Body, Condition, Message, Value};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use testkit::{Amqp, Identity, World};

pub const ROOT: &str = "authorizationRules/RootManageSharedAccessKey";

/// A namespace of either kind.
pub struct Plant {
    pub world: World,
    pub id: String,
    pub host: String,
    /// For what tokens are that open it.
    audience: &'static str,
    /// The data roles of those who send, and of those who receive.
    roles: [&'static str; 2],
    /// What a token is put for by who signs in. The first is sent to.
    entities: &'static [&'static str],
    /// Where it is received from.
    source: &'static str,
}

impl Plant {
    /// With the event hubs `eh1` and `eh10`.
    pub fn event_hubs() -> Self {
        let world = World::new();
        let id = world.target("Microsoft.EventHub/namespaces", "plant-events");
        let plant = Self {
            host: world.namespace_host(&id),
            world,
            id,
            audience: "https://eventhubs.azure.net",
            roles: ["2b629674-e913-4c01-ae53-ef4638d8f975", "a638d3c7-ab3a-418d-83e6-5f17a39d4fde"],
            entities: &["eh1", "eh10"],
            source: "eh1/ConsumerGroups/$Default/Partitions/0",
        };
        for name in ["eh1", "eh10"] {
            let body = json!({ "properties": { "partitionCount": 2 } });
            plant.puts(&format!("eventhubs/{name}"), &body);
        }
        plant
    }

    /// With the queues `q1` and `q10`.
    pub fn service_bus() -> Self {
        let world = World::new();
        let id = world.target("Microsoft.ServiceBus/namespaces", "plant-messages");
        let plant = Self {
            host: world.namespace_host(&id),
            world,
            id,
            audience: "https://servicebus.azure.net",
            roles: ["69a216fc-b8fb-44d8-bc22-1f3c2cd27a39", "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"],
            entities: &["q1", "q10", "t1"],
            source: "q1",
        };
        for name in ["q1", "q10"] {
            plant.puts(&format!("queues/{name}"), &json!({}));
        }
        plant
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.id)
    }

    pub fn puts(&self, path: &str, body: &Json) {
        self.world.arm("PUT", &self.at(path), body).expect(200);
    }

    pub fn rule(&self, path: &str, rights: &[&str]) {
        self.puts(path, &json!({ "properties": { "rights": rights } }));
    }

    pub fn opens(&self) -> Amqp {
        Amqp::begin(self.world.wire(), &self.host, self.world.amqp_port())
    }

    /// Somebody who shows a signature of a rule for an entity.
    pub fn by_key(&self, rule: &str, entity: &str) -> Amqp {
        let mut amqp = self.opens();
        let resource = format!("sb://{}/{entity}", self.host);
        let token = self.world.rule_sas(&self.at(rule), &resource);
        assert_eq!(amqp.puts_token(&resource, &token), (200, "OK".to_owned()));
        amqp
    }

    /// Somebody who may do everything.
    pub fn root(&self) -> Amqp {
        self.by_key(ROOT, "")
    }

    /// Somebody who signs in, with a role at a place.
    pub fn holds(&self, name: &str, role: &str, at: &str) -> Identity {
        let who = self.world.service_principal(name);
        let scope = if at.is_empty() { self.id.clone() } else { self.at(at) };
        self.world.assign(&who, role, &scope).expect(201);
        who
    }

    pub fn signed_in(&self, who: &Identity) -> Amqp {
        let mut amqp = self.opens();
        let token = self.world.token(who, self.audience);
        for entity in self.entities {
            let name = format!("sb://{}/{entity}", self.host);
            assert_eq!(amqp.puts_token(&name, &token), (200, "OK".to_owned()));
        }
        amqp
    }

    /// Has one client send and the other receive: each with its link.
    fn attaches(&self, mut sender: Amqp, mut receiver: Amqp) -> [(Amqp, u32); 2] {
        let (sends, receives) = (sender.sends_to(self.entities[0]), receiver.receives(self.source));
        [(sender, sends.unwrap()), (receiver, receives.unwrap())]
    }
}

pub fn message(text: &str) -> Message {
    Message {
        body: Body::Data(vec![Bytes::copy_from_slice(text.as_bytes())]),
        ..Message::default()
    }
}

pub fn annotation<'a>(message: &'a Message, name: &str) -> &'a Value {
    let found = message.annotations.iter().find(|it| it.0.text() == Some(name));
    &found.unwrap_or_else(|| panic!("{name}: {message:?}")).1
}

pub fn text(message: &Message) -> String {
    String::from_utf8(message.data().unwrap().to_vec()).unwrap()
}

#[track_caller]
pub fn is_refused(refused: Result<u32, Condition>) -> Condition {
    let why = refused.unwrap_err();
    assert_eq!(why.condition, "amqp:unauthorized-access", "{why:?}");
    why
}

#[test]
fn a_renewed_key_and_keys_switched_off_end_the_links() {
    for plant in [Plant::event_hubs(), Plant::service_bus()] {
        let links = plant.attaches(plant.root(), plant.root());
        let path = format!("{}/regenerateKeys", plant.at(ROOT));
        plant.world.arm("POST", &path, &json!({ "keyType": "PrimaryKey" })).expect(200);
        for (mut client, link) in links {
            assert_eq!(client.loses(link).condition, "amqp:unauthorized-access");
        }

        let links = plant.attaches(plant.root(), plant.root());
        let off = json!({ "properties": { "disableLocalAuth": true } });
        plant.world.arm("PATCH", &plant.id, &off).expect(200);
        for (mut client, link) in links {
            let why = client.loses(link);
            assert!(
                why.description.as_deref().unwrap_or("").contains("disableLocalAuth"),
                "{why:?}"
            );
        }
    }
}

#[test]
fn a_role_that_is_taken_away_ends_the_link() {
    for plant in [Plant::event_hubs(), Plant::service_bus()] {
        let given = plant.roles.map(|role| {
            let who = plant.world.service_principal(role);
            let made = plant.world.assign(&who, role, &plant.id).expect(201).body;
            (plant.signed_in(&who), made["id"].as_str().unwrap().to_owned())
        });
        let [(sender, sends), (receiver, receives)] = given;
        let links = plant.attaches(sender, receiver);
        for ((mut client, link), role) in links.into_iter().zip([sends, receives]) {
            plant.world.arm("DELETE", &role, &Json::Null).expect(200);
            assert_eq!(client.loses(link).condition, "amqp:unauthorized-access");
        }
    }
}

#[test]
fn network_rules_of_a_namespace_are_asked() {
    for plant in [Plant::event_hubs(), Plant::service_bus()] {
        let links = plant.attaches(plant.root(), plant.root());
        let closed = json!({ "properties": { "defaultAction": "Deny", "ipRules": [] } });
        plant.puts("networkRuleSets/default", &closed);
        for (mut client, link) in links {
            assert_eq!(client.loses(link).condition, "amqp:unauthorized-access");
        }
        let rule = json!([{ "ipMask": "127.0.0.1", "action": "Allow" }]);
        let named = json!({ "properties": { "defaultAction": "Deny", "ipRules": rule } });
        plant.puts("networkRuleSets/default", &named);
        plant.attaches(plant.root(), plant.root());
    }
}
