//! One end of a relay: a socket and what was read from it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::buffer::{BUFFER_SIZE, Buffer, BufferPool};

/// A socket with a read buffer that exists only while there is something in it.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    pool: Rc<BufferPool>,
    /// What was read and not yet used.
    pub buffer: Buffer,
    is_eof: bool,
    /// Whether the last read filled the whole buffer: more is waiting, so larger reads pay.
    is_filling_up: bool,
}

impl Wire {
    /// A wire over `stream`, whose small writes go out at once.
    #[must_use]
    pub fn new(stream: TcpStream, pool: Rc<BufferPool>) -> Self {
        // Failing to set the option costs latency, never correctness.
        stream.set_nodelay(true).ok();
        Self { stream, pool, buffer: Buffer::default(), is_eof: false, is_filling_up: false }
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
    /// When the connection is broken.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() && !self.is_eof {
            ready!(self.stream.poll_read_ready(cx))?;
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
                self.buffer.fill(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => {
                self.buffer.release(&self.pool);
                Poll::Pending
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    /// Says to the peer that nothing more will come.
    pub fn shut_down(&mut self, cx: &mut Context<'_>) {
        // The peer may be gone already, which is the same to us.
        let _ended = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
    }
}
