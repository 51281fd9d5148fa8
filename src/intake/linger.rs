//! Connections that end so that the last answer arrives.
//!
//! Who still sends while a connection is closed gets a reset, which may overtake the answer that
//! says why. So what comes after the answer is thrown away for a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a sender that goes on is listened to.
const LINGER: Duration = Duration::from_secs(2);

/// A connection that hears the other side out before it is closed.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    /// Runs once our side is shut.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    /// The connection, which is open.
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, patience: None }
    }

    /// Throws away what comes until the other side shuts too.
    fn poll_heard_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut place = [0; 4096];
        loop {
            let mut unwanted = ReadBuf::new(&mut place);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut unwanted));
            if read.is_err() || unwanted.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.patience.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let patience = this.patience.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if patience.as_mut().poll(cx).is_pending() {
            ready!(this.poll_heard_out(cx));
        }
        Poll::Ready(Ok(()))
    }
}
