//! Every permission of the service API over the wire: with it alone a call passes, with all but it the call is
//! refused and the refusal names it; and what the built-in roles of hubs come to.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";
const REGISTRY: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
const TWINS: &str = "494bdba2-168f-4f31-a0a1-191d2f7c028c";
const LOCK: &str = "00000000-0000-4000-8000-000000000000";

/// A call, and what it answers to whoever may make it.
struct Operation {
    permission: &'static str,
    method: &'static str,
    path: String,
    body: Value,
    answers: u16,
}

/// Each operation that one permission opens, and that permission.
fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |permission, method, path: &str, body: Value, answers| {
        all.push(Operation { permission, method, path: path.to_owned(), body, answers });
    };
    let none = Value::Null;
    let method = json!({ "methodName": "m" });
    let tags = json!({ "tags": { "a": 1 } });
    let patch = json!([{ "op": "add", "path": "/a", "value": 1 }]);
    add("devices/read", "GET", "/devices", none.clone(), 200);
    add("devices/read", "GET", "/devices/pump-1", none.clone(), 200);
    add("devices/read", "GET", "/devices/pump-1/modules", none.clone(), 200);
    add("devices/read", "GET", "/devices/pump-1/modules/valve", none.clone(), 200);
    add("devices/write", "PUT", "/devices/{new}", json!({}), 200);
    add("devices/write", "PUT", "/devices/pump-1/modules/{new}", json!({}), 200);
    let keys = json!({ "policyKey": "both", "devices": [{ "id": "pump-2" }] });
    add("devices/write", "POST", "/devices/keys/regenerate", keys, 200);
    add("devices/delete", "DELETE", "/devices/nobody", none.clone(), 404);
    add("devices/delete", "DELETE", "/devices/pump-1/modules/nobody", none.clone(), 404);
    add("twins/read", "GET", "/twins/pump-1", none.clone(), 200);
    add("twins/read", "GET", "/twins/pump-1/modules/valve", none.clone(), 200);
    add("twins/read", "GET", "/digitaltwins/pump-1", none.clone(), 200);
    let query = |from: &str| json!({ "query": format!("SELECT * FROM {from}") });
    add("twins/read", "POST", "/devices/query", query("devices"), 200);
    add("twins/read", "POST", "/devices/query", query("devices.modules"), 200);
    add("twins/write", "PATCH", "/twins/pump-1", tags.clone(), 200);
    add("twins/write", "PUT", "/twins/pump-1", tags.clone(), 200);
    add("twins/write", "PATCH", "/twins/pump-1/modules/valve", tags.clone(), 200);
    add("twins/write", "PATCH", "/digitaltwins/pump-1", patch, 202);
    add("jobs/read", "GET", "/jobs/v2/query", none.clone(), 200);
    add("jobs/read", "GET", "/jobs/v2/later", none.clone(), 200);
    add("jobs/read", "POST", "/devices/query", query("devices.jobs"), 200);
    let job = json!({ "type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": tags,
        "startTime": "2100-01-01T00:00:00Z" });
    add("jobs/write", "PUT", "/jobs/v2/{new}", job, 200);
    add("jobs/delete", "POST", "/jobs/v2/nobody/cancel", none.clone(), 404);
    let message = json!({ "body": "", "base64Encoded": false });
    let send = "cloudToDeviceMessages/send/action";
    add(send, "POST", "/devices/pump-1/messages/deviceBound", message, 204);
    let feedback = "cloudToDeviceMessages/feedback/action";
    add(feedback, "GET", "/messages/serviceBound/feedback", none.clone(), 204);
    let held = format!("/messages/serviceBound/feedback/{LOCK}");
    add(feedback, "DELETE", &held, none.clone(), 412);
    add(feedback, "POST", &format!("{held}/abandon"), none.clone(), 412);
    let purge = "cloudToDeviceMessages/queue/purge/action";
    add(purge, "DELETE", "/devices/pump-1/commands", none.clone(), 200);
    // Nobody is connected: whoever may call learns that.
    let invoke = "directMethods/invoke/action";
    add(invoke, "POST", "/twins/pump-1/methods", method.clone(), 404);
    add(invoke, "POST", "/twins/pump-1/modules/valve/methods", method, 404);
    add(invoke, "POST", "/digitaltwins/pump-1/commands/c", json!({}), 404);
    add(invoke, "POST", "/digitaltwins/pump-1/components/v/commands/c", json!({}), 404);
    add("statistics/read", "GET", "/statistics/devices", none.clone(), 200);
    add("statistics/read", "GET", "/statistics/service", none.clone(), 200);
    add("configurations/read", "GET", "/configurations", none.clone(), 200);
    add("configurations/read", "GET", "/configurations/c1", none.clone(), 200);
    let content = json!({ "deviceContent": { "properties.desired.x": 1 } });
    let configuration = json!({ "content": content, "targetCondition": "" });
    add("configurations/write", "PUT", "/configurations/{new}", configuration, 201);
    add("configurations/delete", "DELETE", "/configurations/nobody", none, 404);
    let apply = "configurations/applyToEdgeDevice/action";
    add(apply, "POST", "/devices/pump-1/applyConfigurationContent", content, 204);
    let test = "configurations/testQueries/action";
    add(test, "POST", "/configurations/testQueries", json!({ "targetCondition": "*" }), 200);
    all
}

struct Plant {
    world: World,
    hub: String,
    new: std::cell::Cell<u32>,
}

impl Plant {
    fn new() -> Self {
        let world = World::new();
        let plant = Self { hub: world.hub(), world, new: std::cell::Cell::new(0) };
        let admin = plant.holder("setup", &["*"], &[]);
        for id in ["pump-1", "pump-2"] {
            plant.asks(&admin, "PUT", &format!("/devices/{id}"), &json!({})).expect(200);
        }
        plant.asks(&admin, "PUT", "/devices/pump-1/modules/valve", &json!({})).expect(200);
        for it in operations() {
            match it.path.as_str() {
                "/jobs/v2/{new}" => drop(plant.asks(&admin, "PUT", "/jobs/v2/later", &it.body)),
                "/configurations/{new}" => {
                    drop(plant.asks(&admin, "PUT", "/configurations/c1", &it.body));
                }
                _ => {}
            }
        }
        plant
    }

    /// Somebody with a custom role at the hub: these data actions without those.
    fn holder(&self, name: &str, has: &[&str], lacks: &[&str]) -> Identity {
        let who = self.world.service_principal(name);
        self.grant(&who, has, lacks);
        who
    }

    fn grant(&self, who: &Identity, has: &[&str], lacks: &[&str]) {
        let name = &who.name;
        let id = self.world.guid();
        let full = |all: &[&str]| -> Vec<String> {
            all.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect()
        };
        let subscription = self.world.subscription();
        let role = json!({ "properties": {
            "roleName": format!("{name} {id}"), "assignableScopes": [subscription],
            "permissions": [{ "dataActions": full(has), "notDataActions": full(lacks) }],
        }});
        let path = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{id}");
        self.world.arm("PUT", &path, &role).expect(201);
        self.world.assign(who, &id, &self.hub).expect(201);
    }

    fn asks(&self, who: &Identity, method: &str, path: &str, body: &Value) -> Answer {
        self.new.set(self.new.get() + 1);
        let path = path.replace("{new}", &format!("new-{}", self.new.get()));
        self.world.hub_as(who, method, &self.hub, &path, body)
    }
}

/// S2-19, S2-25, S2-26, S2-27, S2-28, S2-29, S2-30, S2-31, S2-32, S2-33, S2-35, S2-36, S2-38, S2-39, S2-40, S2-41,
/// S2-42, S2-43, S2-45, S2-46, S2-47. Each permission opens the operations that it names; without it, whatever else somebody
/// has, they are refused, and the refusal names it.
#[test]
fn each_permission_opens_its_operations_and_nothing_else_does() {
    let plant = Plant::new();
    let all = operations();
    let permissions: std::collections::BTreeSet<&str> =
        all.iter().map(|it| it.permission).collect();
    assert_eq!(permissions.len(), 18, "{permissions:?}");
    for permission in permissions {
        let with = plant.holder("with", &[permission], &[]);
        let without = plant.holder("without", &["*"], &[permission]);
        for it in &all {
            let what = format!("{} {} and {permission}", it.method, it.path);
            if it.permission == permission {
                let answer = plant.asks(&with, it.method, &it.path, &it.body);
                assert_eq!(answer.status, it.answers, "{what}: {}", answer.text());
                let refused = plant.asks(&without, it.method, &it.path, &it.body);
                assert_eq!(
                    (refused.status, refused.code()),
                    (401, "IotHubUnauthorized".to_owned()),
                    "{what}"
                );
                let named = format!("needed: Microsoft.Devices/IotHubs/{permission}");
                assert!(refused.text().contains(&named), "{what}: {}", refused.text());
            } else {
                let refused = plant.asks(&with, it.method, &it.path, &it.body);
                assert_eq!(refused.status, 401, "{what}");
            }
        }
    }
}

/// S2-15, S2-16, S2-17, S2-18. The roles of hubs, at every operation.
#[test]
fn the_roles_of_hubs_open_what_they_say_and_nothing_else() {
    let plant = Plant::new();
    let holder = |name: &str, role: &str| {
        let who = plant.world.service_principal(name);
        plant.world.assign(&who, role, &plant.hub).expect(201);
        who
    };
    type Opens = fn(&str) -> bool;
    let roles: [(Identity, Opens); 4] = [
        (holder("contributor", CONTRIBUTOR), |_| true),
        (holder("reader", READER), |it| it.ends_with("/read")),
        (holder("registry", REGISTRY), |it| it.starts_with("devices/")),
        (holder("twins", TWINS), |it| it.starts_with("twins/")),
    ];
    for it in operations() {
        for (who, opens) in &roles {
            let answer = plant.asks(who, it.method, &it.path, &it.body);
            let expected = if opens(it.permission) { it.answers } else { 401 };
            assert_eq!(answer.status, expected, "{} {} as {}", it.method, it.path, who.name);
        }
    }
}

/// S2-34. Feedback is received, completed and abandoned with its permission; see above for who lacks it.
#[test]
fn whoever_may_receive_feedback_receives_and_settles_it() {
    let plant = Plant::new();
    let sender = plant.holder("sender", &["cloudToDeviceMessages/send/action"], &[]);
    let purger = plant.holder("purger", &["cloudToDeviceMessages/queue/purge/action"], &[]);
    let hears = plant.holder("hears", &["cloudToDeviceMessages/feedback/action"], &[]);
    let message = json!({ "body": "", "base64Encoded": false, "messageId": "m1", "ack": "full" });
    let path = "/devices/pump-1/messages/deviceBound";
    plant.asks(&sender, "POST", path, &message).expect(204);
    plant.asks(&purger, "DELETE", "/devices/pump-1/commands", &Value::Null).expect(200);
    let receives = || plant.asks(&hears, "GET", "/messages/serviceBound/feedback", &Value::Null);
    let settle = |answer: &Answer, method: &str, rest: &str| {
        let lock = answer.header("etag").unwrap().trim_matches('"').to_owned();
        let path = format!("/messages/serviceBound/feedback/{lock}{rest}");
        plant.asks(&hears, method, &path, &Value::Null).expect(204);
    };
    let first = receives().expect(200);
    assert_eq!(first.body[0]["originalMessageId"], "m1");
    settle(&first, "POST", "/abandon");
    let again = receives().expect(200);
    settle(&again, "DELETE", "");
    receives().expect(204);
}

/// S2-49. A new hub takes tokens and keys.
#[test]
fn a_new_hub_takes_tokens_and_keys() {
    let plant = Plant::new();
    let shown = plant.world.arm("GET", &plant.hub, &Value::Null).expect(200).body;
    assert_eq!(shown["properties"]["disableLocalAuth"], false);
    let reader = plant.holder("reader", &["devices/read"], &[]);
    plant.asks(&reader, "GET", "/devices/pump-1", &Value::Null).expect(200);
    let path = "/devices/pump-1";
    let read = plant.world.hub_by_key("registryRead", "GET", &plant.hub, path, &[], &Value::Null);
    read.expect(200);
}

/// S2-11. Roles add up: what needs two permissions is open to who has each of them by another role.
#[test]
fn two_roles_together_allow_what_neither_allows() {
    let plant = Plant::new();
    let bulk = |who: &Identity| {
        plant.asks(who, "POST", "/devices", &json!([{ "id": "a", "importMode": "createOrUpdate" }]))
    };
    let writes = plant.holder("writes", &["devices/write"], &[]);
    let deletes = plant.holder("deletes", &["devices/delete"], &[]);
    bulk(&writes).expect(401);
    bulk(&deletes).expect(401);
    plant.grant(&writes, &["devices/delete"], &[]);
    bulk(&writes).expect(200);
}
