//! JSON from outside: read once, within limits, into the one value that gate and operation share.

mod relaxed;

pub use relaxed::parse_relaxed;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

/// Deepest nesting of a body.
pub const DEPTH_MAX: usize = 64;
/// Most values in a body, objects' members and arrays' elements included.
pub const NODES_MAX: usize = 50_000;
/// Longest text of a number. A longer one is an attack, not a measurement.
pub const NUMBER_BYTES_MAX: usize = 64;

/// The text is not JSON that we take; says what and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson(pub String);

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotJson {}

/// Reads one JSON value. Refused: duplicate keys, also such as differ only by case (two readers could see
/// two different objects), more
/// than [`DEPTH_MAX`] levels, more than [`NODES_MAX`] values, numbers of more than
/// [`NUMBER_BYTES_MAX`] characters, text behind the value.
///
/// The caller has bounded the length of `text`.
pub fn parse(text: &[u8]) -> Result<Value, NotJson> {
    check_numbers(text)?;
    let nodes = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Node { depth: 0, nodes: &nodes }
        .deserialize(&mut reader)
        .map_err(|it| NotJson(it.to_string()))?;
    reader.end().map_err(|it| NotJson(it.to_string()))?;
    Ok(value)
}

fn check_numbers(text: &[u8]) -> Result<(), NotJson> {
    let (mut run, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => {
                run += 1;
                if run > NUMBER_BYTES_MAX {
                    return Err(NotJson(format!(
                        "a number of more than {NUMBER_BYTES_MAX} characters at byte {at}"
                    )));
                }
                continue;
            }
            _ => {}
        }
        run = 0;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Node<'a> {
    depth: usize,
    nodes: &'a Cell<usize>,
}

impl<'a> Node<'a> {
    fn below<E: serde::de::Error>(self) -> Result<Node<'a>, E> {
        match self.depth < DEPTH_MAX {
            true => Ok(Node { depth: self.depth + 1, nodes: self.nodes }),
            false => Err(E::custom(format!("more than {DEPTH_MAX} levels of nesting"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > NODES_MAX {
            return Err(D::Error::custom(format!("more than {NODES_MAX} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(Value::Number(it.into()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(Value::Number(it.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, it: f64) -> Result<Value, E> {
        Number::from_f64(it).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(Value::String(it.to_owned()))
    }

    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(Value::String(it))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let (mut all, mut seen) = (Map::new(), BTreeSet::new());
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(below)?;
            // Readers compare names without regard to case: to some of them two such keys are one.
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(A::Error::custom(format!(
                    "the key `{}` stands twice",
                    key.escape_debug()
                )));
            }
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

/// The member of an object by its name, whatever its casing: ARM property names compare so.
pub fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| it))
}

/// The member below a path of names.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |it, name| member(it, name))
}

/// Gives an object a member, in place of one that it has. What is no object stays as it is.
pub fn set(value: &mut Value, name: &str, member: impl Into<Value>) {
    if let Value::Object(members) = value {
        members.insert(name.to_owned(), member.into());
    }
}

/// The text below a path of names.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_json_is_read_whole() {
        let text = br#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":"\u00e9"}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn one_past_each_limit_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert!(parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        let wide = |nodes: usize| format!("[{}]", vec!["0"; nodes - 1].join(","));
        assert!(parse(wide(NODES_MAX).as_bytes()).is_ok());
        assert!(parse(wide(NODES_MAX + 1).as_bytes()).is_err());
        assert!(parse("1".repeat(NUMBER_BYTES_MAX).as_bytes()).is_ok());
        assert!(parse("1".repeat(10_000).as_bytes()).is_err());
        assert!(parse(format!("\"{}\"", "1".repeat(10_000)).as_bytes()).is_ok());
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_and_named() {
        let refusal = parse(br#"{"principalId":"a","principalId":"b"}"#).unwrap_err();
        assert!(refusal.0.contains("principalId"), "{refusal}");
        assert!(parse(br#"{"principalId":"a","PrincipalID":"b"}"#).is_err());
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{\"a\":1,}").is_err());
        assert!(parse(b"").is_err());
    }
}
