//! Credentials that are right, and are refused all the same by what no credential shows.

use super::{Authenticated, Door, No, application, finding, refuse};
use crate::decide::Refusal;
use crate::facts::Facts;
use model::Plane;
use model::error::{AuthFault, DenialKind, TokenFault};
use model::trace::{FindingKind, FindingResult};

/// Why a credential that is right cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// It is to be used once, and was.
    Before,
    /// It could not be remembered that it was used.
    Untold,
}

/// Refuses whom [`authenticate`] has proven by a credential that is to be used once. Only who remembers its
/// uses can tell.
pub fn refuse_used(
    who: &Authenticated,
    because: Unusable,
    door: &Door<'_>,
    facts: &Facts,
) -> Box<Refusal> {
    let (fault, sentence) = match because {
        Unusable::Before => (
            TokenFault::BadAssertion,
            "the client assertion was used before; sign a new one for each sign-in, with a `jti` of its own.",
        ),
        Unusable::Untold => (
            TokenFault::TooManyTries,
            "too many client assertions were used within their time; try again later.",
        ),
    };
    let client = who.caller.app_id.map(|it| it.to_string()).unwrap_or_default();
    let no = application::token_no(FindingKind::Token, fault, sentence.into(), &client);
    Box::new(refuse(*no, door, facts))
}

/// Refuses whom [`authenticate`] has proven, and whom what answers does not know yet. Only who knows how late the
/// directory is seen can tell.
pub fn refuse_unseen(
    who: &Authenticated,
    left_s: i64,
    door: &Door<'_>,
    facts: &Facts,
) -> Box<Refusal> {
    let caller = &who.caller;
    let sentence = format!(
        "`{}` is new in the directory, and not known here for {left_s} s more; the same call succeeds then.",
        caller.name
    );
    let found = |it: &str| finding(FindingKind::Token, it, FindingResult::Deny, &sentence);
    let no = match door.operation.plane {
        Plane::Token => {
            let client = caller.app_id.map(|it| it.to_string()).unwrap_or_default();
            *application::token_no(FindingKind::Token, TokenFault::NotYetKnown, sentence, &client)
        }
        Plane::Device | Plane::Service | Plane::Control | Plane::Directory | Plane::Open => No {
            kind: DenialKind::Unauthenticated(AuthFault::NotYet),
            finding: found("access token"),
            message: sentence,
        },
    };
    Box::new(refuse(no, door, facts))
}
