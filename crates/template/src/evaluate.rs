//! The value of what a template says, at one place of it.

use crate::settle::Settling;
use crate::{COPIES_MAX, EXPRESSION_CHARS_MAX, Known, Need, Stop, Surroundings};
use expression::{Steps, Syntax, below, charge, owned};
use model::json::{member, text};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What holds for a whole template. Names are in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) around: Surroundings,
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) variables: BTreeMap<String, Value>,
    /// What resources of the template are called, with their ids and api-versions.
    pub(crate) resources: CalledBy,
    /// True where messages show no values: some may be secret.
    pub(crate) is_quiet: bool,
}

/// What a resource of the template goes by.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) symbol: Option<String>,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) api_version: String,
}

/// The resources of a template by what they go by, in lower case: symbolic names come before ids, and ids before names.
#[derive(Clone, Debug, Default)]
pub(crate) struct CalledBy {
    all: Vec<Called>,
    by: BTreeMap<String, (u8, usize)>,
}

impl CalledBy {
    pub(crate) fn add(&mut self, called: Called) {
        let at = self.all.len();
        let words = [called.symbol.as_ref(), Some(&called.id), Some(&called.name)];
        for (rank, word) in (0_u8..).zip(words) {
            let Some(word) = word else { continue };
            let found = self.by.entry(word.to_ascii_lowercase()).or_insert((rank, at));
            if rank < found.0 {
                *found = (rank, at);
            }
        }
        self.all.push(called);
    }

    fn get(&self, word: &str) -> Option<&Called> {
        self.all.get(self.by.get(&word.to_ascii_lowercase())?.1)
    }
}

impl Context {
    /// The resource of the template that a text speaks of.
    pub(crate) fn resource(&self, text: &str) -> Option<&Called> {
        self.resources.get(text)
    }
}

/// A loop around what is evaluated, and how far it is.
pub(crate) type Copying = (String, i64);

/// Where something is evaluated.
pub(crate) struct Evaluator<'a> {
    pub(crate) context: &'a Context,
    pub(crate) steps: &'a Steps,
    /// The loops around, the innermost last.
    pub(crate) copies: Vec<Copying>,
    /// None before the plan is carried out.
    pub(crate) known: Option<&'a Known>,
    pub(crate) settling: Option<&'a Settling<'a>>,
    /// True within the default of a parameter, which alone may ask for the time and new ids.
    pub(crate) is_default: bool,
    /// The variables of lambdas around.
    pub(crate) bound: RefCell<Vec<(String, Value)>>,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(context: &'a Context, steps: &'a Steps) -> Self {
        Self {
            context,
            steps,
            copies: Vec::new(),
            known: None,
            settling: None,
            is_default: false,
            bound: RefCell::default(),
        }
    }

    pub(crate) fn with(
        context: &'a Context,
        steps: &'a Steps,
        copies: &[Copying],
        known: Option<&'a Known>,
    ) -> Self {
        Self { copies: copies.to_vec(), known, ..Self::new(context, steps) }
    }

    /// The same one loop further in.
    pub(crate) fn within(&self, name: &str, index: i64) -> Evaluator<'a> {
        let mut copies = self.copies.clone();
        copies.push((name.to_owned(), index));
        Evaluator {
            copies,
            known: self.known,
            settling: self.settling,
            is_default: self.is_default,
            bound: self.bound.clone(),
            ..Self::new(self.context, self.steps)
        }
    }

    pub(crate) fn value(&self, value: &Value) -> Result<Value, Stop> {
        self.steps.deeper(|| self.inner_value(value))
    }

    fn inner_value(&self, value: &Value) -> Result<Value, Stop> {
        self.steps.spend(1)?;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().map(|it| self.value(it)).collect(),
            Value::Object(members) => {
                let mut all = Map::new();
                for (name, it) in members {
                    if let (true, Value::Array(loops)) = (name.eq_ignore_ascii_case("copy"), it) {
                        for it in loops {
                            let (name, items) = self.copied(it)?;
                            all.insert(name, Value::Array(items));
                        }
                        continue;
                    }
                    let Value::String(key) = self.text(name)? else {
                        return Stop::fault(format!("`{name}`: a name is a text"));
                    };
                    let found = self.value(it).map_err(|it| it.at(name))?;
                    all.insert(key, found);
                }
                Ok(Value::Object(all))
            }
        }
    }

    /// A list that a `copy` of properties or variables makes, with its name.
    fn copied(&self, it: &Value) -> Result<(String, Vec<Value>), Stop> {
        let (Some(name), Some(input)) = (text(it, &["name"]), member(it, "input")) else {
            return Stop::fault("a `copy` has a `name`, a `count` and an `input`");
        };
        let count = self.count(it)?;
        let items = (0..count).map(|index| self.within(name, index).value(input));
        Ok((name.to_owned(), items.collect::<Result<_, _>>().map_err(|it| it.at(name))?))
    }

    /// How often a `copy` goes round.
    pub(crate) fn count(&self, copy: &Value) -> Result<i64, Stop> {
        let count = self.value(member(copy, "count").unwrap_or(&Value::Null))?;
        match count.as_i64().filter(|it| (0..=COPIES_MAX).contains(it)) {
            Some(it) => Ok(it),
            None => Stop::fault(format!(
                "the `count` of a `copy` is a whole number of 0 to {COPIES_MAX}"
            )),
        }
    }

    /// A text that may be an expression. `[[` stands for a leading `[`.
    pub(crate) fn text(&self, text: &str) -> Result<Value, Stop> {
        match inner(text) {
            None => {
                self.steps.spend_bytes(text.len())?;
                Ok(text.strip_prefix('[').filter(|it| it.starts_with('[')).unwrap_or(text).into())
            }
            Some(inner) => {
                self.steps.spend_bytes(inner.len())?;
                let syntax = expression::parse(inner, EXPRESSION_CHARS_MAX)
                    .map_err(|it| Stop::Fault(it.0))?;
                let found = self.expression(&syntax)?;
                Ok(owned(found, self.steps)?)
            }
        }
    }

    /// The same where it must be a text.
    pub(crate) fn required_text(&self, of: &Value, name: &str) -> Result<String, Stop> {
        let Some(written) = member(of, name) else {
            return Stop::fault(format!("`{name}` is missing"));
        };
        let found = self.value(written).map_err(|it| it.at(name))?;
        match found.as_str().filter(|it| !it.is_empty()) {
            Some(it) => Ok(it.to_owned()),
            None => Stop::fault(format!("`{name}` is a text that is not empty")),
        }
    }

    pub(crate) fn expression(&self, syntax: &Syntax) -> Result<Cow<'a, Value>, Stop> {
        self.steps.deeper(|| self.inner_expression(syntax))
    }

    fn inner_expression(&self, syntax: &Syntax) -> Result<Cow<'a, Value>, Stop> {
        self.steps.spend(1)?;
        match syntax {
            Syntax::Literal(it) => {
                charge(it, self.steps)?;
                Ok(Cow::Owned(it.clone()))
            }
            Syntax::Call { name, arguments, .. } => self.call(name, arguments),
            Syntax::Access { of, steps } => {
                let mut value = self.expression(of)?;
                for step in steps {
                    let key = self.expression(step)?;
                    let found = |it: &Value| match self.context.is_quiet {
                        true => Stop::Fault("there is nothing at that place".into()),
                        false => {
                            Stop::Fault(format!("there is nothing at `{}`", expression::brief(it)))
                        }
                    };
                    value = match value {
                        Cow::Borrowed(it) => {
                            Cow::Borrowed(below(it, &key).map_err(|_| found(&key))?)
                        }
                        Cow::Owned(it) => {
                            let inner = below(&it, &key).map_err(|_| found(&key))?;
                            charge(inner, self.steps)?;
                            Cow::Owned(inner.clone())
                        }
                    };
                }
                Ok(value)
            }
        }
    }

    /// What was fetched, or that it is to be.
    pub(crate) fn fetched(&self, need: Need) -> Result<&'a Value, Stop> {
        match self.known.and_then(|it| it.get(&need)) {
            Some(it) => Ok(it),
            None => Err(Stop::Needs(need)),
        }
    }
}

/// What stands between the brackets of an expression.
pub(crate) fn inner(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    (!inner.starts_with('[')).then_some(inner)
}
