//! Bytes both ways, once a connection has left HTTP: `CONNECT`, WebSocket and other upgrades.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use super::exchange::Exchange;
use super::fault::{Fault, Kind};
use super::meter::Meter;
use crate::net::buffer::STREAM_BUFFER_SIZE;
use crate::net::idle::IdleWatch;
use crate::net::wire::Wire;

/// One way through a tunnel.
#[derive(Debug, Default)]
struct Flow {
    is_over: bool,
}

/// Moves bytes until both sides have ended, one is reset, or both are silent for too long.
///
/// A side that ends is passed on as such, and the other may go on: a half-close stays one.
pub async fn run(
    downstream: &mut Wire,
    upstream: &mut Wire,
    idle: &mut IdleWatch,
    exchange: &mut Exchange,
) -> Option<Fault> {
    let (mut up, mut down) = (Flow::default(), Flow::default());
    poll_fn(|cx| {
        let before = exchange.request.bytes + exchange.response.bytes;
        if let Err(broken) = up.poll(cx, downstream, upstream, &mut exchange.request) {
            return Poll::Ready(Some(broken.fault(Fault::downstream, Fault::upstream)));
        }
        if let Err(broken) = down.poll(cx, upstream, downstream, &mut exchange.response) {
            return Poll::Ready(Some(broken.fault(Fault::upstream, Fault::downstream)));
        }
        if up.is_over && down.is_over {
            return Poll::Ready(None);
        }
        if exchange.request.bytes + exchange.response.bytes != before {
            idle.touch();
        }
        let expired = idle.poll_expired(cx);
        if idle.has_ticked() {
            exchange.tell_progress();
        }
        expired.map(|()| Some(Fault::proxy(Kind::IdleTimeout)))
    })
    .await
}

/// Which end of a flow is broken.
#[derive(Debug)]
enum Broken {
    Source,
    Destination,
}

impl Broken {
    fn fault(&self, source: fn(Kind) -> Fault, destination: fn(Kind) -> Fault) -> Fault {
        match self {
            Self::Source => source(Kind::ConnectionReset),
            Self::Destination => destination(Kind::ConnectionReset),
        }
    }
}

impl Flow {
    /// Moves what can be moved.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire,
        to: &mut Wire,
        meter: &mut Meter,
    ) -> Result<(), Broken> {
        while !self.is_over {
            if !from.buffer.is_empty() {
                match to.poll_write(cx, from.buffer.filled()) {
                    Poll::Ready(written) => {
                        let count = written.map_err(|_: io::Error| Broken::Destination)?;
                        meter.pass(from.buffer.filled().get(..count).unwrap_or_default());
                        from.buffer.consume(count);
                    }
                    Poll::Pending => break,
                }
            } else if from.is_eof() {
                to.shut_down(cx);
                self.is_over = true;
            } else {
                match from.poll_fill(cx, STREAM_BUFFER_SIZE) {
                    Poll::Ready(read) => drop(read.map_err(|_: io::Error| Broken::Source)?),
                    Poll::Pending => break,
                }
            }
        }
        Ok(())
    }
}
