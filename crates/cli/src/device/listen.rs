//! `hubward device listen`: what a device is told, as it is told.

use super::mqtt::Session;
use super::{Which, json};
use crate::text::{escape, escape_json};
use crate::{Failure, Format, show};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::process::ExitCode;
use wire::mqtt::{Publish, Qos};

/// Show what a device is told: messages, changes of its desired properties, and methods, which it answers
///
/// Runs until it is stopped with Ctrl-C. Messages are settled as they are shown.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward device listen
  hubward device listen --device pump-7 --answer 200 '{\"done\":true}'
  hubward device listen -n 1 -o json | jq .message

Exit codes:
  0  as many were shown as --count asked for
  1  the hub ended the connection, or never took it
  2  the command line cannot be meant")]
pub struct Listen {
    /// Stop after so many
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// What methods are answered with: a status, and a payload in JSON
    #[arg(long, num_args = 1..=2, value_names = ["STATUS", "PAYLOAD"], default_values = ["200", "{}"])]
    answer: Vec<String>,

    /// How to print them; json is one a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    which: Which,
}

pub(super) fn run(listen: &Listen) -> Result<ExitCode, Failure> {
    let answer = Answer::of(&listen.answer)?;
    let connection = listen.which.connection()?;
    let own = listen.which.own(&connection)?;
    let mut session = Session::open(&connection, &own)?;
    for (filter, qos) in [
        ("$iothub/methods/POST/#".to_owned(), Qos::AtMostOnce),
        ("$iothub/twin/PATCH/properties/desired/#".to_owned(), Qos::AtMostOnce),
        (format!("devices/{}/messages/devicebound/#", session.id()), Qos::AtLeastOnce),
    ] {
        session.subscribe(&filter, qos)?;
    }
    if listen.output == Format::Table {
        crate::say(format_args!("{} listens; Ctrl-C ends it", session.id()));
    }
    let mut left = listen.count.unwrap_or(u64::MAX);
    while left > 0 {
        let heard = session.hear()?;
        let Some(told) = Told::of(&heard) else { continue };
        if let Told::Method { request_id, .. } = &told {
            let topic = format!("$iothub/methods/res/{}/?$rid={request_id}", answer.status);
            session.say(Qos::AtMostOnce, &topic, &answer.payload)?;
        }
        show(&match listen.output {
            Format::Json => escape_json(&format!("{}\n", told.shown())),
            Format::Table => format!("{}\n", escape(&told.line())),
        })?;
        left -= 1;
    }
    session.close();
    Ok(ExitCode::SUCCESS)
}

/// What every method is answered with.
struct Answer {
    status: i32,
    payload: String,
}

impl Answer {
    fn of(words: &[String]) -> Result<Self, Failure> {
        let bad = |why: String| Failure::Usage(format!("`--answer`: {why}"));
        let status = words.first().and_then(|it| it.parse().ok());
        let payload = words.get(1).map_or("{}", String::as_str);
        json(payload).map_err(bad)?;
        let status = status.ok_or_else(|| bad("the status is a number, as 200".into()))?;
        Ok(Self { status, payload: payload.to_owned() })
    }
}

/// One thing that a device is told.
enum Told {
    Message { properties: Vec<(String, String)>, body: String },
    Desired { version: String, patch: Value },
    Method { name: String, request_id: String, payload: Value },
}

impl Told {
    /// `None` for what a newer hub may say.
    fn of(heard: &Publish) -> Option<Self> {
        let topic: &str = &heard.topic;
        let body = String::from_utf8_lossy(&heard.payload).into_owned();
        let as_json =
            || serde_json::from_str(&body).unwrap_or_else(|_| Value::String(body.clone()));
        if let Some((_, bag)) = topic.split_once("/messages/devicebound/") {
            return Some(Self::Message { properties: pairs(bag), body });
        }
        let (path, query) = topic.split_once("/?")?;
        let value = |name: &str| pairs(query).into_iter().find(|it| it.0 == name).map(|it| it.1);
        if path == "$iothub/twin/PATCH/properties/desired" {
            return Some(Self::Desired { version: value("$version")?, patch: as_json() });
        }
        let name = path.strip_prefix("$iothub/methods/POST/")?.to_owned();
        Some(Self::Method { name, request_id: value("$rid")?, payload: as_json() })
    }

    fn shown(&self) -> Value {
        match self {
            Self::Message { properties, body } => {
                let properties: serde_json::Map<String, Value> =
                    properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                json!({ "message": body, "properties": properties })
            }
            Self::Desired { version, patch } => json!({ "desired": patch, "version": version }),
            Self::Method { name, payload, .. } => json!({ "method": name, "payload": payload }),
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Message { properties, body } => {
                let own = properties.iter().filter(|(name, _)| !name.starts_with("$."));
                let own: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
                format!("message  {body}  {}", own.join(" ")).trim_end().to_owned()
            }
            Self::Desired { version, patch } => format!("desired  version {version}: {patch}"),
            Self::Method { name, payload, .. } => format!("method   {name} {payload}"),
        }
    }
}

/// `a=b&c=d`, percent-decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |it: &str| percent_decode_str(it).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|it| !it.is_empty());
    pairs
        .map(|it| it.split_once('=').unwrap_or((it, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::mqtt::ByteString;

    fn told(topic: &str, payload: &str) -> Option<Told> {
        Told::of(&Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: ByteString::from(topic),
            id: None,
            payload: payload.as_bytes().to_vec().into(),
        })
    }

    #[test]
    fn what_a_device_is_told_is_told_apart() {
        let check = |topic: &str, payload: &str, line: &str, shown: Value| {
            let told = told(topic, payload).unwrap();
            assert_eq!((told.line().as_str(), told.shown()), (line, shown));
        };
        check(
            "devices/d/messages/devicebound/%24.mid=1&a%20b=%26",
            "hi",
            "message  hi  a b=&",
            json!({ "message": "hi", "properties": { "$.mid": "1", "a b": "&" } }),
        );
        check(
            "$iothub/twin/PATCH/properties/desired/?$version=7",
            r#"{"rate":5}"#,
            r#"desired  version 7: {"rate":5}"#,
            json!({ "desired": { "rate": 5 }, "version": "7" }),
        );
        check(
            "$iothub/methods/POST/reset/?$rid=1f",
            "null",
            "method   reset null",
            json!({ "method": "reset", "payload": null }),
        );
        assert!(told("$iothub/other/?$rid=1", "").is_none());
        assert!(told("$iothub/methods/POST/reset", "").is_none());
    }

    #[test]
    fn an_answer_is_a_status_and_json() {
        let of = |words: &[&str]| {
            Answer::of(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["404"]).unwrap().payload, "{}");
        for (words, said) in [(&["x"][..], "number"), (&["200", "{"][..], "quote")] {
            let failure = of(words).err().unwrap().to_string();
            assert!(failure.contains(said), "{failure}");
        }
    }
}
