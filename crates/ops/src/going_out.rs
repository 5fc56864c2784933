//! A hub that calls others: as which of its identities, and what a target of this server would say to that.
//!
//! The target's own gates decide when it is called. Here they are asked before: when an endpoint is saved, and where a
//! job or an upload is to say at once why it cannot work.

use crate::advice;
use crate::decisions;
use crate::entra::tokens;
use crate::env::Env;
use crate::managed_identity::attached::{Identities, user_assigned_id};
use egress::{Token, TokenSource};
use gate::facts::{Instance, List};
use gate::{Ask, Facts};
use model::Operation;
use model::error::DenialKind;
use model::json::text;
use model::principal::AuthType;
use model::trace::{Caller, Channel, Finding, FindingKind, Gate, Trace, TraceHead};
use model::{ObjectId, PrincipalKind, Scope, Secret, TrackingId};
use serde_json::Value;
use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

/// Whom a hub goes out as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) principal: ObjectId,
    /// For people: `its system-assigned identity`, ``the identity `uploads` ``.
    pub(crate) called: String,
    name: String,
}

/// The identity that something of a hub names, or the hub's own where it names none.
/// Source: IoT Hub documentation, "IoT Hub support for managed identities", where the last bullets mean the hub's own.
///
/// # Errors
/// What is missing, and the command that brings it: a sentence for people.
pub(crate) fn identity_of(
    hub: &Value,
    named: Option<&str>,
    facts: &Facts,
) -> Result<Identity, String> {
    let name = text(hub, &["name"]).unwrap_or_default();
    let identities = Identities::of(Some(hub));
    let Some(named) = named.filter(|it| !it.is_empty()) else {
        let own = text(hub, &["identity", "principalId"]).and_then(ObjectId::parse);
        let own = own.filter(|_| identities.has_system);
        let principal = own.filter(|it| is_on(facts, *it)).ok_or_else(|| {
            format!(
                "the hub `{name}` has no system-assigned identity that is switched on; `az iot hub identity assign \
                 --name {name} --system-assigned` gives it one"
            )
        })?;
        return Ok(Identity {
            principal,
            called: "its system-assigned identity".to_owned(),
            name: name.to_owned(),
        });
    };
    let Some(id) = user_assigned_id(named) else {
        return Err("`userAssignedIdentity` is no id of a user-assigned identity".to_owned());
    };
    let held = identities.principals().get(&id.key()).copied().ok_or_else(|| {
        format!(
            "the identity `{id}` is not attached to the hub `{name}`; `az iot hub identity assign --name {name} \
             --user-assigned {id}` attaches it"
        )
    })?;
    match is_on(facts, held) {
        true => Ok(Identity {
            principal: held,
            called: format!("the identity `{}`", id.name()),
            name: id.name().to_owned(),
        }),
        false => Err(format!(
            "the identity `{id}` was deleted or made again since it was attached to the hub `{name}`; attach it anew"
        )),
    }
}

fn is_on(facts: &Facts, principal: ObjectId) -> bool {
    facts.principals.get(&principal).is_some_and(|it| it.is_enabled)
}

/// Why a target would not let a hub in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NotLetIn {
    /// What stands against it, and what to do: sentences for people.
    pub(crate) why: String,
    pub(crate) tracking: TrackingId,
}

/// Asks the gates of a target of this server whether a hub may do something there. The decision is kept where it is a
/// no.
///
/// # Errors
/// [`NotLetIn`].
pub(crate) async fn ask(
    env: &Env,
    facts: &Facts,
    who: &Identity,
    row: &'static Operation,
    place: &Scope,
) -> Result<(), NotLetIn> {
    let caller = Caller {
        kind: PrincipalKind::ManagedIdentity,
        object_id: Some(who.principal),
        app_id: facts.principals.get(&who.principal).and_then(|it| it.app_id),
        name: who.name.clone(),
        auth: AuthType::Entra,
        signed_in: "not yet: the hub asks before it calls".to_owned(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    };
    let tracking = env.new_tracking_id();
    let channel = Channel {
        protocol: row.routes.first().map_or("", |it| it.protocol.as_str()).to_owned(),
        request: format!("{} {}", row.routes.first().map_or("", |it| it.method), place.name()),
        address: env.settings.own_address(),
        is_within: true,
        ..Channel::default()
    };
    let replica = env.settings.propagation.replica(tracking);
    let head = TraceHead { replica, ..TraceHead::new(tracking, env.now(), channel) };
    let judged = gate::judge(&Ask::new(row, place, &caller, &head), facts);
    let Some(denial) = judged.denial else { return Ok(()) };
    let decided = judged.trace.step(denial.gate).map_or("", |it| it.reason.as_str());
    let what = format!("{} may not do this at `{}`", who.called, place.name());
    let why = if matches!(denial.kind, DenialKind::NotAuthorized | DenialKind::NotAuthorizedYet) {
        format!("{what}: {}", lacks(facts, &caller, &judged.trace, (row, place)))
    } else if denial.kind == DenialKind::Network {
        format!(
            "{what}: {decided}. Let its network in, or make the exception for trusted services and use the hub's \
             system-assigned identity"
        )
    } else {
        let fix = advice::fixes(&judged.trace, facts, env).into_iter().next();
        let fix = fix.map_or_else(String::new, |it| format!("; {}", it.says));
        format!("{what}: {}{fix}", denial.message)
    };
    let tracking = decisions::keep(env, judged.trace).await.unwrap_or(tracking);
    Err(NotLetIn { why, tracking })
}

/// The built-in role that is meant for what a row needs: of those that grant all of it, the narrowest.
fn role_for(facts: &Facts, row: &Operation) -> String {
    let fitting = facts.roles_that_grant(row.actions, List::of(row.plane));
    let meant = fitting.iter().find(|it| it.is_builtin);
    meant.map_or_else(|| "a role that grants it".to_owned(), |it| it.name.clone())
}

/// Which role is missing, and why those that are there do not count.
fn lacks(
    facts: &Facts,
    caller: &Caller,
    trace: &Trace,
    (row, place): (&Operation, &Scope),
) -> String {
    let findings = trace.step(Gate::Access).map_or(&[][..], |it| &it.findings);
    let assigned = || findings.iter().filter(|it| it.kind == FindingKind::RoleAssignment);
    let name = &caller.name;
    // The gate tells how many seconds are left.
    if let Some(coming) = assigned().find(|it| it.reason.contains("is not seen here for")) {
        return format!("a role of `{name}` is assigned, but not visible yet: {}", coming.reason);
    }
    let has_no_data = |it: &&Finding| {
        let role = it.role.as_ref().and_then(|it| ObjectId::parse(&it.role_id));
        let role = role.and_then(|it| facts.roles.get(&it));
        role.is_some_and(|it| it.permissions.iter().all(|it| it.data_actions.is_empty()))
    };
    // One that is assigned elsewhere is not why this fails.
    let is_here = |it: &&Finding| {
        let scope = it.role.as_ref().and_then(|it| Scope::parse(&it.scope).ok());
        scope.is_some_and(|it| facts.contains(&it, place))
    };
    let idle: BTreeSet<String> = assigned()
        .filter(is_here)
        .filter(has_no_data)
        .filter_map(|it| it.role.as_ref().map(|it| format!("`{}`", it.role_name)))
        .collect();
    let idle = match idle.is_empty() {
        true => String::new(),
        false => format!(
            "; {} has no data actions: it manages the resource and does not reach what lies in it",
            idle.into_iter().collect::<Vec<_>>().join(" or ")
        ),
    };
    let principal = caller.object_id.unwrap_or(ObjectId(uuid::Uuid::nil()));
    let role = role_for(facts, row);
    let command = advice::assigns(caller, principal, &role, place);
    format!(
        "`{name}` ({principal}) lacks the role `{role}` at `{place}`{idle}. Assign it: {command}"
    )
}

/// A token of a hub's identity for a target, for what is called at once.
///
/// # Errors
/// A host that is not this server's: others do not know its identities, and whoever is shown such a token could show it
/// here.
pub(crate) fn token_for(
    env: &Env,
    facts: &Facts,
    identity: &Identity,
    (host, audience): (&str, &str),
) -> Result<Arc<dyn TokenSource>, String> {
    expect_ours(facts, host)?;
    let issued =
        tokens::of_identity(env, identity.principal, audience).map_err(|it| it.to_string())?;
    Ok(Arc::new(OneToken(Token { text: Secret::new(issued.token), expiry: issued.ends })))
}

/// # Errors
/// As [`token_for`].
pub(crate) fn expect_ours(facts: &Facts, host: &str) -> Result<(), String> {
    match facts.instance_at(host) {
        Some(Instance::Target(_)) => Ok(()),
        Some(Instance::Hub(_) | Instance::Dps(_)) | None => Err(format!(
            "managed identities of this server count at its own targets only, and `{host}` is none of them; sign in \
             there with a key (`keyBased`)"
        )),
    }
}

/// The same for what goes on calling.
///
/// # Errors
/// As [`token_for`].
pub(crate) fn tokens_for(
    env: &Arc<Env>,
    facts: &Facts,
    identity: &Identity,
    (host, audience): (&str, &'static str),
) -> Result<Arc<dyn TokenSource>, String> {
    expect_ours(facts, host)?;
    let (env, identity) = (Arc::clone(env), identity.principal);
    Ok(Arc::new(IdentityToken { env, identity, audience }))
}

struct IdentityToken {
    env: Arc<Env>,
    identity: ObjectId,
    audience: &'static str,
}

impl TokenSource for IdentityToken {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>> {
        let issued = tokens::of_identity(&self.env, self.identity, self.audience);
        let token = |it: tokens::Issued| Token { text: Secret::new(it.token), expiry: it.ends };
        Box::pin(ready(issued.map(token).map_err(|it| it.to_string())))
    }
}

struct OneToken(Token);

impl TokenSource for OneToken {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}
