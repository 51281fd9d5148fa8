//! Connections that telemetry leaves by, which are known to be our own while they live.
//!
//! Where the rules that redirect traffic do not spare spandrel, such a connection comes back to its
//! own listener, which must tell it from the application's. The names of a collector are looked up
//! here, since its connections are made here.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::Service;

use crate::net::own::{OwnSockets, Purpose, Registered};
use crate::net::redirect;

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(300);

/// Connects to the hosts of URLs.
#[derive(Clone, Debug)]
pub struct Connector {
    own: OwnSockets,
    limit: Option<Duration>,
}

/// A connection of ours, and the note of it.
#[derive(Debug)]
pub struct OwnStream {
    stream: TcpStream,
    _registered: Registered,
}

impl Connector {
    /// One whose connections are among `own`, and are given up where they are not there within
    /// `limit`.
    #[must_use]
    pub const fn new(own: OwnSockets, limit: Option<Duration>) -> Self {
        Self { own, limit }
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<OwnStream>> {
        let connecting = async { first(addresses(&uri).await?, &self.own).await };
        let stream = match self.limit {
            None => connecting.await?,
            Some(limit) => timeout(limit, connecting).await??,
        };
        // Failing to set the option costs latency, never correctness.
        stream.stream.set_nodelay(true).ok();
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<OwnStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Uri) -> Self::Future {
        Box::pin(self.clone().connect(req))
    }
}

/// The addresses of a URL's host, in the order to try them.
async fn addresses(uri: &Uri) -> io::Result<Vec<SocketAddr>> {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(usual);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.take(MAX_ADDRESSES).collect())
}

/// The first connection to one of these addresses; the others are given up.
async fn first(addresses: Vec<SocketAddr>, own: &OwnSockets) -> io::Result<OwnStream> {
    let mut rest = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        if let Some(address) = rest.next() {
            attempts.spawn(one(address, own.clone()));
        }
        // Whoever is late goes on beside the next one.
        let patience = if rest.len() > 0 { HEAD_START } else { Duration::MAX };
        let Ok(ended) = timeout(patience, attempts.join_next()).await else { continue };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(error)) => failure = error.into(),
            None => return Err(failure),
        }
    }
}

async fn one(address: SocketAddr, own: OwnSockets) -> io::Result<OwnStream> {
    let (stream, _registered) = redirect::connect(address, None, &own, Purpose::Telemetry).await?;
    Ok(OwnStream { stream, _registered })
}

impl Connection for OwnStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for OwnStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for OwnStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_is_known_as_telemetry_while_it_lives() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let uri: Uri = format!("http://{address}/v1").parse().unwrap();
        let own = OwnSockets::default();
        let connecting = Connector::new(own.clone(), None).call(uri);
        let (stream, accepted) = tokio::join!(connecting, listener.accept());
        let (stream, (_accepted, peer)) = (stream.unwrap(), accepted.unwrap());
        assert_eq!(own.purpose(peer, address), Some(Purpose::Telemetry));
        drop(stream);
        assert_eq!(own.purpose(peer, address), None);
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let own = OwnSockets::default();
        let stream = first(vec![closed, open], &own).await.unwrap();
        assert_eq!(stream.stream.peer_addr().unwrap(), open);
        let refused = first(vec![closed, closed], &own).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first(Vec::new(), &own).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn hosts_are_names_or_addresses_with_the_port_of_their_scheme() {
        for (url, expected) in [
            ("http://10.0.0.1/v1", "10.0.0.1:80"),
            ("https://10.0.0.1", "10.0.0.1:443"),
            ("http://[::1]:4317", "[::1]:4317"),
        ] {
            let found = addresses(&Uri::from_static(url)).await.unwrap();
            assert_eq!(found, [expected.parse().unwrap()], "{url}");
        }
        let localhost = addresses(&Uri::from_static("http://localhost:1")).await.unwrap();
        assert!(!localhost.is_empty() && localhost.iter().all(|a| a.ip().is_loopback()));
    }
}
