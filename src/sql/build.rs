//! Relational tree → operators. Which rows of an update an operator has to send follows from its readers, as in Flink's
//! `FlinkChangelogModeInferenceProgram`.

use super::relation::{Relation, RelationNode};
use super::{AnalyzedTransform, BuildRequest, PlannedFrom, PlannedInput, PlannedNode, SqlError, TransformPlan};
use crate::expr::typed::TypedExpr;
use crate::operator::aggregate::{AggregateCall, AggregateSpec, GroupAggregateFactory};
use crate::operator::calc::{CalcFactory, CalcSpec};
use crate::operator::union::UnionFactory;
use crate::operator::{Exchange, OperatorFactory};
use crate::types::{ChangelogMode, Schema};
use std::sync::Arc;

/// Whether a relation needs `-U` from its inputs, given whether its reader does.
fn input_needs_update_before(relation: &Relation, reader_needs: bool) -> bool {
    match &relation.node {
        RelationNode::Scan { .. } => reader_needs,
        // An aggregate takes the old row back; of a union nobody could tell which row a new one replaces.
        RelationNode::Aggregate { .. } | RelationNode::Union { .. } => true,
        RelationNode::Calc { input, filter, .. } => {
            // A row that no longer passes the filter, or whose key is projected away, has to be taken back by itself.
            let filters = filter.as_ref().is_some_and(|filter| !reads_only_key(filter, input));
            let loses_key = relation.unique_key.is_none() || input.unique_key.is_none();
            reader_needs || filters || loses_key
        }
    }
}

/// True if the filter decides equally for all versions of a row.
fn reads_only_key(filter: &TypedExpr, input: &Relation) -> bool {
    let Some(key) = &input.unique_key else { return false };
    let mut only = true;
    filter.for_each_column(&mut |column| only &= key.contains(&column));
    only
}

/// How the relation changes, given whether its reader needs `-U`.
pub(super) fn mode_of(relation: &Relation, reader_needs: bool) -> ChangelogMode {
    if !relation.updating {
        return ChangelogMode::AppendOnly;
    }
    let needs = input_needs_update_before(relation, reader_needs);
    match &relation.node {
        RelationNode::Scan { mode: ChangelogMode::Upsert, .. } => ChangelogMode::Upsert,
        RelationNode::Scan { .. } | RelationNode::Aggregate { .. } if reader_needs => ChangelogMode::Retract,
        RelationNode::Scan { .. } | RelationNode::Aggregate { .. } => ChangelogMode::Upsert,
        RelationNode::Calc { input, .. } => mode_of(input, needs),
        RelationNode::Union { inputs } => {
            let modes = inputs.iter().map(|input| mode_of(input, needs));
            let upsert = modes.into_iter().any(|mode| mode == ChangelogMode::Upsert);
            if upsert { ChangelogMode::Upsert } else { ChangelogMode::Retract }
        }
    }
}

/// Whether `-U` of `table` is needed anywhere in the relation.
pub(super) fn needs_update_before(relation: &Relation, table: &str, reader_needs: bool) -> bool {
    let needs = input_needs_update_before(relation, reader_needs);
    match &relation.node {
        RelationNode::Scan { table: this, .. } => this == table && reader_needs,
        RelationNode::Calc { input, .. } | RelationNode::Aggregate { input, .. } => needs_update_before(input, table, needs),
        RelationNode::Union { inputs } => inputs.iter().any(|input| needs_update_before(input, table, needs)),
    }
}

/// The operators of a transform.
pub(super) fn build(transform: &AnalyzedTransform, request: &BuildRequest) -> Result<TransformPlan, SqlError> {
    let relation = &transform.relation;
    let mut builder = Builder { transform, request, nodes: Vec::new() };
    let output = builder.whole(relation, request.emit_update_before)?;
    Ok(TransformPlan {
        nodes: builder.nodes,
        output,
        schema: relation.schema.clone(),
        mode: mode_of(relation, request.emit_update_before),
        unique_key: relation.unique_key.clone(),
        time_attribute: relation.time_attribute,
        used_columns: transform.used_columns.clone(),
    })
}

/// Where the columns of a relation really are: what arrives, and the place of each of its columns there.
struct Arriving {
    from: PlannedFrom,
    schema: Schema,
    places: Vec<usize>,
}

struct Builder<'a> {
    transform: &'a AnalyzedTransform,
    request: &'a BuildRequest,
    nodes: Vec<PlannedNode>,
}

impl Builder<'_> {
    fn add(&mut self, kind: (&str, &str), factory: Arc<dyn OperatorFactory>, inputs: Vec<PlannedInput>, single: bool) -> PlannedFrom {
        let (slug, name) = kind;
        let before = self.nodes.iter().filter(|node| node.name == name).count();
        let uid_suffix = format!("{slug}-{}", before + 1);
        self.nodes.push(PlannedNode { uid_suffix, name: name.to_owned(), factory, inputs, single_subtask: single });
        PlannedFrom::Node(self.nodes.len() - 1)
    }

    /// The relation with exactly its columns, in order.
    fn whole(&mut self, relation: &Relation, needs: bool) -> Result<PlannedFrom, SqlError> {
        let arriving = self.relation(relation, needs)?;
        let exact = arriving.places.iter().copied().eq(0..arriving.schema.columns.len());
        if exact {
            return Ok(arriving.from);
        }
        let columns = (0..relation.schema.columns.len()).map(|i| relation.column(i)).collect::<Vec<_>>();
        self.calc(arriving, None, &columns, &relation.schema)
    }

    fn relation(&mut self, relation: &Relation, needs: bool) -> Result<Arriving, SqlError> {
        let below = input_needs_update_before(relation, needs);
        let from = match &relation.node {
            RelationNode::Scan { table, columns, .. } => return self.scan(table, columns),
            RelationNode::Calc { input, filter, projection } => {
                let arriving = self.relation(input, below)?;
                self.calc(arriving, filter.as_ref(), projection, &relation.schema)?
            }
            RelationNode::Aggregate { input, group_by, calls } => self.aggregate(input, group_by, calls, needs)?,
            RelationNode::Union { inputs } => {
                let froms = inputs.iter().map(|input| self.whole(input, below)).collect::<Result<Vec<_>, _>>()?;
                let factory = Arc::new(UnionFactory::new(&relation.schema, inputs.len()));
                let inputs = froms.into_iter().map(|from| PlannedInput { from, exchange: Exchange::Forward }).collect();
                self.add(("union", "Union"), factory, inputs, false)
            }
        };
        let places = (0..relation.schema.columns.len()).collect();
        Ok(Arriving { from, schema: relation.schema.clone(), places })
    }

    fn scan(&self, table: &str, columns: &[usize]) -> Result<Arriving, SqlError> {
        let declared = &self.transform.tables.get(table).ok_or_else(|| SqlError::new(format!("there is no table \"{table}\"")))?.schema;
        let from = PlannedFrom::Table(table.to_owned());
        let Some(projection) = self.request.projections.get(table) else {
            return Ok(Arriving { from, schema: declared.clone(), places: columns.to_vec() });
        };
        let place = |column: &usize| {
            let found = projection.iter().position(|projected| projected == column);
            let name = declared.columns.get(*column).map_or("?", |column| &column.name);
            found.ok_or_else(|| SqlError::new(format!("column \"{name}\" of \"{table}\" is used and does not arrive")))
        };
        let places = columns.iter().map(place).collect::<Result<_, _>>()?;
        if let Some(wrong) = projection.iter().find(|i| **i >= declared.columns.len()) {
            return Err(SqlError::new(format!("\"{table}\" has no column {wrong}")));
        }
        Ok(Arriving { from, schema: declared.project(projection), places })
    }

    fn calc(
        &mut self,
        arriving: Arriving,
        filter: Option<&TypedExpr>,
        projection: &[TypedExpr],
        output: &Schema,
    ) -> Result<PlannedFrom, SqlError> {
        let moved = |expr: &TypedExpr| {
            expr.replace_columns(&|index, column| {
                let place = arriving.places.get(index).copied().unwrap_or(index);
                let name = arriving.schema.columns.get(place).map_or("?", |column| column.name.as_str());
                TypedExpr::column(place, name, column.data_type.clone())
            })
        };
        let spec = CalcSpec {
            input: arriving.schema.clone(),
            filter: filter.map(moved),
            projection: projection.iter().map(moved).collect(),
            output: output.clone(),
        };
        let factory = CalcFactory::new(spec).map_err(|e| SqlError::new(e.to_string()))?;
        let inputs = vec![PlannedInput { from: arriving.from, exchange: Exchange::Forward }];
        Ok(self.add(("calc", "Calc"), Arc::new(factory), inputs, false))
    }

    fn aggregate(&mut self, input: &Relation, group_by: &[usize], calls: &[AggregateCall], needs: bool) -> Result<PlannedFrom, SqlError> {
        let options = self.transform.options;
        let input_mode = mode_of(input, true);
        if input_mode == ChangelogMode::Upsert {
            return Err(SqlError::unsupported("GROUP BY over a table that sends updates without the old rows"));
        }
        let from = self.whole(input, true)?;
        let spec = AggregateSpec {
            input: input.schema.clone(),
            group_by: group_by.to_vec(),
            aggregates: calls.to_vec(),
            input_mode,
            emit_update_before: needs,
            mini_batch: options.mini_batch,
            state_ttl: options.state_ttl,
            batch_mode: options.batch_mode,
        };
        let factory = Arc::new(GroupAggregateFactory::new(spec));
        let inputs = vec![PlannedInput { from, exchange: Exchange::Hash(group_by.to_vec()) }];
        Ok(self.add(("group-aggregate", "GroupAggregate"), factory, inputs, group_by.is_empty()))
    }
}
