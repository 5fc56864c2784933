//! The pulse: calls as a river through the gates. What a gate refuses leaves the river there.

use crate::ROOT;
use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::trouble::Trouble;
use crate::visit::Visit;
use maud::{Markup, html};
use serde_json::Value;

/// The gates in the order in which they speak, with what each asks.
const GATES: [(&str, &str); 5] = [
    ("authentication", "who is it?"),
    (
        "conditional access",
        "may a token be given for this, from there, by what was shown? Asked of sign-ins alone.",
    ),
    ("policy", "does a policy forbid it?"),
    ("access", "does a role or key allow it?"),
    ("resource", "is the resource in a state for it?"),
];

pub(crate) async fn page(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let pulse = visit.get("/decisions/pulse").await?;
    let content = html! {
        h1 { "Pulse" }
        p.lead { "Every call passes four gates, always in this order. Where a gate refuses, the call leaves the river." }
        figure {
            svg #river data-from={ (ROOT) "/pulse.json" } viewBox="0 0 960 300" role="img" aria-labelledby="river-says" {}
            figcaption #river-says aria-live="off" { "Calls in the last second; the table below holds the same." }
        }
        (table(&pulse))
        (command("az rest --method GET --url $HUBWARD_ARM/decisions/pulse"))
    };
    Ok(framed(&Frame::of("Pulse", "/pulse", visit).with_script("pulse.js"), &content))
}

/// What the picture asks for each second.
pub(crate) async fn numbers(visit: &Visit<'_>) -> Result<Page, Trouble> {
    Ok(Page::json(&visit.get("/decisions/pulse").await?))
}

/// The picture's numbers, which the script keeps up to date.
fn table(pulse: &Value) -> Markup {
    let number = |pointer: &str| pulse.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    html! {
        table #river-table {
            caption { "Since the server started" }
            thead { tr {
                th scope="col" { "Gate" } th scope="col" { "It asks" }
                th.number scope="col" { "Refused" } th.number scope="col" { "per second" }
            } }
            tbody {
                @for (gate, asks) in GATES {
                    tr data-gate=(gate) {
                        th scope="row" { (gate) }
                        td { (asks) }
                        td.number data-total { (number(&format!("/refusals/{gate}"))) }
                        td.number data-rate { "0" }
                    }
                }
                tr data-gate="calls" {
                    th scope="row" { "all calls" }
                    td { "answered, " a href={ (ROOT) "/refusals" } { "refused ones in detail" } }
                    td.number data-total { (number("/calls")) }
                    td.number data-rate { "0" }
                }
            }
        }
        h2 { "By operation" }
        table {
            thead { tr {
                th scope="col" { "Operation" } th scope="col" { "Plane" }
                th.number scope="col" { "Calls" } th.number scope="col" { "Answered with an error" }
            } }
            tbody {
                @for it in pulse.pointer("/operations").and_then(Value::as_array).into_iter().flatten() {
                    tr {
                        th scope="row" { (it.get("operation").and_then(Value::as_str).unwrap_or("")) }
                        td { (it.get("plane").and_then(Value::as_str).unwrap_or("")) }
                        td.number { (it.get("calls").and_then(Value::as_u64).unwrap_or(0)) }
                        td.number { (it.get("errors").and_then(Value::as_u64).unwrap_or(0)) }
                    }
                }
            }
        }
        p { "The same for programs that watch servers: " code { "/metrics" } "." }
    }
}
