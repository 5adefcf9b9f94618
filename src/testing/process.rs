//! A job's process without a job: [`FakeJob`] with its control socket and its record, on a thread of its own.

use super::job::FakeJob;
use crate::rest::recorder::Recorder;
use crate::rest::registry::{JobRecord, Places, ProcessId, Registry};
use crate::rest::server::{Service, serve};
use crate::rest::socket::ControlSocket;
use crate::runtime::JobStatus;
use crate::storage::LocalStorage;
use crate::types::{JobId, SystemClock, WallTime};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// A job that can be commanded as a real one can.
#[derive(Debug)]
pub struct FakeProcess {
    /// Its id.
    pub job: JobId,
    thread: JoinHandle<io::Result<()>>,
}

/// The places of a test: `state/` and `run/` below its directory.
pub fn places(dir: &Path) -> Places {
    Places { state_dir: dir.join("state"), runtime_dir: dir.join("run") }
}

/// The record of a job called `name` that was started just now by this process.
pub fn record(job: JobId, name: &str) -> JobRecord {
    JobRecord {
        id: job.to_string(),
        name: name.to_owned(),
        status: JobStatus::Running,
        status_since: WallTime(0),
        started: WallTime(1_795_351_969_008),
        process: ProcessId::current(),
        job_file: PathBuf::from("/jobs/job.toml"),
        parallelism: 1,
        checkpoint_dir: None,
        latest: None,
        latest_savepoint: None,
        log_file: None,
        failure: None,
    }
}

impl FakeProcess {
    /// Starts a job called `name`; returns when its socket answers and its record is written.
    pub fn start(dir: &Path, job: JobId, name: &str) -> io::Result<Self> {
        let places = places(dir);
        let socket = ControlSocket::bind(&places.runtime_dir, job).map_err(io::Error::other)?;
        let registry = Registry::new(places.clone(), LocalStorage::shared());
        registry.write(&record(job, name))?;
        let (handle, fake) = FakeJob::new(job, name, Some(&places.savepoints()));
        let recorder = Recorder::new(registry, handle.clone(), record(job, name));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let (over, ended) = tokio::sync::oneshot::channel();
                let service = Service::new(handle, SystemClock::shared(), LocalStorage::shared());
                let serving = tokio::spawn(serve(socket, service, ended));
                let recording = tokio::spawn(recorder.run(|_| {}));
                fake.run().await;
                recording.await?;
                // The receiver is gone only if the server has ended already.
                let _ = over.send(());
                serving.await?
            })
        });
        Ok(Self { job, thread })
    }

    /// Waits until the process has ended of its own.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the process panicked")))
    }
}
