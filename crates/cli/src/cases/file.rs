//! A file of cases, read as far as its outline: which worlds, which cases, each with its id.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The version of the format that is read.
const SCHEMA_VERSION: u64 = 1;

/// Why a case was not compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// It cannot be understood: at which field, and why.
    Broken { at: String, because: String },
    /// It needs what the gates do not have.
    NotSupported(String),
}

pub(super) fn broken<T>(at: impl Into<String>, because: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken { at: at.into(), because: because.into() })
}

pub(super) fn lacks<T>(feature: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotSupported(feature.into()))
}

/// Reads a value of a known shape; what does not fit is told with its place.
pub(super) fn take<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, Stop> {
    T::deserialize(value).map_err(|it| Stop::Broken { at: at.to_owned(), because: it.to_string() })
}

/// The same for a member that must be there.
pub(super) fn member<T: DeserializeOwned>(
    object: &Map<String, Value>,
    name: &str,
) -> Result<T, Stop> {
    match object.get(name) {
        Some(it) => take(it, name),
        None => broken(name, format!("`{name}` is missing")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Outline {
    schema_version: u64,
    #[serde(default, rename = "about")]
    _about: Value,
    #[serde(default)]
    worlds: Map<String, Value>,
    cases: Vec<Map<String, Value>>,
}

/// A file's worlds and cases.
pub(super) struct Cases {
    pub(super) worlds: Map<String, Value>,
    /// Each with its id.
    pub(super) cases: Vec<(String, Map<String, Value>)>,
}

/// Reads a file; the error says why it cannot be taken, without its name.
pub(super) fn read(path: &Path) -> Result<Cases, String> {
    let file = File::open(path).map_err(|it| format!("cannot be opened: {it}"))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|it| format!("cannot be read: {it}"))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err("is longer than 16 MiB; split it".into());
    }
    parse(&text)
}

pub(super) fn parse(text: &str) -> Result<Cases, String> {
    let outline: Outline =
        serde_json::from_str(text).map_err(|it| format!("is no file of cases: {it}"))?;
    if outline.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "schemaVersion: {} is not known; {SCHEMA_VERSION} is",
            outline.schema_version
        ));
    }
    if outline.cases.is_empty() {
        return Err("cases: the list is empty, so there is nothing to test".into());
    }
    let mut seen = BTreeSet::new();
    let mut cases = Vec::with_capacity(outline.cases.len());
    for (index, case) in outline.cases.into_iter().enumerate() {
        let id = match case.get("id").and_then(Value::as_str) {
            Some(it) if !it.is_empty() => it.to_owned(),
            Some(_) | None => return Err(format!("cases[{index}].id: a text is required")),
        };
        if !seen.insert(id.clone()) {
            return Err(format!(
                "cases[{index}].id: `{id}` is the id of an earlier case, too; give each its own"
            ));
        }
        cases.push((id, case));
    }
    Ok(Cases { worlds: outline.worlds, cases })
}
