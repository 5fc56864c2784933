//! Groups over the wire: a role on a hub that is held through a group in a group, and what ends it.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// A new group, by its object id.
fn group(world: &World, name: &str) -> String {
    let body = json!({ "displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true });
    let made = world.graph("POST", "/groups", &body).expect(201);
    made.body["id"].as_str().unwrap().to_owned()
}

fn add(world: &World, group: &str, member: &str) -> Answer {
    let body = json!({ "@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{member}") });
    world.graph("POST", &format!("/groups/{group}/members/$ref"), &body)
}

fn remove(world: &World, group: &str, member: &str) -> Answer {
    world.graph("DELETE", &format!("/groups/{group}/members/{member}/$ref"), &Value::Null)
}

/// Gives a group a role.
fn assign(world: &World, group: &str, role: &str, scope: &str) -> Value {
    let body = json!({ "properties": {
        "roleDefinitionId": format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", world.subscription()),
        "principalId": group, "principalType": "Group" } });
    let path =
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", world.guid());
    world.arm("PUT", &path, &body).expect(201).body
}

/// The ids in the `value` of an answer.
fn ids(answer: &Answer) -> Vec<String> {
    let all = answer.body["value"].as_array().unwrap().iter();
    all.map(|it| it["id"].as_str().or_else(|| it.as_str()).unwrap().to_owned()).collect()
}

/// Somebody in `inner`, which is in `outer`, which may write devices of the hub.
fn nested(world: &World) -> (Identity, String, String) {
    let pump = world.service_principal("pump");
    let (inner, outer) = (group(world, "inner"), group(world, "outer"));
    add(world, &outer, &inner).expect(204);
    add(world, &inner, &pump.object_id).expect(204);
    let assigned = assign(world, &outer, DATA_CONTRIBUTOR, &world.hub());
    assert_eq!(assigned["properties"]["principalType"], "Group");
    (pump, inner, outer)
}

#[test]
fn a_role_held_through_a_nested_group_ends_with_the_inner_membership() {
    let mut world = World::new();
    let hub = world.hub();
    let (pump, inner, outer) = nested(&world);
    let other = world.service_principal("pump10");
    world.puts_device(&pump, &hub, "device1").expect(200);
    world.puts_device(&other, &hub, "device10").expect(401);

    world.restart();
    world.puts_device(&pump, &hub, "device2").expect(200);

    remove(&world, &inner, &pump.object_id).expect(204);
    let refused = world.puts_device(&pump, &hub, "device3").expect(401);
    assert_eq!(world.explained(&refused.tracking())["decision"]["outcome"]["gate"], "access");
    remove(&world, &inner, &pump.object_id).expect(404);

    add(&world, &inner, &pump.object_id).expect(204);
    world.puts_device(&pump, &hub, "device3").expect(200);
    remove(&world, &outer, &inner).expect(204);
    world.puts_device(&pump, &hub, "device4").expect(401);

    add(&world, &outer, &inner).expect(204);
    world.puts_device(&pump, &hub, "device4").expect(200);
    world.graph("DELETE", &format!("/groups/{inner}"), &Value::Null).expect(204);
    world.puts_device(&pump, &hub, "device5").expect(401);
    assert!(ids(&world.graph("GET", &format!("/groups/{outer}/members"), &Value::Null)).is_empty());
    world.restart();
    world.puts_device(&pump, &hub, "device5").expect(401);
}

#[test]
fn a_refusal_says_through_which_groups_a_role_that_did_not_do_is_held() {
    let world = World::new();
    let (pump, inner, outer) = nested(&world);
    // A role for data: it reads no hub.
    let refused = world.arm_as(&pump, "GET", &world.hub(), &Value::Null).expect(403);
    let told = world.explained(&refused.tracking());
    let steps = told["decision"]["steps"].as_array().unwrap();
    let findings = steps.iter().find(|it| it["gate"] == "access").unwrap()["findings"].clone();
    let near = findings.as_array().unwrap().iter().find(|it| it["role"]["through"].is_array());
    let near = near.unwrap_or_else(|| panic!("no finding tells the way: {findings}"));
    assert_eq!(
        near["role"]["through"],
        json!([{ "id": inner, "name": "inner" }, { "id": outer, "name": "outer" }])
    );
    let reason = near["reason"].as_str().unwrap();
    assert!(reason.ends_with("through the group `inner` in `outer`"), "{reason}");
}

#[test]
fn who_is_in_a_group_can_be_asked_from_either_side() {
    let world = World::new();
    let (pump, inner, outer) = nested(&world);
    let get = |path: &str| ids(&world.graph("GET", path, &Value::Null).expect(200));
    let post = |path: &str, body: Value| ids(&world.graph("POST", path, &body).expect(200));
    let sp = &pump.object_id;
    assert_eq!(get(&format!("/groups/{inner}/members")), [sp.as_str()]);
    assert_eq!(get(&format!("/groups/{outer}/members")), [inner.as_str()]);
    assert_eq!(get(&format!("/servicePrincipals/{sp}/memberOf")), [inner.as_str()]);
    let mut both = [inner.clone(), outer.clone()];
    both.sort();
    assert_eq!(get(&format!("/servicePrincipals/{sp}/transitiveMemberOf")), both);
    assert_eq!(get(&format!("/groups/{inner}/transitiveMemberOf")), [outer.as_str()]);
    let everything = json!({ "securityEnabledOnly": false });
    assert_eq!(
        post(&format!("/directoryObjects/{sp}/getMemberGroups"), everything.clone()),
        [inner.clone(), outer.clone()]
    );
    assert_eq!(post(&format!("/groups/{inner}/getMemberGroups"), everything), [outer.as_str()]);
    let asked = json!({ "groupIds": [outer, world.guid()] });
    assert_eq!(
        post(&format!("/directoryObjects/{sp}/checkMemberGroups"), asked.clone()),
        [outer.as_str()]
    );
    assert!(post(&format!("/directoryObjects/{outer}/checkMemberGroups"), asked).is_empty());
    let looked_up = json!({ "ids": [sp, outer], "types": ["group"] });
    assert_eq!(post("/directoryObjects/getByIds", looked_up), [outer.as_str()]);

    // Lists of role assignments: of the principal alone, and with those of its groups.
    let held = |filter: &str| {
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments?$filter={filter}",
            world.hub()
        );
        world.arm("GET", &path, &Value::Null).expect(200).body["value"].as_array().unwrap().len()
    };
    assert_eq!(held(&format!("principalId%20eq%20'{sp}'")), 0);
    assert_eq!(held(&format!("assignedTo('{sp}')")), 1);
    assert_eq!(held(&format!("assignedTo('{}')", world.guid())), 0);
}

#[test]
fn what_cannot_be_a_group_or_a_member_is_refused_and_says_why() {
    let world = World::new();
    let (pump, inner, outer) = nested(&world);
    let refused = |answer: Answer, status: u16, words: &str| {
        let answer = answer.expect(status);
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    };
    refused(add(&world, &inner, &inner), 400, "cannot be a member of itself");
    refused(add(&world, &inner, &outer), 400, "it would contain itself");
    refused(add(&world, &inner, &pump.object_id), 400, "references already exist");
    refused(add(&world, &inner, &world.guid()), 404, "there is no object with the id");
    refused(add(&world, &inner, &pump.app_id), 404, "not an appId");
    refused(add(&world, &world.guid(), &pump.object_id), 404, "there is no object with the id");
    let path = format!("/groups/{inner}/members/$ref");
    refused(world.graph("POST", &path, &json!({})), 400, "@odata.id");
    // Whoever is in `outer` through `inner` is not listed there.
    refused(remove(&world, &outer, &pump.object_id), 404, "does not list");

    let create = |change: Value| {
        let mut body = json!({ "displayName": "g", "mailNickname": "g", "mailEnabled": false, "securityEnabled": true });
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        world.graph("POST", "/groups", &body)
    };
    refused(create(json!({ "displayName": "" })), 400, "displayName");
    refused(create(json!({ "mailNickname": "a b" })), 400, "mailNickname");
    refused(create(json!({ "mailEnabled": true })), 400, "mailEnabled");
    refused(create(json!({ "securityEnabled": false })), 400, "securityEnabled");
    refused(create(json!({ "groupTypes": ["DynamicMembership"] })), 400, "groupTypes");
    refused(create(json!({ "members@odata.bind": ["x"] })), 400, "one by one");
    refused(create(json!({ "colour": "red" })), 400, "colour");
    refused(world.graph("POST", "/groups", &json!({ "displayName": "g" })), 400, "mailNickname");
    let filter = "/groups?$filter=displayName%20eq%20'inner'%20and%20mailNickname%20eq%20'inner'";
    assert_eq!(ids(&world.graph("GET", filter, &Value::Null).expect(200)), [inner.as_str()]);

    let one = format!("/groups/{inner}");
    world.graph("PATCH", &one, &json!({ "displayName": "inside", "description": "d" })).expect(204);
    let shown = world.graph("GET", &one, &Value::Null).expect(200).body;
    assert_eq!((&shown["displayName"], &shown["description"]), (&json!("inside"), &json!("d")));
    world.puts_device(&pump, &world.hub(), "device1").expect(200);
    refused(world.graph("GET", "/groups/inner", &Value::Null), 404, "there is no object");
}

#[test]
fn nobody_is_in_more_than_200_groups() {
    let world = World::new();
    let pump = world.service_principal("pump");
    let groups: Vec<String> = (0..201).map(|it| group(&world, &format!("g{it}"))).collect();
    for pair in groups[..200].windows(2) {
        add(&world, &pair[1], &pair[0]).expect(204);
    }
    add(&world, &groups[0], &pump.object_id).expect(204);
    for (group, member) in [(&groups[200], &groups[199]), (&groups[200], &pump.object_id)] {
        let refused = add(&world, group, member).expect(400);
        let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("more than 200 groups"), "{message}");
    }
    let all = format!("/directoryObjects/{}/getMemberGroups", pump.object_id);
    assert_eq!(ids(&world.graph("POST", &all, &json!({})).expect(200)).len(), 200);
}

#[test]
fn groups_are_changed_by_owners_alone_and_the_last_owner_stays_also_through_a_group() {
    let world = World::new();
    world.leave_one_owner();
    let (pump, inner, _) = nested(&world);
    let url = format!("{}/v1.0/groups/{inner}/members/$ref", world.setting("HUBWARD_ARM"));
    let token = world.token(&pump, "https://graph.microsoft.com");
    let body =
        json!({ "@odata.id": format!("https://h/v1.0/directoryObjects/{}", pump.object_id) });
    world.wire().json("POST", &url, &format!("Bearer {token}"), &body).expect(403);

    // The administrator's own assignment goes, and it stays Owner by its group.
    let (owners, app) = (group(&world, "owners"), world.admin().app_id);
    let found = format!("/servicePrincipals?$filter=appId%20eq%20'{app}'");
    let admin = ids(&world.graph("GET", &found, &Value::Null).expect(200)).remove(0);
    add(&world, &owners, &admin).expect(204);
    assign(&world, &owners, OWNER, "");
    let path = "/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20";
    let own = world.arm("GET", &format!("{path}'{admin}'"), &Value::Null).expect(200).body;
    let own = own["value"].as_array().unwrap().iter();
    let own = own.clone().find(|it| it["properties"]["scope"] == "/").unwrap().clone();
    world.arm("DELETE", own["id"].as_str().unwrap(), &Value::Null).expect(200);
    for gone in [format!("/groups/{owners}"), format!("/groups/{owners}/members/{admin}/$ref")] {
        let refused = world.graph("DELETE", &gone, &Value::Null).expect(409);
        assert!(refused.text().contains("Make somebody else Owner"), "{refused:?}");
    }
}
