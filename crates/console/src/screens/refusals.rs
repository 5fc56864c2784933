//! The stream of refusals, those of one cause together.

use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, ok, text};
use crate::{ROOT, paths};
use hyper::Method;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How far back the stream begins, in seconds, and what people may choose instead.
const SINCE_S: i64 = 3_600;
const SPANS: [(i64, &str); 4] =
    [(300, "5 minutes"), (3_600, "an hour"), (86_400, "a day"), (604_800, "a week")];
/// Most groups on the page.
const GROUPS_MAX: usize = 200;

/// Refusals that one thing decided, of one caller and one operation.
struct Group {
    gate: String,
    /// The policy, where one refused; else the code.
    by: String,
    operation: String,
    caller: String,
    count: u64,
    first: String,
    last: String,
    /// The newest: to be explained.
    tracking: String,
    message: String,
}

pub(crate) async fn page(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let since_s = since(visit);
    let groups = groups(visit, since_s).await?;
    let content = html! {
        h1 { "Refusals" }
        nav.views aria-label="Time" {
            @for (span, name) in SPANS {
                a href={ (ROOT) "/refusals?since=" (span) } aria-current=[(span == since_s).then_some("page")] { (name) }
            }
        }
        div #refusals data-from={ (ROOT) "/refusals.json?since=" (since_s) } { (table(&groups)) }
        (command("az monitor activity-log list --status Failed --offset 1h --output table"))
    };
    Ok(framed(&Frame::of("Refusals", "/refusals", visit), &content))
}

/// The same table again, for the script that keeps the page up to date.
pub(crate) async fn numbers(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let groups = groups(visit, since(visit)).await?;
    Ok(Page::json(&json!({ "html": table(&groups).into_string() })))
}

fn since(visit: &Visit<'_>) -> i64 {
    let asked = visit.query.get("since").parse().unwrap_or(SINCE_S);
    SPANS.iter().map(|(it, _)| *it).find(|it| *it == asked).unwrap_or(SINCE_S)
}

/// Everything at once for who may read at the root; else subscription by subscription.
async fn groups(visit: &Visit<'_>, since_s: i64) -> Result<Vec<Group>, Trouble> {
    let from = visit.console.now().plus_seconds(-since_s).rfc3339();
    let filter = paths::segment(&format!("eventTimestamp ge '{from}' and status eq 'Failed'"));
    let path = |scope: &str| {
        format!(
            "{scope}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter={filter}"
        )
    };
    let whole = visit.arm(Method::GET, &path(""), None).await?;
    let events = match whole.status {
        403 => {
            let mut events = Vec::new();
            for subscription in visit.list("/subscriptions").await? {
                let told = visit.arm(Method::GET, &path(text(&subscription, "/id")), None).await?;
                if !told.is_ok() {
                    return Err(Refused::of(&told).into());
                }
                events.extend(values(told.body));
            }
            events
        }
        _ => values(ok(whole)?),
    };
    Ok(grouped(&events))
}

fn values(mut body: Value) -> Vec<Value> {
    match body.get_mut("value").map(Value::take) {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    }
}

/// Events of the activity log that were refused, newest first, those of one cause together.
pub(crate) fn shown(events: &[Value]) -> Markup {
    table(&grouped(events))
}

/// Newest first, as the events are.
fn grouped(events: &[Value]) -> Vec<Group> {
    let mut order: Vec<Group> = Vec::new();
    let mut places: BTreeMap<[String; 4], usize> = BTreeMap::new();
    for event in events {
        let gate = text(event, "/properties/gate").to_owned();
        let by = policy(event).unwrap_or_else(|| text(event, "/properties/code").to_owned());
        let operation = text(event, "/operationName/value").to_owned();
        let caller = text(event, "/caller").to_owned();
        let repeats: u64 = text(event, "/properties/repeats").parse().unwrap_or(0);
        let time = text(event, "/eventTimestamp").to_owned();
        let key = [gate.clone(), by.clone(), operation.clone(), caller.clone()];
        if let Some(group) = places.get(&key).and_then(|it| order.get_mut(*it)) {
            group.count += repeats + 1;
            group.first = time;
            continue;
        }
        if order.len() == GROUPS_MAX {
            break;
        }
        places.insert(key, order.len());
        order.push(Group {
            gate,
            by,
            operation,
            caller,
            count: repeats + 1,
            first: time.clone(),
            last: time,
            tracking: text(event, "/properties/trackingId").to_owned(),
            message: text(event, "/properties/message").to_owned(),
        });
    }
    order
}

/// The first policy that denied; it stands in a text of JSON.
fn policy(event: &Value) -> Option<String> {
    let all: Value = serde_json::from_str(text(event, "/properties/policies")).ok()?;
    let name = text(&all, "/0/policyAssignmentName");
    (!name.is_empty()).then(|| format!("policy {name}"))
}

fn table(groups: &[Group]) -> Markup {
    html! {
        @if groups.is_empty() {
            p.calm { "Nothing was refused in this time." }
        } @else {
            table {
                thead { tr {
                    th scope="col" { "Gate" } th scope="col" { "Refused by" } th scope="col" { "Caller" }
                    th scope="col" { "What it wanted" } th.number scope="col" { "Times" }
                    th scope="col" { "Last" } th scope="col" { "First" } th scope="col" { "" }
                } }
                tbody {
                    @for it in groups {
                        tr {
                            td { span.gate data-gate=(it.gate) { (it.gate) } }
                            td title=(it.message) { (it.by) }
                            td { @if it.caller.is_empty() { "nobody that is known" } @else { (it.caller) } }
                            td.name { (it.operation) }
                            td.number { (it.count) }
                            td { time datetime=(it.last) { (it.last) } }
                            td { time datetime=(it.first) { (it.first) } }
                            td { a.button href=(paths::decision(&it.tracking)) { "Why?" } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(gate: &str, caller: &str, repeats: &str, time: &str) -> Value {
        json!({
            "caller": caller, "eventTimestamp": time,
            "operationName": { "value": "Microsoft.Devices/IotHubs/devices/write" },
            "properties": { "gate": gate, "code": "AuthorizationFailed", "repeats": repeats, "trackingId": time },
        })
    }

    #[test]
    fn refusals_of_one_cause_are_one_group_with_their_repeats() {
        let events = [
            event("access", "line-1", "4", "3"),
            event("access", "line-10", "0", "2"),
            event("access", "line-1", "0", "1"),
        ];
        let groups = grouped(&events);
        let told: Vec<_> = groups
            .iter()
            .map(|it| (it.caller.as_str(), it.count, it.first.as_str(), it.tracking.as_str()))
            .collect();
        assert_eq!(told, [("line-1", 6, "1", "3"), ("line-10", 1, "2", "2")]);
    }
}
