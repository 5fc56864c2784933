//! The keys in what a hub keeps of its endpoints: masked in answers, and put back where a client sends the mask.

use model::Error;
use serde_json::Value;

/// What stands in an answer in place of a key.
const MASK: &str = "****";

/// The hub as an answer shows it: the keys in its connection strings masked.
pub(super) fn show(hub: &Value) -> Value {
    let mut shown = hub.clone();
    mask(&mut shown);
    shown
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member.as_str().and_then(|it| hidden(name, it)) {
                    Some(text) => *member = Value::String(text),
                    None => mask(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What stands in an answer in place of a member that holds a secret.
fn hidden(name: &str, text: &str) -> Option<String> {
    let is = |it: &str| name.eq_ignore_ascii_case(it);
    if is("connectionString") {
        return Some(masked(text));
    }
    (is("primaryKey") || is("secondaryKey")).then(|| match text.is_empty() {
        true => String::new(),
        false => MASK.to_owned(),
    })
}

/// A connection string without its secrets: what is not known to be harmless is masked.
fn masked(text: &str) -> String {
    const HARMLESS: [&str; 7] = [
        "BlobEndpoint",
        "DefaultEndpointsProtocol",
        "AccountName",
        "EndpointSuffix",
        "Endpoint",
        "SharedAccessKeyName",
        "EntityPath",
    ];
    let parts = text.split(';').map(|part| match part.split_once('=') {
        Some((name, _)) if HARMLESS.iter().any(|it| it.eq_ignore_ascii_case(name.trim())) => {
            part.to_owned()
        }
        Some((name, _)) => format!("{name}={MASK}"),
        None if part.is_empty() => String::new(),
        None => MASK.to_owned(),
    });
    parts.collect::<Vec<_>>().join(";")
}

/// Puts back what a client read masked and sends back as it read it. Endpoints in lists are found by their names.
///
/// # Errors
/// The place of a mask behind which nothing is kept, or something else.
pub(super) fn restore(value: &mut Value, former: Option<&Value>, at: &str) -> Result<(), Error> {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let before = former.and_then(|it| model::json::member(it, name));
                let here = format!("{at}.{name}");
                let is_masked = member
                    .as_str()
                    .is_some_and(|it| it.contains(MASK) && hidden(name, it).is_some());
                match (is_masked, before) {
                    (false, _) => restore(member, before, &here)?,
                    (true, Some(Value::String(whole)))
                        if member.as_str() == hidden(name, whole).as_deref() =>
                    {
                        *member = Value::String(whole.clone());
                    }
                    (true, _) => {
                        let because = "the key is masked; send it whole";
                        return Err(Error::invalid(here, because));
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let name = model::json::text(item, &["name"]).map(str::to_owned);
                let before = former.and_then(Value::as_array).and_then(|all| {
                    all.iter().find(|it| {
                        name.is_some() && model::json::text(it, &["name"]) == name.as_deref()
                    })
                });
                restore(item, before, at)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}
