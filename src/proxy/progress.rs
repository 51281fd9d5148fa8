//! What a request, or a connection, that goes on and on has told of itself, and what it has to tell
//! next.

use std::time::Duration;

use crate::proxy::meter::Meter;
use crate::trace::semconv::Key;
use crate::trace::span::Attributes;

/// How far the telling is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How many parts have been told.
    parts: u64,
    /// Where the next one begins, in nanoseconds since the Unix epoch.
    since: u64,
    request: Mark,
    response: Mark,
}

/// What a meter showed at the end of the last part.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    bytes: u64,
    messages: Option<u64>,
}

/// A stretch of time in the life of a request, and what passed in it.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its start, in nanoseconds since the Unix epoch.
    pub start: u64,
    number: u64,
    request: Mark,
    response: Mark,
}

impl Progress {
    /// Nothing has been told of what begins at `start`.
    #[must_use]
    pub fn since(start: u64) -> Self {
        Self { parts: 0, since: start, request: Mark::default(), response: Mark::default() }
    }

    /// Whether anything has been told.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.parts > 0
    }

    /// The next part, if the last one ended at least `interval` before `now`.
    pub fn next(
        &mut self,
        now: u64,
        interval: Duration,
        request: &Meter,
        response: &Meter,
    ) -> Option<Part> {
        let elapsed = Duration::from_nanos(now.saturating_sub(self.since));
        if elapsed < interval {
            return None;
        }
        self.parts += 1;
        Some(Part {
            start: std::mem::replace(&mut self.since, now),
            number: self.parts,
            request: self.request.advance(request),
            response: self.response.advance(response),
        })
    }
}

impl Mark {
    /// Moves on to what the meter shows now, and gives what passed since.
    fn advance(&mut self, meter: &Meter) -> Self {
        let now = Self { bytes: meter.bytes, messages: meter.count() };
        let before = std::mem::replace(self, now);
        let messages = now.messages.map(|n| n.saturating_sub(before.messages.unwrap_or_default()));
        // A meter begins anew where a connection leaves HTTP.
        Self { bytes: now.bytes.checked_sub(before.bytes).unwrap_or(now.bytes), messages }
    }
}

impl Part {
    /// Adds what passed.
    pub fn describe(&self, attributes: &mut Attributes) {
        attributes.count(Key::ProgressNumber, self.number);
        attributes.count(Key::ProgressRequestSize, self.request.bytes);
        attributes.count(Key::ProgressResponseSize, self.response.bytes);
        if let Some(messages) = self.request.messages {
            attributes.count(Key::ProgressRequestMessages, messages);
        }
        if let Some(messages) = self.response.messages {
            attributes.count(Key::ProgressResponseMessages, messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::messages::Packing;

    const SECOND: u64 = 1_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn parts_follow_each_other_without_a_gap_and_never_too_soon() {
        let mut progress = Progress::since(7 * SECOND);
        let (request, response) = (Meter::default(), Meter::default());
        let mut next = |now: u64| progress.next(now * SECOND, MINUTE, &request, &response);
        assert!(next(66).is_none());
        assert_eq!(next(70).map(|part| (part.start, part.number)), Some((7 * SECOND, 1)));
        assert!(next(129).is_none());
        assert_eq!(next(130).map(|part| (part.start, part.number)), Some((70 * SECOND, 2)));
    }

    #[test]
    fn a_part_tells_what_passed_in_its_own_time() {
        let mut progress = Progress::since(0);
        let mut request = Meter::of(Some(Packing::EventStream));
        let response = Meter::default();
        request.pass(b"data: 1\n\n");
        let first = progress.next(60 * SECOND, MINUTE, &request, &response).unwrap();
        assert_eq!((first.request.bytes, first.request.messages), (9, Some(1)));
        assert_eq!((first.response.bytes, first.response.messages), (0, None));
        request.pass(b"data: 2\n\ndata: 3\n\n");
        let second = progress.next(120 * SECOND, MINUTE, &request, &response).unwrap();
        assert_eq!((second.request.bytes, second.request.messages), (18, Some(2)));
    }

    #[test]
    fn a_meter_that_began_anew_is_not_counted_below_nothing() {
        let mut progress = Progress::since(0);
        let mut request = Meter::default();
        request.pass(&[0; 100]);
        progress.next(60 * SECOND, MINUTE, &request, &Meter::default()).unwrap();
        let mut tunnel = Meter::of(Some(Packing::WebSocket));
        tunnel.pass(&[0x81, 0]);
        let part = progress.next(120 * SECOND, MINUTE, &tunnel, &Meter::default()).unwrap();
        assert_eq!((part.request.bytes, part.request.messages), (2, Some(1)));
    }
}
