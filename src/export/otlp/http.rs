//! OTLP/HTTP with protobuf bodies.

use std::time::Duration;

use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderValue, Method, Request, Uri};
use bytes::Bytes;

use super::{Compression, ExportError, Exporter, Otlp, Outcome, Reply, Sending};
use crate::export::transport::{Answer, SendError, Transport};

/// Posts each batch to one URL.
#[derive(Debug)]
pub(super) struct Http {
    url: String,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
    transport: Transport,
}

impl Http {
    pub(super) fn new(otlp: &Otlp, uri: Uri, transport: Transport) -> Result<Self, ExportError> {
        let mut headers = super::headers(otlp)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if otlp.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let compression = otlp.compression;
        Ok(Self { url: otlp.traces_url.clone(), uri, headers, compression, transport })
    }

    async fn post(&self, body: Bytes) -> Outcome {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        super::classify(match self.transport.send(request).await {
            Ok(answer) => reply(answer),
            Err(SendError::TooLong(_)) => Reply::TooLong,
            Err(SendError::Failed(reason)) => Reply::None(reason),
        })
    }
}

impl Exporter for Http {
    fn pack(&self, message: Vec<u8>) -> Bytes {
        match self.compression {
            Compression::None => message.into(),
            Compression::Gzip => super::gzip(&message).into(),
        }
    }

    fn send(&mut self, packed: Bytes) -> Sending<'_> {
        Box::pin(self.post(packed))
    }

    fn url(&self) -> &str {
        &self.url
    }
}

pub(super) fn reply(Answer { head, body, .. }: Answer) -> Reply {
    let after = retry_after(&head.headers);
    Reply::Http { status: head.status.as_u16(), after, body }
}

/// The header in its form of seconds. The other form, a date, needs a clock that agrees with the
/// destination's; our own waits do as well.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds() {
        for (value, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("-1", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(value))].into_iter().collect();
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
