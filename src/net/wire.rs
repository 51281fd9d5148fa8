//! One end of a relay: a socket and what was read from it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::buffer::{BUFFER_SIZE, Buffer, BufferPool, STREAM_BUFFER_SIZE};
use super::own::Registered;
use super::splice::{self, Pipe};

/// A socket with a read buffer that exists only while there is something in it.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    pool: Rc<BufferPool>,
    /// What was read and not yet used.
    pub buffer: Buffer,
    is_eof: bool,
    /// Why it cannot be read any more. The system says so once, and speaks of an end from then on.
    broken: Option<io::ErrorKind>,
    /// Whether the last read filled the whole buffer: more is waiting, so larger reads pay.
    is_filling_up: bool,
    /// Whether it gave so much that the next read is better spared.
    is_bulk: bool,
    /// How many of the next bytes to be written have gone out already.
    ahead: usize,
    /// Keeps the connection known as one of ours.
    registered: Option<Box<Registered>>,
}

impl Wire {
    /// A wire over `stream`, whose small writes go out at once.
    #[must_use]
    pub fn new(stream: TcpStream, pool: Rc<BufferPool>) -> Self {
        // Failing to set the option costs latency, never correctness.
        stream.set_nodelay(true).ok();
        let buffer = Buffer::default();
        Self {
            stream,
            pool,
            buffer,
            is_eof: false,
            broken: None,
            is_filling_up: false,
            is_bulk: false,
            ahead: 0,
            registered: None,
        }
    }

    /// The same wire, which is known as one of ours for as long as it lives.
    #[must_use]
    pub fn registered(mut self, registered: Registered) -> Self {
        self.registered = Some(Box::new(registered));
        self
    }

    /// Notes that `count` bytes were written ahead of their time: the next as many to be written
    /// are these.
    pub const fn wrote_ahead(&mut self, count: usize) {
        self.ahead += count;
    }

    /// Whether the peer has said that nothing more will come.
    #[must_use]
    pub const fn is_eof(&self) -> bool {
        self.is_eof
    }

    /// Reads once; `Ok(0)` is the end of what the peer sends, or a buffer that holds `limit`
    /// unused bytes already. No memory is held while nothing has arrived.
    ///
    /// # Errors
    /// When the connection is broken, and from then on.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        if let Some(broken) = self.broken {
            return Poll::Ready(Err(broken.into()));
        }
        if self.buffer.is_empty() && !self.is_eof {
            let Poll::Ready(ready) = self.stream.poll_read_ready(cx) else {
                self.buffer.release(&self.pool);
                return Poll::Pending;
            };
            ready?;
        }
        if self.is_filling_up {
            self.buffer.grow_for_stream();
        }
        let room = self.buffer.room(&self.pool, limit);
        if room.is_empty() || self.is_eof {
            return Poll::Ready(Ok(0));
        }
        let mut read = ReadBuf::new(room);
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut read);
        let (count, is_full) = (read.filled().len(), read.remaining() == 0);
        match result {
            Poll::Ready(Ok(())) => {
                self.is_eof = count == 0;
                self.is_filling_up = is_full && count >= BUFFER_SIZE;
                self.is_bulk = is_full && count >= STREAM_BUFFER_SIZE;
                self.buffer.fill(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => {
                self.broken = Some(error.kind());
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                self.buffer.release(&self.pool);
                Poll::Pending
            }
        }
    }

    /// An empty pipe for what comes next, where that is likely to be more than a buffer holds.
    pub fn lend_pipe(&mut self) -> Option<Pipe> {
        if !self.is_bulk || !self.buffer.is_empty() {
            return None;
        }
        let pipe = self.pool.pipes.lend()?;
        self.buffer.release(&self.pool);
        Some(pipe)
    }

    /// Reads once, into an empty pipe, or into the buffer where there is something that does not
    /// go into pipes; `Ok(0)` is the end of what the peer sends.
    ///
    /// # Errors
    /// `Unsupported` when the system cannot do this, and else when the connection is broken.
    pub fn poll_fill_pipe(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_read_ready(cx))?;
        self.is_filling_up = false;
        match pipe.take_in(&self.stream) {
            Ok(count) => {
                self.is_eof = count == 0;
                self.is_bulk = count >= splice::LEAST;
                Poll::Ready(Ok(count))
            }
            // There is nothing, or urgent data, which the kernel never splices.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.poll_fill(cx, STREAM_BUFFER_SIZE)
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Writes once what a pipe holds.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn poll_empty_pipe(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_io(Interest::WRITABLE, || pipe.give_out(&self.stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Gives the read buffer's memory back while there is nothing in it.
    pub fn release(&mut self) {
        self.buffer.release(&self.pool);
    }

    /// Closes at once and tells the peer by a reset, as one passes on a reset of the other side.
    pub fn reset(self) {
        self.set_to_reset();
    }

    /// Reads urgent data as part of all the rest, of which one byte would be lost otherwise.
    pub fn keep_urgent(&self) {
        SockRef::from(&self.stream).set_out_of_band_inline(true).ok();
    }

    /// Lets the peer be told by a reset when the wire is dropped.
    pub fn set_to_reset(&self) {
        self.stream.set_zero_linger().ok();
    }

    /// Whether the connection has been reset since this was last asked, and nobody was told by
    /// reading or writing.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        !matches!(self.stream.take_error(), Ok(None))
    }

    /// The socket alone; what was read and not yet used is given up.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Writes once.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.ahead > 0 {
            let count = self.ahead.min(bytes.len());
            self.ahead -= count;
            return Poll::Ready(Ok(count));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Writes several pieces at once.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces.iter().find(|piece| !piece.is_empty()) {
            Some(first) if self.ahead > 0 => self.poll_write(cx, first),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, pieces),
        }
    }

    /// Says to the peer that nothing more will come.
    pub fn shut_down(&mut self, cx: &mut Context<'_>) {
        // The peer may be gone already, which is the same to us.
        let _ended = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
