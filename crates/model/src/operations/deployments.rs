//! Azure Resource Manager: templates, deployed at a resource group, a subscription or above.

use super::row::{act, arm, bare, control};
use super::{Body, Effect, Op, Operation};

/// A row that takes a template.
const fn template(row: Operation) -> Operation {
    Operation { body: Body::Template, ..row }
}

pub(super) const ROWS: &[Operation] = &[
    template(control(
        Op::PutDeployment,
        &[act("Microsoft.Resources/deployments/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Resources/deployments/{deployment}")],
        "Deploys a template",
    )),
    control(
        Op::GetDeployment,
        &[act("Microsoft.Resources/deployments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Resources/deployments/{deployment}")],
        "Shows a deployment",
    ),
    control(
        Op::HasDeployment,
        &[act("Microsoft.Resources/deployments/read")],
        Effect::Reads,
        &[arm("HEAD", "{scope}/providers/Microsoft.Resources/deployments/{deployment}")],
        "Tells whether a deployment exists",
    ),
    control(
        Op::ListDeployments,
        &[act("Microsoft.Resources/deployments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Resources/deployments")],
        "Lists the deployments at a scope",
    ),
    control(
        Op::DeleteDeployment,
        &[act("Microsoft.Resources/deployments/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Resources/deployments/{deployment}")],
        "Forgets a deployment; what it made stays",
    ),
    // It is judged for itself, and asks for each resource what the deployment would do.
    template(control(
        Op::ValidateDeployment,
        &[act("Microsoft.Resources/deployments/validate/action")],
        Effect::Calls,
        &[arm("POST", "{scope}/providers/Microsoft.Resources/deployments/{deployment}/validate")],
        "Tells whether a template could be deployed",
    )),
    template(control(
        Op::WhatIfDeployment,
        &[act("Microsoft.Resources/deployments/whatIf/action")],
        Effect::Calls,
        &[arm("POST", "{scope}/providers/Microsoft.Resources/deployments/{deployment}/whatIf")],
        "Tells what deploying a template would change",
    )),
    bare(control(
        Op::CancelDeployment,
        &[act("Microsoft.Resources/deployments/cancel/action")],
        Effect::Writes,
        &[arm("POST", "{scope}/providers/Microsoft.Resources/deployments/{deployment}/cancel")],
        "Stops a deployment behind the resource that it is at",
    )),
    control(
        Op::ListDeploymentOperations,
        &[act("Microsoft.Resources/deployments/operations/read")],
        Effect::Reads,
        &[
            arm("GET", "{scope}/providers/Microsoft.Resources/deployments/{deployment}/operations"),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/deployments/{deployment}/operations",
            ),
        ],
        "Lists what a deployment did to each resource",
    ),
    control(
        Op::GetDeploymentOperation,
        &[act("Microsoft.Resources/deployments/operations/read")],
        Effect::Reads,
        &[
            arm(
                "GET",
                "{scope}/providers/Microsoft.Resources/deployments/{deployment}/operations/{operation}",
            ),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/deployments/{deployment}/operations/{operation}",
            ),
        ],
        "Shows what a deployment did to a resource",
    ),
    control(
        Op::GetDeploymentStatus,
        &[act("Microsoft.Resources/deployments/operationstatuses/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "{scope}/providers/Microsoft.Resources/deployments/{deployment}/operationStatuses/{operation}",
        )],
        "Tells how a deployment stands",
    ),
];
