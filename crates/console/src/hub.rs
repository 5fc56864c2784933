//! How the console reaches the data of a hub or a provisioning service: with its keys where the person may list them
//! and they count, else with the person's own roles. Which way was taken, and why, is told on every page that took it.
//!
//! Source: IoT Hub documentation, "Control access to IoT Hub by using Microsoft Entra ID", on what the portal does.

use crate::api::Told;
use crate::trouble::{Refused, Trouble};
use crate::visit::{HUB, HUBS, PROVISIONING, Visit, ok, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method};
use maud::{Markup, html};
use model::{Scope, Secret};
use serde_json::{Value, json};
use wire::sas;

/// How long a signature holds, in seconds: it is made for one page.
const SIGNED_S: i64 = 300;
/// Most pages of a list that one page of the console reads.
const PAGES_MAX: usize = 50;
/// In which a list says where it goes on.
const CONTINUATION: &str = "x-ms-continuation";

/// What hubs and provisioning services have apart.
struct Service {
    /// For people.
    noun: &'static str,
    list_keys: &'static str,
    host: &'static str,
    audience: &'static str,
    version: &'static str,
    /// What a policy must allow for the console to work with it.
    rights: [&'static str; 2],
}

const HUB_SERVICE: Service = Service {
    noun: "hub",
    list_keys: "Microsoft.Devices/iotHubs/listkeys/action",
    host: "/properties/hostName",
    audience: HUBS,
    version: HUB,
    rights: ["RegistryWrite", "ServiceConnect"],
};
const PROVISIONING_SERVICE: Service = Service {
    noun: "provisioning service",
    list_keys: "Microsoft.Devices/provisioningServices/listkeys/action",
    host: "/properties/serviceOperationsHostName",
    audience: PROVISIONING,
    version: "2021-10-01",
    rights: ["Enrollment", "RegistrationStatus"],
};

impl Service {
    fn of(scope: &str) -> &'static Self {
        let kind = Scope::parse(scope).ok().and_then(|it| it.resource_type());
        let is_dps = |it: String| it.eq_ignore_ascii_case("Microsoft.Devices/provisioningServices");
        if kind.is_some_and(is_dps) { &PROVISIONING_SERVICE } else { &HUB_SERVICE }
    }
}

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

/// A hub or a provisioning service whose data a page shows.
pub(crate) struct Hub {
    service: &'static Service,
    pub(crate) scope: String,
    pub(crate) resource: Value,
    pub(crate) host: String,
    pub(crate) way: Way,
}

impl Hub {
    /// Asks for the resource, for its keys and for whether they count, in this order.
    pub(crate) async fn reach(visit: &Visit<'_>, scope: &str) -> Result<Self, Trouble> {
        let service = Service::of(scope);
        let resource = visit.get(scope).await?;
        let host = text(&resource, service.host).to_owned();
        let way = way(visit, scope, &resource, service).await?;
        Ok(Self { service, scope: scope.to_owned(), resource, host, way })
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
        self.call_with(visit, method, path, body, &[]).await
    }

    /// The same with headers beside the usual ones.
    pub(crate) async fn call_with(
        &self,
        visit: &Visit<'_>,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Told, Trouble> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}api-version={}", self.service.version);
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let unsent = |_| Trouble::Bad { why: format!("`{name}` cannot be sent with that.") };
            all.insert(*name, HeaderValue::from_str(value).map_err(unsent)?);
        }
        let credential = match &self.way {
            Way::Entra { .. } => visit.bearer(self.service.audience).await?,
            Way::Keys { policy, key } => {
                let bytes = STANDARD.decode(key.reveal()).unwrap_or_default();
                let until = visit.console.now().plus_seconds(SIGNED_S);
                sas::sign(&self.host, &bytes, until, Some(policy))
            }
        };
        let host = Some(self.host.as_str());
        Ok(visit.call_with(host, method, target, &credential, body, all).await)
    }

    /// A page of what a query finds, with `most` items where that many are wanted, and where the next begins.
    pub(crate) async fn query(
        &self,
        visit: &Visit<'_>,
        (path, query): (&str, &str),
        most: Option<usize>,
        after: Option<&str>,
    ) -> Result<(Vec<Value>, Option<String>), Trouble> {
        let most = most.map(|it| it.to_string());
        let most = most.as_deref().map(|it| ("x-ms-max-item-count", it));
        let headers: Vec<_> = most.into_iter().chain(after.map(|it| (CONTINUATION, it))).collect();
        let body = json!({ "query": query });
        let told = self.call_with(visit, Method::POST, path, Some(&body), &headers).await?;
        let next = told.headers.get(CONTINUATION).and_then(|it| it.to_str().ok());
        let next = next.map(str::to_owned);
        let items = ok(told)?;
        Ok((items.as_array().cloned().unwrap_or_default(), next))
    }

    /// All items that a query finds, page after page; `true` beside them where there are more pages than are read.
    pub(crate) async fn query_all(
        &self,
        visit: &Visit<'_>,
        query: (&str, &str),
    ) -> Result<(Vec<Value>, bool), Trouble> {
        let (mut items, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let (more, next) = self.query(visit, query, None, after.as_deref()).await?;
            items.extend(more);
            if next.is_none() {
                return Ok((items, false));
            }
            after = next;
        }
        Ok((items, true))
    }

    pub(crate) async fn get(&self, visit: &Visit<'_>, path: &str) -> Result<Value, Trouble> {
        ok(self.call(visit, Method::GET, path, None).await?)
    }

    /// Which way was taken, for the page.
    pub(crate) fn told(&self) -> Markup {
        html! {
            @match &self.way {
                Way::Keys { policy, .. } => {
                    p.way data-way="keys" { strong { "With a key. " } "You may list the keys of this " (self.service.noun) ", so this page uses the shared \
                        access policy " code { (policy) } ". Your own data roles were not asked." }
                }
                Way::Entra { because } => {
                    p.way data-way="entra" { strong { "As yourself. " } (because) " This page uses your Entra account and its data roles." }
                }
            }
        }
    }
}

async fn way(
    visit: &Visit<'_>,
    scope: &str,
    resource: &Value,
    service: &Service,
) -> Result<Way, Trouble> {
    let noun = service.noun;
    let told = visit.arm(Method::POST, &format!("{scope}/listkeys"), None).await?;
    if !told.is_ok() {
        let refused = Refused::of(&told);
        let because = match refused.is_decision() {
            true => format!("You may not list the keys of this {noun} (`{}`).", service.list_keys),
            false => format!("Its keys could not be listed: {}", refused.message),
        };
        return Ok(Way::Entra { because });
    }
    // Whoever may list keys would be refused with them here, and is not.
    if resource.pointer("/properties/disableLocalAuth").and_then(Value::as_bool) == Some(true) {
        let because = format!(
            "You may list the keys of this {noun}, but they are switched off (`disableLocalAuth`)."
        );
        return Ok(Way::Entra { because });
    }
    let all = told.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
    let fits = |it: &&Value| service.rights.iter().all(|right| text(it, "/rights").contains(right));
    Ok(match all.iter().find(fits) {
        Some(it) => Way::Keys {
            policy: text(it, "/keyName").to_owned(),
            key: Secret::new(text(it, "/primaryKey").to_owned()),
        },
        None => Way::Entra {
            because: format!(
                "No shared access policy of this {noun} has the rights that these pages need."
            ),
        },
    })
}
