//! A signed-in person at a page: what was asked for, and the API called in that person's name.

use crate::api::{Api, Ask, Told};
use crate::form::Form;
use crate::sessions::Session;
use crate::trouble::{Refused, Trouble};
use crate::{Console, sign_in};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method};
use serde_json::Value;
use std::sync::Arc;

/// The versions in which the console speaks to the API. Azure's own clients send others, and all are taken.
pub(crate) const ARM: &str = "2025-04-01";
pub(crate) const HUB: &str = "2021-04-12";
/// Whom a token is for.
pub(crate) const MANAGEMENT: &str = "https://management.azure.com";
pub(crate) const GRAPH: &str = "https://graph.microsoft.com";
pub(crate) const HUBS: &str = "https://iothubs.azure.net";
pub(crate) const PROVISIONING: &str = "https://azure-devices-provisioning.net";
/// Most pages of a list that one page of the console reads.
const PAGES_MAX: usize = 50;

pub(crate) struct Visit<'a> {
    pub(crate) console: &'a Console,
    pub(crate) api: &'a Api,
    pub(crate) session: Arc<Session>,
    pub(crate) query: Form,
    /// Of a POST whose anti-forgery text was right.
    pub(crate) form: Option<Form>,
    /// Path and query, to come back to.
    pub(crate) here: String,
}

impl Visit<'_> {
    /// What Azure Resource Manager answers to `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Trouble> {
        ok(self.arm(Method::GET, path, None).await?)
    }

    /// A call of Azure Resource Manager; `path` may have a query, and gets a version where it names none.
    pub(crate) async fn arm(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Told, Trouble> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = match path.contains("api-version=") {
            true => path.to_owned(),
            false => format!("{path}{separator}api-version={ARM}"),
        };
        self.as_person(MANAGEMENT, None, method, target, body).await
    }

    /// All items of a list of Azure Resource Manager or Graph, page after page.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, Trouble> {
        let first = self.get(path).await?;
        self.rest(first, MANAGEMENT).await
    }

    pub(crate) async fn graph(&self, path: &str) -> Result<Vec<Value>, Trouble> {
        let first = self.as_person(GRAPH, None, Method::GET, path.to_owned(), None).await?;
        self.rest(ok(first)?, GRAPH).await
    }

    async fn rest(&self, first: Value, audience: &str) -> Result<Vec<Value>, Trouble> {
        let mut items = Vec::new();
        let mut page = first;
        for _ in 0..PAGES_MAX {
            if let Some(Value::Array(more)) = page.get_mut("value").map(Value::take) {
                items.extend(more);
            }
            let next = page.get("nextLink").or_else(|| page.get("@odata.nextLink"));
            let Some(next) = next.and_then(Value::as_str) else { break };
            let Some(target) = next.strip_prefix(&self.console.settings.origin) else { break };
            let target = target.to_owned();
            page = ok(self.as_person(audience, None, Method::GET, target, None).await?)?;
        }
        Ok(items)
    }

    /// A call with a token of the person's, for an audience.
    pub(crate) async fn as_person(
        &self,
        audience: &str,
        host: Option<&str>,
        method: Method,
        target: String,
        body: Option<&Value>,
    ) -> Result<Told, Trouble> {
        let credential = self.bearer(audience).await?;
        let told = self.call(host, method, target, &credential, body).await;
        // At the management origin that is always about the token; at a hub it can be about roles.
        match host.is_none() && told.status == 401 {
            true => Err(Trouble::SignedOut { back: self.here.clone() }),
            false => Ok(told),
        }
    }

    /// What a header says of the person, for an audience.
    pub(crate) async fn bearer(&self, audience: &str) -> Result<String, Trouble> {
        let token = sign_in::token(self, audience).await?;
        Ok(format!("Bearer {}", token.reveal()))
    }

    /// A call with a credential of its own.
    pub(crate) async fn call(
        &self,
        host: Option<&str>,
        method: Method,
        target: String,
        credential: &str,
        body: Option<&Value>,
    ) -> Told {
        self.call_with(host, method, target, credential, body, HeaderMap::new()).await
    }

    /// The same with headers beside the usual ones.
    pub(crate) async fn call_with(
        &self,
        host: Option<&str>,
        method: Method,
        target: String,
        credential: &str,
        body: Option<&Value>,
        mut headers: HeaderMap,
    ) -> Told {
        let named = host.unwrap_or_else(|| self.console.host());
        if let Ok(value) = HeaderValue::from_str(named) {
            headers.insert(HOST, value);
        }
        if let Ok(value) = HeaderValue::from_str(credential) {
            headers.insert(AUTHORIZATION, value);
        }
        let body = body.map_or_else(Bytes::new, |it| Bytes::from(it.to_string()));
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let host = host.map(str::to_owned);
        (self.api)(Ask { host, method, target, headers, body }).await
    }

    /// A field of the form that came, where one came.
    pub(crate) fn sent(&self, name: &str) -> Option<&str> {
        self.form.as_ref().map(|it| it.get(name))
    }
}

/// The body of an answer that is none of an error.
pub(crate) fn ok(told: Told) -> Result<Value, Trouble> {
    match told.is_ok() {
        true => Ok(told.body),
        false => Err(Refused::of(&told).into()),
    }
}

/// A text in a value; empty where there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}
