//! The settings of the export pipeline, as the rest of spandrel gives them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::spool;
use crate::metrics::standard::Component;
use crate::trace::resource::Resource;

/// The settings of the export pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where all spans are sent: the destination that the variables of OpenTelemetry set.
    pub first: Destination,
    /// Where they are sent as well.
    pub further: Vec<Destination>,
    /// How spans are gathered before they are sent.
    pub batch: Batch,
    /// How much may wait in memory.
    pub queue: Queue,
    /// Where spans wait that cannot be sent; `None` for memory alone.
    pub spool: Option<spool::Config>,
    /// Whether a span is sent at the start that tells whether the way is free.
    pub canary: bool,
    /// Who the spans are of.
    pub resource: Resource,
}

impl Config {
    /// The OTLP endpoint of the first destination, if that is one: where spandrel's own logs and
    /// metrics go.
    #[must_use]
    pub const fn otlp(&self) -> Option<&Otlp> {
        match &self.first.target {
            Target::Otlp(otlp) => Some(otlp),
            Target::Zipkin(_) | Target::Lines(_) => None,
        }
    }
}

/// Something that telemetry is sent to, beside others and independent of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name in the books, in the log and on disk.
    pub name: String,
    /// What it is.
    pub target: Target,
    /// Which spans it gets.
    pub filter: Filter,
}

impl Destination {
    /// What it is in the words of OpenTelemetry's conventions, where at most `capacity` spans may
    /// wait for it.
    #[must_use]
    pub fn component(&self, capacity: usize) -> Component {
        let (kind, url) = match &self.target {
            Target::Otlp(otlp) => {
                let kind = match otlp.protocol {
                    Protocol::Grpc => "otlp_grpc_span_exporter",
                    Protocol::HttpProtobuf => "otlp_http_span_exporter",
                    Protocol::HttpJson => "otlp_http_json_span_exporter",
                };
                (kind, Some(&otlp.traces_url))
            }
            Target::Zipkin(zipkin) => ("zipkin_http_span_exporter", Some(&zipkin.url)),
            // The conventions have no word for it.
            Target::Lines(_) => ("file_span_exporter", None),
        };
        Component {
            destination: self.name.clone(),
            kind,
            server: url.and_then(|url| server(url)),
            capacity: u64::try_from(capacity).unwrap_or(u64::MAX),
        }
    }
}

/// The host and the port of a URL, the port known or implied.
fn server(url: &str) -> Option<(String, u16)> {
    let uri: http::Uri = url.parse().ok()?;
    let implied = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host()?.trim_matches(['[', ']']);
    Some((host.to_owned(), uri.port_u16().unwrap_or(implied)))
}

/// What a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A collector that speaks OTLP.
    Otlp(Otlp),
    /// A server that takes Zipkin's JSON.
    Zipkin(Zipkin),
    /// A file, or standard output.
    Lines(Lines),
}

/// Which spans a destination gets: those that have all these attributes with one of the values of
/// each. An empty filter lets all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of attributes, and the values that pass.
    pub attributes: Vec<(String, Vec<String>)>,
    /// The tenants whose spans pass; empty for all.
    pub tenants: Vec<String>,
}

/// How much may wait in memory, and what goes when that is too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The most memory that waiting telemetry takes up, in bytes, over all destinations.
    pub max_bytes: usize,
    /// What is given up when there is no room. Spans with errors are kept longest either way.
    pub when_full: WhenFull,
}

/// What is given up when there is no room in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// What has waited longest.
    #[default]
    DropOldest,
    /// What has just come.
    DropNewest,
}

/// An OTLP endpoint and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The whole URL that batches of spans are sent to: for HTTP with its path
    /// (`http://collector:4318/v1/traces`), for gRPC without one.
    pub traces_url: String,
    /// The URL that the other signals are derived from, without `/v1/traces`.
    pub base_url: String,
    /// The protocol.
    pub protocol: Protocol,
    /// How requests are made.
    pub client: Client,
}

/// A server that takes spans as Zipkin's JSON, version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zipkin {
    /// The whole URL that spans are posted to.
    pub url: String,
    /// How requests are made.
    pub client: Client,
}

/// How requests are made of whatever is spoken to over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Headers (for gRPC: metadata) to send along, names in lower case.
    pub headers: Vec<(String, String)>,
    /// How bodies are compressed.
    pub compression: Compression,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// A PEM file of certificates to trust in place of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM files of a certificate chain to present and of its private key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The proxies on the way.
    pub proxy: Proxy,
}

/// Lines of JSON, each an OTLP export request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The file they are appended to; `None` for standard output.
    pub path: Option<PathBuf>,
    /// How long the file may get before another is begun, in bytes; of no meaning to standard
    /// output.
    pub max_bytes: u64,
    /// How many files there may be, the one that is written to among them; the oldest goes first.
    pub max_files: usize,
}

/// The proxies that the network asks for, as URLs of which the host is enough, with a name and a
/// password where they want one (`http://name:password@proxy:3128`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For destinations of `http://`.
    pub http: Option<String>,
    /// For destinations of `https://`.
    pub https: Option<String>,
    /// For those of either that have none above.
    pub all: Option<String>,
    /// Which hosts are reached without a proxy, in the form of the variable `NO_PROXY`: names
    /// (with those below them), addresses and ranges of addresses, separated by commas; `*` for
    /// all.
    pub no: String,
}

/// The protocols of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    HttpProtobuf,
    /// OTLP/HTTP with JSON bodies.
    HttpJson,
}

impl Protocol {
    /// The version of HTTP that it goes by.
    pub(super) const fn http(self) -> http::Version {
        match self {
            Self::Grpc => http::Version::HTTP_2,
            Self::HttpProtobuf | Self::HttpJson => http::Version::HTTP_11,
        }
    }
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: best towards a collector on the same node.
    #[default]
    None,
    /// With gzip.
    Gzip,
    /// With Zstandard, which not every collector takes.
    Zstd,
}

/// The bounds of the batch span processor, by the names of `OTEL_BSP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The longest time a span waits for its batch to fill.
    pub schedule_delay: Duration,
    /// How long one attempt to send a batch may take, and how long a batch is tried that alone
    /// does not arrive while others do.
    pub export_timeout: Duration,
    /// The most spans that wait in memory for a destination; what is beyond goes to the spool, or is
    /// dropped and counted.
    pub max_queue_size: usize,
    /// The most spans in one batch.
    pub max_export_batch_size: usize,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            traces_url: "http://localhost:4318/v1/traces".to_owned(),
            base_url: "http://localhost:4318".to_owned(),
            protocol: Protocol::HttpProtobuf,
            client: Client::default(),
        }
    }
}

impl Default for Zipkin {
    fn default() -> Self {
        Self { url: "http://localhost:9411/api/v2/spans".to_owned(), client: Client::default() }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            certificate: None,
            client_certificate: None,
            proxy: Proxy::default(),
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self { path: None, max_bytes: 100 * 1024 * 1024, max_files: 5 }
    }
}

impl fmt::Debug for Proxy {
    /// Says which there are, not where: their URLs may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("all", &self.all.is_some())
            .field("no", &self.no)
            .finish()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            schedule_delay: Duration::from_secs(5),
            export_timeout: Duration::from_secs(30),
            max_queue_size: 131_072,
            max_export_batch_size: 512,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { max_bytes: 32 * 1024 * 1024, when_full: WhenFull::DropOldest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_a_word_of_the_conventions() {
        let with =
            |target| Destination { name: "it".to_owned(), target, filter: Filter::default() };
        let otlp = |url: &str, protocol| {
            Target::Otlp(Otlp { traces_url: url.to_owned(), protocol, ..Otlp::default() })
        };
        let here = |port| Some(("localhost".to_owned(), port));
        for (target, kind, server) in [
            (otlp("http://localhost:4317", Protocol::Grpc), "otlp_grpc_span_exporter", here(4317)),
            (
                otlp("https://[::1]/v1/traces", Protocol::HttpJson),
                "otlp_http_json_span_exporter",
                Some(("::1".to_owned(), 443)),
            ),
            (Target::Otlp(Otlp::default()), "otlp_http_span_exporter", here(4318)),
            (Target::Zipkin(Zipkin::default()), "zipkin_http_span_exporter", here(9411)),
            (Target::Lines(Lines::default()), "file_span_exporter", None),
        ] {
            let component = with(target).component(9);
            let expected = Component { destination: "it".to_owned(), kind, server, capacity: 9 };
            assert_eq!(component, expected);
        }
    }
}
