//! One downstream connection: who is at its other end, and which protocol it speaks.

use std::cell::OnceCell;
use std::future::{Future as _, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::Authority;
use super::detect::{self, Protocol};
use super::upstream::Dialled;
use super::worker::Worker;
use super::{http1, http2, redirected};
use crate::direction::Direction;
use crate::metrics::Counter;
use crate::net::idle::{Deadline, IdleWatch};
use crate::net::own::Purpose;
use crate::net::redirect::OriginalDst;
use crate::net::wire::Wire;
use crate::trace::semconv::Peer;
use crate::trace::span::Kind;

/// What all exchanges of a connection share.
#[derive(Debug)]
pub struct Conn {
    /// The worker the connection lives on.
    pub worker: Rc<Worker>,
    /// Which way its requests go.
    pub direction: Direction,
    /// Who connected.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Where the peer meant to go, where its connection was redirected to us.
    pub original: Option<OriginalDst>,
    /// Where all its requests go, if that is known before there is one.
    pub target: Option<Authority>,
    /// What it is for, if we made it ourselves.
    pub purpose: Option<Purpose>,
    /// Held until the last stream has ended, which may outlive the connection itself.
    pub place: Place,
    /// Who connected, in the words of spans, once there was one.
    pub told: OnceCell<Peer>,
}

/// A place among the connections that may be open, and its part of their number.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    open: Counter,
}

impl Place {
    /// Takes the place of this permit, and counts it in `open` for as long as it is taken.
    #[must_use]
    pub fn taken(permit: OwnedSemaphorePermit, open: &Counter) -> Self {
        open.add(1);
        Self { _permit: permit, open: open.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.subtract(1);
    }
}

impl Conn {
    /// The kind of the spans of its requests.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.direction {
            Direction::Inbound => Kind::Server,
            Direction::Outbound => Kind::Client,
        }
    }

    /// Whether requests on it name where they go, because the caller knows us for its proxy.
    #[must_use]
    pub fn is_asked_as_proxy(&self) -> bool {
        self.direction == Direction::Outbound && self.original.is_none()
    }

    /// Who connected, in the words of spans.
    #[must_use]
    pub fn downstream(&self) -> &Peer {
        self.told.get_or_init(|| Peer::of(self.peer))
    }

    /// Whether it is spandrel's own, on its way to a collector beside the application.
    #[must_use]
    pub fn carries_telemetry(&self) -> bool {
        self.purpose == Some(Purpose::Telemetry)
    }

    /// Whether `address`, which is reached from our address `local`, is a listener of ours from
    /// which the request would come back here. A call of the application to its own service goes
    /// from the outbound to the inbound listener, and comes to an end there.
    #[must_use]
    pub fn is_loop(&self, address: SocketAddr, local: IpAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.worker.listening.iter().any(|(direction, own)| {
            let own_ip = own.ip().to_canonical();
            let is_here = own_ip == ip
                || own_ip.is_unspecified() && (ip.is_loopback() || ip == local.to_canonical());
            let comes_back = *direction == self.direction || self.direction == Direction::Inbound;
            comes_back && is_here && own.port() == address.port()
        })
    }
}

/// Serves a connection until it ends.
pub async fn serve(conn: Rc<Conn>, stream: TcpStream) {
    let mut wire = Wire::new(stream, Rc::clone(&conn.worker.pool));
    if let Some(original) = conn.original {
        return Box::pin(redirected::serve(conn, wire, original)).await;
    }
    if let Some(protocol) = detect(&conn, &mut wire).await {
        speak(protocol, conn, wire, None).await;
    }
}

/// Serves a connection of HTTP, for which the upstream may be connected to already.
pub(super) async fn speak(
    protocol: Protocol,
    conn: Rc<Conn>,
    wire: Wire,
    first: Option<Box<Dialled>>,
) {
    // Each is larger than what others need, and connections that are not HTTP need neither's room.
    match protocol {
        Protocol::Http1 => Box::pin(http1::relay::run(conn, wire, first)).await,
        Protocol::Http2 => Box::pin(http2::serve::run(conn, wire, first)).await,
    }
}

/// Waits for the bytes that tell the protocol; `None` when the connection ends before, takes too
/// long over it, or is still silent when spandrel stops.
pub(super) async fn detect(conn: &Conn, wire: &mut Wire) -> Option<Protocol> {
    let limits = &conn.worker.config.limits;
    let mut idle = IdleWatch::new(limits.idle_timeout);
    let mut deadline = Deadline::default();
    let mut draining = pin!(conn.worker.draining());
    poll_fn(|cx| {
        while let Poll::Ready(read) = wire.poll_fill(cx, limits.header_bytes) {
            if !matches!(read, Ok(1..)) {
                return Poll::Ready(None);
            }
            if let Some(protocol) = detect::protocol(wire.buffer.filled()) {
                return Poll::Ready(Some(protocol));
            }
            deadline.set(limits.head_timeout);
        }
        let is_silent = wire.buffer.is_empty();
        let is_over = deadline.poll_expired(cx).is_ready()
            || is_silent && idle.poll_expired(cx).is_ready()
            || is_silent && draining.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}
