//! What is no query, and what is past a limit.

use super::*;

fn refused(query: &str) -> String {
    Query::parse(query).map(|_| ()).expect_err(query).to_string()
}

#[test]
fn a_refusal_says_where_and_what_was_expected() {
    for (query, expected) in [
        ("", "line 1, character 1: `SELECT` is expected, but here stands the end"),
        (
            "SELECT",
            "line 1, character 7: `*`, a name, `COUNT()`, or `SUM`, `AVG`, `MIN` or `MAX` of a name is expected, but here stands the end",
        ),
        (
            "SELECT * FRO devices",
            "line 1, character 10: `,` or `FROM` is expected, but here stands `FRO`",
        ),
        (
            "SELECT * FROM device",
            "line 1, character 15: `devices`, `devices.modules` or `devices.jobs` is expected, but here stands `device`",
        ),
        (
            "SELECT * FROM devices WHERE",
            "line 1, character 28: a name, a function, a text in quotes, a number, true, false, null or a list is expected, but here stands the end",
        ),
        (
            "SELECT * FROM devices\nWHERE tags.é = ",
            "line 2, character 16: a name, a function, a text in quotes, a number, true, false, null or a list is expected, but here stands the end",
        ),
        (
            "SELECT * FROM devices WHERE a == 1",
            "line 1, character 32: a name, a function, a text in quotes, a number, true, false, null or a list is expected, but here stands `=`",
        ),
        (
            "SELECT * FROM devices WHERE a = 'x",
            "line 1, character 33: the text's closing quote is missing",
        ),
        (
            "SELECT * FROM devices WHERE a = 'x\\n'",
            "line 1, character 35: a `\\` in a text stands before `'`, `\"`, `\\` or `uXXXX`",
        ),
        (
            "SELECT * FROM devices WHERE a = '\\uD800'",
            "line 1, character 34: this is half of a character",
        ),
        (
            "SELECT * FROM devices WHERE a = 1 = 2",
            "line 1, character 35: put one of the comparisons into parentheses",
        ),
        (
            "SELECT * FROM devices WHERE (a = 1",
            "line 1, character 35: `AND`, `OR` or the `)` of an earlier `(` is expected, but here stands the end",
        ),
        ("SELECT * FROM devices WHERE a = 1)", "line 1, character 34: this `)` closes nothing"),
        (
            "SELECT * FROM devices WHERE a IN 1",
            "line 1, character 34: `[` with values is expected, but here stands `1`",
        ),
        (
            "SELECT * FROM devices WHERE a IN [b]",
            "line 1, character 35: a text in quotes, a number, true, false or null is expected, but here stands `b`",
        ),
        (
            "SELECT * FROM devices WHERE a. = 1",
            "line 1, character 31: a name is expected behind the `.`",
        ),
        ("SELECT * FROM devices WHERE [[a = 1", "line 1, character 31: a text in quotes"),
        (
            "SELECT * FROM devices WHERE a[[b = 1",
            "line 1, character 30: the `]]` of this `[[` is missing",
        ),
        ("SELECT * FROM devices WHERE tags.my-1x = 1", "line 1, character 37: this is no number"),
        (
            "SELECT * FROM devices WHERE nothing(a)",
            "line 1, character 29: there is no function `nothing`",
        ),
        (
            "SELECT * FROM devices WHERE is_defined(a, b)",
            "line 1, character 29: `is_defined` takes 1 values",
        ),
        (
            "SELECT * FROM devices WHERE is_defined(1)",
            "line 1, character 29: `is_defined` is asked about a name",
        ),
        (
            "SELECT * FROM devices WHERE a LIKE 'b'",
            "line 1, character 31: the end, `WHERE`, `GROUP BY`, `AND` or `OR` is expected, but here stands `LIKE`",
        ),
        (
            "SELECT * FROM devices ORDER BY a",
            "line 1, character 23: `ORDER BY` is not supported; answers come by device id",
        ),
        ("SELECT * FROM devices; DROP TABLE x", "line 1, character 22: `;` has no meaning here"),
        (
            "SELECT TOP 0 * FROM devices",
            "line 1, character 12: a whole number from 1 on is expected, but here stands `0`",
        ),
        (
            "SELECT a, b.a FROM devices",
            "line 1, character 11: two columns are called `a`; name one with `AS`",
        ),
        (
            "SELECT a, COUNT() FROM devices",
            "line 1, character 8: this name must stand after `GROUP BY` as well",
        ),
        (
            "SELECT * FROM devices GROUP BY a",
            "line 1, character 23: with `GROUP BY`, name the columns after `SELECT`",
        ),
        (
            "SELECT COUNT(a) FROM devices",
            "line 1, character 14: `)` is expected, but here stands `a`",
        ),
        (
            "SELECT MEDIAN(a) FROM devices",
            "line 1, character 8: what is called here is COUNT, SUM, AVG, MIN or MAX",
        ),
        (
            "SELECT jobId FROM devices.jobs",
            "line 1, character 8: of `devices.jobs` only `SELECT *` is supported",
        ),
        (
            "SELECT COUNT() FROM devices.modules",
            "line 1, character 8: `GROUP BY` and aggregates are supported of `devices` only",
        ),
        ("SELECT a AS b.c FROM devices", "line 1, character 13: `b.c` is no name but a path"),
    ] {
        let error = refused(query);
        assert!(error.starts_with(expected), "{query}: {error}");
    }
}

#[test]
fn every_limit_holds_and_one_past_it_is_refused() {
    let of = |condition: &str| format!("SELECT * FROM devices WHERE {condition}");
    let check = |most: String, past: String, because: &str| {
        assert_eq!(Query::parse(&most).map(|_| ()), Ok(()), "{because}");
        let error = refused(&past);
        assert!(error.contains(because), "{error}");
    };
    let long = |bytes: usize| {
        let head = of("a = ''");
        of(&format!("a = '{}'", "x".repeat(bytes - head.len())))
    };
    check(long(TEXT_BYTES_MAX), long(TEXT_BYTES_MAX + 1), "longer than 16384 bytes");
    let deep = |levels: usize| of(&format!("{}a{}", "(".repeat(levels), ")".repeat(levels)));
    check(deep(DEPTH_MAX), deep(DEPTH_MAX + 1), "deeper than 32 levels");
    let not = |levels: usize| of(&format!("{}a", "NOT ".repeat(levels)));
    check(not(DEPTH_MAX), not(DEPTH_MAX + 1), "deeper than 32 levels");
    let minus = |levels: usize| of(&format!("{}a = 1", "-".repeat(levels)));
    check(minus(DEPTH_MAX), minus(DEPTH_MAX + 1), "deeper than 32 levels");
    let lists = |levels: usize| of(&format!("{}{} = 1", "[ ".repeat(levels), "]".repeat(levels)));
    check(lists(DEPTH_MAX), lists(DEPTH_MAX + 1), "deeper than 32 levels");
    // One for `a`, one for the test.
    let wide = |values: usize| of(&format!("a IN [{}]", vec!["1"; values].join(",")));
    check(wide(NODES_MAX - 2), wide(NODES_MAX - 1), "more than 1024 tests and values");
    let columns = |count: usize| {
        let names: Vec<String> = (0..count).map(|it| format!("c{it}")).collect();
        format!("SELECT {} FROM devices", names.join(", "))
    };
    check(columns(COLUMNS_MAX), columns(COLUMNS_MAX + 1), "more than 64 columns");
    let steps = |count: usize| of(&vec!["a"; count].join("."));
    check(steps(PATH_STEPS_MAX), steps(PATH_STEPS_MAX + 1), "at most 32 steps");
    let made = |bytes: usize| {
        let half = "x".repeat(bytes / 2);
        let text = format!("is_defined(deviceId) AND length(concat('{half}', '{half}')) = {bytes}");
        Condition::parse(&text).unwrap().truth(&twin())
    };
    assert_eq!(made(8_000), Some(true));
}

#[test]
fn a_made_text_has_a_limit() {
    let half = "x".repeat(MADE_BYTES_MAX / 2);
    let document = json!({ "tags": { "half": half, "more": format!("{half}y") } });
    let of = |text: &str| Condition::parse(text).unwrap().truth(&document);
    assert_eq!(of("length(concat(tags.half, tags.half)) = 65536"), Some(true));
    assert_eq!(of("length(concat(tags.half, tags.more)) > 0"), None);
}
