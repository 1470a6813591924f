//! The reason that a request has no answer of its own.

use newsreel_core::variables::VariableError;
use newsreel_core::wire::Problem;
use worker::Response;

/// The reason that a request has no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request or the deployment is wrong: the caller is told this problem.
    #[error("{}: {}", .0.code(), .0.detail())]
    Problem(Problem),
    /// A defect, or a platform that failed: logged, and answered as `internal`.
    #[error(transparent)]
    Platform(#[from] worker::Error),
}

/// The answer to a request.
pub type Answer = Result<Response, Failure>;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<VariableError> for Failure {
    fn from(error: VariableError) -> Self {
        Self::Problem(error.into())
    }
}
