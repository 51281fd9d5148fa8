//! The span of an opaque connection in the making: always the root of a trace of its own, because
//! nothing in the bytes says whose it is.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::direction::Direction;
use crate::net::tcp_info;
use crate::net::wire::Wire;
use crate::proxy::connection::Conn;
use crate::proxy::fault::{Fault, Kind, Side};
use crate::proxy::meter::Meter;
use crate::proxy::progress::Progress;
use crate::proxy::tunnel::{End, Metered};
use crate::trace::sample::Decision;
use crate::trace::semconv::connection::{self, Connection};
use crate::trace::semconv::{self, Key};
use crate::trace::span::{self, Attributes, Span, Status};
use crate::trace::{Flags, TraceContext};

/// The facts of one opaque connection.
#[derive(Debug)]
pub(super) struct Passage {
    conn: Rc<Conn>,
    /// What the client has sent.
    pub(super) sent: Meter,
    /// What the server has sent.
    pub(super) received: Meter,
    /// The span, where one is made; boxed, because idle connections are to be small.
    live: Option<Box<Live>>,
    /// Where the client meant to go.
    destination: SocketAddr,
    ended_by: Option<&'static str>,
    fault: Option<Fault>,
}

/// A span that has not ended.
#[derive(Debug)]
struct Live {
    context: TraceContext,
    /// The only inbound request that was in flight when it began.
    link: Option<TraceContext>,
    start: u64,
    name: &'static str,
    attributes: Attributes,
    progress: Progress,
}

impl Passage {
    /// Begins a connection that was accepted at `start`.
    pub(super) fn begin(conn: &Rc<Conn>, connection: &Connection<'_>, start: u64) -> Self {
        let live = root(conn).map(|context| {
            let mut attributes = Attributes::default();
            connection.begin(&mut attributes);
            // It may be that request which the application works on, or something of its own that
            // it does in the background: a link says no more than is known.
            let is_outbound = conn.direction == Direction::Outbound;
            let sole = is_outbound.then(|| conn.worker.in_flight.sole()).flatten();
            let link = sole.filter(|context| context.flags.is_sampled());
            if link.is_some() {
                attributes.text(Key::Join, "sole");
            }
            let (name, progress) = (connection.span_name(), Progress::since(start));
            Box::new(Live { context, link, start, name, attributes, progress })
        });
        Self {
            conn: Rc::clone(conn),
            sent: Meter::default(),
            received: Meter::default(),
            live,
            destination: connection.destination,
            ended_by: None,
            fault: None,
        }
    }

    /// Notes that the upstream has been reached.
    pub(super) fn connected(&mut self, peer: SocketAddr, took: Duration) {
        let Some(live) = &mut self.live else { return };
        if self.conn.direction == Direction::Outbound {
            semconv::add_peer(&mut live.attributes, peer);
        }
        live.attributes.double(Key::ConnectDuration, took.as_secs_f64());
    }

    /// Notes how the tunnel ended.
    pub(super) fn ended(&mut self, end: End) {
        // Who has ended and then resets was not waiting for an answer: that is how most programs
        // close a connection, and no fault.
        let fault = end.fault.filter(|fault| end.first != Some(fault.side));
        self.ended_by = match (fault.map(|fault| (fault.side, fault.kind)), end.first) {
            (Some((Side::Downstream, _)), _) => Some("client_reset"),
            (Some((Side::Upstream, _)), _) => Some("server_reset"),
            (Some((Side::Proxy, kind)), _) => Some(kind.as_str()),
            (None, Some(Side::Downstream)) => Some("client"),
            (None, Some(_)) => Some("server"),
            (None, None) => None,
        };
        if let Some(fault) = fault {
            self.fail(fault);
        }
    }

    /// Whether it was noted how it ended.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended_by.is_some() || self.fault.is_some()
    }

    /// Notes that it failed.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault = Some(fault);
        self.conn.worker.counters.fault(fault).add(1);
    }

    /// Notes what the kernel tells of the side that crosses the network.
    pub(super) fn crossed(&mut self, wire: &Wire) {
        let Some(live) = &mut self.live else { return };
        let Some(path) = tcp_info::of(wire) else { return };
        live.attributes.double(Key::TcpRtt, path.rtt.as_secs_f64());
        live.attributes.count(Key::TcpRetransmits, u64::from(path.retransmits));
    }

    /// Ends it. A connection of which nobody noted how it ended was cut off, because spandrel stops.
    pub(super) fn finish(&mut self) {
        let is_cut_off = !self.has_ended();
        let is_truncated = is_cut_off && self.conn.worker.is_forced();
        if is_truncated {
            self.ended_by = Some("shutdown");
        } else if is_cut_off {
            self.fail(Fault::downstream(Kind::Cancelled));
        }
        self.log_fault();
        let Some(mut live) = self.live.take() else { return };
        // Those who only look whether a port is open, as probes do, are not worth a span.
        if self.fault.is_none() && self.sent.bytes + self.received.bytes == 0 {
            return;
        }
        let attributes = &mut live.attributes;
        if is_truncated {
            attributes.text(Key::Truncated, "shutdown");
        }
        if let Some(ended_by) = self.ended_by {
            attributes.text(Key::ConnectionEndedBy, ended_by);
        }
        if let Some(fault) = self.fault {
            attributes.text(Key::FaultSide, fault.side.as_str());
            attributes.text(Key::FaultKind, fault.kind.as_str());
        }
        attributes.count(Key::TunnelBytesSent, self.sent.bytes);
        attributes.count(Key::TunnelBytesReceived, self.received.bytes);
        let status = connection::end(attributes, self.fault.map(Fault::failure));
        let worker = &self.conn.worker;
        let span = live.span(self.conn.kind(), status, worker.clock.now());
        worker.finish(span, &[live.name.as_bytes()], b"", &live.attributes);
    }

    fn log_fault(&self) {
        let Some(fault) = self.fault else { return };
        let direction = self.conn.direction.as_str();
        let (side, kind) = (fault.side.as_str(), fault.kind.as_str());
        let upstream = self.destination;
        let trace_id = self.live.as_ref().map(|live| live.context.trace_id.to_string());
        let trace_id = trace_id.unwrap_or_default();
        match fault.side {
            Side::Downstream => {
                tracing::debug!(direction, side, kind, %upstream, trace_id, "connection failed");
            }
            Side::Upstream | Side::Proxy => {
                tracing::warn!(direction, side, kind, %upstream, trace_id, "connection failed");
            }
        }
    }
}

impl Metered for Passage {
    fn meters(&mut self) -> (&mut Meter, &mut Meter) {
        (&mut self.sent, &mut self.received)
    }

    /// Tells of a connection that has been open for a while.
    fn tick(&mut self) {
        let worker = &self.conn.worker;
        let Some(interval) = worker.config.tracing.progress_interval else { return };
        let Some(live) = &mut self.live else { return };
        let now = worker.clock.now();
        let Some(part) = live.progress.next(now, interval, &self.sent, &self.received) else {
            return;
        };
        let mut attributes = Attributes::reuse(worker.take_scratch());
        attributes.extend(&live.attributes);
        part.describe(&mut attributes);
        let whole = live.span(self.conn.kind(), Status::Unset, now);
        let span = Span {
            span_id: worker.ids.borrow_mut().span_id(),
            parent: Some(whole.span_id),
            is_part: true,
            link: None,
            start: part.start,
            ..whole
        };
        worker.finish(span, &[live.name.as_bytes(), b" in progress"], b"", &attributes);
        worker.give_scratch(attributes.into_buffer());
    }
}

impl Live {
    fn span(&self, kind: span::Kind, status: Status, end: u64) -> Span {
        Span {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            parent: None,
            link: self.link,
            flags: self.context.flags,
            kind,
            is_part: false,
            status,
            start: self.start,
            end: end.max(self.start),
        }
    }
}

/// The context of the span to record, if one is to be: that of a new trace.
fn root(conn: &Conn) -> Option<TraceContext> {
    let worker = &conn.worker;
    let tracing = &worker.config.tracing;
    if !tracing.is_enabled || !tracing.connections || conn.carries_telemetry() {
        return None;
    }
    let mut ids = worker.ids.borrow_mut();
    let trace_id = ids.trace_id();
    if tracing.sampler.decide(None, trace_id) == Decision::Drop {
        return None;
    }
    let random = tracing.propagation.random_flag;
    let flags = if random { Flags::RANDOM } else { Flags::default() };
    Some(TraceContext { trace_id, span_id: ids.span_id(), flags: flags.sampled() })
}
