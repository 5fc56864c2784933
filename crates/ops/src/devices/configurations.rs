//! Configurations: desired properties for every device or module that a condition names, now and later, and the
//! modules of an edge device.
//!
//! A configuration is a document; `configurations/apply.rs` brings it to its devices. What a content says is in
//! `content.rs`. Source: IoT Hub documentation, "Automatic device and module management"; IoT Edge documentation,
//! "Understand IoT Edge automatic deployments".

pub(crate) mod apply;
mod content;

use super::named::Named;
use super::query::{Condition, Query, Source};
use super::registry::{hub_of, shard};
use crate::control::{self, delete as remove, failed, parse, put as keep, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use content::Content;
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::json::{member, text};
use model::trace::{Object, Verb};
use model::{Error, Op, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::{CommitError, Document, Expect, Scan, ShardId, tables};

/// Most configurations of a hub. Source: IoT Hub quotas and throttling.
const CONFIGURATIONS_MAX: usize = 100;
/// Longest id, in bytes.
const ID_BYTES_MAX: usize = 128;
/// Most labels, and most metrics of one's own. Source: IoT Hub documentation, "Automatic device management".
const LABELS_MAX: usize = 20;
const METRICS_MAX: usize = 5;

/// A configuration as it is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    id: String,
    labels: Map<String, Value>,
    content: Value,
    condition: String,
    priority: i64,
    /// The queries of its own metrics, by name.
    metrics: BTreeMap<String, String>,
    created: Timestamp,
    updated: Timestamp,
    edition: u64,
}

impl Configuration {
    fn etag(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.edition.to_string())
    }

    /// As the service API shows it, with what the last round counted.
    fn shown(&self, counted: &Counted) -> Value {
        let source = match Condition::parse(&self.condition).map(|it| it.source()) {
            Ok(Source::Modules) => "devices.modules",
            Ok(Source::Devices | Source::Jobs) | Err(_) => "devices",
        };
        let targeted = match self.condition.trim() {
            "" | "*" => format!("SELECT deviceId FROM {source}"),
            it if source == "devices.modules" => format!("SELECT deviceId {it}"),
            it => format!("SELECT deviceId FROM {source} WHERE {it}"),
        };
        let applied = format!(
            "SELECT deviceId FROM {source} WHERE configurations.[[{}]].status = 'Applied'",
            self.id
        );
        json!({
            "id": self.id,
            "schemaVersion": "1.0",
            "labels": self.labels,
            "content": self.content,
            "targetCondition": self.condition,
            "createdTimeUtc": self.created.rfc3339(),
            "lastUpdatedTimeUtc": self.updated.rfc3339(),
            "priority": self.priority,
            "systemMetrics": {
                "results": { "targetedCount": counted.targeted, "appliedCount": counted.applied },
                "queries": { "targetedCount": targeted, "appliedCount": applied },
            },
            "metrics": { "results": counted.metrics, "queries": self.metrics },
            "etag": self.etag(),
        })
    }
}

/// What the last round found, beside the configuration: counting leaves its etag alone.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Counted {
    targeted: u64,
    applied: u64,
    metrics: BTreeMap<String, u64>,
}

fn id_of(input: &Input) -> Result<String, Error> {
    let id = input.param("configuration");
    let allowed = |it: u8| {
        it.is_ascii_lowercase() || it.is_ascii_digit() || b"-:+%_#*?!(),=@;$'".contains(&it)
    };
    match (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed) {
        true => Ok(id.to_owned()),
        false => Err(Error::DeviceInvalid {
            at: "id".into(),
            message: format!(
                "an id has 1 to {ID_BYTES_MAX} lower-case letters, digits and of - : + % _ # * ? ! ( ) , = @ ; $ '"
            ),
        }),
    }
}

/// The configuration that a body describes, checked.
fn wanted(
    id: &str,
    body: &Value,
    former: Option<&Configuration>,
    now: Timestamp,
) -> Result<Configuration, Error> {
    let invalid = |at: &str, message: String| Error::DeviceInvalid { at: at.into(), message };
    if text(body, &["id"]).is_some_and(|it| it != id) {
        return Err(invalid("id", format!("the path names `{id}`, the body another")));
    }
    let labels = match member(body, "labels") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(it)) if it.len() <= LABELS_MAX && it.values().all(Value::is_string) => {
            it.clone()
        }
        Some(_) => {
            return Err(invalid("labels", format!("at most {LABELS_MAX} texts are expected")));
        }
    };
    let content = member(body, "content").cloned().unwrap_or(Value::Null);
    let read = Content::read(&content)?;
    if former.is_some_and(|it| it.content != content) {
        let sentence = "a configuration keeps the content that it was made with: make another one, of a higher priority";
        return Err(Error::hub(HubFault::ImmutableContent, sentence));
    }
    let condition = text(body, &["targetCondition"]).unwrap_or("");
    target(condition, &read)
        .map_err(|because| Error::hub(HubFault::InvalidTargetCondition, because))?;
    let priority = match member(body, "priority") {
        None | Some(Value::Null) => 0,
        Some(it) => it
            .as_i64()
            .filter(|it| (0..=i64::from(i32::MAX)).contains(it))
            .ok_or_else(|| invalid("priority", format!("0 to {} are possible", i32::MAX)))?,
    };
    let queries = member(body, "metrics").and_then(|it| member(it, "queries"));
    let metrics = queries_of(queries.unwrap_or(&Value::Null))?;
    for (name, query) in &metrics {
        metric(query).map_err(|because| {
            Error::hub(HubFault::InvalidMetricsQuery, format!("`{name}`: {because}"))
        })?;
    }
    Ok(Configuration {
        id: id.to_owned(),
        labels,
        content,
        condition: condition.to_owned(),
        priority,
        metrics,
        created: former.map_or(now, |it| it.created),
        updated: now,
        edition: former.map_or(1, |it| it.edition + 1),
    })
}

fn queries_of(value: &Value) -> Result<BTreeMap<String, String>, Error> {
    let invalid = || Error::DeviceInvalid {
        at: "metrics.queries".into(),
        message: format!("an object of at most {METRICS_MAX} texts is expected"),
    };
    let all = match value {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(all) if all.len() <= METRICS_MAX => all,
        Value::Object(_)
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => return Err(invalid()),
    };
    let text = |(name, it): (&String, &Value)| {
        it.as_str().map(|it| (name.clone(), it.to_owned())).ok_or_else(invalid)
    };
    all.iter().map(text).collect()
}

/// Whom a configuration is for; `None` where it is for nobody yet.
fn target(condition: &str, content: &Content) -> Result<Option<Condition>, String> {
    if condition.trim().is_empty() {
        return Ok(None);
    }
    let parsed = Condition::parse(condition).map_err(|it| it.to_string())?;
    match (content, parsed.source()) {
        (Content::Module(_), Source::Modules)
        | (Content::Device(_) | Content::Modules(_), Source::Devices) => Ok(Some(parsed)),
        (Content::Module(_), _) => Err(
            "content for modules needs a condition of modules: `FROM devices.modules WHERE ...`"
                .to_owned(),
        ),
        (Content::Device(_) | Content::Modules(_), _) => {
            Err("content for devices needs a condition of devices".to_owned())
        }
    }
}

fn metric(query: &str) -> Result<Query, String> {
    let parsed = Query::parse(query).map_err(|it| it.to_string())?;
    match parsed.source() {
        Source::Devices | Source::Modules => Ok(parsed),
        Source::Jobs => Err("a metric counts devices or modules, not jobs".to_owned()),
    }
}

/// What policy judges: the configuration that is written and, where deletions are guarded, the one that goes.
pub(super) async fn objects(
    op: Op,
    input: &Input,
    hub: &Hub,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let id = id_of(input)?;
    let former = read(env, &shard(hub)?, &id).await?.map(|(it, _)| it);
    let (body, verb) = if op == Op::PutConfiguration {
        let new = wanted(&id, &input.body, former.as_ref(), env.now())?;
        (Some(new.shown(&Counted::default())), Verb::Write)
    } else {
        (former.map(|it| it.shown(&Counted::default())), Verb::Delete)
    };
    Ok(vec![Object {
        kind: "Microsoft.Devices/IotHubs/configurations".into(),
        id: format!("{}/configurations/{id}", hub.scope),
        name: id,
        body: body.unwrap_or_else(|| json!({})),
        verb,
    }])
}

async fn read(env: &Env, shard: &ShardId, id: &str) -> Result<Option<(Configuration, u64)>, Error> {
    control::get_in(env, shard, tables::CONFIGURATIONS, id).await
}

async fn counted(env: &Env, shard: &ShardId, ids: &[&str]) -> Result<Vec<Counted>, Error> {
    let found = env.store.get_many(shard, tables::CONFIGURATION_COUNTS, ids).await;
    let found = found.map_err(|it| unread(&it))?;
    let read = |(id, it): (&&str, &Option<Document>)| match it {
        Some(it) => parse(tables::CONFIGURATION_COUNTS, id, it),
        None => Ok(Counted::default()),
    };
    ids.iter().zip(&found).map(read).collect()
}

/// Every configuration of a hub, by id.
async fn all(env: &Env, shard: &ShardId) -> Result<Vec<(Configuration, u64)>, Error> {
    let scan = Scan { prefix: String::new(), after: None, limit: CONFIGURATIONS_MAX };
    let page = env.store.scan(shard, tables::CONFIGURATIONS, scan).await;
    let page = page.map_err(|it| unread(&it))?;
    let read =
        |(key, it): &(String, Document)| Ok((parse(tables::CONFIGURATIONS, key, it)?, it.revision));
    page.iter().map(read).collect()
}

/// All of a hub, as they are exported: what was counted of them stays at home.
pub(super) async fn exported(env: &Env, shard: &ShardId) -> Result<Vec<Value>, Error> {
    let all = all(env, shard).await?;
    Ok(all.iter().map(|(it, _)| it.shown(&Counted::default())).collect())
}

fn not_found(id: &str) -> Error {
    let sentence = format!("there is no configuration `{id}` in this hub");
    Error::hub(HubFault::ConfigurationNotFound, sentence)
}

fn stale(id: &str) -> Error {
    let message =
        format!("`{id}` has changed since the etag in `If-Match` was read; read it again");
    Error::Stale { message }
}

fn tagged(status: u16, body: Value, configuration: &Configuration) -> Reply {
    Reply::with(status, Some(body)).with_header("ETag", format!("\"{}\"", configuration.etag()))
}

/// `PUT /configurations/{configuration}`: makes it or, with `If-Match`, changes it.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let id = id_of(input)?;
    let found = read(env, &shard, &id).await?;
    let former = found.as_ref().map(|(it, _)| it);
    let expect = match (&found, input.headers.if_match.as_deref()) {
        (Some(_), None) => {
            let sentence = format!(
                "there is a configuration `{id}` already; send `If-Match` with its etag, or `*`, to change it"
            );
            return Err(Error::hub(HubFault::ConfigurationAlreadyExists, sentence));
        }
        (Some((it, revision)), Some(tag)) if tag == "*" || tag == it.etag() => {
            Expect::Revision(*revision)
        }
        (Some(_), Some(_)) => return Err(stale(&id)),
        (None, Some(_)) => return Err(not_found(&id)),
        (None, None) => Expect::Absent,
    };
    let new = wanted(&id, &input.body, former, env.now())?;
    if found.is_none() && all(env, &shard).await?.len() >= CONFIGURATIONS_MAX {
        let sentence = format!("a hub has at most {CONFIGURATIONS_MAX} configurations");
        return Err(Error::hub(HubFault::TooManyConfigurations, sentence));
    }
    let change = keep(tables::CONFIGURATIONS, id.as_str(), expect, &new)?;
    match env.store.commit(&shard, vec![change]).await {
        Ok(_) => {}
        Err(CommitError::Conflict { .. }) => return Err(stale(&id)),
        Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => return Err(failed(&it)),
    }
    env.chores.add_configuration(&hub.uid);
    let counts = counted(env, &shard, &[&id]).await?.pop().unwrap_or_default();
    Ok(tagged(if found.is_some() { 200 } else { 201 }, new.shown(&counts), &new))
}

/// `GET /configurations/{configuration}`.
pub(crate) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let id = id_of(input)?;
    let Some((it, _)) = read(env, &shard, &id).await? else { return Err(not_found(&id)) };
    let counts = counted(env, &shard, &[&id]).await?.pop().unwrap_or_default();
    Ok(tagged(200, it.shown(&counts), &it))
}

/// `GET /configurations?top=N`: by id.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let top = input.query("top").map_or(Ok(CONFIGURATIONS_MAX), |it| {
        it.parse().ok().filter(|it| (1..=CONFIGURATIONS_MAX).contains(it)).ok_or_else(|| {
            Error::DeviceInvalid {
                at: "top".into(),
                message: format!("a number from 1 to {CONFIGURATIONS_MAX} is expected"),
            }
        })
    })?;
    let all = all(env, &shard).await?;
    let ids: Vec<&str> = all.iter().map(|(it, _)| it.id.as_str()).collect();
    let counts = counted(env, &shard, &ids).await?;
    let shown = all.iter().zip(counts).take(top).map(|((it, _), counts)| it.shown(&counts));
    Ok(Reply::ok(Value::Array(shown.collect())))
}

/// `DELETE /configurations/{configuration}`: what it brought to its devices stays there.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let shard = shard(&hub)?;
    let id = id_of(input)?;
    let Some((it, revision)) = read(env, &shard, &id).await? else { return Err(not_found(&id)) };
    if input.headers.if_match.as_deref().is_some_and(|tag| tag != "*" && tag != it.etag()) {
        return Err(stale(&id));
    }
    let changes = vec![
        remove(tables::CONFIGURATIONS, id.as_str(), Expect::Revision(revision)),
        remove(tables::CONFIGURATION_COUNTS, id.as_str(), Expect::Anything),
    ];
    match env.store.commit(&shard, changes).await {
        Ok(_) => {
            env.chores.add_configuration(&hub.uid);
            Ok(Reply::empty(204))
        }
        Err(CommitError::Conflict { .. }) => Err(stale(&id)),
        Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => Err(failed(&it)),
    }
}

/// `POST /configurations/testQueries`: what is wrong with a condition and with queries, if anything.
pub(crate) fn test_queries(input: &Input) -> Result<Reply, Error> {
    let condition = text(&input.body, &["targetCondition"]).unwrap_or("");
    let wrong = (!condition.trim().is_empty())
        .then(|| Condition::parse(condition).err().map(|it| it.to_string()))
        .flatten();
    let queries = member(&input.body, "customMetricQueries").unwrap_or(&Value::Null);
    let errors: Map<String, Value> = queries_of(queries)?
        .iter()
        .filter_map(|(name, it)| Some((name.clone(), json!(metric(it).err()?))))
        .collect();
    Ok(Reply::ok(json!({ "targetConditionError": wrong, "customMetricQueryErrors": errors })))
}

/// `POST /devices/{device}/applyConfigurationContent`: brings a content to one device, now and once.
pub(crate) async fn apply_content(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let hub = hub_of(permit, env)?;
    let named = Named::of(input)?;
    let content = Content::read(&input.body)?;
    apply::once(env, &hub, &named, &content).await?;
    Ok(Reply::empty(204))
}
