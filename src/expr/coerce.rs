//! Which type an operation has: Flink's rules for common types and for DECIMAL (`LogicalTypeMerging`).

use crate::types::{LogicalType, TypeKind};

const MAX_PRECISION: u8 = 38;

/// At least this many digits behind the point survive when a DECIMAL result needs more than 38 digits.
const MIN_ADJUSTED_SCALE: i32 = 6;

/// True for the types that `+ - * /` take.
pub fn is_numeric(kind: &TypeKind) -> bool {
    is_integer(kind) || matches!(kind, TypeKind::Float | TypeKind::Double | TypeKind::Decimal(..))
}

/// True for TINYINT to BIGINT.
pub fn is_integer(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt)
}

/// True for CHAR, VARCHAR and STRING.
pub fn is_text(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Char(_) | TypeKind::VarChar(_) | TypeKind::String)
}

/// True for both kinds of timestamp.
pub fn is_timestamp(kind: &TypeKind) -> bool {
    matches!(kind, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_))
}

/// The DECIMAL that holds every value of an integer or DECIMAL type.
pub fn as_decimal(kind: &TypeKind) -> Option<(u8, u8)> {
    match kind {
        TypeKind::TinyInt => Some((3, 0)),
        TypeKind::SmallInt => Some((5, 0)),
        TypeKind::Int => Some((10, 0)),
        TypeKind::BigInt => Some((19, 0)),
        TypeKind::Decimal(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// `+ - * / %`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`, `MOD`
    Modulo,
}

impl Arithmetic {
    /// As SQL writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// Precision and scale of an operation on DECIMALs (Flink: `LogicalTypeMerging.find*DecimalType`).
pub fn decimal_result(op: Arithmetic, left: (u8, u8), right: (u8, u8)) -> (u8, u8) {
    let (p1, s1, p2, s2) = (i32::from(left.0), i32::from(left.1), i32::from(right.0), i32::from(right.1));
    let (precision, scale) = match op {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
        Arithmetic::Multiply => (p1 + p2 + 1, s1 + s2),
        Arithmetic::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Arithmetic::Modulo => {
            let scale = s1.max(s2);
            ((p1 - s1).min(p2 - s2) + scale, scale)
        }
    };
    adjust(precision, scale)
}

fn adjust(precision: i32, scale: i32) -> (u8, u8) {
    let max = i32::from(MAX_PRECISION);
    if precision <= max {
        return (precision.max(1) as u8, scale as u8);
    }
    let least = scale.min(MIN_ADJUSTED_SCALE);
    (MAX_PRECISION, (max - (precision - scale)).max(least) as u8)
}

/// Precision and scale of `ROUND(DECIMAL(p, s), digits)` (Flink: `findRoundDecimalType`).
pub fn decimal_round_result((precision, scale): (u8, u8), digits: i64) -> (u8, u8) {
    if digits >= i64::from(scale) {
        return (precision, scale);
    }
    if digits < 0 {
        return (MAX_PRECISION.min(1 + precision - scale), 0);
    }
    (MAX_PRECISION.min(1 + precision - scale + digits as u8), digits as u8)
}

/// The numeric type that both operands of an arithmetic operation other than on DECIMALs are brought to.
pub fn common_numeric(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    use TypeKind::{BigInt, Decimal, Double, Float, Int, SmallInt, TinyInt};
    let rank = |kind: &TypeKind| match kind {
        TinyInt => Some(0),
        SmallInt => Some(1),
        Int => Some(2),
        BigInt => Some(3),
        Decimal(..) => Some(4),
        Float => Some(5),
        Double => Some(6),
        _ => None,
    };
    let (l, r) = (rank(left)?, rank(right)?);
    Some(match (left, right) {
        (Decimal(..), Float) | (Float, Decimal(..)) => Double,
        _ if l.max(r) == 4 => {
            let ((p1, s1), (p2, s2)) = (as_decimal(left)?, as_decimal(right)?);
            let scale = s1.max(s2);
            let digits = (p1 - s1).max(p2 - s2);
            // Flink keeps the digits before the point when both do not fit.
            let precision = MAX_PRECISION.min(digits + scale);
            Decimal(precision, scale.min(MAX_PRECISION - digits.min(MAX_PRECISION)))
        }
        _ if l >= r => left.clone(),
        _ => right.clone(),
    })
}

/// The type that holds the values of both (CASE, COALESCE, UNION, IN); `None` if there is none.
pub fn common_type(left: &LogicalType, right: &LogicalType) -> Option<LogicalType> {
    let nullable = left.nullable || right.nullable;
    let kind = common_kind(&left.kind, &right.kind)?;
    Some(LogicalType { kind, nullable })
}

fn common_kind(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    use TypeKind::{Char, Null, String, Timestamp, TimestampLtz, VarChar};
    if left == right {
        return Some(left.clone());
    }
    if let Some(numeric) = common_numeric(left, right) {
        return Some(numeric);
    }
    let length = |kind: &TypeKind| match kind {
        Char(n) | VarChar(n) => Some(*n),
        _ => None,
    };
    Some(match (left, right) {
        (Null, other) | (other, Null) => other.clone(),
        (Timestamp(a), Timestamp(b)) => Timestamp(*a.max(b)),
        (TimestampLtz(a), TimestampLtz(b) | Timestamp(b)) | (Timestamp(a), TimestampLtz(b)) => TimestampLtz(*a.max(b)),
        _ if is_text(left) && is_text(right) => match (length(left), length(right)) {
            (Some(a), Some(b)) => VarChar(a.max(b)),
            _ => String,
        },
        _ => return None,
    })
}

/// The type in which two values are compared: their common type, or that of the one that is not text.
pub fn comparison_type(left: &TypeKind, right: &TypeKind) -> Option<TypeKind> {
    if let Some(kind) = common_kind(left, right) {
        return Some(kind);
    }
    let comparable =
        |kind: &TypeKind| is_numeric(kind) || is_timestamp(kind) || matches!(kind, TypeKind::Date | TypeKind::Time | TypeKind::Boolean);
    match (left, right) {
        (text, other) | (other, text) if is_text(text) && comparable(other) => Some(match other {
            // A text may hold more than the integer type does.
            kind if is_integer(kind) => TypeKind::BigInt,
            TypeKind::Decimal(..) => TypeKind::Double,
            kind => kind.clone(),
        }),
        _ => None,
    }
}

/// The type of `SUM(x)`; `None` if it does not take `x` (Flink: `findSumAggType`).
pub fn sum_type(argument: &TypeKind) -> Option<TypeKind> {
    match argument {
        TypeKind::Decimal(_, scale) => Some(TypeKind::Decimal(MAX_PRECISION, *scale)),
        kind if is_numeric(kind) => Some(kind.clone()),
        _ => None,
    }
}

/// The type of `AVG(x)`; `None` if it does not take `x` (Flink: `findAvgAggType`).
pub fn avg_type(argument: &TypeKind) -> Option<TypeKind> {
    match argument {
        TypeKind::Decimal(_, scale) => Some(TypeKind::Decimal(MAX_PRECISION, (*scale).max(6))),
        kind if is_numeric(kind) => Some(kind.clone()),
        _ => None,
    }
}
