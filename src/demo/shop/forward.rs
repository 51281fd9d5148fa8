//! All that a service does for tracing: it passes four headers on.
//!
//! A sidecar sees requests come in and calls go out, but not which call belongs to which request;
//! only the service knows that. It says so by copying the headers of the request it is working on
//! to each call it makes for it. It does not read them, and makes none up: where they are missing
//! it passes nothing on. Most web frameworks can be told to do the same in a line or two.
//!
//! | header | why it is passed on |
//! |---|---|
//! | `traceparent` | joins the call to the request |
//! | `tracestate` | what vendors of tracing add to that |
//! | `baggage` | what the callers say about the request to everybody behind |
//! | `x-tenant-id` | whose request it is |

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use tonic::metadata::MetadataMap;

/// The header that names the tenant.
pub const TENANT: &str = "x-tenant-id";

/// The headers that are passed on.
const FORWARDED: [&str; 4] = ["traceparent", "tracestate", "baggage", TENANT];

/// What a request has brought that is passed on with the calls made for it.
#[derive(Clone, Debug)]
pub struct Forwarded(HeaderMap);

impl Forwarded {
    /// The part of a request's headers that is passed on.
    #[must_use]
    pub fn from(headers: &HeaderMap) -> Self {
        let is_forwarded = |name: &str| FORWARDED.contains(&name);
        let kept = headers.iter().filter(|(name, _)| is_forwarded(name.as_str()));
        // Repeats are kept: `baggage` and `tracestate` may come in several lines.
        let mut forwarded = HeaderMap::new();
        for (name, value) in kept {
            forwarded.append(name, value.clone());
        }
        Self(forwarded)
    }

    /// A call of a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Request<Bytes> {
        self.request(Method::GET, path, Bytes::new())
    }

    /// A call of a path, with something to say.
    #[must_use]
    pub fn post(&self, path: &str, body: Bytes) -> Request<Bytes> {
        self.request(Method::POST, path, body)
    }

    /// The metadata of a gRPC call.
    #[must_use]
    pub fn metadata(&self) -> MetadataMap {
        MetadataMap::from_headers(self.0.clone())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("the services call paths");
        *request.headers_mut() = self.0.clone();
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn came(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_four_headers_go_on_with_every_kind_of_call_and_no_other_does() {
        let headers = came(&[
            ("traceparent", "00-1-2-01"),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
            ("baggage", "tier=gold"),
            ("x-tenant-id", "acme"),
            ("host", "gateway"),
            ("cookie", "secret"),
            ("x-request-id", "7"),
        ]);
        let forwarded = Forwarded::from(&headers);
        let metadata = forwarded.metadata().into_headers();
        let get = forwarded.get("/items/1");
        let post = forwarded.post("/items/1/reservation", Bytes::from_static(b"{}"));
        for out in [get.headers(), post.headers(), &metadata] {
            assert_eq!(out.len(), 5, "{out:?}");
            for name in FORWARDED {
                let (came, went) = (headers.get_all(name), out.get_all(name));
                assert!(came.iter().eq(went.iter()), "{name}: {out:?}");
            }
        }
        assert_eq!((get.method(), post.method()), (&Method::GET, &Method::POST));
    }

    #[test]
    fn nothing_is_made_up() {
        let forwarded = Forwarded::from(&came(&[("host", "gateway")]));
        assert!(forwarded.get("/cart").headers().is_empty());
        assert!(forwarded.metadata().is_empty());
    }
}
