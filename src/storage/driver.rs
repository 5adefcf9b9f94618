//! Where the requests of object stores run.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};

/// Threads of their own for requests. Whoever waits for one waits as for a disk, whatever runs on the waiting thread beside: no runtime is
/// entered there, and none may be missing.
#[derive(Debug)]
pub(super) struct Driver {
    /// Taken when the driver is dropped.
    runtime: Option<Runtime>,
}

/// Parts that are on their way, and their signatures: more than one of them pays off.
const THREADS: usize = 2;

impl Driver {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().thread_name("flink-objects").build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs `work` to its end and waits for it.
    pub(super) fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        if let Some(runtime) = &self.runtime {
            // Whoever waits is there until the answer is.
            runtime.spawn(async move { drop(sender.send(work.await)) });
        }
        receiver.recv().map_err(|_| io::Error::other("the request was dropped before it was answered"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Waiting for the threads is not allowed everywhere where a storage may be dropped, and nothing is left to wait for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
