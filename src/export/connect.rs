//! Connections that telemetry leaves by, which are known to be our own while they live.
//!
//! Where the rules that redirect traffic do not spare spandrel, such a connection comes back to its
//! own listener, which must tell it from the application's. Which addresses a name has, and in
//! which order they are tried, is decided in [`super::names`].

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::Service;

use super::names::{Name, Names};
use super::proxies::{Proxies, host_and_port, tunnel};
use super::{ExportError, Proxy};
use crate::net::own::{OwnSockets, Purpose, Registered};
use crate::net::redirect;

/// How long an address is tried alone before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(300);

/// Connects to the hosts of URLs.
#[derive(Clone, Debug)]
pub struct Connector {
    own: OwnSockets,
    limit: Option<Duration>,
    pub(super) names: Names,
    proxies: Arc<Proxies>,
    /// Whether a proxy on the way to `http://` is asked to forward requests, not for a tunnel.
    is_forwarded: bool,
}

/// A connection of ours, and the note of it.
#[derive(Debug)]
pub struct OwnStream {
    stream: TcpStream,
    _registered: Registered,
    /// Whether the other end is a proxy that forwards requests.
    is_forwarded: bool,
    _used: Arc<SocketAddr>,
}

impl Connector {
    /// One whose connections are among `own`, and are given up where they are not there within
    /// `limit`.
    #[must_use]
    pub fn new(own: OwnSockets, limit: Option<Duration>) -> Self {
        let (names, proxies) = (Names::default(), Arc::default());
        Self { own, limit, names, proxies, is_forwarded: false }
    }

    /// The same by way of proxies: through tunnels, whatever is spoken in them.
    ///
    /// # Errors
    /// When the URL of a proxy is none.
    pub fn through(self, proxy: &Proxy) -> Result<Self, ExportError> {
        Ok(Self { proxies: Arc::new(Proxies::new(proxy)?), ..self })
    }

    /// The same, but proxies on the way to `http://` are given the requests themselves, which must
    /// be of HTTP/1 and carry [`Self::authorization`].
    pub(super) fn forwarded(self) -> Self {
        Self { is_forwarded: true, ..self }
    }

    /// Who we are to the proxy that forwards requests to `uri`, if there is one that wants to know.
    pub(super) fn authorization(&self, uri: &Uri) -> Option<&HeaderValue> {
        let is_forwarded = self.is_forwarded && uri.scheme() == Some(&Scheme::HTTP);
        self.proxies.of(uri).filter(|_| is_forwarded)?.authorization.as_ref()
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<OwnStream>> {
        let connecting = self.connected(&uri);
        let stream = match self.limit {
            None => connecting.await?,
            Some(limit) => timeout(limit, connecting).await??,
        };
        Ok(TokioIo::new(stream))
    }

    async fn connected(&self, uri: &Uri) -> io::Result<OwnStream> {
        let Some(hop) = self.proxies.of(uri) else { return self.to(&host_and_port(uri)).await };
        let mut stream = self.to(&(hop.host.clone(), hop.port)).await?;
        stream.is_forwarded = self.is_forwarded && uri.scheme() == Some(&Scheme::HTTP);
        if !stream.is_forwarded {
            tunnel(&mut stream.stream, uri, hop).await?;
        }
        Ok(stream)
    }

    async fn to(&self, name: &Name) -> io::Result<OwnStream> {
        let addresses = self.names.addresses(name).await?;
        let tried = first(addresses, &self.own).await;
        self.names.avoid(name, &tried.behind);
        let (stream, _registered) = tried.result?;
        // Failing to set the option costs latency, never correctness.
        stream.set_nodelay(true).ok();
        let _used = self.names.use_of(name, stream.peer_addr()?);
        Ok(OwnStream { stream, _registered, is_forwarded: false, _used })
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

/// What came of trying several addresses.
struct Tried {
    result: io::Result<(TcpStream, Registered)>,
    /// Those that failed, or that another has overtaken.
    behind: Vec<SocketAddr>,
}

/// The first connection to one of these addresses; the others are given up.
async fn first(addresses: Vec<SocketAddr>, own: &OwnSockets) -> Tried {
    let mut rest = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut behind = Vec::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        if let Some(address) = rest.next() {
            behind.push(address);
            let own = own.clone();
            attempts.spawn(async move {
                let made = redirect::connect(address, None, &own, Purpose::Telemetry).await;
                made.map(|stream| (address, stream))
            });
        }
        // Whoever is late goes on beside the next one.
        let patience = if rest.len() > 0 { HEAD_START } else { Duration::MAX };
        let Ok(ended) = timeout(patience, attempts.join_next()).await else { continue };
        match ended {
            Some(Ok(Ok((address, stream)))) => {
                behind.retain(|late| *late != address);
                return Tried { result: Ok(stream), behind };
            }
            Some(Ok(Err(error))) => failure = error,
            Some(Err(error)) => failure = error.into(),
            None => return Tried { result: Err(failure), behind },
        }
    }
}

impl Connection for OwnStream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_forwarded)
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
    use super::super::names::tests::Table;
    use super::*;
    use tokio::net::TcpListener;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_connection_is_known_as_telemetry_while_it_lives() {
        let (listener, address) = listener().await;
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
        let closed = listener().await.1;
        let (_listener, open) = listener().await;
        let own = OwnSockets::default();
        let tried = first(vec![closed, open], &own).await;
        assert_eq!(tried.result.unwrap().0.peer_addr().unwrap(), open);
        assert_eq!(tried.behind, [closed]);
        let refused = first(vec![closed, closed], &own).await.result.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let none = first(Vec::new(), &own).await.result.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn several_addresses_are_used_in_turn_and_a_dead_one_is_tried_once() {
        let dead = listener().await.1;
        let ((_one, first), (_other, second)) = (listener().await, listener().await);
        let mut connector = Connector::new(OwnSockets::default(), None);
        connector.names = Names::by(Table::of(&[dead, first, second]));
        let uri = Uri::from_static("http://collector:4318");
        let mut reached = Vec::new();
        for _ in 0..6 {
            let stream = connector.call(uri.clone()).await.unwrap();
            reached.push(stream.inner().stream.peer_addr().unwrap());
        }
        assert!(reached.contains(&first) && reached.contains(&second), "{reached:?}");
        let addresses = connector.names.addresses(&("collector".to_owned(), 4318)).await.unwrap();
        assert_eq!(addresses.last(), Some(&dead));
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_tunnel_unless_it_forwards() {
        let (listener, address) = listener().await;
        let url = Some(format!("http://me:secret@{address}"));
        let proxy = Proxy { http: url.clone(), https: url, ..Proxy::default() };
        let own = OwnSockets::default();
        let tunnelling = Connector::new(own, None).through(&proxy).unwrap();
        let forwarding = tunnelling.clone().forwarded();
        let plain = Uri::from_static("http://collector:4318/v1/traces");
        let tls = Uri::from_static("https://collector:4318/v1/traces");
        assert!(forwarding.authorization(&plain).is_some());
        assert!(forwarding.authorization(&tls).is_none(), "it is for the proxy alone");
        assert!(tunnelling.authorization(&plain).is_none());
        for (connector, uri, is_forwarded) in
            [(&forwarding, &plain, true), (&forwarding, &tls, false), (&tunnelling, &plain, false)]
        {
            let connecting = connector.clone().call(uri.clone());
            let proxying = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                if !is_forwarded {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let mut asked = [0; 27];
                    stream.read_exact(&mut asked).await.unwrap();
                    assert_eq!(&asked, b"CONNECT collector:4318 HTTP");
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                }
                stream
            };
            let (connected, _stream) = tokio::join!(connecting, proxying);
            assert_eq!(connected.unwrap().inner().is_forwarded, is_forwarded);
        }
    }
}
