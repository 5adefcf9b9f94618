//! The states that a job will have: what a restore is planned against, before anything starts.

use super::chain::state_names;
use super::in_flight;
use super::plan::ExecutionPlan;
use crate::checkpoint::{InFlight, OperatorStateSpec, OperatorStates};
use crate::connector::dead_letter_schema;
use crate::job::graph::{Edge, JobGraph, NodeIndex, NodeKind};
use crate::operator::InputIndex;
use crate::types::Schema;
use arrow::datatypes::SchemaRef;

/// Every operator of `graph` with the keyed states and operator states that it will have.
pub fn operator_states(graph: &JobGraph) -> Vec<OperatorStates> {
    let spec = |name: &str, columns: Option<Schema>, in_flight: Option<InFlight>| OperatorStateSpec {
        name: name.to_owned(),
        columns,
        in_flight,
        registered: None,
    };
    let plan = ExecutionPlan::new(graph);
    let mut all = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let retracts = matches!(&node.kind, NodeKind::Operator(factory) if factory.retracts());
        let (keyed, mut operator_states) = match &node.kind {
            NodeKind::Source(source) => {
                let columns = Schema::from_arrow(&source.source.state_schema()).ok();
                (Vec::new(), vec![spec(state_names::SPLITS, columns, None)])
            }
            NodeKind::Operator(factory) => (factory.states(), factory.operator_states().into_iter().map(OperatorStateSpec::of).collect()),
            NodeKind::Sink(_) => (Vec::new(), vec![spec(state_names::WRITER, None, None), spec(state_names::COMMITTABLES, None, None)]),
        };
        // Only the head of a chain has channels.
        let vertex = plan.vertices.iter().find(|vertex| vertex.nodes.first() == Some(&NodeIndex(index)));
        for (input, exchange) in vertex.map(|vertex| in_flight::inputs(&plan, vertex)).unwrap_or_default() {
            let columns =
                stream_into(graph, NodeIndex(index), input).and_then(|stream| Schema::from_arrow(&in_flight::schema(&stream)).ok());
            operator_states.push(spec(&in_flight::state_name(input), columns, Some(in_flight::moves(exchange))));
        }
        all.push(OperatorStates { uid: node.uid.clone(), keyed, operator_states, parallelism: node.parallelism, retracts });
    }
    all
}

/// The columns that arrive at an input of a node; `None` if nothing does.
pub(crate) fn stream_into(graph: &JobGraph, node: NodeIndex, input: InputIndex) -> Option<SchemaRef> {
    let edge: &Edge = graph.edges.iter().find(|edge| edge.to == node && edge.input == input)?;
    match &graph.nodes[edge.from.0].kind {
        NodeKind::Source(_) if edge.port == 1 => Some(dead_letter_schema()),
        NodeKind::Source(source) => Some(source.source.schema()),
        NodeKind::Operator(factory) => Some(factory.schema_of(edge.port)),
        NodeKind::Sink(_) => None,
    }
}
