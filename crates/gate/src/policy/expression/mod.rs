//! Expressions: texts in brackets, such as `[concat('a', parameters('b'))]`, and values that hold them.
//!
//! They are read once, when a policy is written ([`parse`]), into a tree in which every function is known,
//! every parameter declared and every field that is named outright a field. A decision walks the tree
//! ([`evaluate`]). Source: Azure Resource Manager documentation, "Template functions", and Azure Policy
//! definition structure, "Policy functions".

mod evaluate;
mod functions;
mod parse;

pub(super) use functions::Function;
pub use functions::functions;
pub(super) use parse::{Counted, Scope};

use super::evaluate::Env;
use super::fields::Field;
use super::lacking::Lack;
pub(super) use ::expression::Fault;
use ::expression::{checked, owned};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Longest expression, in characters.
pub const EXPRESSION_CHARS_MAX: usize = 81_920;
/// Most calls of functions in one rule.
pub const FUNCTIONS_MAX: usize = 2_048;

/// Deepest nesting of lists and objects around expressions.
const TEMPLATE_DEPTH_MAX: usize = 64;

/// An expression, compiled.
#[derive(Clone, Debug)]
pub enum Expression {
    Literal(Value),
    /// By its name in lower case; it is declared.
    Parameter(String),
    /// `field('...')` of a name that is written out.
    Field(Box<Field>),
    /// `current('...')`, or `current()` without a name.
    Current(Current),
    If(Box<[Expression; 3]>),
    Call {
        function: Function,
        arguments: Vec<Expression>,
    },
    /// `.name`, `['name']` and `[0]`, one behind the other.
    Access {
        of: Box<Expression>,
        steps: Vec<Expression>,
    },
}

/// What a count enumerates just now.
#[derive(Clone, Debug)]
pub enum Current {
    /// Of the one count around it.
    Only,
    /// Of the count of values of that name.
    Named(String),
    /// What an alias selects of the list that is counted.
    Alias(Box<Field>),
}

/// A value as it is written, in which texts may be expressions.
#[derive(Clone, Debug)]
pub enum Template {
    Literal(Value),
    Expression(Expression),
    List(Vec<Template>),
    Object(Vec<(String, Template)>),
}

/// What a text means: itself, or an expression.
enum Meaning<'a> {
    Text(&'a str),
    Expression(&'a str),
}

/// `[[` stands for a leading `[`. A text that begins as an expression and does not end as one would be
/// taken for a literal by Azure, and is more likely a mistake: it is refused.
fn meaning(text: &str) -> Result<Meaning<'_>, Lack> {
    match text.strip_prefix('[') {
        None => Ok(Meaning::Text(text)),
        Some(rest) if rest.starts_with('[') => Ok(Meaning::Text(rest)),
        Some(rest) => match rest.strip_suffix(']') {
            Some(inner) => Ok(Meaning::Expression(inner)),
            None => Err(Lack::refused(
                "the expression does not end in `]`; a text that begins with `[` is written `[[`",
            )),
        },
    }
}

impl Template {
    /// Reads a value. What holds no expression becomes a literal as a whole.
    pub(super) fn parse(value: &Value, scope: &mut Scope<'_>) -> Result<Self, Lack> {
        Self::parse_at(value, scope, 0)
    }

    fn parse_at(value: &Value, scope: &mut Scope<'_>, depth: usize) -> Result<Self, Lack> {
        if depth > TEMPLATE_DEPTH_MAX {
            return Err(Lack::refused(format!("nested deeper than {TEMPLATE_DEPTH_MAX} levels")));
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Self::Literal(value.clone())),
            Value::String(text) => match meaning(text)? {
                Meaning::Text(it) => Ok(Self::Literal(Value::String(it.to_owned()))),
                Meaning::Expression(it) => Ok(Self::Expression(parse::parse(it, scope)?)),
            },
            Value::Array(items) => {
                let all: Vec<Self> = items
                    .iter()
                    .map(|it| Self::parse_at(it, scope, depth + 1))
                    .collect::<Result<_, _>>()?;
                let literal: Option<Vec<Value>> = all.iter().map(Self::literal).collect();
                Ok(literal.map_or(Self::List(all), |it| Self::Literal(Value::Array(it))))
            }
            Value::Object(members) => {
                let all: Vec<(String, Self)> = members
                    .iter()
                    .map(|(name, it)| Ok((name.clone(), Self::parse_at(it, scope, depth + 1)?)))
                    .collect::<Result<_, Lack>>()?;
                let literal: Option<Map<String, Value>> =
                    all.iter().map(|(name, it)| Some((name.clone(), it.literal()?))).collect();
                Ok(literal.map_or(Self::Object(all), |it| Self::Literal(Value::Object(it))))
            }
        }
    }

    fn literal(&self) -> Option<Value> {
        match self {
            Self::Literal(it) => Some(it.clone()),
            Self::Expression(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The parameter that this is and nothing else, by its name in lower case.
    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Expression(Expression::Parameter(name)) => Some(name),
            Self::Literal(_) | Self::Expression(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    pub(super) fn evaluate<'v>(&'v self, env: Env<'v>) -> Result<Cow<'v, Value>, Fault> {
        match self {
            Self::Literal(it) => Ok(Cow::Borrowed(it)),
            Self::Expression(it) => it.evaluate(env),
            Self::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                for it in items {
                    all.push(owned(it.evaluate(env)?, &env.context.steps)?);
                }
                checked(Value::Array(all), &env.context.steps)
            }
            Self::Object(members) => {
                let mut all = Map::new();
                for (name, it) in members {
                    let value = owned(it.evaluate(env)?, &env.context.steps)?;
                    all.insert(name.clone(), value);
                }
                checked(Value::Object(all), &env.context.steps)
            }
        }
    }
}

#[cfg(test)]
mod tests;
