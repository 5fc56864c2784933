//! A delegate hands out the roles that a condition names and no other, and the refusal says why.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// Roles to programs: those of devices and of readers, and only those are taken away.
fn limited() -> String {
    let roles = format!("ForAnyOfAnyValues:GuidEquals {{{DATA_CONTRIBUTOR}, {READER}}}");
    let half = |verb: &str, source: &str| {
        let name = |it: &str| format!("@{source}[Microsoft.Authorization/roleAssignments:{it}]");
        format!(
            "(\n !(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})\n OR (\n  {} {roles}\n  \
             AND {} StringEqualsIgnoreCase 'serviceprincipal'\n )\n)",
            name("RoleDefinitionId"),
            name("PrincipalType")
        )
    };
    format!("{}\nAND\n{}", half("write", "Request"), half("delete", "Resource"))
}

fn path(world: &World, scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid())
}

fn body(role: &str, principal: &str, more: &Value) -> Value {
    let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let mut properties = json!({ "roleDefinitionId": id, "principalId": principal });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    json!({ "properties": properties })
}

/// A role of its own that assigns roles, for the group with the hubs, under a condition.
fn delegate(world: &World, condition: &str) -> (Identity, Value) {
    let who = world.service_principal("foreman");
    let administrator = "Role%20Based%20Access%20Control%20Administrator";
    let filter = format!("$filter=roleName%20eq%20'{administrator}'");
    let roles = "/providers/Microsoft.Authorization/roleDefinitions";
    let found = world.arm("GET", &format!("{roles}?{filter}"), &Value::Null).expect(200);
    let role = found.body["value"][0]["name"].as_str().unwrap();
    let more = json!({ "condition": condition, "conditionVersion": "2.0" });
    let body = body(role, &who.object_id, &more);
    let made = world.arm("PUT", &path(world, &world.group()), &body).expect(201);
    (who, made.body)
}

fn gives(world: &World, who: &Identity, role: &str, to: &str, more: &Value) -> Answer {
    world.arm_as(who, "PUT", &path(world, &world.hub()), &body(role, to, more))
}

fn is_refused(answer: &Answer, verb: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (403, "AuthorizationFailed"), "{answer:?}");
    let message = answer.body["error"]["message"].as_str().unwrap();
    let words = format!(
        "does not have authorization or an ABAC condition not fulfilled to perform action \
         'Microsoft.Authorization/roleAssignments/{verb}'"
    );
    assert!(message.contains(&words), "{message}");
}

#[test]
fn a_delegate_gives_and_takes_the_roles_that_its_condition_names_and_no_other() {
    let mut world = World::new();
    let (who, made) = delegate(&world, &limited());
    assert_eq!(made["properties"]["condition"], limited());
    assert_eq!(made["properties"]["conditionVersion"], "2.0");
    let pump = world.service_principal("pump");
    let none = json!({});

    let given = gives(&world, &who, DATA_CONTRIBUTOR, &pump.object_id, &none).expect(201).body;
    world.puts_device(&pump, &world.hub(), "device1").expect(200);
    for role in [OWNER, CONTRIBUTOR] {
        is_refused(&gives(&world, &who, role, &pump.object_id, &none), "write");
        is_refused(&gives(&world, &who, role, &who.object_id, &none), "write");
    }
    // A group is no program, whatever the body calls it.
    let mail = json!({ "displayName": "g", "mailNickname": "g", "mailEnabled": false, "securityEnabled": true });
    let group = world.graph("POST", "/groups", &mail).expect(201).body;
    let group = group["id"].as_str().unwrap();
    let disguised = json!({ "principalType": "ServicePrincipal" });
    is_refused(&gives(&world, &who, READER, group, &disguised), "write");
    // Of somebody whom the directory does not know yet, the body's word counts, in any casing.
    let (unknown, user) = (world.guid(), json!({ "principalType": "User" }));
    is_refused(&gives(&world, &who, READER, &unknown, &user), "write");
    is_refused(
        &gives(&world, &who, READER, &unknown, &json!({ "principalType": "Robot" })),
        "write",
    );
    let told = json!({ "principalType": "SERVICEPRINCIPAL" });
    let told = gives(&world, &who, READER, &unknown, &told).expect(201).body;
    assert_eq!(told["properties"]["principalType"], "ServicePrincipal");
    // Nor does the delegate lift its own limit, or change what somebody else was given.
    let own = made["id"].as_str().unwrap();
    let unlimited = json!({ "properties": {
        "roleDefinitionId": made["properties"]["roleDefinitionId"], "principalId": who.object_id } });
    is_refused(&world.arm_as(&who, "PUT", own, &unlimited), "write");

    // Deletions are judged by the assignment that is there, also after a restart.
    let kept = world.assign(&pump, CONTRIBUTOR, &world.hub()).expect(201).body;
    world.restart();
    let delete = |id: &Value| world.arm_as(&who, "DELETE", id.as_str().unwrap(), &Value::Null);
    is_refused(&delete(&kept["id"]), "delete");
    is_refused(&delete(&made["id"]), "delete");
    is_refused(&delete(&json!(path(&world, &world.hub()))), "delete");
    delete(&given["id"]).expect(200);
    world.puts_device(&pump, &world.hub(), "device2").expect(401);
    // Reading is no part of the condition.
    world.arm_as(&who, "GET", kept["id"].as_str().unwrap(), &Value::Null).expect(200);
}

#[test]
fn a_refusal_by_a_condition_names_the_comparison_that_failed() {
    let world = World::new();
    let (who, made) = delegate(&world, &limited());
    let refused = gives(&world, &who, OWNER, &who.object_id, &json!({}));
    is_refused(&refused, "write");
    let told = world.explained(&refused.tracking());
    let step = &told["decision"]["steps"][2];
    assert_eq!((&step["gate"], &step["verdict"]), (&json!("access"), &json!("deny")));
    let all = step["findings"].as_array().unwrap();
    let found = all.iter().find(|it| it["id"] == made["id"]).unwrap();
    assert_eq!((&found["kind"], &found["result"]), (&json!("roleAssignment"), &json!("noMatch")));
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("but a condition is not fulfilled: `@Request["), "{reason}");
    let failing: Vec<&Value> =
        found["conditions"].as_array().unwrap().iter().filter(|it| it["actual"] == OWNER).collect();
    assert_eq!(failing.len(), 1, "{found}");
    assert_eq!(failing[0]["path"], "condition, line 4, character 3");
    assert_eq!(failing[0]["operator"], "ForAnyOfAnyValues:GuidEquals");
    assert_eq!(failing[0]["expected"], json!([DATA_CONTRIBUTOR, READER]));
    assert_eq!(failing[0]["result"], json!(false));
    // A way out that lifts the limit says so.
    for fix in told["fixes"].as_array().unwrap() {
        let warning = fix["warning"].as_str().unwrap();
        assert!(warning.contains("a condition limits the roles"), "{warning}");
    }
}

#[test]
fn a_condition_that_cannot_be_read_is_refused_with_its_place() {
    let world = World::new();
    let pump = world.service_principal("pump");
    let refused = |more: Value, place: &str, words: &str| {
        let path = path(&world, &world.hub());
        let answer = world.arm("PUT", &path, &body(READER, &pump.object_id, &more)).expect(400);
        let error = answer.body["error"].to_string();
        assert!(error.contains(place) && error.contains(words), "{error}");
        world.arm("GET", &path, &Value::Null).expect(404);
    };
    let at = "properties.condition";
    refused(json!({ "condition": "@Request[a] StringEquals" }), at, "line 1, character 25");
    let lines = "ActionMatches{'a/read'}\n  AND Exists";
    refused(json!({ "condition": lines }), at, "line 2, character 13");
    refused(
        json!({ "condition": format!("Exists @Request[a]{}", " ".repeat(8_192)) }),
        at,
        "8192 bytes",
    );
    refused(json!({ "condition": "(".repeat(100) }), at, "nested deeper than 64 levels");
    refused(json!({ "condition": true }), at, "this is a text");
    let old = json!({ "condition": "Exists @Request[a]", "conditionVersion": "1.0" });
    refused(old, "properties.conditionVersion", "the only version is `2.0`");

    let role = |condition: &str| {
        let scope = world.subscription();
        let path =
            format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{}", world.guid());
        let block =
            json!({ "actions": ["*/read"], "condition": condition, "conditionVersion": "2.0" });
        let properties = json!({ "roleName": "limited reader", "assignableScopes": [scope],
            "permissions": [{ "actions": ["Microsoft.Devices/IotHubs/read"] }, block] });
        world.arm("PUT", &path, &json!({ "properties": properties }))
    };
    let answer = role("@Request[a] StringEquals").expect(400);
    let error = answer.body["error"].to_string();
    assert!(error.contains("properties.permissions[1].condition"), "{error}");
    let text = "@Environment[UtcNow] DateTimeLessThan '2000-01-01'";
    let made = role(text).expect(201).body;
    let blocks = &made["properties"]["permissions"];
    assert_eq!(
        (&blocks[0]["condition"], &blocks[0]["conditionVersion"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&blocks[1]["condition"], &blocks[1]["conditionVersion"]),
        (&json!(text), &json!("2.0"))
    );

    // The block without a condition reads the hub, the other reads nothing any more.
    world.assign(&pump, made["name"].as_str().unwrap(), &world.group()).expect(201);
    world.arm_as(&pump, "GET", &world.hub(), &Value::Null).expect(200);
    let refused = world.arm_as(&pump, "GET", &world.group(), &Value::Null).expect(403);
    assert!(refused.text().contains("an ABAC condition not fulfilled"), "{}", refused.text());
}

#[test]
fn a_condition_can_be_set_changed_and_lifted_and_nothing_else_of_an_assignment() {
    let world = World::new();
    let pump = world.service_principal("pump");
    let path = path(&world, &world.hub());
    let put =
        |role: &str, more: Value| world.arm("PUT", &path, &body(role, &pump.object_id, &more));
    let writes = |device: &str| world.puts_device(&pump, &world.hub(), device).status;
    let never = "@Environment[UtcNow] DateTimeLessThan '2000-01-01T00:00:00Z'";
    put(DATA_CONTRIBUTOR, json!({ "condition": never, "conditionVersion": "2.0" })).expect(201);
    assert_eq!(writes("d1"), 401);
    let always = never.replace("LessThan", "GreaterThan");
    let changed = json!({ "condition": always, "description": "since 2000" });
    let changed = put(DATA_CONTRIBUTOR, changed).expect(200).body;
    assert_eq!(changed["properties"]["condition"], always);
    assert_eq!(changed["properties"]["conditionVersion"], "2.0");
    assert_eq!(changed["properties"]["description"], "since 2000");
    assert_eq!(writes("d1"), 200);
    put(DATA_CONTRIBUTOR, json!({ "condition": never })).expect(200);
    assert_eq!(writes("d2"), 401);
    let lifted = put(DATA_CONTRIBUTOR, json!({ "condition": null })).expect(200).body;
    assert_eq!(lifted["properties"]["conditionVersion"], Value::Null);
    assert_eq!(writes("d2"), 200);
    let refused = put(READER, json!({ "condition": always })).expect(400);
    assert_eq!(refused.code(), "RoleAssignmentUpdateNotPermitted");
}
