//! What a device sends, as it comes: its messages, and the numbers in them as lines.

use super::{Device, printed};
use crate::page::Page;
use crate::trouble::{Refused, Trouble};
use crate::visit::text;
use maud::{Markup, html};
use model::Timestamp;
use serde_json::{Value, json};

/// How far back the page begins, in seconds.
const SINCE_S: i64 = 600;
/// Most messages of a step, how many of them are shown whole, and most pages that are looked through for them.
const MESSAGES_MAX: usize = 300;
const ROWS_MAX: usize = 20;
const PAGES_MAX: usize = 5;
/// How long a step waits where there is nothing yet, in seconds.
const WAIT_S: u64 = 5;
/// Most numbers of one message that are drawn, and how deep in it they are looked for.
const NUMBERS_MAX: usize = 6;
const DEPTH_MAX: usize = 4;
/// Longest body that the page shows.
const BODY_CHARS_MAX: usize = 2_000;

/// Messages, newest last, and where the next step begins.
struct Read {
    events: Vec<Value>,
    next: u64,
}

async fn read(
    device: &Device<'_>,
    from: &str,
    wait_s: u64,
) -> Result<Result<Read, Refused>, Trouble> {
    let mut read = Read { events: Vec::new(), next: 0 };
    let mut from = from.to_owned();
    for _ in 0..PAGES_MAX {
        let path = format!("/messages/events?from={from}&waitInSeconds={wait_s}");
        let mut page = match device.get("devices", &path).await? {
            Ok(page) => page,
            Err(refused) => return Ok(Err(refused)),
        };
        let number = |name: &str| page.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (next, end) = (number("next"), number("end"));
        if let Some(Value::Array(more)) = page.get_mut("events").map(Value::take) {
            read.events.extend(more);
        }
        read.next = next;
        if next >= end {
            break;
        }
        from = next.to_string();
    }
    // The newest: nobody reads more.
    let over = read.events.len().saturating_sub(MESSAGES_MAX);
    read.events.drain(..over);
    Ok(Ok(read))
}

pub(super) async fn shown(device: &Device<'_>) -> Result<Markup, Trouble> {
    let from = device.visit.console.now().plus_seconds(-SINCE_S).rfc3339();
    let content = match read(device, &from, 0).await? {
        Ok(read) => html! {
            div #telemetry data-step={ (device.here()) "&part=telemetry" } data-next=(read.next)
                data-points=(points(&read.events).to_string()) {
                div #telemetry-lines aria-hidden="true" {}
                table {
                    caption #telemetry-says { "The last " (ROWS_MAX) " messages of the last 10 minutes, and what comes; newest first" }
                    thead { tr { th scope="col" { "When" } th scope="col" { "Message" } th scope="col" { "Properties" } } }
                    tbody {
                        @if read.events.is_empty() { tr.none { td colspan="3" { "Nothing yet" } } }
                        @for it in read.events.iter().rev().take(ROWS_MAX) { (row(it)) }
                    }
                }
            }
        },
        Err(refused) => html! {
            (refused.shown())
            p.note { "The built-in endpoint opens to keys alone, as in Azure: no role leads there. Who works as \
                themselves reads an event hub to which a route of the hub leads." }
        },
    };
    Ok(html! {
        section aria-labelledby="sends" {
            h2 #sends { "What it sends" }
            (content)
            (printed(device, "hubward monitor --device"))
        }
    })
}

/// What came since: rows of the table, the numbers in them, and where to go on.
pub(super) async fn step(device: &Device<'_>) -> Result<Page, Trouble> {
    let asked: u64 = device.visit.query.get("from").parse().unwrap_or(0);
    Ok(match read(device, &asked.to_string(), WAIT_S).await? {
        Ok(read) => {
            let rows = html! { @for it in read.events.iter().rev().take(ROWS_MAX) { (row(it)) } };
            let points = points(&read.events);
            Page::json(&json!({ "next": read.next, "html": rows.into_string(), "points": points }))
        }
        Err(refused) => Page::json(&json!({ "refused": refused.message })).status(refused.status),
    })
}

fn row(event: &Value) -> Markup {
    let body = match event.get("body").and_then(Value::as_str) {
        Some(body) => body.to_owned(),
        None => format!("(not text) {}", text(event, "/bodyBase64")),
    };
    let cut: String = body.chars().take(BODY_CHARS_MAX).collect();
    let is_cut = cut.len() < body.len();
    let own = event.get("properties").and_then(Value::as_object).into_iter().flatten();
    html! {
        tr {
            td { time datetime=(text(event, "/enqueuedTime")) { (text(event, "/enqueuedTime")) } }
            td.name { (cut) @if is_cut { " ..." } }
            td.name { @for (name, value) in own { (name) "=" (value.as_str().unwrap_or("")) " " } }
        }
    }
}

/// `[time in ms, {name: number}]` of each message that holds numbers.
fn points(events: &[Value]) -> Value {
    let mut all = Vec::new();
    for event in events {
        let time = Timestamp::parse(text(event, "/enqueuedTime")).map_or(0, Timestamp::millis);
        let body: Value = serde_json::from_str(text(event, "/body")).unwrap_or(Value::Null);
        let mut numbers = serde_json::Map::new();
        gather("", &body, 0, &mut numbers);
        if !numbers.is_empty() {
            all.push(json!([time, numbers]));
        }
    }
    Value::Array(all)
}

fn gather(name: &str, value: &Value, depth: usize, into: &mut serde_json::Map<String, Value>) {
    if into.len() == NUMBERS_MAX || depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::Number(_) => {
            let name = if name.is_empty() { "value" } else { name };
            into.insert(name.to_owned(), value.clone());
        }
        Value::Object(members) => {
            for (key, value) in members {
                let whole = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                gather(&whole, value, depth + 1, into);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_they_stand_and_only_so_many() {
        let event = |body: &str| json!({ "enqueuedTime": "1970-01-01T00:00:01Z", "body": body });
        let found =
            points(&[event(r#"{"t":1.5,"in":{"bar":2},"on":true}"#), event("text"), event("7")]);
        assert_eq!(found, json!([[1000, { "t": 1.5, "in.bar": 2 }], [1000, { "value": 7 }]]));
        let many: Vec<String> = (0..20).map(|it| format!("\"n{it:02}\":1")).collect();
        let found = points(&[event(&format!("{{{}}}", many.join(",")))]);
        assert_eq!(found[0][1].as_object().unwrap().len(), NUMBERS_MAX);
    }
}
