//! From assignments to a verdict: which apply, which rule of each speaks first, and whose word counts.

mod changing;
mod lifting;
mod words;

use super::envelope::{Denied, bare_denial, finding, full_denial};
use super::initiative::{Brought, Member, Part};
use super::reach::{applicable, judged_at};
use super::required;
use super::selectors::{Selected, overriding, select};
use super::{
    Arguments, Change, Effect, EvaluationError, Exemption, Names, PolicyAssignment, Rule, Subject,
    holds,
};
use crate::decide::{Ask, Findings, Ruling};
use crate::facts::{Facts, Lookups};
use changing::Changed;
use model::error::Denial;
use model::trace::{Condition, FindingResult, LackedRole, Object};
use model::{Plane, Scope};
use words::{action, exempt_reason, names, of_member, overridden};

/// Most conditions that are noted of rules that did not match: an initiative may have very many.
const CONDITIONS_NOTED_MAX: usize = 1_000;

/// What one assignment says to one object.
pub(super) struct Word<'a> {
    pub(super) result: FindingResult,
    pub(super) reason: String,
    /// Whose rule decided, where one did.
    pub(super) part: Option<Part<'a>>,
    pub(super) rule: Option<usize>,
    pub(super) effect: &'static str,
    /// What took rules away: all of them, or those of some members.
    pub(super) exemptions: Vec<&'a Exemption>,
    pub(super) conditions: Vec<Condition>,
    /// The roles that the rule requires and the caller lacks.
    pub(super) lacks: Vec<LackedRole>,
    /// What an earlier rule wants on record, whatever came of the later ones.
    pub(super) audited: Option<Box<Word<'a>>>,
}

impl Word<'_> {
    /// True where the call is to be put on record even if it is allowed.
    fn is_noted(&self) -> bool {
        self.audited.is_some()
            || matches!(self.result, FindingResult::Audit | FindingResult::WouldDeny)
    }
}

/// One object on its way through the assignments.
#[derive(Clone, Copy)]
pub(super) struct Judged<'c, 'a> {
    pub(super) object: &'c Object,
    /// The place whose assignments count: where the call is judged, or where the object itself lies that goes
    /// with its group.
    pub(super) at: &'c Scope,
    pub(super) ask: &'c Ask<'c>,
    pub(super) facts: &'a Facts,
    /// The write action that is asked for.
    pub(super) action: &'static str,
    /// False where nobody will read why.
    pub(super) records: bool,
}

/// What the policies say to a call.
pub(crate) struct Said {
    pub(crate) ruling: Ruling,
    /// True where an audit, an unenforced deny or a change wants the call on record.
    pub(crate) is_noted: bool,
    /// What they change about it: what they judge is the changed object. Told where findings are wanted.
    pub(crate) changes: Vec<Change>,
}

impl Said {
    const fn of(denial: Option<Denial>, reason: String, is_noted: bool) -> Self {
        Self { ruling: Ruling { denial, reason }, is_noted, changes: Vec::new() }
    }
}

/// Judges every object of the call by every assignment that applies. One denied object denies the call.
pub(crate) fn rule(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> Said {
    let is_judged = || ask.operation.is_judged_by_policy();
    if ask.objects.is_empty() || !is_judged() {
        let reason = findings.told(|| match is_judged() {
            false => "policies judge writes and deletions, and this is neither".into(),
            true => "nothing is written, and no policy here guards against deletion".into(),
        });
        return Said::of(None, reason, false);
    }
    Lookups::count(&facts.lookups.policy);
    let may_change = changing::may(ask, facts);
    if !findings.are_wanted() {
        // What is changed is decided once, and whole.
        return if may_change {
            Said::of(None, String::new(), true)
        } else {
            rule_quickly(ask, facts)
        };
    }
    if !may_change {
        return rule_in_full(ask, facts, findings, Changed::default());
    }
    let mut changed = changing::changed(ask, facts);
    let (objects, changes) =
        (std::mem::take(&mut changed.objects), std::mem::take(&mut changed.changes));
    let said = rule_in_full(&Ask { objects: &objects, ..*ask }, facts, findings, changed);
    match said.ruling.denial {
        Some(_) => said,
        None => Said { is_noted: true, changes, ..said },
    }
}

/// The verdict alone. Any deny denies, so the order of the assignments does not matter.
fn rule_quickly(ask: &Ask<'_>, facts: &Facts) -> Said {
    let mut is_noted = false;
    for object in ask.objects {
        let at = judged_at(object, ask);
        let here = facts.bound_policies().iter().filter(|it| facts.contains(&it.scope, &at));
        for brief in here.flat_map(|it| &it.assignments) {
            if brief.is_silent(object, ask.caller) {
                continue;
            }
            let assignment = &*brief.assignment;
            let judged = Judged::of(object, &at, ask, facts, false);
            let word = judged.word_of(assignment, Brought::of(assignment, facts));
            is_noted |= word.is_noted();
            if matches!(word.result, FindingResult::Deny | FindingResult::Error) {
                let denial = Some(bare_denial(assignment, object, word.lacks));
                return Said::of(denial, String::new(), is_noted);
            }
        }
    }
    Said::of(None, String::new(), is_noted)
}

/// The word of a rule for which roles are lacking.
fn lacking(word: Word<'_>, lacks: Vec<LackedRole>) -> Word<'_> {
    let reason = match required::sentence(&lacks).filter(|_| !word.reason.is_empty()) {
        Some(it) => format!("{}; {it}", word.reason),
        None => word.reason,
    };
    Word { reason, lacks, ..word }
}

/// The verdict with everything that was looked at: broad assignments before narrow, then by name.
fn rule_in_full<'a>(
    ask: &Ask<'_>,
    facts: &'a Facts,
    findings: &mut Findings,
    changed: Changed<'a>,
) -> Said {
    let Changed { denied: mut by, findings: found, spoke, .. } = changed;
    let mut refused: Option<usize> = by.first().map(|it| it.0);
    let mut denied: Vec<Denied<'_>> = by.drain(..).map(|it| it.1).collect();
    found.into_iter().for_each(|it| findings.add(|| it));
    let mut is_noted = false;
    let mut applied = std::collections::BTreeSet::new();
    for (index, object) in ask.objects.iter().enumerate() {
        let at = judged_at(object, ask);
        let judged = Judged::of(object, &at, ask, facts, true);
        for assignment in applicable(&at, facts) {
            applied.insert(assignment.id.as_str());
            let brought = Brought::of(assignment, facts);
            let mut word = judged.word_of(assignment, brought);
            is_noted |= word.is_noted();
            if let Some(audited) = word.audited.take() {
                findings.add(|| finding(assignment, brought, *audited));
            }
            if word.result == FindingResult::NoMatch && spoke.contains(assignment.id.as_str()) {
                continue;
            }
            let denies = matches!(word.result, FindingResult::Deny | FindingResult::Error);
            let exemptions = word.exemptions.clone();
            let found = finding(assignment, brought, word);
            if denies && refused.is_none_or(|it| it == index) {
                refused = Some(index);
                denied.push(Denied { assignment, finding: found.clone(), exemptions });
            }
            findings.add(|| found);
        }
    }
    match refused.and_then(|it| ask.objects.get(it)) {
        None => {
            let reason = match applied.len() {
                0 => "no policy is assigned here".into(),
                1 => "1 policy assigned, none denies".into(),
                count => format!("{count} policies assigned, none denies"),
            };
            Said::of(None, reason, is_noted)
        }
        Some(object) => {
            let denial = full_denial(&denied, object, facts);
            let names: Vec<&str> = denied.iter().map(|it| it.assignment.name.as_str()).collect();
            let lacks = denied.iter().filter_map(|it| it.finding.rule.as_ref());
            let lacks: Vec<String> = lacks.filter_map(|it| required::sentence(&it.lacks)).collect();
            let names = names.join("`, `");
            let said = overridden(ask, facts, &names).into_iter().chain(lacks);
            let reason = [format!("denied by policy `{names}`")].into_iter().chain(said);
            let reason = reason.collect::<Vec<_>>().join("; ");
            Said::of(Some(denial), reason, is_noted)
        }
    }
}

impl<'c, 'a: 'c> Judged<'c, 'a> {
    pub(super) fn of(
        object: &'c Object,
        at: &'c Scope,
        ask: &'c Ask<'c>,
        facts: &'a Facts,
        records: bool,
    ) -> Self {
        Self { object, at, ask, facts, action: action(ask, object), records }
    }

    fn quiet(&self, result: FindingResult, reason: impl FnOnce() -> String) -> Word<'a> {
        Word {
            result,
            reason: if self.records { reason() } else { String::new() },
            part: None,
            rule: None,
            effect: "",
            exemptions: Vec::new(),
            conditions: Vec::new(),
            lacks: Vec::new(),
            audited: None,
        }
    }

    /// Walks the rules of one assignment, where it is about the object at all.
    fn word_of(&self, assignment: &PolicyAssignment, brought: Brought<'a>) -> Word<'a> {
        self.word_of_parts(assignment, brought, brought.parts(self.facts))
    }

    /// The same of some parts alone.
    pub(super) fn word_of_parts(
        &self,
        assignment: &PolicyAssignment,
        brought: Brought<'a>,
        parts: impl Iterator<Item = Part<'a>>,
    ) -> Word<'a> {
        match self.lifting(assignment) {
            Ok(lifting) => self.outcome(assignment, brought, parts, &lifting),
            Err(word) => *word,
        }
    }

    fn is_selected(&self, selectors: &[super::ResourceSelector]) -> bool {
        selectors.is_empty() || select(selectors, self.selected(None))
    }

    pub(super) fn selected(&self, member: Option<&'a Member>) -> Selected<'c> {
        let object = self.object;
        let own = model::json::text(&object.body, &["location"]);
        let is_data = self.ask.operation.plane == Plane::Service;
        // A device is where its hub is.
        let around = || {
            let hub = self.facts.hub(self.ask.scope).map(|it| it.location.as_str());
            hub.or_else(|| self.facts.dps(self.ask.scope).map(|it| it.location.as_str()))
        };
        let location = if is_data { around() } else { own };
        Selected { object, location, reference_id: member.map(|it| it.reference_id.as_str()) }
    }

    /// The rules of all parts in their order: the first that matches and is no audit is the word.
    fn outcome(
        &self,
        assignment: &PolicyAssignment,
        brought: Brought<'a>,
        parts: impl Iterator<Item = Part<'a>>,
        lifting: &[&'a Exemption],
    ) -> Word<'a> {
        let mut seen = Vec::new();
        let mut exempt: Option<(&'a Exemption, &'a Member)> = None;
        let mut exemptions: Vec<&'a Exemption> = Vec::new();
        let mut audited: Option<Word<'a>> = None;
        for part in parts {
            if let Some(member) = part.member
                && let Some(exemption) = lifting.iter().find(|it| names(it, member))
            {
                exempt.get_or_insert((exemption, member));
                exemptions.push(exemption);
                continue;
            }
            let with = match assignment.overrides.is_empty() {
                true => None,
                false => overriding(&assignment.overrides, self.selected(part.member)),
            };
            if with == Some(Effect::Disabled) {
                continue;
            }
            let Some(definition) = part.definition else {
                return Word { exemptions, ..self.missing(assignment, part) };
            };
            let failed = |error: &EvaluationError, rule, effect, conditions| {
                self.failed(assignment, part, rule, effect, error, conditions)
            };
            let given = match brought.given(assignment, part) {
                Ok(it) => it,
                Err(error) => {
                    let word = failed(&error, None, "", Vec::new());
                    return Word { exemptions, audited: audited.map(Box::new), ..word };
                }
            };
            let arguments = Arguments { declared: &definition.parameters, given: &given };
            let policy = brought.names(assignment, definition, part);
            for rule in &definition.rules {
                let own = match rule.effect(arguments) {
                    Ok(it) => it,
                    Err(error) => {
                        let word = failed(&error, Some(rule.index), "", Vec::new());
                        return Word { exemptions, audited: audited.map(Box::new), ..word };
                    }
                };
                let effect = own.overridden(with);
                if effect == Effect::Disabled || effect.changes() || !own.judges(self.object.verb) {
                    continue;
                }
                let mut record = self.records.then(Vec::new);
                let matched = match self.try_rule(rule, arguments, policy, &mut record) {
                    Ok(true) => self.lacks(rule, arguments, &mut record),
                    Ok(false) => Ok(None),
                    Err(error) => Err(error),
                };
                let mut conditions = record.unwrap_or_default();
                let lacks = match matched {
                    Ok(Some(it)) => it,
                    Ok(None) => {
                        let room = CONDITIONS_NOTED_MAX.saturating_sub(seen.len());
                        conditions.truncate(room);
                        seen.extend(conditions.into_iter().map(|it| of_member(it, part.member)));
                        continue;
                    }
                    Err(error) => {
                        let word = failed(&error, Some(rule.index), effect.as_str(), conditions);
                        return Word { exemptions, audited: audited.map(Box::new), ..word };
                    }
                };
                let is_overridden = effect != own;
                let word = self.matched(assignment, part, rule, effect, is_overridden, conditions);
                let word = lacking(word, lacks);
                if word.result == FindingResult::Audit {
                    audited = Some(word);
                    continue;
                }
                return Word { exemptions, audited: audited.map(Box::new), ..word };
            }
        }
        let undecided = || match exempt {
            Some((exemption, member)) => {
                self.quiet(FindingResult::Exempt, || exempt_reason(exemption, Some(member)))
            }
            None => self.quiet(FindingResult::NoMatch, || "no rule matches".into()),
        };
        let word = audited.unwrap_or_else(|| Word { conditions: seen, ..undecided() });
        Word { exemptions, ..word }
    }

    /// The word of an assignment whose definition is gone.
    fn missing(&self, assignment: &PolicyAssignment, part: Part<'a>) -> Word<'a> {
        // INVARIANT: an error inside a decision denies, where the assignment is enforced.
        let result = match assignment.is_enforced {
            true => FindingResult::Error,
            false => FindingResult::WouldDeny,
        };
        let what = |member: Option<&Member>| match member {
            None => "the definition behind the assignment does not exist any more".to_owned(),
            Some(it) => format!(
                "the definition behind the initiative's member `{}` does not exist any more",
                it.reference_id
            ),
        };
        let word = self.quiet(result, || format!("{}, which denies", what(part.member)));
        Word { part: Some(part), ..word }
    }

    fn matched(
        &self,
        assignment: &PolicyAssignment,
        part: Part<'a>,
        rule: &Rule,
        effect: Effect,
        is_overridden: bool,
        conditions: Vec<Condition>,
    ) -> Word<'a> {
        let result = match (effect, assignment.is_enforced) {
            (Effect::Deny | Effect::DenyAction(_), true) => FindingResult::Deny,
            (Effect::Deny | Effect::DenyAction(_), false) => FindingResult::WouldDeny,
            (Effect::Allow, _) => FindingResult::Allow,
            (Effect::Audit, _) => FindingResult::Audit,
            (Effect::Disabled, _) => FindingResult::Disabled,
            (Effect::Append | Effect::Modify, true) => FindingResult::Change,
            (Effect::Append | Effect::Modify, false) => FindingResult::WouldChange,
        };
        let of = || match part.member {
            Some(it) => format!(" of `{}`", it.reference_id),
            None => String::new(),
        };
        let word = self.quiet(result, || match (result, !is_overridden) {
            (FindingResult::WouldDeny, _) => {
                format!(
                    "rule {}{} would deny, but the assignment is not enforced",
                    rule.index,
                    of()
                )
            }
            (_, true) => format!("rule {}{} matches: {}", rule.index, of(), effect.as_str()),
            (_, false) => format!(
                "rule {}{} matches: {}, by an override of the assignment",
                rule.index,
                of(),
                effect.as_str()
            ),
        });
        Word {
            part: Some(part),
            rule: Some(rule.index),
            effect: effect.as_str(),
            conditions,
            ..word
        }
    }

    /// The word of a rule, or of a member's parameters, that has no answer.
    fn failed(
        &self,
        assignment: &PolicyAssignment,
        part: Part<'a>,
        rule: Option<usize>,
        effect: &'static str,
        error: &EvaluationError,
        conditions: Vec<Condition>,
    ) -> Word<'a> {
        // INVARIANT: an error inside a decision denies, whatever the rule's effect.
        let (result, what) = match assignment.is_enforced {
            true => (FindingResult::Error, "which denies"),
            false => {
                (FindingResult::WouldDeny, "which would deny, but the assignment is not enforced")
            }
        };
        let word = self.quiet(result, || match (rule, part.member) {
            (Some(index), None) => format!("rule {index} cannot be evaluated at {error}, {what}"),
            (Some(index), Some(it)) => {
                let name = &it.reference_id;
                format!("rule {index} of `{name}` cannot be evaluated at {error}, {what}")
            }
            (None, _) => format!("what it is given cannot be evaluated at {error}, {what}"),
        });
        Word { part: Some(part), rule, effect, conditions, ..word }
    }

    pub(super) fn try_rule(
        &self,
        rule: &Rule,
        arguments: Arguments<'_>,
        policy: Names<'_>,
        record: &mut Option<Vec<Condition>>,
    ) -> Result<bool, EvaluationError> {
        holds(&rule.condition, &self.subject(arguments, policy), record)
    }

    fn subject<'s>(&self, arguments: Arguments<'s>, policy: Names<'s>) -> Subject<'s>
    where
        'c: 's,
    {
        let (ask, object) = (self.ask, self.object);
        let request = &ask.head.channel.request;
        Subject {
            object,
            caller: ask.caller,
            action: self.action,
            endpoint: request.split_once(' ').map_or(request.as_str(), |(_, path)| path),
            protocol: &ask.head.channel.protocol,
            enrollment: ask.head.channel.enrollment,
            scope: self.at,
            now: ask.head.time,
            facts: self.facts,
            arguments,
            policy,
        }
    }
}
