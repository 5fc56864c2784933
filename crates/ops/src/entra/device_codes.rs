//! Device codes: a client without a browser shows a person a short code, the person enters it in a browser and says
//! yes or no, and the client, which asks meanwhile, gets tokens.
//!
//! A document per code, under what the person is told; of what the client holds its hash is kept. Whether either fits
//! is decided in `gate`.
//!
//! Source: RFC 8628; Microsoft identity platform, "OAuth 2.0 device authorization grant flow".

use super::stretching::Wrongs;
use super::{hex, person_tokens, sign_ins, tokens};
use crate::call::token_denial;
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{DeviceAnswer, DeviceCode};
use gate::{Client, InBrowser, LookedUp, Permit, hash_token};
use model::credential::Asking;
use model::error::TokenFault;
use model::{Error, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use store::{Change, CommitError, Expect, ShardId, tables};

/// How long a code lives, and how far apart a client's questions are to be, in seconds.
const CODE_S: i64 = 900;
const INTERVAL_S: i64 = 5;
/// How much sooner a question may come: clocks and networks are not even.
const INTERVAL_SLACK_S: i64 = 1;
/// Most codes at a time: what has ended makes room.
const CODES_MAX: u64 = 1_000;
const SECRET_BYTES: usize = 32;
/// What a person is told: consonants alone make no words, and none looks like another.
/// Source: RFC 8628, section 6.1.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS_OF_A_CODE: usize = 9;

/// When clients have asked last, and who has entered codes that there are none of. Forgotten with the process.
#[derive(Default)]
pub struct DeviceTries {
    asked: Mutex<BTreeMap<String, Timestamp>>,
    wrong: Wrongs,
}

impl DeviceTries {
    /// True where a client asks again too soon.
    fn is_hasty(&self, code: &str, now: Timestamp) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if u64::try_from(asked.len()).is_ok_and(|it| it >= CODES_MAX) {
            asked.retain(|_, it| now < it.plus_seconds(CODE_S));
        }
        let before = asked.insert(code.to_owned(), now);
        before.is_some_and(|it| now < it.plus_seconds(INTERVAL_S - INTERVAL_SLACK_S))
    }
}

/// A code as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    client: ObjectId,
    /// Base64 of [`hash_token`] of what the client holds.
    secret: String,
    scope: Option<String>,
    resource: Option<String>,
    asked: Timestamp,
    /// From where the client asked.
    address: String,
    ends: Timestamp,
    answer: Answer,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Nothing,
    Yes {
        person: ObjectId,
        /// The key of the session by which it was said.
        session: String,
    },
    No,
}

/// A code as a person enters it, in the spelling that it is kept under.
pub(super) fn as_kept(entered: &str) -> String {
    let letters = entered.chars().filter(|it| !it.is_whitespace() && *it != '-');
    letters.take(LETTERS_OF_A_CODE + 1).map(|it| it.to_ascii_uppercase()).collect()
}

/// The code of a client's form: under the name of the standard, or the older one, which some libraries send beside it.
pub(super) fn of_form(form: &Value) -> String {
    let said = |name: &str| model::json::text(form, &[name]).filter(|it| !it.is_empty());
    said("device_code").or_else(|| said("code")).unwrap_or("").to_owned()
}

fn user_code(random: [u8; 16]) -> String {
    let mut rest = u128::from_be_bytes(random);
    let letter = |_| {
        let at = usize::try_from(rest % 20).unwrap_or(0);
        rest /= 20;
        char::from(LETTERS.get(at).copied().unwrap_or(b'B'))
    };
    (0..LETTERS_OF_A_CODE).map(letter).collect()
}

async fn find(env: &Env, user_code: &str) -> Result<Option<(Kept, u64)>, Error> {
    if user_code.len() != LETTERS_OF_A_CODE {
        return Ok(None);
    }
    control::get(env, tables::DEVICE_CODES, user_code).await
}

/// What the gates decide by; none where a hash cannot be read, which nothing fits.
async fn fact(env: &Env, kept: &Kept, is_hasty: bool) -> Result<Option<DeviceCode>, Error> {
    let Ok(secret) = STANDARD.decode(&kept.secret) else { return Ok(None) };
    let answer = match &kept.answer {
        Answer::Nothing => DeviceAnswer::Nothing,
        Answer::No => DeviceAnswer::No,
        Answer::Yes { person, session } => {
            let stands = sign_ins::stands(env, session).await?;
            DeviceAnswer::Yes { person: *person, stands }
        }
    };
    Ok(Some(DeviceCode { client: kept.client, secret, ends: kept.ends, answer, is_hasty }))
}

/// A code that a client shows, with the scope and the resource that it asked for.
pub(super) async fn shown(
    env: &Env,
    code: &str,
) -> Result<Option<(DeviceCode, Option<String>, Option<String>)>, Error> {
    let Some((user_code, _)) = code.split_once('.') else { return Ok(None) };
    let Some((kept, _)) = find(env, user_code).await? else { return Ok(None) };
    let fact = fact(env, &kept, env.device_tries.is_hasty(user_code, env.now())).await?;
    Ok(fact.map(|it| (it, kept.scope, kept.resource)))
}

/// A browser's session, and the code that its person has entered.
pub(super) async fn in_browser(env: &Env, token: &str, asks: &Asking) -> Result<LookedUp, Error> {
    let mut found =
        InBrowser { session: sign_ins::session(env, token).await?, ..Default::default() };
    if let (Asking::Device { user_code }, Some(session)) = (asks, &found.session) {
        let person = session.person;
        // A try counts before it is known to be right, so that many at once are many.
        match env.device_tries.wrong.begin(person, env.now()) {
            Err(_) => found.is_barred = true,
            Ok(()) => {
                if let Some((kept, _)) = find(env, user_code).await? {
                    env.device_tries.wrong.forget(person);
                    found.device = fact(env, &kept, false).await?;
                }
            }
        }
    }
    Ok(LookedUp::Session(Box::new(found)))
}

/// Gives a client a code.
pub(crate) async fn request(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let client = permit.caller().app_id.ok_or_else(|| Error::Internal {
        message: "a device code was asked for by no client".into(),
    })?;
    let field = |name: &str| {
        let text = input.text(&[name]).map(str::trim);
        text.filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let (scope, resource) = (field("scope"), field("resource"));
    let checked = match (&scope, &resource) {
        (None, Some(resource)) => tokens::check_resource(resource, &env.settings.origin),
        (scope, _) => {
            tokens::check_persons_scope(scope.as_deref().unwrap_or(""), &env.settings.origin)
        }
    };
    checked.map_err(|(fault, sentence)| token_denial(fault, sentence))?;
    let user_code = user_code(env.random::<16>());
    let device_code = format!("{user_code}.{}", hex(&env.random::<SECRET_BYTES>()));
    let now = env.now();
    let kept = Kept {
        client,
        secret: STANDARD.encode(hash_token(&device_code)),
        scope,
        resource,
        asked: now,
        address: input.channel.address.clone(),
        ends: now.plus_seconds(CODE_S),
        answer: Answer::Nothing,
    };
    let mut changes = room(env).await?;
    changes.push(control::put(tables::DEVICE_CODES, user_code.clone(), Expect::Absent, &kept)?);
    let committed = env.store.commit(&ShardId::control(), changes).await;
    committed.map_err(|it| control::failed(&it))?;
    let page = format!("{}/device", env.settings.origin);
    let message = format!(
        "To sign in, use a web browser to open the page {page} and enter the code {user_code} to authenticate."
    );
    let body = json!({
        "user_code": user_code,
        "device_code": device_code,
        "verification_uri": page,
        // As version 1 calls it.
        "verification_url": page,
        "expires_in": CODE_S,
        "interval": INTERVAL_S,
        "message": message,
    });
    Ok(Reply::ok(body).with_header("Cache-Control", "no-store"))
}

/// Makes room for one more code.
async fn room(env: &Env) -> Result<Vec<Change>, Error> {
    let count = env.store.count(&ShardId::control(), tables::DEVICE_CODES).await;
    if count.map_err(|it| control::unread(&it))? < CODES_MAX {
        return Ok(Vec::new());
    }
    let now = env.now();
    let all: Vec<(String, Kept)> = control::all(env, tables::DEVICE_CODES, "").await?;
    let gone: Vec<Change> = all
        .into_iter()
        .filter(|(_, it)| it.ends <= now)
        .map(|(key, _)| control::delete(tables::DEVICE_CODES, key, Expect::Anything))
        .collect();
    match gone.is_empty() {
        true => Err(token_denial(
            TokenFault::TooManyTries,
            "too many device codes wait to be answered; try again later.",
        )),
        false => Ok(gone),
    }
}

fn unknown() -> Error {
    let sentence = "no client waits for this code: it was mistyped, was answered, or has ended.";
    token_denial(TokenFault::UnknownDeviceCode, sentence)
}

/// Says which client waits for a code, so that a person can tell whether it is the own one.
pub(crate) async fn read(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let entered = as_kept(input.text(&["user_code"]).unwrap_or(""));
    let (kept, _) = find(env, &entered).await?.ok_or_else(unknown)?;
    let facts = env.facts.load();
    let name = Client::find(kept.client, &facts).map(|it| it.name().to_owned());
    Ok(Reply::ok(json!({
        "client": { "id": kept.client, "name": name },
        "userCode": entered,
        "askedAt": kept.asked.rfc3339(),
        "askedFrom": kept.address,
        "endsAt": kept.ends.rfc3339(),
        "person": permit.caller().name,
    })))
}

/// Takes a person's answer, once.
pub(crate) async fn answer(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (person, _) = person_tokens::who(permit.caller())?;
    let session = sign_ins::key_of(input.text(&["session"]).unwrap_or("")).ok_or_else(unknown)?;
    let answer = match input.text(&["answer"]) {
        Some("approve") => Answer::Yes { person, session },
        Some("decline") => Answer::No,
        Some(_) | None => {
            let sentence = "`answer` is `approve` or `decline`.";
            return Err(token_denial(TokenFault::MissingField, sentence));
        }
    };
    let entered = as_kept(input.text(&["user_code"]).unwrap_or(""));
    let (kept, revision) = find(env, &entered).await?.ok_or_else(unknown)?;
    if !matches!(kept.answer, Answer::Nothing) {
        return Err(unknown());
    }
    let kept = Kept { answer, ..kept };
    let change = control::put(tables::DEVICE_CODES, entered, Expect::Revision(revision), &kept)?;
    match env.store.commit(&ShardId::control(), vec![change]).await {
        Ok(_) => Ok(Reply::ok(json!({ "answered": true }))),
        Err(CommitError::Conflict { .. }) => Err(unknown()),
        Err(other) => Err(control::failed(&other)),
    }
}

/// Uses a code that the gates have found answered: the first refresh token, where the client wants to come back.
///
/// # Errors
/// A denial of the token endpoint where another was quicker, or the session has ended since.
pub(super) async fn redeem(
    env: &Env,
    code: &str,
    comes_back: bool,
) -> Result<Option<String>, Error> {
    let user_code = code.split('.').next().unwrap_or("").to_owned();
    let (kept, revision) = find(env, &user_code).await?.ok_or_else(unknown)?;
    let Answer::Yes { person, session } = &kept.answer else { return Err(unknown()) };
    if !sign_ins::stands(env, session).await? {
        return Err(unknown());
    }
    let mut changes =
        vec![control::delete(tables::DEVICE_CODES, user_code, Expect::Revision(revision))];
    let mut refresh = None;
    if comes_back {
        let begun = sign_ins::beginning(env, *person, kept.client, false).await?;
        changes.extend(begun.changes);
        refresh = Some(begun.token);
    }
    match env.store.commit(&ShardId::control(), changes).await {
        Ok(_) => Ok(refresh),
        Err(CommitError::Conflict { .. }) => Err(unknown()),
        Err(other) => Err(control::failed(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_letters_that_no_other_looks_like_and_is_read_as_people_write_it() {
        let code = user_code(*b"0123456789abcdef");
        assert_eq!(code.len(), LETTERS_OF_A_CODE);
        assert!(code.bytes().all(|it| LETTERS.contains(&it)), "{code}");
        assert_ne!(user_code([0; 16]), user_code([1; 16]));
        let written = format!(" {}-{} ", &code[..4], code[4..].to_lowercase());
        assert_eq!(as_kept(&written), code);
        assert_ne!(as_kept(&format!("{code}B")), code);
    }

    #[test]
    fn a_client_that_asks_too_soon_is_hasty_and_no_other_is() {
        let tries = DeviceTries::default();
        let at = Timestamp::from_seconds;
        assert!(!tries.is_hasty("A", at(0)));
        assert!(tries.is_hasty("A", at(3)));
        assert!(!tries.is_hasty("B", at(3)));
        assert!(!tries.is_hasty("A", at(7)));
    }
}
