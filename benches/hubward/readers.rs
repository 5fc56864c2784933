//! How fast services read what devices have sent, from the built-in endpoint over TLS.
//!
//! A client of our own that only counts shows what the server can do; `azure-eventhub` for Python, which
//! `HUBWARD_PYTHON` names an interpreter with, what a service gets of it.

use super::{median, now};
use amqp::Value;
use amqp::performative::{Flow, Performative};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use testkit::{Amqp, Process};

/// How many are written first.
pub const EVENTS: usize = 400_000;
/// Of a hub, where nobody chose otherwise.
const PARTITIONS: u32 = 4;
const ROUNDS: usize = 3;
/// How many messages a link may be sent before it is told that there is room for more.
const CREDIT: u32 = 5_000;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/hubward/readers.py");

/// Where to read, and as whom.
pub struct Endpoint {
    pub host: String,
    pub event_hub: String,
    pub key_name: &'static str,
    /// The key's text, as connection strings have it.
    pub key: String,
}

/// The interpreter with the unmodified client.
#[expect(clippy::disallowed_methods, reason = "whoever measures names the interpreter")]
fn python() -> Option<String> {
    std::env::var("HUBWARD_PYTHON").ok()
}

/// Reads [`EVENTS`], which are there, from the start of all partitions.
pub fn readers(process: &Process, endpoint: &Endpoint, port: u16) {
    let count = EVENTS;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (began, cpu) = (now(), testkit::cpu_seconds(process.pid()));
        own(process, endpoint, port, count);
        let cpu = testkit::cpu_seconds(process.pid()) - cpu;
        rounds.push((count as f64 / began.elapsed().as_secs_f64(), cpu));
    }
    say("a client that counts, one connection", &rounds, count);
    let Some(python) = python() else {
        return println!("  azure-eventhub: not measured, HUBWARD_PYTHON names no interpreter");
    };
    for readers in [1, PARTITIONS as usize] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let cpu = testkit::cpu_seconds(process.pid());
            let seconds = azure(&python, process, endpoint, count, readers);
            let cpu = testkit::cpu_seconds(process.pid()) - cpu;
            rounds.push((count as f64 / seconds, cpu));
        }
        say(&format!("azure-eventhub, processes: {readers}"), &rounds, count);
    }
}

fn say(who: &str, rounds: &[(f64, f64)], count: usize) {
    println!(
        "events read, {who}: {:.0} per second, {:.1} CPU s of the server per million",
        median(rounds.iter().map(|it| it.0).collect()),
        median(rounds.iter().map(|it| it.1).collect()) / count as f64 * 1e6,
    );
}

/// Counts over one link for each partition.
pub fn own(process: &Process, endpoint: &Endpoint, port: u16, count: usize) {
    let Endpoint { host, event_hub, key_name, key } = endpoint;
    let mut amqp = Amqp::begin(&process.wire(), host, port);
    let name = format!("sb://{host}/{event_hub}");
    let until = model::Timestamp::from_seconds(4_000_000_000);
    let resource = wire::sas::resource_text(&name);
    let token = wire::sas::sign(&resource, key.as_bytes(), until, Some(key_name));
    assert_eq!(amqp.puts_token(&name, &token).0, 200);
    let mut read: BTreeMap<u32, u32> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let at =
            format!("amqps://{host}/{event_hub}/ConsumerGroups/$Default/Partitions/{partition}");
        read.insert(amqp.receives_with(&at, None, Value::Null).unwrap(), 0);
    }
    // A link has been granted a hundred by then.
    let mut due = 50;
    for frames in 1..=u32::try_from(count).unwrap() {
        let part = amqp.awaits(|it| matches!(it, Performative::Transfer(_)));
        let Performative::Transfer(part) = part else { unreachable!("it was awaited") };
        assert!(!part.more, "an event is in one frame");
        *read.get_mut(&part.handle).unwrap() += 1;
        if frames >= due {
            due = frames + CREDIT / 4;
            for (handle, count) in &read {
                amqp.says(
                    0,
                    &Performative::Flow(Flow {
                        next_incoming_id: Some(frames),
                        incoming_window: 1_000_000,
                        handle: Some(*handle),
                        delivery_count: Some(*count),
                        link_credit: Some(CREDIT),
                        ..Flow::default()
                    }),
                );
            }
        }
    }
}

/// How long the unmodified client takes, from its first event to its last: the slowest of so many processes,
/// each with its share of the partitions.
fn azure(python: &str, process: &Process, it: &Endpoint, count: usize, readers: usize) -> f64 {
    let Endpoint { host, event_hub, key_name, key } = it;
    let string = format!(
        "Endpoint=sb://{host}/;SharedAccessKeyName={key_name};SharedAccessKey={key};EntityPath={event_hub}"
    );
    let ca_file = process.connection().ca_file().to_owned();
    let share = |reader: usize| {
        let partitions = (0..PARTITIONS as usize).filter(|it| it % readers == reader);
        let partitions: Vec<String> = partitions.map(|it| it.to_string()).collect();
        Command::new(python)
            .args([SCRIPT, &ca_file.display().to_string()])
            .args(partitions)
            .env("EVENT_HUB_CONNECTION_STRING", &string)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let all: Vec<_> = (0..readers).map(share).collect();
    let said = all.into_iter().map(|it| {
        let output = it.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<f64> = said.split_whitespace().map(|it| it.parse().unwrap()).collect();
        (said[0], said[1], said[2])
    });
    let said: Vec<(f64, f64, f64)> = said.collect();
    assert_eq!(said.iter().map(|it| it.0).sum::<f64>(), count as f64, "all events were read");
    let (first, last) =
        said.iter().fold((f64::MAX, 0_f64), |(first, last), it| (first.min(it.1), last.max(it.2)));
    last - first
}
