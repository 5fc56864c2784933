//! The policy bench: a definition as text, faults marked where they stand, and what the draft would do, while it is
//! typed. Only saving writes: an ordinary PUT of the definition, which makes a revision.
//!
//! What the API says of a draft is in `bench/verdict.rs`, where in the text something stands in `bench/lines.rs`.

mod lines;
mod verdict;

use super::policies::{PROVIDER, last, revisions};
use crate::form::Form;
use crate::layout::{command, forgery};
use crate::page::Page;
use crate::paths;
use crate::screens::place::Place;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, ok, text};
use hyper::Method;
use maud::{Markup, html};
use model::Scope;
use serde_json::{Value, json};
use verdict::Checked;

/// What the server keeps besides what is written.
const KEPT_BESIDES: [&str; 2] = ["policyType", "versions"];
const DEVICES_WRITE: &str = "Microsoft.Devices/IotHubs/devices/write";
/// What people try first.
const ACTIONS: [&str; 5] = [
    DEVICES_WRITE,
    "Microsoft.Devices/IotHubs/devices/delete",
    "Microsoft.Devices/IotHubs/write",
    "Microsoft.Devices/provisioningServices/enrollmentGroups/write",
    "Microsoft.Devices/IotHubs/securityPolicies/write",
];
/// Lines that a page without scripts shows at once.
const ROWS: usize = 26;

/// What lies on the bench.
pub(super) struct Bench {
    /// Of the definition.
    id: String,
    /// None where it is a new one.
    stored: Option<Value>,
    assignments: Vec<Value>,
    around: Around,
}

/// What there is to try a draft on.
#[derive(Default)]
struct Around {
    /// Id, and what it is called.
    places: Vec<(String, String)>,
    hubs: Vec<String>,
    /// Name and object id of identities of provisioning services.
    services: Vec<(String, String)>,
}

pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let bench = Bench::set_up(visit, place.scope).await?;
    let Some(form) = &visit.form else {
        let form = Form::default();
        let checked = verdict::check(visit, &bench, &form, &bench.text()).await?;
        return page(visit, place, &bench, &form, &checked).await;
    };
    let draft = form.raw("text").replace("\r\n", "\n");
    let checked = verdict::check(visit, &bench, form, &draft).await?;
    if form.get("part") == "verdict" {
        return Ok(Page::json(
            &json!({ "html": checked.shown.into_string(), "line": checked.line }),
        ));
    }
    if form.get("do") == "save"
        && let Some(properties) = &checked.properties
    {
        let body = json!({ "properties": properties });
        let told = visit.arm(Method::PUT, &paths::id(&bench.id), Some(&body)).await?;
        if told.is_ok() {
            return Ok(Page::redirect(&format!("{}#revisions", paths::at(&bench.id))));
        }
        let checked = verdict::refused(&Refused::of(&told), &told.body, &draft);
        return Ok(page(visit, place, &bench, form, &checked).await?.status(told.status));
    }
    page(visit, place, &bench, form, &checked).await
}

impl Bench {
    async fn set_up(visit: &Visit<'_>, id: &str) -> Result<Self, Trouble> {
        let told = visit.arm(Method::GET, &paths::id(id), None).await?;
        let stored = if told.status == 404 { None } else { Some(ok(told)?) };
        let parsed = Scope::parse(id).map_err(|it| Trouble::Bad { why: it.to_string() })?;
        let subscription = parsed.subscription_scope();
        let mut assignments = Vec::new();
        let mut around = Around::default();
        if let Some(subscription) = &subscription {
            let list = format!("{subscription}/{PROVIDER}/policyAssignments");
            assignments = visit.list(&list).await.unwrap_or_default();
            assignments
                .retain(|it| text(it, "/properties/policyDefinitionId").eq_ignore_ascii_case(id));
            around = Around::of(visit, subscription).await;
        }
        let id = stored.as_ref().map_or(id, |it| text(it, "/id")).to_owned();
        Ok(Self { id, stored, assignments, around })
    }

    /// The definition as it is edited.
    fn text(&self) -> String {
        let mut properties = match &self.stored {
            Some(it) => it.get("properties").cloned().unwrap_or_default(),
            None => begun(last(&self.id)),
        };
        if let Some(all) = properties.as_object_mut() {
            all.retain(|name, _| !KEPT_BESIDES.contains(&name.as_str()));
        }
        format!("{properties:#}")
    }

    /// Where the draft counts: where it is assigned, else where the form says.
    fn place(&self, form: &Form) -> String {
        let assigned = self.assignments.first().map(|it| text(it, "/properties/scope").to_owned());
        let said = Some(form.get("at").to_owned()).filter(|it| !it.is_empty());
        let hub = || self.around.hubs.first().cloned();
        assigned.or(said).or_else(hub).unwrap_or_default()
    }

    /// A field of the call that is tried, or what one would try first.
    fn called(&self, form: &Form, name: &str) -> String {
        if form.has(name) {
            return form.get(name).to_owned();
        }
        match name {
            "action" => DEVICES_WRITE.to_owned(),
            "object" => "any-device".to_owned(),
            "scope" => self.around.hubs.first().cloned().unwrap_or_default(),
            _ => self.around.services.first().map(|it| it.0.clone()).unwrap_or_default(),
        }
    }
}

impl Around {
    async fn of(visit: &Visit<'_>, subscription: &Scope) -> Self {
        let mut around = Self::default();
        around.places.push((subscription.to_string(), "the subscription".to_owned()));
        let all = visit.list(&format!("{subscription}/resources")).await.unwrap_or_default();
        for it in &all {
            let (kind, id) = (text(it, "/type"), text(it, "/id"));
            let group = Scope::parse(id).ok().and_then(|it| it.resource_group_scope());
            let group = group.map(|it| (it.to_string(), format!("{} (group)", it.name())));
            around.places.extend(group.filter(|it| !around.places.contains(it)));
            if kind.eq_ignore_ascii_case("Microsoft.Devices/IotHubs") {
                around.hubs.push(id.to_owned());
                around.places.push((id.to_owned(), format!("{} (hub)", last(id))));
            }
            if kind.eq_ignore_ascii_case("Microsoft.Devices/provisioningServices") {
                around.places.push((id.to_owned(), format!("{} (provisioning)", last(id))));
                let dps = visit.get(&paths::id(id)).await.unwrap_or_default();
                let identity = text(&dps, "/identity/principalId");
                if !identity.is_empty() {
                    around.services.push((last(id).to_owned(), identity.to_owned()));
                }
            }
        }
        around
    }
}

/// A policy that stops nobody, to be changed into one that does.
fn begun(name: &str) -> Value {
    json!({
        "displayName": name,
        "mode": "All",
        "policyRule": [
            {
                "if": { "field": "identity.serviceName", "equals": "Device Provisioning Service" },
                "then": { "effect": "allow" },
            },
            {
                "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
                "then": { "effect": "audit" },
            },
        ],
    })
}

async fn page(
    visit: &Visit<'_>,
    place: &Place<'_>,
    bench: &Bench,
    form: &Form,
    checked: &Checked,
) -> Result<Page, Trouble> {
    let typed = form.raw("text").replace("\r\n", "\n");
    let draft = if form.has("text") { typed } else { bench.text() };
    let lines = draft.lines().count().max(ROWS);
    let revisions = match &bench.stored {
        Some(_) => revisions::section(visit, &bench.id).await?,
        None => html! { p.calm { "Nothing is written yet." } },
    };
    let content = html! {
        p.lead {
            "A draft is judged while you type, by the gates that serve. It counts only once it is saved: from the next call on, as "
            "a new revision."
        }
        form #bench method="post" action=(paths::view(&bench.id, "bench")) {
            (forgery(&visit.session))
            div.bench {
                div.editor {
                    label for="text" { "The definition's properties" }
                    div.sheet {
                        div #gutter aria-hidden="true" { @for line in 1..=lines { span.fault[checked.line == Some(line)] { (line) } } }
                        textarea #text name="text" rows=(ROWS) wrap="off" spellcheck="false" autocomplete="off"
                            aria-describedby="verdict" { "\n" (draft) }
                    }
                    div.line {
                        button name="do" value="check" { "Check" }
                        button.first name="do" value="save" { "Save as a new revision" }
                    }
                }
                div.tried {
                    fieldset {
                        legend { "A call to try it on" }
                        (place_field(bench, form))
                        (call_fields(bench, form))
                    }
                    div #verdict aria-live="polite" { (checked.shown) }
                }
            }
        }
        (revisions)
        (command(&format!("hubward what-if --policy FILE --at {}", bench.place(form))))
    };
    Ok(place.framed(visit, Some("bench.js"), &content))
}

fn place_field(bench: &Bench, form: &Form) -> Markup {
    html! {
        @if bench.assignments.is_empty() {
            label for="at" { "As if it were assigned at" }
            (places(bench, "at", &bench.place(form)))
        } @else {
            p { "As it is assigned: " @for it in &bench.assignments {
                a href=(paths::at(text(it, "/id"))) { (text(it, "/name")) } " at " (last(text(it, "/properties/scope"))) ". "
            } }
        }
    }
}

fn call_fields(bench: &Bench, form: &Form) -> Markup {
    let called = |name: &str| bench.called(form, name);
    html! {
        label for="principal" { "Who" }
        input #principal name="principal" value=(called("principal")) list="principals" autocomplete="off";
        label for="action" { "Does what" }
        input #action name="action" value=(called("action")) list="actions" autocomplete="off";
        label for="scope" { "Where" }
        (places(bench, "scope", &called("scope")))
        label for="object" { "To what" }
        input #object name="object" value=(called("object")) autocomplete="off";
        datalist #principals { @for (name, id) in &bench.around.services { option value=(name) { (id) } } }
        datalist #actions { @for it in ACTIONS { option value=(it) {} } }
    }
}

/// The places of the subscription, by their names.
fn places(bench: &Bench, name: &str, chosen: &str) -> Markup {
    let all = &bench.around.places;
    html! {
        select id=(name) name=(name) {
            @if !chosen.is_empty() && !all.iter().any(|(id, _)| id == chosen) { option value=(chosen) selected { (chosen) } }
            @for (id, says) in all { option value=(id) selected[id == chosen] { (says) } }
        }
    }
}
