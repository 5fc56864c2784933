//! The second gate: does an enforced policy deny the write, or the deletion?
//!
//! Start at [`rule`]. An assignment brings a definition, or an initiative of several, to a scope; the rules
//! are walked in order and the first that matches with `allow`, `deny` or `denyAction` is that assignment's
//! word. Rules that change what is written have their turn before, see `walk/changing.rs`. Any assignment's deny denies; an `allow` shields from the later rules of its own assignment and
//! grants nothing. Reads and actions are not judged. Source: Azure Policy documentation; `allow`, ordered
//! rules, caller fields and `principalIds` are this product's own.

mod bound;
mod changes;
mod compare;
mod compliance;
mod effects;
mod envelope;
mod evaluate;
mod expression;
mod fields;
mod initiative;
mod kind;
mod lacking;
mod parameters;
mod parse;
mod reach;
mod required;
mod select;
mod selectors;
mod then;
mod walk;

pub use ::expression::{
    ARGUMENTS_MAX, EXPRESSION_DEPTH_MAX, STEPS_MAX, TEXT_CHARS_MAX, VALUE_DEPTH_MAX,
    VALUE_NODES_MAX,
};
pub(crate) use bound::Bound;
pub use changes::{
    CHANGEABLE, Change, ChangeStep, Changes, Conflict, Doing, OPERATIONS_MAX, Setting,
};
pub use compliance::{Compliance, Detail, Existing, State, percentage, reaching, states};
pub use effects::{Cascade, Effect, check_mode};
pub use envelope::evaluated;
pub use evaluate::{EvaluationError, ITERATIONS_MAX, Names, Subject, holds};
pub use expression::{EXPRESSION_CHARS_MAX, FUNCTIONS_MAX, Template, functions};
pub use fields::{Field, Place, Step};
pub(crate) use initiative::Brought;
pub use initiative::{
    Initiative, MEMBERS_MAX, Member, bind_initiative, check_members, parse_members, version_fits,
};
pub use kind::Kind;
pub use parameters::{Arguments, Declared, PARAMETERS_MAX, ParameterFault, Values, bind};
pub use parse::{
    CONDITIONS_MAX, DEPTH_MAX, FIELD_COUNTS_MAX, NotAPolicy, Parsed, RULES_MAX, VALUE_COUNTS_MAX,
    parse, parse_rules,
};
pub use reach::guards_deletions;
pub(crate) use required::is_role;
pub use required::{REQUIRED_ROLES_MAX, Required, check_given_roles, check_roles};
pub use selectors::{
    Override, ResourceSelector, SELECTORS_MAX, Selector, SelectorKind, VALUES_MAX, parse_overrides,
    parse_resource_selectors, references,
};
pub(crate) use walk::rule;

use crate::facts::Facts;
use model::{ObjectId, Scope, Timestamp};
use serde_json::Value;
use std::sync::Arc;

/// One rule: a condition and what follows from it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it stands in its definition, from 0.
    pub index: usize,
    pub condition: Test,
    pub then: Then,
    /// What an `append` or a `modify` does.
    pub changes: Option<Changes>,
    /// Roles that the caller must hold: only where one is lacking does the rule take effect.
    pub required: Option<Required>,
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
        /// The details of a `denyAction`, where they are given.
        guard: Option<Cascade>,
    },
}

impl Rule {
    /// The effect under these parameters.
    pub fn effect(&self, arguments: Arguments<'_>) -> Result<Effect, EvaluationError> {
        let (at, template, guard) = match &self.then {
            Then::Is(it) => return Ok(*it),
            Then::Computed { at, template, guard } => (at, template, guard),
        };
        let no = |because: String| EvaluationError { at: at.clone(), because };
        let value = evaluate::constant(template, arguments).map_err(|it| no(it.0))?;
        match (then::effect(value.as_str().unwrap_or("")), guard) {
            (Ok(Effect::DenyAction(_)), Some(it)) => Ok(Effect::DenyAction(*it)),
            (Ok(Effect::DenyAction(_)), None) => {
                Err(no("`denyAction` takes `details`: {\"actionNames\": [\"delete\"]}".into()))
            }
            (Ok(it), _)
                if it.changes() && self.changes.as_ref().is_none_or(|own| own.effect != it) =>
            {
                Err(no(changes::wanted(it).into()))
            }
            (Ok(it), _) if self.required.is_some() && !required::takes_roles(it) => {
                Err(no(required::unfit(it)))
            }
            (Ok(it), _) => Ok(it),
            (Err(it), _) => Err(no(it.because)),
        }
    }

    /// The effect that Azure has and these policies do not, where these parameters ask for one.
    fn lacking_effect(&self, arguments: Arguments<'_>) -> Option<&'static str> {
        let Then::Computed { template, .. } = &self.then else { return None };
        let value = evaluate::constant(template, arguments).ok()?;
        then::effect(value.as_str()?).err()?.lacks
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

impl PolicyDefinition {
    /// True where a rule may change what is written.
    pub(crate) fn changes(&self) -> bool {
        self.rules.iter().any(|it| it.changes.is_some())
    }
}

/// A definition or an initiative brought to a scope.
#[derive(Clone, Debug)]
pub struct PolicyAssignment {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub scope: Scope,
    /// Below the scope: not evaluated there.
    pub not_scopes: Vec<Scope>,
    /// Of the definition or the initiative.
    pub definition_id: String,
    /// The same in lower case, by which it is found.
    pub definition_key: String,
    /// False for `DoNotEnforce`: evaluated and told, never applied.
    pub is_enforced: bool,
    /// What it gives to the parameters of the definition or the initiative.
    pub parameters: Values,
    /// Why, in the author's words.
    pub messages: Vec<Message>,
    /// Other effects than the definitions say, in the order in which they are tried.
    pub overrides: Vec<Override>,
    /// The resources that it is about: any one is enough, and none means every resource.
    pub resource_selectors: Vec<ResourceSelector>,
}

/// Why an assignment refuses, in the author's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub text: String,
    /// The member that it is about; `None` for every member, and where there are none.
    pub reference_id: Option<String>,
}

impl PolicyAssignment {
    /// What its author says to a refusal: the sentence for the member, or else the one for all.
    pub(crate) fn message(&self, reference_id: Option<&str>) -> Option<&str> {
        let own = |it: &&Message| match (&it.reference_id, reference_id) {
            (Some(mine), Some(its)) => mine.eq_ignore_ascii_case(its),
            (_, _) => false,
        };
        let general = || self.messages.iter().find(|it| it.reference_id.is_none());
        self.messages.iter().find(own).or_else(general).map(|it| it.text.as_str())
    }
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
    /// The members of an initiative whose rules it takes away; empty is the whole assignment.
    pub reference_ids: Vec<String>,
    /// The resources that it is about: any one is enough, and none means every resource.
    pub resource_selectors: Vec<ResourceSelector>,
}

impl Facts {
    pub fn put_policy_definition(&mut self, definition: PolicyDefinition) {
        self.unbind_policies();
        let key = definition.id.to_ascii_lowercase();
        match definition.changes() {
            true => Arc::make_mut(&mut self.changing_definitions).insert(key.clone()),
            false => self.forget_changing(&key),
        };
        Arc::make_mut(&mut self.policy_definitions).insert(key, Arc::new(definition));
    }

    fn forget_changing(&mut self, key: &str) -> bool {
        // Copied only where it is in it: nearly no definition is.
        self.changing_definitions.contains(key)
            && Arc::make_mut(&mut self.changing_definitions).remove(key)
    }

    pub fn put_policy_assignment(&mut self, assignment: PolicyAssignment) {
        self.unbind_policies();
        Arc::make_mut(&mut self.policy_assignments)
            .insert(assignment.id.to_ascii_lowercase(), Arc::new(assignment));
    }

    pub fn put_policy_exemption(&mut self, exemption: Exemption) {
        Arc::make_mut(&mut self.policy_exemptions)
            .insert(exemption.id.to_ascii_lowercase(), Arc::new(exemption));
    }

    pub fn remove_policy_definition(&mut self, id: &str) {
        self.unbind_policies();
        let key = id.to_ascii_lowercase();
        self.forget_changing(&key);
        Arc::make_mut(&mut self.policy_definitions).remove(&key);
    }

    pub fn remove_policy_assignment(&mut self, id: &str) {
        self.unbind_policies();
        Arc::make_mut(&mut self.policy_assignments).remove(&id.to_ascii_lowercase());
    }

    pub fn remove_policy_exemption(&mut self, id: &str) {
        Arc::make_mut(&mut self.policy_exemptions).remove(&id.to_ascii_lowercase());
    }
}
