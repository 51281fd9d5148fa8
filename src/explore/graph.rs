//! Who calls whom, over the newest traces, in a language that other programs draw.

use serde_json::{Value, json};

use super::client::{Client, Search};
use super::{Drawing, ExploreError, limited, screen};
use crate::analysis::Facts;
use crate::analysis::graph::{Builder, Edge, Graph, Service};
use crate::analysis::report::micros;

/// Asks for the newest traces, at most `limit`, and draws the calls in them.
///
/// # Errors
/// When the limit is out of bounds, or there is no answer.
pub(super) async fn run(
    client: &Client,
    drawing: Drawing,
    limit: usize,
    is_json: bool,
) -> Result<String, ExploreError> {
    let search = Search { service: None, min: None, limit: limited(limit)? };
    let mut graph = Builder::default();
    for trace in client.newest(&search).await? {
        graph.add(&trace.spans.iter().collect::<Vec<&Facts>>());
    }
    let graph = graph.finish();
    Ok(match drawing {
        _ if is_json => screen::json(&in_json(&graph)),
        Drawing::Mermaid => screen::harmless_lines(&graph.mermaid()),
        Drawing::Dot => screen::harmless_lines(&graph.dot()),
    })
}

/// The graph as `GET /api/graph` of `spandrel view` gives it, without where it is drawn.
fn in_json(graph: &Graph) -> Value {
    let service = |service: &Service| {
        json!({
            "name": &*service.name,
            "is_traced": service.is_traced,
            "requests": service.requests,
            "errors": service.errors,
            "p50_us": micros(service.p50),
            "p99_us": micros(service.p99),
        })
    };
    let edge = |edge: &Edge| {
        json!({
            "from": &*edge.from,
            "to": &*edge.to,
            "calls": edge.calls,
            "errors": edge.errors,
            "p50_us": micros(edge.p50),
            "p99_us": micros(edge.p99),
        })
    };
    json!({
        "services": graph.services.iter().map(service).collect::<Vec<_>>(),
        "edges": graph.edges.iter().map(edge).collect::<Vec<_>>(),
    })
}
