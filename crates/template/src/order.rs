//! Who depends on whom, and an order in which everything can be made.

use crate::Stop;
use crate::evaluate::Evaluator;
use crate::plan::Planned;
use model::json::{member, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The words of `dependsOn`, evaluated.
pub(crate) fn written_dependencies(
    at: &Evaluator<'_>,
    resource: &Value,
) -> Result<Vec<String>, Stop> {
    let words = match member(resource, "dependsOn") {
        None => return Ok(Vec::new()),
        Some(it) => at.value(it)?,
    };
    let all: Option<Vec<String>> = words
        .as_array()
        .and_then(|all| all.iter().map(|it| it.as_str().map(str::to_owned)).collect());
    all.map_or_else(|| Stop::fault("`dependsOn` is a list of texts"), Ok)
}

/// Every text below a value, where expressions may speak of other resources. Templates of a scope of their own are
/// passed over: they speak of their own.
pub(crate) fn speaks_of(
    at: &Evaluator<'_>,
    value: &Value,
    all: &mut Vec<String>,
) -> Result<(), Stop> {
    at.steps.spend(1)?;
    match value {
        Value::String(text) => at.speaks_of(text, all),
        Value::Array(items) => items.iter().try_for_each(|it| speaks_of(at, it, all)),
        Value::Object(members) => {
            let is_inner = text(value, &["expressionEvaluationOptions", "scope"])
                .is_some_and(|it| it.eq_ignore_ascii_case("inner"));
            members.iter().try_for_each(|(name, it)| {
                let is = |it: &str| name.eq_ignore_ascii_case(it);
                match is("dependsOn") || is_inner && is("template") {
                    true => Ok(()),
                    false => speaks_of(at, it, all),
                }
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// What resources go by in `dependsOn`, in lower case: by the first of these that is anybody's.
#[derive(Default)]
pub(crate) struct Names([BTreeMap<String, Vec<usize>>; 4]);

impl Names {
    pub(crate) fn of(resources: &[Planned]) -> Self {
        let mut names = Self::default();
        for (at, it) in resources.iter().enumerate() {
            let [symbols, ids, loops, own] = &mut names.0;
            let add = |to: &mut BTreeMap<String, Vec<usize>>, name: &str| {
                to.entry(name.to_ascii_lowercase()).or_default().push(at);
            };
            if let Some(symbol) = &it.symbol {
                add(symbols, symbol);
            }
            add(ids, &it.id);
            if let Some(of_loop) = &it.of_loop {
                add(loops, of_loop);
            }
            add(own, &it.name);
            add(own, &format!("{}/{}", it.kind, it.name));
        }
        names
    }

    pub(crate) fn find(&self, word: &str) -> &[usize] {
        let key = word.to_ascii_lowercase();
        self.0.iter().find_map(|it| it.get(&key)).map_or(&[], Vec::as_slice)
    }
}

/// An order in which each stands behind all that it depends on, and otherwise as written; else a cycle, its first once
/// more at its end.
pub(crate) fn in_order(depends: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut waits: Vec<usize> = depends.iter().map(BTreeSet::len).collect();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); depends.len()];
    for (at, on) in depends.iter().enumerate() {
        for it in on {
            if let Some(behind) = before.get_mut(*it) {
                behind.push(at);
            }
        }
    }
    let free = waits.iter().enumerate().filter(|(_, it)| **it == 0).map(|(at, _)| at);
    let mut ready: BTreeSet<usize> = free.collect();
    let mut order = Vec::with_capacity(depends.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for behind in before.get(at).into_iter().flatten() {
            if let Some(left) = waits.get_mut(*behind) {
                *left -= 1;
                if *left == 0 {
                    ready.insert(*behind);
                }
            }
        }
    }
    match order.len() == depends.len() {
        true => Ok(order),
        false => Err(cycle(depends, &waits)),
    }
}

/// Whoever is left waits for one that is left: following these comes back to one that was met.
fn cycle(depends: &[BTreeSet<usize>], waits: &[usize]) -> Vec<usize> {
    let is_left = |at: &usize| waits.get(*at).is_some_and(|it| *it > 0);
    let mut path: Vec<usize> = Vec::new();
    let mut next = (0..depends.len()).find(|at| is_left(at));
    while let Some(at) = next {
        if let Some(first) = path.iter().position(|it| *it == at) {
            let mut found = path.split_off(first);
            found.push(at);
            return found;
        }
        path.push(at);
        next = depends.get(at).and_then(|on| on.iter().copied().find(|at| is_left(at)));
    }
    path
}
