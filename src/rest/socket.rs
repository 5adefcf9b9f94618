//! The control socket: made in a directory of our own, removed at the end, answered only to its owner.

use crate::types::JobId;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The directory or the socket.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to this one ({user})")]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others could put a socket of their own there.
    #[error("{path} can be written by others (mode {mode:03o})")]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// A listening control socket. Dropping it removes the file.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// `<runtime dir>/<job id>.sock`
pub fn socket_path(runtime_dir: &Path, job: JobId) -> PathBuf {
    runtime_dir.join(format!("{job}.sock"))
}

impl ControlSocket {
    /// Listens on `<runtime_dir>/<job>.sock`, mode 0600; the directory is created with mode 0700 if it is missing and refused if
    /// others own it or can write to it.
    pub fn bind(runtime_dir: &Path, job: JobId) -> Result<Self, SocketError> {
        private_dir(runtime_dir)?;
        let path = socket_path(runtime_dir, job);
        let io = |source| SocketError::Io { path: path.clone(), source };
        let listener = UnixListener::bind(&path).map_err(io)?;
        let socket = Self { listener, path: path.clone() };
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(io)?;
        socket.listener.set_nonblocking(true).map_err(io)?;
        Ok(socket)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, for the runtime that this is called in.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A socket that stays behind is recognised as stale; there is nobody to tell.
        let _ = fs::remove_file(&self.path);
    }
}

/// True for a peer who may give commands: the owner of this process, and root.
pub(super) fn may_command(peer: u32) -> bool {
    peer == 0 || peer == rustix::process::geteuid().as_raw()
}

fn private_dir(dir: &Path) -> Result<(), SocketError> {
    let io = |source| SocketError::Io { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    let metadata = fs::metadata(dir).map_err(io)?;
    let (user, mode) = (rustix::process::geteuid().as_raw(), metadata.mode() & 0o777);
    if metadata.uid() != user {
        return Err(SocketError::Owner { path: dir.to_owned(), owner: metadata.uid(), user });
    }
    if mode & 0o022 != 0 {
        return Err(SocketError::Writable { path: dir.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_private_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("a/run");
        let socket = ControlSocket::bind(&run, JobId::from_u128(7)).unwrap();
        assert_eq!(fs::metadata(&run).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(socket.path()).unwrap().mode() & 0o777, 0o600);
        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, Permissions::from_mode(0o777)).unwrap();
        let error = ControlSocket::bind(&run, JobId::from_u128(7)).unwrap_err();
        assert!(matches!(error, SocketError::Writable { mode: 0o777, .. }), "{error}");
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = ControlSocket::bind(&dir.path().join("x".repeat(120)), JobId::from_u128(7)).unwrap_err();
        assert!(matches!(error, SocketError::Io { .. }) && error.to_string().contains("xxx"), "{error}");
    }
}
