//! What a configuration brings: values at places of the desired properties of a device, of one module, or of the
//! modules of an edge device.

use model::Error;
use model::error::HubFault;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most bytes of a content, in JSON. Source: a deployment must fit into desired properties of 32 KB for each module.
const CONTENT_BYTES_MAX: usize = 512 << 10;
/// Most modules of a deployment.
const MODULES_MAX: usize = 50;
/// How the place of a value begins.
const DESIRED: &str = "properties.desired";

/// Values by their place: a list of names, none for all desired properties.
pub(super) type Values = Vec<(Vec<String>, Value)>;

/// A content, read.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Content {
    /// `deviceContent`.
    Device(Values),
    /// `moduleContent`.
    Module(Values),
    /// `modulesContent`, by module: for edge devices.
    Modules(BTreeMap<String, Values>),
}

impl Content {
    /// # Errors
    /// [`HubFault::InvalidConfigurationContent`] with the place that is wrong.
    pub(super) fn read(content: &Value) -> Result<Self, Error> {
        let wrong = |because: String| Error::hub(HubFault::InvalidConfigurationContent, because);
        if content.to_string().len() > CONTENT_BYTES_MAX {
            return Err(wrong(format!("a content takes at most {CONTENT_BYTES_MAX} bytes")));
        }
        let part = |name: &str| {
            content
                .get(name)
                .filter(|it| !it.is_null() && it.as_object().is_none_or(|it| !it.is_empty()))
        };
        match (part("deviceContent"), part("moduleContent"), part("modulesContent")) {
            (Some(it), None, None) => Ok(Self::Device(values(it, "deviceContent").map_err(wrong)?)),
            (None, Some(it), None) => Ok(Self::Module(values(it, "moduleContent").map_err(wrong)?)),
            (None, None, Some(Value::Object(all))) if all.len() <= MODULES_MAX => {
                let each = all.iter().map(|(module, it)| {
                    let place = format!("modulesContent.{module}");
                    model::DeviceId::parse(module).map_err(|it| format!("{place}: {it}"))?;
                    Ok((module.clone(), values(it, &place)?))
                });
                Ok(Self::Modules(each.collect::<Result<_, String>>().map_err(wrong)?))
            }
            (None, None, Some(_)) => Err(wrong(format!(
                "modulesContent: an object of at most {MODULES_MAX} modules is expected"
            ))),
            (_, _, _) => Err(wrong(
                "one of deviceContent, moduleContent and modulesContent is expected".into(),
            )),
        }
    }
}

fn values(part: &Value, at: &str) -> Result<Values, String> {
    let all = part.as_object().ok_or_else(|| format!("{at}: an object is expected"))?;
    let read = |(place, value): (&String, &Value)| {
        let rest = place.strip_prefix(DESIRED);
        let steps = match rest {
            Some("") => Some(Vec::new()),
            Some(rest) => {
                rest.strip_prefix('.').map(|it| it.split('.').map(str::to_owned).collect())
            }
            None => None,
        };
        let steps: Vec<String> = steps
            .filter(|it: &Vec<String>| it.iter().all(|it| !it.is_empty() && !it.starts_with('$')))
            .ok_or_else(|| format!("{at}.{place}: a place is `{DESIRED}` or lies below it"))?;
        match steps.is_empty() && !value.is_object() {
            true => Err(format!("{at}.{place}: all desired properties are an object")),
            false => Ok((steps, value.clone())),
        }
    };
    all.iter().map(read).collect()
}

/// The patch that leads from desired properties to those with the values in their places; empty where they have
/// them already.
pub(super) fn patch<'a>(
    desired: &Map<String, Value>,
    values: impl Iterator<Item = &'a (Vec<String>, Value)>,
) -> Map<String, Value> {
    let mut wanted = Value::Object(desired.clone());
    for (steps, value) in values {
        place(&mut wanted, steps, value);
    }
    match &wanted {
        Value::Object(wanted) => difference(desired, wanted),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// Puts a value in its place; what is no object on the way there becomes one.
fn place(at: &mut Value, steps: &[String], value: &Value) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value.clone();
        return;
    };
    if !at.is_object() {
        *at = json!({});
    }
    if let Some(members) = at.as_object_mut() {
        place(members.entry(step).or_insert(Value::Null), rest, value);
    }
}

fn difference(is: &Map<String, Value>, wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in is.keys().filter(|it| !wanted.contains_key(*it)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in wanted {
        match (is.get(name), value) {
            (Some(is), value) if is == value => {}
            (None, Value::Null) => {}
            (Some(Value::Object(is)), Value::Object(wanted)) => {
                let below = difference(is, wanted);
                if !below.is_empty() {
                    patch.insert(name.clone(), Value::Object(below));
                }
            }
            (_, value) => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_one_of_three_and_its_places_lie_in_desired_properties() {
        let is_read = |it: Value| Content::read(&it).is_ok();
        assert!(is_read(json!({ "deviceContent": { "properties.desired.a.b": 1 } })));
        assert!(is_read(
            json!({ "deviceContent": { "properties.desired": {} }, "modulesContent": {} })
        ));
        assert!(is_read(json!({ "moduleContent": { "properties.desired": { "a": 1 } } })));
        assert!(is_read(
            json!({ "modulesContent": { "$edgeAgent": { "properties.desired": {} } } })
        ));
        for wrong in [
            json!(null),
            json!({}),
            json!({ "deviceContent": 1 }),
            json!({ "deviceContent": { "properties.reported.a": 1 } }),
            json!({ "deviceContent": { "properties.desired.": 1 } }),
            json!({ "deviceContent": { "properties.desired.$version": 1 } }),
            json!({ "deviceContent": { "properties.desired": 1 } }),
            json!({ "deviceContent": { "properties.desiredx": 1 } }),
            json!({ "modulesContent": { "a/b": { "properties.desired": {} } } }),
            json!({ "deviceContent": { "properties.desired.a": 1 }, "moduleContent": { "properties.desired.a": 1 } }),
        ] {
            assert!(!is_read(wrong.clone()), "{wrong}");
        }
    }

    #[test]
    fn a_patch_leads_to_the_values_and_is_empty_where_they_are_there() {
        let check = |is: Value, values: Value, expected: Value| {
            let Value::Object(is) = is else { panic!("{is}") };
            let values = super::values(&values, "").unwrap();
            assert_eq!(Value::Object(patch(&is, values.iter())), expected, "{values:?}");
        };
        let is = json!({ "a": { "b": 1, "c": 2 }, "d": 3 });
        check(is.clone(), json!({ "properties.desired.a.b": 1 }), json!({}));
        check(
            is.clone(),
            json!({ "properties.desired.a": { "b": 1 } }),
            json!({ "a": { "c": null } }),
        );
        check(is.clone(), json!({ "properties.desired.d.e": 1 }), json!({ "d": { "e": 1 } }));
        check(
            is.clone(),
            json!({ "properties.desired": { "d": 4 } }),
            json!({ "a": null, "d": 4 }),
        );
        check(is, json!({ "properties.desired.x": null }), json!({}));
    }
}
