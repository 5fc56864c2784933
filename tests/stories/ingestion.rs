//! `hubward ingest` at work: the policies of many devices, roles that are not seen yet or missing, and what is told of it.

use super::allocation::Webhook;
use super::security_policies::Plant;
use ingest::items::Items;
use ingest::{Alert, Credential, Event, Ingestion, Pace, Record, SignIn, Summary, Target};
use model::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;
use testkit::{Identity, World};
use tokio::sync::{Notify, watch};

const PACE: Pace = Pace { batch: 4, pause: Duration::ZERO, at_once: 2, waits: 0 };
const WRITE: &[&str] = &["securityPolicies/write"];

/// Somebody who writes policies, run after run.
pub(super) struct Pipeline<'a> {
    pub(super) plant: &'a Plant,
    who: Identity,
    ingestion: Ingestion,
    stop: watch::Sender<bool>,
    /// Of what failed in the last run.
    pub(super) trackings: Vec<String>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(plant: &'a Plant, pace: Pace, alert: Option<Alert>) -> Self {
        Self::of(plant, plant.world.service_principal("pipeline"), pace, alert)
    }

    pub(super) fn of(plant: &'a Plant, who: Identity, pace: Pace, alert: Option<Alert>) -> Self {
        let world = &plant.world;
        let target = Target::new(&world.setting("HUBWARD_ARM"), &plant.hub, "2021-07-01").unwrap();
        let ca_file = world.setting("HUBWARD_CA_FILE");
        let sign_in = SignIn {
            credential: Credential::Secret {
                tenant: world.setting("HUBWARD_TENANT_ID"),
                client: who.app_id.clone(),
                secret: model::Secret::new(who.secret.clone()),
            },
            authority: Some(world.setting("HUBWARD_AUTHORITY")),
            audience: "https://management.azure.com",
            trusted: Path::new(&ca_file),
        };
        let clock = || Timestamp::from_seconds(1_700_000_000);
        let ingestion = Ingestion::new(target, sign_in, pace, alert, clock).unwrap();
        Self { plant, who, ingestion, stop: watch::Sender::new(false), trackings: Vec::new() }
    }

    pub(super) fn may(&self, actions: &[&str]) {
        let name = format!("Policies {}", self.plant.world.guid());
        let role = self.plant.role(&name, actions);
        self.plant.world.assign(&self.who, &role, &self.plant.hub).expect(201);
    }

    /// One run: its counts, and what failed why.
    pub(super) fn writes(
        &mut self,
        lines: &str,
        record: Option<&mut Record>,
    ) -> (Summary, Vec<String>) {
        self.writes_until(lines, record, usize::MAX).unwrap()
    }

    /// The same, broken off at once, as by a crash, when so many items have ended.
    pub(super) fn writes_until(
        &mut self,
        lines: &str,
        record: Option<&mut Record>,
        ends: usize,
    ) -> Option<(Summary, Vec<String>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut failed, mut trackings, mut ended) = (Vec::new(), Vec::new(), 0);
        let crash = Notify::new();
        let mut tell = |event: Event<'_>| {
            if let Event::Failed { what, status, reason, tracking, .. } = event {
                failed.push(format!("{what}: {status} {reason}"));
                trackings.extend(tracking.map(str::to_owned));
            }
            ended += 1;
            if ended == ends {
                crash.notify_one();
            }
        };
        let items = Items::of_lines("these", Cursor::new(lines.to_owned().into_bytes()));
        let stop = self.stop.subscribe();
        let ran = self.ingestion.run(items, record, &stop, &mut tell);
        let summary = runtime.block_on(async {
            tokio::select! {
                biased;
                () = crash.notified() => None,
                it = ran => Some(it.unwrap()),
            }
        });
        failed.sort();
        self.trackings = trackings;
        Some((summary?, failed))
    }

    pub(super) fn policy(&self, device: &str) -> Value {
        let reader = self.plant.world.service_principal("reader");
        let name = format!("Readers {}", self.plant.world.guid());
        let role = self.plant.role(&name, &["securityPolicies/read"]);
        self.plant.world.assign(&reader, &role, &self.plant.hub).expect(201);
        let path = format!("securityPolicies/{device}");
        self.plant.asks(&reader, "GET", &path, &Value::Null).body["properties"].clone()
    }
}

pub(super) fn plant(world: World, devices: usize) -> Plant {
    let plant = Plant::of(world);
    for number in 0..devices {
        plant.world.device(&plant.hub, &format!("pump-{number}"));
    }
    plant
}

/// A line for each of so many devices.
pub(super) fn lines(devices: usize, policy: &Value) -> String {
    (0..devices).fold(String::new(), |mut all, number| {
        let line = json!({ "deviceId": format!("pump-{number}"), "policy": policy });
        writeln!(all, "{line}").unwrap();
        all
    })
}

/// S1-02: a service principal with a secret, through Azure's own library; a line that cannot be read and a device that is
/// not there lose none of the rest.
#[test]
fn one_failure_never_loses_the_rest() {
    let plant = plant(World::new(), 9);
    let mut pipeline = Pipeline::new(&plant, PACE, None);
    pipeline.may(WRITE);
    let strict = json!({ "maxKeyAgeDays": 90 });
    let more = format!(
        "no line\n{}\n{}",
        json!({ "deviceId": "nobody", "policy": strict }),
        json!({ "deviceId": "pump-1", "policy": { "maxKeyAge": 1 } }),
    );
    let (summary, failed) = pipeline.writes(&format!("{more}\n{}", lines(9, &strict)), None);
    assert_eq!((summary.success_count, summary.failure_count, summary.auth_errors), (9, 3, 0));
    assert_eq!(summary.retries, 0);
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed.contains(&"nobody: 404 DeviceNotFound".to_owned()), "{failed:?}");
    assert!(failed.iter().any(|it| it.starts_with("pump-1: 400 ")), "{failed:?}");
    assert!(failed.contains(&"these, line 1: 0 Unreadable".to_owned()), "{failed:?}");
    assert_eq!(summary.last_success_time.as_deref(), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!(pipeline.policy("pump-8"), strict);
}

/// S1-29, S1-35: a token that is older than the role is given up once, for all that were refused together; before the role
/// nothing is written, and after it nothing by the token from before.
#[test]
fn a_token_that_is_older_than_its_role_is_renewed_once() {
    let plant = plant(World::spreading("600"), 8);
    let mut pipeline = Pipeline::new(&plant, PACE, None);
    let all = lines(8, &json!({}));
    let (before, failed) = pipeline.writes(&all, None);
    assert_eq!((before.success_count, before.auth_errors), (0, 4), "the rest was not tried");
    assert!(before.stopped.is_some_and(|it| it.contains("lacked a permission")));
    let reason = "AuthorizationFailed Microsoft.Devices/IotHubs/securityPolicies/write";
    assert!(failed.iter().all(|it| it.ends_with(&format!("403 {reason}"))), "{failed:?}");
    assert_eq!(before.by_reason[reason].count, 4);
    let explained = plant.world.explained(before.by_reason[reason].tracking_id.as_ref().unwrap());
    assert_eq!(explained["decision"]["outcome"]["gate"], "access");

    plant.world.pass_seconds(1);
    pipeline.may(WRITE);
    let (after, failed) = pipeline.writes(&all, None);
    assert_eq!((after.success_count, after.tokens_renewed), (8, 1), "{failed:?}");
}

/// S1-31: the server counts of each principal what the pipeline counts of itself.
#[test]
fn the_server_counts_what_the_pipeline_counts() {
    let plant = plant(World::new(), 5);
    let mut pipeline = Pipeline::new(&plant, PACE, None);
    pipeline.may(WRITE);
    let gone = json!({ "deviceId": "pump-0", "policy": null });
    let nobody = json!({ "deviceId": "nobody", "policy": {} });
    let all = format!("{}{gone}\n{nobody}\n", lines(5, &json!({})));
    let (summary, _) = pipeline.writes(&all, None);
    assert_eq!((summary.success_count, summary.failure_count, summary.auth_errors), (5, 2, 1));
    let env = plant.world.env();
    let shown = env.metrics.render(&env.facts.load().lookups, &env.presence);
    let says = |name: &str, number: i64| {
        let line = format!(
            "hubward_ingestion_{name}{{principal=\"{}\"}} {number}\n",
            pipeline.who.object_id
        );
        assert!(shown.contains(&line), "{line} in {shown}");
    };
    says("success_total", 5);
    says("failure_total", 2);
    says("auth_errors_total", 1);
    says("last_success_timestamp_seconds", plant.world.now().seconds());
}

/// S1-34, S1-37: what is truly missing is named and not tried again; the rest is written.
#[test]
fn a_permission_that_is_missing_is_named_and_not_waited_for() {
    let plant = plant(World::new(), 6);
    let mut pipeline = Pipeline::new(&plant, Pace { waits: 3, ..PACE }, None);
    pipeline.may(&["securityPolicies/write", "securityPolicies/read", "securitySettings/write"]);
    let gone = json!({ "deviceId": "pump-0", "policy": null });
    let (summary, failed) = pipeline.writes(&format!("{}{gone}\n", lines(6, &json!({}))), None);
    assert_eq!((summary.success_count, summary.auth_errors, summary.retries), (6, 1, 0));
    let reason = "AuthorizationFailed Microsoft.Devices/IotHubs/securityPolicies/delete";
    assert_eq!(failed, [format!("pump-0: 403 {reason}")]);
    pipeline.may(&["securityPolicies/delete"]);
    let (summary, failed) = pipeline.writes(&format!("{gone}\n{gone}\n"), None);
    assert_eq!(summary.success_count, 2, "what is gone is gone: {failed:?}");
    assert_eq!(pipeline.policy("pump-0"), Value::Null);
}

/// What the record has is not sent again, what has changed is, and what somebody else has changed since is left alone.
#[test]
fn a_run_goes_on_where_the_one_before_was_broken_off() {
    let plant = plant(World::new(), 6);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("written.jsonl");
    let open = || Record::open(&path, &plant.hub).unwrap();
    let mut pipeline = Pipeline::new(&plant, PACE, None);
    pipeline.may(WRITE);
    let first = json!({ "maxKeyAgeDays": 1 });
    let (summary, _) = pipeline.writes(&lines(3, &first), Some(&mut open()));
    assert_eq!(summary.success_count, 3);
    let (summary, _) = pipeline.writes(&lines(6, &first), Some(&mut open()));
    assert_eq!((summary.success_count, summary.skipped), (3, 3));
    let mut other = Pipeline::new(&plant, PACE, None);
    other.may(WRITE);
    other.writes(&lines(1, &json!({ "maxKeyAgeDays": 7 })), None);
    let (summary, failed) =
        pipeline.writes(&lines(6, &json!({ "maxKeyAgeDays": 2 })), Some(&mut open()));
    assert_eq!((summary.success_count, summary.failure_count), (5, 1), "{failed:?}");
    assert!(failed.first().unwrap().starts_with("pump-0: 412"), "{failed:?}");
    assert_eq!(pipeline.policy("pump-0")["maxKeyAgeDays"], 7);
    assert_eq!(pipeline.policy("pump-5")["maxKeyAgeDays"], 2);
}

/// S1-32: somebody is told above ten percent, and once more when it is over.
#[test]
fn an_alert_goes_out_and_clears() {
    let plant = plant(World::new(), 40);
    let webhook = Webhook::new(vec![(200, String::new()), (204, String::new())]);
    let alert = Alert { webhook: webhook.url.clone(), above_percent: 10.0 };
    let mut pipeline = Pipeline::new(&plant, PACE, Some(alert));
    pipeline.may(WRITE);
    let deletions = (0..4).fold(String::new(), |mut all, number| {
        writeln!(all, "{}", json!({ "deviceId": format!("pump-{number}"), "policy": null }))
            .unwrap();
        all
    });
    // Four of the first eight, and at the end four of forty.
    let (summary, _) = pipeline
        .writes(&format!("{}{deletions}{}", lines(4, &json!({})), lines(32, &json!({}))), None);
    assert_eq!((summary.success_count, summary.auth_errors), (36, 4));
    let told = webhook.asked.join().unwrap();
    let states: Vec<_> = told.iter().map(|it| (&it["alert"], &it["state"])).collect();
    let title = json!("High auth failure rate");
    assert_eq!(states, [(&title, &json!("firing")), (&title, &json!("resolved"))]);
    assert_eq!((&told[0]["rate"], &told[0]["hub"]), (&json!(0.5), &json!(plant.hub)));
    assert_eq!(told[1]["rate"], 0.1);
}
