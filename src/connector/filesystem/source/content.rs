//! The bytes of a file, unpacked if its name says that they are packed.

use super::splits::SourceFile;
use crate::metrics::Counter;
use crate::storage::{ReadFile, Storage};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes read at once from a packed file.
const PACKED_CHUNK: usize = 256 << 10;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not at all.
    None,
    /// `.gz`, `.gzip`
    Gzip,
    /// `.zst`
    Zstd,
    /// `.deflate`
    Deflate,
}

impl Packing {
    /// By the extension, as Flink does. Errors on what Flink could unpack and this cannot.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("gz" | "gzip") => Ok(Self::Gzip),
            Some("zst" | "zstd") => Ok(Self::Zstd),
            Some("deflate") => Ok(Self::Deflate),
            Some(other @ ("bz2" | "xz")) => {
                let message = format!("{}: .{other} files cannot be unpacked; .gz, .zst and .deflate can", path.display());
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
            _ => Ok(Self::None),
        }
    }
}

/// A file opened for reading from some position on, up to the length that it had when it was discovered.
pub(super) enum Content {
    /// Bytes as they stand.
    Plain(FileBytes),
    /// Bytes as they come out of the unpacker.
    Packed(Box<dyn Read + Send>),
}

/// A file's bytes in order.
pub(super) struct FileBytes {
    file: Box<dyn ReadFile>,
    offset: u64,
    length: u64,
    counter: Counter,
}

impl Read for FileBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.offset);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(target) = buffer.get_mut(..count).filter(|target| !target.is_empty()) else { return Ok(0) };
        let read = self.file.read_at(target, self.offset)?;
        if read == 0 {
            let message = format!("it ends at byte {}, {} bytes were there when it was found", self.offset, self.length);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.offset += read as u64;
        self.counter.add(read as u64);
        Ok(read)
    }
}

impl Content {
    /// Opens `file` so that the next byte is the one at `position` (of the unpacked bytes). `counter` counts the bytes read
    /// from the file.
    pub(super) fn open(storage: &dyn Storage, file: &SourceFile, position: u64, counter: Counter) -> io::Result<Self> {
        let opened = storage.open(file.path())?;
        let offset = if file.packing() == Packing::None { position } else { 0 };
        let bytes = FileBytes { file: opened, offset, length: file.length(), counter };
        let packed = |bytes| BufReader::with_capacity(PACKED_CHUNK, bytes);
        let mut unpacked: Box<dyn Read + Send> = match file.packing() {
            Packing::None => return Ok(Self::Plain(bytes)),
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed(bytes))),
            Packing::Deflate => Box::new(flate2::bufread::ZlibDecoder::new(packed(bytes))),
            Packing::Zstd => Box::new(ZstdBytes::new(packed(bytes))?),
        };
        let skipped = io::copy(&mut unpacked.by_ref().take(position), &mut io::sink())?;
        if skipped < position {
            let message = format!("{skipped} bytes unpacked, {position} were read before");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Self::Packed(unpacked))
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(bytes) => bytes.read(buffer),
                Self::Packed(bytes) => bytes.read(buffer),
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// The zstd frames of a file. An empty file is none, which the plain decoder would call truncated.
struct ZstdBytes<R: BufRead>(Option<zstd::stream::read::Decoder<'static, R>>);

impl<R: BufRead> ZstdBytes<R> {
    fn new(mut packed: R) -> io::Result<Self> {
        if packed.fill_buf()?.is_empty() {
            return Ok(Self(None));
        }
        zstd::stream::read::Decoder::with_buffer(packed).map(|decoder| Self(Some(decoder)))
    }
}

impl<R: BufRead> Read for ZstdBytes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |decoder| decoder.read(buffer))
    }
}
