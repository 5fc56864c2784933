//! A person at the token endpoint: with a password, or with the refresh token of an earlier sign-in.
//!
//! What is slow or kept outside the facts was done before: the shown password was made into what would be kept
//! of it, the sign-in was read. Here is decided whether it fits.

use super::application::{self, Fault};
use super::clients::{Came, Client, SIGN_IN_PAGES, shortened};
use super::steps::check_proof;
use super::{No, Proof, finding};
use crate::facts::{DeviceCode, Facts, GivenCode, Person, SignIn};
use model::error::{DenialKind, TokenFault};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{ObjectId, Op, PrincipalKind, Secret, Timestamp};
use ring::digest;
use subtle::ConstantTimeEq;

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
    Session(Box<InBrowser>),
    Code(Box<GivenCode>),
    DeviceCode(Box<DeviceCode>),
}

/// A browser's session, and the device code whose words the person has entered.
#[derive(Clone, Debug, Default)]
pub struct InBrowser {
    pub session: Option<SignIn>,
    pub device: Option<DeviceCode>,
    /// The person has entered too many that there are none of.
    pub is_barred: bool,
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
    pub(super) op: Op,
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

/// A refresh token, of a client that has come with what it can show.
pub(super) fn refresh_token(
    came: &Came,
    token: &Secret<String>,
    looked_up: &LookedUp,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    let proven = by_token(came, token, looked_up, facts, now);
    let why = "the refresh token is the one that was given out last";
    told(proven, &came.id.to_string(), why)
}

fn told(proven: Result<Caller, Wrong>, whom: &str, why: &str) -> Proof {
    match proven {
        Ok(caller) => {
            let found = finding(FindingKind::Secret, &caller.name, FindingResult::Allow, why);
            Ok((caller, found))
        }
        Err(Wrong { fault: (fault, message), because }) => {
            let told = because.unwrap_or(&message);
            let found = finding(FindingKind::Secret, &shortened(whom), FindingResult::Deny, told);
            Err(Box::new(No { kind: DenialKind::Token(fault), message, finding: found }))
        }
    }
}

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
    let client = at_first_hand(shown, facts)?;
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
        LookedUp::Nothing
        | LookedUp::SignIn(_)
        | LookedUp::Session(_)
        | LookedUp::Code(_)
        | LookedUp::DeviceCode(_) => return Err(bad("no user has this name")),
    };
    let Some(person) = person else { return Err(bad("no user has this name")) };
    if !bool::from(stretched.reveal().as_bytes().ct_eq(person.password.reveal().as_bytes())) {
        return Err(bad("the password is wrong"));
    }
    let caller = caller(person, client, "password")?;
    if person.must_change && shown.op != Op::ChangeOwnPassword {
        let sentence = "the password was set by somebody else, who wants it changed before it is used; sign in with a \
                        browser, which asks for another one.";
        return Err((TokenFault::PasswordToChange, sentence.into()).into());
    }
    Ok(caller)
}

fn by_token(
    came: &Came,
    token: &Secret<String>,
    looked_up: &LookedUp,
    facts: &Facts,
    now: Timestamp,
) -> Result<Caller, Wrong> {
    if token.reveal().is_empty() {
        let sentence = "the form must carry `refresh_token`.".to_owned();
        return Err((TokenFault::MissingField, sentence).into());
    }
    let revoked = |because| Wrong {
        fault: (
            TokenFault::RevokedRefresh,
            "the refresh token is of no sign-in that stands; sign in again.".into(),
        ),
        because: Some(because),
    };
    let LookedUp::SignIn(sign_in) = looked_up else {
        return Err(revoked("the sign-in was revoked or has ended, or there was none"));
    };
    match sign_in.fit(token.reveal(), now) {
        Fit::Current | Fit::Former => {}
        Fit::Reused => {
            return Err(revoked("the refresh token was used before; its sign-in is over"));
        }
        Fit::No => return Err(revoked("the refresh token was never given out for this sign-in")),
    }
    if sign_in.client != came.id {
        return Err(revoked("the refresh token was given out to another client"));
    }
    check_proof(sign_in.is_proven, came)?;
    if now >= sign_in.ends {
        let sentence = format!("the refresh token ended at {}; sign in again.", sign_in.ends);
        return Err((TokenFault::EndedRefresh, sentence).into());
    }
    match facts.people.get(sign_in.person) {
        Some(person) => Ok(caller(person, came.id, "refresh token, after a password")?),
        None => Err(revoked("the user does not exist any more")),
    }
}

/// The client that has taken a person's name and password: the pages of sign-in, or a program at a terminal.
fn at_first_hand(shown: &Shown<'_>, facts: &Facts) -> Result<ObjectId, Fault> {
    if let (Op::OpenSession | Op::ChangeOwnPassword, Some(pages)) =
        (shown.op, ObjectId::parse(SIGN_IN_PAGES))
    {
        return Ok(pages);
    }
    let client = Client::named(shown.client_id, facts).ok().filter(Client::takes_passwords);
    client.map(|it| it.id).ok_or_else(|| {
        (
            TokenFault::UnknownApplication,
            "the Azure CLI and Azure PowerShell alone take people's passwords here; any other client sends the person to \
             a browser, or asks for a device code."
                .to_owned(),
        )
    })
}

pub(super) fn caller(person: &Person, client: ObjectId, by: &str) -> Result<Caller, Fault> {
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
