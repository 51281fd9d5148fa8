//! The path of a request, from accept to the end of its span.

pub mod balance;
pub mod connection;
pub mod detect;
pub mod exchange;
pub mod fault;
pub mod http1;
pub mod http2;
pub mod inflight;
pub mod listener;
pub mod meter;
pub mod opaque;
pub mod progress;
mod redirected;
#[cfg(test)]
mod testing;
pub mod tunnel;
pub mod upstream;
pub mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::trace::health::HealthChecks;
use crate::trace::propagate;
use crate::trace::route::Routes;
use crate::trace::sample::Sampler;
use crate::trace::semconv::QueryValues;
use crate::trace::tenant;
use crate::trace::zone::TrustZone;

/// The settings of the data path.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Requests that enter the application; `None` when that side is not proxied.
    pub inbound: Option<Inbound>,
    /// Requests that leave the application; `None` when that side is not proxied.
    pub outbound: Option<Outbound>,
    /// The number of workers, each a thread of its own; at least 1.
    pub workers: usize,
    /// The bounds on what peers can take up.
    pub limits: Limits,
    /// What is recorded, and how.
    pub tracing: Tracing,
}

impl Config {
    /// The most connections that a worker may have open of each listener.
    pub(crate) fn most_connections(&self) -> usize {
        self.limits.connections.div_ceil(self.workers.max(1))
    }
}

/// The inbound listener and the application behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How requests get there, and where they go from there.
    pub mode: InboundMode,
    /// The ports whose protocol is known, where connections are redirected.
    pub protocols: Protocols,
}

/// How requests to the application come to the inbound listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundMode {
    /// Callers address the listener, and requests go on to this application.
    Explicit(Authority),
    /// Callers address the application, and the rules of the system redirect them to the listener.
    /// Connections go on to where they were meant to go, from an address that the rules spare.
    Redirect,
    /// The same by TPROXY: they go on from the caller's own address.
    Tproxy {
        /// The mark of these connections, by which the answers find their way back.
        mark: u32,
    },
}

/// The outbound listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How calls get there.
    pub mode: OutboundMode,
    /// The ports whose protocol is known, where connections are redirected.
    pub protocols: Protocols,
}

/// How calls of the application come to the outbound listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundMode {
    /// The application is told to use it as its HTTP proxy.
    Explicit,
    /// The rules of the system redirect connections to it; they go on to where they were meant to.
    Redirect,
}

/// The ports whose protocol need not be detected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocols {
    /// Ports of HTTP: what is not HTTP is answered as a bad request.
    pub http: Vec<u16>,
    /// Ports of something else: what comes passes as bytes.
    pub opaque: Vec<u16>,
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// A name or an address; an IPv6 address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// How requests become spans.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Whether spans are made at all (`OTEL_SDK_DISABLED` and `OTEL_TRACES_EXPORTER=none` say no).
    pub is_enabled: bool,
    /// Which requests are recorded.
    pub sampler: Sampler,
    /// Which context formats are read and written.
    pub propagation: propagate::Config,
    /// Which destinations may see context, baggage and tenants.
    pub trust_zone: TrustZone,
    /// Where the tenant comes from.
    pub tenants: tenant::Config,
    /// The templates of `http.route`.
    pub routes: Routes,
    /// The requests that make no spans.
    pub health_checks: HealthChecks,
    /// Whether connections that carry something else than HTTP make spans.
    pub connections: bool,
    /// How often what is still going on tells so by a span of its own.
    pub progress_interval: Option<Duration>,
    /// Whether the values of queries are recorded.
    pub query_values: QueryValues,
    /// The baggage keys that are copied onto spans, as `baggage.KEY`.
    pub baggage_keys: Vec<String>,
}

/// The bounds on what a peer can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time on each listener.
    pub connections: usize,
    /// Requests in flight at a time.
    pub requests: usize,
    /// Streams open at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Streams of one HTTP/2 connection that may be reset by the client before they are looked at.
    pub pending_resets: usize,
    /// Streams of one HTTP/2 connection that may be reset for a fault of the peer's.
    pub error_resets: usize,
    /// CONTINUATION frames of one block of fields in HTTP/2.
    pub continuations: usize,
    /// Bytes of a message's head, and of its trailers.
    pub header_bytes: usize,
    /// Header lines of a message.
    pub header_count: usize,
    /// How long a head may take from its first byte to its last.
    pub head_timeout: Duration,
    /// How long connecting to an upstream may take, name resolution included.
    pub connect_timeout: Duration,
    /// How long an upstream may take to begin its response once the request has been sent.
    pub response_timeout: Duration,
    /// How long a connection, a stream or a tunnel may be silent in both directions.
    pub idle_timeout: Duration,
}

impl Inbound {
    /// The application, where it is known from the settings.
    #[must_use]
    pub const fn app(&self) -> Option<&Authority> {
        match &self.mode {
            InboundMode::Explicit(app) => Some(app),
            InboundMode::Redirect | InboundMode::Tproxy { .. } => None,
        }
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            is_enabled: true,
            sampler: Sampler::default(),
            propagation: propagate::Config::default(),
            trust_zone: TrustZone::default(),
            tenants: tenant::Config::default(),
            routes: Routes::default(),
            health_checks: HealthChecks::default(),
            connections: true,
            progress_interval: Some(Duration::from_secs(60)),
            query_values: QueryValues::default(),
            baggage_keys: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            connections: 16_384,
            requests: 16_384,
            streams: 256,
            pending_resets: 20,
            error_resets: 1_024,
            continuations: 64,
            header_bytes: 64 * 1024,
            header_count: 128,
            head_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            response_timeout: HOUR,
            idle_timeout: HOUR,
        }
    }
}
