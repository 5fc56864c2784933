//! What is asked before a token is issued: policies, and the networks that they name.

use super::row::{act, directory, graph};
use super::{Effect, Op, Operation};

const POLICIES: &str = "/v1.0/identity/conditionalAccess/policies";
const POLICY: &str = "/v1.0/identity/conditionalAccess/policies/{id}";
const LOCATIONS: &str = "/v1.0/identity/conditionalAccess/namedLocations";
const LOCATION: &str = "/v1.0/identity/conditionalAccess/namedLocations/{id}";

pub(super) const ROWS: &[Operation] = &[
    directory(
        Op::ListConditionalAccessPolicies,
        &[act("Microsoft.Directory/conditionalAccessPolicies/read")],
        Effect::Reads,
        &[graph("GET", POLICIES)],
        "Lists conditional access policies",
    ),
    directory(
        Op::CreateConditionalAccessPolicy,
        &[act("Microsoft.Directory/conditionalAccessPolicies/write")],
        Effect::ChangesFacts,
        &[graph("POST", POLICIES)],
        "Makes a conditional access policy",
    ),
    directory(
        Op::GetConditionalAccessPolicy,
        &[act("Microsoft.Directory/conditionalAccessPolicies/read")],
        Effect::Reads,
        &[graph("GET", POLICY)],
        "Shows a conditional access policy",
    ),
    directory(
        Op::PatchConditionalAccessPolicy,
        &[act("Microsoft.Directory/conditionalAccessPolicies/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", POLICY)],
        "Changes a conditional access policy",
    ),
    directory(
        Op::DeleteConditionalAccessPolicy,
        &[act("Microsoft.Directory/conditionalAccessPolicies/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", POLICY)],
        "Deletes a conditional access policy",
    ),
    directory(
        Op::ListNamedLocations,
        &[act("Microsoft.Directory/conditionalAccessPolicies/read")],
        Effect::Reads,
        &[graph("GET", LOCATIONS)],
        "Lists the networks that conditional access policies can name",
    ),
    directory(
        Op::CreateNamedLocation,
        &[act("Microsoft.Directory/conditionalAccessPolicies/write")],
        Effect::ChangesFacts,
        &[graph("POST", LOCATIONS)],
        "Gives networks a name for conditional access policies",
    ),
    directory(
        Op::GetNamedLocation,
        &[act("Microsoft.Directory/conditionalAccessPolicies/read")],
        Effect::Reads,
        &[graph("GET", LOCATION)],
        "Shows networks with a name",
    ),
    directory(
        Op::PatchNamedLocation,
        &[act("Microsoft.Directory/conditionalAccessPolicies/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", LOCATION)],
        "Changes networks with a name",
    ),
    directory(
        Op::DeleteNamedLocation,
        &[act("Microsoft.Directory/conditionalAccessPolicies/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", LOCATION)],
        "Deletes networks with a name that no policy names",
    ),
];
