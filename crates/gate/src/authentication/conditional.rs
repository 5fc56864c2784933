//! Conditional access at the door: where a token, or a code for one, is given to somebody who is proven.

use super::Door;
use crate::conditional_access::{self, Method, Wish};
use crate::decide::{Refusal, recorded, trace_of};
use crate::facts::Facts;
use model::Op;
use model::trace::{Caller, Recorded, Step};

/// What conditional access has found, where it was asked.
///
/// # Errors
/// Its refusal, whose trace shows that the caller was proven.
pub(super) fn ask(
    caller: &Caller,
    proven: &Step,
    method: Method,
    door: &Door<'_>,
    facts: &Facts,
) -> Result<Option<Step>, Box<Refusal>> {
    if !matches!(door.operation.op, Op::IssueToken | Op::IssueCode) {
        return Ok(None);
    }
    let address = &door.head.channel.address;
    let wish = Wish { caller, resource: door.wanted, address, method };
    match conditional_access::step(&wish, facts) {
        None => Ok(None),
        Some((step, None)) => Ok(Some(step)),
        Some((step, Some(denial))) => {
            let call = recorded(door.head, door.operation, door.scope);
            let call = Recorded { caller: Some(caller.clone()), ..call };
            let steps = vec![proven.clone(), step];
            let plane = door.operation.plane;
            let trace = trace_of(door.head, plane, call, facts, steps, Some(&denial));
            Err(Box::new(Refusal { denial, trace }))
        }
    }
}
