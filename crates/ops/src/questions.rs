//! What people ask of decisions: one that was kept, or one that nobody has made; and what each asker may
//! see of the answer.

mod drafted;

use crate::advice;
use crate::call::may_see;
use crate::decisions::find;
use crate::deletions;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::Principal;
use gate::{Ask, Facts, Permit};
use model::operations::{Operation, known};
use model::trace::{Caller, Channel, FindingKind, Gate, Object, Trace, TraceHead, Verb};
use model::{ActionName, Error, ObjectId, Op, Scope, TrackingId};
use serde_json::{Value, json};

/// `GET /decisions/{id}`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = TrackingId::parse(input.param("id"))
        .ok_or_else(|| Error::invalid("path", "a tracking id is a GUID"))?;
    let trace = find(env, id).await?;
    let facts = env.facts.load();
    answer(permit, env, &facts, trace, Fixes::Told)
}

/// `POST /decisions/ask`: judges a call that nobody makes, by the facts as they are or, with `changes`, as they would be.
/// With changes alone it looks these over.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let changed = drafted::facts_with(&input.body, &facts, env).await?;
    let draft = changed.as_ref().map(|it| drafted::looked_over(&input.body, &facts, it, env));
    if let (Some(draft), None) = (&draft, input.text(&["principal"])) {
        return Ok(Reply::ok(json!({ "draft": draft })));
    }
    let caller = caller_named(input.required_text(&["principal"])?, &facts)?;
    let action = input.required_text(&["action"])?;
    let row = row_named(action)?;
    let scope = permit.scope().clone();
    let objects = objects_named(row, action, &scope, input, env).await?;
    let head = head(action, env);
    let ask = Ask { objects: &objects, ..Ask::new(row, &scope, &caller, &head) };
    let judged = gate::judge(&ask, changed.as_ref().unwrap_or(&facts));
    // What the asker may see is told by what holds, and no draft is repaired by a change of something else.
    let fixes = if changed.is_none() { Fixes::Told } else { Fixes::LeftOut };
    let mut reply = answer(permit, env, &facts, judged.trace, fixes)?;
    if let (Some(body), Some(draft)) = (&mut reply.body, draft) {
        let before = drafted::in_short(&gate::judge(&ask, &facts));
        model::json::set(body, "before", before);
        model::json::set(body, "draft", draft);
    }
    // Whoever may ask need not be allowed to read what was looked at.
    let shown = reply.body.as_mut().and_then(|it| it.pointer_mut("/decision/call/objects"));
    for object in shown.and_then(Value::as_array_mut).into_iter().flatten() {
        model::json::set(object, "body", json!({}));
    }
    Ok(reply)
}

/// What the trace of a call that nobody makes says of it.
pub(crate) fn head(action: &str, env: &Env) -> TraceHead {
    let (protocol, request) = ("question".to_owned(), action.to_owned());
    let channel = Channel { protocol, request, ..Channel::default() };
    TraceHead::new(env.new_tracking_id(), env.now(), channel)
}

/// What a call that a body asks about would write or delete, as far as that can be told.
pub(crate) async fn objects_named(
    row: &Operation,
    action: &str,
    scope: &Scope,
    input: &Input,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let name = input.text(&["objectName"]).unwrap_or("any-device");
    let is_deletion = action.to_ascii_lowercase().ends_with("/delete");
    let verb = if is_deletion { Verb::Delete } else { Verb::Write };
    match row.object {
        _ if !row.is_judged_by_policy() => Ok(Vec::new()),
        Some(kind) => {
            let last = kind.rsplit('/').next().unwrap_or("");
            let id = scope.join(&format!("{last}/{name}"));
            Ok(vec![Object {
                kind: kind.to_owned(),
                name: name.to_owned(),
                id: id.as_str().to_owned(),
                body: json!({}),
                verb,
            }])
        }
        // What would go along decides, too, and it is known: the stored resources are looked at.
        None if is_deletion => deletions::objects(row, scope, env).await,
        None => Ok(vec![crate::objects::object(scope, &json!({}))]),
    }
}

/// Whether an answer tells what would let the call through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fixes {
    Told,
    LeftOut,
}

fn answer(
    permit: &Permit,
    env: &Env,
    facts: &Facts,
    trace: Trace,
    fixes: Fixes,
) -> Result<Reply, Error> {
    let sees_policy = may_read_policies(permit.caller(), &trace, env, facts);
    let is_redacted = !sees_policy;
    let fixes = match sees_policy && fixes == Fixes::Told {
        true => advice::fixes(&trace, facts, env),
        false => Vec::new(),
    };
    let is_own =
        trace.call.caller.as_ref().and_then(|it| it.object_id) == permit.caller().object_id;
    let mut shown = if is_redacted { trace.redacted() } else { trace };
    if !is_own {
        hide_roles(&mut shown, permit, facts, env);
    }
    let decision = serde_json::to_value(&shown)
        .map_err(|it| Error::Internal { message: format!("the trace cannot be written: {it}") })?;
    Ok(Reply::ok(json!({ "decision": decision, "redacted": is_redacted, "fixes": fixes })))
}

/// Takes out role assignments that the asker could not read where they lie.
pub(crate) fn hide_roles(trace: &mut Trace, permit: &Permit, facts: &Facts, env: &Env) {
    for step in &mut trace.steps {
        step.findings.retain(|it| {
            let place = Scope::parse(&it.id);
            it.kind != FindingKind::RoleAssignment
                || place
                    .is_ok_and(|place| may_see(permit, Op::GetRoleAssignment, &place, facts, env))
        });
    }
}

/// True where the caller may read the policies that the trace shows the conditions of.
pub(crate) fn may_read_policies(caller: &Caller, trace: &Trace, env: &Env, facts: &Facts) -> bool {
    let row = model::operations::operation(Op::GetPolicyAssignment);
    let head = TraceHead::new(trace.id, env.now(), trace.call.channel.clone());
    let scopes: Vec<Scope> = trace
        .step(Gate::Policy)
        .into_iter()
        .flat_map(|it| &it.findings)
        .filter_map(|it| Scope::parse(&it.id).ok())
        .chain([trace.scope()])
        .collect();
    scopes
        .iter()
        .all(|scope| gate::judge(&Ask::new(row, scope, caller, &head), facts).denial.is_none())
}

/// Finds whom a question is about: by object id, application id or display name.
pub(crate) fn caller_named(text: &str, facts: &Facts) -> Result<Caller, Error> {
    let by_id = ObjectId::parse(text).and_then(|id| {
        facts
            .principals
            .get(&id)
            .or_else(|| facts.principals.values().find(|it| it.app_id == Some(id)))
    });
    let mut named: Vec<_> =
        facts.principals.values().filter(|it| it.display_name.eq_ignore_ascii_case(text)).collect();
    named.sort_by_key(|it| it.id);
    let principal = match (by_id, named.as_slice()) {
        (Some(it), _) => it,
        (None, [it]) => *it,
        (None, []) => {
            return Err(Error::NotFound {
                code: "PrincipalNotFound",
                message: format!(
                    "no principal is called `{}`; give its object id, its application id or its display name",
                    text.escape_debug()
                ),
            });
        }
        (None, several) => {
            let ids: Vec<String> = several.iter().map(|it| it.id.to_string()).collect();
            return Err(Error::invalid(
                "principal",
                format!(
                    "several principals have this name; give one of the ids {}",
                    ids.join(", ")
                ),
            ));
        }
    };
    Ok(caller_as(principal))
}

/// A principal as if it called.
pub(crate) fn caller_as(principal: &Principal) -> Caller {
    Caller {
        kind: principal.kind,
        object_id: Some(principal.id),
        app_id: principal.app_id,
        name: principal.display_name.clone(),
        auth: model::principal::AuthType::Entra,
        signed_in: "not at all: the question takes its identity as given".into(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    }
}

/// The row that an action belongs to: the one that needs fewest other actions.
pub(crate) fn row_named(action: &str) -> Result<&'static Operation, Error> {
    let is_it = |it: &ActionName| it.as_str().eq_ignore_ascii_case(action);
    known().filter(|it| it.actions.iter().any(is_it)).min_by_key(|it| it.actions.len()).ok_or_else(|| {
        // The same thing with another verb, or whatever else is called like it.
        let beside = |it: &str| match (it.rsplit_once('/'), action.rsplit_once('/')) {
            (Some((mine, _)), Some((its, _))) => mine.eq_ignore_ascii_case(its),
            _ => false,
        };
        let near: std::collections::BTreeSet<&str> =
            known().flat_map(|it| it.actions).map(|it| it.as_str()).filter(|it| beside(it)).collect();
        let near: Vec<&str> = near.into_iter().collect();
        let hint = match near.is_empty() {
            true => "`az provider operation show --namespace Microsoft.Devices` lists those that exist".to_owned(),
            false => format!("did you mean {}?", near.join(", ")),
        };
        Error::invalid("action", format!("`{}` is not an action that anything here needs; {hint}", action.escape_debug()))
    })
}

/// The operation that a trace is about.
pub(crate) fn row_of(trace: &Trace) -> Option<&'static Operation> {
    model::operations::named(&trace.call.operation)
}
