//! What gates decided by before: each change of facts leaves what stood in the documents until then, so that a
//! decision can be judged again by the facts of its time.
//!
//! Kept where `up --keep-facts` asks for it, and in the very commit of the change: a kill leaves both or neither.
//! What is kept looks backwards: today's documents with the changes since taken back are those of then, see
//! [`super::past`]. So the oldest can go without anything being written anew, and nothing is kept twice.

use super::TABLES;
use crate::control::{self, delete, failed, put, unread};
use crate::decisions::KEPT_S_MAX;
use crate::env::Env;
use crate::network;
use crate::propagation::Propagation;
use gate::Facts;
use model::json::set;
use model::{Error, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, Document, Engine, Expect, Scan, ShardId, StoreError, Table, Write, tables};

/// Bytes of former documents that are kept; the oldest go first.
pub const KEPT_BYTES_MAX: u64 = 64 << 20;
/// What one change replaced is not kept where it is more; nothing before that change is known then.
const CHANGE_BYTES_MAX: usize = 1 << 20;
/// How many are read at a time, and forgotten in one commit.
const AT_ONCE: usize = 50;

/// What one commit replaced.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Former {
    /// When the change was made: what is taken away may go on counting for a while.
    pub(super) time: Timestamp,
    pub(super) under: Under,
    /// True where the server started: no document changed, but what no document holds may have.
    pub(super) is_start: bool,
    /// In the order of the commit. `None` where it was too much to keep.
    pub(super) documents: Option<Vec<FormerDocument>>,
}

/// A document before the commit.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FormerDocument {
    pub(super) table: String,
    pub(super) key: String,
    /// `None` where there was nothing.
    pub(super) body: Option<Value>,
}

/// What facts depend on that is in no document that gates decide by.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Under {
    pub(super) tenant: ObjectId,
    pub(super) origin: String,
    pub(super) has_explicit_grants: bool,
    pub(super) propagation: Propagation,
}

impl Under {
    fn of(facts: &Facts, propagation: &Propagation) -> Self {
        Self {
            tenant: facts.tenant,
            origin: facts.origin.clone(),
            has_explicit_grants: facts.has_explicit_grants,
            propagation: propagation.clone(),
        }
    }

    /// Facts without documents.
    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::new(self.tenant, self.origin.as_str());
        facts.has_explicit_grants = self.has_explicit_grants;
        facts
    }
}

/// Begins with the facts of a start, and gives them an epoch that no others have had. Where none are to be kept,
/// those that were are forgotten: what changes meanwhile is not noted, and so nothing older could be found.
///
/// # Errors
/// A sentence where the store refused.
pub async fn begin(
    store: &Engine,
    keeps_facts: bool,
    facts: &mut Facts,
    propagation: &Propagation,
    now: Timestamp,
) -> Result<(), String> {
    if !keeps_facts {
        return forget_all(store).await.map_err(|it| it.to_string());
    }
    let start = Former {
        time: now,
        under: Under::of(facts, propagation),
        is_start: true,
        documents: Some(Vec::new()),
    };
    let change = put(tables::FORMER_FACTS, key(facts.epoch, "start"), Expect::Anything, &start)
        .map_err(|it| it.to_string())?;
    let committed = store.commit(&ShardId::control(), vec![change]).await;
    facts.epoch = committed.map_err(|it| it.to_string())?.revision;
    Ok(())
}

/// What keeps the documents that `changes` replace, for the same commit. The caller holds
/// [`super::FactsCell::changing`].
pub(crate) async fn change(
    env: &Env,
    before: &Facts,
    changes: &[Change],
    now: Timestamp,
) -> Result<Option<Change>, Error> {
    let is_fact = |it: &&Change| it.write != Write::Check && TABLES.contains(&it.table);
    let mut changed = changes.iter().filter(is_fact).peekable();
    if !env.settings.keeps_facts || changed.peek().is_none() {
        return Ok(None);
    }
    let mut bytes = 0;
    let mut documents = Vec::new();
    for Change { table, key, .. } in changed {
        let found = env.store.get(&ShardId::control(), *table, key).await;
        let found = found.map_err(|it| unread(&it))?;
        bytes += key.len() + found.as_ref().map_or(0, |it| it.body.len());
        if bytes > CHANGE_BYTES_MAX {
            break;
        }
        let body = found.map(|it| without_secrets(*table, key, &it)).transpose()?;
        documents.push(FormerDocument { table: table.to_string(), key: key.clone(), body });
    }
    let former = Former {
        time: now,
        under: Under::of(before, &env.settings.propagation),
        is_start: false,
        documents: (bytes <= CHANGE_BYTES_MAX).then_some(documents),
    };
    // By chance unique, too: a call that was given up may have left one under the same epoch.
    let key = key(before.epoch, &env.new_uuid().to_string());
    put(tables::FORMER_FACTS, key, Expect::Anything, &former).map(Some)
}

/// A body without what proves somebody: no gate behind authentication reads it, and nobody is proven again.
fn without_secrets(table: Table, key: &str, document: &Document) -> Result<Value, Error> {
    let mut body: Value = control::parse(table, key, document)?;
    if table == tables::APPLICATIONS {
        for name in ["passwords", "certificates", "federated"] {
            set(&mut body, name, json!([]));
        }
    }
    if table == tables::USERS {
        set(&mut body, "password", json!(""));
    }
    // Of hubs and provisioning services: their keys and CAs, the connection strings of endpoints and links, and whom
    // hubs alert. Their network rules are no secret, and the last gate reads them.
    if table == tables::RESOURCES && body.get("resource").is_some() {
        for name in ["policies", "certificates"] {
            set(&mut body, name, json!([]));
        }
        set(&mut body, "keys", Value::Null);
        if let Some(document) = body.as_object_mut() {
            document.remove("security");
        }
        if let Some(resource) = body.get_mut("resource") {
            let rules = resource.get("properties").map(network::alone).unwrap_or_default();
            set(resource, "properties", rules);
        }
    }
    Ok(body)
}

/// Forgets what no kept decision needs any more, and the oldest above [`KEPT_BYTES_MAX`]. Called every hour.
///
/// # Errors
/// [`Error::Unavailable`] where the store refused.
pub async fn forget_old(env: &Env) -> Result<usize, Error> {
    let mut kept = Vec::new();
    let mut after = None;
    loop {
        let page = page(&env.store, after.take()).await.map_err(|it| unread(&it))?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, document) in page {
            let former: Former = control::parse(tables::FORMER_FACTS, &key, &document)?;
            kept.push((key, document.body.len() as u64, former.time));
        }
    }
    let horizon = env.now().plus_seconds(-KEPT_S_MAX);
    let mut total: u64 = kept.iter().map(|it| it.1).sum();
    let mut gone = Vec::new();
    // One that the next has followed within the horizon made facts that a kept decision may have met.
    for ((key, bytes, _), (.., next)) in kept.iter().zip(kept.iter().skip(1)) {
        if total <= KEPT_BYTES_MAX && *next >= horizon {
            break;
        }
        total -= bytes;
        gone.push(delete(tables::FORMER_FACTS, key.clone(), Expect::Anything));
    }
    for changes in gone.chunks(AT_ONCE) {
        let committed = env.store.commit(&ShardId::control(), changes.to_vec()).await;
        committed.map_err(|it| failed(&it))?;
    }
    Ok(gone.len())
}

async fn forget_all(store: &Engine) -> Result<(), Error> {
    loop {
        let page = page(store, None).await.map_err(|it| unread(&it))?;
        if page.is_empty() {
            return Ok(());
        }
        let gone =
            page.into_iter().map(|(key, _)| delete(tables::FORMER_FACTS, key, Expect::Anything));
        let committed = store.commit(&ShardId::control(), gone.collect()).await;
        committed.map_err(|it| failed(&it))?;
    }
}

/// The next few behind a key, oldest first.
pub(super) async fn page(
    store: &Engine,
    after: Option<String>,
) -> Result<Vec<(String, Document)>, StoreError> {
    let scan = Scan { prefix: String::new(), after, limit: AT_ONCE };
    store.scan(&ShardId::control(), tables::FORMER_FACTS, scan).await
}

/// Sorts by the epoch that a change ended.
fn key(epoch: u64, name: &str) -> String {
    format!("{epoch:020}/{name}")
}

#[cfg(test)]
#[path = "former_tests.rs"]
mod tests;
