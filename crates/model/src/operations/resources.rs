//! Azure Resource Manager: tenants, subscriptions, providers, groups and what is in them.

use super::row::{act, arm, control};
use super::{Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::ListTenants,
        &[],
        Effect::Reads,
        &[arm("GET", "/tenants")],
        "Lists the caller's tenants",
    ),
    control(
        Op::ListSubscriptions,
        &[],
        Effect::Reads,
        &[arm("GET", "/subscriptions")],
        "Lists the subscriptions that the caller has any access to",
    ),
    control(
        Op::GetSubscription,
        &[act("Microsoft.Resources/subscriptions/read")],
        Effect::Reads,
        &[arm("GET", "/subscriptions/{subscription}")],
        "Shows a subscription",
    ),
    control(
        Op::ListLocations,
        &[],
        Effect::Reads,
        &[arm("GET", "/subscriptions/{subscription}/locations")],
        "Lists the locations that resources can name",
    ),
    control(
        Op::ListProviders,
        &[],
        Effect::Reads,
        &[arm("GET", "/subscriptions/{subscription}/providers"), arm("GET", "/providers")],
        "Lists resource providers and their types",
    ),
    control(
        Op::GetProvider,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/providers/{namespace}"),
            arm("GET", "/providers/{namespace}"),
        ],
        "Shows a resource provider and its types",
    ),
    control(
        Op::RegisterProvider,
        &[act("Microsoft.Resources/subscriptions/providers/read")],
        Effect::Reads,
        &[arm("POST", "/subscriptions/{subscription}/providers/{namespace}/register")],
        "Answers that a provider is registered: all are",
    ),
    control(
        Op::ListProviderOperations,
        &[act("Microsoft.Authorization/providerOperations/read")],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Authorization/providerOperations")],
        "Lists every operation of every provider",
    ),
    control(
        Op::GetProviderOperations,
        &[act("Microsoft.Authorization/providerOperations/read")],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Authorization/providerOperations/{namespace}")],
        "Lists the operations of a provider",
    ),
    control(
        Op::ListDevicesOperations,
        &[act("Microsoft.Devices/operations/read")],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Devices/operations")],
        "Lists the operations of Microsoft.Devices",
    ),
    control(
        Op::PutResourceGroup,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "/subscriptions/{subscription}/resourceGroups/{group}")],
        "Creates or updates a resource group",
    ),
    control(
        Op::PatchResourceGroup,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/write")],
        Effect::ChangesFacts,
        &[arm("PATCH", "/subscriptions/{subscription}/resourceGroups/{group}")],
        "Changes the tags of a resource group",
    ),
    control(
        Op::GetResourceGroup,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/read")],
        Effect::Reads,
        &[arm("GET", "/subscriptions/{subscription}/resourceGroups/{group}")],
        "Shows a resource group",
    ),
    control(
        Op::HasResourceGroup,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/read")],
        Effect::Reads,
        &[arm("HEAD", "/subscriptions/{subscription}/resourceGroups/{group}")],
        "Tells whether a resource group exists",
    ),
    control(
        Op::ListResourceGroups,
        &[],
        Effect::Reads,
        &[arm("GET", "/subscriptions/{subscription}/resourceGroups")],
        "Lists resource groups",
    ),
    control(
        Op::DeleteResourceGroup,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "/subscriptions/{subscription}/resourceGroups/{group}")],
        "Deletes a resource group and everything in it",
    ),
    control(
        Op::MoveResources,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/moveResources/action")],
        Effect::ChangesFacts,
        &[arm("POST", "/subscriptions/{subscription}/resourceGroups/{group}/moveResources")],
        "Moves resources to another resource group",
    ),
    // Writes nothing, and is judged as the move would be.
    control(
        Op::ValidateMoveResources,
        &[act("Microsoft.Resources/subscriptions/resourceGroups/validateMoveResources/action")],
        Effect::Writes,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/validateMoveResources",
        )],
        "Tells whether resources could be moved to another resource group",
    ),
    control(
        Op::ListResources,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/resources"),
            arm("GET", "/subscriptions/{subscription}/resourceGroups/{group}/resources"),
        ],
        "Lists resources of every type",
    ),
    control(
        Op::GetOperationResult,
        &[act("Microsoft.Resources/subscriptions/operationresults/read")],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/operationresults/{id}"),
            arm("GET", "/subscriptions/{subscription}/operationstatuses/{id}"),
        ],
        "Tells how a long-running operation stands",
    ),
];
