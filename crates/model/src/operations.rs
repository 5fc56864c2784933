//! The one table: what can be done, what it needs, and at which address.
//!
//! Fronts route by it, gates decide by it, `az provider operation show` and `docs/reference/operations.md`
//! list it, tests walk it. Source of the actions: Azure's published operations of each provider.

use crate::action::ActionName;
use crate::published::PUBLISHED;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Where an operation lives, and with it which credentials and which part of a role count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Plane {
    /// Resource management: `actions` of a role.
    Control,
    /// A hub's or DPS's service API: `dataActions` of a role, or rights of a shared access policy.
    Service,
    /// The directory: applications, service principals, groups, users.
    Directory,
    /// Needed before anybody can sign in. Nobody is refused; bytes are still bounded.
    Open,
    /// The token endpoint: the credential is the client's secret.
    Token,
    /// What devices themselves call: no role reaches it, only a device's own credential.
    Device,
}

impl Plane {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Service => "service",
            Self::Directory => "directory",
            Self::Open => "open",
            Self::Token => "token",
            Self::Device => "device",
        }
    }
}

/// A right of a shared access policy, on a hub or on a provisioning service.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Right {
    RegistryRead,
    RegistryWrite,
    ServiceConnect,
    DeviceConnect,
    ServiceConfig,
    EnrollmentRead,
    EnrollmentWrite,
    RegistrationStatusRead,
    RegistrationStatusWrite,
}

impl Right {
    /// Of a hub, in the order in which they are joined on the wire.
    pub const HUB: &[Self] =
        &[Self::RegistryRead, Self::RegistryWrite, Self::ServiceConnect, Self::DeviceConnect];
    /// Of a provisioning service, likewise.
    pub const DPS: &[Self] = &[
        Self::ServiceConfig,
        Self::DeviceConnect,
        Self::EnrollmentRead,
        Self::EnrollmentWrite,
        Self::RegistrationStatusRead,
        Self::RegistrationStatusWrite,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegistryRead => "RegistryRead",
            Self::RegistryWrite => "RegistryWrite",
            Self::ServiceConnect => "ServiceConnect",
            Self::DeviceConnect => "DeviceConnect",
            Self::ServiceConfig => "ServiceConfig",
            Self::EnrollmentRead => "EnrollmentRead",
            Self::EnrollmentWrite => "EnrollmentWrite",
            Self::RegistrationStatusRead => "RegistrationStatusRead",
            Self::RegistrationStatusWrite => "RegistrationStatusWrite",
        }
    }

    /// Reads the wire form `"RegistryRead, ServiceConnect"` of rights that a kind of service knows; `None`
    /// where a word is none of them or none is there.
    pub fn parse_list(text: &str, known: &[Self]) -> Option<Vec<Self>> {
        let mut rights = Vec::new();
        for word in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            rights.push(*known.iter().find(|it| it.as_str().eq_ignore_ascii_case(word))?);
        }
        rights.sort_unstable();
        rights.dedup();
        (!rights.is_empty()).then_some(rights)
    }

    /// The wire form of several rights.
    pub fn join(rights: &[Self]) -> String {
        let mut words: Vec<&str> = Vec::new();
        for right in Self::HUB.iter().chain(Self::DPS) {
            if rights.contains(right) && !words.contains(&right.as_str()) {
                words.push(right.as_str());
            }
        }
        words.join(", ")
    }

    /// True where holding `self` is enough for `needed`: writing the registry implies reading it.
    pub fn covers(self, needed: Self) -> bool {
        self == needed
            || matches!(
                (self, needed),
                (Self::RegistryWrite, Self::RegistryRead)
                    | (Self::EnrollmentWrite, Self::EnrollmentRead)
                    | (Self::RegistrationStatusWrite, Self::RegistrationStatusRead)
            )
    }
}

/// Who answers at an address, and in which shape errors are put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Surface {
    /// Azure Resource Manager, at the management origin.
    Arm,
    /// Sign-in, at the management origin.
    Entra,
    /// Microsoft Graph, at the management origin.
    Graph,
    /// A hub's own address.
    Hub,
    /// A provisioning service's own address.
    Dps,
}

/// What a client speaks to reach an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Https,
    Mqtt,
    Amqp,
}

impl Protocol {
    /// The word in traces, and the one that policies compare `request.protocol` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
        }
    }
}

/// One address of an operation.
///
/// Over HTTPS a method and a path: `{scope}` stands for any number of leading segments, every other `{name}`
/// for one segment, and literals compare without regard to case. Over MQTT a packet and the topic that it
/// names: what stands behind the topic's last `/` are its properties, and everything compares exactly. Over
/// AMQP what the client does, as `SEND` and `RECEIVE` for the two ends of a link, and an address, which compares
/// as a path does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    pub surface: Surface,
    pub protocol: Protocol,
    pub method: &'static str,
    pub path: &'static str,
}

/// What a call of the operation leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Reads,
    Writes,
    /// Writes through calls of its own, each judged for itself.
    Calls,
    /// Adds to a hub's log. No gate decides by what is there, so it waits for no change of facts and holds
    /// none up: what was admitted before a change may be synced behind it.
    Appends,
    /// Changes what gates decide by: no other write runs between its decision and its end.
    ChangesFacts,
}

/// What the operation takes as its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    None,
    /// One JSON value; absent is `null`.
    Json,
    /// `application/x-www-form-urlencoded`, read into an object of texts.
    Form,
    /// Bytes, which nobody looks into before the call is admitted.
    Raw,
}

/// One row.
#[derive(Debug)]
pub struct Operation {
    pub op: Op,
    pub plane: Plane,
    /// Every one of these is needed. Empty: any signed-in caller.
    pub actions: &'static [ActionName],
    /// Any one of these rights of a shared access policy is enough. Empty: no key reaches it.
    pub sas: &'static [Right],
    /// The type of object that policy judges, for data-plane writes and deletions; those of the control plane
    /// take it from the scope.
    pub object: Option<&'static str>,
    pub effect: Effect,
    pub body: Body,
    pub routes: &'static [Route],
    /// What it does, for lists of operations.
    pub says: &'static str,
}

impl Operation {
    pub fn name(&self) -> String {
        format!("{:?}", self.op)
    }

    /// Who answers it: the surface of its first address.
    pub fn surface(&self) -> Surface {
        match (self.routes.first(), self.plane) {
            (Some(route), _) => route.surface,
            (None, Plane::Service) if self.is_of_dps() => Surface::Dps,
            (None, Plane::Service) => Surface::Hub,
            (None, _) => Surface::Arm,
        }
    }

    fn is_of_dps(&self) -> bool {
        let of_dps = "Microsoft.Devices/provisioningServices/";
        self.actions.iter().any(|it| it.as_str().starts_with(of_dps))
    }

    /// True where one action is a create or update, or a deletion, which policy judges. Policies themselves
    /// are not judged: a rule that catches everything must not stop its own repair. Nor are deletions of
    /// what keeps others out, see [`NEVER_GUARDED`].
    pub fn is_judged_by_policy(&self) -> bool {
        // What reads and what sends telemetry is most of all calls: one comparison each.
        !matches!(self.effect, Effect::Reads | Effect::Appends)
            && matches!(self.plane, Plane::Control | Plane::Service)
            && (self.writes() || self.deletes())
    }

    /// True where one action is a create or update of anything but policies, or where resources are written
    /// at another place.
    pub fn writes(&self) -> bool {
        self.moves()
            || self.actions.iter().any(|it| it.is_write() && !it.as_str().starts_with(POLICIES))
    }

    /// True where resources leave their group for another one, or are asked about as if they did.
    pub const fn moves(&self) -> bool {
        matches!(self.op, Op::MoveResources | Op::ValidateMoveResources)
    }

    /// True for the endpoint from which services read what devices have sent: no role leads there.
    /// Source: IoT Hub documentation, "Read device-to-cloud messages from the built-in endpoint".
    pub const fn takes_keys_only(&self) -> bool {
        matches!(
            self.op,
            Op::ConnectToEvents
                | Op::FindEvents
                | Op::GetEventHub
                | Op::GetEventHubPartition
                | Op::ReadEvents
                | Op::WatchEvents
        )
    }

    /// True where one action is a deletion that a policy can guard against.
    pub fn deletes(&self) -> bool {
        let is_guarded = |it: &ActionName| {
            !it.as_str().starts_with(POLICIES) && !NEVER_GUARDED.contains(&it.as_str())
        };
        self.actions.iter().any(|it| it.ends_in("delete") && is_guarded(it))
    }
}

/// How the actions on policies begin: definitions, initiatives, assignments, exemptions.
const POLICIES: &str = "Microsoft.Authorization/policy";

/// Deletions that no policy stops, or a policy could lock everybody out for good; those of policies are in
/// [`POLICIES`]. Source: Azure Policy documentation, "Azure Policy definitions denyAction effect".
const NEVER_GUARDED: &[&str] = &[
    "Microsoft.Authorization/denyAssignments/delete",
    "Microsoft.Authorization/locks/delete",
    "Microsoft.Resources/subscriptions/delete",
];

/// The rows by the number of their operation: each operation has one.
static ROWS: LazyLock<Vec<&'static Operation>> = LazyLock::new(|| {
    let mut rows: Vec<&Operation> = OPERATIONS.iter().collect();
    rows.sort_by_key(|it| it.op as usize);
    rows
});

/// The rows by the name that traces have for them.
static BY_NAME: LazyLock<BTreeMap<String, &'static Operation>> =
    LazyLock::new(|| OPERATIONS.iter().map(|it| (it.name(), it)).collect());

/// The row of an operation.
pub fn operation(op: Op) -> &'static Operation {
    ROWS.get(op as usize).expect("a test shows that every operation has a row")
}

/// Every row: what has an address, and what is only published.
pub fn known() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(PUBLISHED)
}

/// Every action of the rows by its text: a trace has texts.
static ACTIONS: LazyLock<BTreeMap<&'static str, ActionName>> =
    LazyLock::new(|| known().flat_map(|it| it.actions).map(|it| (it.as_str(), *it)).collect());

/// The action of this name.
pub fn action(name: &str) -> Option<ActionName> {
    ACTIONS.get(name).copied()
}

/// The row of the operation of this name.
pub fn named(name: &str) -> Option<&'static Operation> {
    BY_NAME.get(name).copied()
}

const fn act(name: &'static str) -> ActionName {
    ActionName::new(name)
}

const fn arm(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Arm, protocol: Protocol::Https, method, path }
}

const fn entra(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Entra, protocol: Protocol::Https, method, path }
}

const fn graph(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Graph, protocol: Protocol::Https, method, path }
}

const fn hub(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Hub, protocol: Protocol::Https, method, path }
}

const fn dps(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Dps, protocol: Protocol::Https, method, path }
}

const fn mqtt(surface: Surface, method: &'static str, path: &'static str) -> Route {
    Route { surface, protocol: Protocol::Mqtt, method, path }
}

const fn amqp(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Hub, protocol: Protocol::Amqp, method, path }
}

/// Of a device that registers: over a link at this address.
const fn amqp_dps(method: &'static str) -> Route {
    let path = "/{idScope}/registrations/{registration}";
    Route { surface: Surface::Dps, protocol: Protocol::Amqp, method, path }
}

/// A row of the endpoint from which services read what devices have sent: keys alone open it.
const fn events(op: Op, routes: &'static [Route], says: &'static str) -> Operation {
    Operation {
        plane: Plane::Service,
        sas: &[Right::ServiceConnect],
        ..control(op, &[], Effect::Reads, routes, says)
    }
}

/// A row of the control plane.
const fn control(
    op: Op,
    actions: &'static [ActionName],
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    let body = match effect {
        Effect::Reads => Body::None,
        Effect::Writes | Effect::Calls | Effect::Appends | Effect::ChangesFacts => Body::Json,
    };
    Operation {
        op,
        plane: Plane::Control,
        actions,
        sas: &[],
        object: None,
        effect,
        body,
        routes,
        says,
    }
}

/// A row of the directory.
const fn directory(
    op: Op,
    actions: &'static [ActionName],
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    Operation { plane: Plane::Directory, ..control(op, actions, effect, routes, says) }
}

/// A row that is served before anybody signs in.
const fn open(op: Op, routes: &'static [Route], says: &'static str) -> Operation {
    Operation { plane: Plane::Open, ..control(op, &[], Effect::Reads, routes, says) }
}

/// A row that only devices reach, and only for themselves.
const fn device(op: Op, effect: Effect, routes: &'static [Route], says: &'static str) -> Operation {
    Operation { plane: Plane::Device, body: Body::None, ..control(op, &[], effect, routes, says) }
}

/// The same at a hub, where who holds a key with `DeviceConnect` may act for any device.
const fn at_hub(op: Op, effect: Effect, routes: &'static [Route], says: &'static str) -> Operation {
    Operation { sas: &[Right::DeviceConnect], ..device(op, effect, routes, says) }
}

/// A row of a hub's service API that one action or right opens.
const fn service(
    op: Op,
    actions: &'static [ActionName],
    sas: &'static [Right],
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    Operation { plane: Plane::Service, sas, ..control(op, actions, effect, routes, says) }
}

/// The same where policy judges what it writes or deletes.
const fn judged(row: Operation, object: &'static str) -> Operation {
    Operation { object: Some(object), ..row }
}

/// The same without a body, though it writes.
const fn bare(row: Operation) -> Operation {
    Operation { body: Body::None, ..row }
}

const DEVICES: Option<&str> = Some("Microsoft.Devices/IotHubs/devices");
const FEEDBACK: &[ActionName] =
    &[act("Microsoft.Devices/IotHubs/cloudToDeviceMessages/feedback/action")];
const FILE_NOTIFICATIONS: &[ActionName] =
    &[act("Microsoft.Devices/IotHubs/fileUpload/notifications/action")];
const MODULES: &str = "Microsoft.Devices/IotHubs/devices/modules";
const CONFIGURATIONS: &str = "Microsoft.Devices/IotHubs/configurations";
const JOBS: &str = "Microsoft.Devices/IotHubs/jobs";
const TWINS: &str = "Microsoft.Devices/IotHubs/twins";

/// Every operation by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Op {
    ReadEndpoints,
    ReadOpenIdConfiguration,
    ReadSigningKeys,
    DiscoverInstance,
    IssueToken,
    DiscoverUserRealm,
    ListTenants,
    ListSubscriptions,
    GetSubscription,
    ListLocations,
    ListProviders,
    GetProvider,
    RegisterProvider,
    ListProviderOperations,
    GetProviderOperations,
    ListDevicesOperations,
    PutResourceGroup,
    PatchResourceGroup,
    GetResourceGroup,
    HasResourceGroup,
    ListResourceGroups,
    DeleteResourceGroup,
    MoveResources,
    ValidateMoveResources,
    ListResources,
    GetOperationResult,
    PutHub,
    PatchHub,
    GetHub,
    ListHubs,
    DeleteHub,
    ListHubKeys,
    GetHubKey,
    ListHubCertificates,
    GetHubCertificate,
    PutHubCertificate,
    DeleteHubCertificate,
    GenerateHubVerificationCode,
    VerifyHubCertificate,
    CheckHubName,
    PutRoleDefinition,
    GetRoleDefinition,
    ListRoleDefinitions,
    DeleteRoleDefinition,
    PutRoleAssignment,
    GetRoleAssignment,
    ListRoleAssignments,
    DeleteRoleAssignment,
    PutPolicyDefinition,
    GetPolicyDefinition,
    ListPolicyDefinitions,
    DeletePolicyDefinition,
    PutPolicySetDefinition,
    GetPolicySetDefinition,
    ListPolicySetDefinitions,
    DeletePolicySetDefinition,
    PutPolicyAssignment,
    PatchPolicyAssignment,
    GetPolicyAssignment,
    ListPolicyAssignments,
    DeletePolicyAssignment,
    PutPolicyExemption,
    PatchPolicyExemption,
    GetPolicyExemption,
    ListPolicyExemptions,
    DeletePolicyExemption,
    PutLock,
    GetLock,
    ListLocks,
    DeleteLock,
    PutDenyAssignment,
    GetDenyAssignment,
    ListDenyAssignments,
    DeleteDenyAssignment,
    PutManagementGroup,
    PatchManagementGroup,
    GetManagementGroup,
    ListManagementGroups,
    DeleteManagementGroup,
    CheckManagementGroupName,
    ListEntities,
    ListDescendants,
    PutManagementGroupSubscription,
    GetManagementGroupSubscription,
    ListManagementGroupSubscriptions,
    DeleteManagementGroupSubscription,
    ListRoleDefinitionRevisions,
    ListRoleAssignmentRevisions,
    ListPolicyDefinitionRevisions,
    ListPolicySetDefinitionRevisions,
    ListPolicyAssignmentRevisions,
    ListPolicyExemptionRevisions,
    PutDiagnosticSetting,
    GetDiagnosticSetting,
    ListDiagnosticSettings,
    DeleteDiagnosticSetting,
    ListDiagnosticCategories,
    ListActivity,
    QueryPolicyStates,
    SummarizePolicyStates,
    TriggerPolicyEvaluation,
    GetDecision,
    GetOwnDecision,
    AskDecision,
    AskWhoCan,
    DiagnoseProvisioning,
    ListApplications,
    CreateApplication,
    GetApplication,
    PatchApplication,
    DeleteApplication,
    AddPassword,
    RemovePassword,
    ListFederatedCredentials,
    CreateFederatedCredential,
    GetFederatedCredential,
    PatchFederatedCredential,
    DeleteFederatedCredential,
    ListServicePrincipals,
    CreateServicePrincipal,
    GetServicePrincipal,
    PatchServicePrincipal,
    DeleteServicePrincipal,
    GetDirectoryObjects,
    ListUsers,
    CreateUser,
    GetUser,
    PatchUser,
    DeleteUser,
    RevokeSignIns,
    GetMe,
    ListGroups,
    CreateGroup,
    GetGroup,
    PatchGroup,
    DeleteGroup,
    ListGroupMembers,
    AddGroupMember,
    RemoveGroupMember,
    ListMemberOf,
    ListTransitiveMemberOf,
    CheckMemberGroups,
    GetMemberGroups,
    GetOrganization,
    PutDevice,
    GetDevice,
    DeleteDevice,
    ListDevices,
    BulkDevices,
    BulkDevicesWithTwins,
    RegenerateKeys,
    QueryDevices,
    QueryDeviceJobs,
    PutDps,
    PatchDps,
    GetDps,
    ListDps,
    DeleteDps,
    ListDpsKeys,
    GetDpsKey,
    CheckDpsName,
    ListDpsCertificates,
    GetDpsCertificate,
    PutDpsCertificate,
    DeleteDpsCertificate,
    GenerateDpsVerificationCode,
    VerifyDpsCertificate,
    PutEnrollment,
    GetEnrollment,
    DeleteEnrollment,
    QueryEnrollments,
    GetEnrollmentKeys,
    PutEnrollmentGroup,
    GetEnrollmentGroup,
    DeleteEnrollmentGroup,
    QueryEnrollmentGroups,
    GetEnrollmentGroupKeys,
    BulkEnrollments,
    BulkDeleteEnrollments,
    BulkEnrollmentGroups,
    BulkDeleteEnrollmentGroups,
    QueryRegistrations,
    GetRegistration,
    DeleteRegistration,
    RegisterDevice,
    GetRegistrationOperation,
    LookUpRegistration,
    ProvisionDevice,
    ProvisionDeviceWithTwin,
    ConnectToRegister,
    ConnectDevice,
    SendTelemetry,
    GetOwnTwin,
    ReportProperties,
    ReceiveDesired,
    ReceiveMethods,
    ReceiveMessages,
    CompleteMessage,
    AbandonMessage,
    PutModule,
    GetModule,
    DeleteModule,
    ListModules,
    GetTwin,
    PatchTwin,
    ReplaceTwin,
    InvokeMethod,
    GetDigitalTwin,
    PatchDigitalTwin,
    InvokeCommand,
    PutJob,
    GetJob,
    CancelJob,
    QueryJobs,
    PutConfiguration,
    GetConfiguration,
    ListConfigurations,
    DeleteConfiguration,
    TestConfigurationQueries,
    ApplyConfiguration,
    SendMessage,
    ReceiveFeedback,
    CompleteFeedback,
    AbandonFeedback,
    ReceiveFileNotification,
    CompleteFileNotification,
    AbandonFileNotification,
    PurgeMessages,
    GetDeviceStatistics,
    GetServiceStatistics,
    ConnectService,
    ConnectToEvents,
    FindEvents,
    GetEventHub,
    GetEventHubPartition,
    ReadEvents,
    WatchEvents,
    /// What nobody can call yet; see [`PUBLISHED`].
    Published,
}

/// The table itself. A plain constant: no macro, no registration at start-up.
pub const OPERATIONS: &[Operation] = &[
    open(
        Op::ReadEndpoints,
        &[arm("GET", "/metadata/endpoints")],
        "Tells clients where to sign in and where to manage",
    ),
    open(
        Op::ReadOpenIdConfiguration,
        &[
            entra("GET", "/{tenant}/v2.0/.well-known/openid-configuration"),
            entra("GET", "/{tenant}/.well-known/openid-configuration"),
        ],
        "Tells clients where tokens are issued",
    ),
    open(
        Op::ReadSigningKeys,
        &[entra("GET", "/{tenant}/discovery/v2.0/keys"), entra("GET", "/{tenant}/discovery/keys")],
        "Lists the public keys that tokens are signed with",
    ),
    open(
        Op::DiscoverInstance,
        &[entra("GET", "/common/discovery/instance")],
        "Confirms that this server is the authority it claims to be",
    ),
    Operation {
        plane: Plane::Token,
        body: Body::Form,
        ..control(
            Op::IssueToken,
            &[],
            // A person's sign-in is kept; whoever signs in is proven again before that.
            Effect::Writes,
            &[
                entra("POST", "/{tenant}/oauth2/v2.0/token"),
                entra("POST", "/{tenant}/oauth2/token"),
            ],
            "Issues an access token",
        )
    },
    open(
        Op::DiscoverUserRealm,
        &[entra("GET", "/common/userrealm/{username}")],
        "Tells clients that people's passwords are checked here",
    ),
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
    control(
        Op::PutHub,
        &[act("Microsoft.Devices/IotHubs/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Creates or updates a hub",
    ),
    control(
        Op::PatchHub,
        &[act("Microsoft.Devices/IotHubs/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Changes the tags of a hub",
    ),
    control(
        Op::GetHub,
        &[act("Microsoft.Devices/IotHubs/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Shows a hub, without its keys",
    ),
    control(
        Op::ListHubs,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/providers/Microsoft.Devices/IotHubs"),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs",
            ),
        ],
        "Lists hubs",
    ),
    control(
        Op::DeleteHub,
        &[act("Microsoft.Devices/IotHubs/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}",
        )],
        "Deletes a hub and everything in it",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListHubKeys,
            &[act("Microsoft.Devices/IotHubs/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/listkeys",
            )],
            "Lists the shared access policies of a hub with their keys",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::GetHubKey,
            &[act("Microsoft.Devices/IotHubs/iotHubKeys/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/IotHubKeys/{key}/listkeys",
            )],
            "Shows one shared access policy with its keys",
        )
    },
    control(
        Op::ListHubCertificates,
        &[act("Microsoft.Devices/IotHubs/certificates/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates",
        )],
        "Lists the CA certificates of a hub",
    ),
    control(
        Op::GetHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}",
        )],
        "Shows a CA certificate of a hub",
    ),
    control(
        Op::PutHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}",
        )],
        "Uploads a CA certificate to a hub, or replaces it",
    ),
    control(
        Op::DeleteHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}",
        )],
        "Deletes a CA certificate of a hub",
    ),
    control(
        Op::GenerateHubVerificationCode,
        &[act("Microsoft.Devices/IotHubs/certificates/generateVerificationCode/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}/generateVerificationCode",
        )],
        "Makes a code that a certificate of the CA is to carry as its name",
    ),
    control(
        Op::VerifyHubCertificate,
        &[act("Microsoft.Devices/IotHubs/certificates/verify/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates/{certificate}/verify",
        )],
        "Takes the certificate that shows who holds a CA's key",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckHubName,
            &[act("Microsoft.Devices/checkNameAvailability/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.Devices/checkNameAvailability",
            )],
            "Tells whether a hub name is free",
        )
    },
    control(
        Op::PutRoleDefinition,
        &[act("Microsoft.Authorization/roleDefinitions/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}")],
        "Creates or updates a role definition",
    ),
    control(
        Op::GetRoleDefinition,
        &[act("Microsoft.Authorization/roleDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}")],
        "Shows a role definition",
    ),
    control(
        Op::ListRoleDefinitions,
        &[act("Microsoft.Authorization/roleDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/roleDefinitions")],
        "Lists each role definition at a scope",
    ),
    control(
        Op::DeleteRoleDefinition,
        &[act("Microsoft.Authorization/roleDefinitions/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}")],
        "Deletes a role definition",
    ),
    control(
        Op::PutRoleAssignment,
        &[act("Microsoft.Authorization/roleAssignments/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")],
        "Creates or updates a role assignment",
    ),
    control(
        Op::GetRoleAssignment,
        &[act("Microsoft.Authorization/roleAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")],
        "Shows a role assignment",
    ),
    control(
        Op::ListRoleAssignments,
        &[act("Microsoft.Authorization/roleAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/roleAssignments")],
        "Lists each role assignment at a scope",
    ),
    control(
        Op::DeleteRoleAssignment,
        &[act("Microsoft.Authorization/roleAssignments/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")],
        "Deletes a role assignment",
    ),
    control(
        Op::PutPolicyDefinition,
        &[act("Microsoft.Authorization/policyDefinitions/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/policyDefinitions/{name}")],
        "Creates or updates a policy definition",
    ),
    control(
        Op::GetPolicyDefinition,
        &[act("Microsoft.Authorization/policyDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policyDefinitions/{name}")],
        "Shows a policy definition",
    ),
    control(
        Op::ListPolicyDefinitions,
        &[act("Microsoft.Authorization/policyDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policyDefinitions")],
        "Lists each policy definition at a scope",
    ),
    control(
        Op::DeletePolicyDefinition,
        &[act("Microsoft.Authorization/policyDefinitions/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/policyDefinitions/{name}")],
        "Deletes a policy definition",
    ),
    control(
        Op::PutPolicySetDefinition,
        &[act("Microsoft.Authorization/policySetDefinitions/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/policySetDefinitions/{name}")],
        "Creates or updates an initiative",
    ),
    control(
        Op::GetPolicySetDefinition,
        &[act("Microsoft.Authorization/policySetDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policySetDefinitions/{name}")],
        "Shows an initiative",
    ),
    control(
        Op::ListPolicySetDefinitions,
        &[act("Microsoft.Authorization/policySetDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policySetDefinitions")],
        "Lists each initiative at a scope",
    ),
    control(
        Op::DeletePolicySetDefinition,
        &[act("Microsoft.Authorization/policySetDefinitions/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/policySetDefinitions/{name}")],
        "Deletes an initiative",
    ),
    control(
        Op::PutPolicyAssignment,
        &[act("Microsoft.Authorization/policyAssignments/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")],
        "Creates or updates a policy assignment",
    ),
    control(
        Op::PatchPolicyAssignment,
        &[act("Microsoft.Authorization/policyAssignments/write")],
        Effect::ChangesFacts,
        &[arm("PATCH", "{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")],
        "Changes parts of a policy assignment",
    ),
    control(
        Op::GetPolicyAssignment,
        &[act("Microsoft.Authorization/policyAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")],
        "Shows a policy assignment",
    ),
    control(
        Op::ListPolicyAssignments,
        &[act("Microsoft.Authorization/policyAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policyAssignments")],
        "Lists each policy assignment at a scope",
    ),
    control(
        Op::DeletePolicyAssignment,
        &[act("Microsoft.Authorization/policyAssignments/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")],
        "Deletes a policy assignment",
    ),
    control(
        Op::PutPolicyExemption,
        &[act("Microsoft.Authorization/policyExemptions/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/policyExemptions/{name}")],
        "Creates or updates a policy exemption",
    ),
    control(
        Op::PatchPolicyExemption,
        &[act("Microsoft.Authorization/policyExemptions/write")],
        Effect::ChangesFacts,
        &[arm("PATCH", "{scope}/providers/Microsoft.Authorization/policyExemptions/{name}")],
        "Changes parts of a policy exemption",
    ),
    control(
        Op::GetPolicyExemption,
        &[act("Microsoft.Authorization/policyExemptions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policyExemptions/{name}")],
        "Shows a policy exemption",
    ),
    control(
        Op::ListPolicyExemptions,
        &[act("Microsoft.Authorization/policyExemptions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/policyExemptions")],
        "Lists each policy exemption at a scope",
    ),
    control(
        Op::DeletePolicyExemption,
        &[act("Microsoft.Authorization/policyExemptions/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/policyExemptions/{name}")],
        "Deletes a policy exemption",
    ),
    control(
        Op::PutLock,
        &[act("Microsoft.Authorization/locks/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/locks/{name}")],
        "Creates or updates a management lock",
    ),
    control(
        Op::GetLock,
        &[act("Microsoft.Authorization/locks/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/locks/{name}")],
        "Shows a management lock",
    ),
    control(
        Op::ListLocks,
        &[act("Microsoft.Authorization/locks/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/locks")],
        "Lists the management locks at and below a scope",
    ),
    control(
        Op::DeleteLock,
        &[act("Microsoft.Authorization/locks/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/locks/{name}")],
        "Deletes a management lock",
    ),
    control(
        Op::PutDenyAssignment,
        &[act("Microsoft.Authorization/denyAssignments/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Authorization/denyAssignments/{name}")],
        "Denies actions to principals at a scope, whatever their roles",
    ),
    control(
        Op::GetDenyAssignment,
        &[act("Microsoft.Authorization/denyAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/denyAssignments/{name}")],
        "Shows a deny assignment",
    ),
    control(
        Op::ListDenyAssignments,
        &[act("Microsoft.Authorization/denyAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/denyAssignments")],
        "Lists the deny assignments at, above and below a scope",
    ),
    control(
        Op::DeleteDenyAssignment,
        &[act("Microsoft.Authorization/denyAssignments/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Authorization/denyAssignments/{name}")],
        "Deletes a deny assignment",
    ),
    control(
        Op::PutManagementGroup,
        &[act("Microsoft.Management/managementGroups/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "/providers/Microsoft.Management/managementGroups/{group}")],
        "Creates or updates a management group",
    ),
    control(
        Op::PatchManagementGroup,
        &[act("Microsoft.Management/managementGroups/write")],
        Effect::ChangesFacts,
        &[arm("PATCH", "/providers/Microsoft.Management/managementGroups/{group}")],
        "Renames or moves a management group",
    ),
    control(
        Op::GetManagementGroup,
        &[act("Microsoft.Management/managementGroups/read")],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Management/managementGroups/{group}")],
        "Shows a management group",
    ),
    control(
        Op::ListManagementGroups,
        &[],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Management/managementGroups")],
        "Lists the management groups that the caller can read",
    ),
    control(
        Op::DeleteManagementGroup,
        &[act("Microsoft.Management/managementGroups/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "/providers/Microsoft.Management/managementGroups/{group}")],
        "Deletes a management group that nothing is in",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckManagementGroupName,
            &[],
            Effect::Reads,
            &[arm("POST", "/providers/Microsoft.Management/checkNameAvailability")],
            "Tells whether a management group's name is free",
        )
    },
    control(
        Op::ListEntities,
        &[],
        Effect::Reads,
        &[arm("POST", "/providers/Microsoft.Management/getEntities")],
        "Lists the management groups and subscriptions that the caller can read",
    ),
    control(
        Op::ListDescendants,
        &[act("Microsoft.Management/managementGroups/descendants/read")],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Management/managementGroups/{group}/descendants")],
        "Lists everything below a management group",
    ),
    Operation {
        body: Body::None,
        ..control(
            Op::PutManagementGroupSubscription,
            &[act("Microsoft.Management/managementGroups/subscriptions/write")],
            Effect::ChangesFacts,
            &[arm(
                "PUT",
                "/providers/Microsoft.Management/managementGroups/{group}/subscriptions/{subscription}",
            )],
            "Puts a subscription into a management group",
        )
    },
    control(
        Op::GetManagementGroupSubscription,
        &[act("Microsoft.Management/managementGroups/subscriptions/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/providers/Microsoft.Management/managementGroups/{group}/subscriptions/{subscription}",
        )],
        "Shows a subscription of a management group",
    ),
    control(
        Op::ListManagementGroupSubscriptions,
        &[act("Microsoft.Management/managementGroups/subscriptions/read")],
        Effect::Reads,
        &[arm("GET", "/providers/Microsoft.Management/managementGroups/{group}/subscriptions")],
        "Lists the subscriptions of a management group",
    ),
    control(
        Op::DeleteManagementGroupSubscription,
        &[act("Microsoft.Management/managementGroups/subscriptions/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/providers/Microsoft.Management/managementGroups/{group}/subscriptions/{subscription}",
        )],
        "Takes a subscription out of a management group, back to the root",
    ),
    control(
        Op::ListRoleDefinitionRevisions,
        &[act("Microsoft.Authorization/roleDefinitions/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}/revisions")],
        "Lists the revisions of a role definition: author, time, difference",
    ),
    control(
        Op::ListRoleAssignmentRevisions,
        &[act("Microsoft.Authorization/roleAssignments/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}/revisions")],
        "Lists the revisions of a role assignment: author, time, difference",
    ),
    control(
        Op::ListPolicyDefinitionRevisions,
        &[act("Microsoft.Authorization/policyDefinitions/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "{scope}/providers/Microsoft.Authorization/policyDefinitions/{name}/revisions",
        )],
        "Lists the revisions of a policy definition: author, time, difference",
    ),
    control(
        Op::ListPolicySetDefinitionRevisions,
        &[act("Microsoft.Authorization/policySetDefinitions/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "{scope}/providers/Microsoft.Authorization/policySetDefinitions/{name}/revisions",
        )],
        "Lists the revisions of an initiative: author, time, difference",
    ),
    control(
        Op::ListPolicyAssignmentRevisions,
        &[act("Microsoft.Authorization/policyAssignments/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "{scope}/providers/Microsoft.Authorization/policyAssignments/{name}/revisions",
        )],
        "Lists the revisions of a policy assignment: author, time, difference",
    ),
    control(
        Op::ListPolicyExemptionRevisions,
        &[act("Microsoft.Authorization/policyExemptions/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "{scope}/providers/Microsoft.Authorization/policyExemptions/{name}/revisions",
        )],
        "Lists the revisions of a policy exemption: author, time, difference",
    ),
    control(
        Op::PutDiagnosticSetting,
        &[act("Microsoft.Insights/diagnosticSettings/write")],
        Effect::ChangesFacts,
        &[arm("PUT", "{scope}/providers/Microsoft.Insights/diagnosticSettings/{name}")],
        "Sends a resource's logs somewhere",
    ),
    control(
        Op::GetDiagnosticSetting,
        &[act("Microsoft.Insights/diagnosticSettings/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Insights/diagnosticSettings/{name}")],
        "Shows a diagnostic setting",
    ),
    control(
        Op::ListDiagnosticSettings,
        &[act("Microsoft.Insights/diagnosticSettings/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Insights/diagnosticSettings")],
        "Lists the diagnostic settings of a resource",
    ),
    control(
        Op::DeleteDiagnosticSetting,
        &[act("Microsoft.Insights/diagnosticSettings/delete")],
        Effect::ChangesFacts,
        &[arm("DELETE", "{scope}/providers/Microsoft.Insights/diagnosticSettings/{name}")],
        "Stops sending a resource's logs somewhere",
    ),
    control(
        Op::ListDiagnosticCategories,
        &[act("Microsoft.Insights/diagnosticSettings/read")],
        Effect::Reads,
        &[arm("GET", "{scope}/providers/Microsoft.Insights/diagnosticSettingsCategories")],
        "Lists the log categories of a resource",
    ),
    control(
        Op::ListActivity,
        &[act("Microsoft.Insights/eventtypes/values/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values",
        )],
        "Lists the activity log: control-plane writes and every refusal",
    ),
    control(
        Op::QueryPolicyStates,
        &[act("Microsoft.PolicyInsights/policyStates/queryResults/action")],
        Effect::Reads,
        &[arm(
            "POST",
            "{scope}/providers/Microsoft.PolicyInsights/policyStates/{states}/queryResults",
        )],
        "Lists whether resources comply with each policy that is assigned to them",
    ),
    control(
        Op::SummarizePolicyStates,
        &[act("Microsoft.PolicyInsights/policyStates/summarize/action")],
        Effect::Reads,
        &[arm(
            "POST",
            "{scope}/providers/Microsoft.PolicyInsights/policyStates/{states}/summarize",
        )],
        "Counts the resources that comply with their policies and those that do not",
    ),
    control(
        Op::TriggerPolicyEvaluation,
        &[act("Microsoft.PolicyInsights/policyStates/triggerEvaluation/action")],
        Effect::Reads,
        &[
            arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.PolicyInsights/policyStates/latest/triggerEvaluation",
            ),
            arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.PolicyInsights/policyStates/latest/triggerEvaluation",
            ),
        ],
        "Answers that compliance is evaluated: each question does so",
    ),
    control(
        Op::GetDecision,
        &[act("Hubward.Decisions/decisions/read")],
        Effect::Reads,
        &[arm("GET", "/decisions/{id}")],
        "Shows a kept decision, gate by gate",
    ),
    // Reached through the address of `GetDecision` where the decision was about the caller itself.
    control(Op::GetOwnDecision, &[], Effect::Reads, &[], "Shows a caller a decision about itself"),
    Operation {
        body: Body::Json,
        ..control(
            Op::AskDecision,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/ask")],
            "Judges a call that nobody makes",
        )
    },
    // Needed at the hub and at the provisioning service.
    Operation {
        body: Body::Json,
        ..control(
            Op::AskWhoCan,
            &[
                act("Hubward.Decisions/decisions/read"),
                act("Microsoft.Authorization/roleAssignments/read"),
            ],
            Effect::Reads,
            &[arm("POST", "/decisions/whoCan")],
            "Tells who could do something at a place, and through what",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::DiagnoseProvisioning,
            &[act("Hubward.Decisions/decisions/read")],
            Effect::Reads,
            &[arm("POST", "/decisions/diagnose")],
            "Tells whether devices can register through a provisioning service, and what stands against it",
        )
    },
    directory(
        Op::ListApplications,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/applications")],
        "Lists applications",
    ),
    directory(
        Op::CreateApplication,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/applications")],
        "Registers an application",
    ),
    directory(
        Op::GetApplication,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/applications/{id}")],
        "Shows an application",
    ),
    directory(
        Op::PatchApplication,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", "/v1.0/applications/{id}")],
        "Changes an application",
    ),
    directory(
        Op::DeleteApplication,
        &[act("Microsoft.Directory/applications/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", "/v1.0/applications/{id}")],
        "Deletes an application and its service principal",
    ),
    directory(
        Op::AddPassword,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[
            graph("POST", "/v1.0/applications/{id}/addPassword"),
            graph("POST", "/v1.0/servicePrincipals/{id}/addPassword"),
        ],
        "Gives an application a new secret",
    ),
    directory(
        Op::RemovePassword,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[
            graph("POST", "/v1.0/applications/{id}/removePassword"),
            graph("POST", "/v1.0/servicePrincipals/{id}/removePassword"),
        ],
        "Takes a secret from an application",
    ),
    directory(
        Op::ListFederatedCredentials,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/applications/{id}/federatedIdentityCredentials")],
        "Lists the tokens of other issuers that sign an application in",
    ),
    directory(
        Op::CreateFederatedCredential,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/applications/{id}/federatedIdentityCredentials")],
        "Lets a token of another issuer sign an application in",
    ),
    directory(
        Op::GetFederatedCredential,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/applications/{id}/federatedIdentityCredentials/{credential}")],
        "Shows which token of another issuer signs an application in",
    ),
    directory(
        Op::PatchFederatedCredential,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", "/v1.0/applications/{id}/federatedIdentityCredentials/{credential}")],
        "Changes which token of another issuer signs an application in",
    ),
    directory(
        Op::DeleteFederatedCredential,
        &[act("Microsoft.Directory/applications/write")],
        Effect::ChangesFacts,
        &[graph("DELETE", "/v1.0/applications/{id}/federatedIdentityCredentials/{credential}")],
        "Lets a token of another issuer sign an application in no more",
    ),
    directory(
        Op::ListServicePrincipals,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/servicePrincipals")],
        "Lists service principals",
    ),
    directory(
        Op::CreateServicePrincipal,
        &[act("Microsoft.Directory/servicePrincipals/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/servicePrincipals")],
        "Gives an application a principal that can hold roles",
    ),
    directory(
        Op::GetServicePrincipal,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/servicePrincipals/{id}")],
        "Shows a service principal",
    ),
    directory(
        Op::PatchServicePrincipal,
        &[act("Microsoft.Directory/servicePrincipals/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", "/v1.0/servicePrincipals/{id}")],
        "Changes a service principal, switching it off among others",
    ),
    directory(
        Op::DeleteServicePrincipal,
        &[act("Microsoft.Directory/servicePrincipals/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", "/v1.0/servicePrincipals/{id}")],
        "Deletes a service principal; its role assignments stay, orphaned",
    ),
    Operation {
        body: Body::Json,
        ..directory(
            Op::GetDirectoryObjects,
            &[],
            Effect::Reads,
            &[graph("POST", "/v1.0/directoryObjects/getByIds")],
            "Looks up directory objects by their ids",
        )
    },
    directory(Op::ListUsers, &[], Effect::Reads, &[graph("GET", "/v1.0/users")], "Lists users"),
    directory(
        Op::CreateUser,
        &[act("Microsoft.Directory/users/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/users")],
        "Makes a user, who signs in with a password",
    ),
    directory(Op::GetUser, &[], Effect::Reads, &[graph("GET", "/v1.0/users/{id}")], "Shows a user"),
    directory(
        Op::PatchUser,
        &[act("Microsoft.Directory/users/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", "/v1.0/users/{id}")],
        "Changes a user; another password ends every sign-in",
    ),
    directory(
        Op::DeleteUser,
        &[act("Microsoft.Directory/users/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", "/v1.0/users/{id}")],
        "Deletes a user with every sign-in; the user's role assignments stay, orphaned",
    ),
    directory(
        Op::RevokeSignIns,
        &[act("Microsoft.Directory/users/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/users/{id}/revokeSignInSessions")],
        "Ends every sign-in of a user: no refresh token of before gets anything more",
    ),
    directory(
        Op::GetMe,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/me")],
        "Shows the user who asks",
    ),
    directory(Op::ListGroups, &[], Effect::Reads, &[graph("GET", "/v1.0/groups")], "Lists groups"),
    directory(
        Op::CreateGroup,
        &[act("Microsoft.Directory/groups/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/groups")],
        "Makes a group, with nobody in it",
    ),
    directory(
        Op::GetGroup,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/groups/{id}")],
        "Shows a group",
    ),
    directory(
        Op::PatchGroup,
        &[act("Microsoft.Directory/groups/write")],
        Effect::ChangesFacts,
        &[graph("PATCH", "/v1.0/groups/{id}")],
        "Changes a group, but not its members",
    ),
    directory(
        Op::DeleteGroup,
        &[act("Microsoft.Directory/groups/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", "/v1.0/groups/{id}")],
        "Deletes a group and who was in it; its role assignments stay, orphaned",
    ),
    directory(
        Op::ListGroupMembers,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/groups/{id}/members")],
        "Lists the members of a group, and not those of groups in it",
    ),
    directory(
        Op::AddGroupMember,
        &[act("Microsoft.Directory/groups/members/write")],
        Effect::ChangesFacts,
        &[graph("POST", "/v1.0/groups/{id}/members/$ref")],
        "Adds a user, a service principal, a managed identity or a group to a group",
    ),
    directory(
        Op::RemoveGroupMember,
        &[act("Microsoft.Directory/groups/members/delete")],
        Effect::ChangesFacts,
        &[graph("DELETE", "/v1.0/groups/{id}/members/{member}/$ref")],
        "Removes a member from a group",
    ),
    directory(
        Op::ListMemberOf,
        &[],
        Effect::Reads,
        &[
            graph("GET", "/v1.0/groups/{id}/memberOf"),
            graph("GET", "/v1.0/servicePrincipals/{id}/memberOf"),
            graph("GET", "/v1.0/users/{id}/memberOf"),
        ],
        "Lists the groups that list a principal or group",
    ),
    directory(
        Op::ListTransitiveMemberOf,
        &[],
        Effect::Reads,
        &[
            graph("GET", "/v1.0/groups/{id}/transitiveMemberOf"),
            graph("GET", "/v1.0/servicePrincipals/{id}/transitiveMemberOf"),
            graph("GET", "/v1.0/users/{id}/transitiveMemberOf"),
        ],
        "Lists the groups that a principal or group is in, directly or through others",
    ),
    Operation {
        body: Body::Json,
        ..directory(
            Op::CheckMemberGroups,
            &[],
            Effect::Reads,
            &[
                graph("POST", "/v1.0/directoryObjects/{id}/checkMemberGroups"),
                graph("POST", "/v1.0/groups/{id}/checkMemberGroups"),
                graph("POST", "/v1.0/servicePrincipals/{id}/checkMemberGroups"),
                graph("POST", "/v1.0/users/{id}/checkMemberGroups"),
            ],
            "Tells which of some groups a principal or group is in, directly or through others",
        )
    },
    Operation {
        body: Body::Json,
        ..directory(
            Op::GetMemberGroups,
            &[],
            Effect::Reads,
            &[
                graph("POST", "/v1.0/directoryObjects/{id}/getMemberGroups"),
                graph("POST", "/v1.0/groups/{id}/getMemberGroups"),
                graph("POST", "/v1.0/servicePrincipals/{id}/getMemberGroups"),
                graph("POST", "/v1.0/users/{id}/getMemberGroups"),
            ],
            "Tells the ids of the groups that a principal or group is in, directly or through others",
        )
    },
    directory(
        Op::GetOrganization,
        &[],
        Effect::Reads,
        &[graph("GET", "/v1.0/organization")],
        "Shows the tenant",
    ),
    Operation {
        op: Op::PutDevice,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/devices/write")],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[hub("PUT", "/devices/{device}")],
        says: "Creates or updates a device identity",
    },
    Operation {
        op: Op::GetDevice,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/devices/read")],
        sas: &[Right::RegistryRead],
        object: None,
        effect: Effect::Reads,
        body: Body::None,
        routes: &[hub("GET", "/devices/{device}")],
        says: "Shows a device identity",
    },
    Operation {
        op: Op::DeleteDevice,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/devices/delete")],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::None,
        routes: &[hub("DELETE", "/devices/{device}")],
        says: "Deletes a device identity",
    },
    Operation {
        op: Op::ListDevices,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/devices/read")],
        sas: &[Right::RegistryRead],
        object: None,
        effect: Effect::Reads,
        body: Body::None,
        routes: &[hub("GET", "/devices")],
        says: "Lists device identities",
    },
    Operation {
        op: Op::BulkDevices,
        plane: Plane::Service,
        actions: &[
            act("Microsoft.Devices/IotHubs/devices/write"),
            act("Microsoft.Devices/IotHubs/devices/delete"),
        ],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[hub("POST", "/devices")],
        says: "Creates, updates and deletes up to 100 device and module identities",
    },
    Operation {
        op: Op::BulkDevicesWithTwins,
        plane: Plane::Service,
        actions: &[
            act("Microsoft.Devices/IotHubs/devices/write"),
            act("Microsoft.Devices/IotHubs/devices/delete"),
            act("Microsoft.Devices/IotHubs/twins/write"),
        ],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "The same where an entry names tags or desired properties",
    },
    judged(
        service(
            Op::RegenerateKeys,
            &[act("Microsoft.Devices/IotHubs/devices/write")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("POST", "/devices/keys/regenerate")],
            "Gives up to 100 devices and modules new keys",
        ),
        "Microsoft.Devices/IotHubs/devices",
    ),
    Operation {
        op: Op::QueryDevices,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/twins/read")],
        sas: &[Right::RegistryRead, Right::ServiceConnect],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[hub("POST", "/devices/query")],
        says: "Lists what a query finds among the twins of a hub",
    },
    Operation {
        op: Op::QueryDeviceJobs,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/jobs/read")],
        sas: &[Right::ServiceConnect],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[],
        says: "Lists what a query finds among the jobs of a hub's devices",
    },
    control(
        Op::PutDps,
        &[act("Microsoft.Devices/provisioningServices/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}",
        )],
        "Creates or updates a provisioning service",
    ),
    control(
        Op::PatchDps,
        &[act("Microsoft.Devices/provisioningServices/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}",
        )],
        "Changes the tags of a provisioning service",
    ),
    control(
        Op::GetDps,
        &[act("Microsoft.Devices/provisioningServices/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}",
        )],
        "Shows a provisioning service, without its keys",
    ),
    control(
        Op::ListDps,
        &[],
        Effect::Reads,
        &[
            arm(
                "GET",
                "/subscriptions/{subscription}/providers/Microsoft.Devices/provisioningServices",
            ),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices",
            ),
        ],
        "Lists provisioning services",
    ),
    control(
        Op::DeleteDps,
        &[act("Microsoft.Devices/provisioningServices/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}",
        )],
        "Deletes a provisioning service and its enrollments",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListDpsKeys,
            &[act("Microsoft.Devices/provisioningServices/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/listkeys",
            )],
            "Lists the shared access policies of a provisioning service with their keys",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::GetDpsKey,
            &[act("Microsoft.Devices/provisioningServices/keys/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/keys/{key}/listkeys",
            )],
            "Shows one shared access policy of a provisioning service with its keys",
        )
    },
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckDpsName,
            &[act("Microsoft.Devices/checkProvisioningServiceNameAvailability/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.Devices/checkProvisioningServiceNameAvailability",
            )],
            "Tells whether the name of a provisioning service is free",
        )
    },
    control(
        Op::ListDpsCertificates,
        &[act("Microsoft.Devices/provisioningServices/certificates/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/certificates",
        )],
        "Lists the CA certificates of a provisioning service",
    ),
    control(
        Op::GetDpsCertificate,
        &[act("Microsoft.Devices/provisioningServices/certificates/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/certificates/{certificate}",
        )],
        "Shows a CA certificate of a provisioning service",
    ),
    control(
        Op::PutDpsCertificate,
        &[act("Microsoft.Devices/provisioningServices/certificates/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/certificates/{certificate}",
        )],
        "Uploads a CA certificate to a provisioning service, or replaces it",
    ),
    control(
        Op::DeleteDpsCertificate,
        &[act("Microsoft.Devices/provisioningServices/certificates/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/certificates/{certificate}",
        )],
        "Deletes a CA certificate of a provisioning service",
    ),
    control(
        Op::GenerateDpsVerificationCode,
        &[act(
            "Microsoft.Devices/provisioningServices/certificates/generateVerificationCode/action",
        )],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/certificates/{certificate}/generateVerificationCode",
        )],
        "Makes a code that a certificate of the CA is to carry as its name",
    ),
    control(
        Op::VerifyDpsCertificate,
        &[act("Microsoft.Devices/provisioningServices/certificates/verify/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}/certificates/{certificate}/verify",
        )],
        "Takes the certificate that shows who holds a CA's key",
    ),
    Operation {
        op: Op::PutEnrollment,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollments/write")],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollments"),
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[dps("PUT", "/enrollments/{enrollment}")],
        says: "Creates or updates an individual enrollment",
    },
    Operation {
        op: Op::GetEnrollment,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollments/read")],
        sas: &[Right::EnrollmentRead],
        object: None,
        effect: Effect::Reads,
        body: Body::None,
        routes: &[dps("GET", "/enrollments/{enrollment}")],
        says: "Shows an individual enrollment, without its keys",
    },
    Operation {
        op: Op::DeleteEnrollment,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollments/delete")],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollments"),
        effect: Effect::Writes,
        body: Body::None,
        routes: &[dps("DELETE", "/enrollments/{enrollment}")],
        says: "Deletes an individual enrollment",
    },
    Operation {
        op: Op::QueryEnrollments,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollments/read")],
        sas: &[Right::EnrollmentRead],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[dps("POST", "/enrollments/query")],
        says: "Lists each individual enrollment that a query asks for",
    },
    Operation {
        op: Op::GetEnrollmentKeys,
        plane: Plane::Service,
        actions: &[act(
            "Microsoft.Devices/provisioningServices/attestationmechanism/details/action",
        )],
        sas: &[Right::EnrollmentWrite],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[dps("POST", "/enrollments/{enrollment}/attestationmechanism")],
        says: "Shows the keys of an individual enrollment",
    },
    Operation {
        op: Op::PutEnrollmentGroup,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollmentGroups/write")],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollmentGroups"),
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[dps("PUT", "/enrollmentGroups/{enrollment}")],
        says: "Creates or updates an enrollment group",
    },
    Operation {
        op: Op::GetEnrollmentGroup,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollmentGroups/read")],
        sas: &[Right::EnrollmentRead],
        object: None,
        effect: Effect::Reads,
        body: Body::None,
        routes: &[dps("GET", "/enrollmentGroups/{enrollment}")],
        says: "Shows an enrollment group, without its keys",
    },
    Operation {
        op: Op::DeleteEnrollmentGroup,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollmentGroups/delete")],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollmentGroups"),
        effect: Effect::Writes,
        body: Body::None,
        routes: &[dps("DELETE", "/enrollmentGroups/{enrollment}")],
        says: "Deletes an enrollment group",
    },
    Operation {
        op: Op::QueryEnrollmentGroups,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollmentGroups/read")],
        sas: &[Right::EnrollmentRead],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[dps("POST", "/enrollmentGroups/query")],
        says: "Lists each enrollment group that a query asks for",
    },
    Operation {
        op: Op::GetEnrollmentGroupKeys,
        plane: Plane::Service,
        actions: &[act(
            "Microsoft.Devices/provisioningServices/attestationmechanism/details/action",
        )],
        sas: &[Right::EnrollmentWrite],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[dps("POST", "/enrollmentGroups/{enrollment}/attestationmechanism")],
        says: "Shows the keys of an enrollment group",
    },
    Operation {
        op: Op::BulkEnrollments,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollments/write")],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollments"),
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[dps("POST", "/enrollments")],
        says: "Creates or updates up to 10 individual enrollments",
    },
    Operation {
        op: Op::BulkDeleteEnrollments,
        plane: Plane::Service,
        actions: &[
            act("Microsoft.Devices/provisioningServices/enrollments/write"),
            act("Microsoft.Devices/provisioningServices/enrollments/delete"),
        ],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollments"),
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "Deletes up to 10 individual enrollments",
    },
    Operation {
        op: Op::BulkEnrollmentGroups,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/enrollmentGroups/write")],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollmentGroups"),
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[dps("POST", "/enrollmentGroups")],
        says: "Creates or updates up to 10 enrollment groups",
    },
    Operation {
        op: Op::BulkDeleteEnrollmentGroups,
        plane: Plane::Service,
        actions: &[
            act("Microsoft.Devices/provisioningServices/enrollmentGroups/write"),
            act("Microsoft.Devices/provisioningServices/enrollmentGroups/delete"),
        ],
        sas: &[Right::EnrollmentWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/enrollmentGroups"),
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "Deletes up to 10 enrollment groups",
    },
    Operation {
        op: Op::QueryRegistrations,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/registrationStates/read")],
        sas: &[Right::RegistrationStatusRead],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[dps("POST", "/registrations/{enrollment}/query")],
        says: "Lists what became of the registrations of an enrollment group",
    },
    Operation {
        op: Op::GetRegistration,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/registrationStates/read")],
        sas: &[Right::RegistrationStatusRead],
        object: None,
        effect: Effect::Reads,
        body: Body::None,
        routes: &[dps("GET", "/registrations/{registration}")],
        says: "Shows what became of a registration",
    },
    Operation {
        op: Op::DeleteRegistration,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/provisioningServices/registrationStates/delete")],
        sas: &[Right::RegistrationStatusWrite],
        object: Some("Microsoft.Devices/ProvisioningServices/registrationStates"),
        effect: Effect::Writes,
        body: Body::None,
        routes: &[dps("DELETE", "/registrations/{registration}")],
        says: "Forgets a registration; its device stays in the hub",
    },
    Operation {
        op: Op::RegisterDevice,
        plane: Plane::Device,
        actions: &[],
        sas: &[],
        object: None,
        effect: Effect::Calls,
        body: Body::Json,
        routes: &[
            dps("PUT", "/{idScope}/registrations/{registration}/register"),
            mqtt(Surface::Dps, "PUBLISH", "$dps/registrations/PUT/iotdps-register/"),
            amqp_dps("PUT"),
        ],
        says: "Registers a device: it proves itself, and the service writes it to a hub",
    },
    Operation {
        op: Op::GetRegistrationOperation,
        plane: Plane::Device,
        actions: &[],
        sas: &[],
        object: None,
        effect: Effect::Reads,
        body: Body::None,
        routes: &[
            dps("GET", "/{idScope}/registrations/{registration}/operations/{operation}"),
            mqtt(Surface::Dps, "PUBLISH", "$dps/registrations/GET/iotdps-get-operationstatus/"),
            amqp_dps("GET"),
        ],
        says: "Tells a device how far its registration has come",
    },
    Operation {
        op: Op::LookUpRegistration,
        plane: Plane::Device,
        actions: &[],
        sas: &[],
        object: None,
        effect: Effect::Reads,
        body: Body::Json,
        routes: &[dps("POST", "/{idScope}/registrations/{registration}")],
        says: "Tells a device where it is registered",
    },
    device(
        Op::ConnectToRegister,
        Effect::Reads,
        &[mqtt(Surface::Dps, "CONNECT", "{idScope}/registrations/{registration}")],
        "Opens a session in which a device registers",
    ),
    at_hub(
        Op::ConnectDevice,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "CONNECT", "{host}/{device}"),
            amqp("PUT-TOKEN", "/devices/{device}"),
            amqp("PUT-TOKEN", "/devices/{device}/modules/{module}"),
        ],
        "Opens a device's session, and ends the one that it had",
    ),
    Operation {
        body: Body::Raw,
        ..at_hub(
            Op::SendTelemetry,
            Effect::Appends,
            &[
                mqtt(Surface::Hub, "PUBLISH", "devices/{device}/messages/events/"),
                mqtt(Surface::Hub, "PUBLISH", "devices/{device}/modules/{module}/messages/events/"),
                amqp("SEND", "/devices/{device}/messages/events"),
                amqp("SEND", "/devices/{device}/modules/{module}/messages/events"),
                hub("POST", "/devices/{device}/messages/events"),
                hub("POST", "/devices/{device}/modules/{module}/messages/events"),
            ],
            "Keeps messages of a device or module in the hub's log",
        )
    },
    at_hub(
        Op::GetOwnTwin,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "PUBLISH", "$iothub/twin/GET/"),
            mqtt(Surface::Hub, "SUBSCRIBE", "$iothub/twin/res/#"),
            amqp("GET", "/devices/{device}/twin"),
            amqp("GET", "/devices/{device}/modules/{module}/twin"),
        ],
        "Shows a device or module its own twin",
    ),
    at_hub(
        Op::ReportProperties,
        Effect::Writes,
        &[
            mqtt(Surface::Hub, "PUBLISH", "$iothub/twin/PATCH/properties/reported/"),
            amqp("PATCH", "/devices/{device}/twin"),
            amqp("PATCH", "/devices/{device}/modules/{module}/twin"),
        ],
        "Changes the reported properties of the device or module that calls",
    ),
    at_hub(
        Op::ReceiveDesired,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "SUBSCRIBE", "$iothub/twin/PATCH/properties/desired/#"),
            amqp("PUT", "/devices/{device}/twin"),
            amqp("PUT", "/devices/{device}/modules/{module}/twin"),
        ],
        "Tells a device or module of changes of its desired properties",
    ),
    at_hub(
        Op::ReceiveMethods,
        Effect::Reads,
        &[
            mqtt(Surface::Hub, "SUBSCRIBE", "$iothub/methods/POST/#"),
            amqp("RECEIVE", "/devices/{device}/methods/devicebound"),
            amqp("RECEIVE", "/devices/{device}/modules/{module}/methods/devicebound"),
        ],
        "Hands methods that are called to a device or module, and takes its answers",
    ),
    at_hub(
        Op::ReceiveMessages,
        Effect::Writes,
        &[
            mqtt(Surface::Hub, "SUBSCRIBE", "devices/{device}/messages/devicebound/#"),
            amqp("RECEIVE", "/devices/{device}/messages/devicebound"),
            hub("GET", "/devices/{device}/messages/deviceBound"),
        ],
        "Hands a device the messages that wait for it, and settles them over MQTT and AMQP",
    ),
    at_hub(
        Op::CompleteMessage,
        Effect::Writes,
        &[hub("DELETE", "/devices/{device}/messages/deviceBound/{lock}")],
        "Completes or rejects a message that a device has received",
    ),
    at_hub(
        Op::AbandonMessage,
        Effect::Writes,
        &[hub("POST", "/devices/{device}/messages/deviceBound/{lock}/abandon")],
        "Gives a message back that a device has received",
    ),
    judged(
        service(
            Op::PutModule,
            &[act("Microsoft.Devices/IotHubs/devices/write")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("PUT", "/devices/{device}/modules/{module}")],
            "Creates or updates a module identity",
        ),
        MODULES,
    ),
    service(
        Op::GetModule,
        &[act("Microsoft.Devices/IotHubs/devices/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/devices/{device}/modules/{module}")],
        "Shows a module identity",
    ),
    judged(
        bare(service(
            Op::DeleteModule,
            &[act("Microsoft.Devices/IotHubs/devices/delete")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("DELETE", "/devices/{device}/modules/{module}")],
            "Deletes a module identity",
        )),
        MODULES,
    ),
    service(
        Op::ListModules,
        &[act("Microsoft.Devices/IotHubs/devices/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/devices/{device}/modules")],
        "Lists the module identities of a device",
    ),
    service(
        Op::GetTwin,
        &[act("Microsoft.Devices/IotHubs/twins/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/twins/{device}"), hub("GET", "/twins/{device}/modules/{module}")],
        "Shows the twin of a device or module",
    ),
    judged(
        service(
            Op::PatchTwin,
            &[act("Microsoft.Devices/IotHubs/twins/write")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("PATCH", "/twins/{device}"), hub("PATCH", "/twins/{device}/modules/{module}")],
            "Changes tags and desired properties of a twin",
        ),
        TWINS,
    ),
    judged(
        service(
            Op::ReplaceTwin,
            &[act("Microsoft.Devices/IotHubs/twins/write")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("PUT", "/twins/{device}"), hub("PUT", "/twins/{device}/modules/{module}")],
            "Replaces tags and desired properties of a twin",
        ),
        TWINS,
    ),
    service(
        Op::InvokeMethod,
        &[act("Microsoft.Devices/IotHubs/directMethods/invoke/action")],
        &[Right::ServiceConnect],
        // What it does is for the device to decide; nothing is kept, and no change of facts waits for it.
        Effect::Calls,
        &[
            hub("POST", "/twins/{device}/methods"),
            hub("POST", "/twins/{device}/modules/{module}/methods"),
        ],
        "Invokes a method of a connected device or module, and waits for its answer",
    ),
    service(
        Op::GetDigitalTwin,
        &[act("Microsoft.Devices/IotHubs/twins/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/digitaltwins/{device}")],
        "Shows the twin of a device as its model has it",
    ),
    judged(
        service(
            Op::PatchDigitalTwin,
            &[act("Microsoft.Devices/IotHubs/twins/write")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("PATCH", "/digitaltwins/{device}")],
            "Changes desired properties of a device and its components",
        ),
        TWINS,
    ),
    service(
        Op::InvokeCommand,
        &[act("Microsoft.Devices/IotHubs/directMethods/invoke/action")],
        &[Right::ServiceConnect],
        Effect::Calls,
        &[
            hub("POST", "/digitaltwins/{device}/commands/{command}"),
            hub("POST", "/digitaltwins/{device}/components/{component}/commands/{command}"),
        ],
        "Invokes a command of a connected device or of one of its components",
    ),
    judged(
        service(
            Op::PutJob,
            &[act("Microsoft.Devices/IotHubs/jobs/write")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("PUT", "/jobs/v2/{job}")],
            "Schedules a method or a change of twins for many devices",
        ),
        JOBS,
    ),
    service(
        Op::GetJob,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/jobs/v2/{job}")],
        "Shows a scheduled job",
    ),
    judged(
        bare(service(
            Op::CancelJob,
            &[act("Microsoft.Devices/IotHubs/jobs/delete")],
            &[Right::ServiceConnect],
            Effect::Writes,
            &[hub("POST", "/jobs/v2/{job}/cancel")],
            "Cancels a scheduled job",
        )),
        JOBS,
    ),
    service(
        Op::QueryJobs,
        &[act("Microsoft.Devices/IotHubs/jobs/read")],
        &[Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/jobs/v2/query")],
        "Lists scheduled jobs",
    ),
    judged(
        service(
            Op::PutConfiguration,
            &[act("Microsoft.Devices/IotHubs/configurations/write")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("PUT", "/configurations/{configuration}")],
            "Creates or updates a configuration",
        ),
        CONFIGURATIONS,
    ),
    service(
        Op::GetConfiguration,
        &[act("Microsoft.Devices/IotHubs/configurations/read")],
        &[Right::RegistryRead, Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/configurations/{configuration}")],
        "Shows a configuration",
    ),
    service(
        Op::ListConfigurations,
        &[act("Microsoft.Devices/IotHubs/configurations/read")],
        &[Right::RegistryRead, Right::ServiceConnect],
        Effect::Reads,
        &[hub("GET", "/configurations")],
        "Lists configurations",
    ),
    judged(
        bare(service(
            Op::DeleteConfiguration,
            &[act("Microsoft.Devices/IotHubs/configurations/delete")],
            &[Right::RegistryWrite],
            Effect::Writes,
            &[hub("DELETE", "/configurations/{configuration}")],
            "Deletes a configuration; what it brought to devices stays there",
        )),
        CONFIGURATIONS,
    ),
    Operation {
        body: Body::Json,
        ..service(
            Op::TestConfigurationQueries,
            &[act("Microsoft.Devices/IotHubs/configurations/testQueries/action")],
            &[Right::RegistryRead],
            Effect::Reads,
            &[hub("POST", "/configurations/testQueries")],
            "Tells what is wrong with the queries of a configuration",
        )
    },
    service(
        Op::ApplyConfiguration,
        &[act("Microsoft.Devices/IotHubs/configurations/applyToEdgeDevice/action")],
        &[Right::RegistryWrite],
        Effect::Writes,
        &[hub("POST", "/devices/{device}/applyConfigurationContent")],
        "Brings the content of a configuration to one device",
    ),
    service(
        Op::SendMessage,
        &[act("Microsoft.Devices/IotHubs/cloudToDeviceMessages/send/action")],
        &[Right::ServiceConnect],
        Effect::Writes,
        // Azure takes these over AMQP alone; the address over HTTPS is ours.
        &[
            hub("POST", "/devices/{device}/messages/deviceBound"),
            amqp("SEND", "/messages/devicebound"),
        ],
        "Sends a message to a device",
    ),
    bare(service(
        Op::ReceiveFeedback,
        FEEDBACK,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[
            hub("GET", "/messages/serviceBound/feedback"),
            amqp("RECEIVE", "/messages/serviceBound/feedback"),
        ],
        "Receives what became of messages to devices",
    )),
    bare(service(
        Op::CompleteFeedback,
        FEEDBACK,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[
            hub("DELETE", "/messages/serviceBound/feedback/{lock}"),
            amqp("ACCEPT", "/messages/serviceBound/feedback"),
        ],
        "Settles feedback that was received",
    )),
    bare(service(
        Op::AbandonFeedback,
        FEEDBACK,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[
            hub("POST", "/messages/serviceBound/feedback/{lock}/abandon"),
            amqp("RELEASE", "/messages/serviceBound/feedback"),
        ],
        "Gives feedback back that was received",
    )),
    bare(service(
        Op::ReceiveFileNotification,
        FILE_NOTIFICATIONS,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[amqp("RECEIVE", "/messages/serviceBound/filenotifications")],
        "Receives that a device has uploaded a file",
    )),
    bare(service(
        Op::CompleteFileNotification,
        FILE_NOTIFICATIONS,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[amqp("ACCEPT", "/messages/serviceBound/filenotifications")],
        "Settles a notification that was received",
    )),
    bare(service(
        Op::AbandonFileNotification,
        FILE_NOTIFICATIONS,
        &[Right::ServiceConnect],
        Effect::Writes,
        &[amqp("RELEASE", "/messages/serviceBound/filenotifications")],
        "Gives a notification back that was received",
    )),
    bare(service(
        Op::PurgeMessages,
        &[act("Microsoft.Devices/IotHubs/cloudToDeviceMessages/queue/purge/action")],
        &[Right::ServiceConnect],
        Effect::Writes,
        &[hub("DELETE", "/devices/{device}/commands")],
        "Deletes the messages that wait for a device",
    )),
    service(
        Op::GetDeviceStatistics,
        &[act("Microsoft.Devices/IotHubs/statistics/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/statistics/devices")],
        "Shows how many devices there are",
    ),
    service(
        Op::GetServiceStatistics,
        &[act("Microsoft.Devices/IotHubs/statistics/read")],
        &[Right::RegistryRead],
        Effect::Reads,
        &[hub("GET", "/statistics/service")],
        "Shows how many devices are connected",
    ),
    Operation {
        sas: Right::HUB,
        ..events(
            Op::ConnectService,
            &[amqp("PUT-TOKEN", "/")],
            "Takes the credential of a service that comes over AMQP",
        )
    },
    events(
        Op::ConnectToEvents,
        &[amqp("PUT-TOKEN", "/{eventHub}")],
        "Takes the credential of a service that reads what devices have sent",
    ),
    events(
        Op::FindEvents,
        &[
            amqp("RECEIVE", "/messages/events"),
            amqp("RECEIVE", "/messages/events/$management"),
            amqp("RECEIVE", "/messages/events/ConsumerGroups/{group}/Partitions/{partition}"),
        ],
        "Tells where to read what devices have sent",
    ),
    events(
        Op::GetEventHub,
        &[amqp("READ com.microsoft:eventhub", "/{eventHub}/$management")],
        "Shows into which partitions go what devices send",
    ),
    events(
        Op::GetEventHubPartition,
        &[amqp("READ com.microsoft:partition", "/{eventHub}/$management")],
        "Shows how far a partition of what devices have sent reaches",
    ),
    events(
        Op::ReadEvents,
        &[amqp("RECEIVE", "/{eventHub}/ConsumerGroups/{group}/Partitions/{partition}")],
        "Reads what devices have sent, from a place in a partition on, and what they go on to send",
    ),
    events(
        Op::WatchEvents,
        // Azure has no such address: this one is for people at a terminal.
        &[hub("GET", "/messages/events/partitions/{partition}")],
        "Shows what devices have sent, a page at a time",
    ),
    // What a provisioning service does at a hub, as itself. It has no address: a registration leads to it.
    Operation {
        op: Op::ProvisionDevice,
        plane: Plane::Service,
        actions: &[act("Microsoft.Devices/IotHubs/devices/write")],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "Writes a device that registered through a provisioning service",
    },
    Operation {
        op: Op::ProvisionDeviceWithTwin,
        plane: Plane::Service,
        actions: &[
            act("Microsoft.Devices/IotHubs/devices/write"),
            act("Microsoft.Devices/IotHubs/twins/write"),
        ],
        sas: &[Right::RegistryWrite],
        object: DEVICES,
        effect: Effect::Writes,
        body: Body::Json,
        routes: &[],
        says: "Writes a device that registered through a provisioning service, and its initial twin",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_one_row_and_no_two_share_an_address() {
        let mut seen = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for row in OPERATIONS {
            assert!(seen.insert(row.op), "{:?} stands twice", row.op);
            assert!(!row.says.is_empty(), "{:?}", row.op);
            let inner = [
                Op::GetOwnDecision,
                Op::BulkDevicesWithTwins,
                Op::QueryDeviceJobs,
                Op::BulkDeleteEnrollments,
                Op::BulkDeleteEnrollmentGroups,
                Op::ProvisionDevice,
                Op::ProvisionDeviceWithTwin,
            ];
            assert_eq!(row.routes.is_empty(), inner.contains(&row.op), "{:?}", row.op);
            for route in row.routes {
                let key =
                    (format!("{:?}", route.surface), route.method, route.path.to_ascii_lowercase());
                assert!(addresses.insert(key), "{:?} shares {route:?}", row.op);
            }
        }
    }

    #[test]
    fn every_operation_is_found_by_its_number_and_by_its_name() {
        for row in OPERATIONS {
            assert_eq!(operation(row.op).op, row.op);
            assert_eq!(named(&row.name()).map(|it| it.op), Some(row.op));
        }
        assert!(named("PutDevices").is_none());
    }

    #[test]
    fn policy_judges_writes_and_deletions_but_not_what_it_could_lock_out() {
        for row in OPERATIONS {
            let does = |verb: &str| row.actions.iter().any(|it| it.ends_in(verb));
            let is_policy = row.actions.iter().any(|it| it.as_str().starts_with(POLICIES));
            let is_kept = !matches!(row.plane, Plane::Control | Plane::Service)
                || is_policy
                || matches!(row.op, Op::DeleteLock | Op::DeleteDenyAssignment);
            let moves = matches!(row.op, Op::MoveResources | Op::ValidateMoveResources);
            let expected = (does("write") || does("delete") || moves) && !is_kept;
            assert_eq!(row.is_judged_by_policy(), expected, "{:?}", row.op);
        }
        for op in [Op::PutLock, Op::DeleteDevice, Op::BulkDevices, Op::DeleteRoleAssignment] {
            assert!(operation(op).is_judged_by_policy(), "{op:?}");
        }
    }

    #[test]
    fn only_services_and_devices_of_a_hub_use_keys_and_services_name_a_policy_object() {
        for row in OPERATIONS {
            let is_device = row.plane == Plane::Device && row.surface() == Surface::Hub;
            assert_eq!(
                row.plane == Plane::Service || is_device,
                !row.sas.is_empty(),
                "{:?}",
                row.op
            );
            assert!(!is_device || row.sas == [Right::DeviceConnect], "{:?}", row.op);
            assert!(row.object.is_none() || row.plane == Plane::Service, "{:?}", row.op);
            // Keys alone, or whoever is signed in: what a link leads to is asked when it is attached.
            let needs_none = row.takes_keys_only() || row.op == Op::ConnectService;
            let has_none = row.plane == Plane::Service && row.actions.is_empty();
            assert_eq!(has_none, needs_none, "{:?}", row.op);
        }
    }

    #[test]
    fn rights_are_read_and_written_in_their_wire_form() {
        let rights = Right::parse_list("ServiceConnect,RegistryRead", Right::HUB).unwrap();
        assert_eq!(Right::join(&rights), "RegistryRead, ServiceConnect");
        assert_eq!(Right::parse_list("RegistryRead, Everything", Right::HUB), None);
        assert_eq!(Right::parse_list("", Right::HUB), None);
        assert!(Right::RegistryWrite.covers(Right::RegistryRead));
        assert!(!Right::RegistryRead.covers(Right::RegistryWrite));
    }
}
