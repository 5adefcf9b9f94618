//! How rows are spread over the subtasks of the operator that receives them.

/// Which subtask gets which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// Subtask i sends to subtask i: needs equal parallelism. Such an edge is chained if the receiver has no other input.
    Forward,
    /// By key group of these columns. Rows of one key keep their order.
    Hash(Vec<usize>),
    /// Batches in turn to all subtasks.
    Rebalance,
    /// Every batch to every subtask.
    Broadcast,
}
