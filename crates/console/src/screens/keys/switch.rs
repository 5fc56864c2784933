//! "Connect using shared access policies": allowed or denied, and what is shown before it is denied: who would lose
//! access, who keeps it through roles, which roles are enough.
//!
//! Source: IoT Hub documentation, "Control access to IoT Hub by using Microsoft Entra ID", "Enforce Microsoft Entra
//! authentication".

use crate::layout::{command, forgery};
use crate::page::Page;
use crate::paths;
use crate::screens::place::{Kind, Place};
use crate::screens::policies::last;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, ok, text};
use hyper::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

/// Most open sessions and links that are listed.
const SHOWN_MAX: usize = 50;
/// The smallest built-in role for what somebody does with a hub.
const ROLES: [(&str, &str); 4] = [
    ("IoT Hub Data Reader", "reads devices, twins and statistics"),
    ("IoT Hub Twin Contributor", "reads and writes twins, and nothing else of a device"),
    ("IoT Hub Registry Contributor", "makes, changes and deletes devices"),
    ("IoT Hub Data Contributor", "does all of that, calls methods, and sends to devices"),
];

fn is_denied(resource: &Value) -> bool {
    resource.pointer("/properties/disableLocalAuth").and_then(Value::as_bool) == Some(true)
}

/// How the switch stands, and the way to the other side.
pub(super) fn shown(visit: &Visit<'_>, place: &Place<'_>, resource: &Value) -> Markup {
    html! {
        section.switch data-keys=(if is_denied(resource) { "deny" } else { "allow" }) {
            h2 { "Connect using shared access policies" }
            @if is_denied(resource) {
                p { strong { "Deny. " } "The keys below open nothing; who calls needs an Entra account and a role." }
                form method="post" action=(paths::view(place.scope, "keys")) {
                    (forgery(&visit.session))
                    input type="hidden" name="do" value="allow";
                    button { "Allow" }
                }
            } @else {
                p { strong { "Allow. " } "Whoever has a key below, or may list them, reaches what its policy allows, whatever \
                    their roles." }
                p { a.button href={ (paths::view(place.scope, "keys")) "&review" } { "Deny, after a review" } }
            }
        }
    }
}

/// Sets the switch. It is denied only where the name of the resource was typed.
pub(super) async fn set(
    visit: &Visit<'_>,
    place: &Place<'_>,
    denied: bool,
) -> Result<Page, Trouble> {
    if denied && visit.sent("confirm") != Some(last(place.scope)) {
        let why = Refused {
            status: 400,
            code: "NotConfirmed".to_owned(),
            message: "Nothing was changed: the name was not typed as it is.".to_owned(),
            tracking: None,
        };
        return Ok(review(visit, place, Some(&why)).await?.status(400));
    }
    let body = json!({ "properties": { "disableLocalAuth": denied } });
    let told = visit.arm(Method::PATCH, &paths::id(place.scope), Some(&body)).await?;
    match told.is_ok() {
        true => Ok(Page::redirect(&paths::view(place.scope, "keys"))),
        false => Ok(review(visit, place, Some(&Refused::of(&told))).await?.status(told.status)),
    }
}

/// What the documentation asks to be done first, with the answers.
pub(super) async fn review(
    visit: &Visit<'_>,
    place: &Place<'_>,
    refused: Option<&Refused>,
) -> Result<Page, Trouble> {
    let name = last(place.scope);
    let content = html! {
        h2 { "Deny shared access policies at " (name) "?" }
        @if let Some(refused) = refused { (refused.shown()) }
        div.note role="note" {
            p { strong { "At once, everybody who uses a key loses access" } ": services and people lose their connections, and new \
                ones are refused. " @if place.kind == Kind::Hub { "Provisioning services that are linked by key can register nobody \
                here. Devices that have keys of their own go on." } }
        }
        ol.steps {
            li { h3 { "Who would break" } (breaks(visit, place).await?) }
            li { h3 { "Who keeps access, through roles" } (keeps(visit, place).await?) }
            @if place.kind == Kind::Hub { li { h3 { "Give no more than is needed" } (roles(place)) } }
            li { h3 { "Deny" }
                form.fields method="post" action={ (paths::view(place.scope, "keys")) "&review" } {
                    (forgery(&visit.session))
                    input type="hidden" name="do" value="deny";
                    label for="confirm" { "Type the name " code { (name) } " to confirm" }
                    input #confirm name="confirm" required autocomplete="off";
                    div.line { button.danger { "Deny shared access policies" } a href=(paths::view(place.scope, "keys")) { "Leave it as it is" } }
                }
            }
        }
        (command(&if place.kind == Kind::Dps { format!("az resource update --ids {} --set properties.disableLocalAuth=true", place.scope) } else { format!("hubward local-auth disable {name}") }))
    };
    Ok(place.framed(visit, None, &content))
}

/// Who uses keys: on record, linked, and open at this moment.
async fn breaks(visit: &Visit<'_>, place: &Place<'_>) -> Result<Markup, Trouble> {
    if place.kind == Kind::Dps {
        return Ok(
            html! { p { "Scripts and services that manage enrollments with a key. Devices register as before: \
            they show keys of their enrollments, not of these policies." } },
        );
    }
    let body = json!({ "scope": place.scope });
    let told = visit.arm(Method::POST, "/decisions/localAuth", Some(&body)).await?;
    if !told.is_ok() {
        return Ok(Refused::of(&told).shown());
    }
    let answer = ok(told)?;
    let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (links, users, open) = (list("links"), list("users"), list("open"));
    let since = text(&answer, "/since");
    Ok(html! {
        @if links.is_empty() && users.is_empty() && open.is_empty() && count("hiddenLinks") == 0 {
            p { "Nobody, as far as is on record." }
        }
        @if !links.is_empty() { (linked(&links)) }
        @if count("hiddenLinks") > 0 {
            p.note { (count("hiddenLinks")) " more are linked by key, and you may not read them." }
        }
        @if !users.is_empty() { (used(&users)) }
        @if !open.is_empty() { (opened(&open, count("moreOpen"))) }
        p.lead { "Calls are on record since " time datetime=(since) { (since) } ". Who called before, and nobody since, is not known." }
        p.command-line { "The same on the command line: " code { "hubward local-auth disable " (last(place.scope)) " --dry-run" } }
    })
}

fn linked(links: &[Value]) -> Markup {
    html! {
        table.breaks {
            caption { "Provisioning services that are linked by key: they register nobody here any more" }
            thead { tr { th scope="col" { "Service" } th scope="col" { "By the policy" } th scope="col" { "Last used" } th scope="col" { "Instead" } } }
            tbody { @for it in links {
                @let has = |name: &str| it.get(name).and_then(Value::as_bool) == Some(true);
                tr {
                    th scope="row" { a href=(paths::at(text(it, "/provisioningService"))) { (text(it, "/name")) } }
                    td { (text(it, "/policy")) }
                    td { (when(text(it, "/policyLast"))) }
                    td {
                        @if !has("hasIdentity") { "give it a managed identity, " }
                        @if !has("identityHasRole") { "give that " code { (text(it, "/roleName")) } " here, " }
                        "link it by its identity"
                    }
                }
            } }
        }
    }
}

fn used(users: &[Value]) -> Markup {
    html! {
        table.breaks {
            caption { "Who signs with which policy" }
            thead { tr { th scope="col" { "Policy" } th.number scope="col" { "Calls" } th scope="col" { "Last" }
                th scope="col" { "For" } th scope="col" { "From" } th scope="col" { "Instead" } } }
            tbody { @for it in users {
                @let list = |name: &str| it.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                tr {
                    th scope="row" { (text(it, "/policy")) }
                    td.number { (it.get("calls").and_then(Value::as_u64).unwrap_or(0)) }
                    td { (when(text(it, "/last"))) }
                    td { @for it in list("operations") { (it.as_str().unwrap_or("")) br; } }
                    td { @for it in list("clients") { (text(&it, "/address")) " " span.soft { (text(&it, "/protocol")) " " (text(&it, "/agent")) } br; } }
                    td {
                        @for it in list("replacedBy") { code { (text(&it, "/roleName")) } " at " (last(text(&it, "/scope"))) br; }
                        @for it in list("notes") { (it.as_str().unwrap_or("")) br; }
                    }
                }
            } }
        }
    }
}

fn opened(open: &[Value], more: u64) -> Markup {
    html! {
        table.breaks {
            caption { "Open now, and cut by it" }
            thead { tr { th scope="col" { "Policy" } th scope="col" { "Operation" } th scope="col" { "From" } th scope="col" { "Since" } } }
            tbody { @for it in open.iter().take(SHOWN_MAX) {
                tr {
                    th scope="row" { (text(it, "/policy")) }
                    td { (text(it, "/operation")) }
                    td { (text(it, "/address")) " " span.soft { (text(it, "/protocol")) } }
                    td { (when(text(it, "/since"))) }
                }
            } }
        }
        @let left_out = open.len().saturating_sub(SHOWN_MAX) as u64 + more;
        @if left_out > 0 { p { "And " (left_out) " more." } }
    }
}

fn when(time: &str) -> Markup {
    html! { @if time.is_empty() { "not on record" } @else { time datetime=(time) { (time) } } }
}

/// Who would still get in, and through what.
async fn keeps(visit: &Visit<'_>, place: &Place<'_>) -> Result<Markup, Trouble> {
    let action = if place.kind == Kind::Dps {
        "Microsoft.Devices/provisioningServices/attestationmechanism/read"
    } else {
        "Microsoft.Devices/IotHubs/devices/read"
    };
    let body = json!({ "action": action, "scope": place.scope });
    let told = visit.arm(Method::POST, "/decisions/whoCan", Some(&body)).await?;
    if !told.is_ok() {
        return Ok(Refused::of(&told).shown());
    }
    let answer = ok(told)?;
    let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (can, with_keys) = (list("can"), list("withKeys"));
    Ok(html! {
        @if can.is_empty() {
            p { strong { "Nobody. " } "No role lets anybody read devices here, so after the switch nobody reaches the data." }
        } @else {
            table {
                thead { tr { th scope="col" { "Who" } th scope="col" { "Kind" } th scope="col" { "Through" } } }
                tbody { @for it in &can {
                    tr {
                        th scope="row" { (text(it, "/name")) }
                        td { (text(it, "/type")) }
                        td { @for way in it.get("through").and_then(Value::as_array).into_iter().flatten() {
                            (text(way, "/roleName")) " at " span.name { (last(text(way, "/scope"))) } br;
                        } }
                    }
                } }
            }
        }
        @if !with_keys.is_empty() {
            p { "Through keys alone, and so not any longer: "
                @for (index, it) in with_keys.iter().enumerate() { @if index > 0 { ", " } strong { (text(it, "/name")) } } "." }
        }
    })
}

fn roles(place: &Place<'_>) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Role" } th scope="col" { "Who has it" } } }
            tbody { @for (role, does) in ROLES { tr { th scope="row" { (role) } td { (does) } } } }
        }
        p.command { "az role assignment create --role \"IoT Hub Data Reader\" --assignee WHO --scope " (place.scope) }
        p { code { "Reader" } " beside it opens the pages of this hub. Who manages devices through a script needs the data role alone." }
    }
}
