//! `spandrel view`: the embedded backend, for a laptop or a test.
//!
//! It receives OTLP from anybody (`receive`), keeps the newest traces within a bound of bytes
//! (`store`), and shows them by an API (`api`) and a page (`page`). One thread does it all: what
//! arrives is taken apart in small steps, so that the page is answered in between. Nothing is
//! written to disk, and nothing is fetched from anywhere.

mod api;
#[cfg(fuzzing)]
pub mod fuzzing;
mod layout;
mod page;
mod receive;
mod search;
mod serve;
mod sidecars;
mod store;
#[cfg(test)]
mod testing;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::intake::Intake;
use crate::net::{self, clock::Clock};
use sidecars::Sidecars;
use store::Store;

/// The settings of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the page and its API are served; `None` for nowhere.
    pub page: Option<SocketAddr>,
    /// Where OTLP over gRPC is received.
    pub grpc: SocketAddr,
    /// Where OTLP over HTTP is received.
    pub http: SocketAddr,
    /// The most memory that traces take up, in bytes.
    pub memory: u64,
}

/// The addresses that were really bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The page and its API.
    pub page: Option<SocketAddr>,
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
}

/// Why the backend cannot start.
#[derive(Debug)]
pub struct ViewError {
    /// The flag that names the address.
    pub flag: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub error: std::io::Error,
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flag, address, error } = self;
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return write!(f, "{address} is in use, give another address with {flag}");
        }
        write!(f, "cannot listen on {address}, give another address with {flag}: {error}")
    }
}

impl std::error::Error for ViewError {}

/// The listening, not yet running, backend.
#[derive(Debug)]
pub struct View {
    page: Option<TcpListener>,
    grpc: TcpListener,
    http: TcpListener,
    addresses: Addresses,
    backend: Arc<Backend>,
}

/// What the listeners share.
#[derive(Debug)]
struct Backend {
    state: Mutex<State>,
    clock: Clock,
    started: u64,
    addresses: Addresses,
}

#[derive(Debug)]
struct State {
    store: Store,
    sidecars: Sidecars,
    /// Requests of OTLP that were not taken, for whatever reason.
    refused_requests: u64,
}

impl Backend {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the Unix epoch.
    fn now(&self) -> u64 {
        self.clock.now()
    }
}

impl View {
    /// Binds the listeners.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub fn bind(config: Config) -> Result<Self, ViewError> {
        let bind = |flag, address| {
            let bound = net::bind(address).and_then(|l| Ok((l.local_addr()?, l)));
            bound.map_err(|error| ViewError { flag, address, error })
        };
        let page = config.page.map(|address| bind("--page", address)).transpose()?;
        let (grpc_address, grpc) = bind("--grpc", config.grpc)?;
        let (http_address, http) = bind("--http", config.http)?;
        let clock = Clock::anchored();
        let state = State {
            store: Store::new(usize::try_from(config.memory).unwrap_or(usize::MAX)),
            sidecars: Sidecars::default(),
            refused_requests: 0,
        };
        let addresses = Addresses {
            page: page.as_ref().map(|(address, _)| *address),
            grpc: grpc_address,
            http: http_address,
        };
        Ok(Self {
            addresses,
            page: page.map(|(_, listener)| listener),
            grpc,
            http,
            backend: Arc::new(Backend {
                state: Mutex::new(state),
                started: clock.now(),
                clock,
                addresses,
            }),
        })
    }

    /// The addresses that were bound.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// A way to ask for what is kept, while the backend runs elsewhere.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { backend: Arc::clone(&self.backend) }
    }

    /// Serves until `stop`; what is being answered then is cut off.
    ///
    /// # Errors
    /// When the listeners cannot be used.
    pub async fn run(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let listen = |listener| tokio::net::TcpListener::from_std(listener);
        let page = self.page.map(listen).transpose()?;
        let (grpc, http) = (listen(self.grpc)?, listen(self.http)?);
        let intake = Intake::new(Arc::clone(&self.backend), receive::BOUNDS);
        let serving_page = async {
            match &page {
                Some(listener) => serve::page(listener, &self.backend).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = serving_page => {}
            () = intake.serve(&grpc) => {}
            () = intake.serve(&http) => {}
            () = stop => {}
        }
        Ok(())
    }
}

/// Asks a backend for what it keeps.
#[derive(Clone, Debug)]
pub struct Reader {
    backend: Arc<Backend>,
}

/// How much came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Traces that are kept or have been.
    pub traces: u64,
    /// Spans that came, less those that came twice or were refused.
    pub spans: u64,
    /// Kept traces with an error.
    pub errors: u64,
}

impl Reader {
    /// How much came so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut state = self.backend.state();
        let counts = state.store.counts();
        let errors = state.store.summaries().filter(|(summary, _)| summary.errors > 0).count();
        Totals {
            traces: state.store.len() as u64 + counts.evicted_traces,
            spans: counts.received - counts.refused - counts.repeated,
            errors: errors as u64,
        }
    }

    /// The service and the request that held up kept traces for longest, in words; `None` while
    /// there are none.
    #[must_use]
    pub fn slowest_hop(&self) -> Option<String> {
        api::slowest_hop(&self.backend.state().store)
    }
}
