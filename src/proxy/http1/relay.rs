//! Paired connections: a downstream one, and an upstream one of its own for each target.
//!
//! Requests are taken one at a time, so that the application never has more than one unanswered
//! request of ours on a connection. When either end closes between requests the other is closed
//! too, as if the two were one connection.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::framing::Body;
use super::head::{Answers, HeadLimits, Line, RequestHead, Scan, Version};
use super::splice::{Edits, Origin};
use super::target::{Form, Target};
use super::transfer::{Ending, Told, Transfer};
use crate::net::buffer::BUFFER_SIZE;
use crate::net::idle::{Deadline, IdleWatch};
use crate::net::wire::Wire;
use crate::proxy::connection::Conn;
use crate::proxy::exchange::Exchange;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::upstream::Dialled;
use crate::proxy::{Authority, tunnel, upstream};
use crate::trace::messages::Packing;
use crate::trace::semconv;

/// Upstream connections that one downstream connection may hold; the oldest makes room.
const MAX_UPSTREAMS: usize = 8;
/// The most empty lines before a request: some clients send one, nobody sends many.
const MAX_EMPTY_LINES: usize = 16;
/// How long a caller that we hang up on may go on sending, so that it sees our last words.
const LINGER: Duration = Duration::from_secs(15);
/// How long it may be silent before it is taken to have seen them.
const LINGER_SILENCE: Duration = Duration::from_secs(1);
/// What a client is told when its tunnel stands.
const TUNNEL_ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Relays a connection's requests until it ends.
pub async fn run(conn: Rc<Conn>, downstream: Wire, first: Option<Box<Dialled>>) {
    let idle = conn.worker.idle_watch();
    let (upstreams, lines, out) = (Vec::new(), Vec::new(), Vec::new());
    Relay { conn, downstream, upstreams, first, lines, out, idle }.run().await;
}

struct Relay {
    conn: Rc<Conn>,
    downstream: Wire,
    upstreams: Vec<Upstream>,
    /// What became of connecting to the upstream before there was a request.
    first: Option<Box<Dialled>>,
    /// The lines of the last head, kept for their memory.
    lines: Vec<Line>,
    /// A head on its way out, kept for its memory.
    out: Vec<u8>,
    idle: IdleWatch,
}

/// An upstream connection of this downstream connection.
struct Upstream {
    target: Authority,
    peer: SocketAddr,
    wire: Wire,
    /// Whether a response has come over it: then its end is the end of a good connection.
    is_proven: bool,
}

impl Upstream {
    /// Whether it neither ended nor sent anything since its last response, and so can be used.
    fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.buffer.is_empty() && self.wire.poll_fill(cx, BUFFER_SIZE).is_pending()
    }
}

/// What comes next on a connection.
enum Next {
    Request(RequestHead),
    /// It is over: ended, silent for too long, or spandrel stops.
    Over,
    /// What came is not a request that could be passed on.
    Refused(Fault),
}

/// What becomes of a connection after an exchange.
#[derive(PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
    /// The caller may still be sending; it is heard out for a moment.
    Linger,
    /// The other side was reset, and so is this one.
    Reset,
}

impl Relay {
    async fn run(mut self) {
        let conn = Rc::clone(&self.conn);
        let mut draining = pin!(conn.worker.draining());
        let after = loop {
            let after = match self.next(draining.as_mut()).await {
                Next::Request(head) => self.exchange(head).await,
                Next::Over => After::Close,
                Next::Refused(fault) => {
                    let exchange = Exchange::unreadable(&self.conn);
                    self.refuse(exchange, fault, Answers::Other).await
                }
            };
            match after {
                // What the caller has sent already is not served any more, but its last response
                // must not be lost over that.
                After::KeepAlive if self.conn.worker.is_draining() => break After::Linger,
                After::KeepAlive => {}
                after => break after,
            }
        };
        match after {
            After::Reset => self.downstream.reset(),
            After::Linger => linger(self.downstream).await,
            After::KeepAlive | After::Close => {}
        }
    }

    /// Waits for the next request's head.
    async fn next(&mut self, mut draining: Pin<&mut impl Future<Output = ()>>) -> Next {
        let limits = &self.conn.worker.config.limits;
        let head_limits = HeadLimits { bytes: limits.header_bytes, lines: limits.header_count };
        let mut scan = Scan::default();
        let mut empty_lines = 0;
        let mut deadline = Deadline::default();
        let (downstream, upstreams) = (&mut self.downstream, &mut self.upstreams);
        let (idle, spare, out) = (&mut self.idle, &mut self.lines, &mut self.out);
        idle.touch();
        poll_fn(|cx| {
            loop {
                // Some clients send an empty line behind a body (RFC 9112, section 2.2).
                while downstream.buffer.filled().starts_with(b"\r\n") {
                    downstream.buffer.consume(2);
                    empty_lines += 1;
                }
                if empty_lines > MAX_EMPTY_LINES {
                    let endless = Fault::downstream(Kind::ProtocolError);
                    return Poll::Ready(Next::Refused(endless));
                }
                if !downstream.buffer.is_empty() {
                    let filled = downstream.buffer.filled();
                    match RequestHead::parse(filled, &mut scan, &head_limits, std::mem::take(spare))
                    {
                        Ok(Some(head)) => return Poll::Ready(Next::Request(head)),
                        Ok(None) => deadline.set(limits.head_timeout),
                        Err(error) => {
                            return Poll::Ready(Next::Refused(Fault::downstream(error.into())));
                        }
                    }
                }
                match downstream.poll_fill(cx, limits.header_bytes) {
                    Poll::Ready(Ok(1..)) => idle.touch(),
                    Poll::Ready(_) => return Poll::Ready(Next::Over),
                    Poll::Pending => break,
                }
            }
            if deadline.poll_expired(cx).is_ready() {
                let late = Fault::downstream(Kind::ResponseTimeout);
                return Poll::Ready(Next::Refused(late));
            }
            // An upstream that ends, or talks out of turn, is of no further use.
            let held = upstreams.len();
            upstreams.retain_mut(|upstream| upstream.is_quiet(cx));
            let has_lost_its_pair = held > 0 && upstreams.is_empty();
            let is_over = downstream.buffer.is_empty()
                && (has_lost_its_pair
                    || idle.poll_expired(cx).is_ready()
                    || draining.as_mut().poll(cx).is_ready());
            if idle.has_ticked() {
                // It has been quiet for a while, and may stay so: nothing is kept for its memory.
                (*spare, *out) = (Vec::new(), Vec::new());
            }
            if is_over { Poll::Ready(Next::Over) } else { Poll::Pending }
        })
        .await
    }

    /// Passes one request on, and its response back.
    async fn exchange(&mut self, head: RequestHead) -> After {
        let conn = Rc::clone(&self.conn);
        let filled = self.downstream.buffer.filled();
        let view = head.view(filled);
        let answers = Answers::to_request(&view);
        let target = Target::of(&view);
        let request = semconv::Request {
            kind: conn.kind(),
            method: view.method(),
            path: target.path,
            query: target.query,
            authority: target.authority,
            version: match head.version {
                Version::Http10 => semconv::Version::Http10,
                Version::Http11 => semconv::Version::Http11,
            },
            headers: &view,
            downstream: conn.downstream(),
            servers: &conn.worker.servers,
        };
        let mut exchange = Exchange::begin(&conn, &request);
        let is_proxy = conn.is_asked_as_proxy();
        let form = target.form;
        let destination = match upstream::target(&conn, target.authority) {
            _ if !conn.worker.has_room() => Err(Fault::proxy(Kind::Overload)),
            _ if is_proxy && !target.is_askable() => Err(Fault::downstream(Kind::ProtocolError)),
            destination => destination,
        };
        let destination = match destination {
            Ok(destination) => destination,
            Err(fault) => return self.refuse(exchange, fault, answers).await,
        };
        exchange.goes_to(&destination);
        if let Err(fault) = self.connect(&destination, &mut exchange).await {
            return self.refuse(exchange, fault, answers).await;
        }
        if is_proxy && form == Form::Authority {
            self.downstream.buffer.consume(head.end);
            return Box::pin(self.establish_tunnel(exchange)).await;
        }
        let is_persistent = head.is_persistent;
        match self.splice(head, &mut exchange, is_proxy) {
            Ok(body) => self.transfer(exchange, body, answers, is_persistent).await,
            Err(fault) => self.refuse(exchange, fault, answers).await,
        }
    }

    /// Puts the connection to `target` last in the list, connecting first if there is none.
    async fn connect(&mut self, target: &Authority, exchange: &mut Exchange) -> Result<(), Fault> {
        if let Some(at) = self.upstreams.iter().position(|u| u.target == *target) {
            let mut held = self.upstreams.remove(at);
            if poll_fn(|cx| Poll::Ready(held.is_quiet(cx))).await {
                exchange.connected(held.peer, None);
                self.upstreams.push(held);
                return Ok(());
            }
        }
        let (wire, peer) = match self.first.take() {
            Some(first) => {
                let (wire, peer) = first.result?;
                exchange.connected(peer, Some(first.took));
                (wire, peer)
            }
            None => {
                let start = Instant::now();
                let (wire, peer) = upstream::connect(&self.conn, target).await?;
                exchange.connected(peer, Some(start.elapsed()));
                (wire, peer)
            }
        };
        if self.upstreams.len() >= MAX_UPSTREAMS {
            self.upstreams.remove(0);
        }
        // Nearly all connections have one.
        self.upstreams.reserve_exact(1);
        self.upstreams.push(Upstream { target: target.clone(), peer, wire, is_proven: false });
        Ok(())
    }

    /// Writes the head as it goes on, and what of the body came with it, into `out`; gives the
    /// rest of the body.
    fn splice(
        &mut self,
        head: RequestHead,
        exchange: &mut Exchange,
        is_proxy: bool,
    ) -> Result<Body, Fault> {
        let filled = self.downstream.buffer.filled();
        let view = head.view(filled);
        let target = is_proxy.then(|| Target::of(&view)).filter(|to| to.form == Form::Absolute);
        let origin_form = target.as_ref().map(|target| target.to_origin_form(view.method()));
        let origin = target.and_then(|target| target.authority).zip(origin_form.as_deref());
        let edits = Edits {
            trace: exchange.injection,
            trace_state: exchange.trace_state_line(),
            tenant: exchange.tenant_line(),
            withheld: exchange.withheld(),
            origin: origin.and_then(|(authority, target)| {
                // Credentials are for us; `Host` has none (RFC 9110, section 7.2).
                let authority = authority.rsplit(|b| *b == b'@').next()?;
                Some(Origin { target, authority })
            }),
        };
        self.out.clear();
        edits.write(&head, &view, &mut self.out);
        let rest = filled.get(head.end..).unwrap_or_default();
        let mut body = head.body;
        let with_head = body
            .advance(rest, |content| exchange.request.pass(content))
            .map_err(|e| Fault::downstream(e.into()))?;
        self.out.extend_from_slice(rest.get(..with_head).unwrap_or_default());
        self.downstream.buffer.consume(head.end + with_head);
        self.lines = head.lines;
        Ok(body)
    }

    /// Moves the exchange over the connection that is last in the list, and ends it.
    async fn transfer(
        &mut self,
        mut exchange: Box<Exchange>,
        request: Body,
        answers: Answers,
        is_persistent: bool,
    ) -> After {
        let Some(mut upstream) = self.upstreams.pop() else { return After::Close };
        let transfer = Transfer {
            conn: &self.conn,
            exchange: &mut exchange,
            downstream: &mut self.downstream,
            upstream: &mut upstream.wire,
            head: &self.out,
            request,
            answers,
            is_persistent,
            limits: &self.conn.worker.config.limits,
            idle: &mut self.idle,
        };
        match transfer.run().await {
            Ending::Complete { is_persistent } => {
                exchange.end();
                if is_persistent {
                    upstream.is_proven = true;
                    self.upstreams.push(upstream);
                    return After::KeepAlive;
                }
                if self.downstream.is_eof() { After::Close } else { After::Linger }
            }
            // Few exchanges become tunnels, and few fail; the others do not need the room.
            Ending::Tunnel(packing) => {
                Box::pin(self.tunnel(exchange, upstream.wire, packing)).await
            }
            Ending::Failed { fault, told } => {
                Box::pin(self.fail(exchange, fault, told, answers, upstream)).await
            }
        }
    }

    /// An exchange failed on its way: the caller is told, or sees what it would have seen without
    /// us, where a reply is no longer possible or would hide that trying again is safe.
    async fn fail(
        &mut self,
        mut exchange: Box<Exchange>,
        fault: Fault,
        told: Told,
        answers: Answers,
        upstream: Upstream,
    ) -> After {
        let is_lost = matches!(fault.kind, Kind::ConnectionClosed | Kind::ConnectionReset);
        if told == Told::Nothing
            && fault.kind != Kind::Cancelled
            && !(is_lost && upstream.is_proven)
        {
            return self.refuse(exchange, fault, answers).await;
        }
        exchange.fail(fault);
        exchange.end();
        match fault.kind {
            Kind::Cancelled => {
                upstream.wire.reset();
                After::Close
            }
            Kind::ConnectionReset => After::Reset,
            _ if told == Told::UntilClose => After::Reset,
            _ => After::Close,
        }
    }

    /// Answers in the place of an upstream that cannot.
    async fn refuse(
        &mut self,
        mut exchange: Box<Exchange>,
        fault: Fault,
        answers: Answers,
    ) -> After {
        exchange.refuse(fault);
        let reply = fault.reply().to_http1(answers == Answers::Head);
        let limit = self.conn.worker.config.limits.head_timeout;
        let sent = timeout(limit, write_all(&mut self.downstream, &reply)).await;
        exchange.end();
        if matches!(sent, Ok(Ok(()))) { After::Linger } else { After::Close }
    }

    /// `CONNECT` of our own: the connection is there already, so the caller is told and let through.
    async fn establish_tunnel(&mut self, mut exchange: Box<Exchange>) -> After {
        let Some(upstream) = self.upstreams.pop() else { return After::Close };
        exchange.first_byte();
        exchange.answered(200, None);
        if write_all(&mut self.downstream, TUNNEL_ESTABLISHED).await.is_err() {
            exchange.fail(Fault::downstream(Kind::Cancelled));
            exchange.end();
            return After::Close;
        }
        self.tunnel(exchange, upstream.wire, None).await
    }

    async fn tunnel(
        &mut self,
        mut exchange: Box<Exchange>,
        mut upstream: Wire,
        packing: Option<Packing>,
    ) -> After {
        self.upstreams.clear();
        exchange.tunnels(packing);
        let end = tunnel::run(&mut self.downstream, &mut upstream, &mut self.idle, &mut *exchange);
        let Some(fault) = end.await.fault else {
            exchange.end();
            return After::Close;
        };
        if !exchange.is_closed() {
            exchange.fail(fault);
        }
        exchange.end();
        upstream.reset();
        After::Reset
    }
}

/// Ends our side and reads what still comes for a moment: closing at once would make the kernel
/// send a reset, which may overtake the reply.
async fn linger(downstream: Wire) {
    let mut stream = downstream.into_stream();
    let heard_out = async {
        stream.shutdown().await.ok();
        let mut unwanted = vec![0; 4_096];
        while matches!(timeout(LINGER_SILENCE, stream.read(&mut unwanted)).await, Ok(Ok(1..))) {}
    };
    // Either way the connection is over.
    timeout(LINGER, heard_out).await.ok();
}

async fn write_all(wire: &mut Wire, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| wire.poll_write(cx, bytes)).await?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}
