//! Named locations: networks of IP addresses under a name, for conditional access policies.
//!
//! Source: Microsoft Graph, "ipNamedLocation resource type".

use super::filters::{self, Forms, Listing};
use super::{Object, applications, conditional_access, entity, properties, room_for_one};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::conditional_access::NamedLocation;
use model::{Error, Network, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Expect, tables};

/// Most locations of the tenant, and most networks of one. Source: Microsoft Entra, "Conditional Access: Network
/// assignment".
const LOCATIONS_MAX: u64 = 195;
const NETWORKS_MAX: usize = 2_000;

const KIND: &str = "#microsoft.graph.ipNamedLocation";

const FORMS: Forms = Forms {
    set: "identity/conditionalAccess/namedLocations",
    equals: &["id", "displayName"],
    flags: &["isTrusted"],
    starts: &["displayName"],
    any: &[],
};

/// A location as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    id: ObjectId,
    created: Timestamp,
    modified: Timestamp,
    display_name: String,
    is_trusted: bool,
    /// As they were written.
    networks: Vec<String>,
}

impl Kept {
    fn shown(&self) -> Object {
        let range = |it: &String| {
            let kind = if it.contains(':') { "iPv6CidrRange" } else { "iPv4CidrRange" };
            json!({ "@odata.type": format!("#microsoft.graph.{kind}"), "cidrAddress": it })
        };
        let mut all = Object::new();
        all.insert("@odata.type".into(), KIND.into());
        all.insert("id".into(), json!(self.id));
        all.insert("displayName".into(), json!(self.display_name));
        all.insert("createdDateTime".into(), json!(self.created.rfc3339()));
        all.insert("modifiedDateTime".into(), json!(self.modified.rfc3339()));
        all.insert("isTrusted".into(), json!(self.is_trusted));
        all.insert("ipRanges".into(), self.networks.iter().map(range).collect());
        all
    }

    fn change(&mut self, body: &Value) -> Result<(), Error> {
        properties::check_read_only(
            body,
            &self.shown(),
            &["id", "createdDateTime", "modifiedDateTime"],
        )?;
        let known = ["@odata.type", "@odata.context", "displayName", "isTrusted", "ipRanges"];
        let own = self.shown();
        for (name, _) in body.as_object().into_iter().flatten() {
            if !known.contains(&name.as_str()) && !own.contains_key(name) {
                return Err(Error::invalid(
                    name.clone(),
                    "a named location has no such property here",
                ));
            }
        }
        if model::json::text(body, &["@odata.type"]).is_some_and(|it| it != KIND) {
            let sentence =
                format!("this is `{KIND}`: this server knows networks, and no countries");
            return Err(Error::invalid("@odata.type", sentence));
        }
        if let Some(name) = properties::display_name(body)? {
            self.display_name = name.to_owned();
        }
        match model::json::member(body, "isTrusted") {
            None => {}
            Some(Value::Bool(it)) => self.is_trusted = *it,
            Some(_) => return Err(Error::invalid("isTrusted", "this is `true` or `false`")),
        }
        if let Some(given) = model::json::member(body, "ipRanges") {
            self.networks = networks(given)?;
        }
        Ok(())
    }
}

fn networks(given: &Value) -> Result<Vec<String>, Error> {
    let refused = || {
        let sentence = format!(
            "this is a list of 1 to {NETWORKS_MAX} networks, each as {{ \"@odata.type\": \
             \"#microsoft.graph.iPv4CidrRange\", \"cidrAddress\": \"10.1.0.0/16\" }}"
        );
        Error::invalid("ipRanges", sentence)
    };
    let all = given.as_array().filter(|it| (1..=NETWORKS_MAX).contains(&it.len()));
    let one = |it: &Value| {
        let text = model::json::text(it, &["cidrAddress"])?;
        Network::parse(text).ok().map(|_| text.to_owned())
    };
    all.and_then(|all| all.iter().map(one).collect()).ok_or_else(refused)
}

async fn required(env: &Env, id: &str) -> Result<Kept, Error> {
    let key = ObjectId::parse(id).map(|it| it.to_string()).unwrap_or_default();
    let found: Option<(Kept, u64)> = control::get(env, tables::NAMED_LOCATIONS, &key).await?;
    found.map(|(it, _)| it).ok_or_else(|| applications::not_found(id))
}

/// Lists named locations.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let all: Vec<(String, Kept)> = control::all(env, tables::NAMED_LOCATIONS, "").await?;
    let shown = all.iter().map(|(_, it)| it.shown()).collect();
    Ok(listing.answer(&env.settings.origin, &FORMS, shown))
}

/// Shows a named location.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let kept = required(env, input.param("id")).await?;
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(kept.shown(), &select))))
}

/// Makes a named location.
///
/// # Errors
/// [`Error::Invalid`] where a property is missing or cannot be taken.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    room_for_one(env, tables::NAMED_LOCATIONS, LOCATIONS_MAX, "named locations").await?;
    let now = env.now();
    let mut kept = Kept {
        id: ObjectId(env.new_uuid()),
        created: now,
        modified: now,
        display_name: String::new(),
        is_trusted: false,
        networks: Vec::new(),
    };
    kept.change(&input.body)?;
    if kept.display_name.is_empty() || kept.networks.is_empty() {
        return Err(Error::invalid("displayName, ipRanges", "both are required"));
    }
    let change = control::put(tables::NAMED_LOCATIONS, kept.id.to_string(), Expect::Absent, &kept)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::created(entity(env, FORMS.set, kept.shown())))
}

/// Changes a named location: the policies that name it look at the new one from the next token on.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut kept = required(env, input.param("id")).await?;
    kept.change(&input.body)?;
    kept.modified = env.now();
    let change =
        control::put(tables::NAMED_LOCATIONS, kept.id.to_string(), Expect::Present, &kept)?;
    conditional_access::check_stays_in(permit, input, env, std::slice::from_ref(&change))?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// Deletes a named location.
///
/// # Errors
/// [`Error::Invalid`] where a policy names it: without it the policy would be another one.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kept = required(env, input.param("id")).await?;
    let facts = env.facts.load();
    let names = |it: &gate::conditional_access::Places| {
        it.include.ids.contains(&kept.id) || it.exclude.ids.contains(&kept.id)
    };
    let mut policies = facts.conditional_access.policies.values();
    if let Some(policy) = policies.find(|it| it.locations.as_ref().is_some_and(names)) {
        let sentence =
            format!("the conditional access policy `{}` names it; change that first", policy.name);
        return Err(Error::invalid("id", sentence));
    }
    let change = control::delete(tables::NAMED_LOCATIONS, kept.id.to_string(), Expect::Present);
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// Brings a location's document into the facts, or takes it out.
pub(crate) fn change_facts(
    facts: &mut gate::Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let all = &mut Arc::make_mut(&mut facts.conditional_access).locations;
    let Some(body) = body else {
        all.remove(&ObjectId::parse(key).ok_or("its key is not an id")?);
        return Ok(());
    };
    let kept: Kept = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    let parsed = kept.networks.iter().map(|it| Network::parse(it));
    let networks = parsed.collect::<Result<_, _>>().map_err(|it| it.to_string())?;
    let location = NamedLocation {
        id: kept.id,
        name: kept.display_name,
        is_trusted: kept.is_trusted,
        networks,
    };
    all.insert(location.id, Arc::new(location));
    Ok(())
}
