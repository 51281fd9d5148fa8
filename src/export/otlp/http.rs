//! OTLP/HTTP with protobuf bodies.

use std::time::Duration;

use super::{
    Compression, ExportError, Exporter, Otlp, Packed, Parcel, Reply, Sending, Signal, Unfit,
};
use crate::export::transport::{Answer, SendError, Transport, uri};
use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderValue, Method, Request, Uri};

/// The paths of the signals beside traces, below the common URL.
const METRICS_PATH: &str = "/v1/metrics";
const LOGS_PATH: &str = "/v1/logs";

/// Posts each parcel to the URL of its signal.
#[derive(Debug)]
pub(super) struct Http {
    url: String,
    traces: Uri,
    metrics: Uri,
    logs: Uri,
    headers: HeaderMap,
    compression: Compression,
    transport: Transport,
}

impl Http {
    pub(super) fn new(otlp: &Otlp, traces: Uri, transport: Transport) -> Result<Self, ExportError> {
        let mut headers = super::headers(otlp)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(coding) = super::coding(otlp.compression) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        let base = otlp.base_url.trim_end_matches('/');
        Ok(Self {
            url: otlp.traces_url.clone(),
            traces,
            metrics: uri(&format!("{base}{METRICS_PATH}"))?,
            logs: uri(&format!("{base}{LOGS_PATH}"))?,
            headers,
            compression: otlp.compression,
            transport,
        })
    }

    const fn uri(&self, signal: Signal) -> &Uri {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}

impl Exporter for Http {
    fn takes(&self, _: Signal) -> bool {
        true
    }

    fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit> {
        let body = super::compress(self.compression, &parcel.message);
        Ok(Packed { signal: parcel.signal, body })
    }

    fn send(&self, packed: Packed) -> Sending {
        let mut request = Request::new(packed.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(packed.signal).clone();
        *request.headers_mut() = self.headers.clone();
        let transport = self.transport.clone();
        Box::pin(async move {
            super::classify(match transport.send(request).await {
                Ok(answer) => reply(answer),
                Err(SendError::TooLong(_)) => Reply::TooLong,
                Err(SendError::Failed(reason)) => Reply::None(reason),
            })
        })
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
