//! The service graph: who calls whom, how often, how well, and where it is drawn.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Refusal, bad, share};
use crate::analysis::graph::{Builder, Graph};
use crate::analysis::report::micros;
use crate::view::layout::{HEIGHT, Point, WIDTH, layout};
use crate::view::search::Filter;
use crate::view::store::Store;

/// A graph and its drawing.
#[derive(Debug, Serialize)]
pub(super) struct Drawing {
    window_us: f64,
    width: f64,
    height: f64,
    services: Vec<Service>,
    edges: Vec<Edge>,
}

#[derive(Debug, Serialize)]
struct Service {
    name: Arc<str>,
    is_traced: bool,
    requests: u64,
    errors: u64,
    p50_us: f64,
    p99_us: f64,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Debug, Serialize)]
struct Edge {
    from: Arc<str>,
    to: Arc<str>,
    calls: u64,
    errors: u64,
    error_share: f64,
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    points: Vec<Point>,
}

/// The graph of the traces that a query asks for.
pub(super) fn graph(store: &mut Store, query: &str) -> Result<Drawing, Refusal> {
    let filter = Filter::from_query(query).map_err(bad)?;
    let mut graph = Builder::default();
    let (mut first, mut last) = (u64::MAX, 0);
    for (summary, trace) in filter.matches(store) {
        graph.add(&trace.facts());
        first = first.min(summary.start);
        last = last.max(summary.start + summary.duration);
    }
    Ok(draw(&graph.finish(), last.saturating_sub(first)))
}

/// Draws a graph of what happened within `window` nanoseconds.
fn draw(graph: &Graph, window: u64) -> Drawing {
    let numbers: HashMap<&str, usize> =
        graph.services.iter().enumerate().map(|(at, service)| (&*service.name, at)).collect();
    let number = |name: &str| numbers.get(name).copied().unwrap_or_default();
    let ends: Vec<_> = graph.edges.iter().map(|e| (number(&e.from), number(&e.to))).collect();
    let layout = layout(graph.services.len(), &ends);
    let seconds = micros(window) / 1e6;
    let services = graph.services.iter().zip(&layout.services);
    let edges = graph.edges.iter().zip(layout.edges);
    Drawing {
        window_us: micros(window),
        width: layout.size.0,
        height: layout.size.1,
        services: services
            .map(|(service, (x, y))| Service {
                name: Arc::clone(&service.name),
                is_traced: service.is_traced,
                requests: service.requests,
                errors: service.errors,
                p50_us: micros(service.p50),
                p99_us: micros(service.p99),
                x: *x,
                y: *y,
                width: WIDTH,
                height: HEIGHT,
            })
            .collect(),
        edges: edges
            .map(|(edge, points)| Edge {
                from: Arc::clone(&edge.from),
                to: Arc::clone(&edge.to),
                calls: edge.calls,
                errors: edge.errors,
                error_share: share(edge.errors, edge.calls),
                rate: per_second(edge.calls, seconds),
                p50_us: micros(edge.p50),
                p99_us: micros(edge.p99),
                points,
            })
            .collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is read to three digits")]
fn per_second(calls: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { calls as f64 / seconds } else { 0.0 }
}
