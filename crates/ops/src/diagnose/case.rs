//! What is judged: the calls that registrations would lead to, who would make them, and which enrollments
//! lead there.

use super::integration::Proof;
use crate::devices::names::without_port;
use crate::devices::registry;
use crate::env::Env;
use crate::input::{Headers, Input};
use crate::provisioning::enrollment::{InitialTwin, Kind, ProvisioningStatus, Source};
use crate::provisioning::enrollments;
use crate::provisioning::register::device_body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Dps, Hub};
use gate::{Ask, Attributes, Facts, Judgement, Permit};
use model::operations::operation;
use model::principal::AuthType;
use model::trace::{Caller, Channel, EnrollmentKind, Object, TraceHead};
use model::{Error, Gate, Operation, PrincipalKind, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Most enrollments of each kind that are read.
const ENROLLMENTS_READ_MAX: usize = 2_000;

/// A call that a registration would make at the hub.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) operation: &'static Operation,
    enrollment: Option<EnrollmentKind>,
    objects: Vec<Object>,
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
    plain: Planned,
    /// The same by the other kind of enrollment, where both lead here.
    by_other: Option<Planned>,
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
        let mut kinds = enrolled.kinds.iter().copied();
        let plain = Planned {
            enrollment: kinds.next(),
            ..planned(env, hub, device, enrolled.is_edge, None).await?
        };
        let by_other = kinds.next().map(|it| Planned { enrollment: Some(it), ..plain.clone() });
        let with_twin = match &enrolled.twin {
            Some((_, kind, twin)) => {
                let planned = planned(env, hub, device, enrolled.is_edge, Some(twin)).await?;
                Some(Planned { enrollment: Some(*kind), ..planned })
            }
            None => None,
        };
        let proof = Proof::of(env, facts, dps, hub, &head);
        Ok(Self { env, permit, facts, dps, hub, enrolled, head, plain, by_other, with_twin, proof })
    }

    /// Every call that registrations as they are enrolled lead to. Without a twin first: that is also how a
    /// device comes back.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Planned> {
        std::iter::once(&self.plain).chain(&self.by_other).chain(&self.with_twin)
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
        head.channel.enrollment = call.enrollment;
        let ask = Ask {
            operation: call.operation,
            scope: &self.hub.scope,
            objects: &call.objects,
            linked: &[],
            attributes: Attributes::default(),
            caller,
            head: &head,
        };
        gate::judge(&ask, facts)
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
    TraceHead {
        id: env.new_tracking_id(),
        time: env.now(),
        correlation_id: String::new(),
        channel: Channel {
            protocol: "https".into(),
            request: format!("PUT /{}/registrations/{device}/register", dps.id_scope),
            address: String::new(),
            on_behalf_of: Some(Box::new(registering)),
            enrollment: None,
        },
        replica: None,
    }
}

/// The call at the hub, with the device as it would be stored.
async fn planned(
    env: &Env,
    hub: &Hub,
    device: &str,
    is_edge: bool,
    twin: Option<&InitialTwin>,
) -> Result<Planned, Error> {
    // Policy sees no keys, so any will do.
    let key = STANDARD.encode([0; 32]);
    let keys = serde_json::json!({ "type": "sas", "symmetricKey": { "primaryKey": key, "secondaryKey": key } });
    let (op, body) = device_body(device, &keys, is_edge, twin);
    let input = Input {
        params: BTreeMap::from([("device", device.to_owned())]),
        query: Vec::new(),
        body,
        raw: bytes::Bytes::new(),
        scope: hub.scope.clone(),
        path: format!("/devices/{device}"),
        headers: Headers::default(),
        channel: Channel::default(),
        certificates: None,
        correlation_id: String::new(),
    };
    let objects = registry::objects(op, &input, hub, env).await?;
    Ok(Planned { operation: operation(op), enrollment: None, objects })
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
    pub(super) twin: Option<(String, EnrollmentKind, InitialTwin)>,
    /// Of those that lead here.
    kinds: BTreeSet<EnrollmentKind>,
    /// True where the first that leads here makes IoT Edge devices.
    is_edge: bool,
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
        if self.leading == 0 {
            self.is_edge = terms.iot_edge;
        }
        self.leading += 1;
        self.kinds.insert(source.kind());
        if let Some(twin) = terms.initial_twin.as_ref().filter(|_| self.twin.is_none()) {
            self.twin = Some((source.id().to_owned(), source.kind(), twin.clone()));
        }
    }
}

fn is_at(hub: &Hub, host: &str) -> bool {
    hub.host.eq_ignore_ascii_case(host)
}
