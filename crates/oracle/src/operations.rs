//! The operations that requests are made of: what each needs, where it is judged and what it writes.
//!
//! Written from Azure's list of resource provider operations and the hub's table of permissions, and compared
//! with the product's table by a test. A few of each kind, so that roles and requests meet.

/// Where an operation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// `actions` count.
    Control,
    /// `dataActions` count, or a key's rights.
    Data,
    /// `actions` count, at the tenant.
    Directory,
    /// Devices for themselves.
    Device,
}

/// A right of a shared access policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    RegistryRead,
    RegistryWrite,
    ServiceConnect,
    DeviceConnect,
}

/// Where an operation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Tenant,
    ResourceGroup,
    Hub,
    /// A resource of this type, at any place that may have one.
    Extension(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Other,
    /// Changes the control plane and no decision: its trace is kept, too.
    ChangesControl,
    /// Changes what decisions are made by, so its trace is always kept.
    ChangesFacts,
}

#[derive(Debug, PartialEq)]
pub struct Operation {
    pub name: &'static str,
    pub plane: Plane,
    pub actions: &'static [&'static str],
    pub rights: &'static [Right],
    pub place: Place,
    /// The type of what it writes.
    pub writes: Option<&'static str>,
    pub effect: Effect,
}

const HUBS: &str = "Microsoft.Devices/IotHubs";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const RESOURCE_GROUPS: &str = "Microsoft.Resources/subscriptions/resourceGroups";

const fn data(
    name: &'static str,
    actions: &'static [&'static str],
    rights: &'static [Right],
    writes: Option<&'static str>,
) -> Operation {
    let (plane, place, effect) = (Plane::Data, Place::Hub, Effect::Other);
    Operation { name, plane, actions, rights, place, writes, effect }
}

const fn control(
    name: &'static str,
    actions: &'static [&'static str],
    place: Place,
    writes: Option<&'static str>,
    effect: Effect,
) -> Operation {
    Operation { name, plane: Plane::Control, actions, rights: &[], place, writes, effect }
}

const fn extension(
    name: &'static str,
    kind: &'static str,
    actions: &'static [&'static str],
    writes: Option<&'static str>,
) -> Operation {
    control(name, actions, Place::Extension(kind), writes, Effect::ChangesFacts)
}

const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";
const DEFINITIONS: &str = "Microsoft.Authorization/roleDefinitions";
const DENIALS: &str = "Microsoft.Authorization/denyAssignments";
const LOCKS: &str = "Microsoft.Authorization/locks";
const EXEMPTIONS: &str = "Microsoft.Authorization/policyExemptions";

pub const OPERATIONS: &[Operation] = &[
    data("GetDevice", &["Microsoft.Devices/IotHubs/devices/read"], &[Right::RegistryRead], None),
    data(
        "PutDevice",
        &["Microsoft.Devices/IotHubs/devices/write"],
        &[Right::RegistryWrite],
        Some(DEVICES),
    ),
    data(
        "DeleteDevice",
        &["Microsoft.Devices/IotHubs/devices/delete"],
        &[Right::RegistryWrite],
        None,
    ),
    data(
        "BulkDevices",
        &["Microsoft.Devices/IotHubs/devices/write", "Microsoft.Devices/IotHubs/devices/delete"],
        &[Right::RegistryWrite],
        Some(DEVICES),
    ),
    data(
        "ProvisionDeviceWithTwin",
        &["Microsoft.Devices/IotHubs/devices/write", "Microsoft.Devices/IotHubs/twins/write"],
        &[Right::RegistryWrite],
        Some(DEVICES),
    ),
    control("GetHub", &["Microsoft.Devices/IotHubs/read"], Place::Hub, None, Effect::Other),
    control(
        "PutHub",
        &["Microsoft.Devices/IotHubs/write"],
        Place::Hub,
        Some(HUBS),
        Effect::ChangesFacts,
    ),
    control(
        "DeleteHub",
        &["Microsoft.Devices/IotHubs/delete"],
        Place::Hub,
        None,
        Effect::ChangesFacts,
    ),
    control(
        "ListHubKeys",
        &["Microsoft.Devices/IotHubs/listkeys/action"],
        Place::Hub,
        None,
        Effect::Other,
    ),
    control(
        "GetSecurityPolicy",
        &["Microsoft.Devices/IotHubs/securityPolicies/read"],
        Place::Hub,
        None,
        Effect::Other,
    ),
    control(
        "PutSecurityPolicy",
        &["Microsoft.Devices/IotHubs/securityPolicies/write"],
        Place::Hub,
        Some("Microsoft.Devices/IotHubs/securityPolicies"),
        Effect::ChangesControl,
    ),
    control(
        "DeleteSecurityPolicy",
        &["Microsoft.Devices/IotHubs/securityPolicies/delete"],
        Place::Hub,
        None,
        Effect::ChangesControl,
    ),
    control(
        "PutResourceGroup",
        &["Microsoft.Resources/subscriptions/resourceGroups/write"],
        Place::ResourceGroup,
        Some(RESOURCE_GROUPS),
        Effect::ChangesFacts,
    ),
    control(
        "DeleteResourceGroup",
        &["Microsoft.Resources/subscriptions/resourceGroups/delete"],
        Place::ResourceGroup,
        None,
        Effect::ChangesFacts,
    ),
    extension(
        "PutRoleAssignment",
        ASSIGNMENTS,
        &["Microsoft.Authorization/roleAssignments/write"],
        Some(ASSIGNMENTS),
    ),
    extension(
        "DeleteRoleAssignment",
        ASSIGNMENTS,
        &["Microsoft.Authorization/roleAssignments/delete"],
        None,
    ),
    extension(
        "PutRoleDefinition",
        DEFINITIONS,
        &["Microsoft.Authorization/roleDefinitions/write"],
        Some(DEFINITIONS),
    ),
    extension(
        "PutPolicyExemption",
        EXEMPTIONS,
        &["Microsoft.Authorization/policyExemptions/write"],
        Some(EXEMPTIONS),
    ),
    extension("PutLock", LOCKS, &["Microsoft.Authorization/locks/write"], Some(LOCKS)),
    extension("DeleteLock", LOCKS, &["Microsoft.Authorization/locks/delete"], None),
    extension(
        "PutDenyAssignment",
        DENIALS,
        &["Microsoft.Authorization/denyAssignments/write"],
        Some(DENIALS),
    ),
    extension(
        "DeleteDenyAssignment",
        DENIALS,
        &["Microsoft.Authorization/denyAssignments/delete"],
        None,
    ),
    control("ListSubscriptions", &[], Place::Tenant, None, Effect::Other),
    Operation {
        plane: Plane::Directory,
        ..control(
            "CreateApplication",
            &["Microsoft.Directory/applications/write"],
            Place::Tenant,
            None,
            Effect::ChangesFacts,
        )
    },
    Operation {
        plane: Plane::Device,
        rights: &[Right::DeviceConnect],
        ..control("SendTelemetry", &[], Place::Hub, None, Effect::Other)
    },
];
