//! Would the rules stop a device that a provisioning service registers?

use super::{Code, Warning, place};
use crate::decide::{Ask, Judgement, judge};
use crate::facts::{Dps, Facts, Group, Hub, Principal, Role, RoleAssignment, SharedAccess};
use crate::network::NetworkRules;
use crate::policy::{Effect, PolicyAssignment, PolicyDefinition, Values};
use model::operations::operation;
use model::principal::AuthType;
use model::trace::{Caller, Channel, EnrollmentKind, Finding, Object, TraceHead, Verb};
use model::{Gate, ObjectId, Op, PrincipalKind, Scope, Timestamp, TrackingId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most callers that are tried as the provisioning service.
const CANDIDATES_MAX: usize = 100;

pub(super) const NAME: &str = "linted";
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const TWINS: &str = "Microsoft.Devices/IotHubs/twins";
/// What the made-up device is called. A rule about some names alone is not about every registration.
const DEVICE: &str = "any-device";

/// What is asked about.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) properties: &'a Value,
    pub(super) definition: &'a PolicyDefinition,
    pub(super) given: &'a Values,
    pub(super) identities: &'a [ObjectId],
}

/// How a device comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    pub(super) enrollment: EnrollmentKind,
    pub(super) protocol: &'static str,
    pub(super) has_twin: bool,
}

pub(super) fn ways() -> impl Iterator<Item = Way> {
    [EnrollmentKind::Individual, EnrollmentKind::Group].into_iter().flat_map(|enrollment| {
        ["https", "mqtt"].into_iter().flat_map(move |protocol| {
            [false, true].into_iter().map(move |has_twin| Way { enrollment, protocol, has_twin })
        })
    })
}

/// Whom the rules may take for the provisioning service.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: ObjectId,
    scope: Scope,
    groups: BTreeSet<ObjectId>,
}

impl Candidate {
    /// One that nothing is said of.
    pub(super) fn stranger() -> Self {
        let scope = subscription()
            .join("resourceGroups/group/providers/Microsoft.Devices/provisioningServices/dps");
        Self { id: ObjectId(uuid::Uuid::from_u128(1)), scope, groups: BTreeSet::new() }
    }
}

pub(super) fn subscription() -> Scope {
    Scope::subscription("00000000-0000-0000-0000-000000000000")
}

pub(super) fn hub() -> Scope {
    subscription().join("resourceGroups/group/providers/Microsoft.Devices/IotHubs/hub")
}

pub(super) fn definition_id() -> String {
    let path = format!("providers/Microsoft.Authorization/policyDefinitions/{NAME}");
    subscription().join(&path).as_str().to_owned()
}

/// One that nothing is said of, and each that the rules name: by its object id, by its own, as one of a group.
pub(super) fn candidates(told: &Told<'_>) -> Vec<Candidate> {
    let stranger = Candidate::stranger();
    let nobody = stranger.id;
    let one = |id| Candidate { id, ..stranger.clone() };
    if !told.identities.is_empty() {
        return told.identities.iter().map(|it| one(*it)).collect();
    }
    let (mut ids, mut services) = (BTreeSet::new(), Vec::new());
    named(told.properties, &mut ids, &mut services);
    let mut all = vec![one(nobody)];
    all.extend(ids.iter().map(|it| one(*it)));
    all.extend(services.into_iter().map(|scope| Candidate { scope, ..one(nobody) }));
    if !ids.is_empty() {
        all.push(Candidate { groups: ids, ..one(nobody) });
    }
    all.truncate(CANDIDATES_MAX);
    all
}

/// The ids of principals and of provisioning services in any text of a value.
fn named(value: &Value, ids: &mut BTreeSet<ObjectId>, services: &mut Vec<Scope>) {
    match value {
        Value::String(text) => match (ObjectId::parse(text), Scope::parse(text)) {
            (Some(id), _) => drop(ids.insert(id)),
            (None, Ok(scope)) => {
                let kind = scope.resource_type().unwrap_or_default();
                if kind.eq_ignore_ascii_case("Microsoft.Devices/provisioningServices") {
                    services.push(scope);
                }
            }
            (None, Err(_)) => {}
        },
        Value::Array(all) => all.iter().for_each(|it| named(it, ids, services)),
        Value::Object(all) => all.values().for_each(|it| named(it, ids, services)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A hub, a service with every role on it, and the definition assigned above both.
pub(super) fn world(definition: &PolicyDefinition, given: &Values, who: &Candidate) -> Facts {
    let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
    let access = || SharedAccess {
        is_disabled: false,
        is_disabled_for_devices: false,
        is_disabled_for_modules: false,
        off: None,
        policies: Vec::new(),
    };
    facts.put_hub(Hub {
        scope: hub(),
        uid: "hub".into(),
        host: "hub".into(),
        location: String::new(),
        access: access(),
        authorities: Vec::new(),
        security: None,
        routing: None,
        network: NetworkRules::default(),
    });
    facts.put_dps(Dps {
        scope: who.scope.clone(),
        uid: "dps".into(),
        host: "dps".into(),
        id_scope: "0ne00000000".into(),
        location: String::new(),
        access: access(),
        identity: Some(who.id),
        user_assigned: std::collections::BTreeMap::new(),
        links: Vec::new(),
        authorities: Vec::new(),
        network: NetworkRules::default(),
        allocation: crate::facts::Allocation::default(),
    });
    facts.put_principal(Principal {
        id: who.id,
        kind: PrincipalKind::ManagedIdentity,
        app_id: None,
        display_name: "a provisioning service".into(),
        is_enabled: true,
        resource: None,
    });
    for id in &who.groups {
        facts.put_group(Group { id: *id, display_name: id.to_string(), members: [who.id].into() });
    }
    require(definition, &mut facts);
    let roles: Vec<ObjectId> = facts.roles.keys().copied().collect();
    for role in roles {
        facts.put_role_assignment(RoleAssignment {
            id: format!("/held/{role}"),
            name: role.to_string(),
            principal: who.id,
            role,
            scope: Scope::root(),
            created: Timestamp::default(),
            condition: None,
            deleted: None,
        });
    }
    facts.put_policy_definition(definition.clone());
    let path = format!("providers/Microsoft.Authorization/policyAssignments/{NAME}");
    facts.put_policy_assignment(PolicyAssignment {
        id: subscription().join(&path).as_str().to_owned(),
        name: NAME.into(),
        display_name: String::new(),
        scope: subscription(),
        not_scopes: Vec::new(),
        definition_key: definition.id.to_ascii_lowercase(),
        definition_id: definition.id.clone(),
        is_enforced: true,
        parameters: given.clone(),
        messages: Vec::new(),
        overrides: Vec::new(),
        resource_selectors: Vec::new(),
    });
    facts
}

/// Roles of one's own that are required are taken to exist: a file does not tell.
fn require(definition: &PolicyDefinition, facts: &mut Facts) {
    let required = definition.rules.iter().filter_map(|it| it.required.as_ref());
    let names: Vec<String> =
        required.flat_map(|it| it.literals()).map(|(_, it)| it.to_owned()).collect();
    for (number, name) in (1_000u128..).zip(names) {
        if !crate::policy::is_role(&name, facts) {
            facts.put_role(Role {
                id: ObjectId::parse(name.rsplit('/').next().unwrap_or(""))
                    .unwrap_or(ObjectId(uuid::Uuid::from_u128(number))),
                name,
                is_builtin: false,
                permissions: Vec::new(),
                assignable_scopes: Vec::new(),
            });
        }
    }
}

/// The service as its hub knows it.
pub(super) fn identity(id: ObjectId, app_id: Option<ObjectId>, name: &str) -> Caller {
    Caller {
        kind: PrincipalKind::ManagedIdentity,
        object_id: Some(id),
        app_id,
        name: name.to_owned(),
        auth: AuthType::Entra,
        signed_in: "not at all: nobody calls".into(),
        ..Caller::anyone()
    }
}

/// What the gates say to the service that writes the device.
pub(super) fn registers(
    way: Way,
    caller: &Caller,
    hub: &Scope,
    id_scope: &str,
    facts: &Facts,
    now: Timestamp,
) -> Judgement {
    let id = format!("{hub}/devices/{DEVICE}");
    let object = |kind: &str, body: Value| Object {
        kind: kind.to_owned(),
        name: DEVICE.to_owned(),
        id: id.clone(),
        body,
        verb: Verb::Write,
    };
    let device = json!({ "deviceId": DEVICE, "status": "enabled", "statusReason": null,
        "authentication": { "type": "sas" }, "capabilities": { "iotEdge": false } });
    let mut objects = vec![object(DEVICES, device)];
    let op = match way.has_twin {
        true => {
            objects.push(object(TWINS, json!({ "tags": {}, "properties": { "desired": {} } })));
            Op::ProvisionDeviceWithTwin
        }
        false => Op::ProvisionDevice,
    };
    let mut head = head(format!("PUT /{id_scope}/registrations/{DEVICE}/register"), now);
    head.channel.protocol = way.protocol.to_owned();
    head.channel.enrollment = Some(way.enrollment);
    judge(&Ask { objects: &objects, ..Ask::new(operation(op), hub, caller, &head) }, facts)
}

pub(super) fn head(request: String, now: Timestamp) -> TraceHead {
    let channel = Channel { request, ..Channel::default() };
    TraceHead::new(TrackingId(uuid::Uuid::nil()), now, channel)
}

/// What denies by policy, where one does.
pub(super) fn denying(judged: &Judgement) -> Option<&Finding> {
    judged.denial.as_ref().filter(|it| it.gate == Gate::Policy)?;
    judged.trace.deciding()
}

/// Warnings about rules that nobody gets past who could be the provisioning service.
pub(super) fn stopped(told: &Told<'_>) -> Vec<Warning> {
    let candidates: Vec<(Candidate, Facts)> = candidates(told)
        .into_iter()
        .map(|it| (it.clone(), world(told.definition, told.given, &it)))
        .collect();
    let mut by_rule: BTreeMap<usize, (Vec<Way>, String)> = BTreeMap::new();
    for way in ways() {
        let judged: Vec<Judgement> = candidates
            .iter()
            .map(|(who, facts)| {
                let caller = identity(who.id, None, "a provisioning service");
                registers(way, &caller, &hub(), "0ne00000000", facts, Timestamp::default())
            })
            .collect();
        // Given identities must all get through; of those that are guessed at one is enough.
        let refused = match told.identities.is_empty() {
            true if judged.iter().any(|it| denying(it).is_none()) => None,
            _ => judged.iter().find_map(denying),
        };
        if let Some(found) = refused {
            let rule = found.rule.as_ref().map_or(0, |it| it.index);
            let entry = by_rule.entry(rule).or_insert_with(|| (Vec::new(), found.reason.clone()));
            entry.0.push(way);
        }
    }
    let rules = by_rule.into_iter();
    rules.map(|(rule, (ways, reason))| warning(told, rule, &ways, &reason)).collect()
}

fn warning(told: &Told<'_>, rule: usize, ways: &[Way], reason: &str) -> Warning {
    let is_error = reason.contains("cannot be evaluated");
    let why = if is_error { reason.to_owned() } else { format!("rule {rule} denies it") };
    let allow = json!({ "if": { "field": "identity.serviceName",
        "equals": "Device Provisioning Service" }, "then": { "effect": Effect::Allow.as_str() } });
    Warning {
        at: place(told.properties, rule),
        rule: Some(rule),
        code: Code::StopsProvisioning,
        because: format!(
            "a device that registers through a provisioning service{} would be refused: {why}",
            which(ways)
        ),
        advice: format!(
            "put a rule before it that lets the service through, as {allow}, or except its identity in the \
             rule's own condition"
        ),
    }
}

/// Which registrations, where it is not all of them.
pub(super) fn which(stopped: &[Way]) -> String {
    let all = |fits: &dyn Fn(&Way) -> bool| stopped.iter().all(fits);
    let mut words = String::new();
    if all(&|it| it.enrollment == EnrollmentKind::Group) {
        words.push_str(" by an enrollment group");
    } else if all(&|it| it.enrollment == EnrollmentKind::Individual) {
        words.push_str(" by an individual enrollment");
    }
    if all(&|it| it.protocol == "mqtt") {
        words.push_str(" over MQTT");
    } else if all(&|it| it.protocol == "https") {
        words.push_str(" over HTTPS");
    }
    if all(&|it| it.has_twin) {
        words.push_str(" with an initial twin");
    }
    words
}
