//! `CONNECT` over HTTP/2: a stream on one side, a TCP connection on the other (RFC 9113, section 8.5).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Response, StatusCode};
use tokio::time::Instant;

use super::refusal::refuse;
use crate::net::buffer::STREAM_BUFFER_SIZE;
use crate::net::idle::IdleWatch;
use crate::net::wire::Wire;
use crate::proxy::connection::Conn;
use crate::proxy::exchange::Exchange;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::upstream;

/// `CONNECT` of our own: connects, tells the caller so, and moves bytes.
pub(super) async fn dig(
    conn: &Rc<Conn>,
    parts: &http::request::Parts,
    from_caller: RecvStream,
    mut respond: SendResponse<Bytes>,
    mut exchange: Box<Exchange>,
) {
    let connected = tokio::select! {
        connected = connect(conn, parts, &mut exchange) => connected,
        _reason = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let upstream = match connected {
        Ok(upstream) => upstream,
        Err(fault) => return refuse(exchange, respond, fault),
    };
    exchange.first_byte();
    exchange.answered(StatusCode::OK.as_u16(), None);
    exchange.tunnels(None);
    let Ok(to_caller) = respond.send_response(Response::new(()), false) else { return };
    let idle = conn.worker.idle_watch();
    let tunnel = Tunnel { exchange: &mut exchange, from_caller, to_caller, upstream, idle };
    let fault = tunnel.run().await;
    if let Some(fault) = fault {
        exchange.fail(fault);
    }
    exchange.end();
}

async fn connect(
    conn: &Rc<Conn>,
    parts: &http::request::Parts,
    exchange: &mut Exchange,
) -> Result<Wire, Fault> {
    if !conn.worker.has_room() {
        return Err(Fault::proxy(Kind::Overload));
    }
    let target = upstream::target(conn, parts.uri.authority().map(|a| a.as_str().as_bytes()))?;
    exchange.goes_to(&target);
    let start = Instant::now();
    let (wire, peer) = upstream::connect(conn, &target).await?;
    exchange.connected(peer, Some(start.elapsed()));
    Ok(wire)
}

/// A tunnel that stands.
struct Tunnel<'a> {
    exchange: &'a mut Exchange,
    from_caller: RecvStream,
    to_caller: SendStream<Bytes>,
    upstream: Wire,
    idle: IdleWatch,
}

#[derive(Default)]
struct Flows {
    /// What came from the caller and has not been written.
    waiting: Bytes,
    has_caller_ended: bool,
    has_upstream_ended: bool,
}

/// Why a tunnel broke, and what the caller's stream is reset with.
struct Broken(Fault, Reason);

impl Tunnel<'_> {
    /// Moves bytes until both sides have ended, one is reset, or both are silent for too long.
    async fn run(mut self) -> Option<Fault> {
        let mut flows = Flows::default();
        let ended = poll_fn(|cx| self.poll(cx, &mut flows)).await;
        let Err(Broken(fault, reason)) = ended else { return None };
        // What has been passed on must be written before a reset, which would overtake it.
        tokio::task::yield_now().await;
        self.to_caller.send_reset(reason);
        self.upstream.reset();
        Some(fault)
    }

    fn poll(&mut self, cx: &mut Context<'_>, flows: &mut Flows) -> Poll<Result<(), Broken>> {
        let before = (self.exchange.request.bytes, self.exchange.response.bytes);
        if let Poll::Ready(reset) = self.to_caller.poll_reset(cx)
            && !(flows.has_caller_ended && flows.has_upstream_ended)
        {
            let reason = reset.unwrap_or(Reason::CANCEL);
            return Poll::Ready(Err(Broken(Fault::downstream(Kind::Cancelled), reason)));
        }
        if let Poll::Ready(Err(broken)) = self.poll_up(cx, flows) {
            return Poll::Ready(Err(broken));
        }
        if let Poll::Ready(Err(broken)) = self.poll_down(cx, flows) {
            return Poll::Ready(Err(broken));
        }
        if flows.has_caller_ended && flows.has_upstream_ended {
            return Poll::Ready(Ok(()));
        }
        if before != (self.exchange.request.bytes, self.exchange.response.bytes) {
            self.idle.touch();
        }
        let expired = self.idle.poll_expired(cx);
        if self.idle.has_ticked() {
            self.exchange.tell_progress();
        }
        ready!(expired);
        Poll::Ready(Err(Broken(Fault::proxy(Kind::IdleTimeout), Reason::CONNECT_ERROR)))
    }

    fn poll_up(&mut self, cx: &mut Context<'_>, flows: &mut Flows) -> Poll<Result<(), Broken>> {
        while !flows.has_caller_ended {
            if !flows.waiting.is_empty() {
                let written = ready!(self.upstream.poll_write(cx, &flows.waiting));
                let count = written.map_err(|_gone| upstream_reset())?;
                self.exchange.request.pass(flows.waiting.get(..count).unwrap_or_default());
                flows.waiting.advance(count);
                let released = self.from_caller.flow_control().release_capacity(count);
                released.map_err(|error| caller_gone(&error))?;
                continue;
            }
            match ready!(self.from_caller.poll_data(cx)) {
                Some(data) => flows.waiting = data.map_err(|error| caller_gone(&error))?,
                None => {
                    // Nothing but data may follow in a tunnel.
                    let trailers = ready!(self.from_caller.poll_trailers(cx));
                    if trailers.map_err(|error| caller_gone(&error))?.is_some() {
                        let fault = Fault::downstream(Kind::ProtocolError);
                        return Poll::Ready(Err(Broken(fault, Reason::PROTOCOL_ERROR)));
                    }
                    self.upstream.shut_down(cx);
                    flows.has_caller_ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>, flows: &mut Flows) -> Poll<Result<(), Broken>> {
        while !flows.has_upstream_ended {
            let waiting = self.upstream.buffer.filled();
            if !waiting.is_empty() {
                self.to_caller.reserve_capacity(waiting.len());
                while self.to_caller.capacity() == 0 {
                    let room = ready!(self.to_caller.poll_capacity(cx));
                    room.transpose().map_err(|error| caller_gone(&error))?;
                }
                let count = self.to_caller.capacity().min(waiting.len());
                let part = Bytes::copy_from_slice(waiting.get(..count).unwrap_or_default());
                self.exchange.response.pass(&part);
                self.to_caller.send_data(part, false).map_err(|error| caller_gone(&error))?;
                self.upstream.buffer.consume(count);
            } else if self.upstream.is_eof() {
                let ended = self.to_caller.send_data(Bytes::new(), true);
                ended.map_err(|error| caller_gone(&error))?;
                flows.has_upstream_ended = true;
            } else {
                let read = ready!(self.upstream.poll_fill(cx, STREAM_BUFFER_SIZE));
                read.map_err(|_reset| upstream_reset())?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

const fn upstream_reset() -> Broken {
    Broken(Fault::upstream(Kind::ConnectionReset), Reason::CONNECT_ERROR)
}

fn caller_gone(error: &h2::Error) -> Broken {
    let reason = error.reason().unwrap_or(Reason::CANCEL);
    Broken(Fault::downstream(Kind::Cancelled), reason)
}
