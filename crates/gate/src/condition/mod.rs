//! Conditions of role assignments and roles: a further test that a grant must pass, in the language that
//! Azure calls ABAC, version 2.0.
//!
//! Start at [`Condition::parse`]: the text is compiled once, when it is written, and refused there with
//! its place. [`Condition::holds`] asks it about a call. Nothing here decides alone: `access` grants only
//! where the conditions hold, and one that cannot be evaluated does not. Source: Azure RBAC documentation,
//! "Azure role assignment condition format and syntax"; what that leaves open is said where it is decided.

mod evaluate;
mod like;
mod operators;
mod parse;
mod token;

use model::trace::{self, RecordedAttributes};
use model::{ActionPattern, ObjectId, Timestamp};
use operators::{Operator, Quantifier};
use serde_json::{Map, Value};
use std::fmt;

/// The only version of the language.
pub const VERSION: &str = "2.0";
/// Longest text. Source: Azure RBAC documentation, limits: conditions have up to 8 KB.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// Deepest nesting of parentheses and negations.
pub const DEPTH_MAX: usize = 64;
/// Most tests and values in one condition.
pub const NODES_MAX: usize = 1_024;
/// Most steps that one comparison takes: pairs of values, and characters tried by a pattern.
pub const STEPS_MAX: usize = 100_000;

/// The names of all operators and of the quantifiers that stand before them.
pub fn operators() -> impl Iterator<Item = &'static str> {
    let quantifiers = operators::QUANTIFIERS.iter().map(|it| it.name);
    operators::OPERATORS.iter().map(|it| it.name).chain(quantifiers)
}

/// Where in the text something stands, both from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub line: usize,
    pub character: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, character {}", self.line, self.character)
    }
}

/// The text is no condition: where, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotACondition {
    pub at: Position,
    pub because: String,
}

impl fmt::Display for NotACondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for NotACondition {}

/// A comparison that has no answer: what it met is not what its operator compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub at: Position,
    pub because: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for Fault {}

/// What the conditions of a call can look at besides its action and its time; nothing by default.
///
/// Names compare without regard to case, as those of Azure's resource types do. A value is a text, an
/// integer, a boolean, or a list of such.
#[derive(Clone, Copy, Default, Debug)]
pub struct Attributes<'a> {
    pub request: Option<&'a Map<String, Value>>,
    pub resource: Option<&'a Map<String, Value>>,
    pub principal: Option<&'a Map<String, Value>>,
    /// Takes the place of what is known without it: the time, and that no private link is in use.
    pub environment: Option<&'a Map<String, Value>>,
}

impl<'a> Attributes<'a> {
    /// As a trace keeps them; nothing where there are none.
    pub(crate) fn recorded(&self) -> Option<Box<RecordedAttributes>> {
        let all = [self.request, self.resource, self.principal, self.environment];
        all.iter().any(Option::is_some).then(|| {
            Box::new(RecordedAttributes {
                request: self.request.cloned(),
                resource: self.resource.cloned(),
                principal: self.principal.cloned(),
                environment: self.environment.cloned(),
            })
        })
    }

    /// From a trace.
    pub(crate) fn replayed(kept: Option<&'a RecordedAttributes>) -> Self {
        kept.map_or_else(Self::default, |it| Self {
            request: it.request.as_ref(),
            resource: it.resource.as_ref(),
            principal: it.principal.as_ref(),
            environment: it.environment.as_ref(),
        })
    }
}

/// The call that a condition is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The action that is looked for a grant of.
    pub action: &'a str,
    pub attributes: Attributes<'a>,
    /// `UtcNow`, where the call has a time.
    pub now: Option<Timestamp>,
}

/// A compiled condition.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// As its author wrote it.
    pub text: Box<str>,
    test: Test,
}

impl Condition {
    /// Compiles a text.
    ///
    /// # Errors
    /// [`NotACondition`] with the first place that cannot be read, or that is past one of the limits.
    pub fn parse(text: &str) -> Result<Self, NotACondition> {
        Ok(Self { test: parse::parse(text)?, text: text.into() })
    }

    /// True where the condition is fulfilled. With `record`, every comparison is made, and the first 64
    /// are noted under the name of what the condition stands in; without, the first that settles the
    /// answer ends it. The answer is the same.
    ///
    /// # Errors
    /// The [`Fault`] of a comparison without an answer, unless the others settle it whatever it is.
    pub fn holds(
        &self,
        subject: &Subject<'_>,
        record: Option<(&str, &mut Vec<trace::Condition>)>,
    ) -> Result<bool, Fault> {
        evaluate::holds(
            &self.test,
            subject,
            &mut record.map(|(of, all)| evaluate::Record { of, all }),
        )
    }
}

/// A condition, as a tree.
#[derive(Clone, PartialEq, Debug)]
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    ActionMatches { at: Position, pattern: ActionPattern },
    SubOperationMatches { at: Position, name: Box<str> },
    Exists { at: Position, attribute: Attribute },
    Compare(Comparison),
}

#[derive(Clone, PartialEq, Debug)]
struct Comparison {
    at: Position,
    left: Operand,
    quantifier: Option<Quantifier>,
    operator: Operator,
    right: Operand,
}

#[derive(Clone, PartialEq, Debug)]
enum Operand {
    Attribute(Attribute),
    /// One at least.
    Values(Vec<Literal>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Attribute {
    source: Source,
    /// With its key, where it has one: `Microsoft.Authorization/roleAssignments:PrincipalId`.
    name: Box<str>,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}[{}]", self.source.as_str(), self.name)
    }
}

/// Whose attribute it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Principal,
    Resource,
    Request,
    Environment,
}

impl Source {
    const ALL: [Self; 4] = [Self::Principal, Self::Resource, Self::Request, Self::Environment];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "Principal",
            Self::Resource => "Resource",
            Self::Request => "Request",
            Self::Environment => "Environment",
        }
    }
}

/// A value as the condition holds it, of the type that its operator compares.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Literal {
    Text(Box<str>),
    Number(i64),
    Time(Timestamp),
    Bool(bool),
    Guid(ObjectId),
}

#[cfg(test)]
mod tests;
