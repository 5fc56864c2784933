//! The last gate holds devices to their security policy: each member at its edge, what is audited, and what is not
//! known.

use super::world::{HUB, NOW, facts, head, judged, scope, somebody};
use gate::{Ask, Facts, admit, is_same_decision, replay};
use model::error::DenialKind;
use model::operations::operation;
use model::principal::AuthType;
use model::security::{
    OperationClass, Secured, SecurityAction, SecurityMember, SecurityPolicy, TlsVersion,
    WrittenNetwork,
};
use model::trace::{Caller, FindingResult, Gate, Trace, TraceHead};
use model::{Op, PrincipalKind, Timestamp};

fn device() -> Caller {
    Caller {
        kind: PrincipalKind::Device,
        name: "device1".into(),
        auth: AuthType::Sas,
        ..Caller::anyone()
    }
}

fn held_to(policy: SecurityPolicy) -> Secured {
    Secured {
        device: Some("device1".into()),
        policy,
        action: SecurityAction::Enforce,
        key_changed: Some(NOW),
        messages_in_minute: None,
        told: Vec::new(),
    }
}

/// A call of the device from 10.1.2.3 over TLS 1.2, a day after it got its key.
fn calling(secured: Secured) -> TraceHead {
    let mut head = head("PUBLISH devices/device1/messages/events/");
    head.time = NOW.plus_seconds(86_400);
    head.channel.address = "10.1.2.3".into();
    head.channel.tls = Some(TlsVersion::V1_2);
    head.channel.security = Some(Box::new(secured));
    head
}

fn decide(op: Op, caller: &Caller, head: &TraceHead) -> gate::Judgement {
    let (at, facts) = (scope(HUB), facts());
    judged(&Ask::new(operation(op), &at, caller, head), &facts)
}

/// Whether the call passes, and that a refusal names this member alone, with what it wants and what there is.
fn check(member: SecurityMember, policy: SecurityPolicy, op: Op, expected: bool) {
    let head = calling(held_to(policy));
    refused(member, op, &device(), &head, expected);
}

fn refused(member: SecurityMember, op: Op, caller: &Caller, head: &TraceHead, expected: bool) {
    let found = decide(op, caller, head);
    assert_eq!(found.denial.is_none(), expected, "{member:?} {op:?}");
    if let Some(denial) = found.denial {
        assert_eq!((denial.gate, denial.kind), (Gate::Resource, DenialKind::SecurityPolicy));
        assert!(denial.message.contains(member.as_str()), "{}", denial.message);
        let findings = &found.trace.step(Gate::Resource).unwrap().findings;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].name, member.as_str());
        assert_eq!(findings[0].result, FindingResult::Deny);
        assert!(findings[0].conditions[0].actual.is_some(), "{findings:?}");
    }
}

#[test]
fn each_member_stands_against_what_breaks_it_and_nothing_else() {
    let auth =
        |it| SecurityPolicy { allowed_authentication: Some(vec![it]), ..SecurityPolicy::default() };
    let member = SecurityMember::AllowedAuthentication;
    check(member, auth(AuthType::Sas), Op::ConnectDevice, true);
    check(member, auth(AuthType::X509), Op::ConnectDevice, false);

    let tls = |it| SecurityPolicy { minimum_tls_version: Some(it), ..SecurityPolicy::default() };
    check(SecurityMember::MinimumTlsVersion, tls(TlsVersion::V1_2), Op::ConnectDevice, true);
    check(SecurityMember::MinimumTlsVersion, tls(TlsVersion::V1_3), Op::ConnectDevice, false);

    let from = |it: &str| SecurityPolicy {
        allowed_networks: Some(vec![WrittenNetwork::parse(it).unwrap()]),
        ..SecurityPolicy::default()
    };
    check(SecurityMember::AllowedNetworks, from("10.1.2.0/24"), Op::GetOwnTwin, true);
    check(SecurityMember::AllowedNetworks, from("10.1.3.0/24"), Op::GetOwnTwin, false);

    let may =
        |it| SecurityPolicy { allowed_operations: Some(vec![it]), ..SecurityPolicy::default() };
    let member = SecurityMember::AllowedOperations;
    let classes = [
        (OperationClass::Telemetry, vec![Op::SendTelemetry]),
        (OperationClass::Twin, vec![Op::GetOwnTwin, Op::ReportProperties, Op::ReceiveDesired]),
        (OperationClass::Methods, vec![Op::ReceiveMethods]),
        (
            OperationClass::Messages,
            vec![Op::ReceiveMessages, Op::CompleteMessage, Op::AbandonMessage],
        ),
    ];
    for (class, ops) in &classes {
        for (other, _) in &classes {
            ops.iter().for_each(|op| check(member, may(*other), *op, class == other));
        }
        check(member, may(*class), Op::ConnectDevice, true);
    }
}

/// Every operation of a device but connecting is of a class: a list of classes leaves none out by accident.
#[test]
fn what_devices_do_at_a_hub_is_of_a_class() {
    let at_hub = model::OPERATIONS.iter().filter(|it| {
        it.plane == model::Plane::Device && it.surface() == model::operations::Surface::Hub
    });
    for row in at_hub {
        let has_class = OperationClass::of(row.op).is_some();
        assert_eq!(has_class, row.op != Op::ConnectDevice, "{:?}", row.op);
    }
}

#[test]
fn a_key_is_taken_to_its_last_second_and_its_age_is_only_judged_where_it_is_known() {
    let member = SecurityMember::MaxKeyAgeDays;
    let policy = SecurityPolicy { max_key_age_days: Some(1), ..SecurityPolicy::default() };
    let at = |changed: Option<Timestamp>| {
        calling(Secured { key_changed: changed, ..held_to(policy.clone()) })
    };
    refused(member, Op::ConnectDevice, &device(), &at(Some(NOW)), true);
    refused(member, Op::ConnectDevice, &device(), &at(Some(NOW.plus_seconds(-1))), false);
    let told = |caller: &Caller, head: &TraceHead| {
        let found = decide(Op::ConnectDevice, caller, head);
        assert!(found.denial.is_none());
        found.trace.step(Gate::Resource).unwrap().findings[0].clone()
    };
    let unknown = told(&device(), &at(None));
    assert_eq!(unknown.result, FindingResult::NoMatch);
    assert!(unknown.reason.contains("not known"), "{}", unknown.reason);
    // A key of the hub's is not the device's.
    let rights = vec![model::operations::Right::DeviceConnect];
    let by_hub = Caller { kind: PrincipalKind::SasKey, rights, ..device() };
    let old = at(Some(NOW.plus_seconds(-86_400)));
    assert!(told(&by_hub, &old).reason.contains("not known"));
}

#[test]
fn messages_count_to_the_last_that_is_allowed() {
    let member = SecurityMember::MaxMessagesPerMinute;
    let policy = SecurityPolicy { max_messages_per_minute: Some(60), ..SecurityPolicy::default() };
    let sent = |it| calling(Secured { messages_in_minute: it, ..held_to(policy.clone()) });
    refused(member, Op::SendTelemetry, &device(), &sent(Some(60)), true);
    refused(member, Op::SendTelemetry, &device(), &sent(Some(61)), false);
    refused(member, Op::GetOwnTwin, &device(), &sent(Some(61)), true);
    refused(member, Op::ConnectDevice, &device(), &sent(None), true);
}

/// What cannot be told is not taken for fine.
#[test]
fn an_unknown_address_or_version_breaks_a_limit() {
    let mut head = calling(held_to(SecurityPolicy {
        minimum_tls_version: Some(TlsVersion::V1_2),
        allowed_networks: Some(vec![WrittenNetwork::parse("0.0.0.0/0").unwrap()]),
        ..SecurityPolicy::default()
    }));
    assert!(decide(Op::ConnectDevice, &device(), &head).denial.is_none());
    head.channel.tls = None;
    assert!(decide(Op::ConnectDevice, &device(), &head).denial.is_some());
    head.channel.tls = Some(TlsVersion::V1_3);
    head.channel.address = String::new();
    assert!(decide(Op::ConnectDevice, &device(), &head).denial.is_some());
}

fn kept(facts: &Facts, head: &TraceHead) -> Option<Trace> {
    let (at, caller) = (scope(HUB), device());
    let ask = Ask::new(operation(Op::SendTelemetry), &at, &caller, head);
    admit(&somebody(facts), &ask, facts, &|| 0).unwrap().trace().cloned()
}

/// What is audited passes, is on record until it was told, and is judged again from its trace.
#[test]
fn what_is_audited_is_on_record_once() {
    let facts = facts();
    let policy = SecurityPolicy {
        minimum_tls_version: Some(TlsVersion::V1_3),
        allowed_operations: Some(vec![OperationClass::Twin]),
        ..SecurityPolicy::default()
    };
    let audited = Secured { action: SecurityAction::Audit, ..held_to(policy) };
    let mut head = calling(audited.clone());
    let trace = kept(&facts, &head).unwrap();
    let found = trace.step(Gate::Resource).unwrap().findings.iter().map(|it| it.result);
    assert_eq!(found.collect::<Vec<_>>(), [FindingResult::Audit; 2]);
    let text = serde_json::to_string(&trace).unwrap();
    let read: Trace = serde_json::from_str(&text).unwrap();
    assert!(is_same_decision(&read, &replay(&read, &facts).unwrap().trace));

    let secured = head.channel.security.as_mut().unwrap();
    secured.remember(&trace);
    assert_eq!(
        secured.told,
        [SecurityMember::MinimumTlsVersion, SecurityMember::AllowedOperations]
    );
    assert!(kept(&facts, &head).is_none());
    // Looked up anew it stays so; another policy is another matter.
    let former = head.channel.security.clone();
    assert_eq!(audited.clone().after(former.as_deref()).told.len(), 2);
    let other = SecurityPolicy { max_key_age_days: Some(9), ..audited.policy.clone() };
    let other = Secured { policy: other, ..audited };
    assert_eq!(other.after(former.as_deref()).told.len(), 0);
    // And who is held to nothing is not on record at all.
    assert!(kept(&facts, &calling(held_to(SecurityPolicy::default()))).is_none());
}
