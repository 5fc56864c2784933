//! One call over HTTP: to an address that was looked at, within a time, with an answer of a bounded length.
//!
//! An answer that leads elsewhere is not followed: where it leads was allowed by nobody.

use crate::client::{ANSWER_BYTES_MAX, Client, EgressError, failed};
use crate::target::Target;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// What we call ourselves.
pub(crate) const AGENT: &str = concat!("hubward/", env!("CARGO_PKG_VERSION"));

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Client {
    /// Posts a body of JSON, and waits so long for the whole answer.
    ///
    /// # Errors
    /// [`EgressError`], which never names what is secret in the target.
    pub async fn post(
        &self,
        target: &Target,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, EgressError> {
        let posted = tokio::time::timeout(within, self.posted(target, body)).await;
        posted.unwrap_or(Err(EgressError::TimedOut))
    }

    async fn posted(&self, target: &Target, body: Bytes) -> Result<Answer, EgressError> {
        let request = Request::post(&target.path)
            .header(HOST, &target.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT)
            .body(Full::new(body))
            .map_err(|it| failed(&it))?;
        let answer = self.open(target).await?.ask(request, ANSWER_BYTES_MAX).await?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.into_body() })
    }

    /// A connection to where a target is.
    pub(crate) async fn open(&self, target: &Target) -> Result<Open, EgressError> {
        self.check(target)?;
        let stream = self.dial(&target.host, target.port).await?;
        match target.is_tls {
            true => Open::over(self.secure(&target.host, stream).await?).await,
            false => Open::over(stream).await,
        }
    }
}

/// A connection, for one call after another.
pub(crate) struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// What drives it; it ends with this.
    _driver: JoinSet<()>,
}

impl Open {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, EgressError> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|it| failed(&it))?;
        let mut driver = JoinSet::new();
        // Its errors come out of the calls, too.
        driver.spawn(async { drop(connection.await) });
        Ok(Self { sender, _driver: driver })
    }

    /// Asks, and takes a whole answer of at most so many bytes.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        answer_bytes_max: usize,
    ) -> Result<Response<Bytes>, EgressError> {
        self.sender.ready().await.map_err(|it| failed(&it))?;
        let answer = self.sender.send_request(request).await.map_err(|it| failed(&it))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, answer_bytes_max).collect().await;
        let body = body.map_err(|it| match it.is::<http_body_util::LengthLimitError>() {
            true => EgressError::TooLong,
            false => EgressError::Failed(it.to_string()),
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rule;
    use std::path::PathBuf;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one call with `answer`, and tells what it was asked.
    async fn server(answer: String) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"{}") {
                let mut some = [0; 1_024];
                let count = stream.read(&mut some).await.unwrap();
                asked.extend_from_slice(&some[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (port, asked)
    }

    fn client(allowed: &str) -> Client {
        let allowed = if allowed.is_empty() { vec![] } else { vec![allowed.parse().unwrap()] };
        Client::new(Rule::new(allowed), PathBuf::from("none"))
    }

    async fn post(client: &Client, port: u16) -> Result<Answer, EgressError> {
        let target = Target::parse(&format!("http://127.0.0.1:{port}/a?code=c")).unwrap();
        client.post(&target, Bytes::from_static(b"{}"), Duration::from_secs(20)).await
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn an_allowed_host_is_posted_to() {
        let (port, asked) = server(answer("200 OK", r#"{"a":1}"#)).await;
        let got = post(&client("127.0.0.1"), port).await.unwrap();
        assert_eq!((got.status, &got.body[..]), (200, &br#"{"a":1}"#[..]));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /a?code=c HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{asked}");
    }

    /// Threat 58: an answer that leads elsewhere is handed back, and nobody goes there.
    #[tokio::test]
    async fn nobody_is_led_elsewhere() {
        let elsewhere = "302 Found\r\nlocation: http://169.254.169.254/metadata";
        let (port, _asked) = server(answer(elsewhere, "")).await;
        assert_eq!(post(&client("127.0.0.1"), port).await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn who_is_not_allowed_is_not_called() {
        let (port, asked) = server(String::new()).await;
        assert_eq!(post(&client(""), port).await, Err(EgressError::NotEncrypted));
        let target = Target::parse(&format!("https://localhost:{port}/")).unwrap();
        let refused = client("").post(&target, Bytes::new(), Duration::from_secs(20)).await;
        assert!(matches!(refused, Err(EgressError::NotAllowed(_))), "{refused:?}");
        asked.abort();
    }

    #[tokio::test]
    async fn an_answer_has_a_length_and_a_time() {
        let (port, _asked) = server(answer("200 OK", &"x".repeat(ANSWER_BYTES_MAX + 1))).await;
        assert_eq!(post(&client("127.0.0.1"), port).await, Err(EgressError::TooLong));
        let (port, _asked) =
            server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_owned()).await;
        let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let client = client("127.0.0.1");
        let cut = client.post(&target, Bytes::from_static(b"{}"), Duration::from_secs(20)).await;
        assert!(matches!(cut, Err(EgressError::Failed(_))), "{cut:?}");
        // A server that never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let waited = client.post(&target, Bytes::new(), Duration::from_millis(50)).await;
        assert_eq!(waited, Err(EgressError::TimedOut));
    }
}
