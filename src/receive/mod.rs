//! The local endpoint of the application's own telemetry.
//!
//! What the application tells of itself by OTLP, or by a Jaeger client in the way that Jaeger's agent
//! took it, becomes parcels, with the resource that spandrel knows, and goes the way that spandrel's
//! own spans go. None of it is in the data path: no spans are made of it, and none of it is changed
//! otherwise. What cannot be forwarded now is refused, so that the sender keeps it.

mod desk;
#[cfg(fuzzing)]
pub mod fuzzing;
mod jaeger;
mod packing;
mod sampling;
#[cfg(test)]
mod testing;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

pub use crate::export::Full;
use crate::export::{Forwarder, Parcel};
use crate::intake::{Bounds, Intake};
use crate::metrics::Registry;
use crate::net;
use crate::trace::resource::Resource;
use crate::trace::sample::Sampler;
use desk::Desk;
use jaeger::Protocol;

/// What is taken in at a time: far more than an application sends at once, and no more than may wait
/// to be exported.
const BOUNDS: Bounds = Bounds { message: 16 << 20, bodies: 32 << 20 };
/// The bytes of datagrams that the system is asked to hold for us until we read them.
const DATAGRAM_BUFFER: usize = 4 << 20;

/// Where telemetry is received; `None` for nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// OTLP over gRPC; OTLP over HTTP is taken too.
    pub otlp_grpc: Option<SocketAddr>,
    /// OTLP over HTTP; OTLP over gRPC is taken too.
    pub otlp_http: Option<SocketAddr>,
    /// Datagrams of Jaeger clients in Thrift's compact protocol.
    pub jaeger_compact: Option<SocketAddr>,
    /// Datagrams of Jaeger clients in Thrift's binary protocol.
    pub jaeger_binary: Option<SocketAddr>,
    /// Questions of Jaeger clients about how much they are to sample, over HTTP.
    pub jaeger_sampling: Option<SocketAddr>,
}

/// Takes what was received to its destinations.
pub trait Forward: Send + Sync + 'static {
    /// Takes a parcel, if there is room for it now. Does not wait.
    ///
    /// # Errors
    /// When nothing of it was taken.
    fn offer(&self, parcel: Parcel) -> Result<(), Full>;
}

impl Forward for Forwarder {
    fn offer(&self, parcel: Parcel) -> Result<(), Full> {
        Self::offer(self, &parcel)
    }
}

/// What receiving takes.
pub struct Parts {
    /// Where everything goes.
    pub forward: Arc<dyn Forward>,
    /// What is known of the application.
    pub resource: Resource,
    /// What Jaeger clients are told to sample by.
    pub sampler: Sampler,
    /// Where it is counted.
    pub registry: Arc<Registry>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("resource", &self.resource).finish_non_exhaustive()
    }
}

/// Why telemetry cannot be received.
#[derive(Debug)]
pub struct ReceiveError {
    /// The setting that names the address.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, address, error } = self;
        if error.kind() == io::ErrorKind::AddrInUse {
            return write!(
                f,
                "{key}: {address} is in use, give another address or stop what uses it"
            );
        }
        write!(f, "{key}: cannot listen on {address}, give another address: {error}")
    }
}

impl std::error::Error for ReceiveError {}

/// The sockets, bound and not yet read from.
#[derive(Debug)]
pub struct Receivers {
    otlp_grpc: Option<TcpListener>,
    otlp_http: Option<TcpListener>,
    jaeger_compact: Option<UdpSocket>,
    jaeger_binary: Option<UdpSocket>,
    jaeger_sampling: Option<TcpListener>,
    addresses: Config,
}

/// Binds the sockets that are configured.
///
/// # Errors
/// When one cannot be bound.
pub fn bind(config: &Config) -> Result<Receivers, ReceiveError> {
    let mut addresses = *config;
    let listener = |key, address: &mut Option<SocketAddr>| {
        bind_one(key, address, net::bind, TcpListener::local_addr)
    };
    let datagrams = |key, address: &mut Option<SocketAddr>| {
        let bind = |address| net::bind_datagrams(address, DATAGRAM_BUFFER);
        bind_one(key, address, bind, UdpSocket::local_addr)
    };
    Ok(Receivers {
        otlp_grpc: listener("receive.otlp_grpc", &mut addresses.otlp_grpc)?,
        otlp_http: listener("receive.otlp_http", &mut addresses.otlp_http)?,
        jaeger_compact: datagrams("receive.jaeger_compact", &mut addresses.jaeger_compact)?,
        jaeger_binary: datagrams("receive.jaeger_binary", &mut addresses.jaeger_binary)?,
        jaeger_sampling: listener("receive.jaeger_sampling", &mut addresses.jaeger_sampling)?,
        addresses,
    })
}

/// Binds a socket where there is an address for it, which becomes the one that was really bound.
fn bind_one<S>(
    key: &'static str,
    address: &mut Option<SocketAddr>,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
    bound: impl Fn(&S) -> io::Result<SocketAddr>,
) -> Result<Option<S>, ReceiveError> {
    let Some(wanted) = *address else { return Ok(None) };
    let socket = bind(wanted).and_then(|socket| {
        *address = Some(bound(&socket)?);
        Ok(socket)
    });
    socket.map(Some).map_err(|error| ReceiveError { key, address: wanted, error })
}

impl Receivers {
    /// The addresses that were really bound.
    #[must_use]
    pub const fn addresses(&self) -> Config {
        self.addresses
    }

    /// Receives until `stop`; what is being received then is cut off.
    ///
    /// # Errors
    /// When the sockets cannot be used.
    pub async fn run(self, parts: Parts, stop: impl Future<Output = ()>) -> io::Result<()> {
        let rate = parts.sampler.root_ratio();
        let desk = Arc::new(Desk::new(parts));
        let listen = |listener: Option<TcpListener>| {
            listener.map(tokio::net::TcpListener::from_std).transpose()
        };
        let hear =
            |socket: Option<UdpSocket>| socket.map(tokio::net::UdpSocket::from_std).transpose();
        let (grpc, http) = (listen(self.otlp_grpc)?, listen(self.otlp_http)?);
        let (compact, binary) = (hear(self.jaeger_compact)?, hear(self.jaeger_binary)?);
        let sampling = listen(self.jaeger_sampling)?;
        let intake = Intake::new(Arc::clone(&desk), BOUNDS);
        tokio::select! {
            () = where_bound(grpc.as_ref(), |l| intake.serve(l)) => {}
            () = where_bound(http.as_ref(), |l| intake.serve(l)) => {}
            () = where_bound(compact.as_ref(), |s| desk.hear(s, Protocol::Compact)) => {}
            () = where_bound(binary.as_ref(), |s| desk.hear(s, Protocol::Binary)) => {}
            () = where_bound(sampling.as_ref(), |l| sampling::serve(l, rate)) => {}
            () = stop => {}
        }
        Ok(())
    }
}

/// Does what there is to do with a socket; nothing, for ever, where there is none.
async fn where_bound<'s, S, F: Future<Output = ()>>(
    socket: Option<&'s S>,
    serve: impl FnOnce(&'s S) -> F,
) {
    match socket {
        Some(socket) => serve(socket).await,
        None => std::future::pending().await,
    }
}
