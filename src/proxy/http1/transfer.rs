//! One exchange on its way: the request up, the response down, both at once.
//!
//! Bytes are looked at in the buffer they were read into and written on from there. Neither side
//! is read further than the other can be written to, which is all the back-pressure there is.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use super::framing::Body;
use super::head::{Answers, HeadLimits, ResponseHead};
use crate::net::buffer::{BUFFER_SIZE, STREAM_BUFFER_SIZE};
use crate::net::idle::{Deadline, IdleWatch};
use crate::net::wire::Wire;
use crate::proxy::Limits;
use crate::proxy::connection::Conn;
use crate::proxy::exchange::Exchange;
use crate::proxy::fault::{Fault, Kind};
use crate::trace::messages::Packing;

/// A request and its response between two wires.
#[derive(Debug)]
pub struct Transfer<'a> {
    pub(super) conn: &'a Conn,
    pub(super) exchange: &'a mut Exchange,
    pub(super) downstream: &'a mut Wire,
    pub(super) upstream: &'a mut Wire,
    /// The request's head as it goes on, and what of its body came with it: not yet written.
    pub(super) head: &'a [u8],
    pub(super) request: Body,
    pub(super) answers: Answers,
    /// Whether the request allows the connection to be used again.
    pub(super) is_persistent: bool,
    pub(super) limits: &'a Limits,
    pub(super) idle: &'a mut IdleWatch,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The response is complete; whether the connection may be used again.
    Complete {
        /// Whether both messages allow it and were passed whole.
        is_persistent: bool,
    },
    /// The connection has left HTTP, for what is packed like this.
    Tunnel(Option<Packing>),
    /// Something failed.
    Failed {
        /// What.
        fault: Fault,
        /// How much of a response the caller has been sent.
        told: Told,
    },
}

/// How much of a response a caller has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing: there is room for a reply of our own.
    Nothing,
    /// A part, which it will see to be one.
    Part,
    /// A part that an orderly end of the connection would make look whole.
    UntilClose,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    /// On its way.
    Sending,
    /// Passed whole.
    Sent,
    /// The caller ended in the middle of it.
    Cut,
    /// The upstream does not take any more of it.
    Refused,
}

/// How far the response is.
#[derive(Clone, Copy, Debug)]
enum Down {
    Head,
    Body(Body),
    Done(Ending),
}

/// Where an exchange stands.
#[derive(Debug)]
struct Progress {
    up: Up,
    down: Down,
    /// Bytes at the front of the downstream's buffer that belong to the request.
    cleared_up: usize,
    /// Bytes at the front of the upstream's buffer that belong to the response.
    cleared_down: usize,
    /// Whether the caller has been sent any byte of a response.
    has_begun: bool,
    /// Whether the upstream has sent any byte of a response.
    is_answering: bool,
    /// Whether the response allows the connection to be used again.
    is_persistent: bool,
    is_half_closed: bool,
    /// Whether an end of the connections, or silence, has ended the exchange.
    is_cut_off: bool,
    response_deadline: Deadline,
}

impl Progress {
    fn new() -> Self {
        Self {
            up: Up::Sending,
            down: Down::Head,
            cleared_up: 0,
            cleared_down: 0,
            has_begun: false,
            is_answering: false,
            is_persistent: false,
            is_half_closed: false,
            is_cut_off: false,
            response_deadline: Deadline::default(),
        }
    }

    const fn told(&self) -> Told {
        match self.down {
            _ if !self.has_begun => Told::Nothing,
            Down::Body(body) if body.ends_with_connection() => Told::UntilClose,
            _ => Told::Part,
        }
    }

    /// The upstream has ended: that completes a body that has no other end, and cuts all others.
    fn end_with_connection(&mut self) -> Result<(), Fault> {
        match self.down {
            Down::Body(body) if body.ends_with_connection() => {
                self.down = Down::Done(Ending::Complete { is_persistent: false });
                Ok(())
            }
            // It ended because the caller did, as it would have without us.
            _ if self.is_half_closed => Err(Fault::downstream(Kind::Cancelled)),
            _ => Err(Fault::upstream(Kind::ConnectionClosed)),
        }
    }

    fn upstream_fault(&self, error: &std::io::Error) -> Fault {
        if self.is_half_closed {
            Fault::downstream(Kind::Cancelled)
        } else {
            Fault::upstream_io(error)
        }
    }
}

impl Transfer<'_> {
    /// Moves both messages until the exchange has ended, and the connections with it where they
    /// cannot be used again.
    pub async fn run(mut self) -> Ending {
        let mut progress = Progress::new();
        let ending = poll_fn(|cx| self.poll(cx, &mut progress)).await;
        match ending {
            Ending::Complete { is_persistent: true } if self.is_persistent => ending,
            Ending::Complete { .. } => {
                self.exchange.finish();
                if !progress.is_cut_off {
                    self.part(&mut progress).await;
                }
                Ending::Complete { is_persistent: false }
            }
            ending => ending,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Poll<Ending> {
        let up = self.poll_request(cx, progress);
        if let Down::Done(Ending::Complete { is_persistent }) = progress.down {
            return match up {
                Ok(()) => self.poll_rest_of_request(cx, progress, is_persistent),
                // The response is complete; only the connection is of no further use.
                Err(_) => {
                    progress.is_cut_off = true;
                    Poll::Ready(Ending::Complete { is_persistent: false })
                }
            };
        }
        let moved = up.and_then(|()| self.poll_response(cx, progress));
        let fault = match (moved, progress.down) {
            (Err(fault), _) => fault,
            (Ok(()), Down::Done(ending)) if progress.cleared_down == 0 => {
                return self.settle(cx, progress, ending);
            }
            (Ok(()), _) => match self.poll_timers(cx, progress) {
                Some(fault) => fault,
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Ending::Failed { fault, told: progress.told() })
    }

    fn settle(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
        ending: Ending,
    ) -> Poll<Ending> {
        match ending {
            Ending::Complete { is_persistent } => {
                self.poll_rest_of_request(cx, progress, is_persistent)
            }
            other => Poll::Ready(other),
        }
    }

    /// Writes what there is of the request; then watches for the caller to go away.
    fn poll_request(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Result<(), Fault> {
        while progress.up == Up::Sending {
            let cleared = self.downstream.buffer.filled().get(..progress.cleared_up);
            let (from_head, bytes) = match self.head {
                [] => (false, cleared.unwrap_or_default()),
                head => (true, head),
            };
            if !bytes.is_empty() {
                match self.upstream.poll_write(cx, bytes) {
                    Poll::Ready(Ok(count)) if from_head => {
                        self.head = self.head.get(count..).unwrap_or_default();
                    }
                    Poll::Ready(Ok(count)) => {
                        self.downstream.buffer.consume(count);
                        progress.cleared_up -= count;
                    }
                    // It may have answered before it stopped reading; the answer decides.
                    Poll::Ready(Err(_)) => progress.up = Up::Refused,
                    Poll::Pending => return Ok(()),
                }
                self.idle.touch();
            } else if self.request.is_done() {
                progress.up = Up::Sent;
                if self.exchange.request.bytes > 0 {
                    self.exchange.request_sent();
                }
                if self.limits.response_timeout < self.limits.idle_timeout {
                    progress.response_deadline.set(self.limits.response_timeout);
                }
            } else if !self.downstream.buffer.is_empty() {
                let filled = self.downstream.buffer.filled();
                let meter = &mut self.exchange.request;
                progress.cleared_up = self
                    .request
                    .advance(filled, |content| meter.pass(content))
                    .map_err(|e| Fault::downstream(e.into()))?;
            } else if self.downstream.is_eof() {
                progress.up = Up::Cut;
            } else {
                match self.downstream.poll_fill(cx, STREAM_BUFFER_SIZE) {
                    Poll::Ready(Ok(_)) => self.idle.touch(),
                    Poll::Ready(Err(_)) => return Err(Fault::downstream(Kind::Cancelled)),
                    Poll::Pending => return Ok(()),
                }
            }
        }
        self.watch_caller(cx, progress)
    }

    /// Reads ahead, within bounds, only to see whether the caller ends; its end is passed on.
    fn watch_caller(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Result<(), Fault> {
        while !self.downstream.is_eof() && progress.up == Up::Sent {
            match self.downstream.poll_fill(cx, BUFFER_SIZE) {
                Poll::Ready(Ok(0)) | Poll::Pending => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Err(Fault::downstream(Kind::Cancelled)),
            }
        }
        let is_ended = self.downstream.is_eof() && self.downstream.buffer.is_empty();
        if is_ended && !progress.is_half_closed {
            progress.is_half_closed = true;
            self.upstream.shut_down(cx);
        }
        Ok(())
    }

    /// Writes what there is of the response, interim responses included.
    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        loop {
            while progress.cleared_down > 0 {
                let bytes = self.upstream.buffer.filled().get(..progress.cleared_down);
                match self.downstream.poll_write(cx, bytes.unwrap_or_default()) {
                    Poll::Ready(Ok(count)) => {
                        self.upstream.buffer.consume(count);
                        progress.cleared_down -= count;
                        progress.has_begun = true;
                        self.idle.touch();
                    }
                    Poll::Ready(Err(_)) => return Err(Fault::downstream(Kind::Cancelled)),
                    Poll::Pending => return Ok(()),
                }
            }
            match &mut progress.down {
                Down::Done(_) => return Ok(()),
                Down::Body(body) if body.is_done() => {
                    let is_persistent = progress.is_persistent;
                    progress.down = Down::Done(Ending::Complete { is_persistent });
                    continue;
                }
                Down::Head | Down::Body(_) if self.upstream.buffer.is_empty() => {}
                Down::Body(body) => {
                    let filled = self.upstream.buffer.filled();
                    let meter = &mut self.exchange.response;
                    progress.cleared_down = body
                        .advance(filled, |content| meter.pass(content))
                        .map_err(|e| Fault::upstream(e.into()))?;
                    continue;
                }
                Down::Head => {
                    if self.read_head(progress)? {
                        continue;
                    }
                }
            }
            if self.upstream.is_eof() {
                progress.end_with_connection()?;
                continue;
            }
            match self.upstream.poll_fill(cx, self.limits.header_bytes.max(STREAM_BUFFER_SIZE)) {
                Poll::Ready(Ok(_)) => self.idle.touch(),
                Poll::Ready(Err(error)) => return Err(progress.upstream_fault(&error)),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Reads a response's head; whether there was a whole one.
    fn read_head(&mut self, progress: &mut Progress) -> Result<bool, Fault> {
        let limits =
            HeadLimits { bytes: self.limits.header_bytes, lines: self.limits.header_count };
        if !std::mem::replace(&mut progress.is_answering, true) {
            progress.response_deadline.clear();
            self.exchange.first_byte();
        }
        let filled = self.upstream.buffer.filled();
        let Some(head) = ResponseHead::parse(filled, self.answers, &limits)
            .map_err(|e| Fault::upstream(e.into()))?
        else {
            return Ok(false);
        };
        progress.cleared_down = head.end;
        if head.is_interim() {
            return Ok(true);
        }
        self.exchange.answered(head.status, head.packing);
        if let Some(code) = head.grpc_status {
            self.exchange.grpc_status(code);
        }
        let is_tunnel = head.status == 101
            || self.answers == Answers::Connect && (200..300).contains(&head.status);
        progress.is_persistent = head.is_persistent;
        progress.down = if is_tunnel {
            Down::Done(Ending::Tunnel(head.packing))
        } else {
            let mut body = head.body;
            let rest = filled.get(head.end..).unwrap_or_default();
            let meter = &mut self.exchange.response;
            progress.cleared_down += body
                .advance(rest, |content| meter.pass(content))
                .map_err(|e| Fault::upstream(e.into()))?;
            Down::Body(body)
        };
        Ok(true)
    }

    /// After an early response: the rest of the request is passed for as long as it is taken.
    fn poll_rest_of_request(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
        is_persistent: bool,
    ) -> Poll<Ending> {
        self.exchange.response_ended();
        let is_persistent = is_persistent && progress.up == Up::Sent && !progress.is_half_closed;
        if progress.up != Up::Sending || self.upstream.is_eof() {
            return Poll::Ready(Ending::Complete { is_persistent });
        }
        let is_over = match self.upstream.poll_fill(cx, BUFFER_SIZE) {
            Poll::Ready(_) => true,
            Poll::Pending => self.idle.poll_expired(cx).is_ready(),
        };
        if !is_over {
            self.exchange.poll_patience(cx);
            return Poll::Pending;
        }
        progress.is_cut_off = true;
        Poll::Ready(Ending::Complete { is_persistent: false })
    }

    /// The exchange is over and the connections are of no more use. Who is to end them is for the
    /// two sides to say, as it would be without us: each end is passed on. What the caller sends
    /// behind its request is nobody's.
    async fn part(&mut self, progress: &mut Progress) {
        let mut draining = pin!(self.conn.worker.draining());
        poll_fn(|cx| {
            loop {
                if self.poll_request(cx, progress).is_err() {
                    return Poll::Ready(());
                }
                let unwanted = self.downstream.buffer.filled().len();
                if progress.up == Up::Sending || unwanted == 0 {
                    break;
                }
                self.downstream.buffer.consume(unwanted);
            }
            let is_over = self.upstream.is_eof()
                || !self.upstream.buffer.is_empty()
                || self.upstream.poll_fill(cx, BUFFER_SIZE).is_ready()
                || self.idle.poll_expired(cx).is_ready()
                || draining.as_mut().poll(cx).is_ready();
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether somebody has kept us waiting for too long, and who.
    fn poll_timers(&mut self, cx: &mut Context<'_>, progress: &mut Progress) -> Option<Fault> {
        let is_late = progress.response_deadline.poll_expired(cx).is_ready();
        let is_idle = self.idle.poll_expired(cx).is_ready();
        if self.idle.has_ticked() {
            self.exchange.tell_progress();
        }
        if !is_late && !is_idle {
            return None;
        }
        Some(match (progress.up, progress.down) {
            (Up::Sending, Down::Head) if self.head.is_empty() && progress.cleared_up == 0 => {
                Fault::downstream(Kind::IdleTimeout)
            }
            (_, Down::Head) => Fault::upstream(Kind::ResponseTimeout),
            _ if progress.cleared_down > 0 => Fault::downstream(Kind::IdleTimeout),
            _ => Fault::upstream(Kind::IdleTimeout),
        })
    }
}
