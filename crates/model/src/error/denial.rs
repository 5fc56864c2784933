//! A gate's no: which gate, of what kind, in which words.

use crate::trace::{Gate, LackedRole, Verb};
use serde_json::{Value, json};

/// Why authentication refused: each its own sentence, so that a caller can act on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthFault {
    /// No credential came.
    Missing,
    /// It could not be read.
    Malformed,
    /// Signature or key is wrong, or the principal behind it is gone.
    Invalid,
    /// The principal behind it is too new to be known here.
    NotYet,
    Expired,
    /// Issued by or for another tenant.
    WrongTenant,
    WrongAudience,
    /// Keys and shared access signatures are switched off.
    LocalAuthDisabled,
}

/// A gate's no.
#[derive(Clone, PartialEq, Debug)]
pub struct Denial {
    pub gate: Gate,
    pub kind: DenialKind,
    /// What the caller may read.
    pub message: String,
    /// The policies behind it, each a `PolicyViolation` of the denial envelope.
    pub violations: Vec<Value>,
    /// The resource or object that was refused: a device's id, a resource's name.
    pub target: String,
}

impl Denial {
    /// The same for a caller who may not read the policies behind it: their assignments' names, and no
    /// more.
    #[must_use]
    pub fn named_only(mut self) -> Self {
        if let DenialKind::Policy { assignments, lacks, .. } = &self.kind {
            self.message = format!(
                "Resource '{}' was disallowed by policy '{}'.{}",
                self.target,
                assignments.join("', '"),
                Self::lacking(lacks)
            );
            self.violations =
                assignments.iter().map(|it| json!({ "policyAssignmentName": it })).collect();
        }
        self
    }

    /// What a caller may read of the roles that it lacks: a sentence for each, a blank in front.
    pub fn lacking(lacks: &[LackedRole]) -> String {
        let one = |it: &LackedRole| {
            format!(" '{}' does not hold the required role '{}'.", it.principal_name, it.role_name)
        };
        lacks.iter().map(one).collect()
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum DenialKind {
    Unauthenticated(AuthFault),
    /// `assignments` are the names of the policy assignments that deny; `object` is the type refused,
    /// `verb` what was to be done to it, and `lacks` the roles that they require and the caller lacks.
    Policy {
        assignments: Vec<String>,
        object: String,
        verb: Verb,
        lacks: Vec<LackedRole>,
    },
    NotAuthorized,
    /// The same, with a role on its way that would do.
    NotAuthorizedYet,
    /// The shared access policy that signed lacks the right.
    LacksRight,
    /// A deny assignment stands against it, whatever the roles.
    DeniedByAssignment,
    /// Allowed where it was asked, but not at another scope that the call reaches, too.
    NotAuthorizedLinked,
    /// The hub was deleted while the call was on its way.
    HubGone,
    /// A management lock stands against it.
    Locked,
    /// Something would be left without the managed identity that it uses.
    IdentityInUse,
    /// The network rules of what is called let nobody in from there.
    Network,
    /// What was sent breaks a rule of the protocol, see [`crate::trace::Channel::violation`].
    Violation,
    /// The device does not keep to its security policy.
    SecurityPolicy,
    /// The token endpoint says no; see [`TokenFault`].
    Token(TokenFault),
}

/// What the token endpoint refuses, under the numbers that clients know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenFault {
    UnknownApplication,
    /// It is registered, and too new to be known here.
    NotYetKnown,
    BadSecret,
    ExpiredSecret,
    TenantNotFound,
    BadScope,
    UnknownResource,
    UnsupportedGrant,
    MissingField,
    TooManyTries,
    /// A client assertion that cannot be read, or that was used before.
    BadAssertion,
    /// Nothing that the application may sign with has signed it: an unknown or ended certificate, a wrong
    /// signature.
    UnprovenAssertion,
    /// It is too old, too young, or lives too long.
    AssertionTime,
    AssertionAudience,
    /// `iss` and `sub` are not the application that signs in.
    AssertionClient,
    /// No federated credential of the application has the issuer, or its keys are not known here.
    FederatedIssuer,
    FederatedAudience,
    FederatedSubject,
    /// No person of that name has that password. One fault for both, so that names cannot be tried out.
    BadPassword,
    /// Too many wrong passwords in a row.
    PersonBarred,
    PersonSwitchedOff,
    /// Whoever set the password wants another in its place first.
    PasswordToChange,
    /// A refresh token that was not used for too long, or whose sign-in is too long ago.
    EndedRefresh,
    /// A refresh token of a sign-in that was revoked, or that was used before.
    RevokedRefresh,
    /// Nobody has answered the device code yet.
    AuthorizationPending,
    /// The same, asked again too soon.
    SlowDown,
    DeviceCodeEnded,
    /// The person said no.
    DeviceCodeDeclined,
    /// No device code, or no code that a person was told, of that text.
    UnknownDeviceCode,
    /// The address that a code would be sent to is not registered on the client.
    BadRedirect,
    /// An authorization code that was never given out, or to another client, or whose sign-in is over.
    BadCode,
    EndedCode,
    UsedCode,
    /// The redirect address is not the one that the code was sent to.
    OtherRedirect,
    /// The code verifier is not that of the challenge.
    BadVerifier,
    /// The client must prove the code to be its own, and sent no challenge of the kind that is taken.
    NoChallenge,
    /// The client has a secret or a certificate, and showed neither.
    UnprovenClient,
    /// The client is one that holds no secret, and showed one.
    ProofOfPublicClient,
    /// A client asks for something other than a code.
    UnsupportedResponse,
    /// A field that is there and cannot be taken.
    BadRequest,
    /// The client may not use this way of signing people in.
    NotForClient,
    /// The browser's session has ended, or there was none.
    NoSession,
    /// A conditional access policy blocks it.
    Blocked,
    /// A conditional access policy wants a stronger proof than the one that was shown.
    TooWeak,
    /// Whoever asks for a managed identity's token came by another name than this machine's, or through a proxy.
    NotLocal,
    /// The header that shows who may ask for a managed identity's token is missing or wrong.
    IdentityHeader,
    /// The port has no such managed identity.
    IdentityNotFound,
}

impl TokenFault {
    /// OAuth's error word, Entra's number and the HTTP status.
    ///
    /// Source: Microsoft Entra, "Authentication and authorization error codes". That a used assertion has the
    /// number of one that cannot be read is our choice: Entra has none for it.
    pub const fn codes(self) -> (&'static str, u32, u16) {
        match self {
            Self::UnknownApplication | Self::NotYetKnown => ("unauthorized_client", 700_016, 400),
            Self::BadSecret => ("invalid_client", 7_000_215, 401),
            Self::ExpiredSecret => ("invalid_client", 7_000_222, 401),
            Self::TenantNotFound => ("invalid_request", 90_002, 400),
            Self::BadScope => ("invalid_scope", 70_011, 400),
            Self::UnknownResource => ("invalid_resource", 500_011, 400),
            Self::UnsupportedGrant => ("unsupported_grant_type", 70_003, 400),
            Self::MissingField => ("invalid_request", 900_144, 400),
            Self::TooManyTries => ("temporarily_unavailable", 50_196, 429),
            Self::BadAssertion => ("invalid_client", 50_027, 401),
            Self::UnprovenAssertion => ("invalid_client", 700_027, 401),
            Self::AssertionTime => ("invalid_client", 700_024, 401),
            Self::AssertionAudience => ("invalid_client", 700_023, 401),
            Self::AssertionClient => ("invalid_client", 700_021, 401),
            Self::FederatedIssuer => ("invalid_client", 700_211, 401),
            Self::FederatedAudience => ("invalid_client", 700_212, 401),
            Self::FederatedSubject => ("invalid_client", 700_213, 401),
            Self::BadPassword => ("invalid_grant", 50_126, 400),
            Self::PersonBarred => ("invalid_grant", 50_053, 400),
            Self::PersonSwitchedOff => ("invalid_grant", 50_057, 400),
            Self::PasswordToChange => ("invalid_grant", 50_055, 400),
            Self::EndedRefresh => ("invalid_grant", 700_082, 400),
            Self::RevokedRefresh => ("invalid_grant", 50_173, 400),
            Self::AuthorizationPending => ("authorization_pending", 70_016, 400),
            // RFC 8628 has the word, and Entra no number of its own for it.
            Self::SlowDown => ("slow_down", 70_016, 400),
            Self::DeviceCodeEnded => ("expired_token", 70_020, 400),
            Self::DeviceCodeDeclined => ("authorization_declined", 65_004, 400),
            Self::UnknownDeviceCode => ("bad_verification_code", 70_018, 400),
            Self::BadRedirect => ("invalid_request", 50_011, 400),
            Self::BadCode => ("invalid_grant", 70_000, 400),
            Self::EndedCode => ("invalid_grant", 70_008, 400),
            Self::UsedCode => ("invalid_grant", 54_005, 400),
            Self::OtherRedirect => ("invalid_grant", 500_112, 400),
            Self::BadVerifier => ("invalid_grant", 501_481, 400),
            Self::NoChallenge => ("invalid_request", 9_002_325, 400),
            Self::UnprovenClient => ("invalid_client", 7_000_218, 401),
            Self::ProofOfPublicClient => ("invalid_client", 700_025, 401),
            Self::UnsupportedResponse => ("unsupported_response_type", 700_054, 400),
            Self::BadRequest => ("invalid_request", 900_000, 400),
            Self::NotForClient => ("unauthorized_client", 700_016, 400),
            Self::NoSession => ("login_required", 50_058, 401),
            Self::Blocked => ("access_denied", 53_003, 400),
            Self::TooWeak => ("interaction_required", 50_076, 400),
            // Of the endpoints of managed identities, which have words and no numbers.
            Self::NotLocal => ("access_denied", 0, 403),
            Self::IdentityHeader => ("access_denied", 0, 401),
            Self::IdentityNotFound => ("invalid_request", 0, 400),
        }
    }
}
