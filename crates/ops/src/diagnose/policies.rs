//! Section 3: what every policy that is assigned above the hub says to the write.

use super::case::Case;
use super::{Check, Mark, Section, check};
use crate::advice;
use crate::questions::may_read_policies;
use model::Gate;
use model::trace::{Finding, FindingResult};

pub(super) const NAME: &str = "Custom security policy restrictions";

/// The section, and whether conditions and ways out are left out of it.
pub(super) fn section(case: &Case<'_>) -> (Section, bool) {
    let refused = case.refused_at(Gate::Policy, case.facts);
    let trace = match refused.first() {
        Some((_, judged)) => judged.trace.clone(),
        None => case.judge(case.widest(), case.facts).trace,
    };
    let verdict = Mark::of(refused.is_empty());
    let says = trace.step(Gate::Policy).map_or("", |it| it.reason.as_str()).to_owned();
    let is_reader = may_read_policies(case.permit.caller(), &trace, case.env, case.facts);
    let fixes = match is_reader {
        true => advice::fixes(&trace, case.facts, case.env),
        false => Vec::new(),
    };
    let shown = if is_reader { trace } else { trace.redacted() };
    let findings = shown.step(Gate::Policy).map_or_else(Vec::new, |it| it.findings.clone());
    let fixes = if verdict == Mark::Fail { fixes } else { Vec::new() };
    let checks = findings.iter().filter_map(|it| warning(case, it)).collect();
    let section =
        Section { name: NAME, verdict, says, checks, rights: Vec::new(), findings, fixes };
    (section, !is_reader)
}

/// An exemption that lets more through than this caller.
fn warning(case: &Case<'_>, found: &Finding) -> Option<Check> {
    let id = found.rule.as_ref()?.exemption_id.as_ref()?;
    let exemption = case.facts.policy_exemptions.get(&id.to_ascii_lowercase())?;
    let is_wide = found.result == FindingResult::Exempt && exemption.principal_ids.is_empty();
    is_wide.then(|| {
        let says = format!(
            "the exemption `{}` takes every caller out of `{}`, not the provisioning service alone; \
             `principalIds` in it would name whom it is for",
            exemption.name, found.name
        );
        check(Mark::Warning, says)
    })
}
