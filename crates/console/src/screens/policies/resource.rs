//! An assignment, a definition, an initiative or an exemption by itself: what it says, where it counts, its revisions.

use super::{
    PROVIDER, assignments_of, before, effects, effects_shown, exemptions, exemptions_of, forms,
    is_enforced, last, place_name, revisions, rules, title,
};
use crate::layout::{command, forgery};
use crate::page::Page;
use crate::paths;
use crate::screens::place::{Kind, Place};
use crate::trouble::Trouble;
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use serde_json::Value;

/// The first view of a policy object.
pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let mut refused = None;
    if visit.form.is_some() && place.kind == Kind::PolicyAssignment {
        match forms::change(visit, place.scope).await? {
            Ok(page) => return Ok(page),
            Err(why) => refused = Some(why),
        }
    }
    let told = visit.arm(Method::GET, &paths::id(place.scope), None).await?;
    if told.status == 404 {
        // What it was before it went is still told.
        let content = html! {
            p.note { "This is not there, or no longer." }
            (revisions::section(visit, place.scope).await?)
        };
        return Ok(place.framed(visit, None, &content));
    }
    let document = crate::visit::ok(told)?;
    let content = html! {
        @if let Some(refused) = &refused { (refused.shown()) }
        @match place.kind {
            Kind::PolicyAssignment => (assignment(visit, &document).await?),
            Kind::PolicyDefinition => (definition(visit, &document).await?),
            _ => pre { code { (format!("{:#}", document.get("properties").unwrap_or(&Value::Null))) } },
        }
        (revisions::section(visit, place.scope).await?)
    };
    Ok(place.framed(visit, None, &content))
}

async fn assignment(visit: &Visit<'_>, it: &Value) -> Result<Markup, Trouble> {
    let (id, at) = (text(it, "/id"), text(it, "/properties/scope"));
    let definition_id = text(it, "/properties/policyDefinitionId");
    let told = visit.arm(Method::GET, &paths::id(definition_id), None).await?;
    let definition = told.is_ok().then_some(told.body);
    let list = format!("{}/{PROVIDER}/policyExemptions", paths::id(at.trim_end_matches('/')));
    let all = visit.list(&list).await.unwrap_or_default();
    let own: Vec<Value> = exemptions_of(&all, id).cloned().collect();
    let enforced = is_enforced(it);
    Ok(html! {
        dl.facts {
            dt { "Policy" } dd { a href=(paths::at(definition_id)) {
                @match &definition { Some(it) => (title(it)), None => (last(definition_id)) } } }
            @if let Some(definition) = &definition { dt { "Effect" } dd { (effects_shown(&effects(definition, it))) } }
            dt { "Assigned at" } dd { a href=(paths::view(at, "policies")) { (place_name(at)) } " and below" }
            @for it in it.pointer("/properties/notScopes").and_then(Value::as_array).into_iter().flatten() {
                dt { "But not at" } dd.name { (it.as_str().unwrap_or("")) }
            }
            dt { "Enforced" } dd { @if enforced { "yes" } @else { "no: what it would refuse is noted, and nobody is refused" } }
        }
        (given(it))
        @if let Some(definition) = &definition { (rules_shown(definition)) }
        (exemptions(&own))
        (changes(visit, id, enforced))
        (command(&format!("az policy assignment show --name {} --scope {at}", text(it, "/name"))))
    })
}

fn given(assignment: &Value) -> Markup {
    let given = assignment.pointer("/properties/parameters").and_then(Value::as_object);
    html! {
        @if let Some(given) = given.filter(|it| !it.is_empty()) {
            h2 { "Parameters" }
            table { tbody { @for (name, it) in given {
                tr { th scope="row" { (name) } td.name { (it.get("value").unwrap_or(it)) } }
            } } }
        }
    }
}

/// What can be done about an assignment.
fn changes(visit: &Visit<'_>, id: &str, is_enforced: bool) -> Markup {
    let (mode, says) = match is_enforced {
        true => ("DoNotEnforce", "Only note from now on"),
        false => ("Default", "Enforce from now on"),
    };
    html! {
        div.line {
            form method="post" action=(paths::at(id)) {
                (forgery(&visit.session))
                input type="hidden" name="do" value="enforce";
                input type="hidden" name="mode" value=(mode);
                button { (says) }
            }
            details.do {
                summary { "Take it away" }
                form method="post" action=(paths::at(id)) {
                    (forgery(&visit.session))
                    input type="hidden" name="do" value="remove";
                    p { "From the next call on, nothing is judged by it. Its revisions stay." }
                    button.danger { "Take the assignment away" }
                }
            }
        }
    }
}

async fn definition(visit: &Visit<'_>, it: &Value) -> Result<Markup, Trouble> {
    let id = text(it, "/id");
    let at = before(id);
    let all = visit.list(&format!("{}/{PROVIDER}/policyAssignments", paths::id(at))).await;
    let all = all.unwrap_or_default();
    let used: Vec<&Value> = assignments_of(&all, id).collect();
    Ok(html! {
        p.lead { (text(it, "/properties/description")) }
        dl.facts {
            dt { "Effect" } dd { (effects_shown(&effects(it, &Value::Null))) }
            dt { "Mode" } dd { (text(it, "/properties/mode")) }
            dt { "Assigned" }
            dd {
                @if used.is_empty() { "nowhere that you can read" }
                @for it in &used {
                    a href=(paths::at(text(it, "/id"))) { (title(it)) }
                    " at " (place_name(text(it, "/properties/scope"))) br;
                }
            }
        }
        p { a.button href=(paths::view(id, "bench")) { "Edit on the bench" } }
        (rules_shown(it))
        (command(&format!("az policy definition show --name {}", text(it, "/name"))))
    })
}

fn rules_shown(definition: &Value) -> Markup {
    let all = rules(definition);
    html! {
        h2 { @if all.len() == 1 { "Rule" } @else { "Rules, in the order in which they count" } }
        ol.rules start="0" {
            @for it in &all { li { pre { code { (format!("{it:#}")) } } } }
        }
    }
}
