//! `hubward device story`: when a device came and went, and why.

use super::Which;
use crate::hub::{Hub, segment};
use crate::page::{Cell, Column, Page, Style};
use crate::target::Target;
use crate::text::escape_json;
use crate::{Failure, Format, say, show};
use model::Timestamp;
use serde_json::Value;
use std::process::ExitCode;

const COLUMNS: [Column; 4] =
    [Column::Firm("time"), Column::Firm("event"), Column::Firm("from"), Column::Soft("why")];

/// Tell what happened to a device: its connections, why each ended, and why others were refused
///
/// The newest is last. A hub keeps it for 7 days, also for devices that were deleted. What gates refused has a
/// tracking id, by which `hubward explain` shows the decision.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward device story
  hubward device story pump-7 --from 2026-11-22T08:00:00Z
  hubward device story pump-7 -o json | jq -r 'select(.event == \"refused\") | .reason.message'

Exit codes:
  0  told
  1  not found, refused, or no answer
  2  the command line cannot be meant")]
pub struct Story {
    /// The device; without it, the one that the first start made
    #[arg(value_name = "ID")]
    device: Option<String>,

    /// From when on: earliest, or a time as 2026-11-22T08:00:00Z
    #[arg(long, value_name = "FROM", default_value = "earliest")]
    from: String,

    /// How to print it; json is one event a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(story: &Story) -> Result<ExitCode, Failure> {
    let connection = story.target.connection()?;
    let which = Which { device: story.device.clone(), target: story.target.clone() };
    let device = which.id(&connection)?;
    let hub = Hub::new(&connection)?;
    let path = format!("/devices/{}/story", segment(&device));
    let (mut entries, mut from) = (Vec::new(), story.from.clone());
    let last = loop {
        let mut page = hub.get_with(&path, &[("from", &from)])?;
        if let Some(Value::Array(more)) = page.get_mut("entries").map(Value::take) {
            entries.extend(more);
        }
        match page.get("next").and_then(Value::as_u64) {
            Some(next) => from = next.to_string(),
            None => break page,
        }
    };
    match story.output {
        Format::Json => entries.iter().try_for_each(|it| show(&escape_json(&format!("{it}\n"))))?,
        Format::Table => {
            if !entries.is_empty() {
                let rows: Vec<Vec<Cell>> = entries.iter().map(|it| row(it, &device)).collect();
                let mut page = Page::for_stdout();
                page.table(0, &COLUMNS, &rows);
                show(&page.into_text())?;
            }
            say(now(&device, &last));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is true of the device now.
fn now(device: &str, last: &Value) -> String {
    match (last.get("exists"), text(last, "/connectedSince")) {
        (Some(Value::Bool(false)), _) => format!("`{device}` does not exist any more"),
        (_, "") => format!("`{device}` is not connected"),
        (_, since) => format!("`{device}` is connected since {since}"),
    }
}

fn row(entry: &Value, device: &str) -> Vec<Cell> {
    let event = text(entry, "/event");
    let style = match (event, entry.get("reason")) {
        ("refused", _) => Style::Bad,
        ("disconnected", Some(_)) => Style::Warning,
        _ => Style::Plain,
    };
    let module = text(entry, "/moduleId");
    let what = match module {
        "" => event.to_owned(),
        module => format!("{event} {device}/{module}"),
    };
    let from = match text(entry, "/connection/protocol") {
        "" => String::new(),
        protocol => format!("{protocol} {}", text(entry, "/connection/address")),
    };
    vec![
        Cell::plain(text(entry, "/time")),
        Cell::new(style, what),
        Cell::plain(from),
        Cell::plain(why(entry)),
    ]
}

/// Who did it, how the device proved itself, or why it is over.
fn why(entry: &Value) -> String {
    let event = text(entry, "/event");
    let lasted = lasted(entry).map(|it| format!("after {it}"));
    let reason = entry.get("reason").map(|it| {
        let told = format!("{} {}", it.get("number").unwrap_or(&Value::Null), text(it, "/message"));
        match text(it, "/trackingId") {
            "" => told,
            id => format!("{told} (hubward explain {id})"),
        }
    });
    match (event, lasted, reason) {
        ("disconnected", Some(lasted), Some(reason)) => format!("{lasted}: {reason}"),
        ("disconnected", Some(lasted), None) => format!("{lasted}, as it should be"),
        (_, _, Some(reason)) => reason,
        ("connected", _, None) => text(entry, "/connection/signedIn").to_owned(),
        (_, _, None) => match (text(entry, "/by/name"), text(entry, "/status")) {
            ("", status) => status.to_owned(),
            (name, "") => format!("by {name}"),
            (name, status) => format!("by {name}; {status}"),
        },
    }
}

/// How long a connection lasted: `2 h 5 min`.
fn lasted(entry: &Value) -> Option<String> {
    let at = |pointer| Timestamp::parse(text(entry, pointer)).map(Timestamp::millis);
    let ms = at("/time")?.checked_sub(at("/connection/since")?)?;
    let (s, min, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    Some(match (h, min, s) {
        (0, 0, 0) => format!("{ms} ms"),
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {} s", s % 60),
        (h, min, _) => format!("{h} h {} min", min % 60),
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_end_says_how_long_it_lasted_and_why_it_came() {
        let entry = json!({
            "time": "2026-11-22T10:05:07.000Z",
            "event": "disconnected",
            "deviceId": "pump-7",
            "connection": { "id": "c", "protocol": "mqtt", "address": "127.0.0.1",
                "since": "2026-11-22T08:00:00.000Z" },
            "reason": { "number": 400_027, "code": "C", "message": "another session of the device began" },
        });
        assert_eq!(why(&entry), "after 2 h 5 min: 400027 another session of the device began");
        let mut orderly = entry.clone();
        orderly.as_object_mut().unwrap().remove("reason");
        assert_eq!(why(&orderly), "after 2 h 5 min, as it should be");
        let mut refused = entry;
        model::json::set(&mut refused, "event", json!("refused"));
        model::json::set(
            &mut refused,
            "reason",
            json!({ "number": 401_002, "message": "expired", "trackingId": "t" }),
        );
        assert_eq!(why(&refused), "401002 expired (hubward explain t)");
    }
}
