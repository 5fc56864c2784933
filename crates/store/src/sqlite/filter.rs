//! What SQLite is asked of a filter: what an index can answer. `bodies.rs` looks at the rest.

use rusqlite::types::Value;

use crate::lookup::{Filter, Is, Span};

/// A condition, and the values of its `?`, in order.
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// The condition on the key alone, which an index answers: what a filter says of keys before all else.
pub(super) fn on_key(filter: &Filter) -> Condition {
    let mut values = Vec::new();
    let all = if let Filter::All(all) = filter { all } else { std::slice::from_ref(filter) };
    let parts = all.iter().filter_map(|it| match it {
        Filter::Keys(all) => Some(one_of(all, &mut values)),
        Filter::KeyIn(span) => Some(within(span, &mut values)),
        Filter::Anything | Filter::All(_) | Filter::Any(_) | Filter::Member(..) => None,
    });
    let parts = parts.collect();
    Condition { sql: joined(parts), values }
}

/// A member that has to be one value, whatever else is asked for: what an index on it answers.
pub(super) struct Equality {
    /// The member's path, as a literal of SQL.
    pub(super) path: String,
    pub(super) value: Value,
}

impl Equality {
    /// What the index holds, as SQL.
    pub(super) fn member(&self) -> String {
        extracted(&self.path)
    }
}

/// The members that have to be one value; none where a condition on the key does more.
pub(super) fn equalities(filter: &Filter) -> Vec<Equality> {
    let mut all = Vec::new();
    match collect(filter, &mut all) {
        true => all,
        false => Vec::new(),
    }
}

/// False where the filter asks for keys.
fn collect(filter: &Filter, found: &mut Vec<Equality>) -> bool {
    let (path, is) = match filter {
        Filter::Keys(_) | Filter::KeyIn(_) => return false,
        Filter::All(all) => return all.iter().all(|it| collect(it, found)),
        Filter::Anything | Filter::Any(_) => return true,
        Filter::Member(path, is) => (path, is),
    };
    let value = match is {
        Is::Bool(it) => Some(Value::Integer(i64::from(*it))),
        Is::OneOf(all) => match all.as_slice() {
            [it] if !it.contains('\0') => Some(Value::Text(it.clone())),
            _ => None,
        },
        Is::Number(span) => exactly(span).map(Value::Real),
        Is::Present | Is::Absent | Is::Null | Is::Text(_) => None,
    };
    found.extend(spelled(path).zip(value).map(|(path, value)| Equality { path, value }));
    true
}

/// What stands at a path, as SQL.
fn extracted(path: &str) -> String {
    format!("json_extract(CAST(body AS TEXT), {path})")
}

/// A path as a literal of SQL; `None` where SQLite has no way to spell it.
fn spelled(path: &[String]) -> Option<String> {
    let is_plain = |it: &String| {
        !it.is_empty() && !it.contains(|c: char| matches!(c, '"' | '\\') || c.is_control())
    };
    let steps: String = path.iter().map(|it| format!(".\"{}\"", it.replace('\'', "''"))).collect();
    (!path.is_empty() && path.iter().all(is_plain)).then(|| format!("'${steps}'"))
}

fn one_of(all: &[String], values: &mut Vec<Value>) -> String {
    values.extend(all.iter().map(|it| Value::Text(it.clone())));
    format!("key IN ({})", vec!["?"; all.len()].join(", "))
}

fn within(span: &Span<String>, values: &mut Vec<Value>) -> String {
    let mut parts = Vec::new();
    for (sign, bound) in [(">=", &span.from), ("<=", &span.to)] {
        // SQLite would end a text at a NUL.
        if let Some(bound) = bound.as_ref().filter(|it| !it.contains('\0')) {
            parts.push(format!("key {sign} ?"));
            values.push(Value::Text(bound.clone()));
        }
    }
    joined(parts)
}

/// The one number in the span, if SQLite is sure to see the same.
fn exactly(span: &Span<f64>) -> Option<f64> {
    let (from, to) = (span.from?, span.to?);
    let is_exact = from.fract() == 0.0 && from.abs() < EXACT_BELOW;
    (is_exact && from.to_bits() == to.to_bits()).then_some(from)
}

/// Joins conditions in pairs of pairs: SQLite takes no tree that is deeper than 1,000.
fn joined(mut parts: Vec<String>) -> String {
    match parts.len() {
        0 => "1".to_owned(),
        1 => parts.pop().unwrap_or_default(),
        many => {
            let right = parts.split_off(many / 2);
            format!("({} AND {})", joined(parts), joined(right))
        }
    }
}

/// Whole numbers below this are the same to every reader of decimals: 2^53.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
