//! Provisioning services that reach one hub in two ways, by its key and by their identity, when keys are switched off.

use super::diagnosis::{POLICY, deny, diagnosed, verdicts};
use super::registration::{Fleet, is_denied_with_the_three_facts};
use serde_json::{Value, json};
use testkit::World;

/// A fleet's service, to be the one that the fleet's devices register at.
#[derive(Clone)]
pub struct Service {
    pub dps: String,
    pub id_scope: String,
}

impl Service {
    /// One more, linked to a hub by the key of its owner's policy.
    pub fn by_key(world: &World, hub: &str) -> Self {
        let dps = world.dps("by-key");
        let shown = world.arm("GET", &dps, &Value::Null).expect(200).body;
        let id_scope = shown["properties"]["idScope"].as_str().unwrap().to_owned();
        let keys =
            world.arm("POST", &format!("{hub}/IotHubKeys/iothubowner/listkeys"), &Value::Null);
        let key = keys.expect(200).body["primaryKey"].as_str().unwrap().to_owned();
        let host = world.hub_origin(hub).trim_start_matches("https://").to_owned();
        let string =
            format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={key}");
        let link = json!({ "connectionString": string, "location": "westus" });
        let body = json!({ "properties": { "iotHubs": [link] } });
        world.arm("PATCH", &dps, &body).expect(200);
        Self { dps, id_scope }
    }
}

impl Fleet {
    pub fn is_at(&mut self, service: &Service) -> &Self {
        self.dps.clone_from(&service.dps);
        self.id_scope.clone_from(&service.id_scope);
        self
    }

    /// What a registration comes to over each protocol.
    fn registers_everywhere(&self, id: &str) -> [Value; 3] {
        [
            self.registers(&format!("{id}-https")),
            self.registers_over_mqtt(&format!("{id}-mqtt")),
            self.registers_over_amqp(&format!("{id}-amqp")),
        ]
    }
}

/// S2-52, X-03: with keys switched off, registrations through the key's link fail as unauthorized, over every
/// protocol, and those through the identity's go on until a policy stops them; a diagnosis says which link is which.
#[test]
fn switching_keys_off_stops_the_service_that_is_linked_by_key_and_no_other() {
    let mut fleet = Fleet::new();
    let hub = fleet.world.hub();
    let by_identity = Service { dps: fleet.dps.clone(), id_scope: fleet.id_scope.clone() };
    let by_key = Service::by_key(&fleet.world, &hub);
    fleet.is_at(&by_key).enroll("pumps", json!({}));

    let is_assigned = |state: &Value| assert_eq!(state["status"], "assigned", "{state}");
    let section = |fleet: &Fleet| {
        let told = diagnosed(fleet);
        (verdicts(&told)[1].to_owned(), told["sections"][1].to_string())
    };
    fleet.registers_everywhere("before").iter().for_each(is_assigned);
    let (verdict, told) = section(&fleet);
    assert!(verdict == "pass" && told.contains("(`KeyBased`)"), "{told}");
    fleet.is_at(&by_identity).registers_everywhere("other").iter().for_each(is_assigned);
    let (verdict, told) = section(&fleet);
    assert!(verdict == "pass" && told.contains("SystemAssigned"), "{told}");

    let off = json!({ "properties": { "disableLocalAuth": true } });
    fleet.world.arm("PATCH", &hub, &off).expect(200);
    for state in fleet.is_at(&by_key).registers_everywhere("new") {
        assert_eq!(state["status"], "failed", "{state}");
        assert_eq!(state["errorCode"].as_u64().map(|it| it / 1_000), Some(401), "{state}");
        let message = state["errorMessage"].as_str().unwrap();
        assert!(message.contains("HTTP 401: Unauthorized"), "{message}");
        assert!(message.contains("disableLocalAuth"), "{message}");
        let explained = fleet.world.explained(&Fleet::tracking(&state));
        assert_eq!(explained["decision"]["outcome"]["gate"], "authentication", "{explained}");
    }
    let (verdict, told) = section(&fleet);
    assert!(verdict == "fail" && told.contains("keys are switched off"), "{told}");
    // Who was registered by it before is refused anew, too, and is still there.
    assert_eq!(fleet.registers("before-https")["status"], "failed");
    let who = fleet.world.service_principal("reader");
    fleet.world.assign(&who, "b447c946-2db7-41ec-983d-d8bf3b1c77e3", &hub).expect(201);
    fleet.world.hub_as(&who, "GET", &hub, "/devices/before-https", &Value::Null).expect(200);

    fleet.is_at(&by_identity).registers_everywhere("later").iter().for_each(is_assigned);
    let (verdict, told) = section(&fleet);
    assert_eq!(verdict, "pass", "{told}");
    // The identity fails in its own way, by what a policy says of it.
    fleet.world.define_policy(POLICY, &deny()).expect(201);
    fleet.world.assign_policy(POLICY, &hub).expect(201);
    fleet.registers_everywhere("denied").iter().for_each(is_denied_with_the_three_facts);
}
