//! What is written from the pages of policies: assigned, enforced or not, taken away, begun.

use super::{PROVIDER, home, object, title};
use crate::layout::forgery;
use crate::page::Page;
use crate::paths;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use model::Scope;
use serde_json::{Value, json};

/// What can be assigned at a place, and the form for it; nothing where the person can read none.
pub(super) async fn assigning(visit: &Visit<'_>, scope: &str) -> Markup {
    let parsed = Scope::parse(scope).ok();
    let lies = parsed.as_ref().and_then(Scope::subscription_scope);
    let lies = lies.as_ref().map_or(scope, Scope::as_str).trim_end_matches('/');
    let mut known = Vec::new();
    for kind in ["policyDefinitions", "policySetDefinitions"] {
        known.extend(visit.list(&format!("{lies}/{PROVIDER}/{kind}")).await.unwrap_or_default());
    }
    html! {
        details.do {
            summary { "Assign a policy here" }
            @if known.is_empty() {
                p { "There is no definition yet that could be assigned. " a href=(home()) { "Begin one" } "." }
            } @else {
                form.fields method="post" action=(paths::view(scope, "policies")) {
                    (forgery(&visit.session))
                    label for="definition" { "Policy" }
                    select #definition name="definition" required {
                        @for it in &known { option value=(text(it, "/id")) { (title(it)) } }
                    }
                    label for="assignment" { "Name of the assignment" }
                    input #assignment name="assignment" required maxlength="128" value=(visit.sent("assignment").unwrap_or_default());
                    label for="parameters" { "Parameters, where it has any" }
                    input #parameters name="parameters" placeholder="{\"effect\": {\"value\": \"Deny\"}}"
                        value=(visit.sent("parameters").unwrap_or_default());
                    label for="mode" { "Enforced" }
                    select #mode name="mode" {
                        option value="DoNotEnforce" { "only noted: nobody is refused" }
                        option value="Default" { "yes: it counts from the next call on" }
                    }
                    button.first { "Assign" }
                }
            }
        }
    }
}

/// Assigns what the form says; the inner refusal is shown on the page of the form.
pub(super) async fn assign(
    visit: &Visit<'_>,
    scope: &str,
) -> Result<Result<Page, Refused>, Trouble> {
    let sent = |name: &str| visit.sent(name).unwrap_or_default();
    let parameters = match object(sent("parameters"), "The parameters") {
        Ok(it) => it,
        Err(why) => return Ok(Err(why)),
    };
    let place = scope.trim_end_matches('/');
    let id = format!("{place}/{PROVIDER}/policyAssignments/{}", sent("assignment"));
    let body = json!({ "properties": {
        "displayName": sent("assignment"),
        "policyDefinitionId": sent("definition"),
        "parameters": parameters,
        "enforcementMode": sent("mode"),
    } });
    let told = visit.arm(Method::PUT, &paths::id(&id), Some(&body)).await?;
    Ok(match told.is_ok() {
        true => Ok(Page::redirect(&paths::at(&id))),
        false => Err(Refused::of(&told)),
    })
}

/// Changes or removes an assignment, as the form on its page says.
pub(super) async fn change(visit: &Visit<'_>, id: &str) -> Result<Result<Page, Refused>, Trouble> {
    let path = paths::id(id);
    let (told, then) = match visit.sent("do").unwrap_or_default() {
        "enforce" => {
            let mode = visit.sent("mode").unwrap_or_default();
            (assigned_with_mode(visit, &path, mode).await?, paths::at(id))
        }
        "remove" => (visit.arm(Method::DELETE, &path, None).await?, home()),
        other => return Err(Trouble::Bad { why: format!("Nothing here is called `{other}`.") }),
    };
    Ok(match told.is_ok() {
        true => Ok(Page::redirect(&then)),
        false => Err(Refused::of(&told)),
    })
}

/// The assignment as it is, but for whether it is enforced: a patch of Azure's cannot say that.
async fn assigned_with_mode(
    visit: &Visit<'_>,
    path: &str,
    mode: &str,
) -> Result<crate::api::Told, Trouble> {
    let mut document = visit.get(path).await?;
    if let Some(properties) = document.get_mut("properties") {
        model::json::set(properties, "enforcementMode", mode);
    }
    visit.arm(Method::PUT, path, Some(&document)).await
}

/// The form that begins a definition: its bench opens on it.
pub(super) fn beginning(visit: &Visit<'_>, subscriptions: &[Value]) -> Markup {
    html! {
        section {
            h2 { "Begin a policy" }
            form.line method="post" action=(home()) {
                (forgery(&visit.session))
                label for="subscription" { "In" }
                select #subscription name="subscription" {
                    @for it in subscriptions { option value=(text(it, "/id")) { (text(it, "/displayName")) } }
                }
                label for="name" { "Name" }
                input #name name="name" required maxlength="64" size="32" placeholder="custom-security-policy-v2";
                button.first { "Open the bench" }
            }
            p.lead { "Nothing is written before you save it there." }
        }
    }
}

pub(super) fn begin(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let sent = |name: &str| visit.sent(name).unwrap_or_default();
    let id = format!("{}/{PROVIDER}/policyDefinitions/{}", sent("subscription"), sent("name"));
    let id = Scope::parse(&id).map_err(|it| Trouble::Bad { why: it.to_string() })?;
    Ok(Page::redirect(&paths::view(id.as_str(), "bench")))
}
