//! What clients see of refusals.

use super::*;
use crate::trace::Gate;

fn refused_by_policy() -> Error {
    Error::Denied(Box::new(Denial {
        gate: Gate::Policy,
        kind: DenialKind::Policy {
            assignments: vec!["custom-security-policy-v2".into()],
            object: "Microsoft.Devices/IotHubs/devices".into(),
            verb: Verb::Write,
            lacks: Vec::new(),
        },
        message: "Resource 'd1' was disallowed by policy.".into(),
        violations: vec![json!({ "policyAssignmentName": "custom-security-policy-v2" })],
        target: "d1".into(),
    }))
}

#[test]
fn a_policy_refusal_carries_the_three_facts_on_the_hub() {
    let tracking = TrackingId(uuid::Uuid::nil());
    let body = refused_by_policy().body(Surface::Hub, tracking, Timestamp::from_seconds(0));
    let message = body["Message"].as_str().unwrap();
    assert!(message.starts_with("ErrorCode:DeviceRegistrationDenied;"), "{message}");
    for fact in [
        "HTTP 403: Forbidden",
        "Error: Device registration denied",
        "Policy: custom-security-policy-v2",
    ] {
        assert!(message.contains(fact), "{message}");
    }
    assert_eq!(body["error"]["code"], "RequestDisallowedByPolicy");
    assert_eq!(refused_by_policy().status(Surface::Hub), 403);
}

#[test]
fn a_missing_permission_is_401_on_a_hub_and_403_on_arm() {
    let refusal = Error::Denied(Box::new(Denial {
        gate: Gate::Access,
        kind: DenialKind::NotAuthorized,
        message: "no".into(),
        violations: Vec::new(),
        target: String::new(),
    }));
    assert_eq!((refusal.status(Surface::Hub), refusal.status(Surface::Arm)), (401, 403));
}
