//! What a span tells of a request (`Forwarded`, user agent, URL): bounded, and without secrets.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use spandrel::trace::Headers as _;
use spandrel::trace::health::HealthChecks;
use spandrel::trace::semconv::{
    Key, Outcome, Peer, QueryValues, Request, Servers, Version, http, rpc,
};
use spandrel::trace::span::{Attributes, Kind, Pairs, Value};
use spandrel_fuzz::{Lines, led};

fuzz_target!(|input: &[u8]| {
    let Some((lead, bytes)) = led(input) else { return };
    let mut parts = bytes.splitn(3, |b| *b == b'\n');
    let (method, url) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let headers = Lines::of(parts.next().unwrap_or_default());
    let mut halves = url.splitn(2, |b| *b == b'?');
    let (path, query) = (halves.next().unwrap_or_default(), halves.next());
    let request = Request {
        kind: if lead & 1 == 0 { Kind::Server } else { Kind::Client },
        method,
        path,
        query,
        authority: headers.first("host"),
        version: Version::Http11,
        headers: &headers,
        downstream: &Peer::of(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
        servers: &Servers::default(),
    };
    let (mut attributes, mut again) = (Attributes::default(), Attributes::default());
    let status = u16::from_le_bytes([input[0], input.len() as u8]);
    let outcome = Outcome { status_code: Some(status), ..Outcome::default() };
    if lead & 2 == 0 {
        for attributes in [&mut attributes, &mut again] {
            http::begin(attributes, &request, None, QueryValues::Redact);
        }
        assert_eq!(attributes.as_bytes(), again.as_bytes(), "a kept server tells the same");
        http::end(&mut attributes, request.kind, &outcome);
    } else {
        for attributes in [&mut attributes, &mut again] {
            rpc::begin(attributes, &request);
        }
        assert_eq!(attributes.as_bytes(), again.as_bytes(), "a kept server tells the same");
        rpc::end(&mut attributes, request.kind, path, &outcome);
    }
    HealthChecks::default().matches(path, &headers);
    let mut size = 0;
    for (name, value) in Pairs::new(attributes.as_bytes()) {
        size += 1;
        let Value::Text(text) = value else { continue };
        assert!(std::str::from_utf8(text).is_ok(), "a receiver refuses what is not UTF-8");
        let query = match name {
            _ if name == Key::UrlQuery.as_str().as_bytes() => Some(text),
            _ if name == Key::UrlFull.as_str().as_bytes() => {
                let at = text.iter().position(|b| *b == b'?');
                at.map(|at| &text[at + 1..])
            }
            _ => None,
        };
        // A host or a path may have a question mark only where the request's own had none.
        if path.contains(&b'?') || headers.first("host").is_some_and(|h| h.contains(&b'?')) {
            continue;
        }
        for pair in query.unwrap_or_default().split(|b| *b == b'&') {
            let at = pair.iter().position(|b| *b == b'=');
            let value = at.map(|at| &pair[at + 1..]).unwrap_or_default();
            assert!(b"REDACTED".starts_with(value), "a value of the query is recorded");
        }
    }
    assert!(size >= 2, "the records are read back");
});
