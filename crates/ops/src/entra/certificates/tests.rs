use super::*;
use crate::certificate_text::{DER_BYTES_MAX, PEM_BEGIN, PEM_END, TEXT_BYTES_MAX};
use crate::entra::signing::Signer;
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm};
use rsa::pkcs1::EncodeRsaPublicKey;
use std::sync::LazyLock;

const KEY: &str = "cccccccc-0000-4000-8000-000000000003";

/// A certificate of an RSA key, from 1975 (by rcgen's choice) to 4096.
static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let key = KeyPair::try_from(Signer::generate().unwrap()).unwrap();
    CertificateParams::new(vec!["pump".into()]).unwrap().self_signed(&key).unwrap().der().to_vec()
});

struct PublicKeyOf(Vec<u8>);

impl PublicKeyData for PublicKeyOf {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

fn key_of(bits: usize) -> PublicKeyOf {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    PublicKeyOf(key.to_public_key().to_pkcs1_der().unwrap().as_bytes().to_vec())
}

/// A certificate of any public key, issued by somebody.
fn issued(key: &impl PublicKeyData) -> Vec<u8> {
    let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
    CertificateParams::new(vec!["pump".into()])
        .unwrap()
        .signed_by(key, &issuer)
        .unwrap()
        .der()
        .to_vec()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|it| std::str::from_utf8(it).unwrap()).collect();
    format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", lines.join("\n"))
}

fn body(item: Value) -> Value {
    json!({ "keyCredentials": [item] })
}

fn taken(kept: &mut Vec<KeyCredential>, body: &Value) -> Result<bool, String> {
    take(kept, Holder::Application, body).map_err(|it| it.to_string())
}

#[test]
fn a_certificate_is_read_in_every_form_that_clients_send_it_in() {
    let der = CERTIFICATE.as_slice();
    let check = |text: String| {
        let mut kept = Vec::new();
        let item =
            json!({ "type": "AsymmetricX509Cert", "usage": "Verify", "keyId": KEY, "key": text });
        assert_eq!(taken(&mut kept, &body(item)), Ok(true), "{text}");
        let fact = kept[0].fact().unwrap();
        assert_eq!(fact.sha256, digest(&SHA256, der).as_ref());
        assert_eq!(fact.thumbprint(), kept[0].shown()["customKeyIdentifier"]);
        assert_eq!(fact.key_id.to_string(), KEY);
        assert!(fact.starts < Timestamp::default().plus_seconds(86_400 * 3_000), "{}", fact.starts);
    };
    check(STANDARD.encode(der));
    // As `az` sends it: the lines between those that make it PEM.
    check(pem(der).replace(PEM_BEGIN, "").replace(PEM_END, "").trim_start().to_owned());
    check(pem(der));
    check(STANDARD.encode(pem(der)));
}

#[test]
fn what_is_kept_and_shown_has_no_key_of_its_own() {
    let mut kept = Vec::new();
    let item = json!({ "key": STANDARD.encode(&*CERTIFICATE), "displayName": "ci" });
    assert_eq!(taken(&mut kept, &body(item)), Ok(true));
    let shown = kept[0].shown();
    assert_eq!((&shown["key"], &shown["displayName"]), (&Value::Null, &json!("ci")));
    assert_eq!(shown["customKeyIdentifier"].as_str().unwrap().len(), 40);
    let again: KeyCredential =
        serde_json::from_slice(&serde_json::to_vec(&kept[0]).unwrap()).unwrap();
    assert_eq!(again.shown(), shown);
}

#[test]
fn the_list_that_was_read_can_be_sent_back_longer_or_shorter() {
    let mut kept = Vec::new();
    let first = json!({ "keyId": KEY, "key": STANDARD.encode(&*CERTIFICATE) });
    assert_eq!(taken(&mut kept, &body(first.clone())), Ok(true));
    let other = issued(&key_of(2_048));
    let shown = kept[0].shown();
    let appended = json!({ "keyCredentials": [shown, { "key": STANDARD.encode(other) }] });
    assert_eq!(taken(&mut kept, &appended), Ok(true));
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].shown(), shown);
    // What the service principal holds is not the application's to change.
    let mut both = kept.clone();
    both[1].holder = Holder::ServicePrincipal;
    assert_eq!(taken(&mut both, &json!({ "keyCredentials": [] })), Ok(true));
    assert_eq!(both.iter().map(|it| it.holder).collect::<Vec<_>>(), [Holder::ServicePrincipal]);
    assert_eq!(taken(&mut both, &json!({ "keyCredentials": [] })), Ok(false));
    assert_eq!(taken(&mut both, &json!({ "keyCredentials": null })), Ok(false));
    assert_eq!(taken(&mut both, &json!({})), Ok(false));
    // Nor can it be named from here.
    let its = both[0].shown()["keyId"].clone();
    assert!(taken(&mut both, &body(json!({ "keyId": its }))).is_err());
}

#[test]
fn an_entry_that_cannot_be_taken_changes_nothing() {
    let right = json!({ "keyId": KEY, "key": STANDARD.encode(&*CERTIFICATE) });
    let mut kept = Vec::new();
    assert_eq!(taken(&mut kept, &body(right.clone())), Ok(true));
    let before = kept[0].shown();
    let mut check = |name: &str, value: Value| {
        let mut item = right.clone();
        item[name] = value;
        let told = taken(&mut kept, &body(item.clone()));
        assert!(told.is_err(), "{name}");
        assert_eq!(kept[0].shown(), before);
    };
    check("type", json!("X509CertAndPassword"));
    check("usage", json!("Sign"));
    check("keyId", json!("7"));
    check("displayName", json!(7));
    check("customKeyIdentifier", json!("00"));
    check("startDateTime", json!("1900-01-01T00:00:00Z"));
    check("endDateTime", json!("9999-01-01T00:00:00Z"));
    check("endDateTime", json!("soon"));
    check("key", json!(7));
    check("key", json!(""));
    check("key", json!("AAAA"));
    check("key", json!("not base64"));
    check("key", json!("A".repeat(TEXT_BYTES_MAX + 1)));
    check("key", json!(STANDARD.encode(vec![0x30; DER_BYTES_MAX + 1])));
    let mut longer = CERTIFICATE.clone();
    longer.push(0);
    check("key", json!(STANDARD.encode(longer)));
    for cut in [1, 40, CERTIFICATE.len() / 2, CERTIFICATE.len() - 1] {
        check("key", json!(STANDARD.encode(&CERTIFICATE[..cut])));
    }
    // A key that is not RSA, and one that is too short.
    check("key", json!(STANDARD.encode(issued(&KeyPair::generate().unwrap()))));
    check("key", json!(STANDARD.encode(issued(&key_of(1_024)))));
    let twice = json!({ "keyCredentials": [right, right] });
    assert!(taken(&mut Vec::new(), &twice).is_err());
    let many = json!({ "keyCredentials": vec![json!({}); CERTIFICATES_MAX + 1] });
    assert!(taken(&mut Vec::new(), &many).is_err());
    assert!(taken(&mut Vec::new(), &json!({ "keyCredentials": {} })).is_err());
}

#[test]
fn bytes_that_were_turned_never_break_the_reader() {
    for at in 0..CERTIFICATE.len() {
        let mut turned = CERTIFICATE.clone();
        turned[at] ^= 0xff;
        drop(taken(&mut Vec::new(), &body(json!({ "key": STANDARD.encode(turned) }))));
    }
}

#[test]
fn bits_are_counted_without_leading_zeros() {
    let check = |number: &[u8], expected: usize| assert_eq!(bits(number), expected, "{number:?}");
    check(&[], 0);
    check(&[0], 0);
    check(&[1], 1);
    check(&[0, 0x80, 0], 16);
    check(&[0x7f, 0], 15);
}
