//! The splits that nobody has taken yet, shared by the readers of all subtasks; and the watch for new files.

use super::discovery::FilePattern;
use super::splits::{SourceFile, Split};
use crate::storage::Storage;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a reader gets that asks for work.
#[derive(Debug)]
pub(super) enum Take {
    /// This split; it is the reader's from now on.
    Split(Split),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing, ever.
    End,
}

/// Looks for new files.
#[derive(Debug)]
pub(super) struct Watch {
    pattern: FilePattern,
    storage: Arc<dyn Storage>,
    /// Every file that was ever found: a file is read once, whatever becomes of it.
    known: HashSet<String>,
    interval: Duration,
    split_size: Option<u64>,
    /// `None` before the first question: the files of the start have just been looked for.
    next: Option<Instant>,
}

/// The queue. It is locked for one call of [`SplitQueue::take`] a split.
#[derive(Debug)]
pub(super) struct SplitQueue {
    splits: VecDeque<Split>,
    watch: Option<Watch>,
}

impl Watch {
    /// A watch that knows the files in `known` already.
    pub(super) fn new(
        pattern: FilePattern,
        storage: Arc<dyn Storage>,
        known: HashSet<String>,
        interval: Duration,
        split_size: Option<u64>,
    ) -> Self {
        Self { pattern, storage, known, interval, split_size, next: None }
    }

    fn new_splits(&mut self) -> io::Result<Vec<Split>> {
        let mut splits = Vec::new();
        for entry in self.pattern.files(self.storage.as_ref())? {
            let file = SourceFile::found(&entry)?;
            if self.known.insert(file.text().to_owned()) {
                splits.extend(file.splits(0, file.length(), self.split_size));
            }
        }
        Ok(splits)
    }
}

impl SplitQueue {
    /// True as long as splits of the start are left, if new files are looked for after them.
    pub(super) fn is_backlogged(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.next.is_none())
    }

    /// A queue of these splits, in this order.
    pub(super) fn new(splits: Vec<Split>, watch: Option<Watch>) -> Self {
        Self { splits: splits.into(), watch }
    }

    /// The next split. When there is none and a look for new files is due, the reader that asks does the looking.
    pub(super) fn take(&mut self) -> io::Result<Take> {
        if let Some(split) = self.splits.pop_front() {
            return Ok(Take::Split(split));
        }
        let Some(watch) = &mut self.watch else { return Ok(Take::End) };
        let now = Instant::now();
        let next = *watch.next.get_or_insert(now + watch.interval);
        if now < next {
            return Ok(Take::Wait(next));
        }
        let next = now + watch.interval;
        watch.next = Some(next);
        self.splits.extend(watch.new_splits()?);
        Ok(self.splits.pop_front().map_or(Take::Wait(next), Take::Split))
    }
}
