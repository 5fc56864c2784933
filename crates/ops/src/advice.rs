//! The smallest change that would let a refused call pass, as a command to paste.
//!
//! Nothing is guessed: each proposal is laid over a copy of the facts and judged by the same gates; one
//! that does not move the refusal is not shown.

mod preset;
mod roles;

pub(crate) use roles::access_fixes;
mod network;

use crate::env::Env;
use crate::questions::row_of;
use gate::facts::RoleAssignment;
use gate::policy::{Exemption, Rule, parse_rules};
use gate::{Ask, Facts, Link};
use model::trace::{Caller, Finding, FindingKind, FindingResult, Gate, Object, Trace, TraceHead};
use model::{Scope, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

/// Most proposals for one refusal.
const FIXES_MAX: usize = 4;
/// Longest rules that are printed into a command line.
const RULES_BYTES_MAX: usize = 16 << 10;

/// One proposal.
#[derive(Debug, Serialize)]
pub(crate) struct Fix {
    pub(crate) says: String,
    pub(crate) command: String,
    /// What the same call would meet then.
    pub(crate) then: String,
    pub(crate) warning: Option<String>,
}

/// Proposals for a refused call, the narrowest first. Empty where it was allowed or nothing helps.
pub(crate) fn fixes(trace: &Trace, facts: &Facts, env: &Env) -> Vec<Fix> {
    let Some(gate) = trace.outcome.gate.filter(|_| trace.outcome.verdict == Verdict::Deny) else {
        return Vec::new();
    };
    let mut found = match gate {
        Gate::Policy => policy_fixes(trace, facts, env),
        Gate::Access if trace.outcome.code == "LinkedAuthorizationFailed" => {
            roles::linked_fixes(trace, facts, env)
        }
        Gate::Access => match deny_fix(trace, facts, env) {
            Some(fix) => vec![fix],
            None => access_fixes(trace, facts, env),
        },
        Gate::Resource => match lock_fix(trace, facts, env) {
            Some(fix) => vec![fix],
            None => network::fixes(trace, facts, env),
        },
        Gate::Authentication | Gate::ConditionalAccess => Vec::new(),
    };
    found.truncate(FIXES_MAX);
    found
}

/// The first gate that would still refuse under changed facts, or `None` where the call would pass.
fn still_refused(trace: &Trace, facts: &Facts, env: &Env) -> Option<Gate> {
    let (Some(row), Some(caller)) = (row_of(trace), &trace.call.caller) else {
        return Some(Gate::Authentication);
    };
    let scope = trace.scope();
    let head = TraceHead::new(trace.id, env.now(), trace.call.channel.clone());
    let linked: Vec<Link> = trace.call.linked.iter().filter_map(Link::replayed).collect();
    let (objects, linked) = (&trace.call.objects, &linked);
    let ask = Ask { objects, linked, ..Ask::new(row, &scope, caller, &head) };
    gate::judge(&ask, facts).denial.map(|it| it.gate)
}

fn then(trace: &Trace, facts: &Facts, env: &Env) -> String {
    match still_refused(trace, facts, env) {
        None => "the call would pass every gate".into(),
        Some(gate) => format!("this gate would pass, but `{}` would refuse next", gate.as_str()),
    }
}

fn policy_fixes(trace: &Trace, facts: &Facts, env: &Env) -> Vec<Fix> {
    let denying: Vec<&Finding> = trace
        .step(Gate::Policy)
        .into_iter()
        .flat_map(|it| &it.findings)
        .filter(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error))
        .collect();
    let Some(caller) = &trace.call.caller else { return Vec::new() };
    let mut found = Vec::new();
    // Proposals work one assignment at a time; where several deny, each is named and all are needed.
    let is_one = denying.iter().all(|it| it.id == denying.first().map_or("", |it| it.id.as_str()));
    for denied in denying.iter().take(if is_one { 1 } else { FIXES_MAX }) {
        let several = (!is_one)
            .then(|| "several policies deny this call; each needs its own change".to_owned());
        found.extend(give_required(trace, denied, caller, facts, env, several.clone()));
        if let Some(fix) = allow_before(trace, denied, caller, facts, env, several.clone()) {
            found.push(fix);
        }
        if is_one {
            found.extend(exempt(trace, denied, caller, facts, env));
        }
    }
    found
}

/// The roles that the denying rule requires, given to the caller where they are lacking.
fn give_required(
    trace: &Trace,
    denied: &Finding,
    caller: &Caller,
    facts: &Facts,
    env: &Env,
    warning: Option<String>,
) -> Option<Fix> {
    let lacks = denied.rule.as_ref().map(|it| it.lacks.as_slice()).filter(|it| !it.is_empty())?;
    let principal = caller.object_id?;
    let scope = Scope::parse(&lacks.first()?.scope).ok()?;
    let mut changed = facts.clone();
    let mut commands = Vec::new();
    for it in lacks {
        let role = facts.roles.get(&model::ObjectId::parse(&it.role_id)?)?;
        if !role.assignable_scopes.iter().any(|it| facts.contains(it, &scope)) {
            return None;
        }
        changed.put_role_assignment(proposed(&scope, &it.role_id, principal, role.id, env));
        commands.push(assigns(caller, principal, &role.name, &scope));
    }
    if still_refused(trace, &changed, env) == Some(Gate::Policy) && warning.is_none() {
        return None;
    }
    let names: Vec<String> = lacks.iter().map(|it| format!("`{}`", it.role_name)).collect();
    Some(Fix {
        says: format!(
            "give `{}` the role{} {} on `{}`, as `{}` requires",
            caller.name,
            if names.len() == 1 { "" } else { "s" },
            names.join(" and "),
            place_name(&scope),
            denied.name
        ),
        command: commands.join(" && "),
        then: then(trace, &changed, env),
        warning,
    })
}

/// A role assignment that is tried, and not made.
fn proposed(
    scope: &Scope,
    name: &str,
    principal: model::ObjectId,
    role: model::ObjectId,
    env: &Env,
) -> RoleAssignment {
    let path = format!("providers/Microsoft.Authorization/roleAssignments/{name}");
    RoleAssignment {
        id: scope.join(&path).as_str().to_owned(),
        name: name.to_owned(),
        principal,
        role,
        scope: scope.clone(),
        created: env.now(),
        deleted: None,
        condition: None,
    }
}

pub(crate) fn assigns(
    caller: &Caller,
    principal: model::ObjectId,
    role: &str,
    scope: &Scope,
) -> String {
    format!(
        "az role assignment create --assignee-object-id {principal} --assignee-principal-type {} --role {} --scope {}",
        caller.kind.directory_type(),
        quoted(role),
        quoted(scope.as_str())
    )
}

/// An `allow` for this caller in front of the rule that denies.
fn allow_before(
    trace: &Trace,
    denied: &Finding,
    caller: &Caller,
    facts: &Facts,
    env: &Env,
    warning: Option<String>,
) -> Option<Fix> {
    // An `allow` is about writes, so none helps where a deletion is denied.
    let place = denied.rule.as_ref().filter(|_| !is_deletion(trace))?;
    let principal = caller.object_id?;
    let object = trace.call.objects.first()?;
    let key = place.definition_id.to_ascii_lowercase();
    let mut definition = (**facts.policy_definitions.get(&key)?).clone();
    let allow = only(object, &principal.to_string())?;
    definition.rules.insert(place.index.min(definition.rules.len()), allow);
    let mut changed = facts.clone();
    changed.put_policy_definition(definition.clone());
    if still_refused(trace, &changed, env) == Some(Gate::Policy) && warning.is_none() {
        return None;
    }
    let rules =
        Value::Array(definition.rules.iter().map(|it| it.source.clone()).collect()).to_string();
    if rules.len() > RULES_BYTES_MAX {
        return None;
    }
    let scope = Scope::parse(&place.definition_id).ok()?;
    let subscription = scope.subscription_id()?;
    Some(Fix {
        says: format!(
            "put an `allow` for `{}` before rule {} of `{}`; every other caller stays refused",
            caller.name, place.index, place.definition_name
        ),
        command: format!(
            "az policy definition update --name {} --subscription {subscription} --rules {}",
            quoted(&place.definition_name),
            quoted(&rules)
        ),
        then: then(trace, &changed, env),
        warning,
    })
}

/// An exemption at the judged scope: for this caller alone, or for everybody.
fn exempt(trace: &Trace, denied: &Finding, caller: &Caller, facts: &Facts, env: &Env) -> Vec<Fix> {
    let scope = exempted(trace, denied);
    // Of an initiative, the member that denies and no other.
    let initiative = denied.rule.as_ref().and_then(|it| it.initiative.as_ref());
    let members: Vec<String> = initiative.map(|it| it.reference_id.clone()).into_iter().collect();
    let try_it = |principals: Vec<model::ObjectId>| {
        let mut changed = facts.clone();
        changed.put_policy_exemption(Exemption {
            id: scope
                .join("providers/Microsoft.Authorization/policyExemptions/proposed")
                .as_str()
                .to_owned(),
            name: "proposed".into(),
            scope: scope.clone(),
            assignment_id: denied.id.clone(),
            expires: None,
            principal_ids: principals,
            reference_ids: members.clone(),
            resource_selectors: Vec::new(),
        });
        (still_refused(trace, &changed, env) != Some(Gate::Policy))
            .then(|| then(trace, &changed, env))
    };
    let name = format!(
        "exempt-{}",
        denied
            .name
            .chars()
            .take(50)
            .filter(|it| it.is_ascii_alphanumeric() || *it == '-')
            .collect::<String>()
    );
    let mut found = Vec::new();
    if let Some(id) = caller.object_id
        && let Some(then) = try_it(vec![id])
    {
        let mut properties = json!({ "policyAssignmentId": denied.id, "exemptionCategory": "Waiver",
            "principalIds": [id] });
        if !members.is_empty() {
            model::json::set(&mut properties, "policyDefinitionReferenceIds", json!(members));
        }
        let body = json!({ "properties": properties });
        found.push(Fix {
            says: format!("exempt `{}` alone from `{}` on `{}`", caller.name, denied.name, scope.name()),
            command: format!(
                "az rest --method put --url {} --body {}",
                quoted(&format!("{scope}/providers/Microsoft.Authorization/policyExemptions/{name}?api-version=2026-01-01-preview")),
                quoted(&body.to_string())
            ),
            then,
            warning: None,
        });
    }
    if let Some(then) = try_it(Vec::new()) {
        found.push(Fix {
            says: format!("exempt `{}` from `{}`", scope.name(), denied.name),
            command: format!(
                "az policy exemption create --name {name} --policy-assignment {} --exemption-category Waiver --scope {}{}",
                quoted(&denied.id),
                quoted(scope.as_str()),
                members
                    .iter()
                    .map(|it| format!(" --policy-definition-reference-ids {}", quoted(it)))
                    .collect::<String>()
            ),
            then,
            warning: Some("this exempts every caller, not only this one".into()),
        });
    }
    found
}

fn is_deletion(trace: &Trace) -> bool {
    trace.call.objects.first().is_some_and(|it| !it.verb.is_write())
}

/// Where an exemption from what denies would lie: where the call was judged, or at the resource itself where
/// the policy is assigned below that.
fn exempted(trace: &Trace, denied: &Finding) -> Scope {
    let at = trace.scope();
    let assigned = denied.rule.as_ref().and_then(|it| Scope::parse(&it.assignment_scope).ok());
    match assigned {
        Some(it) if !it.contains(&at) => it,
        Some(_) | None => at,
    }
}

/// The deny assignments that stand against the call, deleted. Roles are no way round them.
fn deny_fix(trace: &Trace, facts: &Facts, env: &Env) -> Option<Fix> {
    let denying: Vec<&Finding> = trace
        .step(Gate::Access)
        .into_iter()
        .flat_map(|it| &it.findings)
        .filter(|it| it.kind == FindingKind::DenyAssignment && it.result == FindingResult::Deny)
        .collect();
    let first = denying.first()?;
    let mut changed = facts.clone();
    for it in &denying {
        changed.remove_deny_assignment(&it.id);
    }
    let names = denying.iter().map(|it| format!("`{}`", it.name)).collect::<Vec<_>>().join(", ");
    let more = match denying.len() {
        1 => String::new(),
        _ => "; each of the others needs the same".to_owned(),
    };
    Some(Fix {
        says: format!(
            "delete {names}, or write it anew with this caller in `excludePrincipals`{more}"
        ),
        command: format!(
            "az rest --method delete --url {}",
            quoted(&format!("{}?api-version=2022-04-01", first.id))
        ),
        then: then(trace, &changed, env),
        warning: Some("everybody whom it denies is free of it then".into()),
    })
}

/// The locks that stand against the call, deleted: all of them, as each is enough to refuse it.
fn lock_fix(trace: &Trace, facts: &Facts, env: &Env) -> Option<Fix> {
    let locks: Vec<&Finding> = trace
        .step(Gate::Resource)
        .into_iter()
        .flat_map(|it| &it.findings)
        .filter(|it| it.kind == FindingKind::Lock && it.result == FindingResult::Deny)
        .collect();
    let mut changed = facts.clone();
    for lock in &locks {
        changed.remove_lock(&lock.id);
    }
    if locks.is_empty() || still_refused(trace, &changed, env) == Some(Gate::Resource) {
        return None;
    }
    let list = |text: &dyn Fn(&Finding) -> String, between: &str| {
        locks.iter().map(|it| text(it)).collect::<Vec<_>>().join(between)
    };
    let (noun, its, it_keeps) = match locks.len() {
        1 => ("lock", "its scope", "it keeps"),
        _ => ("locks", "their scopes", "they keep"),
    };
    Some(Fix {
        says: format!(
            "delete the {noun} {}, as an Owner or a User Access Administrator of {its}",
            list(&|it| format!("`{}`", it.name), ", ")
        ),
        command: format!("az lock delete --ids {}", list(&|it| quoted(&it.id), " ")),
        then: then(trace, &changed, env),
        warning: Some(format!(
            "everything else that {it_keeps} from harm is open then, too: lock it again afterwards"
        )),
    })
}

fn place_name(scope: &Scope) -> &str {
    if scope.is_root() { "/" } else { scope.name() }
}

/// The rule that lets one caller write one type.
fn only(object: &Object, principal: &str) -> Option<Rule> {
    let rule = json!({
        "if": { "allOf": [
            { "field": "type", "equals": object.kind },
            { "field": "identity.principalId", "equals": principal },
        ] },
        "then": { "effect": "allow" },
    });
    parse_rules(&json!({ "policyRule": rule })).ok()?.pop()
}

/// Text for a POSIX shell: inside single quotes nothing has a meaning.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_./:".contains(&it));
    match is_plain {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_for_a_shell_stays_one_word() {
        assert_eq!(quoted("plain-name_1"), "plain-name_1");
        assert_eq!(quoted("it's; rm -rf /"), r"'it'\''s; rm -rf /'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_rule_for_one_caller_says_what_it_means() {
        let object = Object {
            kind: "Microsoft.Devices/IotHubs/devices".into(),
            name: "d".into(),
            id: "/d".into(),
            body: Value::Null,
            verb: model::trace::Verb::Write,
        };
        let rule = only(&object, "22222222-2222-4222-8222-000000000001").unwrap();
        assert_eq!(rule.source["if"]["allOf"][0]["equals"], json!(object.kind));
        assert_eq!(rule.source["then"], json!({ "effect": "allow" }));
    }
}
