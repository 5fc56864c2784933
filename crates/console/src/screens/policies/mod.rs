//! Policies: which reach a place, from where, with which effect, who is exempt, and how many resources keep to them.
//!
//! The table of a place is here, and the one of everything that the person may read; an assignment or a definition by
//! itself is in `policies/resource.rs`, what changed in it and when in `policies/revisions.rs`.

mod forms;
pub(crate) mod resource;
pub(crate) mod revisions;

use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::screens::place::Place;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use crate::{ROOT, paths};
use hyper::Method;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) const PROVIDER: &str = "providers/Microsoft.Authorization";
/// The version that counts compliance.
const STATES: &str = "api-version=2019-10-01";
/// Most assignments of which the definitions are read for one page.
const READ_MAX: usize = 200;

/// What there is to say of a place's policies.
struct Found {
    assignments: Vec<Value>,
    exemptions: Vec<Value>,
    /// By id in lower case; without those that the person may not read.
    definitions: BTreeMap<String, Value>,
    /// Resources that do not comply, by assignment in lower case; none where that cannot be asked.
    breaches: Option<BTreeMap<String, u64>>,
}

/// The view `policies` of a place.
pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let mut refused = None;
    if visit.form.is_some() {
        match forms::assign(visit, place.scope).await? {
            Ok(page) => return Ok(page),
            Err(why) => refused = Some(why),
        }
    }
    let found = find(visit, place.scope, "?$filter=atScope()").await?;
    let content = html! {
        p.lead { "What is written here is judged by these, before any role is looked up. One that denies is enough." }
        @if let Some(refused) = &refused { (refused.shown()) }
        (table(&found, Some(place.scope)))
        (exemptions(&found.exemptions))
        (forms::assigning(visit, place.scope).await)
        (command(&format!("az policy assignment list --disable-scope-strict-match --scope {}", place.scope)))
    };
    Ok(place.framed(visit, None, &content))
}

/// `/console/policies`.
pub(crate) async fn page(visit: &Visit<'_>) -> Result<Page, Trouble> {
    if visit.form.is_some() {
        return forms::begin(visit);
    }
    let subscriptions = visit.list("/subscriptions").await?;
    let mut shown = Vec::new();
    for subscription in &subscriptions {
        let id = text(subscription, "/id");
        let found = find(visit, id, "").await?;
        let definitions = visit.list(&format!("{id}/{PROVIDER}/policyDefinitions")).await?;
        let sets = visit.list(&format!("{id}/{PROVIDER}/policySetDefinitions")).await?;
        shown.push((subscription, found, definitions, sets));
    }
    let content = html! {
        h1 { "Policies" }
        @if shown.is_empty() { p.calm { "You can read no subscription." } }
        @for (subscription, found, definitions, sets) in &shown {
            section.place {
                @if shown.len() > 1 { h2 { (text(subscription, "/displayName")) } }
                h2 { "Assigned" }
                (table(found, None))
                (exemptions(&found.exemptions))
                h2 { "Definitions" }
                (definitions_table(definitions, &found.assignments))
                @if !sets.is_empty() { h2 { "Initiatives" } (definitions_table(sets, &found.assignments)) }
            }
        }
        @if !subscriptions.is_empty() { (forms::beginning(visit, &subscriptions)) }
        (command("az policy assignment list --disable-scope-strict-match --output table"))
    };
    Ok(framed(&Frame::of("Policies", "/policies", visit), &content))
}

async fn find(visit: &Visit<'_>, scope: &str, filter: &str) -> Result<Found, Trouble> {
    let at = paths::id(scope.trim_end_matches('/'));
    let assignments = visit.list(&format!("{at}/{PROVIDER}/policyAssignments{filter}")).await?;
    let exemptions = visit.list(&format!("{at}/{PROVIDER}/policyExemptions{filter}")).await?;
    let mut definitions = BTreeMap::new();
    for assignment in assignments.iter().take(READ_MAX) {
        let id = text(assignment, "/properties/policyDefinitionId");
        let key = id.to_ascii_lowercase();
        if definitions.contains_key(&key) {
            continue;
        }
        let told = visit.arm(Method::GET, &paths::id(id), None).await?;
        if told.is_ok() {
            definitions.insert(key, told.body);
        }
    }
    let breaches = match assignments.is_empty() {
        true => None,
        false => breaches(visit, &at).await?,
    };
    Ok(Found { assignments, exemptions, definitions, breaches })
}

async fn breaches(visit: &Visit<'_>, at: &str) -> Result<Option<BTreeMap<String, u64>>, Trouble> {
    let path =
        format!("{at}/providers/Microsoft.PolicyInsights/policyStates/latest/summarize?{STATES}");
    let told = visit.arm(Method::POST, &path, Some(&json!({}))).await?;
    if !told.is_ok() {
        return Ok(None);
    }
    let all = told.body.pointer("/value/0/policyAssignments").and_then(Value::as_array);
    let counted = all.into_iter().flatten().map(|it| {
        let count = it.pointer("/results/nonCompliantResources").and_then(Value::as_u64);
        (text(it, "/policyAssignmentId").to_ascii_lowercase(), count.unwrap_or(0))
    });
    Ok(Some(counted.collect()))
}

/// `here`: the place that they reach; none where they are of several.
fn table(found: &Found, here: Option<&str>) -> Markup {
    html! {
        @if found.assignments.is_empty() {
            p.calm { "No policy is assigned " @if here.is_some() { "here or above." } @else { "anywhere that you can read." } }
        } @else {
            table.policies {
                thead { tr {
                    th scope="col" { "Assignment" } th scope="col" { "Policy" } th scope="col" { "Effect" }
                    th scope="col" { "Assigned at" } th scope="col" { "Enforced" } th scope="col" { "Exempt" }
                    th.number scope="col" { "Not compliant" }
                } }
                tbody { @for it in &found.assignments { (row(it, found, here)) } }
            }
        }
    }
}

fn row(assignment: &Value, found: &Found, here: Option<&str>) -> Markup {
    let id = text(assignment, "/id");
    let at = text(assignment, "/properties/scope");
    let definition_id = text(assignment, "/properties/policyDefinitionId");
    let definition = found.definitions.get(&definition_id.to_ascii_lowercase());
    let is_own = here.is_some_and(|it| it.eq_ignore_ascii_case(at));
    let exempt = exemptions_of(&found.exemptions, id).count();
    let breached =
        found.breaches.as_ref().map(|it| it.get(&id.to_ascii_lowercase()).copied().unwrap_or(0));
    html! {
        tr {
            th scope="row" { a href=(paths::at(id)) { (title(assignment)) } }
            td { a href=(paths::at(definition_id)) { @match definition {
                Some(it) => (title(it)),
                None => (last(definition_id)),
            } } }
            td { @match definition {
                Some(it) => (effects_shown(&effects(it, assignment))),
                None => span.calm-word { "not yours to read" },
            } }
            td { a href=(paths::view(at, "policies")) { (place_name(at)) }
                @if here.is_some() { " " span.badge { @if is_own { "here" } @else { "inherited" } } } }
            td { @if is_enforced(assignment) { "yes" } @else { span.badge.warn { "only noted" } } }
            td { @if exempt == 0 { "nobody" } @else { (exempt) @if exempt == 1 { " exemption" } @else { " exemptions" } } }
            td.number { @match breached { Some(0) => "0", Some(it) => strong.bad { (it) }, None => "?" } }
        }
    }
}

fn exemptions_of<'v>(all: &'v [Value], assignment: &str) -> impl Iterator<Item = &'v Value> {
    let wanted = assignment.to_ascii_lowercase();
    all.iter()
        .filter(move |it| text(it, "/properties/policyAssignmentId").to_ascii_lowercase() == wanted)
}

/// Who need not keep to which assignment, where, and until when.
fn exemptions(all: &[Value]) -> Markup {
    html! {
        @if !all.is_empty() {
            h3 { "Exemptions" }
            table {
                thead { tr {
                    th scope="col" { "Exemption" } th scope="col" { "From" } th scope="col" { "At" } th scope="col" { "For" }
                    th scope="col" { "Category" } th scope="col" { "Until" }
                } }
                tbody {
                    @for it in all {
                        @let id = text(it, "/id");
                        @let of = text(it, "/properties/policyAssignmentId");
                        @let ends = text(it, "/properties/expiresOn");
                        @let callers = it.pointer("/properties/principalIds").and_then(Value::as_array);
                        tr {
                            th scope="row" { a href=(paths::at(id)) { (title(it)) } }
                            td { a href=(paths::at(of)) { (last(of)) } }
                            td { (place_name(before(id))) }
                            td { @match callers {
                                Some(callers) => { @for it in callers { code { (it.as_str().unwrap_or("")) } " " } },
                                None => "everybody",
                            } }
                            td { (text(it, "/properties/exemptionCategory")) }
                            td { @if ends.is_empty() { "no end" } @else { time datetime=(ends) { (ends) } } }
                        }
                    }
                }
            }
        }
    }
}

fn definitions_table(all: &[Value], assignments: &[Value]) -> Markup {
    html! {
        @if all.is_empty() { p.calm { "None yet." } } @else {
            table {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Rules" } th scope="col" { "Effect" }
                    th scope="col" { "Assigned" } th scope="col" { "Changed" } } }
                tbody {
                    @for it in all {
                        @let id = text(it, "/id");
                        @let changed = text(it, "/systemData/lastModifiedAt");
                        tr {
                            th scope="row" { a href=(paths::at(id)) { (title(it)) } }
                            td { (rules(it).len()) }
                            td { (effects_shown(&effects(it, &Value::Null))) }
                            td { (assignments_of(assignments, id).count()) "x" }
                            td { time datetime=(changed) { (changed) } }
                        }
                    }
                }
            }
        }
    }
}

fn assignments_of<'v>(all: &'v [Value], definition: &str) -> impl Iterator<Item = &'v Value> {
    let wanted = definition.to_ascii_lowercase();
    all.iter()
        .filter(move |it| text(it, "/properties/policyDefinitionId").to_ascii_lowercase() == wanted)
}

/// The rules of a definition, in their order; the members of an initiative have theirs.
fn rules(definition: &Value) -> Vec<&Value> {
    let said = ["/properties/policyRule", "/properties/policyRules"];
    match said.iter().find_map(|it| definition.pointer(it)) {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
        None => {
            let members = definition.pointer("/properties/policyDefinitions");
            members.and_then(Value::as_array).into_iter().flatten().collect()
        }
    }
}

/// What each rule does, with the parameters of an assignment put in.
fn effects(definition: &Value, assignment: &Value) -> Vec<String> {
    let put_in = |said: &str| -> Option<String> {
        let name = said.strip_prefix("[parameters('")?.strip_suffix("')]")?;
        let given = assignment.pointer("/properties/parameters").and_then(|it| it.get(name));
        let declared = definition.pointer("/properties/parameters").and_then(|it| it.get(name));
        let value = given.and_then(|it| it.get("value"));
        let value = value.or_else(|| declared.and_then(|it| it.get("defaultValue")));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let effect = |rule: &&Value| text(rule, "/then/effect").to_owned();
    let said = rules(definition).into_iter().map(|it| effect(&it)).filter(|it| !it.is_empty());
    said.map(|it| put_in(&it).unwrap_or(it)).collect()
}

/// In their order, as a walk through the rules meets them.
fn effects_shown(all: &[String]) -> Markup {
    html! {
        @if all.is_empty() { "of its members" }
        @for (index, it) in all.iter().enumerate() {
            @if index > 0 { span aria-hidden="true" { " \u{203a} " } span.heard { ", then " } }
            span.effect data-effect=(it.to_ascii_lowercase()) { (it) }
        }
    }
}

fn is_enforced(assignment: &Value) -> bool {
    !text(assignment, "/properties/enforcementMode").eq_ignore_ascii_case("DoNotEnforce")
}

/// What a policy object is called.
fn title(document: &Value) -> &str {
    let shown = text(document, "/properties/displayName");
    if shown.is_empty() { text(document, "/name") } else { shown }
}

/// The last name of an id.
pub(crate) fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// What a place is called; a subscription by its id.
fn place_name(scope: &str) -> &str {
    let name = last(scope);
    if name.is_empty() { "the root" } else { name }
}

/// The place where a policy object lies.
fn before(id: &str) -> &str {
    let lower = id.to_ascii_lowercase();
    lower.rfind("/providers/microsoft.authorization/").and_then(|it| id.get(..it)).unwrap_or("")
}

/// JSON that somebody has typed; an empty text is an empty object.
fn object(text: &str, what: &str) -> Result<Value, Refused> {
    let because = |why: String| Refused {
        status: 400,
        code: "InvalidRequestContent".to_owned(),
        message: format!("{what}: {why}"),
        tracking: None,
    };
    if text.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str(text) {
        Ok(it @ Value::Object(_)) => Ok(it),
        Ok(_) => Err(because("an object is expected".to_owned())),
        Err(error) => Err(because(error.to_string())),
    }
}

/// Where the page of all policies is.
fn home() -> String {
    format!("{ROOT}/policies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_of_each_rule_is_told_with_what_the_assignment_gives() {
        let parameters = json!({ "effect": { "type": "String", "defaultValue": "Audit" } });
        let definition = json!({ "properties": { "parameters": parameters, "policyRules": [
            { "then": { "effect": "allow" } }, { "then": { "effect": "[parameters('effect')]" } },
            { "then": { "effect": "[if(true(), 'deny', 'audit')]" } } ] } });
        let given = json!({ "properties": { "parameters": { "effect": { "value": "Deny" } } } });
        let last = "[if(true(), 'deny', 'audit')]";
        assert_eq!(effects(&definition, &given), ["allow", "Deny", last]);
        assert_eq!(effects(&definition, &Value::Null), ["allow", "Audit", last]);
        let set = json!({ "properties": { "policyDefinitions": [{ "policyDefinitionId": "x" }] } });
        assert!(effects(&set, &given).is_empty());
    }

    #[test]
    fn a_policy_object_lies_before_the_last_provider_of_its_id() {
        let hub = "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub";
        let id = format!("{hub}/providers/Microsoft.Authorization/policyAssignments/a");
        assert_eq!(before(&id), hub);
        assert_eq!(before("/providers/Microsoft.Authorization/policyAssignments/a"), "");
        assert_eq!(before("no id"), "");
    }
}
