//! When the key that signs tokens gives way to the next, and how long it is still taken.
//!
//! A key signs for [`SIGNS_DAYS`]; looked at when the server starts and in its hourly round. The next one is
//! on the disk before it signs anything, and the one before it stays until the last token that it signed has
//! ended, so nobody has to sign in again.

use crate::saved::{Saved, hide, reveal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Secret, Timestamp};
use ops::Env;
use ops::entra::signing::{Signer, SigningKeys, TAKEN_S};
use serde::{Deserialize, Serialize};
use store::{Engine, Expect, ShardId};

/// How long a key signs, in days.
const SIGNS_DAYS: i64 = 30;

/// A key as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    /// PKCS#8, base64.
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) key: Secret<String>,
    since: Timestamp,
    /// When the last token that it signed has ended, once it signs no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl SigningKey {
    /// Makes a key, which takes a while.
    pub(crate) async fn new(now: Timestamp) -> Result<Self, String> {
        let made = tokio::task::spawn_blocking(Signer::generate).await;
        let key = made.map_err(|it| format!("cannot make a key to sign tokens with: {it}"))??;
        Ok(Self { key: Secret::new(STANDARD.encode(key)), since: now, until: None })
    }

    fn signer(&self) -> Result<Signer, String> {
        let key = STANDARD
            .decode(self.key.reveal())
            .map_err(|_| "the token-signing key cannot be read")?;
        Signer::from_pkcs8(&key)
    }
}

/// The keys as the server uses them.
pub(crate) fn in_force(keys: &[SigningKey]) -> Result<SigningKeys, String> {
    let (newest, before) = signers(keys)?;
    Ok(SigningKeys::new(newest, before))
}

fn signers(keys: &[SigningKey]) -> Result<(Signer, Vec<Signer>), String> {
    let mut all = keys.iter().map(SigningKey::signer);
    let newest = all.next().ok_or("there is no key to sign tokens with")??;
    Ok((newest, all.collect::<Result<_, _>>()?))
}

/// Takes out the keys whose last token has ended, and puts a new one before one that has signed for long
/// enough. True where something changed.
pub(crate) async fn renew(keys: &mut Vec<SigningKey>, now: Timestamp) -> Result<bool, String> {
    let is_due = is_due(keys, now);
    let before = keys.len();
    keys.retain(|it| it.until.is_none_or(|until| now < until));
    if is_due {
        let next = SigningKey::new(now).await?;
        for it in keys.iter_mut().filter(|it| it.until.is_none()) {
            it.until = Some(now.plus_seconds(TAKEN_S));
        }
        keys.insert(0, next);
    }
    Ok(is_due || keys.len() != before)
}

fn is_due(keys: &[SigningKey], now: Timestamp) -> bool {
    keys.first().is_none_or(|it| now >= it.since.plus_seconds(SIGNS_DAYS * 86_400))
}

/// The same for a server that does not run yet.
pub(crate) async fn renew_saved(
    saved: &mut Saved,
    store: &Engine,
    now: Timestamp,
) -> Result<(), String> {
    if renew(&mut saved.signing_keys, now).await? {
        let change = saved.change(Expect::Present)?;
        store.commit(&ShardId::control(), vec![change]).await.map_err(|it| it.to_string())?;
    }
    Ok(())
}

/// The same for one that runs.
pub(crate) async fn rotate(env: &Env) -> Result<(), String> {
    let (mut saved, revision) =
        Saved::read(&env.store).await?.ok_or("the server's settings are gone")?;
    // Making a key takes long, so nobody waits for it. Whoever changes the settings meanwhile wins.
    if !renew(&mut saved.signing_keys, env.now()).await? {
        return Ok(());
    }
    let (newest, before) = signers(&saved.signing_keys)?;
    let verifying =
        [&newest].into_iter().chain(&before).map(Signer::verifying_key).collect::<Vec<_>>();
    let _change = env.facts.changing().await;
    let change = saved.change(Expect::Revision(revision))?;
    let committed = env.store.commit(&ShardId::control(), vec![change]).await;
    let committed = committed.map_err(|it| it.to_string())?;
    // INVARIANT: a key is on the disk, and the gates know it, before it signs its first token.
    env.facts.set_keys(verifying, committed.revision);
    env.signing_keys.replace(newest, before);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;

    fn key(name: &str, since_s: i64, until_s: Option<i64>) -> SigningKey {
        let (since, until) =
            (Timestamp::from_seconds(since_s), until_s.map(Timestamp::from_seconds));
        SigningKey { key: Secret::new(name.into()), since, until }
    }

    fn names(keys: &[SigningKey]) -> Vec<&str> {
        keys.iter().map(|it| it.key.reveal().as_str()).collect()
    }

    #[tokio::test]
    async fn a_key_gives_way_after_its_days_and_goes_with_its_last_token() {
        let mut keys = vec![key("one", 0, None)];
        let almost = Timestamp::from_seconds(SIGNS_DAYS * DAY_S - 1);
        assert_eq!(renew(&mut keys, almost).await, Ok(false));
        let due = almost.plus_seconds(1);
        assert_eq!(renew(&mut keys, due).await, Ok(true));
        assert_eq!((keys.len(), names(&keys)[1]), (2, "one"));
        assert!(in_force(&keys[..1]).is_ok(), "the new key signs");
        assert_eq!(renew(&mut keys, due.plus_seconds(TAKEN_S - 1)).await, Ok(false));
        assert_eq!(renew(&mut keys, due.plus_seconds(TAKEN_S)).await, Ok(true));
        assert_eq!((keys.len(), keys[0].since), (1, due));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_changes_nothing() {
        let mut keys = vec![key("two", 10 * DAY_S, None), key("one", 0, Some(11 * DAY_S))];
        assert_eq!(renew(&mut keys, Timestamp::from_seconds(DAY_S)).await, Ok(false));
        assert_eq!(names(&keys), ["two", "one"]);
    }

    #[tokio::test]
    async fn after_a_long_sleep_old_keys_go_and_a_new_one_comes_at_once() {
        let mut keys = vec![key("two", 10 * DAY_S, None), key("one", 0, Some(11 * DAY_S))];
        assert_eq!(renew(&mut keys, Timestamp::from_seconds(400 * DAY_S)).await, Ok(true));
        assert_eq!((keys.len(), names(&keys)[1]), (2, "two"));
        // A token that it signed a moment ago lives on.
        assert_eq!(keys[1].until, Some(Timestamp::from_seconds(400 * DAY_S + TAKEN_S)));
    }

    #[test]
    fn without_a_key_that_can_be_read_nothing_signs() {
        assert!(in_force(&[]).is_err());
        let told = in_force(&[key("not base64", 0, None)]).unwrap_err();
        assert!(!told.contains("not base64"), "a key in a sentence: {told}");
    }
}
