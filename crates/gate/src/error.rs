//! Why a request does not pass.

use newsreel_core::variables::VariableError;
use newsreel_core::wire::Problem;

/// Why a request does not pass.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The request is refused: answer it with this problem.
    #[error("{}: {}", .0.code(), .0.detail())]
    Refused(Problem),
    /// The platform failed, which is no fault of the request: answer it with `internal`, and log this.
    #[error(transparent)]
    Platform(#[from] worker::Error),
}

impl From<Problem> for GateError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<VariableError> for GateError {
    fn from(error: VariableError) -> Self {
        Self::Refused(error.into())
    }
}
