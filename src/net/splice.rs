//! Pipes by which bytes go from one socket to another without coming to us.
//!
//! The kernel moves them into the pipe and out of it by reference, so that what costs most in
//! passing bulk on, copying it twice, is saved. A pipe is lent only while there is something in it;
//! the few that a worker keeps are empty. Where there is none to be had, one copies as before.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// The least that is worth a pipe, in bytes: moving less at a time costs as much as copying it.
pub(super) const LEAST: usize = 32 * 1024;
/// The size of a pipe, in bytes, and the most that goes into it. It is a number of pages really, of
/// which the shortest segment takes up one: of a network with packets of 1500 bytes a pipe holds but
/// a third of this, and a smaller one would be dearer than copying.
const PIPE_SIZE: usize = 512 * 1024;
/// The most pipes that a worker lends at a time. Each takes two descriptors, and its pages count
/// among those that the kernel lets a user have in pipes, by default 16384.
const MAX_LENT: usize = 32;
/// How many requests for a pipe are answered by none after one could not be made.
const ABSTINENCE: usize = 1_024;
/// The most empty pipes that a worker keeps for the next who asks.
const MAX_SPARE: usize = 8;

/// The pipes of one worker.
#[derive(Debug, Default)]
pub struct PipePool {
    spare: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
    /// How many requests are still to be answered by none.
    abstinence: Cell<usize>,
    /// The system does not splice sockets, or not for us.
    is_unavailable: Cell<bool>,
}

/// A pipe, lent for as long as this lives.
#[derive(Debug)]
pub struct Pipe {
    /// Gone only while dropping.
    ends: Option<Ends>,
    held: usize,
    pool: Rc<PipePool>,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl PipePool {
    /// An empty pipe, if one can be had.
    #[must_use]
    pub fn lend(self: &Rc<Self>) -> Option<Pipe> {
        if self.is_unavailable.get() || self.lent.get() >= MAX_LENT {
            return None;
        }
        let spare = self.spare.borrow_mut().pop();
        let ends = spare.or_else(|| self.make())?;
        self.lent.set(self.lent.get() + 1);
        Some(Pipe { ends: Some(ends), held: 0, pool: Rc::clone(self) })
    }

    /// A new pipe, unless there were too many, of them or of descriptors, not long ago.
    fn make(&self) -> Option<Ends> {
        if let Some(rest) = self.abstinence.get().checked_sub(1) {
            self.abstinence.set(rest);
            return None;
        }
        let made = Ends::new();
        if made.is_err() {
            self.abstinence.set(ABSTINENCE);
        }
        made.ok()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.lent.get(), self.spare.borrow().len())
    }
}

impl Ends {
    fn new() -> rustix::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write, PIPE_SIZE)?;
        Ok(Self { read, write })
    }
}

impl Pipe {
    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes in what `from` has, while the pipe is empty; `Ok(0)` is the end of `from`.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing yet, `Unsupported` when the system does not do this, and
    /// else when `from` is broken.
    pub(super) fn take_in(&mut self, from: &impl AsFd) -> io::Result<usize> {
        let Some(ends) = self.ends.as_ref().filter(|_| self.held == 0) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        match splice(from, None, &ends.write, None, PIPE_SIZE, FLAGS) {
            Ok(count) => {
                self.held = count;
                Ok(count)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {
                self.pool.is_unavailable.set(true);
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives `to` what it takes of that which is held.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing at the moment, and else when `to` is broken.
    pub(super) fn give_out(&mut self, to: &impl AsFd) -> io::Result<usize> {
        let Some(ends) = &self.ends else { return Err(io::ErrorKind::WriteZero.into()) };
        let count = splice(&ends.read, None, to, None, self.held, FLAGS)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.held = self.held.saturating_sub(count);
        Ok(count)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

impl Drop for Pipe {
    /// A pipe that still holds something goes, and what it holds with it.
    fn drop(&mut self) {
        self.pool.lent.set(self.pool.lent.get() - 1);
        let mut spare = self.pool.spare.borrow_mut();
        if let Some(ends) = self.ends.take()
            && self.held == 0
            && spare.len() < MAX_SPARE
        {
            spare.push(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};

    /// Both ends of a connection, which do not wait.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let other = listener.accept().unwrap().0;
        one.set_nonblocking(true).unwrap();
        other.set_nonblocking(true).unwrap();
        (one, other)
    }

    #[test]
    fn what_goes_in_comes_out_and_an_end_is_told_from_silence() {
        let pool = Rc::<PipePool>::default();
        let mut pipe = pool.lend().unwrap();
        let ((mut from, ours), (to, mut reader)) = (pair(), pair());
        let silence = pipe.take_in(&ours).unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
        from.write_all(b"bytes").unwrap();
        assert_eq!(pipe.take_in(&ours).unwrap(), 5);
        assert!(!pipe.is_empty());
        assert!(pipe.take_in(&ours).is_err(), "one fills only what is empty");
        assert_eq!(pipe.give_out(&to).unwrap(), 5);
        assert!(pipe.is_empty());
        let mut read = [0; 5];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"bytes");
        from.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pipe.take_in(&ours).unwrap(), 0);
        assert!(pipe.is_empty());
    }

    #[test]
    fn a_pipe_that_holds_something_is_not_lent_again() {
        let pool = Rc::<PipePool>::default();
        let (mut from, ours) = pair();
        from.write_all(b"bytes").unwrap();
        let mut pipe = pool.lend().unwrap();
        pipe.take_in(&ours).unwrap();
        assert_eq!(pool.count(), (1, 0));
        drop(pipe);
        assert_eq!(pool.count(), (0, 0));
        drop(pool.lend().unwrap());
        assert_eq!(pool.count(), (0, 1));
    }

    #[test]
    fn no_more_are_lent_than_there_may_be_and_few_are_kept() {
        let pool = Rc::<PipePool>::default();
        let lent: Vec<_> = (0..MAX_LENT).map(|_| pool.lend().unwrap()).collect();
        assert!(pool.lend().is_none());
        drop(lent);
        assert_eq!(pool.count(), (0, MAX_SPARE));
        assert!(pool.lend().is_some());
    }

    #[test]
    fn where_the_system_does_not_splice_nothing_more_is_lent() {
        let pool = Rc::<PipePool>::default();
        let mut pipe = pool.lend().unwrap();
        // Not even Linux moves what a pipe holds into the same pipe.
        let itself = pipe.ends.as_ref().unwrap().read.try_clone().unwrap();
        let refused = pipe.take_in(&itself).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        drop(pipe);
        assert!(pool.lend().is_none());
    }
}
