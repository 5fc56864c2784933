//! Finds documents of one source by a condition: the store passes over what it can, and the condition decides
//! about the rest, on each document as the service API shows it.
//!
//! This is the one place that knows what a source's documents are: in which table they lie, where in them lies
//! what a condition names, and what is shown of them.

use super::super::identity::{Device, Live};
use super::super::messages;
use super::super::query::{Condition, Source};
use super::super::registry::{parse, shard};
use super::places;
use crate::control::unread;
use crate::env::Env;
use gate::facts::Hub;
use model::Error;
use serde_json::Value;
use store::{Document, Filter, Found, Lookup, ShardId, Table, tables};

/// Most documents that one reading gives.
pub(super) const READ_AT_ONCE: usize = 100;
/// Most documents that the store looks at for that, so that others get their turn.
const LOOK_AT_ONCE: usize = 2_000;

/// Documents of a hub that fulfil a condition.
pub(super) struct Reading<'a> {
    env: &'a Env,
    hub: &'a Hub,
    shard: ShardId,
    condition: &'a Condition,
    /// What the store is asked for.
    filter: Filter,
    /// True where it is of interest how many messages wait for each device.
    shows_messages: bool,
}

/// What one reading has found, in the order of the keys.
pub(super) struct Read {
    pub(super) items: Vec<Item>,
    /// How many documents were looked at.
    pub(super) examined: usize,
    /// The key behind which there may be more.
    pub(super) next: Option<String>,
}

pub(super) struct Item {
    pub(super) key: String,
    /// The document as it is kept, in bytes.
    pub(super) bytes: usize,
    pub(super) shown: Value,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        env: &'a Env,
        hub: &'a Hub,
        condition: &'a Condition,
        shows_messages: bool,
    ) -> Result<Self, Error> {
        let filter = match condition.source() {
            Source::Devices => condition.prefilter(&places::of_device),
            Source::Modules => condition.prefilter(&places::of_module),
            Source::Jobs => Filter::Anything,
        };
        Ok(Self { env, hub, shard: shard(hub)?, condition, filter, shows_messages })
    }

    /// `None` where a hub has no such documents.
    const fn table(&self) -> Option<Table> {
        match self.condition.source() {
            Source::Devices => Some(tables::DEVICES),
            Source::Modules => Some(tables::MODULES),
            Source::Jobs => None,
        }
    }

    /// Those behind `after`: at most `most`, and perhaps none although there are more to come.
    pub(super) async fn read(&self, after: Option<String>, most: usize) -> Result<Read, Error> {
        let Some(table) = self.table() else {
            return Ok(Read { items: Vec::new(), examined: 0, next: None });
        };
        let filter = self.filter.clone();
        let lookup = Lookup { filter, after, limit: most.min(READ_AT_ONCE), examine: LOOK_AT_ONCE };
        let found = self.env.store.query(&self.shard, table, lookup).await;
        let Found { documents, examined, next } = found.map_err(|it| unread(&it))?;
        let keys: Vec<&str> = documents.iter().map(|(key, _)| key.as_str()).collect();
        let messages = match self.condition.source() {
            Source::Devices if self.shows_messages => {
                messages::counts(self.env, &self.shard, &keys).await?
            }
            Source::Devices | Source::Modules | Source::Jobs => vec![0; keys.len()],
        };
        let mut items = Vec::new();
        for ((key, document), messages) in documents.into_iter().zip(messages) {
            let shown = self.shown(&key, &document, messages)?;
            if self.condition.matches(&shown) {
                items.push(Item { key, bytes: document.body.len(), shown });
            }
        }
        Ok(Read { items, examined, next })
    }

    fn shown(&self, key: &str, document: &Document, messages: u32) -> Result<Value, Error> {
        let device: Device = parse(key, document)?;
        let connected_since = self.env.presence.connected_since(&self.hub.uid, key);
        Ok(device.shown_twin(&Live { connected_since, messages }))
    }

    /// How many documents there are, without a look at them.
    pub(super) async fn count(&self) -> Result<u64, Error> {
        let Some(table) = self.table() else { return Ok(0) };
        self.env.store.count(&self.shard, table).await.map_err(|it| unread(&it))
    }
}
