//! Asynchronous requests: what was triggered, what came of it, and whether anybody has heard.

use super::routes::Refusal;
use crate::runtime::CheckpointReply;
use crate::types::{TriggerId, limits::QUEUED_CHECKPOINT_REQUESTS};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a result is kept for a client that has been heard of, once the job has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a request asked for: results are polled for under the path of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationKind {
    /// A savepoint, also of `stop`.
    Savepoint,
    /// A checkpoint.
    Checkpoint,
    /// The disposal of a savepoint.
    Disposal,
}

/// What came of a request. A disposal has no checkpoint.
pub(super) type OperationResult = Result<Option<CheckpointReply>, String>;

#[derive(Debug)]
struct Operation {
    kind: OperationKind,
    result: Option<OperationResult>,
    fetched: bool,
    /// When a client was last heard of.
    contact: Instant,
}

#[derive(Debug, Default)]
struct Table {
    operations: HashMap<TriggerId, Operation>,
    /// Oldest first.
    order: VecDeque<TriggerId>,
}

/// All requests of one job. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Operations {
    table: Arc<Mutex<Table>>,
    fetched: Arc<Notify>,
}

impl Operations {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a request. `Ok(false)` if it was triggered before (a client that repeats itself): nothing is to be done.
    pub(super) fn open(&self, id: TriggerId, kind: OperationKind) -> Result<bool, Refusal> {
        let mut table = self.table();
        if table.operations.contains_key(&id) {
            return Ok(false);
        }
        if table.operations.len() >= QUEUED_CHECKPOINT_REQUESTS {
            let done = table.order.iter().position(|id| table.operations.get(id).is_some_and(|o| o.result.is_some()));
            let Some(oldest) = done.and_then(|at| table.order.remove(at)) else {
                let message = format!("{QUEUED_CHECKPOINT_REQUESTS} requests are being carried out already");
                return Err(Refusal { status: 503, message });
            };
            table.operations.remove(&oldest);
        }
        table.order.push_back(id);
        table.operations.insert(id, Operation { kind, result: None, fetched: false, contact: Instant::now() });
        Ok(true)
    }

    /// Closes a request with what came of it.
    pub(super) fn close(&self, id: TriggerId, result: OperationResult) {
        if let Some(operation) = self.table().operations.get_mut(&id) {
            operation.result = Some(result);
        }
    }

    /// What came of a request so far; `Err` if there is none of this kind.
    pub(super) fn poll(&self, id: TriggerId, kind: OperationKind) -> Result<Option<OperationResult>, Refusal> {
        let mut table = self.table();
        let found = table.operations.get_mut(&id).filter(|o| o.kind == kind);
        let Some(operation) = found else {
            return Err(Refusal::not_found(format!("There is no operation with triggerId={id}.")));
        };
        operation.contact = Instant::now();
        if operation.result.is_some() {
            operation.fetched = true;
            self.fetched.notify_waiters();
        }
        Ok(operation.result.clone())
    }

    /// Until when a client must be waited for: one that was heard of lately and does not know its result yet.
    fn awaited(&self) -> Option<Instant> {
        self.table().operations.values().filter(|o| !o.fetched).map(|o| o.contact + PATIENCE).max()
    }

    /// Returns when every client that was heard of lately knows its result.
    pub(super) async fn settled(&self) {
        loop {
            let fetched = self.fetched.notified();
            let Some(until) = self.awaited().filter(|until| *until > Instant::now()) else {
                return;
            };
            tokio::select! {
                () = fetched => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> TriggerId {
        TriggerId::from_u128(n)
    }

    #[test]
    fn a_request_repeated_is_carried_out_once_and_polled_under_its_kind() {
        let operations = Operations::default();
        assert_eq!(operations.open(id(1), OperationKind::Savepoint), Ok(true));
        assert_eq!(operations.open(id(1), OperationKind::Savepoint), Ok(false));
        assert!(operations.poll(id(1), OperationKind::Savepoint).unwrap().is_none());
        assert_eq!(operations.poll(id(1), OperationKind::Checkpoint).unwrap_err().status, 404);
        operations.close(id(1), Err("no".to_owned()));
        assert_eq!(operations.poll(id(1), OperationKind::Savepoint).unwrap().unwrap().unwrap_err(), "no");
    }

    #[test]
    fn results_make_room_for_new_requests_but_running_requests_do_not() {
        let operations = Operations::default();
        for n in 0..QUEUED_CHECKPOINT_REQUESTS as u128 {
            assert_eq!(operations.open(id(n), OperationKind::Checkpoint), Ok(true));
        }
        assert_eq!(operations.open(id(9_999), OperationKind::Checkpoint).unwrap_err().status, 503);
        operations.close(id(7), Ok(None));
        assert_eq!(operations.open(id(9_999), OperationKind::Checkpoint), Ok(true));
        assert_eq!(operations.poll(id(7), OperationKind::Checkpoint).unwrap_err().status, 404);
        assert!(operations.poll(id(0), OperationKind::Checkpoint).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_polls_is_waited_for_and_one_that_went_away_is_not() {
        let operations = Operations::default();
        operations.settled().await;
        operations.open(id(1), OperationKind::Savepoint).unwrap();
        operations.close(id(1), Ok(None));
        let start = Instant::now();
        operations.settled().await;
        assert_eq!(start.elapsed(), PATIENCE);
        operations.open(id(2), OperationKind::Savepoint).unwrap();
        operations.close(id(2), Ok(None));
        let (start, waiting) = (Instant::now(), operations.clone());
        let settled = tokio::spawn(async move { waiting.settled().await });
        tokio::task::yield_now().await;
        operations.poll(id(2), OperationKind::Savepoint).unwrap();
        settled.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
