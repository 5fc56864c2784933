//! The turn before all others: what the rules with `append` and `modify` change about a write.
//!
//! Assignments speak from broad to narrow, then by name, each with its rules in their order, and every rule
//! sees what those before it left. What comes out is what is judged and what is stored. A rule changes all
//! that it names or nothing. Where two rules want different values for one field, the one that must not give
//! way has it; of two such the write is denied, and of two that give way neither changes anything. The losers
//! are taken out and the turn begins again, so that nothing rests on a change that was not made.

use super::super::changes::{self, Change, ChangeStep, Changes, Conflict, Doing, Target};
use super::super::envelope::{Denied, finding};
use super::super::evaluate;
use super::super::expression::Fault;
use super::super::initiative::{Brought, Part};
use super::super::reach::applicable;
use super::super::select::scalar;
use super::super::selectors::overriding;
use super::super::{Arguments, Effect, EvaluationError, Names, PolicyAssignment, Rule, Subject};
use super::{Judged, Word, names};
use crate::decide::Ask;
use crate::facts::Facts;
use model::Plane;
use model::json::{at, member};
use model::trace::{Condition, Finding, FindingResult, Object, Verb};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Most turns of one write. A conflict that is found in the last one denies.
const TURNS_MAX: usize = 100;
/// Longest value that a reason shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// What the turn leaves behind.
#[derive(Default)]
pub(super) struct Changed<'a> {
    /// All objects of the call, the changed ones changed.
    pub(super) objects: Vec<Object>,
    pub(super) changes: Vec<Change>,
    pub(super) findings: Vec<Finding>,
    /// Each with the object that it denies.
    pub(super) denied: Vec<(usize, Denied<'a>)>,
    /// The ids of the assignments that had something to say.
    pub(super) spoke: BTreeSet<&'a str>,
}

/// A rule, by the places of its assignment, its definition and itself.
type Key = (usize, usize, usize);

/// Who gave a field its value.
struct Setter<'a> {
    key: Key,
    on_conflict: Conflict,
    value: Option<Value>,
    assignment: &'a str,
}

/// Why a rule cannot have what it wants.
struct Clash {
    /// The other rule; none where the request itself says otherwise.
    with: Option<(Key, Conflict)>,
    reason: String,
}

/// What a rule changes, and what it wants for each field, changed or not.
#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    wanted: BTreeMap<String, Option<Value>>,
}

/// The rule whose turn it is.
#[derive(Clone, Copy)]
struct Speaker<'s, 'a> {
    key: Key,
    assignment: &'a PolicyAssignment,
    brought: Brought<'a>,
    part: Part<'a>,
    rule: &'a Rule,
    effect: Effect,
    arguments: Arguments<'s>,
    policy: Names<'s>,
}

/// True where a rule may change something about the call.
pub(super) fn may(ask: &Ask<'_>, facts: &Facts) -> bool {
    // Nearly nowhere is such a rule, and nearly nothing that is written can be changed.
    !facts.changing_definitions.is_empty()
        && ask.objects.iter().any(|it| is_changeable(it, ask))
        && facts
            .policy_assignments
            .values()
            .any(|it| facts.contains(&it.scope, ask.scope) && brings(Brought::of(it, facts), facts))
}

fn is_changeable(object: &Object, ask: &Ask<'_>) -> bool {
    ask.operation.plane == Plane::Control
        && object.verb == Verb::Write
        && changes::settings_of(&object.kind).is_some()
}

fn brings(brought: Brought<'_>, facts: &Facts) -> bool {
    brought.parts(facts).filter_map(|it| it.definition).any(|it| it.changes())
}

/// Changes what a call would write, as the policies want it.
pub(super) fn changed<'a>(ask: &Ask<'_>, facts: &'a Facts) -> Changed<'a> {
    let mut all = Changed::default();
    for (index, object) in ask.objects.iter().enumerate() {
        if !is_changeable(object, ask) {
            all.objects.push(object.clone());
            continue;
        }
        let mut skipped = BTreeMap::new();
        let mut turn = Turn::new(object, ask, facts);
        for count in 1..=TURNS_MAX {
            turn.is_last = count == TURNS_MAX;
            let losers = turn.take(&skipped);
            if losers.is_empty() {
                break;
            }
            skipped.extend(losers);
            turn = Turn::new(object, ask, facts);
        }
        all.objects.push(turn.object);
        all.changes.extend(turn.changes);
        all.findings.extend(turn.findings);
        all.denied.extend(turn.denied.into_iter().map(|it| (index, it)));
        all.spoke.extend(turn.spoke);
    }
    all
}

/// One object on its way through the rules that change it.
struct Turn<'c, 'a> {
    object: Object,
    ask: &'c Ask<'c>,
    facts: &'a Facts,
    is_last: bool,
    /// By field.
    set: BTreeMap<String, Setter<'a>>,
    changes: Vec<Change>,
    findings: Vec<Finding>,
    denied: Vec<Denied<'a>>,
    spoke: BTreeSet<&'a str>,
}

/// The rules that give way, each with why.
type Losers = Vec<(Key, String)>;

impl<'c, 'a> Turn<'c, 'a> {
    fn new(object: &Object, ask: &'c Ask<'c>, facts: &'a Facts) -> Self {
        Self {
            object: object.clone(),
            ask,
            facts,
            is_last: false,
            set: BTreeMap::new(),
            changes: Vec::new(),
            findings: Vec::new(),
            denied: Vec::new(),
            spoke: BTreeSet::new(),
        }
    }

    fn judged(&self) -> Judged<'_, 'a> {
        let Self { object, ask, facts, .. } = self;
        Judged::of(object, ask.scope, ask, facts, true)
    }

    /// Asks everybody, up to the first conflict that somebody gives way in.
    fn take(&mut self, skipped: &BTreeMap<Key, String>) -> Losers {
        for (index, assignment) in applicable(self.ask.scope, self.facts).into_iter().enumerate() {
            let brought = Brought::of(assignment, self.facts);
            if !brings(brought, self.facts) {
                continue;
            }
            let losers = self.assignment(index, assignment, brought, skipped);
            if !losers.is_empty() {
                return losers;
            }
        }
        Losers::new()
    }

    /// What cannot be read here is left to the walk behind: it denies.
    fn assignment(
        &mut self,
        index: usize,
        assignment: &'a PolicyAssignment,
        brought: Brought<'a>,
        skipped: &BTreeMap<Key, String>,
    ) -> Losers {
        let Ok(lifting) = self.judged().lifting(assignment) else { return Losers::new() };
        for (place, part) in brought.parts(self.facts).enumerate() {
            if part.member.is_some_and(|member| lifting.iter().any(|it| names(it, member))) {
                continue;
            }
            let with = overriding(&assignment.overrides, self.judged().selected(part.member));
            let Some(definition) = part.definition else { continue };
            let Ok(given) = brought.given(assignment, part) else { continue };
            let arguments = Arguments { declared: &definition.parameters, given: &given };
            let policy = brought.names(assignment, definition, part);
            for rule in &definition.rules {
                let Ok(own) = rule.effect(arguments) else { continue };
                let effect = own.overridden(with);
                if !(effect.changes() || effect == Effect::Allow) {
                    continue;
                }
                let key = (index, place, rule.index);
                let speaker =
                    Speaker { key, assignment, brought, part, rule, effect, arguments, policy };
                let mut record = Some(Vec::new());
                let matched = self.judged().try_rule(rule, arguments, policy, &mut record);
                let conditions = record.unwrap_or_default();
                match matched {
                    Ok(false) => continue,
                    // An allow shields from the later rules of its assignment, from these as from others.
                    Ok(true) if effect == Effect::Allow => return Losers::new(),
                    Ok(true) => {}
                    Err(error) => {
                        self.fail(&speaker, &error, conditions);
                        continue;
                    }
                }
                let losers = self.speak(&speaker, conditions, skipped.get(&key));
                if !losers.is_empty() {
                    return losers;
                }
            }
        }
        Losers::new()
    }

    /// A rule whose condition holds changes what it can.
    fn speak(
        &mut self,
        speaker: &Speaker<'_, 'a>,
        conditions: Vec<Condition>,
        skipped: Option<&String>,
    ) -> Losers {
        let Some(changes) = &speaker.rule.changes else { return Losers::new() };
        if let Some(reason) = skipped {
            let result = match changes.on_conflict {
                Conflict::Audit => FindingResult::Audit,
                Conflict::Deny | Conflict::Disabled => FindingResult::Disabled,
            };
            self.say(speaker, result, format!("changes nothing: {reason}"), conditions);
            return Losers::new();
        }
        let is_enforced = speaker.assignment.is_enforced;
        let planned = {
            let judged = self.judged();
            let subject = judged.subject(speaker.arguments, speaker.policy);
            self.plan(speaker.key, changes, &subject)
        };
        match planned {
            Err(error) => self.fail(speaker, &error, conditions),
            Ok(Err(clash)) => return self.clash(speaker, changes, clash, conditions),
            Ok(Ok(plan)) => {
                let said: Vec<String> = plan.changes.iter().map(told).collect();
                let (result, said) = match (said.is_empty(), is_enforced) {
                    (true, _) => (FindingResult::Match, "all is so already".to_owned()),
                    (false, true) => (FindingResult::Change, said.join(", ")),
                    (false, false) => (
                        FindingResult::WouldChange,
                        format!("would {}, but the assignment is not enforced", said.join(", ")),
                    ),
                };
                self.say(speaker, result, said, conditions);
                if is_enforced {
                    self.make(speaker, changes.on_conflict, plan);
                }
            }
        }
        Losers::new()
    }

    fn make(&mut self, speaker: &Speaker<'_, 'a>, on_conflict: Conflict, plan: Plan) {
        for it in &plan.changes {
            it.apply(&mut self.object.body);
        }
        self.changes.extend(plan.changes);
        for (field, value) in plan.wanted {
            let (key, assignment) = (speaker.key, speaker.assignment.name.as_str());
            self.set.insert(field, Setter { key, on_conflict, value, assignment });
        }
    }

    /// Who gives way, or that nobody does.
    fn clash(
        &mut self,
        speaker: &Speaker<'_, 'a>,
        changes: &Changes,
        clash: Clash,
        conditions: Vec<Condition>,
    ) -> Losers {
        let Clash { with, reason } = clash;
        let gives_way = |it: Conflict| it != Conflict::Deny && !self.is_last;
        let mine = gives_way(changes.on_conflict);
        let other = with.filter(|(_, it)| gives_way(*it)).map(|(key, _)| key);
        if !speaker.assignment.is_enforced {
            // It takes nobody's turn away.
            let (result, what) = match mine || other.is_some() {
                true => (FindingResult::WouldChange, "in conflict"),
                false => (FindingResult::WouldDeny, "would deny"),
            };
            let said = format!("{what}, but the assignment is not enforced: {reason}");
            self.say(speaker, result, said, conditions);
            return Losers::new();
        }
        let mut losers = Losers::new();
        losers.extend(other.map(|it| (it, reason.clone())));
        losers.extend(mine.then(|| (speaker.key, reason.clone())));
        if losers.is_empty() {
            self.say(speaker, FindingResult::Deny, format!("denies: {reason}"), conditions);
        }
        losers
    }

    /// What a rule would change about the object as it is now.
    fn plan(
        &self,
        key: Key,
        changes: &Changes,
        subject: &Subject<'_>,
    ) -> Result<Result<Plan, Clash>, EvaluationError> {
        let mut plan = Plan::default();
        let mut body = self.object.body.clone();
        for step in &changes.steps {
            for Want { path, value, default } in wants(step, subject, &body)? {
                let (field, shown) = (path.join("\n").to_ascii_lowercase(), path.join("."));
                let current = current(&body, &path);
                let wanted = text_of(value.as_ref());
                let other = self.set.get(&field).filter(|it| it.key != key && it.value != value);
                if let Some(it) = other {
                    let (its, name) = (text_of(it.value.as_ref()), it.assignment);
                    let reason =
                        format!("`{shown}` is to be {wanted}, and {its} by the policy `{name}`");
                    return Ok(Err(Clash { with: Some((it.key, it.on_conflict)), reason }));
                }
                let is_default = |it: &&Value| {
                    let text = scalar(it);
                    default.zip(text).is_some_and(|(a, b)| a.eq_ignore_ascii_case(&b))
                };
                let given = current.filter(|it| Some(*it) != value.as_ref() && !is_default(it));
                if let (Some(it), Doing::Add) = (given, step.doing)
                    && !plan.wanted.contains_key(&field)
                {
                    let its = text_of(Some(it));
                    let reason = format!("`{shown}` is to be {wanted}, and is {its} already");
                    return Ok(Err(Clash { with: None, reason }));
                }
                if current != value.as_ref() {
                    let change = Change { path, value: value.clone() };
                    change.apply(&mut body);
                    plan.changes.push(change);
                }
                plan.wanted.insert(field, value);
            }
        }
        Ok(Ok(plan))
    }

    fn say(
        &mut self,
        speaker: &Speaker<'_, 'a>,
        result: FindingResult,
        said: String,
        conditions: Vec<Condition>,
    ) {
        let (index, effect) = (speaker.rule.index, speaker.effect.as_str());
        let of =
            speaker.part.member.map_or_else(String::new, |it| format!(" of `{}`", it.reference_id));
        let reason = format!("rule {index}{of} matches: {effect}, {said}");
        let word = self.judged().quiet(result, || reason);
        let part = Some(speaker.part);
        self.note(speaker, Word { part, rule: Some(index), effect, conditions, ..word });
    }

    fn fail(
        &mut self,
        speaker: &Speaker<'_, 'a>,
        error: &EvaluationError,
        conditions: Vec<Condition>,
    ) {
        let Speaker { assignment, part, rule, effect, .. } = *speaker;
        let (index, effect) = (Some(rule.index), effect.as_str());
        let word = self.judged().failed(assignment, part, index, effect, error, conditions);
        self.note(speaker, word);
    }

    fn note(&mut self, speaker: &Speaker<'_, 'a>, word: Word<'a>) {
        let denies = matches!(word.result, FindingResult::Deny | FindingResult::Error);
        let exemptions = word.exemptions.clone();
        let found = finding(speaker.assignment, speaker.brought, word);
        let assignment = speaker.assignment;
        self.spoke.insert(&assignment.id);
        if denies {
            self.denied.push(Denied { assignment, finding: found.clone(), exemptions });
        }
        self.findings.push(found);
    }
}

/// What an operation wants in one place.
struct Want {
    path: Vec<String>,
    value: Option<Value>,
    /// What stands there where the request says nothing.
    default: Option<&'static str>,
}

/// What an operation wants: nothing where its condition does not hold, or its field is of another type.
fn wants(
    step: &ChangeStep,
    subject: &Subject<'_>,
    body: &Value,
) -> Result<Vec<Want>, EvaluationError> {
    let no = |member: &str, because: String| EvaluationError {
        at: format!("{}.{member}", step.at),
        because,
    };
    let fault = |member: &'static str| move |it: Fault| no(member, it.0);
    if let Some(condition) = &step.condition {
        match evaluate::value(condition, subject).map_err(fault("condition"))?.as_bool() {
            Some(true) => {}
            Some(false) => return Ok(Vec::new()),
            None => return Err(no("condition", "it is neither true nor false".into())),
        }
    }
    let field = evaluate::field(&step.field, subject).map_err(fault("field"))?;
    let target = changes::target(&field, step.doing).map_err(|it| no("field", it))?;
    let value = step.value.as_ref().map(|it| evaluate::value(it, subject));
    let value = value.transpose().map_err(fault("value"))?;
    if let Some(because) = value.as_ref().and_then(|it| changes::misfit(&target, it)) {
        return Err(no("value", because));
    }
    let tag = |name: &str, value: Option<Value>| Want {
        path: vec!["tags".into(), name.to_owned()],
        value,
        default: None,
    };
    Ok(match (target, value) {
        (Target::Tag(name), value) => vec![tag(name, value)],
        (Target::Tags, Some(value)) => {
            let all = value.as_object().into_iter().flatten();
            all.map(|(name, it)| tag(name, Some(it.clone()))).collect()
        }
        (Target::Tags, None) => {
            let all = member(body, "tags").and_then(Value::as_object).into_iter().flatten();
            all.map(|(name, _)| tag(name, None)).collect()
        }
        (Target::Setting(kind, it), value) if kind.eq_ignore_ascii_case(&subject.object.kind) => {
            let path = vec!["properties".into(), it.name.to_owned()];
            vec![Want { path, value, default: it.default }]
        }
        (Target::Setting(..), _) => Vec::new(),
    })
}

/// What stands in a place; `null` is nothing.
fn current<'v>(body: &'v Value, path: &[String]) -> Option<&'v Value> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    at(body, &path).filter(|it| !it.is_null())
}

/// A change in words: sets `tags.line` to `7`.
fn told(change: &Change) -> String {
    let path = change.path.join(".");
    match &change.value {
        Some(it) => format!("set `{path}` to {}", text_of(Some(it))),
        None => format!("remove `{path}`"),
    }
}

fn text_of(value: Option<&Value>) -> String {
    let Some(value) = value else { return "gone".into() };
    let text = scalar(value).map_or_else(|| value.to_string(), Into::into);
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let rest = if shown.len() < text.len() { "..." } else { "" };
    format!("`{shown}{rest}`")
}
