//! Bytes to packets.

use super::{
    ByteString, Connect, ConnectCode, FILTERS_MAX, FLAGS_OF_REQUESTS, NotMqtt, Packet, Publish,
    Qos, REFUSED, Will, connect_flags, kind, publish_flags,
};
use bytes::{Buf, Bytes, BytesMut};
use model::Secret;

/// Takes the first packet off the front of `buffer`, or nothing where it is not whole yet.
///
/// `limit` is the most bytes of a body, after its length. A PUBLISH copies nothing: its topic and payload are
/// parts of the buffer. After an error the buffer is of no use, since nobody knows where the next packet starts.
///
/// # Errors
/// [`NotMqtt`], as early as the bytes show it: the first byte and the length are judged before the body is there.
pub fn decode(buffer: &mut BytesMut, limit: usize) -> Result<Option<Packet>, NotMqtt> {
    let Some((&first, after)) = buffer.split_first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0f);
    let packet = name_and_check(kind, flags)?;
    let Some((remaining, digits)) = remaining_length(packet, after)? else { return Ok(None) };
    if remaining > limit {
        return Err(NotMqtt::TooLong { bytes: remaining, limit });
    }
    let Some(body) = after.get(digits..digits + remaining) else { return Ok(None) };
    let mut body = Body { packet, bytes: body };
    let header_bytes = 1 + digits;
    let packet = match kind {
        kind::PUBLISH => return publish(flags, header_bytes, remaining, buffer).map(Some),
        kind::PUBACK => Packet::PubAck(body.id()?),
        kind::CONNECT => Packet::Connect(connect(&mut body)?),
        kind::CONNACK => conn_ack(&mut body)?,
        kind::SUBSCRIBE => subscribe(&mut body)?,
        kind::SUBACK => sub_ack(&mut body)?,
        kind::UNSUBSCRIBE => unsubscribe(&mut body)?,
        kind::UNSUBACK => Packet::UnsubAck(body.id()?),
        kind::PINGREQ => Packet::PingReq,
        kind::PINGRESP => Packet::PingResp,
        kind::DISCONNECT => Packet::Disconnect,
        other => {
            body.id()?;
            Packet::Unsupported(other)
        }
    };
    body.end()?;
    buffer.advance(header_bytes + remaining);
    Ok(Some(packet))
}

/// What the standard calls packets of this type; checks the flags, which all but PUBLISH have fixed.
fn name_and_check(kind: u8, flags: u8) -> Result<&'static str, NotMqtt> {
    let (packet, wanted) = match kind {
        kind::CONNECT => ("CONNECT", 0),
        kind::CONNACK => ("CONNACK", 0),
        kind::PUBLISH => return check_publish_flags(flags),
        kind::PUBACK => ("PUBACK", 0),
        kind::PUBREC => ("PUBREC", 0),
        kind::PUBREL => ("PUBREL", FLAGS_OF_REQUESTS),
        kind::PUBCOMP => ("PUBCOMP", 0),
        kind::SUBSCRIBE => ("SUBSCRIBE", FLAGS_OF_REQUESTS),
        kind::SUBACK => ("SUBACK", 0),
        kind::UNSUBSCRIBE => ("UNSUBSCRIBE", FLAGS_OF_REQUESTS),
        kind::UNSUBACK => ("UNSUBACK", 0),
        kind::PINGREQ => ("PINGREQ", 0),
        kind::PINGRESP => ("PINGRESP", 0),
        kind::DISCONNECT => ("DISCONNECT", 0),
        other => return Err(NotMqtt::Type(other)),
    };
    match flags == wanted {
        true => Ok(packet),
        false => Err(malformed(packet, "flags", "are not the ones that it must have")),
    }
}

fn check_publish_flags(flags: u8) -> Result<&'static str, NotMqtt> {
    let packet = "PUBLISH";
    match qos(flags >> publish_flags::QOS_SHIFT & 0b11) {
        None => Err(malformed(packet, "flags", "ask for QoS 3")),
        Some(Qos::AtMostOnce) if flags & publish_flags::DUP != 0 => {
            Err(malformed(packet, "flags", "say DUP at QoS 0"))
        }
        Some(_) => Ok(packet),
    }
}

/// The length of the body, and how many bytes say it; nothing where they are not all there.
fn remaining_length(packet: &'static str, bytes: &[u8]) -> Result<Option<(usize, usize)>, NotMqtt> {
    let mut length = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((length, place + 1)));
        }
    }
    match bytes.len() {
        0..4 => Ok(None),
        _ => Err(malformed(packet, "remaining length", "takes more than four bytes")),
    }
}

/// The rest of a PUBLISH, whose header was checked and which is there as a whole.
fn publish(
    flags: u8,
    header_bytes: usize,
    remaining: usize,
    buffer: &mut BytesMut,
) -> Result<Packet, NotMqtt> {
    let mut frame = buffer.split_to(header_bytes + remaining);
    frame.advance(header_bytes);
    let mut body = Body { packet: "PUBLISH", bytes: &frame };
    let topic_bytes = body.topic("topic")?.len();
    let qos = qos(flags >> publish_flags::QOS_SHIFT & 0b11).unwrap_or(Qos::AtMostOnce);
    let id = match qos {
        Qos::AtMostOnce => None,
        Qos::AtLeastOnce | Qos::ExactlyOnce => Some(body.id()?),
    };
    frame.advance(2);
    let topic = ByteString::try_from(frame.split_to(topic_bytes).freeze())
        .map_err(|_| malformed("PUBLISH", "topic", NOT_UTF8))?;
    if id.is_some() {
        frame.advance(2);
    }
    Ok(Packet::Publish(Publish {
        dup: flags & publish_flags::DUP != 0,
        qos,
        retain: flags & publish_flags::RETAIN != 0,
        topic,
        id,
        payload: frame.freeze(),
    }))
}

fn connect(body: &mut Body<'_>) -> Result<Connect, NotMqtt> {
    let name = body.field("protocol name")?;
    let protocol_level = match (name, body.byte("protocol level")?) {
        (b"MQTT", 4) => 4,
        (b"MQIsdp", 3) => 3,
        (b"MQTT" | b"MQIsdp", other) => return Err(NotMqtt::ProtocolLevel(other)),
        _ => return Err(body.fault("protocol name", "is not `MQTT`")),
    };
    let flags = body.byte("flags")?;
    let has = |flag: u8| flags & flag != 0;
    let will_qos = qos(flags >> connect_flags::WILL_QOS_SHIFT & 0b11);
    let has_will = has(connect_flags::WILL);
    if has(connect_flags::RESERVED) {
        return Err(body.fault("flags", "set the reserved bit"));
    }
    let Some(will_qos) = will_qos else {
        return Err(body.fault("flags", "ask for a will at QoS 3"));
    };
    if !has_will && (will_qos != Qos::AtMostOnce || has(connect_flags::WILL_RETAIN)) {
        return Err(body.fault("flags", "describe a will that is not there"));
    }
    if has(connect_flags::PASSWORD) && !has(connect_flags::USER_NAME) {
        return Err(body.fault("flags", "announce a password without a user name"));
    }
    let keep_alive_s = body.number("keep alive")?;
    let client_id = body.text("client id")?.to_owned();
    let will = match has_will {
        false => None,
        true => Some(Will {
            topic: body.text_of_topic("will topic")?.to_owned(),
            payload: Bytes::copy_from_slice(body.field("will message")?),
            qos: will_qos,
            retain: has(connect_flags::WILL_RETAIN),
        }),
    };
    let user_name = match has(connect_flags::USER_NAME) {
        false => None,
        true => Some(body.text("user name")?.to_owned()),
    };
    let password = match has(connect_flags::PASSWORD) {
        false => None,
        true => Some(Secret::new(body.field("password")?.to_vec())),
    };
    let clean_session = has(connect_flags::CLEAN_SESSION);
    Ok(Connect {
        protocol_level,
        clean_session,
        keep_alive_s,
        client_id,
        will,
        user_name,
        password,
    })
}

fn conn_ack(body: &mut Body<'_>) -> Result<Packet, NotMqtt> {
    let flags = body.byte("flags")?;
    let code = match body.byte("code")? {
        0 => ConnectCode::Accepted,
        1 => ConnectCode::UnacceptableProtocol,
        2 => ConnectCode::IdentifierRejected,
        3 => ConnectCode::ServerUnavailable,
        4 => ConnectCode::BadUserNameOrPassword,
        5 => ConnectCode::NotAuthorized,
        _ => return Err(body.fault("code", "is none of MQTT 3.1.1")),
    };
    match (flags, code) {
        (0, _) => Ok(Packet::ConnAck { session_present: false, code }),
        (1, ConnectCode::Accepted) => Ok(Packet::ConnAck { session_present: true, code }),
        (1, _) => Err(body.fault("flags", "tell of a session although it refuses")),
        _ => Err(body.fault("flags", "set a reserved bit")),
    }
}

fn subscribe(body: &mut Body<'_>) -> Result<Packet, NotMqtt> {
    let id = body.id()?;
    let filters = body.filters(|body| {
        let filter = body.filter()?;
        let asked = qos(body.byte("QoS")?);
        asked.map(|it| (filter, it)).ok_or_else(|| body.fault("QoS", "is none of 0, 1 and 2"))
    })?;
    Ok(Packet::Subscribe { id, filters })
}

fn sub_ack(body: &mut Body<'_>) -> Result<Packet, NotMqtt> {
    let id = body.id()?;
    let codes = std::mem::take(&mut body.bytes);
    if codes.is_empty() {
        return Err(body.fault("list of codes", "is empty"));
    }
    let granted = codes.iter().map(|&code| match (code, qos(code)) {
        (REFUSED, _) => Ok(None),
        (_, Some(qos)) => Ok(Some(qos)),
        (_, None) => Err(body.fault("code", "is none of MQTT 3.1.1")),
    });
    Ok(Packet::SubAck { id, granted: granted.collect::<Result<_, _>>()? })
}

fn unsubscribe(body: &mut Body<'_>) -> Result<Packet, NotMqtt> {
    let id = body.id()?;
    Ok(Packet::Unsubscribe { id, filters: body.filters(Body::filter)? })
}

fn qos(number: u8) -> Option<Qos> {
    match number {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}

const NOT_UTF8: &str = "is not UTF-8";
const HAS_NUL: &str = "holds the character U+0000";

const fn malformed(packet: &'static str, field: &'static str, fault: &'static str) -> NotMqtt {
    NotMqtt::Malformed { packet, field, fault }
}

/// What is left to read of a packet's body.
struct Body<'a> {
    packet: &'static str,
    bytes: &'a [u8],
}

impl<'a> Body<'a> {
    const fn fault(&self, field: &'static str, fault: &'static str) -> NotMqtt {
        malformed(self.packet, field, fault)
    }

    fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], NotMqtt> {
        let (taken, rest) =
            self.bytes.split_at_checked(length).ok_or(self.fault(field, "is cut off"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, NotMqtt> {
        let (&byte, rest) = self.bytes.split_first().ok_or(self.fault(field, "is cut off"))?;
        self.bytes = rest;
        Ok(byte)
    }

    fn number(&mut self, field: &'static str) -> Result<u16, NotMqtt> {
        Ok(u16::from_be_bytes([self.byte(field)?, self.byte(field)?]))
    }

    fn id(&mut self) -> Result<u16, NotMqtt> {
        match self.number("packet id")? {
            0 => Err(self.fault("packet id", "is 0")),
            id => Ok(id),
        }
    }

    /// Bytes behind their length.
    fn field(&mut self, field: &'static str) -> Result<&'a [u8], NotMqtt> {
        let length = self.number(field)?;
        self.take(field, length.into())
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, NotMqtt> {
        let bytes = self.field(field)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault(field, NOT_UTF8))?;
        match bytes.contains(&0) {
            true => Err(self.fault(field, HAS_NUL)),
            false => Ok(text),
        }
    }

    /// The bytes of a name of a topic. Whether they are UTF-8 is left to the caller.
    fn topic(&mut self, field: &'static str) -> Result<&'a [u8], NotMqtt> {
        let topic = self.field(field)?;
        // Without an early end, so that it runs over many bytes at once.
        let is_odd = |it: &u8| matches!(it, 0 | b'+' | b'#');
        let has_odd = topic.iter().fold(false, |found, it| found | is_odd(it));
        match (topic.is_empty(), has_odd) {
            (true, _) => Err(self.fault(field, "is empty")),
            (false, true) if topic.contains(&0) => Err(self.fault(field, HAS_NUL)),
            (false, true) => Err(self.fault(field, "holds a wildcard")),
            (false, false) => Ok(topic),
        }
    }

    fn text_of_topic(&mut self, field: &'static str) -> Result<&'a str, NotMqtt> {
        let bytes = self.topic(field)?;
        std::str::from_utf8(bytes).map_err(|_| self.fault(field, NOT_UTF8))
    }

    /// A filter of topics: `+` is a whole level, `#` the last one.
    fn filter(&mut self) -> Result<String, NotMqtt> {
        let filter = self.text("filter")?;
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            match level {
                "+" => {}
                "#" if levels.peek().is_none() => {}
                "#" => return Err(self.fault("filter", "holds a `#` that is not its last level")),
                _ if level.contains(['+', '#']) => {
                    return Err(self.fault("filter", "holds a wildcard that is not a whole level"));
                }
                _ => {}
            }
        }
        match filter.is_empty() {
            true => Err(self.fault("filter", "is empty")),
            false => Ok(filter.to_owned()),
        }
    }

    /// Reads one after the other to the end of the body: at least one, at most [`FILTERS_MAX`].
    fn filters<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, NotMqtt>,
    ) -> Result<Vec<T>, NotMqtt> {
        let mut filters = Vec::new();
        while !self.bytes.is_empty() {
            if filters.len() == FILTERS_MAX {
                return Err(self.fault("list of filters", "is longer than 256"));
            }
            filters.push(read(self)?);
        }
        match filters.is_empty() {
            true => Err(self.fault("list of filters", "is empty")),
            false => Ok(filters),
        }
    }

    fn end(&self) -> Result<(), NotMqtt> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(self.fault("body", "goes on behind its last field")),
        }
    }
}
