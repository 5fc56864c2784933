//! The `Authorization` header, to a credential that is still unproven.
//!
//! What cannot be read becomes [`Credential::Malformed`] with a sentence: the gates refuse it and keep a
//! trace. The sentence never repeats what the header held, which may be a secret in the wrong place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use model::{Credential, Secret};
use percent_encoding::percent_decode_str;

/// Longest client id and secret under HTTP Basic, in bytes of base64.
const BASIC_BYTES_MAX: usize = 4 << 10;
/// Longest name of a scheme that an error repeats.
const SCHEME_CHARS_MAX: usize = 24;

/// What the caller shows to prove who it is.
pub(crate) fn credential(headers: &HeaderMap) -> Credential {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = match (all.next(), all.next()) {
        (None, _) => return Credential::None,
        (Some(one), None) => one,
        (Some(_), Some(_)) => {
            return malformed("`Authorization` header", "it stands more than once");
        }
    };
    let Ok(text) = value.to_str() else {
        return malformed(
            "`Authorization` header",
            "it holds characters that are not printable ASCII",
        );
    };
    let Some((scheme, rest)) = text.trim().split_once(' ') else {
        return malformed(
            "`Authorization` header",
            "it has no scheme and value; send `Bearer`, a space and the token",
        );
    };
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" if rest.contains(' ') => malformed("access token", "it holds a space"),
        "bearer" => Credential::Bearer(Secret::new(rest.to_owned())),
        "sharedaccesssignature" => signature(text.trim()),
        "basic" => basic(rest),
        other => malformed("`Authorization` header", &unknown(other)),
    }
}

/// A shared access signature, from a header or from an MQTT password.
pub(crate) fn signature(text: &str) -> Credential {
    match wire::sas::parse(text) {
        Ok(token) => Credential::Sas(token),
        Err(because) => malformed("shared access signature", &because.to_string()),
    }
}

/// An application's id and secret, each percent-encoded before both went into base64.
/// Source: RFC 6749, section 2.3.1; RFC 7617.
fn basic(text: &str) -> Credential {
    let refuse = |because| malformed("`Authorization: Basic` header", because);
    if text.len() > BASIC_BYTES_MAX {
        return refuse("it is longer than 4 KiB");
    }
    let Ok(bytes) = STANDARD.decode(text) else {
        return refuse("it is not base64");
    };
    let Ok(pair) = String::from_utf8(bytes) else {
        return refuse("it does not decode to UTF-8");
    };
    let Some((id, secret)) = pair.split_once(':') else {
        return refuse("it has no `:` between the client's id and its secret");
    };
    match (percent_decode_str(id).decode_utf8(), percent_decode_str(secret).decode_utf8()) {
        (Ok(id), Ok(secret)) => Credential::ClientSecret {
            // The path of the token endpoint names the tenant.
            tenant: String::new(),
            client_id: id.into_owned(),
            secret: Secret::new(secret.into_owned()),
        },
        _ => refuse("it does not decode to UTF-8"),
    }
}

/// Names a scheme only where it looks like one: a client may have put its token first.
fn unknown(scheme: &str) -> String {
    let looks_like_one = scheme.chars().count() <= SCHEME_CHARS_MAX
        && scheme.chars().all(|it| it.is_ascii_alphabetic() || it == '-');
    match looks_like_one {
        true => {
            format!("the scheme `{scheme}` is not known; send `Bearer` or `SharedAccessSignature`")
        }
        false => "its scheme is not known; send `Bearer` or `SharedAccessSignature`".to_owned(),
    }
}

pub(crate) fn malformed(kind: &'static str, because: &str) -> Credential {
    Credential::Malformed { kind, because: because.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn read(values: &[&str]) -> Credential {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        credential(&headers)
    }

    fn refused(value: &str) -> String {
        let read = read(&[value]);
        let Credential::Malformed { kind, because } = read else {
            panic!("{value:?} was read as {read:?}")
        };
        format!("the {kind} cannot be read: {because}")
    }

    #[test]
    fn no_header_is_no_credential() {
        assert!(matches!(read(&[]), Credential::None));
    }

    #[test]
    fn a_bearer_token_is_taken_in_any_casing_of_the_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            let Credential::Bearer(token) = read(&[value]) else { panic!("{value:?}") };
            assert_eq!(token.reveal(), "a.b.c", "{value}");
        }
    }

    #[test]
    fn a_shared_access_signature_is_taken_apart() {
        let read = read(&["SharedAccessSignature sr=h&sig=AAAA&se=1&skn=owner"]);
        let Credential::Sas(token) = read else { panic!("{read:?}") };
        assert_eq!(token.key_name.as_deref(), Some("owner"));
        let told = refused("SharedAccessSignature sr=h&sig=c2VjcmV0");
        assert!(told.contains("no `se`") && !told.contains("c2VjcmV0"), "{told}");
    }

    #[test]
    fn basic_carries_an_application_and_its_secret() {
        let check = |pair: &str, id: &str, secret: &str| {
            let read = read(&[&format!("Basic {}", STANDARD.encode(pair))]);
            let Credential::ClientSecret { tenant, client_id, secret: it } = read else {
                panic!("{pair:?}")
            };
            assert_eq!(
                (tenant.as_str(), client_id.as_str(), it.reveal().as_str()),
                ("", id, secret),
                "{pair}"
            );
        };
        check("id:secret", "id", "secret");
        check("id:a:b", "id", "a:b");
        check("i%3Ad:a%25%2B+b", "i:d", "a%++b");
        check(":", "", "");
        for value in ["Basic !", "Basic aWQ", "Basic aWQ=", "Basic /w==", "Basic aWQ6JWZm"] {
            refused(value);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "eyJhbGciOi.eyJzZWNyZXQi.c2ln",
            "eyJhbGciOi.eyJzZWNyZXQi.c2ln x",
            "eyJhbGciOieyJzZWNyZXQic2lnbmF0dXJl x",
            "Bearer eyJhbGciOi x",
            "Bearer \u{e9}eyJhbGciOi",
        ] {
            assert!(!refused(value).contains("eyJhbGci"), "{value}");
        }
        assert!(refused("Negotiate abc").contains("`negotiate`"));
        assert!(matches!(read(&["Bearer a", "Bearer a"]), Credential::Malformed { .. }));
    }
}
