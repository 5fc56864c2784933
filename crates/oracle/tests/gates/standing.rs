//! How somebody stands to an operation: can, or could but for what stands against it, and through what.

use super::bridge::{Question, caller, facts};
use super::differential::number;
use gate::standing::{Standing, Survey};
use oracle::generate::{self, Names};
use oracle::request::Who;
use oracle::{Gate, Random, Request, World, decide};
use std::collections::BTreeSet;

const WORLDS: u64 = 1_000;
const REQUESTS: usize = 60;

/// The world with nothing in it that stands against a role.
fn bare(world: &World) -> World {
    let mut bare = world.clone();
    bare.policy_assignments.clear();
    bare.deny_assignments.clear();
    bare.locks.clear();
    bare
}

fn a_role_lets(world: &World, request: &Request) -> bool {
    matches!(decide(world, request).gate, None | Some(Gate::Resource))
}

fn id(it: &oracle::world::RoleAssignment) -> String {
    let scope = it.scope.trim_end_matches('/');
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", it.name)
}

/// S2-61: who can, who could, and through which assignments, as the documentation has it: without all of those that are
/// told nobody could, and each alone is enough.
#[test]
fn who_can_and_through_what_is_as_documented() {
    let seed = number("HUBWARD_ORACLE_SEED", 1);
    println!("seed {seed}");
    let names = Names::usual();
    let mut counts = [0_u32; 4];
    for number in 0..WORLDS {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let world = generate::world(&mut random, &names);
        let (known, bare) = (facts(&world), bare(&world));
        let survey = Survey::new(&known);
        for _ in 0..REQUESTS {
            let request = generate::request(&mut random, &names);
            let question = Question::new(&request);
            let (Who::Principal { .. }, Ok((caller, _))) =
                (&request.who, caller(&request, &question, &known))
            else {
                continue;
            };
            let found = survey.standing(&question.ask(&caller));
            let is_allowed = decide(&world, &request).gate.is_none();
            let told = || format!("{found:?}\n{request:?}\n{world:?}");
            let through = match &found {
                Standing::Can { through } => {
                    counts[0] += 1;
                    assert!(is_allowed, "{}", told());
                    through
                }
                Standing::Stopped { through, against, .. } => {
                    counts[1] += 1;
                    assert!(!is_allowed && !against.is_empty(), "{}", told());
                    through
                }
                Standing::Cannot => {
                    counts[2] += 1;
                    assert!(!is_allowed && !a_role_lets(&bare, &request), "{}", told());
                    continue;
                }
            };
            assert!(a_role_lets(&bare, &request), "{}", told());
            if request.operation.actions.len() != 1 || !request.linked.is_empty() {
                continue;
            }
            counts[3] += 1;
            let ids: BTreeSet<&str> = through.iter().map(|it| it.id.as_str()).collect();
            let mut without = bare.clone();
            without.role_assignments.retain(|it| !ids.contains(id(it).as_str()));
            assert!(!a_role_lets(&without, &request), "{}", told());
            for one in ids {
                let mut alone = bare.clone();
                alone.role_assignments.retain(|it| id(it) == one);
                assert!(a_role_lets(&alone, &request), "{one}\n{}", told());
            }
        }
    }
    assert!(counts.iter().all(|it| *it > 500), "every answer is drawn: {counts:?}");
}
