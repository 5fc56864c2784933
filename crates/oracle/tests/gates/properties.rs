//! What holds of every world, whatever the documentation says of it.

use super::bridge::{Question, answer, caller, changed, facts};
use super::differential::number;
use gate::Facts;
use model::ActionPattern;
use model::trace::{Recorded, Trace, TraceHead};
use oracle::generate::{self, Names};
use oracle::request::Who;
use oracle::world::{Lock, Permission as Block};
use oracle::{Answer, Random, Request, World};

/// Worlds per property, and questions to each.
const WORLDS: u64 = 300;
const REQUESTS: usize = 40;

fn judge(facts: &Facts, request: &Request) -> (Answer, Option<Trace>) {
    let question = Question::new(request);
    match caller(request, &question, facts) {
        Err(refusal) => (answer(Some(&refusal.denial), &refusal.trace), None),
        Ok((caller, step)) => {
            let judged = gate::judge_timed(step, &question.ask(&caller), facts, &|| 0);
            (answer(judged.denial.as_ref(), &judged.trace), Some(judged.trace))
        }
    }
}

fn is_allowed(facts: &Facts, request: &Request) -> bool {
    judge(facts, request).0.gate.is_none()
}

/// Asks of many worlds; `check` gets each with its questions and numbers of its own to draw.
fn of_every_world(check: impl Fn(World, Vec<Request>, &mut Random)) {
    let seed = number("HUBWARD_ORACLE_SEED", 1);
    println!("seed {seed}");
    let names = Names::usual();
    for number in 0..WORLDS {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let world = generate::world(&mut random, &names);
        let requests = (0..REQUESTS).map(|_| generate::request(&mut random, &names)).collect();
        check(world, requests, &mut random);
    }
}

/// Nobody who was refused is allowed after the change, and nobody the other way round, as is asked.
fn nothing_is_added(before: &World, after: &World, requests: &[Request]) {
    let (first, second) = (facts(before), facts(after));
    for request in requests {
        let was = is_allowed(&first, request);
        assert!(was || !is_allowed(&second, request), "{request:?}\n{before:?}\n{after:?}");
    }
}

#[test]
fn without_role_assignments_no_principal_does_what_needs_an_action() {
    of_every_world(|mut world, requests, _| {
        world.role_assignments.clear();
        let facts = facts(&world);
        for request in requests {
            let is_principal = matches!(request.who, Who::Principal { .. });
            if is_principal && !request.operation.actions.is_empty() {
                assert!(!is_allowed(&facts, &request), "{request:?}\n{world:?}");
            }
        }
    });
}

#[test]
fn a_further_role_assignment_takes_nothing_away() {
    of_every_world(|mut world, requests, random| {
        let more = world.clone();
        // The world without one of its assignments is the one before.
        let at = random.below(world.role_assignments.len());
        world.role_assignments.remove(at);
        nothing_is_added(&more, &world, &requests);
    });
}

#[test]
fn a_further_deny_assignment_gives_nothing() {
    of_every_world(|world, requests, random| {
        let other = generate::world(random, &Names::usual());
        let mut more = world.clone();
        more.deny_assignments.extend(other.deny_assignments.into_iter().map(|mut it| {
            it.name.push_str("-more");
            it
        }));
        nothing_is_added(&world, &more, &requests);
    });
}

#[test]
fn a_further_denying_policy_gives_nothing() {
    of_every_world(|world, requests, random| {
        let other = generate::world(random, &Names::usual());
        let mut more = world.clone();
        let renamed = |name: &str| format!("{name}-more");
        more.definitions.extend(other.definitions.into_iter().map(|mut it| {
            it.name = renamed(&it.name);
            it
        }));
        more.policy_assignments.extend(other.policy_assignments.into_iter().map(|mut it| {
            it.name = renamed(&it.name);
            it.definition = renamed(&it.definition);
            it
        }));
        nothing_is_added(&world, &more, &requests);
    });
}

#[test]
fn a_further_lock_gives_nothing() {
    of_every_world(|world, requests, random| {
        let mut more = world.clone();
        let hub = random.one_of(&world.hubs).scope.clone();
        more.locks.push(Lock { name: "more".into(), scope: hub, is_read_only: true });
        nothing_is_added(&world, &more, &requests);
    });
}

#[test]
fn the_order_in_which_a_world_was_made_does_not_matter() {
    of_every_world(|world, requests, random| {
        let mut other = world.clone();
        random.shuffle(&mut other.management_groups);
        random.shuffle(&mut other.subscriptions);
        random.shuffle(&mut other.hubs);
        random.shuffle(&mut other.principals);
        random.shuffle(&mut other.groups);
        random.shuffle(&mut other.roles);
        random.shuffle(&mut other.role_assignments);
        random.shuffle(&mut other.deny_assignments);
        random.shuffle(&mut other.definitions);
        random.shuffle(&mut other.policy_assignments);
        random.shuffle(&mut other.exemptions);
        random.shuffle(&mut other.locks);
        other.groups.iter_mut().for_each(|it| random.shuffle(&mut it.members));
        for block in other.roles.iter_mut().flat_map(|it| {
            random.shuffle(&mut it.permissions);
            &mut it.permissions
        }) {
            shuffle_block(block);
        }
        let (first, second) = (facts(&world), facts(&other));
        for request in requests {
            let (one, two) = (judge(&first, &request).0, judge(&second, &request).0);
            assert_eq!(one, two, "{request:?}\n{world:?}");
        }
    });
}

#[test]
fn what_a_world_was_before_does_not_matter() {
    of_every_world(|mut world, requests, random| {
        let before = generate::world(random, &Names::usual());
        if random.chance(50) {
            world.groups.remove(0);
        }
        let (first, second) = (facts(&world), changed(&before, &world));
        for request in requests {
            let (one, two) = (judge(&first, &request).0, judge(&second, &request).0);
            assert_eq!(one, two, "{request:?}\n{before:?}\n{world:?}");
        }
    });
}

fn shuffle_block(block: &mut Block) {
    block.actions.reverse();
    block.not_actions.reverse();
    block.data_actions.reverse();
    block.not_data_actions.reverse();
}

#[test]
fn what_things_are_called_does_not_matter() {
    let seed = number("HUBWARD_ORACLE_SEED", 1);
    for number in 0..WORLDS {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number);
        let (mut random, mut same) = (Random::new(seed), Random::new(seed));
        let (usual, other) = (Names::usual(), Names::other());
        let world = generate::world(&mut random, &usual);
        if looks_into_names(&world) {
            continue;
        }
        let (first, second) = (facts(&world), facts(&generate::world(&mut same, &other)));
        for _ in 0..REQUESTS {
            let request = generate::request(&mut random, &usual);
            let renamed = generate::request(&mut same, &other);
            let one = judge(&first, &request).0;
            let mut two = judge(&second, &renamed).0;
            for name in &mut two.denied_by {
                *name = name.trim_start_matches(other.prefix).to_owned();
            }
            assert_eq!(one, two, "seed {seed}\n{request:?}\n{renamed:?}\n{world:?}");
        }
    }
}

/// True where a rule asks for a part of a name, which another name may not have.
fn looks_into_names(world: &World) -> bool {
    world.definitions.iter().flat_map(|it| &it.rules).any(|rule| {
        let text = rule.to_string().to_lowercase();
        text.contains(r#""field":"name""#) && (text.contains("like") || text.contains("contains"))
    })
}

/// What a call reached beside its scope is not recorded: such calls are left out.
#[test]
fn a_decision_replays_from_its_trace() {
    of_every_world(|world, requests, _| {
        let facts = facts(&world);
        for request in requests.into_iter().filter(|it| it.linked.is_empty()) {
            let (_, Some(trace)) = judge(&facts, &request) else { continue };
            let text = serde_json::to_string(&trace).unwrap();
            let kept: Trace = serde_json::from_str(&text).unwrap();
            let again = replayed(&kept, &facts);
            assert_eq!(again.outcome, trace.outcome, "{request:?}\n{world:?}");
            assert_eq!(again.steps[1..], trace.steps[1..], "{request:?}\n{world:?}");
        }
    });
}

fn replayed(trace: &Trace, facts: &Facts) -> Trace {
    let call: &Recorded = &trace.call;
    let head = TraceHead {
        id: trace.id,
        time: trace.time,
        correlation_id: trace.correlation_id.clone(),
        channel: call.channel.clone(),
        replica: call.replica,
    };
    let scope = trace.scope();
    let ask = gate::Ask {
        objects: &call.objects,
        ..gate::Ask::new(
            model::operations::named(&call.operation).unwrap(),
            &scope,
            call.caller.as_ref().unwrap(),
            &head,
        )
    };
    gate::judge_timed(trace.steps[0].clone(), &ask, facts, &|| 0).trace
}

/// The two matchers agree on texts that no action looks like, too.
#[test]
fn both_matchers_say_the_same_of_every_pattern() {
    let mut random = Random::new(number("HUBWARD_ORACLE_SEED", 1));
    let mut text = |letters: &[char], length: usize| -> String {
        (0..random.below(length)).map(|_| *random.one_of(letters)).collect()
    };
    for _ in 0..300_000 {
        let (pattern, action) =
            (text(&['a', 'B', '/', '*', '/', '*'], 9), text(&['a', 'b', '/'], 9));
        let expected = oracle::matches(&pattern, &action);
        let got = ActionPattern::new(&pattern).matches_text(&action);
        assert_eq!(got, expected, "`{pattern}` ~ `{action}`");
    }
}
