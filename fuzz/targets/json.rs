//! What goes on as OTLP in JSON: sound JSON in one line, which reads as the protobuf it is made of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;
use spandrel::export::{Parcel, Signal, fuzzing};

/// The most that one byte of protobuf becomes: a field of a byte or none, with the longest name.
const MOST_PER_BYTE: usize = 32;

fn written(signal: Signal, message: &[u8]) -> Option<String> {
    let message = message.to_vec().into();
    let line = fuzzing::json(&Parcel { signal, items: 1, has_error: false, message })?;
    Some(String::from_utf8(line).expect("JSON is text"))
}

/// What is written is read as the request that it was made of.
fn is_the_same<M: Message + Default + DeserializeOwned>(signal: Signal, bytes: &[u8]) {
    let Ok(request) = M::decode(bytes) else { return };
    let Some(line) = written(signal, &request.encode_to_vec()) else { return };
    // What the reader does not take, it is not asked about: a value of no kind, and numbers that are
    // none, with which it passes over the whole of what they are in.
    if ["NaN", "Infinity"].iter().any(|none| line.contains(none)) {
        return;
    }
    let Ok(read) = serde_json::from_str::<M>(&line) else { return };
    assert_eq!(written(signal, &read.encode_to_vec()), Some(line));
}

fuzz_target!(|input: &[u8]| {
    let Some((lead, message)) = spandrel_fuzz::led(input) else { return };
    let signal = Signal::ALL[lead % Signal::ALL.len()];
    if let Some(line) = written(signal, message) {
        assert!(line.bytes().all(|byte| byte >= b' '), "it is one line");
        assert!(line.len() <= MOST_PER_BYTE * (1 + message.len()), "it is bounded");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON");
    }
    match signal {
        Signal::Traces => is_the_same::<ExportTraceServiceRequest>(signal, message),
        Signal::Metrics => is_the_same::<ExportMetricsServiceRequest>(signal, message),
        Signal::Logs => is_the_same::<ExportLogsServiceRequest>(signal, message),
    }
});
