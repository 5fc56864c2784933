//! Calls on record: what was used, by whom, how and where, with a few calls as the gates saw them.
//!
//! This is an observation and no log: uses are counted in memory and written every [`KEEP_EVERY_S`] seconds, so a crash
//! loses the last of them. Decides nothing; who asks is `what_if.rs`, `advise.rs` and `local_auth.rs`. What is kept of a
//! use is in `observed/used.rs`.

mod used;

pub(crate) use used::{Use, Way};

use crate::control::{delete, put, unread};
use crate::env::Env;
use gate::{Ask, Facts};
use model::trace::Gate;
use model::{Error, Plane, PrincipalKind, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{Change, Expect, Scan, ShardId, tables};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

/// How often uses are written, in seconds; also when the server stops, and before anybody looks at them.
pub const KEEP_EVERY_S: u64 = 30;
/// Most uses that are kept, and most that wait to be written; those that were used longest ago go first.
pub const USES_MAX: usize = 5_000;
/// Nobody takes more than this share of them.
const SHARE: usize = 10;
/// How long a use is kept after it was last seen, in seconds: 90 days.
pub const KEPT_S_MAX: i64 = 90 * 24 * 3_600;
/// How many documents are read and written at a time.
const AT_ONCE: usize = 100;
/// How many more go where some must, so that the bound is not met again at once.
const ROOM: usize = USES_MAX / 50;

const PREFIX: &str = "use/";
const SINCE: &str = "since";

/// What this process has seen and what it knows of what is kept.
#[derive(Default)]
pub struct Observed {
    fresh: Mutex<Fresh>,
    /// Read when it is first needed, and not at start.
    index: OnceCell<AsyncMutex<Index>>,
}

/// What is not written yet.
#[derive(Default)]
struct Fresh {
    /// Under who, how, what and where.
    uses: BTreeMap<String, Use>,
    /// How many of them are whose.
    shares: BTreeMap<String, usize>,
    /// Uses that found no room.
    passed_over: u64,
}

/// Which uses are kept.
struct Index {
    /// By key: whose they are, and when they were last seen.
    marks: BTreeMap<String, (String, Timestamp)>,
    span: Span,
}

/// From when on, and how completely, uses were observed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    pub(crate) since: Timestamp,
    /// Uses that had to go, or found no room, since then.
    pub(crate) forgotten: u64,
}

impl Observed {
    /// A call that the gates let pass.
    pub(crate) fn allowed(&self, ask: &Ask<'_>, facts: &Facts) {
        self.note(ask, None, facts);
    }

    /// A call that a gate refused. The call itself stays with its decision.
    pub(crate) fn refused(&self, ask: &Ask<'_>, gate: Gate, facts: &Facts) {
        self.note(ask, Some(gate), facts);
    }

    fn note(&self, ask: &Ask<'_>, refused: Option<Gate>, facts: &Facts) {
        let nobody = matches!(ask.caller.kind, PrincipalKind::Anyone | PrincipalKind::System);
        if nobody || matches!(ask.operation.plane, Plane::Open | Plane::Token) {
            return;
        }
        let key = short_key(ask);
        let mut fresh = self.lock();
        let fresh = &mut *fresh;
        if let Some(known) = fresh.uses.get_mut(&key) {
            known.count(ask, refused);
            return;
        }
        let mut new = Use::of(ask, facts);
        let share = new.share();
        let own = fresh.shares.get(&share).copied().unwrap_or(0);
        if fresh.uses.len() >= USES_MAX || own >= USES_MAX / SHARE {
            fresh.passed_over += 1;
            return;
        }
        new.count(ask, refused);
        fresh.uses.insert(key, new);
        fresh.shares.insert(share, own + 1);
    }

    fn lock(&self) -> MutexGuard<'_, Fresh> {
        // No critical section leaves the map half changed.
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells uses apart in this process.
fn short_key(ask: &Ask<'_>) -> String {
    let caller = ask.caller;
    let mut key = ask.scope.key();
    let (way, op) = (Way::of_caller(caller), ask.operation.op as usize);
    // Writing to a `String` cannot fail.
    let _ = match (caller.object_id, caller.kind) {
        (Some(id), _) => write!(key, " {op} {} {id}", way.as_str()),
        (None, PrincipalKind::Device) => write!(key, " {op} {}", way.as_str()),
        (None, _) => write!(key, " {op} {} {}", way.as_str(), caller.name),
    };
    key
}

/// Writes what was seen since the last time.
///
/// # Errors
/// [`Error::Unavailable`] where the store fails. What was seen since is lost then.
pub async fn keep(env: &Env) -> Result<(), Error> {
    let index = env.observed.index.get_or_try_init(|| Index::read(env)).await?;
    // Before the other lock: whoever waits for it finds what came meanwhile written.
    let mut index = index.lock().await;
    let fresh = std::mem::take(&mut *env.observed.lock());
    index.span.forgotten += fresh.passed_over;
    let mut uses = fresh.uses.into_values().peekable();
    while uses.peek().is_some() {
        let some: Vec<(String, Use)> =
            uses.by_ref().take(AT_ONCE).map(|it| (it.key(), it)).collect();
        let mut changes = merged(env, some).await?;
        for (key, used, _) in &changes {
            index.marks.insert(key.clone(), (used.share(), used.last_seen()));
        }
        let gone = index.forget(env.now());
        changes.retain(|(key, _, _)| !gone.contains(key));
        let mut changes: Vec<Change> = changes.into_iter().map(|(_, _, it)| it).collect();
        index.span.forgotten += gone.len() as u64;
        changes.extend(gone.into_iter().map(|it| delete(tables::OBSERVED, it, Expect::Anything)));
        changes.push(put(tables::OBSERVED, SINCE, Expect::Anything, &index.span)?);
        let committed = env.store.commit(&ShardId::decisions(), changes).await;
        committed.map_err(|it| crate::control::failed(&it))?;
    }
    Ok(())
}

/// The documents of uses together with what is kept of them already.
async fn merged(env: &Env, some: Vec<(String, Use)>) -> Result<Vec<(String, Use, Change)>, Error> {
    let keys: Vec<&str> = some.iter().map(|(key, _)| key.as_str()).collect();
    let kept = env.store.get_many(&ShardId::decisions(), tables::OBSERVED, &keys).await;
    let kept = kept.map_err(|it| unread(&it))?;
    let both = some.into_iter().zip(kept);
    both.map(|((key, new), kept)| {
        let former = kept.and_then(|it| serde_json::from_slice::<Use>(&it.body).ok());
        let whole = match former {
            Some(former) => former.and(new),
            None => new,
        };
        let change = put(tables::OBSERVED, &key, Expect::Anything, &whole)?;
        Ok((key, whole, change))
    })
    .collect()
}

/// Shows every use at a scope or below it, of callers and services that are still there.
pub(crate) async fn look(
    env: &Env,
    scope: &Scope,
    facts: &Facts,
    visit: &mut (dyn FnMut(Use) + Send),
) -> Result<Span, Error> {
    keep(env).await?;
    let mut after = None;
    loop {
        let page = page(env, after.take()).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, body) in &page {
            let Ok(found) = serde_json::from_slice::<Use>(body) else { continue };
            if found.is_at(scope, facts) && found.is_there(facts) {
                visit(found);
            }
        }
        // Others wait for this thread, too.
        tokio::task::yield_now().await;
    }
    let index = env.observed.index.get_or_try_init(|| Index::read(env)).await?;
    Ok(index.lock().await.span)
}

async fn page(env: &Env, after: Option<String>) -> Result<Vec<(String, bytes::Bytes)>, Error> {
    let scan = Scan { prefix: PREFIX.to_owned(), after, limit: AT_ONCE };
    let page = env.store.scan(&ShardId::decisions(), tables::OBSERVED, scan).await;
    Ok(page.map_err(|it| unread(&it))?.into_iter().map(|(key, it)| (key, it.body)).collect())
}

impl Index {
    async fn read(env: &Env) -> Result<AsyncMutex<Self>, Error> {
        let said = env.store.get(&ShardId::decisions(), tables::OBSERVED, SINCE).await;
        let said = said.map_err(|it| unread(&it))?;
        let span = said.and_then(|it| serde_json::from_slice(&it.body).ok());
        let span = span.unwrap_or(Span { since: env.now(), forgotten: 0 });
        let mut index = Self { marks: BTreeMap::new(), span };
        let mut after = None;
        loop {
            let page = page(env, after.take()).await?;
            let Some((last, _)) = page.last() else { return Ok(AsyncMutex::new(index)) };
            after = Some(last.clone());
            for (key, body) in page {
                // One that cannot be read is the first to go.
                let used = serde_json::from_slice::<Use>(&body).ok();
                let mark = used.map_or_else(Default::default, |it| (it.share(), it.last_seen()));
                index.marks.insert(key, mark);
            }
        }
    }

    /// Takes out what is over, and the oldest of what is too much: of one, or of all.
    fn forget(&mut self, now: Timestamp) -> Vec<String> {
        let horizon = now.plus_seconds(-KEPT_S_MAX);
        let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
        for (share, _) in self.marks.values() {
            *shares.entry(share).or_default() += 1;
        }
        let is_over = |share: &str, last: Timestamp| {
            last < horizon || shares.get(share).is_some_and(|it| *it > USES_MAX / SHARE)
        };
        let too_many = self.marks.len() > USES_MAX;
        if !too_many && !self.marks.values().any(|(share, last)| is_over(share, *last)) {
            return Vec::new();
        }
        let mut oldest: Vec<(Timestamp, &str, &String)> =
            self.marks.iter().map(|(key, (share, last))| (*last, share.as_str(), key)).collect();
        oldest.sort_unstable();
        let mut left = self.marks.len();
        let target = if too_many { USES_MAX - ROOM } else { USES_MAX };
        let mut gone = Vec::new();
        for (last, share, key) in oldest {
            let own = shares.get_mut(share);
            let is_too_much = own.as_ref().is_some_and(|it| **it > USES_MAX / SHARE);
            if last < horizon || is_too_much || left > target {
                gone.push(key.clone());
                left -= 1;
                own.into_iter().for_each(|it| *it -= 1);
            }
        }
        gone.iter().for_each(|it| drop(self.marks.remove(it)));
        gone
    }
}

#[cfg(test)]
#[path = "observed_tests.rs"]
mod tests;
