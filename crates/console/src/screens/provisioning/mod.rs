//! What becomes of devices that register: from enrollments through allocation to the linked hubs, as a flow; whom
//! something refused, and why; and whether devices could register now.

mod diagnosis;
mod flow;

use crate::hub::Hub;
use crate::layout::command;
use crate::page::Page;
use crate::paths;
use crate::screens::place::Place;
use crate::screens::{decision, refusals};
use crate::trouble::Trouble;
use crate::visit::{Visit, ok, text};
use diagnosis::Diagnoses;
use flow::{Flow, Source, host};
use hyper::Method;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most groups whose registrations are looked at.
const GROUPS_MAX: usize = 100;
/// Most failed registrations that are named.
const FAILURES_MAX: usize = 100;
/// How far back refusals are looked for, in seconds: a day.
const SINCE_S: i64 = 86_400;

/// A registration that came to nothing.
struct Failure {
    registration: String,
    enrollment: String,
    code: u64,
    message: String,
    time: String,
}

/// What the service's own API says.
struct Told {
    flow: Flow,
    failures: Vec<Failure>,
    /// True where there is more than was looked at.
    is_cut: bool,
}

pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let service = Hub::reach(visit, place.scope).await?;
    let linked = linked(visit, &service.resource).await?;
    let hubs = linked.values().map(String::as_str);
    let diagnoses = Diagnoses::ask(visit, place.scope, hubs).await?;
    // Who may not read enrollments sees the diagnosis all the same.
    let told = match told(visit, &service, &linked).await {
        Ok(told) => Ok(told),
        Err(Trouble::Refused(refused)) => Err(refused),
        Err(other) => return Err(other),
    };
    let content = html! {
        (service.told())
        (diagnoses.glance())
        h2 { "From enrollments to hubs" }
        @match &told {
            Err(refused) => { (refused.shown()) }
            Ok(told) => {
                @if told.is_cut { p.note { "There is more than one page of the console reads: the counts are the least there are." } }
                (told.flow.shown())
                (failures(told))
            }
        }
        (command(&format!("az iot dps enrollment-group list --dps-name {}", service.name())))
        (refused(visit, place, &service).await?)
        (diagnoses.shown())
    };
    Ok(place.framed(visit, None, &content))
}

/// The ids of linked hubs that the person can read, by their host names.
async fn linked(visit: &Visit<'_>, service: &Value) -> Result<BTreeMap<String, String>, Trouble> {
    let links = service.pointer("/properties/iotHubs").and_then(Value::as_array);
    let hosts: Vec<String> =
        links.into_iter().flatten().map(|it| host(text(it, "/name"))).collect();
    let mut found = BTreeMap::new();
    for subscription in visit.list("/subscriptions").await? {
        let path = format!("{}/providers/Microsoft.Devices/IotHubs", text(&subscription, "/id"));
        for hub in visit.list(&path).await? {
            let its = host(text(&hub, "/properties/hostName"));
            if hosts.contains(&its) {
                found.insert(its, text(&hub, "/id").to_owned());
            }
        }
    }
    Ok(found)
}

async fn told(
    visit: &Visit<'_>,
    service: &Hub,
    linked: &BTreeMap<String, String>,
) -> Result<Told, Trouble> {
    let individuals = ("/enrollments/query", "SELECT * FROM enrollments");
    let (individuals, mut is_cut) = service.query_all(visit, individuals).await?;
    let groups = ("/enrollmentGroups/query", "SELECT * FROM enrollmentGroups");
    let (groups, more) = service.query_all(visit, groups).await?;
    is_cut |= more || groups.len() > GROUPS_MAX;
    let default = text(&service.resource, "/properties/allocationPolicy");
    let name = |(host, id): (&String, &String)| {
        (host.clone(), id.rsplit('/').next().unwrap_or(id).to_owned())
    };
    let mut flow = Flow::new(&service.resource, linked.iter().map(name).collect());
    let mut failures = Vec::new();
    for it in &individuals {
        let source = Source::Individual;
        flow.enroll(&source, it, default);
        if let Some(state) = it.get("registrationState") {
            let name = text(it, "/registrationId");
            flow.register(&source, it, state, default);
            failures.extend(failure(name, state));
        }
    }
    for it in groups.iter().take(GROUPS_MAX) {
        let name = text(it, "/enrollmentGroupId");
        let source = Source::Group(name.to_owned());
        flow.enroll(&source, it, default);
        let path = format!("/registrations/{}/query", paths::segment(name));
        let (states, more) =
            service.query_all(visit, (&path, "SELECT * FROM registrations")).await?;
        is_cut |= more;
        for state in &states {
            flow.register(&source, it, state, default);
            failures.extend(failure(name, state));
        }
    }
    failures.sort_by(|a, b| b.time.cmp(&a.time));
    Ok(Told { flow, failures, is_cut })
}

fn failure(enrollment: &str, state: &Value) -> Option<Failure> {
    (text(state, "/status") == "failed").then(|| Failure {
        registration: text(state, "/registrationId").to_owned(),
        enrollment: enrollment.to_owned(),
        code: state.get("errorCode").and_then(Value::as_u64).unwrap_or(0),
        message: text(state, "/errorMessage").to_owned(),
        time: text(state, "/lastUpdatedDateTimeUtc").to_owned(),
    })
}

fn failures(told: &Told) -> Markup {
    let all = &told.failures;
    html! {
        @if !all.is_empty() {
            h3 #failures { "Registrations that failed" }
            table {
                thead { tr {
                    th scope="col" { "Device" } th scope="col" { "Enrollment" } th scope="col" { "Code" }
                    th scope="col" { "Told" } th scope="col" { "When" } th scope="col" { "" }
                } }
                tbody { @for it in all.iter().take(FAILURES_MAX) { tr {
                    th.name scope="row" { (it.registration) }
                    td.name { (it.enrollment) }
                    td.number { (it.code) }
                    td { (it.message) }
                    td { time datetime=(it.time) { (it.time) } }
                    td { @if let Some(id) = decision::guid(&it.message) { a.button href=(paths::decision(&id)) { "Why?" } } }
                } } }
            }
            @if all.len() > FAILURES_MAX { p { (all.len() - FAILURES_MAX) " more are not shown." } }
        }
    }
}

/// Refusals of devices at the service, and of the service at its hubs, those of one cause together.
async fn refused(visit: &Visit<'_>, place: &Place<'_>, service: &Hub) -> Result<Markup, Trouble> {
    let from = visit.console.now().plus_seconds(-SINCE_S).rfc3339();
    let since = format!("eventTimestamp ge '{from}' and status eq 'Failed'");
    let subscription = model::Scope::parse(place.scope).ok().and_then(|it| it.subscription_scope());
    let Some(subscription) = subscription else { return Ok(html! {}) };
    let quoted = |it: &str| it.replace('\'', "''");
    let own = format!("{since} and resourceUri eq '{}'", quoted(place.scope));
    let written = format!("{since} and caller eq '{}'", quoted(service.name()));
    let mut events = Vec::new();
    for filter in [own, written] {
        let path = format!(
            "{}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter={}",
            paths::id(subscription.as_str()),
            paths::segment(&filter)
        );
        let told = visit.arm(Method::GET, &path, None).await?;
        if matches!(told.status, 401 | 403) {
            return Ok(html! {
                h2 { "Refused in the last day" }
                p { "You may not read the activity log of this subscription. " code { "Reader" } " there shows it." }
            });
        }
        if let Some(Value::Array(all)) = ok(told)?.get_mut("value").map(Value::take) {
            events.extend(all);
        }
    }
    events.sort_by(|a, b| text(b, "/eventTimestamp").cmp(text(a, "/eventTimestamp")));
    Ok(html! {
        h2 { "Refused in the last day" }
        p { "Devices that this service refused, and what hubs refused to this service." }
        (refusals::shown(&events))
        (command(&format!("az monitor activity-log list --resource-id {} --status Failed --offset 1d", place.scope)))
    })
}
