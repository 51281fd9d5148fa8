//! One request and its response, start to end, for both protocols: the file to read first.
//!
//! `begin` reads the context and the tenant, decides whether a span is recorded and which lines
//! must go on. The relay, or the HTTP/2 stream, then moves the message and tells the exchange
//! what happens. The exchange ends exactly once: by its end, its failure, or its drop.

mod joining;
mod live;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use self::joining::Found;
use self::live::Live;
use self::zone::Zone;
use super::connection::Conn;
use super::fault::Fault;
use super::inflight::{Entered, Inbound};
use super::meter::Meter;
use super::{Authority, Tracing};
use crate::net::idle::Deadline;
use crate::trace::messages::{Messages, Packing};
use crate::trace::propagate::{self, BAGGAGE, Extracted, Injection, baggage};
use crate::trace::sample::Decision;
use crate::trace::semconv::{self, Key, Outcome, Request, rpc};
use crate::trace::span::Kind;
use crate::trace::tenant::TenantId;
use crate::trace::{Flags, Headers, TraceContext};

/// The facts of one request.
#[derive(Debug)]
pub struct Exchange {
    conn: Rc<Conn>,
    /// The span in the making; `None` where nothing is recorded.
    live: Option<Live>,
    /// The trace context lines that must go on.
    pub injection: Injection,
    /// The `tracestate` of the inbound request that a call was joined to.
    trace_state: Option<Box<[u8]>>,
    tenant: Option<TenantId>,
    is_tenant_written: bool,
    zone: Zone,
    /// Where the request goes.
    upstream: Option<Authority>,
    /// Keeps the request findable for the outbound calls it causes.
    entered: Option<Entered>,
    /// Whether an upstream was found that the request could be sent to.
    is_sent: bool,
    outcome: Outcome,
    fault: Option<Fault>,
    /// When the last byte of the response passed, where that is not now.
    response_end: Option<u64>,
    /// How the request says that its messages are packed, if it is a gRPC call.
    call: Option<Packing>,
    /// What has passed of the request's body, or into the tunnel.
    pub request: Meter,
    /// What has passed of the response's body, or out of the tunnel.
    pub response: Meter,
    /// The sizes of the bodies of a request that became a tunnel.
    bodies: Option<(u64, u64)>,
    /// How long the rest of the request is waited for before the exchange is told of.
    patience: Deadline,
    /// How much of it had come when that was last looked at.
    patience_since: u64,
    is_answering: bool,
    is_ended: bool,
}

/// How long nothing must have come of a request whose response has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a request makes a span, and under which context it goes on.
struct Verdict {
    extracted: Extracted,
    /// The context of the span to record.
    recorded: Option<TraceContext>,
    /// The context of a span that was decided against.
    dropped: Option<TraceContext>,
}

impl Exchange {
    /// Begins with a request's head. It is moved from hand to hand, and a connection that is idle
    /// needs no room for it.
    pub fn begin<H: Headers>(conn: &Rc<Conn>, request: &Request<'_, H>) -> Box<Self> {
        let worker = &conn.worker;
        let tracing = &worker.config.tracing;
        let mut exchange = Box::new(Self::untraced(conn));
        exchange.zone = Zone::of(conn, request);
        let packing = packing(request);
        exchange.call = packing.filter(|packing| packing.is_rpc());
        exchange.request = Meter::of(packing);
        let mut extracted = propagate::extract(request.headers, &tracing.propagation);
        let keys = joining::keys(conn, tracing, request.headers, &extracted);
        if tracing.health_checks.matches(request.path, request.headers) {
            worker.counters.health_checks.add(1);
            exchange.enter(&Inbound { keys: keys.as_slice(), ..Inbound::default() });
            return exchange;
        }
        let found = exchange.join(&mut extracted, &keys);
        let verdict = Verdict::reach(conn, tracing, extracted);
        let joined = || found.as_ref().and_then(Found::tenant);
        let resolved = tracing.tenants.resolve(request.headers, joined);
        exchange.tenant = resolved.tenant;
        exchange.is_tenant_written = resolved.is_written && tracing.is_enabled;
        exchange.be_found(request, &verdict, &keys);
        if let Some(found) = &found {
            let is_foreign = verdict.extracted.parent.is_some();
            joining::tell(conn, request, found, is_foreign, verdict.recorded);
        }
        let state = verdict.extracted.state;
        let cause = found.as_ref().and_then(|found| found.cause.as_deref());
        let carried = cause.filter(|cause| cause.is_carried).map(|cause| cause.context);
        if let Some(context) = verdict.recorded.or(carried) {
            exchange.injection = propagate::inject(context, state, &tracing.propagation);
            exchange.trace_state = cause.and_then(|cause| cause.trace_state.clone());
        }
        if let Some(context) = verdict.recorded {
            let live = Live::begin(conn, request, context, &verdict.extracted, exchange.call);
            exchange.live = Some(live);
            exchange.describe(request.headers, found.as_ref());
        }
        exchange
    }

    /// Begins with a head that could not be read: there is a request, but nothing is known of it.
    #[must_use]
    pub fn unreadable(conn: &Rc<Conn>) -> Box<Self> {
        struct NoHeaders;
        impl Headers for NoHeaders {
            fn values(&self, _: &str) -> impl Iterator<Item = &[u8]> {
                std::iter::empty()
            }
            fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
                std::iter::empty()
            }
        }
        let mut exchange = Box::new(Self::untraced(conn));
        let tracing = &conn.worker.config.tracing;
        let extracted = propagate::extract(&NoHeaders, &tracing.propagation);
        let verdict = Verdict::reach(conn, tracing, extracted);
        exchange.live = verdict.recorded.map(|context| Live::unreadable(conn, context));
        exchange
    }

    fn untraced(conn: &Rc<Conn>) -> Self {
        conn.worker.requests_open.set(conn.worker.requests_open.get() + 1);
        Self {
            conn: Rc::clone(conn),
            live: None,
            injection: Injection::default(),
            trace_state: None,
            tenant: None,
            is_tenant_written: false,
            zone: Zone::Inside,
            upstream: None,
            entered: None,
            is_sent: false,
            outcome: Outcome::default(),
            fault: None,
            response_end: None,
            call: None,
            request: Meter::default(),
            response: Meter::default(),
            bodies: None,
            patience: Deadline::default(),
            patience_since: 0,
            is_answering: false,
            is_ended: false,
        }
    }

    /// The attributes that are ours rather than the conventions'.
    fn describe(&mut self, headers: &impl Headers, found: Option<&Found>) {
        let Some(live) = &mut self.live else { return };
        if let Some(tenant) = &self.tenant {
            live.attributes.text(Key::TenantId, tenant.as_str());
        }
        if let Some(found) = found
            && let Some(word) = found.word()
        {
            live.attributes.text(Key::Join, word);
            if let Some(key) = &found.key {
                live.attributes.text(Key::JoinKey, key.as_str());
            }
        }
        if let Some(state) = &self.trace_state {
            live.trace_state = state.to_vec();
        }
        let tracing = &self.conn.worker.config.tracing;
        if tracing.propagation.baggage && !tracing.baggage_keys.is_empty() {
            for (key, value) in baggage::members(headers.values(BAGGAGE)) {
                if tracing.baggage_keys.iter().any(|wanted| wanted == key) {
                    live.attributes.custom("baggage.", key, value.as_bytes());
                }
            }
        }
    }

    /// The tenant header that must be written, name and value.
    #[must_use]
    pub fn tenant_line(&self) -> Option<(&str, &str)> {
        let tenant = self.tenant.as_ref().filter(|_| self.is_tenant_written)?;
        Some((&self.conn.worker.config.tracing.tenants.header, tenant.as_str()))
    }

    /// The name of the tenant header, which must not go on, where nothing else may either that
    /// [`outside`](propagate::outside) names: the destination is outside the trust zone.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        let tenants = &self.conn.worker.config.tracing.tenants;
        (self.zone == Zone::Outside).then_some(tenants.header.as_str())
    }

    /// The `tracestate` that must be written, in place of any that came.
    #[must_use]
    pub fn trace_state_line(&self) -> Option<&[u8]> {
        self.trace_state.as_deref()
    }

    /// Notes where the request goes.
    pub fn goes_to(&mut self, upstream: &Authority) {
        self.upstream = Some(upstream.clone());
    }

    /// Notes which address the request goes to, and how long connecting took if that was needed.
    pub fn connected(&mut self, peer: SocketAddr, took: Option<Duration>) {
        self.is_sent = true;
        self.decide_zone(peer.ip());
        let Some(live) = &mut self.live else { return };
        if live.kind == Kind::Client {
            semconv::add_peer(&mut live.attributes, peer);
        }
        if self.zone == Zone::Outside {
            live.attributes.bool(Key::ContextWithheld, true);
        }
        if let Some(took) = took {
            live.attributes.double(Key::ConnectDuration, took.as_secs_f64());
        }
    }

    /// Takes back what was to be written, where the address is not to be trusted.
    fn decide_zone(&mut self, peer: IpAddr) {
        self.zone.decide(&self.conn.worker.config.tracing.trust_zone, peer);
        if self.zone == Zone::Outside {
            self.injection = Injection::default();
            self.trace_state = None;
            self.is_tenant_written = false;
        }
    }

    /// Notes that the last byte of a request with a body has gone out.
    pub fn request_sent(&mut self) {
        self.note_elapsed(Key::RequestDuration);
    }

    /// Notes that the first byte of the response has come.
    /// Only the first call counts, be it for an interim response.
    pub fn first_byte(&mut self) {
        if !std::mem::replace(&mut self.is_answering, true) {
            self.note_elapsed(Key::FirstByteDuration);
        }
    }

    /// Notes that the last byte of the response has passed, though the request may go on.
    pub fn response_ended(&mut self) {
        if self.live.is_some() && self.response_end.is_none() {
            self.response_end = Some(self.conn.worker.clock.now());
        }
    }

    /// Notes the final status, and how messages are packed into what follows it.
    pub fn answered(&mut self, status: u16, packing: Option<Packing>) {
        self.outcome.status_code = Some(status);
        self.response = Meter::of(packing);
    }

    /// Notes that the connection, or the stream, has left HTTP: what passes from here on is
    /// counted apart from the bodies.
    pub fn tunnels(&mut self, packing: Option<Packing>) {
        let request = std::mem::replace(&mut self.request, Meter::of(packing));
        let response = std::mem::replace(&mut self.response, Meter::of(packing));
        self.bodies = Some((request.bytes, response.bytes));
    }

    /// Whether both sides of a WebSocket, or one of them, have said good-bye: however the
    /// connection ends after that, nothing is wrong with it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let close = |meter: &Meter| meter.messages().and_then(Messages::close).is_some();
        close(&self.request) || close(&self.response)
    }

    /// Whether the request is a gRPC call, and is to be answered as one.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.call == Some(Packing::Grpc)
    }

    /// Notes the `grpc-status` of a response's head or trailers.
    pub const fn grpc_status(&mut self, code: u32) {
        if self.call.is_some() {
            self.outcome.grpc_status = Some(code);
        }
    }

    /// Tells of a request that has been going on for a while, by a span that is a part of the one
    /// that will tell of the whole.
    pub fn tell_progress(&mut self) {
        if let Some(live) = &mut self.live {
            live.tell_progress(&self.conn, &self.request, &self.response);
        }
    }

    /// Notes that the request failed; the first failure is the one that counts.
    pub fn fail(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.conn.worker.counters.fault(fault).add(1);
        }
    }

    /// Notes that the request failed and that the caller was told so by a reply of our own.
    pub fn refuse(&mut self, fault: Fault) {
        self.fail(fault);
        let reply = fault.reply();
        if self.is_grpc() {
            self.outcome.status_code = Some(200);
            self.outcome.grpc_status = Some(reply.grpc);
        } else {
            self.outcome.status_code = Some(reply.status);
        }
    }

    /// Ends with the last byte of the response, or with the failure that replaced it.
    pub fn end(mut self) {
        self.finish();
    }

    /// While what is left of a request is passed whose response has ended: tells of the exchange
    /// once nothing has come for a while, as some callers never end their side.
    pub fn poll_patience(&mut self, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.patience_since, self.request.bytes) != self.request.bytes {
            self.patience.clear();
        }
        self.patience.set(PATIENCE);
        if !self.is_ended && self.patience.poll_expired(cx).is_ready() {
            self.finish();
        }
    }

    fn note_elapsed(&mut self, key: Key) {
        if let Some(live) = &mut self.live {
            let elapsed = self.conn.worker.clock.now().saturating_sub(live.start);
            live.attributes.double(key, Duration::from_nanos(elapsed).as_secs_f64());
        }
    }

    /// Ends it in place; what is still noted is too late.
    pub fn finish(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        self.conclude_call();
        self.log_fault();
        self.leave();
        let worker = &self.conn.worker;
        worker.requests_open.set(worker.requests_open.get() - 1);
        worker.counters.request(self.conn.direction, self.outcome.status_code).add(1);
        self.outcome.failure = self.fault.map(Fault::failure);
        if let Some(mut live) = self.live.take() {
            let end = self.response_end.unwrap_or_else(|| worker.clock.now());
            self.add_messages(&mut live);
            let bodies = self.bodies.unwrap_or((self.request.bytes, self.response.bytes));
            live.end(&self.conn, self.fault, &self.outcome, bodies, end);
        }
    }

    /// Finds out how a gRPC call ended that did not say so in its head or its trailers.
    fn conclude_call(&mut self) {
        let Some(call) = self.call else { return };
        if let Some(status) = self.response.messages().and_then(Messages::grpc_status) {
            self.outcome.grpc_status = Some(rpc::parse_status(status));
        }
        // In a body that we cannot look into there may well be a status.
        let is_unseen = call != Packing::Grpc
            && self.response.messages().is_none()
            && self.outcome.status_code == Some(200);
        if self.fault.is_none() && self.outcome.grpc_status.is_none() && !is_unseen {
            self.outcome.grpc_status = self.outcome.status_code.map(rpc::status_of_http);
        }
    }

    /// Adds what passed through a tunnel, and how many messages there were of either side; of a
    /// call only where these are more than a question and its answer.
    fn add_messages(&self, live: &mut Live) {
        let is_told = live.is_told();
        let attributes = &mut live.attributes;
        if self.bodies.is_some() {
            attributes.count(Key::TunnelBytesSent, self.request.bytes);
            attributes.count(Key::TunnelBytesReceived, self.response.bytes);
        }
        let counts = (self.request.count(), self.response.count());
        let is_unary = self.call.is_some() && counts.0.max(counts.1) <= Some(1);
        if is_unary && !is_told {
            return;
        }
        for (key, count) in [(Key::RequestMessages, counts.0), (Key::ResponseMessages, counts.1)] {
            if let Some(count) = count {
                attributes.count(key, count);
            }
        }
        let close = |meter: &Meter| meter.messages().and_then(Messages::close)?.code;
        if let Some(code) = close(&self.request).or_else(|| close(&self.response)) {
            attributes.int(Key::WebSocketCloseCode, i64::from(code));
        }
    }

    fn log_fault(&self) {
        if let Some(fault) = self.fault {
            let upstream = self.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
            let trace_id = self.live.as_ref().map(|live| live.context.trace_id.to_string());
            fault.log(self.conn.direction, &upstream, &trace_id.unwrap_or_default());
        }
    }
}

impl Drop for Exchange {
    /// An exchange that nobody ended was cut off: by its caller, or because spandrel stops.
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        if self.conn.worker.is_forced() {
            if let Some(live) = &mut self.live {
                live.attributes.text(Key::Truncated, "shutdown");
            }
        } else {
            self.fail(Fault::downstream(super::fault::Kind::Cancelled));
        }
        self.finish();
    }
}

/// How the messages of a request's body are packed, as far as we can look into it. What calls
/// itself gRPC is that only over HTTP/2.
fn packing<H: Headers>(request: &Request<'_, H>) -> Option<Packing> {
    let packing = request.headers.first("content-type").and_then(Packing::of)?;
    let is_possible = packing != Packing::Grpc || request.version == semconv::Version::Http2;
    is_possible.then_some(packing)
}

impl Verdict {
    fn reach(conn: &Conn, tracing: &Tracing, extracted: Extracted) -> Self {
        if !tracing.is_enabled {
            return Self { extracted, recorded: None, dropped: None };
        }
        let parent = extracted.parent.as_ref();
        let mut ids = conn.worker.ids.borrow_mut();
        let trace_id = parent.map_or_else(|| ids.trace_id(), |parent| parent.trace_id);
        let random = if tracing.propagation.random_flag { Flags::RANDOM } else { Flags::default() };
        let flags = parent.map_or(random, |parent| parent.flags);
        let context = TraceContext { trace_id, span_id: ids.span_id(), flags };
        match tracing.sampler.decide(parent, trace_id) {
            Decision::Drop => Self { extracted, recorded: None, dropped: Some(context) },
            Decision::RecordAndSample => {
                let recorded = TraceContext { flags: flags.sampled(), ..context };
                Self { extracted, recorded: Some(recorded), dropped: None }
            }
        }
    }
}
