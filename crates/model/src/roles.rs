//! The built-in roles: their public ids and what they grant.
//!
//! Data, not decisions: `gate` reads them like custom roles. Source: Azure built-in roles.

/// A role that every tenant has and nobody can change.
#[derive(Debug)]
pub struct BuiltinRole {
    pub id: &'static str,
    pub name: &'static str,
    pub says: &'static str,
    pub actions: &'static [&'static str],
    pub not_actions: &'static [&'static str],
    pub data_actions: &'static [&'static str],
    pub not_data_actions: &'static [&'static str],
}

pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// The built-in role by its id, in any casing.
pub fn builtin(id: &str) -> Option<&'static BuiltinRole> {
    BUILTIN_ROLES.iter().find(|it| it.id.eq_ignore_ascii_case(id))
}

pub const BUILTIN_ROLES: &[BuiltinRole] = &[
    BuiltinRole {
        id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        name: "Owner",
        says: "Everything in the control plane, roles and policies included",
        actions: &["*"],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        says: "Everything in the control plane but deciding who may do what",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
            "Microsoft.Subscription/cancel/action",
            "Microsoft.Subscription/enable/action",
        ],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        name: "Reader",
        says: "Reads everything in the control plane, keys excepted",
        actions: &["*/read"],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        name: "User Access Administrator",
        says: "Decides who may do what; reads the rest",
        actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        name: "Role Based Access Control Administrator",
        says: "Assigns roles; reads the rest",
        actions: &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "4fc6c259-987e-4a07-842e-c321cc9d413f",
        name: "IoT Hub Data Contributor",
        says: "Every operation of a hub's service API",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.Devices/IotHubs/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "b447c946-2db7-41ec-983d-d8bf3b1c77e3",
        name: "IoT Hub Data Reader",
        says: "Reads everything in a hub",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Devices/IotHubs/*/read",
            "Microsoft.Devices/IotHubs/fileUpload/notifications/action",
        ],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "4ea46cd5-c1b2-4a8e-910b-273211f9ce47",
        name: "IoT Hub Registry Contributor",
        says: "Reads and changes device identities",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.Devices/IotHubs/devices/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "494bdba2-168f-4f31-a0a1-191d2f7c028c",
        name: "IoT Hub Twin Contributor",
        says: "Reads and changes twins",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.Devices/IotHubs/twins/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "dfce44e4-17b7-4bd1-a6d1-04996ec95633",
        name: "Device Provisioning Service Data Contributor",
        says: "Every operation of a provisioning service's API",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.Devices/provisioningServices/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "10745317-c249-44a1-a5ce-3a4353c0bbd8",
        name: "Device Provisioning Service Data Reader",
        says: "Reads everything in a provisioning service",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.Devices/provisioningServices/*/read"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "2b629674-e913-4c01-ae53-ef4638d8f975",
        name: "Azure Event Hubs Data Sender",
        says: "Sends to event hubs",
        actions: &["Microsoft.EventHub/*/eventhubs/read"],
        not_actions: &[],
        data_actions: &["Microsoft.EventHub/*/send/action"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
        name: "Azure Event Hubs Data Receiver",
        says: "Receives from event hubs",
        actions: &["Microsoft.EventHub/*/eventhubs/consumergroups/read"],
        not_actions: &[],
        data_actions: &["Microsoft.EventHub/*/receive/action"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "f526a384-b230-433a-b45c-95f59c4a2dec",
        name: "Azure Event Hubs Data Owner",
        says: "Everything in event hubs",
        actions: &["Microsoft.EventHub/*"],
        not_actions: &[],
        data_actions: &["Microsoft.EventHub/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        name: "Azure Service Bus Data Sender",
        says: "Sends to queues and topics",
        actions: &[
            "Microsoft.ServiceBus/*/queues/read",
            "Microsoft.ServiceBus/*/topics/read",
            "Microsoft.ServiceBus/*/topics/subscriptions/read",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.ServiceBus/*/send/action"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        name: "Azure Service Bus Data Receiver",
        says: "Receives from queues and topics",
        actions: &[
            "Microsoft.ServiceBus/*/queues/read",
            "Microsoft.ServiceBus/*/topics/read",
            "Microsoft.ServiceBus/*/topics/subscriptions/read",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.ServiceBus/*/receive/action"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "090c5cfd-751d-490a-894a-3ce6f1109419",
        name: "Azure Service Bus Data Owner",
        says: "Everything in queues and topics",
        actions: &["Microsoft.ServiceBus/*"],
        not_actions: &[],
        data_actions: &["Microsoft.ServiceBus/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        name: "Storage Blob Data Contributor",
        says: "Reads, writes and deletes blobs",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        ],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        name: "Storage Account Contributor",
        says: "Manages storage accounts and lists their keys; no blobs",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Insights/diagnosticSettings/*",
            "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Storage/storageAccounts/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        name: "Storage Blob Data Reader",
        says: "Reads blobs",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        name: "Storage Blob Data Owner",
        says: "Everything in blob containers",
        actions: &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/*",
            "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "f1a07417-d97a-45cb-824c-7a7467783830",
        name: "Managed Identity Operator",
        says: "Reads user-assigned identities and attaches them",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        name: "Managed Identity Contributor",
        says: "Creates, changes and deletes user-assigned identities",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
            "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
    BuiltinRole {
        id: "36243c78-bf99-498c-9df9-86d9f8d28608",
        name: "Resource Policy Contributor",
        says: "Writes policies, their assignments and exemptions; reads the rest",
        actions: &[
            "*/read",
            "Microsoft.Authorization/policyassignments/*",
            "Microsoft.Authorization/policydefinitions/*",
            "Microsoft.Authorization/policyexemptions/*",
            "Microsoft.Authorization/policyenrollments/*",
            "Microsoft.Authorization/policysetdefinitions/*",
            "Microsoft.PolicyInsights/*",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
        not_data_actions: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// S2-12: the four roles of a hub stand here under their public ids.
    #[test]
    fn the_four_hub_roles_have_their_public_ids() {
        let check = |name: &str, id: &str| assert_eq!(builtin(id).unwrap().name, name);
        check("IoT Hub Data Contributor", "4fc6c259-987e-4a07-842e-c321cc9d413f");
        check("IoT Hub Data Reader", "b447c946-2db7-41ec-983d-d8bf3b1c77e3");
        check("IoT Hub Registry Contributor", "4ea46cd5-c1b2-4a8e-910b-273211f9ce47");
        check("IoT Hub Twin Contributor", "494bdba2-168f-4f31-a0a1-191d2f7c028c");
    }
}
