//! `hubward monitor`: what devices send, as it comes.
//!
//! One thread asks each partition, or one the device, by the key of the hub; each is judged anew with every page.

use crate::hub::{Hub, segment};
use crate::target::{Connection, Target};
use crate::text::{escape, escape_json};
use crate::{Failure, Format, say, show};
use serde_json::Value;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};

/// How long a call waits for something to come. Shorter than any call may take.
const WAIT_S: &str = "20";
/// Events that wait to be printed: whoever reads slowly slows the asking.
const WAITING_MAX: usize = 1_024;

/// Show what devices send, as it comes: body, properties and who sent it
///
/// At a terminal each message is a line for people; where the output is piped, a line of JSON. In partition order;
/// what one device sends keeps its order.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hubward monitor
  hubward monitor --device pump-7 --from earliest
  hubward monitor --from 2026-11-22T08:00:00Z -n 100 | jq -r .body

Exit codes:
  0  as many were shown as --count asked for
  1  refused, or no answer
  2  the command line cannot be meant")]
pub struct Monitor {
    /// Only this device
    #[arg(short, long, value_name = "ID")]
    device: Option<String>,

    /// From where on: earliest, latest or a time as 2026-11-22T08:00:00Z
    #[arg(long, value_name = "FROM", default_value = "latest")]
    from: String,

    /// Stop after so many
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How to print them; table at a terminal, json, one a line, where the output is piped
    #[arg(short, long, value_enum)]
    output: Option<Format>,

    #[command(flatten)]
    target: Target,
}

/// A page of a partition or of a device, which has no number of partitions.
struct Page {
    next: u64,
    partitions: u64,
    events: Vec<Value>,
}

pub(crate) fn run(monitor: &Monitor) -> Result<ExitCode, Failure> {
    let connection = monitor.target.connection()?;
    let format = monitor.output.unwrap_or(match io::stdout().is_terminal() {
        true => Format::Table,
        false => Format::Json,
    });
    let partition = |number: u64| format!("/messages/events/partitions/{number}");
    let paths = match &monitor.device {
        Some(id) => vec![format!("/devices/{}/messages/events", segment(id))],
        None => {
            let first = ask(&Hub::new(&connection)?, &partition(0), &monitor.from, "0")?;
            (0..first.partitions).map(partition).collect()
        }
    };
    if format == Format::Table {
        match &monitor.device {
            Some(id) => say(format_args!("what `{id}` sends; Ctrl-C ends it")),
            None => say(format_args!("{} partitions; Ctrl-C ends it", paths.len())),
        }
    }
    let (sender, receiver) = sync_channel(WAITING_MAX);
    for path in paths {
        let (sender, connection) = (sender.clone(), connection.clone());
        let from = monitor.from.clone();
        // Nobody waits for them: what they ask for when enough was shown, nobody needs.
        std::thread::spawn(move || follow(&connection, &path, from, &sender));
    }
    drop(sender);
    let mut left = monitor.count.unwrap_or(u64::MAX);
    for event in receiver {
        let event = event?;
        show(&match format {
            Format::Json => escape_json(&format!("{event}\n")),
            Format::Table => format!("{}\n", escape(&line(&event))),
        })?;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a partition or a device for one page after the other, until nobody listens.
fn follow(
    connection: &Connection,
    path: &str,
    mut from: String,
    sender: &SyncSender<Result<Value, Failure>>,
) {
    let hub = match Hub::new(connection) {
        Ok(hub) => hub,
        Err(failure) => {
            let _ = sender.send(Err(failure));
            return;
        }
    };
    loop {
        match ask(&hub, path, &from, WAIT_S) {
            Ok(page) => {
                from = page.next.to_string();
                for event in page.events {
                    if sender.send(Ok(event)).is_err() {
                        return;
                    }
                }
            }
            Err(failure) => {
                let _ = sender.send(Err(failure));
                return;
            }
        }
    }
}

fn ask(hub: &Hub<'_>, path: &str, from: &str, wait: &str) -> Result<Page, Failure> {
    let mut page = hub.get_with(path, &[("from", from), ("waitInSeconds", wait)])?;
    let number = |name: &str| page.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (next, partitions) = (number("next"), number("partitionCount"));
    let events = match page.get_mut("events").map(Value::take) {
        Some(Value::Array(events)) => events,
        _ => Vec::new(),
    };
    Ok(Page { next, partitions, events })
}

/// One message for people.
fn line(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = match text("moduleId") {
        "" => text("deviceId").to_owned(),
        module => format!("{}/{module}", text("deviceId")),
    };
    let body = match event.get("body").and_then(Value::as_str) {
        Some(body) => body.to_owned(),
        None => format!("(not text) {}", text("bodyBase64")),
    };
    let own = event.get("properties").and_then(Value::as_object).into_iter().flatten();
    let own: Vec<String> =
        own.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    format!("{}  {who}  {body}  {}", text("enqueuedTime"), own.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::line;
    use serde_json::json;

    #[test]
    fn a_message_is_a_line() {
        let check = |event, expected: &str| assert_eq!(line(&event), expected);
        check(
            json!({ "enqueuedTime": "T", "deviceId": "d", "properties": { "a": "1", "b": null }, "body": "{\"t\":1}" }),
            "T  d  {\"t\":1}  a=1 b=",
        );
        check(
            json!({ "enqueuedTime": "T", "deviceId": "d", "moduleId": "m", "properties": {}, "bodyBase64": "/w==" }),
            "T  d/m  (not text) /w==",
        );
    }
}
