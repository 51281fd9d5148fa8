//! The HTTP client that all telemetry leaves by, and that traces are read with.
//!
//! One request, one answer, read to its end: a bounded body and its trailers, within a bounded
//! time. What the answer means is decided elsewhere. TLS is set up only where the URL asks for
//! it, because reading the system's certificates takes longer than the rest of the start.
//!
//! Where a name does not lead to where its connections go any more, all connections are given up:
//! the next request goes to a new one, and those before end as they would have.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderMap, Request, Uri, Version};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _};

use super::connect::Connector;
use super::{Client, ExportError, faults};
use crate::net::own::OwnSockets;

/// The longest body that a collector's answer may have, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// An HTTP/2 connection with an open request and no sign of life for this long is asked for one,
/// and closed if none comes for as long again. Without, a silent one would be used for ever.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long a connection is kept without use.
const IDLE: Duration = Duration::from_secs(90);

type Exchanges = BoxCloneSyncService<Request<Bytes>, Answer, BoxError>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client for one destination. Clones share their connections.
#[derive(Clone)]
pub struct Transport {
    service: Exchanges,
    /// The longest body of an answer that is read, in bytes.
    longest: usize,
}

/// The bounds of one exchange, within the time that [`Client::timeout`] gives the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest body of an answer that is read, in bytes.
    pub answer: usize,
    /// How long connecting may take; `None` for as long as the whole exchange.
    pub connect: Option<Duration>,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    /// The body; never longer than [`Bounds::answer`].
    pub body: Bytes,
    /// The trailers; often none.
    pub trailers: HeaderMap,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum SendError {
    /// The answer's body is longer than this many bytes.
    TooLong(usize),
    /// No connection, no answer in time, or the connection broke; in words for people.
    Failed(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(most) => write!(f, "the answer is longer than {most} bytes"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for SendError {}

impl Default for Bounds {
    /// What suits a collector, whose answers are short.
    fn default() -> Self {
        Self { answer: MAX_ANSWER, connect: None }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Transport {
    /// A client for `uri` by HTTP/2, or else HTTP/1.1, with the time limit, certificates and
    /// proxies of `client`, whose connections are among `own`.
    ///
    /// # Errors
    /// When a certificate or key that TLS needs cannot be read or used.
    pub fn new(
        client: &Client,
        version: Version,
        uri: &Uri,
        own: &OwnSockets,
    ) -> Result<Self, ExportError> {
        Self::bounded(client, version, uri, Bounds::default(), own)
    }

    /// The same with bounds of its own.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn bounded(
        client: &Client,
        version: Version,
        uri: &Uri,
        bounds: Bounds,
        own: &OwnSockets,
    ) -> Result<Self, ExportError> {
        let tcp = Connector::new(own.clone(), bounds.connect).through(&client.proxy)?;
        Self::by(client, version, uri, bounds, tcp)
    }

    fn by(
        client: &Client,
        version: Version,
        uri: &Uri,
        bounds: Bounds,
        tcp: Connector,
    ) -> Result<Self, ExportError> {
        let is_http2 = version == Version::HTTP_2;
        let tcp = if is_http2 { tcp } else { tcp.forwarded() };
        let plain = tcp.clone();
        let service = if uri.scheme() == Some(&Scheme::HTTPS) {
            let tls = tls_connector(client, is_http2, tcp)?;
            service(Clients::new(tls, plain, is_http2), client.timeout, bounds.answer)
        } else {
            service(Clients::new(tcp, plain, is_http2), client.timeout, bounds.answer)
        };
        Ok(Self { service, longest: bounds.answer })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When there is none, or it is too long.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer, SendError> {
        self.service.clone().oneshot(request).await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                SendError::TooLong(self.longest)
            } else {
                SendError::Failed(faults::words(&*error))
            }
        })
    }
}

/// The exchanges of these clients, each within `limit`: around the whole of it, because an answer
/// can also stop half way.
fn service<C>(clients: Clients<C>, limit: Duration, longest: usize) -> Exchanges
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let clients = Arc::new(clients);
    let exchanges = ServiceBuilder::new()
        .timeout(limit)
        .service_fn(move |request| exchange(Arc::clone(&clients), request, longest));
    BoxCloneSyncService::new(exchanges)
}

/// The client whose connections go where the names lead now.
struct Clients<C> {
    current: Mutex<legacy::Client<C, Full<Bytes>>>,
    connector: C,
    tcp: Connector,
    is_http2: bool,
}

impl<C> Clients<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    fn new(connector: C, tcp: Connector, is_http2: bool) -> Self {
        let current = Mutex::new(client(connector.clone(), is_http2));
        Self { current, connector, tcp, is_http2 }
    }

    fn current(&self) -> legacy::Client<C, Full<Bytes>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks up the names that it is time for; no request waits for that.
    fn follow_names(self: &Arc<Self>) {
        for name in self.tcp.names.due() {
            let clients = Arc::clone(self);
            tokio::spawn(async move {
                if clients.tcp.names.has_moved(&name).await {
                    let renewed = client(clients.connector.clone(), clients.is_http2);
                    *clients.current.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
                }
            });
        }
    }
}

fn client<C>(connector: C, is_http2: bool) -> legacy::Client<C, Full<Bytes>>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_only(is_http2)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_EVERY)
        .build(connector)
}

async fn exchange<C>(
    clients: Arc<Clients<C>>,
    mut request: Request<Bytes>,
    longest: usize,
) -> Result<Answer, BoxError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    clients.follow_names();
    if let Some(authorization) = clients.tcp.authorization(request.uri()).cloned() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    let response = clients.current().request(request.map(Full::new)).await?;
    let (head, body) = response.into_parts();
    #[expect(clippy::disallowed_methods, reason = "the body is limited")]
    let body = Limited::new(body, longest).collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { head, body: body.to_bytes(), trailers })
}

/// Reads the URL of a destination.
///
/// # Errors
/// When it is not an `http` or `https` URL with a host.
pub fn uri(url: &str) -> Result<Uri, ExportError> {
    let invalid = || ExportError::Url { url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let is_known = uri.scheme().is_some_and(|s| *s == Scheme::HTTP || *s == Scheme::HTTPS);
    if is_known && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err(invalid())
    }
}

fn tls_connector(
    client: &Client,
    is_http2: bool,
    tcp: Connector,
) -> Result<HttpsConnector<Connector>, ExportError> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls_config(client)?).https_only();
    Ok(if is_http2 {
        builder.enable_http2().wrap_connector(tcp)
    } else {
        builder.enable_http1().wrap_connector(tcp)
    })
}

fn tls_config(client: &Client) -> Result<ClientConfig, ExportError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .with_root_certificates(roots(client.certificate.as_deref())?);
    let Some((chain, key)) = &client.client_certificate else {
        return Ok(config.with_no_client_auth());
    };
    let certificates = certificates(chain)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    config.with_client_auth_cert(certificates, private).map_err(|error| unreadable(chain, &error))
}

/// The certificates to trust: those of `file`, or else the system's, or else Mozilla's.
///
/// # Errors
/// When `file` cannot be read, or has no certificate that can be used.
pub fn roots(file: Option<&Path>) -> Result<RootCertStore, ExportError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| unreadable(file, &error))?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ExportError> {
    let read = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(file, &error))?;
    if read.is_empty() { Err(unreadable(file, &"it has no certificate")) } else { Ok(read) }
}

fn unreadable(path: &Path, problem: &dyn fmt::Display) -> ExportError {
    ExportError::File { path: PathBuf::from(path), problem: problem.to_string() }
}

#[cfg(test)]
mod tests;
