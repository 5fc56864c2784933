//! Whether a hub may use a target of this server, asked before it does: when an endpoint is saved, and by whoever wants
//! to know why nothing arrives.
//!
//! The gates answer, as they will when the hub calls: by the identity that it will show, at the place that it will
//! reach, from the server's own address, and by the roles as they are seen. What is added here are the words: which role
//! is missing, why one that is there does not count, and how it is assigned.

use crate::advice::assigns;
use crate::env::Env;
use crate::questions::{caller_as, row_named};
use gate::Ask;
use gate::Facts;
use gate::facts::{Instance, Target, TargetKind};
use model::error::DenialKind;
use model::trace::{Caller, Channel, Finding, FindingKind, Gate, Trace, TraceHead};
use model::{Error, ObjectId, Scope, TrackingId};
use std::sync::Arc;

/// What a hub does at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    SendEvents,
    SendToQueue,
    SendToTopic,
    WriteBlobs,
}

impl Deed {
    const fn kind(self) -> TargetKind {
        match self {
            Self::SendEvents => TargetKind::EventHubs,
            Self::SendToQueue | Self::SendToTopic => TargetKind::ServiceBus,
            Self::WriteBlobs => TargetKind::Storage,
        }
    }

    /// What has to be granted.
    const fn action(self) -> &'static str {
        match self {
            Self::SendEvents => "Microsoft.EventHub/namespaces/messages/send/action",
            Self::SendToQueue | Self::SendToTopic => {
                "Microsoft.ServiceBus/namespaces/messages/send/action"
            }
            Self::WriteBlobs => {
                "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
            }
        }
    }

    /// The built-in role that is meant for it. Source: IoT Hub documentation, "IoT Hub support for managed identities".
    const fn role(self) -> &'static str {
        match self {
            Self::SendEvents => "Azure Event Hubs Data Sender",
            Self::SendToQueue | Self::SendToTopic => "Azure Service Bus Data Sender",
            Self::WriteBlobs => "Storage Blob Data Contributor",
        }
    }

    /// Where what it reaches lies in the target, and what that is called.
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::SendEvents => ("eventhubs", "event hub"),
            Self::SendToQueue => ("queues", "queue"),
            Self::SendToTopic => ("topics", "topic"),
            Self::WriteBlobs => ("blobServices/default/containers", "container"),
        }
    }
}

/// A target of this server at a host name or address; none where the host is somebody else's.
///
/// # Errors
/// A sentence, where the host is ours and no such target.
pub(crate) fn ours(facts: &Facts, host: &str, deed: Deed) -> Result<Option<Arc<Target>>, String> {
    match facts.instance_at(host) {
        None => Ok(None),
        Some(Instance::Target(it)) if it.kind == deed.kind() => Ok(Some(Arc::clone(it))),
        Some(Instance::Target(_) | Instance::Hub(_) | Instance::Dps(_)) => {
            Err(format!("`{host}` is no place with {}s", deed.place().1))
        }
    }
}

/// Whether an identity may do something to what is called `entity` in a target, as the gates see it now.
///
/// # Errors
/// A sentence that says what stands against it, and what to do about it.
pub(crate) fn check(
    env: &Env,
    facts: &Facts,
    id: TrackingId,
    identity: ObjectId,
    (deed, target, entity): (Deed, &Target, &str),
) -> Result<(), String> {
    let (place, noun) = deed.place();
    let scope = target.scope.join(&format!("{place}/{entity}"));
    if facts.entity(&scope).is_none() {
        let name = target.scope.name();
        return Err(format!("there is no {noun} `{}` in `{name}`", entity.escape_debug()));
    }
    let role = deed.role();
    let Some(principal) = facts.principals.get(&identity) else {
        return Err(format!(
            "the hub gets its identity with this very change, so that no role can be assigned to it yet: save the hub with its \
             identity first, assign it `{role}` at `{scope}`, then save the endpoint"
        ));
    };
    let caller = caller_as(principal);
    let row = row_named(deed.action()).map_err(|it: Error| it.to_string())?;
    let mut head = TraceHead::new(id, env.now(), from_within(env));
    head.replica = env.settings.propagation.replica(id);
    let judged = gate::judge(&Ask::new(row, &scope, &caller, &head), facts);
    let Some(denial) = judged.denial else { return Ok(()) };
    let decided = judged.trace.step(denial.gate).map_or("", |it| it.reason.as_str());
    Err(match (denial.gate, &denial.kind) {
        (Gate::Access, DenialKind::NotAuthorized | DenialKind::NotAuthorizedYet) => {
            lacks(facts, &caller, &judged.trace, (role, &scope))
        }
        (Gate::Resource, DenialKind::Network) => format!(
            "the network rules of `{}` do not let the hub in: {decided}; let its networks in, or make the exception for \
             trusted services and use the hub's system-assigned identity",
            target.scope.name()
        ),
        (_, _) => format!(
            "`{}` is refused at `{scope}` by the gate `{}`: {decided}",
            caller.name,
            denial.gate.as_str()
        ),
    })
}

/// The server, as it calls what it serves.
fn from_within(env: &Env) -> Channel {
    Channel { address: env.settings.own_address(), is_within: true, ..Channel::default() }
}

/// Which role is missing, and why those that are there do not count.
fn lacks(facts: &Facts, caller: &Caller, trace: &Trace, (role, scope): (&str, &Scope)) -> String {
    let findings = trace.step(Gate::Access).map_or(&[][..], |it| &it.findings);
    let assigned = || findings.iter().filter(|it| it.kind == FindingKind::RoleAssignment);
    let name = &caller.name;
    // As the gate words it: by how many seconds it is not seen yet.
    if let Some(coming) = assigned().find(|it| it.reason.contains("is not seen here for")) {
        return format!(
            "a role of the identity `{name}` is assigned, but not visible yet: {}",
            coming.reason
        );
    }
    let has_no_data = |it: &&Finding| {
        let role = it.role.as_ref().and_then(|it| ObjectId::parse(&it.role_id));
        let role = role.and_then(|it| facts.roles.get(&it));
        role.is_some_and(|it| it.permissions.iter().all(|it| it.data_actions.is_empty()))
    };
    let mut idle: Vec<String> = assigned()
        .filter(has_no_data)
        .filter_map(|it| it.role.as_ref().map(|it| format!("`{}`", it.role_name)))
        .collect();
    idle.sort();
    idle.dedup();
    let idle = match idle.is_empty() {
        true => String::new(),
        false => format!(
            "; {} has no data actions: it manages the resource and does not reach what lies in it",
            idle.join(" or ")
        ),
    };
    let principal = caller.object_id.unwrap_or(ObjectId(uuid::Uuid::nil()));
    let command = assigns(caller, principal, role, scope);
    format!(
        "the identity `{name}` ({principal}) lacks the role `{role}` at `{scope}`{idle}. Assign it: {command}"
    )
}
