//! Syntax tree of a query → relational tree. What is not supported is refused here, by its name.

use super::aggregate::{Collector, Grouping};
use super::expression::Analyzer;
use super::parse::Source;
use super::relation::Relation;
use super::scope::Scope;
use super::{SqlError, TransformRequest};
use crate::expr::coerce::common_type;
use crate::expr::typed::{ExprKind, TypedExpr};
use crate::types::{Column, Schema};
use datafusion_common::ScalarValue;
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins, Value, WildcardAdditionalOptions, With,
};
use std::collections::HashSet;

type Planned = Result<Relation, SqlError>;

/// Plans one query over the tables of a request.
pub(super) struct Planner<'a> {
    request: &'a TransformRequest<'a>,
    source: Source<'a>,
    /// The queries of WITH that are in sight, the innermost last.
    with: Vec<(String, Relation)>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(request: &'a TransformRequest<'a>) -> Self {
        Self { request, source: Source(request.sql), with: Vec::new() }
    }

    /// The relation of a query.
    pub(super) fn plan(&mut self, query: &Query) -> Planned {
        if let Some(construct) = refused_clause(query) {
            return Err(SqlError::unsupported(construct).at(self.source.of(query)));
        }
        let outer = self.with.len();
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        let planned = self.body(&query.body);
        self.with.truncate(outer);
        planned
    }

    fn with(&mut self, with: &With) -> Result<(), SqlError> {
        if with.recursive {
            return Err(SqlError::unsupported("WITH RECURSIVE").at(self.source.of(with)));
        }
        for cte in &with.cte_tables {
            let relation = self.plan(&cte.query)?;
            let relation = self.aliased(relation, &cte.alias)?;
            self.with.push((cte.alias.name.value.clone(), relation));
        }
        Ok(())
    }

    /// `AS name (a, b)` gives the columns new names.
    fn aliased(&self, relation: Relation, alias: &TableAlias) -> Planned {
        if alias.columns.is_empty() {
            return Ok(relation);
        }
        let (named, there) = (alias.columns.len(), relation.schema.columns.len());
        if named != there {
            let error = SqlError::new(format!("{named} column names for {there} columns"));
            return Err(error.at(self.source.range(alias.name.span)));
        }
        Ok(relation.renamed(alias.columns.iter().map(|column| column.name.value.clone())))
    }

    fn body(&mut self, body: &SetExpr) -> Planned {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.plan(query),
            SetExpr::SetOperation { op: SetOperator::Union, .. } => self.union(body),
            SetExpr::SetOperation { op, .. } => Err(SqlError::unsupported(&op.to_string()).at(self.source.of(body))),
            SetExpr::Values(_) => Err(SqlError::unsupported("VALUES").at(self.source.of(body))),
            other => Err(SqlError::new("a transform's SQL is one query: SELECT …").at(self.source.of(other))),
        }
    }

    /// `a UNION ALL b UNION ALL c`, without recursion along the chain.
    fn union(&mut self, body: &SetExpr) -> Planned {
        let mut parts = Vec::new();
        let mut distinct = false;
        let mut first = body;
        while let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } = first {
            match set_quantifier {
                SetQuantifier::All => {}
                // Only the last UNION of a chain takes away the duplicates of all before it.
                SetQuantifier::None | SetQuantifier::Distinct if parts.is_empty() => distinct = true,
                SetQuantifier::None | SetQuantifier::Distinct => break,
                other => return Err(SqlError::unsupported(&format!("UNION {other}")).at(self.source.of(body))),
            }
            parts.push(&**right);
            first = left;
            if distinct {
                break;
            }
        }
        parts.push(first);
        let mut inputs = Vec::with_capacity(parts.len());
        for part in parts.into_iter().rev() {
            inputs.push((self.body(part)?, self.source.of(part)));
        }
        let union = union_of(inputs)?;
        if distinct { self.distinct(union) } else { Ok(union) }
    }

    fn distinct(&self, input: Relation) -> Planned {
        let select: Vec<_> = (0..input.schema.columns.len()).map(|i| (input.column(i), input.schema.columns[i].name.clone())).collect();
        let group_by = select.iter().map(|(expr, _)| expr.clone()).collect();
        let aggregates = Collector::new(select.len(), true);
        Grouping { group_by, aggregates, select, having: None, final_only: self.request.options.batch_mode }.plan(input)
    }

    fn select(&mut self, select: &Select) -> Planned {
        if let Some(construct) = refused_part(select) {
            return Err(SqlError::unsupported(construct).at(self.source.of(select)));
        }
        let (input, qualifier) = self.from(&select.from).map_err(|e| e.at(self.source.of(select)))?;
        let schema = input.schema.clone();
        let scope = Scope { schema: &schema, qualifier: qualifier.as_deref() };
        let filter = match &select.selection {
            Some(condition) => Some(self.condition(&scope, condition, "WHERE")?),
            None => None,
        };
        let filter = filter.filter(|filter| filter.as_literal() != Some(&ScalarValue::Boolean(Some(true))));
        let groups = self.group_by(&scope, &select.group_by)?;
        let mut collector = Collector::new(schema.columns.len(), groups.is_some());
        let (items, places) = self.select_list(&scope, &mut collector, &select.projection)?;
        let having = match &select.having {
            Some(condition) => {
                let mut analyzer = Analyzer { source: self.source, scope: &scope, aggregates: Some(&mut collector), place: "HAVING" };
                Some(analyzer.expression(condition)?.condition("HAVING")?)
            }
            None => None,
        };
        let grouped = groups.is_some() || !collector.is_empty() || having.is_some();
        let relation = if grouped {
            let input = match filter {
                Some(filter) => filtered(input, filter),
                None => input,
            };
            Self::check_grouped(&items, &places, groups.as_deref().unwrap_or(&[]), schema.columns.len())?;
            let final_only = self.request.options.batch_mode;
            let group_by = groups.unwrap_or_default();
            Grouping { group_by, aggregates: collector, select: items, having, final_only }.plan(input)?
        } else {
            Relation::calc(input, filter, items)
        };
        match &select.distinct {
            Some(Distinct::Distinct) => self.distinct(relation),
            Some(Distinct::On(_)) => Err(SqlError::new("Flink has no DISTINCT ON").at(self.source.of(select))),
            Some(Distinct::All) | None => Ok(relation),
        }
    }

    fn condition(&self, scope: &Scope<'_>, condition: &Expr, place: &'static str) -> Result<TypedExpr, SqlError> {
        let typed = Analyzer { source: self.source, scope, aggregates: None, place }.expression(condition)?;
        typed.condition(place).map_err(|e| SqlError::from(e).at(self.source.of(condition)))
    }

    fn from(&mut self, from: &[TableWithJoins]) -> Result<(Relation, Option<String>), SqlError> {
        match from {
            [] => Err(SqlError::unsupported("SELECT without FROM")),
            [TableWithJoins { relation, joins }] if joins.is_empty() => self.table(relation),
            [TableWithJoins { joins, .. }, ..] => {
                let place = joins.first().and_then(|join| self.source.of(join));
                Err(SqlError::unsupported(if joins.is_empty() { "a list of tables in FROM (a JOIN)" } else { "JOIN" }).at(place))
            }
        }
    }

    /// The relation of a table or subquery, and the name under which its columns go.
    fn table(&mut self, factor: &TableFactor) -> Result<(Relation, Option<String>), SqlError> {
        let place = self.source.of(factor);
        let at = |error: SqlError| Err(error.at(place.clone()));
        match factor {
            TableFactor::Table { name, alias, args: None, version, sample, .. } => {
                if version.is_some() {
                    return at(SqlError::unsupported("FOR SYSTEM_TIME AS OF"));
                }
                if sample.is_some() {
                    return at(SqlError::unsupported("TABLESAMPLE"));
                }
                let (relation, name) = self.named(name).map_err(|e| e.at(self.source.of(name)))?;
                match alias {
                    Some(alias) => Ok((self.aliased(relation, alias)?, Some(alias.name.value.clone()))),
                    None => Ok((relation, Some(name))),
                }
            }
            TableFactor::Derived { lateral: true, .. } => at(SqlError::unsupported("LATERAL")),
            TableFactor::Derived { subquery, alias, .. } => {
                let relation = self.plan(subquery)?;
                match alias {
                    Some(alias) => Ok((self.aliased(relation, alias)?, Some(alias.name.value.clone()))),
                    None => Ok((relation, None)),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.from(std::slice::from_ref(&**table_with_joins)),
            TableFactor::TableFunction { expr, .. } => {
                let name = match expr {
                    Expr::Function(function) => function.name.to_string().to_uppercase(),
                    _ => "TABLE".to_owned(),
                };
                at(SqlError::unsupported(&format!("the table function {name}")))
            }
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
                at(SqlError::unsupported(&format!("the table function {}", name.to_string().to_uppercase())))
            }
            TableFactor::UNNEST { .. } => at(SqlError::unsupported("UNNEST")),
            TableFactor::MatchRecognize { .. } => at(SqlError::unsupported("MATCH_RECOGNIZE")),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => at(SqlError::unsupported("PIVOT")),
            _ => at(SqlError::unsupported("this table expression")),
        }
    }

    fn named(&self, name: &ObjectName) -> Result<(Relation, String), SqlError> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return Err(SqlError::unsupported("a table of a catalog or database"));
        };
        let name = &ident.value;
        if let Some((_, relation)) = self.with.iter().rev().find(|(known, _)| known == name) {
            return Ok((relation.clone(), name.clone()));
        }
        if let Some(table) = self.request.tables.get(name) {
            return Ok((Relation::scan(name, table), name.clone()));
        }
        let known = self.request.tables.keys().map(String::as_str).chain(self.with.iter().map(|(name, _)| name.as_str()));
        Err(SqlError::new(format!("there is no table \"{name}\"")).nearest(name, known))
    }

    /// The expressions of GROUP BY; `None` without one.
    fn group_by(&self, scope: &Scope<'_>, group_by: &GroupByExpr) -> Result<Option<Vec<TypedExpr>>, SqlError> {
        let GroupByExpr::Expressions(exprs, modifiers) = group_by else {
            return Err(SqlError::new("Flink has no GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::unsupported("GROUP BY with ROLLUP, CUBE or GROUPING SETS"));
        }
        if exprs.is_empty() {
            return Ok(None);
        }
        let mut groups = Vec::with_capacity(exprs.len());
        for expr in exprs {
            if matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..))) {
                let error = SqlError::new("Flink does not read a number in GROUP BY as a position").hint("repeat the expression");
                return Err(error.at(self.source.of(expr)));
            }
            // `GROUP BY ()` is one group.
            if matches!(expr, Expr::Tuple(parts) if parts.is_empty()) {
                continue;
            }
            groups.push(Analyzer { source: self.source, scope, aggregates: None, place: "GROUP BY" }.expression(expr)?);
        }
        Ok(Some(groups))
    }

    #[expect(clippy::type_complexity, reason = "the items and, beside them, where they stand")]
    fn select_list(
        &self,
        scope: &Scope<'_>,
        collector: &mut Collector,
        items: &[SelectItem],
    ) -> Result<(Vec<(TypedExpr, String)>, Vec<Option<std::ops::Range<usize>>>), SqlError> {
        let mut list: Vec<(TypedExpr, String)> = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(items.len());
        for item in items {
            let mut analyzer = Analyzer { source: self.source, scope, aggregates: Some(&mut *collector), place: "SELECT" };
            let place = self.source.of(item);
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let typed = analyzer.expression(expr)?;
                    let name = match &typed.kind {
                        ExprKind::Column { name, index } if *index < scope.schema.columns.len() => name.clone(),
                        _ => format!("EXPR${}", list.len()),
                    };
                    list.push((typed, name));
                }
                SelectItem::ExprWithAlias { expr, alias } => list.push((analyzer.expression(expr)?, alias.value.clone())),
                SelectItem::Wildcard(options) => all_columns(scope, options, &mut list)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let text = name.to_string();
                    if scope.qualifier != Some(text.trim_matches('`')) {
                        let error = SqlError::new(format!("there is no table \"{text}\" here"));
                        return Err(error.nearest(&text, scope.qualifier).at(place));
                    }
                    all_columns(scope, options, &mut list)?;
                }
                _ => return Err(SqlError::unsupported("this item of SELECT").at(place)),
            }
            places.resize(list.len(), place);
        }
        unique_names(&mut list);
        Ok((list, places))
    }

    /// Errors at the select item that uses a column which is not grouped.
    fn check_grouped(
        items: &[(TypedExpr, String)],
        places: &[Option<std::ops::Range<usize>>],
        groups: &[TypedExpr],
        width: usize,
    ) -> Result<(), SqlError> {
        fn stray<'e>(expr: &'e TypedExpr, groups: &[TypedExpr], width: usize) -> Option<&'e str> {
            if groups.iter().any(|group| super::aggregate::same(group, expr)) {
                return None;
            }
            match &expr.kind {
                ExprKind::Column { index, name } if *index < width => Some(name),
                _ => expr.children().into_iter().find_map(|child| stray(child, groups, width)),
            }
        }
        for ((expr, _), place) in items.iter().zip(places) {
            if let Some(name) = stray(expr, groups, width) {
                let error = SqlError::new(format!("column \"{name}\" is neither in GROUP BY nor in an aggregate"));
                return Err(error.hint(format!("add it to GROUP BY, or MAX({name})")).at(place.clone()));
            }
        }
        Ok(())
    }
}

/// `input` with only the rows for which `filter` is true.
fn filtered(input: Relation, filter: TypedExpr) -> Relation {
    let columns = (0..input.schema.columns.len()).map(|i| (input.column(i), input.schema.columns[i].name.clone())).collect();
    Relation::calc(input, Some(filter), columns)
}

fn all_columns(scope: &Scope<'_>, options: &WildcardAdditionalOptions, list: &mut Vec<(TypedExpr, String)>) -> Result<(), SqlError> {
    let plain =
        options.opt_exclude.is_none() && options.opt_except.is_none() && options.opt_replace.is_none() && options.opt_rename.is_none();
    if !plain || options.opt_ilike.is_some() || options.opt_alias.is_some() {
        return Err(SqlError::new("Flink's * takes no EXCEPT, REPLACE or RENAME"));
    }
    for (index, column) in scope.schema.columns.iter().enumerate() {
        list.push((TypedExpr::column(index, &column.name, column.data_type.clone()), column.name.clone()));
    }
    Ok(())
}

/// Gives names that come twice a number, as Flink does: `a`, `a0`, `a1`.
fn unique_names(list: &mut [(TypedExpr, String)]) {
    let mut taken: HashSet<String> = HashSet::with_capacity(list.len());
    for (_, name) in list {
        if !taken.contains(name) {
            taken.insert(name.clone());
            continue;
        }
        // So many names are taken, so one number more is free.
        let mut numbered = (0..=taken.len()).map(|n| format!("{name}{n}"));
        if let Some(free) = numbered.find(|numbered| !taken.contains(numbered)) {
            taken.insert(free.clone());
            *name = free;
        }
    }
}

/// All rows of all inputs; columns are brought to their common types, names are those of the first.
fn union_of(inputs: Vec<(Relation, Option<std::ops::Range<usize>>)>) -> Planned {
    let mut columns: Vec<Column> = Vec::new();
    for (number, (input, place)) in inputs.iter().enumerate() {
        if number == 0 {
            columns.clone_from(&input.schema.columns);
            continue;
        }
        let (first, this) = (columns.len(), input.schema.columns.len());
        if first != this {
            return Err(SqlError::new(format!("UNION of {first} columns and {this} columns")).at(place.clone()));
        }
        for (column, other) in columns.iter_mut().zip(&input.schema.columns) {
            column.data_type = common_type(&column.data_type, &other.data_type).ok_or_else(|| {
                let (a, b) = (&column.data_type, &other.data_type);
                SqlError::new(format!("UNION of column \"{}\": {a} and {b} have no common type", column.name)).at(place.clone())
            })?;
        }
    }
    let schema = Schema::new(columns);
    let mut aligned = Vec::with_capacity(inputs.len());
    for (input, _) in inputs {
        let cast = schema.columns.iter().enumerate().map(|(i, column)| {
            let typed = input.column(i).implicit_cast(&column.data_type.kind)?;
            Ok((typed, column.name.clone()))
        });
        let cast = cast.collect::<Result<Vec<_>, SqlError>>()?;
        aligned.push(Relation::calc(input, None, cast));
    }
    Ok(Relation::union(aligned, schema))
}

fn refused_clause(query: &Query) -> Option<&'static str> {
    if query.order_by.is_some() {
        return Some("ORDER BY");
    }
    if query.limit_clause.is_some() {
        return Some("LIMIT");
    }
    if query.fetch.is_some() {
        return Some("FETCH");
    }
    let other = !query.locks.is_empty() || query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some();
    (other || !query.pipe_operators.is_empty()).then_some("this clause behind the query")
}

fn refused_part(select: &Select) -> Option<&'static str> {
    if select.qualify.is_some() {
        return Some("QUALIFY");
    }
    if !select.named_window.is_empty() {
        return Some("WINDOW");
    }
    if !select.lateral_views.is_empty() {
        return Some("LATERAL VIEW");
    }
    if !select.optimizer_hints.is_empty() {
        return Some("a hint");
    }
    let other = select.top.is_some()
        || select.into.is_some()
        || select.prewhere.is_some()
        || select.exclude.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || select.value_table_mode.is_some();
    other.then_some("this clause of SELECT")
}
