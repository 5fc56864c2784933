//! What was promised to whom, and whether it was kept.

use ops::devices::messages::LOCK_S;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How much of a story is told of a run that failed.
const TOLD_MAX: usize = 80;

/// How long a message is held for the device that it was handed to.
const HELD_MS: i64 = LOCK_S * 1_000;

/// The account of one run.
#[derive(Default)]
pub struct Book {
    pub devices: Vec<DeviceBook>,
    /// The first promise that was not kept.
    pub broken: Option<String>,
    pub counts: Counts,
    story: VecDeque<String>,
    /// Of the whole story: two runs of one seed tell the same.
    pub fingerprint: u64,
}

/// How often what happened: a simulation in which nothing does proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    pub telemetry: u64,
    pub sent_again: u64,
    pub wills: u64,
    pub deliveries: u64,
    pub redeliveries: u64,
    pub feedback: u64,
    pub reports: u64,
    pub patches: u64,
    pub methods: u64,
    pub kills: u64,
    pub stops: u64,
    /// Of the disk.
    pub failures: u64,
    /// Records that were on their way to the disk when the server was killed, and got there.
    pub unsynced: u64,
}

impl Counts {
    fn each(&mut self) -> [&mut u64; 14] {
        let Self {
            connections,
            telemetry,
            sent_again,
            wills,
            deliveries,
            redeliveries,
            feedback,
            reports,
            patches,
            methods,
            kills,
            stops,
            failures,
            unsynced,
        } = self;
        [
            connections,
            telemetry,
            sent_again,
            wills,
            deliveries,
            redeliveries,
            feedback,
            reports,
            patches,
            methods,
            kills,
            stops,
            failures,
            unsynced,
        ]
    }

    pub fn add(&mut self, other: &Self) {
        let mut other = *other;
        self.each().into_iter().zip(other.each()).for_each(|(all, one)| *all += *one);
    }

    /// Fails where something hardly ever happened in a thousand runs.
    pub fn check(&mut self) {
        let told = format!("{self:#?}");
        assert!(self.each().into_iter().all(|it| *it >= 20), "too little happens: {told}");
    }
}

#[derive(Default)]
pub struct DeviceBook {
    /// How often each message of telemetry was sent.
    sent: Vec<u32>,
    /// How many of them, from the first on, were acknowledged.
    acknowledged: usize,
    /// Last messages: whether each is in the log.
    wills: Vec<bool>,
    messages: BTreeMap<u64, MessageBook>,
    desired: Section,
    reported: Section,
    methods: BTreeSet<u64>,
    /// Connections that the server still serves.
    pub served: usize,
}

/// Desired or reported properties, which one writer counts up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section {
    /// The last value that was written, whatever came of it.
    last: u64,
    /// The last one that was acknowledged, and by which version.
    known: (u64, u64),
}

/// A message from a service to a device.
#[derive(Default)]
struct MessageBook {
    ack: &'static str,
    expires_ms: Option<i64>,
    is_accepted: bool,
    is_refused: bool,
    /// The device has acknowledged it, which the server may not have heard.
    is_completed: bool,
    /// What services were told of its end.
    told: Option<String>,
    /// And have settled, as far as they know.
    is_noted: bool,
    /// And have perhaps settled: the answer was lost.
    is_perhaps_noted: bool,
}

/// What a device has got over one connection.
#[derive(Default)]
pub struct Got {
    /// Nobody else held messages of the device when the connection began.
    pub is_alone: bool,
    /// Which messages were done with when the connection began: none of them comes again.
    pub done: BTreeSet<u64>,
    began_ms: i64,
    came: BTreeSet<u64>,
    highest: Option<u64>,
}

impl Book {
    pub fn new(devices: usize) -> Self {
        let devices = (0..devices).map(|_| DeviceBook::default()).collect();
        Self { devices, ..Self::default() }
    }

    pub fn tell(&mut self, line: String) {
        if self.broken.is_some() {
            return;
        }
        self.fingerprint = line.bytes().fold(self.fingerprint, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5)
        });
        if self.story.len() == TOLD_MAX {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    /// The last that happened.
    pub fn story(&self) -> String {
        self.story.iter().map(|it| format!("  {it}\n")).collect()
    }

    pub fn broken(&mut self, what: String) {
        if self.broken.is_none() {
            self.tell(format!("BROKEN: {what}"));
            self.broken = Some(what);
        }
    }

    /// A device sends a message of telemetry, perhaps again.
    pub fn sends(&mut self, device: usize, number: usize) {
        let sent = &mut self.devices[device].sent;
        if number == sent.len() {
            sent.push(0);
            self.counts.telemetry += 1;
        } else {
            self.counts.sent_again += 1;
        }
        sent[number] += 1;
    }

    pub fn acknowledged(&mut self, device: usize, number: usize) {
        let next = self.devices[device].acknowledged;
        if number != next {
            self.broken(format!("device {device}: {number} acknowledged, and {next} was next"));
        }
        self.devices[device].acknowledged = number + 1;
    }

    /// Compares what the log holds of a device, in its order, with what was promised.
    pub fn check_log(&mut self, device: usize, numbers: &[usize]) {
        let DeviceBook { sent, acknowledged, .. } = &self.devices[device];
        let mut counts = vec![0_u32; sent.len()];
        let mut next = 0;
        let mut faults = Vec::new();
        for number in numbers {
            if *number > next {
                faults.push(format!("{number} stands where {next} or one before it may"));
            }
            next = number + 1;
            counts[*number] += 1;
        }
        let lost = (0..*acknowledged).find(|it| counts[*it] == 0);
        faults.extend(lost.map(|it| format!("{it} was acknowledged and is lost")));
        let doubled = (0..counts.len()).find(|it| counts[*it] > sent[*it]);
        faults.extend(doubled.map(|it| {
            format!("{it} was sent {} times and is there {} times", sent[it], counts[it])
        }));
        if let Some(fault) = faults.first() {
            self.broken(format!("log of device {device}: {fault}"));
        }
    }

    /// A device leaves a last message with the server: its number.
    pub fn wills(&mut self, device: usize) -> usize {
        let wills = &mut self.devices[device].wills;
        wills.push(false);
        wills.len() - 1
    }

    /// The log holds a device's last message.
    pub fn willed(&mut self, device: usize, will: usize) {
        self.counts.wills += 1;
        if std::mem::replace(&mut self.devices[device].wills[will], true) {
            self.broken(format!("device {device}: its will {will} was published twice"));
        }
    }

    /// A service is about to send a message: its number.
    pub fn queues(&mut self, device: usize, ack: &'static str, expires_ms: Option<i64>) -> u64 {
        let messages = &mut self.devices[device].messages;
        let number = messages.len() as u64;
        messages.insert(number, MessageBook { ack, expires_ms, ..MessageBook::default() });
        number
    }

    pub fn accepted(&mut self, device: usize, number: u64) {
        self.message(device, number).is_accepted = true;
    }

    pub fn refused(&mut self, device: usize, number: u64) {
        self.message(device, number).is_refused = true;
    }

    fn message(&mut self, device: usize, number: u64) -> &mut MessageBook {
        self.devices[device].messages.get_mut(&number).expect("a message that was sent")
    }

    /// A device connects: what must not come to it any more.
    pub fn connects(&mut self, device: usize, now_ms: i64) -> Got {
        let book = &self.devices[device];
        let done = book.messages.iter().filter(|(_, it)| it.told.is_some() || it.is_refused);
        Got {
            is_alone: book.served == 0,
            began_ms: now_ms,
            done: done.map(|(number, _)| *number).collect(),
            ..Got::default()
        }
    }

    /// A message has come to its device.
    pub fn delivered(&mut self, device: usize, number: u64, got: &mut Got, now_ms: i64) {
        self.counts.deliveries += 1;
        if !self.devices[device].messages.contains_key(&number) {
            return self.broken(format!("device {device}: message {number} was never sent"));
        }
        if got.done.contains(&number) {
            self.broken(format!("device {device}: message {number} came after it had ended"));
        }
        if !got.came.insert(number) {
            self.counts.redeliveries += 1;
            // It is held for the device until then, unless the disk did not take its end.
            if now_ms - got.began_ms < HELD_MS && self.counts.failures == 0 {
                self.broken(format!("device {device}: message {number} came twice"));
            }
            return;
        }
        if got.is_alone && got.highest.is_some_and(|it| it > number) {
            self.broken(format!("device {device}: message {number} came out of order"));
        }
        got.highest = got.highest.max(Some(number));
    }

    /// The device acknowledges a message.
    pub fn completes(&mut self, device: usize, number: u64) {
        self.message(device, number).is_completed = true;
    }

    /// Services are told how a message ended.
    pub fn told(&mut self, device: usize, number: u64, how: &str, now_ms: i64) {
        self.counts.feedback += 1;
        let it = self.message(device, number);
        let fault = match (how, it.ack) {
            _ if it.is_noted => Some("was told of again after a service had noted it".to_owned()),
            _ if it.told.as_deref().is_some_and(|before| before != how) => {
                Some(format!("ended twice: {:?}, then {how}", it.told))
            }
            ("Success", _) if !it.is_completed => Some("was completed by nobody".to_owned()),
            ("Expired", _) if it.expires_ms.is_none_or(|expires| now_ms < expires) => {
                Some("had not expired".to_owned())
            }
            ("Success", "full" | "positive") | ("Expired", "full" | "negative") => None,
            (_, ack) => Some(format!("was told of as {how}, and its sender asked for {ack}")),
        };
        it.told = Some(how.to_owned());
        if let Some(fault) = fault {
            self.broken(format!("device {device}: message {number} {fault}"));
        }
    }

    /// A service has settled the feedback of a message.
    pub fn noted(&mut self, device: usize, number: u64) {
        self.message(device, number).is_noted = true;
    }

    /// A service has tried to, and does not know.
    pub fn perhaps_noted(&mut self, device: usize, number: u64) {
        self.message(device, number).is_perhaps_noted = true;
    }

    /// A writer of a section is told the version that its value led to.
    pub fn written(&mut self, device: usize, section: Which, value: u64, version: u64) {
        let known = self.section(device, section).known;
        if version <= known.1 {
            self.broken(format!(
                "device {device}: {section:?} {value} got version {version} behind {known:?}"
            ));
        }
        self.section(device, section).known = (value, version);
    }

    /// The next value for a section.
    pub fn next(&mut self, device: usize, section: Which) -> u64 {
        let section = self.section(device, section);
        section.last += 1;
        section.last
    }

    /// What is acknowledged of a twin by now.
    pub fn known(&self, device: usize) -> [(Which, Section); 2] {
        let it = &self.devices[device];
        [(Which::Desired, it.desired), (Which::Reported, it.reported)]
    }

    /// Somebody who asked when `known` was acknowledged is shown the sections of a twin.
    pub fn shown(&mut self, device: usize, known: &[(Which, Section); 2], twin: &Value) {
        for (which, before) in known {
            let shown = &twin[which.name()];
            let value = shown["count"].as_u64().unwrap_or(0);
            let version = shown["$version"].as_u64().unwrap_or(0);
            let now = self.section(device, *which).known;
            let is_older = value < before.known.0 || version < before.known.1;
            if is_older || (version == now.1 && value != now.0) {
                self.broken(format!(
                    "device {device}: {which:?} is {value} in version {version}, and {:?} was acknowledged",
                    before.known
                ));
            }
        }
    }

    fn section(&mut self, device: usize, section: Which) -> &mut Section {
        match section {
            Which::Desired => &mut self.devices[device].desired,
            Which::Reported => &mut self.devices[device].reported,
        }
    }

    /// A method comes to its device.
    pub fn invoked(&mut self, device: usize, call: u64) {
        if !self.devices[device].methods.insert(call) {
            self.broken(format!("device {device}: method {call} came twice"));
        }
    }

    /// What is still open when nothing is in the way any more.
    pub fn open(&self) -> Option<String> {
        self.devices.iter().enumerate().find_map(|(number, it)| {
            if it.acknowledged < it.sent.len() {
                let (done, all) = (it.acknowledged, it.sent.len());
                return Some(format!("device {number}: {done} of {all} acknowledged"));
            }
            let is_open = |it: &&MessageBook| match it.ack {
                "full" => it.is_accepted && !it.is_noted && !it.is_perhaps_noted,
                // Nobody is told, so that the device alone knows.
                _ => it.is_accepted && it.expires_ms.is_none() && !it.is_completed,
            };
            let message = it.messages.iter().find(|(_, it)| is_open(it));
            message.map(|(message, _)| format!("device {number}: message {message} has not ended"))
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    Desired,
    Reported,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Reported => "reported",
        }
    }
}
