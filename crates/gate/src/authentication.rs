//! The first gate: who is this, by which credential, live now?
//!
//! It proves a [`Credential`] and yields [`Authenticated`], which only this module makes. A long session
//! proves itself once and keeps the value.

mod application;
mod assertion;
mod certificate;
mod clients;
mod conditional;
mod job;
mod known;
mod local;
mod person;
mod secret;
mod signature;
mod steps;
mod storage;
mod unusable;

pub use assertion::Once;
pub use clients::{CONSOLE, CONSOLE_REDIRECT, Client, Redirect, RedirectKind, SIGN_IN_PAGES};
pub use person::{Fit, InBrowser, LookedUp, hash_token};
pub use steps::redirect_kind;
pub use storage::delegation_key;
pub use unusable::{Unusable, refuse_unseen, refuse_used};

use crate::conditional_access::Method;
use crate::decide::{Refusal, recorded, trace_of};
use crate::facts::{Facts, OwnProof, SharedAccess};
use crate::jwt::{self, NotAToken};
use model::error::{AuthFault, Denial, DenialKind, TokenFault};
use model::operations::Surface;
use model::principal::AuthType;
use model::trace::{Caller, Finding, FindingKind, FindingResult, Gate, Step, TraceHead, Verdict};
use model::{Credential, Operation, Plane, Scope, Timestamp};

/// How far a token's clock may be off, in seconds, in both directions and on every endpoint.
pub const CLOCK_SKEW_S: i64 = 300;

/// Audiences of the control plane. Clients send each with and without a trailing `/`.
const CONTROL_AUDIENCES: &[&str] =
    &["https://management.azure.com", "https://management.core.windows.net"];
const HUB_AUDIENCES: &[&str] = &["https://iothubs.azure.net"];
const DPS_AUDIENCES: &[&str] = &["https://azure-devices-provisioning.net"];
/// What whoever shows an access token to the built-in endpoint can do instead.
const KEYS_ONLY: &str = "the built-in endpoint takes the key of a shared access policy only, no access token; read with a \
                         connection string whose policy holds ServiceConnect, or route the messages to an Event Hubs \
                         endpoint of your own, which takes Entra tokens";
/// What clients of the one send to the other as well: their hosts are of one family.
const NAMESPACE_AUDIENCES: &[&str] =
    &["https://eventhubs.azure.net", "https://servicebus.azure.net"];
const STORAGE_AUDIENCES: &[&str] = &["https://storage.azure.com"];
const DIRECTORY_AUDIENCES: &[&str] = &["https://graph.microsoft.com"];

/// Where a credential is shown, and for what.
pub struct Door<'a> {
    pub operation: &'static Operation,
    pub scope: &'a Scope,
    /// The keys of the hub or provisioning service at whose address the call came in.
    pub access: Option<&'a SharedAccess>,
    /// By what the device that the call is about may prove itself: what is its own, or what its groups derive
    /// for it.
    pub own: &'a [OwnProof],
    /// What was looked up for the person who signs in.
    pub looked_up: &'a LookedUp,
    /// `{host}/devices/{device}`: what a shared access signature must cover.
    pub resource: &'a str,
    /// What a token is asked for; empty where none is, or it cannot be read.
    pub wanted: &'a str,
    pub head: &'a TraceHead,
}

impl<'a> Door<'a> {
    /// At no service of its own, where nothing was looked up.
    pub const fn new(operation: &'static Operation, scope: &'a Scope, head: &'a TraceHead) -> Self {
        let looked_up = &LookedUp::Nothing;
        Self { operation, scope, access: None, own: &[], looked_up, resource: "", wanted: "", head }
    }
}

/// Proof that a caller is who it says. Only [`authenticate`] makes one.
#[derive(Clone, Debug)]
pub struct Authenticated {
    caller: Caller,
    step: Step,
    /// What conditional access has found, where it was asked.
    conditional: Option<Step>,
    once: Option<Once>,
    until: Option<Timestamp>,
}

impl Authenticated {
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    pub const fn step(&self) -> &Step {
        &self.step
    }

    /// What conditional access has found, where it was asked.
    pub(crate) const fn conditional(&self) -> Option<&Step> {
        self.conditional.as_ref()
    }

    /// What to remember the credential by, where it is one to be used once.
    pub const fn once(&self) -> Option<&Once> {
        self.once.as_ref()
    }

    /// Until when the signature or certificate holds: a session that goes on has to prove itself anew.
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
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
    let (mut once, mut until) = (None, None);
    let proof = match (door.operation.plane, credential) {
        (Plane::Open, _) => Ok((Caller::anyone(), finding(FindingKind::Token, "", FindingResult::Allow, "nobody needs to sign in for this"))),
        (_, Credential::Malformed { kind, because }) => Err(no(
            AuthFault::Malformed,
            format!("the {kind} cannot be read: {because}"),
            finding(FindingKind::Token, kind, FindingResult::Deny, because),
        )),
        (Plane::Token, Credential::ClientSecret { tenant, client_id, secret }) => {
            secret::client_secret(tenant, client_id, secret, facts, now)
        }
        (Plane::Token, Credential::ClientAssertion { tenant, client_id, kind, assertion }) => {
            let shown = assertion::Shown { tenant, client_id, kind, assertion: assertion.reveal() };
            assertion::client_assertion(&shown, facts, now).map(|(caller, found, remembered)| {
                once = remembered;
                (caller, found)
            })
        }
        (Plane::Token, Credential::Password { tenant, client_id, username, password }) => {
            let op = door.operation.op;
            let shown = person::Shown { tenant, client_id, looked_up: door.looked_up, op };
            person::password(&shown, username, password, facts)
        }
        (Plane::Token, Credential::RefreshToken { tenant, client, token }) => {
            clients::came(client, tenant, facts, now).and_then(|came| {
                let proof = person::refresh_token(&came, token, door.looked_up, facts, now);
                once = came.once;
                proof
            })
        }
        (Plane::Token, Credential::SignIn(shown)) => {
            steps::step(shown, door, facts, now).map(|(caller, found, remembered)| {
                once = remembered;
                (caller, found)
            })
        }
        (Plane::Token, Credential::Local(shown)) => local::local(shown, facts),
        (_, Credential::Local(_)) => Err(no(
            AuthFault::Invalid,
            "the port of an identity gives its tokens and nothing else".into(),
            finding(FindingKind::Secret, "", FindingResult::Deny, "this address takes bearer tokens"),
        )),
        (
            Plane::Token,
            Credential::None
            | Credential::Bearer(_)
            | Credential::Sas(_)
            | Credential::Storage(_)
            | Credential::Certificate(_),
        ) => {
            let sentence = "the form must carry `client_id` and `client_secret` or `client_assertion`.";
            Err(application::token_no(FindingKind::Secret, TokenFault::MissingField, sentence.into(), ""))
        }
        (Plane::Service, Credential::Storage(it)) => storage::signature(it, door, facts, &mut until),
        (Plane::Service, Credential::Sas(token)) => {
            until = Some(token.expiry);
            signature::policy_key(token, door, now)
        }
        (Plane::Device, Credential::Sas(token)) => {
            until = Some(token.expiry);
            signature::of_device(token, door, now)
        }
        (Plane::Device, Credential::Certificate(chain)) => {
            certificate::own_certificate(chain, door, facts, &mut until)
        }
        (_, Credential::Certificate(_)) => Err(no(
            AuthFault::Invalid,
            "a certificate opens the endpoints of devices only; send `Authorization` here".into(),
            finding(FindingKind::Certificate, "", FindingResult::Deny, "a certificate at an endpoint that is no device's"),
        )),
        (Plane::Device, Credential::Bearer(_)) => Err(no(
            AuthFault::Invalid,
            "devices sign in with their own key or certificate; an access token opens no device endpoint".into(),
            finding(FindingKind::Token, "access token", FindingResult::Deny, "an access token at a device endpoint"),
        )),
        (Plane::Service, Credential::Bearer(_)) if door.operation.is_built_in_endpoint() => Err(no(
            AuthFault::Invalid,
            KEYS_ONLY.into(),
            finding(FindingKind::Token, "access token", FindingResult::Deny, "an access token where keys alone are taken"),
        )),
        (Plane::Control, Credential::Deployment(deployer)) => job::for_deployer(deployer, facts, now),
        (Plane::Service | Plane::Control, Credential::Job(maker)) => job::for_maker(maker, door, facts, now),
        (_, Credential::Job(_)) => {
            token_no(AuthFault::Invalid, "jobs call their hub only".into())
        }
        (_, Credential::Deployment(_)) => {
            token_no(AuthFault::Invalid, "deployments call the control plane only".into())
        }
        (_, Credential::Bearer(token)) => bearer(token.reveal(), door, facts, now),
        (_, Credential::Sas(_) | Credential::Storage(_)) => Err(no(
            AuthFault::Invalid,
            "a shared access signature opens a hub's own address only; send a bearer token here".into(),
            finding(FindingKind::Sas, "", FindingResult::Deny, "this address takes bearer tokens"),
        )),
        (Plane::Service, Credential::None) if let Some(anyone) = storage::anyone(door, facts) => {
            Ok(anyone)
        }
        (_, Credential::None) => Err(no(
            AuthFault::Missing,
            match door.operation.plane {
                Plane::Service if door.operation.surface() == Surface::Blob => {
                    "the request carries no credential, and the container is not public; sign it with a key of the account, use a signed address, or send `Authorization: Bearer`".into()
                }
                Plane::Service => {
                    "the request carries no credential; send `Authorization: Bearer` or `SharedAccessSignature`".into()
                }
                Plane::Device => {
                    "the request carries no credential; send `Authorization: SharedAccessSignature`, or show a certificate".into()
                }
                Plane::Control | Plane::Directory | Plane::Open | Plane::Token => {
                    "the request carries no credential; send `Authorization: Bearer`".into()
                }
            },
            match door.operation.plane {
                Plane::Device => finding(FindingKind::Sas, "", FindingResult::Deny, "neither a signature nor a certificate"),
                Plane::Service | Plane::Control | Plane::Directory | Plane::Open | Plane::Token => {
                    finding(FindingKind::Token, "", FindingResult::Deny, "no `Authorization` header")
                }
            },
        )),
        (
            _,
            Credential::ClientSecret { .. }
            | Credential::ClientAssertion { .. }
            | Credential::Password { .. }
            | Credential::RefreshToken { .. }
            | Credential::SignIn(_),
        ) => Err(no(
            AuthFault::Malformed,
            "HTTP Basic is taken at the token endpoint only; send a bearer token here".into(),
            finding(FindingKind::Token, "", FindingResult::Deny, "HTTP Basic"),
        )),
    };
    match proof {
        Ok((caller, found)) => {
            let step =
                step(Verdict::Allow, format!("{} {}", caller.kind.as_str(), caller.name), found);
            let method = match (credential, &once) {
                // Of an assertion only one that the application has signed itself is to be used once.
                (Credential::ClientAssertion { .. }, Some(_)) => Method::Certificate,
                (Credential::ClientAssertion { .. }, None) => Method::Federated,
                (_, _) => Method::Password,
            };
            let conditional = conditional::ask(&caller, &step, method, door, facts)?;
            Ok(Authenticated { caller, step, conditional, once, until })
        }
        Err(no) => Err(Box::new(refuse(*no, door, facts))),
    }
}

/// Whom a token with these claims would stand for, for those who ask without calling: a caller and a step,
/// and never an [`Authenticated`]. The signature is taken as right; everything else is checked as for a call.
///
/// # Errors
/// A [`Refusal`] of the authentication gate, as [`authenticate`] gives it.
pub fn judge_claims(
    claims: &jwt::Claims,
    door: &Door<'_>,
    facts: &Facts,
) -> Result<(Caller, Step), Box<Refusal>> {
    match proven(claims, door, facts, door.head.time) {
        Ok((caller, found)) => {
            let reason = format!("{} {}", caller.kind.as_str(), caller.name);
            Ok((caller, step(Verdict::Allow, reason, found)))
        }
        Err(no) => Err(Box::new(refuse(*no, door, facts))),
    }
}

/// Whether somebody who called before would be who it was: the caller as facts know it now, and the step.
///
/// # Errors
/// A [`Refusal`] of the authentication gate, as [`authenticate`] gives it.
pub(crate) fn judge_known(
    caller: &Caller,
    door: &Door<'_>,
    facts: &Facts,
) -> Result<(Caller, Step), Box<Refusal>> {
    match known::still(caller, door, facts) {
        Ok((caller, found)) => {
            let reason = format!("{} {}", caller.kind.as_str(), caller.name);
            Ok((caller, step(Verdict::Allow, reason, found)))
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
        door.operation.plane,
        recorded(door.head, door.operation, door.scope),
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
        lock: None,
        conditions: Vec::new(),
    }
}

fn no(fault: AuthFault, message: String, finding: Finding) -> Box<No> {
    Box::new(No { kind: DenialKind::Unauthenticated(fault), message, finding })
}

fn bearer(token: &str, door: &Door<'_>, facts: &Facts, now: Timestamp) -> Proof {
    match jwt::verify(token, &facts.keys) {
        Ok(claims) => proven(&claims, door, facts, now),
        Err(NotAToken::Malformed(because)) => token_no(AuthFault::Malformed, because.into()),
        Err(NotAToken::Unsigned(because)) => token_no(AuthFault::Invalid, because.into()),
    }
}

fn token_no(fault: AuthFault, message: String) -> Proof {
    let found = finding(FindingKind::Token, "access token", FindingResult::Deny, &message);
    Err(no(fault, message, found))
}

/// For whom a token must be, to be taken for an operation: any of these.
pub fn audiences(operation: &Operation) -> &'static [&'static str] {
    match operation.plane {
        Plane::Service => match operation.surface() {
            Surface::Dps => DPS_AUDIENCES,
            Surface::EventHubs | Surface::ServiceBus => NAMESPACE_AUDIENCES,
            Surface::Blob => STORAGE_AUDIENCES,
            Surface::Hub | Surface::Arm | Surface::Entra | Surface::Graph | Surface::Identity => {
                HUB_AUDIENCES
            }
        },
        Plane::Directory => DIRECTORY_AUDIENCES,
        Plane::Control | Plane::Open | Plane::Token | Plane::Device => CONTROL_AUDIENCES,
    }
}

/// What a token says, once its signature is found right.
fn proven(claims: &jwt::Claims, door: &Door<'_>, facts: &Facts, now: Timestamp) -> Proof {
    let deny = token_no;
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
    let wanted = audiences(door.operation);
    let also = match door.operation.plane {
        Plane::Service => "",
        Plane::Directory | Plane::Control | Plane::Open | Plane::Token | Plane::Device => {
            facts.origin.as_str()
        }
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
    if let Err((fault, message)) = live(claims, now) {
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
                via: None,
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
