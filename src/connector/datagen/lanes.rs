//! Which rows a subtask makes, and when.
//!
//! The rows are numbered from 0 on and dealt out to 128 lanes: lane j holds the rows j, j + 128, … A subtask owns some lanes and
//! always makes the lowest row that is next in them. A lane's position is the number of its next row; so the lanes can be dealt
//! out anew after a restore, to any number of subtasks, and no row is made twice or never.

use crate::connector::ConnectorError;
use crate::format::FormatError;
use crate::types::limits::DATAGEN_LANES;
use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const LANES: u64 = DATAGEN_LANES as u64;

/// The lanes of one subtask: the next row of each one, ascending. The lane is the row modulo 128.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lanes(VecDeque<u64>);

/// The columns of a snapshot: `lane INT, next BIGINT`, NOT NULL; one row a lane.
pub(super) fn state_schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![field("lane", DataType::Int32), field("next", DataType::Int64)]))
}

impl Lanes {
    /// All lanes, as the snapshots say or at their begin, dealt out to `parallelism` subtasks.
    pub(super) fn deal(restored: &[RecordBatch], parallelism: usize) -> Result<Vec<Self>, ConnectorError> {
        let mut next: Vec<Option<u64>> = vec![None; DATAGEN_LANES];
        if restored.is_empty() {
            next = (0..LANES).map(Some).collect();
        }
        for batch in restored {
            for row in Self::saved(batch)? {
                let lane = next.get_mut((row % LANES) as usize).filter(|lane| lane.is_none());
                *lane.ok_or_else(|| damaged(&format!("lane {} is saved twice", row % LANES)))? = Some(row);
            }
        }
        let next = next.into_iter().collect::<Option<Vec<u64>>>().ok_or_else(|| damaged("a lane is missing"))?;
        let own = |index: usize| {
            let mut rows: Vec<u64> = next.iter().copied().skip(index).step_by(parallelism.max(1)).collect();
            rows.sort_unstable();
            Self(rows.into())
        };
        Ok((0..parallelism).map(own).collect())
    }

    fn saved(batch: &RecordBatch) -> Result<Vec<u64>, ConnectorError> {
        let column = |name: &str, data_type: &DataType| {
            let column = batch.column_by_name(name).filter(|c| c.data_type() == data_type && c.null_count() == 0);
            column.ok_or_else(|| damaged(&format!("column {name} is not {data_type} NOT NULL")))
        };
        let lanes = column("lane", &DataType::Int32)?.as_primitive::<Int32Type>();
        let rows = column("next", &DataType::Int64)?.as_primitive::<Int64Type>();
        let saved = |(lane, row): (&i32, &i64)| match (u64::try_from(*lane), u64::try_from(*row)) {
            (Ok(lane), Ok(row)) if row % LANES == lane => Ok(row),
            _ => Err(damaged(&format!("row {row} in lane {lane}"))),
        };
        lanes.values().iter().zip(rows.values()).map(saved).collect()
    }

    /// The lowest row that is next; `None` without a lane.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.front().copied()
    }

    /// Number of lanes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the next rows below `bound` into `rows`, in order, until it has `most`.
    pub(super) fn take(&mut self, bound: u64, most: usize, rows: &mut Vec<u64>) {
        while rows.len() < most {
            let Some(row) = self.0.front().copied().filter(|row| *row < bound) else { return };
            self.0.pop_front();
            rows.push(row);
            let next = row.saturating_add(LANES);
            // After the first round of all lanes the next row is always behind all others.
            if self.0.back().is_none_or(|last| *last < next) {
                self.0.push_back(next);
            } else {
                let place = self.0.partition_point(|other| *other < next);
                self.0.insert(place, next);
            }
        }
    }

    /// Saves the positions.
    pub(super) fn snapshot(&self) -> Result<RecordBatch, ConnectorError> {
        let lanes = Int32Array::from_iter_values(self.0.iter().map(|row| (row % LANES) as i32));
        let rows = Int64Array::from_iter_values(self.0.iter().map(|row| *row as i64));
        let batch = RecordBatch::try_new(state_schema(), vec![Arc::new(lanes), Arc::new(rows)]);
        batch.map_err(|e| FormatError::from(e).into())
    }
}

fn damaged(what: &str) -> ConnectorError {
    ConnectorError::State(format!("the saved position of the datagen source is damaged: {what}"))
}

/// When which row is due: row `origin` at the start, and `rate` more each second.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    rate: u64,
    origin: u64,
    start: Option<Instant>,
}

const SECOND: u128 = 1_000_000_000;

impl Pace {
    /// A pace that begins at the first question.
    pub(super) fn new(rate: u64, origin: u64) -> Self {
        Self { rate: rate.max(1), origin, start: None }
    }

    /// The rows below this one are due at `now`. A source that was held up does not make up for more than a second: `next`
    /// is the row where it stands.
    pub(super) fn bound(&mut self, now: Instant, next: u64) -> u64 {
        let start = *self.start.get_or_insert(now);
        let due = self.due_after(now - start);
        let late = due.saturating_sub(next);
        if late <= self.rate {
            return due.saturating_add(1);
        }
        let behind = u128::from(late - self.rate) * SECOND / u128::from(self.rate);
        self.start = Some((start + nanos(behind)).min(now));
        next.saturating_add(self.rate).saturating_add(1)
    }

    /// When `row` is due.
    pub(super) fn due(&self, row: u64, now: Instant) -> Instant {
        let rows = u128::from(row.saturating_sub(self.origin));
        self.start.unwrap_or(now) + nanos((rows * SECOND).div_ceil(u128::from(self.rate)))
    }

    /// Rows that are due in `duration`.
    pub(super) fn rows_in(&self, duration: Duration) -> u64 {
        u64::try_from(u128::from(self.rate) * duration.as_nanos() / SECOND).unwrap_or(u64::MAX)
    }

    fn due_after(&self, elapsed: Duration) -> u64 {
        self.origin.saturating_add(self.rows_in(elapsed))
    }
}

fn nanos(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX / 4).min(u64::MAX / 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_made_once_in_order_whatever_becomes_of_the_parallelism(
            rounds in prop::collection::vec((1_usize..140, prop::collection::vec(0_usize..500, 1..6)), 1..5),
        ) {
            let mut made: Vec<u64> = Vec::new();
            let mut saved: Vec<RecordBatch> = Vec::new();
            for (parallelism, counts) in rounds {
                let mut subtasks = Lanes::deal(&saved, parallelism).unwrap();
                for (i, lanes) in subtasks.iter_mut().enumerate() {
                    let mut rows = Vec::new();
                    lanes.take(u64::MAX, counts[i % counts.len()], &mut rows);
                    prop_assert!(rows.is_sorted());
                    made.extend(rows);
                }
                saved = subtasks.iter().map(|lanes| lanes.snapshot().unwrap()).collect();
            }
            let highest = made.iter().copied().max().unwrap_or(0) + 1;
            for lanes in &mut Lanes::deal(&saved, 3).unwrap() {
                lanes.take(highest, usize::MAX, &mut made);
            }
            made.sort_unstable();
            prop_assert_eq!(made, (0..highest).collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_positions_are_refused() {
        let good = Lanes::deal(&[], 1).unwrap()[0].snapshot().unwrap();
        assert!(Lanes::deal(std::slice::from_ref(&good), 4).is_ok());
        assert!(Lanes::deal(&[good.clone(), good.clone()], 1).unwrap_err().to_string().contains("saved twice"));
        assert!(Lanes::deal(&[good.slice(0, 100)], 1).unwrap_err().to_string().contains("missing"));
        let wrong = RecordBatch::try_new(state_schema(), vec![Arc::new(Int32Array::from(vec![1])), Arc::new(Int64Array::from(vec![7]))]);
        assert!(Lanes::deal(&[wrong.unwrap()], 1).unwrap_err().to_string().contains("row 7 in lane 1"));
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_due_at_the_rate_and_a_long_pause_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(3, 10);
        assert_eq!(pace.bound(start, 10), 11);
        for row in 10..40 {
            let due = pace.due(row, start);
            assert_eq!(pace.bound(due, row), row + 1);
            assert!(row == 10 || pace.bound(due - Duration::from_nanos(1), row) == row);
        }
        let late = start + Duration::from_secs(1_000);
        assert_eq!(pace.bound(late, 40), 44);
        assert_eq!(pace.bound(late + Duration::from_secs(1), 44), 47);
    }
}
