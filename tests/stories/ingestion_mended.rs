//! The thread whose pipeline was refused more often than not: its three causes at once, each refusal foretold by the slow
//! evaluator and explained by its trace, and what each mending moves.
//!
//! How many are refused stands nowhere: it comes out of who asks what, of which replica answers, and of how old tokens are.

use super::allocation::Webhook;
use super::ingestion::Pipeline;
use super::security_policies::Plant;
use ingest::{Alert, Pace};
use oracle::request::{Token, View, Who};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::{Answer, Identity, World};

const ARM: &str = "https://management.azure.com";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
/// Three replicas must be waited for; two know what a token brings along.
const REPLICAS: [(u32, bool); 5] =
    [(480, false), (600, true), (480, false), (600, true), (480, false)];
/// The action that the first role lacks is needed for one device in so many: it is retired.
const RETIRED_EVERY: usize = 20;
/// Devices of the list that are another hub's, where nobody was given the role.
const STRAYS: usize = 2;
/// Workers, each with a token of its own; the first has kept its from before the role.
const WORKERS: usize = 6;
/// What the second answer of the thread names, and what the first does.
const THREE: &[&str] =
    &["securityPolicies/write", "securityPolicies/read", "securitySettings/write"];
const FIVE: &[&str] = &[
    "securityPolicies/write",
    "securityPolicies/read",
    "securityPolicies/delete",
    "securitySettings/write",
    "securitySettings/read",
];

/// One request of the pipeline.
struct Update {
    method: &'static str,
    hub: String,
    device: String,
    worker: usize,
}

/// A token with the time at which it was issued.
struct Held {
    token: String,
    issued_ms: i64,
}

/// Why something is refused. What is missing, no waiting and no token would heal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Cause {
    Missing,
    Replica,
    Token,
}

/// What came of a round.
#[derive(Default)]
struct Round {
    refused: BTreeMap<Cause, usize>,
    /// Changes that were made: what is not there is deleted without one.
    written: usize,
    /// Which replica answered each update.
    replicas: Vec<usize>,
}

struct Story {
    plant: Plant,
    who: Identity,
    role: String,
    /// What the role has now.
    actions: &'static [&'static str],
    assigned_ms: i64,
    updates: Vec<Update>,
    old: Held,
}

impl Story {
    /// Everything is as in the thread, minutes after the role was assigned.
    fn begin(devices: usize) -> Self {
        let spread: Vec<String> = REPLICAS
            .iter()
            .map(|(delay, is_healed)| format!("{delay}{}", if *is_healed { "" } else { "w" }))
            .collect();
        let plant = Plant::of(World::spreading(&spread.join(",")));
        let world = &plant.world;
        let other = world.hub_named("other");
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } });
        world.arm("PUT", &other, &body).expect(201);
        let name = |it: usize| format!("pump-{it}");
        plant.registers(&(0..devices).map(name).collect::<Vec<_>>());
        let who = world.service_principal("ingest");
        world.assign(&who, CONTRIBUTOR, &world.subscription()).expect(201);
        world.pass_seconds(3_600);
        let old = held(world, &who);
        world.pass_seconds(60);
        let role = plant.role("IoT Security Policy Manager", THREE);
        let assigned_ms = world.now().millis();
        world.assign(&who, &role, &plant.hub).expect(201);
        world.pass_seconds(180);
        let update = |it: usize| Update {
            method: if it % RETIRED_EVERY == 7 { "DELETE" } else { "PUT" },
            hub: if it < STRAYS { other.clone() } else { plant.hub.clone() },
            device: name(it),
            worker: it * WORKERS / devices,
        };
        let updates = (0..devices).map(update).collect();
        Self { plant, who, role, actions: THREE, assigned_ms, updates, old }
    }

    /// The role gets other actions; what it was given with stays as it is.
    fn role_has(&mut self, actions: &'static [&'static str]) {
        self.actions = actions;
        let names: Vec<String> =
            actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
        let body = json!({ "properties": { "roleName": "IoT Security Policy Manager",
            "assignableScopes": [self.plant.hub], "permissions": [{ "actions": names }] } });
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/{}",
            self.plant.hub, self.role
        );
        self.plant.world.arm("PUT", &path, &body).expect(201);
    }

    /// The same as the slow evaluator knows it.
    fn told(&self) -> oracle::World {
        let subscription = self.plant.world.setting("HUBWARD_SUBSCRIPTION_ID");
        let role = |id: &str, actions: Vec<String>| oracle::world::Role {
            id: id.to_owned(),
            is_owner: false,
            permissions: vec![oracle::world::Permission { actions, ..Default::default() }],
        };
        let given = |role: &str, scope: &str, created_ms| oracle::world::RoleAssignment {
            name: role.to_owned(),
            principal: self.who.object_id.clone(),
            role: role.to_owned(),
            scope: scope.to_owned(),
            created_ms,
            deleted_ms: None,
        };
        let named = self.actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}"));
        oracle::World {
            tenant: self.plant.world.setting("HUBWARD_TENANT_ID"),
            has_explicit_grants: true,
            subscriptions: vec![oracle::world::Subscription {
                id: subscription.clone(),
                management_group: None,
            }],
            principals: vec![oracle::world::Principal {
                id: self.who.object_id.clone(),
                app_id: Some(self.who.app_id.clone()),
                kind: "ServicePrincipal".into(),
            }],
            roles: vec![role(CONTRIBUTOR, vec!["*".into()]), role(&self.role, named.collect())],
            role_assignments: vec![
                given(CONTRIBUTOR, &format!("/subscriptions/{subscription}"), 0),
                given(&self.role, &self.plant.hub, self.assigned_ms),
            ],
            ..oracle::World::default()
        }
    }

    fn request(&self, update: &Update, issued_ms: i64, view: Option<View>) -> oracle::Request {
        let name = match update.method {
            "PUT" => "PutSecurityPolicy",
            _ => "DeleteSecurityPolicy",
        };
        let token = Token {
            is_of_this_tenant: true,
            audience: ARM.into(),
            issued_ms,
            not_before_ms: None,
            expires_ms: Some(issued_ms + 3_600_000),
        };
        oracle::Request {
            operation: oracle::OPERATIONS.iter().find(|it| it.name == name).unwrap(),
            scope: format!("{}/securityPolicies/{}", update.hub, update.device),
            objects: Vec::new(),
            linked: Vec::new(),
            who: Who::Principal { id: self.who.object_id.clone(), token },
            now_ms: self.plant.world.now().millis(),
            view,
        }
    }

    /// Whether the slow evaluator would refuse an update that meets a replica.
    fn is_refused(&self, update: &Update, issued_ms: i64, replica: usize) -> bool {
        let (delay_s, is_healed_by_token) = REPLICAS[replica];
        let view = Some(View { delay_s, is_healed_by_token });
        let answer = oracle::decide(&self.told(), &self.request(update, issued_ms, view));
        assert!(matches!(answer.gate, None | Some(oracle::Gate::Access)));
        answer.gate.is_some()
    }

    /// One round of the pipeline, with its old token or without: each verdict as foretold, each refusal explained.
    fn round(&self, has_old: bool) -> Round {
        let world = &self.plant.world;
        let (fresh, admin) = (held(world, &self.who), held(world, &world.admin()));
        let mut round = Round::default();
        for update in &self.updates {
            let held = if has_old && update.worker == 0 { &self.old } else { &fresh };
            let path = format!("{}/securityPolicies/{}", update.hub, update.device);
            let body = json!({ "properties": { "maxKeyAgeDays": 90 } });
            let answer = self.plant.with(&held.token, update.method, &path, "", &body);
            let replica: usize = answer.header("x-hubward-replica").unwrap().parse().unwrap();
            round.replicas.push(replica);
            round.written += usize::from(matches!(answer.status, 200 | 201));
            let is_refused = answer.status == 403;
            assert!(is_refused || answer.status < 300, "{} {answer:?}", update.device);
            assert_eq!(is_refused, self.is_refused(update, held.issued_ms, replica), "{answer:?}");
            if is_refused {
                let everywhere = self.request(update, held.issued_ms, None);
                let cause = match () {
                    () if oracle::decide(&self.told(), &everywhere).gate.is_some() => {
                        Cause::Missing
                    }
                    () if self.is_refused(update, fresh.issued_ms, replica) => Cause::Replica,
                    () => Cause::Token,
                };
                self.explains(&answer, update, cause, &admin.token);
                *round.refused.entry(cause).or_default() += 1;
            }
        }
        round
    }

    /// What a diagnosis says of the three sections.
    fn diagnosed(&self) -> Value {
        let asked = json!({ "principal": self.who.app_id, "hub": self.plant.hub });
        self.plant.world.arm("POST", "/decisions/diagnoseIngestion", &asked).expect(200).body
    }

    /// The part that the slow evaluator would refuse now of updates that meet these replicas.
    fn foretold(&self, replicas: &[usize], has_old: bool) -> f64 {
        let now_ms = self.plant.world.now().millis();
        let refused = self.updates.iter().zip(replicas).filter(|(update, replica)| {
            let is_old = has_old && update.worker == 0;
            self.is_refused(update, if is_old { self.old.issued_ms } else { now_ms }, **replica)
        });
        refused.count() as f64 / replicas.len() as f64
    }

    /// The hint to the client, and the kept trace, name the cause and nothing else.
    fn explains(&self, answer: &Answer, update: &Update, cause: Cause, admin: &str) {
        let hint = if cause == Cause::Missing { "never" } else { "propagation" };
        assert_eq!(answer.header("x-hubward-retry"), Some(hint), "{}", update.device);
        let path = format!("/decisions/{}", answer.tracking());
        let trace = self.plant.with(admin, "GET", &path, "", &Value::Null).expect(200).body;
        let step = trace["decision"]["steps"].as_array().unwrap();
        let access = step.iter().find(|it| it["gate"] == "access").unwrap();
        let findings = access["findings"].as_array().unwrap();
        let about = |role: &str| {
            let found = findings.iter().find(|it| it["role"]["roleId"] == role);
            found.and_then(|it| it["reason"].as_str()).unwrap_or("").to_owned()
        };
        // Contributor's wildcard is looked at each time, and said not to reach.
        assert!(about(CONTRIBUTOR).contains("names"), "{access}");
        let (own, reason) = (about(&self.role), access["reason"].as_str().unwrap());
        match cause {
            Cause::Missing => {
                let verb = if update.method == "PUT" { "write" } else { "delete" };
                let action = format!("`Microsoft.Devices/IotHubs/securityPolicies/{verb}`");
                assert!(reason.contains(&action) && !own.contains("not seen here"), "{access}");
            }
            Cause::Token => assert!(own.ends_with("a new token sees it at once"), "{access}"),
            Cause::Replica => assert!(own.ends_with("a new token waits as long"), "{access}"),
        }
    }
}

fn held(world: &World, who: &Identity) -> Held {
    Held { token: world.token(who, ARM), issued_ms: world.now().millis() }
}

/// How many devices the story is told of: 300, or as many as whoever runs it asks for.
#[expect(clippy::disallowed_methods, reason = "whoever runs the story may ask for more devices")]
fn devices() -> usize {
    match std::env::var("HUBWARD_STORY_DEVICES") {
        Ok(text) => text.parse().expect("HUBWARD_STORY_DEVICES is a number"),
        Err(_) => 300,
    }
}

/// S1-03, S1-04, S1-11, S1-34: 300 devices with three causes at once. Every verdict is the slow evaluator's and every
/// refusal names its own cause. Each mending takes its own cause away and moves the figure, none and no two of them are
/// enough; with all three only what is truly missing is left.
#[test]
fn three_causes_are_told_apart_and_all_three_must_be_mended() {
    let mut story = Story::begin(devices());
    let retired = story.updates.iter().filter(|it| it.method == "DELETE").count();
    let mut rates = BTreeMap::new();
    let mut first = Vec::new();
    for has_waited in [false, true] {
        if has_waited {
            // The replicas that must be waited for have caught up; the old token is as old as it was.
            story.plant.world.pass_seconds(330);
        }
        for actions in [THREE, FIVE] {
            story.role_has(actions);
            for has_old in [true, false] {
                let mended = [actions == FIVE, has_waited, !has_old];
                let Round { refused, replicas, .. } = story.round(has_old);
                println!("mended {mended:?}: {refused:?}");
                let count = |it| refused.get(&it).copied().unwrap_or(0);
                let lacking = if actions == FIVE { STRAYS } else { STRAYS + retired };
                assert_eq!(count(Cause::Missing), lacking);
                assert_eq!(count(Cause::Replica) > 0, !has_waited);
                assert_eq!(count(Cause::Token) > 0, has_old);
                if first.is_empty() {
                    first = replicas;
                }
                // Which replica answers is chance: what mending moves is compared for the same answers.
                rates.insert(mended, story.foretold(&first, has_old));
            }
        }
    }
    for (mended, rate) in &rates {
        for next in (0..3).filter(|it| !mended[*it]) {
            let mut more = *mended;
            more[next] = true;
            assert!(rates[&more] < *rate, "{mended:?} {more:?} {rates:?}");
        }
        assert_eq!(*rate < 0.01, mended.iter().all(|it| *it), "{mended:?} {rates:?}");
    }
}

/// S1-11: a diagnosis tells the three apart by what was decided, and each section passes once its own cause is mended.
#[test]
fn a_diagnosis_tells_the_three_apart() {
    let mut story = Story::begin(60);
    let verdicts = |told: &Value| -> Vec<String> {
        let sections = told["sections"].as_array().unwrap();
        sections.iter().map(|it| it["verdict"].as_str().unwrap().to_owned()).collect()
    };
    let commands = |told: &Value, at: usize| {
        let fixes = told["sections"][at]["fixes"].as_array().unwrap();
        fixes.iter().map(|it| it["command"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
    };
    // Only the old token has come so far.
    let hub = story.plant.hub.clone();
    let old = |story: &Story, device: &str, method: &str| {
        let path = format!("{hub}/securityPolicies/{device}");
        story.plant.with(&story.old.token, method, &path, "", &json!({ "properties": {} })).status
    };
    while story.diagnosed()["decisions"]["stale"] == 0 {
        assert_eq!(old(&story, "pump-9", "PUT"), 403);
    }
    assert_eq!(old(&story, "pump-7", "DELETE"), 403);
    let told = story.diagnosed();
    assert_eq!(verdicts(&told), ["fail", "fail", "fail"], "{told:#}");
    assert!(commands(&told, 0).contains("securityPolicies/delete"), "{told:#}");
    let unseen = told["sections"][1].to_string();
    assert!(unseen.contains("is not seen by 5 of 5 replicas yet; by all in 420 s"), "{unseen}");
    let old_token = told["sections"][2].to_string();
    assert!(
        old_token.contains("older than the role") && old_token.contains("tracking id"),
        "{old_token}"
    );

    story.role_has(FIVE);
    assert_eq!(verdicts(&story.diagnosed()), ["pass", "fail", "fail"]);
    // A round with fresh tokens: what it meets is a matter of replicas alone.
    let round = story.round(false);
    let told = story.diagnosed();
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told:#}");
    assert_eq!(told["decisions"]["written"], round.written, "{told:#}");
    story.plant.world.pass_seconds(420);
    let told = story.diagnosed();
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told:#}");
    assert_eq!(told["verdict"], "pass");

    // A namesake, and somebody whose role is another hub's.
    let stray = story.plant.world.service_principal("ingest10");
    let ask = |who: &str, hub: &str| {
        let asked = json!({ "principal": who, "hub": hub });
        story.plant.world.arm("POST", "/decisions/diagnoseIngestion", &asked)
    };
    let told = ask(&stray.object_id, &hub).expect(200).body;
    assert_eq!((verdicts(&told)[0].as_str(), &told["decisions"]["decisions"]), ("fail", &json!(0)));
    assert!(commands(&told, 0).contains("az role assignment create"), "{told:#}");
    let other = story.plant.world.hub_named("other");
    let told = ask(&story.who.app_id, &other).expect(200).body;
    assert_eq!(verdicts(&told), ["pass", "fail", "pass"], "{told:#}");
    assert!(
        told["sections"][1].to_string().contains("which does not contain this hub"),
        "{told:#}"
    );
    assert!(commands(&told, 1).contains(&format!("--scope {other}")), "{told:#}");
    ask("nobody", &hub).expect(404);
    ask(&story.who.app_id, &format!("{hub}0")).expect(404);
    // Who may not read decisions at the hub is told nothing.
    let asked = json!({ "principal": story.who.app_id, "hub": hub });
    story.plant.world.arm_as(&stray, "POST", "/decisions/diagnoseIngestion", &asked).expect(403);
}

/// S1-32, S1-34: `hubward ingest` in the same world: the alert goes out while the role is new, and when all is mended that
/// is told, and nothing is refused any more.
#[test]
fn the_alert_goes_out_while_it_is_broken_and_clears_once_it_is_mended() {
    let mut story = Story::begin(300);
    let webhook = Webhook::new(vec![(200, String::new()), (204, String::new())]);
    let alert = Alert { webhook: webhook.url.clone(), above_percent: 10.0 };
    let pace = Pace { batch: 50, pause: Duration::ZERO, at_once: 4, waits: 0 };
    let lines: String = story
        .updates
        .iter()
        .filter(|it| it.hub == story.plant.hub)
        .map(|it| {
            let policy = match it.method {
                "PUT" => json!({ "maxKeyAgeDays": 90 }),
                _ => Value::Null,
            };
            format!("{}\n", json!({ "deviceId": it.device, "policy": policy }))
        })
        .collect();
    story.plant.world.pass_seconds(1);
    let who = story.who.clone();
    {
        let mut pipeline = Pipeline::of(&story.plant, who, pace, Some(alert));
        let (broken, _) = pipeline.writes(&lines, None);
        assert!(broken.auth_errors > 0 && broken.tokens_renewed > 0, "{broken:?}");
        story.actions = FIVE;
        drop(broken);
        pipeline.plant.world.pass_seconds(480);
        let names: Vec<&str> = FIVE.to_vec();
        pipeline.may(&names);
        pipeline.plant.world.pass_seconds(600);
        let (mended, failed) = pipeline.writes(&lines, None);
        assert_eq!((mended.failure_count, mended.success_count), (0, 298), "{failed:?}");
    }
    let told = webhook.asked.join().unwrap();
    let states: Vec<&Value> = told.iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["firing", "resolved"]);
    assert!(told.iter().all(|it| it["alert"] == "High auth failure rate"), "{told:?}");
    assert!(told[0]["rate"].as_f64() > Some(0.1) && told[1]["rate"].as_f64() == Some(0.0));
}
