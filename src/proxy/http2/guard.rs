//! The socket as `h2` sees it: what comes has passed the rules of [`super::frames`].

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use h2::Reason;
use http::{HeaderMap, HeaderName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{CONTINUATION, HEAD, MAX_PAYLOAD};
use super::frames::{Bounds, Frames, Peer, Step};
use crate::net::idle::Deadline;
use crate::net::wire::Wire;
use crate::proxy::Limits;

/// How many bytes that have not gone on are held: a frame that must be seen whole, and more.
const HELD: usize = 2 * (HEAD + MAX_PAYLOAD);

/// How long a peer whose connection failed may go on sending, so that it sees why.
const LINGER: Duration = Duration::from_secs(1);
/// The end of a block of fields that never began: `h2` ends the connection over it.
const NONSENSE: &[u8] = &[0, 0, 0, CONTINUATION, 0, 0, 0, 0, 1];

/// A connection between a peer and `h2`.
#[derive(Debug)]
pub struct Guard {
    wire: Wire,
    /// How many bytes of the wire's buffer go on as they are.
    passing: usize,
    /// What becomes of the bytes behind these, where it is known already.
    behind: Option<Result<Step, Reason>>,
    instead: Vec<u8>,
    given: usize,
    /// Whether a frame of our own is on its way out, and must end before another begins.
    is_replying: bool,
    /// Who waits for our own frames to go out before it reads on.
    reader: Option<Waker>,
    /// How long a peer that broke the rules is still heard out.
    linger: Deadline,
    watched: Watched,
}

/// What a guard has seen, for those that drive `h2`.
#[derive(Clone, Debug)]
pub struct Watched(Rc<RefCell<Seen>>);

#[derive(Debug)]
struct Seen {
    frames: Frames,
    /// Why the connection must end.
    failure: Option<Reason>,
    has_failed: bool,
    /// Whether all that has come has gone on.
    is_waiting: bool,
    is_raw: bool,
}

impl Guard {
    /// Guards the connection of a client.
    #[must_use]
    pub fn of_client(wire: Wire, limits: &Limits, block_bytes: u32) -> (Self, Watched) {
        Self::new(wire, Peer::Client, limits, block_bytes)
    }

    /// Guards the connection to a server.
    #[must_use]
    pub fn of_server(wire: Wire, limits: &Limits, block_bytes: u32) -> (Self, Watched) {
        Self::new(wire, Peer::Server, limits, block_bytes)
    }

    fn new(wire: Wire, peer: Peer, limits: &Limits, block_bytes: u32) -> (Self, Watched) {
        /// Streams that may be on their way out beside those that are open.
        const ENDING: usize = 1_024;
        let bounds = Bounds {
            block: usize::try_from(block_bytes).unwrap_or(usize::MAX),
            continuations: limits.continuations,
            streams: usize::try_from(limits.streams).unwrap_or(usize::MAX).saturating_add(ENDING),
        };
        let frames = Frames::new(peer, bounds);
        let seen =
            Seen { frames, failure: None, has_failed: false, is_waiting: false, is_raw: false };
        let watched = Watched(Rc::new(RefCell::new(seen)));
        let guard = Self {
            wire,
            passing: 0,
            behind: None,
            instead: Vec::new(),
            given: 0,
            is_replying: false,
            reader: None,
            linger: Deadline::default(),
            watched: watched.clone(),
        };
        (guard, watched)
    }

    /// Gives out what may go on, as far as there is room.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let waiting = self.instead.get(self.given..).unwrap_or_default();
        if !waiting.is_empty() {
            let count = waiting.len().min(buf.remaining());
            buf.put_slice(waiting.get(..count).unwrap_or_default());
            self.given += count;
            return true;
        }
        self.instead.clear();
        self.given = 0;
        let count = self.passing.min(buf.remaining());
        buf.put_slice(self.wire.buffer.filled().get(..count).unwrap_or_default());
        self.wire.buffer.consume(count);
        self.passing -= count;
        count > 0
    }
}

impl Seen {
    /// How much of `filled` goes on as it is, of which `count` bytes are known to, and what becomes
    /// of the rest where that can be told.
    fn look_on(
        &mut self,
        filled: &[u8],
        mut count: usize,
    ) -> (usize, Option<Result<Step, Reason>>) {
        loop {
            match self.frames.step(filled.get(count..).unwrap_or_default()) {
                Ok(Step::Pass(more)) => count += more,
                Ok(Step::Wait) => return (count, None),
                step => return (count, Some(step)),
            }
        }
    }
}

impl Watched {
    /// Why the connection must end, once.
    #[must_use]
    pub fn take_failure(&self) -> Option<Reason> {
        self.0.borrow_mut().failure.take()
    }

    /// Whether a server has said that it takes extended CONNECT; `None` until it has said anything.
    #[must_use]
    pub fn takes_extended_connect(&self) -> Option<bool> {
        self.0.borrow().frames.takes_extended_connect()
    }

    /// How many streams `h2` has kept to itself before it gave out this one.
    #[must_use]
    pub fn refused_before(&self, stream: h2::StreamId) -> usize {
        self.0.borrow_mut().frames.count_refused(Some(stream.as_u32()))
    }

    /// How many streams `h2` has kept to itself, as far as it can be known.
    #[must_use]
    pub fn refused(&self, is_over: bool) -> usize {
        let mut seen = self.0.borrow_mut();
        if seen.is_waiting || is_over { seen.frames.count_refused(None) } else { 0 }
    }

    /// Marks the fields that the peer said must never be indexed (RFC 7541, section 7.1.3).
    pub fn mark(&self, stream: h2::StreamId, headers: &mut HeaderMap) {
        for name in self.0.borrow().frames.sensitive(stream.as_u32()) {
            if let Ok(name) = HeaderName::from_bytes(name)
                && let http::header::Entry::Occupied(mut values) = headers.entry(name)
            {
                values.iter_mut().for_each(|value| value.set_sensitive(true));
            }
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.watched.0.borrow_mut().is_waiting = false;
        loop {
            // What we have to say comes before whatever `h2` says to what it reads next.
            if !this.watched.0.borrow_mut().frames.replies().is_empty() {
                this.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            let seen = &mut *this.watched.0.borrow_mut();
            if seen.has_failed {
                // Who drives the connection looks at the failure next, and ends it.
                return Poll::Pending;
            }
            let filled = this.wire.buffer.filled();
            let step = match this.behind.take() {
                Some(step) => step,
                None if seen.is_raw && filled.is_empty() => Ok(Step::Wait),
                None if seen.is_raw => Ok(Step::Pass(filled.len())),
                None => seen.frames.step(filled),
            };
            match step {
                Ok(Step::Pass(count)) if seen.is_raw => this.passing = count,
                // `h2` takes many frames at once faster than one by one.
                Ok(Step::Pass(count)) => (this.passing, this.behind) = seen.look_on(filled, count),
                Ok(Step::Replace(count)) => {
                    this.wire.buffer.consume(count);
                    this.instead = seen.frames.take_instead();
                }
                // A frame that was cut off is for `h2` to complain of.
                Ok(Step::Wait) if this.wire.is_eof() => match filled.len() {
                    0 => return Poll::Ready(Ok(())),
                    rest => this.passing = rest,
                },
                Ok(Step::Wait) => {
                    let filled = this.wire.poll_fill(cx, HELD);
                    seen.is_waiting = filled.is_pending();
                    ready!(filled)?;
                }
                Err(reason) if seen.frames.peer() == Peer::Client => {
                    seen.failure = Some(reason);
                    seen.has_failed = true;
                }
                // `h2` ends the connection to a server by itself, when it gets what it cannot take.
                Err(_) => {
                    seen.is_raw = true;
                    this.instead = NONSENSE.to_vec();
                }
            }
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_replying {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let count = ready!(self.wire.poll_write(cx, buf))?;
        self.watched.0.borrow_mut().frames.sent(buf.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_replying {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let count = ready!(self.wire.poll_write_vectored(cx, bufs))?;
        let frames = &mut self.watched.0.borrow_mut().frames;
        let mut left = count;
        for buf in bufs {
            let part = left.min(buf.len());
            frames.sent(buf.get(..part).unwrap_or_default());
            left -= part;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// `h2` flushes when all it has to say is written: then there is room between its frames.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut seen = this.watched.0.borrow_mut();
        let replies = seen.frames.replies();
        while !replies.is_empty() {
            let count = ready!(this.wire.poll_write(cx, replies))?;
            replies.drain(..count);
            this.is_replying = !replies.is_empty();
        }
        if let Some(reader) = this.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.wire.shut_down(cx);
        if !self.watched.0.borrow().has_failed {
            return Poll::Ready(Ok(()));
        }
        // Closing at once would make the kernel send a reset, which may overtake our last words.
        self.linger.set(LINGER);
        loop {
            let unwanted = self.wire.buffer.filled().len();
            self.wire.buffer.consume(unwanted);
            match self.wire.poll_fill(cx, HELD) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.linger.poll_expired(cx).map(Ok),
            }
        }
    }
}
