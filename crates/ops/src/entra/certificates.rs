//! An application's certificates: registered as `keyCredentials`, kept as what a sign-in needs of them.
//!
//! A certificate may be put on an application or on its service principal; either way it signs the
//! application in. Whether an assertion is signed with one, and whether that is valid now, is decided in
//! `gate`'s authentication. The private key never comes here.

use super::passwords::Holder;
use super::properties;
use crate::certificate_text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::Certificate;
use model::{Error, ObjectId, Timestamp};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::public_key::PublicKey;

/// Most certificates of an application: a sign-in looks at each.
const CERTIFICATES_MAX: usize = 100;
/// The least that is safe, and the most that `ring` verifies with.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// A certificate as it is kept. Names and subjects in it count for nothing, so they are not kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyCredential {
    key_id: ObjectId,
    pub(super) holder: Holder,
    display_name: Option<String>,
    start_date_time: Timestamp,
    end_date_time: Timestamp,
    /// Base64 of the hashes of its DER.
    sha256: String,
    sha1: String,
    /// Base64 of the `RSAPublicKey`, DER.
    public_key: String,
}

impl KeyCredential {
    /// As Graph shows it: everything but the certificate, which it leaves out, too, where nobody selects it.
    ///
    /// Source: Microsoft Graph, "keyCredential resource type"; `az` says that the identifier is the
    /// thumbprint.
    pub(super) fn shown(&self) -> Value {
        json!({
            "customKeyIdentifier": self.thumbprint(),
            "displayName": self.display_name,
            "endDateTime": self.end_date_time.rfc3339(),
            "key": null,
            "keyId": self.key_id,
            "startDateTime": self.start_date_time.rfc3339(),
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        })
    }

    fn thumbprint(&self) -> String {
        let bytes = STANDARD.decode(&self.sha1).unwrap_or_default();
        super::hex(&bytes).to_ascii_uppercase()
    }

    pub(super) fn fact(&self) -> Result<Certificate, String> {
        let bytes = |text: &str| {
            STANDARD.decode(text).map_err(|it| format!("the certificate `{}`: {it}", self.key_id))
        };
        Ok(Certificate {
            key_id: self.key_id,
            sha256: bytes(&self.sha256)?,
            sha1: bytes(&self.sha1)?,
            public_der: bytes(&self.public_key)?,
            starts: self.start_date_time,
            expires: self.end_date_time,
        })
    }
}

/// Takes `keyCredentials`, where a body has them, in place of the holder's: the list that was read, without
/// what is to go and with what is new. True where something changed.
///
/// # Errors
/// [`Error::Invalid`] where an entry cannot be taken; nothing has changed then.
pub(super) fn take(
    kept: &mut Vec<KeyCredential>,
    holder: Holder,
    body: &Value,
) -> Result<bool, Error> {
    let given = match model::json::member(body, "keyCredentials") {
        None | Some(Value::Null) => return Ok(false),
        Some(Value::Array(given)) => given,
        Some(_) => return Err(refused("this is a list of certificates")),
    };
    let (own, mut all): (Vec<KeyCredential>, Vec<KeyCredential>) =
        kept.iter().cloned().partition(|it| it.holder == holder);
    if own.is_empty() && given.is_empty() {
        return Ok(false);
    }
    if all.len() + given.len() > CERTIFICATES_MAX {
        let sentence = format!(
            "an application has at most {CERTIFICATES_MAX} certificates; remove some first"
        );
        return Err(refused(&sentence));
    }
    for item in given {
        let credential = entry(item, holder, &own)?;
        if all.iter().any(|it| it.key_id == credential.key_id) {
            let sentence = format!("the `keyId` `{}` stands twice", credential.key_id);
            return Err(refused(&sentence));
        }
        all.push(credential);
    }
    *kept = all;
    Ok(true)
}

fn refused(sentence: &str) -> Error {
    Error::invalid("keyCredentials", sentence)
}

/// One entry: a certificate that comes now, or one that is here and was sent back as it was shown.
fn entry(item: &Value, holder: Holder, own: &[KeyCredential]) -> Result<KeyCredential, Error> {
    let field = |name: &str| model::json::member(item, name).filter(|it| !it.is_null());
    for (name, only) in [("type", "AsymmetricX509Cert"), ("usage", "Verify")] {
        if field(name).is_some_and(|it| it != only) {
            return Err(refused(&format!(
                "the `{name}` of a certificate that signs in is `{only}`"
            )));
        }
    }
    let key_id = match field("keyId") {
        None => None,
        Some(it) => Some(
            it.as_str()
                .and_then(ObjectId::parse)
                .ok_or_else(|| refused("a `keyId` is a GUID of your choice"))?,
        ),
    };
    let found = own.iter().find(|it| Some(it.key_id) == key_id).cloned();
    let mut credential = match (field("key"), found) {
        (None, Some(found)) => found,
        (Some(key), found) => {
            let new = read(key.as_str().unwrap_or(""), holder, key_id)?;
            found.filter(|it| it.sha256 == new.sha256).unwrap_or(new)
        }
        (None, None) => {
            return Err(refused(
                "there is no certificate with this `keyId` here; send the `key` of a new one, in base64",
            ));
        }
    };
    check_identifier(field("customKeyIdentifier"), &credential)?;
    let time = |name: &str, own: Timestamp| match field(name) {
        None => Ok(own),
        Some(it) => it.as_str().and_then(Timestamp::parse).ok_or_else(|| {
            refused(&format!("the `{name}` is a time such as `2027-01-31T00:00:00Z`"))
        }),
    };
    let start = time("startDateTime", credential.start_date_time)?;
    let end = time("endDateTime", credential.end_date_time)?;
    if start < credential.start_date_time || end > credential.end_date_time || end <= start {
        return Err(refused(&format!(
            "it counts within its own validity, from {} to {}; leave `startDateTime` and `endDateTime` out, \
             or name times within",
            credential.start_date_time, credential.end_date_time
        )));
    }
    (credential.start_date_time, credential.end_date_time) = (start, end);
    credential.display_name = match field("displayName") {
        None => credential.display_name,
        Some(Value::String(name)) if properties::is_name(name) => Some(name.clone()),
        Some(_) => return Err(refused("the `displayName` is a text of 1 to 256 characters")),
    };
    Ok(credential)
}

/// The server sets the identifier. A client may send it back, or compute the same.
fn check_identifier(given: Option<&Value>, credential: &KeyCredential) -> Result<(), Error> {
    let is_own = |it: &Value| {
        it.as_str().is_some_and(|it| {
            it.eq_ignore_ascii_case(&credential.thumbprint()) || it == credential.sha1
        })
    };
    match given {
        Some(it) if !is_own(it) => {
            Err(refused("the server sets `customKeyIdentifier`, to the thumbprint; leave it out"))
        }
        _ => Ok(()),
    }
}

/// Reads a certificate: base64 of its DER, as `az` and Graph's documentation have it, or PEM, or base64 of PEM.
fn read(text: &str, holder: Holder, key_id: Option<ObjectId>) -> Result<KeyCredential, Error> {
    let der = certificate_text::der(text).map_err(|it| refused(&format!("the `key` {it}")))?;
    // Extensions stay unread: none of them counts, and each has a parser of its own that could fail.
    let parsed = X509CertificateParser::new().with_deep_parse_extensions(false).parse(&der);
    let Ok(([], certificate)) = parsed else {
        return Err(refused("the `key` is not an X.509 certificate, and one alone"));
    };
    let key = certificate.public_key();
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return Err(refused("the certificate's key is not RSA, the only kind that signs in"));
    };
    if !KEY_BITS.contains(&bits(rsa.modulus)) {
        return Err(refused(&format!(
            "the certificate's key has {} bits; it must have {} to {}",
            bits(rsa.modulus),
            KEY_BITS.start(),
            KEY_BITS.end()
        )));
    }
    let at = |it: x509_parser::time::ASN1Time| Timestamp::from_seconds(it.timestamp());
    let (start, end) =
        (at(certificate.validity().not_before), at(certificate.validity().not_after));
    if end <= start {
        return Err(refused("the certificate ends before it starts"));
    }
    let sha256 = digest(&SHA256, &der);
    // Who names no id gets one that is the certificate's own.
    let own_id = || {
        let mut id = [0_u8; 16];
        id.iter_mut().zip(sha256.as_ref()).for_each(|(to, from)| *to = *from);
        ObjectId(uuid::Builder::from_random_bytes(id).into_uuid())
    };
    Ok(KeyCredential {
        key_id: key_id.unwrap_or_else(own_id),
        holder,
        display_name: None,
        start_date_time: start,
        end_date_time: end,
        sha256: STANDARD.encode(sha256),
        sha1: STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der)),
        public_key: STANDARD.encode(&key.subject_public_key.data),
    })
}

/// The bits of a number in big-endian bytes.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|it| **it == 0).count();
    let first = number.get(zeros).map_or(8, |it| it.leading_zeros() as usize);
    ((number.len() - zeros) * 8).saturating_sub(first)
}

#[cfg(test)]
mod tests;
