//! Other issuers, whose tokens sign applications in where a federated credential names them: what the operator
//! has written about each, in a file of its own.
//!
//! This server fetches no keys: it would be a call to wherever an application's owner says. So who runs it
//! decides whom it trusts, by putting the issuer's key list beside its name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gate::facts::VerifyingKey;
use serde_json::Value;

pub use gate::facts::TrustedIssuer;

/// Longest file, in bytes, and most keys in it.
pub const FILE_BYTES_MAX: usize = 256 << 10;
const KEYS_MAX: usize = 100;
/// Bytes of a key's modulus: what `ring` verifies with.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// Longest exponent in bytes: `ring` takes no longer one.
const EXPONENT_BYTES_MAX: usize = 5;

/// Reads `{"issuer": "https://...", "jwks": {"keys": [...]}}`. Keys that are not RSA, or not for signing, are
/// left out: they sign no assertion that is taken.
///
/// # Errors
/// A sentence for a person.
///
/// Source: RFC 7517, section 5; RFC 7518, section 6.3.1.
pub fn parse(text: &[u8]) -> Result<TrustedIssuer, String> {
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    let document = model::json::parse(text).map_err(|it| format!("it is not JSON: {it}"))?;
    let issuer = model::json::text(&document, &["issuer"]).unwrap_or("");
    if !issuer.starts_with("https://") {
        return Err(
            "`issuer` is the text that its tokens have in `iss`, and starts with `https://`".into(),
        );
    }
    let listed = model::json::at(&document, &["jwks", "keys"]).and_then(Value::as_array);
    let listed = listed.ok_or("`jwks` is the issuer's key list, with its `keys`")?;
    if listed.len() > KEYS_MAX {
        return Err(format!("`jwks` has more than {KEYS_MAX} keys"));
    }
    let keys: Vec<VerifyingKey> = listed.iter().filter_map(key).collect();
    match keys.is_empty() {
        true => {
            Err("`jwks` has no RSA key with a `kid`, for signing, of 2,048 to 8,192 bits".into())
        }
        false => Ok(TrustedIssuer { issuer: issuer.to_owned(), keys }),
    }
}

fn key(item: &Value) -> Option<VerifyingKey> {
    let field = |name: &str| item.get(name).and_then(Value::as_str);
    let number = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(field(name)?).ok()?;
        Some(bytes.into_iter().skip_while(|it| *it == 0).collect::<Vec<u8>>())
    };
    if field("kty") != Some("RSA") || field("use").is_some_and(|it| it != "sig") {
        return None;
    }
    let (modulus, exponent) = (number("n")?, number("e")?);
    if !MODULUS_BYTES.contains(&modulus.len())
        || !(1..=EXPONENT_BYTES_MAX).contains(&exponent.len())
    {
        return None;
    }
    let public_der = sequence(&[integer(modulus), integer(exponent)].concat());
    Some(VerifyingKey { key_id: field("kid")?.to_owned(), public_der })
}

/// An `INTEGER` of a number without leading zeros, in DER.
fn integer(number: Vec<u8>) -> Vec<u8> {
    let sign = number.first().is_some_and(|it| *it >= 0x80).then_some(0);
    element(0x02, &sign.into_iter().chain(number).collect::<Vec<u8>>())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    element(0x30, content)
}

/// A tag, a length and a content. The content is shorter than 64 KiB: keys are.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head = match content.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entra::signing::Signer;
    use serde_json::json;

    fn with(keys: Value) -> Vec<u8> {
        json!({ "issuer": "https://ci.example", "jwks": { "keys": keys } }).to_string().into_bytes()
    }

    #[test]
    fn a_key_list_gives_the_keys_that_it_was_made_from() {
        let signer = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap();
        let elliptic = json!({ "kty": "EC", "kid": "e", "crv": "P-256", "x": "AA", "y": "AA" });
        let read = parse(&with(json!([elliptic, signer.jwk("")]))).unwrap();
        assert_eq!((read.issuer.as_str(), read.keys.len()), ("https://ci.example", 1));
        assert_eq!(read.keys[0].key_id, signer.verifying_key().key_id);
        assert_eq!(read.keys[0].public_der, signer.verifying_key().public_der);
    }

    #[test]
    fn a_file_without_an_issuer_or_a_key_that_can_be_used_is_refused() {
        let long = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let right = json!({ "kty": "RSA", "kid": "k", "n": long, "e": "AQAB" });
        assert!(parse(&with(json!([right]))).is_ok());
        let check = |name: &str, value: Value| {
            let mut key = right.clone();
            key[name] = value;
            assert!(parse(&with(json!([key]))).is_err(), "{name}");
        };
        check("kty", json!("oct"));
        check("use", json!("enc"));
        check("kid", Value::Null);
        check("n", json!(URL_SAFE_NO_PAD.encode([0xff; 128])));
        check("n", json!(URL_SAFE_NO_PAD.encode([0xff; 1_025])));
        check("n", json!("!"));
        check("e", json!(""));
        check("e", json!(long));
        assert!(parse(&with(json!([]))).is_err());
        assert!(parse(&with(json!(vec![right.clone(); KEYS_MAX + 1]))).is_err());
        assert!(parse(b"").is_err());
        assert!(parse(br#"{"issuer":"http://ci.example","jwks":{"keys":[]}}"#).is_err());
        assert!(parse(&vec![b' '; FILE_BYTES_MAX + 1]).is_err());
    }
}
