//! A decision laid out for a person: what happened, to whom, which gate decided and by what, and what
//! would change it. In that order, because that is the order of the questions.
//!
//! Pure: the same answer gives the same text. Decides nothing; what the server left out stays left out.

pub(crate) mod cause;

use crate::answer::{Answer, Fix};
use crate::page::{Cell, Column, Page, Style};
use crate::text::{escape, shorten};
use model::trace::{Caller, EnrollmentKind, FindingKind, FindingResult, Step};
use model::{Gate, Trace, Verdict};

/// The column of labels.
pub(crate) const LABEL_CHARS: usize = 11;
/// Most rows of one table. A server shows more as JSON.
pub(crate) const ROWS_MAX: usize = 50;
/// Most changes that are shown: the smallest come first.
const FIXES_MAX: usize = 10;
/// Most of the objects that a call would write or delete.
const OBJECTS_MAX: usize = 10;
/// Longest sentence or value from a trace.
pub(crate) const TEXT_CHARS_MAX: usize = 2_000;

/// What the answer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    /// Why was it decided so? A kept decision.
    Why,
    /// What would be decided? Nobody called.
    WhatIf,
}

/// The whole answer as text.
pub(crate) fn render(answer: &Answer, question: Question, mut page: Page) -> String {
    decision(answer, question, &mut page);
    if answer.decision.outcome.verdict == Verdict::Deny {
        page.blank();
        changes(&answer.fixes, &mut page);
    }
    page.into_text()
}

/// What was decided and why, without what would change it.
pub(crate) fn decision(answer: &Answer, question: Question, page: &mut Page) {
    let trace = &answer.decision;
    let style = match trace.outcome.verdict {
        Verdict::Allow => Style::Good,
        Verdict::Deny => Style::Bad,
        Verdict::NotEvaluated => Style::Bold,
    };
    page.paragraph(0, style, &headline(trace, question));
    page.blank();
    facts(trace, question, page);
    page.blank();
    gates(trace, page);
    cause::show(answer, page);
}

/// What happened, in one sentence.
fn headline(trace: &Trace, question: Question) -> String {
    let call = &trace.call;
    let actions = || match call.actions.is_empty() {
        true => format!("`{}`", call.operation),
        false => call.actions.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
    };
    let what = match question {
        Question::WhatIf => {
            let who = call.caller.as_ref().map_or("nobody", |it| it.name.as_str());
            format!("{} by `{who}` would be", actions())
        }
        Question::Why if call.channel.request.is_empty() => format!("{} was", actions()),
        Question::Why => format!("`{}` was", call.channel.request),
    };
    let sentence = match trace.outcome.verdict {
        Verdict::Allow => match trace.step(Gate::Access).and_then(granted_by) {
            Some(by) => format!("{what} allowed by {by}"),
            None => format!("{what} allowed"),
        },
        Verdict::Deny => {
            format!("{what} refused with {} {}", trace.outcome.status, refused_by(trace))
        }
        Verdict::NotEvaluated => format!("{what} not decided"),
    };
    shorten(&sentence, TEXT_CHARS_MAX)
}

fn granted_by(step: &Step) -> Option<String> {
    let found = step.deciding()?;
    match (&found.role, found.kind) {
        (Some(role), _) => Some(format!("role `{}`", role.role_name)),
        (None, FindingKind::SasRight) => {
            Some(format!("the rights of shared access policy `{}`", found.name))
        }
        (None, _) => None,
    }
}

fn refused_by(trace: &Trace) -> String {
    let Some(step) = refusing(trace) else { return "at no gate".into() };
    let names: Vec<String> = decisive(step).map(|it| format!("`{}`", it.name)).collect();
    match (step.gate, names.as_slice()) {
        (Gate::Policy, [one]) => format!("by policy {one}"),
        (Gate::Policy, [_, ..]) => format!("by policies {}", names.join(", ")),
        (_, _) if step.reason.is_empty() => {
            format!("at the {} gate", step.gate.as_str())
        }
        (_, _) => {
            format!("at the {} gate: {}", step.gate.as_str(), step.reason)
        }
    }
}

/// The step that said no.
pub(crate) fn refusing(trace: &Trace) -> Option<&Step> {
    trace.steps.iter().find(|it| it.verdict == Verdict::Deny)
}

/// What refused, of the things that a refusing step looked at.
pub(crate) fn decisive(step: &Step) -> impl Iterator<Item = &model::trace::Finding> {
    step.findings
        .iter()
        .filter(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error))
}

fn facts(trace: &Trace, question: Question, page: &mut Page) {
    let call = &trace.call;
    let mut field = |label: &str, text: &str| {
        if !text.is_empty() {
            page.field(0, LABEL_CHARS, label, &shorten(text, TEXT_CHARS_MAX));
        }
    };
    field("when", &trace.time.rfc3339());
    if question == Question::Why {
        let id = trace.id.to_string();
        field("tracking id", &id);
        if trace.correlation_id != id {
            field("correlation", &trace.correlation_id);
        }
    }
    match &call.caller {
        Some(caller) => {
            field("caller", &named(caller));
            field("signed in", &caller.signed_in);
            if let Some(device) = &call.channel.on_behalf_of {
                let what = match call.channel.enrollment {
                    Some(EnrollmentKind::Group) => "enrollment group",
                    Some(EnrollmentKind::Individual) | None => "enrollment",
                };
                let via = device.via.as_ref().map(|it| format!(", by the {what} `{it}`"));
                field("for", &format!("{}{}", named(device), via.unwrap_or_default()));
            }
        }
        None => field("caller", "nobody was proven"),
    }
    if question == Question::Why {
        let channel = &call.channel;
        let from = [channel.address.as_str(), channel.protocol.as_str()];
        let from: Vec<&str> = from.into_iter().filter(|it| !it.is_empty()).collect();
        field("from", &from.join(" over "));
    }
    for it in &trace.warnings {
        field("warning", it);
    }
    if let Some(replica) = &call.replica {
        let late =
            format!("{}, which sees changes of roles after {} s", replica.index, replica.delay_s);
        field("replica", &late);
    }
    let actions = call.actions.join(", ");
    let operation = match actions.is_empty() {
        true => call.operation.clone(),
        false => format!("{}: {actions}", call.operation),
    };
    field("operation", &operation);
    field("scope", &call.scope);
    let mut objects: Vec<String> = call
        .objects
        .iter()
        .take(OBJECTS_MAX)
        .map(|it| format!("{} `{}`", it.kind, it.name))
        .collect();
    if let Some(more) = call.objects.len().checked_sub(OBJECTS_MAX).filter(|it| *it > 0) {
        objects.push(format!("and {more} more"));
    }
    let deletes = call.objects.first().is_some_and(|it| !it.verb.is_write());
    field(if deletes { "deletes" } else { "writes" }, &objects.join(", "));
    let outcome = &trace.outcome;
    if outcome.verdict == Verdict::Deny {
        field("answer", &format!("{} {}: {}", outcome.status, outcome.code, outcome.message));
    }
    if trace.repeats > 0 {
        let times = match trace.repeats {
            1 => "once more".to_owned(),
            more => format!("{more} times more"),
        };
        field("repeats", &format!("refused {times} within the minute; only counted"));
    }
}

pub(crate) fn named(caller: &Caller) -> String {
    let mut parts = vec![caller.kind.as_str().to_owned()];
    parts.extend(caller.object_id.map(|it| format!("object id {it}")));
    parts.extend(caller.app_id.map(|it| format!("app id {it}")));
    format!("`{}` ({})", caller.name, parts.join(", "))
}

fn gates(trace: &Trace, page: &mut Page) {
    let row = |step: &Step| {
        let (style, reason) = match step.verdict {
            Verdict::Allow => (Style::Good, step.reason.as_str()),
            Verdict::Deny => (Style::Bad, step.reason.as_str()),
            Verdict::NotEvaluated if step.reason.is_empty() => {
                (Style::Dim, "an earlier gate had refused")
            }
            Verdict::NotEvaluated => (Style::Dim, step.reason.as_str()),
        };
        vec![
            Cell::plain(step.gate.as_str()),
            Cell::new(style, step.verdict.as_str()),
            Cell::plain(step.took_ns.map_or_else(String::new, took)),
            Cell::plain(shorten(reason, TEXT_CHARS_MAX)),
        ]
    };
    let rows: Vec<Vec<Cell>> = trace.steps.iter().take(ROWS_MAX).map(row).collect();
    page.table(
        0,
        &[
            Column::Firm("gate"),
            Column::Firm("verdict"),
            Column::Firm("took"),
            Column::Soft("reason"),
        ],
        &rows,
    );
}

/// `850 ns`, `12.4 us`, `3.1 ms`. Nothing for 0: that was not measured.
fn took(ns: u64) -> String {
    match ns {
        0 => String::new(),
        1..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{}.{} us", ns / 1_000, ns % 1_000 / 100),
        _ => format!("{}.{} ms", ns / 1_000_000, ns % 1_000_000 / 100_000),
    }
}

fn changes(fixes: &[Fix], page: &mut Page) {
    page.paragraph(0, Style::Bold, "The smallest change");
    if fixes.is_empty() {
        page.paragraph(2, Style::Plain, "the server knows none that it could name to you");
        return;
    }
    for (index, fix) in fixes.iter().take(FIXES_MAX).enumerate() {
        if index > 0 {
            page.blank();
            // Not "or": where several policies deny, each needs its own.
            page.paragraph(0, Style::Bold, "Another change");
        }
        change(fix, page);
    }
    if let Some(more) = fixes.len().checked_sub(FIXES_MAX).filter(|it| *it > 0) {
        page.paragraph(2, Style::Dim, &format!("and {more} more; `-o json` shows all"));
    }
}

pub(crate) fn change(fix: &Fix, page: &mut Page) {
    page.paragraph(2, Style::Plain, &shorten(&fix.says, TEXT_CHARS_MAX));
    // The warning comes first: who has found the command reads no further.
    if let Some(warning) = &fix.warning {
        page.paragraph(
            2,
            Style::Warning,
            &format!("warning: {}", shorten(warning, TEXT_CHARS_MAX)),
        );
    }
    if let Some(command) = fix.command.as_ref().filter(|it| !it.is_empty()) {
        if escape(command) != *command {
            page.paragraph(
                2,
                Style::Warning,
                "warning: the command holds characters that cannot be shown; do not paste it as it stands",
            );
        }
        page.blank();
        page.verbatim(4, command);
        page.blank();
    }
    if let Some(then) = &fix.then {
        page.paragraph(2, Style::Plain, &format!("then: {}", shorten(then, TEXT_CHARS_MAX)));
    }
}

#[cfg(test)]
mod tests;
