//! Rules that decide nothing, and exceptions that are for everybody.
//!
//! For each rule calls are made up that its own condition holds for, as the gates say, also such that the rules
//! before it leave alone. Where an earlier rule speaks first for each of them, the rule changes nothing that was
//! tried.

use super::provisioning::{Candidate, Told, candidates, definition_id, denying, world};
use super::wanted::{Wanted, asked, met, stranger, variants};
use super::{Code, Warning, place};
use crate::decide::Judgement;
use crate::policy::{Arguments, Cascade, Effect, PolicyDefinition, Rule, Then};
use model::PrincipalKind;
use model::trace::{Finding, FindingResult, Gate};
use serde_json::json;

/// Most calls that are made up for one rule.
const CALLS_MAX: usize = 1_000;

/// Warnings about rules that an earlier one leaves nothing of, each time it was tried.
pub(super) fn unreached(told: &Told<'_>) -> Vec<Warning> {
    told.definition.rules.iter().filter_map(|it| late(it, told)).collect()
}

/// The effect of a rule that has a turn of its own: not one that is switched off, or changes what is written.
fn effect(rule: &Rule, told: &Told<'_>) -> Option<Effect> {
    let arguments = Arguments { declared: &told.definition.parameters, given: told.given };
    let effect = rule.effect(arguments).ok()?;
    match effect {
        Effect::Deny | Effect::Allow | Effect::Audit | Effect::DenyAction(_) => Some(effect),
        Effect::Disabled | Effect::Append | Effect::Modify => None,
    }
}

/// The definition with other rules.
fn with(rules: Vec<Rule>, told: &Told<'_>) -> PolicyDefinition {
    PolicyDefinition { rules, ..told.definition.clone() }
}

fn late(rule: &Rule, told: &Told<'_>) -> Option<Warning> {
    let effect = effect(rule, told)?;
    let before: Vec<Rule> =
        told.definition.rules.iter().take_while(|it| it.index < rule.index).cloned().collect();
    if before.is_empty() {
        return None;
    }
    let is_deletion = matches!(effect, Effect::DenyAction(_));
    let calls = vec![Wanted { is_deletion, ..Wanted::default() }];
    let escaping = before.iter().fold(calls.clone(), |calls, it| met(&it.condition, calls, false));
    let wanted: Vec<Wanted> = [calls, escaping]
        .into_iter()
        .flat_map(|calls| met(&rule.condition, calls, true))
        .flat_map(|it| variants(&it))
        .collect();
    // As a denial that requires no roles: then the gates say whether its condition holds.
    let denies = match effect {
        Effect::DenyAction(_) => Effect::DenyAction(Cascade::Deny),
        Effect::Deny | Effect::Allow | Effect::Audit => Effect::Deny,
        Effect::Disabled | Effect::Append | Effect::Modify => return None,
    };
    let denial = Rule { then: Then::Is(denies), required: None, changes: None, ..rule.clone() };
    let alone = with(vec![denial.clone()], told);
    let whole = with(before.into_iter().chain([denial]).collect(), told);
    let mut first: Option<(usize, FindingResult)> = None;
    let mut tried = 0;
    for who in candidates(told) {
        let (own, whole) = (world(&alone, told.given, &who), world(&whole, told.given, &who));
        for call in &wanted {
            tried += 1;
            if tried > CALLS_MAX {
                break;
            }
            if asked(call, &who, &own).as_ref().and_then(denying).is_none() {
                continue;
            }
            let judged = asked(call, &who, &whole)?;
            let speaks = word(&judged).and_then(|it| Some((it.rule.as_ref()?.index, it.result)));
            match speaks {
                // As one rule among others it could also be reached behind: then it is another's word.
                Some(it) if it.0 < rule.index => {
                    first = Some(first.map_or(it, |old| if it.0 < old.0 { it } else { old }))
                }
                Some(_) | None => return None,
            }
        }
    }
    let (index, result) = first?;
    let does = if result == FindingResult::Allow { "let through" } else { "denied" };
    let because = match effect {
        Effect::Allow => format!(
            "rule {} lets nothing through: what it is for is {does} by rule {index}, which comes first",
            rule.index
        ),
        Effect::Deny | Effect::DenyAction(_) => format!(
            "rule {} denies nothing of its own: what it is for is {does} by rule {index}, which comes first",
            rule.index
        ),
        Effect::Audit | Effect::Disabled | Effect::Append | Effect::Modify => format!(
            "rule {} puts nothing on record: what it is for is {does} by rule {index}, which comes first",
            rule.index
        ),
    };
    let advice = match (effect, result) {
        (Effect::Deny | Effect::DenyAction(_), FindingResult::Deny) => {
            format!("take rule {} out, or make rule {index} narrower", rule.index)
        }
        _ => format!("move rule {} before rule {index}", rule.index),
    };
    Some(Warning {
        at: place(told.properties, rule.index),
        rule: Some(rule.index),
        code: Code::NeverReached,
        because,
        advice,
    })
}

/// What the assignment of the definition says, where one of its rules speaks.
fn word(judged: &Judgement) -> Option<&Finding> {
    let step = judged.trace.step(Gate::Policy)?;
    step.findings.iter().find(|it| {
        let is_last =
            matches!(it.result, FindingResult::Deny | FindingResult::Error | FindingResult::Allow);
        is_last && it.rule.as_ref().is_some_and(|it| it.definition_id == definition_id())
    })
}

/// Warnings about an `allow` that lets everybody past a denial, whoever it is.
pub(super) fn open_to_all(told: &Told<'_>) -> Vec<Warning> {
    let rules = &told.definition.rules;
    let allows = rules.iter().filter(|it| effect(it, told) == Some(Effect::Allow));
    allows.filter_map(|it| open(it, told)).collect()
}

fn open(rule: &Rule, told: &Told<'_>) -> Option<Warning> {
    let without: Vec<Rule> =
        told.definition.rules.iter().filter(|it| it.index != rule.index).cloned().collect();
    let without = with(without, told);
    let service = Candidate::stranger();
    let (all, rest) =
        (world(told.definition, told.given, &service), world(&without, told.given, &service));
    let kinds: Vec<Option<String>> =
        met(&rule.condition, vec![Wanted::default()], true).into_iter().map(|it| it.kind).collect();
    let unremarkable = kinds.into_iter().map(|kind| Wanted { kind, ..Wanted::default() });
    for kind in unremarkable.flat_map(|it| variants(&it)).filter_map(|it| it.kind) {
        let mut denies = None;
        let is_open = everybody(&kind).all(|call| {
            let passes = asked(&call, &service, &all).is_some_and(|judged| {
                let index = word(&judged).and_then(|it| Some(it.rule.as_ref()?.index));
                denying(&judged).is_none() && index == Some(rule.index)
            });
            denies = asked(&call, &service, &rest)
                .filter(|_| passes)
                .and_then(|it| Some(denying(&it)?.rule.as_ref()?.index));
            denies.is_some()
        });
        if let Some(denies) = denies.filter(|_| is_open) {
            return Some(Warning {
                at: place(told.properties, rule.index),
                rule: Some(rule.index),
                code: Code::OpensForEveryone,
                because: format!(
                    "rule {} lets everybody through: whoever writes `{kind}` gets past rule {denies}, which denies it",
                    rule.index
                ),
                advice: format!(
                    "say in its condition whom it is for, as {}",
                    json!({ "field": "identity.principalId", "in": ["<object id>"] })
                ),
            });
        }
    }
    None
}

/// A call as each kind of principal would make it that nothing is known of.
pub(super) fn everybody(kind: &str) -> impl Iterator<Item = Wanted> {
    let kinds =
        [PrincipalKind::User, PrincipalKind::ServicePrincipal, PrincipalKind::ManagedIdentity];
    kinds.into_iter().flat_map(move |principal_kind| {
        ["https", "mqtt"].into_iter().flat_map(move |protocol| {
            let base = Wanted {
                kind: Some(kind.to_owned()),
                protocol: Some(protocol.into()),
                principal: Some(stranger()),
                principal_kind,
                ..Wanted::default()
            };
            [Wanted { body: json!({}), ..base.clone() }, base]
        })
    })
}
