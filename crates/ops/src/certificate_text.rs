//! Certificates as clients send them in JSON: base64 of DER, PEM, or base64 of PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest certificate, in bytes of DER, and longest text of one: base64 of PEM, with its line ends.
pub(crate) const DER_BYTES_MAX: usize = gate::x509::CERTIFICATE_BYTES_MAX;
pub(crate) const TEXT_BYTES_MAX: usize = 40 << 10;

pub(crate) const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
pub(crate) const PEM_END: &str = "-----END CERTIFICATE-----";

/// The DER in a text. Whether it is a certificate is for whoever reads it.
///
/// # Errors
/// A sentence's end that says what the text must be.
pub(crate) fn der(text: &str) -> Result<Vec<u8>, String> {
    let none = || "is not a certificate in base64 or PEM".to_owned();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(format!("is a text of 1 to {TEXT_BYTES_MAX} bytes"));
    }
    let decoded = decoded(text).ok_or_else(none)?;
    let der = match std::str::from_utf8(&decoded) {
        Ok(pem) if pem.trim_start().starts_with(PEM_BEGIN) => {
            self::decoded(pem).ok_or_else(none)?
        }
        _ => decoded,
    };
    match der.len() {
        1..=DER_BYTES_MAX => Ok(der),
        _ => Err(format!("has at most {DER_BYTES_MAX} bytes")),
    }
}

/// Decodes base64 with or without the lines that make it PEM. `az` sends the line ends of the file along.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let body = match text.strip_prefix(PEM_BEGIN) {
        Some(rest) => rest.strip_suffix(PEM_END)?,
        None => text,
    };
    let body: String = body.chars().filter(|it| !it.is_ascii_whitespace()).collect();
    STANDARD.decode(body).ok()
}
