//! What is taken for an initiative, and how its members are called.

use super::*;
use serde_json::json;

const IDS: &str = "/subscriptions/s1/providers/Microsoft.Authorization/policyDefinitions";

fn one(name: &str) -> Value {
    json!({ "policyDefinitionId": format!("{IDS}/{name}") })
}

fn named(name: &str, reference: &str) -> Value {
    json!({ "policyDefinitionId": format!("{IDS}/{name}"), "policyDefinitionReferenceId": reference })
}

fn parse(members: Value) -> Result<Vec<Member>, NotAPolicy> {
    parse_members(&json!({ "policyDefinitions": members }), &Declared::default())
}

#[test]
fn a_member_without_a_name_is_called_after_its_definition() {
    let check = |members: Value, expected: &[&str]| {
        let found = parse(members).unwrap();
        let names: Vec<&str> = found.iter().map(|it| it.reference_id.as_str()).collect();
        assert_eq!(names, expected);
    };
    check(json!([one("a"), one("b")]), &["a", "b"]);
    check(json!([one("a"), one("A"), one("a")]), &["a", "A_2", "a_3"]);
    // A name that somebody chose is never given to another member, wherever it stands.
    check(json!([one("a"), named("b", "A")]), &["a_2", "A"]);
}

#[test]
fn what_is_no_initiative_is_refused_with_its_place() {
    let check = |properties: Value, at: &str| {
        assert_eq!(
            parse_members(&properties, &Declared::default()).unwrap_err().at,
            at,
            "{properties}"
        );
    };
    check(json!({}), "policyDefinitions");
    check(json!({ "policyDefinitions": [] }), "policyDefinitions");
    check(json!({ "policyDefinitions": {} }), "policyDefinitions");
    check(json!({ "policyDefinitions": ["a"] }), "policyDefinitions[0]");
    check(
        json!({ "policyDefinitions": [one("a"), {}] }),
        "policyDefinitions[1].policyDefinitionId",
    );
    check(
        json!({ "policyDefinitions": [named("a", "x"), named("b", "X")] }),
        "policyDefinitions[1].policyDefinitionReferenceId",
    );
    let mut strange = one("a");
    strange["effect"] = json!("deny");
    check(json!({ "policyDefinitions": [strange] }), "policyDefinitions[0].effect");
    let mut grouped = one("a");
    grouped["groupNames"] = json!(["g10"]);
    check(
        json!({ "policyDefinitions": [grouped], "policyDefinitionGroups": [{ "name": "g1" }] }),
        "policyDefinitions[0].groupNames",
    );
    let twice = json!([{ "name": "g" }, { "name": "G" }]);
    check(
        json!({ "policyDefinitions": [one("a")], "policyDefinitionGroups": twice }),
        "policyDefinitionGroups[1].name",
    );
}

#[test]
fn one_member_past_the_limit_is_refused() {
    assert!(parse(Value::Array(vec![one("a"); MEMBERS_MAX])).is_ok());
    assert!(parse(Value::Array(vec![one("a"); MEMBERS_MAX + 1])).is_err());
}

#[test]
fn a_version_is_asked_for_whole_or_with_stars() {
    let check = |asked: &str, expected: bool| {
        assert_eq!(version_fits(asked, "1.2.3"), expected, "{asked}");
    };
    check("1.2.3", true);
    check("1.*.*", true);
    check("1.2.*", true);
    check("2.*.*", false);
    check("1.2.30", false);
    check("1.2", false);
    check("1.2.3.*", false);
}
