//! One stream: its request is read and sent on its way, and what becomes of it is told.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use tokio::time::timeout;

use super::guard::Watched;
use super::pump::{Pump, is_too_large};
use super::refusal::refuse;
use super::transfer::{Transfer, Unfinished};
use super::upstreams::{self, Ready, Upstreams};
use super::{message, tunnel};
use crate::net::idle::Deadline;
use crate::proxy::connection::Conn;
use crate::proxy::exchange::Exchange;
use crate::proxy::fault::{Fault, Kind};
use crate::proxy::upstream;
use crate::trace::Headers;
use crate::trace::propagate::{TRACEPARENT, TRACESTATE, outside};
use crate::trace::semconv::{self};

/// Passes one request on, and its response back.
pub async fn run(
    upstreams: Rc<Upstreams>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    watched: Watched,
) {
    let conn = Rc::clone(upstreams.conn());
    let (parts, body) = request.into_parts();
    let mut exchange = begin(&conn, &parts);
    if !message::is_well_formed(&parts) {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        exchange.fail(Fault::downstream(Kind::ProtocolError));
        return exchange.end();
    }
    if conn.is_asked_as_proxy() && is_plain_connect(&parts) {
        return tunnel::dig(&conn, &parts, body, respond, exchange).await;
    }
    let sent = tokio::select! {
        sent = send(&upstreams, parts, &body, &mut exchange) => sent,
        // The caller went away while we were connecting.
        _reason = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let Sent { response, to_upstream, watched: watched_up } = match sent {
        Ok(sent) => sent,
        Err(fault) => return refuse(exchange, respond, fault),
    };
    let limits = conn.worker.config.limits;
    let transfer = Transfer {
        exchange: &mut exchange,
        up: Some(Pump::new(body, limits, watched)),
        watched_up,
        to_upstream,
        response: Some(response),
        respond,
        down: None,
        limits,
        idle: conn.worker.idle_watch(),
        deadline: Deadline::default(),
    };
    match transfer.run().await {
        Ok(()) => exchange.end(),
        Err(Unfinished::Reset(fault)) => {
            exchange.fail(fault);
            exchange.end();
        }
        Err(Unfinished::Unanswered(fault, respond)) => refuse(exchange, respond, fault),
    }
}

fn begin(conn: &Rc<Conn>, parts: &http::request::Parts) -> Box<Exchange> {
    let authority = parts.uri.authority().map(|a| a.as_str().as_bytes());
    let host = parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    let path = if is_plain_connect(parts) { "" } else { parts.uri.path() };
    Exchange::begin(
        conn,
        &semconv::Request {
            kind: conn.kind(),
            method: parts.method.as_str().as_bytes(),
            path: path.as_bytes(),
            query: parts.uri.query().map(str::as_bytes),
            authority: authority.or(host),
            version: semconv::Version::Http2,
            headers: &Map(&parts.headers),
            downstream: conn.downstream(),
            servers: &conn.worker.servers,
        },
    )
}

/// A header map as the headers that tracing reads.
struct Map<'a>(&'a HeaderMap);

impl Headers for Map<'_> {
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// The fields without those that must not go on, in their order: removing them one by one would
/// change it.
fn withhold(headers: &mut HeaderMap, tenant: &str) {
    let is_kept = |name: &HeaderName| !outside::is_context(name.as_ref()) && name != tenant;
    if headers.keys().all(is_kept) {
        return;
    }
    let mut name = None;
    for (first, value) in std::mem::take(headers) {
        // Only the first value of a name comes with it.
        name = first.or(name);
        if let Some(name) = name.clone().filter(is_kept) {
            headers.append(name, value);
        }
    }
}

/// Sets the lines that must differ. Trailers carry no context, and are left alone.
fn edit(headers: &mut HeaderMap, exchange: &Exchange) {
    if let Some(tenant) = exchange.withheld() {
        withhold(headers, tenant);
    }
    let injection = exchange.injection;
    if let Some(value) = injection.traceparent
        && let Ok(value) = HeaderValue::from_bytes(&value)
    {
        headers.insert(HeaderName::from_static(TRACEPARENT), value);
    }
    if injection.discard_tracestate {
        headers.remove(TRACESTATE);
    }
    if let Some(state) = exchange.trace_state_line()
        && let Ok(value) = HeaderValue::from_bytes(state)
    {
        headers.insert(HeaderName::from_static(TRACESTATE), value);
    }
    if let Some((name, value)) = exchange.tenant_line()
        && let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
    {
        headers.insert(name, value);
    }
}

/// Sends the request's head to its upstream.
async fn send(
    upstreams: &Upstreams,
    mut parts: http::request::Parts,
    body: &RecvStream,
    exchange: &mut Exchange,
) -> Result<Sent, Fault> {
    let conn = upstreams.conn();
    if !conn.worker.has_room() {
        return Err(Fault::proxy(Kind::Overload));
    }
    let authority = parts.uri.authority().map(|a| a.as_str().as_bytes());
    let host = parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    if is_too_large(&parts.headers, &conn.worker.config.limits) {
        return Err(Fault::downstream(Kind::TooLarge));
    }
    let target = upstream::target(conn, authority.or(host))?;
    exchange.goes_to(&target);
    let mut ready = upstreams.ready(&target).await?;
    exchange.connected(ready.peer, ready.connecting);
    if parts.extensions.get::<Protocol>().is_some()
        && !takes_extended_connect(conn, &mut ready).await
    {
        return Err(Fault::upstream(Kind::ProtocolError));
    }
    if parts.uri.authority().is_none() {
        // h2 insists on an authority for what calls itself HTTP/2; a request may have none.
        parts.version = Version::HTTP_11;
    }
    edit(&mut parts.headers, exchange);
    let request = Request::from_parts(parts, ());
    let sent = ready.sender.send_request(request, body.is_end_stream());
    let (response, to_upstream) = sent.map_err(|error| upstreams::fault(&error))?;
    Ok(Sent { response, to_upstream, watched: ready.watched })
}

/// A request that was sent.
struct Sent {
    response: ResponseFuture,
    to_upstream: SendStream<Bytes>,
    watched: Watched,
}

/// `CONNECT` as it has always been, rather than extended by a protocol (RFC 8441).
fn is_plain_connect(parts: &http::request::Parts) -> bool {
    parts.method == Method::CONNECT && parts.extensions.get::<Protocol>().is_none()
}

/// Whether an upstream takes extended CONNECT: it must be asked before it has said so, but its
/// settings are the first thing that it says.
async fn takes_extended_connect(conn: &Conn, ready: &mut Ready) -> bool {
    let limit = conn.worker.config.limits.connect_timeout;
    timeout(limit, ready.takes_extended_connect()).await.unwrap_or_default()
}
