//! What is answered before anybody has signed in, and the sign-in itself.

use super::row::{arm, control, entra, open};
use super::{Body, Effect, Op, Operation, Plane};

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
    Operation {
        plane: Plane::Token,
        body: Body::Form,
        ..control(
            Op::IssueToken,
            &[],
            // A person's sign-in is kept; whoever signs in is proven again before that.
            Effect::Writes,
            &[
                entra("POST", "/{tenant}/oauth2/v2.0/token"),
                entra("POST", "/{tenant}/oauth2/token"),
            ],
            "Issues an access token",
        )
    },
    open(
        Op::DiscoverUserRealm,
        &[entra("GET", "/common/userrealm/{username}")],
        "Tells clients that people's passwords are checked here",
    ),
];
