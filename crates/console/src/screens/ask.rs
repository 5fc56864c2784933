//! A question to the gates: what would become of a call that nobody makes.

use crate::ROOT;
use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::screens::decision;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, ok};
use hyper::Method;
use maud::{Markup, html};
use model::Verdict;
use serde_json::json;

const FIELDS: [(&str, &str, &str); 4] = [
    ("principal", "Who", "an object id, an application id or a display name"),
    ("action", "Does what", "Microsoft.Devices/IotHubs/devices/write"),
    ("scope", "Where", "/subscriptions/.../providers/Microsoft.Devices/IotHubs/..."),
    ("object", "To what, where it matters", "a device id"),
];

pub(crate) async fn page(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let is_asked =
        ["principal", "action", "scope"].iter().all(|it| !visit.query.get(it).is_empty());
    let answer = if is_asked { Some(answer(visit).await?) } else { None };
    let content = html! {
        h1 { "Ask" }
        p.lead { "Would this call pass? The gates that serve judge it. Nobody calls, and nothing is kept or changed." }
        form.fields method="get" action={ (ROOT) "/ask" } {
            @for (name, title, example) in FIELDS {
                label for=(name) { (title) }
                input id=(name) name=(name) value=(visit.query.get(name)) placeholder=(example) required[name != "object"];
            }
            button.first { "Ask the gates" }
        }
        @if let Some(answer) = &answer { (answer) }
        (command("hubward explain --principal WHO --action ACTION --scope SCOPE [--object-name NAME]"))
    };
    Ok(framed(&Frame::of("Ask", "/ask", visit), &content))
}

async fn answer(visit: &Visit<'_>) -> Result<Markup, Trouble> {
    let object = visit.query.get("object");
    let mut body = json!({
        "principal": visit.query.get("principal"),
        "action": visit.query.get("action"),
        "scope": visit.query.get("scope"),
    });
    if !object.is_empty() {
        model::json::set(&mut body, "objectName", object);
    }
    let told = visit.arm(Method::POST, "/decisions/ask", Some(&body)).await?;
    if !told.is_ok() {
        return Ok(Refused::of(&told).shown());
    }
    let answer = ok(told)?;
    let trace = decision::read(&answer)?;
    Ok(html! {
        section aria-live="polite" {
            h2 {
                @if trace.outcome.verdict == Verdict::Allow { "It would be allowed" } @else { "It would be refused" }
            }
            (decision::waterfall(&trace, &answer))
        }
    })
}
