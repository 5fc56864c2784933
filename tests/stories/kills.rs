//! A server that is killed again and again while devices send: what it acknowledged is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Device, Process, Wire};

const KILLS: usize = 100;
const DEVICES: usize = 4;
/// Messages that each device has under way.
const UNDER_WAY: usize = 8;
const PORTS: &str =
    "--https-port 22443 --mqtt-port 22883 --management-port 22843 --metrics-port 22946";
const MQTT_PORT: u16 = 22_883;

fn start(data: &Path) -> Process {
    let flags: Vec<&str> = PORTS.split(' ').collect();
    Process::start(Path::new(env!("CARGO_BIN_EXE_hubward")), data, &flags)
}

/// The first device of a fresh server, as four: each connects by itself, so each needs an id of its own.
fn devices(process: &Process) -> Vec<Device> {
    let connection = process.connection();
    let host = connection.get("HUBWARD_HUB_HOST").unwrap();
    let owner = connection.get("HUBWARD_HUB_CONNECTION_STRING").unwrap();
    let key = owner.split("SharedAccessKey=").nth(1).unwrap();
    let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).unwrap();
    let until = model::Timestamp::from_seconds(4_000_000_000);
    let sas = wire::sas::sign(host, &key, until, Some("iothubowner"));
    let make = |number: usize| {
        let url = format!("https://{host}/devices/sender-{number}?api-version=2021-04-12");
        let made = process.wire().json("PUT", &url, &sas, &serde_json::json!({}));
        Device::new(MQTT_PORT, host, &made.expect(200).body)
    };
    (0..DEVICES).map(make).collect()
}

/// Sends numbers until the server is gone; those that it acknowledged go into the record.
fn sends(device: &Device, wire: &Wire, next: &mut u64, acknowledged: &Mutex<BTreeSet<String>>) {
    let until = model::Timestamp::from_seconds(4_000_000_000);
    let tried = device.tries(wire, device.greeting(&device.signature(until)));
    let Ok((_, mut mqtt)) = tried else { return };
    let mut under_way = std::collections::VecDeque::new();
    loop {
        while under_way.len() < UNDER_WAY {
            let text = format!("{} {next}", device.id);
            *next += 1;
            match mqtt.publish_unacknowledged(&device.events(), text.as_bytes()) {
                Ok(_) => under_way.push_back(text),
                Err(_) => return,
            }
        }
        match mqtt.receive() {
            Ok(_) => {
                let text = under_way.pop_front().unwrap();
                acknowledged.lock().unwrap().insert(text);
            }
            Err(_) => return,
        }
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_in_a_hundred_kills() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let mut process = start(&data);
    let (devices, wire) = (devices(&process), process.wire());
    let (acknowledged, is_over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for device in &devices {
            let (wire, acknowledged, is_over) = (wire.clone(), &acknowledged, &is_over);
            threads.spawn(move || {
                let mut next = 0;
                while !is_over.load(Ordering::Relaxed) {
                    sends(device, &wire, &mut next, acknowledged);
                    // Nobody listens for a moment.
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for kill in 0..KILLS {
            // At another moment each time, and never before something was acknowledged.
            let before = acknowledged.lock().unwrap().len();
            while acknowledged.lock().unwrap().len() == before {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros((kill * 397 % 5_000) as u64));
            process.crash();
        }
        is_over.store(true, Ordering::Relaxed);
        process.kill();
    });
    let kept: BTreeSet<String> = testkit::messages_in(&data)
        .into_iter()
        .map(|it| String::from_utf8(it.body.to_vec()).unwrap())
        .collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    println!(
        "{} messages acknowledged over {KILLS} kills, {} kept",
        acknowledged.len(),
        kept.len()
    );
    assert!(acknowledged.len() > KILLS);
    let lost: Vec<&String> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
}
