//! How a service calls another over HTTP/1.1: through its proxy, by the other's address.
//!
//! Nothing here is particular to spandrel: it is what HTTP clients do by themselves where
//! `HTTP_PROXY` is set. The request names its destination in full, and the connection goes to the
//! proxy.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;

use super::calls::Calls;
use super::web::{self, BoxError};
use super::{Service, Street};

/// How long a call may take until its answer begins, or until it is there where it is read whole.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept without use.
const IDLE: Duration = Duration::from_secs(10);

/// The HTTP client of one service.
#[derive(Clone, Debug)]
pub struct Client {
    from: Service,
    street: Arc<Street>,
    calls: Calls,
    http: legacy::Client<Connector, Full<Bytes>>,
}

type Connector = BoxCloneSyncService<Uri, ToProxy, io::Error>;

impl Client {
    /// The client of the service `from`, which counts its calls.
    #[must_use]
    pub fn new(from: Service, street: Arc<Street>, calls: Calls) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector(street.beside(from).outbound));
        Self { from, street, calls, http }
    }

    /// Makes a call, and gives the answer as soon as it begins.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn open(
        &self,
        to: Service,
        mut call: Request<Bytes>,
    ) -> Result<Response<Incoming>, BoxError> {
        let path = call.uri().path_and_query().map_or("/", |path| path.as_str());
        let authority = self.street.beside(to).inbound.to_string();
        *call.uri_mut() =
            Uri::builder().scheme("http").authority(authority).path_and_query(path).build()?;
        self.calls.note(self.from, to);
        let answer = self.http.request(call.map(Full::new));
        Ok(tokio::time::timeout(CALL_TIMEOUT, answer).await??)
    }

    /// Makes a call, and reads the whole answer.
    ///
    /// # Errors
    /// When there is none in time, or it is too long.
    pub async fn fetch(
        &self,
        to: Service,
        call: Request<Bytes>,
    ) -> Result<Response<Bytes>, BoxError> {
        let (head, body) = self.open(to, call).await?.into_parts();
        let body = tokio::time::timeout(CALL_TIMEOUT, web::read(body)).await??;
        Ok(Response::from_parts(head, body))
    }
}

fn connector(proxy: SocketAddr) -> Connector {
    // Whatever the destination, the connection goes to the proxy.
    BoxCloneSyncService::new(tower::service_fn(move |_destination: Uri| async move {
        let stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        Ok(ToProxy(TokioIo::new(stream)))
    }))
}

/// A connection to a proxy, so that requests on it are written with their whole URL.
#[derive(Debug)]
struct ToProxy(TokioIo<TcpStream>);

impl Connection for ToProxy {
    fn connected(&self) -> Connected {
        Connected::new().proxy(true)
    }
}

impl Read for ToProxy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for ToProxy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
