//! The relational tree: what a query computes, with columns by position and types resolved.

use super::TableDeclaration;
use crate::expr::typed::TypedExpr;
use crate::operator::aggregate::AggregateCall;
use crate::types::{ChangelogMode, Column, Schema};

/// A part of a query and what is known of its result.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub node: RelationNode,
    pub schema: Schema,
    /// Columns that no two rows share at any time; none of them if there is at most one row.
    pub unique_key: Option<Vec<usize>>,
    pub time_attribute: Option<usize>,
    /// True if rows that were sent may be changed or taken back.
    pub updating: bool,
}

/// What a part of a query does. Joins, windows, Top-N and the rest get a variant of their own here.
#[derive(Debug, Clone)]
pub(super) enum RelationNode {
    /// Reads these columns of a table.
    Scan { table: String, mode: ChangelogMode, columns: Vec<usize> },
    /// Keeps the rows for which the filter is true, then computes the columns.
    Calc { input: Box<Relation>, filter: Option<TypedExpr>, projection: Vec<TypedExpr> },
    /// One row a group: the group columns, then the aggregates.
    Aggregate { input: Box<Relation>, group_by: Vec<usize>, calls: Vec<AggregateCall> },
    /// All rows of all inputs.
    Union { inputs: Vec<Relation> },
}

impl Relation {
    /// A whole table.
    pub(super) fn scan(name: &str, table: &TableDeclaration) -> Self {
        let columns = (0..table.schema.columns.len()).collect();
        Self {
            node: RelationNode::Scan { table: name.to_owned(), mode: table.mode, columns },
            schema: table.schema.clone(),
            unique_key: table.unique_key.clone(),
            time_attribute: table.time_attribute,
            updating: table.mode != ChangelogMode::AppendOnly,
        }
    }

    /// A filter and named expressions over `input`.
    pub(super) fn calc(input: Self, filter: Option<TypedExpr>, columns: Vec<(TypedExpr, String)>) -> Self {
        let mut schema = Schema::default();
        let mut projection = Vec::with_capacity(columns.len());
        for (expr, name) in columns {
            schema.columns.push(Column { name, data_type: expr.data_type.clone() });
            projection.push(expr);
        }
        let place = |column: usize| projection.iter().position(|expr| expr.as_column() == Some(column));
        let unique_key = input.unique_key.as_ref().and_then(|key| key.iter().map(|c| place(*c)).collect());
        let time_attribute = input.time_attribute.and_then(place);
        let updating = input.updating;
        Self { node: RelationNode::Calc { input: Box::new(input), filter, projection }, schema, unique_key, time_attribute, updating }
    }

    /// Only these columns of `input`, under their names.
    pub(super) fn project(input: Self, columns: &[usize]) -> Self {
        let named = columns.iter().map(|i| (input.column(*i), input.schema.columns[*i].name.clone())).collect();
        Self::calc(input, None, named)
    }

    /// Groups of `input`. With `final_only` a group's row is sent once, at the end.
    pub(super) fn aggregate(input: Self, group_by: Vec<usize>, calls: Vec<AggregateCall>, final_only: bool) -> Self {
        let mut schema = input.schema.project(&group_by);
        schema.columns.extend(calls.iter().map(|call| call.output.clone()));
        let unique_key = Some((0..group_by.len()).collect());
        let node = RelationNode::Aggregate { input: Box::new(input), group_by, calls };
        Self { node, schema, unique_key, time_attribute: None, updating: !final_only }
    }

    /// All rows of inputs with equal types.
    pub(super) fn union(inputs: Vec<Self>, schema: Schema) -> Self {
        let mut times = inputs.iter().map(|input| input.time_attribute);
        let first = times.next().flatten();
        let time_attribute = first.filter(|first| times.all(|time| time == Some(*first)));
        let updating = inputs.iter().any(|input| input.updating);
        Self { node: RelationNode::Union { inputs }, schema, unique_key: None, time_attribute, updating }
    }

    /// An expression that is column `index`.
    pub(super) fn column(&self, index: usize) -> TypedExpr {
        let column = &self.schema.columns[index];
        TypedExpr::column(index, &column.name, column.data_type.clone())
    }

    /// The same rows under other column names.
    pub(super) fn renamed(mut self, names: impl IntoIterator<Item = String>) -> Self {
        let columns: Vec<usize> = (0..self.schema.columns.len()).collect();
        let named = columns.iter().map(|i| self.column(*i)).zip(names).collect();
        if let RelationNode::Calc { .. } = self.node {
            let named: Vec<(TypedExpr, String)> = named;
            for (column, (_, name)) in self.schema.columns.iter_mut().zip(named) {
                column.name = name;
            }
            return self;
        }
        Self::calc(self, None, named)
    }
}
