//! The operators of conditions, each in one place. Linear in both sides; nothing here backtracks.

use super::Operator;
use super::evaluate::Env;
use super::expression::Fault;
use super::select::{Seen, scalar};
use model::Timestamp;
use serde_json::Value;
use std::cmp::Ordering;

/// Why an operator cannot work with what it is given, where it cannot. What a policy writes out is asked
/// when it is written; what an expression gives, when it is decided.
pub(super) fn misfit(operator: Operator, expected: &Value) -> Option<&'static str> {
    let is_text = expected.is_string();
    match operator {
        Operator::In | Operator::NotIn if !expected.is_array() => {
            Some("this operator takes a list")
        }
        Operator::Exists if truth(expected).is_none() => Some("`exists` takes true or false"),
        Operator::Like | Operator::NotLike => match expected.as_str() {
            None => Some("this operator takes a text"),
            Some(it) if it.matches('*').nth(1).is_some() => {
                Some("the pattern holds more than one `*`")
            }
            Some(_) => None,
        },
        Operator::Match
        | Operator::NotMatch
        | Operator::MatchInsensitively
        | Operator::NotMatchInsensitively
        | Operator::ContainsKey
        | Operator::NotContainsKey
            if !is_text =>
        {
            Some("this operator takes a text")
        }
        Operator::Less | Operator::LessOrEquals | Operator::Greater | Operator::GreaterOrEquals
            if !is_text && !expected.is_number() =>
        {
            Some("this operator takes a number, a date or a text")
        }
        Operator::Equals
        | Operator::NotEquals
        | Operator::Match
        | Operator::NotMatch
        | Operator::MatchInsensitively
        | Operator::NotMatchInsensitively
        | Operator::Contains
        | Operator::NotContains
        | Operator::In
        | Operator::NotIn
        | Operator::ContainsKey
        | Operator::NotContainsKey
        | Operator::Less
        | Operator::LessOrEquals
        | Operator::Greater
        | Operator::GreaterOrEquals
        | Operator::Exists => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    let is = |word: &str| value.as_str().is_some_and(|it| it.eq_ignore_ascii_case(word));
    value.as_bool().or(is("true").then_some(true)).or(is("false").then_some(false))
}

/// How many steps a comparison takes: one, one for each member of a list, and one for every 64 bytes.
pub(super) fn charge(actual: Seen<'_>, expected: &Value, env: Env<'_>) -> Result<(), Fault> {
    env.spend(1)?;
    match actual {
        Seen::Missing => {}
        Seen::Text(it) => env.context.steps.spend_bytes(it.len())?,
        Seen::Value(Value::Array(it)) => env.spend(it.len())?,
        Seen::Value(_) => {}
    }
    match expected {
        Value::String(it) => env.context.steps.spend_bytes(it.len()),
        Value::Array(items) => env.spend(match actual {
            Seen::Value(Value::Array(it)) => items.len().saturating_mul(it.len() + 1),
            Seen::Value(Value::Object(it)) => items.len().saturating_mul(it.len() + 1),
            Seen::Missing | Seen::Text(_) | Seen::Value(_) => items.len(),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Ok(()),
    }
}

pub(super) fn apply(operator: Operator, actual: Seen<'_>, expected: &Value) -> Result<bool, Fault> {
    let not = |it: Operator| apply(it, actual, expected).map(|it| !it);
    Ok(match operator {
        Operator::Equals => equals(actual, expected),
        Operator::NotEquals => not(Operator::Equals)?,
        Operator::In => {
            expected.as_array().is_some_and(|all| all.iter().any(|it| equals(actual, it)))
        }
        Operator::NotIn => not(Operator::In)?,
        Operator::Like => texts(actual, expected, like),
        Operator::NotLike => not(Operator::Like)?,
        Operator::Match => texts(actual, expected, |text, pattern| matches(text, pattern, false)),
        Operator::NotMatch => not(Operator::Match)?,
        Operator::MatchInsensitively => {
            texts(actual, expected, |text, pattern| matches(text, pattern, true))
        }
        Operator::NotMatchInsensitively => not(Operator::MatchInsensitively)?,
        Operator::Contains => contains(actual, expected),
        Operator::NotContains => not(Operator::Contains)?,
        Operator::ContainsKey => {
            let key = expected.as_str().unwrap_or("");
            match actual {
                Seen::Value(Value::Object(members)) => {
                    members.keys().any(|mine| same_text(mine, key))
                }
                Seen::Missing | Seen::Text(_) | Seen::Value(_) => false,
            }
        }
        Operator::NotContainsKey => not(Operator::ContainsKey)?,
        Operator::Less => order(actual, expected)?.is_some_and(Ordering::is_lt),
        Operator::LessOrEquals => order(actual, expected)?.is_some_and(Ordering::is_le),
        Operator::Greater => order(actual, expected)?.is_some_and(Ordering::is_gt),
        Operator::GreaterOrEquals => order(actual, expected)?.is_some_and(Ordering::is_ge),
        Operator::Exists => !matches!(actual, Seen::Missing) == truth(expected).unwrap_or(true),
    })
}

/// Texts compare without regard to case; a text and a number or a boolean compare by their text. What is
/// missing equals nothing but null and the empty text.
fn equals(actual: Seen<'_>, expected: &Value) -> bool {
    if matches!(actual, Seen::Missing) {
        return expected.is_null() || expected.as_str() == Some("");
    }
    match (actual.scalar(), scalar(expected)) {
        (Some(mine), Some(its)) => same_text(&mine, &its),
        (None, None) => matches!(actual, Seen::Value(it) if it == expected),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Which comes first: of two numbers, two times, or two texts without regard to case. Nothing where the
/// field is missing; an error where the two are of different types.
fn order(actual: Seen<'_>, expected: &Value) -> Result<Option<Ordering>, Fault> {
    let found = match (actual, expected) {
        (Seen::Missing, _) => return Ok(None),
        (Seen::Value(mine @ Value::Number(_)), Value::Number(_)) => {
            match (mine.as_i64(), expected.as_i64()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                (_, _) => mine.as_f64().zip(expected.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
            }
        }
        (Seen::Text(mine), Value::String(its)) => {
            match (Timestamp::parse(mine), Timestamp::parse(its)) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                (None, Some(_)) => None,
                (_, None) => Some(
                    mine.chars()
                        .flat_map(char::to_lowercase)
                        .cmp(its.chars().flat_map(char::to_lowercase)),
                ),
            }
        }
        (Seen::Text(_) | Seen::Value(_), _) => None,
    };
    match found {
        Some(it) => Ok(Some(it)),
        None => Fault::new(
            "what is found and what it is compared with are not of one type: two numbers, two dates or two texts",
        ),
    }
}

/// Equal without regard to case. Nothing is copied, and the first difference ends it: a long text is compared
/// with many.
fn same_text(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
        || (!(a.is_ascii() && b.is_ascii())
            && a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase)))
}

fn texts(actual: Seen<'_>, expected: &Value, fits: impl Fn(&str, &str) -> bool) -> bool {
    match (actual.scalar(), expected.as_str()) {
        (Some(text), Some(pattern)) => fits(&text, pattern),
        (_, _) => false,
    }
}

/// At most one `*`, which stands for any run of characters.
fn like(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return same_text(text, pattern) };
    if text.is_ascii() && pattern.is_ascii() {
        let middle = text.len().checked_sub(tail.len()).filter(|it| *it >= head.len());
        let ends = middle.and_then(|it| Some((text.get(..head.len())?, text.get(it..)?)));
        return ends.is_some_and(|(first, last)| {
            first.eq_ignore_ascii_case(head) && last.eq_ignore_ascii_case(tail)
        });
    }
    let (text, head, tail) = (text.to_lowercase(), head.to_lowercase(), tail.to_lowercase());
    text.len() >= head.len() + tail.len() && text.starts_with(&head) && text.ends_with(&tail)
}

/// `#` a digit, `?` a letter, `.` any character, everything else itself; the whole text.
fn matches(text: &str, pattern: &str, ignores_case: bool) -> bool {
    let mut mine = text.chars();
    let fits = pattern.chars().all(|wanted| match (wanted, mine.next()) {
        (_, None) => false,
        ('#', Some(it)) => it.is_ascii_digit(),
        ('?', Some(it)) => it.is_alphabetic(),
        ('.', Some(_)) => true,
        (wanted, Some(it)) if ignores_case => wanted.to_lowercase().eq(it.to_lowercase()),
        (wanted, Some(it)) => wanted == it,
    });
    fits && mine.next().is_none()
}

fn contains(actual: Seen<'_>, expected: &Value) -> bool {
    if let Seen::Value(Value::Array(items)) = actual {
        return items.iter().any(|it| equals(Seen::value(Some(it)), expected));
    }
    match (actual.scalar(), scalar(expected)) {
        (Some(text), Some(part)) => text.to_lowercase().contains(&part.to_lowercase()),
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(operator: Operator, actual: Option<Value>, expected: Value, result: bool) {
        let seen = Seen::value(actual.as_ref());
        let got = apply(operator, seen, &expected);
        assert_eq!(got, Ok(result), "{operator:?} {actual:?} {expected}");
    }

    #[test]
    fn operators_follow_the_documentation() {
        check(Operator::Equals, Some(json!("ABC")), json!("abc"), true);
        check(Operator::Equals, Some(json!("ÄBC")), json!("äbc"), true);
        check(Operator::Equals, Some(json!("äbc")), json!("abc"), false);
        check(Operator::Equals, Some(json!(true)), json!("true"), true);
        check(Operator::Equals, Some(json!(5)), json!("5"), true);
        check(Operator::Equals, Some(json!("device1")), json!("device10"), false);
        check(Operator::In, Some(json!("b")), json!(["a", "B"]), true);
        check(Operator::NotIn, Some(json!("b")), json!(["a", "B"]), false);
        check(Operator::Like, Some(json!("device-1")), json!("DEVICE-*"), true);
        check(Operator::Like, Some(json!("xdevice-1")), json!("device-*"), false);
        check(Operator::Like, Some(json!("aba")), json!("ab*ba"), false);
        check(Operator::Match, Some(json!("dev-1a")), json!("dev-#?"), true);
        check(Operator::Match, Some(json!("DEV-1a")), json!("dev-#?"), false);
        check(Operator::MatchInsensitively, Some(json!("DEV-1a")), json!("dev-#?"), true);
        check(Operator::Match, Some(json!("dev-1ab")), json!("dev-#?"), false);
        check(Operator::Contains, Some(json!("device")), json!("VIC"), true);
        check(Operator::Contains, Some(json!(["a", "b"])), json!("b"), true);
        check(Operator::Contains, Some(json!(["ab"])), json!("b"), false);
        check(Operator::ContainsKey, Some(json!({"Env": 1})), json!("env"), true);
        check(Operator::Exists, Some(json!("x")), json!("FALSE"), false);
    }

    #[test]
    fn order_is_that_of_numbers_dates_and_texts() {
        check(Operator::Less, Some(json!(9)), json!(10), true);
        check(Operator::Less, Some(json!(10)), json!(10), false);
        check(Operator::LessOrEquals, Some(json!(10)), json!(10.0), true);
        check(Operator::LessOrEquals, Some(json!(10.5)), json!(10), false);
        check(Operator::Greater, Some(json!(-1)), json!(-2), true);
        check(Operator::Greater, Some(json!(-2)), json!(-2), false);
        check(
            Operator::GreaterOrEquals,
            Some(json!(9_007_199_254_740_993_i64)),
            json!(9_007_199_254_740_993_i64),
            true,
        );
        check(Operator::Greater, Some(json!("b")), json!("A"), true);
        check(Operator::Less, Some(json!("B")), json!("a"), false);
        check(Operator::GreaterOrEquals, Some(json!("ABC")), json!("abc"), true);
        // By text the first would be the later one.
        check(
            Operator::Less,
            Some(json!("2026-11-22T09:00:00+02:00")),
            json!("2026-11-22T08:00:00Z"),
            true,
        );
    }

    #[test]
    fn values_of_different_types_have_no_order() {
        for (actual, expected) in [
            (json!(1), json!("1")),
            (json!("1"), json!(1)),
            (json!(true), json!(1)),
            (json!([1]), json!(1)),
            (json!({}), json!("x")),
            (json!("never"), json!("2026-11-22T08:00:00Z")),
        ] {
            for operator in [
                Operator::Less,
                Operator::LessOrEquals,
                Operator::Greater,
                Operator::GreaterOrEquals,
            ] {
                let got = apply(operator, Seen::value(Some(&actual)), &expected);
                assert!(got.is_err(), "{operator:?} {actual} {expected}");
            }
        }
    }

    #[test]
    fn what_is_missing_follows_the_documentation() {
        check(Operator::Equals, None, json!("x"), false);
        check(Operator::Equals, None, json!(""), true);
        check(Operator::Equals, None, Value::Null, true);
        check(Operator::NotEquals, None, json!("x"), true);
        check(Operator::In, None, json!(["x"]), false);
        check(Operator::NotIn, None, json!(["x"]), true);
        check(Operator::Like, None, json!("*"), false);
        check(Operator::NotLike, None, json!("*"), true);
        check(Operator::Match, None, json!("."), false);
        check(Operator::NotMatch, None, json!("#"), true);
        check(Operator::MatchInsensitively, None, json!("."), false);
        check(Operator::NotMatchInsensitively, None, json!("."), true);
        check(Operator::Contains, None, json!(""), false);
        check(Operator::NotContains, None, json!("x"), true);
        check(Operator::ContainsKey, None, json!("x"), false);
        check(Operator::NotContainsKey, None, json!("x"), true);
        check(Operator::Less, None, json!(1), false);
        check(Operator::LessOrEquals, None, json!(1), false);
        check(Operator::Greater, None, json!("a"), false);
        check(Operator::GreaterOrEquals, None, json!("a"), false);
        check(Operator::Exists, None, json!(false), true);
        check(Operator::Exists, Some(json!(1)), json!(false), false);
    }

    #[test]
    fn an_operator_says_what_it_cannot_work_with() {
        let no = |operator, expected: Value| {
            assert!(misfit(operator, &expected).is_some(), "{operator:?} {expected}");
        };
        no(Operator::In, json!("x"));
        no(Operator::Like, json!("a*b*"));
        no(Operator::NotLike, json!(1));
        no(Operator::Match, json!(["x"]));
        no(Operator::ContainsKey, json!(1));
        no(Operator::Exists, json!("maybe"));
        no(Operator::Less, json!(true));
        no(Operator::Greater, Value::Null);
        assert_eq!(misfit(Operator::Equals, &json!([1])), None);
        assert_eq!(misfit(Operator::Exists, &json!("True")), None);
    }
}
