use super::*;
use crate::devices::message::{AuthMethod, Message};
use serde_json::json;

fn sender() -> Sender {
    Sender::new("pump-1", "", "1", AuthMethod::DeviceKey)
}

fn read(body: &Value) -> Result<Vec<Message>, Error> {
    let records = batch(body.to_string().as_bytes(), &sender())?;
    Ok(records.iter().map(|it| Message::parse(it).unwrap()).collect())
}

fn place(body: &Value) -> String {
    let error = read(body).unwrap_err();
    if let Error::DeviceInvalid { at, .. } = error {
        return at;
    }
    assert!(matches!(error, Error::Hub { fault: HubFault::MessageTooLarge, .. }), "{error:?}");
    "too large".to_owned()
}

#[test]
fn a_batch_is_read_with_what_is_said_of_each_message() {
    let properties = json!({
        "IoTHub-App-Level": "3", "iothub-messageid": "m1", "dt-subject": "valve", "user-agent": "x",
    });
    let sent = json!([
        { "body": "aGVsbG8=", "properties": properties },
        { "body": "plain", "base64Encoded": false },
    ]);
    let read = read(&sent).unwrap();
    assert_eq!(read[0].body, Bytes::from_static(b"hello"));
    assert_eq!(read[0].application, [("Level".to_owned(), Some("3".to_owned()))]);
    let system = [
        (SystemProperty::MessageId, "m1".to_owned()),
        (SystemProperty::Subject, "valve".to_owned()),
    ];
    assert_eq!(read[0].system, system);
    assert_eq!(read[1].body, Bytes::from_static(b"plain"));
}

#[test]
fn what_is_wrong_with_a_batch_is_said_with_its_place() {
    assert_eq!(place(&json!({})), "body");
    assert_eq!(place(&json!([])), "body");
    assert_eq!(place(&json!([1])), "[0].body");
    assert_eq!(place(&json!([{ "body": "" }, { "body": "hi!" }])), "[1].body");
    assert_eq!(place(&json!([{ "body": "", "base64Encoded": "no" }])), "[0].base64Encoded");
    let properties = |it: Value| json!([{ "body": "", "properties": it }]);
    assert_eq!(place(&properties(json!([]))), "[0].properties");
    assert_eq!(place(&properties(json!({ "a": 1 }))), "[0].properties.a");
    let forged = json!({ "iothub-app-iothub-connection-device-id": "pump-10" });
    let at = "[0].properties.iothub-app-iothub-connection-device-id";
    assert_eq!(place(&properties(forged)), at);
    assert_eq!(place(&properties(json!({ "iothub-app-": "x" }))), "[0].properties.iothub-app-");
}

#[test]
fn a_batch_has_the_bytes_of_one_message_and_a_most_of_messages() {
    let text = |bytes: usize| json!({ "body": "x".repeat(bytes), "base64Encoded": false });
    let half = MESSAGE_BYTES_MAX / 2;
    assert_eq!(read(&json!([text(half), text(half)])).unwrap().len(), 2);
    assert_eq!(place(&json!([text(half), text(half + 1)])), "too large");
    assert_eq!(place(&json!([text(MESSAGE_BYTES_MAX + 1)])), "too large");
    assert_eq!(read(&json!(vec![text(0); BATCH_MESSAGES_MAX])).unwrap().len(), 1_000);
    assert_eq!(place(&json!(vec![text(0); BATCH_MESSAGES_MAX + 1])), "body");
}
