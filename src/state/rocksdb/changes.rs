//! A batch of rows for the store: puts and deletes by key, sorted before they are written.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    bytes: Vec<u8>,
    /// Start of the key, its end, end of the value; the value of a delete ends before it begins.
    entries: Vec<(usize, usize, usize)>,
}

impl Changes {
    /// Adds a row; `key` and `value` append their bytes.
    pub(crate) fn put(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.entries.push((start, middle, self.bytes.len()));
    }

    /// Deletes a row.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.entries.push((start, self.bytes.len(), 0));
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
        self.entries.sort_unstable_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
    }

    /// Keys with their values; no value for a delete.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries.iter().map(|(start, middle, end)| {
            let value = (end >= middle).then(|| &self.bytes[*middle..*end]);
            (&self.bytes[*start..*middle], value)
        })
    }
}
