//! How a command ends: what went wrong, what to do, and with which exit code.

use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The input is wrong: correct it.
    #[error("{0}")]
    Input(String),
    /// The server refused: the code tells programs why.
    #[error("refused: {code}: {detail}")]
    Refused {
        /// The stable code of the problem.
        code: String,
        /// What the server says.
        detail: String,
    },
    /// No answer: is it running, is the address right?
    #[error("{what} is unreachable: {why}")]
    Unreachable {
        /// Which server.
        what: String,
        /// What happened last.
        why: String,
    },
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Input(_) => 3,
            Self::Refused { .. } => 4,
            Self::Unreachable { .. } => 5,
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code, .. } if code == "unauthorized" => {
                Some("give the right token with --token or NEWSREEL_TOKEN")
            }
            Self::Unreachable { .. } => Some("is it running, and is the address right?"),
            Self::Refused { .. } | Self::Input(_) | Self::Other(_) => None,
        }
    }
}

/// Tells a person what went wrong; returns the exit code.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    eprintln!("newsreel: {failure}");
    if let Some(advice) = failure.advice() {
        eprintln!("  {advice}");
    }
    ExitCode::from(failure.code())
}

/// Says whether an error is that nobody reads our output any more, which ends a command quietly.
pub(crate) fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
