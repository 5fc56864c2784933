//! A decision again, from its trace: the recorded call, the facts of its time, and no clock.
//!
//! Who called is taken as the trace says; what proved it is not kept. So a refusal of the first gate cannot
//! be made again, nor one of conditional access, which looks at that; and every other one can.

use crate::authentication::{Door, judge_known};
use crate::condition::Attributes;
use crate::decide::{Ask, Judgement, Link, Refusal, judge_timed};
use crate::facts::Facts;
use model::operations::named;
use model::trace::{Caller, Object, Recorded, TraceHead};
use model::{Gate, Operation, Scope, Timestamp, Trace, TrackingId};
use std::fmt;

/// Why a trace cannot be judged again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReplayable {
    /// Nobody was proven, or nothing was asked of a gate behind.
    AtAuthentication,
    /// Objects too large to keep were cut from the trace.
    Shortened,
    /// It names an operation, action or scope that there is none of.
    Unknown,
}

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtAuthentication => {
                "authentication or conditional access refused it, and credentials are not kept"
            }
            Self::Shortened => "an object of the call was too large to be kept",
            Self::Unknown => "it names an operation, action or scope that does not exist",
        })
    }
}

impl std::error::Error for NotReplayable {}

/// True where two traces tell of the same decision: the same verdict by the same gate, answered in the same way,
/// and by the same thing where one decided.
pub fn is_same_decision(one: &Trace, other: &Trace) -> bool {
    let told = |it: &Trace| (it.outcome.verdict, it.outcome.gate, it.outcome.status);
    let decided = |it: &Trace| it.deciding().map(|it| it.id.clone());
    told(one) == told(other)
        && one.outcome.code == other.outcome.code
        && decided(one) == decided(other)
}

/// Judges the call of a trace again, by the facts that it was judged by: those of its epoch.
///
/// # Errors
/// [`NotReplayable`].
pub fn replay(trace: &Trace, facts: &Facts) -> Result<Judgement, NotReplayable> {
    let call = &trace.call;
    let is_first =
        matches!(trace.outcome.gate, Some(Gate::Authentication | Gate::ConditionalAccess));
    let (Some(caller), Some(authentication), false) =
        (&call.caller, trace.step(Gate::Authentication), is_first)
    else {
        return Err(NotReplayable::AtAuthentication);
    };
    let head = TraceHead {
        id: trace.id,
        time: trace.time,
        correlation_id: trace.correlation_id.clone(),
        channel: call.channel.clone(),
        replica: call.replica,
    };
    let parts = Parts::of(call)?;
    let ask = parts.ask(call, caller, &head);
    Ok(judge_timed(authentication.clone(), &ask, &facts.uncounted(), &|| 0))
}

/// Judges a recorded call as if it came at another time, by any facts. Who called must be who it was then: a principal
/// that is gone and a key that is switched off are refused by the first gate. Changes of roles count at once.
///
/// # Errors
/// [`NotReplayable`].
pub fn rejudge(call: &Recorded, now: Timestamp, facts: &Facts) -> Result<Judgement, NotReplayable> {
    let facts = &facts.uncounted();
    let caller = call.caller.as_ref().ok_or(NotReplayable::AtAuthentication)?;
    let parts = Parts::of(call)?;
    let head = TraceHead::new(TrackingId(uuid::Uuid::nil()), now, call.channel.clone());
    let door = Door::new(parts.operation, &parts.scope, &head);
    match judge_known(caller, &door, facts) {
        Ok((caller, step)) => {
            let ask = parts.ask(call, &caller, &head);
            Ok(judge_timed(step, &ask, facts, &|| 0))
        }
        Err(refusal) => {
            let Refusal { denial, mut trace } = *refusal;
            trace.call = call.clone();
            Ok(Judgement { denial: Some(denial), trace, changes: Vec::new() })
        }
    }
}

/// What a recorded call names, found again.
struct Parts {
    operation: &'static Operation,
    scope: Scope,
    linked: Vec<Link>,
}

impl Parts {
    fn of(call: &Recorded) -> Result<Self, NotReplayable> {
        if call.objects.iter().any(Object::is_shortened) {
            return Err(NotReplayable::Shortened);
        }
        let operation = named(&call.operation).ok_or(NotReplayable::Unknown)?;
        let scope = Scope::parse(&call.scope).map_err(|_| NotReplayable::Unknown)?;
        let linked: Option<Vec<Link>> = call.linked.iter().map(Link::replayed).collect();
        Ok(Self { operation, scope, linked: linked.ok_or(NotReplayable::Unknown)? })
    }

    fn ask<'a>(&'a self, call: &'a Recorded, caller: &'a Caller, head: &'a TraceHead) -> Ask<'a> {
        Ask {
            operation: self.operation,
            scope: &self.scope,
            objects: &call.objects,
            linked: &self.linked,
            stranded: &call.stranded,
            attributes: Attributes::replayed(call.attributes.as_deref()),
            caller,
            head,
        }
    }
}
