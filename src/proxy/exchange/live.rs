//! The span in the making: what is gathered from the request's head to its end.

use std::sync::Arc;

use crate::direction::Direction;
use crate::proxy::connection::Conn;
use crate::proxy::fault::Fault;
use crate::proxy::meter::Meter;
use crate::proxy::progress::Progress;
use crate::trace::messages::Packing;
use crate::trace::propagate::{self, Extracted, TRACESTATE, tracestate};
use crate::trace::semconv::{self, Key, Outcome, Request, http, rpc};
use crate::trace::span::{Attributes, Kind, Span, Status};
use crate::trace::{Headers, SpanId, TraceContext};

/// A span that has not ended.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) context: TraceContext,
    parent: Option<SpanId>,
    pub(super) kind: Kind,
    pub(super) start: u64,
    name: Name,
    pub(super) trace_state: Vec<u8>,
    pub(super) attributes: Attributes,
    /// What has been told of it so far, once there was time to tell anything.
    progress: Option<Box<Progress>>,
}

/// What the span's name will be made of.
#[derive(Debug)]
enum Name {
    Http { method: &'static str, route: Option<Arc<str>> },
    Rpc { path: Vec<u8> },
}

impl Live {
    /// Begins with a request's head.
    pub(super) fn begin<H: Headers>(
        conn: &Conn,
        request: &Request<'_, H>,
        context: TraceContext,
        extracted: &Extracted,
        call: Option<Packing>,
    ) -> Self {
        let worker = &conn.worker;
        let tracing = &worker.config.tracing;
        let start = worker.clock.now();
        let mut attributes = Attributes::reuse(worker.take_scratch());
        let name = if call.is_some() {
            rpc::begin(&mut attributes, request);
            Name::Rpc { path: request.path.to_vec() }
        } else {
            let is_server = request.kind == Kind::Server;
            let route = tracing.routes.find(request.path).filter(|_| is_server).cloned();
            http::begin(&mut attributes, request, route.as_deref(), tracing.query_values);
            Name::Http { method: http::Method::parse(request.method).span_name(), route }
        };
        let mut trace_state = Vec::new();
        if extracted.state == propagate::State::Valid {
            tracestate::join(request.headers.values(TRACESTATE), &mut trace_state);
        }
        let parent = extracted.parent.map(|parent| parent.span_id);
        let kind = request.kind;
        Self { context, parent, kind, start, name, trace_state, attributes, progress: None }
    }

    /// Begins with a head that could not be read.
    pub(super) fn unreadable(conn: &Conn, context: TraceContext) -> Self {
        let mut attributes = Attributes::reuse(conn.worker.take_scratch());
        attributes.text(Key::HttpRequestMethod, "_OTHER");
        if conn.direction == Direction::Inbound {
            semconv::add_peer(&mut attributes, conn.peer);
        }
        Self {
            context,
            parent: None,
            kind: conn.kind(),
            start: conn.worker.clock.now(),
            name: Name::Http { method: "HTTP", route: None },
            trace_state: Vec::new(),
            attributes,
            progress: None,
        }
    }

    /// Ends, at the time `end`, with the failure or the outcome, and the sizes of both bodies.
    pub(super) fn end(
        mut self,
        conn: &Conn,
        fault: Option<Fault>,
        outcome: &Outcome,
        bodies: (u64, u64),
        end: u64,
    ) {
        let worker = &conn.worker;
        if let Some(fault) = fault {
            self.attributes.text(Key::FaultSide, fault.side.as_str());
            self.attributes.text(Key::FaultKind, fault.kind.as_str());
        }
        let (sent, received) = bodies;
        let attributes = &mut self.attributes;
        match &self.name {
            Name::Http { method, route } => {
                attributes.count(Key::HttpRequestBodySize, sent);
                attributes.count(Key::HttpResponseBodySize, received);
                let status = http::end(attributes, self.kind, outcome);
                let [method, space, route] = http_name(method, route.as_deref());
                self.record(conn, status, &[method, space, route], end);
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

    /// Whether anything has been told of it before its end.
    pub(super) fn is_told(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.has_begun())
    }

    /// Tells of a request that has been going on for a while, if it has, by a span that is a part
    /// of this one, with all that is known so far.
    pub(super) fn tell_progress(&mut self, conn: &Conn, request: &Meter, response: &Meter) {
        const STILL: &[u8] = b" in progress";
        let worker = &conn.worker;
        let Some(interval) = worker.config.tracing.progress_interval else { return };
        let end = worker.clock.now();
        let progress = self.progress.get_or_insert_with(|| Box::new(Progress::since(self.start)));
        let Some(part) = progress.next(end, interval, request, response) else { return };
        let mut attributes = Attributes::reuse(worker.take_scratch());
        attributes.extend(&self.attributes);
        part.describe(&mut attributes);
        let span = Span {
            span_id: worker.ids.borrow_mut().span_id(),
            parent: Some(self.context.span_id),
            is_part: true,
            start: part.start,
            ..self.span(Status::Unset, end)
        };
        let name = match &self.name {
            Name::Http { method, route } => {
                let [method, space, route] = http_name(method, route.as_deref());
                [method, space, route, STILL]
            }
            Name::Rpc { path } => [b"", b"", path.get(1..).unwrap_or_default(), STILL],
        };
        worker.finish(span, &name, &self.trace_state, &attributes);
        worker.give_scratch(attributes.into_buffer());
    }

    fn record(&self, conn: &Conn, status: Status, name: &[&[u8]], end: u64) {
        conn.worker.finish(self.span(status, end), name, &self.trace_state, &self.attributes);
    }

    fn span(&self, status: Status, end: u64) -> Span {
        Span {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            parent: self.parent,
            link: None,
            flags: self.context.flags,
            kind: self.kind,
            is_part: false,
            status,
            start: self.start,
            end: end.max(self.start),
        }
    }
}

/// The pieces of an HTTP span's name: the method, and the route where one is known.
fn http_name<'a>(method: &'static str, route: Option<&'a str>) -> [&'a [u8]; 3] {
    let space = if route.is_some() { " " } else { "" };
    [method.as_bytes(), space.as_bytes(), route.unwrap_or_default().as_bytes()]
}
