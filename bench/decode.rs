//! Measures how fast a format's decoder reads a file: `cargo run --release --example decode -- FILE FORMAT COLUMNS [PROJECTION]`,
//! for instance `bids.ndjson json 'auction BIGINT, ts TIMESTAMP(3)' 0,1`. The file is read into memory first.

use flink::format::{Decoder, FailOnBadRecord, decoder_factory, encoder_factory};
use flink::types::{Column, Options, Schema, limits::BATCH_ROWS, parse_type_prefix};
use std::error::Error;
use std::time::Duration;

/// `name TYPE, name TYPE, …`
fn schema(mut text: &str) -> Result<Schema, Box<dyn Error>> {
    let mut columns = Vec::new();
    while let Some((name, rest)) = text.trim_start_matches([' ', ',']).split_once(' ') {
        let (data_type, length) = parse_type_prefix(rest)?;
        columns.push(Column { name: name.to_owned(), data_type });
        text = &rest[length..];
    }
    Ok(Schema::new(columns))
}

fn decode_all(decoder: &mut dyn Decoder, bytes: &[u8], mut each: impl FnMut(&flink::types::Batch)) -> Result<usize, Box<dyn Error>> {
    let (mut at, mut rows) = (0, 0);
    decoder.start_file(0);
    loop {
        let consumed = decoder.decode(&bytes[at..], true, BATCH_ROWS, &mut FailOnBadRecord)?;
        at += consumed;
        match decoder.flush()? {
            Some(batch) => {
                rows += batch.num_rows();
                each(&batch);
            }
            None if consumed == 0 => return Ok(rows),
            None => {}
        }
    }
}

/// Time that this thread has run: where other processes want the cores too, the clock on the wall says little.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

#[expect(clippy::print_stdout, reason = "the measurement is this program's output")]
fn report(what: &str, rows: usize, bytes: usize, elapsed: Duration) {
    let nanos = elapsed.as_nanos() as f64;
    println!("{what}: {rows} rows, {:.1} ns a row, {:.0} MB/s", nanos / rows as f64, bytes as f64 * 1e3 / nanos);
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, format, columns, projection @ ..] = arguments.as_slice() else {
        return Err("usage: FILE FORMAT COLUMNS [PROJECTION]".into());
    };
    let bytes = std::fs::read(file)?;
    let schema = schema(columns)?;
    let projection = match projection.first() {
        Some(list) => list.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?,
        None => (0..schema.columns.len()).collect(),
    };
    let factory = decoder_factory(format, &schema, &projection, &Options::default())?;
    for _ in 0..5 {
        let start = cpu_time();
        let rows = decode_all(&mut *factory.decoder(), &bytes, |_| {})?;
        report("decode", rows, bytes.len(), cpu_time().saturating_sub(start));
    }
    let mut batches = Vec::new();
    let rows = decode_all(&mut *factory.decoder(), &bytes, |batch| batches.push(batch.clone()))?;
    let encoders = encoder_factory(format, &schema.project(&projection), &Options::default())?;
    let mut out = Vec::new();
    for _ in 0..5 {
        let (start, mut written) = (cpu_time(), 0);
        let mut encoder = encoders.encoder();
        for batch in &batches {
            out.clear();
            encoder.encode(batch, 0..batch.num_rows(), &mut out)?;
            written += out.len();
        }
        report("encode", rows, written, cpu_time().saturating_sub(start));
    }
    Ok(())
}
