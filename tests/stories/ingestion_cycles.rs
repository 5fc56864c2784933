//! `hubward ingest` day in, day out: every four hours, and broken off at any moment, on either side.

use super::ingestion::{Pipeline, lines, plant};
use super::security_policies::Plant;
use ingest::{Pace, Record};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{Process, World};

const PACE: Pace = Pace { batch: 50, pause: Duration::ZERO, at_once: 4, waits: 0 };
const WRITE: &[&str] = &["securityPolicies/write", "securityPolicies/read"];
const FLAGS: &[&str] =
    &["--propagation", "0,480w,600", "--directory-lag", "0,30", "--throttle", "azure"];

/// S1-09: six rounds in a day, beginning when the role has just been given, with tokens that end between them, a role that
/// is given anew and a device that goes. What fails has a reason that is on record, and only while the role is new.
#[test]
fn six_cycles_of_four_hours_leave_no_failure_unexplained() {
    let plant = Plant::of(World::started(FLAGS));
    plant.registers(&(0..60).map(|it| format!("pump-{it}")).collect::<Vec<_>>());
    // Who is new is known everywhere before the first round: that is another story.
    let who = plant.world.service_principal("pipeline");
    plant.world.pass_seconds(60);
    let mut pipeline = Pipeline::of(&plant, who.clone(), PACE, None);
    pipeline.may(WRITE);
    for cycle in 0..6 {
        let policy = json!({ "maxKeyAgeDays": 10 + cycle });
        let (summary, failed) = pipeline.writes(&lines(60, &policy), None);
        for id in &pipeline.trackings {
            let path = format!("/decisions/{id}");
            let told = plant.world.arm("GET", &path, &Value::Null);
            // What was let in and then had no device was decided, and allowed: its own words are the reason.
            let is_gone =
                told.status == 404 && failed.iter().all(|it| it.contains("DeviceNotFound"));
            assert!(
                is_gone || told.body.to_string().contains("a new token waits as long"),
                "{told:?}"
            );
        }
        assert_eq!(summary.success_count + summary.failure_count, 60);
        match cycle {
            0 => assert!(summary.auth_errors > 0 && summary.success_count > 0, "{summary:?}"),
            1..4 => assert_eq!(summary.failure_count, 0, "{failed:?}"),
            _ => assert_eq!(failed, ["pump-7: 404 DeviceNotFound"]),
        }
        if cycle == 2 {
            // Given anew while the old one still counts: nobody notices.
            pipeline.may(WRITE);
        }
        if cycle == 3 {
            let gone = plant.world.hub_by_key(
                "iothubowner",
                "DELETE",
                &plant.hub,
                "/devices/pump-7",
                &[("If-Match", "*")],
                &Value::Null,
            );
            gone.expect(204);
        }
        plant.world.pass_seconds(4 * 3_600);
        plant.world.hourly_round();
    }
    let last = plant.asks(&who, "GET", "securityPolicies/pump-59", &Value::Null).expect(200);
    assert_eq!(last.body["properties"]["maxKeyAgeDays"], 15);
}

/// A client that is gone after any of its answers is run again: every policy is what it was to be, none was refused
/// because of its own earlier write, and the record says so.
#[test]
fn a_client_that_crashes_anywhere_is_run_again() {
    let plant = plant(World::new(), 12);
    let who = plant.world.service_principal("pipeline");
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("written.jsonl");
    Pipeline::of(&plant, who.clone(), PACE, None).may(WRITE);
    let reader = Pipeline::new(&plant, PACE, None);
    for ends in 1..=12 {
        let policy = json!({ "maxKeyAgeDays": 100 + ends });
        let all = lines(12, &policy);
        let pace = Pace { batch: 5, ..PACE };
        let run = |ends| {
            let mut record = Record::open(&path, &plant.hub).unwrap();
            let mut pipeline = Pipeline::of(&plant, who.clone(), pace, None);
            pipeline.writes_until(&all, Some(&mut record), ends)
        };
        run(ends);
        let (summary, failed) = run(usize::MAX).unwrap();
        assert_eq!(summary.failure_count, 0, "{failed:?}");
        let (again, _) = run(usize::MAX).unwrap();
        assert_eq!((again.skipped, again.success_count), (12, 0));
        for device in ["pump-0", "pump-4", "pump-11"] {
            assert_eq!(reader.policy(device), policy, "{device} after {ends}");
        }
    }
}

const KILLS: usize = 12;
const PORTS: &str = "--https-port 23443 --mqtt-port 23883 --amqp-port 23671 --management-port 23843 --metrics-port 23946";
const DEVICES: usize = 300;

/// A server that is killed again and again while the client writes: what the client was told is there with that content,
/// and in the end all of it is.
#[test]
fn a_server_that_crashes_loses_nothing_that_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let flags: Vec<&str> = PORTS.split(' ').collect();
    let mut server = Process::start(Path::new(env!("CARGO_BIN_EXE_hubward")), &data, &flags);
    let site = Site::new(&server);
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let child = site.ingests(&data, home.path(), kill).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + (kill * 397 % 300) as u64));
        server.crash();
        let said = child.wait_with_output().unwrap();
        let written = Site::written(&said.stdout);
        acknowledged += written.len();
        let stored = site.policies(&server);
        for device in written {
            assert_eq!(stored[&device]["maxKeyAgeDays"], 100 + kill, "{device} after {kill}");
        }
        // Where the client could not wait for the server, its next run writes the rest; nothing is refused.
        let rest = site.ingests(&data, home.path(), kill).output().unwrap();
        assert!(rest.status.success(), "{} {}", String::from_utf8_lossy(&rest.stdout), kill);
        let stored = site.policies(&server);
        assert_eq!(stored.len(), DEVICES);
        assert!(stored.values().all(|it| it["maxKeyAgeDays"] == 100 + kill), "{kill}");
    }
    assert!(acknowledged > 0);
}

/// What the client is told, and who it is: the administrator, with a role of its own.
struct Site {
    hub: String,
    token: String,
}

impl Site {
    fn new(server: &Process) -> Self {
        server.lets_administrator(WRITE);
        server.makes_pumps(DEVICES);
        Self { hub: server.hub(), token: server.arm_bearer() }
    }

    /// The client with the policies of a round.
    fn ingests(&self, data: &Path, home: &Path, round: usize) -> Command {
        let file = home.join("policies.jsonl");
        std::fs::write(&file, lines(DEVICES, &json!({ "maxKeyAgeDays": 100 + round }))).unwrap();
        let connection = cli::Connection::read(data).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubward"));
        command.args(["ingest", "--hub", &self.hub, "--pause", "0s", "--credential", "secret"]);
        command.arg("--data").arg(data).arg("--record").arg(home.join("written.jsonl")).arg(&file);
        command.env("AZURE_TENANT_ID", connection.tenant_id());
        command.env("AZURE_CLIENT_ID", connection.get("HUBWARD_ADMIN_APP_ID").unwrap());
        command.env("AZURE_CLIENT_SECRET", connection.get("HUBWARD_ADMIN_SECRET").unwrap());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// The devices of which the client says that they were written.
    fn written(out: &[u8]) -> Vec<String> {
        let out = String::from_utf8_lossy(out);
        let read = out.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
        read.filter_map(|it| it["written"].as_str().map(str::to_owned)).collect()
    }

    fn policies(&self, server: &Process) -> std::collections::BTreeMap<String, Value> {
        let connection = server.connection();
        let mut next =
            format!("{}{}/securityPolicies?api-version=2021-07-01", connection.arm(), self.hub);
        let mut all = std::collections::BTreeMap::new();
        loop {
            let page = server.wire().json("GET", &next, &self.token, &Value::Null).expect(200).body;
            for it in page["value"].as_array().unwrap() {
                all.insert(it["name"].as_str().unwrap().to_owned(), it["properties"].clone());
            }
            match page["nextLink"].as_str() {
                Some(it) => it.clone_into(&mut next),
                None => return all,
            }
        }
    }
}
