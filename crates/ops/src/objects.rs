//! What the gates look at, made ready: the judged scope, the objects that a call would write or delete, the
//! further scopes that it reaches, and what conditions see of it. A patch is merged here, so that gate and
//! operation see the same whole.

use crate::env::Env;
use crate::input::Input;
use crate::managed_identity::attached;
use crate::{
    access, authorization, blobs, decisions, deletions, devices, diagnose, managed_identity,
    management, provisioning, resources, targets, what_if,
};
use gate::facts::Instance;
use gate::{Ask, Attributes, Link};
use model::operations::{Body, Effect, operation};
use model::trace::{Caller, Object, Stranded, TraceHead, Verb};
use model::{ActionName, Error, Op, Operation, Plane, Scope, TrackingId};
use serde_json::{Map, Value};

/// What [`gate::admit`] is asked about.
pub(crate) struct Prepared {
    pub(crate) operation: &'static Operation,
    pub(crate) scope: Scope,
    pub(crate) objects: Vec<Object>,
    pub(crate) linked: Vec<Link>,
    /// What the write would leave without the managed identity that it uses.
    pub(crate) stranded: Vec<Stranded>,
    /// What conditions see of the request, where they see anything of it.
    pub(crate) asked_for: Option<Map<String, Value>>,
    /// What they see of the resource that is there.
    pub(crate) stored: Option<Map<String, Value>>,
}

impl Prepared {
    fn plain(operation: &'static Operation, scope: Scope) -> Self {
        Self {
            operation,
            scope,
            objects: Vec::new(),
            linked: Vec::new(),
            stranded: Vec::new(),
            asked_for: None,
            stored: None,
        }
    }

    /// The question for the gates.
    pub(crate) fn ask<'a>(&'a self, caller: &'a Caller, head: &'a TraceHead) -> Ask<'a> {
        let attributes = Attributes {
            request: self.asked_for.as_ref(),
            resource: self.stored.as_ref(),
            ..Attributes::default()
        };
        Ask {
            objects: &self.objects,
            linked: &self.linked,
            stranded: &self.stranded,
            attributes,
            ..Ask::new(self.operation, &self.scope, caller, head)
        }
    }
}

/// Makes a call ready for the gates. May replace `input.body` by the merged whole of a patch.
pub(crate) async fn prepare(
    row: &'static Operation,
    input: &mut Input,
    instance: Option<Instance<'_>>,
    caller: &Caller,
    env: &Env,
) -> Result<Prepared, Error> {
    let plain = |scope| Prepared::plain(row, scope);
    match instance {
        Some(Instance::Hub(hub)) => {
            let objects = devices::registry::objects(row.op, input, hub, env).await?;
            let operation = devices::registry::judged(row, input)?;
            return Ok(Prepared { operation, objects, ..plain(hub.scope.clone()) });
        }
        Some(Instance::Dps(dps)) => {
            let mut objects = provisioning::enrollments::objects(row, input, dps)?;
            objects.extend(provisioning::guarded::objects(row, input, dps, env).await?);
            objects.extend(provisioning::bulk::objects(row, input, dps, env).await?);
            let operation = provisioning::bulk::judged(row, &input.body)?;
            return Ok(Prepared { operation, objects, ..plain(dps.scope.clone()) });
        }
        // Roles may be held at what lies in it. Blobs are no object of policies; containers are, whoever makes them.
        Some(Instance::Target(_)) => {
            let operation = operation(blobs::judged(row.op, input, env).await?);
            let scope = input.scope.clone();
            let mut objects = Vec::new();
            if row.op == Op::CreateBlobContainer {
                input.body = blobs::containers::body(input, env)?;
                let stored = targets::as_stored(env, &scope, &input.body).await?;
                objects.push(object(&scope, stored.as_ref().unwrap_or(&input.body)));
            } else if row.op == Op::DeleteBlobContainer {
                objects = deletions::objects(row, &scope, env).await?;
            }
            return Ok(Prepared { operation, objects, ..plain(scope) });
        }
        None => {}
    }
    if row.op == Op::GetDecision {
        return decision(row, input, caller, env).await;
    }
    if row.op == Op::AskWhatIf {
        return Ok(plain(what_if::place(input)?));
    }
    let asks = [
        Op::AskDecision,
        Op::AskWhoCan,
        Op::AskAccess,
        Op::AskWhoIsHit,
        Op::AskLint,
        Op::AskAdvice,
        Op::AskLocalAuth,
    ];
    if asks.contains(&row.op) {
        let scope = Scope::parse(input.required_text(&["scope"])?)
            .map_err(|it| Error::invalid("scope", it.to_string()))?;
        let is_own = row.op == Op::AskAccess && access::is_own(input, caller, &env.facts.load());
        let row = if is_own { operation(Op::AskOwnAccess) } else { row };
        return Ok(Prepared::plain(row, scope));
    }
    if row.op == Op::GetPulse {
        return Ok(plain(Scope::root()));
    }
    if row.op == Op::DiagnoseProvisioning {
        let (dps, hub) = diagnose::places(input)?;
        let linked = row.actions.iter().map(|it| Link { action: *it, scope: dps.clone() });
        return Ok(Prepared { linked: linked.collect(), ..plain(hub) });
    }
    if row.op == Op::DiagnoseIngestion {
        return Ok(plain(diagnose::ingestion::place(input)?));
    }
    if row.plane != Plane::Control {
        return Ok(plain(Scope::root()));
    }
    if row.op == Op::PutManagementGroup || row.op == Op::PatchManagementGroup {
        let (scope, linked) = management::reached(input, &env.facts.load())?;
        let objects = vec![object(&input.scope, &input.body)];
        return Ok(Prepared { objects, linked, ..plain(scope) });
    }
    let mut prepared = plain(judged(&input.scope));
    if row.effect == Effect::Reads {
        return Ok(prepared);
    }
    if row.moves() {
        prepared.objects = resources::moves::objects(input, env).await?;
        prepared.linked = resources::moves::links(input, env).await?;
        return Ok(prepared);
    }
    // Before a patch is merged: what it does not name is not asked for.
    let assigned = attached::links(row.op, &input.body);
    if row.actions.iter().any(|it| it.is_write()) {
        if is_patch(row) {
            input.body = merged(row.op, &prepared.scope, &input.body, env).await?;
        }
        if row.body == Body::None {
            input.body = Value::Object(Map::new());
        }
        if !input.body.is_object() {
            return Err(Error::invalid("body", "a JSON object is required"));
        }
        let scope = &prepared.scope;
        let (stored, uses) = if row.op == Op::PutHub || row.op == Op::PatchHub {
            let stored = devices::hubs::as_stored(env, scope, &input.body).await?;
            let uses = stored.as_ref().map(devices::endpoints::uses);
            (stored, uses)
        } else if row.op == Op::PutDps || row.op == Op::PatchDps {
            let stored = provisioning::services::as_stored(env, scope, &input.body).await?;
            let uses = stored.as_ref().map(provisioning::links::uses);
            (stored, uses)
        } else {
            (targets::as_stored(env, scope, &input.body).await?, None)
        };
        let identities = attached::Identities::of(stored.as_ref());
        prepared.stranded = identities.stranded(uses.unwrap_or_default());
        prepared.objects = vec![object(&prepared.scope, stored.as_ref().unwrap_or(&input.body))];
    }
    prepared.objects.extend(deletions::objects(row, &prepared.scope, env).await?);
    prepared.linked = links(row.op, input, env).await?;
    prepared.linked.extend(assigned);
    if row.op == Op::PutRoleAssignment {
        let seen = authorization::role_assignments::asked_for(input, &env.facts.load());
        prepared.asked_for = Some(seen);
    } else if row.op == Op::DeleteRoleAssignment {
        let seen = authorization::role_assignments::stored(&prepared.scope, env).await?;
        prepared.stored = Some(seen);
    }
    Ok(prepared)
}

fn is_patch(row: &Operation) -> bool {
    row.routes.iter().any(|it| it.method == "PATCH")
}

/// A kept decision is judged at the scope that it was about; a caller may always read its own.
async fn decision(
    row: &'static Operation,
    input: &Input,
    caller: &Caller,
    env: &Env,
) -> Result<Prepared, Error> {
    let id = TrackingId::parse(input.param("id")).ok_or_else(|| {
        Error::invalid("path", "a tracking id is a GUID, as it stands in every answer")
    })?;
    let trace = decisions::find(env, id).await?;
    let is_own = match (&trace.call.caller, caller.object_id) {
        (Some(judged), Some(mine)) => judged.object_id == Some(mine),
        _ => false,
    };
    let row = if is_own { operation(Op::GetOwnDecision) } else { row };
    Ok(Prepared::plain(row, trace.scope()))
}

/// The place at which a path is judged: the resource itself, or what contains the list or action that
/// the path ends in.
pub(crate) fn judged(path: &Scope) -> Scope {
    let all: Vec<&str> = path.segments().collect();
    let keep = match all.iter().rposition(|it| it.eq_ignore_ascii_case("providers")) {
        Some(at) => {
            let behind = all.len() - at - 1;
            match behind {
                // `providers/{namespace}` and a bare list lie in what stands before.
                0..=2 => at,
                // A name behind every type, but for a trailing list or action.
                _ => all.len() - usize::from(behind.is_multiple_of(2)),
            }
        }
        None => all.len() - all.len() % 2,
    };
    let text = format!("/{}", all.get(..keep).unwrap_or(&[]).join("/"));
    Scope::parse(&text).unwrap_or_else(|_| Scope::root())
}

/// What policy sees of a resource that would be written or deleted: its body without its secrets.
pub(crate) fn object(scope: &Scope, body: &Value) -> Object {
    let kind = scope.resource_type().unwrap_or_default();
    let mut body = body.clone();
    if let Some(row) = model::resource_types::resource_type(&kind) {
        for path in row.secrets {
            let steps: Vec<&str> = std::iter::once("properties").chain(path.split('.')).collect();
            strip(&mut body, &steps);
        }
    }
    Object {
        kind,
        name: scope.name().to_owned(),
        id: scope.as_str().to_owned(),
        body,
        verb: Verb::Write,
    }
}

fn strip(value: &mut Value, path: &[&str]) {
    let (Some(object), Some((name, rest))) = (value.as_object_mut(), path.split_first()) else {
        return;
    };
    if rest.is_empty() {
        object.retain(|key, _| !key.eq_ignore_ascii_case(name));
        return;
    }
    for (_, inner) in object.iter_mut().filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
        strip(inner, rest);
    }
}

/// The stored resource with the patch laid over it: objects merge, `null` removes, the rest replaces.
async fn merged(op: Op, scope: &Scope, patch: &Value, env: &Env) -> Result<Value, Error> {
    if !patch.is_object() {
        return Err(Error::invalid("body", "a JSON object is required"));
    }
    let current = if op == Op::PatchResourceGroup {
        resources::groups::current(env, scope).await?
    } else if op == Op::PatchHub {
        devices::hubs::current(env, scope).await?
    } else if op == Op::PatchDps {
        provisioning::services::current(env, scope).await?
    } else if op == Op::PatchUserAssignedIdentity {
        managed_identity::user_assigned::current(env, scope).await?
    } else if targets::is_target(scope) {
        targets::current(env, scope).await?
    } else {
        authorization::policies::current(env, scope).await?
    };
    let mut whole = current.ok_or_else(|| Error::NotFound {
        code: "ResourceNotFound",
        message: format!("there is no `{scope}` to change"),
    })?;
    lay_over(&mut whole, patch);
    Ok(whole)
}

pub(crate) fn lay_over(whole: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else {
        *whole = patch.clone();
        return;
    };
    if !whole.is_object() {
        *whole = Value::Object(Map::new());
    }
    let Some(object) = whole.as_object_mut() else { return };
    for (name, value) in members {
        let key = object
            .keys()
            .find(|it| it.eq_ignore_ascii_case(name))
            .cloned()
            .unwrap_or_else(|| name.clone());
        if value.is_null() {
            object.shift_remove(&key);
        } else {
            lay_over(object.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// What else the caller must be allowed, and where.
async fn links(op: Op, input: &Input, env: &Env) -> Result<Vec<Link>, Error> {
    // Whoever writes a role widens it wherever it can be assigned, before and after the change.
    if op == Op::PutRoleDefinition || op == Op::DeleteRoleDefinition {
        let action = ActionName::new(match op == Op::PutRoleDefinition {
            true => "Microsoft.Authorization/roleDefinitions/write",
            false => "Microsoft.Authorization/roleDefinitions/delete",
        });
        let scopes = authorization::roles::assignable_scopes(input, env).await?;
        let mut links: Vec<Link> = scopes.into_iter().map(|scope| Link { action, scope }).collect();
        if op == Op::PutRoleDefinition {
            links.extend(authorization::roles::links_of_change(input, &env.facts.load()));
        }
        return Ok(links);
    }
    if op == Op::PutManagementGroupSubscription || op == Op::DeleteManagementGroupSubscription {
        return Ok(management::subscriptions::links(input, &env.facts.load()));
    }
    // Whoever exempts lifts the assignment itself.
    if (op == Op::PutPolicyExemption || op == Op::PatchPolicyExemption)
        && let Some(id) = input.text(&["properties", "policyAssignmentId"])
        && let Ok(scope) = Scope::parse(id)
    {
        let action = ActionName::new("Microsoft.Authorization/policyAssignments/exempt/action");
        return Ok(vec![Link { action, scope }]);
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_judged_at_the_resource_that_contains_its_list_or_action() {
        let check = |path: &str, expected: &str| {
            assert_eq!(judged(&Scope::parse(path).unwrap()).as_str(), expected, "{path}");
        };
        let hub = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/h";
        check("/subscriptions", "/");
        check("/subscriptions/s", "/subscriptions/s");
        check("/subscriptions/s/resourceGroups", "/subscriptions/s");
        check("/subscriptions/s/resourceGroups/rg", "/subscriptions/s/resourceGroups/rg");
        check("/subscriptions/s/providers/Microsoft.Devices/IotHubs", "/subscriptions/s");
        check("/subscriptions/s/providers/Microsoft.Devices", "/subscriptions/s");
        check(hub, hub);
        check(&format!("{hub}/listkeys"), hub);
        check(&format!("{hub}/IotHubKeys/k/listkeys"), &format!("{hub}/IotHubKeys/k"));
        let role = format!("{hub}/providers/Microsoft.Authorization/roleAssignments");
        check(&role, hub);
        check(&format!("{role}/x"), &format!("{role}/x"));
        check(&format!("{role}/x/revisions"), &format!("{role}/x"));
        check("/providers/Microsoft.Devices/operations", "/");
    }

    #[test]
    fn policy_never_sees_keys() {
        let hub = Scope::parse(
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/h",
        )
        .unwrap();
        let body = json!({ "location": "westus", "properties": {
            "AuthorizationPolicies": [{ "primaryKey": "k" }],
            "routing": { "endpoints": { "eventHubs": [{ "connectionString": "k" }] }, "routes": [] } } });
        let seen = object(&hub, &body);
        assert_eq!(seen.kind, "Microsoft.Devices/IotHubs");
        assert_eq!(
            seen.body,
            json!({ "location": "westus", "properties": { "routing": { "routes": [] } } })
        );
    }

    #[test]
    fn a_patch_merges_objects_and_null_removes() {
        let mut whole =
            json!({ "tags": { "a": "1", "b": "2" }, "properties": { "x": { "y": 1 } } });
        lay_over(
            &mut whole,
            &json!({ "tags": { "B": null, "c": "3" }, "properties": { "x": { "z": [1] } } }),
        );
        assert_eq!(
            whole,
            json!({ "tags": { "a": "1", "c": "3" }, "properties": { "x": { "y": 1, "z": [1] } } })
        );
    }
}
