//! JSON as people write templates: with comments, names without quotes, texts of several lines and commas before
//! closing brackets. Clients send such files as they stand.

use super::{NotJson, parse};
use serde_json::Value;

/// Reads one JSON value that may be written so. All else is as in [`parse`].
///
/// # Errors
/// As of [`parse`]; a comment or text without an end.
pub fn parse_relaxed(text: &[u8]) -> Result<Value, NotJson> {
    // Nearly all that comes is plain.
    parse(text).or_else(|_| parse(&plain(text)?))
}

/// The same as plain JSON, as far as it is any.
fn plain(text: &[u8]) -> Result<Vec<u8>, NotJson> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let (mut at, mut has_comma, mut before) = (0, false, b'[');
    while let Some(byte) = text.get(at).copied() {
        let rest = text.get(at..).unwrap_or(&[]);
        if byte.is_ascii_whitespace() {
            out.push(byte);
            at += 1;
            continue;
        }
        if rest.starts_with(b"//") {
            at += rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with(b"/*") {
            let end = rest.windows(2).skip(2).position(|it| it == b"*/");
            at += end.ok_or_else(|| NotJson(format!("the comment at byte {at} has no end")))? + 4;
            continue;
        }
        // A comma counts once something follows that it parts.
        if has_comma && !matches!(byte, b'}' | b']') {
            out.push(b',');
        }
        // One that parts nothing from anything stays, and is refused.
        has_comma = byte == b',' && !matches!(before, b'[' | b'{' | b',');
        if byte == b',' && !has_comma {
            out.push(byte);
        }
        before = byte;
        match byte {
            b',' => at += 1,
            b'"' => at += text_of(rest, at, &mut out)?,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'$' => {
                let is_part = |it: &u8| it.is_ascii_alphanumeric() || b"_$-".contains(it);
                let length = rest.iter().position(|it| !is_part(it)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                let is_name = behind.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b':');
                if is_name {
                    out.push(b'"');
                }
                out.extend_from_slice(word);
                if is_name {
                    out.push(b'"');
                }
                at += length;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    if has_comma {
        out.push(b',');
    }
    Ok(out)
}

/// Copies a text in quotes, with its line ends escaped: how many bytes it has.
fn text_of(rest: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, NotJson> {
    let mut is_escaped = false;
    for (length, byte) in rest.iter().enumerate() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(*byte),
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' if length > 0 => return Ok(length + 1),
            _ => {}
        }
    }
    Err(NotJson(format!("the text at byte {at} has no end")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_read_as_people_write_them() {
        let check = |text: &str, expected: Value| {
            assert_eq!(parse_relaxed(text.as_bytes()), Ok(expected), "{text}");
        };
        check(r#"{"a": 1}"#, json!({ "a": 1 }));
        check(
            "{\"properties\": {\"mode\": \"Incremental\", template:{\r\n \"a\": [true, null]}}}",
            json!({ "properties": { "mode": "Incremental", "template": { "a": [true, null] } } }),
        );
        check("{ // a word\n \"a\": /* two\n lines */ 1, }", json!({ "a": 1 }));
        check(r#"{"a": "http://x /* no */ , }"}"#, json!({ "a": "http://x /* no */ , }" }));
        check("{\"a\": \"one\n\ttwo\"}", json!({ "a": "one\n\ttwo" }));
        check(r#"{"a": "\" // \\", b_1 : [1, 2,],}"#, json!({ "a": "\" // \\", "b_1": [1, 2] }));
    }

    #[test]
    fn what_is_no_json_however_it_is_read_is_refused() {
        for bad in [
            "",
            "{",
            "{a 1}",
            "{/* a: 1}",
            "{\"a: 1}",
            "[1,,2]",
            "{a: b}",
            "{a: 1, A: 2}",
            "[,]",
            "{},",
            "{a: 'b'}",
            "{\"a\": 1} {}",
        ] {
            assert!(parse_relaxed(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
