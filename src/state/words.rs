//! Columns as machine words: every fixed-width type is carried by `i64`, `f64` or `i128`, so that keys and accumulators need
//! one code path for each of these three and not one for each of Flink's types.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, make_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

pub use crate::types::{double_of_ordered, ordered_of_double};

/// The values of a fixed-width column; what stands at a NULL is arbitrary.
#[derive(Debug, Clone)]
pub enum Words {
    /// Integers, BOOLEAN (0 and 1), dates, times and timestamps.
    Long(ScalarBuffer<i64>),
    /// FLOAT and DOUBLE.
    Double(ScalarBuffer<f64>),
    /// DECIMAL, without its scale.
    Wide(ScalarBuffer<i128>),
}

/// Which of [`Words`] carries a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// `i64`
    Long,
    /// `f64`
    Double,
    /// `i128`
    Wide,
}

impl WordKind {
    /// What carries `data_type`; `None` if its values have no fixed width.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Time32(TimeUnit::Millisecond)
            | DataType::Timestamp(_, _) => Some(Self::Long),
            DataType::Float32 | DataType::Float64 => Some(Self::Double),
            DataType::Decimal128(_, _) => Some(Self::Wide),
            _ => None,
        }
    }
}

macro_rules! longs {
    ($array:expr, $type:ty) => {
        Words::Long($array.as_primitive::<$type>().values().iter().map(|v| i64::from(*v)).collect())
    };
}

impl Words {
    /// The values of `array`, without copying where its type is as wide. Errors on types without a fixed width.
    pub fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Long(array.as_boolean().values().iter().map(i64::from).collect()),
            DataType::Int8 => longs!(array, Int8Type),
            DataType::Int16 => longs!(array, Int16Type),
            DataType::Int32 => longs!(array, Int32Type),
            DataType::Date32 => longs!(array, Date32Type),
            DataType::Time32(TimeUnit::Millisecond) => longs!(array, Time32MillisecondType),
            DataType::Int64 => Self::Long(array.as_primitive::<Int64Type>().values().clone()),
            DataType::Timestamp(TimeUnit::Second, _) => Self::Long(array.as_primitive::<TimestampSecondType>().values().clone()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Self::Long(array.as_primitive::<TimestampMillisecondType>().values().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Long(array.as_primitive::<TimestampMicrosecondType>().values().clone()),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Self::Long(array.as_primitive::<TimestampNanosecondType>().values().clone()),
            DataType::Float32 => Self::Double(array.as_primitive::<Float32Type>().values().iter().map(|v| f64::from(*v)).collect()),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>().values().clone()),
            DataType::Decimal128(_, _) => Self::Wide(array.as_primitive::<Decimal128Type>().values().clone()),
            other => return Err(ArrowError::NotYetImplemented(format!("{other} as a machine word"))),
        })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Long(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    /// True if there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column of type `data_type` with these values. Integers are cut to its width, as Java's casts do.
    pub fn into_array(self, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Long(values) => long_array(values, nulls, data_type),
            Self::Double(values) => match data_type {
                DataType::Float32 => primitive::<Float32Type>(values.iter().map(|v| *v as f32).collect(), nulls, data_type),
                DataType::Float64 => primitive::<Float64Type>(values, nulls, data_type),
                other => Err(mismatch("DOUBLE", other)),
            },
            Self::Wide(values) => match data_type {
                DataType::Decimal128(_, _) => primitive::<Decimal128Type>(values, nulls, data_type),
                other => Err(mismatch("DECIMAL", other)),
            },
        }
    }
}

fn long_array(values: ScalarBuffer<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::Boolean => {
            let bits: BooleanBuffer = values.iter().map(|v| *v != 0).collect();
            Ok(Arc::new(BooleanArray::new(bits, nulls)))
        }
        DataType::Int8 => primitive::<Int8Type>(values.iter().map(|v| *v as i8).collect(), nulls, data_type),
        DataType::Int16 => primitive::<Int16Type>(values.iter().map(|v| *v as i16).collect(), nulls, data_type),
        DataType::Int32 => primitive::<Int32Type>(values.iter().map(|v| *v as i32).collect(), nulls, data_type),
        DataType::Date32 => primitive::<Date32Type>(values.iter().map(|v| *v as i32).collect(), nulls, data_type),
        DataType::Time32(TimeUnit::Millisecond) => {
            primitive::<Time32MillisecondType>(values.iter().map(|v| *v as i32).collect(), nulls, data_type)
        }
        DataType::Int64 => primitive::<Int64Type>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Second, _) => primitive::<TimestampSecondType>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive::<TimestampMillisecondType>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive::<TimestampMicrosecondType>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => primitive::<TimestampNanosecondType>(values, nulls, data_type),
        other => Err(mismatch("BIGINT", other)),
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: ScalarBuffer<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let array = PrimitiveArray::<T>::try_new(values, nulls)?;
    if array.data_type() == data_type {
        return Ok(Arc::new(array));
    }
    // Same representation under another name: a time zone, a precision and scale.
    Ok(make_array(array.into_data().into_builder().data_type(data_type.clone()).build()?))
}

fn mismatch(from: &str, to: &DataType) -> ArrowError {
    ArrowError::CastError(format!("{from} values do not make a column of type {to}"))
}

/// NULLs at the positions where `valid` is false; `None` if there are none.
pub fn nulls_at(rows: usize, missing: &[u32]) -> Option<NullBuffer> {
    if missing.is_empty() {
        return None;
    }
    let mut valid = vec![true; rows];
    for row in missing {
        if let Some(valid) = valid.get_mut(*row as usize) {
            *valid = false;
        }
    }
    Some(NullBuffer::from(valid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int16Array, TimestampMillisecondArray};

    #[test]
    fn the_order_of_floats_is_javas() {
        let ascending = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY, f64::NAN];
        let ordered: Vec<i64> = ascending.iter().map(|v| ordered_of_double(*v)).collect();
        assert!(ordered.windows(2).all(|pair| pair[0] < pair[1]), "{ordered:?}");
        for (value, ordered) in ascending.iter().zip(&ordered) {
            assert_eq!(double_of_ordered(*ordered).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn columns_come_back_from_words_with_their_type() {
        let zoned = TimestampMillisecondArray::from(vec![Some(1), None]).with_timezone("UTC");
        for array in [Arc::new(zoned) as ArrayRef, Arc::new(Int16Array::from(vec![Some(-3), None]))] {
            let words = Words::of(&array).unwrap();
            assert_eq!(&words.into_array(array.nulls().cloned(), array.data_type()).unwrap(), &array);
        }
        assert!(Words::Long(vec![1].into()).into_array(None, &DataType::Utf8).is_err());
    }
}
