//! What is to be read: the files that were found, less what the snapshots say has been read.

use super::splits::{DonePart, DoneParts, SavedPart, SourceFile, Split, altered};
use crate::connector::ConnectorError;
use std::collections::BTreeMap;

/// How the work is divided at the start.
#[derive(Debug, Default)]
pub(super) struct ReadPlan {
    /// Half-read splits, to be gone on with; each one belongs to one reader (in turn) from the start, since only the snapshot
    /// of a reader can carry its position.
    pub(super) started: Vec<Split>,
    /// What has been read.
    pub(super) done: DoneParts,
    /// What nobody has touched, in the order in which it is to be taken.
    pub(super) untouched: Vec<Split>,
}

/// Divides the bytes of all files.
///
/// `found`: the files that there are now. `saved`: the rows of all snapshots. `size`: the length of a split, `None` if files
/// can only be read as a whole. `length_now`: the length that a file has now, `None` if it is gone; asked only for files that
/// must be read further.
///
/// A file that the snapshots know is read up to the length that it had when it was discovered, whatever has happened since.
pub(super) fn plan(
    found: &[SourceFile],
    saved: Vec<SavedPart>,
    size: Option<u64>,
    length_now: &dyn Fn(&SourceFile) -> Result<Option<u64>, ConnectorError>,
) -> Result<ReadPlan, ConnectorError> {
    let mut by_file: BTreeMap<String, Vec<SavedPart>> = BTreeMap::new();
    for part in saved {
        by_file.entry(part.extent().0.text().to_owned()).or_default().push(part);
    }
    let mut plan = ReadPlan::default();
    for file in found {
        if !by_file.contains_key(file.text()) {
            plan.untouched.extend(file.splits(0, file.length(), size));
        }
    }
    for (_, parts) in by_file {
        let before = plan.started.len();
        let untouched = plan_file(parts, size, &mut plan)?;
        let unfinished = plan.started.get(before..).and_then(<[Split]>::first).or(untouched.first());
        if let Some(split) = unfinished {
            check_length(&split.file, length_now(&split.file)?)?;
        }
        plan.untouched.extend(untouched);
    }
    plan.untouched.sort_by(|a, b| (a.file.text(), a.start).cmp(&(b.file.text(), b.start)));
    Ok(plan)
}

/// Takes the parts of one file into the plan; returns what lies between them.
fn plan_file(mut parts: Vec<SavedPart>, size: Option<u64>, plan: &mut ReadPlan) -> Result<Vec<Split>, ConnectorError> {
    parts.sort_by_key(|part| part.extent().1);
    let mut untouched = Vec::new();
    let mut behind = 0;
    let mut whole: Option<SourceFile> = None;
    for part in parts {
        let (file, start, end) = part.extent();
        let file = whole.get_or_insert_with(|| file.clone());
        if start < behind || *file != *part.extent().0 {
            return Err(altered(&format!("the parts of {} overlap", file.text())));
        }
        untouched.extend(file.splits(behind, start, size));
        behind = end;
        match part {
            SavedPart::Done(DonePart { start, end, .. }) => plan.done.push(DonePart { file: file.clone(), start, end }),
            SavedPart::Open(split) => plan.started.push(split),
        }
    }
    if let Some(file) = &whole {
        untouched.extend(file.splits(behind, file.length(), size));
        if size.is_none() && untouched.iter().any(|split| split.start > 0) {
            let message = format!("{}: half of it has been read in splits, but its format must now be read as a whole", file.text());
            return Err(ConnectorError::State(message));
        }
    }
    Ok(untouched)
}

fn check_length(file: &SourceFile, now: Option<u64>) -> Result<(), ConnectorError> {
    let problem = match now {
        None => "it is gone".to_owned(),
        Some(now) if now < file.length() => format!("it has {now} bytes, it had {}", file.length()),
        Some(_) => return Ok(()),
    };
    Err(ConnectorError::State(format!(
        "{}: the file has not been read to its end, and {problem}; put it back, then restore again",
        file.text()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, length: u64) -> SourceFile {
        SourceFile::new(path, length).unwrap()
    }

    fn done(file: &SourceFile, start: u64, end: u64) -> SavedPart {
        SavedPart::Done(DonePart { file: file.clone(), start, end })
    }

    fn open(file: &SourceFile, start: u64, end: u64, position: u64) -> SavedPart {
        SavedPart::Open(Split { file: file.clone(), start, end, position, dead_letters: position })
    }

    fn ranges(splits: &[Split]) -> Vec<(&str, u64, u64, u64)> {
        splits.iter().map(|s| (s.file.text(), s.start, s.end, s.position)).collect()
    }

    #[test]
    fn a_fresh_start_cuts_every_file_and_leaves_packed_ones_whole() {
        let found = [file("/a", 25), file("/b.gz", 25), file("/empty", 0)];
        let plan = plan(&found, Vec::new(), Some(10), &|_| unreachable!()).unwrap();
        assert_eq!(ranges(&plan.untouched), [("/a", 0, 10, 0), ("/a", 10, 20, 10), ("/a", 20, 25, 20), ("/b.gz", 0, 25, 0)]);
    }

    #[test]
    fn what_no_snapshot_lists_is_read_and_what_is_done_is_not() {
        let a = file("/a", 45);
        let saved = vec![done(&a, 10, 20), open(&a, 30, 40, 37), done(&a, 20, 30)];
        // The file has grown since: it is still read up to the length it had.
        let plan = plan(&[file("/a", 99), file("/c", 5)], saved, Some(10), &|_| Ok(Some(99))).unwrap();
        assert_eq!(ranges(&plan.started), [("/a", 30, 40, 37)]);
        assert_eq!(ranges(&plan.untouched), [("/a", 0, 10, 0), ("/a", 40, 45, 40), ("/c", 0, 5, 0)]);
        assert_eq!(plan.done.iter().cloned().collect::<Vec<_>>(), [DonePart { file: a, start: 10, end: 30 }]);
    }

    #[test]
    fn a_file_that_is_gone_or_shorter_matters_only_if_it_must_be_read_further() {
        let a = file("/a", 20);
        assert!(plan(&[], vec![done(&a, 0, 20)], Some(10), &|_| Ok(None)).is_ok());
        let gone = plan(&[], vec![done(&a, 0, 10)], Some(10), &|_| Ok(None)).unwrap_err().to_string();
        assert!(gone.contains("/a: the file has not been read to its end, and it is gone"), "{gone}");
        let short = plan(&[], vec![open(&a, 0, 20, 8)], None, &|_| Ok(Some(19))).unwrap_err().to_string();
        assert!(short.contains("it has 19 bytes, it had 20"), "{short}");
    }

    #[test]
    fn overlapping_parts_are_refused() {
        let a = file("/a", 20);
        let saved = vec![done(&a, 0, 11), open(&a, 10, 20, 10)];
        assert!(plan(&[], saved, Some(10), &|_| Ok(Some(20))).unwrap_err().to_string().contains("overlap"));
        let saved = vec![done(&a, 0, 10), done(&file("/a", 30), 10, 20)];
        assert!(plan(&[], saved, Some(10), &|_| Ok(Some(20))).is_err());
    }
}
