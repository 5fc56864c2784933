//! Registrations that come too fast, and links that have lost their key.

use super::registration::Fleet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Threat 32: one key takes nothing from the others; its device is told when to come again.
#[test]
fn a_device_that_registers_over_and_over_is_told_to_wait_and_others_go_on() {
    let fleet = Fleet::new();
    let key = [9; 32];
    let body = json!({ "attestation": { "type": "symmetricKey", "symmetricKey": {
        "primaryKey": STANDARD.encode(key), "secondaryKey": STANDARD.encode([8; 32]) } } });
    fleet.call(&fleet.key(), "PUT", "/enrollments/pump-1", &body).expect(200);
    let tries = || fleet.puts("pump-1", &fleet.signature("pump-1", &key));
    let begun: Vec<u16> = (0..25).map(|_| tries().status).collect();
    assert_eq!(begun.iter().filter(|it| **it == 202).count(), 20, "{begun:?}");
    let told = tries().expect(429);
    assert_eq!(told.body["errorCode"], 429_001);
    assert_eq!(told.header("Retry-After"), Some("1"));
    assert!(told.text().contains("`pump-1`"), "{told:?}");
    // Who may not register is refused for that, and uses nothing up.
    fleet.puts("pump-1", &fleet.signature("pump-1", &[1; 32])).expect(401);
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");
    fleet.world.pass_seconds(1);
    assert_eq!(fleet.registers_with("pump-1", &key)["status"], "assigned");
}

/// S2-52, X-03 in part: with keys switched off at the hub, a link by key fails with "unauthorized", and one by the
/// service's identity goes on.
#[test]
fn with_keys_switched_off_a_link_by_key_fails_and_one_by_identity_goes_on() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    assert_eq!(fleet.registers("before")["status"], "assigned");
    let host = world.hub_origin(&hub).trim_start_matches("https://").to_owned();
    let key = STANDARD.encode(world.policy_key(&hub, "iothubowner"));
    let string = format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={key}");
    let mut shown = world.arm("GET", &fleet.dps, &Value::Null).expect(200).body;
    let by_identity = shown["properties"]["iotHubs"].clone();
    let mut links = |links: &Value| {
        shown["properties"]["iotHubs"] = links.clone();
        world.arm("PUT", &fleet.dps, &shown).expect(200);
    };
    let by_key = json!([{ "connectionString": string, "location": "westus", "authenticationType": "KeyBased" }]);
    links(&by_key);
    assert_eq!(fleet.registers("by-key")["status"], "assigned");
    let switch = |is_off: bool| {
        let body = json!({ "properties": { "disableLocalAuth": is_off } });
        world.arm("PATCH", &hub, &body).expect(200);
    };
    switch(true);
    let state = fleet.registers("too-late");
    assert_eq!(
        (&state["status"], &state["errorCode"]),
        (&json!("failed"), &json!(401_003)),
        "{state}"
    );
    let message = state["errorMessage"].as_str().unwrap();
    assert!(
        message.starts_with("HTTP 401: Unauthorized") && message.contains("disableLocalAuth"),
        "{message}"
    );
    let told = world.explained(&Fleet::tracking(&state));
    assert_eq!(told["decision"]["outcome"]["gate"], "authentication");
    links(&by_identity);
    assert_eq!(fleet.registers("too-late")["status"], "assigned");
    links(&by_key);
    assert_eq!(fleet.registers("again")["status"], "failed");
    switch(false);
    assert_eq!(fleet.registers("again")["status"], "assigned");
}
