//! What became of each registration: kept, shown and forgotten here.
//!
//! A registration lies in its provisioning service's shard under its id in lower case. Forgetting one
//! leaves the device in its hub.

use super::enrollment_body::checked_id;
use super::enrollments::{etag, page, shard_of};
use crate::control::{delete as drop_it, failed, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use model::{Error, TrackingId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{Change, CommitError, Document, Expect, Scan, ShardId, tables};

/// Most registrations that one page of a group's looks at.
const LOOKED_AT_MAX: usize = 2_000;

/// How far a registration has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RegistrationStatus {
    Unassigned,
    Assigning,
    Assigned,
    Failed,
    Disabled,
}

impl RegistrationStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Assigning => "assigning",
            Self::Assigned => "assigned",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// A registration as it is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registration {
    pub(crate) registration_id: String,
    /// The id that the device has, or gets, in its hub.
    pub(crate) device_id: Option<String>,
    /// The host name of its hub.
    pub(crate) assigned_hub: Option<String>,
    pub(crate) status: RegistrationStatus,
    /// How the device came to its hub: `initialAssignment`, `deviceDataMigrated`, `deviceDataReset` or
    /// `reprovisionedToInitialAssignment`.
    pub(crate) substatus: Option<String>,
    /// The number and the sentence of a refusal, as the device is told them.
    pub(crate) error_code: Option<u32>,
    pub(crate) error_message: Option<String>,
    pub(crate) created_date_time_utc: String,
    pub(crate) last_updated_date_time_utc: String,
    /// What custom allocation gives back to the device.
    pub(crate) payload: Option<Value>,
    /// The id under which the device asks how far its registration has come.
    pub(crate) operation_id: String,
    /// The group that let the device in; `None` for an individual enrollment.
    pub(crate) enrollment_group_id: Option<String>,
    /// Names the decision behind the outcome.
    pub(crate) tracking_id: Option<String>,
    /// The resource id of its hub.
    pub(crate) hub_scope: Option<String>,
    /// What the certificates that it showed say of themselves, where it showed some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) x509: Option<Value>,
    /// The key of its hub, which its TPM alone opens, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tpm: Option<String>,
}

impl Registration {
    /// As the service API and the device see it. What is not there is left out.
    pub(crate) fn shown(&self, etag: &str) -> Value {
        let mut shown = Map::new();
        let optional = [
            ("registrationId", Some(json!(self.registration_id))),
            ("createdDateTimeUtc", Some(json!(self.created_date_time_utc))),
            ("assignedHub", self.assigned_hub.as_ref().map(|it| json!(it))),
            ("deviceId", self.device_id.as_ref().map(|it| json!(it))),
            ("status", Some(json!(self.status.as_str()))),
            ("substatus", self.substatus.as_ref().map(|it| json!(it))),
            ("errorCode", self.error_code.map(|it| json!(it))),
            ("errorMessage", self.error_message.as_ref().map(|it| json!(it))),
            ("lastUpdatedDateTimeUtc", Some(json!(self.last_updated_date_time_utc))),
            ("etag", Some(json!(etag))),
            ("payload", self.payload.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                shown.insert(name.to_owned(), value);
            }
        }
        Value::Object(shown)
    }

    /// It came to nothing: the number and the sentence that the device is told, and the decision behind it.
    pub(super) fn fail(&mut self, (number, sentence): (u32, String), tracking: Option<TrackingId>) {
        self.status = RegistrationStatus::Failed;
        self.error_code = Some(number);
        self.error_message = Some(sentence);
        self.tracking_id = tracking.map(|it| it.to_string());
    }

    /// The write of a registration.
    pub(crate) fn change(&self, expect: Expect) -> Result<Change, Error> {
        keep(tables::REGISTRATIONS, self.registration_id.to_ascii_lowercase(), expect, self)
    }
}

/// A registration with its revision. `id` is in any casing.
pub(crate) async fn read(
    env: &Env,
    shard: &ShardId,
    id: &str,
) -> Result<Option<(Registration, u64)>, Error> {
    let key = id.to_ascii_lowercase();
    let found =
        env.store.get(shard, tables::REGISTRATIONS, &key).await.map_err(|it| unread(&it))?;
    found.map(|it| Ok((parse(&key, &it)?, it.revision))).transpose()
}

/// Many registrations as they are shown, in the order of `keys`, which are ids in lower case.
pub(super) async fn read_many(
    env: &Env,
    shard: &ShardId,
    keys: &[&str],
) -> Result<Vec<Option<Value>>, Error> {
    let found =
        env.store.get_many(shard, tables::REGISTRATIONS, keys).await.map_err(|it| unread(&it))?;
    let all = keys.iter().zip(found).map(|(key, document)| match document {
        Some(document) => Ok(Some(parse(key, &document)?.shown(&etag(document.revision)))),
        None => Ok(None),
    });
    all.collect()
}

fn parse(key: &str, document: &Document) -> Result<Registration, Error> {
    serde_json::from_slice(&document.body).map_err(|it| Error::Internal {
        message: format!("the registration `{key}` cannot be read: {it}"),
    })
}

/// `GET /registrations/{registration}`.
///
/// # Errors
/// [`Error::EnrollmentNotFound`] where no such device has registered.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let shard = shard_of(permit, env)?;
    let (registration, revision) = named(input, env, &shard).await?;
    let tag = etag(revision);
    Ok(Reply::ok(registration.shown(&tag)).with_header("ETag", format!("\"{tag}\"")))
}

/// `DELETE /registrations/{registration}`: forgets it; `If-Match` may say which version.
///
/// # Errors
/// [`Error::EnrollmentNotFound`]; [`Error::EnrollmentStale`].
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let shard = shard_of(permit, env)?;
    let (registration, revision) = named(input, env, &shard).await?;
    let id = &registration.registration_id;
    let stale = || Error::EnrollmentStale {
        message: format!(
            "the registration `{id}` has changed since the etag in `If-Match` was read; read it again"
        ),
    };
    let expect = match input.headers.if_match.as_deref() {
        None | Some("*") => Expect::Anything,
        Some(tag) if tag == etag(revision) => Expect::Revision(revision),
        Some(_) => return Err(stale()),
    };
    let change = drop_it(tables::REGISTRATIONS, id.to_ascii_lowercase(), expect);
    env.store.commit(&shard, vec![change]).await.map_err(|it| match it {
        CommitError::Conflict { .. } => stale(),
        CommitError::ShardGone | CommitError::Store(_) => failed(&it),
    })?;
    Ok(Reply::empty(204))
}

/// `POST /registrations/{group}/query`: the registrations that came of a group, by their ids, a page at a time. A
/// page may have fewer than were asked for, or none, and another one behind it.
///
/// # Errors
/// [`Error::Invalid`] at `x-ms-max-item-count` or `x-ms-continuation`.
pub(crate) async fn query(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let group = checked_id("path", input.param("enrollment"))?;
    let (limit, after) = page(input)?;
    let shard = shard_of(permit, env)?;
    let scan = Scan { prefix: String::new(), after, limit: LOOKED_AT_MAX };
    let looked_at =
        env.store.scan(&shard, tables::REGISTRATIONS, scan).await.map_err(|it| unread(&it))?;
    let (mut shown, mut last) = (Vec::new(), None);
    for (key, document) in &looked_at {
        let registration = parse(key, document)?;
        let of = registration.enrollment_group_id.as_deref();
        if of.is_some_and(|it| it.eq_ignore_ascii_case(group)) {
            if shown.len() == limit {
                break;
            }
            shown.push(registration.shown(&etag(document.revision)));
        }
        last = Some(key);
    }
    let has_more = looked_at.len() == LOOKED_AT_MAX || looked_at.last().map(|(key, _)| key) != last;
    let reply = Reply::ok(Value::Array(shown)).with_header("x-ms-item-type", "deviceRegistration");
    Ok(match last.filter(|_| has_more) {
        Some(key) => reply.with_header("x-ms-continuation", STANDARD.encode(key)),
        None => reply,
    })
}

async fn named(input: &Input, env: &Env, shard: &ShardId) -> Result<(Registration, u64), Error> {
    let id = checked_id("path", input.param("registration"))?;
    read(env, shard, id).await?.ok_or_else(|| Error::EnrollmentNotFound {
        message: format!("no device has registered as `{id}` in this provisioning service"),
    })
}
