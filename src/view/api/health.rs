//! The books: the backend's own, and those that the sidecars tell of.

use serde::Serialize;

use crate::analysis::report::micros;
use crate::view::sidecars::{Identity, Sidecar};
use crate::view::{Backend, State};

/// All books.
#[derive(Debug, Serialize)]
pub(super) struct Books {
    view: Own,
    sidecars: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Own {
    spans_received: u64,
    spans_kept: u64,
    spans_refused: u64,
    spans_repeated: u64,
    spans_evicted: u64,
    traces_kept: usize,
    traces_evicted: u64,
    bytes: usize,
    limit_bytes: usize,
    requests_refused: u64,
    uptime_us: f64,
}

#[derive(Debug, Serialize)]
struct Line {
    service: String,
    instance: String,
    seen_us_ago: f64,
    created: u64,
    exported: u64,
    queued: u64,
    dropped: Vec<Dropped>,
    balance: i64,
    requests: u64,
    faults: u64,
    logs: Vec<Log>,
}

#[derive(Debug, Serialize)]
struct Dropped {
    reason: String,
    spans: u64,
}

#[derive(Debug, Serialize)]
struct Log {
    time_us: f64,
    level: String,
    text: String,
}

/// The books as they are now.
pub(super) fn books(state: &State, backend: &Backend) -> Books {
    let (counts, (bytes, limit_bytes)) = (state.store.counts(), state.store.bytes());
    let now = backend.now();
    let view = Own {
        spans_received: counts.received,
        spans_kept: counts.spans,
        spans_refused: counts.refused,
        spans_repeated: counts.repeated,
        spans_evicted: counts.evicted,
        traces_kept: state.store.len(),
        traces_evicted: counts.evicted_traces,
        bytes,
        limit_bytes,
        requests_refused: state.refused_requests,
        uptime_us: micros(now.saturating_sub(backend.started)),
    };
    let sidecars = state.sidecars.iter().map(|(id, sidecar)| line(id, sidecar, now)).collect();
    Books { view, sidecars }
}

fn line((service, instance): &Identity, sidecar: &Sidecar, now: u64) -> Line {
    let [created, exported, queued] =
        ["spans_created", "spans_exported", "spans_queued"].map(|metric| sidecar.sum(metric));
    let dropped = sidecar.by_labels("spans_dropped").filter(|(_, spans)| *spans > 0);
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let [spooled, recovered] = ["spans_spooled", "spans_recovered"].map(|m| sidecar.sum(m));
    // Each destination owes every span.
    let destinations = u64::try_from(sidecar.by_labels("spans_queued").count()).unwrap_or(u64::MAX);
    let owed = created.saturating_mul(destinations.max(1)) + recovered;
    let accounted = exported + queued + spooled + sidecar.sum("spans_dropped");
    Line {
        service: service.clone(),
        instance: instance.clone(),
        seen_us_ago: micros(now.saturating_sub(sidecar.seen)),
        created,
        exported,
        queued,
        dropped: dropped
            .map(|(labels, spans)| Dropped { reason: reason(labels).to_owned(), spans })
            .collect(),
        balance: whole(owed).saturating_sub(whole(accounted)),
        requests: sidecar.sum("requests"),
        faults: sidecar.sum("fault"),
        logs: sidecar
            .lines
            .iter()
            .map(|line| Log {
                time_us: micros(line.time),
                level: line.level.clone(),
                text: line.text.clone(),
            })
            .collect(),
    }
}

/// The reason among the labels of a number.
fn reason(labels: &str) -> &str {
    labels.split(',').find_map(|label| label.strip_prefix("reason=")).unwrap_or(labels)
}
