//! What lies in resource groups, whatever its type; and user-assigned identities, of which gates need little more.

use super::{Dps, DpsLink, Facts, LinkAuthentication};
use model::{ObjectId, Scope, Secret};
use serde_json::Value;
use std::sync::Arc;

/// A user-assigned managed identity: a resource with a principal of its own.
#[derive(Clone, Debug)]
pub struct UserAssigned {
    pub scope: Scope,
    pub principal: ObjectId,
    /// What applications name it by when they ask for a token.
    pub client: ObjectId,
}

/// A port at which applications of this machine get the tokens of one user-assigned identity.
#[derive(Clone, Debug)]
pub struct IdentityEndpoint {
    pub identity: Scope,
    /// What `X-IDENTITY-HEADER` must be.
    pub header: Secret<String>,
}

impl Dps {
    /// As whom it signs in by a link. `None` by a key, and where it has no such identity.
    pub fn signs_in_as(&self, link: &DpsLink) -> Option<ObjectId> {
        match &link.authentication {
            LinkAuthentication::KeyBased { .. } => None,
            LinkAuthentication::SystemAssigned => self.identity,
            LinkAuthentication::UserAssigned { identity } => {
                self.user_assigned.get(&identity.key()).copied()
            }
        }
    }

    /// True where a caller is the service at work. Others may act as a user-assigned identity, too: that counts only
    /// for a registration, which nobody else carries out.
    pub fn is_at_work_as(&self, caller: ObjectId, is_registration: bool) -> bool {
        let is_attached = || self.user_assigned.values().any(|it| *it == caller);
        self.identity == Some(caller) || (is_registration && is_attached())
    }
}

impl Facts {
    pub fn put_user_assigned(&mut self, identity: UserAssigned) {
        Arc::make_mut(&mut self.user_assigned).insert(identity.scope.key(), Arc::new(identity));
    }

    pub fn remove_user_assigned(&mut self, scope: &Scope) {
        Arc::make_mut(&mut self.user_assigned).remove(&scope.key());
    }

    pub fn user_assigned(&self, scope: &Scope) -> Option<&Arc<UserAssigned>> {
        self.user_assigned.get(&scope.key())
    }

    /// Where every resource lies, of each type in turn: what stands in resource groups.
    pub fn resources(&self) -> impl Iterator<Item = &Scope> {
        let hubs = self.hubs.values().map(|it| &it.scope);
        let services = self.provisioning.values().map(|it| &it.scope);
        let identities = self.user_assigned.values().map(|it| &it.scope);
        let targets = self.targets.values().map(|it| &it.scope);
        hubs.chain(services).chain(identities).chain(targets)
    }

    /// The resource at a scope, in the casing that it was made with.
    pub fn resource(&self, scope: &Scope) -> Option<&Scope> {
        let hub = self.hub(scope).map(|it| &it.scope);
        let service = || self.dps(scope).map(|it| &it.scope);
        let identity = || self.user_assigned(scope).map(|it| &it.scope);
        let target = || self.targets.get(&scope.key()).map(|it| &it.scope);
        hub.or_else(service).or_else(identity).or_else(target)
    }

    pub fn put_container(&mut self, scope: Scope) {
        Arc::make_mut(&mut self.containers).insert(scope.key(), scope);
    }

    pub fn remove_container(&mut self, scope: &Scope) {
        Arc::make_mut(&mut self.containers).remove(&scope.key());
        Arc::make_mut(&mut self.container_documents).remove(&scope.key());
    }

    /// Keeps what a subscription or resource group is like: its name, location and tags.
    pub fn put_container_document(&mut self, scope: &Scope, document: Value) {
        Arc::make_mut(&mut self.container_documents).insert(scope.key(), Arc::new(document));
    }

    pub fn container_document(&self, scope: &Scope) -> Option<&Arc<Value>> {
        self.container_documents.get(&scope.key())
    }
}
