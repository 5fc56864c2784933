//! States counted: by resource, by assignment and by definition, the gravest of several for all of them.

use super::states::Row;
use gate::policy::{Compliance, percentage};
use model::json::text;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The summary of all states, with at most `top` assignments told one by one, in the order of their ids.
pub(super) fn of(rows: &[Row], top: usize) -> Value {
    let all: Vec<&Row> = rows.iter().collect();
    let by_assignment = groups(&all, |it| vec![of_row(it, "policyAssignmentId")]);
    let assignments: Vec<Value> =
        by_assignment.values().take(top).map(|rows| assignment(rows)).collect();
    let id = |row: &Row| vec![of_row(row, "policyAssignmentId")];
    json!({ "@odata.id": null, "results": results(&all, id), "policyAssignments": assignments })
}

fn assignment(rows: &[&Row]) -> Value {
    let definitions = groups(rows, definition_of);
    let told: Vec<Value> = definitions
        .values()
        .map(|rows| {
            let first = |name: &str| rows.first().and_then(|it| text(&it.shown, &[name]));
            json!({
                "policyDefinitionId": first("policyDefinitionId"),
                "policyDefinitionReferenceId": first("policyDefinitionReferenceId"),
                "effect": first("policyDefinitionAction"),
                "results": results(rows, definition_of),
            })
        })
        .collect();
    let first = |name: &str| rows.first().and_then(|it| text(&it.shown, &[name])).unwrap_or("");
    json!({
        "policyAssignmentId": first("policyAssignmentId"),
        "policySetDefinitionId": first("policySetDefinitionId"),
        "results": results(rows, definition_of),
        "policyDefinitions": told,
    })
}

/// The counts of one level, where `policy` tells what counts as one policy on it.
fn results(rows: &[&Row], policy: impl Fn(&Row) -> Vec<String>) -> Value {
    let resources = rolled_up(rows, |it| vec![of_row(it, "resourceId")]);
    let breached =
        |all: &[Compliance]| all.iter().filter(|it| **it == Compliance::NonCompliant).count();
    let policies = rolled_up(rows, |it| {
        let mut key = definition_of(it);
        key.push(of_row(it, "policyAssignmentId"));
        key
    });
    json!({
        "nonCompliantResources": breached(&resources),
        "nonCompliantPolicies": breached(&policies),
        "resourceDetails": details(&resources),
        "policyDetails": details(&rolled_up(rows, policy)),
        "policyGroupDetails": [],
        "compliancePercentage": (percentage(&resources) * 10.0).round() / 10.0,
    })
}

fn definition_of(row: &Row) -> Vec<String> {
    vec![of_row(row, "policyDefinitionId"), of_row(row, "policyDefinitionReferenceId")]
}

/// A member that is an id: it compares without regard to case.
fn of_row(row: &Row, name: &str) -> String {
    text(&row.shown, &[name]).unwrap_or("").to_ascii_lowercase()
}

fn groups<'r>(
    rows: &[&'r Row],
    key: impl Fn(&Row) -> Vec<String>,
) -> BTreeMap<Vec<String>, Vec<&'r Row>> {
    let mut found: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        found.entry(key(row)).or_default().push(row);
    }
    found
}

/// One state for each group.
fn rolled_up(rows: &[&Row], key: impl Fn(&Row) -> Vec<String>) -> Vec<Compliance> {
    let all = groups(rows, key).into_values();
    all.filter_map(|rows| rows.iter().map(|it| it.compliance).min()).collect()
}

fn details(all: &[Compliance]) -> Vec<Value> {
    Compliance::ALL
        .into_iter()
        .map(|state| (state, all.iter().filter(|it| **it == state).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| {
            json!({ "complianceState": state.as_str().to_ascii_lowercase(), "count": count })
        })
        .collect()
}
