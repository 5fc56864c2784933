//! Where people have signed in: each sign-in has a refresh token, which is another with each use.
//!
//! A document per sign-in keeps the hashes of the token that was given out last and of the one before. Whether
//! a shown one fits is decided in `gate`. One that is used a second time, when both processes of a client have
//! long had the new one, ends its sign-in: two hold it, and one of them stole it.

use super::hex;
use crate::call::token_denial;
use crate::control;
use crate::env::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::SignIn;
use gate::{Fit, LookedUp, SIGN_IN_PAGES, hash_token};
use model::error::TokenFault;
use model::{Error, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Change, CommitError, Expect, ShardId, tables};
use uuid::Uuid;

/// How long a refresh token lives unused, and how long a sign-in lives at all, in days.
const UNUSED_DAYS: i64 = 14;
const SIGN_IN_DAYS: i64 = 90;
/// How long a browser's session lives, in seconds.
pub(super) const SESSION_S: i64 = 86_400;
/// How long the token before the last still gets tokens, in seconds: two processes may share a client's memory.
const FORMER_S: i64 = 60;
/// Most sign-ins of a person: the one that would end first makes room.
const SIGN_INS_MAX: usize = 100;
/// How often a use is tried that others get in the way of.
const ATTEMPTS: usize = 3;
const TOKEN_BYTES: usize = 32;

/// A sign-in as it is kept. No `Debug`: a hash is not for logs either.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    client: ObjectId,
    #[serde(default)]
    is_proven: bool,
    started: Timestamp,
    ends: Timestamp,
    /// Base64 of [`hash_token`].
    current: String,
    former: Option<Former>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Former {
    hash: String,
    until: Timestamp,
}

impl Kept {
    /// What the gates decide by; none where a hash cannot be read, which fits no token.
    fn fact(&self, person: ObjectId) -> Option<SignIn> {
        let former = match &self.former {
            Some(it) => Some((STANDARD.decode(&it.hash).ok()?, it.until)),
            None => None,
        };
        Some(SignIn {
            person,
            client: self.client,
            is_proven: self.is_proven,
            current: STANDARD.decode(&self.current).ok()?,
            former,
            ends: self.ends,
        })
    }
}

/// Which sign-in a refresh token names: the person, and the document's key.
fn named(token: &str) -> Option<(ObjectId, String)> {
    let mut parts = token.split('.');
    let (person, sign_in) = (parts.next()?, parts.next()?);
    parts.next().filter(|it| it.len() == TOKEN_BYTES * 2)?;
    let person = ObjectId(Uuid::try_parse(person).ok()?);
    let sign_in = Uuid::try_parse(sign_in).ok()?;
    parts.next().is_none().then(|| (person, key(person, sign_in)))
}

fn key(person: ObjectId, sign_in: Uuid) -> String {
    format!("{person}/{sign_in}")
}

/// A new refresh token for the sign-in of a key.
fn new_token(env: &Env, key: &str) -> String {
    let names = key.replace('-', "").replace('/', ".");
    format!("{names}.{}", hex(&env.random::<TOKEN_BYTES>()))
}

fn hash(token: &str) -> String {
    STANDARD.encode(hash_token(token))
}

/// The key of the sign-in that a token names, right or wrong.
pub(super) fn key_of(token: &str) -> Option<String> {
    named(token).map(|(_, key)| key)
}

/// The session of a browser that a token is right for; whether it goes on is decided in `gate`.
pub(super) async fn session(env: &Env, token: &str) -> Result<Option<SignIn>, Error> {
    let Some((person, key)) = named(token) else { return Ok(None) };
    let found: Option<(Kept, u64)> = control::get(env, tables::SIGN_INS, &key).await?;
    let session = found.and_then(|(it, _)| it.fact(person));
    Ok(session.filter(|it| it.fit(token, env.now()) == Fit::Current))
}

/// True where the sign-in of a key goes on.
pub(super) async fn stands(env: &Env, key: &str) -> Result<bool, Error> {
    let found: Option<(Kept, u64)> = control::get(env, tables::SIGN_INS, key).await?;
    Ok(found.is_some_and(|(it, _)| env.now() < it.ends))
}

/// What is kept of a refresh token. One that was used before ends its sign-in.
pub(super) async fn of_token(env: &Env, token: &str) -> Result<LookedUp, Error> {
    let Some((person, key)) = named(token) else { return Ok(LookedUp::Nothing) };
    let found: Option<(Kept, u64)> = control::get(env, tables::SIGN_INS, &key).await?;
    let Some(sign_in) = found.and_then(|(it, _)| it.fact(person)) else {
        return Ok(LookedUp::Nothing);
    };
    // The gates refuse it; whoever holds the other one gets nothing more either.
    if sign_in.fit(token, env.now()) == Fit::Reused {
        let gone = control::delete(tables::SIGN_INS, key, Expect::Anything);
        env.store
            .commit(&ShardId::control(), vec![gone])
            .await
            .map_err(|it| control::failed(&it))?;
    }
    Ok(LookedUp::SignIn(sign_in))
}

/// A new sign-in, to be committed with what it comes of.
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) token: String,
    pub(super) changes: Vec<Change>,
}

/// Keeps a new sign-in of a person, and gives its first refresh token.
pub(super) async fn begin(env: &Env, person: ObjectId, client: ObjectId) -> Result<String, Error> {
    let begun = beginning(env, person, client, false).await?;
    let committed = env.store.commit(&ShardId::control(), begun.changes).await;
    committed.map_err(|it| control::failed(&it))?;
    Ok(begun.token)
}

/// A new sign-in of a person with a client, which has proven itself or holds no secret; of the pages of sign-in it is
/// a browser's session.
pub(super) async fn beginning(
    env: &Env,
    person: ObjectId,
    client: ObjectId,
    is_proven: bool,
) -> Result<Begun, Error> {
    let now = env.now();
    let mut others: Vec<(String, Kept)> =
        control::all(env, tables::SIGN_INS, &format!("{person}/")).await?;
    others.sort_by_key(|(_, it)| it.ends);
    let ended = others.iter().filter(|(_, it)| it.ends <= now).count();
    let gone = ended.max((others.len() + 1).saturating_sub(SIGN_INS_MAX));
    let mut changes: Vec<Change> = others
        .into_iter()
        .take(gone)
        .map(|(key, _)| control::delete(tables::SIGN_INS, key, Expect::Anything))
        .collect();
    let key = key(person, env.new_uuid());
    let token = new_token(env, &key);
    let ends = match ObjectId::parse(SIGN_IN_PAGES) == Some(client) {
        true => now.plus_seconds(SESSION_S),
        false => ends(now, now),
    };
    let current = hash(&token);
    let kept = Kept { client, is_proven, started: now, ends, current, former: None };
    changes.push(control::put(tables::SIGN_INS, key.clone(), Expect::Absent, &kept)?);
    Ok(Begun { key, token, changes })
}

fn ends(started: Timestamp, now: Timestamp) -> Timestamp {
    let unused = now.plus_seconds(UNUSED_DAYS * 86_400);
    unused.min(started.plus_seconds(SIGN_IN_DAYS * 86_400))
}

/// Uses a refresh token that the gates have found right: the next one in its place. None where another process
/// has just got that.
///
/// # Errors
/// A denial of the token endpoint where the sign-in was revoked since.
pub(super) async fn renew(env: &Env, token: &str) -> Result<Option<String>, Error> {
    let now = env.now();
    let revoked = || {
        let sentence = "the refresh token is of no sign-in that stands; sign in again.";
        token_denial(TokenFault::RevokedRefresh, sentence)
    };
    let (person, key) = named(token).ok_or_else(revoked)?;
    for _ in 0..ATTEMPTS {
        let found: Option<(Kept, u64)> = control::get(env, tables::SIGN_INS, &key).await?;
        let (kept, revision) = found.ok_or_else(revoked)?;
        match kept.fact(person).map(|it| it.fit(token, now)) {
            Some(Fit::Current) => {}
            Some(Fit::Former) => return Ok(None),
            Some(Fit::Reused | Fit::No) | None => return Err(revoked()),
        }
        let next = new_token(env, &key);
        let former = Former { hash: kept.current, until: now.plus_seconds(FORMER_S) };
        let kept = Kept {
            ends: ends(kept.started, now),
            current: hash(&next),
            former: Some(former),
            ..kept
        };
        let change =
            control::put(tables::SIGN_INS, key.clone(), Expect::Revision(revision), &kept)?;
        match env.store.commit(&ShardId::control(), vec![change]).await {
            Ok(_) => return Ok(Some(next)),
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => return Err(control::failed(&other)),
        }
    }
    Err(Error::Unavailable { message: "the sign-in is used by others; try again".into() })
}

/// Ends every sign-in of a person.
pub(super) async fn change_to_none(env: &Env, person: ObjectId) -> Result<Vec<Change>, Error> {
    let all: Vec<(String, Kept)> =
        control::all(env, tables::SIGN_INS, &format!("{person}/")).await?;
    let gone = all.into_iter().map(|(key, _)| {
        // Whoever signs in meanwhile would keep a sign-in; nobody can, while facts change.
        control::delete(tables::SIGN_INS, key, Expect::Anything)
    });
    Ok(gone.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refresh_token_names_its_sign_in_and_nothing_else_does() {
        let env = crate::test_env::env();
        let person = ObjectId(Uuid::from_u128(1));
        let key = key(person, Uuid::from_u128(2));
        let token = new_token(&env, &key);
        assert_eq!(named(&token), Some((person, key.clone())));
        let (names, secret) = token.rsplit_once('.').unwrap();
        for wrong in [
            "",
            "..",
            names,
            secret,
            &format!("{token}0"),
            &format!("{token}.x"),
            &format!("x{token}"),
            &format!("{names}.{}", &secret[1..]),
        ] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_sign_in_ends_unused_after_14_days_and_after_90_in_any_case() {
        let day = |it: i64| Timestamp::from_seconds(it * 86_400);
        assert_eq!(ends(day(0), day(0)), day(14));
        assert_eq!(ends(day(0), day(70)), day(84));
        assert_eq!(ends(day(0), day(80)), day(90));
    }
}
