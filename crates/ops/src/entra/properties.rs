//! The properties of a directory object that this server keeps for its clients and does not act on:
//! checked for kind and size when they come, merged into what is kept, shown beside the defaults.
//!
//! A property that is neither kept nor acted on is refused by name. Kept in silence, it would look as if
//! it did something.

use super::{Object, shown};
use model::Error;
use serde_json::Value;

/// Longest display name, in characters. Source: Microsoft Graph, "application resource type".
pub(super) const NAME_CHARS_MAX: usize = 256;
/// Most bytes of one object's kept properties.
pub(super) const KEPT_BYTES_MAX: usize = 64 << 10;

/// Takes what `body` says into `kept`. `defaults` has every property that is kept, with the value it has
/// where nobody set it; `elsewhere` names those that the caller reads itself.
///
/// Objects merge, as a PATCH of Graph does; `null` brings the default back.
pub(super) fn take(
    kept: &mut Object,
    defaults: &Object,
    body: &Value,
    elsewhere: &[&str],
) -> Result<(), Error> {
    for (key, value) in members(body)? {
        // Annotations, such as `@odata.type`, describe; they set nothing.
        if key.contains('@') || elsewhere.iter().any(|it| it.eq_ignore_ascii_case(key)) {
            continue;
        }
        let known = defaults.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        let Some((name, default)) = known else {
            return Err(Error::invalid(shown(key), "there is no such property here; leave it out"));
        };
        if value.is_null() {
            kept.shift_remove(name);
            continue;
        }
        if !is_of_kind(value, default) {
            return Err(Error::invalid(name, format!("this is {}", kind(default))));
        }
        merge(kept.entry(name.clone()).or_insert(Value::Null), value);
    }
    match serde_json::to_vec(kept).map_or(0, |it| it.len()) {
        0..=KEPT_BYTES_MAX => Ok(()),
        _ => Err(Error::invalid(
            "body",
            format!("an object keeps at most {KEPT_BYTES_MAX} bytes of properties"),
        )),
    }
}

/// The members of a body. No body says nothing: `az` sends none where nothing is to change.
pub(super) fn members(body: &Value) -> Result<impl Iterator<Item = (&String, &Value)>, Error> {
    match body {
        Value::Null => Ok(None.into_iter().flatten()),
        Value::Object(all) => Ok(Some(all).into_iter().flatten()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::invalid("body", "this is a JSON object"))
        }
    }
}

/// Refuses a body that sets what only the server sets. To send back what was read is no change.
pub(super) fn check_read_only(body: &Value, current: &Object, names: &[&str]) -> Result<(), Error> {
    for name in names {
        match model::json::member(body, name) {
            None | Some(Value::Null) => {}
            Some(given) if Some(given) == current.get(*name) => {}
            Some(_) => {
                return Err(Error::invalid(
                    *name,
                    "only the server sets this property; leave it out",
                ));
            }
        }
    }
    Ok(())
}

/// `displayName`, where the body has one.
pub(super) fn display_name(body: &Value) -> Result<Option<&str>, Error> {
    match model::json::member(body, "displayName") {
        None => Ok(None),
        Some(Value::String(name)) if is_name(name) => Ok(Some(name)),
        Some(_) => Err(Error::invalid(
            "displayName",
            format!(
                "this is a text of 1 to {NAME_CHARS_MAX} characters without control characters"
            ),
        )),
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let is_short = text.chars().nth(NAME_CHARS_MAX).is_none();
    is_short && !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// The defaults with what is kept laid over them.
pub(super) fn shown_with(defaults: Object, kept: &Object) -> Object {
    let mut all = defaults;
    for (key, value) in kept {
        if let Some(own) = all.get_mut(key) {
            merge(own, value);
        }
    }
    all
}

/// Lays `over` over `base`: objects member by member, everything else whole. As deep as the body's reader
/// allows ([`model::json::DEPTH_MAX`]).
pub(super) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// The members of a JSON object that stands in the source; anything else has none.
pub(super) fn object(mut value: Value) -> Object {
    value.as_object_mut().map(std::mem::take).unwrap_or_default()
}

/// A default of `null` says nothing about the kind.
const fn is_of_kind(value: &Value, default: &Value) -> bool {
    matches!(
        (value, default),
        (_, Value::Null)
            | (Value::Bool(_), Value::Bool(_))
            | (Value::Number(_), Value::Number(_))
            | (Value::String(_), Value::String(_))
            | (Value::Array(_), Value::Array(_))
            | (Value::Object(_), Value::Object(_))
    )
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "any value",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn defaults() -> Object {
        object(
            json!({ "tags": [], "notes": null, "web": { "homePageUrl": null, "redirectUris": [] } }),
        )
    }

    #[test]
    fn what_is_set_is_shown_merged_and_null_brings_the_default_back() {
        let mut kept = Object::new();
        let mut set = |body: Value| {
            take(&mut kept, &defaults(), &body, &["displayName"]).unwrap();
            Value::Object(shown_with(defaults(), &kept))
        };
        set(
            json!({ "displayName": "read elsewhere", "@odata.type": "x", "TAGS": ["a"], "web": { "homePageUrl": "h" } }),
        );
        let both = set(json!({ "web": { "redirectUris": ["r"] } }));
        assert_eq!(
            both,
            json!({ "tags": ["a"], "notes": null, "web": { "homePageUrl": "h", "redirectUris": ["r"] } })
        );
        assert_eq!(set(json!({ "tags": null, "web": null })), Value::Object(defaults()));
        assert_eq!(set(Value::Null), Value::Object(defaults()));
    }

    #[test]
    fn what_would_do_nothing_is_refused_by_name() {
        let check = |body: Value, at: &str| {
            let refusal = take(&mut Object::new(), &defaults(), &body, &[]).unwrap_err();
            assert!(refusal.to_string().starts_with(at), "{body}: {refusal}");
        };
        check(json!({ "tokenLifetime": 5 }), "tokenLifetime:");
        check(json!({ "tags": "a" }), "tags:");
        check(json!({ "web": [] }), "web:");
        check(json!([]), "body:");
        check(json!("text"), "body:");
        check(json!({ "notes": "x".repeat(KEPT_BYTES_MAX) }), "body:");
    }

    #[test]
    fn what_only_the_server_sets_may_come_back_as_it_was_read() {
        let current = object(json!({ "id": "1", "keys": [] }));
        let check = |body: Value, expected: bool| {
            assert_eq!(
                check_read_only(&body, &current, &["id", "keys"]).is_ok(),
                expected,
                "{body}"
            );
        };
        check(json!({}), true);
        check(Value::Null, true);
        check(json!({ "id": "1", "keys": [] }), true);
        check(json!({ "id": null }), true);
        check(json!({ "id": "2" }), false);
        check(json!({ "ID": "2" }), false);
        check(json!({ "keys": [1] }), false);
    }

    #[test]
    fn a_name_has_1_to_256_characters() {
        let check = |name: Value, expected: bool| {
            let body = json!({ "displayName": name });
            assert_eq!(display_name(&body).is_ok(), expected, "{body}");
        };
        check(json!("a"), true);
        check(json!("ä".repeat(NAME_CHARS_MAX)), true);
        check(json!("ä".repeat(NAME_CHARS_MAX + 1)), false);
        check(json!(""), false);
        check(json!("  "), false);
        check(json!("a\nb"), false);
        check(json!(null), false);
        check(json!(7), false);
        assert_eq!(display_name(&json!({})), Ok(None));
    }
}
