//! Management and sign-in as busy and as slow as Azure's can be: what comes too fast, and who is too new.

use super::security_policies::Plant;
use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const ARM: &str = "https://management.azure.com";

/// Somebody who may write policies, with a token, and the devices.
fn writer(plant: &Plant, devices: usize) -> (Identity, String) {
    let who = plant.world.service_principal("ingest");
    let role = plant.role("Writers", &["securityPolicies/write"]);
    plant.world.assign(&who, &role, &plant.hub).expect(201);
    let names: Vec<String> = (0..devices).map(|it| format!("pump-{it}")).collect();
    plant.registers(&names);
    let token = plant.world.token(&who, ARM);
    (who, token)
}

fn write(plant: &Plant, token: &str, device: usize) -> Answer {
    let path = format!("{}/securityPolicies/pump-{device}", plant.hub);
    plant.with(token, "PUT", &path, "", &json!({ "properties": {} }))
}

/// S1-26, S1-27: 300 policies in batches of fifty with two seconds between them are all taken; at once, those beyond the
/// burst are refused, with the time after which they are taken. Nobody else is held up by it, and nothing is decided.
#[test]
fn batches_with_a_pause_are_taken_and_all_at_once_is_too_fast() {
    let plant = Plant::of(World::new());
    let (_, token) = writer(&plant, 300);
    let mut plant = plant;
    plant.world.restart_with(&["--throttle", "azure"]);
    for device in 0..300 {
        if device > 0 && device % 50 == 0 {
            plant.world.pass_seconds(2);
        }
        assert!(write(&plant, &token, device).status < 300, "{device}");
    }
    plant.world.pass_seconds(60);
    let answers: Vec<Answer> = (0..300).map(|it| write(&plant, &token, it)).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|it| it.status == 429).collect();
    assert_eq!(refused.len(), 100, "a burst of 200 is taken");
    for it in &refused {
        assert_eq!(
            (it.header("retry-after"), it.header("x-hubward-retry")),
            (Some("1"), Some("throttle"))
        );
        assert_eq!(it.code(), "TooManyRequests");
    }
    // It was refused before it was decided about: there is no decision to explain.
    let tracking = refused.first().unwrap().tracking();
    let told = plant.world.arm("GET", &format!("/decisions/{tracking}"), &Value::Null);
    assert_eq!(told.status, 404, "{told:?}");
    plant.world.device(&plant.hub, "by-somebody-else");
    plant.world.pass_seconds(1);
    assert_eq!((0..12).filter(|it| write(&plant, &token, *it).status == 200).count(), 10);
    let env = plant.world.env();
    let counted = env.limits.render(env);
    assert!(
        counted.contains("hubward_management_throttled_total{kind=\"writes\"} 102"),
        "{counted}"
    );
}

/// S1-27: one application that signs in for every call is told when to come back, another is not held up, and who cannot
/// prove itself uses nothing up.
#[test]
fn signing_in_for_every_call_is_too_fast() {
    let world = World::started(&["--throttle", "tokens=20/1"]);
    let (who, other) = (world.service_principal("a"), world.service_principal("a10"));
    let scope = format!("{ARM}/.default");
    for _ in 0..30 {
        world.sign_in(&who.app_id, "wrong", &scope).expect(401);
    }
    let answers: Vec<Answer> =
        (0..25).map(|_| world.sign_in(&who.app_id, &who.secret, &scope)).collect();
    assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 20);
    let refused = answers.last().unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.body["error"], "temporarily_unavailable");
    assert_eq!(refused.body["error_codes"], json!([90_055]));
    world.sign_in(&other.app_id, &other.secret, &scope).expect(200);
    world.pass_seconds(2);
    let answers = (0..5).map(|_| world.sign_in(&who.app_id, &who.secret, &scope).status);
    assert_eq!(answers.collect::<Vec<_>>(), [200, 200, 429, 429, 429]);
}

/// S1-20: somebody who was just made cannot sign in, is given no role by id alone, and its token is not known, each until
/// the directory has caught up; the refusal says for how long, and that a retry helps.
#[test]
fn who_is_new_is_not_known_everywhere_yet() {
    let world = World::started(&["--directory-lag", "120"]);
    let who = world.service_principal("ingest");
    let scope = format!("{ARM}/.default");
    let refused = world.sign_in(&who.app_id, &who.secret, &scope).expect(400);
    assert_eq!(refused.body["error_codes"], json!([700_016]));
    assert_eq!(refused.header("x-hubward-retry"), Some("propagation"));
    let told = world.explained(refused.body["trace_id"].as_str().unwrap());
    let reason = told["decision"]["steps"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not known here for 120 s more"), "{told}");
    let reader = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";
    let unknown = world.assign(&who, reader, &world.hub()).expect(400);
    assert_eq!(unknown.code(), "PrincipalNotFound");
    world.pass_seconds(119);
    world.sign_in(&who.app_id, &who.secret, &scope).expect(400);
    world.pass_seconds(1);
    world.sign_in(&who.app_id, &who.secret, &scope).expect(200);
    world.assign(&who, reader, &world.hub()).expect(201);

    // Of two that answer one knows it, so sooner or later it gets a token, and the other does not know that.
    let world = World::started(&["--directory-lag", "0,600"]);
    let who = world.service_principal("ingest");
    let token = (0..200).find_map(|_| {
        let answer = world.sign_in(&who.app_id, &who.secret, &scope);
        (answer.status == 200).then(|| answer.body["access_token"].as_str().unwrap().to_owned())
    });
    let bearer = format!("Bearer {}", token.unwrap());
    let url = format!("{}/subscriptions?api-version=2022-12-01", world.setting("HUBWARD_ARM"));
    let unknown = (0..200)
        .map(|_| world.wire().json("GET", &url, &bearer, &Value::Null))
        .find(|it| it.status == 401)
        .unwrap();
    assert_eq!(unknown.header("x-hubward-retry"), Some("propagation"));
    assert!(unknown.text().contains("is new in the directory"), "{unknown:?}");
}
