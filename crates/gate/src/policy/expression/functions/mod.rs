//! The functions of expressions: one row each.
//!
//! Names compare without regard to case. Source of what each does: Azure Resource Manager documentation,
//! "Template functions"; of those that only policies have, Azure Policy definition structure, "Policy
//! functions". Texts are counted in characters, where Azure counts UTF-16 units.

mod addresses;
mod lists;
mod numbers;
mod surroundings;
mod texts;

pub(super) use texts::has_layout;

use super::Fault;
use super::evaluate::brief;
use crate::policy::evaluate::Env;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// A function, as every call of it shares it.
pub struct Function {
    pub(super) name: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) run: Run,
}

/// Whatever number of arguments.
const ANY: usize = usize::MAX;

/// How a function comes to its value.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// From its arguments alone, all of which it may read or copy.
    Whole(fn(&Given<'_>) -> Result<Value, Fault>),
    /// From its arguments alone, of which it looks at a part or nothing.
    Part(fn(&Given<'_>) -> Result<Value, Fault>),
    /// From the call that is judged, too.
    Around(fn(&Given<'_>, Env<'_>) -> Result<Value, Fault>),
    If,
    Field,
    Current,
    Parameters,
}

impl Function {
    /// True where it has the same value whatever is judged.
    pub(super) fn is_static(&self) -> bool {
        match self.run {
            Run::Whole(_) | Run::Part(_) | Run::If | Run::Parameters => true,
            Run::Around(_) | Run::Field | Run::Current => false,
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn row(name: &'static str, least: usize, most: usize, run: Run) -> Function {
    Function { name, least, most, run }
}

/// Every function that can be evaluated, by name.
pub(super) static FUNCTIONS: &[Function] = &[
    row("add", 2, 2, Run::Whole(numbers::add)),
    row("addDays", 2, 2, Run::Whole(surroundings::add_days)),
    row("and", 2, ANY, Run::Whole(numbers::and)),
    row("array", 1, 1, Run::Whole(lists::array)),
    row("base64", 1, 1, Run::Whole(texts::base64)),
    row("base64ToJson", 1, 1, Run::Whole(texts::base64_to_json)),
    row("base64ToString", 1, 1, Run::Whole(texts::base64_to_string)),
    row("bool", 1, 1, Run::Whole(numbers::bool)),
    row("coalesce", 1, ANY, Run::Whole(lists::coalesce)),
    row("concat", 1, ANY, Run::Whole(texts::concat)),
    row("contains", 2, 2, Run::Whole(lists::contains)),
    row("createArray", 0, ANY, Run::Whole(lists::create_array)),
    row("createObject", 0, ANY, Run::Whole(lists::create_object)),
    row("current", 0, 1, Run::Current),
    row("div", 2, 2, Run::Whole(numbers::div)),
    row("empty", 1, 1, Run::Part(lists::empty)),
    row("endsWith", 2, 2, Run::Whole(texts::ends_with)),
    row("equals", 2, 2, Run::Whole(numbers::equals)),
    row("false", 0, 0, Run::Part(|_| Ok(Value::Bool(false)))),
    row("field", 1, 1, Run::Field),
    row("first", 1, 1, Run::Part(lists::first)),
    row("float", 1, 1, Run::Whole(numbers::float)),
    row("format", 1, ANY, Run::Whole(texts::format)),
    row("greater", 2, 2, Run::Whole(numbers::greater)),
    row("greaterOrEquals", 2, 2, Run::Whole(numbers::greater_or_equals)),
    row("if", 3, 3, Run::If),
    row("indexOf", 2, 2, Run::Whole(texts::index_of)),
    row("int", 1, 1, Run::Whole(numbers::int)),
    row("intersection", 2, ANY, Run::Whole(lists::intersection)),
    row("ipRangeContains", 2, 2, Run::Whole(addresses::ip_range_contains)),
    row("items", 1, 1, Run::Whole(lists::items)),
    row("join", 2, 2, Run::Whole(texts::join)),
    row("json", 1, 1, Run::Whole(texts::json)),
    row("last", 1, 1, Run::Part(lists::last)),
    row("lastIndexOf", 2, 2, Run::Whole(texts::last_index_of)),
    row("length", 1, 1, Run::Part(lists::length)),
    row("less", 2, 2, Run::Whole(numbers::less)),
    row("lessOrEquals", 2, 2, Run::Whole(numbers::less_or_equals)),
    row("max", 1, ANY, Run::Whole(numbers::max)),
    row("min", 1, ANY, Run::Whole(numbers::min)),
    row("mod", 2, 2, Run::Whole(numbers::modulo)),
    row("mul", 2, 2, Run::Whole(numbers::mul)),
    row("not", 1, 1, Run::Whole(numbers::not)),
    row("null", 0, 0, Run::Part(|_| Ok(Value::Null))),
    row("or", 2, ANY, Run::Whole(numbers::or)),
    row("padLeft", 2, 3, Run::Whole(texts::pad_left)),
    row("parameters", 1, 1, Run::Parameters),
    row("policy", 0, 0, Run::Around(surroundings::policy)),
    row("range", 2, 2, Run::Whole(lists::range)),
    row("replace", 3, 3, Run::Whole(texts::replace)),
    row("requestContext", 0, 0, Run::Around(surroundings::request_context)),
    row("resourceGroup", 0, 0, Run::Around(surroundings::resource_group)),
    row("skip", 2, 2, Run::Whole(lists::skip)),
    row("split", 2, 2, Run::Whole(texts::split)),
    row("startsWith", 2, 2, Run::Whole(texts::starts_with)),
    row("string", 1, 1, Run::Whole(texts::string)),
    row("sub", 2, 2, Run::Whole(numbers::sub)),
    row("subscription", 0, 0, Run::Around(surroundings::subscription)),
    row("substring", 2, 3, Run::Whole(texts::substring)),
    row("take", 2, 2, Run::Whole(lists::take)),
    row("toLower", 1, 1, Run::Whole(texts::to_lower)),
    row("toUpper", 1, 1, Run::Whole(texts::to_upper)),
    row("trim", 1, 1, Run::Whole(texts::trim)),
    row("true", 0, 0, Run::Part(|_| Ok(Value::Bool(true)))),
    row("tryGet", 2, ANY, Run::Part(lists::try_get)),
    row("union", 2, ANY, Run::Whole(lists::union)),
    row("uri", 2, 2, Run::Whole(texts::uri)),
    row("uriComponent", 1, 1, Run::Whole(texts::uri_component)),
    row("uriComponentToString", 1, 1, Run::Whole(texts::uri_component_to_string)),
    row("utcNow", 0, 0, Run::Around(surroundings::utc_now)),
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

/// The arguments of a call.
pub(super) struct Given<'a>(pub(super) &'a [Cow<'a, Value>]);

impl Given<'_> {
    fn value(&self, index: usize) -> Result<&Value, Fault> {
        match self.0.get(index) {
            Some(it) => Ok(it),
            None => Fault::new("an argument is missing"),
        }
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|it| &**it)
    }

    fn misfit<T>(&self, index: usize, wanted: &str) -> Result<T, Fault> {
        let given = self.0.get(index).map_or_else(String::new, |it| brief(it));
        Fault::new(format!("argument {} is `{given}`, and {wanted} is expected", index + 1))
    }

    pub(super) fn text(&self, index: usize) -> Result<&str, Fault> {
        self.value(index)?.as_str().map_or_else(|| self.misfit(index, "a text"), Ok)
    }

    fn int(&self, index: usize) -> Result<i64, Fault> {
        self.value(index)?.as_i64().map_or_else(|| self.misfit(index, "a whole number"), Ok)
    }

    fn list(&self, index: usize) -> Result<&Vec<Value>, Fault> {
        self.value(index)?.as_array().map_or_else(|| self.misfit(index, "a list"), Ok)
    }

    fn object(&self, index: usize) -> Result<&Map<String, Value>, Fault> {
        self.value(index)?.as_object().map_or_else(|| self.misfit(index, "an object"), Ok)
    }

    fn truth(&self, index: usize) -> Result<bool, Fault> {
        self.value(index)?.as_bool().map_or_else(|| self.misfit(index, "true or false"), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lacking;

    #[test]
    fn every_function_stands_once_and_in_order() {
        let names: Vec<String> = FUNCTIONS.iter().map(|it| it.name.to_ascii_lowercase()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
        for it in FUNCTIONS {
            assert!(it.least <= it.most, "{it:?}");
            assert!(!lacking::NEVER.contains(&it.name), "{it:?}");
            assert_eq!(lacking::lacking(lacking::FUNCTIONS, it.name), None, "{it:?}");
        }
    }
}
