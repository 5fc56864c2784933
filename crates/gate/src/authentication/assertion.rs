//! An application's client assertion at the token endpoint: a token that it signed with the key of one of
//! its certificates, or that an issuer signed for it which one of its federated credentials names.
//!
//! Who the assertion says has issued it decides which of the two it is; everything that it says counts only
//! once its signature is found right. Whether it was used before is for whoever remembers to say:
//! [`Once`] is what to remember.

use super::application::{self, Fault, check_tenant, named};
use super::{CLOCK_SKEW_S, No, finding};
use crate::facts::{Application, Certificate, Facts, FederatedCredential, VerifyingKey};
use crate::jwt::{NotAToken, Parts};
use model::error::TokenFault;
use model::trace::{Caller, Finding, FindingKind, FindingResult};
use model::{ObjectId, Timestamp};
use ring::digest::{Context, SHA256, digest};

/// The one kind of assertion that is taken. Source: RFC 7523, section 2.2.
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead the end of an assertion may lie that a client signs itself, in seconds. Clients sign for 5
/// to 10 minutes. Entra has no limit; we remember each assertion to its end, so that needs one.
const LIFETIME_S_MAX: i64 = 3_600;

/// What an assertion is told apart by, so that it opens each door once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Once {
    /// Of the client and its `jti`; of the whole where there is no `jti`.
    pub name: [u8; 32],
    /// Of the whole.
    pub content: [u8; 32],
    /// Until when it would be taken.
    pub until: Timestamp,
}

/// What a client shows, as it stands in the form.
pub(super) struct Shown<'a> {
    pub(super) tenant: &'a str,
    pub(super) client_id: &'a str,
    pub(super) kind: &'a str,
    pub(super) assertion: &'a str,
}

/// Proves a client assertion. One that the client signed itself comes with what to remember it by.
pub(super) fn client_assertion(
    shown: &Shown<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<(Caller, Finding, Option<Once>), Box<No>> {
    let kind = FindingKind::Token;
    match proven(shown, facts, now) {
        Ok((caller, once)) => {
            let reason = format!("the client assertion is right: {}", caller.signed_in);
            Ok((caller, finding(kind, shown.client_id, FindingResult::Allow, &reason), once))
        }
        Err((fault, message)) => Err(application::token_no(kind, fault, message, shown.client_id)),
    }
}

fn proven(
    shown: &Shown<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<(Caller, Option<Once>), Fault> {
    check_tenant(shown.tenant, facts)?;
    if shown.client_id.is_empty() || shown.assertion.is_empty() || shown.kind != KIND {
        let sentence = format!(
            "the form must carry `client_id`, `client_assertion` and `client_assertion_type={KIND}`."
        );
        return Err((TokenFault::MissingField, sentence));
    }
    let application = named(shown.client_id, facts)?;
    let parts = Parts::read(shown.assertion).map_err(|fault| match fault {
        NotAToken::Malformed(because) => {
            (TokenFault::BadAssertion, format!("the client assertion cannot be read: {because}."))
        }
        NotAToken::Unsigned(because) => unproven(&format!("{because}.")),
    })?;
    match ObjectId::parse(parts.text("iss")) == Some(application.app_id) {
        true => {
            let certificate = signed_by_itself(&parts, application, facts, now)?;
            let signed_in = format!("client certificate {}", certificate.thumbprint());
            let once = once(&parts, application);
            Ok((application::caller(application, signed_in, facts)?, Some(once)))
        }
        false => {
            let credential = signed_for_it(&parts, application, facts, now)?;
            let signed_in = format!("federated credential {}", credential.name);
            // Not ours to spend: a workload shows the token that its platform gave it as long as it lives.
            Ok((application::caller(application, signed_in, facts)?, None))
        }
    }
}

fn unproven(because: &str) -> Fault {
    (TokenFault::UnprovenAssertion, format!("the client assertion is not proven: {because}"))
}

/// The certificate of the application whose key has signed an assertion that is for this server, now.
fn signed_by_itself<'a>(
    parts: &Parts<'_>,
    application: &'a Application,
    facts: &Facts,
    now: Timestamp,
) -> Result<&'a Certificate, Fault> {
    let signer = certificate(parts, application)?;
    if ObjectId::parse(parts.text("sub")) != Some(application.app_id) {
        return Err((
            TokenFault::AssertionClient,
            "`iss` and `sub` of the client assertion must both be the client id.".into(),
        ));
    }
    if !parts.audiences().iter().any(|it| is_own_address(it, facts)) {
        return Err((
            TokenFault::AssertionAudience,
            format!(
                "the client assertion is not for this server; its `aud` must be `{}/{}/oauth2/v2.0/token`.",
                facts.origin, facts.tenant
            ),
        ));
    }
    let expires = live(parts, now)?;
    if expires > now.plus_seconds(LIFETIME_S_MAX + CLOCK_SKEW_S) {
        return Err((
            TokenFault::AssertionTime,
            format!(
                "the client assertion lives too long; its `exp` may lie at most {LIFETIME_S_MAX} s ahead."
            ),
        ));
    }
    if now < signer.starts {
        return Err(unproven(&format!(
            "the certificate {} is not valid before {}.",
            signer.thumbprint(),
            signer.starts
        )));
    }
    if now >= signer.expires {
        return Err(unproven(&format!(
            "the certificate {} has expired at {}; `az ad app credential reset` takes a new one.",
            signer.thumbprint(),
            signer.expires
        )));
    }
    Ok(signer)
}

/// The certificate that the header names, once its key is found to have signed.
///
/// The SHA-1 thumbprint is a name by which older clients point at a certificate, and no more: what proves is
/// the signature.
fn certificate<'a>(
    parts: &Parts<'_>,
    application: &'a Application,
) -> Result<&'a Certificate, Fault> {
    let sha256 = parts.header_hash("x5t#S256");
    let sha1 = parts.header_hash("x5t");
    let is_meant = |it: &&Certificate| match (&sha256, &sha1) {
        (Some(named), _) => it.sha256 == *named,
        // Some libraries write the SHA-256 thumbprint under the older name.
        (None, Some(named)) => it.sha1 == *named || it.sha256 == *named,
        (None, None) => false,
    };
    if sha256.is_none() && sha1.is_none() {
        return Err(unproven("its header names no certificate by `x5t#S256` or `x5t`."));
    }
    let mut meant = application.certificates.iter().filter(is_meant).peekable();
    if meant.peek().is_none() {
        return Err(unproven(
            "the certificate that its header names is not registered on the application; \
             `az ad app credential list --cert` shows those that are.",
        ));
    }
    meant.find(|it| parts.is_signed_with(&it.public_der)).ok_or_else(|| {
        unproven("its signature is not that of the certificate that its header names.")
    })
}

/// The federated credential of the application that an assertion of another issuer fits.
fn signed_for_it<'a>(
    parts: &Parts<'_>,
    application: &'a Application,
    facts: &Facts,
    now: Timestamp,
) -> Result<&'a FederatedCredential, Fault> {
    let issuer = parts.text("iss");
    let of_issuer: Vec<&FederatedCredential> =
        application.federated.iter().filter(|it| it.issuer == issuer).collect();
    if of_issuer.is_empty() {
        let sentence = "the client assertion's issuer is neither the application itself nor that of a federated \
                        credential of it; both are compared letter by letter.";
        return Err((TokenFault::FederatedIssuer, sentence.into()));
    }
    let Some(keys) = keys_of(issuer, facts) else {
        let sentence = "the keys of the client assertion's issuer are not known here, and this server fetches none; \
                        its operator can put them into `trusted-issuers`.";
        return Err((TokenFault::FederatedIssuer, sentence.into()));
    };
    let key_id = parts.header("kid").ok_or_else(|| unproven("its header names no key (`kid`)."))?;
    if !keys.iter().any(|it| it.key_id == key_id && parts.is_signed_with(&it.public_der)) {
        return Err(unproven("none of its issuer's keys that are known here has signed it."));
    }
    let audiences = parts.audiences();
    let for_us: Vec<&FederatedCredential> =
        of_issuer.into_iter().filter(|it| audiences.contains(&it.audience.as_str())).collect();
    if for_us.is_empty() {
        let sentence =
            "no federated credential of the application has the client assertion's audience.";
        return Err((TokenFault::FederatedAudience, sentence.into()));
    }
    let subject = parts.text("sub");
    let Some(credential) = for_us.into_iter().find(|it| it.subject == subject) else {
        let sentence = "no federated credential of the application has the client assertion's subject; \
                        it is compared letter by letter.";
        return Err((TokenFault::FederatedSubject, sentence.into()));
    };
    live(parts, now)?;
    // What we signed ourselves ends with whom we signed it for, as everywhere.
    let is_on = |it: &str| {
        ObjectId::parse(it).and_then(|it| facts.principals.get(&it)).is_some_and(|it| it.is_enabled)
    };
    if issuer == own_issuer(facts) && !is_on(subject) {
        return Err(unproven("the principal that it stands for is switched off or gone."));
    }
    Ok(credential)
}

fn own_issuer(facts: &Facts) -> String {
    format!("{}/{}/v2.0", facts.origin, facts.tenant)
}

fn keys_of<'a>(issuer: &str, facts: &'a Facts) -> Option<&'a [VerifyingKey]> {
    match issuer == own_issuer(facts) {
        true => Some(&facts.keys),
        false => facts.issuers.iter().find(|it| it.issuer == issuer).map(|it| it.keys.as_slice()),
    }
}

/// The addresses that clients name this server's token endpoint by: that of either version, and those of the
/// tenant and of the issuer, which older libraries send.
fn is_own_address(audience: &str, facts: &Facts) -> bool {
    let rest = audience
        .strip_prefix(facts.origin.as_str())
        .and_then(|it| it.strip_prefix('/'))
        .and_then(|it| it.split_at_checked(facts.tenant.to_string().len()));
    rest.is_some_and(|(tenant, path)| {
        tenant.eq_ignore_ascii_case(&facts.tenant.to_string())
            && ["/oauth2/v2.0/token", "/oauth2/token", "/v2.0", "/", ""].contains(&path)
    })
}

/// Checks an assertion's times against `now`, and gives its end.
fn live(parts: &Parts<'_>, now: Timestamp) -> Result<Timestamp, Fault> {
    let no = |because: String| Err((TokenFault::AssertionTime, because));
    let Some(expires) = parts.time("exp") else {
        return no("the client assertion has no expiry (`exp`).".into());
    };
    if now >= expires.plus_seconds(CLOCK_SKEW_S) {
        return no(format!("the client assertion expired at {expires}; it is {now} here."));
    }
    match parts.time("nbf") {
        Some(start) if now.plus_seconds(CLOCK_SKEW_S) < start => {
            no(format!("the client assertion is not valid before {start}; it is {now} here."))
        }
        _ => Ok(expires),
    }
}

fn once(parts: &Parts<'_>, application: &Application) -> Once {
    let whole = digest(&SHA256, parts.signed().as_bytes());
    let name = match parts.text("jti") {
        "" => whole,
        unique => {
            let mut context = Context::new(&SHA256);
            context.update(application.app_id.0.as_bytes());
            context.update(unique.as_bytes());
            context.finish()
        }
    };
    Once {
        name: name.as_ref().try_into().unwrap_or_default(),
        content: whole.as_ref().try_into().unwrap_or_default(),
        until: parts.time("exp").unwrap_or_default().plus_seconds(CLOCK_SKEW_S),
    }
}
