//! The functions that need nothing but their arguments: one row each.
//!
//! Names compare without regard to case. Source of what each does: Azure Resource Manager documentation,
//! "Template functions". Texts are counted in characters, where Azure counts UTF-16 units.

mod lists;
mod numbers;
mod texts;

pub use numbers::compare_numbers;
pub use texts::has_layout;

use crate::value::{Steps, brief, charge, checked};
use crate::{Fault, syntax};
use model::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// A function, as every call of it shares it.
pub struct Function {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
    run: Run,
}

/// Whatever number of arguments.
const ANY: usize = usize::MAX;

/// How much of its arguments a function looks at.
#[derive(Clone, Copy)]
enum Run {
    /// All of them: it may read or copy the whole.
    Whole(fn(&Given<'_>) -> Result<Value, Fault>),
    /// A part or nothing.
    Part(fn(&Given<'_>) -> Result<Value, Fault>),
}

impl Function {
    /// The value for these arguments, of which there is a fitting number.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn call<'v>(
        &self,
        arguments: &[Cow<'_, Value>],
        steps: &Steps,
    ) -> Result<Cow<'v, Value>, Fault> {
        let given = Given(arguments);
        let made = match self.run {
            Run::Whole(run) => {
                for it in arguments {
                    charge(it, steps)?;
                }
                run(&given)
            }
            Run::Part(run) => run(&given),
        };
        made.and_then(|it| checked(it, steps)).map_err(|it| self.fault(&it))
    }

    /// That it has no value, in its name.
    pub fn fault(&self, because: &Fault) -> Fault {
        Fault(format!("`{}`: {}", self.name, because.0))
    }

    /// Why it cannot have so many arguments, where it cannot.
    pub fn misfit(&self, given: usize) -> Option<String> {
        let fits = (self.least..=self.most).contains(&given);
        (!fits).then(|| syntax::arity_fault(self.name, self.least, self.most, given))
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

/// Every one of them, by name.
pub static FUNCTIONS: &[Function] = &[
    row("add", 2, 2, Run::Whole(numbers::add)),
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
    row("div", 2, 2, Run::Whole(numbers::div)),
    row("empty", 1, 1, Run::Part(lists::empty)),
    row("endsWith", 2, 2, Run::Whole(texts::ends_with)),
    row("equals", 2, 2, Run::Whole(numbers::equals)),
    row("false", 0, 0, Run::Part(|_| Ok(Value::Bool(false)))),
    row("first", 1, 1, Run::Part(lists::first)),
    row("float", 1, 1, Run::Whole(numbers::float)),
    row("format", 1, ANY, Run::Whole(texts::format)),
    row("greater", 2, 2, Run::Whole(numbers::greater)),
    row("greaterOrEquals", 2, 2, Run::Whole(numbers::greater_or_equals)),
    row("indexOf", 2, 2, Run::Whole(texts::index_of)),
    row("int", 1, 1, Run::Whole(numbers::int)),
    row("intersection", 2, ANY, Run::Whole(lists::intersection)),
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
    row("range", 2, 2, Run::Whole(lists::range)),
    row("replace", 3, 3, Run::Whole(texts::replace)),
    row("skip", 2, 2, Run::Whole(lists::skip)),
    row("split", 2, 2, Run::Whole(texts::split)),
    row("startsWith", 2, 2, Run::Whole(texts::starts_with)),
    row("string", 1, 1, Run::Whole(texts::string)),
    row("sub", 2, 2, Run::Whole(numbers::sub)),
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
];

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

/// A moment as functions write it: `2026-11-22T08:00:00.0000000Z`.
pub fn universal(moment: Timestamp) -> Value {
    let text = moment.rfc3339();
    format!("{}0000Z", text.strip_suffix('Z').unwrap_or(&text)).into()
}

/// The arguments of a call.
pub struct Given<'a>(pub &'a [Cow<'a, Value>]);

impl Given<'_> {
    /// # Errors
    /// Where there is no such argument.
    pub fn value(&self, index: usize) -> Result<&Value, Fault> {
        match self.0.get(index) {
            Some(it) => Ok(it),
            None => Fault::new("an argument is missing"),
        }
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|it| &**it)
    }

    /// # Errors
    /// Always: what the argument is, and what is expected.
    pub fn misfit<T>(&self, index: usize, wanted: &str) -> Result<T, Fault> {
        let given = self.0.get(index).map_or_else(String::new, |it| brief(it));
        Fault::new(format!("argument {} is `{given}`, and {wanted} is expected", index + 1))
    }

    /// # Errors
    /// Where it is none.
    pub fn text(&self, index: usize) -> Result<&str, Fault> {
        self.value(index)?.as_str().map_or_else(|| self.misfit(index, "a text"), Ok)
    }

    /// # Errors
    /// Where it is none.
    pub fn int(&self, index: usize) -> Result<i64, Fault> {
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

    #[test]
    fn every_function_stands_once_and_in_order() {
        let names: Vec<String> = FUNCTIONS.iter().map(|it| it.name.to_ascii_lowercase()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(FUNCTIONS.iter().all(|it| it.least <= it.most));
    }
}
