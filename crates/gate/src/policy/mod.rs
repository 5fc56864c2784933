//! The second gate: does an enforced policy deny the write?
//!
//! Start at [`rule`]. An assignment brings a definition to a scope; its rules are walked in order and the
//! first that matches with `allow` or `deny` is that assignment's word. Any assignment's deny denies; an
//! `allow` shields from the later rules of its own assignment and grants nothing. Reads and actions are
//! not judged. Source: Azure Policy documentation; `allow`, ordered rules, caller fields and
//! `principalIds` are this product's own.

mod compare;
mod evaluate;
mod expression;
mod fields;
mod lacking;
mod parameters;
mod parse;
mod select;
mod walk;

pub use evaluate::{EvaluationError, ITERATIONS_MAX, Names, STEPS_MAX, Subject, holds};
pub use expression::{
    ARGUMENTS_MAX, EXPRESSION_CHARS_MAX, EXPRESSION_DEPTH_MAX, FUNCTIONS_MAX, TEXT_CHARS_MAX,
    Template, VALUE_DEPTH_MAX, VALUE_NODES_MAX, functions,
};
pub use fields::{Field, Place, Step};
pub use parameters::{Arguments, Declared, Kind, PARAMETERS_MAX, ParameterFault, Values, bind};
pub use parse::{
    CONDITIONS_MAX, DEPTH_MAX, FIELD_COUNTS_MAX, NotAPolicy, Parsed, RULES_MAX, VALUE_COUNTS_MAX,
    parse, parse_rules,
};
pub(crate) use walk::rule;

use crate::facts::Facts;
use model::{ObjectId, Scope, Timestamp};
use serde_json::Value;
use std::sync::Arc;

/// What a rule does where its condition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Deny,
    /// Shields from the later rules of its own assignment.
    Allow,
    /// Puts the call on record and goes on.
    Audit,
    /// The rule is not evaluated.
    Disabled,
}

impl Effect {
    pub const ALL: [Self; 4] = [Self::Deny, Self::Allow, Self::Audit, Self::Disabled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::Audit => "audit",
            Self::Disabled => "disabled",
        }
    }
}

/// One rule: a condition and what follows from it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it stands in its definition, from 0.
    pub index: usize,
    pub condition: Test,
    pub then: Then,
    /// As it was written.
    pub source: Value,
}

/// What follows where a condition holds.
#[derive(Clone, Debug)]
pub enum Then {
    Is(Effect),
    /// Parameters say.
    Computed {
        /// Where it stands: `policyRule.then.effect`.
        at: String,
        template: Template,
    },
}

impl Rule {
    /// The effect under these parameters.
    pub fn effect(&self, arguments: Arguments<'_>) -> Result<Effect, EvaluationError> {
        let (at, template) = match &self.then {
            Then::Is(it) => return Ok(*it),
            Then::Computed { at, template } => (at, template),
        };
        let no = |because: String| EvaluationError { at: at.clone(), because };
        let value = evaluate::constant(template, arguments).map_err(|it| no(it.0))?;
        parse::effect(value.as_str().unwrap_or("")).map_err(|it| no(it.because))
    }

    /// The effect that Azure has and these policies do not, where these parameters ask for one.
    fn lacking_effect(&self, arguments: Arguments<'_>) -> Option<&'static str> {
        let Then::Computed { template, .. } = &self.then else { return None };
        let value = evaluate::constant(template, arguments).ok()?;
        parse::effect(value.as_str()?).err()?.lacks
    }
}

/// A condition, as a tree.
#[derive(Clone, Debug)]
pub enum Test {
    AllOf(Vec<Test>),
    AnyOf(Vec<Test>),
    Not(Box<Test>),
    Compare(Comparison),
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Where it stands: `policyRule.if.allOf[1]`.
    pub path: String,
    pub left: Left,
    pub operator: Operator,
    pub expected: Template,
}

/// What is compared.
#[derive(Clone, Debug)]
pub enum Left {
    /// With its name as the author wrote it.
    Field {
        text: String,
        field: FieldName,
    },
    Value {
        text: String,
        template: Template,
    },
    Count(Box<Count>),
}

/// The name of a field: known when it was written, or put together for each decision.
#[derive(Clone, Debug)]
pub enum FieldName {
    Known(Field),
    Computed(Template),
}

/// How many members of a list there are, or hold a condition.
#[derive(Clone, Debug)]
pub struct Count {
    /// What is counted, as the author wrote it.
    pub text: String,
    pub over: Over,
    pub condition: Option<Test>,
}

/// What a count goes through.
#[derive(Clone, Debug)]
pub enum Over {
    /// Its last step is `[*]`.
    Field(Field),
    Values {
        list: Template,
        name: String,
    },
}

/// How a field is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    Equals,
    NotEquals,
    Like,
    NotLike,
    Match,
    NotMatch,
    MatchInsensitively,
    NotMatchInsensitively,
    Contains,
    NotContains,
    In,
    NotIn,
    ContainsKey,
    NotContainsKey,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
    Exists,
}

impl Operator {
    pub const ALL: [(Self, &'static str); 19] = [
        (Self::Equals, "equals"),
        (Self::NotEquals, "notEquals"),
        (Self::Like, "like"),
        (Self::NotLike, "notLike"),
        (Self::Match, "match"),
        (Self::NotMatch, "notMatch"),
        (Self::MatchInsensitively, "matchInsensitively"),
        (Self::NotMatchInsensitively, "notMatchInsensitively"),
        (Self::Contains, "contains"),
        (Self::NotContains, "notContains"),
        (Self::In, "in"),
        (Self::NotIn, "notIn"),
        (Self::ContainsKey, "containsKey"),
        (Self::NotContainsKey, "notContainsKey"),
        (Self::Less, "less"),
        (Self::LessOrEquals, "lessOrEquals"),
        (Self::Greater, "greater"),
        (Self::GreaterOrEquals, "greaterOrEquals"),
        (Self::Exists, "exists"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, text)| text)
    }
}

/// A policy definition, compiled when it was written.
#[derive(Clone, Debug)]
pub struct PolicyDefinition {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub version: String,
    pub parameters: Declared,
    pub rules: Vec<Rule>,
}

/// A definition brought to a scope.
#[derive(Clone, Debug)]
pub struct PolicyAssignment {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub scope: Scope,
    /// Below the scope: not evaluated there.
    pub not_scopes: Vec<Scope>,
    pub definition_id: String,
    /// The same in lower case, by which the definition is found.
    pub definition_key: String,
    /// False for `DoNotEnforce`: evaluated and told, never applied.
    pub is_enforced: bool,
    /// What it gives to the definition's parameters.
    pub parameters: Values,
    /// Why, in the author's words.
    pub message: Option<String>,
}

/// Takes an assignment's rules away from a scope, for everybody or for named callers, for a time or for good.
#[derive(Clone, Debug)]
pub struct Exemption {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub scope: Scope,
    pub assignment_id: String,
    /// Honoured strictly before this instant.
    pub expires: Option<Timestamp>,
    /// Whom it exempts; empty is everybody.
    pub principal_ids: Vec<ObjectId>,
}

impl Facts {
    pub fn put_policy_definition(&mut self, definition: PolicyDefinition) {
        Arc::make_mut(&mut self.policy_definitions)
            .insert(definition.id.to_ascii_lowercase(), Arc::new(definition));
    }

    pub fn put_policy_assignment(&mut self, assignment: PolicyAssignment) {
        Arc::make_mut(&mut self.policy_assignments)
            .insert(assignment.id.to_ascii_lowercase(), Arc::new(assignment));
    }

    pub fn put_policy_exemption(&mut self, exemption: Exemption) {
        Arc::make_mut(&mut self.policy_exemptions)
            .insert(exemption.id.to_ascii_lowercase(), Arc::new(exemption));
    }

    pub fn remove_policy_definition(&mut self, id: &str) {
        Arc::make_mut(&mut self.policy_definitions).remove(&id.to_ascii_lowercase());
    }

    pub fn remove_policy_assignment(&mut self, id: &str) {
        Arc::make_mut(&mut self.policy_assignments).remove(&id.to_ascii_lowercase());
    }

    pub fn remove_policy_exemption(&mut self, id: &str) {
        Arc::make_mut(&mut self.policy_exemptions).remove(&id.to_ascii_lowercase());
    }
}
