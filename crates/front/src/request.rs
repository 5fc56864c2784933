//! The head of a request, decoded to a call.
//!
//! The order is: path, operation, then the rest; so an error is already answered in the shape that the
//! client of that address parses. Nothing here proves a credential or reads the body, which comes along unread.

use crate::headers::WantedBack;
use crate::https::Side;
use crate::router::{Found, Missed};
use crate::{authorization, headers, identity_endpoint, path, router, storage};
use hyper::http::request::Parts;
use model::operations::Surface;
use model::trace::Channel;
use model::{CertificateChain, Credential, Error, Plane};
use ops::Call;
use ops::call::BodyReader;
use std::net::IpAddr;
use wire::storage::sas::Place;

/// Most pairs in a query. OData clients send six.
pub(crate) const QUERY_PAIRS_MAX: usize = 64;

/// The call that a request is, of a client that has shown a certificate, or none; and what it wants back in the answer.
/// `own` is the surface of whoever answers at the host.
///
/// # Errors
/// [`Missed`], with the surface in whose shape to refuse.
pub(crate) fn read(
    side: Side,
    own: Option<Surface>,
    parts: &Parts,
    peer: IpAddr,
    certificate: Option<&CertificateChain>,
    body: BodyReader,
) -> Result<(Call, WantedBack), Missed> {
    // Any path can be a blob's: there the host alone tells what is asked.
    let is_blob = own == Some(Surface::Blob);
    let surfaces = if is_blob { &[Surface::Blob] } else { side.surfaces() };
    let raw = parts.uri.path();
    let segments = if is_blob { path::blob_segments(raw) } else { path::segments(raw) };
    let segments = segments.map_err(|error| Missed {
        surface: router::surface_of(surfaces, raw.split('/').filter(|it| !it.is_empty())),
        error,
    })?;
    let query = query(parts.uri.query().unwrap_or(""));
    let asked = query.as_deref().unwrap_or(&[]);
    let Found { operation, surface, params } =
        router::find(surfaces, parts.method.as_str(), &segments, asked)?;
    let refuse = |error| Missed { surface, error };
    let headers = headers::read(&parts.headers, surface).map_err(refuse)?;
    let path = path::join(&segments);
    let host = headers::host(&parts.uri, &parts.headers).map_err(refuse)?;
    let query = query.map_err(refuse)?;
    let said = match side {
        Side::Identity(port) => {
            identity_endpoint::credential(port, &host, &path, &query, &parts.headers)
        }
        Side::Management | Side::Hubs if is_blob => {
            let of = |name: &str| params.get(name).map_or("", String::as_str);
            let place =
                Place { account: of("account"), container: of("container"), blob: of("blob") };
            storage::credential(parts, &query, &place)
        }
        Side::Management | Side::Hubs => authorization::credential(&parts.headers),
    };
    let channel = Channel {
        protocol: "https".to_owned(),
        request: path::shown(&format!("{} {path}", parts.method)),
        address: peer.to_canonical().to_string(),
        agent: headers::agent(&parts.headers),
        ..Channel::default()
    };
    let credential = match (said, certificate) {
        // A device need not say what its handshake has shown. Everybody else says who they are.
        (Credential::None, Some(chain)) if operation.plane == Plane::Device => {
            Credential::Certificate(chain.clone())
        }
        (said, _) => said,
    };
    let wanted_back = headers::wanted_back(&parts.headers, &headers, surface);
    let call =
        Call { operation, surface, host, path, params, query, headers, credential, channel, body };
    Ok((call, wanted_back))
}

fn query(raw: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs: Vec<_> = ops::input::pairs(raw).take(QUERY_PAIRS_MAX + 1).collect();
    match pairs.len() {
        0..=QUERY_PAIRS_MAX => Ok(pairs),
        _ => Err(Error::invalid(
            "query",
            format!("the query has more than {QUERY_PAIRS_MAX} parameters"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::Request;
    use model::Op;
    use ops::call::body_of;
    use std::net::Ipv4Addr;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));

    fn call(
        side: Side,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Call, Missed> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        read(side, None, &parts, PEER, None, body_of(Bytes::new())).map(|(call, _)| call)
    }

    #[track_caller]
    fn missed(side: Side, method: &str, target: &str) -> Missed {
        call(side, method, target, &[]).err().unwrap()
    }

    #[test]
    fn a_request_becomes_a_call() {
        let target = "/devices/a%25b/?api-version=2021-04-12&$filter=a%20b+c&secret=x";
        let sent =
            [("host", "127.71.3.2:8443"), ("if-match", "\"*\""), ("authorization", "Bearer t")];
        let call = call(Side::Hubs, "PUT", target, &sent).ok().unwrap();
        assert_eq!(call.operation.op, Op::PutDevice);
        assert_eq!((call.host.as_str(), call.path.as_str()), ("127.71.3.2", "/devices/a%b"));
        assert_eq!(call.params.get("device").map(String::as_str), Some("a%b"));
        assert_eq!(call.query.get(1), Some(&("$filter".to_owned(), "a b c".to_owned())));
        assert_eq!(call.headers.if_match.as_deref(), Some("*"));
        assert_eq!(call.channel.request, "PUT /devices/a%b");
        assert_eq!(
            (call.channel.protocol.as_str(), call.channel.address.as_str()),
            ("https", "127.0.0.7")
        );
        assert!(matches!(call.credential, Credential::Bearer(_)));
    }

    #[test]
    fn a_hostile_path_is_refused_in_the_shape_of_its_surface() {
        let check = |side: Side, target: &str, expected: Surface| {
            let missed = missed(side, "GET", target);
            assert_eq!(missed.surface, expected, "{target}");
            assert_eq!(missed.error.status(missed.surface), 400, "{target}");
        };
        check(Side::Hubs, "/devices/a%2fb", Surface::Hub);
        check(Side::Hubs, "/devices/%00", Surface::Hub);
        check(Side::Management, "/subscriptions/..", Surface::Arm);
        check(Side::Management, "/v1.0/users/%ff", Surface::Graph);
        check(Side::Management, "/t%00/oauth2/v2.0/token", Surface::Entra);
    }

    #[test]
    fn a_query_has_a_most_of_parameters() {
        let target = |pairs: usize| format!("/devices?{}", "a=b&".repeat(pairs));
        assert_eq!(
            call(Side::Hubs, "GET", &target(QUERY_PAIRS_MAX), &[]).ok().unwrap().query.len(),
            QUERY_PAIRS_MAX
        );
        let missed = missed(Side::Hubs, "GET", &target(QUERY_PAIRS_MAX + 1));
        assert_eq!(missed.error.status(Surface::Hub), 400);
    }

    #[test]
    fn a_mapped_address_is_shown_as_what_it_is() {
        let (parts, ()) = Request::builder().uri("/devices").body(()).unwrap().into_parts();
        let (peer, body) = ("::ffff:10.0.0.1".parse().unwrap(), body_of(Bytes::new()));
        let (mapped, _) = read(Side::Hubs, None, &parts, peer, None, body).ok().unwrap();
        assert_eq!(mapped.channel.address, "10.0.0.1");
    }

    #[test]
    fn odd_targets_are_not_found_and_break_nothing() {
        for (method, target) in
            [("OPTIONS", "*"), ("CONNECT", "a:443"), ("GET", "https://h"), ("GET", "/?x")]
        {
            let missed = missed(Side::Management, method, target);
            assert_eq!(missed.error.status(Surface::Arm), 404, "{method} {target}");
        }
    }
}
