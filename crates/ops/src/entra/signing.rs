//! The keys that sign access tokens: how one is made, named and shown, and which of them signs.
//!
//! When a key gives way to the next is decided by whoever keeps them, `server`. Whether a token is right when
//! it comes back is decided in `gate`, by the public halves of all of them.

use super::tokens::TOKEN_LIFETIME_S;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gate::CLOCK_SKEW_S;
use gate::facts::VerifyingKey;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// Bits of the signing key: what every client verifies, and the least that `ring` takes.
const KEY_BITS: usize = 2_048;

/// How long after a key gave way one of its tokens may still be taken, in seconds: a token's lifetime, what
/// clocks may be off, and a little for the call that was just signing.
pub const TAKEN_S: i64 = TOKEN_LIFETIME_S + CLOCK_SKEW_S + 300;

/// The keys in force: the newest signs, and those before it stand beside it until the last token that they
/// signed has ended.
#[derive(Debug)]
pub struct SigningKeys(ArcSwap<Keys>);

#[derive(Debug)]
struct Keys {
    newest: Signer,
    before: Vec<Signer>,
}

impl SigningKeys {
    pub fn new(newest: Signer, before: Vec<Signer>) -> Self {
        Self(ArcSwap::from_pointee(Keys { newest, before }))
    }

    /// Puts other keys in their place. The gates must know the newest already.
    pub fn replace(&self, newest: Signer, before: Vec<Signer>) {
        self.0.store(Arc::new(Keys { newest, before }));
    }

    /// Signs claims with the newest key.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn sign(&self, claims: &Value) -> Result<String, NotSigned> {
        self.0.load().newest.sign(claims)
    }

    /// The public halves as clients read them, the newest first.
    pub fn jwks(&self, issuer: &str) -> Vec<Value> {
        let keys = self.0.load();
        [&keys.newest].into_iter().chain(&keys.before).map(|it| it.jwk(issuer)).collect()
    }

    /// What the gates verify tokens with.
    pub fn verifying_keys(&self) -> Vec<VerifyingKey> {
        let keys = self.0.load();
        [&keys.newest].into_iter().chain(&keys.before).map(Signer::verifying_key).collect()
    }
}

/// The key that signs access tokens, and the name that tokens give it.
pub struct Signer {
    key: RsaKeyPair,
    key_id: String,
}

/// The signature could not be made; the claims are as they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSigned;

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token could not be signed")
    }
}

impl std::error::Error for NotSigned {}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Makes a new key, as PKCS#8 DER. It is a secret: whoever has it can be anybody in the tenant.
    ///
    /// # Errors
    /// A sentence where the system gives no random numbers.
    pub fn generate() -> Result<Vec<u8>, String> {
        let told = |it: &dyn fmt::Display| format!("cannot make a key to sign tokens with: {it}");
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS)
            .map_err(|it| told(&it))?;
        let der = key.to_pkcs8_der().map_err(|it| told(&it))?;
        Ok(der.as_bytes().to_vec())
    }

    /// Takes a key that [`Signer::generate`] made.
    ///
    /// # Errors
    /// A sentence where the bytes are no RSA key of at least 2,048 bits.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let key = RsaKeyPair::from_pkcs8(der)
            .map_err(|it| format!("the key to sign tokens with cannot be read: {it}"))?;
        let key_id = URL_SAFE_NO_PAD.encode(digest(&SHA256, key.public().as_ref()));
        Ok(Self { key, key_id })
    }

    /// The key's name: base64url of SHA-256 over its public half, so the same key has the same name always.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What the gates verify tokens with.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey {
            key_id: self.key_id.clone(),
            public_der: self.key.public().as_ref().to_vec(),
        }
    }

    /// The public half as clients read it from the key list.
    ///
    /// There is no certificate behind the key, so `x5t` is the key's name, as it is in Entra.
    pub fn jwk(&self, issuer: &str) -> Value {
        let parts = PublicKeyComponents::<Vec<u8>>::from(self.key.public());
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "x5t": self.key_id,
            "n": URL_SAFE_NO_PAD.encode(parts.n),
            "e": URL_SAFE_NO_PAD.encode(parts.e),
            "issuer": issuer,
        })
    }

    /// Signs claims: a JSON Web Token in compact form, RS256.
    ///
    /// # Errors
    /// [`NotSigned`] where the system gives no random numbers for blinding.
    pub fn sign(&self, claims: &Value) -> Result<String, NotSigned> {
        let header =
            json!({ "typ": "JWT", "alg": "RS256", "kid": self.key_id, "x5t": self.key_id });
        let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0_u8; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| NotSigned)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
