//! Whether devices can register now at each linked hub: the three sections of the diagnosis with their evidence.

use crate::api::Told;
use crate::layout::command;
use crate::paths;
use crate::screens::decision;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use model::trace::Finding;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Most linked hubs that are diagnosed on the page.
const HUBS_MAX: usize = 8;

/// What the gates say of each linked hub.
pub(super) struct Diagnoses<'a> {
    service: &'a str,
    /// The hub's id, and the answer.
    all: Vec<(String, Told)>,
}

impl<'a> Diagnoses<'a> {
    /// Asks about these hubs, by their ids.
    pub(super) async fn ask<'h>(
        visit: &Visit<'_>,
        service: &'a str,
        hubs: impl Iterator<Item = &'h str>,
    ) -> Result<Self, Trouble> {
        let mut all = Vec::new();
        for hub in hubs.take(HUBS_MAX) {
            let question = json!({ "provisioningService": service, "hub": hub });
            let told = visit.arm(Method::POST, "/decisions/diagnose", Some(&question)).await?;
            all.push((hub.to_owned(), told));
        }
        Ok(Self { service, all })
    }

    /// The answers at a glance.
    pub(super) fn glance(&self) -> Markup {
        html! {
            p.glance role="status" {
                "Can devices register now? "
                @if self.all.is_empty() { strong { "There is no linked hub that you can read." } }
                @for (hub, told) in &self.all {
                    a.verdict-link href="#diagnosis" {
                        @if told.is_ok() { (mark(&told.body, "/verdict")) } @else { "not asked" }
                        " at " (name(hub))
                    }
                    " "
                }
            }
        }
    }

    pub(super) fn shown(&self) -> Markup {
        let first = self.all.first().map_or("HUB", |(hub, _)| hub.as_str());
        html! {
            section #diagnosis {
                h2 { "Can devices register now?" }
                @for (hub, told) in &self.all {
                    @if told.is_ok() {
                        (diagnosis(&told.body, hub))
                    } @else {
                        h3 { (name(hub)) }
                        (Refused::of(told).shown())
                    }
                }
                (command(&format!("hubward diagnose dps {} --hub {first}", self.service)))
            }
        }
    }
}

fn name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn list<'v>(of: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    of.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn mark(of: &Value, pointer: &str) -> Markup {
    let mark = text(of, pointer).to_owned();
    html! { span.mark-word data-mark=(mark) { (mark) } }
}

fn diagnosis(told: &Value, hub: &str) -> Markup {
    html! {
        article.diagnosis {
            h3 { "At " a href=(paths::at(hub)) { (name(hub)) } ": " (mark(told, "/verdict")) }
            p { "As " strong { (text(told, "/caller/name")) } ", which writes devices to the hub." }
            ol.sections {
                @for it in list(told, "/sections") { (section(it)) }
            }
            @if told.get("redacted").and_then(Value::as_bool) == Some(true) {
                p.note { "Conditions of policies and ways out of them are left out: you may not read the policy assignments." }
            }
            @if let Some(it) = told.get("onset").filter(|it| !it.is_null()) { (onset(it)) }
        }
    }
}

fn section(section: &Value) -> Markup {
    let is_passed = text(section, "/verdict") == "pass";
    html! {
        li data-mark=(text(section, "/verdict")) {
            details open[!is_passed] {
                summary { strong { (text(section, "/name")) } " " (mark(section, "/verdict")) " " (text(section, "/says")) }
                @if list(section, "/rights").next().is_some() { (rights(section)) }
                @if list(section, "/checks").next().is_some() {
                    ul.checks { @for it in list(section, "/checks") { li { (mark(it, "/mark")) " " (text(it, "/says")) } } }
                }
                @for it in list(section, "/findings").filter_map(|it| Finding::deserialize(it).ok()) { (finding(&it)) }
                @for fix in list(section, "/fixes") { (decision::fix(fix)) }
            }
        }
    }
}

fn rights(section: &Value) -> Markup {
    let flag = |it: &Value, name: &str| it.get(name).and_then(Value::as_bool) == Some(true);
    html! {
        table {
            thead { tr { th scope="col" { "Right" } th scope="col" { "Needed" } th scope="col" { "Granted" } th scope="col" { "By" } } }
            tbody { @for it in list(section, "/rights") { tr {
                th.name scope="row" { (text(it, "/action")) }
                td { @if flag(it, "isNeeded") { "yes" } @else { "no" } }
                td { @if flag(it, "isGranted") { "yes" } @else if flag(it, "isNeeded") { strong.bad { "no" } } @else { "no" } }
                td { @for by in list(it, "/by") { div { (text(by, "/role")) " by " code { (text(by, "/pattern")) } " at " (name(text(by, "/scope"))) } } }
            } } }
        }
    }
}

fn finding(found: &Finding) -> Markup {
    html! {
        details {
            summary { (found.result.told()) " " (found.name) }
            p { (found.reason) }
            p.name { (found.id) }
            @if !found.conditions.is_empty() { (decision::conditions(&found.conditions)) }
        }
    }
}

fn onset(onset: &Value) -> Markup {
    let refusal = |pointer: &str, title: &str| {
        let tracking = text(onset, &format!("{pointer}/trackingId"));
        html! { @if !tracking.is_empty() {
            dt { (title) }
            dd { time datetime=(text(onset, &format!("{pointer}/time"))) { (text(onset, &format!("{pointer}/time"))) }
                " device " code { (text(onset, &format!("{pointer}/device"))) } " "
                a.button href=(paths::decision(tracking)) { "Why?" } }
        } }
    };
    let by: Vec<&str> = list(onset, "/by").filter_map(Value::as_str).collect();
    html! {
        h4 { "Since when" }
        dl.facts {
            dt { "Refused at" } dd { "the " (text(onset, "/gate")) " gate" @if !by.is_empty() { ": " (by.join(", ")) } }
            @if !text(onset, "/change/id").is_empty() {
                dt { "Since" }
                dd { (text(onset, "/change/name")) " was " (text(onset, "/change/verb")) " "
                    time datetime=(text(onset, "/change/time")) { (text(onset, "/change/time")) }
                    @if !text(onset, "/change/author/name").is_empty() { " by " (text(onset, "/change/author/name")) } }
            }
            (refusal("/firstRefusal", "First refusal"))
            (refusal("/lastRefusal", "Last refusal"))
            dt { "Refusals" } dd { (onset.get("refusals").and_then(Value::as_u64).unwrap_or(0)) }
            @for note in list(onset, "/notes").filter_map(Value::as_str) { dt { "Note" } dd { (note) } }
        }
    }
}
