//! Kept decisions: every refusal, and every change of the control plane with it in one commit.
//!
//! A refusal is on disk before its answer leaves. What is kept is bounded in bytes and days; nobody takes
//! more than a tenth of the bytes; a refusal that comes again and again is counted under the id of one
//! that is kept, so that every tracking id that was answered can be asked for.

use crate::control::{failed, put, unread};
use crate::env::Env;
use gate::Permit;
use model::trace::{Caller, Trace};
use model::{Error, Timestamp, TrackingId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use store::{Change, Expect, Scan, ShardId, Write, tables};
use tokio::sync::{Mutex, OnceCell};

/// Bytes of refusals that are kept; the oldest go first.
pub const KEPT_BYTES_MAX: u64 = 1 << 30;
/// How long a decision is kept, in seconds: 30 days.
pub const KEPT_S_MAX: i64 = 30 * 24 * 3_600;
/// No principal takes more than this share of the bytes.
const PRINCIPAL_SHARE: u64 = 10;
/// Refusals of one caller, operation and deciding object that are kept singly in a minute.
const SINGLES_PER_MINUTE: u64 = 10;
/// How many streams of repeats are told apart at a time.
const STREAMS_MAX: usize = 10_000;
/// A recorded object larger than this is kept without its body.
const OBJECT_BYTES_MAX: usize = 32 << 10;
/// How many decisions one commit forgets.
const FORGET_AT_ONCE: usize = 200;

/// Most decisions that one look through them reads, and how many at a time.
pub(crate) const READ_MAX: usize = 10_000;
const READ_AT_ONCE: usize = 200;
/// What is free for a while after the oldest had to go.
const ROOM: u64 = 4 << 20;

/// What this process remembers of what is kept: a cache, never the truth.
#[derive(Default)]
pub struct Kept {
    streams: std::sync::Mutex<BTreeMap<String, Stream>>,
    sizes: OnceCell<Mutex<Sizes>>,
}

struct Stream {
    since: Timestamp,
    count: u64,
    last: TrackingId,
    repeats: u64,
}

#[derive(Default)]
struct Sizes {
    total: u64,
    by_principal: BTreeMap<String, u64>,
}

/// What the time index says of a kept refusal.
#[derive(Serialize, Deserialize)]
struct Entry {
    id: TrackingId,
    principal: String,
    size: u64,
}

/// Keeps a decision and answers under which id it can be asked for.
pub(crate) async fn keep(env: &Env, mut trace: Trace) -> Result<TrackingId, Error> {
    let principal = principal_of(&trace);
    let stream = stream_of(&trace, &principal);
    if let Some(known) = env.kept.repeat(&stream, trace.time) {
        return Ok(known);
    }
    shorten(&mut trace);
    keep_one(env, &trace, principal).await?;
    env.kept.keep(stream, &trace);
    Ok(trace.id)
}

/// Keeps an allowed change of the control plane that was committed elsewhere: each singly, under its own id.
pub(crate) async fn keep_change(env: &Env, permit: &Permit) -> Result<(), Error> {
    let Some(trace) = permit.trace() else { return Ok(()) };
    let mut trace = trace.clone();
    shorten(&mut trace);
    keep_one(env, &trace, principal_of(&trace)).await
}

async fn keep_one(env: &Env, trace: &Trace, principal: String) -> Result<(), Error> {
    let mut changes = changes_of(trace, &principal)?;
    let size = weight(&changes);
    let sizes = env.kept.sizes.get_or_try_init(|| Sizes::read(env)).await?;
    let mut sizes = sizes.lock().await;
    let own = sizes.by_principal.get(&principal).copied().unwrap_or(0);
    let is_over_own = own + size > KEPT_BYTES_MAX / PRINCIPAL_SHARE;
    let dropped = match is_over_own || sizes.total + size > KEPT_BYTES_MAX {
        true if is_over_own => oldest(env, &by_principal(&principal, "")).await?,
        true => oldest(env, BY_TIME).await?,
        false => Vec::new(),
    };
    sizes.add(&principal, size);
    for (key, entry) in &dropped {
        changes.extend(deletions(key, entry));
        sizes.take(&entry.principal, entry.size);
    }
    // Where something goes, the next choice waits until it is gone; else many are synced together.
    let choosing = (!dropped.is_empty()).then_some(sizes);
    env.store.commit(&ShardId::decisions(), changes).await.map_err(|it| failed(&it))?;
    drop(choosing);
    Ok(())
}

/// The documents that put an allowed change of the control plane on record, for its own commit.
pub(crate) fn activity_changes(
    permit: &Permit,
    warnings: Vec<String>,
) -> Result<Vec<Change>, Error> {
    match permit.trace() {
        Some(trace) => {
            let mut trace = trace.clone();
            trace.warnings = warnings;
            shorten(&mut trace);
            let principal = principal_of(&trace);
            changes_of(&trace, &principal)
        }
        None => Ok(Vec::new()),
    }
}

/// A kept decision by its id, with the repeats that were counted since.
pub(crate) async fn find(env: &Env, id: TrackingId) -> Result<Trace, Error> {
    for shard in [ShardId::decisions(), ShardId::control()] {
        let found = env
            .store
            .get(&shard, tables::DECISIONS, &id.to_string())
            .await
            .map_err(|it| unread(&it))?;
        if let Some(document) = found {
            let mut trace: Trace = serde_json::from_slice(&document.body).map_err(|it| {
                Error::Internal { message: format!("the decision `{id}` cannot be read: {it}") }
            })?;
            trace.repeats += env.kept.repeats_of(id);
            return Ok(trace);
        }
    }
    Err(Error::NotFound {
        code: "DecisionNotFound",
        message: format!(
            "no decision is kept under `{id}`: refusals and control-plane writes are, for 30 days; an allowed read or \
             device write is not"
        ),
    })
}

/// Control-plane writes and refusals between two times, newest first, the newest `limit` of them.
pub(crate) async fn activity(
    env: &Env,
    from: Timestamp,
    to: Timestamp,
    limit: usize,
) -> Result<Vec<Trace>, Error> {
    let mut newest: VecDeque<(String, TrackingId)> = VecDeque::new();
    let last_key = time_key(to, "~");
    for shard in [ShardId::decisions(), ShardId::control()] {
        let mut own: VecDeque<(String, TrackingId)> = VecDeque::new();
        let mut after = Some(time_key(from, ""));
        while let Some(start) = after.take() {
            for (key, entry) in entries(env, &shard, BY_TIME, Some(start)).await? {
                if key > last_key {
                    after = None;
                    break;
                }
                if own.len() == limit {
                    own.pop_front();
                }
                own.push_back((key.clone(), entry.id));
                after = Some(key);
            }
        }
        newest.extend(own);
    }
    let mut newest: Vec<(String, TrackingId)> = newest.into();
    newest.sort_unstable();
    let mut found = Vec::new();
    for (_, id) in newest.iter().rev().take(limit) {
        // One that is forgotten while the list is made is not in it.
        found.extend(find(env, *id).await.ok());
    }
    Ok(found)
}

/// Whose decisions are looked through.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    Everybodys,
    Callers(&'a Caller),
    /// Of those whom authentication refused: they are nobody yet.
    Nobodys,
}

/// Where a look through kept decisions begins, and so what it misses where there are too many.
#[derive(Clone, Copy)]
pub(crate) enum Span {
    /// From a time on, the oldest of them.
    Since(Timestamp),
    /// The newest of all.
    Newest,
}

/// Shows somebody's kept refusals and audited calls one after another, oldest first. `true` where there
/// were more than [`READ_MAX`].
pub(crate) async fn look_through(
    env: &Env,
    whose: Whose<'_>,
    span: Span,
    visit: &mut (dyn FnMut(&Trace) + Send),
) -> Result<bool, Error> {
    let prefix = match whose {
        Whose::Callers(it) => by_principal(&principal_key(it), ""),
        Whose::Everybodys | Whose::Nobodys => String::new(),
    };
    let is_meant = |it: &Entry| match whose {
        Whose::Everybodys | Whose::Callers(_) => true,
        Whose::Nobodys => it.principal.starts_with(NOBODY),
    };
    let index = format!("{prefix}{BY_TIME}");
    let mut after = match span {
        Span::Since(from) => Some(format!("{prefix}{}", time_key(from, ""))),
        Span::Newest => None,
    };
    let mut ids: VecDeque<String> = VecDeque::new();
    let mut is_cut = false;
    'index: loop {
        let page = entries(env, &ShardId::decisions(), &index, after.take()).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, entry) in page.iter().filter(|(_, it)| is_meant(it)) {
            is_cut |= ids.len() == READ_MAX;
            match span {
                Span::Since(_) if is_cut => break 'index,
                Span::Newest if is_cut => drop(ids.pop_front()),
                Span::Since(_) | Span::Newest => {}
            }
            ids.push_back(entry.id.to_string());
        }
    }
    for page in ids.make_contiguous().chunks(READ_AT_ONCE) {
        let page: Vec<&str> = page.iter().map(String::as_str).collect();
        let read = env.store.get_many(&ShardId::decisions(), tables::DECISIONS, &page).await;
        // One that is forgotten meanwhile is left out.
        for document in read.map_err(|it| unread(&it))?.into_iter().flatten() {
            if let Ok(mut trace) = serde_json::from_slice::<Trace>(&document.body) {
                trace.repeats += env.kept.repeats_of(trace.id);
                visit(&trace);
            }
        }
    }
    Ok(is_cut)
}

/// True where so much is kept of a caller, or of all, that the oldest may have had to go before its time.
pub(crate) async fn is_full(env: &Env, caller: &Caller) -> Result<bool, Error> {
    let sizes = env.kept.sizes.get_or_try_init(|| Sizes::read(env)).await?.lock().await;
    let own = sizes.by_principal.get(&principal_key(caller)).copied().unwrap_or(0);
    Ok(own + ROOM > KEPT_BYTES_MAX / PRINCIPAL_SHARE || sizes.total + ROOM > KEPT_BYTES_MAX)
}

/// Forgets what is older than [`KEPT_S_MAX`], and of the control plane's changes also the oldest above
/// [`KEPT_BYTES_MAX`]. Called at start and every hour.
pub async fn forget_old(env: &Env) -> Result<usize, Error> {
    let horizon = time_key(env.now().plus_seconds(-KEPT_S_MAX), "");
    let mut forgotten = 0;
    for shard in [ShardId::decisions(), ShardId::control()] {
        let is_control = shard == ShardId::control();
        let mut excess = if is_control {
            Sizes::of(env, &shard).await?.total.saturating_sub(KEPT_BYTES_MAX)
        } else {
            0
        };
        loop {
            let mut changes = Vec::new();
            let mut gone = Vec::new();
            for (key, entry) in
                entries(env, &shard, BY_TIME, None).await?.into_iter().take(FORGET_AT_ONCE)
            {
                if key >= horizon && excess == 0 {
                    break;
                }
                excess = excess.saturating_sub(entry.size);
                changes.extend(deletions(&key, &entry));
                gone.push(entry);
            }
            if changes.is_empty() {
                break;
            }
            forgotten += gone.len();
            env.store.commit(&shard, changes).await.map_err(|it| failed(&it))?;
            if let Some(sizes) = env.kept.sizes.get().filter(|_| !is_control) {
                let mut sizes = sizes.lock().await;
                gone.iter().for_each(|it| sizes.take(&it.principal, it.size));
            }
        }
    }
    Ok(forgotten)
}

/// A page of an index: behind a prefix, after a key.
async fn entries(
    env: &Env,
    shard: &ShardId,
    prefix: &str,
    after: Option<String>,
) -> Result<Vec<(String, Entry)>, Error> {
    let scan = Scan { prefix: prefix.to_owned(), after, limit: 500 };
    let page = env.store.scan(shard, tables::ACTIVITY, scan).await.map_err(|it| unread(&it))?;
    let entry =
        |(key, it): (String, store::Document)| Some((key, serde_json::from_slice(&it.body).ok()?));
    Ok(page.into_iter().filter_map(entry).collect())
}

const BY_TIME: &str = "t/";
/// What an unproven caller is filed under, before its address.
const NOBODY: &str = "address:";

fn time_key(time: Timestamp, id: &str) -> String {
    format!("{BY_TIME}{:013}-{id}", time.millis().max(0))
}

fn by_principal(principal: &str, time_key: &str) -> String {
    format!("p/{principal}/{time_key}")
}

fn principal_of(trace: &Trace) -> String {
    match &trace.call.caller {
        Some(caller) => principal_key(caller),
        None => format!("{NOBODY}{}", trace.call.channel.address),
    }
}

fn principal_key(caller: &Caller) -> String {
    caller.key().replace('/', "_")
}

fn changes_of(trace: &Trace, principal: &str) -> Result<Vec<Change>, Error> {
    let id = trace.id.to_string();
    let key = time_key(trace.time, &id);
    let kept = put(tables::DECISIONS, id, Expect::Anything, trace)?;
    let size = weight(std::slice::from_ref(&kept));
    let entry = Entry { id: trace.id, principal: principal.to_owned(), size };
    Ok(vec![
        put(tables::ACTIVITY, by_principal(principal, &key), Expect::Anything, &entry)?,
        put(tables::ACTIVITY, key, Expect::Anything, &entry)?,
        kept,
    ])
}

fn weight(changes: &[Change]) -> u64 {
    let bytes: usize = changes
        .iter()
        .map(|it| match &it.write {
            Write::Put(body) if it.table == tables::DECISIONS => body.len(),
            Write::Put(_) | Write::Delete | Write::Check => 0,
        })
        .sum();
    bytes as u64
}

fn deletions(key: &str, entry: &Entry) -> [Change; 3] {
    let time = key.rfind(BY_TIME).and_then(|at| key.get(at..)).unwrap_or(key);
    let gone =
        |table, key: String| Change { table, key, expect: Expect::Anything, write: Write::Delete };
    [
        gone(tables::ACTIVITY, time.to_owned()),
        gone(tables::ACTIVITY, by_principal(&entry.principal, time)),
        gone(tables::DECISIONS, entry.id.to_string()),
    ]
}

/// The oldest few behind a prefix: more than one, so that the bound is not met again at once.
async fn oldest(env: &Env, prefix: &str) -> Result<Vec<(String, Entry)>, Error> {
    let mut found = entries(env, &ShardId::decisions(), prefix, None).await?;
    found.truncate(50);
    Ok(found)
}

impl Sizes {
    /// Adds up what is kept, once per process and not at start: the first refusal waits for it.
    async fn read(env: &Env) -> Result<Mutex<Self>, Error> {
        Ok(Mutex::new(Self::of(env, &ShardId::decisions()).await?))
    }

    async fn of(env: &Env, shard: &ShardId) -> Result<Self, Error> {
        let mut sizes = Self::default();
        let mut after = None;
        loop {
            let page = entries(env, shard, BY_TIME, after.take()).await?;
            let Some((last, _)) = page.last() else { return Ok(sizes) };
            after = Some(last.clone());
            for (_, entry) in &page {
                sizes.add(&entry.principal, entry.size);
            }
        }
    }

    fn add(&mut self, principal: &str, size: u64) {
        self.total += size;
        *self.by_principal.entry(principal.to_owned()).or_default() += size;
    }

    fn take(&mut self, principal: &str, size: u64) {
        self.total = self.total.saturating_sub(size);
        if let Some(own) = self.by_principal.get_mut(principal) {
            *own = own.saturating_sub(size);
        }
    }
}

/// What makes a refusal the same as another: who, what, where, to which thing, by what, under which facts.
fn stream_of(trace: &Trace, principal: &str) -> String {
    let decided = trace.deciding().map_or("", |it| it.id.as_str());
    let target = trace.call.objects.first().map_or("", |it| it.id.as_str());
    let call = &trace.call;
    let code = &trace.outcome.code;
    format!(
        "{principal}|{}|{}|{}|{target}|{decided}|{code}|{}",
        call.operation, call.scope, call.channel.request, trace.facts
    )
}

impl Kept {
    /// The id under which a repeat is counted; `None` where this one is to be kept itself.
    fn repeat(&self, stream: &str, now: Timestamp) -> Option<TrackingId> {
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = streams.get_mut(stream).filter(|it| now < it.since.plus_seconds(60))?;
        if known.count < SINGLES_PER_MINUTE {
            return None;
        }
        known.repeats += 1;
        Some(known.last)
    }

    /// Notes one that is kept now: repeats of its stream may answer with its id.
    fn keep(&self, stream: String, trace: &Trace) {
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if streams.len() >= STREAMS_MAX {
            streams.retain(|_, it| trace.time < it.since.plus_seconds(60));
        }
        if streams.len() >= STREAMS_MAX {
            streams.pop_first();
        }
        let fresh = Stream { since: trace.time, count: 0, last: trace.id, repeats: 0 };
        let known = streams.entry(stream).or_insert(fresh);
        if trace.time >= known.since.plus_seconds(60) {
            *known = Stream { since: trace.time, count: 0, last: trace.id, repeats: 0 };
        }
        known.count += 1;
        known.last = trace.id;
    }

    fn repeats_of(&self, id: TrackingId) -> u64 {
        let streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.values().filter(|it| it.last == id).map(|it| it.repeats).sum()
    }
}

fn shorten(trace: &mut Trace) {
    trace.call.objects.iter_mut().for_each(|it| it.shorten(OBJECT_BYTES_MAX));
}

#[cfg(test)]
#[path = "decisions_tests.rs"]
mod tests;
