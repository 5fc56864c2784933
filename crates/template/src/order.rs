//! Who depends on whom, and an order in which everything can be made.

use crate::Stop;
use crate::evaluate::Evaluator;
use model::json::{member, text};
use serde_json::Value;
use std::collections::BTreeSet;

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
pub(crate) fn speaks_of(at: &Evaluator<'_>, value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => at.speaks_of(text, all),
        Value::Array(items) => items.iter().for_each(|it| speaks_of(at, it, all)),
        Value::Object(members) => {
            let is_inner = text(value, &["expressionEvaluationOptions", "scope"])
                .is_some_and(|it| it.eq_ignore_ascii_case("inner"));
            for (name, it) in members {
                let is = |it: &str| name.eq_ignore_ascii_case(it);
                let is_apart = is("dependsOn") || is_inner && is("template");
                if !is_apart {
                    speaks_of(at, it, all);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An order in which each stands behind all that it depends on; else a cycle, its first once more at its end.
pub(crate) fn in_order(depends: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let (mut order, mut done) = (Vec::with_capacity(depends.len()), BTreeSet::new());
    while order.len() < depends.len() {
        let before = order.len();
        for (at, on) in depends.iter().enumerate() {
            if !done.contains(&at) && on.is_subset(&done) {
                done.insert(at);
                order.push(at);
            }
        }
        if order.len() == before {
            // Whoever is left depends on one that is left: following these comes back to one that was met.
            let left = |on: &BTreeSet<usize>| on.iter().find(|it| !done.contains(it)).copied();
            let mut path = Vec::new();
            let mut next = (0..depends.len()).find(|it| !done.contains(it));
            while let Some(at) = next {
                if let Some(first) = path.iter().position(|it| *it == at) {
                    let mut cycle = path.split_off(first);
                    cycle.push(at);
                    return Err(cycle);
                }
                path.push(at);
                next = depends.get(at).and_then(left);
            }
            return Err(path);
        }
    }
    Ok(order)
}
