use super::super::lacking;
use super::super::{Effect, Then};
use super::*;
use serde_json::json;

fn parsed(rule: Value) -> Result<Vec<Rule>, NotAPolicy> {
    parse_rules(&json!({ "policyRule": rule }))
}

/// A rule with this condition, refused: where?
#[track_caller]
fn refused(condition: Value, place: &str) {
    let fault = parsed(json!({ "if": condition, "then": { "effect": "deny" } })).unwrap_err();
    assert_eq!(fault.at, format!("policyRule.if{place}"), "{fault}");
}

#[track_caller]
fn taken(condition: Value) {
    parsed(json!({ "if": condition, "then": { "effect": "deny" } })).unwrap();
}

/// S0-14: the document of the source, as it stands there.
#[test]
fn the_document_of_the_source_is_taken() {
    let rules = parse_rules(&json!({
        "policyRule": {
            "if": { "allOf": [
                { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
                { "field": "identity.principalId", "equals": "<DPS-managed-identity-id>" }
            ] },
            "then": { "effect": "allow" }
        }
    }))
    .unwrap();
    assert_eq!(rules.len(), 1);
    assert!(matches!(rules[0].then, Then::Is(Effect::Allow)));
}

#[test]
fn required_roles_are_a_short_list_of_names_beside_what_denies_or_audits() {
    let rule = |roles: Value, effect: &str| {
        json!({ "if": { "field": "type", "equals": "x" }, "requiredRoles": roles,
            "then": { "effect": effect } })
    };
    let check = |roles: Value, effect: &str, place: &str| {
        let fault = parsed(rule(roles, effect)).unwrap_err();
        assert_eq!(fault.at, format!("policyRule.requiredRoles{place}"), "{fault}");
    };
    for effect in ["deny", "audit", "disabled"] {
        parsed(rule(json!(["Owner", "Reader"]), effect)).unwrap();
    }
    parsed(rule(json!(vec!["Owner"; 20]), "deny")).unwrap();
    check(json!(vec!["Owner"; 21]), "deny", "");
    check(json!([]), "deny", "");
    check(json!("Owner"), "deny", "");
    check(json!({ "name": "Owner" }), "deny", "");
    check(json!(["Owner", 7]), "deny", "[1]");
    check(json!(["Owner", " "]), "deny", "[1]");
    check(json!(["[field('name')]"]), "deny", "");
    check(json!(["[parameters('p')]"]), "deny", "");
    // Whoever lacks a role would be let through by it.
    check(json!(["Owner"]), "allow", "");
    let mut misspelt = rule(json!(["Owner"]), "deny");
    misspelt["requiredRole"] = misspelt["requiredRoles"].take();
    assert_eq!(parsed(misspelt).unwrap_err().at, "policyRule.requiredRole");
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_its_place() {
    let check = |rule: Value, at: &str| assert_eq!(parsed(rule).unwrap_err().at, at);
    let ok = json!({ "field": "type", "equals": "x" });
    check(json!({ "if": ok, "then": { "effect": "permit" } }), "policyRule.then.effect");
    check(json!({ "if": ok, "then": { "effect": "denny" } }), "policyRule.then.effect");
    check(json!({ "if": ok, "then": { "effect": "[parameters('e')]" } }), "policyRule.then.effect");
    check(json!({ "if": ok, "then": { "effect": "[field('name')]" } }), "policyRule.then.effect");
    check(
        json!({ "if": ok, "then": { "effect": "deny", "details": {} } }),
        "policyRule.then.details",
    );
    check(json!({ "if": ok }), "policyRule");
    check(json!({ "then": { "effect": "deny" } }), "policyRule");
    check(json!([{ "if": ok, "then": { "effect": "deny" } }, { "if": ok }]), "policyRule[1]");
    refused(json!({ "allOf": [ok, { "field": "type" }] }), ".allOf[1]");
    refused(json!({ "field": "type", "is": "x" }), ".is");
    refused(json!({ "field": "colour", "equals": "x" }), ".field");
    refused(json!({ "field": ["type"], "equals": "x" }), ".field");
    refused(json!({ "field": "type", "like": "a*b*" }), ".like");
    refused(json!({ "field": "type", "in": "x" }), ".in");
    refused(json!({ "field": "type", "less": true }), ".less");
    refused(json!({ "field": "type", "equals": ["x"] }), ".equals");
    refused(json!({ "field": "type", "equals": ["[field('name')]"] }), ".equals");
    refused(json!({ "field": "type", "equals": "x", "like": "x" }), ".like");
    refused(json!({ "field": "type", "value": "x", "equals": "x" }), ".value");
    refused(json!({ "allOf": [], "field": "type" }), "");
    refused(json!({ "equals": "x" }), "");
    refused(json!({ "value": "[nothing()]", "equals": "x" }), ".value");
    refused(json!({ "value": "[parameters('p')]", "equals": "x" }), ".value");
    refused(json!({ "value": "[true(", "equals": "x" }), ".value");
    refused(
        json!({ "field": "Microsoft.Devices/IotHubs/authorizationPolicies.primaryKey", "exists": true }),
        ".field",
    );
    refused(
        json!({ "value": "[field('Microsoft.Devices/IotHubs/devices/symmetricKey.primaryKey')]", "equals": "" }),
        ".value",
    );
}

#[test]
fn a_count_is_refused_where_it_makes_no_sense() {
    let with = |count: Value| json!({ "count": count, "equals": 0 });
    taken(with(json!({ "field": "A.B/c/list[*]" })));
    taken(with(
        json!({ "value": ["a"], "name": "n", "where": { "value": "[current('n')]", "equals": "a" } }),
    ));
    refused(with(json!({ "field": "A.B/c/list" })), ".count.field");
    refused(with(json!({ "field": "A.B/c/list[*].p" })), ".count.field");
    refused(with(json!({ "field": "name" })), ".count.field");
    refused(with(json!({ "field": "A.B/c/list[*]", "name": "n" })), ".count.name");
    refused(with(json!({ "field": "A.B/c/list[*]", "value": [] })), ".count");
    refused(with(json!({})), ".count");
    refused(with(json!("A.B/c/list[*]")), ".count");
    refused(with(json!({ "value": "a" })), ".count.value");
    refused(with(json!({ "value": [], "names": "n" })), ".count.names");
    refused(with(json!({ "value": [], "name": 1 })), ".count.name");
    refused(
        with(json!({ "value": [], "where": { "field": "x", "equals": 1 } })),
        ".count.where.field",
    );
    let twice = json!({ "value": ["a"], "name": "N", "where": with(json!({ "value": ["a"], "name": "n" })) });
    refused(with(twice), ".count.where.count.name");
}

#[test]
fn current_speaks_of_a_count_around_it_and_of_no_other() {
    let inner = |text: &str| json!({ "value": text, "equals": "a" });
    let values = |test: Value| json!({ "count": { "value": ["a"], "where": test }, "equals": 0 });
    let list =
        |test: Value| json!({ "count": { "field": "A.B/c/l[*]", "where": test }, "equals": 0 });
    taken(values(inner("[current()]")));
    taken(values(inner("[current('default')]")));
    taken(list(inner("[current('A.B/c/l[*].p')]")));
    taken(list(values(inner("[concat(current('a.b/C/L[*]'), current('DEFAULT'))]"))));
    refused(inner("[current()]"), ".value");
    refused(values(inner("[current('other')]")), ".count.where.value");
    refused(list(inner("[current('A.B/c/other[*]')]")), ".count.where.value");
    refused(list(values(inner("[current()]"))), ".count.where.count.where.value");
    // The list that is counted is not inside its own count.
    refused(json!({ "count": { "value": ["[current()]"] }, "equals": 0 }), ".count.value");
}

#[test]
fn a_parameter_is_declared_and_of_a_type_that_fits() {
    let check = |kind: &str, condition: Value, place: Option<&str>| {
        let found = parse(&json!({
            "parameters": { "p": { "type": kind } },
            "policyRule": { "if": condition, "then": { "effect": "deny" } },
        }));
        assert_eq!(found.err().map(|it| it.at).as_deref(), place, "{kind} {condition}");
    };
    let with = |operator: &str| json!({ "field": "name", operator: "[parameters('P')]" });
    check("String", with("equals"), None);
    check("Integer", with("greater"), None);
    check("Array", with("in"), None);
    check("Array", with("equals"), Some("policyRule.if.equals"));
    check("Array", with("like"), Some("policyRule.if.like"));
    check("Object", with("notEquals"), Some("policyRule.if.notEquals"));
    check("String", with("notIn"), Some("policyRule.if.notIn"));
    let count = json!({ "count": { "value": "[parameters('p')]" }, "equals": 1 });
    check("Array", count.clone(), None);
    check("String", count, Some("policyRule.if.count.value"));
    check("String", json!({ "field": "name", "in": ["[parameters('p')]", "x"] }), None);
    check(
        "String",
        json!({ "field": "name", "equals": "[parameters('q')]" }),
        Some("policyRule.if.equals"),
    );
}

#[test]
fn parameters_that_no_rule_asks_for_are_named() {
    let found = parse(&json!({
        "parameters": { "Used": { "type": "String" }, "Effect": { "type": "String" }, "Spare": { "type": "String" } },
        "policyRule": {
            "if": { "field": "[concat('tags[', parameters('used'), ']')]", "exists": true },
            "then": { "effect": "[parameters('effect')]" } },
    }))
    .unwrap();
    assert_eq!(found.unused, ["Spare"]);
}

#[test]
fn an_effect_is_checked_with_the_values_that_give_it() {
    let definition = |default: Value| {
        let properties = json!({
            "parameters": { "e": { "type": "String", "defaultValue": default } },
            "policyRule": { "if": { "field": "name", "exists": true }, "then": { "effect": "[parameters('e')]" } },
        });
        parse(&properties).unwrap()
    };
    assert!(definition(json!("DENY")).check_defaults().is_ok());
    let fault = definition(json!("Manual")).check_defaults().unwrap_err();
    assert_eq!(fault.lacks, Some("policy effect manual"));
    let fault = definition(json!("denny")).check_defaults().unwrap_err();
    assert_eq!((fault.lacks, fault.at.as_str()), (None, "policyRule.then.effect"));
    // Without a default there is nothing to check before an assignment gives a value.
    assert!(definition(Value::Null).check_defaults().is_ok());
}

#[test]
fn what_azure_has_beyond_this_is_told_from_what_nobody_has() {
    let check = |condition: Value, effect: &str, lacks: Option<&str>| {
        let fault = parsed(json!({ "if": condition, "then": { "effect": effect } })).unwrap_err();
        assert_eq!(fault.lacks, lacks, "{fault}");
    };
    let ok = json!({ "field": "type", "equals": "x" });
    let value = |text: &str| json!({ "value": text, "equals": "x" });
    check(ok.clone(), "Manual", Some("policy effect manual"));
    check(ok, "denny", None);
    check(json!({ "field": "type", "fewer": 1 }), "deny", None);
    check(value("[guid('a')]"), "deny", Some("policy function guid"));
    check(value("[UniqueString('a')]"), "deny", Some("policy function uniqueString"));
    check(value("[requestContext().apiVersion]"), "deny", Some(lacking::API_VERSION));
    check(value("[format('{0:N2}', 1)]"), "deny", Some(lacking::LAYOUT));
    check(value("[gid('a')]"), "deny", None);
    for name in lacking::NEVER {
        check(value(&format!("[{name}('a')]")), "deny", None);
    }
}

#[test]
fn one_past_each_limit_is_refused() {
    let ok = json!({ "field": "type", "equals": "x" });
    let nested = |depth: usize| {
        let mut inner = ok.clone();
        for _ in 1..depth {
            inner = json!({ "not": inner });
        }
        json!({ "if": inner, "then": { "effect": "deny" } })
    };
    assert!(parsed(nested(DEPTH_MAX)).is_ok());
    assert!(parsed(nested(DEPTH_MAX + 1)).is_err());
    let wide = |count: usize| json!({ "if": { "allOf": vec![ok.clone(); count - 1] }, "then": { "effect": "deny" } });
    assert!(parsed(wide(CONDITIONS_MAX)).is_ok());
    assert!(parsed(wide(CONDITIONS_MAX + 1)).is_err());
    let rule = json!({ "if": ok, "then": { "effect": "audit" } });
    assert!(parsed(Value::Array(vec![rule.clone(); RULES_MAX])).is_ok());
    assert!(parsed(Value::Array(vec![rule; RULES_MAX + 1])).is_err());
    assert!(parsed(json!([])).is_err());
    let rule = |condition: Value| parsed(json!({ "if": condition, "then": { "effect": "deny" } }));
    let text = |length: usize| rule(json!({ "field": "type", "equals": "x".repeat(length) }));
    assert!(text(PATTERN_BYTES_MAX).is_ok() && text(PATTERN_BYTES_MAX + 1).is_err());
}

#[test]
fn one_count_past_each_limit_is_refused() {
    let rule = |condition: Value| parsed(json!({ "if": condition, "then": { "effect": "deny" } }));
    let several = |count: Value, times: usize| {
        rule(json!({ "anyOf": vec![json!({ "count": count, "equals": 0 }); times] }))
    };
    let list = json!({ "field": "A.B/c/l[*]" });
    assert!(several(list.clone(), FIELD_COUNTS_MAX).is_ok());
    assert!(several(list, FIELD_COUNTS_MAX + 1).is_err());
    let values = json!({ "value": ["x"] });
    assert!(several(values.clone(), VALUE_COUNTS_MAX).is_ok());
    assert!(several(values, VALUE_COUNTS_MAX + 1).is_err());
    let long = |length: usize| several(json!({ "value": vec!["x"; length] }), 1);
    assert!(long(super::super::ITERATIONS_MAX).is_ok());
    assert!(long(super::super::ITERATIONS_MAX + 1).is_err());
    // The functions of a rule are counted together.
    let calls = |count: usize| {
        rule(json!({ "anyOf": vec![json!({ "value": "[true()]", "equals": true }); count] }))
    };
    assert!(calls(super::super::FUNCTIONS_MAX).is_ok());
    assert!(calls(super::super::FUNCTIONS_MAX + 1).is_err());
}
