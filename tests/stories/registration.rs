//! Devices register through the provisioning service, over HTTPS, and the hub's policies and roles judge the
//! service's own identity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::{Answer, World};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const REGISTRY_CONTRIBUTOR: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
pub const GROUP_KEY: [u8; 32] = [7; 32];

/// A world with a provisioning service, and a group of devices that are enrolled there.
pub struct Fleet {
    pub world: World,
    pub dps: String,
    pub id_scope: String,
    /// The object id of the service's identity.
    pub identity: String,
}

impl Fleet {
    pub fn new() -> Self {
        Self::in_world(World::new())
    }

    pub fn in_world(world: World) -> Self {
        let all = format!("{}/providers/Microsoft.Devices/provisioningServices", world.group());
        let all = world.arm("GET", &all, &Value::Null).expect(200).body;
        let dps = all["value"][0]["id"].as_str().unwrap().to_owned();
        let shown = world.arm("GET", &dps, &Value::Null).expect(200).body;
        let text = |pointer: &str| shown.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let (id_scope, identity) = (text("/properties/idScope"), text("/identity/principalId"));
        let fleet = Self { world, dps, id_scope, identity };
        fleet.enroll("pumps", json!({}));
        fleet
    }

    /// An enrollment group with a known key.
    pub fn enroll(&self, name: &str, more: Value) -> Answer {
        let mut body = json!({ "enrollmentGroupId": name, "attestation": { "type": "symmetricKey",
            "symmetricKey": { "primaryKey": STANDARD.encode(GROUP_KEY), "secondaryKey": STANDARD.encode([8; 32]) } } });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let sas = self.key();
        self.call(&sas, "PUT", &format!("/enrollmentGroups/{name}"), &body).expect(200)
    }

    /// A signature by the service's own policy.
    pub fn key(&self) -> String {
        let origin = self.world.dps_origin(&self.dps);
        self.world.dps_sas(
            &self.dps,
            "provisioningserviceowner",
            origin.trim_start_matches("https://"),
        )
    }

    pub fn call(&self, authorization: &str, method: &str, path: &str, body: &Value) -> Answer {
        self.world.dps_with(&[("Authorization", authorization)], method, &self.dps, path, body)
    }

    pub fn signature(&self, id: &str, key: &[u8]) -> String {
        let resource = wire::sas::resource_text(&format!("{}/registrations/{id}", self.id_scope));
        wire::sas::sign(&resource, key, self.world.now().plus_seconds(600), Some("registration"))
    }

    /// The key that the group derives for a device: HMAC-SHA-256 of its id.
    pub fn derived(&self, id: &str) -> Vec<u8> {
        ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &GROUP_KEY), id.as_bytes())
            .as_ref()
            .to_vec()
    }

    pub fn puts(&self, id: &str, authorization: &str) -> Answer {
        let path = format!("/{}/registrations/{id}/register", self.id_scope);
        self.call(authorization, "PUT", &path, &json!({ "registrationId": id }))
    }

    /// Registers by the key that its group derives, and asks until it is decided.
    pub fn registers(&self, id: &str) -> Value {
        self.registers_with(id, &self.derived(id))
    }

    /// The same with a key of its own.
    pub fn registers_with(&self, id: &str, key: &[u8]) -> Value {
        let sas = self.signature(id, key);
        let begun = self.puts(id, &sas).expect(202);
        assert!(begun.header("retry-after").is_some());
        let operation = begun.body["operationId"].as_str().unwrap();
        let path = format!("/{}/registrations/{id}/operations/{operation}", self.id_scope);
        let done = self.call(&sas, "GET", &path, &Value::Null).expect(200).body;
        assert_eq!(done["operationId"], operation);
        assert_eq!(done["status"], done["registrationState"]["status"]);
        done["registrationState"].clone()
    }

    pub fn tracking(state: &Value) -> String {
        state["errorMessage"].as_str().unwrap().rsplit("Tracking ID: ").next().unwrap().to_owned()
    }
}

pub fn is_denied_with_the_three_facts(state: &Value) {
    assert_eq!(
        (state["status"].as_str(), state["errorCode"].as_u64()),
        (Some("failed"), Some(403_000)),
        "{state}"
    );
    let lines: Vec<&str> = state["errorMessage"].as_str().unwrap().lines().collect();
    assert_eq!(
        lines[..3],
        [
            "HTTP 403: Forbidden",
            "Error: Device registration denied",
            "Policy: custom-security-policy-v2"
        ]
    );
}

#[test]
fn a_device_registers_by_its_groups_key_and_gets_a_hub() {
    let fleet = Fleet::new();
    let state = fleet.registers("pump-1");
    assert_eq!(
        (state["status"].as_str(), state["substatus"].as_str()),
        (Some("assigned"), Some("initialAssignment"))
    );
    let hub = fleet.world.hub();
    let sas = fleet.world.policy_sas(&hub, "iothubowner");
    let device =
        fleet.world.hub_with(&sas, "GET", &hub, "/devices/pump-1", &Value::Null).expect(200).body;
    // The key by which it registered is the key by which it will connect.
    assert_eq!(
        device["authentication"]["symmetricKey"]["primaryKey"],
        STANDARD.encode(fleet.derived("pump-1"))
    );
    assert_eq!(fleet.registers("pump-1")["status"], "assigned", "registering again is no harm");
    let path = format!("/{}/registrations/pump-1", fleet.id_scope);
    let known =
        fleet.call(&fleet.signature("pump-1", &fleet.derived("pump-1")), "POST", &path, &json!({}));
    assert_eq!(known.expect(200).body["deviceId"], "pump-1");
}

/// Threats 27, 29, 31: the group's own key, another device's, another one's operation, a group that is disabled.
#[test]
fn only_its_own_key_registers_a_device() {
    let fleet = Fleet::new();
    let refused = |id: &str, key: &[u8]| {
        let answer = fleet.puts(id, &fleet.signature(id, key)).expect(401);
        assert_eq!(answer.body["errorCode"], 401_002, "{answer:?}");
        assert!(answer.body["trackingId"].is_string());
    };
    refused("pump-1", &GROUP_KEY);
    refused("pump-1", &fleet.derived("pump-10"));
    refused("pump-1", &[0; 32]);
    // A signature for one device opens no other, nor another service's scope.
    let own = fleet.signature("pump-1", &fleet.derived("pump-1"));
    fleet.puts("pump-10", &own).expect(401);
    let token = fleet.world.token(&fleet.world.admin(), "https://azure-devices-provisioning.net");
    let answer = fleet.puts("pump-1", &format!("Bearer {token}")).expect(401);
    assert!(answer.text().contains("own key"), "{answer:?}");
    let path = "/0ne00000000/registrations/pump-1/register";
    fleet.call(&own, "PUT", path, &json!({})).expect(401);
    // One device's operation is none of another's business.
    let begun = fleet.puts("pump-1", &own).expect(202).body;
    let operation = begun["operationId"].as_str().unwrap();
    let other = fleet.signature("pump-2", &fleet.derived("pump-2"));
    fleet.puts("pump-2", &other).expect(202);
    let path = format!("/{}/registrations/pump-2/operations/{operation}", fleet.id_scope);
    fleet.call(&other, "GET", &path, &Value::Null).expect(404);
    fleet.enroll("pumps", json!({ "provisioningStatus": "disabled" }));
    fleet.puts("pump-3", &fleet.signature("pump-3", &fleet.derived("pump-3"))).expect(401);
}

/// S0-06, S0-13, S0-40: two principals, each proven and judged for itself: the device here, the service's identity at the hub.
#[test]
fn a_policy_stops_every_registration_and_says_so_on_both_sides() {
    let mut fleet = Fleet::new();
    let hub = fleet.world.hub();
    assert_eq!(fleet.registers("pump-0")["status"], "assigned");
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    fleet.world.define_policy("custom-security-policy-v2", &deny).expect(201);
    fleet.world.assign_policy("custom-security-policy-v2", &hub).expect(201);
    let mut state = Value::Null;
    for number in 1..=20 {
        state = fleet.registers(&format!("pump-{number}"));
        is_denied_with_the_three_facts(&state);
    }
    let told = fleet.world.explained(&Fleet::tracking(&state));
    let call = &told["decision"]["call"];
    assert_eq!(call["caller"]["kind"], "ManagedIdentity");
    assert_eq!(call["caller"]["objectId"], fleet.identity);
    assert_eq!(call["channel"]["onBehalfOf"]["kind"], "Device");
    assert_eq!(call["channel"]["onBehalfOf"]["name"], "pump-20");
    assert_eq!(call["channel"]["onBehalfOf"]["via"], "pumps");
    assert_eq!(told["decision"]["steps"][1]["findings"][0]["name"], "custom-security-policy-v2");
    let command = told["fixes"][0]["command"].as_str().unwrap();
    assert!(command.contains(&fleet.identity), "{command}");

    // The service's identity is allowed in front of the deny; everybody else stays refused.
    let allow = json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": fleet.identity } ] }, "then": { "effect": "allow" } });
    fleet.world.define_policy("custom-security-policy-v2", &json!([allow, deny])).expect(201);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let outsider = fleet.world.service_principal("outsider");
    fleet.world.assign(&outsider, DATA_CONTRIBUTOR, &hub).expect(201);
    fleet.world.puts_device(&outsider, &hub, "pump-99").expect(403);
    fleet.world.restart();
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");
}

/// Without an initial twin one role is enough; with one, `twins/write` is needed, too.
#[test]
fn an_initial_twin_needs_the_right_to_write_twins() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    let path = format!(
        "{hub}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{}'",
        fleet.identity
    );
    let held = fleet.world.arm("GET", &path, &Value::Null).expect(200).body;
    for it in held["value"].as_array().unwrap() {
        let is_registry =
            it["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(REGISTRY_CONTRIBUTOR);
        if !is_registry {
            fleet.world.arm("DELETE", it["id"].as_str().unwrap(), &Value::Null).expect(200);
        }
    }
    assert_eq!(fleet.registers("plain")["status"], "assigned");
    fleet.enroll("pumps", json!({ "initialTwin": { "tags": { "plant": "7" }, "properties": { "desired": { "rpm": 900 } } } }));
    let state = fleet.registers("with-twin");
    assert_eq!(
        (state["status"].as_str(), state["errorCode"].as_u64()),
        (Some("failed"), Some(401_003)),
        "{state}"
    );
    assert!(
        state["errorMessage"].as_str().unwrap().contains("Microsoft.Devices/IotHubs/twins/write"),
        "{state}"
    );
    let told = fleet.world.explained(&Fleet::tracking(&state));
    assert_eq!(told["decision"]["outcome"]["gate"], "access");
    let sas = fleet.world.policy_sas(&hub, "iothubowner");
    fleet.world.hub_with(&sas, "GET", &hub, "/devices/with-twin", &Value::Null).expect(404);

    let identity = testkit::Identity {
        name: String::new(),
        app_id: String::new(),
        object_id: fleet.identity.clone(),
        secret: String::new(),
    };
    fleet.world.assign(&identity, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(fleet.registers("with-twin")["status"], "assigned");
}

/// Threat 28.
#[test]
fn nobody_takes_a_device_over_by_choosing_its_name() {
    let fleet = Fleet::new();
    // `device-1` was made by hand at first start.
    let state = fleet.registers("device-1");
    assert_eq!(
        (state["status"].as_str(), state["errorCode"].as_u64()),
        (Some("failed"), Some(409_001)),
        "{state}"
    );
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let sas = fleet.key();
    fleet.call(&sas, "DELETE", "/enrollmentGroups/pumps", &Value::Null).expect(204);
    fleet.enroll("others", json!({}));
    assert_eq!(fleet.registers("pump-1")["errorCode"], 409_001);
}

#[test]
fn registering_again_undoes_nothing_that_was_done_to_the_device() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let sas = fleet.world.policy_sas(&hub, "iothubowner");
    let call = |method: &str, path: &str, body: &Value| {
        fleet.world.hub_with(&sas, method, &hub, path, body).expect(200).body
    };
    let off = json!([{ "id": "pump-1", "importMode": "update", "status": "disabled",
        "authentication": { "type": "sas", "symmetricKey": {
            "primaryKey": STANDARD.encode([1; 32]), "secondaryKey": STANDARD.encode([2; 32]) } } }]);
    call("POST", "/devices", &off);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let device = call("GET", "/devices/pump-1", &Value::Null);
    assert_eq!(device["status"], "disabled");
    // The keys are those that it has just proven, so that changed ones reach it.
    let key = &device["authentication"]["symmetricKey"]["primaryKey"];
    assert_eq!(key, &json!(STANDARD.encode(fleet.derived("pump-1"))));
}

#[test]
fn an_individual_enrollment_is_no_namesake_of_a_group() {
    let fleet = Fleet::new();
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    // Who enrolls `pumps` by name, for the device `pump-1`, is not the group `pumps`.
    let body = json!({ "registrationId": "pumps", "deviceId": "pump-1", "attestation": {
        "type": "symmetricKey", "symmetricKey": { "primaryKey": STANDARD.encode([9; 32]),
        "secondaryKey": STANDARD.encode([8; 32]) } } });
    fleet.call(&fleet.key(), "PUT", "/enrollments/pumps", &body).expect(200);
    let sas = fleet.signature("pumps", &[9; 32]);
    let begun = fleet.puts("pumps", &sas).expect(202);
    let operation = begun.body["operationId"].as_str().unwrap();
    let path = format!("/{}/registrations/pumps/operations/{operation}", fleet.id_scope);
    let done = fleet.call(&sas, "GET", &path, &Value::Null).expect(200).body;
    assert_eq!(done["registrationState"]["errorCode"], 409_001, "{done}");
}

#[test]
fn policy_judges_a_provisioning_service_as_it_would_be_stored() {
    let fleet = Fleet::new();
    let deny = |field: &str, value: Value| {
        json!({ "if": { "allOf": [
            { "field": "type", "equals": "Microsoft.Devices/provisioningServices" },
            { "field": field, "equals": value } ] }, "then": { "effect": "deny" } })
    };
    let alias = "Microsoft.Devices/provisioningServices/disableLocalAuth";
    fleet.world.define_policy("no-keys-only", &deny(alias, json!(false))).expect(201);
    fleet.world.assign_policy("no-keys-only", &fleet.world.group()).expect(201);
    let path =
        format!("{}/providers/Microsoft.Devices/provisioningServices/second", fleet.world.group());
    let put = |properties: Value| {
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 },
            "properties": properties });
        fleet.world.arm("PUT", &path, &body)
    };
    // Left out, local authentication is on all the same.
    put(json!({})).expect(403);
    put(json!({ "disableLocalAuth": true })).expect(201);
}

/// S0-32: a rule names the provisioning service by the id of its identity, by its own, or as what it is; each
/// lets it through, and nobody else.
#[test]
fn a_rule_can_name_a_provisioning_service_in_three_ways() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let somebody = world.service_principal("somebody");
    world.assign(&somebody, DATA_CONTRIBUTOR, &hub).expect(201);
    let other = world.dps("other-dps");
    let deny =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } });
    let named = |field: &str, value: &str| {
        let allow = json!({ "if": { "allOf": [
            { "field": "type", "equals": DEVICES },
            { "field": field, "equals": value } ] }, "then": { "effect": "allow" } });
        world.define_policy("custom-security-policy-v2", &json!([allow, deny])).expect(201);
        world.assign_policy("custom-security-policy-v2", &hub).expect(201);
    };
    let id = fleet.dps.to_uppercase();
    for (number, (field, value)) in [
        ("identity.principalId", fleet.identity.as_str()),
        ("identity.resourceId", &id),
        ("identity.serviceName", "Device Provisioning Service"),
    ]
    .into_iter()
    .enumerate()
    {
        named(field, value);
        assert_eq!(fleet.registers(&format!("pump-{number}"))["status"], "assigned", "{field}");
        let refused = world.puts_device(&somebody, &hub, "by-hand").expect(403);
        assert!(refused.text().contains("custom-security-policy-v2"), "{refused:?}");
    }
    // Another service's id, or another word, lets nobody through; the trace shows whose it was.
    for (field, value, seen) in [
        ("identity.resourceId", other.as_str(), fleet.dps.as_str()),
        ("identity.serviceName", "IoT Hub", "Device Provisioning Service"),
    ] {
        let rule = json!({ "if": { "allOf": [
            { "field": "type", "equals": DEVICES },
            { "not": { "field": field, "equals": value } } ] }, "then": { "effect": "deny" } });
        world.define_policy("custom-security-policy-v2", &rule).expect(201);
        let state = fleet.registers("pump-9");
        is_denied_with_the_three_facts(&state);
        let told = world.explained(&Fleet::tracking(&state)).to_string();
        assert!(
            told.contains(&format!("\"expression\":\"{field}\"")) && told.contains(seen),
            "{told}"
        );
    }
}
