//! What is answered before anybody has signed in, and the sign-in itself.

use super::row::{arm, control, entra, open};
use super::{Body, Effect, Op, Operation, Plane, Route};

/// A row whose credential stands in its form.
const fn form(op: Op, effect: Effect, routes: &'static [Route], says: &'static str) -> Operation {
    Operation { plane: Plane::Token, body: Body::Form, ..control(op, &[], effect, routes, says) }
}

pub(super) const ROWS: &[Operation] = &[
    open(
        Op::ReadEndpoints,
        &[arm("GET", "/metadata/endpoints")],
        "Tells clients where to sign in and where to manage",
    ),
    open(
        Op::ReadOpenIdConfiguration,
        &[
            entra("GET", "/{tenant}/v2.0/.well-known/openid-configuration"),
            entra("GET", "/{tenant}/.well-known/openid-configuration"),
        ],
        "Tells clients where tokens are issued",
    ),
    open(
        Op::ReadSigningKeys,
        &[entra("GET", "/{tenant}/discovery/v2.0/keys"), entra("GET", "/{tenant}/discovery/keys")],
        "Lists the public keys that tokens are signed with",
    ),
    open(
        Op::DiscoverInstance,
        &[entra("GET", "/common/discovery/instance")],
        "Confirms that this server is the authority it claims to be",
    ),
    form(
        Op::IssueToken,
        // A person's sign-in is kept; whoever signs in is proven again before that.
        Effect::Writes,
        &[entra("POST", "/{tenant}/oauth2/v2.0/token"), entra("POST", "/{tenant}/oauth2/token")],
        "Issues an access token",
    ),
    form(
        Op::RequestDeviceCode,
        Effect::Writes,
        &[
            entra("POST", "/{tenant}/oauth2/v2.0/devicecode"),
            entra("POST", "/{tenant}/oauth2/devicecode"),
        ],
        "Gives a client a code that a person enters in a browser",
    ),
    form(
        Op::OpenSession,
        Effect::Writes,
        &[entra("POST", "/{tenant}/signin/session")],
        "Signs a person in at the pages of sign-in",
    ),
    form(
        Op::ReadSession,
        Effect::Reads,
        &[entra("POST", "/{tenant}/signin/session/show")],
        "Says who is signed in at the pages of sign-in",
    ),
    form(
        Op::CloseSession,
        Effect::Writes,
        &[entra("POST", "/{tenant}/signin/session/end")],
        "Signs a person out of the pages of sign-in",
    ),
    form(
        Op::ChangeOwnPassword,
        Effect::ChangesFacts,
        &[entra("POST", "/{tenant}/signin/password")],
        "Sets another password in place of one's own",
    ),
    form(
        Op::ReadAuthorization,
        Effect::Reads,
        &[entra("POST", "/{tenant}/signin/authorization")],
        "Says which client asks to sign a person in, and where the answer goes",
    ),
    form(
        Op::IssueCode,
        Effect::Writes,
        &[entra("POST", "/{tenant}/signin/code")],
        "Gives a client a code for the person who is signed in",
    ),
    form(
        Op::ReadDeviceRequest,
        Effect::Reads,
        &[entra("POST", "/{tenant}/signin/device")],
        "Says which client waits for a device code to be answered",
    ),
    form(
        Op::AnswerDeviceRequest,
        Effect::Writes,
        &[entra("POST", "/{tenant}/signin/device/answer")],
        "Lets the client of a device code sign in as who is signed in, or not",
    ),
    open(
        Op::DiscoverUserRealm,
        &[entra("GET", "/common/userrealm/{username}")],
        "Tells clients that people's passwords are checked here",
    ),
];
