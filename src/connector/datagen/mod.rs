//! `datagen`: rows made up by rule, Flink's DataGen connector, exact after a restore and independent of the parallelism.

mod lanes;
mod rules;
#[cfg(test)]
mod tests;
mod values;

use super::{ConnectorContext, ConnectorError, Source, SourceDeclaration, SourceEvent, SourceReader};
use crate::format::FormatError;
use crate::metrics::OperatorMetrics;
use crate::types::{Batch, ChangelogMode, Clock, OptionError, OptionKind, OptionSpec, Parallelism, limits};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use lanes::{Lanes, Pace};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use values::ColumnRule;

/// The longest that a row waits for others to be sent with it.
const TICK: Duration = Duration::from_millis(50);

const fn option(key: &'static str, kind: OptionKind, default: Option<&'static str>, doc: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, required: false, doc }
}

/// Words of `fields.*.kind`.
const KINDS: &[&str] = &["random", "sequence"];

/// The options of one field, below the prefix that names it.
macro_rules! field_options {
    ($prefix:literal) => {
        [
            option(concat!($prefix, ".kind"), OptionKind::Word(KINDS), Some("random"), "How the values are made."),
            option(concat!($prefix, ".min"), OptionKind::Float, None, "Least random number; without it the least of the type."),
            option(concat!($prefix, ".max"), OptionKind::Float, None, "Greatest random number; without it the greatest of the type."),
            option(concat!($prefix, ".max-past"), OptionKind::Duration, Some("0 ms"), "How far before now a random timestamp may lie."),
            option(
                concat!($prefix, ".length"),
                OptionKind::Int(0, 1 << 20),
                None,
                "Length of random texts and bytes (100; VARCHAR(n): at most n; CHAR(n): n) and of arrays and maps (3).",
            ),
            option(
                concat!($prefix, ".var-len"),
                OptionKind::Bool,
                Some("false"),
                "Random texts and bytes have a random length from 1 to `length`.",
            ),
            option(concat!($prefix, ".start"), OptionKind::Int(i64::MIN, i64::MAX), None, "First value of a sequence."),
            option(
                concat!($prefix, ".end"),
                OptionKind::Int(i64::MIN, i64::MAX),
                None,
                "Last value of a sequence; the source ends with its shortest sequence.",
            ),
            option(concat!($prefix, ".null-rate"), OptionKind::Float, Some("0"), "Share of NULLs among the random values, 0 to 1."),
        ]
    };
}

const GENERAL: [OptionSpec; 3] = [
    option(
        "rows-per-second",
        OptionKind::Int(1, i64::MAX),
        Some("10000"),
        "Rows a second, over all subtasks; a high number stands for \"as fast as possible\".",
    ),
    option(
        "number-of-rows",
        OptionKind::Int(0, i64::MAX),
        None,
        "How many rows there are; without it and without a sequence the source never ends.",
    ),
    option(
        "seed",
        OptionKind::Int(i64::MIN, i64::MAX),
        Some("0"),
        "Random values depend on this, the column's name and the row's number alone: the same seed gives the same rows (timestamps aside).",
    ),
];

const FIELD: [OptionSpec; 9] = field_options!("fields.*");
const SUBFIELD: [OptionSpec; 9] = field_options!("fields.*.*");
const SUBSUBFIELD: [OptionSpec; 9] = field_options!("fields.*.*.*");

const fn all_options() -> [OptionSpec; 30] {
    let mut all = [GENERAL[0]; 30];
    let mut i = 0;
    while i < GENERAL.len() {
        all[i] = GENERAL[i];
        i += 1;
    }
    let mut i = 0;
    while i < FIELD.len() {
        all[3 + i] = FIELD[i];
        all[12 + i] = SUBFIELD[i];
        all[21 + i] = SUBSUBFIELD[i];
        i += 1;
    }
    all
}

/// The options of `datagen`: the general ones, then those of fields, of fields of ROWs, elements of ARRAYs (`fields.a.element.*`), keys and
/// values of MAPs (`fields.m.key.*`, `fields.m.value.*`), and of those one level deeper.
pub(super) const OPTIONS: &[OptionSpec] = &all_options();

/// Makes the source.
pub(super) fn build(declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    let options = &declaration.options;
    let seed = options.int("seed", 0, i64::MIN, i64::MAX)?;
    let rate = options.int("rows-per-second", 10_000, 1, i64::MAX)?.unsigned_abs();
    let mut rules = rules::read(&declaration.schema, options, seed)?;
    let number = match options.get("number-of-rows") {
        Some(_) => Some(options.int("number-of-rows", 0, 0, i64::MAX)?.unsigned_abs()),
        None => None,
    };
    let total = [number, rules.rows].into_iter().flatten().min();
    let schema = declaration.schema.project(&declaration.projection).to_arrow();
    // Columns that the job does not use still end the source, if they are sequences; but they are not made.
    rules.columns = declaration.projection.iter().filter_map(|index| rules.columns.get(*index).cloned()).collect();
    let width = rules.columns.iter().fold(1, |sum: u64, column| sum.saturating_add(column.width()));
    if width > limits::RECORD_BYTES.0 {
        let message = format!("a row would have {width} bytes, at most {} are made; see the lengths", limits::RECORD_BYTES.0);
        return Err(OptionError::new("fields", message));
    }
    let batch_rows = ((limits::BATCH_BYTES.0 * 4 / width) as usize).clamp(1, limits::BATCH_ROWS);
    Ok(Arc::new(DataGenSource { columns: rules.columns.into(), schema, rate, total, batch_rows }))
}

/// Rows by rule.
#[derive(Debug)]
struct DataGenSource {
    columns: Arc<[ColumnRule]>,
    schema: SchemaRef,
    /// Rows a second, over all subtasks.
    rate: u64,
    /// How many rows there are; `None`: no end.
    total: Option<u64>,
    batch_rows: usize,
}

impl Source for DataGenSource {
    fn describe(&self) -> String {
        "datagen".to_owned()
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn changelog_mode(&self) -> ChangelogMode {
        ChangelogMode::AppendOnly
    }

    fn is_bounded(&self) -> bool {
        self.total.is_some()
    }

    fn max_subtasks(&self) -> Option<Parallelism> {
        Parallelism::new(limits::DATAGEN_LANES)
    }

    fn state_schema(&self) -> SchemaRef {
        lanes::state_schema()
    }

    fn readers(
        &self,
        context: &ConnectorContext,
        restored: &[RecordBatch],
        _metrics: &[OperatorMetrics],
    ) -> Result<Vec<Box<dyn SourceReader>>, ConnectorError> {
        let subtasks = Lanes::deal(restored, context.parallelism.get())?;
        let origin = subtasks.iter().filter_map(Lanes::first).min().unwrap_or(0);
        let reader = |lanes: Lanes| {
            Box::new(DataGenReader {
                columns: self.columns.clone(),
                schema: self.schema.clone(),
                pace: Pace::new(self.rate, origin),
                // A row's number is saved as BIGINT.
                total: self.total.unwrap_or(i64::MAX as u64),
                batch_rows: self.batch_rows,
                clock: context.clock.clone(),
                rows: Vec::new(),
                sleep: None,
                lanes,
            }) as Box<dyn SourceReader>
        };
        Ok(subtasks.into_iter().map(reader).collect())
    }
}

/// Makes the rows of some lanes.
struct DataGenReader {
    columns: Arc<[ColumnRule]>,
    schema: SchemaRef,
    lanes: Lanes,
    pace: Pace,
    total: u64,
    batch_rows: usize,
    clock: Arc<dyn Clock>,
    rows: Vec<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl DataGenReader {
    fn make(&self) -> Result<Batch, ConnectorError> {
        let now = self.clock.now();
        let columns = self.columns.iter().map(|column| column.make(&self.rows, now)).collect::<Result<Vec<_>, _>>();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        let batch = columns.and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options));
        Ok(Batch::append(batch.map_err(FormatError::from)?))
    }

    /// When to go on, if `next` is not due yet: with as many rows as come in [`TICK`], but with no more than a batch.
    fn wake_up(&self, next: u64, now: Instant) -> Instant {
        let share = (limits::DATAGEN_LANES / self.lanes.len().max(1)) as u64;
        let more = self.pace.rows_in(TICK).min((self.batch_rows as u64).saturating_mul(share));
        self.pace.due(next.saturating_add(more), now)
    }
}

impl SourceReader for DataGenReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SourceEvent, ConnectorError>> {
        loop {
            let Some(next) = self.lanes.first().filter(|next| *next < self.total) else {
                return Poll::Ready(Ok(SourceEvent::End));
            };
            let now = Instant::now();
            let bound = self.pace.bound(now, next).min(self.total);
            self.rows.clear();
            self.lanes.take(bound, self.batch_rows, &mut self.rows);
            if !self.rows.is_empty() {
                return Poll::Ready(self.make().map(SourceEvent::Batch));
            }
            let until = self.wake_up(next, now);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if sleep.deadline() != until {
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn snapshot(&mut self) -> Result<RecordBatch, ConnectorError> {
        self.lanes.snapshot()
    }
}
