//! "Who am I here": which way the console takes to a hub's data for the person who is signed in and why, which roles
//! that person holds here, and what they come to.
//!
//! Source: IoT Hub documentation, "Control access to IoT Hub by using Microsoft Entra ID", "Microsoft Entra ID access
//! from the Azure portal".

use crate::hub::{Hub, Way};
use crate::layout::command;
use crate::page::Page;
use crate::paths;
use crate::screens::place::Place;
use crate::screens::policies::{PROVIDER, last};
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

/// What people want to know of themselves.
const ACTIONS: [(&str, &str); 7] = [
    ("Microsoft.Devices/IotHubs/devices/read", "See devices"),
    ("Microsoft.Devices/IotHubs/devices/write", "Make and change devices"),
    ("Microsoft.Devices/IotHubs/twins/read", "See twins"),
    ("Microsoft.Devices/IotHubs/twins/write", "Change twins"),
    ("Microsoft.Devices/IotHubs/directMethods/invoke/action", "Call methods"),
    ("Microsoft.Devices/IotHubs/cloudToDeviceMessages/send/action", "Send to devices"),
    ("Microsoft.Devices/IotHubs/listkeys/action", "List the keys"),
];

/// A role that the person holds here, itself or through a group.
struct Held {
    role: String,
    at: String,
    through: &'static str,
}

pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    match Hub::reach(visit, place.scope).await {
        Ok(hub) => Ok(place.framed(visit, None, &reached(visit, &hub).await?)),
        Err(Trouble::Refused(it)) if it.is_decision() => {
            Ok(place.framed(visit, None, &closed(visit, place, &it)).status(it.status))
        }
        Err(other) => Err(other),
    }
}

/// For somebody who cannot read the hub's resource: a data role opens the data, not this.
pub(crate) fn closed(visit: &Visit<'_>, place: &Place<'_>, refused: &Refused) -> Markup {
    html! {
        (refused.shown())
        section.missing {
            h2 { "Add Reader" }
            p { "These pages begin at the hub's resource, and you may not read it. Roles for a hub's data, such as "
                code { "IoT Hub Data Contributor" } ", open its API to programs and not its resource to people; " code { "Reader" }
                " does, and no more: it does not reach keys. Who may assign roles here gives it to you with:" }
            p.command { "az role assignment create --role Reader --assignee " (visit.session.upn) " --scope " (place.scope) }
        }
    }
}

async fn reached(visit: &Visit<'_>, hub: &Hub) -> Result<Markup, Trouble> {
    let held = held(visit, &hub.scope).await?;
    let mut rows = Vec::new();
    for (action, says) in ACTIONS {
        rows.push((action, says, asked(visit, hub, action).await?));
    }
    let may_list = rows.last().and_then(|(_, _, it)| it.as_ref().ok().copied());
    Ok(html! {
        h2 { "The way to this hub's data" }
        (hub.told())
        (whole(hub, may_list))
        h2 { "What you may do here" }
        table.me {
            thead { tr { th scope="col" { "" } th scope="col" { "By your roles" } @if is_by_key(hub) { th scope="col" { "By the key's rights" } } } }
            tbody {
                @for (action, says, verdict) in &rows {
                    tr {
                        th scope="row" { (says) " " span.soft.name { (last_two(action)) } }
                        td { @match verdict {
                            Ok(true) => span.good { "yes" },
                            Ok(false) => span.bad { "no" },
                            Err(()) => span.soft { "cannot be asked" },
                        } }
                        @if is_by_key(hub) { td { @if action.contains("listkeys") { "-" } @else { span.good { "yes" } } } }
                    }
                }
            }
        }
        h2 { "Roles that you hold here" }
        @match &held {
            Ok(all) if all.is_empty() => p { "None by an assignment that you can read." },
            Ok(all) => (roles(all)),
            Err(refused) => (refused.shown()),
        }
        (reader(visit, hub))
        (command(&format!("az role assignment list --assignee {} --include-inherited --include-groups --scope {}",
            visit.session.upn, hub.scope)))
    })
}

fn is_by_key(hub: &Hub) -> bool {
    matches!(hub.way, Way::Keys { .. })
}

/// Whether keys open everything, said in one sentence.
fn whole(hub: &Hub, may_list: Option<bool>) -> Markup {
    html! {
        @match (&hub.way, may_list) {
            (Way::Keys { .. }, _) => p.note { "Whoever may list keys reaches everything in this hub, whatever data roles say. Denying \
                shared access policies ends that. " a href=(paths::view(&hub.scope, "keys")) { "Shared access policies" } },
            (Way::Entra { .. }, Some(true)) => p { "You may list keys, and they would open everything if somebody allowed them again." },
            (Way::Entra { .. }, _) => p { "What you may do with its data, your roles say." },
        }
    }
}

/// Whoever sees this page may read the resource. What is missing is told where nothing of the data may be read.
fn reader(visit: &Visit<'_>, hub: &Hub) -> Markup {
    html! {
        @if !is_by_key(hub) {
            p.lead { "Reading the resource, which brought you here, and reading data are two rights: " code { "Reader" }
                " or another role for the first, a data role for the second. To give yourself the second, somebody runs " }
            p.command { "az role assignment create --role \"IoT Hub Data Reader\" --assignee " (visit.session.upn) " --scope " (hub.scope) }
        }
    }
}

fn roles(all: &[Held]) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Role" } th scope="col" { "Given at" } th scope="col" { "To" } } }
            tbody { @for it in all {
                tr { th scope="row" { (it.role) } td { a href=(paths::at(&it.at)) { (if it.at == "/" { "the root" } else { last(&it.at) }) } }
                    td { (it.through) } }
            } }
        }
    }
}

async fn held(visit: &Visit<'_>, scope: &str) -> Result<Result<Vec<Held>, Refused>, Trouble> {
    let me = &visit.session.object_id;
    let at = paths::id(scope);
    let path =
        format!("{at}/{PROVIDER}/roleAssignments?$filter=atScope()%20and%20assignedTo('{me}')");
    let all = match visit.list(&path).await {
        Ok(all) => all,
        Err(Trouble::Refused(refused)) => return Ok(Err(refused)),
        Err(other) => return Err(other),
    };
    // Those of the place, which whoever reads here may list.
    let known = visit.list(&format!("{at}/{PROVIDER}/roleDefinitions")).await.unwrap_or_default();
    let mut held = Vec::new();
    for it in &all {
        let role = last(text(it, "/properties/roleDefinitionId"));
        let named = known.iter().find(|it| text(it, "/name").eq_ignore_ascii_case(role));
        let own = text(it, "/properties/principalId").eq_ignore_ascii_case(me);
        held.push(Held {
            role: named.map_or(role, |it| text(it, "/properties/roleName")).to_owned(),
            at: text(it, "/properties/scope").to_owned(),
            through: if own { "you" } else { "a group that you are in" },
        });
    }
    Ok(Ok(held))
}

/// What the gates say of the person's own call; `Err` where the question itself is refused.
async fn asked(visit: &Visit<'_>, hub: &Hub, action: &str) -> Result<Result<bool, ()>, Trouble> {
    let body =
        json!({ "principal": visit.session.object_id, "action": action, "scope": hub.scope });
    let told = visit.arm(Method::POST, "/decisions/ask", Some(&body)).await?;
    let verdict = told.body.pointer("/decision/outcome/verdict").and_then(Value::as_str);
    Ok(match (told.is_ok(), verdict) {
        (true, Some(it)) => Ok(it == "allow"),
        (true, None) | (false, _) => Err(()),
    })
}

fn last_two(action: &str) -> String {
    action.splitn(3, '/').nth(2).unwrap_or(action).to_owned()
}
