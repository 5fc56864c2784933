//! A request's path, decoded once: after this, nobody percent-decodes or splits it again.
//!
//! Empty segments are dropped, because clients send `//` and a trailing `/`. What could mean one place to
//! one reader and another place to the next (an encoded slash, dot segments, control characters, bytes that
//! are not UTF-8) is refused, never repaired.

use model::Error;
use percent_encoding::percent_decode_str;

/// Longest path in bytes, as sent. A scope has at most 2,048.
pub(crate) const PATH_BYTES_MAX: usize = 8 << 10;
/// Most segments that are not empty. A scope has at most 64.
pub(crate) const PATH_SEGMENTS_MAX: usize = 96;
/// Longest text of a request that is shown in traces and errors, in characters.
pub(crate) const SHOWN_CHARS_MAX: usize = 512;

/// The segments of a path, decoded.
///
/// # Errors
/// [`Error::Invalid`] at `path`, with the reason.
pub(crate) fn segments(raw: &str) -> Result<Vec<String>, Error> {
    let refuse = |because: &str| Err(Error::invalid("path", because));
    if raw.len() > PATH_BYTES_MAX {
        return Err(Error::invalid(
            "path",
            format!("the path is longer than {PATH_BYTES_MAX} bytes"),
        ));
    }
    let mut segments = Vec::new();
    for part in raw.split('/').filter(|it| !it.is_empty()) {
        if !has_whole_escapes(part) {
            return refuse(
                "a `%` in a path must be followed by two hexadecimal digits; send `%25` for the sign itself",
            );
        }
        let Ok(segment) = percent_decode_str(part).decode_utf8() else {
            return refuse("a segment of the path does not decode to UTF-8");
        };
        match &*segment {
            "." | ".." => return refuse("`.` and `..` are not names; send the path without them"),
            it if it.contains('/') => {
                return refuse(
                    "a segment of the path holds an encoded `/`, which no name may hold",
                );
            }
            it if it.chars().any(char::is_control) => {
                return refuse("a segment of the path holds a control character");
            }
            _ => segments.push(segment.into_owned()),
        }
        if segments.len() > PATH_SEGMENTS_MAX {
            return Err(Error::invalid(
                "path",
                format!("the path has more than {PATH_SEGMENTS_MAX} segments"),
            ));
        }
    }
    Ok(segments)
}

/// The segments of a path where blobs are served: account, container, and all the rest as one name, in which a slash is
/// as good as an encoded one.
///
/// # Errors
/// As [`segments`].
pub(crate) fn blob_segments(raw: &str) -> Result<Vec<String>, Error> {
    let refuse = |because: &str| Err(Error::invalid("path", because));
    let mut parts = raw.trim_start_matches('/').splitn(3, '/');
    let top: Vec<&str> = parts.by_ref().take(2).collect();
    let mut all = segments(&top.join("/"))?;
    let Some(rest) = parts.next().filter(|it| !it.is_empty()) else { return Ok(all) };
    if raw.len() > PATH_BYTES_MAX {
        return refuse("the path is too long");
    }
    if all.len() < 2 {
        return refuse("the path names no container before its blob");
    }
    let name = match percent_decode_str(rest).decode_utf8() {
        Ok(name) if has_whole_escapes(rest) => name,
        Ok(_) | Err(_) => return refuse("the name of the blob does not decode to UTF-8"),
    };
    if name.chars().any(char::is_control) || name.split('/').any(|it| it == "." || it == "..") {
        return refuse(
            "the name of a blob holds no control character, and no `.` or `..` between its slashes",
        );
    }
    all.push(name.into_owned());
    Ok(all)
}

/// The segments as one path again, each between single slashes.
pub(crate) fn join(segments: &[String]) -> String {
    format!("/{}", segments.join("/"))
}

/// Text from outside as it may stand in a trace, a log or an error: bounded, and without characters that
/// move a terminal's cursor, break a line or change the direction of the text around them.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut chars = 0;
    for it in text.chars() {
        let piece = match it {
            it if it.is_control() || reorders(it) => it.escape_unicode().to_string(),
            it => it.to_string(),
        };
        chars += piece.chars().count();
        if chars > SHOWN_CHARS_MAX {
            break;
        }
        shown.push_str(&piece);
    }
    shown
}

/// Line and paragraph separators, and marks, embeddings and isolates of bidirectional text.
fn reorders(it: char) -> bool {
    matches!(it, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

fn has_whole_escapes(part: &str) -> bool {
    let mut after_percent = part.split('%').skip(1);
    after_percent.all(|it| it.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_segments_are_dropped_and_the_rest_is_decoded_once() {
        let check = |raw: &str, expected: &[&str]| {
            assert_eq!(segments(raw).unwrap(), expected, "{raw}");
        };
        check("/", &[]);
        check("", &[]);
        check("//", &[]);
        check("/devices/", &["devices"]);
        check(
            "/providers/Microsoft.Devices//IotHubs/h",
            &["providers", "Microsoft.Devices", "IotHubs", "h"],
        );
        check("/devices/a%25b", &["devices", "a%b"]);
        check("/devices/a%252Fb", &["devices", "a%2Fb"]);
        check("/devices/%C3%A9", &["devices", "é"]);
        check("/%64evices/a%20b+c", &["devices", "a b+c"]);
        check("/devices/...", &["devices", "..."]);
        check("/devices/a;b=c", &["devices", "a;b=c"]);
    }

    #[test]
    fn all_behind_a_container_is_the_name_of_a_blob() {
        let check = |raw: &str, expected: &[&str]| {
            assert_eq!(blob_segments(raw).unwrap(), expected, "{raw}");
        };
        check("/acc", &["acc"]);
        check("/acc/", &["acc"]);
        check("/acc/c", &["acc", "c"]);
        check("/acc/c/", &["acc", "c"]);
        check("/acc/c/a/b%20c//d", &["acc", "c", "a/b c//d"]);
        check("/acc/c/a%2Fb", &["acc", "c", "a/b"]);
        for raw in [
            "/acc/c/../d",
            "/acc/c/a/%2e%2e/b",
            "/acc/../c",
            "/acc/c%2Fd/e",
            "/acc/c/%00",
            "/acc/c/%ff",
            "/acc//b",
            "/acc/c/a%2",
        ] {
            assert!(blob_segments(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        for raw in [
            "/devices/a%2Fb",
            "/devices/a%2fb",
            "/devices/..",
            "/devices/.",
            "/devices/%2e%2e",
            "/devices/%2E",
            "/devices/.%2e/x",
            "/devices/a%00",
            "/devices/a%0d%0ab",
            "/devices/a%1b[31m",
            "/devices/a%c2%85",
            "/devices/%ff",
            "/devices/%c0%af",
            "/devices/%e0%80%af",
            "/devices/%ed%a0%80",
            "/devices/a%",
            "/devices/a%2",
            "/devices/a%zz",
            "/devices/a%%32",
        ] {
            assert!(segments(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_path_has_a_longest_length_and_a_most_of_segments() {
        assert!(segments(&format!("/{}", "a".repeat(PATH_BYTES_MAX - 1))).is_ok());
        assert!(segments(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
        assert!(segments(&"/a".repeat(PATH_SEGMENTS_MAX)).is_ok());
        assert!(segments(&"/a".repeat(PATH_SEGMENTS_MAX + 1)).is_err());
        assert!(segments(&"/".repeat(PATH_BYTES_MAX)).is_ok());
    }

    #[test]
    fn shown_text_is_bounded_and_cannot_forge_a_line() {
        assert_eq!(shown("PUT /devices/é d\n\u{1b}[0m"), "PUT /devices/é d\\u{a}\\u{1b}[0m");
        assert_eq!(shown("a\u{202e}b\u{2028}"), "a\\u{202e}b\\u{2028}");
        assert_eq!(shown(&"é".repeat(SHOWN_CHARS_MAX + 1)).chars().count(), SHOWN_CHARS_MAX);
        assert!(shown(&"\u{7}".repeat(SHOWN_CHARS_MAX)).chars().count() <= SHOWN_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn what_is_taken_can_be_told_apart_again(raw in "(/|%[0-9a-fA-F]{2}|[ -~é]){0,40}") {
            if let Ok(found) = segments(&raw) {
                let joined = join(&found);
                let again: Vec<&str> = joined.split('/').filter(|it| !it.is_empty()).collect();
                prop_assert_eq!(again, found);
            }
        }
    }
}
