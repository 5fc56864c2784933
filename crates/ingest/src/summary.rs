//! What came of a run, counted.

use crate::next::Answered;
use model::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most reasons that are told apart; what comes then is counted as `other`.
const REASONS_MAX: usize = 100;

/// The counts of a run. Each item that was reached is in one of `success_count`, `failure_count` and `skipped`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub success_count: u64,
    pub failure_count: u64,
    /// Of the failures, those whose last answer was 401 or 403.
    pub auth_errors: u64,
    /// In RFC 3339; `null` where nothing was written.
    pub last_success_time: Option<String>,
    /// Unchanged since the record says that they were written.
    pub skipped: u64,
    /// Attempts that were made again.
    pub retries: u64,
    /// Tokens that were asked for before their time.
    pub tokens_renewed: u64,
    /// Why items failed, by code and action.
    pub by_reason: BTreeMap<String, Reason>,
    /// Why items were left untried, where some were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// Items that failed for the same reason.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    pub count: u64,
    /// The first of them: its device or place, the words of its answer, and the id that `hubward explain` takes.
    pub first: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_id: Option<String>,
}

impl Summary {
    /// The part of the tries that were refused for who asked: 0 to 1.
    pub fn auth_error_rate(&self) -> f64 {
        let tried = self.success_count + self.failure_count;
        #[expect(clippy::cast_precision_loss, reason = "counts of devices are far below 2^52")]
        match tried {
            0 => 0.0,
            tried => self.auth_errors as f64 / tried as f64,
        }
    }

    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        self.success_count += 1;
        self.last_success_time = Some(now.rfc3339());
    }

    pub(crate) fn failed(&mut self, device: &str, answered: &Answered) {
        self.failure_count += 1;
        if matches!(answered.status, 401 | 403) {
            self.auth_errors += 1;
        }
        let Answered { message, tracking, .. } = answered;
        self.count(reason(answered), device, message, tracking.clone());
    }

    /// What was no item to begin with.
    pub(crate) fn unreadable(&mut self, place: &str, because: &str) {
        self.failure_count += 1;
        self.count("Unreadable".to_owned(), place, because, None);
    }

    fn count(&mut self, reason: String, first: &str, message: &str, tracking: Option<String>) {
        let is_known = self.by_reason.contains_key(&reason);
        let reason = match is_known || self.by_reason.len() < REASONS_MAX {
            true => reason,
            false => "other".to_owned(),
        };
        let found = self.by_reason.entry(reason).or_insert_with(|| Reason {
            count: 0,
            first: first.to_owned(),
            message: message.to_owned(),
            tracking_id: tracking,
        });
        found.count += 1;
    }
}

/// A few words for why: the code, and the action where the message names one.
pub(crate) fn reason(answered: &Answered) -> String {
    let Answered { status, code, message, .. } = answered;
    let code = match (status, code.as_str()) {
        (0, _) => return "NoAnswer".to_owned(),
        (status, "") => format!("Status{status}"),
        (_, code) => code.to_owned(),
    };
    let action = message
        .split(['\'', '`', '"'])
        .find(|it| it.starts_with("Microsoft.") && !it.contains(' '));
    match action {
        Some(action) => format!("{code} {action}"),
        None => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Answered {
        let code = "AuthorizationFailed".to_owned();
        Answered { status, code, message: message.to_owned(), ..Answered::default() }
    }

    /// S1-31, S1-34: every failure is counted with its reason, and a missing permission by its name.
    #[test]
    fn failures_are_counted_by_what_is_missing() {
        let mut summary = Summary::default();
        let said = |action: &str| {
            format!(
                "The client 'x' may not perform action 'Microsoft.Devices/IotHubs/{action}' over scope"
            )
        };
        for device in ["pump-1", "pump-2"] {
            summary.failed(device, &refused(403, &said("securityPolicies/delete")));
        }
        summary.failed("pump-3", &refused(403, &said("securityPolicies/write")));
        summary.failed(
            "pump-4",
            &Answered { message: "connection refused".into(), ..Answered::default() },
        );
        summary.unreadable("x.jsonl, line 4", "expected value");
        (0..5).for_each(|_| summary.succeeded(Timestamp::from_seconds(7)));
        assert_eq!((summary.success_count, summary.failure_count, summary.auth_errors), (5, 5, 3));
        let counts: Vec<_> = summary
            .by_reason
            .iter()
            .map(|(name, it)| (name.as_str(), it.count, it.first.as_str()))
            .collect();
        assert_eq!(
            counts,
            [
                (
                    "AuthorizationFailed Microsoft.Devices/IotHubs/securityPolicies/delete",
                    2,
                    "pump-1"
                ),
                (
                    "AuthorizationFailed Microsoft.Devices/IotHubs/securityPolicies/write",
                    1,
                    "pump-3"
                ),
                ("NoAnswer", 1, "pump-4"),
                ("Unreadable", 1, "x.jsonl, line 4"),
            ]
        );
        assert!((summary.auth_error_rate() - 0.3).abs() < 1e-9);
        assert_eq!(summary.last_success_time.as_deref(), Some("1970-01-01T00:00:07.000Z"));
    }
}
