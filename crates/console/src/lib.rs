//! The console: pages at the management origin, for people who would rather look than read.
//!
//! It decides nothing and knows nothing of its own. Every page is made of answers of the public API, called as the
//! person who is signed in, in the same process and on the same road as everybody's calls: what a page shows,
//! that person could have asked for on the command line, and each page says how. Start at [`Console::answer`].
//!
//! Pages are whole without scripts. What moves is drawn by the few files in `assets/`, from the same addresses.

mod api;
mod assets;
mod entra;
mod form;
mod hub;
mod layout;
mod page;
mod paths;
mod routes;
mod screens;
mod sessions;
mod sign_in;
mod trouble;
mod visit;

pub use api::{Api, Ask, Told};

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response};
use model::Timestamp;
use sessions::Sessions;
use std::sync::Arc;

/// Where the console begins.
pub const ROOT: &str = "/console";
/// Largest form that a page sends: a policy with its parameters.
pub const FORM_BYTES_MAX: usize = 1 << 20;

/// Fills bytes that nobody can guess.
pub type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// What the console is told of the server that it is part of.
pub struct Settings {
    /// `https://host:port`, the one origin at which pages are shown. No trailing slash.
    pub origin: String,
    pub tenant: String,
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub random: Arc<Random>,
}

/// The console of a server: who is signed in, and nothing else.
pub struct Console {
    settings: Settings,
    sessions: Sessions,
}

/// A request for a page, with its body read.
pub struct Asked {
    pub parts: Parts,
    pub body: Bytes,
}

impl Console {
    pub fn new(settings: Settings) -> Self {
        Self { settings, sessions: Sessions::default() }
    }

    /// True where a path is one of the console's, or of the pages of sign-in.
    pub fn is_at(path: &str) -> bool {
        path == "/"
            || entra::is_at(path)
            || path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request with a page. Never fails: what goes wrong is a page, too.
    pub async fn answer(&self, asked: Asked, api: &Api) -> Response<Bytes> {
        let method = asked.parts.method.clone();
        let page = routes::page(self, asked, api).await.unwrap_or_else(|it| it.page(self));
        let mut response = page.response();
        if method == Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        response
    }

    fn now(&self) -> Timestamp {
        (self.settings.now)()
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.settings.random)(&mut bytes);
        bytes
    }

    /// The host of the origin, with its port.
    fn host(&self) -> &str {
        self.settings.origin.strip_prefix("https://").unwrap_or("")
    }
}
