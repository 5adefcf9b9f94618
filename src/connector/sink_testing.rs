//! What the tests of the sinks share: a context, a declaration, rows.

use super::{ConnectorContext, SinkDeclaration};
use crate::testing::storage::MemoryStorage;
use crate::types::{Batch, Column, LogicalType, ManualClock, Options, Parallelism, Schema, TypeKind, WallTime};
use arrow::array::{Int64Array, RecordBatch};
use std::sync::Arc;

/// A job with checkpoints, in memory, at time 0.
pub(super) fn context(parallelism: usize) -> ConnectorContext {
    ConnectorContext {
        parallelism: Parallelism::new(parallelism).unwrap(),
        storage: MemoryStorage::new(),
        clock: ManualClock::at(WallTime(0)),
        execution: "job-1".to_owned(),
        exactly_once: true,
        checkpointing: true,
    }
}

/// A sink `out` of one column `n BIGINT NOT NULL`.
pub(super) fn declaration(connector: &str, options: &[(&str, &str)]) -> SinkDeclaration {
    let column = Column { name: "n".to_owned(), data_type: LogicalType::not_null(TypeKind::BigInt) };
    SinkDeclaration {
        name: "out".to_owned(),
        connector: connector.to_owned(),
        schema: Schema::new(vec![column]),
        primary_key: Vec::new(),
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Options>(),
        directory: "/job".into(),
    }
}

/// Rows of [`declaration`]'s column.
pub(super) fn numbers(values: &[i64]) -> Batch {
    let schema = declaration("", &[]).schema.to_arrow();
    Batch::append(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap())
}
