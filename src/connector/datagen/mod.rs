//! `datagen`: rows made up by rule, Flink's DataGen connector, exact after a restore and independent of the parallelism.

use super::{Source, SourceDeclaration};
use crate::types::{OptionError, OptionKind, OptionSpec};
use std::sync::Arc;

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
                "Length of random texts and bytes (100; VARCHAR(n): n) and of arrays and maps (3).",
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
pub(super) fn build(_declaration: &SourceDeclaration) -> Result<Arc<dyn Source>, OptionError> {
    Err(OptionError::new("connector", "datagen cannot be read yet"))
}
