//! Initiatives: policy set definitions, each a list of definitions that are assigned together.

use super::policies::{
    below, check_name, check_text, count_at, document, former, invalid_parameter, invalid_rule,
    kept, properties_of, remove, save, show,
};
use super::{check_scope, scope_before};
use crate::control::all;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::management_group;
use gate::policy::{Declared, Initiative, Member, check_members, parse_members, version_fits};
use gate::{Facts, Permit};
use model::json::{member, set, text};
use model::{Error, Scope};
use serde_json::{Value, json};
use store::tables;

/// Most initiatives at one scope.
const INITIATIVES_MAX: usize = 200;

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = scope_before(permit.scope());
    let facts = env.facts.load();
    check_scope(&place, &facts)?;
    let is_group = management_group(&place).is_some();
    if !is_group && (place.subscription_id().is_none() || place.resource_group().is_some()) {
        return Err(Error::Invalid {
            code: "InvalidScope",
            at: Some("path".into()),
            message: "an initiative lies in a subscription or a management group".into(),
        });
    }
    check_name(permit.scope().name(), 64)?;
    let given = properties_of(&input.body)?;
    check_text(given, "displayName", 128)?;
    check_text(given, "description", 512)?;
    let declared = declared_of(given)?;
    let members = members_of(given, &declared)?;
    for (index, it) in members.iter().enumerate() {
        check_member(&format!("policyDefinitions[{index}]"), it, &place, &facts)?;
    }
    check_members(&members, &facts).map_err(|it| invalid_parameter(&it))?;
    let former = former(env, tables::POLICY_SET_DEFINITIONS, permit.scope()).await?;
    if let Some(former) = former.as_ref().and_then(|(it, _)| it.get("properties")) {
        let before = declared_of(former)?;
        declared.check_change_from(&before).map_err(|it| invalid_parameter(&it))?;
    }
    if former.is_none()
        && count_at(env, tables::POLICY_SET_DEFINITIONS, &place).await? >= INITIATIVES_MAX
    {
        return Err(Error::invalid(
            "path",
            format!("a scope holds at most {INITIATIVES_MAX} initiatives"),
        ));
    }
    let names = ["displayName", "description", "metadata", "parameters", "policyDefinitionGroups"];
    let mut properties = kept(given, &names);
    properties.insert("policyDefinitions".into(), shown(given, &members, &facts));
    properties.insert("policyType".into(), json!("Custom"));
    properties.insert("version".into(), json!(text(given, &["version"]).unwrap_or("1.0.0")));
    properties.insert("versions".into(), json!(["1.0.0"]));
    let document = document(permit, "policySetDefinitions", properties, former.as_ref(), env);
    save(permit, env, tables::POLICY_SET_DEFINITIONS, document, former).await
}

pub(crate) async fn get(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let code = "PolicySetDefinitionNotFound";
    show(permit, env, tables::POLICY_SET_DEFINITIONS, code, "policy set definition").await
}

pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    // Nothing is built in, see the list of definitions.
    let wants_builtin =
        input.query("$filter").is_some_and(|it| it.to_ascii_lowercase().contains("'builtin'"));
    let found = all::<Value>(env, tables::POLICY_SET_DEFINITIONS, &below(permit.scope())).await?;
    Ok(Reply::list(found.into_iter().map(|(_, it)| it).filter(|_| !wants_builtin).collect()))
}

pub(crate) async fn delete(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let users = assignments_of(permit.scope().as_str(), &facts);
    if !users.is_empty() {
        return Err(Error::Conflict {
            code: "PolicySetDefinitionInUse",
            message: format!(
                "the initiative is assigned by {}; delete the assignments first",
                users.join(", ")
            ),
        });
    }
    remove(permit, env, tables::POLICY_SET_DEFINITIONS).await
}

/// Brings an initiative's document into the facts.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_initiative(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    let parameters = declared_of(properties).map_err(|it| it.to_string())?;
    let word = |path: &[&str]| text(&document, path).unwrap_or("").to_owned();
    facts.put_initiative(Initiative {
        id: text(&document, &["id"]).unwrap_or(key).to_owned(),
        name: word(&["name"]),
        display_name: word(&["properties", "displayName"]),
        version: word(&["properties", "version"]),
        members: parse_members(properties, &parameters).map_err(|it| it.to_string())?,
        parameters,
    });
    Ok(())
}

/// What an assignment brings to its scope `place`: the id as it is kept, and the initiative where it is one.
///
/// # Errors
/// `PolicyDefinitionNotFound` or `PolicySetDefinitionNotFound`; the place in the body where it lies in another
/// subscription or management group than the assignment would.
pub(super) fn assigned<'a>(
    id: &str,
    place: &Scope,
    facts: &'a Facts,
) -> Result<(&'a str, Option<&'a Initiative>), Error> {
    let key = id.to_ascii_lowercase();
    if let Some(it) = facts.policy_definitions.get(&key) {
        check_reach(&it.id, "policy definition", place, facts)?;
        return Ok((&it.id, None));
    }
    if let Some(it) = facts.initiatives.get(&key) {
        check_reach(&it.id, "initiative", place, facts)?;
        return Ok((&it.id, Some(it)));
    }
    let (code, noun) = match key.contains("/policysetdefinitions/") {
        true => ("PolicySetDefinitionNotFound", "initiative"),
        false => ("PolicyDefinitionNotFound", "policy definition"),
    };
    Err(Error::NotFound { code, message: format!("there is no {noun} `{}`", id.escape_debug()) })
}

/// Checks that what is defined lies at or above the place where it would be assigned. What is assigned already
/// stays when its subscription goes to another management group: it kept order there, and nobody asked for an end.
fn check_reach(id: &str, noun: &str, place: &Scope, facts: &Facts) -> Result<(), Error> {
    let lies_at = Scope::parse(id).map(|it| scope_before(&it)).map_err(|it| Error::Internal {
        message: format!("the id of a {noun} cannot be read: {it}"),
    })?;
    match facts.contains(&lies_at, place) {
        true => Ok(()),
        false => Err(Error::invalid(
            "properties.policyDefinitionId",
            format!(
                "the {noun} lies at `{lies_at}` and can be assigned there and below; `{place}` is not below it"
            ),
        )),
    }
}

/// Checks that nothing needs a definition any more.
///
/// # Errors
/// `PolicyDefinitionInUse`, with what uses it.
pub(super) fn check_definition_unused(id: &str, facts: &Facts) -> Result<(), Error> {
    let mut users = assignments_of(id, facts);
    let noun = match users.is_empty() {
        true => "initiatives",
        false => "assignments",
    };
    if users.is_empty() {
        users = initiatives_with(id, facts).map(|(it, _)| it.id.as_str()).collect();
        users.sort_unstable();
        users.dedup();
    }
    if users.is_empty() {
        return Ok(());
    }
    let verb = if noun == "assignments" { "assigned by" } else { "a member of" };
    Err(Error::Conflict {
        code: "PolicyDefinitionInUse",
        message: format!(
            "the definition is {verb} {}; delete the {noun} first, or take it out of them",
            users.join(", ")
        ),
    })
}

/// Checks that a definition's new version still fits the initiatives that ask for one.
///
/// # Errors
/// `PolicyDefinitionInUse`: only the latest content is kept, so the member would silently become another.
pub(super) fn check_version(id: &str, version: &str, facts: &Facts) -> Result<(), Error> {
    let asks_for_another = |(_, it): &(&Initiative, &Member)| {
        it.version.as_ref().is_some_and(|asked| !version_fits(asked, version))
    };
    match initiatives_with(id, facts).find(asks_for_another) {
        None => Ok(()),
        Some((initiative, it)) => Err(Error::Conflict {
            code: "PolicyDefinitionInUse",
            message: format!(
                "the member `{}` of the initiative `{}` asks for version `{}` of the definition, which `{}` is not",
                it.reference_id,
                initiative.name,
                it.version.as_deref().unwrap_or(""),
                version.escape_debug()
            ),
        }),
    }
}

fn initiatives_with<'a>(
    id: &str,
    facts: &'a Facts,
) -> impl Iterator<Item = (&'a Initiative, &'a Member)> {
    let key = id.to_ascii_lowercase();
    facts
        .initiatives
        .values()
        .flat_map(|it| it.members.iter().map(move |member| (&**it, member)))
        .filter(move |(_, it)| it.definition_key == key)
}

fn assignments_of<'a>(id: &str, facts: &'a Facts) -> Vec<&'a str> {
    let all = facts.policy_assignments.values();
    let of_it = all.filter(|it| it.definition_id.eq_ignore_ascii_case(id));
    of_it.map(|it| it.id.as_str()).collect()
}

fn declared_of(properties: &Value) -> Result<Declared, Error> {
    Declared::parse(member(properties, "parameters")).map_err(|it| invalid_parameter(&it))
}

fn members_of(properties: &Value, declared: &Declared) -> Result<Vec<Member>, Error> {
    parse_members(properties, declared)
        .map_err(|it| invalid_rule(&format!("properties.{}", it.at), &it.because))
}

/// Checks that a member is a definition that can be had here, in the version that is asked for.
fn check_member(at: &str, it: &Member, place: &Scope, facts: &Facts) -> Result<(), Error> {
    let Some(definition) = facts.policy_definitions.get(&it.definition_key) else {
        if facts.initiatives.contains_key(&it.definition_key) {
            return Err(invalid_rule(
                &format!("properties.{at}.policyDefinitionId"),
                "an initiative holds definitions, and no other initiative",
            ));
        }
        return Err(Error::NotFound {
            code: "PolicyDefinitionNotFound",
            message: format!(
                "{at}: there is no policy definition `{}`",
                it.definition_id.escape_debug()
            ),
        });
    };
    let lies_at = Scope::parse(&definition.id).map(|it| scope_before(&it));
    if !lies_at.is_ok_and(|it| facts.contains(&it, place)) {
        return Err(invalid_rule(
            &format!("properties.{at}.policyDefinitionId"),
            "the definition lies in another subscription or management group than the initiative",
        ));
    }
    match &it.version {
        Some(asked) if !version_fits(asked, &definition.version) => Err(invalid_rule(
            &format!("properties.{at}.definitionVersion"),
            &format!(
                "the definition's version is `{}`, and no other is kept",
                definition.version.escape_debug()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// The members as they are kept: each with its name, and with the id that its definition has.
fn shown(properties: &Value, members: &[Member], facts: &Facts) -> Value {
    let told = member(properties, "policyDefinitions").and_then(Value::as_array);
    let one = |(told, it): (&Value, &Member)| {
        let known = facts.policy_definitions.get(&it.definition_key);
        let mut shown = json!({
            "policyDefinitionId": known.map_or(it.definition_id.as_str(), |it| it.id.as_str()),
            "policyDefinitionReferenceId": it.reference_id,
            "parameters": member(told, "parameters").filter(|it| it.is_object()).unwrap_or(&json!({})),
        });
        if let Some(names) = member(told, "groupNames").filter(|it| it.is_array()) {
            set(&mut shown, "groupNames", names.clone());
        }
        if let Some(version) = &it.version {
            set(&mut shown, "definitionVersion", json!(version));
        }
        shown
    };
    Value::Array(told.into_iter().flatten().zip(members).map(one).collect())
}
