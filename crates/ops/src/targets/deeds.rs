//! What a hub does at targets of this server, and whether their gates would let it.
//!
//! The target's own gates decide when it is called. Here they are asked before: when an endpoint is saved, and where a
//! job or an upload is to say at once why it cannot work.

use crate::advice;
use crate::decisions;
use crate::env::Env;
use crate::questions::{caller_as, row_named};
use gate::facts::{Instance, List, Target, TargetKind};
use gate::{Ask, Facts};
use model::error::DenialKind;
use model::trace::{Caller, Channel, Finding, FindingKind, Gate, Trace, TraceHead};
use model::{ObjectId, Operation, Scope, TrackingId};
use std::collections::BTreeSet;
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

    /// The row of the table by which the target judges it.
    pub(crate) fn row(self) -> Option<&'static Operation> {
        row_named(self.action()).ok()
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

/// Where in a target something is reached that is called `entity`.
///
/// # Errors
/// A sentence, where there is nothing of the name.
pub(crate) fn place(
    facts: &Facts,
    deed: Deed,
    target: &Target,
    entity: &str,
) -> Result<Scope, String> {
    let (path, noun) = deed.place();
    let place = target.scope.join(&format!("{path}/{entity}"));
    match facts.entity(&place) {
        Some(it) => Ok(it.scope.clone()),
        None => Err(format!(
            "there is no {noun} `{}` in `{}`",
            entity.escape_debug(),
            target.scope.name()
        )),
    }
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
    identity: ObjectId,
    row: &'static Operation,
    place: &Scope,
) -> Result<(), NotLetIn> {
    let tracking = env.new_tracking_id();
    let Some(principal) = facts.principals.get(&identity) else {
        return Err(NotLetIn {
            why: "the identity is gone from the directory".to_owned(),
            tracking,
        });
    };
    let caller = Caller {
        signed_in: "not yet: the hub asks before it calls".to_owned(),
        ..caller_as(principal)
    };
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
    let what = format!("`{}` may not do this at `{}`", caller.name, place.name());
    let why = match &denial.kind {
        DenialKind::NotAuthorized | DenialKind::NotAuthorizedYet => {
            format!("{what}: {}", lacks(facts, &caller, &judged.trace, (row, place)))
        }
        DenialKind::Network => format!(
            "{what}: {decided}. Let its network in, or make the exception for trusted services and use the hub's \
             system-assigned identity"
        ),
        _ => {
            let fix = advice::fixes(&judged.trace, facts, env).into_iter().next();
            let fix = fix.map_or_else(String::new, |it| format!("; {}", it.says));
            format!("{what}: {}{fix}", denial.message)
        }
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
    let idle: BTreeSet<String> = assigned()
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
