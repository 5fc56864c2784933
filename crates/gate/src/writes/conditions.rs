//! Conditions in the documents of role assignments and roles: checked when they are written, compiled when
//! they are brought into the facts.

use crate::condition::{Condition, VERSION};
use model::Error;
use model::json::{member, set};
use serde_json::{Value, json};

/// Reads `condition` and `conditionVersion` of an assignment's `properties` or of a role's block, which
/// stands `at` a place of the body. Without a condition there is nothing that a version could count for.
///
/// # Errors
/// [`Error::Invalid`] with the place: of the member, and where its text cannot be read within that.
/// Source: Azure RBAC documentation: the only version that is accepted is 2.0.
pub fn read(object: &Value, at: &str) -> Result<Option<Condition>, Error> {
    let text = |name: &str| match member(object, name) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(it)) => Ok(it.as_str()),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Error::invalid(format!("{at}.{name}"), "this is a text"))
        }
    };
    let (condition, version) = (text("condition")?, text("conditionVersion")?);
    if !version.is_empty() && version != VERSION {
        return Err(Error::invalid(
            format!("{at}.conditionVersion"),
            format!("`{}` is not known; the only version is `{VERSION}`", version.escape_debug()),
        ));
    }
    if condition.is_empty() {
        return Ok(None);
    }
    let compiled = Condition::parse(condition)
        .map_err(|it| Error::invalid(format!("{at}.condition"), it.to_string()))?;
    Ok(Some(compiled))
}

/// Puts both members into a document, as they are stored and shown.
pub fn keep(object: &mut Value, condition: Option<&Condition>) {
    set(object, "condition", json!(condition.map(|it| &*it.text)));
    set(object, "conditionVersion", json!(condition.map(|_| VERSION)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_taken_with_the_only_version_or_none() {
        let check = |object: Value, expected: Result<Option<&str>, &str>| {
            let found = read(&object, "properties");
            let found = found.map(|it| it.map(|it| it.text.to_string()));
            let found = found.map_err(|error| {
                let Error::Invalid { at, message, .. } = error else { panic!("{error}") };
                format!("{}: {message}", at.unwrap())
            });
            match expected {
                Ok(text) => assert_eq!(found, Ok(text.map(str::to_owned)), "{object}"),
                Err(words) => assert!(found.as_ref().unwrap_err().contains(words), "{found:?}"),
            }
        };
        let good = "ActionMatches{'a/read'}";
        check(json!({}), Ok(None));
        check(json!({ "condition": null, "conditionVersion": null }), Ok(None));
        check(json!({ "condition": "", "conditionVersion": "" }), Ok(None));
        check(json!({ "conditionVersion": "2.0" }), Ok(None));
        check(json!({ "condition": good }), Ok(Some(good)));
        check(json!({ "Condition": good, "conditionversion": "2.0" }), Ok(Some(good)));
        let at = "properties.conditionVersion: `1.0` is not known";
        check(json!({ "condition": good, "conditionVersion": "1.0" }), Err(at));
        check(json!({ "conditionVersion": "2" }), Err("properties.conditionVersion"));
        check(json!({ "condition": 1 }), Err("properties.condition: this is a text"));
        let at = "properties.condition: line 1, character 24: ";
        check(json!({ "condition": format!("{good})") }), Err(at));
    }
}
