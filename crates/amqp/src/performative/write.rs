//! Performatives to bytes, every field of each.

use super::{
    Attach, Condition, Disposition, Flow, Outcome, Performative, Role, Terminus, Transfer, code,
};
use crate::encode::encode;
use crate::value::Value;
use bytes::{BufMut, BytesMut};

/// Appends the body of a frame.
pub fn write(performative: &Performative, buffer: &mut BytesMut) {
    let (number, fields) = match performative {
        Performative::Open(it) => (
            code::OPEN,
            vec![
                Value::string(it.container_id.as_str()),
                string(it.hostname.as_deref()),
                uint(it.max_frame_size),
                ushort(it.channel_max),
                uint(it.idle_time_out),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Map(Vec::new()),
            ],
        ),
        Performative::Begin(it) => (
            code::BEGIN,
            vec![
                ushort(it.remote_channel),
                Value::Uint(it.next_outgoing_id),
                Value::Uint(it.incoming_window),
                Value::Uint(it.outgoing_window),
                uint(it.handle_max),
                Value::Null,
                Value::Null,
                Value::Map(Vec::new()),
            ],
        ),
        Performative::Attach(it) => (code::ATTACH, attach(it)),
        Performative::Flow(it) => (code::FLOW, flow(it)),
        Performative::Transfer(it) => {
            described(code::TRANSFER, transfer(it), buffer);
            return buffer.put_slice(&it.payload);
        }
        Performative::Disposition(it) => (code::DISPOSITION, disposition(it)),
        Performative::Detach { handle, closed, error } => (
            code::DETACH,
            vec![Value::Uint(*handle), Value::Bool(*closed), failure(error.as_ref())],
        ),
        Performative::End(error) => (code::END, vec![failure(error.as_ref())]),
        Performative::Close(error) => (code::CLOSE, vec![failure(error.as_ref())]),
        Performative::Mechanisms(all) => (
            code::MECHANISMS,
            vec![Value::Array(all.iter().map(|it| Value::symbol(it.as_str())).collect())],
        ),
        Performative::Init { mechanism, response, hostname } => (
            code::INIT,
            vec![
                Value::symbol(mechanism.as_str()),
                response.clone().map_or(Value::Null, Value::Binary),
                string(hostname.as_deref()),
            ],
        ),
        Performative::Challenge(it) => (code::CHALLENGE, vec![Value::Binary(it.clone())]),
        Performative::Response(it) => (code::RESPONSE, vec![Value::Binary(it.clone())]),
        Performative::Outcome(number) => (code::OUTCOME, vec![Value::Ubyte(*number), Value::Null]),
    };
    described(number, fields, buffer);
}

fn described(number: u64, fields: Vec<Value>, buffer: &mut BytesMut) {
    encode(&Value::described(number, Value::List(fields)), buffer);
}

fn attach(it: &Attach) -> Vec<Value> {
    vec![
        Value::string(it.name.as_str()),
        Value::Uint(it.handle),
        role(it.role),
        Value::Ubyte(it.sender_settles),
        Value::Ubyte(it.receiver_settles),
        terminus(&it.source, code::SOURCE),
        terminus(&it.target, code::TARGET),
        Value::Null,
        Value::Null,
        uint(it.initial_delivery_count),
        it.max_message_size.map_or(Value::Null, Value::Ulong),
        Value::Null,
        it.desired_capabilities.clone(),
        it.properties.clone(),
    ]
}

fn flow(it: &Flow) -> Vec<Value> {
    vec![
        uint(it.next_incoming_id),
        Value::Uint(it.incoming_window),
        Value::Uint(it.next_outgoing_id),
        Value::Uint(it.outgoing_window),
        uint(it.handle),
        uint(it.delivery_count),
        uint(it.link_credit),
        Value::Null,
        Value::Bool(it.drain),
        Value::Bool(it.echo),
        Value::Null,
    ]
}

fn transfer(it: &Transfer) -> Vec<Value> {
    vec![
        Value::Uint(it.handle),
        uint(it.delivery_id),
        it.delivery_tag.clone().map_or(Value::Null, Value::Binary),
        uint(it.message_format),
        it.settled.map_or(Value::Null, Value::Bool),
        Value::Bool(it.more),
        Value::Null,
        Value::Null,
        Value::Bool(false),
        Value::Bool(it.aborted),
        Value::Bool(false),
    ]
}

fn disposition(it: &Disposition) -> Vec<Value> {
    vec![
        role(it.role),
        Value::Uint(it.first),
        uint(it.last),
        Value::Bool(it.settled),
        it.outcome.as_ref().map_or(Value::Null, outcome),
        Value::Bool(false),
    ]
}

fn terminus(it: &Terminus, number: u64) -> Value {
    let mut fields = vec![
        string(it.address.as_deref()),
        Value::Uint(0),
        Value::symbol("session-end"),
        Value::Uint(0),
        Value::Bool(it.is_dynamic),
        Value::Null,
    ];
    match number {
        code::SOURCE => fields.extend([
            Value::Null,
            it.filter.clone().unwrap_or(Value::Null),
            Value::Null,
            Value::Null,
            Value::Null,
        ]),
        _ => fields.push(Value::Null),
    }
    Value::described(number, Value::List(fields))
}

fn outcome(it: &Outcome) -> Value {
    let (number, fields) = match it {
        Outcome::Accepted => (code::ACCEPTED, Vec::new()),
        Outcome::Rejected(error) => (code::REJECTED, vec![failure(error.as_ref())]),
        Outcome::Released => (code::RELEASED, Vec::new()),
        Outcome::Modified { is_failed, is_undeliverable } => (
            code::MODIFIED,
            vec![Value::Bool(*is_failed), Value::Bool(*is_undeliverable), Value::Null],
        ),
        // Nobody here sends one.
        Outcome::Other => return Value::Null,
    };
    Value::described(number, Value::List(fields))
}

fn failure(error: Option<&Condition>) -> Value {
    let Some(Condition { condition, description, info }) = error else { return Value::Null };
    let info = info.iter().map(|(key, value)| (Value::symbol(key.as_str()), value.clone()));
    let fields = vec![
        Value::symbol(condition.as_str()),
        string(description.as_deref()),
        Value::Map(info.collect()),
    ];
    Value::described(code::ERROR, Value::List(fields))
}

const fn role(role: Role) -> Value {
    Value::Bool(matches!(role, Role::Receiver))
}

fn uint(it: Option<u32>) -> Value {
    it.map_or(Value::Null, Value::Uint)
}

fn ushort(it: Option<u16>) -> Value {
    it.map_or(Value::Null, Value::Ushort)
}

fn string(it: Option<&str>) -> Value {
    it.map_or(Value::Null, Value::string)
}
