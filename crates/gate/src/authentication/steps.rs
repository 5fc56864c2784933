//! The steps of a person's way to tokens: a browser's session, an authorization code, a device code, and the
//! client behind each.
//!
//! What is kept of them was read before. Here is decided whether what is shown fits it.

use super::application::{self, Fault};
use super::clients::{self, Came, Client, RedirectKind, SIGN_IN_PAGES, shortened};
use super::person::{self, Fit, LookedUp};
use super::{Door, No, Once, Proof, finding};
use crate::facts::{DeviceAnswer, DeviceCode, Facts, GivenCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::credential::{Asking, SignInStep};
use model::error::{DenialKind, TokenFault};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{ObjectId, PrincipalKind, Secret, Timestamp};
use ring::digest;
use subtle::ConstantTimeEq;

/// Characters of a challenge and of its verifier. Source: RFC 7636, sections 4.1 and 4.2.
const CHALLENGE_CHARS: usize = 43;
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;
/// The one method that is taken: the other one shows the verifier to who reads the request.
const METHOD: &str = "S256";

/// Proves a step; beside it what to remember the client's credential by.
pub(super) fn step(
    step: &SignInStep,
    door: &Door<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<(Caller, model::trace::Finding, Option<Once>), Box<No>> {
    match step {
        SignInStep::Client { tenant, client_id, asks } => {
            let proven = client(tenant, client_id, asks, facts);
            told(proven, client_id, "the client may ask for it")
                .map(|(it, found)| (it, found, None))
        }
        SignInStep::Session { tenant, token, asks } => {
            let proven = session(tenant, token, asks, door, facts, now);
            told(proven, "session", "the session stands").map(|(it, found)| (it, found, None))
        }
        SignInStep::Code { tenant, client, code: _, redirect_uri, verifier } => {
            let came = clients::came(client, tenant, facts, now)?;
            let proven = code(&came, redirect_uri, verifier, door.looked_up, facts, now);
            let (caller, found) = told(proven, &client.id, "the authorization code is right")?;
            Ok((caller, found, came.once))
        }
        SignInStep::DeviceCode { tenant, client, code } => {
            let came = clients::came(client, tenant, facts, now)?;
            let proven = device_code(&came, code, door.looked_up, facts, now);
            let (caller, found) = told(proven, &client.id, "the device code was answered")?;
            Ok((caller, found, came.once))
        }
    }
}

fn told(proven: Result<Caller, Fault>, whom: &str, why: &str) -> Proof {
    match proven {
        Ok(caller) => {
            let found = finding(FindingKind::Secret, &caller.name, FindingResult::Allow, why);
            Ok((caller, found))
        }
        Err((fault, message)) => {
            let whom = shortened(whom);
            let found = finding(FindingKind::Secret, &whom, FindingResult::Deny, &message);
            Err(Box::new(No { kind: DenialKind::Token(fault), message, finding: found }))
        }
    }
}

fn fault<T>(fault: TokenFault, sentence: impl Into<String>) -> Result<T, Fault> {
    Err((fault, sentence.into()))
}

/// A client that names itself and holds nothing yet.
fn client(tenant: &str, id: &str, asks: &Asking, facts: &Facts) -> Result<Caller, Fault> {
    application::check_tenant(tenant, facts)?;
    let client = Client::named(id, facts)?;
    match asks {
        Asking::Nothing => {}
        Asking::Device { .. } => {
            if !client.takes_device_codes() {
                return fault(
                    TokenFault::NotForClient,
                    "the application is not registered for device codes; set its `isFallbackPublicClient` to true.",
                );
            }
        }
        Asking::Code { .. } => {
            check_code(asks, facts)?;
        }
    }
    Ok(Caller {
        kind: PrincipalKind::Anyone,
        object_id: None,
        app_id: Some(client.id),
        name: client.name().to_owned(),
        auth: AuthType::None,
        signed_in: "not at all: a client that names itself".into(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    })
}

/// Whether a client may have a code sent to an address; says as what that is registered.
fn check_code(asks: &Asking, facts: &Facts) -> Result<RedirectKind, Fault> {
    let Asking::Code { client_id, redirect_uri, challenge, challenge_method } = asks else {
        return fault(TokenFault::MissingField, "the form names no client that asks for a code.");
    };
    let client = Client::named(client_id, facts)?;
    let Some(kind) = client.redirect(redirect_uri, facts) else {
        return fault(
            TokenFault::BadRedirect,
            format!(
                "the redirect URI `{}` is not one that is registered on the application `{}`, letter by letter.",
                shortened(redirect_uri),
                client.name()
            ),
        );
    };
    let is_alphabet = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
    let is_right = challenge.len() == CHALLENGE_CHARS
        && challenge.bytes().all(is_alphabet)
        && challenge_method == METHOD;
    let is_left_out = challenge.is_empty() && challenge_method.is_empty();
    match (kind, is_right, is_left_out) {
        (_, true, _) | (RedirectKind::Web, false, true) => Ok(kind),
        (_, false, _) => fault(
            TokenFault::NoChallenge,
            format!(
                "a `code_challenge` of the method `{METHOD}` must come with it, {CHALLENGE_CHARS} characters long."
            ),
        ),
    }
}

/// As what an address of a client is registered, where a code may be sent there.
pub fn redirect_kind(asks: &Asking, facts: &Facts) -> Option<RedirectKind> {
    check_code(asks, facts).ok()
}

fn session(
    tenant: &str,
    token: &Secret<String>,
    asks: &Asking,
    door: &Door<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Caller, Fault> {
    application::check_tenant(tenant, facts)?;
    let ended = || fault(TokenFault::NoSession, "nobody is signed in with this session; sign in.");
    let LookedUp::Session(found) = door.looked_up else { return ended() };
    let Some(session) = &found.session else { return ended() };
    if session.fit(token.reveal(), now) != Fit::Current
        || Some(session.client) != ObjectId::parse(SIGN_IN_PAGES)
        || now >= session.ends
    {
        return ended();
    }
    let Some(person) = facts.people.get(session.person) else { return ended() };
    let mut for_client = session.client;
    match asks {
        Asking::Nothing => {}
        Asking::Code { client_id, .. } => {
            check_code(asks, facts)?;
            for_client = Client::named(client_id, facts)?.id;
        }
        Asking::Device { .. } => {
            if found.is_barred {
                return fault(
                    TokenFault::TooManyTries,
                    "too many codes were entered that there are none of; try again later.",
                );
            }
            let pending = |it: &&DeviceCode| now < it.ends && it.answer == DeviceAnswer::Nothing;
            let Some(device) = found.device.as_ref().filter(pending) else {
                return fault(
                    TokenFault::UnknownDeviceCode,
                    "no client waits for this code: it was mistyped, was answered, or has ended.",
                );
            };
            for_client = device.client;
        }
    }
    person::caller(person, for_client, "password, in a browser")
}

fn code(
    came: &Came,
    redirect_uri: &str,
    verifier: &Secret<String>,
    looked_up: &LookedUp,
    facts: &Facts,
    now: Timestamp,
) -> Result<Caller, Fault> {
    let LookedUp::Code(given) = looked_up else {
        return fault(
            TokenFault::BadCode,
            "the authorization code was never given out; sign in again.",
        );
    };
    if given.client != came.id {
        return fault(
            TokenFault::BadCode,
            "the authorization code was given out to another client; sign in again.",
        );
    }
    check_proof(given.is_proven, came)?;
    if given.was_used {
        return fault(
            TokenFault::UsedCode,
            "the authorization code was used before, so what it has given is revoked; sign in again.",
        );
    }
    if now >= given.ends {
        return fault(TokenFault::EndedCode, "the authorization code has ended; sign in again.");
    }
    if !given.stands {
        return fault(
            TokenFault::BadCode,
            "the session that the authorization code is of has ended; sign in again.",
        );
    }
    if given.redirect_uri != redirect_uri {
        return fault(
            TokenFault::OtherRedirect,
            "`redirect_uri` is not the address that the authorization code was sent to.",
        );
    }
    check_verifier(given, verifier)?;
    someone(given.person, came.id, "authorization code, after a password", facts)
}

/// A client that has proven itself once does each time, and one that holds no secret shows none.
pub(super) fn check_proof(is_proven: bool, came: &Came) -> Result<(), Fault> {
    match (is_proven, came.is_proven) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => fault(
            TokenFault::UnprovenClient,
            "the form must carry `client_secret` or `client_assertion`: the application holds one.",
        ),
        (false, true) => fault(
            TokenFault::ProofOfPublicClient,
            "the code went to a client that holds no secret, and a secret or assertion came with it.",
        ),
    }
}

fn check_verifier(given: &GivenCode, verifier: &Secret<String>) -> Result<(), Fault> {
    let shown = verifier.reveal();
    let is_right = match &given.challenge {
        Some(challenge) => {
            let hash = digest::digest(&digest::SHA256, shown.as_bytes());
            let made = URL_SAFE_NO_PAD.encode(hash);
            VERIFIER_CHARS.contains(&shown.len())
                && bool::from(made.as_bytes().ct_eq(challenge.as_bytes()))
        }
        None => shown.is_empty(),
    };
    match is_right {
        true => Ok(()),
        false => fault(
            TokenFault::BadVerifier,
            "the `code_verifier` is not that of the `code_challenge` that the code was asked for with.",
        ),
    }
}

fn device_code(
    came: &Came,
    shown: &Secret<String>,
    looked_up: &LookedUp,
    facts: &Facts,
    now: Timestamp,
) -> Result<Caller, Fault> {
    let unknown = || {
        fault(
            TokenFault::UnknownDeviceCode,
            "there is no such device code, or it was used; ask for another one.",
        )
    };
    let LookedUp::DeviceCode(kept) = looked_up else { return unknown() };
    let is_right = bool::from(person::hash_token(shown.reveal()).ct_eq(&kept.secret));
    if !is_right || kept.client != came.id {
        return unknown();
    }
    check_proof(false, came)?;
    match kept.answer {
        DeviceAnswer::No => {
            fault(TokenFault::DeviceCodeDeclined, "the person who was asked has declined it.")
        }
        _ if now >= kept.ends => {
            fault(TokenFault::DeviceCodeEnded, "the device code has ended; ask for another one.")
        }
        DeviceAnswer::Nothing if kept.is_hasty => fault(
            TokenFault::SlowDown,
            "nobody has answered the device code yet; wait longer between two questions.",
        ),
        DeviceAnswer::Nothing => fault(
            TokenFault::AuthorizationPending,
            "nobody has answered the device code yet; ask again.",
        ),
        DeviceAnswer::Yes { stands: false, .. } => fault(
            TokenFault::BadCode,
            "the session by which the device code was answered has ended; sign in again.",
        ),
        DeviceAnswer::Yes { person, stands: true } => {
            someone(person, came.id, "device code, after a password", facts)
        }
    }
}

fn someone(id: ObjectId, client: ObjectId, by: &str, facts: &Facts) -> Result<Caller, Fault> {
    match facts.people.get(id) {
        Some(person) => person::caller(person, client, by),
        None => fault(TokenFault::BadCode, "the user does not exist any more."),
    }
}
