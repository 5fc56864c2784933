//! Where clients sign in: the documents that libraries read before they ask for a token.
//!
//! Served to anybody, so they say nothing that a sign-in page would not. There is one tenant, and its id
//! stands in every address here: clients take the tenant from the path of `token_endpoint`.

use super::{shown, tokens};
use crate::call::token_denial;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::error::TokenFault;
use model::{Error, ObjectId};
use serde_json::{Value, json};

/// Names that stand for "whatever tenant the account is of". Here there is only one.
const TENANT_ALIASES: &[&str] = &["common", "organizations"];
/// Longest tenant name: that of a domain.
const TENANT_BYTES_MAX: usize = 253;

/// The OpenID configuration. Version 1 clients get the version 2 addresses too: those take both forms.
///
/// Source: OpenID Connect Discovery 1.0, section 3; the fields that MSAL and `az` read.
pub(crate) async fn configuration(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    check_tenant(input.param("tenant"), env.settings.tenant)?;
    Ok(Reply::ok(document(&env.settings.origin, env.settings.tenant)))
}

fn document(origin: &str, tenant: ObjectId) -> Value {
    let base = format!("{origin}/{tenant}");
    json!({
        "issuer": tokens::issuer(origin, tenant),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
        "grant_types_supported": ["client_credentials", tokens::PASSWORD, tokens::REFRESH_TOKEN, tokens::AUTHORIZATION_CODE,
            tokens::DEVICE_CODE],
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post", "fragment"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["aud", "iss", "iat", "nbf", "exp", "tid", "oid", "sub", "appid", "azp", "idtyp", "scp", "upn", "name",
            "preferred_username", "ver"],
        "tenant_region_scope": null,
        "msgraph_host": host_with_port(origin),
    })
}

/// The public keys that tokens are signed with.
pub(crate) async fn signing_keys(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    check_tenant(input.param("tenant"), env.settings.tenant)?;
    let issuer = tokens::issuer(&env.settings.origin, env.settings.tenant);
    Ok(Reply::ok(json!({ "keys": env.signing_keys.jwks(&issuer) })))
}

/// Confirms an authority: yes to this server's own host, no to every other.
///
/// The port does not count, because MSAL leaves it out of the address that it asks about.
pub(crate) async fn instance(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let asked = input.query("authorization_endpoint").unwrap_or("");
    let origin = &env.settings.origin;
    let Some(tenant) = confirmed(asked, origin) else {
        return Err(Error::Invalid {
            code: "invalid_instance",
            at: Some("authorization_endpoint".into()),
            message: format!(
                "`{}` is not an address of this authority, which is `{origin}`",
                shown(asked)
            ),
        });
    };
    let network = host_with_port(origin);
    let mut aliases = vec![network, host(network)];
    aliases.dedup();
    Ok(Reply::ok(json!({
        "tenant_discovery_endpoint": format!("{origin}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": network, "preferred_cache": network, "aliases": aliases }],
    })))
}

/// Tells a client that a person's password is checked here and nowhere else. The same for every name: who
/// exists is not told before sign-in.
///
/// Source: MSAL, `user_realm_discovery`.
pub(crate) async fn user_realm(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = input.param("username");
    let domain = name.rsplit_once('@').map_or("", |(_, it)| it);
    Ok(Reply::ok(json!({
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": shown(domain),
        "cloud_instance_name": host_with_port(&env.settings.origin),
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    })))
}

/// The tenant's name in an address of this authority: `https://{our host}/{tenant}/...`.
fn confirmed<'a>(address: &'a str, origin: &str) -> Option<&'a str> {
    let (authority, path) = address.strip_prefix("https://")?.split_once('/')?;
    let tenant = path.split('/').next().unwrap_or("");
    let is_name = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'.';
    // `user@host` is somebody's attempt to look like us.
    let is_ours = !authority.contains('@')
        && host(authority).eq_ignore_ascii_case(host(host_with_port(origin)));
    let is_tenant = (1..=TENANT_BYTES_MAX).contains(&tenant.len()) && tenant.bytes().all(is_name);
    (is_ours && is_tenant).then_some(tenant)
}

/// `localhost:8443` of `https://localhost:8443`.
pub(crate) fn host_with_port(origin: &str) -> &str {
    origin.strip_prefix("https://").unwrap_or(origin)
}

/// The host of `host:port`, where an IPv6 address stands in brackets.
pub(crate) fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => authority,
    }
}

fn check_tenant(name: &str, tenant: ObjectId) -> Result<(), Error> {
    let is_alias = TENANT_ALIASES.iter().any(|it| it.eq_ignore_ascii_case(name));
    if is_alias || ObjectId::parse(name) == Some(tenant) {
        return Ok(());
    }
    let sentence =
        format!("there is no tenant `{}` here; this server's tenant is `{tenant}`.", shown(name));
    Err(token_denial(TokenFault::TenantNotFound, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "7e5f1c00-0000-4000-8000-00000000abcd";

    #[test]
    fn only_our_own_tenant_is_found_in_any_casing() {
        let tenant = ObjectId::parse(TENANT).unwrap();
        let check = |name: &str, expected: bool| {
            assert_eq!(check_tenant(name, tenant).is_ok(), expected, "{name}")
        };
        check(TENANT, true);
        check(&TENANT.to_uppercase(), true);
        check("common", true);
        check("Organizations", true);
        check("consumers", false);
        check("7e5f1c00-0000-4000-8000-00000000abce", false);
        check("7e5f1c0000004000800000000000abcd", false);
        check("", false);
        check("common ", false);
    }

    #[test]
    fn only_our_own_host_is_confirmed_whatever_its_port() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(confirmed(address, "https://localhost:8443"), expected, "{address}");
        };
        check("https://localhost/common/oauth2/v2.0/authorize", Some("common"));
        check("https://localhost:8443/t-1/oauth2/authorize", Some("t-1"));
        check("https://LOCALHOST:9999/t-1", Some("t-1"));
        check("https://localhost.evil.example/common/oauth2/authorize", None);
        check("https://localhost@evil.example/common", None);
        check("https://x@localhost/common", None);
        check("https://localhost:evil/common", None);
        check("http://localhost/common", None);
        check("https://localhost", None);
        check("https://localhost/", None);
        check("https://localhost/a%2fb/x", None);
        check(
            &format!("https://localhost/{}", "a".repeat(TENANT_BYTES_MAX)),
            Some(&"a".repeat(TENANT_BYTES_MAX)),
        );
        check(&format!("https://localhost/{}", "a".repeat(TENANT_BYTES_MAX + 1)), None);
        check("", None);
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets_and_loses_its_port() {
        assert_eq!(host("[::1]:8443"), "[::1]");
        assert_eq!(host("[::1]"), "[::1]");
        assert_eq!(host("localhost"), "localhost");
    }

    #[test]
    fn every_address_stays_under_the_origin() {
        let document = document("https://localhost:8443", ObjectId::parse(TENANT).unwrap());
        let addresses = document
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| key.ends_with("_endpoint") || *key == "issuer");
        for (key, address) in addresses {
            let expected = format!("https://localhost:8443/{TENANT}/");
            assert!(address.as_str().unwrap().starts_with(&expected), "{key}: {address}");
        }
    }
}
