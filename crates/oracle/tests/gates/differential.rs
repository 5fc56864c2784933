//! A million questions to both.

use super::bridge::{Question, answer, caller, facts, proven};
use super::shrink::shrink;
use gate::Facts;
use oracle::generate::{self, Names};
use oracle::{Answer, Effect, Gate, Random, Request, World, decide};
use std::collections::BTreeMap;
use std::fmt;

const RUNS: u64 = 1_000_000;
const SEED: u64 = 20_261_122;
const REQUESTS_PER_WORLD: u64 = 100;

/// What each way says, and the sentence that tells them apart.
pub fn compare(world: &World, facts: &Facts, request: &Request) -> Result<Answer, String> {
    let expected = decide(world, request);
    let told = Answer { is_on_record: false, ..expected.clone() };
    let question = Question::new(request);
    let (caller, step) = match caller(request, &question, facts) {
        Ok(found) => found,
        Err(refusal) => {
            let got = answer(Some(&refusal.denial), &refusal.trace);
            return same("authentication", expected, &told, &got);
        }
    };
    let ask = question.ask(&caller);
    let judged = gate::judge_timed(step, &ask, facts, &|| 0);
    same("the recorded path", (), &told, &answer(judged.denial.as_ref(), &judged.trace))?;
    // Admission takes the quick path first, and judges again where that says no or a policy is to be told of.
    match gate::admit(proven(), &ask, facts, &|| 0) {
        Err(refusal) => {
            let got = answer(Some(&refusal.denial), &refusal.trace);
            same("the quick path", expected, &told, &got)
        }
        Ok(permit) => {
            same("the quick path", (), &told, &Answer::allowed())?;
            let is_told = request.operation.effect != Effect::Other || expected.is_on_record;
            match permit.trace().is_some() == is_told {
                true => Ok(expected),
                false => Err(format!("a trace should be kept: {is_told}")),
            }
        }
    }
}

fn same<T>(what: &str, value: T, expected: &Answer, got: &Answer) -> Result<T, String> {
    match expected == got {
        true => Ok(value),
        false => Err(format!("{what}\n  documented: {expected:?}\n  gates:      {got:?}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "a long run is asked for from outside")]
pub fn number(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is not a number")),
        Err(_) => usual,
    }
}

#[test]
fn the_gates_decide_as_documented() {
    let (runs, seed) = (number("HUBWARD_ORACLE_RUNS", RUNS), number("HUBWARD_ORACLE_SEED", SEED));
    println!("seed {seed}, {runs} comparisons");
    let mut random = Random::new(seed);
    let mut decided: BTreeMap<Option<Gate>, u64> = BTreeMap::new();
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut on_record = 0;
    let names = Names::usual();
    let (mut done, mut world) = (0, generate::world(&mut random, &names));
    let mut known = facts(&world);
    while done < runs {
        if done % REQUESTS_PER_WORLD == 0 {
            world = generate::world(&mut random, &names);
            known = facts(&world);
        }
        let request = generate::request(&mut random, &names);
        match compare(&world, &known, &request) {
            Ok(answer) => {
                *decided.entry(answer.gate).or_default() += 1;
                *codes.entry(answer.code).or_default() += 1;
                on_record += u64::from(answer.is_on_record);
            }
            Err(_) => panic!("seed {seed}, comparison {done}\n{}", told(world, request)),
        }
        done += 1;
    }
    println!("{decided:#?}\n{codes:#?}\nallowed and on record: {on_record}");
    check_spread(runs, &decided, &codes);
}

/// A generator that hardly reaches a gate would leave it untested in silence.
fn check_spread(runs: u64, decided: &BTreeMap<Option<Gate>, u64>, codes: &BTreeMap<&str, u64>) {
    if runs < 10_000 {
        return;
    }
    let of = |gate| decided.get(&gate).copied().unwrap_or_default();
    let allowed = of(None);
    assert!((runs * 3 / 10..=runs * 7 / 10).contains(&allowed), "{allowed} of {runs} are allowed");
    for gate in [Gate::Authentication, Gate::Policy, Gate::Access, Gate::Resource] {
        let refused = of(Some(gate));
        assert!(refused * 50 >= runs - allowed, "{gate:?} refuses {refused} times alone");
    }
    assert_eq!(codes.len(), 14, "every code of the evaluator is answered: {codes:?}");
}

/// The smallest case that still differs, to read.
fn told(world: World, request: Request) -> String {
    let difference =
        |world: &World, request: &Request| compare(world, &facts(world), request).err();
    let (world, request) =
        shrink(world, request, |world, request| difference(world, request).is_some());
    let difference = difference(&world, &request).unwrap();
    format!("{difference}\n{request:#?}\n{}", readable(&world))
}

/// A world, one thing a line.
fn readable(world: &World) -> String {
    let mut lines = vec![format!("explicit grants: {}", world.has_explicit_grants)];
    lines.extend(shown(&world.management_groups));
    lines.extend(shown(&world.subscriptions));
    lines.extend(shown(&world.hubs));
    lines.extend(shown(&world.principals));
    lines.extend(shown(&world.groups));
    lines.extend(shown(&world.roles));
    lines.extend(shown(&world.role_assignments));
    lines.extend(shown(&world.deny_assignments));
    lines.extend(shown(&world.definitions));
    lines.extend(shown(&world.policy_assignments));
    lines.extend(shown(&world.exemptions));
    lines.extend(shown(&world.locks));
    lines.join("\n")
}

fn shown<T: fmt::Debug>(all: &[T]) -> impl Iterator<Item = String> {
    all.iter().map(|it| format!("{it:?}"))
}
