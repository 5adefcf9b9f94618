//! A batch of rows for the store: puts, merges and deletes by key, sorted before they are written.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where a key and its value lie: from `start` to `middle`, from there to `end`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    middle: usize,
    end: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Put,
    Merge,
    Delete,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// This is its value.
    Put(&'a [u8]),
    /// This is added to its value, which nobody has read.
    Merge(&'a [u8]),
    /// It goes.
    Delete,
}

impl Changes {
    /// Sets a row; `key` and `value` append their bytes.
    pub(crate) fn put(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        self.add(Kind::Put, key, value);
    }

    /// Adds to a row; an empty value is left out.
    pub(crate) fn merge(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        self.add(Kind::Merge, key, value);
        if let Some(last) = self.entries.pop_if(|last| last.middle == last.end) {
            self.bytes.truncate(last.start);
        }
    }

    /// Deletes a row.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.add(Kind::Delete, |out| out.extend_from_slice(key), |_| {});
    }

    fn add(&mut self, kind: Kind, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.entries.push(Entry { start, middle, end: self.bytes.len(), kind });
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Puts the rows into the order of their keys, none of which stands there twice.
    pub(crate) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.entries.sort_unstable_by(|a, b| bytes[a.start..a.middle].cmp(&bytes[b.start..b.middle]));
    }

    /// Keys, and what becomes of their rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Change<'_>)> {
        self.entries.iter().map(|Entry { start, middle, end, kind }| {
            let value = &self.bytes[*middle..*end];
            let change = match kind {
                Kind::Put => Change::Put(value),
                Kind::Merge => Change::Merge(value),
                Kind::Delete => Change::Delete,
            };
            (&self.bytes[*start..*middle], change)
        })
    }
}
