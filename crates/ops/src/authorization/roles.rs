//! Role definitions: built in or made by the tenant.

use super::policies::properties_of;
use super::{revisions, scope_before, stamp};
use crate::control::{all, commit, delete, get as read, put};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::Role;
use gate::writes::{NewRole, check_role_unused, permission, permissions_of, scopes_of};
use gate::{Facts, Link, Permit};
use model::json::member;
use model::roles::BUILTIN_ROLES;
use model::{Error, ObjectId, Scope};
use serde_json::{Value, json};
use store::{Expect, tables};

pub(crate) async fn put_definition(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let id = role_id(input.param("name"))?;
    if model::roles::builtin(&id.to_string()).is_some() {
        return Err(Error::Conflict {
            code: "RoleDefinitionIsBuiltIn",
            message: format!(
                "`{id}` is a built-in role, which nobody can change; write a role of your own under a new GUID"
            ),
        });
    }
    let given = properties_of(&input.body)?;
    let facts = env.facts.load();
    let key = id.to_string();
    let former: Option<(Value, u64)> = read(env, tables::ROLE_DEFINITIONS, &key).await?;
    let NewRole { name, scopes, permissions } = NewRole::read(id, given, &facts)?;
    for scope in &scopes {
        super::check_scope(scope, &facts)?;
    }
    let mut properties = json!({
        "roleName": name,
        "type": "CustomRole",
        "description": model::json::text(given, &["description"]).unwrap_or(""),
        "assignableScopes": scopes,
        "permissions": permissions,
    });
    let before = former.as_ref().and_then(|(it, _)| it.get("properties"));
    let author = permit.caller().key();
    stamp(
        &mut properties,
        before,
        &author,
        env,
        ["createdOn", "createdBy", "updatedOn", "updatedBy"],
    );
    let document = shown(&id_at(&scope_before(permit.scope()), id), id, properties);
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    let mut changes = vec![put(tables::ROLE_DEFINITIONS, &key, expect, &document)?];
    let before = former.as_ref().map(|(it, _)| it);
    let key = permit.scope().key();
    changes.extend(revisions::changes(permit, env, &key, before, &document).await?);
    commit(permit, env, changes).await?;
    Ok(Reply::created(document))
}

pub(crate) async fn get_definition(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let id = role_id(input.param("name"))?;
    let scope = scope_before(permit.scope());
    if let Some(role) = model::roles::builtin(&id.to_string()) {
        return Ok(Reply::ok(builtin_document(role, &scope)));
    }
    let found: Option<(Value, u64)> = read(env, tables::ROLE_DEFINITIONS, &id.to_string()).await?;
    found.map(|(it, _)| Reply::ok(it)).ok_or_else(|| not_found(id))
}

pub(crate) async fn list_definitions(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let scope = permit.scope();
    let facts = env.facts.load();
    let filter = Filter::parse(input.query("$filter").unwrap_or(""))?;
    let mut found: Vec<Value> =
        BUILTIN_ROLES.iter().map(|it| builtin_document(it, scope)).collect();
    for (_, document) in all::<Value>(env, tables::ROLE_DEFINITIONS, "").await? {
        let scopes =
            scopes_of(document.get("properties").unwrap_or(&Value::Null)).unwrap_or_default();
        if scopes.iter().any(|it| facts.contains(it, scope) || facts.contains(scope, it)) {
            found.push(document);
        }
    }
    found.retain(|it| filter.fits(it));
    Ok(Reply::list(found))
}

pub(crate) async fn delete_definition(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let id = role_id(input.param("name"))?;
    let key = id.to_string();
    let Some((document, revision)): Option<(Value, u64)> =
        read(env, tables::ROLE_DEFINITIONS, &key).await?
    else {
        return Ok(Reply::empty(204));
    };
    check_role_unused(id, &env.facts.load())?;
    let mut changes = vec![delete(tables::ROLE_DEFINITIONS, &key, Expect::Revision(revision))];
    let key = permit.scope().key();
    changes.extend(revisions::changes(permit, env, &key, Some(&document), &Value::Null).await?);
    commit(permit, env, changes).await?;
    Ok(Reply::ok(document))
}

/// Every scope at which the role of this call can be assigned, before and after it.
pub(crate) async fn assignable_scopes(input: &Input, env: &Env) -> Result<Vec<Scope>, Error> {
    let mut scopes = Vec::new();
    if let Some(given) = member(&input.body, "properties") {
        scopes.extend(scopes_of(given)?);
    }
    if let Ok(id) = role_id(input.param("name")) {
        let former: Option<(Value, u64)> =
            read(env, tables::ROLE_DEFINITIONS, &id.to_string()).await?;
        if let Some(given) = former.as_ref().and_then(|(it, _)| it.get("properties")) {
            scopes.extend(scopes_of(given)?);
        }
    }
    Ok(scopes)
}

/// What a change of a role that somebody holds takes besides.
pub(crate) fn links_of_change(input: &Input, facts: &Facts) -> Vec<Link> {
    match (role_id(input.param("name")), member(&input.body, "properties")) {
        (Ok(id), Some(given)) => gate::writes::links_of_change(id, given, facts),
        (Err(_), _) | (_, None) => Vec::new(),
    }
}

/// Brings a role's document into the facts.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let id = ObjectId::parse(key).ok_or("the key is not a GUID")?;
    let Some(body) = body else {
        facts.remove_role(id);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    facts.put_role(Role {
        id,
        name: model::json::text(properties, &["roleName"]).unwrap_or("").to_owned(),
        is_builtin: false,
        permissions: permissions_of(properties)
            .map_err(|it| it.to_string())?
            .iter()
            .map(permission)
            .collect::<Result<_, _>>()
            .map_err(|it| it.to_string())?,
        assignable_scopes: scopes_of(properties).map_err(|it| it.to_string())?,
    });
    Ok(())
}

fn role_id(name: &str) -> Result<ObjectId, Error> {
    ObjectId::parse(name)
        .ok_or_else(|| Error::invalid("path", "a role definition's name is a GUID"))
}

fn not_found(id: ObjectId) -> Error {
    Error::NotFound {
        code: "RoleDefinitionDoesNotExist",
        message: format!("The specified role definition with ID '{id}' does not exist."),
    }
}

/// A role's id as it is written in lists at `scope`: clients compare such ids as texts.
pub(super) fn id_at(scope: &Scope, id: impl std::fmt::Display) -> String {
    let subscription = scope.subscription_scope().unwrap_or_else(Scope::root);
    subscription
        .join(&format!("providers/Microsoft.Authorization/roleDefinitions/{id}"))
        .as_str()
        .to_owned()
}

fn shown(id: &str, name: ObjectId, properties: Value) -> Value {
    json!({ "id": id, "type": "Microsoft.Authorization/roleDefinitions", "name": name, "properties": properties })
}

fn builtin_document(role: &model::roles::BuiltinRole, scope: &Scope) -> Value {
    json!({
        "id": id_at(scope, role.id),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id,
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.says,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": role.not_data_actions,
                "condition": null,
                "conditionVersion": null,
            }],
            "createdOn": null, "updatedOn": null, "createdBy": null, "updatedBy": null,
        },
    })
}

/// The filters that clients send, each alone or joined by `and`.
struct Filter {
    name: Option<String>,
    kind: Option<String>,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut filter = Self { name: None, kind: None };
        for part in text.split(" and ").map(str::trim).filter(|it| !it.is_empty()) {
            let lower = part.to_ascii_lowercase();
            let value = || {
                part.split_once('\'').map(|(_, it)| it.trim_end_matches('\'').replace("''", "'"))
            };
            match () {
                () if lower == "atscope()" || lower == "atscopeandbelow()" => {}
                () if lower.starts_with("rolename eq '") => filter.name = value(),
                () if lower.starts_with("type eq '") => filter.kind = value(),
                () => {
                    return Err(Error::invalid(
                        "$filter",
                        format!(
                            "`{}` is not known; use atScopeAndBelow(), roleName eq '...' or type eq '...'",
                            part.escape_debug()
                        ),
                    ));
                }
            }
        }
        Ok(filter)
    }

    fn fits(&self, document: &Value) -> bool {
        let same = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|it| {
                model::json::text(document, &["properties", name])
                    .is_some_and(|mine| mine.eq_ignore_ascii_case(it))
            })
        };
        same(&self.name, "roleName") && same(&self.kind, "type")
    }
}
