//! How fast `hubward ingest` writes the policies of many devices, and what that takes of memory and of the server.

use super::now;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::Process;

const DEVICES: usize = 30_000;

/// The server with its devices, and whose role it is to write their policies: the administrator's.
fn plant(home: &Path) -> (Process, String) {
    let server = Process::start(Path::new(env!("CARGO_BIN_EXE_hubward")), home, &["--azure-names"]);
    server.lets_administrator(&["securityPolicies/write"]);
    server.makes_pumps(DEVICES);
    let hub = server.hub();
    (server, hub)
}

/// Writes them without pauses, and then once more, when the record has them all; and then by the thread's own script.
pub fn policies_of_many(home: &Path) {
    let (server, hub) = plant(&home.join("data"));
    let connection = server.connection();
    let lines = home.join("policies.jsonl");
    let mut file = BufWriter::new(File::create(&lines).unwrap());
    for number in 0..DEVICES {
        let policy = json!({ "maxKeyAgeDays": 90, "allowedAuthentication": ["sas", "x509"],
            "minimumTlsVersion": "1.2", "maxMessagesPerMinute": 60 + number });
        let line = json!({ "deviceId": format!("pump-{number}"), "policy": policy });
        writeln!(file, "{line}").unwrap();
    }
    file.into_inner().unwrap();
    for what in ["written", "unchanged"] {
        let mut client = Command::new(env!("CARGO_BIN_EXE_hubward"));
        client
            .args(["ingest", "--hub", &hub, "--batch", "10000", "--pause", "0s", "--at-once", "64"])
            .args(["--credential", "secret", "-o", "table", "--data"])
            .arg(home.join("data"))
            .arg("--record")
            .arg(home.join("written.jsonl"))
            .arg(&lines);
        measure(&server, client, DEVICES, &format!("{what} by `hubward ingest`"));
    }
    let Some(modules) = node_modules() else {
        println!("the thread's script was left out: HUBWARD_NODE_MODULES names no modules of Node");
        return;
    };
    let beside = [
        ("batches", DEVICES, "written by the thread's script, its pauses left out"),
        ("fresh", DEVICES / 10, "written by it with a new token for each"),
    ];
    for (step, devices, what) in beside {
        let address = connection.arm().trim_start_matches("https://").rsplit_once(':').unwrap().0;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut client = Command::new("node");
        client
            .arg(root.join("compat/node/thread.js"))
            .arg(step)
            .env("NODE_PATH", &modules)
            .env("NODE_EXTRA_CA_CERTS", connection.ca_file())
            .env("HUBWARD_ADDRESS", address)
            .env("THREAD", root.join("fixtures/thread"))
            .env("SUBSCRIPTION", connection.get("HUBWARD_SUBSCRIPTION_ID").unwrap())
            .env("GROUP", connection.get("HUBWARD_RESOURCE_GROUP").unwrap())
            .env("HUB", connection.get("HUBWARD_HUB").unwrap())
            .env("COUNT", devices.to_string());
        measure(&server, client, devices, what);
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the bench names the modules")]
pub fn node_modules() -> Option<std::path::PathBuf> {
    let named = std::env::var("HUBWARD_NODE_MODULES").ok()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(named);
    path.exists().then_some(path)
}

/// Runs a client as the administrator, and says how fast it was.
fn measure(server: &Process, mut client: Command, devices: usize, what: &str) {
    let connection = server.connection();
    let (began, cpu) = (now(), testkit::cpu_seconds(server.pid()));
    let mut client = client
        .env("AZURE_TENANT_ID", connection.tenant_id())
        .env("AZURE_CLIENT_ID", connection.admin_app_id())
        .env("AZURE_CLIENT_SECRET", connection.get("HUBWARD_ADMIN_SECRET").unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(peak_of(client.id()));
        match client.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    assert!(status.success());
    let took_s = began.elapsed().as_secs_f64();
    println!(
        "policies of {devices} devices {what}: {:.0}/s, {:.2} CPU ms of the server each, client at most {:.1} MiB",
        devices as f64 / took_s,
        (testkit::cpu_seconds(server.pid()) - cpu) / devices as f64 * 1e3,
        f64::from(peak_kib) / 1024.0
    );
}

/// The most memory that a process has had, in KiB; 0 once it is gone.
fn peak_of(pid: u32) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
