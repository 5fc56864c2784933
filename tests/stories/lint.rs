//! `hubward lint`, as a pipeline runs it before a policy is written, and the warning that the server keeps with
//! the change.

use super::registration::Fleet;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const POLICY: &str = "custom-security-policy-v2";

/// The policy document of the source, as it stands there.
const DOCUMENT: &str = r#"{
  "properties": {
    "policyRule": {
      "if": {
        "allOf": [
          {"field": "type", "equals": "Microsoft.Devices/IotHubs/devices"},
          {"field": "identity.principalId", "equals": "<DPS-managed-identity-id>"}
        ]
      },
      "then": {"effect": "allow"}
    }
  }
}"#;

fn lint(arguments: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hubward"))
        .arg("lint")
        .args(arguments)
        .args(files)
        .env_clear()
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn written(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn allow(who: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": who }] }, "then": { "effect": "allow" } })
}

/// S0-14: the document of the source is one that a file holds, byte for byte, and one that is written.
#[test]
fn the_document_of_the_source_is_a_file_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(&directory, "policy.json", DOCUMENT);
    let output = lint(&[], &[&file]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "0 warnings in 1 file\n"));
    let fleet = Fleet::new();
    let path = format!(
        "{}/providers/Microsoft.Authorization/policyDefinitions/{POLICY}",
        fleet.world.subscription()
    );
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let kept = fleet.world.arm("PUT", &path, &document).expect(201).body;
    assert_eq!(kept["properties"]["policyRule"], document["properties"]["policyRule"]);
    // One that would be refused there is refused here, with the same place.
    let file = written(&directory, "bad.json", &DOCUMENT.replace("allow", "permit"));
    let output = lint(&[], &[&file]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("bad.json: policyRule.then.effect: `permit` is not an effect"), "{said}");
}

/// S0-18, S0-22: flagged before it is assigned, and what is flagged does happen then. The same exception passes
/// before the denial, and behind it neither the linter nor the device.
#[test]
fn what_the_linter_warns_of_happens_and_what_it_passes_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let assign = || world.assign_policy(POLICY, &hub).expect(201);
    let check = |rules: &Value, expected: &[&str]| {
        let file = written(&directory, "rules.json", &rules.to_string());
        let output = lint(&["-o", "json", "--identity", &fleet.identity], &[&file]);
        assert_eq!(output.status.code(), Some(i32::from(!expected.is_empty())));
        let lines: Vec<Value> =
            out(&output).lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let codes: Vec<&str> = lines.iter().map(|it| it["code"].as_str().unwrap()).collect();
        assert_eq!(codes, expected, "{lines:?}");
    };
    for (number, (rules, codes, status)) in [
        (deny(), vec!["StopsProvisioning"], "failed"),
        (json!([allow(&fleet.identity), deny()]), vec![], "assigned"),
        (
            json!([deny(), allow(&fleet.identity)]),
            vec!["StopsProvisioning", "NeverReached"],
            "failed",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        check(&rules, &codes);
        world.define_policy(POLICY, &rules).expect(201);
        assign();
        assert_eq!(fleet.registers(&format!("pump-{number}"))["status"], status, "{rules}");
    }
    let file = written(&directory, "v2.json", &json!([deny(), allow(&fleet.identity)]).to_string());
    let told = out(&lint(&[], &[&file]));
    for said in [
        "v2.json: policyRule[0]: a device that registers through a provisioning service would be refused: rule 0 denies it\n",
        "v2.json: policyRule[1]: rule 1 lets nothing through: what it is for is denied by rule 0, which comes first\n  do: move rule 1 before rule 0\n",
        "\n2 warnings in 1 file\n",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
}

/// S0-18: the change that would stop provisioning is answered as Azure answers it, and its record says so.
#[test]
fn a_change_that_stops_provisioning_is_kept_with_a_warning() {
    let fleet = Fleet::new();
    let (world, hub) = (&fleet.world, fleet.world.hub());
    let warnings = |tracking: &str| {
        let told = world.explained(tracking);
        let found = told["decision"]["warnings"].as_array().cloned().unwrap_or_default();
        found.iter().map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let defined = world.define_policy(POLICY, &deny()).expect(201);
    assert_eq!(warnings(&defined.tracking()), [""; 0], "it is assigned nowhere");
    let assigned = world.assign_policy(POLICY, &hub).expect(201);
    assert_eq!(assigned.body.get("warnings"), None);
    let said = warnings(&assigned.tracking());
    let dps = fleet.dps.rsplit('/').next().unwrap();
    let hub_name = hub.rsplit('/').next().unwrap();
    assert_eq!(
        said,
        [format!(
            "devices that register through `{dps}` will be refused at `{hub_name}`, by the policy `{POLICY}`"
        )]
    );
    let from = world.now().plus_seconds(-3_600).rfc3339();
    let log = format!(
        "{}/providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp%20ge%20'{from}'",
        world.subscription()
    );
    let events = world.arm("GET", &log, &Value::Null).expect(200).body;
    let event = events["value"].as_array().unwrap().iter();
    let event = event.into_iter().find(|it| it["operationId"] == assigned.tracking()).unwrap();
    assert_eq!(event["level"], "Warning");
    assert_eq!(event["properties"]["warnings"], json!(said).to_string());
    assert_eq!(fleet.registers("pump-1")["status"], "failed");

    // The exception is no cause for a warning; an edit that turns it round is.
    let rules = json!([allow(&fleet.identity), deny()]);
    let mended = world.define_policy(POLICY, &rules).expect(201).tracking();
    assert_eq!(warnings(&mended), [""; 0]);
    let turned = json!([deny(), allow(&fleet.identity)]);
    let turned = world.define_policy(POLICY, &turned).expect(201).tracking();
    assert_eq!(warnings(&turned).len(), 1);
    // Nothing new is stopped by what is refused already.
    let again = world.define_policy(POLICY, &deny()).expect(201).tracking();
    assert_eq!(warnings(&again), [""; 0]);
}

/// X-14: the 19 data actions of the documentation under `Actions` are warned of, each; under `DataActions` none
/// is, and what belongs to management is.
#[test]
fn a_role_with_its_planes_mixed_up_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let data: Vec<String> = model::roles::BUILTIN_ROLES
        .iter()
        .flat_map(|it| it.data_actions)
        .map(|it| (*it).to_owned())
        .chain([
            "Microsoft.Devices/IotHubs/devices/read".to_owned(),
            "Microsoft.Devices/IotHubs/twins/write".to_owned(),
            "Microsoft.Devices/IotHubs/directMethods/invoke/action".to_owned(),
        ])
        .filter(|it| it.starts_with("Microsoft.Devices/IotHubs/") && !it.contains('*'))
        .collect();
    let role = |actions: &[String], data: &[String]| json!({ "Name": "mixed", "Actions": actions, "DataActions": data, "AssignableScopes": ["/subscriptions/s"] });
    let management: Vec<String> =
        ["Microsoft.Devices/IotHubs/listkeys/action", "Microsoft.Devices/IotHubs/write"]
            .map(str::to_owned)
            .into();
    let run = |actions: &[String], with: &[String]| {
        let file = written(&directory, "role.json", &role(actions, with).to_string());
        let output = lint(&[], &[&file]);
        (output.status.code(), out(&output))
    };
    assert_eq!(run(&management, &data).0, Some(0));
    let (code, told) = run(&data, &management);
    assert_eq!(code, Some(1));
    assert!(told.ends_with(&format!("\n{} warnings in 1 file\n", data.len() + 2)), "{told}");
    assert!(
        told.contains("  do: move `Microsoft.Devices/IotHubs/listkeys/action` to `actions`\n"),
        "{told}"
    );
}

#[test]
fn what_is_neither_policy_nor_role_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for text in ["{}", "[]", "7", "{", r#"{"permissions": 7}"#, r#"{"if": {}}"#] {
        let file = written(&directory, "file.json", text);
        assert_eq!(lint(&[], &[&file]).status.code(), Some(2), "{text}");
    }
    assert_eq!(lint(&[], &[&directory.path().join("none.json")]).status.code(), Some(2));
    assert_eq!(lint(&["--identity", "me"], &[Path::new("x")]).status.code(), Some(2));
}
