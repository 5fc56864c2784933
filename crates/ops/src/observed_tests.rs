use super::*;
use crate::test_env;
use gate::facts::Principal;
use model::operations::operation;
use model::principal::AuthType;
use model::trace::{Caller, Channel, Object, TraceHead, Verb};
use model::{ObjectId, Op, TrackingId};
use serde_json::json;

const HUB: &str = "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1";

fn principal(number: u128) -> Caller {
    Caller {
        kind: PrincipalKind::ServicePrincipal,
        object_id: Some(ObjectId(uuid::Uuid::from_u128(number))),
        name: format!("p{number}"),
        auth: AuthType::Entra,
        ..Caller::anyone()
    }
}

fn device(name: &str) -> Caller {
    Caller {
        kind: PrincipalKind::Device,
        name: name.into(),
        auth: AuthType::Sas,
        ..Caller::anyone()
    }
}

/// One call of somebody, at a second.
fn call(env: &Env, caller: &Caller, op: Op, scope: &str, object: &str, second: i64) {
    let channel = Channel { address: "127.0.0.1".into(), ..Channel::default() };
    let head =
        TraceHead::new(TrackingId(uuid::Uuid::nil()), Timestamp::from_seconds(second), channel);
    let scope = Scope::parse(scope).unwrap();
    let objects = [Object {
        kind: "Microsoft.Devices/IotHubs/devices".into(),
        name: object.into(),
        id: object.into(),
        body: json!({}),
        verb: Verb::Write,
    }];
    let ask = Ask { objects: &objects, ..Ask::new(operation(op), &scope, caller, &head) };
    env.observed.allowed(&ask, &env.facts.load());
}

fn know(env: &Env, number: u128) {
    let mut facts = Facts::clone(&env.facts.load());
    let Caller { kind, object_id, name, .. } = principal(number);
    let id = object_id.unwrap();
    let resource = None;
    facts.put_principal(Principal {
        id,
        app_id: None,
        kind,
        display_name: name,
        is_enabled: true,
        resource,
    });
    env.facts.swap(facts, 1);
}

async fn uses(env: &Env, scope: &str) -> Vec<Use> {
    let mut found = Vec::new();
    let scope = Scope::parse(scope).unwrap();
    look(env, &scope, &env.facts.load(), &mut |it| found.push(it)).await.unwrap();
    found
}

#[tokio::test]
async fn uses_are_counted_over_writes_and_restarts() {
    let mut env = test_env::env();
    know(&env, 1);
    for second in 0..5 {
        call(&env, &principal(1), Op::PutDevice, HUB, "d1", 1_000_000 + second);
    }
    let first = uses(&env, HUB).await;
    assert_eq!((first.len(), first[0].allowed, first[0].samples.len()), (1, 5, 1), "{first:?}");
    // In whatever case it is written, it is the same hub.
    call(&env, &principal(1), Op::PutDevice, &HUB.to_uppercase(), "d2", 1_000_010);
    env.observed = Observed::default();
    call(&env, &principal(1), Op::PutDevice, HUB, "d3", 1_000_020);
    let found = uses(&env, HUB).await;
    // What was not written when the process ended is lost.
    assert_eq!((found.len(), found[0].allowed, found[0].samples.len()), (1, 6, 2), "{found:?}");
    assert_eq!(found[0].first, Some(Timestamp::from_seconds(1_000_000)));
    assert_eq!(found[0].last, Some(Timestamp::from_seconds(1_000_020)));
    assert_eq!(found[0].clients.len(), 1);
}

#[tokio::test]
async fn a_namesake_is_another_place_and_who_is_gone_is_left_out() {
    let env = test_env::env();
    know(&env, 1);
    call(&env, &principal(1), Op::PutDevice, &format!("{HUB}0"), "d1", 1_000_000);
    call(&env, &principal(2), Op::PutDevice, HUB, "d1", 1_000_000);
    assert_eq!(uses(&env, HUB).await, []);
    assert_eq!(uses(&env, "/subscriptions/s").await.len(), 1);
    know(&env, 2);
    assert_eq!(uses(&env, HUB).await.len(), 1);
}

#[tokio::test]
async fn devices_of_a_hub_are_one_user() {
    let env = test_env::env();
    for number in 0..20 {
        call(&env, &device(&format!("d{number}")), Op::ConnectDevice, HUB, "", 1_000_000);
    }
    let found = uses(&env, HUB).await;
    assert_eq!((found.len(), found[0].allowed, found[0].way), (1, 20, Way::DeviceKey));
}

#[tokio::test]
async fn nobody_takes_more_than_its_share_and_the_oldest_go_first() {
    let env = test_env::env();
    (1..=11).for_each(|it| know(&env, it));
    let most = USES_MAX / SHARE;
    // One past its share: what is not written yet is bounded, too.
    for number in 0..=most {
        call(&env, &principal(1), Op::PutDevice, &format!("{HUB}x{number}"), "d", 1_000_000);
    }
    assert_eq!(uses(&env, "/").await.len(), most);
    call(&env, &principal(1), Op::PutDevice, HUB, "d", 1_000_001);
    let found = uses(&env, "/").await;
    assert_eq!(found.len(), most);
    assert!(found.iter().any(|it| it.scope == HUB), "the newest stays");
    for caller in 2..=11 {
        for number in 0..most {
            let scope = format!("{HUB}x{number}");
            call(
                &env,
                &principal(caller),
                Op::PutDevice,
                &scope,
                "d",
                1_000_000 + i64::try_from(caller).unwrap(),
            );
        }
        keep(&env).await.unwrap();
    }
    let found = uses(&env, "/").await;
    assert!(found.len() <= USES_MAX && found.len() > USES_MAX / 2, "{}", found.len());
    let of = |name: &str| found.iter().filter(|it| it.name == name).count();
    assert_eq!((of("p11"), of("p1")), (most, 0));
}

#[tokio::test]
async fn a_large_object_is_not_kept() {
    let env = test_env::env();
    know(&env, 1);
    let head = TraceHead::new(TrackingId(uuid::Uuid::nil()), env.now(), Channel::default());
    let scope = Scope::parse(HUB).unwrap();
    let large = Object {
        kind: String::new(),
        name: "d".into(),
        id: "d".into(),
        body: json!({ "x": "y".repeat(9_000) }),
        verb: Verb::Write,
    };
    let caller = principal(1);
    let objects = [large];
    let ask =
        Ask { objects: &objects, ..Ask::new(operation(Op::PutDevice), &scope, &caller, &head) };
    env.observed.allowed(&ask, &env.facts.load());
    assert!(uses(&env, HUB).await[0].samples[0].call.objects[0].is_shortened());
}

/// A session counts each operation of its device once, by a bit for each.
#[test]
fn operations_of_devices_have_bits_of_their_own() {
    let rows = model::OPERATIONS.iter().filter(|it| it.plane == Plane::Device);
    let bits: Vec<usize> = rows.map(|it| it.op as usize % 64).collect();
    let different: std::collections::BTreeSet<usize> = bits.iter().copied().collect();
    assert_eq!(different.len(), bits.len());
}
