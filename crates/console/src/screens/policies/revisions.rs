//! What was changed in a policy object, when and by whom: a revision for each write, the newest first.

use crate::paths;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use serde_json::Value;

/// Most revisions that one page shows.
const SHOWN_MAX: usize = 50;

/// The revisions of what has this id.
pub(crate) async fn section(visit: &Visit<'_>, id: &str) -> Result<Markup, Trouble> {
    let told = visit.arm(Method::GET, &format!("{}/revisions", paths::id(id)), None).await?;
    if told.status == 404 {
        return Ok(
            html! { h2 { "Revisions" } p.calm { "It was made at first start and never written since." } },
        );
    }
    if !told.is_ok() {
        return Ok(html! { h2 { "Revisions" } (Refused::of(&told).shown()) });
    }
    let all = told.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(html! {
        h2 #revisions { "Revisions" }
        ol.revisions {
            @for (index, it) in all.iter().rev().take(SHOWN_MAX).enumerate() { (revision(it, index == 0)) }
        }
        @if all.len() > SHOWN_MAX { p { "The command below lists the " (all.len() - SHOWN_MAX) " before." } }
        (crate::layout::command(&format!("az rest --url {id}/revisions?api-version={}", crate::visit::ARM)))
    })
}

fn revision(it: &Value, is_newest: bool) -> Markup {
    let number = it.get("revision").and_then(Value::as_u64).unwrap_or(0);
    let (time, by) = (text(it, "/time"), text(it, "/author/name"));
    let changes = it.get("difference").and_then(Value::as_array);
    // The server names each state of an assignment anew.
    let is_said = |it: &&Value| text(it, "/path") != "properties.instanceId";
    let changes: Vec<&Value> = changes.into_iter().flatten().filter(is_said).collect();
    let changes = changes.as_slice();
    let decision = text(it, "/trackingId");
    html! {
        li {
            details open[is_newest] {
                summary {
                    strong { "Revision " (number) } " by " (by) ", " time datetime=(time) { (time) } " "
                    span.soft { (summary(changes)) }
                }
                @match whole(changes) {
                    Some(document) => pre { code { (format!("{:#}", document.get("properties").unwrap_or(document))) } },
                    None => (differences(changes)),
                }
                @if !decision.is_empty() { p { a href=(paths::decision(decision)) { "The decision that let it be written" } } }
            }
        }
    }
}

/// The document that came or went as a whole.
fn whole<'v>(changes: &[&'v Value]) -> Option<&'v Value> {
    let only = changes.first().filter(|it| text(it, "/path").is_empty())?;
    let side = |name: &str| only.get(name).filter(|it| !it.is_null());
    side("after").or_else(|| side("before"))
}

fn summary(changes: &[&Value]) -> String {
    match (whole(changes), changes) {
        (Some(_), [it, ..]) if it.get("before").is_none_or(Value::is_null) => "created".to_owned(),
        (Some(_), _) => "deleted".to_owned(),
        (None, []) => "written, nothing changed".to_owned(),
        (None, [one]) => format!("changed {}", text(one, "/path")),
        (None, all) => format!("{} places changed", all.len()),
    }
}

fn differences(changes: &[&Value]) -> Markup {
    html! {
        table.difference {
            thead { tr { th scope="col" { "Where" } th scope="col" { "Before" } th scope="col" { "After" } } }
            tbody {
                @for it in changes {
                    tr {
                        th.name scope="row" { (text(it, "/path")) }
                        td { (side(it, "before")) }
                        td { (side(it, "after")) }
                    }
                }
            }
        }
    }
}

fn side(change: &Value, name: &str) -> Markup {
    html! {
        @match change.get(name).filter(|it| !it.is_null()) {
            Some(Value::String(it)) => span class={ "name " (name) } { (it) },
            Some(it) => span class={ "name " (name) } { (format!("{it:#}")) },
            None => em.soft { "nothing" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_revision_says_in_a_word_what_it_did() {
        let made = json!({ "path": "", "before": null, "after": { "a": 1 } });
        let gone = json!({ "path": "", "before": { "a": 1 }, "after": null });
        let edited = json!({ "path": "properties.mode", "before": "All", "after": "Indexed" });
        assert_eq!(summary(&[&made]), "created");
        assert_eq!(summary(&[&gone]), "deleted");
        assert_eq!(summary(&[&edited]), "changed properties.mode");
        assert_eq!(summary(&[&edited, &edited]), "2 places changed");
        assert_eq!(summary(&[]), "written, nothing changed");
    }
}
