//! Azure Resource Manager: user-assigned managed identities.

use super::row::{act, arm, control};
use super::{Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutUserAssignedIdentity,
        &[act("Microsoft.ManagedIdentity/userAssignedIdentities/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}",
        )],
        "Creates or updates a user-assigned identity",
    ),
    control(
        Op::PatchUserAssignedIdentity,
        &[act("Microsoft.ManagedIdentity/userAssignedIdentities/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}",
        )],
        "Changes the tags of a user-assigned identity",
    ),
    control(
        Op::GetUserAssignedIdentity,
        &[act("Microsoft.ManagedIdentity/userAssignedIdentities/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}",
        )],
        "Shows a user-assigned identity",
    ),
    control(
        Op::ListUserAssignedIdentities,
        &[],
        Effect::Reads,
        &[
            arm(
                "GET",
                "/subscriptions/{subscription}/providers/Microsoft.ManagedIdentity/userAssignedIdentities",
            ),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities",
            ),
        ],
        "Lists user-assigned identities",
    ),
    control(
        Op::DeleteUserAssignedIdentity,
        &[act("Microsoft.ManagedIdentity/userAssignedIdentities/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}",
        )],
        "Deletes a user-assigned identity and its principal",
    ),
];
