//! What a trace keeps of a call, and what a permit says.

use super::world::*;
use gate::{Ask, Attributes, Link, NotReplayable, admit, is_same_decision, judge, replay};
use model::operations::operation;
use model::trace::FindingResult;
use model::{ActionName, Gate, Op};
use serde_json::json;

#[test]
fn a_trace_keeps_all_that_the_call_was_judged_by() {
    let mut facts = facts();
    assign(&mut facts, ANA, OWNER, "/subscriptions/s1");
    let (here, head, caller) = (scope(HUB), head("PUT /x"), caller(ANA));
    let link = Link {
        action: ActionName::new("Microsoft.Authorization/policyAssignments/exempt/action"),
        scope: scope(HUB10),
    };
    let request = json!({ "a": 1 });
    let ask = Ask {
        objects: &[device(HUB, "d1")],
        linked: &[link],
        attributes: Attributes { request: request.as_object(), ..Attributes::default() },
        ..Ask::new(operation(Op::PutPolicyExemption), &here, &caller, &head)
    };
    let judged = judge(&ask, &facts);
    let call = &judged.trace.call;
    assert_eq!(call.objects, ask.objects);
    assert_eq!((call.linked.len(), call.linked[0].scope.as_str()), (1, HUB10));
    assert_eq!(call.caller.as_ref(), Some(&caller));
    assert!(call.attributes.is_some());
    assert_eq!(call.scope, HUB);
    assert_eq!(judged.trace.facts, facts.epoch);
    let again = replay(&judged.trace, &facts).unwrap();
    assert_eq!(again.trace, judged.trace);
    let mut refused = judged.trace.clone();
    refused.outcome.gate = Some(Gate::Authentication);
    assert_eq!(replay(&refused, &facts).unwrap_err(), NotReplayable::AtAuthentication);
    refused.outcome.gate = Some(Gate::Access);
    assert!(replay(&refused, &facts).is_ok());
    refused.call.caller = None;
    assert_eq!(replay(&refused, &facts).unwrap_err(), NotReplayable::AtAuthentication);
}

#[test]
fn a_trace_whose_object_was_cut_is_not_judged_again() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    let mut trace = registers(&facts, ANA, HUB, "d1").trace;
    trace.call.objects.push(device(HUB, "d2"));
    assert!(replay(&trace, &facts).is_ok());
    let bytes = trace.call.objects[1].body.to_string().len();
    trace.call.objects[1].shorten(bytes);
    assert!(replay(&trace, &facts).is_ok());
    trace.call.objects[1].shorten(bytes - 1);
    assert_eq!(replay(&trace, &facts).unwrap_err(), NotReplayable::Shortened);
}

#[test]
fn a_decision_is_the_same_where_the_same_thing_decided_it() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    let allowed = registers(&facts, ANA, HUB, "d1").trace;
    let rule = json!({ "if": { "field": "name", "equals": "d1" }, "then": { "effect": "deny" } });
    let refusing = |name: &str| {
        let mut facts = facts.clone();
        policy(&mut facts, name, &rule, HUB);
        registers(&facts, ANA, HUB, "d1").trace
    };
    let refused = refusing("one");
    assert!(is_same_decision(&refused, &refusing("one")));
    assert!(is_same_decision(&allowed, &registers(&facts, ANA, HUB, "d1").trace));
    // The same gate, status and code, by another policy.
    assert!(!is_same_decision(&refused, &refusing("two")));
    assert!(!is_same_decision(&refused, &allowed) && !is_same_decision(&allowed, &refused));
    // By another gate.
    let missing = registers(&facts, ANA, HUB10, "d1").trace;
    assert!(!is_same_decision(&missing, &refused) && !is_same_decision(&missing, &allowed));
    let mut otherwise = refused.clone();
    otherwise.outcome.code = "Other".into();
    assert!(!is_same_decision(&refused, &otherwise));
}

#[test]
fn a_permit_brings_a_trace_where_facts_change_or_a_policy_wants_it_and_else_none() {
    let mut facts = facts();
    facts.epoch = 7;
    assign(&mut facts, ANA, OWNER, "/subscriptions/s1");
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, "/subscriptions/s1");
    let rule =
        json!({ "if": { "field": "name", "equals": "noted" }, "then": { "effect": "audit" } });
    policy(&mut facts, "audit", &rule, HUB);
    let check = |op: Op, name: &str, expected: bool| {
        let (here, head, caller) = (scope(HUB), head("PUT /x"), caller(ANA));
        let objects = [device(HUB, name)];
        let ask = Ask { objects: &objects, ..Ask::new(operation(op), &here, &caller, &head) };
        let permit = admit(&somebody(&facts), &ask, &facts, &|| 0).unwrap();
        assert_eq!(permit.trace().is_some(), expected, "{op:?} {name}");
        assert_eq!((permit.epoch(), permit.operation().op, permit.scope().as_str()), (7, op, HUB));
    };
    check(Op::PutDevice, "d1", false);
    check(Op::PutDevice, "noted", true);
    check(Op::GetDevice, "d1", false);
    check(Op::PutRoleAssignment, "d1", true);
}

#[test]
fn a_trace_lists_a_hundred_things_of_a_gate_and_what_decides() {
    let mut facts = facts();
    for number in 0..120 {
        assign(&mut facts, ANA, DATA_READER, &format!("{HUB10}/x/{number}"));
    }
    let listed = |facts: &gate::Facts| {
        let judged = registers(facts, ANA, HUB, "d1");
        judged.trace.steps[2].findings.iter().map(|it| it.result).collect::<Vec<_>>()
    };
    assert_eq!(listed(&facts).len(), 100);
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, HUB);
    let all = listed(&facts);
    assert_eq!((all.len(), all.last()), (101, Some(&FindingResult::Allow)));
}

#[test]
fn a_service_that_is_gone_refuses_what_is_left_of_a_call() {
    let mut facts = facts();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, "/subscriptions/s1");
    assign(&mut facts, ANA, OWNER, "/subscriptions/s1");
    assert!(registers(&facts, ANA, HUB, "d1").denial.is_none());
    facts.remove_hub(&scope(&HUB.to_uppercase()));
    let denial = registers(&facts, ANA, HUB, "d1").denial.unwrap();
    assert_eq!(denial.kind, model::error::DenialKind::HubGone);
    // Management looks for the hub itself, and says what it finds.
    assert!(does(&facts, ANA, Op::GetHub, HUB, &[]).denial.is_none());
}
