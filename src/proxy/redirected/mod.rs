//! A redirected connection, which may carry anything.
//!
//! The upstream is dialled at once, and both sides are listened to: HTTP is known by the client's
//! first bytes, and whatever is not HTTP passes as bytes. Nobody is made to wait for that. Bytes
//! that do not say enough yet go on at once, and a server that speaks first is heard at once.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Conn, detect, speak};
use super::detect::{self, First, Protocol};
use super::fault::{Fault, Kind};
use super::opaque::{self, Opening};
use super::upstream::{self, Dialled};
use super::{Authority, Protocols};
use crate::direction::Direction;
use crate::net::buffer::BUFFER_SIZE;
use crate::net::idle::Deadline;
use crate::net::redirect::OriginalDst;
use crate::net::wire::Wire;
use crate::trace::tls::{ClientHello, Hello};

/// How long a client may take to say that it speaks HTTP, and so can be told in words that its
/// server cannot be reached. Others are told by a reset.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(250);
/// How long a server that speaks first, and may be one of HTTP/2, is kept from a client that says
/// nothing. Those of HTTP/2 speak at once; where this is too short for one, its bytes still pass.
const SETTINGS_PATIENCE: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve(conn: Rc<Conn>, mut downstream: Wire, OriginalDst(meant): OriginalDst) {
    let known = protocols(&conn);
    if known.is_some_and(|known| known.http.contains(&meant.port())) {
        if let Some(protocol) = detect(&conn, &mut downstream).await {
            speak(protocol, conn, downstream, None).await;
        }
        return;
    }
    let is_opaque =
        conn.carries_telemetry() || known.is_some_and(|known| known.opaque.contains(&meant.port()));
    let began = conn.worker.clock.now();
    let mut meeting = Meeting {
        limit: conn.worker.config.limits.header_bytes,
        dial: Dial::begin(Rc::clone(&conn), meant),
        downstream,
        hello: ClientHello::default(),
        heard: 0,
        sent: 0,
        patience: Deadline::default(),
    };
    let found = if is_opaque { Some(Found::Opaque) } else { meeting.find_out(&conn).await };
    if matches!(found, Some(Found::Opaque)) && meeting.is_left().await {
        return opaque::refused(&conn, meant, began, Fault::downstream(Kind::ConnectionReset));
    }
    let Meeting { mut downstream, dial, mut hello, heard, sent, .. } = meeting;
    match found {
        None => {}
        Some(Found::Http(protocol)) => {
            let mut first = dial.finish().await;
            if let Ok((wire, _)) = &mut first.result {
                wire.wrote_ahead(sent);
            }
            speak(protocol, conn, downstream, Some(Box::new(first))).await;
        }
        Some(Found::Opaque) => {
            let Dialled { result, took } = dial.finish().await;
            match result {
                Ok((wire, peer)) => {
                    let (is_tls, sni) = match hello.push(&[]) {
                        Hello::Tls { server_name } => (true, server_name.map(Into::into)),
                        Hello::NotTls => (false, None),
                        // The server did not wait for the rest.
                        Hello::NeedMore => (heard > 0, None),
                    };
                    downstream.buffer.consume(sent);
                    let already_up = u64::try_from(sent).unwrap_or(u64::MAX);
                    let upstream = opaque::Upstream { wire, peer, took };
                    let opening = Opening { began, is_tls, sni, already_up };
                    opaque::run(conn, downstream, upstream, opening).await;
                }
                Err(fault) => {
                    opaque::refused(&conn, meant, began, fault);
                    downstream.reset();
                }
            }
        }
    }
}

/// The ports whose protocol is known.
fn protocols(conn: &Conn) -> Option<&Protocols> {
    let config = &conn.worker.config;
    match conn.direction {
        Direction::Inbound => config.inbound.as_ref().map(|inbound| &inbound.protocols),
        Direction::Outbound => config.outbound.as_ref().map(|outbound| &outbound.protocols),
    }
}

/// A client, and a server that is about to be met.
struct Meeting {
    downstream: Wire,
    dial: Dial,
    hello: ClientHello,
    /// How many of the client's bytes the hello has been read from.
    heard: usize,
    /// How many of the client's bytes have gone on, though they are still in its buffer.
    sent: usize,
    /// How many of these are held at most.
    limit: usize,
    patience: Deadline,
}

/// What a connection carries.
#[derive(Clone, Copy)]
enum Found {
    Http(Protocol),
    Opaque,
}

impl Meeting {
    /// Listens to both sides until it is known what the connection carries; `None` when there is
    /// nobody left to serve, or spandrel stops before anybody has spoken.
    async fn find_out(&mut self, conn: &Conn) -> Option<Found> {
        let mut idle = conn.worker.idle_watch();
        let mut draining = pin!(conn.worker.draining());
        poll_fn(|cx| {
            self.dial.poll(cx);
            let said = self.downstream.buffer.filled().len();
            if let Poll::Ready(found) = self.poll_client(cx) {
                return Poll::Ready(found);
            }
            if self.downstream.buffer.filled().len() > said {
                idle.touch();
            }
            if self.poll_server(cx).is_ready() {
                return Poll::Ready(Some(Found::Opaque));
            }
            let is_silent = self.downstream.buffer.is_empty();
            let is_over = idle.poll_expired(cx).is_ready()
                || is_silent && draining.as_mut().poll(cx).is_ready();
            if is_over { Poll::Ready(self.is_underway()) } else { Poll::Pending }
        })
        .await
    }

    /// Waits for the upstream; gives whether the client was reset before it was there, so that
    /// nobody needs it any more.
    async fn is_left(&mut self) -> bool {
        let mut is_listening = true;
        poll_fn(|cx| {
            self.dial.poll(cx);
            if matches!(self.dial, Dial::Done(_)) {
                return Poll::Ready(false);
            }
            while is_listening {
                match self.downstream.poll_fill(cx, self.limit) {
                    Poll::Ready(Ok(count)) => is_listening = count > 0,
                    Poll::Ready(Err(_gone)) => return Poll::Ready(true),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Found>> {
        loop {
            match detect::first(self.downstream.buffer.filled()) {
                First::Http(protocol) => return Poll::Ready(Some(Found::Http(protocol))),
                First::Opaque => return Poll::Ready(Some(Found::Opaque)),
                First::Tls if self.has_said_hello() => return Poll::Ready(Some(Found::Opaque)),
                First::Tls | First::Undecided => {}
            }
            if self.forward(cx).is_err() {
                return Poll::Ready(Some(Found::Opaque));
            }
            match self.downstream.poll_fill(cx, self.limit) {
                Poll::Ready(Ok(1..)) => {}
                // It has ended its side, or says no more than that for too long.
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Found::Opaque)),
                Poll::Ready(Err(_gone)) => {
                    if let Dial::Done(Dialled { result: Ok((upstream, _)), .. }) = &self.dial {
                        upstream.set_to_reset();
                    }
                    return Poll::Ready(self.is_underway());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What is to be told of when it ends now: opaque bytes, if any have passed.
    fn is_underway(&self) -> Option<Found> {
        (self.sent > 0).then_some(Found::Opaque)
    }

    fn has_said_hello(&mut self) -> bool {
        let said = self.downstream.buffer.filled();
        let fresh = said.get(self.heard..).unwrap_or_default();
        self.heard = said.len();
        !matches!(self.hello.push(fresh), Hello::NeedMore)
    }

    /// Sends on what the client has said so far.
    fn forward(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        let Dial::Done(Dialled { result: Ok((upstream, _)), .. }) = &mut self.dial else {
            return Ok(());
        };
        while let Some(rest @ [_, ..]) = self.downstream.buffer.filled().get(self.sent..) {
            match upstream.poll_write(cx, rest) {
                Poll::Ready(written) => self.sent += written?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Ready when the server has spoken or ended, or cannot be reached.
    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let upstream = match &mut self.dial {
            Dial::Running { .. } => return Poll::Pending,
            Dial::Done(Dialled { result: Ok((upstream, _)), .. }) => upstream,
            Dial::Done(Dialled { result: Err(_), .. }) => {
                self.patience.set(REFUSAL_PATIENCE);
                return self.patience.poll_expired(cx);
            }
        };
        while let Poll::Ready(read) = upstream.poll_fill(cx, BUFFER_SIZE) {
            if !matches!(read, Ok(1..)) || !detect::may_be_settings(upstream.buffer.filled()) {
                return Poll::Ready(());
            }
        }
        let (heard, said) = (upstream.buffer.filled(), self.downstream.buffer.filled());
        match (heard, said) {
            ([], _) => Poll::Pending,
            (_, []) => {
                self.patience.set(SETTINGS_PATIENCE);
                self.patience.poll_expired(cx)
            }
            _ if detect::may_be_preface(said) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

type Dialling = Pin<Box<dyn Future<Output = Result<(Wire, SocketAddr), Fault>>>>;

/// An upstream that is being connected to.
enum Dial {
    Running { since: Instant, dialling: Dialling },
    Done(Dialled),
}

impl Dial {
    fn begin(conn: Rc<Conn>, meant: SocketAddr) -> Self {
        let dialling =
            Box::pin(async move { upstream::connect(&conn, &Authority::of(meant)).await });
        Self::Running { since: Instant::now(), dialling }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Running { since, dialling } = self
            && let Poll::Ready(result) = dialling.as_mut().poll(cx)
        {
            *self = Self::Done(Dialled { result, took: since.elapsed() });
        }
    }

    async fn finish(self) -> Dialled {
        match self {
            Self::Running { since, dialling } => {
                let result = dialling.await;
                Dialled { result, took: since.elapsed() }
            }
            Self::Done(dialled) => dialled,
        }
    }
}
