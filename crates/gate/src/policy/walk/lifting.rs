//! What takes an object out of an assignment's reach: exclusions, and exemptions from all of it or from members.

use super::super::reach::covers;
use super::super::{Exemption, PolicyAssignment};
use super::words::exempt_reason;
use super::{Judged, Word};
use model::Scope;
use model::trace::FindingResult;
use std::sync::Arc;

/// Whom an assignment's exemptions lift it for.
enum Lifted<'a> {
    Whole(&'a Exemption),
    /// For the members that these name; for none where the list is empty.
    Members(Vec<&'a Exemption>),
}

impl<'c, 'a: 'c> Judged<'c, 'a> {
    /// The exemptions of single members, or the word of an assignment that is not about the object.
    pub(super) fn lifting(
        &self,
        assignment: &PolicyAssignment,
    ) -> Result<Vec<&'a Exemption>, Box<Word<'a>>> {
        if !self.is_selected(&assignment.resource_selectors) {
            return Err(Box::new(self.quiet(FindingResult::Excluded, || {
                "its `resourceSelectors` are about other resources".into()
            })));
        }
        // Nearly every assignment leaves nothing out and nobody is exempt from it: no place to read then.
        if !assignment.not_scopes.is_empty() || !self.facts.policy_exemptions.is_empty() {
            let place = Scope::parse(&self.object.id).unwrap_or_else(|_| self.at.clone());
            let excluded =
                assignment.not_scopes.iter().find(|it| covers(it, &place, self.at, self.facts));
            if let Some(it) = excluded {
                let reason = || format!("`notScopes` leaves out `{it}`");
                return Err(Box::new(self.quiet(FindingResult::Excluded, reason)));
            }
            match self.lifted(assignment, &place) {
                Lifted::Whole(exemption) => {
                    let reason = || exempt_reason(exemption, None);
                    let word = self.quiet(FindingResult::Exempt, reason);
                    return Err(Box::new(Word { exemptions: vec![exemption], ..word }));
                }
                Lifted::Members(all) => return Ok(all),
            }
        }
        Ok(Vec::new())
    }

    /// The exemptions that count here, now and for this caller. One that names the caller goes before one
    /// that exempts everybody: it is the narrower truth.
    fn lifted(&self, assignment: &PolicyAssignment, place: &Scope) -> Lifted<'a> {
        let caller = self.ask.caller.object_id;
        let counts = |it: &&Exemption| {
            it.assignment_id.eq_ignore_ascii_case(&assignment.id)
                && covers(&it.scope, place, self.at, self.facts)
                && it.expires.is_none_or(|end| self.ask.head.time < end)
                && (it.principal_ids.is_empty()
                    || caller.is_some_and(|id| it.principal_ids.contains(&id)))
                && self.is_selected(&it.resource_selectors)
        };
        let all = self.facts.policy_exemptions.values().map(Arc::as_ref);
        let mut found: Vec<&Exemption> = all.filter(counts).collect();
        found.sort_by_key(|it| it.principal_ids.is_empty());
        match found.iter().find(|it| it.reference_ids.is_empty()) {
            Some(whole) => Lifted::Whole(whole),
            None => Lifted::Members(found),
        }
    }
}
