//! The functions that a condition can call. What a function is not made for gives `undefined`.
//!
//! The documentation lists `IS_DEFINED` for twins and jobs and the others for message routes; clients use
//! more of them on twins than that, so there is one list for all. `STARTSWITH` and `ENDSWITH` are accepted
//! beside `STARTS_WITH` and `ENDS_WITH`.

use super::evaluate::{equal, number_of};
use super::{Expression, MADE_BYTES_MAX};
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::ops::RangeInclusive;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Function {
    IsDefined,
    IsNull,
    IsBool,
    IsNumber,
    IsString,
    IsObject,
    IsArray,
    IsPrimitive,
    AsNumber,
    StartsWith,
    EndsWith,
    Contains,
    IndexOf,
    Length,
    Lower,
    Upper,
    Concat,
    Substring,
    ArrayContains,
    Abs,
    Exp,
    Power,
    Square,
    Ceiling,
    Floor,
    Sign,
    Sqrt,
}

/// Most values of `CONCAT`.
const CONCAT_MAX: usize = 32;

pub(super) const NAMES: &[(&str, Function)] = &[
    ("IS_DEFINED", Function::IsDefined),
    ("IS_NULL", Function::IsNull),
    ("IS_BOOL", Function::IsBool),
    ("IS_NUMBER", Function::IsNumber),
    ("IS_STRING", Function::IsString),
    ("IS_OBJECT", Function::IsObject),
    ("IS_ARRAY", Function::IsArray),
    ("IS_PRIMITIVE", Function::IsPrimitive),
    ("AS_NUMBER", Function::AsNumber),
    ("STARTSWITH", Function::StartsWith),
    ("STARTS_WITH", Function::StartsWith),
    ("ENDSWITH", Function::EndsWith),
    ("ENDS_WITH", Function::EndsWith),
    ("CONTAINS", Function::Contains),
    ("INDEX_OF", Function::IndexOf),
    ("LENGTH", Function::Length),
    ("LOWER", Function::Lower),
    ("UPPER", Function::Upper),
    ("CONCAT", Function::Concat),
    ("SUBSTRING", Function::Substring),
    ("ARRAY_CONTAINS", Function::ArrayContains),
    ("ABS", Function::Abs),
    ("EXP", Function::Exp),
    ("POWER", Function::Power),
    ("SQUARE", Function::Square),
    ("CEILING", Function::Ceiling),
    ("FLOOR", Function::Floor),
    ("SIGN", Function::Sign),
    ("SQRT", Function::Sqrt),
];

impl Function {
    /// Casing does not count.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, it)| *it)
    }

    /// How many values it takes.
    pub(super) const fn takes(self) -> RangeInclusive<usize> {
        match self {
            Self::IsDefined
            | Self::IsNull
            | Self::IsBool
            | Self::IsNumber
            | Self::IsString
            | Self::IsObject
            | Self::IsArray
            | Self::IsPrimitive
            | Self::AsNumber
            | Self::Length
            | Self::Lower
            | Self::Upper
            | Self::Abs
            | Self::Exp
            | Self::Square
            | Self::Ceiling
            | Self::Floor
            | Self::Sign
            | Self::Sqrt => 1..=1,
            Self::StartsWith
            | Self::EndsWith
            | Self::Contains
            | Self::IndexOf
            | Self::ArrayContains
            | Self::Power => 2..=2,
            Self::Substring => 2..=3,
            Self::Concat => 1..=CONCAT_MAX,
        }
    }

    /// The answer for a document; `None` is `undefined`.
    pub(super) fn of<'a>(
        self,
        arguments: &'a [Expression],
        document: &'a Value,
    ) -> Option<Cow<'a, Value>> {
        let values: Vec<Option<Cow<'a, Value>>> =
            arguments.iter().map(|it| super::evaluate::value(it, document)).collect();
        let value = |at: usize| values.get(at).and_then(Option::as_deref);
        let text = |at: usize| value(at).and_then(Value::as_str);
        let number = |at: usize| value(at).and_then(Value::as_f64);
        let is = |test: fn(&Value) -> bool| Some(Value::Bool(value(0).is_some_and(test)));
        let texts = |test: fn(&str, &str) -> bool| Some(Value::Bool(test(text(0)?, text(1)?)));
        let made = match self {
            Self::IsDefined => is(|_| true),
            Self::IsNull => is(Value::is_null),
            Self::IsBool => is(Value::is_boolean),
            Self::IsNumber => is(Value::is_number),
            Self::IsString => is(Value::is_string),
            Self::IsObject => is(Value::is_object),
            Self::IsArray => is(Value::is_array),
            Self::IsPrimitive => is(|it| !it.is_object() && !it.is_array()),
            Self::AsNumber => match value(0)? {
                Value::String(it) => as_number(it),
                Value::Number(it) => Some(Value::Number(it.clone())),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            },
            Self::StartsWith => texts(|whole, part| whole.starts_with(part)),
            Self::EndsWith => texts(|whole, part| whole.ends_with(part)),
            Self::Contains => texts(|whole, part| whole.contains(part)),
            Self::IndexOf => {
                let whole = text(0)?;
                let before = whole.find(text(1)?).and_then(|it| whole.get(..it));
                Some(before.map_or(Value::from(-1), |it| Value::from(it.chars().count())))
            }
            Self::Length => Some(Value::from(text(0)?.chars().count())),
            Self::Lower => bounded(text(0)?.to_lowercase()),
            Self::Upper => bounded(text(0)?.to_uppercase()),
            Self::Concat => concat(&values),
            Self::Substring => {
                let start = usize::try_from(value(1)?.as_u64()?).ok()?;
                let length = match values.len() {
                    2 => usize::MAX,
                    _ => usize::try_from(value(2)?.as_u64()?).ok()?,
                };
                Some(Value::String(text(0)?.chars().skip(start).take(length).collect()))
            }
            Self::ArrayContains => {
                let wanted = value(1)?;
                let all = value(0)?.as_array()?;
                Some(Value::Bool(all.iter().any(|it| equal(it, wanted) == Some(true))))
            }
            Self::Abs => number_of(number(0)?.abs()),
            Self::Exp => number_of(number(0)?.exp()),
            Self::Power => number_of(number(0)?.powf(number(1)?)),
            Self::Square => number_of(number(0)? * number(0)?),
            Self::Ceiling => number_of(number(0)?.ceil()),
            Self::Floor => number_of(number(0)?.floor()),
            Self::Sign => number(0).map(|it| match it {
                it if it > 0.0 => Value::from(1),
                it if it < 0.0 => Value::from(-1),
                _ => Value::from(0),
            }),
            Self::Sqrt => number_of(number(0)?.sqrt()),
        };
        made.map(Cow::Owned)
    }
}

fn bounded(text: String) -> Option<Value> {
    (text.len() <= MADE_BYTES_MAX).then_some(Value::String(text))
}

fn concat(values: &[Option<Cow<'_, Value>>]) -> Option<Value> {
    let mut whole = String::new();
    for value in values {
        let part = value.as_deref()?.as_str()?;
        if whole.len() + part.len() > MADE_BYTES_MAX {
            return None;
        }
        whole.push_str(part);
    }
    Some(Value::String(whole))
}

/// The number that a text is, as JSON writes it.
fn as_number(text: &str) -> Option<Value> {
    text.trim().parse::<Number>().ok().map(Value::Number)
}
