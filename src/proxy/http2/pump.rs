//! Moving one body: data as it comes, no faster than it is taken, and its trailers.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::guard::Watched;
use crate::proxy::Limits;
use crate::proxy::meter::Meter;

/// One body on its way from one connection to another.
#[derive(Debug)]
pub struct Pump {
    from: RecvStream,
    limits: Limits,
    watched: Watched,
    /// Data that was received and waits for room to be sent.
    waiting: Bytes,
}

/// How a body ended.
#[derive(Debug)]
pub enum Ended {
    /// With its last data.
    Data,
    /// With trailers, which have been sent on.
    Trailers(HeaderMap),
}

/// Which end of a pump is broken, and how.
#[derive(Debug)]
pub enum Broken {
    /// The side it comes from.
    Source(h2::Error),
    /// The side it goes to.
    Destination(h2::Error),
    /// The trailers are larger than allowed.
    TooLarge,
}

/// Whether a header list is larger than allowed, by its lines or by its bytes as HTTP/2 counts them
/// (RFC 9113, section 6.5.2).
#[must_use]
pub fn is_too_large(headers: &HeaderMap, limits: &Limits) -> bool {
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
    headers.len() > limits.header_count
        || headers.iter().map(line).sum::<usize>() > limits.header_bytes
}

impl Pump {
    /// A pump of what `from` receives over the connection that is `watched`, with trailers within
    /// `limits`.
    #[must_use]
    pub const fn new(from: RecvStream, limits: Limits, watched: Watched) -> Self {
        Self { from, limits, watched, waiting: Bytes::new() }
    }

    /// Whether there is nothing to move, not even trailers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.from.is_end_stream()
    }

    /// Whether nothing waits to be sent: it is the source that does not go on.
    #[must_use]
    pub const fn is_starved(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Moves what can be moved past `meter`, and is ready when all of it has been.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut SendStream<Bytes>,
        meter: &mut Meter,
    ) -> Poll<Result<Ended, Broken>> {
        loop {
            if !self.waiting.is_empty() {
                ready!(self.poll_send(cx, to, meter))?;
                if self.waiting.is_empty() && self.from.is_end_stream() {
                    return Poll::Ready(Ok(Ended::Data));
                }
                continue;
            }
            match ready!(self.from.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() && !self.from.is_end_stream() => {}
                Some(Ok(data)) if data.is_empty() => break,
                Some(Ok(data)) => self.waiting = data,
                Some(Err(error)) => return Poll::Ready(Err(Broken::Source(error))),
                None => break,
            }
        }
        Poll::Ready(match ready!(self.from.poll_trailers(cx)) {
            Ok(Some(trailers)) if is_too_large(&trailers, &self.limits) => Err(Broken::TooLarge),
            Ok(Some(mut trailers)) => {
                self.watched.mark(self.from.stream_id(), &mut trailers);
                match to.send_trailers(trailers.clone()) {
                    Ok(()) => Ok(Ended::Trailers(trailers)),
                    Err(error) => Err(Broken::Destination(error)),
                }
            }
            Ok(None) => match to.send_data(Bytes::new(), true) {
                Ok(()) => Ok(Ended::Data),
                Err(error) => Err(Broken::Destination(error)),
            },
            Err(error) => Err(Broken::Source(error)),
        })
    }

    /// Sends as much of what waits as there is room for; the sender gets its window back only
    /// then, which is what slows it down.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut SendStream<Bytes>,
        meter: &mut Meter,
    ) -> Poll<Result<(), Broken>> {
        to.reserve_capacity(self.waiting.len());
        while to.capacity() == 0 {
            match ready!(to.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(Broken::Destination(error))),
                None => {
                    let gone = h2::Error::from(h2::Reason::CANCEL);
                    return Poll::Ready(Err(Broken::Destination(gone)));
                }
            }
        }
        let count = to.capacity().min(self.waiting.len());
        let part = self.waiting.split_to(count);
        meter.pass(&part);
        let is_last = self.waiting.is_empty() && self.from.is_end_stream();
        to.send_data(part, is_last).map_err(Broken::Destination)?;
        self.from.flow_control().release_capacity(count).map_err(Broken::Source)?;
        Poll::Ready(Ok(()))
    }
}
