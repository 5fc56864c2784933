use super::*;
use serde_json::json;

const ID: &str = "3f0c0f5e-1111-4222-8333-444455556666";

fn record(second: u32, category: &str, properties: &serde_json::Value) -> String {
    json!({
        "time": format!("2026-11-22T08:00:{second:02}Z"),
        "resourceId": "/SUBSCRIPTIONS/S/PROVIDERS/MICROSOFT.DEVICES/IOTHUBS/PLANT",
        "operationName": "create",
        "category": category,
        "level": "Error",
        "resultType": "403000",
        "resultDescription": "denied",
        "correlationId": ID,
        "properties": properties.to_string(),
    })
    .to_string()
}

fn refused_by_policy(second: u32) -> String {
    record(
        second,
        "DeviceIdentityOperations",
        &json!({
            "decision": "deny", "gate": "policy", "code": "RequestDisallowedByPolicy", "trackingId": ID,
            "policy": "no-rogues",
            "chain": [
                { "gate": "authentication", "kind": "token", "id": "t", "result": "allow" },
                { "gate": "policy", "kind": "policyRule", "id": "/s/p/other", "result": "noMatch" },
                { "gate": "policy", "kind": "policyRule", "id": "/s/p/no-rogues", "result": "deny" },
                { "gate": "access", "result": "notEvaluated", "details": { "reason": "" } },
            ],
        }),
    )
}

fn decided_by(properties: &serde_json::Value) -> String {
    Record::parse(&record(1, "C", properties)).unwrap().decided
}

#[test]
fn what_decided_is_the_policy_the_role_or_at_least_the_gate() {
    let check = |properties, expected: &str| assert_eq!(decided_by(&properties), expected);
    let silent =
        json!([{ "gate": "access", "result": "deny", "details": { "reason": "no role" } }]);
    check(json!({ "gate": "access", "chain": silent }), "access");
    let role = json!({ "gate": "access", "kind": "roleAssignment", "id": "/x/a1", "result": "allow",
        "details": { "name": "a1", "role": { "roleName": "IoT Hub Data Reader" } } });
    check(json!({ "gate": null, "chain": [role.clone()] }), "access `IoT Hub Data Reader`");
    check(json!({ "gate": "policy", "chain": [role] }), "policy");
    check(json!({ "gate": "policy", "policy": "strict", "chain": "left out" }), "policy `strict`");
    check(json!({ "gate": null, "chain": [] }), "");
    check(json!("nothing"), "");
}

#[test]
fn the_file_put_aside_is_read_before_the_current_one() {
    let directory = tempfile::tempdir().unwrap();
    let in_category = |name: &str| record(1, name, &json!({}));
    workspace(directory.path(), "ws-0", &[in_category("newer")]);
    fs::write(directory.path().join("ws-0.jsonl.1"), in_category("older")).unwrap();
    fs::write(directory.path().join("ws-0.jsonl.2"), in_category("none of ours")).unwrap();
    let found = all(directory.path(), None, 9);
    let categories: Vec<&str> = found.records.iter().map(|it| it.category.as_str()).collect();
    assert_eq!(categories, ["older", "newer"]);
}

fn workspace(directory: &Path, name: &str, lines: &[String]) {
    fs::write(directory.join(format!("{name}.jsonl")), lines.join("\n")).unwrap();
}

fn all(directory: &Path, category: Option<&str>, limit: usize) -> Found {
    let filter = Filter { category: category.map(str::to_owned), correlation: None };
    read(&files(directory, None).unwrap(), &filter, limit).unwrap()
}

/// What a provisioning service says: of a call, and of what became of it.
fn of_dps(
    second: u32,
    operation: &str,
    result: [&str; 2],
    properties: serde_json::Value,
) -> String {
    json!({
        "time": format!("2026-11-22T08:00:{second:02}Z"),
        "resourceId": "/SUBSCRIPTIONS/S/PROVIDERS/MICROSOFT.DEVICES/PROVISIONINGSERVICES/GATE",
        "operationName": operation,
        "category": "DeviceOperations",
        "level": if result[0] == "Success" { "Information" } else { "Error" },
        "resultType": result[0],
        "resultSignature": result[1],
        "correlationId": ID,
        "properties": properties.to_string(),
    })
    .to_string()
}

#[test]
fn a_record_is_one_line_with_what_decided_and_the_tracking_id() {
    let directory = tempfile::tempdir().unwrap();
    let by_access = record(
        2,
        "DeviceIdentityOperations",
        &json!({ "decision": "deny", "gate": "access", "code": "IotHubUnauthorized", "chain": [] }),
    );
    workspace(directory.path(), "ws", &[refused_by_policy(1), by_access]);
    let found = all(directory.path(), None, 10);
    insta::assert_snapshot!(table(&found.records, Colours::Off), @r"
    time                      level  category                  resource  operation  result       decided by          tracking id                           correlation id
    2026-11-22T08:00:01.000Z  Error  DeviceIdentityOperations  plant     create     deny 403000  policy `no-rogues`  3f0c0f5e-1111-4222-8333-444455556666  3f0c0f5e-1111-4222-8333-444455556666
    2026-11-22T08:00:02.000Z  Error  DeviceIdentityOperations  plant     create     deny 403000  access              3f0c0f5e-1111-4222-8333-444455556666  3f0c0f5e-1111-4222-8333-444455556666
    ");
}

#[test]
fn both_sides_of_a_registration_are_joined_by_their_correlation_id() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = json!({ "hub": "/s/IotHubs/plant", "errorCode": 403_000, "trackingId": ID });
    let register = of_dps(1, "Register", ["Success", ""], json!({ "decision": "allow" }));
    let outcome = of_dps(3, "RegistrationAttempt", ["Failure", "403"], outcome);
    let refused =
        of_dps(4, "AttestationAttempt", ["ClientError", "401"], json!({ "decision": "deny" }));
    let namesake = refused_by_policy(5).replace(ID, &format!("{ID}0"));
    // Each side has a workspace of its own.
    workspace(directory.path(), "fleet", &[register, outcome, refused]);
    workspace(directory.path(), "hubs", &[refused_by_policy(2), namesake]);
    let joined = |correlation: &str| {
        let filter = Filter { category: None, correlation: Some(correlation.to_owned()) };
        let found = read(&files(directory.path(), None).unwrap(), &filter, 10).unwrap();
        found
            .records
            .into_iter()
            .map(|it| [it.operation, it.result, it.decided])
            .collect::<Vec<_>>()
    };
    let expected = [
        ["Register", "Success", ""],
        ["create", "deny 403000", "policy `no-rogues`"],
        ["RegistrationAttempt", "Failure 403", "hub `plant`"],
        ["AttestationAttempt", "ClientError 401", ""],
    ];
    assert_eq!(joined(ID), expected);
    assert_eq!(joined(&ID.to_uppercase()), expected);
    assert!(joined(&ID[..35]).is_empty());
}

#[test]
fn a_broken_line_is_skipped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let lines = [
        refused_by_policy(1),
        "{ \"time\": ".into(),
        String::new(),
        "[]".into(),
        r#"{ "time": "yesterday" }"#.into(),
        format!("\"{}\"", "x".repeat(1 << 20)),
        refused_by_policy(2),
    ];
    workspace(directory.path(), "ws", &lines);
    let found = all(directory.path(), None, 10);
    assert_eq!(found.records.len(), 2);
    let broken: Vec<_> = found.broken.iter().map(|it| (it.first, it.lines)).collect();
    assert_eq!(broken, [(2, 4)]);
}

#[test]
fn the_newest_of_all_workspaces_are_shown_in_order_of_time() {
    let directory = tempfile::tempdir().unwrap();
    workspace(
        directory.path(),
        "a",
        &[refused_by_policy(1), refused_by_policy(4), refused_by_policy(5)],
    );
    workspace(directory.path(), "b", &[refused_by_policy(2), refused_by_policy(3)]);
    let seconds = |limit| -> Vec<i64> {
        all(directory.path(), None, limit).records.iter().map(|it| it.time.seconds() % 60).collect()
    };
    assert_eq!(seconds(3), [3, 4, 5]);
    assert_eq!(seconds(1), [5]);
    assert_eq!(seconds(9), [1, 2, 3, 4, 5]);
}

#[test]
fn a_category_is_matched_whole_in_any_casing() {
    let directory = tempfile::tempdir().unwrap();
    workspace(
        directory.path(),
        "ws",
        &[refused_by_policy(1), record(2, "Connections", &json!({}))],
    );
    let fitting = |category| all(directory.path(), Some(category), 9).records.len();
    assert_eq!(fitting("deviceidentityoperations"), 1);
    assert_eq!(fitting("DeviceIdentity"), 0);
}

#[test]
fn a_workspace_is_found_by_name_or_id_and_a_namesake_is_not() {
    let directory = tempfile::tempdir().unwrap();
    for stem in ["ws1-HASH", "ws1-000000000000", "ws10-000000000001"] {
        workspace(directory.path(), &stem.replace("HASH", &id_hash("/rg1/workspaces/ws1")), &[]);
    }
    let named = |name| files(directory.path(), Some(name)).map(|it| it.len());
    assert_eq!(named("WS1"), Ok(2));
    assert_eq!(named("ws10"), Ok(1));
    assert_eq!(named("ws1-000000000000"), Ok(1));
    assert_eq!(named("/RG1/workspaces/ws1/"), Ok(1));
    assert!(named("/rg10/workspaces/ws1").is_err());
    let Err(Failure::Failed(said)) = named("ws") else { panic!("`ws` is no workspace") };
    assert!(
        said.contains("`ws1-000000000000`, ") && said.contains("`ws10-000000000001`"),
        "{said}"
    );
    let Err(Failure::Failed(said)) = files(&directory.path().join("none"), None) else {
        panic!("found")
    };
    assert!(said.contains("diagnostic-settings create"), "{said}");
}

#[test]
fn an_id_has_the_hash_that_the_server_names_its_file_by() {
    // Computed with `sha256sum`.
    assert_eq!(id_hash("/RG1/workspaces/ws1/"), "8906131b7d97");
}

#[test]
fn hostile_text_moves_no_cursor_in_table_or_json() {
    let hostile = record(1, "C\u{1b}[2J\u{9b}A", &json!({ "gate": "policy\r\n", "chain": [] }));
    let found = Record::parse(&hostile).unwrap();
    let shown = table(std::slice::from_ref(&found), Colours::Off) + &lines(&[found]);
    assert!(shown.contains("C\\u{1b}[2J\\u{9b}A"), "{shown}");
    assert!(shown.chars().all(|it| it == '\n' || !it.is_control()), "{shown:?}");
    assert_eq!(shown.lines().count(), 3, "{shown}");
}

#[test]
fn json_is_the_record_as_it_was_written() {
    let written = refused_by_policy(1);
    assert_eq!(lines(&[Record::parse(&written).unwrap()]), format!("{written}\n"));
}
