//! GROUP BY, aggregates, HAVING and DISTINCT: a Calc that computes keys and arguments, an Aggregate, and a Calc over its groups.

use super::SqlError;
use super::relation::Relation;
use crate::expr::coerce::{avg_type, is_numeric, is_text, is_timestamp, sum_type};
use crate::expr::typed::{ExprKind, TypedExpr};
use crate::operator::aggregate::{AggregateCall, AggregateFunction};
use crate::types::{Column, LogicalType, TypeKind};

/// The aggregates that there are.
pub(super) const NAMES: &[&str] = &["COUNT", "SUM", "MIN", "MAX", "AVG"];

/// Those of Flink that there are not yet.
const MISSING: &[&str] = &[
    "LISTAGG",
    "COLLECT",
    "ARRAY_AGG",
    "FIRST_VALUE",
    "LAST_VALUE",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "SUM0",
    "PERCENTILE",
    "APPROX_COUNT_DISTINCT",
    "JSON_OBJECTAGG",
    "JSON_ARRAYAGG",
    "ROW_NUMBER",
    "RANK",
    "DENSE_RANK",
    "PERCENT_RANK",
    "CUME_DIST",
    "NTILE",
    "LAG",
    "LEAD",
    "GROUPING",
    "GROUP_ID",
    "GROUPING_ID",
];

/// True for the aggregates that there are; `name` in upper case.
pub(super) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Why an aggregate of Flink cannot be used yet; `name` in upper case.
pub(super) fn refusal(name: &str) -> Option<SqlError> {
    MISSING.contains(&name).then(|| SqlError::unsupported(name))
}

/// One aggregate, its arguments still as expressions over the input.
#[derive(Debug, Clone)]
struct Found {
    function: AggregateFunction,
    distinct: bool,
    argument: Option<TypedExpr>,
    filter: Option<TypedExpr>,
    data_type: LogicalType,
}

/// Collects the aggregates of a select list and HAVING. An aggregate stands in an expression as a column behind those of the input.
#[derive(Debug)]
pub(super) struct Collector {
    input_width: usize,
    grouped: bool,
    found: Vec<Found>,
}

impl Collector {
    /// For an input of so many columns; `grouped` if there is a GROUP BY.
    pub(super) fn new(input_width: usize, grouped: bool) -> Self {
        Self { input_width, grouped, found: Vec::new() }
    }

    /// True if there was no aggregate.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Notes an aggregate; the result stands for its value.
    pub(super) fn call(
        &mut self,
        name: &str,
        distinct: bool,
        argument: Option<TypedExpr>,
        filter: Option<TypedExpr>,
    ) -> Result<TypedExpr, SqlError> {
        let function = match (name, &argument) {
            ("COUNT", None) => AggregateFunction::CountStar,
            ("COUNT", Some(_)) => AggregateFunction::Count,
            ("SUM", _) => AggregateFunction::Sum,
            ("MIN", _) => AggregateFunction::Min,
            ("MAX", _) => AggregateFunction::Max,
            _ => AggregateFunction::Avg,
        };
        let data_type = result_type(name, function, argument.as_ref(), self.grouped && filter.is_none())?;
        // COUNT of what is never NULL counts rows.
        let never_null = function == AggregateFunction::Count && !distinct && argument.as_ref().is_some_and(|a| !a.data_type.nullable);
        let (function, argument) = if never_null { (AggregateFunction::CountStar, None) } else { (function, argument) };
        let distinct = distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
        let found = Found { function, distinct, argument, filter, data_type };
        let same = |other: &Found| {
            let equal = |a: &Option<TypedExpr>, b: &Option<TypedExpr>| match (a, b) {
                (Some(a), Some(b)) => same(a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            other.function == found.function
                && other.distinct == found.distinct
                && equal(&other.argument, &found.argument)
                && equal(&other.filter, &found.filter)
        };
        let index = self.found.iter().position(same).unwrap_or(self.found.len());
        let typed = TypedExpr::column(self.input_width + index, &format!("{name}(…)"), found.data_type.clone());
        if index == self.found.len() {
            self.found.push(found);
        }
        Ok(typed)
    }
}

fn result_type(name: &str, function: AggregateFunction, argument: Option<&TypedExpr>, keeps_nulls: bool) -> Result<LogicalType, SqlError> {
    let Some(argument) = argument else { return Ok(LogicalType::not_null(TypeKind::BigInt)) };
    let of = &argument.data_type;
    let kind = match function {
        AggregateFunction::Count | AggregateFunction::CountStar => return Ok(LogicalType::not_null(TypeKind::BigInt)),
        AggregateFunction::Sum => sum_type(&of.kind),
        AggregateFunction::Avg => avg_type(&of.kind),
        AggregateFunction::Min | AggregateFunction::Max => {
            let simple = matches!(of.kind, TypeKind::Boolean | TypeKind::Date | TypeKind::Time);
            let ordered = is_numeric(&of.kind) || is_text(&of.kind) || is_timestamp(&of.kind) || simple;
            ordered.then(|| of.kind.clone())
        }
    };
    let shown = LogicalType::nullable(of.kind.clone());
    let kind = kind.ok_or_else(|| SqlError::new(format!("{name} does not take {shown}")))?;
    Ok(LogicalType { kind, nullable: of.nullable || !keeps_nulls })
}

/// True if two expressions compute the same.
pub(super) fn same(a: &TypedExpr, b: &TypedExpr) -> bool {
    if a.data_type.kind != b.data_type.kind {
        return false;
    }
    let heads = match (&a.kind, &b.kind) {
        (ExprKind::Column { index: i, .. }, ExprKind::Column { index: j, .. }) => i == j,
        (ExprKind::Literal(x), ExprKind::Literal(y)) => x == y,
        (ExprKind::Call(x), ExprKind::Call(y)) => x.name == y.name && x.style == y.style,
        (ExprKind::And(..), ExprKind::And(..)) | (ExprKind::Or(..), ExprKind::Or(..)) => true,
        (ExprKind::Case { otherwise: x, .. }, ExprKind::Case { otherwise: y, .. }) => x.is_some() == y.is_some(),
        (ExprKind::In { negated: x, .. }, ExprKind::In { negated: y, .. }) => x == y,
        _ => false,
    };
    let (x, y) = (a.children(), b.children());
    heads && x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
}

/// The columns that the Calc below an Aggregate computes: each expression once.
#[derive(Default)]
struct Prepared(Vec<(TypedExpr, String)>);

impl Prepared {
    fn add(&mut self, expr: &TypedExpr) -> usize {
        if let Some(known) = self.0.iter().position(|(known, _)| same(known, expr)) {
            return known;
        }
        let index = self.0.len();
        let name = match &expr.kind {
            ExprKind::Column { name, .. } if !self.0.iter().any(|(_, taken)| taken == name) => name.clone(),
            _ => format!("$f{index}"),
        };
        self.0.push((expr.clone(), name));
        index
    }
}

/// A grouped query: select list and HAVING over the groups of `input`.
pub(super) struct Grouping {
    pub group_by: Vec<TypedExpr>,
    pub aggregates: Collector,
    pub select: Vec<(TypedExpr, String)>,
    pub having: Option<TypedExpr>,
    pub final_only: bool,
}

impl Grouping {
    /// The relation of the query. Errors on a column that is neither grouped nor aggregated.
    pub(super) fn plan(self, input: Relation) -> Result<Relation, SqlError> {
        let mut prepared = Prepared::default();
        let mut group_by: Vec<usize> = Vec::new();
        let mut keys = Vec::with_capacity(self.group_by.len());
        for expr in &self.group_by {
            let column = prepared.add(expr);
            let key = group_by.iter().position(|known| *known == column).unwrap_or(group_by.len());
            if key == group_by.len() {
                group_by.push(column);
            }
            keys.push(key);
        }
        let groups = group_by.len();
        let mut calls = Vec::with_capacity(self.aggregates.found.len());
        for (index, found) in self.aggregates.found.iter().enumerate() {
            let argument = found.argument.as_ref().map(|argument| prepared.add(argument));
            let filter = found.filter.as_ref().map(|filter| prepared.add(filter));
            let column = self.aggregates.input_width + index;
            let alias = self.select.iter().find(|(expr, _)| expr.as_column() == Some(column));
            let name = alias.map_or_else(|| format!("$f{}", groups + index), |(_, name)| name.clone());
            let output = Column { name, data_type: found.data_type.clone() };
            calls.push(AggregateCall { function: found.function, distinct: found.distinct, argument, filter, output });
        }
        let below = Relation::calc(input, None, prepared.0);
        let groups_relation = Relation::aggregate(below, group_by, calls, self.final_only);
        let rewrite =
            Rewrite { keys: self.group_by.iter().zip(keys).collect(), width: self.aggregates.input_width, over: &groups_relation };
        let select = self.select.iter().map(|(expr, name)| Ok((rewrite.expression(expr, groups)?, name.clone())));
        let select = select.collect::<Result<Vec<_>, SqlError>>()?;
        let having = self.having.as_ref().map(|having| rewrite.expression(having, groups)).transpose()?;
        Ok(Relation::calc(groups_relation, having, select))
    }
}

/// Expressions over the input of an Aggregate → over its output.
struct Rewrite<'a> {
    keys: Vec<(&'a TypedExpr, usize)>,
    width: usize,
    over: &'a Relation,
}

impl Rewrite<'_> {
    fn expression(&self, expr: &TypedExpr, groups: usize) -> Result<TypedExpr, SqlError> {
        if let Some((_, key)) = self.keys.iter().find(|(key, _)| same(key, expr)) {
            return Ok(self.over.column(*key));
        }
        if let ExprKind::Column { index, name } = &expr.kind {
            return match index.checked_sub(self.width) {
                Some(call) => Ok(self.over.column(groups + call)),
                None => Err(SqlError::new(format!("column \"{name}\" is neither in GROUP BY nor in an aggregate"))
                    .hint(format!("add it to GROUP BY, or MAX({name})"))),
            };
        }
        let each = |child: &TypedExpr| self.expression(child, groups);
        expr.try_map_children(&each)
    }
}
