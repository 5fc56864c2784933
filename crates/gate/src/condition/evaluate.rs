//! Is a condition fulfilled? Bounded in time by the limits of its text and of each comparison's steps.
//!
//! A comparison over an attribute that is missing is false, also one that negates. One that cannot be made
//! has no answer, and neither has what it stands in, unless the rest settles that whatever it is: so the
//! order of the parts does not count, and an error never grants.

use super::like::{Steps, like};
use super::operators::{Each, Kind, Relation};
use super::{Attribute, Comparison, Fault, Literal, Operand, Position, Source, Subject, Test};
use model::trace::Condition;
use model::{ObjectId, Timestamp};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Most comparisons that are noted of one assignment: a trace is kept and shown, and has a bound.
const NOTED_MAX: usize = 64;

/// Where comparisons are noted.
pub(super) struct Record<'a> {
    /// What the condition stands in.
    pub(super) of: &'a str,
    pub(super) all: &'a mut Vec<Condition>,
}

pub(super) fn holds(
    test: &Test,
    subject: &Subject<'_>,
    record: &mut Option<Record<'_>>,
) -> Result<bool, Fault> {
    match test {
        Test::All(tests) => settle(tests, subject, record, true),
        Test::Any(tests) => settle(tests, subject, record, false),
        Test::Not(inner) => holds(inner, subject, record).map(|it| !it),
        Test::ActionMatches { at, pattern } => {
            let result = pattern.matches_text(subject.action);
            note(record, *at, || Noted {
                expression: "action".into(),
                operator: "ActionMatches".into(),
                expected: json!(pattern.as_str()),
                actual: Some(json!(subject.action)),
                result,
            });
            Ok(result)
        }
        // No operation here has parts that a condition could name.
        Test::SubOperationMatches { at, name } => {
            note(record, *at, || Noted {
                expression: "suboperation".into(),
                operator: "SubOperationMatches".into(),
                expected: json!(name),
                actual: None,
                result: false,
            });
            Ok(false)
        }
        Test::Exists { at, attribute } => {
            let found = look_up(attribute, subject);
            let result = found.is_some();
            note(record, *at, || Noted {
                expression: attribute.to_string(),
                operator: "Exists".into(),
                expected: json!(true),
                actual: found.map(Cow::into_owned),
                result,
            });
            Ok(result)
        }
        Test::Compare(it) => {
            let result = compare(it, subject);
            note(record, it.at, || Noted {
                expression: shown(&it.left),
                operator: match it.quantifier {
                    Some(quantifier) => format!("{}:{}", quantifier.name, it.operator.name),
                    None => it.operator.name.to_owned(),
                },
                expected: values_of(&it.right, subject).unwrap_or_else(|| json!(shown(&it.right))),
                actual: values_of(&it.left, subject),
                result: result.unwrap_or(false),
            });
            result
        }
    }
}

/// `AND` is true until one is false, `OR` false until one is true.
fn settle(
    tests: &[Test],
    subject: &Subject<'_>,
    record: &mut Option<Record<'_>>,
    start: bool,
) -> Result<bool, Fault> {
    let mut answer = Ok(start);
    for it in tests {
        match holds(it, subject, record) {
            Ok(found) if found == start => {}
            Ok(_) => {
                answer = Ok(!start);
                if record.is_none() {
                    break;
                }
            }
            Err(fault) if answer == Ok(start) => answer = Err(fault),
            Err(_) => {}
        }
    }
    answer
}

struct Noted {
    expression: String,
    operator: String,
    expected: Value,
    actual: Option<Value>,
    result: bool,
}

fn note(record: &mut Option<Record<'_>>, at: Position, make: impl FnOnce() -> Noted) {
    if let Some(Record { of, all }) = record
        && all.len() < NOTED_MAX
    {
        let Noted { expression, operator, expected, actual, result } = make();
        let path = format!("{of}, {at}");
        let left = "attribute".into();
        all.push(Condition {
            path,
            left,
            expression,
            operator,
            expected,
            actual,
            result,
            error: None,
        });
    }
}

/// What an attribute holds; nothing where it is absent, null or a list of nothing.
fn look_up<'a>(attribute: &Attribute, subject: &Subject<'a>) -> Option<Cow<'a, Value>> {
    let given = &subject.attributes;
    let name = &attribute.name;
    let from = |all: Option<&'a Map<String, Value>>| {
        let found = all?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, it)| Cow::Borrowed(it))
    };
    let found = match attribute.source {
        Source::Principal => from(given.principal),
        Source::Resource => from(given.resource),
        Source::Request => from(given.request),
        Source::Environment => from(given.environment).or_else(|| match () {
            () if name.eq_ignore_ascii_case("UtcNow") => {
                subject.now.map(|it| Cow::Owned(json!(it.rfc3339())))
            }
            // Private endpoints lead to hubs and provisioning services, and no condition here asks for one.
            () if name.eq_ignore_ascii_case("isPrivateLink") => {
                Some(Cow::Owned(Value::Bool(false)))
            }
            () => None,
        }),
    };
    found.filter(|it| !it.is_null() && it.as_array().is_none_or(|it| !it.is_empty()))
}

/// A value as it is compared.
#[derive(PartialEq)]
enum Seen<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    Time(Timestamp),
    Bool(bool),
    Guid(ObjectId),
}

impl<'a> Seen<'a> {
    fn text(it: Cow<'a, str>, kind: Kind) -> Self {
        Self::Text(match kind {
            Kind::TextIgnoringCase => Cow::Owned(it.to_lowercase()),
            Kind::Text | Kind::Number | Kind::Time | Kind::Bool | Kind::Guid => it,
        })
    }

    fn literal(it: &'a Literal, kind: Kind) -> Self {
        match it {
            Literal::Text(it) => Self::text(Cow::Borrowed(it), kind),
            Literal::Number(it) => Self::Number(*it),
            Literal::Time(it) => Self::Time(*it),
            Literal::Bool(it) => Self::Bool(*it),
            Literal::Guid(it) => Self::Guid(*it),
        }
    }

    /// A value of an attribute, as the operator takes it.
    fn value(it: &Value, kind: Kind) -> Result<Self, &'static str> {
        match kind {
            Kind::Text | Kind::TextIgnoringCase => {
                let text = it.as_str().ok_or("the attribute holds what is no text")?;
                Ok(Self::text(Cow::Owned(text.to_owned()), kind))
            }
            Kind::Number => {
                it.as_i64().map(Self::Number).ok_or("the attribute holds what is no integer")
            }
            Kind::Time => it
                .as_str()
                .and_then(Timestamp::parse)
                .map(Self::Time)
                .ok_or("the attribute holds what is no time"),
            Kind::Bool => {
                it.as_bool().map(Self::Bool).ok_or("the attribute holds what is no boolean")
            }
            Kind::Guid => it
                .as_str()
                .and_then(ObjectId::parse)
                .map(Self::Guid)
                .ok_or("the attribute holds what is no GUID"),
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(mine), Self::Number(its)) => Some(mine.cmp(its)),
            (Self::Time(mine), Self::Time(its)) => Some(mine.cmp(its)),
            (_, _) => None,
        }
    }
}

/// The values of one side; `None` where its attribute is missing.
fn operand<'a>(
    operand: &'a Operand,
    kind: Kind,
    subject: &Subject<'_>,
) -> Result<Option<Vec<Seen<'a>>>, &'static str> {
    match operand {
        Operand::Values(all) => Ok(Some(all.iter().map(|it| Seen::literal(it, kind)).collect())),
        Operand::Attribute(it) => look_up(it, subject)
            .map(|found| {
                let all = found.as_array().map_or(std::slice::from_ref(&*found), Vec::as_slice);
                all.iter().map(|it| Seen::value(it, kind)).collect()
            })
            .transpose(),
    }
}

fn compare(it: &Comparison, subject: &Subject<'_>) -> Result<bool, Fault> {
    let fault = |because| Fault { at: it.at, because };
    let kind = it.operator.kind;
    let left = operand(&it.left, kind, subject).map_err(fault)?;
    let right = operand(&it.right, kind, subject).map_err(fault)?;
    let (Some(left), Some(right)) = (left, right) else { return Ok(false) };
    if it.quantifier.is_none() && (left.len() > 1 || right.len() > 1) {
        return Err(fault("the attribute holds several values, which need a quantifier"));
    }
    let (of_left, of_right) =
        it.quantifier.map_or((Each::Any, Each::Any), |it| (it.left, it.right));
    let mut steps = Steps::new();
    each(of_left, &left, |mine| {
        each(of_right, &right, |its| relates(it.operator.relation, mine, its, &mut steps))
    })
    .ok_or_else(|| fault("the comparison takes too many steps"))
}

/// True for any or for all of the values; `None` where one has no answer before the question is settled.
fn each<'a, 'b>(
    each: Each,
    values: &'b [Seen<'a>],
    mut test: impl FnMut(&'b Seen<'a>) -> Option<bool>,
) -> Option<bool> {
    let settles = each == Each::Any;
    for it in values {
        if test(it)? == settles {
            return Some(settles);
        }
    }
    Some(!settles)
}

/// Compares one pair; `None` where that takes too many steps.
fn relates(
    relation: Relation,
    left: &Seen<'_>,
    right: &Seen<'_>,
    steps: &mut Steps,
) -> Option<bool> {
    let (mine, its) = match (left, right) {
        (Seen::Text(mine), Seen::Text(its)) => (&**mine, &**its),
        (_, _) => ("", ""),
    };
    // Texts are compared many bytes at a time.
    steps.take(1 + mine.len().min(its.len()) / 16)?;
    let order = || left.order(right);
    Some(match relation {
        Relation::Equals => left == right,
        Relation::NotEquals => left != right,
        Relation::StartsWith => mine.starts_with(its),
        Relation::NotStartsWith => !mine.starts_with(its),
        Relation::Like => like(mine, its, steps)?,
        Relation::NotLike => !like(mine, its, steps)?,
        Relation::Less => order() == Some(Ordering::Less),
        Relation::LessOrEqual => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
        Relation::Greater => order() == Some(Ordering::Greater),
        Relation::GreaterOrEqual => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// One side as a trace names it.
fn shown(operand: &Operand) -> String {
    match operand {
        Operand::Attribute(it) => it.to_string(),
        Operand::Values(all) => json!(all.iter().map(json_of).collect::<Vec<_>>()).to_string(),
    }
}

/// One side's values for a trace.
fn values_of(operand: &Operand, subject: &Subject<'_>) -> Option<Value> {
    match operand {
        Operand::Attribute(it) => look_up(it, subject).map(Cow::into_owned),
        Operand::Values(all) => match all.as_slice() {
            [one] => Some(json_of(one)),
            several => Some(several.iter().map(json_of).collect()),
        },
    }
}

fn json_of(literal: &Literal) -> Value {
    match literal {
        Literal::Text(it) => json!(it),
        Literal::Number(it) => json!(it),
        Literal::Time(it) => json!(it.rfc3339()),
        Literal::Bool(it) => json!(it),
        Literal::Guid(it) => json!(it),
    }
}
