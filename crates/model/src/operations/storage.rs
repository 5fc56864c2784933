//! Azure Resource Manager: storage accounts and their containers.

use super::row::{act, arm, control};
use super::{Body, Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutStorageAccount,
        &[act("Microsoft.Storage/storageAccounts/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}",
        )],
        "Creates or updates a storage account",
    ),
    control(
        Op::PatchStorageAccount,
        &[act("Microsoft.Storage/storageAccounts/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}",
        )],
        "Changes a storage account",
    ),
    control(
        Op::GetStorageAccount,
        &[act("Microsoft.Storage/storageAccounts/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}",
        )],
        "Shows a storage account, without its keys",
    ),
    control(
        Op::ListStorageAccounts,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/providers/Microsoft.Storage/storageAccounts"),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts",
            ),
        ],
        "Lists storage accounts",
    ),
    control(
        Op::DeleteStorageAccount,
        &[act("Microsoft.Storage/storageAccounts/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}",
        )],
        "Deletes a storage account and everything in it",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckStorageAccountName,
            &[act("Microsoft.Storage/checknameavailability/read")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
            )],
            "Tells whether a name for a storage account is free",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::ListStorageKeys,
            &[act("Microsoft.Storage/storageAccounts/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/listKeys",
            )],
            "Lists the keys of a storage account",
        )
    },
    control(
        Op::RegenerateStorageKey,
        &[act("Microsoft.Storage/storageAccounts/regeneratekey/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/regenerateKey",
        )],
        "Makes a new key of a storage account",
    ),
    control(
        Op::PutContainer,
        &[act("Microsoft.Storage/storageAccounts/blobServices/containers/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers/{container}",
        )],
        "Creates or updates a blob container of a storage account",
    ),
    control(
        Op::GetContainer,
        &[act("Microsoft.Storage/storageAccounts/blobServices/containers/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers/{container}",
        )],
        "Shows a blob container of a storage account",
    ),
    control(
        Op::ListContainers,
        &[act("Microsoft.Storage/storageAccounts/blobServices/containers/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers",
        )],
        "Lists blob containers of a storage account",
    ),
    control(
        Op::DeleteContainer,
        &[act("Microsoft.Storage/storageAccounts/blobServices/containers/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers/{container}",
        )],
        "Deletes a blob container of a storage account",
    ),
];
