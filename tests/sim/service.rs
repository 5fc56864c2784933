//! Services: send messages, hear what became of them, patch twins, call methods.

use super::book::Which;
use super::hub::Ask;
use super::plant::Plant;
use model::Op;
use model::Timestamp;
use serde_json::{Value, json};
use std::rc::Rc;

impl Plant {
    fn asks(&self, op: Op, device: usize, body: Value) -> Ask<'static> {
        Ask { op, device: &self.plan.devices[device].id, lock: String::new(), body }
    }
}

/// Sends messages to a device, one after the other.
pub async fn sends(plant: Rc<Plant>, device: usize) {
    loop {
        plant.pass_ms(100, 3_000).await;
        if plant.is_calm() {
            return;
        }
        let acks = ["full", "full", "full", "positive", "negative", "none"];
        let ack = acks[usize::try_from(plant.draw(0, 5)).unwrap()];
        let expires_s = plant.chance(15).then(|| plant.draw(2, 30));
        let expires = expires_s.map(|it| plant.now().seconds() + i64::try_from(it).unwrap());
        let expires = expires.map(Timestamp::from_seconds);
        let number = plant.book.borrow_mut().queues(device, ack, expires.map(Timestamp::millis));
        let id = format!("{device}:{number}");
        let body = json!({ "body": id, "base64Encoded": false, "messageId": id, "ack": ack,
            "expiry": expires.map(Timestamp::rfc3339) });
        let answer = plant.call(plant.asks(Op::SendMessage, device, body)).await;
        let status = answer.map(|it| it.status);
        plant.tell(&format!("message {id} to its queue: {status:?}"));
        match status {
            Some(204) => plant.book.borrow_mut().accepted(device, number),
            Some(400..500) => plant.book.borrow_mut().refused(device, number),
            Some(_) | None => {}
        }
    }
}

/// Receives feedback, and settles it or not.
pub async fn notes_feedback(plant: Rc<Plant>) {
    loop {
        plant.pass_ms(300, 4_000).await;
        let Some(answer) = plant.call(plant.asks(Op::ReceiveFeedback, 0, Value::Null)).await else {
            continue;
        };
        if answer.status != 200 {
            continue;
        }
        let etag = answer.headers.iter().find(|(name, _)| *name == "ETag");
        let lock = etag.map(|(_, it)| it.trim_matches('"').to_owned()).expect("a lock");
        let mut told = Vec::new();
        for record in answer.body.as_ref().and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| record[name].as_str().unwrap_or("").to_owned();
            let id = numbers(&text("originalMessageId"));
            plant.tell(&format!("feedback: {id:?} {}", text("statusCode")));
            if told.contains(&id) {
                plant.book.borrow_mut().broken(format!("{id:?} stands twice in a batch"));
            }
            let now_ms = plant.now().millis();
            plant.book.borrow_mut().told(id.0, id.1, &text("statusCode"), now_ms);
            told.push(id);
        }
        let op = match plant.draw(0, 19) {
            _ if plant.is_calm() => Op::CompleteFeedback,
            0 => Op::AbandonFeedback,
            // Forgotten: others hear of it once the lock is over.
            1 => continue,
            _ => Op::CompleteFeedback,
        };
        let ask = Ask { lock, ..plant.asks(op, 0, Value::Null) };
        let settled = plant.call(ask).await.map(|it| it.status);
        if op == Op::CompleteFeedback {
            let mut book = plant.book.borrow_mut();
            told.into_iter().for_each(|(device, number)| match settled {
                Some(204) => book.noted(device, number),
                Some(_) => {}
                None => book.perhaps_noted(device, number),
            });
        }
    }
}

/// Counts a desired property of a device up, and looks at its twin.
pub async fn patches(plant: Rc<Plant>, device: usize) {
    loop {
        plant.pass_ms(100, 3_000).await;
        if plant.is_calm() {
            return;
        }
        let value = plant.book.borrow_mut().next(device, Which::Desired);
        let body = json!({ "properties": { "desired": { "count": value } } });
        let answer = plant.call(plant.asks(Op::PatchTwin, device, body)).await;
        let version = answer.filter(|it| it.status == 200).and_then(|it| it.body);
        let version = version.and_then(|it| it["properties"]["desired"]["$version"].as_u64());
        plant.tell(&format!("desired {device} is {value}: version {version:?}"));
        if let Some(version) = version {
            plant.book.borrow_mut().counts.patches += 1;
            plant.book.borrow_mut().written(device, Which::Desired, value, version);
        }
        let known = plant.book.borrow_mut().known(device);
        let answer = plant.call(plant.asks(Op::GetTwin, device, Value::Null)).await;
        if let Some(twin) = answer.filter(|it| it.status == 200).and_then(|it| it.body) {
            plant.book.borrow_mut().shown(device, &known, &twin["properties"]);
        }
    }
}

/// Calls a method of a device.
pub async fn invokes(plant: Rc<Plant>, device: usize) {
    for call in 0_u64.. {
        plant.pass_ms(500, 6_000).await;
        if plant.is_calm() {
            return;
        }
        let body = json!({ "methodName": "echo", "payload": { "call": call },
            "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": plant.draw(0, 4) });
        let Some(answer) = plant.call(plant.asks(Op::InvokeMethod, device, body)).await else {
            continue;
        };
        plant.tell(&format!("method {call} of {device}: {}", answer.status));
        if answer.status == 200 {
            plant.book.borrow_mut().counts.methods += 1;
            let right = json!({ "status": echoed(call), "payload": { "call": call } });
            if answer.body.as_ref() != Some(&right) {
                let told = format!("method {call} of device {device}: {:?}", answer.body);
                plant.book.borrow_mut().broken(told);
            }
        }
    }
}

/// What a device answers to a method.
pub const fn echoed(call: u64) -> u64 {
    200 + call % 7
}

/// The device and the message that an id names.
pub fn numbers(id: &str) -> (usize, u64) {
    let (device, number) = id.split_once(':').expect("an id of ours");
    (device.parse().unwrap(), number.parse().unwrap())
}
