//! Rights that somebody tries to widen, and policies that are made to do harm.

use serde_json::{Value, json};
use testkit::{Identity, World};

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

fn role_path(scope: &str, id: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}")
}

fn role(world: &World, name: &str, actions: &[&str]) -> Value {
    json!({ "properties": { "roleName": name, "assignableScopes": [world.group()],
        "permissions": [{ "actions": actions }] } })
}

/// Somebody with a role of these actions at the group, and the role's id.
fn with(world: &World, name: &str, actions: &[&str]) -> (Identity, String) {
    let (who, id) = (world.service_principal(name), world.guid());
    let body = role(world, name, actions);
    world.arm("PUT", &role_path(&world.group(), &id), &body).expect(201);
    world.assign(&who, &id, &world.group()).expect(201);
    (who, id)
}

/// Where the keys of a hub and of a provisioning service are listed, with the actions.
fn key_lists(world: &World) -> Vec<(String, &'static str)> {
    let all = format!("{}/providers/Microsoft.Devices/provisioningServices", world.group());
    let all = world.arm("GET", &all, &Value::Null).expect(200).body;
    let (hub, dps) = (world.hub(), all["value"][0]["id"].as_str().unwrap().to_owned());
    vec![
        (format!("{hub}/listkeys"), "Microsoft.Devices/IotHubs/listkeys/action"),
        (
            format!("{hub}/IotHubKeys/iothubowner/listkeys"),
            "Microsoft.Devices/IotHubs/iotHubKeys/listkeys/action",
        ),
        (format!("{dps}/listkeys"), "Microsoft.Devices/provisioningServices/listkeys/action"),
        (
            format!("{dps}/keys/provisioningserviceowner/listkeys"),
            "Microsoft.Devices/provisioningServices/keys/listkeys/action",
        ),
    ]
}

/// Threat 51: keys are listed by an action, and no right to read, however wide, is one.
#[test]
fn the_right_to_read_everything_lists_no_keys() {
    let world = World::new();
    let (reader, _) = with(&world, "reads-all", &["*/read", "Microsoft.Devices/*/read"]);
    world.arm_as(&reader, "GET", &world.hub(), &Value::Null).expect(200);
    let lists = key_lists(&world);
    for (path, action) in &lists {
        let refused = world.arm_as(&reader, "POST", path, &Value::Null).expect(403);
        assert_eq!(refused.code(), "AuthorizationFailed");
        assert!(refused.text().contains(action), "{refused:?}");
        assert!(!refused.text().contains("Key\":"), "{refused:?}");
    }
    for (path, action) in &lists {
        let name = action.replace(['/', '.'], "-");
        let (lister, _) = with(&world, &name, &[action]);
        world.arm_as(&lister, "POST", path, &Value::Null).expect(200);
        world.arm_as(&lister, "GET", &world.hub(), &Value::Null).expect(403);
    }
}

/// What the activity log has of a call.
fn recorded(world: &World, tracking: &str) -> Value {
    let from = world.now().plus_seconds(-600).rfc3339();
    let path = format!(
        "{}/providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp%20ge%20'{from}'",
        world.subscription()
    );
    let log = world.arm("GET", &path, &Value::Null).expect(200).body;
    let found = log["value"].as_array().unwrap().iter().find(|it| it["operationId"] == tracking);
    found.unwrap_or_else(|| panic!("{tracking}: {log}")).clone()
}

/// Threat 52: who may not give roles gives none to themselves, neither by an assignment nor by what a role that
/// they hold means, and the log has who tried what.
#[test]
fn who_may_not_give_roles_widens_none_that_somebody_holds() {
    let world = World::new();
    let group = world.group();
    let (climber, own) =
        with(&world, "role-writer", &["Microsoft.Authorization/roleDefinitions/*"]);
    let assignment = |role: &str| {
        let path =
            format!("{group}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
        let id = role_path(&world.subscription(), role);
        let body =
            json!({ "properties": { "roleDefinitionId": id, "principalId": climber.object_id } });
        world.arm_as(&climber, "PUT", &path, &body)
    };
    let wide = |name: &str| role(&world, name, &["*"]);
    let writes = |who: &Identity, id: &str, body: &Value| {
        world.arm_as(who, "PUT", &role_path(&group, id), body)
    };
    let is_recorded = |tracking: &str, action: &str| {
        let event = recorded(&world, tracking);
        assert_eq!(event["status"]["value"], "Failed");
        assert_eq!(event["authorization"]["action"], action, "{event}");
        assert!(event.to_string().contains(&climber.object_id), "{event}");
    };
    for role in [OWNER, ACCESS_ADMINISTRATOR] {
        let refused = assignment(role).expect(403);
        assert_eq!(refused.code(), "AuthorizationFailed");
        is_recorded(&refused.tracking(), "Microsoft.Authorization/roleAssignments/write");
    }
    // Their own, and another's with whom they may be in league.
    let (_, others) = with(&world, "another", &["*/read"]);
    for (id, name) in [(&own, "role-writer"), (&others, "another")] {
        let refused = writes(&climber, id, &wide(name)).expect(403);
        assert_eq!(refused.code(), "LinkedAuthorizationFailed");
        assert!(
            refused.text().contains("Microsoft.Authorization/roleAssignments/write"),
            "{refused:?}"
        );
        is_recorded(&refused.tracking(), "Microsoft.Authorization/roleDefinitions/write");
    }
    world.arm_as(&climber, "GET", &group, &Value::Null).expect(403);

    // What it is called may change; a role that nobody holds may be anything, and giving it is refused.
    let renamed = role(&world, "renamed", &["Microsoft.Authorization/roleDefinitions/*"]);
    writes(&climber, &own, &renamed).expect(201);
    let free = world.guid();
    writes(&climber, &free, &role(&world, "free", &["*/read"])).expect(201);
    writes(&climber, &free, &wide("free")).expect(201);
    assignment(&free).expect(403);

    // With the right to give roles there, and not with the same elsewhere.
    let (giver, _) = with(
        &world,
        "giver",
        &[
            "Microsoft.Authorization/roleDefinitions/*",
            "Microsoft.Authorization/roleAssignments/write",
        ],
    );
    world.assign(&climber, ACCESS_ADMINISTRATOR, &world.hub()).expect(201);
    let wider = role(&world, "another", &["*/read", "Microsoft.Devices/*/write"]);
    writes(&climber, &others, &wider).expect(403);
    writes(&giver, &others, &wider).expect(201);
}

/// Threat 53: what a wildcard is said to grant is what it grants, as one piece of code says both.
#[test]
fn what_a_wildcard_is_said_to_grant_is_what_it_grants() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    for (name, pattern) in [
        ("actions", "Microsoft.Devices/*/action"),
        ("keys", "microsoft.devices/iothubs/*keys/action"),
        ("hubs", "Microsoft.Devices/IotHubs/*"),
        ("reads", "*/read"),
        ("groups", "Microsoft.Resources/*"),
    ] {
        let (who, _) = with(&world, name, &[pattern]);
        let calls = [
            ("GET", hub.clone(), "Microsoft.Devices/IotHubs/read"),
            ("GET", group.clone(), "Microsoft.Resources/subscriptions/resourceGroups/read"),
        ];
        let lists = key_lists(&world).into_iter().map(|(path, action)| ("POST", path, action));
        for (method, path, action) in calls.into_iter().chain(lists) {
            let scope = path.split("/IotHubKeys").next().unwrap().split("/keys").next().unwrap();
            let scope = scope.trim_end_matches("/listkeys");
            let asked = json!({ "principal": who.object_id, "action": action, "scope": scope });
            let told = world.arm("POST", "/decisions/ask", &asked).expect(200).body;
            let is_allowed = told["decision"]["outcome"]["verdict"] == "allow";
            let done = world.arm_as(&who, method, &path, &Value::Null);
            assert_eq!(done.status, if is_allowed { 200 } else { 403 }, "{pattern}: {action}");
        }
    }
}

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

/// Threat 54: an exemption ends at its instant, without a job that looks for it, and helps no neighbour.
#[test]
fn an_exemption_that_has_ended_or_lies_beside_it_helps_nobody() {
    let world = World::new();
    let (hub, beside) = (world.hub(), world.hub_named("beside"));
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &beside, &body).expect(201);
    let who = world.service_principal("writer");
    world.assign(&who, "4fc6c259-987e-4a07-842e-c321cc9d413f", &world.group()).expect(201);
    world.define_policy("v2", &deny()).expect(201);
    let assigned = world.assign_policy("v2", &world.group()).expect(201);
    let path = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/intake");
    let properties = json!({ "policyAssignmentId": assigned.body["id"], "exemptionCategory": "Waiver",
        "expiresOn": world.now().plus_seconds(60).rfc3339() });
    world.arm("PUT", &path, &json!({ "properties": properties })).expect(201);
    world.puts_device(&who, &hub, "in-time").expect(200);
    world.puts_device(&who, &beside, "beside").expect(403);
    world.pass_seconds(59);
    world.puts_device(&who, &hub, "just-in-time").expect(200);
    world.pass_seconds(1);
    world.puts_device(&who, &hub, "late").expect(403);
}

/// Threats 55, 56: what nobody could decide by, or not in time, is refused with its place when it is written.
#[test]
fn policies_that_are_made_to_do_harm_are_refused_with_their_place() {
    let world = World::new();
    let check = |rule: &Value, place: &str| {
        let answer = world.define_policy("harm", rule).expect(400);
        assert!(answer.text().contains(place), "{place}: {answer:?}");
    };
    let ok = || json!({ "field": "type", "equals": DEVICES });
    let then = |condition: Value| json!({ "if": condition, "then": { "effect": "deny" } });
    for effect in ["permit", "denny", "deny ", "", "allowed"] {
        check(&json!({ "if": ok(), "then": { "effect": effect } }), "policyRule.then.effect");
    }
    let mut deep = ok();
    for _ in 0..64 {
        deep = json!({ "not": deep });
    }
    check(&then(deep), "more than 64 levels of nesting at line 1 column");
    check(&then(json!({ "allOf": vec![ok(); 4_096] })), "policyRule.if");
    check(&then(json!({ "field": "name", "like": "*a".repeat(40) })), "policyRule.if.like");
    for field in ["colour", "identity.principal", "request.header", "[concat('type'"] {
        check(&then(json!({ "allOf": [ok(), { "field": field, "equals": "x" }] })), "allOf[1]");
    }
    let aliased = "Microsoft.Devices/IotHubs/authorizationPolicies[*].primaryKey";
    check(&then(json!({ "field": aliased, "equals": "x" })), "policyRule.if.field");

    // Brackets without end are no JSON that is read to its end.
    let token = world.token(&world.admin(), &world.setting("HUBWARD_ARM"));
    let url = format!(
        "{}{}/providers/Microsoft.Authorization/policyDefinitions/harm?api-version=2023-04-01",
        world.setting("HUBWARD_ARM"),
        world.subscription()
    );
    let headers =
        [("Authorization", format!("Bearer {token}")), ("Content-Type", "application/json".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let bomb = format!("{{\"properties\":{{\"policyRule\":{}", "[".repeat(100_000));
    assert_eq!(world.wire().send("PUT", &url, &headers, bomb.as_bytes()).status, 400);
    let kept = format!(
        "{}/providers/Microsoft.Authorization/policyDefinitions/harm",
        world.subscription()
    );
    world.arm("GET", &kept, &Value::Null).expect(404);

    // An effect that an assignment or an override brings is looked at, too.
    let path = |kind: &str, name: &str| {
        format!("{}/providers/Microsoft.Authorization/{kind}/{name}", world.subscription())
    };
    let properties = json!({ "parameters": { "effect": { "type": "String" } },
        "policyRule": { "if": ok(), "then": { "effect": "[parameters('effect')]" } } });
    world
        .arm("PUT", &path("policyDefinitions", "given"), &json!({ "properties": properties }))
        .expect(201);
    let assign = |more: Value| {
        let mut properties = json!({ "policyDefinitionId": path("policyDefinitions", "given"),
            "parameters": { "effect": { "value": "Deny" } } });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        world.arm("PUT", &path("policyAssignments", "given"), &json!({ "properties": properties }))
    };
    assign(json!({ "parameters": { "effect": { "value": "denny" } } })).expect(400);
    assign(json!({ "overrides": [{ "kind": "policyEffect", "value": "permit" }] })).expect(400);
    assign(json!({})).expect(201);
}

/// Threat 55: one past the most assignments of a scope is refused, and decisions go on.
#[test]
fn one_past_the_most_assignments_is_refused() {
    const ASSIGNMENTS_MAX: usize = 200;
    let world = World::new();
    world.define_policy("v2", &deny()).expect(201);
    let hub = world.hub();
    let assign = |number: usize| {
        let id = format!(
            "{}/providers/Microsoft.Authorization/policyDefinitions/v2",
            world.subscription()
        );
        let path = format!("{hub}/providers/Microsoft.Authorization/policyAssignments/a{number}");
        world.arm("PUT", &path, &json!({ "properties": { "policyDefinitionId": id } }))
    };
    for number in 0..ASSIGNMENTS_MAX {
        assign(number).expect(201);
    }
    assign(ASSIGNMENTS_MAX).expect(400);
    // One that is there can still be written.
    assign(0).expect(201);
    let who = world.service_principal("writer");
    world.assign(&who, "4fc6c259-987e-4a07-842e-c321cc9d413f", &hub).expect(201);
    world.puts_device(&who, &hub, "d1").expect(403);
}
