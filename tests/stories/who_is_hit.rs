//! Whom policies hit: the rules that can match a registration, whom they refuse, and what would let them through.

use super::registration::Fleet;
use serde_json::{Value, json};
use std::process::Command;
use testkit::{Identity, World};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const HUBS: &str = "Microsoft.Devices/IotHubs";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const POLICY: &str = "custom-security-policy-v2";

fn hit(world: &World, scope: &str) -> Vec<Value> {
    let told =
        world.arm("POST", "/decisions/whoIsHit", &json!({ "scope": scope })).expect(200).body;
    told["rules"].as_array().unwrap().clone()
}

fn rule(condition: Value, effect: &str) -> Value {
    json!({ "if": condition, "then": { "effect": effect } })
}

fn of(kind: &str) -> Value {
    json!({ "field": "type", "equals": kind })
}

/// Rule by rule: its number, whether it can match a registration, whether it refuses one, and whom it refuses.
fn short(all: &[Value]) -> Vec<(u64, bool, bool, Vec<&str>)> {
    let told = |it: &'static str| {
        move |all: &Value| all.as_array().unwrap().iter().any(|each| each[it] == true)
    };
    all.iter()
        .map(|it| {
            let names =
                it["refuses"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
            let registrations = &it["registrations"];
            (
                it["rule"].as_u64().unwrap(),
                !registrations.as_array().unwrap().is_empty(),
                told("refused")(registrations),
                names.collect(),
            )
        })
        .collect()
}

/// S0-44: every rule that can match a registration is listed, also one that another shadows; those that cannot are
/// not. What is said to be refused is refused, and what is said to let it through does.
#[test]
fn every_rule_that_can_match_a_registration_is_listed() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    assert_eq!(hit(world, &hub), [] as [Value; 0]);
    let rules = json!([
        rule(
            json!({ "allOf": [of(DEVICES), { "field": "identity.principalId", "equals": fleet.identity }] }),
            "allow"
        ),
        rule(of(DEVICES), "deny"),
        rule(
            json!({ "allOf": [of(DEVICES), { "field": "request.protocol", "equals": "mqtt" }] }),
            "deny"
        ),
        rule(of(HUBS), "deny"),
        rule(json!({ "allOf": [of(DEVICES), { "field": "name", "like": "test-*" }] }), "deny"),
        rule(of(DEVICES), "disabled"),
    ]);
    world.define_policy(POLICY, &rules).expect(201);
    assert_eq!(hit(world, &hub), [] as [Value; 0], "it is assigned nowhere");
    world.assign_policy(POLICY, &world.subscription()).expect(201);
    let all = hit(world, &hub);
    let told = short(&all);
    let registrations: Vec<(u64, bool, bool)> =
        told.iter().filter(|it| it.1).map(|it| (it.0, it.1, it.2)).collect();
    assert_eq!(registrations, [(0, true, false), (1, true, false), (2, true, false)], "{told:?}");
    let over_mqtt = &all.iter().find(|it| it["rule"] == 2).unwrap()["registrations"][0];
    assert_eq!(over_mqtt["says"], "a device that registers over MQTT");
    assert_eq!(
        (&over_mqtt["provisioningService"], &over_mqtt["hub"]),
        (&json!(fleet.dps), &json!(hub))
    );
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");

    world.define_policy(POLICY, &rule(of(DEVICES), "deny")).expect(201);
    let all = hit(world, &hub);
    assert_eq!(short(&all).iter().filter(|it| it.2).count(), 1, "{all:?}");
    assert_eq!(fleet.registers("pump-2")["status"], "failed");
    let fixes = all[0]["registrations"][0]["fixes"].as_array().unwrap();
    assert!(!fixes.is_empty() && fixes[0]["then"] == "the call would pass every gate", "{fixes:?}");
    // An exemption for the service takes it out, as the way out says.
    let assignment = all[0]["assignmentId"].as_str().unwrap();
    let path = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/intake");
    let body = json!({ "properties": { "policyAssignmentId": assignment, "exemptionCategory": "Waiver",
        "principalIds": [fleet.identity] } });
    world.arm("PUT", &path, &body).expect(201);
    assert_eq!(short(&hit(world, &hub)).iter().filter(|it| it.2).count(), 0);
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");
}

/// Who has a role for it and is refused is told, by rule, with what and with a way out; who has no role, whom the rule
/// leaves alone, and who has a role at a namesake of the place is not.
#[test]
fn whom_a_rule_refuses_what_they_have_a_role_for_is_told() {
    let world = World::new();
    let hub = world.hub();
    let [lacks, has, reader, elsewhere] =
        ["lacks", "has", "reader", "elsewhere"].map(|it| world.service_principal(it));
    let ten = format!("{}0", world.group());
    world.arm("PUT", &ten, &json!({ "location": "westus" })).expect(201);
    for (who, role, at) in [
        (&lacks, DATA_CONTRIBUTOR, &hub),
        (&has, DATA_CONTRIBUTOR, &hub),
        (&has, CONTRIBUTOR, &hub),
        (&reader, READER, &hub),
        (&elsewhere, DATA_CONTRIBUTOR, &ten),
    ] {
        world.assign(who, role, at).expect(201);
    }
    let refused = |all: &[Value], number: u64| {
        let found = all.iter().find(|it| it["rule"] == number).cloned().unwrap_or_default();
        let refused = found["refuses"].as_array().cloned().unwrap_or_default();
        // The service of this world has a role for devices, too.
        refused.into_iter().filter(|it| it["type"] != "ManagedIdentity").collect::<Vec<_>>()
    };
    let named = |all: &[Value], number: u64| {
        let refused = refused(all, number);
        refused.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let quiet = rule(
        json!({ "allOf": [of(DEVICES), { "not": { "field": "identity.principalId", "equals": has.object_id } }] }),
        "deny",
    );
    let rules = json!([
        quiet,
        rule(json!({ "allOf": [of(HUBS), { "field": "tags.line", "equals": "7" }] }), "deny")
    ]);
    world.define_policy(POLICY, &rules).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    let all = hit(&world, &hub);
    assert_eq!(named(&all, 0), ["lacks"]);
    assert!(
        named(&all, 1).contains(&"has".to_owned()) && !named(&all, 1).contains(&"lacks".to_owned()),
        "{all:?}"
    );
    let refused_here = &refused(&all, 0)[0];
    assert!(
        refused_here["calls"]
            .as_array()
            .unwrap()
            .contains(&json!({ "action": format!("{DEVICES}/write"), "scope": hub })),
        "{refused_here}"
    );
    assert_eq!(
        refused_here["fixes"][0]["then"], "the call would pass every gate",
        "{refused_here}"
    );
    world.puts_device(&lacks, &hub, "device1").expect(403);
    world.puts_device(&has, &hub, "device1").expect(200);
    let tagged =
        |line: &str| world.arm_as(&has, "PATCH", &hub, &json!({ "tags": { "line": line } })).status;
    assert_eq!((tagged("7"), tagged("70")), (403, 200));

    // Roles that a rule requires are the way out.
    let mut requires = rule(of(DEVICES), "deny");
    requires["requiredRoles"] = json!(["IoT Hub Registry Contributor"]);
    world.define_policy(POLICY, &requires).expect(201);
    let all = hit(&world, &hub);
    assert_eq!(named(&all, 0), ["has", "lacks"]);
    let fix = refused(&all, 0)[1]["fixes"][0]["command"].as_str().unwrap().to_owned();
    assert!(fix.contains("az role assignment create") && fix.contains(&lacks.object_id), "{fix}");
}

/// What an asker may not read it is not told of, nor that a policy of a name is there; and the command shows the same.
#[test]
fn an_asker_is_told_of_the_policies_that_it_may_read() {
    let world = World::new();
    let (hub, here) = (world.hub(), world.service_principal("here"));
    world.assign(&here, READER, &hub).expect(201);
    world.define_policy(POLICY, &rule(of(DEVICES), "deny")).expect(201);
    world.assign_policy(POLICY, &world.subscription()).expect(201);
    let ask = |who: &Identity, body: &Value| world.arm_as(who, "POST", "/decisions/whoIsHit", body);
    assert_eq!(ask(&here, &json!({ "scope": hub })).expect(200).body["rules"], json!([]));
    ask(&here, &json!({ "scope": hub, "policy": POLICY })).expect(404);
    ask(&here, &json!({ "scope": world.subscription() })).expect(403);
    let admin = world.admin();
    let rules = |name: &str| ask(&admin, &json!({ "scope": hub, "policy": name }));
    assert_eq!(rules(POLICY).expect(200).body["rules"].as_array().unwrap().len(), 1);
    rules(&format!("{POLICY}0")).expect(404);
    world.define_policy("harmless", &rule(of("Microsoft.Devices/unknown"), "deny")).expect(201);
    world.assign_policy("harmless", &hub).expect(201);
    assert_eq!(rules("harmless").expect(200).body["rules"], json!([]));

    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hubward"))
            .args(["policy", "who-is-hit", "--data", &world.setting("HUBWARD_DATA")])
            .args(arguments)
            .env_clear()
            .env("COLUMNS", "400")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, page) = run(&[POLICY, "--at", &hub]);
    assert_eq!(code, Some(0));
    assert!(
        page.contains("refuses a device that registers") && page.contains("rule 0 of"),
        "{page}"
    );
    assert_eq!(run(&["nothing-of-the-name"]).0, Some(1));
}
