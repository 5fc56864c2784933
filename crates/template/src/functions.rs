//! The functions that templates have besides the common ones.
//!
//! Source of what each does: Azure Resource Manager documentation, "Template functions". `uniqueString` has the
//! documented shape, thirteen characters that are the same for the same texts, and not Azure's values.

use crate::evaluate::{Evaluator, inner};
use crate::{EXPRESSION_CHARS_MAX, Need, Stop, ids};
use expression::{Given, Syntax, checked, universal};
use model::{Scope, Timestamp};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use uuid::Uuid;

type Found<'v> = Result<Cow<'v, Value>, Stop>;

/// The namespace of `guid`. Source: Azure Resource Manager documentation, template function `guid`.
const GUIDS: Uuid = Uuid::from_u128(0x11fb_06fb_712d_4ddd_98c7_e71b_bd58_8830);

impl<'a> Evaluator<'a> {
    pub(crate) fn call(&self, name: &str, arguments: &[Syntax]) -> Found<'a> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "if" => return self.either(arguments),
            "map" | "filter" | "sort" | "reduce" | "toobject" => {
                return self.lambda(&name, arguments);
            }
            _ => {}
        }
        let all = arguments.iter().map(|it| self.expression(it)).collect::<Result<Vec<_>, _>>()?;
        if let Some(function) = expression::find(&name) {
            if let Some(misfit) = function.misfit(all.len()) {
                return Stop::fault(misfit);
            }
            return function.call(&all, self.steps).map_err(|it| match self.context.is_quiet {
                true => Stop::Fault(format!(
                    "`{}` has no value for what it is given; what that is is not shown, as parameters of the \
                     template are secure",
                    function.name
                )),
                false => Stop::Fault(it.0),
            });
        }
        let given = Given(&all);
        self.own(&name, &given).map_err(|it| it.at(&format!("`{name}`")))
    }

    fn own(&self, name: &str, given: &Given<'_>) -> Found<'a> {
        let around = &self.context.around;
        let surrounding = |value: &'a Option<Value>, what: &str| match value {
            Some(it) => Ok(Cow::Borrowed(it)),
            None => Stop::fault(format!("the deployment is at no {what}")),
        };
        let made = match name {
            "parameters" => return self.parameter(given.text(0)?),
            "variables" => return self.variable(given.text(0)?),
            "lambdavariables" => {
                let wanted = given.text(0)?;
                let bound = self.bound.borrow();
                let found = bound.iter().rev().find(|(it, _)| it.eq_ignore_ascii_case(wanted));
                match found {
                    Some((_, it)) => {
                        expression::charge(it, self.steps)?;
                        it.clone()
                    }
                    None => return Stop::fault("no lambda around has a variable of that name"),
                }
            }
            "resourcegroup" => return surrounding(&around.resource_group, "resource group"),
            "subscription" => return surrounding(&around.subscription, "subscription"),
            "tenant" => return Ok(Cow::Borrowed(&around.tenant)),
            "environment" => return Ok(Cow::Borrowed(&around.environment)),
            "deployment" => return Ok(Cow::Borrowed(&around.deployment)),
            "reference" => return self.reference(given),
            "copyindex" => self.copy_index(given)?.into(),
            "resourceid" => resource_id(&around.scope, given)?.into(),
            "subscriptionresourceid" => match around.scope.subscription_scope() {
                _ if named_first(given) => {
                    let subscription = Scope::subscription(given.text(0)?);
                    joined(&subscription, given, 1)?.into()
                }
                Some(subscription) => joined(&subscription, given, 0)?.into(),
                None => return Stop::fault("the deployment is at no subscription"),
            },
            "tenantresourceid" => joined(&Scope::root(), given, 0)?.into(),
            "extensionresourceid" => {
                let above =
                    Scope::parse(given.text(0)?).map_err(|it| Stop::Fault(it.to_string()))?;
                joined(&above, given, 1)?.into()
            }
            "managementgroupresourceid" => {
                let group = given.text(0)?;
                let above = format!("/providers/Microsoft.Management/managementGroups/{group}");
                let above = Scope::parse(&above).map_err(|it| Stop::Fault(it.to_string()))?;
                joined(&above, given, 1)?.into()
            }
            "uniquestring" => unique(&texts(given)?).into(),
            "guid" => guid(&texts(given)?).into(),
            "utcnow" => match self.is_default {
                true if given.0.len() <= 1 => formatted(around.now, given.text(0).ok())?,
                _ => return Stop::fault("only the defaults of parameters may ask for the time"),
            },
            "newguid" => match (self.is_default, self.settling) {
                (true, Some(it)) => (it.new_guid)().to_string().into(),
                (_, _) => {
                    return Stop::fault("only the defaults of parameters may ask for a new id");
                }
            },
            "datetimeadd" => date_time_add(given)?,
            "datetimetoepoch" => moment(given)?.seconds().into(),
            "datetimefromepoch" => universal(Timestamp::from_seconds(given.int(0)?)),
            list if list.starts_with("list") => return self.list(list, given),
            "lambda" => return Stop::fault("a lambda stands where a function of lists takes one"),
            _ => return Stop::fault("there is no function of this name"),
        };
        Ok(checked(made, self.steps)?)
    }

    fn either(&self, arguments: &[Syntax]) -> Found<'a> {
        let [condition, then, otherwise] = arguments else {
            return Stop::fault("`if` takes a condition and two values");
        };
        match self.expression(condition)?.as_bool() {
            Some(true) => self.expression(then),
            Some(false) => self.expression(otherwise),
            None => Stop::fault("`if`: the first argument is neither true nor false"),
        }
    }

    fn parameter(&self, name: &str) -> Found<'a> {
        let key = name.to_ascii_lowercase();
        if let Some(settling) = self.settling {
            return self.settle_parameter(settling, &key).map(Cow::Owned);
        }
        match self.context.parameters.get(&key) {
            Some(it) => Ok(Cow::Borrowed(it)),
            None => {
                Stop::fault(format!("the template declares no parameter `{}`", name.escape_debug()))
            }
        }
    }

    fn variable(&self, name: &str) -> Found<'a> {
        let key = name.to_ascii_lowercase();
        if let Some(settling) = self.settling {
            return self.settle_variable(settling, &key).map(Cow::Owned);
        }
        match self.context.variables.get(&key) {
            Some(it) => Ok(Cow::Borrowed(it)),
            None => Stop::fault(format!("the template has no variable `{}`", name.escape_debug())),
        }
    }

    /// `copyIndex()`, `copyIndex(1)`, `copyIndex('loop')` and `copyIndex('loop', 1)`.
    fn copy_index(&self, given: &Given<'_>) -> Result<i64, Stop> {
        let (name, offset) = match given.0.len() {
            0 => (None, 0),
            1 if given.value(0)?.is_string() => (Some(given.text(0)?), 0),
            1 => (None, given.int(0)?),
            _ => (Some(given.text(0)?), given.int(1)?),
        };
        let found = match name {
            None => self.copies.last(),
            Some(name) => self.copies.iter().rev().find(|(it, _)| it.eq_ignore_ascii_case(name)),
        };
        match found.and_then(|(_, at)| at.checked_add(offset)) {
            Some(it) => Ok(it),
            None => Stop::fault("no such `copy` goes on around this"),
        }
    }

    /// The id and api-version of what `reference` and `list...` speak of first.
    fn spoken_of(&self, given: &Given<'_>) -> Result<(String, Option<String>), Stop> {
        let text = given.text(0)?;
        let version = given.0.get(1).and_then(|it| it.as_str()).map(str::to_owned);
        match self.context.resource(text) {
            Some(it) => Ok((it.id.clone(), version.or_else(|| Some(it.api_version.clone())))),
            None if text.starts_with('/') => Ok((text.to_owned(), version)),
            None => Stop::fault(format!(
                "the template has no resource `{}`: a resource of the template goes by its name or symbolic name, \
                 any other by its id",
                text.escape_debug()
            )),
        }
    }

    fn reference(&self, given: &Given<'_>) -> Found<'a> {
        let (id, api_version) = self.spoken_of(given)?;
        let whole = self.fetched(Need::Resource { id, api_version })?;
        let is_full = given
            .0
            .get(2)
            .and_then(|it| it.as_str())
            .is_some_and(|it| it.eq_ignore_ascii_case("Full"));
        match is_full {
            true => Ok(Cow::Borrowed(whole)),
            false => match model::json::member(whole, "properties") {
                Some(it) => Ok(Cow::Borrowed(it)),
                None => Ok(Cow::Owned(json!({}))),
            },
        }
    }

    fn list(&self, function: &str, given: &Given<'_>) -> Found<'a> {
        let (id, api_version) = self.spoken_of(given)?;
        let Some(api_version) = api_version else {
            return Stop::fault("an api-version is expected as the second argument");
        };
        self.fetched(Need::List { id, function: function.to_owned(), api_version })
            .map(Cow::Borrowed)
    }

    fn lambda(&self, name: &str, arguments: &[Syntax]) -> Found<'a> {
        let Some((list, lambdas)) = arguments.split_first() else {
            return Stop::fault(format!("`{name}` takes a list and a lambda"));
        };
        let list = self.expression(list)?;
        let Some(items) = list.as_array() else {
            return Stop::fault(format!("`{name}`: the first argument is a list"));
        };
        let one = |lambda: Option<&Syntax>, values: &[Value]| match lambda {
            Some(Syntax::Call { name, arguments, .. }) if name.eq_ignore_ascii_case("lambda") => {
                self.applied(arguments, values)
            }
            _ => Stop::fault("a `lambda(...)` is expected"),
        };
        let truth = |it: &Value| {
            it.as_bool().ok_or(Stop::Fault("the lambda is neither true nor false".into()))
        };
        let made = match name {
            "map" => {
                let mapped = items.iter().map(|it| one(lambdas.first(), std::slice::from_ref(it)));
                Value::Array(mapped.collect::<Result<_, _>>()?)
            }
            "filter" => {
                let mut kept = Vec::new();
                for it in items {
                    if truth(&one(lambdas.first(), std::slice::from_ref(it))?)? {
                        kept.push(it.clone());
                    }
                }
                Value::Array(kept)
            }
            "reduce" => {
                let Some(start) = lambdas.first() else {
                    return Stop::fault(
                        "`reduce` takes a list, a value to begin with and a lambda",
                    );
                };
                let mut sum = self.expression(start)?.into_owned();
                for it in items {
                    sum = one(lambdas.get(1), &[sum, it.clone()])?;
                }
                sum
            }
            "toobject" => {
                let mut all = Map::new();
                for it in items {
                    let item = std::slice::from_ref(it);
                    let key = one(lambdas.first(), item)?;
                    let Some(key) = key.as_str() else {
                        return Stop::fault("`toObject`: a name is a text");
                    };
                    let value = match lambdas.get(1) {
                        None => it.clone(),
                        lambda => one(lambda, item)?,
                    };
                    all.insert(key.to_owned(), value);
                }
                Value::Object(all)
            }
            _ => {
                // By insertion: lists of templates are short, and every comparison is counted.
                let mut sorted: Vec<Value> = Vec::new();
                for it in items {
                    let mut at = sorted.len();
                    while let Some(before) = at.checked_sub(1).and_then(|it| sorted.get(it)) {
                        if !truth(&one(lambdas.first(), &[it.clone(), before.clone()])?)? {
                            break;
                        }
                        at -= 1;
                    }
                    sorted.insert(at, it.clone());
                }
                Value::Array(sorted)
            }
        };
        Ok(checked(made, self.steps)?)
    }

    /// A lambda's value for these: its arguments are the names of its variables and, last, what it does.
    fn applied(&self, arguments: &[Syntax], values: &[Value]) -> Result<Value, Stop> {
        let Some((body, names)) = arguments.split_last().filter(|(_, it)| it.len() >= values.len())
        else {
            return Stop::fault("the lambda has too few variables");
        };
        let before = self.bound.borrow().len();
        for (name, value) in names.iter().zip(values) {
            let Syntax::Literal(Value::String(name)) = name else {
                return Stop::fault("a variable of a lambda is named by a text");
            };
            expression::charge(value, self.steps)?;
            self.bound.borrow_mut().push((name.clone(), value.clone()));
        }
        let found = self.expression(body).map(Cow::into_owned);
        self.bound.borrow_mut().truncate(before);
        found
    }

    /// What a text's expressions speak of by `reference` and `list...`, as far as it is settled before the plan is
    /// carried out: these come first.
    pub(crate) fn speaks_of(&self, text: &str, all: &mut Vec<String>) -> Result<(), Stop> {
        let Some(inner) = inner(text) else { return Ok(()) };
        self.steps.spend_bytes(inner.len())?;
        if let Ok(syntax) = expression::parse(inner, EXPRESSION_CHARS_MAX) {
            self.look(&syntax, all);
        }
        Ok(())
    }

    fn look(&self, syntax: &Syntax, all: &mut Vec<String>) {
        match syntax {
            Syntax::Literal(_) => {}
            Syntax::Call { name, arguments, .. } => {
                let name = name.to_ascii_lowercase();
                if (name == "reference" || name.starts_with("list"))
                    && let Some(first) = arguments.first()
                    && let Ok(Value::String(it)) = self.expression(first).map(Cow::into_owned)
                {
                    all.push(it);
                }
                arguments.iter().for_each(|it| self.look(it, all));
            }
            Syntax::Access { of, steps } => {
                self.look(of, all);
                steps.iter().for_each(|it| self.look(it, all));
            }
        }
    }
}

fn texts(given: &Given<'_>) -> Result<String, Stop> {
    let mut all = Vec::new();
    for index in 0..given.0.len().max(1) {
        all.push(given.text(index)?);
    }
    Ok(all.join("-"))
}

/// Thirteen letters and digits that are the same for the same text.
fn unique(text: &str) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(13);
    bytes.filter_map(|it| LETTERS.get(usize::from(it & 31))).map(|it| char::from(*it)).collect()
}

/// The id of version 5 of a text.
fn guid(text: &str) -> String {
    let all = [GUIDS.as_bytes().as_slice(), text.as_bytes()].concat();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &all);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid().to_string()
}

/// True where the first argument is no type.
fn named_first(given: &Given<'_>) -> bool {
    given.0.first().and_then(|it| it.as_str()).is_some_and(|it| !it.contains('/'))
}

/// The id of the type at `from` and the names behind it, below a place.
fn joined(above: &Scope, given: &Given<'_>, from: usize) -> Result<String, Stop> {
    let kind = given.text(from)?;
    let mut names = Vec::new();
    for index in from + 1..given.0.len() {
        names.push(given.text(index)?);
    }
    ids::id(above, kind, &names.join("/")).map_err(Stop::Fault)
}

/// `resourceId([subscription], [group], type, name, ...)`.
fn resource_id(scope: &Scope, given: &Given<'_>) -> Result<String, Stop> {
    let place = given.0.iter().position(|it| it.as_str().is_some_and(|it| it.contains('/')));
    let (subscription, group) = match place {
        Some(0) => (None, None),
        Some(1) => (None, Some(given.text(0)?)),
        Some(2) => (Some(given.text(0)?), Some(given.text(1)?)),
        Some(_) | None => return Stop::fault("the type of a resource is expected"),
    };
    let subscription = subscription.or_else(|| scope.subscription_id());
    let group = group.or_else(|| scope.resource_group());
    let above = match (subscription, group) {
        (Some(subscription), Some(group)) => {
            format!("/subscriptions/{subscription}/resourceGroups/{group}")
        }
        (Some(subscription), None) => format!("/subscriptions/{subscription}"),
        (None, _) => "/".to_owned(),
    };
    let above = Scope::parse(&above).map_err(|it| Stop::Fault(it.to_string()))?;
    joined(&above, given, place.unwrap_or(0))
}

fn moment(given: &Given<'_>) -> Result<Timestamp, Stop> {
    match Timestamp::parse(given.text(0)?) {
        Some(it) => Ok(it),
        None => Stop::fault("a time such as 2026-11-22T08:00:00Z is expected"),
    }
}

/// The time by a pattern of the words that templates use: `yyyy`, `MM`, `dd`, `HH`, `mm`, `ss`; `d` and `u` alone.
fn formatted(now: Timestamp, pattern: Option<&str>) -> Result<Value, Stop> {
    // 2026-11-22T08:00:00.250Z
    let text = now.rfc3339();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("");
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    let (hour, minute, second) = (part(11, 13), part(14, 16), part(17, 19));
    Ok(match pattern {
        None => format!("{year}{month}{day}T{hour}{minute}{second}Z").into(),
        Some("d") => format!("{month}/{day}/{year}").into(),
        Some("u") => format!("{year}-{month}-{day} {hour}:{minute}:{second}Z").into(),
        Some(it) if it.len() <= 64 => it
            .replace("yyyy", year)
            .replace("MM", month)
            .replace("dd", day)
            .replace("HH", hour)
            .replace("mm", minute)
            .replace("ss", second)
            .into(),
        Some(_) => return Stop::fault("the pattern is longer than 64 characters"),
    })
}

/// A time and a duration, `P3D`, `-PT9H`, `PT1H30M`.
fn date_time_add(given: &Given<'_>) -> Result<Value, Stop> {
    let seconds = duration_s(given.text(1)?);
    let later = seconds.and_then(|it| moment(given).ok()?.seconds().checked_add(it));
    match later.filter(|it| (0..=253_402_300_799).contains(it)) {
        Some(it) => formatted(Timestamp::from_seconds(it), given.text(2).ok()),
        None => Stop::fault("a time and a duration such as `P3D` or `-PT9H` are expected"),
    }
}

fn duration_s(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (mut total, mut number, mut is_time) = (0_i64, String::new(), false);
    for it in rest.strip_prefix('P')?.chars() {
        let unit = match (it, is_time) {
            ('0'..='9', _) => {
                number.push(it);
                continue;
            }
            ('T', false) => {
                is_time = true;
                continue;
            }
            ('Y', false) => 365 * 86_400,
            ('M', false) => 30 * 86_400,
            ('W', false) => 7 * 86_400,
            ('D', false) => 86_400,
            ('H', true) => 3_600,
            ('M', true) => 60,
            ('S', true) => 1,
            (_, _) => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    number.is_empty().then_some(sign * total)
}
