//! The memory that all tables of a job may take together, and what each of them takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes by which tables may exceed their limit while a checkpoint is written.
const SPARE: usize = 48 << 20;

/// Bytes of rows that leave together, where the table's share is not small.
const BATCH: usize = 1 << 20;

/// Bytes for all tables of a job. Tables report what they hold and give rows away when it is too much.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    tables: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), tables: AtomicUsize::new(0) })
    }
}

/// What one table holds of a [`Budget`]; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        budget.tables.fetch_add(1, Ordering::Relaxed);
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// The table holds `bytes` now. Returns how many of them it must give away: nothing while all tables together keep to the limit,
    /// and nothing of its fair share of it.
    pub(crate) fn set(&mut self, bytes: usize) -> usize {
        // Statistics only: a table that sees another's change late evicts a batch later.
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        let used = self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed) - self.bytes;
        self.bytes = bytes;
        let limit = self.budget.limit;
        let share = limit / self.budget.tables.load(Ordering::Relaxed).max(1);
        if used <= limit || bytes <= share {
            return 0;
        }
        // A little more, so that rows leave in batches: each becomes a file, and the next compaction reads them all at once.
        let batch = (share / 32).max(BATCH.min(share / 8));
        ((used - limit).min(bytes - share) + batch).min(bytes)
    }
}

impl Charge {
    /// Whether `excess` may stay for a while. All tables together may wait with so much.
    pub(crate) fn can_wait(&self, excess: usize) -> bool {
        excess <= SPARE / self.budget.tables.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.tables.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_away_what_is_too_much_but_never_its_share() {
        let budget = Budget::new(640);
        let (mut a, mut b) = (Charge::new(&budget), Charge::new(&budget));
        assert_eq!(a.set(640), 0, "one alone may take all");
        assert_eq!(b.set(100), 0, "less than its share");
        assert_eq!(a.set(640), 100 + 40, "the excess, and an eighth of a small share");
        drop(b);
        assert_eq!(a.set(641), 1 + 80);
        drop(a);
        assert_eq!((budget.used.load(Ordering::Relaxed), budget.tables.load(Ordering::Relaxed)), (0, 0));
    }
}
