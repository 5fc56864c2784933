//! One hub that calls others as several identities at once, and changes as whom it calls while messages flow.

use super::managed_identities::{identity, with_type};
use model::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{Amqp, Answer, Device, Identity, World};

const SENDER: &str = "2b629674-e913-4c01-ae53-ef4638d8f975";
const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";

struct Plant {
    world: World,
    hub: String,
    namespace: String,
    device: Device,
    own: Identity,
    /// Its user-assigned identities: the id of each, and who it is.
    users: [(String, Identity); 2],
}

impl Plant {
    /// With the event hubs `telemetry-1` and `telemetry-10`.
    fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let namespace = world.target("Microsoft.EventHub/namespaces", "plant-events");
        for name in ["telemetry-1", "telemetry-10"] {
            let body = json!({ "properties": { "partitionCount": 1 } });
            world.arm("PUT", &format!("{namespace}/eventhubs/{name}"), &body).expect(200);
        }
        let users = ["id-1", "id-10"].map(|it| identity(&world, it));
        let all = with_type("SystemAssigned, UserAssigned", &[&users[0].0, &users[1].0]);
        let shown = world.arm("PATCH", &hub, &all).expect(200).body;
        let own = world.managed_identity(shown["identity"]["principalId"].as_str().unwrap());
        let device = world.device(&hub, "pump-1");
        Self { world, hub, namespace, device, own, users }
    }

    fn events(&self, name: &str) -> String {
        format!("{}/eventhubs/{name}", self.namespace)
    }

    /// Gives somebody a role: the assignment's id.
    fn may(&self, who: &Identity, role: &str, scope: &str) -> String {
        let made = self.world.assign(who, role, scope).expect(201).body;
        made["id"].as_str().unwrap().to_owned()
    }

    fn takes_away(&self, assignment: &str) {
        self.world.arm("DELETE", assignment, &Value::Null).expect(200);
    }

    /// An endpoint as an identity: the named one, or the hub's own.
    fn endpoint(&self, name: &str, entity: &str, named: Option<&str>) -> Value {
        let host = self.world.namespace_host(&self.namespace);
        let mut it = json!({ "name": name, "authenticationType": "identityBased",
            "entityPath": entity, "endpointUri": format!("sb://{host}/") });
        if let Some(id) = named {
            it["identity"] = json!({ "userAssignedIdentity": id });
        }
        it
    }

    fn by_key(&self, name: &str, entity: &str) -> Value {
        let rule = format!("{}/authorizationRules/RootManageSharedAccessKey", self.namespace);
        let keys = self.world.arm("POST", &format!("{rule}/listKeys"), &Value::Null).expect(200);
        let string = keys.body["primaryConnectionString"].as_str().unwrap();
        json!({ "name": name, "authenticationType": "keyBased",
            "connectionString": format!("{string};EntityPath={entity}") })
    }

    /// Sends all to each of the endpoints.
    fn saves(&self, endpoints: &[Value]) {
        let route = |it: &Value| {
            json!({ "name": it["name"], "source": "DeviceMessages", "condition": "true",
                "endpointNames": [it["name"]], "isEnabled": true })
        };
        let routes: Vec<Value> = endpoints.iter().map(route).collect();
        let routing = json!({ "endpoints": { "eventHubs": endpoints }, "routes": routes });
        let body = json!({ "properties": { "routing": routing } });
        self.world.arm("PATCH", &self.hub, &body).expect(200);
    }

    fn asks(&self, path: &str, body: &[u8]) -> Answer {
        let own = self.device.signature(self.world.now().plus_seconds(600));
        let path = format!("/devices/pump-1/{path}?api-version=2021-04-12");
        let url = format!("{}{path}", self.world.hub_origin(&self.hub));
        let headers = [("Authorization", own.as_str()), ("Content-Type", "application/json")];
        self.world.wire().send("POST", &url, &headers, body)
    }

    fn sends(&self, body: &str) {
        self.asks("messages/events", body.as_bytes()).expect(204);
    }

    /// Who reads an event hub from its beginning.
    fn reader(&self, entity: &str) -> Amqp {
        let host = self.world.namespace_host(&self.namespace);
        let mut client = Amqp::begin(self.world.wire(), &host, self.world.amqp_port());
        let resource = format!("sb://{host}/{entity}");
        let rule = format!("{}/authorizationRules/RootManageSharedAccessKey", self.namespace);
        assert_eq!(client.puts_token(&resource, &self.world.rule_sas(&rule, &resource)).0, 200);
        let address = format!("{entity}/ConsumerGroups/$Default/Partitions/0");
        let filter = "amqp.annotation.x-opt-offset > '-1'";
        client.receives_with(&address, Some(filter), amqp::Value::Null).unwrap();
        client
    }

    /// What lies in an event hub: so many messages, waited for, and no more.
    fn arrived(&self, entity: &str, count: usize) -> Vec<String> {
        let mut client = self.reader(entity);
        let all = (0..count).map(|_| next(&mut client)).collect();
        assert!(client.is_quiet());
        all
    }

    /// Waits until an endpoint, by its place among them, says why it does not send.
    fn is_held_up(&self, place: usize) {
        let path = format!("{}/routingEndpointsHealth", self.hub);
        loop {
            let all = self.world.arm("GET", &path, &Value::Null).expect(200).body;
            // The first is the built-in endpoint.
            if !all["value"][place + 1]["lastKnownError"].is_null() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Whom targets have refused since then, by object id.
    fn refused(&self, since: Timestamp) -> BTreeSet<String> {
        let all = serde_json::to_value(self.world.refusals(since)).unwrap();
        let id = |it: &Value| it["call"]["caller"]["objectId"].as_str().map(str::to_owned);
        all.as_array().unwrap().iter().filter_map(id).collect()
    }
}

fn next(client: &mut Amqp) -> String {
    String::from_utf8(client.hears().message.data().unwrap().to_vec()).unwrap()
}

/// S3-13: two endpoints and the storage for files are called as three identities at once. Each has a role at its own
/// target alone, and where one loses it, that target refuses that identity and the two other ways go on.
#[test]
fn each_way_out_is_called_as_the_identity_that_it_was_given() {
    let plant = Plant::new();
    let world = &plant.world;
    let account = world.target("Microsoft.Storage/storageAccounts", "plantfiles");
    let container = format!("{account}/blobServices/default/containers/files");
    world.arm("PUT", &container, &json!({})).expect(200);
    let [(first, one), (second, two)] = &plant.users;
    let held = [
        plant.may(one, SENDER, &plant.events("telemetry-1")),
        plant.may(two, SENDER, &plant.events("telemetry-10")),
        plant.may(&plant.own, BLOB_CONTRIBUTOR, &account),
    ];
    plant.saves(&[
        plant.endpoint("a", "telemetry-1", Some(first)),
        plant.endpoint("b", "telemetry-10", Some(second)),
    ]);
    let storage = json!({ "$default": { "connectionString": "AccountName=plantfiles;EndpointSuffix=core.windows.net",
        "containerName": "files", "authenticationType": "identityBased" } });
    let body = json!({ "properties": { "storageEndpoints": storage } });
    world.arm("PATCH", &plant.hub, &body).expect(200);
    let uploads = || plant.asks("files", br#"{"blobName":"a"}"#);
    let since = world.now();

    plant.sends("1");
    assert_eq!(plant.arrived("telemetry-1", 1), ["1"]);
    assert_eq!(plant.arrived("telemetry-10", 1), ["1"]);
    uploads().expect(200);
    assert_eq!(plant.refused(since), BTreeSet::new());

    let mut refused = BTreeSet::new();
    plant.takes_away(&held[0]);
    plant.sends("2");
    plant.is_held_up(0);
    assert_eq!(plant.arrived("telemetry-10", 2), ["1", "2"]);
    uploads().expect(200);
    refused.insert(one.object_id.clone());
    assert_eq!(plant.refused(since), refused);

    plant.takes_away(&held[2]);
    uploads().expect(400);
    plant.sends("3");
    assert_eq!(plant.arrived("telemetry-10", 3), ["1", "2", "3"]);
    refused.insert(plant.own.object_id.clone());
    assert_eq!(plant.refused(since), refused);

    plant.takes_away(&held[1]);
    plant.sends("4");
    plant.is_held_up(1);
    refused.insert(two.object_id.clone());
    assert_eq!(plant.refused(since), refused);
    assert_eq!(plant.arrived("telemetry-1", 1), ["1"]);
    assert_eq!(plant.arrived("telemetry-10", 3), ["1", "2", "3"]);
}

/// S3-21: from a key to the hub's own identity, to one user-assigned identity, to another and back to the key, without a
/// pause in what the device sends: all of it arrives, in its order.
#[test]
fn messages_flow_while_their_endpoint_changes_as_whom_it_signs_in() {
    let plant = Plant::new();
    for who in [&plant.own, &plant.users[0].1, &plant.users[1].1] {
        plant.may(who, SENDER, &plant.events("telemetry-1"));
    }
    let users = [&plant.users[0].0, &plant.users[1].0];
    let mut sent = Vec::new();
    let ways = [
        plant.by_key("a", "telemetry-1"),
        plant.endpoint("a", "telemetry-1", None),
        plant.endpoint("a", "telemetry-1", Some(users[0])),
        plant.endpoint("a", "telemetry-1", Some(users[1])),
        plant.by_key("a", "telemetry-1"),
    ];
    for (index, way) in ways.iter().enumerate() {
        plant.saves(std::slice::from_ref(way));
        for message in 0..5 {
            sent.push(format!("{index}.{message}"));
            plant.sends(sent.last().unwrap());
        }
    }
    // What was under way at a change is sent again: more may lie there than was sent.
    let (mut reader, mut all) = (plant.reader("telemetry-1"), Vec::new());
    while all.last() != sent.last() {
        all.push(next(&mut reader));
    }
    let mut seen = BTreeSet::new();
    all.retain(|it| seen.insert(it.clone()));
    assert_eq!(all, sent);
}
