//! The states that a job will have: what a restore is planned against, before anything starts.

use super::chain::state_names;
use crate::checkpoint::{OperatorStateSpec, OperatorStates};
use crate::job::graph::{JobGraph, NodeKind};
use crate::types::Schema;

/// Every operator of `graph` with the keyed states and operator states that it will have.
pub fn operator_states(graph: &JobGraph) -> Vec<OperatorStates> {
    let spec = |name: &str, columns: Option<Schema>| OperatorStateSpec { name: name.to_owned(), columns };
    let mut all = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let retracts = matches!(&node.kind, NodeKind::Operator(factory) if factory.retracts());
        let (keyed, operator_states) = match &node.kind {
            NodeKind::Source(source) => {
                let columns = Schema::from_arrow(&source.source.state_schema()).ok();
                (Vec::new(), vec![spec(state_names::SPLITS, columns)])
            }
            NodeKind::Operator(factory) => (factory.states(), Vec::new()),
            NodeKind::Sink(_) => (Vec::new(), vec![spec(state_names::WRITER, None), spec(state_names::COMMITTABLES, None)]),
        };
        all.push(OperatorStates { uid: node.uid.clone(), keyed, operator_states, parallelism: node.parallelism, retracts });
    }
    all
}
