//! Deny assignments: what principals may not do at a scope, whatever their roles.
//!
//! Azure makes them for deployment stacks and managed applications; here whoever may write them does.

use super::policies::{check_text, former, properties_of, remove, show};
use super::{check_scope, refuse_unless_empty, revisions, scope_before, stamp};
use crate::control::{all, commit, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::deny::{DenyAssignment, Whom};
use gate::writes::{check_patterns, permission, permissions_of};
use gate::{Facts, Permit};
use model::json::{member, text};
use model::{Error, ObjectId, Scope};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Most deny assignments in the tenant: the gates look at each that reaches a call.
const ASSIGNMENTS_MAX: usize = 1_000;
/// Most principals that one names, and most that it leaves alone.
const PRINCIPALS_MAX: usize = 1_000;
/// The id that stands for everybody.
/// Source: Azure RBAC documentation, "Understand Azure deny assignments".
const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = ObjectId::parse(input.param("name"))
        .ok_or_else(|| Error::invalid("path", "a deny assignment's name is a GUID"))?;
    let scope = scope_before(permit.scope());
    let facts = env.facts.load();
    check_scope(&scope, &facts)?;
    let given = properties_of(&input.body)?;
    check_text(given, "denyAssignmentName", 512)?;
    check_text(given, "description", 1_024)?;
    refuse_unless_empty(given, "condition", "conditions of deny assignments are not evaluated")?;
    let display_name = text(given, &["denyAssignmentName"]).filter(|it| !it.trim().is_empty());
    let display_name = display_name.ok_or_else(|| {
        Error::invalid("properties.denyAssignmentName", "a deny assignment needs a name")
    })?;
    if member(given, "isSystemProtected").and_then(Value::as_bool) == Some(true) {
        return Err(Error::invalid(
            "properties.isSystemProtected",
            "only the system protects its own",
        ));
    }
    let permissions = permissions_of(given)?;
    check_patterns(&permissions)?;
    let is_limited = |it: &Value| it.get("condition").is_some_and(|it| !it.is_null());
    if let Some(index) = permissions.iter().position(is_limited) {
        let at = format!("properties.permissions[{index}].condition");
        return Err(Error::invalid(at, "conditions of deny assignments are not evaluated"));
    }
    let whom = principals_of(given, "principals")?;
    if whom.is_empty() {
        let why = format!("name who is denied; `{EVERYONE}` of type SystemDefined is everyone");
        return Err(Error::invalid("properties.principals", why));
    }
    if principals_of(given, "excludePrincipals")?.iter().any(is_everyone) {
        let why = "everyone cannot be excluded: nobody would be denied";
        return Err(Error::invalid("properties.excludePrincipals", why));
    }
    let former = former(env, tables::DENY_ASSIGNMENTS, permit.scope()).await?;
    if former.is_none() && facts.deny_assignments.len() >= ASSIGNMENTS_MAX {
        let most = format!("a tenant has at most {ASSIGNMENTS_MAX} deny assignments");
        return Err(Error::invalid("path", most));
    }
    let mut properties = json!({
        "denyAssignmentName": display_name,
        "description": text(given, &["description"]),
        "permissions": permissions,
        "scope": scope,
        "doNotApplyToChildScopes":
            member(given, "doNotApplyToChildScopes").and_then(Value::as_bool).unwrap_or(false),
        "principals": listed(given, "principals"),
        "excludePrincipals": listed(given, "excludePrincipals"),
        "isSystemProtected": false,
        "condition": null,
        "conditionVersion": null,
    });
    let before = former.as_ref().map(|(it, _)| it);
    stamp(
        &mut properties,
        before.and_then(|it| it.get("properties")),
        &permit.caller().key(),
        env,
        ["createdOn", "createdBy", "updatedOn", "updatedBy"],
    );
    let document = json!({
        "id": permit.scope(), "type": "Microsoft.Authorization/denyAssignments", "name": name,
        "properties": properties,
    });
    let key = permit.scope().key();
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    let mut changes = vec![keep(tables::DENY_ASSIGNMENTS, &key, expect, &document)?];
    changes.extend(revisions::changes(permit, env, &key, before, &document).await?);
    commit(permit, env, changes).await?;
    Ok(if former.is_none() { Reply::created(document) } else { Reply::ok(document) })
}

pub(crate) async fn get(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    show(permit, env, tables::DENY_ASSIGNMENTS, "DenyAssignmentNotFound", "deny assignment").await
}

/// Deny assignments at, above and below the scope; `atScope()` leaves out those below.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let filter = input.query("$filter").unwrap_or("");
    let reach = super::Reach::of(filter);
    let lower = filter.to_ascii_lowercase();
    let named = |word: &str| lower.split(word).nth(1).and_then(|it| it.split('\'').next());
    let (name, holder) = (named("denyassignmentname eq '"), named("principalid eq '"));
    let facts = env.facts.load();
    let mut found = Vec::new();
    for (_, document) in all::<Value>(env, tables::DENY_ASSIGNMENTS, "").await? {
        let at = Scope::parse(text(&document, &["properties", "scope"]).unwrap_or("/"))
            .unwrap_or_else(|_| Scope::root());
        let its = text(&document, &["properties", "denyAssignmentName"]).unwrap_or("");
        let properties = document.get("properties").unwrap_or(&Value::Null);
        let whom = principals_of(properties, "principals")?;
        if reach.shows(&at, permit.scope(), &facts)
            && name.is_none_or(|it| its.eq_ignore_ascii_case(it))
            && holder.is_none_or(|it| whom.iter().any(|id| id.to_string() == it))
        {
            found.push(document);
        }
    }
    Ok(Reply::list(found))
}

pub(crate) async fn delete(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    remove(permit, env, tables::DENY_ASSIGNMENTS).await
}

/// Brings a deny assignment's document into the facts.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_deny_assignment(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    let told = |it: Error| it.to_string();
    let named = principals_of(properties, "principals").map_err(told)?;
    facts.put_deny_assignment(DenyAssignment {
        id: text(&document, &["id"]).unwrap_or(key).to_owned(),
        name: text(properties, &["denyAssignmentName"]).unwrap_or("").to_owned(),
        scope: Scope::parse(text(properties, &["scope"]).unwrap_or(""))
            .map_err(|it| it.to_string())?,
        is_at_scope_only: member(properties, "doNotApplyToChildScopes")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        permissions: permissions_of(properties)
            .and_then(|it| it.iter().map(permission).collect())
            .map_err(told)?,
        whom: match named.iter().any(is_everyone) {
            true => Whom::Everyone,
            false => Whom::These(named),
        },
        excluded: principals_of(properties, "excludePrincipals").map_err(told)?,
    });
    Ok(())
}

fn is_everyone(id: &ObjectId) -> bool {
    id.to_string() == EVERYONE
}

fn listed(properties: &Value, name: &str) -> Value {
    member(properties, name).filter(|it| it.is_array()).cloned().unwrap_or_else(|| json!([]))
}

/// The ids of a list of `{ "id": ..., "type": ... }`.
fn principals_of(properties: &Value, name: &str) -> Result<Vec<ObjectId>, Error> {
    let at = format!("properties.{name}");
    let given = match member(properties, name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(it) => it.as_array().ok_or_else(|| Error::invalid(&at, "this is a list"))?,
    };
    if given.len() > PRINCIPALS_MAX {
        return Err(Error::invalid(&at, format!("more than {PRINCIPALS_MAX} principals")));
    }
    let id = |(index, it): (usize, &Value)| {
        text(it, &["id"]).and_then(ObjectId::parse).ok_or_else(|| {
            Error::invalid(
                format!("{at}[{index}].id"),
                "an object id, which is a GUID, is expected",
            )
        })
    };
    given.iter().enumerate().map(id).collect()
}
