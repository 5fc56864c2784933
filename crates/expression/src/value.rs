//! What an evaluation takes: whatever is copied or made is counted first, so that no expression makes more than it
//! may.

use crate::{
    EVALUATION_DEPTH_MAX, Fault, STEPS_MAX, TEXT_CHARS_MAX, VALUE_DEPTH_MAX, VALUE_NODES_MAX,
};
use model::json::member;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::Cell;

/// Steps that are left to an evaluation, and how deep it is.
#[derive(Debug)]
pub struct Steps {
    left: Cell<usize>,
    depth: Cell<usize>,
}

impl Default for Steps {
    fn default() -> Self {
        Self::of(STEPS_MAX)
    }
}

impl Steps {
    pub const fn of(left: usize) -> Self {
        Self { left: Cell::new(left), depth: Cell::new(0) }
    }

    pub const fn left(&self) -> usize {
        self.left.get()
    }

    /// Goes a level deeper, for whoever recurses.
    ///
    /// # Errors
    /// Where it is deeper than it may be.
    pub fn deeper<T, E: From<Fault>>(&self, then: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let depth = self.depth.get();
        if depth >= EVALUATION_DEPTH_MAX {
            return Err(E::from(Fault(format!(
                "the evaluation is nested deeper than {EVALUATION_DEPTH_MAX} levels"
            ))));
        }
        self.depth.set(depth + 1);
        let found = then();
        self.depth.set(depth);
        found
    }

    /// # Errors
    /// Where they are used up.
    pub fn spend(&self, steps: usize) -> Result<(), Fault> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.left.set(0);
                Fault::new("the evaluation takes more than 1,000,000 steps")
            }
        }
    }

    /// A step for every 64 bytes.
    ///
    /// # Errors
    /// As [`Self::spend`].
    pub fn spend_bytes(&self, bytes: usize) -> Result<(), Fault> {
        match bytes / 64 {
            0 => Ok(()),
            steps => self.spend(steps),
        }
    }

    /// Changes places with others.
    pub fn swap(&self, others: &Self) {
        self.left.swap(&others.left);
    }
}

/// The member of an object, by its name in any casing, or of a list, by its place.
///
/// # Errors
/// Where there is none.
pub fn below<'v>(value: &'v Value, key: &Value) -> Result<&'v Value, Fault> {
    let found = match (value, key) {
        (Value::Object(_), Value::String(name)) => member(value, name),
        (Value::Array(items), Value::Number(at)) => {
            at.as_u64().and_then(|it| usize::try_from(it).ok()).and_then(|it| items.get(it))
        }
        (_, _) => None,
    };
    match found {
        Some(it) => Ok(it),
        None => Fault::new(format!("there is nothing at `{}`", brief(key))),
    }
}

/// A value in a message: not the whole of it where it is long.
pub fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(it) => it.chars().take(41).collect::<String>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) => return "a list".into(),
        Value::Object(_) => return "an object".into(),
    };
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or("").escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// A value to keep: copied where it lies elsewhere, and counted then.
///
/// # Errors
/// Where that takes too many steps.
pub fn owned(value: Cow<'_, Value>, steps: &Steps) -> Result<Value, Fault> {
    match value {
        Cow::Owned(it) => Ok(it),
        Cow::Borrowed(it) => {
            charge(it, steps)?;
            Ok(it.clone())
        }
    }
}

/// Counts what it takes to read or copy a value: a step for each in it, and for every 64 bytes of text.
///
/// # Errors
/// Where the steps are used up; it stops there.
pub fn charge(value: &Value, steps: &Steps) -> Result<(), Fault> {
    steps.spend(1)?;
    match value {
        Value::String(it) => steps.spend_bytes(it.len()),
        Value::Array(items) => items.iter().try_for_each(|it| charge(it, steps)),
        Value::Object(members) => members.iter().try_for_each(|(name, it)| {
            steps.spend_bytes(name.len())?;
            charge(it, steps)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// A value that was made, where it is within the limits.
///
/// # Errors
/// Names the limit that it is not within.
pub fn checked<'v>(value: Value, steps: &Steps) -> Result<Cow<'v, Value>, Fault> {
    fn walk(value: &Value, depth: usize, nodes: &mut usize, steps: &Steps) -> Result<(), Fault> {
        *nodes += 1;
        if *nodes > VALUE_NODES_MAX {
            return Fault::new("the value holds more than 32,768 values");
        }
        if depth > VALUE_DEPTH_MAX {
            return Fault::new(format!("the value is nested deeper than {VALUE_DEPTH_MAX} levels"));
        }
        steps.spend(1)?;
        match value {
            Value::String(it) => text_fits(it),
            Value::Array(items) => {
                items.iter().try_for_each(|it| walk(it, depth + 1, nodes, steps))
            }
            Value::Object(members) => members.iter().try_for_each(|(name, it)| {
                text_fits(name)?;
                walk(it, depth + 1, nodes, steps)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    walk(&value, 0, &mut 0, steps)?;
    Ok(Cow::Owned(value))
}

fn text_fits(text: &str) -> Result<(), Fault> {
    // Nearly every text is shorter than this in bytes already.
    match text.len() > TEXT_CHARS_MAX && text.chars().count() > TEXT_CHARS_MAX {
        true => Fault::new("a text is longer than 131,072 characters"),
        false => Ok(()),
    }
}
