//! An S3 server of the test's own.

use crate::python::python;
use flink::storage::{RoutedStorage, S3Settings, Secret, Storage};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

/// What the server is made of; fixed, so that the same is tested everywhere.
const PACKAGES: &[&str] = &["moto[s3]==5.2.5", "flask>=3,<4", "flask-cors>=6,<7"];

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/object_store/server.py");

/// A server with a bucket called `bucket`. It ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) endpoint: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(python("moto", PACKAGES));
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("moto-server-{:?}.log", std::thread::current().id()));
        let mut child =
            command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("the server did not start: {e}: {line}{}", fs::read_to_string(&log).unwrap_or_default()));
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Self { stdin: child.stdin.take(), child, endpoint: text("endpoint"), key: text("key"), secret: text("secret") }
    }

    /// Ends the server, with all that it has.
    pub(crate) fn end(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What a process must find in its environment to use the server.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = [("AWS_ENDPOINT_URL", &self.endpoint), ("AWS_ACCESS_KEY_ID", &self.key), ("AWS_SECRET_ACCESS_KEY", &self.secret)];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// The server's files.
    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        self.storage_with(&[])
    }

    /// The server's files, with these variables in the environment.
    pub(crate) fn storage_with(&self, variables: &[(&str, &str)]) -> Arc<dyn Storage> {
        let settings = S3Settings {
            access_key: Some(Secret::new(&self.key)),
            secret_key: Some(Secret::new(&self.secret)),
            endpoint: Some(self.endpoint.clone()),
            ..S3Settings::default()
        };
        RoutedStorage::shared(settings, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Every object below `path`.
pub(crate) fn objects(storage: &dyn Storage, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in storage.list(Path::new(path)).unwrap() {
        let text = entry.path.display().to_string();
        if entry.is_dir { found.extend(objects(storage, &text)) } else { found.push(text) }
    }
    found
}
