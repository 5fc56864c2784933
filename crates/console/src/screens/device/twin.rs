//! A device's twin: what is desired beside what is reported, what differs, and a form that changes it.

use super::acts::{Did, json_of};
use super::{Device, Told, call, printed};
use crate::form::Form;
use crate::trouble::Trouble;
use crate::visit::text;
use hyper::Method;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most properties that the table shows.
const ROWS_MAX: usize = 500;

pub(super) fn shown(device: &Device<'_>, twin: &Told, did: &Did) -> Markup {
    html! {
        section aria-labelledby="twin" {
            h2 #twin { "Twin" }
            @match twin {
                Ok(twin) => (known(device, twin, did)),
                Err(refused) => (refused.shown()),
            }
            (printed(device, &format!("az iot hub device-twin show --hub-name {} --device-id", device.hub.name())))
        }
    }
}

fn known(device: &Device<'_>, twin: &Value, did: &Did) -> Markup {
    let part = |pointer: &str| without_metadata(twin.pointer(pointer));
    let (desired, reported) = (part("/properties/desired"), part("/properties/reported"));
    let tags = part("/tags");
    let rows = compared(&desired, &reported);
    let differ = rows.iter().filter(|(_, it)| it.differs()).count();
    html! {
        p.lead {
            "Version " (twin.get("version").and_then(Value::as_u64).unwrap_or(0)) ". "
            @if differ == 0 { "Nothing that is desired differs from what is reported." }
            @else { strong { (differ) } " desired " (if differ == 1 { "property is" } else { "properties are" })
                " not reported as desired." }
        }
        div.two {
            table.twin {
                caption { "Desired and reported" }
                thead { tr { th scope="col" { "Property" } th scope="col" { "Desired" } th scope="col" { "Reported" } th scope="col" { "" } } }
                tbody {
                    @if rows.is_empty() { tr { td colspan="4" { "None" } } }
                    @for (name, pair) in rows.iter().take(ROWS_MAX) { (row(name, pair)) }
                }
            }
            table.twin {
                caption { "Tags, which the device does not see" }
                thead { tr { th scope="col" { "Tag" } th scope="col" { "Value" } } }
                tbody {
                    @let all = flat(&tags);
                    @if all.is_empty() { tr { td colspan="2" { "None" } } }
                    @for (name, value) in all.iter().take(ROWS_MAX) {
                        tr { th.name scope="row" { (name) } td.name { (plain(value)) } }
                    }
                }
            }
        }
        @if rows.len() > ROWS_MAX { p { "The first " (ROWS_MAX) " of " (rows.len()) " properties." } }
        (edited(device, twin, &desired, &tags, did))
    }
}

fn edited(device: &Device<'_>, twin: &Value, desired: &Value, tags: &Value, did: &Did) -> Markup {
    let is_back = matches!(did, Did::Refused(_)) && device.visit.sent("act") == Some("twin");
    // What was typed is still there where it was refused.
    let typed = |name: &str, now: &Value| match device.visit.sent(name) {
        Some(text) if is_back => text.to_owned(),
        _ => format!("{now:#}"),
    };
    html! {
        details open[is_back] {
            summary { "Change what is desired, or the tags" }
            (device.form("twin", &html! {
                input type="hidden" name="etag" value=(text(twin, "/etag"));
                label for="desired" { "Desired properties, whole" }
                textarea #desired.short name="desired" spellcheck="false" { (typed("desired", desired)) }
                label for="tags" { "Tags, whole" }
                textarea #tags.short name="tags" spellcheck="false" { (typed("tags", tags)) }
                p { "What is left out is taken away. Where somebody else has changed the twin meanwhile, nothing is written." }
                button.first { "Write the twin" }
            }))
        }
    }
}

/// Sends what differs between what was typed and what is there, as a patch of the version that was looked at.
pub(super) async fn write(device: &Device<'_>, form: &Form) -> Result<Did, Trouble> {
    let desired = json_of("What is desired", form.get("desired"))?;
    let tags = json_of("What stands for tags", form.get("tags"))?;
    let path = device.path("twins", "");
    let now = call(device, Method::GET, &path, None, None).await?;
    let patch = json!({
        "tags": patch(&without_metadata(now.get("tags")), &tags),
        "properties": { "desired": patch(&without_metadata(now.pointer("/properties/desired")), &desired) },
    });
    call(device, Method::PATCH, &path, Some(&patch), Some(form.get("etag"))).await?;
    Ok(Did::Changed("twin"))
}

/// What makes one value of another, as twins are patched: a null takes away.
fn patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for (name, value) in to {
        match from.get(name) {
            Some(before) if before == value => {}
            Some(before @ Value::Object(_)) if value.is_object() => {
                patch.insert(name.clone(), self::patch(before, value));
            }
            _ => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in from.keys().filter(|it| !to.contains_key(*it)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}

fn without_metadata(part: Option<&Value>) -> Value {
    let mut part = part.cloned().unwrap_or_else(|| json!({}));
    if let Value::Object(members) = &mut part {
        members.retain(|name, _| !name.starts_with('$'));
    }
    part
}

#[derive(Default)]
struct Pair {
    desired: Option<Value>,
    reported: Option<Value>,
}

impl Pair {
    /// What only the device speaks of differs from nothing.
    fn differs(&self) -> bool {
        self.desired.is_some() && self.desired != self.reported
    }
}

fn compared(desired: &Value, reported: &Value) -> BTreeMap<String, Pair> {
    let mut rows: BTreeMap<String, Pair> = BTreeMap::new();
    for (name, value) in flat(desired) {
        rows.entry(name).or_default().desired = Some(value);
    }
    for (name, value) in flat(reported) {
        rows.entry(name).or_default().reported = Some(value);
    }
    rows
}

/// The values of an object under their whole names: `a.b.c`. Twins are shallow: ten levels at most.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    flatten(String::new(), value, &mut all);
    all
}

fn flatten(name: String, value: &Value, into: &mut BTreeMap<String, Value>) {
    let Some(members) = value.as_object().filter(|it| !it.is_empty() || name.is_empty()) else {
        into.insert(name, value.clone());
        return;
    };
    for (key, value) in members {
        let whole = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        flatten(whole, value, into);
    }
}

fn row(name: &str, pair: &Pair) -> Markup {
    let (mark, kind) = match (&pair.desired, &pair.reported) {
        (Some(desired), Some(reported)) if desired == reported => ("as desired", "same"),
        (Some(_), Some(_)) => ("differs", "differs"),
        (Some(_), None) => ("not reported", "differs"),
        (None, _) => ("", "own"),
    };
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(String::new, plain);
    html! {
        tr data-twin=(kind) {
            th.name scope="row" { (name) }
            td.name { (shown(&pair.desired)) }
            td.name { (shown(&pair.reported)) }
            td.mark-of { (mark) }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_says_what_is_other_and_what_is_gone() {
        let check =
            |from: Value, to: Value, expected: Value| assert_eq!(patch(&from, &to), expected);
        check(json!({ "a": 1, "b": 2 }), json!({ "a": 1, "b": 3 }), json!({ "b": 3 }));
        check(json!({ "a": 1, "b": 2 }), json!({ "b": 2 }), json!({ "a": null }));
        check(
            json!({ "a": { "x": 1, "y": 2 } }),
            json!({ "a": { "x": 1 } }),
            json!({ "a": { "y": null } }),
        );
        check(json!({ "a": { "x": 1 } }), json!({ "a": 5 }), json!({ "a": 5 }));
        check(json!({}), json!({ "a": {} }), json!({ "a": {} }));
        check(json!({ "a": 1 }), json!({ "a": 1 }), json!({}));
    }

    #[test]
    fn what_is_desired_and_not_reported_so_differs_and_what_the_device_adds_does_not() {
        let rows = compared(
            &json!({ "rate": 5, "in": { "a": 1, "b": 2 } }),
            &json!({ "rate": 5, "in": { "a": 2 }, "own": true }),
        );
        let differing: Vec<_> =
            rows.iter().filter(|(_, it)| it.differs()).map(|(name, _)| name.as_str()).collect();
        assert_eq!(differing, ["in.a", "in.b"]);
        assert_eq!(rows.len(), 4);
    }
}
