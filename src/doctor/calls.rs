//! The calls that carried no context, by method and destination.

use std::collections::BTreeMap;

use super::Join;
use crate::trace::TraceId;

/// The most calls that one worker tells apart; the rest count together.
pub const MAX_CALLS: usize = 256;
/// The longest name of a call, in bytes; a longer one is not told apart.
const MAX_NAME: usize = 300;
/// What stands for the calls that are not told apart.
pub(super) const OTHER: &str = "other";

/// A call that carried no context while there were requests in flight.
#[derive(Clone, Copy, Debug)]
pub struct Missed<'a> {
    /// The method, one of the known ones.
    pub method: &'static str,
    /// Where it goes, as it was written.
    pub authority: &'a [u8],
    /// What became of it.
    pub join: Join,
    /// The trace that it is part of now, if it is recorded.
    pub trace_id: Option<TraceId>,
    /// The trace of the inbound request, where there was only one.
    pub candidate: Option<TraceId>,
    /// How many inbound requests were in flight.
    pub in_flight: usize,
    /// When, in nanoseconds since the Unix epoch.
    pub time: u64,
}

/// What is known of the calls of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Joined by a key all the same.
    pub joined: u64,
    /// Not joined, because several requests held what it carried or it pointed to several.
    pub ambiguous: u64,
    /// Not joined, because it carried nothing that any request brought.
    pub unjoined: u64,
    /// The trace of the last one that was not joined.
    pub trace_id: Option<TraceId>,
    /// The trace of the inbound request that was alone in flight then.
    pub candidate: Option<TraceId>,
    /// How many inbound requests were in flight then.
    pub in_flight: usize,
    /// When that was, in nanoseconds since the Unix epoch.
    pub lost_at: u64,
    /// When the last one was made, joined or not.
    pub last_seen: u64,
}

/// The calls of one worker, or of all.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_name: BTreeMap<Box<str>, Call>,
    other: Call,
    /// Room to write a name in.
    name: String,
}

impl Calls {
    pub(super) fn note(&mut self, missed: &Missed<'_>) {
        let is_named = write_name(&mut self.name, missed);
        let has_room = self.by_name.len() < MAX_CALLS;
        let call = match self.by_name.get_mut(self.name.as_str()) {
            Some(call) if is_named => call,
            _ if is_named && has_room => self.by_name.entry(self.name.as_str().into()).or_default(),
            _ => &mut self.other,
        };
        call.note(missed);
    }

    /// Adds those of another worker.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, call) in &other.by_name {
            self.by_name.entry(name.clone()).or_default().merge(call);
        }
        self.other.merge(&other.other);
    }

    /// Every call and its name, those first that most often were not joined.
    pub(super) fn into_sorted(self) -> Vec<(Box<str>, Call)> {
        let other = (self.other != Call::default()).then(|| (OTHER.into(), self.other));
        let mut all: Vec<_> = self.by_name.into_iter().chain(other).collect();
        all.sort_by_key(|(_, call)| std::cmp::Reverse((call.lost(), call.joined)));
        all
    }
}

impl Call {
    /// How many were not joined.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.ambiguous + self.unjoined
    }

    fn note(&mut self, missed: &Missed<'_>) {
        self.last_seen = missed.time;
        match missed.join {
            Join::Context | Join::Key => {
                self.joined += 1;
                return;
            }
            Join::Ambiguous | Join::Conflict => self.ambiguous += 1,
            Join::Unknown | Join::Background => self.unjoined += 1,
        }
        self.trace_id = missed.trace_id;
        self.candidate = missed.candidate;
        self.in_flight = missed.in_flight;
        self.lost_at = missed.time;
    }

    fn merge(&mut self, other: &Self) {
        if other.lost_at > self.lost_at {
            let Self { trace_id, candidate, in_flight, lost_at, .. } = *other;
            (self.trace_id, self.candidate, self.in_flight) = (trace_id, candidate, in_flight);
            self.lost_at = lost_at;
        }
        self.last_seen = self.last_seen.max(other.last_seen);
        self.joined += other.joined;
        self.ambiguous += other.ambiguous;
        self.unjoined += other.unjoined;
    }
}

/// Writes method and authority, in lower case and without credentials; `false` where that is no
/// authority that can be shown.
fn write_name(name: &mut String, missed: &Missed<'_>) -> bool {
    let host = missed.authority.rsplit(|b| *b == b'@').next().unwrap_or_default();
    let is_plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    name.clear();
    if host.is_empty() || host.len() > MAX_NAME || !host.iter().all(is_plain) {
        return false;
    }
    name.push_str(missed.method);
    name.push(' ');
    name.extend(host.iter().map(|b| char::from(b.to_ascii_lowercase())));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(authority: &[u8], join: Join) -> Missed<'_> {
        let time = 1;
        Missed {
            method: "GET",
            authority,
            join,
            trace_id: None,
            candidate: None,
            in_flight: 3,
            time,
        }
    }

    fn names(calls: Calls) -> Vec<String> {
        calls.into_sorted().into_iter().map(|(name, _)| name.into()).collect()
    }

    #[test]
    fn calls_are_named_by_method_and_host_alone() {
        let mut calls = Calls::default();
        for authority in ["Stock:80", "stock:80", "me:secret@stock:80"] {
            calls.note(&missed(authority.as_bytes(), Join::Unknown));
        }
        assert_eq!(names(calls), ["GET stock:80"]);
    }

    #[test]
    fn what_no_name_can_be_made_of_counts_as_other() {
        let mut calls = Calls::default();
        let long = "h".repeat(MAX_NAME + 1);
        for authority in ["", "a b", "<script>", "h\u{e9}", "a/b", &long] {
            calls.note(&missed(authority.as_bytes(), Join::Unknown));
        }
        let all = calls.into_sorted();
        assert_eq!((all.len(), &*all[0].0, all[0].1.unjoined), (1, OTHER, 6));
    }

    #[test]
    fn beyond_the_bound_calls_are_not_told_apart() {
        let mut calls = Calls::default();
        for n in 0..MAX_CALLS + 10 {
            calls.note(&missed(format!("h{n}").as_bytes(), Join::Unknown));
        }
        calls.note(&missed(b"h0", Join::Unknown));
        let all = calls.into_sorted();
        assert_eq!(all.len(), MAX_CALLS + 1);
        assert_eq!((&*all[0].0, all[0].1.unjoined), (OTHER, 10));
        assert_eq!((&*all[1].0, all[1].1.unjoined), ("GET h0", 2));
    }

    #[test]
    fn those_of_all_workers_are_added_up_and_the_last_is_kept() {
        let (mut one, mut two) = (Calls::default(), Calls::default());
        one.note(&Missed { time: 7, ..missed(b"h", Join::Key) });
        two.note(&Missed { in_flight: 9, time: 5, ..missed(b"h", Join::Ambiguous) });
        one.merge(&two);
        let all = one.into_sorted();
        let expected = Call {
            joined: 1,
            ambiguous: 1,
            in_flight: 9,
            lost_at: 5,
            last_seen: 7,
            ..Call::default()
        };
        assert_eq!(all, [("GET h".into(), expected)]);
        assert_eq!(expected.lost(), 1);
    }
}
