//! Where an application may have people's codes sent: what a body may say of that, and what the gates learn of it.

use super::Object;
use gate::{Redirect, RedirectKind};
use model::Error;
use serde_json::Value;

/// The lists of an application. Source: Microsoft Graph, "application resource type".
const LISTS: [(&str, RedirectKind); 3] = [
    ("publicClient", RedirectKind::Public),
    ("spa", RedirectKind::Spa),
    ("web", RedirectKind::Web),
];
/// Most addresses of a list, and the longest. Source: Microsoft identity platform, "Redirect URI restrictions and
/// limitations".
const REDIRECTS_MAX: usize = 256;
const REDIRECT_BYTES_MAX: usize = 256;
/// Schemes that a browser runs in place of leading anywhere.
const RUN: [&str; 5] = ["javascript", "data", "vbscript", "blob", "file"];

/// Refuses a body with an address that no code may be sent to.
pub(super) fn check(body: &Value) -> Result<(), Error> {
    for (list, kind) in LISTS {
        let given = model::json::member(body, list);
        let Some(given) = given.and_then(|it| model::json::member(it, "redirectUris")) else {
            continue;
        };
        let refused = || {
            let sentence = format!(
                "this is a list of at most {REDIRECTS_MAX} addresses of at most {REDIRECT_BYTES_MAX} bytes, without \
                 fragment and placeholder: `https://app.example/back`, `http://localhost` on the own machine, or, for \
                 public clients, a scheme of their own"
            );
            Error::invalid(format!("{list}.redirectUris"), sentence)
        };
        let all = match given {
            Value::Null => continue,
            Value::Array(all) if all.len() <= REDIRECTS_MAX => all,
            Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => return Err(refused()),
        };
        if !all.iter().all(|it| it.as_str().is_some_and(|it| is_redirect(it, kind))) {
            return Err(refused());
        }
    }
    Ok(())
}

fn is_redirect(uri: &str, kind: RedirectKind) -> bool {
    let is_plain = uri.len() <= REDIRECT_BYTES_MAX
        && uri.bytes().all(|it| it.is_ascii_graphic() && !b"#*\\\"<>".contains(&it));
    let Some((scheme, rest)) = uri.split_once(':').filter(|_| is_plain) else { return false };
    let authority = rest.strip_prefix("//").unwrap_or("");
    let host = authority.split(['/', '?']).next().unwrap_or("");
    let name = host.split(':').next().unwrap_or("");
    let is_scheme = scheme.starts_with(|it: char| it.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"+-.".contains(&it));
    match scheme {
        "https" => !name.is_empty() && !host.contains('@'),
        "http" => matches!(name, "localhost" | "127.0.0.1") && !host.contains('@'),
        _ => {
            kind == RedirectKind::Public && is_scheme && !RUN.contains(&scheme) && !rest.is_empty()
        }
    }
}

/// The addresses of an application, as its properties have them.
pub(super) fn of(properties: &Object) -> Vec<Redirect> {
    let of_list = |(list, kind): (&str, RedirectKind)| {
        let all = properties.get(list).and_then(|it| model::json::member(it, "redirectUris"));
        let all = all.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let uris = all.iter().filter_map(Value::as_str).filter(|it| is_redirect(it, kind));
        uris.map(|it| Redirect { kind, uri: it.to_owned() }).collect::<Vec<_>>()
    };
    LISTS.into_iter().flat_map(of_list).collect()
}

/// True where it is registered as a client that holds no secret.
pub(super) fn is_public(properties: &Object) -> bool {
    properties.get("isFallbackPublicClient").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_address_leads_somewhere_and_runs_nothing() {
        let check = |list: &str, uri: &str, expected: bool| {
            let body = json!({ list: { "redirectUris": [uri] } });
            assert_eq!(check(&body).is_ok(), expected, "{body}");
        };
        check("web", "https://app.example/back", true);
        check("web", "http://localhost:8080/back", true);
        check("publicClient", "http://localhost", true);
        check("publicClient", "my.app://auth", true);
        check("publicClient", "urn:ietf:wg:oauth:2.0:oob", true);
        for wrong in [
            "http://app.example/back",
            "https://",
            "https:///back",
            "https://app.example/#x",
            "https://*.example/",
            "https://user@app.example/",
            "http://localhost@evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "HTTPS://app.example",
            "back",
            "",
        ] {
            check("publicClient", wrong, false);
        }
        check("web", "my.app://auth", false);
        check("spa", "my.app://auth", false);
        let long = format!("https://app.example/{}", "x".repeat(REDIRECT_BYTES_MAX));
        check("web", &long, false);
    }
}
