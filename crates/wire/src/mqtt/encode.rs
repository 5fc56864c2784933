//! Packets to bytes.

use super::{
    Connect, ConnectCode, FLAGS_OF_REQUESTS, Packet, Publish, Qos, REFUSED, REMAINING_BYTES_MAX,
    TooLong, connect_flags, kind, publish_flags,
};
use bytes::{BufMut, BytesMut};

/// Appends a packet.
///
/// Lengths are checked, contents are taken as they are: ids that are not 0, topics without wildcards. A
/// PUBLISH without an id goes out at QoS 0. [`Packet::Unsupported`] has no bytes, and appends none.
///
/// # Errors
/// [`TooLong`] where a text has more than 65,535 bytes or a body more than [`REMAINING_BYTES_MAX`]; then
/// nothing was appended.
pub fn encode(packet: &Packet, buffer: &mut BytesMut) -> Result<(), TooLong> {
    match packet {
        Packet::Connect(it) => return connect(it, buffer),
        Packet::Publish(it) => return publish(it, buffer),
        Packet::Subscribe { id, filters } => return subscribe(*id, filters, buffer),
        Packet::Unsubscribe { id, filters } => return unsubscribe(*id, filters, buffer),
        Packet::SubAck { id, granted } => return sub_ack(*id, granted, buffer),
        Packet::ConnAck { session_present, code } => {
            let session_present = *session_present && *code == ConnectCode::Accepted;
            buffer.put_slice(&[kind::CONNACK << 4, 2, session_present.into(), *code as u8]);
        }
        Packet::PubAck(id) => encode_puback(*id, buffer),
        Packet::UnsubAck(id) => acknowledge(kind::UNSUBACK, *id, buffer),
        Packet::PingReq => buffer.put_slice(&[kind::PINGREQ << 4, 0]),
        Packet::PingResp => buffer.put_slice(&[kind::PINGRESP << 4, 0]),
        Packet::Disconnect => buffer.put_slice(&[kind::DISCONNECT << 4, 0]),
        Packet::Unsupported(_) => {}
    }
    Ok(())
}

/// Appends a PUBACK.
pub fn encode_puback(id: u16, buffer: &mut BytesMut) {
    acknowledge(kind::PUBACK, id, buffer);
}

fn acknowledge(kind: u8, id: u16, buffer: &mut BytesMut) {
    let [high, low] = id.to_be_bytes();
    buffer.put_slice(&[kind << 4, 2, high, low]);
}

fn publish(publish: &Publish, buffer: &mut BytesMut) -> Result<(), TooLong> {
    let id = publish.id.filter(|_| publish.qos != Qos::AtMostOnce);
    let topic = Field::of("topic", publish.topic.as_bytes())?;
    let mut flags = if publish.retain { publish_flags::RETAIN } else { 0 };
    if id.is_some() {
        flags |= (publish.qos as u8) << publish_flags::QOS_SHIFT;
        flags |= if publish.dup { publish_flags::DUP } else { 0 };
    }
    let id_bytes = if id.is_some() { 2 } else { 0 };
    start(kind::PUBLISH << 4 | flags, topic.size() + id_bytes + publish.payload.len(), buffer)?;
    topic.put(buffer);
    if let Some(id) = id {
        buffer.put_u16(id);
    }
    buffer.put_slice(&publish.payload);
    Ok(())
}

fn connect(connect: &Connect, buffer: &mut BytesMut) -> Result<(), TooLong> {
    let protocol: &[u8] = if connect.protocol_level == 3 { b"MQIsdp" } else { b"MQTT" };
    let protocol = Field::of("protocol name", protocol)?;
    let mut flags = if connect.clean_session { connect_flags::CLEAN_SESSION } else { 0 };
    let mut fields = vec![Field::of("client id", connect.client_id.as_bytes())?];
    if let Some(will) = &connect.will {
        flags |= connect_flags::WILL | (will.qos as u8) << connect_flags::WILL_QOS_SHIFT;
        flags |= if will.retain { connect_flags::WILL_RETAIN } else { 0 };
        fields.push(Field::of("will topic", will.topic.as_bytes())?);
        fields.push(Field::of("will message", &will.payload)?);
    }
    if let Some(user_name) = &connect.user_name {
        flags |= connect_flags::USER_NAME;
        fields.push(Field::of("user name", user_name.as_bytes())?);
    }
    if let Some(password) = &connect.password {
        flags |= connect_flags::PASSWORD;
        fields.push(Field::of("password", password.reveal())?);
    }
    let level_flags_and_keep_alive = 4;
    let size = protocol.size() + level_flags_and_keep_alive + total(&fields);
    start(kind::CONNECT << 4, size, buffer)?;
    protocol.put(buffer);
    buffer.put_slice(&[connect.protocol_level, flags]);
    buffer.put_u16(connect.keep_alive_s);
    fields.iter().for_each(|it| it.put(buffer));
    Ok(())
}

fn subscribe(id: u16, filters: &[(String, Qos)], buffer: &mut BytesMut) -> Result<(), TooLong> {
    let fields = filter_fields(filters.iter().map(|(it, _)| it))?;
    start(kind::SUBSCRIBE << 4 | FLAGS_OF_REQUESTS, 2 + total(&fields) + fields.len(), buffer)?;
    buffer.put_u16(id);
    for (field, (_, qos)) in fields.iter().zip(filters) {
        field.put(buffer);
        buffer.put_u8(*qos as u8);
    }
    Ok(())
}

fn unsubscribe(id: u16, filters: &[String], buffer: &mut BytesMut) -> Result<(), TooLong> {
    let fields = filter_fields(filters.iter())?;
    start(kind::UNSUBSCRIBE << 4 | FLAGS_OF_REQUESTS, 2 + total(&fields), buffer)?;
    buffer.put_u16(id);
    fields.iter().for_each(|it| it.put(buffer));
    Ok(())
}

fn sub_ack(id: u16, granted: &[Option<Qos>], buffer: &mut BytesMut) -> Result<(), TooLong> {
    start(kind::SUBACK << 4, 2 + granted.len(), buffer)?;
    buffer.put_u16(id);
    for it in granted {
        buffer.put_u8(it.map_or(REFUSED, |qos| qos as u8));
    }
    Ok(())
}

/// Appends the first byte and the length of the body, and makes room for the body.
fn start(first: u8, remaining: usize, buffer: &mut BytesMut) -> Result<(), TooLong> {
    if remaining > REMAINING_BYTES_MAX {
        return Err(TooLong { field: "body", bytes: remaining, limit: REMAINING_BYTES_MAX });
    }
    buffer.reserve(5 + remaining);
    buffer.put_u8(first);
    let mut rest = remaining;
    loop {
        let [digit, ..] = (rest & 0x7f).to_le_bytes();
        rest >>= 7;
        match rest {
            0 => break buffer.put_u8(digit),
            _ => buffer.put_u8(digit | 0x80),
        }
    }
    Ok(())
}

/// Bytes that go out behind their length.
struct Field<'a> {
    length: u16,
    bytes: &'a [u8],
}

impl<'a> Field<'a> {
    fn of(field: &'static str, bytes: &'a [u8]) -> Result<Self, TooLong> {
        let too_long = TooLong { field, bytes: bytes.len(), limit: u16::MAX.into() };
        Ok(Self { length: bytes.len().try_into().map_err(|_| too_long)?, bytes })
    }

    const fn size(&self) -> usize {
        2 + self.bytes.len()
    }

    fn put(&self, buffer: &mut BytesMut) {
        buffer.put_u16(self.length);
        buffer.put_slice(self.bytes);
    }
}

fn filter_fields<'a>(filters: impl Iterator<Item = &'a String>) -> Result<Vec<Field<'a>>, TooLong> {
    filters.map(|it| Field::of("filter", it.as_bytes())).collect()
}

fn total(fields: &[Field<'_>]) -> usize {
    fields.iter().map(Field::size).sum()
}
