//! Where everything that is received comes together: it is packed, counted and handed on.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::jaeger::{self, Protocol};
use super::packing::{Forwarded, Packing};
use super::{Forward, Full, Parts};
use crate::analysis::message::{self, Malformed};
use crate::export::Parcel;
use crate::intake::{Outcome, Receiver, Refusal};
use crate::metrics::{Counter, RECEIVE_MALFORMED, RECEIVE_REFUSED, Registry};
use crate::otlp::{Encoding, Signal};
use crate::trace::resource::Resource;

/// More than any datagram holds.
const MAX_DATAGRAM: usize = 1 << 16;
/// How long hearing pauses when the system has nothing left to give.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Packs what comes and offers it.
pub(super) struct Desk {
    forward: Arc<dyn Forward>,
    known: Resource,
    books: [Books; Format::ALL.len()],
}

/// The forms in which telemetry comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    OtlpProtobuf,
    OtlpJson,
    JaegerCompact,
    JaegerBinary,
}

impl Format {
    const ALL: [Self; 4] =
        [Self::OtlpProtobuf, Self::OtlpJson, Self::JaegerCompact, Self::JaegerBinary];

    /// The value of the label.
    const fn as_str(self) -> &'static str {
        match self {
            Self::OtlpProtobuf => "otlp_protobuf",
            Self::OtlpJson => "otlp_json",
            Self::JaegerCompact => "jaeger_compact",
            Self::JaegerBinary => "jaeger_binary",
        }
    }
}

/// What is counted of one format.
#[derive(Debug)]
struct Books {
    malformed: Counter,
    refused: Counter,
}

impl Books {
    fn new(registry: &Registry, format: Format) -> Self {
        let labels = [("format", format.as_str())];
        Self {
            malformed: registry.counter(RECEIVE_MALFORMED, &labels),
            refused: registry.counter(RECEIVE_REFUSED, &labels),
        }
    }
}

impl Desk {
    /// A desk that hands on to `parts.forward`.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { forward, resource, registry, sampler: _ } = parts;
        let books = Format::ALL.map(|format| Books::new(&registry, format));
        Self { forward, known: resource, books }
    }

    /// Takes the datagrams that come to a socket, for as long as this is polled.
    pub(super) async fn hear(&self, socket: &UdpSocket, protocol: Protocol) {
        let mut place = vec![0; MAX_DATAGRAM];
        loop {
            match socket.recv(&mut place).await {
                Ok(length) => self.take_datagram(protocol, place.get(..length).unwrap_or(&place)),
                Err(error) => {
                    tracing::debug!(%error, "datagram not received");
                    sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    /// Takes a datagram of a Jaeger client. Nobody can be told what became of it: it is counted.
    pub(super) fn take_datagram(&self, protocol: Protocol, datagram: &[u8]) {
        let books = self.books(match protocol {
            Protocol::Compact => Format::JaegerCompact,
            Protocol::Binary => Format::JaegerBinary,
        });
        let Ok(batch) = jaeger::batch(protocol, datagram) else {
            books.malformed.add(1);
            return;
        };
        books.malformed.add(batch.refused);
        let (parcel, outcome) = batch.pack(&self.known);
        books.malformed.add(outcome.refused);
        // It is in the books that it was refused.
        self.offer(parcel, books).ok();
    }

    fn books(&self, format: Format) -> &Books {
        let [protobuf, json, compact, binary] = &self.books;
        match format {
            Format::OtlpProtobuf => protobuf,
            Format::OtlpJson => json,
            Format::JaegerCompact => compact,
            Format::JaegerBinary => binary,
        }
    }

    fn offer(&self, parcel: Option<Parcel>, books: &Books) -> Result<(), Full> {
        let Some(parcel) = parcel else { return Ok(()) };
        let items = parcel.items as u64;
        let offered = self.forward.offer(parcel);
        if offered.is_err() {
            books.refused.add(items);
        }
        offered
    }

    fn pack<I: Forwarded>(
        &self,
        encoding: Encoding,
        message: &[u8],
    ) -> Result<(Option<Parcel>, Outcome), Malformed> {
        let mut packing = Packing::new(&self.known);
        message::each::<I>(encoding, message, &mut packing)?;
        let (parcel, outcome) = packing.finish(I::SIGNAL);
        Ok((parcel, outcome.unless_unreadable().map_err(Malformed)?))
    }
}

impl Receiver for Desk {
    fn take(&self, signal: Signal, encoding: Encoding, message: &[u8]) -> Result<Outcome, Refusal> {
        let books = self.books(match encoding {
            Encoding::Protobuf => Format::OtlpProtobuf,
            Encoding::Json => Format::OtlpJson,
        });
        let packed = match signal {
            Signal::Traces => self.pack::<Span>(encoding, message),
            Signal::Metrics => self.pack::<Metric>(encoding, message),
            Signal::Logs => self.pack::<LogRecord>(encoding, message),
        };
        let (parcel, outcome) = packed.map_err(|Malformed(text)| {
            books.malformed.add(1);
            Refusal::Malformed(text)
        })?;
        self.offer(parcel, books).map_err(|Full| Refusal::Full)?;
        books.malformed.add(outcome.refused);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    };
    use opentelemetry_proto::tonic::resource::v1;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status};
    use prost::Message as _;

    use super::super::packing::attribute;
    use super::super::testing::{Shelf, parts};
    use super::*;

    const JAEGER: &[u8] = include_bytes!("jaeger/packets/jaeger-client-go-2.30.0.bin");

    /// A desk, where its parcels go, and its numbers.
    struct Office {
        desk: Desk,
        shelf: Arc<Shelf>,
        registry: Arc<Registry>,
    }

    impl Office {
        fn with_room_for(parcels: usize) -> Self {
            let (shelf, registry) = (Shelf::of(parcels), Arc::<Registry>::default());
            Self { desk: Desk::new(parts(&shelf, &registry)), shelf, registry }
        }

        fn take(&self, signal: Signal, message: &[u8]) -> Result<Outcome, Refusal> {
            self.desk.take(signal, Encoding::Protobuf, message)
        }

        fn spans(&self, request: &ExportTraceServiceRequest) -> ExportTraceServiceRequest {
            self.take(Signal::Traces, &request.encode_to_vec()).unwrap();
            let parcels = self.shelf.take();
            assert_eq!(parcels.len(), 1);
            ExportTraceServiceRequest::decode(parcels[0].message.clone()).unwrap()
        }

        /// What was counted, by the name of the metric less what all have, and by format.
        fn counted(&self, what: &str, format: &str) -> u64 {
            let name = format!("spandrel_receive_{what}_total");
            let is_it = |s: &&crate::metrics::Sample| {
                s.metric.name == name && s.labels == [("format", format)]
            };
            let samples = self.registry.samples();
            samples.iter().find(is_it).expect("it is registered").value
        }
    }

    fn string(key: &str, value: &str) -> KeyValue {
        attribute(key, Value::StringValue(value.to_owned()))
    }

    fn span(name: &str) -> Span {
        let (trace_id, span_id) = (vec![1; 16], vec![2; 8]);
        Span { name: name.to_owned(), trace_id, span_id, ..Span::default() }
    }

    fn request(attributes: Vec<KeyValue>, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "library".to_owned(),
            version: "1.2".to_owned(),
            attributes: vec![string("a", "b")],
            dropped_attributes_count: 3,
        };
        let resource = v1::Resource { attributes, ..v1::Resource::default() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                    schema_url: "schema/2".to_owned(),
                }],
                schema_url: "schema/1".to_owned(),
            }],
        }
    }

    fn resource_of(request: &ExportTraceServiceRequest) -> Vec<(String, String)> {
        let resource = request.resource_spans[0].resource.as_ref().unwrap();
        let text = |a: &KeyValue| match a.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.clone()),
            _ => None,
        };
        resource.attributes.iter().map(|a| (a.key.clone(), text(a).unwrap_or_default())).collect()
    }

    #[test]
    fn what_goes_on_is_what_came_and_what_is_known_beside() {
        let office = Office::with_room_for(1);
        let sent = request(vec![string("service.name", "shop")], vec![span("a"), span("b")]);
        let mut expected = sent.clone();
        let resource = expected.resource_spans[0].resource.as_mut().unwrap();
        resource.attributes.push(string("zone", "north"));
        assert_eq!(office.spans(&sent), expected);
    }

    #[test]
    fn what_the_application_says_of_itself_is_left() {
        let office = Office::with_room_for(1);
        let said = vec![string("zone", "south"), string("service.name", "shop")];
        let went = office.spans(&request(said, vec![span("a")]));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(resource_of(&went), [pair("zone", "south"), pair("service.name", "shop")]);
    }

    #[test]
    fn a_service_without_a_name_is_given_ours() {
        let office = Office::with_room_for(1);
        for name in ["", "unknown_service", "unknown_service:python"] {
            let went = office.spans(&request(vec![string("service.name", name)], vec![span("a")]));
            let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let named = [pair("service.name", "orders"), pair("zone", "north")];
            assert_eq!(resource_of(&went), named, "{name}");
        }
        let mut without = request(vec![], vec![span("a")]);
        without.resource_spans[0].resource = None;
        assert_eq!(resource_of(&office.spans(&without)).len(), 2);
    }

    #[test]
    fn both_encodings_make_the_same_parcel() {
        let office = Office::with_room_for(2);
        let sent = request(vec![], vec![span("a")]);
        let json = serde_json::to_vec(&sent).unwrap();
        office.take(Signal::Traces, &sent.encode_to_vec()).unwrap();
        office.desk.take(Signal::Traces, Encoding::Json, &json).unwrap();
        let parcels = office.shelf.take();
        assert_eq!(parcels[0], parcels[1]);
    }

    #[test]
    fn spans_are_counted_and_an_error_is_seen() {
        let office = Office::with_room_for(2);
        let status = Some(Status { code: 2, ..Status::default() });
        let failed = Span { status, ..span("b") };
        for (spans, has_error) in [(vec![span("a"), failed], true), (vec![span("a")], false)] {
            let items = spans.len();
            let sent = request(vec![], spans);
            let outcome = office.take(Signal::Traces, &sent.encode_to_vec()).unwrap();
            assert_eq!(outcome, Outcome { taken: items as u64, refused: 0 });
            let parcel = office.shelf.take().remove(0);
            let found = (parcel.signal, parcel.items, parcel.has_error);
            assert_eq!(found, (Signal::Traces, items, has_error));
        }
    }

    #[test]
    fn metrics_are_counted_by_their_points_and_logs_by_their_records() {
        let office = Office::with_room_for(2);
        let gauge = Gauge { data_points: vec![NumberDataPoint::default(); 3] };
        let metric = Metric { data: Some(Data::Gauge(gauge)), ..Metric::default() };
        let metrics = vec![metric, Metric::default()];
        let scoped = ScopeMetrics { metrics, ..ScopeMetrics::default() };
        let group = ResourceMetrics { scope_metrics: vec![scoped], ..ResourceMetrics::default() };
        let metrics = ExportMetricsServiceRequest { resource_metrics: vec![group] };
        office.take(Signal::Metrics, &metrics.encode_to_vec()).unwrap();
        let log_records = vec![LogRecord::default(); 2];
        let scoped = ScopeLogs { log_records, ..ScopeLogs::default() };
        let group = ResourceLogs { scope_logs: vec![scoped], ..ResourceLogs::default() };
        let logs = ExportLogsServiceRequest { resource_logs: vec![group] };
        office.take(Signal::Logs, &logs.encode_to_vec()).unwrap();
        let parcels = office.shelf.take();
        let counts: Vec<_> = parcels.iter().map(|p| (p.signal, p.items)).collect();
        assert_eq!(counts, [(Signal::Metrics, 3), (Signal::Logs, 2)]);
        let went = ExportMetricsServiceRequest::decode(parcels[0].message.clone()).unwrap();
        assert_eq!(
            went.resource_metrics[0].scope_metrics,
            metrics.resource_metrics[0].scope_metrics
        );
    }

    #[test]
    fn spans_with_unsound_ids_are_refused_alone() {
        let office = Office::with_room_for(1);
        let unsound = [
            Span { trace_id: vec![1; 15], ..span("a") },
            Span { span_id: vec![0; 8], ..span("a") },
            Span { span_id: vec![], ..span("a") },
            Span { parent_span_id: vec![1; 3], ..span("a") },
        ];
        let sent = request(vec![], [&unsound[..], &[span("b")]].concat());
        let outcome = office.take(Signal::Traces, &sent.encode_to_vec());
        assert_eq!(outcome, Ok(Outcome { taken: 1, refused: 4 }));
        assert_eq!(office.counted("malformed", "otlp_protobuf"), 4);
        assert_eq!(office.shelf.take()[0].items, 1);
        let nothing = request(vec![], unsound.to_vec());
        let refused = office.take(Signal::Traces, &nothing.encode_to_vec());
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{refused:?}");
    }

    #[test]
    fn a_message_of_nothing_is_taken_and_goes_nowhere() {
        let office = Office::with_room_for(0);
        for message in [vec![], request(vec![], vec![]).encode_to_vec()] {
            assert_eq!(office.take(Signal::Traces, &message), Ok(Outcome::default()));
        }
    }

    #[test]
    fn a_message_that_is_broken_is_refused_and_counted() {
        let office = Office::with_room_for(1);
        let whole = request(vec![], vec![span("a")]).encode_to_vec();
        let cut = whole.split_at(whole.len() - 3).0;
        assert!(matches!(office.take(Signal::Traces, cut), Err(Refusal::Malformed(_))));
        assert_eq!(office.counted("malformed", "otlp_protobuf"), 1);
        assert!(office.desk.take(Signal::Logs, Encoding::Json, b"{").is_err());
        assert_eq!(office.counted("malformed", "otlp_json"), 1);
        assert_eq!(office.shelf.take(), []);
    }

    #[test]
    fn what_finds_no_room_is_refused_whole_and_counted() {
        let office = Office::with_room_for(0);
        let sent = request(vec![], vec![span("a"), span("b")]).encode_to_vec();
        assert_eq!(office.take(Signal::Traces, &sent), Err(Refusal::Full));
        assert_eq!(office.counted("refused", "otlp_protobuf"), 2);
        assert_eq!(office.counted("malformed", "otlp_protobuf"), 0);
        office.desk.take_datagram(Protocol::Compact, JAEGER);
        assert_eq!(office.counted("refused", "jaeger_compact"), 5);
    }

    #[test]
    fn a_datagram_becomes_a_parcel_or_is_counted() {
        let office = Office::with_room_for(1);
        office.desk.take_datagram(Protocol::Compact, JAEGER);
        let parcel = office.shelf.take().remove(0);
        assert_eq!((parcel.signal, parcel.items, parcel.has_error), (Signal::Traces, 5, true));
        let went = ExportTraceServiceRequest::decode(parcel.message).unwrap();
        let resource = resource_of(&went);
        for (key, value) in [("service.name", "shop"), ("region", "north"), ("zone", "north")] {
            assert!(resource.contains(&(key.to_owned(), value.to_owned())), "{resource:?}");
        }
        office.desk.take_datagram(Protocol::Compact, b"no Thrift");
        office.desk.take_datagram(Protocol::Binary, JAEGER);
        let counts =
            ["compact", "binary"].map(|p| office.counted("malformed", &format!("jaeger_{p}")));
        assert_eq!(counts, [1, 1]);
        assert_eq!(office.shelf.take(), []);
    }
}
