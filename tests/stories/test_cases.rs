//! `hubward test`, as a pipeline runs it.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn cases(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

fn test(arguments: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hubward"))
        .arg("test")
        .args(arguments)
        .args(files)
        .env_clear()
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The file of roles with one case alone, changed.
fn with_one(directory: &Path, id: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut file: Value =
        serde_json::from_str(&fs::read_to_string(cases("roles.json")).unwrap()).unwrap();
    let all = file["cases"].as_array_mut().unwrap();
    all.retain(|it| it["id"] == id);
    change(&mut all[0]);
    let path = directory.join("changed.json");
    fs::write(&path, file.to_string()).unwrap();
    path
}

#[test]
fn every_case_of_ours_passes_and_the_last_line_counts_them() {
    let files = ["roles.json", "policies.json", "conditions.json"].map(cases);
    let output = test(&[], &files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", err(&output));
    let passed = shown.lines().filter(|it| it.starts_with("pass ")).count();
    assert!(passed >= 30, "{shown}");
    assert_eq!(shown.lines().last(), Some(format!("{passed} of {passed}").as_str()), "{shown}");
    assert!(shown.contains("expected deny at rbac IotHubUnauthorized 401; got deny at rbac"));
}

#[test]
fn the_example_of_the_documentation_passes() {
    let directory = tempfile::tempdir().unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/test-cases.md");
    let page = fs::read_to_string(page).unwrap();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let file = directory.path().join("plant.json");
    fs::write(&file, example).unwrap();
    let output = test(&[], &[&file]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(out(&output).ends_with("\n1 of 1\n"), "{}", out(&output));
}

#[test]
fn a_case_that_fails_shows_the_decision_gate_by_gate() {
    let directory = tempfile::tempdir().unwrap();
    let file = with_one(directory.path(), "a-role-does-not-reach-a-namesake-hub", |it| {
        it["expect"] = json!({ "decision": "allow" });
    });
    let output = test(&[], &[&file]);
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{}", err(&output));
    for said in [
        "FAIL a-role-does-not-reach-a-namesake-hub: expected allow; got deny at rbac IotHubUnauthorized 401",
        "authentication  allow",
        "access          deny",
        "resource        not evaluated",
        "role `Device keeper` grants nothing in any case",
        "\n0 of 1\n",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
}

#[test]
fn a_case_that_needs_what_is_missing_fails_and_says_what() {
    let directory = tempfile::tempdir().unwrap();
    let check = |id: &str, add: Value, feature: &str| {
        let file = with_one(directory.path(), id, |it| it["add"] = add);
        let output = test(&[], &[&file]);
        let shown = out(&output);
        assert_eq!(output.status.code(), Some(1), "{shown}{}", err(&output));
        assert!(shown.contains(&format!("FAIL {id}: not supported: {feature}\n")), "{shown}");
        assert!(shown.contains("Not supported: 1 of those that fail"), "{shown}");
        assert!(shown.ends_with("\n0 of 1\n"), "{shown}");
    };
    let id = "a-role-at-a-hub-counts-there";
    let deploys = json!({ "policyDefinitions": { "p": { "policyRule": {
        "if": { "field": "type", "equals": "x" }, "then": { "effect": "deployIfNotExists" } } } } });
    check(id, deploys, "policy effect deployIfNotExists");
    let guid = json!({ "policyDefinitions": { "p": { "policyRule": {
        "if": { "value": "[guid('a')]", "equals": "b" }, "then": { "effect": "deny" } } } } });
    check(id, guid, "policy function guid");
}

#[test]
fn a_case_that_cannot_be_understood_is_told_by_file_case_and_field() {
    let directory = tempfile::tempdir().unwrap();
    let check = |change: &dyn Fn(&mut Value), place: &str| {
        let file = with_one(directory.path(), "a-role-at-a-hub-counts-there", |it| change(it));
        let output = test(&[], &[&file]);
        assert_eq!(output.status.code(), Some(2), "{}{}", out(&output), err(&output));
        let said = format!("{}: case `a-role-at-a-hub-counts-there`: {place}", file.display());
        assert!(err(&output).contains(&said), "{said}: {}", err(&output));
        assert!(out(&output).ends_with("\n0 of 1\n"), "{}", out(&output));
    };
    check(&|it| it["request"]["sope"] = json!("/"), "request: unknown field `sope`");
    check(&|it| it["request"]["scope"] = json!("plant"), "request.scope: ");
    check(&|it| it["request"]["principal"] = json!("nobody"), "request.principal: ");
    check(&|it| it["expect"]["gate"] = json!("roles"), "expect.gate: ");
    check(&|it| it["expect"]["verdict"] = json!("allow"), "expect.verdict: ");
    check(&|it| it["world"] = json!("plan"), "world: the file has no world `plan`");
    check(&|it| it["kind"] = json!("authorise"), "kind: ");
    check(&|it| it["ad"] = json!({}), "ad: ");
    let limited = |condition: &str, version: &str| {
        json!({ "roleAssignments": [{ "name": "c", "principal": "intake", "role": "Owner",
            "scope": "/subscriptions/plant", "condition": condition, "conditionVersion": version }] })
    };
    let place = "roleAssignments[3].condition: line 1, character 5: an operator";
    check(&|it| it["add"] = limited("true", "2.0"), place);
    check(&|it| it["add"] = limited("Exists @Request[a]", "1.0"), "roleAssignments[3]: unknown");
    check(&|it| it["remove"] = json!({ "roleAssignments": ["r10"] }), "remove.roleAssignments: ");
    check(
        &|it| it["add"] = json!({ "policyDefinitions": { "p": { "policyRule": { "if": {} } } } }),
        "policyDefinitions.p.policyRule: `then` is missing",
    );
    check(
        &|it| {
            it["add"] = json!({ "roleAssignments": [{ "name": "r", "principal": "nobody", "role": "Owner", "scope": "/" }] });
        },
        "roleAssignments[3].principal: the world has no principal `nobody`",
    );
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (absent, other) = (directory.path().join("absent.json"), directory.path().join("x.json"));
    fs::write(&other, "{ \"schemaVersion\": 1, \"cases\": [{}] }").unwrap();
    let output = test(&[], &[&absent, &other, &cases("roles.json")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("absent.json: cannot be opened"), "{}", err(&output));
    assert!(err(&output).contains("x.json: cases[0].id: a text is required"), "{}", err(&output));
    assert!(out(&output).contains("pass a-role-at-a-hub-counts-there"), "{}", out(&output));
    assert_eq!(test(&[], &[]).status.code(), Some(2), "no file at all");
}

#[test]
fn programs_read_a_line_a_case_and_pipelines_read_junit() {
    let directory = tempfile::tempdir().unwrap();
    let failing = with_one(directory.path(), "an-owner-lists-keys", |it| {
        it["expect"] = json!({ "decision": "deny", "gate": "rbac" });
    });
    let output = test(&["-o", "json"], &[&cases("policies.json"), &failing]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> =
        out(&output).lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(lines[..lines.len() - 1].iter().all(|it| it["pass"] == true), "{lines:?}");
    assert_eq!(
        lines.last().unwrap(),
        &json!({ "id": "an-owner-lists-keys", "pass": false, "got": { "decision": "allow", "gate": "none",
            "code": null, "status": 200, "by": { "roleAssignment": "operator-owns" } } })
    );

    let output = test(&["-o", "junit"], &[&failing]);
    assert_eq!(output.status.code(), Some(1));
    let xml = out(&output);
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"), "{xml}");
    assert!(xml.contains("tests=\"1\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("name=\"an-owner-lists-keys\""), "{xml}");
    assert!(xml.contains("<failure message=\"expected deny at rbac; got allow 200"), "{xml}");
    let broken = with_one(directory.path(), "an-owner-lists-keys", |it| {
        it["id"] = json!("<&\"'\u{1}");
        it["request"] = json!(null);
    });
    let output = test(&["-o", "junit"], &[&broken]);
    assert_eq!(output.status.code(), Some(2));
    let xml = out(&output);
    assert!(xml.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "{xml}");
    assert!(xml.contains("name=\"&lt;&amp;&quot;&apos;\\u{1}\""), "{xml}");
}
