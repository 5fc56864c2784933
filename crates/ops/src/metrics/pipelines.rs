//! How those fare who write security policies: the four counts that a pipeline keeps of itself, as the server sees them.

use super::{head, sample};
use model::{Op, Operation, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Callers that are counted each for itself; who comes then is counted as [`OTHERS`].
const CALLERS_MAX: usize = 100;
const OTHERS: &str = "other";
/// Who was refused before anybody was proven.
const NOBODY: &str = "unproven";

/// True for what a pipeline does: writing and deleting a device's policy.
pub(crate) const fn is_pipelines(operation: &Operation) -> bool {
    matches!(operation.op, Op::PutSecurityPolicy | Op::DeleteSecurityPolicy)
}

/// By the caller's object id.
#[derive(Debug, Default)]
pub(super) struct Pipelines(Mutex<BTreeMap<String, Counts>>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    successes: u64,
    failures: u64,
    /// Of the failures, those with 401 or 403.
    auth_errors: u64,
    last_success: Option<Timestamp>,
}

impl Pipelines {
    /// One answer.
    pub(super) fn count(&self, caller: Option<&str>, status: u16, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = caller.unwrap_or(NOBODY);
        let own = all.keys().filter(|it| !matches!(it.as_str(), OTHERS | NOBODY)).count();
        let is_counted = caller == NOBODY || all.contains_key(caller) || own < CALLERS_MAX;
        let caller = if is_counted { caller } else { OTHERS };
        let counts = all.entry(caller.to_owned()).or_default();
        match status {
            200..=299 => {
                counts.successes += 1;
                counts.last_success = Some(now);
            }
            _ => {
                counts.failures += 1;
                counts.auth_errors += u64::from(matches!(status, 401 | 403));
            }
        }
    }

    pub(super) fn render(&self, text: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.is_empty() {
            return;
        }
        let mut each =
            |name: &str, kind: &str, says: &str, number: &dyn Fn(&Counts) -> Option<u64>| {
                head(text, name, kind, says);
                for (caller, counts) in &all {
                    if let Some(number) = number(counts) {
                        sample(text, name, &[("principal", caller)], number);
                    }
                }
            };
        each(
            "hubward_ingestion_success_total",
            "counter",
            "Security policies that a principal has written or deleted.",
            &|it| Some(it.successes),
        );
        each(
            "hubward_ingestion_failure_total",
            "counter",
            "Writes and deletions of security policies that failed.",
            &|it| Some(it.failures),
        );
        each(
            "hubward_ingestion_auth_errors_total",
            "counter",
            "Of the failures, those with 401 or 403.",
            &|it| Some(it.auth_errors),
        );
        each(
            "hubward_ingestion_last_success_timestamp_seconds",
            "gauge",
            "When a principal has last written or deleted a security policy.",
            &|it| u64::try_from(it.last_success?.seconds()).ok(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::operations::operation;

    #[test]
    fn callers_are_counted_up_to_a_bound() {
        assert!(is_pipelines(operation(Op::PutSecurityPolicy)));
        assert!(!is_pipelines(operation(Op::GetSecurityPolicy)));
        let (pipelines, now) = (Pipelines::default(), Timestamp::from_seconds(9));
        let shown = |it: &Pipelines| {
            let mut text = String::new();
            it.render(&mut text);
            text
        };
        assert_eq!(shown(&pipelines), "");
        for number in 0..150 {
            pipelines.count(Some(&format!("p{number:03}")), 403, now);
        }
        pipelines.count(Some("p000"), 200, now);
        pipelines.count(Some("p001"), 429, now);
        pipelines.count(None, 401, now);
        let text = shown(&pipelines);
        for line in [
            "success_total{principal=\"p000\"} 1\n",
            "failure_total{principal=\"p001\"} 2\n",
            "auth_errors_total{principal=\"p001\"} 1\n",
            "auth_errors_total{principal=\"other\"} 50\n",
            "auth_errors_total{principal=\"unproven\"} 1\n",
            "last_success_timestamp_seconds{principal=\"p000\"} 9\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("p100"), "{text}");
        assert_eq!(text.matches("last_success_timestamp_seconds{").count(), 1);
    }
}
