//! Spans as Zipkin's JSON, version 2, posted to `/api/v2/spans`.
//!
//! Zipkin knows neither metrics nor logs. What becomes of a span is decided in [`span`].

mod span;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::answer::{self, Form};
use super::exporter::{Exporter, Packed, Sending, Unfit};
use super::parcel::{Parcel, Signal};
use super::request::{coding, compress, headers};
use super::transport::{Transport, uri};
use super::{Compression, ExportError, Zipkin};
use crate::net::own::OwnSockets;

/// Tells servers that propagate B3 not to trace the export itself.
const B3: HeaderName = HeaderName::from_static("b3");

/// Posts each parcel of spans.
#[derive(Debug)]
struct Post {
    url: String,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
    transport: Transport,
}

/// The exporter that `zipkin` asks for; its connections are among `own`.
pub(super) fn connect(zipkin: &Zipkin, own: &OwnSockets) -> Result<Box<dyn Exporter>, ExportError> {
    let uri = uri(&zipkin.url)?;
    let mut headers = headers(&zipkin.client)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(B3, HeaderValue::from_static("0"));
    if let Some(coding) = coding(zipkin.client.compression) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let transport = Transport::new(&zipkin.client, Version::HTTP_11, &uri, own)?;
    let (url, compression) = (zipkin.url.clone(), zipkin.client.compression);
    Ok(Box::new(Post { url, uri, headers, compression, transport }))
}

impl Exporter for Post {
    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Traces
    }

    fn pack(&self, parcel: &Parcel) -> Result<Packed, Unfit> {
        let body = compress(self.compression, &body(&parcel.message)?);
        Ok(Packed { signal: parcel.signal, body })
    }

    fn send(&self, packed: Packed) -> Sending {
        let mut request = Request::new(packed.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let transport = self.transport.clone();
        Box::pin(async move { answer::outcome(transport.send(request).await, Form::Text) })
    }

    fn url(&self) -> &str {
        &self.url
    }
}

/// The list of the spans of an export request.
pub(super) fn body(message: &Bytes) -> Result<Bytes, Unfit> {
    let request = ExportTraceServiceRequest::decode(message.clone())
        .map_err(|error| Unfit(format!("it is not the protobuf of an OTLP request: {error}")))?;
    let mut spans = Vec::new();
    for group in &request.resource_spans {
        let origin = span::Origin::of(group.resource.as_ref());
        for scope in &group.scope_spans {
            for span in &scope.spans {
                spans.push(span::of(span, &origin, scope.scope.as_ref())?);
            }
        }
    }
    Ok(serde_json::to_vec(&spans).expect("text and numbers can be written").into())
}

#[cfg(test)]
mod tests;
