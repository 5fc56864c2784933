//! A fleet cannot register, and one question says what stands against it, since when, and what helps.

use super::registration::Fleet;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::{Answer, Identity, World};

pub const POLICY: &str = "custom-security-policy-v2";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
pub const REGISTRY_CONTRIBUTOR: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const SECTIONS: [&str; 3] =
    ["IoT Hub IAM roles", "DPS integration permissions", "Custom security policy restrictions"];

pub fn asked(world: &World, dps: &str, hub: &str) -> Answer {
    let body = json!({ "provisioningService": dps, "hub": hub });
    world.arm("POST", "/decisions/diagnose", &body)
}

pub fn diagnosed(fleet: &Fleet) -> Value {
    asked(&fleet.world, &fleet.dps, &fleet.world.hub()).expect(200).body
}

/// The verdicts of the three sections, which always are these.
pub fn verdicts(diagnosis: &Value) -> [&str; 3] {
    let sections = diagnosis["sections"].as_array().unwrap();
    let names: Vec<&str> = sections.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, SECTIONS);
    let all = [0, 1, 2].map(|it| sections[it]["verdict"].as_str().unwrap());
    let is_good = all.iter().all(|it| *it == "pass");
    assert_eq!(diagnosis["verdict"] == "pass", is_good, "{diagnosis}");
    all
}

pub fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn allow(object_id: &str) -> Value {
    json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": object_id } ] }, "then": { "effect": "allow" } })
}

pub fn identity(fleet: &Fleet) -> Identity {
    Identity {
        name: "the service".into(),
        app_id: String::new(),
        object_id: fleet.identity.clone(),
        secret: String::new(),
    }
}

/// The service's role assignments at the hub, as `(id, role)`.
pub fn held(fleet: &Fleet) -> Vec<(String, String)> {
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{}'",
        fleet.world.hub(),
        fleet.identity
    );
    let held = fleet.world.arm("GET", &path, &Value::Null).expect(200).body;
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let all = held["value"].as_array().unwrap().iter();
    all.map(|it| (text(&it["id"]), text(&it["properties"]["roleDefinitionId"]))).collect()
}

/// The roles behind each right, from the first section.
pub fn roles_of(diagnosis: &Value) -> Vec<(String, Vec<String>)> {
    let rights = diagnosis["sections"][0]["rights"].as_array().unwrap();
    let roles = |it: &Value| {
        let by = it["by"].as_array().unwrap().iter();
        by.map(|it| it["role"].as_str().unwrap().to_owned()).collect()
    };
    rights.iter().map(|it| (it["action"].as_str().unwrap().to_owned(), roles(it))).collect()
}

pub fn right(name: &str, roles: &[&str]) -> (String, Vec<String>) {
    let roles = roles.iter().map(|it| (*it).to_owned()).collect();
    (format!("Microsoft.Devices/IotHubs/{name}"), roles)
}

/// `hubward diagnose dps`: exit code, standard output and standard error.
fn command(world: &World, args: &[&str]) -> (i32, String, String) {
    let done = Command::new(Path::new(env!("CARGO_BIN_EXE_hubward")))
        .args(["diagnose", "dps"])
        .args(args)
        .args(["--data", &world.setting("HUBWARD_DATA")])
        .env_clear()
        .output()
        .unwrap();
    let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

#[test]
fn a_fresh_provisioning_service_passes_all_three_sections() {
    let fleet = Fleet::new();
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    assert_eq!(told["onset"], Value::Null);
    assert_eq!(told["caller"]["objectId"], fleet.identity);
    assert_eq!(
        roles_of(&told),
        [
            right("devices/write", &["IoT Hub Registry Contributor"]),
            right("twins/write", &["IoT Hub Twin Contributor"]),
            right("devices/read", &["IoT Hub Registry Contributor"]),
        ]
    );
    assert!(!told.to_string().to_lowercase().contains("sharedaccesskey"), "{told}");
}

#[test]
fn a_member_that_came_to_an_initiative_is_found_as_the_change_behind_refusals() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let (hub, at) = (world.hub(), "providers/Microsoft.Authorization");
    world.define_policy("harmless", &allow(&fleet.identity)).expect(201);
    world.define_policy(POLICY, &deny()).expect(201);
    let id = |kind: &str, name: &str| format!("{}/{at}/{kind}/{name}", world.subscription());
    let put = |path: &str, properties: Value| {
        world.arm("PUT", path, &json!({ "properties": properties })).expect(201);
    };
    let set = id("policySetDefinitions", "baseline");
    let with = |names: &[&str]| {
        let member = |it: &&str| json!({ "policyDefinitionId": id("policyDefinitions", it) });
        json!({ "policyDefinitions": names.iter().map(member).collect::<Vec<_>>() })
    };
    put(&set, with(&["harmless"]));
    put(&format!("{hub}/{at}/policyAssignments/baseline"), json!({ "policyDefinitionId": set }));
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    world.pass_seconds(60);
    put(&set, with(&[POLICY, "harmless"]));
    let changed = world.now();
    world.pass_seconds(1);
    assert_eq!(fleet.registers("pump-2")["status"], "failed");
    let told = diagnosed(&fleet);
    let found = &told["sections"][2]["findings"][0];
    assert_eq!(found["rule"]["initiative"]["referenceId"], POLICY, "{told}");
    let change = &told["onset"]["change"];
    assert_eq!(change["kind"], "policySetDefinition", "{told}");
    assert_eq!((&change["name"], &change["verb"]), (&json!("baseline"), &json!("updated")));
    assert_eq!(change["time"], changed.rfc3339());
}

/// S0-09, S0-10: three sections, and the first refusal beside the change that caused it.
#[test]
fn a_policy_is_named_with_its_rule_and_since_when_it_refuses() {
    let mut fleet = Fleet::new();
    let hub = fleet.world.hub();
    assert_eq!(fleet.registers("pump-0")["status"], "assigned");
    fleet.world.define_policy(POLICY, &deny()).expect(201);
    fleet.world.pass_seconds(600);
    let assigned = fleet.world.now();
    fleet.world.assign_policy(POLICY, &hub).expect(201);
    fleet.world.pass_seconds(1);
    let first = fleet.world.now();
    for number in 1..=20 {
        assert_eq!(fleet.registers(&format!("pump-{number}"))["status"], "failed");
        fleet.world.pass_seconds(1);
    }
    // One device over and over is kept ten times and counted further.
    for _ in 0..15 {
        fleet.registers("pump-20");
    }
    // Somebody else's refusals are none of the fleet's.
    let outsider = fleet.world.service_principal("outsider");
    fleet.world.puts_device(&outsider, &hub, "pump-1").expect(403);

    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "fail"], "{told}");
    let policies = &told["sections"][2];
    let found = &policies["findings"][0];
    assert_eq!((&found["name"], &found["rule"]["index"]), (&json!(POLICY), &json!(0)));
    assert_eq!(
        found["conditions"][0],
        json!({ "path": "policyRule.if", "left": "field", "expression": "type", "operator": "equals",
            "expected": DEVICES, "actual": DEVICES, "result": true })
    );
    let command = policies["fixes"][0]["command"].as_str().unwrap();
    assert!(command.contains(&fleet.identity), "{command}");
    assert_eq!(policies["fixes"][0]["then"], "the call would pass every gate");

    let onset = &told["onset"];
    assert_eq!((&onset["gate"], &onset["by"]), (&json!("policy"), &json!([POLICY])));
    assert_eq!(onset["change"]["kind"], "policyAssignment");
    assert_eq!(onset["change"]["name"], POLICY);
    assert_eq!(onset["change"]["verb"], "created");
    assert_eq!(onset["change"]["time"], assigned.rfc3339());
    assert_eq!(onset["change"]["author"]["name"], "administrator");
    assert_eq!(onset["firstRefusal"]["time"], first.rfc3339());
    assert_eq!(onset["firstRefusal"]["device"], "pump-1");
    assert_eq!(onset["lateS"], 1);
    assert_eq!(onset["refusals"], 35, "{onset}");
    let tracking = onset["firstRefusal"]["trackingId"].as_str().unwrap();
    let kept = fleet.world.explained(tracking);
    assert_eq!(kept["decision"]["call"]["channel"]["onBehalfOf"]["name"], "pump-1");

    // What was proposed: the service passes, and nobody else. A start in between changes nothing.
    fleet.world.define_policy(POLICY, &json!([allow(&fleet.identity), deny()])).expect(201);
    fleet.world.restart();
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    assert_eq!(told["onset"], Value::Null);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    fleet.world.puts_device(&outsider, &hub, "pump-1").expect(403);

    // The exception goes behind the denial: another onset, of the definition this time.
    fleet.world.pass_seconds(60);
    let edited = fleet.world.now();
    fleet.world.define_policy(POLICY, &json!([deny(), allow(&fleet.identity)])).expect(201);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "fail"]);
    let onset = &told["onset"];
    assert_eq!(onset["change"]["kind"], "policyDefinition");
    assert_eq!((&onset["change"]["verb"], &onset["refusals"]), (&json!("updated"), &json!(0)));
    assert_eq!(onset["change"]["time"], edited.rfc3339());
    assert!(onset.to_string().contains("no registration has been refused by it yet"), "{onset}");
    fleet.registers("pump-3");
    let onset = diagnosed(&fleet)["onset"].clone();
    assert_eq!((&onset["refusals"], &onset["lateS"]), (&json!(1), &json!(0)), "{onset}");
}

#[test]
fn an_exemption_that_is_over_or_gone_is_the_change_that_counts() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    fleet.world.define_policy(POLICY, &deny()).expect(201);
    fleet.world.assign_policy(POLICY, &hub).expect(201);
    let assignment = format!("{hub}/providers/Microsoft.Authorization/policyAssignments/{POLICY}");
    let exemption = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/onboarding");
    let exempt = |more: Value| {
        let mut properties =
            json!({ "policyAssignmentId": assignment, "exemptionCategory": "Waiver" });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        fleet.world.arm("PUT", &exemption, &json!({ "properties": properties }))
    };
    let end = fleet.world.now().plus_seconds(60);
    exempt(json!({ "expiresOn": end.rfc3339(), "principalIds": [fleet.identity] })).expect(201);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    assert_eq!(told["sections"][2]["findings"][0]["result"], "exempt");
    assert_eq!(told["sections"][2].get("checks"), None, "it is for the service alone: {told}");
    fleet.world.pass_seconds(60);
    assert_eq!(fleet.registers("pump-1")["status"], "failed");
    let told = diagnosed(&fleet);
    let change = &told["onset"]["change"];
    assert_eq!((&change["name"], &change["verb"]), (&json!("onboarding"), &json!("expired")));
    assert_eq!(change["time"], end.rfc3339());
    assert_eq!(told["onset"]["refusals"], 1);

    // For everybody it passes, too, and the diagnosis says what that means.
    exempt(json!({})).expect(200);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"]);
    let warning = &told["sections"][2]["checks"][0];
    assert_eq!(warning["mark"], "warning");
    assert!(warning["says"].as_str().unwrap().contains("every caller"), "{warning}");
    fleet.world.pass_seconds(10);
    fleet.world.arm("DELETE", &exemption, &Value::Null).expect(200);
    let change = diagnosed(&fleet)["onset"]["change"].clone();
    assert_eq!((&change["name"], &change["verb"]), (&json!("onboarding"), &json!("deleted")));
}

#[test]
fn a_role_that_was_taken_away_is_the_change_that_counts() {
    let fleet = Fleet::new();
    fleet.world.pass_seconds(60);
    let taken = fleet.world.now();
    // Made at first start, so that nothing is noted of it but its end.
    for (id, role) in held(&fleet) {
        if role.ends_with(REGISTRY_CONTRIBUTOR) {
            fleet.world.arm("DELETE", &id, &Value::Null).expect(200);
        }
    }
    fleet.world.pass_seconds(2);
    assert_eq!(fleet.registers("pump-1")["errorCode"], 401_003);
    assert_eq!(fleet.registers("pump-2")["errorCode"], 401_003);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["fail", "pass", "pass"], "{told}");
    let onset = &told["onset"];
    assert_eq!(onset["gate"], "access");
    let change = &onset["change"];
    assert_eq!((&change["kind"], &change["verb"]), (&json!("roleAssignment"), &json!("deleted")));
    assert_eq!(change["name"], "IoT Hub Registry Contributor");
    assert_eq!((&change["time"], &onset["lateS"]), (&json!(taken.rfc3339()), &json!(2)));
    assert_eq!(onset["refusals"], 2);
    let command = told["sections"][0]["fixes"][0]["command"].as_str().unwrap();
    assert!(command.contains("--role 'IoT Hub Registry Contributor'"), "{command}");

    // A policy as well: both sections fail, and the policy's is the onset, for it is asked first.
    fleet.world.define_policy(POLICY, &deny()).expect(201);
    fleet.world.assign_policy(POLICY, &fleet.world.group()).expect(201);
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["fail", "pass", "fail"], "{told}");
    assert_eq!(told["onset"]["gate"], "policy");
    assert!(told["sections"][0]["fixes"][0]["then"].as_str().unwrap().contains("section 3"));
}

#[test]
fn an_asker_sees_what_it_may_read_and_no_more() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let hub = world.hub();
    world.define_policy(POLICY, &deny()).expect(201);
    world.assign_policy(POLICY, &world.group()).expect(201);
    fleet.registers("pump-1");
    let asks = |who: &Identity| {
        let body = json!({ "provisioningService": fleet.dps, "hub": hub });
        world.arm_as(who, "POST", "/decisions/diagnose", &body)
    };
    let stranger = world.service_principal("stranger");
    let refused = asks(&stranger).expect(403);
    assert!(refused.text().contains("Hubward.Decisions/decisions/read"), "{refused:?}");
    // At the hub alone it is not enough.
    let half = world.service_principal("half");
    world.assign(&half, READER, &hub).expect(201);
    let refused = asks(&half).expect(403);
    assert_eq!(refused.code(), "LinkedAuthorizationFailed");
    assert!(refused.text().contains("Hubward.Decisions/decisions/read"), "{refused:?}");

    // Of both, but not of the group at which the policy is assigned.
    let reader = world.service_principal("reader");
    world.assign(&reader, READER, &hub).expect(201);
    world.assign(&reader, READER, &fleet.dps).expect(201);
    let told = asks(&reader).expect(200).body;
    assert_eq!(verdicts(&told), ["pass", "pass", "fail"]);
    assert_eq!(told["redacted"], true);
    let policies = &told["sections"][2];
    let found = &policies["findings"][0];
    assert_eq!(found["name"], POLICY);
    assert!(found.get("conditions").is_none() && found.get("rule").is_none(), "{found}");
    assert_eq!(policies["fixes"], json!([]));
    assert_eq!(told["onset"]["change"], Value::Null);
    assert_eq!(told["onset"]["refusals"], 1);
    assert!(told["onset"]["notes"].to_string().contains("may read"), "{told}");
    assert_eq!(roles_of(&told)[0].1, ["IoT Hub Registry Contributor"]);

    let gone = format!("{}0", fleet.dps);
    asked(world, &gone, &hub).expect(404);
    asked(world, &hub, &fleet.dps).expect(400);
    let bad = json!({ "provisioningService": fleet.dps, "hub": hub, "device": "a b" });
    world.arm("POST", "/decisions/diagnose", &bad).expect(400);
}

/// S0-36: one command, and from the first refusal to its cause it takes seconds.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "what a person waits for is measured by the wall clock"
)]
fn one_command_names_the_cause_within_seconds() {
    let fleet = Fleet::new();
    let world = &fleet.world;
    let hub = world.setting("HUBWARD_HUB");
    let dps = fleet.dps.rsplit('/').next().unwrap();
    let (code, out, err) = command(world, &[dps, "--hub", &hub]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("Devices can register through"), "{out}");

    world.define_policy(POLICY, &deny()).expect(201);
    world.assign_policy(POLICY, &world.hub()).expect(201);
    world.pass_seconds(1);
    let began = std::time::Instant::now();
    assert_eq!(fleet.registers("pump-1")["errorCode"], 403_000);
    let (code, out, _) = command(world, &[dps, "--hub", &hub]);
    let took = began.elapsed();
    assert_eq!(code, 1, "{out}");
    assert!(took.as_secs() < 10, "{took:?}");
    let sentence = format!(
        "policy assignment `{POLICY}` created 2026-11-22 08:00:00 by `administrator`; first refusal 08:00:01 (1 second \
         later), 1 refusal since"
    );
    let on_one_line = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(on_one_line.contains(&sentence), "{out}");
    assert!(
        out.contains("rule 0 matches: deny") && out.contains("az policy definition update"),
        "{out}"
    );

    // By id, as JSON: the same.
    let (code, out, _) = command(world, &[&fleet.dps, "--hub", &world.hub(), "-o", "json"]);
    assert_eq!(code, 1);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["onset"]["change"]["name"], POLICY);
    // What does not exist is told with what does.
    let (code, out, err) = command(world, &[dps, "--hub", &format!("{hub}0")]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains(&format!("no hub is called `{hub}0`; there are `{hub}`")), "{err}");
    let (code, _, err) = command(world, &["x", "--hub", &hub]);
    assert_eq!(code, 2);
    assert!(err.contains(&format!("there are `{dps}`")), "{err}");
    let (code, _, err) = command(world, &[&format!("{}0", fleet.dps), "--hub", &hub]);
    assert_eq!(code, 1);
    assert!(err.contains("could not be found"), "{err}");
}
