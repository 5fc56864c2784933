//! Shared access signatures: the text that a client shows, to a value and back.
//!
//! `SharedAccessSignature sr={resource}&sig={signature}&se={unix seconds}[&skn={policy}]`, its fields in
//! any order. The signature is `base64(HMAC-SHA256(key, sr + "\n" + se))` over `sr` and `se` exactly as they
//! stand in the token, so both are kept as text. Reading verifies nothing: that is the gates' work.
//! Source: IoT Hub developer guide, "Control access with shared access signatures", and the public SDKs.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use model::{SasToken, Secret, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;
use std::fmt;

/// Longest token in bytes. The longest `sr` that a hub can mean stays below 1 KiB even percent-encoded.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Most digits of `se`: with more it is no time that a clock will show.
const EXPIRY_DIGITS_MAX: usize = 15;

const SCHEME: &str = "SharedAccessSignature";

/// Some clients leave out the padding of the signature.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text is not a shared access signature. Names the field at fault and never repeats its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotASas {
    TooLong,
    /// It does not start with `SharedAccessSignature` and one space.
    NoScheme,
    /// A part between two `&` has no `=`.
    NotAPair,
    Missing(&'static str),
    Twice(&'static str),
    Empty(&'static str),
    ControlCharacter(&'static str),
    NotUtf8(&'static str),
    /// `se` is not a whole number of seconds.
    NotATime,
}

impl fmt::Display for NotASas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {TOKEN_BYTES_MAX} bytes"),
            Self::NoScheme => write!(f, "it does not start with `{SCHEME}` and one space"),
            Self::NotAPair => f.write_str("one of its parts is not of the form `name=value`"),
            Self::Missing(field) => write!(f, "it has no `{field}`"),
            Self::Twice(field) => write!(f, "it has `{field}` more than once"),
            Self::Empty(field) => write!(f, "its `{field}` is empty"),
            Self::ControlCharacter(field) => write!(f, "its `{field}` holds a control character"),
            Self::NotUtf8(field) => write!(f, "its `{field}` does not decode to UTF-8"),
            Self::NotATime => f.write_str("its `se` is not a time in whole seconds since 1970"),
        }
    }
}

impl std::error::Error for NotASas {}

/// Takes a token apart.
///
/// A signature that is not base64 becomes an empty one, which never verifies: a caller who guesses
/// signatures gets one answer for every wrong one. Fields with other names are skipped.
///
/// # Errors
/// [`NotASas`], which names the field that is missing, doubled or unreadable.
pub fn parse(text: &str) -> Result<SasToken, NotASas> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(NotASas::TooLong);
    }
    let (scheme, fields) = text.split_once(' ').ok_or(NotASas::NoScheme)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(NotASas::NoScheme);
    }
    let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
    for pair in fields.split('&') {
        let (name, value) = pair.split_once('=').ok_or(NotASas::NotAPair)?;
        let (field, slot) = match name {
            "sr" => ("sr", &mut sr),
            "sig" => ("sig", &mut sig),
            "se" => ("se", &mut se),
            "skn" => ("skn", &mut skn),
            _ => continue,
        };
        if value.chars().any(char::is_control) {
            return Err(NotASas::ControlCharacter(field));
        }
        if slot.replace(value).is_some() {
            return Err(NotASas::Twice(field));
        }
    }
    let resource_text = sr.ok_or(NotASas::Missing("sr"))?;
    let signature = sig.ok_or(NotASas::Missing("sig"))?;
    let expiry_text = se.ok_or(NotASas::Missing("se"))?;
    let key_name = skn.map(|it| decoded("skn", it)).transpose()?.filter(|it| !it.is_empty());
    if resource_text.is_empty() {
        return Err(NotASas::Empty("sr"));
    }
    Ok(SasToken {
        resource_text: resource_text.to_owned(),
        resource: decoded("sr", resource_text)?,
        signature: Secret::new(signature_bytes(signature)),
        expiry_text: expiry_text.to_owned(),
        expiry: expiry_of(expiry_text)?,
        key_name,
    })
}

/// Makes a token.
///
/// `resource_text` stands in the token, and under the signature, as it is given: percent-encode it first
/// with [`resource_text`] unless it is a bare host name. `key` is decoded from base64; `key_name` is a
/// shared access policy, absent for a device's own key. The answer opens what the key opens: treat it as one.
pub fn sign(resource_text: &str, key: &[u8], expiry: Timestamp, key_name: Option<&str>) -> String {
    let expiry_text = expiry.seconds().to_string();
    let signature = BASE64.encode(mac(key, resource_text, &expiry_text));
    let signature = utf8_percent_encode(&signature, NON_ALPHANUMERIC);
    let token = format!("{SCHEME} sr={resource_text}&sig={signature}&se={expiry_text}");
    match key_name {
        Some(name) => format!("{token}&skn={}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
        None => token,
    }
}

/// The form of a resource in `sr`: `{host}/devices/{device}`, percent-encoded once.
pub fn resource_text(resource: &str) -> String {
    utf8_percent_encode(resource, NON_ALPHANUMERIC).to_string()
}

fn mac(key: &[u8], resource_text: &str, expiry_text: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(resource_text.as_bytes());
    context.update(b"\n");
    context.update(expiry_text.as_bytes());
    context.sign()
}

fn decoded(field: &'static str, text: &str) -> Result<String, NotASas> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| NotASas::NotUtf8(field))?;
    match decoded.chars().any(char::is_control) {
        true => Err(NotASas::ControlCharacter(field)),
        false => Ok(decoded.into_owned()),
    }
}

/// A raw `+` is a `+`: clients that quote little leave `+`, `/` and `=` bare.
fn signature_bytes(text: &str) -> Vec<u8> {
    let base64_text: Vec<u8> = percent_decode_str(text).collect();
    BASE64.decode(base64_text).unwrap_or_default()
}

fn expiry_of(text: &str) -> Result<Timestamp, NotASas> {
    let is_number =
        (1..=EXPIRY_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if is_number => Ok(Timestamp::from_seconds(seconds)),
        _ => Err(NotASas::NotATime),
    }
}

#[cfg(test)]
mod tests;
