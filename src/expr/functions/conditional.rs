//! COALESCE and its kin. They are CASE in other words, so that an argument is evaluated only where it is needed.

use super::Definition::{Expression, Kernel as Bind};
use super::{Bound, Entry};
use crate::expr::coerce::common_type;
use crate::expr::kernel::{Arg, Kernel};
use crate::expr::number::{Comparison, comparison_kernel};
use crate::expr::typed::{Call, ExprError, Style, TypedExpr};
use crate::types::{LogicalType, TypeKind};
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::{self, kernels::zip::zip};
use std::sync::Arc;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("COALESCE", Expression(coalesce)),
    ("IFNULL", Expression(if_null)),
    ("NULLIF", Expression(null_if)),
    ("IF", Expression(if_else)),
    ("GREATEST", Bind(|args| extreme(args, Comparison::Greater))),
    ("LEAST", Bind(|args| extreme(args, Comparison::Less))),
];

fn exactly<const N: usize>(args: Vec<TypedExpr>) -> Result<[TypedExpr; N], ExprError> {
    let found = args.len();
    args.try_into().map_err(|_| ExprError::new(format!("takes {N} arguments, not {found}")))
}

fn coalesce(mut args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    // What follows an argument that is never NULL is never looked at.
    if let Some(certain) = args.iter().position(|arg| !arg.data_type.nullable) {
        args.truncate(certain + 1);
    }
    let Some(last) = args.pop() else {
        return Err(ExprError::new("takes at least 1 argument, not 0"));
    };
    if args.is_empty() {
        return Ok(last);
    }
    let never_null = !last.data_type.nullable;
    if !args.iter().chain([&last]).any(TypedExpr::is_fallible) {
        args.push(last);
        let kind = common(&args)?;
        let args = args.into_iter().map(|arg| arg.implicit_cast(&kind)).collect::<Result<Vec<_>, _>>()?;
        let call = Call { name: "COALESCE", style: Style::Function, kernel: first_valid(&kind), args, fallible: false };
        return Ok(TypedExpr::call(call, LogicalType { kind, nullable: !never_null }));
    }
    let branches = args.into_iter().map(|arg| (arg.clone().is_null(true), arg)).collect();
    let mut made = TypedExpr::case(branches, Some(last))?;
    if never_null {
        made.data_type.nullable = false;
    }
    Ok(made)
}

fn if_null(args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    coalesce(exactly::<2>(args)?.into())
}

fn null_if(args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    let [value, other] = exactly(args)?;
    let equal = TypedExpr::compare(Comparison::Equal, value.clone(), other)?;
    let kind = value.data_type.kind.clone();
    TypedExpr::case(vec![(equal, TypedExpr::null().cast(&kind, false)?)], Some(value))
}

fn if_else(args: Vec<TypedExpr>) -> Result<TypedExpr, ExprError> {
    let [condition, yes, no] = exactly(args)?;
    TypedExpr::case(vec![(condition, yes)], Some(no))
}

/// The common type of all arguments.
fn common(args: &[TypedExpr]) -> Result<TypeKind, ExprError> {
    let mut common = LogicalType::nullable(TypeKind::Null);
    for arg in args {
        common = common_type(&common, &arg.data_type).ok_or_else(|| {
            let (a, b) = (LogicalType::nullable(common.kind.clone()), LogicalType::nullable(arg.data_type.kind.clone()));
            ExprError::new(format!("{a} and {b} have no common type")).hint("CAST one of them")
        })?;
    }
    Ok(common.kind)
}

/// The extreme of all arguments; NULL if one is.
fn extreme(args: &[TypedExpr], better: Comparison) -> Result<Bound, ExprError> {
    if args.is_empty() {
        return Err(ExprError::new("takes at least 1 argument, not 0"));
    }
    let kind = common(args)?;
    if matches!(kind, TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Row(_)) {
        return Err(ExprError::new(format!("does not take {}", LogicalType::nullable(kind))));
    }
    let compare = comparison_kernel(better, &kind);
    let null = kind == TypeKind::Null;
    let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
        let mut best = args[0].expanded(rows)?;
        for next in args.iter().skip(1).filter(|_| !null) {
            let next = Arg { array: next.expanded(rows)?, scalar: false };
            let flags = compare(&[next.clone(), Arg { array: best.clone(), scalar: false }], rows)?;
            // NULL wins: a row that is NULL on either side stays or becomes NULL.
            let flags = (0..rows).map(|row| {
                let better = flags.is_valid(row) && flags.as_boolean_opt().is_some_and(|f| f.value(row));
                Some(better || next.array.is_null(row))
            });
            best = zip(&flags.collect::<BooleanArray>(), &next.array, &best)?;
        }
        Ok(best)
    });
    Ok(Bound::new(vec![kind.clone(); args.len()], kind, kernel))
}

/// The first argument that is not NULL, for arguments that are cheap and cannot fail.
fn first_valid(kind: &TypeKind) -> Kernel {
    let null = *kind == TypeKind::Null;
    Arc::new(move |args: &[Arg], rows| {
        let mut found = args[0].expanded(rows)?;
        for next in args.iter().skip(1).filter(|_| !null) {
            if found.null_count() == 0 {
                break;
            }
            found = zip(&compute::is_not_null(&found)?, &found, &next.expanded(rows)?)?;
        }
        Ok(found)
    })
}
