//! Client assertions: what signs an application in at the token endpoint in place of a secret.

use super::world::*;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use gate::facts::{Application, Certificate, FederatedCredential, TrustedIssuer, VerifyingKey};
use gate::{Door, Facts, Once, Refusal, Unusable, authenticate, refuse_used};
use model::error::{DenialKind, TokenFault};
use model::operations::operation;
use model::{Credential, Op, Scope, Secret};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const PLATFORM: &str = "https://ci.example";
const EXCHANGE: &str = "api://AzureADTokenExchange";
const SUBJECT: &str = "repo:plant/pumps:ref:refs/heads/main";

static ANA_KEY: LazyLock<RsaKeyPair> = LazyLock::new(new_key);
static BOB_KEY: LazyLock<RsaKeyPair> = LazyLock::new(new_key);

fn public(key: &RsaKeyPair) -> Vec<u8> {
    key.public_key().as_ref().to_vec()
}

/// A certificate told apart by one byte, valid for a day around now.
fn certificate(mark: u8, key: &RsaKeyPair) -> Certificate {
    Certificate {
        key_id: id(ANA),
        sha256: vec![mark; 32],
        sha1: vec![mark; 20],
        public_der: public(key),
        starts: NOW.plus_seconds(-43_200),
        expires: NOW.plus_seconds(43_200),
    }
}

fn put(facts: &mut Facts, who: &str, certificates: Vec<Certificate>) {
    facts.put_application(Application {
        app_id: id(who),
        display_name: "pump".into(),
        principal: Some(id(who)),
        secrets: Vec::new(),
        certificates,
        federated: Vec::new(),
        redirects: Vec::new(),
        is_public: false,
    });
}

/// Ana and Bob, namesakes, each with a certificate.
fn facts_of_two() -> Facts {
    let mut facts = facts();
    put(&mut facts, ANA, vec![certificate(1, &ANA_KEY)]);
    put(&mut facts, BOB, vec![certificate(2, &BOB_KEY)]);
    facts
}

fn header_of(mark: u8) -> Value {
    json!({ "typ": "JWT", "alg": "PS256", "x5t#S256": URL_SAFE_NO_PAD.encode([mark; 32]) })
}

/// What MSAL claims, fractions of seconds included.
fn claims_of(who: &str) -> Value {
    json!({
        "aud": format!("{ORIGIN}/{TENANT}/oauth2/v2.0/token"), "iss": who, "sub": who,
        "iat": 1_800_000_000.25, "exp": 1_800_000_600.25, "jti": "once",
    })
}

fn changed(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn text_of(header: &Value, claims: &Value) -> String {
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn signed(key: &RsaKeyPair, header: &Value, claims: &Value) -> String {
    let text = text_of(header, claims);
    let mut signature = vec![0; key.public().modulus_len()];
    let padding: &dyn ring::signature::RsaEncoding =
        if header["alg"] == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
    key.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn shows(
    facts: &Facts,
    who: &str,
    assertion: &str,
) -> Result<(String, Option<Once>), Box<Refusal>> {
    let (scope, head) = (Scope::root(), head("POST /token"));
    let door = Door::new(operation(Op::IssueToken), &scope, &head);
    let credential = Credential::ClientAssertion {
        tenant: TENANT.into(),
        client_id: who.into(),
        kind: KIND.into(),
        assertion: Secret::new(assertion.to_owned()),
    };
    let who = authenticate(&credential, &door, facts)?;
    let used = refuse_used(&who, Unusable::Before, &door, facts);
    assert_eq!(used.denial.kind, DenialKind::Token(TokenFault::BadAssertion));
    Ok((who.caller().signed_in.clone(), who.once().cloned()))
}

#[track_caller]
fn refused(facts: &Facts, who: &str, assertion: &str, expected: TokenFault) -> String {
    let refusal = shows(facts, who, assertion).unwrap_err();
    assert_eq!(refusal.denial.kind, DenialKind::Token(expected), "{}", refusal.denial.message);
    assert!(!refusal.denial.message.contains("eyJ"), "{}", refusal.denial.message);
    refusal.denial.message
}

#[test]
fn an_assertion_signed_with_a_registered_certificate_is_taken_by_either_name_and_algorithm() {
    let facts = facts_of_two();
    let check = |header: Value| {
        let (signed_in, once) =
            shows(&facts, ANA, &signed(&ANA_KEY, &header, &claims_of(ANA))).unwrap();
        assert_eq!(signed_in, format!("client certificate {}", "01".repeat(20)));
        assert_eq!(once.unwrap().until, NOW.plus_seconds(600 + 300));
    };
    check(header_of(1));
    check(changed(header_of(1), "alg", json!("RS256")));
    // As MSAL writes them: padded.
    check(json!({ "alg": "RS256", "x5t": URL_SAFE.encode([1; 20]) }));
    check(json!({ "alg": "PS256", "x5t#S256": URL_SAFE.encode([1; 32]) }));
}

#[test]
fn the_audience_is_this_servers_token_endpoint_in_any_form_that_clients_send() {
    let facts = facts_of_two();
    let with = |it: Value| signed(&ANA_KEY, &header_of(1), &changed(claims_of(ANA), "aud", it));
    let taken = |it: String| drop(shows(&facts, ANA, &with(json!(it))).unwrap());
    taken(format!("{ORIGIN}/{TENANT}/oauth2/v2.0/token"));
    taken(format!("{ORIGIN}/{TENANT}/oauth2/token"));
    taken(format!("{ORIGIN}/{TENANT}/v2.0"));
    taken(format!("{ORIGIN}/{TENANT}/"));
    taken(format!("{ORIGIN}/{}/oauth2/token", TENANT.to_uppercase()));
    let not = |it: Value| drop(refused(&facts, ANA, &with(it), TokenFault::AssertionAudience));
    not(json!(format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token")));
    not(json!(format!("{ORIGIN}1/{TENANT}/oauth2/v2.0/token")));
    not(json!(format!("{ORIGIN}.evil.example/{TENANT}/oauth2/v2.0/token")));
    not(json!(format!("{ORIGIN}/22222222-0000-4000-8000-000000000001/oauth2/v2.0/token")));
    not(json!(format!("{ORIGIN}/{TENANT}/oauth2/v2.0/tokens")));
    not(json!(format!("{ORIGIN}/")));
    not(json!(""));
    not(json!(["https://elsewhere.example"]));
    not(json!(7));
    not(Value::Null);
}

#[test]
fn an_assertion_counts_for_the_client_that_signed_it_alone() {
    let facts = facts_of_two();
    // Bob's certificate, whoever is named and whatever is claimed.
    let bobs = signed(&BOB_KEY, &header_of(2), &claims_of(BOB));
    drop(shows(&facts, BOB, &bobs).unwrap());
    refused(&facts, ANA, &bobs, TokenFault::FederatedIssuer);
    let posing = signed(&BOB_KEY, &header_of(2), &claims_of(ANA));
    refused(&facts, ANA, &posing, TokenFault::UnprovenAssertion);
    // Ana's certificate is named, but her key did not sign.
    let forged = signed(&BOB_KEY, &header_of(1), &claims_of(ANA));
    let because = refused(&facts, ANA, &forged, TokenFault::UnprovenAssertion);
    assert!(because.contains("its signature is not"), "{because}");
    let for_bob = changed(claims_of(ANA), "sub", json!(BOB));
    refused(&facts, ANA, &signed(&ANA_KEY, &header_of(1), &for_bob), TokenFault::AssertionClient);
    let nobody = "cccccccc-0000-4000-8000-000000000003";
    refused(
        &facts,
        nobody,
        &signed(&ANA_KEY, &header_of(1), &claims_of(nobody)),
        TokenFault::UnknownApplication,
    );
}

#[test]
fn no_other_algorithm_is_taken_whatever_it_is_signed_with() {
    let facts = facts_of_two();
    let with = |alg: &str| changed(header_of(1), "alg", json!(alg));
    for alg in ["none", "None", "HS256", "RS384", "ES256", "rs256", ""] {
        let text = text_of(&with(alg), &claims_of(ANA));
        // The public key as an HMAC secret: it is no secret.
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public(&ANA_KEY)), text.as_bytes());
        let forged = format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag));
        refused(&facts, ANA, &forged, TokenFault::UnprovenAssertion);
        refused(&facts, ANA, &format!("{text}."), TokenFault::UnprovenAssertion);
    }
    // The right key under the other padding.
    let right = signed(&ANA_KEY, &with("RS256"), &claims_of(ANA));
    let (_, signature) = right.rsplit_once('.').unwrap();
    let swapped = format!("{}.{signature}", text_of(&with("PS256"), &claims_of(ANA)));
    refused(&facts, ANA, &swapped, TokenFault::UnprovenAssertion);
    let demanding = changed(header_of(1), "crit", json!(["exp"]));
    let demanding = signed(&ANA_KEY, &demanding, &claims_of(ANA));
    refused(&facts, ANA, &demanding, TokenFault::UnprovenAssertion);
}

#[test]
fn a_header_that_brings_its_own_key_or_names_none_proves_nothing() {
    let facts = facts_of_two();
    let check = |header: Value| {
        let own = signed(&BOB_KEY, &header, &claims_of(ANA));
        refused(&facts, ANA, &own, TokenFault::UnprovenAssertion);
    };
    check(json!({ "alg": "RS256" }));
    check(json!({ "alg": "RS256", "kid": "01".repeat(20) }));
    check(json!({ "alg": "RS256", "x5t": "" }));
    check(json!({ "alg": "RS256", "x5t": 7 }));
    check(json!({ "alg": "RS256", "x5t": "!" }));
    check(json!({ "alg": "RS256", "x5t#S256": URL_SAFE.encode([1; 20]) }));
    check(
        json!({ "alg": "RS256", "jwk": { "kty": "RSA" }, "x5c": ["MIIB"], "jku": "https://evil.example" }),
    );
}

#[test]
fn an_assertion_is_taken_within_its_time_and_lives_an_hour_at_most() {
    let facts = facts_of_two();
    let now = NOW.seconds();
    let with = |name: &str, it: Value| {
        shows(&facts, ANA, &signed(&ANA_KEY, &header_of(1), &changed(claims_of(ANA), name, it)))
    };
    let taken = |name: &str, it: i64| drop(with(name, json!(it)).unwrap());
    taken("exp", now - 299);
    taken("exp", now + 3_900);
    taken("nbf", now + 300);
    let not = |name: &str, it: Value| {
        let refusal = with(name, it).unwrap_err();
        assert_eq!(refusal.denial.kind, DenialKind::Token(TokenFault::AssertionTime));
    };
    not("exp", json!(now - 300));
    not("exp", json!(now + 3_901));
    not("exp", json!(i64::MAX));
    not("exp", json!(-1.5));
    not("exp", json!("1800000600"));
    not("exp", Value::Null);
    not("nbf", json!(now + 301));
}

#[test]
fn of_two_certificates_either_signs_in_and_an_ended_or_removed_one_does_not() {
    let mut facts = facts();
    put(&mut facts, ANA, vec![certificate(1, &ANA_KEY), certificate(3, &BOB_KEY)]);
    let first = signed(&ANA_KEY, &header_of(1), &claims_of(ANA));
    let second = signed(&BOB_KEY, &header_of(3), &claims_of(ANA));
    drop(shows(&facts, ANA, &first).unwrap());
    drop(shows(&facts, ANA, &second).unwrap());
    let ended = Certificate { expires: NOW, ..certificate(1, &ANA_KEY) };
    let young = Certificate { starts: NOW.plus_seconds(1), ..certificate(3, &BOB_KEY) };
    put(&mut facts, ANA, vec![ended, young]);
    assert!(refused(&facts, ANA, &first, TokenFault::UnprovenAssertion).contains("has expired"));
    assert!(
        refused(&facts, ANA, &second, TokenFault::UnprovenAssertion).contains("not valid before")
    );
    put(&mut facts, ANA, vec![certificate(3, &BOB_KEY)]);
    assert!(refused(&facts, ANA, &first, TokenFault::UnprovenAssertion).contains("not registered"));
}

#[test]
fn what_cannot_be_read_is_said_to_be_so() {
    let facts = facts_of_two();
    for text in ["x", "a.b", "a.b.c", "e30.e30", &"a".repeat((16 << 10) + 1)] {
        refused(&facts, ANA, text, TokenFault::BadAssertion);
    }
    refused(&facts, ANA, "", TokenFault::MissingField);
}

#[test]
fn assertions_are_told_apart_by_client_and_id_or_else_by_their_content() {
    let facts = facts_of_two();
    let of = |claims: Value| {
        shows(&facts, ANA, &signed(&ANA_KEY, &header_of(1), &claims)).unwrap().1.unwrap()
    };
    let one = of(claims_of(ANA));
    assert_eq!(one, of(claims_of(ANA)), "padding is random, the assertion is the same");
    let later = of(changed(claims_of(ANA), "iat", json!(1_800_000_001)));
    assert!(one.name == later.name && one.content != later.content);
    let other = of(changed(claims_of(ANA), "jti", json!("twice")));
    assert_ne!(one.name, other.name);
    let nameless = of(changed(claims_of(ANA), "jti", Value::Null));
    assert_eq!(nameless.name, nameless.content);
    let bobs = signed(&BOB_KEY, &header_of(2), &claims_of(BOB));
    assert_ne!(shows(&facts, BOB, &bobs).unwrap().1.unwrap().name, one.name);
}

/// Ana with a federated credential of the issuer, whose keys are Bob's.
fn federated(issuer: &str) -> Facts {
    let mut facts = facts();
    facts.put_application(Application {
        app_id: id(ANA),
        display_name: "pump".into(),
        principal: Some(id(ANA)),
        secrets: Vec::new(),
        certificates: Vec::new(),
        federated: vec![FederatedCredential {
            name: "ci".into(),
            issuer: issuer.into(),
            subject: if issuer == PLATFORM { SUBJECT.into() } else { BOB.into() },
            audience: EXCHANGE.into(),
        }],
        redirects: Vec::new(),
        is_public: false,
    });
    let key = VerifyingKey { key_id: "p1".into(), public_der: public(&BOB_KEY) };
    facts.issuers = Arc::new(vec![TrustedIssuer { issuer: PLATFORM.into(), keys: vec![key] }]);
    facts
}

fn platform_claims() -> Value {
    json!({ "iss": PLATFORM, "sub": SUBJECT, "aud": EXCHANGE, "exp": NOW.seconds() + 86_400 })
}

#[test]
fn another_issuers_token_signs_in_where_issuer_subject_and_audience_fit_to_the_letter() {
    let facts = federated(PLATFORM);
    let header = json!({ "alg": "RS256", "kid": "p1" });
    let (signed_in, once) =
        shows(&facts, ANA, &signed(&BOB_KEY, &header, &platform_claims())).unwrap();
    assert_eq!((signed_in.as_str(), once), ("federated credential ci", None));
    let list = changed(platform_claims(), "aud", json!(["https://elsewhere.example", EXCHANGE]));
    drop(shows(&facts, ANA, &signed(&BOB_KEY, &header, &list)).unwrap());
    let not = |name: &str, it: &str, expected: TokenFault| {
        let claims = changed(platform_claims(), name, json!(it));
        refused(&facts, ANA, &signed(&BOB_KEY, &header, &claims), expected);
    };
    not("iss", "https://CI.example", TokenFault::FederatedIssuer);
    not("iss", "https://ci.example/", TokenFault::FederatedIssuer);
    not("iss", "", TokenFault::FederatedIssuer);
    not("sub", "repo:plant/pumps:ref:refs/heads/main2", TokenFault::FederatedSubject);
    not("sub", "repo:plant/Pumps:ref:refs/heads/main", TokenFault::FederatedSubject);
    not("aud", "api://azureadtokenexchange", TokenFault::FederatedAudience);
    let old = changed(platform_claims(), "exp", json!(NOW.seconds() - 300));
    refused(&facts, ANA, &signed(&BOB_KEY, &header, &old), TokenFault::AssertionTime);
    // A key that is nobody's, one that is this server's, and none.
    let forged = signed(&ANA_KEY, &header, &platform_claims());
    refused(&facts, ANA, &forged, TokenFault::UnprovenAssertion);
    let own = json!({ "alg": "RS256", "kid": "k1" });
    refused(&facts, ANA, &signed(&KEY, &own, &platform_claims()), TokenFault::UnprovenAssertion);
    let nameless = json!({ "alg": "RS256" });
    let nameless = signed(&BOB_KEY, &nameless, &platform_claims());
    refused(&facts, ANA, &nameless, TokenFault::UnprovenAssertion);
}

#[test]
fn an_issuer_whose_keys_are_not_known_here_signs_nobody_in() {
    let mut facts = federated(PLATFORM);
    facts.issuers = Arc::default();
    let token = signed(&BOB_KEY, &json!({ "alg": "RS256", "kid": "p1" }), &platform_claims());
    let because = refused(&facts, ANA, &token, TokenFault::FederatedIssuer);
    assert!(because.contains("trusted-issuers"), "{because}");
}

#[test]
fn a_token_of_this_server_signs_in_as_long_as_its_principal_is_switched_on() {
    let own = format!("{ORIGIN}/{TENANT}/v2.0");
    let mut facts = federated(&own);
    let claims = json!({ "iss": own, "sub": BOB, "aud": EXCHANGE, "exp": NOW.seconds() + 3_600 });
    let token = signed(&KEY, &json!({ "alg": "RS256", "kid": "k1" }), &claims);
    drop(shows(&facts, ANA, &token).unwrap());
    facts.remove_principal(id(BOB));
    refused(&facts, ANA, &token, TokenFault::UnprovenAssertion);
}
