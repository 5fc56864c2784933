//! Who loses a hub when its keys are switched off: links of provisioning services, users of its policies, and what is open
//! now. Nothing is changed here; that is an ordinary write of the hub.

mod opened;

pub(crate) use opened::Entered;
pub use opened::OpenedByKey;

use crate::advise::keys::by_policy;
use crate::call::may_see;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::observed;
use crate::resources::no_resource;
use gate::facts::{Dps, DpsLink, Hub, LinkAuthentication};
use gate::{Facts, Permit};
use model::{Error, Op, Timestamp};
use serde_json::{Value, json};

/// Most sessions and links that an answer lists; it says how many more there are.
const OPEN_MAX: usize = 1_000;

/// `POST /decisions/localAuth`.
///
/// # Errors
/// `ResourceNotFound` where there is no such hub.
pub(crate) async fn ask(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let scope = permit.scope();
    let hub = facts.hub(scope).ok_or_else(|| no_resource(scope))?;
    let mut uses = Vec::new();
    let span = observed::look(env, scope, &facts, &mut |mut it| {
        it.samples.clear();
        if it.is_by_key() {
            uses.push(it);
        }
    })
    .await?;
    let users = by_policy(&uses, &facts);
    let last_by = |policy: &str| {
        let is_its = |it: &&observed::Use| it.name.eq_ignore_ascii_case(policy);
        uses.iter().filter(is_its).filter_map(|it| it.last).max()
    };
    let (mut links, mut hidden) = (Vec::new(), 0);
    for (dps, policy) in facts.provisioning.values().flat_map(|it| linked_by_key(it, hub)) {
        match may_see(permit, Op::GetDps, &dps.scope, &facts, env) {
            true => links.push(link(dps, policy, last_by(policy), hub, &facts)),
            false => hidden += 1,
        }
    }
    let mut open: Vec<_> = env.opened_by_key.all();
    open.retain(|it| facts.contains(scope, &it.scope));
    let more = open.len().saturating_sub(OPEN_MAX);
    open.truncate(OPEN_MAX);
    let open: Vec<Value> = open
        .into_iter()
        .map(|it| {
            json!({
                "policy": it.policy,
                "operation": it.operation,
                "protocol": it.protocol,
                "address": it.address,
                "since": it.since.rfc3339(),
            })
        })
        .collect();
    let off = hub.access.off.as_deref();
    Ok(Reply::ok(json!({
        "scope": hub.scope,
        "isOff": hub.access.is_disabled,
        "offSince": off.map(|it| it.since.rfc3339()),
        "offBy": off.map(|it| &it.by),
        "since": span.since.rfc3339(),
        "forgotten": span.forgotten,
        "links": links,
        "hiddenLinks": hidden,
        "users": users,
        "open": open,
        "moreOpen": more,
    })))
}

/// The links of a service to a hub that prove themselves by a key, each with the policy whose key it is.
fn linked_by_key<'f>(dps: &'f Dps, hub: &'f Hub) -> impl Iterator<Item = (&'f Dps, &'f str)> {
    let is_here = |it: &&DpsLink| it.hub.eq_ignore_ascii_case(&hub.host);
    dps.links.iter().filter(is_here).filter_map(move |it| match &it.authentication {
        LinkAuthentication::KeyBased { policy, .. } => Some((dps, policy.as_str())),
        LinkAuthentication::SystemAssigned | LinkAuthentication::UserAssigned { .. } => None,
    })
}

/// Source: "IoT Hub DPS managed identity": a service that writes devices needs this role at the hub.
const LINK_ROLE: &str = "IoT Hub Data Contributor";

fn link(dps: &Dps, policy: &str, last: Option<Timestamp>, hub: &Hub, facts: &Facts) -> Value {
    let is_granted = dps.identity.is_some_and(|id| {
        facts.held_by(id).any(|it| {
            let role = facts.roles.get(&it.role);
            role.is_some_and(|role| role.name == LINK_ROLE) && facts.contains(&it.scope, &hub.scope)
        })
    });
    json!({
        "provisioningService": dps.scope,
        "name": dps.scope.name(),
        "policy": policy,
        // Of the policy: others may hold its key, too.
        "policyLast": last.map(Timestamp::rfc3339),
        "hasIdentity": dps.identity.is_some(),
        "identityHasRole": is_granted,
        "roleName": LINK_ROLE,
        "at": hub.scope,
    })
}
