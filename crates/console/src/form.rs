//! Queries and forms, read.

use std::str;

/// Most fields of a form or query.
const FIELDS_MAX: usize = 200;

/// Names with values, in their order.
#[derive(Clone, Default, Debug)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = str::from_utf8(bytes).unwrap_or("");
        let pairs = text.split('&').filter(|it| !it.is_empty()).take(FIELDS_MAX);
        Self(pairs.map(pair).collect())
    }

    /// The first value of a name, without spaces around it; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(it, _)| it == name).map_or("", |(_, it)| it.trim())
    }

    /// The same as it was sent: a password may begin with a space.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(it, _)| it == name).map_or("", |(_, it)| it)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decoded(name), decoded(value))
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_with_its_spaces_and_signs() {
        let form = Form::read(b"a=1+2%2B3&b=&c&a=later&d=+x+");
        assert_eq!(form.get("a"), "1 2+3");
        assert_eq!(form.get("d"), "x");
        assert_eq!(form.raw("d"), " x ");
        assert!(form.has("b") && form.has("c") && !form.has("e"));
        assert_eq!((form.get("b"), form.get("e")), ("", ""));
    }

    #[test]
    fn a_form_holds_a_most_of_fields_and_no_broken_text() {
        let long = "a=1&".repeat(FIELDS_MAX) + "last=1";
        assert!(!Form::read(long.as_bytes()).has("last"));
        assert!(!Form::read(b"a=\xff").has("a"));
    }
}
