//! Why: the thing that decided, with its conditions, and what came near to deciding otherwise.

use super::{LABEL_CHARS, ROWS_MAX, TEXT_CHARS_MAX, decisive, refusing};
use crate::answer::Answer;
use crate::page::{Cell, Column, Page, Style};
use crate::text::shorten;
use model::trace::{Condition, Finding, FindingKind, FindingResult, Step};
use model::{Gate, Trace, Verdict};
use serde_json::Value;

/// Longest value of a condition in a table.
const VALUE_CHARS_MAX: usize = 200;

const CONDITION_COLUMNS: [Column; 6] = [
    Column::Firm("condition"),
    Column::Firm("field"),
    Column::Firm("operator"),
    Column::Soft("expected"),
    Column::Soft("actual"),
    Column::Firm("holds"),
];
const OTHER_COLUMNS: [Column; 4] =
    [Column::Firm("name"), Column::Soft("at scope"), Column::Firm("result"), Column::Soft("why")];

pub(super) fn show(answer: &Answer, page: &mut Page) {
    let trace = &answer.decision;
    match trace.outcome.verdict {
        Verdict::Deny => refused(trace, page),
        Verdict::Allow => allowed(trace, page),
        Verdict::NotEvaluated => {}
    }
    policies_of_note(trace, page);
    if answer.redacted {
        page.blank();
        page.paragraph(
            0,
            Style::Dim,
            "Left out: conditions, rules, role assignments and ways out. They are shown to who may read the \
             policy assignments (action `Microsoft.Authorization/policyAssignments/read`).",
        );
    }
}

fn refused(trace: &Trace, page: &mut Page) {
    let Some(step) = refusing(trace) else { return };
    for found in decisive(step).take(ROWS_MAX) {
        page.blank();
        detail(found, page);
    }
    let others: Vec<&Finding> = step
        .findings
        .iter()
        .filter(|it| !matches!(it.result, FindingResult::Deny | FindingResult::Error))
        .collect();
    match step.gate {
        // Shown apart, whichever gate decided.
        Gate::Policy => {}
        Gate::Access => {
            listed("Roles looked at, and why each did not do", &others, page);
            for found in others.iter().filter(|it| !it.conditions.is_empty()).take(ROWS_MAX) {
                page.blank();
                let title = format!("Conditions of {} `{}`", kind(found.kind), found.name);
                page.paragraph(0, Style::Bold, &shorten(&title, TEXT_CHARS_MAX));
                conditions(&found.conditions, page);
            }
        }
        Gate::Authentication | Gate::ConditionalAccess | Gate::Resource => {
            listed("Also looked at", &others, page);
        }
    }
}

fn allowed(trace: &Trace, page: &mut Page) {
    let Some(step) = trace.step(Gate::Access) else { return };
    let Some(found) = step.deciding() else { return };
    page.blank();
    detail(found, page);
    let others: Vec<&Finding> =
        step.findings.iter().filter(|it| !std::ptr::eq(*it, found)).collect();
    listed("Roles looked at besides", &others, page);
}

/// Policies that did not refuse but are no bystanders either: exempted, switched off, only auditing.
fn policies_of_note(trace: &Trace, page: &mut Page) {
    let Some(step) = trace.step(Gate::Policy) else { return };
    let is_of_note = |it: &&Finding| match it.result {
        FindingResult::Exempt
        | FindingResult::Excluded
        | FindingResult::Disabled
        | FindingResult::WouldDeny
        | FindingResult::Audit
        | FindingResult::Change
        | FindingResult::WouldChange
        | FindingResult::NotVisible => true,
        // With a verdict of allow, an error did not refuse: the rule is not enforced.
        FindingResult::Error => step.verdict == Verdict::Allow,
        FindingResult::Match
        | FindingResult::NoMatch
        | FindingResult::Deny
        | FindingResult::Allow => false,
    };
    let noted: Vec<&Finding> = step.findings.iter().filter(is_of_note).collect();
    listed("Policies that did not refuse, but concern this call", &noted, page);
    bystanders(step, page);
}

fn bystanders(step: &Step, page: &mut Page) {
    let said = match step.findings.iter().filter(|it| it.result == FindingResult::NoMatch).count() {
        0 => return,
        1 => "1 more policy rule was looked at and does not match; `-o json` shows why.".to_owned(),
        more => format!(
            "{more} more policy rules were looked at and do not match; `-o json` shows why."
        ),
    };
    page.blank();
    page.paragraph(0, Style::Dim, &said);
}

/// One thing in full.
pub(crate) fn detail(found: &Finding, page: &mut Page) {
    let title = match found.reason.is_empty() {
        true => format!("Decided by {} `{}`", kind(found.kind), found.name),
        false => format!("Decided by {} `{}`: {}", kind(found.kind), found.name, found.reason),
    };
    page.paragraph(0, Style::Bold, &shorten(&title, TEXT_CHARS_MAX));
    let mut field = |label: &str, text: &str| {
        if !text.is_empty() {
            page.field(2, LABEL_CHARS, label, &shorten(text, TEXT_CHARS_MAX));
        }
    };
    let id_label = match found.kind {
        FindingKind::PolicyRule | FindingKind::RoleAssignment | FindingKind::DenyAssignment => {
            "assignment"
        }
        FindingKind::Lock => "lock",
        FindingKind::Token
        | FindingKind::Sas
        | FindingKind::Secret
        | FindingKind::Certificate
        | FindingKind::SasRight
        | FindingKind::Plane
        | FindingKind::ConditionalAccessPolicy
        | FindingKind::SecurityPolicy
        | FindingKind::Network
        | FindingKind::Resource => "id",
    };
    field(id_label, &found.id);
    if let Some(rule) = &found.rule {
        let mut definition = rule.definition_id.clone();
        if !rule.display_name.is_empty() {
            definition = format!("{definition} (`{}`)", rule.display_name);
        }
        field("definition", &definition);
        field("rule", &format!("index {} of `{}`", rule.index, rule.definition_name));
        if let Some(it) = &rule.initiative {
            let said = format!("member `{}` of `{}`", it.reference_id, it.name);
            field("initiative", &said);
        }
        field("effect", &rule.effect);
        field("at scope", &rule.assignment_scope);
        field("exemption", rule.exemption_id.as_deref().unwrap_or_default());
    }
    if let Some(role) = &found.role {
        field("role", &format!("`{}` ({})", role.role_name, role.role_id));
        let pattern = role.pattern.as_ref().map(|it| format!("`{it}` in its {}", role.list));
        field("by", &pattern.unwrap_or_default());
        field("at scope", &role.scope);
    }
    if let Some(lock) = &found.lock {
        field("level", &lock.level);
        field("at scope", &lock.scope);
    }
    conditions(&found.conditions, page);
}

fn conditions(all: &[Condition], page: &mut Page) {
    if all.is_empty() {
        return;
    }
    let rows: Vec<Vec<Cell>> = all.iter().take(ROWS_MAX).map(condition).collect();
    page.blank();
    page.table(2, &CONDITION_COLUMNS, &rows);
    and_more(all.len(), page);
}

fn condition(it: &Condition) -> Vec<Cell> {
    let left = match it.left.as_str() {
        "field" | "attribute" => it.expression.clone(),
        other => format!("{other} {}", it.expression),
    };
    let (style, holds) = match (&it.error, it.result) {
        (Some(_), _) => (Style::Bad, "error"),
        (None, true) => (Style::Good, "true"),
        (None, false) => (Style::Dim, "false"),
    };
    vec![
        Cell::plain(shorten(&it.path, VALUE_CHARS_MAX)),
        Cell::plain(shorten(&left, VALUE_CHARS_MAX)),
        Cell::plain(shorten(&it.operator, VALUE_CHARS_MAX)),
        Cell::plain(value(&it.expected)),
        Cell::plain(it.actual.as_ref().map_or_else(|| "absent".to_owned(), value)),
        Cell::new(style, holds),
    ]
}

fn value(it: &Value) -> String {
    shorten(&it.to_string(), VALUE_CHARS_MAX)
}

/// Things that did not decide, one row each.
pub(crate) fn listed(title: &str, all: &[&Finding], page: &mut Page) {
    if all.is_empty() {
        return;
    }
    page.blank();
    page.paragraph(0, Style::Bold, title);
    let row = |it: &&Finding| {
        let name = match &it.role {
            Some(role) => role.role_name.clone(),
            None => format!("{} `{}`", kind(it.kind), it.name),
        };
        let scope = match (&it.role, &it.rule) {
            (Some(role), _) => role.scope.as_str(),
            (None, Some(rule)) => rule.assignment_scope.as_str(),
            (None, None) => "",
        };
        vec![
            Cell::plain(shorten(&name, VALUE_CHARS_MAX)),
            Cell::plain(shorten(scope, TEXT_CHARS_MAX)),
            Cell::plain(it.result.told()),
            Cell::plain(shorten(&it.reason, TEXT_CHARS_MAX)),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().take(ROWS_MAX).map(row).collect();
    page.table(2, &OTHER_COLUMNS, &rows);
    and_more(all.len(), page);
}

fn and_more(all: usize, page: &mut Page) {
    if let Some(more) = all.checked_sub(ROWS_MAX).filter(|it| *it > 0) {
        page.paragraph(2, Style::Dim, &format!("and {more} more; `-o json` shows all"));
    }
}

/// The word for a thing that a gate looked at.
pub(crate) const fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Token => "token",
        FindingKind::Sas => "shared access signature",
        FindingKind::Secret => "secret",
        FindingKind::Certificate => "certificate",
        FindingKind::PolicyRule => "policy",
        FindingKind::DenyAssignment => "deny assignment",
        FindingKind::RoleAssignment => "role assignment",
        FindingKind::SasRight => "shared access policy",
        FindingKind::Plane => "plane",
        FindingKind::Lock => "lock",
        FindingKind::Network => "network rules of",
        FindingKind::Resource => "resource",
        FindingKind::SecurityPolicy => "security policy",
        FindingKind::ConditionalAccessPolicy => "conditional access policy",
    }
}
