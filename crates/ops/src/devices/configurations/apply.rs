//! Brings configurations to their devices and modules, round by round, and counts whom they reach.
//!
//! Where several are for the same device, they are laid over each other by priority, and of one priority the
//! younger counts; of deployments, an edge device gets the one that comes first. What a device had of one that is
//! not for it any more stays. A round writes only what is not there yet.

use super::content::{Content, Values, patch};
use super::{Configuration, Counted, all, metric, target};
use crate::control::{failed, put as keep, unread};
use crate::devices::identity::{Device, Live, built};
use crate::devices::named::Named;
use crate::devices::query::{Condition, Query, Source};
use crate::devices::registry::{MODULES_MAX, modules_of, parse, read, shard};
use crate::devices::twin::Wanted;
use crate::devices::twins;
use crate::env::Env;
use gate::facts::Hub;
use model::Error;
use model::error::HubFault;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::{CommitError, Expect, Scan, ShardId, Table, tables};

/// Devices that are read together.
const PAGE: usize = 200;

/// A configuration, ready to be asked.
struct Ready {
    configuration: Configuration,
    content: Content,
    condition: Option<Condition>,
    metrics: Vec<(String, Query)>,
    counted: Counted,
}

impl Ready {
    fn of(configuration: Configuration) -> Result<Self, Error> {
        let content = Content::read(&configuration.content)?;
        let broken = |because| Error::Internal { message: because };
        let condition = target(&configuration.condition, &content).map_err(broken)?;
        let metric =
            |(name, it): (&String, &String)| Ok((name.clone(), metric(it).map_err(broken)?));
        let metrics = configuration.metrics.iter().map(metric).collect::<Result<_, Error>>()?;
        Ok(Self { configuration, content, condition, metrics, counted: Counted::default() })
    }

    fn is_for(&self, source: Source, device: &Device, shown: &Value) -> bool {
        let fits =
            self.condition.as_ref().is_some_and(|it| it.source() == source && it.matches(shown));
        fits && (!matches!(self.content, Content::Modules(_)) || device.is_edge())
    }
}

/// Looks at every device and module of a hub once, where there are configurations or `is_changed` says that there
/// were.
pub(in crate::devices) async fn round(env: &Env, hub: &Hub, is_changed: bool) -> Result<(), Error> {
    let shard = shard(hub)?;
    let found = all(env, &shard).await?;
    if found.is_empty() && !is_changed {
        return Ok(());
    }
    let mut ready: Vec<Ready> =
        found.into_iter().map(|(it, _)| Ready::of(it)).collect::<Result<_, _>>()?;
    // The last one laid over the others counts.
    ready.sort_by(|a, b| {
        let (a, b) = (&a.configuration, &b.configuration);
        (a.priority, a.created, &a.id).cmp(&(b.priority, b.created, &b.id))
    });
    through(env, hub, &shard, tables::DEVICES, Source::Devices, &mut ready).await?;
    through(env, hub, &shard, tables::MODULES, Source::Modules, &mut ready).await?;
    let changes = ready.iter().map(|it| {
        let id = it.configuration.id.as_str();
        keep(tables::CONFIGURATION_COUNTS, id, Expect::Anything, &it.counted)
    });
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    match env.store.commit(&shard, changes).await {
        Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
        Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => Err(failed(&it)),
    }
}

async fn through(
    env: &Env,
    hub: &Hub,
    shard: &ShardId,
    table: Table,
    source: Source,
    ready: &mut [Ready],
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE };
        let page = env.store.scan(shard, table, scan).await.map_err(|it| unread(&it))?;
        for (key, document) in &page {
            let device = parse(key, document)?;
            let named = Named::parse(&device.device_id, device.module_id.as_deref())?;
            let connected_since = env.presence.connected_since(&hub.uid, key);
            let shown = device.shown_twin(&Live { connected_since, messages: 0 });
            for it in &mut *ready {
                for (name, query) in &it.metrics {
                    let counts = query.source() == source && query.condition().matches(&shown);
                    *it.counted.metrics.entry(name.clone()).or_default() += u64::from(counts);
                }
            }
            bring(env, hub, &named, &device, &shown, source, ready).await?;
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}

/// Brings one device or module what is for it, and notes which configurations are.
async fn bring(
    env: &Env,
    hub: &Hub,
    named: &Named,
    device: &Device,
    shown: &Value,
    source: Source,
    ready: &mut [Ready],
) -> Result<(), Error> {
    let mut values: Values = Vec::new();
    let (mut deployment, mut statuses) = (None, BTreeMap::new());
    for (at, it) in ready.iter_mut().enumerate() {
        if !it.is_for(source, device, shown) {
            continue;
        }
        it.counted.targeted += 1;
        match &it.content {
            Content::Device(its) | Content::Module(its) => values.extend(its.iter().cloned()),
            Content::Modules(_) => {
                if let Some(former) = deployment.replace(at) {
                    statuses.insert(former, "Targeted");
                }
            }
        }
        statuses.insert(at, "Applied");
    }
    if let Some(Content::Modules(modules)) =
        deployment.and_then(|it| ready.get(it)).map(|it| &it.content)
        && let Err(error) = deploy(env, hub, named, modules).await
    {
        if is_ours(&error) {
            return Err(error);
        }
        deployment.map(|it| statuses.insert(it, "Failed"));
    }
    let id = |at: usize| ready.get(at).map(|it| it.configuration.id.clone());
    let applied: BTreeMap<String, String> =
        statuses.iter().filter_map(|(at, status)| Some((id(*at)?, (*status).to_owned()))).collect();
    let outcome = lay(env, hub, named, device, &values, &applied).await;
    let is_refused = match outcome {
        Err(error) if is_ours(&error) => return Err(error),
        Err(_) => true,
        Ok(()) => false,
    };
    for (at, status) in statuses {
        if let Some(it) = ready.get_mut(at).filter(|_| status == "Applied" && !is_refused) {
            it.counted.applied += 1;
        }
    }
    Ok(())
}

/// True for what the whole round fails by, and not this device alone.
const fn is_ours(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. } | Error::Internal { .. })
}

/// Lays values over desired properties and notes the statuses; writes nothing where all of it is there.
async fn lay(
    env: &Env,
    hub: &Hub,
    named: &Named,
    device: &Device,
    values: &Values,
    applied: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let is_there = |it: &Device| {
        patch(it.twin.shown_parts().desired, values.iter()).is_empty()
            && it.configurations == *applied
    };
    if is_there(device) {
        return Ok(());
    }
    let _write = env.facts.writing().await;
    let how = |it: &mut Device| {
        it.configurations.clone_from(applied);
        match patch(it.twin.shown_parts().desired, values.iter()) {
            patch if patch.is_empty() => Ok(None),
            patch => it.twin.write(&desired(patch)?, env.now()),
        }
    };
    match twins::lay(env, hub, named, None, how).await {
        // It went meanwhile.
        Err(Error::DeviceNotFound(_) | Error::Hub { fault: HubFault::ModuleNotFound, .. }) => {
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

fn desired(patch: Map<String, Value>) -> Result<Wanted, Error> {
    Wanted::read(&json!({ "properties": { "desired": patch } }))
}

/// Gives an edge device the modules of a deployment; those that it has no identity for get one.
async fn deploy(
    env: &Env,
    hub: &Hub,
    named: &Named,
    modules: &BTreeMap<String, Values>,
) -> Result<(), Error> {
    let shard = shard(hub)?;
    let mut count = modules_of(env, &shard, &named.device).await?.len();
    for (module, values) in modules {
        let its = Named::parse(named.device.as_str(), Some(module))?;
        let device = match read(env, &shard, &its).await? {
            Some((device, _)) => device,
            None if count >= MODULES_MAX => return Err(its.has_no_room(MODULES_MAX)),
            None => {
                count += 1;
                let _write = env.facts.writing().await;
                let made = built(&its, &json!({ "managedBy": "IotEdge" }), None, env, "")?;
                let change = keep(its.table(), its.key(), Expect::Absent, &made)?;
                match env.store.commit(&shard, vec![change]).await {
                    Ok(_) | Err(CommitError::Conflict { .. }) => made,
                    Err(it @ (CommitError::ShardGone | CommitError::Store(_))) => {
                        return Err(failed(&it));
                    }
                }
            }
        };
        lay(env, hub, &its, &device, values, &device.configurations).await?;
    }
    Ok(())
}

/// Brings a content to one device, whatever configurations there are.
///
/// # Errors
/// That there is no such device, or that it is no edge device and the content needs one.
pub(super) async fn once(
    env: &Env,
    hub: &Hub,
    named: &Named,
    content: &Content,
) -> Result<(), Error> {
    let Some((device, _)) = read(env, &shard(hub)?, named).await? else {
        return Err(named.not_found());
    };
    match content {
        Content::Device(values) => {
            let wanted = desired(patch(device.twin.shown_parts().desired, values.iter()))?;
            let how = |it: &mut Device| it.twin.write(&wanted, env.now());
            twins::lay(env, hub, named, None, how).await.map(drop)
        }
        Content::Modules(_) if !device.is_edge() => {
            let sentence = format!("`{named}` is no edge device (`capabilities.iotEdge`)");
            Err(Error::hub(HubFault::InvalidOperation, sentence))
        }
        Content::Modules(modules) => deploy(env, hub, named, modules).await,
        Content::Module(_) => {
            let sentence = "a device takes deviceContent or modulesContent";
            Err(Error::hub(HubFault::InvalidConfigurationContent, sentence))
        }
    }
}
