//! What a grouped aggregation is to compute, how plans show it, and the state that it keeps.

use super::group_aggregate::GroupAggregate;
use super::plan::AggregatePlan;
use crate::operator::{Operator, OperatorError, OperatorFactory, SubtaskPlace};
use crate::state::StateDescriptor;
use crate::types::{ChangelogMode, Column, Schema};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use std::time::Duration;

/// The aggregate functions that are computed natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `COUNT(*)`: rows.
    CountStar,
    /// `COUNT(x)`: rows where x is not NULL.
    Count,
    /// `SUM(x)`: wraps over integers as Java does; NULL without values; NULL if a DECIMAL overflows.
    Sum,
    /// `MIN(x)`: NULL without values.
    Min,
    /// `MAX(x)`: NULL without values.
    Max,
    /// `AVG(x)`: truncates toward zero over integers; rounds half up over DECIMAL; NULL without values.
    Avg,
}

impl AggregateFunction {
    /// `COUNT`, `SUM`, `MIN`, `MAX` or `AVG`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CountStar | Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Avg => "AVG",
        }
    }
}

/// One aggregate: `function([DISTINCT] argument) [FILTER (WHERE filter)] AS output`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// Equal values of a group count once (no difference to MIN and MAX).
    pub distinct: bool,
    /// The input column that is aggregated; none for `COUNT(*)`.
    pub argument: Option<usize>,
    /// A BOOLEAN input column: rows where it is FALSE or NULL do not count.
    pub filter: Option<usize>,
    /// The name and type of the result. Its type decides the scale of AVG over DECIMAL and the width at which SUM wraps.
    pub output: Column,
}

/// A grouped aggregation. Its output columns are the group columns, then the aggregates, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AggregateSpec {
    /// The input columns.
    pub input: Schema,
    /// The group columns: positions in `input`. None for an aggregation of everything into one row.
    pub group_by: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
    /// Whether the input holds retractions: without, MIN and MAX keep one value a group instead of all of them.
    pub input_mode: ChangelogMode,
    /// Whether `-U` is emitted before `+U`.
    pub emit_update_before: bool,
    /// `table.exec.mini-batch.enabled`: one update a group and batch instead of one a row.
    pub mini_batch: bool,
    /// `table.exec.state.ttl`: how long a group lives after its last row by the wall clock; `None`: for ever.
    pub state_ttl: Option<Duration>,
    /// `execution.runtime-mode = BATCH`: one `+I` a group when the input has ended, nothing before.
    pub batch_mode: bool,
}

impl AggregateSpec {
    /// The group columns as the output shows them.
    pub fn group_columns(&self) -> Schema {
        Schema::new(self.group_by.iter().filter_map(|i| self.input.columns.get(*i).cloned()).collect())
    }

    /// The output columns: group columns, then aggregates.
    pub fn output(&self) -> Schema {
        let mut output = self.group_columns();
        output.columns.extend(self.aggregates.iter().map(|call| call.output.clone()));
        output
    }

    /// True if the input may take rows back.
    pub const fn retracts(&self) -> bool {
        !matches!(self.input_mode, ChangelogMode::AppendOnly)
    }

    fn name_of(&self, column: usize) -> &str {
        self.input.columns.get(column).map_or("?", |column| &column.name)
    }

    /// `SUM(DISTINCT price) FILTER $f2`, with `suffix` after the function's name.
    pub(super) fn call_text(&self, call: &AggregateCall, suffix: &str) -> String {
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let argument = call.argument.map_or("*", |argument| self.name_of(argument));
        let filter = call.filter.map(|filter| format!(" FILTER {}", self.name_of(filter))).unwrap_or_default();
        format!("{}{suffix}({distinct}{argument}){filter}", call.function.name())
    }
}

/// Makes the `GroupAggregate` operators of a plan's node.
#[derive(Debug, Clone)]
pub struct GroupAggregateFactory {
    spec: Arc<AggregateSpec>,
    schema: SchemaRef,
}

impl GroupAggregateFactory {
    /// The factory of this aggregation. Types that an aggregate cannot take are reported by [`OperatorFactory::create`].
    pub fn new(spec: AggregateSpec) -> Self {
        let schema = spec.output().to_arrow();
        Self { spec: Arc::new(spec), schema }
    }

    /// What it computes.
    pub fn spec(&self) -> &AggregateSpec {
        &self.spec
    }

    /// The same aggregation without `-U` rows: for a consumer that replaces rows by key.
    pub fn without_update_before(&self) -> Arc<dyn OperatorFactory> {
        Arc::new(Self::new(AggregateSpec { emit_update_before: false, ..(*self.spec).clone() }))
    }
}

impl OperatorFactory for GroupAggregateFactory {
    fn describe(&self) -> String {
        let spec = &self.spec;
        let groups: Vec<&str> = spec.group_by.iter().map(|column| spec.name_of(*column)).collect();
        let suffix = if spec.retracts() && !spec.batch_mode { "_RETRACT" } else { "" };
        let calls = spec.aggregates.iter().map(|call| format!("{} AS {}", spec.call_text(call, suffix), call.output.name));
        let select: Vec<String> = groups.iter().map(|name| (*name).to_owned()).chain(calls).collect();
        let operator = if spec.batch_mode { "HashAggregate(isMerge=[false], " } else { "GroupAggregate(" };
        let group_by = if groups.is_empty() { String::new() } else { format!("groupBy=[{}], ", groups.join(", ")) };
        format!("{operator}{group_by}select=[{}])", select.join(", "))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn create(&self, _place: SubtaskPlace) -> Result<Box<dyn Operator>, OperatorError> {
        let plan = AggregatePlan::new(Arc::clone(&self.spec), Arc::clone(&self.schema))?;
        Ok(Box::new(GroupAggregate::new(Arc::new(plan))))
    }

    fn states(&self) -> Vec<Arc<StateDescriptor>> {
        // A spec that cannot run has no state; `create` says why.
        let plan = AggregatePlan::new(Arc::clone(&self.spec), Arc::clone(&self.schema));
        plan.map(|plan| vec![Arc::new(plan.descriptor())]).unwrap_or_default()
    }

    fn retracts(&self) -> bool {
        self.spec.retracts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LogicalType, TypeKind};

    fn spec(input_mode: ChangelogMode, batch_mode: bool) -> AggregateSpec {
        let column = |name: &str, kind| Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) };
        let call = |function, distinct, argument, filter, name, kind| AggregateCall {
            function,
            distinct,
            argument,
            filter,
            output: column(name, kind),
        };
        AggregateSpec {
            input: Schema::new(vec![column("carrier", TypeKind::String), column("delay", TypeKind::Int), column("$f2", TypeKind::Boolean)]),
            group_by: vec![0],
            aggregates: vec![
                call(AggregateFunction::CountStar, false, None, None, "flights", TypeKind::BigInt),
                call(AggregateFunction::Sum, true, Some(1), Some(2), "late", TypeKind::Int),
            ],
            input_mode,
            emit_update_before: true,
            mini_batch: false,
            state_ttl: None,
            batch_mode,
        }
    }

    #[test]
    fn plans_show_an_aggregation_in_flinks_words() {
        let factory = GroupAggregateFactory::new(spec(ChangelogMode::AppendOnly, false));
        assert_eq!(
            factory.describe(),
            "GroupAggregate(groupBy=[carrier], select=[carrier, COUNT(*) AS flights, SUM(DISTINCT delay) FILTER $f2 AS late])"
        );
        let mut global = spec(ChangelogMode::Retract, false);
        global.group_by.clear();
        let expected = "GroupAggregate(select=[COUNT_RETRACT(*) AS flights, SUM_RETRACT(DISTINCT delay) FILTER $f2 AS late])";
        assert_eq!(GroupAggregateFactory::new(global).describe(), expected);
        let batch = GroupAggregateFactory::new(spec(ChangelogMode::AppendOnly, true)).describe();
        assert!(batch.starts_with("HashAggregate(isMerge=[false], groupBy=[carrier], select=[carrier, "), "{batch}");
    }

    #[test]
    fn the_output_is_the_group_columns_and_then_the_aggregates() {
        let factory = GroupAggregateFactory::new(spec(ChangelogMode::AppendOnly, false));
        let names: Vec<String> = factory.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["carrier", "flights", "late"]);
    }
}
