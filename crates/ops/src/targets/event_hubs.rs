//! Event hubs of namespaces: what is sent goes into the event hub's log as it came, and is read from there.
//!
//! A client keeps a link, which is held to its credential and to the gates; see [`crate::link`]. Readers are those of the
//! built-in endpoints, see [`crate::devices::events`].

use crate::call::{Failed, Passed};
use crate::devices::events::{describe_partition, not_found, partition as read_partition};
use crate::devices::logs::HubLog;
use crate::devices::telemetry::{Sent, partition_of, queue};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::link::Link;
use crate::session::{Ended, Shown};
use crate::targets::uses::Use;
use bytes::Bytes;
use gate::facts::Entity;
use gate::{Facts, Permit};
use model::json::{at, text};
use model::{Credential, Error, Scope, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use store::log::Append;

/// Largest transfer of a client, batch or single event, in bytes. Source: Event Hubs quotas, Standard.
pub const TRANSFER_BYTES_MAX: usize = 1 << 20;

/// An event as it is sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Events of one key are in one partition, in order.
    pub key: Option<String>,
    /// The whole message, encoded.
    pub payload: Bytes,
}

/// Somebody who sends events.
pub struct Sender {
    link: Link,
    log: HubLog,
    /// Where it sends to one partition only.
    partition: Option<u16>,
    /// The next partition of those who name none.
    turn: u16,
}

impl Sender {
    /// Lets a sender in that has passed the gates.
    pub(crate) async fn begin(env: &Env, passed: Passed<'_>, shown: Shown) -> Result<Self, Failed> {
        let partition = passed.input.params.get("partition").cloned();
        let tracking = passed.head.id;
        let link = Link::begin(env, passed, shown)?;
        let begun = async {
            let event_hub = active(&env.facts.load(), link.scope(), Use::Send)?;
            let log = env.logs.of_event_hub(&event_hub, env).await?;
            let partition = partition.map(|it| read_partition(&it, log.partitions)).transpose()?;
            let turn = u16::from_le_bytes(env.random()) % log.partitions.max(1);
            Ok((log, partition, turn))
        };
        match begun.await {
            Ok((log, partition, turn)) => Ok(Self { link, log, partition, turn }),
            Err(error) => Err(Failed { error, tracking }),
        }
    }

    /// Whether the sender may go on.
    ///
    /// # Errors
    /// Why its link is over.
    pub async fn stands(&mut self, env: &Env) -> Result<(), Ended> {
        self.link.stands(env).await
    }

    /// When to look again whether it [`Sender::stands`], though nothing happens.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.link.next_look()
    }

    /// Goes on with another credential, see [`Link::renew`].
    ///
    /// # Errors
    /// Why the sender is not let in by it.
    pub async fn renew(&mut self, env: &Env, credential: Credential) -> Result<(), Ended> {
        self.link.renew(env, credential).await
    }

    /// Puts the events of one transfer behind what is there, in their order. They are acknowledged once they are synced.
    /// Waits while the log's queue is full.
    ///
    /// # Errors
    /// Why the link is over.
    pub async fn send(&mut self, env: &Env, events: Vec<Outgoing>) -> Result<Sent, Ended> {
        self.link.stands(env).await?;
        active(&env.facts.load(), self.link.scope(), Use::Send).map_err(Ended::Failed)?;
        let (partitions, time_ms) = (self.log.partitions, env.now().millis());
        let turn = self.turn;
        // Those of one transfer stay together, and the next ones go elsewhere.
        if events.iter().any(|it| it.key.is_none()) {
            self.turn = (turn + 1) % partitions.max(1);
        }
        let place = |key: Option<&String>| match (self.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, partitions),
            (None, None) => turn,
        };
        let appends = events
            .into_iter()
            .map(|it| Append { partition: place(it.key.as_ref()), time_ms, payload: it.payload })
            .collect();
        queue(&self.log, appends).await.map_err(Ended::Failed)
    }
}

/// The event hub at a scope, or around that of a consumer group, which is switched on.
///
/// # Errors
/// `ResourceNotFound`; a conflict that says what is switched off.
pub(crate) fn active(facts: &Facts, scope: &Scope, wants: Use) -> Result<Arc<Entity>, Error> {
    let path = scope.as_str();
    let own = path.to_ascii_lowercase().find("/consumergroups/").and_then(|at| path.get(..at));
    let own = own.and_then(|it| Scope::parse(it).ok()).unwrap_or_else(|| scope.clone());
    let event_hub = found(facts, &own)?;
    wants.check(&event_hub, || format!("the event hub `{}`", own.name()))?;
    Ok(event_hub)
}

fn found(facts: &Facts, scope: &Scope) -> Result<Arc<Entity>, Error> {
    let found = facts.entity(scope).filter(|it| is_event_hub(&it.scope));
    let missing = || not_found(format!("there is no event hub `{}` here", scope.name()));
    found.cloned().ok_or_else(missing)
}

fn is_event_hub(scope: &Scope) -> bool {
    let kind = scope.resource_type();
    kind.is_some_and(|it| it.eq_ignore_ascii_case("Microsoft.EventHub/namespaces/eventhubs"))
}

/// How many partitions an event hub has, and for how many days it keeps what it holds.
pub(crate) fn reach(event_hub: &Entity) -> (u16, u32) {
    let number = |name: &str| at(&event_hub.properties, &[name]).and_then(Value::as_u64);
    let partitions = number("partitionCount").and_then(|it| u16::try_from(it).ok());
    let days = number("messageRetentionInDays").and_then(|it| u32::try_from(it).ok());
    (partitions.unwrap_or(1), days.unwrap_or(1))
}

/// Which partitions an event hub has.
pub(crate) fn describe(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let event_hub = found(&env.facts.load(), permit.scope())?;
    let (partitions, _) = reach(&event_hub);
    let ids: Vec<String> = (0..partitions).map(|it| it.to_string()).collect();
    let created = text(&event_hub.properties, &["createdAt"]).and_then(Timestamp::parse);
    Ok(Reply::ok(json!({
        "name": event_hub.scope.name(),
        "createdAt": created.map_or(0, Timestamp::millis),
        "partitionIds": ids,
    })))
}

/// How far a partition reaches.
///
/// # Errors
/// [`Error::NotFound`] where the event hub has no such partition.
pub(crate) async fn partition(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let event_hub = found(&env.facts.load(), permit.scope())?;
    let log = env.logs.of_event_hub(&event_hub, env).await?;
    Ok(Reply::ok(describe_partition(event_hub.scope.name(), input, &log)?))
}
