//! What a person is told when an object store refuses, or does not answer.

use super::s3::Secret;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error;
use std::io;
use std::path::Path;

const KEYS: &str = "set s3.access-key and s3.secret-key in the job file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment";

const ENDPOINT: &str = "see s3.endpoint, or AWS_ENDPOINT_URL in the environment";

/// The error of a request: whose it is (`s3://bucket/key`), what was asked, what the server said, what to do. No secret stands in it.
pub(super) fn request_error(path: &Path, asked: &str, error: &object_store::Error, secrets: &[Secret]) -> io::Error {
    let chain = chain(error);
    let text = chain.last().cloned().unwrap_or_default();
    let answer = Answer::of(&text);
    let (kind, said, next) = judge(error, &chain, &answer);
    let mut message = format!("{}: {asked}: {said}", path.display());
    if let Some(next) = next {
        message.push_str("; ");
        message.push_str(next);
    }
    for secret in secrets.iter().filter(|secret| secret.reveal().len() > 3) {
        message = message.replace(secret.reveal(), Secret::SHOWN);
    }
    io::Error::new(kind, message)
}

/// True if the error may be about the range that was asked for: the server has answered, and did not say that nothing is there.
pub(super) fn may_be_empty(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { .. }) && http_kind(error).is_none()
}

/// True if the server does not know conditional writes.
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. })
        || chain(error).iter().any(|text| text.contains("<Code>NotImplemented</Code>") || text.contains("501 Not Implemented"))
}

/// What a server says in the body of its answer.
struct Answer {
    code: Option<String>,
    message: Option<String>,
}

impl Answer {
    fn of(text: &str) -> Self {
        let element = |name: &str| {
            let (_, behind) = text.split_once(&format!("<{name}>"))?;
            let (inside, _) = behind.split_once(&format!("</{name}>"))?;
            Some(inside.trim().to_owned()).filter(|inside| !inside.is_empty())
        };
        Self { code: element("Code"), message: element("Message") }
    }
}

/// The texts of an error and its causes.
fn chain(error: &object_store::Error) -> Vec<String> {
    let (mut texts, mut next) = (Vec::new(), Some(error as &(dyn Error + 'static)));
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts
}

fn http_kind(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(http) = cause.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        next = cause.source();
    }
    None
}

fn judge(error: &object_store::Error, chain: &[String], answer: &Answer) -> (io::ErrorKind, String, Option<&'static str>) {
    use object_store::Error as E;
    let last = chain.last().cloned().unwrap_or_default();
    let said = match (&answer.code, &answer.message) {
        (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
        (Some(code), None) => code.clone(),
        // The text of a request that got no answer: what failed stands last.
        _ => last.trim_start_matches("Server returned non-2xx status code: ").trim_end_matches([' ', ':']).to_owned(),
    };
    // Where keys come from if nobody gave any: the machine's own, in Amazon's cloud.
    if chain.iter().any(|text| text.contains("169.254.")) {
        return (io::ErrorKind::PermissionDenied, "no credentials were given".to_owned(), Some(KEYS));
    }
    match (error, answer.code.as_deref()) {
        (_, Some("NoSuchBucket")) => (io::ErrorKind::Other, "the bucket does not exist".to_owned(), Some("create it, or name another one")),
        (E::NotFound { .. }, _) => (io::ErrorKind::NotFound, "No such file or directory".to_owned(), None),
        (E::AlreadyExists { .. }, _) => (io::ErrorKind::AlreadyExists, "the file exists".to_owned(), None),
        (E::PermissionDenied { .. } | E::Unauthenticated { .. }, _) | (_, Some("InvalidAccessKeyId" | "SignatureDoesNotMatch")) => {
            (io::ErrorKind::PermissionDenied, said, Some(KEYS))
        }
        (_, Some("PermanentRedirect" | "AuthorizationHeaderMalformed")) => {
            (io::ErrorKind::Other, said, Some("see s3.region, or AWS_REGION in the environment"))
        }
        _ => match http_kind(error) {
            Some(HttpErrorKind::Connect) => (io::ErrorKind::NotConnected, without_prefix(&said), Some(ENDPOINT)),
            Some(HttpErrorKind::Timeout) => (io::ErrorKind::TimedOut, without_prefix(&said), Some(ENDPOINT)),
            _ if said.contains("301") || said.contains("region") => {
                (io::ErrorKind::Other, said, Some("see s3.region, or AWS_REGION in the environment"))
            }
            _ => (io::ErrorKind::Other, without_prefix(&said), None),
        },
    }
}

fn without_prefix(text: &str) -> String {
    text.trim_start_matches("HTTP error: ").to_owned()
}
