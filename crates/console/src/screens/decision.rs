//! A decision as a waterfall: the gates in their order, every condition with what was expected and what was found, and
//! the smallest change.

use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::trouble::Trouble;
use crate::visit::{Visit, text};
use crate::{ROOT, paths};
use maud::{Markup, html};
use model::trace::{Caller, Condition, Finding, Step};
use model::{Gate, Trace, TrackingId, Verdict};
use serde::Deserialize as _;
use serde_json::Value;

/// Longest text in which a tracking id is looked for.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// From a form on another page, with a whole error message where a tracking id is meant.
pub(crate) fn find(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let text = visit.query.get("id");
    let id = guid(text).ok_or_else(|| Trouble::Bad {
        why: "There is no tracking id in that; it looks like 3f0c0f5e-1111-4222-8333-444455556666 and stands behind \
              \"Tracking ID:\" in error messages."
            .into(),
    })?;
    Ok(Page::redirect(&paths::decision(&id)))
}

/// The first GUID behind the word `tracking`, else the first of all.
pub(crate) fn guid(text: &str) -> Option<String> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let label = text.to_ascii_lowercase().find("tracking").unwrap_or(0);
    let words = |from: usize| {
        let is_in = |it: char| it.is_ascii_hexdigit() || it == '-';
        text.get(from..).unwrap_or("").split(move |it: char| !is_in(it))
    };
    let found = |from: usize| words(from).find_map(|it| TrackingId::parse(it.get(..36)?));
    found(label).or_else(|| found(0)).map(|it| it.to_string())
}

pub(crate) async fn page(visit: &Visit<'_>, id: &str) -> Result<Page, Trouble> {
    let none = || Trouble::NotFound { what: "A tracking id is a GUID; this is none.".into() };
    let id = TrackingId::parse(id).ok_or_else(none)?;
    let answer = visit.get(&format!("/decisions/{id}")).await?;
    let trace = read(&answer)?;
    let content = html! {
        h1 { (headline(&trace)) }
        (waterfall(&trace, &answer))
        section {
            h2 { "Would it be decided so now?" }
            (again(&trace))
        }
        (command(&format!("hubward explain {id}")))
    };
    Ok(framed(&Frame::of("Decision", "/refusals", visit), &content))
}

pub(crate) fn read(answer: &Value) -> Result<Trace, Trouble> {
    Trace::deserialize(answer.get("decision").unwrap_or(&Value::Null))
        .map_err(|it| Trouble::Bad { why: format!("The server's decision cannot be read: {it}.") })
}

/// What happened, in one sentence.
fn headline(trace: &Trace) -> String {
    let request = &trace.call.channel.request;
    let what = if request.is_empty() { &trace.call.operation } else { request };
    match (trace.outcome.verdict, trace.outcome.gate) {
        (Verdict::Allow, _) => format!("{what} was allowed"),
        (_, Some(gate)) => {
            format!("{what} was refused at the {} gate ({})", gate.as_str(), trace.outcome.status)
        }
        (_, None) => format!("{what} was refused ({})", trace.outcome.status),
    }
}

/// Everything of an answer of the decisions API but its headline.
pub(crate) fn waterfall(trace: &Trace, answer: &Value) -> Markup {
    let is_redacted = answer.get("redacted").and_then(Value::as_bool) == Some(true);
    html! {
        (why(trace))
        (changes(trace, answer))
        h2 { "Gate by gate" }
        @if is_redacted {
            p.note { "Conditions and rules are left out: you may not read the policies that were looked at. "
                code { "Reader" } " at the scope of the policy shows them." }
        }
        (gates(trace))
        (facts(trace))
    }
}

/// The gates in their order, each with what it found.
pub(crate) fn gates(trace: &Trace) -> Markup {
    html! {
        ol.waterfall aria-label="Gates" {
            @for step in &trace.steps { (gate(step)) }
        }
        @for warning in &trace.warnings { p.note { (warning) } }
    }
}

/// What decided, before everything else.
fn why(trace: &Trace) -> Markup {
    let refusing = trace.steps.iter().find(|it| it.verdict == Verdict::Deny);
    let granting = trace.step(Gate::Access).filter(|it| it.verdict == Verdict::Allow);
    let decided = refusing.or(granting);
    html! {
        @if let Some(step) = decided {
            section.why data-verdict=(if refusing.is_some() { "deny" } else { "allow" }) {
                p.gates aria-hidden="true" {
                    @for it in &trace.steps {
                        span data-verdict=(kind(it.verdict)) { (it.gate.as_str()) }
                    }
                }
                p { strong { (step.reason) }
                    @if let Some(found) = step.deciding().filter(|it| it.name != step.reason) { ": " (found.name) } }
                @if !trace.outcome.message.is_empty() && trace.outcome.message != step.reason {
                    p { (trace.outcome.message) }
                }
            }
        }
    }
}

const fn kind(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::NotEvaluated => "unasked",
    }
}

fn facts(trace: &Trace) -> Markup {
    html! {
        dl.facts {
            @if let Some(caller) = &trace.call.caller {
                dt { "Caller" } dd { (who(caller)) }
            }
            dt { "Wanted" }
            dd.name { @if trace.call.actions.is_empty() { (trace.call.operation) } @else { (trace.call.actions.join(", ")) } }
            dt { "Where" } dd.name { a href=(paths::at(&trace.call.scope)) { (trace.call.scope) } }
            @for object in &trace.call.objects { dt { "What" } dd.name { (object.name) " (" (object.kind) ")" } }
            dt { "When" } dd { time datetime=(trace.time.rfc3339()) { (trace.time.rfc3339()) } }
            dt { "From" } dd { (trace.call.channel.address) " over " (trace.call.channel.protocol) }
            @if trace.repeats > 0 { dt { "Repeats" } dd { (trace.repeats) " more of the same since" } }
        }
    }
}

fn who(caller: &Caller) -> Markup {
    html! {
        (caller.name) " (" (caller.kind.as_str())
        @if let Some(id) = caller.object_id { ", " code { (id) } }
        "), signed in with " (caller.signed_in)
        @if let Some(via) = &caller.via { ", through " (via) }
    }
}

fn gate(step: &Step) -> Markup {
    html! {
        li data-verdict=(kind(step.verdict)) {
            div.gate-head {
                strong { (step.gate.as_str()) }
                span.verdict { (step.verdict.as_str()) }
                @if let Some(ns) = step.took_ns { span.took { (took(ns)) } }
            }
            @if step.verdict == Verdict::NotEvaluated {
                p { "An earlier gate had refused; nothing was looked up here." }
            } @else {
                p { (step.reason) }
            }
            @for found in &step.findings { (finding(found, step)) }
        }
    }
}

fn took(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

fn finding(found: &Finding, step: &Step) -> Markup {
    let is_deciding = step.deciding().is_some_and(|it| std::ptr::eq(it, found));
    html! {
        details open[is_deciding] data-result=(found.result.told()) {
            summary {
                span.result { (found.result.told()) } " " (found.name)
                @if let Some(role) = &found.role { " (role " (role.role_name) ")" }
                @if is_deciding { " " strong { "decided" } }
            }
            p { (found.reason) }
            p.name { (found.id) }
            @if let Some(rule) = &found.rule {
                p { "Rule " (rule.index) " of " (rule.definition_name) ", effect " code { (rule.effect) }
                    ", assigned at " span.name { (rule.assignment_scope) } }
            }
            @if let Some(role) = &found.role {
                p { "Given at " span.name { (role.scope) }
                    @if let Some(pattern) = &role.pattern { ", " code { (role.list) } " holds " code { (pattern) } }
                    @for group in &role.through { ", through the group " (group.name) } }
            }
            @if !found.conditions.is_empty() { (conditions(&found.conditions)) }
        }
    }
}

/// What was expected and what was found.
pub(crate) fn conditions(all: &[Condition]) -> Markup {
    html! {
        table.conditions {
            thead { tr {
                th scope="col" { "" } th scope="col" { "Looked at" } th scope="col" { "" } th scope="col" { "Expected" }
                th scope="col" { "Found" } th scope="col" { "Where it stands" }
            } }
            tbody {
                @for it in all {
                    tr data-result=(if it.result { "match" } else { "noMatch" }) {
                        td { @if it.result { "true" } @else { "false" } }
                        td.name { (it.expression) }
                        td { (it.operator) }
                        td.name { (plain(&it.expected)) }
                        td.name {
                            @if let Some(error) = &it.error { (error) }
                            @else if let Some(actual) = &it.actual { (plain(actual)) }
                            @else { em { "nothing" } }
                        }
                        td.name { (it.path) }
                    }
                }
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn changes(trace: &Trace, answer: &Value) -> Markup {
    let fixes = answer.get("fixes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    html! {
        @if trace.outcome.verdict == Verdict::Deny {
            section.changes {
                h2 { "The smallest change" }
                @if fixes.is_empty() {
                    p { (without(trace.outcome.gate)) }
                }
                @for it in fixes { (fix(it)) }
                @if !fixes.is_empty() {
                    p { "Each was judged by the same gates as if it were made. Nothing was changed." }
                }
            }
        }
    }
}

/// A change that would help, with the command that makes it.
pub(crate) fn fix(fix: &Value) -> Markup {
    html! {
        article {
            h3 { (text(fix, "/says")) }
            @if !text(fix, "/command").is_empty() { pre { code { (text(fix, "/command")) } } }
            p { "Then " (text(fix, "/then")) "." }
            @if !text(fix, "/warning").is_empty() { p.note { (text(fix, "/warning")) } }
        }
    }
}

fn without(gate: Option<Gate>) -> &'static str {
    match gate {
        Some(Gate::Authentication) => {
            "No role or policy stands in the way: the caller was not proven. Show a credential that counts."
        }
        Some(Gate::ConditionalAccess) => {
            "Conditional access stood in the way before any role was looked at. Who manages the policies can exclude the \
             caller, the place or the application."
        }
        Some(Gate::Policy | Gate::Access | Gate::Resource) | None => {
            "No single change that was tried lets this call pass, or you may not read what stands against it."
        }
    }
}

/// The same question again, for the form that asks it.
fn again(trace: &Trace) -> Markup {
    let caller = trace.call.caller.as_ref();
    let id = caller.and_then(|it| it.object_id);
    let action = trace.call.actions.first().map_or("", String::as_str);
    let object = trace.call.objects.first().map_or("", |it| it.name.as_str());
    html! {
        @if let (Some(id), false) = (id, action.is_empty()) {
            form.line method="get" action={ (ROOT) "/ask" } {
                input type="hidden" name="principal" value=(id);
                input type="hidden" name="action" value=(action);
                input type="hidden" name="scope" value=(trace.call.scope);
                input type="hidden" name="object" value=(object);
                button.first { "Ask the gates" }
                " The call is judged by what holds now. Nobody calls, and nothing is changed."
            }
        } @else {
            p { "This caller holds no roles, so that only its own credential can be tried again." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracking_id_is_found_in_an_error_message() {
        const ID: &str = "3f0c0f5e-1111-4222-8333-444455556666";
        for text in [
            ID.to_owned(),
            format!("Tracking ID:{ID}-G:0-TimeStamp:11/21/2026 10:00:00"),
            format!("object id aaaaaaaa-1111-4222-8333-444455556666, tracking id: {ID}"),
        ] {
            assert_eq!(guid(&text).as_deref(), Some(ID), "{text}");
        }
        for none in ["", "nonsense", &ID[1..], "tracking"] {
            assert_eq!(guid(none), None, "{none}");
        }
    }
}
