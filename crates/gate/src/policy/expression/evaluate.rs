//! The value of an expression. Recursion is bounded by the depth that reading allows; whatever is copied or
//! made is counted first, so that no expression makes more than it may.

use super::functions::{Given, Run};
use super::{Current, Expression, Fault, TEXT_CHARS_MAX, VALUE_DEPTH_MAX, VALUE_NODES_MAX};
use crate::policy::evaluate::Env;
use crate::policy::fields::{self, Field};
use crate::policy::select::{self, Seen};
use model::json::member;
use serde_json::Value;
use std::borrow::Cow;

impl Expression {
    pub(in crate::policy) fn evaluate<'v>(&'v self, env: Env<'v>) -> Result<Cow<'v, Value>, Fault> {
        env.spend(1)?;
        match self {
            Self::Literal(it) => Ok(Cow::Borrowed(it)),
            Self::Parameter(name) => match env.context.arguments.get(name) {
                Some(it) => Ok(Cow::Borrowed(it)),
                None => Fault::new(format!("the parameter `{name}` has no value")),
            },
            Self::Field(field) => field_value(field, env),
            Self::Current(which) => current(which, env),
            Self::If(three) => {
                let [condition, then, otherwise] = &**three;
                match condition.evaluate(env)?.as_bool() {
                    Some(true) => then.evaluate(env),
                    Some(false) => otherwise.evaluate(env),
                    None => Fault::new("`if`: the first argument is neither true nor false"),
                }
            }
            Self::Call { function, arguments } => {
                let mut all = Vec::with_capacity(arguments.len());
                for it in arguments {
                    all.push(it.evaluate(env)?);
                }
                let given = Given(&all);
                let made = match function.run {
                    Run::Whole(run) => {
                        for it in &all {
                            charge(it, env)?;
                        }
                        run(&given)
                    }
                    Run::Part(run) => run(&given),
                    Run::Around(run) => run(&given, env),
                    Run::Field => {
                        let name = given.text(0)?;
                        let field = fields::parse(name).map_err(|it| Fault(it.because))?;
                        return field_value(&field, env).map(|it| Cow::Owned(it.into_owned()));
                    }
                    // Reading turns these into trees of their own.
                    Run::Parameters | Run::Current | Run::If => Fault::new("it has no value here"),
                };
                let made = made.map_err(|it| Fault(format!("`{}`: {}", function.name, it.0)))?;
                checked(made, env).map_err(|it| Fault(format!("`{}`: {}", function.name, it.0)))
            }
            Self::Access { of, steps } => {
                let mut value = of.evaluate(env)?;
                for step in steps {
                    let key = step.evaluate(env)?;
                    value = match value {
                        Cow::Borrowed(it) => Cow::Borrowed(below(it, &key)?),
                        Cow::Owned(it) => {
                            let found = below(&it, &key)?;
                            charge(found, env)?;
                            Cow::Owned(found.clone())
                        }
                    };
                }
                Ok(value)
            }
        }
    }
}

/// The member of an object or of a list.
fn below<'v>(value: &'v Value, key: &Value) -> Result<&'v Value, Fault> {
    let found = match (value, key) {
        (Value::Object(_), Value::String(name)) => member(value, name),
        (Value::Array(items), Value::Number(at)) => {
            at.as_u64().and_then(|it| usize::try_from(it).ok()).and_then(|it| items.get(it))
        }
        (_, _) => None,
    };
    match found {
        Some(it) => Ok(it),
        None => Fault::new(format!("there is nothing at `{}`", brief(key))),
    }
}

/// A value in a message: not the whole of it where it is long.
pub(super) fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(it) => it.chars().take(41).collect::<String>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) => return "a list".into(),
        Value::Object(_) => return "an object".into(),
    };
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("").escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// What `field('...')` gives: the empty text for what is missing, a list of all that is selected for `[*]`.
pub(in crate::policy) fn field_value<'v>(
    field: &Field,
    env: Env<'v>,
) -> Result<Cow<'v, Value>, Fault> {
    if field.is_many() {
        let mut items = Vec::new();
        for it in select::many(field, env)? {
            items.push(owned(shown(it, env)?, env)?);
        }
        return checked(Value::Array(items), env);
    }
    let mut room = select::Room::default();
    Ok(match select::stored(field, env) {
        Some(Seen::Missing) => Cow::Owned(Value::String(String::new())),
        Some(it) => shown(it, env)?,
        None => match select::made(field, env, &mut room) {
            Seen::Text(it) => Cow::Owned(it.into()),
            Seen::Missing | Seen::Value(_) => Cow::Owned(Value::String(String::new())),
        },
    })
}

fn shown<'v>(seen: Seen<'v>, env: Env<'_>) -> Result<Cow<'v, Value>, Fault> {
    Ok(match seen {
        Seen::Missing => Cow::Owned(Value::Null),
        Seen::Text(it) => {
            env.spend_bytes(it.len())?;
            Cow::Owned(it.into())
        }
        Seen::Value(it) => Cow::Borrowed(it),
    })
}

fn current<'v>(which: &'v Current, env: Env<'v>) -> Result<Cow<'v, Value>, Fault> {
    let found = match which {
        Current::Only => env.frame.map(|it| it.value),
        Current::Named(name) => env.named(name),
        Current::Alias(field) => {
            return match select::many(field, env)?.as_slice() {
                [one] => shown(*one, env),
                _ => field_value(field, env),
            };
        }
    };
    match found {
        Some(it) => Ok(Cow::Borrowed(it)),
        None => Fault::new("`current`: nothing is counted here"),
    }
}

/// A value to keep: copied where it lies elsewhere, and counted then.
pub(super) fn owned(value: Cow<'_, Value>, env: Env<'_>) -> Result<Value, Fault> {
    match value {
        Cow::Owned(it) => Ok(it),
        Cow::Borrowed(it) => {
            charge(it, env)?;
            Ok(it.clone())
        }
    }
}

/// Counts what it takes to read or copy a value: a step for each in it, and for every 64 bytes of text. It
/// stops where the steps are used up.
pub(in crate::policy) fn charge(value: &Value, env: Env<'_>) -> Result<(), Fault> {
    env.spend(1)?;
    match value {
        Value::String(it) => env.spend_bytes(it.len()),
        Value::Array(items) => items.iter().try_for_each(|it| charge(it, env)),
        Value::Object(members) => members.iter().try_for_each(|(name, it)| {
            env.spend_bytes(name.len())?;
            charge(it, env)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// A value that was made, where it is within the limits.
pub(super) fn checked<'v>(value: Value, env: Env<'_>) -> Result<Cow<'v, Value>, Fault> {
    fn walk(value: &Value, depth: usize, nodes: &mut usize, env: Env<'_>) -> Result<(), Fault> {
        *nodes += 1;
        if *nodes > VALUE_NODES_MAX {
            return Fault::new("the value holds more than 32,768 values");
        }
        if depth > VALUE_DEPTH_MAX {
            return Fault::new(format!("the value is nested deeper than {VALUE_DEPTH_MAX} levels"));
        }
        env.spend(1)?;
        match value {
            Value::String(it) => text_fits(it),
            Value::Array(items) => items.iter().try_for_each(|it| walk(it, depth + 1, nodes, env)),
            Value::Object(members) => members.iter().try_for_each(|(name, it)| {
                text_fits(name)?;
                walk(it, depth + 1, nodes, env)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    walk(&value, 0, &mut 0, env)?;
    Ok(Cow::Owned(value))
}

pub(super) fn text_fits(text: &str) -> Result<(), Fault> {
    // Nearly every text is shorter than this in bytes already.
    match text.len() > TEXT_CHARS_MAX && text.chars().count() > TEXT_CHARS_MAX {
        true => Fault::new("a text is longer than 131,072 characters"),
        false => Ok(()),
    }
}
