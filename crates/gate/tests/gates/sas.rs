//! Shared access signatures at a hub's service API.

use super::world::*;
use gate::facts::{OwnKeys, OwnProof, SharedAccess};
use gate::{Ask, Door, Facts, Refusal, authenticate};
use model::error::{AuthFault, DenialKind};
use model::operations::operation;
use model::{Credential, Op, PrincipalKind, SasToken, Secret, Timestamp, Verdict};
use ring::hmac;

fn token(resource: &str, key: &[u8], expiry: Timestamp, name: Option<&str>) -> SasToken {
    let expiry_text = expiry.seconds().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, format!("{resource}\n{expiry_text}").as_bytes());
    SasToken {
        resource_text: resource.into(),
        resource: resource.into(),
        signature: Secret::new(signature.as_ref().to_vec()),
        expiry_text,
        expiry,
        key_name: name.map(str::to_owned),
    }
}

fn shows(facts: &Facts, token: SasToken, path: &str) -> Result<gate::Authenticated, Box<Refusal>> {
    let (scope, head) = (scope(HUB), head("GET /devices/d1"));
    let hub = facts.hub(&scope).unwrap();
    let resource = format!("{}{path}", hub.host);
    let door = Door {
        access: Some(&hub.access),
        resource: &resource,
        ..Door::new(operation(Op::GetDevice), &scope, &head)
    };
    authenticate(&Credential::Sas(token), &door, facts)
}

fn fault(facts: &Facts, token: SasToken) -> (AuthFault, String) {
    let refusal = shows(facts, token, "/devices/device10").unwrap_err();
    let DenialKind::Unauthenticated(fault) = refusal.denial.kind else {
        panic!("{:?}", refusal.denial)
    };
    (fault, refusal.denial.message)
}

const LATER: Timestamp = Timestamp::from_seconds(1_800_003_600);
const OWNER_KEY: [u8; 32] = [1; 32];

#[test]
fn either_key_of_a_policy_opens_the_hub() {
    let facts = facts();
    for key in [[1_u8; 32], [101; 32]] {
        let who = shows(&facts, token(HUB_HOST, &key, LATER, Some("iothubowner")), "/devices/d1")
            .unwrap();
        assert_eq!(who.caller().name, "iothubowner");
        assert_eq!(who.caller().object_id, None);
    }
}

#[test]
fn every_wrong_signature_gets_the_same_answer() {
    let facts = facts();
    let right = token(HUB_HOST, &OWNER_KEY, LATER, Some("iothubowner"));
    let mut truncated = right.clone();
    truncated.signature = Secret::new(right.signature.reveal()[..31].to_vec());
    let mut empty = right.clone();
    empty.signature = Secret::new(Vec::new());
    let mut flipped = right.clone();
    let mut bytes = right.signature.reveal().clone();
    bytes[31] ^= 1;
    flipped.signature = Secret::new(bytes);
    let unknown = token(HUB_HOST, &OWNER_KEY, LATER, Some("nobody"));
    let device_key = token(HUB_HOST, &OWNER_KEY, LATER, None);
    let answers: Vec<_> = [truncated, empty, flipped, unknown, device_key]
        .into_iter()
        .map(|it| fault(&facts, it))
        .collect();
    assert!(
        answers.iter().all(|it| it.0 == AuthFault::Invalid && it.1 == answers[0].1),
        "{answers:?}"
    );
}

#[test]
fn a_regenerated_key_opens_nothing_from_that_moment_on() {
    let mut facts = facts();
    let old = token(HUB_HOST, &[101; 32], LATER, Some("iothubowner"));
    assert!(shows(&facts, old.clone(), "/devices/d1").is_ok());
    let mut hub = (**facts.hub(&scope(HUB)).unwrap()).clone();
    hub.access.policies[0].secondary = Secret::new(vec![55; 32]);
    facts.put_hub(hub);
    assert_eq!(fault(&facts, old).0, AuthFault::Invalid);
}

#[test]
fn a_signature_opens_what_it_names_and_nothing_beside_it() {
    let facts = facts();
    let signed = |resource: &str| token(resource, &OWNER_KEY, LATER, Some("iothubowner"));
    assert!(shows(&facts, signed("127.70.1.2/devices/device10"), "/devices/device10").is_ok());
    assert_eq!(fault(&facts, signed("127.70.1.2/devices/device1")).0, AuthFault::Invalid);
    assert_eq!(fault(&facts, signed("127.70.1.20")).0, AuthFault::Invalid);
    assert_eq!(fault(&facts, signed("127.70.1.2/devices/device10/modules")).0, AuthFault::Invalid);
}

#[test]
fn an_expired_signature_says_so_and_a_forged_one_does_not() {
    let facts = facts();
    let (found, reason) =
        fault(&facts, token(HUB_HOST, &OWNER_KEY, NOW.plus_seconds(-1), Some("iothubowner")));
    assert_eq!(found, AuthFault::Expired);
    assert!(reason.contains("expired 1 s ago"), "{reason}");
    assert!(
        shows(&facts, token(HUB_HOST, &OWNER_KEY, NOW, Some("iothubowner")), "/devices/d1").is_ok()
    );
    assert_eq!(
        fault(&facts, token(HUB_HOST, &[9; 32], NOW.plus_seconds(-1), Some("iothubowner"))).0,
        AuthFault::Invalid
    );
}

#[test]
fn switched_off_local_authentication_refuses_a_right_key() {
    let mut facts = facts();
    let mut hub = (**facts.hub(&scope(HUB)).unwrap()).clone();
    hub.access.is_disabled = true;
    facts.put_hub(hub);
    assert_eq!(
        fault(&facts, token(HUB_HOST, &OWNER_KEY, LATER, Some("iothubowner"))).0,
        AuthFault::LocalAuthDisabled
    );
}

#[test]
fn a_policys_rights_cover_what_they_name_and_writing_covers_reading() {
    let facts = facts();
    let check = |name: &str, seed: u8, op: Op, expected: bool| {
        let who =
            shows(&facts, token(HUB_HOST, &[seed; 32], LATER, Some(name)), "/devices/d1").unwrap();
        let (scope, head) = (scope(HUB), head("PUT /devices/d1"));
        let objects = [device(HUB, "d1")];
        let ask = Ask { objects: &objects, ..Ask::new(operation(op), &scope, who.caller(), &head) };
        let judged = judged(&ask, &facts);
        assert_eq!(judged.denial.is_none(), expected, "{name} {op:?}");
        if !expected {
            let access = &judged.trace.steps[2];
            assert_eq!(access.verdict, Verdict::Deny);
            assert!(access.reason.contains("Registry"), "{}", access.reason);
        }
    };
    check("iothubowner", 1, Op::PutDevice, true);
    check("registryRead", 2, Op::GetDevice, true);
    check("registryRead", 2, Op::PutDevice, false);
    check("device", 3, Op::GetDevice, false);
}

/// Both keys may be one: who sets keys is not asked to make them differ.
#[test]
fn a_policy_whose_two_keys_are_one_opens_the_hub() {
    let mut facts = facts();
    let mut hub = (**facts.hub(&scope(HUB)).unwrap()).clone();
    hub.access.policies[0].secondary = Secret::new(OWNER_KEY.to_vec());
    facts.put_hub(hub);
    let token = token(HUB_HOST, &OWNER_KEY, LATER, Some("IotHubOwner"));
    assert!(shows(&facts, token, "/devices/d1").is_ok());
}

fn own(name: &str, seed: u8) -> OwnKeys {
    OwnKeys {
        name: name.into(),
        via: None,
        primary: Secret::new(vec![seed; 32]),
        secondary: Secret::new(vec![seed + 100; 32]),
        is_enabled: true,
    }
}

/// What a device's own door says.
fn knocks(
    access: &SharedAccess,
    own: &[OwnKeys],
    token: SasToken,
) -> Result<gate::Authenticated, (AuthFault, String)> {
    let (scope, head) = (scope(HUB), head("PUT /x"));
    let own: Vec<OwnProof> = own.iter().cloned().map(OwnProof::Keys).collect();
    let door = Door {
        access: Some(access),
        own: &own,
        resource: "127.70.1.2/devices/d1",
        ..Door::new(operation(Op::RegisterDevice), &scope, &head)
    };
    authenticate(&Credential::Sas(token), &door, &facts()).map_err(|it| {
        let DenialKind::Unauthenticated(fault) = it.denial.kind else { panic!("{:?}", it.denial) };
        (fault, it.denial.message)
    })
}

#[test]
fn a_device_proves_itself_with_either_of_its_own_keys() {
    let access = SharedAccess::default();
    let keys = [own("d1", 1), own("d1", 2)];
    let shown = |seed: u8, resource: &str, expiry: Timestamp| {
        let found = knocks(&access, &keys, token(resource, &[seed; 32], expiry, None));
        found.map(|it| it.caller().clone()).map_err(|it| it.0)
    };
    for seed in [1, 101, 2, 102] {
        let caller = shown(seed, "127.70.1.2/devices/d1", LATER).unwrap();
        assert_eq!((caller.kind, caller.name.as_str()), (PrincipalKind::Device, "d1"));
        assert_eq!(caller.object_id, None);
        assert!(caller.rights.is_empty());
    }
    assert_eq!(shown(3, "127.70.1.2/devices/d1", LATER), Err(AuthFault::Invalid));
    assert_eq!(shown(1, "127.70.1.2/devices/d10", LATER), Err(AuthFault::Invalid));
    assert_eq!(shown(1, "127.70.1.2/devices/D1", LATER), Err(AuthFault::Invalid));
    assert!(shown(1, "127.70.1.2/devices/d1", NOW).is_ok());
    let ended = shown(1, "127.70.1.2/devices/d1", NOW.plus_seconds(-1));
    assert_eq!(ended, Err(AuthFault::Expired));
}

#[test]
fn a_device_that_is_disabled_or_unknown_or_whose_keys_are_switched_off_is_refused() {
    let right = || token("127.70.1.2/devices/d1", &[1; 32], LATER, None);
    let access = SharedAccess::default();
    let disabled = OwnKeys { is_enabled: false, ..own("d1", 1) };
    let (fault, message) = knocks(&access, &[disabled], right()).unwrap_err();
    assert_eq!(fault, AuthFault::Invalid);
    assert!(message.ends_with("is disabled"), "{message}");
    // A wrong key does not learn that the device is there.
    let unknown = knocks(&access, &[], right()).unwrap_err();
    assert_eq!(knocks(&access, &[own("d1", 9)], right()).unwrap_err(), unknown);
    let no_key = token("127.70.1.2/devices/d1", &[0; 32], LATER, None);
    assert_eq!(knocks(&access, &[], no_key).unwrap_err(), unknown);
    let off = SharedAccess { is_disabled_for_devices: true, ..SharedAccess::default() };
    assert_eq!(knocks(&off, &[own("d1", 1)], right()).unwrap_err().0, AuthFault::LocalAuthDisabled);
    let off = SharedAccess { is_disabled: true, ..SharedAccess::default() };
    assert!(knocks(&off, &[own("d1", 1)], right()).is_ok(), "that is for policies alone");
}

/// A key of a policy with DeviceConnect acts for the devices that its signature covers, at hubs alone.
#[test]
fn a_policys_key_acts_for_a_device_that_it_covers() {
    let facts = facts();
    let knocks = |op: Op, own: &[OwnKeys], resource: &str, seed: u8, name: &str| {
        let (scope, head) = (scope(HUB), head("POST /devices/d1/messages/events"));
        let hub = facts.hub(&scope).unwrap();
        let own: Vec<OwnProof> = own.iter().cloned().map(OwnProof::Keys).collect();
        let door = Door {
            access: Some(&hub.access),
            own: &own,
            resource: "127.70.1.2/devices/d1/messages/events",
            ..Door::new(operation(op), &scope, &head)
        };
        let token = token(resource, &[seed; 32], LATER, Some(name));
        let who = authenticate(&Credential::Sas(token), &door, &facts);
        let who = who.map_err(|it| it.denial.message)?;
        let ask = Ask::new(operation(op), &scope, who.caller(), &head);
        match judged(&ask, &facts).denial {
            None => Ok((who.caller().kind, who.caller().name.clone())),
            Some(denial) => Err(denial.message),
        }
    };
    let sends = |own: &[OwnKeys], resource: &str, seed: u8, name: &str| {
        knocks(Op::SendTelemetry, own, resource, seed, name)
    };
    let d1 = [own("d1", 9)];
    let policy = |name: &str| Ok((PrincipalKind::SasKey, name.to_owned()));
    assert_eq!(sends(&d1, "127.70.1.2/devices/d1", 3, "device"), policy("device"));
    assert_eq!(sends(&d1, HUB_HOST, 1, "iothubowner"), policy("iothubowner"));
    let lacks = sends(&d1, HUB_HOST, 2, "registryRead").unwrap_err();
    assert!(lacks.contains("lacks DeviceConnect"), "{lacks}");
    // Another device's signature, a device that nobody knows, one that is disabled, and a key of its own under
    // the name of a policy.
    assert!(sends(&d1, "127.70.1.2/devices/d10", 3, "device").unwrap_err().contains("(`sr`)"));
    let unknown = sends(&[], "127.70.1.2/devices/d1", 3, "device").unwrap_err();
    assert!(unknown.contains("does not contain the device"), "{unknown}");
    let disabled = [OwnKeys { is_enabled: false, ..own("d1", 9) }];
    assert!(sends(&disabled, HUB_HOST, 3, "device").unwrap_err().contains("disabled"));
    assert!(sends(&d1, "127.70.1.2/devices/d1", 9, "device").unwrap_err().contains("fits no"));
    // Devices of a provisioning service name one, too, and mean nothing by it.
    let registers = knocks(Op::RegisterDevice, &d1, "127.70.1.2/devices/d1", 9, "registration");
    assert_eq!(registers, Ok((PrincipalKind::Device, "d1".to_owned())));
}

#[test]
fn keys_of_modules_and_of_devices_are_switched_off_apart() {
    let knocks = |access: &SharedAccess, name: &str, resource: &str| {
        let (scope, head) = (scope(HUB), head("POST /x"));
        let door = Door {
            access: Some(access),
            own: &[OwnProof::Keys(own(name, 1))],
            resource,
            ..Door::new(operation(Op::SendTelemetry), &scope, &head)
        };
        let token = token(resource, &[1; 32], LATER, None);
        authenticate(&Credential::Sas(token), &door, &facts()).is_ok()
    };
    let device = |access: &SharedAccess| knocks(access, "d1", "127.70.1.2/devices/d1");
    let module = |access: &SharedAccess| {
        knocks(access, "d1/m1", "127.70.1.2/devices/d1/modules/m1/messages/events")
    };
    let no_devices = SharedAccess { is_disabled_for_devices: true, ..SharedAccess::default() };
    let no_modules = SharedAccess { is_disabled_for_modules: true, ..SharedAccess::default() };
    assert_eq!((device(&no_devices), module(&no_devices)), (false, true));
    assert_eq!((device(&no_modules), module(&no_modules)), (true, false));
}

#[test]
fn a_key_of_a_policy_that_is_missing_or_shown_elsewhere_opens_nothing() {
    let facts = facts();
    let zero = token(HUB_HOST, &[0; 32], LATER, Some("nobody"));
    assert_eq!(fault(&facts, zero).0, AuthFault::Invalid);
    let (here, head) = (scope(HUB), head("GET /subscriptions"));
    let check = |op: Op| {
        let right = token(HUB_HOST, &OWNER_KEY, LATER, Some("iothubowner"));
        let door = Door { resource: HUB_HOST, ..Door::new(operation(op), &here, &head) };
        let refusal = authenticate(&Credential::Sas(right), &door, &facts).unwrap_err();
        assert!(matches!(refusal.denial.kind, DenialKind::Unauthenticated(AuthFault::Invalid)));
    };
    check(Op::GetDevice);
    check(Op::ListSubscriptions);
    check(Op::ListUsers);
}
