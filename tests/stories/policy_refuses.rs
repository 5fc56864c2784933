//! A policy refuses a device, and one question says why.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const POLICY: &str = "custom-security-policy-v2";
const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
const REGISTRY_CONTRIBUTOR: &str = "4ea46cd5-c1b2-4a8e-910b-273211f9ce47";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

fn broad_deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

/// The rule of the source, for one principal.
fn allow(who: &Identity) -> Value {
    json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": who.object_id } ] }, "then": { "effect": "allow" } })
}

fn with_every_role(world: &World, name: &str) -> Identity {
    let who = world.service_principal(name);
    world.assign(&who, OWNER, &world.group()).expect(201);
    world.assign(&who, DATA_CONTRIBUTOR, &world.group()).expect(201);
    who
}

fn verdicts(decision: &Value) -> Vec<String> {
    let steps = decision["decision"]["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|it| format!("{} {}", it["gate"].as_str().unwrap(), it["verdict"].as_str().unwrap()))
        .collect()
}

fn role_lookups(world: &World) -> u64 {
    world.env().facts.load().lookups.role.load(std::sync::atomic::Ordering::SeqCst)
}

fn is_refused_by_policy(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "DeviceRegistrationDenied"),
        "{answer:?}"
    );
    for fact in [
        "HTTP 403: Forbidden",
        "Error: Device registration denied",
        "Policy: custom-security-policy-v2",
    ] {
        assert!(answer.body["Message"].as_str().unwrap().contains(fact), "{answer:?}");
    }
}

/// S0-05, S0-15, S0-16, S0-22, S0-24, S0-25, S0-37, S0-38, X-15: the whole story, step by step.
#[test]
fn a_policy_refuses_a_device_and_the_explanation_names_the_rule() {
    let mut world = World::new();
    let hub = world.hub();
    let deployer = with_every_role(&world, "deployer");
    let outsider = with_every_role(&world, "outsider");
    world.puts_device(&deployer, &hub, "before").expect(200);

    world.define_policy(POLICY, &broad_deny()).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    // Tokens are fetched before the count: the token endpoint looks up no role, but the host name does.
    let token = world.token(&deployer, "https://iothubs.azure.net");
    let url = world.hub_url(&hub, "/devices/d1");
    let before = role_lookups(&world);
    let refused =
        world.wire().json("PUT", &url, &format!("Bearer {token}"), &json!({ "deviceId": "d1" }));
    is_refused_by_policy(&refused);
    assert_eq!(role_lookups(&world), before, "a refusal by policy looks up no role");
    assert_eq!(refused.header("x-hubward-retry"), Some("never"));

    let told = world.explained(&refused.tracking());
    assert_eq!(
        verdicts(&told),
        ["authentication allow", "policy deny", "access notEvaluated", "resource notEvaluated"]
    );
    let found = &told["decision"]["steps"][1]["findings"][0];
    assert_eq!(found["name"], POLICY);
    assert_eq!(found["rule"]["definitionName"], POLICY);
    assert_eq!(found["rule"]["index"], 0);
    assert_eq!(
        found["conditions"][0],
        json!({ "path": "policyRule.if", "left": "field", "expression": "type", "operator": "equals",
            "expected": DEVICES, "actual": DEVICES, "result": true })
    );
    assert_eq!(told["decision"]["call"]["caller"]["name"], "deployer");
    assert!(
        told["decision"]["call"]["caller"]["signedIn"].as_str().unwrap().contains("token issued")
    );
    let command = told["fixes"][0]["command"].as_str().unwrap();
    assert!(
        command.starts_with("az policy definition update --name custom-security-policy-v2"),
        "{command}"
    );
    assert_eq!(told["fixes"][0]["then"], "the call would pass every gate");

    // Reads, deletes and the neighbour are untouched.
    world.hub_as(&deployer, "GET", &hub, "/devices/before", &Value::Null).expect(200);
    let other = world.hub_named("second-hub");
    let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
    world.arm("PUT", &other, &body).expect(201);
    world.puts_device(&deployer, &other, "d1").expect(200);

    // An allow before the deny passes on the next request; behind it, it does not.
    world.define_policy(POLICY, &json!([broad_deny(), allow(&deployer)])).expect(201);
    is_refused_by_policy(&world.puts_device(&deployer, &hub, "d1"));
    world.define_policy(POLICY, &json!([allow(&deployer), broad_deny()])).expect(201);
    world.puts_device(&deployer, &hub, "d1").expect(200);
    is_refused_by_policy(&world.puts_device(&outsider, &hub, "d2"));

    // None of it depends on the process.
    world.restart();
    world.puts_device(&deployer, &hub, "d3").expect(200);
    is_refused_by_policy(&world.puts_device(&outsider, &hub, "d4"));
    assert_eq!(verdicts(&world.explained(&refused.tracking()))[1], "policy deny");
}

/// S0-08: only the policy changes, then only the role, and the trace says which gate decided.
#[test]
fn policy_speaks_before_roles_and_each_decides_alone() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("device-writer");
    let gate = |answer: &Answer| {
        world.explained(&answer.tracking())["decision"]["outcome"]["gate"].clone()
    };

    let without_role = world.puts_device(&who, &hub, "d1").expect(401);
    assert_eq!(gate(&without_role), "access");
    assert!(
        without_role.text().contains("Microsoft.Devices/IotHubs/devices/write"),
        "{without_role:?}"
    );
    let told = world.explained(&without_role.tracking());
    assert!(told["decision"]["steps"][1]["tookNs"].is_u64(), "the gates are timed: {told}");
    let command = told["fixes"][0]["command"].as_str().unwrap();
    assert!(command.contains("--role 'IoT Hub Registry Contributor'"), "{command}");

    // Policy and missing role at once: the policy answers, for it is asked first.
    world.define_policy(POLICY, &broad_deny()).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    assert_eq!(gate(&world.puts_device(&who, &hub, "d1").expect(403)), "policy");
    world.assign(&who, REGISTRY_CONTRIBUTOR, &hub).expect(201);
    assert_eq!(gate(&world.puts_device(&who, &hub, "d1").expect(403)), "policy");

    let assignment = format!("{hub}/providers/Microsoft.Authorization/policyAssignments/{POLICY}");
    world.arm("DELETE", &assignment, &Value::Null).expect(200);
    world.puts_device(&who, &hub, "d1").expect(200);
}

/// S0-27: a change of a policy holds from the next request on.
#[test]
fn a_changed_policy_holds_from_the_next_request_on() {
    let world = World::new();
    let hub = world.hub();
    let who = with_every_role(&world, "deployer");
    world.define_policy(POLICY, &json!([broad_deny()])).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    let exemption = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/onboarding");
    for round in 0..20 {
        is_refused_by_policy(&world.puts_device(&who, &hub, &format!("d{round}")));
        world.define_policy(POLICY, &json!([allow(&who), broad_deny()])).expect(201);
        world.puts_device(&who, &hub, &format!("d{round}")).expect(200);
        world.define_policy(POLICY, &json!([broad_deny()])).expect(201);
    }
    let body = json!({ "properties": {
        "policyAssignmentId": format!("{hub}/providers/Microsoft.Authorization/policyAssignments/{POLICY}"),
        "exemptionCategory": "Waiver",
        "expiresOn": world.now().plus_seconds(60).rfc3339(),
        "principalIds": [who.object_id] } });
    world.arm("PUT", &exemption, &body).expect(201);
    world.puts_device(&who, &hub, "exempt").expect(200);
    // The exemption ends by itself, at its instant.
    world.pass_seconds(60);
    is_refused_by_policy(&world.puts_device(&who, &hub, "late"));
}

/// S0-01: every version of a definition has its author, its time and its difference.
#[test]
fn every_change_of_a_policy_leaves_who_when_and_what() {
    let world = World::new();
    let who = world.service_principal("outsider");
    world.define_policy(POLICY, &broad_deny()).expect(201);
    world.pass_seconds(60);
    world.define_policy(POLICY, &json!([allow(&who), broad_deny()])).expect(201);
    let path = format!(
        "{}/providers/Microsoft.Authorization/policyDefinitions/{POLICY}/revisions",
        world.subscription()
    );
    let revisions = world.arm("GET", &path, &Value::Null).expect(200).body;
    let revisions = revisions["value"].as_array().unwrap();
    assert_eq!(revisions.len(), 2);
    assert_eq!(revisions[1]["author"]["name"], "administrator");
    assert_ne!(revisions[0]["time"], revisions[1]["time"]);
    let changed: Vec<&str> = revisions[1]["difference"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    assert_eq!(changed, ["properties.policyRule"]);
}

#[test]
fn only_readers_of_the_scope_see_a_decision_and_only_readers_of_the_policy_its_conditions() {
    let world = World::new();
    let hub = world.hub();
    let writer = world.service_principal("writer");
    let stranger = world.service_principal("stranger");
    world.assign(&writer, DATA_CONTRIBUTOR, &hub).expect(201);
    world.define_policy(POLICY, &broad_deny()).expect(201);
    world.assign_policy(POLICY, &hub).expect(201);
    let refused = world.puts_device(&writer, &hub, "d1").expect(403);
    is_refused_by_policy(&refused);
    assert_eq!(
        refused.body["error"]["additionalInfo"][0]["info"],
        json!({ "policyAssignmentName": POLICY })
    );
    assert!(!refused.text().contains("evaluatedExpressions"), "{refused:?}");
    let id = refused.tracking();
    let path = format!("/decisions/{id}");

    let own = world.arm_as(&writer, "GET", &path, &Value::Null).expect(200).body;
    assert_eq!(own["redacted"], true);
    let found = &own["decision"]["steps"][1]["findings"][0];
    assert_eq!(found["name"], POLICY);
    assert!(found.get("conditions").is_none() && found.get("rule").is_none(), "{found}");
    assert_eq!(own["fixes"], json!([]));

    world.arm_as(&stranger, "GET", &path, &Value::Null).expect(403);
    assert_eq!(world.explained(&id)["redacted"], false);
    world.arm("GET", &format!("/decisions/{}", world.guid()), &Value::Null).expect(404);
}

#[test]
fn a_question_is_answered_without_a_call() {
    let world = World::new();
    let hub = world.hub();
    let who = world.service_principal("curious");
    let ask = |action: &str| {
        let body =
            json!({ "principal": "curious", "action": action, "scope": hub, "objectName": "d1" });
        world.arm("POST", "/decisions/ask", &body)
    };
    let told = ask("microsoft.devices/iothubs/devices/WRITE").expect(200).body;
    assert_eq!(told["decision"]["outcome"]["gate"], "access");
    assert!(told["fixes"][0]["command"].as_str().unwrap().contains(&who.object_id));
    world.assign(&who, DATA_CONTRIBUTOR, &hub).expect(201);
    let told = ask("Microsoft.Devices/IotHubs/devices/write").expect(200).body;
    assert_eq!(told["decision"]["outcome"]["verdict"], "allow");
    let unknown = ask("Microsoft.Devices/IotHubs/devices/wrote").expect(400);
    assert!(unknown.text().contains("devices/write"), "{unknown:?}");
}

#[test]
fn a_write_that_a_policy_audits_passes_and_is_kept() {
    let world = World::new();
    let hub = world.hub();
    let who = with_every_role(&world, "deployer");
    let watch =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "audit" } });
    world.define_policy("watch", &watch).expect(201);
    world.assign_policy("watch", &hub).expect(201);
    let id = world.puts_device(&who, &hub, "d1").expect(200).tracking();
    let told = world.explained(&id);
    assert_eq!(told["decision"]["outcome"]["verdict"], "allow");
    assert_eq!(told["decision"]["steps"][1]["findings"][0]["result"], "audit");
    // Reads are not judged, and so not kept either.
    let read = world.hub_as(&who, "GET", &hub, "/devices/d1", &Value::Null).expect(200).tracking();
    world.arm("GET", &format!("/decisions/{read}"), &Value::Null).expect(404);
}
