//! Where the services of a graph stand and how its edges run, from left to right.

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, RankDir};

/// The width of a service, in the units of the drawing.
pub(super) const WIDTH: f64 = 190.0;
/// The height of a service.
pub(super) const HEIGHT: f64 = 76.0;
/// The room for the text on an edge.
const LABEL: (f64, f64) = (110.0, 34.0);
/// The gap between services above one another.
const GAP: f64 = 40.0;
/// The margin around the drawing.
const MARGIN: f64 = 24.0;
/// The most services that are laid out with care; more stand in rows.
const MAX_SERVICES: usize = 300;
/// The most edges that are laid out with care.
const MAX_EDGES: usize = 1_500;

/// A place in the drawing.
pub(super) type Point = (f64, f64);

/// A graph in the plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    /// The size of the whole.
    pub size: (f64, f64),
    /// The centre of each service.
    pub services: Vec<Point>,
    /// The bends of each edge, its ends included; empty where it is to be drawn straight.
    pub edges: Vec<Vec<Point>>,
}

/// Lays out `services` nodes and the edges between them, given by their numbers.
pub(super) fn layout(services: usize, edges: &[(usize, usize)]) -> Layout {
    if services > MAX_SERVICES || edges.len() > MAX_EDGES {
        return rows(services, edges.len());
    }
    let mut graph =
        Graph::with_options(GraphOptions { directed: true, multigraph: true, compound: false });
    for service in 0..services {
        let label = NodeLabel { width: WIDTH, height: HEIGHT, ..NodeLabel::default() };
        graph.set_node(service.to_string(), Some(label));
    }
    for (from, to) in edges {
        let label = EdgeLabel { width: LABEL.0, height: LABEL.1, ..EdgeLabel::default() };
        graph.set_edge(from.to_string(), to.to_string(), Some(label), None);
    }
    let options = LayoutOptions {
        rankdir: RankDir::LR,
        nodesep: GAP,
        ranksep: GAP,
        edgesep: GAP / 2.0,
        marginx: MARGIN,
        marginy: MARGIN,
        ..LayoutOptions::default()
    };
    dagre::layout(&mut graph, Some(options));
    read(&graph, services, edges)
}

/// What dagre has worked out.
fn read(graph: &Graph<NodeLabel, EdgeLabel>, services: usize, edges: &[(usize, usize)]) -> Layout {
    let place = |service: usize| {
        let node = graph.node(&service.to_string())?;
        Some((node.x?, node.y?))
    };
    let services: Vec<Point> = (0..services).map(|s| place(s).unwrap_or_default()).collect();
    let edges: Vec<Vec<Point>> = edges
        .iter()
        .map(|(from, to)| {
            let edge = graph.edge(&from.to_string(), &to.to_string(), None);
            edge.map(|e| e.points.iter().map(|p| (p.x, p.y)).collect()).unwrap_or_default()
        })
        .collect();
    let corners = services.iter().map(|(x, y)| (x + WIDTH / 2.0, y + HEIGHT / 2.0));
    let size = corners
        .chain(edges.iter().flatten().copied())
        .fold((0.0, 0.0), |(w, h): Point, (x, y)| (w.max(x), h.max(y)));
    Layout { size: (size.0 + MARGIN, size.1 + MARGIN), services, edges }
}

/// Services in rows, edges straight: for graphs that nobody reads edge by edge.
fn rows(services: usize, edges: usize) -> Layout {
    const COLUMNS: usize = 12;
    let place = |service: usize| {
        let at = |step: usize, size: f64| {
            let steps = u32::try_from(step).map_or(f64::MAX, f64::from);
            MARGIN + size / 2.0 + steps * (size + GAP)
        };
        (at(service % COLUMNS, WIDTH), at(service / COLUMNS, HEIGHT))
    };
    let services: Vec<Point> = (0..services).map(place).collect();
    let (right, bottom) =
        services.iter().fold((0.0, 0.0), |(w, h): Point, (x, y)| (w.max(*x), h.max(*y)));
    let size = (right + WIDTH / 2.0 + MARGIN, bottom + HEIGHT / 2.0 + MARGIN);
    Layout { size, services, edges: vec![Vec::new(); edges] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// gateway 0, user 1, order 2, payment 3, inventory 4.
    const SHOP: [(usize, usize); 4] = [(0, 1), (0, 2), (2, 3), (2, 4)];

    #[test]
    fn callers_stand_left_of_those_they_call() {
        let layout = layout(5, &SHOP);
        for (from, to) in SHOP {
            let (left, right) = (layout.services[from].0, layout.services[to].0);
            assert!(left + WIDTH < right, "{from} is left of {to}");
        }
        assert!(layout.edges.iter().all(|points| points.len() >= 2));
    }

    #[test]
    fn no_two_services_stand_on_one_another() {
        let edges: Vec<_> = (1..40).map(|n| (n / 3, n)).chain([(39, 0), (7, 7)]).collect();
        for layout in [layout(40, &edges), layout(MAX_SERVICES + 1, &[(0, 1)])] {
            for (at, one) in layout.services.iter().enumerate() {
                assert!(
                    one.0 + WIDTH / 2.0 <= layout.size.0 && one.1 + HEIGHT / 2.0 <= layout.size.1
                );
                for other in layout.services.iter().skip(at + 1) {
                    let apart =
                        (one.0 - other.0).abs() >= WIDTH || (one.1 - other.1).abs() >= HEIGHT;
                    assert!(apart, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_graph_is_drawn_the_same_way() {
        let edges: Vec<_> = (1..60).map(|n| (n * 7 % 13, n)).collect();
        assert_eq!(layout(60, &edges), layout(60, &edges));
    }

    #[test]
    fn a_graph_of_one_and_of_none_are_drawn() {
        assert_eq!(layout(0, &[]).services, []);
        assert_eq!(layout(1, &[(0, 0)]).services.len(), 1);
    }

    #[test]
    fn calls_in_circles_are_drawn() {
        let layout = layout(3, &[(0, 1), (1, 2), (2, 0), (1, 0)]);
        assert!(layout.edges.iter().all(|points| points.len() >= 2));
    }
}
