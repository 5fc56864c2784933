//! Who can do something at a place, and through what: the question of a single decision, asked for everybody.
//!
//! Each principal is judged by the gates as if it called. Decides nothing itself, and looks at nobody who holds
//! no role near the place: nothing could grant it anything.

use crate::env::Env;
use crate::input::{Input, Reply};
use crate::questions::{caller_as, head, hide_roles, objects_named, row_named};
use gate::facts::SharedAccess;
use gate::{Ask, Facts, Permit};
use model::operations::{Operation, Right, operation};
use model::trace::{Caller, Finding, FindingKind, FindingResult, Gate, Object, Trace, TraceHead};
use model::{Error, Op, Scope};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most principals that an answer names; it says how many more there are.
const NAMED_MAX: usize = 1_000;
/// Principals that are judged before others get their turn.
const BETWEEN_PAUSES: usize = 100;

/// Through what somebody may do something at a place; nothing where it may not.
pub(crate) fn through(
    row: &'static Operation,
    scope: &Scope,
    (caller, head): (&Caller, &TraceHead),
    permit: &Permit,
    env: &Env,
    facts: &Facts,
) -> Option<Vec<Value>> {
    match (Question { row, scope, objects: &[], head }).judged(caller, permit, env, facts) {
        Judged::Can(told) => told.get("through").and_then(Value::as_array).cloned(),
        Judged::Stopped(_) | Judged::Cannot => None,
    }
}

/// What is asked, ready for the gates.
#[derive(Clone, Copy)]
struct Question<'a> {
    row: &'static Operation,
    scope: &'a Scope,
    objects: &'a [Object],
    head: &'a TraceHead,
}

/// `POST /decisions/whoCan`.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let action = input.required_text(&["action"])?;
    let row = row_named(action)?;
    let scope = permit.scope();
    let objects = objects_named(row, action, scope, input, env).await?;
    let head = head(action, env);
    let question = Question { row, scope, objects: &objects, head: &head };
    let keys = by_keys(row, scope, &facts).map(|(by, op)| {
        let question = Question { row: operation(op), objects: &[], ..question };
        (by, question)
    });
    let keys: Vec<(&str, Question<'_>)> = keys.collect();
    let mut near: Vec<_> = facts
        .principals
        .values()
        .filter(|it| it.is_enabled && facts.has_any_role_near(it.id, scope))
        .collect();
    near.sort_by(|a, b| (&a.display_name, a.id).cmp(&(&b.display_name, b.id)));
    let (mut can, mut stopped, mut with_keys) = (Vec::new(), Vec::new(), Vec::new());
    for (index, principal) in near.into_iter().enumerate() {
        if index % BETWEEN_PAUSES == BETWEEN_PAUSES - 1 {
            // Others wait for this thread, too.
            tokio::task::yield_now().await;
        }
        let caller = caller_as(principal);
        match question.judged(&caller, permit, env, &facts) {
            Judged::Can(told) => {
                can.push(told);
                continue;
            }
            Judged::Stopped(told) => stopped.push(told),
            Judged::Cannot => {}
        }
        for (by, question) in &keys {
            if let Judged::Can(mut told) = question.judged(&caller, permit, env, &facts) {
                model::json::set(&mut told, "by", *by);
                with_keys.push(told);
                break;
            }
        }
    }
    let mut more = 0;
    for list in [&mut can, &mut stopped, &mut with_keys] {
        more += list.len().saturating_sub(NAMED_MAX);
        list.truncate(NAMED_MAX);
    }
    Ok(Reply::ok(json!({
        "action": action,
        "scope": scope,
        "can": can,
        "stopped": stopped,
        "withKeys": with_keys,
        "more": more,
        "opens": opens(row, scope, &facts),
    })))
}

enum Judged {
    Can(Value),
    /// A role grants it, and a gate behind the roles stands against it.
    Stopped(Value),
    Cannot,
}

impl Question<'_> {
    fn judged(&self, caller: &Caller, permit: &Permit, env: &Env, facts: &Facts) -> Judged {
        let ask = Ask::new(self.row, self.scope, caller, self.head);
        let ask = Ask { objects: self.objects, ..ask };
        let gate::Judgement { denial, mut trace, .. } = gate::judge(&ask, facts);
        hide_roles(&mut trace, permit, facts, env);
        let mut answer = json!({
            "objectId": caller.object_id,
            "name": caller.name,
            "type": caller.kind.as_str(),
            "through": granting(&trace),
        });
        match denial {
            None => Judged::Can(answer),
            Some(denial) if denial.gate == Gate::Resource => {
                model::json::set(&mut answer, "gate", denial.gate.as_str());
                Judged::Stopped(answer)
            }
            Some(_) => Judged::Cannot,
        }
    }
}

/// Every role assignment that grants it, once: to take it away, all of them have to go.
fn granting(trace: &Trace) -> Vec<Value> {
    let grants = |it: &&Finding| {
        it.kind == FindingKind::RoleAssignment
            && matches!(it.result, FindingResult::Allow | FindingResult::Match)
    };
    let access = trace.step(Gate::Access);
    let mut seen = BTreeSet::new();
    let found = access.into_iter().flat_map(|it| &it.findings).filter(grants);
    found.filter(|it| seen.insert(it.id.as_str())).map(told).collect()
}

fn told(found: &Finding) -> Value {
    let role = found.role.as_ref();
    json!({
        "roleAssignmentId": found.id,
        "roleName": role.map(|it| &it.role_name),
        "scope": role.map(|it| &it.scope),
        "groups": role.map(|it| &it.through),
    })
}

/// The keys of the service that lies at a place, and the operations that list and that set them.
fn keys_at<'f>(scope: &Scope, facts: &'f Facts) -> Option<([Op; 2], &'f SharedAccess)> {
    let hub = facts.hub(scope).map(|it| ([Op::ListHubKeys, Op::PutHub], &it.access));
    hub.or_else(|| facts.dps(scope).map(|it| ([Op::ListDpsKeys, Op::PutDps], &it.access)))
}

/// What gets somebody keys that do the same as a role would: who may list those of a policy with a right for it, while
/// keys count, and always who may write the service: a body can hold policies with keys of its own, and switches keys
/// on again.
fn by_keys(
    row: &Operation,
    scope: &Scope,
    facts: &Facts,
) -> impl Iterator<Item = (&'static str, Op)> {
    let found = keys_at(scope, facts).filter(|_| !row.sas.is_empty());
    let ways = found.map(|([lists, writes], access)| {
        let covers = |held: &Right| row.sas.iter().any(|needed| held.covers(*needed));
        let does = access.policies.iter().any(|it| it.rights.iter().any(covers));
        let lists = (does && !access.is_disabled).then_some(("lists", lists));
        lists.into_iter().chain([("writes", writes)])
    });
    ways.into_iter().flatten()
}

/// What else follows for who can do this: keys open all data, whatever roles say. Nothing where they do not.
fn opens(row: &Operation, scope: &Scope, facts: &Facts) -> Option<&'static str> {
    let keys = keys_at(scope, facts);
    if matches!(row.op, Op::PutHub | Op::PatchHub | Op::PutDps | Op::PatchDps) && keys.is_some() {
        return Some(
            "all data, without any data role: whoever may write the service sets the keys of its policies, and \
             switches them on",
        );
    }
    if !matches!(row.op, Op::ListHubKeys | Op::GetHubKey | Op::ListDpsKeys | Op::GetDpsKey) {
        return None;
    }
    match keys {
        Some((_, access)) if access.is_disabled => {
            Some("no data: the keys are switched off (`disableLocalAuth`)")
        }
        Some(_) | None => Some(
            "all data, without any data role: whoever has the keys signs for what their policies allow, \
             until `disableLocalAuth` switches them off",
        ),
    }
}
