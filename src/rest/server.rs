//! The server inside a job's process: HTTP/1.1 on the control socket. It reads the job's view and passes commands on; it never
//! touches rows, so a busy job always answers.

use super::answers::{Answers, location};
use super::operations::{OperationKind, OperationResult, Operations};
use super::routes::{JobRoute, Refusal, Route, route};
use super::rows::{self, RowsRequest};
use super::socket::{ControlSocket, may_command};
use super::types::{
    CheckpointOperation, CheckpointRequest, CheckpointType, DisposalRequest, Empty, Errors, FailureCause, MetricValue, Polled,
    SavepointOperation, SavepointTrigger, StopTrigger, Triggered,
};
use crate::checkpoint::{dispose_savepoint, path_of_text};
use crate::runtime::{CheckpointReply, JobCommand, JobHandle, JobStatus, LookRequest, SavepointRequest, StopRequest};
use crate::storage::{Storage, is_remote};
use crate::types::limits::{CONTROL_CONNECTIONS, REQUEST_BODY};
use crate::types::{CheckpointId, Clock, TriggerId};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

/// How long a peer may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers that are on their way are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// What the server answers from. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Service {
    job: JobHandle,
    clock: Arc<dyn Clock>,
    storage: Arc<dyn Storage>,
    operations: Operations,
}

/// Serves `job` on `socket` until `ended` resolves; then until every client that waits for a result has it (two seconds at most).
/// Runs on the control runtime. An error means that the socket itself broke; what single peers do is no error.
pub async fn serve(socket: ControlSocket, service: Service, ended: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = socket.listener()?;
    let (close, closing) = watch::channel(());
    let slots = Arc::new(Semaphore::new(CONTROL_CONNECTIONS));
    let mut connections = JoinSet::new();
    let operations = service.operations.clone();
    let mut quiet = pin!(async move {
        // A sender that went away is a job that has ended.
        let _ = ended.await;
        operations.settled().await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut quiet => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, say: the next peer may have more luck.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let allowed = stream.peer_cred().is_ok_and(|peer| may_command(peer.uid()));
        if let (true, Ok(slot)) = (allowed, Arc::clone(&slots).try_acquire_owned()) {
            let (service, closing) = (service.clone(), closing.clone());
            connections.spawn(async move {
                converse(stream, service, closing).await;
                drop(slot);
            });
        }
    }
    drop(closing);
    close.send_replace(());
    // Whoever is slower than this has gone away.
    let _ = tokio::time::timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Speaks with one peer until it closes, or until its current answer is out and `closing` changes.
async fn converse(stream: UnixStream, service: Service, mut closing: watch::Receiver<()>) {
    let answer = hyper::service::service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), answer));
    // How a peer ends its connection, well or badly, is its own business.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closing.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An answer before it is bytes: a status, and JSON.
type Answer = Result<(StatusCode, Vec<u8>), Refusal>;

fn json(status: StatusCode, message: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(message).map_err(|e| Refusal { status: 500, message: e.to_string() })?;
    Ok((status, bytes))
}

fn ok(message: &impl Serialize) -> Answer {
    json(StatusCode::OK, message)
}

async fn read_body<T, B>(body: B) -> Result<T, Refusal>
where
    T: DeserializeOwned + Default,
    B: Body<Error: Into<BoxError>>,
{
    let limited = Limited::new(body, REQUEST_BODY.0 as usize);
    let bytes = match pin!(limited).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => return Err(Refusal { status: 413, message: format!("The body is not complete, or longer than {REQUEST_BODY}.") }),
    };
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|e| Refusal::bad_request(format!("Bad request, could not parse the body: {e}.")))
}

impl Service {
    /// A service for `job`.
    pub fn new(job: JobHandle, clock: Arc<dyn Clock>, storage: Arc<dyn Storage>) -> Self {
        Self { job, clock, storage, operations: Operations::default() }
    }

    /// Answers one request.
    pub async fn answer<B: Body<Error: Into<BoxError>>>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let answer = match route(&head.method, head.uri.path(), head.uri.query()) {
            Ok(route) => self.dispatch(route, body).await,
            Err(refusal) => Err(refusal),
        };
        let (status, bytes) = answer.unwrap_or_else(|refusal| {
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, serde_json::to_vec(&Errors { errors: vec![refusal.message] }).unwrap_or_default())
        });
        let mut response = Response::new(Full::new(Bytes::from(bytes)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        response
    }

    async fn dispatch<B: Body<Error: Into<BoxError>>>(&self, asked: Route, body: B) -> Answer {
        let view = self.job.view();
        let answers = Answers { id: self.job.id, view: &view, now: self.clock.now() };
        match asked {
            Route::Cluster => ok(&answers.cluster()),
            Route::Dashboard => ok(&Answers::dashboard()),
            Route::Jobs => ok(&answers.jobs()),
            Route::JobsOverview => ok(&answers.overview()),
            Route::TriggerDisposal => self.dispose(read_body(body).await?),
            Route::PollDisposal(trigger) => self.poll_savepoint(trigger, OperationKind::Disposal),
            Route::Job(id, _) if id != self.job.id => Err(Refusal::not_found(format!("Job {id} not found"))),
            Route::Job(_, JobRoute::Cancel) => self.cancel(view.status).await,
            Route::Job(_, JobRoute::TriggerCheckpoint) => self.checkpoint(read_body(body).await?),
            Route::Job(_, JobRoute::TriggerSavepoint) => self.savepoint(read_body(body).await?),
            Route::Job(_, JobRoute::Rows) => self.rows(read_body(body).await?).await,
            Route::Job(_, JobRoute::TriggerStop) => self.stop(read_body(body).await?),
            Route::Job(_, JobRoute::PollCheckpoint(trigger)) => self.poll_checkpoint(trigger),
            Route::Job(_, JobRoute::PollSavepoint(trigger)) => self.poll_savepoint(trigger, OperationKind::Savepoint),
            Route::Job(_, asked) => look(&answers, asked),
        }
    }

    async fn cancel(&self, status: JobStatus) -> Answer {
        match status {
            JobStatus::Canceled => return json(StatusCode::ACCEPTED, &Empty {}),
            JobStatus::Finished | JobStatus::Failed => {
                let message = format!("Job cancellation failed: job {} has ended ({}).", self.job.id, status.as_str());
                return Err(Refusal { status: 409, message });
            }
            _ => {}
        }
        let (reply, accepted) = oneshot::channel();
        // If either fails, the job has ended of its own in the meantime: what was asked for is so.
        if self.job.commands.send(JobCommand::Cancel { reply }).await.is_ok() {
            let _ = accepted.await;
        }
        json(StatusCode::ACCEPTED, &Empty {})
    }

    fn savepoint(&self, body: SavepointTrigger) -> Answer {
        let directory = directory_of(body.target_directory)?;
        let (form, cancel, timeout) = (body.format.form(), body.cancel_job, timeout_of(body.timeout_millis)?);
        let request = SavepointRequest { directory, form, cancel, timeout };
        self.command(OperationKind::Savepoint, body.trigger_id, |trigger, reply| JobCommand::Savepoint { request, trigger, reply })
    }

    fn stop(&self, body: StopTrigger) -> Answer {
        let (directory, timeout) = (directory_of(body.target_directory)?, timeout_of(body.timeout_millis)?);
        let request = StopRequest { directory, form: body.format.form(), drain: body.drain, timeout };
        self.command(OperationKind::Savepoint, body.trigger_id, |trigger, reply| JobCommand::Stop { request, trigger, reply })
    }

    fn checkpoint(&self, body: CheckpointRequest) -> Answer {
        let full = body.checkpoint_type == CheckpointType::Full;
        self.command(OperationKind::Checkpoint, body.trigger_id, |trigger, reply| JobCommand::Checkpoint { full, trigger, reply })
    }

    /// Looks at rows; the answer comes when the job has taken its barrier through.
    async fn rows(&self, body: RowsRequest) -> Answer {
        let (reply, result) = oneshot::channel();
        let request = LookRequest { state: body.state, selection: body.selection.clone() };
        let look = JobCommand::Look { request, trigger: TriggerId::from_u128(rand::random()), reply };
        let gone = || {
            let message = format!("job {} has ended ({})", self.job.id, self.job.view().status.as_str());
            Refusal { status: 409, message }
        };
        self.job.commands.send(look).await.map_err(|_| gone())?;
        let snapshot = result.await.map_err(|_| gone())?.map_err(rows::refusal)?;
        // Encoding takes its time; other requests are answered meanwhile.
        let encoded = tokio::task::spawn_blocking(move || rows::document(&snapshot, &body.selection));
        let encoded = encoded.await.map_err(|e| Refusal { status: 500, message: e.to_string() })?;
        Ok((StatusCode::OK, encoded.map_err(rows::refusal)?))
    }

    /// Sends a command and keeps its result for whoever polls; answers with the request's id at once.
    fn command(
        &self,
        kind: OperationKind,
        trigger: Option<String>,
        command: impl FnOnce(TriggerId, oneshot::Sender<Result<CheckpointReply, String>>) -> JobCommand,
    ) -> Answer {
        let trigger = trigger_or_new(trigger)?;
        if self.operations.open(trigger, kind)? {
            let (reply, result) = oneshot::channel();
            let (command, job, operations) = (command(trigger, reply), self.job.clone(), self.operations.clone());
            tokio::spawn(async move {
                let sent = job.commands.send(command).await;
                let result = match sent {
                    Ok(()) => result.await.ok(),
                    Err(_) => None,
                };
                let gone = || Err(format!("job {} has ended ({})", job.id, job.view().status.as_str()));
                operations.close(trigger, result.unwrap_or_else(gone).map(Some));
            });
        }
        json(StatusCode::ACCEPTED, &Triggered { request_id: trigger.to_string() })
    }

    fn dispose(&self, body: DisposalRequest) -> Answer {
        if directory_of(Some(body.savepoint_path.clone()))?.is_none() {
            return Err(Refusal::bad_request("savepoint-path is empty."));
        }
        let trigger = TriggerId::from_u128(rand::random());
        self.operations.open(trigger, OperationKind::Disposal)?;
        let (storage, operations) = (Arc::clone(&self.storage), self.operations.clone());
        tokio::task::spawn_blocking(move || {
            let disposed = dispose_savepoint(storage.as_ref(), &body.savepoint_path);
            operations.close(trigger, disposed.map(|()| None).map_err(|e| e.to_string()));
        });
        ok(&Triggered { request_id: trigger.to_string() })
    }

    fn poll_savepoint(&self, trigger: TriggerId, kind: OperationKind) -> Answer {
        let Some(result) = self.operations.poll(trigger, kind)? else {
            return ok(&Polled::<SavepointOperation>::in_progress());
        };
        let operation = match result {
            Ok(reply) => SavepointOperation { location: reply.and_then(|r| r.path).as_deref().map(location), failure_cause: None },
            Err(message) => SavepointOperation { location: None, failure_cause: Some(FailureCause::new(message)) },
        };
        ok(&Polled::completed(operation))
    }

    fn poll_checkpoint(&self, trigger: TriggerId) -> Answer {
        let Some(result) = self.operations.poll(trigger, OperationKind::Checkpoint)? else {
            return ok(&Polled::<CheckpointOperation>::in_progress());
        };
        ok(&Polled::completed(checkpoint_operation(result)))
    }
}

fn checkpoint_operation(result: OperationResult) -> CheckpointOperation {
    let id = |reply: Option<CheckpointReply>| reply.map_or(CheckpointId::new(0), |r| r.id);
    match result {
        Ok(reply) => CheckpointOperation { checkpoint_id: Some(id(reply)), failure_cause: None },
        Err(message) => CheckpointOperation { checkpoint_id: None, failure_cause: Some(FailureCause::new(message)) },
    }
}

/// The answers that only look.
fn look(answers: &Answers<'_>, asked: JobRoute) -> Answer {
    let no_vertex = |vertex: &str| Refusal::not_found(format!("JobVertex {vertex} not found"));
    match asked {
        JobRoute::Details => ok(&answers.details()),
        JobRoute::Status => ok(&serde_json::json!({ "status": answers.view.status.as_str() })),
        JobRoute::Config => ok(&answers.config()),
        JobRoute::Plan => ok(&answers.plan()),
        JobRoute::Exceptions => ok(&answers.exceptions()),
        JobRoute::Metrics(names) => ok(&selected(answers.job_metrics(), names)),
        JobRoute::Vertex(vertex) => ok(&answers.vertex(&vertex).ok_or_else(|| no_vertex(&vertex))?),
        JobRoute::VertexMetrics(vertex, names) => ok(&selected(answers.vertex_metrics(&vertex).ok_or_else(|| no_vertex(&vertex))?, names)),
        JobRoute::Checkpoints => ok(&answers.checkpoints()),
        JobRoute::CheckpointConfig => ok(&answers.checkpoint_config()),
        JobRoute::Checkpoint(number) => {
            let missing = || Refusal::not_found(format!("Could not find checkpointing statistics for checkpoint {number}."));
            ok(&answers.checkpoint(number).ok_or_else(missing)?)
        }
        JobRoute::Cancel
        | JobRoute::TriggerCheckpoint
        | JobRoute::Rows
        | JobRoute::TriggerSavepoint
        | JobRoute::TriggerStop
        | JobRoute::PollCheckpoint(_)
        | JobRoute::PollSavepoint(_) => Err(Refusal { status: 500, message: "This request changes something.".to_owned() }),
    }
}

/// The metrics that were asked for with their values; without a question, the names of all.
fn selected(all: Vec<MetricValue>, names: Option<Vec<String>>) -> Vec<MetricValue> {
    match names {
        None => all.into_iter().map(|m| MetricValue { value: None, ..m }).collect(),
        Some(names) => all.into_iter().filter(|m| names.contains(&m.id)).collect(),
    }
}

fn trigger_or_new(text: Option<String>) -> Result<TriggerId, Refusal> {
    match text {
        Some(text) => text.parse().map_err(|e: crate::types::IdError| Refusal::bad_request(e.to_string())),
        None => Ok(TriggerId::from_u128(rand::random())),
    }
}

/// How long a savepoint may take.
fn timeout_of(millis: Option<u64>) -> Result<Option<Duration>, Refusal> {
    match millis {
        Some(0) => Err(Refusal::bad_request("timeout is 0: a savepoint takes time.")),
        millis => Ok(millis.map(Duration::from_millis)),
    }
}

/// A directory as it comes in a message: with or without `file:`, absolute (the job's working directory is not the caller's).
fn directory_of(text: Option<String>) -> Result<Option<PathBuf>, Refusal> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let path = path_of_text(&text).map_err(|e| Refusal::bad_request(e.to_string()))?;
    if !(path.is_absolute() || is_remote(&path)) {
        return Err(Refusal::bad_request(format!("{text} is not an absolute path.")));
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::client::{Client, ClientError, Endpoint};
    use crate::rest::types::{CheckpointsAnswer, JobDetails};
    use crate::storage::LocalStorage;
    use crate::testing::job::FakeJob;
    use crate::types::{JobId, ManualClock, WallTime};
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    const JOB: JobId = JobId::from_u128(0xe8e6_33c4);

    struct Served {
        client: Client,
        dir: tempfile::TempDir,
        server: JoinHandle<io::Result<()>>,
        path: PathBuf,
    }

    /// A fake job with its server, as a process has it: the server is told when the job has ended.
    fn served() -> Served {
        let dir = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(&dir.path().join("run"), JOB).unwrap();
        let (handle, job) = FakeJob::new(JOB, "tiny", Some(&dir.path().join("savepoints")));
        let service = Service::new(handle, ManualClock::at(WallTime(1_795_352_001_556)), LocalStorage::shared());
        let (over, ended) = oneshot::channel();
        tokio::spawn(async move {
            job.run().await;
            let _ = over.send(());
        });
        let path = socket.path().to_owned();
        let server = tokio::spawn(serve(socket, service, ended));
        Served { client: Client::new(Endpoint::Socket(path.clone())), dir, server, path }
    }

    /// What stands in both, compared by the names and kinds of the fields: numbers and texts differ from run to run.
    fn assert_same_shape(ours: &Value, flinks: &Value, at: &str) {
        match (ours, flinks) {
            (Value::Object(a), Value::Object(b)) => {
                for (key, value) in a {
                    let other = b.get(key).unwrap_or_else(|| panic!("{at}.{key} is not in Flink's answer"));
                    assert_same_shape(value, other, &format!("{at}.{key}"));
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                if let (Some(a), Some(b)) = (a.first(), b.first()) {
                    assert_same_shape(a, b, &format!("{at}[0]"));
                }
            }
            (Value::Null, _) | (_, Value::Null) => {}
            (a, b) => assert_eq!(std::mem::discriminant(a), std::mem::discriminant(b), "{at}: {a} and {b}"),
        }
    }

    #[tokio::test]
    async fn answers_have_the_fields_of_flinks_own() {
        let served = served();
        served.client.checkpoint(JOB, &CheckpointRequest::default()).await.unwrap();
        let vertex = "20ba6b65f97481d5570070de90e4e791";
        let flinks = [
            (
                "/overview",
                r#"{"taskmanagers":1,"slots-total":4,"slots-available":3,"jobs-running":1,"jobs-finished":5,"jobs-cancelled":3,"jobs-failed":1,"flink-version":"2.3.0","flink-commit":"c0f8d1a"}"#,
            ),
            (
                "/config",
                r#"{"refresh-interval":3000,"timezone-name":"Coordinated Universal Time","timezone-offset":0,"flink-version":"2.3.0","flink-revision":"c","features":{"web-submit":true,"web-cancel":true,"web-rescale":false,"web-history":false}}"#,
            ),
            ("/jobs", r#"{"jobs":[{"id":"e8e633c43478f81a4966bcf1e781fd89","status":"RUNNING"}]}"#),
            (
                "/jobs/overview",
                r#"{"jobs":[{"jid":"e8","name":"tiny","jobType":"STREAMING","schedulerType":"Default","start-time":1795351969008,"end-time":-1,"duration":32400,"state":"RUNNING","last-modification":1795351969278,"tasks":{"running":2,"canceling":0,"canceled":0,"total":2,"created":0,"scheduled":0,"deploying":0,"reconciling":0,"finished":0,"initializing":0,"failed":0},"pending-operators":0}]}"#,
            ),
            (&format!("/jobs/{JOB}/status"), r#"{"status":"RUNNING"}"#),
            (
                &format!("/jobs/{JOB}/config"),
                r#"{"jid":"e8","name":"tiny","execution-config":{"restart-strategy":"x","job-parallelism":1,"object-reuse-mode":false,"user-config":{"execution.checkpointing.interval":"10 s"}}}"#,
            ),
            (
                &format!("/jobs/{JOB}/plan"),
                r#"{"plan":{"jid":"e8","name":"tiny","type":"STREAMING","nodes":[{"id":"20","operator":"","parallelism":1,"operator_strategy":"","description":"d","optimizer_properties":{},"inputs":[{"id":"bc","num":0,"exchange":"pipelined_bounded","ship_strategy":"HASH"}]}]}}"#,
            ),
            (
                &format!("/jobs/{JOB}/vertices/{vertex}"),
                r#"{"id":"20","name":"g","parallelism":1,"maxParallelism":128,"now":1795352001632,"subtasks":[{"subtask":0,"status":"RUNNING","attempt":0,"endpoint":"localhost:1","start-time":1795351969141,"end-time":-1,"duration":32491,"metrics":{"read-bytes":11528,"read-bytes-complete":true,"write-bytes":0,"write-bytes-complete":true,"read-records":330,"read-records-complete":true,"write-records":0,"write-records-complete":true},"taskmanager-id":"l"}]}"#,
            ),
            (&format!("/jobs/{JOB}/metrics?get=uptime,lastCheckpointSize"), r#"[{"id":"uptime","value":"32385"}]"#),
            (&format!("/jobs/{JOB}/exceptions"), r#"{"exceptionHistory":{"entries":[],"truncated":false}}"#),
        ];
        for (path, expected) in flinks {
            let ours: Value = served.client.get(path).await.unwrap();
            assert_same_shape(&ours, &serde_json::from_str(expected).unwrap(), path);
        }
        let details: JobDetails = served.client.get(&format!("/jobs/{JOB}")).await.unwrap();
        assert_eq!((details.duration.0, details.timestamps.running.0, details.status_counts.running), (32_548, 1_795_351_969_030, 2));
        let checkpoints: CheckpointsAnswer = served.client.get(&format!("/jobs/{JOB}/checkpoints")).await.unwrap();
        assert_eq!(checkpoints.latest.completed.unwrap().end_to_end_duration.0, 30);
    }

    #[tokio::test]
    async fn a_savepoint_is_triggered_polled_for_and_disposed_of() {
        let served = served();
        let request = served.client.trigger_savepoint(JOB, &SavepointTrigger::default()).await.unwrap();
        let location = served.client.savepoint_result(JOB, &request).await.unwrap();
        let path = path_of_text(&location).unwrap();
        assert!(location.starts_with("file:/") && path.join("_metadata").exists(), "{location}");
        served.client.dispose(&location).await.unwrap();
        assert!(!path.exists());
        let again = served.client.dispose(&location).await.unwrap_err();
        assert!(
            matches!(&again, ClientError::Failed { messages } if messages[0].starts_with("Cannot find checkpoint or savepoint")),
            "{again:?}"
        );
        let bad = SavepointTrigger { target_directory: Some("/proc/nope".to_owned()), ..SavepointTrigger::default() };
        let request = served.client.trigger_savepoint(JOB, &bad).await.unwrap();
        assert!(matches!(served.client.savepoint_result(JOB, &request).await, Err(ClientError::Failed { .. })));
    }

    #[tokio::test]
    async fn whoever_stops_the_job_still_hears_where_the_savepoint_is() {
        let served = served();
        let request = served.client.trigger_stop(JOB, &StopTrigger::default()).await.unwrap();
        let location = served.client.savepoint_result(JOB, &request).await.unwrap();
        assert!(path_of_text(&location).unwrap().starts_with(served.dir.path()), "{location}");
        served.server.await.unwrap().unwrap();
        assert!(!served.path.exists(), "the socket goes with the server");
        assert!(matches!(served.client.jobs().await, Err(ClientError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn cancel_is_accepted_and_another_jobs_id_is_not() {
        let served = served();
        let unknown = served.client.cancel(JobId::from_u128(1)).await.unwrap_err();
        assert!(unknown.is_unknown_job(), "{unknown:?}");
        served.client.cancel(JOB).await.unwrap();
        served.server.await.unwrap().unwrap();
    }

    /// Sends bytes as they are and reads what comes until the server closes.
    async fn raw(path: &PathBuf, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn no_bytes_bring_the_server_down() {
        let served = served();
        let post = |path: &str, body: &str| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let job = format!("/jobs/{JOB}");
        for (bytes, status) in [
            (b"\x00\xff\xfe nonsense \r\n\r\n".to_vec(), "400"),
            (b"GET / HTTP/1.1".to_vec(), ""),
            (b"GET /jobs/\xff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), ""),
            (post(&format!("{job}/savepoints"), "{\"target-directory\": 3}").into_bytes(), "400"),
            (post(&format!("{job}/savepoints"), "{").into_bytes(), "400"),
            (post(&format!("{job}/savepoints"), "{\"timeout\": 0}").into_bytes(), "400"),
            (post(&format!("{job}/stop"), "{\"timeout\": \"1 s\"}").into_bytes(), "400"),
            (post(&format!("{job}/savepoints"), "{\"target-directory\": \"relative\"}").into_bytes(), "400"),
            (post(&format!("{job}/savepoints"), "{\"triggerId\": \"x\"}").into_bytes(), "400"),
            (post(&format!("{job}/stop"), &"[".repeat(2_000)).into_bytes(), "400"),
            (post("/savepoint-disposal", "").into_bytes(), "400"),
            (format!("GET {job}/savepoints/{} HTTP/1.1\r\nhost: x\r\n\r\n", "0".repeat(32)).into_bytes(), "404"),
            (format!("GET {job} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}").into_bytes(), "200"),
        ] {
            let answer = raw(&served.path, &bytes).await;
            assert!(status.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
        }
        assert_eq!(served.client.jobs().await.unwrap().jobs[0].state, "RUNNING");
    }

    #[tokio::test]
    async fn a_body_longer_than_the_limit_is_refused() {
        let (handle, _job) = FakeJob::new(JOB, "tiny", None);
        let service = Service::new(handle, ManualClock::at(WallTime(0)), LocalStorage::shared());
        let body = Full::new(Bytes::from(vec![b' '; REQUEST_BODY.0 as usize + 1]));
        let request = Request::post(format!("/jobs/{JOB}/checkpoints")).body(body).unwrap();
        assert_eq!(service.answer(request).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
