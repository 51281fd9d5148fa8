//! Read buffers that are borrowed while there is something to read and given back when idle.

use std::cell::RefCell;
use std::rc::Rc;

use super::splice::PipePool;

/// The size of a buffer, in bytes, until a message needs more.
pub const BUFFER_SIZE: usize = 16 * 1024;
/// The size that a buffer grows to, in bytes, where a stream keeps filling it.
pub const STREAM_BUFFER_SIZE: usize = 64 * 1024;
/// The most buffers that a worker keeps for the next reader.
const MAX_POOLED: usize = 64;

/// What a worker lends to its connections: spare buffers, and pipes.
#[derive(Debug, Default)]
pub struct BufferPool {
    spare: RefCell<Vec<Vec<u8>>>,
    pub(super) pipes: Rc<PipePool>,
}

impl BufferPool {
    fn take(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_SIZE])
    }

    /// How many buffers there are to spare.
    #[cfg(test)]
    pub(crate) fn buffers(&self) -> usize {
        self.spare.borrow().len()
    }

    /// How many pipes are lent, and how many there are to spare.
    #[cfg(test)]
    pub(crate) fn pipes(&self) -> (usize, usize) {
        self.pipes.count()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if buffer.len() == BUFFER_SIZE && spare.len() < MAX_POOLED {
            spare.push(buffer);
        }
    }
}

/// Bytes that were read and not yet used, in the front part of a block of memory.
#[derive(Debug, Default)]
pub struct Buffer {
    block: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes that were read and not yet used.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `count` bytes as used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// The memory that the next read may fill: never empty unless `limit` unused bytes are held.
    pub(super) fn room(&mut self, pool: &BufferPool, limit: usize) -> &mut [u8] {
        if self.block.is_empty() {
            self.block = pool.take();
        }
        if self.end == self.block.len() {
            self.make_room(limit);
        }
        let until = self.block.len().min(self.start + limit.max(BUFFER_SIZE));
        self.block.get_mut(self.end..until).unwrap_or_default()
    }

    /// Marks `count` bytes of the room as filled.
    pub(super) fn fill(&mut self, count: usize) {
        self.end = (self.end + count).min(self.block.len());
    }

    /// Gives the memory back when there is nothing in it.
    pub fn release(&mut self, pool: &BufferPool) {
        if self.is_empty() && !self.block.is_empty() {
            pool.give_back(std::mem::take(&mut self.block));
        }
    }

    /// Moves what is unused to the front, or takes a larger block where there is no front.
    fn make_room(&mut self, limit: usize) {
        if self.start > 0 {
            self.block.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.block.len() < limit {
            let length = (self.block.len() * 2).min(limit.max(BUFFER_SIZE));
            self.block.resize(length, 0);
        }
    }

    /// Makes the block as large as a stream deserves; only while nothing is held.
    pub(super) fn grow_for_stream(&mut self) {
        if self.is_empty() && self.block.len() < STREAM_BUFFER_SIZE {
            self.block.resize(STREAM_BUFFER_SIZE, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut Buffer, pool: &BufferPool, limit: usize) -> usize {
        let room = buffer.room(pool, limit).len();
        buffer.fill(room);
        room
    }

    #[test]
    fn a_buffer_grows_to_its_limit_and_no_further() {
        let (pool, mut buffer) = (BufferPool::default(), Buffer::default());
        while read(&mut buffer, &pool, 40_000) > 0 {}
        assert_eq!(buffer.filled().len(), 40_000);
        buffer.consume(10);
        assert_eq!(read(&mut buffer, &pool, 40_000), 10);
    }

    #[test]
    fn an_empty_buffer_goes_back_to_the_pool_and_a_full_one_does_not() {
        let (pool, mut buffer) = (BufferPool::default(), Buffer::default());
        buffer.room(&pool, BUFFER_SIZE)[0] = b'x';
        buffer.fill(1);
        buffer.release(&pool);
        assert_eq!(buffer.filled(), b"x");
        buffer.consume(1);
        buffer.release(&pool);
        assert_eq!((buffer.block.len(), pool.spare.borrow().len()), (0, 1));
    }
}
