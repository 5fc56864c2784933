//! The devices of a hub: all of them as a map by state, a page of them as a table, and whom the hub refused lately.

mod refused;

use crate::hub::Hub;
use crate::layout::command;
use crate::page::Page;
use crate::paths;
use crate::screens::place::Place;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use maud::{Markup, html};
use model::json::text as member;
use refused::Refusals;
use serde_json::{Value, json};

/// Devices of a page of the table.
const PAGE: usize = 50;
/// Where a hub is asked for devices.
const QUERY: &str = "/devices/query";
/// Devices that one query brings to the map, and how many queries one step of its loading makes.
const QUERY_PAGE: usize = 1_000;
const STEP_QUERIES: usize = 5;
/// Most devices that the map draws.
const MAP_MAX: usize = 20_000;
/// Most ids of refused devices that a query is asked about.
const REFUSED_MAX: usize = 50;

/// What the map tells apart; a device is in one of them.
const STATES: [(&str, &str); 3] =
    [("connected", "Connected"), ("disconnected", "Not connected"), ("disabled", "Disabled")];
/// What a device can be beside its state.
const REFUSED: (&str, &str) = ("refused", "Refused in the last hour");

pub(crate) async fn page(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let hub = Hub::reach(visit, place.scope).await?;
    if visit.query.get("part") == "map" {
        return step(visit, &hub).await;
    }
    let refusals = refused::lately(visit, &hub).await?;
    let wanted = Wanted::of(visit);
    if visit.query.get("part") == "table" {
        let table = Trouble::in_place(table(visit, &hub, &wanted, &refusals).await)?;
        return Ok(Page::json(&json!({ "html": table.into_string() })));
    }
    let content = html! {
        (hub.told())
        (Trouble::in_place(map(visit, &hub, &wanted, &refusals).await)?)
        (search(&hub, &wanted))
        div #devices-table { (Trouble::in_place(table(visit, &hub, &wanted, &refusals).await)?) }
        @if let Err(refused) = &refusals {
            p.note { "Who was refused lately is not shown: " (refused.message)
                @if let Some(id) = &refused.tracking { " " a href=(paths::decision(id)) { "Why?" } } }
        }
        (command(&format!(
            "az iot hub query --hub-name {} --query-command \"SELECT deviceId, status, connectionState FROM devices{}\"",
            hub.name(), wanted.condition(&refusals))))
    };
    Ok(place.framed(visit, Some("devices.js"), &content))
}

/// Which devices a page is about.
struct Wanted<'v> {
    /// One of [`STATES`] or [`REFUSED`]; none for all.
    state: Option<&'static str>,
    /// How their ids begin.
    search: &'v str,
}

impl<'v> Wanted<'v> {
    fn of(visit: &'v Visit<'_>) -> Self {
        let asked = visit.query.get("state");
        let mut all = STATES.into_iter().chain([REFUSED]).map(|(it, _)| it);
        Self { state: all.find(|it| *it == asked), search: visit.query.get("search") }
    }

    /// The same for a query of the hub: nothing, or ` WHERE ...`.
    fn condition(&self, refusals: &Result<Refusals, Refused>) -> String {
        let state = self.state.map(|it| match it {
            "connected" => "status = 'enabled' AND connectionState = 'Connected'".to_owned(),
            "disconnected" => "status = 'enabled' AND connectionState = 'Disconnected'".to_owned(),
            "disabled" => "status = 'disabled'".to_owned(),
            _ => {
                let ids = refusals.iter().flat_map(Refusals::ids).take(REFUSED_MAX).map(quoted);
                format!("deviceId IN [{}]", ids.collect::<Vec<_>>().join(", "))
            }
        });
        let begin = (!self.search.is_empty())
            .then(|| format!("STARTS_WITH(deviceId, {})", quoted(self.search)));
        let all: Vec<String> = state.into_iter().chain(begin).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }

    /// The address of this page with another state.
    fn at(&self, scope: &str, state: Option<&str>) -> String {
        let mut at = paths::view(scope, "devices");
        for (name, value) in [("state", state.unwrap_or("")), ("search", self.search)] {
            if !value.is_empty() {
                at = format!("{at}&{name}={}", paths::segment(value));
            }
        }
        at
    }
}

/// A text in the query language.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Which of [`STATES`] a device is in.
pub(crate) fn state(twin: &Value) -> &'static str {
    match (text(twin, "/status"), text(twin, "/connectionState")) {
        ("disabled", _) => "disabled",
        (_, "Connected") => "connected",
        _ => "disconnected",
    }
}

pub(crate) fn title(state: &str) -> &'static str {
    STATES.iter().find(|(it, _)| *it == state).map_or("", |(_, title)| title)
}

/// The picture, empty until the script has loaded it, and how many devices are in each state.
async fn map(
    visit: &Visit<'_>,
    hub: &Hub,
    wanted: &Wanted<'_>,
    refusals: &Result<Refusals, Refused>,
) -> Result<Markup, Trouble> {
    const COUNTS: &str = "SELECT status, connectionState, COUNT() AS devices FROM devices \
                          GROUP BY status, connectionState";
    let (counts, _) = hub.query(visit, (QUERY, COUNTS), Some(QUERY_PAGE), None).await?;
    let count = |row: &Value| row.get("devices").and_then(Value::as_u64).unwrap_or(0);
    let counted = |wanted: &str| -> u64 {
        match (wanted, refusals) {
            ("refused", Ok(refusals)) => refusals.ids().count() as u64,
            _ => counts.iter().filter(|it| state(it) == wanted).map(count).sum(),
        }
    };
    let total: u64 = counts.iter().map(count).sum();
    let shown = STATES.into_iter().chain(refusals.is_ok().then_some(REFUSED));
    let entry = |name: Option<&'static str>, title: &str, devices: u64| {
        let is_here = wanted.state == name;
        html! {
            a data-state=(name.unwrap_or("")) href=(wanted.at(&hub.scope, name)) aria-current=[is_here.then_some("true")] {
                @if let Some(name) = name { span.swatch data-state=(name) aria-hidden="true" {} }
                strong data-count { (devices) } " " (title)
            }
        }
    };
    let view = paths::view(&hub.scope, "devices");
    Ok(html! {
        nav.legend aria-label="States" {
            (entry(None, "devices", total))
            @for (name, title) in shown { (entry(Some(name), title, counted(name))) }
        }
        figure #fleet hidden data-from={ (view) "&part=map" } data-table={ (view) "&part=table" }
            data-device={ (paths::view(&hub.scope, "device")) "&device=" } data-most=(MAP_MAX)
            data-state=(wanted.state.unwrap_or("")) data-search=(wanted.search) {
            div #fleet-map tabindex="0" role="application" aria-roledescription="map of devices"
                aria-label="All devices by state, in the order of their ids" aria-describedby="fleet-help fleet-says" {
                canvas #fleet-all {}
                canvas #fleet-here {}
                div #fleet-tip hidden {}
            }
            figcaption {
                span #fleet-says role="status" { "Loading" }
                span.lead #fleet-help { "Arrow keys go from device to device, Enter opens one. The table below holds the same." }
            }
        }
    })
}

fn search(hub: &Hub, wanted: &Wanted<'_>) -> Markup {
    html! {
        form.line #devices-search method="get" action=(paths::at(&hub.scope)) {
            input type="hidden" name="view" value="devices";
            @if let Some(state) = wanted.state { input type="hidden" name="state" value=(state); }
            label for="search" { "Ids that begin with" }
            input #search name="search" value=(wanted.search) size="30" autocomplete="off" spellcheck="false";
            button { "Find" }
        }
    }
}

async fn table(
    visit: &Visit<'_>,
    hub: &Hub,
    wanted: &Wanted<'_>,
    refusals: &Result<Refusals, Refused>,
) -> Result<Markup, Trouble> {
    let query = format!(
        "SELECT deviceId, status, statusReason, connectionState, authenticationType FROM devices{}",
        wanted.condition(refusals)
    );
    let after = Some(visit.query.get("after")).filter(|it| !it.is_empty());
    let is_none = wanted.state == Some(REFUSED.0)
        && refusals.as_ref().is_ok_and(|it| it.ids().next().is_none());
    let (devices, next) = match is_none {
        true => (Vec::new(), None),
        false => hub.query(visit, (QUERY, &query), Some(PAGE), after).await?,
    };
    let here = wanted.at(&hub.scope, wanted.state);
    Ok(html! {
        @if devices.is_empty() {
            p.calm { @if wanted.state == Some(REFUSED.0) { "No device of this hub." } @else if next.is_some() { "None on this page; there are more to look at." } @else { "No device is like that." } }
        } @else {
            table {
                caption { @if after.is_some() { "Further devices" } @else { "Devices" } ", in the order of their ids" }
                thead { tr {
                    th scope="col" { "Device" } th scope="col" { "State" } th scope="col" { "Proves itself by" }
                    th scope="col" { "Refused in the last hour" }
                } }
                tbody { @for it in &devices { (row(hub, it, refusals)) } }
            }
        }
        (strangers(wanted, &devices, refusals))
        nav.pages aria-label="Pages" {
            @if after.is_some() { a.button href=(here) { "First page" } }
            @if let Some(next) = &next {
                a.button href={ (here) "&after=" (paths::segment(next)) } { "Next page" }
            }
        }
    })
}

/// Who was refused under a name that no device of the hub has.
fn strangers(
    wanted: &Wanted<'_>,
    devices: &[Value],
    refusals: &Result<Refusals, Refused>,
) -> Markup {
    let is_known = |id: &str| devices.iter().any(|it| text(it, "/deviceId") == id);
    let ids = refusals.iter().flat_map(Refusals::ids).take(REFUSED_MAX);
    let ids = ids.filter(|it| wanted.state == Some(REFUSED.0) && it.starts_with(wanted.search));
    let ids: Vec<&str> = ids.filter(|it| !is_known(it)).collect();
    let refusal = |id: &str| refusals.as_ref().ok().and_then(|it| it.of(id));
    html! {
        @if !ids.is_empty() {
            p { "Refused, and no devices of this hub:" }
            ul.strangers {
                @for id in ids {
                    li { code { (id) } " "
                        @if let Some(it) = refusal(id) { a.button href=(paths::decision(&it.tracking)) { "Why?" } } }
                }
            }
        }
    }
}

fn row(hub: &Hub, device: &Value, refusals: &Result<Refusals, Refused>) -> Markup {
    let id = text(device, "/deviceId");
    let state = state(device);
    let reason = member(device, &["statusReason"]).unwrap_or("");
    let refusal = refusals.as_ref().ok().and_then(|it| it.of(id));
    html! {
        tr {
            th.name scope="row" { a href=(paths::device(&hub.scope, id)) { (id) } }
            td {
                span.swatch data-state=(state) aria-hidden="true" {} (title(state))
                @if !reason.is_empty() { ": " (reason) }
            }
            td { (proof(text(device, "/authenticationType"))) }
            td {
                @if let Some(it) = refusal {
                    @if it.times > 1 { (it.times) " times, last " }
                    time datetime=(it.last) { (it.last) } ": " (it.message) " "
                    a.button href=(paths::decision(&it.tracking)) { "Why?" }
                }
            }
        }
    }
}

/// What a device shows to prove itself, in words.
pub(crate) fn proof(kind: &str) -> &str {
    match kind {
        "sas" => "a key",
        "selfSigned" => "a certificate by its thumbprint",
        "certificateAuthority" => "a certificate of a CA",
        "none" => "nothing: it may not connect",
        other => other,
    }
}

/// A step of the map's loading: `[id, state]` of some thousand devices, where the next step begins, and in the first
/// one who was refused lately, with the decision.
async fn step(visit: &Visit<'_>, hub: &Hub) -> Result<Page, Trouble> {
    const ALL: &str = "SELECT deviceId, status, connectionState FROM devices";
    let begun = visit.query.get("after");
    let mut next = Some(begun.to_owned()).filter(|it| !it.is_empty());
    let mut devices = Vec::new();
    for _ in 0..STEP_QUERIES {
        let (found, after) =
            hub.query(visit, (QUERY, ALL), Some(QUERY_PAGE), next.as_deref()).await?;
        devices.extend(found.iter().map(|it| json!([text(it, "/deviceId"), state(it)])));
        next = after;
        if next.is_none() {
            break;
        }
    }
    let mut told = json!({ "devices": devices, "next": next });
    if begun.is_empty()
        && let Ok(refusals) = refused::lately(visit, hub).await?
    {
        let ids: Vec<&str> = refusals.ids().collect();
        model::json::set(&mut told, "refused", json!(ids));
    }
    Ok(Page::json(&told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_stays_a_text_of_the_query() {
        let condition =
            |state, search| Wanted { state, search }.condition(&Ok(Refusals::default()));
        assert_eq!(condition(None, ""), "");
        assert_eq!(condition(Some("disabled"), ""), " WHERE status = 'disabled'");
        assert_eq!(
            condition(Some("disabled"), r"a' OR 1=1 \"),
            r" WHERE status = 'disabled' AND STARTS_WITH(deviceId, 'a\' OR 1=1 \\')"
        );
    }

    #[test]
    fn a_disabled_device_is_disabled_whatever_else_it_is() {
        let twin = |status: &str, connection: &str| {
            state(&json!({ "status": status, "connectionState": connection }))
        };
        assert_eq!(twin("enabled", "Connected"), "connected");
        assert_eq!(twin("enabled", "Disconnected"), "disconnected");
        assert_eq!(twin("disabled", "Connected"), "disabled");
    }
}
