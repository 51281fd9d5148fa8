//! From finished spans to a collector.
//!
//! A worker writes its spans into a [`Sink`]; the [`Pipeline`] on the control thread gathers them
//! into batches, encodes each batch once, and sends it until it is taken, refused, or out of
//! time. No step waits for the one behind it without a bound, and every span that a sink took is
//! counted in the end as exported or as dropped for a reason, and never as both.

mod batch;
mod config;
mod connect;
mod encode;
mod exporter;
#[cfg(fuzzing)]
pub mod fuzzing;
mod otlp;
mod parcel;
mod queue;
mod retry;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
mod wire;

use std::fmt;
use std::path::PathBuf;

pub use batch::Pipeline;
pub use config::{
    Batch, Compression, Config, Destination, Filter, Otlp, Protocol, Queue, Target, WhenFull,
};
pub use connect::{Connector, OwnStream};
pub use encode::Encoder;
pub use otlp::headers;
pub use parcel::{Parcel, Signal};
pub use queue::{HAND_OVER_BYTES, HAND_OVER_SPANS, Sink};
pub use transport::{Answer, Bounds, SendError, Transport, roots, uri};

use crate::metrics::Registry;
use crate::net::own::OwnSockets;

/// Why the export cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// The URL is none that can be sent to.
    Url {
        /// The URL as it was given.
        url: String,
    },
    /// A header cannot be sent. Its value, which may be a secret, is not repeated.
    Header {
        /// The header's name as it was given.
        name: String,
    },
    /// A certificate or a key cannot be used.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url } => write!(
                f,
                "`{url}` is not an OTLP endpoint: give a URL such as http://collector:4318"
            ),
            Self::Header { name } => write!(
                f,
                "the OTLP header `{name}` cannot be sent: use visible ASCII characters in its \
                 name and value"
            ),
            Self::File { path, problem } => write!(
                f,
                "the PEM file `{}` for the OTLP endpoint cannot be used, correct it: {problem}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ExportError {}

/// The pipeline that `config` asks for, and a sink for each of `workers`. Its connections are among
/// `own`.
///
/// # Errors
/// When the endpoint, a header or a certificate of the settings cannot be used.
pub fn build(
    config: &Config,
    registry: &Registry,
    workers: usize,
    own: &OwnSockets,
) -> Result<(Vec<Sink>, Pipeline), ExportError> {
    let exporter = exporter::connect(&config.first.target, own)?;
    let encoder = Encoder::new(&config.resource);
    let books = registry.books(&config.first.name);
    let (sinks, intake) = queue::open(workers, config.batch.max_queue_size, registry, &books);
    Ok((sinks, Pipeline::new(config.batch, intake, encoder, exporter, books)))
}

#[cfg(test)]
mod tests {
    use super::testing::{Authority, Collector, Script, Seen, books, finish};
    use super::*;
    use crate::trace::resource::Resource;
    use opentelemetry_proto::tonic::collector::trace::v1 as proto;
    use prost::Message as _;
    use std::io::Read as _;
    use std::net::SocketAddr;
    use std::time::Duration;

    const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

    fn config(protocol: Protocol, address: SocketAddr) -> Config {
        let base_url = format!("http://{address}");
        let traces_url = match protocol {
            Protocol::Grpc => base_url.clone(),
            Protocol::HttpProtobuf => format!("{base_url}/v1/traces"),
        };
        let target = Target::Otlp(Otlp { traces_url, base_url, protocol, ..Otlp::default() });
        let filter = Filter::default();
        Config {
            first: Destination { name: "otlp".to_owned(), target, filter },
            further: Vec::new(),
            batch: Batch::default(),
            queue: Queue::default(),
            canary: false,
            resource: Resource::new(Some("orders"), &[]),
        }
    }

    fn otlp(config: &mut Config) -> &mut Otlp {
        let Target::Otlp(otlp) = &mut config.first.target;
        otlp
    }

    /// Sends five spans with these settings, and gives the books in the end.
    async fn run(config: &Config) -> [u64; 6] {
        let registry = Registry::default();
        let (mut sinks, pipeline) =
            build(config, &registry, 2, &OwnSockets::default()).expect("the settings are good");
        finish(&mut sinks[0], 2);
        finish(&mut sinks[1], 3);
        drop(sinks);
        pipeline.run(std::future::pending(), Duration::ZERO).await;
        books(&registry)
    }

    async fn play(protocol: Protocol, script: Vec<Script>) -> ([u64; 6], Collector) {
        let collector = Collector::start(protocol, script).await;
        (run(&config(protocol, collector.address)).await, collector)
    }

    fn decode(protocol: Protocol, seen: &Seen, is_gzip: bool) -> proto::ExportTraceServiceRequest {
        let mut body = &seen.body()[..];
        if protocol == Protocol::Grpc {
            assert_eq!(body[0], u8::from(is_gzip));
            assert_eq!(body[1..5], u32::try_from(body.len() - 5).expect("short").to_be_bytes());
            body = &body[5..];
        }
        let mut plain = Vec::new();
        if is_gzip {
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
            body = &plain;
        }
        proto::ExportTraceServiceRequest::decode(body).expect("a request")
    }

    fn header<'a>(seen: &'a Seen, name: &str) -> &'a str {
        seen.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[tokio::test]
    async fn spans_of_all_workers_arrive_in_one_request() {
        for (protocol, path, content_type) in [
            (Protocol::HttpProtobuf, "/v1/traces", "application/x-protobuf"),
            (
                Protocol::Grpc,
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                "application/grpc",
            ),
        ] {
            let (books, mut collector) = play(protocol, vec![]).await;
            assert_eq!(books, [5, 5, 0, 0, 0, 0]);
            let seen = collector.next().await;
            let request = decode(protocol, &seen, false);
            assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5);
            assert_eq!((seen.method().as_str(), seen.uri().path()), ("POST", path));
            assert_eq!(header(&seen, "content-type"), content_type);
            assert!(header(&seen, "user-agent").starts_with("OTel-OTLP-Exporter-Rust/"));
            assert_eq!(header(&seen, "te") == "trailers", protocol == Protocol::Grpc);
            assert_eq!(collector.waiting(), 0);
        }
    }

    #[tokio::test]
    async fn headers_and_compression_are_as_configured() {
        for (protocol, encoding) in
            [(Protocol::HttpProtobuf, "content-encoding"), (Protocol::Grpc, "grpc-encoding")]
        {
            let mut collector = Collector::start(protocol, vec![]).await;
            let mut config = config(protocol, collector.address);
            otlp(&mut config).compression = Compression::Gzip;
            otlp(&mut config).headers = vec![("x-token".to_owned(), "s3cret".to_owned())];
            assert_eq!(run(&config).await, [5, 5, 0, 0, 0, 0]);
            let seen = collector.next().await;
            assert_eq!((header(&seen, encoding), header(&seen, "x-token")), ("gzip", "s3cret"));
            let request = decode(protocol, &seen, true);
            assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5);
        }
    }

    #[tokio::test]
    async fn a_busy_destination_gets_the_same_bytes_again() {
        let busy = |protocol| match protocol {
            Protocol::Grpc => Script::grpc(b"", &[("grpc-status", "14")]),
            Protocol::HttpProtobuf => Script::http(503, &[("retry-after", "1")], vec![]),
        };
        for protocol in BOTH {
            let (books, mut collector) = play(protocol, vec![busy(protocol)]).await;
            assert_eq!(books, [5, 5, 0, 0, 0, 0]);
            let (first, second) = (collector.next().await, collector.next().await);
            assert_eq!(first.body(), second.body());
        }
    }

    #[tokio::test]
    async fn a_broken_connection_is_tried_again() {
        for protocol in BOTH {
            let (books, collector) = play(protocol, vec![Script::Close]).await;
            assert_eq!(books, [5, 5, 0, 0, 0, 0]);
            assert_eq!(collector.waiting(), 2);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        for (protocol, refusal) in [
            (Protocol::Grpc, Script::grpc(b"", &[("grpc-status", "3")])),
            (Protocol::Grpc, Script::http(200, &[("grpc-status", "16")], vec![])),
            (Protocol::HttpProtobuf, Script::http(400, &[], vec![])),
            (Protocol::HttpProtobuf, Script::http(500, &[], vec![])),
        ] {
            let (books, collector) = play(protocol, vec![refusal]).await;
            assert_eq!(books, [5, 0, 0, 5, 0, 0]);
            assert_eq!(collector.waiting(), 1);
        }
    }

    #[tokio::test]
    async fn partial_success_is_counted_on_both_sides() {
        let partial = proto::ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too old".to_owned(),
        };
        let response =
            proto::ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        for (protocol, script) in [
            (Protocol::Grpc, Script::grpc(&response, &[("grpc-status", "0")])),
            (Protocol::HttpProtobuf, Script::http(200, &[], response.clone())),
        ] {
            let (books, collector) = play(protocol, vec![script]).await;
            assert_eq!(books, [5, 3, 0, 2, 0, 0]);
            assert_eq!(collector.waiting(), 1);
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_its_end() {
        let endless = Script::http(200, &[], vec![0; 5 * 1024 * 1024]);
        let (books, collector) = play(Protocol::HttpProtobuf, vec![endless]).await;
        assert_eq!(books, [5, 0, 0, 5, 0, 0]);
        assert_eq!(collector.waiting(), 1);
    }

    #[tokio::test]
    async fn a_destination_that_hangs_or_is_not_there_is_given_up_in_time() {
        let hurry = |mut config: Config| {
            otlp(&mut config).timeout = Duration::from_millis(50);
            config.batch.export_timeout = Duration::from_millis(200);
            config
        };
        for protocol in BOTH {
            let hanging = Collector::start(protocol, vec![Script::Hang]).await;
            let books = run(&hurry(config(protocol, hanging.address))).await;
            assert_eq!(books, [5, 0, 0, 0, 5, 0]);
            assert_eq!(hanging.waiting(), 1);

            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
            let nobody = listener.local_addr().expect("it is bound");
            drop(listener);
            assert_eq!(run(&hurry(config(protocol, nobody))).await, [5, 0, 0, 0, 5, 0]);
        }
    }

    #[tokio::test]
    async fn over_tls_both_sides_show_their_certificates() {
        for (protocol, name) in [(Protocol::Grpc, "grpc"), (Protocol::HttpProtobuf, "http")] {
            let authority = Authority::new(name);
            let mut collector = Collector::start_tls(protocol, &authority).await;
            let mut config = config(protocol, collector.address);
            let url = format!("https://localhost:{}/v1/traces", collector.address.port());
            otlp(&mut config).traces_url = url;
            otlp(&mut config).certificate = Some(authority.certificate());
            config.batch.export_timeout = Duration::from_millis(500);
            assert_eq!(run(&config).await, [5, 0, 0, 0, 5, 0], "a client without a certificate");
            otlp(&mut config).client_certificate = Some(authority.client());
            assert_eq!(run(&config).await, [5, 5, 0, 0, 0, 0]);
            let request = decode(protocol, &collector.next().await, false);
            assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5);

            otlp(&mut config).certificate = None;
            assert_eq!(run(&config).await, [5, 0, 0, 0, 5, 0], "an authority nobody knows");
            assert_eq!(collector.waiting(), 0);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_told_at_the_start() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = |config: &Config| {
            build(config, &Registry::default(), 1, &OwnSockets::default())
                .expect_err("not possible")
                .to_string()
        };
        for protocol in BOTH {
            let mut config = config(protocol, address);
            otlp(&mut config).headers = vec![("x-token".to_owned(), "line\nbreak".to_owned())];
            let text = error(&config);
            assert!(text.contains("x-token") && !text.contains("break"), "{text}");
            otlp(&mut config).traces_url = "collector:4317".to_owned();
            assert!(error(&config).contains("collector:4317"));
        }
    }
}
