//! What has passed in one direction of an exchange: bytes, and messages where there are several.

use crate::trace::messages::{Messages, Packing};

/// Counts what passes.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes of content, framing of the protocol not counted.
    pub bytes: u64,
    /// Boxed, because most bodies hold no messages, and exchanges are to be small.
    messages: Option<Box<Messages>>,
}

impl Meter {
    /// Nothing has passed yet of a body that is packed like this.
    #[must_use]
    pub fn of(packing: Option<Packing>) -> Self {
        Self { bytes: 0, messages: packing.map(|packing| Box::new(Messages::packed(packing))) }
    }

    /// Counts content that passes.
    pub fn pass(&mut self, content: &[u8]) {
        self.bytes += content.len() as u64;
        if let Some(messages) = &mut self.messages {
            messages.read(content);
        }
    }

    /// Counts content that passes without being seen.
    pub const fn pass_unseen(&mut self, count: usize) {
        self.bytes += count as u64;
    }

    /// The messages, where the body holds such.
    #[must_use]
    pub fn messages(&self) -> Option<&Messages> {
        self.messages.as_deref()
    }

    /// How many messages have passed, where the body holds such.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.messages().map(Messages::count)
    }
}
