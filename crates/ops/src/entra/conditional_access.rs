//! Conditional access policies: what a body may say of one, and what the gates learn of it.
//!
//! A condition that this server cannot look at is refused when it is written: a policy that left it out would be another
//! one. What a policy says to a sign-in is decided in `gate`'s `conditional_access`.
//!
//! Source: Microsoft Graph, "conditionalAccessPolicy resource type".

mod body;

use super::filters::{self, Forms, Listing};
use super::{Object, applications, entity, properties, room_for_one};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use body::{defaults, read};
use gate::conditional_access::{AccessPolicy, Method, Said, State, Wish, judge};
use gate::{Facts, Permit};
use model::{Error, ObjectId, PrincipalKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, Expect, tables};

/// Most policies of the tenant. Source: Microsoft Entra, "Conditional Access service limits".
const POLICIES_MAX: u64 = 240;

const FORMS: Forms = Forms {
    set: "identity/conditionalAccess/policies",
    equals: &["id", "displayName", "state"],
    flags: &[],
    starts: &["displayName"],
    any: &[],
};

/// What one has to be able to get a token for to mend a policy.
const REPAIR: &str = "https://graph.microsoft.com";

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
    let ways: &[Method] = match caller.kind == PrincipalKind::User {
        true => &[Method::Password],
        false => &[Method::Password, Method::Certificate, Method::Federated],
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
