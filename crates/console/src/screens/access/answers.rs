//! Two questions about a place: who can do something there, and what somebody can do there. The gates answer both.

use super::Screen;
use super::graph::{Light, named, who};
use super::held::{Held, Kind};
use crate::layout::command;
use crate::paths;
use crate::trouble::{Refused, Trouble};
use crate::visit::{ok, text};
use hyper::Method;
use maud::{Markup, html};
use model::operations::known;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Both questions, as forms.
pub(super) fn questions(screen: &Screen<'_>, held: &Held) -> Markup {
    let actions: BTreeSet<&str> = known().flat_map(|it| it.actions).map(|it| it.as_str()).collect();
    let query = &screen.visit.query;
    let can_sign_in = |kind: Kind| !matches!(kind, Kind::Group | Kind::Everyone | Kind::Gone);
    let mut people: Vec<_> =
        held.principals.iter().filter(|(_, it)| can_sign_in(it.kind)).collect();
    people.sort_by_key(|(_, it)| it.name.to_lowercase());
    html! {
        div.pair {
            form.ask method="get" {
                input type="hidden" name="view" value="access";
                label for="can" { "Who can do this here?" }
                div.line {
                    input.wide id="can" name="can" list="actions" required value=(query.get("can"))
                        placeholder="Microsoft.Devices/IotHubs/listkeys/action";
                    input name="object" value=(query.get("object")) placeholder="device id, if it matters" aria-label="To what, where it matters";
                    button.first { "Who can?" }
                }
                datalist id="actions" { @for it in &actions { option value=(it) {} } }
            }
            form.ask method="get" {
                input type="hidden" name="view" value="access";
                label for="what" { "What can somebody do here?" }
                div.line {
                    select.wide id="what" name="what" {
                        @for (id, it) in &people {
                            option value=(id) selected[query.get("what") == *id] { (it.name) " (" (it.kind.word()) ")" }
                        }
                    }
                    button.first { "What can they do?" }
                }
            }
        }
    }
}

/// The answer to the question in the address, where there is one. Lights what it speaks of.
pub(super) async fn answer(
    screen: &mut Screen<'_>,
    held: &Held,
) -> Result<Option<Markup>, Trouble> {
    let query = &screen.visit.query;
    let (can, what) = (query.get("can"), query.get("what"));
    match (can.is_empty(), what.is_empty()) {
        (false, _) => who_can(screen, can).await.map(Some),
        (true, false) => what_can(screen, held, what).await.map(Some),
        (true, true) => Ok(None),
    }
}

async fn who_can(screen: &mut Screen<'_>, action: &str) -> Result<Markup, Trouble> {
    let object = screen.visit.query.get("object");
    let mut question = json!({ "action": action, "scope": screen.scope });
    let mut line = format!("hubward who-can {action} --scope {}", screen.scope);
    if !object.is_empty() {
        model::json::set(&mut question, "objectName", object);
        line.push_str(&format!(" --object-name {object}"));
    }
    let told = screen.visit.arm(Method::POST, "/decisions/whoCan", Some(&question)).await?;
    if !told.is_ok() {
        return Ok(Refused::of(&told).shown());
    }
    let answer = ok(told)?;
    let all = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (can, stopped, keys) = (all("can"), all("stopped"), all("withKeys"));
    let ways = can.iter().flat_map(through);
    let ids = ways.map(|it| text(it, "/roleAssignmentId").to_ascii_lowercase());
    screen.light = Light::Grants(ids.collect());
    let more = answer.get("more").and_then(Value::as_u64).unwrap_or(0);
    Ok(html! {
        section.answer aria-live="polite" {
            h2 {
                @match can.len() {
                    0 => { "Nobody can" }
                    1 => { "One can" }
                    many => { (many) " can" }
                }
                " do " code { (action) } " here"
            }
            (holders(screen, &can, "through"))
            @if !stopped.is_empty() {
                h3 { "A role lets these, and something stops them" }
                (holders(screen, &stopped, "stopped by"))
            }
            @if !keys.is_empty() {
                h3 { "Without a role for it, but with keys that open it, which they can list or set" }
                (holders(screen, &keys, "through"))
            }
            @if more > 0 { p { (more) " more are not listed." } }
            @if !text(&answer, "/opens").is_empty() { p.note { "It opens " (text(&answer, "/opens")) "." } }
            (command(&line))
        }
    })
}

fn through(holder: &Value) -> impl Iterator<Item = &Value> {
    holder.get("through").and_then(Value::as_array).into_iter().flatten()
}

/// A row for each way by which somebody holds it.
fn holders(screen: &Screen<'_>, all: &[Value], says: &str) -> Markup {
    html! {
        @if !all.is_empty() {
            table {
                thead { tr {
                    th scope="col" { "Who" } th scope="col" { "Kind" } th scope="col" { "Role" }
                    th scope="col" { "Given at" } th scope="col" { "Through" }
                    @if says == "stopped by" { th scope="col" { "Stopped by" } }
                } }
                tbody { @for it in all {
                    @if through(it).next().is_none() { (holder(screen, it, &Value::Null, says)) }
                    @for way in through(it) { (holder(screen, it, way, says)) }
                } }
            }
        }
    }
}

fn holder(screen: &Screen<'_>, it: &Value, way: &Value, says: &str) -> Markup {
    html! { tr {
        th scope="row" { a href=(screen.to(&who(text(it, "/objectId")), None)) { (text(it, "/name")) } }
        td { (text(it, "/type")) }
        td { (text(way, "/roleName")) }
        td { (scope_link(text(way, "/scope"))) }
        td { (groups(way)) }
        @if says == "stopped by" { td { (against(it)) } }
    } }
}

/// A place by its name, with the whole of it for who points there.
fn scope_link(scope: &str) -> Markup {
    let (name, word) = named(scope);
    html! { @if !scope.is_empty() { a href=(paths::view(scope, "access")) title=(scope) { (name) } " (" (word) ")" } }
}

/// What stands against it although a role grants it.
fn against(it: &Value) -> Markup {
    let all = it.get("against").and_then(Value::as_array).into_iter().flatten();
    html! {
        "the " (text(it, "/gate")) " gate"
        @for it in all { div { (text(it, "/kind")) " " strong { (text(it, "/name")) } " " (text(it, "/reason")) } }
    }
}

/// The groups on the way, from the inside.
fn groups(way: &Value) -> Markup {
    let all = way.get("groups").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<&str> = all.map(|it| text(it, "/name")).collect();
    html! { @if names.is_empty() { "given directly" } @else { "the group " (names.join(", in ")) } }
}

async fn what_can(screen: &mut Screen<'_>, held: &Held, id: &str) -> Result<Markup, Trouble> {
    let question = json!({ "principal": id, "scope": screen.scope });
    screen.light = Light::Principal(id.to_owned());
    screen.chosen = who(id);
    let told = screen.visit.arm(Method::POST, "/decisions/access", Some(&question)).await?;
    if !told.is_ok() {
        return Ok(Refused::of(&told).shown());
    }
    let answer = ok(told)?;
    let all = |of: &Value, name: &str| {
        of.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let places = all(&answer, "access");
    let more = answer.get("more").and_then(Value::as_u64).unwrap_or(0);
    Ok(html! {
        section.answer aria-live="polite" {
            h2 { "What " (held.name_of(id)) " can do here" }
            @if answer.get("enabled").and_then(Value::as_bool) == Some(false) { p.note { "The account is switched off." } }
            @for place in &places {
                h3 { (scope_link(text(place, "/scope"))) }
                @if all(place, "can").is_empty() && all(place, "stopped").is_empty() { p { "Nothing." } }
                @if place.get("networkRules").and_then(Value::as_bool) == Some(true) {
                    p { "Network rules say from where it may be reached." }
                }
                @for (name, is_stopped) in [("can", false), ("stopped", true)] {
                    @let groups = all(place, name);
                    @if !groups.is_empty() {
                        table {
                            caption { @if is_stopped { "A role lets this, and something stops it" } @else { "Can" } }
                            thead { tr {
                                th scope="col" { "On" } th scope="col" { "Does" } th scope="col" { "Through" }
                                @if is_stopped { th scope="col" { "Stopped by" } }
                            } }
                            tbody { @for it in &groups { tr {
                                th.name scope="row" { (text(it, "/group")) }
                                td { (actions(it)) }
                                td { @for way in through(it) { div { (text(way, "/roleName")) ", " (groups_and_place(way)) } } }
                                @if is_stopped { td { (against(it)) } }
                            } } }
                        }
                    }
                }
            }
            @for key in all(&answer, "keys") {
                p.note { "It " (text(&key, "/by")) " keys at " span.name { (text(&key, "/scope")) }
                    @if !text(&key, "/opens").is_empty() { ", which open " (text(&key, "/opens")) } "." }
            }
            @if more > 0 { p { (more) " more places are not listed." } }
            (command(&format!("hubward access {id} --at {}", screen.scope)))
        }
    })
}

fn groups_and_place(way: &Value) -> Markup {
    html! { (groups(way)) " at " (scope_link(text(way, "/scope"))) }
}

/// The last words of a group's actions, which is what tells them apart.
fn actions(group: &Value) -> String {
    let prefix = format!("{}/", text(group, "/group"));
    let all = group.get("actions").and_then(Value::as_array).into_iter().flatten();
    let short =
        |it: &str| it.strip_prefix(&prefix).unwrap_or(it).trim_end_matches("/action").to_owned();
    all.filter_map(Value::as_str).map(short).collect::<Vec<_>>().join(", ")
}
