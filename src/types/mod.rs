//! The vocabulary that every layer shares: batches, stream elements, time, key groups, ids, types, units and limits.

mod batch;
mod datum;
mod element;
mod ids;
mod keys;
pub mod limits;
mod logical;
mod nearest;
mod options;
mod schema;
mod time;
mod type_text;
mod units;

pub use batch::{Batch, RowKind, RowKinds};
pub use datum::{
    ColumnValues, Datum, DatumBuilder, DatumColumn, DatumError, OrderedDouble, RowBuilder, Unscaled, decode_datum, decode_ordered,
    double_of_ordered, encode_datum, encode_ordered, ordered_of_double,
};
pub use element::{Barrier, CheckpointKind, StreamElement, Watermark, WatermarkStatus};
pub use ids::{CheckpointId, IdError, JobId, OperatorUid, TriggerId};
pub use keys::{KeyGroup, KeyGroupRange, MaxParallelism, Parallelism, hash_keys, key_group_of, subtask_of};
pub use logical::{LogicalType, TypeKind};
pub use nearest::nearest;
pub use options::{OptionError, OptionKind, OptionSpec, Options};
pub use schema::{ChangelogMode, Column, Schema};
pub use time::{Clock, EventTime, ManualClock, SystemClock, WallTime};
pub use type_text::{TYPE_NAMES, TypeError, parse_type_prefix};
pub use units::{ByteSize, UnitError, format_duration, parse_duration};
