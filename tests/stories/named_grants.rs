//! What no wildcard grants: security policies need a role that names them, and every answer says so.

use serde_json::{Value, json};
use testkit::{Identity, World};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

fn asked(world: &World, who: &Identity, action: &str) -> Value {
    let action = format!("Microsoft.Devices/IotHubs/{action}");
    let body = json!({ "principal": who.object_id, "action": action, "scope": world.hub() });
    world.arm("POST", "/decisions/ask", &body).expect(200).body["decision"].clone()
}

fn is_allowed(world: &World, who: &Identity, action: &str) -> bool {
    asked(world, who, action)["outcome"]["verdict"] == "allow"
}

/// A role of the tenant's own at the hub, which is the one scope at which it can be assigned.
fn role(world: &World, name: &str, actions: &[&str]) -> String {
    let id = world.guid();
    let path = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{id}", world.hub());
    let actions: Vec<String> =
        actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
    let body = json!({ "properties": { "roleName": name, "assignableScopes": [world.hub()],
        "permissions": [{ "actions": actions }] } });
    world.arm("PUT", &path, &body).expect(201);
    id
}

/// Contributor has `*`, and the trace says that it would have matched if it named the action.
#[test]
fn a_wildcard_reaches_no_security_policies_and_the_trace_says_why() {
    let world = World::new();
    let who = world.service_principal("ingest");
    world.assign(&who, CONTRIBUTOR, &world.subscription()).expect(201);
    assert!(is_allowed(&world, &who, "securitySettings/write"));
    let told = asked(&world, &who, "securityPolicies/write");
    assert_eq!(
        (&told["outcome"]["status"], &told["outcome"]["code"]),
        (&json!(403), &json!("AuthorizationFailed"))
    );
    let found = &told["steps"][2]["findings"][0];
    assert_eq!(found["role"]["roleName"], "Contributor");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("`*` of `Contributor` does not cover"), "{reason}");
    assert!(reason.contains("needs a role that names it"), "{reason}");
}

/// S1-36: the hub's widest data role is of the other plane, and the trace says that, too.
#[test]
fn a_data_role_reaches_no_security_policies_and_the_trace_says_why() {
    let world = World::new();
    let who = world.service_principal("ingest");
    world.assign(&who, DATA_CONTRIBUTOR, &world.hub()).expect(201);
    let told = asked(&world, &who, "securityPolicies/write");
    assert_eq!(told["outcome"]["status"], 403);
    let reason = told["steps"][2]["findings"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("in its dataActions, but"), "{reason}");
    assert!(reason.contains("needs it in its actions"), "{reason}");
}

/// S1-15, S1-37, X-08: a role of three actions, assignable at one hub and nowhere else, does these
/// three things there and no other.
#[test]
fn a_role_of_three_actions_at_one_hub_does_three_things() {
    let world = World::new();
    let who = world.service_principal("ingest");
    let three = ["securityPolicies/write", "securityPolicies/read", "securitySettings/write"];
    let id = role(&world, "IoT Hub Security Admin", &three);
    let refused = world.assign(&who, &id, &world.group()).expect(400);
    assert_eq!(refused.code(), "RoleAssignmentScopeNotAssignableToRoleDefinition");
    world.assign(&who, &id, &world.hub()).expect(201);
    for action in three {
        assert!(is_allowed(&world, &who, action), "{action}");
    }
    for action in ["securityPolicies/delete", "securitySettings/read", "read", "listkeys/action"] {
        assert!(!is_allowed(&world, &who, action), "{action}");
    }
}
