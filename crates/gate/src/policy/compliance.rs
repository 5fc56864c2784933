//! How things stand that exist: does a resource comply with what is assigned to it?
//!
//! Start at [`states`]. The walk that would judge the resource if somebody wrote it again, just as it is, gives
//! the answer, so that nothing is said here that a write would not be told. Each definition of an assignment has
//! a state of its own; an `allow` shields from later members as it does there. Nobody calls: rules that ask for
//! the caller or for the request find nothing. Rules that change what is written have no state: they say what
//! shall be, and not whether it is. Nothing here permits or denies anything.
//! Source: Azure Policy documentation, "Azure Policy compliance states" and "Azure Policy applicability logic".

use super::initiative::{Brought, Part};
use super::reach::applicable;
use super::selectors::overriding;
use super::walk::{Judged, Word};
use super::{
    Arguments, Effect, FieldName, Initiative, Left, Member, PolicyAssignment, PolicyDefinition,
    Rule, Test, fields::Field,
};
use crate::decide::Ask;
use crate::facts::Facts;
use model::operations::{Operation, known};
use model::trace::{Caller, Channel, Condition, FindingResult, Object, TraceHead, Verb};
use model::{Plane, Scope, Timestamp, TrackingId};
use std::iter::once;

/// Whether something complies, the graver before the lesser: of several states the least one stands for all.
///
/// Azure's `Conflicting` and `Unknown` have no cause here: they come from effects that these policies lack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Compliance {
    NonCompliant,
    Compliant,
    Exempt,
}

impl Compliance {
    pub const ALL: [Self; 3] = [Self::NonCompliant, Self::Compliant, Self::Exempt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonCompliant => "NonCompliant",
            Self::Compliant => "Compliant",
            Self::Exempt => "Exempt",
        }
    }
}

/// How much of what was looked at does not break a rule, in percent: whole where nothing was.
#[expect(clippy::cast_precision_loss, reason = "no list here is longer than an `f64` is exact")]
pub fn percentage(all: &[Compliance]) -> f64 {
    let fine = all.iter().filter(|it| **it != Compliance::NonCompliant).count();
    match all.len() {
        0 => 100.0,
        count => fine as f64 / count as f64 * 100.0,
    }
}

/// A resource that is there.
#[derive(Clone, Copy)]
pub struct Existing<'e> {
    /// As it is stored, without its secrets, see `Object`; its verb is to write.
    pub object: &'e Object,
    /// Where it lies.
    pub scope: &'e Scope,
    pub now: Timestamp,
    /// What a state tells of its reasons.
    pub detail: Detail,
}

/// How much a state tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    State,
    /// With the conditions that were looked at.
    Conditions,
}

/// How one resource stands to one definition of an assignment.
#[derive(Clone, Debug)]
pub struct State<'a> {
    pub compliance: Compliance,
    pub assignment: &'a PolicyAssignment,
    pub initiative: Option<&'a Initiative>,
    pub member: Option<&'a Member>,
    /// `None` where it does not exist any more.
    pub definition: Option<&'a PolicyDefinition>,
    /// Of the rule that is broken, or else of the first that is about the resource.
    pub effect: &'static str,
    /// The rule that decided, where one did: it is broken, or it shields.
    pub rule: Option<usize>,
    pub reason: String,
    pub conditions: Vec<Condition>,
}

/// The assignments that reach a place, broad before narrow, then by name.
pub fn reaching<'a>(scope: &Scope, facts: &'a Facts) -> Vec<&'a PolicyAssignment> {
    applicable(scope, facts)
}

/// How a resource stands to each definition that an assignment brings and that is about it, in the order of the
/// members. Empty where the assignment leaves the resource out, or where nothing in it is about such resources.
///
/// The assignment is one of [`reaching`] the place.
pub fn states<'a>(
    existing: Existing<'_>,
    assignment: &'a PolicyAssignment,
    facts: &'a Facts,
) -> Vec<State<'a>> {
    let Existing { object, scope, now, detail } = existing;
    debug_assert_eq!(object.verb, Verb::Write);
    let Some(operation) = writing(&object.kind) else { return Vec::new() };
    let caller = Caller::anyone();
    let head = TraceHead::new(TrackingId(uuid::Uuid::nil()), now, Channel::default());
    let ask = Ask::new(operation, scope, &caller, &head);
    let records = detail == Detail::Conditions;
    let judged = Judged::of(object, scope, &ask, facts, records);
    let brought = Brought::of(assignment, facts);
    let (mut found, mut is_shielded) = (Vec::new(), false);
    for part in brought.parts(facts) {
        let word = judged.word_of_parts(assignment, brought, once(part));
        if word.result == FindingResult::Excluded {
            return Vec::new();
        }
        let shields = word.result == FindingResult::Allow;
        if let Some(effect) = judged.about(assignment, brought, part) {
            let word = told(word, is_shielded);
            found.push(State {
                compliance: compliance(&word),
                assignment,
                initiative: brought.initiative(),
                member: part.member,
                definition: part.definition,
                effect: if word.effect.is_empty() { effect } else { word.effect },
                rule: word.rule,
                reason: word.reason,
                conditions: word.conditions,
            });
        }
        is_shielded |= shields;
    }
    found
}

/// The operation that would write a resource of this type.
fn writing(kind: &str) -> Option<&'static Operation> {
    let writes = |it: &&Operation| {
        let is_it = |name: &str| {
            name.strip_suffix("/write").is_some_and(|its| its.eq_ignore_ascii_case(kind))
        };
        it.plane == Plane::Control && it.actions.iter().any(|action| is_it(action.as_str()))
    };
    known().find(writes)
}

/// What counts of a word: what an earlier rule put on record outweighs the shield behind it, and a shield of an
/// earlier member outweighs everything but an exemption.
fn told(mut word: Word<'_>, is_shielded: bool) -> Word<'_> {
    if is_shielded && word.result != FindingResult::Exempt {
        return Word {
            result: FindingResult::NoMatch,
            reason: "an `allow` of an earlier member shields it".into(),
            rule: None,
            effect: "",
            conditions: Vec::new(),
            audited: None,
            ..word
        };
    }
    match (word.result, word.audited.take()) {
        (FindingResult::Allow, Some(audited)) => *audited,
        // What shields is no effect that the resource could break.
        (FindingResult::Allow, None) => Word { effect: "", ..word },
        (_, _) => word,
    }
}

fn compliance(word: &Word<'_>) -> Compliance {
    match word.result {
        FindingResult::Exempt => Compliance::Exempt,
        // A rule that cannot be evaluated refuses every write of the resource as it is.
        FindingResult::Deny
        | FindingResult::WouldDeny
        | FindingResult::Audit
        | FindingResult::Error => Compliance::NonCompliant,
        FindingResult::Match
        | FindingResult::NoMatch
        | FindingResult::Excluded
        | FindingResult::Disabled
        | FindingResult::Allow
        | FindingResult::Change
        | FindingResult::WouldChange
        | FindingResult::NotVisible => Compliance::Compliant,
    }
}

impl<'c, 'a: 'c> Judged<'c, 'a> {
    /// The effect of the first rule that is about the object at all, where there is one. What cannot be read is
    /// about everything, as it denies everything.
    fn about(
        &self,
        assignment: &PolicyAssignment,
        brought: Brought<'a>,
        part: Part<'a>,
    ) -> Option<&'static str> {
        let (Some(definition), Ok(given)) = (part.definition, brought.given(assignment, part))
        else {
            return Some("");
        };
        let arguments = Arguments { declared: &definition.parameters, given: &given };
        let policy = brought.names(assignment, definition, part);
        let with = overriding(&assignment.overrides, self.selected(part.member));
        definition.rules.iter().find_map(|rule| {
            let Ok(own) = rule.effect(arguments) else { return Some("") };
            let effect = own.overridden(with);
            let is_asked = own.judges(self.object.verb)
                && !matches!(
                    effect,
                    Effect::Allow | Effect::Disabled | Effect::Append | Effect::Modify
                );
            if !is_asked {
                return None;
            }
            let rule = Rule {
                index: rule.index,
                condition: narrowed(&rule.condition),
                then: rule.then.clone(),
                source: serde_json::Value::Null,
                changes: rule.changes.clone(),
                required: None,
            };
            let fits = self.try_rule(&rule, arguments, policy, &mut None).unwrap_or(true);
            fits.then_some(effect.as_str())
        })
    }
}

/// What of a condition tells whether a rule is about a resource: the type, and beside other conditions the name
/// and the kind, too. A rule on types and names alone is about every resource of the type, so that those with
/// the right name count as compliant.
fn narrowed(condition: &Test) -> Test {
    let has_more = has_more(condition);
    let tells = move |field: &Field| {
        matches!(field, Field::Type) || has_more && matches!(field, Field::Name | Field::Kind)
    };
    kept(condition, &tells, Otherwise::Holds)
}

/// What is taken for the answer of a condition that is left out: whatever lets the whole hold.
#[derive(Clone, Copy)]
enum Otherwise {
    Holds,
    Fails,
}

fn kept(test: &Test, tells: &dyn Fn(&Field) -> bool, otherwise: Otherwise) -> Test {
    let all = |tests: &[Test]| tests.iter().map(|it| kept(it, tells, otherwise)).collect();
    match (test, otherwise) {
        (Test::AllOf(tests), _) => Test::AllOf(all(tests)),
        (Test::AnyOf(tests), _) => Test::AnyOf(all(tests)),
        (Test::Not(inner), Otherwise::Holds) => {
            Test::Not(Box::new(kept(inner, tells, Otherwise::Fails)))
        }
        (Test::Not(inner), Otherwise::Fails) => {
            Test::Not(Box::new(kept(inner, tells, Otherwise::Holds)))
        }
        (Test::Compare(it), _) if field_of(&it.left).is_some_and(tells) => test.clone(),
        // An empty `allOf` holds, an empty `anyOf` does not.
        (Test::Compare(_), Otherwise::Holds) => Test::AllOf(Vec::new()),
        (Test::Compare(_), Otherwise::Fails) => Test::AnyOf(Vec::new()),
    }
}

/// True where a condition is about more than type, name and kind.
fn has_more(test: &Test) -> bool {
    match test {
        Test::AllOf(tests) | Test::AnyOf(tests) => tests.iter().any(has_more),
        Test::Not(inner) => has_more(inner),
        Test::Compare(it) => !field_of(&it.left)
            .is_some_and(|it| matches!(it, Field::Type | Field::Name | Field::Kind)),
    }
}

fn field_of(left: &Left) -> Option<&Field> {
    match left {
        Left::Field { field: FieldName::Known(it), .. } => Some(it),
        Left::Field { field: FieldName::Computed(_), .. } | Left::Value { .. } | Left::Count(_) => {
            None
        }
    }
}
