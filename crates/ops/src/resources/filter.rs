//! `$filter`: the few forms of OData comparison that ARM clients send.
//!
//! Comparisons joined by `and`: `name eq 'x'`, `eventTimestamp ge 2026-11-22T08:00:00`, and
//! `startswith(tagname, 'x')`. What is not understood is refused, never ignored: a caller who filters must
//! not get more than it asked for and take it for the answer.

use model::Error;

/// Longest filter in bytes.
const FILTER_BYTES_MAX: usize = 4_096;
/// Most comparisons in a filter.
const COMPARISONS_MAX: usize = 16;

/// How a field compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operator {
    Eq,
    Ge,
    Le,
    StartsWith,
}

/// One comparison: `name eq 'x'`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Comparison {
    /// In the caller's casing; compares without regard to it.
    pub(crate) field: String,
    pub(crate) operator: Operator,
    /// Without its quotes.
    pub(crate) value: String,
}

impl Comparison {
    pub(crate) fn is(&self, field: &str, operator: Operator) -> bool {
        self.field.eq_ignore_ascii_case(field) && self.operator == operator
    }
}

/// Reads a filter. An empty one compares nothing.
///
/// # Errors
/// Says what cannot be read.
pub(crate) fn parse(text: &str) -> Result<Vec<Comparison>, Error> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(refuse(format!("it is longer than {FILTER_BYTES_MAX} bytes")));
    }
    let mut comparisons = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if comparisons.len() == COMPARISONS_MAX {
            return Err(refuse(format!("it has more than {COMPARISONS_MAX} comparisons")));
        }
        let (comparison, behind) = match strip_word(rest, "startswith(") {
            Some(inner) => starts_with(inner)?,
            None => compare(rest)?,
        };
        comparisons.push(comparison);
        rest = behind.trim_start();
        if rest.is_empty() {
            break;
        }
        rest = strip_word(rest, "and ")
            .map(str::trim_start)
            .filter(|it| !it.is_empty())
            .ok_or_else(|| refuse("comparisons are joined by `and`".into()))?;
    }
    Ok(comparisons)
}

/// `field op value`, and what stands behind it.
fn compare(text: &str) -> Result<(Comparison, &str), Error> {
    let (field, rest) =
        text.split_once(' ').ok_or_else(|| refuse("a comparison is `field eq value`".into()))?;
    check_field(field)?;
    let (word, rest) = rest
        .trim_start()
        .split_once(' ')
        .ok_or_else(|| refuse(format!("`{}` is compared with nothing", field.escape_debug())))?;
    let operator = match word.to_ascii_lowercase().as_str() {
        "eq" => Operator::Eq,
        "ge" => Operator::Ge,
        "le" => Operator::Le,
        other => {
            return Err(refuse(format!(
                "the operator `{}` is not one of eq, ge, le",
                other.escape_debug()
            )));
        }
    };
    let (value, rest) = match rest.trim_start().strip_prefix('\'') {
        Some(quoted) => unquote(quoted)?,
        None => bare(rest.trim_start()),
    };
    Ok((Comparison { field: field.to_owned(), operator, value }, rest))
}

/// `field, 'text')`, and what stands behind it.
fn starts_with(inner: &str) -> Result<(Comparison, &str), Error> {
    let form = || refuse("the form is `startswith(field, 'text')`".into());
    let (field, rest) = inner.split_once(',').ok_or_else(form)?;
    let field = field.trim();
    check_field(field)?;
    let (value, rest) = unquote(rest.trim_start().strip_prefix('\'').ok_or_else(form)?)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(form)?;
    Ok((Comparison { field: field.to_owned(), operator: Operator::StartsWith, value }, rest))
}

fn check_field(field: &str) -> Result<(), Error> {
    match field.bytes().all(|it| it.is_ascii_alphanumeric() || b"/_.".contains(&it))
        && !field.is_empty()
    {
        true => Ok(()),
        false => Err(refuse(format!("`{}` is not a field", field.escape_debug()))),
    }
}

/// The text up to the closing quote, in which two quotes stand for one, and what stands behind it.
fn unquote(text: &str) -> Result<(String, &str), Error> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, behind) =
            rest.split_once('\'').ok_or_else(|| refuse("a quote is not closed".into()))?;
        value.push_str(before);
        match behind.strip_prefix('\'') {
            Some(further) => {
                value.push('\'');
                rest = further;
            }
            None => return Ok((value, behind)),
        }
    }
}

/// An unquoted value: everything up to the next ` and `. It may hold a space where a client sent the `+`
/// of a time zone unencoded.
fn bare(text: &str) -> (String, &str) {
    let end = text.to_ascii_lowercase().find(" and ").unwrap_or(text.len());
    let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (value.trim_end().to_owned(), rest)
}

/// `text` behind `word`, which compares without regard to case.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn refuse(because: String) -> Error {
    Error::Invalid {
        code: "InvalidFilterInQueryString",
        at: Some("$filter".into()),
        message: format!("the filter cannot be read: {because}"),
    }
}

/// The refusal of a comparison that is read but not offered here.
pub(crate) fn not_offered(comparison: &Comparison, offered: &str) -> Error {
    refuse(format!(
        "`{}` cannot be filtered by in this way; offered are {offered}",
        comparison.field.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Operator, &str)]) {
        let read = parse(text).unwrap_or_else(|it| panic!("{text}: {it}"));
        let read: Vec<(&str, Operator, &str)> =
            read.iter().map(|it| (it.field.as_str(), it.operator, it.value.as_str())).collect();
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn what_clients_send_is_read() {
        check("", &[]);
        check(
            "eventTimestamp ge 2026-11-22T02:00:00.123456 and eventTimestamp le 2026-11-22T08:00:00 00:00",
            &[
                ("eventTimestamp", Operator::Ge, "2026-11-22T02:00:00.123456"),
                ("eventTimestamp", Operator::Le, "2026-11-22T08:00:00 00:00"),
            ],
        );
        check(
            "eventTimestamp ge '2026-11-22' and resourceGroupName eq 'sand and water'",
            &[
                ("eventTimestamp", Operator::Ge, "2026-11-22"),
                ("resourceGroupName", Operator::Eq, "sand and water"),
            ],
        );
        check("name eq 'it''s'", &[("name", Operator::Eq, "it's")]);
        check("name EQ ''", &[("name", Operator::Eq, "")]);
        check(
            "startswith(tagname, 'env') AND location eq 'westus'",
            &[("tagname", Operator::StartsWith, "env"), ("location", Operator::Eq, "westus")],
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "name",
            "name eq",
            "name ne 'x'",
            "name eq 'x",
            "name eq 'x' or name eq 'y'",
            "name eq 'x' and",
            "name eq 'x' and ",
            "na'me eq 'x'",
            "startswith(name)",
            "startswith(name,'x'",
            "(name eq 'x')",
            &format!("name eq '{}'", "x".repeat(FILTER_BYTES_MAX)),
            &vec!["a eq 'b'"; COMPARISONS_MAX + 1].join(" and "),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(
            parse(&vec!["a eq 'b'"; COMPARISONS_MAX].join(" and ")).unwrap().len(),
            COMPARISONS_MAX
        );
    }
}
