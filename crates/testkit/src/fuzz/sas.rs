//! Shared access signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wire::sas::{parse, resource_text};

/// The bytes are what a client shows, where they are text. Reading it does not panic, what was read holds no
/// control character, and is read again from a token that is put together from it.
pub fn sas(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let token = match parse(text) {
        Ok(token) => token,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let (resource, key_name) = (&token.resource, token.key_name.as_deref());
    assert!(!token.resource_text.is_empty() && token.expiry.seconds() >= 0);
    for field in [resource, &token.resource_text, &token.expiry_text, key_name.unwrap_or("")] {
        assert!(!field.chars().any(char::is_control), "{field:?}");
    }
    let signature = resource_text(&STANDARD.encode(token.signature.reveal()));
    let name = key_name.map(|it| format!("&skn={}", resource_text(it))).unwrap_or_default();
    let (raw, expiry) = (&token.resource_text, &token.expiry_text);
    let again = format!("SharedAccessSignature sr={raw}&sig={signature}&se={expiry}{name}");
    // Quoted as it should be, a token may be longer than is taken.
    let Ok(again) = parse(&again) else {
        return assert!(again.len() > wire::sas::TOKEN_BYTES_MAX, "{again}");
    };
    assert_eq!(again.resource_text, token.resource_text);
    assert_eq!(again.resource, token.resource);
    assert_eq!(again.expiry, token.expiry);
    assert_eq!(again.key_name, token.key_name);
    assert!(again.signature == token.signature);
}
