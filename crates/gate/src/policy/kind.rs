//! The types of parameters.

use model::Timestamp;
use serde_json::Value;

/// What a parameter holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    String,
    Array,
    Object,
    Boolean,
    Integer,
    Float,
    DateTime,
}

impl Kind {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::String, "String"),
        (Self::Array, "Array"),
        (Self::Object, "Object"),
        (Self::Boolean, "Boolean"),
        (Self::Integer, "Integer"),
        (Self::Float, "Float"),
        (Self::DateTime, "DateTime"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, text)| text)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, it)| it.eq_ignore_ascii_case(text)).map(|(it, _)| *it)
    }

    /// The kind that a value is of, as far as it shows.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
            Value::Bool(_) => Self::Boolean,
            Value::Number(it) if it.is_i64() => Self::Integer,
            Value::Number(_) => Self::Float,
            Value::String(_) | Value::Null => Self::String,
        }
    }

    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => value.is_i64(),
            Self::Float => value.is_number(),
            Self::DateTime => value.as_str().is_some_and(|it| Timestamp::parse(it).is_some()),
        }
    }
}
