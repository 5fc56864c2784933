//! How the console reaches the data of a hub or a provisioning service: with its keys where the person may list them
//! and they count, else with the person's own roles. Which way was taken, and why, is told on every page that took it.
//!
//! Source: IoT Hub documentation, "Control access to IoT Hub by using Microsoft Entra ID", on what the portal does.

use crate::api::Told;
use crate::trouble::{Refused, Trouble};
use crate::visit::{HUB, HUBS, Visit, ok, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use maud::{Markup, html};
use model::Secret;
use serde_json::Value;
use wire::sas;

/// How long a signature holds, in seconds: it is made for one page.
const SIGNED_S: i64 = 300;
/// What a policy must allow for the console to work with it.
const RIGHTS: [&str; 2] = ["RegistryWrite", "ServiceConnect"];

/// The way to a hub's data.
pub(crate) enum Way {
    /// The person may list keys, and they count.
    Keys {
        policy: String,
        key: Secret<String>,
    },
    Entra {
        because: String,
    },
}

/// A hub whose data a page shows.
pub(crate) struct Hub {
    pub(crate) scope: String,
    pub(crate) resource: Value,
    pub(crate) host: String,
    pub(crate) way: Way,
}

impl Hub {
    /// Asks for the resource, for its keys and for whether they count, in this order.
    pub(crate) async fn reach(visit: &Visit<'_>, scope: &str) -> Result<Self, Trouble> {
        let resource = visit.get(scope).await?;
        let host = text(&resource, "/properties/hostName").to_owned();
        let way = way(visit, scope, &resource).await?;
        Ok(Self { scope: scope.to_owned(), resource, host, way })
    }

    pub(crate) fn name(&self) -> &str {
        text(&self.resource, "/name")
    }

    /// A call of the hub's own API; `path` may have a query.
    pub(crate) async fn call(
        &self,
        visit: &Visit<'_>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Told, Trouble> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}api-version={HUB}");
        let host = Some(self.host.as_str());
        match &self.way {
            Way::Entra { .. } => visit.as_person(HUBS, host, method, target, body).await,
            Way::Keys { policy, key } => {
                let bytes = STANDARD.decode(key.reveal()).unwrap_or_default();
                let until = visit.console.now().plus_seconds(SIGNED_S);
                let signed = sas::sign(&self.host, &bytes, until, Some(policy));
                Ok(visit.call(host, method, target, &signed, body).await)
            }
        }
    }

    pub(crate) async fn get(&self, visit: &Visit<'_>, path: &str) -> Result<Value, Trouble> {
        ok(self.call(visit, Method::GET, path, None).await?)
    }

    /// Which way was taken, for the page.
    pub(crate) fn told(&self) -> Markup {
        html! {
            @match &self.way {
                Way::Keys { policy, .. } => {
                    p.way data-way="keys" { strong { "With a key. " } "You may list the keys of this hub, so this page uses the shared \
                        access policy " code { (policy) } ". Your own data roles were not asked." }
                }
                Way::Entra { because } => {
                    p.way data-way="entra" { strong { "As yourself. " } (because) " This page uses your Entra account and its data roles." }
                }
            }
        }
    }
}

async fn way(visit: &Visit<'_>, scope: &str, resource: &Value) -> Result<Way, Trouble> {
    let told = visit.arm(Method::POST, &format!("{scope}/listkeys"), None).await?;
    if !told.is_ok() {
        let refused = Refused::of(&told);
        let because = match refused.is_decision() {
            true => "You may not list the keys of this hub (`Microsoft.Devices/iotHubs/listkeys/action`).".to_owned(),
            false => format!("Its keys could not be listed: {}", refused.message),
        };
        return Ok(Way::Entra { because });
    }
    // Whoever may list keys would be refused with them here, and is not.
    if resource.pointer("/properties/disableLocalAuth").and_then(Value::as_bool) == Some(true) {
        let because =
            "You may list the keys of this hub, but they are switched off (`disableLocalAuth`).";
        return Ok(Way::Entra { because: because.to_owned() });
    }
    let all = told.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
    let fits = |it: &&Value| RIGHTS.iter().all(|right| text(it, "/rights").contains(right));
    Ok(match all.iter().find(fits) {
        Some(it) => Way::Keys {
            policy: text(it, "/keyName").to_owned(),
            key: Secret::new(text(it, "/primaryKey").to_owned()),
        },
        None => Way::Entra {
            because: "No shared access policy of this hub has the rights that these pages need."
                .to_owned(),
        },
    })
}
