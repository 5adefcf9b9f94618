//! What runs: nodes with their factories, edges with their exchanges. The last value that `job` makes and the first that
//! `runtime` takes.

use super::settings::JobSettings;
use crate::connector::{Sink, Source};
use crate::expr::CompiledExpr;
pub use crate::operator::Exchange;
use crate::operator::{InputIndex, OperatorFactory, OutputPort};
use crate::types::{OperatorUid, Parallelism};
use std::sync::Arc;

/// The position of a node in [`JobGraph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIndex(pub usize);

/// A job, ready to run. Nodes are in topological order: an edge leads from a lower index to a higher one.
#[derive(Debug, Clone)]
pub struct JobGraph {
    /// Sources, operators, sinks.
    pub nodes: Vec<Node>,
    /// Who sends to whom.
    pub edges: Vec<Edge>,
    /// Everything else.
    pub settings: JobSettings,
}

impl JobGraph {
    /// The node before this one in its chain: the sender of its only input, if that is a forward edge and both have the same
    /// parallelism. `None` for the head of a chain.
    pub fn chained_behind(&self, node: NodeIndex) -> Option<NodeIndex> {
        let mut edges = self.edges.iter().filter(|edge| edge.to == node);
        let (edge, None) = (edges.next()?, edges.next()) else { return None };
        let same = self.nodes[edge.from.0].parallelism == self.nodes[node.0].parallelism;
        (edge.exchange == Exchange::Forward && same).then_some(edge.from)
    }

    /// The head of this node's chain.
    pub fn chain_head(&self, node: NodeIndex) -> NodeIndex {
        let mut head = node;
        // Edges lead from lower to higher indices, so this ends.
        while let Some(before) = self.chained_behind(head) {
            head = before;
        }
        head
    }

    /// The id of the vertex whose chain has this head: 32 hex digits, stable while the head's uid is.
    pub fn vertex_id(&self, head: NodeIndex) -> String {
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(self.nodes[head.0].uid.as_str().as_bytes()))
    }
}

/// One logical operator.
#[derive(Debug, Clone)]
pub struct Node {
    /// Under this its state is found again.
    pub uid: OperatorUid,
    /// What `info`, `list` and metrics call it: Flink's wording, `GroupAggregate[2]`, `bids[1]`.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// How many subtasks it has.
    pub parallelism: Parallelism,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Rows come from here. Output 0: rows; output 1: dead letters.
    Source(SourceNode),
    /// Rows are changed here.
    Operator(Arc<dyn OperatorFactory>),
    /// Rows go out here.
    Sink(Arc<dyn Sink>),
}

/// A source, and what its task does to each batch before anything else sees it.
#[derive(Debug, Clone)]
pub struct SourceNode {
    /// The connector.
    pub source: Arc<dyn Source>,
    /// The event time of the stream, if it has one.
    pub watermark: Option<WatermarkSpec>,
}

/// `WATERMARK FOR ts AS <expression>`.
#[derive(Debug, Clone)]
pub struct WatermarkSpec {
    /// The column `ts`: its position in the source's schema.
    pub column: usize,
    /// The expression over the source's columns; its type is that of `ts`. The watermark is its maximum over the rows so far.
    pub expression: CompiledExpr,
}

/// From one node's output to another one's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The sender.
    pub from: NodeIndex,
    /// Which of its outputs.
    pub port: OutputPort,
    /// The receiver.
    pub to: NodeIndex,
    /// Which of its inputs.
    pub input: InputIndex,
    /// Which subtask of the receiver gets which rows.
    pub exchange: Exchange,
}
