//! Sign-in and the directory: where tokens come from, and who can be given a role.
//!
//! [`discovery`] tells clients where to sign in, [`tokens`] answers with what they then show, signed with the
//! keys of [`signing`], and `applications` with their `passwords`, `certificates` and `federated` credentials,
//! `principals`, `users`, `groups` and their `members` are the part of Microsoft Graph behind `az ad` and
//! `az role assignment`. Whether a secret, an assertion or a token is right is not decided here: that is
//! `gate`'s authentication, by the facts that the `change_facts` functions below make from documents.
//! [`assertions`] remembers those that were used, [`sign_ins`] where people have signed in, and [`stretching`]
//! makes their passwords slow to guess. [`steps`] reads what leads people to tokens by a browser: [`sessions`], [`codes`]
//! and [`device_codes`]; [`conditional_access`] keeps what is asked before any token is issued; [`newcomers`] says who is too new to be known everywhere.

pub(crate) mod applications;
pub mod assertions;
mod certificates;
pub(crate) mod codes;
pub(crate) mod conditional_access;
pub(crate) mod device_codes;
pub(crate) mod discovery;
pub(crate) mod federated;
mod filters;
pub(crate) mod groups;
pub mod issuers;
pub(crate) mod members;
pub(crate) mod named_locations;
pub mod newcomers;
mod passwords;
mod person_tokens;
pub(crate) mod principals;
mod properties;
mod redirects;
pub(crate) mod sessions;
pub(crate) mod sign_ins;
pub mod signing;
pub(crate) mod steps;
pub mod stretching;
pub(crate) mod tenant;
pub mod tokens;
pub(crate) mod users;

pub use device_codes::DeviceTries;
pub use passwords::hash_secret;

use crate::control;
use crate::env::Env;
use applications::Application;
use model::{Error, ObjectId, Timestamp};
use passwords::{Holder, Password};
use principals::ServicePrincipal;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use store::{Change, Expect, ShardId, Table, tables};

/// A directory object as Graph shows it: its properties in their order.
type Object = serde_json::Map<String, Value>;

/// The documents of a tenant's first administrator: an application with one secret, and its service
/// principal. It holds no role yet.
///
/// `secret_text` and `salt` are random and the caller's; the secret is valid as long as any other
/// ([`passwords::SECRET_LIFETIME_DAYS`]).
#[expect(
    clippy::too_many_arguments,
    reason = "called once, at first start, which makes all of them"
)]
pub fn administrator(
    now: Timestamp,
    tenant: ObjectId,
    display_name: &str,
    app_id: ObjectId,
    app_object_id: ObjectId,
    sp_object_id: ObjectId,
    secret_text: &str,
    salt: &[u8],
) -> Vec<Change> {
    let mut application = Application::new(app_object_id, app_id, display_name, now);
    // First start makes no other random number for it, and the id of a key needs only to be its own.
    let mut key_id = [0_u8; 16];
    key_id.iter_mut().zip(hash_secret(salt, "key id")).for_each(|(to, from)| *to = from);
    application.passwords.push(Password::new(
        ObjectId(uuid::Builder::from_random_bytes(key_id).into_uuid()),
        Holder::Application,
        secret_text,
        salt,
        now..now.plus_seconds(passwords::SECRET_LIFETIME_DAYS * 86_400),
    ));
    let principal = ServicePrincipal::new(sp_object_id, &application, tenant, now);
    vec![
        first(tables::APPLICATIONS, application.key(), &application),
        first(tables::SERVICE_PRINCIPALS, principal.key(), &principal),
    ]
}

fn first<T: Serialize>(table: Table, key: String, document: &T) -> Change {
    control::put(table, key, Expect::Absent, document)
        .expect("structs of texts, numbers and JSON maps always have a JSON form")
}

/// Refuses one more of `what` where the table holds as many as a tenant may have.
async fn room_for_one(env: &Env, table: Table, most: u64, what: &str) -> Result<(), Error> {
    let count = env.store.count(&ShardId::control(), table).await;
    let count = count.map_err(|it| control::unread(&it))?;
    if count < most {
        return Ok(());
    }
    Err(Error::Invalid {
        code: "Directory_QuotaExceeded",
        at: None,
        message: format!("the tenant has {count} {what}, and takes no more; delete some first"),
    })
}

/// `bytes` in hexadecimal: nothing in it means anything to a shell, a URL or a form.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, it| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{it:02x}");
        text
    })
}

/// An object as Graph answers it alone: with the address of its description.
fn entity(env: &Env, set: &str, object: Object) -> Value {
    let mut whole = Object::new();
    whole.insert(
        "@odata.context".into(),
        context(&env.settings.origin, &format!("{set}/$entity")).into(),
    );
    whole.extend(object);
    Value::Object(whole)
}

fn context(origin: &str, what: &str) -> String {
    format!("{origin}/v1.0/$metadata#{what}")
}

/// A client's text inside a sentence: bounded, and without what could break a line.
fn shown(text: &str) -> String {
    let escaped = |it: char| match it {
        '\'' | '"' => it.to_string(),
        _ => it.escape_debug().to_string(),
    };
    text.chars().take(200).map(escaped).collect()
}
