//! Azure Resource Manager: private endpoint connections of hubs and provisioning services.

use super::row::{act, arm, control};
use super::{Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::ListHubPrivateEndpoints,
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnections/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/privateEndpointConnections",
        )],
        "Lists the private endpoint connections of a hub",
    ),
    control(
        Op::GetHubPrivateEndpoint,
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnections/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/privateEndpointConnections/{connection}",
        )],
        "Shows a private endpoint connection of a hub",
    ),
    control(
        Op::PutHubPrivateEndpoint,
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnections/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/privateEndpointConnections/{connection}",
        )],
        "Makes, approves or rejects a private endpoint connection of a hub",
    ),
    control(
        Op::DeleteHubPrivateEndpoint,
        &[act("Microsoft.Devices/IotHubs/privateEndpointConnections/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/privateEndpointConnections/{connection}",
        )],
        "Deletes a private endpoint connection of a hub",
    ),
    control(
        Op::ListDpsPrivateEndpoints,
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnections/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/privateEndpointConnections",
        )],
        "Lists the private endpoint connections of a provisioning service",
    ),
    control(
        Op::GetDpsPrivateEndpoint,
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnections/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/privateEndpointConnections/{connection}",
        )],
        "Shows a private endpoint connection of a provisioning service",
    ),
    control(
        Op::PutDpsPrivateEndpoint,
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnections/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/privateEndpointConnections/{connection}",
        )],
        "Makes, approves or rejects a private endpoint connection of a provisioning service",
    ),
    control(
        Op::DeleteDpsPrivateEndpoint,
        &[act("Microsoft.Devices/provisioningServices/privateEndpointConnections/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/privateEndpointConnections/{connection}",
        )],
        "Deletes a private endpoint connection of a provisioning service",
    ),
];
