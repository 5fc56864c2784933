//! The service API for enrollments: create, show, update, delete, query, and the keys behind them.
//!
//! Individual enrollments and groups differ in their tables and in little else; [`Kind`] tells them apart.
//! Each lies in its provisioning service's shard under its id in lower case; its etag derives from the
//! revision.

use super::enrollment::{Attestation, Kind, Source};
use super::enrollment_body::{Draft, checked_id, is_id};
use super::register::shard;
use super::registrations;
use crate::control::{delete as drop_it, failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Headers, Input, Reply};
use crate::shared_access::new_key;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use gate::facts::Dps;
use model::trace::{Object, Verb};
use model::{Error, Op, Operation};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, CommitError, Document, Expect, Scan, ShardId, tables};
use tokio::sync::Mutex;

/// Most enrollment groups of a provisioning service with symmetric keys, and as many with certificates.
/// Source: Azure subscription limits, "Device Provisioning Service".
pub(crate) const GROUPS_MAX: usize = 100;
/// How many types of attestation a group can have.
const GROUP_TYPES: usize = 2;
/// Most enrollments of one page, and as many as come where no number is asked for.
const PAGE_MAX: usize = 500;
/// Longest query that is looked at, in bytes.
const QUERY_BYTES_MAX: usize = 1_024;
/// Longest continuation: an id in base64.
const CONTINUATION_BYTES_MAX: usize = super::enrollment_body::ID_BYTES_MAX.div_ceil(3) * 4;
/// How often a write is tried anew when the enrollment changed under it.
const WRITE_TRIES: usize = 5;

/// Held from counting the groups to adding one, so that two calls do not both take the last place.
static ADDING_A_GROUP: Mutex<()> = Mutex::const_new(());

/// What policy judges in a call: the enrollment that it would write, without its keys.
///
/// # Errors
/// [`Error::Invalid`] where the body is none that [`put`] takes.
pub(crate) fn objects(row: &Operation, input: &Input, dps: &Dps) -> Result<Vec<Object>, Error> {
    let (Op::PutEnrollment | Op::PutEnrollmentGroup, Some(object)) = (row.op, row.object) else {
        return Ok(Vec::new());
    };
    let kind = kind_of(row.op);
    let draft = Draft::read(kind, input.param("enrollment"), &input.body)?;
    Ok(vec![Object {
        kind: object.to_owned(),
        name: draft.id().to_owned(),
        id: format!("{}/{}/{}", dps.scope, kind.collection(), draft.id()),
        body: draft.judged(),
        verb: Verb::Write,
    }])
}

pub(super) const fn kind_of(op: Op) -> Kind {
    match matches!(
        op,
        Op::PutEnrollmentGroup
            | Op::GetEnrollmentGroup
            | Op::DeleteEnrollmentGroup
            | Op::QueryEnrollmentGroups
            | Op::GetEnrollmentGroupKeys
            | Op::BulkEnrollmentGroups
            | Op::BulkDeleteEnrollmentGroups
    ) {
        true => Kind::Group,
        false => Kind::Individual,
    }
}

/// Creates or updates an enrollment. `If-Match` asks for an update, `If-None-Match: *` for a new one,
/// neither for whichever it is. Keys that the body leaves out stay, or are made.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::EnrollmentNotFound`] and [`Error::EnrollmentStale`] with `If-Match`;
/// [`Error::EnrollmentConflict`] with `If-None-Match`; [`Error::Conflict`] above [`GROUPS_MAX`].
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kind = kind_of(permit.operation().op);
    let draft = Draft::read(kind, input.param("enrollment"), &input.body)?;
    let dps = dps_of(permit, env)?;
    let (source, revision) = write(env, &dps, &draft, &Wanted::of(&input.headers)?).await?;
    answer(env, &shard_of(permit, env)?, &source, revision).await
}

/// Writes an enrollment, and gives it with its revision.
///
/// # Errors
/// As [`put`].
pub(super) async fn write(
    env: &Env,
    dps: &Dps,
    draft: &Draft,
    wanted: &Wanted,
) -> Result<(Source, u64), Error> {
    let kind = draft.kind();
    let shard = shard(dps)?;
    let _adding = match kind {
        Kind::Individual => None,
        Kind::Group => Some(ADDING_A_GROUP.lock().await),
    };
    for _ in 0..WRITE_TRIES {
        let former = read(env, &shard, kind, draft.id()).await?;
        let expect = wanted.expect(kind, draft.id(), former.as_ref().map(|(_, it)| *it))?;
        let former = former.as_ref().map(|(it, _)| it);
        let source = draft.clone().complete(former, &|| new_key(env), env.now())?;
        let word = source.attestation().word();
        if kind == Kind::Group && former.is_none_or(|it| it.attestation().word() != word) {
            check_room(env, &shard, word).await?;
        }
        if let Attestation::X509(it) = source.attestation() {
            it.check_references(&dps.authorities)?;
        }
        match env.store.commit(&shard, vec![change(&source, expect)?]).await {
            Ok(committed) => return Ok((source, committed.revision)),
            Err(CommitError::Conflict { .. }) => {}
            Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
                return Err(failed(&error));
            }
        }
    }
    let message = format!("the {} kept changing under the call; repeat it", kind.noun());
    Err(Error::Unavailable { message })
}

/// # Errors
/// [`Error::EnrollmentNotFound`].
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let shard = shard_of(permit, env)?;
    let (source, revision) = named(permit, input, env, &shard).await?;
    answer(env, &shard, &source, revision).await
}

/// Deletes an enrollment; `If-Match` may say which version. The registrations that came of it stay.
///
/// # Errors
/// [`Error::EnrollmentNotFound`]; [`Error::EnrollmentStale`].
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kind = kind_of(permit.operation().op);
    let id = checked_id("path", input.param("enrollment"))?;
    let wanted = match input.headers.if_match.as_deref() {
        None | Some("*") => Wanted::Existing,
        Some(tag) => Wanted::Version(tag.to_owned()),
    };
    remove(env, &*dps_of(permit, env)?, kind, id, &wanted).await?;
    Ok(Reply::empty(204))
}

/// Deletes an enrollment.
///
/// # Errors
/// As [`delete`].
pub(super) async fn remove(
    env: &Env,
    dps: &Dps,
    kind: Kind,
    id: &str,
    wanted: &Wanted,
) -> Result<(), Error> {
    let shard = shard(dps)?;
    for _ in 0..WRITE_TRIES {
        let found = read(env, &shard, kind, id).await?;
        let expect = wanted.expect(kind, id, found.map(|(_, revision)| revision))?;
        let change = drop_it(kind.table(), id.to_ascii_lowercase(), expect);
        match env.store.commit(&shard, vec![change]).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
                return Err(failed(&error));
            }
        }
    }
    let message = format!("the {} kept changing under the call; repeat it", kind.noun());
    Err(Error::Unavailable { message })
}

/// `POST .../attestationmechanism`: how devices prove themselves, with the keys.
///
/// # Errors
/// [`Error::EnrollmentNotFound`].
pub(crate) async fn keys(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let shard = shard_of(permit, env)?;
    let (source, _) = named(permit, input, env, &shard).await?;
    Ok(Reply::ok(source.attestation().revealed()))
}

/// `POST .../query`: every enrollment of a kind by its id, a page at a time.
///
/// # Errors
/// [`Error::Invalid`] at `query`, `x-ms-max-item-count` or `x-ms-continuation`.
pub(crate) async fn query(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kind = kind_of(permit.operation().op);
    check_query(kind, &input.body)?;
    let (limit, after) = page(input)?;
    let shard = shard_of(permit, env)?;
    // One more than is shown tells whether there is a next page.
    let scan = Scan { prefix: String::new(), after, limit: limit + 1 };
    let mut page = env.store.scan(&shard, kind.table(), scan).await.map_err(|it| unread(&it))?;
    let has_more = page.len() > limit;
    page.truncate(limit);
    let ids: Vec<&str> = page.iter().map(|(key, _)| key.as_str()).collect();
    let states = match kind {
        Kind::Individual => registrations::read_many(env, &shard, &ids).await?,
        Kind::Group => Vec::new(),
    };
    let mut shown = Vec::new();
    for (index, (key, document)) in page.iter().enumerate() {
        let source = Source::parse(kind, key, &document.body)?;
        let state = states.get(index).and_then(Option::as_ref);
        shown.push(with_state(source.shown(&etag(document.revision)), state));
    }
    let reply = Reply::ok(Value::Array(shown)).with_header("x-ms-item-type", kind.item_type());
    Ok(match page.last() {
        Some((key, _)) if has_more => reply.with_header("x-ms-continuation", STANDARD.encode(key)),
        Some(_) | None => reply,
    })
}

/// How many items a page may have, and the id after which it begins.
///
/// # Errors
/// [`Error::Invalid`] at `x-ms-max-item-count` or `x-ms-continuation`.
pub(super) fn page(input: &Input) -> Result<(usize, Option<String>), Error> {
    let limit = match input.headers.max_item_count {
        Some(0) => {
            return Err(Error::invalid("x-ms-max-item-count", "a number from 1 on is expected"));
        }
        Some(count) => count.min(PAGE_MAX),
        None => PAGE_MAX,
    };
    let after = input.headers.continuation.as_deref().map(continued).transpose()?;
    Ok((limit, after))
}

/// The only query there is: everything of the kind that the path names.
fn check_query(kind: Kind, body: &Value) -> Result<(), Error> {
    let text = model::json::text(body, &["query"])
        .ok_or_else(|| Error::invalid("query", "this text is required"))?;
    let because = format!("the only query here is `select * from {}`", kind.collection());
    let refusal = || Error::invalid("query", because);
    if text.len() > QUERY_BYTES_MAX {
        return Err(refusal());
    }
    let words = ["select", "*", "from", kind.collection()];
    match text
        .split_ascii_whitespace()
        .map(str::to_ascii_lowercase)
        .eq(words.iter().map(|it| it.to_ascii_lowercase()))
    {
        true => Ok(()),
        false => Err(refusal()),
    }
}

/// The id after which a query goes on.
fn continued(text: &str) -> Result<String, Error> {
    let wrong = || Error::invalid("x-ms-continuation", "send it back as the last answer had it");
    if text.len() > CONTINUATION_BYTES_MAX {
        return Err(wrong());
    }
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    String::from_utf8(bytes).ok().filter(|it| is_id(it)).ok_or_else(wrong)
}

/// Which state of an enrollment a write asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    Either,
    New,
    Existing,
    Version(String),
}

impl Wanted {
    fn of(headers: &Headers) -> Result<Self, Error> {
        match (headers.if_match.as_deref(), headers.if_none_match.as_deref()) {
            (None, None) => Ok(Self::Either),
            (Some("*"), None) => Ok(Self::Existing),
            (Some(tag), None) => Ok(Self::Version(tag.to_owned())),
            (None, Some("*")) => Ok(Self::New),
            (None, Some(_)) => Err(Error::invalid("If-None-Match", "only `*` has a meaning here")),
            (Some(_), Some(_)) => {
                Err(Error::invalid("If-None-Match", "send either this or `If-Match`"))
            }
        }
    }

    /// What must still hold at the commit, where the enrollment was last found at `revision`.
    fn expect(&self, kind: Kind, id: &str, revision: Option<u64>) -> Result<Expect, Error> {
        match (self, revision) {
            (Self::Either | Self::New, None) => Ok(Expect::Absent),
            (Self::Either | Self::Existing, Some(revision)) => Ok(Expect::Revision(revision)),
            (Self::Version(tag), Some(revision)) if *tag == etag(revision) => {
                Ok(Expect::Revision(revision))
            }
            (Self::Version(_), Some(_)) => Err(stale(kind, id)),
            (Self::Existing | Self::Version(_), None) => Err(unknown(kind, id)),
            (Self::New, Some(_)) => Err(Error::EnrollmentConflict {
                message: format!("there is an {} `{id}` already", kind.noun()),
            }),
        }
    }
}

fn stale(kind: Kind, id: &str) -> Error {
    let message = format!(
        "the {} `{id}` has changed since the etag in `If-Match` was read; read it again",
        kind.noun()
    );
    Error::EnrollmentStale { message }
}

fn unknown(kind: Kind, id: &str) -> Error {
    let message = format!("there is no {} `{id}` in this provisioning service", kind.noun());
    Error::EnrollmentNotFound { message }
}

/// Whether there is room for one more group with attestation of a type.
async fn check_room(env: &Env, shard: &ShardId, word: &str) -> Result<(), Error> {
    let groups = all_groups(env, shard).await?;
    let read =
        |(key, document): &(String, Document)| Source::parse(Kind::Group, key, &document.body).ok();
    let alike = groups.iter().filter_map(read).filter(|it| it.attestation().word() == word).count();
    match alike < GROUPS_MAX {
        true => Ok(()),
        false => Err(Error::Conflict {
            code: "EnrollmentGroupQuotaExceeded",
            message: format!(
                "a provisioning service has at most {GROUPS_MAX} enrollment groups of the type `{word}`; delete one first"
            ),
        }),
    }
}

/// Every group by its id, of each type at most [`GROUPS_MAX`].
pub(super) async fn all_groups(
    env: &Env,
    shard: &ShardId,
) -> Result<Vec<(String, Document)>, Error> {
    let limit = GROUPS_MAX.saturating_mul(GROUP_TYPES);
    let scan = Scan { prefix: String::new(), after: None, limit };
    env.store.scan(shard, Kind::Group.table(), scan).await.map_err(|it| unread(&it))
}

/// The enrollment that the path names.
async fn named(
    permit: &Permit,
    input: &Input,
    env: &Env,
    shard: &ShardId,
) -> Result<(Source, u64), Error> {
    let kind = kind_of(permit.operation().op);
    let id = checked_id("path", input.param("enrollment"))?;
    read(env, shard, kind, id).await?.ok_or_else(|| unknown(kind, id))
}

/// An enrollment with its revision. `id` is in any casing.
pub(super) async fn read(
    env: &Env,
    shard: &ShardId,
    kind: Kind,
    id: &str,
) -> Result<Option<(Source, u64)>, Error> {
    let key = id.to_ascii_lowercase();
    let found = env.store.get(shard, kind.table(), &key).await.map_err(|it| unread(&it))?;
    found.map(|it| Ok((Source::parse(kind, &key, &it.body)?, it.revision))).transpose()
}

/// The first enrollments of a kind by their ids, at most `limit`, and how many there are in all.
pub(crate) async fn first(
    env: &Env,
    dps: &Dps,
    kind: Kind,
    limit: usize,
) -> Result<(Vec<Source>, u64), Error> {
    let shard = shard(dps)?;
    let all = env.store.count(&shard, kind.table()).await.map_err(|it| unread(&it))?;
    let mut found: Vec<Source> = Vec::new();
    let mut after = None;
    loop {
        let page = PAGE_MAX.min(limit.saturating_sub(found.len()));
        let scan = Scan { prefix: String::new(), after: after.take(), limit: page };
        let read = env.store.scan(&shard, kind.table(), scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &read {
            found.push(Source::parse(kind, key, &document.body)?);
        }
        match read.last() {
            Some((key, _)) if found.len() < limit => after = Some(key.clone()),
            Some(_) | None => return Ok((found, all)),
        }
    }
}

/// The write of an enrollment.
pub(super) fn change(source: &Source, expect: Expect) -> Result<Change, Error> {
    let key = source.id().to_ascii_lowercase();
    match source {
        Source::Individual(it) => keep(tables::ENROLLMENTS, key, expect, it),
        Source::Group(it) => keep(tables::ENROLLMENT_GROUPS, key, expect, it),
    }
}

/// An enrollment as the answer of a call, an individual one with what became of its device.
async fn answer(
    env: &Env,
    shard: &ShardId,
    source: &Source,
    revision: u64,
) -> Result<Reply, Error> {
    let state = match source {
        Source::Individual(it) => {
            let found = registrations::read(env, shard, &it.registration_id).await?;
            found.map(|(registration, revision)| registration.shown(&etag(revision)))
        }
        Source::Group(_) => None,
    };
    let tag = etag(revision);
    let reply = Reply::ok(with_state(source.shown(&tag), state.as_ref()));
    Ok(reply.with_header("ETag", format!("\"{tag}\"")))
}

fn with_state(mut shown: Value, state: Option<&Value>) -> Value {
    if let Some(state) = state {
        model::json::set(&mut shown, "registrationState", state.clone());
    }
    shown
}

/// The base64 text of a revision. Clients send it back as it is, with or without quotes.
pub(super) fn etag(revision: u64) -> String {
    STANDARD.encode(revision.to_string())
}

/// The provisioning service at whose address the call came.
pub(super) fn dps_of(permit: &Permit, env: &Env) -> Result<Arc<Dps>, Error> {
    let found = env.facts.load().dps(permit.scope()).cloned();
    found.ok_or_else(|| Error::UnknownHost { host: permit.scope().name().to_owned() })
}

/// Where its enrollments and registrations are.
pub(super) fn shard_of(permit: &Permit, env: &Env) -> Result<ShardId, Error> {
    shard(&*dps_of(permit, env)?)
}

/// A new enrollment group as the first start makes one, with its primary key in base64.
///
/// # Errors
/// [`Error::Invalid`] where `id` is no group's id.
pub fn first_group(id: &str, initial_twin: &Value, env: &Env) -> Result<(Change, String), Error> {
    let primary = new_key(env);
    let body = json!({
        "attestation": { "type": "symmetricKey", "symmetricKey": { "primaryKey": primary } },
        "initialTwin": initial_twin,
    });
    let source =
        Draft::read(Kind::Group, id, &body)?.complete(None, &|| new_key(env), env.now())?;
    Ok((change(&source, Expect::Anything)?, primary))
}

#[cfg(test)]
#[path = "enrollments_tests.rs"]
mod tests;
