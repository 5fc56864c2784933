//! Bytes to performatives.

use super::{
    Attach, Begin, Condition, Disposition, Flow, NAME_BYTES_MAX, NotAFrame, Open, Outcome,
    Performative, Role, Terminus, Transfer, code,
};
use crate::decode::decode;
use crate::value::Value;
use bytes::Bytes;

/// Names that may stand in place of the numbers.
const NAMES: &[(&str, u64)] = &[
    ("amqp:open:list", code::OPEN),
    ("amqp:begin:list", code::BEGIN),
    ("amqp:attach:list", code::ATTACH),
    ("amqp:flow:list", code::FLOW),
    ("amqp:transfer:list", code::TRANSFER),
    ("amqp:disposition:list", code::DISPOSITION),
    ("amqp:detach:list", code::DETACH),
    ("amqp:end:list", code::END),
    ("amqp:close:list", code::CLOSE),
    ("amqp:error:list", code::ERROR),
    ("amqp:accepted:list", code::ACCEPTED),
    ("amqp:rejected:list", code::REJECTED),
    ("amqp:released:list", code::RELEASED),
    ("amqp:modified:list", code::MODIFIED),
    ("amqp:source:list", code::SOURCE),
    ("amqp:target:list", code::TARGET),
    ("amqp:sasl-mechanisms:list", code::MECHANISMS),
    ("amqp:sasl-init:list", code::INIT),
    ("amqp:sasl-challenge:list", code::CHALLENGE),
    ("amqp:sasl-response:list", code::RESPONSE),
    ("amqp:sasl-outcome:list", code::OUTCOME),
];

/// The number of a descriptor, and the fields of its list.
fn fields(value: Value) -> Option<(u64, Fields)> {
    let Value::Described(both) = value else { return None };
    let (descriptor, Value::List(list)) = *both else { return None };
    let number = match &descriptor {
        Value::Ulong(number) => *number,
        name => NAMES.iter().find(|(it, _)| name.text() == Some(it)).map(|(_, it)| *it)?,
    };
    Some((number, Fields(list.into_iter())))
}

struct Fields(std::vec::IntoIter<Value>);

type Field<T> = Result<T, NotAFrame>;

impl Fields {
    fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Null)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Field<Option<T>> {
        match self.next() {
            Value::Null => Ok(None),
            value => read(value).map(Some).ok_or(NotAFrame::Field(name)),
        }
    }

    fn uint(&mut self, name: &'static str) -> Field<Option<u32>> {
        self.read(name, |it| if let Value::Uint(it) = it { Some(it) } else { None })
    }

    fn required_uint(&mut self, name: &'static str) -> Field<u32> {
        self.uint(name)?.ok_or(NotAFrame::Field(name))
    }

    fn ushort(&mut self, name: &'static str) -> Field<Option<u16>> {
        self.read(name, |it| if let Value::Ushort(it) = it { Some(it) } else { None })
    }

    fn ubyte(&mut self, name: &'static str) -> Field<Option<u8>> {
        self.read(name, |it| if let Value::Ubyte(it) = it { Some(it) } else { None })
    }

    fn flag(&mut self, name: &'static str) -> Field<Option<bool>> {
        self.read(name, |it| if let Value::Bool(it) = it { Some(it) } else { None })
    }

    fn string(&mut self, name: &'static str) -> Field<Option<String>> {
        self.read(name, |it| if let Value::String(it) = it { Some(it) } else { None })
    }

    fn symbol(&mut self, name: &'static str) -> Field<Option<String>> {
        self.read(name, |it| if let Value::Symbol(it) = it { Some(it) } else { None })
    }

    fn binary(&mut self, name: &'static str) -> Field<Option<Bytes>> {
        self.read(name, |it| if let Value::Binary(it) = it { Some(it) } else { None })
    }

    fn role(&mut self) -> Field<Role> {
        match self.flag("role")? {
            Some(true) => Ok(Role::Receiver),
            Some(false) => Ok(Role::Sender),
            None => Err(NotAFrame::Field("role")),
        }
    }

    fn error(&mut self) -> Field<Option<Condition>> {
        match self.next() {
            Value::Null => Ok(None),
            value => condition(value).map(Some),
        }
    }
}

fn condition(value: Value) -> Field<Condition> {
    let (code::ERROR, mut fields) = fields(value).ok_or(NotAFrame::Field("error"))? else {
        return Err(NotAFrame::Field("error"));
    };
    let condition = fields.symbol("condition")?.ok_or(NotAFrame::Field("condition"))?;
    let description = fields.string("description")?;
    let info = match fields.next() {
        Value::Map(pairs) => pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.text()?.to_owned(), value)))
            .collect(),
        _ => Vec::new(),
    };
    Ok(Condition { condition, description, info })
}

fn outcome(value: Value) -> Outcome {
    match fields(value) {
        Some((code::ACCEPTED, _)) => Outcome::Accepted,
        Some((code::REJECTED, mut fields)) => Outcome::Rejected(fields.error().ok().flatten()),
        Some((code::RELEASED, _)) => Outcome::Released,
        Some((code::MODIFIED, mut fields)) => {
            let mut next = || fields.flag("modified").ok().flatten().unwrap_or(false);
            Outcome::Modified { is_failed: next(), is_undeliverable: next() }
        }
        Some(_) | None => Outcome::Other,
    }
}

fn terminus(value: Value, wanted: u64, name: &'static str) -> Field<Terminus> {
    if value == Value::Null {
        return Ok(Terminus::default());
    }
    let Some((number, mut fields)) = fields(value) else { return Err(NotAFrame::Field(name)) };
    if number != wanted {
        // A coordinator of transactions, which nobody here has: a place that is not there.
        return Ok(Terminus::default());
    }
    let address = match fields.next() {
        Value::String(text) => Some(text),
        _ => None,
    };
    fields.skip(3);
    let is_dynamic = fields.flag("dynamic")?.unwrap_or(false);
    fields.skip(2);
    let filter = match fields.next() {
        map @ Value::Map(_) if wanted == code::SOURCE => Some(map),
        _ => None,
    };
    Ok(Terminus { address, is_dynamic, filter })
}

/// Reads the body of a frame. What stands behind the performative is a transfer's message.
///
/// # Errors
/// [`NotAFrame`].
pub fn read(body: &mut Bytes) -> Result<Performative, NotAFrame> {
    let value = decode(body).map_err(NotAFrame::Value)?;
    let (number, mut fields) = fields(value).ok_or(NotAFrame::Descriptor)?;
    Ok(match number {
        code::OPEN => {
            let container_id = fields.string("container-id")?;
            Performative::Open(Open {
                container_id: container_id.ok_or(NotAFrame::Field("container-id"))?,
                hostname: fields.string("hostname")?,
                max_frame_size: fields.uint("max-frame-size")?,
                channel_max: fields.ushort("channel-max")?,
                idle_time_out: fields.uint("idle-time-out")?,
            })
        }
        code::BEGIN => Performative::Begin(Begin {
            remote_channel: fields.ushort("remote-channel")?,
            next_outgoing_id: fields.required_uint("next-outgoing-id")?,
            incoming_window: fields.required_uint("incoming-window")?,
            outgoing_window: fields.required_uint("outgoing-window")?,
            handle_max: fields.uint("handle-max")?,
        }),
        code::ATTACH => Performative::Attach(Box::new(attach(&mut fields)?)),
        code::FLOW => Performative::Flow(flow(&mut fields)?),
        code::TRANSFER => Performative::Transfer(transfer(&mut fields, body)?),
        code::DISPOSITION => {
            let (role, first) = (fields.role()?, fields.required_uint("first")?);
            let last = fields.uint("last")?;
            let settled = fields.flag("settled")?.unwrap_or(false);
            let outcome = Some(fields.next()).filter(|it| *it != Value::Null).map(outcome);
            Performative::Disposition(Disposition { role, first, last, settled, outcome })
        }
        code::DETACH => Performative::Detach {
            handle: fields.required_uint("handle")?,
            closed: fields.flag("closed")?.unwrap_or(false),
            error: fields.error()?,
        },
        code::END => Performative::End(fields.error()?),
        code::CLOSE => Performative::Close(fields.error()?),
        code::MECHANISMS => Performative::Mechanisms(match fields.next() {
            Value::Symbol(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(|it| it.text().map(str::to_owned)).collect(),
            _ => return Err(NotAFrame::Field("sasl-server-mechanisms")),
        }),
        code::INIT => Performative::Init {
            mechanism: fields.symbol("mechanism")?.ok_or(NotAFrame::Field("mechanism"))?,
            response: fields.binary("initial-response")?,
            hostname: fields.string("hostname")?,
        },
        code::CHALLENGE => {
            let challenge = fields.binary("challenge")?;
            Performative::Challenge(challenge.ok_or(NotAFrame::Field("challenge"))?)
        }
        code::RESPONSE => {
            let response = fields.binary("response")?;
            Performative::Response(response.ok_or(NotAFrame::Field("response"))?)
        }
        code::OUTCOME => {
            Performative::Outcome(fields.ubyte("code")?.ok_or(NotAFrame::Field("code"))?)
        }
        _ => return Err(NotAFrame::Descriptor),
    })
}

fn attach(fields: &mut Fields) -> Field<Attach> {
    let name = fields.string("name")?.filter(|it| it.len() <= NAME_BYTES_MAX);
    Ok(Attach {
        name: name.ok_or(NotAFrame::Field("name"))?,
        handle: fields.required_uint("handle")?,
        role: fields.role()?,
        sender_settles: fields.ubyte("snd-settle-mode")?.unwrap_or(2),
        receiver_settles: fields.ubyte("rcv-settle-mode")?.unwrap_or(0),
        source: terminus(fields.next(), code::SOURCE, "source")?,
        target: terminus(fields.next(), code::TARGET, "target")?,
        initial_delivery_count: {
            fields.skip(2);
            fields.uint("initial-delivery-count")?
        },
        max_message_size: fields.read("max-message-size", |it| {
            if let Value::Ulong(it) = it { Some(it) } else { None }
        })?,
        desired_capabilities: {
            fields.skip(1);
            fields.next()
        },
        properties: fields.next(),
    })
}

fn flow(fields: &mut Fields) -> Field<Flow> {
    Ok(Flow {
        next_incoming_id: fields.uint("next-incoming-id")?,
        incoming_window: fields.required_uint("incoming-window")?,
        next_outgoing_id: fields.required_uint("next-outgoing-id")?,
        outgoing_window: fields.required_uint("outgoing-window")?,
        handle: fields.uint("handle")?,
        delivery_count: fields.uint("delivery-count")?,
        link_credit: fields.uint("link-credit")?,
        drain: {
            fields.skip(1);
            fields.flag("drain")?.unwrap_or(false)
        },
        echo: fields.flag("echo")?.unwrap_or(false),
    })
}

fn transfer(fields: &mut Fields, body: &mut Bytes) -> Field<Transfer> {
    Ok(Transfer {
        handle: fields.required_uint("handle")?,
        delivery_id: fields.uint("delivery-id")?,
        delivery_tag: fields.binary("delivery-tag")?,
        message_format: fields.uint("message-format")?,
        settled: fields.flag("settled")?,
        more: fields.flag("more")?.unwrap_or(false),
        aborted: {
            fields.skip(3);
            fields.flag("aborted")?.unwrap_or(false)
        },
        payload: std::mem::take(body),
    })
}
