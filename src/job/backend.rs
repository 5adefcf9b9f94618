//! `state.backend.*` as it was written → the settings that the state backends take.

use super::configuration::{Defaults, Reader};
use super::options::BACKENDS;
use crate::state::{BackendSettings, Compression, RocksSettings};
use crate::types::{ByteSize, Parallelism};

impl Reader<'_, '_> {
    /// The backend and its settings.
    pub(super) fn backend(&mut self, defaults: &Defaults, parallelism: Parallelism) -> BackendSettings {
        let rocks = self.rocksdb(defaults, parallelism);
        match BACKENDS.get(self.word("state.backend.type")).copied() {
            Some("rocksdb" | "RocksDBStateBackend") => BackendSettings::RocksDb(Box::new(rocks)),
            Some("forst") => {
                let message = "\"forst\" is not available in this version; the backends are hashmap and rocksdb";
                self.wrong("state.backend.type", message);
                BackendSettings::HashMap
            }
            _ => BackendSettings::HashMap,
        }
    }

    /// The settings of RocksDB: read, and so checked, whatever the backend is.
    fn rocksdb(&mut self, defaults: &Defaults, parallelism: Parallelism) -> RocksSettings {
        let key = |name: &str| format!("state.backend.rocksdb.{name}");
        let localdir = self.directory(&key("localdir"), defaults);
        let write_buffer_ratio = self.float(&key("memory.write-buffer-ratio"));
        if !(write_buffer_ratio > 0.0 && write_buffer_ratio < 1.0) {
            self.wrong(&key("memory.write-buffer-ratio"), "the ratio must be between 0 and 1");
        }
        let bits = self.float(&key("bloom-filter.bits-per-key"));
        if !(bits.is_finite() && bits > 0.0) {
            self.wrong(&key("bloom-filter.bits-per-key"), "the number must be more than 0");
        }
        let block_size = self.size(&key("block.blocksize"));
        if block_size.0 < 256 || block_size.0 > 64 << 20 {
            self.wrong(&key("block.blocksize"), "the size must be from 256 bytes to 64 mb");
        }
        RocksSettings {
            localdir,
            memory: self.memory(parallelism),
            write_buffer_ratio,
            partitioned_index_filters: self.bool(&key("memory.partitioned-index-filters")),
            block_size,
            metadata_block_size: self.size(&key("block.metadata-blocksize")),
            write_buffer_size: self.size(&key("writebuffer.size")),
            write_buffer_count: self.count(&key("writebuffer.count")),
            write_buffers_to_merge: self.count(&key("writebuffer.number-to-merge")),
            threads: self.count(&key("thread.num")),
            open_files: self.int(&key("files.open")),
            bloom_bits: self.bool(&key("use-bloom-filter")).then_some(bits),
            compaction_style: self.text(&key("compaction.style")).unwrap_or_default().trim().to_owned(),
            level_base: self.size(&key("compaction.level.max-size-level-base")),
            target_file_size: self.size(&key("compaction.level.target-file-size-base")),
            dynamic_level_size: self.bool(&key("compaction.level.use-dynamic-size")),
            compression: self.compression(&key("compression.per.level")),
        }
    }

    fn size(&self, key: &str) -> ByteSize {
        self.text(key).and_then(|text| text.parse().ok()).unwrap_or(ByteSize(0))
    }

    /// Flink: a size for each slot goes before one for the process, and both before managed memory.
    fn memory(&mut self, parallelism: Parallelism) -> ByteSize {
        let (slot, process) = ("state.backend.rocksdb.memory.fixed-per-slot", "state.backend.rocksdb.memory.fixed-per-tm");
        let (key, memory) = if self.entry(slot).is_some() {
            (slot, ByteSize(self.size(slot).0.saturating_mul(parallelism.get() as u64)))
        } else {
            let key = if self.entry(process).is_some() { process } else { "taskmanager.memory.managed.size" };
            (key, self.size(key))
        };
        if memory.0 == 0 {
            self.wrong(key, "the backend needs memory");
        }
        memory
    }

    fn compression(&mut self, key: &str) -> Vec<Compression> {
        let text = self.text(key).unwrap_or_default();
        let mut levels = Vec::new();
        for word in text.split(';').map(str::trim) {
            match word.to_ascii_uppercase().as_str() {
                "NO_COMPRESSION" => levels.push(Compression::None),
                "LZ4_COMPRESSION" => levels.push(Compression::Lz4),
                _ => self.wrong(key, &format!("\"{word}\" is not available: use LZ4_COMPRESSION or NO_COMPRESSION")),
            }
        }
        levels
    }
}
