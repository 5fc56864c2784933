//! A recorded call, judged again in another world: what the plain evaluator says of the same request there.

use super::bridge::{Question, answer, caller, facts};
use super::differential::number;
use oracle::generate::{self, Names};
use oracle::{Random, World, decide};

const RUNS: u64 = 200_000;
const SEED: u64 = 20_261_123;
const REQUESTS_PER_WORLD: u64 = 100;

/// The same world with something of another one, as a change of one kind makes it.
fn changed(before: &World, other: &World, random: &mut Random) -> World {
    let mut world = before.clone();
    match random.one_of(&[0, 1, 2, 3, 4, 5, 6, 7]) {
        0 => world.role_assignments.clone_from(&other.role_assignments),
        1 => drop(world.role_assignments.pop()),
        2 => world.deny_assignments.clone_from(&other.deny_assignments),
        3 => world.policy_assignments.clone_from(&other.policy_assignments),
        4 => drop(world.policy_assignments.pop()),
        5 => world.exemptions.clone_from(&other.exemptions),
        6 => world.hubs.iter_mut().for_each(|it| it.is_local_auth_disabled ^= true),
        _ => world.roles.clone_from(&other.roles),
    }
    world
}

#[test]
fn a_recorded_call_is_judged_anew_as_the_same_request_would_be() {
    let (runs, seed) = (number("HUBWARD_ORACLE_RUNS", RUNS), number("HUBWARD_ORACLE_SEED", SEED));
    let mut random = Random::new(seed);
    let names = Names::usual();
    let mut worlds = None;
    let (mut judged, mut flips) = (0, [0_u64; 2]);
    for run in 0..runs {
        if run % REQUESTS_PER_WORLD == 0 {
            let before = generate::world(&mut random, &names);
            let after = changed(&before, &generate::world(&mut random, &names), &mut random);
            worlds = Some((facts(&before), facts(&after), before, after));
        }
        let (known, then, before, after) = worlds.as_ref().unwrap();
        let mut request = generate::request(&mut random, &names);
        // Changes of roles count at once for what nobody calls.
        request.view = None;
        let question = Question::new(&request);
        let Ok((caller, _)) = caller(&request, &question, known) else { continue };
        let call = question.ask(&caller).recorded();
        let (was, expected) = (decide(before, &request), decide(after, &request));
        for (facts, expected) in [(known, &was), (then, &expected)] {
            let got = gate::rejudge(&call, question.head.time, facts).unwrap();
            let got = answer(got.denial.as_ref(), &got.trace);
            let (got, expected) = (got.gate, expected.gate);
            assert_eq!(got, expected, "seed {seed}, run {run}: {request:#?}");
        }
        judged += 1;
        match (was.gate, expected.gate) {
            (None, Some(_)) => flips[0] += 1,
            (Some(_), None) => flips[1] += 1,
            (_, _) => {}
        }
    }
    assert!(
        runs < RUNS || (judged > runs / 4 && flips.iter().all(|it| it * 50 > judged)),
        "{judged} {flips:?}"
    );
}
