//! `hubward lint --live`: what a server has, looked over. What is warned of is so.

use super::managed_identities::identity;
use super::registration::Fleet;
use serde_json::{Value, json};
use std::process::Command;
use testkit::{Identity, World};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
const OPERATOR: &str = "f1a07417-d97a-45cb-824c-7a7467783830";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const POLICY: &str = "custom-security-policy-v2";

fn linted(world: &World, who: &Identity, scope: &str) -> Vec<Value> {
    let told =
        world.arm_as(who, "POST", "/decisions/lint", &json!({ "scope": scope })).expect(200).body;
    told["warnings"].as_array().unwrap().clone()
}

/// The warnings of a code that stand at an id or tell of it.
fn of(all: &[Value], code: &str, word: &str) -> Vec<Value> {
    let tells = |it: &&Value| {
        let text = format!("{} {}", it["id"].as_str().unwrap(), it["because"].as_str().unwrap());
        it["code"] == code && text.contains(word)
    };
    all.iter().filter(tells).cloned().collect()
}

fn authorization(scope: &str, kind: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}")
}

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn allow(who: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": who }] }, "then": { "effect": "allow" } })
}

/// S0-18, S0-22: a policy that is assigned stops the service that is linked, and its exception comes too late; both are
/// told, and both are so. In the other order nothing is told.
#[test]
fn a_policy_that_stops_a_linked_service_is_told_and_does() {
    let fleet = Fleet::new();
    let (world, hub, admin) = (&fleet.world, fleet.world.hub(), fleet.world.admin());
    let subscription = world.subscription();
    let warned = || {
        let all = linted(world, &admin, &subscription);
        let codes = ["StopsProvisioning", "NeverReached", "OpensForEveryone"];
        codes.map(|code| of(&all, code, "").len())
    };
    assert_eq!(warned(), [0, 0, 0]);
    world.define_policy(POLICY, &json!([deny(), allow(&fleet.identity)])).expect(201);
    assert_eq!(warned(), [0, 0, 0], "it is assigned nowhere");
    world.assign_policy(POLICY, &hub).expect(201);
    assert_eq!(warned(), [1, 1, 0]);
    assert_eq!(fleet.registers("pump-1")["status"], "failed");
    let all = linted(world, &admin, &hub);
    let stops = &of(&all, "StopsProvisioning", "")[0];
    assert_eq!(stops["id"], authorization(&hub, "policyAssignments", POLICY));
    assert!(stops["because"].as_str().unwrap().contains("will be refused at"), "{stops}");
    let late = &of(&all, "NeverReached", "")[0];
    assert_eq!((&late["at"], &late["rule"]), (&json!("policyRule[1]"), &json!(1)));

    world.define_policy(POLICY, &json!([allow(&fleet.identity), deny()])).expect(201);
    assert_eq!(warned(), [0, 0, 0]);
    assert_eq!(fleet.registers("pump-2")["status"], "assigned");

    // The command: its page, its lines, and its exit code.
    world.define_policy(POLICY, &deny()).expect(201);
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hubward"))
            .args(["lint", "--live", "--data", &world.setting("HUBWARD_DATA")])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, page) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(page.contains("devices that register through"), "{page}");
    assert!(page.contains(&format!(" at {subscription}\n")), "{page}");
    let (code, lines) = run(&["--at", &hub, "-o", "json"]);
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!((code, of(&lines, "StopsProvisioning", "").len()), (Some(1), 1));
    assert_eq!(run(&["--at", "nowhere"]).0, Some(2));
}

/// An exemption for everybody at a wide scope opens a denial for everybody, and one that has ended opens nothing; one
/// for somebody, at one hub, or at the namesake of the group is not told of.
#[test]
fn exemptions_for_everybody_and_such_as_have_ended_are_told() {
    let world = World::new();
    let (hub, admin) = (world.hub(), world.admin());
    let who = world.service_principal("who");
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    world.define_policy(POLICY, &deny()).expect(201);
    let assigned = world.assign_policy(POLICY, &world.subscription()).expect(201).body;
    let exempt = |scope: &str, more: &Value| {
        let mut properties =
            json!({ "policyAssignmentId": assigned["id"], "exemptionCategory": "Waiver" });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        let path = authorization(scope, "policyExemptions", "waiver");
        world.arm("PUT", &path, &json!({ "properties": properties })).expect(201);
        let all = linted(&world, &admin, &world.subscription());
        let told = ["OpensForEveryone", "ExpiredExemption"].map(|it| of(&all, it, &path).len());
        let status = world.puts_device(&who, &hub, &world.guid()).status;
        world.arm("DELETE", &path, &Value::Null).expect(200);
        (told, status)
    };
    assert_eq!(exempt(&world.group(), &json!({})), ([1, 0], 200));
    assert_eq!(exempt(&world.subscription(), &json!({})), ([1, 0], 200));
    assert_eq!(exempt(&world.group(), &json!({ "principalIds": [who.object_id] })), ([0, 0], 200));
    assert_eq!(exempt(&hub, &json!({})), ([0, 0], 200));
    let ten = format!("{}0", world.group());
    world.arm("PUT", &ten, &json!({ "location": "westus" })).expect(201);
    assert_eq!(exempt(&ten, &json!({})), ([0, 0], 403));
    let soon = world.now().plus_seconds(60).rfc3339();
    let path = authorization(&world.group(), "policyExemptions", "short");
    let body = json!({ "properties": { "policyAssignmentId": assigned["id"], "exemptionCategory": "Waiver",
        "expiresOn": soon, "principalIds": [who.object_id] } });
    world.arm("PUT", &path, &body).expect(201);
    let told = || of(&linted(&world, &admin, &hub), "ExpiredExemption", &path).len();
    world.puts_device(&who, &hub, "before").expect(200);
    assert_eq!(told(), 0);
    world.pass_seconds(60);
    world.puts_device(&who, &hub, "after").expect(403);
    assert_eq!(told(), 1);
}

/// A role assignment that gives what another gives anyway is told with that other, and can be taken away without a
/// loss; one at a place that the other does not contain, or with more than the other, is not told of.
#[test]
fn an_assignment_that_is_not_needed_is_told() {
    let world = World::new();
    let (hub, group, admin) = (world.hub(), world.group(), world.admin());
    let ten = format!("{group}0");
    world.arm("PUT", &ten, &json!({ "location": "westus" })).expect(201);
    let told = |name: &str| {
        of(
            &linted(&world, &admin, &world.subscription()),
            "NeedlessAssignment",
            &format!("`{name}`"),
        )
    };
    let give = |name: &str, roles: &[(&str, &str)]| {
        let who = world.service_principal(name);
        let ids = roles.iter().map(|(role, at)| {
            world.assign(&who, role, at).expect(201).body["id"].as_str().unwrap().to_owned()
        });
        (ids.collect::<Vec<_>>(), who)
    };
    give("namesake", &[(READER, &ten), (READER, &hub)]);
    assert_eq!(told("namesake"), [] as [Value; 0]);
    give("more", &[(READER, &group), (CONTRIBUTOR, &hub)]);
    assert_eq!(told("more"), [] as [Value; 0]);
    give("planes", &[(CONTRIBUTOR, &group), (DATA_CONTRIBUTOR, &hub)]);
    assert_eq!(told("planes"), [] as [Value; 0]);
    let (ids, who) = give("twice", &[(CONTRIBUTOR, &group), (READER, &hub), (READER, &group)]);
    let needless = told("twice");
    let named: Vec<&str> = needless.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(named.len() == 2 && !named.contains(&ids[0].as_str()), "{needless:?}");
    assert!(
        needless[0]["because"]
            .as_str()
            .unwrap()
            .contains(&format!("by `Contributor` at `{group}`")),
        "{needless:?}"
    );
    for id in named {
        world.arm("DELETE", id, &Value::Null).expect(200);
    }
    world.arm_as(&who, "GET", &hub, &Value::Null).expect(200);
    assert_eq!(told("twice"), [] as [Value; 0]);
}

/// S2-59, X-16: who reaches more than its roles say, by keys, by roles that it gives or rewrites, by identities that it
/// attaches; each is told with what it would have, and each does it. Who cannot is not told of.
#[test]
fn whoever_reaches_more_than_its_roles_say_is_told_and_does() {
    let world = World::new();
    let (hub, admin) = (world.hub(), world.admin());
    let told = |name: &str| {
        let all = linted(&world, &admin, &world.subscription());
        let mine = of(&all, "Escalates", &format!("`{name}` may"));
        mine.iter().map(|it| it["because"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (keys, reader) = (world.service_principal("keys"), world.service_principal("reader"));
    world.assign(&keys, CONTRIBUTOR, &hub).expect(201);
    world.assign(&reader, READER, &hub).expect(201);
    world.assign(&reader, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(told("reader"), [""; 0]);
    let found = told("keys");
    assert!(
        found.len() == 2
            && found[0].contains("may list the keys of")
            && found[1].contains("may set the keys of"),
        "{found:?}"
    );
    assert!(
        found[0].contains("`Microsoft.Devices/IotHubs/") && found[0].contains("by `Contributor`"),
        "{found:?}"
    );
    world.puts_device(&keys, &hub, "device1").expect(401);
    world.arm_as(&keys, "POST", &format!("{hub}/listkeys"), &Value::Null).expect(200);
    // With all data roles there is nothing more in the keys for data.
    world.assign(&keys, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(told("keys"), [""; 0]);

    let giver = world.service_principal("giver");
    world.assign(&giver, ACCESS_ADMINISTRATOR, &hub).expect(201);
    let found = told("giver");
    assert!(found.len() == 1 && found[0].contains("may give itself `"), "{found:?}");
    world.puts_device(&giver, &hub, "device2").expect(401);
    let path = authorization(&hub, "roleAssignments", &world.guid());
    let body = json!({ "properties": { "principalId": giver.object_id, "principalType": "ServicePrincipal",
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{DATA_CONTRIBUTOR}") } });
    world.arm_as(&giver, "PUT", &path, &body).expect(201);
    world.puts_device(&giver, &hub, "device2").expect(200);

    // Whoever widens a role that is held gives it: the right to write roles alone is not enough for that.
    const DEFINES: &str = "Microsoft.Authorization/roleDefinitions/write";
    const GIVES: &str = "Microsoft.Authorization/roleAssignments/write";
    let writes = |name: &str, actions: &[&str], status: u16| {
        let (who, id) = (world.service_principal(name), world.guid());
        let role = |actions: &[&str]| {
            json!({ "properties": { "roleName": format!("role of {name}"), "assignableScopes": [hub],
                "permissions": [{ "actions": actions }] } })
        };
        let path = authorization(&hub, "roleDefinitions", &id);
        world.arm("PUT", &path, &role(actions)).expect(201);
        world.assign(&who, &id, &hub).expect(201);
        let found = told(name);
        world.arm_as(&who, "GET", &hub, &Value::Null).expect(403);
        let wider = [actions, &["*/read"]].concat();
        world.arm_as(&who, "PUT", &path, &role(&wider)).expect(status);
        found.iter().filter(|it| it.contains("may rewrite the role `role of")).count()
    };
    assert_eq!(writes("definer", &[DEFINES], 403), 0);
    assert_eq!(writes("writer", &[DEFINES, GIVES], 201), 1);

    let (uami, strong) = identity(&world, "strong");
    let other = world.hub_named("other");
    world
        .arm(
            "PUT",
            &other,
            &json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } }),
        )
        .expect(201);
    world.assign(&strong, CONTRIBUTOR, &other).expect(201);
    let attacher = world.service_principal("attacher");
    world.assign(&attacher, CONTRIBUTOR, &hub).expect(201);
    world.assign(&attacher, DATA_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(told("attacher"), [""; 0]);
    world.assign(&attacher, OPERATOR, &uami).expect(201);
    let found = told("attacher");
    assert!(found.len() == 1 && found[0].contains("may attach the identity `strong`"), "{found:?}");
    let body = json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": { uami.clone(): {} } } });
    world.arm_as(&attacher, "PATCH", &hub, &body).expect(200);

    // Only who is Owner of everything has the directory, and no data: but whoever has it may become who has.
    let below = world.service_principal("owner below");
    world.assign(&below, OWNER, &world.subscription()).expect(201);
    assert!(told("owner below").iter().all(|it| !it.contains("on any application")));
    let above = world.service_principal("owner above");
    world.assign(&above, OWNER, "").expect(201);
    let found = told("owner above");
    assert_eq!(found.iter().filter(|it| it.contains("on any application")).count(), 1, "{found:?}");
    let all = world.graph("GET", "/applications", &Value::Null).expect(200).body;
    let its =
        all["value"].as_array().unwrap().iter().find(|it| it["appId"] == keys.app_id).unwrap();
    let id = its["id"].as_str().unwrap();
    let url = format!("{}/v1.0/applications/{id}/addPassword", world.setting("HUBWARD_GRAPH"));
    let adds = |who: &Identity| {
        let token = format!("Bearer {}", world.token(who, "https://graph.microsoft.com"));
        let body = json!({ "passwordCredential": { "displayName": "mine" } });
        world.wire().json("POST", &url, &token, &body).status
    };
    assert_eq!((adds(&below), adds(&above)), (403, 200));
}

/// What somebody may not read it is not told of: a policy above, another subscription's, who holds what above.
#[test]
fn nobody_is_told_of_what_it_may_not_read() {
    let world = World::new();
    let (hub, admin) = (world.hub(), world.admin());
    let (here, outside) = (world.service_principal("here"), world.service_principal("outside"));
    world.assign(&here, READER, &hub).expect(201);
    world.define_policy(POLICY, &json!([deny(), allow(&here.object_id)])).expect(201);
    world.assign_policy(POLICY, &world.subscription()).expect(201);
    let keys = world.service_principal("keys");
    world.assign(&keys, CONTRIBUTOR, &world.subscription()).expect(201);
    let codes = |who: &Identity| {
        let all = linted(&world, who, &hub);
        all.iter().map(|it| it["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = codes(&admin);
    assert!(
        all.contains(&"NeverReached".to_owned()) && all.contains(&"Escalates".to_owned()),
        "{all:?}"
    );
    assert_eq!(codes(&here), [""; 0]);
    let asked = json!({ "scope": hub });
    world.arm_as(&outside, "POST", "/decisions/lint", &asked).expect(403);
    world.arm("POST", "/decisions/lint", &json!({})).expect(400);
}
