use super::super::file::{Encoding, name_of};
use super::Batch;
use super::NO_MARK;
use crate::devices::message::{AuthMethod, Message, Sender, SystemProperty};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::{Value, json};

fn message(kind: &str, encoding: &str, body: &[u8]) -> Message {
    let mut draft = Sender::new("pump-1", "", "gen", AuthMethod::DeviceKey).message(body.len());
    draft.application("level", Some("high")).unwrap();
    draft.application("bare", None).unwrap();
    for (which, value) in
        [(SystemProperty::ContentType, kind), (SystemProperty::ContentEncoding, encoding)]
    {
        if !value.is_empty() {
            draft.system(which, value).unwrap();
        }
    }
    draft.system(SystemProperty::MessageId, "m-1").unwrap();
    Message::parse(&draft.finish(body).unwrap()).unwrap()
}

fn line(message: &Message, enqueued: Timestamp) -> Vec<u8> {
    Encoding::Json.of(message, enqueued, NO_MARK)
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn names_follow_the_format_and_the_first_message() {
    let time = at("2026-01-02T03:04:59.999Z");
    let name = |format: &str| name_of(format, "plant", 7, time);
    assert_eq!(
        name("{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}"),
        "plant/07/2026/01/02/03/04"
    );
    assert_eq!(
        name("x-{mm}_{HH}.{DD}{MM}{YYYY}/{partition}/{iothub}"),
        "x-04_03.02012026/07/plant"
    );
    assert_eq!(Encoding::Json.blob_of("a/b", 0), "a/b.json");
    assert_eq!(Encoding::Avro.blob_of("a/b", 1), "a/b_01.avro");
    assert_eq!(Encoding::Json.blob_of("a/b", 100), "a/b_100.json");
}

#[test]
fn a_line_says_who_sent_what_and_when() {
    let read = |it: &Message| {
        let line = line(it, at("2026-01-02T03:04:05.006Z"));
        let (end, rest) = line.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert!(!rest.contains(&b'\n') && !rest.contains(&b'\r'));
        serde_json::from_slice::<Value>(rest).unwrap()
    };
    let body = b"{\r\n\"a\": 12345678901234567890123, \"b\": \"\\n\"}";
    let found = read(&message("application/json; charset=utf-8", "UTF-8", body));
    assert_eq!(found["EnqueuedTimeUtc"], "2026-01-02T03:04:05.006Z");
    assert_eq!(found["Properties"], json!({ "level": "high", "bare": null }));
    let system = &found["SystemProperties"];
    for (name, value) in [
        ("connectionDeviceId", "pump-1"),
        ("connectionDeviceGenerationId", "gen"),
        ("contentType", "application/json; charset=utf-8"),
        ("contentEncoding", "UTF-8"),
        ("messageId", "m-1"),
        ("enqueuedTime", "2026-01-02T03:04:05.006Z"),
    ] {
        assert_eq!(system[name], value, "{name}");
    }
    assert!(system["connectionAuthMethod"].as_str().unwrap().contains("sas"));
    assert!(system.get("connectionModuleId").is_none());
    assert_eq!(found["Body"]["b"], "\n");
    let whole = line(&message("application/json", "utf-8", body), at("2026-01-02T03:04:05Z"));
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.contains("12345678901234567890123"), "{whole}");

    // What does not say that it is JSON, or is none, stands as it came.
    for (kind, encoding, body) in [
        ("", "", &b"{}"[..]),
        ("application/json", "", b"{}"),
        ("application/json", "utf-16", b"{}"),
        ("text/plain", "utf-8", b"{}"),
        ("application/json", "utf-8", b"{"),
        ("application/json", "utf-8", b"{} {}"),
        ("application/json", "utf-8", &[0xff]),
    ] {
        let found = read(&message(kind, encoding, body));
        let text = STANDARD.encode(body);
        assert_eq!(found["Body"], json!(text), "{kind} {encoding}");
    }
}

#[test]
fn a_file_is_full_with_its_last_byte() {
    let batch = Batch { first: 0, since: at("2026-01-02T03:04:05Z"), bytes: 90, is_full: false };
    assert!(batch.takes(10, 100));
    assert!(!batch.takes(11, 100));
}
