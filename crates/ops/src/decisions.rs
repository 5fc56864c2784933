//! Kept decisions: every refusal, and every change of the control plane with it in one commit.
//!
//! A refusal is on disk before its answer leaves. What is kept is bounded in bytes and days; nobody takes
//! more than a tenth of the bytes; a refusal that comes again and again is counted under the id of one
//! that is kept, so that every tracking id that was answered can be asked for.

use crate::advice;
use crate::control::{failed, put, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::{Ask, Facts, Permit};
use model::operations::Operation;
use model::trace::{Caller, Gate, Object, Trace, TraceHead};
use model::{ActionName, Error, OPERATIONS, ObjectId, Op, Scope, Timestamp, TrackingId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use store::{Change, Expect, Scan, ShardId, Write, tables};
use tokio::sync::OnceCell;

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
/// Most decisions that one look at the activity log walks through.
const ACTIVITY_WALK_MAX: usize = 10_000;

/// What this process remembers of what is kept: a cache, never the truth.
#[derive(Default)]
pub struct Kept {
    streams: Mutex<BTreeMap<String, Stream>>,
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
    shorten(&mut trace);
    let principal = principal_of(&trace);
    if let Some(known) = env.kept.repeat(&trace, &principal) {
        return Ok(known);
    }
    let shard = ShardId::decisions();
    let mut changes = changes_of(&trace, &principal)?;
    let size = weight(&changes);
    let sizes = env.kept.sizes.get_or_try_init(|| Sizes::read(env)).await?;
    let (over, over_own) = {
        let sizes = sizes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let own = sizes.by_principal.get(&principal).copied().unwrap_or(0);
        (sizes.total + size > KEPT_BYTES_MAX, own + size > KEPT_BYTES_MAX / PRINCIPAL_SHARE)
    };
    let mut dropped = Vec::new();
    if over || over_own {
        let prefix = if over_own { by_principal(&principal, "") } else { BY_TIME.to_owned() };
        dropped = oldest(env, &prefix).await?;
        changes.extend(dropped.iter().flat_map(|(key, entry)| deletions(key, entry)));
    }
    env.store.commit(&shard, changes).await.map_err(|it| failed(&it))?;
    let mut sizes = sizes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sizes.add(&principal, size);
    for (_, entry) in &dropped {
        sizes.take(&entry.principal, entry.size);
    }
    Ok(trace.id)
}

/// The documents that put an allowed change of the control plane on record, for its own commit.
pub(crate) fn activity_changes(permit: &Permit) -> Result<Vec<Change>, Error> {
    match permit.trace() {
        Some(trace) => {
            let mut trace = trace.clone();
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

/// Control-plane writes and refusals between two times, newest first.
pub(crate) async fn activity(
    env: &Env,
    from: Timestamp,
    to: Timestamp,
    limit: usize,
) -> Result<Vec<Trace>, Error> {
    let mut found: Vec<Trace> = Vec::new();
    for shard in [ShardId::decisions(), ShardId::control()] {
        let mut after = Some(time_key(from, ""));
        let mut walked = 0;
        'shard: while walked < ACTIVITY_WALK_MAX {
            let scan = Scan { prefix: BY_TIME.to_owned(), after: after.take(), limit: 500 };
            let page =
                env.store.scan(&shard, tables::ACTIVITY, scan).await.map_err(|it| unread(&it))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, document) in &page {
                walked += 1;
                if key.as_str() > time_key(to, "~").as_str() {
                    break 'shard;
                }
                let entry: Entry = serde_json::from_slice(&document.body).map_err(|it| {
                    Error::Internal { message: format!("the record `{key}` cannot be read: {it}") }
                })?;
                if let Ok(trace) = find(env, entry.id).await {
                    found.push(trace);
                }
            }
        }
    }
    found.sort_by_key(|it| std::cmp::Reverse((it.time, it.id)));
    found.truncate(limit);
    Ok(found)
}

/// Forgets what is older than [`KEPT_S_MAX`]. Called at start and every hour.
pub async fn forget_old(env: &Env) -> Result<usize, Error> {
    let horizon = time_key(env.now().plus_seconds(-KEPT_S_MAX), "");
    let mut forgotten = 0;
    for shard in [ShardId::decisions(), ShardId::control()] {
        loop {
            let scan = Scan { prefix: BY_TIME.to_owned(), after: None, limit: 200 };
            let page =
                env.store.scan(&shard, tables::ACTIVITY, scan).await.map_err(|it| unread(&it))?;
            let mut changes = Vec::new();
            for (key, document) in page.iter().filter(|(key, _)| key.as_str() < horizon.as_str()) {
                if let Ok(entry) = serde_json::from_slice::<Entry>(&document.body) {
                    changes.extend(deletions(key, &entry));
                    forgotten += 1;
                }
            }
            if changes.is_empty() {
                break;
            }
            env.store.commit(&shard, changes).await.map_err(|it| failed(&it))?;
        }
    }
    Ok(forgotten)
}

/// `GET /decisions/{id}`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let id = TrackingId::parse(input.param("id"))
        .ok_or_else(|| Error::invalid("path", "a tracking id is a GUID"))?;
    let trace = find(env, id).await?;
    let facts = env.facts.load();
    answer(permit, env, &facts, trace)
}

/// `POST /decisions/ask`: judges a call that nobody makes.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let caller = caller_named(input.required_text(&["principal"])?, &facts)?;
    let action = input.required_text(&["action"])?;
    let row = row_named(action)?;
    let scope = permit.scope().clone();
    let name = input.text(&["objectName"]).unwrap_or("any-device");
    let objects = match row.object {
        _ if !row.is_judged_by_policy() => Vec::new(),
        Some(kind) => {
            let last = kind.rsplit('/').next().unwrap_or("");
            let id = scope.join(&format!("{last}/{name}"));
            vec![Object {
                kind: kind.to_owned(),
                name: name.to_owned(),
                id: id.as_str().to_owned(),
                body: json!({}),
            }]
        }
        None => vec![crate::objects::object(&scope, &json!({}))],
    };
    let head = TraceHead {
        id: env.new_tracking_id(),
        time: env.now(),
        correlation_id: String::new(),
        channel: model::trace::Channel {
            protocol: "question".into(),
            request: format!("ASK {action}"),
            address: String::new(),
        },
    };
    let ask = Ask {
        operation: row,
        scope: &scope,
        objects: &objects,
        linked: &[],
        caller: &caller,
        head: &head,
    };
    let judged = gate::judge(&ask, &facts);
    answer(permit, env, &facts, judged.trace)
}

fn answer(permit: &Permit, env: &Env, facts: &Facts, trace: Trace) -> Result<Reply, Error> {
    let sees_policy = may_read_policies(permit.caller(), &trace, env, facts);
    let is_redacted = !sees_policy;
    let fixes = if sees_policy { advice::fixes(&trace, facts, env) } else { Vec::new() };
    let shown = if is_redacted { trace.redacted() } else { trace };
    let decision = serde_json::to_value(&shown)
        .map_err(|it| Error::Internal { message: format!("the trace cannot be written: {it}") })?;
    Ok(Reply::ok(json!({ "decision": decision, "redacted": is_redacted, "fixes": fixes })))
}

/// True where the caller may read the policies that the trace shows the conditions of.
pub(crate) fn may_read_policies(caller: &Caller, trace: &Trace, env: &Env, facts: &Facts) -> bool {
    let row = model::operations::operation(Op::GetPolicyAssignment);
    let head = TraceHead {
        id: trace.id,
        time: env.now(),
        correlation_id: String::new(),
        channel: trace.call.channel.clone(),
    };
    let scopes: Vec<Scope> = trace
        .step(Gate::Policy)
        .into_iter()
        .flat_map(|it| &it.findings)
        .filter_map(|it| Scope::parse(&it.id).ok())
        .chain([trace.scope()])
        .collect();
    scopes.iter().all(|scope| {
        let ask = Ask { operation: row, scope, objects: &[], linked: &[], caller, head: &head };
        gate::judge(&ask, facts).denial.is_none()
    })
}

/// Finds whom a question is about: by object id, application id or display name.
fn caller_named(text: &str, facts: &Facts) -> Result<Caller, Error> {
    let by_id = ObjectId::parse(text).and_then(|id| {
        facts
            .principals
            .get(&id)
            .or_else(|| facts.principals.values().find(|it| it.app_id == Some(id)))
    });
    let mut named: Vec<_> =
        facts.principals.values().filter(|it| it.display_name.eq_ignore_ascii_case(text)).collect();
    named.sort_by_key(|it| it.id);
    let principal = match (by_id, named.as_slice()) {
        (Some(it), _) => it,
        (None, [it]) => *it,
        (None, []) => {
            return Err(Error::NotFound {
                code: "PrincipalNotFound",
                message: format!(
                    "no principal is called `{}`; give its object id, its application id or its display name",
                    text.escape_debug()
                ),
            });
        }
        (None, several) => {
            let ids: Vec<String> = several.iter().map(|it| it.id.to_string()).collect();
            return Err(Error::invalid(
                "principal",
                format!(
                    "several principals have this name; give one of the ids {}",
                    ids.join(", ")
                ),
            ));
        }
    };
    Ok(Caller {
        kind: principal.kind,
        object_id: Some(principal.id),
        app_id: principal.app_id,
        name: principal.display_name.clone(),
        auth: model::principal::AuthType::Entra,
        signed_in: "not at all: the question takes its identity as given".into(),
        token_issued: None,
        rights: Vec::new(),
    })
}

/// The row that an action belongs to: the one that needs fewest other actions.
fn row_named(action: &str) -> Result<&'static Operation, Error> {
    let known = |it: &ActionName| it.as_str().eq_ignore_ascii_case(action);
    OPERATIONS.iter().filter(|it| it.actions.iter().any(known)).min_by_key(|it| it.actions.len()).ok_or_else(|| {
        // The same thing with another verb, or whatever else is called like it.
        let beside = |it: &str| match (it.rsplit_once('/'), action.rsplit_once('/')) {
            (Some((mine, _)), Some((its, _))) => mine.eq_ignore_ascii_case(its),
            _ => false,
        };
        let near: std::collections::BTreeSet<&str> =
            OPERATIONS.iter().flat_map(|it| it.actions).map(|it| it.as_str()).filter(|it| beside(it)).collect();
        let near: Vec<&str> = near.into_iter().collect();
        let hint = match near.is_empty() {
            true => "`az provider operation show --namespace Microsoft.Devices` lists those that exist".to_owned(),
            false => format!("did you mean {}?", near.join(", ")),
        };
        Error::invalid("action", format!("`{}` is not an action that anything here needs; {hint}", action.escape_debug()))
    })
}

const BY_TIME: &str = "t/";

fn time_key(time: Timestamp, id: &str) -> String {
    format!("{BY_TIME}{:013}-{id}", time.millis().max(0))
}

fn by_principal(principal: &str, time_key: &str) -> String {
    format!("p/{principal}/{time_key}")
}

fn principal_of(trace: &Trace) -> String {
    match &trace.call.caller {
        Some(caller) => caller.key().replace('/', "_"),
        None => format!("address:{}", trace.call.channel.address),
    }
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
    let scan = Scan { prefix: prefix.to_owned(), after: None, limit: 50 };
    let page = env
        .store
        .scan(&ShardId::decisions(), tables::ACTIVITY, scan)
        .await
        .map_err(|it| unread(&it))?;
    Ok(page
        .into_iter()
        .filter_map(|(key, it)| Some((key, serde_json::from_slice(&it.body).ok()?)))
        .collect())
}

impl Sizes {
    /// Adds up what is kept, once per process and not at start: the first refusal waits for it.
    async fn read(env: &Env) -> Result<Mutex<Self>, Error> {
        let mut sizes = Self::default();
        let mut after = None;
        loop {
            let scan = Scan { prefix: BY_TIME.to_owned(), after: after.take(), limit: 1_000 };
            let page = env
                .store
                .scan(&ShardId::decisions(), tables::ACTIVITY, scan)
                .await
                .map_err(|it| unread(&it))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for entry in
                page.iter().filter_map(|(_, it)| serde_json::from_slice::<Entry>(&it.body).ok())
            {
                sizes.add(&entry.principal, entry.size);
            }
        }
        Ok(Mutex::new(sizes))
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

impl Kept {
    /// The id under which a repeat is counted; `None` where this refusal is to be kept itself.
    fn repeat(&self, trace: &Trace, principal: &str) -> Option<TrackingId> {
        let decided = trace.deciding().map_or("", |it| it.id.as_str());
        let key = format!(
            "{principal}|{}|{decided}|{}|{}",
            trace.call.operation,
            trace.outcome.message.len(),
            trace.facts
        );
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if streams.len() >= STREAMS_MAX {
            streams.retain(|_, it| trace.time < it.since.plus_seconds(60));
        }
        if streams.len() >= STREAMS_MAX {
            streams.pop_first();
        }
        let stream = streams.entry(key).or_insert(Stream {
            since: trace.time,
            count: 0,
            last: trace.id,
            repeats: 0,
        });
        if trace.time >= stream.since.plus_seconds(60) {
            *stream = Stream { since: trace.time, count: 0, last: trace.id, repeats: 0 };
        }
        stream.count += 1;
        if stream.count <= SINGLES_PER_MINUTE {
            stream.last = trace.id;
            return None;
        }
        stream.repeats += 1;
        Some(stream.last)
    }

    fn repeats_of(&self, id: TrackingId) -> u64 {
        let streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.values().filter(|it| it.last == id).map(|it| it.repeats).sum()
    }
}

fn shorten(trace: &mut Trace) {
    for object in &mut trace.call.objects {
        if object.body.to_string().len() > OBJECT_BYTES_MAX {
            object.body = Value::String(format!("left out: larger than {OBJECT_BYTES_MAX} bytes"));
        }
    }
}

/// Who can be asked about a plane: the words of a trace back to the row.
pub(crate) fn row_of(trace: &Trace) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|it| it.name() == trace.call.operation)
}
