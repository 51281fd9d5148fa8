//! Connections that carry something else than HTTP: bytes both ways, and one span.
//!
//! What such a connection carries is its own: nothing is read but what tells the protocol, and
//! nothing is written. Each end, be it in order or a reset, is passed on as it came.

mod passage;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use self::passage::Passage;
use super::connection::Conn;
use super::fault::Fault;
use super::tunnel::{self, End};
use crate::direction::Direction;
use crate::net::wire::Wire;
use crate::trace::semconv::connection::Connection;

/// The connection to where the client meant to go.
#[derive(Debug)]
pub struct Upstream {
    /// The connection; what was read of it and not yet delivered is in its buffer.
    pub wire: Wire,
    /// Its other end, which is the original destination.
    pub peer: SocketAddr,
    /// How long connecting took.
    pub took: Duration,
}

/// What is known of a connection when it has turned out to be opaque.
#[derive(Debug, Default)]
pub struct Opening {
    /// When it was accepted, by the clock of its worker.
    pub began: u64,
    /// Whether it begins as TLS does.
    pub is_tls: bool,
    /// The name that its client asks for, where TLS tells.
    pub sni: Option<Box<str>>,
    /// How many of the client's bytes have been forwarded already.
    pub already_up: u64,
}

/// Moves the bytes of a connection until it ends.
pub async fn run(conn: Rc<Conn>, downstream: Wire, upstream: Upstream, opening: Opening) {
    let mut idle = conn.worker.idle_watch();
    conn.worker.counters.opaque(conn.direction, opening.is_tls).add(1);
    let connection = Connection {
        kind: conn.kind(),
        is_tls: opening.is_tls,
        server_name: opening.sni.as_deref(),
        caller: conn.peer,
        destination: upstream.peer,
    };
    let mut passage = Passage::begin(&conn, &connection, opening.began);
    passage.connected(upstream.peer, upstream.took);
    passage.sent.bytes = opening.already_up;
    drop(opening);
    let mut open = Open { conn, passage, downstream, upstream: upstream.wire };
    open.downstream.keep_urgent();
    open.upstream.keep_urgent();
    let Open { passage, downstream, upstream, .. } = &mut open;
    let end = tunnel::run(downstream, upstream, &mut idle, passage).await;
    open.ended(end);
}

/// Tells of a connection whose upstream, `destination`, could not be reached.
pub fn refused(conn: &Rc<Conn>, destination: SocketAddr, began: u64, fault: Fault) {
    let connection = Connection {
        kind: conn.kind(),
        is_tls: false,
        server_name: None,
        caller: conn.peer,
        destination,
    };
    let mut passage = Passage::begin(conn, &connection, began);
    passage.fail(fault);
    passage.finish();
}

/// A connection that is open; its span ends when it is dropped.
struct Open {
    conn: Rc<Conn>,
    passage: Passage,
    downstream: Wire,
    upstream: Wire,
}

impl Open {
    fn ended(mut self, end: End) {
        self.passage.ended(end);
        if end.fault.is_some() {
            self.downstream.set_to_reset();
            self.upstream.set_to_reset();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // What is cut off must not look as if it were whole.
        if self.conn.worker.is_forced() && !self.passage.has_ended() {
            self.downstream.set_to_reset();
            self.upstream.set_to_reset();
        }
        // The other side does not leave the machine, or the pod.
        let crossing = match self.conn.direction {
            Direction::Inbound => &self.downstream,
            Direction::Outbound => &self.upstream,
        };
        self.passage.crossed(crossing);
        self.passage.finish();
    }
}
