//! What hubs send to, as the control plane has it: namespaces, what lies in them, storage accounts; their keys and
//! their network rules.

use gate::network::{Part, ShownBy, Visitor};
use model::Scope;
use serde_json::{Value, json};
use testkit::{Answer, World};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

const EVENT_HUBS: &str = "Microsoft.EventHub/namespaces";
const SERVICE_BUS: &str = "Microsoft.ServiceBus/namespaces";
const STORAGE: &str = "Microsoft.Storage/storageAccounts";

/// A world with one target of each type.
struct Plant {
    world: World,
    events: String,
    bus: String,
    blobs: String,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let id = |kind: &str, name: &str| format!("{}/providers/{kind}/{name}", world.group());
        let (events, bus, blobs) = (
            id(EVENT_HUBS, "plant-events"),
            id(SERVICE_BUS, "plant-bus"),
            id(STORAGE, "plantblobs"),
        );
        let plant = Self { world, events, bus, blobs };
        for it in plant.all() {
            plant.puts(it, json!({ "location": "westus" })).expect(200);
        }
        plant
    }

    fn all(&self) -> [&String; 3] {
        [&self.events, &self.bus, &self.blobs]
    }

    fn puts(&self, id: &str, body: Value) -> Answer {
        self.world.arm("PUT", id, &body)
    }

    fn gets(&self, id: &str) -> Answer {
        self.world.arm("GET", id, &Value::Null)
    }

    fn posts(&self, id: &str, body: Value) -> Value {
        self.world.arm("POST", id, &body).expect(200).body
    }

    fn names(&self, list: &str) -> Vec<String> {
        let listed = self.gets(list).expect(200).body;
        let all = listed["value"].as_array().unwrap().iter();
        all.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether a hub reaches a target, by what it shows.
    fn reaches(&self, id: &str) -> [bool; 3] {
        let facts = self.world.env().facts.load();
        let target = facts.target(&Scope::parse(id).unwrap()).unwrap();
        [ShownBy::SystemIdentity, ShownBy::UserIdentity, ShownBy::Key]
            .map(|it| target.network.reach(Part::Service, Visitor::Hub(it)).passes)
    }
}

#[test]
fn a_namespace_and_what_lies_in_it_are_made_shown_listed_and_deleted() {
    let mut plant = Plant::new();
    let hub = format!("{}/eventhubs/telemetry", plant.events);
    let made = plant.puts(&hub, json!({ "properties": { "partitionCount": 2 } })).expect(200).body;
    assert_eq!(made["properties"]["partitionIds"], json!(["0", "1"]));
    assert_eq!(made["type"], "Microsoft.EventHub/namespaces/eventhubs");
    let refused = plant.puts(&hub, json!({ "properties": { "partitionCount": 3 } })).expect(400);
    assert_eq!(refused.body["error"]["target"], "properties.partitionCount");
    plant.puts(&hub, json!({ "properties": { "messageRetentionInDays": 3 } })).expect(200);
    assert_eq!(plant.gets(&hub).expect(200).body["properties"]["partitionCount"], 2);
    plant.puts(&format!("{hub}/consumergroups/readers"), json!({})).expect(200);
    plant.puts(&format!("{}/eventhubs/telemetry10", plant.events), json!({})).expect(200);
    plant
        .puts(&format!("{}/eventhubs/telemetry10/consumergroups/others", plant.events), json!({}))
        .expect(200);
    for (id, body) in [
        (
            format!("{}/queues/orders", plant.bus),
            json!({ "properties": { "maxDeliveryCount": 3 } }),
        ),
        (format!("{}/topics/alarms", plant.bus), json!({})),
        (format!("{}/topics/alarms/subscriptions/night", plant.bus), json!({})),
        (format!("{}/blobServices/default/containers/uploads", plant.blobs), json!({})),
    ] {
        plant.puts(&id, body).expect(200);
        plant.gets(&id).expect(200);
    }
    plant.world.restart();
    assert_eq!(plant.names(&format!("{}/eventhubs", plant.events)), ["telemetry", "telemetry10"]);
    assert_eq!(plant.names(&format!("{hub}/consumergroups")), ["$Default", "readers"]);
    assert_eq!(plant.names(&format!("{}/topics/alarms/subscriptions", plant.bus)), ["night"]);
    assert_eq!(
        plant.names(&format!("{}/blobServices/default/containers", plant.blobs)),
        ["uploads"]
    );
    let group = plant.world.group();
    assert_eq!(plant.names(&format!("{group}/providers/{EVENT_HUBS}")), ["plant-events"]);
    let subscription = plant.world.subscription();
    assert_eq!(plant.names(&format!("{subscription}/providers/{STORAGE}")), ["plantblobs"]);
    // What lies in them is no resource of the group.
    let resources = plant.names(&format!("{group}/resources"));
    assert!(
        resources.contains(&"plant-bus".to_owned()) && !resources.contains(&"orders".to_owned())
    );

    plant.world.arm("DELETE", &hub, &Value::Null).expect(200);
    plant.world.arm("DELETE", &hub, &Value::Null).expect(204);
    plant.gets(&format!("{hub}/consumergroups/readers")).expect(404);
    plant
        .gets(&format!("{}/eventhubs/telemetry10/consumergroups/others", plant.events))
        .expect(200);
    // Nothing lies in what is not there.
    plant.puts(&format!("{hub}/consumergroups/readers"), json!({})).expect(404);
    plant.puts(&format!("{}0/eventhubs/telemetry", plant.events), json!({})).expect(404);
    plant.world.arm("DELETE", &plant.events, &Value::Null).expect(200);
    plant.puts(&plant.events, json!({ "location": "westus" })).expect(200);
    assert_eq!(plant.names(&format!("{}/eventhubs", plant.events)), Vec::<String>::new());
}

/// Keys leave the server where they are asked for, and nowhere else: reading is not listing, and policies, traces and
/// former states see none.
#[test]
fn keys_are_listed_by_who_may_list_them_and_renewed_one_at_a_time() {
    let plant = Plant::new();
    let rule = |name: &str| format!("{}/authorizationRules/{name}", plant.events);
    let rights = |all: &[&str]| json!({ "properties": { "rights": all } });
    plant.puts(&rule("sender"), rights(&["Send"])).expect(200);
    let owner = format!("{}/listKeys", rule("RootManageSharedAccessKey"));
    assert_eq!(plant.posts(&owner, Value::Null)["keyName"], "RootManageSharedAccessKey");
    let list = format!("{}/listKeys", rule("sender"));
    let before = plant.posts(&list, Value::Null);
    let string = before["primaryConnectionString"].as_str().unwrap();
    let key = before["primaryKey"].as_str().unwrap();
    let host = plant.world.namespace_host(&plant.events);
    let begins = format!("Endpoint=sb://{host}/;SharedAccessKeyName=sender;");
    assert!(string.starts_with(&begins) && string.contains(key), "{string}");
    let shown = plant.gets(&rule("sender")).expect(200);
    assert!(!shown.text().contains(key), "{shown:?}");
    // Rights may change, and the keys stay.
    plant.puts(&rule("sender"), rights(&["Send", "Listen"])).expect(200);
    assert_eq!(plant.posts(&list, Value::Null), before);
    let renew = format!("{}/regenerateKeys", rule("sender"));
    let after = plant.posts(&renew, json!({ "keyType": "PrimaryKey" }));
    assert_ne!(after["primaryKey"], before["primaryKey"]);
    assert_eq!(after["secondaryKey"], before["secondaryKey"]);
    plant.world.arm("POST", &renew, &json!({ "keyType": "Both" })).expect(400);
    let wrong =
        plant.world.arm("POST", &renew, &json!({ "keyType": "PrimaryKey", "key": "short" }));
    assert!(!wrong.expect(400).text().contains("short"));
    for all in [&[][..], &["Everything"], &["Manage"], &["Send", "Send"]] {
        let refused = plant.puts(&rule("wrong"), rights(all)).expect(400);
        assert_eq!(refused.body["error"]["target"], "properties.rights", "{all:?}");
    }
    // An entity's keys name it.
    let queue = format!("{}/queues/orders", plant.bus);
    plant.puts(&queue, json!({})).expect(200);
    plant.puts(&format!("{queue}/authorizationRules/own"), rights(&["Listen"])).expect(200);
    let own = plant.posts(&format!("{queue}/authorizationRules/own/listKeys"), Value::Null);
    assert!(own["primaryConnectionString"].as_str().unwrap().ends_with(";EntityPath=orders"));

    let keys = plant.posts(&format!("{}/listKeys", plant.blobs), Value::Null);
    assert_eq!(
        (&keys["keys"][0]["keyName"], &keys["keys"][1]["keyName"]),
        (&json!("key1"), &json!("key2"))
    );
    let next = plant.posts(&format!("{}/regenerateKey", plant.blobs), json!({ "keyName": "key2" }));
    assert_eq!(next["keys"][0]["value"], keys["keys"][0]["value"]);
    assert_ne!(next["keys"][1]["value"], keys["keys"][1]["value"]);

    let reader = plant.world.service_principal("reader");
    plant.world.assign(&reader, READER, &plant.world.group()).expect(201);
    plant.world.arm_as(&reader, "GET", &rule("sender"), &Value::Null).expect(200);
    for path in [list, format!("{}/listKeys", plant.blobs)] {
        let refused = plant.world.arm_as(&reader, "POST", &path, &Value::Null).expect(403);
        assert_eq!(refused.code(), "AuthorizationFailed");
        plant.world.explained(&refused.tracking());
    }
    let kept =
        serde_json::to_string(&plant.world.refusals(model::Timestamp::from_millis(0))).unwrap();
    assert!(!kept.contains(key) && !kept.contains(keys["keys"][0]["value"].as_str().unwrap()));
}

/// S3-14, S3-17: three kinds of target, closed to networks: a hub passes with its system identity where the exception
/// for trusted services is made, and with nothing else.
#[test]
fn the_network_rules_of_a_target_are_what_a_hub_is_held_to() {
    let plant = Plant::new();
    let (open, trusted, closed) = ([true; 3], [true, false, false], [false; 3]);
    let rule_set = |id: &str| format!("{id}/networkRuleSets/default");
    for id in [&plant.events, &plant.bus] {
        let shown = plant.gets(&rule_set(id)).expect(200).body;
        assert_eq!(shown["properties"]["defaultAction"], "Allow");
        assert_eq!(plant.reaches(id), open);
        let sets =
            |properties: Value| plant.puts(&rule_set(id), json!({ "properties": properties }));
        let rule = json!({ "ipMask": "10.1.0.0/16", "action": "Allow" });
        sets(json!({ "defaultAction": "Deny", "ipRules": [rule] })).expect(200);
        assert_eq!(plant.reaches(id), closed);
        sets(json!({ "defaultAction": "Deny", "trustedServiceAccessEnabled": true })).expect(200);
        assert_eq!(plant.reaches(id), trusted);
        sets(json!({ "publicNetworkAccess": "Disabled", "trustedServiceAccessEnabled": true }))
            .expect(200);
        assert_eq!(plant.reaches(id), trusted);
        assert_eq!(
            plant.gets(id).expect(200).body["properties"]["publicNetworkAccess"],
            "Disabled"
        );
        // A write of the namespace leaves its rule set as it is.
        plant.puts(id, json!({ "location": "westus" })).expect(200);
        assert_eq!(plant.reaches(id), open);
        sets(json!({ "defaultAction": "Deny" })).expect(200);
        plant.puts(id, json!({ "location": "westus" })).expect(200);
        assert_eq!(plant.reaches(id), closed);
        let listed = plant.gets(&format!("{id}/networkRuleSets")).expect(200).body;
        assert_eq!(listed["value"][0]["properties"]["defaultAction"], "Deny");
        for (wrong, at) in [
            (json!({ "ipRules": [{ "ipMask": "10.0.0.0/33" }] }), "properties.ipRules[0].ipMask"),
            (
                json!({ "virtualNetworkRules": [{ "subnet": {} }] }),
                "properties.virtualNetworkRules",
            ),
            (
                json!({ "publicNetworkAccess": "SecuredByPerimeter" }),
                "properties.publicNetworkAccess",
            ),
        ] {
            assert_eq!(sets(wrong).expect(400).body["error"]["target"], at);
        }
    }
    let acls = |acls: Value| {
        let body = json!({ "properties": { "networkAcls": acls } });
        plant.world.arm("PATCH", &plant.blobs, &body)
    };
    assert_eq!(plant.reaches(&plant.blobs), open);
    acls(json!({ "defaultAction": "Deny", "bypass": "None" })).expect(200);
    assert_eq!(plant.reaches(&plant.blobs), closed);
    acls(json!({ "bypass": "Logging, AzureServices" })).expect(200);
    assert_eq!(plant.reaches(&plant.blobs), trusted);
    let body = json!({ "properties": { "publicNetworkAccess": "Disabled" } });
    plant.world.arm("PATCH", &plant.blobs, &body).expect(200);
    assert_eq!(plant.reaches(&plant.blobs), trusted);
    for (wrong, at) in [
        (json!({ "bypass": "Everybody" }), "bypass"),
        (json!({ "ipRules": [{ "value": "plant" }] }), "ipRules[0].value"),
        (json!({ "resourceAccessRules": [{}] }), "resourceAccessRules"),
    ] {
        let refused = acls(wrong).expect(400);
        assert_eq!(refused.body["error"]["target"], format!("properties.networkAcls.{at}"));
    }
}

#[test]
fn targets_are_named_moved_locked_and_judged_as_every_resource_is() {
    let plant = Plant::new();
    let group = plant.world.group();
    for (kind, bad) in [
        (EVENT_HUBS, ["short", "1name-", "plant_events"]),
        (SERVICE_BUS, ["a", "-plant-bus", "plant.bus.one"]),
        (STORAGE, ["Plant", "ab", "plant-blobs"]),
    ] {
        for name in bad {
            let refused = plant
                .puts(&format!("{group}/providers/{kind}/{name}"), json!({ "location": "westus" }));
            assert_eq!(refused.expect(400).body["error"]["target"], "name", "{name}");
        }
    }
    // Event Hubs and Service Bus share their names, and storage accounts have theirs.
    let taken = format!("{group}/providers/{SERVICE_BUS}/Plant-Events");
    assert_eq!(
        plant.puts(&taken, json!({ "location": "westus" })).expect(409).code(),
        "NameNotAvailable"
    );
    let subscription = plant.world.subscription();
    let check = |provider: &str, name: &str| {
        let path = format!("{subscription}/providers/{provider}/checkNameAvailability");
        plant.posts(&path, json!({ "name": name, "type": STORAGE }))["nameAvailable"].clone()
    };
    assert_eq!(check("Microsoft.Storage", "plantblobs"), false);
    assert_eq!(check("Microsoft.Storage", "plantblobs10"), true);
    assert_eq!(check("Microsoft.EventHub", "plant-bus"), false);
    assert_eq!(check("Microsoft.ServiceBus", "plant-bus10"), true);

    plant.puts(&format!("{}/queues/orders", plant.bus), json!({})).expect(200);
    let lock = format!("{}/providers/Microsoft.Authorization/locks/keep", plant.bus);
    plant.puts(&lock, json!({ "properties": { "level": "CanNotDelete" } })).expect(201);
    assert_eq!(
        plant.world.arm("DELETE", &plant.bus, &Value::Null).expect(409).code(),
        "ScopeLocked"
    );
    let inside = format!("{}/queues/orders", plant.bus);
    assert_eq!(plant.world.arm("DELETE", &inside, &Value::Null).expect(409).code(), "ScopeLocked");
    plant.world.arm("DELETE", &lock, &Value::Null).expect(200);

    let body = json!({ "tags": { "line": "3" } });
    let tagged = plant.world.arm("PATCH", &plant.bus, &body).expect(200).body;
    assert_eq!(tagged["tags"]["line"], "3");
    let list = |id: &str| {
        plant.posts(
            &format!("{id}/authorizationRules/RootManageSharedAccessKey/listKeys"),
            Value::Null,
        )
    };
    let keys = list(&plant.bus);
    let to = format!("{group}0");
    plant.puts(&to, json!({ "location": "westus" })).expect(201);
    let body = json!({ "targetResourceGroup": to, "resources": [plant.bus] });
    plant.world.arm("POST", &format!("{group}/moveResources"), &body).expect(204);
    plant.gets(&plant.bus).expect(404);
    let moved = plant.bus.replace(&group, &to);
    assert_eq!(plant.gets(&format!("{moved}/queues/orders")).expect(200).body["name"], "orders");
    assert_eq!(list(&moved), keys);
    plant.world.arm("DELETE", &to, &Value::Null);
    plant.gets(&moved).expect(404);

    // A policy sees what would be stored, with what the body leaves out.
    let field = "Microsoft.Storage/storageAccounts/networkAcls.defaultAction";
    let rule = json!({ "if": { "allOf": [{ "field": "type", "equals": STORAGE }, { "field": field, "equals": "Allow" }] },
        "then": { "effect": "deny" } });
    plant.world.define_policy("closed-storage", &rule).expect(201);
    plant.world.assign_policy("closed-storage", &group).expect(201);
    let other = format!("{group}/providers/{STORAGE}/otherblobs");
    assert_eq!(
        plant.puts(&other, json!({ "location": "westus" })).expect(403).code(),
        "RequestDisallowedByPolicy"
    );
    let closed = json!({ "location": "westus", "properties": { "networkAcls": { "defaultAction": "Deny" } } });
    plant.puts(&other, closed).expect(200);
    // What is assigned to a target, or to a thing in one, is no part of it.
    let own = format!(
        "{}/providers/Microsoft.Authorization/policyAssignments/closed-storage",
        plant.blobs
    );
    plant.world.assign_policy("closed-storage", &plant.blobs).expect(201);
    let renamed = json!({ "properties": { "displayName": "closed" } });
    let patched = plant.world.arm("PATCH", &own, &renamed).expect(201).body;
    assert_eq!(patched["properties"]["displayName"], "closed");
    let queue = format!("{}/eventhubs/roles", plant.events);
    plant.puts(&queue, json!({})).expect(200);
    let sender = plant.world.service_principal("sender");
    plant.world.assign(&sender, "2b629674-e913-4c01-ae53-ef4638d8f975", &queue).expect(201);
    plant.world.assign(&sender, READER, &format!("{queue}10")).expect(404);
    // Who may write hubs' groups may write targets; who may only read may not.
    let (writer, reader) =
        (plant.world.service_principal("writer"), plant.world.service_principal("reader"));
    plant.world.assign(&writer, CONTRIBUTOR, &group).expect(201);
    plant.world.assign(&reader, READER, &group).expect(201);
    let hub = format!("{}/eventhubs/telemetry", plant.events);
    plant.world.arm_as(&reader, "PUT", &hub, &json!({})).expect(403);
    plant.world.arm_as(&writer, "PUT", &hub, &json!({})).expect(200);
    for (wrong, at) in [
        (
            json!({ "location": "westus", "identity": { "type": "SystemAssigned" } }),
            "identity.type",
        ),
        (json!({ "location": "eastus" }), "location"),
        (json!({ "location": "westus", "sku": { "name": "Huge" } }), "sku.name"),
        (
            json!({ "location": "westus", "properties": { "disableLocalAuth": "no" } }),
            "properties.disableLocalAuth",
        ),
        (
            json!({ "location": "westus", "properties": { "encryption": { "keySource": "Microsoft.KeyVault" } } }),
            "properties.encryption.keySource",
        ),
    ] {
        assert_eq!(plant.puts(&plant.events, wrong).expect(400).body["error"]["target"], at);
    }
}
