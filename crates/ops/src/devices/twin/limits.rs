//! What a twin takes. Source: IoT Hub developer guide, "Device twins format" and "Device twin size".

use model::Error;
use serde_json::{Map, Value};

/// Bytes of JSON of all tags together.
pub(super) const TAGS_BYTES_MAX: usize = 8 << 10;
/// Bytes of JSON of all desired, and of all reported properties.
pub(super) const PROPERTIES_BYTES_MAX: usize = 32 << 10;
/// Levels of objects and lists below a section.
pub(super) const DEPTH_MAX: usize = 10;
/// Bytes of a text.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 10;
/// Bytes of a name.
pub(super) const NAME_BYTES_MAX: usize = 1 << 10;
/// Whole numbers lie between this and its negative.
pub(super) const INTEGER_MAX: u64 = 4_503_599_627_370_496;

pub(super) fn check_tags(tags: &Map<String, Value>) -> Result<(), Error> {
    check(tags, "tags", TAGS_BYTES_MAX)
}

pub(super) fn check_desired(properties: &Map<String, Value>) -> Result<(), Error> {
    check(properties, "properties.desired", PROPERTIES_BYTES_MAX)
}

pub(super) fn check_reported(properties: &Map<String, Value>) -> Result<(), Error> {
    check(properties, "properties.reported", PROPERTIES_BYTES_MAX)
}

/// A section as a whole, as it would be stored: what breaks a limit is named by its path.
fn check(section: &Map<String, Value>, at: &str, bytes_max: usize) -> Result<(), Error> {
    check_object(section, at, 1)?;
    let bytes = serde_json::to_string(section).map_or(usize::MAX, |it| it.len());
    match bytes <= bytes_max {
        true => Ok(()),
        false => Err(invalid(at, format!("{bytes} bytes; at most {bytes_max} are taken"))),
    }
}

fn check_object(object: &Map<String, Value>, at: &str, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(invalid(at, format!("nested deeper than {DEPTH_MAX} levels")));
    }
    for (name, value) in object {
        let is_refused = |it: char| it.is_control() || matches!(it, '.' | '$' | ' ');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.chars().any(is_refused) {
            let shown: String = name.chars().take(64).collect();
            return Err(invalid(
                at,
                format!(
                    "`{}` is no name of a property: 1 to {NAME_BYTES_MAX} bytes without `.`, `$`, space and control \
                     characters",
                    shown.escape_debug()
                ),
            ));
        }
        check_value(value, &format!("{at}.{name}"), depth)?;
    }
    Ok(())
}

fn check_value(value: &Value, at: &str, depth: usize) -> Result<(), Error> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => {
            let is_whole_and_large = match (number.as_u64(), number.as_i64()) {
                (Some(it), _) => it > INTEGER_MAX,
                (None, Some(it)) => it.unsigned_abs() > INTEGER_MAX,
                (None, None) => false,
            };
            match is_whole_and_large {
                true => Err(invalid(
                    at,
                    format!("whole numbers reach from -{INTEGER_MAX} to {INTEGER_MAX}"),
                )),
                false => Ok(()),
            }
        }
        Value::String(text) if text.len() > TEXT_BYTES_MAX => Err(invalid(
            at,
            format!("a text of {} bytes; at most {TEXT_BYTES_MAX} are taken", text.len()),
        )),
        Value::String(_) => Ok(()),
        Value::Array(items) => {
            if depth >= DEPTH_MAX {
                return Err(invalid(at, format!("nested deeper than {DEPTH_MAX} levels")));
            }
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, it)| check_value(it, &format!("{at}[{index}]"), depth + 1))
        }
        Value::Object(object) => check_object(object, at, depth + 1),
    }
}

fn invalid(at: &str, message: String) -> Error {
    Error::DeviceInvalid { at: at.to_owned(), message }
}
