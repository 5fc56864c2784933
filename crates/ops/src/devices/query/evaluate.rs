//! What an expression is for a document.
//!
//! There are values, and there is `undefined`: a member that is not there, and whatever an operator is not
//! made for. A comparison has an answer between two values of one primitive type; `=` and `!=` also where one
//! side is `null`, which equals itself alone. All else, objects and lists among it, is neither equal nor
//! unequal nor in any order. `AND`, `OR` and `NOT` have three values: `undefined AND false` is false,
//! `undefined OR true` is true, and `NOT undefined` is undefined, so that `NOT tags.floor = 3` and
//! `tags.floor != 3` find the devices on another floor and not those without one. Texts compare by their
//! characters' numbers, with regard to case. In the end only `true` counts as true.

use super::{Arithmetic, Expression, Path, Relation, Step};
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

impl Path {
    /// What stands there.
    pub(super) fn of<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Name(name) => value.as_object()?.get(&**name),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }
}

/// Whether the expression is true; `None` where it is neither true nor false.
pub(super) fn truth(expression: &Expression, document: &Value) -> Option<bool> {
    match expression {
        Expression::All(all) => joined(false, all.iter().map(|it| truth(it, document))),
        Expression::Any(all) => joined(true, all.iter().map(|it| truth(it, document))),
        Expression::Not(it) => truth(it, document).map(|it| !it),
        Expression::Compare(left, relation, right) => {
            let (left, right) = (value(left, document)?, value(right, document)?);
            compare(left.as_ref(), *relation, right.as_ref())
        }
        Expression::In(of, is_in, list) => {
            let of = value(of, document)?;
            let found = joined(true, list.iter().map(|it| equal(&of, it.as_ref()?)));
            found.map(|it| it == *is_in)
        }
        Expression::Constant(_)
        | Expression::Path(_)
        | Expression::Call(..)
        | Expression::Arithmetic(..) => value(expression, document)?.as_bool(),
    }
}

/// What the expression is; `None` is `undefined`.
pub(super) fn value<'a>(expression: &'a Expression, document: &'a Value) -> Option<Cow<'a, Value>> {
    match expression {
        Expression::Constant(it) => it.as_ref().map(Cow::Borrowed),
        Expression::Path(it) => it.of(document).map(Cow::Borrowed),
        Expression::Call(function, arguments) => function.of(arguments, document),
        Expression::Arithmetic(first, rest) => {
            let first = numeric(first, document)?;
            let all = rest.iter().try_fold(first, |left, (arithmetic, right)| {
                calculate(&left, *arithmetic, &numeric(right, document)?)
            });
            all.map(|it| Cow::Owned(Value::Number(it)))
        }
        Expression::Compare(..)
        | Expression::In(..)
        | Expression::Not(_)
        | Expression::All(_)
        | Expression::Any(_) => truth(expression, document).map(|it| Cow::Owned(Value::Bool(it))),
    }
}

/// `OR` where `settles` is true, `AND` where it is false.
fn joined(settles: bool, all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut joined = Some(!settles);
    for it in all {
        match it {
            Some(it) if it == settles => return Some(settles),
            Some(_) => {}
            None => joined = None,
        }
    }
    joined
}

fn compare(left: &Value, relation: Relation, right: &Value) -> Option<bool> {
    Some(match relation {
        Relation::Equal => equal(left, right)?,
        Relation::Unequal => !equal(left, right)?,
        Relation::Less => order(left, right)?.is_lt(),
        Relation::LessOrEqual => order(left, right)?.is_le(),
        Relation::Greater => order(left, right)?.is_gt(),
        Relation::GreaterOrEqual => order(left, right)?.is_ge(),
    })
}

pub(super) fn equal(left: &Value, right: &Value) -> Option<bool> {
    match (left, right) {
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => None,
        (Value::Null, it) | (it, Value::Null) => Some(it.is_null()),
        (_, _) => order(left, right).map(Ordering::is_eq),
    }
}

/// The order of two values of one type that has one: `false` comes before `true`.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (_, _) => None,
    }
}

/// Whole numbers compare exactly, others as JSON's readers know them.
fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (_, _) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn whole(it: &Number) -> Option<i128> {
    it.as_i64().map(i128::from).or_else(|| it.as_u64().map(i128::from))
}

fn numeric(expression: &Expression, document: &Value) -> Option<Number> {
    value(expression, document)?.as_number().cloned()
}

/// Exact where both sides and the result are whole and fit 64 bits, else in floating point. What is no number
/// in the end, as after a division by zero, is undefined.
fn calculate(left: &Number, arithmetic: Arithmetic, right: &Number) -> Option<Number> {
    let exact = match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => match arithmetic {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => {
                left.checked_div(right).filter(|_| left.checked_rem(right) == Some(0))
            }
            Arithmetic::Remainder => left.checked_rem(right),
        },
        (_, _) => None,
    };
    if let Some(exact) = exact {
        return Some(exact.into());
    }
    let (left, right) = (left.as_f64()?, right.as_f64()?);
    Number::from_f64(match arithmetic {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    })
}

/// A number as JSON has it; `None` where it is infinite or none.
pub(super) fn number_of(it: f64) -> Option<Value> {
    Number::from_f64(it).map(Value::Number)
}
