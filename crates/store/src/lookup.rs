//! Looking for documents by what is in them.
//!
//! A [`Filter`] is asked about bodies that are JSON. It is a promise in one direction: an engine gives every
//! document that fulfils it, and may give others, so whoever asks looks at each again. That lets an engine
//! answer from an index, or not look at all. In return a filter may say less than its author means, and never
//! more.

use crate::Document;

/// Which documents of a table to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    pub filter: Filter,
    /// Only keys after this one: where the look before ended.
    pub after: Option<String>,
    /// At most so many documents.
    pub limit: usize,
    /// Look at no more than so many, also where few of them fulfil the filter.
    pub examine: usize,
}

/// What a look has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// In the byte order of the keys.
    pub documents: Vec<(String, Document)>,
    /// How many it looked at for that.
    pub examined: usize,
    /// The last key that was looked at, where there may be more behind it.
    pub next: Option<String>,
}

/// What a document has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Anything,
    /// Anything where there are none.
    All(Vec<Filter>),
    /// Nothing where there are none.
    Any(Vec<Filter>),
    /// One under one of these keys.
    Keys(Vec<String>),
    /// One whose key is in a span.
    KeyIn(Span<String>),
    /// One with this below a path of names in its body. Names compare byte by byte.
    Member(Vec<String>, Is),
}

/// What stands at a place of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Is {
    /// Something, be it `null`.
    Present,
    Absent,
    /// Nothing, or `null`.
    Null,
    Bool(bool),
    /// One of these texts.
    OneOf(Vec<String>),
    Text(Span<String>),
    Number(Span<f64>),
}

/// From one value to another, both included; open where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Span<T> {
    pub from: Option<T>,
    pub to: Option<T>,
}

impl Filter {
    /// How many tests it is made of.
    pub fn tests(&self) -> usize {
        match self {
            Self::Anything => 0,
            Self::All(all) | Self::Any(all) => all.iter().map(Self::tests).sum(),
            Self::Keys(all) | Self::Member(_, Is::OneOf(all)) => all.len(),
            Self::KeyIn(_) | Self::Member(..) => 1,
        }
    }
}
