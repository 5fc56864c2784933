//! One request about one device's policy, and what was answered.

use crate::IngestError;
use crate::http::Http;
use crate::items::Item;
use crate::next::{Answered, Hint};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, RETRY_AFTER};
use hyper::http::request;
use hyper::{Method, Request, Response};
use model::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::time::Duration;

/// What a path segment may hold as it is. Source: RFC 3986, section 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where policies are written.
#[derive(Clone, Debug)]
pub struct Target {
    /// The origin of Azure Resource Manager.
    arm: String,
    /// The resource id of the hub.
    hub: String,
    api_version: String,
}

impl Target {
    /// # Errors
    /// What of it cannot be an origin with TLS, or the id of a hub.
    pub fn new(arm: &str, hub: &str, api_version: &str) -> Result<Self, IngestError> {
        let arm = arm.trim_end_matches('/');
        if !arm.to_ascii_lowercase().starts_with("https://") {
            let why = format!("`{arm}` does not begin with `https://`: a token goes there");
            return Err(IngestError(why));
        }
        let is_hub = hub.to_ascii_lowercase().contains("/providers/microsoft.devices/iothubs/");
        if !hub.starts_with("/subscriptions/") || !is_hub {
            return Err(IngestError(format!(
                "`{hub}` is not the id of a hub: `/subscriptions/.../resourceGroups/.../providers/\
                 Microsoft.Devices/IotHubs/NAME`, as `az iot hub show --query id` prints it"
            )));
        }
        Ok(Self {
            arm: arm.to_owned(),
            hub: hub.trim_end_matches('/').to_owned(),
            api_version: api_version.to_owned(),
        })
    }

    pub fn hub(&self) -> &str {
        &self.hub
    }

    /// A request about a device's policy.
    fn about(&self, method: Method, device: &str, token: &Secret<String>) -> request::Builder {
        let Self { arm, hub, api_version } = self;
        let device = utf8_percent_encode(device, SEGMENT);
        Request::builder()
            .method(method)
            .uri(format!("{arm}{hub}/securityPolicies/{device}?api-version={api_version}"))
            .header(AUTHORIZATION, format!("Bearer {}", token.reveal()))
    }

    /// The request that writes or deletes a policy. `etag` is the one that it must still have.
    fn request(
        &self,
        item: &Item,
        token: &Secret<String>,
        etag: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let method = if item.policy.is_some() { Method::PUT } else { Method::DELETE };
        let mut request = self.about(method, &item.device, token);
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        let body = match &item.policy {
            Some(policy) => {
                request = request.header(CONTENT_TYPE, "application/json");
                resource(policy.get())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body)).map_err(|it| it.to_string())
    }

    /// Makes the request. Whatever happens is an answer.
    pub(crate) async fn call(
        &self,
        http: &Http,
        item: &Item,
        token: &Secret<String>,
        etag: Option<&str>,
    ) -> Answered {
        let failed = |message| Answered { message, ..Answered::default() };
        let request = match self.request(item, token, etag) {
            Ok(request) => request,
            Err(because) => return failed(because),
        };
        let answered = match http.send(request).await {
            Ok(answer) => answered(item, &answer),
            Err(because) => return failed(because),
        };
        match answered.status {
            // What changed it may have been this very write: its answer was lost, or the run that got it.
            412 => self.as_it_is(http, item, token).await.unwrap_or(answered),
            _ => answered,
        }
    }

    /// That a policy is written already, where it is there as it is to be; nothing where it is not, or where that cannot
    /// be seen.
    async fn as_it_is(&self, http: &Http, item: &Item, token: &Secret<String>) -> Option<Answered> {
        let request = self.about(Method::GET, &item.device, token).body(Full::default()).ok()?;
        let answer = http.send(request).await.ok()?;
        let there: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        let is_it = match (&item.policy, answer.status().as_u16()) {
            (Some(wanted), 200) => {
                let wanted: Value = serde_json::from_slice(&resource(wanted.get())).ok()?;
                wanted.get("properties") == there.get("properties")
            }
            (None, 404) => true,
            (Some(_) | None, _) => false,
        };
        let etag = there.get("etag").and_then(Value::as_str).map(str::to_owned);
        is_it.then(|| Answered { status: 200, etag, ..Answered::default() })
    }
}

/// A policy as Azure Resource Manager takes it: what has no `properties` is what belongs into them.
pub(crate) fn resource(policy: &str) -> Bytes {
    let is_resource =
        serde_json::from_str::<Value>(policy).is_ok_and(|it| it.get("properties").is_some());
    match is_resource {
        true => Bytes::copy_from_slice(policy.as_bytes()),
        false => format!("{{\"properties\":{policy}}}").into(),
    }
}

fn answered(item: &Item, answer: &Response<Bytes>) -> Answered {
    let header = |name: &str| text(answer.headers(), name);
    let status = answer.status().as_u16();
    // What is not there is deleted.
    let status = if status == 404 && item.policy.is_none() { 204 } else { status };
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    let at = |path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let code = at("/error/code").or_else(|| at("/error")).or_else(|| at("/code"));
    let message = at("/error/message").or_else(|| at("/message"));
    Answered {
        status,
        code: code.unwrap_or_default(),
        message: message.unwrap_or_else(|| format!("status {status} without a message")),
        hint: header("x-hubward-retry").and_then(|it| Hint::parse(&it)),
        after: header(RETRY_AFTER.as_str()).and_then(|it| it.parse().ok()).map(Duration::from_secs),
        tracking: header("x-ms-request-id"),
        etag: header(ETAG.as_str()).or_else(|| at("/etag")),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|it| it.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h";

    #[test]
    fn policies_go_to_hubs_and_over_tls_alone() {
        for (arm, hub) in [
            ("http://management.azure.com", HUB),
            ("https://h", "plant"),
            (
                "https://h",
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/provisioningServices/h",
            ),
        ] {
            assert!(Target::new(arm, hub, "v").is_err(), "{arm} {hub}");
        }
        assert!(Target::new("https://h/", HUB, "v").is_ok());
    }

    #[test]
    fn a_request_names_its_device_whatever_is_in_the_name() {
        let target = Target::new("https://h/", HUB, "2021-07-01").unwrap();
        let policy = serde_json::from_str("{\"maxKeyAgeDays\":1.50}").unwrap();
        let item = Item { device: "a/b?c".into(), policy: Some(policy) };
        let request = target.request(&item, &Secret::new("t".into()), Some("\"e\"")).unwrap();
        assert_eq!(request.method(), Method::PUT);
        let url = format!("https://h{HUB}/securityPolicies/a%2Fb%3Fc?api-version=2021-07-01");
        assert_eq!(request.uri().to_string(), url);
        assert_eq!(request.headers().get(IF_MATCH).unwrap(), "\"e\"");
        assert_eq!(resource("{\"a\":1.50}"), "{\"properties\":{\"a\":1.50}}");
        assert_eq!(resource("{\"properties\":{}}"), "{\"properties\":{}}");
    }
}
