//! What must hold of every datagram of a Jaeger client, whatever its protocol.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use spandrel::export::Parcel;

/// What a parcel holds besides what came: the names that spandrel adds.
const ADDED: usize = 512;
/// How much longer than in Thrift a span is in OTLP, at most: one without anything but ids.
const GROWTH: usize = 16;

/// Checks what became of a datagram.
pub fn check(datagram: &[u8], read: Option<(Option<Parcel>, u64)>) {
    let Some((Some(parcel), _)) = read else { return };
    let most = ADDED + GROWTH * datagram.len();
    assert!(parcel.message.len() <= most, "{} bytes of {}", parcel.message.len(), datagram.len());
    let request = ExportTraceServiceRequest::decode(parcel.message).expect("it is OTLP");
    let groups = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
    let spans: Vec<_> = groups.flat_map(|scoped| &scoped.spans).collect();
    assert_eq!(spans.len(), parcel.items);
    let has_error = spans.iter().any(|s| s.status.as_ref().is_some_and(|status| status.code == 2));
    assert_eq!(has_error, parcel.has_error);
    let is_some = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
    for span in spans {
        assert!(is_some(&span.trace_id, 16) && is_some(&span.span_id, 8));
        assert!(span.parent_span_id.is_empty() || is_some(&span.parent_span_id, 8));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.links.iter().all(|l| is_some(&l.trace_id, 16) && is_some(&l.span_id, 8)));
    }
}
