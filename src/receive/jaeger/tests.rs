//! Datagrams as real clients made them, and as no client should.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;

use super::*;

/// What jaeger-client-go 2.30.0 sent: five spans of one trace.
const GO: &[u8] = include_bytes!("packets/jaeger-client-go-2.30.0.bin");
/// What jaeger-client 3.19.0 for Node sent: the same five spans.
const NODE: &[u8] = include_bytes!("packets/jaeger-client-node-3.19.0.bin");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(attributes: &[KeyValue]) -> String {
    let one = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().unwrap().value.as_ref().unwrap();
        let value = match value {
            Value::StringValue(text) => format!("'{text}'"),
            Value::BoolValue(value) => value.to_string(),
            Value::IntValue(value) => value.to_string(),
            Value::DoubleValue(value) => format!("{value:?}"),
            Value::BytesValue(bytes) => format!("x{}", hex(bytes)),
            other => panic!("Jaeger has no {other:?}"),
        };
        format!("{}={value}", attribute.key)
    };
    attributes.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A span in words, its times apart.
fn words(span: &Span) -> String {
    let Span { name, span_id, parent_span_id, kind, flags, attributes, .. } = span;
    let status = span.status.as_ref().map_or(0, |status| status.code);
    let (id, parent, attributes) = (hex(span_id), hex(parent_span_id), told(attributes));
    let events = span.events.iter().map(|e| format!(" !{} {}", e.name, told(&e.attributes)));
    let links = span
        .links
        .iter()
        .map(|l| format!(" ->{}:{} {}", hex(&l.trace_id), hex(&l.span_id), told(&l.attributes)));
    let more: String = events.chain(links).collect();
    format!("{name} {id}<{parent} {kind}/{status}/{flags} {attributes}{more}")
}

#[test]
fn what_the_client_for_go_sent_is_read_whole() {
    let batch = batch(Protocol::Compact, GO).unwrap();
    assert_eq!(
        told(&batch.attributes),
        "region='north' jaeger.version='Go-2.30.0' hostname='vm' ip='192.0.2.2' \
         client-uuid='75b452b0a71c657d' service.name='shop'"
    );
    let spans: Vec<String> = batch.spans.iter().map(words).collect();
    let trace = "097df494ab9716fd0c61de4e3da66d54";
    assert!(batch.spans.iter().all(|span| hex(&span.trace_id) == trace));
    assert_eq!(
        spans,
        [
            "price 0c8ca322891472c0<0c61de4e3da66d54 0/2/1  \
             !cache.miss key='cart:7' tries=2 !no price "
                .to_owned(),
            "send 6b71de05f09693de<0c61de4e3da66d54 4/0/1 ".to_owned(),
            format!(
                "take 6a9d3d8ac556f39c<6b71de05f09693de 5/0/1  \
                 ->{trace}:6b71de05f09693de opentracing.ref_type='follows_from'"
            ),
            "batch 635eb8f5ee142f33<0c61de4e3da66d54 0/0/1  \
             ->00000000000000010000000000000abc:0000000000000def \
             opentracing.ref_type='follows_from'"
                .to_owned(),
            "GET /cart 0c61de4e3da66d54< 2/0/1 sampler.type='const' sampler.param=true \
             text='grüße ☃' yes=true whole=-7 real=0.25 bytes=x00ff"
                .to_owned(),
        ]
    );
    let [.., server] = batch.spans.as_slice() else { panic!("there are spans") };
    let (start, end) = (server.start_time_unix_nano, server.end_time_unix_nano);
    assert_eq!((start, end - start), (1_795_443_648_680_721_000, 36_000));
}

#[test]
fn what_the_client_for_node_sent_is_read_whole() {
    let batch = batch(Protocol::Binary, NODE).unwrap();
    assert_eq!(
        told(&batch.attributes),
        "region='north' jaeger.version='Node-3.19.0' hostname='vm' ip='192.0.2.2' \
         client-uuid='24fcff75-c4f0-4c84-b0cf-a9d3e83712ac' service.name='shop'"
    );
    let spans: Vec<String> = batch.spans.iter().map(words).collect();
    let trace = "8ce04d7c0d823c8f00727d06b77bc59c";
    assert!(batch.spans.iter().all(|span| hex(&span.trace_id) == trace));
    // Every number of JavaScript is a real one.
    assert_eq!(
        spans,
        [
            "price b18e287fff973552<00727d06b77bc59c 0/2/1  \
             !cache.miss key='cart:7' tries=2.0 !no price "
                .to_owned(),
            "send 2fb1823e61714f0e<00727d06b77bc59c 4/0/1 ".to_owned(),
            format!(
                "take 3fe5548177fe4667<2fb1823e61714f0e 5/0/1  \
                 ->{trace}:2fb1823e61714f0e opentracing.ref_type='follows_from'"
            ),
            "batch 72de692ed8588a4b<00727d06b77bc59c 0/0/1  \
             ->00000000000000010000000000000abc:0000000000000def \
             opentracing.ref_type='follows_from'"
                .to_owned(),
            "GET /cart 00727d06b77bc59c< 2/0/1 sampler.type='const' sampler.param=true \
             text='grüße ☃' yes=true whole=-7.0 real=0.25 bytes=x00ff"
                .to_owned(),
        ]
    );
}

#[test]
fn no_beginning_of_a_datagram_is_a_datagram() {
    for (protocol, whole) in [(Protocol::Compact, GO), (Protocol::Binary, NODE)] {
        for length in 0..whole.len() {
            let cut = &whole[..length];
            assert!(batch(protocol, cut).is_err(), "{protocol:?}, {length} bytes");
        }
    }
}

#[test]
fn a_datagram_of_the_other_protocol_is_malformed() {
    assert!(batch(Protocol::Binary, GO).is_err());
    assert!(batch(Protocol::Compact, NODE).is_err());
}

#[test]
fn other_calls_are_malformed() {
    let zipkin = [&[0x82, 0x21, 1, 15][..], b"emitZipkinBatch", &[0]].concat();
    let expected = Malformed("it calls another method than emitBatch");
    assert_eq!(batch(Protocol::Compact, &zipkin).unwrap_err(), expected);
    let nothing = [&[0x82, 0x21, 1, 9][..], b"emitBatch", &[0]].concat();
    assert!(batch(Protocol::Compact, &nothing).is_err());
}

/// A datagram of one span with these fields, in the compact protocol.
fn one_span(fields: &[u8]) -> Vec<u8> {
    let call = [&[0x82, 0x21, 1, 9][..], b"emitBatch"].concat();
    // The batch: a process named `a`, and a list of one span.
    let before = [0x1c, 0x1c, 0x18, 1, b'a', 0, 0x19, 0x1c];
    [&call, &before[..], fields, &[0, 0, 0]].concat()
}

/// The fields 1 to 4 of a span: trace 1, span 2, and a parent.
fn ids(parent: u8) -> Vec<u8> {
    vec![0x16, 2, 0x16, 0, 0x16, 4, 0x16, parent * 2]
}

fn only_span(fields: &[u8]) -> Span {
    let mut batch = batch(Protocol::Compact, &one_span(fields)).unwrap();
    assert_eq!(batch.spans.len(), 1);
    batch.spans.remove(0)
}

#[test]
fn a_span_without_ids_is_refused_alone() {
    for fields in [&[][..], &[0x16, 2], &[0x36, 4], &[0x16, 0, 0x16, 0, 0x16, 4]] {
        let batch = batch(Protocol::Compact, &one_span(fields)).unwrap();
        assert_eq!((batch.spans.len(), batch.refused), (0, 1), "{fields:?}");
    }
    assert_eq!(words(&only_span(&ids(0))), " 0000000000000002< 0/0/0 ");
}

#[test]
fn the_parent_is_named_or_referred_to_and_is_no_link() {
    // Field 6: references of the kind CHILD_OF to span 3 and to span 5 of the trace.
    let reference = |span: u8| vec![0x15, 0, 0x16, 2, 0x16, 0, 0x16, span * 2, 0];
    let references = [vec![0x29, 0x2c], reference(3), reference(5)].concat();
    let link = |span| format!(" ->{:032x}:{span:016x} opentracing.ref_type='child_of'", 1);
    for (parent, expected, other) in [(0, 3, 5), (5, 5, 3)] {
        let span = only_span(&[ids(parent), references.clone()].concat());
        let words = words(&span);
        assert_eq!(words, format!(" {:016x}<{expected:016x} 0/0/0 {}", 2, link(other)));
    }
}

#[test]
fn tags_that_otlp_has_places_for_are_put_there() {
    let text = |key: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        let key = [&[0x18, length(key)], key.as_bytes(), &[0x15, 0]].concat();
        [&key, &[0x18, length(value)][..], value.as_bytes(), &[0]].concat()
    };
    let told = |tags: &[Vec<u8>]| {
        let head = u8::try_from(tags.len() << 4 | 0x0c).unwrap();
        let span = only_span(&[ids(0), vec![0x69, head], tags.concat()].concat());
        let message = span.status.clone().unwrap_or_default().message;
        format!("{}|{message}", words(&span).trim_start())
    };
    let id = "0000000000000002<";
    assert_eq!(told(&[text("span.kind", "client")]), format!("{id} 3/0/0 |"));
    assert_eq!(told(&[text("span.kind", "odd")]), format!("{id} 0/0/0 span.kind='odd'|"));
    assert_eq!(told(&[text("error", "true")]), format!("{id} 0/2/0 |"));
    assert_eq!(told(&[text("error", "no")]), format!("{id} 0/0/0 error='no'|"));
    let stated = [text("otel.status_code", "OK"), text("otel.status_description", "fine")];
    assert_eq!(told(&stated), format!("{id} 0/1/0 |fine"));
    let twice = [text("a", "1"), text("b", "2"), text("a", "3")];
    assert_eq!(told(&twice), format!("{id} 0/0/0 a='3' b='2'|"));
}

#[test]
fn times_that_make_no_sense_are_nothing_and_none_overflows() {
    // Fields 8 and 9, start and duration: -1 each, then the largest there is.
    let least = only_span(&[&ids(0)[..], &[0x46, 1, 0x16, 1]].concat());
    assert_eq!((least.start_time_unix_nano, least.end_time_unix_nano), (0, 0));
    let largest = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let fields = [&ids(0)[..], &[0x46], &largest, &[0x16], &largest].concat();
    let most = only_span(&fields);
    assert_eq!((most.start_time_unix_nano, most.end_time_unix_nano), (u64::MAX, u64::MAX));
}

#[test]
fn texts_that_are_no_utf8_are_mended() {
    let span = only_span(&[&ids(0)[..], &[0x18, 2, b'a', 0xff]].concat());
    assert_eq!(span.name, "a\u{fffd}");
}

#[test]
fn fields_that_nobody_knows_are_passed_over() {
    // Field 100, a list of two numbers.
    let span = only_span(&[&ids(0)[..], &[0x09, 0xc8, 1, 0x25, 2, 4]].concat());
    assert_eq!(words(&span), " 0000000000000002< 0/0/0 ");
}

proptest! {
    #[test]
    fn bytes_of_strangers_are_read_or_refused(bytes: Vec<u8>) {
        for protocol in [Protocol::Compact, Protocol::Binary] {
            batch(protocol, &bytes).ok();
        }
    }

    #[test]
    fn a_broken_datagram_is_read_or_refused(at in 0usize..2_400, byte: u8) {
        for (protocol, whole) in [(Protocol::Compact, GO), (Protocol::Binary, NODE)] {
            let mut broken = whole.to_vec();
            if let Some(place) = broken.get_mut(at) {
                *place = byte;
            }
            batch(protocol, &broken).ok();
        }
    }
}
