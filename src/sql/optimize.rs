//! Rewrites that change what a query costs and not what it means: adjacent Calcs become one, unused columns go.

use super::relation::{Relation, RelationNode};
use crate::expr::typed::{ExprKind, TypedExpr};
use crate::types::TypeKind;
use std::collections::{BTreeMap, BTreeSet};

/// The columns of each table that are used.
type UsedColumns = BTreeMap<String, BTreeSet<usize>>;

/// The rewritten relation, and the columns of each table that it uses.
pub(super) fn optimize(relation: Relation) -> (Relation, UsedColumns) {
    let merged = merge(relation);
    let all = (0..merged.schema.columns.len()).collect();
    let mut used = UsedColumns::new();
    let (pruned, _) = prune(merged, &all, &mut used);
    (merge(pruned), used)
}

fn merge(relation: Relation) -> Relation {
    let Relation { node, schema, unique_key, time_attribute, updating } = relation;
    let node = match node {
        RelationNode::Scan { .. } => node,
        RelationNode::Aggregate { input, group_by, calls } => RelationNode::Aggregate { input: Box::new(merge(*input)), group_by, calls },
        RelationNode::Union { inputs } => RelationNode::Union { inputs: inputs.into_iter().map(merge).collect() },
        RelationNode::Calc { input, filter, projection } => {
            let input = merge(*input);
            if filter.is_none() && is_identity(&projection, &input) && input.schema == schema {
                return input;
            }
            merge_calcs(input, filter, projection)
        }
    };
    Relation { node, schema, unique_key, time_attribute, updating }
}

fn is_identity(projection: &[TypedExpr], input: &Relation) -> bool {
    projection.len() == input.schema.columns.len() && projection.iter().enumerate().all(|(i, expr)| expr.as_column() == Some(i))
}

/// A Calc over `input`; one Calc if that is one too and nothing would be computed twice.
fn merge_calcs(input: Relation, filter: Option<TypedExpr>, projection: Vec<TypedExpr>) -> RelationNode {
    let RelationNode::Calc { input: below, filter: first, projection: inner } = &input.node else {
        return RelationNode::Calc { input: Box::new(input), filter, projection };
    };
    let mut uses = vec![0_usize; inner.len()];
    for expr in projection.iter().chain(&filter) {
        expr.for_each_column(&mut |column| uses[column] += 1);
    }
    let cheap = |expr: &TypedExpr| matches!(expr.kind, ExprKind::Column { .. } | ExprKind::Literal(_));
    if !inner.iter().zip(&uses).all(|(expr, uses)| *uses <= 1 || cheap(expr)) {
        return RelationNode::Calc { input: Box::new(input), filter, projection };
    }
    let substitute = |expr: &TypedExpr| {
        expr.replace_columns(&|index, column| {
            let inside = inner[index].clone();
            // A rename or an implicit cast between texts may have changed the type that is shown.
            TypedExpr { data_type: column.data_type.clone(), ..inside }
        })
    };
    let second = filter.as_ref().map(substitute);
    let filter = match (first.clone(), second) {
        // Both are conditions already, so AND cannot fail; the first one guards the second.
        (Some(a), Some(b)) => match TypedExpr::and(a, b) {
            Ok(both) => Some(both),
            Err(_) => return RelationNode::Calc { input: Box::new(input), filter, projection },
        },
        (a, b) => a.or(b),
    };
    let projection = projection.iter().map(substitute).collect();
    RelationNode::Calc { input: below.clone(), filter, projection }
}

/// For each column of the relation before, its place now.
type Places = Vec<Option<usize>>;

fn places(width: usize, kept: &[usize]) -> Places {
    let mut places = vec![None; width];
    for (new, old) in kept.iter().enumerate() {
        places[*old] = Some(new);
    }
    places
}

fn moved(expr: &TypedExpr, places: &Places) -> TypedExpr {
    expr.replace_columns(&|index, column| match &column.kind {
        ExprKind::Column { name, .. } => TypedExpr::column(places[index].unwrap_or(index), name, column.data_type.clone()),
        _ => column.clone(),
    })
}

/// The relation with at least the columns `keep`.
fn prune(relation: Relation, keep: &BTreeSet<usize>, used: &mut UsedColumns) -> (Relation, Places) {
    let Relation { node, schema, unique_key, time_attribute, updating } = relation;
    let width = schema.columns.len();
    let (node, kept) = match node {
        RelationNode::Scan { table, mode, columns } => {
            let mut kept: Vec<usize> = keep.iter().copied().collect();
            if kept.is_empty() {
                // Rows without columns cannot be told from no rows everywhere: read the cheapest column.
                kept.extend(cheapest(&schema));
            }
            let columns: Vec<usize> = kept.iter().map(|i| columns[*i]).collect();
            used.entry(table.clone()).or_default().extend(&columns);
            (RelationNode::Scan { table, mode, columns }, kept)
        }
        RelationNode::Calc { input, filter, projection } => {
            let kept: Vec<usize> = keep.iter().copied().collect();
            let mut below = BTreeSet::new();
            for expr in kept.iter().map(|i| &projection[*i]).chain(&filter) {
                expr.for_each_column(&mut |column| {
                    below.insert(column);
                });
            }
            let (input, places) = prune(*input, &below, used);
            let filter = filter.map(|filter| moved(&filter, &places));
            let projection = kept.iter().map(|i| moved(&projection[*i], &places)).collect();
            (RelationNode::Calc { input: Box::new(input), filter, projection }, kept)
        }
        RelationNode::Aggregate { input, group_by, calls } => {
            let groups = group_by.len();
            let mut kept: Vec<usize> = (0..groups).collect();
            kept.extend(keep.iter().copied().filter(|i| *i >= groups));
            if kept.is_empty() {
                // One row without columns: the first aggregate stays.
                kept.extend((!calls.is_empty()).then_some(0));
            }
            let calls: Vec<_> = kept.iter().filter(|i| **i >= groups).map(|i| calls[*i - groups].clone()).collect();
            let mut below: BTreeSet<usize> = group_by.iter().copied().collect();
            below.extend(calls.iter().flat_map(|call| call.argument.into_iter().chain(call.filter)));
            let (input, places) = prune(*input, &below, used);
            let place = |column: usize| places[column].unwrap_or(column);
            let group_by = group_by.into_iter().map(place).collect();
            let mut calls = calls;
            for call in &mut calls {
                call.argument = call.argument.map(place);
                call.filter = call.filter.map(place);
            }
            (RelationNode::Aggregate { input: Box::new(input), group_by, calls }, kept)
        }
        RelationNode::Union { inputs } => {
            let kept: Vec<usize> = keep.iter().copied().collect();
            let inputs = inputs.into_iter().map(|input| {
                let (input, places) = prune(input, keep, used);
                let columns: Vec<usize> = kept.iter().filter_map(|i| places[*i]).collect();
                Relation::project(input, &columns)
            });
            (RelationNode::Union { inputs: inputs.collect() }, kept)
        }
    };
    let places = places(width, &kept);
    let unique_key = unique_key.and_then(|key| key.iter().map(|i| places[*i]).collect());
    let time_attribute = time_attribute.and_then(|i| places[i]);
    (Relation { node, schema: schema.project(&kept), unique_key, time_attribute, updating }, places)
}

fn cheapest(schema: &crate::types::Schema) -> Option<usize> {
    let cost = |kind: &TypeKind| match kind {
        TypeKind::Boolean | TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt => 0,
        TypeKind::Float | TypeKind::Double => 1,
        TypeKind::Date | TypeKind::Time | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => 2,
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Row(_) => 4,
        _ => 3,
    };
    (0..schema.columns.len()).min_by_key(|i| cost(&schema.columns[*i].data_type.kind))
}
