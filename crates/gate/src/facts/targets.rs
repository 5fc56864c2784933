//! What hubs may send to, as far as the gates decide by it: who answers at an address, what lies in it, and by which
//! keys it opens.

use super::{Facts, SasPolicy, SharedAccess};
use crate::network::NetworkRules;
use model::Scope;
use model::operations::Surface;
use serde_json::Value;
use std::sync::Arc;

/// Of what service a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetKind {
    EventHubs,
    ServiceBus,
    Storage,
}

impl TargetKind {
    pub const fn surface(self) -> Surface {
        match self {
            Self::EventHubs => Surface::EventHubs,
            Self::ServiceBus => Surface::ServiceBus,
            Self::Storage => Surface::Blob,
        }
    }
}

/// What the gates know of what a hub may send to: a namespace of Event Hubs or Service Bus, a storage account.
#[derive(Clone, Debug)]
pub struct Target {
    pub scope: Scope,
    /// Stable, and never used again.
    pub uid: String,
    pub kind: TargetKind,
    /// The host name that clients use, without a port. Empty for what was made before targets had addresses.
    pub host: String,
    /// False where only identities open it.
    pub takes_keys: bool,
    /// True where what lies in it may be opened to everybody (`allowBlobPublicAccess`).
    pub is_public: bool,
    /// From where, and as what, it may be reached.
    pub network: NetworkRules,
}

/// What lies in a target: an event hub, a queue, a topic or its subscription, a container, a consumer group, a rule.
#[derive(Clone, Debug)]
pub struct Entity {
    pub scope: Scope,
    /// Stable, and never used again.
    pub uid: String,
    /// As they are stored. They hold no keys.
    pub properties: Value,
}

impl Facts {
    pub fn put_target(&mut self, target: Target) {
        self.remove_host(&target.scope);
        if !target.host.is_empty() {
            let host = target.host.to_ascii_lowercase();
            Arc::make_mut(&mut self.hosts).insert(host, target.scope.key());
        }
        Arc::make_mut(&mut self.targets).insert(target.scope.key(), Arc::new(target));
    }

    pub fn remove_target(&mut self, scope: &Scope) {
        self.remove_host(scope);
        Arc::make_mut(&mut self.targets).remove(&scope.key());
    }

    fn remove_host(&mut self, scope: &Scope) {
        if let Some(former) = self.targets.get(&scope.key()) {
            Arc::make_mut(&mut self.hosts).remove(&former.host.to_ascii_lowercase());
        }
    }

    pub fn put_entity(&mut self, entity: Entity) {
        Arc::make_mut(&mut self.entities).insert(entity.scope.key(), Arc::new(entity));
    }

    pub fn remove_entity(&mut self, scope: &Scope) {
        Arc::make_mut(&mut self.entities).remove(&scope.key());
    }

    /// What lies in a target at a scope.
    pub fn entity(&self, scope: &Scope) -> Option<&Arc<Entity>> {
        self.entities.get(&scope.key())
    }

    /// What lies below a scope in a target, each with what its key has behind that of the scope, in the order of these.
    pub fn entities_below(&self, scope: &Scope) -> impl Iterator<Item = (&str, &Arc<Entity>)> {
        let above = format!("{}/", scope.key());
        let all = self.entities.range(above.clone()..);
        all.map_while(move |(key, it)| Some((key.strip_prefix(&above)?, it)))
    }

    /// The keys of the rule or storage account at a scope; none takes them away.
    pub fn put_target_keys(&mut self, scope: &Scope, keys: Option<SasPolicy>) {
        let all = Arc::make_mut(&mut self.target_keys);
        match keys {
            Some(keys) => all.insert(scope.key(), Arc::new(keys)),
            None => all.remove(&scope.key()),
        };
    }

    pub fn target(&self, scope: &Scope) -> Option<&Arc<Target>> {
        self.targets.get(&scope.key())
    }

    /// The target that a scope names or lies in.
    pub fn target_around(&self, scope: &Scope) -> Option<&Arc<Target>> {
        if self.targets.is_empty() {
            return None;
        }
        // Subscription, group, `providers`, its namespace, a type and a name.
        let key = scope.key();
        let end = key.match_indices('/').nth(8).map_or(key.len(), |(at, _)| at);
        self.targets.get(key.get(..end)?)
    }

    /// The keys that open what lies in a target at a scope, as far as they are called by this name: those of the rule
    /// that lies nearest.
    pub fn access_to(&self, target: &Target, scope: &Scope, name: &str) -> SharedAccess {
        let mut place = scope.key();
        let top = target.scope.key();
        let mut found = None;
        while found.is_none() && place.len() >= top.len() {
            let rule = format!("{place}/authorizationrules/{}", name.to_ascii_lowercase());
            found = self.target_keys.get(&rule);
            let Some((above, _)) = place.rsplit_once('/') else { break };
            place.truncate(above.len());
        }
        SharedAccess {
            is_disabled: !target.takes_keys,
            policies: found.map(|it| SasPolicy::clone(it)).into_iter().collect(),
            ..SharedAccess::default()
        }
    }
}
