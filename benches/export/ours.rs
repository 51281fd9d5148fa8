//! A span as spandrel makes it, and the pipeline behind.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use spandrel::export::{
    self, Batch, Config, Destination, Filter, Otlp, Protocol, Queue, Sink, Target,
};
use spandrel::metrics::{Registry, SPANS_EXPORTED};
use spandrel::net::own::OwnSockets;
use spandrel::reach::Reach;
use spandrel::trace::resource::Resource;
use spandrel::trace::semconv::Key;
use spandrel::trace::span::{Attributes, Kind, Span, Status};
use spandrel::trace::{Flags, IdGenerator, SpanId};
use tokio::sync::oneshot;

use super::{BATCH, DELAY, Side, Way};

/// A worker's end, and the thread that sends.
pub(super) struct Ours {
    sink: Sink,
    ids: IdGenerator,
    parent: SpanId,
    attributes: Attributes,
    registry: Registry,
    stop: oneshot::Sender<()>,
    control: JoinHandle<()>,
}

impl Ours {
    /// Everything as in a sidecar with one worker.
    pub(super) fn start(way: Way, to: SocketAddr) -> Self {
        let base_url = format!("http://{to}");
        let (traces_url, protocol) = match way {
            Way::Grpc => (base_url.clone(), Protocol::Grpc),
            Way::Http => (format!("{base_url}/v1/traces"), Protocol::HttpProtobuf),
        };
        let otlp = Otlp { traces_url, base_url, protocol, ..Otlp::default() };
        let batch =
            Batch { schedule_delay: DELAY, max_export_batch_size: BATCH, ..Batch::default() };
        let config = Config {
            first: Destination {
                name: "otlp".to_owned(),
                target: Target::Otlp(otlp),
                filter: Filter::default(),
            },
            further: Vec::new(),
            batch,
            queue: Queue::default(),
            spool: None,
            canary: false,
            resource: Resource::new(Some("orders"), &[]),
        };
        let registry = Registry::default();
        let (mut sinks, pipeline) =
            export::build(&config, &registry, 1, &OwnSockets::default(), &Reach::default())
                .expect("the settings are good");
        let (stop, stopped) = oneshot::channel();
        let control = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            let stopped = async { drop(stopped.await) };
            runtime.block_on(pipeline.run(stopped, Duration::from_secs(10)));
        });
        let mut ids = IdGenerator::from_seed([1; 32]);
        Self {
            sink: sinks.remove(0),
            parent: ids.span_id(),
            ids,
            attributes: Attributes::default(),
            registry,
            stop,
            control,
        }
    }
}

impl Side for Ours {
    fn span(&mut self, at: u64) {
        let buffer = std::mem::take(&mut self.attributes).into_buffer();
        let mut attributes = Attributes::reuse(buffer);
        attributes.text(Key::HttpRequestMethod, super::METHOD);
        attributes.text(Key::HttpRoute, super::ROUTE);
        attributes.text(Key::UrlPath, super::PATH);
        attributes.text(Key::UrlScheme, super::SCHEME);
        attributes.text(Key::NetworkProtocolVersion, super::VERSION);
        attributes.text(Key::ServerAddress, super::SERVER);
        attributes.int(Key::ServerPort, super::PORT);
        attributes.text(Key::ClientAddress, super::CLIENT);
        attributes.text(Key::UserAgentOriginal, super::AGENT);
        attributes.int(Key::HttpResponseStatusCode, super::STATUS);
        let span = Span {
            trace_id: self.ids.trace_id(),
            span_id: self.ids.span_id(),
            parent: Some(self.parent),
            link: None,
            flags: Flags::SAMPLED,
            kind: Kind::Server,
            is_part: false,
            status: Status::Unset,
            start: at,
            end: at + super::LENGTH,
        };
        let name = [super::METHOD.as_bytes(), b" ", super::ROUTE.as_bytes()];
        self.sink.finish(span, &name, b"", &attributes);
        self.attributes = attributes;
    }

    fn drain(&mut self, spans: u64) {
        self.sink.flush();
        let exported = || -> u64 {
            let samples = self.registry.samples();
            samples.iter().filter(|s| s.metric == SPANS_EXPORTED).map(|s| s.value).sum()
        };
        while exported() < spans {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn end(self: Box<Self>) {
        let Self { sink, stop, control, .. } = *self;
        // The pipeline ends with its last sink; a pipeline that does not is told to.
        drop(sink);
        drop(stop);
        control.join().expect("the pipeline ends well");
    }
}
