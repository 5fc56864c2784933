//! Tests of one connection: what a peer can do to it, and that it ends.

use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::client::conn::http2 as client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

struct Peer {
    stream: DuplexStream,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// Answers with the path; `/slow` takes 5 s, `/never` for ever, `/panic` panics, `/large` is 8 MiB.
async fn answer(request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/slow" => sleep(Duration::from_secs(5)).await,
        "/never" => std::future::pending().await,
        "/panic" => panic!("as it happens"),
        "/large" => return Response::new(Sent::Whole(Full::new(Bytes::from(vec![b'a'; 8 << 20])))),
        _ => {}
    }
    Response::new(Sent::Whole(Full::new(Bytes::from(path))))
}

fn connect(protocol: Protocol) -> Peer {
    let (stream, far) = tokio::io::duplex(64 << 10);
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(converse(far, protocol, stopping, answer));
    Peer { stream, stop, server }
}

impl Peer {
    async fn send(&mut self, text: &str) {
        // The server may close before it has taken everything.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// What comes until the server closes, and how long that takes.
    async fn rest(mut self) -> (String, Duration) {
        let started = Instant::now();
        let mut text = String::new();
        let _ = self.stream.read_to_string(&mut text).await;
        let _ = self.server.await;
        (text, started.elapsed())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(self.stream.read_u8().await.unwrap()));
        }
        line
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_answers_and_is_kept_for_a_while() {
    let mut peer = connect(Protocol::Http1);
    peer.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let (text, took) = peer.rest().await;
    assert!(text.contains("\r\n\r\n/a") && text.contains("\r\n\r\n/b"), "{text}");
    assert!(text.contains("content-length: 2\r\n"), "{text}");
    assert_eq!(took, HEADER_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_closed_at_a_deadline() {
    assert_eq!(connect(Protocol::Http1).rest().await, (String::new(), HEADER_DEADLINE));
    let (_, took) = connect(Protocol::Http2).rest().await;
    assert!(took >= IDLE && took <= IDLE * 2 + DRAIN, "{took:?}");
}

/// Threat 37.
#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_closed_at_the_same_deadline() {
    let mut peer = connect(Protocol::Http1);
    peer.send("GET / HTTP/1.1\r\n").await;
    let started = Instant::now();
    while peer.stream.write_all(b"a: b\r\n").await.is_ok() {
        sleep(Duration::from_secs(7)).await;
    }
    assert!(
        started.elapsed() <= HEADER_DEADLINE + Duration::from_secs(7),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_past_the_limit_is_refused() {
    let mut peer = connect(Protocol::Http1);
    peer.send(&format!("GET /ok HTTP/1.1\r\na: {}\r\n\r\n", "a".repeat(HEADER_BYTES_MAX - 30)))
        .await;
    assert!(peer.line().await.contains("200"));
    let mut peer = connect(Protocol::Http1);
    peer.send(&format!("GET / HTTP/1.1\r\na: {}\r\n", "a".repeat(HEADER_BYTES_MAX))).await;
    assert!(peer.line().await.contains("431"));
    let mut peer = connect(Protocol::Http1);
    peer.send(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1))).await;
    assert!(peer.line().await.contains("431"));
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let mut first = connect(Protocol::Http1);
    let mut second = connect(Protocol::Http1);
    first.send("GET /panic HTTP/1.1\r\n\r\n").await;
    assert_eq!(first.rest().await.0, "");
    second.send("GET /a HTTP/1.1\r\n\r\n").await;
    assert!(second.line().await.contains("200"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_idle_connections_and_waits_for_running_calls() {
    let idle = connect(Protocol::Http1);
    idle.stop.send(true).unwrap();
    assert!(idle.rest().await.1 <= LINGER);

    let mut busy = connect(Protocol::Http1);
    busy.send("GET /slow HTTP/1.1\r\n\r\n").await;
    sleep(Duration::from_millis(1)).await;
    busy.stop.send(true).unwrap();
    let (text, _) = busy.rest().await;
    assert!(text.contains("200") && text.ends_with("/slow"), "{text}");
    assert!(text.contains("connection: close"), "{text}");

    let mut stuck = connect(Protocol::Http1);
    stuck.send("GET /never HTTP/1.1\r\n\r\n").await;
    sleep(Duration::from_millis(1)).await;
    stuck.stop.send(true).unwrap();
    assert_eq!(stuck.rest().await, (String::new(), DRAIN));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_answer_is_closed() {
    let mut peer = connect(Protocol::Http1);
    peer.send("GET /large HTTP/1.1\r\n\r\n").await;
    let started = Instant::now();
    peer.server.await.unwrap();
    assert!(started.elapsed() <= IDLE * 2 + DRAIN, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn http2_answers_many_requests_at_once_and_ends_with_the_stop() {
    let Peer { stream, stop, server } = connect(Protocol::Http2);
    let (mut sender, connection) =
        client::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let ask = |path: &str| Request::get(format!("https://h{path}")).body(Full::default()).unwrap();
    let slow = sender.send_request(ask("/slow"));
    let panicking = sender.send_request(ask("/panic"));
    let quick = sender.send_request(ask("/a"));
    let response = quick.await.unwrap();
    assert_eq!(response.headers()["content-length"], "2");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "/a");
    assert!(panicking.await.is_err());
    stop.send(true).unwrap();
    assert_eq!(slow.await.unwrap().status(), 200);
    server.await.unwrap();
    let _ = connection.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_past_the_limit_is_refused_over_http2() {
    let Peer { stream, stop: _stop, server: _server } = connect(Protocol::Http2);
    let (mut sender, connection) = client::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request =
        Request::get("https://h/a").header("a", "a".repeat(HEADER_BYTES_MAX)).body(Full::default());
    let refused = sender.send_request(request.unwrap()).await;
    assert!(refused.map_or(true, |it| it.status() == 431));
}
