//! Method and path → what is asked for. Pure; the same paths with and without `/v1`.

use crate::types::{JobId, TriggerId};
use hyper::Method;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /overview`
    Cluster,
    /// `GET /config`
    Dashboard,
    /// `GET /jobs`
    Jobs,
    /// `GET /jobs/overview`
    JobsOverview,
    /// `POST /savepoint-disposal`
    TriggerDisposal,
    /// `GET /savepoint-disposal/:trigger`
    PollDisposal(TriggerId),
    /// `… /jobs/:id…`
    Job(JobId, JobRoute),
}

/// What is asked of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobRoute {
    /// `GET /jobs/:id`
    Details,
    /// `PATCH /jobs/:id?mode=cancel`
    Cancel,
    /// `GET …/status`
    Status,
    /// `GET …/config`
    Config,
    /// `GET …/plan`
    Plan,
    /// `GET …/exceptions`
    Exceptions,
    /// `GET …/metrics?get=a,b`; without `get`, their names.
    Metrics(Option<Vec<String>>),
    /// `GET …/vertices/:vertex`
    Vertex(String),
    /// `GET …/vertices/:vertex/metrics?get=a,b`
    VertexMetrics(String, Option<Vec<String>>),
    /// `GET …/checkpoints`
    Checkpoints,
    /// `GET …/checkpoints/config`
    CheckpointConfig,
    /// `GET …/checkpoints/details/:n`
    Checkpoint(u64),
    /// `POST …/checkpoints`
    TriggerCheckpoint,
    /// `GET …/checkpoints/:trigger`
    PollCheckpoint(TriggerId),
    /// `POST …/savepoints`
    TriggerSavepoint,
    /// `POST …/state`
    Rows,
    /// `POST …/stop`
    TriggerStop,
    /// `GET …/savepoints/:trigger`
    PollSavepoint(TriggerId),
}

/// A request that is not carried out: an HTTP status and a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    /// 400, 404, …
    pub(super) status: u16,
    /// What was wrong with it.
    pub(super) message: String,
}

impl Refusal {
    /// 400: the request cannot be read.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: 404, message: message.into() }
    }

    fn parameter(name: &str, value: &str) -> Self {
        Self::bad_request(format!(
            "Bad request, could not parse parameters: Cannot resolve path parameter ({name}) from value \"{value}\"."
        ))
    }
}

/// Reads method, path and query.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Refusal> {
    let unknown = || Refusal::not_found(format!("Unable to load requested file {path}."));
    let parts: Vec<&str> = path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
    let parts = match parts.as_slice() {
        ["v1", rest @ ..] => rest,
        all => all,
    };
    match (method, parts) {
        (&Method::GET, ["overview"]) => Ok(Route::Cluster),
        (&Method::GET, ["config"]) => Ok(Route::Dashboard),
        (&Method::GET, ["jobs"]) => Ok(Route::Jobs),
        (&Method::GET, ["jobs", "overview"]) => Ok(Route::JobsOverview),
        (&Method::POST, ["savepoint-disposal"]) => Ok(Route::TriggerDisposal),
        (&Method::GET, ["savepoint-disposal", trigger]) => Ok(Route::PollDisposal(trigger_id(trigger)?)),
        (_, ["jobs", id, rest @ ..]) => {
            let asked = job_route(method, rest, query)?.ok_or_else(unknown)?;
            let id = id.parse().map_err(|_| Refusal::parameter("jobid", id))?;
            Ok(Route::Job(id, asked))
        }
        _ => Err(unknown()),
    }
}

fn job_route(method: &Method, rest: &[&str], query: Option<&str>) -> Result<Option<JobRoute>, Refusal> {
    let asked = match (method, rest) {
        (&Method::GET, []) => JobRoute::Details,
        (&Method::PATCH, []) => match parameter(query, "mode").as_deref() {
            None | Some("cancel") => JobRoute::Cancel,
            Some(mode) => return Err(Refusal::bad_request(format!("The termination mode \"{mode}\" is not supported; use \"cancel\"."))),
        },
        (&Method::GET, ["status"]) => JobRoute::Status,
        (&Method::GET, ["config"]) => JobRoute::Config,
        (&Method::GET, ["plan"]) => JobRoute::Plan,
        (&Method::GET, ["exceptions"]) => JobRoute::Exceptions,
        (&Method::GET, ["metrics"]) => JobRoute::Metrics(names(query)),
        (&Method::GET, ["vertices", vertex]) => JobRoute::Vertex((*vertex).to_owned()),
        (&Method::GET, ["vertices", vertex, "metrics"]) => JobRoute::VertexMetrics((*vertex).to_owned(), names(query)),
        (&Method::GET, ["checkpoints"]) => JobRoute::Checkpoints,
        (&Method::GET, ["checkpoints", "config"]) => JobRoute::CheckpointConfig,
        (&Method::GET, ["checkpoints", "details", number]) => {
            JobRoute::Checkpoint(number.parse().map_err(|_| Refusal::parameter("checkpointid", number))?)
        }
        (&Method::POST, ["checkpoints"]) => JobRoute::TriggerCheckpoint,
        (&Method::GET, ["checkpoints", trigger]) => JobRoute::PollCheckpoint(trigger_id(trigger)?),
        (&Method::POST, ["savepoints"]) => JobRoute::TriggerSavepoint,
        (&Method::POST, ["state"]) => JobRoute::Rows,
        (&Method::POST, ["stop"]) => JobRoute::TriggerStop,
        (&Method::GET, ["savepoints", trigger]) => JobRoute::PollSavepoint(trigger_id(trigger)?),
        _ => return Ok(None),
    };
    Ok(Some(asked))
}

fn trigger_id(text: &str) -> Result<TriggerId, Refusal> {
    text.parse().map_err(|_| Refusal::parameter("triggerid", text))
}

fn names(query: Option<&str>) -> Option<Vec<String>> {
    parameter(query, "get").map(|text| text.split(',').map(str::to_owned).collect())
}

/// The value of a query's parameter, percent signs resolved.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_decoded(value))
    })
}

/// `%20` → a space. What is no escape stays as it is; what is no UTF-8 becomes U+FFFD.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        at += if value.is_some() { 3 } else { 1 };
        decoded.push(value.unwrap_or(byte));
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "fd72014d4c864993a2e5a9287b4a9c5d";

    #[test]
    fn paths_mean_the_same_with_and_without_v1() {
        let id: JobId = ID.parse().unwrap();
        for prefix in ["", "/v1"] {
            let get = |path: &str| route(&Method::GET, &format!("{prefix}{path}"), None);
            assert_eq!(get("/jobs/overview"), Ok(Route::JobsOverview));
            assert_eq!(get(&format!("/jobs/{ID}")), Ok(Route::Job(id, JobRoute::Details)));
            assert_eq!(get(&format!("/jobs/{ID}/checkpoints/details/7")), Ok(Route::Job(id, JobRoute::Checkpoint(7))));
            assert_eq!(get(&format!("/jobs/{ID}/checkpoints/config")), Ok(Route::Job(id, JobRoute::CheckpointConfig)));
        }
    }

    #[test]
    fn what_is_not_there_is_404_and_what_cannot_be_read_is_400() {
        let status = |method: &Method, path: &str, query| route(method, path, query).unwrap_err().status;
        assert_eq!(status(&Method::GET, "/nope", None), 404);
        assert_eq!(status(&Method::DELETE, "/jobs", None), 404);
        assert_eq!(status(&Method::GET, &format!("/jobs/{ID}/nope"), None), 404);
        assert_eq!(status(&Method::GET, "/jobs/nope", None), 400);
        assert_eq!(status(&Method::GET, &format!("/jobs/{ID}/savepoints/xyz"), None), 400);
        assert_eq!(status(&Method::GET, &format!("/jobs/{ID}/checkpoints/details/-1"), None), 400);
        assert_eq!(status(&Method::PATCH, &format!("/jobs/{ID}"), Some("mode=stop")), 400);
        assert_eq!(
            route(&Method::GET, "/jobs/nope", None).unwrap_err().message,
            "Bad request, could not parse parameters: Cannot resolve path parameter (jobid) from value \"nope\"."
        );
    }

    #[test]
    fn metric_names_come_from_the_query_with_percent_signs_resolved() {
        let asked = route(&Method::GET, &format!("/jobs/{ID}/metrics"), Some("x=1&get=uptime,a%20b%zz%4"));
        let Ok(Route::Job(_, JobRoute::Metrics(Some(names)))) = asked else { panic!("{asked:?}") };
        assert_eq!(names, ["uptime", "a b%zz%4"]);
    }

    proptest::proptest! {
        #[test]
        fn no_path_or_query_panics(path in "\\PC*", query in "\\PC*") {
            let _ = route(&Method::GET, &path, Some(&query));
            let _ = route(&Method::GET, &format!("/jobs/{ID}/{path}"), Some(&format!("get={query}")));
        }
    }
}
