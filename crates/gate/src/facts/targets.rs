//! What hubs may send to, as far as the gates decide by it.

use super::Facts;
use crate::network::NetworkRules;
use model::Scope;
use std::sync::Arc;

/// What the gates know of what a hub may send to: a namespace of Event Hubs or Service Bus, a storage account.
#[derive(Clone, Debug)]
pub struct Target {
    pub scope: Scope,
    /// False where only identities open it.
    pub takes_keys: bool,
    /// From where, and as what, it may be reached.
    pub network: NetworkRules,
}

impl Facts {
    pub fn put_target(&mut self, target: Target) {
        Arc::make_mut(&mut self.targets).insert(target.scope.key(), Arc::new(target));
    }

    pub fn remove_target(&mut self, scope: &Scope) {
        Arc::make_mut(&mut self.targets).remove(&scope.key());
    }

    pub fn put_entity(&mut self, scope: &Scope) {
        Arc::make_mut(&mut self.entities).insert(scope.key());
    }

    pub fn remove_entity(&mut self, scope: &Scope) {
        Arc::make_mut(&mut self.entities).remove(&scope.key());
    }

    pub fn target(&self, scope: &Scope) -> Option<&Arc<Target>> {
        self.targets.get(&scope.key())
    }
}
