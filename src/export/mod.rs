//! From finished spans to a collector.

use std::path::PathBuf;
use std::time::Duration;

use crate::trace::resource::Resource;

/// The settings of the export pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where and how to send.
    pub otlp: Otlp,
    /// How spans are gathered before they are sent.
    pub batch: Batch,
    /// Who the spans are of.
    pub resource: Resource,
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
    /// Headers (for gRPC: metadata) to send along, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// A PEM file of certificates to trust in place of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM files of a certificate chain to present and of its private key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// The protocols of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    HttpProtobuf,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: best towards a collector on the same node.
    #[default]
    None,
    /// With gzip.
    Gzip,
}

/// The bounds of the batch span processor, by the names of `OTEL_BSP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The longest time a span waits for its batch to fill.
    pub schedule_delay: Duration,
    /// How long sending one batch may take, retries included.
    pub export_timeout: Duration,
    /// The most spans that wait in memory; what is beyond is dropped and counted.
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
            headers: Vec::new(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            certificate: None,
            client_certificate: None,
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            schedule_delay: Duration::from_secs(5),
            export_timeout: Duration::from_secs(30),
            max_queue_size: 8_192,
            max_export_batch_size: 512,
        }
    }
}
