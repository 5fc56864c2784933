//! Security policies of devices and the security settings of a hub: what they say, who may write them, and how they
//! go with their device.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const ARM: &str = "https://management.azure.com";
const ROLE: &str = "Microsoft.Authorization/roleDefinitions";

pub(super) struct Plant {
    pub(super) world: World,
    pub(super) hub: String,
}

impl Plant {
    fn new() -> Self {
        Self::of(World::new())
    }

    pub(super) fn of(world: World) -> Self {
        let plant = Self { hub: world.hub(), world };
        ["device1", "device10"].iter().for_each(|it| drop(plant.world.device(&plant.hub, it)));
        plant
    }

    /// Registers many devices at once.
    pub(super) fn registers(&self, names: &[String]) {
        for page in names.chunks(100) {
            let devices: Vec<Value> =
                page.iter().map(|it| json!({ "id": it, "importMode": "create" })).collect();
            let made = self.world.hub_by_key(
                "iothubowner",
                "POST",
                &self.hub,
                "/devices",
                &[],
                &json!(devices),
            );
            made.expect(200);
        }
    }

    /// A call of the thread's version, with more in front of it where the path has a query.
    pub(super) fn with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        tag: &str,
        body: &Value,
    ) -> Answer {
        let mark = if path.contains('?') { '&' } else { '?' };
        let origin = self.world.setting("HUBWARD_ARM");
        let url = format!("{origin}{path}{mark}api-version=2021-07-01");
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend((!tag.is_empty()).then_some(("If-Match", tag)));
        self.world.wire().json_with(method, &url, &headers, body)
    }

    pub(super) fn asks(&self, who: &Identity, method: &str, below: &str, body: &Value) -> Answer {
        let token = self.world.token(who, ARM);
        self.with(&token, method, &format!("{}/{below}", self.hub), "", body)
    }

    /// A role of the tenant's own, assignable at the hub alone; the id of its definition.
    pub(super) fn role(&self, name: &str, actions: &[&str]) -> String {
        let id = self.world.guid();
        let actions: Vec<String> =
            actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
        let body = json!({ "properties": { "roleName": name, "assignableScopes": [self.hub],
            "permissions": [{ "actions": actions }] } });
        let path = format!("{}/providers/{ROLE}/{id}", self.hub);
        self.world.arm("PUT", &path, &body).expect(201);
        id
    }

    /// Somebody with the five actions of the thread at the hub.
    fn manager(&self) -> Identity {
        let five = [
            "securityPolicies/write",
            "securityPolicies/read",
            "securityPolicies/delete",
            "securitySettings/write",
            "securitySettings/read",
        ];
        let who = self.world.service_principal("ingest");
        let role = self.role("IoT Security Policy Manager", &five);
        self.world.assign(&who, &role, &self.hub).expect(201);
        who
    }

    fn events(&self, device: &str) -> Vec<String> {
        let path = format!("/devices/{device}/story");
        let told = self.world.hub_by_key("iothubowner", "GET", &self.hub, &path, &[], &Value::Null);
        let entries = told.expect(200).body["entries"].as_array().unwrap().clone();
        entries.iter().map(|it| it["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn saying(properties: Value) -> Value {
    json!({ "properties": properties })
}

/// S1-01, S1-14, S1-23, S1-24: one policy per device, written, read, listed and deleted in the thread's version of the
/// API; for a device that is not there, or is another hub's, the answer says what to do.
#[test]
fn a_device_has_one_policy_which_is_written_read_listed_and_deleted() {
    let plant = Plant::new();
    let who = plant.manager();
    let strict = json!({ "allowedAuthentication": ["x509"], "minimumTlsVersion": "1.3",
        "maxKeyAgeDays": 90, "action": "audit" });
    let made = plant.asks(&who, "PUT", "securityPolicies/device1", &saying(strict.clone()));
    let made = made.expect(201).body;
    assert_eq!(made["name"], "device1");
    assert_eq!(made["type"], "Microsoft.Devices/IotHubs/securityPolicies");
    assert_eq!(made["id"], format!("{}/securityPolicies/device1", plant.hub));
    assert_eq!(made["properties"], strict);
    assert_eq!(plant.asks(&who, "GET", "securityPolicies/device1", &Value::Null).body, made);
    // What was read can be sent back as it is, and the whole of it is replaced.
    plant.asks(&who, "PUT", "securityPolicies/device1", &made).expect(200);
    let wide = saying(json!({ "maxMessagesPerMinute": 60 }));
    let other = plant.asks(&who, "PUT", "securityPolicies/device1", &wide).expect(200).body;
    assert_eq!(other["properties"], wide["properties"]);
    assert_ne!(other["etag"], made["etag"]);

    let token = plant.world.token(&who, ARM);
    let path = format!("{}/securityPolicies/device1", plant.hub);
    let etag = made["etag"].as_str().unwrap();
    assert_eq!(plant.with(&token, "PUT", &path, etag, &wide).status, 412);
    assert_eq!(plant.with(&token, "DELETE", &path, etag, &Value::Null).status, 412);
    // A namesake has none, and a name in another casing is another device.
    let missing = |name: &str| {
        let answer = plant.asks(&who, "GET", &format!("securityPolicies/{name}"), &Value::Null);
        (answer.status, answer.code())
    };
    assert_eq!(missing("device10"), (404, "ResourceNotFound".to_owned()));
    assert_eq!(missing("Device1"), (404, "DeviceNotFound".to_owned()));
    let nobody = plant.asks(&who, "PUT", "securityPolicies/device2", &wide).expect(404);
    assert_eq!(nobody.code(), "DeviceNotFound");
    assert!(nobody.text().contains("az iot hub device-identity create"), "{nobody:?}");

    plant.asks(&who, "PUT", "securityPolicies/device10", &wide).expect(201);
    let first = plant.asks(&who, "GET", "securityPolicies?$top=1", &Value::Null).expect(200).body;
    assert_eq!(first["value"][0]["name"], "device1");
    let next = first["nextLink"].as_str().unwrap();
    let second = plant.world.wire().json("GET", next, &format!("Bearer {token}"), &Value::Null);
    assert_eq!(second.body["value"][0]["name"], "device10");
    let rest = plant.world.wire().json(
        "GET",
        second.body["nextLink"].as_str().unwrap(),
        &format!("Bearer {token}"),
        &Value::Null,
    );
    assert_eq!(rest.expect(200).body, json!({ "value": [] }));

    plant.asks(&who, "DELETE", "securityPolicies/device1", &Value::Null).expect(200);
    plant.asks(&who, "DELETE", "securityPolicies/device1", &Value::Null).expect(204);
    let expected = [
        "created",
        "securityPolicyWritten",
        "securityPolicyWritten",
        "securityPolicyWritten",
        "securityPolicyDeleted",
    ];
    assert_eq!(plant.events("device1"), expected);
}

/// S1-24: a policy of a device is one hub's, and another hub's device is not this one's.
#[test]
fn another_hubs_device_has_no_policy_here() {
    let plant = Plant::new();
    let who = plant.manager();
    let other = plant.world.hub_named("other");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    plant.world.arm("PUT", &other, &body).expect(201);
    plant.world.device(&other, "pump-7");
    let refused = plant.asks(&who, "PUT", "securityPolicies/pump-7", &saying(json!({})));
    assert_eq!(refused.expect(404).code(), "DeviceNotFound");
    // The role holds at its hub alone.
    let token = plant.world.token(&who, ARM);
    let there = format!("{other}/securityPolicies/pump-7");
    assert_eq!(plant.with(&token, "PUT", &there, "", &saying(json!({}))).status, 403);
}

#[test]
fn what_is_not_known_is_refused_with_its_place() {
    let plant = Plant::new();
    let who = plant.manager();
    let check = |below: &str, body: Value, place: &str| {
        let refused = plant.asks(&who, "PUT", below, &body).expect(400);
        assert_eq!(refused.body["error"]["target"], place, "{refused:?}");
    };
    let policy = "securityPolicies/device1";
    check(policy, saying(json!({ "maxKeyAge": 9 })), "properties.maxKeyAge");
    check(
        policy,
        saying(json!({ "allowedNetworks": ["10.0.0.0/33"] })),
        "properties.allowedNetworks[0]",
    );
    check(policy, json!({ "maxKeyAgeDays": 9, "properties": {} }), "maxKeyAgeDays");
    check(policy, json!({}), "properties");
    let settings = "securitySettings/default";
    check(settings, saying(json!({ "threshold": 9 })), "properties.threshold");
    check(
        settings,
        saying(json!({ "alertThresholdPercent": 101 })),
        "properties.alertThresholdPercent",
    );
    let inner = json!({ "defaultPolicy": { "maxKeyAge": 9 } });
    check(settings, saying(inner), "properties.defaultPolicy.maxKeyAge");
    for webhook in ["http://alerts.example/", "https://127.0.0.1/x", "https://169.254.169.254/"] {
        let body = saying(json!({ "alertWebhook": webhook }));
        check(settings, body, "properties.alertWebhook");
    }
    check("securitySettings/other", saying(json!({})), "name");
}

/// S1-42: the settings of a hub, with what holds where nobody has said anything. The webhook's query is shown to
/// nobody, and stays where it is not sent.
#[test]
fn a_hub_has_security_settings() {
    let plant = Plant::new();
    let who = plant.manager();
    let shown = || {
        let answer = plant.asks(&who, "GET", "securitySettings/default", &Value::Null);
        answer.expect(200).body
    };
    let unsaid = json!({ "defaultPolicy": null, "defaultAction": "enforce",
        "alertThresholdPercent": 10, "alertWebhook": null });
    assert_eq!(shown()["properties"], unsaid);
    let all = json!({ "defaultPolicy": { "minimumTlsVersion": "1.2" }, "defaultAction": "audit",
        "alertThresholdPercent": 25, "alertWebhook": "https://alerts.example/in?code=secret" });
    let path = "securitySettings/default";
    let answer = plant.asks(&who, "PUT", path, &saying(all)).expect(201);
    let told = plant.world.explained(&answer.tracking());
    assert!(
        told.to_string().contains("alertThresholdPercent") && !told.to_string().contains("code="),
        "{told}"
    );
    let made = answer.body;
    assert_eq!(made["properties"]["alertWebhook"], "https://alerts.example/in");
    assert_eq!(made["properties"]["defaultPolicy"], json!({ "minimumTlsVersion": "1.2" }));
    assert_eq!(shown(), made);
    plant.asks(&who, "PUT", path, &made).expect(200);
    let listed = plant.asks(&who, "GET", "securitySettings", &Value::Null).expect(200).body;
    assert_eq!(listed["value"][0]["name"], "default");
    assert_eq!(plant.asks(&who, "GET", "securitySettings/other", &Value::Null).status, 404);
    // Nothing of it is in the hub's own answer, and an update of the hub leaves it.
    let hub = plant.world.arm("GET", &plant.hub, &Value::Null).expect(200).body;
    assert!(!hub.to_string().contains("alerts.example"), "{hub}");
    plant.world.arm("PUT", &plant.hub, &hub).expect(200);
    assert_eq!(shown()["properties"], made["properties"]);
}

/// S1-06, S1-12, S1-40: no built-in role reaches security policies, wherever it is assigned, and each refusal of who
/// has a wildcard says that it does not cover this and what does.
#[test]
fn every_built_in_role_is_refused() {
    let plant = Plant::new();
    let calls = [
        ("PUT", "securityPolicies/device1"),
        ("GET", "securityPolicies/device1"),
        ("GET", "securityPolicies"),
        ("DELETE", "securityPolicies/device1"),
    ];
    for role in model::roles::BUILTIN_ROLES {
        let who = plant.world.service_principal("ingest");
        plant.world.assign(&who, role.id, &plant.world.subscription()).expect(201);
        for (method, below) in calls {
            let body = if method == "PUT" { saying(json!({})) } else { Value::Null };
            let refused = plant.asks(&who, method, below, &body).expect(403);
            assert_eq!(refused.code(), "AuthorizationFailed", "{} {method}", role.name);
            if role.actions.contains(&"*") {
                let told = plant.world.explained(&refused.tracking());
                let reason =
                    told["decision"]["steps"][2]["findings"][0]["reason"].as_str().unwrap();
                let expected = format!("`*` of `{}` does not cover", role.name);
                assert!(reason.contains(&expected), "{reason}");
                assert!(reason.contains("needs a role that names it"), "{reason}");
            }
        }
        // Settings match as everything else does.
        let is_wide = role.actions.contains(&"*");
        let settings = plant.asks(&who, "PUT", "securitySettings/default", &saying(json!({})));
        assert_eq!(settings.status < 300, is_wide, "{}: {settings:?}", role.name);
    }
}

/// Whoever is refused is told the role to make, and once there is one that names the action, to be given that at the
/// hub.
#[test]
fn a_refusal_proposes_the_role_that_names_the_action() {
    let plant = Plant::new();
    let who = plant.world.service_principal("ingest");
    plant.world.assign(&who, model::roles::OWNER, &plant.world.subscription()).expect(201);
    let proposed = || {
        let path = "securityPolicies/device1";
        let refused = plant.asks(&who, "PUT", path, &saying(json!({}))).expect(403);
        let told = plant.world.explained(&refused.tracking());
        assert_eq!(told["fixes"][0]["then"], "the call would pass every gate", "{told}");
        told["fixes"][0]["command"].as_str().unwrap().to_owned()
    };
    let command = proposed();
    assert!(command.starts_with("az role definition create --role-definition '{"), "{command}");
    let assign = format!("--role 'IoT Hub Security Admin' --scope {}", plant.hub);
    assert!(command.ends_with(&assign), "{command}");
    plant.role("Policies at Night", &["securityPolicies/*"]);
    let command = proposed();
    assert!(command.starts_with("az role assignment create"), "{command}");
    let assign = format!("--role 'Policies at Night' --scope {}", plant.hub);
    assert!(command.ends_with(&assign), "{command}");
}

/// S1-37, S1-38, S1-41: the preset role of three actions writes and reads policies and writes settings, and no more; it can be
/// assigned at its hub alone. A role that names the actions at hand does, too.
#[test]
fn the_preset_role_does_its_three_things() {
    let plant = Plant::new();
    let who = plant.world.service_principal("ingest");
    let preset: Value =
        serde_json::from_str(include_str!("../../docs/presets/iot-hub-security-admin.json"))
            .unwrap();
    let actions: Vec<&str> =
        preset["Actions"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let below: Vec<&str> =
        actions.iter().map(|it| it.strip_prefix("Microsoft.Devices/IotHubs/").unwrap()).collect();
    let role = plant.role(preset["Name"].as_str().unwrap(), &below);
    let refused = plant.world.assign(&who, &role, &plant.world.subscription()).expect(400);
    assert_eq!(refused.code(), "RoleAssignmentScopeNotAssignableToRoleDefinition");
    plant.world.assign(&who, &role, &plant.hub).expect(201);
    let policy = "securityPolicies/device1";
    plant.asks(&who, "PUT", policy, &saying(json!({}))).expect(201);
    plant.asks(&who, "GET", policy, &Value::Null).expect(200);
    plant.asks(&who, "PUT", "securitySettings/default", &saying(json!({}))).expect(201);
    plant.asks(&who, "DELETE", policy, &Value::Null).expect(403);
    plant.asks(&who, "GET", "securitySettings/default", &Value::Null).expect(403);
    let other = plant.world.service_principal("cleaner");
    let role = plant.role("Policy Cleaner", &["securityPolicies/delete"]);
    plant.world.assign(&other, &role, &plant.hub).expect(201);
    plant.asks(&other, "DELETE", policy, &Value::Null).expect(200);
}

/// S1-21, S1-22: a token for hubs is refused here naming both audiences, and an expired one says since when.
#[test]
fn a_token_for_another_audience_or_time_is_refused_and_says_so() {
    let plant = Plant::new();
    let who = plant.manager();
    let path = format!("{}/securityPolicies/device1", plant.hub);
    let wrong = plant.world.token(&who, "https://iothubs.azure.net");
    let refused = plant.with(&wrong, "PUT", &path, "", &saying(json!({}))).expect(401).text();
    for audience in ["https://iothubs.azure.net", "https://management.azure.com"] {
        assert!(refused.contains(audience), "{refused}");
    }
    let token = plant.world.token(&who, ARM);
    plant.with(&token, "PUT", &path, "", &saying(json!({}))).expect(201);
    plant.world.pass_seconds(2 * 24 * 3_600);
    let refused = plant.with(&token, "PUT", &path, "", &saying(json!({}))).expect(401).text();
    assert!(refused.contains("expired") && refused.contains(" s ago"), "{refused}");
}

/// S1-24: a device that is deleted, by itself or with many, takes its policy along, and its story tells so. Whoever is
/// made under its name has none.
#[test]
fn a_deleted_device_takes_its_policy_along() {
    let plant = Plant::new();
    let who = plant.manager();
    for device in ["device1", "device10"] {
        let path = format!("securityPolicies/{device}");
        plant.asks(&who, "PUT", &path, &saying(json!({}))).expect(201);
    }
    let service = |method: &str, path: &str, body: &Value| {
        let headers = [("If-Match", "*")];
        plant.world.hub_by_key("iothubowner", method, &plant.hub, path, &headers, body)
    };
    service("DELETE", "/devices/device1", &Value::Null).expect(204);
    let listed = plant.asks(&who, "GET", "securityPolicies", &Value::Null).expect(200).body;
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1), "{listed}");
    service("POST", "/devices", &json!([{ "id": "device10", "importMode": "delete" }])).expect(200);
    let listed = plant.asks(&who, "GET", "securityPolicies", &Value::Null).expect(200).body;
    assert_eq!(listed, json!({ "value": [] }));
    for device in ["device1", "device10"] {
        let events = plant.events(device);
        let last: Vec<&str> = events.iter().rev().take(2).rev().map(String::as_str).collect();
        assert_eq!(last, ["deleted", "securityPolicyDeleted"]);
        plant.world.device(&plant.hub, device);
        let path = format!("securityPolicies/{device}");
        let answer = plant.asks(&who, "GET", &path, &Value::Null).expect(404);
        assert_eq!(answer.code(), "ResourceNotFound");
    }
}

/// Every change of a policy is in the activity log, and can be explained by what its answer names.
#[test]
fn each_written_policy_is_on_record() {
    let plant = Plant::new();
    let who = plant.manager();
    for _ in 0..12 {
        let path = "securityPolicies/device1";
        let answer = plant.asks(&who, "PUT", path, &saying(json!({ "maxKeyAgeDays": 9 })));
        let told = plant.world.explained(&answer.tracking());
        assert_eq!(told["decision"]["outcome"]["verdict"], "allow");
        assert_eq!(told["decision"]["call"]["operation"], "PutSecurityPolicy");
    }
}
