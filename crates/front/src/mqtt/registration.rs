//! A device that registers over MQTT: each of its two requests is a call like one over HTTPS.

use super::names::{Named, Peer};
use super::pipe::Pipe;
use super::topics::{Topic, Topics, value_of};
use super::{About, Greeting, Waiting, code_of};
use crate::connections::stopped;
use bytes::Bytes;
use model::Op;
use model::operations::Surface;
use ops::call::{Answer, body_of, run};
use std::collections::BTreeMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use wire::mqtt::{ByteString, ConnectCode, Packet, Publish, Qos};

/// Where a service answers.
const ANSWERS: &str = "$dps/registrations/res/";
const ANSWERS_FILTER: &str = "$dps/registrations/res/#";
/// Largest request: a registration with a payload.
const PACKET_BYTES_MAX: usize = 72 << 10;

/// Serves a device that registers, to the end of its connection or of its signature. `waiting` is its place
/// among those who have not proven themselves.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    greeting: &Greeting<'_>,
    named: &Named,
    mut pipe: Pipe<S>,
    waiting: Waiting,
    mut stop: watch::Receiver<bool>,
) {
    let Peer::Registration { id_scope, registration } = &named.peer else { return };
    let place = format!("{id_scope}/registrations/{registration}");
    let connect = greeting.call(
        Op::ConnectToRegister,
        named,
        format!("CONNECT {place}"),
        about(id_scope, registration, ""),
        body_of(Bytes::new()),
    );
    let answer = Box::pin(run(greeting.env, connect)).await;
    if answer.status != 200 {
        return pipe.refuse(code_of(&answer)).await;
    }
    waiting.over();
    pipe.put(&Packet::ConnAck { session_present: false, code: ConnectCode::Accepted });
    let topics = Topics::of(Surface::Dps, registration, None);
    let mut hears_answers = false;
    while pipe.flush().await.is_ok() {
        let packet = tokio::select! {
            () = stopped(&mut stop) => break,
            it = timeout(greeting.patience(), pipe.read(PACKET_BYTES_MAX)) => it,
        };
        // Gone, silent for too long, past its signature, or saying what is no packet: there is nobody to tell.
        let Ok(Ok(packet)) = packet else { break };
        match packet {
            Packet::Publish(publish) if publish.qos != Qos::ExactlyOnce => {
                let Some(topic) = topics.find(&publish.topic) else { break };
                let Some(request_id) = value_of(topic.properties, "$rid") else { break };
                let answer = ask(greeting, named, &topic, publish.payload.clone()).await;
                if let Some(id) = publish.id {
                    pipe.put_ack(id);
                }
                if hears_answers {
                    pipe.put(&answered(&answer, request_id));
                }
            }
            Packet::Subscribe { id, filters } => {
                let granted = filters.iter().map(|(filter, qos)| {
                    (filter == ANSWERS_FILTER).then_some((*qos).min(Qos::AtLeastOnce))
                });
                let granted: Vec<Option<Qos>> = granted.collect();
                hears_answers |= granted.iter().any(Option::is_some);
                pipe.put(&Packet::SubAck { id, granted });
            }
            Packet::Unsubscribe { id, filters } => {
                hears_answers &= !filters.iter().any(|it| it == ANSWERS_FILTER);
                pipe.put(&Packet::UnsubAck(id));
            }
            Packet::PingReq => pipe.put(&Packet::PingResp),
            Packet::PubAck(_) => {}
            Packet::Connect(_)
            | Packet::ConnAck { .. }
            | Packet::Publish(_)
            | Packet::SubAck { .. }
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Disconnect
            | Packet::Unsupported(_) => break,
        }
    }
    pipe.close().await;
}

/// Makes a request's call and answers it.
async fn ask(greeting: &Greeting<'_>, named: &Named, topic: &Topic<'_>, payload: Bytes) -> Answer {
    let (id_scope, registration) = match &named.peer {
        Peer::Registration { id_scope, registration } => (id_scope, registration),
        Peer::Device { host, device, .. } => (host, device),
    };
    let op = topic.operation.op;
    let mut about = about(id_scope, registration, "/register");
    let mut body = payload;
    if op == Op::GetRegistrationOperation {
        let operation = value_of(topic.properties, "operationId").unwrap_or("").to_owned();
        about.params.insert("operation", operation);
        body = Bytes::new();
    }
    let request = topic.operation.routes.iter().find(|it| it.method == "PUBLISH");
    let request = format!("PUBLISH {}", request.map_or("", |it| it.path));
    let call = greeting.call(op, named, request, about, body_of(body));
    // Apart: a connection that waits does not take the memory for a call.
    Box::pin(run(greeting.env, call)).await
}

/// The device that registers: its path is the one over HTTPS, which its signature covers.
fn about(id_scope: &str, registration: &str, below: &str) -> About {
    About {
        path: format!("/{id_scope}/registrations/{registration}{below}"),
        params: BTreeMap::from([
            ("idScope", id_scope.to_owned()),
            ("registration", registration.to_owned()),
        ]),
    }
}

fn answered(answer: &Answer, request_id: &str) -> Packet {
    let mut topic = format!("{ANSWERS}{}/?$rid={request_id}", answer.status);
    let retry = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    if let Some((_, seconds)) = retry {
        topic.push_str("&retry-after=");
        topic.push_str(seconds);
    }
    let body = answer.body.as_ref().map_or_else(String::new, ToString::to_string);
    Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: ByteString::from(topic),
        id: None,
        payload: Bytes::from(body),
    })
}
