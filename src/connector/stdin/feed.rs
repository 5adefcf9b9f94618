//! A blocking stream of bytes, read on a thread of its own and handed over in pieces.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that wait to be taken before the thread stops reading.
const WAITING: usize = 4;

/// Bytes of a piece, at most. Less comes as soon as it is there.
const PIECE: usize = 256 << 10;

/// What the stream brings next.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes, at least one.
    Bytes(Vec<u8>),
    /// Nothing follows.
    End,
    /// Reading failed; nothing follows.
    Failed(io::Error),
}

/// The stream. The thread starts with the first question for a piece.
pub(super) struct Feed(Mutex<State>);

enum State {
    Unread(Box<dyn Read + Send>),
    Reading(Receiver<Piece>),
    Ended,
}

impl Feed {
    /// A feed of `input`, which is not touched yet.
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self(Mutex::new(State::Unread(input)))
    }

    /// The next piece. After [`Piece::End`] or [`Piece::Failed`]: the end.
    pub(super) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Unread(_) = *state {
            match std::mem::replace(&mut *state, State::Ended) {
                State::Unread(input) => match start(input) {
                    Ok(receiver) => *state = State::Reading(receiver),
                    Err(error) => return Poll::Ready(Piece::Failed(error)),
                },
                other => *state = other,
            }
        }
        let State::Reading(receiver) = &mut *state else { return Poll::Ready(Piece::End) };
        let piece = match receiver.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            // The thread sends an end before it goes; it can only be missing after a panic in the stream itself.
            Poll::Ready(piece) => piece.unwrap_or(Piece::End),
        };
        if !matches!(piece, Piece::Bytes(_)) {
            *state = State::Ended;
        }
        Poll::Ready(piece)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// Reading blocks for as long as nobody types, and cannot be interrupted: hence a thread, which ends with the stream, with the
/// receiver, or with the process.
fn start(input: Box<dyn Read + Send>) -> io::Result<Receiver<Piece>> {
    let (sender, receiver) = channel(WAITING);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || read_all(input, &sender))?;
    Ok(receiver)
}

fn read_all(mut input: Box<dyn Read + Send>, sender: &Sender<Piece>) {
    let mut buffer = vec![0; PIECE];
    loop {
        let piece = match input.read(&mut buffer) {
            Ok(0) => Piece::End,
            Ok(count) => Piece::Bytes(buffer.get(..count).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Piece::Failed(error),
        };
        let ended = !matches!(piece, Piece::Bytes(_));
        if sender.blocking_send(piece).is_err() || ended {
            return;
        }
    }
}
