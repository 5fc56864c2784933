//! Changes that nobody makes: each brought into a copy of the facts on the way that a real one takes.

use crate::authorization::{check_scope, policies, policy_terms, scope_before};
use crate::env::Env;
use crate::facts;
use crate::questions::caller_named;
use crate::{devices, provisioning};
use gate::Facts;
use gate::writes::{NewAssignment, PrincipalGiven, check_assignment};
use model::json::{member, set, text};
use model::{Error, ObjectId, Scope};
use serde_json::{Value, json};
use store::{Table, tables};

/// Most changes that are tried together.
const CHANGES_MAX: usize = 20;
/// What of a hub or provisioning service can be tried.
const SWITCHES: &[&str] = &["disableLocalAuth", "disableDeviceSAS", "disableModuleSAS"];

/// The changes that a body names.
///
/// # Errors
/// [`Error::Invalid`] where there are none or too many.
pub(crate) fn changes(body: &Value) -> Result<&[Value], Error> {
    let given = member(body, "changes").and_then(Value::as_array).map(Vec::as_slice);
    match given {
        Some(it) if (1..=CHANGES_MAX).contains(&it.len()) => Ok(it),
        Some(_) | None => Err(Error::invalid(
            "changes",
            format!("a list of 1 to {CHANGES_MAX} changes is expected, each with an `id`"),
        )),
    }
}

/// What a change is about.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn id_of(change: &Value, at: &str) -> Result<Scope, Error> {
    let id = text(change, &["id"])
        .ok_or_else(|| Error::invalid(format!("{at}.id"), "this text is required"))?;
    Scope::parse(id).map_err(|it| Error::invalid(format!("{at}.id"), it.to_string()))
}

/// The facts as they would be with all of the changes, one after another.
///
/// # Errors
/// [`Error::Invalid`] with the change that could not be made.
pub(crate) async fn facts_with(
    changes: &[Value],
    before: &Facts,
    env: &Env,
) -> Result<Facts, Error> {
    let mut changed = before.clone();
    for (index, change) in changes.iter().enumerate() {
        let at = format!("changes[{index}]");
        let id = id_of(change, &at)?;
        let (table, key) = place_of(&id, &at)?;
        let document = match member(change, "delete").and_then(Value::as_bool) {
            Some(true) if table == tables::RESOURCES => {
                let why = "what becomes of a deleted resource is not tried";
                return Err(Error::invalid(format!("{at}.delete"), why));
            }
            Some(true) => None,
            Some(false) | None => {
                let document = document(change, &id, table, &changed, env).await;
                Some(document.map_err(|it| within(it, &at))?)
            }
        };
        if document.is_none() && !is_there(table, &key, &changed) {
            let why = format!("there is no `{id}` to delete");
            return Err(Error::invalid(format!("{at}.id"), why));
        }
        let body = document.map(|it| it.to_string());
        facts::put(&mut changed, table, &key, body.as_deref().map(str::as_bytes))
            .map_err(|it| Error::invalid(&at, it))?;
    }
    Ok(changed)
}

/// In which table the document of an id is, under which key.
fn place_of(id: &Scope, at: &str) -> Result<(Table, String), Error> {
    let kind = id.resource_type().unwrap_or_default().to_ascii_lowercase();
    let table = match kind.as_str() {
        "microsoft.authorization/policyassignments" => tables::POLICY_ASSIGNMENTS,
        "microsoft.authorization/policydefinitions" => tables::POLICY_DEFINITIONS,
        "microsoft.authorization/policysetdefinitions" => tables::POLICY_SET_DEFINITIONS,
        "microsoft.authorization/policyexemptions" => tables::POLICY_EXEMPTIONS,
        "microsoft.authorization/roleassignments" => tables::ROLE_ASSIGNMENTS,
        "microsoft.authorization/denyassignments" => tables::DENY_ASSIGNMENTS,
        "microsoft.authorization/roledefinitions" => {
            return Ok((tables::ROLE_DEFINITIONS, id.name().to_ascii_lowercase()));
        }
        "microsoft.devices/iothubs" | "microsoft.devices/provisioningservices" => tables::RESOURCES,
        _ => {
            let why = format!(
                "`{id}` is nothing that can be tried: policies, initiatives, their assignments and exemptions can, \
                 roles, their assignments, deny assignments, and {} of a hub or provisioning service",
                SWITCHES.join(", ")
            );
            return Err(Error::invalid(format!("{at}.id"), why));
        }
    };
    Ok((table, id.key()))
}

fn is_there(table: Table, key: &str, facts: &Facts) -> bool {
    match table {
        tables::POLICY_ASSIGNMENTS => facts.policy_assignments.contains_key(key),
        tables::POLICY_DEFINITIONS => facts.policy_definitions.contains_key(key),
        tables::POLICY_SET_DEFINITIONS => facts.initiatives.contains_key(key),
        tables::POLICY_EXEMPTIONS => facts.policy_exemptions.contains_key(key),
        tables::DENY_ASSIGNMENTS => facts.deny_assignments.contains_key(key),
        tables::ROLE_ASSIGNMENTS => {
            facts.role_assignments.iter().any(|it| it.id.eq_ignore_ascii_case(key))
        }
        tables::ROLE_DEFINITIONS => {
            let role = ObjectId::parse(key).and_then(|it| facts.roles.get(&it));
            role.is_some_and(|it| !it.is_builtin)
        }
        _ => false,
    }
}

/// A resource of Microsoft.Authorization as it would be kept, or a hub or provisioning service with its switches set.
async fn document(
    change: &Value,
    id: &Scope,
    table: Table,
    facts: &Facts,
    env: &Env,
) -> Result<Value, Error> {
    let given = member(change, "properties")
        .filter(|it| it.is_object())
        .ok_or_else(|| Error::invalid("properties", "an object is expected"))?;
    if table == tables::RESOURCES {
        return with_switches(id, given, env).await;
    }
    let place = scope_before(id);
    let mut properties = given.clone();
    match table {
        tables::POLICY_ASSIGNMENTS => {
            check_scope(&place, facts)?;
            let terms = policy_terms::terms(given, &place, facts)?;
            set(&mut properties, "policyDefinitionId", terms.definition);
        }
        tables::POLICY_DEFINITIONS => policies::check_draft(given, facts)?,
        tables::POLICY_EXEMPTIONS => {
            let of = text(given, &["policyAssignmentId"]).unwrap_or_default();
            if !facts.policy_assignments.contains_key(&of.to_ascii_lowercase()) {
                let why = "there is no policy assignment of this id";
                return Err(Error::invalid("properties.policyAssignmentId", why));
            }
        }
        tables::ROLE_ASSIGNMENTS => assigned(&mut properties, id, &place, facts, env)?,
        tables::ROLE_DEFINITIONS => {
            let role = ObjectId::parse(id.name()).and_then(|it| facts.roles.get(&it));
            if role.is_some_and(|it| it.is_builtin) {
                return Err(Error::invalid("id", "built-in roles cannot be changed"));
            }
        }
        _ => {}
    }
    if matches!(
        table,
        tables::POLICY_ASSIGNMENTS | tables::ROLE_ASSIGNMENTS | tables::DENY_ASSIGNMENTS
    ) {
        set(&mut properties, "scope", place.as_str());
    }
    Ok(json!({ "id": id, "name": id.name(), "properties": properties }))
}

/// A role and a principal, each by its id or its name, and what is checked of the two.
fn assigned(
    properties: &mut Value,
    id: &Scope,
    place: &Scope,
    facts: &Facts,
    env: &Env,
) -> Result<(), Error> {
    check_scope(place, facts)?;
    let said = text(properties, &["roleDefinitionId"]).unwrap_or_default();
    let by_id = ObjectId::parse(said.rsplit('/').next().unwrap_or_default());
    let role = by_id
        .and_then(|it| facts.roles.get(&it))
        .or_else(|| facts.roles.values().find(|it| it.name.eq_ignore_ascii_case(said)));
    let Some(role) = role else {
        let why = "there is no role of this id or name";
        return Err(Error::invalid("properties.roleDefinitionId", why));
    };
    let said = text(properties, &["principalId"]).unwrap_or_default();
    let group = ObjectId::parse(said).filter(|it| facts.groups.get(*it).is_some());
    let principal = match group {
        Some(it) => it,
        None => caller_named(said, facts)?.object_id.unwrap_or(ObjectId(uuid::Uuid::nil())),
    };
    let new = NewAssignment { name: id.name(), principal, role, scope: place };
    check_assignment(&new, PrincipalGiven::ById, facts)?;
    set(properties, "roleDefinitionId", role.id.to_string());
    set(properties, "principalId", principal.to_string());
    set(properties, "createdOn", env.now().rfc3339());
    set(properties, "createdBy", "what-if");
    Ok(())
}

/// A hub or provisioning service as it is kept, but for its switches.
async fn with_switches(id: &Scope, given: &Value, env: &Env) -> Result<Value, Error> {
    let written = |it: Result<Value, serde_json::Error>| {
        it.map_err(|it| Error::Internal { message: it.to_string() })
    };
    let hub = devices::hubs::stored(env, id).await?;
    let mut document = match hub {
        Some((hub, _)) => written(serde_json::to_value(hub))?,
        None => match provisioning::services::stored(env, id).await? {
            Some((dps, _)) => written(serde_json::to_value(dps))?,
            None => return Err(crate::resources::no_resource(id)),
        },
    };
    for (name, value) in given.as_object().into_iter().flatten() {
        let switch = SWITCHES.iter().find(|it| it.eq_ignore_ascii_case(name));
        let (Some(switch), true) = (switch, value.is_boolean()) else {
            let why = format!("`true` or `false` can be tried for {}", SWITCHES.join(", "));
            return Err(Error::invalid(format!("properties.{name}"), why));
        };
        if let Some(properties) = document.pointer_mut("/resource/properties") {
            set(properties, switch, value.clone());
        }
    }
    Ok(document)
}

/// An error of one change, with the place of that change.
fn within(error: Error, change: &str) -> Error {
    let Error::Invalid { code, at, message } = error else { return error };
    let at = at.map_or_else(|| change.to_owned(), |it| format!("{change}.{it}"));
    Error::Invalid { code, at: Some(at), message }
}
