//! One aggregate call, compiled: what is kept for it, and which loop computes it.

use super::fixed::{Count, Extreme, Extremum, Scaling, SumDouble, SumLong, SumWide};
use super::kernel::{Accumulator, Pass, Results, Wanted, read, sign, update};
use super::sets::{ByteResults, distinct, extreme_of_bytes, extreme_of_sets};
use super::spec::{AggregateCall, AggregateFunction, AggregateSpec};
use crate::operator::OperatorError;
use crate::state::{
    AccumulatorField, AccumulatorLayout, FieldSlot, GroupLayout, GroupRef, GroupTable, MultisetOrder, Storage, ValidBit, WordKind, Words,
    double_of_ordered, ordered_of_double,
};
use crate::types::{Batch, LogicalType, TypeKind};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use std::marker::PhantomData;

/// How an aggregate is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// `COUNT(*)`: the group's record counter.
    Records,
    Count,
    Sum {
        average: bool,
        of: WordKind,
    },
    /// MIN or MAX over rows that stay.
    Extreme {
        max: bool,
    },
    /// MIN or MAX over rows that may be taken back.
    ExtremeOfSet {
        max: bool,
    },
}

/// What a call needs before the group table is there: the planner asks for it before a restore.
#[derive(Debug, Clone)]
pub(super) struct CallPlan {
    method: Method,
    argument: Option<usize>,
    filter: Option<usize>,
    /// The type to which the argument is cast before it is aggregated.
    argument_type: DataType,
    output_type: DataType,
    distinct: bool,
    /// What is kept; `None` for [`Method::Records`].
    pub(super) layout: Option<AccumulatorLayout>,
}

fn fixed(name: &'static str, data_type: LogicalType) -> AccumulatorField {
    AccumulatorField { name, data_type, storage: Storage::Fixed }
}

fn bigint() -> LogicalType {
    LogicalType::not_null(TypeKind::BigInt)
}

impl CallPlan {
    /// Decides how `call` is computed. Errors on positions that are not columns and on types that the function cannot take.
    pub(super) fn new(spec: &AggregateSpec, call: &AggregateCall) -> Result<Self, OperatorError> {
        let text = spec.call_text(call, "");
        let refuse = |why: String| OperatorError::Expression { expression: text.clone(), message: why };
        let column = |at: usize| spec.input.columns.get(at).ok_or_else(|| refuse(format!("the input has no column {at}")));
        if let Some(filter) = call.filter
            && column(filter)?.data_type.kind != TypeKind::Boolean
        {
            return Err(refuse(format!("a filter must be BOOLEAN, this one is {}", column(filter)?.data_type)));
        }
        let output_type = call.output.data_type.to_arrow();
        let argument = match (call.function, call.argument) {
            (AggregateFunction::CountStar, _) => None,
            (_, Some(argument)) => Some((argument, &column(argument)?.data_type)),
            (_, None) => return Err(refuse("the argument is missing".to_owned())),
        };
        let kind = argument.map_or(TypeKind::BigInt, |(_, data_type)| data_type.kind.clone());
        let mut argument_type = LogicalType::nullable(kind.clone()).to_arrow();
        let cannot =
            || refuse(format!("{} cannot be computed over {kind:?} with the result {}", call.function.name(), call.output.data_type));
        let (method, mut fields) = match call.function {
            AggregateFunction::CountStar if call.filter.is_none() => (Method::Records, vec![]),
            AggregateFunction::CountStar | AggregateFunction::Count => (Method::Count, vec![fixed("count", bigint())]),
            AggregateFunction::Sum | AggregateFunction::Avg => {
                let average = call.function == AggregateFunction::Avg;
                let (of, sum) = sum_type(&kind, &call.output.data_type.kind, average).ok_or_else(cannot)?;
                argument_type = sum.to_arrow();
                (Method::Sum { average, of }, vec![fixed("sum", sum), fixed("count", bigint())])
            }
            AggregateFunction::Min | AggregateFunction::Max => {
                let max = call.function == AggregateFunction::Max;
                let storage = if spec.retracts() { Storage::Multiset(MultisetOrder::Sorted) } else { extreme_storage(&argument_type) };
                let method = if spec.retracts() { Method::ExtremeOfSet { max } } else { Method::Extreme { max } };
                if WordKind::of(&argument_type).is_none() && !is_bytes(&argument_type) {
                    return Err(cannot());
                }
                (method, vec![AccumulatorField { name: "value", data_type: LogicalType::nullable(kind.clone()), storage }])
            }
        };
        let distinct = call.distinct && matches!(method, Method::Count | Method::Sum { .. }) && argument.is_some();
        if distinct {
            if WordKind::of(&argument_type).is_none() && !is_bytes(&argument_type) {
                return Err(cannot());
            }
            let data_type = LogicalType::from_arrow(&argument_type, true).ok_or_else(cannot)?;
            fields.push(AccumulatorField { name: "values", data_type, storage: Storage::Multiset(MultisetOrder::Hashed) });
        }
        let layout = (method != Method::Records).then(|| AccumulatorLayout { name: text.clone(), fields });
        let argument = argument.map(|(at, _)| at);
        Ok(Self { method, argument, filter: call.filter, argument_type, output_type, distinct, layout })
    }

    /// Finds the accumulator in the group table, where it is number `accumulator`.
    pub(super) fn bind(self, layout: &GroupLayout, accumulator: usize) -> Call {
        let slots = (0..).map_while(|field| layout.slot(accumulator, field)).take(self.layout.as_ref().map_or(0, |l| l.fields.len()));
        Call { slots: slots.collect(), records: layout.records(), plan: self }
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

fn extreme_storage(data_type: &DataType) -> Storage {
    if is_bytes(data_type) { Storage::Bytes } else { Storage::Fixed }
}

/// What sums are made of, and their type: Flink sums integers at the result's width (kept as BIGINT: wrapping is the same),
/// averages floats in DOUBLE, and sums decimals with 38 digits.
fn sum_type(argument: &TypeKind, output: &TypeKind, average: bool) -> Option<(WordKind, LogicalType)> {
    let integer = |kind: &TypeKind| matches!(kind, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt);
    let number = integer(argument) || matches!(argument, TypeKind::Float | TypeKind::Double | TypeKind::Decimal(_, _));
    match output {
        output if integer(output) && integer(argument) => Some((WordKind::Long, bigint())),
        TypeKind::Float if number && !average => Some((WordKind::Double, LogicalType::not_null(TypeKind::Float))),
        TypeKind::Float | TypeKind::Double if number => Some((WordKind::Double, LogicalType::not_null(TypeKind::Double))),
        TypeKind::Decimal(_, scale) if integer(argument) || matches!(argument, TypeKind::Decimal(_, _)) => {
            let scale = match argument {
                TypeKind::Decimal(_, own) if average => *own,
                TypeKind::Decimal(_, own) => *own.max(scale),
                _ => 0,
            };
            Some((WordKind::Wide, LogicalType::nullable(TypeKind::Decimal(38, scale))))
        }
        _ => None,
    }
}

/// A compiled call, bound to a group table.
#[derive(Debug)]
pub(super) struct Call {
    plan: CallPlan,
    slots: Vec<FieldSlot>,
    records: usize,
}

/// The values of the argument.
enum Inputs {
    /// There are none, or nobody looks at them.
    None,
    Words(Words),
    Bytes(ArrayRef),
}

impl Call {
    /// True if the value is the number of the group's records.
    pub(super) fn is_record_count(&self) -> bool {
        self.plan.method == Method::Records
    }

    /// Applies a batch. `pass.signs` says what each row does to its group; the filter, NULLs and duplicates are taken out here.
    /// Returns the wanted values, of the output type; an empty column if none are wanted.
    pub(super) fn update(&self, table: &mut GroupTable, batch: &Batch, pass: Pass<'_>) -> Result<ArrayRef, OperatorError> {
        let argument = match self.plan.argument {
            None => None,
            Some(at) => Some(cast(batch.column(at), &self.plan.argument_type)?),
        };
        let mut signs = self.signs(batch, argument.as_ref(), pass.signs);
        let looks = self.plan.distinct || self.plan.method != Method::Count;
        let inputs = match argument {
            Some(argument) if looks && is_bytes(argument.data_type()) => Inputs::Bytes(argument),
            Some(argument) if looks => Inputs::Words(Words::of(&argument)?),
            _ => Inputs::None,
        };
        if self.plan.distinct {
            let all = signs.take().unwrap_or_else(|| vec![sign::ADD; pass.groups.len()]);
            signs = Some(self.distinct(table, &inputs, pass.groups, &all)?);
        }
        self.run(table, inputs, Pass { signs: signs.as_deref(), ..pass })
    }

    /// What each row does to this aggregate; `None` if every row is added.
    fn signs(&self, batch: &Batch, argument: Option<&ArrayRef>, base: Option<&[i8]>) -> Option<Vec<i8>> {
        let nulls = argument.and_then(|argument| argument.nulls()).filter(|nulls| nulls.null_count() > 0);
        let filter = self.plan.filter.map(|at| batch.column(at).as_boolean());
        if nulls.is_none() && filter.is_none() {
            return base.map(<[i8]>::to_vec);
        }
        let mut signs = base.map_or_else(|| vec![sign::ADD; batch.num_rows()], <[i8]>::to_vec);
        for (at, sign) in signs.iter_mut().enumerate() {
            let missing = nulls.is_some_and(|nulls| nulls.is_null(at));
            let filtered = filter.is_some_and(|filter| filter.is_null(at) || !filter.value(at));
            if *sign != sign::CLEAR && (missing || filtered) {
                *sign = sign::NONE;
            }
        }
        Some(signs)
    }

    fn distinct(&self, table: &mut GroupTable, inputs: &Inputs, groups: &[GroupRef], signs: &[i8]) -> Result<Vec<i8>, OperatorError> {
        let Some(FieldSlot::Side(side)) = self.slots.last().copied() else { return Err(misplaced()) };
        match inputs {
            Inputs::None => Err(misplaced()),
            Inputs::Words(Words::Long(values)) => distinct(table, side, groups, signs, |at| values[at]),
            Inputs::Words(Words::Double(values)) => distinct(table, side, groups, signs, |at| ordered_of_double(values[at])),
            Inputs::Words(Words::Wide(values)) => distinct(table, side, groups, signs, |at| values[at]),
            Inputs::Bytes(array) => distinct(table, side, groups, signs, |at| Box::<[u8]>::from(bytes_at(array, at))),
        }
    }

    fn run(&self, table: &mut GroupTable, inputs: Inputs, pass: Pass<'_>) -> Result<ArrayRef, OperatorError> {
        match self.plan.method {
            Method::Records => Err(OperatorError::Invariant("the record counter is kept by the operator".to_owned())),
            Method::Count => {
                let units = vec![(); pass.groups.len()];
                let (values, nulls) = update(&Count { count: self.word(0)?.0 }, table, &units, pass).into_parts();
                self.column(Words::Long(values.into()), nulls)
            }
            Method::Sum { .. } | Method::Extreme { .. } if matches!(inputs, Inputs::Words(_)) => {
                let Inputs::Words(words) = inputs else { return Err(misplaced()) };
                self.visit(Update { table, words, pass })
            }
            Method::Extreme { max } => {
                let (Inputs::Bytes(array), Some(FieldSlot::Side(side))) = (inputs, self.slots.first().copied()) else {
                    return Err(misplaced());
                };
                let signs = signs_of(&pass);
                let mut out = ByteResults::default();
                extreme_of_bytes((table, side, max), pass, &signs, |at| bytes_at(&array, at), &mut out)?;
                self.finish(out.into_array(&self.plan.argument_type)?)
            }
            Method::Sum { .. } => Err(misplaced()),
            Method::ExtremeOfSet { max } => self.run_set(table, max, inputs, pass),
        }
    }

    fn run_set(&self, table: &mut GroupTable, max: bool, inputs: Inputs, pass: Pass<'_>) -> Result<ArrayRef, OperatorError> {
        let Some(FieldSlot::Side(side)) = self.slots.first().copied() else { return Err(misplaced()) };
        let signs = signs_of(&pass);
        let place = (table, side, max);
        match inputs {
            Inputs::None => Err(misplaced()),
            Inputs::Words(Words::Long(values)) => {
                let mut out = Results::default();
                extreme_of_sets(place, pass, &signs, |at| values[at], &mut out)?;
                self.long_column(out)
            }
            Inputs::Words(Words::Double(values)) => {
                let mut out = Results::default();
                extreme_of_sets(place, pass, &signs, |at| ordered_of_double(values[at]), &mut out)?;
                self.long_column(out)
            }
            Inputs::Words(Words::Wide(values)) => {
                let mut out = Results::default();
                extreme_of_sets(place, pass, &signs, |at| values[at], &mut out)?;
                let (values, nulls) = out.into_parts();
                self.column(Words::Wide(values.into()), nulls)
            }
            Inputs::Bytes(array) => {
                let mut out = ByteResults::default();
                extreme_of_sets(place, pass, &signs, |at| Box::<[u8]>::from(bytes_at(&array, at)), &mut out)?;
                self.finish(out.into_array(&self.plan.argument_type)?)
            }
        }
    }

    /// A column from what multisets of `i64` hold.
    fn long_column(&self, results: Results<i64>) -> Result<ArrayRef, OperatorError> {
        let (values, nulls) = results.into_parts();
        let words = match WordKind::of(&self.plan.argument_type) {
            Some(WordKind::Double) => Words::Double(values.into_iter().map(double_of_ordered).collect()),
            _ => Words::Long(values.into()),
        };
        self.column(words, nulls)
    }

    /// The values of `groups` as they are, of the output type.
    pub(super) fn read(&self, table: &mut GroupTable, groups: &[GroupRef]) -> Result<ArrayRef, OperatorError> {
        let side = match self.slots.first() {
            Some(FieldSlot::Side(side)) => Some(*side),
            _ => None,
        };
        let word_count = Count { count: self.records };
        match (self.plan.method, side) {
            (Method::Records, _) => self.read_count(word_count, table, groups),
            (Method::Count, _) => self.read_count(Count { count: self.word(0)?.0 }, table, groups),
            (Method::Sum { .. } | Method::Extreme { .. }, None) => self.visit(Read { table, groups }),
            (Method::Extreme { .. } | Method::ExtremeOfSet { .. }, Some(_)) => {
                // Rows that do nothing show the values as they are.
                let signs = vec![sign::NONE; groups.len()];
                let pass = Pass { groups, signs: Some(&signs), wanted: Wanted::New, changed: None };
                self.run(table, self.no_inputs()?, pass)
            }
            _ => Err(misplaced()),
        }
    }

    fn read_count(&self, count: Count, table: &GroupTable, groups: &[GroupRef]) -> Result<ArrayRef, OperatorError> {
        let (values, nulls) = read(&count, table, groups).into_parts();
        self.column(Words::Long(values.into()), nulls)
    }

    /// An empty column of the argument's type: says which loop to take.
    fn no_inputs(&self) -> Result<Inputs, OperatorError> {
        let empty = arrow::array::new_empty_array(&self.plan.argument_type);
        Ok(if is_bytes(&self.plan.argument_type) { Inputs::Bytes(empty) } else { Inputs::Words(Words::of(&empty)?) })
    }

    /// Shows the accumulator, whichever it is, to `visitor`.
    fn visit(&self, visitor: impl Visitor) -> Result<ArrayRef, OperatorError> {
        let (word, valid) = self.word(0)?;
        match self.plan.method {
            Method::Sum { average, of } => self.visit_sum(visitor, average, of, (word, valid)),
            Method::Extreme { max } => {
                let valid = valid.ok_or_else(misplaced)?;
                match (WordKind::of(&self.plan.argument_type), max) {
                    (Some(WordKind::Long), false) => visitor.long(self, &extremum::<i64, false>(word, valid)),
                    (Some(WordKind::Long), true) => visitor.long(self, &extremum::<i64, true>(word, valid)),
                    (Some(WordKind::Double), false) => visitor.double(self, &extremum::<f64, false>(word, valid)),
                    (Some(WordKind::Double), true) => visitor.double(self, &extremum::<f64, true>(word, valid)),
                    (Some(WordKind::Wide), false) => visitor.wide(self, &extremum::<i128, false>(word, valid)),
                    (Some(WordKind::Wide), true) => visitor.wide(self, &extremum::<i128, true>(word, valid)),
                    (None, _) => Err(misplaced()),
                }
            }
            Method::Records | Method::Count | Method::ExtremeOfSet { .. } => Err(misplaced()),
        }
    }

    fn visit_sum(
        &self,
        visitor: impl Visitor,
        average: bool,
        of: WordKind,
        (sum, valid): (usize, Option<ValidBit>),
    ) -> Result<ArrayRef, OperatorError> {
        let count = self.word(1)?.0;
        let single = self.plan.argument_type == DataType::Float32;
        match (of, average) {
            (WordKind::Long, false) => visitor.long(self, &SumLong::<false> { sum, count }),
            (WordKind::Long, true) => visitor.long(self, &SumLong::<true> { sum, count }),
            (WordKind::Double, false) if single => visitor.double(self, &SumDouble::<false, true> { sum, count }),
            (WordKind::Double, false) => visitor.double(self, &SumDouble::<false, false> { sum, count }),
            (WordKind::Double, true) => visitor.double(self, &SumDouble::<true, false> { sum, count }),
            (WordKind::Wide, _) => {
                let valid = valid.ok_or_else(misplaced)?;
                let (scaling, bound) = self.scaling(average).ok_or_else(misplaced)?;
                if average {
                    visitor.wide(self, &SumWide::<true> { sum, valid, count, bound, scaling })
                } else {
                    visitor.wide(self, &SumWide::<false> { sum, valid, count, bound, scaling })
                }
            }
        }
    }

    /// How quotients of decimals are scaled, and what sums must stay below.
    fn scaling(&self, average: bool) -> Option<(Scaling, i128)> {
        let (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) = (&self.plan.argument_type, &self.plan.output_type)
        else {
            return None;
        };
        let digits = if average { 38 } else { u32::from(*precision) };
        Some((Scaling::new(*from, *to, *precision)?, 10_i128.checked_pow(digits)?))
    }

    fn word(&self, field: usize) -> Result<(usize, Option<ValidBit>), OperatorError> {
        match self.slots.get(field) {
            Some(FieldSlot::Word { word, valid }) => Ok((*word, *valid)),
            _ => Err(misplaced()),
        }
    }

    /// The output column. What the argument's type holds is cast to the output's type if that is another one.
    fn column(&self, words: Words, nulls: Option<arrow::buffer::NullBuffer>) -> Result<ArrayRef, OperatorError> {
        match (&words, &self.plan.output_type) {
            (Words::Long(_), output) if WordKind::of(output) == Some(WordKind::Long) => Ok(words.into_array(nulls, output)?),
            (Words::Double(_), DataType::Float32 | DataType::Float64) => Ok(words.into_array(nulls, &self.plan.output_type)?),
            (Words::Wide(_), DataType::Decimal128(_, _)) if matches!(self.plan.method, Method::Sum { average: true, .. }) => {
                Ok(words.into_array(nulls, &self.plan.output_type)?)
            }
            _ => self.finish(words.into_array(nulls, &self.plan.argument_type)?),
        }
    }

    fn finish(&self, column: ArrayRef) -> Result<ArrayRef, OperatorError> {
        cast(&column, &self.plan.output_type)
    }
}

fn extremum<V: Extreme, const MAX: bool>(word: usize, valid: ValidBit) -> Extremum<V, MAX> {
    Extremum { word, valid, of: PhantomData }
}

/// Meets the accumulator of a call with its types known.
trait Visitor {
    fn long(self, call: &Call, accumulator: &impl Accumulator<Input = i64, Value = i64>) -> Result<ArrayRef, OperatorError>;
    fn double(self, call: &Call, accumulator: &impl Accumulator<Input = f64, Value = f64>) -> Result<ArrayRef, OperatorError>;
    fn wide(self, call: &Call, accumulator: &impl Accumulator<Input = i128, Value = i128>) -> Result<ArrayRef, OperatorError>;
}

struct Update<'a, 'b> {
    table: &'a mut GroupTable,
    words: Words,
    pass: Pass<'b>,
}

impl Visitor for Update<'_, '_> {
    fn long(self, call: &Call, accumulator: &impl Accumulator<Input = i64, Value = i64>) -> Result<ArrayRef, OperatorError> {
        let Words::Long(inputs) = self.words else { return Err(misplaced()) };
        let (values, nulls) = update(accumulator, self.table, &inputs, self.pass).into_parts();
        call.column(Words::Long(values.into()), nulls)
    }

    fn double(self, call: &Call, accumulator: &impl Accumulator<Input = f64, Value = f64>) -> Result<ArrayRef, OperatorError> {
        let Words::Double(inputs) = self.words else { return Err(misplaced()) };
        let (values, nulls) = update(accumulator, self.table, &inputs, self.pass).into_parts();
        call.column(Words::Double(values.into()), nulls)
    }

    fn wide(self, call: &Call, accumulator: &impl Accumulator<Input = i128, Value = i128>) -> Result<ArrayRef, OperatorError> {
        let Words::Wide(inputs) = self.words else { return Err(misplaced()) };
        let (values, nulls) = update(accumulator, self.table, &inputs, self.pass).into_parts();
        call.column(Words::Wide(values.into()), nulls)
    }
}

struct Read<'a> {
    table: &'a GroupTable,
    groups: &'a [GroupRef],
}

impl Visitor for Read<'_> {
    fn long(self, call: &Call, accumulator: &impl Accumulator<Input = i64, Value = i64>) -> Result<ArrayRef, OperatorError> {
        let (values, nulls) = read(accumulator, self.table, self.groups).into_parts();
        call.column(Words::Long(values.into()), nulls)
    }

    fn double(self, call: &Call, accumulator: &impl Accumulator<Input = f64, Value = f64>) -> Result<ArrayRef, OperatorError> {
        let (values, nulls) = read(accumulator, self.table, self.groups).into_parts();
        call.column(Words::Double(values.into()), nulls)
    }

    fn wide(self, call: &Call, accumulator: &impl Accumulator<Input = i128, Value = i128>) -> Result<ArrayRef, OperatorError> {
        let (values, nulls) = read(accumulator, self.table, self.groups).into_parts();
        call.column(Words::Wide(values.into()), nulls)
    }
}

fn signs_of(pass: &Pass<'_>) -> Vec<i8> {
    pass.signs.map_or_else(|| vec![sign::ADD; pass.groups.len()], <[i8]>::to_vec)
}

fn bytes_at(array: &ArrayRef, at: usize) -> &[u8] {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(at).as_bytes(),
        _ => array.as_binary::<i32>().value(at),
    }
}

fn cast(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, OperatorError> {
    if column.data_type() == data_type {
        return Ok(ArrayRef::clone(column));
    }
    Ok(cast_with_options(column, data_type, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn misplaced() -> OperatorError {
    OperatorError::Invariant("an aggregate does not find its accumulator in the group table".to_owned())
}
