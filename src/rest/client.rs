//! One client for a job's socket and for a real Flink cluster: the same paths, the same messages. One connection a request, as
//! Flink's own client does.

use super::rows::RowsRequest;
use super::types::{
    CheckpointOperation, CheckpointRequest, DisposalRequest, Empty, Errors, FailureCause, JobsOverview, OperationState, Polled,
    SavepointOperation, SavepointTrigger, StopTrigger, Triggered,
};
use crate::types::limits::ANSWER_BODY;
use crate::types::{CheckpointId, JobId};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long one request may take (Flink: `client.timeout`).
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between two polls: they double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// Who is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A job's process.
    Socket(PathBuf),
    /// A real cluster's JobManager.
    Cluster {
        /// Its name or address.
        host: String,
        /// Its REST port.
        port: u16,
    },
}

/// A text that is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no address of a JobManager; write host:port, for example localhost:8081")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// `host:port`, `http://host:port`, `[::1]:8081`.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(text.to_owned());
        let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = address.rsplit_once(':').ok_or_else(error)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| error())?;
        let readable = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
        if !readable || (bare.contains(':') && bare.len() == host.len()) {
            return Err(error());
        }
        Ok(Self::Cluster { host: bare.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Cluster { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Cluster { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A request that got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or the connection broke.
    #[error("{endpoint} cannot be reached")]
    Unreachable {
        /// Who was to be reached.
        endpoint: Endpoint,
        /// Why not.
        source: io::Error,
    },
    /// No answer came in time.
    #[error("{endpoint} did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout {
        /// Who did not answer.
        endpoint: Endpoint,
    },
    /// The request was refused.
    #[error("{}", .messages.first().map_or("the request was refused", String::as_str))]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the peer said, outermost first.
        messages: Vec<String>,
    },
    /// The answer is not one of Flink's.
    #[error("{endpoint} gave an answer that cannot be read: {message}")]
    Unreadable {
        /// Who answered.
        endpoint: Endpoint,
        /// What is wrong with it.
        message: String,
    },
    /// The request was carried out, and failed.
    #[error("{}", .messages.first().map_or("the operation failed", String::as_str))]
    Failed {
        /// Why, outermost first.
        messages: Vec<String>,
    },
}

impl ClientError {
    /// True if the peer knows no such job.
    pub fn is_unknown_job(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == 404,
            // A cluster accepts a request for any id and finds out later.
            Self::Failed { messages } => messages.iter().any(|m| m.starts_with("Could not find Flink job")),
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Unreadable { .. } => false,
        }
    }

    fn failed(cause: &FailureCause) -> Self {
        Self::Failed { messages: cause.messages() }
    }
}

/// A client of one endpoint.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
}

impl Client {
    /// A client of `endpoint`; nothing is connected yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Who is spoken to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// `GET /jobs/overview`
    pub async fn jobs(&self) -> Result<JobsOverview, ClientError> {
        self.get("/jobs/overview").await
    }

    /// Cancels a job; returns when that is accepted.
    pub async fn cancel(&self, job: JobId) -> Result<(), ClientError> {
        let _: Empty = self.request(Method::PATCH, &format!("/jobs/{job}?mode=cancel"), &Empty {}).await?;
        Ok(())
    }

    /// Asks for a savepoint; returns the request's id.
    pub async fn trigger_savepoint(&self, job: JobId, trigger: &SavepointTrigger) -> Result<String, ClientError> {
        let answer: Triggered = self.request(Method::POST, &format!("/jobs/{job}/savepoints"), trigger).await?;
        Ok(answer.request_id)
    }

    /// Asks for a stop with a savepoint; returns the request's id.
    pub async fn trigger_stop(&self, job: JobId, trigger: &StopTrigger) -> Result<String, ClientError> {
        let answer: Triggered = self.request(Method::POST, &format!("/jobs/{job}/stop"), trigger).await?;
        Ok(answer.request_id)
    }

    /// Whether a savepoint (also a stop's) is complete: its location, or `None` while it is being taken.
    pub async fn savepoint_status(&self, job: JobId, request: &str) -> Result<Option<String>, ClientError> {
        let answer: Polled<SavepointOperation> = self.get(&format!("/jobs/{job}/savepoints/{request}")).await?;
        match (answer.status.id, answer.operation) {
            (OperationState::InProgress, _) => Ok(None),
            (OperationState::Completed, Some(operation)) => self.location(operation).map(Some),
            (OperationState::Completed, None) => Err(self.unreadable("completed, but without a result")),
        }
    }

    /// Waits for a savepoint (also a stop's); returns its location.
    pub async fn savepoint_result(&self, job: JobId, request: &str) -> Result<String, ClientError> {
        let operation: SavepointOperation = self.poll(&format!("/jobs/{job}/savepoints/{request}")).await?;
        self.location(operation)
    }

    fn location(&self, operation: SavepointOperation) -> Result<String, ClientError> {
        match operation {
            SavepointOperation { failure_cause: Some(cause), .. } => Err(ClientError::failed(&cause)),
            SavepointOperation { location: Some(location), .. } => Ok(location),
            SavepointOperation { location: None, failure_cause: None } => Err(self.unreadable("a savepoint without a location")),
        }
    }

    /// Takes a checkpoint; returns its number.
    pub async fn checkpoint(&self, job: JobId, request: &CheckpointRequest) -> Result<CheckpointId, ClientError> {
        let triggered: Triggered = self.request(Method::POST, &format!("/jobs/{job}/checkpoints"), request).await?;
        let operation: CheckpointOperation = self.poll(&format!("/jobs/{job}/checkpoints/{}", triggered.request_id)).await?;
        match operation {
            CheckpointOperation { failure_cause: Some(cause), .. } => Err(ClientError::failed(&cause)),
            CheckpointOperation { checkpoint_id: Some(id), .. } => Ok(id),
            CheckpointOperation { checkpoint_id: None, failure_cause: None } => Err(self.unreadable("a checkpoint without a number")),
        }
    }

    /// Looks at rows of a job's state.
    pub async fn rows(&self, job: JobId, request: &RowsRequest) -> Result<serde_json::Value, ClientError> {
        self.request(Method::POST, &format!("/jobs/{job}/state"), request).await
    }

    /// Disposes of a savepoint.
    pub async fn dispose(&self, path: &str) -> Result<(), ClientError> {
        let request = DisposalRequest { savepoint_path: path.to_owned() };
        let triggered: Triggered = self.request(Method::POST, "/savepoint-disposal", &request).await?;
        let operation: SavepointOperation = self.poll(&format!("/savepoint-disposal/{}", triggered.request_id)).await?;
        operation.failure_cause.map_or(Ok(()), |cause| Err(ClientError::failed(&cause)))
    }

    async fn poll<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let answer: Polled<T> = self.get(path).await?;
            match (answer.status.id, answer.operation) {
                (OperationState::Completed, Some(operation)) => return Ok(operation),
                (OperationState::Completed, None) => return Err(self.unreadable("completed, but without a result")),
                (OperationState::InProgress, _) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// `GET`
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, &Empty {}).await
    }

    async fn request<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|e| self.unreadable(e))?;
        let exchange = tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(method, path, bytes));
        let (status, bytes) = exchange.await.map_err(|_| ClientError::Timeout { endpoint: self.endpoint.clone() })??;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|e| self.unreadable(e));
        }
        let errors = serde_json::from_slice::<Errors>(&bytes).map(|e| e.errors).unwrap_or_default();
        let messages: Vec<String> = errors.into_iter().flat_map(|text| FailureCause::new(text).messages()).collect();
        let messages = if messages.is_empty() { vec![format!("HTTP {status}")] } else { messages };
        Err(ClientError::Refused { status: status.as_u16(), messages })
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), ClientError> {
        let (connected, host) = match &self.endpoint {
            Endpoint::Socket(path) => {
                (tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await.map(|s| s.map(Stream::Unix)), "flink".to_owned())
            }
            Endpoint::Cluster { host, port } => {
                let connecting = TcpStream::connect((host.as_str(), *port));
                (tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map(|s| s.map(Stream::Tcp)), self.endpoint.to_string())
            }
        };
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| self.unreachable(e))?;
        let request = Request::builder().method(method).uri(format!("/v1{path}")).header(HOST, host);
        let request = request.header(CONTENT_TYPE, "application/json; charset=UTF-8").header("connection", "close");
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| self.unreadable(e))?;
        match stream {
            Stream::Unix(stream) => self.converse(stream, request).await,
            Stream::Tcp(stream) => self.converse(stream, request).await,
        }
    }

    async fn converse<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let broken = |e: hyper::Error| self.unreachable(io::Error::other(e));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = async {
            let response: Response<Incoming> = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BODY.0 as usize).collect().await.map_err(|e| self.unreadable(e))?;
            Ok((status, body.to_bytes()))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection is driven until the answer is there; that it closes first is the answer's business.
            _ = connection => answer.await,
        }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { endpoint: self.endpoint.clone(), source }
    }

    fn unreadable(&self, message: impl fmt::Display) -> ClientError {
        ClientError::Unreadable { endpoint: self.endpoint.clone(), message: message.to_string() }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_by_host_and_port() {
        let cluster = |host: &str, port| Ok(Endpoint::Cluster { host: host.to_owned(), port });
        assert_eq!("localhost:8081".parse(), cluster("localhost", 8081));
        assert_eq!("http://flink.example:80/".parse(), cluster("flink.example", 80));
        assert_eq!("[::1]:8081".parse(), cluster("::1", 8081));
        assert_eq!("[::1]:8081".parse::<Endpoint>().unwrap().to_string(), "[::1]:8081");
        for bad in ["localhost", "localhost:", ":8081", "host:99999", "a b:1", "::1:8081", "yarn-cluster", "h\r\nx:1"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    const JOB: JobId = JobId::from_u128(7);

    /// A cluster that gives these answers in turn, one a connection, and tells what it was asked: method, path and body.
    async fn cluster(answers: Vec<(u16, &'static str)>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let complete = |bytes: &[u8]| {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    let (head, body) = text.split_once("\r\n\r\n")?;
                    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
                    (body.len() >= length).then(|| format!("{} {body}", head.lines().next().unwrap_or_default()))
                };
                let request = loop {
                    if let Some(request) = complete(&request) {
                        break request;
                    }
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the client broke off");
                };
                asked.push(request);
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (Client::new(endpoint), asked)
    }

    #[tokio::test]
    async fn a_cluster_is_asked_in_flinks_own_messages() {
        let (client, asked) = cluster(vec![
            (202, r#"{"request-id":"2f24ef28021bba9ce740f65a95436f9a"}"#),
            (200, r#"{"status":{"id":"IN_PROGRESS"},"operation":null}"#),
            (200, r#"{"status":{"id":"COMPLETED"},"operation":{"location":"file:/data/flink/sav3/savepoint-e8e633-6b503344d957"}}"#),
            (202, "{}"),
        ])
        .await;
        let trigger = StopTrigger { target_directory: Some("/s".to_owned()), ..StopTrigger::default() };
        let request = client.trigger_stop(JOB, &trigger).await.unwrap();
        assert_eq!(client.savepoint_result(JOB, &request).await.unwrap(), "file:/data/flink/sav3/savepoint-e8e633-6b503344d957");
        client.cancel(JOB).await.unwrap();
        let poll = format!("GET /v1/jobs/{JOB}/savepoints/2f24ef28021bba9ce740f65a95436f9a HTTP/1.1 {{}}");
        assert_eq!(
            asked.await.unwrap(),
            [
                format!(
                    "POST /v1/jobs/{JOB}/stop HTTP/1.1 {{\"targetDirectory\":\"/s\",\"drain\":false,\"formatType\":\"CANONICAL\",\"triggerId\":null}}"
                ),
                poll.clone(),
                poll,
                format!("PATCH /v1/jobs/{JOB}?mode=cancel HTTP/1.1 {{}}"),
            ]
        );
    }

    #[tokio::test]
    async fn what_a_cluster_says_of_unknown_jobs_and_failures_is_read() {
        let not_found = r#"{"status":{"id":"COMPLETED"},"operation":{"failureCause":{"class":"java.util.concurrent.CompletionException","stack-trace":"java.util.concurrent.CompletionException: org.apache.flink.runtime.messages.FlinkJobNotFoundException: Could not find Flink job (00000000000000000000000000000007)\n\tat x.Y.z(Y.java:1)","serialized-throwable":"rO0"}}}"#;
        let (client, asked) = cluster(vec![
            (202, r#"{"request-id":"6f47394593567aba67ae374d4f0dacbb"}"#),
            (200, not_found),
            (404, r#"{"errors":["org.apache.flink.runtime.rest.handler.RestHandlerException: Job could not be found.\n\tat x.Y.z(Y.java:1)"]}"#),
            (200, "<html>"),
        ])
        .await;
        assert!(client.checkpoint(JOB, &CheckpointRequest::default()).await.unwrap_err().is_unknown_job());
        let refused = client.cancel(JOB).await.unwrap_err();
        assert!(refused.is_unknown_job() && refused.to_string() == "Job could not be found.", "{refused}");
        assert!(matches!(client.jobs().await.unwrap_err(), ClientError::Unreadable { .. }));
        asked.await.unwrap();
        assert!(matches!(client.jobs().await.unwrap_err(), ClientError::Unreachable { .. }));
    }
}
