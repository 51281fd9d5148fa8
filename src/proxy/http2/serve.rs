//! One HTTP/2 connection: its handshake, its streams, and its end.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::Request;
use tokio::time::timeout;

use super::guard::{Guard, Watched};
use super::upstreams::Upstreams;
use super::{settings, stream};
use crate::net::idle::{Deadline, IdleWatch};
use crate::net::wire::Wire;
use crate::proxy::connection::Conn;
use crate::proxy::exchange::Exchange;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::upstream::Dialled;

/// How long a peer that was told to leave may take over it once nothing is open any more.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream that was opened, or how the connection failed.
type Accepted = Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

/// Serves a connection's streams until it ends.
pub async fn run(conn: Rc<Conn>, wire: Wire, first: Option<Box<Dialled>>) {
    let limits = conn.worker.config.limits;
    let (guard, watched) = Guard::of_client(wire, &limits, settings::header_bytes(&limits));
    let handshake = settings::server(&limits).handshake::<_, Bytes>(guard);
    let Ok(Ok(h2)) = timeout(limits.head_timeout, handshake).await else { return };
    let upstreams = Rc::new(Upstreams::new(Rc::clone(&conn), first));
    let served = Served {
        h2,
        watched: watched.clone(),
        conn: Rc::clone(&conn),
        idle: IdleWatch::new(limits.idle_timeout),
        is_leaving: false,
        leaving: Leaving::default(),
        is_extended: false,
    };
    Box::pin(served.run(&upstreams)).await;
    tell_of_refused(&conn, watched.refused(true));
}

struct Served {
    h2: Connection<Guard, Bytes>,
    watched: Watched,
    conn: Rc<Conn>,
    idle: IdleWatch,
    is_leaving: bool,
    leaving: Leaving,
    /// Whether the peer has been told that extended CONNECT is taken.
    is_extended: bool,
}

impl Served {
    async fn run(mut self, upstreams: &Rc<Upstreams>) {
        let conn = Rc::clone(&self.conn);
        let mut draining = pin!(conn.worker.draining());
        let mut extended = pin!(extended_connect(&conn, upstreams));
        let mut must_extend = false;
        loop {
            let next = poll_fn(|cx| {
                let accepted = self.poll_accept(cx, Rc::strong_count(upstreams) > 1);
                if accepted.is_ready() {
                    return accepted;
                }
                // A client has spoken HTTP/2 once its settings have come.
                let has_spoken = self.watched.takes_extended_connect().is_some();
                if !must_extend && has_spoken && extended.as_mut().poll(cx).is_ready() {
                    must_extend = true;
                }
                // It cannot be said before the settings of the handshake have been acknowledged.
                if must_extend && !self.is_extended && self.h2.enable_connect_protocol().is_ok() {
                    self.is_extended = true;
                    cx.waker().wake_by_ref();
                }
                if !self.is_leaving && draining.as_mut().poll(cx).is_ready() {
                    self.leave(cx);
                }
                Poll::Pending
            });
            match next.await {
                Some(Ok((request, respond))) => self.begin(upstreams, request, respond),
                Some(Err(error)) => {
                    tracing::debug!(%error, "downstream connection failed");
                    return;
                }
                None => return,
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>, has_streams: bool) -> Poll<Option<Accepted>> {
        if let Poll::Ready(accepted) = self.h2.poll_accept(cx) {
            self.idle.touch();
            return Poll::Ready(accepted);
        }
        if let Some(reason) = self.watched.take_failure() {
            self.h2.abrupt_shutdown(reason);
            return self.h2.poll_accept(cx);
        }
        tell_of_refused(&self.conn, self.watched.refused(false));
        if has_streams {
            self.idle.touch();
        }
        if !self.is_leaving && self.idle.poll_expired(cx).is_ready() {
            self.leave(cx);
        }
        if self.is_leaving && self.leaving.poll_over(cx, has_streams).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    fn leave(&mut self, cx: &Context<'_>) {
        self.is_leaving = true;
        self.h2.graceful_shutdown();
        cx.waker().wake_by_ref();
    }

    fn begin(
        &self,
        upstreams: &Rc<Upstreams>,
        mut request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        let id = respond.stream_id();
        tell_of_refused(&self.conn, self.watched.refused_before(id));
        self.watched.mark(id, request.headers_mut());
        let exchange = stream::run(Rc::clone(upstreams), request, respond, self.watched.clone());
        tokio::task::spawn_local(exchange);
    }
}

/// Makes the spans of requests that `h2` has reset because they were malformed, or too many.
fn tell_of_refused(conn: &Rc<Conn>, count: usize) {
    for _ in 0..count {
        let mut exchange = Exchange::unreadable(conn);
        exchange.fail(Fault::downstream(Kind::ProtocolError));
        exchange.end();
    }
}

/// Waits until extended CONNECT can be offered. To know whether the upstream takes it, spandrel
/// connects to it as soon as it is connected to; a failure is for the first request to find.
async fn extended_connect(conn: &Conn, upstreams: &Upstreams) {
    if let Some(target) = &conn.target {
        upstreams.attempt(target).await.ok();
    }
    upstreams.extended_connect().await;
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
