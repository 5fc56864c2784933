//! Text from outside made safe to show: nothing in it may move a cursor, hide or reorder what is read.

use std::fmt::Write;

/// `text` on one line: control, invisible and direction-changing characters become `\n` or `\u{1b}`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match is_unprintable(it) {
            true => out.extend(it.escape_default()),
            false => out.push(it),
        }
    }
    out
}

/// JSON text whose strings hold no raw character that [`escape`] would write out. The same JSON value:
/// outside its strings JSON has only ASCII, so every character found is inside one.
pub(crate) fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for it in json.chars() {
        match is_unprintable(it) && it != '\n' {
            true => {
                for unit in it.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            false => out.push(it),
        }
    }
    out
}

fn is_unprintable(it: char) -> bool {
    it.is_control()
        || matches!(it,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// What becomes of a word that is longer than the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LongWord {
    /// Stays whole and sticks out: an id must be copied in one piece.
    Whole,
    /// Is cut, behind a `/` and the like where there is one.
    Broken,
}

/// Splits at spaces into lines of at most `width` characters. Spaces inside a line stay as they are.
pub(crate) fn wrap(text: &str, width: usize, long: LongWord) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for (index, word) in text.split(' ').enumerate() {
        let word_chars = word.chars().count();
        if index > 0 && used > 0 && used + 1 + word_chars > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if index > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += word_chars;
        while long == LongWord::Broken && used > width {
            let rest = line.split_off(break_at(&line, width));
            used = rest.chars().count();
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines
}

/// Where to cut a line that is longer than `width`: behind its last separator, unless that would leave less
/// than half a line.
fn break_at(line: &str, width: usize) -> usize {
    let ends = line.char_indices().map(|(at, it)| (it, at + it.len_utf8())).take(width);
    let separator = ends.clone().skip(width / 2).filter(|(it, _)| "/.,-".contains(*it)).last();
    separator.or_else(|| ends.last()).map_or(line.len(), |(_, end)| end)
}

/// The first `chars_max` characters, and `...` where there were more.
pub(crate) fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `one thing`, `2 things`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        more => format!("{more} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_the_reading_direction_survives() {
        let check = |text: &str, expected: &str| assert_eq!(escape(text), expected);
        check("device-1 ä 水", "device-1 ä 水");
        check("a\x1b[2Jb", "a\\u{1b}[2Jb");
        check("a\u{9b}1Ab\x7f", "a\\u{9b}1Ab\\u{7f}");
        check("a\r\nb\t\0", "a\\r\\nb\\t\\u{0}");
        check("a\u{202e}b\u{2066}\u{200b}", "a\\u{202e}b\\u{2066}\\u{200b}");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}\u{202e}\u{e0001}ä", "n": [1, "two\n"] });
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escape_json(&pretty);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        assert_eq!(escape(&escaped.replace('\n', "")), escaped.replace('\n', ""));
    }

    #[test]
    fn lines_keep_to_the_width_and_ids_stay_whole_where_asked() {
        let check = |text, width, long, expected: &[&str]| {
            assert_eq!(wrap(text, width, long), expected, "{text}");
        };
        check("one two three", 7, LongWord::Whole, &["one two", "three"]);
        check("one two", 7, LongWord::Whole, &["one two"]);
        check("one two!", 7, LongWord::Whole, &["one", "two!"]);
        check("abcdefghij k", 4, LongWord::Whole, &["abcdefghij", "k"]);
        check("abcdefghij k", 4, LongWord::Broken, &["abcd", "efgh", "ij k"]);
        check("/ab/cd/efgh", 8, LongWord::Broken, &["/ab/cd/", "efgh"]);
        check("/abcdefghij", 8, LongWord::Broken, &["/abcdefg", "hij"]);
        check("a  b", 9, LongWord::Broken, &["a  b"]);
        check("", 9, LongWord::Broken, &[""]);
        check("äöü", 2, LongWord::Broken, &["äö", "ü"]);
    }
}
