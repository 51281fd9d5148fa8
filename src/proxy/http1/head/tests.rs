use super::*;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1_000, lines: 100 };

fn request(text: &str) -> Result<Option<RequestHead>, HeadError> {
    RequestHead::parse(text.as_bytes(), &mut Scan::default(), &LIMITS, Vec::new())
}

fn body_of(lines: &str) -> Option<Body> {
    request(&format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).ok().map(|h| h.unwrap().body)
}

fn response(text: &str, answers: Answers) -> Result<Option<ResponseHead>, HeadError> {
    ResponseHead::parse(text.as_bytes(), answers, &LIMITS)
}

#[test]
fn a_head_is_read_as_places_in_its_bytes() {
    let text = "GET /a?b HTTP/1.1\r\nHoSt: h\r\nX-Raw:  v\u{e9} \r\n\r\nbody";
    let head = request(text).unwrap().unwrap();
    let view = head.view(text.as_bytes());
    assert_eq!((view.method(), view.target()), (&b"GET"[..], &b"/a?b"[..]));
    assert_eq!(view.first("host"), Some(&b"h"[..]));
    assert_eq!(view.first("x-raw"), Some("v\u{e9}".as_bytes()));
    assert_eq!(&text.as_bytes()[head.end..], b"body");
    assert!(head.is_persistent && head.body.is_done());
}

#[test]
fn a_head_that_comes_byte_by_byte_is_found_at_its_last_byte() {
    let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut scan = Scan::default();
    for end in 1..text.len() {
        let head = RequestHead::parse(&text[..end], &mut scan, &LIMITS, Vec::new());
        assert!(head.unwrap().is_none(), "at {end}");
    }
    assert!(RequestHead::parse(text, &mut scan, &LIMITS, Vec::new()).unwrap().is_some());
}

#[test]
fn one_empty_line_before_the_request_is_skipped() {
    let head = request("\r\nGET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert_eq!((head.start, head.end), (2, 20));
    assert!(request("\r\n").unwrap().is_none());
}

#[test]
fn bare_line_ends_and_other_ambiguities_are_refused() {
    for text in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
    ] {
        assert_eq!(request(text).err(), Some(HeadError::Malformed), "{text:?}");
    }
}

#[test]
fn a_request_body_has_one_length_or_the_request_is_refused() {
    assert_eq!(body_of(""), Some(Body::none()));
    assert_eq!(body_of("Content-Length: 5\r\n"), Some(Body::length(5)));
    assert_eq!(body_of("Content-Length: 5, 5\r\nContent-Length: 5\r\n"), Some(Body::length(5)));
    assert_eq!(
        body_of("Transfer-Encoding: gzip, Chunked\r\n"),
        Some(Body::chunked(1_000).strictly())
    );
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: , chunked\r\n",
        "Transfer-Encoding: \r\n",
    ] {
        assert_eq!(body_of(lines), None, "{lines:?}");
    }
    assert!(request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
}

#[test]
fn a_host_is_one_or_the_request_is_refused() {
    let with = |host: &str| request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    for host in ["", "h", "h:80", "[::1]:80", "a_b.example."] {
        assert!(with(host).unwrap().is_some(), "{host}");
    }
    for host in ["a b", "a, b", "u@h", "h/x", "h:8o", "[::1", "b\u{fc}cher"] {
        assert_eq!(with(host).err(), Some(HeadError::Malformed), "{host}");
    }
}

#[test]
fn content_of_a_connect_is_refused_because_some_take_it_for_the_tunnel() {
    let with = |line: &str| request(&format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n{line}\r\n"));
    for line in ["", "Content-Length: 0\r\n"] {
        assert!(with(line).unwrap().is_some(), "{line}");
    }
    for line in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        assert_eq!(with(line).err(), Some(HeadError::Malformed), "{line}");
    }
}

#[test]
fn a_target_may_have_bytes_of_any_encoding() {
    for target in [&b"/caf\xe9?\xff"[..], "/caf\u{e9}".as_bytes()] {
        let text = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        let head = RequestHead::parse(&text, &mut Scan::default(), &LIMITS, Vec::new());
        let head = head.unwrap().unwrap();
        assert_eq!(head.view(&text).target(), target);
    }
    let method = b"G\xc9T / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(RequestHead::parse(method, &mut Scan::default(), &LIMITS, Vec::new()).is_err());
}

#[test]
fn persistence_follows_version_and_connection_options() {
    for (start, connection, expected) in [
        ("GET / HTTP/1.1", "", true),
        ("GET / HTTP/1.1", "Connection: upgrade, Close\r\n", false),
        ("GET / HTTP/1.0", "", false),
        ("GET / HTTP/1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let head = request(&format!("{start}\r\nHost: h\r\n{connection}\r\n")).unwrap().unwrap();
        assert_eq!(head.is_persistent, expected, "{start} {connection}");
    }
}

#[test]
fn a_head_beyond_its_bounds_is_too_large() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(1_000));
    assert_eq!(request(&long).err(), Some(HeadError::TooLarge));
    assert_eq!(request(&"a".repeat(1_000)).err(), Some(HeadError::TooLarge));
    let lines = |n: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert!(request(&lines(99)).unwrap().is_some());
    assert_eq!(request(&lines(100)).err(), Some(HeadError::TooLarge));
}

#[test]
fn a_response_body_follows_from_status_request_and_framing() {
    let body = |text: &str, answers| response(text, answers).unwrap().unwrap().body;
    let with_length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(body(with_length, Answers::Other), Body::length(5));
    assert_eq!(body(with_length, Answers::Head), Body::none());
    assert_eq!(body(with_length, Answers::Connect), Body::none());
    assert_eq!(body("HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", Answers::Other), Body::none());
    assert_eq!(body("HTTP/1.1 204 N\r\n\r\n", Answers::Other), Body::none());
    assert_eq!(body("HTTP/1.1 200 OK\r\n\r\n", Answers::Other), Body::until_close());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(body(chunked, Answers::Other), Body::chunked(1_000));
    assert_eq!(
        body("HTTP/1.1 407 N\r\nContent-Length: 2\r\n\r\n", Answers::Connect),
        Body::length(2)
    );
}

#[test]
fn a_response_whose_length_is_in_doubt_is_refused_and_an_odd_one_is_not() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "220 smtp.example ESMTP\r\n",
    ] {
        assert_eq!(response(text, Answers::Other), Err(HeadError::Malformed), "{text:?}");
    }
    for text in
        ["HTTP/1.1 200 OK\nX: y\n\n", "HTTP/1.1 200\r\nX : y\r\n\r\n", "HTTP/1.0 200  OK\r\n\r\n"]
    {
        assert!(response(text, Answers::Other).unwrap().is_some(), "{text:?}");
    }
    assert_eq!(response("HTTP/1.1 20", Answers::Other), Ok(None));
}

#[test]
fn a_length_on_a_second_line_is_in_doubt() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    ] {
        assert_eq!(response(text, Answers::Other), Err(HeadError::Malformed), "{text:?}");
    }
}

#[test]
fn chunks_of_http_1_0_are_the_last_of_their_connection() {
    let text = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = response(text, Answers::Other).unwrap().unwrap();
    assert_eq!((head.body, head.is_persistent), (Body::chunked(1_000), false));
}

#[test]
fn only_who_asked_for_it_is_let_out_of_http() {
    let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
    assert!(response(text, Answers::Upgrade).unwrap().is_some());
    for answers in [Answers::Other, Answers::Head, Answers::Connect] {
        assert_eq!(response(text, answers), Err(HeadError::Malformed));
    }
    let asked = |lines: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let head = request(&text).unwrap().unwrap();
        Answers::to_request(&head.view(text.as_bytes()))
    };
    assert_eq!(asked("upgrade: x\r\n"), Answers::Upgrade);
    assert_eq!(asked(""), Answers::Other);
}

#[test]
fn interim_responses_are_followed_by_another() {
    for (status, expected) in [(100, true), (103, true), (101, false), (200, false)] {
        let head = response(&format!("HTTP/1.1 {status} X\r\n\r\n"), Answers::Upgrade);
        assert_eq!(head.unwrap().unwrap().is_interim(), expected, "{status}");
    }
}

proptest! {
    #[test]
    fn no_bytes_whatsoever_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let request = RequestHead::parse(&bytes, &mut Scan::default(), &LIMITS, Vec::new());
        prop_assert!(!matches!(request, Ok(Some(head)) if head.end > bytes.len()));
        let response = ResponseHead::parse(&bytes, Answers::Other, &LIMITS);
        prop_assert!(!matches!(response, Ok(Some(head)) if head.end > bytes.len()));
    }

    #[test]
    fn no_header_value_whatsoever_makes_parsing_panic(value in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut text = b"GET / HTTP/1.1\r\nHost: h\r\ntraceparent: ".to_vec();
        text.extend_from_slice(&value);
        text.extend_from_slice(b"\r\n\r\n");
        if let Ok(Some(head)) = RequestHead::parse(&text, &mut Scan::default(), &LIMITS, Vec::new()) {
            prop_assert_eq!(head.lines.len(), 2);
        }
    }
}
