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
    resource: &Value,
    denied: bool,
) -> Result<Page, Trouble> {
    if denied && visit.sent("confirm") != Some(last(place.scope)) {
        let why = Refused {
            status: 400,
            code: "NotConfirmed".to_owned(),
            message: "Nothing was changed: the name was not typed as it is.".to_owned(),
            tracking: None,
        };
        return Ok(review(visit, place, resource, Some(&why)).await?.status(400));
    }
    let body = json!({ "properties": { "disableLocalAuth": denied } });
    let told = visit.arm(Method::PATCH, &paths::id(place.scope), Some(&body)).await?;
    match told.is_ok() {
        true => Ok(visit.console.redirect(&paths::view(place.scope, "keys"))),
        false => Ok(review(visit, place, resource, Some(&Refused::of(&told))).await?.status(told.status)),
    }
}

/// What the documentation asks to be done first, with the answers.
pub(super) async fn review(
    visit: &Visit<'_>,
    place: &Place<'_>,
    resource: &Value,
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
            li { h3 { "Who would break" } (breaks(visit, place, resource).await?) }
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
        (command(&match place.kind {
            Kind::Dps => format!("az resource update --ids {} --set properties.disableLocalAuth=true", place.scope),
            _ => format!("az iot hub update --name {name} --set properties.disableLocalAuth=true"),
        }))
    };
    Ok(place.framed(visit, None, &content))
}

/// Who uses keys, as far as is known: the links of provisioning services are said in their resources.
async fn breaks(
    visit: &Visit<'_>,
    place: &Place<'_>,
    resource: &Value,
) -> Result<Markup, Trouble> {
    if place.kind == Kind::Dps {
        return Ok(html! { p { "Scripts and services that manage enrollments with a key. Devices register as before: \
            they show keys of their enrollments, not of these policies." } });
    }
    let links = links_by_key(visit, resource).await?;
    Ok(html! {
        @if links.is_empty() {
            p { "No provisioning service that you can read is linked to this hub by key." }
        } @else {
            table.breaks {
                thead { tr { th scope="col" { "Provisioning service" } th scope="col" { "What breaks" } th scope="col" { "Instead" } } }
                tbody { @for id in &links {
                    tr {
                        th scope="row" { a href=(paths::at(id)) { (last(id)) } }
                        td { "every registration that it makes here" }
                        td { "link it with its managed identity, and give that " code { "IoT Hub Data Contributor" } " here" }
                    }
                } }
            }
        }
    })
}

/// The provisioning services whose link to a hub holds a key.
async fn links_by_key(visit: &Visit<'_>, hub: &Value) -> Result<Vec<String>, Trouble> {
    let host = bare(text(hub, "/properties/hostName"));
    let mut found = Vec::new();
    for subscription in visit.list("/subscriptions").await? {
        let path = format!(
            "{}/providers/Microsoft.Devices/provisioningServices",
            text(&subscription, "/id")
        );
        let told = visit.arm(Method::GET, &path, None).await?;
        // Who may not list them all is told of none.
        let all = told.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
        for dps in all {
            let links = dps.pointer("/properties/iotHubs").and_then(Value::as_array);
            let is_by_key = |it: &Value| {
                let named = [text(it, "/name"), text(it, "/hostName")];
                let way = text(it, "/authenticationType");
                named.iter().any(|it| bare(it).eq_ignore_ascii_case(host))
                    && (way.is_empty() || way.eq_ignore_ascii_case("KeyBased"))
            };
            if links.into_iter().flatten().any(is_by_key) {
                found.push(text(&dps, "/id").to_owned());
            }
        }
    }
    Ok(found)
}

/// A host without its port.
fn bare(host: &str) -> &str {
    host.split(':').next().unwrap_or(host)
}

/// Who would still get in, and through what.
async fn keeps(visit: &Visit<'_>, place: &Place<'_>) -> Result<Markup, Trouble> {
    let action = match place.kind {
        Kind::Dps => "Microsoft.Devices/provisioningServices/attestationmechanism/read",
        _ => "Microsoft.Devices/IotHubs/devices/read",
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
