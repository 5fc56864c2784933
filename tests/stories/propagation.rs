//! Roles that spread slowly, as in Azure: what a refusal says meanwhile, and what heals it.

use serde_json::{Value, json};
use testkit::World;

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const DATA_READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";

/// S1-05, S1-20: a role counts after the delay to the second, a refusal says how long is left, and that a
/// retry can help.
#[test]
fn a_role_counts_when_its_delay_is_over_and_the_refusal_says_how_long() {
    let world = World::spreading("300");
    let who = world.service_principal("reader");
    let hub = world.hub();
    // A token from before the assignment.
    let old = format!("Bearer {}", world.token(&who, "https://iothubs.azure.net"));
    world.pass_seconds(1);
    world.assign(&who, DATA_READER, &hub).expect(201);
    let read = || world.hub_with(&old, "GET", &hub, "/devices", &Value::Null);
    world.pass_seconds(299);
    let refused = read().expect(401);
    assert_eq!(refused.header("x-hubward-retry"), Some("propagation"));
    let told = world.explained(&refused.tracking());
    assert_eq!(
        told["decision"]["call"]["replica"],
        json!({ "index": 0, "delayS": 300, "isHealedByToken": true })
    );
    let found = &told["decision"]["steps"][2]["findings"][0];
    assert_eq!(found["result"], "notVisible");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("not seen here for 1 s more; a new token sees it at once"), "{reason}");
    world.pass_seconds(1);
    read().expect(200);
}

/// a policy counts on the next call, while roles take their time.
#[test]
fn a_policy_counts_at_once_while_roles_spread() {
    let world = World::spreading("600");
    let (hub, who) = (world.hub(), world.service_principal("writer"));
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world.pass_seconds(600);
    let put = |name: &str| {
        let path = format!("/devices/{name}");
        world.hub_as(&who, "PUT", &hub, &path, &json!({ "deviceId": name }))
    };
    put("d1").expect(200);
    let subscription = world.subscription();
    let id =
        |scope: &str, kind: &str| format!("{scope}/providers/Microsoft.Authorization/{kind}/quiet");
    let rule = json!({ "if": { "field": "name", "equals": "d2" }, "then": { "effect": "deny" } });
    let body = json!({ "properties": { "policyRule": rule } });
    world.arm("PUT", &id(&subscription, "policyDefinitions"), &body).expect(201);
    let body =
        json!({ "properties": { "policyDefinitionId": id(&subscription, "policyDefinitions") } });
    world.arm("PUT", &id(&hub, "policyAssignments"), &body).expect(201);
    put("d2").expect(403);
    world.arm("DELETE", &id(&hub, "policyAssignments"), &Value::Null).expect(200);
    put("d2").expect(200);
}

/// S1-29: a token from before the assignment is refused, and a fresh one heals it.
#[test]
fn a_fresh_token_brings_the_role_along() {
    let world = World::spreading("600");
    let who = world.service_principal("reader");
    let hub = world.hub();
    let old = format!("Bearer {}", world.token(&who, "https://iothubs.azure.net"));
    world.pass_seconds(1);
    world.assign(&who, DATA_READER, &hub).expect(201);
    let read = |token: &str| world.hub_with(token, "GET", &hub, "/devices", &Value::Null);
    read(&old).expect(401);
    let fresh = format!("Bearer {}", world.token(&who, "https://iothubs.azure.net"));
    read(&fresh).expect(200);
    read(&old).expect(401);
}

#[test]
fn a_role_that_is_taken_away_goes_on_counting_as_long() {
    let world = World::spreading("300");
    let who = world.service_principal("reader");
    let hub = world.hub();
    let assigned = world.assign(&who, DATA_READER, &hub).expect(201);
    world.pass_seconds(300);
    let token = format!("Bearer {}", world.token(&who, "https://iothubs.azure.net"));
    let read = |token: &str| world.hub_with(token, "GET", &hub, "/devices", &Value::Null);
    read(&token).expect(200);
    world.pass_seconds(1);
    world.arm("DELETE", assigned.body["id"].as_str().unwrap(), &Value::Null).expect(200);
    world.pass_seconds(299);
    read(&token).expect(200);
    let fresh = format!("Bearer {}", world.token(&who, "https://iothubs.azure.net"));
    read(&fresh).expect(401);
    world.pass_seconds(1);
    let refused = read(&token).expect(401);
    assert_eq!(refused.header("x-hubward-retry"), Some("never"));
}

/// S1-10: while replicas differ, the same call succeeds and fails, and each refusal names its replica.
#[test]
fn the_same_call_succeeds_and_fails_while_replicas_differ() {
    let world = World::spreading("azure:7");
    let delays = world.env().settings.propagation.delays_s().to_vec();
    let (first, last) = (*delays.iter().min().unwrap(), *delays.iter().max().unwrap());
    assert!(first < last, "{delays:?}");
    let who = world.service_principal("reader");
    let hub = world.hub();
    let old = format!("Bearer {}", world.token(&who, "https://iothubs.azure.net"));
    world.pass_seconds(1);
    world.assign(&who, DATA_READER, &hub).expect(201);
    world.pass_seconds(i64::from(first));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = world.hub_with(&old, "GET", &hub, "/devices", &Value::Null);
        if answer.status == 401 {
            let told = world.explained(&answer.tracking());
            let delay = told["decision"]["call"]["replica"]["delayS"].as_u64().unwrap();
            assert!(delay > u64::from(first), "{told}");
        }
        seen.insert(answer.status);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [200, 401]);
    world.pass_seconds(i64::from(last));
    for _ in 0..20 {
        world.hub_with(&old, "GET", &hub, "/devices", &Value::Null).expect(200);
    }
}

/// S1-19: an assignment is listed with how many replicas see it, and in how many seconds all do.
#[test]
fn an_assignment_is_listed_with_how_far_it_has_come() {
    let world = World::spreading("0,300,480w");
    let who = world.service_principal("reader");
    let hub = world.hub();
    world.assign(&who, DATA_READER, &hub).expect(201);
    let listed = |world: &World| {
        let path = format!(
            "{hub}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20%27{}%27",
            who.object_id
        );
        let all = world.arm("GET", &path, &Value::Null).expect(200).body["value"].clone();
        assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
        all[0]["properties"]["propagation"].clone()
    };
    for (passed, seen, left) in [(0, 1, 480), (300, 2, 180), (179, 2, 1), (1, 3, 0), (900, 3, 0)] {
        world.pass_seconds(passed);
        let expected = json!({ "replicas": 3, "seenBy": seen, "completeInS": left });
        assert_eq!(listed(&world), expected);
    }
}
