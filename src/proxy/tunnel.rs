//! Bytes both ways, for all that is not, or no longer, HTTP: `CONNECT`, WebSocket and other upgrades,
//! and connections that are opaque from the start.
//!
//! A flow copies through a buffer that it holds only while there is something in it. Where nobody
//! looks into the bytes and they come in bulk, they go by the kernel alone instead
//! (`net/splice.rs`). Either way they count as passed once the other side's socket has taken them.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::exchange::Exchange;
use super::fault::{Fault, Kind, Side};
use super::meter::Meter;
use crate::net::buffer::STREAM_BUFFER_SIZE;
use crate::net::idle::IdleWatch;
use crate::net::splice::Pipe;
use crate::net::wire::Wire;

/// Whose bytes a tunnel moves.
pub trait Metered {
    /// What counts the bytes of the client, and those of the server.
    fn meters(&mut self) -> (&mut Meter, &mut Meter);

    /// Time has passed: there may be something to tell.
    fn tick(&mut self);
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The side that was the first to end its flow in order.
    pub first: Option<Side>,
    /// What cut it short, unless both sides ended.
    pub fault: Option<Fault>,
}

impl Metered for Exchange {
    fn meters(&mut self) -> (&mut Meter, &mut Meter) {
        (&mut self.request, &mut self.response)
    }

    fn tick(&mut self) {
        self.tell_progress();
    }
}

/// Moves bytes until both sides have ended, one is reset, or both are silent for too long.
///
/// A side that ends is passed on as such, and the other may go on: a half-close stays one. After a
/// fault it is the caller's to reset both.
pub async fn run(
    downstream: &mut Wire,
    upstream: &mut Wire,
    idle: &mut IdleWatch,
    metered: &mut impl Metered,
) -> End {
    let (up, down) = (Flow::default(), Flow::default());
    let mut tunnel = Tunnel { downstream, upstream, idle, metered, up, down, first: None };
    let fault = poll_fn(|cx| tunnel.poll(cx)).await;
    End { first: tunnel.first, fault }
}

struct Tunnel<'a, M> {
    downstream: &'a mut Wire,
    upstream: &'a mut Wire,
    idle: &'a mut IdleWatch,
    metered: &'a mut M,
    up: Flow,
    down: Flow,
    first: Option<Side>,
}

/// One way through a tunnel.
#[derive(Debug, Default)]
struct Flow {
    /// What was read and not yet passed on, where it did not come to us.
    pipe: Option<Pipe>,
    is_over: bool,
}

/// Which end of a flow is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Source,
    Destination,
}

impl<M: Metered> Tunnel<'_, M> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fault>> {
        let before = self.passed();
        if let Err(fault) = self.poll_flows(cx) {
            return Poll::Ready(Some(fault));
        }
        if self.up.is_over && self.down.is_over {
            return Poll::Ready(None);
        }
        if self.passed() != before {
            self.idle.touch();
        }
        let expired = self.idle.poll_expired(cx);
        if self.idle.has_ticked() {
            self.metered.tick();
            if let Some(fault) = self.unseen_reset() {
                return Poll::Ready(Some(fault));
            }
        }
        expired.map(|()| Some(Fault::proxy(Kind::IdleTimeout)))
    }

    fn passed(&mut self) -> u64 {
        let (sent, received) = self.metered.meters();
        sent.bytes + received.bytes
    }

    fn poll_flows(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let Self { downstream, upstream, metered, up, down, first, .. } = self;
        let (sent, received) = metered.meters();
        if let Err(broken) = up.poll(cx, downstream, upstream, sent) {
            // Who is gone may have said something before, as those do that refuse to listen.
            if broken == Broken::Destination {
                down.pass_rest(cx, upstream, downstream, received);
            }
            return Err(broken.fault(Fault::downstream, Fault::upstream));
        }
        if up.is_over {
            first.get_or_insert(Side::Downstream);
        }
        if let Err(broken) = down.poll(cx, upstream, downstream, received) {
            if broken == Broken::Destination {
                up.pass_rest(cx, downstream, upstream, sent);
            }
            return Err(broken.fault(Fault::upstream, Fault::downstream));
        }
        if down.is_over {
            first.get_or_insert(Side::Upstream);
        }
        Ok(())
    }

    /// A reset by a side that has ended its flow, from which nothing is read any more: unless
    /// something is written to it, it is noticed only when one looks.
    fn unseen_reset(&self) -> Option<Fault> {
        if self.up.is_over && self.downstream.is_broken() {
            return Some(Fault::downstream(Kind::ConnectionReset));
        }
        let is_reset = self.down.is_over && self.upstream.is_broken();
        is_reset.then_some(Fault::upstream(Kind::ConnectionReset))
    }
}

impl Broken {
    fn fault(self, source: fn(Kind) -> Fault, destination: fn(Kind) -> Fault) -> Fault {
        match self {
            Self::Source => source(Kind::ConnectionReset),
            Self::Destination => destination(Kind::ConnectionReset),
        }
    }
}

impl Flow {
    /// Moves what can be moved, and the end behind it.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire,
        to: &mut Wire,
        meter: &mut Meter,
    ) -> Result<(), Broken> {
        while !self.is_over {
            match self.step(cx, from, to, meter) {
                Poll::Ready(is_going_on) => self.is_over = !is_going_on?,
                Poll::Pending => break,
            }
            if self.is_over {
                to.shut_down(cx);
            }
        }
        Ok(())
    }

    /// Moves what is there of a source that is gone.
    fn pass_rest(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire,
        to: &mut Wire,
        meter: &mut Meter,
    ) {
        if !self.is_over {
            while let Poll::Ready(Ok(true)) = self.step(cx, from, to, meter) {}
        }
    }

    /// Moves something; gives whether there may be more.
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire,
        to: &mut Wire,
        meter: &mut Meter,
    ) -> Poll<Result<bool, Broken>> {
        let source = |_: io::Error| Broken::Source;
        let destination = |_: io::Error| Broken::Destination;
        if let Some(pipe) = &mut self.pipe {
            let count = ready!(to.poll_empty_pipe(cx, pipe)).map_err(destination)?;
            meter.pass_unseen(count);
            self.pipe.take_if(|pipe| pipe.is_empty());
        } else if !from.buffer.is_empty() {
            let count = ready!(to.poll_write(cx, from.buffer.filled())).map_err(destination)?;
            meter.pass(from.buffer.filled().get(..count).unwrap_or_default());
            from.buffer.consume(count);
        } else if from.is_eof() {
            return Poll::Ready(Ok(false));
        } else if meter.messages().is_none()
            && let Some(mut pipe) = from.lend_pipe()
        {
            match ready!(from.poll_fill_pipe(cx, &mut pipe)) {
                Ok(_) => self.pipe = Some(pipe).filter(|pipe| !pipe.is_empty()),
                // From here on no pipes are lent.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(_reset) => return Poll::Ready(Err(Broken::Source)),
            }
        } else {
            ready!(from.poll_fill(cx, STREAM_BUFFER_SIZE)).map_err(source)?;
        }
        Poll::Ready(Ok(true))
    }
}
