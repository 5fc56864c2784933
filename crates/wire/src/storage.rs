//! Signatures of Azure Storage: what is signed, for who signs and for who checks.
//!
//! A request is signed with a key of the account ([`shared_key`]), or an address is signed for whoever holds it
//! ([`sas`]). Both are a text and its HMAC-SHA256; this module makes the text of what was sent, and verifies nothing.

pub mod sas;
pub mod shared_key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The signature of a text, in base64. `key` is decoded from base64. What it opens, the answer opens: treat it as a key.
pub fn sign(key: &[u8], text: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()))
}

/// The bytes of a signature; none where it is not base64: such a signature fits no key.
pub fn signature_bytes(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_default()
}
