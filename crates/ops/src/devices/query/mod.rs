//! The query language of IoT Hub: what a text says, and what it says of a twin.
//!
//! Start at [`Query::parse`], or at [`Condition::parse`] for a `WHERE` that stands alone, as configurations
//! and jobs have it; conditions of routes are about messages, see [`message`]. A text is compiled once and refused there with its place. [`Condition::matches`] asks it
//! about one document, which is a twin as the service API shows it; only `prefilter.rs` knows that there is a
//! store. `queries.rs` answers `POST /devices/query`. Source: IoT Hub developer guide, "IoT Hub query language
//! for device and module twins, jobs, and message routing"; what that leaves open is said where it is decided,
//! and for its users in `docs/reference/queries.md`.

mod aggregate;
mod evaluate;
mod expression;
mod functions;
pub mod message;
mod names;
mod parse;
mod prefilter;
mod token;

pub use gate::condition::Position;
pub(crate) use prefilter::Place;

use functions::Function;
use serde_json::Value;
use std::fmt;

/// Longest text: an `IN` of 100 device ids of the longest kind is 13 KB.
pub const TEXT_BYTES_MAX: usize = 16 << 10;
/// Deepest nesting of parentheses, negations, lists and calls.
pub const DEPTH_MAX: usize = 32;
/// Most tests, values and names in one query.
pub const NODES_MAX: usize = 1_024;
/// Most columns after `SELECT`, and as many after `GROUP BY`.
pub const COLUMNS_MAX: usize = 64;
/// Most steps of one path.
pub const PATH_STEPS_MAX: usize = 32;
/// Most rows of one aggregation.
pub const GROUPS_MAX: usize = 1_000;
/// Longest text that a function makes; one that would be longer is undefined.
pub const MADE_BYTES_MAX: usize = 64 << 10;

/// The text is no query: where, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAQuery {
    pub at: Position,
    pub because: String,
}

impl fmt::Display for NotAQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for NotAQuery {}

/// The collection that a query looks through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Device twins.
    Devices,
    /// Module twins.
    Modules,
    /// What became of each device in a job.
    Jobs,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Modules => "devices.modules",
            Self::Jobs => "devices.jobs",
        }
    }
}

/// A compiled query.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    select: Select,
    /// Most items in all, where the query has a `TOP`.
    top: Option<u64>,
    condition: Condition,
}

impl Query {
    /// Compiles a text.
    ///
    /// # Errors
    /// [`NotAQuery`] with the first place that cannot be read, or that is past one of the limits.
    pub fn parse(text: &str) -> Result<Self, NotAQuery> {
        parse::query(text)
    }

    pub const fn source(&self) -> Source {
        self.condition.source
    }

    pub const fn top(&self) -> Option<u64> {
        self.top
    }

    pub const fn condition(&self) -> &Condition {
        &self.condition
    }

    /// True where each item of the answer is a document as it is.
    pub const fn shows_all(&self) -> bool {
        matches!(self.select, Select::All)
    }

    /// What is answered of a document that matches; `None` where the answer is made of many, see
    /// [`Query::totals`].
    pub fn item(&self, document: Value) -> Option<Value> {
        match &self.select {
            Select::All => Some(document),
            Select::Columns(all) => {
                // What is undefined is left out.
                let found =
                    |it: &Column| Some((it.name.to_string(), it.path.of(&document)?.clone()));
                Some(Value::Object(all.iter().filter_map(found).collect()))
            }
            Select::Rows { .. } => None,
        }
    }

    /// What gathers the documents that match into rows; `None` where each is an item of its own.
    pub fn totals(&self) -> Option<Totals<'_>> {
        match &self.select {
            Select::Rows { columns, by } => Some(Totals::new(columns, by)),
            Select::All | Select::Columns(_) => None,
        }
    }

    /// True where the answer is how many documents there are, whatever is in them: the names of its columns.
    pub fn counts_all(&self) -> Option<Vec<&str>> {
        let Select::Rows { columns, by } = &self.select else { return None };
        let is_count = |it: &Cell| matches!(it.of, Of::Aggregate(Aggregate::Count));
        let counts = self.condition.test.is_none() && by.is_empty();
        (counts && columns.iter().all(is_count))
            .then(|| columns.iter().map(|it| &*it.name).collect())
    }
}

/// A compiled `WHERE`, with the collection that it is asked about.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    source: Source,
    /// `None` where everything matches.
    test: Option<Expression>,
}

impl Condition {
    /// Compiles what a configuration or a job calls its condition: `*` for everything, a `WHERE` without the
    /// keyword, or one of modules, `FROM devices.modules WHERE ...`.
    ///
    /// # Errors
    /// [`NotAQuery`], as [`Query::parse`].
    pub fn parse(text: &str) -> Result<Self, NotAQuery> {
        parse::condition(text)
    }

    pub const fn source(&self) -> Source {
        self.source
    }

    /// True where the document fulfils the condition. What is neither true nor false does not.
    pub fn matches(&self, document: &Value) -> bool {
        self.test.as_ref().is_none_or(|it| evaluate::truth(it, document) == Some(true))
    }

    /// The same answer for the condition and its negation: `None` where it is neither.
    #[cfg(test)]
    fn truth(&self, document: &Value) -> Option<bool> {
        self.test.as_ref().map_or(Some(true), |it| evaluate::truth(it, document))
    }
}

pub use aggregate::{TooManyGroups, Totals};

/// What stands after `SELECT`.
#[derive(Clone, PartialEq, Debug)]
enum Select {
    All,
    Columns(Vec<Column>),
    /// One row for each group; one row of all where nothing is grouped by.
    Rows {
        columns: Vec<Cell>,
        by: Vec<Path>,
    },
}

/// A value of each document under a name.
#[derive(Clone, PartialEq, Debug)]
struct Column {
    name: Box<str>,
    path: Path,
}

/// A value of each group under a name.
#[derive(Clone, PartialEq, Debug)]
struct Cell {
    name: Box<str>,
    of: Of,
}

#[derive(Clone, PartialEq, Debug)]
enum Of {
    /// What the group has in common: a place in the list after `GROUP BY`.
    Key(usize),
    Aggregate(Aggregate),
}

#[derive(Clone, PartialEq, Debug)]
enum Aggregate {
    Count,
    Sum(Path),
    Average(Path),
    Least(Path),
    Greatest(Path),
}

/// A condition or a value, as a tree.
#[derive(Clone, PartialEq, Debug)]
enum Expression {
    /// `None` is `undefined`.
    Constant(Option<Value>),
    Path(Path),
    Call(Function, Vec<Expression>),
    /// Numbers one after the other, the first without an operator, from left to right.
    Arithmetic(Box<Expression>, Vec<(Arithmetic, Expression)>),
    Compare(Box<Expression>, Relation, Box<Expression>),
    /// `IN`, or with `false` `NIN`.
    In(Box<Expression>, bool, Vec<Option<Value>>),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

/// A place in a document.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Path(Box<[Step]>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Name(Box<str>),
    Index(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[cfg(test)]
mod tests;
