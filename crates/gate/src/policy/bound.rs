//! Policy assignments next to what they bring, put together once for all decisions by the same facts: what a
//! decision that nobody reads would otherwise look up anew.
//!
//! Most rules are about one type, one name or one caller, and say so first. Such a rule is passed over without
//! being evaluated. It could have had no answer but no: only what stands first counts, and only what cannot fail.

use super::compare;
use super::fields::Field;
use super::select::Seen;
use super::{
    Comparison, FieldName, Left, Operator, PolicyAssignment, PolicyDefinition, Rule, Template,
    Test, Then,
};
use crate::facts::Facts;
use model::trace::{Caller, Object};
use model::{ObjectId, Scope};
use serde_json::Value;
use std::sync::Arc;

/// The assignments at one scope.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(super) scope: Scope,
    pub(super) assignments: Vec<Brief>,
}

/// An assignment, and what is known of its rules.
#[derive(Debug)]
pub(super) struct Brief {
    pub(super) assignment: Arc<PolicyAssignment>,
    /// For each rule what must hold for it to match. `None` where that is not all there is to it: an
    /// initiative, a definition that is gone, an effect that parameters say.
    guards: Option<Vec<Guard>>,
}

impl Brief {
    /// True where no rule can match, whatever takes the assignment away from the object or not.
    pub(super) fn is_silent(&self, object: &Object, caller: &Caller) -> bool {
        let guards = self.guards.as_ref();
        guards.is_some_and(|all| all.iter().all(|it| !it.lets(object, caller)))
    }
}

/// What a rule asks first.
#[derive(Debug, Default)]
struct Guard {
    caller: Option<ObjectId>,
    object: Vec<(Place, Operator, Value)>,
}

/// Where it looks.
#[derive(Clone, Copy, Debug)]
enum Place {
    Type,
    Name,
}

impl Guard {
    fn of(rule: &Rule) -> Option<Self> {
        // Parameters may say an effect that is none, which denies before the condition is looked at.
        let Then::Is(_) = rule.then else { return None };
        let first = match &rule.condition {
            Test::AllOf(tests) => tests.as_slice(),
            it @ Test::Compare(_) => std::slice::from_ref(it),
            Test::AnyOf(_) | Test::Not(_) => &[],
        };
        let mut guard = Self::default();
        for test in first {
            let Test::Compare(it) = test else { break };
            if !guard.takes(it) {
                break;
            }
        }
        Some(guard)
    }

    /// True where the guard has taken a comparison over that cannot fail.
    fn takes(&mut self, it: &Comparison) -> bool {
        let Left::Field { field: FieldName::Known(field), .. } = &it.left else { return false };
        let Template::Literal(expected @ Value::String(text)) = &it.expected else { return false };
        let place = match (field, it.operator) {
            (Field::PrincipalId, Operator::Equals) => {
                // As it is written for the comparison: hyphenated, in any casing.
                let id =
                    ObjectId::parse(text).filter(|it| it.to_string().eq_ignore_ascii_case(text));
                let is_new = id.is_some() && self.caller.is_none();
                self.caller = self.caller.or(id);
                return is_new;
            }
            (Field::Type, Operator::Equals | Operator::Like) => Place::Type,
            (Field::Name, Operator::Equals | Operator::Like) => Place::Name,
            (_, _) => return false,
        };
        self.object.push((place, it.operator, expected.clone()));
        true
    }

    /// False where the rule does not match.
    fn lets(&self, object: &Object, caller: &Caller) -> bool {
        let holds = |(place, operator, expected): &(Place, Operator, Value)| {
            let seen = match place {
                Place::Type => Seen::text(&object.kind),
                Place::Name => Seen::text(&object.name),
            };
            compare::apply(*operator, seen, expected).unwrap_or(true)
        };
        self.caller.is_none_or(|it| caller.object_id == Some(it)) && self.object.iter().all(holds)
    }
}

impl Facts {
    /// All assignments, scope by scope.
    pub(super) fn bound_policies(&self) -> &[Bound] {
        self.bound_policies.get_or_init(|| {
            let mut all: Vec<Bound> = Vec::new();
            for assignment in self.policy_assignments.values() {
                let definition = self.policy_definitions.get(&assignment.definition_key);
                let brief =
                    Brief { assignment: assignment.clone(), guards: definition.and_then(guards) };
                // In the order of ids those of one scope are neighbours.
                match all.last_mut() {
                    Some(it) if it.scope.as_str() == assignment.scope.as_str() => {
                        it.assignments.push(brief);
                    }
                    _ => all
                        .push(Bound { scope: assignment.scope.clone(), assignments: vec![brief] }),
                }
            }
            all
        })
    }

    /// The same facts with no policy assigned.
    #[must_use]
    pub fn without_policies(&self) -> Self {
        let mut other = self.clone();
        other.policy_assignments = Arc::default();
        other.unbind_policies();
        other
    }

    /// Called by whatever changes a definition, an initiative or an assignment.
    pub(super) fn unbind_policies(&mut self) {
        self.bound_policies = Arc::default();
    }
}

fn guards(definition: &Arc<PolicyDefinition>) -> Option<Vec<Guard>> {
    definition.rules.iter().map(Guard::of).collect()
}
