//! The first gate: who is this, by which credential, live now?
//!
//! It proves a [`Credential`] and yields [`Authenticated`], which only this module makes. A long session
//! proves itself once and keeps the value.

use crate::decide::{Refusal, trace_of};
use crate::facts::{Application, Facts, Hub, SasPolicy};
use crate::jwt::{self, NotAToken};
use model::error::{AuthFault, Denial, DenialKind, TokenFault};
use model::principal::AuthType;
use model::trace::{Caller, Finding, FindingKind, FindingResult, Gate, Step, TraceHead, Verdict};
use model::{
    Credential, ObjectId, Operation, Plane, PrincipalKind, SasToken, Scope, Secret, Timestamp,
};
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

/// How far a token's clock may be off, in seconds, in both directions and on every endpoint.
pub const CLOCK_SKEW_S: i64 = 300;

/// Audiences of the control plane. Clients send each with and without a trailing `/`.
const CONTROL_AUDIENCES: &[&str] =
    &["https://management.azure.com", "https://management.core.windows.net"];
const SERVICE_AUDIENCES: &[&str] = &["https://iothubs.azure.net"];
const DIRECTORY_AUDIENCES: &[&str] = &["https://graph.microsoft.com"];

/// Where a credential is shown, and for what.
pub struct Door<'a> {
    pub operation: &'static Operation,
    pub scope: &'a Scope,
    /// The hub at whose address the call came in.
    pub hub: Option<&'a Hub>,
    /// `{host}/devices/{device}`: what a shared access signature must cover.
    pub resource: &'a str,
    pub head: &'a TraceHead,
}

/// Proof that a caller is who it says. Only [`authenticate`] makes one.
#[derive(Clone, Debug)]
pub struct Authenticated {
    caller: Caller,
    step: Step,
}

impl Authenticated {
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    pub const fn step(&self) -> &Step {
        &self.step
    }

    /// Notes how long it took, measured by whoever has a clock.
    pub const fn took(&mut self, ns: u64) {
        self.step.took_ns = Some(ns);
    }
}

/// What authentication found against a credential.
struct No {
    kind: DenialKind,
    /// For the caller: what it can act on.
    message: String,
    finding: Finding,
}

type Proof = Result<(Caller, Finding), Box<No>>;

/// Proves a credential at a door.
///
/// # Errors
/// A [`Refusal`] of the authentication gate, with the trace in which no other gate was evaluated.
pub fn authenticate(
    credential: &Credential,
    door: &Door<'_>,
    facts: &Facts,
) -> Result<Authenticated, Box<Refusal>> {
    let now = door.head.time;
    let proof = match (door.operation.plane, credential) {
        (Plane::Open, _) => Ok((Caller::anyone(), finding(FindingKind::Token, "", FindingResult::Allow, "nobody needs to sign in for this"))),
        (_, Credential::Malformed { kind, because }) => Err(no(
            AuthFault::Malformed,
            format!("the {kind} cannot be read: {because}"),
            finding(FindingKind::Token, kind, FindingResult::Deny, because),
        )),
        (Plane::Token, Credential::ClientSecret { tenant, client_id, secret }) => {
            client_secret(tenant, client_id, secret, facts, now)
        }
        (Plane::Token, Credential::None | Credential::Bearer(_) | Credential::Sas(_)) => {
            Err(token_no(TokenFault::MissingField, "the form must carry `client_id` and `client_secret`", ""))
        }
        (Plane::Service, Credential::Sas(token)) => sas(token, door, now),
        (_, Credential::Bearer(token)) => bearer(token.reveal(), door, facts, now),
        (_, Credential::Sas(_)) => Err(no(
            AuthFault::Invalid,
            "a shared access signature opens a hub's own address only; send a bearer token here".into(),
            finding(FindingKind::Sas, "", FindingResult::Deny, "this address takes bearer tokens"),
        )),
        (_, Credential::None) => Err(no(
            AuthFault::Missing,
            match door.operation.plane {
                Plane::Service => {
                    "the request carries no credential; send `Authorization: Bearer` or `SharedAccessSignature`".into()
                }
                Plane::Control | Plane::Directory | Plane::Open | Plane::Token => {
                    "the request carries no credential; send `Authorization: Bearer`".into()
                }
            },
            finding(FindingKind::Token, "", FindingResult::Deny, "no `Authorization` header"),
        )),
        (_, Credential::ClientSecret { .. }) => Err(no(
            AuthFault::Malformed,
            "HTTP Basic is taken at the token endpoint only; send a bearer token here".into(),
            finding(FindingKind::Token, "", FindingResult::Deny, "HTTP Basic"),
        )),
    };
    match proof {
        Ok((caller, found)) => {
            let step =
                step(Verdict::Allow, format!("{} {}", caller.kind.as_str(), caller.name), found);
            Ok(Authenticated { caller, step })
        }
        Err(no) => Err(Box::new(refuse(*no, door, facts))),
    }
}

fn refuse(no: No, door: &Door<'_>, facts: &Facts) -> Refusal {
    let No { kind, message, finding } = no;
    let step = step(Verdict::Deny, finding.reason.clone(), finding);
    let denial = Denial {
        gate: Gate::Authentication,
        kind,
        message,
        violations: Vec::new(),
        target: door.resource.to_owned(),
    };
    let trace = trace_of(
        door.head,
        door.operation,
        door.scope,
        &[],
        None,
        facts,
        vec![step],
        Some(&denial),
    );
    Refusal { denial, trace }
}

fn step(verdict: Verdict, reason: String, found: Finding) -> Step {
    Step { gate: Gate::Authentication, verdict, reason, took_ns: None, findings: vec![found] }
}

fn finding(kind: FindingKind, name: &str, result: FindingResult, reason: &str) -> Finding {
    Finding {
        kind,
        id: String::new(),
        name: name.to_owned(),
        result,
        reason: reason.to_owned(),
        rule: None,
        role: None,
        conditions: Vec::new(),
    }
}

fn no(fault: AuthFault, message: String, finding: Finding) -> Box<No> {
    Box::new(No { kind: DenialKind::Unauthenticated(fault), message, finding })
}

fn bearer(token: &str, door: &Door<'_>, facts: &Facts, now: Timestamp) -> Proof {
    let deny = |fault, message: String| {
        let found = finding(FindingKind::Token, "access token", FindingResult::Deny, &message);
        Err(no(fault, message, found))
    };
    let claims = match jwt::verify(token, &facts.keys) {
        Ok(claims) => claims,
        Err(NotAToken::Malformed(because)) => return deny(AuthFault::Malformed, because.into()),
        Err(NotAToken::Unsigned(because)) => return deny(AuthFault::Invalid, because.into()),
    };
    let tenant = facts.tenant.to_string();
    if !claims.tenant.eq_ignore_ascii_case(&tenant)
        || claims.issuer != format!("{}/{tenant}/v2.0", facts.origin)
    {
        return deny(
            AuthFault::WrongTenant,
            format!(
                "the token is from another issuer or tenant; sign in to tenant `{tenant}` at `{}`",
                facts.origin
            ),
        );
    }
    let (wanted, also): (&[&str], &str) = match door.operation.plane {
        Plane::Service => (SERVICE_AUDIENCES, ""),
        Plane::Directory => (DIRECTORY_AUDIENCES, &facts.origin),
        Plane::Control | Plane::Open | Plane::Token => (CONTROL_AUDIENCES, &facts.origin),
    };
    let audience = claims.audience.trim_end_matches('/');
    if !wanted.iter().any(|it| it.eq_ignore_ascii_case(audience))
        && (also.is_empty() || audience != also)
    {
        let first = wanted.first().copied().unwrap_or_default();
        return deny(
            AuthFault::WrongAudience,
            format!(
                "the token is for `{}`, but this address takes tokens for `{first}`",
                claims.audience
            ),
        );
    }
    if let Err((fault, message)) = live(&claims, now) {
        return deny(fault, message);
    }
    let Some(id) = claims.object_id else {
        return deny(AuthFault::Invalid, "the token names no principal (`oid`)".into());
    };
    match facts.principals.get(&id) {
        Some(principal) if principal.is_enabled => {
            let caller = Caller {
                kind: principal.kind,
                object_id: Some(id),
                app_id: claims.app_id,
                name: principal.display_name.clone(),
                auth: AuthType::Entra,
                signed_in: format!("access token issued {}", claims.issued),
                token_issued: Some(claims.issued),
                rights: Vec::new(),
            };
            Ok((
                caller,
                finding(
                    FindingKind::Token,
                    "access token",
                    FindingResult::Allow,
                    "signature, issuer, audience and time are right",
                ),
            ))
        }
        Some(_) => deny(AuthFault::Invalid, format!("the principal `{id}` is switched off")),
        None => deny(AuthFault::Invalid, format!("the principal `{id}` does not exist any more")),
    }
}

/// Checks a token's times against `now`.
fn live(claims: &jwt::Claims, now: Timestamp) -> Result<(), (AuthFault, String)> {
    let Some(expires) = claims.expires else {
        return Err((AuthFault::Invalid, "the token has no expiry (`exp`)".into()));
    };
    if now >= expires.plus_seconds(CLOCK_SKEW_S) {
        let late_s = now.seconds().saturating_sub(expires.seconds());
        return Err((
            AuthFault::Expired,
            format!("the token expired {late_s} s ago; sign in again"),
        ));
    }
    match claims.not_before {
        Some(start) if now.plus_seconds(CLOCK_SKEW_S) < start => {
            Err((AuthFault::Invalid, format!("the token is not valid before {start}")))
        }
        _ => Ok(()),
    }
}

fn sas(token: &SasToken, door: &Door<'_>, now: Timestamp) -> Proof {
    let shown = token.key_name.as_deref().unwrap_or("");
    let deny = |fault, message: &str| {
        Err(no(
            fault,
            message.to_owned(),
            finding(FindingKind::Sas, shown, FindingResult::Deny, message),
        ))
    };
    let Some(hub) = door.hub else {
        return deny(
            AuthFault::Invalid,
            "a shared access signature opens a hub's own address only",
        );
    };
    if hub.is_local_auth_disabled {
        return deny(
            AuthFault::LocalAuthDisabled,
            "keys are switched off on this hub (`disableLocalAuth`); sign in with Entra instead",
        );
    }
    let policy = hub.sas_policies.iter().find(|it| it.name.eq_ignore_ascii_case(shown));
    if !signed_by(token, policy) {
        // One answer for a wrong key, a wrong policy name and a device's own key: none of them is proven.
        return deny(
            AuthFault::Invalid,
            "the signature fits no shared access policy of this hub; a device's own key does not open the service API",
        );
    }
    let Some(policy) = policy else {
        return deny(AuthFault::Invalid, "the signature fits no shared access policy of this hub");
    };
    if !covers(&token.resource, door.resource) {
        return deny(
            AuthFault::Invalid,
            "the signature is for another resource (`sr`) than the one addressed",
        );
    }
    if now > token.expiry {
        let late_s = now.seconds().saturating_sub(token.expiry.seconds());
        return deny(
            AuthFault::Expired,
            &format!("the shared access signature expired {late_s} s ago"),
        );
    }
    let caller = Caller {
        kind: PrincipalKind::SasKey,
        object_id: None,
        app_id: None,
        name: policy.name.clone(),
        auth: AuthType::Sas,
        signed_in: format!(
            "a key of the shared access policy `{}`, valid until {}",
            policy.name, token.expiry
        ),
        token_issued: None,
        rights: policy.rights.clone(),
    };
    Ok((
        caller,
        finding(
            FindingKind::Sas,
            &policy.name,
            FindingResult::Allow,
            "signature, resource and expiry are right",
        ),
    ))
}

/// True where either key of the policy made the signature. Takes as long for a policy that does not exist.
fn signed_by(token: &SasToken, policy: Option<&SasPolicy>) -> bool {
    let text = format!("{}\n{}", token.resource_text, token.expiry_text);
    let unknown = [0_u8; 32];
    let keys: [&[u8]; 2] = match policy {
        Some(it) => [it.primary.reveal(), it.secondary.reveal()],
        None => [&unknown, &unknown],
    };
    let fits = keys.map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), token.signature.reveal()).is_ok()
    });
    policy.is_some() && (fits[0] | fits[1])
}

/// True where `given` is `resource` or a path above it, segment by segment: `h/devices/d1` does not
/// cover `h/devices/d10`. The host compares without regard to case or port, the rest exactly.
fn covers(given: &str, resource: &str) -> bool {
    let given =
        given.trim_start_matches("https://").trim_start_matches("sb://").trim_end_matches('/');
    let mut below = resource.split('/');
    given.split('/').enumerate().all(|(at, mine)| match (at, below.next()) {
        (0, Some(its)) => host(mine).eq_ignore_ascii_case(host(its)),
        (_, Some(its)) => mine == its,
        (_, None) => false,
    })
}

fn host(text: &str) -> &str {
    text.rsplit_once(':').map_or(text, |(name, _)| name)
}

fn token_no(fault: TokenFault, message: &str, client: &str) -> Box<No> {
    let found = finding(FindingKind::Secret, client, FindingResult::Deny, message);
    Box::new(No { kind: DenialKind::Token(fault), message: message.to_owned(), finding: found })
}

fn client_secret(
    tenant: &str,
    client_id: &str,
    secret: &Secret<String>,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    let deny = |fault, message: &str| Err(token_no(fault, message, client_id));
    let own = facts.tenant.to_string();
    if !tenant.eq_ignore_ascii_case(&own) {
        return deny(
            TokenFault::TenantNotFound,
            &format!("there is no tenant of that name here; this server's tenant is `{own}`."),
        );
    }
    if client_id.is_empty() || secret.reveal().is_empty() {
        return deny(
            TokenFault::MissingField,
            "the form must carry `client_id` and `client_secret`.",
        );
    }
    let application = ObjectId::parse(client_id).and_then(|it| facts.applications.get(&it));
    let Some(application) = application else {
        return deny(
            TokenFault::UnknownApplication,
            "no application with this client id is registered in the tenant.",
        );
    };
    match secret_of(application, secret, now) {
        SecretFit::Right => {}
        SecretFit::Expired => {
            return deny(
                TokenFault::ExpiredSecret,
                "the client secret has expired; `az ad app credential reset` makes a new one.",
            );
        }
        SecretFit::Wrong => {
            return deny(
                TokenFault::BadSecret,
                "the client secret is wrong; send the secret's value, not its id.",
            );
        }
    }
    let principal = application.principal.and_then(|it| facts.principals.get(&it));
    match principal {
        Some(it) if it.is_enabled => {
            let caller = Caller {
                kind: it.kind,
                object_id: Some(it.id),
                app_id: Some(application.app_id),
                name: it.display_name.clone(),
                auth: AuthType::Entra,
                signed_in: "client secret".into(),
                token_issued: None,
                rights: Vec::new(),
            };
            Ok((
                caller,
                finding(
                    FindingKind::Secret,
                    client_id,
                    FindingResult::Allow,
                    "the client secret is right",
                ),
            ))
        }
        Some(_) => deny(
            TokenFault::UnknownApplication,
            "the application's service principal is switched off.",
        ),
        None => deny(
            TokenFault::UnknownApplication,
            "the application has no service principal in this tenant; `az ad sp create --id` makes one.",
        ),
    }
}

enum SecretFit {
    Right,
    Expired,
    Wrong,
}

/// Compares with every secret of the application, each in constant time.
fn secret_of(application: &Application, secret: &Secret<String>, now: Timestamp) -> SecretFit {
    let mut fit = SecretFit::Wrong;
    for kept in &application.secrets {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&kept.salt);
        context.update(secret.reveal().as_bytes());
        if bool::from(context.finish().as_ref().ct_eq(&kept.hash)) {
            fit = match now < kept.expires {
                true => SecretFit::Right,
                false => SecretFit::Expired,
            };
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_signature_covers_whole_segments_only() {
        let check = |given: &str, expected: bool| {
            assert_eq!(covers(given, "127.70.1.2/devices/device10"), expected, "{given}")
        };
        check("127.70.1.2", true);
        check("127.70.1.2:8443", true);
        check("127.70.1.2/", true);
        check("127.70.1.2/devices", true);
        check("127.70.1.2/devices/device10", true);
        check("127.70.1.2/devices/device1", false);
        check("127.70.1.2/devices/DEVICE10", false);
        check("127.70.1.20", false);
        check("127.70.1.2/devices/device10/x", false);
        check("", false);
    }
}
