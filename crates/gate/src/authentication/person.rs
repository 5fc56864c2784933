//! A person at the token endpoint: with a password, or with the refresh token of an earlier sign-in.
//!
//! What is slow or kept outside the facts was done before: the shown password was made into what would be kept
//! of it, the sign-in was read. Here is decided whether it fits.

use super::application::{self, Fault};
use super::{No, Proof, finding};
use crate::facts::{Facts, Person, SignIn};
use model::error::{DenialKind, TokenFault};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{ObjectId, PrincipalKind, Secret, Timestamp};
use ring::digest;
use subtle::ConstantTimeEq;

/// The clients that people sign in with here, and that hold no secret of their own: the Azure CLI, Azure
/// PowerShell. Source: Microsoft Entra, "Application IDs of commonly used Microsoft applications".
const CLIENTS: &[&str] =
    &["04b07795-8ddb-461a-bbee-02f9e1bf7b46", "1950a258-227b-4e31-a9cf-717495945fc2"];

/// What was looked up for somebody who signs in, for this call alone.
#[derive(Clone, Debug, Default)]
pub enum LookedUp {
    /// Nothing: nobody signs in as a person, or there is no such person or sign-in.
    #[default]
    Nothing,
    /// The shown password as it would be kept, with the salt and parameters of the one that is.
    Stretched(Secret<String>),
    /// So many wrong passwords came for this name that none counts until then.
    Barred {
        until: Timestamp,
    },
    /// More passwords are being checked than there is room for.
    Busy,
    SignIn(SignIn),
}

/// How a refresh token fits the sign-in that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// It is the one that was given out last.
    Current,
    /// It is the one before, and another process may just have used it.
    Former,
    /// It is the one before and was used long ago: two hold it, and one of them stole it.
    Reused,
    No,
}

impl SignIn {
    /// How the shown token fits, in constant time.
    pub fn fit(&self, token: &str, now: Timestamp) -> Fit {
        let shown = hash_token(token);
        let is = |kept: &[u8]| bool::from(shown.as_slice().ct_eq(kept));
        match &self.former {
            _ if is(&self.current) => Fit::Current,
            Some((former, until)) if is(former) && now < *until => Fit::Former,
            Some((former, _)) if is(former) => Fit::Reused,
            Some(_) | None => Fit::No,
        }
    }
}

/// What is kept in place of a refresh token. It holds 256 random bits: there is nothing to guess.
pub fn hash_token(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

/// What is wrong with a sign-in: the fault, its sentence, and what the trace says beyond it.
struct Wrong {
    fault: Fault,
    because: Option<&'static str>,
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Self { fault, because: None }
    }
}

pub(super) struct Shown<'a> {
    pub(super) tenant: &'a str,
    pub(super) client_id: &'a str,
    pub(super) looked_up: &'a LookedUp,
}

pub(super) fn password(
    shown: &Shown<'_>,
    username: &str,
    password: &Secret<String>,
    facts: &Facts,
) -> Proof {
    let proven = by_password(shown, username, password, facts);
    told(proven, username, "the password is right")
}

pub(super) fn refresh_token(
    shown: &Shown<'_>,
    token: &Secret<String>,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    let proven = by_token(shown, token, facts, now);
    told(proven, shown.client_id, "the refresh token is the one that was given out last")
}

fn told(proven: Result<Caller, Wrong>, whom: &str, why: &str) -> Proof {
    match proven {
        Ok(caller) => {
            let found = finding(FindingKind::Secret, &caller.name, FindingResult::Allow, why);
            Ok((caller, found))
        }
        Err(Wrong { fault: (fault, message), because }) => {
            let told = because.unwrap_or(&message);
            let whom: String = whom.chars().take(NAME_CHARS_SHOWN).collect();
            let found = finding(FindingKind::Secret, &whom, FindingResult::Deny, told);
            Err(Box::new(No { kind: DenialKind::Token(fault), message, finding: found }))
        }
    }
}

/// As much of a name as a trace keeps: anybody may send any.
const NAME_CHARS_SHOWN: usize = 120;

fn by_password(
    shown: &Shown<'_>,
    username: &str,
    password: &Secret<String>,
    facts: &Facts,
) -> Result<Caller, Wrong> {
    application::check_tenant(shown.tenant, facts)?;
    if username.is_empty() || password.reveal().is_empty() {
        let sentence = "the form must carry `username` and `password`.".to_owned();
        return Err((TokenFault::MissingField, sentence).into());
    }
    let client = client(shown.client_id)?;
    let bad = |because| Wrong {
        fault: (TokenFault::BadPassword, "the user name or the password is wrong.".into()),
        because: Some(because),
    };
    let person = facts.people.named(username);
    let stretched = match shown.looked_up {
        LookedUp::Barred { until } => {
            let sentence = format!(
                "too many wrong passwords were sent for this user; sign in again after {until}."
            );
            return Err((TokenFault::PersonBarred, sentence).into());
        }
        LookedUp::Busy => {
            let sentence =
                "too many people are signing in at this moment; try again later.".to_owned();
            return Err((TokenFault::TooManyTries, sentence).into());
        }
        LookedUp::Stretched(it) => it,
        LookedUp::Nothing | LookedUp::SignIn(_) => return Err(bad("no user has this name")),
    };
    let Some(person) = person else { return Err(bad("no user has this name")) };
    if !bool::from(stretched.reveal().as_bytes().ct_eq(person.password.reveal().as_bytes())) {
        return Err(bad("the password is wrong"));
    }
    let caller = caller(person, client, "password")?;
    if person.must_change {
        let sentence = "the password was set by somebody else, who wants it changed before it is used; there is no \
                        page for that here: `az ad user update --id {user} --password {new} \
                        --force-change-password-next-sign-in false` by an Owner does it.";
        return Err((TokenFault::PasswordToChange, sentence.into()).into());
    }
    Ok(caller)
}

fn by_token(
    shown: &Shown<'_>,
    token: &Secret<String>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Caller, Wrong> {
    application::check_tenant(shown.tenant, facts)?;
    if token.reveal().is_empty() {
        let sentence = "the form must carry `refresh_token`.".to_owned();
        return Err((TokenFault::MissingField, sentence).into());
    }
    let client = client(shown.client_id)?;
    let revoked = |because| Wrong {
        fault: (
            TokenFault::RevokedRefresh,
            "the refresh token is of no sign-in that stands; sign in again.".into(),
        ),
        because: Some(because),
    };
    let LookedUp::SignIn(sign_in) = shown.looked_up else {
        return Err(revoked("the sign-in was revoked or has ended, or there was none"));
    };
    match sign_in.fit(token.reveal(), now) {
        Fit::Current | Fit::Former => {}
        Fit::Reused => {
            return Err(revoked("the refresh token was used before; its sign-in is over"));
        }
        Fit::No => return Err(revoked("the refresh token was never given out for this sign-in")),
    }
    if sign_in.client != client {
        return Err(revoked("the refresh token was given out to another client"));
    }
    if now >= sign_in.ends {
        let sentence = format!("the refresh token ended at {}; sign in again.", sign_in.ends);
        return Err((TokenFault::EndedRefresh, sentence).into());
    }
    match facts.people.get(sign_in.person) {
        Some(person) => Ok(caller(person, client, "refresh token")?),
        None => Err(revoked("the user does not exist any more")),
    }
}

fn client(id: &str) -> Result<ObjectId, Fault> {
    let known = CLIENTS.iter().find(|it| it.eq_ignore_ascii_case(id));
    known.and_then(|it| ObjectId::parse(it)).ok_or_else(|| {
        (
            TokenFault::UnknownApplication,
            "people sign in with the Azure CLI or Azure PowerShell here; no other client id is taken for them."
                .to_owned(),
        )
    })
}

fn caller(person: &Person, client: ObjectId, by: &str) -> Result<Caller, Fault> {
    if !person.is_enabled {
        let sentence = "the user's account is switched off.".to_owned();
        return Err((TokenFault::PersonSwitchedOff, sentence));
    }
    Ok(Caller {
        kind: PrincipalKind::User,
        object_id: Some(person.id),
        app_id: Some(client),
        name: person.upn.clone(),
        auth: AuthType::Entra,
        signed_in: by.to_owned(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    })
}
