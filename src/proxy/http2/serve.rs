//! One HTTP/2 connection: streams in, and an upstream connection of its own for each target.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::{Instant, timeout};

use super::stream;
use crate::net::idle::IdleWatch;
use crate::net::rewind::Rewind;
use crate::net::wire::Wire;
use crate::proxy::connection::Conn;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::{Authority, Limits, upstream};

/// How many bytes of one stream may be on their way to us.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How many bytes of one connection may be on their way to us.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How many bytes of one stream may wait to be written.
const SEND_BUFFER: usize = 256 * 1024;
/// Upstream connections that one downstream connection may hold; the oldest makes room.
const MAX_UPSTREAMS: usize = 8;

/// The upstream connections of one downstream connection.
#[derive(Debug)]
pub struct Upstreams {
    conn: Rc<Conn>,
    held: RefCell<Vec<Held>>,
    /// Only one stream at a time makes connections, and the others share what it made.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Held {
    target: Authority,
    peer: SocketAddr,
    sender: SendRequest<Bytes>,
}

/// A connection that can take a request.
#[derive(Debug)]
pub struct Ready {
    /// Sends the request.
    pub sender: SendRequest<Bytes>,
    /// The other end.
    pub peer: SocketAddr,
    /// How long connecting took, where that was needed.
    pub connecting: Option<Duration>,
}

/// Serves a connection's streams until it ends.
pub async fn run(conn: Rc<Conn>, wire: Wire) {
    let limits = conn.worker.config.limits;
    let (stream, first) = wire.into_parts();
    let handshake = server(&limits).handshake::<_, Bytes>(Rewind::new(first, stream));
    let Ok(Ok(mut h2)) = timeout(limits.head_timeout, handshake).await else { return };
    let upstreams = Rc::new(Upstreams {
        conn: Rc::clone(&conn),
        held: RefCell::default(),
        connecting: tokio::sync::Mutex::default(),
    });
    let mut idle = IdleWatch::new(limits.idle_timeout);
    let mut draining = pin!(conn.worker.draining());
    let mut is_leaving = false;
    let mut next = async || {
        poll_fn(|cx| {
            if let Poll::Ready(accepted) = h2.poll_accept(cx) {
                idle.touch();
                return Poll::Ready(accepted);
            }
            // Every stream holds a share of the upstreams.
            if Rc::strong_count(&upstreams) > 1 {
                idle.touch();
            }
            let is_over = !is_leaving
                && (idle.poll_expired(cx).is_ready() || draining.as_mut().poll(cx).is_ready());
            if is_over {
                is_leaving = true;
                h2.graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    };
    loop {
        match next().await {
            Some(Ok((request, respond))) => {
                let exchange = stream::run(Rc::clone(&upstreams), request, respond);
                tokio::task::spawn_local(exchange);
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "downstream connection failed");
                break;
            }
            None => break,
        }
    }
}

fn server(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}

fn client(limits: &Limits) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .enable_push(false);
    builder
}

impl Upstreams {
    /// The downstream connection.
    #[must_use]
    pub const fn conn(&self) -> &Rc<Conn> {
        &self.conn
    }

    /// A connection to `target` that can take a request now: one that is held, or a new one.
    ///
    /// # Errors
    /// When the target cannot be reached or does not speak HTTP/2.
    pub async fn ready(&self, target: &Authority) -> Result<Ready, Fault> {
        if let Some(ready) = self.ready_held(target).await {
            return Ok(ready);
        }
        let _only_one = self.connecting.lock().await;
        if let Some(ready) = self.ready_held(target).await {
            return Ok(ready);
        }
        let start = Instant::now();
        let (stream, peer) = upstream::connect(&self.conn, target).await?;
        // Failing to set the option costs latency, never correctness.
        stream.set_nodelay(true).ok();
        let limits = &self.conn.worker.config.limits;
        let handshake = client(limits).handshake::<_, Bytes>(stream);
        let shaken = timeout(limits.connect_timeout, handshake).await;
        let (sender, connection) = shaken
            .map_err(|_late| Fault::upstream(Kind::ConnectTimeout))?
            .map_err(|error| fault(&error))?;
        // It ends by itself when the last handle on it is gone.
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection failed");
            }
        });
        let connecting = Some(start.elapsed());
        let sender = sender.ready().await.map_err(|error| fault(&error))?;
        let mut held = self.held.borrow_mut();
        held.retain(|h| h.target != *target);
        if held.len() >= MAX_UPSTREAMS {
            held.remove(0);
        }
        held.push(Held { target: target.clone(), peer, sender: sender.clone() });
        Ok(Ready { sender, peer, connecting })
    }

    async fn ready_held(&self, target: &Authority) -> Option<Ready> {
        let held = self.held.borrow().iter().find(|h| h.target == *target).cloned()?;
        match held.sender.ready().await {
            Ok(sender) => Some(Ready { sender, peer: held.peer, connecting: None }),
            Err(_gone) => {
                self.held.borrow_mut().retain(|h| h.target != *target);
                None
            }
        }
    }
}

/// The fault behind a failure of the upstream's connection or stream.
#[must_use]
pub fn fault(error: &h2::Error) -> Fault {
    match error.get_io() {
        Some(io) => Fault::upstream_io(io),
        None if error.is_reset() => Fault::upstream(Kind::ConnectionReset),
        None if error.is_go_away() && error.is_remote() => Fault::upstream(Kind::ConnectionClosed),
        None => Fault::upstream(Kind::ProtocolError),
    }
}
