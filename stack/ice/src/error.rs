//! What a caller can do wrong.

use thiserror::Error;

/// The caller asked for something that does not fit.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UseError {
    /// The agent has failed or is closed.
    #[error("the agent has ended")]
    Ended,
    /// Other remote credentials than before, without a restart.
    #[error("the remote credentials changed without a restart")]
    CredentialsChanged,
    /// Nothing can be received at this candidate.
    #[error("not a usable local candidate")]
    Candidate,
    /// More local candidates than the agent keeps.
    #[error("too many local candidates")]
    TooManyCandidates,
}
