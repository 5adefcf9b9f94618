//! Cuts a graph into vertices: chains of nodes that run in one task, and the links between them.

use crate::job::graph::{Exchange, JobGraph, NodeIndex, NodeKind};
use crate::operator::{InputIndex, OutputPort};
use crate::types::Parallelism;

/// Where a node's output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a node of the same chain (its position in [`Vertex::nodes`]).
    Chained(usize),
    /// Out of the chain: position in [`ExecutionPlan::links`].
    Link(usize),
}

/// One chain: what a task runs. The first node is its head; the others have exactly one input, from within the chain.
#[derive(Debug, Clone)]
pub(crate) struct Vertex {
    /// 32 hex digits, derived from the uid of the head: stable while the head is.
    pub(crate) id: String,
    /// Names joined as in Flink: `Source: bids[1] -> Calc[2]`.
    pub(crate) name: String,
    /// The nodes, topologically.
    pub(crate) nodes: Vec<NodeIndex>,
    /// For each node: where each edge leads, with the port that it leaves by.
    pub(crate) targets: Vec<Vec<(OutputPort, Target)>>,
    /// Number of subtasks.
    pub(crate) parallelism: Parallelism,
    /// Links into the head, in order of their input index.
    pub(crate) inputs: Vec<usize>,
}

/// An edge between two vertices.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// Sending vertex.
    pub(crate) from: usize,
    /// Receiving vertex.
    pub(crate) to: usize,
    /// Which input of the receiver's head.
    pub(crate) input: InputIndex,
    /// Who gets what.
    pub(crate) exchange: Exchange,
}

/// The graph as tasks.
#[derive(Debug, Clone)]
pub(crate) struct ExecutionPlan {
    /// Chains, topologically.
    pub(crate) vertices: Vec<Vertex>,
    /// Edges between them.
    pub(crate) links: Vec<Link>,
}

impl ExecutionPlan {
    /// The number of all subtasks.
    pub(crate) fn tasks(&self) -> usize {
        self.vertices.iter().map(|v| v.parallelism.get()).sum()
    }

    /// Cuts `graph` into chains ([`JobGraph::chained_behind`]).
    pub(crate) fn new(graph: &JobGraph) -> Self {
        // Topological order of the graph makes the upstream's vertex known when a node is reached.
        let mut place: Vec<(usize, usize)> = Vec::with_capacity(graph.nodes.len());
        let mut vertices: Vec<Vertex> = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let at = if let Some(upstream) = graph.chained_behind(NodeIndex(index)) {
                let vertex = place[upstream.0].0;
                vertices[vertex].nodes.push(NodeIndex(index));
                (vertex, vertices[vertex].nodes.len() - 1)
            } else {
                vertices.push(Vertex {
                    id: graph.vertex_id(NodeIndex(index)),
                    name: String::new(),
                    nodes: vec![NodeIndex(index)],
                    targets: Vec::new(),
                    parallelism: node.parallelism,
                    inputs: Vec::new(),
                });
                (vertices.len() - 1, 0)
            };
            place.push(at);
        }
        for vertex in &mut vertices {
            vertex.targets = vec![Vec::new(); vertex.nodes.len()];
            vertex.name = vertex.nodes.iter().map(|n| display_name(graph, *n)).collect::<Vec<_>>().join(" -> ");
        }
        let links = Self::link(graph, &place, &mut vertices);
        Self { vertices, links }
    }

    fn link(graph: &JobGraph, place: &[(usize, usize)], vertices: &mut [Vertex]) -> Vec<Link> {
        let mut links = Vec::new();
        for edge in &graph.edges {
            let ((from, from_at), (to, to_at)) = (place[edge.from.0], place[edge.to.0]);
            let target = if from == to {
                Target::Chained(to_at)
            } else {
                links.push(Link { from, to, input: edge.input, exchange: edge.exchange.clone() });
                vertices[to].inputs.push(links.len() - 1);
                Target::Link(links.len() - 1)
            };
            vertices[from].targets[from_at].push((edge.port, target));
        }
        for vertex in vertices {
            vertex.inputs.sort_by_key(|link| links[*link].input);
        }
        links
    }
}

fn display_name(graph: &JobGraph, node: NodeIndex) -> String {
    let node = &graph.nodes[node.0];
    match &node.kind {
        NodeKind::Source(_) => format!("Source: {}", node.name),
        NodeKind::Operator(_) => node.name.clone(),
        NodeKind::Sink(_) => format!("Sink: {}", node.name),
    }
}
