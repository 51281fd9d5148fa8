//! The header lines that tell a stranger something of our traces, our baggage and our customers.
//!
//! What leaves the trust zone goes without them, whoever wrote them and in whatever format.
//! `x-request-id` and its like are not here: they belong to the application, and services outside
//! may be asked for by them. What calls are joined by is known from [`Format`], and never leaves.

use super::known::Format;

/// Names of context and baggage beside those that [`Format`] knows, in lower case and sorted.
const NAMES: [&str; 20] = [
    "baggage",
    "correlation-context",
    "elastic-apm-traceparent",
    "grpc-tags-bin",
    "jaeger-baggage",
    "jaeger-debug-id",
    "newrelic",
    "sw8-correlation",
    "sw8-x",
    "traceparent",
    "tracestate",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-dynatrace",
    "x-honeycomb-trace",
    "x-instana-l",
    "x-instana-s",
    "x-instana-t",
];

/// How the names begin that carry one entry each.
const PREFIXES: [&str; 4] = ["ot-baggage-", "ot-tracer-", "uberctx-", "x-b3-"];

/// The longest of the names.
const LONGEST: usize = "x-datadog-sampling-priority".len();

/// Whether the header `name`, in any case, carries context or baggage in a known format.
#[must_use]
pub fn is_context(name: &[u8]) -> bool {
    Format::of_header(name).is_some()
        || PREFIXES.iter().any(|prefix| begins_with(name, prefix))
        || name.len() <= LONGEST && NAMES.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

fn begins_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_in_any_case() {
        for name in NAMES {
            assert!(is_context(name.as_bytes()), "{name}");
            assert!(is_context(name.to_ascii_uppercase().as_bytes()), "{name}");
            assert!(name.len() <= LONGEST && name.bytes().all(|b| !b.is_ascii_uppercase()));
        }
        for name in ["X-B3-TraceId", "x-b3-sampled", "Uberctx-user", "ot-tracer-spanid"] {
            assert!(is_context(name.as_bytes()), "{name}");
        }
        assert!(NAMES.is_sorted());
        // What is joined by must not leave.
        for format in Format::ALL {
            assert!(is_context(format.header().as_bytes()), "{format:?}");
        }
    }

    #[test]
    fn what_belongs_to_the_application_is_not_context() {
        for name in [
            "",
            "x-request-id",
            "x-correlation-id",
            "request-id",
            "b3x",
            "x-b3",
            "xx-b3-traceid",
            "traceparent2",
            "x-tracestate",
            "authorization",
            "x-datadog-x",
            "uberctx",
            "baggages",
        ] {
            assert!(!is_context(name.as_bytes()), "{name}");
        }
    }
}
