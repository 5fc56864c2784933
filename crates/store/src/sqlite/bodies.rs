//! Whether a document fulfils a filter, by a look at its bytes.
//!
//! A body is not parsed: a look follows one path of names, and passes over all else. That takes a quarter of what
//! SQLite's own functions take, which read a body to its end. What cannot be read so, because it is no JSON, counts
//! as fulfilled: whoever asks looks again.

use std::borrow::Cow;

use crate::lookup::{Filter, Is, Span};

/// False where the document surely does not fulfil the filter.
pub(super) fn may_fulfil(filter: &Filter, key: &str, body: &[u8]) -> bool {
    match filter {
        Filter::Anything => true,
        Filter::All(all) => all.iter().all(|it| may_fulfil(it, key, body)),
        Filter::Any(all) => all.iter().any(|it| may_fulfil(it, key, body)),
        Filter::Keys(all) => all.iter().any(|it| it == key),
        Filter::KeyIn(span) => is_within(span, |it| it.as_str() <= key, |it| key <= it.as_str()),
        Filter::Member(path, _) if path.is_empty() => true,
        Filter::Member(path, is) => may_be(is, find(body, path)),
    }
}

/// What stands at a place of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found<'a> {
    Nothing,
    /// It, and all behind it.
    Value(&'a [u8]),
    /// This is no JSON.
    Unclear,
}

fn may_be(is: &Is, found: Found<'_>) -> bool {
    let value = match found {
        Found::Unclear => return true,
        Found::Nothing => return matches!(is, Is::Absent | Is::Null),
        Found::Value(value) => value,
    };
    match is {
        Is::Present => true,
        Is::Absent => false,
        Is::Null => value.starts_with(b"null"),
        Is::Bool(it) => value.starts_with(if *it { b"true" } else { b"false" }),
        Is::OneOf(all) => may_be_text(value, |text| all.iter().any(|it| it.as_bytes() == text)),
        Is::Text(span) => may_be_text(value, |text| {
            is_within(span, |it| it.as_bytes() <= text, |it| text <= it.as_bytes())
        }),
        Is::Number(span) => match number(value) {
            Some(number) => is_within(span, |it| *it <= number, |it| number <= *it),
            None => false,
        },
    }
}

fn may_be_text(value: &[u8], is_it: impl Fn(&[u8]) -> bool) -> bool {
    match value.strip_prefix(b"\"") {
        Some(value) => text(value).and_then(|it| it.spelled()).is_none_or(|it| is_it(&it)),
        None => false,
    }
}

fn is_within<T>(span: &Span<T>, is_from: impl Fn(&T) -> bool, is_to: impl Fn(&T) -> bool) -> bool {
    span.from.as_ref().is_none_or(is_from) && span.to.as_ref().is_none_or(is_to)
}

fn number(value: &[u8]) -> Option<f64> {
    let (scalar, _) = value.split_at(scalar_bytes(value));
    // Nothing else that JSON has begins so.
    scalar.first().filter(|it| matches!(it, b'-' | b'0'..=b'9'))?;
    std::str::from_utf8(scalar).ok()?.parse().ok()
}

/// Follows names from object to object.
fn find<'a>(body: &'a [u8], path: &[String]) -> Found<'a> {
    let mut at = body.trim_ascii_start();
    for name in path {
        at = match member(at, name.as_bytes()) {
            Found::Value(value) => value,
            other @ (Found::Nothing | Found::Unclear) => return other,
        };
    }
    Found::Value(at)
}

/// A member of the object that begins here.
fn member<'a>(value: &'a [u8], name: &[u8]) -> Found<'a> {
    let Some(inside) = value.strip_prefix(b"{") else { return Found::Nothing };
    let mut rest = inside.trim_ascii_start();
    loop {
        if rest.starts_with(b"}") {
            return Found::Nothing;
        }
        let Some((is_it, value)) = named(rest, name) else { return Found::Unclear };
        if is_it {
            return Found::Value(value);
        }
        let Some(behind) = behind_value(value) else { return Found::Unclear };
        let behind = behind.trim_ascii_start();
        rest = behind.strip_prefix(b",").unwrap_or(behind).trim_ascii_start();
    }
}

/// Whether the member that begins here has this name, and its value.
fn named<'a>(member: &'a [u8], name: &[u8]) -> Option<(bool, &'a [u8])> {
    let key = text(member.strip_prefix(b"\"")?)?;
    let value = key.rest.trim_ascii_start().strip_prefix(b":")?;
    Some((*key.spelled()? == *name, value.trim_ascii_start()))
}

/// What comes behind a value.
fn behind_value(value: &[u8]) -> Option<&[u8]> {
    let mut rest = value;
    let mut depth = 0_usize;
    loop {
        let (first, behind) = rest.split_first()?;
        rest = match first {
            b'"' => text(behind)?.rest,
            b'{' | b'[' => {
                depth += 1;
                behind
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                behind
            }
            _ if depth > 0 => behind,
            _ => rest.get(scalar_bytes(rest)..).filter(|it| it.len() < rest.len())?,
        };
        if depth == 0 {
            return Some(rest);
        }
    }
}

/// How long a number, `true`, `false` or `null` is.
fn scalar_bytes(value: &[u8]) -> usize {
    let is_end = |it: &u8| matches!(it, b',' | b'}' | b']') || it.is_ascii_whitespace();
    value.iter().position(is_end).unwrap_or(value.len())
}

/// A text as it is spelled, and what comes behind it.
struct Text<'a> {
    raw: &'a [u8],
    /// It has no escapes.
    is_plain: bool,
    rest: &'a [u8],
}

impl<'a> Text<'a> {
    /// What it says; `None` where its escapes say nothing.
    fn spelled(&self) -> Option<Cow<'a, [u8]>> {
        match self.is_plain {
            true => Some(Cow::Borrowed(self.raw)),
            false => unescaped(self.raw).map(Cow::Owned),
        }
    }
}

fn unescaped(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut said = Vec::new();
    while let Some((first, rest)) = raw.split_first() {
        if *first != b'\\' {
            said.push(*first);
            raw = rest;
            continue;
        }
        let (escaped, rest) = rest.split_first()?;
        raw = rest;
        match escaped {
            b'"' | b'\\' | b'/' => said.push(*escaped),
            b'b' => said.push(0x08),
            b'f' => said.push(0x0c),
            b'n' => said.push(b'\n'),
            b'r' => said.push(b'\r'),
            b't' => said.push(b'\t'),
            b'u' => {
                let mut units = vec![code_unit(&mut raw)?];
                if let Some(second) = raw.strip_prefix(b"\\u").filter(|_| is_first_half(&units)) {
                    raw = second;
                    units.push(code_unit(&mut raw)?);
                }
                said.extend(String::from_utf16(&units).ok()?.bytes());
            }
            _ => return None,
        }
    }
    Some(said)
}

/// Four digits.
fn code_unit(raw: &mut &[u8]) -> Option<u16> {
    let (digits, rest) = raw.split_at_checked(4)?;
    *raw = rest;
    let digits = std::str::from_utf8(digits).ok().filter(|it| !it.starts_with('+'))?;
    u16::from_str_radix(digits, 16).ok()
}

fn is_first_half(units: &[u16]) -> bool {
    matches!(units, [0xd800..=0xdbff])
}

/// Reads a text from behind its first quotation mark; `None` where it has no end.
fn text(from: &[u8]) -> Option<Text<'_>> {
    let (mut end, mut is_plain) = (0, true);
    loop {
        end += from.get(end..)?.iter().position(|it| matches!(it, b'"' | b'\\'))?;
        if from.get(end) == Some(&b'"') {
            let (raw, rest) = from.split_at(end);
            return Some(Text { raw, is_plain, rest: rest.get(1..)? });
        }
        // A backslash, and what it is before.
        is_plain = false;
        end += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(body: &str, path: &[&str], is: Is) -> bool {
        let path = path.iter().map(|it| (*it).to_owned()).collect();
        may_fulfil(&Filter::Member(path, is), "key", body.as_bytes())
    }

    #[test]
    fn a_member_is_found_behind_all_that_it_could_be_taken_for() {
        let body = r#" { "b" : [ {"a":1}, "}", "\"a\":1" ] , "c":{"a":{"a":2}},
            "x":-1.5e3,"n":null,"t":true, "a":{"d":"e,}"} } "#;
        assert!(at(body, &["a", "d"], Is::OneOf(vec!["e,}".into()])));
        assert!(!at(body, &["a"], Is::OneOf(vec!["e,}".into()])));
        assert!(!at(body, &["a"], Is::Number(Span { from: None, to: None })));
        let two = Span { from: Some(2.0), to: Some(2.0) };
        assert!(at(body, &["c", "a", "a"], Is::Number(two.clone())));
        assert!(!at(body, &["c", "a"], Is::Number(two)));
        assert!(at(body, &["x"], Is::Number(Span { from: Some(-1500.0), to: Some(-1500.0) })));
        assert!(at(body, &["n"], Is::Null) && at(body, &["m"], Is::Null));
        assert!(at(body, &["t"], Is::Bool(true)) && !at(body, &["t"], Is::Bool(false)));
        assert!(at(body, &["b", "a"], Is::Absent) && !at(body, &["b"], Is::Absent));
    }

    #[test]
    fn escapes_are_read_and_what_is_no_json_is_not_passed_over() {
        let is = |text: &str| Is::OneOf(vec![text.into()]);
        assert!(at(r#"{"\u0061":"x"}"#, &["a"], is("x")));
        assert!(!at(r#"{"\u0061":"x"}"#, &["b"], is("x")));
        let said = "\u{8}\u{c}\n\r\t\"\\/é𝄞";
        assert!(at(r#"{"a":"\b\f\n\r\t\"\\\/\u00e9\uD834\udd1e"}"#, &["a"], is(said)));
        assert!(!at(r#"{"a":"\u0078"}"#, &["a"], is("y")));
        let from_y = Span { from: Some("y".to_owned()), to: None };
        assert!(!at(r#"{"a":"\u0078"}"#, &["a"], Is::Text(from_y)));
        for escape in [r"\uD834", r"\uD834\u0041", r"\udd1e", r"\x", r"\u00", r"\u+061"] {
            let body = format!(r#"{{"a":"{escape}"}}"#);
            assert!(at(&body, &["a"], is("x")), "{body}: it says nothing, and may be anything");
        }
        // Escapes in what is passed over are read to their end.
        assert!(!at(r#"{"b":"\\","a":"y"}"#, &["a"], is("x")));
        assert!(!at(r#"{"b":["\"}"],"a":"y"}"#, &["a"], is("x")));
        for body in
            ["{\"a\":\"x", "{\"a", "{a:1}", "{\"b\":[1,\"a\":\"x\"}", "{\"b\":}", "{\"b\"1}"]
        {
            assert!(at(body, &["a"], is("x")), "{body}");
        }
    }

    #[test]
    fn no_bytes_make_a_look_fail() {
        let body = br#"{"b":["\u0061",{"a":[]}],"a":{"c":-1.5}}"#;
        for from in 0..body.len() {
            for to in from..=body.len() {
                let _ = find(&body[from..to], &["a".into(), "c".into()]);
            }
        }
    }
}
