//! Does a condition hold? Linear in the rule and in what it looks at, within a number of steps that no rule
//! can exceed.
//!
//! Conditions are evaluated in their order, and the first that settles an `allOf` or `anyOf` ends it: what
//! stands behind is not evaluated, and cannot fail. An error in a condition that is evaluated fails the
//! whole rule. Where conditions are recorded, those behind are looked at, too, but aside: with steps of
//! their own, and neither their answers nor their errors reach the answer, which so is the same.

use super::compare;
use super::expression::{Fault, Template};
use super::fields::{self, Field};
use super::parameters::Arguments;
use super::select::{self, Room, Seen};
use super::{Comparison, Count, FieldName, Left, Operator, Over, Test};
use crate::facts::Facts;
use ::expression::Steps;
use model::trace::{Caller, Condition, EnrollmentKind, Object};
use model::{Scope, Timestamp};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

/// Most members that a count over values goes through.
pub const ITERATIONS_MAX: usize = 100;
/// Most values, and bytes of text, of a value that a record shows.
const SHOWN_NODES_MAX: usize = 256;
const SHOWN_BYTES_MAX: usize = 4_096;

/// What a rule looks at: one object, and the call that would write it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub object: &'a Object,
    pub caller: &'a Caller,
    /// The write action that is asked for.
    pub action: &'a str,
    /// The path of the request.
    pub endpoint: &'a str,
    pub protocol: &'a str,
    /// By what the device registers that the call is made for, where it is.
    pub enrollment: Option<EnrollmentKind>,
    /// Where the call is judged: in whose group and subscription.
    pub scope: &'a Scope,
    pub now: Timestamp,
    /// To know whose own identity the caller is, in which groups, and what its group is like.
    pub facts: &'a Facts,
    pub arguments: Arguments<'a>,
    pub policy: Names<'a>,
}

/// By which policy is judged, for rules that ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    pub assignment_id: &'a str,
    pub definition_id: &'a str,
    /// The initiative and the definition's place in it, where it came by one.
    pub set_definition_id: Option<&'a str>,
    pub definition_reference_id: Option<&'a str>,
}

/// A rule that has no answer. It denies, whatever its effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvaluationError {
    /// Where it stands: `policyRule.if.allOf[1]`.
    pub at: String,
    pub because: String,
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for EvaluationError {}

/// What one evaluation shares.
pub(super) struct Context<'a> {
    /// None where only parameters have values.
    pub(super) subject: Option<&'a Subject<'a>>,
    pub(super) arguments: Arguments<'a>,
    pub(super) steps: Steps,
    /// Steps that are left for what is only looked at.
    steps_aside: Steps,
    groups: OnceCell<Value>,
}

impl<'a> Context<'a> {
    pub(super) fn new(subject: Option<&'a Subject<'a>>, arguments: Arguments<'a>) -> Self {
        Self {
            subject,
            arguments,
            steps: Steps::default(),
            steps_aside: Steps::default(),
            groups: OnceCell::new(),
        }
    }

    /// The ids of the caller's groups: put together for the first rule that asks.
    pub(super) fn groups(&self) -> &Value {
        self.groups.get_or_init(|| self.subject.map_or_else(|| json!([]), select::groups_of))
    }
}

/// What a count around a condition has bound.
pub(super) struct Frame<'f> {
    pub(super) outer: Option<&'f Frame<'f>>,
    /// The list and how many of its steps lead to the member; none of a count over values.
    pub(super) member_of: Option<(&'f Field, usize)>,
    /// The name of a count over values.
    pub(super) name: Option<&'f str>,
    pub(super) value: &'f Value,
}

/// Where an expression is evaluated.
#[derive(Clone, Copy)]
pub(super) struct Env<'v> {
    pub(super) context: &'v Context<'v>,
    pub(super) frame: Option<&'v Frame<'v>>,
}

impl<'v> Env<'v> {
    pub(super) fn spend(self, steps: usize) -> Result<(), Fault> {
        self.context.steps.spend(steps)
    }

    /// What the count over values of that name has bound.
    pub(super) fn named(self, name: &str) -> Option<&'v Value> {
        let mut next = self.frame;
        while let Some(it) = next {
            if it.name == Some(name) {
                return Some(it.value);
            }
            next = it.outer;
        }
        None
    }
}

/// The value of what only parameters can change: an effect, what an initiative passes on.
pub(super) fn constant(template: &Template, arguments: Arguments<'_>) -> Result<Value, Fault> {
    let context = Context::new(None, arguments);
    template.evaluate(Env { context: &context, frame: None }).map(Cow::into_owned)
}

/// The value of what may also speak of the object and the call.
pub(super) fn value(template: &Template, subject: &Subject<'_>) -> Result<Value, Fault> {
    let context = Context::new(Some(subject), subject.arguments);
    template.evaluate(Env { context: &context, frame: None }).map(Cow::into_owned)
}

/// The field that a name means for this object and call.
pub(super) fn field(name: &FieldName, subject: &Subject<'_>) -> Result<Field, Fault> {
    let context = Context::new(Some(subject), subject.arguments);
    named(name, Env { context: &context, frame: None }).map(Cow::into_owned)
}

/// True where the condition holds. With `record`, every condition is looked at and noted; without, the
/// first that settles the answer ends it. The answer is the same, and so is the error.
pub fn holds(
    test: &Test,
    subject: &Subject<'_>,
    record: &mut Option<Vec<Condition>>,
) -> Result<bool, EvaluationError> {
    let context = Context::new(Some(subject), subject.arguments);
    let env = Env { context: &context, frame: None };
    Walk { env, record, is_aside: false }.test(test).map_err(|it| *it)
}

/// Boxed, so that what nearly every condition answers is small.
type Answer = Result<bool, Box<EvaluationError>>;

/// One evaluation on its way through the tree.
struct Walk<'v, 'r> {
    env: Env<'v>,
    record: &'r mut Option<Vec<Condition>>,
    is_aside: bool,
}

impl Walk<'_, '_> {
    fn test(&mut self, test: &Test) -> Answer {
        match test {
            Test::AllOf(tests) => self.settle(tests, true),
            Test::AnyOf(tests) => self.settle(tests, false),
            Test::Not(inner) => self.test(inner).map(|it| !it),
            Test::Compare(it) => self.compare(it),
        }
    }

    /// `allOf` is true until one is false, `anyOf` false until one is true.
    fn settle(&mut self, tests: &[Test], start: bool) -> Answer {
        let mut tests = tests.iter();
        for it in tests.by_ref() {
            if self.test(it)? != start {
                if self.record.is_some() {
                    tests.for_each(|it| self.look_aside(it));
                }
                return Ok(!start);
            }
        }
        Ok(start)
    }

    /// Notes conditions that have no part in the answer any more.
    fn look_aside(&mut self, test: &Test) {
        if self.is_aside {
            let _ = self.test(test);
            return;
        }
        let context = self.env.context;
        context.steps.swap(&context.steps_aside);
        self.is_aside = true;
        let _ = self.test(test);
        self.is_aside = false;
        context.steps.swap(&context.steps_aside);
    }

    fn compare(&mut self, it: &Comparison) -> Answer {
        // Nearly every condition is this one, and nearly every decision is not recorded.
        if let (None, Some((field, expected))) = (&self.record, it.plain()) {
            return plain(it.operator, field, expected, self.env).map_err(|fault| {
                Box::new(EvaluationError { at: it.path.clone(), because: fault.0 })
            });
        }
        let mut note = self.record.is_some().then(|| note(it));
        let result = compared(it, self.env, &mut note);
        if let (Some(all), Some(mut note)) = (self.record.as_mut(), note) {
            match &result {
                Ok(answer) => note.result = *answer,
                Err(error) => note.error = Some(error.because.clone()),
            }
            all.push(note);
        }
        result
    }
}

/// Compares the one value of a field with a value that is written out.
fn plain(operator: Operator, field: &Field, expected: &Value, env: Env<'_>) -> Result<bool, Fault> {
    let mut room = Room::default();
    let seen = select::stored(field, env).unwrap_or_else(|| select::made(field, env, &mut room));
    holds_for(operator, seen, expected, env)
}

fn holds_for(
    operator: Operator,
    seen: Seen<'_>,
    expected: &Value,
    env: Env<'_>,
) -> Result<bool, Fault> {
    compare::charge(seen, expected, env)?;
    compare::apply(operator, seen, expected)
}

impl Comparison {
    /// The field and the value of a condition that compares just these.
    fn plain(&self) -> Option<(&Field, &Value)> {
        let Left::Field { field: FieldName::Known(field), .. } = &self.left else { return None };
        let Template::Literal(expected) = &self.expected else { return None };
        (!field.is_many()).then_some((field, expected))
    }
}

/// What is noted of a condition before it is looked at.
fn note(it: &Comparison) -> Condition {
    let (left, expression) = match &it.left {
        Left::Field { text, .. } => ("field", text.clone()),
        Left::Value { text, .. } => ("value", text.clone()),
        Left::Count(count) => ("count", count.text.clone()),
    };
    Condition {
        path: it.path.clone(),
        left: left.into(),
        expression,
        operator: it.operator.as_str().into(),
        expected: Value::Null,
        actual: None,
        result: false,
        error: None,
    }
}

fn compared(it: &Comparison, env: Env<'_>, note: &mut Option<Condition>) -> Answer {
    let here = |fault: Fault| Box::new(EvaluationError { at: it.path.clone(), because: fault.0 });
    let expected = expected(it, env).map_err(here)?;
    if let Some(note) = note {
        note.expected = shown(&expected);
    }
    let mut note_actual = |seen: &[Seen<'_>], is_many: bool| {
        if let Some(note) = note {
            note.actual = shown_all(seen, is_many);
        }
    };
    let holds = |seen: Seen<'_>| holds_for(it.operator, seen, &expected, env);
    match &it.left {
        Left::Field { field, .. } => {
            let field = named(field, env).map_err(here)?;
            if !field.is_many() {
                let mut room = Room::default();
                let seen = select::stored(&field, env)
                    .unwrap_or_else(|| select::made(&field, env, &mut room));
                note_actual(&[seen], false);
                return holds(seen).map_err(here);
            }
            // Of many, all must hold; of none, all do.
            let all = select::many(&field, env).map_err(here)?;
            note_actual(&all, true);
            for seen in all {
                if !holds(seen).map_err(here)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Left::Value { template, .. } => {
            let value = template.evaluate(env).map_err(here)?;
            let seen = Seen::value(Some(&value));
            note_actual(&[seen], false);
            holds(seen).map_err(here)
        }
        Left::Count(count) => {
            let number = Value::from(counted(count, &it.path, env)?);
            note_actual(&[Seen::Value(&number)], false);
            holds(Seen::Value(&number)).map_err(here)
        }
    }
}

fn expected<'v>(it: &'v Comparison, env: Env<'v>) -> Result<Cow<'v, Value>, Fault> {
    if let Template::Literal(value) = &it.expected {
        return Ok(Cow::Borrowed(value));
    }
    let value = it.expected.evaluate(env)?;
    match compare::misfit(it.operator, &value) {
        Some(why) => Fault::new(format!("`{}`: {why}", it.operator.as_str())),
        None => Ok(value),
    }
}

/// The field of a condition; one whose name an expression puts together is read now.
fn named<'v>(field: &'v FieldName, env: Env<'v>) -> Result<Cow<'v, Field>, Fault> {
    match field {
        FieldName::Known(it) => Ok(Cow::Borrowed(it)),
        FieldName::Computed(template) => {
            let name = template.evaluate(env)?;
            let Some(name) = name.as_str() else {
                return Fault::new("the name of the field is no text");
            };
            fields::parse(name).map(Cow::Owned).map_err(|it| Fault(it.because))
        }
    }
}

/// How many members a count finds.
fn counted(count: &Count, path: &str, env: Env<'_>) -> Result<usize, Box<EvaluationError>> {
    let here =
        |fault: Fault| Box::new(EvaluationError { at: format!("{path}.count"), because: fault.0 });
    let is_wanted = |env: Env<'_>| match &count.condition {
        Some(test) => Walk { env, record: &mut None, is_aside: false }.test(test),
        None => Ok(true),
    };
    let mut found = 0;
    match &count.over {
        Over::Field(list) => {
            let (from, depth) = select::start(list, env);
            let steps = list.steps().get(depth..).unwrap_or(&[]);
            let mut inner = None;
            let walked = select::gather(from, steps, env, &mut |_, way| {
                match within(list, depth, way, env, &is_wanted) {
                    Ok(is_counted) => found += usize::from(is_counted),
                    Err(error) => {
                        inner = Some(error);
                        return Fault::new("");
                    }
                }
                Ok(())
            });
            match inner {
                Some(error) => return Err(error),
                None => walked.map_err(here)?,
            }
        }
        Over::Values { list, name } => {
            let values = list.evaluate(env).map_err(here)?;
            let Some(values) = values.as_array() else {
                return Err(here(Fault("what is counted is no list".into())));
            };
            if values.len() > ITERATIONS_MAX {
                let because = format!("the list holds more than {ITERATIONS_MAX} values");
                return Err(here(Fault(because)));
            }
            for value in values {
                let frame =
                    Frame { outer: env.frame, member_of: None, name: Some(name.as_str()), value };
                let inner = Env { context: env.context, frame: Some(&frame) };
                found += usize::from(is_wanted(inner)?);
            }
        }
    }
    Ok(found)
}

/// Asks with every list on the way to a member bound to its one.
fn within(
    list: &Field,
    from: usize,
    way: &[(usize, &Value)],
    env: Env<'_>,
    ask: &dyn Fn(Env<'_>) -> Answer,
) -> Answer {
    let Some(((depth, value), rest)) = way.split_first() else { return ask(env) };
    let frame =
        Frame { outer: env.frame, member_of: Some((list, from + depth)), name: None, value };
    within(list, from, rest, Env { context: env.context, frame: Some(&frame) }, ask)
}

/// A value for the record: as it is where it is short, else what it is.
fn shown(value: &Value) -> Value {
    fn fits(value: &Value, nodes: &mut usize, bytes: &mut usize) -> bool {
        *nodes += 1;
        *bytes += value.as_str().map_or(0, str::len);
        *nodes <= SHOWN_NODES_MAX
            && *bytes <= SHOWN_BYTES_MAX
            && match value {
                Value::Array(all) => all.iter().all(|it| fits(it, nodes, bytes)),
                Value::Object(all) => all.iter().all(|(name, it)| {
                    *bytes += name.len();
                    fits(it, nodes, bytes)
                }),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            }
    }
    if fits(value, &mut 0, &mut 0) {
        return value.clone();
    }
    match value {
        Value::Array(it) => json!(format!("(a list of {}, too long to show)", it.len())),
        Value::Object(it) => json!(format!("(an object of {}, too long to show)", it.len())),
        Value::String(it) => {
            let start: String = it.chars().take(SHOWN_NODES_MAX).collect();
            json!(format!("{start}..."))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn shown_all(seen: &[Seen<'_>], is_many: bool) -> Option<Value> {
    let one = |it: &Seen<'_>| match it {
        Seen::Missing => None,
        Seen::Text(it) => Some(shown(&json!(it))),
        Seen::Value(it) => Some(shown(it)),
    };
    match (is_many, seen) {
        (false, _) => seen.first().and_then(one),
        (true, all) if all.len() > SHOWN_NODES_MAX => {
            Some(json!(format!("(a list of {}, too long to show)", all.len())))
        }
        (true, all) => {
            let all: Vec<Value> = all.iter().map(|it| one(it).unwrap_or(Value::Null)).collect();
            Some(shown(&Value::Array(all)))
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
