//! Every kept decision again: from its trace, by the facts of its epoch, offline.

use crate::facts::past::Past;
use gate::{NotReplayable, is_same_decision, replay};
use model::trace::Outcome;
use model::{Timestamp, Trace};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::{Engine, Scan, ShardId, StoreError, tables};

/// Most decisions that are listed because they came out otherwise; all are counted.
pub const DIFFERENCES_MAX: usize = 1_000;
/// How many decisions are read at a time.
const AT_ONCE: usize = 200;

/// What became of all kept decisions.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Came out as they were.
    pub same: usize,
    pub different: usize,
    /// The first [`DIFFERENCES_MAX`] of those, by epoch.
    pub differences: Vec<Difference>,
    /// Could not be judged again.
    pub passed_over: BTreeMap<PassedOver, usize>,
}

/// A decision that came out otherwise.
#[derive(Debug)]
pub struct Difference {
    pub then: Trace,
    pub now: Outcome,
}

/// Why a decision was not judged again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PassedOver {
    /// Authentication refused it, and credentials are not kept.
    AtAuthentication,
    /// An object of the call was too large to be kept.
    Shortened,
    /// The facts of its time are not kept, or not any more.
    NoFacts,
    /// It names an operation, action or scope that does not exist.
    Unknown,
    /// It is no trace of a decision.
    Unreadable,
}

/// All that finding the facts of a trace takes.
#[derive(Deserialize)]
struct Judged {
    time: Timestamp,
    facts: u64,
}

/// Judges every kept decision again. `watch` hears how many are done, of how many. Nobody else may write meanwhile.
///
/// # Errors
/// A sentence where the store cannot be read, or no facts are kept.
pub async fn again(
    store: &Engine,
    mut watch: impl FnMut(usize, usize) + Send,
) -> Result<Replayed, String> {
    let Some(mut past) = Past::read(store).await? else {
        return Err("no facts of the past are kept here: `hubward up --keep-facts` keeps them from its start on".into());
    };
    let mut replayed = Replayed::default();
    let mut by_epoch = BTreeMap::<u64, Vec<(ShardId, String)>>::new();
    for shard in [ShardId::decisions(), ShardId::control()] {
        sort(store, &shard, &past, &mut by_epoch, &mut replayed).await?;
    }
    let all = by_epoch.values().map(Vec::len).sum();
    let mut done = 0;
    for (epoch, decisions) in by_epoch {
        let facts = past.at(epoch)?;
        for some in decisions.chunk_by(|a, b| a.0 == b.0).flat_map(|it| it.chunks(AT_ONCE)) {
            watch(done, all);
            done += some.len();
            let Some((shard, _)) = some.first() else { continue };
            let ids: Vec<&str> = some.iter().map(|(_, id)| id.as_str()).collect();
            let read = store.get_many(shard, tables::DECISIONS, &ids).await;
            for document in read.map_err(|it| it.to_string())?.into_iter().flatten() {
                match serde_json::from_slice::<Trace>(&document.body) {
                    Ok(trace) => replayed.judge(trace, facts),
                    Err(_) => replayed.pass_over(PassedOver::Unreadable),
                }
            }
        }
    }
    Ok(replayed)
}

/// Notes which decisions of a shard were judged in which epoch.
async fn sort(
    store: &Engine,
    shard: &ShardId,
    past: &Past,
    by_epoch: &mut BTreeMap<u64, Vec<(ShardId, String)>>,
    replayed: &mut Replayed,
) -> Result<(), String> {
    let mut after = None;
    loop {
        let scan = Scan { prefix: String::new(), after: after.take(), limit: AT_ONCE };
        let page = store.scan(shard, tables::DECISIONS, scan).await;
        let page = page.map_err(|it: StoreError| it.to_string())?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for (id, document) in page {
            match serde_json::from_slice::<Judged>(&document.body) {
                Ok(it) if past.knows(it.facts, it.time) => {
                    by_epoch.entry(it.facts).or_default().push((shard.clone(), id));
                }
                Ok(_) => replayed.pass_over(PassedOver::NoFacts),
                Err(_) => replayed.pass_over(PassedOver::Unreadable),
            }
        }
    }
}

impl Replayed {
    fn judge(&mut self, trace: Trace, facts: &gate::Facts) {
        let again = match replay(&trace, facts) {
            Ok(it) => it.trace,
            Err(why) => return self.pass_over(why.into()),
        };
        if is_same_decision(&trace, &again) {
            self.same += 1;
            return;
        }
        self.different += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { then: trace, now: again.outcome });
        }
    }

    fn pass_over(&mut self, why: PassedOver) {
        *self.passed_over.entry(why).or_default() += 1;
    }
}

impl From<NotReplayable> for PassedOver {
    fn from(why: NotReplayable) -> Self {
        match why {
            NotReplayable::AtAuthentication => Self::AtAuthentication,
            NotReplayable::Shortened => Self::Shortened,
            NotReplayable::Unknown => Self::Unknown,
        }
    }
}

impl PassedOver {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtAuthentication => "atAuthentication",
            Self::Shortened => "shortened",
            Self::NoFacts => "noFacts",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
        }
    }
}
