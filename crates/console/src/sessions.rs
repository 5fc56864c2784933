//! Who is signed in to the console, by the cookie that a browser shows. In memory: after a restart people sign in
//! again, and nothing of a session is ever on a disk.

use crate::Console;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::HeaderMap;
use hyper::header::COOKIE;
use model::{Secret, Timestamp};
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The cookie. `__Host-`: of this host alone, over TLS alone.
const NAME: &str = "__Host-hubward";
/// Most sessions; the one that was used longest ago makes room.
const SESSIONS_MAX: usize = 10_000;
/// How long a session lives unused, in seconds: half a day.
const UNUSED_S: i64 = 12 * 3_600;
const KEY_BYTES: usize = 32;

/// The sessions by the hash of their cookie: what is in memory opens nothing.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<Vec<u8>, Kept>>);

struct Kept {
    session: Arc<Session>,
    used: Timestamp,
}

/// A person at a browser.
pub(crate) struct Session {
    /// The name to sign in with.
    pub(crate) upn: String,
    pub(crate) name: String,
    pub(crate) object_id: String,
    /// What forms of this session carry, and forms of other sites cannot.
    pub(crate) forgery: String,
    /// Gets access tokens; another with each use.
    pub(crate) refresh: Mutex<Secret<String>>,
    /// Access tokens by audience, with the time until which they are used.
    pub(crate) tokens: Mutex<BTreeMap<String, (Secret<String>, Timestamp)>>,
}

/// A random text: a cookie, or what a form carries.
pub(crate) fn random_text(console: &Console) -> String {
    URL_SAFE_NO_PAD.encode(console.random::<KEY_BYTES>())
}

fn hash(key: &str) -> Vec<u8> {
    digest(&SHA256, key.as_bytes()).as_ref().to_vec()
}

impl Sessions {
    /// Keeps a session and answers the cookie for it.
    pub(crate) fn begin(&self, console: &Console, session: Session) -> String {
        let (key, now) = (random_text(console), console.now());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, it| now < it.used.plus_seconds(UNUSED_S));
        if all.len() >= SESSIONS_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, it)| it.used).map(|(it, _)| it.clone())
        {
            all.remove(&oldest);
        }
        all.insert(hash(&key), Kept { session: Arc::new(session), used: now });
        cookie(NAME, &key, UNUSED_S)
    }

    /// Whose cookie a browser shows.
    pub(crate) fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Arc<Session>> {
        let key = hash(&shown(headers, NAME)?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get_mut(&key).filter(|it| now < it.used.plus_seconds(UNUSED_S))?;
        kept.used = now;
        Some(Arc::clone(&kept.session))
    }

    /// Ends the session of a cookie and answers the cookie that takes it from the browser.
    pub(crate) fn end(&self, headers: &HeaderMap) -> String {
        if let Some(key) = shown(headers, NAME) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(&hash(&key));
        }
        cookie(NAME, "", 0)
    }
}

/// A cookie that scripts cannot read and other sites' forms do not bring along.
pub(crate) fn cookie(name: &str, value: &str, max_age_s: i64) -> String {
    format!("{name}={value}; Path=/; Max-Age={max_age_s}; Secure; HttpOnly; SameSite=Lax")
}

/// The value of a cookie that a browser shows.
pub(crate) fn shown(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = all.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
