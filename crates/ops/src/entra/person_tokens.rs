//! What the token endpoint answers to a person: an access token, a token that says who it is, and a refresh
//! token where the client asks to come back.

use super::tokens::{TOKEN_LIFETIME_S, Version, Wanted, answer, issuer};
use super::{assertions, codes, device_codes, sign_ins, users};
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::trace::Caller;
use model::{Error, ObjectId};
use serde_json::{Value, json};

/// What a person lets a client do: everything that the person may.
const SCOPE: &str = "user_impersonation";

/// How a person came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    Password,
    RefreshToken,
    Code,
    DeviceCode,
}

/// The person and the client of a caller who has signed in.
pub(super) fn who(caller: &Caller) -> Result<(ObjectId, ObjectId), Error> {
    caller
        .object_id
        .zip(caller.app_id)
        .ok_or_else(|| Error::Internal { message: "a person signed in without an id".into() })
}

/// Issues tokens to the person whom the gates have recognised.
///
/// Source: Microsoft identity platform, "OAuth 2.0 Resource Owner Password Credentials", "refresh token",
/// "OAuth 2.0 authorization code flow", "OAuth 2.0 device authorization grant flow".
pub(super) async fn issue(
    caller: &Caller,
    wanted: &Wanted,
    grant: Grant,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (id, client) = who(caller)?;
    let user = users::find(env, id)
        .await?
        .ok_or_else(|| Error::Internal { message: "a person signed in who is gone".into() })?;
    let field = |name: &str| input.text(&[name]).unwrap_or("");
    let mut nonce = None;
    let mut is_proven = false;
    let refresh = match grant {
        Grant::Password => {
            env.tries.forget(id);
            match wanted.comes_back {
                true => Some(sign_ins::begin(env, id, client).await?),
                false => None,
            }
        }
        Grant::RefreshToken => {
            is_proven = !field("client_secret").is_empty() || assertions::is_shown(&input.body);
            sign_ins::renew(env, field("refresh_token")).await?
        }
        Grant::Code => {
            let redeemed = codes::redeem(env, field("code"), wanted.comes_back).await?;
            (nonce, is_proven) = (redeemed.nonce, redeemed.is_proven);
            redeemed.refresh
        }
        Grant::DeviceCode => {
            let code = device_codes::of_form(&input.body);
            device_codes::redeem(env, &code, wanted.comes_back).await?
        }
    };
    let unique = || URL_SAFE_NO_PAD.encode(env.random::<16>());
    let (upn, shown) = (user.user_principal_name.as_str(), user.display_name.as_str());
    let names = Names { id, client, is_proven, upn, shown };
    let sign = |claims: Value| {
        env.signing_keys.sign(&claims).map_err(|it| Error::Internal { message: it.to_string() })
    };
    let common = names.claims(&wanted.audience, wanted.version, env, &unique());
    let mut body = answer(wanted, sign(common.access)?, env.now());
    let mut tell = |name: &str, value: Value| model::json::set(&mut body, name, value);
    // The name of the scope that a client asks for must come back, or MSAL does not find the token again.
    tell("scope", json!(format!("{0}/{SCOPE} {0}/.default", wanted.audience)));
    if let Some(refresh) = refresh {
        tell("refresh_token", json!(refresh));
    }
    if wanted.is_told_who {
        let own = names.claims(&client.to_string(), Version::V2, env, &unique());
        let mut identity = own.identity;
        if let Some(nonce) = nonce {
            model::json::set(&mut identity, "nonce", json!(nonce));
        }
        tell("id_token", json!(sign(identity)?));
    }
    let account = json!({ "uid": id, "utid": env.settings.tenant }).to_string();
    tell("client_info", json!(URL_SAFE_NO_PAD.encode(account)));
    Ok(Reply::ok(body).with_header("Cache-Control", "no-store").with_header("Pragma", "no-cache"))
}

/// Whom tokens are about, and who gets them.
struct Names<'a> {
    id: ObjectId,
    client: ObjectId,
    /// The client has proven itself.
    is_proven: bool,
    upn: &'a str,
    shown: &'a str,
}

/// The claims of both tokens.
struct Claims {
    access: Value,
    identity: Value,
}

impl Names<'_> {
    /// Source: Microsoft identity platform, "Access token claims reference", "ID token claims reference".
    fn claims(&self, audience: &str, version: Version, env: &Env, unique: &str) -> Claims {
        let start_s = env.now().seconds();
        let identity = json!({
            "aud": audience,
            "iss": issuer(&env.settings.origin, env.settings.tenant),
            "iat": start_s,
            "nbf": start_s,
            "exp": start_s.saturating_add(TOKEN_LIFETIME_S),
            "tid": env.settings.tenant,
            "oid": self.id,
            "sub": self.id,
            "name": self.shown,
            "preferred_username": self.upn,
            "uti": unique,
            "ver": version.as_str(),
        });
        let proof = if self.is_proven { "1" } else { "0" };
        let mut access = identity.clone();
        for (name, value) in [
            ("appid", json!(self.client)),
            ("azp", json!(self.client)),
            ("appidacr", json!(proof)),
            ("azpacr", json!(proof)),
            ("scp", json!(SCOPE)),
            ("unique_name", json!(self.upn)),
            ("upn", json!(self.upn)),
        ] {
            model::json::set(&mut access, name, value);
        }
        Claims { access, identity }
    }
}
