//! From assignments to a verdict: which apply, which rule of each speaks first, and whose word counts.

use super::{
    Arguments, Effect, EvaluationError, Exemption, Names, PolicyAssignment, PolicyDefinition, Rule,
    Subject, holds,
};
use crate::decide::{Ask, Findings, Ruling};
use crate::facts::{Facts, Lookups};
use model::error::{Denial, DenialKind};
use model::trace::{Condition, Finding, FindingKind, FindingResult, Object, RulePlace};
use model::{ActionName, Gate, Scope};
use serde_json::{Value, json};
use std::sync::Arc;

/// What one assignment says to one object.
struct Word {
    result: FindingResult,
    reason: String,
    rule: Option<usize>,
    effect: &'static str,
    exemption: Option<String>,
    conditions: Vec<Condition>,
}

/// Judges every object of the call by every assignment that applies. One denied object denies the call.
/// Also tells whether an audit or an unenforced deny wants the call on record.
pub(crate) fn rule(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> (Ruling, bool) {
    if !ask.operation.is_judged_by_policy() || ask.objects.is_empty() {
        let reason = findings.told(|| "policies judge writes, and this is none".into());
        return (Ruling { denial: None, reason }, false);
    }
    Lookups::count(&facts.lookups.policy);
    match findings.are_wanted() {
        true => rule_in_full(ask, facts, findings),
        false => rule_quickly(ask, facts),
    }
}

/// The verdict alone. Any deny denies, so the order of the assignments does not matter.
fn rule_quickly(ask: &Ask<'_>, facts: &Facts) -> (Ruling, bool) {
    let mut is_noted = false;
    for object in ask.objects {
        for assignment in
            facts.policy_assignments.values().filter(|it| it.scope.contains(ask.scope))
        {
            let definition = facts.policy_definitions.get(&assignment.definition_key);
            let word = word_of(assignment, definition.map(|it| &**it), object, ask, facts, false);
            is_noted |= matches!(word.result, FindingResult::Audit | FindingResult::WouldDeny);
            if matches!(word.result, FindingResult::Deny | FindingResult::Error) {
                let denial = Some(bare_denial(assignment, object));
                return (Ruling { denial, reason: String::new() }, is_noted);
            }
        }
    }
    (Ruling { denial: None, reason: String::new() }, is_noted)
}

/// The verdict with everything that was looked at: broad assignments before narrow, then by name.
fn rule_in_full(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> (Ruling, bool) {
    let assignments = applicable(ask, facts);
    if assignments.is_empty() {
        return (Ruling { denial: None, reason: "no policy is assigned here".into() }, false);
    }
    let mut denied: Vec<(Arc<PolicyAssignment>, Finding)> = Vec::new();
    let mut refused: Option<&Object> = None;
    let mut is_noted = false;
    for object in ask.objects {
        for assignment in &assignments {
            let definition = facts.policy_definitions.get(&assignment.definition_key);
            let word = word_of(assignment, definition.map(|it| &**it), object, ask, facts, true);
            is_noted |= matches!(word.result, FindingResult::Audit | FindingResult::WouldDeny);
            let denies = matches!(word.result, FindingResult::Deny | FindingResult::Error);
            let found = finding(assignment, definition.map(|it| &**it), word);
            if denies && refused.is_none_or(|it| it.id == object.id) {
                refused = Some(object);
                denied.push((Arc::clone(assignment), found.clone()));
            }
            findings.add(|| found);
        }
    }
    match refused {
        None => {
            let reason = format!("{} assigned, none denies", plural(assignments.len()));
            (Ruling { denial: None, reason }, is_noted)
        }
        Some(object) => {
            let denial = full_denial(&denied, object, facts);
            let names: Vec<&str> = denied.iter().map(|(it, _)| it.name.as_str()).collect();
            let reason = format!("denied by policy `{}`", names.join("`, `"));
            (Ruling { denial: Some(denial), reason }, is_noted)
        }
    }
}

fn plural(count: usize) -> String {
    match count {
        1 => "1 policy".into(),
        _ => format!("{count} policies"),
    }
}

/// The assignments whose scope contains the call's, broad before narrow, then by name.
fn applicable(ask: &Ask<'_>, facts: &Facts) -> Vec<Arc<PolicyAssignment>> {
    let mut found: Vec<Arc<PolicyAssignment>> = facts
        .policy_assignments
        .values()
        .filter(|it| it.scope.contains(ask.scope))
        .cloned()
        .collect();
    found.sort_by_cached_key(|it| (it.scope.segments().count(), it.name.to_ascii_lowercase()));
    found
}

/// Walks the rules of one assignment: the first that matches with `allow` or `deny` is its word.
fn word_of(
    assignment: &PolicyAssignment,
    definition: Option<&PolicyDefinition>,
    object: &Object,
    ask: &Ask<'_>,
    facts: &Facts,
    records: bool,
) -> Word {
    let quiet = |result, reason: &str| Word {
        result,
        reason: if records { reason.to_owned() } else { String::new() },
        rule: None,
        effect: "",
        exemption: None,
        conditions: Vec::new(),
    };
    // Nearly every assignment leaves nothing out and nobody is exempt from it: no place to read then.
    if !assignment.not_scopes.is_empty() || !facts.policy_exemptions.is_empty() {
        let place = Scope::parse(&object.id).unwrap_or_else(|_| ask.scope.clone());
        if let Some(excluded) =
            assignment.not_scopes.iter().find(|it| covers(it, &place, ask.scope))
        {
            return quiet(FindingResult::Excluded, &format!("`notScopes` leaves out `{excluded}`"));
        }
        if let Some(exemption) = exemption_for(assignment, &place, ask, facts) {
            let mut word = quiet(FindingResult::Exempt, &exempt_reason(exemption));
            word.exemption = Some(exemption.id.clone());
            return word;
        }
    }
    let Some(definition) = definition else {
        // INVARIANT: an error inside a decision denies.
        return quiet(
            FindingResult::Error,
            "the definition behind the assignment does not exist any more, which denies",
        );
    };
    outcome(definition, assignment, object, ask, facts, records).unwrap_or_else(|conditions| Word {
        conditions,
        ..quiet(FindingResult::NoMatch, "no rule matches")
    })
}

fn exempt_reason(exemption: &Exemption) -> String {
    let whom = match exemption.principal_ids.is_empty() {
        true => "every caller",
        false => "this caller",
    };
    match exemption.expires {
        Some(end) => format!("the exemption `{}` exempts {whom} until {end}", exemption.name),
        None => format!("the exemption `{}` exempts {whom}", exemption.name),
    }
}

/// The rules in their order. `Err` carries the conditions of the rules that did not match.
fn outcome(
    definition: &PolicyDefinition,
    assignment: &PolicyAssignment,
    object: &Object,
    ask: &Ask<'_>,
    facts: &Facts,
    records: bool,
) -> Result<Word, Vec<Condition>> {
    let arguments = Arguments { declared: &definition.parameters, given: &assignment.parameters };
    let policy =
        Names { assignment_id: &assignment.id, definition_id: &definition.id, ..Names::default() };
    let mut seen = Vec::new();
    let mut audited: Option<Word> = None;
    for rule in &definition.rules {
        let effect = match rule.effect(arguments) {
            Ok(Effect::Disabled) => continue,
            Ok(it) => it,
            Err(error) => return Ok(failed(rule, "", &error, assignment, Vec::new(), records)),
        };
        let mut conditions = records.then(Vec::new);
        let matched = try_rule(rule, (arguments, policy), object, ask, facts, &mut conditions);
        let conditions = conditions.unwrap_or_default();
        match matched {
            Ok(true) => {}
            Ok(false) => {
                seen.extend(conditions);
                continue;
            }
            Err(error) => {
                let word = failed(rule, effect.as_str(), &error, assignment, conditions, records);
                return Ok(word);
            }
        }
        let result = match (effect, assignment.is_enforced) {
            (Effect::Deny, true) => FindingResult::Deny,
            (Effect::Deny, false) => FindingResult::WouldDeny,
            (Effect::Allow, _) => FindingResult::Allow,
            (Effect::Audit, _) => FindingResult::Audit,
            (Effect::Disabled, _) => continue,
        };
        let word = Word {
            result,
            reason: if !records {
                String::new()
            } else if result == FindingResult::WouldDeny {
                format!("rule {} would deny, but the assignment is not enforced", rule.index)
            } else {
                format!("rule {} matches: {}", rule.index, effect.as_str())
            },
            rule: Some(rule.index),
            effect: effect.as_str(),
            exemption: None,
            conditions,
        };
        if result == FindingResult::Audit {
            audited = Some(word);
            continue;
        }
        return Ok(word);
    }
    audited.ok_or(seen)
}

/// The word of a rule that has no answer.
fn failed(
    rule: &Rule,
    effect: &'static str,
    error: &EvaluationError,
    assignment: &PolicyAssignment,
    conditions: Vec<Condition>,
    records: bool,
) -> Word {
    // INVARIANT: an error inside a decision denies, whatever the rule's effect.
    let (result, what) = match assignment.is_enforced {
        true => (FindingResult::Error, "which denies"),
        false => (FindingResult::WouldDeny, "which would deny, but the assignment is not enforced"),
    };
    let reason = match records {
        true => format!("rule {} cannot be evaluated at {error}, {what}", rule.index),
        false => String::new(),
    };
    Word { result, reason, rule: Some(rule.index), effect, exemption: None, conditions }
}

fn try_rule(
    rule: &Rule,
    (arguments, policy): (Arguments<'_>, Names<'_>),
    object: &Object,
    ask: &Ask<'_>,
    facts: &Facts,
    record: &mut Option<Vec<Condition>>,
) -> Result<bool, EvaluationError> {
    // Of several writes the one of this object's type.
    let writes = || ask.operation.actions.iter().filter(|it| it.is_write());
    let is_own = |it: &&ActionName| {
        it.as_str()
            .rsplit_once('/')
            .is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(&object.kind))
    };
    let action = writes().find(is_own).or_else(|| writes().next()).map_or("", |it| it.as_str());
    let request = &ask.head.channel.request;
    let subject = Subject {
        object,
        caller: ask.caller,
        action,
        endpoint: request.split_once(' ').map_or(request.as_str(), |(_, path)| path),
        protocol: &ask.head.channel.protocol,
        scope: ask.scope,
        now: ask.head.time,
        facts,
        arguments,
        policy,
    };
    holds(&rule.condition, &subject, record)
}

/// The exemption that takes the assignment away here, now and for this caller. One that names the caller
/// goes before one that exempts everybody: it is the narrower truth.
fn exemption_for<'a>(
    assignment: &PolicyAssignment,
    place: &Scope,
    ask: &Ask<'_>,
    facts: &'a Facts,
) -> Option<&'a Exemption> {
    let caller = ask.caller.object_id;
    facts
        .policy_exemptions
        .values()
        .map(|it| &**it)
        .filter(|it| it.assignment_id.eq_ignore_ascii_case(&assignment.id))
        .filter(|it| covers(&it.scope, place, ask.scope))
        .filter(|it| it.expires.is_none_or(|end| ask.head.time < end))
        .filter(|it| {
            it.principal_ids.is_empty() || caller.is_some_and(|id| it.principal_ids.contains(&id))
        })
        .min_by_key(|it| it.principal_ids.is_empty())
}

/// True where `outer` contains `place`. Down to the judged scope case does not matter, as everywhere in
/// ARM; below it stand devices, whose ids differ by case.
fn covers(outer: &Scope, place: &Scope, judged: &Scope) -> bool {
    let depth = judged.segments().count();
    outer.contains(place)
        && outer.segments().skip(depth).zip(place.segments().skip(depth)).all(|(a, b)| a == b)
}

fn finding(
    assignment: &PolicyAssignment,
    definition: Option<&PolicyDefinition>,
    word: Word,
) -> Finding {
    let place = definition.map(|it| RulePlace {
        definition_id: it.id.clone(),
        definition_name: it.name.clone(),
        display_name: it.display_name.clone(),
        index: word.rule.unwrap_or(0),
        effect: word.effect.to_owned(),
        assignment_scope: assignment.scope.as_str().to_owned(),
        exemption_id: word.exemption.clone(),
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

fn denial_of(
    names: Vec<String>,
    object: &Object,
    message: String,
    violations: Vec<Value>,
) -> Denial {
    Denial {
        gate: Gate::Policy,
        kind: DenialKind::Policy { assignments: names, object: object.kind.clone() },
        message,
        violations,
        target: object.name.clone(),
    }
}

/// A denial whose words nobody will read: the caller decides again with the trace.
fn bare_denial(assignment: &PolicyAssignment, object: &Object) -> Denial {
    denial_of(vec![assignment.name.clone()], object, String::new(), Vec::new())
}

/// The denial envelope: every assignment that denies the object, each with what it evaluated.
fn full_denial(
    denied: &[(Arc<PolicyAssignment>, Finding)],
    object: &Object,
    facts: &Facts,
) -> Denial {
    let mut identifiers = Vec::new();
    let mut violations = Vec::new();
    let mut reasons = Vec::new();
    for (assignment, found) in denied {
        let definition = facts.policy_definitions.get(&assignment.definition_key);
        let name = definition.map_or("", |it| it.name.as_str());
        identifiers.push(json!({
            "policyAssignment": { "name": assignment.name, "id": assignment.id },
            "policyDefinition": { "name": name, "id": assignment.definition_id },
        }));
        reasons.extend(assignment.message.clone());
        violations.push(violation(assignment, definition.map(|it| &**it), found));
    }
    let identifiers = Value::Array(identifiers).to_string();
    let standard = format!(
        "Resource '{}' was disallowed by policy. Policy identifiers: '{identifiers}'.",
        object.name
    );
    let message = match reasons.is_empty() {
        true => standard,
        false => format!("Reasons: '{}'. {standard}", reasons.join("; ")),
    };
    denial_of(denied.iter().map(|(it, _)| it.name.clone()).collect(), object, message, violations)
}

fn violation(
    assignment: &PolicyAssignment,
    definition: Option<&PolicyDefinition>,
    found: &Finding,
) -> Value {
    let expressions: Vec<Value> = found
        .conditions
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
        .collect();
    json!({
        "evaluationDetails": { "evaluatedExpressions": expressions, "reason": assignment.message.clone().unwrap_or_default() },
        "policyDefinitionId": assignment.definition_id,
        "policyDefinitionName": definition.map_or("", |it| it.name.as_str()),
        "policyDefinitionDisplayName": definition.map_or("", |it| it.display_name.as_str()),
        "policyDefinitionVersion": definition.map_or("", |it| it.version.as_str()),
        "policyDefinitionEffect": found.rule.as_ref().map_or("deny", |it| it.effect.as_str()),
        "policyAssignmentId": assignment.id,
        "policyAssignmentName": assignment.name,
        "policyAssignmentDisplayName": assignment.display_name,
        "policyAssignmentScope": assignment.scope.as_str(),
        "policyAssignmentParameters": assignment.parameters.shown(),
        "policyExemptionIds": [],
        "ruleIndex": found.rule.as_ref().map_or(0, |it| it.index),
    })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}
