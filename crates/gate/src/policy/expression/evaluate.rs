//! The value of an expression. Recursion is bounded by the depth that reading allows.

use super::functions::{Function, Run};
use super::{Current, Expression, Fault};
use crate::policy::evaluate::Env;
use crate::policy::fields::{self, Field};
use crate::policy::select::{self, Seen};
use ::expression::{Given, below, charge, checked, owned};
use serde_json::Value;
use std::borrow::Cow;

impl Expression {
    pub(in crate::policy) fn evaluate<'v>(&'v self, env: Env<'v>) -> Result<Cow<'v, Value>, Fault> {
        let steps = &env.context.steps;
        steps.spend(1)?;
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
                let own = match function {
                    Function::Common(it) => return it.call(&all, steps),
                    Function::Own(it) => it,
                };
                let given = Given(&all);
                let made = match own.run {
                    Run::Alone(run) => run(&given),
                    Run::Around(run) => run(&given, env),
                    Run::Field => {
                        let name = given.text(0)?;
                        let field = fields::parse(name).map_err(|it| Fault(it.because))?;
                        return field_value(&field, env).map(|it| Cow::Owned(it.into_owned()));
                    }
                    // Reading turns these into trees of their own.
                    Run::Parameters | Run::Current | Run::If => Fault::new("it has no value here"),
                };
                let named = |it: Fault| Fault(format!("`{}`: {}", function.name(), it.0));
                made.and_then(|it| checked(it, steps)).map_err(named)
            }
            Self::Access { of, steps: path } => {
                let mut value = of.evaluate(env)?;
                for step in path {
                    let key = step.evaluate(env)?;
                    value = match value {
                        Cow::Borrowed(it) => Cow::Borrowed(below(it, &key)?),
                        Cow::Owned(it) => {
                            let found = below(&it, &key)?;
                            charge(found, steps)?;
                            Cow::Owned(found.clone())
                        }
                    };
                }
                Ok(value)
            }
        }
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
            items.push(owned(shown(it, env)?, &env.context.steps)?);
        }
        return checked(Value::Array(items), &env.context.steps);
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
            env.context.steps.spend_bytes(it.len())?;
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
