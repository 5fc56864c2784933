//! How much is called and what the gates refuse, for whoever watches.

use super::{GATES, Metrics};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::operations::operation;
use model::{Error, OPERATIONS, Op};
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

/// `GET /decisions/pulse`: numbers since the start of the server. Two answers give rates.
pub(crate) async fn pulse(_permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut answer = env.metrics.pulse();
    model::json::set(&mut answer, "timeMs", env.now().millis());
    model::json::set(&mut answer, "connectedDevices", env.presence.count().0);
    Ok(Reply::ok(answer))
}

impl Metrics {
    fn pulse(&self) -> Value {
        let mut operations = Vec::new();
        let mut calls = 0;
        for row in OPERATIONS {
            let Some(counted) = self.0.calls.get(row.op as usize) else { continue };
            let (mut all, mut errors) = (0, 0);
            for (status, count) in counted.by_status.read() {
                all += count;
                errors += if status.starts_with('2') { 0 } else { count };
            }
            if all > 0 {
                calls += all;
                operations.push((all, json!({
                    "operation": row.name(), "plane": row.plane.as_str(), "calls": all, "errors": errors,
                })));
            }
        }
        operations.sort_by_key(|(all, _)| std::cmp::Reverse(*all));
        let refusals = GATES.iter().zip(&self.0.refusals);
        let refusals = refusals
            .map(|(gate, count)| (gate.as_str().to_owned(), json!(count.load(Ordering::Relaxed))));
        let own = self.0.calls.get(operation(Op::GetPulse).op as usize);
        let own: u64 = own.into_iter().flat_map(|it| it.by_status.read()).map(|(_, it)| it).sum();
        json!({
            "calls": calls,
            "own": own,
            "refusals": refusals.collect::<Map<String, Value>>(),
            "operations": operations.into_iter().map(|(_, it)| it).collect::<Vec<Value>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Gate;

    #[test]
    fn the_pulse_tells_calls_from_errors_and_counts_itself_apart() {
        let metrics = Metrics::default();
        metrics.count_calls(operation(Op::GetHub), 200, 3, 0);
        metrics.count_call(operation(Op::GetHub), 403, 0);
        metrics.count_call(operation(Op::GetPulse), 200, 0);
        metrics.count_refusal(Gate::Access);
        let told = metrics.pulse();
        assert_eq!(told["calls"], 5);
        assert_eq!(told["own"], 1);
        let by_gate = json!({
            "authentication": 0, "conditional access": 0, "policy": 0, "access": 1, "resource": 0,
        });
        assert_eq!(told["refusals"], by_gate);
        let most = json!({ "operation": "GetHub", "plane": "control", "calls": 4, "errors": 1 });
        assert_eq!(told["operations"][0], most);
    }
}
