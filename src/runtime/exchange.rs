//! Sends a task's output to the subtasks of the next vertex: by key group, in turn, to all, or straight on.

use crate::job::graph::Exchange;
use crate::operator::OperatorError;
use crate::types::{Batch, MaxParallelism, Parallelism, StreamElement, hash_keys, key_group_of, subtask_of};
use arrow::array::{ArrayRef, UInt32Array};
use tokio::sync::mpsc;

/// Elements on their way out: which link, which subtask of the receiver.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) elements: Vec<(usize, usize, StreamElement)>,
}

/// One link out of a subtask.
#[derive(Debug)]
pub(crate) struct LinkSender {
    exchange: Exchange,
    /// One a subtask of the receiver; for `Forward` the one with the same index alone.
    channels: Vec<mpsc::Sender<StreamElement>>,
    max_parallelism: MaxParallelism,
    next: usize,
    hashes: Vec<u64>,
    rows: Vec<Vec<u32>>,
}

impl LinkSender {
    /// A link to these channels.
    pub(crate) fn new(exchange: Exchange, channels: Vec<mpsc::Sender<StreamElement>>, max_parallelism: MaxParallelism) -> Self {
        let rows = vec![Vec::new(); channels.len()];
        Self { exchange, channels, max_parallelism, next: 0, hashes: Vec::new(), rows }
    }

    /// Sends one element to receiver `channel`, waiting while it is full. `false`: the receiver is gone.
    pub(crate) async fn send(&self, channel: usize, element: StreamElement) -> bool {
        match self.channels.get(channel) {
            Some(sender) => sender.send(element).await.is_ok(),
            None => false,
        }
    }

    /// Divides `batch` among the receivers.
    pub(crate) fn route(&mut self, link: usize, batch: Batch, out: &mut Outbox) -> Result<(), OperatorError> {
        let channels = self.channels.len();
        match &self.exchange {
            Exchange::Broadcast => {
                for channel in 0..channels {
                    out.elements.push((link, channel, StreamElement::Batch(batch.clone())));
                }
            }
            _ if channels == 1 => out.elements.push((link, 0, StreamElement::Batch(batch))),
            Exchange::Forward | Exchange::Rebalance => {
                out.elements.push((link, self.next, StreamElement::Batch(batch)));
                self.next = (self.next + 1) % channels;
            }
            Exchange::Hash(columns) => {
                let keys: Vec<ArrayRef> = columns.iter().map(|column| batch.column(*column).clone()).collect();
                hash_keys(&keys, batch.num_rows(), &mut self.hashes)?;
                return self.partition(link, &batch, out);
            }
        }
        Ok(())
    }

    /// Watermarks, barriers and ends go to every receiver.
    pub(crate) fn broadcast(&self, link: usize, element: &StreamElement, out: &mut Outbox) {
        for channel in 0..self.channels.len() {
            out.elements.push((link, channel, element.clone()));
        }
    }

    fn partition(&mut self, link: usize, batch: &Batch, out: &mut Outbox) -> Result<(), OperatorError> {
        let Some(parallelism) = Parallelism::new(self.channels.len()) else {
            return Err(OperatorError::Invariant("a link without receivers".to_owned()));
        };
        for (row, hash) in (0u32..).zip(&self.hashes) {
            let group = key_group_of(*hash, self.max_parallelism);
            self.rows[subtask_of(group, self.max_parallelism, parallelism)].push(row);
        }
        for (channel, rows) in self.rows.iter_mut().enumerate() {
            let part = match rows.len() {
                0 => continue,
                n if n == batch.num_rows() => batch.clone(),
                n => batch.take(&UInt32Array::from(std::mem::replace(rows, Vec::with_capacity(n))))?,
            };
            rows.clear();
            out.elements.push((link, channel, StreamElement::Batch(part)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use std::collections::HashMap;
    use std::sync::Arc;

    fn numbers(values: impl IntoIterator<Item = i64>) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let values = Int64Array::from_iter_values(values);
        Batch::append(RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap())
    }

    fn sender(exchange: Exchange, receivers: usize) -> LinkSender {
        let channels = (0..receivers).map(|_| mpsc::channel(1).0).collect();
        LinkSender::new(exchange, channels, MaxParallelism::new(128).unwrap())
    }

    #[test]
    fn a_key_goes_to_one_subtask_in_its_order_and_every_row_goes_somewhere() {
        let mut link = sender(Exchange::Hash(vec![0]), 3);
        let mut out = Outbox::default();
        link.route(0, numbers((0..1000).map(|n| n % 50)), &mut out).unwrap();
        link.route(0, numbers(0..50), &mut out).unwrap();
        let mut owner: HashMap<i64, usize> = HashMap::new();
        let mut rows = 0;
        for (_, channel, element) in out.elements {
            let StreamElement::Batch(batch) = element else { panic!("not a batch") };
            for value in batch.column(0).as_primitive::<Int64Type>().values() {
                assert_eq!(*owner.entry(*value).or_insert(channel), channel);
                rows += 1;
            }
        }
        assert_eq!((rows, owner.len()), (1050, 50));
    }

    #[test]
    fn rebalance_takes_turns_and_broadcast_sends_to_all() {
        let mut out = Outbox::default();
        let mut link = sender(Exchange::Rebalance, 2);
        for n in 0..4 {
            link.route(7, numbers([n]), &mut out).unwrap();
        }
        assert_eq!(out.elements.iter().map(|(_, channel, _)| *channel).collect::<Vec<_>>(), [0, 1, 0, 1]);
        out.elements.clear();
        sender(Exchange::Broadcast, 3).route(7, numbers([1]), &mut out).unwrap();
        assert_eq!(out.elements.len(), 3);
    }
}
