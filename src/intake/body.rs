//! Bodies while they come: within bounds of time, and of what they take up together.
//!
//! How large one body may be is for those to say who read it. Many that are each within their
//! bound, and come slowly, would fill the machine all the same.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A body that counts towards what all may take up together, and ends with [`BODY_TIMEOUT`].
pub(super) struct Bounded<B> {
    body: B,
    room: Arc<Semaphore>,
    /// A permit for each byte that has come.
    held: Option<OwnedSemaphorePermit>,
    timeout: Pin<Box<Sleep>>,
}

/// Why a body does not come to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// It took too long.
    Late,
    /// There are too many others.
    NoRoom,
    /// The sender broke off.
    Aborted(String),
}

impl<B> Bounded<B> {
    /// The body, which takes its place in `room` as it comes.
    pub(super) fn new(body: B, room: &Arc<Semaphore>) -> Self {
        let timeout = Box::pin(sleep(BODY_TIMEOUT));
        Self { body, room: Arc::clone(room), held: None, timeout }
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Broken> {
        let permits = u32::try_from(bytes).map_err(|_| Broken::NoRoom)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let permit = room.map_err(|_| Broken::NoRoom)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if this.timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::Late)));
        }
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                return Poll::Ready(Some(Err(Broken::Aborted(error.to_string()))));
            }
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(this.make_room(bytes).map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("the body took too long"),
            Self::NoRoom => f.write_str("too much is being received, send it again later"),
            Self::Aborted(error) => write!(f, "the body broke off: {error}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Broken> for Status {
    fn from(broken: Broken) -> Self {
        let text = broken.to_string();
        match broken {
            Broken::Late => Self::deadline_exceeded(text),
            Broken::NoRoom => super::grpc::later(&text),
            Broken::Aborted(_) => Self::cancelled(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http_body_util::BodyExt as _;

    use super::*;

    /// A body of these pieces, which then goes on for ever.
    struct Endless(VecDeque<&'static [u8]>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.0.pop_front();
            piece.map_or(Poll::Pending, |p| Poll::Ready(Some(Ok(Frame::data(Bytes::from(p))))))
        }
    }

    fn endless(room: &Arc<Semaphore>) -> Bounded<Endless> {
        Bounded::new(Endless([&b"abc"[..], b"de"].into()), room)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_late() {
        let room = Arc::new(Semaphore::new(5));
        let mut body = endless(&room);
        for length in [3, 2] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), length);
        }
        let begun = tokio::time::Instant::now();
        assert!(matches!(body.frame().await, Some(Err(Broken::Late))));
        assert_eq!(begun.elapsed(), BODY_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_takes_its_room_while_it_is_here() {
        let room = Arc::new(Semaphore::new(5));
        let mut first = endless(&room);
        first.frame().await.unwrap().unwrap();
        let mut second = endless(&room);
        assert!(matches!(second.frame().await, Some(Err(Broken::NoRoom))));
        drop(first);
        assert_eq!(room.available_permits(), 5);
        let mut third = endless(&room);
        third.frame().await.unwrap().unwrap();
        third.frame().await.unwrap().unwrap();
        assert_eq!(room.available_permits(), 0);
    }
}
