//! Section 2: does the provisioning service reach the hub and prove itself there, and do enrollments lead
//! to it?

use super::case::{Case, without_policies};
use super::identity;
use super::{Check, Mark, Section, check};
use crate::advice::{Fix, quoted};
use crate::devices::names::host_name;
use crate::env::Env;
use crate::proving::Proving;
use crate::provisioning::allocation;
use gate::Facts;
use gate::facts::{Dps, DpsLink, Hub, LinkAuthentication};
use model::operations::{Right, operation};
use model::principal::AuthType;
use model::trace::{Caller, TraceHead};
use model::{Gate, ObjectId, Op, PrincipalKind, Scope};
use subtle::ConstantTimeEq as _;

pub(super) const NAME: &str = "DPS integration permissions";

/// The policy that `az iot dps linked-hub create` takes a key of.
const OWNER_POLICY: &str = "iothubowner";

/// How the service shows itself to the hub.
#[derive(Clone, Debug)]
pub(super) enum How {
    Unlinked,
    ByIdentity {
        /// A user-assigned one; `None` for the service's own.
        identity: Option<Scope>,
        place: usize,
    },
    ByKey {
        policy: String,
        /// Where the link stands among the service's.
        place: usize,
    },
}

/// Whether it proves itself there, and as whom.
pub(super) struct Proof<'a> {
    pub(super) how: How,
    link: Option<&'a DpsLink>,
    /// Where nobody is proven, whoever is meant.
    pub(super) caller: Caller,
    /// Why authentication refuses, in the words of its gate.
    pub(super) fault: Option<String>,
}

impl<'a> Proof<'a> {
    pub(super) fn of(env: &Env, facts: &Facts, dps: &'a Dps, hub: &Hub, head: &TraceHead) -> Self {
        let found =
            dps.links.iter().enumerate().find(|(_, it)| hub.host.eq_ignore_ascii_case(&it.hub));
        let Some((place, link)) = found else {
            let caller = identity::meant(facts, dps, None);
            return Self { how: How::Unlinked, link: None, caller, fault: None };
        };
        let how = match &link.authentication {
            LinkAuthentication::SystemAssigned => How::ByIdentity { identity: None, place },
            LinkAuthentication::UserAssigned { identity } => {
                How::ByIdentity { identity: Some(identity.clone()), place }
            }
            LinkAuthentication::KeyBased { policy, .. } => {
                How::ByKey { policy: policy.clone(), place }
            }
        };
        let (caller, fault) = match prove(env, facts, dps, link, hub, head) {
            Ok(caller) => (caller, None),
            Err(fault) => {
                let meant = match &how {
                    How::ByKey { policy, .. } => key_of(hub, policy),
                    How::ByIdentity { .. } | How::Unlinked => {
                        identity::meant(facts, dps, Some(link))
                    }
                };
                (meant, Some(fault))
            }
        };
        Self { how, link: Some(link), caller, fault }
    }

    /// The principal behind the link, where it has one, whether that is still there or not.
    pub(super) fn signs_in_as(&self, dps: &Dps) -> Option<ObjectId> {
        self.link.and_then(|it| dps.signs_in_as(it))
    }
}

/// Shows the credential of the link at the hub, as a registration does.
fn prove(
    env: &Env,
    facts: &Facts,
    dps: &Dps,
    link: &DpsLink,
    hub: &Hub,
    head: &TraceHead,
) -> Result<Caller, String> {
    let credential = allocation::credential(env, dps, link, hub)?;
    let proving = Proving {
        operation: operation(Op::ProvisionDevice),
        host: &hub.host,
        path: "/devices",
        credential: &credential,
        own: &[],
        looked_up: &gate::LookedUp::Nothing,
        wanted: "",
    };
    match proving.prove(env, facts, &hub.scope, head) {
        Ok(who) => Ok(who.caller().clone()),
        Err(refusal) => Err(refusal.denial.message),
    }
}

/// A key of the policy, with the rights that it has today.
fn key_of(hub: &Hub, policy: &str) -> Caller {
    let known = hub.access.policies.iter().find(|it| it.name.eq_ignore_ascii_case(policy));
    Caller {
        kind: PrincipalKind::SasKey,
        object_id: None,
        app_id: None,
        name: policy.to_owned(),
        auth: AuthType::Sas,
        signed_in: "not at all: a diagnosis takes the key as given".into(),
        token_issued: None,
        via: None,
        rights: known.map_or_else(Vec::new, |it| it.rights.clone()),
    }
}

pub(super) fn section(case: &Case<'_>) -> Section {
    let mut checks = match &case.proof.how {
        How::Unlinked => unlinked(case),
        How::ByIdentity { identity, .. } => by_identity(case, identity.as_ref()),
        How::ByKey { policy, .. } => by_key(case, policy),
    };
    let is_linked_well = checks.iter().all(|it| it.mark != Mark::Fail);
    checks.extend(networks(case));
    checks.extend(enrollments(case));
    let failed: Vec<&str> =
        checks.iter().filter(|it| it.mark == Mark::Fail).map(|it| it.says.as_str()).collect();
    let says = match failed.first() {
        None => format!(
            "`{}` reaches `{}` and proves itself there",
            case.dps.scope.name(),
            case.hub.scope.name()
        ),
        Some(first) => (*first).to_owned(),
    };
    let verdict = Mark::of(failed.is_empty());
    let mut fixes = if is_linked_well { Vec::new() } else { fixes(case) };
    fixes.extend(first_enrollment(case));
    Section { name: NAME, verdict, says, checks, rights: Vec::new(), findings: Vec::new(), fixes }
}

fn unlinked(case: &Case<'_>) -> Vec<Check> {
    let named = |it: &DpsLink| match case.facts.hub_at(&it.hub) {
        Some(hub) => format!("`{}`", hub.scope.name()),
        None => format!("`{}`, which is gone", it.hub),
    };
    let linked: Vec<String> = case.dps.links.iter().map(named).collect();
    let besides = match linked.is_empty() {
        true => "no hub is".to_owned(),
        false => format!("linked: {}", linked.join(", ")),
    };
    let hub = case.hub.scope.name();
    vec![check(
        Mark::Fail,
        format!("`{hub}` is not linked to `{}`; {besides}", case.dps.scope.name()),
    )]
}

fn by_identity(case: &Case<'_>, identity: Option<&Scope>) -> Vec<Check> {
    let how = match identity {
        None => "by the service's own identity (`SystemAssigned`)".to_owned(),
        Some(id) => format!("by the identity `{}` (`UserAssigned`)", id.name()),
    };
    let mut checks = vec![link_check(case, &how)];
    let identity = match identity {
        None => identity::own(case),
        Some(id) => identity::attached(case, id),
    };
    // Whatever else the gate may find.
    let is_told = identity.mark == Mark::Fail;
    checks.push(identity);
    checks.extend(case.proof.fault.as_ref().filter(|_| !is_told).map(|it| check(Mark::Fail, it)));
    checks
}

fn link_check(case: &Case<'_>, how: &str) -> Check {
    let share = case.proof.link.map_or_else(String::new, |it| match it.applies_allocation_policy {
        true => format!("weight {}", it.weight),
        false => "for enrollments that name it alone".to_owned(),
    });
    check(Mark::Pass, format!("`{}` is linked {how}, {share}", case.hub.scope.name()))
}

fn by_key(case: &Case<'_>, policy: &str) -> Vec<Check> {
    let hub = case.hub.scope.name();
    let how = format!("by a key of its shared access policy `{policy}` (`KeyBased`)");
    let mut checks = vec![link_check(case, &how)];
    if case.hub.access.is_disabled {
        let says = format!("keys are switched off at `{hub}` (`disableLocalAuth`)");
        checks.push(check(Mark::Fail, says));
    }
    let known = case.hub.access.policies.iter().find(|it| it.name.eq_ignore_ascii_case(policy));
    let Some(known) = known else {
        let says = format!("`{hub}` has no shared access policy `{policy}` any more");
        checks.push(check(Mark::Fail, says));
        return checks;
    };
    // With keys switched off the gate looks at none, so whether this one is current is compared here.
    let is_current = match case.proof.link.map(|it| &it.authentication) {
        Some(LinkAuthentication::KeyBased { key, .. }) => {
            let is = |it: &[u8]| bool::from(it.ct_eq(key.reveal().as_slice()));
            is(known.primary.reveal()) | is(known.secondary.reveal())
        }
        Some(LinkAuthentication::SystemAssigned | LinkAuthentication::UserAssigned { .. })
        | None => false,
    };
    checks.push(match is_current {
        true => check(Mark::Pass, format!("the key is one of the two that `{policy}` has")),
        false => check(Mark::Fail, format!("the key is none that `{policy}` has: it was renewed")),
    });
    let rights = Right::join(&known.rights);
    let refused = case.refused_at(Gate::Access, &without_policies(case.facts));
    checks.push(match refused.is_empty() {
        true => check(Mark::Pass, format!("`{policy}` holds {rights}, which is enough")),
        false => {
            let needed: Vec<&str> =
                case.widest().operation.sas.iter().map(|it| it.as_str()).collect();
            let needed = needed.join(" or ");
            check(Mark::Fail, format!("`{policy}` holds {rights}; registrations take {needed}"))
        }
    });
    checks
}

/// Network rules stand against nothing here, and devices come from where nobody knows.
fn networks(case: &Case<'_>) -> Vec<Check> {
    let (dps, hub) = (case.dps.scope.name(), case.hub.scope.name());
    let mut checks = Vec::new();
    if !case.dps.network.is_open() {
        let says =
            format!("`{dps}` has network rules: devices register from where it lets them in");
        checks.push(check(Mark::Note, says));
    }
    if !case.hub.network.is_open() {
        let says = format!(
            "`{hub}` has network rules: they let `{dps}` in, which calls from within, and devices from where they say"
        );
        checks.push(check(Mark::Note, says));
    }
    checks
}

fn enrollments(case: &Case<'_>) -> Vec<Check> {
    let it = case.enrolled;
    let hub = case.hub.scope.name();
    let mut checks = Vec::new();
    let partly = match it.read < it.all {
        true => format!("; only the first {} were read", it.read),
        false => String::new(),
    };
    let counts = format!("{} in all, {} disabled{partly}", it.all, it.disabled);
    checks.push(match it.leading {
        0 if it.read < it.all => check(
            Mark::Warning,
            format!("none of the enrollments that were read leads to `{hub}` ({counts})"),
        ),
        0 => check(Mark::Fail, format!("no enabled enrollment leads to `{hub}` ({counts})")),
        1 => check(Mark::Pass, format!("1 enabled enrollment leads to `{hub}` ({counts})")),
        more => check(Mark::Pass, format!("{more} enabled enrollments lead to `{hub}` ({counts})")),
    });
    for (id, hosts) in &it.astray {
        let says =
            format!("the enrollment `{id}` names {hosts}, and no hub of that name is linked");
        checks.push(check(Mark::Warning, says));
    }
    checks
}

/// A change that may help, before it is tried.
pub(super) struct Proposal {
    pub(super) says: String,
    pub(super) command: String,
    /// The facts with it; `None` where it makes an identity, whose id nobody knows yet.
    pub(super) changed: Option<Facts>,
    pub(super) warning: Option<String>,
}

fn fixes(case: &Case<'_>) -> Vec<Fix> {
    let proposals = match &case.proof.how {
        How::Unlinked => vec![link(case)],
        How::ByIdentity { identity: None, .. } if case.dps.identity.is_none() => vec![Proposal {
            says: format!("give `{}` an identity", case.dps.scope.name()),
            command: update(case),
            changed: None,
            warning: None,
        }],
        // An identity that was taken from the directory comes back with its service alone.
        How::ByIdentity { identity: None, .. } => Vec::new(),
        How::ByIdentity { identity: Some(id), place } => {
            let own = without_key(case, *place).filter(|_| case.dps.identity.is_some());
            identity::mended(case, id).into_iter().chain(own).collect()
        }
        How::ByKey { place, .. } => {
            let other = match case.hub.access.is_disabled {
                true => Some(keys_on(case)),
                false => current_key(case, *place),
            };
            without_key(case, *place).into_iter().chain(other).collect()
        }
    };
    let tried = proposals.into_iter().filter_map(|it| {
        let then = then(case, it.changed.as_ref())?;
        Some(Fix { says: it.says, command: it.command, then, warning: it.warning })
    });
    tried.collect()
}

/// The command that changes the service, with an identity for it where it has none.
fn update(case: &Case<'_>) -> String {
    let identity = match case.dps.identity {
        Some(_) => "",
        None => " --set identity.type=SystemAssigned",
    };
    format!("az resource update --ids {}{identity}", quoted(case.dps.scope.as_str()))
}

fn link(case: &Case<'_>) -> Proposal {
    let link = DpsLink {
        hub: case.hub.host.to_ascii_lowercase(),
        authentication: LinkAuthentication::SystemAssigned,
        weight: 1,
        applies_allocation_policy: true,
    };
    Proposal {
        says: format!("link `{}` by the service's own identity", case.hub.scope.name()),
        command: format!(
            "{} --add properties.iotHubs hostName={} authenticationType=SystemAssigned",
            update(case),
            quoted(&case.hub.host)
        ),
        changed: case.dps.identity.map(|_| with_link(case, case.dps.links.len(), link)),
        warning: None,
    }
}

fn without_key(case: &Case<'_>, place: usize) -> Option<Proposal> {
    let link =
        DpsLink { authentication: LinkAuthentication::SystemAssigned, ..case.proof.link?.clone() };
    let set = format!("properties.iotHubs[{place}].authenticationType=SystemAssigned");
    Some(Proposal {
        says: "link it by the service's own identity, which needs no key".into(),
        command: format!("{} --set {}", update(case), quoted(&set)),
        changed: case.dps.identity.map(|_| with_link(case, place, link)),
        warning: None,
    })
}

fn keys_on(case: &Case<'_>) -> Proposal {
    let mut hub = case.hub.clone();
    hub.access.is_disabled = false;
    let mut changed = case.facts.clone();
    changed.put_hub(hub);
    Proposal {
        says: format!("switch keys on again at `{}`", case.hub.scope.name()),
        command: format!(
            "az resource update --ids {} --set properties.disableLocalAuth=false",
            quoted(case.hub.scope.as_str())
        ),
        changed: Some(changed),
        warning: Some("whoever holds a key of the hub can use it again".into()),
    }
}

fn current_key(case: &Case<'_>, place: usize) -> Option<Proposal> {
    let all = &case.hub.access.policies;
    let owner = all.iter().find(|it| it.name.eq_ignore_ascii_case(OWNER_POLICY))?;
    let former = case.proof.link?;
    let link = DpsLink {
        authentication: LinkAuthentication::KeyBased {
            policy: owner.name.clone(),
            key: owner.primary.clone(),
        },
        ..former.clone()
    };
    let linked_hub = |verb: &str| {
        format!(
            "az iot dps linked-hub {verb} --dps-name {} --resource-group {}",
            quoted(case.dps.scope.name()),
            quoted(case.dps.scope.resource_group().unwrap_or("")),
        )
    };
    Some(Proposal {
        says: "link it anew with a key of today's".into(),
        command: format!(
            "{} --linked-hub {} && {} --hub-name {} --hub-resource-group {} --allocation-weight {} \
             --apply-allocation-policy {}",
            linked_hub("delete"),
            quoted(&case.hub.host),
            linked_hub("create"),
            quoted(case.hub.scope.name()),
            quoted(case.hub.scope.resource_group().unwrap_or("")),
            former.weight,
            former.applies_allocation_policy,
        ),
        changed: Some(with_link(case, place, link)),
        warning: Some(format!("`{OWNER_POLICY}` may do everything at the hub")),
    })
}

/// The facts with a link in its place, or behind all others.
fn with_link(case: &Case<'_>, place: usize, link: DpsLink) -> Facts {
    let mut dps = case.dps.clone();
    match dps.links.get_mut(place) {
        Some(it) => *it = link,
        None => dps.links.push(link),
    }
    let mut changed = case.facts.clone();
    changed.put_dps(dps);
    changed
}

/// What registrations would meet then; `None` where the change would not let the service prove itself.
fn then(case: &Case<'_>, changed: Option<&Facts>) -> Option<String> {
    let Some(facts) = changed else {
        let says = "the identity is new and holds no role yet; ask again, and section 1 says which it needs";
        return Some(says.to_owned());
    };
    let (dps, hub) = (facts.dps(&case.dps.scope)?, facts.hub(&case.hub.scope)?);
    let proof = Proof::of(case.env, facts, dps, hub, &case.head);
    if proof.link.is_none() || proof.fault.is_some() {
        return None;
    }
    let refused = case.calls().find_map(|it| {
        case.judge_as(it, &proof.caller, facts, case.head.time).denial.map(|it| it.gate)
    });
    Some(match refused {
        None => "registrations would pass every gate".to_owned(),
        Some(gate) => format!(
            "the service would prove itself to the hub, but `{}` would refuse next",
            gate.as_str()
        ),
    })
}

/// An enrollment group for a service that has no enrollment at all.
fn first_enrollment(case: &Case<'_>) -> Option<Fix> {
    if case.enrolled.all > 0 {
        return None;
    }
    let host = host_name(&case.dps.host, case.env.settings.hub_port);
    let body = r#"{"enrollmentGroupId":"fleet","attestation":{"type":"symmetricKey"}}"#;
    Some(Fix {
        says: "enroll a group of devices, with keys that are made for it".into(),
        command: format!(
            "az rest --method put --resource https://azure-devices-provisioning.net --url {} --body {}",
            quoted(&format!("https://{host}/enrollmentGroups/fleet?api-version=2021-10-01")),
            quoted(body)
        ),
        then: "devices whose keys derive from the group's can register".into(),
        warning: None,
    })
}
