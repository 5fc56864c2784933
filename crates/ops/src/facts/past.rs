//! The facts of any epoch that is kept: today's documents with the changes since taken back, and from there on
//! made anew, change by change, as the server made them.

use super::former::{self, Former, FormerDocument, Under};
use super::{TABLES, bring, put};
use crate::propagation::DELAY_S_MAX;
use bytes::Bytes;
use gate::Facts;
use model::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use store::{Change, Engine, Expect, Scan, ShardId, Write};

/// How many documents are read at once.
const PAGE: usize = 500;

/// Documents by the place of their table in [`TABLES`], and by key: the order in which facts are made of them.
type Documents = BTreeMap<(usize, String), Bytes>;

/// Facts that go through their epochs, from the oldest that is kept to the newest.
pub struct Past {
    documents: Documents,
    facts: Facts,
    /// What is still to come, oldest first.
    steps: VecDeque<Step>,
    /// The oldest epoch that is kept.
    first: u64,
    /// Before that, what was fading out is not known.
    whole_since: Timestamp,
}

/// A commit that changed facts, or a start.
struct Step {
    revision: u64,
    time: Timestamp,
    under: Under,
    is_start: bool,
    changes: Vec<Change>,
}

impl Past {
    /// Reads all that is kept; `None` where nothing is. Nobody else may write meanwhile.
    ///
    /// # Errors
    /// A sentence that names the document that cannot be read.
    pub async fn read(store: &Engine) -> Result<Option<Self>, String> {
        let mut documents = documents(store).await?;
        let mut steps = VecDeque::new();
        for (revision, former) in kept(store).await?.into_iter().rev() {
            let Former { time, under, is_start, documents: replaced } = former;
            let is_lost = replaced.is_none();
            let changes = take_back(&mut documents, replaced.unwrap_or_default())?;
            steps.push_front(Step { revision, time, under, is_start, changes });
            if is_lost {
                break;
            }
        }
        let Some(oldest) = steps.pop_front() else { return Ok(None) };
        // The oldest facts are those after the oldest change.
        apply(&mut documents, &oldest.changes);
        // Roles that were taken away before it may go on counting, and nobody knows of them any more.
        let is_whole = oldest.is_start || oldest.under.propagation.is_off();
        let whole_since = match is_whole {
            true => Timestamp::from_millis(i64::MIN),
            false => oldest.time.plus_seconds(i64::from(DELAY_S_MAX)),
        };
        let facts = made(&documents, &oldest)?;
        Ok(Some(Self { documents, facts, steps, first: oldest.revision, whole_since }))
    }

    /// True where the facts are kept by which a call was judged in this epoch, at this time.
    pub fn knows(&self, epoch: u64, time: Timestamp) -> bool {
        epoch >= self.first && time >= self.whole_since
    }

    /// The facts of an epoch, which must not be older than the one asked for before.
    ///
    /// # Errors
    /// A sentence that names the document that cannot be read.
    pub fn at(&mut self, epoch: u64) -> Result<&Facts, String> {
        while let Some(step) = self.steps.pop_front_if(|it| it.revision <= epoch) {
            apply(&mut self.documents, &step.changes);
            if step.is_start {
                self.facts = made(&self.documents, &step)?;
                continue;
            }
            // Maps that nobody else holds are changed in place, so a copy is made only where it is needed.
            let fades = !step.under.propagation.is_off();
            let before = fades.then(|| self.facts.clone());
            bring(&mut self.facts, &step.changes)?;
            if let Some(before) = before {
                step.under.propagation.fade(&before, &mut self.facts, &step.changes, step.time);
            }
            self.facts.epoch = step.revision;
        }
        Ok(&self.facts)
    }
}

/// Every document that gates decide by.
async fn documents(store: &Engine) -> Result<Documents, String> {
    let mut found = Documents::new();
    for (place, table) in TABLES.iter().enumerate() {
        let mut after = None;
        loop {
            let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE };
            let page = store.scan(&ShardId::control(), *table, scan).await;
            let page = page.map_err(|it| it.to_string())?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page.into_iter().map(|(key, it)| ((place, key), it.body)));
        }
    }
    Ok(found)
}

/// All that was replaced, by the revision of the commit that did, oldest first.
async fn kept(store: &Engine) -> Result<BTreeMap<u64, Former>, String> {
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = former::page(store, after.take()).await.map_err(|it| it.to_string())?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(last.clone());
        for (key, document) in page {
            let former = serde_json::from_slice(&document.body)
                .map_err(|it| format!("the former facts `{key}` cannot be read: {it}"))?;
            found.insert(document.revision, former);
        }
    }
}

/// Puts back what was replaced, and answers what makes the change again.
fn take_back(
    documents: &mut Documents,
    replaced: Vec<FormerDocument>,
) -> Result<Vec<Change>, String> {
    let mut changes = VecDeque::with_capacity(replaced.len());
    for FormerDocument { table: name, key, body } in replaced.into_iter().rev() {
        let known = TABLES.iter().enumerate().find(|(_, it)| it.to_string() == name);
        let (place, table) = known.ok_or_else(|| format!("no facts are made of `{name}`"))?;
        let at = (place, key.clone());
        let newer = match body {
            Some(body) => documents.insert(at, body.to_string().into()),
            None => documents.remove(&at),
        };
        let write = newer.map_or(Write::Delete, Write::Put);
        changes.push_front(Change { table: *table, key, expect: Expect::Anything, write });
    }
    Ok(changes.into())
}

fn apply(documents: &mut Documents, changes: &[Change]) {
    for change in changes {
        let Some(place) = TABLES.iter().position(|it| *it == change.table) else { continue };
        let at = (place, change.key.clone());
        match &change.write {
            Write::Put(body) => drop(documents.insert(at, body.clone())),
            Write::Delete => drop(documents.remove(&at)),
            Write::Check => {}
        }
    }
}

/// The facts of all documents, as a start makes them.
fn made(documents: &Documents, step: &Step) -> Result<Facts, String> {
    let mut facts = step.under.facts();
    for ((place, key), body) in documents {
        if let Some(table) = TABLES.get(*place) {
            put(&mut facts, *table, key, Some(body))?;
        }
    }
    facts.epoch = step.revision;
    Ok(facts)
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
