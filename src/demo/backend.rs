//! The backend of the demo: the same as that of `spandrel view`, on its usual ports where they are
//! free.

use std::net::SocketAddr;

use crate::view::{Addresses, Config, Reader, View, ViewError};

/// Where the page is served, if that port is free.
pub const PAGE: SocketAddr = loopback(16030);
/// Where OTLP over gRPC is received, if that port is free.
const GRPC: SocketAddr = loopback(4317);
/// Where OTLP over HTTP is received, if that port is free.
const HTTP: SocketAddr = loopback(4318);
/// The most memory that traces take up, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// The backend, listening.
#[derive(Debug)]
pub struct Backend(View);

impl Backend {
    /// Binds it, with or without the page.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn bind(has_page: bool) -> Result<Self, ViewError> {
        let [grpc, http] = [GRPC, HTTP].map(super::usual_or_free);
        let page = has_page.then(|| super::usual_or_free(PAGE));
        View::bind(Config { page, grpc, http, memory: MEMORY }).map(Self)
    }

    /// The addresses that were bound.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.0.addresses()
    }

    /// What has arrived.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.0.reader()
    }

    /// Receives, and serves the page, until it is told to stop.
    ///
    /// # Errors
    /// When the listeners cannot be used.
    pub async fn run(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        self.0.run(stop).await
    }
}
