//! A deny assignment stands against every role, says so, and can always be taken back.

use serde_json::{Value, json};
use testkit::{Answer, World};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";
const NAME: &str = "33333333-4444-4444-8444-000000000001";

fn id(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/denyAssignments/{NAME}")
}

fn everyone() -> Value {
    json!([{ "id": EVERYONE, "type": "SystemDefined" }])
}

fn deny(world: &World, scope: &str, permission: &Value, more: &Value) -> Answer {
    let mut properties = json!({
        "denyAssignmentName": "freeze", "permissions": [permission], "principals": everyone(),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    world.arm("PUT", &id(scope), &json!({ "properties": properties }))
}

/// a denial is looked at before any role.
#[test]
fn a_denial_stands_against_roles_and_is_explained_with_the_way_out() {
    let mut world = World::new();
    let (group, hub) = (world.group(), world.hub());
    let who = world.service_principal("operator");
    world.assign(&who, CONTRIBUTOR, &world.subscription()).expect(201);
    let tags = json!({ "tags": { "line": "7" } });
    world.arm_as(&who, "PATCH", &hub, &tags).expect(200);
    let made =
        deny(&world, &group, &json!({ "actions": ["*"], "notActions": ["*/read"] }), &json!({}));
    assert_eq!(made.expect(201).body["properties"]["principals"], everyone());

    // The administrator is Owner of everything, and everyone is everyone.
    let refused = world.arm_as(&who, "PATCH", &hub, &tags).expect(403);
    assert_eq!(refused.code(), "DenyAssignmentAuthorizationFailed");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("name 'freeze' and Id '{}' at scope '{group}'", id(&group))),
        "{message}"
    );
    world.arm("PATCH", &hub, &tags).expect(403);
    world.arm_as(&who, "GET", &hub, &Value::Null).expect(200);
    let told = world.explained(&refused.tracking());
    let found = &told["decision"]["steps"][2]["findings"][0];
    assert_eq!((&found["kind"], &found["result"]), (&json!("denyAssignment"), &json!("deny")));
    assert_eq!(told["fixes"][0]["then"], "the call would pass every gate");
    assert!(told["fixes"][0]["command"].as_str().unwrap().contains(&id(&group)));

    // It outlives the process, and what manages it is not denied by it.
    world.restart();
    world.arm_as(&who, "PATCH", &hub, &tags).expect(403);
    world.arm_as(&who, "DELETE", &id(&group), &Value::Null).expect(403);
    world.arm("DELETE", &id(&group), &Value::Null).expect(200);
    world.arm_as(&who, "PATCH", &hub, &tags).expect(200);
}

#[test]
fn a_denial_of_data_leaves_management_alone_and_excludes_whom_it_says() {
    let world = World::new();
    let hub = world.hub();
    let (denied, spared) = (world.service_principal("denied"), world.service_principal("spared"));
    for who in [&denied, &spared] {
        world.assign(who, DATA_CONTRIBUTOR, &hub).expect(201);
    }
    let permission = json!({ "dataActions": ["Microsoft.Devices/IotHubs/devices/write"] });
    let spare =
        json!({ "excludePrincipals": [{ "id": spared.object_id, "type": "ServicePrincipal" }] });
    deny(&world, &hub, &permission, &spare).expect(201);
    let register = |who, name: &str| {
        world.hub_as(who, "PUT", &hub, &format!("/devices/{name}"), &json!({ "deviceId": name }))
    };
    let refused = register(&denied, "d1").expect(401);
    assert!(
        refused.body["Message"].as_str().unwrap().contains("deny assignment with name 'freeze'")
    );
    register(&spared, "d1").expect(200);
    world.hub_as(&denied, "GET", &hub, "/devices/d1", &Value::Null).expect(200);
    world.arm("PATCH", &hub, &json!({ "tags": { "a": "b" } })).expect(200);

    // At the group and nowhere below it, it reaches no hub.
    world.arm("DELETE", &id(&hub), &Value::Null).expect(200);
    let only = json!({ "doNotApplyToChildScopes": true });
    deny(&world, &world.group(), &permission, &only).expect(201);
    register(&denied, "d2").expect(200);
}

#[test]
fn a_denial_that_says_nothing_clear_is_refused_with_its_place() {
    let world = World::new();
    let group = world.group();
    let permission = json!({ "actions": ["*/write"] });
    let refused = |more: Value, at: &str| {
        let answer = deny(&world, &group, &permission, &more).expect(400);
        assert_eq!(answer.body["error"]["target"], at, "{answer:?}");
    };
    refused(json!({ "principals": [] }), "properties.principals");
    refused(json!({ "principals": [{ "id": "ana" }] }), "properties.principals[0].id");
    refused(json!({ "excludePrincipals": everyone() }), "properties.excludePrincipals");
    refused(json!({ "denyAssignmentName": "" }), "properties.denyAssignmentName");
    refused(json!({ "permissions": [] }), "properties.permissions");
    refused(json!({ "condition": "true" }), "properties.condition");
    refused(json!({ "isSystemProtected": true }), "properties.isSystemProtected");
    let below = format!("{}/devices/d1", world.hub());
    deny(&world, &below, &permission, &json!({})).expect(400);
}

/// A refusal of each gate that decides is judged again from what was kept of it, to the same answer. Every
/// story does so with all of its refusals when it ends; this one counts them.
#[test]
fn a_kept_decision_comes_out_the_same_when_it_is_judged_again() {
    let world = World::new();
    let (group, hub) = (world.group(), world.hub());
    let who = world.service_principal("operator");
    let register = || world.hub_as(&who, "PUT", &hub, "/devices/d1", &json!({ "deviceId": "d1" }));
    let before = world.judged_again();
    // No role, a denial, a policy, a lock; and each of them changes the facts for the next.
    register().expect(401);
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    deny(&world, &hub, &json!({ "dataActions": ["*"] }), &json!({})).expect(201);
    register().expect(401);
    world.arm("DELETE", &id(&hub), &Value::Null).expect(200);
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/keep");
    world.arm("PUT", &lock, &json!({ "properties": { "level": "CanNotDelete" } })).expect(201);
    world.arm("DELETE", &hub, &Value::Null).expect(409);
    // Three refusals and four changes of the control plane.
    assert_eq!(world.judged_again() - before, 7);
}
