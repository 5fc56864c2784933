//! A device that registers over AMQP: each of its two requests is a call like one over HTTPS, and proves it anew.
//!
//! It shows a signature with SASL PLAIN or TPM, or a certificate in its handshake, and attaches two links at the address of
//! its registration. Over one it asks, over the other it is answered, by the id that it gave its request. A request
//! that is refused is rejected, with the body that HTTPS would have: some clients read it, and none shows why SASL or
//! a link was refused. Source: the public client libraries of the provisioning service.

use super::address::Registrant;
use super::asking::Asking;
use super::condition;
use super::driver::{Driver, Link};
use super::messages;
use ::amqp::{Body, Condition, Delivery, LinkId, Message, Outcome, Properties, Value};
use bytes::Bytes;
use model::{Credential, Op, Timestamp};
use ops::Call;
use ops::call::{Answer, run};

/// Properties of requests.
const OPERATION_TYPE: &str = "iotdps-operation-type";
const OPERATION_ID: &str = "iotdps-operation-id";
/// And of answers.
const STATUS: &str = "iotdps-status";
const RETRY_AFTER: &str = "retry-after";
/// The same as .NET's client looks for it.
const RETRY_AFTER_NET: &str = "Retry-After";

impl Driver<'_> {
    /// Makes the call of a request and answers it.
    pub(super) async fn registration_asked(
        &mut self,
        link: LinkId,
        registrant: &Registrant,
        delivery: Delivery,
    ) {
        let Delivery { id, settled, payload, .. } = delivery;
        let read = messages::read(payload)
            .map_err(|because| Condition::new("amqp:decode-error", messages::described(&because)));
        let call = read.and_then(|it| {
            let call = self.call_of(registrant, &it)?;
            Ok((call, it.properties.correlation_id))
        });
        let asked = match call {
            Ok((call, correlation_id)) => match run(self.env, call).await {
                answer if answer.error.is_some() => {
                    // Whoever is known may be wrong as often as it likes.
                    if answer.status == 401 {
                        self.refused();
                    }
                    Err(refusal(&answer))
                }
                answer => {
                    self.proven();
                    Ok(answered(&answer, correlation_id))
                }
            },
            Err(why) => Err(why),
        };
        let (outcome, answer) = match asked {
            Ok(answer) => (Outcome::Accepted, Some(answer)),
            Err(why) => (Outcome::Rejected(Some(why)), None),
        };
        if !settled {
            self.engine.settle(link, id, outcome);
        }
        let to = self.links.iter().find_map(|(id, it)| match it {
            Link::RegistrationAnswers { registrant: its, .. } if its == registrant => Some(*id),
            _ => None,
        });
        if let (Some(to), Some(answer)) = (to, answer) {
            self.tell(to, answer.write()).await;
        }
    }

    /// What a request asks for.
    fn call_of(&self, registrant: &Registrant, request: &Message) -> Result<Call, Condition> {
        let named = |name: &str| request.property(name).and_then(Value::text).unwrap_or("");
        match named(OPERATION_TYPE) {
            "iotdps-register" => {
                let body = request.data().unwrap_or_default();
                Ok(self.of_registrant(Op::RegisterDevice, "PUT", registrant, body))
            }
            "iotdps-get-operationstatus" => {
                let op = Op::GetRegistrationOperation;
                let mut call = self.of_registrant(op, "GET", registrant, Bytes::new());
                call.params.insert("operation", named(OPERATION_ID).to_owned());
                Ok(call)
            }
            _ => {
                let what = format!("`{OPERATION_TYPE}` is no operation of a device that registers");
                Err(Condition::new("com.microsoft:argument-error", what))
            }
        }
    }

    /// A call of the device: its path is the one over HTTPS, which its signature covers, and what it came by the
    /// address of its links.
    pub(super) fn of_registrant(
        &self,
        op: Op,
        verb: &'static str,
        registrant: &Registrant,
        body: Bytes,
    ) -> Call {
        let credential = match &self.registers {
            Some((its, credential)) if its == registrant => credential.clone(),
            Some(_) => Credential::None,
            None => self.own.clone(),
        };
        let asking = Asking {
            op,
            host: ops::provisioning::host_of(self.env, &registrant.id_scope).unwrap_or_default(),
            verb,
            path: registrant.path(),
            params: registrant.params(),
            credential,
        };
        let mut call = self.call_with(asking, body);
        call.path.push_str("/register");
        call
    }

    /// When the signature of whoever registers ends.
    pub(super) fn registration_ends(&self) -> Option<Timestamp> {
        match &self.registers {
            Some((_, Credential::Sas(token))) => Some(token.expiry),
            Some(_) | None => None,
        }
    }

    /// Ends the links of a registration with the signature that they came by.
    pub(super) async fn look_at_registrations(&mut self) {
        if self.registration_ends().is_none_or(|it| self.env.now() <= it) {
            return;
        }
        let its = self.links.iter().filter(|(_, it)| it.registrant().is_some());
        for link in its.map(|(id, _)| *id).collect::<Vec<_>>() {
            let what = "the shared access signature expired";
            self.drop_link(link, Condition::new("amqp:unauthorized-access", what)).await;
        }
        self.registers = None;
    }
}

impl Link {
    /// Who registers over it, where somebody does.
    fn registrant(&self) -> Option<&Registrant> {
        match self {
            Self::RegistrationRequests(registrant)
            | Self::RegistrationAnswers { registrant, .. } => Some(registrant),
            _ => None,
        }
    }
}

/// Why a request is refused: in its description the whole body, by which clients know a number and an id.
fn refusal(answer: &Answer) -> Condition {
    let mut described = condition::of_answer(answer);
    if let Some(seconds) = retry_after_s(answer) {
        described = described.with(RETRY_AFTER_NET, Value::Int(seconds));
    }
    match &answer.body {
        Some(body) => Condition { description: Some(body.to_string()), ..described },
        None => described,
    }
}

fn retry_after_s(answer: &Answer) -> Option<i32> {
    let header = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(RETRY_AFTER));
    header.and_then(|(_, it)| it.parse().ok())
}

fn answered(answer: &Answer, correlation_id: Value) -> Message {
    let mut application = vec![(Value::string(STATUS), Value::Int(answer.status.into()))];
    if let Some(seconds) = retry_after_s(answer) {
        let both = [RETRY_AFTER, RETRY_AFTER_NET];
        application.extend(both.map(|it| (Value::string(it), Value::Int(seconds))));
    }
    let body = answer.body.as_ref().map_or_else(String::new, ToString::to_string);
    Message {
        properties: Properties {
            correlation_id,
            content_type: Some("application/json".to_owned()),
            ..Properties::default()
        },
        application,
        body: Body::Data(vec![Bytes::from(body)]),
        ..Message::default()
    }
}
