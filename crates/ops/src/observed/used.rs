//! One use: somebody, in one way, does one thing at one place, again and again.

use super::PREFIX;
use gate::{Ask, Facts};
use model::principal::AuthType;
use model::trace::{Caller, Channel, Gate, Recorded, ScopeText};
use model::{ObjectId, PrincipalKind, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most calls that are kept whole of a use: the newest.
const SAMPLES_MAX: usize = 3;
/// Of things that were sampled before, and of others once there are enough, one call in so many seconds is kept.
const SAMPLE_EVERY_S: i64 = 60;
/// An object of a kept call that is larger loses its body, and the call cannot be judged again.
const OBJECT_BYTES_MAX: usize = 8 << 10;
/// Most clients that are told apart: those that were seen last.
const CLIENTS_MAX: usize = 5;

/// By what somebody came in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Way {
    Entra,
    /// A key of a shared access policy, an authorization rule or a storage account.
    Key,
    /// A device's own key, or one that its enrollment group derives for it.
    DeviceKey,
    Certificate,
}

impl Way {
    pub(crate) const fn of_caller(caller: &Caller) -> Self {
        match (caller.auth, caller.kind) {
            (AuthType::X509, _) => Self::Certificate,
            (AuthType::Sas, PrincipalKind::Device) => Self::DeviceKey,
            // An address that a principal's key has signed is the principal's.
            (AuthType::Sas, _) if caller.object_id.is_none() => Self::Key,
            (AuthType::Sas | AuthType::Entra | AuthType::None, _) => Self::Entra,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Key => "key",
            Self::DeviceKey => "deviceKey",
            Self::Certificate => "certificate",
        }
    }
}

/// A use as it is kept. Devices of a hub are one user for each way in which they come.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Use {
    pub(crate) way: Way,
    pub(crate) kind: PrincipalKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object_id: Option<ObjectId>,
    /// Of the principal or the policy; empty for devices.
    pub(crate) name: String,
    /// The operation's name in the table.
    pub(crate) operation: String,
    pub(crate) scope: ScopeText,
    /// Of the hub or provisioning service at the scope, where there was one: another of the name is another.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    /// Calls that were let pass; of what a device does again in one session, the first.
    pub(crate) allowed: u64,
    /// Calls that were refused, by gate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) refused: BTreeMap<Gate, u64>,
    /// When it was first and last seen to be let pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_refused: Option<Timestamp>,
    /// The last seen is last.
    pub(crate) clients: Vec<Client>,
    /// Calls that were let pass, the newest last.
    pub(crate) samples: Vec<Sample>,
}

/// From where somebody came, and with what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) address: String,
    pub(crate) protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
}

impl Client {
    fn is(&self, channel: &Channel) -> bool {
        self.address == channel.address
            && self.protocol == channel.protocol
            && self.agent.as_deref() == channel.agent.as_deref()
    }

    fn of(channel: &Channel) -> Self {
        Self {
            address: channel.address.clone(),
            protocol: channel.protocol.clone(),
            agent: channel.agent.as_deref().map(str::to_owned),
        }
    }
}

/// A call as the gates saw it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) time: Timestamp,
    pub(crate) call: Recorded,
}

impl Use {
    pub(super) fn of(ask: &Ask<'_>, facts: &Facts) -> Self {
        let caller = ask.caller;
        let name = match caller.kind == PrincipalKind::Device {
            true => String::new(),
            false => caller.name.clone(),
        };
        Self {
            way: Way::of_caller(ask.caller),
            kind: caller.kind,
            object_id: caller.object_id,
            name,
            operation: ask.operation.name(),
            scope: ask.scope.as_str().to_owned(),
            uid: uid_at(ask.scope, facts).unwrap_or_default().to_owned(),
            allowed: 0,
            refused: BTreeMap::new(),
            first: None,
            last: None,
            last_refused: None,
            clients: Vec::new(),
            samples: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, ask: &Ask<'_>, refused: Option<Gate>) {
        let now = ask.head.time;
        match refused {
            Some(gate) => {
                *self.refused.entry(gate).or_default() += 1;
                self.last_refused = Some(now);
            }
            None => {
                self.allowed += 1;
                self.first.get_or_insert(now);
                self.last = Some(now);
                self.sample(ask, now);
            }
        }
        let channel = &ask.head.channel;
        match self.clients.iter().rposition(|it| it.is(channel)) {
            Some(at) if at + 1 == self.clients.len() => {}
            Some(at) => {
                let known = self.clients.remove(at);
                self.clients.push(known);
            }
            None => push(&mut self.clients, Client::of(channel), CLIENTS_MAX),
        }
    }

    fn sample(&mut self, ask: &Ask<'_>, now: Timestamp) {
        let id = ask.objects.first().map(|it| it.id.as_str());
        let is_known =
            self.samples.iter().any(|it| it.call.objects.first().map(|it| it.id.as_str()) == id);
        let is_enough = is_known || self.samples.len() >= SAMPLES_MAX;
        let newest = self.samples.last().map(|it| it.time.plus_seconds(SAMPLE_EVERY_S));
        if is_enough && newest.is_some_and(|it| now < it) {
            return;
        }
        let mut call = ask.recorded();
        call.objects.iter_mut().for_each(|it| it.shorten(OBJECT_BYTES_MAX));
        // What judged it then says nothing of another time.
        call.replica = None;
        push(&mut self.samples, Sample { time: now, call }, SAMPLES_MAX);
    }

    /// This and what came after it.
    pub(super) fn and(mut self, later: Self) -> Self {
        if !self.uid.is_empty() && !later.uid.is_empty() && self.uid != later.uid {
            return later;
        }
        self.uid = if later.uid.is_empty() { self.uid } else { later.uid };
        self.name = later.name;
        self.allowed += later.allowed;
        for (gate, count) in later.refused {
            *self.refused.entry(gate).or_default() += count;
        }
        self.first = self.first.or(later.first);
        self.last = later.last.or(self.last);
        self.last_refused = later.last_refused.or(self.last_refused);
        for it in later.clients {
            self.clients.retain(|known| *known != it);
            push(&mut self.clients, it, CLIENTS_MAX);
        }
        for it in later.samples {
            push(&mut self.samples, it, SAMPLES_MAX);
        }
        self
    }

    /// Under what it is kept.
    pub(super) fn key(&self) -> String {
        let who = self.object_id.map_or_else(|| self.name.replace('/', "_"), |it| it.to_string());
        let scope = self.place().key();
        format!("{PREFIX}{}/{who}/{}{scope}", self.way.as_str(), self.operation)
    }

    /// Whose it is, where everybody may have so many: of a key, those at one place.
    pub(super) fn share(&self) -> String {
        match self.object_id {
            Some(id) => id.to_string(),
            None => format!("{} {} {}", self.way.as_str(), self.name, self.scope),
        }
    }

    pub(super) fn last_seen(&self) -> Timestamp {
        self.last.max(self.last_refused).unwrap_or_default()
    }

    /// True where a key of a policy was used that keys of a service can be switched off for.
    pub(crate) fn is_by_key(&self) -> bool {
        self.way == Way::Key
    }

    pub(crate) fn place(&self) -> Scope {
        Scope::parse(&self.scope).unwrap_or_else(|_| Scope::root())
    }

    pub(super) fn is_at(&self, scope: &Scope, facts: &Facts) -> bool {
        Scope::parse(&self.scope).is_ok_and(|it| facts.contains(scope, &it))
    }

    /// Whether who used it is still in the directory, and what was used still the same.
    pub(super) fn is_there(&self, facts: &Facts) -> bool {
        let has_caller = self.object_id.is_none_or(|it| facts.principals.contains_key(&it));
        let is_same = || uid_at(&self.place(), facts) == Some(self.uid.as_str());
        has_caller && (self.uid.is_empty() || is_same())
    }
}

fn push<T>(all: &mut Vec<T>, one: T, most: usize) {
    if all.len() >= most {
        all.remove(0);
    }
    all.push(one);
}

fn uid_at<'f>(scope: &Scope, facts: &'f Facts) -> Option<&'f str> {
    let hub = facts.hub(scope).map(|it| it.uid.as_str());
    hub.or_else(|| facts.dps(scope).map(|it| it.uid.as_str()))
}
