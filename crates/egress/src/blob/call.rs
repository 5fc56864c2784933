//! One call: its request, by the credential, and tries until it is answered.

use super::{ANSWER_WITHIN, Answered, BlobError, Blobs, Credential, PAGE_BYTES_MAX, VERSION, Why};
use crate::client::{EgressError, failed};
use crate::credential::{Token, TokenSource};
use crate::http::AGENT;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use model::{Secret, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;
use wire::storage::shared_key;

/// How often a call is tried.
const TRIES_MAX: u32 = 4;
/// How long is waited for the second try; each further time twice as long.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// So long before its end a token is asked for anew.
const TOKEN_EARLY_S: i64 = 120;

/// One call.
pub(super) struct Call {
    method: Method,
    /// Percent-encoded.
    path: String,
    /// Decoded.
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    answer_bytes_max: usize,
}

impl Call {
    pub(super) fn new(method: Method, path: String) -> Self {
        let (query, headers) = (Vec::new(), Vec::new());
        Self { method, path, query, headers, body: Bytes::new(), answer_bytes_max: PAGE_BYTES_MAX }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

impl Blobs {
    /// Calls, and tries again what may go better then.
    pub(super) async fn ask(&mut self, call: Call) -> Answered<Response<Bytes>> {
        let mut pause = PAUSE;
        for _ in 1..TRIES_MAX {
            let was_kept = self.open.is_some();
            let error = match self.try_once(&call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_new = error.status == 0 && !was_kept;
            let may_help = matches!(error.why, Why::Throttled | Why::Unreachable) && !is_new;
            // A token that was kept may have been taken back; a new one tells.
            let is_old = error.status == 401 && self.token.take().is_some() && was_kept;
            if !may_help && !is_old {
                return Err(error);
            }
            if error.status != 0 {
                tokio::time::sleep(error.retry_after.unwrap_or(pause).min(PAUSE_MAX)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        self.try_once(&call).await
    }

    async fn try_once(&mut self, call: &Call) -> Answered<Response<Bytes>> {
        let tried = tokio::time::timeout(ANSWER_WITHIN, self.asked(call)).await;
        let answer = tried.unwrap_or_else(|_| Err(EgressError::TimedOut.into()));
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) => Err(BlobError::of(&answer)),
            Err(error) => {
                self.open = None;
                Err(error)
            }
        }
    }

    async fn asked(&mut self, call: &Call) -> Answered<Response<Bytes>> {
        let request = self.request(call).await?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.client.open(&self.container.target).await?,
        };
        let answer = open.ask(request, call.answer_bytes_max).await?;
        self.open = Some(open);
        Ok(answer)
    }

    async fn request(&mut self, call: &Call) -> Answered<Request<Full<Bytes>>> {
        let now = (self.now)();
        let mut pairs: Vec<(String, String)> =
            call.query.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect();
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let own = call.query.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let sas = Some(self.container.sas.clone()).filter(|it| !it.is_empty());
        let query: Vec<String> = own.chain(sas).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("{}{mark}{}", call.path, query.join("&"));
        let date = now.rfc1123();
        let length = call.body.len().to_string();
        let mut headers: Vec<(HeaderName, String)> = vec![
            (HeaderName::from_static("x-ms-version"), VERSION.to_owned()),
            (HeaderName::from_static("x-ms-date"), date),
        ];
        if !call.body.is_empty() || call.method == Method::PUT {
            headers.push((CONTENT_LENGTH, length));
        }
        headers.extend(call.headers.iter().cloned());
        let authorization = match &self.credential {
            Credential::InAddress => None,
            Credential::Key(key) => {
                let signature = |it: &str| {
                    let decoded = percent_decode_str(it).decode_utf8_lossy();
                    decoded.into_owned()
                };
                let in_address = self.container.sas.split('&').filter_map(|it| it.split_once('='));
                pairs.extend(in_address.map(|(name, it)| (name.to_owned(), signature(it))));
                let signed: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let request = shared_key::Request {
                    method: call.method.as_str(),
                    path: &call.path,
                    query: &pairs,
                    headers: &signed,
                };
                Some(request.authorization(&self.container.account, key.reveal()))
            }
            Credential::Token(source) => {
                let source = Arc::clone(source);
                Some(format!("Bearer {}", self.token(&*source, now).await?.reveal()))
            }
        };
        let mut request = Request::builder().method(call.method.clone()).uri(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(text) = authorization {
            let mut value = HeaderValue::from_str(&text).map_err(|it| failed(&it))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .header(HOST, &self.container.target.authority)
            .header(USER_AGENT, AGENT)
            .body(Full::new(call.body.clone()));
        Ok(request.map_err(|it| failed(&it))?)
    }

    /// A token that holds for a while yet.
    async fn token(
        &mut self,
        source: &dyn TokenSource,
        now: Timestamp,
    ) -> Answered<Secret<String>> {
        let holds = |it: &Token| it.expiry > now.plus_seconds(TOKEN_EARLY_S);
        if !self.token.as_ref().is_some_and(holds) {
            let none = |why: String| BlobError::own(Why::Unauthorized, why);
            self.token = Some(source.token().await.map_err(none)?);
        }
        let text = self.token.as_ref().map(|it| it.text.clone());
        text.ok_or_else(|| BlobError::own(Why::Unauthorized, "there is no token".to_owned()))
    }
}
