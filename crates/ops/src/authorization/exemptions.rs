//! Policy exemptions: an assignment's rules taken away from a scope, for a time, for everybody or for some.

use super::policies::{
    check_name, check_text, count_at, document, former, kept, properties_of, remove, save, show,
};
use super::{Reach, policy_terms, scope_before};
use crate::control::all;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::policy::{Exemption, MEMBERS_MAX};
use gate::{Facts, Permit};
use model::json::{member, text};
use model::{Error, ObjectId, Scope, Timestamp};
use serde_json::{Value, json};
use store::tables;

/// Most exemptions at one scope, and most callers that one of them names.
const EXEMPTIONS_MAX: usize = 1_000;
const PRINCIPALS_MAX: usize = 100;

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = scope_before(permit.scope());
    let facts = env.facts.load();
    check_place(&place, &facts)?;
    check_name(permit.scope().name(), 64)?;
    let given = properties_of(&input.body)?;
    check_text(given, "displayName", 128)?;
    check_text(given, "description", 512)?;
    let id = text(given, &["policyAssignmentId"]).ok_or_else(|| {
        Error::invalid("properties.policyAssignmentId", "the id of a policy assignment is required")
    })?;
    let assignment =
        facts.policy_assignments.get(&id.to_ascii_lowercase()).ok_or_else(|| Error::NotFound {
            code: "PolicyAssignmentNotFound",
            message: format!("there is no policy assignment `{}`", id.escape_debug()),
        })?;
    let skips_check = text(given, &["assignmentScopeValidation"])
        .is_some_and(|it| it.eq_ignore_ascii_case("DoNotValidate"));
    if !skips_check && !facts.contains(&assignment.scope, &place) {
        return Err(Error::invalid(
            "path",
            format!(
                "the assignment `{}` is at `{}`, which does not contain `{place}`: it has no effect here to be exempt from",
                assignment.name, assignment.scope
            ),
        ));
    }
    let category = text(given, &["exemptionCategory"]).unwrap_or("");
    if !["Waiver", "Mitigated"].iter().any(|it| it.eq_ignore_ascii_case(category)) {
        return Err(Error::invalid(
            "properties.exemptionCategory",
            "categories are Waiver and Mitigated",
        ));
    }
    let initiative = facts.initiatives.get(&assignment.definition_key).map(|it| &**it);
    for (index, it) in reference_ids_of(given)?.iter().enumerate() {
        let at = format!("policyDefinitionReferenceIds[{index}]");
        policy_terms::check_reference(&at, it, initiative)?;
    }
    policy_terms::resource_selectors(given)?;
    expires_of(given)?;
    principals_of(given)?;
    let former = former(env, tables::POLICY_EXEMPTIONS, permit.scope()).await?;
    if former.is_none() && count_at(env, tables::POLICY_EXEMPTIONS, &place).await? >= EXEMPTIONS_MAX
    {
        return Err(Error::invalid(
            "path",
            format!("a scope holds at most {EXEMPTIONS_MAX} exemptions"),
        ));
    }
    let mut properties = kept(
        given,
        &[
            "displayName",
            "description",
            "metadata",
            "expiresOn",
            "principalIds",
            "assignmentScopeValidation",
            "policyDefinitionReferenceIds",
            "resourceSelectors",
        ],
    );
    properties.insert("policyAssignmentId".into(), json!(assignment.id));
    properties.insert("exemptionCategory".into(), json!(category));
    let document = document(permit, "policyExemptions", properties, former.as_ref(), env);
    save(permit, env, tables::POLICY_EXEMPTIONS, document, former).await
}

pub(crate) async fn get(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    show(permit, env, tables::POLICY_EXEMPTIONS, "PolicyExemptionNotFound", "policy exemption")
        .await
}

/// Exemptions near the scope, see [`Reach`]; `excludeExpired()` leaves out those that are over.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let filter = input.query("$filter").unwrap_or("");
    let reach = Reach::of(filter);
    let skips_expired = filter.to_ascii_lowercase().contains("excludeexpired()");
    let (now, facts) = (env.now(), env.facts.load());
    let mut found = Vec::new();
    for (_, document) in all::<Value>(env, tables::POLICY_EXEMPTIONS, "").await? {
        let id =
            Scope::parse(text(&document, &["id"]).unwrap_or("/")).unwrap_or_else(|_| Scope::root());
        let expires = expires_of(document.get("properties").unwrap_or(&Value::Null))?;
        let is_over = expires.is_some_and(|it| it <= now);
        if reach.shows(&scope_before(&id), permit.scope(), &facts) && !(is_over && skips_expired) {
            found.push(document);
        }
    }
    Ok(Reply::list(found))
}

pub(crate) async fn delete(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    remove(permit, env, tables::POLICY_EXEMPTIONS).await
}

/// Brings an exemption's document into the facts.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_policy_exemption(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    let id = text(&document, &["id"]).unwrap_or(key);
    let path = Scope::parse(id).map_err(|it| it.to_string())?;
    facts.put_policy_exemption(Exemption {
        id: id.to_owned(),
        name: text(&document, &["name"]).unwrap_or("").to_owned(),
        scope: scope_before(&path),
        assignment_id: text(properties, &["policyAssignmentId"]).unwrap_or("").to_owned(),
        expires: expires_of(properties).map_err(|it| it.to_string())?,
        principal_ids: principals_of(properties).map_err(|it| it.to_string())?,
        reference_ids: reference_ids_of(properties).map_err(|it| it.to_string())?,
        resource_selectors: policy_terms::resource_selectors(properties)
            .map_err(|it| it.to_string())?,
    });
    Ok(())
}

/// An exemption may lie where roles can, and below a hub on a single device, which need not exist yet.
fn check_place(place: &Scope, facts: &Facts) -> Result<(), Error> {
    let is_device = facts.hubs.values().any(|hub| {
        let depth = hub.scope.segments().count();
        let mut below = place.segments().skip(depth);
        hub.scope.contains(place)
            && below.next().is_some_and(|it| it.eq_ignore_ascii_case("devices"))
            && below.next().is_some_and(|it| model::DeviceId::parse(it).is_ok())
            && below.next().is_none()
    });
    if is_device { Ok(()) } else { super::check_scope(place, facts) }
}

fn expires_of(properties: &Value) -> Result<Option<Timestamp>, Error> {
    match member(properties, "expiresOn") {
        None | Some(Value::Null) => Ok(None),
        Some(it) => it.as_str().and_then(Timestamp::parse).map(Some).ok_or_else(|| {
            Error::invalid(
                "properties.expiresOn",
                "a time such as `2030-01-31T12:00:00Z` is expected",
            )
        }),
    }
}

/// The members that are exempted; empty, as clients also send it, is the whole assignment.
fn reference_ids_of(properties: &Value) -> Result<Vec<String>, Error> {
    let at = "properties.policyDefinitionReferenceIds";
    let given = match member(properties, "policyDefinitionReferenceIds") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(it) => it.as_array().filter(|it| it.len() <= MEMBERS_MAX),
    };
    let given = given.ok_or_else(|| {
        Error::invalid(at, format!("this is a list of at most {MEMBERS_MAX} names of members"))
    })?;
    let name = |it: &Value| it.as_str().map(str::to_owned);
    given
        .iter()
        .map(|it| name(it).ok_or_else(|| Error::invalid(at, "the name of a member is a text")))
        .collect()
}

fn principals_of(properties: &Value) -> Result<Vec<ObjectId>, Error> {
    let at = "properties.principalIds";
    let given = match member(properties, "principalIds") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(it) => {
            it.as_array().ok_or_else(|| Error::invalid(at, "this is a list of object ids"))?
        }
    };
    // INVARIANT: an empty list must not read as "everybody" where somebody meant nobody.
    if given.is_empty() || given.len() > PRINCIPALS_MAX {
        return Err(Error::invalid(
            at,
            format!(
                "name 1 to {PRINCIPALS_MAX} callers, or leave the member out to exempt every caller"
            ),
        ));
    }
    given
        .iter()
        .map(|it| {
            it.as_str()
                .and_then(ObjectId::parse)
                .ok_or_else(|| Error::invalid(at, "an object id is a GUID"))
        })
        .collect()
}
