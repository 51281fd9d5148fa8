//! OTLP over gRPC: the three services with their one method, `Export`.
//!
//! tonic has the protocol: framing, compression, bounds, statuses. Messages stay bytes, so that
//! they are taken apart like those that come over HTTP.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::body::Bounded;
use super::{MAX_MESSAGE, http::accepted, take};
use crate::analysis::message::{Encoding, Malformed, Signal};
use crate::view::Backend;

/// Whether a request is gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call.
pub(crate) async fn answer(
    backend: &Arc<Backend>,
    request: Request<Incoming>,
) -> Response<tonic::body::Body> {
    let Some(signal) = signal(request.uri().path()) else {
        return Status::unimplemented("only the Export methods of OTLP are here").into_http();
    };
    let mut accept = EnabledCompressionEncodings::default();
    accept.enable(CompressionEncoding::Gzip);
    let room = Arc::clone(&backend.room);
    let request = request.map(|body| Bounded::new(body, &room).map_err(Status::from));
    Grpc::new(Raw)
        .apply_compression_config(accept, EnabledCompressionEncodings::default())
        .apply_max_message_size_config(Some(MAX_MESSAGE), None)
        .unary(Export { backend: Arc::clone(backend), signal }, request)
        .await
}

fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

/// The method `Export` of one of the services.
struct Export {
    backend: Arc<Backend>,
    signal: Signal,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let outcome = take(&self.backend, self.signal, Encoding::Protobuf, &request.into_inner());
        std::future::ready(match outcome {
            Ok(outcome) => {
                Ok(tonic::Response::new(accepted(Encoding::Protobuf, self.signal, outcome)))
            }
            Err(Malformed(text)) => Err(Status::new(Code::InvalidArgument, text)),
        })
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}
