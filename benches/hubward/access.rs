//! What a decision costs in those tenants, with no trace to write: each question once, all in turn, one again
//! and again; a change, everything made anew, and what it takes in memory.

use super::tenant::{Question, Random, SIZES, Tenant, around, id, questions, tenant};
use super::{NOW, median, now};
use gate::facts::RoleAssignment;
use gate::{Ask, Facts, judge_quickly};
use std::hint::black_box;
use std::sync::Arc;

/// Passes over the questions. Of each question the quickest counts: what came between was another process.
const PASSES: usize = 7;
/// How often one question is repeated, so that the clock does not count.
const REPEATS: usize = 200;
/// Questions that are repeated.
const REPEATED: usize = 400;
const CHANGES: usize = 500;

/// The times of all single questions, in nanoseconds.
pub struct Times(Vec<f64>);

impl Times {
    /// Asks every question by itself. Each starts from what the others left in the caches.
    pub fn of<T>(asked: &[T], mut ask: impl FnMut(&T) -> bool) -> Self {
        let clock = median((0..1_000).map(|_| now().elapsed().as_secs_f64() * 1e9).collect());
        let mut best = vec![f64::MAX; asked.len()];
        for _ in 0..PASSES {
            for (it, best) in asked.iter().zip(&mut best) {
                let began = now();
                black_box(ask(black_box(it)));
                *best = best.min(began.elapsed().as_secs_f64() * 1e9 - clock);
            }
        }
        best.sort_by(f64::total_cmp);
        Self(best)
    }

    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    pub fn p99(&self) -> f64 {
        self.0[self.0.len() * 99 / 100]
    }
}

/// Measures the tenants of the sizes that are wanted, or all; `beside` is told of each, to measure another
/// evaluator by the same questions.
pub fn decisions(wanted: &[usize], mut beside: impl FnMut(&Tenant, &Facts, &[Question])) {
    for (assignments, roles, policies) in SIZES {
        if !wanted.is_empty() && !wanted.contains(&assignments) {
            continue;
        }
        let tenant = tenant(assignments, roles);
        let empty = around(&tenant, policies);
        let before = resident();
        let facts = with(&empty, &tenant.assignments);
        let bytes = resident().saturating_sub(before);
        let what = format!("access, {assignments} assignments");
        let asked = questions(&tenant);
        let asks: Vec<Ask<'_>> = asked.iter().map(Question::ask).collect();
        decide(&what, &tenant, &facts, &asked, &asks);
        let (build, add) = (build(&empty, &tenant), add(&facts, &tenant));
        println!("{what}: {build:.0} ms to build, {add:.1} us to add one");
        // Behind another tenant it would fill the holes that this one left.
        if wanted.len() == 1 {
            let bytes = bytes as f64 / f64::from(1 << 20);
            println!("{what}: {bytes:.1} MiB resident, with their ids and names");
        }
        beside(&tenant, &facts, &asked);
    }
}

fn decide(what: &str, tenant: &Tenant, facts: &Facts, asked: &[Question], asks: &[Ask<'_>]) {
    let ask = |it: &Ask<'_>| judge_quickly(it, facts);
    let allowed = asks.iter().filter(|it| ask(it)).count() * 100 / asks.len();
    let times = Times::of(asks, ask);
    println!(
        "{what}: {:.0} ns median, {:.0} ns p99; {allowed} % allowed",
        times.median(),
        times.p99()
    );
    let judged: Vec<Ask<'_>> =
        asked.iter().filter(|it| it.is_under_policies(tenant)).map(Question::ask).collect();
    let times = Times::of(&judged, ask);
    println!(
        "{what}, under its policies: {:.0} ns median, {:.0} ns p99",
        times.median(),
        times.p99()
    );
    let allowed: Vec<&Ask<'_>> = asks.iter().filter(|it| ask(it)).collect();
    let times = Times::of(&allowed, |it| ask(it));
    println!("{what}, allowed: {:.0} ns median, {:.0} ns p99", times.median(), times.p99());
    let rounds = (0..9).map(|_| {
        let began = now();
        for it in asks {
            black_box(ask(black_box(it)));
        }
        began.elapsed().as_secs_f64() / asks.len() as f64 * 1e9
    });
    let in_turn = median(rounds.collect());
    let repeated = asks.iter().take(REPEATED).map(|it| {
        let began = now();
        for _ in 0..REPEATS {
            black_box(ask(black_box(it)));
        }
        began.elapsed().as_secs_f64() / REPEATS as f64 * 1e9
    });
    println!("{what}: {in_turn:.0} ns each in turn, {:.0} ns repeated", median(repeated.collect()));
}

fn with(empty: &Facts, assignments: &[RoleAssignment]) -> Facts {
    let mut facts = empty.clone();
    for it in assignments {
        facts.put_role_assignment(it.clone());
    }
    facts
}

/// Milliseconds for all assignments, which are there already as values.
fn build(empty: &Facts, tenant: &Tenant) -> f64 {
    let rounds = (0..3).map(|_| {
        let given = tenant.assignments.clone();
        let mut facts = empty.clone();
        let began = now();
        for it in given {
            facts.put_role_assignment(it);
        }
        let took = began.elapsed().as_secs_f64() * 1e3;
        drop(facts);
        took
    });
    median(rounds.collect())
}

/// Microseconds for one more assignment, as a commit brings it: a new version beside the one in force.
fn add(facts: &Facts, tenant: &Tenant) -> f64 {
    let mut random = Random(13);
    let mut facts = Arc::new(facts.clone());
    let times = (0..CHANGES).map(|number| {
        let name = id(6, number).to_string();
        let scope = tenant.assignments[random.below(tenant.assignments.len())].scope.clone();
        let one = RoleAssignment {
            id: format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
            name,
            principal: id(2, random.below(tenant.principals)),
            role: id(5, random.below(tenant.roles)),
            scope,
            created: NOW,
            condition: None,
            deleted: None,
        };
        let began = now();
        let mut next = Facts::clone(&facts);
        next.put_role_assignment(one);
        let next = Arc::new(next);
        let took = began.elapsed().as_secs_f64() * 1e6;
        facts = next;
        took
    });
    median(times.collect())
}

/// Bytes of memory that the process has in use, by what the kernel counts.
fn resident() -> u64 {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    told.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
