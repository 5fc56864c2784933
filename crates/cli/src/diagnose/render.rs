//! A diagnosis laid out for a person: the three sections in their order, each with its evidence and its
//! ways out, and since when.
//!
//! Pure: the same answer gives the same text. Decides nothing; what the server left out stays left out.

use crate::answer::Fix;
use crate::page::{Cell, Column, Page, Style};
use crate::render::{ROWS_MAX, TEXT_CHARS_MAX, cause, change, named};
use crate::text::{count, shorten};
use model::trace::{Caller, Finding, FindingResult};
use model::{Gate, Timestamp};
use serde::Deserialize;

/// The column of labels.
pub(super) const LABEL_CHARS: usize = 7;
/// Most ways out that one section shows.
const FIXES_MAX: usize = 4;
/// What every right at a hub begins with.
const HUB_ACTIONS: &str = "Microsoft.Devices/IotHubs/";

/// What the server answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Diagnosis {
    time: String,
    provisioning_service: String,
    hub: String,
    device: String,
    caller: Caller,
    verdict: Mark,
    #[serde(default)]
    redacted: bool,
    sections: Vec<Section>,
    onset: Option<Onset>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mark {
    Pass,
    Fail,
    Warning,
    Note,
}

#[derive(Debug, Deserialize)]
struct Check {
    mark: Mark,
    says: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Section {
    name: String,
    verdict: Mark,
    says: String,
    #[serde(default)]
    checks: Vec<Check>,
    #[serde(default)]
    rights: Vec<RightHeld>,
    #[serde(default)]
    findings: Vec<Finding>,
    #[serde(default)]
    fixes: Vec<Fix>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RightHeld {
    action: String,
    is_needed: bool,
    is_granted: bool,
    by: Vec<Grant>,
}

#[derive(Debug, Deserialize)]
struct Grant {
    role: String,
    pattern: String,
    scope: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Onset {
    gate: Gate,
    by: Vec<String>,
    change: Option<Change>,
    first_refusal: Option<Refusal>,
    last_refusal: Option<Refusal>,
    refusals: u64,
    late_s: Option<i64>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Change {
    kind: String,
    id: String,
    name: String,
    verb: String,
    time: String,
    author: Option<Author>,
}

#[derive(Debug, Deserialize)]
struct Author {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    time: String,
    tracking_id: String,
    device: String,
}

impl Diagnosis {
    pub(super) fn passes(&self) -> bool {
        self.verdict == Mark::Pass
    }
}

impl Mark {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Warning => "WARNING",
            Self::Note => "note",
        }
    }

    pub(super) const fn style(self) -> Style {
        match self {
            Self::Pass => Style::Good,
            Self::Fail => Style::Bad,
            Self::Warning => Style::Warning,
            Self::Note => Style::Dim,
        }
    }
}

/// The whole diagnosis as text.
pub(super) fn render(diagnosis: &Diagnosis, mut page: Page) -> String {
    headline(diagnosis, &mut page);
    page.blank();
    facts(diagnosis, &mut page);
    for (index, it) in diagnosis.sections.iter().enumerate() {
        page.blank();
        section(index + 1, it, &mut page);
    }
    if diagnosis.redacted {
        page.blank();
        page.paragraph(
            0,
            Style::Dim,
            "Left out: the conditions of policies and the ways out of them. They are shown to who may read the \
             policy assignments (action `Microsoft.Authorization/policyAssignments/read`).",
        );
    }
    page.blank();
    onset(diagnosis, &mut page);
    page.into_text()
}

fn headline(diagnosis: &Diagnosis, page: &mut Page) {
    let (service, hub) = (name(&diagnosis.provisioning_service), name(&diagnosis.hub));
    let failing = failing(&diagnosis.sections);
    let sentence = match failing.is_empty() {
        true => format!("Devices can register through `{service}` at `{hub}`"),
        false => format!("Devices cannot register through `{service}` at `{hub}`: {failing}"),
    };
    page.paragraph(0, diagnosis.verdict.style(), &shorten(&sentence, TEXT_CHARS_MAX));
}

/// Which sections fail, in words; nothing where none does.
pub(super) fn failing(sections: &[Section]) -> String {
    let failed: Vec<String> = sections
        .iter()
        .enumerate()
        .filter(|(_, it)| it.verdict != Mark::Pass)
        .map(|(index, _)| (index + 1).to_string())
        .collect();
    match failed.as_slice() {
        [] => String::new(),
        [one] => format!("section {one} fails"),
        several => format!("sections {} fail", several.join(" and ")),
    }
}

fn facts(diagnosis: &Diagnosis, page: &mut Page) {
    let mut field = |label: &str, text: &str| {
        page.field(0, LABEL_CHARS, label, &shorten(text, TEXT_CHARS_MAX));
    };
    field("when", &diagnosis.time);
    field("service", &diagnosis.provisioning_service);
    field("hub", &diagnosis.hub);
    field("caller", &named(&diagnosis.caller));
    field("device", &format!("judged as `{}`", diagnosis.device));
}

pub(super) fn section(number: usize, section: &Section, page: &mut Page) {
    let title = format!("{number} {}: {}", section.name, section.verdict.word());
    page.paragraph(0, section.verdict.style(), &shorten(&title, TEXT_CHARS_MAX));
    page.paragraph(2, Style::Plain, &shorten(&section.says, TEXT_CHARS_MAX));
    rights(&section.rights, page);
    checks(&section.checks, page);
    findings(&section.findings, page);
    for fix in section.fixes.iter().take(FIXES_MAX) {
        page.blank();
        page.paragraph(0, Style::Bold, "What helps");
        change(fix, page);
    }
}

fn rights(all: &[RightHeld], page: &mut Page) {
    if all.is_empty() {
        return;
    }
    let row = |it: &RightHeld| {
        let (style, is_granted) = match (it.is_granted, it.is_needed) {
            (true, _) => (Style::Good, "yes"),
            (false, true) => (Style::Bad, "no"),
            (false, false) => (Style::Dim, "no"),
        };
        let by = it
            .by
            .iter()
            .map(|by| format!("`{}` by `{}` at `{}`", by.role, by.pattern, name(&by.scope)));
        let by: Vec<String> = by.collect();
        vec![
            Cell::plain(shorten(it.action.trim_start_matches(HUB_ACTIONS), TEXT_CHARS_MAX)),
            Cell::plain(if it.is_needed { "yes" } else { "no" }),
            Cell::new(style, is_granted),
            Cell::plain(shorten(&by.join(", "), TEXT_CHARS_MAX)),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().take(ROWS_MAX).map(row).collect();
    page.blank();
    page.table(
        2,
        &[
            Column::Firm("right"),
            Column::Firm("needed"),
            Column::Firm("granted"),
            Column::Soft("by"),
        ],
        &rows,
    );
}

fn checks(all: &[Check], page: &mut Page) {
    if all.is_empty() {
        return;
    }
    let row = |it: &Check| {
        vec![
            Cell::new(it.mark.style(), it.mark.word()),
            Cell::plain(shorten(&it.says, TEXT_CHARS_MAX)),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().take(ROWS_MAX).map(row).collect();
    page.blank();
    page.table(2, &[Column::Firm("check"), Column::Soft("found")], &rows);
}

fn findings(all: &[Finding], page: &mut Page) {
    let (decisive, others): (Vec<&Finding>, Vec<&Finding>) =
        all.iter().partition(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error));
    for found in decisive.into_iter().take(ROWS_MAX) {
        page.blank();
        cause::detail(found, page);
    }
    cause::listed("Looked at besides", &others, page);
}

/// Since when, in one sentence that stands alone.
fn onset(diagnosis: &Diagnosis, page: &mut Page) {
    page.paragraph(0, Style::Bold, "Onset");
    let Some(onset) = &diagnosis.onset else {
        let sentence = match diagnosis.passes() {
            true => "no registration would be refused now",
            false => "registrations do not come as far as the hub, so none is refused there",
        };
        page.paragraph(2, Style::Plain, sentence);
        return;
    };
    page.paragraph(2, Style::Plain, &shorten(&sentence(onset), TEXT_CHARS_MAX));
    let mut field = |label: &str, text: &str| {
        page.field(2, LABEL_CHARS, label, &shorten(text, TEXT_CHARS_MAX));
    };
    if let Some(change) = &onset.change {
        field("change", &change.id);
    }
    let refusal = |it: &Refusal| {
        format!("{} device `{}`, tracking id {}", moment(&it.time), it.device, it.tracking_id)
    };
    if let Some(first) = &onset.first_refusal {
        field("first", &refusal(first));
    }
    if let Some(last) = &onset.last_refusal {
        field("last", &refusal(last));
    }
    for note in onset.notes.iter().take(ROWS_MAX) {
        page.paragraph(2, Style::Dim, &format!("note: {}", shorten(note, TEXT_CHARS_MAX)));
    }
}

fn sentence(onset: &Onset) -> String {
    let cause = match &onset.change {
        Some(change) => {
            let by =
                change.author.as_ref().map_or_else(String::new, |it| format!(" by `{}`", it.name));
            let kind = words(&change.kind);
            format!("{kind} `{}` {} {}{by}", change.name, change.verb, moment(&change.time))
        }
        None => {
            let by: Vec<&str> = onset.by.iter().map(String::as_str).collect();
            match (onset.gate, by.as_slice()) {
                (Gate::Policy, several) => format!("denied by policy `{}`", several.join("`, `")),
                (gate, []) => format!("refused at the {} gate", gate.as_str()),
                (gate, several) => {
                    format!("refused at the {} gate: {}", gate.as_str(), several.join("; "))
                }
            }
        }
    };
    let Some(first) = &onset.first_refusal else { return cause };
    let day = |text: &str| text.get(..10).unwrap_or_default().to_owned();
    let is_same_day = onset.change.as_ref().is_some_and(|it| day(&it.time) == day(&first.time));
    let time = moment(&first.time);
    let time = if is_same_day { time.get(11..).unwrap_or(&time) } else { &time };
    let late = match onset.late_s {
        Some(1..) => {
            let late = count(
                usize::try_from(onset.late_s.unwrap_or_default()).unwrap_or_default(),
                "second",
                "seconds",
            );
            format!(" ({late} later)")
        }
        Some(_) | None => String::new(),
    };
    let refusals =
        count(usize::try_from(onset.refusals).unwrap_or(usize::MAX), "refusal", "refusals");
    format!("{cause}; first refusal {time}{late}, {refusals} since")
}

/// `policyAssignment` as `policy assignment`.
fn words(kind: &str) -> String {
    let mut words = String::new();
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// `2026-11-22 14:02:10`; what is no time stays as it is.
fn moment(text: &str) -> String {
    match Timestamp::parse(text) {
        Some(time) => time.rfc3339().get(..19).unwrap_or(text).replace('T', " "),
        None => text.to_owned(),
    }
}

/// The last segment of an id.
pub(super) fn name(id: &str) -> &str {
    id.trim_end_matches('/').rsplit('/').next().filter(|it| !it.is_empty()).unwrap_or(id)
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
