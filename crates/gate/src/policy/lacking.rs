//! What Azure's policies have and these do not, by name: so that a reader is told "not here" from "nowhere".

/// Azure's effects that are not applied here.
pub(super) const EFFECTS: &[&str] = &[
    "policy effect addToNetworkGroup",
    "policy effect auditIfNotExists",
    "policy effect deployIfNotExists",
    "policy effect manual",
    "policy effect mutate",
];

/// Template functions that Azure's policies can use and these cannot.
pub(super) const FUNCTIONS: &[&str] = &[
    "policy function buildUri",
    "policy function cidrHost",
    "policy function cidrSubnet",
    "policy function dataUri",
    "policy function dataUriToString",
    "policy function guid",
    "policy function indexFromEnd",
    "policy function objectKeys",
    "policy function parseCidr",
    "policy function parseUri",
    "policy function shallowMerge",
    "policy function tryIndexFromEnd",
    "policy function uniqueString",
];

/// Template functions that no policy can use, in Azure either. Source: Azure Policy definition structure,
/// "Policy functions".
pub(super) const NEVER: &[&str] = &[
    "copyIndex",
    "dateTimeAdd",
    "dateTimeFromEpoch",
    "dateTimeToEpoch",
    "deployment",
    "environment",
    "extensionResourceId",
    "filter",
    "groupBy",
    "lambda",
    "lambdaVariables",
    "list",
    "listAccountSas",
    "listKeys",
    "listSecrets",
    "listServiceSas",
    "managementGroup",
    "map",
    "mapValues",
    "newGuid",
    "pickZones",
    "providers",
    "reduce",
    "reference",
    "references",
    "resourceId",
    "sort",
    "subscriptionResourceId",
    "tenant",
    "tenantResourceId",
    "toObject",
    "variables",
];

/// The members of `requestContext()` that no call carries to the gates.
pub(super) const API_VERSION: &str = "policy requestContext().apiVersion";
/// Numbers and texts laid out by a pattern.
pub(super) const LAYOUT: &str = "policy function format with alignment or layout";

/// The feature behind a word that Azure has and Hubward does not.
pub(super) fn lacking(features: &[&'static str], word: &str) -> Option<&'static str> {
    let names = |it: &str| it.rsplit(' ').next().is_some_and(|it| it.eq_ignore_ascii_case(word));
    features.iter().copied().find(|it| names(it))
}

/// Why something cannot be taken; its place is known to whoever asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lack {
    pub(super) because: String,
    /// What Azure's policies have and these do not, where that is the reason.
    pub(super) lacks: Option<&'static str>,
}

impl Lack {
    pub(super) fn refused(because: impl Into<String>) -> Self {
        Self { because: because.into(), lacks: None }
    }

    pub(super) fn of(feature: &'static str, because: impl Into<String>) -> Self {
        Self { because: because.into(), lacks: Some(feature) }
    }
}
