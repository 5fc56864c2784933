//! The language and what it says of calls.

use super::*;
use serde_json::json;

fn parse(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> NotACondition {
    Condition::parse(text).map(|_| ()).expect_err(text)
}

/// What a condition says of a call that assigns the reader's role to a pump; `None` where it has no answer.
fn asked(text: &str) -> Option<bool> {
    let object = |it: Value| it.as_object().unwrap().clone();
    let request = object(json!({
        "Microsoft.Authorization/roleAssignments:RoleDefinitionId": "B447C946-2DB7-41EC-983D-D8BF3B1C77E3",
        "Microsoft.Authorization/roleAssignments:PrincipalType": "ServicePrincipal",
        "colours": ["red", "blue"], "colour": "red", "none": [], "null": null,
        "size": 10, "sizes": [10, 20], "half": 1.5, "huge": u64::MAX, "mixed": ["red", 1],
        "when": "2026-11-22T09:00:00+01:00", "on": true, "long": "a".repeat(8_000),
    }));
    let resource = object(json!({ "colour": "Red", "path": "plant/line-1" }));
    let subject = Subject {
        action: "Microsoft.Authorization/roleAssignments/write",
        attributes: Attributes {
            request: Some(&request),
            resource: Some(&resource),
            ..Attributes::default()
        },
        now: Timestamp::parse("2026-11-22T08:00:00Z"),
    };
    let condition = parse(text);
    let quick = condition.holds(&subject, None);
    let mut noted = Vec::new();
    // INVARIANT: noting what is looked at changes no answer.
    let full = condition.holds(&subject, Some(("condition", &mut noted)));
    assert_eq!(quick.is_ok(), full.is_ok(), "{text}");
    assert_eq!(quick.ok(), full.ok(), "{text}");
    assert!(!noted.is_empty(), "{text}");
    quick.ok()
}

fn check(text: &str, expected: bool) {
    assert_eq!(asked(text), Some(expected), "{text}");
}

fn has_no_answer(text: &str) {
    assert_eq!(asked(text), None, "{text}");
}

#[test]
fn actions_match_as_in_roles() {
    check("ActionMatches{'Microsoft.Authorization/roleAssignments/*'}", true);
    check("ActionMatches {'microsoft.authorization/ROLEASSIGNMENTS/write'}", true);
    check("ActionMatches{'Microsoft.Authorization/roleAssignments'}", false);
    check("!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})", true);
    check("SubOperationMatches{'Blob.List'}", false);
}

#[test]
fn texts_compare_with_and_without_case() {
    check("@Request[colour] StringEquals 'red'", true);
    check("@Request[COLOUR] StringEquals 'red'", true);
    check("@Request[colour] StringEquals 'Red'", false);
    check("@Request[colour] StringEquals 'red '", false);
    check("@Request[colour] StringEqualsIgnoreCase 'RED'", true);
    check("@Request[colour] StringNotEqualsIgnoreCase 'RED'", false);
    check("@Request[colour] StringNotEquals 'Red'", true);
    check("@Resource[colour] StringEquals @Request[colour]", false);
    check("@Resource[colour] StringEqualsIgnoreCase @Request[colour]", true);
    check("'red' StringEquals @Request[colour]", true);
    check("@Resource[path] StringStartsWith 'plant/'", true);
    check("@Resource[path] StringStartsWith 'Plant/'", false);
    check("@Resource[path] StringStartsWithIgnoreCase 'PLANT/'", true);
    check("@Resource[path] StringNotStartsWith 'plant10/'", true);
    check("@Resource[path] StringNotStartsWithIgnoreCase 'PLANT/'", false);
    check("@Resource[path] StringLike 'plant/*-?'", true);
    check("@Resource[path] StringLike 'PLANT/*'", false);
    check("@Resource[path] StringLikeIgnoreCase 'PLANT/*'", true);
    check("@Resource[path] StringNotLike 'plant10/*'", true);
    check("@Resource[path] StringNotLikeIgnoreCase 'PLANT/*'", false);
    check(r"'it\'s' StringEquals 'it\'s'", true);
    check(r"'a*' StringLike 'a\*'", true);
    check(r"'ab' StringLike 'a\*'", false);
}

#[test]
fn numbers_times_booleans_and_guids_compare_as_what_they_are() {
    check("@Request[size] NumericEquals 10", true);
    check("@Request[size] NumericNotEquals 10", false);
    check("@Request[size] NumericLessThan 10", false);
    check("@Request[size] NumericLessThanEquals 10", true);
    check("@Request[size] NumericGreaterThan 9", true);
    check("@Request[size] NumericGreaterThanEquals 11", false);
    check("-1 NumericLessThan @Request[size]", true);
    check("@Request[when] DateTimeEquals '2026-11-22T08:00:00Z'", true);
    check("@Environment[UtcNow] DateTimeEquals @Request[when]", true);
    check("@Environment[UtcNow] DateTimeNotEquals '2026-11-22T08:00:01Z'", true);
    check("@Environment[utcnow] DateTimeGreaterThan '2026-11-22T07:59:59Z'", true);
    check("@Environment[UtcNow] DateTimeGreaterThanEquals '2026-11-22T08:00:00Z'", true);
    check("@Environment[UtcNow] DateTimeLessThan '2026-11-22T08:00:00Z'", false);
    check("@Environment[UtcNow] DateTimeLessThanEquals '2026-11-22'", false);
    check("@Environment[isPrivateLink] BoolEquals false", true);
    check("@Request[on] BoolNotEquals FALSE", true);
    let role = "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]";
    check(&format!("{role} GuidEquals b447c946-2db7-41ec-983d-d8bf3b1c77e3"), true);
    check(&format!("{role} GuidEquals 'b447c946-2db7-41ec-983d-d8bf3b1c77e3'"), true);
    check(&format!("{role} GuidNotEquals b447c946-2db7-41ec-983d-d8bf3b1c77e3"), false);
    check(&format!("{role} GuidEquals b447c946-2db7-41ec-983d-d8bf3b1c77e4"), false);
    check(&format!("{role} StringEquals 'b447c946-2db7-41ec-983d-d8bf3b1c77e3'"), false);
}

/// What is missing compares as false, also where the operator negates; the negation of that is true.
#[test]
fn what_is_missing_fulfils_no_comparison() {
    for name in ["missing", "colour2", "null", "none"] {
        check(&format!("@Request[{name}] StringEquals 'x'"), false);
        check(&format!("@Request[{name}] StringNotEquals 'x'"), false);
        check(&format!("'x' StringNotEquals @Request[{name}]"), false);
        check(&format!("@Request[{name}] ForAllOfAllValues:StringNotEquals {{'x'}}"), false);
        check(&format!("NOT @Request[{name}] StringEquals 'x'"), true);
        check(&format!("Exists @Request[{name}]"), false);
        check(&format!("NOT Exists @Request[{name}]"), true);
    }
    check("Exists @Request[colour]", true);
    check("Exists @Resource[size]", false);
    check("Exists @Principal[colour]", false);
    check("Exists @Environment[UtcNow]", true);
    check("@Environment[Microsoft.Network/privateEndpoints] StringNotEquals 'x'", false);
}

#[test]
fn quantifiers_take_any_or_all_of_each_side() {
    let table = |operator: &str, rows: &[(&str, &str, [bool; 4])]| {
        let names = ["AnyOfAny", "AllOfAny", "AnyOfAll", "AllOfAll"];
        for (left, right, expected) in rows {
            for (name, expected) in names.iter().zip(expected) {
                check(&format!("{{{left}}} For{name}Values:{operator} {{{right}}}"), *expected);
            }
        }
    };
    table(
        "StringEquals",
        &[
            ("'red'", "'red'", [true; 4]),
            ("'red'", "'blue'", [false; 4]),
            ("'red','blue'", "'blue','green'", [true, false, false, false]),
            ("'red','blue'", "'red','blue'", [true, true, false, false]),
            ("'red','blue'", "'red'", [true, false, true, false]),
            ("'red'", "'red','blue'", [true, true, false, false]),
        ],
    );
    table(
        "StringNotEquals",
        &[
            ("'red','blue'", "'red','blue'", [true, true, false, false]),
            ("'red','blue'", "'green'", [true; 4]),
            ("'red','blue'", "'red'", [true, false, true, false]),
            ("'red'", "'red'", [false; 4]),
        ],
    );
    table(
        "NumericLessThan",
        &[
            ("10,20", "15,18", [true, false, true, false]),
            ("10,20", "15,25,30", [true, true, true, false]),
            ("10,12", "15,25", [true; 4]),
            ("30", "15,25", [false; 4]),
        ],
    );
    check("@Request[colours] ForAnyOfAnyValues:StringEquals {'blue', 'green'}", true);
    check("@Request[colours] ForAllOfAnyValues:StringEqualsIgnoreCase {'BLUE', 'Red'}", true);
    check("@Request[colour] ForAllOfAnyValues:StringEquals @Request[colours]", true);
    check("@Request[colour] StringEquals {'red'}", true);
}

#[test]
fn and_binds_closer_than_or_and_words_do_as_signs_do() {
    let (yes, no) = ("1 NumericEquals 1", "1 NumericEquals 2");
    check(&format!("{yes} OR {no} AND {no}"), true);
    check(&format!("({yes} OR {no}) AND {no}"), false);
    check(&format!("{no} and {no} or {yes}"), true);
    check(&format!("{no}||{yes}&&!({no})"), true);
    check(&format!("not not {yes}"), true);
    check(&format!("!{yes} or {no}"), false);
    check(&format!("(\r\n\t(({yes}))\n)"), true);
}

#[test]
fn what_cannot_be_compared_has_no_answer_and_never_grants() {
    has_no_answer("@Request[colour] NumericEquals 1");
    has_no_answer("@Request[half] NumericEquals 1");
    has_no_answer("@Request[huge] NumericGreaterThan 1");
    has_no_answer("@Request[size] StringEquals '10'");
    has_no_answer("@Request[size] BoolEquals true");
    has_no_answer("@Request[colour] DateTimeEquals '2026-11-22'");
    has_no_answer("@Request[colour] GuidNotEquals b447c946-2db7-41ec-983d-d8bf3b1c77e3");
    has_no_answer("@Request[mixed] ForAnyOfAnyValues:StringEquals {'red'}");
    // Several values need a quantifier.
    has_no_answer("@Request[colours] StringEquals 'red'");
    has_no_answer("'red' StringNotEquals @Request[colours]");
    has_no_answer("NOT @Request[colour] NumericEquals 1");
    let wrong = "@Request[colour] NumericEquals 1";
    let (yes, no) = ("@Request[size] NumericEquals 10", "@Request[size] NumericEquals 11");
    for (a, b) in [(wrong, yes), (yes, wrong)] {
        check(&format!("{a} OR {b}"), true);
        has_no_answer(&format!("{a} AND {b}"));
    }
    for (a, b) in [(wrong, no), (no, wrong)] {
        check(&format!("{a} AND {b}"), false);
        has_no_answer(&format!("{a} OR {b}"));
    }
}

#[test]
fn a_comparison_that_takes_too_long_has_no_answer() {
    check("@Request[long] StringLike '*b'", false);
    check("@Request[long] StringLike '*a'", true);
    let deep = format!("@Request[long] StringLike '*{}b'", "a".repeat(2_000));
    has_no_answer(&deep);
    has_no_answer(&deep.replace("Like", "NotLike"));
    check(
        &format!("@Request[colours] ForAnyOfAnyValues:StringLike {{'{}'}}", "*a".repeat(500)),
        false,
    );
    let many = vec!["1"; NODES_MAX / 2 - 1].join(",");
    has_no_answer(&format!(
        "{{{many}}} ForAnyOfAnyValues:NumericEquals {{{}}}",
        many.replace('1', "2")
    ));
}

#[test]
fn what_is_looked_at_is_noted_with_its_place() {
    let object = json!({ "colour": "red" });
    let subject = Subject {
        action: "a/read",
        attributes: Attributes { request: object.as_object(), ..Attributes::default() },
        now: None,
    };
    let condition = parse("!(ActionMatches{'a/write'})\n OR @Request[colour] StringEquals 'blue'");
    let mut noted = Vec::new();
    let found = condition.holds(&subject, Some(("permissions[1].condition", &mut noted)));
    assert_eq!(found, Ok(true));
    let shown: Vec<String> = noted
        .iter()
        .map(|it| {
            let actual = it.actual.as_ref().unwrap();
            format!(
                "{} | {} {} {} | {actual} {}",
                it.path, it.expression, it.operator, it.expected, it.result
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "permissions[1].condition, line 1, character 3 | action ActionMatches \"a/write\" | \"a/read\" false",
            "permissions[1].condition, line 2, character 5 | @Request[colour] StringEquals \"blue\" | \"red\" false",
        ]
    );
}

#[test]
fn of_many_comparisons_the_first_are_noted_and_all_are_made() {
    let subject = Subject { action: "a/read", attributes: Attributes::default(), now: None };
    let text = format!("{} OR 1 NumericEquals 1", vec!["1 NumericEquals 2"; 200].join(" OR "));
    let mut noted = Vec::new();
    assert_eq!(parse(&text).holds(&subject, Some(("condition", &mut noted))), Ok(true));
    assert_eq!(noted.len(), 64);
}

#[test]
fn what_is_no_condition_is_refused_with_its_place_and_reason() {
    let check = |text: &str, character: usize, words: &str| {
        let found = refused(text);
        assert_eq!(found.at, Position { line: 1, character }, "{text}: {found}");
        assert!(found.because.contains(words), "{text}: {found}");
    };
    check("", 1, "empty");
    check("  ", 1, "empty");
    check("true", 5, "an operator is expected, but here stands the end");
    check("@Request[a]", 12, "an operator");
    check("@Request[a] StringEquals", 25, "here stands the end");
    check("@Request[a] StringEquals 'b' 'c'", 30, "`AND`, `OR` or the end");
    check("@Request[a] StringEquals 'b' AND", 33, "here stands the end");
    check("@Request[a] stringequals 'b'", 13, "write `StringEquals`");
    check("@Request[a] StringContains 'b'", 13, "an operator");
    check("@Request[a] forAnyOfAnyValues:StringEquals {'b'}", 13, "before `:`");
    check("@Request[a] ForAnyOfAnyValues:StringEqual {'b'}", 13, "an operator");
    check("@Request[a] StringEquals b", 26, "a text in quotes");
    check("@Request[a] StringEquals {'b', 'c'}", 26, "`ForAnyOfAnyValues:StringEquals`");
    check("@Request[a] ForAnyOfAnyValues:StringEquals {}", 45, "here stands `}`");
    check("@Request[a] ForAnyOfAnyValues:StringEquals {'b' 'c'}", 49, "`,` or `}`");
    check("@Request[a] ForAnyOfAnyValues:StringEquals {'b', 1}", 50, "a text in quotes");
    check("@Request[a] StringEquals 1", 26, "a text in quotes");
    check("@Request[a] NumericEquals 'b'", 27, "an integer");
    check("@Request[a] NumericEquals 1.5", 27, "an integer");
    check("@Request[a] NumericEquals 9223372036854775808", 27, "an integer");
    check("@Request[a] BoolEquals 1", 24, "true or false");
    check("@Request[a] GuidEquals 'b'", 24, "a GUID");
    check("@Request[a] GuidEquals b447c946-2db7-41ec-983d-d8bf3b1c77e", 24, "a GUID");
    check("@Request[a] DateTimeEquals '22 November'", 28, "a time");
    check("@Request[a] StringEquals 'b", 26, "closing quote");
    check("@Request[a] StringEquals 'b\\'", 26, "closing quote");
    check("@Request[a] StringEquals 'b\u{7}'", 28, "control characters");
    check("'ä' StringEquals x", 18, "a text in quotes");
    check("@request[a] StringEquals 'b'", 1, "@Request");
    check("@Device[a] StringEquals 'b'", 1, "@Principal, @Resource");
    check("@Request a", 1, "`@Source[name]`");
    check("@Request[a", 1, "`]` is missing");
    check("@Request[ ]", 10, "a name has 1 to 512 bytes");
    check("@Request[a[b] StringEquals 'b'", 10, "no attribute's name");
    check("(@Request[a] StringEquals 'b'", 30, "the `)` of an earlier `(`");
    check("@Request[a] StringEquals 'b')", 29, "closes nothing");
    check("()", 2, "here stands `)`");
    check("ActionMatches('a')", 14, "`{`");
    check("ActionMatches{a}", 15, "a text in quotes");
    check("ActionMatches{''}", 15, "empty");
    check("ActionMatches{'a', 'b'}", 18, "`}`");
    check("actionmatches{'a'}", 1, "a text in quotes");
    check("Exists 'a'", 8, "an attribute is expected");
    check("@Request[a] = 'b'", 13, "`=` has no meaning here");
    check("@Request[a] StringEquals \"b\"", 26, "has no meaning here");
    check("'a' StringEquals 'b' & 'c'", 22, "`&` has no meaning");
    let found = refused("1 NumericEquals 1\n  AND\n  'ä' StringEquals ?");
    assert_eq!(found.to_string(), "line 3, character 20: `?` has no meaning here");
}

#[test]
fn one_past_each_limit_is_refused() {
    let yes = "1 NumericEquals 1";
    let nested = |open: &str, depth: usize, close: &str| {
        format!("{}{yes}{}", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [("(", ")"), ("!", ""), ("NOT ", "")] {
        parse(&nested(open, DEPTH_MAX, close));
        assert!(refused(&nested(open, DEPTH_MAX + 1, close)).because.contains("64 levels"));
    }
    refused(&"(".repeat(TEXT_BYTES_MAX));
    refused(&"!".repeat(TEXT_BYTES_MAX));

    // The comparison itself and its left side are two.
    let wide = |count: usize| {
        format!("1 ForAnyOfAnyValues:NumericEquals {{{}}}", vec!["1"; count].join(","))
    };
    parse(&wide(NODES_MAX - 2));
    assert!(refused(&wide(NODES_MAX - 1)).because.contains("1024 tests and values"));

    let long = |bytes: usize| format!("{yes}{}", " ".repeat(bytes - yes.len()));
    parse(&long(TEXT_BYTES_MAX));
    assert!(refused(&long(TEXT_BYTES_MAX + 1)).because.contains("8192 bytes"));

    let named = |bytes: usize| format!("Exists @Request[{}]", "a".repeat(bytes));
    parse(&named(512));
    refused(&named(513));
}

#[test]
fn long_texts_are_compared_many_bytes_at_a_time_and_not_for_ever() {
    let text = "a".repeat(8_000);
    let compare = |count: usize| {
        let mut all = vec![Value::from(text.as_str()); count];
        all.push("b".into());
        let request = json!({ "one": format!("{text}b"), "all": all });
        let subject = Subject {
            action: "x/write",
            attributes: Attributes { request: request.as_object(), ..Attributes::default() },
            now: None,
        };
        let condition = parse("@Request[one] ForAnyOfAnyValues:StringEquals @Request[all]");
        condition.holds(&subject, None).ok()
    };
    // Each takes 501 of the steps that there are.
    assert_eq!(compare(199), Some(false));
    assert_eq!(compare(200), None);
}
