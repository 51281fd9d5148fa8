//! One HTTP/2 connection: streams in, and an upstream connection of its own for each target.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::stream;
use crate::net::idle::{Deadline, IdleWatch};
use crate::net::rewind::Rewind;
use crate::net::wire::Wire;
use crate::proxy::connection::Conn;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::{Authority, Limits, upstream};

/// How many bytes of one stream may be on their way to us. A connection has room for all of its
/// streams at once: one that is not read must not hold up the others.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The largest window that HTTP/2 knows (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// How many bytes of one stream may wait to be written.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a peer that was told to leave may take over it once nothing is open any more.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Upstream connections that one downstream connection may hold; the oldest makes room.
const MAX_UPSTREAMS: usize = 8;

/// The upstream connections of one downstream connection.
#[derive(Debug)]
pub struct Upstreams {
    conn: Rc<Conn>,
    held: RefCell<Vec<Held>>,
    /// Connections that are being made; other streams wait for them and share what becomes of
    /// them, the failure too.
    attempts: RefCell<Vec<(Authority, watch::Receiver<Attempt>)>>,
}

/// What has become of an attempt to connect: nothing yet, a connection that is held, or a failure.
type Attempt = Option<Result<(), Fault>>;

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
        attempts: RefCell::default(),
    });
    let mut idle = IdleWatch::new(limits.idle_timeout);
    let mut draining = pin!(conn.worker.draining());
    let mut is_leaving = false;
    let mut leaving = Leaving::default();
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
            if is_leaving && leaving.poll_over(cx, Rc::strong_count(&upstreams) > 1).is_ready() {
                return Poll::Ready(None);
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

/// The end of a connection whose peer was told to leave.
#[derive(Default)]
struct Leaving {
    deadline: Deadline,
    has_been_empty: bool,
}

impl Leaving {
    /// Ready when no stream has been open for a while: for one to two [`LEAVE_TIMEOUT`]s.
    fn poll_over(&mut self, cx: &mut Context<'_>, has_streams: bool) -> Poll<()> {
        self.has_been_empty &= !has_streams;
        self.deadline.set(LEAVE_TIMEOUT);
        while self.deadline.poll_expired(cx).is_ready() {
            if self.has_been_empty {
                return Poll::Ready(());
            }
            self.has_been_empty = !has_streams;
            self.deadline.clear();
            self.deadline.set(LEAVE_TIMEOUT);
        }
        Poll::Pending
    }
}

fn server(limits: &Limits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(header_bytes(limits));
    builder
}

fn connection_window(limits: &Limits) -> u32 {
    limits.streams.saturating_mul(STREAM_WINDOW).clamp(STREAM_WINDOW, MAX_WINDOW)
}

/// The bytes of a header list that h2 takes. What is longer it answers by itself, or cuts in
/// trailers, so it takes far more than may be passed on: what is too large is then seen here,
/// answered, and told by a span.
fn header_bytes(limits: &Limits) -> u32 {
    u32::try_from(limits.header_bytes.saturating_mul(16)).unwrap_or(u32::MAX)
}

fn client(limits: &Limits) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits))
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(header_bytes(limits))
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
        loop {
            if let Some(ready) = self.ready_held(target).await {
                return Ok(ready);
            }
            let running = self.attempts.borrow().iter().find(|(t, _)| t == target).cloned();
            let Some((_, mut attempt)) = running else { return self.attempt(target).await };
            // A stream that gave up half way leaves no outcome, and the next one tries.
            if let Ok(outcome) = attempt.wait_for(Option::is_some).await
                && let Some(Err(fault)) = *outcome
            {
                return Err(fault);
            }
        }
    }

    /// Makes a connection, for all streams that want one.
    async fn attempt(&self, target: &Authority) -> Result<Ready, Fault> {
        let (tell, attempt) = watch::channel(None);
        self.attempts.borrow_mut().push((target.clone(), attempt));
        let _running = Running { upstreams: self, target };
        let result = self.connect(target).await;
        tell.send_replace(Some(result.as_ref().map(|_| ()).map_err(|fault| *fault)));
        result
    }

    async fn connect(&self, target: &Authority) -> Result<Ready, Fault> {
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

/// Ends an attempt, however it ended.
struct Running<'a> {
    upstreams: &'a Upstreams,
    target: &'a Authority,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.upstreams.attempts.borrow_mut().retain(|(target, _)| target != self.target);
    }
}

/// The fault behind a failure of the upstream's connection or stream.
#[must_use]
pub fn fault(error: &h2::Error) -> Fault {
    match error.get_io() {
        Some(io) => Fault::upstream_io(io),
        None if error.is_reset() && error.is_remote() => Fault::upstream(Kind::ConnectionReset),
        None if error.is_go_away() && error.is_remote() => Fault::upstream(Kind::ConnectionClosed),
        None => Fault::upstream(Kind::ProtocolError),
    }
}
