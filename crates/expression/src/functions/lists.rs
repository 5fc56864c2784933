//! Lists and objects.

use super::Given;
use crate::{Fault, VALUE_NODES_MAX};
use model::json::member;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

type Found = Result<Value, Fault>;

/// Longest list of `range`.
const RANGE_MAX: i64 = 10_000;

pub(super) fn array(given: &Given<'_>) -> Found {
    let value = given.value(0)?;
    match value.is_array() {
        true => Ok(value.clone()),
        false => Ok(json!([value])),
    }
}

pub(super) fn create_array(given: &Given<'_>) -> Found {
    Ok(Value::Array(given.values().cloned().collect()))
}

/// From names and values by turns.
pub(super) fn create_object(given: &Given<'_>) -> Found {
    if !given.0.len().is_multiple_of(2) {
        return Fault::new("every name is followed by a value");
    }
    let mut found = Map::new();
    for index in (0..given.0.len()).step_by(2) {
        found.insert(given.text(index)?.to_owned(), given.value(index + 1)?.clone());
    }
    Ok(Value::Object(found))
}

pub(super) fn coalesce(given: &Given<'_>) -> Found {
    Ok(given.values().find(|it| !it.is_null()).cloned().unwrap_or(Value::Null))
}

/// In a text a part and in a list a member, with regard to case; in an object a name, without.
pub(super) fn contains(given: &Given<'_>) -> Found {
    let wanted = given.value(1)?;
    let found = match given.value(0)? {
        it @ Value::Object(_) => member(it, given.text(1)?).is_some(),
        Value::Array(items) => items.contains(wanted),
        Value::String(text) => match wanted {
            Value::String(part) => text.contains(part.as_str()),
            Value::Number(part) => text.contains(&part.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return given.misfit(1, "a text");
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            return given.misfit(0, "a text, a list or an object");
        }
    };
    Ok(found.into())
}

pub(super) fn empty(given: &Given<'_>) -> Found {
    let found = match given.value(0)? {
        Value::Null => true,
        Value::String(it) => it.is_empty(),
        Value::Array(it) => it.is_empty(),
        Value::Object(it) => it.is_empty(),
        Value::Bool(_) | Value::Number(_) => {
            return given.misfit(0, "a text, a list or an object");
        }
    };
    Ok(found.into())
}

pub(super) fn length(given: &Given<'_>) -> Found {
    match given.value(0)? {
        Value::String(it) => Ok(it.chars().count().into()),
        Value::Array(it) => Ok(it.len().into()),
        Value::Object(it) => Ok(it.len().into()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            given.misfit(0, "a text, a list or an object")
        }
    }
}

/// Of a list its first member, null where it is empty; of a text its first character.
pub(super) fn first(given: &Given<'_>) -> Found {
    match given.value(0)? {
        Value::Array(it) => Ok(it.first().cloned().unwrap_or(Value::Null)),
        Value::String(it) => Ok(it.chars().take(1).collect::<String>().into()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            given.misfit(0, "a text or a list")
        }
    }
}

/// As `first`, from the end.
pub(super) fn last(given: &Given<'_>) -> Found {
    match given.value(0)? {
        Value::Array(it) => Ok(it.last().cloned().unwrap_or(Value::Null)),
        Value::String(it) => Ok(it.chars().last().map_or_else(String::new, String::from).into()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            given.misfit(0, "a text or a list")
        }
    }
}

/// A text or a list parted in two: so many characters or members, and the rest. Fewer than none are none.
fn parted(given: &Given<'_>) -> Result<(Value, Value), Fault> {
    let count = usize::try_from(given.int(1)?.max(0)).unwrap_or(usize::MAX);
    match given.value(0)? {
        Value::Array(all) => {
            let (head, tail) = all.split_at(count.min(all.len()));
            Ok((Value::Array(head.to_vec()), Value::Array(tail.to_vec())))
        }
        Value::String(text) => {
            let at = text.char_indices().nth(count).map_or(text.len(), |(it, _)| it);
            let (head, tail) = text.split_at(at);
            Ok((head.into(), tail.into()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            given.misfit(0, "a text or a list")
        }
    }
}

pub(super) fn take(given: &Given<'_>) -> Found {
    Ok(parted(given)?.0)
}

pub(super) fn skip(given: &Given<'_>) -> Found {
    Ok(parted(given)?.1)
}

pub(super) fn range(given: &Given<'_>) -> Found {
    let (start, count) = (given.int(0)?, given.int(1)?);
    let end = start.checked_add(count).filter(|_| (0..=RANGE_MAX).contains(&count));
    match end {
        Some(end) => Ok((start..end).collect()),
        None => given.misfit(1, "a count of 0 to 10,000"),
    }
}

/// The members of an object as `{key, value}`, by their names.
pub(super) fn items(given: &Given<'_>) -> Found {
    let mut all: Vec<(&String, &Value)> = given.object(0)?.iter().collect();
    all.sort_by_key(|(name, _)| name.to_lowercase());
    Ok(all.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect())
}

/// What lies below, step by step; null where a step leads nowhere.
pub(super) fn try_get(given: &Given<'_>) -> Found {
    let mut found = given.value(0)?;
    for index in 1..given.0.len() {
        let next = match given.value(index)? {
            Value::String(name) => member(found, name),
            Value::Number(at) => {
                let at = at.as_u64().and_then(|it| usize::try_from(it).ok());
                at.and_then(|it| found.as_array()?.get(it))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return given.misfit(index, "a name or a place in a list");
            }
        };
        match next {
            Some(it) => found = it,
            None => return Ok(Value::Null),
        }
    }
    Ok(found.clone())
}

/// A text that two values share only where they are equal. Sets of such texts keep comparisons of every
/// member with every other away.
fn key(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Array(items) => {
                out.push('[');
                for it in items {
                    write(it, out);
                    out.push(',');
                }
                out.push(']');
            }
            Value::Object(members) => {
                let mut all: Vec<(&String, &Value)> = members.iter().collect();
                all.sort_by_key(|(name, _)| *name);
                out.push('{');
                for (name, it) in all {
                    out.push_str(&Value::from(name.as_str()).to_string());
                    out.push(':');
                    write(it, out);
                    out.push(',');
                }
                out.push('}');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                out.push_str(&value.to_string());
            }
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Of lists every member once, in order; of objects every member, a later one in place of an earlier of the
/// same name, and objects in both laid over each other.
pub(super) fn union(given: &Given<'_>) -> Found {
    if given.value(0)?.is_object() {
        let mut all = Map::new();
        for index in 0..given.0.len() {
            merge(&mut all, given.object(index)?);
        }
        return Ok(Value::Object(all));
    }
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for index in 0..given.0.len() {
        for it in given.list(index)? {
            if seen.insert(key(it)) {
                all.push(it.clone());
            }
            if all.len() > VALUE_NODES_MAX {
                return Fault::new("the list holds more than 32,768 values");
            }
        }
    }
    Ok(Value::Array(all))
}

fn merge(all: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (all.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, _) => {
                all.insert(name.clone(), value.clone());
            }
        }
    }
}

/// What all lists have, once; of objects the members that all have with the same value.
pub(super) fn intersection(given: &Given<'_>) -> Found {
    if given.value(0)?.is_object() {
        let mut all = given.object(0)?.clone();
        for index in 1..given.0.len() {
            let other = given.object(index)?;
            all.retain(|name, it| other.get(name) == Some(it));
        }
        return Ok(Value::Object(all));
    }
    let mut shared: BTreeSet<String> = given.list(0)?.iter().map(key).collect();
    for index in 1..given.0.len() {
        let other: BTreeSet<String> = given.list(index)?.iter().map(key).collect();
        shared.retain(|it| other.contains(it));
    }
    // Each once: what was taken is not there any more.
    Ok(given.list(0)?.iter().filter(|it| shared.remove(&key(it))).cloned().collect())
}
