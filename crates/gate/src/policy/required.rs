//! `requiredRoles` of a rule: roles that its caller must hold.
//!
//! Where the rule's condition holds and the caller lacks one of them at the place that is judged, the rule takes
//! effect; where all are held, it does not match. Nothing is granted by it: what the roles allow is for the
//! access gate to say. This is ours: Azure Policy knows no such member.

use super::evaluate::{self, EvaluationError};
use super::expression::{Scope, Template};
use super::parse::at;
use super::walk::Judged;
use super::{Arguments, Effect, Kind, NotAPolicy, PolicyDefinition, Rule, Then, Values};
use crate::facts::{Facts, Role, RoleAssignment};
use model::trace::{Condition, LackedRole};
use model::{ObjectId, Scope as Place};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most roles that one rule requires.
pub const REQUIRED_ROLES_MAX: usize = 20;

/// The roles that a rule requires.
#[derive(Clone, Debug)]
pub struct Required {
    /// Where they stand: `policyRule.requiredRoles`.
    pub at: String,
    /// A list of names or ids of roles.
    pub roles: Template,
}

/// Reads `requiredRoles`.
pub(super) fn read(
    place: &str,
    value: &Value,
    scope: &mut Scope<'_>,
) -> Result<Required, NotAPolicy> {
    const LIST: &str = "this is a list of 1 to 20 roles, each by its name or its id";
    scope.is_static = true;
    let roles = Template::parse(value, scope).map_err(at(place));
    scope.is_static = false;
    let roles = roles?;
    let fits = |count: usize| (1..=REQUIRED_ROLES_MAX).contains(&count);
    match &roles {
        Template::Literal(Value::Array(all)) if fits(all.len()) => {
            for (index, it) in all.iter().enumerate() {
                check_text(&format!("{place}[{index}]"), it)?;
            }
        }
        Template::List(all) if fits(all.len()) => {
            for (index, it) in all.iter().enumerate() {
                if let Template::Literal(it) = it {
                    check_text(&format!("{place}[{index}]"), it)?;
                }
            }
        }
        Template::Expression(_) => {
            let kind = roles.parameter().and_then(|it| scope.declared.get(it)).map(|it| it.kind);
            if kind.is_some_and(|it| it != Kind::Array) {
                return no(place, "a list is taken here, and the parameter is of another type");
            }
        }
        Template::Literal(_) | Template::List(_) | Template::Object(_) => return no(place, LIST),
    }
    Ok(Required { at: place.to_owned(), roles })
}

/// Refuses roles beside an effect that lets through or changes: whoever lacks a role would gain by it.
pub(super) fn check_effect(required: &Required, then: &Then) -> Result<(), NotAPolicy> {
    match then {
        Then::Is(it) if !takes_roles(*it) => no(&required.at, &unfit(*it)),
        Then::Is(_) | Then::Computed { .. } => Ok(()),
    }
}

pub(super) const fn takes_roles(effect: Effect) -> bool {
    match effect {
        Effect::Deny | Effect::DenyAction(_) | Effect::Audit | Effect::Disabled => true,
        Effect::Allow | Effect::Append | Effect::Modify => false,
    }
}

pub(super) fn unfit(effect: Effect) -> String {
    format!(
        "a rule with `requiredRoles` denies or audits whoever lacks one of them; its effect cannot be `{}`",
        effect.as_str()
    )
}

fn no<T>(at: &str, because: &str) -> Result<T, NotAPolicy> {
    Err(NotAPolicy { at: at.to_owned(), because: because.to_owned(), lacks: None })
}

fn check_text(place: &str, value: &Value) -> Result<(), NotAPolicy> {
    match value.as_str().map(str::trim) {
        Some("") | None => no(place, "a role is named by a text: its name or its id"),
        Some(_) => Ok(()),
    }
}

/// Refuses a definition whose rules require roles that there are not, as far as its own text tells.
///
/// # Errors
/// With the place of the first such role.
pub fn check_roles(rules: &[Rule], facts: &Facts) -> Result<(), NotAPolicy> {
    for required in rules.iter().filter_map(|it| it.required.as_ref()) {
        for (index, text) in required.literals() {
            if find(text, facts).is_none() {
                return no(&format!("{}[{index}]", required.at), &unknown(text));
            }
        }
    }
    Ok(())
}

/// The same of what parameters give.
///
/// # Errors
/// With the place in the definition that the values are for.
pub fn check_given_roles(
    definition: &PolicyDefinition,
    given: &Values,
    facts: &Facts,
) -> Result<(), NotAPolicy> {
    let arguments = Arguments { declared: &definition.parameters, given };
    for required in definition.rules.iter().filter_map(|it| it.required.as_ref()) {
        let roles = required.names(arguments);
        let roles =
            roles.map_err(|it| NotAPolicy { at: it.at, because: it.because, lacks: None })?;
        if let Some(text) = roles.iter().find(|it| find(it, facts).is_none()) {
            return no(&required.at, &unknown(text));
        }
    }
    Ok(())
}

fn unknown(text: &str) -> String {
    format!(
        "there is no role `{}`; `az role definition list` shows all, by name and by id",
        text.escape_debug()
    )
}

/// True where a role has this name or id.
pub(crate) fn is_role(text: &str, facts: &Facts) -> bool {
    find(text, facts).is_some()
}

impl Required {
    /// What is written out, with its place in the list.
    pub(crate) fn literals(&self) -> Vec<(usize, &str)> {
        match &self.roles {
            Template::Literal(Value::Array(all)) => {
                all.iter().enumerate().filter_map(|(at, it)| Some((at, it.as_str()?))).collect()
            }
            Template::List(all) => {
                fn text(it: &Template) -> Option<&str> {
                    match it {
                        Template::Literal(it) => it.as_str(),
                        Template::Expression(_) | Template::List(_) | Template::Object(_) => None,
                    }
                }
                all.iter().enumerate().filter_map(|(at, it)| Some((at, text(it)?))).collect()
            }
            Template::Literal(_) | Template::Expression(_) | Template::Object(_) => Vec::new(),
        }
    }

    /// The names and ids under these parameters.
    fn names(&self, arguments: Arguments<'_>) -> Result<Vec<String>, EvaluationError> {
        let wrong = |because: String| EvaluationError { at: self.at.clone(), because };
        let value = evaluate::constant(&self.roles, arguments).map_err(|it| wrong(it.0))?;
        let texts: Option<Vec<String>> = value
            .as_array()
            .filter(|it| (1..=REQUIRED_ROLES_MAX).contains(&it.len()))
            .and_then(|all| all.iter().map(|it| it.as_str().map(str::to_owned)).collect());
        texts.ok_or_else(|| wrong("this is no list of 1 to 20 roles".into()))
    }
}

/// What a text names: a role's id, its full id, or its name.
enum Named<'a> {
    Id(ObjectId),
    Name(&'a str),
}

impl<'a> Named<'a> {
    fn read(text: &'a str) -> Self {
        let text = text.trim();
        let is_path = text.to_ascii_lowercase().contains("/roledefinitions/");
        let last = text.rsplit('/').next().filter(|_| is_path).unwrap_or(text);
        ObjectId::parse(last).map_or(Self::Name(text), Self::Id)
    }

    fn is(&self, role: &Role) -> bool {
        match self {
            Self::Id(id) => role.id == *id,
            Self::Name(name) => role.name.eq_ignore_ascii_case(name),
        }
    }
}

/// The role of that name or id; of several of one name the first by id.
fn find<'a>(text: &str, facts: &'a Facts) -> Option<&'a Arc<Role>> {
    match Named::read(text) {
        Named::Id(id) => facts.roles.get(&id),
        named @ Named::Name(_) => {
            facts.roles.values().filter(|it| named.is(it)).min_by_key(|it| it.id)
        }
    }
}

impl<'a> Judged<'_, 'a> {
    /// What the caller lacks of what the rule requires; empty where the rule requires nothing. `None` where
    /// roles are required and all are held: then the rule does not match.
    pub(super) fn lacks(
        &self,
        rule: &Rule,
        arguments: Arguments<'_>,
        record: &mut Option<Vec<Condition>>,
    ) -> Result<Option<Vec<LackedRole>>, EvaluationError> {
        let Some(required) = &rule.required else { return Ok(Some(Vec::new())) };
        let names = required.names(arguments)?;
        let mut lacked = Vec::new();
        let mut held: Vec<&str> = Vec::new();
        for name in &names {
            let named = Named::read(name);
            if self.held_here().any(|it| named.is(it)) {
                held.push(name);
                continue;
            }
            let Some(role) = find(name, self.facts) else {
                let because = format!("there is no role `{name}` any more");
                return Err(EvaluationError { at: required.at.clone(), because });
            };
            lacked.push(LackedRole {
                role_id: role.id.to_string(),
                role_name: role.name.clone(),
                principal_id: self.ask.caller.object_id,
                principal_name: self.ask.caller.name.clone(),
                scope: self.at.as_str().to_owned(),
            });
        }
        if let Some(all) = record {
            all.push(Condition {
                path: required.at.clone(),
                left: "roles".into(),
                expression: "of the caller".into(),
                operator: "requiredRoles".into(),
                expected: json!(names),
                actual: Some(json!(held)),
                result: lacked.is_empty(),
                error: None,
            });
        }
        Ok((!lacked.is_empty()).then_some(lacked))
    }

    /// The roles that the caller holds at the judged place or above it, itself or by a group, as the view that
    /// judges the call sees them. One under a condition is not held: nobody can say here what it would grant.
    fn held_here(&self) -> impl Iterator<Item = &'a Role> {
        let (ask, facts) = (self.ask, self.facts);
        let at: &Place = self.at;
        let counts = move |it: &&Arc<RoleAssignment>| {
            it.condition.is_none()
                && facts.contains(&it.scope, at)
                && it.seen(ask.head, ask.caller).counts()
        };
        let all = ask.caller.object_id.into_iter().flat_map(|it| facts.held_or_faded(it));
        all.filter(counts).filter_map(|it| facts.roles.get(&it.role).map(|it| &**it))
    }
}

/// What is lacked, as a sentence without a full stop: none where nothing is.
pub(super) fn sentence(lacked: &[LackedRole]) -> Option<String> {
    let first = lacked.first()?;
    let roles: Vec<String> = lacked.iter().map(|it| format!("`{}`", it.role_name)).collect();
    let noun = if roles.len() == 1 { "role" } else { "roles" };
    Some(format!(
        "`{}` does not hold the required {noun} {} at `{}`",
        first.principal_name,
        roles.join(", "),
        first.scope
    ))
}
