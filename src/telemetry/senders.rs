//! The SDK's exporters, on the endpoint, the headers and the sockets of the spans' own.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{ClientTlsConfig, Identity};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use tokio::runtime::Handle;
use tonic::transport::Channel;

use super::TelemetryError;
use crate::export::{Compression, Connector, ExportError, Otlp, Protocol, Transport};
use crate::net::own::OwnSockets;

/// What sends log lines to the collector of `otlp`.
pub(super) fn log_exporter(
    otlp: &Otlp,
    control: &Handle,
    own: &OwnSockets,
) -> Result<LogExporter, TelemetryError> {
    let builder = LogExporter::builder();
    Ok(match otlp.protocol {
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            over_http(builder.with_http(), otlp, "/v1/logs", control, own)?.build()?
        }
        Protocol::Grpc => {
            let _runtime = control.enter();
            over_grpc(builder.with_tonic(), otlp, own)?.build()?
        }
    })
}

/// What sends numbers there.
pub(super) fn metric_exporter(
    otlp: &Otlp,
    control: &Handle,
    own: &OwnSockets,
) -> Result<MetricExporter, TelemetryError> {
    let builder = MetricExporter::builder();
    Ok(match otlp.protocol {
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            over_http(builder.with_http(), otlp, "/v1/metrics", control, own)?.build()?
        }
        Protocol::Grpc => {
            let _runtime = control.enter();
            over_grpc(builder.with_tonic(), otlp, own)?.build()?
        }
    })
}

fn over_http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    otlp: &Otlp,
    path: &str,
    control: &Handle,
    own: &OwnSockets,
) -> Result<B, TelemetryError> {
    let url = format!("{}{path}", otlp.base_url.trim_end_matches('/'));
    let client = ControlClient {
        transport: Transport::new(&otlp.client, Version::HTTP_11, &crate::export::uri(&url)?, own)?,
        headers: crate::export::headers(&otlp.client)?,
        control: control.clone(),
    };
    let builder =
        builder.with_http_client(client).with_endpoint(url).with_timeout(otlp.client.timeout);
    Ok(match compression(otlp) {
        Some(compression) => builder.with_compression(compression),
        None => builder,
    })
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(
    builder: B,
    otlp: &Otlp,
    own: &OwnSockets,
) -> Result<B, TelemetryError> {
    let uri = crate::export::uri(&otlp.base_url)?;
    let is_tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    let mut endpoint = Channel::builder(uri).timeout(otlp.client.timeout);
    if is_tls {
        let refused = |error| TelemetryError::Exporter(format!("{error}"));
        endpoint = endpoint.tls_config(tls(otlp)?).map_err(refused)?;
    }
    let builder = builder
        .with_channel(endpoint.connect_with_connector_lazy(
            Connector::new(own.clone(), None).through(&otlp.client.proxy)?,
        ))
        .with_timeout(otlp.client.timeout)
        .with_metadata(MetadataMap::from_headers(crate::export::headers(&otlp.client)?));
    Ok(match compression(otlp) {
        Some(compression) => builder.with_compression(compression),
        None => builder,
    })
}

/// The SDK compresses with gzip only; every collector takes that.
const fn compression(otlp: &Otlp) -> Option<opentelemetry_otlp::Compression> {
    match otlp.client.compression {
        Compression::None => None,
        Compression::Gzip | Compression::Zstd => Some(opentelemetry_otlp::Compression::Gzip),
    }
}

fn tls(otlp: &Otlp) -> Result<ClientTlsConfig, TelemetryError> {
    let roots = crate::export::roots(otlp.client.certificate.as_deref())?;
    let config = ClientTlsConfig::new().trust_anchors(roots.roots);
    Ok(match &otlp.client.client_certificate {
        None => config,
        Some((chain, key)) => config.identity(Identity::from_pem(read(chain)?, read(key)?)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TelemetryError> {
    std::fs::read(path).map_err(|error| {
        ExportError::File { path: path.to_owned(), problem: error.to_string() }.into()
    })
}

/// Sends the requests of the SDK's threads on the control thread.
#[derive(Debug)]
struct ControlClient {
    transport: Transport,
    headers: HeaderMap,
    control: Handle,
}

#[async_trait]
impl HttpClient for ControlClient {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Set here, because the SDK would undo a percent encoding in the values.
        request.headers_mut().extend(self.headers.clone());
        let transport = self.transport.clone();
        let answer = self.control.spawn(async move { transport.send(request).await }).await??;
        Ok(Response::from_parts(answer.head, answer.body))
    }
}
