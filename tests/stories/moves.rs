//! Hubs and provisioning services move to another resource group, and who may do what there counts from the
//! next call on.

use super::registration::Fleet;
use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// A group beside the first one, whose name begins with the first one's.
fn namesake(world: &World) -> String {
    let group = format!("{}0", world.group());
    world.arm("PUT", &group, &json!({ "location": "westus" })).expect(201);
    group
}

fn body(ids: &[&str], to: &str) -> Value {
    json!({ "resources": ids, "targetResourceGroup": to })
}

fn moves(world: &World, who: &Identity, from: &str, ids: &[&str], to: &str) -> Answer {
    world.arm_as(who, "POST", &format!("{from}/moveResources"), &body(ids, to))
}

/// The same resource in another group.
fn at(id: &str, from: &str, to: &str) -> String {
    id.replacen(from, to, 1)
}

fn holder(world: &World, name: &str, role: &str, scope: &str) -> Identity {
    let who = world.service_principal(name);
    world.assign(&who, role, scope).expect(201);
    who
}

/// S2-22: a role at a resource group reaches its hubs, and follows a hub that moves from one call to the
/// next.
#[test]
fn a_moved_hub_obeys_the_roles_of_its_new_group_at_once_and_its_devices_notice_nothing() {
    let mut world = World::new();
    let (group, hub, admin) = (world.group(), world.hub(), world.admin());
    let target = namesake(&world);
    let here = holder(&world, "here", DATA_CONTRIBUTOR, &group);
    let there = holder(&world, "there", DATA_CONTRIBUTOR, &target);
    let mine = holder(&world, "mine", DATA_CONTRIBUTOR, &hub);
    for (who, status) in [(&here, 200), (&there, 401), (&mine, 200)] {
        world.puts_device(who, &hub, &format!("of-{}", who.name)).expect(status);
    }
    let origin = world.hub_origin(&hub);
    let key = world.policy_key(&hub, "iothubowner");
    let before = world.arm("GET", &hub, &Value::Null).expect(200).body;
    let pump = world.device(&hub, "pump-1");
    let until = world.now().plus_seconds(3_600);
    let mut open = pump.connects(world.wire(), until);
    open.publish(&pump.events(), b"before").unwrap();

    // Asked first, it changes nothing.
    let asked = format!("{group}/validateMoveResources");
    let asked = world.arm("POST", &asked, &body(&[&hub], &target)).expect(204);
    assert_eq!(asked.header("x-hubward-removed"), Some("3 role assignments"));
    world.puts_device(&here, &hub, "d0").expect(200);

    let moved = at(&hub, &group, &target);
    let done =
        moves(&world, &admin, &group, &[&hub], &target.to_uppercase().replace("/SUB", "/sub"));
    assert_eq!(done.expect(204).header("x-hubward-removed"), Some("3 role assignments"));
    world.puts_device(&there, &moved, "d1").expect(200);
    let refused = world.puts_device(&here, &moved, "d2").expect(401);
    assert_eq!(world.explained(&refused.tracking())["decision"]["outcome"]["gate"], "access");
    // What was assigned at the hub itself does not go along, as in Azure.
    world.puts_device(&mine, &moved, "d3").expect(401);

    // The old id is nobody's; at the new one everything is as it was.
    world.arm("GET", &hub, &Value::Null).expect(404);
    let after = world.arm("GET", &moved, &Value::Null).expect(200).body;
    assert_eq!(after["id"], moved);
    assert_eq!(after["resourcegroup"], target.rsplit('/').next().unwrap());
    assert_eq!(after["properties"], before["properties"]);
    assert_ne!(after["etag"], before["etag"]);
    assert_eq!(world.hub_origin(&moved), origin);
    assert_eq!(world.policy_key(&moved, "iothubowner"), key);
    let listed = |group: &str| {
        let all = world.arm("GET", &format!("{group}/resources"), &Value::Null).expect(200).body;
        all["value"].as_array().unwrap().iter().filter(|it| it["id"] == moved).count()
    };
    assert_eq!((listed(&group), listed(&target)), (0, 1));

    // The connection stays, and the same key opens another at the same address.
    open.publish(&pump.events(), b"behind").unwrap();
    pump.connects(world.wire(), until).publish(&pump.events(), b"again").unwrap();

    world.restart();
    pump.connects(world.wire(), until).publish(&pump.events(), b"restarted").unwrap();
    world.puts_device(&there, &moved, "d4").expect(200);
    world.puts_device(&here, &moved, "d4").expect(401);
    assert_eq!(world.messages(&moved).len(), 4);

    // Back again: the group's role counts, and what lay at the hub has not been waiting there.
    moves(&world, &admin, &target, &[&moved], &group).expect(204);
    world.puts_device(&here, &hub, "d5").expect(200);
    world.puts_device(&there, &hub, "d6").expect(401);
    world.puts_device(&mine, &hub, "d6").expect(401);
}

#[test]
fn a_provisioning_service_moves_with_its_identity_and_its_links_go_by_the_address() {
    let mut fleet = Fleet::new();
    let (group, hub) = (fleet.world.group(), fleet.world.hub());
    let target = namesake(&fleet.world);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");

    // The service alone: its identity keeps its roles at the hub, and devices find it where it was.
    let admin = fleet.world.admin();
    let dps = at(&fleet.dps, &group, &target);
    moves(&fleet.world, &admin, &group, &[&fleet.dps], &target).expect(204);
    fleet.world.arm("GET", &fleet.dps, &Value::Null).expect(404);
    fleet.dps = dps;
    let shown = fleet.world.arm("GET", &fleet.dps, &Value::Null).expect(200).body;
    assert_eq!(shown["properties"]["idScope"], fleet.id_scope.as_str());
    assert_eq!(shown["identity"]["principalId"], fleet.identity.as_str());
    let path = format!("/servicePrincipals/{}", fleet.identity);
    let identity = fleet.world.graph("GET", &path, &Value::Null).expect(200).body;
    assert_eq!(identity["alternativeNames"][1], fleet.dps.as_str());
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");

    // The hub after it: the link goes on, the roles at the hub's old id do not.
    moves(&fleet.world, &admin, &group, &[&hub], &target).expect(204);
    let refused = fleet.registers("pump-3");
    assert_eq!(
        (refused["status"].as_str(), refused["errorCode"].as_u64()),
        (Some("failed"), Some(401_003))
    );
    let service = Identity { object_id: fleet.identity.clone(), ..fleet.world.admin() };
    fleet.world.assign(&service, DATA_CONTRIBUTOR, &target).expect(201);
    assert_eq!(fleet.registers("pump-3")["status"], "assigned");
    assert_eq!(fleet.registers("pump-1")["status"], "assigned", "it is found where it was");
    fleet.world.restart();
    assert_eq!(fleet.registers("pump-4")["status"], "assigned");
}

#[test]
fn moving_takes_rights_at_both_groups_and_lifts_nothing_that_the_mover_could_not_delete() {
    let world = World::new();
    let (group, hub) = (world.group(), world.hub());
    let target = namesake(&world);
    let who = holder(&world, "mover", CONTRIBUTOR, &group);
    let moved = at(&hub, &group, &target);

    // At the source alone: a role at a namesake of the target is none there.
    let refused = moves(&world, &who, &group, &[&hub], &target).expect(403);
    assert_eq!(refused.code(), "LinkedAuthorizationFailed");
    assert!(refused.text().contains("resourceGroups/write"), "{refused:?}");
    // Nobody learns in that way whether a group is there.
    let nowhere = moves(&world, &who, &group, &[&hub], &format!("{target}0")).expect(403);
    assert_eq!(nowhere.code(), "LinkedAuthorizationFailed");
    let stranger = holder(&world, "stranger", CONTRIBUTOR, &target);
    let refused = moves(&world, &stranger, &group, &[&hub], &target).expect(403);
    assert_eq!(refused.code(), "AuthorizationFailed");
    world.assign(&who, CONTRIBUTOR, &target).expect(201);

    // A denial at the hub itself would end with the move, so it takes the right to delete it.
    let denial = format!(
        "{hub}/providers/Microsoft.Authorization/denyAssignments/33333333-4444-4444-8444-000000000001"
    );
    let everyone =
        json!([{ "id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined" }]);
    let freeze = json!({ "properties": { "denyAssignmentName": "freeze", "principals": everyone,
        "permissions": [{ "actions": ["Microsoft.Devices/IotHubs/delete"] }] } });
    world.arm("PUT", &denial, &freeze).expect(201);
    let refused = moves(&world, &who, &group, &[&hub], &target).expect(403);
    assert!(refused.text().contains("denyAssignments/delete"), "{refused:?}");
    world.arm("DELETE", &denial, &Value::Null).expect(200);

    let rule =
        json!({ "if": { "field": "name", "equals": "never" }, "then": { "effect": "deny" } });
    world.define_policy("names", &rule).expect(201);
    world.assign_policy("names", &hub).expect(201);
    let refused = moves(&world, &who, &group, &[&hub], &target).expect(403);
    assert!(refused.text().contains("policyAssignments/delete"), "{refused:?}");
    world.arm("GET", &hub, &Value::Null).expect(200);
    world.assign(&who, OWNER, &group).expect(201);
    let done = moves(&world, &who, &group, &[&hub], &target).expect(204);
    let removed = done.header("x-hubward-removed").unwrap();
    assert_eq!(removed, "2 role assignments, 1 policy assignments");
    let all = format!("{moved}/providers/Microsoft.Authorization/policyAssignments");
    let left = world.arm("GET", &all, &Value::Null).expect(200).body;
    assert_eq!(left["value"], json!([]));
    assert!(world.judged_again() > 0);
}

#[test]
fn a_policy_at_the_target_judges_what_would_move_there() {
    let world = World::new();
    let (group, hub, admin) = (world.group(), world.hub(), world.admin());
    let target = namesake(&world);
    let rule = json!({ "if": { "allOf": [
        { "field": "type", "equals": "Microsoft.Devices/IotHubs" },
        { "field": "tags['line']", "exists": false } ] }, "then": { "effect": "deny" } });
    world.define_policy("tagged", &rule).expect(201);
    world.assign_policy("tagged", &target).expect(201);
    let refused = moves(&world, &admin, &group, &[&hub], &target).expect(403);
    assert_eq!(refused.code(), "RequestDisallowedByPolicy");
    let told = world.explained(&refused.tracking());
    assert_eq!(told["decision"]["outcome"]["gate"], "policy");
    let asked = format!("{group}/validateMoveResources");
    world.arm("POST", &asked, &body(&[&hub], &target)).expect(403);

    world.arm("PATCH", &hub, &json!({ "tags": { "line": "7" } })).expect(200);
    moves(&world, &admin, &group, &[&hub], &target).expect(204);
}

#[test]
fn locks_stop_a_move_where_it_would_change_or_leave_what_they_lock() {
    let world = World::new();
    let (group, hub, admin) = (world.group(), world.hub(), world.admin());
    let target = namesake(&world);
    let id = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/locks/keep");
    let under = |scope: &str, level: &str| {
        world.arm("PUT", &id(scope), &json!({ "properties": { "level": level } })).expect(201);
        let answer = moves(&world, &admin, &group, &[&hub], &target);
        world.arm("DELETE", &id(scope), &Value::Null).expect(200);
        answer
    };
    for (scope, level) in [
        (&group, "ReadOnly"),
        (&target, "ReadOnly"),
        (&hub, "ReadOnly"),
        (&world.subscription(), "ReadOnly"),
        (&hub, "CanNotDelete"),
        (&group, "CanNotDelete"),
    ] {
        let refused = under(scope, level);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "ScopeLocked"),
            "{scope} {level}"
        );
        assert!(refused.text().contains(&format!("are locked: '{scope}'")), "{refused:?}");
    }
    // One that holds before and after, or only over the target, stands against nothing.
    under(&world.subscription(), "CanNotDelete").expect(204);
    moves(&world, &admin, &target, &[&at(&hub, &group, &target)], &group).expect(204);
    under(&target, "CanNotDelete").expect(204);
}

#[test]
fn what_cannot_move_is_refused_with_its_place_and_nothing_moves() {
    let world = World::new();
    let (group, hub, admin) = (world.group(), world.hub(), world.admin());
    let target = namesake(&world);
    let refused = |ids: &[&str], to: &str, status: u16, code: &str, says: &str| {
        let answer = moves(&world, &admin, &group, ids, to).expect(status);
        assert_eq!(answer.code(), code, "{answer:?}");
        assert!(answer.text().contains(says), "{answer:?}");
        world.arm("GET", &hub, &Value::Null).expect(200);
    };
    let invalid = "InvalidRequestContent";
    refused(&[&hub], &group.to_uppercase().replace("/SUB", "/sub"), 400, invalid, "already");
    refused(&[&hub], &format!("{target}0"), 404, "ResourceGroupNotFound", "could not be found");
    refused(&[&hub], "", 400, invalid, "targetResourceGroup");
    refused(&[&hub], &world.subscription(), 400, invalid, "targetResourceGroup");
    refused(&[&hub], "/subscriptions/x/resourceGroups/y", 400, invalid, "another subscription");
    refused(&[], &target, 400, invalid, "1 to 800");
    refused(&[&hub, &hub.to_lowercase()], &target, 400, invalid, "resources[1]");
    let elsewhere = at(&hub, &group, &target);
    refused(&[&hub, &elsewhere], &target, 400, invalid, "resources[1]");
    let missing = world.hub_named("nobody");
    refused(&[&hub, &missing], &target, 404, "ResourceNotFound", "resources[1]");
    for other in [
        format!("{hub}/IotHubKeys/iothubowner"),
        format!("{group}/providers/Microsoft.Compute/virtualMachines/a"),
        group.clone(),
    ] {
        refused(&[&hub, &other], &target, 400, "ResourceMoveNotSupported", "resources[1]");
    }
    world.arm("POST", &format!("{group}/moveResources"), &json!({ "resources": hub })).expect(400);
    let nowhere = moves(&world, &admin, &format!("{target}0"), &[&hub], &target).expect(404);
    assert_eq!(nowhere.code(), "ResourceGroupNotFound");
}
