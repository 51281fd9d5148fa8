//! OTLP over gRPC: the three services with their one method, `Export`.
//!
//! tonic has the protocol: framing, compression, bounds, statuses. Messages stay bytes, so that
//! they are taken apart like those that come over HTTP.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::Message as _;
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::body::Bounded;
use super::http::accepted;
use super::{FULL, Intake, RETRY_AFTER, Receiver, Refusal};
use crate::otlp::{Encoding, Signal};

/// Whether a request is gRPC's.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call.
pub(super) async fn answer<R: Receiver>(
    intake: &Intake<R>,
    request: Request<Incoming>,
) -> Response<tonic::body::Body> {
    let Some(signal) = signal(request.uri().path()) else {
        return Status::unimplemented("only the Export methods of OTLP are here").into_http();
    };
    let mut accept = EnabledCompressionEncodings::default();
    accept.enable(CompressionEncoding::Gzip);
    let room = Arc::clone(&intake.room);
    let request = request.map(|body| Bounded::new(body, &room).map_err(Status::from));
    let response = Grpc::new(Raw)
        .apply_compression_config(accept, EnabledCompressionEncodings::default())
        .apply_max_message_size_config(Some(intake.max_message), None)
        .unary(Export { receiver: Arc::clone(&intake.receiver), signal }, request)
        .await;
    final_if_too_large(response)
}

fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

/// tonic says that a message is too large by a code that OTLP has its senders try again for.
fn final_if_too_large<B>(mut response: Response<B>) -> Response<B> {
    let code = |code: Code| HeaderValue::from(code as i32);
    if response.headers().get(Status::GRPC_STATUS) == Some(&code(Code::OutOfRange)) {
        response.headers_mut().insert(Status::GRPC_STATUS, code(Code::ResourceExhausted));
    }
    response
}

/// The method `Export` of one of the services.
struct Export<R> {
    receiver: Arc<R>,
    signal: Signal,
}

impl<R: Receiver> UnaryService<Bytes> for Export<R> {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let message = request.into_inner();
        let outcome = self.receiver.take(self.signal, Encoding::Protobuf, &message);
        std::future::ready(match outcome {
            Ok(outcome) => {
                Ok(tonic::Response::new(accepted(Encoding::Protobuf, self.signal, outcome)))
            }
            Err(Refusal::Malformed(text)) => Err(Status::new(Code::InvalidArgument, text)),
            Err(Refusal::Full) => Err(later(FULL)),
        })
    }
}

/// A refusal that asks to be sent the same again (OTLP, "OTLP/gRPC Throttling").
pub(super) fn later(text: &str) -> Status {
    let seconds = i64::try_from(RETRY_AFTER.as_secs()).unwrap_or(i64::MAX);
    let retry = RetryInfo { delay: Some(Delay { seconds }) };
    let detail = Detail {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: retry.encode_to_vec(),
    };
    let status =
        Refused { code: Code::Unavailable as i32, message: text.to_owned(), details: vec![detail] };
    Status::with_details(Code::Unavailable, text, status.encode_to_vec().into())
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Refused {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`, of whole seconds.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
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
