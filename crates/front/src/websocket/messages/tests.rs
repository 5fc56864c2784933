use super::*;
use futures_util::future::poll_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

type Client = WebSocketStream<DuplexStream>;

const PLENTY: usize = 4 << 20;

async fn pair(allowance: &Allowance) -> (Client, Messages<DuplexStream>) {
    let (client, server) = raw(allowance).await;
    (WebSocketStream::from_raw_socket(client, Role::Client, None).await, server)
}

async fn raw(allowance: &Allowance) -> (DuplexStream, Messages<DuplexStream>) {
    let (client, server) = duplex(PLENTY);
    (client, Messages::new(server, allowance.clone()).await)
}

async fn send(client: &mut Client, message: Message) {
    Pin::new(&mut *client).start_send(message).unwrap();
    poll_fn(|context| Pin::new(&mut *client).poll_flush(context)).await.unwrap();
}

async fn receive(client: &mut Client) -> Option<Message> {
    poll_fn(|context| Pin::new(&mut *client).poll_next(context)).await.map(Result::unwrap)
}

/// A frame of a client, masked with zeros, or of a peer that does not mask.
fn frame(first: u8, is_masked: bool, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 126, "a longer frame has a longer header");
    let mut bytes = vec![first, length | if is_masked { 0x80 } else { 0 }];
    if is_masked {
        bytes.extend([0; 4]);
    }
    bytes.extend(body);
    bytes
}

/// A frame that says how long it is, and what of it is sent.
fn long_frame(first: u8, length: u64, sent: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(sent);
    bytes
}

/// The code of the frame that closes, which is the only one.
async fn closed_with(client: &mut DuplexStream) -> u16 {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.first(), Some(&0x88), "{bytes:x?}");
    u16::from_be_bytes([bytes[2], bytes[3]])
}

#[tokio::test]
async fn bytes_come_in_their_order_whatever_the_messages() {
    let (mut client, mut server) = pair(&Allowance::of(PLENTY)).await;
    for part in [&b"one "[..], b"", b"t", b"wo"] {
        send(&mut client, Message::Binary(Bytes::copy_from_slice(part))).await;
    }
    let mut read = [0; 7];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"one two");

    let long = vec![7; WRITE_BYTES_MAX + 1];
    server.write_all(&long).await.unwrap();
    server.flush().await.unwrap();
    let (first, second) = (receive(&mut client).await, receive(&mut client).await);
    assert_eq!(first.unwrap().into_data(), long[..WRITE_BYTES_MAX]);
    assert_eq!(second.unwrap().into_data().len(), 1);
}

#[tokio::test]
async fn a_ping_is_answered_while_the_stream_waits() {
    let (mut client, mut server) = pair(&Allowance::of(PLENTY)).await;
    send(&mut client, Message::Ping(Bytes::from_static(b"there?"))).await;
    let mut read = [0; 1];
    let waiting = tokio::spawn(async move { server.read(&mut read).await });
    assert_eq!(receive(&mut client).await, Some(Message::Pong(Bytes::from_static(b"there?"))));
    waiting.abort();
}

#[tokio::test]
async fn both_sides_can_say_good_bye() {
    let (mut client, mut server) = pair(&Allowance::of(PLENTY)).await;
    send(&mut client, Message::Close(None)).await;
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(receive(&mut client).await, Some(Message::Close(None)));

    let (mut client, mut server) = pair(&Allowance::of(PLENTY)).await;
    let closing = tokio::spawn(async move { server.shutdown().await });
    assert_eq!(receive(&mut client).await, Some(Message::Close(None)));
    closing.abort();
}

/// Threat 44.
#[tokio::test]
async fn what_a_client_may_not_send_closes_with_the_code_that_says_why() {
    let check = async |sent: &[u8], expected: u16| {
        let (mut client, mut server) = raw(&Allowance::of(PLENTY)).await;
        client.write_all(sent).await.unwrap();
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        drop(server);
        let start = &sent[..sent.len().min(16)];
        assert_eq!(closed_with(&mut client).await, expected, "{start:x?}");
        read
    };
    assert_eq!(check(&frame(0x82, false, b"unmasked"), 1002).await, b"");
    check(&frame(0x81, true, b"text"), 1003).await;
    check(&frame(0x80, true, b"continues nothing"), 1002).await;
    check(&frame(0xc2, true, b"a reserved bit"), 1002).await;
    check(&frame(0x83, true, b"a reserved opcode"), 1002).await;
    check(&frame(0x09, true, b"a ping in pieces"), 1002).await;
    check(&long_frame(0x82, MESSAGE_BYTES_MAX as u64 + 1, b"no more than this"), 1009).await;
    check(&long_frame(0x82, u64::MAX, b""), 1009).await;
    let before = [frame(0x82, true, b"kept"), frame(0x82, false, b"not")].concat();
    assert_eq!(check(&before, 1002).await, b"kept");

    // Fragments add up, and are not kept beyond what a message may have.
    let half = vec![0; MESSAGE_BYTES_MAX / 2];
    let length = half.len() as u64;
    let first = long_frame(0x02, length, &half);
    let (next, last) = (long_frame(0x00, length, &half), frame(0x80, true, b"!"));
    let whole = [&first[..], &long_frame(0x80, length, &half)].concat();
    let (mut client, mut server) = raw(&Allowance::of(PLENTY)).await;
    client.write_all(&whole).await.unwrap();
    server.read_exact(&mut vec![0; MESSAGE_BYTES_MAX]).await.unwrap();
    check(&[first, next, last].concat(), 1009).await;
}

#[tokio::test]
async fn who_has_proven_nothing_sends_no_more_than_allowed() {
    let allowance = Allowance::of(20);
    let (mut client, mut server) = raw(&allowance).await;
    client.write_all(&frame(0x82, true, b"fourteen bytes")).await.unwrap();
    server.read_exact(&mut [0; 14]).await.unwrap();
    client.write_all(&[0x82]).await.unwrap();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    drop(server);
    assert_eq!(closed_with(&mut client).await, 1008);

    let allowance = Allowance::of(20);
    let (mut client, mut server) = raw(&allowance).await;
    for _ in 0..2 {
        client.write_all(&frame(0x82, true, b"fourteen bytes")).await.unwrap();
        allowance.lift();
        server.read_exact(&mut [0; 14]).await.unwrap();
    }
}
