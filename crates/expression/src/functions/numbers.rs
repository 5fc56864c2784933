//! Numbers, truth and order. Whole numbers have 64 bits, and what does not fit is an error.

use super::Given;
use crate::Fault;
use serde_json::{Number, Value};
use std::cmp::Ordering;

type Found = Result<Value, Fault>;

fn calculate(given: &Given<'_>, apply: fn(i64, i64) -> Option<i64>, why: &str) -> Found {
    match apply(given.int(0)?, given.int(1)?) {
        Some(it) => Ok(it.into()),
        None => Fault::new(why),
    }
}

const TOO_LARGE: &str = "the result has more than 64 bits";
const BY_ZERO: &str = "a division by zero, or a result of more than 64 bits";

pub(super) fn add(given: &Given<'_>) -> Found {
    calculate(given, i64::checked_add, TOO_LARGE)
}

pub(super) fn sub(given: &Given<'_>) -> Found {
    calculate(given, i64::checked_sub, TOO_LARGE)
}

pub(super) fn mul(given: &Given<'_>) -> Found {
    calculate(given, i64::checked_mul, TOO_LARGE)
}

pub(super) fn div(given: &Given<'_>) -> Found {
    calculate(given, i64::checked_div, BY_ZERO)
}

pub(super) fn modulo(given: &Given<'_>) -> Found {
    calculate(given, i64::checked_rem, BY_ZERO)
}

pub(super) fn int(given: &Given<'_>) -> Found {
    let value = given.value(0)?;
    let parsed = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    parsed.map_or_else(|| given.misfit(0, "a whole number"), |it| Ok(it.into()))
}

pub(super) fn float(given: &Given<'_>) -> Found {
    let value = given.value(0)?;
    let parsed: Option<f64> = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    match parsed.and_then(Number::from_f64) {
        Some(it) => Ok(Value::Number(it)),
        None => given.misfit(0, "a number"),
    }
}

pub(super) fn bool(given: &Given<'_>) -> Found {
    let value = given.value(0)?;
    let is = |word: &str| value.as_str().is_some_and(|it| it.trim().eq_ignore_ascii_case(word));
    let found = match value.as_i64() {
        Some(it) => Some(it != 0),
        None if is("true") || is("1") => Some(true),
        None if is("false") || is("0") => Some(false),
        None => value.as_bool(),
    };
    found.map_or_else(|| given.misfit(0, "true or false"), |it| Ok(it.into()))
}

/// Every argument is evaluated and must be true or false, also behind one that settles the answer.
pub(super) fn and(given: &Given<'_>) -> Found {
    let mut answer = true;
    for index in 0..given.0.len() {
        answer &= given.truth(index)?;
    }
    Ok(answer.into())
}

/// As `and`.
pub(super) fn or(given: &Given<'_>) -> Found {
    let mut answer = false;
    for index in 0..given.0.len() {
        answer |= given.truth(index)?;
    }
    Ok(answer.into())
}

pub(super) fn not(given: &Given<'_>) -> Found {
    Ok((!given.truth(0)?).into())
}

/// With regard to case, unlike the condition of the same name.
pub(super) fn equals(given: &Given<'_>) -> Found {
    let (a, b) = (given.value(0)?, given.value(1)?);
    let same = match (a, b) {
        (Value::Number(_), Value::Number(_)) => compare_numbers(a, b).is_some_and(Ordering::is_eq),
        (_, _) => a == b,
    };
    Ok(same.into())
}

/// Whole numbers exactly, others as floating-point numbers.
pub fn compare_numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (_, _) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Two numbers, or two texts by their characters.
fn order(given: &Given<'_>) -> Result<Ordering, Fault> {
    let (a, b) = (given.value(0)?, given.value(1)?);
    let found = match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => Some(a.cmp(b)),
        (_, _) => compare_numbers(a, b),
    };
    found.map_or_else(|| Fault::new("two numbers or two texts are expected"), Ok)
}

pub(super) fn less(given: &Given<'_>) -> Found {
    Ok(order(given)?.is_lt().into())
}

pub(super) fn less_or_equals(given: &Given<'_>) -> Found {
    Ok(order(given)?.is_le().into())
}

pub(super) fn greater(given: &Given<'_>) -> Found {
    Ok(order(given)?.is_gt().into())
}

pub(super) fn greater_or_equals(given: &Given<'_>) -> Found {
    Ok(order(given)?.is_ge().into())
}

/// Whole numbers, as arguments or as one list.
fn numbers(given: &Given<'_>) -> Result<Vec<i64>, Fault> {
    let all: Option<Vec<i64>> = match (given.0.len(), given.value(0)?) {
        (1, Value::Array(items)) => items.iter().map(Value::as_i64).collect(),
        (_, _) => given.values().map(Value::as_i64).collect(),
    };
    match all {
        Some(it) if !it.is_empty() => Ok(it),
        Some(_) | None => Fault::new("whole numbers or a list of them are expected"),
    }
}

pub(super) fn max(given: &Given<'_>) -> Found {
    Ok(numbers(given)?.into_iter().max().into())
}

pub(super) fn min(given: &Given<'_>) -> Found {
    Ok(numbers(given)?.into_iter().min().into())
}
