//! The same world for the gates, and the same question.

use gate::deny::{DenyAssignment, Whom};
use gate::facts::{
    Group, Hub, ManagementGroup, OwnKeys, OwnProof, Permission, Principal, Role, RoleAssignment,
    SasPolicy, SharedAccess,
};
use gate::jwt::Claims;
use gate::locks::{Level, Lock};
use gate::network::NetworkRules;
use gate::policy::{Declared, Exemption, PolicyAssignment, PolicyDefinition, Values, parse_rules};
use gate::{Ask, Authenticated, Door, Facts, Link, authenticate, judge_claims};
use model::error::{Denial, DenialKind};
use model::principal::AuthType;
use model::trace::{Caller, Channel, Gate, Object, Replica, Step, Trace, TraceHead, Verb};
use model::{
    ActionName, ActionPattern, Credential, ObjectId, Op, PrincipalKind, Scope, Secret, Timestamp,
    TrackingId,
};
use oracle::request::{Token, Who};
use oracle::{Answer, Plane, Request, World, world};
use serde_json::json;
use std::sync::{Arc, LazyLock};

const ORIGIN: &str = "https://127.70.1.1:8443";
const KEY: [u8; 32] = [1; 32];
const OTHER_KEY: [u8; 32] = [3; 32];
const AUTHORIZATION: &str = "/providers/Microsoft.Authorization";

/// The built-in roles are read once and not for each world.
static EMPTY: LazyLock<Facts> = LazyLock::new(|| Facts::new(id(OWN_TENANT), ORIGIN));
const OWN_TENANT: &str = "99990000-0000-4000-8000-000000000001";

pub fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

pub fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// The id of something that lies at a scope.
fn below(scope: &str, kind: &str, name: &str) -> String {
    format!("{}{AUTHORIZATION}/{kind}/{name}", scope.trim_end_matches('/'))
}

pub fn facts(world: &World) -> Facts {
    let mut facts = match world.tenant == OWN_TENANT {
        true => EMPTY.clone(),
        false => Facts::new(id(&world.tenant), ORIGIN),
    };
    // Every tenant has the built-in roles; here the world says which there are.
    facts.roles = Arc::default();
    put(&mut facts, world);
    facts
}

/// The facts of a tenant that looked otherwise before.
pub fn changed(before: &World, world: &World) -> Facts {
    let mut facts = facts(before);
    before.hubs.iter().for_each(|it| facts.remove_hub(&scope(&it.scope)));
    let is_kept = |id: &str| world.groups.iter().any(|it| it.id == id);
    for it in before.groups.iter().filter(|it| !is_kept(&it.id)) {
        facts.remove_group(id(&it.id));
    }
    before.roles.iter().for_each(|it| facts.remove_role(id(&it.id)));
    for it in &before.role_assignments {
        facts.remove_role_assignment(&below(&it.scope, "roleAssignments", &it.name));
    }
    facts.forget_faded(at(i64::MAX));
    for it in &before.deny_assignments {
        facts.remove_deny_assignment(&below(&it.scope, "denyAssignments", &it.name));
    }
    for it in &before.definitions {
        facts.remove_policy_definition(&below("/", "policyDefinitions", &it.name));
    }
    for it in &before.policy_assignments {
        facts.remove_policy_assignment(&below(&it.scope, "policyAssignments", &it.name));
    }
    for it in &before.exemptions {
        facts.remove_policy_exemption(&below(&it.scope, "policyExemptions", &it.name));
    }
    for it in &before.locks {
        facts.remove_lock(&below(&it.scope, "locks", &it.name));
    }
    put(&mut facts, world);
    facts
}

fn put(facts: &mut Facts, world: &World) {
    facts.has_explicit_grants = world.has_explicit_grants;
    put_places(facts, world);
    put_directory(facts, world);
    put_roles(facts, world);
    put_policies(facts, world);
    for it in &world.locks {
        facts.put_lock(Lock {
            id: below(&it.scope, "locks", &it.name),
            name: it.name.clone(),
            scope: scope(&it.scope),
            level: if it.is_read_only { Level::ReadOnly } else { Level::CanNotDelete },
        });
    }
}

fn put_places(facts: &mut Facts, world: &World) {
    for it in world.management_groups.iter().filter(|it| it.parent.is_some()) {
        facts.put_management_group(ManagementGroup {
            name: it.name.clone(),
            display_name: it.name.clone(),
            parent: it.parent.clone(),
        });
    }
    for it in &world.subscriptions {
        facts.put_subscription(&it.id, it.management_group.as_deref());
    }
    for it in &world.hubs {
        let policies = it.policies.iter().map(|it| SasPolicy {
            name: it.name.clone(),
            rights: it.rights.iter().map(|it| right(*it)).collect(),
            primary: Secret::new(vec![2; 32]),
            secondary: Secret::new(KEY.to_vec()),
        });
        facts.put_hub(Hub {
            scope: scope(&it.scope),
            uid: it.scope.clone(),
            host: it.host.clone(),
            location: "westus".into(),
            access: SharedAccess {
                is_disabled: it.is_local_auth_disabled,
                is_disabled_for_devices: false,
                is_disabled_for_modules: false,
                off: None,
                policies: policies.collect(),
            },
            authorities: Vec::new(),
            security: None,
            routing: None,
            network: NetworkRules::default(),
        });
    }
}

pub fn right(right: oracle::Right) -> model::operations::Right {
    match right {
        oracle::Right::RegistryRead => model::operations::Right::RegistryRead,
        oracle::Right::RegistryWrite => model::operations::Right::RegistryWrite,
        oracle::Right::ServiceConnect => model::operations::Right::ServiceConnect,
        oracle::Right::DeviceConnect => model::operations::Right::DeviceConnect,
    }
}

fn put_directory(facts: &mut Facts, world: &World) {
    for it in &world.principals {
        facts.put_principal(Principal {
            id: id(&it.id),
            kind: match it.kind.as_str() {
                "User" => PrincipalKind::User,
                "ManagedIdentity" => PrincipalKind::ManagedIdentity,
                _ => PrincipalKind::ServicePrincipal,
            },
            app_id: it.app_id.as_deref().map(id),
            display_name: it.id.clone(),
            is_enabled: true,
            resource: None,
        });
    }
    for it in &world.groups {
        facts.put_group(Group {
            id: id(&it.id),
            display_name: it.id.clone(),
            members: it.members.iter().map(|it| id(it)).collect(),
        });
    }
}

fn permissions(blocks: &[world::Permission]) -> Vec<Permission> {
    let patterns =
        |texts: &[String]| texts.iter().map(|it| ActionPattern::new(it)).collect::<Vec<_>>();
    blocks
        .iter()
        .map(|it| Permission {
            actions: patterns(&it.actions),
            not_actions: patterns(&it.not_actions),
            data_actions: patterns(&it.data_actions),
            not_data_actions: patterns(&it.not_data_actions),
            condition: None,
        })
        .collect()
}

fn put_roles(facts: &mut Facts, world: &World) {
    for it in &world.roles {
        facts.put_role(Role {
            id: id(&it.id),
            name: it.id.clone(),
            is_builtin: it.is_owner,
            permissions: permissions(&it.permissions),
            assignable_scopes: vec![Scope::root()],
        });
    }
    for it in &world.role_assignments {
        let assignment = RoleAssignment {
            id: below(&it.scope, "roleAssignments", &it.name),
            name: it.name.clone(),
            principal: id(&it.principal),
            role: id(&it.role),
            scope: scope(&it.scope),
            created: at(it.created_ms),
            condition: None,
            deleted: None,
        };
        match it.deleted_ms {
            Some(deleted) => facts.fade_role_assignment(&assignment, at(deleted)),
            None => facts.put_role_assignment(assignment),
        }
    }
    for it in &world.deny_assignments {
        facts.put_deny_assignment(DenyAssignment {
            id: below(&it.scope, "denyAssignments", &it.name),
            name: it.name.clone(),
            scope: scope(&it.scope),
            is_at_scope_only: it.is_at_scope_only,
            permissions: permissions(&it.permissions),
            whom: match &it.principals {
                None => Whom::Everyone,
                Some(all) => Whom::These(all.iter().map(|it| id(it)).collect()),
            },
            excluded: it.excluded.iter().map(|it| id(it)).collect(),
        });
    }
}

fn put_policies(facts: &mut Facts, world: &World) {
    for it in &world.definitions {
        let rules = match it.rules.is_empty() {
            true => Vec::new(),
            false => parse_rules(&json!({ "policyRules": it.rules })).unwrap(),
        };
        facts.put_policy_definition(PolicyDefinition {
            id: below("/", "policyDefinitions", &it.name),
            name: it.name.clone(),
            display_name: String::new(),
            version: "1.0.0".into(),
            parameters: Declared::default(),
            rules,
        });
    }
    for it in &world.policy_assignments {
        let definition_id = below("/", "policyDefinitions", &it.definition);
        facts.put_policy_assignment(PolicyAssignment {
            id: below(&it.scope, "policyAssignments", &it.name),
            name: it.name.clone(),
            display_name: String::new(),
            scope: scope(&it.scope),
            not_scopes: it.not_scopes.iter().map(|it| scope(it)).collect(),
            definition_key: definition_id.to_ascii_lowercase(),
            definition_id,
            is_enforced: it.is_enforced,
            parameters: Values::default(),
            messages: Vec::new(),
            overrides: Vec::new(),
            resource_selectors: Vec::new(),
        });
    }
    for it in &world.exemptions {
        // One that names no assignment lifts none.
        let lifted = world.policy_assignments.iter().find(|of| of.name == it.assignment);
        facts.put_policy_exemption(Exemption {
            id: below(&it.scope, "policyExemptions", &it.name),
            name: it.name.clone(),
            scope: scope(&it.scope),
            assignment_id: lifted
                .map_or_else(String::new, |it| below(&it.scope, "policyAssignments", &it.name)),
            expires: it.expires_ms.map(at),
            principal_ids: it.principal_ids.iter().map(|it| id(it)).collect(),
            reference_ids: Vec::new(),
            resource_selectors: Vec::new(),
        });
    }
}

/// A request in the gates' own types.
pub struct Question {
    pub operation: &'static model::Operation,
    pub scope: Scope,
    pub objects: Vec<Object>,
    pub linked: Vec<Link>,
    pub head: TraceHead,
}

impl Question {
    pub fn new(request: &Request) -> Self {
        let verb = if request.operation.writes.is_some() { Verb::Write } else { Verb::Delete };
        let objects = request.objects.iter().map(|it| Self::object(it, verb));
        let linked = request
            .linked
            .iter()
            .map(|it| Link { action: ActionName::new(it.action), scope: scope(&it.scope) });
        Self {
            operation: row(request.operation),
            scope: scope(&request.scope),
            objects: objects.collect(),
            linked: linked.collect(),
            head: TraceHead {
                id: TrackingId(uuid::Uuid::nil()),
                time: at(request.now_ms),
                correlation_id: String::new(),
                channel: Channel { protocol: "https".into(), ..Channel::default() },
                replica: request.view.map(|it| Replica {
                    index: 0,
                    delay_s: it.delay_s,
                    is_healed_by_token: it.is_healed_by_token,
                }),
            },
        }
    }

    pub fn object(object: &oracle::request::Object, verb: Verb) -> Object {
        Object {
            kind: object.kind.clone(),
            name: object.name.clone(),
            id: object.id.clone(),
            body: object.body.clone(),
            verb,
        }
    }

    pub fn ask<'a>(&'a self, caller: &'a Caller) -> Ask<'a> {
        Ask {
            objects: &self.objects,
            linked: &self.linked,
            ..Ask::new(self.operation, &self.scope, caller, &self.head)
        }
    }
}

/// The product's row of an operation.
pub fn row(operation: &oracle::Operation) -> &'static model::Operation {
    model::operations::named(operation.name).unwrap()
}

/// Who calls, as authentication proves it; or its refusal.
pub fn caller(
    request: &Request,
    question: &Question,
    facts: &Facts,
) -> Result<(Caller, Step), Box<gate::Refusal>> {
    let hub = facts.hub(&question.scope);
    let resource = format!("{}/devices/d1", hub.map_or("", |it| &it.host));
    // The device is there, and nobody here has its key.
    let own = [OwnProof::Keys(OwnKeys {
        name: "d1".into(),
        via: None,
        primary: Secret::new(vec![0; 32]),
        secondary: Secret::new(vec![0; 32]),
        is_enabled: true,
    })];
    let door = Door {
        access: hub.map(|it| &it.access),
        own: &own,
        resource: &resource,
        ..Door::new(question.operation, &question.scope, &question.head)
    };
    match &request.who {
        Who::Principal { id: who, token } => judge_claims(&claims(who, token, facts), &door, facts),
        Who::Key { policy, is_signed, is_for_this_hub, expires_s } => {
            let host = hub.filter(|_| *is_for_this_hub).map_or("other", |it| &it.host);
            let key = if *is_signed { KEY } else { OTHER_KEY };
            let expiry = Timestamp::from_seconds(*expires_s);
            let text = wire::sas::sign(host, &key, expiry, Some(policy));
            let token = Credential::Sas(wire::sas::parse(&text).unwrap());
            let proven = authenticate(&token, &door, facts)?;
            Ok((proven.caller().clone(), proven.step().clone()))
        }
        Who::Device(name) => Ok((
            Caller {
                kind: PrincipalKind::Device,
                name: name.clone(),
                auth: AuthType::Sas,
                ..Caller::anyone()
            },
            proven().step().clone(),
        )),
    }
}

fn claims(who: &str, token: &Token, facts: &Facts) -> Claims {
    let tenant = match token.is_of_this_tenant {
        true => facts.tenant.to_string(),
        false => "00000000-0000-4000-8000-000000000000".into(),
    };
    let who = id(who);
    Claims {
        issuer: format!("{ORIGIN}/{tenant}/v2.0"),
        tenant,
        audience: token.audience.clone(),
        object_id: Some(who),
        app_id: facts.principals.get(&who).and_then(|it| it.app_id),
        issued: at(token.issued_ms),
        not_before: token.not_before_ms.map(at),
        expires: token.expires_ms.map(at),
    }
}

/// A proof, which admission asks for; the caller that is judged stands in the question.
pub fn proven() -> &'static Authenticated {
    static PROVEN: LazyLock<Authenticated> = LazyLock::new(|| {
        let root = Scope::root();
        let head = TraceHead {
            id: TrackingId(uuid::Uuid::nil()),
            time: at(0),
            correlation_id: String::new(),
            channel: Channel::default(),
            replica: None,
        };
        let door = Door::new(model::operations::operation(Op::ReadEndpoints), &root, &head);
        authenticate(&Credential::None, &door, &EMPTY).unwrap()
    });
    &PROVEN
}

/// The gates' answer in the words of the other.
pub fn answer(denial: Option<&Denial>, trace: &Trace) -> Answer {
    let code = trace.outcome.code.as_str();
    // The evaluator's codes are constants: an unknown one is a mismatch, told by its name.
    let code = CODES.iter().find(|it| **it == code).copied().unwrap_or("another code");
    let gate = trace.outcome.gate.map(|it| match it {
        // What the oracle knows nothing of: it issues no tokens.
        Gate::Authentication | Gate::ConditionalAccess => oracle::Gate::Authentication,
        Gate::Policy => oracle::Gate::Policy,
        Gate::Access => oracle::Gate::Access,
        Gate::Resource => oracle::Gate::Resource,
    });
    let mut denied_by = match denial.map(|it| &it.kind) {
        Some(DenialKind::Policy { assignments, .. }) => assignments.clone(),
        _ => Vec::new(),
    };
    denied_by.sort();
    Answer { gate, status: trace.outcome.status, code, denied_by, is_on_record: false }
}

const CODES: [&str; 16] = [
    "OK",
    "AuthorizationFailed",
    "AuthenticationFailed",
    "DenyAssignmentAuthorizationFailed",
    "DeviceRegistrationDenied",
    "ExpiredAuthenticationToken",
    "InvalidAuthenticationToken",
    "InvalidAuthenticationTokenAudience",
    "InvalidAuthenticationTokenTenant",
    "IotHubNotFound",
    "IotHubUnauthorized",
    "IotHubUnauthorizedAccess",
    "LinkedAuthorizationFailed",
    "RequestDisallowedByPolicy",
    "ScopeLocked",
    "ResourceNotFound",
];

pub fn plane(plane: Plane) -> model::Plane {
    match plane {
        Plane::Control => model::Plane::Control,
        Plane::Data => model::Plane::Service,
        Plane::Directory => model::Plane::Directory,
        Plane::Device => model::Plane::Device,
    }
}
