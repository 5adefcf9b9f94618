//! One client for a job's socket and for a real Flink cluster: the same paths, the same messages. One connection a request, as
//! Flink's own client does.

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

    /// Waits for a savepoint (also a stop's); returns its location.
    pub async fn savepoint_result(&self, job: JobId, request: &str) -> Result<String, ClientError> {
        let operation: SavepointOperation = self.poll(&format!("/jobs/{job}/savepoints/{request}")).await?;
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
}
