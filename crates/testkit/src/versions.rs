//! Every version of a world's facts, by which the decisions of a test are judged again at its end.

use gate::{Facts, NotReplayable, replay};
use model::Trace;
use ops::Env;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{Scan, ShardId, tables};

/// How many decisions are read at once.
const PAGE: usize = 500;

/// By epoch. Facts share what did not change, so that all of them take little room.
#[derive(Clone, Default)]
pub(crate) struct Versions(Arc<Mutex<BTreeMap<u64, Arc<Facts>>>>);

impl Versions {
    pub(crate) fn watch(&self, env: &Env) {
        let all = Arc::clone(&self.0);
        env.facts.watch(move |facts| {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(facts.epoch, Arc::clone(facts));
        });
    }

    /// Judges every kept decision again, by the facts of its epoch: how many came out the same, and each that
    /// did not.
    pub(crate) async fn replayed(&self, env: &Env) -> (usize, Vec<String>) {
        let (mut same, mut faults) = (0, Vec::new());
        let mut after = None;
        for shard in [ShardId::decisions(), ShardId::control()] {
            loop {
                let scan = Scan { prefix: String::new(), after: after.take(), limit: PAGE };
                let page = env.store.scan(&shard, tables::DECISIONS, scan).await;
                let page = page.expect("what was kept can be read");
                for (_, document) in &page {
                    let Ok(trace) = serde_json::from_slice::<Trace>(&document.body) else {
                        continue;
                    };
                    match self.again(&trace) {
                        Some(Ok(())) => same += 1,
                        Some(Err(fault)) => faults.push(fault),
                        None => {}
                    }
                }
                match page.last() {
                    Some((key, _)) => after = Some(key.clone()),
                    None => break,
                }
            }
        }
        (same, faults)
    }

    /// None where it cannot be judged again.
    fn again(&self, trace: &Trace) -> Option<Result<(), String>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What first start decided, nobody could watch.
        if all.keys().next().is_none_or(|first| trace.facts < *first) {
            return None;
        }
        let Some(facts) = all.get(&trace.facts) else {
            return Some(Err(format!("{}: nobody has seen the facts {}", trace.id, trace.facts)));
        };
        let again = match replay(trace, facts) {
            Ok(it) => it.trace,
            Err(NotReplayable::AtAuthentication | NotReplayable::Shortened) => return None,
            Err(why @ NotReplayable::Unknown) => return Some(Err(format!("{}: {why}", trace.id))),
        };
        let told = |it: &Trace| {
            (it.outcome.verdict, it.outcome.gate, it.outcome.status, it.outcome.code.clone())
        };
        let (then, now) = (told(trace), told(&again));
        Some(match then == now {
            true => Ok(()),
            false => Err(format!("{} {}: {then:?}, now {now:?}", trace.id, trace.call.operation)),
        })
    }
}
