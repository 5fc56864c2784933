//! What was decided in the last day about somebody's calls to a hub's security policies and settings.

use crate::decisions::{Span, Whose, look_through};
use crate::env::Env;
use model::trace::{Caller, Finding, FindingResult, Gate, Trace};
use model::{Error, Scope, Timestamp, TrackingId, Verdict};
use serde::Serialize;
use std::collections::BTreeSet;

/// How far it is looked back, in seconds.
const BACK_S: i64 = 24 * 3_600;
const ACTIONS: &str = "Microsoft.Devices/IotHubs/security";

/// So many, repeats included, and which came last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) last: Option<(TrackingId, Timestamp)>,
}

impl Serialize for Seen {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.count)
    }
}

impl Seen {
    fn add(&mut self, trace: &Trace) {
        self.count += 1 + trace.repeats;
        self.last = Some((trace.id, trace.time));
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    /// All of them: refusals, and what was written.
    pub(super) decisions: u64,
    written: u64,
    last_written: Option<String>,
    pub(super) missing: Seen,
    /// At a replica that must be waited for.
    pub(super) unseen: Seen,
    /// At a replica that a new token would have told.
    pub(super) stale: Seen,
    /// Refused at another gate than access.
    otherwise: Seen,
    /// Different tokens.
    pub(super) tokens: u64,
    /// Refused at authentication, whoever it was.
    pub(super) unproven: u64,
    #[serde(skip)]
    pub(super) unproven_last: String,
    #[serde(skip)]
    pub(super) asked: BTreeSet<String>,
    /// When the tokens were issued that came last, and last of those that were older than the role.
    #[serde(skip)]
    newest_token: Option<Timestamp>,
    #[serde(skip)]
    stale_token: Option<Timestamp>,
    /// True where there were more than are read.
    is_cut: bool,
}

impl Kept {
    pub(super) async fn read(
        env: &Env,
        caller: &Caller,
        hub: &Scope,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut kept = Self::default();
        let since = now.plus_seconds(-BACK_S);
        let is_about = |it: &Trace| {
            it.time >= since
                && hub.contains(&it.scope())
                && it.call.actions.iter().any(|it| it.starts_with(ACTIONS))
        };
        let mut tokens = BTreeSet::new();
        let mut add = |it: &Trace| {
            if is_about(it) {
                tokens.extend(it.call.caller.as_ref().and_then(|it| it.token_issued));
                kept.add(it);
            }
        };
        let is_cut = look_through(env, Whose::Callers(caller), Span::Newest, &mut add).await?;
        kept.tokens = u64::try_from(tokens.len()).unwrap_or(u64::MAX);
        kept.is_cut = is_cut;
        let mut of_nobody = |it: &Trace| {
            if is_about(it) {
                kept.unproven += 1 + it.repeats;
                kept.unproven_last.clone_from(&it.outcome.code);
            }
        };
        look_through(env, Whose::Nobodys, Span::Newest, &mut of_nobody).await?;
        Ok(kept)
    }

    fn add(&mut self, trace: &Trace) {
        self.decisions += 1 + trace.repeats;
        self.asked.extend(trace.call.actions.iter().cloned());
        let issued = trace.call.caller.as_ref().and_then(|it| it.token_issued);
        self.newest_token = self.newest_token.max(issued);
        match trace.outcome.gate {
            _ if trace.outcome.verdict != Verdict::Deny => {
                self.written += 1;
                self.last_written = Some(trace.time.rfc3339());
            }
            Some(Gate::Access) => self.refused_at_access(trace, issued),
            Some(_) | None => self.otherwise.add(trace),
        }
    }

    fn refused_at_access(&mut self, trace: &Trace, issued: Option<Timestamp>) {
        let step = trace.step(Gate::Access);
        let mut looked_at = step.into_iter().flat_map(|it| &it.findings);
        let is_coming = looked_at.any(|it: &Finding| it.result == FindingResult::NotVisible);
        let is_healed = trace.call.replica.is_some_and(|it| it.is_healed_by_token);
        match (is_coming, is_healed) {
            (false, _) => self.missing.add(trace),
            (true, false) => self.unseen.add(trace),
            (true, true) => {
                self.stale.add(trace);
                self.stale_token = self.stale_token.max(issued);
            }
        }
    }

    /// True where a token that was refused as too old is still the newest that came.
    pub(super) fn is_stale_now(&self) -> bool {
        self.stale_token.is_some() && self.newest_token <= self.stale_token
    }
}
