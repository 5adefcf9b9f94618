//! Typed expressions: what a query's expressions mean, before they become physical expressions. Constants are folded as they are
//! built.

use super::cast;
use super::coerce::{self, Arithmetic, as_decimal, common_numeric, comparison_type, decimal_result, is_numeric, is_text, is_timestamp};
use super::decimal;
use super::functions::time;
use super::kernel::{Arg, Kernel};
use super::number::{self, Comparison};
use crate::types::{LogicalType, TypeKind};
use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute;
use datafusion_common::ScalarValue;
use std::fmt;
use std::sync::Arc;

/// An operation that its operands do not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

impl ExprError {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// An expression over the columns of one input, with the type of its values.
#[derive(Clone)]
pub struct TypedExpr {
    /// What it does.
    pub kind: ExprKind,
    /// The type of its values.
    pub data_type: LogicalType,
}

/// What an expression does.
#[derive(Clone)]
pub enum ExprKind {
    /// The value of a column.
    Column {
        /// Its position in the input.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A constant.
    Literal(ScalarValue),
    /// The wall-clock time of evaluation.
    Now,
    /// A function or operator.
    Call(Call),
    /// AND: the second operand is not evaluated where the first is false.
    And(Box<TypedExpr>, Box<TypedExpr>),
    /// OR: the second operand is not evaluated where the first is true.
    Or(Box<TypedExpr>, Box<TypedExpr>),
    /// CASE: a result is evaluated only where its condition holds.
    Case {
        /// Conditions and results, in order.
        branches: Vec<(TypedExpr, TypedExpr)>,
        /// ELSE; NULL without one.
        otherwise: Option<Box<TypedExpr>>,
    },
    /// IN (constants)
    In {
        /// What is looked for.
        value: Box<TypedExpr>,
        /// Constants of the value's type.
        list: Vec<TypedExpr>,
        /// NOT IN
        negated: bool,
    },
}

/// How a call is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `NAME(a, b)`
    Function,
    /// `(a NAME b)`
    Infix,
    /// `a NAME`
    Postfix,
    /// `NAME(a AS type)`
    Cast,
    /// `a`: a conversion that the user did not write.
    Hidden,
}

/// A call of a kernel.
#[derive(Clone)]
pub struct Call {
    /// As the plan shows it.
    pub name: &'static str,
    /// Likewise.
    pub style: Style,
    /// What computes it.
    pub kernel: Kernel,
    /// The arguments, with the types that the kernel takes.
    pub args: Vec<TypedExpr>,
    /// True if the call itself can fail on a row.
    pub fallible: bool,
}

impl fmt::Debug for TypedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for TypedExpr {
    /// As Flink's plans show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Column { name, .. } => f.write_str(name),
            ExprKind::Literal(value) => self.fmt_literal(value, f),
            ExprKind::Now => f.write_str("PROCTIME()"),
            ExprKind::And(a, b) => write!(f, "({a} AND {b})"),
            ExprKind::Or(a, b) => write!(f, "({a} OR {b})"),
            ExprKind::Call(call) => match (call.style, call.args.as_slice()) {
                (Style::Infix, [a, b]) => write!(f, "({a} {} {b})", call.name),
                (Style::Hidden, [a]) => write!(f, "{a}"),
                (Style::Postfix, [a]) => write!(f, "{a} {}", call.name),
                (Style::Cast, [a]) => {
                    let kind = LogicalType::nullable(self.data_type.kind.clone());
                    write!(f, "{}({a} AS {kind})", call.name)
                }
                (_, args) => {
                    write!(f, "{}(", call.name)?;
                    for (i, arg) in args.iter().enumerate() {
                        write!(f, "{}{arg}", if i == 0 { "" } else { ", " })?;
                    }
                    f.write_str(")")
                }
            },
            ExprKind::Case { branches, otherwise } => {
                f.write_str("CASE")?;
                for (condition, result) in branches {
                    write!(f, " WHEN {condition} THEN {result}")?;
                }
                match otherwise {
                    Some(result) => write!(f, " ELSE {result} END"),
                    None => f.write_str(" END"),
                }
            }
            ExprKind::In { value, list, negated } => {
                write!(f, "{value} {}IN (", if *negated { "NOT " } else { "" })?;
                for (i, item) in list.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl TypedExpr {
    fn fmt_literal(&self, value: &ScalarValue, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if value.is_null() {
            return f.write_str("NULL");
        }
        let text = value.to_array().ok().and_then(|array| cast::text_of(&self.data_type.kind, &array, 0));
        match (text, &self.data_type.kind) {
            (Some(text), kind) if is_text(kind) => write!(f, "'{}'", text.replace('\'', "''")),
            (Some(text), TypeKind::Date) => write!(f, "DATE '{text}'"),
            (Some(text), kind) if is_timestamp(kind) => write!(f, "TIMESTAMP '{text}'"),
            (Some(text), _) => f.write_str(&text),
            (None, TypeKind::Interval) => f.write_str(&time::interval_text(value)),
            (None, _) => write!(f, "{value}"),
        }
    }

    /// A column.
    pub fn column(index: usize, name: &str, data_type: LogicalType) -> Self {
        Self { kind: ExprKind::Column { index, name: name.to_owned() }, data_type }
    }

    /// A constant.
    pub fn literal(value: ScalarValue, kind: TypeKind) -> Self {
        let nullable = value.is_null();
        Self { kind: ExprKind::Literal(value), data_type: LogicalType { kind, nullable } }
    }

    /// A bare NULL.
    pub fn null() -> Self {
        Self::literal(ScalarValue::Null, TypeKind::Null)
    }

    /// TRUE or FALSE.
    pub fn boolean(value: bool) -> Self {
        Self::literal(ScalarValue::Boolean(Some(value)), TypeKind::Boolean)
    }

    /// The wall-clock time of evaluation, TIMESTAMP_LTZ(3).
    pub fn now() -> Self {
        Self { kind: ExprKind::Now, data_type: LogicalType::not_null(TypeKind::TimestampLtz(3)) }
    }

    /// The constant, if it is one.
    pub fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.kind {
            ExprKind::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The constant text, if it is one that is not NULL.
    pub fn as_text(&self) -> Option<&str> {
        match self.as_literal()? {
            ScalarValue::Utf8(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// The column's position, if it is a column.
    pub fn as_column(&self) -> Option<usize> {
        match &self.kind {
            ExprKind::Column { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The operands.
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) | ExprKind::Now => Vec::new(),
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::And(a, b) | ExprKind::Or(a, b) => vec![a, b],
            ExprKind::Case { branches, otherwise } => {
                let results = branches.iter().flat_map(|(condition, result)| [condition, result]);
                results.chain(otherwise.as_deref()).collect()
            }
            ExprKind::In { value, list, .. } => std::iter::once(&**value).chain(list).collect(),
        }
    }

    /// Calls `f` for each column that is read, as often as it is read.
    pub fn for_each_column(&self, f: &mut dyn FnMut(usize)) {
        if let Some(index) = self.as_column() {
            f(index);
        }
        for child in self.children() {
            child.for_each_column(f);
        }
    }

    /// The same expression over the operands that `f` makes of its operands.
    pub fn try_map_children<E>(&self, f: &dyn Fn(&Self) -> Result<Self, E>) -> Result<Self, E> {
        let boxed = |expr: &Self| f(expr).map(Box::new);
        let kind = match &self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) | ExprKind::Now => return Ok(self.clone()),
            ExprKind::Call(call) => {
                let args = call.args.iter().map(f).collect::<Result<_, E>>()?;
                return Ok(Self::call(Call { args, ..call.clone() }, self.data_type.clone()));
            }
            ExprKind::And(a, b) => ExprKind::And(boxed(a)?, boxed(b)?),
            ExprKind::Or(a, b) => ExprKind::Or(boxed(a)?, boxed(b)?),
            ExprKind::Case { branches, otherwise } => ExprKind::Case {
                branches: branches.iter().map(|(c, r)| Ok((f(c)?, f(r)?))).collect::<Result<_, E>>()?,
                otherwise: otherwise.as_deref().map(boxed).transpose()?,
            },
            ExprKind::In { value, list, negated } => ExprKind::In { value: boxed(value)?, list: list.clone(), negated: *negated },
        };
        Ok(Self { kind, data_type: self.data_type.clone() })
    }

    /// The same expression with each column replaced by `f(position, column)`.
    #[must_use]
    pub fn replace_columns(&self, f: &dyn Fn(usize, &Self) -> Self) -> Self {
        if let Some(index) = self.as_column() {
            return f(index, self);
        }
        let replaced: Result<Self, std::convert::Infallible> = self.try_map_children(&|child| Ok(child.replace_columns(f)));
        match replaced {
            Ok(expr) => expr,
            Err(never) => match never {},
        }
    }

    /// True if evaluating it can fail on a row.
    pub fn is_fallible(&self) -> bool {
        matches!(&self.kind, ExprKind::Call(call) if call.fallible) || self.children().iter().any(|child| child.is_fallible())
    }

    /// True if it reads the clock.
    pub fn reads_clock(&self) -> bool {
        matches!(self.kind, ExprKind::Now) || self.children().iter().any(|child| child.reads_clock())
    }

    /// A call; folded if all arguments are constants and the kernel does not fail on them.
    pub fn call(call: Call, data_type: LogicalType) -> Self {
        let folded = Self::fold(&call, &data_type);
        folded.unwrap_or(Self { kind: ExprKind::Call(call), data_type })
    }

    fn fold(call: &Call, data_type: &LogicalType) -> Option<Self> {
        if call.args.is_empty() {
            return None;
        }
        let constants = call.args.iter().map(|arg| {
            let array = arg.as_literal()?.to_array().ok()?;
            Some(Arg { array, scalar: true })
        });
        let array = (call.kernel)(&constants.collect::<Option<Vec<_>>>()?, 1).ok()?;
        let value = ScalarValue::try_from_array(&array, 0).ok()?;
        (value.data_type() == data_type.to_arrow()).then(|| Self::literal(value, data_type.kind.clone()))
    }

    /// A call of a kernel whose result is NULL where an argument is, and that cannot fail.
    pub fn simple(name: &'static str, style: Style, kernel: Kernel, args: Vec<Self>, kind: TypeKind) -> Self {
        let nullable = args.iter().any(|arg| arg.data_type.nullable);
        Self::call(Call { name, style, kernel, args, fallible: false }, LogicalType { kind, nullable })
    }

    /// CAST; TRY_CAST with `lenient`.
    pub fn cast(self, to: &TypeKind, lenient: bool) -> Result<Self, ExprError> {
        if self.data_type.kind == *to {
            return Ok(self);
        }
        let nullable = self.data_type.nullable;
        let from = LogicalType::nullable(self.data_type.kind.clone());
        let target = LogicalType { kind: to.clone(), nullable };
        let Some(found) = cast::conversion(&from.kind, &target, lenient) else {
            let shown = LogicalType::nullable(to.clone());
            let error = ExprError::new(format!("a value of type {from} cannot be cast to {shown}"));
            let from_number = is_numeric(&from.kind) && is_timestamp(to);
            return Err(if from_number { error.hint("use TO_TIMESTAMP_LTZ or TO_TIMESTAMP(FROM_UNIXTIME(…))") } else { error });
        };
        let data_type = LogicalType { nullable: nullable || found.makes_null, ..target };
        let name = if lenient { "TRY_CAST" } else { "CAST" };
        let call = Call { name, style: Style::Cast, kernel: found.kernel, args: vec![self], fallible: found.fallible };
        Ok(Self::call(call, data_type))
    }

    /// A cast that the user did not write.
    pub fn implicit_cast(self, to: &TypeKind) -> Result<Self, ExprError> {
        // A CHAR or VARCHAR is already carried as a text: no values change.
        if is_text(to) && is_text(&self.data_type.kind) {
            let data_type = LogicalType { kind: to.clone(), nullable: self.data_type.nullable };
            return Ok(Self { data_type, ..self });
        }
        if self.data_type.kind == *to {
            return Ok(self);
        }
        let mut cast = self.cast(to, false)?;
        if let ExprKind::Call(call) = &mut cast.kind {
            call.style = Style::Hidden;
        }
        Ok(cast)
    }

    /// `left op right`
    pub fn arithmetic(op: Arithmetic, left: Self, right: Self) -> Result<Self, ExprError> {
        if let Some(moved) = time::interval_arithmetic(op, &left, &right)? {
            return Ok(moved);
        }
        let (l, r) = (left.data_type.kind.clone(), right.data_type.kind.clone());
        // A NULL takes the other side's type.
        let substitute = |kind: &TypeKind, other: &TypeKind| match kind {
            TypeKind::Null if is_numeric(other) => other.clone(),
            kind => kind.clone(),
        };
        let (lk, rk) = (substitute(&l, &r), substitute(&r, &l));
        let common = common_numeric(&lk, &rk);
        let floating = |kind: &TypeKind| matches!(kind, TypeKind::Float | TypeKind::Double);
        let Some(common) = common.filter(|kind| op != Arithmetic::Modulo || !floating(kind)) else {
            let (a, b) = (LogicalType::nullable(l), LogicalType::nullable(r));
            let error = ExprError::new(format!("{} cannot be applied to {a} and {b}", op.symbol()));
            return Err(if is_text(&a.kind) || is_text(&b.kind) { error.hint("CAST the text to a number") } else { error });
        };
        let (left, right) = (left.implicit_cast(&lk)?, right.implicit_cast(&rk)?);
        let nullable = left.data_type.nullable || right.data_type.nullable;
        let divides = matches!(op, Arithmetic::Divide | Arithmetic::Modulo);
        if let (TypeKind::Decimal(..), Some(a), Some(b)) = (&common, as_decimal(&lk), as_decimal(&rk)) {
            let (precision, scale) = decimal_result(op, a, b);
            let args = vec![left.implicit_cast(&TypeKind::Decimal(a.0, a.1))?, right.implicit_cast(&TypeKind::Decimal(b.0, b.1))?];
            let kernel = decimal::arithmetic_kernel(op, a, b);
            let may_overflow = precision == 38;
            let call = Call { name: op.symbol(), style: Style::Infix, kernel, args, fallible: divides };
            let data_type = LogicalType { kind: TypeKind::Decimal(precision, scale), nullable: nullable || may_overflow };
            return Ok(Self::call(call, data_type));
        }
        let args = vec![left.implicit_cast(&common)?, right.implicit_cast(&common)?];
        let Some(kernel) = number::arithmetic_kernel(op, &common) else {
            return Err(ExprError::new(format!("{} cannot be applied to {}", op.symbol(), LogicalType::nullable(common))));
        };
        let whole = coerce::is_integer(&common);
        let call = Call { name: op.symbol(), style: Style::Infix, kernel, args, fallible: divides && whole };
        let made = Self::call(call, LogicalType { kind: common, nullable });
        // A remainder is smaller than the divisor, so it fits its type, which is the one that Flink gives it.
        if op == Arithmetic::Modulo && whole { made.implicit_cast(&rk) } else { Ok(made) }
    }

    /// `-expr`
    pub fn negate(self) -> Result<Self, ExprError> {
        let kind = self.data_type.kind.clone();
        if !is_numeric(&kind) && kind != TypeKind::Interval {
            return Err(ExprError::new(format!("- cannot be applied to {}", LogicalType::nullable(kind))));
        }
        let kernel: Kernel = Arc::new(|args: &[Arg], rows| Ok(compute::kernels::numeric::neg_wrapping(&args[0].expanded(rows)?)?));
        Ok(Self::simple("-", Style::Function, kernel, vec![self], kind))
    }

    /// Both sides in the type in which they are compared.
    fn comparable(what: &str, left: Self, right: Self) -> Result<(Self, Self), ExprError> {
        let (l, r) = (&left.data_type.kind, &right.data_type.kind);
        let kind = comparison_type(l, r).filter(|kind| !matches!(kind, TypeKind::Map(..)));
        let Some(kind) = kind else {
            let (a, b) = (LogicalType::nullable(l.clone()), LogicalType::nullable(r.clone()));
            return Err(ExprError::new(format!("{what} cannot compare {a} and {b}")).hint("CAST one side"));
        };
        Ok((left.implicit_cast(&kind)?, right.implicit_cast(&kind)?))
    }

    /// `left op right`
    pub fn compare(op: Comparison, left: Self, right: Self) -> Result<Self, ExprError> {
        let (l, r) = (&left.data_type.kind, &right.data_type.kind);
        let text_and_number = |a: &TypeKind, b: &TypeKind| is_text(a) && is_numeric(b);
        if matches!(op, Comparison::Equal | Comparison::NotEqual) && (text_and_number(l, r) || text_and_number(r, l)) {
            let (a, b) = (LogicalType::nullable(l.clone()), LogicalType::nullable(r.clone()));
            return Err(ExprError::new(format!("{} cannot compare {a} and {b}", op.symbol())).hint("CAST one side"));
        }
        if is_timestamp(l) && is_timestamp(r) && left.data_type.to_arrow() != right.data_type.to_arrow() {
            // The finer type has the smaller range: bringing both to it would lose moments.
            let kernel = number::moments_kernel(op);
            return Ok(Self::simple(op.symbol(), Style::Infix, kernel, vec![left, right], TypeKind::Boolean));
        }
        let (left, right) = Self::comparable(op.symbol(), left, right)?;
        let kind = left.data_type.kind.clone();
        let kernel = match kind {
            TypeKind::Null => null_kernel(),
            _ => number::comparison_kernel(op, &kind),
        };
        Ok(Self::simple(op.symbol(), Style::Infix, kernel, vec![left, right], TypeKind::Boolean))
    }

    /// `left IS [NOT] DISTINCT FROM right`
    pub fn distinct(left: Self, right: Self, negated: bool) -> Result<Self, ExprError> {
        let (left, right) = Self::comparable("IS DISTINCT FROM", left, right)?;
        let name = if negated { "IS NOT DISTINCT FROM" } else { "IS DISTINCT FROM" };
        let kernel = number::distinct_kernel(negated);
        let call = Call { name, style: Style::Infix, kernel, args: vec![left, right], fallible: false };
        Ok(Self::call(call, LogicalType::not_null(TypeKind::Boolean)))
    }

    /// A condition: BOOLEAN or NULL.
    pub fn condition(self, what: &str) -> Result<Self, ExprError> {
        match self.data_type.kind {
            TypeKind::Boolean => Ok(self),
            TypeKind::Null => self.cast(&TypeKind::Boolean, false),
            _ => Err(ExprError::new(format!("{what} takes a BOOLEAN, not {}", LogicalType::nullable(self.data_type.kind)))),
        }
    }

    /// `left AND right`
    pub fn and(left: Self, right: Self) -> Result<Self, ExprError> {
        let (left, right) = (left.condition("AND")?, right.condition("AND")?);
        Ok(match (left.as_literal(), right.as_literal()) {
            (Some(ScalarValue::Boolean(Some(true))), _) => right,
            (_, Some(ScalarValue::Boolean(Some(true)))) | (Some(ScalarValue::Boolean(Some(false))), _) => left,
            _ => {
                let nullable = left.data_type.nullable || right.data_type.nullable;
                let kind = ExprKind::And(Box::new(left), Box::new(right));
                Self { kind, data_type: LogicalType { kind: TypeKind::Boolean, nullable } }
            }
        })
    }

    /// `left OR right`
    pub fn or(left: Self, right: Self) -> Result<Self, ExprError> {
        let (left, right) = (left.condition("OR")?, right.condition("OR")?);
        Ok(match (left.as_literal(), right.as_literal()) {
            (Some(ScalarValue::Boolean(Some(false))), _) => right,
            (_, Some(ScalarValue::Boolean(Some(false)))) | (Some(ScalarValue::Boolean(Some(true))), _) => left,
            _ => {
                let nullable = left.data_type.nullable || right.data_type.nullable;
                let kind = ExprKind::Or(Box::new(left), Box::new(right));
                Self { kind, data_type: LogicalType { kind: TypeKind::Boolean, nullable } }
            }
        })
    }

    /// `NOT expr`
    pub fn inverted(self) -> Result<Self, ExprError> {
        let operand = self.condition("NOT")?;
        let kernel: Kernel = Arc::new(|args: &[Arg], rows| {
            let flags = args[0].expanded(rows)?;
            let flags = flags.as_any().downcast_ref::<BooleanArray>().map(compute::not).transpose()?;
            Ok(flags.map_or_else(|| new_null_array(&arrow::datatypes::DataType::Boolean, rows), |f| Arc::new(f) as ArrayRef))
        });
        Ok(Self::simple("NOT", Style::Function, kernel, vec![operand], TypeKind::Boolean))
    }

    /// `expr IS [NOT] NULL`
    #[must_use]
    pub fn is_null(self, negated: bool) -> Self {
        if !self.data_type.nullable && !self.is_fallible() {
            return Self::boolean(negated);
        }
        let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
            let array = args[0].expanded(rows)?;
            let flags = if negated { compute::is_not_null(&array) } else { compute::is_null(&array) };
            Ok(Arc::new(flags?) as ArrayRef)
        });
        let name = if negated { "IS NOT NULL" } else { "IS NULL" };
        let call = Call { name, style: Style::Postfix, kernel, args: vec![self], fallible: false };
        Self::call(call, LogicalType::not_null(TypeKind::Boolean))
    }

    /// `expr IS [NOT] TRUE` or `FALSE`
    pub fn is_truth(self, truth: bool, negated: bool) -> Result<Self, ExprError> {
        let operand = self.condition("IS TRUE")?;
        let kernel: Kernel = Arc::new(move |args: &[Arg], rows| {
            let array = args[0].booleans()?;
            let flag = |row| {
                let row = args[0].index(row);
                (array.is_valid(row) && array.value(row) == truth) != negated
            };
            Ok(Arc::new((0..rows).map(|row| Some(flag(row))).collect::<BooleanArray>()) as ArrayRef)
        });
        let name = match (truth, negated) {
            (true, false) => "IS TRUE",
            (true, true) => "IS NOT TRUE",
            (false, false) => "IS FALSE",
            (false, true) => "IS NOT FALSE",
        };
        let call = Call { name, style: Style::Postfix, kernel, args: vec![operand], fallible: false };
        Ok(Self::call(call, LogicalType::not_null(TypeKind::Boolean)))
    }

    /// `value [NOT] IN (list)`
    pub fn in_list(value: Self, list: Vec<Self>, negated: bool) -> Result<Self, ExprError> {
        let mut kind = value.data_type.kind.clone();
        for item in &list {
            let other = &item.data_type.kind;
            kind = comparison_type(&kind, other).ok_or_else(|| {
                let (a, b) = (LogicalType::nullable(kind.clone()), LogicalType::nullable(other.clone()));
                ExprError::new(format!("IN cannot compare {a} and {b}"))
            })?;
        }
        let value = value.implicit_cast(&kind)?;
        let list = list.into_iter().map(|item| item.implicit_cast(&kind)).collect::<Result<Vec<_>, _>>()?;
        let hashable = !matches!(kind, TypeKind::Float | TypeKind::Double | TypeKind::Null);
        if hashable && value.as_literal().is_none() && list.iter().all(|item| item.as_literal().is_some()) {
            let nullable = value.data_type.nullable || list.iter().any(|item| item.data_type.nullable);
            let kind = ExprKind::In { value: Box::new(value), list, negated };
            return Ok(Self { kind, data_type: LogicalType { kind: TypeKind::Boolean, nullable } });
        }
        let mut any = Self::boolean(false);
        for item in list {
            any = Self::or(any, Self::compare(Comparison::Equal, value.clone(), item)?)?;
        }
        if negated { any.inverted() } else { Ok(any) }
    }

    /// CASE with results in their common type.
    pub fn case(branches: Vec<(Self, Self)>, otherwise: Option<Self>) -> Result<Self, ExprError> {
        let mut data_type = LogicalType::nullable(TypeKind::Null);
        data_type.nullable = otherwise.is_none();
        for result in branches.iter().map(|(_, result)| result).chain(&otherwise) {
            data_type = coerce::common_type(&data_type, &result.data_type).ok_or_else(|| {
                let (a, b) = (LogicalType::nullable(data_type.kind.clone()), LogicalType::nullable(result.data_type.kind.clone()));
                ExprError::new(format!("the results {a} and {b} have no common type")).hint("CAST one of them")
            })?;
        }
        if data_type.kind == TypeKind::Null {
            return Ok(Self::null());
        }
        let cast = |result: Self| result.implicit_cast(&data_type.kind);
        let branches = branches
            .into_iter()
            .map(|(condition, result)| Ok((condition.condition("WHEN")?, cast(result)?)))
            .collect::<Result<Vec<_>, ExprError>>()?;
        let otherwise = otherwise.map(cast).transpose()?.map(Box::new);
        if let Some((condition, result)) = branches.first()
            && condition.as_literal() == Some(&ScalarValue::Boolean(Some(true)))
        {
            return Ok(result.clone());
        }
        Ok(Self { kind: ExprKind::Case { branches, otherwise }, data_type })
    }
}

/// All NULL.
fn null_kernel() -> Kernel {
    Arc::new(|_: &[Arg], rows| Ok(new_null_array(&arrow::datatypes::DataType::Boolean, rows)))
}
