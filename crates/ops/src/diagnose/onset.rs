//! Since when registrations are refused: the change that made a gate refuse them, and the first refusal
//! behind it, of those that are kept.

use super::case::{Case, Planned};
use super::history::{self, Cause, Change, denying};
use super::integration::How;
use crate::decisions::{self, KEPT_S_MAX, READ_MAX, Span, Whose};
use crate::questions::row_of;
use model::operations::Protocol;
use model::{Error, Gate, Op, Timestamp, Trace};
use serde::Serialize;
use std::collections::BTreeSet;

/// Refusals are forgotten once an hour.
const FORGETTING_S: i64 = 3_600;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Onset {
    /// The gate that refuses, and would be the first to do so.
    gate: Gate,
    /// What has been refused by: the assignments that deny, or the rights that are missing.
    by: Vec<String>,
    change: Option<Change>,
    first_refusal: Option<Refusal>,
    last_refusal: Option<Refusal>,
    /// Since the change, those among them that were only counted.
    refusals: u64,
    /// Seconds from the change to the first refusal.
    late_s: Option<i64>,
    /// What limits the answer, in sentences.
    notes: Vec<String>,
}

/// One refused registration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    time: String,
    tracking_id: String,
    device: String,
}

/// What is refused now.
struct Refused<'a> {
    gate: Gate,
    by: Vec<String>,
    /// Ids of assignments that deny, in lower case.
    assignments: BTreeSet<String>,
    operations: Vec<Op>,
    whose: Whose<'a>,
    cause: Option<Cause>,
    notes: Vec<String>,
}

/// The onset of what is refused now. `None` where nothing is, or where no call would be made at all.
pub(super) async fn find(case: &Case<'_>) -> Result<Option<Onset>, Error> {
    let is_silent = match case.proof.how {
        How::Unlinked => true,
        How::ByIdentity { .. } => case.proof.signs_in_as(case.dps).is_none(),
        How::ByKey { .. } => false,
    };
    if is_silent {
        return Ok(None);
    }
    if case.proof.fault.is_some() {
        let refused = Refused {
            gate: Gate::Authentication,
            by: Vec::new(),
            assignments: BTreeSet::new(),
            operations: case.calls().map(|it| it.operation.op).collect(),
            whose: Whose::Nobodys,
            cause: None,
            notes: vec![elsewhere(case)],
        };
        return told(case, refused).await.map(Some);
    }
    for gate in [Gate::Policy, Gate::Access] {
        if let Some((call, judged)) = case.refused_at(gate, case.facts).first() {
            let refused = refused_by(case, gate, call, &judged.trace).await?;
            return told(case, refused).await.map(Some);
        }
    }
    Ok(None)
}

async fn refused_by<'a>(
    case: &'a Case<'_>,
    gate: Gate,
    call: &Planned,
    trace: &Trace,
) -> Result<Refused<'a>, Error> {
    let (cause, is_cut) = history::cause(case, gate, call, trace).await?;
    let mut notes = Vec::new();
    match &cause {
        Some(Cause { change: Some(_), .. }) => {}
        Some(Cause { change: None, .. }) => {
            notes.push("the change is shown to who may read what was changed".to_owned());
        }
        None if matches!(case.proof.how, How::ByKey { .. }) && gate == Gate::Access => {
            notes.push(elsewhere(case));
        }
        None => notes.push("no noted change of what decides explains it".to_owned()),
    }
    if is_cut {
        notes.push("more changes are noted than were read, so another may be the cause".to_owned());
    }
    let names: BTreeSet<&str> = denying(trace).map(|it| it.name.as_str()).collect();
    let reason = trace.step(gate).map_or("", |it| it.reason.as_str());
    Ok(Refused {
        gate,
        by: match gate {
            Gate::Policy => names.into_iter().map(str::to_owned).collect(),
            Gate::Authentication | Gate::ConditionalAccess | Gate::Access | Gate::Resource => {
                vec![reason.to_owned()]
            }
        },
        assignments: denying(trace).map(|it| it.id.to_ascii_lowercase()).collect(),
        operations: case
            .refused_at(gate, case.facts)
            .iter()
            .map(|(it, _)| it.operation.op)
            .collect(),
        whose: Whose::Callers(&case.proof.caller),
        cause,
        notes,
    })
}

fn elsewhere(case: &Case<'_>) -> String {
    format!(
        "changes of keys and identities have no revisions; the activity log has them: az monitor activity-log \
         list --resource-id {}",
        case.hub.scope
    )
}

async fn told(case: &Case<'_>, mut refused: Refused<'_>) -> Result<Onset, Error> {
    let since = refused.cause.as_ref().map(|it| it.time);
    let mut run = Run::default();
    let span = since.map_or(Span::Newest, Span::Since);
    let is_cut = decisions::look_through(case.env, refused.whose, span, &mut |trace| {
        match what(case, &refused, trace) {
            Kept::Other => {}
            Kept::Refused => run.add(trace),
            // Where the cause is known, what else was decided since is none of its effects.
            Kept::Interrupts if since.is_some() => {}
            Kept::Interrupts => run = Run::default(),
        }
    })
    .await?;
    let mut notes = std::mem::take(&mut refused.notes);
    match (is_cut, since) {
        (false, _) => {}
        (true, Some(_)) => notes.push(format!(
            "only the first {READ_MAX} decisions since the change were read: there may be more refusals"
        )),
        (true, None) => notes.push(format!(
            "only the newest {READ_MAX} decisions were read: the first refusal may be older"
        )),
    }
    notes.extend(forgotten(case, &refused, since, &run).await?);
    if run.count == 0 {
        notes.push("no registration has been refused by it yet".to_owned());
    }
    let first = run.first.as_ref().map(|(time, _)| time.millis());
    Ok(Onset {
        gate: refused.gate,
        by: refused.by,
        change: refused.cause.and_then(|it| it.change),
        late_s: first.zip(since).map(|(first, since)| (first - since.millis()) / 1_000),
        first_refusal: run.first.map(|(_, it)| it),
        // With the rest unread, the last one that was read is not the last.
        last_refusal: run.last.filter(|_| !is_cut || since.is_none()),
        refusals: run.count,
        notes,
    })
}

/// Says so where older refusals may have been forgotten.
async fn forgotten(
    case: &Case<'_>,
    refused: &Refused<'_>,
    since: Option<Timestamp>,
    run: &Run,
) -> Result<Option<String>, Error> {
    let horizon = case.head.time.plus_seconds(FORGETTING_S - KEPT_S_MAX);
    let began = since.or(run.first.as_ref().map(|(time, _)| *time));
    let is_old = began.is_some_and(|it| it <= horizon);
    let is_full = match refused.whose {
        Whose::Callers(caller) => decisions::is_full(case.env, caller).await?,
        Whose::Everybodys | Whose::Nobodys => false,
    };
    let kept = "refusals are kept for 30 days and in bounded space";
    Ok((is_old || is_full).then(|| format!("the first refusal may be forgotten already: {kept}")))
}

/// Refusals one after another.
#[derive(Default)]
struct Run {
    first: Option<(Timestamp, Refusal)>,
    last: Option<Refusal>,
    count: u64,
}

impl Run {
    fn add(&mut self, trace: &Trace) {
        let device = trace.call.objects.first().map(|it| it.name.clone());
        let named = || trace.call.channel.on_behalf_of.as_ref().map(|it| it.name.clone());
        let refusal = Refusal {
            time: trace.time.rfc3339(),
            tracking_id: trace.id.to_string(),
            device: device.or_else(named).unwrap_or_default(),
        };
        self.count += 1 + trace.repeats;
        self.first.get_or_insert_with(|| (trace.time, refusal.clone()));
        self.last = Some(refusal);
    }
}

enum Kept {
    /// Nothing of this service at this hub.
    Other,
    Refused,
    Interrupts,
}

fn what(case: &Case<'_>, refused: &Refused<'_>, trace: &Trace) -> Kept {
    let is_registration = row_of(trace)
        .is_some_and(|it| matches!(it.op, Op::ProvisionDevice | Op::ProvisionDeviceWithTwin));
    if !is_registration || !trace.scope().same_place(&case.hub.scope) || !is_by_service(case, trace)
    {
        return Kept::Other;
    }
    let is_by = match refused.gate {
        Gate::Policy => {
            denying(trace).any(|it| refused.assignments.contains(&it.id.to_ascii_lowercase()))
        }
        Gate::Access | Gate::Authentication | Gate::ConditionalAccess | Gate::Resource => {
            row_of(trace).is_some_and(|it| refused.operations.contains(&it.op))
        }
    };
    match is_by && trace.outcome.gate == Some(refused.gate) {
        true => Kept::Refused,
        false => Kept::Interrupts,
    }
}

/// An identity is the service's alone. A key may be others', too: then the request names the id scope, but
/// for one over MQTT, which names none and therefore counts.
fn is_by_service(case: &Case<'_>, trace: &Trace) -> bool {
    let channel = &trace.call.channel;
    let has_identity = trace.call.caller.as_ref().is_some_and(|it| it.object_id.is_some());
    let mut words = channel.request.split(['/', ' ']);
    has_identity
        || channel.protocol == Protocol::Mqtt.as_str()
        || words.any(|it| it.eq_ignore_ascii_case(&case.dps.id_scope))
}
