//! Network rules as the last gate has them: on every plane of their hub, on no other, and told.

use super::world::*;
use gate::network::{IpAction, NetworkRules, RuleSet};
use gate::{Ask, Facts};
use model::error::DenialKind;
use model::operations::operation;
use model::trace::{Channel, FindingKind, FindingResult, TraceHead};
use model::{Gate, Op};

fn closed() -> NetworkRules {
    let rules = RuleSet {
        place: "networkRuleSets.ipRules",
        rules: Vec::new(),
        otherwise: IpAction::Reject,
        guards_events: false,
    };
    NetworkRules { sets: vec![rules], ..NetworkRules::default() }
}

fn world() -> Facts {
    let mut facts = facts().with_network_rules(&scope(HUB), closed()).unwrap();
    assign(&mut facts, ANA, DATA_CONTRIBUTOR, "/subscriptions/s1");
    assign(&mut facts, ANA, OWNER, "/subscriptions/s1");
    facts
}

fn from(address: &str) -> Channel {
    Channel { protocol: "https".into(), address: address.into(), ..Channel::default() }
}

fn denied(facts: &Facts, op: Op, hub: &str, channel: Channel) -> Option<DenialKind> {
    let (scope, head) = (scope(hub), TraceHead { channel, ..head("GET /devices/d1") });
    let caller = caller(ANA);
    let ask = Ask::new(operation(op), &scope, &caller, &head);
    let judged = judged(&ask, facts);
    assert!(judged.denial.iter().all(|it| it.gate == Gate::Resource), "{judged:?}");
    judged.denial.map(|it| it.kind)
}

#[test]
fn rules_keep_the_addresses_of_their_hub_and_not_its_management() {
    let facts = world();
    assert_eq!(denied(&facts, Op::GetDevice, HUB, from("10.0.0.1")), Some(DenialKind::Network));
    assert_eq!(denied(&facts, Op::GetDevice, HUB10, from("10.0.0.1")), None);
    assert_eq!(denied(&facts, Op::PutHub, HUB, from("10.0.0.1")), None);
    assert_eq!(denied(&facts, Op::ListHubKeys, HUB, from("10.0.0.1")), None);
}

/// An address that nobody can read is nobody's; a question has none.
#[test]
fn a_question_comes_from_nowhere_and_a_registration_from_within() {
    let facts = world();
    assert_eq!(denied(&facts, Op::GetDevice, HUB, from("")), None);
    assert_eq!(denied(&facts, Op::GetDevice, HUB, from("nowhere")), Some(DenialKind::Network));
    let within = Channel { on_behalf_of: Some(Box::new(caller(BOB))), ..from("10.0.0.1") };
    assert_eq!(denied(&facts, Op::ProvisionDevice, HUB, within), None);
}

#[test]
fn a_refusal_tells_the_caller_no_rule_and_its_trace_all() {
    let facts = world();
    let (scope, head) =
        (scope(HUB), TraceHead { channel: from("10.0.0.1"), ..head("GET /devices/d1") });
    let caller = caller(ANA);
    let judged = judged(&Ask::new(operation(Op::GetDevice), &scope, &caller, &head), &facts);
    let denial = judged.denial.unwrap();
    assert!(!denial.message.contains("10.0.0.1"), "{}", denial.message);
    assert_eq!(
        (judged.trace.outcome.status, judged.trace.outcome.code.as_str()),
        (401, "IotHubUnauthorizedAccess")
    );
    let found = judged.trace.deciding().unwrap();
    assert_eq!((found.kind, found.result), (FindingKind::Network, FindingResult::Deny));
    assert!(found.reason.contains("10.0.0.1"), "{found:?}");
    let redacted = judged.trace.clone().redacted();
    assert!(!redacted.step(Gate::Resource).unwrap().reason.contains("networkRuleSets"));
    assert!(!redacted.deciding().unwrap().reason.contains("networkRuleSets"));
}
