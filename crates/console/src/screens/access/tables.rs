//! The twin of the picture as a table, the changes as a slider and a list, and the denials.

use super::Screen;
use super::graph::{named, place, role, who};
use super::held::{Change, Grant, Held, Kind};
use crate::layout::{command, forgery};
use crate::paths;
use crate::visit::text;
use maud::{Markup, html};
use serde_json::Value;

/// Most changes that the list below the slider shows, the newest of those until the time that is shown.
const CHANGES_SHOWN: usize = 12;
/// Most assignments of the table.
const ROWS_MAX: usize = 1_000;

/// The time of the picture: how many of the changes had been made, the last of them named.
pub(super) fn slider(screen: &Screen<'_>, held: &Held) -> Markup {
    let (at, all) = (held.at, held.changes.len());
    let last = at.checked_sub(1).and_then(|it| held.changes.get(it));
    html! {
        @if all > 0 {
            section.times aria-label="Time" {
                form.line method="get" {
                    (screen.kept(&["at"]))
                    label for="at" { "As it was after change" }
                    input.slider id="at" name="at" type="range" min="0" max=(all) value=(at) aria-valuetext=(sentence(held, last));
                    output for="at" { (at) " of " (all) }
                    button { "Show" }
                    @if at > 0 { a.button href=(screen.to(&screen.chosen, Some(at - 1))) { "Earlier" } }
                    @if at < all { a.button href=(screen.to(&screen.chosen, Some(at + 1))) { "Later" } a href=(screen.to(&screen.chosen, None)) { "Now" } }
                }
                p.change role="status" {
                    @if let Some(it) = last { strong { (sentence(held, last)) } " " (when(it)) } @else { strong { "Before the first change that is kept" } }
                    @if at < all { " This is the past: groups and denials are shown as they are now." }
                }
                details {
                    summary { "Changes until then" }
                    table {
                        thead { tr { th scope="col" { "Change" } th scope="col" { "Who did what" } th scope="col" { "When" } } }
                        tbody {
                            @for (index, it) in held.changes.iter().enumerate().take(at).rev().take(CHANGES_SHOWN) {
                                tr {
                                    td { a href=(screen.to(&screen.chosen, Some(index + 1))) { (index + 1) } }
                                    td { (sentence(held, Some(it))) }
                                    td { (when(it)) }
                                }
                            }
                        }
                    }
                    (command(&format!("az rest --method get --url \"{}/providers/Microsoft.Authorization/roleAssignmentHistory?api-version=2022-04-01\"",
                        screen.scope.trim_end_matches('/'))))
                }
            }
        }
    }
}

fn sentence(held: &Held, change: Option<&Change>) -> String {
    let Some(change) = change else { return "Before the first change that is kept".to_owned() };
    let author = match change.author.is_empty() {
        true => "The server",
        false => change.author.as_str(),
    };
    match change.grant() {
        Some(it) => {
            let joined = if change.verb() == "took" { "from" } else { "to" };
            let (role, whom) = (held.role(&it.role), held.name_of(&it.principal));
            match change.verb() {
                "changed" => format!("{author} changed {role} of {whom} at {}", named(&it.scope).0),
                verb => format!("{author} {verb} {role} {joined} {whom} at {}", named(&it.scope).0),
            }
        }
        None => format!("{author} changed an assignment that is not kept any more"),
    }
}

fn when(change: &Change) -> Markup {
    html! {
        time datetime=(change.time) { (change.time) }
        @if !change.tracking.is_empty() { " " a href=(paths::decision(&change.tracking)) { "decision" } }
    }
}

/// Every assignment, or those on the paths that are lit.
pub(super) fn assignments(screen: &Screen<'_>, held: &Held) -> Markup {
    let is_shown = |it: &&Grant| !screen.light.is_on() || screen.light.lights(it, held);
    let shown: Vec<&Grant> = held.grants.iter().filter(is_shown).collect();
    let is_now = held.at == held.changes.len();
    html! {
        h2 #assignments { "Assignments" }
        @if screen.light.is_on() {
            p role="status" { (shown.len()) " of " (held.grants.len()) " lie on the paths that are lit. " a href=(screen.to("", screen.at)) { "Show all" } }
        }
        table {
            thead { tr {
                th scope="col" { "Who" } th scope="col" { "Kind" } th scope="col" { "Role" } th scope="col" { "At" }
                th scope="col" { "Since" } th scope="col" { "" }
            } }
            tbody {
                @for it in shown.iter().take(ROWS_MAX) { (row(screen, held, it, is_now)) }
            }
        }
        @if shown.len() > ROWS_MAX { p { (shown.len() - ROWS_MAX) " more are not shown." } }
    }
}

fn row(screen: &Screen<'_>, held: &Held, it: &Grant, is_now: bool) -> Markup {
    let principal = held.principals.get(&it.principal);
    let kind = principal.map_or(Kind::Gone, |it| it.kind);
    html! { tr data-denies=[it.is_denial.then_some("yes")] {
        th scope="row" {
            a href=(screen.to(&who(&it.principal), screen.at)) { (held.name_of(&it.principal)) }
            @if let Some(detail) = principal.map(|it| it.detail.as_str()).filter(|it| !it.is_empty()) { div.name.soft { (detail) } }
        }
        td { (kind.word()) (members(held, &it.principal)) }
        td {
            @if it.is_denial { strong { "denied: " } }
            a href=(screen.to(&role(&it.role), screen.at)) { (held.role(&it.role)) }
            @if !it.condition.is_empty() { details { summary { "with a condition" } code { (it.condition) } } }
        }
        td.name { a href=(screen.to(&place(&it.scope), screen.at)) { (it.scope) } }
        td { time datetime=(it.since) { (it.since) } }
        td { @if is_now && !it.is_denial { (take(screen, held, it)) } }
    } }
}

fn members(held: &Held, group: &str) -> Markup {
    let names = held.members.get(group).into_iter().flatten().map(|it| held.name_of(it));
    let names: Vec<&str> = names.collect();
    html! { @if !names.is_empty() { div.soft { "with " (names.join(", ")) } } }
}

/// Taking a role is asked twice, without a script.
fn take(screen: &Screen<'_>, held: &Held, it: &Grant) -> Markup {
    let what = format!(
        "{} from {} at {}",
        held.role(&it.role),
        held.name_of(&it.principal),
        named(&it.scope).0
    );
    html! {
        details.take {
            summary aria-label={ "Take away " (what) } { "Take away" }
            form method="post" action=(paths::view(screen.scope, "access")) {
                (forgery(&screen.visit.session))
                input type="hidden" name="do" value="take";
                input type="hidden" name="id" value=(it.id);
                button.danger { "Take " (what) }
            }
        }
    }
}

/// What denials say, which no line of the picture has room for.
pub(super) fn denials(held: &Held) -> Markup {
    html! {
        @if !held.denials.is_empty() {
            h2 { "Denials" }
            table {
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "Denies" } th scope="col" { "To" } th scope="col" { "But not to" } th scope="col" { "At" }
                } }
                tbody { @for it in &held.denials { tr {
                    th scope="row" { (text(it, "/properties/denyAssignmentName")) }
                    td.name { (patterns(it)) }
                    td { (whom(held, it, "principals")) }
                    td { (whom(held, it, "excludePrincipals")) }
                    td.name { (text(it, "/properties/scope"))
                        @if it.pointer("/properties/doNotApplyToChildScopes").and_then(Value::as_bool) == Some(true) { " and nowhere below" } }
                } } }
            }
        }
    }
}

fn patterns(denial: &Value) -> String {
    let all = denial.pointer("/properties/permissions").and_then(Value::as_array);
    let of = |it: &Value, name: &str| -> Vec<String> {
        let list = it.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let told = |it: &Value| {
        let (mut denied, but) =
            (of(it, "actions"), [of(it, "notActions"), of(it, "notDataActions")].concat());
        denied.extend(of(it, "dataActions"));
        match but.is_empty() {
            true => denied.join(", "),
            false => format!("{} but not {}", denied.join(", "), but.join(", ")),
        }
    };
    all.into_iter().flatten().map(told).collect::<Vec<_>>().join("; ")
}

fn whom(held: &Held, denial: &Value, list: &str) -> String {
    let all = denial.pointer(&format!("/properties/{list}")).and_then(Value::as_array);
    let names = all.into_iter().flatten().map(|it| held.name_of(text(it, "/id")).to_owned());
    names.collect::<Vec<_>>().join(", ")
}
