//! Which keys let a device register.

use super::super::enrollment_body::Draft;
use super::*;
use crate::test_env::env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use store::{Expect, ShardId};

/// 16 bytes each.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const OTHER: &str = "BBBBBBBBBBBBBBBBBBBBBA==";
const UID: &str = "d1";

/// A provisioning service that the store knows by `uid`.
pub(in crate::provisioning) fn dps(uid: &str) -> Dps {
    let scope =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/provisioningServices/plant";
    Dps {
        scope: model::Scope::parse(scope).unwrap(),
        uid: uid.into(),
        host: "127.71.3.9".into(),
        id_scope: "0ne00000001".into(),
        location: "westus".into(),
        access: gate::facts::SharedAccess::default(),
        identity: None,
        user_assigned: std::collections::BTreeMap::new(),
        links: Vec::new(),
        authorities: Vec::new(),
        network: gate::network::NetworkRules::default(),
        allocation: gate::facts::Allocation::default(),
    }
}

fn keys(known: &Known) -> &OwnKeys {
    let OwnProof::Keys(keys) = &known.proof else { panic!("{known:?}") };
    keys
}

async fn enroll(env: &Env, kind: Kind, id: &str, key: &str, status: &str) {
    let body = json!({
        "attestation": { "type": "symmetricKey", "symmetricKey": { "primaryKey": key, "secondaryKey": OTHER } },
        "provisioningStatus": status,
    });
    let draft = Draft::read(kind, id, &body).unwrap();
    let source = draft.complete(None, &|| unreachable!(), env.now()).unwrap();
    let change = enrollments::change(&source, Expect::Absent).unwrap();
    env.store.commit(&ShardId::dps(UID).unwrap(), vec![change]).await.unwrap();
}

fn bytes(key: &str) -> Vec<u8> {
    STANDARD.decode(key).unwrap()
}

#[test]
fn a_device_key_is_what_azures_documentation_derives() {
    // The group key and the registration id of "Symmetric key attestation"; the result is what
    // `openssl dgst -sha256 -mac HMAC -macopt hexkey:... -binary | base64` prints.
    let key =
        "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
    let check = |id: &str, expected: &str| {
        assert_eq!(STANDARD.encode(derive(&bytes(key), id)), expected, "{id}");
    };
    let derived = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=";
    check("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6", derived);
    check("SN-007-888-ABC-mac-a1-b2-c3-d4-e5-f6", derived);
    let other: Vec<u8> = (0..64).collect();
    assert_eq!(
        STANDARD.encode(derive(&other, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6")),
        "H49tqPHTlla5LkNA3pLy6NhQsAJ1mlIoQhoIwGmv15I="
    );
}

#[tokio::test]
async fn a_group_key_opens_only_as_what_is_derived_of_it() {
    let env = env();
    enroll(&env, Kind::Group, "b", KEY, "disabled").await;
    enroll(&env, Kind::Group, "a", OTHER, "enabled").await;
    let found = candidates(&env, &dps(UID), "Pump-7", Op::RegisterDevice).await.unwrap();
    let ids: Vec<(&str, bool)> =
        found.iter().map(|it| (it.source.id(), it.proof.is_enabled())).collect();
    assert_eq!(ids, [("a", true), ("b", false)]);
    let keys = keys(&found[1]);
    assert_eq!(keys.name, "pump-7");
    assert_eq!(keys.primary.reveal(), &derive(&bytes(KEY), "pump-7").to_vec());
    assert_eq!(keys.secondary.reveal(), &derive(&bytes(OTHER), "pump-7").to_vec());
    assert!(!format!("{found:?}").contains(KEY));
}

#[tokio::test]
async fn an_individual_enrollment_hides_every_group_also_where_it_is_disabled() {
    let env = env();
    enroll(&env, Kind::Group, "all", OTHER, "enabled").await;
    enroll(&env, Kind::Individual, "Pump-7", KEY, "disabled").await;
    let found = candidates(&env, &dps(UID), "PUMP-7", Op::RegisterDevice).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(matches!(&found[0].source, Source::Individual(it) if it.registration_id == "Pump-7"));
    assert_eq!((found[0].proof.name(), found[0].proof.is_enabled()), ("Pump-7", false));
    assert_eq!(keys(&found[0]).primary.reveal(), &bytes(KEY));
    // Its namesake is in the group.
    let other = candidates(&env, &dps(UID), "pump-70", Op::RegisterDevice).await.unwrap();
    assert!(matches!(&other[0].source, Source::Group(_)));
}

#[tokio::test]
async fn nobody_knows_what_is_not_enrolled_here() {
    let env = env();
    assert!(candidates(&env, &dps(UID), "pump-7", Op::RegisterDevice).await.unwrap().is_empty());
    enroll(&env, Kind::Group, "all", OTHER, "enabled").await;
    for hostile in ["", "a/b", "pump-7.", "é", &"a".repeat(129)] {
        assert!(
            candidates(&env, &dps(UID), hostile, Op::RegisterDevice).await.unwrap().is_empty(),
            "{hostile}"
        );
    }
    assert!(candidates(&env, &dps("d10"), "pump-7", Op::RegisterDevice).await.unwrap().is_empty());
}
