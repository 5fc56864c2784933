//! Messages of a hub arrive at event hubs that this server serves.

use amqp::{Message, Value as Amqp};
use serde_json::{Value, json};
use testkit::{Amqp as Client, Device, World};

const RECEIVER: &str = "a638d3c7-ab3a-418d-83e6-5f17a39d4fde";
/// Azure Service Bus Data Sender.
const BUS_SENDER: &str = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39";
const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";

struct Plant {
    world: World,
    hub: String,
    namespace: String,
    device: Device,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let namespace = world.target("Microsoft.EventHub/namespaces", "plant-events");
        let body = json!({ "properties": { "partitionCount": 1 } });
        world.arm("PUT", &format!("{namespace}/eventhubs/telemetry"), &body).expect(200);
        world.assign(&world.own_identity(&hub), SENDER, &namespace).expect(201);
        let device = world.device(&hub, "pump-1");
        Self { world, hub, namespace, device }
    }

    fn host(&self) -> String {
        self.world.namespace_host(&self.namespace)
    }

    fn key(&self) -> String {
        let rule =
            format!("{}/authorizationRules/RootManageSharedAccessKey/listKeys", self.namespace);
        let keys = self.world.arm("POST", &rule, &Value::Null).expect(200).body;
        keys["primaryKey"].as_str().unwrap().to_owned()
    }

    fn by_identity(&self) -> Value {
        json!({ "name": "far", "authenticationType": "identityBased", "entityPath": "telemetry",
            "endpointUri": format!("sb://{}/", self.host()) })
    }

    fn by_key(&self, key: &str) -> Value {
        let string = format!(
            "Endpoint=sb://{}/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey={key};EntityPath=telemetry",
            self.host()
        );
        json!({ "name": "far", "authenticationType": "keyBased", "connectionString": string })
    }

    /// Sends all to the one endpoint, but what a device calls near.
    fn saves(&self, endpoint: &Value) {
        let routing = json!({
            "endpoints": { "eventHubs": [endpoint] },
            "routes": [{ "name": "all", "source": "DeviceMessages", "condition": "level <> 'near'",
                "endpointNames": ["far"], "isEnabled": true }],
            "enrichments": [{ "key": "hub", "value": "$iothubname", "endpointNames": ["far"] }],
            "fallbackRoute": { "endpointNames": ["events"], "isEnabled": true },
        });
        self.world
            .arm("PATCH", &self.hub, &json!({ "properties": { "routing": routing } }))
            .expect(200);
    }

    fn sends(&self, level: &str, body: &str) {
        let path = format!("/devices/{}/messages/events", self.device.id);
        let url = self.world.hub_url(&self.hub, &path);
        let own = self.device.signature(self.world.now().plus_seconds(600));
        let headers = [("Authorization", own.as_str()), ("iothub-app-level", level)];
        self.world.wire().send("POST", &url, &headers, body.as_bytes()).expect(204);
    }

    /// What lies in the event hub from its beginning: so many messages, waited for.
    fn arrived(&self, count: usize) -> Vec<Message> {
        let resource = format!("sb://{}/telemetry", self.host());
        let text = wire::sas::resource_text(&resource);
        let until = self.world.now().plus_seconds(600);
        let name = Some("RootManageSharedAccessKey");
        self.arrived_for(&wire::sas::sign(&text, self.key().as_bytes(), until, name), count)
    }

    /// The same for who shows this.
    fn arrived_for(&self, token: &str, count: usize) -> Vec<Message> {
        let mut client = Client::begin(self.world.wire(), &self.host(), self.world.amqp_port());
        let resource = format!("sb://{}/telemetry", self.host());
        assert_eq!(client.puts_token(&resource, token).0, 200);
        let address = "telemetry/ConsumerGroups/$Default/Partitions/0";
        let filter = "amqp.annotation.x-opt-offset > '-1'";
        client.receives_with(address, Some(filter), Amqp::Null).unwrap();
        (0..count).map(|_| client.hears().message).collect()
    }

    fn health(&self) -> Value {
        let path = format!("{}/routingEndpointsHealth", self.hub);
        self.world.arm("GET", &path, &Value::Null).expect(200).body["value"][1].clone()
    }
}

fn bodies(all: &[Message]) -> Vec<String> {
    all.iter().map(|it| String::from_utf8(it.data().unwrap().to_vec()).unwrap()).collect()
}

/// S3-21: messages keep flowing however their endpoint signs in, in order, over a restart and over a time in which it
/// could not.
#[test]
fn messages_arrive_in_order_however_their_endpoint_signs_in() {
    let mut plant = Plant::new();
    plant.saves(&plant.by_identity());
    plant.sends("far", "by identity");
    plant.sends("near", "at the hub alone");
    let first = plant.arrived(1);
    assert_eq!(bodies(&first), ["by identity"]);
    let annotation = |name: &str| {
        let found = first[0].annotations.iter().find(|it| it.0.text() == Some(name));
        found.map(|it| it.1.clone())
    };
    assert_eq!(annotation("iothub-connection-device-id"), Some(Amqp::string("pump-1")));
    assert_eq!(annotation("iothub-message-source"), Some(Amqp::string("Telemetry")));
    let property = |name: &str| {
        let found = first[0].application.iter().find(|it| it.0.text() == Some(name));
        found.and_then(|it| it.1.text().map(str::to_owned))
    };
    assert_eq!(property("level").as_deref(), Some("far"));
    assert_eq!(property("hub").as_deref(), plant.hub.rsplit('/').next());
    while plant.health()["healthStatus"] != "healthy" {
        std::thread::yield_now();
    }

    plant.saves(&plant.by_key(&plant.key()));
    plant.sends("far", "by key");
    assert_eq!(bodies(&plant.arrived(2)), ["by identity", "by key"]);

    // A key that opens nothing holds messages up, and loses none.
    plant.saves(&plant.by_key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    plant.sends("far", "held up");
    plant.sends("far", "held up behind it");
    while plant.health()["lastKnownError"].is_null() {
        std::thread::yield_now();
    }
    assert_eq!(plant.health()["healthStatus"], "degraded");
    plant.world.restart();
    plant.saves(&plant.by_identity());
    plant.sends("far", "last");
    let expected = ["by identity", "by key", "held up", "held up behind it", "last"];
    // What had arrived when its endpoint was changed may come a second time, and nothing out of its order.
    let mut count = expected.len();
    let mut all = bodies(&plant.arrived(count));
    while all.last().is_none_or(|it| it != "last") {
        count += 1;
        all = bodies(&plant.arrived(count));
    }
    all.dedup();
    assert_eq!(all, expected);
}

/// S2-48: who wants to read with an Entra token what devices send has it routed to an event hub, and reads it there.
#[test]
fn what_is_routed_to_an_event_hub_is_read_there_with_an_entra_token() {
    let plant = Plant::new();
    plant.saves(&plant.by_identity());
    plant.sends("far", "for readers who are signed in");
    let reader = plant.world.service_principal("reader");
    plant.world.assign(&reader, RECEIVER, &plant.namespace).expect(201);
    let token = plant.world.token(&reader, "https://eventhubs.azure.net");
    assert_eq!(bodies(&plant.arrived_for(&token, 1)), ["for readers who are signed in"]);
}

/// S3-15, S3-17: queues and topics are sent to as well, by key and as the hub's identity, which needs the data role of
/// Service Bus and, behind a firewall, the exception for trusted services.
#[test]
fn messages_arrive_at_queues_and_topics() {
    let plant = Plant::new();
    let world = &plant.world;
    let bus = world.target("Microsoft.ServiceBus/namespaces", "plant-bus");
    for path in ["queues/alarms", "topics/all", "topics/all/subscriptions/one"] {
        world.arm("PUT", &format!("{bus}/{path}"), &json!({})).expect(200);
    }
    let host = world.namespace_host(&bus);
    let root = format!("{bus}/authorizationRules/RootManageSharedAccessKey");
    let keys = world.arm("POST", &format!("{root}/listKeys"), &Value::Null).expect(200).body;
    let string = keys["primaryConnectionString"].as_str().unwrap();
    let queue = json!({ "name": "queue", "authenticationType": "keyBased", "entityPath": "alarms",
        "connectionString": string });
    let topic = json!({ "name": "topic", "authenticationType": "identityBased", "entityPath": "all",
        "endpointUri": format!("sb://{host}/") });
    let route = |to: &str| {
        json!({ "name": to, "source": "DeviceMessages", "condition": "true",
        "endpointNames": [to], "isEnabled": true })
    };
    let routing = json!({ "properties": { "routing": {
        "endpoints": { "serviceBusQueues": [queue], "serviceBusTopics": [topic] },
        "routes": [route("queue"), route("topic")] } } });
    let refused = world.arm("PATCH", &plant.hub, &routing).expect(400).text();
    assert!(refused.contains("Azure Service Bus Data Sender"), "{refused}");
    let hub = world.arm("GET", &plant.hub, &Value::Null).expect(200).body;
    let own = world.managed_identity(hub["identity"]["principalId"].as_str().unwrap());
    world.assign(&own, BUS_SENDER, &format!("{bus}/topics/all")).expect(201);
    let only_topic =
        json!({ "properties": { "routing": { "endpoints": { "serviceBusTopics": [topic] } } } });
    let closes = |exception: bool| {
        let rules = json!({ "properties": { "defaultAction": "Deny",
            "trustedServiceAccessEnabled": exception } });
        world.arm("PUT", &format!("{bus}/networkRuleSets/default"), &rules).expect(200);
    };
    closes(false);
    let refused = world.arm("PATCH", &plant.hub, &only_topic).expect(400).text();
    assert!(refused.contains("exception for trusted services"), "{refused}");
    closes(true);
    world.arm("PATCH", &plant.hub, &only_topic).expect(200);
    let opens = json!({ "properties": { "defaultAction": "Allow" } });
    world.arm("PUT", &format!("{bus}/networkRuleSets/default"), &opens).expect(200);
    world.arm("PATCH", &plant.hub, &routing).expect(200);

    plant.sends("high", "fire");
    for address in ["alarms", "all/Subscriptions/one"] {
        let mut client = Client::begin(world.wire(), &host, world.amqp_port());
        let resource = format!("sb://{host}/");
        let token = world.rule_sas(&root, &resource);
        assert_eq!(client.puts_token(&resource, &token).0, 200);
        client.receives(address).unwrap();
        let heard = client.hears().message;
        assert_eq!(bodies(std::slice::from_ref(&heard)), ["fire"], "{address}");
        let level = heard.property("level").and_then(Amqp::text);
        assert_eq!(level, Some("high"), "{address}");
    }
}
