//! The story of the product with the unmodified CLI: a broad deny, a refused device, the named rule, the
//! fix. The server is killed and started again between any two steps.

use super::az::{Az, binary, hub_token, hubward, text};
use serde_json::{Value, json};
use std::path::Path;
use testkit::{Answer, Process};

const POLICY: &str = "custom-security-policy-v2";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

struct Person {
    app: String,
    secret: String,
    object_id: String,
}

struct Stage {
    server: Process,
}

impl Stage {
    fn server(&self) -> &Process {
        &self.server
    }

    /// Kill -9 and start again: nothing that was acknowledged depends on the process.
    fn crash(&mut self) {
        self.server.crash();
    }

    fn hub_call(&self, who: &Person, method: &str, host: &str, path: &str) -> Answer {
        let authorization = hub_token(self.server(), &who.app, &who.secret);
        let url = format!("https://{host}{path}?api-version=2021-04-12");
        let body = if method == "PUT" { json!({}) } else { Value::Null };
        self.server().wire().json(method, &url, &authorization, &body)
    }
}

fn person(az: &Az, name: &str, roles: &[&str], scope: &str) -> Person {
    let made = az.run(&["ad", "sp", "create-for-rbac", "--name", name]).json();
    let app = text(&made, "/appId").to_owned();
    let shown = az.run(&["ad", "sp", "show", "--id", &app]).json();
    for role in roles {
        az.run(&[
            "role",
            "assignment",
            "create",
            "--assignee",
            &app,
            "--role",
            role,
            "--scope",
            scope,
        ])
        .json();
    }
    Person {
        secret: text(&made, "/password").to_owned(),
        object_id: text(&shown, "/id").to_owned(),
        app,
    }
}

fn allow(who: &Person) -> Value {
    json!({ "if": { "allOf": [
        { "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": who.object_id } ] }, "then": { "effect": "allow" } })
}

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn is_refused_with_the_three_facts(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer:?}");
    for fact in [
        "HTTP 403: Forbidden",
        "Error: Device registration denied",
        "Policy: custom-security-policy-v2",
    ] {
        assert!(answer.text().replace("\\n", "\n").contains(fact), "{fact}: {answer:?}");
    }
}

fn role_lookups(server: &Process) -> u64 {
    let arm = server.connection().arm().replace("https://", "http://").replace(":8443", ":9464");
    let metrics = server.wire().send("GET", &format!("{arm}/metrics"), &[], b"").expect(200).body;
    let text = metrics.as_str().unwrap().to_owned();
    let line =
        text.lines().find(|it| it.starts_with("hubward_role_lookups_total")).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// S0-05, S0-11, S0-15, S0-16, S0-17, S0-24, S0-25, S0-38: with the CLI, and a crash between any two steps.
#[test]
fn a_broad_deny_refuses_a_device_and_one_command_says_why() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut stage = Stage { server: Process::start(binary(), &data, &[]) };
    let connection = stage.server().connection();
    let subscription = connection.subscription_id().unwrap().to_owned();
    let group = connection.get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
    let (hub_name, host) = (
        connection.hub().unwrap().to_owned(),
        connection.get("HUBWARD_HUB_HOST").unwrap().to_owned(),
    );
    let hub = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub_name}"
    );
    let az = Az::administrator(stage.server());
    let second = az
        .run(&["iot", "hub", "create", "--name", "second-hub", "--resource-group", &group])
        .json();
    let second_host = text(&second, "/properties/hostName").to_owned();
    stage.crash();

    let scope = format!("/subscriptions/{subscription}/resourceGroups/{group}");
    let roles = ["Owner", "IoT Hub Data Contributor"];
    let deployer = person(&az, "deployer", &roles, &scope);
    let outsider = person(&az, "outsider", &roles, &scope);
    let roleless = person(&az, "roleless", &[], &scope);
    stage.crash();
    stage.hub_call(&deployer, "PUT", &host, "/devices/before").expect(200);

    // The broad deny, as the source describes it.
    let rules = deny().to_string();
    az.run(&[
        "policy",
        "definition",
        "create",
        "--name",
        POLICY,
        "--mode",
        "All",
        "--rules",
        &rules,
    ])
    .json();
    stage.crash();
    let assigned = az
        .run(&[
            "policy",
            "assignment",
            "create",
            "--name",
            POLICY,
            "--policy",
            POLICY,
            "--scope",
            &hub,
        ])
        .json();
    assert_eq!(text(&assigned, "/name"), POLICY);
    stage.crash();
    let refused = stage.hub_call(&deployer, "PUT", &host, "/devices/d1");
    is_refused_with_the_three_facts(&refused);

    // Reads and the other hub are untouched.
    stage.hub_call(&deployer, "GET", &host, "/devices/before").expect(200);
    stage.hub_call(&deployer, "PUT", &second_host, "/devices/d1").expect(200);

    // A refusal by policy looks up no role; the counter proves it.
    let before = role_lookups(stage.server());
    is_refused_with_the_three_facts(&stage.hub_call(&deployer, "PUT", &host, "/devices/d1"));
    assert_eq!(role_lookups(stage.server()), before);
    stage.crash();

    let said = explain(&data, &refused.tracking());
    for word in [
        POLICY,
        "policyRule.if",
        DEVICES,
        "not evaluated",
        "deployer",
        "az policy definition update",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let table = said.split_once("\ngate ").unwrap().1;
    let order: Vec<usize> = ["authentication", "policy", "access", "resource"]
        .iter()
        .map(|it| table.find(&format!("\n{it}")).unwrap())
        .collect();
    assert!(order.is_sorted(), "{said}");
    let json: Value = serde_json::from_str(
        &hubward(&[
            "explain",
            &refused.tracking(),
            "-o",
            "json",
            "--data",
            &data.display().to_string(),
        ])
        .out,
    )
    .unwrap();
    let verdicts: Vec<&str> = json["decision"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| text(it, "/verdict"))
        .collect();
    assert_eq!(verdicts, ["allow", "deny", "notEvaluated", "notEvaluated"]);
    assert_eq!(json["decision"]["steps"][1]["findings"][0]["rule"]["index"], 0);

    // Behind the deny an allow has no effect; in front of it, it holds from the next request on.
    let behind = json!([deny(), allow(&deployer)]).to_string();
    az.run(&["policy", "definition", "update", "--name", POLICY, "--rules", &behind]).json();
    stage.crash();
    is_refused_with_the_three_facts(&stage.hub_call(&deployer, "PUT", &host, "/devices/d1"));
    // The command that `explain` proposes, pasted as it stands.
    let proposed = text(&json, "/fixes/0/command");
    let pasted = az.paste(proposed);
    assert_eq!(pasted.status, 0, "{proposed}\n{}", pasted.err);
    stage.hub_call(&deployer, "PUT", &host, "/devices/d1").expect(200);
    stage.crash();
    stage.hub_call(&deployer, "PUT", &host, "/devices/d2").expect(200);
    is_refused_with_the_three_facts(&stage.hub_call(&outsider, "PUT", &host, "/devices/d3"));

    // Without the role the policy passes and access refuses, naming the action.
    let both = json!([allow(&roleless), allow(&deployer), deny()]).to_string();
    az.run(&["policy", "definition", "update", "--name", POLICY, "--rules", &both]).json();
    stage.crash();
    let refused = stage.hub_call(&roleless, "PUT", &host, "/devices/d4").expect(401);
    assert!(refused.text().contains("Microsoft.Devices/IotHubs/devices/write"), "{refused:?}");
    let said = explain(&data, &refused.tracking());
    assert!(said.contains("az role assignment create"), "{said}");
    let asked = hubward(&[
        "explain",
        "--principal",
        "roleless",
        "--action",
        "Microsoft.Devices/IotHubs/devices/write",
        "--scope",
        &hub,
        "--data",
        &data.display().to_string(),
    ]);
    assert_eq!(asked.status, 1, "{}", asked.err);
    assert!(asked.out.contains("access"), "{}", asked.out);
    az.run(&[
        "role",
        "assignment",
        "create",
        "--assignee-object-id",
        &roleless.object_id,
        "--assignee-principal-type",
        "ServicePrincipal",
        "--role",
        "IoT Hub Registry Contributor",
        "--scope",
        &hub,
    ])
    .json();
    stage.crash();
    stage.hub_call(&roleless, "PUT", &host, "/devices/d4").expect(200);

    // The activity log has the refusal with policy, rule and principal.
    let log = az
        .run(&["monitor", "activity-log", "list", "--offset", "1h", "--max-events", "500"])
        .json();
    let refusals: Vec<&Value> =
        log.as_array().unwrap().iter().filter(|it| it.to_string().contains("ruleIndex")).collect();
    assert!(!refusals.is_empty(), "{log}");
    assert!(
        refusals
            .iter()
            .any(|it| it.to_string().contains(POLICY) && it.to_string().contains("outsider")),
        "{refusals:?}"
    );
}

fn explain(data: &Path, tracking: &str) -> String {
    let said = hubward(&["explain", tracking, "--data", &data.display().to_string()]);
    assert_eq!(said.status, 0, "{}", said.err);
    said.out
}
