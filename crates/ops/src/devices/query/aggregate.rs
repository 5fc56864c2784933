//! Rows made of many documents: `COUNT`, `SUM`, `AVG`, `MIN`, `MAX` and what they are grouped by.
//!
//! `SUM` and `AVG` pass over what is no number, `MIN` and `MAX` over what is neither number nor text, and order
//! numbers before texts. Of nothing at all `SUM`, `AVG`, `MIN` and `MAX` are undefined, and left out. Documents
//! in which a name of the group is undefined make a group of their own.

use super::evaluate::{number_of, order};
use super::{Aggregate, Cell, GROUPS_MAX, Of, Path};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A query makes more rows than [`GROUPS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyGroups;

/// Gathers documents.
#[derive(Clone, Debug)]
pub struct Totals<'a> {
    columns: &'a [Cell],
    by: &'a [Path],
    /// Under what the documents have in common, as text, so that rows come in an order.
    rows: BTreeMap<String, Row>,
}

#[derive(Clone, Debug)]
struct Row {
    keys: Vec<Option<Value>>,
    tallies: Vec<Tally>,
}

/// What one column of one row has gathered.
#[derive(Clone, Debug, Default)]
struct Tally {
    count: u64,
    whole: i128,
    rest: f64,
    is_whole: bool,
    extreme: Option<Value>,
}

impl<'a> Totals<'a> {
    pub(super) fn new(columns: &'a [Cell], by: &'a [Path]) -> Self {
        let mut totals = Self { columns, by, rows: BTreeMap::new() };
        if by.is_empty() {
            // One row, also of no documents.
            let row = totals.row(Vec::new());
            totals.rows.insert(String::new(), row);
        }
        totals
    }

    fn row(&self, keys: Vec<Option<Value>>) -> Row {
        let tally = || Tally { is_whole: true, ..Tally::default() };
        Row { keys, tallies: self.columns.iter().map(|_| tally()).collect() }
    }

    /// Adds a document.
    ///
    /// # Errors
    /// [`TooManyGroups`] where it would make one row more than [`GROUPS_MAX`].
    pub fn add(&mut self, document: &Value) -> Result<(), TooManyGroups> {
        let keys: Vec<Option<Value>> = self.by.iter().map(|it| it.of(document).cloned()).collect();
        let name = |it: &Option<Value>| it.as_ref().map_or_else(String::new, Value::to_string);
        let under: String = keys.iter().map(|it| name(it) + "\n").collect();
        let under = if keys.is_empty() { String::new() } else { under };
        if !self.rows.contains_key(&under) {
            if self.rows.len() >= GROUPS_MAX {
                return Err(TooManyGroups);
            }
            let row = self.row(keys);
            self.rows.insert(under.clone(), row);
        }
        if let Some(row) = self.rows.get_mut(&under) {
            for (column, tally) in self.columns.iter().zip(&mut row.tallies) {
                if let Of::Aggregate(aggregate) = &column.of {
                    tally.add(aggregate, document);
                }
            }
        }
        Ok(())
    }

    /// The rows, in the order of what their documents have in common.
    pub fn rows(self) -> Vec<Value> {
        let columns = self.columns;
        let shown = |row: Row| {
            let cells = columns.iter().zip(&row.tallies).filter_map(|(column, tally)| {
                let value = match &column.of {
                    Of::Key(at) => row.keys.get(*at).cloned().flatten()?,
                    Of::Aggregate(it) => tally.value(it)?,
                };
                Some((column.name.to_string(), value))
            });
            Value::Object(cells.collect::<Map<_, _>>())
        };
        self.rows.into_values().map(shown).collect()
    }
}

impl Tally {
    fn add(&mut self, aggregate: &Aggregate, document: &Value) {
        match aggregate {
            Aggregate::Count => self.count = self.count.saturating_add(1),
            Aggregate::Sum(path) | Aggregate::Average(path) => {
                let Some(Value::Number(number)) = path.of(document) else { return };
                self.count = self.count.saturating_add(1);
                match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => self.whole = self.whole.saturating_add(whole.into()),
                    (None, Some(rest)) => {
                        self.rest += rest;
                        self.is_whole = false;
                    }
                    (None, None) => {}
                }
            }
            Aggregate::Least(path) => self.keep(path.of(document), precedes),
            Aggregate::Greatest(path) => {
                self.keep(path.of(document), |new, old| precedes(old, new))
            }
        }
    }

    fn keep(&mut self, value: Option<&Value>, is_better: fn(&Value, &Value) -> bool) {
        let value = value.filter(|it| it.is_number() || it.is_string());
        let Some(value) = value else { return };
        if self.extreme.as_ref().is_none_or(|it| is_better(value, it)) {
            self.extreme = Some(value.clone());
        }
    }

    fn value(&self, aggregate: &Aggregate) -> Option<Value> {
        match aggregate {
            Aggregate::Count => Some(self.count.into()),
            Aggregate::Sum(_) | Aggregate::Average(_) if self.count == 0 => None,
            Aggregate::Sum(_) => match i64::try_from(self.whole) {
                Ok(whole) if self.is_whole => Some(whole.into()),
                Ok(_) | Err(_) => number_of(self.sum()),
            },
            Aggregate::Average(_) => number_of(self.sum() / approximate(i128::from(self.count))),
            Aggregate::Least(_) | Aggregate::Greatest(_) => self.extreme.clone(),
        }
    }

    fn sum(&self) -> f64 {
        approximate(self.whole) + self.rest
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a sum or a count in floating point is what is asked for"
)]
const fn approximate(whole: i128) -> f64 {
    whole as f64
}

/// Numbers come before texts.
fn precedes(left: &Value, right: &Value) -> bool {
    match (left.is_number(), right.is_number()) {
        (true, false) => true,
        (false, true) => false,
        (_, _) => order(left, right).is_some_and(std::cmp::Ordering::is_lt),
    }
}
