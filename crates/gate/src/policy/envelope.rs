//! What is told of a policy's word: the finding of a trace, and the denial envelope.

use super::initiative::{Brought, Part};
use super::walk::Word;
use super::{Exemption, PolicyAssignment};
use crate::facts::Facts;
use model::Gate;
use model::error::{Denial, DenialKind};
use model::trace::{
    Condition, Finding, FindingKind, InitiativePlace, LackedRole, Object, RulePlace,
};
use serde_json::{Value, json};

/// An assignment that denies, with what it looked at.
pub(super) struct Denied<'a> {
    pub(super) assignment: &'a PolicyAssignment,
    pub(super) finding: Finding,
    /// Those that took away rules of other members.
    pub(super) exemptions: Vec<&'a Exemption>,
}

pub(super) fn finding(
    assignment: &PolicyAssignment,
    brought: Brought<'_>,
    word: Word<'_>,
) -> Finding {
    let exemption_id = word.exemptions.first().map(|it| it.id.clone());
    let place = place(brought, &word).map(|(id, name, display_name)| RulePlace {
        definition_id: id.to_owned(),
        definition_name: name.to_owned(),
        display_name: display_name.to_owned(),
        index: word.rule.unwrap_or(0),
        effect: word.effect.to_owned(),
        assignment_scope: assignment.scope.as_str().to_owned(),
        exemption_id: exemption_id.filter(|_| word.part.is_none()),
        initiative: initiative(brought, word.part),
        lacks: word.lacks.clone(),
    });
    Finding {
        kind: FindingKind::PolicyRule,
        id: assignment.id.clone(),
        name: assignment.name.clone(),
        result: word.result,
        reason: word.reason,
        rule: place,
        role: None,
        lock: None,
        conditions: word.conditions,
    }
}

/// Id, name and display name of the definition that decided; where none did, of what is assigned.
fn place<'a>(brought: Brought<'a>, word: &Word<'a>) -> Option<(&'a str, &'a str, &'a str)> {
    if let Some(Part { definition, member }) = word.part {
        return match (definition, member) {
            (Some(it), _) => Some((&it.id, &it.name, &it.display_name)),
            (None, Some(it)) => Some((&it.definition_id, "", "")),
            (None, None) => None,
        };
    }
    match brought {
        Brought::Definition(it) => Some((&it.id, &it.name, &it.display_name)),
        Brought::Initiative(it) => Some((&it.id, &it.name, &it.display_name)),
        Brought::Nothing => None,
    }
}

fn initiative(brought: Brought<'_>, part: Option<Part<'_>>) -> Option<InitiativePlace> {
    let (it, member) = (brought.initiative()?, part?.member?);
    Some(InitiativePlace {
        id: it.id.clone(),
        name: it.name.clone(),
        display_name: it.display_name.clone(),
        version: it.version.clone(),
        reference_id: member.reference_id.clone(),
    })
}

fn denial_of(
    names: Vec<String>,
    object: &Object,
    message: String,
    violations: Vec<Value>,
    lacks: Vec<LackedRole>,
) -> Denial {
    Denial {
        gate: Gate::Policy,
        kind: DenialKind::Policy {
            assignments: names,
            object: object.kind.clone(),
            verb: object.verb,
            lacks,
        },
        message,
        violations,
        target: object.name.clone(),
    }
}

/// A denial whose words nobody will read: the caller decides again with the trace.
pub(super) fn bare_denial(
    assignment: &PolicyAssignment,
    object: &Object,
    lacks: Vec<LackedRole>,
) -> Denial {
    denial_of(vec![assignment.name.clone()], object, String::new(), Vec::new(), lacks)
}

/// The denial envelope: every assignment that denies the object, each with what it evaluated.
pub(super) fn full_denial(denied: &[Denied<'_>], object: &Object, facts: &Facts) -> Denial {
    let identifiers = Value::Array(denied.iter().map(identifiers).collect()).to_string();
    let reasons: Vec<&str> = denied.iter().filter_map(message).collect();
    let lacks = lacked(denied);
    let standard = format!(
        "Resource '{}' was disallowed by policy. Policy identifiers: '{identifiers}'.{}",
        object.name,
        Denial::lacking(&lacks)
    );
    let message = match reasons.is_empty() {
        true => standard,
        false => format!("Reasons: '{}'. {standard}", reasons.join("; ")),
    };
    let names = denied.iter().map(|it| it.assignment.name.clone()).collect();
    let violations = denied.iter().map(|it| violation(it, facts)).collect();
    denial_of(names, object, message, violations, lacks)
}

/// The roles that are required and lacking, each once.
fn lacked(denied: &[Denied<'_>]) -> Vec<LackedRole> {
    let mut found: Vec<LackedRole> = Vec::new();
    for it in denied.iter().filter_map(|it| it.finding.rule.as_ref()).flat_map(|it| &it.lacks) {
        if !found.contains(it) {
            found.push(it.clone());
        }
    }
    found
}

fn message<'a>(denied: &Denied<'a>) -> Option<&'a str> {
    let rule = denied.finding.rule.as_ref();
    let member = rule.and_then(|it| it.initiative.as_ref()).map(|it| it.reference_id.as_str());
    denied.assignment.message(member)
}

/// Id and name of the definition that denies.
fn definition<'a>(denied: &'a Denied<'_>) -> (&'a str, &'a str) {
    match &denied.finding.rule {
        Some(it) => (&it.definition_id, &it.definition_name),
        None => (&denied.assignment.definition_id, ""),
    }
}

fn identifiers(denied: &Denied<'_>) -> Value {
    let assignment = denied.assignment;
    let (id, name) = definition(denied);
    let mut shown = json!({
        "policyAssignment": { "name": assignment.name, "id": assignment.id },
        "policyDefinition": { "name": name, "id": id },
    });
    if let Some(it) = denied.finding.rule.as_ref().and_then(|it| it.initiative.as_ref()) {
        let initiative = json!({ "name": it.name, "id": it.id });
        model::json::set(&mut shown, "policySetDefinition", initiative);
    }
    shown
}

fn violation(denied: &Denied<'_>, facts: &Facts) -> Value {
    let Denied { assignment, finding, exemptions } = denied;
    let expressions = evaluated(&finding.conditions);
    let rule = finding.rule.as_ref();
    let (id, name) = definition(denied);
    let known = facts.policy_definitions.get(&id.to_ascii_lowercase());
    let exemptions: Vec<&str> = exemptions.iter().map(|it| it.id.as_str()).collect();
    let mut shown = json!({
        "evaluationDetails": {
            "evaluatedExpressions": expressions,
            "reason": message(denied).unwrap_or_default(),
        },
        "policyDefinitionId": id,
        "policyDefinitionName": name,
        "policyDefinitionDisplayName": rule.map_or("", |it| it.display_name.as_str()),
        "policyDefinitionVersion": known.map_or("", |it| it.version.as_str()),
        "policyDefinitionEffect": rule.map_or("deny", |it| it.effect.as_str()),
        "policyAssignmentId": assignment.id,
        "policyAssignmentName": assignment.name,
        "policyAssignmentDisplayName": assignment.display_name,
        "policyAssignmentScope": assignment.scope.as_str(),
        "policyAssignmentParameters": assignment.parameters.shown(),
        "policyExemptionIds": exemptions,
        "ruleIndex": rule.map_or(0, |it| it.index),
    });
    if let Some(it) = rule.filter(|it| !it.lacks.is_empty()) {
        model::json::set(&mut shown, "missingRoles", json!(it.lacks));
    }
    if let Some(it) = rule.and_then(|it| it.initiative.as_ref()) {
        for (name, value) in [
            ("policySetDefinitionId", &it.id),
            ("policySetDefinitionName", &it.name),
            ("policySetDefinitionDisplayName", &it.display_name),
            ("policySetDefinitionVersion", &it.version),
            ("policyDefinitionReferenceId", &it.reference_id),
        ] {
            model::json::set(&mut shown, name, json!(value));
        }
    }
    shown
}

/// Conditions as Azure Policy tells them.
pub fn evaluated(conditions: &[Condition]) -> Vec<Value> {
    conditions
        .iter()
        .map(|it| {
            let mut shown = json!({
                "result": if it.result { "True" } else { "False" },
                "expressionKind": capital(&it.left),
                "expression": it.expression,
                "path": it.expression,
                "targetValue": it.expected,
                "operator": capital(&it.operator),
            });
            if let Some(actual) = &it.actual {
                model::json::set(&mut shown, "expressionValue", actual.clone());
            }
            if let Some(error) = &it.error {
                model::json::set(&mut shown, "error", error.as_str());
            }
            shown
        })
        .collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}
