//! Access tokens: read within limits and verified against the server's own keys, and nothing else.
//!
//! The algorithm is fixed here and never read from the token; keys come from the facts and never from the
//! token's header. The clock and the audience are the caller's business.

use crate::facts::VerifyingKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{ObjectId, Timestamp};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What a token says, after its signature was found right.
#[derive(Clone, Debug)]
pub struct Claims {
    pub issuer: String,
    pub tenant: String,
    pub audience: String,
    pub object_id: Option<ObjectId>,
    pub app_id: Option<ObjectId>,
    pub issued: Timestamp,
    pub not_before: Option<Timestamp>,
    pub expires: Option<Timestamp>,
}

/// Why a token is refused before its claims are looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotAToken {
    /// It cannot be read; the sentence says where.
    Malformed(&'static str),
    /// It can be read, but nothing of ours signed it.
    Unsigned(&'static str),
}

/// Reads and verifies a token in compact form.
pub fn verify(token: &str, keys: &[VerifyingKey]) -> Result<Claims, NotAToken> {
    use NotAToken::{Malformed, Unsigned};
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Malformed("the token is longer than 16 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed("the token does not have three parts"));
    };
    let header_value =
        object(header).ok_or(Malformed("the token's header is not a JSON object in base64url"))?;
    let word = |name: &str| header_value.get(name).and_then(Value::as_str);
    // Exactly this spelling: `none`, `HS256` and every other are refused whatever the signature says.
    if word("alg") != Some("RS256") {
        return Err(Unsigned("the token's algorithm is not RS256, the only one that is taken"));
    }
    if header_value.get("crit").is_some() {
        return Err(Unsigned("the token demands extensions that are not known"));
    }
    let key_id = word("kid").ok_or(Unsigned("the token names no signing key"))?;
    let key = keys
        .iter()
        .find(|it| it.key_id == key_id)
        .ok_or(Unsigned("the token is signed with a key that is not this server's"))?;
    let signature_bytes = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Malformed("the token's signature is not base64url"))?;
    let signed = token.get(..header.len() + 1 + payload.len()).unwrap_or("");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.public_der)
        .verify(signed.as_bytes(), &signature_bytes)
        .map_err(|_| Unsigned("the token's signature does not fit its content"))?;
    let claims = object(payload)
        .ok_or(Malformed("the token's claims are not a JSON object in base64url"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).map(Timestamp::from_seconds);
    let id = |name: &str| claims.get(name).and_then(Value::as_str).and_then(ObjectId::parse);
    Ok(Claims {
        issuer: text("iss"),
        tenant: text("tid"),
        audience: text("aud"),
        object_id: id("oid"),
        app_id: id("appid").or_else(|| id("azp")),
        issued: time("iat").unwrap_or_default(),
        not_before: time("nbf"),
        expires: time("exp"),
    })
}

fn object(part: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    model::json::parse(&bytes).ok().filter(Value::is_object)
}
