//! Conditional access policies: what a body may say of one, and what the gates learn of it.
//!
//! A condition that this server cannot look at is refused when it is written: a policy that left it out would be another
//! one. What a policy says to a sign-in is decided in `gate`'s `conditional_access`.
//!
//! Source: Microsoft Graph, "conditionalAccessPolicy resource type".

use super::filters::{self, Forms, Listing};
use super::{Object, applications, entity, properties, room_for_one};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::conditional_access::{
    AccessPolicy, Chosen, ClientType, Control, Grant, Method, Pick, Places, Said, State, Wish,
    judge,
};
use gate::{Facts, Permit};
use model::{Error, ObjectId, PrincipalKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, Expect, tables};

/// Most policies of the tenant. Source: Microsoft Entra, "Conditional Access service limits".
const POLICIES_MAX: u64 = 240;
/// Most entries of a list.
const LIST_MAX: usize = 1_000;

const FORMS: Forms = Forms {
    set: "identity/conditionalAccess/policies",
    equals: &["id", "displayName", "state"],
    flags: &[],
    starts: &["displayName"],
    any: &[],
};

/// What one has to be able to get a token for to mend a policy.
const REPAIR: &str = "https://graph.microsoft.com";

/// Built-in authentication strengths. All of them want two factors, or one that nobody has here.
/// Source: Microsoft Entra, "Conditional Access authentication strength".
const STRENGTHS: [(&str, &str); 3] = [
    ("00000000-0000-0000-0000-000000000002", "Multifactor authentication"),
    ("00000000-0000-0000-0000-000000000003", "Passwordless MFA"),
    ("00000000-0000-0000-0000-000000000004", "Phishing-resistant MFA"),
];
/// Controls that are known, and that nothing shown here fulfils.
const UNFULFILLED: [&str; 6] = [
    "mfa",
    "compliantDevice",
    "domainJoinedDevice",
    "approvedApplication",
    "compliantApplication",
    "passwordChange",
];

/// A policy as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    id: ObjectId,
    created: Timestamp,
    modified: Option<Timestamp>,
    /// What clients have set, whole.
    body: Object,
}

impl Kept {
    fn shown(&self) -> Object {
        let mut all = Object::new();
        all.insert("id".into(), json!(self.id));
        all.insert("createdDateTime".into(), json!(self.created.rfc3339()));
        all.insert("modifiedDateTime".into(), json!(self.modified.map(Timestamp::rfc3339)));
        all.extend(properties::shown_with(defaults(), &self.body));
        all
    }

    /// Takes what a body sets: objects member by member, everything else whole.
    fn change(&mut self, body: &Value) -> Result<(), Error> {
        let read_only = ["id", "createdDateTime", "modifiedDateTime"];
        properties::check_read_only(body, &self.shown(), &read_only)?;
        let given =
            body.as_object().ok_or_else(|| Error::invalid("body", "this is a JSON object"))?;
        for (name, value) in given {
            if read_only.contains(&name.as_str()) || name.starts_with("@odata.") {
                continue;
            }
            if !defaults().contains_key(name) {
                let sentence = "a conditional access policy has no such property here";
                return Err(Error::invalid(name.clone(), sentence));
            }
            properties::merge(self.body.entry(name.clone()).or_insert(Value::Null), value);
        }
        if let Some(name) = properties::display_name(body)? {
            self.body.insert("displayName".into(), name.into());
        }
        Ok(())
    }

    fn read(&self) -> Result<AccessPolicy, Error> {
        read(self.id, &Value::Object(properties::shown_with(defaults(), &self.body)))
    }
}

fn defaults() -> Object {
    properties::object(json!({
        "displayName": null,
        "state": null,
        "conditions": {
            "applications": { "includeApplications": [], "excludeApplications": [], "includeUserActions": [] },
            "users": {
                "includeUsers": [], "excludeUsers": [], "includeGroups": [], "excludeGroups": [],
                "includeRoles": [], "excludeRoles": [],
            },
            "clientApplications": null,
            "clientAppTypes": ["all"],
            "locations": null,
            "platforms": null,
            "devices": null,
            "signInRiskLevels": [],
            "userRiskLevels": [],
            "servicePrincipalRiskLevels": [],
        },
        "grantControls": null,
        "sessionControls": null,
    }))
}

/// Reads a whole policy.
///
/// # Errors
/// [`Error::Invalid`], with the place in the policy.
fn read(id: ObjectId, body: &Value) -> Result<AccessPolicy, Error> {
    let name = model::json::text(body, &["displayName"])
        .ok_or_else(|| Error::invalid("displayName", "this text is required"))?;
    let state = match model::json::text(body, &["state"]) {
        Some("enabled") => State::Enabled,
        Some("disabled") => State::Disabled,
        Some("enabledForReportingButNotEnforced") => State::ReportOnly,
        Some(_) | None => {
            let sentence = "this is `enabled`, `disabled` or `enabledForReportingButNotEnforced`";
            return Err(Error::invalid("state", sentence));
        }
    };
    let conditions = part(body, "conditions");
    only(
        conditions,
        "conditions",
        &["applications", "users", "clientApplications", "clientAppTypes", "locations"],
    )?;
    only(part(body, "sessionControls"), "sessionControls", &[])?;
    let (users, groups) = people(part(conditions, "users"))?;
    let clients = clients(part(conditions, "clientApplications"))?;
    let is_about_nobody = |it: &Pick| !it.include.is_all && it.include.ids.is_empty();
    if [&users, &groups, &clients].into_iter().all(is_about_nobody) {
        let sentence = "whom the policy is about is required: users, groups, or service principals in `clientApplications`";
        return Err(Error::invalid("conditions.users", sentence));
    }
    let at = "conditions.applications";
    let told = part(conditions, "applications");
    only(told, at, &["includeApplications", "excludeApplications"])?;
    let applications = Pick {
        include: chosen(told, at, "includeApplications", &["All"])?,
        exclude: chosen(told, at, "excludeApplications", &[])?,
    };
    Ok(AccessPolicy {
        id,
        name: name.to_owned(),
        state,
        users,
        groups,
        clients,
        applications,
        locations: places(part(conditions, "locations"))?,
        client_types: client_types(conditions)?,
        grant: grant(part(body, "grantControls"))?,
    })
}

fn part<'a>(of: &'a Value, name: &str) -> &'a Value {
    model::json::member(of, name).unwrap_or(&Value::Null)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.iter().all(|(name, it)| name.starts_with('@') || is_empty(it)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Refuses what is said beyond the members that are known.
fn only(of: &Value, at: &str, known: &[&str]) -> Result<(), Error> {
    match of {
        Value::Null => Ok(()),
        Value::Object(all) => {
            let is_unknown = |(name, it): &(&String, &Value)| {
                !known.contains(&name.as_str()) && !name.starts_with('@') && !is_empty(it)
            };
            match all.iter().find(is_unknown) {
                None => Ok(()),
                Some((name, _)) => Err(Error::invalid(
                    format!("{at}.{name}"),
                    "this server cannot look at it, and a policy without it would be another one; leave it out",
                )),
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::invalid(at, "this is a JSON object"))
        }
    }
}

fn texts<'a>(of: &'a Value, at: &str, name: &str) -> Result<Vec<&'a str>, Error> {
    let refused = || {
        Error::invalid(
            format!("{at}.{name}"),
            format!("this is a list of at most {LIST_MAX} texts"),
        )
    };
    match part(of, name) {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) if all.len() <= LIST_MAX => {
            all.iter().map(|it| it.as_str().ok_or_else(refused)).collect()
        }
        _ => Err(refused()),
    }
}

/// Ids, or one of the words for all; `None` names nobody.
fn chosen(of: &Value, at: &str, name: &str, all_words: &[&str]) -> Result<Chosen, Error> {
    let mut found = Chosen::default();
    for text in texts(of, at, name)? {
        match ObjectId::parse(text) {
            Some(id) => {
                found.ids.insert(id);
            }
            None if all_words.contains(&text) => found.is_all = true,
            None if text == "None" => {}
            None => {
                let sentence = format!(
                    "`{}` is neither an id{}",
                    super::shown(text),
                    match all_words {
                        [] => String::new(),
                        words => format!(", nor `{}` or `None`", words.join("`, `")),
                    }
                );
                return Err(Error::invalid(format!("{at}.{name}"), sentence));
            }
        }
    }
    Ok(found)
}

fn people(of: &Value) -> Result<(Pick, Pick), Error> {
    let at = "conditions.users";
    only(of, at, &["includeUsers", "excludeUsers", "includeGroups", "excludeGroups"])?;
    let users = Pick {
        include: chosen(of, at, "includeUsers", &["All"])?,
        exclude: chosen(of, at, "excludeUsers", &[])?,
    };
    let groups = Pick {
        include: chosen(of, at, "includeGroups", &[])?,
        exclude: chosen(of, at, "excludeGroups", &[])?,
    };
    Ok((users, groups))
}

fn clients(of: &Value) -> Result<Pick, Error> {
    let at = "conditions.clientApplications";
    only(of, at, &["includeServicePrincipals", "excludeServicePrincipals"])?;
    Ok(Pick {
        include: chosen(of, at, "includeServicePrincipals", &["ServicePrincipalsInMyTenant"])?,
        exclude: chosen(of, at, "excludeServicePrincipals", &[])?,
    })
}

fn places(of: &Value) -> Result<Option<Places>, Error> {
    if is_empty(of) {
        return Ok(None);
    }
    let at = "conditions.locations";
    only(of, at, &["includeLocations", "excludeLocations"])?;
    // Which is which is told by a word of their own.
    let has_trusted = |name| Ok::<_, Error>(texts(of, at, name)?.contains(&"AllTrusted"));
    let without = |name, words: &[&str]| {
        let ids: Vec<&str> =
            texts(of, at, name)?.into_iter().filter(|it| *it != "AllTrusted").collect();
        chosen(&json!({ name: ids }), at, name, words)
    };
    Ok(Some(Places {
        include: without("includeLocations", &["All"])?,
        exclude: without("excludeLocations", &[])?,
        includes_trusted: has_trusted("includeLocations")?,
        excludes_trusted: has_trusted("excludeLocations")?,
    }))
}

fn client_types(conditions: &Value) -> Result<Vec<ClientType>, Error> {
    let mut found = Vec::new();
    for text in texts(conditions, "conditions", "clientAppTypes")? {
        found.push(match text {
            "all" => return Ok(Vec::new()),
            "browser" => ClientType::Browser,
            "mobileAppsAndDesktopClients" => ClientType::MobileAppsAndDesktopClients,
            "exchangeActiveSync" | "easSupported" | "other" => ClientType::Other,
            _ => {
                let sentence = "these are `all`, `browser`, `mobileAppsAndDesktopClients`, `exchangeActiveSync`, \
                                `easSupported` and `other`";
                return Err(Error::invalid("conditions.clientAppTypes", sentence));
            }
        });
    }
    Ok(found)
}

fn grant(of: &Value) -> Result<Grant, Error> {
    let at = "grantControls";
    only(of, at, &["operator", "builtInControls", "authenticationStrength"])?;
    let is_any = match model::json::text(of, &["operator"]) {
        Some("OR") => true,
        Some("AND") => false,
        Some(_) | None => {
            return Err(Error::invalid("grantControls.operator", "this is `AND` or `OR`"));
        }
    };
    let mut controls = Vec::new();
    for text in texts(of, at, "builtInControls")? {
        controls.push(match text {
            "block" => Control::Block,
            it if UNFULFILLED.contains(&it) => Control::Unknown(it.to_owned()),
            _ => {
                let sentence = format!(
                    "these are `block`, and `{}`, which nobody fulfils here",
                    UNFULFILLED.join("`, `")
                );
                return Err(Error::invalid("grantControls.builtInControls", sentence));
            }
        });
    }
    let strength = part(of, "authenticationStrength");
    if !is_empty(strength) {
        controls.push(self::strength(strength)?);
    }
    if controls.is_empty() || (controls.contains(&Control::Block) && controls.len() > 1) {
        let sentence = "this is `block` alone, or what is demanded: controls, an authentication strength, or both";
        return Err(Error::invalid("grantControls.builtInControls", sentence));
    }
    Ok(Grant { is_any, controls })
}

/// A built-in strength by its id, or one that lists its combinations in the policy itself: strengths of one's own are no
/// objects here.
fn strength(of: &Value) -> Result<Control, Error> {
    let at = "grantControls.authenticationStrength";
    let combinations = texts(of, at, "allowedCombinations")?;
    let id = model::json::text(of, &["id"]);
    let built_in = STRENGTHS.iter().find(|(its, _)| id == Some(*its));
    match (built_in, combinations.as_slice()) {
        (Some((_, name)), []) => {
            Ok(Control::Strength { name: (*name).to_owned(), methods: Vec::new() })
        }
        (None, [_, ..]) if id.is_none() => {
            let all = [Method::Password, Method::Certificate, Method::Federated];
            let methods =
                all.into_iter().filter(|it| combinations.contains(&it.as_str())).collect();
            Ok(Control::Strength { name: combinations.join(" or "), methods })
        }
        _ => {
            let sentence = "this has the `id` of a built-in strength, or `allowedCombinations` such as \
                            `x509CertificateSingleFactor` and `federatedSingleFactor`";
            Err(Error::invalid(at, sentence))
        }
    }
}

async fn required(env: &Env, id: &str) -> Result<Kept, Error> {
    let key = ObjectId::parse(id).map(|it| it.to_string()).unwrap_or_default();
    let found: Option<(Kept, u64)> = control::get(env, tables::CONDITIONAL_ACCESS, &key).await?;
    found.map(|(it, _)| it).ok_or_else(|| applications::not_found(id))
}

/// Lists conditional access policies.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let all: Vec<(String, Kept)> = control::all(env, tables::CONDITIONAL_ACCESS, "").await?;
    let shown = all.iter().map(|(_, it)| it.shown()).collect();
    Ok(listing.answer(&env.settings.origin, &FORMS, shown))
}

/// Shows a conditional access policy.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let kept = required(env, input.param("id")).await?;
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(kept.shown(), &select))))
}

/// Makes a conditional access policy, which counts from the next token on.
///
/// # Errors
/// [`Error::Invalid`] where something cannot be taken, or the caller could not get a token to mend it.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    room_for_one(env, tables::CONDITIONAL_ACCESS, POLICIES_MAX, "conditional access policies")
        .await?;
    let id = ObjectId(env.new_uuid());
    let mut kept = Kept { id, created: env.now(), modified: None, body: Object::new() };
    kept.change(&input.body)?;
    keep(permit, input, env, &kept, Expect::Absent).await?;
    Ok(Reply::created(entity(env, FORMS.set, kept.shown())))
}

/// Changes a conditional access policy.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut kept = required(env, input.param("id")).await?;
    kept.change(&input.body)?;
    kept.modified = Some(env.now());
    keep(permit, input, env, &kept, Expect::Present).await?;
    Ok(Reply::empty(204))
}

async fn keep(
    permit: &Permit,
    input: &Input,
    env: &Env,
    kept: &Kept,
    expect: Expect,
) -> Result<(), Error> {
    let policy = kept.read()?;
    let known = &env.facts.load().conditional_access.locations;
    let named = policy.locations.iter().flat_map(|it| it.include.ids.iter().chain(&it.exclude.ids));
    if let Some(unknown) = named.into_iter().find(|it| !known.contains_key(it)) {
        let sentence = format!("there is no named location `{unknown}`");
        return Err(Error::invalid("conditions.locations", sentence));
    }
    let change = control::put(tables::CONDITIONAL_ACCESS, kept.id.to_string(), expect, kept)?;
    check_stays_in(permit, input, env, std::slice::from_ref(&change))?;
    control::commit(permit, env, vec![change]).await?;
    Ok(())
}

/// Refuses a change by which the caller could get no token any more to take it back, from where it calls now. Nobody
/// else would have to be able to, and then the tenant could not be mended.
pub(super) fn check_stays_in(
    permit: &Permit,
    input: &Input,
    env: &Env,
    changes: &[Change],
) -> Result<(), Error> {
    let facts = env.facts.with(changes)?;
    match shuts_out(permit, input, &facts) {
        None => Ok(()),
        Some(policy) => Err(Error::invalid(
            "conditions",
            format!(
                "by the policy `{policy}` the caller itself could get no token any more, to mend it; exclude the caller, \
                 or let the policy report only"
            ),
        )),
    }
}

/// The policy that would leave the caller no way of signing in.
fn shuts_out(permit: &Permit, input: &Input, facts: &Facts) -> Option<String> {
    let caller = permit.caller();
    let ways: &[Method] = match caller.kind {
        PrincipalKind::User => &[Method::Password],
        _ => &[Method::Password, Method::Certificate, Method::Federated],
    };
    let refuses = |policy: &AccessPolicy| {
        policy.state == State::Enabled
            && ways.iter().all(|method| {
                let address = &input.channel.address;
                let wish = Wish { caller, resource: REPAIR, address, method: *method };
                matches!(judge(policy, &wish, facts).0, Said::Blocks | Said::Unfulfilled)
            })
    };
    let mut policies = facts.conditional_access.policies.values();
    policies.find(|it| refuses(it)).map(|it| it.name.clone())
}

/// Deletes a conditional access policy.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kept = required(env, input.param("id")).await?;
    let change = control::delete(tables::CONDITIONAL_ACCESS, kept.id.to_string(), Expect::Present);
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// Brings a policy's document into the facts, or takes it out.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let all = &mut Arc::make_mut(&mut facts.conditional_access).policies;
    let Some(body) = body else {
        all.remove(&ObjectId::parse(key).ok_or("its key is not an id")?);
        return Ok(());
    };
    let kept: Kept = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let policy = kept.read().map_err(|it| it.to_string())?;
    all.insert(policy.id, Arc::new(policy));
    Ok(())
}
