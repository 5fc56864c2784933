//! What there is: subscriptions with their resources, each a link.

use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::trouble::Trouble;
use crate::visit::{Visit, text};
use crate::{ROOT, paths};
use maud::{Markup, html};
use serde_json::Value;

/// The kinds that are shown first, because calls reach devices through them, and what they are called.
const FIRST: [(&str, &str); 2] = [
    ("Microsoft.Devices/IotHubs", "IoT hubs"),
    ("Microsoft.Devices/provisioningServices", "Provisioning services"),
];

pub(crate) async fn page(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let subscriptions = visit.list("/subscriptions").await?;
    let mut shown = Vec::new();
    for subscription in &subscriptions {
        let id = text(subscription, "/id");
        let resources = visit.list(&format!("{id}/resources")).await?;
        shown.push((subscription, resources));
    }
    let content = html! {
        h1 { "Overview" }
        @if subscriptions.is_empty() {
            p { "You can read no subscription. Somebody with " code { "Microsoft.Authorization/roleAssignments/write" }
                " gives you one with:" }
            p.command { "az role assignment create --role Reader --assignee " (visit.session.upn)
                " --scope /subscriptions/ID" }
        }
        @for (subscription, resources) in &shown {
            section.place {
                h2 { a href=(paths::at(text(subscription, "/id"))) { (text(subscription, "/displayName")) } }
                @for (kind, title) in FIRST { (cards(kind, title, resources)) }
                (others(resources))
            }
        }
        section {
            h2 { "Was something refused?" }
            form.line method="get" action={ (ROOT) "/decisions" } {
                label for="tracking" { "Tracking id, or the error message that holds it" }
                input #tracking name="id" size="60" required;
                button.first { "Why?" }
            }
            p { "Every answer carries one, in the header " code { "x-ms-request-id" } " and in what clients print." }
        }
        (command("az resource list --output table"))
    };
    Ok(framed(&Frame::of("Overview", "", visit), &content))
}

fn is_of(resource: &Value, kind: &str) -> bool {
    text(resource, "/type").eq_ignore_ascii_case(kind)
}

fn cards(kind: &str, title: &str, resources: &[Value]) -> Markup {
    let all: Vec<&Value> = resources.iter().filter(|it| is_of(it, kind)).collect();
    html! {
        @if !all.is_empty() {
            h3 { (title) }
            ul.cards {
                @for it in all {
                    li { a.card href=(paths::at(text(it, "/id"))) {
                        strong { (text(it, "/name")) }
                        span { (group_of(text(it, "/id"))) }
                        span { (text(it, "/location")) }
                    } }
                }
            }
        }
    }
}

fn others(resources: &[Value]) -> Markup {
    let is_other = |it: &&Value| !FIRST.iter().any(|(kind, _)| is_of(it, kind));
    let all: Vec<&Value> = resources.iter().filter(is_other).collect();
    html! {
        @if !all.is_empty() {
            h3 { "Other resources" }
            table {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Type" } th scope="col" { "Resource group" } } }
                tbody {
                    @for it in all {
                        tr {
                            td { a href=(paths::at(text(it, "/id"))) { (text(it, "/name")) } }
                            td { (text(it, "/type")) }
                            td { (group_of(text(it, "/id"))) }
                        }
                    }
                }
            }
        }
    }
}

fn group_of(id: &str) -> &str {
    let mut segments = id.split('/').skip_while(|it| !it.eq_ignore_ascii_case("resourceGroups"));
    segments.nth(1).unwrap_or("")
}
