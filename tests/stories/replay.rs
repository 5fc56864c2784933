//! `hubward replay`: kept decisions are judged again, offline.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Change, Engine, Expect, Scan, ShardId, Write, tables};
use testkit::{Answer, Process, Wire};

const PORTS: [&str; 8] = [
    "--https-port",
    "22443",
    "--mqtt-port",
    "22883",
    "--management-port",
    "22843",
    "--metrics-port",
    "22946",
];

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hubward"))
}

/// Exit code and all that was said.
fn replay(arguments: &[&str], data: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.arg("replay").args(arguments).arg("--data").arg(data).env_clear();
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout) + &text(output.stderr))
}

#[track_caller]
fn check(said: &(Option<i32>, String), code: i32, expected: &str) {
    assert_eq!(said.0, Some(code), "{}", said.1);
    assert!(said.1.contains(expected), "{expected}: {}", said.1);
}

/// The administrator at the control plane, over restarts of the server.
struct Administrator {
    wire: Wire,
    arm: String,
    authorization: String,
    hub: String,
}

impl Administrator {
    fn of(server: &Process) -> Self {
        let arm = server.setting("HUBWARD_ARM");
        Self { wire: server.wire(), arm, authorization: server.arm_bearer(), hub: server.hub() }
    }

    /// A call at the hub or below it; `Err` where the server is gone.
    fn tries(&self, method: &str, below: &str, body: &Value) -> Result<Answer, String> {
        let url = format!("{}{}{below}?api-version=2024-11-01", self.arm, self.hub);
        let headers =
            [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.wire.try_send(method, &url, &headers, body.as_bytes())
    }

    fn calls(&self, method: &str, below: &str, body: &Value) -> Answer {
        self.tries(method, below, body).unwrap()
    }
}

const LOCK: &str = "/providers/Microsoft.Authorization/locks/stay";

/// What a change kept of a lock that it took away is forged: there was none.
async fn forge(data: &Path) {
    let store = Engine::sqlite(&data.join("store")).unwrap();
    let all = Scan { prefix: String::new(), after: None, limit: 500 };
    let kept = store.scan(&ShardId::control(), tables::FORMER_FACTS, all).await.unwrap();
    let is_meant = |it: &Value| it.pointer("/documents/0/table") == Some(&json!("locks"));
    let parsed =
        kept.into_iter().map(|(key, it)| (key, serde_json::from_slice::<Value>(&it.body).unwrap()));
    let mut of_locks = parsed.filter(|(_, it)| is_meant(it)).collect::<Vec<_>>();
    assert_eq!(of_locks.len(), 2, "one was made and taken away");
    let (key, mut last) = of_locks.pop().unwrap();
    assert_eq!(last["documents"][0]["body"]["properties"]["level"], "CanNotDelete");
    last["documents"][0]["body"] = Value::Null;
    let write = Write::Put(last.to_string().into());
    let change = Change { table: tables::FORMER_FACTS, key, expect: Expect::Present, write };
    store.commit(&ShardId::control(), vec![change]).await.unwrap();
    store.close().await.unwrap();
}

/// A refusal whose cause is long gone, and the server that refused with it, comes out the same; with other facts it
/// does not.
#[test]
fn a_decision_is_judged_again_by_the_facts_of_its_time() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut server = Process::start(binary(), &data, &PORTS);
    let admin = Administrator::of(&server);
    admin.calls("PUT", LOCK, &json!({ "properties": { "level": "CanNotDelete" } })).expect(201);
    let refused = admin.calls("DELETE", "", &Value::Null).expect(409).tracking();
    admin.calls("DELETE", LOCK, &Value::Null).expect(200);
    server.crash();
    check(&replay(&[], &data), 1, "a server runs on");
    admin.calls("DELETE", "", &Value::Null).expect(200);
    server.kill();
    check(&replay(&[], &data), 0, "each came out the same");
    let (code, report) = replay(&["-o", "json"], &data);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["different"]), (Some(0), &json!(0)));
    // Three changes of the administrator and a refusal, besides all that first start does.
    assert!(report["same"].as_u64().unwrap() >= 4, "{report}");
    tokio::runtime::Runtime::new().unwrap().block_on(forge(&data));
    let said = replay(&[], &data);
    check(&said, 1, &refused);
    check(&said, 1, "1 came out otherwise");
    // A server that keeps none forgets those that were: what it changes is not noted.
    Process::plain(binary(), &data, &PORTS).kill();
    check(&replay(&[], &data), 1, "hubward up --keep-facts");
    check(&replay(&["--deep"], &data), 2, "--deep");
    check(&replay(&[], &home.path().join("typo")), 1, "no server has its data in");
}

const KILLS: u64 = 20;

/// Facts change and calls are refused while the server is killed again and again: what was refused is judged again
/// by the facts that refused it.
#[test]
fn no_kill_comes_between_a_decision_and_its_facts() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut server = Process::start(binary(), &data, &PORTS);
    let admin = Administrator::of(&server);
    let (refused, is_over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let until_over = |step: &dyn Fn()| {
        while !is_over.load(Ordering::Relaxed) {
            step();
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| {
            until_over(&|| {
                let body = json!({ "properties": { "level": "ReadOnly" } });
                drop(admin.tries("PUT", LOCK, &body));
                drop(admin.tries("DELETE", LOCK, &Value::Null));
            });
        });
        threads.spawn(|| {
            until_over(&|| {
                let tried = admin.tries("PATCH", "", &json!({ "tags": { "line": "3" } }));
                if let Ok(answer) = tried.as_ref()
                    && answer.status == 409
                {
                    refused.lock().unwrap().insert(answer.tracking());
                }
            });
        });
        for kill in 0..KILLS {
            let before = refused.lock().unwrap().len();
            while refused.lock().unwrap().len() == before {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(kill * 397 % 5_000));
            server.crash();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    server.kill();
    let (code, report) = replay(&["-o", "json"], &data);
    assert_eq!(code, Some(0), "{report}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let refused = refused.into_inner().unwrap();
    let same = usize::try_from(report["same"].as_u64().unwrap()).unwrap();
    assert!(refused.len() >= usize::try_from(KILLS).unwrap());
    assert!(same >= refused.len(), "{same} of {}", refused.len());
}
