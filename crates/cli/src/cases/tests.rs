use super::{Test, file, judge, world};
use clap::{Args as _, Command};
use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn what_a_case_adds_is_merged_one_level_deep() {
    let given =
        json!({ "now": "a", "locks": [1], "resources": { "h": { "type": "T", "location": "l" } } });
    let add = object(
        json!({ "now": "b", "locks": [2], "resources": { "h": { "location": "m" }, "i": {} } }),
    );
    let merged = world::merged(&given, &add, &Map::new()).unwrap();
    let expected = json!({ "now": "b", "locks": [1, 2],
        "resources": { "h": { "type": "T", "location": "m" }, "i": {} } });
    assert_eq!(merged, expected);
}

#[test]
fn what_a_case_removes_must_be_there() {
    let given = json!({ "roleAssignments": [{ "name": "r1" }, { "name": "r10" }], "principals": { "p": {} } });
    let remove = |it: Value| world::merged(&given, &Map::new(), &object(it));
    let left = remove(json!({ "roleAssignments": ["r1"], "principals": ["p"] })).unwrap();
    assert_eq!(left, json!({ "roleAssignments": [{ "name": "r10" }], "principals": {} }));
    assert!(remove(json!({ "roleAssignments": ["r"] })).is_err());
    assert!(remove(json!({ "now": ["r"] })).is_err());
}

#[test]
fn a_file_needs_its_version_cases_and_an_id_for_each() {
    let no = |text: Value, said: &str| {
        let why = file::parse(&text.to_string()).map(|_| ()).unwrap_err();
        assert!(why.contains(said), "{why}");
    };
    let case = json!({ "id": "a" });
    assert!(file::parse(&json!({ "schemaVersion": 1, "cases": [case] }).to_string()).is_ok());
    no(json!({ "schemaVersion": 2, "cases": [case] }), "schemaVersion: 2 is not known");
    no(json!({ "cases": [case] }), "schemaVersion");
    no(json!({ "schemaVersion": 1, "cases": [] }), "nothing to test");
    no(json!({ "schemaVersion": 1, "cases": [case, case] }), "cases[1].id: `a`");
    no(json!({ "schemaVersion": 1, "cases": [{ "id": "" }] }), "cases[0].id");
    no(json!({ "schemaVersion": 1, "cases": [case], "case": [] }), "unknown field `case`");
    no(json!([]), "no file of cases");
}

#[test]
fn a_condition_is_true_false_or_an_error_and_a_misspelt_one_is_told() {
    let ask = |condition: &str, expect: Value| {
        let case = object(json!({ "id": "a", "kind": "condition", "condition": condition,
            "context": { "action": "a/read", "resource": { "size": "10" } }, "expect": expect }));
        judge::judge(&case, &Map::new()).map(|it| (it.passes, it.got))
    };
    let read = "ActionMatches{'a/*'}";
    assert_eq!(ask(read, json!(true)), Ok((true, json!(true))));
    assert_eq!(ask(read, json!(false)), Ok((false, json!(true))));
    let mistyped = "@Resource[size] NumericEquals 10";
    assert_eq!(ask(mistyped, json!("error")), Ok((true, json!("error"))));
    assert_eq!(ask(mistyped, json!(false)), Ok((false, json!("error"))));
    assert_eq!(ask("ActionMatches{", json!("error")), Ok((true, json!("error"))));
    let broken = |stop, field: &str, words: &str| match stop {
        Err(file::Stop::Broken { at, because }) => {
            assert_eq!(at, field);
            assert!(because.contains(words), "{because}");
        }
        other => panic!("{other:?}"),
    };
    broken(ask("ActionMatches{", json!(true)), "condition", "line 1, character 15");
    broken(ask(read, json!("true")), "expect", "a condition is");
}

#[test]
fn an_operation_that_nothing_here_serves_is_told() {
    let worlds = object(json!({ "w": {
        "tenant": "11111111-1111-4111-8111-111111111111", "now": "2026-11-22T08:00:00Z",
        "principals": { "p": { "type": "User", "objectId": "22222222-2222-4222-8222-222222222222" } } } }));
    let ask = |operations: Value| {
        let case = object(json!({ "id": "a", "kind": "authorize", "world": "w",
            "request": { "principal": "p", "operations": operations, "scope": "/subscriptions/s" },
            "expect": { "decision": "deny" } }));
        judge::judge(&case, &worlds).map(|it| it.passes)
    };
    let read = "MICROSOFT.DEVICES/iothubs/devices/READ";
    assert_eq!(ask(json!([{ "action": read }])), Ok(true));
    assert_eq!(ask(json!([{ "action": read, "isDataAction": true }])), Ok(true));
    // The plane is part of the operation: no control action has this name.
    assert!(matches!(
        ask(json!([{ "action": read, "isDataAction": false }])),
        Err(file::Stop::NotSupported(_))
    ));
    assert!(matches!(
        ask(json!([{ "action": "Contoso.X/y/read" }])),
        Err(file::Stop::NotSupported(_))
    ));
    assert!(matches!(ask(json!([])), Err(file::Stop::Broken { .. })));
}

#[test]
fn help_teaches_by_example() {
    let help = Test::augment_args(Command::new("test")).render_long_help().to_string();
    for taught in ["hubward test -o junit", "Exit codes", "\"schemaVersion\": 1"] {
        assert!(help.contains(taught), "{help}");
    }
    // The example is a file that passes.
    let start = help.find("  { \"schemaVersion\"").unwrap();
    let example = &help[start..help.find("Exit codes").unwrap()];
    let cases = file::parse(example).unwrap();
    for (_, case) in &cases.cases {
        assert!(judge::judge(case, &cases.worlds).is_ok_and(|it| it.passes), "{help}");
    }
}
