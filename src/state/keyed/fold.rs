//! How reducing and aggregating state takes a value in.

use crate::state::{StateDescriptor, StateKind};
use crate::types::{Datum, DatumError, LogicalType, TypeKind};
use std::fmt;
use std::sync::Arc;

/// A reduce or aggregate function that is not built in.
pub trait FoldFunction: Send + Sync + fmt::Debug {
    /// Takes `value` into `accumulator`, which is NULL before the first value.
    fn add(&self, accumulator: &mut Datum, value: Datum) -> Result<(), String>;

    /// What the accumulator amounts to. Reducing state: the accumulator itself.
    fn result(&self, accumulator: &Datum) -> Result<Datum, String> {
        Ok(accumulator.clone())
    }
}

/// Built-in functions of reducing state: the accumulator is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// The sum. Errors if it leaves the type's range.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value that came first.
    First,
    /// The value that came last.
    Last,
}

/// Built-in functions of aggregating state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The number of values: BIGINT.
    Count,
    /// The sum, of the type of the values; of integers, BIGINT.
    Sum,
    /// The mean: DOUBLE. Its accumulator is `ROW<sum, count>`.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
}

impl Reduce {
    const ALL: [Self; 5] = [Self::Sum, Self::Min, Self::Max, Self::First, Self::Last];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

impl Aggregate {
    const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Avg, Self::Min, Self::Max];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

/// What a state does with a value that is added to it.
#[derive(Debug, Clone, Default)]
pub enum Fold {
    /// Value, list and map state: nothing is added.
    #[default]
    None,
    /// A built-in reduce function over values of this type.
    Reduce(Reduce, LogicalType),
    /// A built-in aggregate function, with the type of its values and the decimal digits of those.
    Aggregate(Aggregate, LogicalType),
    /// A function of the user's.
    Custom(Arc<dyn FoldFunction>),
}

impl Fold {
    /// The reduce function called `name`, over values of type `value`. Errors, naming what there is, if there is none, or if it
    /// does not take such values.
    pub fn reducing(name: &str, value: &LogicalType) -> Result<Self, String> {
        let known = Reduce::ALL.into_iter().find(|reduce| reduce.name() == name);
        let reduce = known.ok_or_else(|| format!("there is no reduce function {name:?}: sum, min, max, first, last"))?;
        if reduce == Reduce::Sum {
            numeric(name, value)?;
        }
        Ok(Self::Reduce(reduce, value.clone()))
    }

    /// The aggregate function called `name` over values of type `value`, the type of its accumulator, and that of its result.
    pub fn aggregating(name: &str, value: &LogicalType) -> Result<(Self, LogicalType, LogicalType), String> {
        let known = Aggregate::ALL.into_iter().find(|aggregate| aggregate.name() == name);
        let aggregate = known.ok_or_else(|| format!("there is no aggregate function {name:?}: count, sum, avg, min, max"))?;
        let sum = || match &value.kind {
            TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int => LogicalType::nullable(TypeKind::BigInt),
            TypeKind::Float => LogicalType::nullable(TypeKind::Double),
            TypeKind::Decimal(_, scale) => LogicalType::nullable(TypeKind::Decimal(38, *scale)),
            _ => LogicalType::nullable(value.kind.clone()),
        };
        let (accumulator, result) = match aggregate {
            Aggregate::Count => (LogicalType::nullable(TypeKind::BigInt), LogicalType::nullable(TypeKind::BigInt)),
            Aggregate::Sum => {
                numeric(name, value)?;
                (sum(), sum())
            }
            Aggregate::Avg => {
                numeric(name, value)?;
                let count = LogicalType::not_null(TypeKind::BigInt);
                let fields = vec![("sum".to_owned(), sum()), ("count".to_owned(), count)];
                (LogicalType::nullable(TypeKind::Row(fields)), LogicalType::nullable(TypeKind::Double))
            }
            Aggregate::Min | Aggregate::Max => (LogicalType::nullable(value.kind.clone()), LogicalType::nullable(value.kind.clone())),
        };
        let summed = if matches!(aggregate, Aggregate::Sum | Aggregate::Avg) { sum() } else { value.clone() };
        Ok((Self::Aggregate(aggregate, summed), accumulator, result))
    }

    /// Takes `value` into `accumulator`. NULLs are skipped by the built-in functions.
    pub(in crate::state) fn add(&self, accumulator: &mut Datum, value: Datum) -> Result<(), String> {
        match self {
            Self::None => Err("it is a state that nothing is added to".to_owned()),
            Self::Custom(function) => function.add(accumulator, value),
            Self::Reduce(_, _) | Self::Aggregate(_, _) if value.is_null() => Ok(()),
            Self::Reduce(reduce, data_type) => reduce_into(*reduce, data_type, accumulator, value),
            Self::Aggregate(aggregate, data_type) => match aggregate {
                Aggregate::Count => {
                    *accumulator = Datum::Long(accumulator.as_long().unwrap_or(0) + 1);
                    Ok(())
                }
                Aggregate::Sum => reduce_into(Reduce::Sum, data_type, accumulator, value),
                Aggregate::Min => reduce_into(Reduce::Min, data_type, accumulator, value),
                Aggregate::Max => reduce_into(Reduce::Max, data_type, accumulator, value),
                Aggregate::Avg => mean_into(data_type, accumulator, value),
            },
        }
    }

    /// What it is called, if it is built in.
    pub(in crate::state) fn name(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Custom(_) => None,
            Self::Reduce(reduce, _) => Some(reduce.name()),
            Self::Aggregate(aggregate, _) => Some(aggregate.name()),
        }
    }

    /// The built-in function that made the accumulators of a saved state; none if there is no such function.
    pub(in crate::state) fn of_saved(descriptor: &StateDescriptor, name: Option<&str>) -> Option<Self> {
        let accumulator = &descriptor.value.columns.first()?.data_type;
        match descriptor.kind {
            StateKind::Reducing => Self::reducing(name?, accumulator).ok(),
            StateKind::Aggregating => {
                let aggregate = Aggregate::ALL.into_iter().find(|aggregate| Some(aggregate.name()) == name)?;
                let summed = match (&accumulator.kind, aggregate) {
                    (TypeKind::Row(fields), Aggregate::Avg) => fields.first()?.1.clone(),
                    _ => accumulator.clone(),
                };
                Some(Self::Aggregate(aggregate, summed))
            }
            _ => Some(Self::None),
        }
    }

    /// One that nothing is known of.
    pub(in crate::state) fn unknown() -> Self {
        #[derive(Debug)]
        struct Unknown;
        impl FoldFunction for Unknown {
            fn add(&self, _accumulator: &mut Datum, _value: Datum) -> Result<(), String> {
                Err("its function is not known".to_owned())
            }
        }
        Self::Custom(Arc::new(Unknown))
    }

    /// True if accumulators can be put together, whatever the values of each: sums of floating-point numbers depend on the order of additions.
    pub(in crate::state) fn merges(&self) -> bool {
        let is_exact = |summed: &LogicalType| !matches!(summed.kind, TypeKind::Float | TypeKind::Double);
        match self {
            Self::Custom(_) => false,
            Self::Reduce(Reduce::Sum, summed) | Self::Aggregate(Aggregate::Sum | Aggregate::Avg, summed) => is_exact(summed),
            Self::None | Self::Reduce(..) | Self::Aggregate(..) => true,
        }
    }

    /// Puts `other` into `accumulator`: what came later, or is all there is. Of a state that nothing is added to it takes the place.
    pub(in crate::state) fn merge(&self, accumulator: &mut Datum, other: Datum) -> Result<(), String> {
        if accumulator.is_null() {
            *accumulator = other;
            return Ok(());
        }
        match self {
            Self::None => *accumulator = other,
            Self::Custom(_) => {
                return Err("there are several values of one key, and it is not known which function puts them together".to_owned());
            }
            Self::Reduce(reduce, data_type) => reduce_into(*reduce, data_type, accumulator, other)?,
            Self::Aggregate(aggregate, data_type) => match aggregate {
                Aggregate::Count => reduce_into(Reduce::Sum, &LogicalType::nullable(TypeKind::BigInt), accumulator, other)?,
                Aggregate::Sum => reduce_into(Reduce::Sum, data_type, accumulator, other)?,
                Aggregate::Min => reduce_into(Reduce::Min, data_type, accumulator, other)?,
                Aggregate::Max => reduce_into(Reduce::Max, data_type, accumulator, other)?,
                Aggregate::Avg => merge_means(data_type, accumulator, other)?,
            },
        }
        Ok(())
    }

    /// What `accumulator` amounts to.
    pub(in crate::state) fn result(&self, accumulator: &Datum) -> Result<Datum, String> {
        match self {
            Self::Custom(function) => function.result(accumulator),
            Self::Aggregate(Aggregate::Avg, data_type) => match accumulator {
                Datum::Row(fields) => match fields.as_ref() {
                    [sum, Datum::Long(count)] => Ok(Datum::double(as_double(sum, data_type) / *count as f64)),
                    _ => Err("its accumulator is no sum and count".to_owned()),
                },
                _ => Ok(Datum::Null),
            },
            Self::None | Self::Reduce(..) | Self::Aggregate(..) => Ok(accumulator.clone()),
        }
    }
}

/// Adds a sum and a count to another.
fn merge_means(data_type: &LogicalType, accumulator: &mut Datum, other: Datum) -> Result<(), String> {
    let (Datum::Row(fields), Datum::Row(mut others)) = (accumulator, other) else {
        return Err("its accumulator is no sum and count".to_owned());
    };
    let ([sum, Datum::Long(count)], [other, Datum::Long(more)]) = (fields.as_mut(), others.as_mut()) else {
        return Err("its accumulator is no sum and count".to_owned());
    };
    *count += *more;
    reduce_into(Reduce::Sum, data_type, sum, std::mem::take(other))
}

/// Takes `value` into a sum and a count.
fn mean_into(data_type: &LogicalType, accumulator: &mut Datum, value: Datum) -> Result<(), String> {
    let Datum::Row(fields) = accumulator else {
        *accumulator = Datum::Row([value, Datum::Long(1)].into());
        return Ok(());
    };
    let [sum, Datum::Long(count)] = fields.as_mut() else { return Err("its accumulator is no sum and count".to_owned()) };
    *count += 1;
    reduce_into(Reduce::Sum, data_type, sum, value)
}

fn numeric(name: &str, value: &LogicalType) -> Result<(), String> {
    use TypeKind as T;
    match value.kind {
        T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Float | T::Double | T::Decimal(_, _) => Ok(()),
        _ => Err(format!("{name} takes numbers, not {value}")),
    }
}

fn as_double(value: &Datum, data_type: &LogicalType) -> f64 {
    match value {
        Datum::Long(value) => *value as f64,
        Datum::Double(value) => value.get(),
        Datum::Decimal(value) => {
            let scale = if let TypeKind::Decimal(_, scale) = data_type.kind { i32::from(scale) } else { 0 };
            value.get() as f64 / 10_f64.powi(scale)
        }
        _ => f64::NAN,
    }
}

fn reduce_into(reduce: Reduce, data_type: &LogicalType, accumulator: &mut Datum, value: Datum) -> Result<(), String> {
    if accumulator.is_null() {
        *accumulator = value;
        return Ok(());
    }
    match reduce {
        Reduce::First => {}
        Reduce::Last => *accumulator = value,
        Reduce::Min => {
            if value < *accumulator {
                *accumulator = value;
            }
        }
        Reduce::Max => {
            if value > *accumulator {
                *accumulator = value;
            }
        }
        Reduce::Sum => *accumulator = sum(accumulator, &value, data_type)?,
    }
    Ok(())
}

fn sum(left: &Datum, right: &Datum, data_type: &LogicalType) -> Result<Datum, String> {
    let overflow = || {
        let value = format!("the sum of {left:?} and {right:?}");
        DatumError::Range { value, expected: data_type.clone() }.to_string()
    };
    match (left, right) {
        (Datum::Long(left), Datum::Long(right)) => {
            let sum = left.checked_add(*right).ok_or_else(overflow)?;
            let fits = match data_type.kind {
                TypeKind::TinyInt => i8::try_from(sum).is_ok(),
                TypeKind::SmallInt => i16::try_from(sum).is_ok(),
                TypeKind::Int => i32::try_from(sum).is_ok(),
                _ => true,
            };
            if fits { Ok(Datum::Long(sum)) } else { Err(overflow()) }
        }
        (Datum::Double(left), Datum::Double(right)) => Ok(Datum::double(left.get() + right.get())),
        (Datum::Decimal(left), Datum::Decimal(right)) => {
            let sum = left.get().checked_add(right.get()).ok_or_else(overflow)?;
            let precision = if let TypeKind::Decimal(precision, _) = data_type.kind { precision } else { 38 };
            if sum.unsigned_abs() < 10_u128.pow(u32::from(precision)) { Ok(Datum::decimal(sum)) } else { Err(overflow()) }
        }
        (left, right) => Err(format!("{} and {} have no sum", left.kind(), right.kind())),
    }
}
