//! Whom policies hit: each rule that can match a device that registers, or that refuses somebody something, with what
//! would let them through.
//!
//! Decides nothing: `gate::lint` makes the calls up and lays them before the gates. An asker is told of the rules that it
//! may read.

use crate::advice;
use crate::call::may_see;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::standing::{apart, who};
use gate::lint::{Hit, Refused, Registration, hits};
use gate::policy::{PolicyAssignment, PolicyDefinition};
use gate::{Facts, Permit};
use model::trace::{Gate, Trace};
use model::{Error, Op, Scope};
use serde_json::{Value, json};

/// Most rules that an answer names; it says how many more there are.
const NAMED_MAX: usize = 200;
/// Most principals of a rule for which a way out is looked for.
const FIXED_MAX: usize = 20;

/// `POST /decisions/whoIsHit`.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let named = input.text(&["policy"]);
    let scope = permit.scope();
    let (known, place, now) = (facts.clone(), scope.clone(), env.now());
    let asked = named.map(str::to_owned);
    let look = move || {
        hits(&known, &place, now, &|assignment, definition| {
            asked.as_deref().is_none_or(|it| is_called(assignment, Some(definition), it))
        })
    };
    let mut found = apart(look).await?;
    found.retain(|it| may_read(it, permit, env, &facts));
    if let Some(it) = named.filter(|_| found.is_empty())
        && !is_there(it, permit, env, &facts)
    {
        return Err(Error::NotFound {
            code: "PolicyNotFound",
            message: format!(
                "no policy that counts at `{scope}` and that you may read is called `{}`; give the name or id of a \
                 policy definition or of an assignment",
                it.escape_debug()
            ),
        });
    }
    let more = found.len().saturating_sub(NAMED_MAX);
    found.truncate(NAMED_MAX);
    let rules: Vec<Value> = found.iter().map(|it| told(it, &facts, env)).collect();
    Ok(Reply::ok(json!({ "scope": scope, "rules": rules, "more": more })))
}

/// True where the asker may read the assignment and its definition.
fn may_read(hit: &Hit, permit: &Permit, env: &Env, facts: &Facts) -> bool {
    let sees =
        |op, id: &str| Scope::parse(id).is_ok_and(|place| may_see(permit, op, &place, facts, env));
    sees(Op::GetPolicyAssignment, &hit.assignment_id)
        && sees(Op::GetPolicyDefinition, &hit.definition_id)
}

/// True where a policy of this name counts here that the asker may read: it hits nobody.
fn is_there(name: &str, permit: &Permit, env: &Env, facts: &Facts) -> bool {
    let scope = permit.scope();
    facts.policy_assignments.values().any(|it| {
        let definition = facts.policy_definitions.get(&it.definition_key);
        is_called(it, definition.map(|it| &**it), name)
            && (facts.contains(&it.scope, scope) || facts.contains(scope, &it.scope))
            && Scope::parse(&it.id)
                .is_ok_and(|place| may_see(permit, Op::GetPolicyAssignment, &place, facts, env))
    })
}

/// True where the name or id is that of the assignment or of its definition.
fn is_called(
    assignment: &PolicyAssignment,
    definition: Option<&PolicyDefinition>,
    name: &str,
) -> bool {
    let own = [&assignment.id, &assignment.name, &assignment.definition_id];
    let of_definition = definition.into_iter().flat_map(|it| [&it.id, &it.name]);
    own.into_iter().chain(of_definition).any(|it| it.eq_ignore_ascii_case(name))
}

fn told(hit: &Hit, facts: &Facts, env: &Env) -> Value {
    let registrations: Vec<Value> =
        hit.registrations.iter().map(|it| registration(it, facts, env)).collect();
    let refuses: Vec<Value> = hit
        .refuses
        .iter()
        .enumerate()
        .map(|(index, it)| refused(it, index < FIXED_MAX, facts, env))
        .collect();
    json!({
        "assignmentId": hit.assignment_id,
        "assignmentName": hit.assignment_name,
        "assignmentScope": hit.assignment_scope,
        "definitionId": hit.definition_id,
        "definitionName": hit.definition_name,
        "rule": hit.rule,
        "effect": hit.effect,
        "source": hit.source,
        "registrations": registrations,
        "refuses": refuses,
    })
}

fn registration(it: &Registration, facts: &Facts, env: &Env) -> Value {
    json!({
        "provisioningService": it.dps,
        "hub": it.hub,
        "says": format!("a device that registers{}", it.which),
        "refused": it.refused.is_some(),
        // A service that is made up is given no roles.
        "fixes": fixes(it.refused.as_ref().filter(|_| it.dps.is_some()), facts, env),
    })
}

fn refused(it: &Refused, is_fixed: bool, facts: &Facts, env: &Env) -> Value {
    let mut told = who(&it.caller);
    let call = |(action, scope): &(&str, String)| json!({ "action": action, "scope": scope });
    let calls: Vec<Value> = it.calls.iter().map(call).collect();
    model::json::set(&mut told, "calls", json!(calls));
    let trace = is_fixed.then_some(&it.trace);
    model::json::set(&mut told, "fixes", fixes(trace, facts, env));
    told
}

/// What would let the call past the policies, each tried on a copy of the facts.
fn fixes(trace: Option<&Trace>, facts: &Facts, env: &Env) -> Value {
    let refused = trace.filter(|it| it.outcome.gate == Some(Gate::Policy));
    json!(refused.map_or_else(Vec::new, |it| advice::fixes(it, facts, env)))
}
