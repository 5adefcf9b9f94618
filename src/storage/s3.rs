//! How S3, or a server that speaks its protocol, is reached: `s3.*` of the job file, and the variables of AWS's own tools.

use super::http::Hyper;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, RetryConfig};
use std::fmt;
use std::time::Duration;

/// A text that is not shown to anybody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What stands for it wherever it would be shown (Flink's text).
    pub const SHOWN: &'static str = "******";

    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}

/// `s3.*` of a job file. What is not set is taken from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct S3Settings {
    /// `s3.access-key`
    pub access_key: Option<Secret>,
    /// `s3.secret-key`
    pub secret_key: Option<Secret>,
    /// `s3.session-token`
    pub session_token: Option<Secret>,
    /// `s3.endpoint`: `host:port`, with or without `http://` or `https://`.
    pub endpoint: Option<String>,
    /// `s3.region`
    pub region: Option<String>,
    /// `s3.path.style.access`: buckets are the first part of the path instead of the host's name.
    pub path_style: Option<bool>,
}

/// Retries: the world may be kinder in a moment, but whoever waits must learn that it is not.
const RETRIES: usize = 5;
const RETRY_TIMEOUT: Duration = Duration::from_secs(45);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);

/// What Amazon's own libraries take where no region is named.
const REGION: &str = "us-east-1";

/// The variables that nobody may see.
const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Everything that says how buckets are reached.
#[derive(Debug, Clone, Default)]
pub(super) struct S3Access {
    settings: S3Settings,
    /// `AWS_*`, by name.
    variables: Vec<(String, Secret)>,
}

impl S3Access {
    pub(super) fn new(settings: S3Settings, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
        Self { settings, variables: ours.map(|(name, value)| (name, Secret(value))).collect() }
    }

    fn variable(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.variables.iter().find(|(known, _)| known == name)).map(|(_, value)| value.reveal())
    }

    /// What must not stand in any message.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let settings = &self.settings;
        let own = [&settings.access_key, &settings.secret_key, &settings.session_token].into_iter().flatten().cloned();
        let known = self.variables.iter().filter(|(name, _)| CREDENTIALS.contains(&name.as_str())).map(|(_, value)| value.clone());
        own.chain(known).collect()
    }

    /// The endpoint, with its scheme; `None` for Amazon's own.
    fn endpoint(&self) -> Option<String> {
        let written = self.settings.endpoint.as_deref().or_else(|| self.variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]))?;
        let written = written.trim().trim_end_matches('/');
        Some(if written.contains("://") { written.to_owned() } else { format!("https://{written}") })
    }

    /// A client for one bucket. Nothing is asked of the server yet.
    pub(super) fn bucket(&self, bucket: &str) -> object_store::Result<AmazonS3> {
        let settings = &self.settings;
        // Keys belong together: those of the job file do not go with a token from the environment.
        let own_keys = settings.access_key.as_ref().zip(settings.secret_key.as_ref());
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &self.variables {
            // What is no setting of this library (a profile, a pager) is somebody else's.
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
                && !(own_keys.is_some() && CREDENTIALS.contains(&name.as_str()))
            {
                builder = builder.with_config(key, value.reveal());
            }
        }
        if let Some((key, secret)) = own_keys {
            builder = builder.with_access_key_id(key.reveal()).with_secret_access_key(secret.reveal());
            if let Some(token) = &settings.session_token {
                builder = builder.with_token(token.reveal());
            }
        }
        let region = settings.region.as_deref().or_else(|| self.variable(&["AWS_REGION", "AWS_DEFAULT_REGION"])).unwrap_or(REGION);
        let path_style = settings.path_style.unwrap_or(false);
        let (endpoint, virtual_hosted) = match self.endpoint() {
            None => (None, !path_style && !bucket.contains('.')),
            Some(endpoint) if path_style => (Some(endpoint), false),
            Some(endpoint) => match with_bucket(&endpoint, bucket) {
                Some(endpoint) => (Some(endpoint), true),
                None => (Some(endpoint), false),
            },
        };
        if let Some(endpoint) = endpoint {
            // `AWS_ENDPOINT_URL_S3` would win over what is set here.
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        let backoff = BackoffConfig { init_backoff: FIRST_BACKOFF, max_backoff: LONGEST_BACKOFF, base: 2.0 };
        builder
            .with_region(region)
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(virtual_hosted)
            .with_allow_http(true)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT })
            .with_http_connector(Hyper)
            .build()
    }
}

/// The endpoint of a bucket that is part of the host's name. An address has no names below it, and neither has this machine: there, and
/// for names that certificates of endpoints do not cover, the bucket goes into the path, as in Amazon's own libraries.
fn with_bucket(endpoint: &str, bucket: &str) -> Option<String> {
    let (scheme, authority) = endpoint.split_once("://")?;
    let host = match authority.strip_prefix('[') {
        Some(_) => return None,
        None => authority.split([':', '/']).next()?,
    };
    let named = host != "localhost" && host.parse::<std::net::Ipv4Addr>().is_err() && host.contains('.');
    (named && !bucket.contains('.')).then(|| format!("{scheme}://{bucket}.{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let settings =
            S3Settings { access_key: Some(Secret::new("AKIA")), secret_key: Some(Secret::new("hunter2")), ..S3Settings::default() };
        let access = S3Access::new(settings, [("AWS_SESSION_TOKEN".to_owned(), "hunter3".to_owned())]);
        let shown = format!("{access:?}");
        assert!(!shown.contains("hunter") && !shown.contains("AKIA"), "{shown}");
        assert_eq!(access.secrets().len(), 3);
    }

    #[test]
    fn the_bucket_is_part_of_the_hosts_name_where_the_host_can_have_one() {
        assert_eq!(with_bucket("https://s3.example.com", "b").as_deref(), Some("https://b.s3.example.com"));
        for (endpoint, bucket) in [
            ("http://localhost:9000", "b"),
            ("http://127.0.0.1:9000", "b"),
            ("http://[::1]:9000", "b"),
            ("http://minio:9000", "b"),
            ("https://s3.example.com", "a.b"),
        ] {
            assert_eq!(with_bucket(endpoint, bucket), None, "{endpoint}");
        }
    }

    #[test]
    fn an_endpoint_may_be_written_without_its_scheme() {
        let endpoint = |text: &str| S3Access::new(S3Settings { endpoint: Some(text.to_owned()), ..S3Settings::default() }, []).endpoint();
        assert_eq!(endpoint("minio.example:9000/").as_deref(), Some("https://minio.example:9000"));
        assert_eq!(endpoint("http://minio:9000").as_deref(), Some("http://minio:9000"));
        let variables = [("AWS_ENDPOINT_URL".to_owned(), "http://a".to_owned())];
        assert_eq!(S3Access::new(S3Settings::default(), variables).endpoint().as_deref(), Some("http://a"));
    }
}
