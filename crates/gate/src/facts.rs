//! What the gates decide by: one immutable value, shared by every call until a change makes the next.
//!
//! A change clones the outer value (a handful of `Arc`s) and the one map that it touches. The counters
//! are the exception to immutability: they count look-ups, so that a test can show that none happened.

mod applications;
mod assignments;
mod granted;
mod groups;
mod management;
mod people;
mod places;
mod proofs;
mod resources;
mod roles;
mod shards;
mod sign_in;
mod targets;

pub use applications::{Application, FederatedCredential};
pub(crate) use assignments::Held;
pub use assignments::RoleAssignments;
pub(crate) use granted::{Says, numbered};
pub use groups::{Group, Groups, Membership};
pub use management::{LEVELS_MAX, ManagementGroup, ManagementGroups, management_group};
pub use people::{People, Person};
pub use proofs::{Authority, Counts, OwnCertificate, OwnKeys, OwnProof};
pub use resources::{IdentityEndpoint, UserAssigned};
pub(crate) use roles::Seen;
pub use roles::{Granting, List, Permission, Role, RoleAssignment};
pub use sign_in::{DeviceAnswer, DeviceCode, GivenCode, SignIn};
pub use targets::{Entity, Target, TargetKind};

use crate::conditional_access::ConditionalAccess;
use crate::deny::DenyAssignment;
use crate::locks::Lock;
use crate::network::NetworkRules;
use crate::policy::{Bound, Exemption, Initiative, PolicyAssignment, PolicyDefinition};
use granted::AllGranted;
use model::operations::Right;
use model::security::SecurityDefaults;
use model::{ObjectId, Place, PrincipalKind, Scope, Secret, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Hashes what a decision looks up: quickly, and by a seed of each table that nobody outside sees. What it
/// keeps is named by those who may write roles, groups and hubs, and never by a device.
type Quick = foldhash::fast::RandomState;

/// A directory object that can call.
#[derive(Clone, Debug)]
pub struct Principal {
    pub id: ObjectId,
    pub kind: PrincipalKind,
    pub app_id: Option<ObjectId>,
    /// The name for people; of a user the one to sign in with.
    pub display_name: String,
    pub is_enabled: bool,
    /// The resource whose managed identity it is, where it is one.
    pub resource: Option<Scope>,
}

/// An application's secret as it is kept: salted and hashed.
#[derive(Clone, Debug)]
pub struct SecretHash {
    pub key_id: ObjectId,
    pub salt: Vec<u8>,
    /// SHA-256 of salt and secret. Secrets are made by the server with 256 random bits.
    pub hash: Vec<u8>,
    pub expires: Timestamp,
}

/// A certificate with whose key an application may sign its client assertions. Who issued it does not count,
/// as in Entra: it is trusted because it was registered.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub key_id: ObjectId,
    /// SHA-256 and SHA-1 of its DER: the names that clients point at it by.
    pub sha256: Vec<u8>,
    pub sha1: Vec<u8>,
    /// RSA public key as `RSAPublicKey`, DER.
    pub public_der: Vec<u8>,
    pub starts: Timestamp,
    pub expires: Timestamp,
}

impl Certificate {
    /// The SHA-1 thumbprint as people know it: it is what portals, `az` and Windows show.
    pub fn thumbprint(&self) -> String {
        self.sha1.iter().map(|it| format!("{it:02X}")).collect()
    }
}

/// Another issuer, whose keys the operator has put here.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    pub issuer: String,
    pub keys: Vec<VerifyingKey>,
}

/// A shared access policy of a hub: a name, rights and two keys.
#[derive(Clone, Debug)]
pub struct SasPolicy {
    pub name: String,
    pub rights: Vec<Right>,
    /// Decoded from base64.
    pub primary: Secret<Vec<u8>>,
    pub secondary: Secret<Vec<u8>>,
}

/// The keys that open a service without a directory, and whether they still do.
#[derive(Clone, Debug, Default)]
pub struct SharedAccess {
    pub is_disabled: bool,
    /// Devices' own keys are switched off (`disableDeviceSAS`).
    pub is_disabled_for_devices: bool,
    /// Modules' own keys are switched off (`disableModuleSAS`).
    pub is_disabled_for_modules: bool,
    /// Who has switched off keys, and when, where that is known.
    pub off: Option<Arc<SwitchedOff>>,
    pub policies: Vec<SasPolicy>,
}

/// When keys of policies were switched off, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchedOff {
    pub since: Timestamp,
    /// A name for people.
    pub by: String,
}

/// What the gates know of a hub.
#[derive(Clone, Debug)]
pub struct Hub {
    pub scope: Scope,
    /// The stable id under which its shard is kept; never reused.
    pub uid: String,
    /// The host name that clients use, without a port.
    pub host: String,
    pub location: String,
    pub access: SharedAccess,
    pub authorities: Vec<Authority>,
    /// What its devices are held to that have no security policy of their own, where anything was said.
    pub security: Option<Arc<SecurityDefaults>>,
    pub network: NetworkRules,
    /// The version of what it says of where its messages go, where it says anything. No gate looks at it.
    pub routing: Option<u64>,
}

/// What the gates know of a provisioning service.
#[derive(Clone, Debug)]
pub struct Dps {
    pub scope: Scope,
    /// The stable id under which its shard is kept; never reused.
    pub uid: String,
    pub host: String,
    /// What devices name it by, whatever the address: `0ne` and 8 hexadecimal digits.
    pub id_scope: String,
    pub location: String,
    pub access: SharedAccess,
    /// Its system-assigned identity, where it has one.
    pub identity: Option<ObjectId>,
    /// The principals of the user-assigned ones that it has attached, by their lower-case ids. One may be gone since.
    pub user_assigned: BTreeMap<String, ObjectId>,
    /// The hubs that it assigns devices to, in their order.
    pub links: Vec<DpsLink>,
    /// The CAs that its enrollments may refer to.
    pub authorities: Vec<Authority>,
    pub network: NetworkRules,
    /// For enrollments that have no policy of their own.
    pub allocation: Allocation,
}

/// How a provisioning service chooses among its hubs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocation {
    #[default]
    Hashed,
    GeoLatency,
    Static,
}

/// A hub that a provisioning service assigns devices to.
#[derive(Clone, Debug)]
pub struct DpsLink {
    /// The hub's host name in lower case, without a port. The hub may have been deleted since.
    pub hub: String,
    pub authentication: LinkAuthentication,
    /// 1 to 1000: the hub's share of what is spread evenly.
    pub weight: u32,
    /// False where only an enrollment that names the hub leads to it.
    pub applies_allocation_policy: bool,
}

/// How a provisioning service proves itself to a hub; a key is decoded from base64.
#[derive(Clone, Debug)]
pub enum LinkAuthentication {
    /// With a key of one of the hub's shared access policies.
    KeyBased { policy: String, key: Secret<Vec<u8>> },
    /// As its own identity.
    SystemAssigned,
    /// As an identity that it has attached.
    UserAssigned { identity: Scope },
}

/// Whoever answers at an address of its own.
#[derive(Clone, Copy, Debug)]
pub enum Instance<'a> {
    Hub(&'a Arc<Hub>),
    Dps(&'a Arc<Dps>),
    Target(&'a Arc<Target>),
}

/// A public key that tokens may be signed with.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    pub key_id: String,
    /// PKCS#1 `RSAPublicKey`, DER.
    pub public_der: Vec<u8>,
}

/// Look-ups that happened since the server started. Only ever grow.
#[derive(Debug, Default)]
pub struct Lookups {
    pub policy: AtomicU64,
    pub role: AtomicU64,
    pub resource: AtomicU64,
}

impl Lookups {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// All that the gates decide by.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Counts changes: a trace names the version that it was judged by.
    pub epoch: u64,
    pub tenant: ObjectId,
    /// `https://host:port` of the management origin, without a trailing slash.
    pub origin: String,
    /// Those that this server signs with, or has signed with.
    pub keys: Arc<Vec<VerifyingKey>>,
    /// Those of others, by which federated credentials are proven. Read at start.
    pub issuers: Arc<Vec<TrustedIssuer>>,
    /// By port: which identity applications of this machine get tokens of there. Set at start.
    pub identity_endpoints: Arc<BTreeMap<u16, IdentityEndpoint>>,
    /// Whether security policies need roles that name them; without it they match as everything does.
    pub has_explicit_grants: bool,
    pub principals: Arc<HashMap<ObjectId, Principal>>,
    pub people: Arc<People>,
    pub applications: Arc<HashMap<ObjectId, Application>>,
    pub groups: Arc<Groups>,
    /// What is asked where tokens are issued.
    pub conditional_access: Arc<ConditionalAccess>,
    pub roles: Arc<HashMap<ObjectId, Arc<Role>>>,
    /// What they grant, action by action. Each key of `roles` is one of it.
    granted: AllGranted,
    pub role_assignments: RoleAssignments,
    /// By principal or group: taken away, and not seen to be by every view. Empty where changes count at once.
    pub faded: Arc<HashMap<ObjectId, Vec<Arc<RoleAssignment>>>>,
    /// By lower-case id.
    pub deny_assignments: Arc<BTreeMap<String, Arc<DenyAssignment>>>,
    pub management: Arc<ManagementGroups>,
    /// By lower-case id.
    pub policy_definitions: Arc<HashMap<String, Arc<PolicyDefinition>>>,
    /// The keys of those that may change what is written: where there are none, no write asks further.
    pub changing_definitions: Arc<BTreeSet<String>>,
    /// By lower-case id.
    pub initiatives: Arc<HashMap<String, Arc<Initiative>>>,
    /// By lower-case id.
    pub policy_assignments: Arc<BTreeMap<String, Arc<PolicyAssignment>>>,
    /// What assignments bring, once a decision has asked.
    pub(crate) bound_policies: Arc<OnceLock<Vec<Bound>>>,
    /// By lower-case id.
    pub policy_exemptions: Arc<BTreeMap<String, Arc<Exemption>>>,
    /// By lower-case id.
    pub locks: Arc<BTreeMap<String, Arc<Lock>>>,
    /// By lower-case scope.
    pub hubs: Arc<BTreeMap<String, Arc<Hub>>>,
    /// The same by place, of which two may share a number: what is not found here may be there.
    hubs_by_place: Arc<HashMap<Place, Arc<Hub>, Quick>>,
    /// By lower-case scope.
    pub provisioning: Arc<BTreeMap<String, Arc<Dps>>>,
    /// By lower-case scope.
    pub user_assigned: Arc<BTreeMap<String, Arc<UserAssigned>>>,
    pub targets: Arc<BTreeMap<String, Arc<Target>>>,
    /// By lower-case scope: what lies in targets. A role may be held there.
    pub entities: Arc<BTreeMap<String, Arc<Entity>>>,
    /// By lower-case scope of the rule or storage account that they are of: the keys that open targets.
    pub target_keys: Arc<BTreeMap<String, Arc<SasPolicy>>>,
    /// Host name to lower-case scope of who answers there.
    pub hosts: Arc<HashMap<String, String>>,
    /// Lower-case scopes of subscriptions and resource groups that exist.
    pub containers: Arc<BTreeMap<String, Scope>>,
    /// By lower-case scope: what the expressions of policies see of a subscription or resource group.
    pub container_documents: Arc<BTreeMap<String, Arc<Value>>>,
    pub lookups: Arc<Lookups>,
}

impl Facts {
    /// A tenant with its built-in roles and nothing else.
    pub fn new(tenant: ObjectId, origin: impl Into<String>) -> Self {
        let mut facts = Self {
            epoch: 0,
            tenant,
            origin: origin.into(),
            keys: Arc::default(),
            issuers: Arc::default(),
            identity_endpoints: Arc::default(),
            has_explicit_grants: true,
            principals: Arc::default(),
            people: Arc::default(),
            applications: Arc::default(),
            groups: Arc::default(),
            conditional_access: Arc::default(),
            roles: Arc::default(),
            granted: Arc::default(),
            role_assignments: RoleAssignments::default(),
            faded: Arc::default(),
            deny_assignments: Arc::default(),
            management: Arc::default(),
            policy_definitions: Arc::default(),
            changing_definitions: Arc::default(),
            initiatives: Arc::default(),
            policy_assignments: Arc::default(),
            bound_policies: Arc::default(),
            policy_exemptions: Arc::default(),
            locks: Arc::default(),
            hubs: Arc::default(),
            hubs_by_place: Arc::default(),
            provisioning: Arc::default(),
            user_assigned: Arc::default(),
            targets: Arc::default(),
            entities: Arc::default(),
            target_keys: Arc::default(),
            hosts: Arc::default(),
            containers: Arc::default(),
            container_documents: Arc::default(),
            lookups: Arc::default(),
        };
        for row in model::roles::BUILTIN_ROLES {
            if let Some(id) = ObjectId::parse(row.id) {
                facts.put_role(roles::builtin(id, row));
            }
        }
        facts.with_root_group()
    }

    /// The same facts with counters of their own.
    #[must_use]
    pub(crate) fn uncounted(&self) -> Self {
        Self { lookups: Arc::default(), ..self.clone() }
    }

    pub fn put_principal(&mut self, principal: Principal) {
        Arc::make_mut(&mut self.principals).insert(principal.id, principal);
    }

    pub fn remove_principal(&mut self, id: ObjectId) {
        Arc::make_mut(&mut self.principals).remove(&id);
    }

    pub fn put_application(&mut self, application: Application) {
        Arc::make_mut(&mut self.applications).insert(application.app_id, application);
    }

    pub fn remove_application(&mut self, app_id: ObjectId) {
        Arc::make_mut(&mut self.applications).remove(&app_id);
    }

    pub fn put_role(&mut self, role: Role) {
        Arc::make_mut(&mut self.granted).insert(role.id, OnceLock::new());
        Arc::make_mut(&mut self.roles).insert(role.id, Arc::new(role));
    }

    pub fn remove_role(&mut self, id: ObjectId) {
        Arc::make_mut(&mut self.granted).remove(&id);
        Arc::make_mut(&mut self.roles).remove(&id);
    }

    pub fn put_role_assignment(&mut self, assignment: RoleAssignment) {
        self.role_assignments.put(assignment);
    }

    /// `id` is the full id, in any casing.
    pub fn remove_role_assignment(&mut self, id: &str) {
        self.role_assignments.remove(id);
    }

    /// Goes on counting what was taken away `at` that time, for views that have not seen it.
    pub fn fade_role_assignment(&mut self, assignment: &RoleAssignment, at: Timestamp) {
        let faded = RoleAssignment { deleted: Some(at), ..assignment.clone() };
        let all = Arc::make_mut(&mut self.faded);
        all.entry(faded.principal).or_default().push(Arc::new(faded));
    }

    /// Drops what was taken away before a time: every view has seen it.
    pub fn forget_faded(&mut self, before: Timestamp) {
        if self.faded.is_empty() {
            return;
        }
        Arc::make_mut(&mut self.faded).retain(|_, held| {
            held.retain(|it| it.deleted.is_some_and(|at| at >= before));
            !held.is_empty()
        });
    }

    pub fn put_hub(&mut self, hub: Hub) {
        self.remove_hub(&hub.scope);
        Arc::make_mut(&mut self.hosts).insert(hub.host.to_ascii_lowercase(), hub.scope.key());
        let hub = Arc::new(hub);
        Arc::make_mut(&mut self.hubs_by_place).insert(hub.scope.place(), hub.clone());
        Arc::make_mut(&mut self.hubs).insert(hub.scope.key(), hub);
    }

    pub fn remove_hub(&mut self, scope: &Scope) {
        if let Some(hub) = Arc::make_mut(&mut self.hubs).remove(&scope.key()) {
            Arc::make_mut(&mut self.hosts).remove(&hub.host.to_ascii_lowercase());
            Arc::make_mut(&mut self.hubs_by_place).remove(&scope.place());
        }
    }

    pub fn put_dps(&mut self, dps: Dps) {
        self.remove_dps(&dps.scope);
        Arc::make_mut(&mut self.hosts).insert(dps.host.to_ascii_lowercase(), dps.scope.key());
        Arc::make_mut(&mut self.provisioning).insert(dps.scope.key(), Arc::new(dps));
    }

    pub fn remove_dps(&mut self, scope: &Scope) {
        if let Some(dps) = Arc::make_mut(&mut self.provisioning).remove(&scope.key()) {
            Arc::make_mut(&mut self.hosts).remove(&dps.host.to_ascii_lowercase());
        }
    }

    pub fn dps(&self, scope: &Scope) -> Option<&Arc<Dps>> {
        self.provisioning.get(&scope.key())
    }

    /// Who answers at a host name. `localhost` is the first hub of the tenant by age of its uid.
    pub fn instance_at(&self, host: &str) -> Option<Instance<'_>> {
        let host = host.to_ascii_lowercase();
        match self.hosts.get(&host) {
            Some(key) => match self.hubs.get(key) {
                Some(hub) => Some(Instance::Hub(hub)),
                None => {
                    let dps = self.provisioning.get(key).map(Instance::Dps);
                    dps.or_else(|| self.targets.get(key).map(Instance::Target))
                }
            },
            None if host == "localhost" || host == "127.0.0.1" || host == "::1" => {
                self.hubs.values().min_by(|a, b| a.uid.cmp(&b.uid)).map(Instance::Hub)
            }
            None => None,
        }
    }

    pub fn hub(&self, scope: &Scope) -> Option<&Arc<Hub>> {
        let found = self.hubs_by_place.get(&scope.place()).filter(|it| it.scope.same_place(scope));
        found.or_else(|| self.hubs.get(&scope.key()))
    }

    /// The hub that answers to a host name, see [`Facts::instance_at`].
    pub fn hub_at(&self, host: &str) -> Option<&Arc<Hub>> {
        match self.instance_at(host)? {
            Instance::Hub(hub) => Some(hub),
            Instance::Dps(_) | Instance::Target(_) => None,
        }
    }
}
