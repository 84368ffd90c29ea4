//! What an [`Agent`](crate::Agent) tells its owner.

use tombolo_net::FiveTuple;

/// Which side decides about the path (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nominates.
    Controlling,
    /// Follows.
    Controlled,
}

impl Role {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// The state of an [`Agent`](crate::Agent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Neither the remote credentials nor a check of the peer are there.
    New,
    /// Looking for a path.
    Checking,
    /// There is a path, and consent to send on it.
    Connected,
    /// The path has been silent for a while. It may come back; sending is still allowed.
    Disconnected,
    /// There is no path, or consent is gone. Final.
    Failed,
    /// [`Agent::close`](crate::Agent::close) was called. Final.
    Closed,
}

/// Why an agent failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailReason {
    /// No pair worked, and none is to come.
    NoPath,
    /// 30 s without a valid response, or for a lite agent without a valid check, on the selected path.
    ConsentExpired,
    /// The peer revoked consent (RFC 7675 §5.2).
    ConsentRevoked,
}

/// Something that the owner wants to know. The end comes once, as `Failed` or `Closed`, after the `StateChanged` that
/// says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The state changed.
    StateChanged(State),
    /// This path has passed an authenticated check, in either direction: what arrives on it may be looked at.
    PathAuthenticated(FiveTuple),
    /// What is sent goes on this path from now on.
    PathSelected(FiveTuple),
    /// The agent failed.
    Failed(FailReason),
    /// The agent was closed.
    Closed,
}
