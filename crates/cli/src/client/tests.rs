//! Against a real TLS listener that answers from a script: what is trusted, what is sent, what is said.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_config(authority: &Authority) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, authority)
        .unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
    Arc::new(config.unwrap())
}

/// Answers one request with each of `script`, whatever it is, and returns what was asked.
fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    script: Vec<String>,
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in script {
            let (socket, _) = listener.accept().unwrap();
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut reader = BufReader::new(StreamOwned::new(tls, socket));
            match read_request(&mut reader) {
                Ok(request) => asked.push(request),
                Err(_) => continue,
            }
            let _ = reader.get_mut().write_all(answer.as_bytes());
            reader.get_mut().conn.send_close_notify();
            let _ = reader.get_mut().flush();
        }
        asked
    })
}

fn read_request(reader: &mut impl BufRead) -> io::Result<String> {
    let mut request = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        request.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.push_str(&String::from_utf8(body).unwrap());
    Ok(request)
}

fn http(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-ms-request-id: 3f0c0f5e-1111-4222-8333-444455556666\r\n\r\n{body}",
        body.len()
    )
}

fn connection(directory: &Path, port: u16, trusted: &Authority) -> Connection {
    std::fs::write(directory.join("ca.pem"), trusted.pem()).unwrap();
    let text = format!(
        "HUBWARD_ARM=https://127.0.0.1:{port}\nHUBWARD_AUTHORITY=https://127.0.0.1:{port}\nHUBWARD_TENANT_ID=t1\n\
         HUBWARD_CA_FILE=ca.pem\nHUBWARD_ADMIN_APP_ID=a1\nHUBWARD_ADMIN_SECRET=se same&\n"
    );
    Connection::parse(&text, directory).unwrap()
}

fn talk(script: &[String], take: impl FnOnce(&Connection)) -> Vec<String> {
    let authority = authority();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = serve(listener, server_config(&authority), script.to_vec());
    let directory = tempfile::tempdir().unwrap();
    take(&connection(directory.path(), port, &authority));
    server.join().unwrap()
}

fn signed_in() -> String {
    http(200, &json!({ "access_token": "t0ken", "token_type": "Bearer" }).to_string())
}

fn sentence<T>(result: Result<T, Failure>) -> String {
    result.err().expect("it must fail").to_string()
}

#[test]
fn a_client_signs_in_with_its_secret_and_asks_with_its_token() {
    let script = [signed_in(), http(200, r#"{"a":1}"#), http(200, "{}")];
    let asked = talk(&script, |connection| {
        let client = Client::sign_in(connection).unwrap();
        assert_eq!(client.get("/decisions/x").unwrap(), json!({ "a": 1 }));
        assert_eq!(client.post("/decisions/ask", &json!({ "principal": "p" })).unwrap(), json!({}));
    });
    assert!(asked[0].starts_with("POST /t1/oauth2/v2.0/token HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("application/x-www-form-urlencoded"), "{}", asked[0]);
    for field in [
        "grant_type=client_credentials",
        "client_secret=se+same%26",
        "https%3A%2F%2Fmanagement.azure.com%2F.default",
    ] {
        assert!(asked[0].contains(field), "{}", asked[0]);
    }
    assert!(asked[1].starts_with("GET /decisions/x HTTP/1.1\r\n"), "{}", asked[1]);
    assert!(
        asked[1].to_ascii_lowercase().contains("authorization: bearer t0ken\r\n"),
        "{}",
        asked[1]
    );
    let (head, body) = asked[2].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /decisions/ask HTTP/1.1\r\n"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), json!({ "principal": "p" }));
}

#[test]
fn a_refusal_is_told_in_the_servers_words_with_the_id_to_explain() {
    let body = r#"{"error":{"code":"AuthorizationFailed","message":"no such right"}}"#;
    talk(&[signed_in(), http(403, body)], |connection| {
        let said = sentence(Client::sign_in(connection).unwrap().get("/decisions/x"));
        assert_eq!(
            said,
            "the server refused: no such right (`AuthorizationFailed`, 403); \
             `hubward explain 3f0c0f5e-1111-4222-8333-444455556666` says why"
        );
    });
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: wrong"}"#;
    talk(&[http(401, body)], |connection| {
        let said = sentence(Client::sign_in(connection));
        assert!(
            said.contains("AADSTS7000215: wrong (`invalid_client`, 401)") && !said.contains("same"),
            "{said}"
        );
    });
}

#[test]
fn a_redirect_is_not_followed_and_html_is_no_answer() {
    let elsewhere = "HTTP/1.1 302 X\r\nlocation: https://127.0.0.1:9/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    talk(&[elsewhere.to_owned()], |connection| {
        let said = sentence(Client::sign_in(connection));
        assert!(said.contains("answered 302 with something that is not JSON"), "{said}");
    });
    talk(&[signed_in(), http(200, "<html>")], |connection| {
        let said = sentence(Client::sign_in(connection).unwrap().get("/"));
        assert!(said.contains("does a Hubward server listen there?"), "{said}");
    });
}

#[test]
fn a_server_of_another_ca_learns_no_secret() {
    let theirs = authority();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = serve(listener, server_config(&theirs), vec![signed_in()]);
    let directory = tempfile::tempdir().unwrap();
    let said = sentence(Client::sign_in(&connection(directory.path(), port, &authority())));
    assert!(said.contains("another server than the one meant"), "{said}");
    assert_eq!(server.join().unwrap(), Vec::<String>::new());
}

#[test]
fn where_nobody_listens_the_next_step_is_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let directory = tempfile::tempdir().unwrap();
    let said = sentence(Client::sign_in(&connection(directory.path(), port, &authority())));
    let up = format!("start it with `hubward up --data {}`", directory.path().display());
    assert!(
        said.starts_with(&format!("no server answers at `https://127.0.0.1:{port}`; {up}")),
        "{said}"
    );
}

#[test]
fn a_ca_file_without_a_certificate_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let connection = connection(directory.path(), 1, &authority());
    std::fs::write(connection.ca_file(), "no certificate").unwrap();
    let said = sentence(Client::sign_in(&connection));
    assert!(said.contains("ca.pem") && said.contains("there is none in it"), "{said}");
}
