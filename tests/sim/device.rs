//! A device: connects whenever it is not, sends, receives, reports and answers, and remembers what the server
//! has not acknowledged.

use super::book::{Got, Section, Which};
use super::plant::Plant;
use super::service::{echoed, numbers};
use bytes::BytesMut;
use model::Secret;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep_until, timeout};
use wire::mqtt::{self, ByteString, Connect, ConnectCode, Packet, Publish, Qos, Will};

/// Most messages of telemetry that wait for their acknowledgement.
const WINDOW: usize = 12;
/// Who hears nothing for so long, and should, takes the connection for lost.
const PATIENCE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_S: u16 = 40;

/// The connection is over, for whatever reason.
struct Over;

/// What a device keeps between its connections.
#[derive(Default)]
struct Memory {
    next: usize,
    last_id: u16,
    /// It knows that nothing is in the way any more.
    is_calm: bool,
    /// Telemetry that was sent and not acknowledged: packet id and number.
    unacknowledged: VecDeque<(u16, usize)>,
}

struct Connection<'a> {
    plant: &'a Plant,
    device: usize,
    memory: &'a mut Memory,
    stream: DuplexStream,
    incoming: BytesMut,
    got: Got,
    /// Messages to acknowledge: when, the packet's id, the message.
    completing: Vec<(Instant, u16, u64)>,
    /// Methods to answer: when, the request's id, the call.
    answering: Vec<(Instant, String, u64)>,
    /// What was asked about the twin, and is not answered: a report's value, or what was known when it asked.
    asked: Option<Asked>,
    is_pinged: bool,
    desired: u64,
    heard: Instant,
    next_step: Instant,
}

enum Asked {
    Report(u64),
    Twin([(Which, Section); 2]),
}

/// Plays a device to the end of the run.
pub async fn live(plant: Rc<Plant>, device: usize) {
    let mut memory = Memory::default();
    loop {
        // Many come back before the hub knows that they went.
        match plant.chance(50) {
            true => plant.pass_ms(0, 60).await,
            false => plant.pass_ms(60, 2_000).await,
        }
        let now_ms = plant.now().millis();
        let got = plant.book.borrow_mut().connects(device, now_ms);
        let Some(stream) = plant.connect(device) else { continue };
        let now = Instant::now();
        let mut connection = Connection {
            plant: &plant,
            device,
            memory: &mut memory,
            stream,
            incoming: BytesMut::new(),
            got,
            completing: Vec::new(),
            answering: Vec::new(),
            asked: None,
            is_pinged: false,
            desired: 0,
            heard: now,
            next_step: now,
        };
        let Err(Over) = connection.run().await;
        plant.tell(&format!("{device} is not connected any more"));
    }
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<std::convert::Infallible, Over> {
        self.greet().await?;
        // What was not acknowledged is sent again, in the same order.
        let again: Vec<_> = self.memory.unacknowledged.iter().copied().collect();
        let mut packets = Vec::new();
        for (id, number) in again {
            packets.push(self.telemetry(id, number, true));
        }
        if !self.plant.is_calm() && self.plant.chance(40) {
            packets.push(self.report());
        }
        self.write(&packets).await?;
        loop {
            let wake = self.wake();
            let came = tokio::select! {
                biased;
                packet = read(&mut self.stream, &mut self.incoming) => Some(packet?),
                () = sleep_until(wake) => None,
            };
            match came {
                Some(packet) => {
                    self.heard = Instant::now();
                    self.hear(packet).await?;
                }
                None => self.step().await?,
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Over> {
        let plan = self.plant.plan;
        let key = &plan.devices[self.device];
        let lives_s = if self.plant.chance(10) { self.plant.draw(1, 40) } else { 3_600 };
        let until = self.plant.now().plus_seconds(i64::try_from(lives_s).unwrap());
        let will = self.plant.chance(30).then(|| Will {
            topic: self.events(),
            payload: format!("will {}", self.plant.book.borrow_mut().wills(self.device)).into(),
            qos: Qos::AtLeastOnce,
            retain: false,
        });
        let connect = Packet::Connect(Connect {
            protocol_level: 4,
            clean_session: self.plant.chance(20),
            keep_alive_s: KEEP_ALIVE_S,
            client_id: key.id.clone(),
            will,
            user_name: Some(format!("{}/{}/?api-version=2021-04-12", plan.host, key.id)),
            password: Some(Secret::new(key.signature(&plan.host, until).into_bytes())),
        });
        self.write(&[connect]).await?;
        let answer = timeout(PATIENCE, read(&mut self.stream, &mut self.incoming)).await;
        let session_present = match answer {
            Ok(Ok(Packet::ConnAck { session_present, code: ConnectCode::Accepted })) => {
                session_present
            }
            // The server stops, or the signature was too long on its way.
            Ok(Ok(Packet::ConnAck { code: ConnectCode::ServerUnavailable, .. })) => {
                return Err(Over);
            }
            Ok(Ok(Packet::ConnAck { code: ConnectCode::NotAuthorized, .. }))
                if self.plant.now().seconds() >= until.seconds() =>
            {
                return Err(Over);
            }
            Ok(Ok(other)) => return self.amazed(&other),
            Ok(Err(Over)) | Err(_) => return Err(Over),
        };
        self.plant.tell(&format!("{} connects, session {session_present}", self.device));
        self.heard = Instant::now();
        // Who is remembered need not ask again.
        if session_present && self.plant.chance(70) {
            return Ok(());
        }
        let filters = [
            (format!("devices/{}/messages/devicebound/#", key.id), Qos::AtLeastOnce),
            ("$iothub/methods/POST/#".to_owned(), Qos::AtMostOnce),
            ("$iothub/twin/res/#".to_owned(), Qos::AtMostOnce),
            ("$iothub/twin/PATCH/properties/desired/#".to_owned(), Qos::AtMostOnce),
        ];
        let id = self.next_id();
        self.write(&[Packet::Subscribe { id, filters: filters.to_vec() }]).await
    }

    /// When there is something to do, at the latest.
    fn wake(&self) -> Instant {
        let completing = self.completing.iter().map(|(at, ..)| *at);
        let answering = self.answering.iter().map(|(at, ..)| *at);
        completing.chain(answering).fold(self.next_step, Instant::min)
    }

    /// Does what is due, and whatever comes to the device's mind.
    async fn step(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        let mut packets = Vec::new();
        let calms = self.plant.is_calm() && !std::mem::replace(&mut self.memory.is_calm, true);
        let due = self.completing.extract_if(.., |(at, ..)| calms || *at <= now);
        for (_, id, number) in due {
            self.plant.tell(&format!("{} completes message {number}", self.device));
            self.plant.book.borrow_mut().completes(self.device, number);
            packets.push(Packet::PubAck(id));
        }
        let due: Vec<_> = self.answering.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, request, call) in due {
            let topic = format!("$iothub/methods/res/{}/?$rid={request}", echoed(call));
            packets.push(publish(&topic, None, false, json!({ "call": call }).to_string()));
        }
        if now >= self.next_step {
            self.next_step = now + Duration::from_millis(self.plant.draw(30, 700));
            self.think(&mut packets).await?;
        }
        self.write(&packets).await?;
        // Goes while what it said is still on its way. What is stuck then, nothing else sets going again.
        let leaves = match (calms, self.plant.is_calm()) {
            (true, _) => self.plant.chance(50),
            (false, true) => false,
            (false, false) if self.asked.is_some() => self.plant.chance(10),
            (false, false) => !packets.is_empty() && self.plant.chance(2),
        };
        if leaves { Err(Over) } else { Ok(()) }
    }

    async fn think(&mut self, packets: &mut Vec<Packet>) -> Result<(), Over> {
        let waits =
            self.is_pinged || self.asked.is_some() || !self.memory.unacknowledged.is_empty();
        if waits && self.heard.elapsed() > PATIENCE {
            return Err(Over);
        }
        if self.memory.is_calm {
            self.next_step += Duration::from_secs(5);
            packets.push(Packet::PingReq);
            self.is_pinged = true;
            return Ok(());
        }
        match self.plant.draw(0, 99) {
            0..50 => {
                for _ in 0..self.plant.draw(1, 4) {
                    if self.memory.unacknowledged.len() < WINDOW {
                        let (id, number) = (self.next_id(), self.memory.next);
                        self.memory.next += 1;
                        self.memory.unacknowledged.push_back((id, number));
                        packets.push(self.telemetry(id, number, false));
                    }
                }
            }
            50..64 if self.asked.is_none() => packets.push(self.report()),
            64..72 if self.asked.is_none() => {
                let known = self.plant.book.borrow_mut().known(self.device);
                packets.push(publish("$iothub/twin/GET/?$rid=get", None, false, String::new()));
                self.asked = Some(Asked::Twin(known));
            }
            72 => return Err(Over),
            73..75 => {
                packets.push(Packet::Disconnect);
                self.write(packets).await?;
                return Err(Over);
            }
            75..77 => {
                // Hears nothing for a while, and takes nothing.
                self.plant.tell(&format!("{} hangs", self.device));
                // The hub waits about as long for a write.
                match self.plant.chance(60) {
                    true => self.plant.pass_ms(7_500, 12_000).await,
                    false => self.plant.pass_ms(500, 75_000).await,
                }
                self.heard = Instant::now();
            }
            _ => {
                packets.push(Packet::PingReq);
                self.is_pinged = true;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, packet: Packet) -> Result<(), Over> {
        match packet {
            Packet::PubAck(id) => {
                let Some((expected, number)) = self.memory.unacknowledged.pop_front() else {
                    return self.amazed(&packet);
                };
                if expected != id {
                    return self.amazed(&packet);
                }
                self.plant.book.borrow_mut().acknowledged(self.device, number);
                Ok(())
            }
            Packet::Publish(it) => self.told(&it),
            Packet::SubAck { ref granted, .. } if granted.iter().all(Option::is_some) => Ok(()),
            Packet::PingResp => {
                self.is_pinged = false;
                Ok(())
            }
            other @ (Packet::Connect(_)
            | Packet::ConnAck { .. }
            | Packet::Subscribe { .. }
            | Packet::SubAck { .. }
            | Packet::Unsubscribe { .. }
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::Disconnect
            | Packet::Unsupported(_)) => self.amazed(&other),
        }
    }

    /// A message, a method, or something about the twin.
    fn told(&mut self, it: &Publish) -> Result<(), Over> {
        let text = String::from_utf8_lossy(&it.payload).into_owned();
        let topic = it.topic.to_string();
        let version = topic.split_once("$version=").map(|(_, it)| it.parse().unwrap());
        if let Some(id) = it.id {
            return self.message(id, &text);
        }
        if let Some(rest) = topic.strip_prefix("$iothub/methods/POST/echo/?$rid=") {
            let payload: Value = serde_json::from_str(&text).unwrap();
            let call = payload["call"].as_u64().unwrap();
            self.plant.book.borrow_mut().invoked(self.device, call);
            // Some are never answered.
            if self.plant.chance(90) {
                let later = Duration::from_millis(self.plant.draw(0, 800));
                self.answering.push((Instant::now() + later, rest.to_owned(), call));
            }
            return Ok(());
        }
        if topic.starts_with("$iothub/twin/PATCH/properties/desired/") {
            let version = version.unwrap();
            if version <= self.desired {
                let last = self.desired;
                let what = format!("device {}: desired {version} behind {last}", self.device);
                self.plant.book.borrow_mut().broken(what);
            }
            self.desired = version;
            return Ok(());
        }
        match self.asked.take() {
            Some(Asked::Report(value)) if topic.starts_with("$iothub/twin/res/204/") => {
                let version = version.unwrap();
                self.plant.tell(&format!("{} reported {value}: version {version}", self.device));
                let mut book = self.plant.book.borrow_mut();
                book.counts.reports += 1;
                book.written(self.device, Which::Reported, value, version);
                Ok(())
            }
            Some(Asked::Twin(known)) if topic.starts_with("$iothub/twin/res/200/") => {
                let twin: Value = serde_json::from_str(&text).unwrap();
                self.plant.book.borrow_mut().shown(self.device, &known, &twin);
                Ok(())
            }
            // The disk has failed.
            Some(_) if topic.starts_with("$iothub/twin/res/50") => Ok(()),
            Some(_) | None => self.amazed(&Packet::Publish(it.clone())),
        }
    }

    fn message(&mut self, id: u16, text: &str) -> Result<(), Over> {
        let (device, number) = numbers(text);
        assert_eq!(device, self.device, "a message for another device");
        self.plant.tell(&format!("{device} gets message {number} as packet {id}"));
        let now_ms = self.plant.now().millis();
        self.plant.book.borrow_mut().delivered(device, number, &mut self.got, now_ms);
        let later_ms = match self.plant.draw(0, 19) {
            _ if self.plant.is_calm() => 0,
            0..12 => 0,
            12..17 => self.plant.draw(1, 4_000),
            // About as long as it may be held.
            17 => self.plant.draw(58_000, 62_000),
            _ => return Ok(()),
        };
        self.completing.push((Instant::now() + Duration::from_millis(later_ms), id, number));
        Ok(())
    }

    fn telemetry(&mut self, id: u16, number: usize, dup: bool) -> Packet {
        self.plant.book.borrow_mut().sends(self.device, number);
        publish(&self.events(), Some(id), dup, number.to_string())
    }

    /// Counts the reported property up.
    fn report(&mut self) -> Packet {
        let value = self.plant.book.borrow_mut().next(self.device, Which::Reported);
        self.asked = Some(Asked::Report(value));
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={value}");
        publish(&topic, None, false, json!({ "count": value }).to_string())
    }

    fn events(&self) -> String {
        format!("devices/{}/messages/events/", self.plant.plan.devices[self.device].id)
    }

    /// An id that no packet has that waits for its acknowledgement.
    fn next_id(&mut self) -> u16 {
        self.memory.last_id = self.memory.last_id % 1_000 + 1;
        self.memory.last_id
    }

    /// The server sent what it must not.
    fn amazed(&self, packet: &Packet) -> Result<(), Over> {
        let what = format!("device {} was sent {packet:?}", self.device);
        self.plant.book.borrow_mut().broken(what);
        Err(Over)
    }

    async fn write(&mut self, packets: &[Packet]) -> Result<(), Over> {
        let mut bytes = BytesMut::new();
        packets.iter().for_each(|it| mqtt::encode(it, &mut bytes).unwrap());
        match timeout(PATIENCE, self.stream.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}

fn publish(topic: &str, id: Option<u16>, dup: bool, body: String) -> Packet {
    Packet::Publish(Publish {
        dup,
        qos: if id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce },
        retain: false,
        topic: ByteString::from(topic),
        id,
        payload: body.into(),
    })
}

/// The next packet. Dropping the future loses nothing.
async fn read(stream: &mut DuplexStream, incoming: &mut BytesMut) -> Result<Packet, Over> {
    loop {
        let packet = mqtt::decode(incoming, 1 << 20).expect("the server sends packets");
        if let Some(packet) = packet {
            return Ok(packet);
        }
        match stream.read_buf(incoming).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Over),
        }
    }
}
