//! Numbers about the running server, and the one way to its error log.
//!
//! Counters only grow and every label is from a closed set or of a bounded number of proven callers, so that a peer
//! cannot make a series. Nothing
//! here decides anything, and nothing here is kept over a restart.

mod pipelines;
pub(crate) mod pulse;

use crate::devices::presence::Presence;
use gate::facts::Lookups;
use model::{Gate, OPERATIONS, Operation, Timestamp, TrackingId};
use pipelines::Pipelines;
pub(crate) use pipelines::is_pipelines;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The statuses that are counted by their number; any other counts as `other`.
const STATUSES: [u16; 16] =
    [200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 412, 413, 415, 429, 500, 503];

/// The gates, in the order in which their refusals are counted.
const GATES: [Gate; 5] =
    [Gate::Authentication, Gate::ConditionalAccess, Gate::Policy, Gate::Access, Gate::Resource];

/// The server's counters. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    /// By the operation's number.
    calls: Vec<Calls>,
    early_refusals: ByStatus,
    /// In the order of [`GATES`].
    refusals: [AtomicU64; GATES.len()],
    /// In the order of [`Registered::ALL`].
    registrations: [AtomicU64; Registered::ALL.len()],
    pipelines: Pipelines,
    dropped_records: AtomicU64,
    orphaned: AtomicU64,
    invalid: AtomicU64,
    faults: AtomicU64,
    /// Takes a line for the error log.
    log: fn(&str),
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            calls: OPERATIONS.iter().map(|_| Calls::default()).collect(),
            early_refusals: ByStatus::default(),
            refusals: Default::default(),
            registrations: Default::default(),
            pipelines: Pipelines::default(),
            dropped_records: AtomicU64::default(),
            orphaned: AtomicU64::default(),
            invalid: AtomicU64::default(),
            faults: AtomicU64::default(),
            log: to_standard_error,
        }
    }
}

/// What a registration came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Registered {
    Assigned,
    /// The enrollment, or the service's credential at the hub, does not count.
    Unproven,
    Policy,
    Access,
    /// No hub was chosen, by the enrollment's terms or by its webhook.
    Allocation,
    /// The hub has another device of the name.
    Conflict,
    Throttled,
    Other,
}

impl Registered {
    const ALL: [Self; 8] = [
        Self::Assigned,
        Self::Unproven,
        Self::Policy,
        Self::Access,
        Self::Allocation,
        Self::Conflict,
        Self::Throttled,
        Self::Other,
    ];

    /// By the number that the device is told; none where it was assigned.
    const fn of(number: Option<u32>) -> Self {
        match number {
            None => Self::Assigned,
            Some(401_002) => Self::Unproven,
            Some(401_003) => Self::Access,
            Some(403_000) => Self::Policy,
            Some(400_000 | 400_209) => Self::Allocation,
            Some(409_000..=409_999) => Self::Conflict,
            Some(429_000..=429_999) => Self::Throttled,
            Some(_) => Self::Other,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Unproven => "unproven",
            Self::Policy => "policy",
            Self::Access => "access",
            Self::Allocation => "allocation",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Default)]
struct Calls {
    by_status: ByStatus,
    took_ns: AtomicU64,
}

/// One counter per status of [`STATUSES`] and one for all others.
#[derive(Debug, Default)]
struct ByStatus {
    known: [AtomicU64; STATUSES.len()],
    other: AtomicU64,
}

impl ByStatus {
    fn count(&self, status: u16, more: u64) {
        let at = STATUSES.iter().position(|it| *it == status);
        let counter = at.and_then(|it| self.known.get(it)).unwrap_or(&self.other);
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// The labels and numbers of those that have counted anything.
    fn read(&self) -> impl Iterator<Item = (String, u64)> {
        let known = STATUSES.iter().map(u16::to_string).zip(&self.known);
        known
            .chain([("other".to_owned(), &self.other)])
            .map(|(label, counter)| (label, counter.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }
}

impl Metrics {
    /// Counters that tell faults to somebody else than standard error, a line each.
    pub fn telling(log: fn(&str)) -> Self {
        Self(Arc::new(Counters { log, ..Counters::default() }))
    }

    /// One call that reached an operation, with the status of its answer and the time it took in ns.
    pub fn count_call(&self, operation: &Operation, status: u16, took_ns: u64) {
        self.count_calls(operation, status, 1, took_ns);
    }

    /// As many calls of one operation that were answered together, with the time that all of them took.
    pub fn count_calls(&self, operation: &Operation, status: u16, count: u64, took_ns: u64) {
        if let Some(calls) = self.0.calls.get(operation.op as usize) {
            calls.by_status.count(status, count);
            calls.took_ns.fetch_add(took_ns, Ordering::Relaxed);
        }
    }

    /// What came of a call of somebody who writes security policies, by the caller's key where it was proven.
    pub fn count_pipeline(&self, caller: Option<&str>, status: u16, now: Timestamp) {
        self.0.pipelines.count(caller, status, now);
    }

    /// One request that named no operation.
    pub fn count_early_refusal(&self, status: u16) {
        self.0.early_refusals.count(status, 1);
    }

    /// One refusal by a gate.
    pub fn count_refusal(&self, gate: Gate) {
        let at = GATES.iter().position(|it| *it == gate);
        if let Some(counter) = at.and_then(|it| self.0.refusals.get(it)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a registration came to: the number that the device is told, none where it was assigned.
    pub fn count_registration(&self, number: Option<u32>) {
        let which = Registered::of(number);
        let at = Registered::ALL.iter().position(|it| *it == which);
        if let Some(counter) = at.and_then(|it| self.0.registrations.get(it)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One diagnostic record that was not written: its queue was full or its file refused it.
    pub fn count_dropped_record(&self) {
        self.0.dropped_records.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages of devices that no route took while the fallback was off: Azure's `d2c.telemetry.egress.orphaned`.
    pub fn count_orphaned(&self, count: usize) {
        self.0.orphaned.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Messages that an endpoint will never take: Azure's `d2c.telemetry.egress.invalid`.
    pub fn count_invalid(&self, count: usize) {
        self.0.invalid.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts a fault of ours and writes its cause as one line to the error log.
    ///
    /// The caller of the failed call gets the tracking id; whoever reads the log finds the cause under it.
    pub fn log_fault(&self, tracking: TrackingId, message: &str) {
        self.0.faults.fetch_add(1, Ordering::Relaxed);
        let event = json!({ "level": "error", "trackingId": tracking, "message": message });
        (self.0.log)(&json_line(&event));
    }

    /// Everything in Prometheus' text form.
    pub fn render(&self, lookups: &Lookups, presence: &Presence) -> String {
        let mut text = String::new();
        let (connected, takeovers) = presence.count();
        let name = "hubward_connected_devices";
        head(&mut text, name, "gauge", "Devices that are connected now.");
        sample(&mut text, name, &[], connected);
        let name = "hubward_takeovers_total";
        head(&mut text, name, "counter", "Times that a session took the place of another.");
        sample(&mut text, name, &[], takeovers);
        self.render_calls(&mut text);
        head(
            &mut text,
            "hubward_early_refusals_total",
            "counter",
            "Requests that named no operation, by status.",
        );
        for (status, count) in self.0.early_refusals.read() {
            sample(&mut text, "hubward_early_refusals_total", &[("status", &status)], count);
        }
        head(
            &mut text,
            "hubward_refusals_total",
            "counter",
            "Calls refused, by the gate that refused.",
        );
        for (gate, counter) in GATES.iter().zip(&self.0.refusals) {
            let count = counter.load(Ordering::Relaxed);
            sample(&mut text, "hubward_refusals_total", &[("gate", gate.as_str())], count);
        }
        let name = "hubward_registrations_total";
        head(&mut text, name, "counter", "Registrations carried out, by what they came to.");
        for (outcome, counter) in Registered::ALL.iter().zip(&self.0.registrations) {
            let count = counter.load(Ordering::Relaxed);
            sample(&mut text, name, &[("outcome", outcome.as_str())], count);
        }
        self.0.pipelines.render(&mut text);
        let singles = [
            (
                "hubward_policy_lookups_total",
                "Times that a gate looked for policies.",
                &lookups.policy,
            ),
            (
                "hubward_role_lookups_total",
                "Times that a gate looked for role assignments.",
                &lookups.role,
            ),
            (
                "hubward_resource_lookups_total",
                "Times that a gate looked at a resource.",
                &lookups.resource,
            ),
            (
                "hubward_diagnostic_records_dropped_total",
                "Diagnostic records that were not written.",
                &self.0.dropped_records,
            ),
            (
                "hubward_messages_orphaned_total",
                "Messages of devices that no route took while the fallback was off.",
                &self.0.orphaned,
            ),
            (
                "hubward_messages_invalid_total",
                "Messages that an endpoint of a hub will never take.",
                &self.0.invalid,
            ),
            ("hubward_faults_total", "Calls that failed by a fault of the server.", &self.0.faults),
        ];
        for (name, says, counter) in singles {
            head(&mut text, name, "counter", says);
            sample(&mut text, name, &[], counter.load(Ordering::Relaxed));
        }
        text
    }

    fn render_calls(&self, text: &mut String) {
        let rows = || {
            OPERATIONS.iter().filter_map(|row| {
                let calls = self.0.calls.get(row.op as usize)?;
                let count = calls.by_status.read().map(|(_, count)| count).sum::<u64>();
                (count > 0).then(|| (row.name(), calls, count))
            })
        };
        head(text, "hubward_calls_total", "counter", "Calls answered, by operation and status.");
        for (name, calls, _) in rows() {
            for (status, count) in calls.by_status.read() {
                sample(
                    text,
                    "hubward_calls_total",
                    &[("operation", &name), ("status", &status)],
                    count,
                );
            }
        }
        head(
            text,
            "hubward_call_seconds",
            "summary",
            "Time from the call's arrival to its answer, by operation.",
        );
        for (name, calls, count) in rows() {
            let took = calls.took_ns.load(Ordering::Relaxed);
            let seconds = format!("{}.{:09}", took / NS_PER_SECOND, took % NS_PER_SECOND);
            let labels = [("operation", name.as_str())];
            sample(text, "hubward_call_seconds_sum", &labels, seconds);
            sample(text, "hubward_call_seconds_count", &labels, count);
        }
    }
}

const NS_PER_SECOND: u64 = 1_000_000_000;

pub(crate) fn head(text: &mut String, name: &str, kind: &str, says: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {says}\n# TYPE {name} {kind}");
}

/// Labels are names of ours and of hubs: they need no escaping.
pub(crate) fn sample(
    text: &mut String,
    name: &str,
    labels: &[(&str, &str)],
    value: impl std::fmt::Display,
) {
    let labels: Vec<String> = labels.iter().map(|(key, it)| format!("{key}=\"{it}\"")).collect();
    let _ = match labels.is_empty() {
        true => writeln!(text, "{name} {value}"),
        false => writeln!(text, "{name}{{{}}} {value}", labels.join(",")),
    };
}

/// Writes one event to the error log.
pub(crate) fn log(event: &Value) {
    to_standard_error(&json_line(event));
}

/// A log that cannot be written must not stop the server.
fn to_standard_error(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// One event as one line of JSON. Every control character is escaped, also those that JSON would let
/// stand, so that no text of a peer's can forge a line or steer a terminal.
pub(crate) fn json_line(event: &Value) -> String {
    let mut line = String::new();
    for letter in event.to_string().chars() {
        match letter.is_control() {
            true => {
                let _ = write!(line, "\\u{:04x}", u32::from(letter));
            }
            false => line.push(letter),
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Op;
    use model::operations::operation;

    #[test]
    fn every_operation_has_its_own_counter() {
        for row in OPERATIONS {
            let metrics = Metrics::default();
            metrics.count_call(row, 200, 1_500_000_000);
            let text = metrics.render(&Lookups::default(), &Presence::default());
            let name = row.name();
            assert!(
                text.contains(&format!(
                    "hubward_calls_total{{operation=\"{name}\",status=\"200\"}} 1\n"
                )),
                "{text}"
            );
            assert!(
                text.contains(&format!(
                    "hubward_call_seconds_sum{{operation=\"{name}\"}} 1.500000000\n"
                )),
                "{text}"
            );
        }
    }

    #[test]
    fn a_status_outside_the_list_counts_as_other() {
        let metrics = Metrics::default();
        metrics.count_call(operation(Op::GetHub), 418, 0);
        metrics.count_early_refusal(599);
        let text = metrics.render(&Lookups::default(), &Presence::default());
        assert!(text.contains("{operation=\"GetHub\",status=\"other\"} 1\n"), "{text}");
        assert!(text.contains("hubward_early_refusals_total{status=\"other\"} 1\n"), "{text}");
        assert!(!text.contains("418") && !text.contains("599"), "{text}");
    }

    #[test]
    fn lookups_and_refusals_are_shown_also_at_zero() {
        let lookups = Lookups::default();
        lookups.policy.store(7, Ordering::Relaxed);
        let metrics = Metrics::default();
        metrics.count_refusal(Gate::Policy);
        [None, Some(400_000), Some(400_209)].iter().for_each(|it| metrics.count_registration(*it));
        let text = metrics.render(&lookups, &Presence::default());
        for line in [
            "hubward_policy_lookups_total 7\n",
            "hubward_role_lookups_total 0\n",
            "hubward_resource_lookups_total 0\n",
            "hubward_refusals_total{gate=\"policy\"} 1\n",
            "hubward_refusals_total{gate=\"access\"} 0\n",
            "hubward_diagnostic_records_dropped_total 0\n",
            "hubward_registrations_total{outcome=\"assigned\"} 1\n",
            "hubward_registrations_total{outcome=\"allocation\"} 2\n",
            "hubward_registrations_total{outcome=\"conflict\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_a_peer_put_into_it() {
        let line = json_line(&json!({ "message": "a\nb\u{1b}[31m\u{9b}31m\u{7f} ä" }));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with('\n') && !line.trim_end().chars().any(char::is_control), "{line:?}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["message"], "a\nb\u{1b}[31m\u{9b}31m\u{7f} ä");
    }
}
