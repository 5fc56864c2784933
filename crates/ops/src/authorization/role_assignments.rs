//! Role assignments: a role given to a principal at a scope.

use super::revisions::Noted;
use super::{check_scope, policies, revisions, roles, scope_before, stamp};
use crate::control::{all, commit, get as read, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::{Principal, RoleAssignment};
use gate::writes::{
    NewAssignment, PrincipalGiven, check_assignment, keep_condition, read_condition,
};
use gate::{Facts, Permit};
use model::{Error, ObjectId, PrincipalKind, Scope, Timestamp};
use serde_json::{Map, Value, json};
use store::{Expect, tables};

/// Source: Azure RBAC documentation, REST reference of role assignments.
const PRINCIPAL_TYPES: [&str; 5] = ["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"];

/// Most changes that one answer tells of.
const CHANGES_MAX: usize = 1_000;

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = ObjectId::parse(input.param("name"))
        .ok_or_else(|| Error::invalid("path", "a role assignment's name is a GUID"))?;
    let scope = scope_before(permit.scope());
    let facts = env.facts.load();
    check_scope(&scope, &facts)?;
    let role_text = input.required_text(&["properties", "roleDefinitionId"])?;
    let role = ObjectId::parse(role_text.rsplit('/').next().unwrap_or(""))
        .and_then(|it| facts.roles.get(&it))
        .ok_or_else(|| Error::Invalid {
            code: "RoleDefinitionDoesNotExist",
            at: Some("properties.roleDefinitionId".into()),
            message: format!(
                "The specified role definition with ID '{}' does not exist.",
                role_text.escape_debug()
            ),
        })?;
    let principal_text = input.required_text(&["properties", "principalId"])?;
    let principal = ObjectId::parse(principal_text)
        .ok_or_else(|| Error::invalid("properties.principalId", "an object id is a GUID"))?;
    let given_type = given_type(input)?;
    let known = facts.kind_of(principal);
    let given = model::json::member(&input.body, "properties").unwrap_or(&Value::Null);
    let condition = read_condition(given, "properties")?;
    let key = permit.scope().key();
    let former: Option<(Value, u64)> = read(env, tables::ROLE_ASSIGNMENTS, &key).await?;
    let unknown =
        permit.trace().and_then(|it| env.newcomers.unknown_s(principal, it.id, env.now()));
    let given_kind = match (given_type, unknown) {
        (Some(_), _) => PrincipalGiven::WithType,
        (None, Some(_)) => PrincipalGiven::Unseen,
        (None, None) => PrincipalGiven::ById,
    };
    let new = NewAssignment { name: &name.to_string(), principal, role, scope: &scope };
    check_assignment(&new, given_kind, &facts)?;
    let mut properties = json!({
        "roleDefinitionId": roles::id_at(&scope, role.id),
        "principalId": principal,
        "principalType": principal_type(known, given_type),
        "scope": scope,
        "description": input.text(&["properties", "description"]),
        "delegatedManagedIdentityResourceId": null,
    });
    keep_condition(&mut properties, condition.as_ref());
    let before = former.as_ref().and_then(|(it, _)| it.get("properties"));
    stamp(
        &mut properties,
        before,
        &permit.caller().key(),
        env,
        ["createdOn", "createdBy", "updatedOn", "updatedBy"],
    );
    let document = json!({
        "id": permit.scope(), "type": "Microsoft.Authorization/roleAssignments", "name": name, "properties": properties,
    });
    let is_new = former.is_none();
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    let mut changes = vec![keep(tables::ROLE_ASSIGNMENTS, &key, expect, &document)?];
    let before = former.as_ref().map(|(it, _)| it);
    changes.extend(revisions::changes(permit, env, &key, before, &document).await?);
    commit(permit, env, changes).await?;
    Ok(if is_new { Reply::created(document) } else { Reply::ok(document) })
}

/// The type of principal that the body names, in the casing in which conditions compare it.
fn given_type(input: &Input) -> Result<Option<&'static str>, Error> {
    let text = input.text(&["properties", "principalType"]).filter(|it| !it.is_empty());
    let Some(text) = text else { return Ok(None) };
    let known = PRINCIPAL_TYPES.iter().find(|it| it.eq_ignore_ascii_case(text));
    match known {
        Some(it) => Ok(Some(it)),
        None => Err(Error::invalid(
            "properties.principalType",
            format!("a principal's type is one of {}", PRINCIPAL_TYPES.join(", ")),
        )),
    }
}

/// What a principal is stored as: what the directory knows counts, not what the body says.
fn principal_type(known: Option<PrincipalKind>, given: Option<&'static str>) -> &'static str {
    known.map_or(given.unwrap_or("ServicePrincipal"), PrincipalKind::directory_type)
}

/// What conditions see below `@Request` of an assignment that a call would write: the role, the principal
/// and its type as they would be stored. What could not be stored is left out, and compares as missing.
///
/// Source: Azure RBAC documentation, "Delegate Azure access management to others", attributes.
pub(crate) fn asked_for(input: &Input, facts: &Facts) -> Map<String, Value> {
    let text = |name: &str| input.text(&["properties", name]).unwrap_or("");
    let principal = ObjectId::parse(text("principalId"));
    let known = principal.and_then(|it| facts.kind_of(it));
    let kind = given_type(input).map(|it| principal_type(known, it)).ok();
    seen(text("roleDefinitionId"), principal, kind)
}

/// What conditions see below `@Resource` of the assignment that a call would delete; nothing where there
/// is none.
pub(crate) async fn stored(scope: &Scope, env: &Env) -> Result<Map<String, Value>, Error> {
    let found: Option<(Value, u64)> = read(env, tables::ROLE_ASSIGNMENTS, &scope.key()).await?;
    let Some((document, _)) = found else { return Ok(Map::new()) };
    let text = |name: &str| model::json::text(&document, &["properties", name]).unwrap_or("");
    let principal = ObjectId::parse(text("principalId"));
    Ok(seen(text("roleDefinitionId"), principal, Some(text("principalType"))))
}

fn seen(role: &str, principal: Option<ObjectId>, kind: Option<&str>) -> Map<String, Value> {
    let role = ObjectId::parse(role.rsplit('/').next().unwrap_or(""));
    let all = [
        ("RoleDefinitionId", json!(role)),
        ("PrincipalId", json!(principal)),
        ("PrincipalType", json!(kind)),
    ];
    all.into_iter()
        .map(|(name, it)| (format!("Microsoft.Authorization/roleAssignments:{name}"), it))
        .collect()
}

pub(crate) async fn get(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let found: Option<(Value, u64)> =
        read(env, tables::ROLE_ASSIGNMENTS, &permit.scope().key()).await?;
    found.map(|(it, _)| Reply::ok(spread(it, env))).ok_or_else(|| Error::NotFound {
        code: "RoleAssignmentNotFound",
        message: format!("The role assignment '{}' is not found.", permit.scope().name()),
    })
}

/// Without a filter, every assignment at, above and below the scope; `atScope()` leaves out those below.
/// `principalId eq` asks for what a principal holds itself, `assignedTo()` also for what its groups hold.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let filter = Filter::parse(input.query("$filter").unwrap_or(""))?;
    let facts = env.facts.load();
    let holders: Option<Vec<String>> = filter.principal.as_ref().map(|own| {
        let id = ObjectId::parse(own).filter(|_| filter.has_groups);
        let groups = id.into_iter().flat_map(|it| facts.groups.of(it));
        groups.map(|it| it.group.to_string()).chain([own.clone()]).collect()
    });
    let here = permit.scope();
    let mut found = Vec::new();
    for (_, document) in all::<Value>(env, tables::ROLE_ASSIGNMENTS, "").await? {
        let text = |name: &str| {
            model::json::text(&document, &["properties", name]).unwrap_or("").to_owned()
        };
        let scope = Scope::parse(&text("scope")).unwrap_or_else(|_| Scope::root());
        let is_near =
            facts.contains(&scope, here) || (!filter.at_scope && facts.contains(here, &scope));
        let holder = text("principalId");
        let is_whose = holders
            .as_ref()
            .is_none_or(|all| all.iter().any(|it| it.eq_ignore_ascii_case(&holder)));
        if is_near && is_whose {
            found.push(spread(seen_from(here, document), env));
        }
    }
    Ok(Reply::list(found))
}

/// `GET {scope}/.../roleAssignmentHistory`: every change of an assignment at, above and below the scope, oldest first,
/// with what was there before and after it. At most [`CHANGES_MAX`], the newest; `truncated` says that there are more.
/// What was there from first start on has no change that made it. Azure has no such list.
pub(crate) async fn history(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let here = permit.scope();
    let is_near = |it: &Noted| {
        let place = place_of(&it.key);
        place.is_some_and(|place| facts.contains(&place, here) || facts.contains(here, &place))
    };
    let (mut found, is_cut) = revisions::noted(env, "", &is_near).await?;
    found.sort_by_key(|it| (it.time, it.commit));
    let older = found.len().saturating_sub(CHANGES_MAX);
    let changes: Vec<Value> = found.drain(older..).map(Noted::shown).collect();
    Ok(Reply::ok(json!({ "value": changes, "truncated": is_cut || older > 0 })))
}

/// The scope of the assignment with this key; none where it is the key of something else.
fn place_of(key: &str) -> Option<Scope> {
    let (kind, _) = key.rsplit_once('/')?;
    let place = kind.strip_suffix("/providers/microsoft.authorization/roleassignments")?;
    Scope::parse(if place.is_empty() { "/" } else { place }).ok()
}

/// An assignment with how far it has come, where changes of roles take time. Azure has no such member.
fn spread(mut document: Value, env: &Env) -> Value {
    let made =
        model::json::text(&document, &["properties", "createdOn"]).and_then(Timestamp::parse);
    let come = made.and_then(|it| env.settings.propagation.spread(it, env.now()));
    if let (Some(come), Some(properties)) = (come, document.get_mut("properties")) {
        model::json::set(properties, "propagation", come);
    }
    document
}

/// The role's id as the list of roles at the same place writes it: clients match the two as texts.
fn seen_from(here: &Scope, mut document: Value) -> Value {
    let role = model::json::text(&document, &["properties", "roleDefinitionId"]);
    let role = role.and_then(|it| it.rsplit('/').next()).unwrap_or("");
    let id = roles::id_at(here, role);
    if let Some(properties) = document.get_mut("properties") {
        model::json::set(properties, "roleDefinitionId", id);
    }
    document
}

pub(crate) async fn delete(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    policies::remove(permit, env, tables::ROLE_ASSIGNMENTS).await
}

/// True for somebody who is switched on and has something to sign in with. Nobody signs in as a managed
/// identity.
fn can_sign_in(principal: &Principal, facts: &Facts) -> bool {
    let has_some =
        |app: ObjectId| facts.applications.get(&app).is_some_and(|it| it.has_credentials());
    principal.is_enabled
        && principal.kind != PrincipalKind::ManagedIdentity
        && principal.app_id.is_none_or(has_some)
}

/// Checks that a change leaves somebody Owner of the tenant who can sign in, whatever it is that would take
/// the last one away: the assignment, the principal, its being switched on or its place in a group.
///
/// # Errors
/// `LastOwner`.
pub(crate) fn check_an_owner_stays(before: &Facts, after: &Facts) -> Result<(), Error> {
    let has_owner = |facts: &Facts| {
        facts.role_assignments.iter().any(|it| {
            it.scope.is_root()
                && it.role.to_string() == model::roles::OWNER
                && facts.principals.values().any(|who| {
                    let is_held =
                        who.id == it.principal || facts.groups.is_in(who.id, it.principal);
                    is_held && can_sign_in(who, facts)
                })
        })
    };
    match has_owner(after) || !has_owner(before) {
        true => Ok(()),
        false => Err(Error::Conflict {
            code: "LastOwner",
            message: "Cannot delete the last RBAC admin assignment: nobody could undo it. Make somebody else \
                      Owner at `/` first."
                .into(),
        }),
    }
}

/// Brings an assignment's document into the facts.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_role_assignment(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let text = |name: &str| model::json::text(&document, &["properties", name]).unwrap_or("");
    facts.put_role_assignment(RoleAssignment {
        id: model::json::text(&document, &["id"]).unwrap_or(key).to_owned(),
        name: model::json::text(&document, &["name"]).unwrap_or("").to_owned(),
        principal: ObjectId::parse(text("principalId")).ok_or("`principalId` is not a GUID")?,
        role: ObjectId::parse(text("roleDefinitionId").rsplit('/').next().unwrap_or(""))
            .ok_or("`roleDefinitionId` is not one")?,
        scope: Scope::parse(text("scope")).map_err(|it| it.to_string())?,
        // What nobody made was there before anything could spread: the administrator's, see [`first`].
        created: Timestamp::parse(text("createdOn"))
            .filter(|_| !text("createdBy").is_empty())
            .unwrap_or_default(),
        deleted: None,
        // INVARIANT: an assignment whose condition cannot be read does not come into the facts without it.
        condition: read_condition(document.get("properties").unwrap_or(&Value::Null), "properties")
            .map_err(|it| it.to_string())?,
    });
    Ok(())
}

/// The document of an assignment that nobody asked for: the administrator's own, at first start.
pub fn first(
    name: ObjectId,
    principal: ObjectId,
    role: &str,
    scope: &Scope,
    now: Timestamp,
) -> Result<store::Change, Error> {
    let id = scope.join(&format!("providers/Microsoft.Authorization/roleAssignments/{name}"));
    let document = json!({
        "id": id, "type": "Microsoft.Authorization/roleAssignments", "name": name,
        "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
            "principalId": principal, "principalType": "ServicePrincipal", "scope": scope,
            "condition": null, "conditionVersion": null, "description": "made at first start",
            "createdOn": now.rfc3339(), "createdBy": null, "updatedOn": null, "updatedBy": null,
        },
    });
    keep(tables::ROLE_ASSIGNMENTS, id.key(), Expect::Anything, &document)
}

struct Filter {
    at_scope: bool,
    principal: Option<String>,
    /// Also what the principal's groups hold.
    has_groups: bool,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut filter = Self { at_scope: false, principal: None, has_groups: false };
        for part in text.split(" and ").map(str::trim).filter(|it| !it.is_empty()) {
            let lower = part.to_ascii_lowercase();
            match () {
                () if lower == "atscope()" => filter.at_scope = true,
                () if lower == "atscopeandbelow()" => {}
                () if lower.starts_with("principalid eq '")
                    || lower.starts_with("assignedto('") =>
                {
                    filter.principal = lower.split('\'').nth(1).map(str::to_owned);
                    filter.has_groups = lower.starts_with("assignedto");
                }
                () => {
                    return Err(Error::invalid(
                        "$filter",
                        format!(
                            "`{}` is not known; use atScope(), principalId eq '...' or assignedTo('...')",
                            part.escape_debug()
                        ),
                    ));
                }
            }
        }
        Ok(filter)
    }
}
