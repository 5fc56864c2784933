//! How the server calls targets: those that it serves itself by their addresses, and as a managed identity.

use crate::entra::tokens;
use crate::env::{Env, Settings};
use crate::facts::FactsCell;
use egress::{FindOwn, Own, Token, TokenSource};
use gate::facts::Instance;
use model::{ObjectId, Secret};
use std::future::{Future, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Finds the targets that this server serves: they are called, from an address by which they know the server, though
/// nothing else there is.
pub fn own(facts: Arc<FactsCell>, settings: &Settings) -> Arc<FindOwn> {
    let from: Option<IpAddr> = settings.own_address().parse().ok();
    Arc::new(move |host| {
        let facts = facts.load();
        match facts.instance_at(host)? {
            Instance::Target(_) => Some(Own { at: host.parse().ok()?, from: from? }),
            Instance::Hub(_) | Instance::Dps(_) => None,
        }
    })
}

/// Tokens of a managed identity, for an audience such as `https://storage.azure.com`.
pub(crate) struct IdentityToken {
    pub(crate) env: Arc<Env>,
    pub(crate) identity: ObjectId,
    pub(crate) audience: &'static str,
}

impl TokenSource for IdentityToken {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>> {
        let issued = tokens::of_identity(&self.env, self.identity, self.audience);
        let token = |it: tokens::Issued| Token { text: Secret::new(it.token), expiry: it.ends };
        Box::pin(ready(issued.map(token).map_err(|it| it.to_string())))
    }
}
