//! What a Graph list call asks for: which objects (`$filter`), which of their properties (`$select`), how
//! many at once (`$top`) and from where on (`$skiptoken`).
//!
//! An option or a filter that is not understood is refused, and the refusal names what works: an answer
//! with everything would look as if the filter had been heard.

use super::{Object, context, shown};
use crate::input::{Input, Reply};
use model::Error;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Objects in a page, where the client names no number.
const PAGE: usize = 100;
/// Most objects in a page. Source: Microsoft Graph, "List applications", `$top`.
const PAGE_MAX: usize = 999;
/// Longest filter.
const FILTER_BYTES_MAX: usize = 4_096;
/// Most comparisons in a filter.
const CLAUSES_MAX: usize = 16;
/// Most properties in `$select`.
const SELECT_MAX: usize = 64;

/// The options that are understood.
const OPTIONS: &[&str] = &["$filter", "$select", "$top", "$skiptoken", "$count"];

/// What can be asked of a kind of object.
pub(super) struct Forms {
    /// The last segment of the list's path, as Graph spells it.
    pub(super) set: &'static str,
    /// Texts that take `eq`.
    pub(super) equals: &'static [&'static str],
    /// Properties that take `eq true` and `eq false`.
    pub(super) flags: &'static [&'static str],
    /// Texts that take `startswith`.
    pub(super) starts: &'static [&'static str],
    /// Lists of texts that take `any`.
    pub(super) any: &'static [&'static str],
}

impl Forms {
    /// The forms that work, for a refusal.
    fn listed(&self) -> String {
        let equals = self.equals.iter().map(|it| format!("`{it} eq '...'`"));
        let flags = self.flags.iter().map(|it| format!("`{it} eq true`"));
        let starts = self.starts.iter().map(|it| format!("`startswith({it},'...')`"));
        let any = self.any.iter().map(|it| format!("`{it}/any(c:c eq '...')`"));
        equals.chain(flags).chain(starts).chain(any).collect::<Vec<_>>().join(", ")
    }
}

/// One comparison. Texts compare without regard to case, as the directory does.
#[derive(Clone, PartialEq, Debug)]
enum Clause {
    Equals { property: &'static str, value: String },
    Is { property: &'static str, flag: bool },
    StartsWith { property: &'static str, start: String },
    AnyEquals { property: &'static str, value: String },
}

impl Clause {
    fn holds(&self, object: &Object) -> bool {
        let at = |property: &str| object.get(property).unwrap_or(&Value::Null);
        match self {
            Self::Equals { property, value } => {
                at(property).as_str().is_some_and(|it| is_same(it, value))
            }
            Self::Is { property, flag } => at(property).as_bool() == Some(*flag),
            Self::StartsWith { property, start } => at(property)
                .as_str()
                .is_some_and(|it| it.to_lowercase().starts_with(&start.to_lowercase())),
            Self::AnyEquals { property, value } => at(property).as_array().is_some_and(|all| {
                all.iter().filter_map(Value::as_str).any(|it| is_same(it, value))
            }),
        }
    }
}

fn is_same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Reads a filter: clauses, joined by `and`. All of them must hold.
fn read_filter(text: &str, forms: &Forms) -> Result<Vec<Clause>, Error> {
    let refused = |because: &str| {
        let sentence = format!(
            "`{}` {because}; these forms work, alone or joined by `and`: {}",
            shown(text),
            forms.listed()
        );
        Error::invalid("$filter", sentence)
    };
    if text.len() > FILTER_BYTES_MAX {
        return Err(Error::invalid(
            "$filter",
            format!("a filter has at most {FILTER_BYTES_MAX} bytes"),
        ));
    }
    let mut reader = Reader { rest: text };
    let mut clauses = Vec::new();
    loop {
        if clauses.len() == CLAUSES_MAX {
            return Err(Error::invalid(
                "$filter",
                format!("a filter has at most {CLAUSES_MAX} comparisons"),
            ));
        }
        clauses.push(
            reader
                .clause(forms)
                .ok_or_else(|| refused("is not a filter that is understood here"))?,
        );
        if reader.is_at_end() {
            return Ok(clauses);
        }
        reader
            .keyword("and")
            .ok_or_else(|| refused("goes on after a comparison with something other than `and`"))?;
    }
}

/// Takes a filter apart from its start. Whatever does not fit is `None`.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn clause(&mut self, forms: &Forms) -> Option<Clause> {
        let name = self.word()?;
        if name.eq_ignore_ascii_case("startswith") {
            self.symbol('(')?;
            let property = known(self.word()?, forms.starts)?;
            self.symbol(',')?;
            let start = self.quoted()?;
            self.symbol(')')?;
            return Some(Clause::StartsWith { property, start });
        }
        if self.symbol('/').is_some() {
            let property = known(name, forms.any)?;
            self.keyword("any")?;
            self.symbol('(')?;
            let variable = self.word()?;
            self.symbol(':')?;
            (self.word()? == variable).then_some(())?;
            self.keyword("eq")?;
            let value = self.quoted()?;
            self.symbol(')')?;
            return Some(Clause::AnyEquals { property, value });
        }
        self.keyword("eq")?;
        if let Some(property) = known(name, forms.flags) {
            let flag = self.word()?.parse().ok()?;
            return Some(Clause::Is { property, flag });
        }
        let property = known(name, forms.equals)?;
        Some(Clause::Equals { property, value: self.quoted()? })
    }

    /// A text in single quotes, in which two stand for one.
    fn quoted(&mut self) -> Option<String> {
        let mut rest = self.rest.trim_start().strip_prefix('\'')?;
        let mut text = String::new();
        loop {
            let (before, after) = rest.split_once('\'')?;
            text.push_str(before);
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Some(text);
                }
            }
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|it: char| !it.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        self.rest = after;
        (!word.is_empty()).then_some(word)
    }

    fn keyword(&mut self, wanted: &str) -> Option<()> {
        self.word()?.eq_ignore_ascii_case(wanted).then_some(())
    }

    fn symbol(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(wanted)?;
        Some(())
    }

    fn is_at_end(&self) -> bool {
        self.rest.trim().is_empty()
    }
}

/// The property in our spelling, where it is one of `properties`.
fn known(name: &str, properties: &'static [&'static str]) -> Option<&'static str> {
    properties.iter().copied().find(|it| it.eq_ignore_ascii_case(name))
}

/// A list call's options, read and checked.
#[derive(Debug)]
pub(super) struct Listing {
    clauses: Vec<Clause>,
    /// What to leave in each object; everything where it is empty.
    select: Vec<String>,
    top: usize,
    /// The id after which this page begins.
    after: Option<String>,
    has_count: bool,
    /// The options as they were sent, for the next page's address.
    sent: Vec<(String, String)>,
}

impl Listing {
    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::Invalid`] where an option or its value is not understood.
    pub(super) fn read(input: &Input, forms: &Forms) -> Result<Self, Error> {
        let foreign = input.query.iter().find(|(key, _)| {
            key.starts_with('$') && !OPTIONS.iter().any(|it| it.eq_ignore_ascii_case(key))
        });
        if let Some((key, _)) = foreign {
            let sentence =
                format!("this option is not understood here; these are: {}", OPTIONS.join(", "));
            return Err(Error::invalid(shown(key), sentence));
        }
        let given = |name: &str| input.query(name).filter(|it| !it.trim().is_empty());
        let top = match given("$top").map(str::parse::<usize>) {
            None => PAGE,
            Some(Ok(number)) if (1..=PAGE_MAX).contains(&number) => number,
            Some(_) => {
                return Err(Error::invalid(
                    "$top",
                    format!("this is a number from 1 to {PAGE_MAX}"),
                ));
            }
        };
        let clauses = match given("$filter") {
            Some(text) => read_filter(text, forms)?,
            None => Vec::new(),
        };
        Ok(Self {
            clauses,
            select: selected(input)?,
            top,
            after: given("$skiptoken").map(str::to_ascii_lowercase),
            has_count: given("$count").is_some_and(|it| it.eq_ignore_ascii_case("true")),
            sent: input.query.iter().filter(|(key, _)| key.starts_with('$')).cloned().collect(),
        })
    }

    /// The page that was asked for, out of all objects, each of which has an `id`.
    pub(super) fn answer(&self, origin: &str, forms: &Forms, objects: Vec<Object>) -> Reply {
        self.answer_at(origin, forms, forms.set, objects)
    }

    /// The same for a list at another `path` than the one of all objects of its kind.
    pub(super) fn answer_at(
        &self,
        origin: &str,
        forms: &Forms,
        path: &str,
        objects: Vec<Object>,
    ) -> Reply {
        let id = |it: &Object| it.get("id").and_then(Value::as_str).unwrap_or("").to_owned();
        let mut fitting: Vec<(String, Object)> = objects
            .into_iter()
            .filter(|object| self.clauses.iter().all(|it| it.holds(object)))
            .map(|object| (id(&object), object))
            .collect();
        fitting.sort_by(|a, b| a.0.cmp(&b.0));
        let count = fitting.len();
        if let Some(after) = &self.after {
            fitting.retain(|(id, _)| id > after);
        }
        let has_more = fitting.len() > self.top;
        fitting.truncate(self.top);

        let mut body = Object::new();
        body.insert("@odata.context".into(), context(origin, forms.set).into());
        if self.has_count {
            body.insert("@odata.count".into(), count.into());
        }
        if let Some((last, _)) = fitting.last().filter(|_| has_more) {
            body.insert("@odata.nextLink".into(), self.next(origin, path, last).into());
        }
        let page =
            fitting.into_iter().map(|(_, it)| Value::Object(project(it, &self.select))).collect();
        body.insert("value".into(), Value::Array(page));
        Reply::ok(Value::Object(body))
    }

    fn next(&self, origin: &str, path: &str, last: &str) -> String {
        let own = self.sent.iter().filter(|(key, _)| !key.eq_ignore_ascii_case("$skiptoken"));
        let own = own.map(|(key, value)| (key.as_str(), value.as_str()));
        let query: Vec<String> = own
            .chain([("$skiptoken", last)])
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        format!("{origin}/v1.0/{path}?{}", query.join("&"))
    }
}

/// The properties that `$select` names; none means all.
///
/// # Errors
/// [`Error::Invalid`] where it names more than [`SELECT_MAX`], or something that is no name.
pub(super) fn selected(input: &Input) -> Result<Vec<String>, Error> {
    let text = input.query("$select").unwrap_or("");
    let names: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty() && *it != "*")
        .map(str::to_owned)
        .collect();
    let is_name = |it: &String| it.bytes().all(|it| it.is_ascii_alphanumeric());
    match names.len() <= SELECT_MAX && names.iter().all(is_name) {
        true => Ok(names),
        false => Err(Error::invalid(
            "$select",
            format!("this is a list of at most {SELECT_MAX} property names, with commas between"),
        )),
    }
}

/// The object with the selected properties only. Annotations stay, and a name that it lacks adds nothing.
pub(super) fn project(mut object: Object, select: &[String]) -> Object {
    if !select.is_empty() {
        object.retain(|key, _| {
            key.starts_with('@') || select.iter().any(|it| it.eq_ignore_ascii_case(key))
        });
    }
    object
}

#[cfg(test)]
mod tests;
