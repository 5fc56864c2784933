use super::*;
use crate::policy::evaluate::Context;
use crate::policy::parameters::{Arguments, Declared, Values};
use ::expression::{ARGUMENTS_MAX, EXPRESSION_DEPTH_MAX, TEXT_CHARS_MAX, VALUE_DEPTH_MAX};
use serde_json::json;

/// The value of an expression in which parameters `list`, `object` and `text` stand.
fn value(text: &str) -> Result<Value, String> {
    let told = json!({
        "list": { "type": "Array", "defaultValue": ["a", "b", "c"] },
        "object": { "type": "Object", "defaultValue": { "One": 1, "two": { "deep": [10, 20] } } },
        "text": { "type": "String", "defaultValue": "one two three" },
        "big": { "type": "Array", "defaultValue": vec![0; 20_000] },
    });
    let declared = Declared::parse(Some(&told)).unwrap();
    let mut scope = Scope::new(&declared);
    let template = Template::parse(&json!(text), &mut scope).map_err(|it| it.because)?;
    let given = Values::default();
    let arguments = Arguments { declared: &declared, given: &given };
    let context = Context::new(None, arguments);
    let found = template.evaluate(Env { context: &context, frame: None });
    found.map(Cow::into_owned).map_err(|it| it.0)
}

#[track_caller]
fn is(text: &str, expected: Value) {
    assert_eq!(value(&format!("[{text}]")), Ok(expected), "{text}");
}

#[track_caller]
fn fails(text: &str) {
    assert!(value(&format!("[{text}]")).is_err(), "{text} is {:?}", value(&format!("[{text}]")));
}

#[test]
fn brackets_make_an_expression_and_two_of_them_do_not() {
    assert_eq!(value("plain"), Ok(json!("plain")));
    assert_eq!(value("[[plain]"), Ok(json!("[plain]")));
    assert_eq!(value("[[plain"), Ok(json!("[plain")));
    assert_eq!(value("['a]b']"), Ok(json!("a]b")));
    assert_eq!(value("[ concat( 'a' , 'it''s' ) ]"), Ok(json!("ait's")));
    assert_eq!(value("[-5]"), Ok(json!(-5)));
    for bad in [
        "[",
        "[]",
        "[plain",
        "[a]",
        "['a]",
        "[concat('a']",
        "[concat('a',)]",
        "[concat(,'a')]",
        "['a' 'b']",
        "[1.5]",
        "[1-2]",
        "[99999999999999999999]",
        "[true]",
        "[null]",
        "[concat]",
        "[a.b()]",
        "[concat('a').]",
        "[concat('a')[]",
        "[concat('a')[0]",
        "[\"a\"]",
        "[concat('a'))]",
        "[parameters('nobody')]",
        "[parameters(concat('te', 'xt'))]",
        "[parameters()]",
        "[current()]",
        "[if(true(), 1)]",
        "[not(true(), false())]",
        "[\u{0}]",
        "[é()]",
    ] {
        assert!(value(bad).is_err(), "{bad}");
    }
}

#[test]
fn members_are_reached_by_name_and_by_place() {
    is("parameters('object').one", json!(1));
    is("parameters('OBJECT').two.deep[1]", json!(20));
    is("parameters('object')['two']['deep'][add(0, 1)]", json!(20));
    is("createArray('x', 'y')[1]", json!("y"));
    fails("parameters('object').three");
    fails("parameters('object').one.two");
    fails("parameters('list')[3]");
    fails("parameters('list')[-1]");
    fails("parameters('list').length");
    fails("null().a");
}

#[test]
fn only_the_branch_that_is_chosen_is_evaluated() {
    is("if(true(), 1, int('x'))", json!(1));
    is("if(false(), int('x'), 2)", json!(2));
    fails("if(true(), int('x'), 2)");
    fails("if('true', 1, 2)");
    // The others evaluate all that they are given.
    fails("and(false(), bool('x'))");
    fails("or(true(), bool('x'))");
    fails("coalesce('a', int('x'))");
}

#[test]
fn functions_of_numbers_and_order_do_as_documented() {
    is("add(2, 3)", json!(5));
    is("sub(2, 3)", json!(-1));
    is("mul(2, 3)", json!(6));
    is("div(8, 3)", json!(2));
    is("mod(8, 3)", json!(2));
    is("max(1, 5, 3)", json!(5));
    is("min(createArray(4, 2))", json!(2));
    is("int('42')", json!(42));
    is("float('1.5')", json!(1.5));
    is("bool('TRUE')", json!(true));
    is("bool(0)", json!(false));
    is("and(true(), true(), false())", json!(false));
    is("or(false(), true())", json!(true));
    is("not(false())", json!(true));
    is("less(1, 2)", json!(true));
    is("lessOrEquals(2, 2)", json!(true));
    is("greater('b', 'a')", json!(true));
    is("greaterOrEquals(1, 2)", json!(false));
    is("equals('a', 'A')", json!(false));
    is("equals(createArray(1), createArray(1))", json!(true));
    for bad in [
        "add('1', 2)",
        "add(9223372036854775807, 1)",
        "mul(9223372036854775807, 2)",
        "div(1, 0)",
        "mod(1, 0)",
        "div(-9223372036854775808, -1)",
        "sub(-9223372036854775808, 1)",
        "int('x')",
        "int('1.5')",
        "float('x')",
        "float('1e999')",
        "bool('yes')",
        "and(1, true())",
        "not('x')",
        "less(1, 'a')",
        "greater(true(), false())",
        "max('a')",
        "min(createArray())",
        "max(1, 'a')",
    ] {
        fails(bad);
    }
}

#[test]
fn functions_of_texts_do_as_documented() {
    is("concat('a', 1, true())", json!("a1true"));
    is("toUpper(concat('a', 'b'))", json!("AB"));
    is("toLower('AB')", json!("ab"));
    is("trim('  a ')", json!("a"));
    is("startsWith('Device-1', 'DEV')", json!(true));
    is("endsWith('Device-1', 'X')", json!(false));
    is("indexOf('äbc', 'B')", json!(1));
    is("indexOf('abc', 'x')", json!(-1));
    is("lastIndexOf('abcabc', 'BC')", json!(4));
    is("substring('abcdef', 2)", json!("cdef"));
    is("substring('äbcdef', 0, 3)", json!("äbc"));
    is("substring('abc', 3)", json!(""));
    is("replace('a-b-c', '-', '+')", json!("a+b+c"));
    is("padLeft('7', 3, '0')", json!("007"));
    is("padLeft(1234, 3)", json!("1234"));
    is("split('a,b;c', createArray(',', ';'))", json!(["a", "b", "c"]));
    is("split('a,,b', ',')", json!(["a", "", "b"]));
    is("split('ab', '')", json!(["ab"]));
    is("join(parameters('list'), '-')", json!("a-b-c"));
    is("format('{0} of {1}{{}}', 1, 'x')", json!("1 of x{}"));
    is("string(createArray(1, 'a'))", json!("[1,\"a\"]"));
    is("string('a')", json!("a"));
    is("length(parameters('text'))", json!(13));
    is("base64('hello')", json!("aGVsbG8="));
    is("base64ToString('aGVsbG8=')", json!("hello"));
    is("base64ToJson(base64('{\"a\":1}')).a", json!(1));
    is("json('[1, 2]')", json!([1, 2]));
    is("uriComponent('a b/ä')", json!("a%20b%2F%C3%A4"));
    is("uriComponentToString('a%20b%2F%C3%A4%')", json!("a b/ä%"));
    is("uri('http://x.org/a/', '/b.sh')", json!("http://x.org/a/b.sh"));
    is("uri('http://x.org/a', 'b')", json!("http://x.org/b"));
    is("uri('http://x.org', 'b')", json!("http://x.org/b"));
    for bad in [
        "toLower(1)",
        "concat(null())",
        "concat('a', createArray())",
        "substring('abc', 4)",
        "substring('abc', 0, 4)",
        "substring('abc', -1)",
        "substring('abc', 0, -1)",
        "replace('a', '', 'b')",
        "padLeft('a', 131073)",
        "padLeft('a', 2, 'xy')",
        "padLeft('a', 2, '')",
        "split('a', 1)",
        "join('a', 'b')",
        "format('{1}', 'a')",
        "format('{', 'a')",
        "format('{x}', 'a')",
        "format(concat('{0', ':N}'), 1)",
        "base64ToString('*')",
        "json('{')",
        "base64ToString('/w==')",
        "uriComponentToString('%FF')",
        "startsWith(1, 'a')",
    ] {
        fails(bad);
    }
}

#[test]
fn functions_of_lists_and_objects_do_as_documented() {
    is("first(parameters('list'))", json!("a"));
    is("last(parameters('list'))", json!("c"));
    is("first('')", json!(""));
    is("last(createArray())", Value::Null);
    is("length(parameters('object'))", json!(2));
    is("empty(createArray())", json!(true));
    is("empty(null())", json!(true));
    is("empty('a')", json!(false));
    is("array('a')", json!(["a"]));
    is("array(parameters('list'))", json!(["a", "b", "c"]));
    is("concat(parameters('list'), createArray('d'))", json!(["a", "b", "c", "d"]));
    is("contains(parameters('list'), 'b')", json!(true));
    is("contains(parameters('list'), 'B')", json!(false));
    is("contains(parameters('object'), 'ONE')", json!(true));
    is("contains('abc', 'B')", json!(false));
    is("coalesce(null(), 'b')", json!("b"));
    is("coalesce(null())", Value::Null);
    is("createObject('a', 1, 'b', createArray())", json!({ "a": 1, "b": [] }));
    is("items(createObject('b', 1, 'A', 2))[0].key", json!("A"));
    is("range(3, 4)", json!([3, 4, 5, 6]));
    is("range(1, 0)", json!([]));
    is("skip(parameters('list'), 1)", json!(["b", "c"]));
    is("skip('abc', 9)", json!(""));
    is("take(parameters('list'), 2)", json!(["a", "b"]));
    is("take('äbc', 1)", json!("ä"));
    is("take('abc', -1)", json!(""));
    is("tryGet(parameters('object'), 'two', 'deep', 0)", json!(10));
    is("tryGet(parameters('object'), 'nobody')", Value::Null);
    is("tryGet(parameters('list'), 7)", Value::Null);
    is("union(createArray(1, 2), createArray(2, 3))", json!([1, 2, 3]));
    is("intersection(createArray(1, 2, 2, 3), createArray(2, 3), createArray(2))", json!([2]));
    is("union(createObject('a', 1), createObject('a', 2, 'b', 3))", json!({ "a": 2, "b": 3 }));
    is(
        "intersection(createObject('a', 1, 'b', 2), createObject('a', 1, 'b', 3))",
        json!({ "a": 1 }),
    );
    for bad in [
        "first(1)",
        "last(null())",
        "length(1)",
        "length(null())",
        "empty(1)",
        "contains(1, 1)",
        "contains('a', null())",
        "createObject('a')",
        "createObject(1, 1)",
        "items('a')",
        "range(0, 10001)",
        "range(0, -1)",
        "range(9223372036854775807, 1)",
        "skip(1, 1)",
        "take('a', 'b')",
        "tryGet(parameters('list'), true())",
        "union(createArray(), 'a')",
        "intersection('a', 'a')",
        "union(createObject(), createArray())",
    ] {
        fails(bad);
    }
}

#[test]
fn ranges_of_addresses_lie_in_one_another() {
    is("ipRangeContains('10.0.0.0/8', '10.1.2.3')", json!(true));
    is("ipRangeContains('10.0.0.0/8', '11.0.0.0')", json!(false));
    is("ipRangeContains('10.0.0.0/8', '10.255.0.0/16')", json!(true));
    is("ipRangeContains('10.0.0.0/16', '10.0.0.0/8')", json!(false));
    is("ipRangeContains('10.0.0.1-10.0.0.9', '10.0.0.9')", json!(true));
    is("ipRangeContains('10.0.0.1-10.0.0.9', '10.0.0.5-10.0.0.10')", json!(false));
    is("ipRangeContains('0.0.0.0/0', '1.2.3.4')", json!(true));
    is("ipRangeContains('fd00::/8', 'fd12::1')", json!(true));
    is("ipRangeContains('::/0', 'fd00::/8')", json!(true));
    is("ipRangeContains('10.0.0.7/32', '10.0.0.7')", json!(true));
    for bad in [
        "'10.0.0.0/33', '10.0.0.1'",
        "'10.0.0.0/', '10.0.0.1'",
        "'10.0.0', '10.0.0.1'",
        "'10.0.0.0/+8', '10.0.0.1'",
        "'10.0.0.9-10.0.0.1', '10.0.0.5'",
        "'10.0.0.1-::1', '10.0.0.1'",
        "'fd00::/8', '10.0.0.1'",
        "'10.0.0.0/8', 'x'",
        "'', ''",
    ] {
        fails(&format!("ipRangeContains({bad})"));
    }
}

#[test]
fn days_are_added_to_a_time() {
    is("addDays('2026-11-22T08:00:00Z', 10)", json!("2026-12-02T08:00:00.0000000Z"));
    is("addDays('2026-03-01', -1)", json!("2026-02-28T00:00:00.0000000Z"));
    fails("addDays('soon', 1)");
    fails("addDays('2026-11-22', 9223372036854775807)");
    fails("addDays('1970-01-01', -1)");
    fails("utcNow()");
}

#[test]
fn one_past_each_limit_of_the_text_is_refused() {
    let long = |chars: usize| format!("['{}']", "ä".repeat(chars - 4));
    assert!(value(&long(EXPRESSION_CHARS_MAX)).is_ok());
    assert!(value(&long(EXPRESSION_CHARS_MAX + 1)).is_err());
    let deep =
        |levels: usize| format!("[{}1{}]", "array(".repeat(levels - 1), ")".repeat(levels - 1));
    assert!(value(&deep(EXPRESSION_DEPTH_MAX)).is_ok());
    assert!(value(&deep(EXPRESSION_DEPTH_MAX + 1)).is_err());
    let wide = |count: usize| format!("[createArray({})]", vec!["1"; count].join(","));
    assert!(value(&wide(ARGUMENTS_MAX)).is_ok());
    assert!(value(&wide(ARGUMENTS_MAX + 1)).is_err());
    // Brackets nest, too; members one behind the other do not.
    assert!(value(&format!("[{}", "array(1)[".repeat(200))).is_err());
    assert!(value(&format!("[parameters('object'){}]", ".one".repeat(10_000))).is_err());
}

#[test]
fn one_past_each_limit_of_a_value_is_an_error() {
    is("length(padLeft('a', 131072))", json!(TEXT_CHARS_MAX));
    fails("concat(padLeft('a', 131072), 'b')");
    fails("replace(padLeft('a', 100000), ' ', 'xx')");
    fails("join(createArray(padLeft('a', 131072), ''), 'b')");
    fails("uriComponent(padLeft('a', 100000))");
    fails("format('{0}{0}', padLeft('a', 100000))");
    fails("base64(padLeft('a', 131072))");
    fails("concat(parameters('big'), parameters('big'))");
    fails("createArray(parameters('big'), parameters('big'))");
    fails("split(padLeft('a', 40000), ' ')");
    let nested = |depth: usize| format!("json('{}{}')", "[".repeat(depth), "]".repeat(depth));
    assert!(value(&format!("[length({})]", nested(VALUE_DEPTH_MAX - 1))).is_ok());
    fails(&nested(VALUE_DEPTH_MAX + 1));
}

#[test]
fn what_grows_with_every_step_ends_at_the_limit_of_steps() {
    let twice = |inner: &str| format!("union({inner}, {inner})");
    let mut text = String::from("range(0, 10000)");
    for _ in 0..7 {
        text = twice(&text);
    }
    let error = value(&format!("[{text}]")).unwrap_err();
    assert!(error.contains("steps"), "{error}");
}

#[test]
fn a_search_is_linear_in_what_it_searches() {
    // Ten seconds and more where each place is tried with the whole pattern.
    let text = format!("padLeft('b', {TEXT_CHARS_MAX}, 'a')");
    for call in ["indexOf", "lastIndexOf", "contains", "startsWith"] {
        let half = format!("padLeft('c', {}, 'a')", TEXT_CHARS_MAX / 2);
        value(&format!("[{call}({text}, {half})]")).unwrap();
    }
    value(&format!("[length(split({text}, createArray('b', padLeft('c', 60000, 'a'))))]")).unwrap();
    value(&format!("[length(replace({text}, padLeft('c', 60000, 'a'), 'x'))]")).unwrap();
}
