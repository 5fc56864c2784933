//! The second gate: does an enforced policy deny the write, or the deletion?
//!
//! Start at [`rule`]. An assignment brings a definition, or an initiative of several, to a scope; the rules
//! are walked in order and the first that matches with `allow`, `deny` or `denyAction` is that assignment's
//! word. Any assignment's deny denies; an `allow` shields from the later rules of its own assignment and
//! grants nothing. Reads and actions are not judged. Source: Azure Policy documentation; `allow`, ordered
//! rules, caller fields and `principalIds` are this product's own.

mod effects;
mod envelope;
mod evaluate;
mod initiative;
mod lacking;
mod parse;
mod selectors;
mod walk;

pub use effects::{Cascade, Effect, check_mode};
pub use evaluate::{Subject, holds};
pub use initiative::{Initiative, MEMBERS_MAX, Member, parse_members, version_fits};
pub use parse::{CONDITIONS_MAX, DEPTH_MAX, NotAPolicy, RULES_MAX, parse_rules};
pub use selectors::{
    Override, ResourceSelector, SELECTORS_MAX, Selector, SelectorKind, VALUES_MAX, parse_overrides,
    parse_resource_selectors, references,
};
pub use walk::guards_deletions;
pub(crate) use walk::rule;

use crate::facts::Facts;
use model::{ObjectId, Scope, Timestamp};
use serde_json::Value;
use std::sync::Arc;

/// One rule: a condition and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where it stands in its definition, from 0.
    pub index: usize,
    pub condition: Test,
    pub effect: Effect,
}

/// A condition, as a tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    AllOf(Vec<Test>),
    AnyOf(Vec<Test>),
    Not(Box<Test>),
    Field(FieldTest),
}

/// One comparison of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldTest {
    /// Where it stands: `policyRule.if.allOf[1]`.
    pub path: String,
    /// The field as the author wrote it.
    pub text: String,
    pub field: Field,
    pub operator: Operator,
    pub expected: Value,
}

/// What a condition can look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Type,
    Name,
    FullName,
    Id,
    Kind,
    Location,
    /// The identity on the resource, not the caller's.
    IdentityType,
    Tags,
    Tag(String),
    PrincipalId,
    PrincipalType,
    AppId,
    AuthType,
    /// The id of the resource whose own identity the caller is.
    CallerResource,
    /// The well-known name of the service whose own identity the caller is.
    CallerService,
    /// The write action that is asked for.
    Action,
    /// The path of the request.
    Endpoint,
    Protocol,
    /// `{type}/{path}`: a property of resources of that type.
    Property {
        kind: String,
        place: Place,
        path: Vec<String>,
    },
}

/// Where in a resource's body an alias leads. There is one place for each: a second one to look in would
/// let a caller choose which of two values is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// `sku`, `identity` and the like; and everything of what is no ARM resource.
    Top,
    Properties,
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
    Exists,
}

impl Operator {
    pub const ALL: [(Self, &'static str); 15] = [
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
    pub rules: Vec<Rule>,
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
