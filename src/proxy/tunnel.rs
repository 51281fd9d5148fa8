//! Bytes both ways, once a connection has left HTTP: `CONNECT`, WebSocket and other upgrades.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use super::fault::{Fault, Kind};
use crate::net::buffer::STREAM_BUFFER_SIZE;
use crate::net::idle::IdleWatch;
use crate::net::wire::Wire;

/// What passed through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes from downstream to upstream.
    pub sent: u64,
    /// Bytes from upstream to downstream.
    pub received: u64,
}

/// One way through a tunnel.
#[derive(Debug, Default)]
struct Flow {
    bytes: u64,
    is_over: bool,
}

/// Moves bytes until both sides have ended, one is reset, or both are silent for too long.
///
/// A side that ends is passed on as such, and the other may go on: a half-close stays one.
pub async fn run(
    downstream: &mut Wire,
    upstream: &mut Wire,
    idle: &mut IdleWatch,
) -> (Passed, Option<Fault>) {
    let (mut up, mut down) = (Flow::default(), Flow::default());
    let fault = poll_fn(|cx| {
        let before = up.bytes + down.bytes;
        if let Err(broken) = up.poll(cx, downstream, upstream) {
            return Poll::Ready(Some(broken.fault(Fault::downstream, Fault::upstream)));
        }
        if let Err(broken) = down.poll(cx, upstream, downstream) {
            return Poll::Ready(Some(broken.fault(Fault::upstream, Fault::downstream)));
        }
        if up.is_over && down.is_over {
            return Poll::Ready(None);
        }
        if up.bytes + down.bytes != before {
            idle.touch();
        }
        idle.poll_expired(cx).map(|()| Some(Fault::proxy(Kind::IdleTimeout)))
    })
    .await;
    (Passed { sent: up.bytes, received: down.bytes }, fault)
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
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Result<(), Broken> {
        while !self.is_over {
            if !from.buffer.is_empty() {
                match to.poll_write(cx, from.buffer.filled()) {
                    Poll::Ready(written) => {
                        let count = written.map_err(|_: io::Error| Broken::Destination)?;
                        from.buffer.consume(count);
                        self.bytes += count as u64;
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
