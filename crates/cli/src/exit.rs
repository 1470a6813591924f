//! How a command ends: what went wrong, what to do, and with which exit code.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// The exit codes, as `--help` shows them. Code 2 is clap's.
pub(crate) const CODES: &str = "Exit codes:
  0  done; also when Ctrl-C or a closed pipe ended it
  1  failed in another way
  2  the command line is wrong
  3  bad input: a line, a body, a file
  4  refused: the server says that the request cannot be granted (4xx), or is another server than expected
  5  unreachable: the server did not answer in the time of --retry-for-ms
  6  the other side of a source could not be followed, --max-failures times in a row; or its slot is in danger
  7  verify found wrong answers, or too few that were consistent";

/// Writes a line for people to stderr. Unlike `eprintln!` it does not panic when stderr is closed.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
pub(crate) use note;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The input is wrong: correct it.
    #[error("{0}")]
    Input(String),
    /// The server refused. The code is for programs.
    #[error("refused: {code}: {detail}")]
    Refused {
        /// The stable code of the problem.
        code: String,
        /// The detail that the server gives.
        detail: String,
    },
    /// The server gave no answer that can be used, in the time for retries.
    #[error("{what} gives no answer: {why}")]
    Unreachable {
        /// The address of the server.
        what: String,
        /// The reason that the last attempt gave.
        why: String,
    },
    /// The database of a source was lost, and stayed so.
    #[error("{what} cannot be followed: {why}")]
    Database {
        /// The database.
        what: String,
        /// The reason that the last attempt gave.
        why: String,
    },
    /// A feed of a source had no good answer, and stayed so.
    #[error("the feed {feed:?} cannot be followed: {why}")]
    Feed {
        /// The name of the feed.
        feed: String,
        /// The reason that the last attempt gave.
        why: String,
    },
    /// The replication slot of a source is about to be lost, or is.
    #[error("the slot {slot:?} is in danger: {why}")]
    Slot {
        /// The slot.
        slot: String,
        /// The danger, and what to do.
        why: String,
    },
    /// The server sends requests on to another address.
    #[error("{server} sends requests on to {to}, which is not followed{}", instead_of(.instead.as_deref()))]
    Redirected {
        /// The address that was given.
        server: String,
        /// The address that the answer points to.
        to: String,
        /// The address to give instead, if it can be told from `to`.
        instead: Option<String>,
    },
    /// Another kind of server answers at the address.
    #[error("{server} {why}")]
    WrongServer {
        /// The address that was given.
        server: String,
        /// The kind of server that was expected, and the answer.
        why: WrongServer,
    },
    /// A fill has ended, and some of its keys failed.
    #[error("{}; the same command tries again", keys_not_filled(*.keys))]
    NotFilled {
        /// How many keys failed.
        keys: usize,
    },
    /// A deployment was checked, and is not consistent enough.
    #[error("{0}")]
    Inconsistent(String),
    /// Alerts are open, and the caller asked to fail then.
    #[error("{open} alerts are open")]
    AlertsOpen {
        /// How many.
        open: usize,
    },
    /// The reader of stdout has gone, which ends a command quietly.
    #[error("the reader of stdout went away")]
    Unread,
    /// A failure without an exit code of its own.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// A server that is not what was expected at its address.
#[derive(Debug, thiserror::Error)]
#[error("is not {expected}: it answered {answered}")]
pub(crate) struct WrongServer {
    /// The kind of server that was expected, such as `a broker`.
    pub(crate) expected: &'static str,
    /// The status of the answer and its type, or what its JSON lacks.
    pub(crate) answered: String,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Unread => 0,
            Self::NotFilled { .. } | Self::AlertsOpen { .. } | Self::Other(_) => 1,
            Self::Input(_) => 3,
            Self::Refused { .. } | Self::Redirected { .. } | Self::WrongServer { .. } => 4,
            Self::Unreachable { .. } => 5,
            Self::Database { .. } | Self::Feed { .. } | Self::Slot { .. } => 6,
            Self::Inconsistent(_) => 7,
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code, .. } if code == "unauthorized" || code == "forbidden" => {
                Some("give a token that may do this with --token or NEWSREEL_TOKEN")
            }
            Self::Refused { code, .. } if code == "expect-failed" => {
                Some("somebody else published: read the head with `newsreel status` and decide again")
            }
            Self::Database { .. } => {
                Some("nothing is lost: start the source again once the database is back")
            }
            Self::Feed { .. } => {
                Some("nothing is lost: what is reached is kept, and the next run goes on from there")
            }
            Self::Unreachable { .. } => Some("is it running, and is the address right?"),
            Self::Redirected { .. } => {
                Some("a token is meant for one server: if the new address is right, give that one")
            }
            Self::WrongServer { .. } => {
                Some("is the address right? A proxy or a login page may answer in the place of the server")
            }
            Self::Refused { .. }
            | Self::NotFilled { .. }
            | Self::AlertsOpen { .. }
            | Self::Slot { .. }
            | Self::Inconsistent(_)
            | Self::Input(_)
            | Self::Unread
            | Self::Other(_) => None,
        }
    }
}

fn keys_not_filled(keys: usize) -> String {
    format!("{keys} {} could not be filled", if keys == 1 { "key" } else { "keys" })
}

fn instead_of(instead: Option<&str>) -> String {
    instead.map_or_else(String::new, |instead| format!("; give {instead} as the address"))
}

/// Returns the text of the innermost error: the outer ones of an HTTP client say only "error sending
/// request".
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut why = error;
    while let Some(inner) = why.source() {
        why = inner;
    }
    why.to_string()
}

/// Writes a failure and what to do about it to stderr; returns the exit code.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    if !matches!(failure, Failure::Unread) {
        note!("newsreel: {failure}");
    }
    if let Some(advice) = failure.advice() {
        note!("  {advice}");
    }
    ExitCode::from(failure.code())
}

/// Prints lines on stdout and makes sure they are out.
pub(crate) fn print(lines: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Unread),
        Err(error) => Err(anyhow::Error::from(error).context("writing to stdout").into()),
    }
}

/// Returns a future that waits for Ctrl-C or the signal to terminate. Both signals are caught from this call
/// on, also before the future is polled.
pub(crate) fn asked_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
