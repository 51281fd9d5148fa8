//! OTLP/HTTP with bodies in protobuf or JSON.

use super::{
    Compression, ExportError, Exporter, Otlp, Packed, Parcel, Protocol, Sending, Signal, Unfit,
};
use crate::export::answer::{self, Form};
use crate::export::json;
use crate::export::request::{coding, compress, headers};
use crate::export::transport::{Transport, uri};
use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
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
    form: Form,
    compression: Compression,
    transport: Transport,
}

impl Http {
    pub(super) fn new(otlp: &Otlp, traces: Uri, transport: Transport) -> Result<Self, ExportError> {
        let mut headers = headers(&otlp.client)?;
        let is_json = otlp.protocol == Protocol::HttpJson;
        let kind = if is_json { "application/json" } else { "application/x-protobuf" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(coding) = coding(otlp.client.compression) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        let base = otlp.base_url.trim_end_matches('/');
        Ok(Self {
            url: otlp.traces_url.clone(),
            traces,
            metrics: uri(&format!("{base}{METRICS_PATH}"))?,
            logs: uri(&format!("{base}{LOGS_PATH}"))?,
            headers,
            form: if is_json { Form::Json } else { Form::Protobuf },
            compression: otlp.client.compression,
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
        let body = match self.form {
            Form::Json => compress(self.compression, &json::of(parcel)?.into()),
            _ => compress(self.compression, &parcel.message),
        };
        Ok(Packed { signal: parcel.signal, body })
    }

    fn send(&self, packed: Packed) -> Sending {
        let mut request = Request::new(packed.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(packed.signal).clone();
        *request.headers_mut() = self.headers.clone();
        let (transport, form) = (self.transport.clone(), self.form);
        Box::pin(async move { answer::outcome(transport.send(request).await, form) })
    }

    fn url(&self) -> &str {
        &self.url
    }
}
