//! What Azure's policies have and these do not, by name: so that a reader is told "not here" from "nowhere".

pub(super) const EXPRESSIONS: &str = "policy expressions and parameters";
/// Azure's operators and effects that are not evaluated here.
pub(super) const OPERATORS: &[&str] = &[
    "policy operator less",
    "policy operator lessOrEquals",
    "policy operator greater",
    "policy operator greaterOrEquals",
];
pub(super) const EFFECTS: &[&str] = &[
    "policy effect addToNetworkGroup",
    "policy effect append",
    "policy effect auditIfNotExists",
    "policy effect deployIfNotExists",
    "policy effect manual",
    "policy effect modify",
    "policy effect mutate",
];

/// The feature behind a word that Azure has and Hubward does not.
pub(super) fn lacking(features: &[&'static str], word: &str) -> Option<&'static str> {
    let names = |it: &str| it.rsplit(' ').next().is_some_and(|it| it.eq_ignore_ascii_case(word));
    features.iter().copied().find(|it| names(it))
}
