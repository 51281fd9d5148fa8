//! The traces that are kept: the newest, within a bound of bytes.
//!
//! Spans come late, twice, and in any order; a trace is what has come of it so far. Of each span
//! its facts are kept as they are, for lists, graphs and sums, and the rest as encoded bytes, for
//! whoever looks at it. When the bytes are used up, the traces that have been silent for longest
//! make room. What the bytes are is estimated from above: the bound is one of memory, not of
//! payload.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message as _;

use crate::analysis::otlp::{self, Origin, Share};
use crate::analysis::summary::Summary;
use crate::analysis::{Facts, Kind};
use crate::trace::{SpanId, TraceId};

/// The most spans of one trace that are kept.
pub(super) const MAX_TRACE_SPANS: usize = 10_000;
/// What an allocation takes beyond what was asked for, in bytes.
const ALLOCATION: usize = 24;
/// The room of a map or a list over what is in it, at worst: they grow by doubling.
const SLACK: usize = 2;
/// The pointers that a list has room for at least.
const LEAST_ROOM: usize = 4;
/// Shared texts are swept when there are this many more than after the last time.
const SWEEP_STEP: usize = 4_096;
/// They are also swept this often while as many bytes as the limit are replaced.
const SWEEPS: usize = 8;
/// What a span adds to the summary of its trace, at most.
const SUMMARY_BYTES: usize = 2 * size_of::<(Arc<str>, usize)>();

/// The kept traces.
#[derive(Debug)]
pub(super) struct Store {
    limit: usize,
    traces: HashMap<TraceId, Trace>,
    /// The traces by when something last came of them, the oldest on top, one entry each. An entry
    /// may be out of date, which is found out when it is on top.
    by_age: BinaryHeap<Reverse<(u64, TraceId)>>,
    spans_bytes: usize,
    texts: Texts,
    sources: Sources,
    version: u64,
    counts: Counts,
    /// Bytes of spans that were let go since the shared texts were last swept.
    unswept: usize,
}

/// What came and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Spans that came, those that came twice included.
    pub received: u64,
    /// Spans without ids, or that could not be read, or of a trace that is too long.
    pub refused: u64,
    /// Spans that had come before.
    pub repeated: u64,
    /// Spans that are here.
    pub spans: u64,
    /// Spans of the traces that made room for others.
    pub evicted: u64,
    /// Traces that made room for others.
    pub evicted_traces: u64,
}

/// What has come of a trace.
#[derive(Debug)]
pub(super) struct Trace {
    /// Its spans, in order: two sides of a call may share an id.
    #[expect(clippy::vec_box, reason = "to insert moves pointers, and room for more is small")]
    spans: Vec<Box<Stored>>,
    /// The number of the arrival that brought its newest span.
    arrival: u64,
    /// Spans that came when it was full.
    pub not_kept: u64,
    bytes: usize,
    summary: Option<Arc<Summary>>,
}

/// A kept span.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its place in the trace.
    pub facts: Facts,
    /// Who sent it.
    pub source: Arc<Source>,
    /// The span as OTLP encodes it, in the canonical form.
    pub encoded: Box<[u8]>,
}

/// Who sent spans: a process, and what in it.
#[derive(Debug)]
pub(super) struct Source {
    origin: Origin,
    /// The attributes of the resource, encoded.
    resource: Box<[u8]>,
    /// The name of the scope.
    pub scope: Box<str>,
}

impl Store {
    /// A store that takes up at most `limit` bytes.
    #[must_use]
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            traces: HashMap::new(),
            by_age: BinaryHeap::new(),
            spans_bytes: 0,
            texts: Texts::default(),
            sources: Sources::default(),
            version: 0,
            counts: Counts::default(),
            unswept: 0,
        }
    }

    /// The source with this resource and scope, of which spans will follow.
    pub(super) fn source(&mut self, resource: &[KeyValue], scope: &str) -> Arc<Source> {
        let source = self.sources.share(resource, scope, &mut self.texts);
        // Sources that nothing follows are forgotten before any trace is.
        if self.bytes().0 > self.limit {
            self.sweep();
            self.make_room();
        }
        source
    }

    /// Keeps a span, unless it cannot be told whose it is, or there is one like it already.
    /// Returns whether it was one.
    pub(super) fn keep(&mut self, source: &Arc<Source>, span: &proto::Span) -> bool {
        self.counts.received += 1;
        let Some(facts) = otlp::facts(span, &source.origin, &mut self.texts) else {
            self.counts.refused += 1;
            return false;
        };
        self.version += 1;
        let (id, arrival) = (facts.trace_id, self.version);
        let trace = self.traces.entry(id).or_insert_with(|| {
            self.by_age.push(Reverse((arrival, id)));
            self.spans_bytes += TRACE_BYTES;
            Trace::new()
        });
        trace.arrival = arrival;
        let source = Arc::clone(source);
        let stored = Stored { facts, source, encoded: span.encode_to_vec().into_boxed_slice() };
        match trace.add(stored) {
            Added::New(bytes) => {
                self.spans_bytes += bytes;
                self.counts.spans += 1;
            }
            Added::Known => self.counts.repeated += 1,
            Added::TooMany => self.counts.refused += 1,
        }
        self.make_room();
        true
    }

    /// Counts a span that could not even be read.
    pub(super) fn refuse(&mut self) {
        self.counts.received += 1;
        self.counts.refused += 1;
    }

    /// The trace with this id.
    #[must_use]
    pub(super) fn trace(&self, id: TraceId) -> Option<&Trace> {
        self.traces.get(&id)
    }

    /// Every trace, in no order.
    pub(super) fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.traces.values()
    }

    /// The traces with their summaries, in no order; summaries are made where there is none yet.
    pub(super) fn summaries(&mut self) -> impl Iterator<Item = (Arc<Summary>, &Trace)> {
        self.traces.values_mut().filter_map(|trace| Some((trace.summary()?, &*trace)))
    }

    /// Changes whenever what is kept does.
    #[must_use]
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// What came and what became of it.
    #[must_use]
    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many traces are kept.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// The bytes that are used, and the most that may be.
    #[must_use]
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.spans_bytes + self.texts.bytes + self.sources.bytes, self.limit)
    }

    /// Lets go of what was silent for longest until the rest fits.
    fn make_room(&mut self) {
        if self.texts.is_due() {
            self.sweep();
        }
        while self.bytes().0 > self.limit {
            let Some(Reverse((arrival, id))) = self.by_age.pop() else { return self.sweep() };
            let newest = self.traces.get(&id).map_or(arrival, |trace| trace.arrival);
            if newest > arrival {
                self.by_age.push(Reverse((newest, id)));
                continue;
            }
            if let Some(trace) = self.traces.remove(&id) {
                self.spans_bytes -= trace.bytes + TRACE_BYTES;
                self.unswept += trace.bytes;
                let spans = trace.spans.len() as u64;
                self.counts.spans -= spans;
                self.counts.evicted += spans;
                self.counts.evicted_traces += 1;
            }
            if self.unswept > self.limit / SWEEPS {
                self.sweep();
            }
        }
    }

    /// Forgets the texts and sources that only evicted spans had.
    fn sweep(&mut self) {
        self.unswept = 0;
        self.sources.sweep();
        self.texts.sweep();
    }
}

/// What a trace takes up beside its spans.
const TRACE_BYTES: usize = SLACK * (size_of::<(TraceId, Trace)>() + 8)
    + size_of::<Summary>()
    + SLACK * size_of::<(u64, TraceId)>()
    + LEAST_ROOM * size_of::<Box<Stored>>()
    + 3 * ALLOCATION;

/// What became of a span.
enum Added {
    New(usize),
    Known,
    TooMany,
}

impl Trace {
    const fn new() -> Self {
        Self { spans: Vec::new(), arrival: 0, not_kept: 0, bytes: 0, summary: None }
    }

    fn add(&mut self, stored: Stored) -> Added {
        let Err(place) = self.spans.binary_search_by_key(&stored.key(), |known| known.key()) else {
            return Added::Known;
        };
        if self.spans.len() >= MAX_TRACE_SPANS {
            self.not_kept += 1;
            return Added::TooMany;
        }
        let bytes = stored.bytes();
        self.spans.insert(place, Box::new(stored));
        self.bytes += bytes;
        self.summary = None;
        Added::New(bytes)
    }

    /// Its spans, in the order of their ids.
    pub(super) fn spans(&self) -> impl Iterator<Item = &Stored> {
        self.spans.iter().map(|stored| &**stored)
    }

    /// The facts of its spans, in the order of their ids.
    #[must_use]
    pub(super) fn facts(&self) -> Vec<&Facts> {
        self.spans.iter().map(|stored| &stored.facts).collect()
    }

    /// What a list says of it.
    fn summary(&mut self) -> Option<Arc<Summary>> {
        if self.summary.is_none() {
            self.summary = Summary::of(&self.facts(), self.not_kept).map(Arc::new);
        }
        self.summary.clone()
    }
}

impl Stored {
    const fn key(&self) -> (SpanId, Kind) {
        (self.facts.span_id, self.facts.kind)
    }

    /// What it takes up.
    const fn bytes(&self) -> usize {
        size_of::<Self>()
            + SLACK * size_of::<Box<Self>>()
            + self.encoded.len()
            + 2 * ALLOCATION
            + SUMMARY_BYTES
    }

    /// The span as it came.
    #[must_use]
    pub(super) fn decode(&self) -> proto::Span {
        proto::Span::decode(&*self.encoded).unwrap_or_default()
    }
}

impl Source {
    /// The attributes of the resource.
    #[must_use]
    pub(super) fn resource(&self) -> Vec<KeyValue> {
        Resource::decode(&*self.resource).unwrap_or_default().attributes
    }

    /// The attributes of the resource, encoded in the canonical form.
    #[must_use]
    pub(super) fn encoded_resource(&self) -> &[u8] {
        &self.resource
    }

    fn bytes(&self) -> usize {
        SLACK * size_of::<Arc<Self>>()
            + size_of::<Self>()
            + 2 * (self.resource.len() + self.scope.len())
            + 5 * ALLOCATION
    }
}

/// Names that many spans share.
#[derive(Debug, Default)]
struct Texts {
    all: HashSet<Arc<str>>,
    bytes: usize,
    after_sweep: usize,
}

impl Texts {
    fn cost(text: &str) -> usize {
        text.len() + 16 + ALLOCATION + SLACK * (size_of::<Arc<str>>() + 1)
    }

    fn is_due(&self) -> bool {
        self.all.len() > 2 * self.after_sweep + SWEEP_STEP
    }

    /// Forgets what no span has any more.
    fn sweep(&mut self) {
        self.all.retain(|text| Arc::strong_count(text) > 1);
        self.bytes = self.all.iter().map(|text| Self::cost(text)).sum();
        self.after_sweep = self.all.len();
    }
}

impl Share for Texts {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.all.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.bytes += Self::cost(text);
        self.all.insert(Arc::clone(&new));
        new
    }
}

/// The encoded resource and the scope.
type SourceKey = (Box<[u8]>, Box<str>);

/// Who sent the spans that are kept, by the encoded resource and the scope.
#[derive(Debug, Default)]
struct Sources {
    all: HashMap<SourceKey, Arc<Source>>,
    bytes: usize,
}

impl Sources {
    fn share(&mut self, attributes: &[KeyValue], scope: &str, texts: &mut Texts) -> Arc<Source> {
        let resource = Resource { attributes: attributes.to_vec(), ..Resource::default() };
        let key = (resource.encode_to_vec().into_boxed_slice(), Box::<str>::from(scope));
        if let Some(known) = self.all.get(&key) {
            return Arc::clone(known);
        }
        let source = Arc::new(Source {
            origin: otlp::origin(attributes, texts),
            resource: key.0.clone(),
            scope: key.1.clone(),
        });
        self.bytes += source.bytes();
        self.all.insert(key, Arc::clone(&source));
        source
    }

    fn sweep(&mut self) {
        self.all.retain(|_, source| Arc::strong_count(source) > 1);
        self.bytes = self.all.values().map(|source| source.bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{keep, span, text};
    use super::*;

    const MIB: usize = 1 << 20;

    fn id(trace: u32) -> TraceId {
        otlp::trace_id(&span(trace, 1).trace_id).unwrap()
    }

    #[test]
    fn spans_come_in_any_order_and_make_one_trace() {
        let mut store = Store::new(MIB);
        for number in [3, 1, 2] {
            assert!(keep(&mut store, "orders", &span(0, number)));
        }
        assert_eq!(store.trace(id(0)).unwrap().spans().count(), 3);
        assert!(store.summaries().all(|(summary, _)| summary.is_complete && summary.spans == 3));
    }

    #[test]
    fn a_span_that_comes_late_changes_the_summary() {
        let mut store = Store::new(MIB);
        keep(&mut store, "orders", &span(0, 2));
        assert!(store.summaries().all(|(summary, _)| !summary.is_complete));
        keep(&mut store, "gateway", &span(0, 1));
        let (summary, _) = store.summaries().next().unwrap();
        assert_eq!((&*summary.service, summary.is_complete), ("gateway", true));
    }

    #[test]
    fn a_span_that_comes_twice_is_kept_once() {
        let mut store = Store::new(MIB);
        keep(&mut store, "orders", &span(0, 1));
        let bytes = store.bytes();
        keep(&mut store, "orders", &span(0, 1));
        let counts = store.counts();
        assert_eq!((counts.received, counts.repeated, counts.spans), (2, 1, 1));
        assert_eq!(store.bytes(), bytes);
    }

    #[test]
    fn the_two_sides_of_a_call_may_share_an_id() {
        let mut store = Store::new(MIB);
        keep(&mut store, "orders", &span(0, 1));
        let client = proto::span::SpanKind::Client.into();
        keep(&mut store, "gateway", &proto::Span { kind: client, ..span(0, 1) });
        assert_eq!(store.counts().spans, 2);
    }

    #[test]
    fn a_span_without_ids_is_refused() {
        let mut store = Store::new(MIB);
        for broken in [
            proto::Span { trace_id: vec![0; 16], ..span(0, 1) },
            proto::Span { span_id: vec![1; 7], ..span(0, 1) },
            proto::Span::default(),
        ] {
            assert!(!keep(&mut store, "orders", &broken));
        }
        let counts = store.counts();
        assert_eq!((counts.received, counts.refused, counts.spans, store.len()), (3, 3, 0, 0));
    }

    #[test]
    fn the_traces_that_were_silent_for_longest_make_room() {
        let mut store = Store::new(MIB);
        let mut trace = 0;
        while store.counts().evicted_traces < 10 {
            trace += 1;
            keep(&mut store, "orders", &span(trace, 1));
            // The first goes on.
            keep(&mut store, "orders", &span(0, u64::from(trace)));
            let (bytes, limit) = store.bytes();
            assert!(bytes <= limit, "{bytes}");
        }
        assert!(store.trace(id(0)).is_some() && store.trace(id(trace)).is_some());
        assert!(store.trace(id(1)).is_none());
        assert_eq!(store.len() as u64 + store.counts().evicted_traces, u64::from(trace) + 1);
    }

    #[test]
    fn a_trace_that_has_just_begun_does_not_make_room_for_older_ones() {
        let mut store = Store::new(MIB);
        let mut trace = 0;
        while store.counts().evicted_traces < 10 {
            trace += 1;
            for number in 1..=3 {
                keep(&mut store, "orders", &span(trace, number));
                assert!(store.trace(id(trace)).is_some_and(|t| t.spans.len() as u64 == number));
            }
        }
    }

    #[test]
    fn a_trace_without_end_does_not_push_out_the_others() {
        let mut store = Store::new(64 * MIB);
        keep(&mut store, "orders", &span(1, 1));
        for number in 1..=MAX_TRACE_SPANS as u64 + 5 {
            keep(&mut store, "orders", &span(0, number));
        }
        let trace = store.trace(id(0)).unwrap();
        assert_eq!((trace.spans().count(), trace.not_kept), (MAX_TRACE_SPANS, 5));
        assert!(store.trace(id(1)).is_some());
    }

    #[test]
    fn what_only_evicted_spans_had_is_forgotten() {
        let mut store = Store::new(MIB);
        for trace in 0..20_000 {
            let named = proto::Span { name: format!("GET /{trace}"), ..span(trace, 1) };
            let source = store.source(&[text("service.name", &format!("s{trace}"))], "");
            store.keep(&source, &named);
        }
        let (texts, sources) = (store.texts.all.len(), store.sources.all.len());
        assert!(texts < 3 * store.len() + SWEEP_STEP, "{texts} texts of {} traces", store.len());
        assert!(sources < 2 * store.len() + SWEEP_STEP, "{sources} sources");
    }

    #[test]
    fn sources_of_which_nothing_follows_push_nothing_out() {
        let mut store = Store::new(MIB);
        keep(&mut store, "orders", &span(0, 1));
        for number in 0..2_000 {
            store.source(&[text("long", &format!("{number:01000}"))], "");
            let (bytes, limit) = store.bytes();
            assert!(bytes <= limit, "{bytes} after {number}");
        }
        assert_eq!((store.len(), store.counts().evicted), (1, 0));
    }

    #[test]
    fn a_span_larger_than_the_bound_leaves_nothing_behind() {
        let mut store = Store::new(MIB);
        keep(&mut store, "orders", &proto::Span { name: "x".repeat(MIB), ..span(0, 1) });
        assert_eq!((store.len(), store.counts().spans), (0, 0));
        assert!(keep(&mut store, "orders", &span(1, 1)));
        assert_eq!(store.len(), 1);
    }

    proptest! {
        #[test]
        fn the_bytes_are_the_sum_of_what_is_kept(
            spans in prop::collection::vec((0..40_u32, 1..9_u64, 0..2_000_usize), 0..300),
        ) {
            let mut store = Store::new(100 * 1024);
            for (trace, number, length) in spans {
                let long = text("long", &"x".repeat(length));
                keep(&mut store, "orders", &proto::Span {
                    attributes: vec![long],
                    ..span(trace, number)
                });
                let held: usize = store.traces.values().map(|t| t.bytes + TRACE_BYTES).sum();
                prop_assert_eq!(held, store.spans_bytes);
                prop_assert!(store.bytes().0 <= store.limit);
                let spans: usize = store.traces().map(|t| t.spans().count()).sum();
                let counts = store.counts();
                prop_assert_eq!(spans as u64, counts.spans);
                let accounted = counts.spans + counts.refused + counts.repeated + counts.evicted;
                prop_assert_eq!(accounted, counts.received);
            }
        }

        #[test]
        fn no_trace_makes_room_for_one_that_was_silent_for_longer(
            spans in prop::collection::vec((0..60_u32, 1..4_u64), 0..600),
        ) {
            let mut store = Store::new(20 * 1024);
            let mut last = std::collections::BTreeMap::new();
            for (at, (trace, number)) in spans.into_iter().enumerate() {
                keep(&mut store, "orders", &span(trace, number));
                last.insert(trace, at);
                let is_kept = |trace: &u32| store.trace(id(*trace)).is_some();
                let (kept, gone): (Vec<_>, Vec<_>) = last.iter().partition(|(t, _)| is_kept(t));
                let oldest = kept.iter().map(|(_, at)| **at).min();
                let latest = gone.iter().map(|(_, at)| **at).max();
                prop_assert!(latest < oldest, "{:?} is gone, {:?} is kept", latest, oldest);
            }
        }
    }
}
