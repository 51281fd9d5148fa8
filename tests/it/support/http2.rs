//! HTTP/2 peers on either side of a sidecar, driven stream by stream.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::soon;

/// An origin whose streams a test answers by hand.
#[derive(Debug)]
pub(crate) struct H2Origin {
    pub(crate) address: SocketAddr,
    streams: mpsc::UnboundedReceiver<Stream>,
    connections: mpsc::UnboundedReceiver<()>,
}

/// A request as it arrived, and the way to answer it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl H2Origin {
    pub(crate) async fn start() -> Self {
        Self::start_with(h2::server::Builder::new()).await
    }

    /// One whose connections are set up like this.
    pub(crate) async fn start_with(setup: h2::server::Builder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
        let address = listener.local_addr().expect("it is bound");
        let (sender, streams) = mpsc::unbounded_channel();
        let (connected, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connected.send(()).ok();
                tokio::spawn(serve(stream, setup.clone(), sender.clone()));
            }
        });
        Self { address, streams, connections }
    }

    /// The next stream.
    pub(crate) async fn next(&mut self) -> Stream {
        soon("a stream at the origin", self.streams.recv()).await.expect("the origin runs")
    }

    /// How many connections have been made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }
}

async fn serve(
    stream: TcpStream,
    setup: h2::server::Builder,
    sender: mpsc::UnboundedSender<Stream>,
) {
    let Ok(mut connection) = setup.handshake(stream).await else { return };
    // Streams end, and connections are lost, as the tests would have it.
    while let Some(Ok((request, respond))) = connection.accept().await {
        sender.send(Stream { request, respond }).ok();
    }
}

/// A connection to `address`.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    connect_breakable(address).await.0
}

/// A connection to `address`, and the task that keeps it alive.
pub(crate) async fn connect_breakable(address: SocketAddr) -> (SendRequest<Bytes>, JoinHandle<()>) {
    connect_with(address, &h2::client::Builder::new()).await
}

/// A connection to `address` that is set up like this, and the task that keeps it alive.
pub(crate) async fn connect_with(
    address: SocketAddr,
    setup: &h2::client::Builder,
) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = soon("connecting", TcpStream::connect(address)).await.expect("it listens");
    let handshake = soon("the handshake", setup.handshake(stream)).await;
    let (sender, connection) = handshake.expect("it speaks HTTP/2");
    let running = tokio::spawn(async move {
        // The tests look at the streams.
        connection.await.ok();
    });
    (soon("a free stream", sender.ready()).await.expect("the connection lives"), running)
}

/// A request without a body or lines of its own.
pub(crate) fn get(path: &str) -> Request<()> {
    let uri = format!("http://shop.example{path}");
    Request::builder().uri(uri).body(()).expect("a request")
}

/// Reads a body to its end: its bytes and its trailers.
pub(crate) async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = soon("data", body.data()).await {
        let data = data?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = soon("the end of the stream", body.trailers()).await?;
    Ok((bytes, trailers))
}
