//! `state.backend.type` and `state.backend.rocksdb.*`, with Flink's meanings (`docs/job-toml.md`).

use crate::types::ByteSize;
use std::path::PathBuf;

/// `state.backend.type`: where working state is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum BackendSettings {
    /// `hashmap`: on the heap.
    #[default]
    HashMap,
    /// `rocksdb`: in memory as far as its budget goes, the rest in an embedded RocksDB.
    RocksDb(Box<RocksSettings>),
}

/// How SST files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `NO_COMPRESSION`
    None,
    /// `LZ4_COMPRESSION`
    Lz4,
}

/// `compaction.style`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Level,
    Universal,
    None,
}

/// `state.backend.rocksdb.*`
#[derive(Debug, Clone, PartialEq)]
pub struct RocksSettings {
    /// `localdir`, if it is set.
    pub localdir: Option<PathBuf>,
    /// Memory of all stores and tables of the job together.
    pub memory: ByteSize,
    /// `memory.write-buffer-ratio`: the part of RocksDB's memory that write buffers may take.
    pub write_buffer_ratio: f64,
    /// `memory.partitioned-index-filters`
    pub partitioned_index_filters: bool,
    /// `block.blocksize`
    pub block_size: ByteSize,
    /// `block.metadata-blocksize`
    pub metadata_block_size: ByteSize,
    /// `writebuffer.size`
    pub write_buffer_size: ByteSize,
    /// `writebuffer.count`
    pub write_buffer_count: usize,
    /// `writebuffer.number-to-merge`
    pub write_buffers_to_merge: usize,
    /// `thread.num`
    pub threads: usize,
    /// `files.open`; -1 for no bound.
    pub open_files: i64,
    /// `use-bloom-filter` and `bloom-filter.bits-per-key`
    pub bloom_bits: Option<f64>,
    /// `compaction.style`: LEVEL, UNIVERSAL or NONE.
    pub compaction_style: String,
    /// `compaction.level.max-size-level-base`
    pub level_base: ByteSize,
    /// `compaction.level.target-file-size-base`
    pub target_file_size: ByteSize,
    /// `compaction.level.use-dynamic-size`
    pub dynamic_level_size: bool,
    /// `compression.per.level`, from level 0 on; the last one holds for all further levels.
    pub compression: Vec<Compression>,
}

impl Default for RocksSettings {
    fn default() -> Self {
        Self {
            localdir: None,
            memory: ByteSize(512 << 20),
            write_buffer_ratio: 0.5,
            partitioned_index_filters: true,
            block_size: ByteSize(4 << 10),
            metadata_block_size: ByteSize(4 << 10),
            write_buffer_size: ByteSize(64 << 20),
            write_buffer_count: 2,
            write_buffers_to_merge: 1,
            threads: 2,
            open_files: -1,
            bloom_bits: Some(10.0),
            compaction_style: "LEVEL".to_owned(),
            level_base: ByteSize(256 << 20),
            target_file_size: ByteSize(64 << 20),
            dynamic_level_size: false,
            compression: vec![Compression::Lz4],
        }
    }
}

impl RocksSettings {
    pub(super) fn style(&self) -> Style {
        match self.compaction_style.to_ascii_uppercase().as_str() {
            "UNIVERSAL" => Style::Universal,
            "NONE" => Style::None,
            _ => Style::Level,
        }
    }
}
