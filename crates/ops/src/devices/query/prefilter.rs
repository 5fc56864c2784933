//! What a store can be asked for before a condition is: the one file of the language that knows of a store, and
//! only how it is asked.
//!
//! A filter lets every document through for which the condition is true, and may let others through. So each
//! part of a condition is asked twice: what must hold of a document where it is true, and where it is false;
//! `NOT` swaps the two. What no filter can say lets everything through.

use super::functions::Function;
use super::{Condition, Expression, Path, Relation, Step};
use serde_json::Value;
use store::Filter;
use store::lookup::{Is, Span};

/// Most values of an `IN` that are no texts and become tests of their own.
const MIXED_MAX: usize = 16;

/// Where what a path names lies in a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// It is the document's key.
    Key,
    /// The document's key begins with it and this sign, and nothing else does.
    KeyUpTo(char),
    /// In the document's body, if it is anywhere.
    Body(Vec<String>),
    /// Not in the document, or not as the condition sees it.
    Elsewhere,
}

impl Condition {
    /// What every document fulfils for which the condition is true. `place` says where a path of names leads.
    pub(crate) fn prefilter(&self, place: &dyn Fn(&[&str]) -> Place) -> Filter {
        self.test.as_ref().map_or(Filter::Anything, |it| Compiler { place }.test(it, true))
    }
}

const NOTHING: Filter = Filter::Any(Vec::new());

struct Compiler<'a> {
    place: &'a dyn Fn(&[&str]) -> Place,
}

impl Compiler<'_> {
    /// What holds of a document for which the expression is `wanted`.
    fn test(&self, expression: &Expression, wanted: bool) -> Filter {
        match expression {
            Expression::Constant(it) => {
                match it.as_ref().and_then(Value::as_bool) == Some(wanted) {
                    true => Filter::Anything,
                    false => NOTHING,
                }
            }
            Expression::Path(path) => self.is(path, Is::Bool(wanted)),
            Expression::Not(it) => self.test(it, !wanted),
            Expression::All(all) if wanted => Filter::All(self.tests(all, wanted)),
            Expression::Any(all) if !wanted => Filter::All(self.tests(all, wanted)),
            Expression::All(all) | Expression::Any(all) => Filter::Any(self.tests(all, wanted)),
            Expression::Compare(left, relation, right) => {
                let relation = if wanted { *relation } else { relation.negated() };
                match (&**left, &**right) {
                    (Expression::Path(path), Expression::Constant(value)) => {
                        self.compare(path, relation, value.as_ref())
                    }
                    (Expression::Constant(value), Expression::Path(path)) => {
                        self.compare(path, relation.mirrored(), value.as_ref())
                    }
                    (_, _) => Filter::Anything,
                }
            }
            Expression::In(of, is_in, list) => {
                let Expression::Path(path) = &**of else { return Filter::Anything };
                match *is_in == wanted {
                    true => self.one_of(path, list),
                    false => self.is(path, Is::Present),
                }
            }
            Expression::Call(function, arguments) => self.call(*function, arguments, wanted),
            Expression::Arithmetic(..) => Filter::Anything,
        }
    }

    fn tests(&self, all: &[Expression], wanted: bool) -> Vec<Filter> {
        all.iter().map(|it| self.test(it, wanted)).collect()
    }

    fn place(&self, path: &Path) -> Place {
        let name = |it: &'_ Step| matches!(it, Step::Name(_));
        // An index leads into a list, of which a filter says nothing.
        if !path.0.iter().all(name) {
            return Place::Elsewhere;
        }
        let names: Vec<&str> = path.0.iter().filter_map(Step::name).collect();
        (self.place)(&names)
    }

    /// A test of what is in a body; nothing is known of what is elsewhere.
    fn is(&self, path: &Path, is: Is) -> Filter {
        match self.place(path) {
            Place::Body(names) => Filter::Member(names, is),
            Place::Key | Place::KeyUpTo(_) | Place::Elsewhere => Filter::Anything,
        }
    }

    fn compare(&self, path: &Path, relation: Relation, value: Option<&Value>) -> Filter {
        let Some(value) = value else { return NOTHING };
        match (value, relation) {
            (Value::Array(_) | Value::Object(_), _) => NOTHING,
            (Value::Null, Relation::Equal) => self.is(path, Is::Null),
            (_, Relation::Unequal) => self.is(path, Is::Present),
            (Value::Null, _) => NOTHING,
            (Value::Bool(it), Relation::Equal) => self.is(path, Is::Bool(*it)),
            (Value::Bool(_), _) => self.is(path, Is::Present),
            (Value::Number(it), _) => match it.as_f64() {
                Some(it) => self.is(path, Is::Number(relation.span(it))),
                None => self.is(path, Is::Present),
            },
            (Value::String(it), Relation::Equal) => self.texts(path, vec![it.clone()]),
            (Value::String(it), _) => self.text(path, relation.span(it.clone())),
        }
    }

    fn one_of(&self, path: &Path, list: &[Option<Value>]) -> Filter {
        let texts: Option<Vec<String>> =
            list.iter().map(|it| it.as_ref()?.as_str().map(str::to_owned)).collect();
        match texts {
            Some(texts) => self.texts(path, texts),
            None if list.len() > MIXED_MAX => Filter::Anything,
            None => {
                let each = |it: &Option<Value>| self.compare(path, Relation::Equal, it.as_ref());
                Filter::Any(list.iter().map(each).collect())
            }
        }
    }

    fn texts(&self, path: &Path, all: Vec<String>) -> Filter {
        match self.place(path) {
            Place::Key => Filter::Keys(all),
            Place::KeyUpTo(sign) => Filter::Any(
                all.into_iter().map(|it| Filter::KeyIn(begun_by(format!("{it}{sign}")))).collect(),
            ),
            Place::Body(names) => Filter::Member(names, Is::OneOf(all)),
            Place::Elsewhere => Filter::Anything,
        }
    }

    fn text(&self, path: &Path, span: Span<String>) -> Filter {
        match self.place(path) {
            Place::Key => Filter::KeyIn(span),
            Place::Body(names) => Filter::Member(names, Is::Text(span)),
            Place::KeyUpTo(_) | Place::Elsewhere => Filter::Anything,
        }
    }

    fn call(&self, function: Function, arguments: &[Expression], wanted: bool) -> Filter {
        let Some(Expression::Path(path)) = arguments.first() else { return Filter::Anything };
        let second = match arguments.get(1) {
            Some(Expression::Constant(Some(Value::String(it)))) => Some(it),
            Some(_) | None => None,
        };
        match (function, second, wanted) {
            // `null` in a document may be shown as nothing.
            (Function::IsDefined, _, false) | (Function::IsNull, _, true) => {
                self.is(path, Is::Null)
            }
            (Function::StartsWith, Some(it), true) => self.text(path, begun_by(it.clone())),
            (
                Function::StartsWith
                | Function::EndsWith
                | Function::Contains
                | Function::ArrayContains,
                _,
                _,
            )
            | (
                Function::IsDefined
                | Function::IsBool
                | Function::IsNumber
                | Function::IsString
                | Function::IsObject
                | Function::IsArray
                | Function::IsPrimitive,
                _,
                true,
            ) => self.is(path, Is::Present),
            (_, _, _) => Filter::Anything,
        }
    }
}

impl Step {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Index(_) => None,
        }
    }
}

impl Relation {
    /// What holds where this is false, and both sides can be compared.
    const fn negated(self) -> Self {
        match self {
            Self::Equal => Self::Unequal,
            Self::Unequal => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same with the sides swapped.
    const fn mirrored(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Unequal => Self::Unequal,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// What stands in this relation to a value, and perhaps the value itself.
    fn span<T: Clone>(self, value: T) -> Span<T> {
        let (from, to) = match self {
            Self::Equal => (Some(value.clone()), Some(value)),
            Self::Unequal => (None, None),
            Self::Less | Self::LessOrEqual => (None, Some(value)),
            Self::Greater | Self::GreaterOrEqual => (Some(value), None),
        };
        Span { from, to }
    }
}

/// The texts that begin with this one, and perhaps the first that does not.
fn begun_by(text: String) -> Span<String> {
    let mut behind = text.clone();
    let last = behind.pop().and_then(|it| char::from_u32(u32::from(it) + 1));
    let to = last.map(|it| {
        behind.push(it);
        behind
    });
    Span { from: Some(text), to }
}
