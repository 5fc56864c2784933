//! A device's story: the last day as a line, and every entry with its reason.

use super::{Device, printed};
use crate::paths;
use crate::trouble::{Refused, Trouble};
use crate::visit::text;
use maud::{Markup, html};
use model::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most pages of the story that are read, and most of its entries that are shown: the newest.
const PAGES_MAX: usize = 20;
const ENTRIES_MAX: usize = 100;
/// What the line can span, in seconds, and in how many parts that is told: the shortest that holds the whole story.
const LINES: [(i64, &str, i64); 3] =
    [(3_600, "min", 60), (86_400, "h", 3_600), (604_800, "h", 3_600)];
const PARTS: i64 = 4;
const LINE_WIDTH: i64 = 960;

pub(super) struct Story {
    /// Oldest first.
    entries: Vec<Value>,
    refused: Option<Refused>,
}

impl Story {
    /// How the device proved itself when it last connected: `its own key, signature valid until ...`.
    pub(super) fn last_proof(&self) -> Option<String> {
        let mut all = self.entries.iter().rev().map(|it| text(it, "/connection/signedIn"));
        all.find(|it| !it.is_empty()).map(str::to_owned)
    }
}

pub(super) async fn read(device: &Device<'_>) -> Result<Story, Trouble> {
    let mut story = Story { entries: Vec::new(), refused: None };
    let mut from = "earliest".to_owned();
    for _ in 0..PAGES_MAX {
        match device.get("devices", &format!("/story?from={from}")).await? {
            Err(refused) => {
                story.refused = Some(refused);
                break;
            }
            Ok(mut page) => {
                if let Some(Value::Array(more)) = page.get_mut("entries").map(Value::take) {
                    story.entries.extend(more);
                }
                match page.get("next").and_then(Value::as_u64) {
                    Some(next) => from = next.to_string(),
                    None => break,
                }
            }
        }
    }
    Ok(story)
}

pub(super) fn shown(device: &Device<'_>, story: &Story) -> Markup {
    let newest = story.entries.iter().rev().take(ENTRIES_MAX);
    html! {
        section aria-labelledby="story" {
            h2 #story { "Its story" }
            @if let Some(refused) = &story.refused { (refused.shown()) }
            @else if story.entries.is_empty() { p.calm { "Nothing has happened to it in the last 7 days." } }
            @else {
                table {
                    caption { "Newest first; the hub keeps 7 days" }
                    thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "From" } th scope="col" { "Why" } } }
                    tbody { @for it in newest { (row(it)) } }
                }
            }
            (printed(device, "hubward device story"))
        }
    }
}

fn row(entry: &Value) -> Markup {
    let event = text(entry, "/event");
    let module = text(entry, "/moduleId");
    let tracking = text(entry, "/reason/trackingId");
    html! {
        tr data-event=(event) {
            td { time datetime=(text(entry, "/time")) { (text(entry, "/time")) } }
            th scope="row" { (event_title(event)) @if !module.is_empty() { ": module " (module) } }
            td { (text(entry, "/connection/protocol")) " " (text(entry, "/connection/address")) }
            td {
                @if entry.get("reason").is_some() {
                    (text(entry, "/reason/message")) " "
                    @if !tracking.is_empty() { a.button href=(paths::decision(tracking)) { "Why?" } }
                } @else if event == "connected" { (text(entry, "/connection/signedIn")) }
                @else if !text(entry, "/by/name").is_empty() {
                    "by " (text(entry, "/by/name"))
                    @if !text(entry, "/status").is_empty() { ": " (text(entry, "/status")) }
                } @else if event == "disconnected" { "as it should be" }
            }
        }
    }
}

fn event_title(event: &str) -> &str {
    match event {
        "securityPolicyWritten" => "security policy written",
        "securityPolicyDeleted" => "security policy deleted",
        other => other,
    }
}

/// The last hour, day or week: when it was connected, as bars, and when it was refused, as strokes.
pub(super) fn line(device: &Device<'_>, story: &Story) -> Markup {
    let (entries, now) = (&story.entries, device.visit.console.now());
    if entries.is_empty() {
        return Markup::default();
    }
    let first = entries.first().and_then(|it| Timestamp::parse(text(it, "/time")));
    let age = first.map_or(0, |it| now.seconds().saturating_sub(it.seconds()));
    let [hour, day, week] = LINES;
    let (line_s, unit, unit_s) = [hour, day].into_iter().find(|it| age <= it.0).unwrap_or(week);
    let begin = now.seconds().saturating_sub(line_s);
    let at = |pointer: &str, entry: &Value| {
        Timestamp::parse(text(entry, pointer)).map(Timestamp::seconds)
    };
    let place =
        |seconds: i64| (seconds.max(begin).min(now.seconds()) - begin) * LINE_WIDTH / line_s;
    let spans = spans(entries, now);
    let drawn = spans.iter().filter(|(_, end)| *end >= begin);
    let refused: Vec<i64> = entries
        .iter()
        .filter(|it| text(it, "/event") == "refused")
        .filter_map(|it| at("/time", it).filter(|it| *it >= begin))
        .collect();
    html! {
        svg.day viewBox="0 0 960 56" role="img" aria-label=(format!(
            "The last {} {unit}: {} connections and {} refusals; the table of its story holds them.",
            line_s / unit_s, spans.len(), refused.len())) {
            line.axis x1="0" x2="960" y1="36" y2="36" {}
            @for part in 0..=PARTS {
                @let x = part * LINE_WIDTH / PARTS;
                @let ago = (PARTS - part) * line_s / PARTS / unit_s;
                line.axis x1=(x) x2=(x) y1="36" y2="40" {}
                text x=(x) y="53" text-anchor=(match part { 0 => "start", PARTS => "end", _ => "middle" }) {
                    @if ago == 0 { "now" } @else { (ago) " " (unit) " ago" }
                }
            }
            @for (from, to) in drawn {
                @let x = place(*from).min(LINE_WIDTH - 3);
                rect.up x=(x) y="22" width=((place(*to) - x).max(3)) height="14" {}
            }
            @for moment in &refused {
                line.no x1=(place(*moment)) x2=(place(*moment)) y1="4" y2="36" {}
            }
        }
    }
}

/// From when to when its connections lasted, in seconds; one that goes on lasts until now.
fn spans(entries: &[Value], now: Timestamp) -> Vec<(i64, i64)> {
    let mut open: BTreeMap<&str, i64> = BTreeMap::new();
    let mut spans = Vec::new();
    let seconds = |text: &str| Timestamp::parse(text).map(Timestamp::seconds);
    for entry in entries {
        let Some(time) = seconds(text(entry, "/time")) else { continue };
        let id = text(entry, "/connection/id");
        match text(entry, "/event") {
            "connected" => {
                open.insert(id, time);
            }
            "disconnected" => {
                let began = open.remove(id).or_else(|| seconds(text(entry, "/connection/since")));
                spans.push((began.unwrap_or(time), time));
            }
            _ => {}
        }
    }
    spans.extend(open.into_values().map(|began| (began, now.seconds())));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_connection_lasts_from_its_beginning_to_its_end_or_until_now() {
        let entry = |event: &str, id: &str, minute: i64| {
            let time = Timestamp::from_seconds(minute * 60).rfc3339();
            json!({ "event": event, "time": time, "connection": { "id": id } })
        };
        let entries = [
            entry("connected", "a", 1),
            entry("connected", "b", 2),
            entry("disconnected", "a", 3),
            entry("refused", "c", 4),
        ];
        let spans = spans(&entries, Timestamp::from_seconds(600));
        assert_eq!(spans, [(60, 180), (120, 600)]);
    }
}
