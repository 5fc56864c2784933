//! Blobs of a container: put, read, listed and deleted, over the connection of the call before.
//!
//! Every call is tried again where the service is busy or in trouble: all of them do the same when they are done twice.
//! Long blobs go block by block, and come range by range, so that none is ever held as a whole.

mod call;
mod container;
mod error;
mod signing;
mod xml;

use crate::client::Client;
use crate::credential::{Now, Token, TokenSource};
use crate::http::Open;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use call::Call;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED,
};
use hyper::{Method, Response, StatusCode};
use model::{DelegationKey, Secret, Timestamp};
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

pub use container::{Container, NotAContainer};
pub use error::{BlobError, Why};
pub use signing::{Signer, SigningKey};

/// The version of the service's interface that is spoken.
pub const VERSION: &str = "2021-12-02";
/// How long each call may take, connecting included.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Most bytes of a blob that are asked for at once.
pub const RANGE_BYTES_MAX: u64 = 4 << 20;
/// Longest list of blobs, and longest sentence about what went wrong.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Most blobs of a page.
const PAGE_MAX: usize = 1_000;

/// By what the service lets us in.
#[derive(Clone)]
pub enum Credential {
    /// The signature in the container's address, or nothing.
    InAddress,
    /// A key of the account, decoded from base64.
    Key(Secret<Vec<u8>>),
    Token(Arc<dyn TokenSource>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InAddress => "InAddress",
            Self::Key(_) => "Key",
            Self::Token(_) => "Token",
        })
    }
}

/// What is known of a blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Properties {
    pub bytes: u64,
    pub etag: String,
    pub content_type: String,
    pub last_modified: String,
}

/// A blob in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    pub etag: String,
}

/// A page of a list, and where the next begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    pub blobs: Vec<Listed>,
    pub next: Option<String>,
}

/// Calls one container.
pub struct Blobs {
    client: Client,
    container: Container,
    credential: Credential,
    now: Now,
    token: Option<Token>,
    open: Option<Open>,
    replaces: bool,
}

type Answered<T> = Result<T, BlobError>;

impl Blobs {
    /// A client that has not connected yet. `now` is the wall clock.
    pub const fn new(
        client: Client,
        container: Container,
        credential: Credential,
        now: Now,
    ) -> Self {
        Self { client, container, credential, now, token: None, open: None, replaces: true }
    }

    /// Has it put no blob in place of another: that is a [`Why::Conflict`], also where the answer to the first try was lost.
    pub const fn without_replacing(mut self) -> Self {
        self.replaces = false;
        self
    }

    pub const fn container(&self) -> &Container {
        &self.container
    }

    /// Makes the container; it may be there already.
    ///
    /// # Errors
    /// [`BlobError`], as every call here.
    pub async fn create_container(&mut self) -> Answered<()> {
        let call = self.of_container(Method::PUT);
        match self.ask(call).await {
            Err(error) if error.code == "ContainerAlreadyExists" => Ok(()),
            made => made.map(drop),
        }
    }

    /// Whether the container is there and may be looked at.
    ///
    /// # Errors
    /// [`Why::NotFound`] where it is not there.
    pub async fn look_at_container(&mut self) -> Answered<()> {
        let call = self.of_container(Method::GET);
        self.ask(call).await.map(drop)
    }

    /// Puts a whole blob in place of what is there: its new etag.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn put(&mut self, blob: &str, content_type: &str, body: Bytes) -> Answered<String> {
        let call = Call::new(Method::PUT, self.container.path_of(blob))
            .header(HeaderName::from_static("x-ms-blob-type"), "BlockBlob")
            .header(CONTENT_TYPE, content_type)
            .body(body);
        let call = self.condition(call);
        self.ask(call).await.map(|it| header(&it, &ETAG))
    }

    /// Puts a piece of a blob that is no part of it until [`Blobs::put_list`] names it. `number` is its name: the same
    /// again is the same piece.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn put_block(&mut self, blob: &str, number: u32, body: Bytes) -> Answered<()> {
        let call = Call::new(Method::PUT, self.container.path_of(blob))
            .query("comp", "block")
            .query("blockid", block_id(number))
            .body(body);
        self.ask(call).await.map(drop)
    }

    /// Makes a blob of pieces, in their order, in place of what is there: its new etag.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn put_list(
        &mut self,
        blob: &str,
        content_type: &str,
        numbers: impl IntoIterator<Item = u32> + Send,
    ) -> Answered<String> {
        let mut xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
        for number in numbers {
            // Writing to a `String` cannot fail.
            let _ = write!(xml, "<Latest>{}</Latest>", block_id(number));
        }
        xml.push_str("</BlockList>");
        let call = Call::new(Method::PUT, self.container.path_of(blob))
            .query("comp", "blocklist")
            .header(HeaderName::from_static("x-ms-blob-content-type"), content_type)
            .header(CONTENT_TYPE, "application/xml")
            .body(xml.into());
        let call = self.condition(call);
        self.ask(call).await.map(|it| header(&it, &ETAG))
    }

    /// # Errors
    /// [`BlobError`].
    pub async fn properties(&mut self, blob: &str) -> Answered<Properties> {
        let answer = self.ask(Call::new(Method::HEAD, self.container.path_of(blob))).await?;
        Ok(Properties {
            bytes: header(&answer, &CONTENT_LENGTH).parse().unwrap_or(0),
            etag: header(&answer, &ETAG),
            content_type: header(&answer, &CONTENT_TYPE),
            last_modified: header(&answer, &LAST_MODIFIED),
        })
    }

    /// Bytes of a blob from an offset on, at most `count` and at most [`RANGE_BYTES_MAX`]; none behind its end. With an
    /// etag only if the blob still has that.
    ///
    /// # Errors
    /// [`Why::Conflict`] where the blob has become another.
    pub async fn get(
        &mut self,
        blob: &str,
        from: u64,
        count: u64,
        etag: Option<&str>,
    ) -> Answered<Bytes> {
        let count = count.clamp(1, RANGE_BYTES_MAX);
        let range = format!("bytes={from}-{}", from.saturating_add(count - 1));
        let mut call = Call::new(Method::GET, self.container.path_of(blob))
            .header(HeaderName::from_static("x-ms-range"), range);
        if let Some(etag) = etag {
            call = call.header(IF_MATCH, etag);
        }
        match self.ask(call).await {
            // Who does not know of ranges sends all that there is: good enough, where that is what was asked for.
            Ok(answer) if answer.status() != StatusCode::PARTIAL_CONTENT && from > 0 => {
                let what = "the service sends a whole blob where a part was asked for";
                Err(BlobError::own(Why::Refused, what.to_owned()))
            }
            Ok(answer) => Ok(answer.into_body()),
            // Nothing is there any more: the offset is the end.
            Err(error) if error.status == 416 => Ok(Bytes::new()),
            Err(error) => Err(error),
        }
    }

    /// Blobs whose names begin so, by name, from where a page before has ended.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn list(&mut self, prefix: &str, from: Option<&str>) -> Answered<Page> {
        let mut call = self.of_container(Method::GET).query("comp", "list");
        call = call.query("maxresults", PAGE_MAX.to_string());
        if !prefix.is_empty() {
            call = call.query("prefix", prefix);
        }
        if let Some(from) = from {
            call = call.query("marker", from);
        }
        let answer = self.ask(call).await?;
        let xml = std::str::from_utf8(answer.body()).unwrap_or_default();
        let listed = |it: &&str| {
            let bytes = xml::text(it, "Content-Length").and_then(|it| it.parse().ok());
            let etag = xml::text(it, "Etag").unwrap_or_default();
            Some(Listed { name: xml::text(it, "Name")?, bytes: bytes.unwrap_or(0), etag })
        };
        let blobs = xml::all(xml, "Blob").iter().filter_map(listed).collect();
        Ok(Page { blobs, next: xml::text(xml, "NextMarker").filter(|it| !it.is_empty()) })
    }

    /// Deletes a blob; it may be gone already.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn delete(&mut self, blob: &str) -> Answered<()> {
        let call = Call::new(Method::DELETE, self.container.path_of(blob));
        match self.ask(call).await {
            Err(error) if error.code == "BlobNotFound" => Ok(()),
            gone => gone.map(drop),
        }
    }

    /// A key that stands for the identity whose token is shown, to sign addresses with.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn delegation_key(
        &mut self,
        start: Timestamp,
        expiry: Timestamp,
    ) -> Answered<SigningKey> {
        let (start, expiry) = (start.rfc3339_seconds(), expiry.rfc3339_seconds());
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>"
        );
        let path = &self.container.target.path;
        let account = path.rsplit_once('/').map_or("", |(account, _)| account);
        let call = Call::new(Method::POST, format!("{account}/"))
            .query("restype", "service")
            .query("comp", "userdelegationkey")
            .header(CONTENT_TYPE, "application/xml")
            .body(body.into());
        let answer = self.ask(call).await?;
        let xml = std::str::from_utf8(answer.body()).unwrap_or_default();
        let text = |name: &str| {
            let none = || format!("the service has answered with no key: `{name}` is missing");
            xml::text(xml, name).ok_or_else(|| BlobError::own(Why::Refused, none()))
        };
        let value = STANDARD.decode(text("Value")?);
        let no_key = |_| BlobError::own(Why::Refused, "the service's key is no base64".to_owned());
        let of = DelegationKey {
            object_id: text("SignedOid")?,
            tenant: text("SignedTid")?,
            start: text("SignedStart")?,
            expiry: text("SignedExpiry")?,
            service: text("SignedService")?,
            version: text("SignedVersion")?,
        };
        Ok(SigningKey { of, value: Secret::new(value.map_err(no_key)?) })
    }

    fn condition(&self, call: Call) -> Call {
        if self.replaces { call } else { call.header(IF_NONE_MATCH, "*") }
    }

    fn of_container(&self, method: Method) -> Call {
        Call::new(method, self.container.target.path.clone()).query("restype", "container")
    }
}

/// All names of pieces of one blob are equally long.
fn block_id(number: u32) -> String {
    STANDARD.encode(format!("{number:010}"))
}

fn header(answer: &Response<Bytes>, name: &HeaderName) -> String {
    let value = answer.headers().get(name).and_then(|it| it.to_str().ok());
    value.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;
    use std::path::PathBuf;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    /// Takes one connection and answers its calls in their order: their heads.
    async fn service(answers: &[&str]) -> (Blobs, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<String> = answers.iter().map(|it| (*it).to_owned()).collect();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heads = Vec::new();
            for answer in answers {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                heads.push(String::from_utf8(head).unwrap());
            }
            heads
        });
        let rule = Rule::new(vec!["127.0.0.1".parse().unwrap()]);
        let client = Client::new(rule, PathBuf::from("none"));
        let container = format!("http://127.0.0.1:{port}/acc/jobs?sv=1&sig=s%2Bs");
        let now = Arc::new(|| Timestamp::from_seconds(1_000_000));
        let container = Container::parse(&container).unwrap();
        (Blobs::new(client, container, Credential::InAddress, now), served)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_service_is_asked_again_over_the_same_connection() {
        let busy =
            answer("503 Busy", "retry-after: 3\r\n", "<Error><Code>ServerBusy</Code></Error>");
        let part = answer("206 Part", "", "abc");
        let end = answer("416 End", "x-ms-error-code: InvalidRange\r\n", "");
        let (mut blobs, served) = service(&[&busy, &part, &end]).await;
        let got = blobs.get("a/b c", 7, 3, Some("\"e\"")).await.unwrap();
        assert_eq!(&got[..], b"abc");
        assert_eq!(&blobs.get("a/b c", 10, 3, None).await.unwrap()[..], b"");
        let heads = served.await.unwrap();
        let head = &heads[1];
        assert!(head.starts_with("GET /acc/jobs/a/b%20c?sv=1&sig=s%2Bs HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("x-ms-range: bytes=7-9\r\n"), "{head}");
        assert!(head.contains("if-match: \"e\"\r\n"), "{head}");
        assert!(head.contains("x-ms-version: 2021-12-02\r\n"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_in_the_words_of_the_service() {
        let body = "<Error><Code>AuthorizationPermissionMismatch</Code><Message>Not by this &amp; that.\n\
                    RequestId:1</Message></Error>";
        let no = answer("403 No", "x-ms-request-id: r-1\r\n", body);
        let busy = answer("503 Busy", "x-ms-error-code: ServerBusy\r\n", "");
        let elsewhere = answer("307 There", "location: http://169.254.169.254/\r\n", "");
        let (mut blobs, _served) = service(&[&no, &elsewhere, &busy, &busy, &busy, &busy]).await;
        let error = blobs.put("a", "text/plain", Bytes::new()).await.unwrap_err();
        assert_eq!((error.why, error.request_id.as_deref()), (Why::Unauthorized, Some("r-1")));
        let said = "403 AuthorizationPermissionMismatch: Not by this & that.";
        assert_eq!(error.to_string(), said);
        // Threat 58: nobody is led elsewhere.
        let error = blobs.delete("a").await.unwrap_err();
        assert_eq!((error.why, error.status), (Why::Refused, 307));
        assert_eq!(blobs.delete("a").await.unwrap_err().why, Why::Throttled);
    }

    #[tokio::test]
    async fn pages_and_properties_are_read() {
        let xml = "<EnumerationResults><Blobs><Blob><Name>a&amp;b</Name><Properties><Content-Length>5\
                   </Content-Length><Etag>0x1</Etag></Properties></Blob></Blobs><NextMarker>m</NextMarker>\
                   </EnumerationResults>";
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\netag: \"e\"\r\ncontent-type: text/plain\r\n\r\n";
        let created = answer("409 There", "x-ms-error-code: ContainerAlreadyExists\r\n", "");
        let (mut blobs, served) = service(&[&answer("200 OK", "", xml), head, &created]).await;
        let page = blobs.list("a&", Some("n")).await.unwrap();
        let listed = Listed { name: "a&b".into(), bytes: 5, etag: "0x1".into() };
        assert_eq!(page, Page { blobs: vec![listed], next: Some("m".into()) });
        let properties = blobs.properties("a").await.unwrap();
        assert_eq!((properties.bytes, properties.etag.as_str()), (9, "\"e\""));
        blobs.create_container().await.unwrap();
        let heads = served.await.unwrap();
        assert!(heads[0].contains("&prefix=a%26&marker=n&sv=1&sig=s%2Bs "), "{}", heads[0]);
    }
}
