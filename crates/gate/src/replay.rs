//! A decision again, from its trace: the recorded call, the facts of its time, and no clock.
//!
//! Who called is taken as the trace says; what proved it is not kept. So a refusal of the first gate cannot
//! be made again, nor one of conditional access, which looks at that; and every other one can.

use crate::condition::Attributes;
use crate::decide::{Ask, Judgement, Link, judge_timed};
use crate::facts::Facts;
use model::operations::named;
use model::trace::{Object, TraceHead};
use model::{Gate, Scope, Trace};
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
    if call.objects.iter().any(Object::is_shortened) {
        return Err(NotReplayable::Shortened);
    }
    let scope = |text: &str| Scope::parse(text).map_err(|_| NotReplayable::Unknown);
    let operation = named(&call.operation).ok_or(NotReplayable::Unknown)?;
    let linked: Option<Vec<Link>> = call.linked.iter().map(Link::replayed).collect();
    let head = TraceHead {
        id: trace.id,
        time: trace.time,
        correlation_id: trace.correlation_id.clone(),
        channel: call.channel.clone(),
        replica: call.replica,
    };
    let ask = Ask {
        operation,
        scope: &scope(&call.scope)?,
        objects: &call.objects,
        linked: &linked.ok_or(NotReplayable::Unknown)?,
        stranded: &call.stranded,
        attributes: Attributes::replayed(call.attributes.as_deref()),
        caller,
        head: &head,
    };
    Ok(judge_timed(authentication.clone(), &ask, &facts.uncounted(), &|| 0))
}
