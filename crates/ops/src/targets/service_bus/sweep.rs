//! What nobody looks at: messages whose time is over, and what deleted queues and subscriptions have left.

use super::message::{Look, Part};
use super::queue::{PAGE, Queue};
use super::{Kind, kind};
use crate::control::{delete, failed, unread};
use crate::env::Env;
use gate::Facts;
use gate::facts::{Entity, Target, TargetKind};
use model::Error;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Expect, Scan, ShardId, Table, tables};

/// Goes through every namespace of Service Bus. What comes between two of its steps waits for one of them at most.
///
/// # Errors
/// The first namespace whose store fails; those behind it wait for the next round.
pub async fn sweep(env: &Env) -> Result<(), Error> {
    let facts = env.facts.load();
    for namespace in facts.targets.values().filter(|it| it.kind == TargetKind::ServiceBus) {
        let queues = queues(&facts, namespace);
        for entity in queues.values() {
            let queue = Queue::of(namespace, entity)?;
            let mut rest = Some(String::new());
            while let Some(after) = rest {
                let after = Some(after).filter(|it| !it.is_empty());
                let _turn = env.bus_turns.take(&namespace.uid).await;
                rest = queue.look_once(env, Part::Active, Look::for_old(), after).await?.1;
            }
        }
        let shard = ShardId::target(&namespace.uid)
            .map_err(|it| Error::Internal { message: it.to_string() })?;
        for uid in left(env, &shard, &queues).await? {
            for table in [tables::BUS_MESSAGES, tables::BUS_PAYLOADS] {
                clear(env, &shard, table, &format!("{uid}/")).await?;
            }
            commit(env, &shard, vec![(tables::BUS_QUEUES, uid)]).await?;
        }
    }
    Ok(())
}

/// The queues and subscriptions of a namespace, by uid.
fn queues<'a>(facts: &'a Facts, namespace: &Target) -> BTreeMap<&'a str, &'a Arc<Entity>> {
    let queues = facts
        .entities_below(&namespace.scope)
        .map(|(_, it)| it)
        .filter(|it| matches!(kind(&it.scope), Some(Kind::Queue | Kind::Subscription)));
    queues.map(|it| (it.uid.as_str(), it)).collect()
}

/// Whose messages are there, and are nobody's.
async fn left(
    env: &Env,
    shard: &ShardId,
    queues: &BTreeMap<&str, &Arc<Entity>>,
) -> Result<Vec<String>, Error> {
    let (mut left, mut after) = (Vec::new(), None);
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE };
        let page = env.store.scan(shard, tables::BUS_QUEUES, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        let keys = page.iter().map(|(key, _)| key.clone());
        left.extend(keys.filter(|it| !queues.contains_key(it.as_str())));
        match page.last() {
            Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
            Some(_) | None => return Ok(left),
        }
    }
}

async fn clear(env: &Env, shard: &ShardId, table: Table, prefix: &str) -> Result<(), Error> {
    loop {
        let scan = Scan { prefix: prefix.to_owned(), after: None, limit: PAGE };
        let page = env.store.scan(shard, table, scan).await.map_err(|it| unread(&it))?;
        let is_last = page.len() < PAGE;
        commit(env, shard, page.into_iter().map(|(key, _)| (table, key)).collect()).await?;
        if is_last {
            return Ok(());
        }
    }
}

async fn commit(env: &Env, shard: &ShardId, keys: Vec<(Table, String)>) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let changes = keys.into_iter().map(|(table, key)| delete(table, key, Expect::Anything));
    env.store.commit(shard, changes.collect()).await.map(drop).map_err(|it| failed(&it))
}
