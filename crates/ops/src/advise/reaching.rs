//! Who reaches keys, and how: whoever can list them, set them, or give the role for that to somebody.

use crate::env::Env;
use crate::questions::{caller_as, head};
use crate::standing::{Asker, Question};
use gate::standing::{Standing, Survey};
use gate::{Facts, Permit};
use model::operations::operation;
use model::{Op, Scope};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most services that are looked at, and most places that are named of one way.
const SERVICES_MAX: usize = 200;
const PLACES_MAX: usize = 20;
/// Most principals that an answer names.
const NAMED_MAX: usize = 1_000;
/// Questions after which others get their turn.
const BETWEEN_PAUSES: usize = 200;

/// Everybody who reaches keys of hubs and provisioning services in a place; `true` where not all were looked at.
pub(super) async fn keys(
    permit: &Permit,
    scope: &Scope,
    facts: &Facts,
    env: &Env,
) -> (Vec<Value>, bool) {
    let hubs = facts.hubs.values().map(|it| (&it.scope, &it.access, Op::ListHubKeys, Op::PutHub));
    let services =
        facts.provisioning.values().map(|it| (&it.scope, &it.access, Op::ListDpsKeys, Op::PutDps));
    let mut all: Vec<_> = hubs.chain(services).filter(|it| facts.contains(scope, it.0)).collect();
    let mut is_cut = all.len() > SERVICES_MAX;
    all.truncate(SERVICES_MAX);
    let mut principals: Vec<_> = facts
        .principals
        .values()
        .filter(|it| it.is_enabled && facts.held_by(it.id).next().is_some())
        .collect();
    principals.sort_by(|a, b| (&a.display_name, a.id).cmp(&(&b.display_name, b.id)));
    let head = head("reach keys", env);
    let survey = Survey::new(facts);
    let asker = Asker { permit, env, facts, is_own: false };
    let (mut asked, mut found) = (0, Vec::new());
    for principal in principals {
        let caller = caller_as(principal);
        let mut ways: BTreeMap<&str, (Vec<&str>, usize, Vec<Value>)> = BTreeMap::new();
        for (place, access, lists, writes) in &all {
            // Keys that are switched off open nothing, until somebody writes the service.
            let lists = (!access.is_disabled).then_some(("lists", *lists));
            let others = [("writes", *writes), ("assigns", Op::PutRoleAssignment)];
            for (way, op) in lists.into_iter().chain(others) {
                asked += 1;
                if asked % BETWEEN_PAUSES == 0 {
                    // Others wait for this thread, too.
                    tokio::task::yield_now().await;
                }
                let row = operation(op);
                let question = Question { row, scope: place, objects: &[], head: &head };
                let Standing::Can { through } = question.standing(&caller, &survey) else {
                    continue;
                };
                let through = asker.through(&through).as_array().cloned().unwrap_or_default();
                let (places, count, ways) = ways.entry(way).or_default();
                *count += 1;
                if places.len() < PLACES_MAX {
                    places.push(place.as_str());
                }
                through.into_iter().for_each(|it| {
                    if !ways.contains(&it) {
                        ways.push(it);
                    }
                });
            }
        }
        if ways.is_empty() {
            continue;
        }
        if found.len() >= NAMED_MAX {
            is_cut = true;
            break;
        }
        let ways: Vec<Value> = ways
            .into_iter()
            .map(|(way, (places, count, through))| {
                json!({ "by": way, "at": places, "count": count, "through": through })
            })
            .collect();
        found.push(json!({
            "name": caller.name, "objectId": caller.object_id, "type": caller.kind.as_str(), "ways": ways,
        }));
    }
    (found, is_cut)
}
