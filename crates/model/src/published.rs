//! Actions that are published and have no address here: roles name them, policies and questions ask about
//! them, `az provider operation show` lists them, and nobody can call them.
//!
//! An operation that gets an address moves to [`OPERATIONS`](crate::OPERATIONS). Source: the operations that
//! Azure publishes for `Microsoft.Devices`, and of `Microsoft.ManagedIdentity` the one that attaches.

use crate::action::ActionName;
use crate::operations::row::act;
use crate::operations::{Body, Effect, Op, Operation, Plane};

const fn control(actions: &'static [ActionName], says: &'static str) -> Operation {
    Operation {
        op: Op::Published,
        plane: Plane::Control,
        actions,
        sas: &[],
        object: None,
        effect: Effect::Writes,
        body: Body::None,
        routes: &[],
        says,
    }
}

/// Each needs one action.
pub const PUBLISHED: &[Operation] = &[
    control(
        &[act("Microsoft.Authorization/policyAssignments/exempt/action")],
        "Exempts from a policy assignment",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/diagnosticSettings/read")],
        "Shows where a hub sends its logs",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/diagnosticSettings/write")],
        "Changes where a hub sends its logs",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/eventGridFilters/delete")],
        "Deletes an Event Grid filter of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/eventGridFilters/read")],
        "Shows the Event Grid filters of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/eventGridFilters/write")],
        "Creates or updates an Event Grid filter of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/eventHubEndpoints/consumerGroups/delete")],
        "Deletes a consumer group of the built-in endpoint",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/eventHubEndpoints/consumerGroups/read")],
        "Shows or lists the consumer groups of the built-in endpoint",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/eventHubEndpoints/consumerGroups/write")],
        "Creates a consumer group of the built-in endpoint",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/iotHubStats/read")],
        "Shows how many devices a hub has",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/logDefinitions/read")],
        "Lists the log categories of hubs",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/metricDefinitions/read")],
        "Lists the metrics of hubs",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/networkSecurityPerimeterAssociationProxies/delete")],
        "Deletes a perimeter association proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/networkSecurityPerimeterAssociationProxies/read")],
        "Shows a perimeter association proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/networkSecurityPerimeterAssociationProxies/write")],
        "Creates or updates a perimeter association proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/networkSecurityPerimeterConfigurations/action")],
        "Reconciles the network security perimeters of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/networkSecurityPerimeterConfigurations/read")],
        "Shows the network security perimeters of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/notifyNetworkSecurityPerimeterUpdatesAvailable/action")],
        "Tells a hub that its network security perimeter has changed",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/operationresults/read")],
        "Tells how a long-running operation on a hub stands",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnectionProxies/delete")],
        "Deletes a private endpoint proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnectionProxies/operationResults/read")],
        "Tells how an operation on a private endpoint proxy of a hub stands",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnectionProxies/read")],
        "Shows a private endpoint proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnectionProxies/validate/action")],
        "Validates a private endpoint proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnectionProxies/write")],
        "Creates or updates a private endpoint proxy of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnections/operationResults/read")],
        "Tells how an operation on a private endpoint of a hub stands",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnectionsApproval/action")],
        "Approves or rejects a private endpoint of a hub",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/privateLinkResources/read")],
        "Shows what private endpoints of a hub can lead to",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/quotaMetrics/read")],
        "Shows how much of its quotas a hub has used",
    ),
    control(
        &[act("Microsoft.Devices/IotHubs/securitySettings/operationResults/read")],
        "Tells how a change of security settings stands",
    ),
    control(&[act("Microsoft.Devices/IotHubs/skus/read")], "Lists the sizes that a hub can have"),
    control(
        &[act("Microsoft.Devices/locations/operationresults/read")],
        "Tells how a long-running operation in a location stands",
    ),
    control(
        &[act("Microsoft.Devices/operationresults/read")],
        "Tells how a long-running operation stands",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/diagnosticSettings/read")],
        "Shows where a provisioning service sends its logs",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/diagnosticSettings/write")],
        "Changes where a provisioning service sends its logs",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/logDefinitions/read")],
        "Lists the log categories of provisioning services",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/metricDefinitions/read")],
        "Lists the metrics of provisioning services",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/operationresults/read")],
        "Tells how a long-running operation on a provisioning service stands",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnectionProxies/delete")],
        "Deletes a private endpoint proxy of a provisioning service",
    ),
    control(
        &[act(
            "Microsoft.Devices/provisioningServices/privateEndpointConnectionProxies/operationResults/read",
        )],
        "Tells how an operation on a private endpoint proxy of a provisioning service stands",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnectionProxies/read")],
        "Shows a private endpoint proxy of a provisioning service",
    ),
    control(
        &[act(
            "Microsoft.Devices/provisioningServices/privateEndpointConnectionProxies/validate/action",
        )],
        "Validates a private endpoint proxy of a provisioning service",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnectionProxies/write")],
        "Creates or updates a private endpoint proxy of a provisioning service",
    ),
    control(
        &[act(
            "Microsoft.Devices/provisioningServices/privateEndpointConnections/operationResults/read",
        )],
        "Tells how an operation on a private endpoint of a provisioning service stands",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnectionsApproval/action")],
        "Approves or rejects a private endpoint of a provisioning service",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/privateLinkResources/read")],
        "Shows what private endpoints of a provisioning service can lead to",
    ),
    control(
        &[act("Microsoft.Devices/provisioningServices/skus/read")],
        "Lists the sizes that a provisioning service can have",
    ),
    control(&[act("Microsoft.Devices/register/action")], "Registers a subscription for hubs"),
    control(&[act("Microsoft.Devices/usages/read")], "Shows how many hubs a subscription may have"),
    control(
        &[act("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action")],
        "Attaches a user-assigned identity to a resource",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::OPERATIONS;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_published_stands_once_per_plane_and_has_no_address() {
        let mut seen: BTreeSet<(String, Plane)> = OPERATIONS
            .iter()
            .filter(|it| it.actions.len() == 1)
            .flat_map(|row| {
                row.actions.iter().map(|it| (it.as_str().to_ascii_lowercase(), row.plane))
            })
            .collect();
        for row in PUBLISHED {
            let [action] = row.actions else { panic!("{:?} needs one action", row.actions) };
            assert!(seen.insert((action.as_str().to_ascii_lowercase(), row.plane)), "{action}");
            assert_eq!(row.op, Op::Published);
            assert!(row.routes.is_empty() && !row.says.is_empty(), "{action}");
            assert_eq!(row.plane == Plane::Service, !row.sas.is_empty(), "{action}");
        }
    }
}
