//! The same span as `opentelemetry_sdk` makes it, and its `BatchSpanProcessor` behind.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};
use tokio::runtime::Runtime;

use super::{BATCH, DELAY, Side, Way};

/// Its default is 2,048; so many spans wait in spandrel by default.
const QUEUE: usize = 8_192;

/// A tracer, and the processor that sends.
pub(super) struct Sdk {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    caller: Context,
    _runtime: Runtime,
}

impl Sdk {
    /// Everything as its documentation sets it up.
    pub(super) fn start(way: Way, to: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let exporter = {
            let _inside = runtime.enter();
            match way {
                Way::Grpc => SpanExporter::builder()
                    .with_tonic()
                    .with_endpoint(format!("http://{to}"))
                    .build(),
                Way::Http => SpanExporter::builder()
                    .with_http()
                    .with_protocol(Protocol::HttpBinary)
                    .with_endpoint(format!("http://{to}/v1/traces"))
                    .build(),
            }
        };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter.expect("the settings are good"))
            .with_batch_config(config)
            .build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let caller = SpanContext::new(
            TraceId::from_bytes([7; 16]),
            SpanId::from_bytes([7; 8]),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        Self {
            tracer: provider.tracer("spandrel"),
            provider,
            caller: Context::new().with_remote_span_context(caller),
            _runtime: runtime,
        }
    }
}

impl Side for Sdk {
    fn span(&mut self, at: u64) {
        let begin = SystemTime::UNIX_EPOCH + Duration::from_nanos(at);
        // What comes with a request has to be kept; what is known before need not.
        let attributes = vec![
            KeyValue::new("http.request.method", super::METHOD),
            KeyValue::new("http.route", super::ROUTE),
            KeyValue::new("url.path", super::PATH.to_owned()),
            KeyValue::new("url.scheme", super::SCHEME),
            KeyValue::new("network.protocol.version", super::VERSION),
            KeyValue::new("server.address", super::SERVER.to_owned()),
            KeyValue::new("server.port", super::PORT),
            KeyValue::new("client.address", super::CLIENT.to_owned()),
            KeyValue::new("user_agent.original", super::AGENT.to_owned()),
            KeyValue::new("http.response.status_code", super::STATUS),
        ];
        let mut span = self
            .tracer
            .span_builder(format!("{} {}", super::METHOD, super::ROUTE))
            .with_kind(SpanKind::Server)
            .with_start_time(begin)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &self.caller);
        span.end_with_timestamp(begin + Duration::from_nanos(super::LENGTH));
    }

    fn drain(&mut self, _: u64) {
        self.provider.force_flush().expect("the receiver takes all");
    }

    fn end(self: Box<Self>) {
        self.provider.shutdown().expect("the receiver takes all");
    }
}
