//! Texts. What is made is counted while it grows, so that nothing larger than a text may be is built first.

use super::Given;
use crate::{Fault, TEXT_CHARS_MAX, VALUE_NODES_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

type Found = Result<Value, Fault>;

/// Most delimiters of one `split`.
const DELIMITERS_MAX: usize = 64;

/// A text that grows no longer than it may.
#[derive(Default)]
struct Growing {
    text: String,
    chars: usize,
}

impl Growing {
    fn push(&mut self, more: &str) -> Result<(), Fault> {
        self.chars += more.chars().count();
        if self.chars > TEXT_CHARS_MAX {
            return Fault::new("the text is longer than 131,072 characters");
        }
        self.text.push_str(more);
        Ok(())
    }
}

/// A value as a text: texts as they are, all else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(it) => it.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Texts to a text, lists to a list.
pub(super) fn concat(given: &Given<'_>) -> Found {
    if given.value(0)?.is_array() {
        let mut all = Vec::new();
        for index in 0..given.0.len() {
            let more = given.list(index)?;
            if all.len() + more.len() > VALUE_NODES_MAX {
                return Fault::new("the list holds more than 32,768 values");
            }
            all.extend_from_slice(more);
        }
        return Ok(Value::Array(all));
    }
    let mut all = Growing::default();
    for (index, it) in given.values().enumerate() {
        match it {
            Value::Array(_) | Value::Object(_) | Value::Null => {
                return given.misfit(index, "a text");
            }
            Value::String(it) => all.push(it)?,
            Value::Bool(_) | Value::Number(_) => all.push(&plain(it))?,
        }
    }
    Ok(all.text.into())
}

pub(super) fn string(given: &Given<'_>) -> Found {
    Ok(plain(given.value(0)?).into())
}

pub(super) fn to_lower(given: &Given<'_>) -> Found {
    Ok(given.text(0)?.to_lowercase().into())
}

pub(super) fn to_upper(given: &Given<'_>) -> Found {
    Ok(given.text(0)?.to_uppercase().into())
}

pub(super) fn trim(given: &Given<'_>) -> Found {
    Ok(given.text(0)?.trim().into())
}

/// Each character as one in lower case, so that places in both are the same.
fn folded(text: &str) -> String {
    text.chars().map(|it| it.to_lowercase().next().unwrap_or(it)).collect()
}

pub(super) fn starts_with(given: &Given<'_>) -> Found {
    Ok(folded(given.text(0)?).starts_with(&folded(given.text(1)?)).into())
}

pub(super) fn ends_with(given: &Given<'_>) -> Found {
    Ok(folded(given.text(0)?).ends_with(&folded(given.text(1)?)).into())
}

/// The place of a part in characters, whatever the case; -1 where it is not there.
fn place(given: &Given<'_>, find: fn(&str, &str) -> Option<usize>) -> Found {
    let (text, part) = (folded(given.text(0)?), folded(given.text(1)?));
    let chars = find(&text, &part).and_then(|it| text.get(..it)).map(|it| it.chars().count());
    Ok(chars.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1).into())
}

pub(super) fn index_of(given: &Given<'_>) -> Found {
    place(given, |text, part| text.find(part))
}

pub(super) fn last_index_of(given: &Given<'_>) -> Found {
    place(given, |text, part| text.rfind(part))
}

pub(super) fn substring(given: &Given<'_>) -> Found {
    let text = given.text(0)?;
    let chars = text.chars().count();
    let start = usize::try_from(given.int(1)?).ok().filter(|it| *it <= chars);
    let Some(start) = start else { return given.misfit(1, "a place in the text") };
    let length = match given.0.len() {
        3 => usize::try_from(given.int(2)?).ok(),
        _ => Some(chars - start),
    };
    match length {
        Some(it) if it <= chars - start => {
            Ok(text.chars().skip(start).take(it).collect::<String>().into())
        }
        Some(_) | None => Fault::new(format!(
            "the text has {chars} characters, which does not reach from {start} as far as is asked"
        )),
    }
}

/// With regard to case.
pub(super) fn replace(given: &Given<'_>) -> Found {
    let (text, old, new) = (given.text(0)?, given.text(1)?, given.text(2)?);
    if old.is_empty() {
        return given.misfit(1, "a text that is not empty");
    }
    let mut all = Growing::default();
    for (index, part) in text.split(old).enumerate() {
        if index > 0 {
            all.push(new)?;
        }
        all.push(part)?;
    }
    Ok(all.text.into())
}

pub(super) fn pad_left(given: &Given<'_>) -> Found {
    let value = given.value(0)?;
    if !value.is_string() && !value.is_i64() {
        return given.misfit(0, "a text or a whole number");
    }
    let text = plain(value);
    let mut filling = match given.0.len() {
        3 => given.text(2)?,
        _ => " ",
    }
    .chars();
    let (Some(fill), None) = (filling.next(), filling.next()) else {
        return given.misfit(2, "one character");
    };
    let wanted = usize::try_from(given.int(1)?).ok().filter(|it| *it <= TEXT_CHARS_MAX);
    let Some(wanted) = wanted else { return given.misfit(1, "a length of up to 131,072") };
    let missing = wanted.saturating_sub(text.chars().count());
    let filled: String = std::iter::repeat_n(fill, missing).collect();
    Ok(format!("{filled}{text}").into())
}

pub(super) fn join(given: &Given<'_>) -> Found {
    let between = given.text(1)?;
    let mut all = Growing::default();
    for (index, it) in given.list(0)?.iter().enumerate() {
        if index > 0 {
            all.push(between)?;
        }
        all.push(&plain(it))?;
    }
    Ok(all.text.into())
}

/// By one text or by any of a list; an empty one parts nothing.
pub(super) fn split(given: &Given<'_>) -> Found {
    let text = given.text(0)?;
    let parts: Option<Vec<&str>> = match given.value(1)? {
        Value::String(it) => Some(vec![it.as_str()]),
        Value::Array(all) => all.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    let Some(mut delimiters) = parts.filter(|it| it.len() <= DELIMITERS_MAX) else {
        return given.misfit(1, "a text or a list of up to 64");
    };
    delimiters.retain(|it| !it.is_empty());
    // Where each comes next: looked for again only once it lies behind, so that the text is read once for each.
    let mut next: Vec<Option<usize>> = delimiters.iter().map(|it| text.find(it)).collect();
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        for (place, it) in next.iter_mut().zip(&delimiters) {
            if place.is_some_and(|place| place < from) {
                *place = text.get(from..).and_then(|rest| rest.find(it)).map(|place| place + from);
            }
        }
        let nearest = next.iter().zip(&delimiters).filter_map(|(place, it)| Some(((*place)?, it)));
        let Some((place, it)) = nearest.min_by_key(|(place, it)| (*place, usize::MAX - it.len()))
        else {
            found.push(Value::from(text.get(from..).unwrap_or("")));
            return Ok(Value::Array(found));
        };
        found.push(Value::from(text.get(from..place).unwrap_or("")));
        from = place + it.len();
        if found.len() >= VALUE_NODES_MAX {
            return Fault::new("the list holds more than 32,768 values");
        }
    }
}

/// A part of a text for [`format()`].
enum Part<'a> {
    Text(&'a str),
    /// What stands between braces.
    Place(&'a str),
}

/// The parts of a pattern; `{{` and `}}` stand for braces. `None` where a brace stands alone.
fn parts(pattern: &str) -> Option<Vec<Part<'_>>> {
    let (mut found, mut rest) = (Vec::new(), pattern);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        found.push(Part::Text(before));
        if from.starts_with("{{") || from.starts_with("}}") {
            found.push(Part::Text(from.get(..1)?));
            rest = from.get(2..)?;
        } else {
            let (inner, behind) = from.strip_prefix('{')?.split_once('}')?;
            found.push(Part::Place(inner));
            rest = behind;
        }
    }
    found.push(Part::Text(rest));
    Some(found)
}

/// True for a pattern that asks for an alignment or a layout: `{0,5}`, `{0:N2}`.
pub fn has_layout(pattern: &str) -> bool {
    parts(pattern).is_some_and(|all| {
        all.iter().any(|it| matches!(it, Part::Place(inner) if inner.contains([',', ':'])))
    })
}

pub(super) fn format(given: &Given<'_>) -> Found {
    let Some(parts) = parts(given.text(0)?) else {
        return given.misfit(0, "a pattern whose braces come in pairs");
    };
    let mut all = Growing::default();
    for it in parts {
        match it {
            Part::Text(text) => all.push(text)?,
            Part::Place(inner) => {
                let index = inner.trim().parse::<usize>().ok().and_then(|it| it.checked_add(1));
                match index.and_then(|it| given.0.get(it)) {
                    Some(value) => all.push(&plain(value))?,
                    None => {
                        return Fault::new(format!(
                            "there is no argument for `{{{}}}`",
                            inner.escape_debug()
                        ));
                    }
                }
            }
        }
    }
    Ok(all.text.into())
}

pub(super) fn json(given: &Given<'_>) -> Found {
    read_json(given.text(0)?)
}

fn read_json(text: &str) -> Found {
    serde_json::from_str(text).map_err(|it| Fault(format!("the text is not JSON: {it}")))
}

pub(super) fn base64(given: &Given<'_>) -> Found {
    Ok(STANDARD.encode(given.text(0)?).into())
}

fn decoded(given: &Given<'_>) -> Result<String, Fault> {
    let bytes = STANDARD.decode(given.text(0)?).ok();
    let text = bytes.and_then(|it| String::from_utf8(it).ok());
    text.map_or_else(|| given.misfit(0, "a text in base64"), Ok)
}

pub(super) fn base64_to_string(given: &Given<'_>) -> Found {
    Ok(decoded(given)?.into())
}

pub(super) fn base64_to_json(given: &Given<'_>) -> Found {
    read_json(&decoded(given)?)
}

/// What the documentation says of slashes, and no more: nothing here reads an address.
pub(super) fn uri(given: &Given<'_>) -> Found {
    let (base, relative) = (given.text(0)?, given.text(1)?);
    let host = base.find("://").map_or(0, |it| it + 3);
    let kept = match base.get(host..).and_then(|it| it.rfind('/')) {
        Some(at) => base.get(..host + at).unwrap_or(base),
        None => base,
    };
    Ok(format!("{kept}/{}", relative.strip_prefix('/').unwrap_or(relative)).into())
}

pub(super) fn uri_component(given: &Given<'_>) -> Found {
    let mut all = Growing::default();
    let mut buffer = [0; 4];
    for it in given.text(0)?.chars() {
        let bytes = it.encode_utf8(&mut buffer);
        match it.is_ascii_alphanumeric() || "-_.~".contains(it) {
            true => all.push(bytes)?,
            false => {
                for byte in bytes.bytes() {
                    all.push(&format!("%{byte:02X}"))?;
                }
            }
        }
    }
    Ok(all.text.into())
}

pub(super) fn uri_component_to_string(given: &Given<'_>) -> Found {
    let mut bytes = given.text(0)?.bytes();
    let mut found = Vec::new();
    while let Some(byte) = bytes.next() {
        // A `%` that leads to no byte stands for itself.
        let mut ahead = bytes.clone();
        let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
        match (byte, digits) {
            (b'%', (Some(high), Some(low))) => {
                found.push(high << 4 | low);
                bytes = ahead;
            }
            (_, _) => found.push(byte),
        }
    }
    match String::from_utf8(found) {
        Ok(it) => Ok(it.into()),
        Err(_) => given.misfit(0, "an encoded text"),
    }
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}
