//! Whom policies hit: what is told to be refused is refused, and who is refused a device is told.

use super::bridge::{facts, id};
use super::differential::number;
use gate::lint::hits;
use model::{Scope, Timestamp};
use oracle::generate::{self, Names};
use oracle::request::{Object, Token, Who};
use oracle::{Gate, OPERATIONS, Operation, Plane, Random, Request, World, decide};
use serde_json::json;
use std::collections::BTreeSet;

const WORLDS: u64 = 300;
const NOW_MS: i64 = 1_800_000_000_000;

fn asks(operation: &'static Operation, scope: &str, object: Object, who: &str) -> Request {
    let token = Token {
        is_of_this_tenant: true,
        audience: match operation.plane {
            Plane::Data | Plane::Device => "https://iothubs.azure.net".into(),
            Plane::Control | Plane::Directory => "https://management.azure.com/".into(),
        },
        issued_ms: NOW_MS,
        not_before_ms: None,
        expires_ms: Some(NOW_MS + 3_600_000),
    };
    Request {
        operation,
        scope: scope.to_owned(),
        objects: vec![object],
        linked: Vec::new(),
        who: Who::Principal { id: who.to_owned(), token },
        now_ms: NOW_MS,
        view: None,
    }
}

fn without_policies(world: &World) -> World {
    World { policy_assignments: Vec::new(), ..world.clone() }
}

/// S0-44: nobody is told to be hit who is not, and nobody who is refused a device is left out.
#[test]
fn who_is_hit_is_as_documented() {
    let seed = number("HUBWARD_ORACLE_SEED", 1);
    println!("seed {seed}");
    let names = Names::usual();
    let put = OPERATIONS
        .iter()
        .find(|it| it.writes == Some("Microsoft.Devices/IotHubs/devices") && it.actions.len() == 1)
        .unwrap();
    let (mut told, mut refused) = (0, 0);
    for number in 0..WORLDS {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let world = generate::world(&mut random, &names);
        let facts = facts(&world);
        let all = hits(&facts, &Scope::root(), Timestamp::from_millis(NOW_MS), &|_, _| true);
        let mut known: BTreeSet<(String, model::ObjectId)> = BTreeSet::new();
        for hit in &all {
            for it in &hit.refuses {
                let who = it.caller.object_id.unwrap();
                known.insert((hit.assignment_name.clone(), who));
                let call = &it.trace.call;
                let Some(operation) = OPERATIONS.iter().find(|it| it.name == call.operation) else {
                    continue;
                };
                if operation.writes.is_none() {
                    continue;
                }
                told += 1;
                let made = &call.objects[0];
                let object = Object {
                    kind: made.kind.clone(),
                    name: made.name.clone(),
                    id: made.id.clone(),
                    body: made.body.clone(),
                };
                let answer =
                    decide(&world, &asks(operation, &call.scope, object, &who.to_string()));
                assert_eq!(answer.gate, Some(Gate::Policy), "{:?} {call:?} {answer:?}", hit.source);
                assert!(
                    answer.denied_by.contains(&hit.assignment_name),
                    "{:?} {call:?} {answer:?}",
                    hit.source
                );
            }
        }
        for hub in &world.hubs {
            for principal in &world.principals {
                let object = Object {
                    kind: "Microsoft.Devices/IotHubs/devices".into(),
                    name: "any-name".into(),
                    id: format!("{}/devices/any-name", hub.scope),
                    body: json!({ "deviceId": "any-name", "status": "enabled",
                        "authentication": { "type": "sas" }, "capabilities": { "iotEdge": false } }),
                };
                let request = asks(put, &hub.scope, object, &principal.id);
                let answer = decide(&world, &request);
                if decide(&without_policies(&world), &request).gate == Some(Gate::Access) {
                    continue;
                }
                for name in answer.denied_by {
                    let assignment =
                        world.policy_assignments.iter().find(|it| it.name == name).unwrap();
                    let mut definitions = world.definitions.iter();
                    // One that is gone denies by no rule.
                    if !definitions.any(|it| it.name.eq_ignore_ascii_case(&assignment.definition)) {
                        continue;
                    }
                    refused += 1;
                    let who = id(&principal.id);
                    assert!(known.contains(&(name.clone(), who)), "{name} {who}");
                }
            }
        }
    }
    assert!(told > 100 && refused > 100, "the worlds have such: {told}, {refused}");
}
