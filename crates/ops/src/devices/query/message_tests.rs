//! Conditions of routes: what each name, function and comparison says of a message.

use super::*;
use crate::devices::message::routed::Source;
use crate::devices::message::{AuthMethod, Sender};
use bytes::Bytes;

const BODY: &str = r#"{ "Weather": { "Temperature": 50, "Time": "2026-11-22T00:00:00Z", "Hist": [{ "Month": "Feb" }, 7] },
    "on": true, "none": null, "text": "7", "a b": 1 }"#;

fn message(content_type: &str, encoding: &str, body: &[u8]) -> Message {
    let mut draft = Sender::new("pump-1", "", "638", AuthMethod::DeviceKey).message(body.len());
    for (name, value) in [
        ("Severity", Some("2")),
        ("processingPath", Some("hot")),
        ("level-1", Some("x")),
        ("site.plant", Some("north")),
        ("empty", Some("")),
        ("bare", None),
        ("$messageId", Some("mine")),
        ("$own", Some("its own")),
    ] {
        draft.application(name, value).unwrap();
    }
    draft.system(SystemProperty::ContentType, content_type).unwrap();
    draft.system(SystemProperty::ContentEncoding, encoding).unwrap();
    draft.system(SystemProperty::MessageId, "m-1").unwrap();
    draft.system(SystemProperty::Subject, "valve").unwrap();
    Message::parse(&draft.finish(body).unwrap()).unwrap()
}

fn asked_of(condition: &str, message: &Message) -> Option<bool> {
    let twin = json!({
        "deviceId": "pump-1",
        "tags": { "site": "north", "Site": "south" },
        "properties": { "desired": { "n": 3 }, "reported": { "x": { "y": [1, 2] } } },
    });
    let compiled =
        MessageCondition::parse(condition).unwrap_or_else(|it| panic!("{condition}: {it}"));
    let now = Timestamp::parse("2026-11-22T08:00:00Z").unwrap();
    compiled.truth(&seen(compiled.asks(), message, now, Some(&twin)))
}

fn asked(condition: &str) -> Option<bool> {
    asked_of(condition, &message("application/json", "utf-8", BODY.as_bytes()))
}

fn check(expected: Option<bool>, conditions: &[&str]) {
    for condition in conditions {
        assert_eq!(asked(condition), expected, "{condition}");
    }
}

fn holds(conditions: &[&str]) {
    check(Some(true), conditions);
}

fn fails(conditions: &[&str]) {
    check(Some(false), conditions);
}

fn is_undefined(conditions: &[&str]) {
    check(None, conditions);
}

#[test]
fn properties_of_the_application_are_texts_whatever_their_casing() {
    holds(&[
        "true",
        "severity = '2' AND SEVERITY = '2'",
        "as_number(severity) <= 2",
        "processingPath = 'hot' OR false",
        "level-1 = 'x'",
        "site.plant = 'north'",
        "empty = '' AND is_null(bare) AND is_defined(bare)",
        "NOT is_defined(nothing)",
        "processingPath IN ['cold', 'hot']",
        "processingPath <> 'cold'",
    ]);
    fails(&["false", "processingPath = 'Hot'", "as_number(severity) > 2", "is_defined(sever)"]);
    is_undefined(&[
        "severity = 2",
        "severity < 3",
        "nothing = 'x'",
        "NOT nothing = 'x'",
        "null",
        "undefined",
        "bare > ''",
    ]);
}

#[test]
fn system_properties_come_before_properties_of_the_same_name() {
    holds(&[
        "$messageId = 'm-1'",
        "$MESSAGEID = 'm-1'",
        "$own = 'its own'",
        "$connectionDeviceId = 'pump-1'",
        "$connectionDeviceGenerationId = '638'",
        "contains($connectionAuthMethod, '\"scope\":\"device\"')",
        "$contentType = 'application/json' AND $contentEncoding = 'utf-8'",
        "starts_with($enqueuedTime, '2026-11-22T08')",
        "$dt-subject = 'valve' AND $iothub-interface-name = 'valve'",
    ]);
    is_undefined(&[
        "$connectionModuleId = 'm'",
        "$correlationId = 'c'",
        "$userId = 'u'",
        "$dt-dataschema = 'd'",
    ]);
    fails(&["is_defined(messageId)"]);
}

#[test]
fn a_body_counts_where_it_says_that_it_is_json_and_in_which_encoding() {
    holds(&[
        "$body.Weather.Temperature = 50",
        "$BODY.Weather.Hist[0].Month = 'Feb'",
        "$body.Weather.Temperature - 1 = 49",
        "$body.Weather.Temperature-1 = 49",
        "$body.[[a b]] = 1",
        "$body.on",
        "is_null($body.none) AND is_defined($body.none)",
    ]);
    is_undefined(&[
        "$body.weather.Temperature = 50",
        "$body[0] = 1",
        "$body.Weather = 1",
        "$body.text = 7",
    ]);
    let with = |kind: &str, encoding: &str, body: &[u8]| {
        asked_of("$body.on", &message(kind, encoding, body))
    };
    let json = BODY.as_bytes();
    for kind in ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8"] {
        assert_eq!(with(kind, "UTF-8", json), Some(true), "{kind}");
    }
    for kind in ["application/jsonx", "text/json", ""] {
        assert_eq!(with(kind, "utf-8", json), None, "{kind}");
    }
    assert_eq!(with("application/json", "latin-1", json), None);
    assert_eq!(with("application/json", "", json), None);
    let units = |it: u16| it.to_le_bytes();
    let narrow: Vec<u8> = BODY.encode_utf16().flat_map(units).collect();
    assert_eq!(with("application/json", "utf-16", &narrow), Some(true));
    let big: Vec<u8> =
        "\u{feff}".encode_utf16().chain(BODY.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    assert_eq!(with("application/json", "utf-16", &big), Some(true));
    let wide: Vec<u8> = BODY.chars().flat_map(|it| u32::from(it).to_le_bytes()).collect();
    assert_eq!(with("application/json", "utf-32", &wide), Some(true));
    for (encoding, broken) in [
        ("utf-8", &json[..json.len() - 1]),
        ("utf-8", b"[{\"on\":true}]"),
        ("utf-8", &[0xff]),
        ("utf-16", &narrow[..narrow.len() - 1]),
        ("utf-16", &[0x00, 0xd8]),
        ("utf-32", &wide[..wide.len() - 1]),
        ("utf-32", &[0xff, 0xff, 0xff, 0xff]),
    ] {
        assert_eq!(with("application/json", encoding, broken), None, "{encoding} {broken:?}");
    }
    let deep = format!("{}1{}", "{\"on\":".repeat(200), "}".repeat(200));
    assert_eq!(with("application/json", "utf-8", deep.as_bytes()), None);
}

#[test]
fn the_twin_of_the_sender_is_asked_with_regard_to_its_authors_casing() {
    holds(&[
        "$twin.tags.site = 'north' AND $TWIN.Tags.Site = 'south'",
        "$twin.properties.desired.n = 3",
        "$twin.properties.reported.x.y[1] = 2",
        "$twin.deviceId = $connectionDeviceId",
    ]);
    is_undefined(&[
        "$twin.tags.plant = 'north'",
        "$twin.tags = 1",
        "$twin.properties.desired.N = 3",
    ]);
    let compiled = MessageCondition::parse("$twin.tags.site = 'north'").unwrap();
    let message = message("", "", b"");
    let now = Timestamp::from_seconds(0);
    assert_eq!(compiled.truth(&seen(compiled.asks(), &message, now, None)), None);
}

#[test]
fn every_function_has_its_answer_and_none_where_it_is_not_made_for_it() {
    holds(&[
        "ABS($body.Weather.Temperature - 60) = 10",
        "exp(0) = 1",
        "Power(2, 3) = 8",
        "SQUARE(3) = 9",
        "ceiling(1.2) = 2 AND floor(1.8) = 1",
        "SIGN(-4) = -1 AND sign(0) = 0 AND sign(9) = 1",
        "sqrt(16) = 4",
        "as_number('1.5') = 1.5",
        "is_array($body.Weather.Hist) AND NOT is_array(severity)",
        "is_bool($body.on) AND NOT is_bool(severity)",
        "is_defined($body.on) AND NOT is_defined($body.off)",
        "is_null($body.none) AND NOT is_null(severity)",
        "is_number($body.Weather.Temperature) AND NOT is_number(severity)",
        "is_object($body.Weather) AND NOT is_object(severity)",
        "is_primitive(severity) AND NOT is_primitive($body.Weather)",
        "is_string(severity) AND NOT is_string($body.on)",
        "concat(severity, '-', processingPath) = '2-hot'",
        "LENGTH(processingPath) = 3",
        "lower('ABC') = 'abc' AND upper('abc') = 'ABC'",
        "substring('abcdef', 2) = 'cdef' AND substring('abcdef', 2, 3) = 'cde'",
        "index_of('abcdef', 'cd') = 2 AND index_of('abc', 'x') = -1",
        "starts_with(processingPath, 'h') AND ends_with(processingPath, 't') AND contains(processingPath, 'o')",
    ]);
    fails(&[
        "starts_with(processingPath, 'o')",
        "ends_with(processingPath, 'o')",
        "contains(processingPath, 'x')",
    ]);
    is_undefined(&[
        "abs(severity) = 2",
        "exp(severity) = 1",
        "power(severity, 1) = 2",
        "square(severity) = 4",
        "ceiling(severity) = 2",
        "floor(severity) = 2",
        "sign(severity) = 1",
        "sqrt(severity) = 1",
        "sqrt(-1) = 1",
        "as_number(processingPath) = 1",
        "as_number($body.on) = 1",
        "concat(severity, 1) = '21'",
        "length($body.on) = 1",
        "lower($body.on) = 'true'",
        "upper(nothing) = ''",
        "substring(severity, -1) = '2'",
        "index_of(nothing, 'x') = -1",
        "starts_with(nothing, 'x')",
        "ends_with($body.on, 'x')",
        "contains(nothing, '')",
    ]);
}

#[test]
fn a_condition_that_cannot_be_read_is_refused_with_its_place() {
    let refused = |text: &str| MessageCondition::parse(text).map(drop).expect_err(text).to_string();
    for (text, expected) in [
        ("", "line 1, character 1: "),
        ("*", "line 1, character 1: "),
        ("severity = ", "line 1, character 12: "),
        ("true AND\n(a = 'b'", "line 2, character 9: "),
        ("SELECT * FROM devices", "line 1, character 1: "),
        ("nofunction(a)", "line 1, character 1: there is no function `nofunction`"),
        ("starts_with(a)", "line 1, character 1: `starts_with` takes 2 values"),
        ("a[0] = 'x'", "line 1, character 1: `a[0]`: a property is a text and has no elements"),
        ("level - = 1", "line 1, character 9: "),
        ("true true", "line 1, character 6: "),
    ] {
        assert!(refused(text).starts_with(expected), "{text}: {}", refused(text));
    }
    let deep = format!("{}true{}", "(".repeat(100), ")".repeat(100));
    assert!(refused(&deep).contains("nested deeper"));
    assert!(refused(&"a".repeat(17 << 10)).contains("longer than"));
}

#[test]
fn nothing_is_looked_at_that_no_condition_asks_for() {
    let asks = |text: &str| MessageCondition::parse(text).unwrap().asks;
    assert!(asks("true OR 1 = 2").is_nothing());
    assert!(!asks("a = 'b'").body && !asks("a = 'b'").twin);
    assert!(asks("$body.a = 1").body && asks("$twin.tags.a = 1").twin);
    let message = message("application/json", "utf-8", BODY.as_bytes());
    let now = Timestamp::from_seconds(0);
    let shown = |text: &str| seen(&asks(text), &message, now, Some(&json!({}))).to_string();
    assert_eq!(shown("true"), "null");
    assert_eq!(shown("severity = '2'"), r#"{"property":{"severity":"2"}}"#);
}

#[test]
fn of_two_properties_of_one_name_the_first_counts() {
    let mut draft = Sender::new("d", "", "1", AuthMethod::DeviceKey).message(0);
    draft.application("a", Some("1")).unwrap();
    draft.application("A", Some("2")).unwrap();
    let message = Message::parse(&draft.finish(&Bytes::new()).unwrap()).unwrap();
    assert_eq!(message.source, Source::DeviceMessages);
    assert_eq!(asked_of("a = '1'", &message), Some(true));
}

#[test]
fn paths_of_twins_are_told_from_other_texts() {
    let twin = json!({ "tags": { "a": { "b": 1 } }, "properties": {} });
    let found = |text: &str| TwinPath::parse(text).map(|it| it.of(&twin).cloned());
    assert_eq!(found("$twin.tags.a.b"), Some(Some(json!(1))));
    assert_eq!(found("$twin.tags.a.c"), Some(None));
    for text in ["$twin", "tags.a", "twin.tags.a", "$iothubname", "$body.a", "$twin.tags.a = 1", ""]
    {
        assert_eq!(found(text), None, "{text}");
    }
}
