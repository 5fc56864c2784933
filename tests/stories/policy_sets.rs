//! Policies that are assigned together, lifted in part, and that keep things from being deleted.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const DPS_DATA_CONTRIBUTOR: &str = "dfce44e4-17b7-4bd1-a6d1-04996ec95633";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const ENROLLMENT_GROUPS: &str = "Microsoft.Devices/provisioningServices/enrollmentGroups";

fn deny(name: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": "name", "like": name }] }, "then": { "effect": "deny" } })
}

fn guard(kind: &str) -> Value {
    json!({ "if": { "field": "type", "equals": kind },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } })
}

fn id(world: &World, kind: &str, name: &str) -> String {
    format!("{}/providers/Microsoft.Authorization/{kind}/{name}", world.subscription())
}

fn assignment_id(hub: &str, name: &str) -> String {
    format!("{hub}/providers/Microsoft.Authorization/policyAssignments/{name}")
}

/// An initiative `names` with a member `pumps` and one that has no name of its own.
fn define_names(world: &World) -> Answer {
    world.define_policy("no-pumps", &deny("pump-*")).expect(201);
    world.define_policy("no-valves", &json!([deny("vent-*"), deny("valve-*")])).expect(201);
    let definition = |name: &str| id(world, "policyDefinitions", name);
    let body = json!({ "properties": { "displayName": "Names of devices",
        "policyDefinitionGroups": [{ "name": "line-3" }],
        "policyDefinitions": [
            { "policyDefinitionId": definition("no-pumps"), "policyDefinitionReferenceId": "pumps",
              "groupNames": ["line-3"], "definitionVersion": "1.*.*" },
            { "policyDefinitionId": definition("no-valves").to_uppercase().replace("/SUB", "/sub") } ] } });
    world.arm("PUT", &id(world, "policySetDefinitions", "names"), &body).expect(201)
}

fn assign_names(world: &World, hub: &str, more: &Value) -> Answer {
    let mut properties =
        json!({ "policyDefinitionId": id(world, "policySetDefinitions", "names") });
    for (name, value) in more.as_object().unwrap() {
        properties[name] = value.clone();
    }
    world.arm("PUT", &assignment_id(hub, "names-1"), &json!({ "properties": properties }))
}

fn writer(world: &World) -> Identity {
    let who = world.service_principal("writer");
    world.assign(&who, DATA_CONTRIBUTOR, &world.group()).expect(201);
    who
}

fn deletes_device(world: &World, who: &Identity, hub: &str, device: &str) -> Answer {
    let token = format!("Bearer {}", world.token(who, "https://iothubs.azure.net"));
    let url = world.hub_url(hub, &format!("/devices/{device}"));
    let headers = [("Authorization", token.as_str()), ("If-Match", "*")];
    world.wire().json_with("DELETE", &url, &headers, &Value::Null)
}

fn policy_lookups(world: &World) -> u64 {
    world.env().facts.load().lookups.policy.load(std::sync::atomic::Ordering::SeqCst)
}

fn is_refused(answer: &Answer, by: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.text().contains("RequestDisallowedByPolicy"), "{answer:?}");
    assert!(answer.text().contains(by), "{answer:?}");
}

#[test]
fn an_initiative_refuses_a_device_and_names_the_member_and_its_rule() {
    let mut world = World::new();
    let hub = world.hub();
    // The whole envelope is for those who may read policies.
    let who = writer(&world);
    world.assign(&who, OWNER, &world.subscription()).expect(201);
    let made = define_names(&world).body;
    assert_eq!(made["type"], "Microsoft.Authorization/policySetDefinitions");
    let members = &made["properties"]["policyDefinitions"];
    assert_eq!(members[0]["policyDefinitionReferenceId"], "pumps");
    assert_eq!(members[1]["policyDefinitionReferenceId"], "NO-VALVES");
    assert_eq!(members[1]["policyDefinitionId"], id(&world, "policyDefinitions", "no-valves"));
    let messages = json!({ "nonComplianceMessages": [{ "message": "see the handbook" },
        { "message": "valves are written by hand", "policyDefinitionReferenceId": "no-valves" }] });
    assign_names(&world, &hub, &messages).expect(201);

    let refused = world.puts_device(&who, &hub, "valve-1");
    is_refused(&refused, "names-1");
    let envelope = &refused.body["error"];
    assert!(
        envelope["message"].as_str().unwrap().contains("Reasons: 'valves are written by hand'")
    );
    let info = &envelope["additionalInfo"][0]["info"];
    for (name, expected) in [
        ("policyDefinitionName", json!("no-valves")),
        ("policySetDefinitionName", json!("names")),
        ("policySetDefinitionId", json!(id(&world, "policySetDefinitions", "names"))),
        ("policyDefinitionReferenceId", json!("NO-VALVES")),
        ("ruleIndex", json!(1)),
    ] {
        assert_eq!(info[name], expected, "{name}");
    }
    world.restart();
    let told = world.explained(&refused.tracking());
    let rule = &told["decision"]["steps"][1]["findings"][0]["rule"];
    assert_eq!(rule["definitionName"], "no-valves");
    assert_eq!(rule["initiative"]["name"], "names");
    assert_eq!(rule["initiative"]["referenceId"], "NO-VALVES");
    // What it proposes exempts from this member alone.
    let fixes = told["fixes"].as_array().unwrap();
    let by_member = "--policy-definition-reference-ids NO-VALVES";
    assert!(
        fixes.iter().any(|it| it["command"].as_str().unwrap().contains(by_member)),
        "{fixes:?}"
    );

    world.puts_device(&who, &hub, "sensor-1").expect(200);
    let other = world.puts_device(&who, &hub, "pump-1");
    assert!(other.text().contains("see the handbook"), "{other:?}");
    // Its members' latest content counts.
    world.define_policy("no-valves", &deny("vent-*")).expect(201);
    world.puts_device(&who, &hub, "valve-1").expect(200);
}

#[test]
fn one_member_is_exempted_or_overridden_and_the_other_stays() {
    let world = World::new();
    let hub = world.hub();
    let who = writer(&world);
    define_names(&world);
    assign_names(&world, &hub, &json!({})).expect(201);
    is_refused(&world.puts_device(&who, &hub, "pump-1"), "names-1");

    let exemption = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/relief");
    let exempts = |members: Value, more: Value| {
        let mut properties = json!({ "policyAssignmentId": assignment_id(&hub, "names-1"),
            "exemptionCategory": "Mitigated", "policyDefinitionReferenceIds": members });
        if !more.is_null() {
            properties["resourceSelectors"] = more;
        }
        world.arm("PUT", &exemption, &json!({ "properties": properties }))
    };
    let unknown = exempts(json!(["pumps", "pump"]), Value::Null).expect(400);
    assert_eq!(unknown.body["error"]["target"], "properties.policyDefinitionReferenceIds[1]");
    assert!(unknown.text().contains("it has pumps, NO-VALVES"), "{unknown:?}");
    let elsewhere = json!([{ "selectors": [{ "kind": "resourceLocation", "in": ["japaneast"] }] }]);
    exempts(json!(["pumps"]), elsewhere).expect(201);
    is_refused(&world.puts_device(&who, &hub, "pump-1"), "names-1");
    let made = exempts(json!(["Pumps"]), Value::Null).expect(200);
    assert_eq!(made.body["properties"]["policyDefinitionReferenceIds"], json!(["Pumps"]));
    world.puts_device(&who, &hub, "pump-1").expect(200);
    is_refused(&world.puts_device(&who, &hub, "valve-1"), "names-1");
    world.arm("DELETE", &exemption, &Value::Null).expect(200);
    is_refused(&world.puts_device(&who, &hub, "pump-2"), "names-1");

    let audit = json!({ "overrides": [{ "kind": "policyEffect", "value": "audit",
        "selectors": [{ "kind": "policyDefinitionReferenceId", "in": ["pumps"] }] }] });
    assign_names(&world, &hub, &audit).expect(201);
    let noted = world.puts_device(&who, &hub, "pump-2").expect(200).tracking();
    let told = world.explained(&noted);
    assert_eq!(told["decision"]["steps"][1]["findings"][0]["result"], "audit");
    is_refused(&world.puts_device(&who, &hub, "valve-1"), "names-1");

    let selected = json!({ "resourceSelectors": [{ "name": "far", "selectors": [
        { "kind": "resourceLocation", "notIn": ["japaneast"] },
        { "kind": "resourceType", "in": [DEVICES] }] }] });
    let kept = assign_names(&world, &hub, &selected).expect(201).body;
    assert_eq!(kept["properties"]["resourceSelectors"], selected["resourceSelectors"]);
    assert!(kept["properties"].get("overrides").is_none(), "{kept}");
    is_refused(&world.puts_device(&who, &hub, "pump-3"), "names-1");
    let hubs = json!({ "resourceSelectors": [{ "selectors": [
        { "kind": "resourceType", "in": ["Microsoft.Devices/IotHubs"] }] }] });
    assign_names(&world, &hub, &hubs).expect(201);
    world.puts_device(&who, &hub, "pump-3").expect(200);
}

#[test]
fn what_is_assigned_or_a_member_is_not_deleted() {
    let world = World::new();
    let hub = world.hub();
    define_names(&world);
    assign_names(&world, &hub, &json!({})).expect(201);
    let delete = |path: &str| world.arm("DELETE", path, &Value::Null);
    let (definition, set) =
        (id(&world, "policyDefinitions", "no-pumps"), id(&world, "policySetDefinitions", "names"));
    let kept = delete(&definition).expect(409);
    assert_eq!(kept.code(), "PolicyDefinitionInUse");
    assert!(kept.text().contains(&set), "{kept:?}");
    let kept = delete(&set).expect(409);
    assert_eq!(kept.code(), "PolicySetDefinitionInUse");
    assert!(kept.text().contains("names-1"), "{kept:?}");
    let body = json!({ "properties": { "version": "2.0.0", "policyRule": deny("x") } });
    let pinned = world.arm("PUT", &definition, &body).expect(409);
    assert!(pinned.text().contains("asks for version `1.*.*`"), "{pinned:?}");

    let list = |path: &str| {
        let found = world.arm("GET", path, &Value::Null).expect(200).body;
        found["value"].as_array().unwrap().len()
    };
    let all = "providers/Microsoft.Authorization/policySetDefinitions";
    assert_eq!(list(&format!("{}/{all}", world.subscription())), 1);
    assert_eq!(list(&format!("/{all}")), 0, "nothing is built in");
    world.arm("GET", &format!("/{all}/names"), &Value::Null).expect(404);
    assert_eq!(world.arm("GET", &set, &Value::Null).expect(200).body["name"], "names");
    define_names(&world);
    assert_eq!(list(&format!("{set}/revisions")), 2);

    delete(&assignment_id(&hub, "names-1")).expect(200);
    delete(&set).expect(200);
    delete(&set).expect(204);
    delete(&definition).expect(200);
    world.arm("GET", &set, &Value::Null).expect(404);
}

#[test]
fn what_is_no_initiative_or_override_is_refused_with_its_place() {
    let world = World::new();
    let hub = world.hub();
    define_names(&world);
    let refused = |path: &str, properties: &Value, status: u16, at: &str, says: &str| {
        let answer = world.arm("PUT", path, &json!({ "properties": properties })).expect(status);
        assert!(answer.text().contains(says), "{answer:?}");
        if !at.is_empty() {
            assert_eq!(answer.body["error"]["target"], format!("properties.{at}"), "{answer:?}");
        }
    };
    let set = id(&world, "policySetDefinitions", "other");
    let member =
        |name: &str| json!({ "policyDefinitionId": id(&world, "policyDefinitions", name) });
    let with = |name: &str, value: Value| {
        let mut member = member("no-pumps");
        member[name] = value;
        json!({ "policyDefinitions": [member] })
    };
    let is_set = |properties: Value, at: &str, says: &str| {
        refused(&set, &properties, 400, at, says);
    };
    is_set(json!({}), "policyDefinitions", "1 to 1000");
    is_set(
        with("parameters", json!({ "a": { "value": 1 } })),
        "policyDefinitions[0].parameters.a",
        "declares no such parameter",
    );
    is_set(
        json!({ "policyDefinitions": [member("no-pumps")], "parameters": { "a": {} } }),
        "parameters.a.type",
        "types are String",
    );
    is_set(
        with("definitionVersion", json!("2.*.*")),
        "policyDefinitions[0].definitionVersion",
        "no other is kept",
    );
    is_set(with("groupNames", json!(["g"])), "policyDefinitions[0].groupNames", "Groups");
    let nested = json!({ "policyDefinitionId": id(&world, "policySetDefinitions", "names") });
    is_set(
        json!({ "policyDefinitions": [nested] }),
        "policyDefinitions[0].policyDefinitionId",
        "no other initiative",
    );
    let gone = json!({ "policyDefinitions": [member("no-pumps"), member("no-pump")] });
    refused(&set, &gone, 404, "", "policyDefinitions[1]");
    let elsewhere = format!("{hub}/providers/Microsoft.Authorization/policySetDefinitions/other");
    let good = json!({ "policyDefinitions": [member("no-pumps")] });
    refused(&elsewhere, &good, 400, "", "lies in a subscription");

    for number in 1..200 {
        let path = id(&world, "policySetDefinitions", &format!("n{number}"));
        world.arm("PUT", &path, &json!({ "properties": good })).expect(201);
    }
    refused(&set, &good, 400, "", "at most 200 initiatives");

    let assignment = assignment_id(&hub, "names-1");
    let assigned = |kind: &str, name: &str, more: &Value, at: &str, says: &str| {
        let mut properties = json!({ "policyDefinitionId": id(&world, kind, name) });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        refused(&assignment, &properties, 400, at, says);
    };
    let audit = |selectors: Value| json!({ "overrides": [{ "kind": "policyEffect", "value": "audit", "selectors": selectors }] });
    let named = audit(json!([{ "kind": "policyDefinitionReferenceId", "in": ["pump"] }]));
    let at = "overrides[0].selectors";
    assigned("policySetDefinitions", "names", &named, at, "no member `pump`");
    assigned("policyDefinitions", "no-pumps", &named, at, "only an initiative has members");
    let version = json!({ "overrides": [{ "kind": "definitionVersion", "value": "1.*.*" }] });
    assigned("policyDefinitions", "no-pumps", &version, "overrides[0].kind", "latest content");
    let people = json!({ "resourceSelectors": [{ "selectors": [
        { "kind": "groupPrincipalId", "in": ["x"] }] }] });
    let at = "resourceSelectors[0].selectors[0].kind";
    assigned("policyDefinitions", "no-pumps", &people, at, "resourceLocation");
    let message = json!({ "nonComplianceMessages": [
        { "message": "m", "policyDefinitionReferenceId": "pump" }] });
    let at = "nonComplianceMessages[0].policyDefinitionReferenceId";
    assigned("policySetDefinitions", "names", &message, at, "no member `pump`");
    let gone = json!({ "policyDefinitionId": id(&world, "policySetDefinitions", "name") });
    refused(&assignment, &gone, 404, "", "PolicySetDefinitionNotFound");
    let cascade = json!({ "mode": "All", "policyRule": { "if": { "field": "type", "equals": DEVICES },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"],
            "cascadeBehaviors": { "resourceGroup": "allow" } } } } });
    let definition = id(&world, "policyDefinitions", "keep");
    refused(&definition, &cascade, 400, "mode", "`Indexed` alone");
}

#[test]
fn a_guarded_device_stays_and_a_plain_deny_guards_nothing() {
    let world = World::new();
    let hub = world.hub();
    let who = writer(&world);
    for device in ["d1", "d2", "d3"] {
        world.puts_device(&who, &hub, device).expect(200);
    }
    world.define_policy("no-writes", &deny("*")).expect(201);
    world.assign_policy("no-writes", &hub).expect(201);
    let before = policy_lookups(&world);
    deletes_device(&world, &who, &hub, "d1").expect(204);
    assert_eq!(policy_lookups(&world), before, "nothing is looked up where nothing is guarded");
    world.arm("DELETE", &assignment_id(&hub, "no-writes"), &Value::Null).expect(200);

    // What is stored counts: an enabled device stays, a disabled one goes.
    let enabled = json!({ "if": { "field": format!("{DEVICES}/status"), "equals": "enabled" },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } });
    world.define_policy("keep", &enabled).expect(201);
    world.assign_policy("keep", &hub).expect(201);
    let refused = deletes_device(&world, &who, &hub, "d2");
    is_refused(&refused, "Policy: keep");
    assert!(refused.text().contains("Device deletion denied"), "{refused:?}");
    let told = world.explained(&refused.tracking());
    let found = &told["decision"]["steps"][1]["findings"][0];
    assert_eq!(found["rule"]["effect"], "denyAction");
    assert_eq!(found["conditions"][0]["actual"], "enabled");
    let commands: Vec<&str> = told["fixes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["command"].as_str().unwrap())
        .collect();
    assert!(!commands.is_empty(), "{told}");
    assert!(commands.iter().all(|it| it.contains("policyExemptions") || it.contains("exemption")));

    let bulk =
        json!([{ "id": "d4", "importMode": "create" }, { "id": "d2", "importMode": "delete" }]);
    is_refused(&world.hub_as(&who, "POST", &hub, "/devices", &bulk), "keep");
    world.hub_as(&who, "GET", &hub, "/devices/d4", &Value::Null).expect(404);
    let off = json!([{ "id": "d3", "importMode": "update", "status": "disabled" }]);
    world.hub_as(&who, "POST", &hub, "/devices", &off).expect(200);
    deletes_device(&world, &who, &hub, "d3").expect(204);
    deletes_device(&world, &who, &hub, "d10").expect(404);
    // Whoever assigned it can always take it away again.
    world.arm("DELETE", &assignment_id(&hub, "keep"), &Value::Null).expect(200);
    deletes_device(&world, &who, &hub, "d2").expect(204);
}

#[test]
fn a_guarded_hub_stays_and_keeps_the_group_around_it() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    let second = world.hub_named("second-hub");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &second, &body).expect(201);
    world.define_policy("keep", &guard("Microsoft.Devices/IotHubs")).expect(201);
    world.assign_policy("keep", &hub).expect(201);
    let delete = |path: &str| world.arm("DELETE", path, &Value::Null);
    let refused = delete(&hub);
    is_refused(&refused, "policyAssignments/keep");
    assert_eq!(refused.body["error"]["code"], "RequestDisallowedByPolicy");
    let refused = delete(&group);
    is_refused(&refused, "policyAssignments/keep");
    assert_eq!(refused.body["error"]["target"], hub.rsplit('/').next().unwrap());
    world.arm("GET", &hub, &Value::Null).expect(200);
    // Whoever asks beforehand is told the same, and not what the hub holds.
    let owner = world.service_principal("owner");
    world.assign(&owner, OWNER, &group).expect(201);
    let body = json!({ "principal": "owner", "scope": group,
        "action": "Microsoft.Resources/subscriptions/resourceGroups/delete" });
    let told = world.arm("POST", "/decisions/ask", &body).expect(200).body;
    assert_eq!(told["decision"]["outcome"]["gate"], "policy", "{told}");
    let object = &told["decision"]["call"]["objects"][1];
    assert_eq!((&object["verb"], &object["body"]), (&json!("deleteWithGroup"), &json!({})));
    // The neighbour is not guarded, and the hub is changed as before.
    delete(&second).expect(200);
    world.arm("PATCH", &hub, &json!({ "tags": { "line": "7" } })).expect(200);

    let lenient = json!({ "mode": "Indexed", "policyRule": {
        "if": { "field": "tags.line", "equals": "7" },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"],
            "cascadeBehaviors": { "resourceGroup": "allow" } } } } });
    let definition = id(&world, "policyDefinitions", "keep");
    world.arm("PUT", &definition, &json!({ "properties": lenient })).expect(201);
    is_refused(&delete(&hub), "policyAssignments/keep");
    delete(&group).expect(200);
}

#[test]
fn a_guard_over_everything_can_still_be_lifted() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    let who = world.service_principal("somebody");
    let below = |kind: &str, name: &str| format!("{hub}/providers/Microsoft.{kind}/{name}");
    let put = |path: &str, properties: Value| {
        world.arm("PUT", path, &json!({ "properties": properties })).expect(201);
    };
    let delete = |path: &str| world.arm("DELETE", path, &Value::Null);
    let held = world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201).body;
    let (lock, exemption) =
        (below("Authorization/locks", "l"), below("Authorization/policyExemptions", "e"));
    put(&lock, json!({ "level": "CanNotDelete" }));
    define_names(&world);
    let everything = json!({ "if": { "field": "type", "exists": true },
        "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } });
    world.define_policy("keep-all", &everything).expect(201);
    world.assign_policy("keep-all", &group).expect(201);
    let assignment = assignment_id(&group, "keep-all");
    let device = format!("{hub}/devices/d1");
    let exempt = format!("{device}/providers/Microsoft.Authorization/policyExemptions/e");
    for path in [&exemption, &exempt] {
        put(path, json!({ "policyAssignmentId": assignment, "exemptionCategory": "Waiver" }));
    }

    for path in [&lock, &exemption] {
        delete(path).expect(200);
    }
    // A role assignment is guarded, and so is the hub; the one device that is exempt is not.
    is_refused(&delete(held["id"].as_str().unwrap()), "keep-all");
    is_refused(&delete(&hub), "keep-all");
    world.puts_device(&who, &hub, "d1").expect(200);
    world.puts_device(&who, &hub, "d10").expect(200);
    deletes_device(&world, &who, &hub, "d1").expect(204);
    is_refused(&deletes_device(&world, &who, &hub, "d10"), "keep-all");
    for path in [&exempt, &id(&world, "policySetDefinitions", "names"), &assignment] {
        delete(path).expect(200);
    }
    delete(held["id"].as_str().unwrap()).expect(200);
}

#[test]
fn a_guarded_enrollment_group_stays() {
    let world = World::new();
    let who = writer(&world);
    let dps = world.dps("intake");
    world.assign(&who, DPS_DATA_CONTRIBUTOR, &dps).expect(201);
    let body = json!({ "enrollmentGroupId": "line-3", "attestation": { "type": "symmetricKey" } });
    let path = "/enrollmentGroups/line-3";
    world.dps_as(&who, "PUT", &dps, path, &body).expect(200);
    world.define_policy("keep", &guard(ENROLLMENT_GROUPS)).expect(201);
    world.assign_policy("keep", &world.group()).expect(201);
    let refused = world.dps_as(&who, "DELETE", &dps, path, &Value::Null).expect(403);
    assert!(refused.text().contains("Policy: keep"), "{refused:?}");
    world.dps_as(&who, "GET", &dps, path, &Value::Null).expect(200);
    world.arm("DELETE", &assignment_id(&world.group(), "keep"), &Value::Null).expect(200);
    world.dps_as(&who, "DELETE", &dps, path, &Value::Null).expect(204);
}
