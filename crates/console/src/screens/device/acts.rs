//! What can be done with a device: enabled and disabled, told a message, a method called, its keys looked at.

use super::{Device, call};
use crate::form::Form;
use crate::layout::command;
use crate::trouble::{Refused, Trouble};
use crate::visit::text;
use hyper::Method;
use maud::{Markup, html};
use model::json::set;
use serde_json::{Value, json};

/// What became of a form.
pub(super) enum Did {
    /// None was sent.
    Nothing,
    /// Seen on the page as it is now; the word is in [`DONE`].
    Changed(&'static str),
    /// What a method answered, or the keys: shown once and kept nowhere.
    Method(Value),
    Keys(Value),
    Refused(Refused),
}

const DONE: [(&str, &str); 4] = [
    ("enabled", "The device is enabled."),
    ("disabled", "The device is disabled. Where it was connected, it was thrown out."),
    ("twin", "The twin is changed. A device that is connected has been told."),
    ("message", "The message waits for the device; one that listens has been given it."),
];

impl Did {
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Refused(refused) => refused.status,
            Self::Nothing | Self::Changed(_) | Self::Method(_) | Self::Keys(_) => 200,
        }
    }
}

/// The sentence of what was done.
pub(super) fn done(word: &str) -> Option<&'static str> {
    DONE.iter().find(|(it, _)| *it == word).map(|(_, says)| *says)
}

pub(super) async fn perform(device: &Device<'_>) -> Result<Did, Trouble> {
    let Some(form) = &device.visit.form else { return Ok(Did::Nothing) };
    let did = match form.get("act") {
        "status" => status(device, form).await,
        "keys" => {
            call(device, Method::GET, &device.path("devices", ""), None, None).await.map(Did::Keys)
        }
        "method" => method(device, form).await,
        "message" => message(device, form).await,
        "twin" => super::twin::write(device, form).await,
        _ => Err(Trouble::Bad { why: "The form says nothing that can be done here.".into() }),
    };
    match did {
        Err(Trouble::Refused(refused)) => Ok(Did::Refused(refused)),
        other => other,
    }
}

/// The identity as it is with another status, unless somebody changes it meanwhile.
async fn status(device: &Device<'_>, form: &Form) -> Result<Did, Trouble> {
    let word = if form.get("status") == "enabled" { "enabled" } else { "disabled" };
    let path = device.path("devices", "");
    let mut identity = call(device, Method::GET, &path, None, None).await?;
    set(&mut identity, "status", json!(word));
    set(&mut identity, "statusReason", json!(form.get("reason")));
    let etag = text(&identity, "/etag").to_owned();
    call(device, Method::PUT, &path, Some(&identity), Some(&etag)).await?;
    Ok(Did::Changed(word))
}

async fn method(device: &Device<'_>, form: &Form) -> Result<Did, Trouble> {
    let payload = match form.get("payload") {
        "" => Value::Null,
        text => json_of("The payload", text)?,
    };
    let body = json!({
        "methodName": form.get("method"),
        "payload": payload,
        "responseTimeoutInSeconds": form.get("wait").parse().unwrap_or(RESPONSE_S),
    });
    let path = device.path("twins", "/methods");
    Ok(Did::Method(call(device, Method::POST, &path, Some(&body), None).await?))
}

/// How long a device may take to answer, where nothing else is said.
const RESPONSE_S: u64 = 30;

async fn message(device: &Device<'_>, form: &Form) -> Result<Did, Trouble> {
    let body = json!({ "body": form.raw("body"), "base64Encoded": false });
    let path = device.path("devices", "/messages/deviceBound");
    call(device, Method::POST, &path, Some(&body), None).await?;
    Ok(Did::Changed("message"))
}

/// What somebody typed, as JSON.
pub(super) fn json_of(what: &str, text: &str) -> Result<Value, Trouble> {
    serde_json::from_str(text)
        .map_err(|it| Trouble::Bad { why: format!("{what} is no JSON: {it}.") })
}

pub(super) fn shown(device: &Device<'_>, identity: Option<&Value>, did: &Did) -> Markup {
    let is_enabled = identity.is_none_or(|it| text(it, "/status") != "disabled");
    let sent = |name: &str| device.visit.sent(name).unwrap_or("");
    html! {
        section aria-labelledby="do" {
            h2 #do { "Do" }
            (device.form("method", &html! {
                label for="method-name" { "Call the method" }
                input #method-name name="method" required maxlength="128" value=(sent("method"));
                label for="payload" { "with this payload, as JSON" }
                input #payload name="payload" placeholder="{\"delay\": 5}" value=(sent("payload"));
                label for="wait" { "and wait for its answer, in seconds" }
                div.line {
                    input #wait name="wait" type="number" min="5" max="300" value=(RESPONSE_S);
                    button { "Call" }
                }
            }))
            @if let Did::Method(answer) = did { (answered(answer)) }
            (device.form("message", &html! {
                label for="message-body" { "Send it the message" }
                div.line { input #message-body name="body" required; button { "Send" } }
            }))
            (device.form("status", &html! {
                @if is_enabled {
                    label for="reason" { "Reason to disable it" }
                    div.line {
                        input #reason name="reason" maxlength="128";
                        button.danger name="status" value="disabled" { "Disable" }
                    }
                } @else {
                    input type="hidden" name="reason" value="";
                    button.first name="status" value="enabled" { "Enable" }
                }
            }))
            (command(&format!("hubward device method --device {} METHOD", super::shell(device.id))))
        }
    }
}

fn answered(answer: &Value) -> Markup {
    let status = answer.get("status").and_then(Value::as_i64).unwrap_or(0);
    html! {
        div.answer role="status" {
            p { "The device answered with " strong { (status) } ", a number of its own." }
            pre { code { (format!("{:#}", answer.get("payload").unwrap_or(&Value::Null))) } }
        }
    }
}
