//! What a change would do to who calls here: calls on record and kept refusals, judged by the facts as they are and as
//! they would be.
//!
//! Nothing is changed. What can be tried is in `what_if/proposed.rs`, what is on record in `observed.rs`. A use is told
//! by its newest calls, so what flips is what these calls do; how often the use was seen stands beside it.

pub(crate) mod proposed;

use crate::authorization::scope_before;
use crate::decisions::{self, Span as Looked, Whose};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::observed::{self, Use, Way};
use crate::questions::{hide_roles, may_read_policies};
use gate::{Facts, Judgement, NotReplayable, Permit, rejudge};
use model::trace::{Caller, Recorded, Trace};
use model::{Error, Gate, Scope, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most flips that an answer lists; it says how many more there are.
const FLIPS_MAX: usize = 1_000;
/// Kept refusals that are judged of one caller, operation and place: the newest.
const REFUSALS_EACH_MAX: usize = 3;
/// Refusals that are judged before others get their turn.
const BETWEEN_PAUSES: usize = 100;

/// Where a question is asked: at the place that it names, or where the first change lies.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn place(input: &Input) -> Result<Scope, Error> {
    if let Some(text) = input.text(&["scope"]) {
        return Scope::parse(text).map_err(|it| Error::invalid("scope", it.to_string()));
    }
    let changes = proposed::changes(&input.body)?;
    let first = changes.first().unwrap_or(&Value::Null);
    let id = proposed::id_of(first, "changes[0]")?;
    let is_resource = id
        .resource_type()
        .is_some_and(|it| it.to_ascii_lowercase().starts_with("microsoft.devices/"));
    Ok(if is_resource { id } else { scope_before(&id) })
}

/// `POST /decisions/whatIf`.
///
/// # Errors
/// [`Error::Invalid`] with the change that could not be made.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let changes = proposed::changes(&input.body)?;
    let changed = proposed::facts_with(changes, &facts, env).await?;
    let scope = permit.scope();
    let mut trial = Trial {
        before: &facts,
        after: &changed,
        now: env.now(),
        permit,
        env,
        flips: Vec::new(),
        stay: Stay::default(),
        passed_over: BTreeMap::new(),
        judged: 0,
    };
    let span = observed::look(env, scope, &facts, &mut |it| trial.try_use(&it)).await?;
    let (groups, is_cut) = refusals(env, scope, &facts).await?;
    for (index, (_, group)) in groups.iter().enumerate() {
        if index % BETWEEN_PAUSES == BETWEEN_PAUSES - 1 {
            // Others wait for this thread, too.
            tokio::task::yield_now().await;
        }
        trial.try_refusals(group);
    }
    let Trial { mut flips, stay, passed_over, judged, .. } = trial;
    // What breaks first, and what happens most of that.
    flips.sort_by_key(|it| (it.to_is_allowed, std::cmp::Reverse(it.calls)));
    let (newly_refused, newly_allowed): (Vec<_>, Vec<_>) =
        flips.iter().partition(|it| !it.to_is_allowed);
    let counts = json!({ "refused": newly_refused.len(), "allowed": newly_allowed.len() });
    let more = flips.len().saturating_sub(FLIPS_MAX);
    flips.truncate(FLIPS_MAX);
    let shown: Vec<Value> = flips.into_iter().map(|it| it.shown).collect();
    Ok(Reply::ok(json!({
        "scope": scope,
        "since": span.since.rfc3339(),
        "forgotten": span.forgotten,
        "judged": judged,
        "stay": { "allowed": stay.allowed, "refused": stay.refused },
        "newly": counts,
        "flips": shown,
        "more": more,
        "passedOver": passed_over,
        "isCut": is_cut,
    })))
}

/// One question under way.
struct Trial<'a> {
    before: &'a Facts,
    after: &'a Facts,
    now: Timestamp,
    permit: &'a Permit,
    env: &'a Env,
    flips: Vec<Flip>,
    stay: Stay,
    /// Calls that could not be judged again, and why.
    passed_over: BTreeMap<&'static str, u64>,
    judged: u64,
}

/// Uses that go the same way as before.
#[derive(Clone, Copy, Default)]
struct Stay {
    allowed: u64,
    refused: u64,
}

/// A use that would go another way.
struct Flip {
    to_is_allowed: bool,
    calls: u64,
    shown: Value,
}

/// Kept refusals of one caller, operation and place.
#[derive(Default)]
struct Refusals {
    calls: u64,
    last: Timestamp,
    newest: Vec<Recorded>,
}

/// What is told of a flip beside how it came.
struct Told<'a> {
    calls: u64,
    last: Option<Timestamp>,
    samples: usize,
    flipped: usize,
    call: &'a Recorded,
    way: &'a str,
    name: &'a str,
}

impl Trial<'_> {
    fn try_use(&mut self, used: &Use) {
        let calls: Vec<&Recorded> = used.samples.iter().map(|it| &it.call).collect();
        let told = (used.allowed, used.last, used.way.as_str(), used.name.as_str());
        self.try_all(&calls, told);
    }

    fn try_refusals(&mut self, group: &Refusals) {
        let calls: Vec<&Recorded> = group.newest.iter().collect();
        let caller = group.newest.first().and_then(|it| it.caller.as_ref());
        let name = caller.map_or("", |it| it.name.as_str());
        let way = caller.map_or("", way_of);
        self.try_all(&calls, (group.calls, Some(group.last), way, name));
    }

    /// Judges the calls of one use. It is told once, by the first of them that would go another way.
    fn try_all(
        &mut self,
        calls: &[&Recorded],
        (count, last, way, name): (u64, Option<Timestamp>, &str, &str),
    ) {
        let (mut flipped, mut first, mut verdict) = (0, None, None);
        for call in calls {
            let both = rejudge(call, self.now, self.before)
                .and_then(|before| Ok((before, rejudge(call, self.now, self.after)?)));
            let (before, after) = match both {
                Ok(both) => both,
                Err(why) => {
                    *self.passed_over.entry(why_not(why)).or_default() += 1;
                    continue;
                }
            };
            self.judged += 1;
            let was = before.denial.is_none();
            verdict = Some(was);
            if was != after.denial.is_none() {
                flipped += 1;
                first = first.or(Some((*call, was, if was { after } else { before })));
            }
        }
        match (first, verdict) {
            (Some((call, was, refusing)), _) => {
                let samples = calls.len();
                let told = Told { calls: count, last, samples, flipped, call, way, name };
                let shown = self.shown(&told, was, refusing);
                self.flips.push(Flip { to_is_allowed: !was, calls: count, shown });
            }
            (None, Some(true)) => self.stay.allowed += 1,
            (None, Some(false)) => self.stay.refused += 1,
            (None, None) => {}
        }
    }

    fn shown(&self, told: &Told<'_>, was: bool, refusing: Judgement) -> Value {
        let Told { calls, last, samples, flipped, call, way, name } = told;
        let caller = call.caller.as_ref();
        let object = call.objects.first().map(|it| it.name.as_str()).filter(|it| !it.is_empty());
        let said = |it: bool| if it { "allow" } else { "deny" };
        json!({
            "from": said(was),
            "to": said(!was),
            "caller": {
                "name": name,
                "type": caller.map(|it| it.kind.as_str()),
                "objectId": caller.and_then(|it| it.object_id),
                "way": way,
            },
            "operation": call.operation,
            "actions": call.actions,
            "scope": call.scope,
            "object": object,
            "calls": calls,
            "last": last.map(Timestamp::rfc3339),
            "samples": samples,
            "flipped": flipped,
            "by": self.by(refusing.trace),
        })
    }

    /// What refuses, as far as who asks may know.
    fn by(&self, trace: Trace) -> Value {
        let is_reader = may_read_policies(self.permit.caller(), &trace, self.env, self.before);
        let mut trace = if is_reader { trace } else { trace.redacted() };
        hide_roles(&mut trace, self.permit, self.before, self.env);
        let found = trace.deciding();
        let rule = found.and_then(|it| it.rule.as_ref());
        json!({
            "gate": trace.outcome.gate.map(Gate::as_str),
            "status": trace.outcome.status,
            "code": trace.outcome.code,
            "id": found.map(|it| &it.id).filter(|it| !it.is_empty()),
            "name": found.map(|it| &it.name).filter(|it| !it.is_empty()),
            "definition": rule.map(|it| &it.definition_name),
            "rule": rule.map(|it| it.index),
            "reason": found.map_or_else(|| trace.outcome.message.clone(), |it| it.reason.clone()),
        })
    }
}

fn way_of(caller: &Caller) -> &'static str {
    Way::of_caller(caller).as_str()
}

const fn why_not(why: NotReplayable) -> &'static str {
    match why {
        NotReplayable::AtAuthentication => "atAuthentication",
        NotReplayable::Shortened => "shortened",
        NotReplayable::Unknown => "unknown",
    }
}

/// The kept refusals at a place or below it, by caller, operation and place; `true` where not all were read.
async fn refusals(
    env: &Env,
    scope: &Scope,
    facts: &Facts,
) -> Result<(BTreeMap<String, Refusals>, bool), Error> {
    let mut groups: BTreeMap<String, Refusals> = BTreeMap::new();
    let mut visit = |trace: &Trace| {
        let Some(gate) = trace.outcome.gate.filter(|it| *it != Gate::Authentication) else {
            return;
        };
        let Some(caller) = &trace.call.caller else { return };
        let is_gone = caller.object_id.is_some_and(|it| !facts.principals.contains_key(&it));
        if is_gone || !facts.contains(scope, &trace.scope()) {
            return;
        }
        let (way, gate, place) = (way_of(caller), gate.as_str(), trace.scope().key());
        let key = format!("{} {way} {} {place} {gate}", caller.key(), trace.call.operation);
        let group = groups.entry(key).or_default();
        group.calls += 1 + trace.repeats;
        group.last = group.last.max(trace.time);
        if group.newest.len() >= REFUSALS_EACH_MAX {
            group.newest.remove(0);
        }
        group.newest.push(trace.call.clone());
    };
    let is_cut =
        decisions::look_through(env, Whose::Everybodys, Looked::Newest, &mut visit).await?;
    Ok((groups, is_cut))
}
