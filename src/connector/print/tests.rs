//! Tests of the print and stdout sinks.

use super::*;
use crate::connector::sink_testing::{context, declaration, numbers};
use crate::types::RowKind;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sink(lines: Lines, writer: impl Write + Send + 'static) -> PrintSink {
    let output = Output { name: "standard output", writer: Arc::new(Mutex::new(writer)) };
    PrintSink { description: "print".to_owned(), lines, output, parallelism: None }
}

fn written(lines: Lines, parallelism: usize, batch: &Batch) -> String {
    let captured = Captured::default();
    let mut writers = sink(lines, captured.clone()).writers(&context(parallelism), None, &[]).unwrap();
    for writer in &mut writers {
        writer.write(batch).unwrap();
    }
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_prefix_is_flinks() {
    let (one, two) = (Parallelism::ONE, Parallelism::new(2).unwrap());
    assert_eq!(prefix("", 0, one), "");
    assert_eq!(prefix("id", 0, one), "id> ");
    assert_eq!(prefix("", 1, two), "2> ");
    assert_eq!(prefix("id", 0, two), "id:1> ");
}

#[test]
fn every_row_is_printed_with_its_kind_behind_the_prefix_of_its_subtask() {
    let (columns, _) = numbers(&[7, 8]).into_parts();
    let batch = Batch::changelog(columns, [RowKind::UpdateBefore, RowKind::UpdateAfter].into_iter().collect()).unwrap();
    assert_eq!(written(Lines::Rows(String::new()), 1, &batch), "-U[7]\n+U[8]\n");
    assert_eq!(written(Lines::Rows("x".to_owned()), 2, &batch), "x:1> -U[7]\nx:1> +U[8]\nx:2> -U[7]\nx:2> +U[8]\n");
}

#[test]
fn stdout_holds_records_and_nothing_else() {
    let declared = declaration("stdout", &[]);
    let factory = format::encoder_factory("json", &declared.schema, &declared.options).unwrap();
    assert_eq!(written(Lines::Records(factory), 1, &numbers(&[1, 2])), "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(build_stdout(&declared).unwrap().input(), SinkInput::AppendOnly);
    assert_eq!(build_print(&declared).unwrap().input(), SinkInput::Any);
}

#[test]
fn a_reader_that_went_away_is_a_broken_pipe_and_no_reason_to_restart() {
    let mut writers = sink(Lines::Rows(String::new()), Gone).writers(&context(1), None, &[]).unwrap();
    let error = writers[0].write(&numbers(&[1])).unwrap_err();
    assert!(error.is_broken_pipe(), "{error}");
    assert_eq!(error.retry_hint(), crate::error::RetryHint::Never);
}
