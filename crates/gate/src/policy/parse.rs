//! Reads a definition, once, when it is written. What cannot be evaluated exactly is refused here with its
//! place, and never ignored: a condition that is skipped would change who may do what.

use super::compare::misfit;
use super::expression::{Counted, Scope, Template};
use super::fields::{self, Step};
use super::lacking::Lack;
use super::parameters::{Declared, ParameterFault};
use super::{Comparison, Count, FieldName, Kind, Left, Operator, Over, Rule, Test};
use super::{required, then};
use model::json::member;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most rules in a definition.
pub const RULES_MAX: usize = 100;
/// Most conditions in one rule.
pub const CONDITIONS_MAX: usize = 4_096;
/// Deepest nesting of `allOf`, `anyOf`, `not` and `where`.
pub const DEPTH_MAX: usize = 64;
/// Most counts over one list in one rule.
pub const FIELD_COUNTS_MAX: usize = 5;
/// Most counts over values in one rule.
pub const VALUE_COUNTS_MAX: usize = 10;
/// Longest text of a value that is written out.
const PATTERN_BYTES_MAX: usize = 4_096;

/// The rules cannot be taken: where, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAPolicy {
    pub at: String,
    pub because: String,
    /// What Azure's policies have and these do not, where that is the reason.
    pub lacks: Option<&'static str>,
}

impl fmt::Display for NotAPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for NotAPolicy {}

impl From<ParameterFault> for NotAPolicy {
    fn from(fault: ParameterFault) -> Self {
        Self { at: fault.at, because: fault.because, lacks: fault.lacks }
    }
}

fn refuse<T>(at: &str, because: impl Into<String>) -> Result<T, NotAPolicy> {
    Err(NotAPolicy { at: at.to_owned(), because: because.into(), lacks: None })
}

/// Puts its place to a reason.
pub(super) fn at(place: &str) -> impl Fn(Lack) -> NotAPolicy {
    move |it| NotAPolicy { at: place.to_owned(), because: it.because, lacks: it.lacks }
}

/// What a definition says: its rules, and the parameters that they are written with.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub parameters: Declared,
    pub rules: Vec<Rule>,
    /// Parameters that no rule asks for.
    pub unused: Vec<String>,
}

/// Reads a definition's `properties`: `parameters`, and `policyRule`, an object or an ordered array of such,
/// or `policyRules`, the same array under its own name.
pub fn parse(properties: &Value) -> Result<Parsed, NotAPolicy> {
    let parameters = Declared::parse(member(properties, "parameters"))?;
    let mut used = BTreeSet::new();
    let rules = rules(properties, &parameters, &mut used)?;
    let names = parameters.iter().map(|it| it.name.clone());
    let unused = names.filter(|it| !used.contains(&it.to_ascii_lowercase())).collect();
    Ok(Parsed { parameters, rules, unused })
}

/// The rules alone, see [`parse`].
pub fn parse_rules(properties: &Value) -> Result<Vec<Rule>, NotAPolicy> {
    parse(properties).map(|it| it.rules)
}

fn rules(
    properties: &Value,
    declared: &Declared,
    used: &mut BTreeSet<String>,
) -> Result<Vec<Rule>, NotAPolicy> {
    let (at, value) = match (member(properties, "policyRule"), member(properties, "policyRules")) {
        (Some(_), Some(_)) => {
            return refuse("properties", "give `policyRule` or `policyRules`, not both");
        }
        (Some(it), None) => ("policyRule", it),
        (None, Some(it)) => ("policyRules", it),
        (None, None) => {
            return refuse(
                "properties",
                "`policyRule` is required: {\"if\": ..., \"then\": {\"effect\": ...}}",
            );
        }
    };
    match value {
        Value::Array(rules) if rules.is_empty() => refuse(at, "the list holds no rule"),
        Value::Array(rules) if rules.len() > RULES_MAX => {
            refuse(at, format!("more than {RULES_MAX} rules"))
        }
        Value::Array(rules) => rules
            .iter()
            .enumerate()
            .map(|(index, it)| rule(&format!("{at}[{index}]"), index, it, declared, used))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Ok(vec![rule(at, 0, value, declared, used)?])
        }
    }
}

fn rule(
    at: &str,
    index: usize,
    value: &Value,
    declared: &Declared,
    used: &mut BTreeSet<String>,
) -> Result<Rule, NotAPolicy> {
    let Some(object) = value.as_object() else {
        return refuse(at, "a rule is an object with `if` and `then`");
    };
    for key in object.keys() {
        if !["if", "requiredRoles", "then"].iter().any(|it| key.eq_ignore_ascii_case(it)) {
            return refuse(
                &format!("{at}.{key}"),
                "a rule has `if` and `then`, it may have `requiredRoles`, and nothing else",
            );
        }
    }
    let Some(condition) = member(value, "if") else {
        return refuse(at, "`if` is missing");
    };
    let Some(then) = member(value, "then") else {
        return refuse(at, "`then` is missing");
    };
    let mut reader = Reader::new(declared);
    let condition = reader.test(&format!("{at}.if"), condition, 0)?;
    let (then, changes) = then::read(&format!("{at}.then"), then, &mut reader.scope)?;
    let required = match member(value, "requiredRoles").filter(|it| !it.is_null()) {
        Some(it) => Some(required::read(&format!("{at}.requiredRoles"), it, &mut reader.scope)?),
        None => None,
    };
    required.as_ref().map_or(Ok(()), |it| required::check_effect(it, &then))?;
    used.extend(reader.scope.used);
    Ok(Rule { index, condition, then, changes, required, source: value.clone() })
}

/// Reads one rule, and counts what it holds.
struct Reader<'a> {
    scope: Scope<'a>,
    conditions: usize,
    /// By list.
    field_counts: BTreeMap<String, usize>,
    value_counts: usize,
}

impl<'a> Reader<'a> {
    fn new(declared: &'a Declared) -> Self {
        Self {
            scope: Scope::new(declared),
            conditions: 0,
            field_counts: BTreeMap::new(),
            value_counts: 0,
        }
    }

    fn test(&mut self, place: &str, value: &Value, depth: usize) -> Result<Test, NotAPolicy> {
        if depth >= DEPTH_MAX {
            return refuse(place, format!("nested deeper than {DEPTH_MAX} levels"));
        }
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return refuse(place, format!("more than {CONDITIONS_MAX} conditions in one rule"));
        }
        let Some(object) = value.as_object() else {
            return refuse(place, "a condition is an object");
        };
        for (key, inner) in object {
            let below = format!("{place}.{key}");
            let found = match key.to_ascii_lowercase().as_str() {
                "allof" => Test::AllOf(self.several(&below, inner, depth)?),
                "anyof" => Test::AnyOf(self.several(&below, inner, depth)?),
                "not" => Test::Not(Box::new(self.test(&below, inner, depth + 1)?)),
                _ => continue,
            };
            return match object.len() {
                1 => Ok(found),
                _ => refuse(place, format!("`{key}` stands alone in its object")),
            };
        }
        self.comparison(place, value, depth).map(Test::Compare)
    }

    fn several(
        &mut self,
        place: &str,
        value: &Value,
        depth: usize,
    ) -> Result<Vec<Test>, NotAPolicy> {
        let Some(items) = value.as_array() else {
            return refuse(place, "this is a list of conditions");
        };
        let all = items.iter().enumerate();
        all.map(|(index, it)| self.test(&format!("{place}[{index}]"), it, depth + 1)).collect()
    }

    fn comparison(
        &mut self,
        place: &str,
        value: &Value,
        depth: usize,
    ) -> Result<Comparison, NotAPolicy> {
        let (mut left, mut operator) = (None, None);
        for (key, inner) in value.as_object().into_iter().flatten() {
            let below = format!("{place}.{key}");
            if let Some(side) = SIDES.iter().find(|it| it.eq_ignore_ascii_case(key)) {
                if left.replace((*side, inner)).is_some() {
                    return refuse(&below, "a condition has one of `field`, `value` and `count`");
                }
                continue;
            }
            let known = Operator::ALL.iter().find(|(_, it)| it.eq_ignore_ascii_case(key));
            let Some((found, _)) = known else {
                let possible: Vec<&str> = Operator::ALL.iter().map(|(_, it)| *it).collect();
                return refuse(
                    &below,
                    format!("this is not an operator; possible are {}", possible.join(", ")),
                );
            };
            if operator.replace((*found, inner)).is_some() {
                return refuse(&below, "a condition has one operator");
            }
        }
        let Some((side, inner)) = left else {
            return refuse(
                place,
                "a condition has `field`, `value` or `count` and one operator, or one of allOf, anyOf, not",
            );
        };
        let Some((operator, expected)) = operator else {
            return refuse(place, "the condition has no operator");
        };
        let below = format!("{place}.{side}");
        let left = match side {
            "field" => self.field(&below, inner)?,
            "value" => Left::Value {
                text: text_of(inner),
                template: Template::parse(inner, &mut self.scope).map_err(at(&below))?,
            },
            _ => Left::Count(Box::new(self.count(&below, inner, depth)?)),
        };
        let expected =
            self.operand(&format!("{place}.{}", operator.as_str()), operator, expected)?;
        Ok(Comparison { path: place.to_owned(), left, operator, expected })
    }

    fn field(&mut self, place: &str, value: &Value) -> Result<Left, NotAPolicy> {
        let Some(text) = value.as_str() else {
            return refuse(place, "a field is named by a text");
        };
        let field = match Template::parse(value, &mut self.scope).map_err(at(place))? {
            Template::Literal(it) => {
                FieldName::Known(fields::parse(it.as_str().unwrap_or("")).map_err(at(place))?)
            }
            template @ (Template::Expression(_) | Template::List(_) | Template::Object(_)) => {
                FieldName::Computed(template)
            }
        };
        Ok(Left::Field { text: text.to_owned(), field })
    }

    fn count(&mut self, place: &str, value: &Value, depth: usize) -> Result<Count, NotAPolicy> {
        let Some(object) = value.as_object() else {
            return refuse(place, "a count is an object with `field` or `value`");
        };
        const KNOWN: [&str; 4] = ["field", "value", "name", "where"];
        if let Some(key) =
            object.keys().find(|key| !KNOWN.iter().any(|it| it.eq_ignore_ascii_case(key)))
        {
            return refuse(
                &format!("{place}.{key}"),
                "a count has `field`, or `value` and `name`, and `where`",
            );
        }
        let (over, text, counted) = match (member(value, "field"), member(value, "value")) {
            (Some(field), None) => self.field_count(place, value, field)?,
            (None, Some(values)) => self.value_count(place, value, values)?,
            (Some(_), Some(_)) | (None, None) => {
                return refuse(place, "a count is over a `field` or over a `value`");
            }
        };
        let condition = match member(value, "where") {
            None => None,
            Some(it) => {
                self.scope.counts.push(counted);
                let test = self.test(&format!("{place}.where"), it, depth + 1);
                self.scope.counts.pop();
                Some(test?)
            }
        };
        Ok(Count { text, over, condition })
    }

    fn field_count(
        &mut self,
        place: &str,
        count: &Value,
        field: &Value,
    ) -> Result<(Over, String, Counted), NotAPolicy> {
        if member(count, "name").is_some() {
            return refuse(&format!("{place}.name"), "only a count over a `value` has a name");
        }
        let place = format!("{place}.field");
        let Some(text) = field.as_str() else {
            return refuse(&place, "a field is named by a text");
        };
        let list = fields::parse(text).map_err(at(&place))?;
        if list.steps().last() != Some(&Step::All) {
            return refuse(&place, "what is counted is a list, so its field ends in `[*]`");
        }
        let uses = self.field_counts.entry(text.to_ascii_lowercase()).or_default();
        *uses += 1;
        if *uses > FIELD_COUNTS_MAX {
            return refuse(&place, format!("more than {FIELD_COUNTS_MAX} counts over one list"));
        }
        Ok((Over::Field(list.clone()), text.to_owned(), Counted::Field(list)))
    }

    fn value_count(
        &mut self,
        place: &str,
        count: &Value,
        values: &Value,
    ) -> Result<(Over, String, Counted), NotAPolicy> {
        self.value_counts += 1;
        if self.value_counts > VALUE_COUNTS_MAX {
            return refuse(
                place,
                format!("more than {VALUE_COUNTS_MAX} counts over values in one rule"),
            );
        }
        let name = match member(count, "name") {
            None => "default",
            Some(Value::String(it)) if !it.is_empty() && !it.starts_with('[') => it.as_str(),
            Some(_) => return refuse(&format!("{place}.name"), "a name is a text, written out"),
        };
        let is_taken = self
            .scope
            .counts
            .iter()
            .any(|it| matches!(it, Counted::Values(outer) if outer.eq_ignore_ascii_case(name)));
        if is_taken {
            return refuse(
                &format!("{place}.name"),
                format!("a count around this is named `{name}`, too"),
            );
        }
        let below = format!("{place}.value");
        let list = Template::parse(values, &mut self.scope).map_err(at(&below))?;
        match &list {
            Template::Literal(Value::Array(it)) if it.len() <= super::ITERATIONS_MAX => {}
            Template::List(it) if it.len() <= super::ITERATIONS_MAX => {}
            Template::Expression(_) => self.check_kind(&below, &list, true)?,
            Template::Literal(_) | Template::List(_) | Template::Object(_) => {
                return refuse(&below, "what is counted is a list of at most 100 values");
            }
        }
        let over = Over::Values { list, name: name.to_owned() };
        Ok((over, text_of(values), Counted::Values(name.to_owned())))
    }

    /// Reads what an operator compares with, and checks as far as is known now that it can.
    fn operand(
        &mut self,
        place: &str,
        operator: Operator,
        value: &Value,
    ) -> Result<Template, NotAPolicy> {
        let takes_list = matches!(operator, Operator::In | Operator::NotIn);
        let template = Template::parse(value, &mut self.scope).map_err(at(place))?;
        match &template {
            Template::Literal(it) => {
                if let Some(why) = misfit(operator, it) {
                    return refuse(place, why);
                }
                let items = it.as_array().filter(|_| takes_list);
                items.map_or_else(
                    || plain(place, it),
                    |all| all.iter().try_for_each(|it| plain(place, it)),
                )?;
            }
            Template::List(_) if takes_list => {}
            Template::Expression(_) => self.check_kind(place, &template, takes_list)?,
            Template::List(_) | Template::Object(_) => {
                return refuse(place, "a text, a number, true, false or null is expected");
            }
        }
        Ok(template)
    }

    /// A parameter tells its type before it has a value: a list where one is taken, and nowhere else.
    fn check_kind(
        &self,
        place: &str,
        template: &Template,
        is_list: bool,
    ) -> Result<(), NotAPolicy> {
        let kind =
            template.parameter().and_then(|it| self.scope.declared.get(it)).map(|it| it.kind);
        match (kind, is_list) {
            (None | Some(Kind::Array), true) | (None, false) => Ok(()),
            (Some(kind), true) => refuse(
                place,
                format!("a list is taken here, and the parameter is of type {}", kind.as_str()),
            ),
            (Some(kind @ (Kind::Array | Kind::Object)), false) => refuse(
                place,
                format!(
                    "one value is taken here, and the parameter is of type {}; `in` takes a list",
                    kind.as_str()
                ),
            ),
            (Some(_), false) => Ok(()),
        }
    }
}

const SIDES: [&str; 3] = ["field", "value", "count"];

/// A value that stands by itself.
fn plain(place: &str, value: &Value) -> Result<(), NotAPolicy> {
    match value {
        Value::String(text) if text.len() > PATTERN_BYTES_MAX => {
            refuse(place, "the text is longer than 4,096 bytes")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        Value::Array(_) | Value::Object(_) => {
            refuse(place, "a text, a number, true, false or null is expected")
        }
    }
}

/// A value as its author wrote it, for people.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
