//! HTTP spans: the stable conventions of "HTTP server span" and "HTTP client span".

use super::super::Headers;
use super::super::span::{Attributes, Kind, Status};
use super::{Key, Known, Outcome, QueryValues, Request, add_user_agent, forwarded, known, status};

/// The scheme of a request of which nothing else is known.
const HTTP: &str = "http";

/// A request method: one of those the conventions know, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(Option<&'static KnownMethod>);

/// The word of a method, and the attribute that tells of it.
type KnownMethod = (&'static str, Known);

macro_rules! methods {
    ($($word:literal)*) => { [$(($word, known!(HttpRequestMethod, $word))),*] };
}

/// The methods that are spelled out; all others are `_OTHER`.
static KNOWN_METHODS: [KnownMethod; 10] =
    methods!["CONNECT" "DELETE" "GET" "HEAD" "OPTIONS" "PATCH" "POST" "PUT" "QUERY" "TRACE"];

impl Method {
    /// Reads a method; the spelling matters, case included.
    #[must_use]
    pub fn parse(method: &[u8]) -> Self {
        Self(KNOWN_METHODS.iter().find(|(word, _)| word.as_bytes() == method))
    }

    /// The first word of the span's name.
    #[must_use]
    pub fn span_name(self) -> &'static str {
        self.0.map_or("HTTP", |(word, _)| word)
    }

    /// `http.request.method`.
    fn attribute(self) -> Known {
        self.0.map_or(known!(HttpRequestMethod, "_OTHER"), |(_, attribute)| *attribute)
    }
}

/// Adds what is known when the request's head has been read.
pub fn begin<H: Headers>(
    attributes: &mut Attributes,
    request: &Request<'_, H>,
    route: Option<&str>,
    query_values: QueryValues,
) {
    let method = Method::parse(request.method);
    attributes.known(method.attribute());
    if method.0.is_none() {
        attributes.raw(Key::HttpRequestMethodOriginal, request.method);
    }
    match request.kind {
        Kind::Server => begin_server(attributes, request, query_values),
        Kind::Client => begin_client(attributes, request, query_values),
    }
    if let Some(route) = route {
        attributes.text(Key::HttpRoute, route);
    }
    attributes.known(request.version.attribute());
    add_user_agent(attributes, request.headers);
}

fn begin_server<H: Headers>(
    attributes: &mut Attributes,
    request: &Request<'_, H>,
    query_values: QueryValues,
) {
    let original = forwarded::read(request.headers);
    attributes.raw(Key::UrlPath, request.path);
    add_query(attributes, request.query, query_values);
    match original.proto {
        Some(scheme) => attributes.raw(Key::UrlScheme, scheme),
        None => attributes.known(known!(UrlScheme, HTTP)),
    }
    if let Some(authority) = original.host.or(request.authority) {
        let port = default_port(original.proto.unwrap_or(HTTP.as_bytes()));
        request.servers.add(attributes, request.kind, authority, port);
    }
    match original.client {
        Some(client) => {
            attributes.raw(Key::ClientAddress, forwarded::address(client));
            request.downstream.add(attributes);
        }
        None => request.downstream.add_as_client(attributes),
    }
}

fn begin_client<H: Headers>(
    attributes: &mut Attributes,
    request: &Request<'_, H>,
    query_values: QueryValues,
) {
    let authority = request.authority.unwrap_or_default();
    if !request.path.is_empty() {
        add_full_url(attributes, authority, request.path, request.query, query_values);
    }
    request.servers.add(attributes, request.kind, authority, default_port(HTTP.as_bytes()));
}

/// `url.full`: credentials and query values are not recorded.
fn add_full_url(
    attributes: &mut Attributes,
    authority: &[u8],
    path: &[u8],
    query: Option<&[u8]>,
    query_values: QueryValues,
) {
    let (credentials, host) = match authority.iter().rposition(|b| *b == b'@') {
        Some(at) => (&b"REDACTED:REDACTED@"[..], authority.get(at + 1..).unwrap_or_default()),
        None => (&b""[..], authority),
    };
    let mut pieces: Vec<&[u8]> = vec![b"http://", credentials, host, path];
    if let Some(query) = query {
        pieces.push(b"?");
        query_values.redact(query, |piece| pieces.push(piece));
    }
    attributes.raw_pieces(Key::UrlFull, &pieces);
}

fn add_query(attributes: &mut Attributes, query: Option<&[u8]>, query_values: QueryValues) {
    if let Some(query) = query {
        let mut pieces: Vec<&[u8]> = Vec::new();
        query_values.redact(query, |piece| pieces.push(piece));
        attributes.raw_pieces(Key::UrlQuery, &pieces);
    }
}

fn default_port(scheme: &[u8]) -> u16 {
    if scheme.eq_ignore_ascii_case(b"https") { 443 } else { 80 }
}

/// Adds how the request ended, and says whether the span is an error: any failure in between, a
/// status of 500 or more, and on a client span a status of 400 or more.
pub fn end(attributes: &mut Attributes, kind: Kind, outcome: &Outcome) -> Status {
    if let Some(code) = outcome.status_code {
        attributes.int(Key::HttpResponseStatusCode, i64::from(code));
    }
    let failure = outcome.failure.filter(|f| !f.is_cancellation);
    let first_error = match kind {
        Kind::Server => 500,
        Kind::Client => 400,
    };
    match (failure, outcome.status_code) {
        (Some(failure), Some(code)) if code >= first_error => {
            attributes.text(Key::ErrorType, failure.error_type);
        }
        // A request that spandrel refused for the caller's fault is no error of the server's.
        (Some(_), Some(code)) if (400..500).contains(&code) => return Status::Unset,
        (Some(failure), _) => attributes.text(Key::ErrorType, failure.error_type),
        (None, Some(code)) if code >= first_error => {
            let digits = [code / 100 % 10, code / 10 % 10, code % 10];
            let text = digits.map(|d| b'0' + u8::try_from(d).unwrap_or(0));
            attributes.raw(Key::ErrorType, &text);
        }
        (None, _) => return Status::Unset,
    }
    status(true)
}

#[cfg(test)]
mod tests {
    use super::super::super::span::{Pairs as Read, Value};
    use super::super::super::testing::Lines;
    use super::super::{Failure, Peer, Servers, Version};
    use super::*;

    type Pairs = Vec<(&'static str, String)>;

    fn pairs(attributes: &Attributes) -> Pairs {
        Read::new(attributes.as_bytes())
            .map(|(name, value)| {
                let value = match value {
                    Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    Value::Int(number) => format!("{number}i"),
                    Value::Double(number) => format!("{number}f"),
                    Value::Bool(is) => is.to_string(),
                };
                (Key::of(name).expect("a known key").as_str(), value)
            })
            .collect()
    }

    fn begun(kind: Kind, method: &[u8], authority: &[u8], lines: &[(&str, &[u8])]) -> Pairs {
        let headers = Lines(lines);
        let request = Request {
            kind,
            method,
            path: b"/orders/7",
            query: Some(b"q=secret"),
            authority: Some(authority),
            version: Version::Http11,
            headers: &headers,
            downstream: &Peer::of("10.1.2.3:4567".parse().unwrap()),
            servers: &Servers::default(),
        };
        let mut attributes = Attributes::default();
        begin(&mut attributes, &request, None, QueryValues::Redact);
        pairs(&attributes)
    }

    fn ended(kind: Kind, outcome: Outcome) -> (Status, Pairs) {
        let mut attributes = Attributes::default();
        let status = end(&mut attributes, kind, &outcome);
        (status, pairs(&attributes))
    }

    fn answered(code: u16) -> Outcome {
        Outcome { status_code: Some(code), ..Outcome::default() }
    }

    fn failed(code: Option<u16>, error_type: &'static str, is_cancellation: bool) -> Outcome {
        let failure = Some(Failure { error_type, is_cancellation });
        Outcome { status_code: code, grpc_status: None, failure }
    }

    #[test]
    fn a_server_span_has_the_attributes_of_the_conventions() {
        let found = begun(Kind::Server, b"GET", b"shop.example:8080", &[("User-Agent", b"curl/8")]);
        assert_eq!(
            found,
            [
                ("http.request.method", "GET".to_owned()),
                ("url.path", "/orders/7".to_owned()),
                ("url.query", "q=REDACTED".to_owned()),
                ("url.scheme", "http".to_owned()),
                ("server.address", "shop.example".to_owned()),
                ("server.port", "8080i".to_owned()),
                ("client.address", "10.1.2.3".to_owned()),
                ("network.peer.address", "10.1.2.3".to_owned()),
                ("network.peer.port", "4567i".to_owned()),
                ("network.protocol.version", "1.1".to_owned()),
                ("user_agent.original", "curl/8".to_owned()),
            ]
        );
    }

    #[test]
    fn a_client_span_has_the_attributes_of_the_conventions() {
        let found = begun(Kind::Client, b"PURGE", b"u:p@shop.example", &[]);
        assert_eq!(
            found,
            [
                ("http.request.method", "_OTHER".to_owned()),
                ("http.request.method_original", "PURGE".to_owned()),
                (
                    "url.full",
                    "http://REDACTED:REDACTED@shop.example/orders/7?q=REDACTED".to_owned()
                ),
                ("server.address", "shop.example".to_owned()),
                ("server.port", "80i".to_owned()),
                ("network.protocol.version", "1.1".to_owned()),
            ]
        );
    }

    #[test]
    fn the_forwarding_headers_name_the_client_and_what_it_asked_for() {
        let lines: [(&str, &[u8]); 1] =
            [("Forwarded", b"for=192.0.2.7;host=public.example;proto=https")];
        let found = begun(Kind::Server, b"GET", b"internal:8080", &lines);
        for expected in [
            ("server.address", "public.example"),
            ("server.port", "443i"),
            ("url.scheme", "https"),
            ("client.address", "192.0.2.7"),
            ("network.peer.address", "10.1.2.3"),
        ] {
            assert!(found.contains(&(expected.0, expected.1.to_owned())), "{expected:?}");
        }
    }

    #[test]
    fn a_method_is_known_by_its_exact_spelling() {
        assert_eq!(Method::parse(b"GET").span_name(), "GET");
        for other in [&b"get"[..], b"PURGE", b""] {
            assert_eq!(
                (Method::parse(other).span_name(), Method::parse(other).attribute()),
                ("HTTP", known!(HttpRequestMethod, "_OTHER"))
            );
        }
    }

    #[test]
    fn the_status_code_decides_by_the_side_of_the_hop() {
        for (code, server, client) in [
            (101, Status::Unset, Status::Unset),
            (200, Status::Unset, Status::Unset),
            (302, Status::Unset, Status::Unset),
            (404, Status::Unset, Status::Error),
            (500, Status::Error, Status::Error),
            (599, Status::Error, Status::Error),
        ] {
            assert_eq!(ended(Kind::Server, answered(code)).0, server, "{code}");
            let (status, found) = ended(Kind::Client, answered(code));
            assert_eq!(status, client, "{code}");
            let error = ("error.type", code.to_string());
            assert_eq!(found.contains(&error), client == Status::Error);
        }
    }

    #[test]
    fn a_failure_is_an_error_with_its_own_type_and_a_cancellation_is_none() {
        let (status, found) = ended(Kind::Server, failed(Some(502), "connection_refused", false));
        assert_eq!(status, Status::Error);
        assert_eq!(found[1], ("error.type", "connection_refused".to_owned()));
        let (status, found) = ended(Kind::Client, failed(Some(200), "connection_reset", false));
        assert_eq!((status, found.len()), (Status::Error, 2));
        let (status, found) = ended(Kind::Server, failed(None, "cancelled", true));
        assert_eq!((status, found.len()), (Status::Unset, 0));
        let (status, _) = ended(Kind::Server, failed(Some(400), "bad_request", false));
        assert_eq!(status, Status::Unset);
    }
}
