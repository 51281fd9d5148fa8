//! spandrel's own logs and metrics: the only folder that knows the OpenTelemetry SDK.
//!
//! Log lines always go to standard error. Where the configuration asks for it they also go to
//! the collector, and so do the numbers of [`metrics`](crate::metrics), by the exporters of the
//! SDK. Those work on threads of their own, which have no runtime; what needs one, the sockets,
//! is done on the control thread. Spans of requests do not pass through here.

mod instruments;
mod senders;

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use self::senders::{log_exporter, metric_exporter};
use crate::export::{ExportError, Otlp};
use crate::metrics::Registry;
use crate::net::own::OwnSockets;
use crate::trace::resource::Resource;
use crate::trace::semconv::SCHEMA_URL;

/// The name of the instrumentation scope.
const SCOPE: &str = "spandrel";

/// Log lines of these crates never go to the collector: sending them would make more of them.
const SENDERS: [&str; 6] = ["opentelemetry", "hyper", "h2", "tonic", "tower", "reqwest"];

/// Log lines that wait for whoever reads standard error; when it stops reading, the next ones are
/// lost rather than a request held up.
const MAX_WAITING_LINES: usize = 1_024;

/// The settings of spandrel's own telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which log lines are written, as a filter of `tracing-subscriber` (`info`, `spandrel=debug`).
    pub log_filter: String,
    /// How log lines are written to standard error.
    pub log_format: LogFormat,
    /// Whether log lines also go to the collector.
    pub logs_to_otlp: bool,
    /// Whether metrics also go to the collector.
    pub metrics_to_otlp: bool,
    /// How often metrics go to the collector.
    pub metrics_interval: Duration,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_filter: "info".to_owned(),
            log_format: LogFormat::Text,
            logs_to_otlp: false,
            metrics_to_otlp: false,
            metrics_interval: Duration::from_secs(60),
        }
    }
}

/// The logs and metrics of the process, as they were set up.
#[derive(Debug)]
#[must_use = "what is not shut down loses its last log lines and numbers"]
pub struct Telemetry {
    logs: Option<SdkLoggerProvider>,
    metrics: Option<SdkMeterProvider>,
    /// Writes the last lines out when it is dropped.
    flusher: Option<WorkerGuard>,
}

/// Why logs or metrics cannot be set up.
#[derive(Debug)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    Filter {
        /// The filter as it was given.
        filter: String,
    },
    /// The collector's endpoint cannot be used.
    Endpoint(ExportError),
    /// The SDK does not accept the settings.
    Exporter(String),
    /// Somebody in this process has set up logs already.
    AlreadySet,
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { filter } => write!(
                f,
                "`{filter}` is not a log filter: write it like `info` or `warn,spandrel=debug`"
            ),
            Self::Endpoint(error) => error.fmt(f),
            Self::Exporter(problem) => {
                write!(f, "the OTLP settings do not work for logs and metrics: {problem}")
            }
            Self::AlreadySet => f.write_str("set up logs only once in a process"),
        }
    }
}

impl std::error::Error for TelemetryError {}

impl From<ExportError> for TelemetryError {
    fn from(error: ExportError) -> Self {
        Self::Endpoint(error)
    }
}

impl From<ExporterBuildError> for TelemetryError {
    fn from(error: ExporterBuildError) -> Self {
        Self::Exporter(error.to_string())
    }
}

/// Begins to write logs, for the whole process, and to send what `config` asks for with the
/// settings of `otlp`, over sockets that `control` looks after
/// and that are among `own`.
///
/// # Errors
/// When the filter or the settings of the endpoint cannot be used, or logs are set up already.
pub fn init(
    config: &Config,
    otlp: &Otlp,
    resource: &Resource,
    registry: &Arc<Registry>,
    control: &Handle,
    own: &OwnSockets,
) -> Result<Telemetry, TelemetryError> {
    let mut telemetry = Telemetry::new(config, otlp, resource, registry, control, own)?;
    let is_terminal = std::io::stderr().is_terminal();
    let (writer, flusher) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .finish(std::io::stderr());
    let subscriber = telemetry.subscriber(config, writer, is_terminal)?;
    telemetry.flusher = Some(flusher);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadySet)?;
    Ok(telemetry)
}

impl Telemetry {
    /// Begins to send the numbers of `registry` if `config` asks for it, over sockets that
    /// `control` looks after. Logs, of which a process has one kind only, stay as they are: this
    /// is for those who run several sidecars in one process.
    ///
    /// # Errors
    /// When the settings of the endpoint cannot be used.
    pub fn metrics_only(
        config: &Config,
        otlp: &Otlp,
        resource: &Resource,
        registry: &Arc<Registry>,
        control: &Handle,
        own: &OwnSockets,
    ) -> Result<Self, TelemetryError> {
        let mut telemetry = Self { logs: None, metrics: None, flusher: None };
        if config.metrics_to_otlp {
            let reader = PeriodicReader::builder(metric_exporter(otlp, control, own)?)
                .with_interval(config.metrics_interval)
                .build();
            let provider = SdkMeterProvider::builder()
                .with_resource(sdk_resource(resource))
                .with_reader(reader)
                .build();
            instruments::observe(&provider.meter(SCOPE), registry);
            telemetry.metrics = Some(provider);
        }
        Ok(telemetry)
    }

    fn new(
        config: &Config,
        otlp: &Otlp,
        resource: &Resource,
        registry: &Arc<Registry>,
        control: &Handle,
        own: &OwnSockets,
    ) -> Result<Self, TelemetryError> {
        let mut telemetry = Self::metrics_only(config, otlp, resource, registry, control, own)?;
        if config.logs_to_otlp {
            let provider = SdkLoggerProvider::builder()
                .with_resource(sdk_resource(resource))
                .with_batch_exporter(log_exporter(otlp, control, own)?)
                .build();
            telemetry.logs = Some(provider);
        }
        Ok(telemetry)
    }

    fn subscriber<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(
        &self,
        config: &Config,
        writer: W,
        is_terminal: bool,
    ) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError> {
        let filter = EnvFilter::try_new(&config.log_filter)
            .map_err(|_| TelemetryError::Filter { filter: config.log_filter.clone() })?;
        let bridge = self.logs.as_ref().map(|provider| {
            let is_ours = FilterFn::new(|metadata| !is_sender(metadata.target()));
            OpenTelemetryTracingBridge::new(provider).with_filter(is_ours)
        });
        let lines = lines(config.log_format, writer, is_terminal);
        Ok(tracing_subscriber::registry().with(filter).with(lines).with(bridge))
    }

    /// Sends the last log lines and numbers, for no longer than `deadline`.
    pub async fn shutdown(self, deadline: Duration) {
        let Self { logs, metrics, flusher: _flusher } = self;
        if logs.is_none() && metrics.is_none() {
            return;
        }
        // The SDK blocks while it sends, and it sends over sockets that this very thread serves.
        let (done, flushed) = oneshot::channel();
        let flush = move || {
            let metrics = metrics.map_or(Ok(()), |provider| provider.shutdown());
            let logs = logs.map_or(Ok(()), |provider| provider.shutdown_with_timeout(deadline));
            // Nobody listens any more once the deadline has passed.
            drop(done.send(metrics.and(logs)));
        };
        let thread = std::thread::Builder::new().name("telemetry-end".to_owned()).spawn(flush);
        let flushed = match thread {
            Ok(_) => tokio::time::timeout(deadline, flushed).await,
            Err(_) => return,
        };
        if !matches!(flushed, Ok(Ok(Ok(())))) {
            tracing::warn!("the last of our own logs and metrics did not reach the collector");
        }
    }
}

fn sdk_resource(resource: &Resource) -> opentelemetry_sdk::Resource {
    let attributes = resource.attributes.iter();
    opentelemetry_sdk::Resource::builder_empty()
        .with_schema_url(
            attributes.map(|(key, value)| KeyValue::new(key.clone(), value.clone())),
            SCHEMA_URL,
        )
        .build()
}

fn is_sender(target: &str) -> bool {
    SENDERS.iter().any(|sender| target.starts_with(sender))
}

fn lines<S>(
    format: LogFormat,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    is_terminal: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(is_terminal);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::{Authority, Collector, Seen};
    use crate::export::{Client, Compression, Protocol};
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1 as proto;
    use prost::Message;
    use std::io::Read as _;
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn config() -> Config {
        Config { logs_to_otlp: true, metrics_to_otlp: true, ..Config::default() }
    }

    /// Runs `act` with telemetry towards a collector, ends it, and gives what arrived.
    async fn collect(
        protocol: Protocol,
        compression: Compression,
        registry: &Arc<Registry>,
        act: impl FnOnce(),
    ) -> Vec<Seen> {
        let mut collector = Collector::start(protocol, vec![]).await;
        let otlp = Otlp {
            base_url: format!("http://{}", collector.address),
            protocol,
            client: Client {
                compression,
                headers: vec![("x-token".to_owned(), "50%25".to_owned())],
                ..Client::default()
            },
            ..Otlp::default()
        };
        let resource = Resource::new(Some("orders"), &[]);
        let control = Handle::current();
        let telemetry =
            Telemetry::new(&config(), &otlp, &resource, registry, &control, &OwnSockets::default())
                .expect("the settings are good");
        let subscriber =
            telemetry.subscriber(&config(), std::io::sink, false).expect("the filter is good");
        tracing::subscriber::with_default(subscriber, act);
        telemetry.shutdown(PATIENCE).await;
        let mut seen = Vec::new();
        while collector.waiting() > 0 {
            seen.push(collector.next().await);
        }
        seen
    }

    fn find<M: Message + Default>(protocol: Protocol, all: &[Seen], path: &str) -> M {
        let seen = all.iter().find(|seen| seen.uri().path() == path);
        let seen = seen.unwrap_or_else(|| panic!("nothing came to {path}: {all:?}"));
        assert_eq!(seen.headers()["x-token"], "50%25");
        let prefix = if protocol == Protocol::Grpc { 5 } else { 0 };
        M::decode(&seen.body()[prefix..]).expect("a request")
    }

    /// The value of a metric as the collector got it.
    fn value(request: &ExportMetricsServiceRequest, name: &str) -> Option<proto::NumberDataPoint> {
        let scope = &request.resource_metrics[0].scope_metrics[0];
        assert_eq!(scope.scope.as_ref().map(|scope| scope.name.as_str()), Some(SCOPE));
        let metric = scope.metrics.iter().find(|metric| metric.name == name)?;
        match metric.data.clone()? {
            proto::metric::Data::Sum(sum) => {
                assert!(sum.is_monotonic);
                sum.data_points.first().cloned()
            }
            proto::metric::Data::Gauge(gauge) => gauge.data_points.first().cloned(),
            other => panic!("{other:?} is neither a counter nor a gauge"),
        }
    }

    fn requests(registry: &Registry) {
        let labels = [("direction", "inbound")];
        registry.counter(crate::metrics::REQUESTS, &labels).add(7);
    }

    const PATHS: [(Protocol, &str, &str); 2] = [
        (Protocol::HttpProtobuf, "/v1/metrics", "/v1/logs"),
        (
            Protocol::Grpc,
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        ),
    ];

    #[tokio::test]
    async fn numbers_arrive_at_the_collector() {
        for (protocol, path, _) in PATHS {
            let registry = Arc::new(Registry::default());
            let act = || requests(&registry);
            let seen = collect(protocol, Compression::None, &registry, act).await;
            let request: ExportMetricsServiceRequest = find(protocol, &seen, path);
            let point = value(&request, "spandrel.requests").expect("the counter is there");
            assert_eq!(point.value, Some(proto::number_data_point::Value::AsInt(7)));
            assert_eq!(point.attributes[0].key, "direction");
            assert_eq!(value(&request, "spandrel.connections"), None, "nobody counts those");
            let resource = request.resource_metrics[0].resource.as_ref().expect("it has one");
            assert!(resource.attributes.iter().any(|a| a.key == "service.name"));
        }
    }

    #[tokio::test]
    async fn sidecars_of_one_process_send_numbers_of_their_own_and_no_logs() {
        let mut collector = Collector::start(Protocol::HttpProtobuf, vec![]).await;
        let otlp = Otlp { base_url: format!("http://{}", collector.address), ..Otlp::default() };
        for (name, count) in [("orders", 7), ("users", 3)] {
            let (resource, registry) = (Resource::new(Some(name), &[]), Arc::default());
            Registry::counter(&registry, crate::metrics::REQUESTS, &[]).add(count);
            let control = Handle::current();
            let telemetry = Telemetry::metrics_only(
                &config(),
                &otlp,
                &resource,
                &registry,
                &control,
                &OwnSockets::default(),
            )
            .expect("the settings are good");
            assert!(telemetry.logs.is_none(), "logs are of the whole process");
            telemetry.shutdown(PATIENCE).await;
            let request: ExportMetricsServiceRequest =
                Message::decode(&collector.next().await.body()[..]).expect("a request");
            let point = value(&request, "spandrel.requests").expect("the counter is there");
            let count = i64::try_from(count).expect("a small number");
            assert_eq!(point.value, Some(proto::number_data_point::Value::AsInt(count)));
            assert!(format!("{:?}", request.resource_metrics[0].resource).contains(name));
        }
        let silent = Config { metrics_to_otlp: false, ..config() };
        let (resource, registry) = (Resource::default(), Arc::default());
        let quiet = Telemetry::metrics_only(
            &silent,
            &otlp,
            &resource,
            &registry,
            &Handle::current(),
            &OwnSockets::default(),
        );
        assert!(quiet.expect("the settings are good").metrics.is_none());
        assert_eq!(collector.waiting(), 0);
    }

    #[tokio::test]
    async fn log_lines_arrive_at_the_collector_without_those_of_the_sending() {
        for (protocol, _, path) in PATHS {
            let registry = Arc::new(Registry::default());
            let act = || {
                tracing::info!(port = 8080, "listening");
                tracing::debug!("not wanted by the filter");
                tracing::info!(target: "hyper_util::client", "connecting");
                tracing::warn!(target: "opentelemetry_sdk", "export failed");
            };
            let seen = collect(protocol, Compression::None, &registry, act).await;
            let request: ExportLogsServiceRequest = find(protocol, &seen, path);
            let scopes = &request.resource_logs[0].scope_logs;
            let records: Vec<_> = scopes.iter().flat_map(|scope| &scope.log_records).collect();
            assert_eq!(records.len(), 1, "{records:?}");
            assert!(format!("{:?}", records[0].body).contains("listening"));
            assert_eq!(records[0].attributes[0].key, "port");
        }
    }

    #[tokio::test]
    async fn bodies_are_compressed_where_it_is_configured() {
        for (protocol, encoding) in
            [(Protocol::HttpProtobuf, "content-encoding"), (Protocol::Grpc, "grpc-encoding")]
        {
            let registry = Arc::new(Registry::default());
            let act = || requests(&registry);
            let seen = collect(protocol, Compression::Gzip, &registry, act).await;
            assert_eq!(seen[0].headers()[encoding], "gzip");
        }
    }

    #[tokio::test]
    async fn numbers_arrive_over_tls() {
        for (protocol, path, _) in PATHS {
            let authority = Authority::new(&format!("telemetry-{protocol:?}"));
            let mut collector = Collector::start_tls(protocol, &authority).await;
            let otlp = Otlp {
                base_url: format!("https://localhost:{}", collector.address.port()),
                protocol,
                client: Client {
                    certificate: Some(authority.certificate()),
                    client_certificate: Some(authority.client()),
                    ..Client::default()
                },
                ..Otlp::default()
            };
            let registry = Arc::new(Registry::default());
            requests(&registry);
            let config = Config { logs_to_otlp: false, ..config() };
            let resource = Resource::new(None, &[]);
            let telemetry = Telemetry::new(
                &config,
                &otlp,
                &resource,
                &registry,
                &Handle::current(),
                &OwnSockets::default(),
            )
            .expect("the settings are good");
            telemetry.shutdown(PATIENCE).await;
            assert_eq!(collector.next().await.uri().path(), path);
        }
    }

    #[tokio::test]
    async fn a_collector_that_is_not_there_holds_up_the_end_no_longer_than_allowed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
        let base_url = format!("http://{}", listener.local_addr().expect("it is bound"));
        for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
            let otlp = Otlp { base_url: base_url.clone(), protocol, ..Otlp::default() };
            let registry = Arc::new(Registry::default());
            requests(&registry);
            let resource = Resource::new(None, &[]);
            let telemetry = Telemetry::new(
                &config(),
                &otlp,
                &resource,
                &registry,
                &Handle::current(),
                &OwnSockets::default(),
            )
            .expect("the settings are good");
            let began = Instant::now();
            telemetry.shutdown(Duration::from_millis(200)).await;
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_told_at_the_start() {
        let resource = Resource::new(None, &[]);
        let registry = Arc::new(Registry::default());
        let new = |otlp: &Otlp| {
            Telemetry::new(
                &config(),
                otlp,
                &resource,
                &registry,
                &Handle::current(),
                &OwnSockets::default(),
            )
        };
        for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
            let otlp = Otlp { base_url: "collector".to_owned(), protocol, ..Otlp::default() };
            let error = new(&otlp).expect_err("no URL").to_string();
            assert!(error.contains("`collector"), "{error}");
        }
        let telemetry = new(&Otlp::default()).expect("the defaults are good");
        let config = Config { log_filter: "spandrel=loud".to_owned(), ..Config::default() };
        let error = telemetry.subscriber(&config, std::io::sink, false).err().expect("no filter");
        assert!(error.to_string().contains("spandrel=loud"), "{error}");
        telemetry.shutdown(Duration::from_millis(1)).await;
    }

    #[test]
    fn log_lines_have_the_form_that_is_configured() {
        let telemetry = Telemetry { logs: None, metrics: None, flusher: None };
        for (log_format, expected) in [
            (LogFormat::Text, "listening port=8080\n"),
            (LogFormat::Json, "\"message\":\"listening\",\"port\":8080"),
        ] {
            let config = Config { log_format, ..Config::default() };
            let (mut reader, writer) = std::io::pipe().expect("a pipe");
            let subscriber =
                telemetry.subscriber(&config, Arc::new(writer), false).expect("the filter is good");
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(port = 8080, "listening");
            });
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("the writer is gone");
            assert!(text.contains(expected), "{text}");
        }
    }
}
