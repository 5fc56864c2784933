//! What is judged: the calls that registrations would lead to, who would make them, and which enrollments
//! lead there.

use super::integration::Proof;
use crate::devices::names::without_port;
use crate::devices::registry;
use crate::env::Env;
use crate::input::{Headers, Input};
use crate::provisioning::assignment::device_body;
use crate::provisioning::challenges::KEY_BYTES;
use crate::provisioning::enrollment::{Attestation, InitialTwin, Kind, ProvisioningStatus, Source};
use crate::provisioning::enrollments;
use crate::provisioning::proven::{by_keys, by_thumbprints};
use gate::facts::{Dps, Hub};
use gate::{Ask, Facts, Judgement, Permit};
use model::operations::operation;
use model::principal::AuthType;
use model::trace::{Caller, Channel, EnrollmentKind, Object, TraceHead};
use model::{Error, Gate, Operation, PrincipalKind, Secret, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Most enrollments of each kind that are read.
const ENROLLMENTS_READ_MAX: usize = 2_000;
/// A thumbprint by SHA-256, written as text.
const THUMBPRINT_CHARS: usize = 64;

/// A call that a registration would make at the hub.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) operation: &'static Operation,
    way: Way,
    objects: Vec<Object>,
}

/// By what a device comes to its hub, as far as policies can look at it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Way {
    enrollment: Option<EnrollmentKind>,
    is_by_certificate: bool,
    is_edge: bool,
}

impl Way {
    fn of(source: &Source) -> Self {
        Self {
            enrollment: Some(source.kind()),
            is_by_certificate: matches!(source.attestation(), Attestation::X509(_)),
            is_edge: source.terms().iot_edge,
        }
    }
}

/// One diagnosis.
pub(super) struct Case<'a> {
    pub(super) env: &'a Env,
    pub(super) permit: &'a Permit,
    pub(super) facts: &'a Facts,
    pub(super) dps: &'a Dps,
    pub(super) hub: &'a Hub,
    pub(super) enrolled: &'a Enrolled,
    pub(super) head: TraceHead,
    /// By the first way that leads here, or one that anybody might have where none does.
    plain: Planned,
    by_others: Vec<Planned>,
    /// Where an enrollment has an initial twin.
    with_twin: Option<Planned>,
    pub(super) proof: Proof<'a>,
}

impl<'a> Case<'a> {
    pub(super) async fn open(
        env: &'a Env,
        permit: &'a Permit,
        facts: &'a Facts,
        dps: &'a Dps,
        hub: &'a Hub,
        device: &str,
        enrolled: &'a Enrolled,
    ) -> Result<Self, Error> {
        let head = head(env, dps, device);
        let mut ways = enrolled.ways.iter().copied();
        let first = ways.next().unwrap_or_default();
        let plain = planned(env, hub, device, first, None).await?;
        let mut by_others = Vec::new();
        for way in ways {
            by_others.push(planned(env, hub, device, way, None).await?);
        }
        let with_twin = match &enrolled.twin {
            Some((_, way, twin)) => Some(planned(env, hub, device, *way, Some(twin)).await?),
            None => None,
        };
        let proof = Proof::of(env, facts, dps, hub, &head);
        Ok(Self {
            env,
            permit,
            facts,
            dps,
            hub,
            enrolled,
            head,
            plain,
            by_others,
            with_twin,
            proof,
        })
    }

    /// Every call that registrations as they are enrolled lead to. Without a twin first: that is also how a
    /// device comes back.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Planned> {
        std::iter::once(&self.plain).chain(&self.by_others).chain(&self.with_twin)
    }

    /// The call that needs most.
    pub(super) fn widest(&self) -> &Planned {
        self.with_twin.as_ref().unwrap_or(&self.plain)
    }

    /// What the gates say to a call now.
    pub(super) fn judge(&self, call: &Planned, facts: &Facts) -> Judgement {
        self.judge_as(call, &self.proof.caller, facts, self.head.time)
    }

    pub(super) fn judge_as(
        &self,
        call: &Planned,
        caller: &Caller,
        facts: &Facts,
        time: Timestamp,
    ) -> Judgement {
        let mut head = TraceHead { time, ..self.head.clone() };
        head.channel.enrollment = call.way.enrollment;
        if let Some(device) =
            head.channel.on_behalf_of.as_mut().filter(|_| call.way.is_by_certificate)
        {
            device.auth = AuthType::X509;
        }
        let ask = Ask::new(call.operation, &self.hub.scope, caller, &head);
        gate::judge(&Ask { objects: &call.objects, ..ask }, facts)
    }

    /// The calls that a gate refuses now, with what it says.
    pub(super) fn refused_at(&self, gate: Gate, facts: &Facts) -> Vec<(&Planned, Judgement)> {
        let judged = self.calls().map(|it| (it, self.judge(it, facts)));
        judged.filter(|(_, it)| is_refused_at(it, gate)).collect()
    }

    /// The word for whoever writes to the hub.
    pub(super) fn who(&self) -> &str {
        &self.proof.caller.name
    }
}

pub(super) fn is_refused_at(judged: &Judgement, gate: Gate) -> bool {
    judged.denial.as_ref().is_some_and(|it| it.gate == gate)
}

/// The same facts with no policy assigned: what the access gate says does not depend on them, and is not
/// heard as long as they deny.
pub(super) fn without_policies(facts: &Facts) -> Facts {
    facts.without_policies()
}

/// A registration as the hub would see it come.
fn head(env: &Env, dps: &Dps, device: &str) -> TraceHead {
    let registering = Caller {
        kind: PrincipalKind::Device,
        object_id: None,
        app_id: None,
        name: device.to_owned(),
        auth: AuthType::Sas,
        signed_in: "not at all: a diagnosis takes the device as given".into(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    };
    let channel = Channel {
        protocol: "https".into(),
        request: format!("PUT /{}/registrations/{device}/register", dps.id_scope),
        on_behalf_of: Some(Box::new(registering)),
        ..Channel::default()
    };
    TraceHead::new(env.new_tracking_id(), env.now(), channel)
}

/// The call at the hub, with the device as it would be stored.
async fn planned(
    env: &Env,
    hub: &Hub,
    device: &str,
    way: Way,
    twin: Option<&InitialTwin>,
) -> Result<Planned, Error> {
    // Policy sees no keys, and whose thumbprint it is cannot be known before: any will do.
    let authentication = if way.is_by_certificate {
        by_thumbprints([Some("0".repeat(THUMBPRINT_CHARS)), None])
    } else {
        let no_key = Secret::new(vec![0; KEY_BYTES]);
        by_keys(&no_key, &no_key)
    };
    let (op, body) = device_body(device, &authentication, way.is_edge, twin.map(InitialTwin::body));
    let input = Input {
        params: BTreeMap::from([("device", device.to_owned())]),
        query: Vec::new(),
        body,
        raw: bytes::Bytes::new(),
        received: None,
        scope: hub.scope.clone(),
        path: format!("/devices/{device}"),
        headers: Headers::default(),
        channel: Channel::default(),
        certificates: None,
        correlation_id: String::new(),
    };
    let objects = registry::objects(op, &input, hub, env).await?;
    Ok(Planned { operation: operation(op), way, objects })
}

/// What the enrollments of a provisioning service mean for one hub.
#[derive(Default)]
pub(super) struct Enrolled {
    pub(super) all: u64,
    pub(super) read: u64,
    pub(super) disabled: u64,
    /// Enabled, and their devices can come to this hub.
    pub(super) leading: u64,
    /// Enabled enrollments and the hubs that they name, none of them linked.
    pub(super) astray: Vec<(String, String)>,
    /// The first that leads here and has an initial twin, by its id.
    pub(super) twin: Option<(String, Way, InitialTwin)>,
    /// Of those that lead here.
    ways: BTreeSet<Way>,
}

/// Most enrollments that lead astray that are named.
const ASTRAY_MAX: usize = 5;

impl Enrolled {
    pub(super) async fn read(
        env: &Env,
        facts: &Facts,
        dps: &Dps,
        hub: &Hub,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        for kind in [Kind::Group, Kind::Individual] {
            let (sources, all) = enrollments::first(env, dps, kind, ENROLLMENTS_READ_MAX).await?;
            found.all += all;
            for source in sources {
                found.add(&source, facts, dps, hub);
            }
        }
        Ok(found)
    }

    fn add(&mut self, source: &Source, facts: &Facts, dps: &Dps, hub: &Hub) {
        let terms = source.terms();
        self.read += 1;
        if terms.provisioning_status == ProvisioningStatus::Disabled {
            self.disabled += 1;
            return;
        }
        let named: Vec<&str> =
            terms.iot_hub_host_name.iter().chain(&terms.iot_hubs).map(String::as_str).collect();
        let linked = |host: &&str| {
            let host = without_port(host);
            dps.links.iter().filter_map(|it| facts.hub_at(&it.hub)).any(|it| is_at(it, host))
        };
        if !named.is_empty() && !named.iter().any(linked) {
            if self.astray.len() < ASTRAY_MAX {
                self.astray.push((source.id().to_owned(), named.join(", ")));
            }
            return;
        }
        let is_here = |it: &String| is_at(hub, without_port(it));
        let link = dps.links.iter().find(|it| is_at(hub, &it.hub));
        let is_leading = match (&terms.iot_hub_host_name, terms.iot_hubs.as_slice()) {
            (Some(host), _) => is_here(host),
            (None, []) => link.is_none_or(|it| it.applies_allocation_policy),
            (None, several) => several.iter().any(is_here),
        };
        if !is_leading {
            return;
        }
        self.leading += 1;
        self.ways.insert(Way::of(source));
        if let Some(twin) = terms.initial_twin.as_ref().filter(|_| self.twin.is_none()) {
            self.twin = Some((source.id().to_owned(), Way::of(source), twin.clone()));
        }
    }
}

fn is_at(hub: &Hub, host: &str) -> bool {
    hub.host.eq_ignore_ascii_case(host)
}
