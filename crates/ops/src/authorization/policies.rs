//! Policy definitions and their assignments.

use super::policy_terms::{self, Terms};
use super::{Reach, check_scope, policy_sets, revisions, scope_before};
use crate::control::{all, commit, delete, get as read, put};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::management_group;
use gate::policy::{
    Declared, ParameterFault, PolicyAssignment, PolicyDefinition, Values, check_mode, check_roles,
    parse,
};
use gate::{Facts, Permit};
use model::json::{member, text};
use model::{Error, Scope};
use serde_json::{Map, Value, json};
use store::{Expect, Table, tables};

/// Most custom definitions and most assignments at one scope.
const DEFINITIONS_MAX: usize = 500;
const ASSIGNMENTS_MAX: usize = 200;

pub(crate) async fn put_definition(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let place = scope_before(permit.scope());
    check_scope(&place, &env.facts.load())?;
    let is_group = management_group(&place).is_some();
    if !is_group && (place.subscription_id().is_none() || place.resource_group().is_some()) {
        return Err(Error::Invalid {
            code: "InvalidScope",
            at: Some("path".into()),
            message: "a policy definition lies in a subscription or a management group".into(),
        });
    }
    check_name(permit.scope().name(), 64)?;
    let given = properties_of(&input.body)?;
    check_text(given, "displayName", 128)?;
    check_text(given, "description", 512)?;
    let mode = text(given, &["mode"]).unwrap_or("All");
    if !["All", "Indexed", "Microsoft.Devices.Data"].iter().any(|it| it.eq_ignore_ascii_case(mode))
    {
        return Err(invalid_rule(
            "properties.mode",
            "modes are All, Indexed and Microsoft.Devices.Data",
        ));
    }
    let version = text(given, &["version"]).unwrap_or("1.0.0");
    policy_sets::check_version(permit.scope().as_str(), version, &env.facts.load())?;
    let former = former(env, tables::POLICY_DEFINITIONS, permit.scope()).await?;
    check_rules(given, mode, former.as_ref().map(|(it, _)| it), &env.facts.load())?;
    if former.is_none()
        && count_at(env, tables::POLICY_DEFINITIONS, &place).await? >= DEFINITIONS_MAX
    {
        return Err(Error::invalid(
            "path",
            format!("a scope holds at most {DEFINITIONS_MAX} policy definitions"),
        ));
    }
    let mut properties = kept(
        given,
        &["displayName", "description", "metadata", "parameters", "policyRule", "policyRules"],
    );
    properties.insert("policyType".into(), json!("Custom"));
    properties.insert("mode".into(), json!(mode));
    properties.insert("version".into(), json!(version));
    properties.insert("versions".into(), json!(["1.0.0"]));
    let document = document(permit, "policyDefinitions", properties, former.as_ref(), env);
    save(permit, env, tables::POLICY_DEFINITIONS, document, former).await
}

pub(crate) async fn get_definition(
    permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    show(permit, env, tables::POLICY_DEFINITIONS, "PolicyDefinitionNotFound", "policy definition")
        .await
}

pub(crate) async fn list_definitions(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    // Nothing is built in: the list of a tenant root is empty, and so is a filter for what is.
    let wants_builtin =
        input.query("$filter").is_some_and(|it| it.to_ascii_lowercase().contains("'builtin'"));
    let found = all::<Value>(env, tables::POLICY_DEFINITIONS, &below(permit.scope())).await?;
    Ok(Reply::list(found.into_iter().map(|(_, it)| it).filter(|_| !wants_builtin).collect()))
}

pub(crate) async fn delete_definition(
    permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    policy_sets::check_definition_unused(permit.scope().as_str(), &env.facts.load())?;
    remove(permit, env, tables::POLICY_DEFINITIONS).await
}

pub(crate) async fn put_assignment(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let place = scope_before(permit.scope());
    let facts = env.facts.load();
    check_scope(&place, &facts)?;
    check_name(permit.scope().name(), 128)?;
    let given = properties_of(&input.body)?;
    check_text(given, "displayName", 128)?;
    check_text(given, "description", 512)?;
    let Terms { definition, not_scopes, mode } = policy_terms::terms(given, &place, &facts)?;
    let former = former(env, tables::POLICY_ASSIGNMENTS, permit.scope()).await?;
    if former.is_none()
        && count_at(env, tables::POLICY_ASSIGNMENTS, &place).await? >= ASSIGNMENTS_MAX
    {
        return Err(Error::invalid(
            "path",
            format!("a scope holds at most {ASSIGNMENTS_MAX} policy assignments"),
        ));
    }
    let mut properties = kept(
        given,
        &[
            "displayName",
            "description",
            "metadata",
            "parameters",
            "nonComplianceMessages",
            "overrides",
            "resourceSelectors",
        ],
    );
    properties.insert("policyDefinitionId".into(), json!(definition));
    properties.insert("notScopes".into(), json!(not_scopes));
    properties.insert("enforcementMode".into(), json!(mode));
    properties.insert("scope".into(), json!(place));
    properties.insert("instanceId".into(), json!(env.new_uuid().to_string()));
    let mut document = document(permit, "policyAssignments", properties, former.as_ref(), env);
    for name in ["location", "identity"] {
        if let Some(it) = member(&input.body, name) {
            model::json::set(&mut document, name, it.clone());
        }
    }
    save(permit, env, tables::POLICY_ASSIGNMENTS, document, former).await
}

pub(crate) async fn get_assignment(
    permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    show(permit, env, tables::POLICY_ASSIGNMENTS, "PolicyAssignmentNotFound", "policy assignment")
        .await
}

/// Assignments near the scope, see [`Reach`], of one definition where the filter names it.
pub(crate) async fn list_assignments(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let filter = input.query("$filter").unwrap_or("");
    let (reach, lower) = (Reach::of(filter), filter.to_ascii_lowercase());
    let wanted = lower.split("policydefinitionid eq '").nth(1).and_then(|it| it.split('\'').next());
    let facts = env.facts.load();
    let mut found = Vec::new();
    for (_, document) in all::<Value>(env, tables::POLICY_ASSIGNMENTS, "").await? {
        let place = Scope::parse(text(&document, &["properties", "scope"]).unwrap_or("/"))
            .unwrap_or_else(|_| Scope::root());
        let definition = text(&document, &["properties", "policyDefinitionId"]).unwrap_or("");
        if reach.shows(&place, permit.scope(), &facts)
            && wanted.is_none_or(|it| definition.eq_ignore_ascii_case(it))
        {
            found.push(document);
        }
    }
    Ok(Reply::list(found))
}

pub(crate) async fn delete_assignment(
    permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    remove(permit, env, tables::POLICY_ASSIGNMENTS).await
}

/// The document of a policy object that a patch is laid over.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    let kind = scope.resource_type().unwrap_or_default().to_ascii_lowercase();
    let table = match kind.rsplit('/').next() {
        Some("policyassignments") => tables::POLICY_ASSIGNMENTS,
        Some("policyexemptions") => tables::POLICY_EXEMPTIONS,
        _ => tables::POLICY_DEFINITIONS,
    };
    Ok(former(env, table, scope).await?.map(|(it, _)| it))
}

/// Brings a definition's document into the facts.
pub(crate) fn change_definition(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_policy_definition(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_policy_definition(definition_of(&document, key)?);
    Ok(())
}

/// A definition's document, compiled.
pub(crate) fn definition_of(document: &Value, key: &str) -> Result<PolicyDefinition, String> {
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    let parsed = parse(properties).map_err(|it| it.to_string())?;
    let word = |path: &[&str]| text(document, path).unwrap_or("").to_owned();
    Ok(PolicyDefinition {
        id: text(document, &["id"]).unwrap_or(key).to_owned(),
        name: word(&["name"]),
        display_name: word(&["properties", "displayName"]),
        version: word(&["properties", "version"]),
        parameters: parsed.parameters,
        rules: parsed.rules,
    })
}

/// Brings an assignment's document into the facts.
pub(crate) fn change_assignment(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_policy_assignment(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    let word = |name: &str| text(properties, &[name]).unwrap_or("").to_owned();
    facts.put_policy_assignment(PolicyAssignment {
        id: text(&document, &["id"]).unwrap_or(key).to_owned(),
        name: text(&document, &["name"]).unwrap_or("").to_owned(),
        display_name: word("displayName"),
        scope: Scope::parse(&word("scope")).map_err(|it| it.to_string())?,
        not_scopes: policy_terms::not_scopes(properties).map_err(|it| it.to_string())?,
        definition_key: word("policyDefinitionId").to_ascii_lowercase(),
        definition_id: word("policyDefinitionId"),
        parameters: Values::kept(member(properties, "parameters")),
        is_enforced: !word("enforcementMode").eq_ignore_ascii_case("DoNotEnforce"),
        messages: policy_terms::messages(properties),
        overrides: policy_terms::overrides(properties).map_err(|it| it.to_string())?,
        resource_selectors: policy_terms::resource_selectors(properties)
            .map_err(|it| it.to_string())?,
    });
    Ok(())
}

/// Checks a definition that nobody writes.
///
/// # Errors
/// The place in the body, as where it is written.
pub(crate) fn check_draft(given: &Value, facts: &Facts) -> Result<(), Error> {
    check_rules(given, text(given, &["mode"]).unwrap_or("All"), None, facts)
}

/// Checks the rules and parameters of a definition, which may be in use already.
fn check_rules(
    given: &Value,
    mode: &str,
    former: Option<&Value>,
    facts: &Facts,
) -> Result<(), Error> {
    // By themselves first: what is wrong with them has codes of its own.
    let declared = Declared::parse(member(given, "parameters"));
    let declared = declared.map_err(|it| invalid_parameter(&it))?;
    let parsed = parse(given).and_then(|it| {
        check_mode(mode, &it.rules)?;
        check_roles(&it.rules, facts).map(|()| it)
    });
    let parsed =
        parsed.map_err(|it| invalid_rule(&format!("properties.{}", it.at), &it.because))?;
    if !parsed.unused.is_empty() {
        return Err(Error::Invalid {
            code: "UnusedPolicyParameters",
            at: Some("properties.parameters".into()),
            message: format!("no rule uses `{}`", parsed.unused.join("`, `")),
        });
    }
    parsed.check_defaults().map_err(|it| invalid_parameter(&it))?;
    let former =
        former.and_then(|it| Declared::parse(member(it.get("properties")?, "parameters")).ok());
    former.map_or(Ok(()), |it| declared.check_change_from(&it)).map_err(|it| invalid_parameter(&it))
}

pub(super) fn invalid_parameter(fault: &ParameterFault) -> Error {
    Error::Invalid {
        code: fault.code,
        at: Some(format!("properties.{}", fault.at)),
        message: fault.because.clone(),
    }
}

pub(super) fn invalid_rule(at: &str, because: &str) -> Error {
    Error::Invalid {
        code: "InvalidPolicyRule",
        at: Some(at.to_owned()),
        message: because.to_owned(),
    }
}

pub(super) fn properties_of(body: &Value) -> Result<&Value, Error> {
    member(body, "properties")
        .filter(|it| it.is_object())
        .ok_or_else(|| Error::invalid("properties", "an object is required"))
}

pub(super) fn check_text(properties: &Value, name: &str, chars_max: usize) -> Result<(), Error> {
    match member(properties, name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(it)) if it.chars().count() <= chars_max => Ok(()),
        Some(_) => Err(Error::invalid(
            format!("properties.{name}"),
            format!("a text of at most {chars_max} characters"),
        )),
    }
}

pub(super) fn check_name(name: &str, chars_max: usize) -> Result<(), Error> {
    let fits = (1..=chars_max).contains(&name.chars().count())
        && !name.chars().any(|it| it.is_control() || "<>*%&:?.+/\\".contains(it))
        && !name.ends_with(' ');
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(
            "path",
            format!(
                "a name has 1 to {chars_max} characters, none of < > * % & : ? . + / \\, and does not end in a space"
            ),
        )),
    }
}

pub(super) fn kept(properties: &Value, names: &[&str]) -> Map<String, Value> {
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), member(properties, name)?.clone())))
        .collect()
}

pub(super) type Former = Option<(Value, u64)>;

pub(super) async fn former(env: &Env, table: Table, scope: &Scope) -> Result<Former, Error> {
    read(env, table, &scope.key()).await
}

/// The document as it is kept and shown, with who wrote it first and last.
pub(super) fn document(
    permit: &Permit,
    kind: &str,
    properties: Map<String, Value>,
    former: Option<&(Value, u64)>,
    env: &Env,
) -> Value {
    let now = env.now().rfc3339();
    let author = permit.caller().key();
    let first = |name: &str, otherwise: &str| {
        former
            .and_then(|(it, _)| it.get("systemData")?.get(name).cloned())
            .unwrap_or_else(|| json!(otherwise))
    };
    json!({
        "id": permit.scope(),
        "name": permit.scope().name(),
        "type": format!("Microsoft.Authorization/{kind}"),
        "properties": properties,
        "systemData": {
            "createdBy": first("createdBy", &author),
            "createdByType": "Application",
            "createdAt": first("createdAt", &now),
            "lastModifiedBy": author,
            "lastModifiedByType": "Application",
            "lastModifiedAt": now,
        },
    })
}

pub(super) async fn save(
    permit: &Permit,
    env: &Env,
    table: Table,
    document: Value,
    former: Former,
) -> Result<Reply, Error> {
    let key = permit.scope().key();
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    let mut changes = vec![put(table, &key, expect, &document)?];
    let before = former.as_ref().map(|(it, _)| it);
    changes.extend(revisions::changes(permit, env, &key, before, &document).await?);
    commit(permit, env, changes).await?;
    // Azure answers 201 to every write of a definition or assignment, and the CLI takes nothing else.
    let is_new = former.is_none() || ![tables::POLICY_EXEMPTIONS, tables::LOCKS].contains(&table);
    Ok(if is_new { Reply::created(document) } else { Reply::ok(document) })
}

pub(super) async fn show(
    permit: &Permit,
    env: &Env,
    table: Table,
    code: &'static str,
    noun: &str,
) -> Result<Reply, Error> {
    let found = former(env, table, permit.scope()).await?;
    found.map(|(it, _)| Reply::ok(it)).ok_or_else(|| Error::NotFound {
        code,
        message: format!("The {noun} '{}' could not be found.", permit.scope().name()),
    })
}

pub(super) async fn remove(permit: &Permit, env: &Env, table: Table) -> Result<Reply, Error> {
    let key = permit.scope().key();
    let Some((document, revision)) = former(env, table, permit.scope()).await? else {
        return Ok(Reply::empty(204));
    };
    let mut changes = vec![delete(table, &key, Expect::Revision(revision))];
    changes.extend(revisions::changes(permit, env, &key, Some(&document), &Value::Null).await?);
    commit(permit, env, changes).await?;
    Ok(Reply::ok(document))
}

/// The key prefix of everything below a scope.
pub(super) fn below(scope: &Scope) -> String {
    if scope.is_root() { "/providers/".into() } else { format!("{}/", scope.key()) }
}

pub(super) async fn count_at(env: &Env, table: Table, place: &Scope) -> Result<usize, Error> {
    let all =
        all::<Value>(env, table, &format!("{}/providers/microsoft.authorization/", place.key()))
            .await?;
    Ok(all.len())
}
