//! Sign-in without a secret: with a certificate, or with a token that somebody else gave.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ops::entra::signing::Signer;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use testkit::{Answer, Identity, World};

const ARM: &str = "https://management.azure.com/.default";
const GRAPH: &str = "https://graph.microsoft.com/.default";
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// A key with a certificate that it signed itself, from 2026 to the beginning of a year.
struct Holder {
    key: RsaKeyPair,
    der: Vec<u8>,
}

impl Holder {
    fn until(year: i32) -> Self {
        let pkcs8 = Signer::generate().unwrap();
        let mut params = CertificateParams::new(vec!["pump".into()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 1, 1), date_time_ymd(year, 1, 1));
        let pair = KeyPair::try_from(pkcs8.as_slice()).unwrap();
        let der = params.self_signed(&pair).unwrap().der().to_vec();
        Self { key: RsaKeyPair::from_pkcs8(&pkcs8).unwrap(), der }
    }

    /// As Graph takes it.
    fn credential(&self) -> Value {
        json!({ "type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(&self.der) })
    }

    fn signs(&self, claims: &Value) -> String {
        let name = URL_SAFE.encode(digest(&SHA256, &self.der));
        let header = json!({ "typ": "JWT", "alg": "PS256", "x5t#S256": name });
        let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PSS_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What a client claims of itself, for ten minutes.
fn claims(world: &World, app_id: &str) -> Value {
    let now = world.now().seconds();
    json!({
        "aud": token_endpoint(world), "iss": app_id, "sub": app_id,
        "iat": now, "exp": now + 600, "jti": world.guid(),
    })
}

fn token_endpoint(world: &World) -> String {
    let tenant = world.setting("HUBWARD_TENANT_ID");
    format!("{}/{tenant}/oauth2/v2.0/token", world.setting("HUBWARD_AUTHORITY"))
}

fn shows(world: &World, app_id: &str, assertion: &str, scope: &str) -> Answer {
    let form = format!(
        "grant_type=client_credentials&client_id={app_id}&client_info=1\
         &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer\
         &client_assertion={assertion}&scope={scope}"
    );
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    world.wire().send("POST", &token_endpoint(world), &headers, form.as_bytes())
}

#[track_caller]
fn refused(answer: &Answer, number: u64) {
    assert_eq!(answer.body["error_codes"][0], number, "{answer:?}");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(!answer.text().contains("eyJ"), "an assertion in an answer: {answer:?}");
}

/// The claims of a token, unproven.
fn read(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The address of an application's document, by its client id.
fn application(world: &World, who: &Identity) -> String {
    let path = format!("/applications?$filter=appId%20eq%20'{}'", who.app_id);
    let found = world.graph("GET", &path, &Value::Null).expect(200).body;
    format!("/applications/{}", found["value"][0]["id"].as_str().unwrap())
}

fn gives(world: &World, place: &str, credentials: &Value) -> Value {
    world.graph("PATCH", place, &json!({ "keyCredentials": credentials })).expect(204);
    world.graph("GET", place, &Value::Null).expect(200).body["keyCredentials"].clone()
}

#[test]
fn a_certificate_signs_in_until_it_is_taken_away() {
    let world = World::new();
    let who = world.service_principal("pipeline");
    let place = application(&world, &who);
    let (first, second) = (Holder::until(2030), Holder::until(2030));
    let shown = gives(&world, &place, &json!([first.credential()]));
    assert_eq!(shown[0]["key"], Value::Null);
    let thumbprint = shown[0]["customKeyIdentifier"].as_str().unwrap();

    let signed = || first.signs(&claims(&world, &who.app_id));
    let answer = shows(&world, &who.app_id, &signed(), ARM).expect(200);
    let token = &answer.body["access_token"];
    assert_eq!((&read(token)["appidacr"], &read(token)["azpacr"]), (&json!("2"), &json!("2")));
    let by_secret = world.sign_in(&who.app_id, &who.secret, ARM).expect(200);
    assert_eq!(read(&by_secret.body["access_token"])["appidacr"], "1");
    let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    world.wire().json("GET", &url, &bearer, &Value::Null).expect(200);

    // A second one beside it, as `az ad app credential reset --append` sends it; then the first one goes.
    let both = gives(&world, &place, &json!([shown[0], second.credential()]));
    assert_eq!(both.as_array().unwrap().len(), 2);
    shows(&world, &who.app_id, &signed(), ARM).expect(200);
    shows(&world, &who.app_id, &second.signs(&claims(&world, &who.app_id)), ARM).expect(200);
    gives(&world, &place, &json!([both[1]]));
    let gone = shows(&world, &who.app_id, &signed(), ARM);
    refused(&gone, 700_027);
    let told = world.explained(&gone.tracking());
    assert_eq!(told["decision"]["outcome"]["gate"], "authentication");
    assert!(!told.to_string().contains("eyJ"), "an assertion in a trace: {told}");
    shows(&world, &who.app_id, &second.signs(&claims(&world, &who.app_id)), ARM).expect(200);
    assert_ne!(thumbprint, both[1]["customKeyIdentifier"].as_str().unwrap());
}

#[test]
fn a_certificate_of_another_application_signs_in_nobody_else() {
    let world = World::new();
    let (who, namesake) =
        (world.service_principal("pipeline"), world.service_principal("pipeline"));
    let (own, other) = (Holder::until(2030), Holder::until(2030));
    gives(&world, &application(&world, &who), &json!([own.credential()]));
    // On the service principal it signs in as well.
    let principal = format!("/servicePrincipals/{}", namesake.object_id);
    gives(&world, &principal, &json!([other.credential()]));
    let of = |it: &Identity| claims(&world, &it.app_id);
    shows(&world, &namesake.app_id, &other.signs(&of(&namesake)), ARM).expect(200);
    refused(&shows(&world, &who.app_id, &other.signs(&of(&who)), ARM), 700_027);
    refused(&shows(&world, &who.app_id, &other.signs(&of(&namesake)), ARM), 700_211);
    let mut elsewhere = of(&who);
    elsewhere["aud"] = json!("https://login.microsoftonline.com/common/oauth2/v2.0/token");
    refused(&shows(&world, &who.app_id, &own.signs(&elsewhere), ARM), 700_023);
    refused(&shows(&world, &who.app_id, "a.b.c", ARM), 50_027);
}

#[test]
fn an_ended_certificate_and_an_assertion_outside_its_time_are_refused() {
    let world = World::new();
    let who = world.service_principal("pipeline");
    let holder = Holder::until(2027);
    gives(&world, &application(&world, &who), &json!([holder.credential()]));
    let signed = holder.signs(&claims(&world, &who.app_id));
    world.pass_seconds(600 + 300);
    refused(&shows(&world, &who.app_id, &signed, ARM), 700_024);
    shows(&world, &who.app_id, &holder.signs(&claims(&world, &who.app_id)), ARM).expect(200);
    world.pass_seconds(60 * 86_400);
    let late = shows(&world, &who.app_id, &holder.signs(&claims(&world, &who.app_id)), ARM);
    refused(&late, 700_027);
    assert!(late.text().contains("has expired"), "{late:?}");
}

#[test]
fn an_assertion_counts_once_for_each_resource() {
    let world = World::new();
    let who = world.service_principal("pipeline");
    let holder = Holder::until(2030);
    gives(&world, &application(&world, &who), &json!([holder.credential()]));
    let claims = claims(&world, &who.app_id);
    let signed = holder.signs(&claims);
    // A form that asks for nothing that there is uses nothing up.
    shows(&world, &who.app_id, &signed, "https://example.com/.default").expect(400);
    shows(&world, &who.app_id, &signed, ARM).expect(200);
    let again = shows(&world, &who.app_id, &signed, "https://management.azure.com//.default");
    refused(&again, 50_027);
    world.explained(&again.tracking());
    shows(&world, &who.app_id, &signed, GRAPH).expect(200);
    refused(&shows(&world, &who.app_id, &signed, GRAPH), 50_027);
    // The same id in another assertion.
    let mut later = claims;
    later["iat"] = json!(world.now().seconds() + 1);
    refused(
        &shows(&world, &who.app_id, &holder.signs(&later), "https://iothubs.azure.net/.default"),
        50_027,
    );
}

#[test]
fn an_assertion_stands_alone_in_its_form() {
    let world = World::new();
    let who = world.service_principal("pipeline");
    let holder = Holder::until(2030);
    gives(&world, &application(&world, &who), &json!([holder.credential()]));
    let signed = holder.signs(&claims(&world, &who.app_id));
    let with_secret =
        shows(&world, &who.app_id, &format!("{signed}&client_secret={}", who.secret), ARM);
    assert_ne!(with_secret.status, 200);
    let shown = shows(&world, "", &signed, ARM);
    assert_eq!(shown.body["error_codes"][0], 900_144, "{shown:?}");
    shows(&world, &who.app_id, &signed, ARM).expect(200);
}

/// Writes a file of the data directory as its owner would.
fn writes(world: &World, name: &str, content: &str) {
    let path = world.env().settings.data_dir.join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.unwrap().write_all(content.as_bytes()).unwrap();
}

#[test]
fn a_build_platforms_token_signs_in_once_the_operator_has_its_keys() {
    let mut world = World::new();
    let who = world.service_principal("pipeline");
    let platform = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap();
    let (issuer, subject) = ("https://ci.example", "repo:plant/pumps:ref:refs/heads/main");
    let body =
        json!({ "name": "main", "issuer": issuer, "subject": subject, "audiences": [EXCHANGE] });
    let place = format!("{}/federatedIdentityCredentials", application(&world, &who));
    world.graph("POST", &place, &body).expect(201);
    let token = |subject: &str| {
        let exp = world.now().seconds() + 3_600;
        let claims = json!({ "iss": issuer, "sub": subject, "aud": [EXCHANGE], "exp": exp });
        platform.sign(&claims).unwrap()
    };
    let (right, branch) = (token(subject), token("repo:plant/pumps:ref:refs/heads/other"));
    let early = shows(&world, &who.app_id, &right, ARM);
    refused(&early, 700_211);
    assert!(early.text().contains("trusted-issuers"), "{early:?}");

    let jwks = json!({ "keys": [platform.jwk(issuer)] });
    let file = json!({ "issuer": issuer, "jwks": jwks }).to_string();
    writes(&world, "trusted-issuers/ci.json", &file);
    world.restart();
    let answer = shows(&world, &who.app_id, &right, ARM).expect(200);
    assert_eq!(read(&answer.body["access_token"])["oid"], who.object_id.as_str());
    refused(&shows(&world, &who.app_id, &branch, ARM), 700_213);
    // It says who signs in here, not who calls: as an access token it opens nothing.
    let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    world.wire().json("GET", &url, &format!("Bearer {right}"), &Value::Null).expect(401);
}

#[test]
fn a_token_of_this_server_signs_another_application_in_where_a_federated_credential_says_so() {
    let world = World::new();
    let (who, workload) =
        (world.service_principal("pipeline"), world.service_principal("workload"));
    let place = format!("{}/federatedIdentityCredentials", application(&world, &who));
    let issuer =
        format!("{}/{}/v2.0", world.setting("HUBWARD_ARM"), world.setting("HUBWARD_TENANT_ID"));
    let body = json!({
        "name": "workload", "issuer": issuer, "subject": workload.object_id, "audiences": [EXCHANGE],
    });
    let token = world.token(&workload, EXCHANGE);
    refused(&shows(&world, &who.app_id, &token, ARM), 700_211);
    let made = world.graph("POST", &place, &body).expect(201).body;
    assert_eq!(made["subject"], workload.object_id.as_str());
    let again = world.graph("POST", &place, &body);
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(
        world.graph("GET", &place, &Value::Null).expect(200).body["value"][0]["name"],
        "workload"
    );

    let answer = shows(&world, &who.app_id, &token, ARM).expect(200);
    assert_eq!(read(&answer.body["access_token"])["appid"], who.app_id.as_str());
    assert_eq!(read(&answer.body["access_token"])["appidacr"], "2");
    // A workload shows its token as long as it lives; that for another audience is none.
    shows(&world, &who.app_id, &token, ARM).expect(200);
    let elsewhere = world.token(&workload, "https://management.azure.com");
    refused(&shows(&world, &who.app_id, &elsewhere, ARM), 700_212);
    let namesake = world.token(&world.service_principal("workload"), EXCHANGE);
    refused(&shows(&world, &who.app_id, &namesake, ARM), 700_213);

    let one = format!("{place}/workload");
    let changed = json!({ "issuer": "https://ci.example", "subject": "repo:plant/pumps" });
    world.graph("PATCH", &one, &changed).expect(204);
    refused(&shows(&world, &who.app_id, &token, ARM), 700_211);
    assert_eq!(
        world.graph("GET", &one, &Value::Null).expect(200).body["issuer"],
        "https://ci.example"
    );
    world.graph("DELETE", &one, &Value::Null).expect(204);
    world.graph("GET", &one, &Value::Null).expect(404);
}
