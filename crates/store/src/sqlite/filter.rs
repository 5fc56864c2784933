//! A filter as a condition of SQL.
//!
//! It lets everything through that fulfils the filter. Where SQLite could see a value otherwise than we do, it
//! lets more through: numbers with a fraction within a billionth, since its reading of decimals is not exact to
//! the last digit; texts that are compared by order up to a NUL, where it ends them; and whatever stands below a
//! name that a path of SQLite cannot spell.

use rusqlite::types::Value;

use crate::lookup::{Filter, Is, Span};

/// A condition, and the values of its `?`, in order.
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// The condition on a whole row.
pub(super) fn condition(filter: &Filter) -> Condition {
    let mut values = Vec::new();
    let sql = test(filter, &mut values);
    Condition { sql, values }
}

/// The condition on the key alone, which an index answers: what a filter says of keys before all else.
pub(super) fn on_key(filter: &Filter) -> Condition {
    let mut values = Vec::new();
    let all = if let Filter::All(all) = filter { all } else { std::slice::from_ref(filter) };
    let keys = all.iter().filter(|it| matches!(it, Filter::Keys(_) | Filter::KeyIn(_)));
    let parts = keys.map(|it| test(it, &mut values)).collect();
    Condition { sql: joined(parts, "AND", "1"), values }
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

fn test(filter: &Filter, values: &mut Vec<Value>) -> String {
    match filter {
        Filter::Anything => "1".into(),
        Filter::All(all) => joined(all.iter().map(|it| test(it, values)).collect(), "AND", "1"),
        Filter::Any(all) => joined(all.iter().map(|it| test(it, values)).collect(), "OR", "0"),
        Filter::Keys(all) => one_of("key", all, values),
        Filter::KeyIn(span) => text("key", span, values),
        Filter::Member(path, is) => match spelled(path) {
            Some(path) => member(&path, is, values),
            None => "1".into(),
        },
    }
}

fn member(path: &str, is: &Is, values: &mut Vec<Value>) -> String {
    // The path is spelled out, so that an index on it is found.
    let value = extracted(path);
    match is {
        Is::Present => format!("json_type(CAST(body AS TEXT), {path}) IS NOT NULL"),
        Is::Absent => format!("json_type(CAST(body AS TEXT), {path}) IS NULL"),
        Is::Null => format!("{value} IS NULL"),
        Is::Bool(it) => format!("{value} = {}", i32::from(*it)),
        Is::OneOf(all) if all.iter().any(|it| it.contains('\0')) => format!("{value} IS NOT NULL"),
        Is::OneOf(all) => one_of(&value, all, values),
        Is::Text(span) => text(&value, span, values),
        Is::Number(span) => number(&value, span, values),
    }
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

fn one_of(value: &str, all: &[String], values: &mut Vec<Value>) -> String {
    values.extend(all.iter().map(|it| Value::Text(it.clone())));
    let marks = vec!["?"; all.len()].join(", ");
    format!("{value} IN ({marks})")
}

fn text(value: &str, span: &Span<String>, values: &mut Vec<Value>) -> String {
    let bound = |it: &Option<String>| it.clone().filter(|it| !it.contains('\0')).map(Value::Text);
    between(value, bound(&span.from), bound(&span.to), values)
}

fn number(value: &str, span: &Span<f64>, values: &mut Vec<Value>) -> String {
    let slack = |it: f64| it.abs() * 1e-9 + f64::MIN_POSITIVE;
    if let Some(it) = exactly(span) {
        values.push(Value::Real(it));
        return format!("{value} = ?");
    }
    let from = span.from.map(|it| Value::Real(it - slack(it)));
    let to = span.to.map(|it| Value::Real(it + slack(it)));
    between(value, from, to, values)
}

/// The one number in the span, if SQLite is sure to see the same.
fn exactly(span: &Span<f64>) -> Option<f64> {
    let (from, to) = (span.from?, span.to?);
    let is_exact = from.fract() == 0.0 && from.abs() < EXACT_BELOW;
    (is_exact && from.to_bits() == to.to_bits()).then_some(from)
}

fn between(value: &str, from: Option<Value>, to: Option<Value>, values: &mut Vec<Value>) -> String {
    let mut parts = Vec::new();
    for (sign, bound) in [(">=", from), ("<=", to)] {
        if let Some(bound) = bound {
            parts.push(format!("{value} {sign} ?"));
            values.push(bound);
        }
    }
    match parts.is_empty() {
        // Whatever it is, it is not nothing.
        true => format!("{value} IS NOT NULL"),
        false => joined(parts, "AND", "1"),
    }
}

/// Joins conditions in pairs of pairs: SQLite takes no tree that is deeper than 1,000.
fn joined(mut parts: Vec<String>, with: &str, none: &str) -> String {
    match parts.len() {
        0 => none.to_owned(),
        1 => parts.pop().unwrap_or_default(),
        many => {
            let right = parts.split_off(many / 2);
            format!("({} {with} {})", joined(parts, with, none), joined(right, with, none))
        }
    }
}

/// Whole numbers below this are the same to every reader of decimals: 2^53.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
