use super::*;
use crate::entra::signing::Signer;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use std::sync::LazyLock;

const ORIGIN: &str = "https://localhost:8443";

/// One key for all tests here: making it takes the longest.
static KEY: LazyLock<Vec<u8>> = LazyLock::new(|| Signer::generate().unwrap());

fn form(fields: &[(&str, &str)]) -> Value {
    fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
}

fn wanted(fields: &[(&str, &str)]) -> Result<(String, Version), TokenFault> {
    let all: Vec<(&str, &str)> =
        [("grant_type", "client_credentials")].iter().chain(fields).copied().collect();
    Wanted::read(&form(&all), ORIGIN)
        .map(|it| (it.audience, it.version))
        .map_err(|(fault, _)| fault)
}

#[test]
fn the_audience_is_the_text_before_default_with_its_slash() {
    let check = |scope: &str, expected: Result<&str, TokenFault>| {
        let expected = expected.map(|it| (it.to_owned(), Version::V2));
        assert_eq!(wanted(&[("scope", scope)]), expected, "{scope}");
    };
    check(
        "https://management.core.windows.net//.default",
        Ok("https://management.core.windows.net/"),
    );
    check(
        "https://management.core.windows.net/.default",
        Ok("https://management.core.windows.net"),
    );
    check("https://iothubs.azure.net/.default", Ok("https://iothubs.azure.net"));
    check("https://localhost:8443/.default", Ok("https://localhost:8443"));
    check("https://localhost:8443//.default", Ok("https://localhost:8443/"));
    check(" https://graph.microsoft.com/.default ", Ok("https://graph.microsoft.com"));
    check("https://IotHubs.azure.net/.default", Ok("https://iothubs.azure.net"));
    check("https://iothubs.azure.net///.default", Err(TokenFault::UnknownResource));
    check("https://iothubs.azure.net.evil.example/.default", Err(TokenFault::UnknownResource));
    check("https://localhost:8444/.default", Err(TokenFault::UnknownResource));
    check("https://localhost/.default", Err(TokenFault::UnknownResource));
    check("//.default", Err(TokenFault::UnknownResource));
    check("/.default", Err(TokenFault::BadScope));
    check(".default", Err(TokenFault::BadScope));
    check("https://iothubs.azure.net/.default/", Err(TokenFault::BadScope));
    check("https://iothubs.azure.net/user_impersonation", Err(TokenFault::BadScope));
    check(
        "https://iothubs.azure.net/.default https://graph.microsoft.com/.default",
        Err(TokenFault::BadScope),
    );
    check("https://iothubs.azure.net/.default\topenid", Err(TokenFault::BadScope));
    check("", Err(TokenFault::MissingField));
    check("   ", Err(TokenFault::MissingField));
    check(&format!("{}/.default", "x".repeat(60_000)), Err(TokenFault::UnknownResource));
    check("\u{202e}\0\"/.default", Err(TokenFault::UnknownResource));
}

#[test]
fn version_1_names_the_resource_itself() {
    let check = |resource: &str, expected: Result<&str, TokenFault>| {
        let expected = expected.map(|it| (it.to_owned(), Version::V1));
        assert_eq!(wanted(&[("resource", resource)]), expected, "{resource}");
    };
    check("https://management.azure.com", Ok("https://management.azure.com"));
    check("https://management.azure.com/", Ok("https://management.azure.com/"));
    check("https://management.azure.com//", Err(TokenFault::UnknownResource));
    check("https://management.azure.com/.default", Err(TokenFault::UnknownResource));
    check("", Err(TokenFault::MissingField));
    let both = [
        ("resource", "https://iothubs.azure.net"),
        ("scope", "https://iothubs.azure.net/.default"),
    ];
    assert_eq!(wanted(&both), Err(TokenFault::BadScope));
}

#[test]
fn only_known_grants_are_taken_in_their_spelling() {
    let check = |grant: &[(&str, &str)], expected: TokenFault| {
        let all: Vec<(&str, &str)> = grant
            .iter()
            .chain(&[("scope", "https://iothubs.azure.net/.default")])
            .copied()
            .collect();
        assert_eq!(Wanted::read(&form(&all), ORIGIN).unwrap_err().0, expected, "{grant:?}");
    };
    check(&[], TokenFault::MissingField);
    check(&[("grant_type", "")], TokenFault::MissingField);
    check(&[("grant_type", "implicit")], TokenFault::UnsupportedGrant);
    check(&[("grant_type", "Authorization_Code")], TokenFault::UnsupportedGrant);
    check(&[("grant_type", "Password")], TokenFault::UnsupportedGrant);
    check(&[("grant_type", "CLIENT_CREDENTIALS")], TokenFault::UnsupportedGrant);
    assert_eq!(Wanted::read(&Value::Null, ORIGIN).unwrap_err().0, TokenFault::MissingField);
}

#[test]
fn a_sentence_about_a_hostile_scope_is_short_and_on_one_line() {
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", &*format!("a\r\nb\"{}", "x".repeat(60_000))),
    ];
    let (_, sentence) = Wanted::read(&form(&fields), ORIGIN).unwrap_err();
    assert!(sentence.len() < 1_000 && !sentence.contains(['\r', '\n']), "{sentence}");
}

#[test]
fn a_signed_token_verifies_by_the_published_key_and_no_other() {
    let signer = Signer::from_pkcs8(&KEY).unwrap();
    let token = signer.sign(&json!({ "aud": "a", "n": 1 })).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();

    let kept = signer.verifying_key();
    let by_der = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &kept.public_der);
    by_der.verify(signed.as_bytes(), &signature).unwrap();
    assert!(by_der.verify(format!("{signed}x").as_bytes(), &signature).is_err());

    let jwk = signer.jwk("https://localhost:8443/t/v2.0");
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let published = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    published.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).unwrap();

    let (header, claims) = signed.split_once('.').unwrap();
    let read =
        |it: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(it).unwrap()).unwrap();
    assert_eq!(
        read(header),
        json!({ "typ": "JWT", "alg": "RS256", "kid": kept.key_id, "x5t": kept.key_id })
    );
    assert_eq!(read(claims), json!({ "aud": "a", "n": 1 }));
    assert_eq!(jwk["kid"], kept.key_id);
}

#[test]
fn a_token_of_ours_passes_the_gates_own_reading() {
    let signer = Signer::from_pkcs8(&KEY).unwrap();
    let id = |text: &str| ObjectId::parse(text).unwrap();
    let subject = Subject {
        object_id: id("11111111-0000-4000-8000-000000000001"),
        app_id: id("22222222-0000-4000-8000-000000000002"),
        proof: ClientProof::Secret,
    };
    let tenant = id("33333333-0000-4000-8000-000000000003");
    let wanted = Wanted::of_application("https://iothubs.azure.net".into(), Version::V2);
    let now = Timestamp::from_millis(1_795_000_000_999);
    let token = signer.sign(&claims(&wanted, subject, ORIGIN, tenant, now, "u")).unwrap();
    let read = gate::jwt::verify(&token, &[signer.verifying_key()]).unwrap();
    assert_eq!(read.issuer, format!("{ORIGIN}/{tenant}/v2.0"));
    assert_eq!(read.audience, "https://iothubs.azure.net");
    assert_eq!(read.tenant, tenant.to_string());
    assert_eq!(read.object_id, Some(id("11111111-0000-4000-8000-000000000001")));
    assert_eq!(read.app_id, Some(id("22222222-0000-4000-8000-000000000002")));
    assert_eq!(read.issued, Timestamp::from_seconds(1_795_000_000));
    assert_eq!(read.expires, Some(Timestamp::from_seconds(1_795_000_000 + TOKEN_LIFETIME_S)));
}

#[test]
fn the_answer_has_numbers_in_version_2_and_texts_in_version_1() {
    let now = Timestamp::from_seconds(1_000);
    let answer = |version| {
        answer(
            &Wanted::of_application("https://iothubs.azure.net".into(), version),
            "t".into(),
            now,
        )
    };
    assert_eq!(
        answer(Version::V2),
        json!({ "token_type": "Bearer", "expires_in": 3_599, "ext_expires_in": 3_599, "access_token": "t" })
    );
    assert_eq!(
        answer(Version::V1),
        json!({ "token_type": "Bearer", "expires_in": "3599", "ext_expires_in": "3599", "expires_on": "4600",
            "not_before": "1000", "resource": "https://iothubs.azure.net", "access_token": "t" })
    );
}

#[test]
fn a_key_keeps_its_name_and_prints_nothing_else() {
    let signer = Signer::from_pkcs8(&KEY).unwrap();
    assert_eq!(signer.key_id(), Signer::from_pkcs8(&KEY).unwrap().key_id());
    assert_eq!(signer.key_id().len(), 43);
    assert_eq!(format!("{signer:?}"), format!("Signer {{ key_id: {:?}, .. }}", signer.key_id()));
    assert!(Signer::from_pkcs8(b"").is_err());
    assert!(Signer::from_pkcs8(&KEY[..KEY.len() - 1]).is_err());
}

#[test]
fn of_a_persons_scopes_one_names_the_resource_and_the_others_are_words() {
    let check = |scope: &str, expected: Result<(&str, bool, bool), TokenFault>| {
        let read = Wanted::read(&form(&[("grant_type", "password"), ("scope", scope)]), ORIGIN)
            .map(|it| (it.audience, it.comes_back, it.is_told_who));
        let expected = expected.map(|(audience, back, told)| (audience.to_owned(), back, told));
        assert_eq!(read.map_err(|(fault, _)| fault), expected, "{scope}");
    };
    // As MSAL sends it for the CLI.
    check(
        "offline_access openid profile https://management.core.windows.net//.default",
        Ok(("https://management.core.windows.net/", true, true)),
    );
    check("https://iothubs.azure.net/.default", Ok(("https://iothubs.azure.net", false, false)));
    check(
        "https://iothubs.azure.net/user_impersonation openid",
        Ok(("https://iothubs.azure.net", false, true)),
    );
    // As a client that only wants to know who it is, at Entra, too.
    check("openid profile", Ok(("https://graph.microsoft.com", false, true)));
    check("profile offline_access", Err(TokenFault::BadScope));
    check("openid /.default", Err(TokenFault::BadScope));
    check("https://iothubs.azure.net/write", Err(TokenFault::BadScope));
    check("Openid https://iothubs.azure.net/.default", Err(TokenFault::BadScope));
    check(
        "https://iothubs.azure.net/.default https://graph.microsoft.com/.default",
        Err(TokenFault::BadScope),
    );
    check("https://example.com/.default", Err(TokenFault::UnknownResource));
}
