//! SQL with Flink's meaning: a query over named tables becomes operators.
//!
//! The way of a query: text → syntax tree (`parse`, sqlparser with Flink's dialect) → relational tree with typed expressions
//! (`query`, `expression`) → fewer nodes and columns (`optimize`) → operators (`build`). Typing is ours rather than DataFusion's,
//! because types are where Flink differs: `INT + INT` is INT, `0.908` is a DECIMAL, `AVG(INT)` is INT.
//!
//! Two steps, because a source reads only the columns that its job uses: [`analyze`] says which columns of which tables a query
//! needs, [`AnalyzedTransform::build`] makes operators for tables that hold only those.

mod aggregate;
mod build;
mod error;
mod expression;
mod hints;
mod literal;
mod optimize;
mod parse;
mod query;
mod relation;
mod scope;
#[cfg(test)]
mod tests;

pub use error::SqlError;

use crate::expr::CompiledExpr;
use crate::operator::{Exchange, OperatorFactory};
use crate::types::{ChangelogMode, LogicalType, Schema};
use relation::Relation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A table that a query may read: a source or another transform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDeclaration {
    /// All its columns, computed ones included.
    pub schema: Schema,
    /// How it changes; for a transform, [`AnalyzedTransform::mode`] with `true`: what its reader really needs is settled later.
    pub mode: ChangelogMode,
    /// Positions of columns whose values no two of its rows share at any time.
    pub unique_key: Option<Vec<usize>>,
    /// The column that carries the watermark.
    pub time_attribute: Option<usize>,
}

/// Options that change the operators of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// `execution.runtime-mode = BATCH`: aggregates emit final results alone, at the end.
    pub batch_mode: bool,
    /// `table.exec.mini-batch.enabled`: aggregates emit one change a key and batch.
    pub mini_batch: bool,
    /// `table.exec.state.ttl`: how long a group lives after its last row; `None`: for ever.
    pub state_ttl: Option<Duration>,
}

/// A query and what it may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformRequest<'a> {
    /// The transform's name, for messages.
    pub name: &'a str,
    /// The query.
    pub sql: &'a str,
    /// Every table of the job that the query may name (Flink: names are case-sensitive).
    pub tables: &'a BTreeMap<String, TableDeclaration>,
    /// Options.
    pub options: PlanOptions,
}

/// A query whose names and types are resolved.
#[derive(Debug, Clone)]
pub struct AnalyzedTransform {
    relation: Relation,
    tables: BTreeMap<String, TableDeclaration>,
    options: PlanOptions,
    used_columns: BTreeMap<String, BTreeSet<usize>>,
}

/// What [`AnalyzedTransform::build`] has to know of the rest of the job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildRequest {
    /// For each table the positions (in [`TableDeclaration::schema`]) of the columns that really arrive, in the order in which they
    /// do; a table that is missing here arrives whole. Every used column must be among them.
    pub projections: BTreeMap<String, Vec<usize>>,
    /// Whether whoever reads the result needs the old row of an update (`-U`). A sink that upserts by
    /// [`AnalyzedTransform::unique_key`] does not; ask [`AnalyzedTransform::needs_update_before`] for a transform that reads it.
    pub emit_update_before: bool,
}

/// Where rows of a planned operator come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedFrom {
    /// A table of the job.
    Table(String),
    /// The operator at this position of [`TransformPlan::nodes`].
    Node(usize),
}

/// One input of a planned operator. Its position in [`PlannedNode::inputs`] is the operator's input index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedInput {
    /// The sender.
    pub from: PlannedFrom,
    /// Which subtask gets which rows. `Forward` may become `Rebalance` where parallelisms differ.
    pub exchange: Exchange,
}

/// One operator of a plan.
#[derive(Debug, Clone)]
pub struct PlannedNode {
    /// Behind the transform's uid and a slash: `group-aggregate-1`, `calc-2`. Counted per kind, in plan order.
    pub uid_suffix: String,
    /// What `info` and `list` call it: Flink's word, `GroupAggregate`, `Calc`, `Union`.
    pub name: String,
    /// The operator.
    pub factory: Arc<dyn OperatorFactory>,
    /// Its inputs.
    pub inputs: Vec<PlannedInput>,
    /// True if it must run as one subtask: an aggregate without GROUP BY.
    pub single_subtask: bool,
}

/// The operators of a query, in topological order.
#[derive(Debug, Clone)]
pub struct TransformPlan {
    /// The operators; none if the query is nothing but a table.
    pub nodes: Vec<PlannedNode>,
    /// Where the result comes from.
    pub output: PlannedFrom,
    /// The columns of the result.
    pub schema: Schema,
    /// How the result changes.
    pub mode: ChangelogMode,
    /// Columns of the result that no two rows of it share.
    pub unique_key: Option<Vec<usize>>,
    /// The column of the result that still carries the watermark's time.
    pub time_attribute: Option<usize>,
    /// The columns of each table that are used.
    pub used_columns: BTreeMap<String, BTreeSet<usize>>,
}

/// Resolves the names and types of a query.
pub fn analyze(request: &TransformRequest<'_>) -> Result<AnalyzedTransform, SqlError> {
    let query = parse::parse_query(request.sql)?;
    let mut options = request.options;
    if let Some(ttl) = hints::state_ttl(request.sql, &query)? {
        options.state_ttl = Some(ttl).filter(|ttl| !ttl.is_zero());
    }
    let relation = query::Planner::new(request).plan(&query)?;
    let (relation, used_columns) = optimize::optimize(relation);
    let tables = request.tables.iter().filter(|(name, _)| used_columns.contains_key(*name));
    let tables = tables.map(|(name, table)| (name.clone(), table.clone())).collect();
    Ok(AnalyzedTransform { relation, tables, options, used_columns })
}

/// [`analyze`] and [`AnalyzedTransform::build`] in one, for tables that arrive whole and a reader that needs `-U`.
pub fn plan_transform(request: &TransformRequest<'_>) -> Result<TransformPlan, SqlError> {
    analyze(request)?.build(&BuildRequest { projections: BTreeMap::new(), emit_update_before: true })
}

impl AnalyzedTransform {
    /// The columns of the result.
    pub fn schema(&self) -> Schema {
        self.relation.schema.clone()
    }

    /// Columns of the result that no two rows of it share at any time.
    pub fn unique_key(&self) -> Option<Vec<usize>> {
        self.relation.unique_key.clone()
    }

    /// The column of the result that still carries the watermark's time.
    pub fn time_attribute(&self) -> Option<usize> {
        self.relation.time_attribute
    }

    /// The columns of each table that the query uses, by position. Tables that it does not read are missing.
    pub fn used_columns(&self) -> &BTreeMap<String, BTreeSet<usize>> {
        &self.used_columns
    }

    /// How the result changes if its reader does or does not need `-U`.
    pub fn mode(&self, emit_update_before: bool) -> ChangelogMode {
        build::mode_of(&self.relation, emit_update_before)
    }

    /// Whether the query needs `-U` from `table`, given whether its own reader does.
    pub fn needs_update_before(&self, table: &str, emit_update_before: bool) -> bool {
        build::needs_update_before(&self.relation, table, emit_update_before)
    }

    /// The operators for tables that arrive as `request` says.
    pub fn build(&self, request: &BuildRequest) -> Result<TransformPlan, SqlError> {
        build::build(self, request)
    }
}

/// An expression over one table whose names and types are resolved.
#[derive(Debug, Clone)]
pub struct AnalyzedExpression {
    /// The type of its values.
    pub data_type: LogicalType,
    /// The positions of the columns that it reads.
    pub used_columns: BTreeSet<usize>,
    /// Ready to evaluate over batches with the columns of the schema that it was analyzed with.
    pub compiled: CompiledExpr,
}

/// Resolves and compiles one expression over the columns of `schema`: a computed column, a watermark
/// (`ts - INTERVAL '4' SECOND`).
pub fn analyze_expression(text: &str, schema: &Schema) -> Result<AnalyzedExpression, SqlError> {
    let syntax = parse::parse_expression(text)?;
    let expr = expression::single_expression(text, &syntax, schema)?;
    let compiled = expr.compile(&schema.to_arrow()).map_err(|e| SqlError::new(e.to_string()))?;
    let mut used_columns = BTreeSet::new();
    expr.for_each_column(&mut |column| {
        used_columns.insert(column);
    });
    Ok(AnalyzedExpression { data_type: expr.data_type, used_columns, compiled })
}

/// [`analyze_expression`] for whoever needs only the values.
pub fn compile_expression(text: &str, schema: &Schema) -> Result<CompiledExpr, SqlError> {
    Ok(analyze_expression(text, schema)?.compiled)
}
