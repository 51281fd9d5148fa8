//! Which traces somebody asks for.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use memchr::memmem::Finder;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use percent_encoding::percent_decode_str;
use prost::Message as _;

use super::store::{Store, Stored, Trace};
use crate::analysis::graph;
use crate::analysis::summary::Summary;

/// The traces in one answer unless more or fewer are asked for.
const DEFAULT_LIMIT: usize = 200;
/// The most traces in one answer.
pub(super) const MAX_LIMIT: usize = 2_000;
/// The most attributes that one question names.
const MAX_ATTRIBUTES: usize = 8;

/// What the traces have in common that are asked for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    service: Option<String>,
    route: Option<String>,
    name: Option<String>,
    tenant: Option<String>,
    is_error: Option<bool>,
    /// Bounds of the duration, in nanoseconds.
    shortest: Option<u64>,
    longest: Option<u64>,
    attributes: Vec<Attribute>,
    /// The first digits of the id.
    id: Option<String>,
    /// The services that a call goes from and to.
    edge: Option<(String, String)>,
    /// Bounds of the start, in nanoseconds since the Unix epoch.
    since: Option<u64>,
    until: Option<u64>,
    limit: Option<usize>,
}

/// An attribute that some span, or its resource, has.
#[derive(Debug)]
struct Attribute {
    key: String,
    value: Option<String>,
    /// What the bytes of a span that has it hold.
    traces: Vec<Finder<'static>>,
}

impl Filter {
    /// The filter that the query of a URL asks for.
    ///
    /// # Errors
    /// With a sentence on the parameter that is unknown or cannot be read.
    pub(super) fn from_query(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in parameters(query) {
            if !value.is_empty() {
                filter.set(&name, value)?;
            }
        }
        Ok(filter)
    }

    /// The filter that the query of Jaeger's API asks for.
    ///
    /// # Errors
    /// With a sentence on the parameter that cannot be read.
    pub(super) fn from_jaeger_query(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in parameters(query) {
            let wrong = || format!("{name} is not as in Jaeger's API: `{value}`");
            match name.as_str() {
                _ if value.is_empty() => {}
                "query.service_name" | "query.serviceName" => filter.service = Some(value),
                "query.operation_name" | "query.operationName" => filter.name = Some(value),
                "query.start_time_min" | "query.startTimeMin" => {
                    filter.since = Some(moment(&value).ok_or_else(wrong)?);
                }
                "query.start_time_max" | "query.startTimeMax" => {
                    filter.until = Some(moment(&value).ok_or_else(wrong)?);
                }
                "query.duration_min" | "query.durationMin" => {
                    filter.shortest = Some(duration(&value).ok_or_else(wrong)?);
                }
                "query.duration_max" | "query.durationMax" => {
                    filter.longest = Some(duration(&value).ok_or_else(wrong)?);
                }
                "query.num_traces" | "query.numTraces" | "query.search_depth"
                | "query.searchDepth" => filter.limit = Some(limit(&value).ok_or_else(wrong)?),
                // Jaeger's API ignores what it does not know, and so do its clients.
                _ => {}
            }
        }
        Ok(filter)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let wrong = |expected: &str| format!("{name}: expected {expected}, found `{value}`");
        match name {
            "service" => self.service = Some(value),
            "route" => self.route = Some(value),
            "tenant" => self.tenant = Some(value),
            "status" => match value.as_str() {
                "error" => self.is_error = Some(true),
                "ok" => self.is_error = Some(false),
                _ => return Err(wrong("`error` or `ok`")),
            },
            "min" => {
                let least = duration(&value);
                self.shortest = Some(least.ok_or_else(|| wrong("a time such as `100ms`"))?);
            }
            "attribute" if self.attributes.len() == MAX_ATTRIBUTES => {
                return Err(format!("attribute: at most {MAX_ATTRIBUTES} at a time"));
            }
            "attribute" => self.attributes.push(Attribute::new(&value)),
            "trace" if value.bytes().all(|b| b.is_ascii_hexdigit()) && value.len() <= 32 => {
                self.id = Some(value.to_ascii_lowercase());
            }
            "trace" => return Err(wrong("the first of the id's 32 hexadecimal digits")),
            "edge" => {
                let (from, to) = value.split_once('>').ok_or_else(|| wrong("`caller>callee`"))?;
                self.edge = Some((from.to_owned(), to.to_owned()));
            }
            "since" => {
                let since = value.parse::<u64>().ok().and_then(|us| us.checked_mul(1_000));
                self.since = Some(since.ok_or_else(|| wrong("microseconds since 1970"))?);
            }
            "limit" => {
                let most = limit(&value);
                self.limit =
                    Some(most.ok_or_else(|| wrong(&format!("a number from 1 to {MAX_LIMIT}")))?);
            }
            _ => return Err(format!("`{name}` is no filter of traces")),
        }
        Ok(())
    }

    /// The traces that match, newest first.
    pub(super) fn matches<'s>(&self, store: &'s mut Store) -> Vec<(Arc<Summary>, &'s Trace)> {
        let graph = self.edge.is_some().then(|| graph(store));
        let mut found: Vec<_> = store
            .summaries()
            .filter(|(summary, trace)| {
                self.fits(summary) && self.has_spans(trace) && self.has_call(trace, graph.as_ref())
            })
            .collect();
        found.sort_by_key(|(summary, _)| Reverse((summary.start, summary.id)));
        found
    }

    /// How many traces an answer holds.
    #[must_use]
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Whether the trace is one of those, as far as its summary tells.
    fn fits(&self, summary: &Summary) -> bool {
        let has = |service: &String| summary.services.iter().any(|(name, _)| **name == **service);
        let starts = |id: &String| summary.id.to_string().starts_with(id.as_str());
        self.service.as_ref().is_none_or(has)
            && self.is_error.is_none_or(|is_error| is_error == (summary.errors > 0))
            && self.shortest.is_none_or(|least| summary.duration >= least)
            && self.longest.is_none_or(|most| summary.duration <= most)
            && self.since.is_none_or(|since| summary.start >= since)
            && self.until.is_none_or(|until| summary.start <= until)
            && self.id.as_ref().is_none_or(starts)
    }

    /// Whether its spans have what is asked for: each a span of its own, if need be.
    fn has_spans(&self, trace: &Trace) -> bool {
        let any = |is_it: &dyn Fn(&Stored) -> bool| trace.spans().any(is_it);
        let is = |text: &Option<Arc<str>>, wanted: &String| text.as_deref() == Some(wanted);
        self.route.as_ref().is_none_or(|route| any(&|span| is(&span.facts.route, route)))
            && self.name.as_ref().is_none_or(|name| any(&|span| *span.facts.name == **name))
            && self.tenant.as_ref().is_none_or(|tenant| any(&|span| is(&span.facts.tenant, tenant)))
            && self.attributes.iter().all(|wanted| any(&|span| wanted.is_had_by(span)))
    }

    fn has_call(&self, trace: &Trace, graph: Option<&graph::Builder>) -> bool {
        let (Some((from, to)), Some(graph)) = (&self.edge, graph) else { return true };
        graph.ends(&trace.facts()).iter().any(|(f, t)| **f == **from && **t == **to)
    }
}

/// Who answers at which address, by all that is kept.
fn graph(store: &Store) -> graph::Builder {
    let mut graph = graph::Builder::default();
    store.traces().for_each(|trace| graph.add(&trace.facts()));
    graph
}

impl Attribute {
    /// The attribute that `key=value` or `key` names.
    fn new(text: &str) -> Self {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), Some(value.trim().to_owned())),
            None => (text.trim().to_owned(), None),
        };
        let traces = match &value {
            None => vec![key.as_bytes().to_vec()],
            Some(value) => encodings(&key, value),
        };
        let traces = traces.iter().map(|bytes| Finder::new(bytes).into_owned()).collect();
        Self { key, value, traces }
    }

    /// Bytes are compared before anything is decoded: most spans do not have it.
    fn is_had_by(&self, span: &Stored) -> bool {
        let is_in = |bytes: &[u8]| self.traces.iter().any(|t| t.find(bytes).is_some());
        is_in(&span.encoded) && self.is_among(&span.decode().attributes)
            || is_in(span.source.encoded_resource()) && self.is_among(&span.source.resource())
    }

    fn is_among(&self, attributes: &[KeyValue]) -> bool {
        attributes.iter().filter(|a| a.key == self.key).any(|attribute| {
            let held = attribute.value.as_ref().and_then(|v| v.value.as_ref());
            self.value.as_ref().is_none_or(|wanted| held.is_some_and(|held| is_equal(held, wanted)))
        })
    }
}

/// An attribute of each type that is written like this value, as it is encoded.
fn encodings(key: &str, value: &str) -> Vec<Vec<u8>> {
    let readings = [
        Some(any_value::Value::StringValue(value.to_owned())),
        value.parse().ok().map(any_value::Value::IntValue),
        value.parse().ok().map(any_value::Value::DoubleValue),
        value.parse().ok().map(any_value::Value::BoolValue),
    ];
    let encoded = readings.into_iter().flatten().map(|reading| {
        let value = Some(AnyValue { value: Some(reading) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }.encode_to_vec()
    });
    encoded.collect()
}

fn is_equal(held: &any_value::Value, wanted: &str) -> bool {
    match held {
        any_value::Value::StringValue(text) => text == wanted,
        any_value::Value::IntValue(number) => wanted.parse() == Ok(*number),
        any_value::Value::DoubleValue(number) => wanted.parse() == Ok(*number),
        any_value::Value::BoolValue(is_so) => wanted.parse() == Ok(*is_so),
        _ => false,
    }
}

/// The parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| {
        percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().trim().to_owned()
    };
    query.split('&').filter(|part| !part.is_empty()).map(move |part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    })
}

fn limit(text: &str) -> Option<usize> {
    text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
}

/// The nanoseconds that a time such as `100ms` or `1.5s` has; a bare number is of milliseconds.
fn duration(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("", 1e6)];
    let (number, scale) =
        UNITS.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    let nanoseconds = number.trim().parse::<f64>().ok()? * scale;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    (0.0..1e18).contains(&nanoseconds).then_some(nanoseconds as u64)
}

/// The nanoseconds since the Unix epoch of a moment in RFC 3339.
fn moment(text: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1 as proto;

    use super::super::testing::{int, keep, span, text};
    use super::*;

    /// Five traces, the last an error and slow, of two tenants.
    fn store() -> Store {
        let mut store = Store::new(1 << 20);
        for trace in 0..5 {
            let tenant = if trace % 2 == 0 { "acme" } else { "globex" };
            let mut root = span(trace, 1);
            root.attributes = vec![
                text("spandrel.tenant.id", tenant),
                text("http.route", "/users/{id}"),
                int("user.id", i64::from(trace)),
                text("path", "/a b"),
            ];
            keep(&mut store, "gateway", &root);
            let mut called = span(trace, 2);
            if trace == 4 {
                called.status = Some(proto::Status { code: 2, ..proto::Status::default() });
                called.end_time_unix_nano += 500_000_000;
            }
            keep(&mut store, "user", &called);
        }
        store
    }

    /// The numbers of the traces that a query finds, in the order of the answer.
    fn found(query: &str) -> Vec<u128> {
        let filter = Filter::from_query(query).unwrap();
        numbers(&filter)
    }

    fn numbers(filter: &Filter) -> Vec<u128> {
        let mut store = store();
        let found = filter.matches(&mut store);
        found.iter().map(|(s, _)| u128::from_be_bytes(s.id.to_bytes()) - 1).collect()
    }

    #[test]
    fn everything_is_found_newest_first() {
        assert_eq!(found(""), [4, 3, 2, 1, 0]);
        assert_eq!(found("service=&status="), [4, 3, 2, 1, 0], "an empty filter is none");
    }

    #[test]
    fn each_filter_finds_its_traces() {
        for (query, expected) in [
            ("tenant=acme", vec![4, 2, 0]),
            ("tenant=acme&status=ok", vec![2, 0]),
            ("status=error", vec![4]),
            ("min=100ms", vec![4]),
            ("min=10", vec![4, 3, 2, 1, 0]),
            ("min=0.6s", vec![]),
            ("service=user", vec![4, 3, 2, 1, 0]),
            ("service=nobody", vec![]),
            ("route=%2Fusers%2F%7Bid%7D&tenant=globex", vec![3, 1]),
            ("attribute=user.id%3D3", vec![3]),
            ("attribute=user.id=3&attribute=path=/a+b", vec![3]),
            ("attribute=user.id", vec![4, 3, 2, 1, 0]),
            ("attribute=user.id=33", vec![]),
            ("attribute=service.name=user", vec![4, 3, 2, 1, 0]),
            ("trace=00000000000000000000000000000002", vec![1]),
            ("since=1700000003000000", vec![4, 3]),
            ("edge=gateway>user", vec![4, 3, 2, 1, 0]),
            ("edge=user>gateway", vec![]),
        ] {
            assert_eq!(found(query), expected, "{query}");
        }
    }

    #[test]
    fn a_value_of_another_attribute_does_not_count() {
        assert_eq!(found("attribute=id=3"), [0; 0]);
        assert_eq!(found("attribute=user.id=acme"), [0; 0]);
    }

    #[test]
    fn what_is_no_filter_is_said() {
        for (query, word) in [
            ("colour=red", "colour"),
            ("status=bad", "status"),
            ("min=soon", "min"),
            ("trace=xyz", "trace"),
            ("edge=a", "edge"),
            ("limit=0", "limit"),
            ("limit=2001", "limit"),
            ("since=yesterday", "since"),
        ] {
            let error = Filter::from_query(query).unwrap_err();
            assert!(error.contains(word), "{query}: {error}");
        }
    }

    #[test]
    fn jaegers_words_mean_the_same() {
        let jaeger = |query: &str| numbers(&Filter::from_jaeger_query(query).unwrap());
        assert_eq!(jaeger("query.service_name=user&query.duration_min=100ms"), [4]);
        assert_eq!(jaeger("query.start_time_min=2023-11-14T22:13:23Z"), [4, 3]);
        assert_eq!(jaeger("query.start_time_max=2023-11-14T22:13:21.5Z&more=1"), [1, 0]);
        assert!(Filter::from_jaeger_query("query.start_time_min=now").is_err());
    }
}
