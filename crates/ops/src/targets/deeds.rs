//! What a hub does at targets: the operation of the target that it is, and where that is judged.

use gate::Facts;
use gate::facts::{Instance, Target, TargetKind};
use model::operations::operation;
use model::{Op, Operation, Scope};
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

    /// The row of the table by which the target judges it.
    pub(crate) fn row(self) -> &'static Operation {
        operation(match self {
            Self::SendEvents => Op::SendEvents,
            Self::SendToQueue | Self::SendToTopic => Op::SendToEntity,
            Self::WriteBlobs => Op::PutBlob,
        })
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
