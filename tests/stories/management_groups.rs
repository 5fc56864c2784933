//! Management groups: roles and policies that are given above subscriptions reach down, and end where the
//! tree does.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const REGISTRY_CONTRIBUTOR: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";

fn group(name: &str) -> String {
    format!("/providers/Microsoft.Management/managementGroups/{name}")
}

fn make(world: &World, name: &str, parent: Option<&str>) -> Answer {
    let parent = parent.map(|it| json!({ "parent": { "id": group(it) } }));
    let body = json!({ "name": name, "properties": { "displayName": name, "details": parent } });
    world.arm("PUT", &group(name), &body)
}

fn place(world: &World, name: &str) -> String {
    format!("{}/subscriptions/{}", group(name), world.setting("HUBWARD_SUBSCRIPTION_ID"))
}

fn names(answer: &Answer) -> Vec<&str> {
    let all = answer.body["value"].as_array().unwrap();
    all.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

fn registers(world: &World, who: &Identity, device: &str) -> Answer {
    let path = format!("/devices/{device}");
    world.hub_as(who, "PUT", &world.hub(), &path, &json!({ "deviceId": device }))
}

/// S2-20, S2-23, S2-24: a data role at a management group or a subscription counts at every hub below it, and at
/// none beside.
#[test]
fn a_role_at_a_management_group_reaches_the_hubs_below_it() {
    let mut world = World::new();
    make(&world, "plants", None).expect(200);
    make(&world, "north", Some("plants")).expect(200);
    make(&world, "north1", Some("plants")).expect(200);
    let who = world.service_principal("importer");
    world.assign(&who, REGISTRY_CONTRIBUTOR, &group("plants")).expect(201);
    registers(&world, &who, "d1").expect(401);

    // The namesake's subscriptions are not this group's.
    world.arm("PUT", &place(&world, "north1"), &Value::Null).expect(200);
    registers(&world, &who, "d1").expect(200);
    let other = world.service_principal("other");
    world.assign(&other, REGISTRY_CONTRIBUTOR, &group("north")).expect(201);
    let refused = registers(&world, &other, "d2").expect(401);
    let told = world.explained(&refused.tracking());
    let found = &told["decision"]["steps"][2]["findings"][0];
    assert!(found["reason"].as_str().unwrap().contains("does not contain"), "{found}");

    // Moved, it counts on the next call, and outlives the process.
    world.arm("PUT", &place(&world, "north"), &Value::Null).expect(200);
    registers(&world, &other, "d2").expect(200);
    world.restart();
    registers(&world, &other, "d3").expect(200);
    let shown = world.arm("GET", &place(&world, "north"), &Value::Null).expect(200);
    assert_eq!(shown.body["properties"]["parent"]["id"], group("north"));
    world.arm("GET", &place(&world, "north1"), &Value::Null).expect(404);
    world.arm("DELETE", &place(&world, "north"), &Value::Null).expect(200);
    registers(&world, &other, "d4").expect(401);
    registers(&world, &who, "d4").expect(401);
    world.assign(&other, REGISTRY_CONTRIBUTOR, &world.subscription()).expect(201);
    registers(&world, &other, "d4").expect(200);
}

#[test]
fn a_policy_at_a_management_group_judges_what_is_written_below_it() {
    let world = World::new();
    make(&world, "plants", None).expect(200);
    world.arm("PUT", &place(&world, "plants"), &Value::Null).expect(200);
    let definition =
        format!("{}/providers/Microsoft.Authorization/policyDefinitions/quiet", group("plants"));
    let rule = json!({
        "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
        "then": { "effect": "deny" },
    });
    world.arm("PUT", &definition, &json!({ "properties": { "policyRule": rule } })).expect(201);
    let assignment =
        format!("{}/providers/Microsoft.Authorization/policyAssignments/quiet", group("plants"));
    let body = json!({ "properties": { "policyDefinitionId": definition } });
    world.arm("PUT", &assignment, &body).expect(201);

    let who = world.service_principal("importer");
    world.assign(&who, REGISTRY_CONTRIBUTOR, &world.hub()).expect(201);
    let refused = registers(&world, &who, "d1").expect(403);
    let told = world.explained(&refused.tracking());
    assert_eq!(told["decision"]["steps"][1]["findings"][0]["id"], assignment);
    world.arm("DELETE", &place(&world, "plants"), &Value::Null).expect(200);
    registers(&world, &who, "d1").expect(200);
}

#[test]
fn the_tree_of_management_groups_keeps_its_shape() {
    let world = World::new();
    let tenant = world.setting("HUBWARD_TENANT_ID");
    let made = make(&world, "a", None).expect(200);
    assert_eq!(made.body["properties"]["details"]["parent"]["id"], group(&tenant));
    for (name, parent) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e")] {
        make(&world, name, Some(parent)).expect(200);
    }
    // Six levels below the root, and no more; not below itself; not below what is not there.
    make(&world, "g", Some("f")).expect(400);
    make(&world, "g", Some("nowhere")).expect(404);
    make(&world, "g/h", None).expect(404);
    make(&world, "g.", None).expect(400);
    let up = |parent: &str| json!({ "parentGroupId": group(parent) });
    world.arm("PATCH", &group("a"), &up("c")).expect(400);
    make(&world, "z", None).expect(200);
    world.arm("PATCH", &group("a"), &up("z")).expect(400);
    world.arm("PATCH", &group("c"), &up("z")).expect(200);
    world.arm("PATCH", &group("nobody"), &up("z")).expect(404);

    let listed = world.arm("GET", "/providers/Microsoft.Management/managementGroups", &Value::Null);
    let listed = listed.expect(200);
    assert_eq!(names(&listed).len(), 8);
    let expanded =
        world.arm("GET", &format!("{}?$expand=children&$recurse=true", group("z")), &Value::Null);
    assert_eq!(expanded.expect(200).body["properties"]["children"][0]["children"][0]["name"], "d");
    let below = world.arm("GET", &format!("{}/descendants", group("z")), &Value::Null).expect(200);
    assert_eq!(names(&below).len(), 4);

    world.arm("DELETE", &group("z"), &Value::Null).expect(409);
    world.arm("DELETE", &group("b"), &Value::Null).expect(204);
    world.arm("DELETE", &group("b"), &Value::Null).expect(204);
    world.arm("GET", &group("b"), &Value::Null).expect(404);
    world.arm("DELETE", &group(&tenant), &Value::Null).expect(400);
    world.arm("PUT", &group(&tenant), &json!({ "properties": { "displayName": "x" } })).expect(400);
}

/// Who moves a subscription changes who holds roles in it.
#[test]
fn moving_takes_rights_at_both_ends() {
    let world = World::new();
    make(&world, "here", None).expect(200);
    make(&world, "there", None).expect(200);
    let who = world.service_principal("mover");
    world.assign(&who, OWNER, &group("there")).expect(201);
    // Owner of the target alone.
    let refused = world.arm_as(&who, "PUT", &place(&world, "there"), &Value::Null).expect(403);
    assert_eq!(refused.code(), "LinkedAuthorizationFailed");
    world.assign(&who, OWNER, &world.subscription()).expect(201);
    world.arm_as(&who, "PUT", &place(&world, "there"), &Value::Null).expect(403);
    let root = group(&world.setting("HUBWARD_TENANT_ID"));
    world.assign(&who, READER, &root).expect(201);
    world.arm_as(&who, "PUT", &place(&world, "there"), &Value::Null).expect(403);
    world.arm("PUT", &place(&world, "here"), &Value::Null).expect(200);
    world.assign(&who, OWNER, &group("here")).expect(201);
    world.arm_as(&who, "PUT", &place(&world, "there"), &Value::Null).expect(200);
    // A group of one's own below a group that one owns, and nowhere else.
    let body = |parent: &str| json!({ "properties": { "details": { "parent": { "id": group(parent) } } } });
    world.arm_as(&who, "PUT", &group("mine"), &body("there")).expect(200);
    world.arm_as(&who, "PUT", &group("yours"), &json!({ "properties": {} })).expect(403);
}

/// a role of one's own with data actions is not assignable at a management group, as in Azure; without
/// them it is, and so are built-in ones.
#[test]
fn a_custom_role_with_data_actions_stays_below_management_groups() {
    let world = World::new();
    make(&world, "plants", None).expect(200);
    make(&world, "more", None).expect(200);
    let put = |permission: Value, groups: &[&str]| {
        let id = world.guid();
        let path =
            format!("{}/providers/Microsoft.Authorization/roleDefinitions/{id}", world.group());
        let scopes: Vec<String> = groups.iter().map(|it| group(it)).collect();
        let body = json!({ "properties": { "roleName": format!("role {id}"), "assignableScopes": scopes,
            "permissions": [permission] } });
        world.arm("PUT", &path, &body)
    };
    let data = json!({ "dataActions": ["Microsoft.Devices/IotHubs/devices/read"] });
    let control = json!({ "actions": ["Microsoft.Devices/IotHubs/read"] });
    put(data, &["plants"]).expect(400);
    put(control.clone(), &["plants"]).expect(201);
    put(control, &["plants", "more"]).expect(400);
    let who = world.service_principal("reader");
    world.assign(&who, "b447c946-2db7-41ec-983d-d8bf3b1c77e3", &group("plants")).expect(201);
}

#[test]
fn what_is_defined_in_one_place_is_assigned_there_and_below_and_nowhere_else() {
    let world = World::new();
    make(&world, "plants", None).expect(200);
    make(&world, "plants1", None).expect(200);
    make(&world, "north", Some("plants")).expect(200);
    let id = |scope: &str, kind: &str, name: &str| {
        format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}")
    };
    let rule =
        json!({ "if": { "field": "name", "equals": "never" }, "then": { "effect": "deny" } });
    let define = |scope: &str| {
        let definition = id(scope, "policyDefinitions", "quiet");
        world.arm("PUT", &definition, &json!({ "properties": { "policyRule": rule } })).expect(201);
        let set = id(scope, "policySetDefinitions", "quiet");
        let members = json!([{ "policyDefinitionId": definition }]);
        world
            .arm("PUT", &set, &json!({ "properties": { "policyDefinitions": members } }))
            .expect(201);
        [definition, set]
    };
    let assign = |scope: &str, definition: &str| {
        let name = world.guid();
        let body = json!({ "properties": { "policyDefinitionId": definition } });
        world.arm("PUT", &id(scope, "policyAssignments", &name), &body)
    };
    let refused = |scope: &str, definition: &str| {
        let answer = assign(scope, definition).expect(400);
        assert_eq!(answer.body["error"]["target"], "properties.policyDefinitionId");
        assert!(answer.text().contains("is not below it"), "{answer:?}");
    };
    for definition in define(&group("plants")) {
        assign(&group("plants"), &definition).expect(201);
        assign(&group("north"), &definition).expect(201);
        refused(&group("plants1"), &definition);
        refused(&group(&world.setting("HUBWARD_TENANT_ID")), &definition);
        refused("", &definition);
        // The subscription is elsewhere until it is put there.
        refused(&world.hub(), &definition);
        world.arm("PUT", &place(&world, "plants1"), &Value::Null).expect(200);
        refused(&world.hub(), &definition);
        world.arm("PUT", &place(&world, "north"), &Value::Null).expect(200);
        assign(&world.hub(), &definition).expect(201);
        world.arm("DELETE", &place(&world, "north"), &Value::Null).expect(200);
    }
    for definition in define(&world.subscription()) {
        assign(&world.subscription(), &definition.to_uppercase()).expect(201);
        assign(&world.group(), &definition).expect(201);
        refused(&group("plants"), &definition);
        refused("", &definition);
    }
}
