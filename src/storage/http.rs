//! The HTTP client of object stores: hyper, rustls with ring, the system's certificates (or those of `SSL_CERT_FILE`).

use async_trait::async_trait;
use http::Uri;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest that one request may take, its answer included: a part of an upload on a slow line.
const REQUEST: Duration = Duration::from_mins(1);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Makes clients.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hyper;

#[derive(Debug)]
struct Service(Client<HttpsConnector<Tcp>, HttpRequestBody>);

/// What went wrong, all causes in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl HttpConnector for Hyper {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let generic = |source: Box<dyn Error + Send + Sync>| object_store::Error::Generic { store: "S3", source };
        let mut roots = RootCertStore::empty();
        // Without certificates an https endpoint is refused when it is called; a plain http one needs none.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| generic(e.into()))?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
        Ok(HttpClient::new(Service(client)))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(uri) = without_plus(request.uri()) {
            *request.uri_mut() = uri;
        }
        let answered = async {
            let response = self.0.request(request).await.map_err(|e| failed(&e, e.is_connect()))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| failed(&e, false))?.to_bytes();
            Ok(HttpResponse::from_parts(parts, body.into()))
        };
        match tokio::time::timeout(REQUEST, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, Failure(format!("no answer within {} s", REQUEST.as_secs())))),
        }
    }
}

/// The same address with `%20` for the `+` of forms: it is a space either way, but some servers compare signatures as it is written. A plus
/// itself is written `%2B`.
fn without_plus(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains('+'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{}", uri.path(), query.replace('+', "%20")).parse().ok();
    Uri::from_parts(parts).ok()
}

/// An error of the client, with whether the request may be sent again.
fn failed(error: &(dyn Error + 'static), is_connect: bool) -> HttpError {
    let mut kind = if is_connect { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
    let (mut texts, mut next) = (Vec::new(), Some(error));
    while let Some(cause) = next {
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>()
            && !is_connect
            && (hyper.is_closed() || hyper.is_incomplete_message() || hyper.is_body_write_aborted())
        {
            // The server closed the connection, as it may do with an idle one: the request goes out again.
            kind = HttpErrorKind::Request;
        }
        if cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) && !is_connect {
            kind = HttpErrorKind::Timeout;
        }
        let text = cause.to_string();
        if !texts.last().is_some_and(|last: &String| last.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    HttpError::new(kind, Failure(texts.join(": ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_written_as_it_is_signed() {
        let uri: Uri = "http://host:1/b+c?prefix=a+b%2Bc&list-type=2".parse().unwrap();
        assert_eq!(without_plus(&uri).unwrap().to_string(), "http://host:1/b+c?prefix=a%20b%2Bc&list-type=2");
        assert_eq!(without_plus(&"http://host/a+b".parse().unwrap()), None);
    }
}
