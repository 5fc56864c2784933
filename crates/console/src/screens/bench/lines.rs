//! On which line of a JSON text the thing stands that a path names, as in `policyRule[1].if.allOf[0].field`.

use std::iter::Peekable;
use std::str::CharIndices;

/// Deepest nesting that is followed; deeper texts are refused by whoever parses them.
const DEPTH_MAX: usize = 128;

#[derive(PartialEq, Eq, Debug)]
enum Step<'a> {
    Member(&'a str),
    Index(usize),
}

/// The line, from 1, of what a path names, or of the nearest thing around it that is there.
pub(super) fn line_of(text: &str, path: &str) -> usize {
    let mut reader = Reader { text, chars: text.char_indices().peekable() };
    let mut found = 0;
    for step in steps(path) {
        match reader.enter(&step) {
            Some(at) => found = at,
            None => break,
        }
    }
    line_at(text, found)
}

/// The line, from 1, of a place in a text.
fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|it| !it.is_empty()) {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().filter(|it| !it.is_empty()).map(Step::Member));
        let index = |it: &str| it.strip_suffix(']').and_then(|it| it.parse().ok());
        steps.extend(pieces.filter_map(index).map(Step::Index));
    }
    steps
}

/// Goes through a text that parses as JSON.
struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    /// From the start of a value to the start of one that it holds; answers where that one, or its name, stands.
    fn enter(&mut self, step: &Step<'_>) -> Option<usize> {
        self.blank();
        let (_, open) = self.chars.next()?;
        for index in 0.. {
            self.blank();
            let (at, next) = *self.chars.peek()?;
            if next == '}' || next == ']' {
                return None;
            }
            let is_it = match (open, step) {
                ('{', Step::Member(name)) => {
                    let key = self.string()?;
                    self.blank();
                    self.chars.next_if(|(_, it)| *it == ':')?;
                    key.eq_ignore_ascii_case(name)
                }
                ('[', Step::Index(wanted)) => index == *wanted,
                _ => return None,
            };
            if is_it {
                return Some(at);
            }
            self.value(0)?;
            self.blank();
            self.chars.next_if(|(_, it)| *it == ',');
        }
        None
    }

    fn blank(&mut self) {
        while self.chars.next_if(|(_, it)| it.is_whitespace()).is_some() {}
    }

    /// Past a string; what stands between its quotes.
    fn string(&mut self) -> Option<String> {
        let (from, _) = self.chars.next_if(|(_, it)| *it == '"')?;
        let mut is_escaped = false;
        for (at, it) in self.chars.by_ref() {
            match it {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                '"' => return self.text.get(from + 1..at).map(str::to_owned),
                _ => {}
            }
        }
        None
    }

    /// Past a value.
    fn value(&mut self, depth: usize) -> Option<()> {
        self.blank();
        match self.chars.peek()?.1 {
            _ if depth > DEPTH_MAX => None,
            '"' => self.string().map(drop),
            '{' | '[' => {
                self.chars.next();
                loop {
                    self.blank();
                    match self.chars.peek()?.1 {
                        '}' | ']' => {
                            self.chars.next();
                            return Some(());
                        }
                        ',' | ':' => drop(self.chars.next()),
                        _ => self.value(depth + 1)?,
                    }
                }
            }
            _ => {
                while self
                    .chars
                    .next_if(|(_, it)| !",]}".contains(*it) && !it.is_whitespace())
                    .is_some()
                {}
                Some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "displayName": "a } \" ] name",
  "parameters": {},
  "policyRule": [
    { "if": { "field": "type", "equals": "x" }, "then": { "effect": "allow" } },
    {
      "if": {
        "allOf": [
          { "field": "type", "equals": -1.5e3 },
          { "FIELD": "nonsense",
            "like": "*" }
        ]
      },
      "then": { "effect": "deny" }
    }
  ]
}"#;

    #[test]
    fn a_path_leads_to_its_line() {
        for (path, line) in [
            ("", 1),
            ("displayName", 2),
            ("parameters", 3),
            ("policyRule", 4),
            ("policyRule[0].then.effect", 5),
            ("policyRule[1]", 6),
            ("policyRule[1].if.allOf[0].equals", 9),
            ("policyRule[1].if.allOf[1].field", 10),
            ("policyRule[1].if.allOf[1].like", 11),
            ("policyRule[1].then", 14),
        ] {
            assert_eq!(line_of(TEXT, path), line, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_by_what_is_around_it() {
        assert_eq!(line_of(TEXT, "policyRule[1].if.allOf[7]"), 8);
        assert_eq!(line_of(TEXT, "policyRule[1].else"), 6);
        assert_eq!(line_of(TEXT, "mode"), 1);
        assert_eq!(line_of(TEXT, "displayName.more"), 2);
    }

    #[test]
    fn no_text_is_too_broken_to_be_looked_through() {
        for end in 0..TEXT.len() {
            let cut = TEXT.get(..end).unwrap_or("");
            assert!(line_of(cut, "policyRule[1].if.allOf[1].like") >= 1);
        }
        let deep = "[".repeat(100_000);
        assert_eq!(line_of(&deep, "[1]"), 1);
    }
}
