//! Passwords of people, made slow to guess: Argon2id, with a salt for each, in PHC string format; and how many
//! guesses are taken at all.
//!
//! Whether a shown password is right is decided in `gate`'s authentication, which compares what is made here.
//! Stretching takes tens of milliseconds and 19 MiB, so it runs beside the runtime's own threads, and only so
//! often at a time.

use super::users::USERS_MAX;
use crate::env::Env;
use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use gate::{Facts, LookedUp};
use model::{Error, ObjectId, Secret, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// What a password must be. Source: Microsoft Entra, "Password policies that only apply to cloud user accounts".
pub(super) const PASSWORD_CHARS_MIN: usize = 8;
pub(super) const PASSWORD_CHARS_MAX: usize = 256;
pub(super) const PASSWORD_KINDS_MIN: usize = 3;

/// Memory in KiB, rounds and lanes. Source: OWASP Password Storage Cheat Sheet, Argon2id.
const MEMORY_KIB: u32 = 19 * 1_024;
const ROUNDS: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Passwords that are stretched at a time, and those that wait for it: with both, what strangers can make the
/// server do.
const AT_A_TIME: usize = 2;
const WAITING_MAX: usize = 64;

/// Wrong passwords in a row after which none counts for a while. Source: Microsoft Entra, "smart lockout".
const WRONG_MAX: u32 = 10;
/// How long that is: at first, twice as long with each further one, at most; in seconds.
const BARRED_S: i64 = 60;
const BARRED_S_MAX: i64 = 3_600;
/// After how long wrong passwords are forgotten, in seconds.
const FORGOTTEN_S: i64 = 86_400;

/// What stands in for the password of somebody who does not exist, so that both take as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Wrong passwords by person, and the room for stretching. Forgotten with the process.
pub struct Tries {
    wrong: Wrongs,
    room: Semaphore,
    waiting: Semaphore,
}

/// Wrong tries by person: of passwords, or of whatever else can be guessed.
#[derive(Default)]
pub(super) struct Wrongs(Mutex<BTreeMap<ObjectId, Wrong>>);

/// Tries of which none has been right since.
#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            wrong: Wrongs::default(),
            room: Semaphore::new(AT_A_TIME),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

impl Wrongs {
    /// Counts a try before it is known to be right, so that many at once are many.
    ///
    /// # Errors
    /// Until when none counts. Such a try is none.
    pub(super) fn begin(&self, person: ObjectId, now: Timestamp) -> Result<(), Timestamp> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_remembered = |it: &Wrong| now < it.last.plus_seconds(FORGOTTEN_S);
        if u64::try_from(all.len()).is_ok_and(|it| it >= USERS_MAX) {
            all.retain(|_, it| is_remembered(it));
        }
        let fresh = Wrong { count: 0, last: now, until: now };
        let tried = all.entry(person).or_insert(fresh);
        if !is_remembered(tried) {
            *tried = fresh;
        }
        if now < tried.until {
            return Err(tried.until);
        }
        tried.count = tried.count.saturating_add(1);
        tried.last = now;
        if let Some(beyond) = tried.count.checked_sub(WRONG_MAX) {
            let barred_s = BARRED_S.checked_shl(beyond.min(16)).unwrap_or(BARRED_S_MAX);
            tried.until = now.plus_seconds(barred_s.min(BARRED_S_MAX));
        }
        Ok(())
    }

    /// Forgets a person's wrong tries.
    pub(super) fn forget(&self, person: ObjectId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&person);
    }
}

impl Tries {
    /// Forgets a person's wrong passwords: a right one came, or another was set.
    pub(super) fn forget(&self, person: ObjectId) {
        self.wrong.forget(person);
    }
}

/// A new password as it is kept.
pub(super) async fn kept(env: &Env, password: Secret<String>) -> Result<String, Error> {
    let salt = SaltString::encode_b64(&env.random::<SALT_BYTES>())
        .map_err(|it| Error::Internal { message: format!("a salt cannot be written: {it}") })?;
    let params = Params::new(MEMORY_KIB, ROUNDS, LANES, None)
        .map_err(|it| Error::Internal { message: format!("Argon2 refuses: {it}") })?;
    stretched(password, Algorithm::Argon2id, Version::V0x13, params, salt.to_string()).await
}

/// The shown password as it would be kept, where it may be tried.
pub(super) async fn shown(
    env: &Env,
    facts: &Facts,
    username: &str,
    password: &Secret<String>,
) -> Result<LookedUp, Error> {
    if password.reveal().chars().nth(PASSWORD_CHARS_MAX).is_some() {
        return Ok(LookedUp::Stretched(Secret::new(String::new())));
    }
    let Ok(_waits) = env.tries.waiting.try_acquire() else { return Ok(LookedUp::Busy) };
    let Ok(_room) = env.tries.room.acquire().await else { return Ok(LookedUp::Busy) };
    let person = facts.people.named(username);
    if let Some(person) = person
        && let Err(until) = env.tries.wrong.begin(person.id, env.now())
    {
        return Ok(LookedUp::Barred { until });
    }
    let against = person.map_or(NOBODY, |it| it.password.reveal().as_str());
    let unreadable = |it: &dyn std::fmt::Display| Error::Internal {
        message: format!("a kept password cannot be read: {it}"),
    };
    let parsed = PasswordHash::new(against).map_err(|it| unreadable(&it))?;
    let algorithm = Algorithm::try_from(parsed.algorithm).map_err(|it| unreadable(&it))?;
    let params = Params::try_from(&parsed).map_err(|it| unreadable(&it))?;
    let salt = parsed.salt.ok_or_else(|| unreadable(&"it has no salt"))?.to_string();
    let made = stretched(password.clone(), algorithm, Version::V0x13, params, salt).await?;
    Ok(match person {
        Some(_) => LookedUp::Stretched(Secret::new(made)),
        None => LookedUp::Nothing,
    })
}

async fn stretched(
    password: Secret<String>,
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: String,
) -> Result<String, Error> {
    let work = move || {
        let salt = SaltString::from_b64(&salt).map_err(|it| it.to_string())?;
        let hash = Argon2::new(algorithm, version, params)
            .hash_password(password.reveal().as_bytes(), &salt)
            .map_err(|it| it.to_string())?;
        Ok::<String, String>(hash.to_string())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(because)) => Err(Error::Internal { message: format!("Argon2 failed: {because}") }),
        Err(because) => Err(Error::Internal { message: format!("Argon2 ended badly: {because}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(number: u128) -> ObjectId {
        ObjectId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn ten_wrong_passwords_bar_a_person_for_a_minute_then_for_two_and_nobody_else() {
        let tries = Tries::default();
        let at = Timestamp::from_seconds;
        let begin = |who: u128, second: i64| tries.wrong.begin(person(who), at(second));
        for second in 0..10 {
            assert_eq!(begin(1, second), Ok(()), "{second}");
        }
        assert_eq!(begin(1, 10), Err(at(69)));
        assert_eq!(begin(2, 10), Ok(()));
        assert_eq!(begin(1, 68), Err(at(69)));
        assert_eq!(begin(1, 69), Ok(()));
        assert_eq!(begin(1, 188), Err(at(189)));
        for _ in 0..20 {
            let Err(until) = begin(1, 189).and_then(|()| begin(1, 189)) else {
                panic!("not barred")
            };
            assert!(until <= at(189 + BARRED_S_MAX));
        }
        tries.forget(person(1));
        assert_eq!(begin(1, 189), Ok(()));
    }

    #[test]
    fn wrong_passwords_of_yesterday_are_forgotten() {
        let tries = Tries::default();
        let at = Timestamp::from_seconds;
        for second in 0..9 {
            assert_eq!(tries.wrong.begin(person(1), at(second)), Ok(()));
        }
        assert_eq!(tries.wrong.begin(person(1), at(8 + FORGOTTEN_S)), Ok(()));
        assert_eq!(tries.wrong.begin(person(1), at(9 + FORGOTTEN_S)), Ok(()));
    }

    #[tokio::test]
    async fn a_password_is_kept_salted_and_comes_out_the_same_with_its_salt_alone() {
        let env = crate::test_env::env();
        let secret = |it: &str| Secret::new(it.to_owned());
        let first = kept(&env, secret("Right-1234")).await.unwrap();
        let second = kept(&env, secret("Right-1234")).await.unwrap();
        assert_ne!(first, second);
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        let mut facts = gate::Facts::clone(&env.facts.load());
        facts.put_person(gate::facts::Person {
            id: person(1),
            upn: "ana@plant.example".into(),
            is_enabled: true,
            password: Secret::new(first.clone()),
            must_change: false,
        });
        let made = |name: &'static str, text: &'static str| {
            let (env, facts) = (&env, &facts);
            async move {
                match shown(env, facts, name, &Secret::new(text.to_owned())).await.unwrap() {
                    LookedUp::Stretched(it) => Some(it.reveal().clone()),
                    LookedUp::Nothing
                    | LookedUp::Barred { .. }
                    | LookedUp::Busy
                    | LookedUp::SignIn(_)
                    | LookedUp::Session(_)
                    | LookedUp::Code(_)
                    | LookedUp::DeviceCode(_) => None,
                }
            }
        };
        assert_eq!(made("ANA@plant.example", "Right-1234").await, Some(first.clone()));
        assert_ne!(made("ana@plant.example", "right-1234").await, Some(first));
        assert_eq!(made("bob@plant.example", "Right-1234").await, None);
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
