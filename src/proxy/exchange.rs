//! One request and its response, start to end, for both protocols: the file to read first.
//!
//! `begin` reads the context and the tenant, decides whether a span is recorded and which lines
//! must go on. The relay, or the HTTP/2 stream, then moves the message and tells the exchange
//! what happens. The exchange ends exactly once: by its end, its failure, or its drop.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Conn;
use super::fault::Fault;
use super::inflight::Entered;
use super::{Authority, Tracing};
use crate::direction::Direction;
use crate::trace::propagate::{self, BAGGAGE, Injection, TRACESTATE, baggage, tracestate};
use crate::trace::sample::Decision;
use crate::trace::semconv::{self, Key, Outcome, Request, http, rpc};
use crate::trace::span::{Attributes, Kind, Span, Status};
use crate::trace::tenant::TenantId;
use crate::trace::{Flags, Headers, SpanId, TraceContext};

/// The facts of one request.
#[derive(Debug)]
pub struct Exchange {
    conn: Rc<Conn>,
    /// The span in the making; `None` where nothing is recorded.
    live: Option<Live>,
    /// The trace context lines that must go on.
    pub injection: Injection,
    tenant: Option<TenantId>,
    is_tenant_written: bool,
    /// Where the request goes.
    upstream: Option<Authority>,
    /// Keeps the request findable for the outbound calls it causes.
    _entered: Option<Entered>,
    outcome: Outcome,
    fault: Option<Fault>,
    /// When the last byte of the response passed, where that is not now.
    response_end: Option<u64>,
    /// Whether the request is a gRPC call, and is to be answered as one.
    pub is_grpc: bool,
    /// Bytes of the request's body that have passed.
    pub request_bytes: u64,
    /// Bytes of the response's body that have passed.
    pub response_bytes: u64,
    is_answering: bool,
    is_ended: bool,
}

/// A span that has not ended.
#[derive(Debug)]
struct Live {
    context: TraceContext,
    parent: Option<SpanId>,
    kind: Kind,
    start: u64,
    name: Name,
    trace_state: Vec<u8>,
    attributes: Attributes,
}

/// What the span's name will be made of.
#[derive(Debug)]
enum Name {
    Http { method: &'static str, route: Option<Arc<str>> },
    Rpc { path: Vec<u8> },
}

/// Whether a request makes a span, and under which context it goes on.
struct Verdict {
    extracted: propagate::Extracted,
    /// The context of the span to record.
    recorded: Option<TraceContext>,
}

impl Exchange {
    /// Begins with a request's head.
    pub fn begin<H: Headers>(conn: &Rc<Conn>, request: &Request<'_, H>) -> Self {
        let worker = &conn.worker;
        let tracing = &worker.config.tracing;
        let mut exchange = Self::untraced(conn);
        exchange.is_grpc =
            request.version == semconv::Version::Http2 && rpc::is_grpc(request.headers);
        if tracing.health_checks.matches(request.path, request.headers) {
            worker.counters.health_checks.add(1);
            return exchange;
        }
        let verdict = Verdict::reach(conn, tracing, request.headers);
        let travelling = verdict.recorded.or(verdict.extracted.parent);
        let joined = match conn.direction {
            Direction::Inbound => None,
            Direction::Outbound => {
                verdict.extracted.parent.and_then(|parent| worker.in_flight.find(parent.trace_id))
            }
        };
        let is_joined = joined.is_some();
        let resolved = tracing.tenants.resolve(request.headers, || joined?.tenant);
        exchange.tenant = resolved.tenant;
        exchange.is_tenant_written = resolved.is_written;
        if conn.direction == Direction::Inbound && worker.has_outbound() {
            exchange._entered = travelling
                .map(|context| worker.in_flight.enter(context.trace_id, exchange.tenant.as_ref()));
        }
        if let Some(context) = verdict.recorded {
            let state = verdict.extracted.state;
            exchange.injection = propagate::inject(context, state, &tracing.propagation);
            exchange.live = Some(Live::begin(conn, request, context, &verdict, exchange.is_grpc));
            exchange.describe(request.headers, is_joined);
        }
        exchange
    }

    /// Begins with a head that could not be read: there is a request, but nothing is known of it.
    #[must_use]
    pub fn unreadable(conn: &Rc<Conn>) -> Self {
        struct NoHeaders;
        impl Headers for NoHeaders {
            fn values(&self, _: &str) -> impl Iterator<Item = &[u8]> {
                std::iter::empty()
            }
        }
        let mut exchange = Self::untraced(conn);
        let verdict = Verdict::reach(conn, &conn.worker.config.tracing, &NoHeaders);
        exchange.live = verdict.recorded.map(|context| {
            let mut attributes = Attributes::reuse(conn.worker.take_scratch());
            attributes.text(Key::HttpRequestMethod, "_OTHER");
            if conn.direction == Direction::Inbound {
                semconv::add_peer(&mut attributes, conn.peer);
            }
            Live {
                context,
                parent: None,
                kind: conn.kind(),
                start: conn.worker.clock.now(),
                name: Name::Http { method: "HTTP", route: None },
                trace_state: Vec::new(),
                attributes,
            }
        });
        exchange
    }

    fn untraced(conn: &Rc<Conn>) -> Self {
        conn.worker.requests_open.set(conn.worker.requests_open.get() + 1);
        Self {
            conn: Rc::clone(conn),
            live: None,
            injection: Injection::default(),
            tenant: None,
            is_tenant_written: false,
            upstream: None,
            _entered: None,
            outcome: Outcome::default(),
            fault: None,
            response_end: None,
            is_grpc: false,
            request_bytes: 0,
            response_bytes: 0,
            is_answering: false,
            is_ended: false,
        }
    }

    /// The attributes that are ours rather than the conventions'.
    fn describe(&mut self, headers: &impl Headers, is_joined: bool) {
        let Some(live) = &mut self.live else { return };
        if let Some(tenant) = &self.tenant {
            live.attributes.text(Key::TenantId, tenant.as_str());
        }
        if is_joined {
            live.attributes.text(Key::Join, "context");
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

    /// Notes where the request goes.
    pub fn goes_to(&mut self, upstream: &Authority) {
        self.upstream = Some(upstream.clone());
    }

    /// Notes which address the request goes to, and how long connecting took if that was needed.
    pub fn connected(&mut self, peer: SocketAddr, took: Option<Duration>) {
        let Some(live) = &mut self.live else { return };
        if live.kind == Kind::Client {
            semconv::add_peer(&mut live.attributes, peer);
        }
        if let Some(took) = took {
            live.attributes.double(Key::ConnectDuration, took.as_secs_f64());
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

    /// Notes the final status.
    pub fn answered(&mut self, status: u16) {
        self.outcome.status_code = Some(status);
    }

    /// Notes the `grpc-status` of a response's head or trailers.
    pub fn grpc_status(&mut self, value: &[u8]) {
        self.outcome.grpc_status = Some(rpc::parse_status(value));
    }

    /// Notes what passed through the tunnel that the connection became.
    pub fn tunnelled(&mut self, sent: u64, received: u64) {
        if let Some(live) = &mut self.live {
            live.attributes.count(Key::TunnelBytesSent, sent);
            live.attributes.count(Key::TunnelBytesReceived, received);
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
        if self.is_grpc {
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

    fn note_elapsed(&mut self, key: Key) {
        if let Some(live) = &mut self.live {
            let elapsed = self.conn.worker.clock.now().saturating_sub(live.start);
            live.attributes.double(key, Duration::from_nanos(elapsed).as_secs_f64());
        }
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let worker = &self.conn.worker;
        worker.requests_open.set(worker.requests_open.get() - 1);
        worker.counters.request(self.conn.direction, self.outcome.status_code).add(1);
        if self.is_grpc && self.fault.is_none() && self.outcome.grpc_status.is_none() {
            self.outcome.grpc_status = self.outcome.status_code.map(rpc::status_of_http);
        }
        self.log_fault();
        self.outcome.failure = self.fault.map(Fault::failure);
        if let Some(live) = self.live.take() {
            let bytes = (self.request_bytes, self.response_bytes);
            let end = self.response_end.unwrap_or_else(|| worker.clock.now());
            live.end(&self.conn, self.fault, &self.outcome, bytes, end);
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

impl Verdict {
    fn reach(conn: &Conn, tracing: &Tracing, headers: &impl Headers) -> Self {
        let extracted = propagate::extract(headers, &tracing.propagation);
        if !tracing.is_enabled {
            return Self { extracted, recorded: None };
        }
        let parent = extracted.parent.as_ref();
        let mut ids = conn.worker.ids.borrow_mut();
        let trace_id = parent.map_or_else(|| ids.trace_id(), |parent| parent.trace_id);
        let recorded = match tracing.sampler.decide(parent, trace_id) {
            Decision::Drop => None,
            Decision::RecordAndSample => {
                let random =
                    if tracing.propagation.random_flag { Flags::RANDOM } else { Flags::default() };
                let flags = parent.map_or(random, |parent| parent.flags).sampled();
                Some(TraceContext { trace_id, span_id: ids.span_id(), flags })
            }
        };
        Self { extracted, recorded }
    }
}

impl Live {
    fn begin<H: Headers>(
        conn: &Conn,
        request: &Request<'_, H>,
        context: TraceContext,
        verdict: &Verdict,
        is_grpc: bool,
    ) -> Self {
        let worker = &conn.worker;
        let tracing = &worker.config.tracing;
        let start = worker.clock.now();
        let mut attributes = Attributes::reuse(worker.take_scratch());
        let name = if is_grpc {
            rpc::begin(&mut attributes, request);
            Name::Rpc { path: request.path.to_vec() }
        } else {
            let is_server = request.kind == Kind::Server;
            let route = tracing.routes.find(request.path).filter(|_| is_server).cloned();
            http::begin(&mut attributes, request, route.as_deref(), tracing.query_values);
            Name::Http { method: http::Method::parse(request.method).span_name(), route }
        };
        let mut trace_state = Vec::new();
        if verdict.extracted.state == propagate::State::Valid {
            tracestate::join(request.headers.values(TRACESTATE), &mut trace_state);
        }
        let parent = verdict.extracted.parent.map(|parent| parent.span_id);
        Self { context, parent, kind: request.kind, start, name, trace_state, attributes }
    }

    fn end(
        mut self,
        conn: &Conn,
        fault: Option<Fault>,
        outcome: &Outcome,
        bytes: (u64, u64),
        end: u64,
    ) {
        let worker = &conn.worker;
        if let Some(fault) = fault {
            self.attributes.text(Key::FaultSide, fault.side.as_str());
            self.attributes.text(Key::FaultKind, fault.kind.as_str());
        }
        let (sent, received) = bytes;
        let attributes = &mut self.attributes;
        match &self.name {
            Name::Http { method, route } => {
                attributes.count(Key::HttpRequestBodySize, sent);
                attributes.count(Key::HttpResponseBodySize, received);
                let status = http::end(attributes, self.kind, outcome);
                let route = route.as_deref().unwrap_or_default();
                let space = if route.is_empty() { "" } else { " " };
                let name = [method.as_bytes(), space.as_bytes(), route.as_bytes()];
                self.record(conn, status, &name, end);
            }
            Name::Rpc { path } => {
                attributes.count(Key::RequestBodySize, sent);
                attributes.count(Key::ResponseBodySize, received);
                let (status, is_known) = rpc::end(attributes, self.kind, path, outcome);
                let name = if is_known { path.get(1..).unwrap_or_default() } else { b"grpc" };
                self.record(conn, status, &[name], end);
            }
        }
        worker.give_scratch(self.attributes.into_buffer());
    }

    fn record(&self, conn: &Conn, status: Status, name: &[&[u8]], end: u64) {
        let span = Span {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            parent: self.parent,
            flags: self.context.flags,
            kind: self.kind,
            status,
            start: self.start,
            end: end.max(self.start),
        };
        conn.worker.finish(span, name, &self.trace_state, &self.attributes);
    }
}
