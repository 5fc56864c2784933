//! What the API says of a draft: faults with their line, warnings, the verdict on one call, registrations that are made
//! up, and calls on record that would go another way.

use super::Bench;
use super::lines::line_of;
use crate::form::Form;
use crate::screens::decision;
use crate::screens::policies::last;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use model::Verdict;
use serde_json::{Value, json};

/// Most calls on record that are listed.
const FLIPS_MAX: usize = 20;

/// A draft, looked over.
pub(super) struct Checked {
    pub(super) shown: Markup,
    /// Where the fault stands, from 1.
    pub(super) line: Option<usize>,
    /// What would be saved; none where the text is no JSON object.
    pub(super) properties: Option<Value>,
}

pub(super) async fn check(
    visit: &Visit<'_>,
    bench: &Bench,
    form: &Form,
    draft: &str,
) -> Result<Checked, Trouble> {
    let properties = match serde_json::from_str::<Value>(draft) {
        Ok(it @ Value::Object(_)) => it,
        Ok(_) => {
            return Ok(faulty("an object is expected: `{ \"policyRule\": ... }`", "", draft, 1));
        }
        Err(error) => {
            let said = error.to_string();
            let why = said.split(" at line ").next().unwrap_or(&said);
            return Ok(faulty(why, "", draft, error.line().max(1)));
        }
    };
    let changes = changes(bench, form, &properties);
    let scope =
        [bench.called(form, "scope"), bench.place(form)].into_iter().find(|it| !it.is_empty());
    let mut question = json!({ "changes": changes, "scope": scope });
    let (principal, action) = (bench.called(form, "principal"), bench.called(form, "action"));
    let is_call = !principal.is_empty() && !action.is_empty();
    if is_call {
        model::json::set(&mut question, "principal", principal);
        model::json::set(&mut question, "action", action);
        let object = bench.called(form, "object");
        if !object.is_empty() {
            model::json::set(&mut question, "objectName", object);
        }
    }
    let told = visit.arm(Method::POST, "/decisions/ask", Some(&question)).await?;
    if !told.is_ok() {
        let properties = Some(properties);
        return Ok(Checked { properties, ..refused(&Refused::of(&told), &told.body, draft) });
    }
    let flips = match form.has("flips") || form.get("do") == "check" {
        true => Some(flips(visit, bench, form, &changes).await?),
        false => None,
    };
    let shown = html! {
        (verdict(&told.body, is_call)?)
        (warnings(&told.body, draft))
        @if let Some(flips) = &flips { (flips) }
        @else { div #flips { p.soft { "Calls on record that would go another way: shown when you stop typing, or with Check." } } }
        (rehearsal(&told.body))
    };
    Ok(Checked { shown, line: None, properties: Some(properties) })
}

/// The definition, and assignments that bring it to a place.
fn changes(bench: &Bench, form: &Form, properties: &Value) -> Value {
    let mut changes = vec![json!({ "id": bench.id, "properties": properties })];
    let at = bench.place(form);
    if bench.assignments.is_empty() && !at.is_empty() {
        // A name that no other assignment has: one of the same id would be replaced in the trial.
        let name = last(&bench.id);
        let id = format!("{at}/{}/policyAssignments/{name}-draft", super::PROVIDER);
        changes.push(json!({ "id": id, "properties": { "policyDefinitionId": bench.id } }));
    }
    // As they are: with what they give its parameters.
    changes.extend(
        bench
            .assignments
            .iter()
            .take(CHANGES_MAX)
            .map(|it| json!({ "id": it.get("id"), "properties": it.get("properties") })),
    );
    Value::Array(changes)
}

/// Assignments of one definition that are tried together.
const CHANGES_MAX: usize = 10;

/// What the API refuses, at its place in the text where it names one.
pub(super) fn refused(refused: &Refused, body: &Value, draft: &str) -> Checked {
    let at = text(body, "/error/target");
    let inner = at.strip_prefix("changes[0].").unwrap_or(at);
    let is_in_text = refused.status == 400 && inner.starts_with("properties");
    if !is_in_text {
        return Checked { shown: refused.shown(), line: None, properties: None };
    }
    let path = inner.strip_prefix("properties.").unwrap_or("");
    let why = refused.message.strip_prefix(at).unwrap_or(&refused.message).trim_start_matches(": ");
    faulty(why, path, draft, line_of(draft, path))
}

fn faulty(why: &str, path: &str, draft: &str, line: usize) -> Checked {
    let shown = html! {
        section.refused.fault-told {
            h3 { "This cannot be meant" }
            p { a.to-line href="#text" data-line=(line) { "Line " (line) } @if !path.is_empty() { ", " code { (path) } } }
            p { (why) }
            pre { @for (number, it) in near(draft, line) {
                span.number { (number) } " " @if number == line { strong { (it) } } @else { (it) } "\n"
            } }
        }
    };
    Checked { shown, line: Some(line), properties: None }
}

/// A line with those beside it.
fn near(draft: &str, line: usize) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(draft.lines()).skip(line.saturating_sub(2)).take(if line < 2 { 2 } else { 3 })
}

fn verdict(answer: &Value, is_call: bool) -> Result<Markup, Trouble> {
    if !is_call {
        return Ok(html! { p.soft { "Name who does what, and the verdict stands here." } });
    }
    let trace = decision::read(answer)?;
    let now = trace.outcome.verdict == Verdict::Allow;
    let was = text(answer, "/before/verdict") == "allow";
    let says = |is_allowed: bool| if is_allowed { "allowed" } else { "refused" };
    let decided = trace.deciding();
    Ok(html! {
        section.draft-verdict data-verdict=(if now { "allow" } else { "deny" }) data-flips=(was != now) {
            h3 {
                "With this draft: " span.verdict { (says(now)) }
                @if was == now { " as it is today" } @else { ", today " (says(was)) }
            }
            @if let (Some(gate), false) = (trace.outcome.gate, now) {
                p { "At the " (gate.as_str()) " gate"
                    @if let Some(found) = decided {
                        ": " (found.reason)
                    } }
            }
            details { summary { "Gate by gate" } (decision::gates(&trace)) }
        }
    })
}

fn warnings(answer: &Value, draft: &str) -> Markup {
    let list = |name: &str| {
        let found = answer.pointer(&format!("/draft/{name}")).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let (warnings, stops) = (list("warnings"), list("stops"));
    html! {
        @for it in &stops { p.note { strong { "If it is saved: " } (it.as_str().unwrap_or("")) "." } }
        @for it in &warnings {
            @let line = line_of(draft, text(it, "/at"));
            div.note.warned data-code=(text(it, "/code")) {
                p { a.to-line href="#text" data-line=(line) { "Line " (line) } ": " (text(it, "/because")) "." }
                p.soft { "Better: " (text(it, "/advice")) "." }
            }
        }
    }
}

/// Registrations that are made up. One line where all fare alike.
fn rehearsal(answer: &Value) -> Markup {
    let all = answer.pointer("/draft/rehearsed").and_then(Value::as_array);
    let all = all.map_or(&[][..], Vec::as_slice);
    let is_refused = |it: &Value, side: &str| it.get(side).is_some_and(|it| !it.is_null());
    let names = all.iter().any(|it| it.get("namesServices") == Some(&Value::Bool(true)));
    let through = all.iter().all(|it| !is_refused(it, "stranger") && !is_refused(it, "named"));
    let cell = |it: &Value, side: &str| {
        let rule = it.pointer(&format!("/{side}/rule")).and_then(Value::as_u64);
        html! {
            @if is_refused(it, side) { span.bad { "refused" } @if let Some(rule) = rule { " by rule " (rule) } }
            @else { span.good { "passes" } }
        }
    };
    html! {
        @if !all.is_empty() {
            h3 { "Devices that register" }
            @if through { p { span.good { "All pass" } ", in each of " (all.len()) " ways of registering." } }
            @else {
                table.rehearsed {
                    thead { tr { th scope="col" { "Enrollment" } th scope="col" { "Over" } th scope="col" { "Twin" }
                        th scope="col" { "Any service" } @if names { th scope="col" { "One that it names" } } } }
                    tbody { @for it in all {
                        tr {
                            td { (text(it, "/enrollment")) } td { (text(it, "/protocol")) }
                            td { @if it.get("hasTwin") == Some(&Value::Bool(true)) { "yes" } @else { "no" } }
                            td { (cell(it, "stranger")) }
                            @if names { td { (cell(it, "named")) } }
                        }
                    } }
                }
            }
        }
    }
}

/// Calls on record that would go another way.
async fn flips(
    visit: &Visit<'_>,
    bench: &Bench,
    form: &Form,
    changes: &Value,
) -> Result<Markup, Trouble> {
    let question = json!({ "changes": changes, "scope": bench.place(form) });
    let told = visit.arm(Method::POST, "/decisions/whatIf", Some(&question)).await?;
    if !told.is_ok() {
        return Ok(Refused::of(&told).shown());
    }
    let number = |path: &str| told.body.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let all = told.body.get("flips").and_then(Value::as_array).cloned().unwrap_or_default();
    let since = text(&told.body, "/since");
    let more = all.len().saturating_sub(FLIPS_MAX) as u64 + number("/more");
    Ok(html! {
        div #flips {
            h3 { "Calls on record" }
            p {
                @if all.is_empty() { "None of them would go another way" }
                @else { strong.bad { (number("/newly/refused")) " newly refused" } ", " span.good { (number("/newly/allowed")) " newly allowed" } }
                "; " (number("/stay/allowed")) " stay allowed, " (number("/stay/refused")) " stay refused."
                " Recorded since " time datetime=(since) { (since) } "."
            }
            @if !all.is_empty() {
                table.flips {
                    thead { tr { th scope="col" { "Becomes" } th scope="col" { "Who" } th scope="col" { "Does what" }
                        th scope="col" { "Where" } th.number scope="col" { "Calls" } th scope="col" { "By" } } }
                    tbody { @for it in all.iter().take(FLIPS_MAX) {
                        @let to = text(it, "/to");
                        tr {
                            td { @if to == "deny" { span.bad { "refused" } } @else { span.good { "allowed" } } }
                            td { (text(it, "/caller/name")) " " span.soft { (text(it, "/caller/way")) } }
                            td { (text(it, "/operation")) }
                            td { (last(text(it, "/scope"))) @if !text(it, "/object").is_empty() { " / " (text(it, "/object")) } }
                            td.number { (it.get("calls").and_then(Value::as_u64).unwrap_or(0)) }
                            td { (text(it, "/by/reason")) }
                        }
                    } }
                }
                @if more > 0 { p { "And " (more) " more." } }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_marked_on_the_line_that_the_server_names() {
        let draft = "{\n  \"policyRule\": {\n    \"if\": { \"field\": \"nonsense\" }\n  }\n}";
        let why = Refused {
            status: 400,
            code: "InvalidPolicyRule".to_owned(),
            message: "no such field".to_owned(),
            tracking: None,
        };
        let body = |at: &str| json!({ "error": { "target": at } });
        for (at, line) in [
            ("changes[0].properties.policyRule.if.field", Some(3)),
            ("properties.policyRule", Some(2)),
            ("properties", Some(1)),
            ("changes[1].properties.parameters", None),
            ("scope", None),
        ] {
            assert_eq!(refused(&why, &body(at), draft).line, line, "{at}");
        }
        let shown: Vec<usize> = near(draft, 3).map(|(number, _)| number).collect();
        assert_eq!(shown, [2, 3, 4]);
    }
}
