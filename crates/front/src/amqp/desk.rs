//! Requests and their answers: tokens over `$cbs`, questions about events over `$management`.
//!
//! An answer goes over a link on which the client receives from the same address: the one that the request names
//! in `reply-to`, else any. Its correlation id is the request's message id, in the type that it came with: some
//! clients look for no other. Source: the public client libraries; OASIS, "AMQP Claims-based Security".

use super::address::{Audience, Place, Whose};
use super::asking::Asking;
use super::claims::{self, CLAIMS_MAX, Claim};
use super::driver::{Driver, Link};
use super::{condition, messages};
use ::amqp::{Body, Condition, LinkId, Message, Outcome, Properties, Value};
use model::operations::Surface;
use model::{Credential, Op};
use ops::call::Answer;
use std::collections::BTreeMap;

/// What a request comes to.
pub(super) struct Told {
    status: u16,
    description: String,
    /// What the client knows the kind of a refusal by.
    condition: Option<String>,
    body: Value,
}

impl Told {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, description: "OK".to_owned(), condition: None, body }
    }

    /// There is nothing of what was asked for.
    pub(super) fn nothing() -> Self {
        Self { status: 204, ..Self::ok(Value::Null) }
    }

    pub(super) fn no(status: u16, condition: Condition) -> Self {
        let description = condition.description.unwrap_or_default();
        Self { status, description, condition: Some(condition.condition), body: Value::Null }
    }

    pub(super) fn of(answer: &Answer) -> Self {
        Self::no(answer.status, condition::of_answer(answer))
    }

    pub(super) fn malformed(sentence: &str) -> Self {
        Self::no(400, Condition::new("com.microsoft:argument-error", sentence))
    }
}

impl Driver<'_> {
    /// Answers a request that came over a link to `desk`.
    pub(super) async fn requested(
        &mut self,
        link: LinkId,
        desk: &Place,
        delivery: ::amqp::Delivery,
    ) {
        let read = messages::read(delivery.payload);
        if !delivery.settled {
            let outcome = match &read {
                Ok(_) => Outcome::Accepted,
                Err(because) => {
                    let because = messages::described(because);
                    Outcome::Rejected(Some(Condition::new("amqp:decode-error", because)))
                }
            };
            self.engine.settle(link, delivery.id, outcome);
        }
        let Ok(request) = read else { return };
        let told = match desk {
            Place::Cbs => self.put_token(&request).await,
            Place::Bus(place) => self.bus_asked(place, &request).await,
            _ => self.manage(&request).await,
        };
        let mut application = vec![
            (Value::string("status-code"), Value::Int(told.status.into())),
            (Value::string("status-description"), Value::String(told.description)),
        ];
        // Readers of events look under other names.
        let again: Vec<_> = [("statusCode", 0), ("statusDescription", 1)]
            .into_iter()
            .filter_map(|(name, at)| Some((Value::string(name), application.get(at)?.1.clone())))
            .collect();
        application.extend(again);
        if let Some(condition) = told.condition {
            // Clients of Service Bus look under the second name.
            for name in ["error-condition", "errorCondition"] {
                let condition = Value::Symbol(condition.clone());
                application.push((Value::string(name), condition));
            }
        }
        let own = request.properties;
        let answer = Message {
            properties: Properties {
                correlation_id: match own.message_id {
                    Value::Null => own.correlation_id,
                    id => id,
                },
                ..Properties::default()
            },
            application,
            body: Body::Value(told.body),
            ..Message::default()
        };
        if let Some(to) = self.replies(link, desk, own.reply_to.as_deref()) {
            self.tell(to, answer.write()).await;
        }
    }

    /// The link for an answer: of the same session first.
    fn replies(&self, asked: LinkId, desk: &Place, reply_to: Option<&str>) -> Option<LinkId> {
        let of_desk = self.links.iter().filter_map(|(id, it)| match it {
            Link::Replies { desk: its, to, .. } if its == desk => Some((*id, to.as_str())),
            _ => None,
        });
        let fit = |id: &LinkId, to: &str| (Some(to) == reply_to, id.channel == asked.channel);
        of_desk.max_by_key(|(id, to)| fit(id, to)).map(|(id, _)| id)
    }

    async fn put_token(&mut self, request: &Message) -> Told {
        let named = |name: &str| request.property(name).and_then(Value::text);
        match named("operation") {
            Some("put-token") => {}
            Some("delete-token") => return Told::ok(Value::Null),
            _ => return Told::malformed("`operation` is `put-token` here"),
        }
        let Some(name) = named("name") else {
            return Told::malformed("`name` says whom the token is for");
        };
        let Some(audience) = Audience::parse(name) else {
            return Told::malformed("`name` is the address that the token is for");
        };
        let credential = claims::token(request);
        let surface = self.surface(&audience.host);
        let told = match audience.whose.clone() {
            _ if surface == Surface::EventHubs => {
                self.claim(Op::ConnectToEventHub, audience, credential).await
            }
            _ if surface == Surface::ServiceBus => {
                self.claim(Op::ConnectToServiceBus, audience, credential).await
            }
            Whose::Peer(peer) => {
                let host = audience.host.clone();
                match self.connect(peer, &host, credential).await {
                    Ok(()) => return Told::ok(Value::Null),
                    Err(refused) => Told::no(refused.0, refused.1),
                }
            }
            Whose::Service => self.claim(Op::ConnectService, audience, credential).await,
            Whose::Reader(_) => self.claim(Op::ConnectToEvents, audience, credential).await,
        };
        match told.status {
            200 => self.proven(),
            _ => self.refused(),
        }
        told
    }

    /// Takes the credential of a service, where the gates let it in; its links go on by the new one.
    async fn claim(&mut self, op: Op, audience: Audience, credential: Credential) -> Told {
        let first = audience.path.split('/').nth(1).filter(|it| !it.is_empty());
        let params = match first {
            _ if op == Op::ConnectToServiceBus => match Place::of_service_bus(&audience.path) {
                Some(Place::Bus(place)) => place.params(),
                _ => BTreeMap::new(),
            },
            Some(event_hub) if op != Op::ConnectService => {
                BTreeMap::from([("eventHub", event_hub.to_owned())])
            }
            Some(_) | None => BTreeMap::new(),
        };
        let asking = Asking {
            op,
            host: audience.host.clone(),
            verb: "PUT-TOKEN",
            path: format!("{}/", audience.path.trim_end_matches('/')),
            params,
            credential: credential.clone(),
        };
        let answer = Box::pin(ops::call::run(self.env, self.call(asking))).await;
        if answer.status != 200 {
            return Told::of(&answer);
        }
        if !self.claims.put(Claim { audience: audience.clone(), credential: credential.clone() }) {
            let sentence = format!("a connection has at most {CLAIMS_MAX} tokens");
            return Told::no(403, Condition::new("amqp:resource-limit-exceeded", sentence));
        }
        self.renew(&audience, &credential).await;
        Told::ok(Value::Null)
    }

    /// Takes what SASL PLAIN shows: for all of the hub at the connection's address.
    pub(super) async fn claim_all(&mut self, credential: Credential) -> bool {
        let audience = Audience { host: String::new(), path: String::new(), whose: Whose::Service };
        let told = self.claim(Op::ConnectService, audience, credential).await;
        if told.status == 200 {
            self.proven();
        }
        told.status == 200
    }

    /// Answers what a reader asks before it reads.
    async fn manage(&mut self, request: &Message) -> Told {
        let named =
            |name: &str| request.property(name).and_then(messages::text).unwrap_or_default();
        let path = format!("/{}/$management", named("name"));
        let is_of_hub = self.surface(&self.claims.shown(&path).0) == Surface::Hub;
        let (op, verb) = match (named("operation").as_str(), named("type").as_str()) {
            ("READ", "com.microsoft:eventhub") => {
                let op = if is_of_hub { Op::GetEventHub } else { Op::DescribeEventHub };
                (op, "READ com.microsoft:eventhub")
            }
            ("READ", "com.microsoft:partition") => {
                let op = if is_of_hub { Op::GetEventHubPartition } else { Op::DescribePartition };
                (op, "READ com.microsoft:partition")
            }
            _ => return Told::malformed("only hubs and partitions can be read here"),
        };
        let name = named("name");
        let (host, credential) = self.claims.shown(&path);
        let params = BTreeMap::from([("eventHub", name), ("partition", named("partition"))]);
        let asking = Asking { op, host, verb, path, params, credential };
        let answer = Box::pin(ops::call::run(self.env, self.call(asking))).await;
        match &answer.body {
            Some(body) if answer.status == 200 => Told::ok(shown(op, body)),
            Some(_) | None => Told::of(&answer),
        }
    }
}

/// What the operation shows, in the types and under the names that readers know.
fn shown(op: Op, body: &serde_json::Value) -> Value {
    let text = |name: &str| Value::string(body[name].as_str().unwrap_or(""));
    let long = |name: &str, none| body[name].as_i64().unwrap_or(none);
    let pair = |name: &str, value| (Value::string(name), value);
    let name = pair("name", text("name"));
    if matches!(op, Op::GetEventHub | Op::DescribeEventHub) {
        let ids: Vec<Value> = body["partitionIds"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it.as_str().map(Value::string))
            .collect();
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        return Value::Map(vec![
            name,
            pair("type", Value::string("com.microsoft:eventhub")),
            pair("created_at", Value::Timestamp(long("createdAt", 0))),
            pair("partition_count", Value::Int(count)),
            pair("partition_ids", Value::Array(ids)),
            pair("georeplication_factor", Value::Int(1)),
        ]);
    }
    let offset = body["lastOffset"].as_u64().map_or_else(|| "-1".to_owned(), |it| it.to_string());
    Value::Map(vec![
        name,
        pair("type", Value::string("com.microsoft:partition")),
        pair("partition", text("partition")),
        pair("begin_sequence_number", Value::Long(long("beginSequence", 0))),
        pair("last_enqueued_sequence_number", Value::Long(long("lastSequence", -1))),
        pair("last_enqueued_offset", Value::String(offset)),
        pair("last_enqueued_time_utc", Value::Timestamp(long("lastEnqueued", 0))),
        pair("is_partition_empty", Value::Bool(body["isEmpty"].as_bool().unwrap_or(true))),
    ])
}
