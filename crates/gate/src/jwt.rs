//! JSON Web Tokens: read within limits and verified against keys that are known here, and nothing else.
//!
//! The algorithms are a fixed list, and keys come from the facts, never from a token's header. The clock and
//! the audience are the caller's business.

use crate::facts::VerifyingKey;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use model::{ObjectId, Timestamp};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use serde_json::Value;

/// Longest token in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Hashes in headers: clients pad them, though the standard says not to.
const URL_SAFE_ANY_PAD: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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

/// How a token may be signed. There is no other way, whatever a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algorithm {
    Rs256,
    Ps256,
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }

    fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
        }
    }
}

/// A token in its parts, with its algorithm known and nothing proven. No `Debug`: the parts make the token.
pub(crate) struct Parts<'a> {
    pub(crate) algorithm: Algorithm,
    header: Value,
    claims: Value,
    /// What the signature covers.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Takes a token in compact form apart.
    pub(crate) fn read(token: &'a str) -> Result<Self, NotAToken> {
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
        let header_value = object(header)
            .ok_or(Malformed("the token's header is not a JSON object in base64url"))?;
        let algorithm = header_value.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
        // Exactly these spellings: `none`, `HS256` and every other are refused whatever the signature says.
        let Some(algorithm) = algorithm else {
            return Err(Unsigned("the token's algorithm is not one that is taken, RS256 or PS256"));
        };
        if header_value.get("crit").is_some() {
            return Err(Unsigned("the token demands extensions that are not known"));
        }
        let claims = object(payload)
            .ok_or(Malformed("the token's claims are not a JSON object in base64url"))?;
        Ok(Self {
            algorithm,
            header: header_value,
            claims,
            signed: token.get(..header.len() + 1 + payload.len()).unwrap_or(""),
            signature: URL_SAFE_NO_PAD
                .decode(signature)
                .map_err(|_| Malformed("the token's signature is not base64url"))?,
        })
    }

    /// A text of the header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// A hash that the header names, decoded.
    pub(crate) fn header_hash(&self, name: &str) -> Option<Vec<u8>> {
        self.header(name).and_then(|it| URL_SAFE_ANY_PAD.decode(it).ok())
    }

    /// True where the key, an `RSAPublicKey` in DER, has signed this token.
    pub(crate) fn is_signed_with(&self, public_der: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm.parameters(), public_der)
            .verify(self.signed.as_bytes(), &self.signature)
            .is_ok()
    }

    /// A text that the token claims, proven or not; empty where it claims none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// A time that the token claims. Libraries write fractions of seconds, too; they are cut off.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        let value = self.claims.get(name)?;
        let seconds = value.as_i64().or_else(|| value.as_f64().and_then(whole_seconds))?;
        Some(Timestamp::from_seconds(seconds))
    }

    /// For whom the token is: one text, or a list of texts.
    pub(crate) fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        }
    }

    pub(crate) const fn signed(&self) -> &str {
        self.signed
    }
}

/// The whole seconds of a number of seconds, where a calendar has them.
fn whole_seconds(seconds: f64) -> Option<i64> {
    const LAST_S: f64 = 253_402_300_799.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked, fractions are to go"
    )]
    (0.0..=LAST_S).contains(&seconds).then_some(seconds as i64)
}

/// Reads and verifies an access token of this server in compact form.
pub fn verify(token: &str, keys: &[VerifyingKey]) -> Result<Claims, NotAToken> {
    use NotAToken::Unsigned;
    let parts = Parts::read(token)?;
    if parts.algorithm != Algorithm::Rs256 {
        return Err(Unsigned(
            "the token's algorithm is not RS256, the only one that is taken here",
        ));
    }
    let key_id = parts.header("kid").ok_or(Unsigned("the token names no signing key"))?;
    let key = keys
        .iter()
        .find(|it| it.key_id == key_id)
        .ok_or(Unsigned("the token is signed with a key that is not this server's"))?;
    if !parts.is_signed_with(&key.public_der) {
        return Err(Unsigned("the token's signature does not fit its content"));
    }
    let claims = &parts.claims;
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).map(Timestamp::from_seconds);
    let id = |name: &str| ObjectId::parse(parts.text(name));
    Ok(Claims {
        issuer: parts.text("iss").to_owned(),
        tenant: parts.text("tid").to_owned(),
        audience: parts.text("aud").to_owned(),
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
